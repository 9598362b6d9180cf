// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// BulkDeleteRequest selects tasks by their row ids, or by filters.
type BulkDeleteRequest struct {
	_ struct{} `extra:"forbid"`

	TaskIDs        []uuid.UUID `json:"task_ids" validate:"min=1,max=1000"`
	FilterState    *string     `json:"filter_state" validate:"oneof=pending|received|started|success|failure|retry|revoked|rejected|unknown"`
	FilterPriority []string    `json:"filter_priority" validate:"min=1,max=4"`
	FilterSearch   *string     `json:"filter_search" validate:"min=1,max=200"`
	FilterName     *string     `json:"filter_name" validate:"min=1,max=200"`
	FilterQueue    *string     `json:"filter_queue" validate:"min=1,max=200"`
	FilterWorker   *string     `json:"filter_worker" validate:"min=1,max=200"`
	FilterSince    *httpx.Time `json:"filter_since"`
	FilterUntil    *httpx.Time `json:"filter_until"`
	FilterQuery    *string     `json:"filter_query" validate:"min=1,max=2000" doc:"a text of the filter language"`
}

// BulkDeleteResponse says how many tasks are gone.
type BulkDeleteResponse struct {
	DeletedCount int64 `json:"deleted_count"`
}

func (b *BulkDeleteRequest) filtered() bool {
	return b.FilterState != nil || b.FilterPriority != nil || b.FilterSearch != nil || b.FilterName != nil ||
		b.FilterQueue != nil || b.FilterWorker != nil || b.FilterSince != nil || b.FilterUntil != nil || b.FilterQuery != nil
}

// Validate implements httpx.Validator.
func (b *BulkDeleteRequest) Validate(faults *httpx.Faults) {
	switch {
	case b.TaskIDs == nil && !b.filtered():
		faults.Add("value_error", "Value error, bulk-delete requires task_ids or at least one filter")
	case b.TaskIDs != nil && b.filtered():
		faults.Add("value_error", "Value error, task_ids cannot be combined with bulk-delete filters")
	}
	for i, name := range b.FilterPriority {
		if !slices.Contains(priorityNames(), name) {
			faults.Add("enum", "Input should be 'critical', 'high', 'normal' or 'low'", "filter_priority", i)
		}
	}
}

func (b *BulkDeleteRequest) filter(projectID int64, now time.Time) (store.TaskFilter, error) {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	f := store.TaskFilter{ProjectID: projectID, Since: timeOf(b.FilterSince), Until: timeOf(b.FilterUntil)}
	f.Names, f.Queues, f.Workers = store.Part(text(b.FilterName)), store.Exact(text(b.FilterQueue)), store.Exact(text(b.FilterWorker))
	if b.FilterSearch != nil {
		f.Search = []string{*b.FilterSearch}
	}
	if state, ok := domain.ParseTaskState(text(b.FilterState)); ok {
		f.States = []domain.TaskState{state}
	}
	for _, name := range b.FilterPriority {
		if p, ok := domain.ParsePriority(name); ok {
			f.Priorities = append(f.Priorities, p)
		}
	}
	return f, narrow(&f, text(b.FilterQuery), now)
}

const (
	// maxDeleted bounds the tasks of one call.
	maxDeleted = 10_000
	// deleteBatch is how many go in one transaction: the writer must not be held from ingest for long.
	deleteBatch = 500
)

// bulkDelete deletes in batches. Each batch commits with an audit record of its own, so a failure between two leaves
// an exact record of what is gone.
func (g *group) bulkDelete(r *rest.Request) (any, error) {
	b := rest.Body[BulkDeleteRequest](r)
	keys, mode, err := g.selected(r, b)
	if err != nil {
		return nil, err
	}
	var out BulkDeleteResponse
	for batch := range slices.Chunk(keys, deleteBatch) {
		var n int64
		err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
			if n, err = tx.DeleteTasks(ctx, r.Project.ID, batch); err != nil || n == 0 {
				return err
			}
			entry := r.Audit("tasks.bulk_delete", "project", r.Project.UID.String())
			entry.Metadata = map[string]any{"deleted_count": n, "selection_mode": mode}
			return tx.Audit(ctx, entry)
		})
		if err != nil {
			return nil, err
		}
		out.DeletedCount += n
	}
	if out.DeletedCount > 0 {
		g.cfg.Hints.Publish(r.Context(), bus.ProjectTasks(r.Project.ID), nil)
	}
	return out, nil
}

func (g *group) selected(r *rest.Request, b *BulkDeleteRequest) (keys []int64, mode string, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	if b.TaskIDs == nil {
		f, err := b.filter(r.Project.ID, g.cfg.Store.Now())
		if err != nil {
			return nil, "", err
		}
		keys, err = g.cfg.Store.TaskKeys(ctx, f, maxDeleted)
		return keys, "filters", slow(err)
	}
	inst, err := g.cfg.Store.InstallationID(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, uid := range b.TaskIDs {
		if key, ok := domain.KeyOfTask(inst, uid); ok {
			keys = append(keys, key)
		}
	}
	return keys, "task_ids", nil
}
