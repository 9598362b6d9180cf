// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// TestKilledAmongTasks kills the brain in the middle of 2,000 tasks of a real worker. The agent
// keeps what was not acknowledged and sends it again, so every task arrives, and none twice.
func TestKilledAmongTasks(t *testing.T) {
	t.Parallel()
	const count = 2000
	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	db := harness.NewRedis(t).DB()
	cred := api.Mint(t, "survivor")
	harness.StartCelery(t, "w9@shop", db, harness.AgentEnv(t, brain, cred), "-P", "solo")
	producer := harness.NewProducer(t, "celery", db)
	api.WaitAgent(t, cred.Agent.ID, "online", patience)

	ids := producer.SendMany(t, "shop.add", count)
	harness.Eventually(t, patience, "the first tasks arrive", func() error {
		seen, err := api.Tasks("name=shop.add")
		if err != nil {
			return err
		}
		if len(seen) < count/20 {
			return fmt.Errorf("%d tasks arrived", len(seen))
		}
		return nil
	})
	brain.Kill()
	brain.Start(t)
	api.Login(t, harness.AdminEmail, harness.AdminPassword)

	harness.Eventually(t, 3*time.Minute, "every task arrived and succeeded", func() error {
		seen, err := api.Tasks("name=shop.add&state=success")
		if err != nil {
			return err
		}
		return harness.Equal("tasks", len(seen), count)
	})
	tasks, err := api.Tasks("name=shop.add")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range tasks {
		got = append(got, task.TaskID)
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("the list has %d tasks, and not exactly the %d that were sent", len(got), len(ids))
	}
	// The same event stored twice would show as the same kind twice.
	kinds := map[string]int{}
	for event, err := range allEvents(api) {
		if err != nil {
			t.Fatal(err)
		}
		kinds[event.TaskID+" "+event.Kind]++
	}
	for key, n := range kinds {
		if n > 1 {
			t.Errorf("%s is stored %d times", key, n)
		}
	}
}

// allEvents reads the project's events page by page.
func allEvents(api *harness.Client) func(func(harness.Event, error) bool) {
	return func(yield func(harness.Event, error) bool) {
		cursor := ""
		for {
			var page struct {
				Items []harness.Event `json:"items"`
				Next  *string         `json:"next_cursor"`
			}
			if err := api.Get("/projects/default/events?limit=500&cursor="+url.QueryEscape(cursor), &page); err != nil {
				yield(harness.Event{}, err)
				return
			}
			for _, e := range page.Items {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			cursor = *page.Next
		}
	}
}

// TestAcknowledgedIsStored kills the brain at 50 random moments of full load: whatever it had
// acknowledged is there after the restart, and the database opens clean every time.
func TestAcknowledgedIsStored(t *testing.T) {
	t.Parallel()
	const kills = 50
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))

	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	cred := api.Mint(t, "load")
	var mu sync.Mutex
	acked := map[string]bool{}
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		load := loadgen.Load{
			EventsPerFrame: 1 + round%2*9, Window: 64, Prefix: fmt.Sprintf("kill-%02d", round),
			OnAck: func(stored []string) {
				mu.Lock()
				defer mu.Unlock()
				for _, id := range stored {
					acked[id] = true
				}
			},
		}
		for i := range 2 {
			cfg := config(brain, cred)
			cfg.WorkerID = fmt.Sprintf("load-%d", i)
			load.Agents = append(load.Agents, cfg)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := loadgen.Run(ctx, load)
			ended <- err
		}()
		select {
		case <-time.After(time.Duration(20+random.IntN(180)) * time.Millisecond):
		case err := <-ended:
			cancel()
			t.Fatalf("round %d: the load ended before the kill: %v", round, err)
		}
		brain.Kill()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) && loadgen.CloseCode(err) == 0 &&
			!strings.Contains(err.Error(), "connection") && !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "dial") {
			t.Logf("round %d ended with: %v", round, err)
		}
		brain.Start(t)
	}
	api.Login(t, harness.AdminEmail, harness.AdminPassword)
	if len(acked) < kills {
		t.Fatalf("only %d events were acknowledged: the load did not run", len(acked))
	}
	total := len(acked)
	for event, err := range allEvents(api) {
		if err != nil {
			t.Fatal(err)
		}
		delete(acked, event.ID)
	}
	if len(acked) > 0 {
		t.Errorf("%d of %d acknowledged events are not stored", len(acked), total)
	}
	t.Logf("%d acknowledged events survived %d kills", total, kills)
	api.Must(t, http.MethodGet, "/health/deep", nil, http.StatusOK, nil)
	brain.Stop(t, 10*time.Second)
	if code, stdout, stderr := brain.CLI(t, "", "check"); code != 0 {
		t.Errorf("z4j check ended with %d:\n%s%s", code, stdout, stderr)
	}
}

// TestLongPoll runs an RQ worker whose agent may not open WebSockets.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	db := harness.NewRedis(t).DB()
	cred := api.Mint(t, "long-poll")
	env := append(harness.AgentEnv(t, brain, cred),
		"Z4J_TRANSPORT=longpoll", "Z4J_AGENT_ID="+cred.Agent.ID, "E2E_DEV_MODE=1")
	harness.StartRQ(t, "rqw-poll", db, env, "default")
	producer := harness.NewProducer(t, "rq", db)
	r := rig{node: "rqw-poll", cred: cred, producer: producer}

	ok := producer.Send(t, harness.Job{Task: "rq_jobs.add", Args: []any{1, 2}})
	bad := producer.Send(t, harness.Job{Task: "rq_jobs.boom"})
	api.WaitTask(t, "rq", ok, "success", patience)
	api.WaitTask(t, "rq", bad, "failure", patience)
	api.WaitAgent(t, cred.Agent.ID, "online", patience)

	cmd := api.Command(t, "retry-task", r.command(map[string]any{"engine": "rq", "task_id": bad}), "completed")
	if cmd.Result["task_id"] != bad {
		t.Errorf("result = %v, want the requeued job", cmd.Result)
	}

	// The brain forgets its memory, not its sessions' tables: the agent goes on by itself.
	brain.Kill()
	brain.Start(t)
	api.Login(t, harness.AdminEmail, harness.AdminPassword)
	again := producer.Send(t, harness.Job{Task: "rq_jobs.add", Args: []any{3, 4}})
	api.WaitTask(t, "rq", again, "success", 90*time.Second)
}
