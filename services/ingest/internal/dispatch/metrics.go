// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch

import "github.com/prometheus/client_golang/prometheus"

// Metrics count deliveries and ends of commands.
type Metrics struct {
	sent         prometheus.Counter
	sendFailures prometheus.Counter
	ended        *prometheus.CounterVec
	late         *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		sent:         prometheus.NewCounter(prometheus.CounterOpts{Name: "z4j_ingest_commands_sent_total", Help: "Commands handed to agents."}),
		sendFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "z4j_ingest_command_send_failures_total", Help: "Commands claimed but not sent."}),
		ended:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "z4j_commands_total", Help: "Commands that reached their end."}, []string{"project", "action", "status"}),
		late:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "z4j_command_late_results_total", Help: "Results that came after their command had ended, by its status."}, []string{"status"}),
	}
	// States in which a command has ended before its result comes; the series exist before the first.
	for _, status := range []string{"completed", "failed", "timeout", "cancelled"} {
		m.late.WithLabelValues(status)
	}
	for _, c := range []prometheus.Collector{m.sent, m.sendFailures, m.ended, m.late} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
