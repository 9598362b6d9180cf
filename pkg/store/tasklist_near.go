// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"slices"
	"strings"
)

// near reads the rows of a page, one more when the list goes on, that are among the next lookRows of the walk. When they are too few
// and the list goes on, it tells what it has seen instead. The server stops where the page is full. It is asked one statement, where
// find asks one for each stretch and then for the rows.
func (l *lister) near(ctx context.Context) ([]Task, *looked, error) {
	w := l.walker(l.served)
	phases := w.phases()
	if len(phases) > 1 && l.p.Filter.Since == nil {
		// Tasks that never started come last: where no window ends before them, few pages reach them.
		tasks, seen, err := l.look(ctx, w, phases[:1])
		if err != nil || seen != nil || len(tasks) > l.p.Limit {
			return tasks, seen, err
		}
	}
	return l.look(ctx, w, phases)
}

// nearPlaces is near for SQLite, where a statement is no journey but each column that a row is passed on with costs.
func (l *lister) nearPlaces(ctx context.Context) ([]Task, *looked, error) {
	w, want := l.walker(l.served), l.p.Limit+1
	phases := w.phases()
	b := &builder{}
	inner := w.stretches(b, phases[:1], w.columns, false)[0]
	l.filterRows(b)
	found := "SELECT " + placeColumns + " FROM (" + inner + ") AS near" + b.where() + " LIMIT " + b.arg(int64(want))
	places, err := l.s.readPlaces(ctx, found, &builder{args: b.args}, l.p.Order)
	if err != nil {
		return nil, nil, err
	}
	if len(places) < want {
		b = &builder{}
		ends, err := l.s.readPlaces(ctx, w.stretches(b, phases[:1], placeColumns, true)[0], &builder{args: b.args}, l.p.Order)
		switch {
		case err != nil:
			return nil, nil, err
		case len(ends) > 0:
			return nil, &looked{places, &ends[0]}, nil
		case len(phases) > 1:
			return nil, &looked{places, &TaskCursor{ID: maxKey}}, nil
		}
	}
	tasks, err := l.s.fetchTasks(ctx, places, l.p.Basic)
	return tasks, nil, err
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
		return nil, nil, err
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
		return nil, nil, err
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
