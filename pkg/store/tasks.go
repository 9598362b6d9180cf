// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

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

// TaskFilter narrows a task list. Zero fields do not narrow.
type TaskFilter struct {
	ProjectID  int64
	State      domain.TaskState
	Priorities []domain.Priority
	// Engine, Queue and Worker match exactly, Name is a part of the task's name.
	Engine, Queue, Worker, Name string
	// Search is a part of the name, queue, worker or task id, in any case.
	Search string
	// Since and Until bound the time of reception; a task whose engine reports none counts from its start.
	Since, Until *time.Time
}

// TaskOrder chooses the order of a task list.
type TaskOrder int

// Task orders.
const (
	// TasksByStart is newest start first, tasks that never started last.
	TasksByStart TaskOrder = iota
	// TasksBySeen is newest arrival first; the order of a task never changes.
	TasksBySeen
)

// TaskCursor points behind a task of a list: its sort time (nil when it has none) and key.
type TaskCursor struct {
	At *time.Time
	ID int64
}

// TaskPage asks for a part of a task list.
type TaskPage struct {
	Filter TaskFilter
	Order  TaskOrder
	// After is nil for the first page.
	After *TaskCursor
	Limit int
}

// CursorOf returns the cursor that points behind t.
func (o TaskOrder) CursorOf(t *TaskView) TaskCursor {
	if o == TasksBySeen {
		at := t.SeenAt
		return TaskCursor{At: &at, ID: t.ID}
	}
	return TaskCursor{At: t.StartedAt, ID: t.ID}
}

const taskColumns = "id, project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, retry_count, runtime_ms, " +
	"eta, received_at, started_at, finished_at, last_failed_at, seen_at, updated_at, fingerprint, parent_task_id, root_task_id, " +
	"tags, args, kwargs, result, exception, traceback"

// scanner is one row of a query.
type scanner interface{ Scan(dest ...any) error }

func scanTask(row scanner, t *Task) error {
	return row.Scan(&t.ID, &t.ProjectID, &t.EngineID, &t.TaskID, &t.NameID, &t.QueueID, &t.WorkerID, &t.State, &t.Priority,
		&t.RetryCount, &t.RuntimeMS, &t.Eta, &t.ReceivedAt, &t.StartedAt, &t.FinishedAt, &t.LastFailedAt, &t.SeenAt, &t.UpdatedAt,
		&t.Fingerprint, &t.ParentTaskID, &t.RootTaskID, &t.Tags, &t.Args, &t.Kwargs, &t.Result, &t.Exception, &t.Traceback)
}

// builder collects conditions and their parameters. The texts are constants of this package; what users send
// goes through arg.
type builder struct {
	// conds can be answered by an index, rest must look at the rows.
	conds, rest []string
	args        []any
}

func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

func (b *builder) add(cond string) { b.conds = append(b.conds, cond) }

// filter adds a condition that no index helps with.
func (b *builder) filter(cond string) { b.rest = append(b.rest, cond) }

func (b *builder) where() string {
	return " WHERE " + strings.Join(slices.Concat(b.conds, b.rest), " AND ")
}

func (b *builder) clone() *builder {
	return &builder{conds: slices.Clone(b.conds), rest: slices.Clone(b.rest), args: slices.Clone(b.args)}
}

// likeContains is the LIKE pattern of "contains text".
func likeContains(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

const (
	// maxNameArms is the number of names for which a list is merged from one index walk each.
	maxNameArms = 16
	// sinceSlack is by how much a task's start may precede its reception (clocks of different hosts), and
	// seenSlack by how much a reception may lie ahead of its arrival.
	sinceSlack, seenSlack = time.Hour, 2 * time.Minute
)

// resolved is a filter in inner keys. names is set when the name filter is to be answered by one walk a name.
type resolved struct {
	none  bool
	state domain.TaskState
	cond  *builder
	names []int64
}

// resolve turns a filter into conditions. The unary plus keeps SQLite and PostgreSQL from taking an index
// that can't give the order; indexed says that the order is that of the index on state, queue and name.
func (s *Store) resolve(ctx context.Context, f TaskFilter, indexed bool) (resolved, error) {
	plus := "+"
	if indexed {
		plus = ""
	}
	b := &builder{}
	r := resolved{cond: b, state: f.State}
	b.add("project_id = " + b.arg(f.ProjectID))
	if f.State != 0 {
		b.add(plus + "state = " + b.arg(int64(f.State)))
	}
	if len(f.Priorities) > 0 {
		var list []string
		for _, p := range f.Priorities {
			list = append(list, b.arg(int64(p)))
		}
		b.filter("priority IN (" + strings.Join(list, ", ") + ")")
	}
	for _, exact := range []struct{ text, column string }{
		{f.Engine, "+engine_id"}, {f.Queue, plus + "queue_id"}, {f.Worker, "+worker_id"},
	} {
		if exact.text == "" {
			continue
		}
		id, ok, err := s.NameID(ctx, exact.text)
		if err != nil || !ok {
			r.none = true
			return r, err
		}
		cond := exact.column + " = " + b.arg(id)
		if strings.HasPrefix(cond, "+") {
			b.filter(cond)
		} else {
			b.add(cond)
		}
	}
	if f.Name != "" {
		ids, err := s.q.NamesLike(ctx, s.eng.read(), db.NamesLikeParams{Pattern: likeContains(f.Name), MaxRows: maxNameArms + 1})
		switch {
		case err != nil:
			return r, s.err(err)
		case len(ids) == 0:
			r.none = true
			return r, nil
		case len(ids) > maxNameArms || !indexed:
			b.filter("+name_id IN (SELECT id FROM names WHERE text LIKE " + b.arg(likeContains(f.Name)) + ` ESCAPE '\')`)
		default:
			r.names = ids
		}
	}
	if f.Search != "" {
		p := b.arg(likeContains(strings.ToLower(f.Search)))
		names := `(SELECT id FROM names WHERE lower(text) LIKE ` + p + ` ESCAPE '\')`
		b.filter("(+name_id IN " + names + " OR +queue_id IN " + names + " OR +worker_id IN " + names +
			" OR lower(task_id) LIKE " + p + ` ESCAPE '\')`)
	}
	const received = "coalesce(received_at, started_at, seen_at)"
	if f.Since != nil {
		b.filter(received + " >= " + b.arg(domain.Micros(*f.Since)))
	}
	if f.Until != nil {
		b.filter(received + " <= " + b.arg(domain.Micros(*f.Until)))
	}
	return r, nil
}

// ListTasks returns one page of a project's tasks.
func (s *Store) ListTasks(ctx context.Context, p TaskPage) ([]TaskView, error) {
	r, err := s.resolve(ctx, p.Filter, p.Order == TasksByStart)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	if r.none || p.Limit <= 0 {
		return nil, nil
	}
	var tasks []Task
	switch {
	case len(r.names) > 0:
		tasks, err = s.walkNames(ctx, p, r)
	case p.Order == TasksByStart && r.selective(p.Filter):
		tasks, err = s.searchTasks(ctx, p, r.cond)
	default:
		tasks, err = s.walkTasks(ctx, p, r.cond)
	}
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", s.err(err))
	}
	return s.viewTasks(ctx, tasks)
}

// walkNames merges one index walk for each name.
func (s *Store) walkNames(ctx context.Context, p TaskPage, r resolved) ([]Task, error) {
	var all []Task
	for _, id := range r.names {
		b := r.cond.clone()
		b.add("name_id = " + b.arg(id))
		part, err := s.walkTasks(ctx, p, b)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	slices.SortFunc(all, func(a, b Task) int { return compareStarts(a.StartedAt, a.ID, b.StartedAt, b.ID) })
	return all[:min(len(all), p.Limit)], nil
}

// walkTasks runs the query of one page. In the order of the start it is two walks, because no database
// seeks into an index by "earlier than t, or null".
func (s *Store) walkTasks(ctx context.Context, p TaskPage, base *builder) ([]Task, error) {
	b := base.clone()
	if p.Order == TasksBySeen {
		if p.Filter.Since != nil {
			b.add("seen_at >= " + b.arg(domain.Micros(p.Filter.Since.Add(-seenSlack))))
		}
		if p.After != nil && p.After.At != nil {
			at := b.arg(*p.After.At)
			b.add("seen_at <= " + at)
			b.add("(seen_at < " + at + " OR id < " + b.arg(p.After.ID) + ")")
		}
		return s.queryTasks(ctx, b, "seen_at DESC, id DESC", p.Limit)
	}
	var tasks []Task
	if p.After == nil || p.After.At != nil {
		// One bound at a time: with two SQLite takes the index of the start alone, whatever else is asked for.
		switch {
		case p.After != nil:
			at := b.arg(*p.After.At)
			b.add("started_at <= " + at)
			b.add("(started_at < " + at + " OR id < " + b.arg(p.After.ID) + ")")
		case p.Filter.Since == nil:
			b.add("started_at IS NOT NULL")
		}
		if p.Filter.Since != nil {
			b.add("started_at >= " + b.arg(domain.Micros(p.Filter.Since.Add(-sinceSlack))))
		}
		var err error
		if tasks, err = s.queryTasks(ctx, b, "started_at DESC NULLS LAST, id DESC", p.Limit); err != nil || len(tasks) >= p.Limit {
			return tasks, err
		}
	}
	b = base.clone()
	b.add("started_at IS NULL")
	if p.After != nil && p.After.At == nil {
		b.add("id < " + b.arg(p.After.ID))
	}
	rest, err := s.queryTasks(ctx, b, "started_at DESC NULLS LAST, id DESC", p.Limit-len(tasks))
	return append(tasks, rest...), err
}

func (s *Store) queryTasks(ctx context.Context, b *builder, order string, limit int) ([]Task, error) {
	return s.readTasks(ctx, "SELECT "+taskColumns+" FROM tasks"+b.where()+" ORDER BY "+order+" LIMIT "+b.arg(int64(limit)), b.args, limit)
}

func (s *Store) readTasks(ctx context.Context, query string, args []any, limit int) ([]Task, error) {
	rows, err := s.eng.read().Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tasks := make([]Task, 0, min(limit, 64))
	for rows.Next() {
		tasks = append(tasks, Task{})
		if err := scanTask(rows, &tasks[len(tasks)-1]); err != nil {
			return nil, err
		}
	}
	return tasks, rows.Err()
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

// CountTasks says how many tasks match. Without a filter, or with a state alone, the counters tell; otherwise
// it counts up to limit and exact is false when there are more.
func (s *Store) CountTasks(ctx context.Context, f TaskFilter, limit int64) (n int64, exact bool, err error) {
	bare := f
	bare.ProjectID, bare.State = 0, 0
	if len(f.Priorities) == 0 && bare.empty() {
		counts, err := s.TaskCounts(ctx, f.ProjectID)
		if err != nil {
			return 0, false, err
		}
		for state, c := range counts {
			if f.State == 0 || f.State == state {
				n += c
			}
		}
		return n, true, nil
	}
	b, ok, err := s.flatFilter(ctx, f)
	if err != nil {
		return 0, false, fmt.Errorf("count tasks: %w", err)
	}
	if !ok {
		return 0, true, nil
	}
	query := "SELECT count(*) FROM (SELECT 1 AS one FROM tasks" + b.where() + " LIMIT " + b.arg(limit+1) + ") AS found"
	if err := s.eng.read().QueryRow(ctx, query, b.args...).Scan(&n); err != nil {
		return 0, false, fmt.Errorf("count tasks: %w", s.err(err))
	}
	return min(n, limit), n <= limit, nil
}

// TaskKeys returns the keys of up to limit tasks that match.
func (s *Store) TaskKeys(ctx context.Context, f TaskFilter, limit int64) ([]int64, error) {
	b, ok, err := s.flatFilter(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	if !ok {
		return nil, nil
	}
	rows, err := s.eng.read().Query(ctx, "SELECT id FROM tasks"+b.where()+" LIMIT "+b.arg(limit), b.args...)
	if err != nil {
		return nil, fmt.Errorf("find tasks: %w", s.err(err))
	}
	defer rows.Close()
	var keys []int64
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("find tasks: %w", s.err(err))
		}
		keys = append(keys, key)
	}
	return keys, s.err(rows.Err())
}

// flatFilter is resolve for queries without an order; ok is false when nothing can match.
func (s *Store) flatFilter(ctx context.Context, f TaskFilter) (b *builder, ok bool, err error) {
	r, err := s.resolve(ctx, f, true)
	if err != nil || r.none {
		return nil, false, s.err(err)
	}
	if len(r.names) > 0 {
		var list []string
		for _, id := range r.names {
			list = append(list, r.cond.arg(id))
		}
		r.cond.add("name_id IN (" + strings.Join(list, ", ") + ")")
	}
	return r.cond, true, nil
}

func (f TaskFilter) empty() bool {
	return f.Engine == "" && f.Queue == "" && f.Worker == "" && f.Name == "" && f.Search == "" && f.Since == nil && f.Until == nil
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
