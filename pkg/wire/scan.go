// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

// errScan is returned for text that is not the JSON the caller promised.
var errScan = errors.New("malformed JSON")

// ScanObject calls each for every member of a JSON object, in source order, duplicates included (the last
// one counts). key is the decoded name, value the raw text of the value; both are only valid during the
// call if the caller reuses raw, and key must not be kept (a name with escapes is decoded into a temporary).
//
// raw must be valid JSON, as everything inside a verified frame is. Other input yields an error or odd
// windows, never a panic. An error from each ends the scan and is returned.
func ScanObject(raw []byte, each func(key, value []byte) error) error {
	return ScanMembers(raw, func(name, value []byte) error {
		key := name[1 : len(name)-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			key = appendDecoded(nil, key)
		}
		return each(key, value)
	})
}

// ScanMembers is [ScanObject] with the raw name token, quotes included, for callers that write it out again.
func ScanMembers(raw []byte, each func(name, value []byte) error) error {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return errScan
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		return nil
	}
	for {
		if i >= len(raw) || raw[i] != '"' {
			return errScan
		}
		end := skipString(raw, i)
		if end < 0 {
			return errScan
		}
		name := raw[i:end]
		i = skipSpace(raw, end)
		if i >= len(raw) || raw[i] != ':' {
			return errScan
		}
		i = skipSpace(raw, i+1)
		if end = skipValue(raw, i); end < 0 {
			return errScan
		}
		if err := each(name, raw[i:end]); err != nil {
			return err
		}
		i = skipSpace(raw, end)
		if i >= len(raw) {
			return errScan
		}
		switch raw[i] {
		case ',':
			i = skipSpace(raw, i+1)
		case '}':
			return nil
		default:
			return errScan
		}
	}
}

// ScanArray calls each for every element of a JSON array. The rules of [ScanObject] hold.
func ScanArray(raw []byte, each func(value []byte) error) error {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '[' {
		return errScan
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == ']' {
		return nil
	}
	for {
		end := skipValue(raw, i)
		if end < 0 {
			return errScan
		}
		if err := each(raw[i:end]); err != nil {
			return err
		}
		i = skipSpace(raw, end)
		if i >= len(raw) {
			return errScan
		}
		switch raw[i] {
		case ',':
			i = skipSpace(raw, i+1)
		case ']':
			return nil
		default:
			return errScan
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at b[i], or -1.
func skipString(b []byte, i int) int {
	i++
	for i < len(b) {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return -1
		}
		end := i + j
		slashes := 0
		for k := end - 1; k >= i && b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
	return -1
}

// skipValue returns the index after the value that starts at b[i], or -1. Containers are skipped by
// counting brackets outside strings, without recursion.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				if i = skipString(b, i); i < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	default:
		start := i
		for i < len(b) {
			switch b[i] {
			case ',', '}', ']', ':', ' ', '\n', '\t', '\r', '"', '{', '[':
				if i == start {
					return -1
				}
				return i
			}
			i++
		}
		return i
	}
}

// IsObject reports whether the raw value is an object.
func IsObject(raw []byte) bool { return len(raw) > 1 && raw[0] == '{' }

// IsArray reports whether the raw value is an array.
func IsArray(raw []byte) bool { return len(raw) > 1 && raw[0] == '[' }

// IsString reports whether the raw value is a string.
func IsString(raw []byte) bool { return len(raw) > 1 && raw[0] == '"' }

// IsNull reports whether the raw value is null or absent (empty).
func IsNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// StringOf returns the text of a raw JSON string; ok is false if raw is anything else.
func StringOf(raw []byte) (s string, ok bool) {
	if !IsString(raw) {
		return "", false
	}
	body := raw[1 : len(raw)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body), true
	}
	return string(appendDecoded(make([]byte, 0, len(body)), body)), true
}

// textOf is StringOf without a copy where possible.
func textOf(raw []byte) (text []byte, ok bool) {
	if !IsString(raw) {
		return nil, false
	}
	body := raw[1 : len(raw)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return body, true
	}
	return appendDecoded(make([]byte, 0, len(body)), body), true
}

// IntOf returns the value of a raw JSON integer token that fits int64. A token with a fraction or an
// exponent is not an integer.
func IntOf(raw []byte) (n int64, ok bool) {
	i, neg := 0, false
	if len(raw) > 0 && raw[0] == '-' {
		i, neg = 1, true
	}
	if i >= len(raw) || len(raw)-i > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range raw[i:] {
		if c-'0' > 9 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if neg {
		if u > 1<<63 {
			return 0, false
		}
		return -int64(u), true //nolint:gosec // -2^63 wraps onto itself
	}
	if u > math.MaxInt64 {
		return 0, false
	}
	return int64(u), true
}

// FloatOf returns the value of any raw JSON number that is a finite double.
func FloatOf(raw []byte) (f float64, ok bool) {
	end, integer := scanNumber(raw, 0)
	if end < 0 || end != len(raw) {
		return 0, false
	}
	if integer && len(raw) > 15 {
		f, err := strconv.ParseFloat(string(raw), 64)
		return f, err == nil
	}
	return parseFloat(raw)
}

// BoolOf returns the value of a raw JSON boolean.
func BoolOf(raw []byte) (b, ok bool) {
	switch string(raw) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// AppendUnescaped appends the text that the body of a JSON string (without its quotes) stands for.
func AppendUnescaped(dst, body []byte) []byte { return appendDecoded(dst, body) }

// SkipValue returns the index after the value that starts at b[i] (no leading space), or -1 if there is none.
func SkipValue(b []byte, i int) int { return skipValue(b, i) }

// SkipString returns the index after the string whose opening quote is b[i], or -1.
func SkipString(b []byte, i int) int { return skipString(b, i) }

// SkipSpace returns the index of the first byte at or after i that is not JSON white space.
func SkipSpace(b []byte, i int) int { return skipSpace(b, i) }
