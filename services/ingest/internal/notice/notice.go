// SPDX-License-Identifier: AGPL-3.0-or-later

// Package notice sends what the ingest service tells others: hints on the bus, and refused connections,
// counted by minute, to the audit log.
package notice

import (
	"context"
	"log/slog"
	"net/netip"

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

// Refusals counts refused connections for the audit log.
type Refusals struct {
	*store.Refusals
}

// Refused counts one refusal.
func (r Refusals) Refused(_ context.Context, ip netip.Addr, action, reason string) {
	r.Count(ip.String(), action, reason)
}
