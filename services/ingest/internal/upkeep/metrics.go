// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics show what upkeep does.
type Metrics struct {
	deleted   *prometheus.CounterVec
	compacted prometheus.Counter
	folded    prometheus.Counter
	lastRun   *prometheus.GaugeVec
	errors    *prometheus.CounterVec
	held      prometheus.Gauge
	stray     prometheus.Gauge
	indexed   prometheus.Counter
	unindexed prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		deleted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_ingest_retention_deleted_total",
			Help: "Rows deleted because they outlived their retention, by table. Events of dropped partitions are an estimate.",
		}, []string{"table"}),
		compacted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_ingest_rollups_compacted_total", Help: "Roll-up rows merged into wider buckets.",
		}),
		folded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_ingest_rollup_deltas_folded_total", Help: "Appended counter changes merged into the counters.",
		}),
		lastRun: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "z4j_ingest_upkeep_last_run_timestamp_seconds", Help: "When each job of upkeep last ended well on this replica.",
		}, []string{"upkeep"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_ingest_upkeep_errors_total", Help: "Runs of upkeep jobs that failed; they are repeated.",
		}, []string{"upkeep"}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "z4j_ingest_upkeep_lease_held", Help: "1 while this replica is the one that does upkeep.",
		}),
		stray: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "z4j_ingest_default_partition_dates", Help: "Days whose events were in the default partition of PostgreSQL when upkeep last looked; they are moved at once.",
		}),
		indexed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_ingest_search_indexed_total", Help: "Changes of tasks that were brought into the search index.",
		}),
		unindexed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "z4j_ingest_search_unindexed", Help: "Changes of tasks that wait to be brought into the search index, with tasks of before it was switched on.",
		}),
	}
	for _, c := range []prometheus.Collector{m.deleted, m.compacted, m.folded, m.lastRun, m.errors, m.held, m.stray, m.indexed, m.unindexed} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) ran(job string, at time.Time, err error) {
	if err != nil {
		m.errors.WithLabelValues(job).Inc()
		return
	}
	m.errors.WithLabelValues(job).Add(0) // the series exists before the first error
	m.lastRun.WithLabelValues(job).Set(float64(at.UnixMilli()) / 1000)
}
