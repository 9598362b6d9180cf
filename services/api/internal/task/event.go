// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// EventPublic is an event of a task.
type EventPublic struct {
	ID         uuid.UUID       `json:"id"`
	ProjectID  uuid.UUID       `json:"project_id"`
	AgentID    uuid.UUID       `json:"agent_id"`
	Engine     string          `json:"engine"`
	TaskID     string          `json:"task_id"`
	Kind       string          `json:"kind"`
	OccurredAt httpx.Time      `json:"occurred_at"`
	Payload    json.RawMessage `json:"payload"`
}

// EventListResponse is one page of events.
type EventListResponse struct {
	Items      []EventPublic `json:"items"`
	NextCursor *string       `json:"next_cursor"`
}

// EventQuery are the parameters of the event list.
type EventQuery struct {
	Engine string `json:"engine" validate:"required,min=1,max=40"`
	TaskID string `json:"task_id" validate:"required,min=1,max=200"`
	Cursor string `json:"cursor"`
	Limit  int    `json:"limit" validate:"ge=1,le=5000"`
}

// sameSecond is how many events of one task may share a second beyond a page: six life-cycle kinds and some loose ones.
const sameSecond = 64

func (g *group) events(r *rest.Request) (any, error) {
	q := rest.Query[EventQuery](r)
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	limit := g.pageSize(q.Limit)
	cursor, paged := httpx.ParseCursor(q.Cursor)
	paged = paged && !cursor.Null && cursor.Raw == nil
	var until time.Time
	if paged {
		until = cursor.Time
	}
	all, err := g.readEvents(ctx, r, q, until, int64(limit)+sameSecond)
	if err != nil {
		return nil, slow(err)
	}
	slices.SortFunc(all, newestFirst)
	if paged {
		place := EventPublic{ID: cursor.ID, OccurredAt: httpx.NewTime(cursor.Time)}
		all = slices.DeleteFunc(all, func(e EventPublic) bool { return newestFirst(e, place) <= 0 })
	}
	out := EventListResponse{Items: all}
	if len(all) > limit {
		out.Items = all[:limit]
		last := out.Items[limit-1]
		next := httpx.TimeCursor(&last.OccurredAt.Time, last.ID)
		out.NextCursor = &next
	}
	return out, nil
}

func newestFirst(a, b EventPublic) int {
	if c := b.OccurredAt.Compare(a.OccurredAt.Time); c != 0 {
		return c
	}
	return strings.Compare(b.ID.String(), a.ID.String())
}

// readEvents returns the stored events of a task at or before until, those of its life cycle and the others.
func (g *group) readEvents(ctx context.Context, r *rest.Request, q *EventQuery, until time.Time, limit int64) ([]EventPublic, error) {
	agents := agentIDs{store: g.cfg.Store, known: map[int64]uuid.UUID{}}
	out := []EventPublic{}
	loose, err := g.cfg.Store.LooseEventsOfTask(ctx, r.Project.ID, q.Engine, q.TaskID, until, limit)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for _, e := range loose {
		agent, err := agents.of(ctx, e.AgentID)
		if err != nil {
			return nil, err
		}
		out = append(out, EventPublic{
			ID: e.UID, ProjectID: r.Project.UID, AgentID: agent, Engine: q.Engine, TaskID: q.TaskID, Kind: e.Kind,
			OccurredAt: httpx.NewTime(e.OccurredAt), Payload: json.RawMessage(e.Payload),
		})
	}
	t, err := g.cfg.Store.TaskByIdentity(ctx, r.Project.ID, q.Engine, q.TaskID)
	if errors.Is(err, domain.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find task: %w", err)
	}
	events, err := g.cfg.Store.EventsOfTask(ctx, t.ID, until, limit)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for i := range events {
		e, err := g.eventPublic(ctx, &r.Project, &t, &events[i], &agents)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (g *group) eventPublic(ctx context.Context, p *store.Project, t *store.TaskView, e *store.Event, agents *agentIDs) (EventPublic, error) {
	agent, err := agents.of(ctx, e.AgentID)
	if err != nil {
		return EventPublic{}, err
	}
	worker, queue := "", ""
	if e.WorkerID != nil {
		if worker, err = g.cfg.Store.Name(ctx, *e.WorkerID); err != nil {
			return EventPublic{}, err
		}
	}
	if t.Queue != nil {
		queue = *t.Queue
	}
	kind := domain.EventKind(e.Kind).String()
	return EventPublic{
		ID:        wire.EventID(p.UID.String(), t.Engine, t.TaskID, kind, e.At.Unix()),
		ProjectID: p.UID, AgentID: agent, Engine: t.Engine, TaskID: t.TaskID, Kind: kind,
		OccurredAt: httpx.NewTime(e.At.Add(time.Duration(e.AtUs) * time.Microsecond)),
		Payload:    store.EventPayload(e.Stripped, e.Payload, t.TaskID, t.Name, queue, worker, t.Args, t.Kwargs),
	}, nil
}

// agentIDs remembers the public ids of agents during one request.
type agentIDs struct {
	store *store.Store
	known map[int64]uuid.UUID
}

func (a *agentIDs) of(ctx context.Context, key int64) (uuid.UUID, error) {
	if uid, ok := a.known[key]; ok {
		return uid, nil
	}
	uid, err := a.store.AgentUID(ctx, key)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return uid, fmt.Errorf("find agent: %w", err)
	}
	a.known[key] = uid
	return uid, nil
}
