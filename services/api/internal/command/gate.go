// SPDX-License-Identifier: AGPL-3.0-or-later

package command

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Capabilities that gates look for, as adapters advertise them.
const (
	canRetry           = "retry_task"
	canRetryReference  = "retry_by_reference_v1"
	canSubmit          = "submit_task"
	canCancel          = "cancel_task"
	canBulkRetry       = "bulk_retry"
	canRequeue         = "requeue_dead_letter"
	canListDeadLetters = "list_dead_letters"
)

// agent finds an agent of the project that was not revoked.
func (g *group) agent(r *rest.Request, uid uuid.UUID) (store.Agent, error) {
	a, err := g.cfg.Store.AgentByUID(r.Context(), r.Project.ID, uid)
	if errors.Is(err, domain.ErrNotFound) || err == nil && a.RevokedAt != nil {
		return a, domain.Errorf(domain.CodeNotFound, "agent not found in this project").With("agent_id", uid.String())
	}
	if err != nil {
		return a, fmt.Errorf("find agent: %w", err)
	}
	return a, nil
}

// refuse answers a call that the agent could not carry out.
func refuse(status int, code, message string, detail map[string]any) error {
	detail["error"] = message
	return httpx.WithDetail(&domain.Error{Code: code, Status: status, Message: message, Details: detail}, detail)
}

func notCapable(a *store.Agent, engine, action string) error {
	inv := offer.InventoryOf(a)
	message := fmt.Sprintf("agent '%s' does not offer %s for engine '%s'", a.Name, action, engine)
	switch {
	case len(inv.Engines) == 0:
		message += ": it has no engine adapter; install one of the z4j engine packages next to it"
	case !slices.Contains(inv.Engines, engine):
		message += ": its engines are " + strings.Join(inv.Engines, ", ") + "; choose an agent that runs with this engine"
	default:
		message += ": the engine, or the installed version of its adapter, does not support it"
	}
	return refuse(http.StatusUnprocessableEntity, domain.CodeValidation, message, map[string]any{
		"engine": engine, "action": action, "agent_id": a.UID.String(),
	})
}

// gate finds the agent and checks that it offers the capability on the engine.
func (g *group) gate(r *rest.Request, uid uuid.UUID, engine, action, capability string) (store.Agent, error) {
	a, err := g.agent(r, uid)
	if err != nil {
		return a, err
	}
	if !offer.InventoryOf(&a).Allows(engine, capability) {
		return a, notCapable(&a, engine, action)
	}
	return a, nil
}

// worker finds the one worker a control is for and the agent to carry it out: the one that reported the worker last,
// or, when that one is gone, the one the caller named. Stock adapters send no worker events, so the row of the
// worker, which task events and heartbeats keep, is what ties the two together.
func (g *group) worker(r *rest.Request, named uuid.UUID, name string, engine *string, action string) (store.Agent, store.Worker, error) {
	asked, err := g.agent(r, named)
	if err != nil {
		return asked, store.Worker{}, err
	}
	wanted := ""
	if engine != nil {
		wanted = *engine
	}
	rows, err := g.cfg.Store.WorkersByName(r.Context(), r.Project.ID, name, wanted)
	if err != nil {
		return asked, store.Worker{}, fmt.Errorf("find worker: %w", err)
	}
	switch {
	case len(rows) == 0:
		return asked, store.Worker{}, domain.Errorf(domain.CodeValidation,
			"no worker of that name has reported to this project; take the name as the list of workers shows it, or wait for the worker's first event or heartbeat")
	case len(rows) > 1:
		var engines []string
		for _, w := range rows {
			engines = append(engines, w.Engine)
		}
		return asked, store.Worker{}, domain.Errorf(domain.CodeValidation,
			"workers of several engines have that name; specify its engine: %s", strings.Join(engines, " or "))
	}
	w := rows[0]
	chosen, err := g.carrier(r, asked, &w, action)
	return chosen, w, err
}

// carrier chooses the agent for a worker control.
func (g *group) carrier(r *rest.Request, asked store.Agent, w *store.Worker, action string) (store.Agent, error) {
	candidates := []store.Agent{}
	if w.AgentID != nil && *w.AgentID != asked.ID {
		agents, err := g.cfg.Store.Agents(r.Context(), r.Project.ID, maxAgents)
		if err != nil {
			return asked, fmt.Errorf("list agents: %w", err)
		}
		if i := slices.IndexFunc(agents, func(a store.Agent) bool { return a.ID == *w.AgentID }); i >= 0 {
			candidates = append(candidates, agents[i])
		}
	}
	candidates = append(candidates, asked)
	live, err := g.cfg.Store.LiveAgents(r.Context(), r.Project.ID)
	if err != nil {
		return asked, err
	}
	able := slices.DeleteFunc(slices.Clone(candidates), func(a store.Agent) bool {
		inv := offer.InventoryOf(&a)
		return !inv.Reported || !inv.Allows(w.Engine, action)
	})
	if len(able) == 0 {
		return asked, notCapable(&candidates[0], w.Engine, action)
	}
	for _, a := range able {
		if live[a.ID] {
			return a, nil
		}
	}
	return able[0], nil
}

// maxAgents bounds the agents looked at.
const maxAgents = 1000

// onlyEngine is the engine to name in a request that carries none, for agents with several: "" leaves the choice to
// the agent. pick tells which of its engines fit.
func onlyEngine(a *store.Agent, pick func(engine string) bool) string {
	inv := offer.InventoryOf(a)
	if len(inv.Engines) < 2 {
		return ""
	}
	var fit []string
	for _, e := range inv.Engines {
		if pick(e) {
			fit = append(fit, e)
		}
	}
	if len(fit) == 1 {
		return fit[0]
	}
	return ""
}
