// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what happens to hints. Topics hold ids and so are never labels.
type metrics struct {
	published     prometheus.Counter
	delivered     prometheus.Counter
	dropped       *prometheus.CounterVec
	reconnects    prometheus.Counter
	connected     prometheus.Gauge
	subscriptions prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_bus_published_total", Help: "Hints published by this process.",
		}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_bus_delivered_total", Help: "Hints put into a subscription's queue.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_bus_dropped_total", Help: "Hints lost: slow_subscriber (its queue was full), publish_queue (Redis is slow), redis (Redis did not take it).",
		}, []string{"reason"}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "z4j_bus_reconnects_total", Help: "Times the connection to Redis was lost and sought anew.",
		}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "z4j_bus_connected", Help: "1 while hints from other replicas can arrive.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "z4j_bus_subscriptions", Help: "Open subscriptions of this process.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.published, m.delivered, m.dropped, m.reconnects, m.connected, m.subscriptions)
	}
	return m
}
