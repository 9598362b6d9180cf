// SPDX-License-Identifier: AGPL-3.0-or-later

// Package fleet holds the operations about engine workers and queues: whether queues drain, whether workers consume,
// what can be done about it, and the advice on workers' configuration.
package fleet

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Store is what the operations read.
type Store interface {
	offer.Store
	Now() time.Time
	Queues(ctx context.Context, projectID, limit int64) ([]store.Queue, error)
	QueueByName(ctx context.Context, projectID int64, engine, name string) (store.Queue, error)
	SumsByName(ctx context.Context, q store.SumQuery) (map[string]*store.Sum, error)
	QueueDepthSamples(ctx context.Context, projectID, res int64, from, to time.Time) (map[int64][]store.DepthSample, error)
	QueueDepthSeries(ctx context.Context, queueID, res int64, from, to time.Time) ([]store.DepthSample, error)
	WaitingTasks(ctx context.Context, projectID int64, queueID *int64, limit int64) (store.Waiting, error)
	NameID(ctx context.Context, text string) (id int64, ok bool, err error)
	Workers(ctx context.Context, projectID, limit int64) ([]store.WorkerView, error)
	WorkerByUID(ctx context.Context, projectID int64, uid uuid.UUID) (store.WorkerView, error)
	WorkerRate(w *store.WorkerView) (perMinute float64, over time.Duration)
	RunningTasks(ctx context.Context, projectID int64, engine, worker string, limit int64) ([]store.TaskView, error)
}

// Config is what the operations work with.
type Config struct {
	Store Store
	// ReadLimit bounds one call.
	ReadLimit time.Duration
}

type group struct {
	store Store
	limit time.Duration
}

// maxRows bounds the lists, which have no paging.
const maxRows = 5000

// Ops returns the operations.
func Ops(cfg Config) []rest.Op {
	g := &group{store: cfg.Store, limit: cfg.ReadLimit}
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/workers", ID: "list_workers", Tag: "workers", Action: auth.WorkerRead,
		Summary: "List workers", Access: rest.Session, Response: []WorkerPublic{}, Status: http.StatusOK, Handle: g.workers, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/workers/lint", ID: "lint_workers", Tag: "workers", Action: auth.WorkerRead,
		Summary: "Advice on the configuration that workers report", Access: rest.Session, Response: ProjectLintPublic{}, Status: http.StatusOK, Handle: g.lint,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/workers/{worker_id}", ID: "get_worker", Tag: "workers", Action: auth.WorkerRead,
		Summary: "Show a worker with what its engine tells about it, what it runs and what can be done with it", Access: rest.Session,
		Response: WorkerDetailPublic{}, Status: http.StatusOK, Handle: g.worker,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/queues", ID: "list_queues", Tag: "queues", Action: auth.QueueRead,
		Summary: "List queues with what went in and out of them in a window", Access: rest.Session, Query: QueueQuery{},
		Response: []QueuePublic{}, Status: http.StatusOK, Handle: g.queues, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/queues/{engine}/{name}", ID: "get_queue", Tag: "queues", Action: auth.QueueRead,
		Summary: "Show a queue with its depth over time, its tasks by name, its workers and what can be done with it", Access: rest.Session,
		Query: QueueQuery{}, Response: QueueDetailPublic{}, Status: http.StatusOK, Handle: g.queue,
		ShareFor: time.Second, ShareByRole: true,
	}}
}

// bounded is the request's context with the time limit of reads.
func (g *group) bounded(r *rest.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), g.limit)
}

// IdleWorkers returns a function that counts a project's workers that are alive and seem not to consume although there is
// work for them.
func IdleWorkers(cfg Config) func(ctx context.Context, projectID int64) (int64, error) {
	g := &group{store: cfg.Store, limit: cfg.ReadLimit}
	return func(ctx context.Context, projectID int64) (int64, error) {
		workers, err := g.store.Workers(ctx, projectID, maxRows)
		if err != nil {
			return 0, fmt.Errorf("list workers: %w", err)
		}
		work, err := g.backlogs(ctx, projectID, workers)
		if err != nil {
			return 0, err
		}
		idle := int64(0)
		for i := range workers {
			if is, _ := suspect(&workers[i], work, g.store.Now()); is {
				idle++
			}
		}
		return idle, nil
	}
}
