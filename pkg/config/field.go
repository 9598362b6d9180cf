// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one setting: a struct field with an env tag.
type field struct {
	env   string
	group string
	index []int
	sf    reflect.StructField
}

// fields walks the settings of Config in declaration order.
func fields(t reflect.Type) iter.Seq[field] {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			group := t.Field(i)
			if group.Type.Kind() != reflect.Struct || !group.IsExported() {
				continue
			}
			for j := range group.Type.NumField() {
				sf := group.Type.Field(j)
				if name := sf.Tag.Get("env"); name != "" && !yield(field{env: name, group: group.Name, index: []int{i, j}, sf: sf}) {
					return
				}
			}
		}
	}
}

// form says how a value of the setting is written.
func (f field) form() string {
	t := f.sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	low, high := f.sf.Tag.Get("min"), f.sf.Tag.Get("max")
	if choices := f.sf.Tag.Get("oneof"); choices != "" {
		return "write one of " + strings.ReplaceAll(choices, "|", ", ")
	}
	unit := "a whole number"
	switch t {
	case reflect.TypeFor[Bool]():
		return "write true or false"
	case reflect.TypeFor[List](), reflect.TypeFor[Secrets]():
		return "write a,b or [\"a\",\"b\"]"
	case reflect.TypeFor[Seconds]():
		unit = "a number of seconds"
	case reflect.TypeFor[float64]():
		unit = "a number"
	default:
		if t.Kind() != reflect.Int {
			return "write a text"
		}
	}
	switch {
	case low != "" && high != "":
		return fmt.Sprintf("write %s from %s to %s", unit, low, high)
	case low != "":
		return fmt.Sprintf("write %s of at least %s", unit, low)
	}
	return "write " + unit
}

// kind names the setting's type on the reference page.
func (f field) kind() string {
	t := f.sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Bool]():
		return "true/false"
	case reflect.TypeFor[List]():
		return "list"
	case reflect.TypeFor[Seconds]():
		return "seconds"
	case reflect.TypeFor[Secret]():
		return "secret"
	case reflect.TypeFor[Secrets]():
		return "list of secrets"
	}
	if t.Kind() == reflect.Int || t.Kind() == reflect.Float64 {
		return "number"
	}
	return "text"
}

// secret reports whether the value must not be shown.
func (f field) secret() bool {
	return f.sf.Type == reflect.TypeFor[Secret]() || f.sf.Type == reflect.TypeFor[Secrets]()
}

// bounds describes the permitted values on the reference page.
func (f field) bounds() string {
	if choices := f.sf.Tag.Get("oneof"); choices != "" {
		return strings.ReplaceAll(choices, "|", ", ")
	}
	low, high := f.sf.Tag.Get("min"), f.sf.Tag.Get("max")
	switch {
	case f.sf.Type.Kind() == reflect.String && high != "":
		return "at most " + high + " characters"
	case low != "" && high != "":
		return low + " to " + high
	case low != "":
		return "at least " + low
	}
	return ""
}

// checkBounds applies the min, max and oneof tags to the settings that could be read.
func checkBounds(cfg *Config, unreadable []Fault) []Fault {
	var faults []Fault
	root := reflect.ValueOf(cfg).Elem()
	for f := range fields(root.Type()) {
		if slices.ContainsFunc(unreadable, func(u Fault) bool { return u.Name == f.env }) {
			continue
		}
		if !f.inBounds(root.FieldByIndex(f.index)) {
			problem := "is out of bounds"
			if f.sf.Tag.Get("oneof") != "" {
				problem = "is not one of the permitted values"
			}
			faults = append(faults, Fault{Name: f.env, Problem: problem, Remedy: "it is set in " + cfg.Source(f.env) + "; " + f.form()})
		}
	}
	return faults
}

func (f field) inBounds(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		return true
	}
	if choices := f.sf.Tag.Get("oneof"); choices != "" {
		text := v.String()
		return text == "" || slices.ContainsFunc(strings.Split(choices, "|"), func(c string) bool { return strings.EqualFold(c, text) })
	}
	var n float64
	switch {
	case v.Type() == reflect.TypeFor[Seconds]():
		n = time.Duration(v.Int()).Seconds()
	case v.Kind() == reflect.Int:
		n = float64(v.Int())
	case v.Kind() == reflect.Float64:
		n = v.Float()
		if math.IsNaN(n) {
			return false // it is on neither side of a bound
		}
	case v.Kind() == reflect.String:
		n = float64(len(v.String()))
	default:
		return true
	}
	low, high := f.sf.Tag.Get("min"), f.sf.Tag.Get("max")
	if limit, err := strconv.ParseFloat(low, 64); err == nil && n < limit {
		return false
	}
	if limit, err := strconv.ParseFloat(high, 64); err == nil && n > limit {
		return false
	}
	return true
}
