// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
)

// beat sends a heartbeat of the world's agent.
func (w *world) beat(in store.HeartbeatInput) {
	w.t.Helper()
	item := &store.IngestItem{Agent: w.agent, At: w.store.Now(), Heartbeat: &in}
	if err := w.store.Ingest(w.t.Context(), []*store.IngestItem{item}); err != nil {
		w.t.Fatal(err)
	}
}

// one is the only item whose name member is the given one.
func one(t *testing.T, a answer, name string) map[string]any {
	t.Helper()
	for _, i := range a.items() {
		if i["name"] == name {
			return i
		}
	}
	t.Fatalf("no %s in %s", name, a.raw)
	return nil
}

// offered finds an action in an answer's list of allowed actions.
func offered(t *testing.T, a answer, action string) (allowed bool, reason, agent string) {
	t.Helper()
	list, _ := a.body["allowed_actions"].([]any)
	for _, i := range list {
		m, _ := i.(map[string]any)
		if m["action"] == action {
			allowed, _ = m["allowed"].(bool)
			reason, _ = m["reason"].(string)
			agent, _ = m["agent_id"].(string)
			return allowed, reason, agent
		}
	}
	t.Fatalf("no action %s in %s", action, a.raw)
	return false, "", ""
}

const prefork = `{"conf":{"accept_content":["json","pickle"],"task_time_limit":5},"stats":{"sw_ver":"5.4.0"}}`

func TestQueuesTellWhetherTheyDrain(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := w.store.Now()
		slots := int64(4)
		w.beat(store.HeartbeatInput{
			Depths:  []store.QueueDepth{{Engine: "celery", Name: "deep", Pending: 40, BrokerType: "amqp"}, {Engine: "celery", Name: "calm", Pending: 0}},
			Workers: []store.WorkerReport{{Engine: "celery", Name: "w1@host", Hostname: "host", Queues: []string{"deep", "default"}, Concurrency: &slots, Metadata: prefork}},
		})
		var events []store.IngestEvent
		for i := range 4 {
			at := now.Add(-time.Duration(i+1) * time.Minute)
			id := uuid.NewString()
			kind := domain.KindSucceeded
			if i == 0 {
				kind = domain.KindFailed
			}
			events = append(events, event(domain.KindReceived, id, "shop.pay", at.Add(-2*time.Second)), event(domain.KindStarted, id, "shop.pay", at.Add(-time.Second)), event(kind, id, "shop.pay", at))
		}
		events = append(events, event(domain.KindReceived, "waits", "shop.pay", now.Add(-5*time.Minute)))
		w.ingest(events...)

		list := w.get("/queues")
		deep, calm, busy := one(t, list, "deep"), one(t, list, "calm"), one(t, list, "default")
		if deep["depth"] != 40.0 || deep["pending_count"] != 40.0 || deep["depth_at"] == nil || deep["trend"] != "stalled" || deep["consumers"] != 1.0 {
			t.Errorf("deep: %v", deep)
		}
		if calm["depth"] != 0.0 || calm["trend"] != "empty" || calm["drain_seconds"] != 0.0 || calm["consumers"] != 0.0 {
			t.Errorf("calm: %v", calm)
		}
		// Nobody measures this one: no depth, and what its worker holds says nothing of what the broker does.
		if busy["depth"] != nil || busy["depth_at"] != nil || busy["pending_count"] != 0.0 || busy["waiting"] != 1.0 || busy["trend"] != "unknown" {
			t.Errorf("default: %v", busy)
		}
		if age, _ := busy["oldest_wait_seconds"].(float64); age < 299 || age > 330 {
			t.Errorf("oldest wait %v, want about 300", age)
		}
		if busy["ended"] != 4.0 || busy["failed"] != 1.0 || busy["in_per_minute"].(float64)*1440 < 4.9 || busy["out_per_minute"].(float64)*1440 < 3.9 {
			t.Errorf("traffic of default: %v", busy)
		}
		if spark, _ := deep["depth_spark"].([]any); len(spark) != 24 || spark[23] != 40.0 || spark[0] != nil {
			t.Errorf("spark %v", spark)
		}
		// A window that ends before it all happened knows none of it.
		past := w.get("/queues", "from", httpx.FormatTime(now.Add(-48*time.Hour)), "to", httpx.FormatTime(now.Add(-24*time.Hour)))
		if q := one(t, past, "default"); q["ended"] != 0.0 || q["out_per_minute"] != 0.0 {
			t.Errorf("yesterday: %v", q)
		}
		for _, q := range []url.Values{{"from": {"2026-01-02"}, "to": {"2026-01-01"}}, {"from": {"2020-01-01"}, "to": {"2026-01-01"}}, {"from": {"soon"}}} {
			if a := w.call("viewer", "GET", "/projects/shop/queues", q, nil); a.status != 422 {
				t.Errorf("%v: %d %s", q, a.status, a.raw)
			}
		}

		// More than its worker can hold: then receptions tell of the queue itself, and more came in than went out.
		events = nil
		for range 40 {
			events = append(events, event(domain.KindReceived, uuid.NewString(), "shop.pay", now.Add(-4*time.Minute)))
		}
		w.ingest(events...)
		if q := one(t, w.get("/queues"), "default"); q["trend"] != "growing" || q["waiting"] != 41.0 {
			t.Errorf("with 40 more: %v", q)
		}

		detail := w.get("/queues/celery/default")
		if detail.body["bucket_seconds"] != 60.0 || len(detail.body["depth_series"].([]any)) != 0 {
			t.Errorf("detail: %s", detail.raw)
		}
		names, _ := detail.body["top_names"].([]any)
		if len(names) != 1 || names[0].(map[string]any)["name"] != "shop.pay" || names[0].(map[string]any)["failure_rate"] != 0.25 {
			t.Errorf("names %v", names)
		}
		workers, _ := detail.body["workers"].([]any)
		if len(workers) != 1 || workers[0].(map[string]any)["name"] != "w1@host" {
			t.Errorf("workers %v", workers)
		}
		if series, _ := w.get("/queues/celery/deep").body["depth_series"].([]any); len(series) != 1 {
			t.Errorf("depths %v", series)
		}
		if a := w.call("viewer", "GET", "/projects/shop/queues/rq/deep", nil, nil); a.status != 404 {
			t.Errorf("queue of another engine: %d", a.status)
		}

		if ok, reason, _ := offered(t, detail, "purge_queue"); ok || !strings.Contains(reason, "role admin in the project; yours is viewer") {
			t.Errorf("viewer: %v %q", ok, reason)
		}
		purge := func() (bool, string, string) {
			return offered(t, w.call("padmin", "GET", "/projects/shop/queues/celery/default", nil, nil), "purge_queue")
		}
		w.connect(w.agent, map[string]string{"celery": "retry_task"})
		if ok, reason, _ := purge(); ok || !strings.Contains(reason, "does not offer this") {
			t.Errorf("without the capability: %v %q", ok, reason)
		}
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		if ok, reason, agent := purge(); !ok || reason != "" || agent != w.agent.UID.String() {
			t.Errorf("with it: %v %q %s", ok, reason, agent)
		}
	})
}

func TestWorkersTellWhetherTheyConsume(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := w.store.Now()
		report := func(name string, active int64, queues ...string) store.WorkerReport {
			return store.WorkerReport{Engine: "celery", Name: name, Hostname: "host", Queues: queues, ActiveTasks: active, Metadata: prefork}
		}
		waits := event(domain.KindReceived, "waits", "shop.pay", now.Add(-5*time.Minute))
		waits.Worker = ""
		old := event(domain.KindStarted, "old", "shop.pay", now.Add(-10*time.Minute))
		fresh := event(domain.KindStarted, "fresh", "shop.pay", now)
		fresh.Worker = "fresh@host"
		w.ingest(waits, old, fresh)
		w.beat(store.HeartbeatInput{Workers: []store.WorkerReport{
			report("w1@host", 0, "default"), report("fresh@host", 0, "default"), report("busy@host", 1, "default"), report("other@host", 0, "elsewhere"),
		}})
		list := w.get("/workers")
		idle := one(t, list, "w1@host")
		if reason, _ := idle["idle_reason"].(string); idle["idle_suspect"] != true ||
			!strings.HasPrefix(reason, "1 waiting in its queue default for up to 5 m") || !strings.Contains(reason, "no task event from it for 10 m") {
			t.Errorf("idle: %v", idle)
		}
		if idle["last_event_at"] == nil || idle["version"] != "5.4.0" || idle["rate_seconds"].(float64) < 300 {
			t.Errorf("idle: %v", idle)
		}
		for _, name := range []string{"fresh@host", "busy@host", "other@host"} {
			if each := one(t, list, name); each["idle_suspect"] != false || each["idle_reason"] != nil {
				t.Errorf("%s is suspected: %v", name, each)
			}
		}

		id, _ := idle["id"].(string)
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		detail := w.call("operator", "GET", "/projects/shop/workers/"+id, nil, nil)
		current, _ := detail.body["current_tasks"].([]any)
		if len(current) != 1 || current[0].(map[string]any)["task_id"] != "old" {
			t.Errorf("current tasks %v", current)
		}
		findings, _ := detail.body["findings"].([]any)
		if detail.body["evaluated"] != true || len(findings) != 1 || findings[0].(map[string]any)["rule_id"] != "celery.pickle-accepted" {
			t.Errorf("findings %v", findings)
		}
		// The plain set-up: one agent, which never sent an event of a worker, and everything can be done.
		for _, action := range []string{"restart_worker", "pool_grow", "pool_shrink", "add_consumer", "cancel_consumer"} {
			if ok, reason, agent := offered(t, detail, action); !ok || reason != "" || agent != w.agent.UID.String() {
				t.Errorf("%s: %v %q %s", action, ok, reason, agent)
			}
		}
		if a := w.issue("operator", "pool-resize", map[string]any{"agent_id": w.agent.UID, "worker_name": "w1@host", "delta": 1}); a.status != 202 {
			t.Errorf("grow the pool: %d %s", a.status, a.raw)
		}
		if ok, reason, _ := offered(t, w.get("/workers/"+id), "restart_worker"); ok || !strings.Contains(reason, "role operator") {
			t.Errorf("viewer: %v %q", ok, reason)
		}
	})
}

func TestAgentsTellWhetherTheySee(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		bare := one(t, w.get("/agents"), "agent")
		if bare["buffered"] != nil || bare["lag_seconds"] != nil || bare["lost"] != 0.0 || bare["last_event_at"] != nil || bare["newest_version"] != domain.NewestAgent {
			t.Errorf("before any report: %v", bare)
		}
		for worker, payload := range map[string]string{
			"web":  `{"buffer_depth":3,"buffer_oldest_age_seconds":1.5,"connection_failure_streak":2,"telemetry_loss":{"buffer_id":"a","runtime_id":"r","event_records":5,"command_results":1,"adapter_events":{"celery":2}}}`,
			"task": `{"buffer_depth":4,"buffer_oldest_age_seconds":9,"telemetry_loss":null}`,
		} {
			item := &store.IngestItem{Agent: w.agent, WorkerID: worker, At: w.store.Now(), Status: []byte(payload)}
			if err := w.store.Ingest(t.Context(), []*store.IngestItem{item}); err != nil {
				t.Fatal(err)
			}
		}
		w.ingest(event(domain.KindReceived, "x", "shop.pay", w.store.Now()))
		a := one(t, w.get("/agents"), "agent")
		if a["buffered"] != 7.0 || a["lag_seconds"] != 9.0 || a["lost"] != 7.0 || a["lost_results"] != 1.0 || a["processes"] != 2.0 || a["failures"] != 2.0 {
			t.Errorf("reports: %v", a)
		}
		if a["last_event_at"] == nil || a["reported_at"] == nil {
			t.Errorf("times: %v", a)
		}
	})
}

func TestCommandsTellWhoAndOnWhat(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.ingest(event(domain.KindStarted, "a:b", "shop.pay", w.store.Now()))
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		cancel := w.issue("operator", "cancel-task", map[string]any{"agent_id": w.agent.UID, "engine": "celery", "task_id": "a:b"})
		restart := w.issue("padmin", "restart-worker", map[string]any{"agent_id": w.agent.UID, "worker_name": "w1@host"})
		purge := w.issue("padmin", "purge-queue", map[string]any{"agent_id": w.agent.UID, "queue": "default", "force": true})
		rate := w.issue("padmin", "rate-limit", map[string]any{"agent_id": w.agent.UID, "task_name": "shop.pay", "rate": "1/m"})
		for _, a := range []answer{cancel, restart, purge, rate} {
			if a.status != 202 {
				t.Fatalf("%d %s", a.status, a.raw)
			}
		}
		w.claim(w.agent)
		w.complete(w.agent, uuid.MustParse(cancel.text("id")), `{}`, "")

		done := w.call("operator", "GET", "/projects/shop/commands/"+cancel.text("id"), nil, nil)
		if done.text("issuer", "name") != "operator@example.com" || done.text("agent_name") != "agent" ||
			done.text("target", "engine") != "celery" || done.text("target", "task_id") != "a:b" || done.body["duration_ms"] == nil {
			t.Errorf("cancel: %s", done.raw)
		}
		if restart.text("target", "worker") != "w1@host" || restart.text("target", "worker_id") == "" || restart.body["duration_ms"] != nil {
			t.Errorf("restart: %s", restart.raw)
		}
		if purge.text("target", "queue") != "default" || rate.text("target", "kind") != "name" || rate.text("target", "name") != "shop.pay" {
			t.Errorf("purge %s\nrate %s", purge.raw, rate.raw)
		}
		if seen := w.get("/commands/" + cancel.text("id")); seen.body["issuer"] != nil || seen.text("target", "task_id") != "a:b" {
			t.Errorf("viewer: %s", seen.raw)
		}
		for query, want := range map[string]int{"target_id=celery:a:b": 1, "target_id=celery:other": 0, "action=purge_queue": 1, "action=none": 0, "target_id=default&action=purge_queue&status=dispatched": 1, "from=2020-01-01T00:00:00Z": 4, "from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z": 0} {
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(w.call("operator", "GET", "/projects/shop/commands", q, nil).items()); got != want {
				t.Errorf("%s: %d commands, want %d", query, got, want)
			}
		}
	})
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		for as, tc := range map[string]struct {
			role        string
			may, mayNot string
		}{
			"viewer":   {"viewer", "task.read", "command.retry_task"},
			"auditor":  {"auditor", "audit.read", "command.retry_task"},
			"operator": {"operator", "command.retry_task", "command.purge_queue"},
			"padmin":   {"admin", "command.purge_queue", "user.create"},
			"instance": {"admin", "user.create", ""},
		} {
			a := w.call(as, "GET", "/projects/shop/permissions", nil, nil)
			list := []string{}
			actions, _ := a.body["actions"].([]any)
			for _, i := range actions {
				list = append(list, i.(string))
			}
			all := " " + strings.Join(list, " ") + " "
			if a.text("role") != tc.role || !strings.Contains(all, " "+tc.may+" ") || tc.mayNot != "" && strings.Contains(all, " "+tc.mayNot+" ") {
				t.Errorf("%s: %s", as, a.raw)
			}
		}
		if a := w.call("outsider", "GET", "/projects/shop/permissions", nil, nil); a.status != 404 && a.status != 403 {
			t.Errorf("outsider: %d", a.status)
		}
	})
}
