// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"context"
	"slices"
	"sync"
)

// hub fans hints out to the subscriptions of this process.
type hub struct {
	metrics *metrics

	mu     sync.RWMutex
	topics map[Topic]map[*subscription]struct{}
	closed bool
}

func newHub(m *metrics) *hub {
	return &hub{metrics: m, topics: make(map[Topic]map[*subscription]struct{})}
}

// subscription is one receiver's queue. Its channel is written under the hub's read lock and closed under the
// write lock, so a hint never meets a closed channel.
type subscription struct {
	c      chan Message
	topics []Topic
	once   sync.Once
	end    func(*subscription)

	mu   sync.Mutex
	stop func() bool // ends the watch on the subscriber's context
}

// C implements Subscription.
func (s *subscription) C() <-chan Message { return s.c }

// Close implements Subscription.
func (s *subscription) Close() {
	s.once.Do(func() {
		s.mu.Lock()
		stop := s.stop
		s.mu.Unlock()
		if stop != nil {
			stop()
		}
		s.end(s)
	})
}

// deliver hands the hint to everybody who wants it and has room for it.
func (h *hub) deliver(topic Topic, payload []byte) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.topics[topic] {
		select {
		case s.c <- Message{Topic: topic, Payload: payload}:
			h.metrics.delivered.Inc()
		default:
			h.metrics.dropped.WithLabelValues("slow_subscriber").Inc()
		}
	}
}

// add registers a new subscription and returns the topics nobody here had asked for before.
func (h *hub) add(topics []Topic, end func(*subscription)) (s *subscription, fresh []Topic, err error) {
	if len(topics) == 0 {
		return nil, nil, ErrNoTopic
	}
	topics = slices.Clone(topics)
	for _, t := range topics {
		if err := check(t, nil); err != nil {
			return nil, nil, err
		}
	}
	s = &subscription{c: make(chan Message, queueLen), topics: topics, end: end}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, ErrClosed
	}
	for _, t := range topics {
		if h.topics[t] == nil {
			h.topics[t] = make(map[*subscription]struct{})
			fresh = append(fresh, t)
		}
		h.topics[t][s] = struct{}{}
	}
	h.metrics.subscriptions.Inc()
	return s, fresh, nil
}

// watch ends the subscription with its context. It is apart from add because ending a subscription may need
// the lock that its caller holds.
func (s *subscription) watch(ctx context.Context) {
	if ctx.Done() != nil {
		// The context may end before AfterFunc returns.
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stop = context.AfterFunc(ctx, s.Close)
	}
}

// remove takes a subscription out, closes its channel and returns the topics nobody here wants any more.
func (h *hub) remove(s *subscription) (gone []Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range s.topics {
		if _, ok := h.topics[t][s]; !ok {
			continue
		}
		delete(h.topics[t], s)
		if len(h.topics[t]) == 0 {
			delete(h.topics, t)
			gone = append(gone, t)
		}
	}
	close(s.c)
	h.metrics.subscriptions.Dec()
	return gone
}

// wanted lists the topics somebody here has asked for.
func (h *hub) wanted() []Topic {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]Topic, 0, len(h.topics))
	for t := range h.topics {
		out = append(out, t)
	}
	return out
}

// close refuses new subscriptions and returns the ones to end.
func (h *hub) close() []*subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	all := make(map[*subscription]struct{})
	for _, subs := range h.topics {
		for s := range subs {
			all[s] = struct{}{}
		}
	}
	out := make([]*subscription, 0, len(all))
	for s := range all {
		out = append(out, s)
	}
	return out
}

func (h *hub) isClosed() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closed
}
