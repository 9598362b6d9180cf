// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Rows of bulk retries.
type (
	// BulkRetry is a request to run many tasks again.
	BulkRetry = db.BulkRetryRequest
	// BulkRetryChild is one task of a request.
	BulkRetryChild = db.BulkRetryChild
	// SentBulkRetryChild is a child on its way, with what is known of its command; a nil status means that the command
	// is gone.
	SentBulkRetryChild = db.SentBulkRetryChildrenRow
)

// Control states of bulk retries.
const (
	BulkRetryRunning = "running"
	BulkRetryPaused  = "paused"
	BulkRetryBlocked = "blocked"
)

// Outcomes of children.
const (
	ChildUnobserved = "unobserved"
	ChildSucceeded  = "succeeded"
	ChildFailed     = "failed"
	ChildUnknown    = "unknown"
)

// SelectedTask is a task that a selection covers.
type SelectedTask struct {
	Engine, TaskID, Name string
	Priority             domain.Priority
	State                domain.TaskState
}

// SelectTasks returns up to limit tasks that match, ordered by engine and task id.
func (s *Store) SelectTasks(ctx context.Context, f TaskFilter, limit int64) ([]SelectedTask, error) {
	b, ok, err := s.flatFilter(ctx, &f)
	if err != nil || !ok {
		return nil, err
	}
	rows, err := s.eng.read().Query(ctx, "SELECT engine_id, task_id, name_id, priority, state FROM tasks"+b.where()+" LIMIT "+b.arg(limit), b.args...)
	if err != nil {
		return nil, fmt.Errorf("select tasks: %w", s.err(err))
	}
	var found []Task
	for rows.Next() {
		var t Task
		if err := rows.Scan(&t.EngineID, &t.TaskID, &t.NameID, &t.Priority, &t.State); err != nil {
			rows.Close()
			return nil, fmt.Errorf("select tasks: %w", s.err(err))
		}
		found = append(found, t)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("select tasks: %w", s.err(err))
	}
	out := make([]SelectedTask, len(found))
	for i, t := range found {
		sel := SelectedTask{TaskID: t.TaskID, Priority: domain.Priority(t.Priority), State: domain.TaskState(t.State)}
		if sel.Engine, err = s.Name(ctx, t.EngineID); err != nil {
			return nil, err
		}
		if sel.Name, err = s.Name(ctx, t.NameID); err != nil {
			return nil, err
		}
		out[i] = sel
	}
	slices.SortFunc(out, func(a, b SelectedTask) int {
		return strings.Compare(a.Engine+"\x00"+a.TaskID, b.Engine+"\x00"+b.TaskID)
	})
	return out, nil
}

// BulkRetryByKey finds the request that holds an idempotency key; domain.ErrNotFound when there is none.
func (s *Store) BulkRetryByKey(ctx context.Context, projectID int64, key string) (BulkRetry, error) {
	r, err := s.q.BulkRetryByKey(ctx, s.eng.read(), db.BulkRetryByKeyParams{ProjectID: projectID, IdempotencyKey: key})
	return r, s.err(err)
}

// BulkRetryByID finds a request of a project; domain.ErrNotFound when there is none.
func (s *Store) BulkRetryByID(ctx context.Context, projectID int64, id uuid.UUID) (BulkRetry, error) {
	r, err := s.q.BulkRetryByID(ctx, s.eng.read(), db.BulkRetryByIDParams{ID: id, ProjectID: projectID})
	return r, s.err(err)
}

// BulkRetries lists a project's requests, newest first.
func (s *Store) BulkRetries(ctx context.Context, projectID, limit int64) ([]BulkRetry, error) {
	list, err := s.q.ListBulkRetries(ctx, s.eng.read(), db.ListBulkRetriesParams{ProjectID: projectID, MaxRows: limit})
	return list, s.err(err)
}

// OpenBulkRetries lists requests with something left to do or to learn.
func (s *Store) OpenBulkRetries(ctx context.Context, limit int64) ([]BulkRetry, error) {
	list, err := s.q.OpenBulkRetries(ctx, s.eng.read(), db.OpenBulkRetriesParams{MaxRows: limit})
	return list, s.err(err)
}

// BulkRetryCounts are the children of a request by where they are.
type BulkRetryCounts struct {
	Pending, Claimed, Unobserved, Succeeded, Failed, Unknown int64
}

// Total is the number of children.
func (c BulkRetryCounts) Total() int64 { return c.Unobserved + c.Succeeded + c.Failed + c.Unknown }

// InFlight is the number of children sent and not yet heard of.
func (c BulkRetryCounts) InFlight() int64 { return c.Unobserved - c.Pending }

// BulkRetryCounts counts a request's children.
func (s *Store) BulkRetryCounts(ctx context.Context, id uuid.UUID) (BulkRetryCounts, error) {
	return s.bulkRetryCounts(ctx, s.eng.read(), id)
}

func (s *Store) bulkRetryCounts(ctx context.Context, on db.DBTX, id uuid.UUID) (c BulkRetryCounts, err error) {
	rows, err := s.q.BulkRetryCounts(ctx, on, db.BulkRetryCountsParams{ParentID: id})
	if err != nil {
		return c, fmt.Errorf("count bulk retry %s: %w", id, s.err(err))
	}
	for _, r := range rows {
		if r.DeliveryState == "pending" {
			c.Pending += r.N
		} else {
			c.Claimed += r.N
		}
		switch r.Outcome {
		case ChildSucceeded:
			c.Succeeded += r.N
		case ChildFailed:
			c.Failed += r.N
		case ChildUnknown:
			c.Unknown += r.N
		default:
			c.Unobserved += r.N
		}
	}
	return c, nil
}

// BulkRetryChildren lists the children behind an ordinal; -1 starts with the first.
func (s *Store) BulkRetryChildren(ctx context.Context, id uuid.UUID, after, limit int64) ([]BulkRetryChild, error) {
	list, err := s.q.ListBulkRetryChildren(ctx, s.eng.read(), db.ListBulkRetryChildrenParams{ParentID: id, After: after, MaxRows: limit})
	return list, s.err(err)
}

// NewBulkRetry is a request to seal.
type NewBulkRetry struct {
	ProjectID                   int64
	IssuedBy                    *uuid.UUID
	IdempotencyKey              string
	CanonicalDigest, PlanDigest string
	AgentID                     *int64
	MaxInFlight                 int64
	Deadline                    time.Duration
	SourceIP, UserAgent         string
	Tasks                       []SelectedTask
}

// childrenAtOnce is how many children one statement inserts.
const childrenAtOnce = 500

// SealBulkRetry writes a request with its children. created is false when somebody else used the key first; the row is
// theirs then.
func (tx *Tx) SealBulkRetry(ctx context.Context, n NewBulkRetry) (r BulkRetry, created bool, err error) {
	now := tx.s.Now()
	r, err = tx.s.q.InsertBulkRetry(ctx, tx.db, db.InsertBulkRetryParams{
		ID: uuid.New(), ProjectID: n.ProjectID, IssuedBy: n.IssuedBy, IdempotencyKey: n.IdempotencyKey, CanonicalDigest: n.CanonicalDigest,
		PlanDigest: n.PlanDigest, AgentID: n.AgentID, ChildCount: int64(len(n.Tasks)), MaxInFlight: n.MaxInFlight, IsOpen: len(n.Tasks) > 0,
		SourceIP: optional(n.SourceIP), UserAgent: optional(n.UserAgent), DeadlineAt: now.Add(n.Deadline), Now: now,
	})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		r, err = tx.s.q.BulkRetryByKey(ctx, tx.db, db.BulkRetryByKeyParams{ProjectID: n.ProjectID, IdempotencyKey: n.IdempotencyKey})
		return r, false, tx.s.err(err)
	}
	if err != nil {
		return r, false, fmt.Errorf("seal bulk retry: %w", err)
	}
	ordinal := 0
	for chunk := range slices.Chunk(n.Tasks, childrenAtOnce) {
		b := &builder{}
		rows := make([]string, len(chunk))
		for i, t := range chunk {
			priority := ""
			if t.Priority != domain.PriorityNormal {
				priority = t.Priority.String()
			}
			rows[i] = "(" + strings.Join([]string{
				b.arg(r.ID), b.arg(int64(ordinal)), b.arg(t.Engine), b.arg(t.TaskID), b.arg(t.Name), b.arg(priority),
			}, ", ") + ")"
			ordinal++
		}
		query := "INSERT INTO bulk_retry_children (parent_id, ordinal, engine, task_id, task_name, priority) VALUES " + strings.Join(rows, ", ")
		if _, err := tx.db.Exec(ctx, query, b.args...); err != nil {
			return r, false, fmt.Errorf("seal bulk retry: %w", tx.s.err(err))
		}
	}
	return r, true, nil
}

// ControlBulkRetry pauses or resumes a request; a resumed one gets a new deadline. domain.ErrNotFound when there is none.
func (tx *Tx) ControlBulkRetry(ctx context.Context, projectID int64, id uuid.UUID, state string, deadline time.Duration) (BulkRetry, error) {
	r, err := tx.s.q.BulkRetryByID(ctx, tx.db, db.BulkRetryByIDParams{ID: id, ProjectID: projectID})
	if err != nil {
		return r, tx.s.err(err)
	}
	now := tx.s.Now()
	p := db.ControlBulkRetryParams{ID: id, ProjectID: projectID, ControlState: state, DeadlineAt: r.DeadlineAt, Now: now}
	if state == BulkRetryRunning {
		p.DeadlineAt = now.Add(deadline)
	}
	r, err = tx.s.q.ControlBulkRetry(ctx, tx.db, p)
	return r, tx.s.err(err)
}

// LockBulkRetry takes a request for the rest of the transaction, so that two coordinators never work on it at once.
func (tx *Tx) LockBulkRetry(ctx context.Context, id uuid.UUID) (BulkRetry, error) {
	r, err := tx.s.q.LockBulkRetry(ctx, tx.db, db.LockBulkRetryParams{ID: id, Now: tx.s.Now()})
	return r, tx.s.err(err)
}

// SentBulkRetryChildren lists children on their way.
func (tx *Tx) SentBulkRetryChildren(ctx context.Context, id uuid.UUID, limit int64) ([]SentBulkRetryChild, error) {
	list, err := tx.s.q.SentBulkRetryChildren(ctx, tx.db, db.SentBulkRetryChildrenParams{ParentID: id, MaxRows: limit})
	return list, tx.s.err(err)
}

// SettleBulkRetryChild notes what became of a child.
func (tx *Tx) SettleBulkRetryChild(ctx context.Context, c SentBulkRetryChild, outcome, fault string) error {
	at := c.CompletedAt
	if at == nil {
		at = new(tx.s.Now())
	}
	_, err := tx.s.q.SettleBulkRetryChild(ctx, tx.db, db.SettleBulkRetryChildParams{
		ParentID: c.ParentID, Ordinal: c.Ordinal, Outcome: outcome, Error: optional(cutText(fault, maxCommandError)), CompletedAt: at,
	})
	return tx.s.err(err)
}

// PendingBulkRetryChildren lists children that were not sent yet.
func (tx *Tx) PendingBulkRetryChildren(ctx context.Context, id uuid.UUID, limit int64) ([]BulkRetryChild, error) {
	list, err := tx.s.q.PendingBulkRetryChildren(ctx, tx.db, db.PendingBulkRetryChildrenParams{ParentID: id, MaxRows: limit})
	return list, tx.s.err(err)
}

// SendBulkRetryChild issues a child's command and marks the child in the same transaction: there is no moment in which one
// is done and the other is not. sent is false when the child was sent before.
func (tx *Tx) SendBulkRetryChild(ctx context.Context, c BulkRetryChild, n NewCommand) (sent bool, err error) {
	n.ID = uuid.New()
	now := tx.s.Now()
	claimed, err := tx.s.q.ClaimBulkRetryChild(ctx, tx.db, db.ClaimBulkRetryChildParams{ParentID: c.ParentID, Ordinal: c.Ordinal, CommandID: &n.ID, Now: &now})
	if err != nil || claimed == 0 {
		return false, tx.s.err(err)
	}
	_, _, err = tx.CreateCommand(ctx, n)
	return err == nil, err
}

// ProgressBulkRetry writes where a request stands. progressed says that a child was sent or settled.
func (tx *Tx) ProgressBulkRetry(ctx context.Context, r BulkRetry, progressed bool) (BulkRetryCounts, error) {
	counts, err := tx.s.bulkRetryCounts(ctx, tx.db, r.ID)
	if err != nil {
		return counts, err
	}
	now := tx.s.Now()
	if progressed {
		r.LastProgressAt = &now
	}
	return counts, tx.s.err(tx.s.q.ProgressBulkRetry(ctx, tx.db, db.ProgressBulkRetryParams{
		ID: r.ID, ControlState: r.ControlState, IsOpen: counts.Unobserved > 0, LastProgressAt: r.LastProgressAt, Now: now,
	}))
}
