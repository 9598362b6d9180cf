// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

const pgLockAgents = `SELECT a.id, a.revoked_at IS NULL AND p.is_active FROM agents a JOIN projects p ON p.id = a.project_id
	WHERE a.id = ANY($1::bigint[]) ORDER BY a.id FOR NO KEY UPDATE OF a`

const pgLiveSlots = `SELECT agent_id, worker_id, owner FROM agent_workers
	WHERE agent_id = ANY($1::bigint[]) AND state = 'online' AND lease_until > $2`

const pgAgentsConnected = `UPDATE agents
	SET state = 'online', last_connect_at = $1, last_seen_at = $1, updated_at = $1, protocol_version = c.protocol_version,
	framework_adapter = c.framework_adapter, engine_adapters = c.engine_adapters, scheduler_adapters = c.scheduler_adapters,
	capabilities = c.capabilities, runtime_features = c.runtime_features, host_name = c.host_name, agent_version = c.agent_version
	FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
	AS c (id, protocol_version, framework_adapter, engine_adapters, scheduler_adapters, capabilities, runtime_features, host_name, agent_version)
	WHERE agents.id = c.id`

const pgTakeSlots = `INSERT INTO agent_workers (id, agent_id, project_id, worker_id, role, framework, pid, started_at, state, last_seen_at,
	last_connect_at, owner, generation, lease_until, runtime_features, created_at, updated_at)
	SELECT c.id, c.agent_id, c.project_id, c.worker_id, c.role, c.framework, c.pid, c.started_at, 'online', $1, $1, $2, 1, $3,
	c.runtime_features, $1, $1
	FROM unnest($4::uuid[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::timestamptz[], $12::text[])
	AS c (id, agent_id, project_id, worker_id, role, framework, pid, started_at, runtime_features)
	ORDER BY c.agent_id, c.worker_id COLLATE "C"
	ON CONFLICT (agent_id, worker_id) DO UPDATE
	SET role = excluded.role, framework = excluded.framework, pid = excluded.pid, started_at = excluded.started_at,
	state = 'online', last_seen_at = excluded.last_seen_at, last_connect_at = excluded.last_connect_at,
	owner = excluded.owner, generation = agent_workers.generation + 1, lease_until = excluded.lease_until,
	runtime_features = excluded.runtime_features, updated_at = excluded.updated_at
	RETURNING agent_id, worker_id, generation`

// connectMany is connect for many processes of different keys with one owner and one lease, a statement for all instead of
// five for each. list is in the order of their keys.
func (p *pg) connectMany(ctx context.Context, h db.DBTX, now time.Time, list []*Connect, out []*Connected) error {
	var agents []int64
	for _, c := range list {
		if len(agents) == 0 || agents[len(agents)-1] != c.Agent.ID {
			agents = append(agents, c.Agent.ID)
		}
	}
	// The agents' rows are locked first: connections of one agent queue up there, so that the cap counts every slot taken before.
	allowed := map[int64]bool{}
	var id int64
	var may bool
	if err := each(ctx, h, pgLockAgents, []any{agents}, []any{&id, &may}, func() { allowed[id] = may }); err != nil {
		return err
	}
	live, count := map[processKey]string{}, map[int64]int{}
	var k processKey
	var owner string
	if err := each(ctx, h, pgLiveSlots, []any{agents, now}, []any{&k.agent, &k.worker, &owner}, func() { live[k] = owner; count[k.agent]++ }); err != nil {
		return err
	}
	lease := now.Add(list[0].Lease)
	var a agentArrays
	var s slotArrays
	byKey := make(map[processKey]*Connected, len(list))
	for i, c := range list {
		k := c.process()
		taken, held := live[k]
		switch {
		case !allowed[c.Agent.ID]:
			return ErrAgentBarred
		case !held && c.Cap > 0 && count[k.agent] >= c.Cap:
			return ErrSlotsFull
		}
		if !held {
			count[k.agent]++
		}
		a.add(c)
		s.add(c)
		*out[i] = Connected{Slot: Slot{AgentID: k.agent, WorkerID: k.worker, ConnectedAt: now, TakenFrom: taken}}
		byKey[k] = out[i]
	}
	if _, err := h.Exec(ctx, pgAgentsConnected, now, a.id, a.protocol, a.framework, a.engines, a.schedulers, a.capabilities, a.features, a.host,
		a.version); err != nil {
		return err
	}
	var generation int64
	return each(ctx, h, pgTakeSlots,
		[]any{now, list[0].Owner, lease, s.id, s.agent, s.project, s.worker, s.role, s.framework, s.pid, s.started, s.features},
		[]any{&k.agent, &k.worker, &generation}, func() { byKey[k].Slot.Generation = generation })
}

// each runs a query and calls fn for each row, scanned into dest.
func each(ctx context.Context, h db.DBTX, query string, args, dest []any, fn func()) error {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, dest, func() error { fn(); return nil })
	return err
}

// agentArrays are what connecting agents say of themselves; an agent with several processes is told by the last of them.
type agentArrays struct {
	id                                                               []int64
	protocol, framework, engines, schedulers, capabilities, features []string
	host, version                                                    []*string
}

func (a *agentArrays) add(c *Connect) {
	if n := len(a.id); n > 0 && a.id[n-1] == c.Agent.ID {
		n--
		a.id, a.protocol, a.framework, a.engines = a.id[:n], a.protocol[:n], a.framework[:n], a.engines[:n]
		a.schedulers, a.capabilities, a.features = a.schedulers[:n], a.capabilities[:n], a.features[:n]
		a.host, a.version = a.host[:n], a.version[:n]
	}
	a.id, a.protocol, a.framework = append(a.id, c.Agent.ID), append(a.protocol, c.ProtocolVersion), append(a.framework, c.Framework)
	a.engines, a.schedulers = append(a.engines, c.Engines), append(a.schedulers, c.Schedulers)
	a.capabilities, a.features = append(a.capabilities, c.Capabilities), append(a.features, c.RuntimeFts)
	a.host, a.version = append(a.host, nonEmpty(c.HostName)), append(a.version, nonEmpty(c.AgentVersion))
}

// slotArrays are the slots to take.
type slotArrays struct {
	id               []uuid.UUID
	agent, project   []int64
	worker, features []string
	role, framework  []*string
	pid              []*int64
	started          []*time.Time
}

func (s *slotArrays) add(c *Connect) {
	s.id, s.agent, s.project = append(s.id, uuid.New()), append(s.agent, c.Agent.ID), append(s.project, c.Agent.ProjectID)
	s.worker, s.features = append(s.worker, c.WorkerID), append(s.features, c.RuntimeFts)
	s.role, s.framework = append(s.role, nonEmpty(c.Role)), append(s.framework, nonEmpty(c.Framework))
	s.pid, s.started = append(s.pid, c.PID), append(s.started, c.StartedAt)
}

const pgTouchAgents = `WITH due AS (SELECT id FROM agents WHERE id = ANY($2::bigint[]) ORDER BY id FOR NO KEY UPDATE)
	UPDATE agents SET last_seen_at = $1, state = 'online', updated_at = $1,
	last_event_at = CASE WHEN agents.id = ANY($3::bigint[]) THEN $1 ELSE last_event_at END
	FROM due WHERE agents.id = due.id AND revoked_at IS NULL AND (last_seen_at IS NULL OR last_seen_at < $1 OR state <> 'online'
	OR agents.id = ANY($3::bigint[]) AND (last_event_at IS NULL OR last_event_at < $1))
	RETURNING agents.id`

const pgTouchWorkers = `WITH due AS (SELECT w.id FROM agent_workers w JOIN unnest($2::bigint[], $3::text[]) AS k (agent_id, worker_id)
	ON w.agent_id = k.agent_id AND w.worker_id = k.worker_id ORDER BY w.agent_id, w.worker_id COLLATE "C" FOR NO KEY UPDATE OF w)
	UPDATE agent_workers SET last_seen_at = $1, state = 'online', updated_at = $1
	FROM due WHERE agent_workers.id = due.id AND (last_seen_at IS NULL OR last_seen_at < $1 OR state <> 'online')`

// touchAgents marks agents as heard of, those of events also as having sent one, and returns the changed ones.
func (o pgIngest) touchAgents(ctx context.Context, now time.Time, agents, events []int64) ([]int64, error) {
	var changed []int64
	var id int64
	err := each(ctx, o.db, pgTouchAgents, []any{now, agents, events}, []any{&id}, func() { changed = append(changed, id) })
	return changed, err
}

func (o pgIngest) touchProcesses(ctx context.Context, now time.Time, list []processKey) error {
	agents, workers := make([]int64, len(list)), make([]string, len(list))
	for i, k := range list {
		agents[i], workers[i] = k.agent, k.worker
	}
	_, err := o.later.Exec(ctx, pgTouchWorkers, now, agents, workers)
	return err
}
