// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// TestHostileNeighbours lets broken and hostile agents of the same project loose while a
// well-behaved one works: it must be acknowledged all the time, and nothing of it may be lost.
func TestHostileNeighbours(t *testing.T) {
	t.Parallel()
	const span = 8 * time.Second
	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()

	var wg sync.WaitGroup
	defer wg.Wait()
	for name, attack := range map[string]func(context.Context, loadgen.Config){
		"poison":          sendPoison,
		"deaf":            neverRead,
		"wrong-signature": signWrongly,
		"flapping":        connectAndLeave,
	} {
		cfg := config(brain, api.Mint(t, name))
		wg.Go(func() { attack(ctx, cfg) })
	}

	good := dial(t, config(brain, api.Mint(t, "well-behaved")))
	slowest := time.Duration(0)
	sent := 0
	for ctx.Err() == nil {
		e := event("task.received", fmt.Sprintf("good-%06d", sent))
		began := time.Now()
		if err := good.Send("ev_"+e.TaskID, e); err != nil {
			t.Fatalf("after %d events: %v", sent, err)
		}
		if id, _, err := good.ReceiveAck(); err != nil || id != "ev_"+e.TaskID {
			t.Fatalf("acknowledgement %q, %v; want ev_%s", id, err, e.TaskID)
		}
		slowest = max(slowest, time.Since(began))
		sent++
	}
	wg.Wait()
	t.Logf("%d events one by one, the slowest took %s", sent, slowest)
	if slowest > 3*time.Second {
		t.Errorf("an acknowledgement took %s beside hostile neighbours", slowest)
	}
	tasks, err := api.Tasks("search=good-")
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) != sent {
		t.Errorf("%d tasks are stored, want %d", len(tasks), sent)
	}
}

// again dials until the context ends.
func again(ctx context.Context, cfg loadgen.Config, use func(*loadgen.Agent)) {
	for ctx.Err() == nil {
		a, err := loadgen.Dial(ctx, cfg)
		if err != nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		use(a)
		a.Close()
	}
}

// sendPoison sends what databases refuse to store as it is.
func sendPoison(ctx context.Context, cfg loadgen.Config) {
	n := 0
	bad := []string{
		`{"task_name":"nul\u0000byte","args":["\u0000"],"kwargs":{"\u0000":1}}`,
		`{"task_name":"deep","args":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		`{"task_name":"wide","result":"` + strings.Repeat("x", 600_000) + `"}`,
		`{"task_name":42,"queue":{"a":1},"worker":[],"priority":"?","runtime_ms":1e308}`,
		`{"task_name":"` + strings.Repeat("n", 5000) + `","queue":"` + strings.Repeat("q", 5000) + `"}`,
	}
	again(ctx, cfg, func(a *loadgen.Agent) {
		for ctx.Err() == nil {
			e := event("task.received", fmt.Sprintf("poison-%d", n))
			e.Data = bad[n%len(bad)]
			n++
			if a.Send(fmt.Sprintf("ev_poison_%d", n), e) != nil {
				return
			}
			if _, _, err := a.ReceiveAck(); err != nil {
				return
			}
		}
	})
}

// neverRead sends without taking its acknowledgements.
func neverRead(ctx context.Context, cfg loadgen.Config) {
	n := 0
	again(ctx, cfg, func(a *loadgen.Agent) {
		stop := context.AfterFunc(ctx, a.Close)
		defer stop()
		for ctx.Err() == nil {
			n++
			if a.Send(fmt.Sprintf("ev_deaf_%d", n), event("task.received", fmt.Sprintf("deaf-%d", n))) != nil {
				return
			}
		}
	})
}

// signWrongly is let in by its token and signs with another key.
func signWrongly(ctx context.Context, cfg loadgen.Config) {
	cfg.HMACSecret = base64.URLEncoding.EncodeToString(make([]byte, 32))
	again(ctx, cfg, func(a *loadgen.Agent) {
		_ = a.Send("ev_forged", event("task.received", "forged"))
		_, _ = a.Receive()
	})
}

func connectAndLeave(ctx context.Context, cfg loadgen.Config) {
	again(ctx, cfg, func(*loadgen.Agent) {})
}
