// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func send(t *testing.T, s *store.Store, item *store.IngestItem) {
	t.Helper()
	if err := s.Ingest(context.Background(), []*store.IngestItem{item}); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := s.FoldDeltas(context.Background(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func taskEvent(kind domain.EventKind, id string, at time.Time) store.IngestEvent {
	return store.IngestEvent{
		ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: id, TaskName: "shop.pay", Queue: "mail",
		Worker: "w1@host", At: at, Rest: []byte("{}"), Priority: domain.PriorityNormal,
	}
}

func TestQueueDepthSamples(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx := context.Background()
		agent := storetest.Agent(t, s)
		start := c.at
		report := func(after time.Duration, depth int64) {
			c.at = start.Add(after)
			send(t, s, &store.IngestItem{Agent: agent, At: c.at, Heartbeat: &store.HeartbeatInput{
				Depths: []store.QueueDepth{{Engine: "celery", Name: "mail", Pending: depth}},
			}})
		}
		report(0, 5)
		report(10*time.Second, 90)
		report(20*time.Second, 40)
		report(70*time.Second, 40)
		report(time.Hour, 1)
		minutes, err := s.QueueDepthSamples(ctx, agent.ProjectID, store.RollupMinute, start, c.at.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		q, err := s.QueueByName(ctx, agent.ProjectID, "celery", "mail")
		if err != nil {
			t.Fatal(err)
		}
		minute := start.Truncate(time.Minute)
		want := []store.DepthSample{
			{At: minute, Depth: 40, Peak: 90}, {At: minute.Add(time.Minute), Depth: 40, Peak: 40}, {At: minute.Add(time.Hour), Depth: 1, Peak: 1},
		}
		same(t, "minutes", minutes[q.ID], want)
		one, err := s.QueueDepthSeries(ctx, q.ID, store.RollupHour, start, c.at.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "hours", one, []store.DepthSample{{At: start.Truncate(time.Hour), Depth: 40, Peak: 90}, {At: c.at.Truncate(time.Hour), Depth: 1, Peak: 1}})

		n, err := s.ExpireQueueDepths(ctx, store.RollupMinute, start.Add(30*time.Minute), 10)
		if err != nil || n != 2 {
			t.Errorf("%d minutes expired, %v; want 2", n, err)
		}
		if n, err := s.ExpireQueueDepths(ctx, store.RollupMinute, start.Add(30*time.Minute), 10); err != nil || n != 0 {
			t.Errorf("then %d minutes expired, %v; want none", n, err)
		}
	})
}

func same(t *testing.T, what string, got, want []store.DepthSample) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range got {
		if !got[i].At.Equal(want[i].At) || got[i].Depth != want[i].Depth || got[i].Peak != want[i].Peak {
			t.Errorf("%s: %v, want %v", what, got[i], want[i])
		}
	}
}

// TestWorkerActivityOfABuffer: an agent that was cut off tells hours within moments, and its worker's
// last event is the newest of them, whatever came a moment before.
func TestWorkerActivityOfABuffer(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		agent := storetest.Agent(t, s)
		newest := c.at.Add(-time.Minute)
		for i, ago := range []time.Duration{5 * time.Hour, 3 * time.Hour, time.Hour, 2 * time.Hour, time.Minute} {
			event := taskEvent(domain.KindStarted, fmt.Sprint(i), c.at.Add(-ago))
			send(t, s, &store.IngestItem{Agent: agent, At: c.at, Events: []store.IngestEvent{event}})
		}
		list, err := s.Workers(context.Background(), agent.ProjectID, 10)
		if err != nil || len(list) != 1 || list[0].LastEventAt == nil || !list[0].LastEventAt.Equal(newest) {
			t.Errorf("workers %+v (%v), want a last event at %v", list, err, newest)
		}
	})
}

func TestWorkerActivity(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx := context.Background()
		agent := storetest.Agent(t, s)
		worker := func() store.WorkerView {
			t.Helper()
			list, err := s.Workers(ctx, agent.ProjectID, 10)
			if err != nil || len(list) != 1 {
				t.Fatalf("workers: %v, %v", list, err)
			}
			return list[0]
		}
		finish := func(id string, after time.Duration) {
			c.at = c.at.Add(after)
			send(t, s, &store.IngestItem{Agent: agent, At: c.at, Events: []store.IngestEvent{
				taskEvent(domain.KindStarted, id, c.at.Add(-time.Second)), taskEvent(domain.KindSucceeded, id, c.at),
			}})
		}
		finish("a", 0)
		finish("b", 10*time.Second)
		event := c.at.Add(-time.Second)
		// A report of the worker tells that it lives, not that it does anything.
		c.at = c.at.Add(time.Minute)
		send(t, s, &store.IngestItem{Agent: agent, At: c.at, Heartbeat: &store.HeartbeatInput{
			Workers: []store.WorkerReport{{Engine: "celery", Name: "w1@host", Queues: []string{"mail"}, Metadata: "{}"}},
		}})
		w := worker()
		if w.LastEventAt == nil || !w.LastEventAt.Equal(event) {
			t.Errorf("last event %v, want %v", w.LastEventAt, event)
		}
		if !w.LastHeartbeat.Equal(c.at) || w.State != "online" {
			t.Errorf("state %s heartbeat %v, want online at %v", w.State, w.LastHeartbeat, c.at)
		}
		// An event from before the report is news of activity all the same, and no step back of the heartbeat.
		late := taskEvent(domain.KindStarted, "c", c.at.Add(-5*time.Second))
		send(t, s, &store.IngestItem{Agent: agent, At: c.at, Events: []store.IngestEvent{late}})
		if w = worker(); !w.LastEventAt.Equal(late.At) || !w.LastHeartbeat.Equal(c.at) {
			t.Errorf("last event %v and heartbeat %v, want %v and %v", w.LastEventAt, w.LastHeartbeat, late.At, c.at)
		}
		if rate, over := s.WorkerRate(&w); rate*over.Minutes() < 1.99 || rate*over.Minutes() > 2.01 {
			t.Errorf("%v a minute over %v, want 2 tasks", rate, over)
		}
		finish("d", 5*time.Minute)
		if w = worker(); w.RateN != 1 || w.RateBefore != 2 {
			t.Errorf("counted %d and %d before, want 1 and 2", w.RateN, w.RateBefore)
		}
		c.at = c.at.Add(11 * time.Minute)
		if rate, _ := s.WorkerRate(&w); rate != 0 {
			t.Errorf("%v a minute long after the last task", rate)
		}
		agents, err := s.Agents(ctx, agent.ProjectID, 10)
		if err != nil || agents[0].LastEventAt == nil {
			t.Fatalf("agents %v, %v", agents, err)
		}

		running, err := s.RunningTasks(ctx, agent.ProjectID, "celery", "w1@host", 10)
		if err != nil || len(running) != 1 || running[0].TaskID != "c" {
			t.Errorf("running tasks %v, %v; want c", running, err)
		}
		if running, err := s.RunningTasks(ctx, agent.ProjectID, "celery", "nobody", 10); err != nil || len(running) != 0 {
			t.Errorf("running tasks of nobody: %v, %v", running, err)
		}
		totals, err := s.SumsByName(ctx, store.SumQuery{ProjectID: agent.ProjectID, From: event.Add(-time.Hour), To: c.at, By: store.ByQueue})
		if sum := totals["mail"]; err != nil || sum == nil || sum.Succeeded != 3 || sum.Started != 4 || sum.Wait() != nil {
			t.Errorf("totals %v, %v", totals, err)
		}
	})
}

func TestLatestAgentStatus(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		agent := storetest.Agent(t, s)
		for i, worker := range []string{"one", "two", "one"} {
			c.at = c.at.Add(time.Second)
			send(t, s, &store.IngestItem{Agent: agent, WorkerID: worker, At: c.at, Status: []byte(`{"buffer_depth":` + string(rune('0'+i)) + `}`)})
		}
		latest, err := s.LatestAgentStatus(context.Background(), agent.ProjectID)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range latest[agent.ID] {
			got[r.WorkerID] = r.Payload
		}
		if len(got) != 2 || got["one"] != `{"buffer_depth":2}` || got["two"] != `{"buffer_depth":1}` {
			t.Errorf("latest %v", got)
		}
	})
}

// TestRepeatedReportsAreRare checks that an agent's report is kept when it tells something new, and every five minutes.
func TestRepeatedReportsAreRare(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		agent := storetest.Agent(t, s)
		want := int64(0)
		report := func(worker string, key uint64, kept bool) {
			t.Helper()
			c.at = c.at.Add(10 * time.Second)
			send(t, s, &store.IngestItem{Agent: agent, WorkerID: worker, At: c.at, Status: []byte(`{}`), StatusKey: key})
			if kept {
				want++
			}
			rows, err := s.AgentStatuses(t.Context(), agent.ID, 1000)
			if err != nil || int64(len(rows)) != want {
				t.Fatalf("%d reports are kept, %v; want %d", len(rows), err, want)
			}
		}
		report("one", 7, true)
		report("two", 7, true)
		for range 28 {
			report("one", 7, false)
		}
		report("one", 8, true)
		report("one", 7, true)
		for range 29 {
			report("one", 7, false)
		}
		report("one", 7, true)
		report("one", 0, true)
	})
}
