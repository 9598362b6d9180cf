// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxRefusalKeys bounds the distinct addresses, actions and reasons counted in one minute by one replica.
	maxRefusalKeys  = 500
	refusalInterval = 5 * time.Second
)

// OtherAddresses stands for the addresses of a minute that came after the bound was reached.
const OtherAddresses = "*"

// Refusals counts refused requests per address, action, reason and minute, in memory, and adds the counts to the
// database every few seconds: a flood of refusals costs a few rows a minute and never one write each. Counts of
// the last seconds are lost when the process is killed. Action and reason must be constants of the program.
type Refusals struct {
	store *Store

	mu     sync.Mutex
	minute time.Time
	seen   map[refusalKey]struct{} // of this minute, flushed ones included
	counts map[refusalKey]*AuditRefusal
}

type refusalKey struct {
	minute                  time.Time
	address, action, reason string
}

// NewRefusals returns a counter; Run writes what it counts.
func NewRefusals(s *Store) *Refusals {
	return &Refusals{store: s, seen: make(map[refusalKey]struct{}), counts: make(map[refusalKey]*AuditRefusal)}
}

// Count notes one refusal. It does no I/O.
func (r *Refusals) Count(address, action, reason string) {
	now := r.store.Now()
	key := refusalKey{now.Truncate(time.Minute), address, action, reason}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !key.minute.Equal(r.minute) {
		r.minute = key.minute
		clear(r.seen)
	}
	if _, ok := r.seen[key]; !ok {
		if len(r.seen) >= maxRefusalKeys {
			key.address = OtherAddresses
		}
		r.seen[key] = struct{}{}
	}
	c := r.counts[key]
	if c == nil {
		c = &AuditRefusal{Minute: key.minute, SourceIP: key.address, Action: action, Reason: reason}
		r.counts[key] = c
	}
	c.N++
	c.LastAt = now
}

// Run writes the counts until ctx ends, and once more then. It returns nil.
func (r *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(refusalInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := r.Flush(last); err != nil {
				r.store.log.Warn("the last refusals are not written", "err", err)
			}
			return nil
		case <-tick.C:
			if err := r.Flush(ctx); err != nil && ctx.Err() == nil {
				// The counts are kept and written with the next ones.
				r.store.log.Warn("refusals are not written", "err", err)
			}
		}
	}
}

// Flush writes what was counted since the last time.
func (r *Refusals) Flush(ctx context.Context) error {
	r.mu.Lock()
	counts := r.counts
	r.counts = make(map[refusalKey]*AuditRefusal)
	r.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	rows := make([]AuditRefusal, 0, len(counts))
	for _, c := range counts {
		rows = append(rows, *c)
	}
	// Rows are written in key order, so that two replicas never wait for each other in a circle.
	slices.SortFunc(rows, func(a, b AuditRefusal) int {
		return cmp.Or(a.Minute.Compare(b.Minute), cmp.Compare(a.SourceIP, b.SourceIP), cmp.Compare(a.Action, b.Action),
			cmp.Compare(a.Reason, b.Reason))
	})
	err := r.store.AddAuditRefusals(ctx, rows)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, c := range counts {
		if now := r.counts[key]; now != nil {
			now.N += c.N
		} else if len(r.counts) < 10*maxRefusalKeys {
			r.counts[key] = c
		}
	}
	return fmt.Errorf("write refusals: %w", err)
}
