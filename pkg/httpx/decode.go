// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
)

// Validator lets a body check what tags can't say, such as two fields that exclude each other. It
// runs only when the tags found no fault.
type Validator interface {
	Validate(faults *Faults)
}

// Faults collects the refused values of one request.
type Faults struct {
	errs []FieldError
}

// Add records one fault at ["body", loc...].
func (f *Faults) Add(typ, msg string, loc ...any) {
	f.at(append([]any{"body"}, loc...), typ, msg)
}

// maxFaults bounds an answer: a body of a million wrong items is not repeated to its sender.
const maxFaults = 50

func (f *Faults) at(loc []any, typ, msg string) {
	if len(f.errs) < maxFaults {
		f.errs = append(f.errs, FieldError{Loc: loc, Msg: msg, Type: typ})
	}
}

// Err returns a *ValidationError, or nil without faults.
func (f *Faults) Err() error {
	if len(f.errs) == 0 {
		return nil
	}
	return &ValidationError{Errors: f.errs}
}

// Decode reads a JSON object into the struct that dst points to, and returns one *ValidationError
// with all faults. The tags of a field:
//
//	json:"name"               its name; compared exactly, unlike encoding/json
//	validate:"required"       must be there (null is allowed only for pointers, maps, slices and any)
//	validate:"notnull"        may be missing, but not null
//	validate:"min=1,max=200"  bounds of a text's characters, a list's items or a map's entries
//	validate:"ge=0,le=10"     bounds of a number (also gt, lt)
//	validate:"oneof=a|b"      the permitted texts
//	validate:"secret"         the value never appears in a message (no value ever does; this documents it)
//	pattern:"^[a-z]+$"        regular expression for a text
//	default:"30"              value when missing: text, number or bool
//
// A blank field `_ struct{} extra:"forbid"` makes unknown fields a fault; otherwise they are ignored.
func Decode(r *http.Request, dst any) error {
	return decode(r, dst, false)
}

// DecodeOptional is Decode for routes whose body may be absent: dst then gets its defaults, and
// required fields are reported.
func DecodeOptional(r *http.Request, dst any) error {
	return decode(r, dst, true)
}

func decode(r *http.Request, dst any, optional bool) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read request body: %w", err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if !optional {
			return Invalid("missing", "Field required: send a JSON object as the body", "body")
		}
		body = []byte("{}")
	} else if err := checkContentType(r); err != nil {
		return err
	}
	return DecodeBytes(body, dst)
}

// checkContentType refuses the types that a foreign page can send without the browser asking first,
// so that no form on another site reaches a JSON route.
func checkContentType(r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	if ct == "" {
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			return Invalid("content_type", "Send Content-Type: application/json", "header", "content-type")
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(ct)
	if err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) {
		return nil
	}
	return Invalid("content_type", "Send Content-Type: application/json", "header", "content-type")
}

// DecodeBytes is Decode for a body already read.
func DecodeBytes(body []byte, dst any) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode into %T: want a pointer to a struct", dst)
	}
	if err := checkSyntax(body); err != nil {
		return err
	}
	faults := &Faults{}
	decodeStruct(body, target.Elem(), []any{"body"}, faults)
	if err := faults.Err(); err != nil {
		return err
	}
	if v, ok := dst.(Validator); ok {
		v.Validate(faults)
	}
	return faults.Err()
}

func checkSyntax(body []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return Invalid("json_invalid", "JSON decode error: "+syntax.Error(), "body", syntax.Offset)
	}
	return Invalid("json_invalid", "JSON decode error", "body")
}

// decodeStruct fills target from a JSON object; the syntax was checked before.
func decodeStruct(raw []byte, target reflect.Value, loc []any, faults *Faults) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		faults.at(loc, "model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
		return
	}
	forbidExtra := walkStruct(members, target, loc, faults)
	if !forbidExtra {
		return
	}
	for name := range members {
		faults.at(sub(loc, name), "extra_forbidden", "Extra inputs are not permitted")
	}
}

// walkStruct decodes every field and removes its member; what is left is unknown.
func walkStruct(members map[string]json.RawMessage, target reflect.Value, loc []any, faults *Faults) (forbidExtra bool) {
	t := target.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Name == "_" {
			forbidExtra = forbidExtra || sf.Tag.Get("extra") == "forbid"
			continue
		}
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("json") == "" {
			forbidExtra = walkStruct(members, target.Field(i), loc, faults) || forbidExtra
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "-" || !sf.IsExported() {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		raw, present := members[name]
		delete(members, name)
		decodeField(sf, raw, present, target.Field(i), sub(loc, name), faults)
	}
	return forbidExtra
}

func decodeField(sf reflect.StructField, raw json.RawMessage, present bool, field reflect.Value, loc []any, faults *Faults) {
	rules := parseRules(sf.Tag)
	if !present {
		switch {
		case rules.required:
			faults.at(loc, "missing", "Field required")
		case rules.hasDefault:
			setDefault(field, rules.def)
		}
		return
	}
	if _, tells := reflect.TypeAssert[NullAware](field.Addr()); string(raw) == "null" && !tells {
		if rules.notNull || !nullable(field.Type()) {
			typ, msg := typeFault(field.Type())
			faults.at(loc, typ, msg)
			return
		}
		field.SetZero()
		return
	}
	if !decodeValue(raw, field, loc, faults) {
		return
	}
	rules.check(field, loc, faults)
}

// NullAware marks types whose UnmarshalJSON tells null from a missing member, for fields that null clears.
type NullAware interface {
	json.Unmarshaler
	// NullAware does nothing.
	NullAware()
}

// nullable reports whether null is a value of its own for the type.
func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}

// decodeValue puts one JSON value into field; it recurses through pointers, lists and structs of ours
// so that faults name the exact place.
func decodeValue(raw json.RawMessage, field reflect.Value, loc []any, faults *Faults) bool {
	before := len(faults.errs)
	t := field.Type()
	custom := reflect.PointerTo(t).Implements(unmarshalerType) || reflect.PointerTo(t).Implements(textUnmarshalerType)
	switch {
	case custom:
		if err := json.Unmarshal(raw, field.Addr().Interface()); err != nil {
			typ, msg := customFault(t, err)
			faults.at(loc, typ, msg)
		}
	case t.Kind() == reflect.Pointer:
		elem := reflect.New(t.Elem())
		if decodeValue(raw, elem.Elem(), loc, faults) {
			field.Set(elem)
		}
	case t.Kind() == reflect.Struct:
		decodeStruct(raw, field, loc, faults)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		decodeList(raw, field, loc, faults)
	default:
		decodeScalar(raw, field, loc, faults)
	}
	return len(faults.errs) == before
}

func decodeList(raw json.RawMessage, field reflect.Value, loc []any, faults *Faults) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		faults.at(loc, "list_type", "Input should be a valid list")
		return
	}
	list := reflect.MakeSlice(field.Type(), len(items), len(items))
	for i, item := range items {
		if len(faults.errs) >= maxFaults {
			break
		}
		itemLoc := sub(loc, i)
		if string(item) == "null" && !nullable(field.Type().Elem()) {
			typ, msg := typeFault(field.Type().Elem())
			faults.at(itemLoc, typ, msg)
			continue
		}
		decodeValue(item, list.Index(i), itemLoc, faults)
	}
	field.Set(list)
}

// decodeScalar accepts the JSON type, and numbers and booleans written as texts: form-minded clients send those.
func decodeScalar(raw json.RawMessage, field reflect.Value, loc []any, faults *Faults) {
	if json.Unmarshal(raw, field.Addr().Interface()) == nil {
		return
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && field.Kind() != reflect.String && setDefault(field, text) {
		return
	}
	var number float64
	if isInt(field.Kind()) && json.Unmarshal(raw, &number) == nil && number == float64(int64(number)) && !field.OverflowInt(int64(number)) {
		field.SetInt(int64(number)) // 5.0
		return
	}
	typ, msg := typeFault(field.Type())
	faults.at(loc, typ, msg)
}

// sub returns loc extended by part, never sharing the array.
func sub(loc []any, part any) []any {
	out := make([]any, len(loc), len(loc)+1)
	copy(out, loc)
	return append(out, part)
}
