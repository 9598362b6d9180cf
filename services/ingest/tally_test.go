// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/ingest"
)

// counted sums what is stored, by name, kind and exception or bucket.
func counted(t *testing.T, s *store.Store, project int64) map[string]int64 {
	t.Helper()
	list, err := s.TaskTotals(t.Context(), project, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, v := range list {
		got[fmt.Sprintf("%s %s %d %s", v.Worker, v.Name, v.Kind, v.Exception)] += v.N
	}
	return got
}

var labelPair = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// exposed lists the series of a metric, by the values of their labels without the project; of histograms the counts.
func exposed(t *testing.T, b *brain, name string) map[string]float64 {
	t.Helper()
	rec := httptest.NewRecorder()
	obs.Handler(b.metrics, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	got := map[string]float64{}
	for line := range strings.Lines(rec.Body.String()) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(line, "{") {
			series, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		}
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		var labels []string
		for _, pair := range labelPair.FindAllStringSubmatch(series, -1) {
			if pair[1] != "project" {
				labels = append(labels, pair[2])
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(line, err)
		}
		got[strings.Join(labels, " ")] = v
	}
	return got
}

func wantValue[V comparable](t *testing.T, what string, got map[string]V, key string, want V) {
	t.Helper()
	if got[key] != want {
		t.Errorf("%s: %s is %v, want %v; all: %v", what, key, got[key], want, got)
	}
}

// life is what a Celery worker reports of one task: later events leave out what the first said.
func life(task, name string, failed bool) string {
	at := time.Now()
	end := event("task.succeeded", task, at, map[string]any{"task_name": "<unknown:" + task + ">", "worker": "w@host", "runtime_ms": 30})
	if failed {
		end = event("task.failed", task, at, map[string]any{"task_name": "<unknown:" + task + ">", "worker": "w@host", "exception": "ValueError"})
	}
	return batch(
		event("task.received", task, at.Add(-2*time.Second), map[string]any{"task_name": name, "queue": "mail", "worker": "w@host"}),
		event("task.started", task, at.Add(-time.Second), map[string]any{"task_name": "<unknown:" + task + ">", "worker": "w@host"}), end)
}

func TestTasksAreCounted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		hints := bus.NewMemory(nil)
		t.Cleanup(func() { _ = hints.Close() })
		b := startAt(t, s, hints, time.Now, func(c *ingest.Config) {
			c.CompatMetrics, c.MetricSeries, c.TallyInterval = true, 2, 20*time.Millisecond
		})
		b.project = newProject(t, s, "shop")
		p := b.connect(b.newAgent("web"), "celery-1-1")
		first := life("t1", "shop.mail", false)
		p.ackOf("ev_1", first)
		p.ackOf("ev_2", first) // sent again: nothing new
		p.ackOf("ev_3", life("t2", "shop.mail", true))
		for i := range 5 {
			p.ackOf(fmt.Sprintf("ev_4_%d", i), life(fmt.Sprintf("u%d", i), fmt.Sprintf("made.up.%d", i), false))
		}

		tasks := exposed(t, b, "z4j_tasks_total")
		wantValue(t, "tasks", tasks, "mail success shop.mail", 1)
		wantValue(t, "tasks", tasks, "mail failure shop.mail", 1)
		wantValue(t, "tasks", tasks, "mail success made.up.0", 1)
		wantValue(t, "tasks", tasks, "other success other", 4)
		durations := exposed(t, b, "z4j_task_duration_seconds_count")
		wantValue(t, "durations", durations, "mail shop.mail", 2)
		wantValue(t, "overflow", exposed(t, b, "z4j_ingest_metric_overflow_total"), "tasks", 4)
		wantValue(t, "acks", exposed(t, b, "z4j_ingest_ack_seconds_count"), "", 8)
		wantValue(t, "lag", exposed(t, b, "z4j_ingest_event_lag_seconds_count"), "", 21)
		wantValue(t, "slots", exposed(t, b, "z4j_ingest_slots"), "", 1)
		wantValue(t, "queued", exposed(t, b, "z4j_ingest_queued_frames"), "", 0)
		if n := strings.Count(b.log.String(), "Z4J_METRICS_TASK_SERIES"); n != 1 {
			t.Errorf("%d lines about names without series, want 1", n)
		}

		// What is not written yet is written when the service ends.
		b.stop()
		got := counted(t, s, b.project.ID)
		for key, want := range map[string]int64{
			"w@host shop.mail 1 ": 2, "w@host shop.mail 2 ": 2, "w@host shop.mail 3 ": 1, "w@host shop.mail 4 ValueError": 1,
			"w@host shop.mail 9 ": 0, "w@host made.up.4 3 ": 1,
		} {
			wantValue(t, "stored", got, key, want)
		}
	})
}

// Two replicas add to the same series, and a replica that could not write for a while catches up.
func TestReplicasCountTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		hints := bus.NewMemory(nil)
		t.Cleanup(func() { _ = hints.Close() })
		config := func(c *ingest.Config) { c.CompatMetrics, c.TallyInterval = true, 10*time.Millisecond }
		one, two := start(t, s, hints, config), start(t, s, hints, config)
		one.project = newProject(t, s, "shop")
		two.project = one.project
		agents := []*peer{one.connect(one.newAgent("web-1"), "celery-1-1"), two.connect(two.newAgent("web-2"), "celery-2-1")}
		const each = 10
		for i := range each {
			for j, p := range agents {
				p.ackOf(fmt.Sprintf("ev_%d", i), life(fmt.Sprintf("t-%d-%d", j, i), "shop.mail", false))
			}
		}
		eventually(t, "both replicas' tasks are counted", func() bool {
			return counted(t, s, one.project.ID)["w@host shop.mail 3 "] == 2*each
		})
		one.stop()
		two.stop()
		wantValue(t, "stored at the end", counted(t, s, one.project.ID), "w@host shop.mail 3 ", 2*each)
	})
}
