// SPDX-License-Identifier: AGPL-3.0-or-later

package bulk

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

type quiet struct{}

func (quiet) Publish(context.Context, bus.Topic, []byte) {}

// TestDeadline: what could not be sent in time is held back, and goes on after a resume; old requests are deleted.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, ...func(*store.Options)) *store.Store{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			s := open(t, func(o *store.Options) {
				o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			agent := storetest.Agent(t, s)
			var r store.BulkRetry
			err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
				r, _, err = tx.SealBulkRetry(ctx, store.NewBulkRetry{
					ProjectID: agent.ProjectID, IdempotencyKey: "k", MaxInFlight: 8, Deadline: time.Minute,
					Tasks: []store.SelectedTask{{Engine: "celery", TaskID: "a", Name: "n", Priority: domain.PriorityHigh}},
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			c := NewCoordinator(s, quiet{}, slog.New(slog.DiscardHandler), time.Minute)
			look := func() store.BulkRetry {
				t.Helper()
				if _, err := c.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, err := s.BulkRetryByID(t.Context(), agent.ProjectID, r.ID)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			if got := look(); got.ControlState != store.BulkRetryRunning {
				t.Errorf("before the deadline: %s", got.ControlState)
			}
			ahead.Store(int64(2 * time.Minute))
			if got := look(); got.ControlState != store.BulkRetryBlocked {
				t.Errorf("after the deadline: %s", got.ControlState)
			}
			err = s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ControlBulkRetry(ctx, agent.ProjectID, r.ID, store.BulkRetryRunning, time.Minute)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := look(); got.ControlState != store.BulkRetryRunning {
				t.Errorf("resumed: %s", got.ControlState)
			}
			if n, err := s.ExpireCommands(t.Context(), s.Now().Add(time.Hour), 10); err != nil || n != 1 {
				t.Errorf("expired %d %v", n, err)
			}
			if left, err := s.BulkRetryChildren(t.Context(), r.ID, -1, 10); err != nil || len(left) != 0 {
				t.Errorf("children left: %v %v", left, err)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ status, result, fault, want string }{
		{domain.CommandPending, "", "", store.ChildUnobserved},
		{domain.CommandDispatched, "", "", store.ChildUnobserved},
		{domain.CommandTimeout, "", store.TimeoutMessage, store.ChildUnknown},
		{domain.CommandFailed, "", "no", store.ChildFailed},
		{domain.CommandFailed, `{"indeterminate":true}`, "no", store.ChildUnknown},
		{domain.CommandCompleted, "", "", store.ChildSucceeded},
		{domain.CommandCompleted, `[1]`, "", store.ChildSucceeded},
		{domain.CommandCompleted, `{"succeeded":1,"failed":0}`, "", store.ChildSucceeded},
		{domain.CommandCompleted, `{"retried":["x"],"skipped":[]}`, "", store.ChildSucceeded},
		{domain.CommandCompleted, `{"retried":0,"skipped":1}`, "", store.ChildFailed},
		{domain.CommandCompleted, `{"succeeded":0,"failed":1,"failures":{"x":"gone"}}`, "", store.ChildFailed},
	} {
		child := &store.SentBulkRetryChild{Status: &tc.status}
		if tc.result != "" {
			child.Result = &tc.result
		}
		if tc.fault != "" {
			child.Error = &tc.fault
		}
		if got, _ := outcomeOf(child); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.status, tc.result, got, tc.want)
		}
	}
	if got, _ := outcomeOf(&store.SentBulkRetryChild{}); got != store.ChildUnknown {
		t.Errorf("a command that is gone: %s", got)
	}
}

// TestCoordinatorIsTakenOver has a dead replica hold the coordinator's lease: another one does nothing until it has run out.
func TestCoordinatorIsTakenOver(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	s := storetest.SQLite(t, func(o *store.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	agent := storetest.Agent(t, s)
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, _, err := tx.SealBulkRetry(ctx, store.NewBulkRetry{
			ProjectID: agent.ProjectID, IdempotencyKey: "k", MaxInFlight: 8, Deadline: time.Hour,
			Tasks: []store.SelectedTask{{Engine: "celery", TaskID: "a", Name: "n", Priority: domain.PriorityHigh}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dead := NewCoordinator(s, quiet{}, slog.New(slog.DiscardHandler), time.Minute)
	if held, err := dead.Step(t.Context()); err != nil || !held {
		t.Fatalf("the first coordinator has the lease: %t, %v", held, err)
	}
	next := NewCoordinator(s, quiet{}, slog.New(slog.DiscardHandler), time.Minute)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {leaseTime - time.Second, false}, {leaseTime + time.Second, true}} {
		ahead.Store(int64(c.after))
		if held, err := next.Step(t.Context()); err != nil || held != c.want {
			t.Errorf("%s after the death of the holder: held %t, %v; want %t", c.after, held, err, c.want)
		}
	}
	if held, err := dead.Step(t.Context()); err != nil || held {
		t.Errorf("the former holder has the lease again: %t, %v", held, err)
	}
}
