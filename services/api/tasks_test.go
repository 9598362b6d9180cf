// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// shopTasks feeds a small history: ok-0 .. ok-4 succeeded, bad-0 .. bad-2 failed, wait-0 was only received.
func shopTasks(w *world) (now time.Time) {
	now = w.store.Now().Truncate(time.Minute).Add(-10 * time.Minute)
	var events []store.IngestEvent
	for i := range 5 {
		at, id := now.Add(time.Duration(i)*10*time.Second), fmt.Sprintf("ok-%d", i)
		r := event(domain.KindReceived, id, "shop.pay", at)
		r.Args, r.Kwargs = new(`[1]`), new(`{"k":"v"}`)
		d := event(domain.KindSucceeded, id, "<unknown:"+id+">", at.Add(3*time.Second))
		d.Result, d.RuntimeMS, d.Rest = new(`"22"`), new(int64(2000)), []byte(`{"result":"22","runtime_ms":2000}`)
		events = append(events, r, event(domain.KindStarted, id, "<unknown:"+id+">", at.Add(time.Second)), d)
	}
	for i := range 3 {
		at, id := now.Add(time.Duration(i)*10*time.Second+2*time.Minute), fmt.Sprintf("bad-%d", i)
		f := event(domain.KindFailed, id, "<unknown:"+id+">", at.Add(2*time.Second))
		f.Exception, f.Traceback = new("ValueError"), new("Traceback\n  File \"/srv/a.py\", line 3, in boom\nValueError: no\n")
		f.Rest = []byte(`{"exception":"ValueError"}`)
		events = append(events, event(domain.KindReceived, id, "shop.boom", at), event(domain.KindStarted, id, "shop.boom", at.Add(time.Second)), f)
	}
	events = append(events, event(domain.KindReceived, "wait-0", "shop.pay", now.Add(4*time.Minute)))
	w.ingest(events...)
	return now
}

func TestTaskList(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		a := w.get("/tasks", "limit", "4", "include_total", "true")
		if got := a.column("task_id"); got != "bad-2 bad-1 bad-0 ok-4" || a.body["total_count"] != 9.0 {
			t.Errorf("first page: %s, total %v", got, a.body["total_count"])
		}
		b := w.get("/tasks", "limit", "4", "cursor", a.text("next_cursor"))
		c := w.get("/tasks", "limit", "4", "cursor", b.text("next_cursor"))
		if got := b.column("task_id") + " " + c.column("task_id"); got != "ok-3 ok-2 ok-1 ok-0 wait-0" || c.body["next_cursor"] != nil {
			t.Errorf("next pages: %s, then %v", got, c.body["next_cursor"])
		}
		if a.items()[0]["total_count"] != nil || b.body["total_count"] != nil {
			t.Error("a total without being asked")
		}
		for query, want := range map[string]string{
			"state=failure":                                       "bad-2 bad-1 bad-0",
			"state=failure&include_total=true":                    "bad-2 bad-1 bad-0",
			"name=boom&limit=1":                                   "bad-2",
			"search=WAIT":                                         "wait-0",
			"state=failure&state=received,retry":                  "bad-2 bad-1 bad-0 wait-0",
			"exception=valueerror&name=BOOM,other&limit=1":        "bad-2",
			"min_runtime_ms=2000&limit=2":                         "ok-4 ok-3",
			"min_runtime_ms=2001":                                 "",
			"fingerprint=none":                                    "",
			"queue=nope&queue=default&limit=1":                    "bad-2",
			"from=" + now.Add(3*time.Minute).Format(time.RFC3339): "wait-0",
			"to=" + now.Add(3*time.Minute).Format(time.RFC3339) + "&sort=-received_at&fields=basic&limit=1": "bad-2",
			"queue=default&worker=w1@host&limit=2&state=success":                                            "ok-4 ok-3",
			"priority=critical,%20low":                             "",
			"sort=-received_at&limit=1":                            "wait-0",
			"cursor=garbage&limit=1":                               "bad-2",
			"since=" + now.Add(3*time.Minute).Format(time.RFC3339): "wait-0",
		} {
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", q, nil); a.status != 200 || a.column("task_id") != want {
				t.Errorf("%s: %d %s, want %s", query, a.status, a.column("task_id"), want)
			}
		}
		for query, field := range map[string]string{"state=bogus": "state", "priority=urgent": "priority"} {
			q, _ := url.ParseQuery(query)
			a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", q, nil)
			if a.status != 422 || a.text("error") != "validation_error" || a.text("details", "field") != field {
				t.Errorf("%s: %d %s", query, a.status, a.raw)
			}
		}
		for _, query := range []string{"limit=99999", "since=yesterday", "sort=name", "format=pdf"} {
			q, _ := url.ParseQuery(query)
			if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", q, nil); a.status != 422 {
				t.Errorf("%s: %d", query, a.status)
			}
		}
		if a := w.call("outsider", http.MethodGet, "/projects/shop/tasks", nil, nil); a.status != 404 {
			t.Errorf("outsider: %d", a.status)
		}
	})
}

func TestTaskQuery(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		for query, want := range map[string]string{
			"state:failure":                             "bad-2 bad-1 bad-0",
			"-state:success -task:boom":                 "wait-0",
			"task:=shop.pay state:success runtime:>=2s": "ok-4 ok-3 ok-2 ok-1 ok-0",
			"task:=shop.pa":                             "",
			"task:*boom exception:valueerror":           "bad-2 bad-1 bad-0",
			"runtime:>2s":                               "",
			"worker:w1@* queue:default id:ok-1,bad-0":   "bad-0 ok-1",
			"id:ok-* -id:ok-1,ok-2":                     "ok-4 ok-3 ok-0",
			"pay -ok":                                   "wait-0",
			"engine:rq":                                 "",
			"priority:normal until:1h":                  "",
			"since:" + now.Add(3*time.Minute).Format("2006-01-02T15:04") + "Z": "wait-0",
			"since:1h state:received,retry":                                    "wait-0",
		} {
			if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", url.Values{"query": {query}}, nil); a.status != 200 || a.column("task_id") != want {
				t.Errorf("%s: %d %s, want %s", query, a.status, a.column("task_id"), want)
			}
		}
		if a := w.get("/tasks", "query", "state:failure,success", "state", "received,failure"); a.column("task_id") != "bad-2 bad-1 bad-0" {
			t.Errorf("a query narrows the other filters: %s", a.column("task_id"))
		}
		if a := w.get("/tasks/facets", "query", "task:boom", "state", "failure"); len(a.body["names"].([]any)) != 1 || len(a.body["states"].([]any)) != 1 {
			t.Errorf("facets of a query: %s", a.raw)
		}
		a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", url.Values{"query": {"queue:a stat:failure"}}, nil)
		if a.status != 422 || a.text("error") != "validation_error" || fmt.Sprint(a.body["details"].(map[string]any)["from"]) != "8" || !strings.Contains(a.text("message"), "character 9") {
			t.Errorf("a mistake: %d %s", a.status, a.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", url.Values{"query": {"id:bad-*"}, "format": {"json"}}, nil); a.status != 200 || strings.Count(string(a.raw), "bad-") != 3 {
			t.Errorf("export: %d %s", a.status, a.raw)
		}
		if a := w.call("padmin", http.MethodPost, "/projects/shop/tasks/bulk-delete", nil, map[string]any{"filter_query": "id:bad-* -id:bad-1"}); a.status != 200 || a.body["deleted_count"] != 2.0 {
			t.Errorf("delete: %d %s", a.status, a.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", url.Values{"search": {"a\x00b"}}, nil); a.status != 422 {
			t.Errorf("a NUL: %d %s", a.status, a.raw)
		}
	})
}

func TestTaskListBasic(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		item := w.get("/tasks", "fields", "basic", "name", "pay", "limit", "1").items()[0]
		if item["args"] != nil || item["result"] != nil || item["args_preview"] != "[1]" || item["kwargs_preview"] != `{"k":"v"}` || item["state"] != "success" {
			t.Errorf("small row: %v", item)
		}
		item = w.get("/tasks", "fields", "basic", "state", "failure", "limit", "1").items()[0]
		if item["traceback"] != nil || item["exception"] != "ValueError" {
			t.Errorf("small row of a failure: %v", item)
		}
		if _, has := w.get("/tasks", "limit", "1").items()[0]["args_preview"]; has {
			t.Error("a preview beside the arguments")
		}
	})
}

func TestTaskFacets(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		counts := func(a answer, list string) string {
			var parts []string
			all, _ := a.body[list].([]any)
			for _, each := range all {
				m, _ := each.(map[string]any)
				parts = append(parts, fmt.Sprintf("%v:%v", m["value"], m["count"]))
			}
			return strings.Join(parts, " ")
		}
		a := w.get("/tasks/facets")
		for list, want := range map[string]string{
			"states": "success:5 failure:3 received:1", "names": "shop.pay:6 shop.boom:3", "queues": "default:9", "workers": "w1@host:8", "engines": "celery:9",
			"priorities": "normal:9",
		} {
			if got := counts(a, list); got != want {
				t.Errorf("%s: %s, want %s", list, got, want)
			}
		}
		a = w.get("/tasks/facets", "state", "failure,received", "name", "boom")
		if got := counts(a, "states") + ", " + counts(a, "names") + ", " + counts(a, "queues"); got != "failure:3, shop.boom:3 shop.pay:1, default:3" || a.body["approximate"] != false {
			t.Errorf("a list leaves its own filter out: %s", got)
		}
		if a := w.get("/tasks/facets", "queue", "nope", "limit", "1"); counts(a, "states") != "" || counts(a, "queues") != "default:9" {
			t.Errorf("a queue there is not: %s", a.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks/facets", url.Values{"state": {"bogus"}}, nil); a.status != 422 {
			t.Errorf("an unknown state: %d", a.status)
		}
	})
}

func TestTaskDetail(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		a := w.get("/tasks/celery/ok-1")
		if a.text("name") != "shop.pay" || a.text("state") != "success" || a.text("result") != "22" || a.body["runtime_ms"] != 2000.0 ||
			fmt.Sprint(a.body["args"], a.body["kwargs"], a.body["tags"]) != "[1] map[k:v] []" || a.text("worker_name") != "w1@host" ||
			a.text("project_id") != w.project.UID.String() {
			t.Errorf("detail: %s", a.raw)
		}
		if got, want := a.text("started_at"), now.Add(11*time.Second).Format("2006-01-02T15:04:05.000000Z"); got != want {
			t.Errorf("started_at %s, want %s", got, want)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks/celery/nope", nil, nil); a.status != 404 || a.text("details", "task_id") != "nope" {
			t.Errorf("unknown task: %d %s", a.status, a.raw)
		}
		w.ingest(event(domain.KindReceived, "odd/id 1%", "shop.pay", now))
		if a := w.get("/tasks/celery/" + url.PathEscape("odd/id 1%")); a.text("task_id") != "odd/id 1%" {
			t.Errorf("an id with a slash: %s", a.raw)
		}
		if a := w.get("/tasks/celery/ok-1/tree"); a.text("root_task_id") != "ok-1" || a.body["node_count"] != 1.0 {
			t.Errorf("tree: %s", a.raw)
		}

		e := w.get("/events", "engine", "celery", "task_id", "ok-1", "limit", "2")
		if e.column("kind") != "task.succeeded task.started" || e.text("next_cursor") == "" {
			t.Fatalf("events: %s", e.raw)
		}
		first, _ := e.items()[0]["payload"].(map[string]any)
		if first["task_name"] != "<unknown:ok-1>" || first["worker"] != "w1@host" || first["result"] != "22" {
			t.Errorf("payload: %v", first)
		}
		e = w.get("/events", "engine", "celery", "task_id", "ok-1", "limit", "2", "cursor", e.text("next_cursor"))
		if e.column("kind") != "task.received" || e.body["next_cursor"] != nil || e.column("agent_id") != w.agent.UID.String() {
			t.Errorf("older events: %s", e.raw)
		}
		last, _ := e.items()[0]["payload"].(map[string]any)
		if fmt.Sprintln(last["args"], last["kwargs"], last["task_name"], last["queue"]) != "[1] map[k:v] shop.pay default\n" {
			t.Errorf("payload: %v", last)
		}
		if e := w.get("/events", "engine", "celery", "task_id", "nope"); len(e.items()) != 0 {
			t.Errorf("events of an unknown task: %s", e.raw)
		}
		if e := w.call("viewer", http.MethodGet, "/projects/shop/events", nil, nil); e.status != 422 {
			t.Errorf("events without a task: %d", e.status)
		}
	})
}

func TestTaskExport(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		evil := event(domain.KindReceived, "evil", "=HYPERLINK(1)", w.store.Now())
		w.ingest(evil)
		a := w.get("/tasks", "format", "csv", "fields", "task_id,name,state,queue", "state", "failure", "name", "boom")
		want := "task_id,name,state,queue\r\nbad-2,shop.boom,failure,default\r\nbad-1,shop.boom,failure,default\r\nbad-0,shop.boom,failure,default\r\n"
		if string(a.raw) != want || a.header.Get("Content-Type") != "text/csv; charset=utf-8" ||
			!strings.Contains(a.header.Get("Content-Disposition"), "z4j-tasks-shop.csv") {
			t.Errorf("csv: %q %v", a.raw, a.header)
		}
		if a := w.get("/tasks", "format", "csv", "fields", "name", "search", "evil"); string(a.raw) != "name\r\n'=HYPERLINK(1)\r\n" {
			t.Errorf("csv with a formula: %q", a.raw)
		}
		a = w.get("/tasks", "format", "json", "fields", "task_id,args,runtime_ms,tags", "search", "ok-0")
		if want := `[{"task_id":"ok-0","args":[1],"runtime_ms":2000,"tags":null}]`; string(a.raw) != want {
			t.Errorf("json: %s", a.raw)
		}
		if a := w.get("/tasks", "format", "json", "name", "zzz"); string(a.raw) != "[]" {
			t.Errorf("empty json: %s", a.raw)
		}
		if a := w.get("/tasks", "format", "xlsx"); !strings.HasPrefix(string(a.raw), "PK\x03\x04") {
			t.Errorf("xlsx: %d bytes", len(a.raw))
		}
		q := url.Values{"format": {"csv"}, "fields": {"nope"}}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks", q, nil); a.status != 422 || !strings.Contains(string(a.raw), "task_id") {
			t.Errorf("unknown column: %d %s", a.status, a.raw)
		}
	})
}

func TestBulkDelete(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		const path = "/projects/shop/tasks/bulk-delete"
		drop := func(body any) answer { return w.call("padmin", http.MethodPost, path, nil, body) }
		if a := w.call("operator", http.MethodPost, path, nil, map[string]any{"filter_state": "failure"}); a.status != 403 {
			t.Errorf("operator: %d", a.status)
		}
		for _, body := range []map[string]any{
			{},
			{"task_ids": []string{uuid.NewString()}, "filter_state": "failure"},
			{"filter_state": "x"},
			{"filter_priority": []string{"urgent"}},
			{"task_ids": []string{}},
			{"nope": 1},
		} {
			if a := drop(body); a.status != 422 {
				t.Errorf("%v: %d %s", body, a.status, a.raw)
			}
		}
		id := w.get("/tasks/celery/ok-0").text("id")
		if a := drop(map[string]any{"task_ids": []string{id, uuid.NewString()}}); a.status != 200 || a.body["deleted_count"] != 1.0 {
			t.Fatalf("by id: %d %s", a.status, a.raw)
		}
		if a := drop(map[string]any{"filter_name": "boom", "filter_state": "failure"}); a.status != 200 || a.body["deleted_count"] != 3.0 {
			t.Fatalf("by filter: %d %s", a.status, a.raw)
		}
		w.ingest()
		if a := w.get("/tasks", "include_total", "true"); a.body["total_count"] != 5.0 || len(a.items()) != 5 {
			t.Errorf("left: %s", a.raw)
		}
		s := w.get("/stats")
		if s.body["tasks_total"] != 5.0 || s.body["tasks_failed_24h"] != 0.0 || s.body["tasks_succeeded_24h"] != 4.0 {
			t.Errorf("stats after the deletion: %s", s.raw)
		}
		if a := w.get("/issues"); len(a.items()) != 0 {
			t.Errorf("issues after the deletion: %s", a.raw)
		}
	})
}

func TestInsight(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		s := w.get("/stats", "hours", "5")
		states, _ := s.body["tasks_by_state"].(map[string]any)
		if s.body["window_hours"] != 24.0 || s.body["tasks_total"] != 9.0 || s.body["tasks_failed_24h"] != 3.0 || s.body["failure_rate_24h"] != 0.375 ||
			states["received"] != 1.0 || states["pending"] != 0.0 || s.body["agents_online"] != 1.0 || s.text("system_health", "status") != "degraded" {
			t.Errorf("stats: %s", s.raw)
		}
		tr := w.get("/trends", "window", "1h", "bucket", "1m")
		series, _ := tr.body["series"].([]any)
		first, _ := series[0].(map[string]any)
		mean, _ := first["avg_runtime_ms"].(float64)
		if len(series) != 2 || first["success"] != 5.0 || math.Abs(mean-2000) > 20 || first["total"] != 5.0 {
			t.Errorf("trends: %s", tr.raw)
		}
		tr = w.get("/trends", "window", "1h", "bucket", "1m", "fill", "true")
		if series, _ := tr.body["series"].([]any); len(series) != 61 {
			t.Errorf("filled trends: %d buckets", len(series))
		}
		q := url.Values{"window": {"7d"}, "bucket": {"1m"}}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/trends", q, nil); a.status != 400 || !strings.Contains(a.text("detail"), "7d/1m") {
			t.Errorf("too fine: %d %s", a.status, a.raw)
		}

		i := w.get("/issues")
		if len(i.items()) != 1 || i.column("status") != "ongoing" || i.items()[0]["occurrences"] != 3.0 || i.column("sample_task_name") != "shop.boom" {
			t.Errorf("issues: %s", i.raw)
		}

		h := w.call("viewer", http.MethodGet, "/home/summary", nil, nil)
		cards, _ := h.body["projects"].([]any)
		if h.status != 200 || len(cards) != 1 {
			t.Fatalf("home: %d %s", h.status, h.raw)
		}
		card, _ := cards[0].(map[string]any)
		if card["slug"] != "shop" || card["role"] != "viewer" || card["tasks_24h"] != 9.0 || card["failures_24h"] != 3.0 || card["health"] != "degraded" ||
			card["last_activity_at"] == nil {
			t.Errorf("card: %v", card)
		}
		if h := w.call("outsider", http.MethodGet, "/home/summary", nil, nil); h.status != 200 || fmt.Sprint(h.body["projects"]) != "[]" {
			t.Errorf("home of an outsider: %s", h.raw)
		}
		f := w.call("viewer", http.MethodGet, "/home/recent-failures", url.Values{"limit": {"2"}}, nil)
		if f.status != 200 || f.column("task_id") != "bad-2 bad-1" || f.column("task_name") != "shop.boom shop.boom" {
			t.Errorf("recent failures: %s", f.raw)
		}
		f = w.call("viewer", http.MethodGet, "/home/recent-failures", url.Values{"limit": {"2"}, "cursor": {f.text("next_cursor")}}, nil)
		if f.column("task_id") != "bad-0" || f.body["next_cursor"] != nil {
			t.Errorf("older failures: %s", f.raw)
		}

		wk := w.get("/workers")
		if len(wk.list) != 1 || wk.column("name") != "w1@host" || wk.items()[0]["failed"] != 3.0 {
			t.Errorf("workers: %s", wk.raw)
		}
		if d := w.get("/workers/" + wk.column("id")); d.text("agent_id") != w.agent.UID.String() {
			t.Errorf("worker: %s", d.raw)
		}
		if l := w.get("/workers/lint"); l.body["workers_not_evaluated"] != 1.0 {
			t.Errorf("lint: %s", l.raw)
		}
		if q := w.get("/queues"); q.column("name") != "default" {
			t.Errorf("queues: %s", q.raw)
		}
	})
}
