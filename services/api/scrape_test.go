// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
)

// series are the lines of a scrape that are no remarks.
func series(body []byte) []string {
	var lines []string
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

func wantSeries(t *testing.T, body []byte, want ...string) {
	t.Helper()
	got := series(body)
	for _, line := range want {
		if !slices.Contains(got, line) {
			name, _, _ := strings.Cut(line, "{")
			var near []string
			for _, g := range got {
				if strings.HasPrefix(g, name) {
					near = append(near, g)
				}
			}
			t.Errorf("no %s; of this name there are\n%s", line, strings.Join(near, "\n"))
		}
	}
}

func wantLint(t *testing.T, body []byte) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(string(body))).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if p.Metric == "celery_active_process_count" || p.Metric == "celery_active_worker_count" {
			continue // that is what celery-exporter calls them
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func scraper(b *apitest.Brain) *apitest.Client {
	c := b.Client()
	c.Header.Set("Authorization", "Bearer "+apitest.MetricsToken)
	return c
}

func withDoors(c *api.Config, _ *api.Deps) { c.CompatMetrics = true }

// fleet stores two Celery workers that were heard of at a time, one of them gone since, and their queue.
func fleet(t *testing.T, s *store.Store, ref store.AgentRef, at time.Time) {
	t.Helper()
	two := int64(2)
	err := s.Ingest(t.Context(), []*store.IngestItem{{Agent: ref, At: at, Heartbeat: &store.HeartbeatInput{
		Depths: []store.QueueDepth{{Engine: "celery", Name: "mail", Pending: 7, BrokerType: "redis"}},
		Workers: []store.WorkerReport{
			{Engine: "celery", Name: "one@web", Hostname: "web", Concurrency: &two, Queues: []string{"mail"}, ActiveTasks: 2, Metadata: `{"x":1}`},
			{Engine: "celery", Name: "two@web", Hostname: "web", Concurrency: &two, Queues: []string{"mail"}, ActiveTasks: 1, Metadata: `{"x":1}`},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, s *store.Store, ref store.AgentRef, worker string, kind store.TotalKind, n int64, change func(*store.TaskTotal)) {
	t.Helper()
	v := store.TaskTotal{TotalKey: store.TotalKey{ProjectID: ref.ProjectID, Engine: "celery", Worker: worker, Name: "shop.mail", Queue: "mail", Kind: kind}, N: n}
	if change != nil {
		change(&v)
	}
	if _, err := s.AddTaskTotals(t.Context(), []store.TaskTotal{v}, store.TotalBounds{Series: 100, Exceptions: 10}, &store.TotalsKnown{}); err != nil {
		t.Fatal(err)
	}
}

func TestMetricsOfOtherExporters(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s, withDoors)
		ref := storetest.Agent(t, s)
		fleet(t, s, ref, s.Now())
		for _, worker := range []string{"one@web", "two@web"} {
			count(t, s, ref, worker, store.TotalReceived, 4, nil)
			count(t, s, ref, worker, store.TotalStarted, 3, nil)
			count(t, s, ref, worker, store.TotalHeld, 1, func(v *store.TaskTotal) { v.RuntimeMS = 250 })
			count(t, s, ref, worker, store.TotalSucceeded, 2, func(v *store.TaskTotal) {
				v.Bucket, v.RuntimeMS = store.TotalBucket(new(int64(80))), 160
			})
			count(t, s, ref, worker, store.TotalFailed, 1, func(v *store.TaskTotal) { v.Exception = "ValueError" })
		}
		count(t, s, ref, "worker-7", store.TotalSucceeded, 5, func(v *store.TaskTotal) { v.Engine, v.Bucket = "rq", store.TotalUnmeasured })
		project := fmt.Sprintf(`project="%s"`, ref.ProjectUID)

		c := scraper(b)
		b.Client().Must(401, http.MethodGet, "/metrics/celery", nil, nil)
		b.Client().Must(401, http.MethodGet, "/metrics/flower", nil, nil)

		body := c.Must(200, http.MethodGet, "/metrics/celery", nil, nil).Body
		task := `hostname="web",name="shop.mail",` + project + `,queue_name="mail"`
		wantSeries(t, body,
			"celery_task_received_total{"+task+"} 8", "celery_task_started_total{"+task+"} 6", "celery_task_succeeded_total{"+task+"} 4",
			`celery_task_failed_total{exception="ValueError",`+task+"} 2", `celery_task_failed_total{exception="",`+task+"} 0",
			"celery_task_revoked_total{"+task+"} 0", "celery_task_rejected_total{"+task+"} 0", "celery_task_retried_total{"+task+"} 0", "celery_task_sent_total{"+task+"} 0",
			"celery_task_runtime_bucket{"+task+`,le="0.075"} 0`, "celery_task_runtime_bucket{"+task+`,le="0.1"} 4`, "celery_task_runtime_bucket{"+task+`,le="+Inf"} 4`,
			"celery_task_runtime_count{"+task+"} 4", "celery_task_runtime_sum{"+task+"} 0.32",
			`celery_worker_up{hostname="web",`+project+"} 1", `celery_worker_tasks_active{hostname="web",`+project+"} 3",
			"celery_queue_length{"+project+`,queue_name="mail"} 7`, "celery_active_worker_count{"+project+`,queue_name="mail"} 2`,
			"celery_active_process_count{"+project+`,queue_name="mail"} 4`,
		)
		wantLint(t, body)
		if strings.Contains(string(body), "worker-7") {
			t.Error("tasks of RQ among Celery's")
		}
		all := c.Must(200, http.MethodGet, "/metrics/celery?engine=all", nil, nil).Body
		wantSeries(t, all, `celery_task_succeeded_total{hostname="worker-7",name="shop.mail",`+project+`,queue_name="mail"} 5`)

		body = c.Must(200, http.MethodGet, "/metrics/flower", nil, nil).Body
		task = project + `,task="shop.mail",`
		wantSeries(t, body,
			"flower_events_total{"+task+`type="task-received",worker="one@web"} 4`, "flower_events_total{"+task+`type="task-succeeded",worker="two@web"} 2`,
			"flower_events_total{"+task+`type="task-failed",worker="two@web"} 1`,
			"flower_task_runtime_seconds_count{"+task+`worker="one@web"} 2`, "flower_task_runtime_seconds_bucket{"+task+`worker="one@web",le="0.1"} 2`,
			"flower_worker_prefetched_tasks{"+task+`worker="one@web"} 1`, "flower_task_prefetch_time_seconds{"+task+`worker="one@web"} 0.25`,
			"flower_worker_online{"+project+`,worker="one@web"} 1`, "flower_worker_number_of_currently_executing_tasks{"+project+`,worker="one@web"} 2`,
		)
		wantLint(t, body)

		// One project of several.
		c.Must(200, http.MethodGet, "/metrics/celery?project="+ref.ProjectUID.String(), nil, nil)
		for path, remedy := range map[string]string{
			"/metrics/celery?project=nobody": "slug or id", "/metrics/flower?projekt=x": "project",
		} {
			status := 404
			if strings.Contains(path, "projekt") {
				status = 422
			}
			if answer := c.Must(status, http.MethodGet, path, nil, nil); !strings.Contains(string(answer.Body), remedy) {
				t.Errorf("%s: %s does not say %q", path, answer.Body, remedy)
			}
		}
	})
}

func TestMetricsOfOtherExportersOff(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	scraper(b).Must(404, http.MethodGet, "/metrics/celery", nil, nil)
	scraper(b).Must(200, http.MethodGet, "/metrics", nil, nil)
}

// ahead is by how much the API's clock is ahead.
type ahead struct{ by atomic.Int64 }

func (a *ahead) set(d time.Duration) { a.by.Store(int64(d)) }

func (a *ahead) clock(_ *api.Config, d *api.Deps) {
	d.Now = func() time.Time { return time.Now().Add(time.Duration(a.by.Load())) }
}

// Workers that are gone leave the scrape, first as down, then altogether; other workers keep their counts.
func TestMetricsOfGoneWorkersLeave(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var ahead ahead
		b := apitest.Start(t, s, withDoors, ahead.clock)
		ref := storetest.Agent(t, s)
		fleet(t, s, ref, s.Now())
		for _, worker := range []string{"one@web", "two@db"} {
			count(t, s, ref, worker, store.TotalStarted, 3, nil)
		}
		c := scraper(b)
		get := func() string { return string(c.Must(200, http.MethodGet, "/metrics/flower", nil, nil).Body) }
		if !strings.Contains(get(), `worker="one@web"`) {
			t.Fatal("a living worker has no series")
		}
		if _, err := s.MarkStaleWorkers(t.Context(), s.Now().Add(time.Minute), s.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		ahead.set(time.Minute)
		wantSeries(t, []byte(get()), fmt.Sprintf(`flower_worker_online{project="%s",worker="one@web"} 0`, ref.ProjectUID))
		ahead.set(time.Hour)
		if body := get(); strings.Contains(body, `worker="one@web"`) || !strings.Contains(body, `worker="two@db"`) {
			t.Errorf("after an hour of silence:\n%s", body)
		}
	})
}

// A scrape neither fails nor hangs when the database does not answer.
func TestMetricsWithoutDatabase(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, whole *store.Store, url string) {
		s, err := store.Open(t.Context(), store.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		var ahead ahead
		b := apitest.Start(t, s, withDoors, ahead.clock)
		ref := storetest.Agent(t, whole)
		fleet(t, whole, ref, whole.Now())
		count(t, whole, ref, "one@web", store.TotalStarted, 3, nil)
		c := scraper(b)
		before := map[string][]string{}
		paths := []string{"/metrics/celery", "/metrics/flower"}
		for _, path := range paths {
			if before[path] = series(c.Must(200, http.MethodGet, path, nil, nil).Body); len(before[path]) == 0 {
				t.Fatalf("%s is empty", path)
			}
		}
		gauges := func() bool {
			return strings.Contains(string(c.Must(200, http.MethodGet, "/metrics", nil, nil).Body), "z4j_agents_online{")
		}
		if !gauges() {
			t.Fatal("no gauges of the database")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ahead.set(time.Minute)
		for _, path := range paths {
			if got := series(c.Must(200, http.MethodGet, path, nil, nil).Body); !slices.Equal(got, before[path]) {
				t.Errorf("%s without a database: %q, want what was read before: %q", path, got, before[path])
			}
		}
		if !gauges() {
			t.Error("gauges are gone at once")
		}
		// Nobody is told for ever what once was.
		ahead.set(time.Hour)
		for _, path := range paths {
			if got := series(c.Must(200, http.MethodGet, path, nil, nil).Body); len(got) > 0 {
				t.Errorf("%s an hour later: %q", path, got)
			}
		}
		if gauges() {
			t.Error("gauges of an hour ago")
		}
	})
}

// Gauges that come from the database, and bounds on the names of queues.
func TestGauges(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s, func(c *api.Config, _ *api.Deps) { c.MetricSeries = 3 })
		ref := storetest.Agent(t, s)
		beat := &store.HeartbeatInput{}
		for i := range 10 {
			beat.Depths = append(beat.Depths, store.QueueDepth{Engine: "celery", Name: fmt.Sprintf("queue-%d", i), Pending: 1})
		}
		if err := s.Ingest(t.Context(), []*store.IngestItem{{Agent: ref, At: s.Now(), Heartbeat: beat}}); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.TakeLease(t.Context(), "upkeep", "replica-1", time.Hour); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if _, ok, err := s.TakeLease(t.Context(), "sweep", "replica-2", -time.Second); err != nil || !ok {
			t.Fatal(ok, err)
		}
		b.Tx(func(ctx context.Context, tx *store.Tx) error {
			_, _, err := tx.CreateCommand(ctx, store.NewCommand{
				Agent: ref, Action: "purge_queue", TargetType: "queue", TargetID: "mail", Payload: map[string]any{}, Timeout: time.Minute,
			})
			return err
		})
		body := scraper(b).Must(200, http.MethodGet, "/metrics", nil, nil).Body
		project := fmt.Sprintf(`project="%s"`, ref.ProjectUID)
		wantSeries(t, body,
			`z4j_queue_depth{engine="celery",`+project+`,queue="other"} 7`,
			`z4j_api_lease_held{holder="replica-1",lease="upkeep"} 1`, `z4j_api_lease_held{holder="replica-2",lease="sweep"} 0`,
			`z4j_api_open_commands{age="under_1m",`+project+`,status="pending"} 1`, `z4j_api_open_commands{age="over_10m",`+project+`,status="pending"} 0`,
			"z4j_api_rollup_deltas_waiting 0",
		)
		wantLint(t, body)
		n := 0
		for _, line := range series(body) {
			if strings.HasPrefix(line, "z4j_queue_depth{") {
				n++
			}
		}
		if n != 4 {
			t.Errorf("%d series of queues, want 3 and other", n)
		}
		if !strings.Contains(string(body), `z4j_api_lease_taken_timestamp_seconds{holder="replica-1",lease="upkeep"} 1`) {
			t.Error("no time since when upkeep is held")
		}
	})
}
