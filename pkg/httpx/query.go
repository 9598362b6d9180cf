// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Query reads a request's query parameters and collects what is wrong with them; check Err once at the end.
type Query struct {
	values url.Values
	faults Faults
}

// NewQuery parses the query string of r.
func NewQuery(r *http.Request) *Query { return &Query{values: r.URL.Query()} }

// Err returns a *ValidationError with all faults so far, or nil.
func (q *Query) Err() error { return q.faults.Err() }

// Fault records a fault of parameter name that only the caller can see.
func (q *Query) Fault(name, typ, msg string) { q.faults.at([]any{"query", name}, typ, msg) }

// Has reports whether the parameter is there and not empty.
func (q *Query) Has(name string) bool { return q.values.Get(name) != "" }

// String returns the parameter, at most maxLen characters; missing is "".
func (q *Query) String(name string, maxLen int) string {
	v := q.values.Get(name)
	if maxLen > 0 && utf8.RuneCountInString(v) > maxLen {
		q.Fault(name, "string_too_long", "String should have at most "+plural(maxLen, "character"))
		return ""
	}
	return v
}

// Strings returns all values of a repeated parameter, without empty ones.
func (q *Query) Strings(name string) []string {
	var out []string
	for _, v := range q.values[name] {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// Int returns a whole number between low and high; missing is def.
func (q *Query) Int(name string, def, low, high int) int {
	if !q.Has(name) {
		return def
	}
	n, err := strconv.Atoi(q.values.Get(name))
	switch {
	case err != nil:
		q.Fault(name, "int_parsing", "Input should be a valid integer, unable to parse string as an integer")
	case n < low:
		q.Fault(name, "greater_than_equal", "Input should be greater than or equal to "+strconv.Itoa(low))
	case n > high:
		q.Fault(name, "less_than_equal", "Input should be less than or equal to "+strconv.Itoa(high))
	default:
		return n
	}
	return def
}

// Float returns a number between low and high, or nil when missing.
func (q *Query) Float(name string, low, high float64) *float64 {
	if !q.Has(name) {
		return nil
	}
	n, err := strconv.ParseFloat(q.values.Get(name), 64)
	switch {
	case err != nil || n != n:
		q.Fault(name, "float_parsing", "Input should be a valid number, unable to parse string as a number")
	case n < low:
		q.Fault(name, "greater_than_equal", "Input should be greater than or equal to "+strconv.FormatFloat(low, 'g', -1, 64))
	case n > high:
		q.Fault(name, "less_than_equal", "Input should be less than or equal to "+strconv.FormatFloat(high, 'g', -1, 64))
	default:
		return &n
	}
	return nil
}

// Bool returns a flag; missing is def.
func (q *Query) Bool(name string, def bool) bool {
	if v := q.OptionalBool(name); v != nil {
		return *v
	}
	return def
}

// OptionalBool returns a flag, or nil when missing.
func (q *Query) OptionalBool(name string) *bool {
	if !q.Has(name) {
		return nil
	}
	v, ok := parseBool(q.values.Get(name))
	if !ok {
		q.Fault(name, "bool_parsing", "Input should be a valid boolean, unable to interpret input")
		return nil
	}
	return &v
}

// Enum returns one of the permitted values; missing is def.
func (q *Query) Enum(name, def string, permitted ...string) string {
	v := q.values.Get(name)
	if v == "" {
		return def
	}
	if !slices.Contains(permitted, v) {
		q.Fault(name, "literal_error", "Input should be "+orList(permitted))
		return def
	}
	return v
}

// Time returns a time, or nil when missing; without a zone it is UTC.
func (q *Query) Time(name string) *time.Time {
	if !q.Has(name) {
		return nil
	}
	t, err := ParseTime(plusFromSpace(q.values.Get(name)))
	if err != nil {
		q.Fault(name, "datetime_from_date_parsing", "Input should be a valid datetime or date")
		return nil
	}
	return &t
}

// plusFromSpace mends `2026-01-01T00:00:00+02:00` sent without escaping its plus sign.
func plusFromSpace(v string) string {
	if n := len(v); n > 19 && v[n-6] == ' ' && v[n-3] == ':' && v[10] == 'T' {
		return v[:n-6] + "+" + v[n-5:]
	}
	return v
}

// UUID returns an id, or nil when missing.
func (q *Query) UUID(name string) *uuid.UUID {
	if !q.Has(name) {
		return nil
	}
	id, err := uuid.Parse(q.values.Get(name))
	if err != nil {
		q.Fault(name, "uuid_parsing", "Input should be a valid UUID")
		return nil
	}
	return &id
}

// Cursor returns the page position; ok is false for the first page, also when malformed.
func (q *Query) Cursor(name string) (c Cursor, ok bool) { return ParseCursor(q.values.Get(name)) }

// PathUUID parses a path parameter; the error is a *ValidationError at ["path", name].
func PathUUID(name, value string) (uuid.UUID, error) {
	id, err := uuid.Parse(value)
	if err != nil {
		return uuid.UUID{}, Invalid("uuid_parsing", "Input should be a valid UUID", "path", name)
	}
	return id, nil
}
