// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// clock is a settable time.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func eachWithClock(t *testing.T, fn func(t *testing.T, s *store.Store, c *clock)) {
	t.Helper()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := &clock{at: start}
		fn(t, storetest.SQLite(t, func(o *store.Options) { o.Now = c.now }), c)
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		c := &clock{at: start}
		fn(t, storetest.Postgres(t, func(o *store.Options) { o.Now = c.now }), c)
	})
}

func makeProject(t *testing.T, s *store.Store, slug string) store.Project {
	t.Helper()
	var p store.Project
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		p, err = tx.CreateProject(ctx, store.NewProject{Slug: slug, Name: slug, Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// makeAgent adds a bare agent row with the given key.
func makeAgent(t *testing.T, s *store.Store, p store.Project, id int64) store.AgentRef {
	t.Helper()
	now, uid := s.Now(), uuid.New()
	err := s.ExecForTest(t.Context(), "INSERT INTO agents (id, uid, project_id, name, token_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)", []any{
		id, uid, p.ID, "agent-" + uuid.NewString(), uuid.NewString(), now, now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return store.AgentRef{ID: id, ProjectID: p.ID, UID: uid, ProjectUID: p.UID}
}

func createCommand(t *testing.T, s *store.Store, n store.NewCommand) (cmd store.Command, created bool, err error) {
	t.Helper()
	if n.Timeout == 0 {
		n.Timeout = time.Minute
	}
	err = s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		cmd, created, err = tx.CreateCommand(ctx, n)
		return err
	})
	return cmd, created, err
}

func TestCommandLife(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx := t.Context()
		p := makeProject(t, s, "shop")
		agent, stranger := makeAgent(t, s, p, 7), makeAgent(t, s, p, 8)
		elsewhere := agent
		elsewhere.ProjectID++
		first := store.NewCommand{
			Agent: agent, Action: "retry_task", TargetType: "task", TargetID: "celery:a",
			Payload: map[string]any{"task_id": "a"}, IdempotencyKey: "k1", RequiredContract: store.RetryContract("celery"),
		}
		retry, created, err := createCommand(t, s, first)
		if err != nil || !created || retry.Status != domain.CommandPending || !retry.TimeoutAt.Equal(c.at.Add(time.Minute)) {
			t.Fatalf("create: %+v %v %v", retry, created, err)
		}
		if again, created, err := createCommand(t, s, first); err != nil || created || again.ID != retry.ID {
			t.Fatalf("same key, same request: %+v %v %v", again, created, err)
		}
		other := first
		other.TargetID = "celery:b"
		var de *domain.Error
		if _, _, err := createCommand(t, s, other); !errors.As(err, &de) || de.Code != domain.CodeConflict || de.Details["idempotency_key"] != "k1" {
			t.Fatalf("same key, other request: %v", err)
		}
		c.advance(time.Second)
		cancel, _, err := createCommand(t, s, store.NewCommand{Agent: agent, Action: "cancel_task", TargetType: "task", TargetID: "celery:a", Payload: map[string]any{}})
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := s.AgentsWithPending(ctx, 10); err != nil || len(ids) != 1 || ids[0] != 7 {
			t.Fatalf("agents with pending: %v %v", ids, err)
		}

		// A slot without the contract gets only what needs none.
		got, err := s.ClaimCommands(ctx, store.ClaimCommandsParams{AgentID: 7, Owner: "r1", Worker: "w", Limit: 10})
		if err != nil || len(got) != 1 || got[0].ID != cancel.ID || got[0].Status != domain.CommandDispatched || got[0].DeliveryClaimToken == nil {
			t.Fatalf("claim without contract: %+v %v", got, err)
		}
		if ok, err := s.RevertClaim(ctx, got[0]); err != nil || !ok {
			t.Fatalf("revert: %v %v", ok, err)
		}
		if ok, err := s.RevertClaim(ctx, got[0]); err != nil || ok {
			t.Fatalf("second revert: %v %v", ok, err)
		}
		c.advance(10 * time.Second)
		got, err = s.ClaimCommands(ctx, store.ClaimCommandsParams{AgentID: 7, Owner: "r1", Worker: "w", Contracts: []string{store.RetryContract("celery")}, Limit: 10})
		if err != nil || len(got) != 2 || got[0].ID != retry.ID || got[1].ID != cancel.ID || !got[0].TimeoutAt.Equal(c.at.Add(time.Minute)) {
			t.Fatalf("claim: %+v %v", got, err)
		}
		if ok, err := s.RevertClaim(ctx, got[0]); err != nil || ok {
			t.Fatalf("a retry went back to pending: %v %v", ok, err)
		}
		if again, err := s.ClaimCommands(ctx, store.ClaimCommandsParams{AgentID: 7, Limit: 10}); err != nil || len(again) != 0 {
			t.Fatalf("claimed twice: %+v %v", again, err)
		}
		c.advance(20 * time.Second)
		again, err := s.ClaimCommands(ctx, store.ClaimCommandsParams{
			AgentID: 7, Limit: 10, Contracts: []string{store.RetryContract("celery")},
			RedeliverAfter: 10 * time.Second, RedeliverUntil: time.Minute,
		})
		if err != nil || len(again) != 1 || again[0].ID != cancel.ID {
			t.Fatalf("redelivery: %+v %v", again, err)
		}

		complete := func(o store.CommandOutcome) (cmd store.Command, ok bool) {
			t.Helper()
			err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				cmd, ok, err = tx.CompleteCommand(ctx, o)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return cmd, ok
		}
		for name, o := range map[string]store.CommandOutcome{
			"other agent":   {ID: retry.ID, Agent: stranger, Success: true},
			"other project": {ID: retry.ID, Agent: elsewhere, Success: true},
			"unknown":       {ID: uuid.New(), Agent: agent, Success: true},
		} {
			if _, ok := complete(o); ok {
				t.Errorf("%s: a foreign result was taken", name)
			}
		}
		done, ok := complete(store.CommandOutcome{ID: retry.ID, Agent: agent, Result: `{"new_task_id":"x"}`, Error: strings.Repeat("e", 3000)})
		if !ok || done.Status != domain.CommandFailed || len(*done.Error) != 1024 || *done.Result != `{"new_task_id":"x"}` || done.CompletedAt == nil {
			t.Fatalf("complete: %+v %v", done, ok)
		}
		if _, ok := complete(store.CommandOutcome{ID: retry.ID, Agent: agent, Success: true}); ok {
			t.Error("a late result was taken")
		}
		if ended, err := s.TimeoutCommands(ctx, 10); err != nil || len(ended) != 0 {
			t.Fatalf("timed out early: %+v %v", ended, err)
		}
		c.advance(61 * time.Second)
		if ended, err := s.TimeoutCommands(ctx, 10); err != nil || len(ended) != 1 || ended[0].Status != domain.CommandTimeout || *ended[0].Error != store.TimeoutMessage {
			t.Fatalf("time out: %+v %v", ended, err)
		}
		var told []string
		for _, r := range outbox(t, s) {
			_, e, err := r.Entry()
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, e.Action+" "+e.Result)
		}
		if want := "[command.issue.retry_task success command.issue.cancel_task success command.completed failed command.completed timeout]"; fmt.Sprint(told) != want {
			t.Errorf("audit: %v, want %s", told, want)
		}
		list, err := s.ListCommands(ctx, store.CommandPage{ProjectID: p.ID, Limit: 1})
		if err != nil || len(list) != 1 || list[0].ID != cancel.ID {
			t.Fatalf("list: %+v %v", list, err)
		}
		list, err = s.ListCommands(ctx, store.CommandPage{ProjectID: p.ID, Limit: 5, BeforeAt: list[0].IssuedAt, BeforeID: list[0].ID})
		if err != nil || len(list) != 1 || list[0].ID != retry.ID {
			t.Fatalf("next page: %+v %v", list, err)
		}
		if list, err = s.ListCommands(ctx, store.CommandPage{ProjectID: p.ID, Limit: 5, Status: domain.CommandTimeout}); err != nil || len(list) != 1 {
			t.Fatalf("list by status: %+v %v", list, err)
		}
	})
}

func TestPurgeTokenIsForgotten(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		p := makeProject(t, s, "shop")
		cmd, _, err := createCommand(t, s, store.NewCommand{
			Agent: makeAgent(t, s, p, 1), Action: "purge_queue", TargetType: "queue", TargetID: "q",
			Payload: map[string]any{"queue": "q", "confirm_token": "abc", "force": false},
		})
		if err != nil || !strings.Contains(cmd.Payload, `"abc"`) {
			t.Fatalf("%+v %v", cmd, err)
		}
		c.advance(2 * time.Minute)
		ended, err := s.TimeoutCommands(t.Context(), 10)
		if err != nil || len(ended) != 1 || ended[0].Payload != `{"confirm_token":"<redacted>","force":false,"queue":"q"}` {
			t.Fatalf("%+v %v", ended, err)
		}
	})
}
