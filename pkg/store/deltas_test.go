// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"testing"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// A replica of the release before leaves the changes of a newer one alone, and counts its own all the same.
func TestNewerDeltasAreLeft(t *testing.T) {
	t.Parallel()
	s := storetest.Postgres(t)
	ref := storetest.Agent(t, s)
	newer := []any{[]byte(`{"Format":1000000,"Counts":"in a form that nobody knows yet"}`)}
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
