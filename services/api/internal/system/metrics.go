// SPDX-License-Identifier: AGPL-3.0-or-later

package system

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/store"
)

const (
	scrapeLimit   = 3 * time.Second
	maxQueueRows  = 2000
	maxProjectRow = 2000
)

// Gauges are the metrics that are read from the database when somebody scrapes.
type Gauges struct {
	store   *store.Store
	log     *slog.Logger
	agents  *prometheus.Desc
	workers *prometheus.Desc
	queues  *prometheus.Desc
	size    *prometheus.Desc
}

// NewGauges returns the collector.
func NewGauges(s *store.Store, log *slog.Logger) *Gauges {
	return &Gauges{
		store: s, log: log,
		agents:  prometheus.NewDesc("z4j_agents_online", "Agents with a live connection.", []string{"project"}, nil),
		workers: prometheus.NewDesc("z4j_workers_online", "Engine workers that report themselves online.", []string{"project"}, nil),
		queues:  prometheus.NewDesc("z4j_queue_depth", "Tasks waiting in a queue, as last reported.", []string{"project", "queue", "engine"}, nil),
		size:    prometheus.NewDesc("z4j_database_size_bytes", "Size of the database.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.agents, g.workers, g.queues, g.size} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out of the scrape and logged.
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	if err := g.collect(ctx, ch); err != nil {
		g.log.WarnContext(ctx, "metrics could not be read from the database", "err", err)
	}
}

func (g *Gauges) collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	projects, err := g.store.ActiveProjects(ctx, maxProjectRow)
	if err != nil {
		return err
	}
	overview, err := g.store.Overview(ctx, time.Hour)
	if err != nil {
		return err
	}
	for _, p := range projects {
		gauge(g.agents, overview.Agents[p.ID]["online"], p.UID.String())
		gauge(g.workers, overview.Workers[p.ID]["online"], p.UID.String())
	}
	queues, err := g.store.QueueDepths(ctx, maxQueueRows)
	if err != nil {
		return err
	}
	type key struct {
		project       uuid.UUID
		queue, engine string
	}
	seen := map[key]bool{}
	for _, q := range queues {
		// Labels must be valid text; two names that become equal are reported once.
		k := key{q.ProjectUID, strings.ToValidUTF8(q.Name, "?"), strings.ToValidUTF8(q.Engine, "?")}
		if !seen[k] {
			seen[k] = true
			gauge(g.queues, q.PendingCount, k.project.String(), k.queue, k.engine)
		}
	}
	size, err := g.store.Size(ctx)
	if err != nil {
		return err
	}
	gauge(g.size, size)
	return nil
}
