// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

var roomy = store.TotalBounds{Series: 1000, Exceptions: 100}

func total(project int64, worker, name string, kind store.TotalKind, n int64) store.TaskTotal {
	return store.TaskTotal{TotalKey: store.TotalKey{ProjectID: project, Engine: "celery", Worker: worker, Name: name, Queue: "mail", Kind: kind}, N: n}
}

func TestTaskTotals(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		ref := storetest.Agent(t, s)
		failed := total(ref.ProjectID, "w1", "a", store.TotalFailed, 2)
		failed.Exception = "ValueError"
		done := total(ref.ProjectID, "w1", "a", store.TotalSucceeded, 3)
		done.Bucket, done.RuntimeMS = store.TotalBucket(new(int64(70))), 210
		held := total(ref.ProjectID, "w1", "a", store.TotalHeld, 2)
		held.RuntimeMS = 40
		rq := total(ref.ProjectID, "w2", "b", store.TotalStarted, 1)
		rq.Engine = "rq"
		for range 2 {
			if other, err := s.AddTaskTotals(ctx, []store.TaskTotal{failed, done, held, rq}, roomy, &store.TotalsKnown{}); err != nil || other != 0 {
				t.Fatal(other, err)
			}
		}
		got, err := s.TaskTotals(ctx, ref.ProjectID, "celery", 100)
		if err != nil {
			t.Fatal(err)
		}
		failed.N, done.N, done.RuntimeMS, held.N = 4, 6, 420, 4
		if want := []store.TaskTotal{done, failed, held}; !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, err := s.TaskTotals(ctx, ref.ProjectID, "", 100); err != nil || len(got) != 4 {
			t.Errorf("all engines: %d series, %v", len(got), err)
		}
		if got, err := s.TaskTotals(ctx, ref.ProjectID, "huey", 100); err != nil || len(got) != 0 {
			t.Errorf("an engine nobody uses: %v, %v", got, err)
		}
	})
}

// Whatever names agents invent, a project has a bounded number of series, and nothing goes uncounted.
func TestTaskTotalsAreBounded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		bounds := store.TotalBounds{Series: 5, Exceptions: 3}
		const writers, names = 3, 20
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range names {
					f := total(ref.ProjectID, "w", fmt.Sprintf("task-%d-%d", w, i), store.TotalFailed, 1)
					f.Exception = fmt.Sprintf("Error%d", i)
					for {
						_, err := s.AddTaskTotals(context.Background(), []store.TaskTotal{f}, bounds, &store.TotalsKnown{})
						if err == nil {
							break
						}
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		got, err := s.TaskTotals(t.Context(), ref.ProjectID, "celery", 1000)
		if err != nil {
			t.Fatal(err)
		}
		n, series, exceptions := int64(0), map[string]bool{}, map[string]bool{}
		for _, v := range got {
			n += v.N
			series[v.Name] = true
			exceptions[v.Exception] = true
		}
		if n != writers*names {
			t.Errorf("counted %d of %d", n, writers*names)
		}
		// Each writer may have added one more in the moment that the bound was reached; and there are the others.
		if most := bounds.Series + writers; len(series) > most || !series[store.TotalOther] {
			t.Errorf("%d names, want at most %d with %q among them", len(series), most, store.TotalOther)
		}
		if most := bounds.Exceptions + writers; len(exceptions) > most || !exceptions[store.TotalOther] {
			t.Errorf("%d exceptions, want at most %d with %q among them", len(exceptions), most, store.TotalOther)
		}
	})
}

func TestTaskTotalsOfGoneWorkersExpire(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		ref := storetest.Agent(t, s)
		add := []store.TaskTotal{
			total(ref.ProjectID, "alive", "a", store.TotalStarted, 1), total(ref.ProjectID, "gone", "a", store.TotalStarted, 1),
			total(ref.ProjectID, "", "a", store.TotalSent, 1),
		}
		if _, err := s.AddTaskTotals(ctx, add, roomy, &store.TotalsKnown{}); err != nil {
			t.Fatal(err)
		}
		workers := func() (list []string) {
			got, err := s.TaskTotals(ctx, ref.ProjectID, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range got {
				list = append(list, v.Worker)
			}
			slices.Sort(list)
			return list
		}
		now := s.Now()
		if n, err := s.ExpireTaskTotals(ctx, now.Add(-time.Hour), now.Add(-time.Hour)); err != nil || n != 0 {
			t.Fatalf("nothing is old: %d rows, %v", n, err)
		}
		// After all was written; one worker is heard of later.
		since := s.Now()
		ingest(t, s, item(ref, event(domain.KindStarted, "1", s.Now(), func(e *store.IngestEvent) { e.Worker = "alive" })))
		if _, err := s.ExpireTaskTotals(ctx, since, now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := workers(); !slices.Equal(got, []string{"", "alive"}) {
			t.Errorf("after workers fell silent: %q", got)
		}
		if _, err := s.ExpireTaskTotals(ctx, since, since); err != nil {
			t.Fatal(err)
		}
		if got := workers(); len(got) != 0 {
			t.Errorf("after series went out of use: %q", got)
		}
	})
}

// What an agent leaves out of an event is told from the task's row.
func TestIngestTellsOfTheTask(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		at := s.Now().Add(-time.Minute).Truncate(time.Second)
		received := item(ref, event(domain.KindReceived, "1", at, func(e *store.IngestEvent) { e.TaskName, e.Queue, e.Worker = "mail.send", "mail", "" }))
		ingest(t, s, received)
		rest := item(ref,
			event(domain.KindStarted, "1", at.Add(2*time.Second), func(e *store.IngestEvent) { e.TaskName, e.Queue, e.Worker = "<unknown:1>", "", "w" }),
			event(domain.KindSucceeded, "1", at.Add(5*time.Second), func(e *store.IngestEvent) {
				e.TaskName, e.Queue, e.Worker, e.RuntimeMS = "<unknown:1>", "", "", nil
			}))
		ingest(t, s, rest)
		want := []store.TaskFacts{
			{Name: "mail.send", Queue: "mail", Held: 1},
			{Name: "mail.send", Queue: "mail", Worker: "w", Held: -1, HeldMS: 2000},
			{Name: "mail.send", Queue: "mail", Worker: "w", RuntimeMS: new(int64(3000))},
		}
		for i, e := range append(received.Events, rest.Events...) {
			got := e.Row
			if got.RuntimeMS != nil && want[i].RuntimeMS != nil && *got.RuntimeMS == *want[i].RuntimeMS {
				got.RuntimeMS = want[i].RuntimeMS
			}
			if got != want[i] {
				t.Errorf("event %d: got %+v, want %+v", i, got, want[i])
			}
		}
	})
}

func TestLeasesTellSinceWhen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		take := func(holder string, ttl time.Duration) store.Lease {
			t.Helper()
			if _, ok, err := s.TakeLease(ctx, "sweep", holder, ttl); err != nil || !ok {
				t.Fatal(ok, err)
			}
			list, err := s.Leases(ctx)
			if err != nil || len(list) != 1 || list[0].Holder != holder || list[0].TakenAt == nil {
				t.Fatalf("leases %+v, %v", list, err)
			}
			return list[0]
		}
		first := take("a", time.Minute)
		if again := take("a", -time.Second); !again.TakenAt.Equal(*first.TakenAt) {
			t.Errorf("renewed: held since %v, want %v", again.TakenAt, first.TakenAt)
		}
		if next := take("b", time.Minute); !next.TakenAt.After(*first.TakenAt) {
			t.Errorf("taken over: held since %v, want after %v", next.TakenAt, first.TakenAt)
		}
	})
}
