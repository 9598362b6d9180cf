// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// AppendCanonicalValue appends the canonical JSON of a value built from Go: nil, bool, string, integers,
// float64, json.Number, json.RawMessage, []byte (JSON text), and slices and string-keyed maps of those. It is
// the form digests and the audit chain are computed over.
func AppendCanonicalValue(dst []byte, v any) ([]byte, error) {
	return appendValue(dst, v, 0)
}

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	if depth > DefaultMaxDepth {
		return dst, &Error{Class: ClassProtocol, Reason: "nested too deeply", TooDeep: true}
	}
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, x), nil
	case string:
		if !utf8.ValidString(x) {
			return dst, protocolError("", "a string is not valid UTF-8")
		}
		return AppendString(dst, x), nil
	case int:
		return strconv.AppendInt(dst, int64(x), 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(x), 10), nil
	case int64:
		return strconv.AppendInt(dst, x, 10), nil
	case uint64:
		return strconv.AppendUint(dst, x, 10), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return dst, protocolError("", "NaN and infinities have no JSON form")
		}
		return appendFloat(dst, x), nil
	case json.Number:
		tok := []byte(x)
		end, integer := scanNumber(tok, 0)
		if end != len(tok) {
			return dst, protocolError("", "%q is not a JSON number", string(x))
		}
		out, ok := appendNumber(dst, tok, integer)
		if !ok {
			return dst, protocolError("", "number out of range")
		}
		return out, nil
	case json.RawMessage:
		return CanonicalDepth(dst, x, DefaultMaxDepth-depth)
	case []byte:
		return CanonicalDepth(dst, x, DefaultMaxDepth-depth)
	case map[string]any:
		return appendMap(dst, x, depth, appendValue)
	case map[string]string:
		return appendMap(dst, x, depth, func(d []byte, s string, n int) ([]byte, error) { return appendValue(d, s, n) })
	case map[string]int64:
		return appendMap(dst, x, depth, func(d []byte, i int64, n int) ([]byte, error) { return appendValue(d, i, n) })
	case []any:
		return appendSlice(dst, x, depth, appendValue)
	case []map[string]any:
		return appendSlice(dst, x, depth, func(d []byte, m map[string]any, n int) ([]byte, error) { return appendValue(d, m, n) })
	case []string:
		return appendSlice(dst, x, depth, func(d []byte, s string, n int) ([]byte, error) { return appendValue(d, s, n) })
	default:
		return dst, protocolError("", "a %T has no canonical JSON form", v)
	}
}

func appendMap[V any](dst []byte, m map[string]V, depth int, each func([]byte, V, int) ([]byte, error)) ([]byte, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if !utf8.ValidString(k) {
			return dst, protocolError("", "a key is not valid UTF-8")
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, k), ':')
		var err error
		if dst, err = each(dst, m[k], depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendSlice[V any](dst []byte, s []V, depth int, each func([]byte, V, int) ([]byte, error)) ([]byte, error) {
	dst = append(dst, '[')
	for i, v := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = each(dst, v, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}
