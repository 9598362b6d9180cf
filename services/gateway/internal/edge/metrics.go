// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// Metrics counts what passes the edge. Labels are of fixed sets: no path, name or address.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	refused  prometheus.Counter
	replicas *prometheus.GaugeVec
	ready    *prometheus.GaugeVec
	retries  *prometheus.CounterVec
}

// NewMetrics registers the edge's metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_gateway_requests_total", Help: "HTTP requests by surface and status class.",
		}, []string{"surface", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "z4j_gateway_request_duration_seconds", Help: "Time to answer an HTTP request; WebSockets and long polls are left out.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"surface"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "z4j_gateway_in_flight_requests", Help: "HTTP requests and WebSockets that are open.",
		}, []string{"surface"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_gateway_host_refusals_total", Help: "Requests refused because of their Host header.",
		}),
		replicas: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "z4j_gateway_upstream_replicas", Help: "Known replicas of a service behind the gateway.",
		}, []string{"upstream"}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "z4j_gateway_upstream_ready_replicas", Help: "Replicas of a service that were ready at the last probe.",
		}, []string{"upstream"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_gateway_upstream_retries_total", Help: "Requests offered to another replica because the first was away.",
		}, []string{"upstream"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.refused, m.replicas, m.ready, m.retries} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register gateway metrics: %w", err)
		}
	}
	return m, nil
}

// HostRefused counts one refusal of the Host check.
func (m *Metrics) HostRefused() { m.refused.Inc() }

func (m *Metrics) upstreams(name string, ready, all int) {
	if m == nil {
		return
	}
	m.ready.WithLabelValues(name).Set(float64(ready))
	m.replicas.WithLabelValues(name).Set(float64(all))
}

func (m *Metrics) retried(name string) {
	if m != nil {
		m.retries.WithLabelValues(name).Inc()
	}
}

// surface sorts paths into a fixed set.
func surface(path string) string {
	switch {
	case IsAgentRoute(path):
		return "agent"
	case strings.HasPrefix(path, "/ws/"):
		return "push"
	case strings.HasPrefix(path, "/api/v1/health"):
		return "health"
	case path == "/api" || strings.HasPrefix(path, "/api/"):
		return "api"
	case path == "/metrics" || strings.HasPrefix(path, "/metrics/"):
		return "metrics"
	}
	return "dashboard"
}

// Middleware measures every request.
func (m *Metrics) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := surface(r.URL.Path)
		gauge := m.inFlight.WithLabelValues(name)
		gauge.Inc()
		defer gauge.Dec()
		start := time.Now()
		status := httpx.Recorded(w, func(w http.ResponseWriter) { next.ServeHTTP(w, r) })
		m.requests.WithLabelValues(name, strconv.Itoa(status/100)+"xx").Inc()
		if name != "agent" && name != "push" {
			m.seconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
		}
	})
}
