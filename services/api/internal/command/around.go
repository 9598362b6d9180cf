// SPDX-License-Identifier: AGPL-3.0-or-later

package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// around remembers what the commands of one answer refer to, because most refer to the same few.
type around struct {
	agents  map[int64]agentName
	users   map[uuid.UUID]*IssuerPublic
	workers map[string]*uuid.UUID
}

type agentName struct {
	uid  uuid.UUID
	name *string
}

func newAround() *around {
	return &around{agents: map[int64]agentName{}, users: map[uuid.UUID]*IssuerPublic{}, workers: map[string]*uuid.UUID{}}
}

// agentOf names an agent, also a revoked one.
func (g *group) agentOf(r *rest.Request, id int64, known *around) (agentName, error) {
	if a, ok := known.agents[id]; ok {
		return a, nil
	}
	uid, err := g.cfg.Store.AgentUID(r.Context(), id)
	if err != nil {
		return agentName{}, fmt.Errorf("find agent of command: %w", err)
	}
	found := agentName{uid: uid}
	a, err := g.cfg.Store.AgentByUID(r.Context(), r.Project.ID, uid)
	switch {
	case err == nil:
		found.name = &a.Name
	case !errors.Is(err, domain.ErrNotFound):
		return agentName{}, fmt.Errorf("find agent of command: %w", err)
	}
	known.agents[id] = found
	return found, nil
}

// issuerOf names a user, who may be deleted by now.
func (g *group) issuerOf(r *rest.Request, id uuid.UUID, known *around) (*IssuerPublic, error) {
	if u, ok := known.users[id]; ok {
		return u, nil
	}
	out := &IssuerPublic{ID: id, Name: "deleted account"}
	u, err := g.cfg.Store.UserByID(r.Context(), id)
	switch {
	case err == nil:
		out.Email, out.Name = &u.Email, u.Email
		if u.DisplayName != nil {
			out.Name = cmp.Or(*u.DisplayName, u.Email)
		}
	case !errors.Is(err, domain.ErrNotFound):
		return nil, fmt.Errorf("find who issued a command: %w", err)
	}
	known.users[id] = out
	return out, nil
}

// targetOf names what a command acts on by the ids of its page, nil when it has none.
func (g *group) targetOf(r *rest.Request, c *store.Command, known *around) (*TargetPublic, error) {
	var sent struct {
		Engine string `json:"engine"`
		TaskID string `json:"task_id"`
	}
	// Ended commands may have lost their payload; then the target's id is all there is.
	if json.Unmarshal([]byte(c.Payload), &sent) != nil {
		sent.Engine, sent.TaskID = "", ""
	}
	if c.TargetID == nil || *c.TargetID == "" {
		if c.TargetType == "queue" && sent.Engine != "" {
			return &TargetPublic{Kind: c.TargetType, Engine: &sent.Engine}, nil
		}
		return nil, nil
	}
	id := *c.TargetID
	out := &TargetPublic{Kind: c.TargetType}
	if sent.Engine != "" {
		out.Engine = &sent.Engine
	}
	switch {
	case c.TargetType == "task" && c.Action == "rate_limit":
		out.Kind, out.Name = "name", &id
	case c.TargetType == "task":
		engine, task, ok := strings.Cut(id, ":")
		if !ok {
			return nil, nil
		}
		out.Engine, out.TaskID = &engine, &task
	case c.TargetType == "queue":
		out.Queue = &id
	case c.TargetType == "worker":
		out.Worker = &id
		key := sent.Engine + "/" + id
		uid, ok := known.workers[key]
		if !ok {
			rows, err := g.cfg.Store.WorkersByName(r.Context(), r.Project.ID, id, sent.Engine)
			if err != nil {
				return nil, fmt.Errorf("find worker of command: %w", err)
			}
			if len(rows) == 1 {
				uid = &rows[0].UID
			}
			known.workers[key] = uid
		}
		out.WorkerID = uid
	default:
		return nil, nil
	}
	return out, nil
}
