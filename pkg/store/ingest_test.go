// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

var base = time.Now().UTC().Truncate(time.Second).Add(-time.Hour)

// event builds a life-cycle event as the decoder would.
func event(kind domain.EventKind, task string, at time.Time, change ...func(*store.IngestEvent)) store.IngestEvent {
	e := store.IngestEvent{
		ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: task, At: at,
		TaskName: "shop.pay", Queue: "mail", Worker: "w1@host", Rest: []byte(`{}`),
	}
	switch kind {
	case domain.KindReceived:
		e.Args, e.Kwargs = new(`[1,2]`), new(`{"a":"b"}`)
	case domain.KindSucceeded:
		ms := at.UnixNano()%997 + 1
		e.Result, e.RuntimeMS = new(`"5"`), &ms
		e.Rest = fmt.Appendf(nil, `{"result":"5","runtime_ms":%d}`, ms)
	case domain.KindFailed:
		e.Exception, e.Traceback = new("ValueError"), new("Traceback (most recent call last):\n  File \"/a/b.py\", line 3, in f\nValueError: x\n")
	}
	for _, f := range change {
		f(&e)
	}
	return e
}

func item(ref store.AgentRef, events ...store.IngestEvent) *store.IngestItem {
	return &store.IngestItem{Agent: ref, WorkerID: "bare-1-1", At: time.Now(), Events: events}
}

func ingest(t *testing.T, s *store.Store, items ...*store.IngestItem) {
	t.Helper()
	if err := s.Ingest(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

func TestIngestStoresOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		first := item(ref, event(domain.KindReceived, "t1", base.Add(123456*time.Microsecond)), event(domain.KindStarted, "t1", base.Add(time.Second)))
		ingest(t, s, first)
		if first.Accepted != 2 || !first.Changed {
			t.Fatalf("accepted %d, changed %v", first.Accepted, first.Changed)
		}
		again := item(ref, event(domain.KindReceived, "t1", base.Add(999*time.Millisecond)),
			event(domain.KindSucceeded, "t1", base.Add(2*time.Second)), event(domain.KindSucceeded, "t1", base.Add(2*time.Second)))
		ingest(t, s, again)
		if again.Accepted != 1 {
			t.Errorf("accepted %d of a resent, a new and a doubled event, want 1", again.Accepted)
		}
		loose := item(ref, store.IngestEvent{ID: uuid.NewString(), KindName: "worker.online", Engine: "celery", At: base, Worker: "w", Rest: []byte(`{}`)},
			store.IngestEvent{ID: "x", KindName: "task.sent", Engine: "celery", TaskID: "t9", At: base, Rest: []byte(`{}`)},
			store.IngestEvent{ID: "y", KindName: "task.sent", Engine: "celery", TaskID: "t9", At: base, Rest: []byte(`{}`)})
		ingest(t, s, loose)
		if loose.Accepted != 2 {
			t.Errorf("accepted %d loose events, want 2", loose.Accepted)
		}
		counts := storetest.Recount(t, s)
		if got := counts.Tasks; got != 1 {
			t.Errorf("%d task rows, want 1", got)
		}
		if counts.Events != 3 {
			t.Errorf("%d events, want 3", counts.Events)
		}
	})
}

// Whatever happened, the payload of a stored event can be given back as it came.
func TestEventPayloadRoundTrip(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		want := make(map[string]map[string]any)
		send := func(e store.IngestEvent, data string) {
			t.Helper()
			var m map[string]any
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("%s@%d", e.Kind, e.At.Unix())] = m
			ingest(t, s, item(ref, e))
		}
		bare := func(kind domain.EventKind, sec int, change func(e *store.IngestEvent)) store.IngestEvent {
			e := store.IngestEvent{
				ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: "abcdefgh-1",
				At: base.Add(time.Duration(sec) * time.Second), Rest: []byte(`{}`),
			}
			change(&e)
			return e
		}
		send(bare(domain.KindReceived, 0, func(e *store.IngestEvent) {
			e.TaskName, e.Queue, e.Args, e.Kwargs = "a.b", "q1", new(`[1]`), new(`{}`)
			e.Nulls = store.MemberWorker
			e.Rest = []byte(`{"root_task_id":"r"}`)
		}), `{"task_name":"a.b","queue":"q1","args":[1],"kwargs":{},"worker":null,"root_task_id":"r"}`)
		send(bare(domain.KindStarted, 1, func(e *store.IngestEvent) {
			e.TaskName, e.Worker = "<unknown:abcdefgh>", "w@h"
			e.Nulls = store.MemberQueue | store.MemberArgs | store.MemberKwargs
		}), `{"task_name":"<unknown:abcdefgh>","queue":null,"worker":"w@h","args":null,"kwargs":null}`)
		// A second delivery with other arguments and another queue: the first event keeps what it said.
		send(bare(domain.KindReceived, 2, func(e *store.IngestEvent) {
			e.TaskName, e.Queue, e.Args, e.Kwargs = "a.c", "q2", new(`[2]`), new(`{"x":"ü"}`)
		}), `{"task_name":"a.c","queue":"q2","args":[2],"kwargs":{"x":"ü"}}`)

		for _, e := range storetest.Events(t, s) {
			var got map[string]any
			if err := json.Unmarshal(e.Payload, &got); err != nil {
				t.Fatalf("%s: %v in %s", e.Kind, err, e.Payload)
			}
			k := fmt.Sprintf("%s@%d", e.Kind, e.At.Unix())
			if !reflect.DeepEqual(got, want[k]) {
				t.Errorf("%s:\n got %v\nwant %v", k, got, want[k])
			}
		}
	})
}

// After any history of duplicates, late events, changes of outcome and deletes, every counter and
// sketch equals a recount of the rows.
func TestCountersEqualRecount(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		r := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // a reproducible history
		kinds := []domain.EventKind{
			domain.KindReceived, domain.KindStarted, domain.KindSucceeded, domain.KindFailed, domain.KindRetried, domain.KindRevoked,
		}
		for round := range 40 {
			var items []*store.IngestItem
			for range 1 + r.IntN(6) {
				var events []store.IngestEvent
				for range 1 + r.IntN(5) {
					events = append(events, event(kinds[r.IntN(len(kinds))], fmt.Sprintf("t%d", r.IntN(25)),
						base.Add(time.Duration(r.IntN(300))*time.Second), func(e *store.IngestEvent) {
							e.TaskName = []string{"a", "b", "<unknown:x>", ""}[r.IntN(4)]
							e.Queue = []string{"q", "p", ""}[r.IntN(3)]
							e.Worker = []string{"w1", "w2", ""}[r.IntN(3)]
							if e.Exception != nil {
								e.Exception = new(fmt.Sprintf("E%d", r.IntN(3)))
							}
						}))
				}
				items = append(items, item(ref, events...))
			}
			ingest(t, s, items...)
			if round%10 == 9 {
				storetest.DeleteSome(t, s, ref.ProjectID, 4)
			}
		}
		for {
			n, err := s.FoldDeltas(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		storetest.CompareCounters(t, s)
	})
}

func TestIngestTellsOfQueuesWorkersAndAgents(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		one, two := int64(1), int64(2)
		beat := &store.IngestItem{Agent: ref, WorkerID: "bare-1-1", At: time.Now(), Heartbeat: &store.HeartbeatInput{
			Depths:  []store.QueueDepth{{Engine: "rq", Name: "default", Pending: 7, BrokerType: "redis"}},
			Workers: []store.WorkerReport{{Engine: "celery", Name: "w@h", Hostname: "w@h", PID: &one, Concurrency: &two, Queues: []string{"mail"}, Metadata: `{"stats":{"a":1}}`}},
		}}
		ingest(t, s, beat)
		if !beat.AgentTouched {
			t.Error("the agent was not marked online")
		}
		beat.Heartbeat.Depths[0].Pending = 3
		beat.Heartbeat.Workers[0].Metadata = `{"stats":{"b":2}}`
		beat.At = beat.At.Add(time.Second)
		ingest(t, s, beat)
		seen := storetest.Seen(t, s)
		if seen.Queues["rq/default"] != 3 {
			t.Errorf("queues %v", seen.Queues)
		}
		if _, ok := seen.Queues["celery/mail"]; !ok {
			t.Errorf("a worker's queue is missing: %v", seen.Queues)
		}
		if got := seen.Workers["celery/w@h"]; got != `{"stats":{"a":1,"b":2}}` {
			t.Errorf("worker metadata %s", got)
		}
		if seen.Agents[ref.ID] != "online" {
			t.Errorf("agent state %v", seen.Agents)
		}

		// A report that does not tell its queues leaves those of the last one; one that tells none has none.
		for i, step := range []struct {
			queues []string
			want   string
		}{{nil, `["mail"]`}, {[]string{}, "[]"}} {
			beat.Heartbeat.Workers[0].Queues = step.queues
			beat.Heartbeat.Workers[0].Metadata = fmt.Sprintf(`{"stats":{"b":%d}}`, 3+i)
			beat.At = beat.At.Add(time.Second)
			ingest(t, s, beat)
			ws, err := s.ScrapedWorkers(t.Context(), ref.ProjectID, 10)
			if err != nil || len(ws) != 1 || ws[0].Queues != step.want {
				t.Errorf("queues after %v: %v, %v", step.queues, ws, err)
			}
		}
	})
}

// A heartbeat may be a little older than an event that names the worker: another agent's clock, or another
// order of arrival. What it tells of the worker must not be lost for that.
func TestReportOfWorkerWithNewerEvent(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		now := time.Now()
		ingest(t, s, item(ref, event(domain.KindStarted, "t1", now)))
		ingest(t, s, &store.IngestItem{Agent: ref, WorkerID: "bare-1-1", At: now.Add(-time.Second), Heartbeat: &store.HeartbeatInput{
			Workers: []store.WorkerReport{{Engine: "celery", Name: "w1@host", Queues: []string{"mail"}, Metadata: `{"stats":{"a":1}}`}},
		}})
		if got := storetest.Seen(t, s).Workers["celery/w1@host"]; got != `{"stats":{"a":1}}` {
			t.Errorf("worker metadata %s", got)
		}
	})
}

func BenchmarkIngestSQLite(b *testing.B) {
	benchmarkIngest(b, storetest.SQLite)
}

func BenchmarkIngestPostgres(b *testing.B) {
	benchmarkIngest(b, storetest.Postgres)
}

func benchmarkIngest(b *testing.B, open func(testing.TB, ...func(*store.Options)) *store.Store) {
	b.Helper()
	for _, size := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("frames=%d", size), func(b *testing.B) {
			s := open(b)
			ref := storetest.Agent(b, s)
			ctx := context.Background()
			n := 0
			kinds := []domain.EventKind{domain.KindReceived, domain.KindStarted, domain.KindSucceeded}
			b.ReportAllocs()
			start := time.Now().Add(-time.Minute)
			for b.Loop() {
				items := make([]*store.IngestItem, size)
				for i := range items {
					// Three events a task, the second and third some hundred frames after the first.
					task := n / 3
					items[i] = item(ref, event(kinds[n%3], fmt.Sprintf("bench-task-%032d", task), start.Add(time.Duration(n)*time.Millisecond)))
					n++
				}
				if err := s.Ingest(ctx, items); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
