// SPDX-License-Identifier: AGPL-3.0-or-later

// Package fleet holds the operations about engine workers and queues, and the advice on workers' configuration.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Store is what the operations read.
type Store interface {
	Queues(ctx context.Context, projectID, limit int64) ([]store.Queue, error)
	Workers(ctx context.Context, projectID, limit int64) ([]store.WorkerView, error)
	WorkerByUID(ctx context.Context, projectID int64, uid uuid.UUID) (store.WorkerView, error)
}

type group struct{ store Store }

// maxRows bounds the lists, which have no paging.
const maxRows = 5000

// Ops returns the operations.
func Ops(s Store) []rest.Op {
	g := &group{store: s}
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/workers", ID: "list_workers", Tag: "workers", Action: auth.WorkerRead,
		Summary: "List workers", Access: rest.Session, Response: []WorkerPublic{}, Status: http.StatusOK, Handle: g.workers,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/workers/lint", ID: "lint_workers", Tag: "workers", Action: auth.WorkerRead,
		Summary: "Advice on the configuration that workers report", Access: rest.Session, Response: ProjectLintPublic{}, Status: http.StatusOK, Handle: g.lint,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/workers/{worker_id}", ID: "get_worker", Tag: "workers", Action: auth.WorkerRead,
		Summary: "Show a worker with what its engine tells about it", Access: rest.Session, Response: WorkerDetailPublic{}, Status: http.StatusOK, Handle: g.worker,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/queues", ID: "list_queues", Tag: "queues", Action: auth.QueueRead,
		Summary: "List queues", Access: rest.Session, Response: []QueuePublic{}, Status: http.StatusOK, Handle: g.queues,
	}}
}

// WorkerPublic is an engine worker.
type WorkerPublic struct {
	ID            uuid.UUID   `json:"id"`
	ProjectID     uuid.UUID   `json:"project_id"`
	Engine        string      `json:"engine"`
	Name          string      `json:"name"`
	Hostname      *string     `json:"hostname"`
	PID           *int64      `json:"pid"`
	Concurrency   *int64      `json:"concurrency"`
	Queues        []string    `json:"queues"`
	State         string      `json:"state"`
	LastHeartbeat *httpx.Time `json:"last_heartbeat"`
	LoadAverage   *[]float64  `json:"load_average"`
	ActiveTasks   int64       `json:"active_tasks"`
	Processed     int64       `json:"processed"`
	Failed        int64       `json:"failed"`
	Succeeded     int64       `json:"succeeded"`
	Retried       int64       `json:"retried"`
	CreatedAt     httpx.Time  `json:"created_at"`
}

// WorkerDetailPublic is a worker with the engine's own report.
type WorkerDetailPublic struct {
	WorkerPublic
	Metadata json.RawMessage `json:"metadata"`
	AgentID  *uuid.UUID      `json:"agent_id"`
}

// QueuePublic is a queue.
type QueuePublic struct {
	ID            uuid.UUID   `json:"id"`
	ProjectID     uuid.UUID   `json:"project_id"`
	Name          string      `json:"name"`
	Engine        string      `json:"engine"`
	BrokerType    *string     `json:"broker_type"`
	BrokerURLHint *string     `json:"broker_url_hint"`
	LastSeenAt    *httpx.Time `json:"last_seen_at"`
	CreatedAt     httpx.Time  `json:"created_at"`
}

func workerPublic(p *store.Project, w *store.WorkerView) WorkerPublic {
	out := WorkerPublic{
		ID: w.UID, ProjectID: p.UID, Engine: w.Engine, Name: w.Name, Hostname: w.Hostname, PID: w.PID, Concurrency: w.Concurrency,
		Queues: []string{}, State: w.State, LastHeartbeat: httpx.TimePtr(w.LastHeartbeat), ActiveTasks: w.ActiveTasks,
		Processed: w.Processed, Failed: w.Failed, Succeeded: w.Succeeded, Retried: w.Retried, CreatedAt: httpx.NewTime(w.CreatedAt),
	}
	// What can't be read is left out: these columns hold what agents reported.
	if json.Unmarshal([]byte(w.Queues), &out.Queues) != nil || out.Queues == nil {
		out.Queues = []string{}
	}
	if w.LoadAverage != nil && json.Unmarshal([]byte(*w.LoadAverage), &out.LoadAverage) != nil {
		out.LoadAverage = nil
	}
	return out
}

func (g *group) workers(r *rest.Request) (any, error) {
	list, err := g.store.Workers(r.Context(), r.Project.ID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	out := make([]WorkerPublic, 0, len(list))
	for i := range list {
		out = append(out, workerPublic(&r.Project, &list[i]))
	}
	return out, nil
}

func (g *group) worker(r *rest.Request) (any, error) {
	id := r.ID("worker_id")
	w, err := g.store.WorkerByUID(r.Context(), r.Project.ID, id)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, domain.Errorf(domain.CodeNotFound, "worker not found").With("worker_id", id.String())
	}
	if err != nil {
		return nil, fmt.Errorf("find worker: %w", err)
	}
	meta := json.RawMessage(w.Metadata)
	if len(meta) == 0 || meta[0] != '{' {
		meta = json.RawMessage("{}")
	}
	return WorkerDetailPublic{WorkerPublic: workerPublic(&r.Project, &w), Metadata: meta, AgentID: w.AgentUID}, nil
}

func (g *group) queues(r *rest.Request) (any, error) {
	list, err := g.store.Queues(r.Context(), r.Project.ID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	out := make([]QueuePublic, 0, len(list))
	for _, q := range list {
		out = append(out, QueuePublic{
			ID: q.UID, ProjectID: r.Project.UID, Name: q.Name, Engine: q.Engine, BrokerType: q.BrokerType, BrokerURLHint: q.BrokerURLHint,
			LastSeenAt: httpx.TimePtr(q.LastSeenAt), CreatedAt: httpx.NewTime(q.CreatedAt),
		})
	}
	return out, nil
}
