// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"slices"
	"strconv"
	"strings"

	"github.com/z4jdev/z4j/pkg/textindex"
)

// ContentColumn is what of a call is looked into.
type ContentColumn string

// Content columns.
const (
	ContentArgs   ContentColumn = "args"
	ContentKwargs ContentColumn = "kwargs"
	ContentResult ContentColumn = "result"
)

// ContentMatch is a condition on what a task was called with or returned. Any of its texts may match.
type ContentMatch struct {
	Column ContentColumn
	// Path leads from the whole value to a member: keys of objects, positions in lists. Empty compares the JSON text itself.
	Path []string
	// Texts are compared with the member as text: a string's characters, a number or a word as it is written.
	Texts []TextMatch
}

// tokens is what the search index can tell of the condition.
func (m *ContentMatch) tokens() *textindex.Expr {
	if len(m.Path) == 0 {
		return textTokens(m.Texts)
	}
	exprs := make([]*textindex.Expr, len(m.Texts))
	for i, t := range m.Texts {
		if t.Match == MatchExact {
			exprs[i] = textindex.Member(string(m.Column), m.Path, t.Text)
			continue
		}
		// The member is compared as what it means, and the index has its spelling in JSON.
		var plain []string
		for _, text := range t.literals() {
			plain = append(plain, textindex.Plain(text)...)
		}
		exprs[i] = textindex.ContainsAll(plain...)
	}
	return textindex.Any(exprs...)
}

// sql is the condition. It is false, never unknown, for content that is no JSON or has no such member.
func (m *ContentMatch) sql(b *builder, engine string) string {
	column := string(m.Column)
	if len(m.Path) == 0 {
		return "(" + column + " IS NOT NULL AND " + anyText(b, column, m.Texts) + ")"
	}
	if engine == "sqlite" {
		// Paths tell positions from keys there: a number in a path may be either.
		var parts []string
		for _, path := range litePaths(m.Path) {
			p := b.arg(path)
			parts = append(parts, anyText(b, "(CASE json_type("+column+", "+p+") WHEN 'text' THEN "+column+" ->> "+p+" WHEN 'null' THEN NULL ELSE "+column+" -> "+p+" END)", m.Texts))
		}
		return "coalesce(CASE WHEN json_valid(" + column + ") THEN " + strings.Join(parts, " OR ") + " END, 0)"
	}
	// A text with a NUL can't be taken out of its JSON.
	member := "CASE WHEN " + column + " IS JSON AND position('\\u0000' IN " + column + ") = 0 THEN " + column + "::json #>> " + b.arg(m.Path) + "::text[] END"
	return "coalesce(" + anyText(b, "("+member+")", m.Texts) + ", false)"
}

// litePaths spells a path for SQLite, once with numbers as positions and once as keys.
func litePaths(path []string) []string {
	spell := func(positions bool) string {
		var s strings.Builder
		s.WriteByte('$')
		for _, name := range path {
			if n, err := strconv.ParseUint(name, 10, 31); err == nil && positions {
				s.WriteString("[" + strconv.FormatUint(n, 10) + "]")
			} else {
				s.WriteString(`."` + strings.ReplaceAll(name, `"`, ``) + `"`)
			}
		}
		return s.String()
	}
	return slices.Compact([]string{spell(true), spell(false)})
}
