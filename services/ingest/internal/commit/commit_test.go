// SPDX-License-Identifier: AGPL-3.0-or-later

package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/ingest/internal/commit"
	"github.com/z4jdev/z4j/services/ingest/internal/intake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a sink that remembers what it was told.
type recorder struct {
	mu      sync.Mutex
	settled []string
	errs    map[string]error
	n       chan struct{}
}

func newRecorder() *recorder {
	return &recorder{errs: map[string]error{}, n: make(chan struct{}, 10_000)}
}

func (r *recorder) Settled(e *intake.Entry, err error) {
	r.mu.Lock()
	r.settled = append(r.settled, e.FrameID)
	r.errs[e.FrameID] = err
	r.mu.Unlock()
	r.n <- struct{}{}
}

func (r *recorder) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for range n {
		select {
		case <-r.n:
		case <-deadline:
			t.Fatal("entries were not settled")
		}
	}
}

// faulty is a real store that fails on purpose.
type faulty struct {
	*store.Store
	fail func(items []*store.IngestItem) error
}

func (f faulty) Ingest(ctx context.Context, items []*store.IngestItem) error {
	if err := f.fail(items); err != nil {
		return err
	}
	return f.Store.Ingest(ctx, items)
}

func start(t *testing.T, cfg commit.Config, s commit.Store) (*commit.Committer, func()) {
	t.Helper()
	c := commit.New(cfg, commit.Deps{Store: s})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	return c, sync.OnceFunc(func() { stop(); <-done })
}

func entry(ref store.AgentRef, id string) *intake.Entry {
	return &intake.Entry{FrameID: id, Ack: true, Received: 1, Item: store.IngestItem{Agent: ref, At: time.Now(), Events: []store.IngestEvent{{
		ID: id, Kind: domain.KindReceived, KindName: "task.received", Engine: "rq", TaskID: id, At: time.Now().Truncate(time.Microsecond), Rest: []byte("{}"),
	}}}}
}

func TestFramesOfManyConnectionsAreSettledInOrder(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	c, stop := start(t, commit.Config{QueueEntries: 8}, s)
	defer stop()
	const conns, frames = 20, 60
	var wg sync.WaitGroup
	sinks := make([]*recorder, conns)
	for i := range conns {
		sinks[i] = newRecorder()
		q := c.Open(int64(i), sinks[i])
		wg.Go(func() {
			defer q.Close()
			for j := range frames {
				if err := q.Submit(context.Background(), entry(ref, fmt.Sprintf("%d-%03d", i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, r := range sinks {
		r.wait(t, frames)
		if !slices.IsSorted(r.settled) || len(r.settled) != frames {
			t.Errorf("connection %d settled out of order: %v", i, r.settled)
		}
	}
	if n := storetest.Recount(t, s); n.Tasks != conns*frames || n.Events != conns*frames {
		t.Errorf("stored %+v", n)
	}
}

// Who sends frames of nearly a mebibyte gets no more of the database than the others: theirs come first while they are worth
// less, and his come all the same.
func TestLargeFramesWaitForTheirTurns(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	gate := make(chan struct{})
	var mu sync.Mutex
	var order []string
	c, stop := start(t, commit.Config{QueueEntries: 200}, faulty{s, func(items []*store.IngestItem) error {
		<-gate
		mu.Lock()
		defer mu.Unlock()
		for _, it := range items {
			order = append(order, it.Events[0].ID)
		}
		return nil
	}})
	defer stop()
	const neighbours, frames, large = 4, 150, 4
	sink := newRecorder()
	submit := func(q intake.Queue, e *intake.Entry) {
		if err := q.Submit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	hog := c.Open(100, sink)
	submit(hog, entry(ref, "first")) // holds the writer until all are queued
	for i := range large {
		e := entry(ref, fmt.Sprintf("large-%d", i))
		e.Item.Events[0].Args = new(strings.Repeat("x", 900<<10))
		submit(hog, e)
	}
	for i := range neighbours {
		q := c.Open(int64(i), sink)
		for j := range frames {
			submit(q, entry(ref, fmt.Sprintf("small-%d-%d", i, j)))
		}
	}
	close(gate)
	sink.wait(t, 1+neighbours*frames+large)
	mu.Lock()
	defer mu.Unlock()
	last := slices.IndexFunc(order, func(id string) bool { return strings.HasPrefix(id, "large") })
	if smalls := last - 1; smalls < neighbours*frames {
		t.Errorf("a large frame came after %d of %d small ones", smalls, neighbours*frames)
	}
}

// A frame that the database can never take is acked as rejected, and costs its neighbours nothing.
func TestPoisonIsSingledOut(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	gate := make(chan struct{})
	poison := errors.New("poison")
	c, stop := start(t, commit.Config{}, faulty{s, func(items []*store.IngestItem) error {
		<-gate
		if slices.ContainsFunc(items, func(it *store.IngestItem) bool { return it.Events[0].TaskID == "bad" }) {
			return poison
		}
		return nil
	}})
	defer stop()
	r := newRecorder()
	q := c.Open(1, r)
	for _, id := range []string{"a", "b", "bad", "c", "d", "e"} {
		if err := q.Submit(t.Context(), entry(ref, id)); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	r.wait(t, 6)
	for id, err := range r.errs {
		if want := id == "bad"; want != errors.Is(err, poison) {
			t.Errorf("frame %s settled with %v", id, err)
		}
	}
	if !slices.Equal(r.settled, []string{"a", "b", "bad", "c", "d", "e"}) {
		t.Errorf("order %v", r.settled)
	}
	if n := storetest.Recount(t, s); n.Tasks != 5 {
		t.Errorf("stored %d tasks, want 5", n.Tasks)
	}
}

// While the database is away nothing is acked; when it is back the same frames go in.
func TestTransientFailureWithholdsAcks(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	var mu sync.Mutex
	fails := 2
	c, stop := start(t, commit.Config{}, faulty{s, func([]*store.IngestItem) error {
		mu.Lock()
		defer mu.Unlock()
		if fails > 0 {
			fails--
			return fmt.Errorf("locked: %w", domain.ErrTransient)
		}
		return nil
	}})
	defer stop()
	r := newRecorder()
	q := c.Open(1, r)
	if err := q.Submit(t.Context(), entry(ref, "x")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 1)
	if r.errs["x"] != nil {
		t.Errorf("a short failure reached the agent: %v", r.errs["x"])
	}
	mu.Lock()
	fails = 1000
	mu.Unlock()
	if err := q.Submit(t.Context(), entry(ref, "y")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 1)
	if !errors.Is(r.errs["y"], domain.ErrTransient) {
		t.Errorf("settled with %v, want a transient error", r.errs["y"])
	}
}

// Stopping commits what was accepted, and refuses what comes later.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	c, stop := start(t, commit.Config{}, s)
	r := newRecorder()
	q := c.Open(1, r)
	for i := range 200 {
		if err := q.Submit(t.Context(), entry(ref, fmt.Sprintf("%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if len(r.settled) != 200 || storetest.Recount(t, s).Tasks != 200 {
		t.Errorf("settled %d, stored %d", len(r.settled), storetest.Recount(t, s).Tasks)
	}
	if err := q.Submit(t.Context(), entry(ref, "late")); err == nil {
		t.Error("a frame was accepted after the stop")
	}
}

// A connection whose queue is full waits; its neighbour does not.
func TestFullQueueBlocksOnlyItsConnection(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	gate := make(chan struct{})
	c, stop := start(t, commit.Config{QueueEntries: 4, BatchEvents: 1}, faulty{s, func([]*store.IngestItem) error { <-gate; return nil }})
	defer stop()
	loud, quiet := newRecorder(), newRecorder()
	lq, qq := c.Open(1, loud), c.Open(2, quiet)
	for i := range 5 { // four queued and one in the stuck transaction, at the most
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := lq.Submit(ctx, entry(ref, fmt.Sprintf("l%d", i))); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := lq.Submit(ctx, entry(ref, "l5")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a full queue took another frame: %v", err)
	}
	if err := qq.Submit(t.Context(), entry(ref, "q0")); err != nil {
		t.Errorf("the neighbour was blocked: %v", err)
	}
	close(gate)
	loud.wait(t, 5)
	quiet.wait(t, 1)
}
