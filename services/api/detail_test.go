// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

func TestTaskTellsWhatCanBeDone(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		detail := func(as, id string) answer {
			return w.call(as, http.MethodGet, "/projects/shop/tasks/celery/"+id, nil, nil)
		}
		expect := func(a answer, action string, allowed bool, words string) {
			t.Helper()
			got, reason, _ := offered(t, a, action)
			if got != allowed || !strings.Contains(reason, words) {
				t.Errorf("%s: %v %q, want %v ... %s", action, got, reason, allowed, words)
			}
		}
		expect(detail("operator", "bad-0"), "retry", false, "not connected")
		w.connect(w.agent, map[string]string{"celery": "retry_task retry_by_reference_v1 cancel_task"})
		a := detail("operator", "bad-0")
		if a.text("fingerprint") == "" {
			t.Errorf("no fingerprint: %s", a.raw)
		}
		expect(a, "retry", true, "")
		expect(a, "retry_as_is", true, "")
		expect(a, "cancel", false, "has ended (failure)")
		expect(a, "rate_limit", false, "does not offer")
		expect(a, "delete", false, "needs the role admin")
		if _, _, agent := offered(t, a, "retry"); agent != w.agent.UID.String() {
			t.Errorf("by agent %s", agent)
		}
		expect(detail("viewer", "bad-0"), "retry", false, "needs the role operator")
		expect(detail("padmin", "bad-0"), "delete", true, "")
		a = detail("operator", "wait-0")
		expect(a, "retry", false, "still waits")
		expect(a, "cancel", true, "")
		w.ingest(event(domain.KindStarted, "runs", "shop.pay", w.store.Now().Add(-time.Minute)))
		expect(detail("operator", "runs"), "retry", false, "is running")
		w.connect(w.agent, map[string]string{"celery": "submit_task"})
		a = detail("operator", "bad-0")
		expect(a, "retry", true, "")
		expect(a, "retry_as_is", false, "does not offer")
	})
}

func TestSimilarTasks(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		if a := w.get("/tasks/celery/bad-1/similar"); a.text("by") != "fingerprint" || a.column("task_id") != "bad-2 bad-0" || a.items()[0]["traceback"] != nil {
			t.Errorf("by fingerprint: %s", a.raw)
		}
		if a := w.get("/tasks/celery/bad-1/similar", "limit", "1"); a.column("task_id") != "bad-2" {
			t.Errorf("one: %s", a.raw)
		}
		at := w.store.Now().Add(-time.Minute)
		w.ingest(event(domain.KindReceived, "new", "shop.boom", at))
		if a := w.get("/tasks/celery/new/similar"); a.text("by") != "name" || a.column("task_id") != "bad-2 bad-1 bad-0" {
			t.Errorf("by name: %s", a.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/tasks/celery/nope/similar", nil, nil); a.status != 404 {
			t.Errorf("unknown: %d", a.status)
		}
	})
}
