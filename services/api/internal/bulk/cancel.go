// SPDX-License-Identifier: AGPL-3.0-or-later

package bulk

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// cancelsAtOnce is how many commands one transaction issues: the writer must not be held from ingest for long.
const cancelsAtOnce = 50

// cancel issues one command a task, as if each had been cancelled by itself.
func (g *group) cancel(r *rest.Request) (any, error) {
	tasks, err := g.toCancel(r)
	if err != nil {
		return nil, err
	}
	agents, err := offer.Load(r.Context(), g.cfg.Store, r.Project.ID)
	if err != nil {
		return nil, err
	}
	out := BulkCancelResponse{Items: make([]BulkCancelItem, len(tasks))}
	offers := map[string]offer.Action{}
	var orders []store.NewCommand
	told := map[int64]bool{}
	for i, t := range tasks {
		item := BulkCancelItem{Engine: t.Engine, TaskID: t.TaskID}
		o, ok := offers[t.Engine]
		if !ok {
			o = agents.Offer(r, auth.CommandCancelTask, "cancel_task", t.Engine, nil, "cancel_task")
			offers[t.Engine] = o
		}
		switch {
		case t.Name == "":
			item.Reason = new("The project has no such task.")
		case over(t.State):
			item.Reason = new(fmt.Sprintf("The task has ended (%s).", t.State))
		case !o.Allowed:
			item.Reason = o.Reason
		default:
			a := agents.List[slices.IndexFunc(agents.List, func(a store.Agent) bool { return a.UID == *o.AgentID })]
			n := store.NewCommand{
				ID: uuid.New(), Agent: store.AgentRef{ID: a.ID, ProjectID: r.Project.ID, UID: a.UID, ProjectUID: r.Project.UID},
				Action: "cancel_task", TargetType: "task", TargetID: t.Engine + ":" + t.TaskID, Timeout: g.cfg.Timeout,
				Payload: map[string]any{"engine": t.Engine, "task_id": t.TaskID}, SourceIP: r.IP(), UserAgent: r.HTTP.UserAgent(),
			}
			if r.LoggedIn {
				n.IssuedBy = &r.User.ID
			}
			orders = append(orders, n)
			told[a.ID] = true
			item.CommandID = new(n.ID.String())
			out.Issued++
		}
		out.Items[i] = item
	}
	out.Refused = len(tasks) - out.Issued
	for chunk := range slices.Chunk(orders, cancelsAtOnce) {
		err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
			for _, n := range chunk {
				if _, _, err := tx.CreateCommand(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("issue cancellations: %w", err)
		}
	}
	for agent := range told {
		g.cfg.Hints.Publish(r.Context(), bus.AgentCommands(agent), nil)
	}
	if len(told) > 0 {
		g.cfg.Hints.Publish(r.Context(), bus.ProjectCommands(r.Project.ID), nil)
	}
	return out, nil
}

// over reports whether a task of the state has ended.
func over(s domain.TaskState) bool {
	return s == domain.StateSuccess || s == domain.StateFailure || s == domain.StateRevoked || s == domain.StateRejected
}
