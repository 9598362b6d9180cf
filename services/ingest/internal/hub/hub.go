// SPDX-License-Identifier: AGPL-3.0-or-later

// Package hub is the in-process registry of live agent sockets: which slots (agent, worker id) this
// replica holds, in the order they were registered. What holds across replicas is in the database.
package hub

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store"
)

// Command is an order ready to be signed and sent.
type Command struct {
	ID uuid.UUID
	// Payload is the JSON object of the command frame.
	Payload []byte
}

// Slot is one live connection of one agent process.
type Slot interface {
	Agent() store.AgentRef
	WorkerID() string
	// Generation is the row's generation when this connection took the slot.
	Generation() int64
	// Contracts lists the retry contracts this session satisfies (store.RetryContract).
	Contracts() []string
	// SendCommand returns when the frame was handed to the peer's socket, or with the reason it was not.
	SendCommand(ctx context.Context, c Command) error
	// Close ends the connection with a close code, soon; it never blocks.
	Close(code int, reason string)
}

type key struct {
	agent  int64
	worker string
}

// Hub is safe for concurrent use. The zero value is ready.
type Hub struct {
	mu     sync.RWMutex
	slots  map[key]Slot
	agents map[int64][]Slot
}

// Register makes s the owner of its slot and returns the connection it replaces, if any. A slot of a
// higher generation is not replaced: then s itself is returned and nothing changes.
func (h *Hub) Register(s Slot) (replaced Slot) {
	k := key{s.Agent().ID, s.WorkerID()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots == nil {
		h.slots, h.agents = make(map[key]Slot), make(map[int64][]Slot)
	}
	replaced = h.slots[k]
	if replaced != nil && replaced.Generation() > s.Generation() {
		return s
	}
	if replaced != nil {
		h.unlist(k.agent, replaced)
	}
	h.slots[k] = s
	h.agents[k.agent] = append(h.agents[k.agent], s)
	return replaced
}

// Remove takes s out; false when somebody else owns the slot by now.
func (h *Hub) Remove(s Slot) bool {
	k := key{s.Agent().ID, s.WorkerID()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots[k] != s {
		return false
	}
	delete(h.slots, k)
	h.unlist(k.agent, s)
	return true
}

// unlist replaces the agent's list instead of editing it: callers of Slots may still read the old one.
func (h *Hub) unlist(agent int64, s Slot) {
	rest := slices.DeleteFunc(slices.Clone(h.agents[agent]), func(o Slot) bool { return o == s })
	if len(rest) == 0 {
		delete(h.agents, agent)
		return
	}
	h.agents[agent] = rest
}

// Slots returns an agent's live slots, first registered first. The list must not be changed.
func (h *Hub) Slots(agent int64) []Slot {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clip(h.agents[agent])
}

// Connected reports whether the agent has a live slot here.
func (h *Hub) Connected(agent int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.agents[agent]) > 0
}

// Agents lists the inner ids of all connected agents.
func (h *Hub) Agents() []int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	ids := make([]int64, 0, len(h.agents))
	for id := range h.agents {
		ids = append(ids, id)
	}
	return ids
}

// All returns every live slot, in no order.
func (h *Hub) All() []Slot {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]Slot, 0, len(h.slots))
	for _, s := range h.slots {
		all = append(all, s)
	}
	return all
}

// Len is the number of live slots.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.slots)
}
