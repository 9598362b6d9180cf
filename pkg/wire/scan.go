// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
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
	c := cursor{b: raw, i: skipSpace(raw, 0)}
	for more := c.enter('{'); more; more = c.next('}') {
		name := c.name()
		value := c.value()
		if c.bad {
			break
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	return c.err()
}

// ScanArray calls each for every element of a JSON array. The rules of [ScanObject] hold.
func ScanArray(raw []byte, each func(value []byte) error) error {
	c := cursor{b: raw, i: skipSpace(raw, 0)}
	for more := c.enter('['); more; more = c.next(']') {
		value := c.value()
		if c.bad {
			break
		}
		if err := each(value); err != nil {
			return err
		}
	}
	return c.err()
}

// cursor walks through containers. Once bad it stays where it is and yields nothing more.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

func (c *cursor) err() error {
	if c.bad {
		return errScan
	}
	return nil
}

// at reports whether the next byte is this one.
func (c *cursor) at(b byte) bool { return c.i < len(c.b) && c.b[c.i] == b }

// enter steps into the container that starts here and reports whether it has a first entry; if not, the cursor
// is behind it.
func (c *cursor) enter(open byte) bool {
	if !c.at(open) {
		c.bad = true
		return false
	}
	c.i = skipSpace(c.b, c.i+1)
	if c.at(open + 2) { // '{' + 2 is '}', '[' + 2 is ']'
		c.i++
		return false
	}
	return true
}

// next steps behind an entry and reports whether there is another one; if not, the cursor is behind the container.
func (c *cursor) next(end byte) bool {
	if c.bad {
		return false
	}
	c.i = skipSpace(c.b, c.i)
	switch {
	case c.at(','):
		c.i = skipSpace(c.b, c.i+1)
		return true
	case c.at(end):
		c.i++
		return false
	}
	c.bad = true
	return false
}

// name returns the member name here, quotes included, and steps to its value.
func (c *cursor) name() []byte {
	if !c.at('"') {
		c.bad = true
		return nil
	}
	end := skipString(c.b, c.i)
	if end < 0 {
		c.bad = true
		return nil
	}
	name := c.b[c.i:end]
	if c.i = skipSpace(c.b, end); !c.at(':') {
		c.bad = true
		return nil
	}
	c.i = skipSpace(c.b, c.i+1)
	return name
}

// value returns the value here and steps behind it.
func (c *cursor) value() []byte {
	end := -1
	if !c.bad {
		end = skipValue(c.b, c.i)
	}
	if end < 0 {
		c.bad = true
		return nil
	}
	value := c.b[c.i:end]
	c.i = end
	return value
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at b[i], or -1.
func skipString(b []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	i++
	for i < len(b) {
		if i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, s := w^(ones*'"'), w^(ones*'\\')
			// The lowest flag is exact: the first quote or backslash.
			m := ((q-ones)&^q | (s-ones)&^s) & highs
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) / 8
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i += 2
		default:
			i++
		}
	}
	return -1
}

// Closed reports whether text is one JSON value as far as its strings and brackets tell. That suffices for what was checked when it
// was stored, to be put into another value as it is: whatever became of it, it ends where it ends. [Valid] costs six times as much.
func Closed(text []byte) bool {
	end := skipValue(text, skipSpace(text, 0))
	return end > 0 && skipSpace(text, end) == len(text)
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
