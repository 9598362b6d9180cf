// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest"
)

// issue writes a command as the API does.
func (b *brain) issue(c credentials, action string, timeout time.Duration, change ...func(*store.NewCommand)) store.Command {
	b.t.Helper()
	n := store.NewCommand{
		Agent: c.ref, Action: action, TargetType: "task", TargetID: "celery:t1",
		Payload: map[string]any{"engine": "celery", "task_id": "t1"}, Timeout: timeout,
	}
	for _, f := range change {
		f(&n)
	}
	var cmd store.Command
	err := b.store.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		var err error
		cmd, _, err = tx.CreateCommand(ctx, n)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	_ = b.bus.Publish(context.Background(), bus.AgentCommands(c.ref.ID), nil)
	return cmd
}

func (b *brain) status(id uuid.UUID) store.Command {
	b.t.Helper()
	cmd, err := b.store.CommandByID(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return cmd
}

// command waits for a command frame.
func (p *peer) command() (id string, payload map[string]any) {
	p.t.Helper()
	for {
		frame := p.recv()
		if frame["type"] == "command" {
			return frame["id"].(string), frame["payload"].(map[string]any)
		}
	}
}

func TestCommandLife(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	waiting := b.issue(c, "cancel_task", time.Minute)
	p := b.connect(c, "bare-1-1")
	// Issued before the agent connected: delivered on connect.
	id, payload := p.command()
	if id != waiting.ID.String() || payload["action"] != "cancel_task" || payload["timeout_seconds"] != 60.0 {
		t.Fatalf("got %s %v", id, payload)
	}
	target := payload["target"].(map[string]any)
	if target["type"] != "task" || target["id"] != "celery:t1" || target["engine"] != "celery" {
		t.Errorf("target %v", target)
	}
	if payload["delivery_claim_token"] == nil {
		t.Error("no claim token")
	}
	if s := b.status(waiting.ID).Status; s != domain.CommandDispatched {
		t.Errorf("status %s before the answer", s)
	}
	p.sendSigned(id, wire.TypeCommandAck, `{"delivery_claim_token":null}`)
	p.sendSigned(id, wire.TypeCommandResult, `{"status":"success","result":{"task_id":"t1"},"error":null,"delivery_claim_token":null}`)
	eventually(t, "the command is completed", func() bool { return b.status(waiting.ID).Status == domain.CommandCompleted })

	// A result of the agent's other kind, with an error that is too long.
	failing := b.issue(c, "retry_task", time.Minute)
	if id, _ := p.command(); id != failing.ID.String() {
		t.Fatalf("got command %s, want %s", id, failing.ID)
	}
	p.sendSigned(failing.ID.String(), wire.TypeCommandResult, `{"status":"failed","result":null,"error":"`+strings.Repeat("e", 3000)+`\u0000"}`)
	eventually(t, "the command failed", func() bool { return b.status(failing.ID).Status == domain.CommandFailed })
	if cmd := b.status(failing.ID); cmd.Error == nil || len(*cmd.Error) != 1024 {
		t.Error("the error is not cut to 1024 characters")
	}
	// Late: ignored.
	p.sendSigned(failing.ID.String(), wire.TypeCommandResult, `{"status":"success","result":{},"error":null}`)
	p.wantOpen()
	if s := b.status(failing.ID).Status; s != domain.CommandFailed {
		t.Errorf("a late result made it %s", s)
	}
}

func TestResultsOfOtherAgentsAreIgnored(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	p := b.connect(c, "bare-1-1")
	thief := b.connect(b.newAgent("thief"), "bare-1-1")
	cmd := b.issue(c, "cancel_task", time.Minute)
	p.command()
	thief.sendSigned(cmd.ID.String(), wire.TypeCommandResult, `{"status":"success","result":{},"error":null}`)
	thief.wantOpen()
	if s := b.status(cmd.ID).Status; s != domain.CommandDispatched {
		t.Errorf("another agent's result made it %s", s)
	}
}

func TestCommandsGoToOneSlotThatTakesThem(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	old := b.connect(c, "bare-1-1", func(_, payload map[string]any) { payload["runtime_features"] = []string{} })
	old.wantOpen() // registered, so it is the first
	able := b.connect(c, "bare-2-2")
	b.issue(c, "cancel_task", time.Minute)
	if _, payload := old.command(); payload["action"] != "cancel_task" {
		t.Errorf("the first slot got %v", payload)
	}
	b.issue(c, "retry_task", time.Minute, func(n *store.NewCommand) { n.RequiredContract = store.RetryContract("celery") })
	if _, payload := able.command(); payload["action"] != "retry_task" {
		t.Errorf("the able slot got %v", payload)
	}
}

func TestCommandsTimeOut(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	// Nobody is there to take it.
	offline := b.issue(c, "cancel_task", time.Second)
	// Claimed, and then the brain died before it sent: the row is all there is.
	dead := b.newAgent("dead")
	lost := b.issue(dead, "retry_task", time.Second)
	claimed, err := b.store.ClaimCommands(context.Background(), store.ClaimCommandsParams{AgentID: dead.ref.ID, Owner: "gone", Limit: 1})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
	for _, id := range []uuid.UUID{offline.ID, lost.ID} {
		eventually(t, "the command timed out", func() bool { return b.status(id).Status == domain.CommandTimeout })
		if cmd := b.status(id); cmd.Error == nil || *cmd.Error != store.TimeoutMessage {
			t.Errorf("error %v", cmd.Error)
		}
	}
}

func TestLostHintsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	// Every hint is lost: nobody publishes on the bus the brain listens to.
	deaf := bus.NewMemory(nil)
	t.Cleanup(func() { _ = deaf.Close() })
	b := start(t, s, deaf)
	b.project = newProject(t, s, "shop")
	b.bus = bus.NewMemory(nil)
	t.Cleanup(func() { _ = b.bus.Close() })
	c := b.newAgent("web")
	p := b.connect(c, "bare-1-1")
	p.wantOpen()
	cmd := b.issue(c, "cancel_task", time.Minute)
	if id, _ := p.command(); id != cmd.ID.String() {
		t.Errorf("got %s", id)
	}
	err := s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RevokeAgent(ctx, c.ref.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.wantClose(4003)
}

func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			var s *store.Store
			if engine == "sqlite" {
				s = storetest.SQLite(t)
			} else {
				s = storetest.Postgres(t)
			}
			shared := bus.NewMemory(nil)
			t.Cleanup(func() { _ = shared.Close() })
			one := start(t, s, shared, func(c *ingest.Config) { c.Owner, c.SlotCap = "one", 2 })
			one.project = newProject(t, s, "shop")
			two := start(t, s, shared, func(c *ingest.Config) { c.Owner, c.SlotCap = "two", 2 })
			two.project = one.project
			c := one.newAgent("web")

			// The newer connection of a slot wins, on whatever replica.
			p := one.connect(c, "bare-1-1")
			q := two.connect(c, "bare-1-1")
			p.wantClose(4002)
			q.wantOpen()
			// The cap counts on both.
			one.connect(c, "bare-2-2").wantOpen()
			r := two.dial(c.token)
			r.send(hello("bare-3-3"))
			r.wantClose(4429)
			// The old connection's end did not free the slot the new one holds.
			slots, err := s.AgentSlots(context.Background(), c.ref.ID)
			if err != nil || len(slots) != 2 {
				t.Errorf("slots %v %v", slots, err)
			}
			// Revocation reaches both.
			err = s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.RevokeAgent(ctx, c.ref.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			q.wantClose(4003)
		})
	}
}

func TestSlotTakenWithoutHints(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	lease := func(owner string) func(c *ingest.Config) {
		return func(c *ingest.Config) { c.Owner, c.SlotLease = owner, 300*time.Millisecond }
	}
	buses := []*bus.Memory{bus.NewMemory(nil), bus.NewMemory(nil)}
	t.Cleanup(func() { _, _ = buses[0].Close(), buses[1].Close() })
	one, two := start(t, s, buses[0], lease("one")), start(t, s, buses[1], lease("two"))
	one.project = newProject(t, s, "shop")
	two.project = one.project
	c := one.newAgent("web")
	p := one.connect(c, "bare-1-1")
	q := two.connect(c, "bare-1-1")
	p.wantClose(4002)
	q.wantOpen()
}

func TestShutdownAcksWhatItReceived(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("web")
	p := b.connect(c, "bare-1-1")
	const n = 200
	for i := range n {
		p.sendSigned("ev_"+uuid.NewString(), wire.TypeEventBatch, batch(event("task.received", "t"+uuid.NewString(), time.Now(), map[string]any{"i": i})))
	}
	p.waitAcks(t, 1)
	go b.stop()
	acked := 1 + p.waitAcks(t, n-1)
	code, _ := p.closeCode()
	if code != 1012 {
		t.Errorf("closed with %d, want 1012", code)
	}
	counts, err := b.store.TaskCounts(context.Background(), b.project.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := int(counts[domain.StateReceived]); got < acked {
		t.Errorf("%d acks but %d tasks", acked, got)
	}
	b.stop()
	a, err := b.store.AgentSlots(context.Background(), c.ref.ID)
	if err != nil || len(a) != 0 {
		t.Errorf("slots %v %v are left", a, err)
	}
}

// waitAcks reads up to n acks and returns how many came before the connection ended.
func (p *peer) waitAcks(t *testing.T, n int) int {
	t.Helper()
	for i := range n {
		frame, err := p.read(patience)
		if err != nil {
			// The error is permanent; closeCode sees it again.
			return i
		}
		if frame["type"] != "event_batch_ack" {
			t.Fatalf("got %v", frame)
		}
	}
	return n
}

func TestPreviousMasterStillFindsTokens(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	m := bus.NewMemory(nil)
	t.Cleanup(func() { _ = m.Close() })
	b := start(t, s, m)
	b.project = newProject(t, s, "shop")
	token := "token-of-old"
	err := s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateAgent(ctx, b.project.ID, "old", wire.TokenHash(previous, token))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p := b.dial(token)
	p.send(hello("bare-1-1"))
	if frame := p.recv(); frame["type"] != "hello_ack" {
		t.Errorf("got %v", frame)
	}
}
