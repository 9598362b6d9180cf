// SPDX-License-Identifier: AGPL-3.0-or-later

// Package bulk runs many tasks again, or cancels many. A bulk retry is a durable request: what it covers is sealed when it
// is made, one child a task, and a coordinator sends the children a few at a time until each has an outcome. It can be
// paused, and it goes on after a crash without sending any child twice.
package bulk

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Hints tells other parts of the brain what changed.
type Hints interface {
	Publish(ctx context.Context, topic bus.Topic, payload []byte)
}

// Config is what the operations work with.
type Config struct {
	Store *store.Store
	Hints Hints
	// BulkThrottle is the bucket that bulk actions of one address share.
	BulkThrottle *httpx.Throttle
	// ReadLimit bounds the search for what a request covers. Timeout is how long an agent may take for one task.
	ReadLimit, Timeout time.Duration
}

const (
	// deadline is how long a request may run before what was not sent is held back for somebody to look.
	deadline = 15 * time.Minute
	// maxInFlight is how many children of a request are on their way at once.
	maxInFlight = 8
	// maxTasks bounds what a request covers.
	maxTasks = 10_000
	// maxCancels bounds the tasks of a bulk cancellation.
	maxCancels = 500
)

type group struct{ cfg Config }

// Ops returns the operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg}
	const tag, path = "bulk-retry-requests", "/projects/{slug}/bulk-retry-requests"
	return []rest.Op{{
		Method: http.MethodPost, Path: path, ID: "create_bulk_retry_request", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "Run all tasks again that match a filter now", Access: rest.Session, Throttle: cfg.BulkThrottle, Body: BulkRetryRequestCreate{},
		Response: BulkRetryRequestPublic{}, Status: http.StatusAccepted, Also: []int{http.StatusOK}, Handle: g.create,
		Errors: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusGatewayTimeout},
	}, {
		Method: http.MethodGet, Path: path, ID: "list_bulk_retry_requests", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "List the latest 50 bulk retries, newest first", Access: rest.Session, Response: BulkRetryRequestList{}, Status: http.StatusOK, Handle: g.list,
	}, {
		Method: http.MethodGet, Path: path + "/{request_id}", ID: "get_bulk_retry_request", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "Show how a bulk retry is getting on", Access: rest.Session, Response: BulkRetryRequestPublic{}, Status: http.StatusOK, Handle: g.show,
	}, {
		Method: http.MethodGet, Path: path + "/{request_id}/items", ID: "list_bulk_retry_items", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "List the tasks of a bulk retry with what became of each", Access: rest.Session, Query: ItemQuery{}, Response: BulkRetryItems{},
		Status: http.StatusOK, Handle: g.items,
	}, {
		Method: http.MethodPost, Path: path + "/{request_id}/pause", ID: "pause_bulk_retry_request", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "Send no further tasks for now; those on their way finish", Access: rest.Session, Response: BulkRetryRequestPublic{},
		Status: http.StatusOK, Handle: g.pause,
	}, {
		Method: http.MethodPost, Path: path + "/{request_id}/resume", ID: "resume_bulk_retry_request", Tag: tag, Action: auth.BulkRetryManage,
		Summary: "Go on, with a new deadline", Access: rest.Session, Response: BulkRetryRequestPublic{}, Status: http.StatusOK, Handle: g.resume,
	}, {
		Method: http.MethodPost, Path: "/projects/{slug}/commands/bulk-cancel", ID: "bulk_cancel", Tag: "commands", Action: auth.CommandCancelTask,
		Summary: "Cancel up to 500 tasks, given one by one or by a search", Access: rest.Session, Throttle: cfg.BulkThrottle, Body: BulkCancelRequest{},
		Response: BulkCancelResponse{}, Status: http.StatusAccepted, Handle: g.cancel, Errors: []int{http.StatusBadRequest, http.StatusGatewayTimeout},
	}}
}

// BulkRetryRequestCreate asks for many tasks to run again.
type BulkRetryRequestCreate struct {
	_ struct{} `extra:"forbid"`

	IdempotencyKey string         `json:"idempotency_key" validate:"required,min=1,max=200"`
	AgentID        *uuid.UUID     `json:"agent_id" doc:"the agent to do it; any able one when absent"`
	Filter         map[string]any `json:"filter" doc:"task_ids with engine, or engine, state, status, queue, name, worker, since, until, priority, search, query; state is failure unless given"`
	Max            int64          `json:"max" default:"1000" validate:"ge=1,le=10000"`
}

// BulkRetryCountsPublic are the tasks of a bulk retry by where they are.
type BulkRetryCountsPublic struct {
	Total      int64 `json:"total"`
	Pending    int64 `json:"pending"`
	Claimed    int64 `json:"claimed"`
	Unobserved int64 `json:"unobserved"`
	Succeeded  int64 `json:"succeeded"`
	Failed     int64 `json:"failed"`
	Unknown    int64 `json:"unknown"`
}

// BulkRetryRequestPublic is a bulk retry.
type BulkRetryRequestPublic struct {
	ID                   uuid.UUID             `json:"id"`
	ProjectID            uuid.UUID             `json:"project_id"`
	IdempotencyKey       string                `json:"idempotency_key"`
	Status               string                `json:"status" validate:"oneof=no_match|in_progress|paused|blocked|succeeded|failed|partial|indeterminate"`
	ControlState         string                `json:"control_state" validate:"oneof=running|paused|blocked"`
	CanonicalizerVersion int64                 `json:"canonicalizer_version"`
	CanonicalDigest      string                `json:"canonical_digest"`
	PlanDigest           string                `json:"plan_digest"`
	TargetAgentID        *uuid.UUID            `json:"target_agent_id"`
	Counts               BulkRetryCountsPublic `json:"counts"`
	CreatedAt            httpx.Time            `json:"created_at"`
	SealedAt             httpx.Time            `json:"sealed_at"`
	DeadlineAt           httpx.Time            `json:"deadline_at"`
	LastProgressAt       *httpx.Time           `json:"last_progress_at"`
}

// BulkRetryRequestList are the latest bulk retries.
type BulkRetryRequestList struct {
	Items []BulkRetryRequestPublic `json:"items"`
}

// statusOf sums up where a request stands.
func statusOf(control string, c store.BulkRetryCounts) string {
	switch {
	case c.Total() == 0:
		return "no_match"
	case c.Unobserved > 0 && control == store.BulkRetryRunning:
		return "in_progress"
	case c.Unobserved > 0:
		return control
	case c.Unknown > 0:
		return "indeterminate"
	case c.Failed == 0:
		return "succeeded"
	case c.Succeeded == 0:
		return "failed"
	}
	return "partial"
}

func (g *group) public(r *rest.Request, b *store.BulkRetry) (BulkRetryRequestPublic, error) {
	c, err := g.cfg.Store.BulkRetryCounts(r.Context(), b.ID)
	if err != nil {
		return BulkRetryRequestPublic{}, err
	}
	out := BulkRetryRequestPublic{
		ID: b.ID, ProjectID: r.Project.UID, IdempotencyKey: b.IdempotencyKey, Status: statusOf(b.ControlState, c), ControlState: b.ControlState,
		CanonicalizerVersion: canonicalizer, CanonicalDigest: b.CanonicalDigest, PlanDigest: b.PlanDigest, CreatedAt: httpx.NewTime(b.SealedAt),
		SealedAt: httpx.NewTime(b.SealedAt), DeadlineAt: httpx.NewTime(b.DeadlineAt), LastProgressAt: httpx.TimePtr(b.LastProgressAt),
		Counts: BulkRetryCountsPublic{
			Total: c.Total(), Pending: c.Pending, Claimed: c.Claimed, Unobserved: c.Unobserved, Succeeded: c.Succeeded, Failed: c.Failed, Unknown: c.Unknown,
		},
	}
	if b.AgentID != nil {
		uid, err := g.cfg.Store.AgentUID(r.Context(), *b.AgentID)
		if err != nil {
			return out, err
		}
		out.TargetAgentID = &uid
	}
	return out, nil
}

// answer shows a request with its address; what has ended needs no waiting for.
func (g *group) answer(r *rest.Request, b *store.BulkRetry) (any, error) {
	out, err := g.public(r, b)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	switch out.Status {
	case "in_progress", "paused", "blocked":
		status = http.StatusAccepted
	}
	where := http.Header{"Location": {rest.Base + "/projects/" + r.Project.Slug + "/bulk-retry-requests/" + b.ID.String()}}
	return rest.Answer{Status: status, Header: where, Body: out}, nil
}
