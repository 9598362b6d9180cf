// SPDX-License-Identifier: AGPL-3.0-or-later

// Package watch keeps the sockets of one replica true to the rows: it renews slot leases, closes connections
// whose slot another replica took (4002) or whose agent may no longer connect (4003), and turns the bus's
// hints about agents into action. Everything a hint says is polled as well.
package watch

import (
	"context"
	"log/slog"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/ingest/internal/hub"
)

// Close codes used here.
const (
	closeReplaced = 4002
	closeBarred   = 4003
)

// Config tunes the watch. Zero values take the defaults named.
type Config struct {
	// Owner names this replica, Lease is how long its slots stay live unless renewed (30 s).
	Owner string
	Lease time.Duration
	// BarredInterval is the pace of the poll for revoked agents and archived projects (1 s).
	BarredInterval time.Duration
}

// barredMargin is how far back the poll looks: clocks of replicas differ.
const barredMargin = 2 * time.Minute

// fullEvery is how many polls pass between two that look at all barred agents ever.
const fullEvery = 60

// Store is what the watch needs of the database.
type Store interface {
	RenewSlots(ctx context.Context, owner string, lease time.Duration) ([]store.Slot, error)
	AgentSlots(ctx context.Context, agentID int64) ([]store.Slot, error)
	BarredAgents(ctx context.Context, since time.Time) ([]int64, error)
	Now() time.Time
}

// Deps are the watch's collaborators.
type Deps struct {
	Store  Store
	Hub    *hub.Hub
	Bus    bus.Bus
	Logger *slog.Logger
	// Deliver starts the delivery of an agent's commands; it returns at once.
	Deliver func(agentID int64)
	// Wake ends the waiting of an agent that polls.
	Wake func(agentID int64)
}

// Watch is a replica's watch over its sockets.
type Watch struct {
	cfg   Config
	deps  Deps
	polls int
}

// New returns a watch; Run does its work.
func New(cfg Config, d Deps) *Watch {
	if cfg.Lease <= 0 {
		cfg.Lease = 30 * time.Second
	}
	if cfg.BarredInterval <= 0 {
		cfg.BarredInterval = time.Second
	}
	return &Watch{cfg: cfg, deps: d}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	sub, err := w.deps.Bus.Subscribe(ctx, bus.Agents())
	if err != nil {
		return err
	}
	defer sub.Close()
	hints := sub.C()
	renew := time.NewTicker(w.cfg.Lease / 3)
	defer renew.Stop()
	barred := time.NewTicker(w.cfg.BarredInterval)
	defer barred.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m, ok := <-hints:
			if !ok {
				// The bus closed before us: what is left is the poll.
				hints = nil
				continue
			}
			w.hint(ctx, m)
		case <-renew.C:
			w.renew(ctx)
		case <-barred.C:
			w.barred(ctx)
		}
	}
}

func (w *Watch) hint(ctx context.Context, m bus.Message) {
	h, ok := bus.ParseAgentHint(m)
	if !ok {
		return
	}
	switch h.Kind {
	case bus.HintCommand:
		w.deps.Wake(h.ID)
		if w.deps.Hub.Connected(h.ID) {
			w.deps.Deliver(h.ID)
		}
	case bus.HintRevoked, bus.HintArchived:
		// The rows decide; the hint only says when to look.
		w.barred(ctx)
	case bus.HintSlot:
		if w.deps.Hub.Connected(h.ID) {
			w.slots(ctx, h.ID)
		}
	}
}

// barred closes connections of agents that were revoked or whose project was archived.
func (w *Watch) barred(ctx context.Context) {
	if w.deps.Hub.Len() == 0 {
		return
	}
	since := w.deps.Store.Now().Add(-barredMargin)
	if w.polls%fullEvery == 0 {
		since = time.Unix(0, 0)
	}
	w.polls++
	ids, err := w.deps.Store.BarredAgents(ctx, since)
	if err != nil {
		if ctx.Err() == nil {
			w.deps.Logger.Warn("revoked agents not polled", "err", err)
		}
		return
	}
	for _, id := range ids {
		for _, s := range w.deps.Hub.Slots(id) {
			w.deps.Logger.Info("agent connection closed: agent revoked or project archived", "agent_id", s.Agent().UID.String(), "worker_id", s.WorkerID())
			s.Close(closeBarred, "")
		}
	}
}

// renew prolongs this replica's leases and closes connections that lost their slot.
func (w *Watch) renew(ctx context.Context) {
	// Taken before the rows are read: a connection registered in between has its row already.
	held := w.deps.Hub.All()
	if len(held) == 0 {
		return
	}
	rows, err := w.deps.Store.RenewSlots(ctx, w.cfg.Owner, w.cfg.Lease)
	if err != nil {
		if ctx.Err() == nil {
			w.deps.Logger.Warn("slot leases not renewed", "err", err)
		}
		return
	}
	type key struct {
		agent  int64
		worker string
	}
	owned := make(map[key]int64, len(rows))
	for _, r := range rows {
		owned[key{r.AgentID, r.WorkerID}] = r.Generation
	}
	for _, s := range held {
		if owned[key{s.Agent().ID, s.WorkerID()}] != s.Generation() {
			w.replaced(s)
		}
	}
}

// slots checks one agent's slots against the rows.
func (w *Watch) slots(ctx context.Context, agentID int64) {
	held := w.deps.Hub.Slots(agentID)
	rows, err := w.deps.Store.AgentSlots(ctx, agentID)
	if err != nil {
		w.deps.Logger.Warn("slots not checked", "err", err)
		return
	}
	for _, s := range held {
		for _, r := range rows {
			if r.WorkerID == s.WorkerID() && r.Generation > s.Generation() {
				w.replaced(s)
			}
		}
	}
}

func (w *Watch) replaced(s hub.Slot) {
	w.deps.Logger.Info("agent connection closed: the slot was taken by a newer one", "agent_id", s.Agent().UID.String(), "worker_id", s.WorkerID())
	s.Close(closeReplaced, "")
}
