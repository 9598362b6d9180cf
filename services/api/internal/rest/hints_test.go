// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
)

// TestHintsEndSharing: after a hint of a project nobody gets an answer from before it, whichever topic it came on; the
// answers of other projects stay, and a project that nobody asks about is not listened to.
func TestHintsEndSharing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rt Router
		hints := bus.NewMemory(nil)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- rt.Run(ctx, hints) }()
		synctest.Wait()

		computed := 0
		ask := func(project int64, want int) {
			t.Helper()
			_, err := rt.shares.get(t.Context(), shareKey{path: "sum", project: project}, time.Second, 0, func(context.Context) (encoded, error) {
				computed++
				return encoded("1"), nil
			})
			if err != nil || computed != want {
				t.Errorf("computed %d times (%v), want %d", computed, err, want)
			}
			synctest.Wait()
		}
		ask(1, 1) // the listening begins: what it may have missed is not shared
		ask(1, 2)
		ask(1, 2)
		ask(2, 3)
		ask(2, 4)
		for _, topic := range []bus.Topic{bus.ProjectTasks(1), bus.ProjectCommands(1), bus.ProjectAgents(1)} {
			if err := hints.Publish(ctx, topic, nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			ask(2, computed)
			ask(1, computed+1)
			ask(1, computed)
		}
		<-time.After(2*listenFor + time.Second)
		synctest.Wait()
		rt.shares.mu.Lock()
		if len(rt.shares.used) != 0 || len(rt.shares.answers) != 0 {
			t.Errorf("after a while without questions: listening to %v, keeping %d answers", rt.shares.used, len(rt.shares.answers))
		}
		rt.shares.mu.Unlock()
		ask(1, computed+1) // and is listened to again
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := hints.Close(); err != nil {
			t.Error(err)
		}
		<-time.After(time.Minute) // what is left is dropped
	})
}
