// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/httpx"
)

var (
	timeType = reflect.TypeFor[httpx.Time]()
	uuidType = reflect.TypeFor[uuid.UUID]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// Enum is implemented by text types with a fixed set of values.
type Enum interface {
	// Values lists what the type may hold.
	Values() []string
}

// SchemaOf is implemented by types whose JSON form reflection cannot see.
type SchemaOf interface {
	// Schema is the type's JSON schema.
	Schema() map[string]any
}

// field is one member of a struct's JSON form.
type field struct {
	name      string
	typ       reflect.Type
	tag       reflect.StructTag
	omitEmpty bool
}

// fields lists the JSON members of a struct, embedded structs flattened.
func fields(t reflect.Type) []field {
	var out []field
	for sf := range t.Fields() {
		if sf.Name == "_" {
			continue
		}
		name, opts, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && name == "" {
			out = append(out, fields(sf.Type)...)
			continue
		}
		if name == "-" || !sf.IsExported() {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		out = append(out, field{name: name, typ: sf.Type, tag: sf.Tag, omitEmpty: strings.Contains(opts, "omit")})
	}
	return out
}

// closed reports whether a struct refuses unknown members.
func closed(t reflect.Type) bool {
	for sf := range t.Fields() {
		if sf.Name == "_" && sf.Tag.Get("extra") == "forbid" {
			return true
		}
	}
	return false
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// schemas collects the components of a document. Requests and answers differ in what is required, so a struct that
// serves as both gets two.
type schemas struct {
	components map[string]any
	owners     map[string]reflect.Type
	faults     []error
}

func newSchemas() *schemas {
	return &schemas{components: map[string]any{}, owners: map[string]reflect.Type{}}
}

// of returns the schema of a type; input says that it describes a request.
func (s *schemas) of(t reflect.Type, input bool) map[string]any {
	switch t {
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case uuidType:
		return map[string]any{"type": "string", "format": "uuid"}
	case rawType:
		return map[string]any{}
	}
	if own, ok := reflect.TypeAssert[SchemaOf](reflect.New(t).Elem()); ok && t.Kind() != reflect.Pointer {
		return own.Schema()
	}
	if e, ok := reflect.TypeAssert[Enum](reflect.New(t).Elem()); ok && t.Kind() != reflect.Pointer {
		return map[string]any{"type": "string", "enum": e.Values()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.of(t.Elem(), input))
	case reflect.Struct:
		return map[string]any{"$ref": "#/components/schemas/" + s.component(t, input)}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": s.of(t.Elem(), input)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem(), input)}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	}
	if t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
		return map[string]any{"type": "integer"}
	}
	s.faults = append(s.faults, fmt.Errorf("openapi: no schema for %v", t))
	return map[string]any{}
}

// nullable adds null to a schema.
func nullable(schema map[string]any) map[string]any {
	typ, ok := schema["type"].(string)
	if !ok {
		if len(schema) == 0 {
			return schema
		}
		return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
	}
	schema["type"] = []string{typ, "null"}
	if values, ok := schema["enum"].([]string); ok {
		list := make([]any, 0, len(values)+1)
		for _, v := range values {
			list = append(list, v)
		}
		schema["enum"] = append(list, nil)
	}
	return schema
}

// component registers a struct and returns its name.
func (s *schemas) component(t reflect.Type, input bool) string {
	name := t.Name()
	// Generic instances read Page[pkg.Item]: keep the readable part.
	if base, arg, ok := strings.Cut(name, "["); ok {
		arg = strings.TrimSuffix(arg, "]")
		name = base + arg[strings.LastIndexByte(arg, '.')+1:]
	}
	if name == "" {
		s.faults = append(s.faults, fmt.Errorf("openapi: the struct %v needs a name", t))
		return "Unnamed"
	}
	key := name
	if input {
		key += "\x00in"
	}
	if owner, ok := s.owners[key]; ok {
		if owner != t {
			s.faults = append(s.faults, fmt.Errorf("openapi: %v and %v share the name %s", owner, t, name))
		}
		return s.publicName(name, input)
	}
	s.owners[key] = t
	public := s.publicName(name, input)
	s.components[public] = map[string]any{} // ends recursion
	s.components[public] = s.object(t, input)
	return public
}

// publicName separates the request form of a struct from an answer form of the same name.
func (s *schemas) publicName(name string, input bool) string {
	if _, alsoAnswer := s.owners[name]; input && alsoAnswer {
		return name + "Input"
	}
	return name
}

func (s *schemas) object(t reflect.Type, input bool) map[string]any {
	props, required := map[string]any{}, []string{}
	for _, f := range fields(t) {
		schema := s.of(f.typ, input)
		props[f.name] = s.constrain(schema, f, input)
		if input && hasRule(f.tag, "required") || !input && !f.omitEmpty {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": props}
	if len(required) > 0 {
		out["required"] = required
	}
	if closed(t) {
		out["additionalProperties"] = false
	}
	return out
}

func hasRule(tag reflect.StructTag, rule string) bool {
	for part := range strings.SplitSeq(tag.Get("validate"), ",") {
		if part == rule {
			return true
		}
	}
	return false
}

// constrain adds the bounds of the field's tags.
func (s *schemas) constrain(schema map[string]any, f field, input bool) map[string]any {
	kind := deref(f.typ).Kind()
	if hasRule(f.tag, "notnull") {
		schema = s.of(deref(f.typ), input)
	}
	set := func(name string, value any) {
		if _, isRef := schema["$ref"]; !isRef {
			schema[name] = value
		}
	}
	minName, maxName := "minLength", "maxLength"
	switch kind {
	case reflect.Slice:
		minName, maxName = "minItems", "maxItems"
	case reflect.Map:
		minName, maxName = "minProperties", "maxProperties"
	default:
	}
	bounds := map[string]string{"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
	for part := range strings.SplitSeq(f.tag.Get("validate"), ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "min", "max":
			n, err := strconv.Atoi(value)
			if err != nil {
				s.faults = append(s.faults, fmt.Errorf("openapi: field %s: %w", f.name, err))
			}
			if key == "min" {
				set(minName, n)
			} else {
				set(maxName, n)
			}
		case "ge", "le", "gt", "lt":
			set(bounds[key], json.Number(value))
		case "oneof":
			var values []any
			for v := range strings.SplitSeq(value, "|") {
				values = append(values, v)
			}
			if _, isNullable := schema["type"].([]string); isNullable {
				values = append(values, nil)
			}
			set("enum", values)
		case "secret":
			set("format", "password")
		}
	}
	if p := f.tag.Get("pattern"); p != "" {
		set("pattern", p)
	}
	if def, ok := f.tag.Lookup("default"); ok {
		switch kind {
		case reflect.Bool:
			set("default", def == "true")
		case reflect.String:
			set("default", def)
		default:
			set("default", json.Number(def))
		}
	}
	if d := f.tag.Get("doc"); d != "" {
		set("description", d)
	}
	return schema
}
