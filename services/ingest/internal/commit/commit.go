// SPDX-License-Identifier: AGPL-3.0-or-later

// Package commit is the group committer: it folds frames of many connections into few transactions
// and tells each connection what became of its frames.
//
// Each connection has a bounded queue of its own; a writer goroutine serves the queues that hold
// something in turn, each for the same number of bytes (deficit round-robin), takes what is there without waiting for more,
// and commits it. While one
// transaction runs the next batch gathers by itself, so batches grow with the load and an idle brain
// answers at once. Nothing waits for a peer: Settled only hands over.
package commit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/ingest/internal/intake"
)

// Store is what the committer needs of the database.
type Store interface {
	// Ingest stores frames in one transaction, all or none; see store.Store.Ingest.
	Ingest(ctx context.Context, items []*store.IngestItem) error
}

// Config bounds the committer. Zero values take the defaults.
type Config struct {
	// Writers is how many transactions may run at a time: 1 on SQLite. Default 1.
	Writers int
	// QueueEntries and QueueBytes bound the queue of one connection. Defaults 256 (what a stock agent
	// sends unacked) and 4 MiB.
	QueueEntries, QueueBytes int
	// BatchEvents and BatchBytes bound a transaction. Defaults 512 and 8 MiB.
	BatchEvents, BatchBytes int
}

func (c *Config) defaults() {
	for _, d := range []struct {
		v  *int
		or int
	}{
		{&c.Writers, 1}, {&c.QueueEntries, 256}, {&c.QueueBytes, 4 << 20}, {&c.BatchEvents, 512}, {&c.BatchBytes, 8 << 20},
	} {
		if *d.v <= 0 {
			*d.v = d.or
		}
	}
}

// Deps are the committer's collaborators.
type Deps struct {
	Store  Store
	Logger *slog.Logger
	// Registry takes the metrics; nil leaves them out.
	Registry prometheus.Registerer
	// Committed is called in the writer's goroutine after every commit, before the acks, with the
	// frames it holds. It publishes hints and counts, and must not block.
	Committed func(items []*store.IngestItem)
	// Tracer makes a span of each batch; nil makes none.
	Tracer trace.Tracer
}

// Committer implements intake.Committer.
type Committer struct {
	cfg     Config
	deps    Deps
	writers []*writer
	m       metrics
	// queued and queuedBytes are what waits in all queues.
	queued, queuedBytes atomic.Int64
	// events counts those of committed batches.
	events atomic.Int64
}

type metrics struct {
	commits  *prometheus.CounterVec
	seconds  prometheus.Histogram
	frames   prometheus.Histogram
	events   prometheus.Histogram
	acks     prometheus.Histogram
	rejected prometheus.Counter
}

var _ intake.Committer = (*Committer)(nil)

// New returns a committer; Run does its work.
func New(cfg Config, deps Deps) *Committer {
	cfg.defaults()
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Committed == nil {
		deps.Committed = func([]*store.IngestItem) {}
	}
	c := &Committer{cfg: cfg, deps: deps, m: metrics{
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_ingest_commits_total", Help: "Transactions of the ingest committer by outcome.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "z4j_ingest_commit_seconds", Help: "Time of an ingest transaction, queueing for the writer included.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		frames: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "z4j_ingest_commit_frames", Help: "Frames folded into one ingest transaction.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
		}),
		events: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "z4j_ingest_commit_events", Help: "Events folded into one ingest transaction, repetitions included.",
			Buckets: []float64{0, 1, 4, 16, 64, 128, 256, 512, 1024, 2048},
		}),
		acks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "z4j_ingest_ack_seconds", Help: "Time from the reception of an event batch to its acknowledgement, over WebSocket.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_ingest_rejected_frames_total", Help: "Frames that the database can never take and that were acked as rejected.",
		}),
	}}
	if deps.Registry != nil {
		deps.Registry.MustRegister(c.m.commits, c.m.seconds, c.m.frames, c.m.events, c.m.acks, c.m.rejected,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "z4j_ingest_queued_frames", Help: "Frames that wait for their transaction.",
			}, func() float64 { return float64(c.queued.Load()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "z4j_ingest_queued_bytes", Help: "Memory that these frames hold, estimated.",
			}, func() float64 { return float64(c.queuedBytes.Load()) }))
		for _, outcome := range []string{"committed", "retried", "withheld", "rejected", "split"} {
			c.m.commits.WithLabelValues(outcome)
		}
	}
	for range cfg.Writers {
		c.writers = append(c.writers, newWriter(c))
	}
	return c
}

// Events is how many events have been committed, repetitions included.
func (c *Committer) Events() int64 { return c.events.Load() }

// Open gives a connection its queue; connections of one key share a writer, so that frames of one
// agent are never in two transactions at a time.
func (c *Committer) Open(key int64, sink intake.Sink) intake.Queue {
	w := c.writers[uint64(key)%uint64(len(c.writers))] //nolint:gosec // any spread will do
	return &queue{w: w, sink: sink, room: make(chan struct{}, 1)}
}

// Run commits until ctx ends and then until every queue is empty. A queue that nobody closes is
// drained too: what was accepted is settled.
func (c *Committer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range c.writers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return nil
}

// queue is the bounded queue of one connection.
type queue struct {
	w    *writer
	sink intake.Sink
	room chan struct{}

	// Guarded by w.mu.
	entries []*intake.Entry
	sizes   []int
	bytes   int
	// credit is how many bytes of its turns the queue has left over.
	credit int
	ready  bool
	closed bool
}

var errClosed = errors.New("the brain is shutting down")

// Submit implements intake.Queue.
func (q *queue) Submit(ctx context.Context, e *intake.Entry) error {
	size := sizeOf(&e.Item)
	e.Began = time.Now()
	for {
		q.w.mu.Lock()
		switch {
		case q.closed || q.w.stopped:
			q.w.mu.Unlock()
			return errClosed
		case len(q.entries) == 0 || len(q.entries) < q.w.c.cfg.QueueEntries && q.bytes+size <= q.w.c.cfg.QueueBytes:
			q.entries, q.sizes = append(q.entries, e), append(q.sizes, size)
			q.bytes += size
			q.w.c.queued.Add(1)
			q.w.c.queuedBytes.Add(int64(size))
			if !q.ready {
				q.ready = true
				q.w.ready = append(q.w.ready, q)
			}
			q.w.mu.Unlock()
			q.w.wake()
			return nil
		}
		q.w.mu.Unlock()
		select {
		case <-q.room:
		case <-q.w.done:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close implements intake.Queue.
func (q *queue) Close() {
	q.w.mu.Lock()
	q.closed = true
	q.w.mu.Unlock()
}

// sizeOf estimates the memory an item holds.
func sizeOf(it *store.IngestItem) int {
	n := 256 + len(it.Status)
	for i := range it.Events {
		e := &it.Events[i]
		n += 512 + len(e.Rest) + len(e.TaskID)
		for _, s := range []*string{e.Args, e.Kwargs, e.Result, e.Exception, e.Traceback} {
			if s != nil {
				n += len(*s)
			}
		}
	}
	if it.Heartbeat != nil {
		n += 128 * len(it.Heartbeat.Depths)
		for i := range it.Heartbeat.Workers {
			n += 256 + len(it.Heartbeat.Workers[i].Metadata)
		}
	}
	return n
}

// writer owns one transaction at a time.
type writer struct {
	c      *Committer
	signal chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	ready   []*queue // queues that hold entries, in the order of their turn
	stopped bool
}

func newWriter(c *Committer) *writer {
	return &writer{c: c, signal: make(chan struct{}, 1), done: make(chan struct{})}
}

func (w *writer) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	// What was accepted is committed even when the process is asked to stop.
	free := context.WithoutCancel(ctx)
	for {
		batch := w.take()
		if len(batch) > 0 {
			w.commit(free, ctx, batch)
			continue
		}
		select {
		case <-w.signal:
		case <-ctx.Done():
			w.mu.Lock()
			w.stopped = len(w.ready) == 0
			stopped := w.stopped
			w.mu.Unlock()
			if stopped {
				return
			}
		}
	}
}

// owned is an entry with the queue it came from.
type owned struct {
	q *queue
	e *intake.Entry
}

// turnBytes is what a queue may have committed in a turn, more or less a usual frame. Whoever sends larger ones waits for
// several turns, so that frames of a mebibyte take no more of the database than anybody else's.
const turnBytes = 2 << 10

// take gathers a batch: of each waiting queue at most an entry per turn, when its turns are worth the entry's size, until the
// batch is full or only large entries are left whose turn is not yet. A batch is never empty while something waits.
func (w *writer) take() []owned {
	w.mu.Lock()
	defer w.mu.Unlock()
	var batch []owned
	events, bytes, passed := 0, 0, 0
	for len(w.ready) > 0 && events < w.c.cfg.BatchEvents && bytes < w.c.cfg.BatchBytes {
		if passed == len(w.ready) {
			if !w.skipTurns(len(batch) == 0) {
				break
			}
			passed = 0
		}
		q := w.ready[0]
		w.ready = w.ready[1:]
		q.credit += turnBytes
		size := q.sizes[0]
		if size > q.credit {
			w.ready = append(w.ready, q)
			passed++
			continue
		}
		passed = 0
		q.credit -= size
		e := q.entries[0]
		q.entries[0] = nil
		q.entries, q.sizes = q.entries[1:], q.sizes[1:]
		q.bytes -= size
		w.c.queued.Add(-1)
		w.c.queuedBytes.Add(-int64(size))
		if len(q.entries) > 0 {
			q.credit = min(q.credit, turnBytes) // small frames do not save up for a burst
			w.ready = append(w.ready, q)
		} else {
			q.entries, q.sizes, q.credit, q.ready = nil, nil, 0, false
		}
		select {
		case q.room <- struct{}{}:
		default:
		}
		batch = append(batch, owned{q, e})
		events += max(1, len(e.Item.Events))
		bytes += size
	}
	return batch
}

// smallFrame is the size up to which a frame may fill a batch that others wait for: some fifty events. Larger ones have a batch
// begin with them.
const smallFrame = 64 << 10

// skipTurns gives every queue the turns after which the first of them is due; unless anyway, only when that one is small.
func (w *writer) skipTurns(anyway bool) bool {
	least := w.ready[0].sizes[0]
	for _, q := range w.ready {
		least = min(least, q.sizes[0]-q.credit)
	}
	if !anyway && least > smallFrame {
		return false
	}
	turns := max(0, (least-1)/turnBytes)
	for _, q := range w.ready {
		q.credit += turns * turnBytes
	}
	return true
}

// Transient failures are tried again for a while before the acks are withheld: a lock passes, a
// restarting database comes back, and until then the agents only see a slow brain.
var retryAfter = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second}

// commit stores the batch. stop is the context whose end cuts the retries short.
func (w *writer) commit(ctx, stop context.Context, batch []owned) {
	ctx, span := obs.Start(ctx, w.c.deps.Tracer, "ingest batch")
	outcome, retries, err := w.store(ctx, stop, batch)
	if span.IsRecording() {
		describe(span, batch, outcome, retries)
	}
	obs.End(span, err)
}

// describe says on the span of a batch what it held. Frames have no spans of their own: they are too many.
func describe(span trace.Span, batch []owned, outcome string, retries int) {
	events, agents := 0, map[int64]bool{}
	for _, o := range batch {
		events += len(o.e.Item.Events)
		agents[o.e.Item.Agent.ID] = true
	}
	span.SetAttributes(attribute.Int("z4j.batch.frames", len(batch)), attribute.Int("z4j.batch.events", events),
		attribute.Int("z4j.batch.agents", len(agents)), attribute.Int("z4j.batch.retries", retries), attribute.String("z4j.batch.outcome", outcome))
}

// Outcomes of a batch, in metrics and traces.
const (
	outcomeCommitted = "committed"
	outcomeWithheld  = "withheld"
	outcomeRejected  = "rejected"
	outcomeSplit     = "split"
)

// store is commit without its span. The error is one that nobody dealt with further down.
func (w *writer) store(ctx, stop context.Context, batch []owned) (outcome string, retries int, err error) {
	items := make([]*store.IngestItem, len(batch))
	for i, o := range batch {
		items[i] = &o.e.Item
	}
	start := time.Now()
	err = w.c.deps.Store.Ingest(ctx, items)
	for _, pause := range retryAfter {
		if !errors.Is(err, domain.ErrTransient) || stop.Err() != nil {
			break
		}
		retries++
		w.c.m.commits.WithLabelValues("retried").Inc()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-stop.Done():
			timer.Stop()
		}
		err = w.c.deps.Store.Ingest(ctx, items)
	}
	w.c.m.seconds.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		w.c.m.commits.WithLabelValues(outcomeCommitted).Inc()
		w.c.m.frames.Observe(float64(len(batch)))
		events := 0
		for _, it := range items {
			events += len(it.Events)
		}
		w.c.m.events.Observe(float64(events))
		w.c.events.Add(int64(events))
		w.c.deps.Committed(items)
		w.settle(batch, nil)
		return outcomeCommitted, retries, nil
	case errors.Is(err, domain.ErrTransient):
		w.c.m.commits.WithLabelValues(outcomeWithheld).Inc()
		w.c.deps.Logger.ErrorContext(ctx, "acks withheld: the database does not take events; agents keep them and send them again",
			"frames", len(batch), "err", err)
		w.settle(batch, err)
		return outcomeWithheld, retries, err
	case len(batch) == 1:
		w.c.m.commits.WithLabelValues(outcomeRejected).Inc()
		w.c.m.rejected.Inc()
		w.c.deps.Logger.ErrorContext(ctx, "a frame can't be stored and is dropped", "agent", batch[0].e.Item.Agent.UID,
			"frame", batch[0].e.FrameID, "err", err)
		w.settle(batch, err)
		return outcomeRejected, retries, err
	default:
		// One bad frame must not cost its neighbours: halve until it stands alone.
		w.c.m.commits.WithLabelValues(outcomeSplit).Inc()
		w.commit(ctx, stop, batch[:len(batch)/2])
		w.commit(ctx, stop, batch[len(batch)/2:])
		return outcomeSplit, retries, nil
	}
}

func (w *writer) settle(batch []owned, err error) {
	for _, o := range batch {
		if err == nil && o.e.Ack {
			w.c.m.acks.Observe(time.Since(o.e.Began).Seconds())
		}
		o.q.sink.Settled(o.e, err)
	}
}
