// SPDX-License-Identifier: AGPL-3.0-or-later

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// TaskRequest names a task and the agent to act on it.
type TaskRequest struct {
	AgentID        uuid.UUID `json:"agent_id" validate:"required"`
	Engine         string    `json:"engine" validate:"required,min=1,max=40"`
	TaskID         string    `json:"task_id" validate:"required,min=1,max=200"`
	IdempotencyKey *string   `json:"idempotency_key" validate:"min=1,max=200"`
}

// RetryTaskRequest asks for a task to run again, perhaps with other arguments.
type RetryTaskRequest struct {
	TaskRequest
	OverrideArgs   []any          `json:"override_args"`
	OverrideKwargs map[string]any `json:"override_kwargs"`
	ETASeconds     *int64         `json:"eta_seconds" validate:"ge=0,le=86400"`
}

const (
	// maxOverride bounds each half of the overrides, as JSON.
	maxOverride = 64 << 10
	// reservedPrefix marks keyword arguments that z4j's own packages pass along.
	reservedPrefix = "__z4j_"
)

// Validate implements httpx.Validator.
func (b *RetryTaskRequest) Validate(faults *httpx.Faults) {
	have, lack := "override_args", "override_kwargs"
	if b.OverrideArgs == nil {
		have, lack = lack, have
	}
	if (b.OverrideArgs == nil) != (b.OverrideKwargs == nil) {
		faults.Add("value_error", "Value error, override_args and override_kwargs must be supplied together; "+lack+" is missing beside "+have+
			". Provide both to retry with other arguments, or neither to retry the original by reference.")
	}
	for name := range b.OverrideKwargs {
		if strings.HasPrefix(name, reservedPrefix) {
			faults.Add("value_error", "Value error, keys that start with "+reservedPrefix+" are reserved", "override_kwargs")
		}
	}
	for name, value := range map[string]any{"override_args": b.OverrideArgs, "override_kwargs": b.OverrideKwargs} {
		if text, err := json.Marshal(value); err != nil || len(text) > maxOverride {
			faults.Add("value_error", fmt.Sprintf("Value error, at most %d bytes as JSON", maxOverride), name)
		}
	}
}

// honoursPriority reports whether an engine takes a priority on a retry. The others refuse the whole retry when one is sent.
func honoursPriority(engine string) bool { return engine == "celery" }

func taskTarget(engine, id string) string { return engine + ":" + id }

func (g *group) retryTask(r *rest.Request) (any, error) {
	b := rest.Body[RetryTaskRequest](r)
	a, err := g.agent(r, b.AgentID)
	if err != nil {
		return nil, err
	}
	overridden := b.OverrideArgs != nil
	contract, err := retryGate(&a, b.Engine, overridden)
	if err != nil {
		return nil, err
	}
	if !offer.NativeRetry(b.Engine) && !overridden {
		return nil, refuse(http.StatusConflict, domain.CodeConflict,
			"engine '"+b.Engine+"' can't run a task again by its id; send override_args and override_kwargs, both of them", map[string]any{"engine": b.Engine})
	}
	t, err := g.cfg.Store.TaskByIdentity(r.Context(), r.Project.ID, b.Engine, b.TaskID)
	known := err == nil
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return nil, fmt.Errorf("find task: %w", err)
	}
	payload := map[string]any{
		"engine": b.Engine, "task_id": b.TaskID, "task_name": nil, "args": nil, "kwargs": nil, "override_args": nil, "override_kwargs": nil,
		"original_had_args": known && t.Args != nil, "eta": nil, "eta_seconds": nil,
	}
	if known && !domain.IsUnknownName(t.Name) {
		payload["task_name"] = t.Name
	}
	if overridden {
		payload["override_args"], payload["override_kwargs"] = b.OverrideArgs, b.OverrideKwargs
	}
	if honoursPriority(b.Engine) {
		payload["priority"] = nil
		if known {
			if payload["priority"], err = g.reportedPriority(r.Context(), &t); err != nil {
				return nil, err
			}
		}
	}
	if b.ETASeconds != nil {
		payload["eta_seconds"] = *b.ETASeconds
		payload["eta"] = float64(g.cfg.Store.Now().Add(time.Duration(*b.ETASeconds)*time.Second).UnixMicro()) / 1e6
	}
	return g.issue(r, order{
		agent: a, action: canRetry, target: "task", targetID: taskTarget(b.Engine, b.TaskID), payload: payload, request: b,
		key: b.IdempotencyKey, contract: contract,
	})
}

// retryGate checks that the agent can retry on the engine and returns the contract its session must satisfy. An engine
// that can only submit does a retry with other arguments as a new task, which needs no contract.
func retryGate(a *store.Agent, engine string, overridden bool) (contract string, err error) {
	inv := offer.InventoryOf(a)
	switch {
	case !inv.Reported:
		return store.RetryContract(engine), nil
	case inv.Allows(engine, canRetry) && inv.Allows(engine, canRetryReference):
		return store.RetryContract(engine), nil
	case !inv.Allows(engine, canRetry) && inv.Allows(engine, canSubmit):
		if overridden {
			return "", nil
		}
		return "", refuse(http.StatusConflict, domain.CodeConflict,
			"engine '"+engine+"' can't run a task again by its id; send override_args and override_kwargs, both of them", map[string]any{"engine": engine})
	case inv.Allows(engine, canRetry):
		return "", refuse(http.StatusUnprocessableEntity, domain.CodeValidation,
			"agent '"+a.Name+"' is too old to retry tasks by reference; upgrade the z4j packages it runs with",
			map[string]any{"engine": engine, "action": canRetry, "agent_id": a.UID.String()})
	}
	return "", notCapable(a, engine, canRetry)
}

// maxPriorityEvents bounds the events looked at for a priority.
const maxPriorityEvents = 50

// reportedPriority is the task's priority if an event of it told one, else nil: the default that the row shows otherwise
// must not be sent, or a task that never had a priority gets one and waits behind all others.
func (g *group) reportedPriority(ctx context.Context, t *store.TaskView) (any, error) {
	name := domain.Priority(t.Priority).String()
	if domain.Priority(t.Priority) != domain.PriorityNormal {
		return name, nil
	}
	events, err := g.cfg.Store.EventsOfTask(ctx, t.ID, time.Time{}, maxPriorityEvents)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for _, e := range events {
		var told struct {
			Priority *string `json:"priority"`
		}
		if json.Unmarshal([]byte(e.Payload), &told) == nil && told.Priority != nil {
			return name, nil
		}
	}
	return nil, nil
}

func (g *group) cancelTask(r *rest.Request) (any, error) { return g.onTask(r, canCancel) }
func (g *group) requeue(r *rest.Request) (any, error)    { return g.onTask(r, canRequeue) }

// onTask issues an action whose capability has its name and which needs nothing but the task.
func (g *group) onTask(r *rest.Request, action string) (any, error) {
	b := rest.Body[TaskRequest](r)
	a, err := g.gate(r, b.AgentID, b.Engine, action, action)
	if err != nil {
		return nil, err
	}
	return g.issue(r, order{
		agent: a, action: action, target: "task", targetID: taskTarget(b.Engine, b.TaskID), key: b.IdempotencyKey, request: b,
		payload: map[string]any{"engine": b.Engine, "task_id": b.TaskID},
	})
}

// BulkRetryRequest asks for several tasks to run again.
type BulkRetryRequest struct {
	AgentID        uuid.UUID      `json:"agent_id" validate:"required"`
	Filter         map[string]any `json:"filter" doc:"task_ids and engine; both are needed"`
	Max            int64          `json:"max" default:"1000" validate:"ge=1,le=10000"`
	IdempotencyKey *string        `json:"idempotency_key" validate:"min=1,max=200"`
}

// maxMissing bounds the ids that an answer or an audit record repeats.
const maxMissing = 100

func (g *group) bulkRetry(r *rest.Request) (any, error) {
	b := rest.Body[BulkRetryRequest](r)
	if _, ok := b.Filter["task_ids"]; !ok {
		path := rest.Base + "/projects/" + r.Project.Slug + "/bulk-retry-requests"
		return nil, refuse(http.StatusGone, httpx.CodeGone, "all-matching bulk retry moved to "+path, map[string]any{"replacement": path})
	}
	ids, engine, err := bulkSelection(b)
	if err != nil {
		return nil, err
	}
	a, err := g.gate(r, b.AgentID, engine, canBulkRetry, canBulkRetry)
	if err != nil {
		return nil, err
	}
	if inv := offer.InventoryOf(&a); !inv.Allows(engine, canRetryReference) {
		return nil, refuse(http.StatusUnprocessableEntity, domain.CodeValidation,
			"agent '"+a.Name+"' is too old to retry tasks by reference; upgrade the z4j packages it runs with",
			map[string]any{"engine": engine, "action": canBulkRetry, "agent_id": a.UID.String()})
	}
	// Names and priorities are the brain's to tell: what a client put there is dropped, and that is recorded.
	rejected := []string{}
	for key := range b.Filter {
		if key != "task_ids" && key != "engine" {
			rejected = append(rejected, key)
		}
	}
	slices.Sort(rejected)
	names, priorities, missing, err := g.resolveTasks(r, engine, ids)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, g.refuseBulk(r, missing, rejected)
	}
	o := order{
		agent: a, action: canBulkRetry, target: "bulk", key: b.IdempotencyKey, contract: store.RetryContract(engine),
		payload: map[string]any{"max": b.Max, "filter": map[string]any{
			"engine": engine, "task_ids": ids, "task_names": names, "task_priorities": priorities,
		}},
		request: b,
	}
	if len(rejected) > 0 {
		entry := r.Audit("command.bulk_retry.filter_keys_rejected", "bulk", "")
		entry.Metadata = map[string]any{"keys": rejected[:min(len(rejected), maxMissing)]}
		o.also = &entry
	}
	return g.issue(r, o)
}

// bulkSelection reads task_ids and engine.
func bulkSelection(b *BulkRetryRequest) (ids []string, engine string, err error) {
	list, ok := b.Filter["task_ids"].([]any)
	seen := map[string]bool{}
	for _, v := range list {
		id, isText := v.(string)
		if ok = ok && isText && id != "" && len(id) <= 200; !ok {
			break
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
		if len(ids) > 10_000 {
			return nil, "", httpx.Invalid("too_long", "List should have at most 10000 items", "body", "filter", "task_ids")
		}
	}
	if !ok || len(ids) == 0 {
		return nil, "", httpx.Invalid("value_error", "Value error, task_ids is a list of task ids, at least one", "body", "filter", "task_ids")
	}
	engine, ok = b.Filter["engine"].(string)
	if !ok || engine == "" || len(engine) > 40 {
		return nil, "", httpx.Invalid("missing", "Field required: the engine that the task ids belong to", "body", "filter", "engine")
	}
	return ids, engine, nil
}

// resolveTasks finds the names and told priorities of tasks; missing are the ids without a known name.
func (g *group) resolveTasks(r *rest.Request, engine string, ids []string) (names, priorities map[string]string, missing []string, err error) {
	names, priorities = map[string]string{}, map[string]string{}
	for _, id := range ids {
		t, err := g.cfg.Store.TaskByIdentity(r.Context(), r.Project.ID, engine, id)
		if errors.Is(err, domain.ErrNotFound) || err == nil && domain.IsUnknownName(t.Name) {
			missing = append(missing, id)
			continue
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("find task: %w", err)
		}
		names[id] = t.Name
		if honoursPriority(engine) && domain.Priority(t.Priority) != domain.PriorityNormal {
			priorities[id] = domain.Priority(t.Priority).String()
		}
	}
	return names, priorities, missing, nil
}

func (g *group) refuseBulk(r *rest.Request, missing, rejected []string) error {
	missing = missing[:min(len(missing), maxMissing)]
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		entry := r.Audit("command.bulk_retry.refused", "bulk", "")
		entry.Result, entry.Outcome = domain.ResultFailed, domain.OutcomeDeny
		entry.Metadata = map[string]any{"missing_task_names": missing}
		return tx.Audit(ctx, entry)
	})
	if err != nil {
		return err
	}
	return refuse(http.StatusBadRequest, httpx.CodeBadRequest,
		"the project has no task, or no task with a known name, for some of the ids; leave them out", map[string]any{
			"missing_task_names": missing, "rejected_client_supplied_keys": rejected,
		})
}
