// SPDX-License-Identifier: AGPL-3.0-or-later

package notice

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/store"
)

// maxSeries bounds the label values agents can make up: engines are their words.
const (
	maxSeries   = 2000
	otherEngine = "other"
)

// Events counts newly stored events by project, engine and kind.
type Events struct {
	vec *prometheus.CounterVec
	lag prometheus.Histogram

	mu     sync.Mutex
	series map[eventSeries]prometheus.Counter
}

type eventSeries struct {
	project      uuid.UUID
	engine, kind string
}

// NewEvents registers the counter.
func NewEvents(reg prometheus.Registerer) (*Events, error) {
	e := &Events{
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_events_ingested_total", Help: "Events stored, without repetitions.",
		}, []string{"project", "engine", "kind"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "z4j_ingest_event_lag_seconds",
			Help:    "Age of events when they were stored, by the clock of their agent: what they waited in its buffer and here.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600},
		}),
		series: make(map[eventSeries]prometheus.Counter),
	}
	return e, errors.Join(reg.Register(e.vec), reg.Register(e.lag))
}

// Count adds the new events of stored items.
func (e *Events) Count(items []*store.IngestItem) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, it := range items {
		if it.Accepted == 0 {
			continue
		}
		for i := range it.Events {
			if in := &it.Events[i]; in.Stored {
				e.counter(eventSeries{it.Agent.ProjectUID, in.Engine, in.KindName}).Inc()
				e.lag.Observe(max(now.Sub(in.At).Seconds(), 0))
			}
		}
	}
}

func (e *Events) counter(k eventSeries) prometheus.Counter {
	c, ok := e.series[k]
	if ok {
		return c
	}
	if len(e.series) >= maxSeries && k.engine != otherEngine {
		k.engine = otherEngine
		return e.counter(k)
	}
	c = e.vec.WithLabelValues(k.project.String(), k.engine, k.kind)
	e.series[k] = c
	return c
}
