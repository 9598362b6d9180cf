// SPDX-License-Identifier: AGPL-3.0-or-later

// Package redact removes secrets from event data. Agents redact before they send; the brain does it again,
// because agents can be old, misconfigured or somebody else's.
//
// The engine works on JSON text: a document without anything to hide is returned as it is, without
// allocation. Every check takes time linear in the input. An [Engine] is immutable and safe for concurrent use.
package redact

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/wire"
)

// Marker replaces what is hidden.
const Marker = "[REDACTED]"

const markerJSON = `"` + Marker + `"`

// Defaults of [Config].
const (
	DefaultMaxStringBytes = 8192
	DefaultMaxDepth       = 64
	// maxKeyLength in characters: a longer key always counts as a match.
	maxKeyLength = 256
)

// Config adds to the built-in rules.
type Config struct {
	// ExtraKeys are regular expressions (RE2) that must match a whole key, whatever its case.
	ExtraKeys []string
	// ExtraValues are regular expressions (RE2) looked for anywhere in a string, whatever its case.
	ExtraValues []string
	// MaxStringBytes is the length (in UTF-8) beyond which strings are cut; 0 means DefaultMaxStringBytes.
	MaxStringBytes int
	// MaxDepth is how many objects and arrays may enclose each other; what is inside the last one is replaced. 0
	// means DefaultMaxDepth.
	MaxDepth int
}

// Engine applies the rules.
type Engine struct {
	keys        map[string]struct{}
	keyMask     [maxKnownKey + 1]uint64
	foldedKeys  *regexp.Regexp
	extraKeys   []*regexp.Regexp
	extraValues []*regexp.Regexp
	maxString   int
	maxDepth    int
}

// New compiles an engine. The error names the pattern at fault.
func New(c Config) (*Engine, error) {
	e := &Engine{maxString: c.MaxStringBytes, maxDepth: c.MaxDepth}
	if e.maxString <= 0 {
		e.maxString = DefaultMaxStringBytes
	}
	if e.maxDepth <= 0 {
		e.maxDepth = DefaultMaxDepth
	}
	e.keys, e.keyMask, e.foldedKeys = builtinKeys()
	for _, p := range c.ExtraKeys {
		re, err := regexp.Compile(`(?is)^(?:` + p + `)$`)
		if err != nil {
			return nil, patternError("key", p, err)
		}
		e.extraKeys = append(e.extraKeys, re)
	}
	for _, p := range c.ExtraValues {
		re, err := regexp.Compile(`(?i)` + p)
		if err != nil {
			return nil, patternError("value", p, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("redaction value pattern %q matches the empty string and so would hide everything: make it more specific", p)
		}
		e.extraValues = append(e.extraValues, re)
	}
	return e, nil
}

func patternError(kind, pattern string, err error) error {
	return fmt.Errorf("redaction %s pattern %q is not a valid RE2 regular expression (look-around and back-references are not supported): %w", kind, pattern, err)
}

// JSON redacts one JSON document. When there is nothing to change it returns raw itself and false; otherwise the
// redacted document appended to dst, and true. Input that is not JSON becomes the marker: what cannot be read
// cannot be checked.
func (e *Engine) JSON(dst, raw []byte) (out []byte, changed bool) {
	w := walker{e: e, src: raw, out: dst}
	defer w.release()
	i := wire.SkipSpace(raw, 0)
	end := w.value(i, 0, place{})
	if end < 0 || wire.SkipSpace(raw, end) != len(raw) {
		return append(dst, markerJSON...), true
	}
	if !w.changed {
		return raw, false
	}
	return append(w.out, raw[w.flushed:]...), true
}

// String redacts one text by the value rules: hidden as a whole, cut, or with NUL characters replaced.
func (e *Engine) String(s string) (string, bool) {
	b := []byte(s)
	if e.secretValue(b, false) {
		return Marker, true
	}
	fixed, changed := e.fit(nil, b)
	if !changed {
		return s, false
	}
	return string(fixed), true
}

// Key reports whether values under this key are hidden.
func (e *Engine) Key(key string) bool { return e.secretKey([]byte(key)) }

// scratch holds decoded strings; pooled because most documents with a newline in them need one.
type scratch struct{ decoded, fixed []byte }

// scratchPool recycles scratch buffers; it holds no data between uses.
var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// walker goes through one document, copying lazily: out holds the redacted form of src[:flushed].
type walker struct {
	e       *Engine
	src     []byte
	out     []byte
	flushed int
	changed bool
	scratch *scratch
}

func (w *walker) release() {
	if w.scratch != nil {
		if cap(w.scratch.decoded) <= 256<<10 && cap(w.scratch.fixed) <= 256<<10 {
			scratchPool.Put(w.scratch)
		}
		w.scratch = nil
	}
}

func (w *walker) buffers() *scratch {
	if w.scratch == nil {
		w.scratch, _ = scratchPool.Get().(*scratch)
	}
	return w.scratch
}

// replace substitutes src[from:to].
func (w *walker) replace(from, to int, with []byte) {
	w.out = append(append(w.out, w.src[w.flushed:from]...), with...)
	w.flushed, w.changed = to, true
}

// place is what the surroundings say about a value.
type place struct {
	hide   bool // an enclosing key matched
	events bool // the list of a batch of events
	event  bool // an event in that list
	data   bool // an event's data
	name   bool // the name of a worker, which may look like an e-mail address
}

// value handles the value at src[i] and returns the index behind it, -1 on malformed input.
func (w *walker) value(i, depth int, p place) int {
	src := w.src
	if i >= len(src) {
		return -1
	}
	if depth >= w.e.maxDepth {
		end := wire.SkipValue(src, i)
		if end >= 0 {
			w.replace(i, end, []byte(markerJSON))
		}
		return end
	}
	switch src[i] {
	case '{':
		return w.object(i, depth, p)
	case '[':
		return w.array(i, depth, place{hide: p.hide, event: p.events})
	case '"':
		end, plain := stringEnd(src, i)
		if end < 0 {
			return -1
		}
		if p.hide {
			w.replace(i, end, []byte(markerJSON))
		} else {
			w.text(i, end, plain, p.name)
		}
		return end
	default:
		end := wire.SkipValue(src, i)
		if end >= 0 && p.hide {
			w.replace(i, end, []byte(markerJSON))
		}
		return end
	}
}

func (w *walker) array(i, depth int, each place) int {
	src := w.src
	i = wire.SkipSpace(src, i+1)
	if i < len(src) && src[i] == ']' {
		return i + 1
	}
	for {
		if i = w.value(i, depth+1, each); i < 0 {
			return -1
		}
		if i = wire.SkipSpace(src, i); i >= len(src) {
			return -1
		}
		switch src[i] {
		case ',':
			i = wire.SkipSpace(src, i+1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

func (w *walker) object(i, depth int, p place) int {
	src := w.src
	// The document may be a batch's payload, an event or an event's data.
	root := depth == 0
	i = wire.SkipSpace(src, i+1)
	if i < len(src) && src[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(src) || src[i] != '"' {
			return -1
		}
		end, plain := stringEnd(src, i)
		if end < 0 {
			return -1
		}
		// The key is judged as it was sent, then treated like any other string.
		key := w.decode(i, end, plain)
		below := place{
			hide:   p.hide || w.e.secretKey(key),
			events: root && string(key) == "events",
			data:   (root || p.event) && string(key) == "data",
			name:   (root || p.data) && string(key) == "worker",
		}
		w.text(i, end, plain, false)
		if i = wire.SkipSpace(src, end); i >= len(src) || src[i] != ':' {
			return -1
		}
		if i = w.value(wire.SkipSpace(src, i+1), depth+1, below); i < 0 {
			return -1
		}
		if i = wire.SkipSpace(src, i); i >= len(src) {
			return -1
		}
		switch src[i] {
		case ',':
			i = wire.SkipSpace(src, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// stringEnd returns the index behind the string whose opening quote is b[i], -1 if it does not end, and whether it
// is free of escapes.
func stringEnd(b []byte, i int) (end int, plain bool) {
	for k := i + 1; k < len(b); k++ {
		switch b[k] {
		case '"':
			return k + 1, true
		case '\\':
			return wire.SkipString(b, i), false
		}
	}
	return -1, false
}

// decode returns the text of the string src[from:to]; valid until the next call.
func (w *walker) decode(from, to int, plain bool) []byte {
	body := w.src[from+1 : to-1]
	if plain {
		return body
	}
	s := w.buffers()
	s.decoded = wire.AppendUnescaped(s.decoded[:0], body)
	return s.decoded
}

// text applies the value rules to the string src[from:to].
func (w *walker) text(from, to int, plain, name bool) {
	if plain && to-from < minSecret+2 && len(w.e.extraValues) == 0 {
		return
	}
	text := w.decode(from, to, plain)
	if w.e.secretValue(text, name) {
		w.replace(from, to, []byte(markerJSON))
		return
	}
	if w.e.fits(text) {
		return
	}
	s := w.buffers()
	s.fixed, _ = w.e.fit(s.fixed[:0], text)
	w.out = append(w.out, w.src[w.flushed:from]...)
	w.out = wire.AppendString(w.out, string(s.fixed))
	w.flushed, w.changed = to, true
}

// fits reports whether a text may stay as it is.
func (e *Engine) fits(text []byte) bool {
	return (len(text) <= e.maxString || e.cutBefore(text)) && bytes.IndexByte(text, 0) < 0 && utf8.Valid(text)
}

// cutBefore reports whether a text was cut by this rule already: cutting again would spoil its count.
func (e *Engine) cutBefore(text []byte) bool {
	return len(text) <= e.maxString+maxSuffix && bytes.HasSuffix(text, []byte(suffixEnd)) &&
		bytes.Contains(text[len(text)-min(len(text), maxSuffix):], []byte(suffixStart))
}

// What a cut text ends in.
const (
	suffixStart = "[..."
	suffixEnd   = " more bytes truncated]"
	maxSuffix   = len(suffixStart) + 20 + len(suffixEnd)
)

// fit cuts a text that is too long and replaces NUL, which PostgreSQL cannot store, by U+FFFD. If changed, the
// result is in dst, otherwise it is text itself.
func (e *Engine) fit(dst, text []byte) (out []byte, changed bool) {
	if e.fits(text) {
		return text, false
	}
	// Replacing makes longer, so it comes before measuring.
	text = bytes.ReplaceAll(bytes.ToValidUTF8(text, []byte("\uFFFD")), []byte{0}, []byte("\uFFFD"))
	cut := len(text)
	if cut > e.maxString && !e.cutBefore(text) {
		for cut = e.maxString; cut > 0 && !utf8.RuneStart(text[cut]); cut-- {
		}
	}
	dst = append(dst, text[:cut]...)
	if cut < len(text) {
		dst = append(dst, suffixStart...)
		dst = strconv.AppendInt(dst, int64(len(text)-cut), 10)
		dst = append(dst, suffixEnd...)
	}
	return dst, true
}
