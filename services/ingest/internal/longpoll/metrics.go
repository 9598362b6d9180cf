// SPDX-License-Identifier: AGPL-3.0-or-later

package longpoll

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the transport's.
type Metrics struct {
	refused  prometheus.Counter
	broken   prometheus.Counter
	dropped  prometheus.Counter
	commands prometheus.Counter
	// IPDenied counts a request refused by the address allow-list.
	IPDenied func(surface string)
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer, ipDenied func(surface string)) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		refused:  counter("z4j_ingest_longpoll_refused_total", "Long-poll requests that were not authenticated or not allowed."),
		broken:   counter("z4j_ingest_longpoll_broken_sessions_total", "Long-poll sessions ended by a frame that failed authentication."),
		dropped:  counter("z4j_ingest_longpoll_dropped_frames_total", "Long-poll frames that can never be understood or stored."),
		commands: counter("z4j_ingest_longpoll_commands_total", "Commands handed to polling agents."),
		IPDenied: ipDenied,
	}
	for _, c := range []prometheus.Collector{m.refused, m.broken, m.dropped, m.commands} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
