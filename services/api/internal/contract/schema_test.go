// SPDX-License-Identifier: AGPL-3.0-or-later

package contract

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"
)

// document is our OpenAPI document, as far as answers go.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]map[string]any }
}

type operation struct {
	OperationID string `json:"operationId"`
	Responses   map[string]struct {
		Content map[string]struct{ Schema map[string]any }
	}
}

func parseDocument(raw []byte) (*document, error) {
	d := &document{}
	return d, json.Unmarshal(raw, d)
}

// operationFor finds an operation by method and path template, whatever the parameters are called.
func (d *document) operationFor(method, template string) (operation, bool) {
	want := anonymous(template)
	for path, item := range d.Paths {
		if anonymous(path) == want {
			if op, ok := item[strings.ToLower(method)]; ok {
				return op, true
			}
		}
	}
	return operation{}, false
}

// anonymous replaces parameter names: /users/{user_id} becomes /users/{}.
func anonymous(template string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(template, "{") {
		if _, rest, ok := strings.Cut(part, "}"); ok {
			b.WriteString("{}" + rest)
		} else {
			b.WriteString(part)
		}
	}
	return b.String()
}

// schemaFor returns the schema of an answer; declared is false when the document does not know the status.
func (op operation) schemaFor(status int) (schema map[string]any, declared bool) {
	r, ok := op.Responses[fmt.Sprint(status)]
	if !ok {
		return nil, false
	}
	return r.Content["application/json"].Schema, true
}

// check validates v strictly: members that the schema does not declare are faults too.
func (d *document) check(v any, schema map[string]any, at string) []string {
	if len(schema) == 0 {
		return nil
	}
	if ref, ok := schema["$ref"].(string); ok {
		return d.check(v, d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], at)
	}
	if options, ok := schema["anyOf"].([]any); ok {
		var first []string
		for i, o := range options {
			option, _ := o.(map[string]any)
			faults := d.check(v, option, at)
			if len(faults) == 0 {
				return nil
			}
			if i == 0 {
				first = faults // the first option is the usual one
			}
		}
		return first
	}
	if fault := checkType(v, schema["type"]); fault != "" {
		return []string{at + ": " + fault}
	}
	var faults []string
	if values, ok := schema["enum"].([]any); ok && !slices.Contains(values, v) {
		faults = append(faults, fmt.Sprintf("%s: %v is not one of %v", at, v, values))
	}
	switch v := v.(type) {
	case map[string]any:
		faults = append(faults, d.checkObject(v, schema, at)...)
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			faults = append(faults, d.check(item, items, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case string:
		if fault := checkFormat(v, schema["format"]); fault != "" {
			faults = append(faults, at+": "+fault)
		}
	}
	return faults
}

func (d *document) checkObject(v, schema map[string]any, at string) []string {
	var faults []string
	props, _ := schema["properties"].(map[string]any)
	more, open := schema["additionalProperties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[fmt.Sprint(name)]; !ok {
			faults = append(faults, fmt.Sprintf("%s.%v is missing", at, name))
		}
	}
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if prop, ok := props[name].(map[string]any); ok {
			faults = append(faults, d.check(v[name], prop, at+"."+name)...)
		} else if open {
			faults = append(faults, d.check(v[name], more, at+"."+name)...)
		} else {
			faults = append(faults, fmt.Sprintf("%s.%s is not declared", at, name))
		}
	}
	return faults
}

func checkType(v, declared any) string {
	if declared == nil {
		return ""
	}
	types, ok := declared.([]any)
	if !ok {
		types = []any{declared}
	}
	got := typeName(v)
	for _, t := range types {
		if t == got || (t == "number" && got == "integer") {
			return ""
		}
	}
	return fmt.Sprintf("is %s, declared %v", got, declared)
}

// typeName is the JSON type of a decoded value.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func checkFormat(v string, format any) string {
	switch format {
	case "uuid":
		if _, err := uuid.Parse(v); err != nil {
			return fmt.Sprintf("%q is no uuid", v)
		}
	case "date-time":
		if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
			return fmt.Sprintf("%q is no time with a zone", v)
		}
	}
	return ""
}
