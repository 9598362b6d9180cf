// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		first, second := turns.take(t.Context()), turns.take(t.Context())
		var order []int
		for i := range 3 {
			go func() {
				done := turns.take(t.Context())
				order = append(order, i)
				<-time.After(time.Millisecond)
				done()
			}()
			synctest.Wait() // they come one after another
		}
		if len(order) != 0 {
			t.Fatalf("%v had a turn beside two others", order)
		}
		first()
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2}) {
			t.Errorf("turns in the order %v", order)
		}
		// Whoever waits for long is let in, and does not free a turn that it never had.
		third := turns.take(t.Context())
		begin := time.Now()
		late := turns.take(t.Context())
		if waited := time.Since(begin); waited != turnPatience {
			t.Errorf("waited %s, want %s", waited, turnPatience)
		}
		late()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		begin = time.Now()
		turns.take(ended)()
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("a caller who has gone waited %s", waited)
		}
		second()
		// One that takes long does not keep the others waiting.
		<-time.After(turnLength)
		if len(turns.slots) != 0 {
			t.Errorf("%d turns are longer than %s", len(turns.slots), turnLength)
		}
		fourth := turns.take(t.Context())
		third()
		if len(turns.slots) != 1 {
			t.Errorf("a turn that was over ended another: %d", len(turns.slots))
		}
		fourth()
		if len(turns.slots) != 0 {
			t.Errorf("%d turns never ended", len(turns.slots))
		}
	})
}
