// SPDX-License-Identifier: AGPL-3.0-or-later

package tally

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// failing is a store whose write number fail fails.
type failing struct {
	*store.Store
	writes, fail, most int
}

func (f *failing) AddTaskTotals(ctx context.Context, add []store.TaskTotal, bounds store.TotalBounds, known *store.TotalsKnown) (int, error) {
	f.writes++
	f.most = max(f.most, len(add))
	if f.writes == f.fail {
		return 0, errors.New("the database is away")
	}
	return f.Store.AddTaskTotals(ctx, add, bounds, known)
}

// TestFlushInParts wants counts to be written in transactions of a bounded size, and each count once when one of them fails.
func TestFlushInParts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		db := &failing{Store: s, fail: 3}
		tl, err := New(Config{Pairs: 1000, Stored: true}, db, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		const names = 3*writeRows + 10
		count := func() {
			tl.mu.Lock()
			defer tl.mu.Unlock()
			for i := range names {
				tl.add(store.TotalKey{ProjectID: ref.ProjectID, Engine: "celery", Worker: "w", Name: fmt.Sprint("task-", i), Queue: "q", Kind: store.TotalStarted}, 2, 0)
			}
		}
		count()
		rests := 0
		tl.flush(t.Context(), func(context.Context, time.Duration) { rests++ })
		if db.writes != 3 || rests != 2 || len(tl.pending) != names-2*writeRows {
			t.Fatalf("%d writes, %d rests, %d series wait after a failure", db.writes, rests, len(tl.pending))
		}
		count()
		tl.flush(t.Context(), nil)
		if len(tl.pending) != 0 || db.most > writeRows {
			t.Errorf("%d series wait, up to %d in a transaction", len(tl.pending), db.most)
		}
		got, err := s.TaskTotals(t.Context(), ref.ProjectID, "", 2*names)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range got {
			if v.N != 4 {
				t.Errorf("%s counts %d, want 4", v.Name, v.N)
			}
		}
		if len(got) != names {
			t.Errorf("%d series, want %d", len(got), names)
		}
	})
}
