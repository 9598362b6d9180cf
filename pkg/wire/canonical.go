// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// DefaultMaxDepth is how deeply objects and arrays may nest, the frame itself counted. Stock agents stay
// below 72: their redaction cuts values at 64.
const DefaultMaxDepth = 128

// maxPooledScratch is the largest buffer that goes back to the pool, so that one huge frame does not pin
// its memory.
const maxPooledScratch = 256 << 10

// Canonical appends the canonical form of one JSON value: object keys sorted by code point (of duplicates
// the last counts), no spaces, minimal escapes, numbers as Python prints them. It refuses what has no
// canonical form: invalid JSON or UTF-8, NaN and infinities, lone surrogates, nesting beyond
// [DefaultMaxDepth]. The result never depends on the spelling of the input, and applying it twice changes nothing.
func Canonical(dst, json []byte) ([]byte, error) {
	return CanonicalDepth(dst, json, DefaultMaxDepth)
}

// CanonicalDepth is [Canonical] with another nesting limit.
func CanonicalDepth(dst, json []byte, maxDepth int) ([]byte, error) {
	c := acquireCanon()
	defer c.release()
	own := c.out
	c.out, c.src, c.maxDepth = dst, json, maxDepth
	err := c.document()
	out := c.out
	c.out = own
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Valid reports whether json is one value with a canonical form, and if not why.
func Valid(json []byte) error {
	c := acquireCanon()
	defer c.release()
	c.src, c.maxDepth = json, DefaultMaxDepth
	return c.document()
}

// span is a window into the source.
type span struct{ start, end int }

func (s span) of(b []byte) []byte { return b[s.start:s.end] }

// member is one object member already written to the output.
type member struct {
	prefix       uint64 // first eight bytes of the decoded key, big-endian: decides most comparisons
	start, end   int    // the member's text in out, without comma
	keyLo, keyHi int    // decoded key, in out or (side) in the side buffer
	side, drop   bool
}

// canon is the working set of one canonicalisation. All its buffers are reused.
type canon struct {
	src      []byte
	pos      int
	depth    int
	maxDepth int

	out     []byte
	members []member // stack: the open objects' members
	side    []byte   // decoded keys that had escapes
	tmp     []byte   // the region being permuted

	// frame mode (top-level object only)
	frame  bool
	bind   *bindings
	fields [fieldCount]span
}

// canonPool recycles working sets; the pool is the package's only shared state and holds no data between uses.
var canonPool = sync.Pool{New: func() any { return new(canon) }}

func acquireCanon() *canon {
	c := canonPool.Get().(*canon)
	c.pos, c.depth = 0, 0
	c.out, c.members, c.side = c.out[:0], c.members[:0], c.side[:0]
	c.frame, c.bind = false, nil
	return c
}

func (c *canon) release() {
	c.src, c.bind = nil, nil
	if cap(c.out) > maxPooledScratch {
		c.out = nil
	}
	if cap(c.tmp) > maxPooledScratch {
		c.tmp = nil
	}
	if cap(c.side) > maxPooledScratch {
		c.side = nil
	}
	if cap(c.members) > maxPooledScratch/64 {
		c.members = nil
	}
	canonPool.Put(c)
}

func (c *canon) syntax(what string) error {
	return protocolError("", "not valid JSON: %s at byte %d", what, c.pos)
}

// document reads exactly one value.
func (c *canon) document() error {
	c.space()
	if err := c.value(); err != nil {
		return err
	}
	c.space()
	if c.pos != len(c.src) {
		return c.syntax("data after the value")
	}
	return nil
}

func (c *canon) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\n', '\t', '\r':
			c.pos++
		default:
			return
		}
	}
}

func (c *canon) value() error {
	if c.pos >= len(c.src) {
		return c.syntax("unexpected end")
	}
	switch b := c.src[c.pos]; b {
	case '"':
		_, _, _, err := c.string(false)
		return err
	case '{':
		return c.object(false)
	case '[':
		return c.array()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		end, integer := scanNumber(c.src, c.pos)
		if end < 0 {
			return c.syntax("malformed number")
		}
		out, ok := appendNumber(c.out, c.src[c.pos:end], integer)
		if !ok {
			return c.syntax("number out of range")
		}
		c.out, c.pos = out, end
		return nil
	default:
		return c.syntax("unexpected character")
	}
}

func (c *canon) literal(word string) error {
	if len(c.src)-c.pos < len(word) || string(c.src[c.pos:c.pos+len(word)]) != word {
		return c.syntax("unknown literal")
	}
	c.out = append(c.out, word...)
	c.pos += len(word)
	return nil
}

func (c *canon) push() error {
	c.depth++
	if c.depth > c.maxDepth {
		return &Error{Class: ClassProtocol, Reason: "nested too deeply", TooDeep: true}
	}
	return nil
}

func (c *canon) array() error {
	if err := c.push(); err != nil {
		return err
	}
	c.pos++
	c.out = append(c.out, '[')
	c.space()
	if c.pos < len(c.src) && c.src[c.pos] == ']' {
		c.pos++
		c.out = append(c.out, ']')
		c.depth--
		return nil
	}
	for {
		if err := c.value(); err != nil {
			return err
		}
		c.space()
		if c.pos >= len(c.src) {
			return c.syntax("unexpected end")
		}
		switch c.src[c.pos] {
		case ',':
			c.pos++
			c.out = append(c.out, ',')
			c.space()
		case ']':
			c.pos++
			c.out = append(c.out, ']')
			c.depth--
			return nil
		default:
			return c.syntax("expected ',' or ']'")
		}
	}
}

// object writes the members in source order and then, only if that was not the canonical order, permutes
// them: what is already sorted costs nothing extra. top is the frame itself.
func (c *canon) object(top bool) error {
	if err := c.push(); err != nil {
		return err
	}
	c.pos++
	c.out = append(c.out, '{')
	body, base, sideBase := len(c.out), len(c.members), len(c.side)
	sorted := true
	c.space()
	if c.pos < len(c.src) && c.src[c.pos] == '}' {
		c.pos++
	} else if err := c.objectMembers(top, base, &sorted); err != nil {
		return err
	}
	if top && c.bind != nil {
		c.overlay()
		sorted = false
	}
	if !sorted {
		c.permute(body, base)
	}
	c.members, c.side = c.members[:base], c.side[:sideBase]
	c.out = append(c.out, '}')
	c.depth--
	return nil
}

func (c *canon) objectMembers(top bool, base int, sorted *bool) error {
	for {
		if c.pos >= len(c.src) || c.src[c.pos] != '"' {
			return c.syntax("expected a member name")
		}
		start := len(c.out)
		lo, hi, side, err := c.string(true)
		if err != nil {
			return err
		}
		key := c.key(lo, hi, side)
		m := member{prefix: keyPrefix(key), start: start, keyLo: lo, keyHi: hi, side: side}
		if n := len(c.members); n > base && *sorted && c.compare(&c.members[n-1], &m) >= 0 {
			*sorted = false
		}
		field := fieldNone
		if top {
			field = fieldOf(key)
		}
		c.space()
		if c.pos >= len(c.src) || c.src[c.pos] != ':' {
			return c.syntax("expected ':'")
		}
		c.pos++
		c.out = append(c.out, ':')
		c.space()
		from := c.pos
		if err := c.value(); err != nil {
			return err
		}
		if field != fieldNone {
			c.fields[field] = span{from, c.pos}
			m.drop = field == fieldHMAC && c.bind != nil
		}
		m.end = len(c.out)
		c.members = append(c.members, m)
		c.space()
		if c.pos >= len(c.src) {
			return c.syntax("unexpected end")
		}
		switch c.src[c.pos] {
		case ',':
			c.pos++
			c.out = append(c.out, ',')
			c.space()
		case '}':
			c.pos++
			return nil
		default:
			return c.syntax("expected ',' or '}'")
		}
	}
}

func (c *canon) key(lo, hi int, side bool) []byte {
	if side {
		return c.side[lo:hi]
	}
	return c.out[lo:hi]
}

func keyPrefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var p uint64
	for i, b := range key {
		p |= uint64(b) << (56 - 8*i)
	}
	return p
}

// compare orders members by their decoded keys. UTF-8 bytes order like code points.
func (c *canon) compare(a, b *member) int {
	if a.prefix != b.prefix {
		return cmp.Compare(a.prefix, b.prefix)
	}
	return bytes.Compare(c.key(a.keyLo, a.keyHi, a.side), c.key(b.keyLo, b.keyHi, b.side))
}

// overlay appends the three binding members; coming last they override what the sender wrote.
func (c *canon) overlay() {
	for i := range c.bind.text {
		start := len(c.out)
		c.out = append(c.out, c.bind.text[i]...)
		key := c.out[start+1 : start+1+c.bind.keyLen[i]]
		c.members = append(c.members, member{
			prefix: keyPrefix(key), start: start, end: len(c.out),
			keyLo: start + 1, keyHi: start + 1 + c.bind.keyLen[i],
		})
	}
}

// permute rewrites out[body:] with the members above base sorted, duplicates and dropped ones left out.
func (c *canon) permute(body, base int) {
	ms := c.members[base:]
	if len(ms) <= 24 {
		for i := 1; i < len(ms); i++ {
			for j := i; j > 0 && c.compare(&ms[j-1], &ms[j]) > 0; j-- {
				ms[j-1], ms[j] = ms[j], ms[j-1]
			}
		}
	} else {
		slices.SortFunc(ms, func(a, b member) int {
			if d := c.compare(&a, &b); d != 0 {
				return d
			}
			return cmp.Compare(a.start, b.start)
		})
	}
	c.tmp = c.tmp[:0]
	for i := range ms {
		m := &ms[i]
		// Stable order: of equal keys the last in the source comes last, and it is the one that counts.
		if m.drop || (i+1 < len(ms) && c.compare(m, &ms[i+1]) == 0) {
			continue
		}
		if len(c.tmp) > 0 {
			c.tmp = append(c.tmp, ',')
		}
		c.tmp = append(c.tmp, c.out[m.start:m.end]...)
	}
	c.out = append(c.out[:body], c.tmp...)
}

// stringSpecial finds the first byte at or after i that ends or complicates a string: a quote, a backslash,
// a control character or a byte of a multi-byte rune.
func stringSpecial(b []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		q := w ^ (ones * '"')
		s := w ^ (ones * '\\')
		// Each term sets the high bit of its matching bytes; only the lowest hit is exact, and only it is used.
		if m := ((q-ones)&^q | (s-ones)&^s | (w-ones*0x20)&^w | w) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(b) && b[i] >= 0x20 && b[i] < 0x80 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// string writes the canonical form of the string at pos, quotes included. For a key it also reports where
// its decoded bytes are.
func (c *canon) string(isKey bool) (lo, hi int, side bool, err error) {
	src := c.src
	start := c.pos + 1
	i := stringSpecial(src, start)
	ascii := true
	for i < len(src) && src[i] >= 0x80 {
		ascii = false
		for i < len(src) && src[i] >= 0x80 {
			i++
		}
		i = stringSpecial(src, i)
	}
	if i >= len(src) {
		return 0, 0, false, c.syntax("unterminated string")
	}
	if src[i] == '"' {
		if !ascii && !utf8.Valid(src[start:i]) {
			return 0, 0, false, c.syntax("invalid UTF-8")
		}
		lo = len(c.out) + 1
		c.out = append(c.out, src[c.pos:i+1]...)
		c.pos = i + 1
		return lo, len(c.out) - 1, false, nil
	}
	if src[i] != '\\' {
		c.pos = i
		return 0, 0, false, c.syntax("control character in a string")
	}
	return c.escapedString(isKey, start, i)
}

// escapedString is the slow path of string: src[i] is the first backslash.
func (c *canon) escapedString(isKey bool, start, i int) (lo, hi int, side bool, err error) {
	src := c.src
	lo = len(c.out) + 1
	c.out = append(c.out, '"')
	flushed := start
	escapes := false
	for {
		if i >= len(src) {
			return 0, 0, false, c.syntax("unterminated string")
		}
		switch b := src[i]; {
		case b == '"':
			c.out = append(c.out, src[flushed:i]...)
			// Escapes are ASCII, so the body is valid exactly if its unescaped parts are.
			if !utf8.Valid(src[start:i]) {
				return 0, 0, false, c.syntax("invalid UTF-8")
			}
			hi = len(c.out)
			c.out = append(c.out, '"')
			c.pos = i + 1
			if isKey && escapes {
				at := len(c.side)
				c.side = appendDecoded(c.side, c.out[lo:hi])
				return at, len(c.side), true, nil
			}
			return lo, hi, false, nil
		case b == '\\':
			c.out = append(c.out, src[flushed:i]...)
			r, n := decodeEscape(src[i:])
			if n == 0 {
				c.pos = i
				return 0, 0, false, c.syntax("invalid escape or lone surrogate")
			}
			before := len(c.out)
			c.out = appendCanonicalRune(c.out, r)
			escapes = escapes || c.out[before] == '\\'
			i += n
			flushed = i
			i = stringSpecial(src, i)
		case b < 0x20:
			c.pos = i
			return 0, 0, false, c.syntax("control character in a string")
		default:
			i = stringSpecial(src, i+1)
		}
	}
}

// decodeEscape reads the escape at the start of b (a backslash). n is 0 when it is not valid: unknown,
// truncated, or half of a surrogate pair.
func decodeEscape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(b[2:])
		if r < 0 {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0, 0
		}
		low := hex4(b[8:])
		if low < 0 {
			return 0, 0
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0, 0
		}
		return r, 12
	}
	return 0, 0
}

// hex4 reads four hex digits; -1 if they are not.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// appendCanonicalRune writes one rune as it stands inside a canonical string.
func appendCanonicalRune(dst []byte, r rune) []byte {
	const hexDigits = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	if r < 0x20 {
		return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// appendDecoded appends the text a valid JSON string body (without quotes) stands for. Escapes that cannot
// be decoded are kept as they are.
func appendDecoded(dst, body []byte) []byte {
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 {
			return append(dst, body...)
		}
		dst = append(dst, body[:i]...)
		r, n := decodeEscape(body[i:])
		if n == 0 {
			dst = append(dst, '\\')
			n = 1
		} else {
			dst = utf8.AppendRune(dst, r)
		}
		body = body[i+n:]
	}
}

// AppendString appends s as a canonical JSON string. Invalid UTF-8 is replaced by U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b >= 0x20 && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendCanonicalRune(dst, rune(b))
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[start:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			i++
			start = i
			continue
		}
		i += n
	}
	return append(append(dst, s[start:]...), '"')
}
