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
