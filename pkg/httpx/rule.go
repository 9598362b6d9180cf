// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	errTimeFormat       = errors.New("input should be an ISO 8601 date and time such as 2026-11-23T21:41:55Z")
)

// rules are the parsed tags of one field.
type rules struct {
	required   bool
	notNull    bool
	hasDefault bool
	def        string
	minLen     int
	maxLen     int
	bounds     []bound
	oneOf      []string
	pattern    string
}

type bound struct {
	op    string
	value float64
	text  string
}

func parseRules(tag reflect.StructTag) rules {
	ru := rules{minLen: -1, maxLen: -1, pattern: tag.Get("pattern")}
	ru.def, ru.hasDefault = tag.Lookup("default")
	for part := range strings.SplitSeq(tag.Get("validate"), ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "required":
			ru.required = true
		case "notnull":
			ru.notNull = true
		case "min":
			ru.minLen, _ = strconv.Atoi(value)
		case "max":
			ru.maxLen, _ = strconv.Atoi(value)
		case "ge", "le", "gt", "lt":
			if f, err := strconv.ParseFloat(value, 64); err == nil {
				ru.bounds = append(ru.bounds, bound{op: key, value: f, text: value})
			}
		case "oneof":
			ru.oneOf = strings.Split(value, "|")
		}
	}
	return ru
}

// check applies the rules to a decoded value. Pointers are checked through; a list's texts are
// checked by the list's length only.
func (ru rules) check(field reflect.Value, loc []any, faults *Faults) {
	for field.Kind() == reflect.Pointer {
		if field.IsNil() {
			return
		}
		field = field.Elem()
	}
	switch field.Kind() {
	case reflect.String:
		ru.checkText(field.String(), loc, faults)
	case reflect.Slice, reflect.Map:
		ru.checkSize(field, loc, faults)
	case reflect.Float32, reflect.Float64:
		ru.checkNumber(field.Float(), loc, faults)
	default:
		if isInt(field.Kind()) {
			ru.checkNumber(float64(field.Int()), loc, faults)
		}
	}
}

func (ru rules) checkText(text string, loc []any, faults *Faults) {
	n := utf8.RuneCountInString(text)
	switch {
	case ru.minLen >= 0 && n < ru.minLen:
		faults.at(loc, "string_too_short", "String should have at least "+plural(ru.minLen, "character"))
	case ru.maxLen >= 0 && n > ru.maxLen:
		faults.at(loc, "string_too_long", "String should have at most "+plural(ru.maxLen, "character"))
	case len(ru.oneOf) > 0 && !slices.Contains(ru.oneOf, text):
		faults.at(loc, "literal_error", "Input should be "+orList(ru.oneOf))
	case ru.pattern != "":
		re, err := regexp.Compile(ru.pattern)
		if err != nil || !re.MatchString(text) {
			faults.at(loc, "string_pattern_mismatch", "String should match pattern '"+ru.pattern+"'")
		}
	}
}

func (ru rules) checkSize(field reflect.Value, loc []any, faults *Faults) {
	noun := "List"
	if field.Kind() == reflect.Map {
		noun = "Dictionary"
	}
	n := field.Len()
	if ru.minLen >= 0 && n < ru.minLen {
		faults.at(loc, "too_short", fmt.Sprintf("%s should have at least %s after validation, not %d", noun, plural(ru.minLen, "item"), n))
	}
	if ru.maxLen >= 0 && n > ru.maxLen {
		faults.at(loc, "too_long", fmt.Sprintf("%s should have at most %s after validation, not %d", noun, plural(ru.maxLen, "item"), n))
	}
}

func (ru rules) checkNumber(n float64, loc []any, faults *Faults) {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		faults.at(loc, "finite_number", "Input should be a finite number")
		return
	}
	for _, b := range ru.bounds {
		if typ, msg, ok := b.holds(n); !ok {
			faults.at(loc, typ, msg)
		}
	}
}

func (b bound) holds(n float64) (typ, msg string, ok bool) {
	switch b.op {
	case "ge":
		return "greater_than_equal", "Input should be greater than or equal to " + b.text, n >= b.value
	case "le":
		return "less_than_equal", "Input should be less than or equal to " + b.text, n <= b.value
	case "gt":
		return "greater_than", "Input should be greater than " + b.text, n > b.value
	default:
		return "less_than", "Input should be less than " + b.text, n < b.value
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// orList writes 'a', 'b' or 'c'.
func orList(values []string) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i == 0:
		case i == len(values)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString("'" + v + "'")
	}
	return b.String()
}

func isInt(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Int64 }

// setDefault parses text into a text, number or bool field; pointers are filled.
func setDefault(field reflect.Value, text string) bool {
	if field.Kind() == reflect.Pointer {
		elem := reflect.New(field.Type().Elem())
		if !setDefault(elem.Elem(), text) {
			return false
		}
		field.Set(elem)
		return true
	}
	switch {
	case field.Kind() == reflect.String:
		field.SetString(text)
		return true
	case isInt(field.Kind()):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || field.OverflowInt(n) {
			return false
		}
		field.SetInt(n)
		return true
	case field.Kind() == reflect.Float64 || field.Kind() == reflect.Float32:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return false
		}
		field.SetFloat(n)
		return true
	case field.Kind() == reflect.Bool:
		v, ok := parseBool(text)
		if ok {
			field.SetBool(v)
		}
		return ok
	}
	return false
}

// parseBool takes the spellings clients of the first API send.
func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on", "y", "t":
		return true, true
	case "false", "0", "no", "off", "n", "f":
		return false, true
	}
	return false, false
}

// typeFault describes a value of the wrong JSON type.
func typeFault(t reflect.Type) (typ, msg string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[uuid.UUID]():
		return "uuid_parsing", "Input should be a valid UUID"
	case reflect.TypeFor[Time]():
		return "datetime_from_date_parsing", "Input should be a valid datetime or date"
	}
	switch {
	case isInt(t.Kind()):
		return "int_parsing", "Input should be a valid integer"
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return "float_parsing", "Input should be a valid number"
	case t.Kind() == reflect.Bool:
		return "bool_parsing", "Input should be a valid boolean"
	case t.Kind() == reflect.Slice:
		return "list_type", "Input should be a valid list"
	case t.Kind() == reflect.Map:
		return "dict_type", "Input should be a valid dictionary"
	case t.Kind() == reflect.Struct:
		return "model_attributes_type", "Input should be a valid dictionary or object to extract fields from"
	}
	return "string_type", "Input should be a valid string"
}

// customFault describes a value that a type's own decoder refused. Its text is used only for types
// that promise to leave the value out: a decoder's own error may quote it.
func customFault(t reflect.Type, err error) (typ, msg string) {
	typ, msg = typeFault(t)
	var safe interface{ FieldMessage() string }
	if errors.As(err, &safe) {
		return "value_error", "Value error, " + safe.FieldMessage()
	}
	if t.Kind() == reflect.Struct && typ == "model_attributes_type" {
		return "value_error", "Value error, the value is not valid here"
	}
	return typ, msg
}
