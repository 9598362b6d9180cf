// SPDX-License-Identifier: AGPL-3.0-or-later

package push

import (
	"context"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
)

// topics is a set of what changed.
type topics uint32

const (
	taskChanged topics = 1 << iota
	commandChanged
	agentChanged
)

// names lists the topics in the words of the socket.
func (t topics) names() []string {
	var out []string
	for _, n := range []struct {
		bit  topics
		name string
	}{{taskChanged, "task.changed"}, {commandChanged, "command.changed"}, {agentChanged, "agent.changed"}} {
		if t&n.bit != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

// feed watches one project for all sockets that show it: one subscription and one slow look at the database,
// however many browsers are open.
type feed struct {
	projectID int64
	sockets   map[*socket]struct{} // guarded by Hub.mu
	cancel    context.CancelFunc
	// looked is closed after the first look at the database: what changes from then on is noticed.
	looked chan struct{}
}

// join adds a socket to the project's feed and starts the feed when it is the first.
func (h *Hub) join(projectID int64, s *socket) (*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[projectID]
	if f == nil {
		ctx, cancel := context.WithCancel(context.Background())
		sub, err := h.cfg.Bus.Subscribe(ctx, bus.ProjectTasks(projectID), bus.ProjectCommands(projectID), bus.ProjectAgents(projectID))
		if err != nil {
			cancel()
			return nil, err
		}
		f = &feed{projectID: projectID, sockets: map[*socket]struct{}{}, cancel: cancel, looked: make(chan struct{})}
		h.feeds[projectID] = f
		h.sockets.Go(func() {
			defer sub.Close()
			h.watch(ctx, f, sub)
		})
	}
	f.sockets[s] = struct{}{}
	return f, nil
}

// part takes a socket out of its feed and ends the feed with the last one.
func (h *Hub) part(f *feed, s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(f.sockets, s)
	if len(f.sockets) == 0 {
		f.cancel()
		delete(h.feeds, f.projectID)
	}
}

// watch passes changes on, folded over a short time, until the feed ends.
func (h *Hub) watch(ctx context.Context, f *feed, sub bus.Subscription) {
	poll := time.NewTicker(h.cfg.Poll)
	defer poll.Stop()
	fold := time.NewTimer(time.Hour)
	fold.Stop()
	defer fold.Stop()
	var pending topics
	var last time.Time
	note := func(t topics) {
		if t == 0 {
			return
		}
		if pending == 0 {
			// The first change after a pause goes out at once; a stream of them is folded.
			fold.Reset(max(0, h.cfg.Coalesce-time.Since(last)))
		}
		pending |= t
	}
	marks, known := store.ChangeMarks{}, false
	look := func() {
		fresh, err := h.cfg.Store.ChangeMarks(ctx, f.projectID)
		if err != nil {
			if ctx.Err() == nil {
				h.cfg.Logger.WarnContext(ctx, "push: cannot look for changes; trying again", "err", err)
			}
			return
		}
		if known {
			note(compare(marks, fresh))
		}
		marks, known = fresh, true
	}
	look()
	close(f.looked)
	hints := sub.C()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-hints:
			if !ok {
				hints = nil // the bus is gone; polling goes on
				continue
			}
			note(topicOf(m.Topic))
		case <-poll.C:
			look()
		case <-fold.C:
			last = time.Now()
			h.broadcast(f, pending)
			pending = 0
		}
	}
}

func compare(old, fresh store.ChangeMarks) (t topics) {
	if old.Tasks != fresh.Tasks {
		t |= taskChanged
	}
	if old.Commands != fresh.Commands {
		t |= commandChanged
	}
	if old.Agents != fresh.Agents {
		t |= agentChanged
	}
	return t
}

func topicOf(t bus.Topic) topics {
	name := t.String()
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "task":
		return taskChanged
	case "command":
		return commandChanged
	case "agent":
		return agentChanged
	}
	return 0
}

func (h *Hub) broadcast(f *feed, t topics) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range f.sockets {
		s.notify(t)
	}
}
