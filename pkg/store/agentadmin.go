// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Rows about agents.
type (
	// AgentStatus is one self report of an agent.
	AgentStatus = db.AgentStatus
	// AgentProcess is a process behind an agent token, with the agent's public id.
	AgentProcess = db.ListAgentWorkersRow
)

// Agents lists the agents of a project that are not revoked, by name.
func (s *Store) Agents(ctx context.Context, projectID, limit int64) ([]Agent, error) {
	as, err := s.q.ListAgents(ctx, s.eng.read(), db.ListAgentsParams{ProjectID: projectID, MaxRows: limit})
	return as, s.err(err)
}

// AgentByUID returns an agent of the project, revoked ones included.
func (s *Store) AgentByUID(ctx context.Context, projectID int64, uid uuid.UUID) (Agent, error) {
	a, err := s.q.AgentByUID(ctx, s.eng.read(), db.AgentByUIDParams{UID: uid, ProjectID: projectID})
	return a, s.err(err)
}

// AgentStatuses lists an agent's self reports, newest first.
func (s *Store) AgentStatuses(ctx context.Context, agentID, limit int64) ([]AgentStatus, error) {
	vs, err := s.q.ListAgentStatus(ctx, s.eng.read(), db.ListAgentStatusParams{AgentID: agentID, MaxRows: limit})
	return vs, s.err(err)
}

// AgentProcesses lists the processes behind a project's agents, online ones first; state and role narrow it.
func (s *Store) AgentProcesses(ctx context.Context, projectID int64, state, role *string, limit int64) ([]AgentProcess, error) {
	vs, err := s.q.ListAgentWorkers(ctx, s.eng.read(), db.ListAgentWorkersParams{
		ProjectID: projectID, State: state, Role: role, MaxRows: limit,
	})
	return vs, s.err(err)
}

// CreateAgent registers an agent under the hash of its token; domain.ErrConflict when the name is in use.
func (tx *Tx) CreateAgent(ctx context.Context, projectID int64, name, tokenHash string) (Agent, error) {
	a, err := tx.s.q.CreateAgent(ctx, tx.db, db.CreateAgentParams{
		UID: uuid.New(), ProjectID: projectID, Name: name, TokenHash: tokenHash, Now: tx.s.Now(),
	})
	if err != nil {
		return Agent{}, fmt.Errorf("create agent: %w", tx.s.err(err))
	}
	return a, nil
}

// RevokeAgent makes an agent's token void; changed is false when it was revoked before.
func (tx *Tx) RevokeAgent(ctx context.Context, id int64) (changed bool, err error) {
	now := tx.s.Now()
	n, err := tx.s.q.RevokeAgent(ctx, tx.db, db.RevokeAgentParams{ID: id, Now: &now})
	return n > 0, tx.s.err(err)
}
