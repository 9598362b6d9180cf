// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// A replica of the release before leaves the changes of a newer one alone, and counts its own all the same.
func TestNewerDeltasAreLeft(t *testing.T) {
	t.Parallel()
	s := storetest.Postgres(t)
	ref := storetest.Agent(t, s)
	newer := []any{[]byte("\xffin a form that nobody knows yet")}
	if err := s.ExecForTest(t.Context(), "INSERT INTO rollup_deltas (payload) VALUES ($1)", newer, newer); err != nil {
		t.Fatal(err)
	}
	if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, event(domain.KindReceived, "one", base))}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.FoldDeltas(t.Context(), 100); err != nil || n != 1 {
		t.Errorf("%d changes folded (%v), want the one of this version", n, err)
	}
	counts, err := s.TaskCounts(t.Context(), ref.ProjectID)
	if err != nil || counts[domain.StateReceived] != 1 {
		t.Errorf("counts %v (%v), want one received", counts, err)
	}
	left, err := s.IntsForTest(t.Context(), "SELECT count(*) FROM rollup_deltas")
	if err != nil || len(left) != 1 || left[0] != 2 {
		t.Errorf("%v changes left (%v), want the two of the newer version", left, err)
	}
}

// TestFoldInParts: deltas that are about many minutes are merged few at a time, and all of them.
func TestFoldInParts(t *testing.T) {
	t.Parallel()
	s := storetest.Postgres(t)
	ref := storetest.Agent(t, s)
	const batches, perBatch = 40, 20
	for b := range batches {
		var events []store.IngestEvent
		for i := range perBatch {
			n := b*perBatch + i
			events = append(events, event(domain.KindReceived, fmt.Sprintf("task-%d", n), base.Add(-time.Duration(n)*time.Minute)))
		}
		if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, events...)}); err != nil {
			t.Fatal(err)
		}
	}
	// Twenty fit; the next twenty did too, so that the step grew again.
	if n, step, err := s.FoldInPartsForTest(t.Context(), 1000, 19*perBatch); err != nil || n != batches || step != 40 {
		t.Fatalf("%d of %d deltas merged, %d at a time: %v", n, batches, step, err)
	}
	storetest.CompareCounters(t, s)
}
