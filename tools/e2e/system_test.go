// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// patience covers one heartbeat (10 s) and a loaded machine; what takes longer is a fault.
const patience = 40 * time.Second

// patienceForDetails covers what an agent says of its worker itself: processes, queues, settings. It asks the worker at most once a
// minute. One that does not listen yet, on a loaded machine, gives no answer, and then a minute passes until it is asked again.
const patienceForDetails = 60*time.Second + patience

// system is one brain with a worker of each kind, shared by the scenarios that do not disturb
// each other.
type system struct {
	brain *harness.Brain
	api   *harness.Client

	prefork, silent, solo, rq rig
}

// rig is one worker with its agent and a way to give it work.
type rig struct {
	node     string
	cred     harness.Credentials
	worker   *harness.Process
	producer *harness.Producer
}

func (r rig) command(extra map[string]any) map[string]any {
	body := map[string]any{"agent_id": r.cred.Agent.ID}
	maps.Copy(body, extra)
	return body
}

func startSystem(t *testing.T) *system {
	t.Helper()
	s := &system{brain: harness.NewBrain(t)}
	s.api = s.brain.Setup(t)
	redis := harness.NewRedis(t)
	celery := func(node string, args ...string) rig {
		db := redis.DB()
		r := rig{node: node, cred: s.api.Mint(t, "agent-"+strings.ReplaceAll(node, "@", "-"))}
		r.worker = harness.StartCelery(t, node, db, harness.AgentEnv(t, s.brain, r.cred), args...)
		r.producer = harness.NewProducer(t, "celery", db)
		return r
	}
	s.prefork = celery("w1@shop", "-E", "-c", "2")
	s.silent = celery("w2@shop", "-c", "1")
	s.solo = celery("w3@shop", "-P", "solo")
	db := redis.DB()
	s.rq = rig{node: "rqw-1", cred: s.api.Mint(t, "agent-rq")}
	s.rq.worker = harness.StartRQ(t, s.rq.node, db, harness.AgentEnv(t, s.brain, s.rq.cred), "default")
	s.rq.producer = harness.NewProducer(t, "rq", db)
	for _, r := range []rig{s.prefork, s.silent, s.solo, s.rq} {
		s.api.WaitAgent(t, r.cred.Agent.ID, "online", time.Minute)
	}
	return s
}

// TestSystem runs published agents in real workers against the built brain.
//
//nolint:tparallel // the last scenarios change the worker and run one after another
func TestSystem(t *testing.T) {
	t.Parallel()
	s := startSystem(t)
	// A group, so that the workers outlive the parallel scenarios in it.
	t.Run("scenarios", func(t *testing.T) {
		for name, scenario := range map[string]func(*testing.T, *system){
			"prefork outcomes":           preforkOutcomes,
			"chain":                      chain,
			"cancel":                     cancelRunning,
			"revoked by another program": revokedElsewhere,
			"retry command":              retryCommand,
			"bulk retry":                 bulkRetry,
			"idempotency key":            idempotencyKey,
			"purge":                      purge,
			"prefork without events":     preforkWithoutEvents,
			"solo outcomes":              soloOutcomes,
			"rq outcomes":                rqOutcomes,
			"rq queue depth":             rqQueueDepth,
			"rq dead letters":            rqDeadLetters,
			"agent inventory":            agentInventory,
			"workers":                    workers,
			"unknown agent":              unknownAgent,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scenario(t, s)
			})
		}
	})
	// These change the worker itself, so they run one after another, the restart last.
	for _, step := range []struct {
		name string
		run  func(*testing.T, *system)
	}{
		{"rate limit", rateLimit},
		{"pool resize", poolResize},
		{"consumers", consumers},
		{"restart worker", restartWorker},
		{"agent restarts", agentRestarts},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(t, s) })
	}
}

func preforkOutcomes(t *testing.T, s *system) {
	p := s.prefork.producer
	ok := p.Send(t, harness.Job{Task: "shop.add", Args: []any{19, 23}})
	bad := p.Send(t, harness.Job{Task: "shop.boom", Args: []any{"shelf is empty"}})
	again := p.Send(t, harness.Job{Task: "shop.flaky"})

	task := s.api.WaitTask(t, "celery", ok, "success", patience)
	if task.Name != "shop.add" || task.Result != "42" {
		t.Errorf("name %q, result %v; want shop.add and the text 42", task.Name, task.Result)
	}
	if string(task.Args) != "[19,23]" && string(task.Args) != "[19, 23]" {
		t.Errorf("args = %s, want [19,23]", task.Args)
	}
	if task.Queue == nil || *task.Queue != "default" {
		t.Errorf("queue = %v, want default", task.Queue)
	}
	if task.WorkerName == nil || *task.WorkerName != s.prefork.node {
		t.Errorf("worker = %v, want %s", task.WorkerName, s.prefork.node)
	}
	for name, at := range map[string]*string{"received_at": task.ReceivedAt, "started_at": task.StartedAt, "finished_at": task.FinishedAt} {
		if at == nil || !strings.HasSuffix(*at, "Z") {
			t.Errorf("%s = %v, want a time that ends in Z", name, at)
		}
	}

	task = s.api.WaitTask(t, "celery", bad, "failure", patience)
	if task.Exception == nil || *task.Exception != "ValueError" {
		t.Errorf("exception = %v, want ValueError", task.Exception)
	}
	if task.Traceback == nil || !strings.Contains(*task.Traceback, "shelf is empty") {
		t.Errorf("traceback = %v, want the raising line", task.Traceback)
	}

	s.api.WaitTask(t, "celery", again, "success", patience)
	events, err := s.api.Events("celery", again)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range events {
		seen[e.Kind]++
	}
	if seen["task.retried"] != 1 || seen["task.started"] < 2 || seen["task.succeeded"] != 1 {
		t.Errorf("events of a task that was retried once: %v", seen)
	}
}

func chain(t *testing.T, s *system) {
	ids := s.prefork.producer.Chain(t,
		harness.Job{Task: "shop.add", Args: []any{1, 2}},
		harness.Job{Task: "shop.add", Args: []any{10}},
		harness.Job{Task: "shop.add", Args: []any{100}})
	last := s.api.WaitTask(t, "celery", ids[2], "success", patience)
	if last.Result != "113" {
		t.Errorf("result = %v, want 113", last.Result)
	}
	if last.ParentID == nil || *last.ParentID != ids[1] {
		t.Errorf("parent = %v, want %s", last.ParentID, ids[1])
	}
	if last.RootID == nil || *last.RootID != ids[0] {
		t.Errorf("root = %v, want %s", last.RootID, ids[0])
	}
	for _, id := range ids[:2] {
		s.api.WaitTask(t, "celery", id, "success", patience)
	}
	var tree struct {
		RootTaskID string `json:"root_task_id"`
		NodeCount  int    `json:"node_count"`
	}
	s.api.Must(t, http.MethodGet, "/projects/default/tasks/celery/"+ids[1]+"/tree", nil, http.StatusOK, &tree)
	if tree.RootTaskID != ids[0] || tree.NodeCount != 3 {
		t.Errorf("tree = %+v, want 3 nodes below %s", tree, ids[0])
	}
}

func cancelRunning(t *testing.T, s *system) {
	id := s.prefork.producer.Send(t, harness.Job{Task: "shop.sleep", Args: []any{120}})
	s.api.WaitTask(t, "celery", id, "started", patience)
	cmd := s.api.Command(t, "cancel-task", s.prefork.command(map[string]any{"engine": "celery", "task_id": id}), "completed")
	if cmd.Result["terminated"] != true {
		t.Errorf("result = %v, want terminated", cmd.Result)
	}
	s.api.WaitTask(t, "celery", id, "revoked", patience)
}

func revokedElsewhere(t *testing.T, s *system) {
	p := s.prefork.producer
	id := p.Send(t, harness.Job{Task: "shop.sleep", Args: []any{120}})
	s.api.WaitTask(t, "celery", id, "started", patience)
	p.Revoke(t, id, true)
	task := s.api.WaitTask(t, "celery", id, "revoked", patience)
	if task.FinishedAt == nil {
		t.Error("a revoked task has no finished_at")
	}
}

func retryCommand(t *testing.T, s *system) {
	id := s.prefork.producer.Send(t, harness.Job{Task: "shop.boom", Args: []any{"first"}})
	s.api.WaitTask(t, "celery", id, "failure", patience)
	cmd := s.api.Command(t, "retry-task", s.prefork.command(map[string]any{"engine": "celery", "task_id": id}), "completed")
	fresh, _ := cmd.Result["new_task_id"].(string)
	if fresh == "" || fresh == id {
		t.Fatalf("result = %v, want another task id", cmd.Result)
	}
	task := s.api.WaitTask(t, "celery", fresh, "failure", patience)
	if task.Name != "shop.boom" {
		t.Errorf("name = %q, want shop.boom", task.Name)
	}

	cmd = s.api.Command(t, "retry-task", s.prefork.command(map[string]any{
		"engine": "celery", "task_id": id, "override_args": []any{"second"}, "override_kwargs": map[string]any{},
	}), "completed")
	fresh, _ = cmd.Result["new_task_id"].(string)
	task = s.api.WaitTask(t, "celery", fresh, "failure", patience)
	if task.Traceback == nil || !strings.Contains(*task.Traceback, "second") {
		t.Errorf("traceback = %v, want the overriding argument", task.Traceback)
	}
}

func bulkRetry(t *testing.T, s *system) {
	var ids []string
	for range 3 {
		ids = append(ids, s.prefork.producer.Send(t, harness.Job{Task: "shop.boom"}))
	}
	for _, id := range ids {
		s.api.WaitTask(t, "celery", id, "failure", patience)
	}
	cmd := s.api.Command(t, "bulk-retry", s.prefork.command(map[string]any{
		"filter": map[string]any{"engine": "celery", "task_ids": ids}, "max": 10,
	}), "completed")
	fresh, _ := cmd.Result["new_task_ids"].(map[string]any)
	if len(fresh) != len(ids) {
		t.Fatalf("result = %v, want a new id for each of %v", cmd.Result, ids)
	}
	for _, id := range fresh {
		s.api.WaitTask(t, "celery", fmt.Sprint(id), "failure", patience)
	}
}

func idempotencyKey(t *testing.T, s *system) {
	id := s.prefork.producer.Send(t, harness.Job{Task: "shop.boom"})
	s.api.WaitTask(t, "celery", id, "failure", patience)
	body := s.prefork.command(map[string]any{"engine": "celery", "task_id": id, "idempotency_key": "retry-" + id})
	first := s.api.Command(t, "retry-task", body, "completed")
	second := s.api.Command(t, "retry-task", body, "completed")
	if first.ID != second.ID {
		t.Errorf("the same key made two commands: %s and %s", first.ID, second.ID)
	}
	body["override_args"], body["override_kwargs"] = []any{"another"}, map[string]any{}
	s.api.Must(t, http.MethodPost, "/projects/default/commands/retry-task", body, http.StatusConflict, nil)
}

func purge(t *testing.T, s *system) {
	for range 3 {
		s.prefork.producer.Send(t, harness.Job{Task: "shop.parked"})
	}
	wrong := s.api.Command(t, "purge-queue", s.prefork.command(map[string]any{"queue": "parked", "observed_depth": 2}), "failed")
	if wrong.Error == nil || *wrong.Error == "" {
		t.Error("a purge with a stale depth failed without a reason")
	}
	cmd := s.api.Command(t, "purge-queue", s.prefork.command(map[string]any{"queue": "parked", "observed_depth": 3}), "completed")
	if cmd.Result["purged"] != float64(3) {
		t.Errorf("result = %v, want 3 purged", cmd.Result)
	}
	if token := cmd.Payload["confirm_token"]; token != "<redacted>" {
		t.Errorf("confirm_token = %v is shown", token)
	}
}

// preforkWithoutEvents: this worker tells the agent only that tasks arrived, see the guide.
func preforkWithoutEvents(t *testing.T, s *system) {
	id := s.silent.producer.Send(t, harness.Job{Task: "shop.add", Args: []any{1, 1}})
	task := s.api.WaitTask(t, "celery", id, "received", patience)
	if task.Name != "shop.add" || task.Queue == nil || *task.Queue != "default" {
		t.Errorf("name %q, queue %v; want what the agent knows on arrival", task.Name, task.Queue)
	}
}

func soloOutcomes(t *testing.T, s *system) {
	p := s.solo.producer
	ok := p.Send(t, harness.Job{Task: "shop.add", Args: []any{19, 23}})
	bad := p.Send(t, harness.Job{Task: "shop.boom"})
	task := s.api.WaitTask(t, "celery", ok, "success", patience)
	if fmt.Sprint(task.Result) != "42" || task.Name != "shop.add" {
		t.Errorf("name %q, result %v; want shop.add and 42", task.Name, task.Result)
	}
	s.api.WaitTask(t, "celery", bad, "failure", patience)
}

func rqOutcomes(t *testing.T, s *system) {
	p := s.rq.producer
	ok := p.Send(t, harness.Job{Task: "rq_jobs.add", Args: []any{1, 2}})
	bad := p.Send(t, harness.Job{Task: "rq_jobs.boom"})
	task := s.api.WaitTask(t, "rq", ok, "success", patience)
	if task.Name != "rq_jobs.add" || task.WorkerName == nil || *task.WorkerName != s.rq.node {
		t.Errorf("name %q, worker %v; want rq_jobs.add on %s", task.Name, task.WorkerName, s.rq.node)
	}
	task = s.api.WaitTask(t, "rq", bad, "failure", patience)
	if task.Exception == nil || !strings.Contains(*task.Exception, "out of stock") {
		t.Errorf("exception = %v, want its text", task.Exception)
	}
	// RQ requeues by reference: the job keeps its id and fails once more. In the same second that
	// would be the same event.
	failed := time.Now()
	harness.Eventually(t, patience, "the next second", func() error {
		return harness.Equal("this second", time.Now().Unix() > failed.Unix()+1, true)
	})
	s.api.Command(t, "retry-task", s.rq.command(map[string]any{"engine": "rq", "task_id": bad}), "completed")
	harness.Eventually(t, patience, "the retried job ran twice", func() error {
		events, err := s.api.Events("rq", bad)
		if err != nil {
			return err
		}
		failed := 0
		for _, e := range events {
			if e.Kind == "task.failed" {
				failed++
			}
		}
		return harness.Equal("failures", failed, 2)
	})
}

func rqQueueDepth(t *testing.T, s *system) {
	for range 4 {
		s.rq.producer.Send(t, harness.Job{Task: "rq_jobs.add", Args: []any{1, 2}, Options: map[string]any{"queue": "idle"}})
	}
	harness.Eventually(t, patience, "the depth of the idle queue appears", func() error {
		depth, err := s.api.QueueDepth("rq", "idle")
		if err != nil {
			return err
		}
		return harness.Equal("depth", depth, 4)
	})
	s.api.Command(t, "purge-queue", s.rq.command(map[string]any{"engine": "rq", "queue": "idle", "observed_depth": 4}), "completed")
	harness.Eventually(t, patience, "the purged queue is empty", func() error {
		depth, err := s.api.QueueDepth("rq", "idle")
		if err != nil {
			return err
		}
		return harness.Equal("depth", depth, 0)
	})
}

func rqDeadLetters(t *testing.T, s *system) {
	id := s.rq.producer.Send(t, harness.Job{Task: "rq_jobs.boom"})
	s.api.WaitTask(t, "rq", id, "failure", patience)
	var page struct {
		Entries []struct {
			TaskID   string `json:"task_id"`
			TaskName string `json:"task_name"`
			Queue    string `json:"queue"`
		} `json:"entries"`
	}
	harness.Eventually(t, patience, "the failed job is a dead letter", func() error {
		if err := s.api.Get("/projects/default/dead-letters?engine=rq&queue=default", &page); err != nil {
			return err
		}
		for _, e := range page.Entries {
			if e.TaskID == id {
				return nil
			}
		}
		return fmt.Errorf("not among %d entries", len(page.Entries))
	})
	cmd := s.api.Command(t, "requeue-dead-letter", s.rq.command(map[string]any{"engine": "rq", "task_id": id}), "completed")
	if cmd.Result["task_id"] != id {
		t.Errorf("result = %v, want the job's id", cmd.Result)
	}
}

func agentInventory(t *testing.T, s *system) {
	for _, r := range []rig{s.prefork, s.rq} {
		a, err := s.api.Agent(r.cred.Agent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if a.State != "online" || len(a.Engines) != 1 || a.AgentVersion == nil || *a.AgentVersion != "1.13.0" {
			t.Errorf("agent = %+v, want an online one of version 1.13.0 with one engine", a)
		}
	}
	var processes []struct {
		AgentID string `json:"agent_id"`
		State   string `json:"state"`
		PID     int    `json:"pid"`
	}
	if err := s.api.Get("/projects/default/agent-workers?state=online", &processes); err != nil {
		t.Fatal(err)
	}
	if len(processes) < 4 {
		t.Errorf("%d agent processes are online, want 4", len(processes))
	}
}

func workers(t *testing.T, s *system) {
	harness.Eventually(t, patience, "the prefork worker reports itself", func() error {
		w, err := s.api.Worker(s.prefork.node)
		if err != nil {
			return err
		}
		if w.State != "online" || w.Concurrency == nil || len(w.Queues) == 0 || w.PID == nil {
			return fmt.Errorf("worker = %+v", w)
		}
		return harness.Equal("queue", w.Queues[0], "default")
	})
	harness.Eventually(t, patience, "the queue is listed", func() error {
		var queues []struct {
			Name   string `json:"name"`
			Engine string `json:"engine"`
		}
		if err := s.api.Get("/projects/default/queues", &queues); err != nil {
			return err
		}
		for _, q := range queues {
			if q.Engine == "celery" && q.Name == "default" {
				return nil
			}
		}
		return fmt.Errorf("queues = %v", queues)
	})
}

func unknownAgent(t *testing.T, s *system) {
	s.api.Must(t, http.MethodPost, "/projects/default/commands/cancel-task", map[string]any{
		"agent_id": "00000000-0000-4000-8000-000000000000", "engine": "celery", "task_id": "x",
	}, http.StatusNotFound, nil)
	never := s.api.Mint(t, "never-connects")
	s.api.Must(t, http.MethodPost, "/projects/default/commands/cancel-task", map[string]any{
		"agent_id": never.Agent.ID, "engine": "celery", "task_id": "x",
	}, http.StatusServiceUnavailable, nil)
}

func rateLimit(t *testing.T, s *system) {
	s.api.Command(t, "rate-limit", s.prefork.command(map[string]any{"task_name": "shop.parked", "rate": "7/m"}), "completed")
	harness.Eventually(t, patience, "the worker applies the rate", func() error {
		names, err := s.prefork.producer.Inspect("registered", "rate_limit")
		if err != nil {
			return err
		}
		if text := fmt.Sprint(names); !strings.Contains(text, "shop.parked [rate_limit=7/m]") {
			return fmt.Errorf("registered: %s", text)
		}
		return nil
	})
}

func poolSize(s *system) (int, error) {
	stats, err := s.prefork.producer.Inspect("stats")
	if err != nil {
		return 0, err
	}
	node, _ := stats[s.prefork.node].(map[string]any)
	pool, _ := node["pool"].(map[string]any)
	processes, _ := pool["processes"].([]any)
	if len(processes) == 0 {
		return 0, fmt.Errorf("stats = %v", stats)
	}
	return len(processes), nil
}

func poolResize(t *testing.T, s *system) {
	resize := func(delta, want int) {
		t.Helper()
		s.api.Command(t, "pool-resize", s.prefork.command(map[string]any{
			"engine": "celery", "worker_name": s.prefork.node, "delta": delta,
		}), "completed")
		harness.Eventually(t, patience, "the pool has the new size", func() error {
			got, err := poolSize(s)
			if err != nil {
				return err
			}
			return harness.Equal("processes", got, want)
		})
	}
	resize(1, 3)
	resize(-1, 2)
}

func consumers(t *testing.T, s *system) {
	change := func(command string) {
		t.Helper()
		s.api.Command(t, command, s.prefork.command(map[string]any{
			"engine": "celery", "worker_name": s.prefork.node, "queue": "bulk",
		}), "completed")
	}
	listens := func(want bool) {
		t.Helper()
		harness.Eventually(t, patience, "the worker's queues change", func() error {
			queues, err := s.prefork.producer.Inspect("active_queues")
			if err != nil {
				return err
			}
			list, _ := queues[s.prefork.node].([]any)
			found := false
			for _, q := range list {
				row, _ := q.(map[string]any)
				found = found || row["name"] == "bulk"
			}
			return harness.Equal("listens to bulk", found, want)
		})
	}
	change("add-consumer")
	listens(true)
	id := s.prefork.producer.Send(t, harness.Job{Task: "shop.add", Args: []any{2, 2}, Options: map[string]any{"queue": "bulk"}})
	task := s.api.WaitTask(t, "celery", id, "success", patience)
	if task.Queue == nil || *task.Queue != "bulk" {
		t.Errorf("queue = %v, want bulk", task.Queue)
	}
	change("cancel-consumer")
	listens(false)
}

func restartWorker(t *testing.T, s *system) {
	before, err := s.prefork.producer.Inspect("stats")
	if err != nil {
		t.Fatal(err)
	}
	s.api.Command(t, "restart-worker", s.prefork.command(map[string]any{
		"engine": "celery", "worker_name": s.prefork.node,
	}), "completed")
	harness.Eventually(t, patience, "the pool has new processes", func() error {
		after, err := s.prefork.producer.Inspect("stats")
		if err != nil {
			return err
		}
		processes := func(stats map[string]any) string {
			node, _ := stats[s.prefork.node].(map[string]any)
			pool, _ := node["pool"].(map[string]any)
			return fmt.Sprint(pool["processes"])
		}
		if processes(after) == processes(before) {
			return fmt.Errorf("processes are still %s", processes(before))
		}
		return nil
	})
	id := s.prefork.producer.Send(t, harness.Job{Task: "shop.add", Args: []any{3, 3}})
	s.api.WaitTask(t, "celery", id, "success", patience)
}

// agentRestarts: a worker that goes away takes its agent offline at once, and the next one in the
// same home is the same agent again.
func agentRestarts(t *testing.T, s *system) {
	s.rq.worker.Stop(t, 20*time.Second)
	s.api.WaitAgent(t, s.rq.cred.Agent.ID, "offline", patience)
	redis := s.rq.producer.Redis
	harness.StartRQ(t, "rqw-2", redis, harness.AgentEnv(t, s.brain, s.rq.cred), "default")
	s.api.WaitAgent(t, s.rq.cred.Agent.ID, "online", patience)
	id := s.rq.producer.Send(t, harness.Job{Task: "rq_jobs.add", Args: []any{4, 4}})
	task := s.api.WaitTask(t, "rq", id, "success", patience)
	if task.WorkerName == nil || *task.WorkerName != "rqw-2" {
		t.Errorf("worker = %v, want rqw-2", task.WorkerName)
	}
}
