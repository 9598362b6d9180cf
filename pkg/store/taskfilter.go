// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/textindex"
)

// Match says how a text is compared.
type Match int

// Ways to compare.
const (
	// MatchExact is equality, case included.
	MatchExact Match = iota
	// MatchPart finds the text anywhere, in any case.
	MatchPart
	// MatchGlob compares the whole, in any case; a star stands for any characters.
	MatchGlob
)

// TextMatch is a text to compare with.
type TextMatch struct {
	Text string
	Match
}

// Exact returns matches of whole texts.
func Exact(texts ...string) []TextMatch { return matches(MatchExact, texts) }

// Part returns matches of parts.
func Part(texts ...string) []TextMatch { return matches(MatchPart, texts) }

func matches(m Match, texts []string) []TextMatch {
	var list []TextMatch
	for _, t := range texts {
		if t != "" {
			list = append(list, TextMatch{Text: t, Match: m})
		}
	}
	return list
}

// TaskTerms are conditions on a task. Within a field any value may match, an empty field asks nothing.
type TaskTerms struct {
	States                         []domain.TaskState
	Priorities                     []domain.Priority
	Engines, Queues, Workers       []TextMatch
	Names, IDs, Exceptions, Issues []TextMatch
	// Content are conditions on arguments and results. All of them must hold.
	Content []ContentMatch
	// Search are parts of the name, queue, worker, task id, exception, arguments or result, in any case. All of them must be
	// found.
	Search []string
}

// TaskFilter narrows a task list. Zero fields do not narrow.
type TaskFilter struct {
	ProjectID int64
	TaskTerms
	// Also are further terms that must hold as well.
	Also []TaskTerms
	// Not excludes tasks for which any of its values matches.
	Not TaskTerms
	// Since and Until bound the time of reception; a task whose engine reports none counts from its start, or else its
	// arrival.
	Since, Until *time.Time
	// MinRuntimeMS and MaxRuntimeMS bound the run time; a task without one does not match.
	MinRuntimeMS, MaxRuntimeMS *int64
}

// taskTime is the time of a task, as the index tasks_time has it.
const taskTime = "coalesce(received_at, started_at, seen_at)"

// builder collects the parameters of a query. The texts of conditions are constants of this package; what users send
// goes through arg.
type builder struct {
	conds []string
	args  []any
}

func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return fmt.Sprintf("$%d", len(b.args))
}

func (b *builder) add(cond string) { b.conds = append(b.conds, cond) }

func (b *builder) clone() *builder {
	return &builder{conds: slices.Clone(b.conds), args: slices.Clone(b.args)}
}

func (b *builder) addAll(conds []condition) {
	for i := range conds {
		b.add(conds[i].sql(b))
	}
}

func (b *builder) where() string { return " WHERE " + strings.Join(b.conds, " AND ") }

// likeContains is the LIKE pattern of "contains text".
func likeContains(text string) string { return "%" + likeEscape(text) + "%" }

func likeEscape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}

func (t TextMatch) pattern() string {
	text := strings.ToLower(t.Text)
	if t.Match == MatchPart {
		return likeContains(text)
	}
	return strings.ReplaceAll(likeEscape(text), "*", "%")
}

// column is a column that an index leads with, behind the project.
type column string

const (
	byID          column = "task_id"
	byFingerprint column = "fingerprint"
	byName        column = "name_id"
	byQueue       column = "queue_id"
	byState       column = "state"
)

// condition is one part of a filter. It is put into words for each query anew, as parameters are numbered by query.
type condition struct {
	// column and values say "equal to one of" for a column that an index serves; column is empty otherwise.
	column column
	values []any
	render func(b *builder) string
	// tokens is what the search index can tell of the condition; nil when that is nothing.
	tokens *textindex.Expr
}

func (c *condition) sql(b *builder) string {
	if c.render != nil {
		return c.render(b)
	}
	return isOneOf(b, string(c.column), c.values)
}

func isOneOf(b *builder, column string, values []any) string {
	if len(values) == 1 {
		return column + " = " + b.arg(values[0])
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = b.arg(v)
	}
	return column + " IN (" + strings.Join(list, ", ") + ")"
}

// indexSQL is the condition for a query that is to take the index of the column.
func (c *condition) indexSQL(b *builder) string {
	if c.column == byID {
		// The index of the identity has the engine in front of the id.
		return "engine_id IN (SELECT id FROM names) AND " + c.sql(b)
	}
	return c.sql(b)
}

// resolved is a filter in inner keys. none is set when nothing can match.
type resolved struct {
	none  bool
	conds []condition
}

func (r *resolved) add(c condition) { r.conds = append(r.conds, c) }

func (r *resolved) addSQL(render func(b *builder) string) { r.add(condition{render: render}) }

// maxArms is the number of values for which a list is merged from one index walk each.
const maxArms = 16

// resolve turns a filter into conditions, without the project and the window.
func (s *Store) resolve(ctx context.Context, f *TaskFilter) (*resolved, error) {
	r := &resolved{}
	for _, t := range f.terms() {
		if err := s.include(ctx, r, t); err != nil || r.none {
			return r, err
		}
	}
	if err := s.exclude(ctx, r, &f.Not); err != nil {
		return r, err
	}
	if f.MinRuntimeMS != nil {
		r.addSQL(func(b *builder) string { return "runtime_ms >= " + b.arg(*f.MinRuntimeMS) })
	}
	if f.MaxRuntimeMS != nil {
		r.addSQL(func(b *builder) string { return "runtime_ms <= " + b.arg(*f.MaxRuntimeMS) })
	}
	return r, nil
}

func stateValues(states []domain.TaskState) []any {
	out := make([]any, len(states))
	for i, s := range states {
		out[i] = int64(s)
	}
	return out
}

func priorityValues(list []domain.Priority) []any {
	out := make([]any, len(list))
	for i, p := range list {
		out[i] = int64(p)
	}
	return out
}

func (s *Store) include(ctx context.Context, r *resolved, t *TaskTerms) error {
	if len(t.States) > 0 {
		r.add(condition{column: byState, values: stateValues(t.States)})
	}
	if len(t.Priorities) > 0 {
		values := priorityValues(t.Priorities)
		r.addSQL(func(b *builder) string { return isOneOf(b, "priority", values) })
	}
	for _, field := range []struct {
		column  string
		matches []TextMatch
	}{{"engine_id", t.Engines}, {string(byQueue), t.Queues}, {"worker_id", t.Workers}, {string(byName), t.Names}} {
		if len(field.matches) == 0 {
			continue
		}
		ids, all, err := s.nameIDs(ctx, field.matches)
		switch {
		case err != nil:
			return err
		case all && len(ids) == 0:
			r.none = true
			return nil
		case !all:
			r.addSQL(func(b *builder) string { return field.column + " IN " + namesLike(b, field.matches) })
		case field.column == string(byQueue) || field.column == string(byName):
			r.add(condition{column: column(field.column), values: ids})
		default:
			r.addSQL(func(b *builder) string { return isOneOf(b, field.column, ids) })
		}
	}
	textColumn(r, byID, t.IDs)
	textColumn(r, byFingerprint, t.Issues)
	textColumn(r, "exception", t.Exceptions)
	for i := range t.Content {
		m := &t.Content[i]
		r.add(condition{tokens: m.tokens(), render: func(b *builder) string { return m.sql(b, s.eng.name()) }})
	}
	return s.search(ctx, r, t.Search, "")
}

// search adds conditions that texts occur in what a search looks at, or with "NOT " that they do not. Names are looked up
// beforehand where few have the text: most often none has, and then no row is compared with any.
func (s *Store) search(ctx context.Context, r *resolved, texts []string, not string) error {
	for _, text := range texts {
		ids, all, err := s.nameIDs(ctx, Part(text))
		if err != nil {
			return err
		}
		c := condition{render: func(b *builder) string { return not + s.found(b, text, ids, all) }}
		if not == "" && all && len(ids) == 0 {
			c.tokens = textindex.Contains(text)
		}
		r.add(c)
	}
	return nil
}

// texts reports whether the filter compares texts of rows.
func (f *TaskFilter) texts() bool {
	return slices.ContainsFunc(append(f.terms(), &f.Not), func(t *TaskTerms) bool {
		return len(t.Search)+len(t.IDs)+len(t.Exceptions)+len(t.Content) > 0
	})
}

// terms are all terms of the filter that say what matches.
func (f *TaskFilter) terms() []*TaskTerms {
	list := []*TaskTerms{&f.TaskTerms}
	for i := range f.Also {
		list = append(list, &f.Also[i])
	}
	return list
}

// textColumn asks for a text that is a column of tasks.
func textColumn(r *resolved, c column, list []TextMatch) {
	if len(list) == 0 {
		return
	}
	var values []any
	for _, m := range list {
		if m.Match == MatchExact {
			values = append(values, m.Text)
		}
	}
	if len(values) == len(list) && c != "exception" {
		r.add(condition{column: c, values: values})
		return
	}
	out := condition{render: func(b *builder) string { return anyText(b, string(c), list) }}
	if c != byFingerprint {
		out.tokens = textTokens(list)
	}
	r.add(out)
}

// textTokens is what the search index can tell of a text that matches any of a list.
func textTokens(list []TextMatch) *textindex.Expr {
	exprs := make([]*textindex.Expr, len(list))
	for i, m := range list {
		exprs[i] = textindex.ContainsAll(m.literals()...)
	}
	return textindex.Any(exprs...)
}

// literals are the texts that whatever matches contains.
func (t TextMatch) literals() []string {
	if t.Match == MatchGlob {
		return strings.Split(t.Text, "*")
	}
	return []string{t.Text}
}

// anyText says that a column matches any of the texts.
func anyText(b *builder, column string, list []TextMatch) string {
	parts := make([]string, len(list))
	for i, m := range list {
		if m.Match == MatchExact {
			parts[i] = column + " = " + b.arg(m.Text)
		} else {
			parts[i] = "lower(" + column + ") LIKE " + b.arg(m.pattern()) + ` ESCAPE '\'`
		}
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// found says that a text occurs in what a search looks at. names are the keys of the names that have it, if all of them.
func (s *Store) found(b *builder, text string, names []any, all bool) string {
	p := b.arg(likeContains(strings.ToLower(text)))
	columns := []string{"task_id", "exception", "args", "kwargs", "result"}
	for i, c := range columns {
		if i > 0 {
			c = "coalesce(" + c + ", '')"
		}
		if s.eng.name() != "sqlite" {
			c = "lower(" + c + ")" // LIKE of SQLite disregards case, of the same letters as its lower does
		}
		columns[i] = c + " LIKE " + p + ` ESCAPE '\'`
	}
	own := strings.Join(columns, " OR ")
	in := `IN (SELECT id FROM names WHERE lower(text) LIKE ` + p + ` ESCAPE '\')`
	switch {
	case all && len(names) == 0:
		return "(" + own + ")"
	case all:
		list := make([]string, len(names))
		for i, v := range names {
			list[i] = b.arg(v)
		}
		in = "IN (" + strings.Join(list, ", ") + ")"
	}
	return "(name_id " + in + " OR coalesce(queue_id, 0) " + in + " OR coalesce(worker_id, 0) " + in + " OR " + own + ")"
}

func namesLike(b *builder, list []TextMatch) string {
	return "(SELECT id FROM names WHERE " + anyText(b, "text", list) + ")"
}

// exclude adds the opposite of terms. A task without a queue is in none of the queues.
func (s *Store) exclude(ctx context.Context, r *resolved, t *TaskTerms) error {
	if len(t.States) > 0 {
		r.addSQL(func(b *builder) string { return "NOT " + isOneOf(b, "state", stateValues(t.States)) })
	}
	if len(t.Priorities) > 0 {
		r.addSQL(func(b *builder) string { return "NOT " + isOneOf(b, "priority", priorityValues(t.Priorities)) })
	}
	for _, field := range []struct {
		column  string
		matches []TextMatch
	}{
		{"engine_id", t.Engines}, {"coalesce(queue_id, 0)", t.Queues}, {"coalesce(worker_id, 0)", t.Workers}, {"name_id", t.Names},
	} {
		if len(field.matches) == 0 {
			continue
		}
		ids, all, err := s.nameIDs(ctx, field.matches)
		switch {
		case err != nil:
			return err
		case all && len(ids) == 0:
		case all:
			r.addSQL(func(b *builder) string { return "NOT " + isOneOf(b, field.column, ids) })
		default:
			r.addSQL(func(b *builder) string { return field.column + " NOT IN " + namesLike(b, field.matches) })
		}
	}
	for _, field := range []struct {
		column  string
		matches []TextMatch
	}{{"task_id", t.IDs}, {"coalesce(fingerprint, '')", t.Issues}, {"coalesce(exception, '')", t.Exceptions}} {
		if len(field.matches) > 0 {
			r.addSQL(func(b *builder) string { return "NOT " + anyText(b, field.column, field.matches) })
		}
	}
	for i := range t.Content {
		r.addSQL(func(b *builder) string { return "NOT " + t.Content[i].sql(b, s.eng.name()) })
	}
	return s.search(ctx, r, t.Search, "NOT ")
}

// nameIDs finds the interned keys of texts. all is false when there are too many to name them one by one.
func (s *Store) nameIDs(ctx context.Context, list []TextMatch) (ids []any, all bool, err error) {
	var loose []TextMatch
	seen := map[int64]bool{}
	keep := func(id int64) {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	for _, m := range list {
		if m.Match != MatchExact {
			loose = append(loose, m)
			continue
		}
		id, ok, err := s.NameID(ctx, m.Text)
		if err != nil {
			return nil, false, err
		}
		if ok {
			keep(id)
		}
	}
	if len(loose) == 0 {
		return ids, true, nil
	}
	b := &builder{}
	query := "SELECT id FROM names WHERE " + anyText(b, "text", loose) + " LIMIT " + b.arg(int64(maxArms+1))
	found, err := s.readInts(ctx, query, b.args)
	for _, id := range found {
		keep(id)
	}
	return ids, len(found) <= maxArms, err
}

// readInts reads a column of numbers.
func (s *Store) readInts(ctx context.Context, query string, args []any) ([]int64, error) {
	rows, err := s.eng.read().Query(ctx, query, args...)
	if err != nil {
		return nil, s.err(err)
	}
	list, err := scanInts(rows)
	return list, s.err(err)
}

// window adds the bounds of the filter's window.
func (f *TaskFilter) window(b *builder) {
	if f.Since != nil {
		b.add(taskTime + " >= " + b.arg(domain.Micros(*f.Since)))
	}
	if f.Until != nil {
		b.add(taskTime + " <= " + b.arg(domain.Micros(*f.Until)))
	}
}

// flatFilter is the whole filter for a query without an order; ok is false when nothing can match.
func (s *Store) flatFilter(ctx context.Context, f *TaskFilter) (b *builder, ok bool, err error) {
	r, err := s.resolve(ctx, f)
	if err != nil || r.none {
		return nil, false, err
	}
	b = &builder{}
	b.add("project_id = " + b.arg(f.ProjectID))
	for i := range r.conds {
		b.add(r.conds[i].indexSQL(b))
	}
	f.window(b)
	return b, true, nil
}

// bare reports whether the filter asks for nothing but states, so that the counters can tell the number.
func (f *TaskFilter) bare() bool {
	return f.quiet() && len(f.Also) == 0 && f.Not.quiet() && len(f.Not.States) == 0 && f.Since == nil && f.Until == nil && f.MinRuntimeMS == nil && f.MaxRuntimeMS == nil
}

// NoTerms reports whether the terms ask for nothing.
func (t *TaskTerms) NoTerms() bool { return len(t.States) == 0 && t.quiet() }

// quiet reports whether the terms ask for nothing, states aside.
func (t *TaskTerms) quiet() bool {
	return len(t.Priorities)+len(t.Engines)+len(t.Queues)+len(t.Workers)+len(t.Names)+len(t.IDs)+len(t.Exceptions)+len(t.Issues)+len(t.Search)+len(t.Content) == 0
}
