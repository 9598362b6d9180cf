// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"net/http"
	"runtime"
	"time"
)

// turns lets only so many reads be worked on at once, the others in the order they came. All of them take the same time in the
// end, since the processor is what they wait for; but those that are begun together are finished together, late, and the last
// one much later than the rest.
type turns struct{ slots chan struct{} }

const (
	// turnPatience is how long a read waits for its turn. Then it is begun all the same.
	turnPatience = 20 * time.Millisecond
	// turnLength is how long a turn is. What takes longer goes on, but the next may begin: it may wait for something else than the
	// processor, and nobody waits long for somebody's search.
	turnLength = 50 * time.Millisecond
)

// newTurns makes turns for n reads at once, 0 for half as many again as there are cores: some wait for the database.
func newTurns(n int) *turns {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0) * 3 / 2
	}
	return &turns{slots: make(chan struct{}, max(n, 2))}
}

// take waits for a turn, or until ctx ends or patience does, and returns what ends the turn.
func (t *turns) take(ctx context.Context) (done func()) {
	select {
	case t.slots <- struct{}{}:
		return t.begun()
	default:
	}
	patience := time.NewTimer(turnPatience)
	defer patience.Stop()
	select {
	case t.slots <- struct{}{}:
		return t.begun()
	case <-patience.C:
	case <-ctx.Done():
	}
	return func() {}
}

func (t *turns) begun() (done func()) {
	end := func() { <-t.slots }
	over := time.AfterFunc(turnLength, end)
	return func() {
		if over.Stop() {
			end()
		}
	}
}

// inTurn reports whether calls of an operation wait for their turn: reads do whose answer is made at once.
func (o *Op) inTurn() bool {
	return o.Method == http.MethodGet && o.Access == Session && len(o.Media) == 0 && !o.OrList
}
