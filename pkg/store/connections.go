// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Refusals of ConnectAgent.
var (
	// ErrAgentBarred: the agent was revoked, or its project archived, since its token was looked up.
	ErrAgentBarred = errors.New("agent revoked or project archived")
	// ErrSlotsFull: the agent has as many live worker slots as it may have.
	ErrSlotsFull = errors.New("too many live workers for this agent")
)

// AgentLogin is what a bearer token leads to.
type AgentLogin struct {
	Ref         AgentRef
	Name        string
	ProjectSlug string
	// Revoked and ProjectActive decide admission.
	Revoked       bool
	ProjectActive bool
}

// AgentByTokenHash finds the agent whose token has one of the hashes (one for each master secret, the
// current one first); domain.ErrNotFound when none matches.
func (s *Store) AgentByTokenHash(ctx context.Context, hashes ...string) (AgentLogin, error) {
	for _, h := range hashes {
		r, err := s.q.AgentLogin(ctx, s.eng.read(), db.AgentLoginParams{TokenHash: h})
		if err = s.err(err); errors.Is(err, domain.ErrNotFound) {
			continue
		}
		if err != nil {
			return AgentLogin{}, fmt.Errorf("look up agent token: %w", err)
		}
		return agentLogin(r), nil
	}
	return AgentLogin{}, fmt.Errorf("look up agent token: %w", domain.ErrNotFound)
}

// AgentLoginByID is AgentByTokenHash for an agent that is known already.
func (s *Store) AgentLoginByID(ctx context.Context, id int64) (AgentLogin, error) {
	r, err := s.q.AgentLoginByID(ctx, s.eng.read(), db.AgentLoginByIDParams{ID: id})
	if err != nil {
		return AgentLogin{}, fmt.Errorf("look up agent %d: %w", id, s.err(err))
	}
	return agentLogin(db.AgentLoginRow(r)), nil
}

func agentLogin(r db.AgentLoginRow) AgentLogin {
	return AgentLogin{
		Ref:  AgentRef{ID: r.ID, ProjectID: r.ProjectID, UID: r.UID, ProjectUID: r.ProjectUID},
		Name: r.Name, ProjectSlug: r.ProjectSlug, Revoked: r.RevokedAt != nil, ProjectActive: r.ProjectActive,
	}
}

// Connect is what an agent process says of itself in hello, and the slot it asks for. JSON members are JSON texts.
type Connect struct {
	Agent                                         AgentRef
	ProtocolVersion, AgentVersion, Framework      string
	Engines, Schedulers, Capabilities, RuntimeFts string
	HostName                                      string
	WorkerID                                      string
	Role                                          string
	PID                                           *int64
	StartedAt                                     *time.Time
	// Owner is the replica that holds the socket, Lease how long the slot stays live unless renewed.
	Owner string
	Lease time.Duration
	// Cap bounds the agent's live slots, this one included; 0 is unlimited.
	Cap int
}

// processKey is an agent process. Rows of several are locked in the order of their keys.
type processKey struct {
	agent  int64
	worker string
}

func (k processKey) compare(o processKey) int {
	return cmp.Or(cmp.Compare(k.agent, o.agent), cmp.Compare(k.worker, o.worker))
}

func (c *Connect) process() processKey { return processKey{c.Agent.ID, c.WorkerID} }

// Slot is a taken worker slot. Generation rises with every connection, on whatever replica, and fences older ones.
type Slot struct {
	AgentID    int64
	WorkerID   string
	Generation int64
	// TakenFrom is the replica that held the slot live until now, "" when it was free.
	TakenFrom string
	// ConnectedAt is the stamp to release the slot with.
	ConnectedAt time.Time
}

// ConnectAgent admits an agent process: checks that the agent may still connect and has a slot free, marks
// the agent online with the inventory it reported, and takes the slot from whoever held it.
func (s *Store) ConnectAgent(ctx context.Context, c Connect) (Slot, error) {
	r := s.ConnectAgents(ctx, []Connect{c})[0]
	return r.Slot, r.Err
}

// Connected is what became of a Connect. Err is ErrAgentBarred or ErrSlotsFull when it was refused.
type Connected struct {
	Slot Slot
	Err  error
}

// ConnectAgents is ConnectAgent for several processes, in one transaction: after a restart thousands come at once, and a
// transaction for each would let the last of them wait too long. They should be of one owner. Results are in the order of list. When one of them can't be
// admitted, each gets a transaction of its own.
func (s *Store) ConnectAgents(ctx context.Context, list []Connect) []Connected {
	out := make([]Connected, len(list))
	if len(list) > 1 && s.connectAll(ctx, list, out) == nil {
		return out
	}
	for i := range list {
		if err := s.connectAll(ctx, list[i:i+1], out[i:i+1]); err != nil {
			out[i] = Connected{Err: fmt.Errorf("connect agent %s: %w", list[i].Agent.UID, s.err(err))}
		}
	}
	return out
}

// connectAll admits all of list or none.
func (s *Store) connectAll(ctx context.Context, list []Connect, out []Connected) error {
	// Rows are locked in the order of their keys, as everywhere.
	order := make([]int, len(list))
	seen, distinct := make(map[processKey]bool, len(list)), true
	for i := range order {
		order[i] = i
		k := list[i].process()
		distinct = distinct && !seen[k] && list[i].Owner == list[0].Owner && list[i].Lease == list[0].Lease
		seen[k] = true
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return list[a].process().compare(list[b].process())
	})
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if p, ok := s.eng.(*pg); ok && distinct {
			sorted, results := make([]*Connect, len(list)), make([]*Connected, len(list))
			for i, j := range order {
				sorted[i], results[i] = &list[j], &out[j]
			}
			return p.connectMany(ctx, tx.db, s.Now(), sorted, results)
		}
		for _, i := range order {
			slot, err := s.connect(ctx, tx, &list[i])
			if err != nil {
				return err
			}
			out[i] = Connected{Slot: slot}
		}
		return nil
	})
}

func (s *Store) connect(ctx context.Context, tx *Tx, c *Connect) (Slot, error) {
	now := s.Now()
	slot := Slot{AgentID: c.Agent.ID, WorkerID: c.WorkerID, ConnectedAt: now}
	login, err := s.q.AgentLoginByID(ctx, tx.db, db.AgentLoginByIDParams{ID: c.Agent.ID})
	if err != nil {
		return slot, err
	}
	if login.RevokedAt != nil || !login.ProjectActive {
		return slot, ErrAgentBarred
	}
	// The agent's row is written first: on PostgreSQL its lock makes connections of one agent queue up,
	// so that the cap counts every slot taken before.
	err = s.q.AgentConnected(ctx, tx.db, db.AgentConnectedParams{
		ID: c.Agent.ID, Now: &now, ProtocolVersion: c.ProtocolVersion, FrameworkAdapter: c.Framework,
		EngineAdapters: c.Engines, SchedulerAdapters: c.Schedulers, Capabilities: c.Capabilities,
		RuntimeFeatures: c.RuntimeFts, HostName: nonEmpty(c.HostName), AgentVersion: nonEmpty(c.AgentVersion),
	})
	if err != nil {
		return slot, err
	}
	if c.Cap > 0 {
		n, err := s.q.CountOtherLiveSlots(ctx, tx.db, db.CountOtherLiveSlotsParams{AgentID: c.Agent.ID, WorkerID: c.WorkerID, Now: &now})
		if err != nil {
			return slot, err
		}
		if n >= int64(c.Cap) {
			return slot, ErrSlotsFull
		}
	}
	old, err := s.q.SlotByKey(ctx, tx.db, db.SlotByKeyParams{AgentID: c.Agent.ID, WorkerID: c.WorkerID})
	switch {
	case errors.Is(s.err(err), domain.ErrNotFound):
	case err != nil:
		return slot, err
	case old.State == "online" && old.LeaseUntil != nil && old.LeaseUntil.After(now):
		slot.TakenFrom = old.Owner
	}
	lease := now.Add(c.Lease)
	slot.Generation, err = s.q.TakeSlot(ctx, tx.db, db.TakeSlotParams{
		ID: uuid.New(), AgentID: c.Agent.ID, ProjectID: c.Agent.ProjectID, WorkerID: c.WorkerID,
		Role: nonEmpty(c.Role), Framework: nonEmpty(c.Framework), PID: c.PID, StartedAt: c.StartedAt,
		Now: &now, Owner: c.Owner, LeaseUntil: &lease, RuntimeFeatures: c.RuntimeFts,
	})
	return slot, err
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ReleaseSlot ends a slot unless another connection took it. The agent goes offline with its last live slot,
// unless something connected later.
func (s *Store) ReleaseSlot(ctx context.Context, owner string, slot Slot) error {
	err := s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		now := s.Now()
		// The agent's row first, as those do who take slots.
		if err := tx.lockAgent(ctx, slot.AgentID); err != nil {
			return err
		}
		n, err := s.q.ReleaseSlot(ctx, tx.db, db.ReleaseSlotParams{
			AgentID: slot.AgentID, WorkerID: slot.WorkerID, Owner: owner, Generation: slot.Generation, Now: now,
		})
		if err != nil || n == 0 {
			return err
		}
		live, err := s.q.CountLiveSlots(ctx, tx.db, db.CountLiveSlotsParams{AgentID: slot.AgentID, Now: &now})
		if err != nil || live > 0 {
			return err
		}
		_, err = s.q.AgentLeft(ctx, tx.db, db.AgentLeftParams{ID: slot.AgentID, Now: now, ConnectedAt: &slot.ConnectedAt})
		return err
	})
	if err != nil {
		return fmt.Errorf("release slot of agent %d: %w", slot.AgentID, err)
	}
	return nil
}

// lockAgent locks an agent's row against others who change it, on a database that lets several write at a time.
func (tx *Tx) lockAgent(ctx context.Context, id int64) error {
	if tx.s.eng.name() == "sqlite" {
		return nil
	}
	_, err := tx.db.Exec(ctx, "SELECT id FROM agents WHERE id = $1 FOR NO KEY UPDATE", id)
	return err
}

// ReleaseOwner ends all slots of a replica that shuts down. Its agents stay online: they come back somewhere
// else within moments, or the liveness sweep notices that they did not.
func (s *Store) ReleaseOwner(ctx context.Context, owner string) error {
	err := s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := s.q.ReleaseOwner(ctx, tx.db, db.ReleaseOwnerParams{Owner: owner, Now: s.Now()})
		return err
	})
	if err != nil {
		return fmt.Errorf("release slots of %s: %w", owner, err)
	}
	return nil
}

// RenewSlots prolongs the leases of a replica's slots and returns those it still owns.
func (s *Store) RenewSlots(ctx context.Context, owner string, lease time.Duration) ([]Slot, error) {
	until := s.Now().Add(lease)
	err := s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if s.eng.name() != "sqlite" {
			// In the order of their keys, as those lock them who take slots and who store heartbeats.
			_, err := tx.db.Exec(ctx, `SELECT count(*) FROM (SELECT 1 FROM agent_workers WHERE owner = $1
				ORDER BY agent_id, worker_id COLLATE "C" FOR NO KEY UPDATE) AS mine`, owner)
			if err != nil {
				return err
			}
		}
		return s.q.RenewSlots(ctx, tx.db, db.RenewSlotsParams{Owner: owner, LeaseUntil: &until})
	})
	if err != nil {
		return nil, fmt.Errorf("renew slots: %w", err)
	}
	rows, err := s.q.SlotsOf(ctx, s.eng.read(), db.SlotsOfParams{Owner: owner})
	if err != nil {
		return nil, fmt.Errorf("list own slots: %w", s.err(err))
	}
	slots := make([]Slot, 0, len(rows))
	for _, r := range rows {
		slots = append(slots, Slot{AgentID: r.AgentID, WorkerID: r.WorkerID, Generation: r.Generation})
	}
	return slots, nil
}

// AgentSlots returns the live slots of one agent on all replicas, TakenFrom being the owner.
func (s *Store) AgentSlots(ctx context.Context, agentID int64) ([]Slot, error) {
	rows, err := s.q.SlotsOfAgent(ctx, s.eng.read(), db.SlotsOfAgentParams{AgentID: agentID})
	if err != nil {
		return nil, fmt.Errorf("list slots of agent %d: %w", agentID, s.err(err))
	}
	slots := make([]Slot, 0, len(rows))
	for _, r := range rows {
		slots = append(slots, Slot{AgentID: r.AgentID, WorkerID: r.WorkerID, Generation: r.Generation, TakenFrom: r.Owner})
	}
	return slots, nil
}

// BarredAgents lists agents that were revoked, or whose project was archived, at or after since.
func (s *Store) BarredAgents(ctx context.Context, since time.Time) ([]int64, error) {
	since = domain.Micros(since)
	ids, err := s.q.BarredAgents(ctx, s.eng.read(), db.BarredAgentsParams{Since: &since})
	return ids, s.err(err)
}

// AgentNotice names an agent that a sweep changed.
type AgentNotice struct {
	Ref         AgentRef
	Name        string
	ProjectSlug string
	LastSeenAt  *time.Time
}

// SweepLiveness marks slots whose lease ran out, and agents that were silent for timeout, as offline. It
// returns the agents that went offline by it and how many slots did.
func (s *Store) SweepLiveness(ctx context.Context, timeout time.Duration) (gone []AgentNotice, slots int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		gone = nil
		now := s.Now()
		before := now.Add(-timeout)
		var err error
		if slots, err = s.q.ExpireSlots(ctx, tx.db, db.ExpireSlotsParams{Now: now}); err != nil {
			return err
		}
		silent, err := s.q.SilentAgents(ctx, tx.db, db.SilentAgentsParams{SeenBefore: &before, MaxRows: 1000})
		if err != nil {
			return err
		}
		for _, a := range silent {
			n, err := s.q.AgentSilent(ctx, tx.db, db.AgentSilentParams{ID: a.ID, Now: now, SeenBefore: &before})
			if err != nil {
				return err
			}
			if n > 0 {
				gone = append(gone, notice(a))
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("sweep silent agents: %w", err)
	}
	return gone, slots, nil
}

func notice(a db.SilentAgentsRow) AgentNotice {
	return AgentNotice{
		Ref:  AgentRef{ID: a.ID, ProjectID: a.ProjectID, UID: a.UID, ProjectUID: a.ProjectUID},
		Name: a.Name, ProjectSlug: a.ProjectSlug, LastSeenAt: a.LastSeenAt,
	}
}

// StaleAgents lists agents that are not revoked and were last seen before a moment.
func (s *Store) StaleAgents(ctx context.Context, seenBefore time.Time) ([]AgentNotice, error) {
	seenBefore = domain.Micros(seenBefore)
	rows, err := s.q.StaleAgents(ctx, s.eng.read(), db.StaleAgentsParams{SeenBefore: &seenBefore, MaxRows: 500})
	if err != nil {
		return nil, fmt.Errorf("list stale agents: %w", s.err(err))
	}
	out := make([]AgentNotice, 0, len(rows))
	for _, r := range rows {
		out = append(out, notice(db.SilentAgentsRow(r)))
	}
	return out, nil
}

// RevokeStaleAgent revokes an agent that is still unseen since; false when it came back meanwhile.
func (tx *Tx) RevokeStaleAgent(ctx context.Context, ref AgentRef, seenBefore time.Time) (bool, error) {
	now := tx.s.Now()
	seenBefore = domain.Micros(seenBefore)
	n, err := tx.s.q.RevokeStaleAgent(ctx, tx.db, db.RevokeStaleAgentParams{
		ID: ref.ID, Now: &now, SeenBefore: &seenBefore,
		TokenHash: "revoked:" + ref.UID.String() + ":" + now.Format(time.RFC3339),
	})
	return n > 0, tx.s.err(err)
}

// PruneWorkers deletes rows of agent processes that ended before a moment.
func (s *Store) PruneWorkers(ctx context.Context, before time.Time) (n int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		n, err = s.q.DeleteStaleWorkers(ctx, tx.db, db.DeleteStaleWorkersParams{Before: domain.Micros(before)})
		return err
	})
	return n, err
}
