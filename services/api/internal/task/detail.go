// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"fmt"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// TaskDetail is a task as its own page shows it.
type TaskDetail struct {
	TaskPublic

	Fingerprint    *string        `json:"fingerprint" doc:"the issue that the task's last failure belongs to"`
	AllowedActions []offer.Action `json:"allowed_actions" doc:"retry, retry_as_is (by its id, without other arguments), cancel, rate_limit, delete"`
}

func (g *group) detail(r *rest.Request) (any, error) {
	t, err := g.find(r)
	if err != nil {
		return nil, err
	}
	actions, err := g.actions(r, &t)
	if err != nil {
		return nil, err
	}
	return TaskDetail{TaskPublic: public(&r.Project, &t), Fingerprint: t.Fingerprint, AllowedActions: actions}, nil
}

// ended reports whether a task of the state will not run any further by itself.
func ended(s domain.TaskState) bool {
	switch s {
	case domain.StateSuccess, domain.StateFailure, domain.StateRevoked, domain.StateRejected:
		return true
	case domain.StatePending, domain.StateReceived, domain.StateStarted, domain.StateRetry, domain.StateUnknown:
	}
	return false
}

// actions tells what can be done to the task and why not. The commands check again.
func (g *group) actions(r *rest.Request, t *store.TaskView) ([]offer.Action, error) {
	agents, err := offer.Load(r.Context(), g.cfg.Store, r.Project.ID)
	if err != nil {
		return nil, err
	}
	out := make([]offer.Action, 0, 5)
	busy, err := g.busy(r.Context(), t)
	if err != nil {
		return nil, err
	}
	for _, a := range retries(r, agents, t.Engine) {
		if a.Allowed && busy != "" {
			a = offer.No(a.Action, busy)
		}
		out = append(out, a)
	}
	state := domain.TaskState(t.State)
	cancel := agents.Offer(r, auth.CommandCancelTask, "cancel", t.Engine, nil, "cancel_task")
	if cancel.Allowed && ended(state) {
		cancel = offer.No("cancel", fmt.Sprintf("The task has ended (%s): there is nothing left to cancel.", state))
	}
	rate := agents.Offer(r, auth.CommandRateLimit, "rate_limit", t.Engine, nil, "rate_limit")
	if rate.Allowed && domain.IsUnknownName(t.Name) {
		rate = offer.No("rate_limit", "The task's name is not known, and rates are limited by name.")
	}
	remove := offer.Yes("delete", nil)
	if reason := offer.Denied(r, auth.TaskBulkDelete); reason != "" {
		remove = offer.No("delete", reason)
	}
	return append(out, cancel, rate, remove), nil
}

// retries offers a retry at all, and one without other arguments.
func retries(r *rest.Request, agents offer.Agents, engine string) []offer.Action {
	asIs := agents.Offer(r, auth.CommandRetryTask, "retry_as_is", engine, nil, "retry_by_reference_v1")
	if asIs.Allowed && !offer.NativeRetry(engine) {
		asIs = offer.No("retry_as_is", fmt.Sprintf("Tasks of %s can't be run again by their id: retry it with its arguments.", engine))
	}
	if asIs.Allowed {
		any := asIs
		any.Action = "retry"
		return []offer.Action{any, asIs}
	}
	return []offer.Action{agents.Offer(r, auth.CommandRetryTask, "retry", engine, nil, "retry_by_reference_v1", "submit_task"), asIs}
}

// busy tells why a task should not be run again now; "" when it has ended, or when nobody is left who could end it.
func (g *group) busy(ctx context.Context, t *store.TaskView) (string, error) {
	switch domain.TaskState(t.State) {
	case domain.StatePending, domain.StateReceived:
		return "The task still waits for a worker; run again now it would run twice. Cancel it first, or wait.", nil
	case domain.StateStarted:
		if t.Worker != nil {
			workers, err := g.cfg.Store.WorkersByName(ctx, t.ProjectID, *t.Worker, t.Engine)
			if err != nil {
				return "", fmt.Errorf("find the task's worker: %w", err)
			}
			if len(workers) == 0 || workers[0].State == "offline" {
				return "", nil
			}
		}
		return "The task is running; run again now it would run twice. Cancel it first, or wait.", nil
	case domain.StateSuccess, domain.StateFailure, domain.StateRetry, domain.StateRevoked, domain.StateRejected, domain.StateUnknown:
	}
	return "", nil
}

// SimilarQuery are the parameters of similar failures.
type SimilarQuery struct {
	Limit int `json:"limit" default:"20" validate:"ge=1,le=100"`
}

// SimilarTasksResponse are failures like that of a task.
type SimilarTasksResponse struct {
	By          string       `json:"by" validate:"oneof=fingerprint|name" doc:"what they have in common"`
	Fingerprint *string      `json:"fingerprint"`
	Items       []TaskPublic `json:"items" doc:"newest first, without results, tracebacks and arguments"`
}

// similar finds tasks that failed as this one did, or, when it never failed, failures of the same name.
func (g *group) similar(r *rest.Request) (any, error) {
	t, err := g.find(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	limit := rest.Query[SimilarQuery](r).Limit
	out := SimilarTasksResponse{By: "name", Fingerprint: t.Fingerprint, Items: []TaskPublic{}}
	var list []store.TaskView
	if t.Fingerprint != nil {
		out.By = "fingerprint"
		list, err = g.cfg.Store.TasksOfIssue(ctx, r.Project.ID, *t.Fingerprint, limit+1)
	} else {
		page := store.TaskPage{Limit: limit + 1, Basic: true, Filter: store.TaskFilter{ProjectID: r.Project.ID}}
		page.Filter.Names, page.Filter.Engines = store.Exact(t.Name), store.Exact(t.Engine)
		page.Filter.States = []domain.TaskState{domain.StateFailure}
		var found store.TaskList
		found, err = g.cfg.Store.ListTasks(ctx, page)
		list = found.Tasks
	}
	if err != nil {
		return nil, slow(err)
	}
	for i := range list {
		if list[i].ID != t.ID && len(out.Items) < limit {
			out.Items = append(out.Items, small(&r.Project, &list[i]))
		}
	}
	return out, nil
}
