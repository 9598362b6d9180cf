// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
)

const (
	// refusalFlush is how long counted refusals wait in memory.
	refusalFlush = 5 * time.Second
	// maxRefusals bounds what waits between two flushes; what a flood adds beyond is counted on one shared row.
	maxRefusals = 4096
)

type refusalKey struct {
	minute                  time.Time
	address, action, reason string
}

type refusalCount struct {
	n    int64
	last time.Time
}

// Refusals counts refused calls by address, action and minute for the audit log, so that a flood of them costs
// one row a minute and no transaction each.
type Refusals struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	waiting map[refusalKey]refusalCount
}

// NewRefusals returns an empty counter.
func NewRefusals(s *store.Store, log *slog.Logger, now func() time.Time) *Refusals {
	return &Refusals{store: s, log: log, now: now, waiting: map[refusalKey]refusalCount{}}
}

// Note counts one refusal.
func (c *Refusals) Note(address, action, reason string) {
	now := c.now().UTC()
	key := refusalKey{minute: now.Truncate(time.Minute), address: address, action: action, reason: reason}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[key]; !ok && len(c.waiting) >= maxRefusals {
		key.address = "(other addresses)"
	}
	entry := c.waiting[key]
	entry.n++
	entry.last = now
	c.waiting[key] = entry
}

// Run writes the counts every few seconds until ctx ends, and once more then.
func (c *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(refusalFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.Flush(ctx)
		case <-ctx.Done():
			final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			c.Flush(final)
			return nil
		}
	}
}

// Flush writes what waits. After a failure it waits for the next round.
func (c *Refusals) Flush(ctx context.Context) {
	c.mu.Lock()
	taken := c.waiting
	c.waiting = make(map[refusalKey]refusalCount)
	c.mu.Unlock()
	if len(taken) == 0 {
		return
	}
	rows := make([]store.AuditRefusal, 0, len(taken))
	for k, v := range taken {
		rows = append(rows, store.AuditRefusal{
			Minute: k.minute, SourceIP: k.address, Action: k.action, Reason: k.reason, N: v.n, LastAt: v.last.Truncate(time.Microsecond),
		})
	}
	if err := c.store.AddAuditRefusals(ctx, rows); err != nil {
		c.log.WarnContext(ctx, "cannot count refused calls; trying again", "err", err, "rows", len(rows))
		c.mu.Lock()
		defer c.mu.Unlock()
		for k, v := range taken {
			entry := c.waiting[k]
			entry.n += v.n
			if v.last.After(entry.last) {
				entry.last = v.last
			}
			c.waiting[k] = entry
		}
	}
}
