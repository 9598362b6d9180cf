// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the socket server's; labels are closed sets.
type Metrics struct {
	connections prometheus.Gauge
	handshakes  *prometheus.CounterVec
	closes      *prometheus.CounterVec
	framesIn    *prometheus.CounterVec
	framesOut   prometheus.Counter
	bytesIn     prometheus.Counter
	frameErrors *prometheus.CounterVec
	acks        prometheus.Counter
	withheld    prometheus.Counter
	refused     prometheus.Counter
	ipDenied    *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "z4j_ws_connections", Help: "Agent WebSocket connections of this process."}),
		handshakes:  vec("z4j_ingest_handshakes_total", "Agent connection attempts by outcome.", "outcome"),
		closes:      vec("z4j_ingest_closes_total", "Ended agent connections by close code (0: without one).", "code"),
		framesIn:    vec("z4j_ingest_frames_in_total", "Authenticated frames received, by type.", "type"),
		framesOut:   counter("z4j_ingest_frames_out_total", "Frames written to agents."),
		bytesIn:     counter("z4j_ingest_received_bytes_total", "Bytes of frames received, after decompression."),
		frameErrors: vec("z4j_ingest_frame_errors_total", "Frames that closed their connection, by class of fault.", "class"),
		acks:        counter("z4j_ingest_acks_total", "Event batches acknowledged after commit."),
		withheld:    counter("z4j_ingest_acks_withheld_total", "Event batches not acknowledged because of a passing failure; agents send them again."),
		refused:     counter("z4j_ingest_frames_refused_total", "Frames that can never be stored and were dropped."),
		ipDenied:    vec("z4j_auth_ip_denied_total", "Requests refused by an address allow-list.", "surface"),
	}
	for _, c := range []prometheus.Collector{
		m.connections, m.handshakes, m.closes, m.framesIn, m.framesOut, m.bytesIn,
		m.frameErrors, m.acks, m.withheld, m.refused, m.ipDenied,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// IPDenied counts a request that an address allow-list refused.
func (m *Metrics) IPDenied(surface string) { m.ipDenied.WithLabelValues(surface).Inc() }

func codeLabel(code int) string {
	switch code {
	case 0, 1000, 1001, 1002, 1006, CloseInternal, CloseRestart, CloseReplaced, CloseRevoked, CloseBadFrame, CloseUnauthenticated,
		CloseForbidden, CloseIdle, CloseProtocolVersion, CloseTooMany:
		return strconv.Itoa(code)
	}
	return "other"
}
