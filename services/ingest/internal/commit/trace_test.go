// SPDX-License-Identifier: AGPL-3.0-or-later

package commit_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/obs/obstest"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/ingest/internal/commit"
)

// TestSpansOfBatches: a retry is counted on its batch's span; the halves of a split are below it, and only the one that could
// not be stored has failed.
func TestSpansOfBatches(t *testing.T) {
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	receiver := obstest.Start(t)
	tracing, err := obs.OpenTracing(t.Context(), obs.TraceConfig{Endpoint: receiver.URL, Ratio: 1}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	var calls atomic.Int32
	c := commit.New(commit.Config{}, commit.Deps{Tracer: tracing.Tracer("ingest"), Store: faulty{s, func(items []*store.IngestItem) error {
		<-gate
		if calls.Add(1) == 1 {
			return domain.ErrTransient
		}
		if slices.ContainsFunc(items, func(it *store.IngestItem) bool { return it.Events[0].TaskID == "bad" }) {
			return errors.New("poison")
		}
		return nil
	}}})
	r := newRecorder()
	q := c.Open(1, r)
	for _, id := range []string{"a", "b", "bad", "c"} {
		if err := q.Submit(t.Context(), entry(ref, id)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	// All four wait when the writer begins, so that they are one batch.
	go func() { defer close(done); _ = c.Run(ctx) }()
	close(gate)
	r.wait(t, 4)
	stop()
	<-done
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	var root obstest.Span
	for _, s := range receiver.Spans() {
		outcome := s.Attrs["z4j.batch.outcome"]
		outcomes[outcome]++
		if s.Failed != (outcome == "rejected") {
			t.Errorf("a span of the outcome %q: %+v", outcome, s)
		}
		if s.Parent == "" {
			root = s
		}
	}
	if root.Attrs["z4j.batch.retries"] != "1" || root.Attrs["z4j.batch.frames"] != "4" || root.Attrs["z4j.batch.events"] != "4" || root.Attrs["z4j.batch.outcome"] != "split" {
		t.Errorf("the batch: %+v", root)
	}
	// a b bad c -> a b | bad c -> bad | c
	if outcomes["split"] != 2 || outcomes["committed"] != 2 || outcomes["rejected"] != 1 || len(outcomes) != 3 {
		t.Errorf("outcomes: %v", outcomes)
	}
	for _, s := range receiver.Spans() {
		if s.Trace != root.Trace {
			t.Errorf("a half is in another trace: %+v", s)
		}
	}
}
