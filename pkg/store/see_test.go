// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// Every agent of a Celery cluster may tell of all its queues and workers, in any order, to any replica, while the counters of the
// same workers are merged: nobody waits in a circle. A circle would show as a transaction to be tried again, after the server's
// deadlock time-out of a second.
func TestContendedQueuesAndWorkersOnPostgres(t *testing.T) {
	t.Parallel()
	const rows, rounds = 40, 12
	// Seconds pass with every look at the clock: queues and workers are due to be written again each time.
	var seconds atomic.Int64
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(seconds.Add(6)) * time.Second) }
	var url string
	s := storetest.Postgres(t, func(o *store.Options) { o.Now, url = clock, o.URL })
	other, err := store.Open(t.Context(), store.Options{URL: url, AuditKey: storetest.AuditKey, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	ref := storetest.Agent(t, s)
	var writers, folder sync.WaitGroup
	for i, to := range []*store.Store{s, other, s, other} {
		writers.Go(func() {
			for round := range rounds {
				it := item(ref)
				it.Heartbeat = &store.HeartbeatInput{}
				for j := range rows {
					// Every writer in an order of its own.
					n := (j*(2*i+3) + round) % rows
					worker, queue := fmt.Sprintf("w%d@host", n), fmt.Sprintf("q%d", n)
					it.Events = append(it.Events, event(domain.KindStarted, fmt.Sprintf("t%d-%d-%d", i, round, j), start, func(e *store.IngestEvent) {
						e.Worker, e.Queue = worker, queue
					}))
					it.Heartbeat.Depths = append(it.Heartbeat.Depths, store.QueueDepth{Engine: "celery", Name: queue, Pending: int64(i + 4*round)})
					it.Heartbeat.Workers = append(it.Heartbeat.Workers, store.WorkerReport{
						Engine: "celery", Name: worker, Queues: []string{queue}, Metadata: fmt.Sprintf(`{"stats":{"by":%d}}`, i+4*round),
					})
				}
				if err := to.Ingest(t.Context(), []*store.IngestItem{it}); err != nil {
					t.Errorf("writer %d, round %d: %v", i, round, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	folder.Go(func() {
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			if _, err := s.FoldDeltas(t.Context(), 1000); err != nil {
				t.Errorf("merge counters: %v", err)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	folder.Wait()
	if t.Failed() {
		return
	}
	for name, each := range map[string]*store.Store{"one": s, "other": other} {
		if n := each.TxRetriesForTest(); n != 0 {
			t.Errorf("%s: %d transactions had to be tried again", name, n)
		}
	}
	seen := storetest.Seen(t, s)
	if len(seen.Workers) != rows || len(seen.Queues) != rows {
		t.Errorf("%d workers and %d queues, want %d each", len(seen.Workers), len(seen.Queues), rows)
	}
	storetest.CompareCounters(t, s)
}
