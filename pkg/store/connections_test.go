// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func hello(ref store.AgentRef, owner, worker string) store.Connect {
	return store.Connect{
		Agent: ref, ProtocolVersion: "2", AgentVersion: "1.13.0", Framework: "bare", Engines: `["celery"]`, Schedulers: "[]", Capabilities: "{}",
		RuntimeFts: "[]", HostName: "host", WorkerID: worker, Owner: owner, Lease: 30 * time.Second, Cap: 3,
	}
}

// connectedAs are the results of a batch as text: the generation and from whom the slot was taken, or the refusal.
func connectedAs(list []store.Connected) []string {
	var out []string
	for _, c := range list {
		switch {
		case errors.Is(c.Err, store.ErrSlotsFull):
			out = append(out, "full")
		case errors.Is(c.Err, store.ErrAgentBarred):
			out = append(out, "barred")
		case c.Err != nil:
			out = append(out, c.Err.Error())
		default:
			out = append(out, fmt.Sprintf("%s %d from %q", c.Slot.WorkerID, c.Slot.Generation, c.Slot.TakenFrom))
		}
	}
	return out
}

func wantConnected(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Processes admitted together get what they would have got one after the other.
func TestConnectAgents(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		a, b, revoked := storetest.Agent(t, s), storetest.Agent(t, s), storetest.Agent(t, s)
		if err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.RevokeAgent(ctx, revoked.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		wantConnected(t, "the first time", connectedAs(s.ConnectAgents(t.Context(), []store.Connect{hello(b, "one", "w1"), hello(a, "one", "w2"), hello(a, "one", "w1")})),
			[]string{`w1 1 from ""`, `w2 1 from ""`, `w1 1 from ""`})
		c.at = c.at.Add(time.Second)
		wantConnected(t, "on another replica", connectedAs(s.ConnectAgents(t.Context(), []store.Connect{hello(a, "two", "w1"), hello(b, "two", "w1")})),
			[]string{`w1 2 from "one"`, `w1 2 from "one"`})
		wantConnected(t, "the same twice", connectedAs(s.ConnectAgents(t.Context(), []store.Connect{hello(b, "two", "w1"), hello(b, "two", "w1")})),
			[]string{`w1 3 from "two"`, `w1 4 from "two"`})
		wantConnected(t, "one too many, and one without rights", connectedAs(s.ConnectAgents(t.Context(), []store.Connect{
			hello(a, "one", "w3"), hello(revoked, "one", "w1"), hello(a, "one", "w4"), hello(b, "one", "w2"), hello(a, "one", "w1"),
		})), []string{`w3 1 from ""`, "barred", "full", `w2 1 from ""`, `w1 3 from "two"`})
		slots, err := s.AgentSlots(t.Context(), a.ID)
		if err != nil || len(slots) != 3 {
			t.Errorf("%d live slots of the full agent (%v), want 3", len(slots), err)
		}
		c.at = c.at.Add(time.Minute)
		wantConnected(t, "when the leases ended", connectedAs(s.ConnectAgents(t.Context(), []store.Connect{hello(a, "one", "w4"), hello(a, "one", "w1")})),
			[]string{`w4 1 from ""`, `w1 4 from ""`})
	})
}

// Two replicas admit the same hundred agents again and again, while their heartbeats are stored, their leases renewed and their
// slots released: nobody waits in a circle. A circle would show as a transaction tried again, after the server's
// deadlock time-out of a second.
func TestContendedConnectionsOnPostgres(t *testing.T) {
	t.Parallel()
	const agents, rounds = 100, 8
	var url string
	s := storetest.Postgres(t, func(o *store.Options) { url = o.URL })
	other, err := store.Open(t.Context(), store.Options{URL: url, AuditKey: storetest.AuditKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	refs := make([]store.AgentRef, agents)
	refs[0] = storetest.Agent(t, s)
	if err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for i := 1; i < agents; i++ {
			a, err := tx.CreateAgent(ctx, refs[0].ProjectID, fmt.Sprintf("agent-%d", i), uuid.NewString())
			if err != nil {
				return err
			}
			refs[i] = store.AgentRef{ID: a.ID, ProjectID: refs[0].ProjectID, UID: a.UID, ProjectUID: refs[0].ProjectUID}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, to := range []*store.Store{s, other, s, other} {
		owner := fmt.Sprintf("replica-%d", i)
		wg.Go(func() {
			for round := range rounds {
				list := make([]store.Connect, agents)
				for j := range list {
					// Every replica in an order of its own.
					list[j] = hello(refs[(j*(2*i+3)+round)%agents], owner, "w1")
				}
				for _, c := range to.ConnectAgents(t.Context(), list) {
					if c.Err != nil {
						t.Error(c.Err)
						return
					}
				}
				slots, err := to.RenewSlots(t.Context(), owner, 30*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				for _, slot := range slots[:min(len(slots), 5)] {
					if err := to.ReleaseSlot(t.Context(), owner, slot); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		wg.Go(func() {
			for round := range 2 * rounds {
				items := make([]*store.IngestItem, agents)
				for j := range items {
					items[j] = &store.IngestItem{
						Agent: refs[(j*(2*i+7)+round)%agents], WorkerID: "w1", At: time.Now(), Heartbeat: &store.HeartbeatInput{},
					}
				}
				if err := to.Ingest(t.Context(), items); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for name, each := range map[string]*store.Store{"one": s, "other": other} {
		if n := each.TxRetriesForTest(); n != 0 {
			t.Errorf("%s: %d transactions had to be tried again", name, n)
		}
	}
}
