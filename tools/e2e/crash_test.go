// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
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
	for _, id := range ids {
		events, err := api.Events("celery", id)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, e := range events {
			kinds = append(kinds, e.Kind)
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"task.received", "task.started", "task.succeeded"}) {
			t.Errorf("task %s has the events %v, want each kind once", id, kinds)
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
	acked := map[string]map[string]loadgen.Event{} // by task id and kind
	total := 0
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		load := loadgen.Load{
			EventsPerFrame: 1 + round%2*9, Window: 64, Prefix: fmt.Sprintf("kill-%02d", round),
			OnAck: func(events []loadgen.Event) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range events {
					if acked[e.TaskID] == nil {
						acked[e.TaskID] = map[string]loadgen.Event{}
					}
					acked[e.TaskID][e.Kind] = e
					total++
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
	if total < kills*10 {
		t.Fatalf("only %d events were acknowledged: the load did not run", total)
	}
	tasks, err := api.Tasks("search=kill-")
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]harness.Task{}
	for _, task := range tasks {
		stored[task.TaskID] = task
	}
	sampled := 0
	for id, kinds := range acked {
		task, ok := stored[id]
		if !ok {
			t.Errorf("task %s is not stored, but its events %v were acknowledged", id, slices.Collect(maps.Keys(kinds)))
			continue
		}
		for kind, at := range map[string]*string{
			"task.received": task.ReceivedAt, "task.started": task.StartedAt, "task.succeeded": task.FinishedAt,
		} {
			if _, want := kinds[kind]; want && at == nil {
				t.Errorf("task %s does not know its %s, which was acknowledged", id, kind)
			}
		}
		// Reading the events of every task would take minutes; map order makes this a random sample.
		if sampled++; sampled > 1000 {
			continue
		}
		events, err := api.Events("celery", id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			delete(kinds, e.Kind)
		}
		if len(kinds) > 0 {
			t.Errorf("task %s lacks the acknowledged events %v", id, slices.Collect(maps.Keys(kinds)))
		}
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
