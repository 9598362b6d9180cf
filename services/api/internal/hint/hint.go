// SPDX-License-Identifier: AGPL-3.0-or-later

// Package hint publishes what other parts of the brain should look at. A hint that cannot be sent is logged and
// forgotten: its receivers also poll.
package hint

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
)

// publishLimit bounds a publish: the answer to the browser must not wait for a slow bus.
const publishLimit = 500 * time.Millisecond

// Publisher is what hints need of the bus.
type Publisher interface {
	Publish(ctx context.Context, topic bus.Topic, payload []byte) error
}

// Hints publishes after a change was committed.
type Hints struct {
	bus Publisher
	log *slog.Logger
}

// New returns Hints on a bus.
func New(b Publisher, log *slog.Logger) *Hints { return &Hints{bus: b, log: log} }

// SessionsChanged says that sessions of the user ended.
func (h *Hints) SessionsChanged(ctx context.Context, user uuid.UUID) {
	h.Publish(ctx, bus.UserSessions(user), nil)
}

// MembersChanged says that the user's rights changed. Whoever holds a socket of his looks at sessions and rights alike.
func (h *Hints) MembersChanged(ctx context.Context, user uuid.UUID) {
	h.Publish(ctx, bus.UserSessions(user), nil)
}

// AgentRevoked has the sockets of a revoked agent closed and dashboards refreshed.
func (h *Hints) AgentRevoked(ctx context.Context, projectID, agentID int64) {
	h.Publish(ctx, bus.AgentRevoked(agentID), nil)
	h.Publish(ctx, bus.ProjectAgents(projectID), nil)
}

// AgentsChanged has dashboards refresh a project's agents.
func (h *Hints) AgentsChanged(ctx context.Context, projectID int64) {
	h.Publish(ctx, bus.ProjectAgents(projectID), nil)
}

// ProjectArchived has the agents of an archived project disconnected.
func (h *Hints) ProjectArchived(ctx context.Context, projectID int64) {
	h.Publish(ctx, bus.ProjectArchived(projectID), nil)
}

// Publish sends one hint. It outlives the request it belongs to, because the change already happened.
func (h *Hints) Publish(ctx context.Context, topic bus.Topic, payload []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishLimit)
	defer cancel()
	if err := h.bus.Publish(ctx, topic, payload); err != nil {
		h.log.WarnContext(ctx, "cannot publish a hint; others notice by polling", "topic", topic.String(), "err", err)
	}
}
