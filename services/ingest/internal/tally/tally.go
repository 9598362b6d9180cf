// SPDX-License-Identifier: AGPL-3.0-or-later

// Package tally counts what happened to tasks, for scrapers: outcomes and run times by project, queue and task name as
// metrics of this process, and events by worker and task name in the database, where every replica of the API reads
// them under the names of other exporters.
//
// Names of queues, tasks, workers and exceptions are texts of users: each project has series for a bounded number of
// them, everything else counts as "other".
package tally

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// Store is what the tally needs of the database.
type Store interface {
	// AddTaskTotals adds to the stored series; see store.Store.AddTaskTotals.
	AddTaskTotals(ctx context.Context, add []store.TaskTotal, bounds store.TotalBounds, known *store.TotalsKnown) (other int, err error)
}

// Config bounds the tally. Zero values take the defaults named.
type Config struct {
	// Pairs is for how many pairs of queue and task name a project has metrics (100); negative keeps none apart.
	Pairs int
	// Stored says that events are also counted in the database, SeriesFactor times as many series a project as Pairs (10).
	Stored       bool
	SeriesFactor int
	// Interval is how often counts are written to the database (5 s).
	Interval time.Duration
}

const (
	defaultPairs        = 100
	defaultSeriesFactor = 10
	// maxPairs bounds the pairs of all projects together: each is a histogram.
	maxPairs = 5000
	// maxPending bounds what waits to be written while the database is away.
	maxPending = 50_000
	// maxExceptions bounds the classes of exceptions, a project.
	maxExceptions = 100
	// maxLabel is the length, in bytes, at which a label is cut.
	maxLabel = 200
	// lastWrite bounds the write at the end of the process.
	lastWrite = 2 * time.Second
	// writeRows is how many series one transaction writes: those who wait for acknowledgements are not to notice. restAfter is the
	// rest after it, in multiples of how long it took.
	writeRows, restAfter = 250, 4
)

// durationBuckets are those of the product's earlier releases.
var durationBuckets = [...]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

// outcomes are the states that are counted, in the order of cell.n.
var outcomes = [...]domain.EventKind{domain.KindSucceeded, domain.KindFailed, domain.KindRetried, domain.KindRevoked}

// Tally is safe for concurrent use.
type Tally struct {
	cfg   Config
	store Store
	log   *slog.Logger

	tasks, durations *prometheus.Desc
	overflow         *prometheus.CounterVec
	writes           *prometheus.CounterVec

	mu      sync.Mutex
	cells   map[cellKey]*cell
	pairs   map[uuid.UUID]int
	pending map[store.TotalKey]*value
	told    map[string]bool

	// known is Run's.
	known store.TotalsKnown
}

type cellKey struct {
	project     uuid.UUID
	queue, task string
}

// cell is what one pair shows.
type cell struct {
	n       [len(outcomes)]uint64
	buckets [len(durationBuckets) + 1]uint64
	sum     float64
}

type value struct{ n, ms int64 }

// New returns a tally and registers its metrics; Run writes to the database.
func New(cfg Config, s Store, log *slog.Logger, reg prometheus.Registerer) (*Tally, error) {
	if cfg.Pairs == 0 {
		cfg.Pairs = defaultPairs
	}
	if cfg.SeriesFactor <= 0 {
		cfg.SeriesFactor = defaultSeriesFactor
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 5 * time.Second
	}
	labels := []string{"project", "queue", "task_name"}
	t := &Tally{
		cfg: cfg, store: s, log: log,
		tasks: prometheus.NewDesc("z4j_tasks_total",
			"Tasks that succeeded, failed, are to be tried again or were revoked, counted when their event was stored.", append(slices.Clone(labels), "state"), nil),
		durations: prometheus.NewDesc("z4j_task_duration_seconds", "How long tasks ran that succeeded or failed, where the engine tells.", labels, nil),
		overflow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_ingest_metric_overflow_total", Help: "Times that something was counted as other because its project has as many series as it may.",
		}, []string{"surface"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_ingest_tally_writes_total", Help: "Attempts to add counted events to the database, by outcome.",
		}, []string{"outcome"}),
		cells: make(map[cellKey]*cell), pairs: make(map[uuid.UUID]int), pending: make(map[store.TotalKey]*value), told: make(map[string]bool),
	}
	for _, outcome := range []string{"written", "failed"} {
		t.writes.WithLabelValues(outcome)
	}
	for _, surface := range []string{"tasks", "stored"} {
		t.overflow.WithLabelValues(surface)
	}
	for _, c := range []prometheus.Collector{t, t.overflow, t.writes} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Count counts the new events of stored items. It does no I/O.
func (t *Tally) Count(items []*store.IngestItem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, it := range items {
		if it.Accepted == 0 {
			continue
		}
		for i := range it.Events {
			if in := &it.Events[i]; in.Stored {
				t.count(it.Agent, in)
			}
		}
	}
}

func (t *Tally) count(agent store.AgentRef, in *store.IngestEvent) {
	if i := slices.Index(outcomes[:], in.Kind); i >= 0 {
		c := t.cell(agent.ProjectUID, label(in.Row.Queue), label(in.Row.Name))
		c.n[i]++
		if ms := in.Row.RuntimeMS; ms != nil && (in.Kind == domain.KindSucceeded || in.Kind == domain.KindFailed) {
			c.observe(float64(*ms) / 1000)
		}
	}
	if t.cfg.Stored {
		t.keep(agent.ProjectID, in)
	}
}

func (c *cell) observe(seconds float64) {
	i := 0
	for i < len(durationBuckets) && seconds > durationBuckets[i] {
		i++
	}
	c.buckets[i]++
	c.sum += seconds
}

// cell returns the pair's cell, or that of the others.
func (t *Tally) cell(project uuid.UUID, queue, task string) *cell {
	k := cellKey{project, queue, task}
	c := t.cells[k]
	if c != nil {
		return c
	}
	if t.pairs[project] >= t.cfg.Pairs || len(t.cells) >= maxPairs {
		t.overflown("tasks", project.String())
		if k = (cellKey{project, store.TotalOther, store.TotalOther}); t.cells[k] != nil {
			return t.cells[k]
		}
	} else {
		t.pairs[project]++
	}
	c = new(cell)
	t.cells[k] = c
	return c
}

// overflown counts and, once a project, says that names have no series of their own.
func (t *Tally) overflown(surface, project string) {
	t.overflow.WithLabelValues(surface).Inc()
	if t.told[surface+project] || len(t.told) >= maxPairs {
		return
	}
	t.told[surface+project] = true
	t.log.Warn("more names of queues and tasks than metrics keep apart; the rest counts as other: raise Z4J_METRICS_TASK_SERIES, or give tasks fewer names",
		"project", project, "pairs", t.cfg.Pairs)
}

// keep adds an event to what is written next.
func (t *Tally) keep(project int64, in *store.IngestEvent) {
	k := store.TotalKey{
		ProjectID: project, Engine: label(in.Engine), Worker: label(in.Row.Worker), Name: label(in.Row.Name), Queue: label(in.Row.Queue),
		Kind: store.TotalKind(in.Kind),
	}
	var ms int64
	switch {
	case in.Kind == domain.KindSucceeded:
		k.Bucket = store.TotalBucket(in.Row.RuntimeMS)
		if in.Row.RuntimeMS != nil {
			ms = *in.Row.RuntimeMS
		}
	case in.Kind == domain.KindFailed:
		k.Exception = exceptionClass(in.Exception)
	case in.Kind != 0:
	case in.KindName == "task.sent":
		k.Kind = store.TotalSent
	case in.KindName == "task.rejected":
		k.Kind = store.TotalRejected
	default:
		return
	}
	if in.Kind == 0 {
		// These change no task, so only the event itself tells of it.
		k.Worker, k.Name, k.Queue = label(in.Worker), label(in.TaskName), label(in.Queue)
	}
	t.add(k, 1, ms)
	if held := in.Row.Held; held != 0 {
		k.Kind, k.Bucket, k.Exception = store.TotalHeld, 0, ""
		t.add(k, int64(held), in.Row.HeldMS)
	}
}

func (t *Tally) add(k store.TotalKey, n, ms int64) {
	v := t.pending[k]
	if v == nil {
		if len(t.pending) >= maxPending {
			k.Worker, k.Name, k.Queue, k.Exception = store.TotalOther, store.TotalOther, store.TotalOther, ""
			if v = t.pending[k]; v != nil {
				v.n, v.ms = v.n+n, v.ms+ms
				return
			}
		}
		v = new(value)
		t.pending[k] = v
	}
	v.n += n
	if k.Kind == store.TotalHeld {
		v.ms = ms
	} else {
		v.ms += ms
	}
}

// Run writes what was counted to the database until ctx ends, and then once more.
func (t *Tally) Run(ctx context.Context) error {
	if !t.cfg.Stored {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(t.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			t.flush(last, nil)
			return nil
		case <-tick.C:
			t.flush(ctx, pause)
		}
	}
}

// flush writes what was counted, in parts; what can't be written waits for the next time. rest may be nil.
func (t *Tally) flush(ctx context.Context, rest func(context.Context, time.Duration)) {
	t.mu.Lock()
	taken := t.pending
	t.pending = make(map[store.TotalKey]*value)
	t.mu.Unlock()
	if len(taken) == 0 {
		return
	}
	add := make([]store.TaskTotal, 0, len(taken))
	for k, v := range taken {
		add = append(add, store.TaskTotal{TotalKey: k, N: v.n, RuntimeMS: v.ms})
	}
	// Neighbours share pages of the database.
	slices.SortFunc(add, func(a, b store.TaskTotal) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Worker, b.Worker),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Bucket, b.Bucket))
	})
	for len(add) > 0 {
		part := add[:min(writeRows, len(add))]
		begin := time.Now()
		if !t.write(ctx, part) {
			break
		}
		if add = add[len(part):]; rest != nil && len(add) > 0 {
			// All parts together take at most half of the interval.
			rest(ctx, min(restAfter*time.Since(begin), t.cfg.Interval/2/time.Duration(1+len(taken)/writeRows)))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range add {
		t.add(add[i].TotalKey, add[i].N, add[i].RuntimeMS)
	}
}

// write adds a part to the database, all of it or none, and reports whether it did.
func (t *Tally) write(ctx context.Context, part []store.TaskTotal) bool {
	series := max(t.cfg.Pairs, 0) * t.cfg.SeriesFactor
	other, err := t.store.AddTaskTotals(ctx, part, store.TotalBounds{Series: series, Exceptions: maxExceptions}, &t.known)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.writes.WithLabelValues("failed").Inc()
		t.log.Debug("counted events not written; they wait for the next time", "series", len(part), "err", err)
		return false
	}
	t.writes.WithLabelValues("written").Inc()
	if other == 0 {
		return true
	}
	t.overflow.WithLabelValues("stored").Add(float64(other))
	if !t.told["stored"] {
		t.told["stored"] = true
		t.log.Warn("more workers and names of tasks than /metrics/celery and /metrics/flower keep apart; the rest counts as other: raise Z4J_METRICS_TASK_SERIES",
			"series", series)
	}
	return true
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// label makes a text fit for a label: valid, and not longer than it should be.
func label(text string) string {
	if len(text) > maxLabel {
		cut := maxLabel
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return strings.ToValidUTF8(text, "?")
}

// Describe implements prometheus.Collector.
func (t *Tally) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.tasks
	ch <- t.durations
}

// Collect implements prometheus.Collector.
func (t *Tally) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, c := range t.cells {
		labels := []string{k.project.String(), k.queue, k.task}
		for i, kind := range outcomes {
			if c.n[i] > 0 {
				ch <- prometheus.MustNewConstMetric(t.tasks, prometheus.CounterValue, float64(c.n[i]), append(slices.Clone(labels), kind.State().String())...)
			}
		}
		upTo, buckets := uint64(0), make(map[float64]uint64, len(durationBuckets))
		for i, bound := range durationBuckets {
			upTo += c.buckets[i]
			buckets[bound] = upTo
		}
		if upTo += c.buckets[len(durationBuckets)]; upTo > 0 {
			ch <- prometheus.MustNewConstHistogram(t.durations, upTo, c.sum, buckets, labels...)
		}
	}
}
