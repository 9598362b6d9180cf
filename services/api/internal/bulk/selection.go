// SPDX-License-Identifier: AGPL-3.0-or-later

package bulk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
	"github.com/z4jdev/z4j/services/api/internal/task"
)

// selectionKeys are what a filter may hold.
func selectionKeys() []string {
	return []string{"task_ids", "engine", "state", "status", "queue", "name", "worker", "since", "until", "priority", "search", "query"}
}

func badFilter(format string, args ...any) error {
	return refusal(http.StatusBadRequest, httpx.CodeBadRequest, fmt.Sprintf(format, args...), nil)
}

// selection finds the tasks a request covers.
func (g *group) selection(ctx context.Context, projectID int64, b *BulkRetryRequestCreate) ([]store.SelectedTask, error) {
	var rejected []string
	for key := range b.Filter {
		if !slices.Contains(selectionKeys(), key) {
			rejected = append(rejected, key)
		}
	}
	if len(rejected) > 0 {
		slices.Sort(rejected)
		return nil, badFilter("bulk-retry filter accepts selection keys only; rejected: %s", strings.Join(rejected[:min(len(rejected), 20)], ", "))
	}
	if _, ok := b.Filter["task_ids"]; ok {
		return g.named(ctx, projectID, b)
	}
	f, err := readFilter(b.Filter, projectID, g.cfg.Store.Now())
	if err != nil {
		return nil, err
	}
	return g.matching(ctx, f, b.Max)
}

// matching finds the tasks of a filter; more than limit are refused.
func (g *group) matching(ctx context.Context, f store.TaskFilter, limit int64) ([]store.SelectedTask, error) {
	tasks, err := g.cfg.Store.SelectTasks(ctx, f, limit+1)
	if err != nil {
		return nil, err
	}
	if int64(len(tasks)) > limit {
		return nil, refusal(http.StatusBadRequest, httpx.CodeBadRequest, "matching task count exceeds max", map[string]any{
			"max": limit, "matched_at_least": limit + 1,
		})
	}
	return tasks, nil
}

// named finds the tasks given by their ids.
func (g *group) named(ctx context.Context, projectID int64, b *BulkRetryRequestCreate) ([]store.SelectedTask, error) {
	if _, ok := b.Filter["priority"]; ok {
		return nil, badFilter("task_ids cannot be combined with priority")
	}
	engine, ok := b.Filter["engine"].(string)
	if !ok || engine == "" {
		return nil, badFilter("task_ids needs engine: the one that the ids belong to")
	}
	ids, ok := textList(b.Filter["task_ids"])
	if !ok || len(ids) == 0 || slices.Contains(ids, "") {
		return nil, badFilter("task_ids is a list of task ids, at least one")
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if int64(len(ids)) > b.Max {
		return nil, refusal(http.StatusBadRequest, httpx.CodeBadRequest, "matching task count exceeds max", map[string]any{"max": b.Max, "matched_at_least": len(ids)})
	}
	var tasks []store.SelectedTask
	var missing []string
	for _, id := range ids {
		t, err := g.cfg.Store.TaskByIdentity(ctx, projectID, engine, id)
		switch {
		case errors.Is(err, domain.ErrNotFound):
			missing = append(missing, id)
		case err != nil:
			return nil, fmt.Errorf("find task: %w", err)
		default:
			tasks = append(tasks, store.SelectedTask{
				Engine: engine, TaskID: id, Name: t.Name, Priority: domain.Priority(t.Priority), State: domain.TaskState(t.State),
			})
		}
	}
	if len(missing) > 0 {
		return nil, refusal(http.StatusBadRequest, httpx.CodeBadRequest, "the project has no tasks with some of the ids; leave them out", map[string]any{
			"missing_task_ids": missing[:min(len(missing), 100)],
		})
	}
	return tasks, nil
}

// readFilter reads the members of a filter. Failures are what is meant unless a state is given.
func readFilter(in map[string]any, projectID int64, now time.Time) (store.TaskFilter, error) {
	q := task.Filter{}
	lists := map[string]*[]string{
		"state": &q.State, "status": &q.State, "priority": &q.Priority, "name": &q.Name, "queue": &q.Queue, "worker": &q.Worker, "engine": &q.Engine,
	}
	for key, value := range in {
		if value == nil {
			continue
		}
		list, ok := textList(value)
		if !ok || slices.ContainsFunc(list, func(v string) bool { return len(v) > 2000 || strings.ContainsRune(v, 0) }) {
			return store.TaskFilter{}, badFilter("the filter's %s is neither a text nor a list of texts", key)
		}
		if into, ok := lists[key]; ok {
			*into = append(*into, list...)
			continue
		}
		if len(list) != 1 {
			return store.TaskFilter{}, badFilter("the filter's %s takes one text", key)
		}
		switch key {
		case "search":
			q.Search = list[0]
		case "query":
			q.Query = list[0]
		case "since", "until":
			at, err := time.Parse(time.RFC3339, list[0])
			if err != nil {
				return store.TaskFilter{}, badFilter("the filter's %s is no time such as 2026-05-01T08:00:00Z", key)
			}
			t := httpx.NewTime(at)
			if key == "since" {
				q.Since = &t
			} else {
				q.Until = &t
			}
		}
	}
	f, err := q.Resolve(projectID, now)
	if fault, ok := errors.AsType[*domain.Error](err); ok {
		return f, refusal(http.StatusBadRequest, httpx.CodeBadRequest, fault.Message, fault.Details)
	}
	if err != nil {
		return f, err
	}
	if len(f.States) == 0 && len(f.Not.States) == 0 && !slices.ContainsFunc(f.Also, func(t store.TaskTerms) bool { return len(t.States) > 0 }) {
		f.States = []domain.TaskState{domain.StateFailure}
	}
	return f, nil
}

// textList reads a text or a list of texts.
func textList(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		out := make([]string, len(v))
		for i, each := range v {
			text, ok := each.(string)
			if !ok || len(text) > 300 || strings.ContainsRune(text, 0) {
				return nil, false
			}
			out[i] = text
		}
		return out, len(out) <= maxTasks
	}
	return nil, false
}

// TaskRef names a task.
type TaskRef struct {
	Engine string `json:"engine" validate:"required,min=1,max=40"`
	TaskID string `json:"task_id" validate:"required,min=1,max=200"`
}

// BulkCancelRequest asks for many tasks to be cancelled.
type BulkCancelRequest struct {
	_ struct{} `extra:"forbid"`

	Tasks []TaskRef `json:"tasks" validate:"min=1,max=500"`
	Query *string   `json:"query" validate:"min=1,max=2000" doc:"instead of tasks: a text of the filter language; tasks that have ended are left out, more than 500 are refused"`
}

// Validate implements httpx.Validator.
func (b *BulkCancelRequest) Validate(faults *httpx.Faults) {
	if (b.Tasks == nil) == (b.Query == nil) {
		faults.Add("value_error", "Value error, give either tasks or query")
	}
}

// BulkCancelItem is what became of one task's cancellation.
type BulkCancelItem struct {
	Engine string `json:"engine"`
	TaskID string `json:"task_id"`
	// CommandID is null for a task that is left alone; Reason tells why.
	CommandID *string `json:"command_id"`
	Reason    *string `json:"reason"`
}

// BulkCancelResponse has an item for each task.
type BulkCancelResponse struct {
	Issued  int              `json:"issued"`
	Refused int              `json:"refused"`
	Items   []BulkCancelItem `json:"items"`
}

// toCancel finds the tasks of a request; unknown ones have no name.
func (g *group) toCancel(r *rest.Request) ([]store.SelectedTask, error) {
	b := rest.Body[BulkCancelRequest](r)
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	if b.Query != nil {
		q := task.Filter{Query: *b.Query}
		f, err := q.Resolve(r.Project.ID, g.cfg.Store.Now())
		if err != nil {
			return nil, err
		}
		f.Also = append(f.Also, store.TaskTerms{States: []domain.TaskState{
			domain.StatePending, domain.StateReceived, domain.StateStarted, domain.StateRetry, domain.StateUnknown,
		}})
		return g.matching(ctx, f, maxCancels)
	}
	var tasks []store.SelectedTask
	seen := map[TaskRef]bool{}
	for _, ref := range b.Tasks {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		t, err := g.cfg.Store.TaskByIdentity(ctx, r.Project.ID, ref.Engine, ref.TaskID)
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			return nil, fmt.Errorf("find task: %w", err)
		}
		tasks = append(tasks, store.SelectedTask{Engine: ref.Engine, TaskID: ref.TaskID, Name: t.Name, State: domain.TaskState(t.State)})
	}
	return tasks, nil
}
