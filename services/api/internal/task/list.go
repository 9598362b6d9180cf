// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"errors"
	"strings"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// ListQuery are the parameters of the list.
type ListQuery struct {
	Filter

	Cursor       string `json:"cursor" doc:"next_cursor of the page before; a malformed one gives the first page"`
	Limit        int    `json:"limit" validate:"ge=1,le=5000"`
	IncludeTotal bool   `json:"include_total"`
	Sort         string `json:"sort" validate:"oneof=-started_at|-seen_at|-received_at" doc:"default: -started_at, with until -received_at; -received_at is the order of since and until, so that any window is read at once; -seen_at: newest arrival first, which never changes"`
	Format       string `json:"format" validate:"oneof=csv|xlsx|json" doc:"answer with a file of all matching tasks"`
	Fields       string `json:"fields" validate:"max=500" doc:"basic: rows without results, tracebacks and arguments, which are cut to previews; with format: comma list of the file's columns"`
}

// order is the list's order. A window that ended long ago is nowhere in the order of starts: tasks received in it may have
// started at any time since.
func (q *ListQuery) order(f *store.TaskFilter) store.TaskOrder {
	switch {
	case q.Sort == "-seen_at":
		return store.TasksBySeen
	case q.Sort == "-received_at", q.Sort == "" && f.Until != nil:
		return store.TasksByTime
	}
	return store.TasksByStart
}

// basicFields is the value of fields that asks for small rows.
const basicFields = "basic"

// maxCounted bounds how many tasks are counted one by one for total_count.
const maxCounted = 10_000

func (g *group) list(r *rest.Request) (any, error) {
	q := rest.Query[ListQuery](r)
	filter, err := q.Resolve(r.Project.ID, g.cfg.Store.Now())
	if err != nil {
		return nil, err
	}
	if q.Format != "" {
		return g.export(r, q, filter)
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	page := store.TaskPage{Filter: filter, Order: q.order(&filter), Limit: g.pageSize(q.Limit), Basic: strings.TrimSpace(q.Fields) == basicFields}
	if page.After, err = g.cursor(ctx, q.Cursor); err != nil {
		return nil, err
	}
	list, err := g.cfg.Store.ListTasks(ctx, page)
	if err != nil {
		return nil, slow(err)
	}
	out := TaskListResponse{Items: make([]TaskPublic, 0, len(list.Tasks))}
	for i := range list.Tasks {
		show := public
		if page.Basic {
			show = small
		}
		out.Items = append(out.Items, show(&r.Project, &list.Tasks[i]))
	}
	if list.Next != nil {
		uid, err := g.cfg.Store.TaskUID(ctx, list.Next.ID)
		if err != nil {
			return nil, err
		}
		next := httpx.TimeCursor(list.Next.At, uid)
		out.NextCursor = &next
		if list.Partial {
			out.SearchedTo = httpx.TimePtr(list.Next.At)
		}
	}
	if q.IncludeTotal {
		n, exact, err := g.cfg.Store.TaskTotal(ctx, filter, maxCounted)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			// The page is worth more than its total.
		case err != nil:
			return nil, err
		case exact:
			out.TotalCount = &n
		}
	}
	return out, nil
}

// FacetQuery are the parameters of the facets.
type FacetQuery struct {
	Filter

	Limit int `json:"limit" default:"50" validate:"ge=1,le=200" doc:"the most values a list holds"`
}

// FacetCount is a value and the number of tasks that have it.
type FacetCount struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// TaskFacetsResponse says how the tasks that match spread. A list leaves its own filter out of account, so that it shows
// what else there is to choose.
type TaskFacetsResponse struct {
	States      []FacetCount `json:"states"`
	Priorities  []FacetCount `json:"priorities"`
	Queues      []FacetCount `json:"queues"`
	Names       []FacetCount `json:"names"`
	Workers     []FacetCount `json:"workers"`
	Engines     []FacetCount `json:"engines"`
	Approximate bool         `json:"approximate" doc:"the counts are those of the newest 4,000 matches, or of those among the tasks that were looked through; those of all tasks by state are complete"`
}

func (g *group) facets(r *rest.Request) (any, error) {
	q := rest.Query[FacetQuery](r)
	filter, err := q.Resolve(r.Project.ID, g.cfg.Store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	f, err := g.cfg.Store.TaskFacets(ctx, filter, q.Limit)
	if err != nil {
		return nil, slow(err)
	}
	list := func(counts []store.FacetCount) []FacetCount {
		out := make([]FacetCount, len(counts))
		for i, c := range counts {
			out[i] = FacetCount{Value: c.Value, Count: c.N}
		}
		return out
	}
	return TaskFacetsResponse{
		States: list(f.States), Priorities: list(f.Priorities), Queues: list(f.Queues), Names: list(f.Names), Workers: list(f.Workers),
		Engines: list(f.Engines), Approximate: f.Approximate,
	}, nil
}
