// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api"
)

func inventory(t *testing.T, of map[string]string) (engines, capabilities string) {
	t.Helper()
	names, caps := []string{}, map[string][]string{}
	for engine, list := range of {
		names = append(names, engine)
		caps[engine] = strings.Fields(list)
	}
	e, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(caps)
	if err != nil {
		t.Fatal(err)
	}
	return string(e), string(c)
}

const (
	celeryCaps = "submit_task retry_task cancel_task bulk_retry purge_queue restart_worker pool_grow pool_shrink add_consumer cancel_consumer rate_limit retry_by_reference_v1"
	rqCaps     = "submit_task retry_task cancel_task purge_queue bulk_retry requeue_dead_letter list_dead_letters retry_by_reference_v1"
)

// connect gives an agent a live connection that reported an inventory.
func (w *world) connect(ref store.AgentRef, of map[string]string) {
	w.t.Helper()
	engines, caps := inventory(w.t, of)
	_, err := w.store.ConnectAgent(w.t.Context(), store.Connect{
		Agent: ref, ProtocolVersion: "2", Framework: "bare", Engines: engines, Schedulers: "[]", Capabilities: caps,
		RuntimeFts: "[]", WorkerID: "bare-1-1", Owner: "r1", Lease: time.Minute,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) issue(as, what string, body map[string]any) answer {
	w.t.Helper()
	return w.call(as, http.MethodPost, "/projects/shop/commands/"+what, nil, body)
}

// claimed returns the command that the agent would get now, with its frame's target.
func (w *world) claim(ref store.AgentRef, contracts ...string) []store.Command {
	w.t.Helper()
	got, err := w.store.ClaimCommands(w.t.Context(), store.ClaimCommandsParams{AgentID: ref.ID, Owner: "r1", Worker: "bare-1-1", Contracts: contracts, Limit: 50})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) complete(ref store.AgentRef, id uuid.UUID, result, failure string) {
	w.t.Helper()
	err := w.store.InTx(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, ok, err := tx.CompleteCommand(ctx, store.CommandOutcome{ID: id, Agent: ref, Success: failure == "", Result: result, Error: failure})
		if err == nil && !ok {
			w.t.Errorf("command %s had ended", id)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func payloadOf(t *testing.T, c store.Command) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(c.Payload), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRetryTask(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		high := event(domain.KindReceived, "urgent", "shop.pay", w.store.Now())
		high.Priority, high.Rest = domain.PriorityHigh, []byte(`{"priority":"high"}`)
		told := event(domain.KindReceived, "told", "shop.pay", w.store.Now())
		told.Rest = []byte(`{"priority":"normal"}`)
		w.ingest(high, told)
		body := func(engine, id string, more ...any) map[string]any {
			b := map[string]any{"agent_id": w.agent.UID, "engine": engine, "task_id": id}
			for i := 0; i+1 < len(more); i += 2 {
				b[more[i].(string)] = more[i+1]
			}
			return b
		}
		if a := w.issue("viewer", "retry-task", body("celery", "bad-0")); a.status != 403 {
			t.Errorf("viewer: %d", a.status)
		}
		// Not connected: refused, and the command waits.
		a := w.issue("operator", "retry-task", body("celery", "bad-0", "idempotency_key", "k0"))
		if a.status != 503 || a.text("error") != "agent_offline" || a.text("details", "agent_id") != w.agent.UID.String() {
			t.Fatalf("offline: %d %s", a.status, a.raw)
		}
		if l := w.call("operator", http.MethodGet, "/projects/shop/commands", nil, nil); l.column("status") != "pending" {
			t.Errorf("the command does not wait: %s", l.raw)
		}
		w.connect(w.agent, map[string]string{"celery": celeryCaps, "dramatiq": "submit_task retry_task purge_queue retry_by_reference_v1", "taskiq": "submit_task", "huey": "submit_task retry_task"})

		a = w.issue("operator", "retry-task", body("celery", "bad-0", "idempotency_key", "k1"))
		if a.status != 202 || a.text("action") != "retry_task" || a.text("target_id") != "celery:bad-0" || a.text("payload", "task_name") != "shop.boom" || a.text("issued_by") == "" {
			t.Fatalf("retry: %d %s", a.status, a.raw)
		}
		if again := w.issue("operator", "retry-task", body("celery", "bad-0", "idempotency_key", "k1")); again.status != 202 || again.text("id") != a.text("id") {
			t.Errorf("same key: %d %s", again.status, again.raw)
		}
		if other := w.issue("operator", "retry-task", body("celery", "bad-1", "idempotency_key", "k1")); other.status != 409 || other.text("details", "idempotency_key") != "k1" {
			t.Errorf("same key, other task: %d %s", other.status, other.raw)
		}
		v := w.get("/commands/" + a.text("id"))
		if v.body["issued_by"] != nil || fmt.Sprint(v.body["payload"]) != "map[]" {
			t.Errorf("a viewer sees %s", v.raw)
		}

		// What the brain learns in between does not make it another request.
		w.ingest(event(domain.KindStarted, "bad-0", "shop.renamed", w.store.Now()))
		if again := w.issue("operator", "retry-task", body("celery", "bad-0", "idempotency_key", "k1", "unknown", 1)); again.text("id") != a.text("id") {
			t.Errorf("same key, later: %d %s", again.status, again.raw)
		}

		for name, tc := range map[string]struct {
			body map[string]any
			want int
		}{
			"half an override":    {body("celery", "bad-0", "override_args", []int{1}), 422},
			"reserved key":        {body("celery", "bad-0", "override_args", []int{}, "override_kwargs", map[string]any{"__z4j_x": 1}), 422},
			"too much":            {body("celery", "bad-0", "override_args", []string{strings.Repeat("x", 70_000)}, "override_kwargs", map[string]any{}), 422},
			"eta too far":         {body("celery", "bad-0", "eta_seconds", 86401), 422},
			"no such agent":       {map[string]any{"agent_id": uuid.New(), "engine": "celery", "task_id": "x"}, 404},
			"engine not there":    {body("rq", "x"), 422},
			"not by reference":    {body("dramatiq", "x"), 409},
			"submit by reference": {body("taskiq", "x"), 409},
			"too old":             {body("huey", "x", "override_args", []int{}, "override_kwargs", map[string]any{}), 422},
			"dramatiq overridden": {body("dramatiq", "x", "override_args", []int{}, "override_kwargs", map[string]any{}), 202},
			"taskiq overridden":   {body("taskiq", "x", "override_args", []int{}, "override_kwargs", map[string]any{}), 202},
			"delayed":             {body("celery", "told", "eta_seconds", 5), 202},
			"urgent":              {body("celery", "urgent"), 202},
		} {
			if a := w.issue("operator", "retry-task", tc.body); a.status != tc.want {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
		}
		priorities := map[string]any{}
		for _, c := range w.claim(w.agent, store.RetryContract("celery"), store.RetryContract("dramatiq")) {
			p := payloadOf(t, c)
			value, there := p["priority"]
			priorities[*c.TargetID] = fmt.Sprintln(there, value)
			if *c.TargetID == "celery:told" && (p["eta"] == nil || p["eta_seconds"] != 5.0) {
				t.Errorf("delayed: %v", p)
			}
		}
		want := map[string]any{"celery:bad-0": "true <nil>\n", "celery:urgent": "true high\n", "celery:told": "true normal\n", "dramatiq:x": "false <nil>\n", "taskiq:x": "false <nil>\n"}
		if fmt.Sprint(priorities) != fmt.Sprint(want) {
			t.Errorf("priorities: %v, want %v", priorities, want)
		}
	})
}

func TestTaskCommands(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		a := w.issue("operator", "cancel-task", map[string]any{"agent_id": w.agent.UID, "engine": "celery", "task_id": "wait-0"})
		if a.status != 202 || a.text("target_id") != "celery:wait-0" {
			t.Errorf("cancel: %d %s", a.status, a.raw)
		}
		a = w.issue("operator", "cancel-task", map[string]any{"agent_id": w.agent.UID, "engine": "laravel", "task_id": "t"})
		detail, _ := a.body["detail"].(map[string]any)
		if a.status != 422 || detail["engine"] != "laravel" || detail["action"] != "cancel_task" || detail["agent_id"] != w.agent.UID.String() || detail["error"] == "" {
			t.Errorf("foreign engine: %d %s", a.status, a.raw)
		}
		if a := w.issue("operator", "requeue-dead-letter", map[string]any{"agent_id": w.agent.UID, "engine": "celery", "task_id": "t"}); a.status != 422 {
			t.Errorf("requeue on celery: %d %s", a.status, a.raw)
		}
		// An agent that never reported what it can do is asked anyway.
		silent := w.addAgent("silent")
		if a := w.issue("operator", "requeue-dead-letter", map[string]any{"agent_id": silent.UID, "engine": "rq", "task_id": "t"}); a.status != 503 {
			t.Errorf("silent agent: %d %s", a.status, a.raw)
		}

		bulk := func(filter map[string]any) answer {
			return w.issue("operator", "bulk-retry", map[string]any{"agent_id": w.agent.UID, "filter": filter, "max": 5})
		}
		if a := bulk(map[string]any{"state": "failure"}); a.status != 410 || !strings.HasSuffix(a.text("detail", "replacement"), "/projects/shop/bulk-retry-requests") {
			t.Errorf("by filter: %d %s", a.status, a.raw)
		}
		if a := bulk(map[string]any{"task_ids": []string{"bad-0"}}); a.status != 422 {
			t.Errorf("without engine: %d %s", a.status, a.raw)
		}
		if a := bulk(map[string]any{"task_ids": "bad-0", "engine": "celery"}); a.status != 422 {
			t.Errorf("ids as text: %d %s", a.status, a.raw)
		}
		a = bulk(map[string]any{"engine": "celery", "task_ids": []string{"bad-0", "nope"}})
		detail, _ = a.body["detail"].(map[string]any)
		if a.status != 400 || fmt.Sprint(detail["missing_task_names"], detail["rejected_client_supplied_keys"]) != "[nope] []" {
			t.Errorf("unresolved: %d %s", a.status, a.raw)
		}
		a = bulk(map[string]any{"engine": "celery", "task_ids": []string{"bad-0", "bad-1", "bad-0"}, "task_names": map[string]string{"bad-0": "os.system"}})
		if a.status != 202 || a.text("payload", "filter", "task_names", "bad-0") != "shop.boom" || a.text("target_type") != "bulk" || a.body["target_id"] != nil {
			t.Errorf("bulk retry: %d %s", a.status, a.raw)
		}
	})
}

func TestPurgeAndRateLimit(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		if a := w.issue("operator", "purge-queue", map[string]any{"agent_id": w.agent.UID, "queue": "q", "observed_depth": 3}); a.status != 403 {
			t.Errorf("operator: %d", a.status)
		}
		a := w.issue("padmin", "purge-queue", map[string]any{"agent_id": w.agent.UID, "queue": "q", "observed_depth": 3})
		if a.status != 202 || a.text("payload", "confirm_token") != "<redacted>" || strings.Contains(string(a.raw), "observed_depth") {
			t.Errorf("purge: %d %s", a.status, a.raw)
		}
		force := w.issue("padmin", "purge-queue", map[string]any{"agent_id": w.agent.UID, "queue": "q", "observed_depth": 3, "force": true})
		if force.status != 202 {
			t.Errorf("forced: %d", force.status)
		}
		limit := func(body map[string]any) answer {
			body["agent_id"], body["task_name"] = w.agent.UID, "shop.pay"
			return w.issue("operator", "rate-limit", body)
		}
		if a := limit(map[string]any{"rate": "10/x"}); a.status != 422 {
			t.Errorf("bad rate: %d", a.status)
		}
		if a := limit(map[string]any{"rate": "10/m"}); a.status != 202 || a.text("target_id") != "shop.pay" {
			t.Errorf("rate limit: %d %s", a.status, a.raw)
		}
		if a := limit(map[string]any{"rate": "0", "worker_name": "w1"}); a.status != 202 {
			t.Errorf("rate limit of one: %d %s", a.status, a.raw)
		}
		got := w.claim(w.agent)
		if len(got) != 4 {
			t.Fatalf("%d commands", len(got))
		}
		want := wire.PurgeToken(wire.ProjectKey(masterSecret, w.project.UID), "q", 3)
		if p := payloadOf(t, got[0]); p["confirm_token"] != want || p["force"] != false {
			t.Errorf("purge: %v", p)
		}
		if p := payloadOf(t, got[1]); p["confirm_token"] != nil || p["force"] != true {
			t.Errorf("forced purge: %v", p)
		}
		// Without a worker the frame names no target, or the agent would take the task's name for a worker.
		if all, one := store.WireTargetID(got[2]), store.WireTargetID(got[3]); all != "" || one != "shop.pay" {
			t.Errorf("targets %q and %q", all, one)
		}
		w.complete(w.agent, got[0].ID, `{"purged":3}`, "")
		c := w.call("padmin", http.MethodGet, "/projects/shop/commands/"+got[0].ID.String(), nil, nil)
		if c.text("status") != "completed" || c.text("payload", "confirm_token") != "<redacted>" || fmt.Sprint(c.body["result"]) != "map[purged:3]" {
			t.Errorf("completed: %s", c.raw)
		}
		if a := w.get("/commands", "status", "bogus", "limit", "3"); len(a.items()) != 3 {
			t.Errorf("unknown status: %s", a.raw)
		} else if b := w.get("/commands", "limit", "3", "cursor", a.text("next_cursor")); len(b.items()) != 1 || b.body["next_cursor"] != nil {
			t.Errorf("next page: %s", b.raw)
		}
		if a := w.get("/commands", "status", "completed"); a.column("id") != got[0].ID.String() {
			t.Errorf("completed ones: %s", a.raw)
		}
	})
}

func TestWorkerControls(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w) // w1@host is known from task events only
		other := w.addAgent("other")
		w.connect(other, map[string]string{"rq": rqCaps})
		send := func(what string, agent store.AgentRef, more map[string]any) answer {
			body := map[string]any{"agent_id": agent.UID, "worker_name": "w1@host"}
			maps.Copy(body, more)
			return w.issue("operator", what, body)
		}
		if a := send("restart-worker", w.agent, map[string]any{"worker_name": "nobody"}); a.status != 422 || !strings.Contains(a.text("message"), "list of workers") {
			t.Errorf("unknown worker: %d %s", a.status, a.raw)
		}
		if a := send("restart-worker", w.agent, map[string]any{"engine": "rq"}); a.status != 422 {
			t.Errorf("other engine: %d %s", a.status, a.raw)
		}
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		a := send("pool-resize", w.agent, map[string]any{"delta": -2})
		if a.status != 202 || a.text("action") != "pool_shrink" || fmt.Sprint(a.body["payload"]) != "map[delta:2 engine:celery worker_name:w1@host]" {
			t.Errorf("shrink: %d %s", a.status, a.raw)
		}
		// The agent that reported the worker carries it out, whichever one the caller names.
		a = send("add-consumer", other, map[string]any{"queue": "bulk"})
		if a.status != 202 || a.text("agent_id") != w.agent.UID.String() || a.text("payload", "queue") != "bulk" {
			t.Errorf("add consumer: %d %s", a.status, a.raw)
		}
		for delta, want := range map[any]int{0: 422, 101: 422, 1: 202} {
			if a := send("pool-resize", w.agent, map[string]any{"delta": delta}); a.status != want {
				t.Errorf("delta %v: %d %s", delta, a.status, a.raw)
			}
		}
		for _, what := range []string{"restart-worker", "cancel-consumer"} {
			if a := send(what, w.agent, map[string]any{"queue": "bulk", "engine": "celery"}); a.status != 202 || a.text("target_id") != "w1@host" {
				t.Errorf("%s: %d %s", what, a.status, a.raw)
			}
		}
		// RQ can't restart a worker by name: its agent would end its own process, whichever that is.
		rq := event(domain.KindStarted, "r1", "jobs.x", w.store.Now())
		rq.Engine, rq.Worker = "rq", "rqw"
		item := &store.IngestItem{Agent: other, At: w.store.Now(), Events: []store.IngestEvent{rq}}
		if err := w.store.Ingest(t.Context(), []*store.IngestItem{item}); err != nil {
			t.Fatal(err)
		}
		if a := send("restart-worker", other, map[string]any{"worker_name": "rqw"}); a.status != 422 {
			t.Errorf("restart of an RQ worker: %d %s", a.status, a.raw)
		}
	})
}

// answering plays the agent: it claims commands as they come and answers them.
func (w *world) answering(ref store.AgentRef, result, failure string) {
	w.t.Helper()
	sub, err := w.bus.Subscribe(w.t.Context(), bus.AgentCommands(ref.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer sub.Close()
		for range sub.C() {
			for _, c := range w.claim(ref) {
				w.complete(ref, c.ID, result, failure)
				_ = w.bus.Publish(context.Background(), bus.ProjectCommands(ref.ProjectID), nil)
			}
		}
	}()
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		result, failure string
		want            int
	}{
		"list":        {`{"entries":[{"task_id":"a","task_name":"x","queue":"q","failed_at":"2026-03-01T00:00:00Z","error_excerpt":null,"attempts":null}],"next_cursor":"1","total":3,"engine":"rq"}`, "", 200},
		"empty":       {`{"entries":[],"next_cursor":null,"total":0,"engine":"rq"}`, "", 200},
		"bad cursor":  {"", "dlq.list: validation_error: invalid dead-letter cursor 'zzz'", 422},
		"broker down": {"", "dlq.list: connection refused", 502},
		"nonsense":    {`{"entries":[{"task_id":""}]}`, "", 502},
		"no result":   {"", "", 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, storetest.SQLite(t))
			w.connect(w.agent, map[string]string{"rq": rqCaps})
			w.answering(w.agent, tc.result, tc.failure)
			a := w.call("viewer", http.MethodGet, "/projects/shop/dead-letters", url.Values{"engine": {"rq"}, "limit": {"2"}}, nil)
			if a.status != tc.want {
				t.Fatalf("%d %s, want %d", a.status, a.raw, tc.want)
			}
			if tc.want != 200 && a.text("detail", "command_id") == "" {
				t.Errorf("which command: %s", a.raw)
			}
			if name == "list" && string(a.raw) != `{"entries":[{"task_id":"a","task_name":"x","queue":"q","failed_at":"2026-03-01T00:00:00.000000Z","error_excerpt":"","attempts":null}],"next_cursor":"1","total":3,"engine":"rq"}` {
				t.Errorf("list: %s", a.raw)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, storetest.SQLite(t), func(c *api.Config) { c.AnswerWait = 200 * time.Millisecond })
		w.connect(w.agent, map[string]string{"rq": rqCaps})
		a := w.call("viewer", http.MethodGet, "/projects/shop/dead-letters", url.Values{"engine": {"rq"}}, nil)
		if a.status != 504 || a.text("detail", "agent_id") != w.agent.UID.String() || a.text("detail", "command_id") == "" {
			t.Errorf("%d %s", a.status, a.raw)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, storetest.SQLite(t))
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		a := w.call("viewer", http.MethodGet, "/projects/shop/dead-letters", url.Values{"engine": {"rq"}}, nil)
		detail, _ := a.body["detail"].(map[string]any)
		agents, _ := detail["agents"].([]any)
		if a.status != 409 || detail["capability"] != "list_dead_letters" || len(agents) != 1 {
			t.Errorf("%d %s", a.status, a.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/dead-letters", nil, nil); a.status != 422 {
			t.Errorf("without engine: %d", a.status)
		}
	})
}
