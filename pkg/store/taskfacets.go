// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

const (
	// facetRows is how many matching tasks, newest first, facets are counted over.
	facetRows = 4000
	// countTime is how long counting goes on.
	countTime = time.Second
	// totalRows is how many tasks are looked through for a total.
	totalRows = 50_000
)

// FacetCount is a value and the number of tasks that have it.
type FacetCount struct {
	Value string
	N     int64
}

// TaskFacets say how the matches of a filter spread. A list counts the matches of the filter without its own condition, so
// that it shows what else there is to choose.
type TaskFacets struct {
	States, Priorities, Queues, Names, Workers, Engines []FacetCount
	// Approximate is set when some counts are those of the newest tasks only.
	Approximate bool
}

// facet is a list of facets: the column it counts, the condition of a filter on it, and where its counts go.
type facet struct {
	column string
	// filtered reports whether terms have a condition on the column; drop takes it out.
	filtered func(t *TaskTerms) bool
	drop     func(t *TaskTerms)
	list     func(f *TaskFacets) *[]FacetCount
}

func facets() []facet {
	return []facet{
		{
			"state", func(t *TaskTerms) bool { return len(t.States) > 0 }, func(t *TaskTerms) { t.States = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.States },
		}, {
			"priority", func(t *TaskTerms) bool { return len(t.Priorities) > 0 }, func(t *TaskTerms) { t.Priorities = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.Priorities },
		}, {
			"queue_id", func(t *TaskTerms) bool { return len(t.Queues) > 0 }, func(t *TaskTerms) { t.Queues = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.Queues },
		}, {
			"name_id", func(t *TaskTerms) bool { return len(t.Names) > 0 }, func(t *TaskTerms) { t.Names = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.Names },
		}, {
			"worker_id", func(t *TaskTerms) bool { return len(t.Workers) > 0 }, func(t *TaskTerms) { t.Workers = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.Workers },
		}, {
			"engine_id", func(t *TaskTerms) bool { return len(t.Engines) > 0 }, func(t *TaskTerms) { t.Engines = nil },
			func(f *TaskFacets) *[]FacetCount { return &f.Engines },
		},
	}
}

// TaskFacets counts the matches of a filter by their values, at most limit values a list. It looks at a bounded number of
// the newest tasks. Lists whose column the filter has no condition on share one look.
func (s *Store) TaskFacets(ctx context.Context, f TaskFilter, limit int) (TaskFacets, error) {
	var out TaskFacets
	var shared []facet
	for _, fc := range facets() {
		wider, filtered := f, false
		wider.Also = slices.Clone(f.Also)
		for _, t := range append(wider.terms(), &wider.Not) {
			filtered = filtered || fc.filtered(t)
			fc.drop(t)
		}
		if !filtered {
			shared = append(shared, fc)
			continue
		}
		if err := s.countFacets(ctx, wider, []facet{fc}, limit, &out); err != nil {
			return out, fmt.Errorf("count facets: %w", s.err(err))
		}
	}
	if err := s.countFacets(ctx, f, shared, limit, &out); err != nil {
		return out, fmt.Errorf("count facets: %w", s.err(err))
	}
	return out, nil
}

// countFacets fills the lists of facets.
func (s *Store) countFacets(ctx context.Context, f TaskFilter, list []facet, limit int, out *TaskFacets) error {
	counts := make([]map[int64]int64, len(list))
	for i := range counts {
		counts[i] = map[int64]int64{}
	}
	// The counters know how many tasks of the whole project are in each state.
	if i := slices.IndexFunc(list, func(fc facet) bool { return fc.column == "state" }); i >= 0 && f.bare() && len(f.States) == 0 {
		states, err := s.TaskCounts(ctx, f.ProjectID)
		if err != nil {
			return err
		}
		for state, n := range states {
			counts[i][int64(state)] = n
		}
		if out.States, err = s.topFacets(ctx, "state", counts[i], limit); err != nil {
			return err
		}
		list, counts = slices.Delete(slices.Clone(list), i, i+1), slices.Delete(counts, i, i+1)
	}
	if len(list) == 0 {
		return nil
	}
	r, err := s.resolve(ctx, &f)
	if err != nil {
		return err
	}
	if !r.none {
		l, err := s.facetLister(ctx, f, r.conds, list)
		if err != nil {
			return err
		}
		approximate, err := l.countFacets(ctx, list, counts)
		if err != nil {
			return err
		}
		out.Approximate = out.Approximate || approximate
	}
	for i, fc := range list {
		if *fc.list(out), err = s.topFacets(ctx, fc.column, counts[i], limit); err != nil {
			return err
		}
	}
	return nil
}

// facetLister returns the lister whose walk comes to the matches of conditions soonest: through the index of one of them
// in the order of starts, or else through all tasks in the order of their time.
func (s *Store) facetLister(ctx context.Context, f TaskFilter, conds []condition, list []facet) (*lister, error) {
	l := &lister{s: s, p: TaskPage{Filter: f, Order: TasksByStart}, all: conds}
	if err := l.plan(ctx); err != nil {
		return nil, err
	}
	// Starts know nothing of the end of the window: behind an old one lie few of the rows of the walk.
	old := f.Until != nil && s.Now().Sub(*f.Until) > sinceSlack
	if old || l.served == nil || len(l.served.values) > 1 {
		l = &lister{s: s, p: TaskPage{Filter: f, Order: TasksByTime}, all: conds, rest: conds}
	}
	for _, fc := range list {
		l.counted = append(l.counted, fc.column)
	}
	return l, nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough rows were counted")

// countFacets adds up the matches; approximate says that there are more than it looked at.
func (l *lister) countFacets(ctx context.Context, list []facet, counts []map[int64]int64) (approximate bool, err error) {
	for _, c := range l.indexed() {
		if c == l.served {
			continue // the walk is through its index
		}
		b, inner, ok, err := l.scope(ctx, c, facetRows)
		if err != nil {
			return false, err
		}
		if ok {
			b.addAll(l.all)
			_, err = l.s.addFacets(ctx, inner, b, list, counts)
			return false, err
		}
	}
	walk := l.walker(l.served)
	if !l.windowed {
		// Of what every walk reads, only the window needs more than what is counted.
		walk.columns = strings.TrimPrefix(walk.columns, placeColumns+", ")
	}
	begin := l.s.Now()
	for scanned, counted := 0, int64(0); ; {
		err := walk.stretch(ctx, facetRows, func(inner string, b *builder) error {
			l.filterRows(b)
			n, err := l.s.addFacets(ctx, inner, b, list, counts)
			if counted += n; err == nil && counted >= facetRows {
				// Where the walk would go on costs as much as what was read.
				return errEnough
			}
			return err
		})
		scanned += facetRows
		switch {
		case errors.Is(err, errEnough):
			return true, nil
		case err != nil:
			return false, err
		case walk.done:
			return false, nil
		case scanned >= stretchRows || l.s.Now().Sub(begin) > countTime:
			return true, nil
		}
	}
}

// addFacets counts the rows of inner that the conditions of b hold for, and says how many they are.
func (s *Store) addFacets(ctx context.Context, inner string, b *builder, list []facet, counts []map[int64]int64) (counted int64, err error) {
	columns, groups := make([]string, len(list)), make([]string, len(list))
	for i, fc := range list {
		columns[i], groups[i] = "coalesce("+fc.column+", 0)", strconv.Itoa(i+1)
	}
	query := "SELECT " + strings.Join(columns, ", ") + ", count(*) FROM (" + inner + ") AS stretch"
	if len(b.conds) > 0 {
		query += b.where()
	}
	query += " GROUP BY " + strings.Join(groups, ", ")
	rows, err := s.eng.read().Query(ctx, query, b.args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values := make([]int64, len(list))
	var n int64
	dest := []any{}
	for i := range values {
		dest = append(dest, &values[i])
	}
	dest = append(dest, &n)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return 0, err
		}
		for i, v := range values {
			counts[i][v] += n
		}
		counted += n
	}
	return counted, rows.Err()
}

// topFacets names the most frequent values. Tasks without a value are not among them.
func (s *Store) topFacets(ctx context.Context, column string, counts map[int64]int64, limit int) ([]FacetCount, error) {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b int64) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var list []FacetCount
	for _, key := range keys {
		if key == 0 || counts[key] <= 0 || len(list) == limit {
			continue
		}
		fc := FacetCount{N: counts[key]}
		switch column {
		case "state":
			fc.Value = domain.TaskState(key).String()
		case "priority":
			fc.Value = domain.Priority(key).String()
		default:
			var err error
			if fc.Value, err = s.Name(ctx, key); err != nil {
				return nil, err
			}
		}
		list = append(list, fc)
	}
	return list, nil
}

// CountTasks says how many tasks match, up to limit; exact is false when there are more. It may look at every task, and
// takes the time for that.
func (s *Store) CountTasks(ctx context.Context, f TaskFilter, limit int64) (n int64, exact bool, err error) {
	if f.bare() {
		n, err = s.countStates(ctx, &f)
		return n, err == nil, err
	}
	b, ok, err := s.flatFilter(ctx, &f)
	if err != nil {
		return 0, false, fmt.Errorf("count tasks: %w", err)
	}
	if !ok {
		return 0, true, nil
	}
	found, err := s.readInts(ctx, "SELECT count(*) FROM (SELECT 1 AS one FROM tasks"+b.where()+" LIMIT "+b.arg(limit+1)+") AS found", b.args)
	if err != nil || len(found) != 1 {
		return 0, false, fmt.Errorf("count tasks: %w", err)
	}
	return min(found[0], limit), found[0] <= limit, nil
}

// countStates is the number of tasks in the filter's states, from the counters.
func (s *Store) countStates(ctx context.Context, f *TaskFilter) (n int64, err error) {
	counts, err := s.TaskCounts(ctx, f.ProjectID)
	for state, c := range counts {
		if len(f.States) == 0 || slices.Contains(f.States, state) {
			n += c
		}
	}
	return n, err
}

// TaskTotal is CountTasks for pages: it gives up where it would have to look at too many tasks.
func (s *Store) TaskTotal(ctx context.Context, f TaskFilter, limit int64) (n int64, exact bool, err error) {
	if f.bare() {
		n, err = s.countStates(ctx, &f)
		return n, err == nil, err
	}
	r, err := s.resolve(ctx, &f)
	if err != nil || r.none {
		return 0, err == nil, err
	}
	l := &lister{s: s, p: TaskPage{Filter: f, Order: TasksByTime}, all: r.conds}
	for _, c := range append(l.indexed(), nil) {
		b, inner, ok, err := l.scope(ctx, c, totalRows)
		if err != nil {
			return 0, false, fmt.Errorf("count tasks: %w", s.err(err))
		}
		if !ok {
			continue
		}
		b.addAll(l.all)
		query := "SELECT count(*) FROM (" + inner + ") AS scope"
		if len(b.conds) > 0 {
			query += b.where()
		}
		found, err := s.readInts(ctx, query, b.args)
		if err != nil || len(found) != 1 {
			return 0, false, fmt.Errorf("count tasks: %w", err)
		}
		return min(found[0], limit), found[0] <= limit, nil
	}
	return 0, false, nil
}

// TaskKeys returns the keys of up to limit tasks that match.
func (s *Store) TaskKeys(ctx context.Context, f TaskFilter, limit int64) ([]int64, error) {
	b, ok, err := s.flatFilter(ctx, &f)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	if !ok {
		return nil, nil
	}
	keys, err := s.readInts(ctx, "SELECT id FROM tasks"+b.where()+" LIMIT "+b.arg(limit), b.args)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	return keys, nil
}
