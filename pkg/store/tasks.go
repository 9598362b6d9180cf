// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Task is a row of tasks; its engine, name, queue and worker are interned keys.
type Task = db.Task

// TaskView is a task with its names and its public id.
type TaskView struct {
	Task
	UID          uuid.UUID
	Engine, Name string
	// Queue and Worker are nil when unknown.
	Queue, Worker *string
}

const taskColumns = "id, project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, retry_count, runtime_ms, " +
	"eta, received_at, started_at, finished_at, last_failed_at, seen_at, updated_at, fingerprint, parent_task_id, root_task_id, " +
	"tags, args, kwargs, result, exception, traceback"

// basicColumns is taskColumns without what makes a row large: results and tracebacks are left out, arguments and
// exceptions are cut.
const basicColumns = "id, project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, retry_count, runtime_ms, " +
	"eta, received_at, started_at, finished_at, last_failed_at, seen_at, updated_at, fingerprint, parent_task_id, root_task_id, " +
	"tags, substr(args, 1, 200), substr(kwargs, 1, 200), NULL, substr(exception, 1, 400), NULL"

// scanner is one row of a query.
type scanner interface{ Scan(dest ...any) error }

func scanTask(row scanner, t *Task) error {
	return row.Scan(&t.ID, &t.ProjectID, &t.EngineID, &t.TaskID, &t.NameID, &t.QueueID, &t.WorkerID, &t.State, &t.Priority,
		&t.RetryCount, &t.RuntimeMS, &t.Eta, &t.ReceivedAt, &t.StartedAt, &t.FinishedAt, &t.LastFailedAt, &t.SeenAt, &t.UpdatedAt,
		&t.Fingerprint, &t.ParentTaskID, &t.RootTaskID, &t.Tags, &t.Args, &t.Kwargs, &t.Result, &t.Exception, &t.Traceback)
}

func (s *Store) readTasks(ctx context.Context, query string, args []any, limit int) ([]Task, error) {
	rows, err := s.eng.read().Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	scan := func(rows pgx.Rows, t *Task) error { return scanTask(rows, t) }
	if s.eng.name() != "sqlite" {
		scan = new(pgTaskScan).scan
	}
	tasks := make([]Task, 0, min(limit, 64))
	for rows.Next() {
		tasks = append(tasks, Task{})
		if err := scan(rows, &tasks[len(tasks)-1]); err != nil {
			return nil, err
		}
	}
	return tasks, rows.Err()
}

// TaskUID is the public id of a task.
func (s *Store) TaskUID(ctx context.Context, id int64) (uuid.UUID, error) {
	inst, err := s.InstallationID(ctx)
	return domain.TaskUID(inst, id), err
}

// viewTasks adds names and public ids.
func (s *Store) viewTasks(ctx context.Context, tasks []Task) ([]TaskView, error) {
	inst, err := s.InstallationID(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]TaskView, len(tasks))
	for i := range tasks {
		v := &views[i]
		v.Task = tasks[i]
		v.UID = domain.TaskUID(inst, v.ID)
		if v.Engine, err = s.Name(ctx, v.EngineID); err != nil {
			return nil, err
		}
		if v.Name, err = s.Name(ctx, v.NameID); err != nil {
			return nil, err
		}
		if v.Queue, err = s.optionalName(ctx, v.QueueID); err != nil {
			return nil, err
		}
		if v.Worker, err = s.optionalName(ctx, v.WorkerID); err != nil {
			return nil, err
		}
	}
	return views, nil
}

func (s *Store) optionalName(ctx context.Context, id *int64) (*string, error) {
	if id == nil || *id == 0 {
		return nil, nil
	}
	text, err := s.Name(ctx, *id)
	if err != nil {
		return nil, err
	}
	return &text, nil
}

// TaskCounts is the number of a project's tasks in each state, from the counters.
func (s *Store) TaskCounts(ctx context.Context, projectID int64) (map[domain.TaskState]int64, error) {
	rows, err := s.q.TaskCounts(ctx, s.eng.read(), db.TaskCountsParams{ProjectID: projectID})
	if err != nil {
		return nil, fmt.Errorf("read task counters: %w", s.err(err))
	}
	counts := make(map[domain.TaskState]int64, len(rows))
	for _, r := range rows {
		counts[domain.TaskState(r.State)] = r.N
	}
	return counts, nil
}

// TaskByIdentity returns the task an agent knows under engine and task id; domain.ErrNotFound when there is none.
func (s *Store) TaskByIdentity(ctx context.Context, projectID int64, engine, taskID string) (TaskView, error) {
	id, ok, err := s.NameID(ctx, engine)
	if err != nil {
		return TaskView{}, err
	}
	if !ok {
		return TaskView{}, domain.ErrNotFound
	}
	t, err := s.q.TaskByIdentity(ctx, s.eng.read(), db.TaskByIdentityParams{ProjectID: projectID, EngineID: id, TaskID: taskID})
	if err != nil {
		return TaskView{}, s.err(err)
	}
	views, err := s.viewTasks(ctx, []Task{t})
	if err != nil {
		return TaskView{}, err
	}
	return views[0], nil
}

// maxAncestors bounds the climb to the root of a task whose engine names parents only.
const maxAncestors = 50

// TaskTree returns the tree that a task belongs to: its root's id and up to limit tasks, oldest first, the
// root before all. truncated says that there are more.
func (s *Store) TaskTree(ctx context.Context, projectID int64, engine, taskID string, limit int) (root string, nodes []TaskView, truncated bool, err error) {
	t, err := s.TaskByIdentity(ctx, projectID, engine, taskID)
	if err != nil {
		return "", nil, false, err
	}
	top, err := s.rootOf(ctx, t)
	if err != nil {
		return "", nil, false, fmt.Errorf("find the root of task %s: %w", taskID, err)
	}
	root = top.rootID
	tasks, err := s.q.TasksOfRoot(ctx, s.eng.read(), db.TasksOfRootParams{
		ProjectID: projectID, EngineID: t.EngineID, RootTaskID: &root, MaxRows: int64(limit) + 1,
	})
	if err != nil {
		return "", nil, false, fmt.Errorf("read task tree: %w", s.err(err))
	}
	found := map[int64]bool{}
	merged := make([]Task, 0, len(tasks)+2)
	for _, extra := range append([]*Task{top.row, &t.Task}, pointers(tasks)...) {
		if extra != nil && !found[extra.ID] {
			found[extra.ID] = true
			merged = append(merged, *extra)
		}
	}
	if truncated = len(merged) > limit; truncated {
		merged = merged[:limit]
	}
	sort.SliceStable(merged, func(i, j int) bool {
		if (merged[i].TaskID == root) != (merged[j].TaskID == root) {
			return merged[i].TaskID == root
		}
		a, b := arrival(&merged[i]), arrival(&merged[j])
		if !a.Equal(b) {
			return a.Before(b)
		}
		return merged[i].ID < merged[j].ID
	})
	nodes, err = s.viewTasks(ctx, merged)
	return root, nodes, truncated, err
}

func pointers(tasks []Task) []*Task {
	out := make([]*Task, len(tasks))
	for i := range tasks {
		out[i] = &tasks[i]
	}
	return out
}

func arrival(t *Task) time.Time {
	switch {
	case t.ReceivedAt != nil:
		return *t.ReceivedAt
	case t.StartedAt != nil:
		return *t.StartedAt
	}
	return t.SeenAt
}

type treeRoot struct {
	rootID string
	// row is nil when the root itself was never seen.
	row *Task
}

// rootOf finds the root: the one the task names, or else the end of its line of parents.
func (s *Store) rootOf(ctx context.Context, t TaskView) (treeRoot, error) {
	at := t.Task
	seen := map[string]bool{}
	for range maxAncestors {
		seen[at.TaskID] = true
		next := at.RootTaskID
		if next == nil {
			next = at.ParentTaskID
		}
		if next == nil || seen[*next] {
			return treeRoot{rootID: at.TaskID, row: &at}, nil
		}
		up, err := s.q.TaskByIdentity(ctx, s.eng.read(), db.TaskByIdentityParams{ProjectID: at.ProjectID, EngineID: at.EngineID, TaskID: *next})
		if err = s.err(err); errors.Is(err, domain.ErrNotFound) {
			return treeRoot{rootID: *next}, nil
		}
		if err != nil {
			return treeRoot{}, err
		}
		at = up
	}
	return treeRoot{rootID: at.TaskID, row: &at}, nil
}
