// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics measures calls by operation. Operations are a fixed set, so are the series.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_api_requests_total", Help: "Calls by operation and status class.",
		}, []string{"operation", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "z4j_api_request_duration_seconds", Help: "Time to answer a call; exports last as long as their reader.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"operation"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) observe(op *Op, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(op.ID, strconv.Itoa(status/100)+"xx").Inc()
	m.seconds.WithLabelValues(op.ID).Observe(took.Seconds())
}
