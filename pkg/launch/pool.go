// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/store"
)

// RegisterPool shows the use of this process's connections to the database, of all the handles together; on SQLite, where
// one connection writes, that of the readers.
func RegisterPool(reg prometheus.Registerer, handles ...*store.Store) error {
	return reg.Register(&pool{
		handles: handles,
		size:    prometheus.NewDesc("z4j_db_pool_size", "Most connections to the database that this process opens.", nil, nil),
		used:    prometheus.NewDesc("z4j_db_pool_checked_out", "Connections in use.", nil, nil),
		waits:   prometheus.NewDesc("z4j_db_pool_waits_total", "Times that somebody waited for a free connection.", nil, nil),
		spent:   prometheus.NewDesc("z4j_db_pool_wait_seconds_total", "Time spent waiting for a free connection.", nil, nil),
	})
}

type pool struct {
	handles                  []*store.Store
	size, used, waits, spent *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (p *pool) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.size, p.used, p.waits, p.spent} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p *pool) Collect(ch chan<- prometheus.Metric) {
	var st store.PoolStats
	for _, h := range p.handles {
		one := h.PoolStats()
		st.Max, st.InUse = st.Max+one.Max, st.InUse+one.InUse
		st.Waits, st.WaitTime = st.Waits+one.Waits, st.WaitTime+one.WaitTime
	}
	ch <- prometheus.MustNewConstMetric(p.size, prometheus.GaugeValue, float64(st.Max))
	ch <- prometheus.MustNewConstMetric(p.used, prometheus.GaugeValue, float64(st.InUse))
	ch <- prometheus.MustNewConstMetric(p.waits, prometheus.CounterValue, float64(st.Waits))
	ch <- prometheus.MustNewConstMetric(p.spent, prometheus.CounterValue, st.WaitTime.Seconds())
}
