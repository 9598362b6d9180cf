// SPDX-License-Identifier: AGPL-3.0-or-later

package scrape

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/store"
)

// Bounds of what is read.
const (
	maxProjects = 2000
	maxQueues   = 10_000
	maxCommands = 2 * maxProjects
	maxDeltas   = 10_000
)

// Config is what the package is given.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	Now    func() time.Time
	// Series bounds the queues of a project that have series of their own; 0 takes 100, negative none.
	Series int
}

func (c Config) withDefaults() Config {
	if c.Series == 0 {
		c.Series = 100
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Gauges are the metrics of /metrics that are read from the database. Every replica of the API shows the same.
type Gauges struct {
	cfg   Config
	cache cache[state]

	agents, workers, queues, size, commands, deltas *prometheus.Desc
	leaseHeld, leaseTaken, read                     *prometheus.Desc
}

// state is one reading.
type state struct {
	projects []store.Project
	overview store.Overview
	queues   []store.ObservedDepth
	commands []store.OpenCommandCount
	leases   []store.Lease
	deltas   int64
	size     int64
}

// NewGauges returns the collector.
func NewGauges(cfg Config) *Gauges {
	cfg = cfg.withDefaults()
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	g := &Gauges{
		cfg:     cfg,
		agents:  desc("z4j_agents_online", "Agents with a live connection.", "project"),
		workers: desc("z4j_workers_online", "Engine workers that report themselves online.", "project"),
		queues:  desc("z4j_queue_depth", "Tasks waiting in a queue, as last reported.", "project", "queue", "engine"),
		size:    desc("z4j_database_size_bytes", "Size of the database."),
		commands: desc("z4j_api_open_commands", "Commands on their way, by state (pending: not sent yet) and age: under_1m, 1m_to_10m or over_10m.",
			"project", "status", "age"),
		deltas: desc("z4j_api_rollup_deltas_waiting", "Appended changes that wait to be merged into the counters (counted up to 10000)."),
		leaseHeld: desc("z4j_api_lease_held", "1 while the holder has the lease and so does the work of that name, 0 when it has run out.",
			"lease", "holder"),
		leaseTaken: desc("z4j_api_lease_taken_timestamp_seconds", "Since when the holder has the lease.", "lease", "holder"),
		read:       desc("z4j_api_database_read_timestamp_seconds", "When the figures that come from the database were last read; 0 before the first time."),
	}
	g.cache = cache[state]{load: g.load, what: "gauges", log: cfg.Logger, now: cfg.Now}
	return g
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.agents, g.workers, g.queues, g.size, g.commands, g.deltas, g.leaseHeld, g.leaseTaken, g.read} {
		ch <- d
	}
}

func (g *Gauges) load(ctx context.Context) (st state, err error) {
	if st.projects, err = g.cfg.Store.ActiveProjects(ctx, maxProjects); err != nil {
		return st, err
	}
	if st.overview, err = g.cfg.Store.Overview(ctx, time.Hour); err != nil {
		return st, err
	}
	if st.queues, err = g.cfg.Store.QueueDepths(ctx, maxQueues); err != nil {
		return st, err
	}
	if st.commands, err = g.cfg.Store.OpenCommands(ctx, maxCommands); err != nil {
		return st, err
	}
	if st.leases, err = g.cfg.Store.Leases(ctx); err != nil {
		return st, err
	}
	if st.deltas, err = g.cfg.Store.DeltaBacklog(ctx, maxDeltas); err != nil {
		return st, err
	}
	st.size, err = g.cfg.Store.Size(ctx)
	return st, err
}

// Collect implements prometheus.Collector. What was not read for long is left out.
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st, read, ok := g.cache.get()
	gauge(g.read, unix(read))
	if !ok {
		return
	}
	for _, p := range st.projects {
		gauge(g.agents, float64(st.overview.Agents[p.ID]["online"]), p.UID.String())
		gauge(g.workers, float64(st.overview.Workers[p.ID]["online"]), p.UID.String())
	}
	for k, n := range boundQueues(st.queues, g.cfg.Series) {
		gauge(g.queues, float64(n), k.project.String(), k.queue, k.engine)
	}
	// None is a figure too: the series are there before the first command.
	open := make(map[openKey]store.OpenCommandCount, len(st.commands))
	for _, c := range st.commands {
		open[openKey{c.Project, c.Status}] = c
	}
	for _, p := range st.projects {
		for _, status := range [...]string{"pending", "dispatched"} {
			c := open[openKey{p.UID, status}]
			gauge(g.commands, float64(c.N-c.Minute), p.UID.String(), status, "under_1m")
			gauge(g.commands, float64(c.Minute-c.TenMins), p.UID.String(), status, "1m_to_10m")
			gauge(g.commands, float64(c.TenMins), p.UID.String(), status, "over_10m")
		}
	}
	for _, l := range st.leases {
		held := 0.0
		if g.cfg.Now().Before(l.ExpiresAt) {
			held = 1
		}
		gauge(g.leaseHeld, held, l.Name, valid(l.Holder))
		if l.TakenAt != nil {
			gauge(g.leaseTaken, unix(*l.TakenAt), l.Name, valid(l.Holder))
		}
	}
	gauge(g.deltas, float64(st.deltas))
	gauge(g.size, float64(st.size))
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// valid makes a text fit for a label.
func valid(text string) string { return strings.ToValidUTF8(text, "?") }

type openKey struct {
	project uuid.UUID
	status  string
}

type queueKey struct {
	project       uuid.UUID
	queue, engine string
}

// boundQueues gives the first queues of each project series of their own and adds the rest up as other.
func boundQueues(queues []store.ObservedDepth, limit int) map[queueKey]int64 {
	out := make(map[queueKey]int64)
	seen := make(map[uuid.UUID]int)
	for _, q := range queues {
		k := queueKey{q.ProjectUID, valid(q.Name), valid(q.Engine)}
		if _, known := out[k]; !known {
			if seen[k.project] >= limit {
				k.queue = store.TotalOther
			} else {
				seen[k.project]++
			}
		}
		out[k] += q.PendingCount
	}
	return out
}
