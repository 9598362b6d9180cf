// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

const (
	// nearRows is how many tasks, newest start first, are looked through before a filter without an index counts as rare.
	nearRows = 5000
	// rareMatches is how many matches are collected and sorted at most; more than these are common enough for a walk.
	rareMatches = 2000
	// idLength is from which length on a search text may be a whole task id.
	idLength = 8
)

// selective reports whether the filter has conditions that only the rows can answer, so that a walk in the order of
// the list may have to pass very many rows for a page.
func (r *resolved) selective(f TaskFilter) bool {
	// Since alone bounds the walk by itself.
	return len(r.cond.rest) > 0 && (f.Since == nil || len(r.cond.rest) > 1)
}

// compareStarts is the order of the start: newest first, never started last, then the newest row.
func compareStarts(a *time.Time, aID int64, b *time.Time, bID int64) int {
	switch {
	case a == nil && b != nil:
		return 1
	case a != nil && b == nil:
		return -1
	case a != nil && b != nil && !a.Equal(*b):
		return b.Compare(*a)
	}
	return cmp.Compare(bID, aID)
}

// searchTasks answers a page of a filter that no index serves. Most such filters match often: then the page is among the
// next few thousand tasks. Otherwise matches may be so rare that a walk in the order of the start, which jumps all over
// the table, would take seconds; they are collected in the order of arrival instead, which is that of the table.
func (s *Store) searchTasks(ctx context.Context, p TaskPage, base *builder) ([]Task, error) {
	if exact, err := s.taskBySearch(ctx, p, base); err != nil || len(exact) > 0 {
		return exact, err
	}
	near, err := s.nearTasks(ctx, p, base)
	if err != nil || len(near) >= p.Limit {
		return near, err
	}
	all, err := s.collectTasks(ctx, base)
	if err != nil || len(all) > rareMatches {
		if err != nil {
			return nil, err
		}
		return s.walkTasks(ctx, p, base)
	}
	slices.SortFunc(all, func(a, b taskPlace) int { return compareStarts(a.started, a.id, b.started, b.id) })
	if p.After != nil {
		all = slices.DeleteFunc(all, func(t taskPlace) bool { return compareStarts(t.started, t.id, p.After.At, p.After.ID) <= 0 })
	}
	return s.fetchTasks(ctx, all[:min(len(all), p.Limit)])
}

// taskBySearch finds the task whose whole id is the search text. An id is pasted more often than a part of one.
func (s *Store) taskBySearch(ctx context.Context, p TaskPage, base *builder) ([]Task, error) {
	if len(p.Filter.Search) < idLength || p.After != nil {
		return nil, nil
	}
	b := base.clone()
	// Only a search for nothing else is cut short: a name may contain the text too, so names must not match.
	names, err := s.namesContain(ctx, p.Filter.Search)
	if err != nil || names {
		return nil, err
	}
	b.add("engine_id IN (SELECT id FROM names)")
	b.add("task_id = " + b.arg(p.Filter.Search))
	return s.queryTasks(ctx, b, "id DESC", p.Limit)
}

func (s *Store) namesContain(ctx context.Context, text string) (bool, error) {
	var n int64
	err := s.eng.read().QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 AS one FROM names WHERE lower(text) LIKE $1 ESCAPE '\' LIMIT 1) AS found`,
		likeContains(strings.ToLower(text))).Scan(&n)
	return n > 0, err
}

// nearTasks looks through the next tasks in the order of the list. It returns fewer than a page also when there are more
// matches further on.
func (s *Store) nearTasks(ctx context.Context, p TaskPage, base *builder) ([]Task, error) {
	if p.After != nil && p.After.At == nil {
		return nil, nil
	}
	b := base.clone()
	if p.After != nil {
		at := b.arg(*p.After.At)
		b.add("started_at <= " + at)
		b.add("(started_at < " + at + " OR id < " + b.arg(p.After.ID) + ")")
	} else {
		b.add("started_at IS NOT NULL")
	}
	if p.Filter.Since != nil {
		b.add("started_at >= " + b.arg(domain.Micros(p.Filter.Since.Add(-sinceSlack))))
	}
	const order = " ORDER BY started_at DESC NULLS LAST, id DESC LIMIT "
	query := "SELECT " + taskColumns + " FROM (SELECT * FROM tasks WHERE " + strings.Join(b.conds, " AND ") + order + b.arg(int64(nearRows)) +
		") AS near WHERE " + strings.Join(b.rest, " AND ") + order + b.arg(int64(p.Limit))
	return s.readTasks(ctx, query, b.args, p.Limit)
}

// taskPlace is what sorts a task in the order of the start.
type taskPlace struct {
	id      int64
	started *time.Time
}

// collectTasks finds the places of all matches, at most one more than rareMatches.
func (s *Store) collectTasks(ctx context.Context, base *builder) ([]taskPlace, error) {
	b := base.clone()
	for i, c := range b.conds {
		if !strings.HasPrefix(c, "project_id") {
			b.conds[i] = "+" + c // the index on the arrival is wanted
		}
	}
	rows, err := s.eng.read().Query(ctx, "SELECT id, started_at FROM tasks"+b.where()+" ORDER BY seen_at DESC, id DESC LIMIT "+b.arg(int64(rareMatches+1)), b.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []taskPlace
	for rows.Next() {
		var t taskPlace
		if err := rows.Scan(&t.id, &t.started); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// fetchTasks reads rows in the order of their places.
func (s *Store) fetchTasks(ctx context.Context, places []taskPlace) ([]Task, error) {
	if len(places) == 0 {
		return nil, nil
	}
	b := &builder{}
	order := make(map[int64]int, len(places))
	var list []string
	for i, p := range places {
		list = append(list, b.arg(p.id))
		order[p.id] = i
	}
	b.add("id IN (" + strings.Join(list, ", ") + ")")
	tasks, err := s.queryTasks(ctx, b, "id", len(places))
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(order[a.ID], order[b.ID]) })
	return tasks, err
}
