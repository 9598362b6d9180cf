// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// near is a page whose rows are among the next lookRows of the walk; ok is false when it is not full and the list goes on, at seen.
// The server stops where the page is full. It is asked one statement, where find asks one for each stretch and then for the rows.
func (l *lister) near(ctx context.Context) (out TaskList, seen *looked, ok bool, err error) {
	w := l.walker(l.served)
	phases := w.phases()
	var tasks []Task
	if len(phases) > 1 && l.p.Filter.Since == nil {
		// Tasks that never started come last: where no window ends before them, few pages reach them.
		tasks, seen, err = l.look(ctx, w, phases[:1])
		if err != nil || seen != nil {
			return TaskList{}, seen, false, err
		}
	}
	if len(tasks) <= l.p.Limit {
		tasks, seen, err = l.look(ctx, w, phases)
		if err != nil || seen != nil {
			return TaskList{}, seen, false, err
		}
	}
	out, err = l.page(ctx, tasks)
	return out, nil, err == nil, err
}

// nearPlaces is near for SQLite, where a statement is no journey but each column that a row is passed on with costs.
func (l *lister) nearPlaces(ctx context.Context) (out TaskList, seen *looked, ok bool, err error) {
	w, want := l.walker(l.served), l.p.Limit+1
	phases := w.phases()
	b := &builder{}
	inner := w.stretches(b, phases[:1], w.columns, false)[0]
	l.filterRows(b)
	places, err := l.s.readPlaces(ctx, inner, &builder{conds: b.conds, args: b.args, limit: want}, l.p.Order)
	if err == nil && len(places) < want {
		b = &builder{}
		var ends []TaskCursor
		ends, err = l.s.readPlaces(ctx, w.stretches(b, phases[:1], placeColumns, true)[0], &builder{args: b.args}, l.p.Order)
		switch {
		case len(ends) > 0:
			seen = &looked{places, &ends[0]}
		case len(phases) > 1:
			seen = &looked{places, &TaskCursor{ID: maxKey}}
		}
	}
	if err != nil {
		return TaskList{}, nil, false, fmt.Errorf("list tasks: %w", l.s.err(err))
	}
	if seen != nil {
		return TaskList{}, seen, false, nil
	}
	tasks, err := l.s.fetchTasks(ctx, places, l.p.Basic)
	if err != nil {
		return TaskList{}, nil, false, fmt.Errorf("list tasks: %w", l.s.err(err))
	}
	out, err = l.page(ctx, tasks)
	return out, nil, err == nil, err
}

// looked is how far a list was looked through, and what was found there.
type looked struct {
	places []TaskCursor
	// end is behind what was looked through, nil for nothing.
	end *TaskCursor
}

// look reads the rows of a page, one more when the list goes on, from the next tasks of each phase. When these are too few and there
// are more tasks, it tells what it has seen instead.
func (l *lister) look(ctx context.Context, w *walker, phases []bool) ([]Task, *looked, error) {
	want := l.p.Limit + 1
	b := &builder{}
	inner := union(w.stretches(b, phases, "*", false))
	l.filterRows(b)
	tasks, err := l.s.readTasks(ctx, "SELECT "+rowColumns(l.p.Basic)+" FROM ("+inner+") AS near"+b.where()+" LIMIT "+b.arg(int64(want)), b.args, want)
	if err != nil {
		return nil, nil, fmt.Errorf("list tasks: %w", l.s.err(err))
	}
	places := make([]TaskCursor, len(tasks))
	for i := range tasks {
		places[i] = l.p.Order.CursorOf(&tasks[i])
	}
	switch {
	case !slices.IsSortedFunc(places, compareCursors):
		return nil, &looked{}, nil // no order is promised of rows that come from a subquery
	case len(tasks) == want:
		return tasks, nil, nil
	}
	b = &builder{}
	// The first of the phases that go on.
	ends, err := l.s.readPlaces(ctx, union(w.stretches(b, phases, placeColumns, true)), &builder{args: b.args}, l.p.Order)
	if err != nil {
		return nil, nil, fmt.Errorf("list tasks: %w", l.s.err(err))
	}
	if len(ends) == 0 {
		return tasks, nil, nil
	}
	return nil, &looked{slices.DeleteFunc(places, func(c TaskCursor) bool { return compareCursors(c, ends[0]) > 0 }), &ends[0]}, nil
}

// stretches are the queries of the next rows of phases of the walk, or of the last of these rows each.
func (w *walker) stretches(b *builder, phases []bool, columns string, last bool) []string {
	var list []string
	for _, unstarted := range phases {
		w.rangeSQL(b, unstarted)
		n := int64(lookRows)
		if unstarted {
			n = firstRows
		}
		limit := " LIMIT "
		if last {
			limit, n = " LIMIT 1 OFFSET ", n-1
		}
		limit += b.arg(n)
		list = append(list, "SELECT "+columns+w.from()+b.where()+" ORDER BY "+w.order.sql()+limit)
		b.conds = nil
	}
	return list
}

func union(queries []string) string { return "(" + strings.Join(queries, ") UNION ALL (") + ")" }
