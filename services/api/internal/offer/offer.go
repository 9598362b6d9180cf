// SPDX-License-Identifier: AGPL-3.0-or-later

// Package offer tells which actions a caller may be offered, by which agent they would be carried out, and why not.
// The gates of the commands themselves decide again; this is for pages, which show a button disabled with its reason.
package offer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Inventory is what an agent said it can do when it connected last.
type Inventory struct {
	// Reported is false for agents that never said: long-poll has no hello. They are trusted to refuse for themselves.
	Reported     bool
	Engines      []string
	Capabilities map[string][]string
}

// InventoryOf reads an agent's row.
func InventoryOf(a *store.Agent) Inventory {
	inv := Inventory{Reported: a.ProtocolVersion != "" && a.ProtocolVersion != "0"}
	// These columns hold what ingest decoded from the hello; what can't be read counts as nothing.
	if json.Unmarshal([]byte(a.EngineAdapters), &inv.Engines) != nil {
		inv.Engines = nil
	}
	if json.Unmarshal([]byte(a.Capabilities), &inv.Capabilities) != nil {
		inv.Capabilities = nil
	}
	return inv
}

// Allows reports whether the agent may be asked for one of the capabilities on the engine.
func (i Inventory) Allows(engine string, capabilities ...string) bool {
	if !i.Reported {
		return true
	}
	if !slices.Contains(i.Engines, engine) {
		return false
	}
	return slices.ContainsFunc(capabilities, func(c string) bool { return slices.Contains(i.Capabilities[engine], c) })
}

// NativeRetry reports whether an engine can run a task again by its id alone.
func NativeRetry(engine string) bool { return engine == "celery" || engine == "rq" }

// Action is one action as a page may offer it.
type Action struct {
	Action  string `json:"action"`
	Allowed bool   `json:"allowed"`
	// Reason tells why not, and what to do about it.
	Reason *string `json:"reason"`
	// AgentID is the agent to name in the request.
	AgentID *uuid.UUID `json:"agent_id"`
}

// No is an action that is not offered.
func No(action, reason string) Action { return Action{Action: action, Reason: &reason} }

// Yes is an action that an agent would carry out.
func Yes(action string, agent *store.Agent) Action {
	out := Action{Action: action, Allowed: true}
	if agent != nil {
		out.AgentID = &agent.UID
	}
	return out
}

// Agents are a project's agents and which of them can be reached now.
type Agents struct {
	List []store.Agent
	Live map[int64]bool
}

// Store is what Load reads.
type Store interface {
	Agents(ctx context.Context, projectID, limit int64) ([]store.Agent, error)
	LiveAgents(ctx context.Context, projectID int64) (map[int64]bool, error)
}

// maxAgents bounds the agents looked at.
const maxAgents = 1000

// Load reads a project's agents.
func Load(ctx context.Context, s Store, projectID int64) (Agents, error) {
	list, err := s.Agents(ctx, projectID, maxAgents)
	if err != nil {
		return Agents{}, fmt.Errorf("list agents: %w", err)
	}
	live, err := s.LiveAgents(ctx, projectID)
	if err != nil {
		return Agents{}, err
	}
	return Agents{List: list, Live: live}, nil
}

// Pick chooses the agent that would carry out an action on an engine: one that offers a capability and is connected,
// the preferred one first. Without one, why tells what is missing.
func (a Agents) Pick(engine string, preferred *int64, capabilities ...string) (agent *store.Agent, why string) {
	var able []*store.Agent
	runs := ""
	for i := range a.List {
		each := &a.List[i]
		inv := InventoryOf(each)
		if inv.Reported && slices.Contains(inv.Engines, engine) {
			runs = each.Name
		}
		// An agent that never told what it can do is no more than a last resort.
		if inv.Allows(engine, capabilities...) {
			able = append(able, each)
		}
	}
	rank := func(each *store.Agent) int {
		n := 0
		if !a.Live[each.ID] {
			n += 4
		}
		if !InventoryOf(each).Reported {
			n += 2
		}
		if preferred == nil || *preferred != each.ID {
			n++
		}
		return n
	}
	slices.SortStableFunc(able, func(x, y *store.Agent) int { return rank(x) - rank(y) })
	switch {
	case len(able) > 0 && a.Live[able[0].ID]:
		return able[0], ""
	case len(able) > 0:
		return nil, fmt.Sprintf("Agent %s is not connected. Start the process it runs in, and try again.", able[0].Name)
	case len(a.List) == 0:
		return nil, "This project has no agent. Mint one and start it beside the workers."
	case runs != "":
		return nil, fmt.Sprintf("The %s adapter of agent %s does not offer this.", engine, runs)
	default:
		return nil, fmt.Sprintf("No agent of this project runs with %s. Install the z4j package for %s beside the workers.", engine, engine)
	}
}

// Denied tells why the caller may not do what the policy calls action; "" when they may.
func Denied(r *rest.Request, action auth.Action) string {
	if r.Can(action) {
		return ""
	}
	for _, role := range []domain.Role{domain.RoleViewer, domain.RoleAuditor, domain.RoleOperator, domain.RoleAdmin} {
		if ok, _ := auth.Allow(auth.Subject{Kind: auth.BySession, Role: role}, action); ok {
			return fmt.Sprintf("This needs the role %s in the project; yours is %s. Ask an admin of the project.", role, r.Role)
		}
	}
	return "This is for administrators of the installation."
}

// Offer says whether the caller may ask for an action that needs one of the capabilities on an engine.
func (a Agents) Offer(r *rest.Request, policy auth.Action, action, engine string, preferred *int64, capabilities ...string) Action {
	if reason := Denied(r, policy); reason != "" {
		return No(action, reason)
	}
	agent, why := a.Pick(engine, preferred, capabilities...)
	if agent == nil {
		return No(action, strings.TrimSpace(why))
	}
	return Yes(action, agent)
}
