// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/bulk"
)

type noHints struct{}

func (noHints) Publish(context.Context, bus.Topic, []byte) {}

func coordinator(w *world) *bulk.Coordinator {
	return bulk.NewCoordinator(w.store, noHints{}, slog.New(slog.DiscardHandler), time.Minute)
}

// failures feeds n failed tasks f-00 ...
func (w *world) failures(n int) {
	var events []store.IngestEvent
	at := w.store.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range n {
		id := fmt.Sprintf("f-%02d", i)
		f := event(domain.KindFailed, id, "shop.boom", at.Add(2*time.Second))
		f.Exception = new("ValueError")
		f.Rest = []byte(`{"exception":"ValueError"}`)
		events = append(events, event(domain.KindReceived, id, "shop.boom", at), f)
	}
	w.ingest(events...)
}

func counts(a answer) string {
	m, _ := a.body["counts"].(map[string]any)
	return fmt.Sprintf("%s %v/%v/%v/%v/%v", a.text("status"), m["pending"], m["claimed"], m["succeeded"], m["failed"], m["unknown"])
}

const requests = "/projects/shop/bulk-retry-requests"

func TestBulkRetryRequest(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.failures(20)
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		step := func(c *bulk.Coordinator) {
			t.Helper()
			if _, err := c.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		body := map[string]any{"idempotency_key": "k1", "filter": map[string]any{"query": "task:boom"}, "max": 100}
		a := w.call("operator", http.MethodPost, requests, nil, body)
		if a.status != 202 || counts(a) != "in_progress 20/0/0/0/0" || len(a.text("plan_digest")) != 64 {
			t.Fatalf("create: %d %s", a.status, a.raw)
		}
		one := requests + "/" + a.text("id")
		show := func() answer { return w.call("operator", http.MethodGet, one, nil, nil) }
		if b := w.call("operator", http.MethodPost, requests, nil, body); b.status != 202 || b.text("id") != a.text("id") {
			t.Errorf("replay: %d %s", b.status, b.raw)
		}
		c := coordinator(w)
		step(c)
		if got := counts(show()); got != "in_progress 12/8/0/0/0" {
			t.Errorf("first wave: %s", got)
		}
		step(c)
		if got := counts(show()); got != "in_progress 12/8/0/0/0" {
			t.Errorf("the wave is full: %s", got)
		}
		// Another coordinator has no say while this one has the lease.
		if held, err := coordinator(w).Step(t.Context()); err != nil || held {
			t.Errorf("two coordinators: %v %v", held, err)
		}
		if a := w.call("operator", http.MethodPost, one+"/pause", nil, nil); a.status != 200 || a.text("status") != "paused" {
			t.Errorf("pause: %d %s", a.status, a.raw)
		}
		sent := map[string]int{}
		answerAll := func(result, failure string) {
			t.Helper()
			for _, cmd := range w.claim(w.agent, store.RetryContract("celery")) {
				if cmd.Action != "bulk_retry" || store.WireTargetID(cmd) != "" || !strings.Contains(cmd.Payload, `"shop.boom"`) {
					t.Errorf("command %+v", cmd)
				}
				sent[*cmd.TargetID]++
				w.complete(w.agent, cmd.ID, result, failure)
			}
		}
		answerAll(`{"requested":1,"succeeded":1,"failed":0,"skipped":0}`, "")
		step(c)
		if got := counts(show()); got != "paused 12/8/8/0/0" {
			t.Errorf("paused: %s", got)
		}
		if a := w.call("operator", http.MethodPost, one+"/resume", nil, nil); a.status != 200 || a.text("status") != "in_progress" {
			t.Errorf("resume: %d %s", a.status, a.raw)
		}
		step(c)
		answerAll(`{"requested":1,"succeeded":0,"failed":1,"failures":[{"task_id":"x","error":"gone"}]}`, "")
		step(c)
		answerAll("", "no such task")
		step(c)
		if a := show(); counts(a) != "partial 0/20/8/12/0" || a.text("last_progress_at") == "" {
			t.Errorf("end: %s", a.raw)
		}
		for id, n := range sent {
			if n != 1 {
				t.Errorf("task %s was sent %d times", id, n)
			}
		}
		if len(sent) != 20 {
			t.Errorf("%d tasks sent", len(sent))
		}
		items := w.call("operator", http.MethodGet, one+"/items", map[string][]string{"limit": {"15"}}, nil)
		if len(items.items()) != 15 || items.body["next"] != 14.0 || items.items()[0]["outcome"] != "succeeded" || items.items()[0]["command_id"] == nil ||
			!strings.Contains(fmt.Sprint(items.items()[10]["error"]), "gone") {
			t.Errorf("items: %s", items.raw)
		}
		items = w.call("operator", http.MethodGet, one+"/items", map[string][]string{"after": {"14"}}, nil)
		if len(items.items()) != 5 || items.body["next"] != nil || items.items()[4]["error"] != "no such task" {
			t.Errorf("last items: %s", items.raw)
		}
		if a := w.call("operator", http.MethodPost, requests, nil, body); a.status != 200 {
			t.Errorf("replay of an ended one: %d", a.status)
		}
		if a := w.call("operator", http.MethodGet, requests, nil, nil); len(a.items()) != 1 {
			t.Errorf("list: %s", a.raw)
		}
		got := strings.Join(actions(t, w.store), " ")
		for action, n := range map[string]int{
			"bulk_retry_request.sealed": 1, "bulk_retry_request.paused": 1, "bulk_retry_request.resumed": 1, "command.issue.bulk_retry": 20,
		} {
			if strings.Count(got, action) != n {
				t.Errorf("%d records of %s, want %d", strings.Count(got, action), action, n)
			}
		}
	})
}

// TestBulkRetryAtMostOnce: coordinators that all believe they may work, some of which die, send each task once.
func TestBulkRetryAtMostOnce(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		w.failures(30)
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		a := w.call("operator", http.MethodPost, requests, nil, map[string]any{"idempotency_key": "k", "filter": map[string]any{}})
		if a.status != 202 {
			t.Fatalf("create: %d %s", a.status, a.raw)
		}
		sent := map[string]int{}
		for round := 0; len(sent) < 30 && round < 100; round++ {
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					// The first two die on the way; what they had begun is undone.
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+round%10)*time.Millisecond)
					if i == 2 {
						ctx = t.Context()
					}
					defer cancel()
					open, err := w.store.OpenBulkRetries(t.Context(), 10)
					if err == nil {
						err = coordinator(w).Work(ctx, open)
					}
					if err != nil && i == 2 {
						t.Errorf("work: %v", err)
					}
				})
			}
			wg.Wait()
			for _, cmd := range w.claim(w.agent, store.RetryContract("celery")) {
				sent[*cmd.TargetID]++
				w.complete(w.agent, cmd.ID, `{"retried":1}`, "")
			}
		}
		if len(sent) != 30 {
			t.Errorf("%d tasks were sent", len(sent))
		}
		for id, n := range sent {
			if n != 1 {
				t.Errorf("task %s was sent %d times", id, n)
			}
		}
	})
}

func TestBulkRetryRefusals(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, func(c *api.Config) { c.BulkPerMinute = 100 })
		w.failures(3)
		ask := func(key string, filter map[string]any, limit int) answer {
			return w.call("operator", http.MethodPost, requests, nil, map[string]any{"idempotency_key": key, "filter": filter, "max": limit})
		}
		if a := ask("a", map[string]any{"engine": "celery", "state": "failure"}, 100); a.status != 202 {
			t.Errorf("an agent that never told what it can: %d %s", a.status, a.raw)
		}
		w.connect(w.agent, map[string]string{"celery": "retry_task"})
		if a := ask("b", nil, 100); a.status != 400 || !strings.Contains(a.text("message"), "no agent") {
			t.Errorf("no able agent: %d %s", a.status, a.raw)
		}
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		for name, tc := range map[string]struct {
			filter map[string]any
			limit  int
			words  string
		}{
			"an unknown key":    {map[string]any{"weird": 1}, 10, "rejected: weird"},
			"too many":          {nil, 2, "exceeds max"},
			"ids without":       {map[string]any{"task_ids": []string{"f-00"}}, 10, "needs engine"},
			"ids and priority":  {map[string]any{"task_ids": []string{"f-00"}, "engine": "celery", "priority": "high"}, 10, "priority"},
			"unknown ids":       {map[string]any{"task_ids": []string{"f-00", "nope"}, "engine": "celery"}, 10, "leave them out"},
			"an unknown state":  {map[string]any{"state": "bogus"}, 10, "state"},
			"a query's mistake": {map[string]any{"query": "stat:failure"}, 10, "character 1"},
			"no time":           {map[string]any{"since": "yesterday"}, 10, "no time"},
		} {
			if a := ask("c"+name, tc.filter, tc.limit); a.status != 400 || !strings.Contains(string(a.raw), tc.words) {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
		}
		if a := ask("a", map[string]any{"state": "failure"}, 100); a.status != 409 {
			t.Errorf("another request with the key: %d", a.status)
		}
		if a := ask("none", map[string]any{"name": "zzz"}, 100); a.status != 200 || a.text("status") != "no_match" {
			t.Errorf("nothing matches: %d %s", a.status, a.raw)
		}
		if a := ask("ids", map[string]any{"task_ids": []string{"f-01", "f-00", "f-01"}, "engine": "celery"}, 100); counts(a) != "in_progress 2/0/0/0/0" {
			t.Errorf("ids: %d %s", a.status, a.raw)
		}
		if a := ask(" ", nil, 10); a.status != 422 {
			t.Errorf("a blank key: %d", a.status)
		}
		if got := strings.Count(strings.Join(actions(t, w.store), " "), "bulk_retry_request.refused"); got != 9 {
			t.Errorf("%d refusals recorded", got)
		}
	})
}

func TestBulkCancel(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		w.ingest(event(domain.KindReceived, "wait-1", "shop.pay", w.store.Now()))
		w.connect(w.agent, map[string]string{"celery": celeryCaps})
		const path = "/projects/shop/commands/bulk-cancel"
		refs := []map[string]any{}
		for _, id := range []string{"wait-0", "ok-0", "nope", "wait-0"} {
			refs = append(refs, map[string]any{"engine": "celery", "task_id": id})
		}
		a := w.call("operator", http.MethodPost, path, nil, map[string]any{"tasks": refs})
		if a.status != 202 || a.body["issued"] != 1.0 || a.body["refused"] != 2.0 || a.items()[0]["command_id"] == nil ||
			!strings.Contains(fmt.Sprint(a.items()[1]["reason"]), "ended (success)") || !strings.Contains(fmt.Sprint(a.items()[2]["reason"]), "no such task") {
			t.Errorf("by ids: %d %s", a.status, a.raw)
		}
		a = w.call("operator", http.MethodPost, path, nil, map[string]any{"query": "task:pay"})
		if a.status != 202 || a.body["issued"] != 2.0 || a.column("task_id") != "wait-0 wait-1" {
			t.Errorf("by query: %d %s", a.status, a.raw)
		}
		if got := w.claim(w.agent); len(got) != 3 || got[0].Action != "cancel_task" {
			t.Errorf("commands %v", got)
		}
		for _, body := range []map[string]any{{}, {"tasks": refs, "query": "x"}, {"query": "stat:x"}, {"tasks": []any{}}} {
			if a := w.call("operator", http.MethodPost, path, nil, body); a.status != 422 {
				t.Errorf("%v: %d", body, a.status)
			}
		}
		if a := w.call("viewer", http.MethodPost, path, nil, map[string]any{"query": "x"}); a.status != 403 {
			t.Errorf("viewer: %d", a.status)
		}
	})
}
