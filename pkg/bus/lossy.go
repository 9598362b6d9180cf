// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

var _ Bus = (*Lossy)(nil)

// Lossy drops a share of the hints published through it, at random. Tests put it around a real bus to prove
// that nothing depends on a hint.
type Lossy struct {
	Bus
	share   float64
	dropped atomic.Int64

	mu  sync.Mutex
	rng *rand.Rand
}

// NewLossy wraps a bus; share is between 0 (drop nothing) and 1 (drop everything), seed makes a run repeatable.
func NewLossy(inner Bus, share float64, seed uint64) *Lossy {
	return &Lossy{Bus: inner, share: share, rng: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // no secret is drawn here
}

// Publish implements Bus.
func (l *Lossy) Publish(ctx context.Context, topic Topic, payload []byte) error {
	l.mu.Lock()
	lose := l.rng.Float64() < l.share
	l.mu.Unlock()
	if lose {
		l.dropped.Add(1)
		return check(topic, payload)
	}
	return l.Bus.Publish(ctx, topic, payload)
}

// Dropped is how many hints were lost on purpose.
func (l *Lossy) Dropped() int64 { return l.dropped.Load() }
