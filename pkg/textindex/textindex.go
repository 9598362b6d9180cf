// SPDX-License-Identifier: AGPL-3.0-or-later

// Package textindex breaks the texts of a task into tokens for an inverted index, and searches into conditions on tokens.
//
// A text is cut into pieces of three characters, one after the other (not at every character, as trigram indexes usually do:
// a third of the tokens is a third of the work of keeping the index). Where a search text lies in a document, the cuts of the
// document fall on it in one of three ways; a document that contains the text has all whole pieces of one of them. That takes
// five characters at least. Members of JSON, such as kwargs.customer_id of 42, are tokens of their own, whatever their length.
//
// Tokens are hashes: an index finds all documents that match and some that do not. Whoever asks compares the texts then.
package textindex

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Token stands for a part of a document. Those of different parts may be equal.
type Token uint32

// MinLength is the length in characters of the shortest text that has a whole piece however it is cut.
const MinLength = 2*width - 1

const (
	// width is the number of characters of a piece.
	width = 3
	// maxTokens bounds the tokens of a document; one with more is marked as not fully told.
	maxTokens = 4000
	// maxLeaf is the length in bytes of the longest value of a member that is a token.
	maxLeaf = 256
	// maxPieces bounds the pieces that are asked for: some are as telling as all.
	maxPieces = 12

	hashBits = 24
	hashMask = 1<<hashBits - 1
	// partial marks documents whose tokens are not all there; projects have the range behind it.
	partial Token = 1 << hashBits
	project Token = 1 << (hashBits + 1)
)

// Columns of a task that hold JSON.
const (
	Args   = "args"
	Kwargs = "kwargs"
	Result = "result"
)

// Document is what is searched of a task. Absent texts are empty.
type Document struct {
	Project              int64
	ID, Exception        string
	Args, Kwargs, Result string
}

// Tokens returns the tokens of a document, sorted and each once.
func (d *Document) Tokens() []Token {
	b := builder{tokens: make([]Token, 0, 128)}
	b.add(ofProject(d.Project))
	for _, text := range []string{d.ID, d.Exception, d.Args, d.Kwargs, d.Result} {
		b.text(text)
	}
	for _, c := range [][2]string{{Args, d.Args}, {Kwargs, d.Kwargs}, {Result, d.Result}} {
		if c[1] != "" {
			b.leaves(c[0], c[1])
		}
	}
	slices.Sort(b.tokens)
	return slices.Compact(b.tokens)
}

func ofProject(id int64) Token { return project | Token(id&hashMask) }

// builder collects tokens.
type builder struct {
	tokens []Token
	full   bool
}

func (b *builder) add(t Token) {
	switch {
	case len(b.tokens) < maxTokens:
		b.tokens = append(b.tokens, t)
	case !b.full:
		b.full = true
		b.tokens = append(b.tokens, partial)
	}
}

// text adds the whole pieces of a text.
func (b *builder) text(text string) {
	h, n := newHash(), 0
	for _, r := range text {
		h.rune(unicode.ToLower(r))
		if n++; n == width {
			b.add(h.token())
			if b.full {
				return
			}
			h, n = newHash(), 0
		}
	}
}

// leaves adds the members of a JSON text; of a text that is none it adds nothing, as no condition on members holds for it.
func (b *builder) leaves(column, text string) {
	s := scanner{text: text, leaf: func(path []string, value string) {
		if len(value) <= maxLeaf {
			b.add(leafToken(column, path, value))
		}
	}}
	s.value()
}

func leafToken(column string, path []string, value string) Token {
	h := newHash()
	h.text(column)
	for _, p := range path {
		h.byte(0)
		h.text(p)
	}
	h.byte(1)
	h.text(value)
	return h.token()
}

// hash is FNV-1a.
type hash uint32

func newHash() hash { return 2166136261 }

func (h *hash) byte(b byte) { *h = (*h ^ hash(b)) * 16777619 }

func (h *hash) text(s string) {
	for i := range len(s) {
		h.byte(s[i])
	}
}

func (h *hash) rune(r rune) {
	if r < utf8.RuneSelf {
		h.byte(byte(r))
		return
	}
	var buf [utf8.UTFMax]byte
	for _, c := range buf[:utf8.EncodeRune(buf[:], r)] {
		h.byte(c)
	}
}

func (h hash) token() Token { return Token((h>>hashBits ^ h) & hashMask) }

// Expr is a condition on the tokens of a document: that one is there, or that all or any of several conditions hold. A nil
// *Expr says nothing: the index can't help.
type Expr struct {
	// All and Any are set for conditions on conditions, Token otherwise.
	All, Any []*Expr
	Token    Token
}

// All is the condition that each of the list holds, as far as the index can tell.
func All(list ...*Expr) *Expr {
	list = slices.DeleteFunc(slices.Clone(list), func(e *Expr) bool { return e == nil })
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return &Expr{All: list}
}

// Any is the condition that one of the list holds; nil when the index can't tell it of one of them.
func Any(list ...*Expr) *Expr {
	switch {
	case len(list) == 0 || slices.Contains(list, nil):
		return nil
	case len(list) == 1:
		return list[0]
	}
	return &Expr{Any: list}
}

// Contains is the condition that a text occurs in one of the document's, in any case; nil for a text of less than MinLength
// characters.
func Contains(text string) *Expr {
	runes := []rune(text)
	if len(runes) < MinLength {
		return nil
	}
	var ways []*Expr
	for cut := range width {
		var pieces []*Expr
		for at := cut; at+width <= len(runes) && len(pieces) < maxPieces; at += width {
			h := newHash()
			for _, r := range runes[at : at+width] {
				h.rune(unicode.ToLower(r))
			}
			pieces = append(pieces, &Expr{Token: h.token()})
		}
		ways = append(ways, All(pieces...))
	}
	return Any(ways...)
}

// ContainsAll is Contains for each of the texts that is long enough.
func ContainsAll(texts ...string) *Expr {
	var list []*Expr
	for _, text := range texts {
		list = append(list, Contains(text))
	}
	return All(list...)
}

// Plain cuts a text where JSON may spell it in another way. What is left stands in a JSON text as it is.
func Plain(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r < ' ' || r > '~' || strings.ContainsRune(`"\/<>&'`, r)
	})
}

// Member is the condition that a member of a JSON column is value: the characters of a text, a number or a word as it is
// written. It is nil for members that are no tokens.
func Member(column string, path []string, value string) *Expr {
	if len(path) == 0 || len(value) > maxLeaf || strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") ||
		slices.ContainsFunc(path, func(p string) bool { return strings.HasPrefix(p, "-") }) {
		return nil
	}
	return &Expr{Token: leafToken(column, path, value)}
}

// In is the condition for documents of a project, with those that are not fully told.
func In(id int64, e *Expr) *Expr {
	return All(&Expr{Token: ofProject(id)}, Any(e, &Expr{Token: partial}))
}

const (
	// enoughTold is the part of the documents that is left when nothing more need be asked for, and dense the part from which on
	// a token tells too little for what reading its long list costs.
	enoughTold, dense = 1e-5, 0.1
)

// Narrow returns a condition that asks for fewer tokens, the rarest: for it holds whatever holds for e, and little else. share
// says which part of the documents has a token, as far as known; it is never 0. told is the part for which the result holds.
func (e *Expr) Narrow(share func(Token) float64) (out *Expr, told float64) {
	if len(e.All)+len(e.Any) == 0 {
		return e, share(e.Token)
	}
	type kid struct {
		*Expr
		told float64
	}
	kids := make([]kid, 0, len(e.All)+len(e.Any))
	for _, k := range append(slices.Clone(e.All), e.Any...) {
		narrow, told := k.Narrow(share)
		kids = append(kids, kid{narrow, told})
	}
	var list []*Expr
	if len(e.Any) > 0 {
		for _, k := range kids {
			list, told = append(list, k.Expr), told+k.told
		}
		return Any(list...), min(told, 1)
	}
	slices.SortStableFunc(kids, func(a, b kid) int { return cmp.Compare(a.told, b.told) })
	told = 1
	for _, k := range kids {
		if len(list) > 0 && (told < enoughTold || k.told > dense) {
			break
		}
		list, told = append(list, k.Expr), told*k.told
	}
	return All(list...), told
}

// Text spells a token for an index of words: letters and digits, no two tokens alike.
func (t Token) Text() string { return strconv.FormatUint(uint64(t), 36) }

// Words spells tokens for an index of words.
func Words(tokens []Token) string {
	b := make([]byte, 0, len(tokens)*6)
	for _, t := range tokens {
		b = append(strconv.AppendUint(b, uint64(t), 36), ' ')
	}
	return string(b)
}

// Match spells a condition in the query language of FTS5.
func (e *Expr) Match() string {
	var b strings.Builder
	e.match(&b)
	return b.String()
}

func (e *Expr) match(b *strings.Builder) {
	kids, word := e.All, " AND "
	if len(e.Any) > 0 {
		kids, word = e.Any, " OR "
	}
	if len(kids) == 0 {
		b.WriteString(`"` + e.Token.Text() + `"`)
		return
	}
	b.WriteByte('(')
	for i, k := range kids {
		if i > 0 {
			b.WriteString(word)
		}
		k.match(b)
	}
	b.WriteByte(')')
}

// scanner walks a JSON text and tells its members that are no lists or objects. It stops at what is no JSON.
type scanner struct {
	text string
	at   int
	path []string
	leaf func(path []string, value string)
}

// maxDepth bounds the depth that is walked: no path is longer.
const maxDepth = 200

func (s *scanner) space() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// take skips white space and then c, if that comes.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) value() bool {
	s.space()
	if s.at >= len(s.text) || len(s.path) > maxDepth {
		return false
	}
	switch s.text[s.at] {
	case '{':
		return s.object()
	case '[':
		return s.list()
	case '"':
		text, ok := s.string()
		if ok {
			s.leaf(s.path, text)
		}
		return ok
	}
	begin := s.at
	for s.at < len(s.text) && strings.IndexByte(",]} \t\r\n", s.text[s.at]) < 0 {
		s.at++
	}
	if word := s.text[begin:s.at]; word != "null" {
		s.leaf(s.path, word)
	}
	return s.at > begin
}

func (s *scanner) object() bool {
	s.at++
	if s.take('}') {
		return true
	}
	for {
		s.space()
		key, ok := s.string()
		if !ok || !s.take(':') {
			return false
		}
		s.path = append(s.path, key)
		ok = s.value()
		s.path = s.path[:len(s.path)-1]
		if !ok {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

func (s *scanner) list() bool {
	s.at++
	if s.take(']') {
		return true
	}
	for i := 0; ; i++ {
		s.path = append(s.path, strconv.Itoa(i))
		ok := s.value()
		s.path = s.path[:len(s.path)-1]
		if !ok {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}

// string reads a quoted text.
func (s *scanner) string() (string, bool) {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return "", false
	}
	escaped := false
	for i := s.at + 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			quoted := s.text[s.at : i+1]
			s.at = i + 1
			if !escaped {
				return quoted[1 : len(quoted)-1], true
			}
			var text string
			err := json.Unmarshal([]byte(quoted), &text)
			return text, err == nil
		}
	}
	return "", false
}
