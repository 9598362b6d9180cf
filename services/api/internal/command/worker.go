// SPDX-License-Identifier: AGPL-3.0-or-later

package command

import (
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// RestartWorkerRequest names a worker.
type RestartWorkerRequest struct {
	AgentID        uuid.UUID `json:"agent_id" validate:"required"`
	Engine         *string   `json:"engine" validate:"min=1,max=40"`
	WorkerName     string    `json:"worker_name" validate:"required,min=1,max=200"`
	IdempotencyKey *string   `json:"idempotency_key" validate:"min=1,max=200"`
}

// PoolResizeRequest grows (positive delta) or shrinks a worker's pool.
type PoolResizeRequest struct {
	RestartWorkerRequest
	Delta int64 `json:"delta" validate:"required,ge=-100,le=100"`
}

// Validate implements httpx.Validator.
func (b *PoolResizeRequest) Validate(faults *httpx.Faults) {
	if b.Delta == 0 {
		faults.Add("value_error", "Value error, delta must be non-zero (positive to grow, negative to shrink)", "delta")
	}
}

// ConsumerRequest names a worker and a queue.
type ConsumerRequest struct {
	RestartWorkerRequest
	Queue string `json:"queue" validate:"required,min=1,max=200"`
}

// control issues an action on one worker.
func (g *group) control(r *rest.Request, b *RestartWorkerRequest, request any, action string, more map[string]any) (any, error) {
	a, w, err := g.worker(r, b.AgentID, b.WorkerName, b.Engine, action)
	if err != nil {
		return nil, err
	}
	payload := map[string]any{"engine": w.Engine, "worker_name": w.Name}
	maps.Copy(payload, more)
	return g.issue(r, order{agent: a, action: action, target: "worker", targetID: w.Name, payload: payload, request: request, key: b.IdempotencyKey})
}

func (g *group) restartWorker(r *rest.Request) (any, error) {
	b := rest.Body[RestartWorkerRequest](r)
	return g.control(r, b, b, "restart_worker", nil)
}

func (g *group) poolResize(r *rest.Request) (any, error) {
	b := rest.Body[PoolResizeRequest](r)
	action, delta := "pool_grow", b.Delta
	if delta < 0 {
		action, delta = "pool_shrink", -delta
	}
	return g.control(r, &b.RestartWorkerRequest, b, action, map[string]any{"delta": delta})
}

func (g *group) addConsumer(r *rest.Request) (any, error) {
	b := rest.Body[ConsumerRequest](r)
	return g.control(r, &b.RestartWorkerRequest, b, "add_consumer", map[string]any{"queue": b.Queue})
}

func (g *group) cancelConsumer(r *rest.Request) (any, error) {
	b := rest.Body[ConsumerRequest](r)
	return g.control(r, &b.RestartWorkerRequest, b, "cancel_consumer", map[string]any{"queue": b.Queue})
}

// RateLimitRequest limits a task on one worker, or on all.
type RateLimitRequest struct {
	AgentID        uuid.UUID `json:"agent_id" validate:"required"`
	TaskName       string    `json:"task_name" validate:"required,min=1,max=500"`
	Rate           string    `json:"rate" validate:"required,min=1,max=20" pattern:"^(?:0|[1-9]\\d*(?:/[smh])?)$"`
	WorkerName     *string   `json:"worker_name" validate:"max=200" doc:"absent or null: every worker"`
	IdempotencyKey *string   `json:"idempotency_key" validate:"min=1,max=200"`
}

// rateLimit leaves it to the agent to refuse engines without rate limits, as it always did. Without a worker the frame
// carries no target id (store.WireTargetID), because the agent would take it for a worker.
func (g *group) rateLimit(r *rest.Request) (any, error) {
	b := rest.Body[RateLimitRequest](r)
	a, err := g.agent(r, b.AgentID)
	if err != nil {
		return nil, err
	}
	payload := map[string]any{"task_name": b.TaskName, "rate": b.Rate, "worker_name": nil}
	if b.WorkerName != nil && *b.WorkerName != "" {
		payload["worker_name"] = *b.WorkerName
	}
	inv := offer.InventoryOf(&a)
	if engine := onlyEngine(&a, func(e string) bool { return inv.Allows(e, "rate_limit") }); engine != "" {
		payload["engine"] = engine
	}
	return g.issue(r, order{agent: a, action: "rate_limit", target: "task", targetID: b.TaskName, payload: payload, request: b, key: b.IdempotencyKey})
}

// PurgeQueueRequest empties a queue.
type PurgeQueueRequest struct {
	AgentID        uuid.UUID `json:"agent_id" validate:"required"`
	Queue          string    `json:"queue" validate:"required,min=1,max=200"`
	ConfirmToken   *string   `json:"confirm_token" validate:"min=1,max=128,secret"`
	ObservedDepth  *int64    `json:"observed_depth" validate:"ge=0" doc:"the depth the user saw; the agent refuses when the queue has another by then"`
	Force          bool      `json:"force" doc:"skip the check of the depth"`
	IdempotencyKey *string   `json:"idempotency_key" validate:"min=1,max=200"`
}

func (g *group) purgeQueue(r *rest.Request) (any, error) {
	b := rest.Body[PurgeQueueRequest](r)
	a, err := g.agent(r, b.AgentID)
	if err != nil {
		return nil, err
	}
	payload := map[string]any{"queue": b.Queue, "force": b.Force, "confirm_token": nil}
	switch {
	case b.ConfirmToken != nil:
		payload["confirm_token"] = *b.ConfirmToken
	case b.ObservedDepth != nil && !b.Force:
		payload["confirm_token"] = wire.PurgeToken(wire.ProjectKey(g.cfg.Secret, r.Project.UID), b.Queue, *b.ObservedDepth)
	}
	if engine, err := g.queueEngine(r, &a, b.Queue); err != nil {
		return nil, err
	} else if engine != "" {
		payload["engine"] = engine
	}
	return g.issue(r, order{agent: a, action: "purge_queue", target: "queue", targetID: b.Queue, payload: payload, request: b, key: b.IdempotencyKey})
}

// maxQueues bounds the queues looked at.
const maxQueues = 5000

// queueEngine finds whose queue is meant when an agent runs with several engines.
func (g *group) queueEngine(r *rest.Request, a *store.Agent, queue string) (string, error) {
	if len(offer.InventoryOf(a).Engines) < 2 {
		return "", nil
	}
	queues, err := g.cfg.Store.Queues(r.Context(), r.Project.ID, maxQueues)
	if err != nil {
		return "", fmt.Errorf("list queues: %w", err)
	}
	owners := map[string]bool{}
	for _, q := range queues {
		if q.Name == queue {
			owners[q.Engine] = true
		}
	}
	return onlyEngine(a, func(e string) bool { return owners[e] }), nil
}
