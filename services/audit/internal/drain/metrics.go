// SPDX-License-Identifier: AGPL-3.0-or-later

package drain

import "github.com/prometheus/client_golang/prometheus"

// Metrics of the audit service.
type Metrics struct {
	Appended      prometheus.Counter
	Rejected      prometheus.Counter
	Failures      prometheus.Counter
	Waiting       prometheus.Gauge
	OldestSeconds prometheus.Gauge
	SetAside      prometheus.Gauge
	Damaged       prometheus.Gauge
	Leader        prometheus.Gauge
	Verifications *prometheus.CounterVec
	RowsVerified  prometheus.Gauge
}

// NewMetrics makes the metrics and registers them unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		Appended:      counter("z4j_audit_rows_appended_total", "Rows appended to the audit chain."),
		Rejected:      counter("z4j_audit_rows_rejected_total", "Waiting audit records that could not be trusted and were set aside."),
		Failures:      counter("z4j_audit_drain_failures_total", "Attempts to append to the audit chain that failed."),
		Waiting:       gauge("z4j_audit_outbox_rows", "Audit records waiting for the chain (counted up to 10000)."),
		OldestSeconds: gauge("z4j_audit_outbox_oldest_seconds", "Age of the oldest waiting audit record."),
		SetAside:      gauge("z4j_audit_set_aside_rows", "Audit records kept aside because they could not be trusted."),
		Damaged:       gauge("z4j_audit_chain_damaged", "1 while the audit chain cannot be continued or its verification found something."),
		Leader:        gauge("z4j_audit_leader", "1 while this process appends to the chain."),
		Verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_audit_chain_verifications_total", Help: "Verifications of the whole chain: clean, mismatch, refused or error.",
		}, []string{"outcome"}),
		RowsVerified: gauge("z4j_audit_chain_rows_verified", "Rows checked by the last verification."),
	}
	if reg != nil {
		reg.MustRegister(m.Appended, m.Rejected, m.Failures, m.Waiting, m.OldestSeconds, m.SetAside, m.Damaged, m.Leader,
			m.Verifications, m.RowsVerified)
	}
	return m
}
