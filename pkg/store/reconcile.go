// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// StuckTask is a task whose state nobody reported on for long (agent protocol, 8.5).
type StuckTask struct {
	ProjectID int64
	Project   uuid.UUID
	Engine    string
	TaskID    string
	// Since is when it last got on: its start, reception or first event.
	Since time.Time
}

// StuckTasks returns tasks that are started, pending or to be retried and got on last before a moment, oldest
// first. Each state of each active project is one walk of an index, so that none of them reads the whole table.
func (s *Store) StuckTasks(ctx context.Context, before time.Time, limit int) ([]StuckTask, error) {
	projects, err := s.ActiveProjects(ctx, 100_000)
	if err != nil {
		return nil, fmt.Errorf("find stuck tasks: %w", err)
	}
	before = domain.Micros(before)
	var all []StuckTask
	for _, p := range projects {
		for _, state := range []domain.TaskState{domain.StateStarted, domain.StatePending, domain.StateRetry} {
			for _, cond := range []string{
				"started_at < $3 ORDER BY started_at",
				"started_at IS NULL AND coalesce(received_at, seen_at) < $3 ORDER BY id",
			} {
				query := "SELECT engine_id, task_id, coalesce(started_at, received_at), seen_at FROM tasks WHERE project_id = $1 AND state = $2 AND " + cond + " LIMIT $4"
				rows, err := s.eng.read().Query(ctx, query, p.ID, int64(state), before, int64(limit))
				if err != nil {
					return nil, fmt.Errorf("find stuck tasks: %w", s.err(err))
				}
				err = func() error {
					defer rows.Close()
					for rows.Next() {
						var engine int64
						var at *time.Time
						t := StuckTask{ProjectID: p.ID, Project: p.UID}
						if err := rows.Scan(&engine, &t.TaskID, &at, &t.Since); err != nil {
							return err
						}
						if at != nil {
							t.Since = *at
						}
						if t.Engine, err = s.Name(ctx, engine); err != nil {
							return err
						}
						all = append(all, t)
					}
					return rows.Err()
				}()
				if err != nil {
					return nil, fmt.Errorf("find stuck tasks: %w", s.err(err))
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b StuckTask) int { return a.Since.Compare(b.Since) })
	return all[:min(len(all), limit)], nil
}

// AgentForEngine returns an online agent of the project that serves the engine; domain.ErrNotFound without one.
func (s *Store) AgentForEngine(ctx context.Context, projectID int64, engine string) (AgentRef, error) {
	rows, err := s.q.OnlineAgents(ctx, s.eng.read(), db.OnlineAgentsParams{ProjectID: projectID})
	if err != nil {
		return AgentRef{}, fmt.Errorf("find an agent for %s: %w", engine, s.err(err))
	}
	for _, a := range rows {
		var engines []string
		if json.Unmarshal([]byte(a.EngineAdapters), &engines) == nil && slices.Contains(engines, engine) {
			return AgentRef{ID: a.ID, ProjectID: projectID, UID: a.UID, ProjectUID: a.ProjectUID}, nil
		}
	}
	return AgentRef{}, fmt.Errorf("find an agent for %s: %w", engine, domain.ErrNotFound)
}

// Reconciliation is what an engine itself says about a task.
type Reconciliation struct {
	ProjectID      int64
	Engine, TaskID string
	State          domain.TaskState
	FinishedAt     *time.Time
	Exception      *string
	// AskedAt is when the question was put: an answer that the task is not finished only counts when the row did not change since.
	AskedAt time.Time
}

// ReconcileTask applies an engine's answer to a task that is not finished. changed is false when the answer
// says nothing new, or came too late.
func (tx *Tx) ReconcileTask(ctx context.Context, r Reconciliation) (changed bool, err error) {
	engine, err := tx.s.q.NameByText(ctx, tx.db, db.NameByTextParams{Text: r.Engine})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reconcile task: %w", err)
	}
	lock := ""
	if tx.s.eng.name() != "sqlite" {
		lock = " FOR UPDATE"
	}
	var updated time.Time
	row := tx.db.QueryRow(ctx, "SELECT "+footprintColumns+", updated_at FROM tasks WHERE project_id = $1 AND engine_id = $2 AND task_id = $3"+lock,
		r.ProjectID, engine, r.TaskID)
	t, err := scanFootprint(func(into ...any) error { return row.Scan(append(into, &updated)...) })
	if tx.s.isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reconcile task: %w", tx.s.err(err))
	}
	if t.State.Terminal() || t.State == r.State || (!r.State.Terminal() && updated.After(r.AskedAt)) {
		return false, nil
	}
	now := tx.s.Now()
	before := footprintOf(&t)
	t.State = r.State
	if r.State.Terminal() && t.FinishedAt.IsZero() {
		t.FinishedAt = now
		if r.FinishedAt != nil && r.FinishedAt.Before(now) {
			t.FinishedAt = domain.Micros(*r.FinishedAt)
		}
	}
	after := footprintOf(&t)
	var finished *time.Time
	if !t.FinishedAt.IsZero() {
		finished = &t.FinishedAt
	}
	err = tx.s.q.ReconcileTask(ctx, tx.db, db.ReconcileTaskParams{
		ID: t.ID, State: int64(t.State), FinishedAt: finished, Exception: r.Exception, Now: now,
	})
	if err != nil {
		return false, fmt.Errorf("reconcile task: %w", tx.s.err(err))
	}
	if err := tx.queueSearch(ctx, []int64{t.ID}, now); err != nil {
		return false, fmt.Errorf("reconcile task: %w", tx.s.err(err))
	}
	d, err := tx.newDeltas(ctx)
	if err != nil {
		return false, err
	}
	d.row(&before, -1)
	d.row(&after, 1)
	return true, tx.s.err(tx.commitDeltas(ctx, d))
}
