// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
)

const (
	// admissionBatch is how many handshakes share a transaction at most, admissionTurns how many transactions run at a time
	// (on SQLite they queue up).
	admissionBatch = 64
	admissionTurns = 2
)

// admission writes the rows of handshakes. While a transaction runs the next ones gather, so that one agent is admitted at
// once and a storm of ten thousand takes a few hundred transactions.
type admission struct {
	ctx   context.Context //nolint:containedctx // that of the server: a transaction is of many handshakes
	store Store

	mu      sync.Mutex
	waiting []*admissionRequest
	running int
}

type admissionRequest struct {
	connect store.Connect
	// until is when the agent will have given up.
	until time.Time
	done  chan store.Connected
}

var errLate = errors.New("the handshake took too long; the agent comes again")

// admit takes a slot, unless its turn comes after until: whoever gave up must not cost those who still wait.
func (a *admission) admit(ctx context.Context, until time.Time, c store.Connect) (store.Slot, error) {
	r := &admissionRequest{connect: c, until: until, done: make(chan store.Connected, 1)}
	a.mu.Lock()
	a.waiting = append(a.waiting, r)
	start := a.running < admissionTurns
	if start {
		a.running++
	}
	a.mu.Unlock()
	if start {
		go a.run()
	}
	select {
	case got := <-r.done:
		return got.Slot, got.Err
	case <-ctx.Done():
		return store.Slot{}, fmt.Errorf("wait for a slot: %w", ctx.Err())
	}
}

// run serves what waits.
func (a *admission) run() {
	for {
		a.mu.Lock()
		n := min(len(a.waiting), admissionBatch)
		if n == 0 {
			a.running--
			a.waiting = nil
			a.mu.Unlock()
			return
		}
		batch := a.waiting[:n:n]
		a.waiting = a.waiting[n:]
		a.mu.Unlock()
		now := time.Now()
		var list []store.Connect
		var of []*admissionRequest
		for _, r := range batch {
			if now.After(r.until) {
				r.done <- store.Connected{Err: errLate}
				continue
			}
			list, of = append(list, r.connect), append(of, r)
		}
		if len(list) == 0 {
			continue
		}
		for i, got := range a.store.ConnectAgents(a.ctx, list) {
			of[i].done <- got
		}
	}
}
