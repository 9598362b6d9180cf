// SPDX-License-Identifier: AGPL-3.0-or-later

// Package taskquery reads the filter language of the task list: `state:failure,retry queue:mail since:2h -task:report
// "timed out"`. docs/search.md describes it. The dashboard has a twin that completes and marks the text while it is typed;
// both are tested against testdata/vectors.json. The package knows the form and the fixed words; what a filter means for
// tasks is up to its callers.
package taskquery

import (
	"slices"
	"strings"
	"time"
)

// Key is the name of a filter.
type Key string

// Keys.
const (
	// Text is a plain word or a quoted phrase to search for.
	Text      Key = ""
	State     Key = "state"
	Queue     Key = "queue"
	Task      Key = "task"
	Worker    Key = "worker"
	Engine    Key = "engine"
	Priority  Key = "priority"
	Exception Key = "exception"
	Issue     Key = "issue"
	ID        Key = "id"
	Since     Key = "since"
	Until     Key = "until"
	Runtime   Key = "runtime"
	// Args, Kwargs and Result are the content of a call. A dot and a path behind one of them names a member:
	// "kwargs.customer_id", "args.0.sku" are keys of their own.
	Args   Key = "args"
	Kwargs Key = "kwargs"
	Result Key = "result"
)

// Content takes a key of content apart: its column and the members that lead to the value, none for the whole.
func (k Key) Content() (column Key, path []string, ok bool) {
	base, rest, dotted := strings.Cut(string(k), ".")
	switch column = Key(strings.ToLower(base)); column {
	case Args, Kwargs, Result:
	default:
		return "", nil, false
	}
	if dotted {
		path = strings.Split(rest, ".")
	}
	return column, path, true
}

// Span is a stretch of the text, counted in UTF-16 code units as browsers count: for common characters one each.
type Span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Value is one value of a term, unquoted.
type Value struct {
	Text string
	Span
}

// Term is one part of a query. Any of its values may match.
type Term struct {
	Key     Key
	Negated bool
	Values  []Value
	Span
}

// Query is a text without problems. All of its terms must hold; terms of one key that are not negated are one list.
type Query struct {
	Terms []Term
}

// Problem is a mistake and its place.
type Problem struct {
	Span
	Message string `json:"message"`
}

// Error are the problems of a text, in the order of their places.
type Error struct {
	Problems []Problem
}

// Error implements error.
func (e *Error) Error() string { return e.Problems[0].Message }

// Limits of a text: more than these no person types.
const (
	MaxLength = 2000
	maxTerms  = 50
	maxValues = 50
	maxValue  = 200
)

// rule says what a key takes.
type rule struct {
	key Key
	// alias is another name, often empty.
	alias string
	// many takes several values, negatable a minus, words the fixed words.
	many, negatable bool
	words           []string
	check           func(value string) (problem string)
}

func stateWords() []string {
	return []string{"pending", "received", "started", "retry", "failure", "success", "revoked", "rejected", "unknown"}
}

func priorityWords() []string { return []string{"critical", "high", "normal", "low"} }

func rules() []rule {
	return []rule{
		{key: State, many: true, negatable: true, words: stateWords()},
		{key: Queue, many: true, negatable: true},
		{key: Task, alias: "name", many: true, negatable: true},
		{key: Worker, many: true, negatable: true},
		{key: Engine, many: true, negatable: true},
		{key: Priority, many: true, negatable: true, words: priorityWords()},
		{key: Exception, many: true, negatable: true},
		{key: Issue, alias: "fingerprint", many: true, negatable: true},
		{key: ID, many: true, negatable: true},
		{key: Since, check: checkInstant},
		{key: Until, check: checkInstant},
		{key: Runtime, check: checkRuntime},
		{key: Args, many: true, negatable: true},
		{key: Kwargs, many: true, negatable: true},
		{key: Result, many: true, negatable: true},
	}
}

func ruleOf(original string) (rule, bool) {
	name := strings.ToLower(original)
	for _, r := range rules() {
		if name == string(r.key) || r.alias != "" && name == r.alias {
			return r, true
		}
	}
	if column, path, ok := Key(original).Content(); ok {
		return rule{key: Key(string(column) + "." + strings.Join(path, ".")), many: true, negatable: true}, true
	}
	return rule{}, false
}

func keyNames() []string {
	var names []string
	for _, r := range rules() {
		names = append(names, string(r.key))
		if r.alias != "" {
			names = append(names, r.alias)
		}
	}
	return names
}

// Parse reads a text. The error, if any, is an *Error.
func Parse(text string) (*Query, error) {
	p := &parser{text: []rune(text)}
	if units(p.text) > MaxLength {
		return nil, &Error{Problems: []Problem{{Span: Span{From: MaxLength, To: units(p.text)}, Message: "The search is too long: at most 2000 characters"}}}
	}
	q := &Query{}
	for p.skipBlank(); p.at < len(p.text); p.skipBlank() {
		t, known := p.term()
		if known {
			p.check(&t)
		}
		q.Terms = append(q.Terms, t)
	}
	if len(q.Terms) > maxTerms {
		p.problem(q.Terms[maxTerms].From, p.place(), "Too many filters: at most 50")
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.From - b.From })
		return nil, &Error{Problems: p.problems}
	}
	return q, nil
}

func (p *parser) check(t *Term) {
	r, ok := ruleOf(string(t.Key))
	if !ok {
		r = rule{many: true, negatable: true}
	}
	name := string(r.key)
	if t.Negated && !r.negatable {
		p.problem(t.From, t.From+1, name+" can't be turned around with a minus")
	}
	last := t.Values[len(t.Values)-1]
	if len(t.Values) > 1 && !r.many {
		p.problem(t.Values[1].From, last.To, name+" takes one value")
	}
	if len(t.Values) > maxValues {
		p.problem(t.Values[maxValues].From, last.To, name+" takes at most 50 values")
	}
	for i := range t.Values {
		v := &t.Values[i]
		switch {
		case v.Text == "" && name == "":
			p.problem(t.From, v.To, "There is nothing between the quotation marks")
		case v.Text == "" || name != "" && v.Text == "=":
			p.problem(t.From, v.To, name+": needs a value")
		case len([]rune(v.Text)) > maxValue:
			p.problem(v.From, v.To, "Too long: at most 200 characters")
		case r.words != nil:
			if lower := strings.ToLower(v.Text); slices.Contains(r.words, lower) {
				v.Text = lower
			} else {
				p.problem(v.From, v.To, v.Text+" is no "+name+suggest(v.Text, r.words, ". Use "+strings.Join(r.words, ", ")))
			}
		case r.check != nil:
			if message := r.check(v.Text); message != "" {
				p.problem(v.From, v.To, message)
			}
		}
	}
}

// suggest is the end of a message about a word that is not known.
func suggest(word string, known []string, otherwise string) string {
	if meant := near(word, known); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return otherwise
}

// String writes the query in its usual spelling, which is read back as the same query.
func (q *Query) String() string {
	parts := make([]string, len(q.Terms))
	for i := range q.Terms {
		parts[i] = q.Terms[i].String()
	}
	return strings.Join(parts, " ")
}

// String writes the term.
func (t *Term) String() string {
	var b strings.Builder
	if t.Negated {
		b.WriteByte('-')
	}
	if t.Key != Text {
		b.WriteString(string(t.Key) + ":")
	}
	for i, v := range t.Values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(v.Text, t.Key == Text))
	}
	return b.String()
}

// quote writes a value so that it is read back as it is.
func quote(value string, free bool) string {
	special := ",\"\\"
	if free {
		special = ":\"\\"
	}
	plain := value != "" && (!free || value[0] != '-')
	for _, r := range value {
		plain = plain && !blank(r) && !strings.ContainsRune(special, r)
	}
	if plain {
		return value
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(value) + `"`
}

// Values lists the values of all terms of a key.
func (q *Query) Values(key Key, negated bool) []string {
	var list []string
	for _, t := range q.Terms {
		if t.Key == key && t.Negated == negated {
			for _, v := range t.Values {
				list = append(list, v.Text)
			}
		}
	}
	return list
}

// Keys lists the keys of the terms that are, or are not, negated, each once.
func (q *Query) Keys(negated bool) []Key {
	var list []Key
	for _, t := range q.Terms {
		if t.Negated == negated && !slices.Contains(list, t.Key) {
			list = append(list, t.Key)
		}
	}
	return list
}

// Window is the time that the query asks for: of several bounds the narrowest.
func (q *Query) Window(now time.Time) (since, until *time.Time) {
	for _, t := range q.Terms {
		if t.Key != Since && t.Key != Until {
			continue
		}
		at, ok := parseInstant(t.Values[0].Text, now)
		switch {
		case !ok:
		case t.Key == Since && (since == nil || at.After(*since)):
			since = &at
		case t.Key == Until && (until == nil || at.Before(*until)):
			until = &at
		}
	}
	return since, until
}

// RuntimeMS are the bounds of the run time in milliseconds, both inclusive.
func (q *Query) RuntimeMS() (least, most *int64) {
	for _, t := range q.Terms {
		if t.Key != Runtime {
			continue
		}
		lo, hi, _ := parseRuntime(t.Values[0].Text)
		if lo != nil && (least == nil || *lo > *least) {
			least = lo
		}
		if hi != nil && (most == nil || *hi < *most) {
			most = hi
		}
	}
	return least, most
}
