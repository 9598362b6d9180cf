// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"context"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
)

func (b *brain) agentState(c credentials) string {
	b.t.Helper()
	a, err := b.store.AgentByUID(context.Background(), c.ref.ProjectID, c.ref.UID)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.State
}

func TestSilentAgentsGoOfflineAndComeBack(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingestConfig) { c.HealthSweep, c.OfflineAfter = 30*time.Millisecond, 200*time.Millisecond })
	c := b.newAgent("web")
	p := b.connect(c, "bare-1-1")
	p.wantOpen()
	eventually(t, "the silent agent is offline", func() bool { return b.agentState(c) == "offline" })
	p.sendSigned("hb_1", wire.TypeHeartbeat, `{}`)
	eventually(t, "a heartbeat brings it back", func() bool { return b.agentState(c) == "online" })
	_ = p.ws.Close()
	eventually(t, "the agent without sockets is offline", func() bool { return b.agentState(c) == "offline" })
}

func TestSlotsOfADeadReplicaEnd(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingestConfig) { c.HealthSweep = 30 * time.Millisecond })
	c := b.newAgent("web")
	// A replica that was killed leaves its row behind.
	if _, err := b.store.ConnectAgent(context.Background(), store.Connect{
		Agent: c.ref, ProtocolVersion: "2", Engines: "[]", Schedulers: "[]", Capabilities: "{}", RuntimeFts: "[]",
		WorkerID: "bare-1-1", Owner: "killed", Lease: 50 * time.Millisecond,
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its slot ends with the lease", func() bool {
		slots, err := b.store.AgentSlots(context.Background(), c.ref.ID)
		return err == nil && len(slots) == 0
	})
}

func TestStuckTasksAreReconciled(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := bus.NewMemory(nil)
		t.Cleanup(func() { _ = m.Close() })
		b := start(t, s, m, func(c *ingestConfig) {
			c.HealthSweep, c.ReconcileSweep, c.ReconcileAfter = 30*time.Millisecond, time.Second, time.Minute
			c.OfflineAfter = time.Hour
		})
		b.project = newProject(t, s, "shop")
		c := b.newAgent("web")
		old := time.Now().Add(-10 * time.Minute)
		if err := s.Ingest(context.Background(), []*store.IngestItem{{Agent: c.ref, At: time.Now(), Events: []store.IngestEvent{
			{ID: "a", Kind: domain.KindStarted, KindName: "task.started", Engine: "celery", TaskID: "stuck", At: old, TaskName: "x.y", Rest: []byte("{}")},
		}}}); err != nil {
			t.Fatal(err)
		}
		p := b.connect(c, "bare-1-1")
		p.wantOpen()
		id, payload := p.command()
		if payload["action"] != "reconcile_task" || payload["target"].(map[string]any)["id"] != "stuck" {
			t.Fatalf("got %v", payload)
		}
		p.sendSigned(id, wire.TypeCommandResult, `{"status":"success","result":{"task_id":"stuck","engine_state":"failure","finished_at":"`+
			old.Add(time.Second).UTC().Format(time.RFC3339)+`","exception":"ValueError: lost"},"error":null}`)
		k := &probeCase{b: b, c: c, t: t}
		eventually(t, "the task failed", func() bool { return domain.TaskState(k.task("stuck").State) == domain.StateFailure })
		task := k.task("stuck")
		if task.Exception == nil || *task.Exception != "ValueError: lost" || task.FinishedAt == nil || task.FinishedAt.Sub(old) > 2*time.Second {
			t.Errorf("exception %v, finished %v", task.Exception, task.FinishedAt)
		}
		// On PostgreSQL the holder of the upkeep lease folds the changes in a moment.
		eventually(t, "counters equal a recount", func() bool {
			faults, err := s.CheckCounters(context.Background(), store.CountWindow{})
			return err == nil && len(faults) == 0
		})
	})
}

// TestSweepIsTakenOver has a dead replica hold the lease of the sweep: nobody sweeps before it has run out, then the next one
// does.
func TestSweepIsTakenOver(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	const lease = time.Second
	began := time.Now()
	if _, ok, err := s.TakeLease(t.Context(), "ingest.sweep", "dead", lease); err != nil || !ok {
		t.Fatal(ok, err)
	}
	m := bus.NewMemory(nil)
	t.Cleanup(func() { _ = m.Close() })
	b := start(t, s, m, func(c *ingestConfig) { c.HealthSweep, c.OfflineAfter = 30*time.Millisecond, 100*time.Millisecond })
	b.project = newProject(t, s, "shop")
	c := b.newAgent("web")
	b.connect(c, "bare-1-1").wantOpen()
	eventually(t, "the silent agent is offline", func() bool { return b.agentState(c) == "offline" })
	if took := time.Since(began); took < lease {
		t.Errorf("swept after %s, while the lease of another held for %s", took, lease)
	}
	// Who died comes back to a lease that is somebody else's.
	if _, ok, err := s.TakeLease(t.Context(), "ingest.sweep", "dead", lease); err != nil || ok {
		t.Errorf("the former holder has the lease again: %t, %v", ok, err)
	}
}
