// SPDX-License-Identifier: AGPL-3.0-or-later

// Package notice sends what the ingest service tells others: hints on the bus, and refused connections,
// counted by minute, to the audit log.
package notice

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
)

// Hints publishes hints; a hint that can't be published is only a delay.
type Hints struct {
	Bus    bus.Bus
	Logger *slog.Logger
}

func (h Hints) publish(ctx context.Context, t bus.Topic) {
	if err := h.Bus.Publish(ctx, t, nil); err != nil {
		h.Logger.Debug("hint not published", "topic", t.String(), "err", err)
	}
}

// SlotTaken tells the replica that held a slot to look at its row.
func (h Hints) SlotTaken(ctx context.Context, agentID int64) { h.publish(ctx, bus.AgentSlot(agentID)) }

// AgentChanged says that an agent came or left.
func (h Hints) AgentChanged(ctx context.Context, ref store.AgentRef) {
	h.publish(ctx, bus.ProjectAgents(ref.ProjectID))
}

// CommandChanged says that a command of the project changed.
func (h Hints) CommandChanged(ctx context.Context, projectID int64) {
	h.publish(ctx, bus.ProjectCommands(projectID))
}

// CommandIssued says that a command waits for an agent.
func (h Hints) CommandIssued(ctx context.Context, ref store.AgentRef) {
	h.publish(ctx, bus.AgentCommands(ref.ID))
	h.publish(ctx, bus.ProjectCommands(ref.ProjectID))
}

// TasksChanged says that tasks of the project changed.
func (h Hints) TasksChanged(ctx context.Context, projectID int64) {
	h.publish(ctx, bus.ProjectTasks(projectID))
}

// RefusalStore keeps counted refusals.
type RefusalStore interface {
	AddAuditRefusals(ctx context.Context, refusals []store.AuditRefusal) error
}

// Bounds of the counts: addresses beyond maxRefusals in one flush share one row.
const (
	maxRefusals   = 1000
	flushInterval = 10 * time.Second
	flushTimeout  = 5 * time.Second
	otherAddress  = "(others)"
)

type refusalKey struct {
	minute             time.Time
	ip, action, reason string
}

// Refusals counts refused connections and writes the counts now and then, so that a flood neither fills the
// table nor costs a transaction each.
type Refusals struct {
	store RefusalStore
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	counts map[refusalKey]*store.AuditRefusal
}

// NewRefusals returns a counter; Run writes what it counts.
func NewRefusals(s RefusalStore, log *slog.Logger, now func() time.Time) *Refusals {
	return &Refusals{store: s, log: log, now: now, counts: make(map[refusalKey]*store.AuditRefusal)}
}

// Refused counts one refusal.
func (r *Refusals) Refused(_ context.Context, ip netip.Addr, action, reason string) {
	now := r.now().UTC().Truncate(time.Microsecond)
	k := refusalKey{minute: now.Truncate(time.Minute), ip: ip.String(), action: action, reason: reason}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.counts[k]; !ok && len(r.counts) >= maxRefusals {
		k.ip = otherAddress
	}
	c := r.counts[k]
	if c == nil {
		c = &store.AuditRefusal{Minute: k.minute, SourceIP: k.ip, Action: action, Reason: reason}
		r.counts[k] = c
	}
	c.N++
	c.LastAt = now
}

// Run writes the counts until ctx ends, and once more then.
func (r *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			r.flush(ctx)
		}
	}
}

func (r *Refusals) flush(ctx context.Context) {
	r.mu.Lock()
	rows := make([]store.AuditRefusal, 0, len(r.counts))
	for _, c := range r.counts {
		rows = append(rows, *c)
	}
	clear(r.counts)
	r.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := r.store.AddAuditRefusals(ctx, rows); err != nil {
		r.log.Warn("refused connections not recorded for the audit log", "rows", len(rows), "err", err)
	}
}
