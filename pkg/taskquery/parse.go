// SPDX-License-Identifier: AGPL-3.0-or-later

package taskquery

import (
	"slices"
	"strings"
	"unicode/utf16"
)

// parser cuts a text into terms.
type parser struct {
	text     []rune
	at       int
	problems []Problem
	// unitsTo counts the code units up to the rune countedTo, so that places are found in one pass.
	unitsTo, countedTo int
}

// units is the length in UTF-16 code units.
func units(text []rune) int {
	n := 0
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// place is the current place in code units. It only moves forward.
func (p *parser) place() int {
	p.unitsTo += units(p.text[p.countedTo:p.at])
	p.countedTo = p.at
	return p.unitsTo
}

func (p *parser) problem(from, to int, message string) {
	p.problems = append(p.problems, Problem{Span: Span{From: from, To: to}, Message: message})
}

// blank is what separates terms: the white space of ECMAScript, which the twin uses.
func blank(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r == ' ', r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f,
		r == 0x205f, r == 0x3000, r == 0xfeff:
		return true
	}
	return false
}

// next is the rune at the place, or a blank at the end.
func (p *parser) next(ahead int) rune {
	if p.at+ahead < len(p.text) {
		return p.text[p.at+ahead]
	}
	return ' '
}

func (p *parser) skipBlank() {
	for p.at < len(p.text) && blank(p.text[p.at]) {
		p.at++
	}
}

// quoted reads from one quotation mark to the next; a backslash keeps the character after it.
func (p *parser) quoted() Value {
	v := Value{Span: Span{From: p.place()}}
	var out strings.Builder
	for p.at++; p.at < len(p.text); {
		r := p.text[p.at]
		p.at++
		if r == '"' {
			v.Text, v.To = out.String(), p.place()
			if r := p.next(0); !blank(r) && r != ',' {
				p.problem(v.From, v.To, "Put a space behind the closing quotation mark")
			}
			return v
		}
		if r == '\\' && p.at < len(p.text) {
			r = p.text[p.at]
			p.at++
		}
		out.WriteRune(r)
	}
	v.Text, v.To = out.String(), p.place()
	p.problem(v.From, v.To, `The quotation mark is not closed: add a " at the end`)
	return v
}

// bare reads up to a blank or one of the stops.
func (p *parser) bare(stops string) Value {
	v := Value{Span: Span{From: p.place()}}
	from := p.at
	for p.at < len(p.text) && !blank(p.text[p.at]) && !strings.ContainsRune(stops, p.text[p.at]) {
		p.at++
	}
	v.Text, v.To = string(p.text[from:p.at]), p.place()
	return v
}

func (p *parser) values() []Value {
	var list []Value
	for {
		if p.next(0) == '"' {
			list = append(list, p.quoted())
		} else {
			v := p.bare(",\"")
			list = append(list, v)
			if p.next(0) == '"' {
				p.problem(v.From, v.To, "Put the quotation mark in front of the whole value")
			}
		}
		if p.next(0) != ',' {
			return list
		}
		p.at++
	}
}

// term reads one term; known is false when it has a key that does not exist, which is a problem already.
func (p *parser) term() (t Term, known bool) {
	t.From = p.place()
	if t.Negated = p.next(0) == '-' && !blank(p.next(1)); t.Negated {
		p.at++
	}
	if p.next(0) == '"' {
		t.Values = []Value{p.quoted()}
		if p.next(0) == ',' {
			p.problem(t.From, t.Values[0].To, "Put a space behind the closing quotation mark")
		}
		t.To = p.place()
		return t, true
	}
	name := p.keyAhead()
	if name == "" {
		t.Values = []Value{p.bare("")}
		t.To = p.place()
		return t, true
	}
	start := p.place()
	p.at += len(name)
	end := p.place()
	p.at++
	r, known := ruleOf(name)
	if !known {
		p.problem(start, end, "There is no filter called "+name+suggest(name, keyNames(), `. To search for a text with a colon, put it in "quotes"`))
	}
	if _, path, ok := r.key.Content(); ok && slices.Contains(path, "") {
		p.problem(start, end, "Name a member behind each dot, as in kwargs.customer_id:42 or args.0:42")
	}
	t.Key = r.key
	t.Values = p.values()
	t.To = p.place()
	return t, known
}

// keyAhead is the name of the filter that begins here; empty when it is a plain word.
func (p *parser) keyAhead() string {
	for i := p.at; i < len(p.text); i++ {
		r := p.text[i]
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		switch {
		case r == ':':
			return string(p.text[p.at:i])
		case letter, i > p.at && (r >= '0' && r <= '9' || r == '-'):
		case r == '.':
			if _, _, ok := Key(p.text[p.at:i]).Content(); !ok {
				return ""
			}
		default:
			return ""
		}
	}
	return ""
}

// near is the known word that a mistyped one was probably meant to be; empty when none is.
func near(word string, known []string) string {
	wanted := []rune(strings.ToLower(word))
	if len(wanted) > 40 {
		return ""
	}
	best, least := "", 3
	for _, each := range known {
		steps := min(3, distance(wanted, []rune(each)))
		if len(wanted) >= 4 && strings.HasPrefix(each, string(wanted[:4])) {
			steps = min(2, steps)
		}
		if steps < least {
			best, least = each, steps
		}
	}
	return best
}

// distance is the number of characters to change, add or drop.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for i := range row {
		row[i] = i
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			change := diagonal
			if x != y {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}
