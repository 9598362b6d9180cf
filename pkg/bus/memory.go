// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"bytes"
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

var _ Bus = (*Memory)(nil)

// Memory is the bus of a single process.
type Memory struct {
	hub *hub
}

// NewMemory returns an open bus; reg may be nil.
func NewMemory(reg prometheus.Registerer) *Memory {
	m := newMetrics(reg)
	m.connected.Set(1)
	return &Memory{hub: newHub(m)}
}

// Publish implements Bus.
func (b *Memory) Publish(_ context.Context, topic Topic, payload []byte) error {
	if err := check(topic, payload); err != nil {
		return err
	}
	if b.hub.isClosed() {
		return ErrClosed
	}
	b.hub.metrics.published.Inc()
	// The caller may use its buffer again, the receivers read later.
	b.hub.deliver(topic, bytes.Clone(payload))
	if repeat, ok := topic.family(); ok {
		b.hub.deliver(Agents(), repeat)
	}
	return nil
}

// Subscribe implements Bus.
func (b *Memory) Subscribe(ctx context.Context, topics ...Topic) (Subscription, error) {
	s, _, err := b.hub.add(topics, func(s *subscription) { b.hub.remove(s) })
	if err != nil {
		return nil, err
	}
	s.watch(ctx)
	return s, nil
}

// Close implements Bus.
func (b *Memory) Close() error {
	for _, s := range b.hub.close() {
		s.Close()
	}
	return nil
}
