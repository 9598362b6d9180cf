// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

// at walks into an answer.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func TestOverview(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		// The window before: one failure.
		old := now.Add(-5 * time.Minute)
		w.ingest(event(domain.KindReceived, "old-0", "shop.pay", old), event(domain.KindStarted, "old-0", "shop.pay", old.Add(4*time.Second)),
			event(domain.KindFailed, "old-0", "shop.pay", old.Add(5*time.Second)))
		to := w.store.Now()
		from := now.Add(-time.Minute)
		check := func(when string) {
			t.Helper()
			a := w.get("/overview", "from", from.Format(time.RFC3339), "to", to.Format(time.RFC3339Nano))
			for _, c := range []struct {
				want any
				path []any
			}{
				{9.0, []any{"totals", "received"}},
				{8.0, []any{"totals", "started"}},
				{5.0, []any{"totals", "succeeded"}},
				{3.0, []any{"totals", "failed"}},
				{0.375, []any{"totals", "failure_rate"}},
				{8.0, []any{"run", "n"}},
				{8.0, []any{"wait", "n"}},
				{8.0, []any{"total", "n"}},
				{1.0, []any{"backlog", "waiting"}},
				{false, []any{"backlog", "waiting_capped"}},
				{"shop.boom", []any{"top_failing", 0, "name"}},
				{3.0, []any{"top_failing", 0, "failed"}},
				{nil, []any{"top_failing", 1}},
				{"shop.pay", []any{"slowest", 0, "name"}},
				{5.0, []any{"slowest", 0, "n"}},
				{"default", []any{"busiest_queues", 0, "name"}},
				{8.0, []any{"busiest_queues", 0, "ended"}},
				{1.0, []any{"previous", "totals", "failed"}},
				{1.0, []any{"previous", "totals", "failure_rate"}},
				{1.0, []any{"agents", "online"}},
				{1.0, []any{"open_issues"}},
				{0.0, []any{"commands", "open"}},
				{60.0, []any{"grain_seconds"}},
			} {
				if got := at(a.body, c.path...); got != c.want {
					t.Errorf("%s: %v = %v, want %v", when, c.path, got, c.want)
				}
			}
			if p, _ := at(a.body, "run", "p50_ms").(float64); p < 990 || p > 2020 {
				t.Errorf("%s: median run %v", when, p)
			}
			if p, _ := at(a.body, "wait", "p95_ms").(float64); p < 990 || p > 1010 {
				t.Errorf("%s: wait %v", when, p)
			}
			if s, _ := at(a.body, "backlog", "oldest_wait_seconds").(float64); s < 60 {
				t.Errorf("%s: oldest wait %v", when, s)
			}
		}
		check("from roll-ups")
		for {
			n, err := w.store.SumRollups(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		check("from sums")
		for query, status := range map[string]int{"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": 422, "from=yesterday": 422, "from=2020-01-01T00:00:00Z": 422} {
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			if a := w.call("viewer", http.MethodGet, "/projects/shop/overview", q, nil); a.status != status {
				t.Errorf("%s: %d %s", query, a.status, a.raw)
			}
		}
	})
}

func TestSeries(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		hour := []string{"from", now.Add(-30 * time.Minute).Format(time.RFC3339), "to", now.Add(30 * time.Minute).Format(time.RFC3339)}
		sum := func(a answer, member string) (n float64) {
			l, _ := a.body["buckets"].([]any)
			for _, b := range l {
				v, _ := at(b, member).(float64)
				n += v
			}
			return n
		}
		a := w.get("/series", hour...)
		if l, _ := a.body["buckets"].([]any); len(l) != 60 || a.body["bucket_seconds"] != 60.0 {
			t.Fatalf("%d buckets of %v s", len(l), a.body["bucket_seconds"])
		}
		if at(a.body, "buckets", 30, "t") != now.UTC().Format("2006-01-02T15:04:05.000000Z") || at(a.body, "buckets", 30, "succeeded") != 5.0 ||
			at(a.body, "buckets", 32, "failed") != 3.0 || at(a.body, "buckets", 30, "wait", "n") != 5.0 || at(a.body, "buckets", 31, "run") != nil {
			t.Errorf("buckets: %v", a.body["buckets"].([]any)[30:33])
		}
		for _, c := range []struct {
			query    []string
			ok, fail float64
		}{
			{nil, 5, 3},
			{[]string{"name", "shop.boom"}, 0, 3},
			{[]string{"name", "shop.boom", "queue", "default"}, 0, 3},
			{[]string{"queue", "default"}, 5, 3},
			{[]string{"queue", "other"}, 0, 0},
			{[]string{"points", "10"}, 5, 3},
		} {
			a := w.get("/series", append(append([]string{}, hour...), c.query...)...)
			if ok, fail := sum(a, "succeeded"), sum(a, "failed"); ok != c.ok || fail != c.fail {
				t.Errorf("%v: %v succeeded, %v failed", c.query, ok, fail)
			}
		}
		// The widest windows have no more points than asked for, and a quarter.
		for _, days := range []int{1, 7, 30, 400} {
			a := w.get("/series", "from", w.store.Now().Add(-time.Duration(days)*24*time.Hour).Add(time.Second).Format(time.RFC3339), "points", "100")
			if l, _ := a.body["buckets"].([]any); len(l) < 50 || len(l) > 126 {
				t.Errorf("%d days: %d buckets of %v s", days, len(l), a.body["bucket_seconds"])
			}
			if got := fmt.Sprint(sum(a, "succeeded"), sum(a, "failed")); got != "5 3" {
				t.Errorf("%d days: %s", days, got)
			}
		}
		if at(a.body, "markers", 0, "kind") != "worker_first_seen" {
			t.Errorf("markers: %v", a.body["markers"])
		}
	})
}

func TestBreakdown(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		window := []string{"from", now.Add(-2 * time.Minute).Format(time.RFC3339), "to", now.Add(10 * time.Minute).Format(time.RFC3339)}
		get := func(query ...string) answer {
			return w.get("/breakdown", append(append([]string{}, window...), query...)...)
		}
		a := get()
		if at(a.body, "rows", 0, "key") != "shop.boom" || at(a.body, "rows", 0, "failed") != 3.0 || at(a.body, "rows", 0, "failure_rate") != 1.0 ||
			at(a.body, "rows", 1, "key") != "shop.pay" || at(a.body, "rows", 1, "ended") != 5.0 || at(a.body, "rows", 1, "run", "n") != 5.0 || a.body["keys"] != 2.0 {
			t.Errorf("by task: %s", a.raw)
		}
		total := func(v any) (n float64) {
			l, _ := v.([]any)
			if len(l) != 24 {
				t.Errorf("%d parts", len(l))
			}
			for _, x := range l {
				f, _ := x.(float64)
				n += f
			}
			return n
		}
		// Two minutes of twelve are four parts of 24.
		if s, _ := at(a.body, "rows", 0, "spark_failed").([]any); total(s) < 2 || total(s) > 4 || s[0] != 0.0 {
			t.Errorf("sparkline: %v", s)
		}
		if a := get("sort", "ended", "limit", "1"); at(a.body, "rows", 0, "key") != "shop.pay" || at(a.body, "rows", 1) != nil || a.body["keys"] != 2.0 {
			t.Errorf("by tasks ended: %s", a.raw)
		}
		if a := get("sort", "p95"); at(a.body, "rows", 0, "key") != "shop.pay" {
			t.Errorf("by run time: %s", a.raw)
		}
		if a := get("by", "queue"); at(a.body, "rows", 0, "key") != "default" || at(a.body, "rows", 0, "ended") != 8.0 || at(a.body, "rows", 0, "wait", "n") != 8.0 {
			t.Errorf("by queue: %s", a.raw)
		}
		if a := get("queue", "default", "name", "shop.boom"); at(a.body, "rows", 0, "ended") != 3.0 || a.body["keys"] != 1.0 {
			t.Errorf("one name: %s", a.raw)
		}
		if a := get("queue", "nowhere"); at(a.body, "rows", 0) != nil {
			t.Errorf("no such queue: %s", a.raw)
		}
	})
}

func TestIssueDetail(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		now := shopTasks(w)
		a := w.get("/issues", "from", now.Format(time.RFC3339), "to", now.Add(24*time.Minute).Format(time.RFC3339))
		if at(a.body, "items", 0, "occurrences_in_window") != 3.0 || at(a.body, "items", 0, "spark", 2) != 3.0 || at(a.body, "items", 0, "tasks", 0) != "shop.boom" ||
			at(a.body, "items", 0, "queues", 0) != "default" {
			t.Errorf("issues: %s", a.raw)
		}
		if a := w.get("/issues", "from", now.Add(5*time.Minute).Format(time.RFC3339)); len(a.items()) != 0 {
			t.Errorf("issues of a later window: %s", a.raw)
		}
		print := a.column("fingerprint")
		d := w.get("/issues/" + url.PathEscape(print))
		for _, c := range []struct {
			want any
			path []any
		}{
			{"ongoing", []any{"status"}},
			{3.0, []any{"occurrences_in_window"}},
			{"bad-2", []any{"sample", "task_id"}},
			{"shop.boom", []any{"sample", "name"}},
			{"ValueError", []any{"sample", "exception"}},
			{"shop.boom", []any{"top_names", 0, "value"}},
			{3.0, []any{"top_queues", 0, "count"}},
			{"w1@host", []any{"top_workers", 0, "value"}},
			{"bad-0", []any{"recent", 2, "task_id"}},
			{nil, []any{"recent", 3}},
			{3.0, []any{"sample_size"}},
		} {
			if got := at(d.body, c.path...); got != c.want {
				t.Errorf("%v = %v, want %v", c.path, got, c.want)
			}
		}
		if l, _ := d.body["buckets"].([]any); len(l) != 48 || at(d.body, "sample", "traceback") == nil {
			t.Errorf("issue: %s", d.raw)
		}
		if a := w.call("viewer", http.MethodGet, "/projects/shop/issues/none", nil, nil); a.status != http.StatusNotFound {
			t.Errorf("an unknown issue: %d %s", a.status, a.raw)
		}
	})
}

func TestHomeOverview(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(t *testing.T, w *world) {
		shopTasks(w)
		// Three stock events without a name: the group tells the task's real one.
		a := w.call("viewer", http.MethodGet, "/home/overview", nil, nil)
		for _, c := range []struct {
			want any
			path []any
		}{
			{"shop", []any{"projects", 0, "slug"}},
			{8.0, []any{"projects", 0, "ended"}},
			{3.0, []any{"projects", 0, "failed"}},
			{"default", []any{"projects", 0, "worst_queue", "name"}},
			{1.0, []any{"projects", 0, "open_issues"}},
			{1.0, []any{"projects", 0, "agents_online"}},
			{"backlog", []any{"attention", 0, "kind"}},
			{"shop", []any{"attention", 0, "project"}},
			{"shop.boom", []any{"failures", 0, "name"}},
			{3.0, []any{"failures", 0, "occurrences"}},
			{"bad-2", []any{"failures", 0, "sample", "task_id"}},
			{nil, []any{"failures", 1}},
		} {
			if got := at(a.body, c.path...); got != c.want {
				t.Errorf("%v = %v, want %v", c.path, got, c.want)
			}
		}
		if at(a.body, "attention", 0, "since") == nil || at(a.body, "projects", 0, "last_activity") == nil {
			t.Errorf("home: %s", a.raw)
		}
		if a := w.call("outsider", http.MethodGet, "/home/overview", nil, nil); a.status != 200 || fmt.Sprint(a.body["projects"], a.body["failures"]) != "[] []" {
			t.Errorf("home of an outsider: %s", a.raw)
		}
	})
}
