// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// Thirty-two connections on two replicas tell of the same tasks at once, each in an order of its own and with what the
// others say too: no transaction fails, not even to be tried again, each event is stored once, every task has its last
// event's outcome, and the counters, which follow each change of a row, equal a recount: no change was lost.
func TestContendedTasksOnPostgres(t *testing.T) {
	t.Parallel()
	const connections, tasks = 32, 60
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	var url string
	s := storetest.Postgres(t, func(o *store.Options) { url, o.ReadConns = o.URL, 20 })
	other, err := store.Open(t.Context(), store.Options{URL: url, AuditKey: storetest.AuditKey, ReadConns: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	ref := storetest.Agent(t, s)

	for round := range rounds {
		// What happens to a task: its kinds at distinct seconds, the last one decides.
		life := []domain.EventKind{domain.KindReceived, domain.KindStarted, domain.KindRetried, domain.KindStarted, domain.KindSucceeded}
		name := func(task int) string { return fmt.Sprintf("r%d-%04d", round, task) }
		told := func(task, step int) store.IngestEvent {
			return event(life[step], name(task), base.Add(time.Duration(step)*time.Second), func(e *store.IngestEvent) { e.Worker = "" })
		}
		var wg sync.WaitGroup
		start := make(chan struct{})
		var mu sync.Mutex
		accepted := 0
		for c := range connections {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(c))) //nolint:gosec // reproducible orders
				// Every connection tells three of the five steps of each task, so that all are told about 19 times.
				var events []store.IngestEvent
				for task := range tasks {
					for _, step := range r.Perm(len(life))[:3] {
						events = append(events, told(task, step))
					}
				}
				r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				<-start
				to := s
				if c%2 == 1 {
					to = other
				}
				for len(events) > 0 {
					n := min(len(events), 1+r.IntN(40))
					it := item(ref, events[:n]...)
					if err := to.Ingest(t.Context(), []*store.IngestItem{it}); err != nil {
						t.Errorf("connection %d: %v", c, err)
						return
					}
					mu.Lock()
					accepted += it.Accepted
					mu.Unlock()
					events = events[n:]
				}
			})
		}
		close(start)
		wg.Wait()
		if want := tasks * len(life); accepted != want {
			t.Errorf("round %d: %d events accepted, want each of %d once", round, accepted, want)
		}
		for task := range tasks {
			got, err := s.TaskByIdentity(t.Context(), ref.ProjectID, "celery", name(task))
			if err != nil {
				t.Fatal(err)
			}
			// What came after the end is refused by the state guard, so which of the earlier times a row has depends on the
			// order; the end does not.
			if got.State != int64(domain.StateSuccess) || got.FinishedAt == nil || !got.FinishedAt.Equal(base.Add(4*time.Second)) ||
				got.Result == nil || got.RuntimeMS == nil || got.Name != "shop.pay" {
				t.Errorf("round %d: task %s ended as %q in state %d, finished %v", round, name(task), got.Name, got.State, got.FinishedAt)
			}
		}
	}
	counts := storetest.Recount(t, s)
	if want := int64(rounds * tasks); counts.Tasks != want || counts.Events != 5*want {
		t.Errorf("%d tasks and %d events, want %d and %d", counts.Tasks, counts.Events, want, 5*want)
	}
	for {
		n, err := s.FoldDeltas(t.Context(), 50)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	storetest.CompareCounters(t, s)
}
