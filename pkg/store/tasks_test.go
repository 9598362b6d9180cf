// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// seedTasks adds n tasks of a project: mixed states, names, queues; every tenth never started.
func seedTasks(t *testing.T, s *store.Store, projectID int64, n int) {
	t.Helper()
	ids, err := s.InternForTest(t.Context(), "celery", "mail", "default", "w1@host", "shop.pay", "shop.ship", "shop.pay_later", "mail.send")
	if err != nil {
		t.Fatal(err)
	}
	engine, mail, deflt, worker, names := ids[0], ids[1], ids[2], ids[3], ids[4:]
	states := []domain.TaskState{domain.StateSuccess, domain.StateSuccess, domain.StateSuccess, domain.StateFailure, domain.StateStarted}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([][]any, 0, n)
	for i := range n {
		at := start.Add(time.Duration(rng.IntN(n)) * time.Second)
		queue := mail
		if i%3 == 0 {
			queue = deflt
		}
		var started *time.Time
		state := states[i%len(states)]
		if i%10 == 9 {
			state = domain.StateReceived
		} else {
			at := at.Add(time.Second)
			started = &at
		}
		rows = append(rows, []any{
			projectID, engine, fmt.Sprintf("id-%06d", i), names[i%len(names)], queue, worker, int64(state),
			int64(domain.PriorityNormal), at, started, start.Add(time.Duration(i) * time.Second), at,
		})
	}
	err = s.ExecForTest(t.Context(), "INSERT INTO tasks (project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, "+
		"received_at, started_at, seen_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", rows...)
	if err != nil {
		t.Fatal(err)
	}
}

// allTasks pages through a list.
func allTasks(t *testing.T, s *store.Store, p store.TaskPage) []store.TaskView {
	t.Helper()
	var all []store.TaskView
	for range 10000 {
		page, err := s.ListTasks(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < p.Limit {
			return all
		}
		c := p.Order.CursorOf(&page[len(page)-1])
		p.After = &c
	}
	t.Fatal("the pages never end")
	return nil
}

func TestListTasks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const n = 600
		p := makeProject(t, s, "shop")
		seedTasks(t, s, makeProject(t, s, "other").ID, 7)
		seedTasks(t, s, p.ID, n)
		all := allTasks(t, s, store.TaskPage{Filter: store.TaskFilter{ProjectID: p.ID}, Limit: 17})
		if len(all) != n {
			t.Fatalf("%d tasks, want %d", len(all), n)
		}
		if !sort.SliceIsSorted(all, func(i, j int) bool {
			a, b := all[i].StartedAt, all[j].StartedAt
			switch {
			case a == nil && b == nil:
			case a == nil || b == nil:
				return a != nil
			case !a.Equal(*b):
				return a.After(*b)
			}
			return all[i].ID > all[j].ID
		}) {
			t.Error("not in the order of the start")
		}
		seen := allTasks(t, s, store.TaskPage{Filter: store.TaskFilter{ProjectID: p.ID}, Order: store.TasksBySeen, Limit: 50})
		if len(seen) != n || seen[0].TaskID != fmt.Sprintf("id-%06d", n-1) || seen[n-1].TaskID != "id-000000" {
			t.Errorf("newest arrival first: %d, %s ... %s", len(seen), seen[0].TaskID, seen[len(seen)-1].TaskID)
		}

		since, until := time.Date(2026, 3, 1, 0, 2, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 4, 0, 0, time.UTC)
		received := func(v *store.TaskView) time.Time { return *v.ReceivedAt }
		for _, tc := range []struct {
			name   string
			filter store.TaskFilter
			match  func(v *store.TaskView) bool
		}{
			{"state", store.TaskFilter{State: domain.StateFailure}, func(v *store.TaskView) bool { return v.State == int64(domain.StateFailure) }},
			{"queue", store.TaskFilter{Queue: "default"}, func(v *store.TaskView) bool { return *v.Queue == "default" }},
			{"unknown queue", store.TaskFilter{Queue: "nope"}, func(*store.TaskView) bool { return false }},
			{"worker", store.TaskFilter{Worker: "w1@host"}, func(*store.TaskView) bool { return true }},
			{"engine", store.TaskFilter{Engine: "rq"}, func(*store.TaskView) bool { return false }},
			{"name part", store.TaskFilter{Name: "pay"}, func(v *store.TaskView) bool { return strings.Contains(v.Name, "pay") }},
			{"no wildcard", store.TaskFilter{Name: "sh_p"}, func(*store.TaskView) bool { return false }},
			{"search id", store.TaskFilter{Search: "ID-00001"}, func(v *store.TaskView) bool { return strings.Contains(v.TaskID, "id-00001") }},
			{"search name", store.TaskFilter{Search: "SHIP"}, func(v *store.TaskView) bool { return v.Name == "shop.ship" }},
			{"search queue", store.TaskFilter{Search: "mail"}, func(v *store.TaskView) bool { return *v.Queue == "mail" || v.Name == "mail.send" }},
			{"priority", store.TaskFilter{Priorities: []domain.Priority{domain.PriorityHigh, domain.PriorityLow}}, func(*store.TaskView) bool { return false }},
			{"since and until", store.TaskFilter{Since: &since, Until: &until}, func(v *store.TaskView) bool {
				return !received(v).Before(since) && !received(v).After(until)
			}},
			{"many", store.TaskFilter{State: domain.StateSuccess, Queue: "mail", Name: "pay", Since: &since}, func(v *store.TaskView) bool {
				return v.State == int64(domain.StateSuccess) && *v.Queue == "mail" && strings.Contains(v.Name, "pay") && !received(v).Before(since)
			}},
		} {
			want := map[string]bool{}
			for i := range all {
				if tc.match(&all[i]) {
					want[all[i].TaskID] = true
				}
			}
			tc.filter.ProjectID = p.ID
			for _, order := range []store.TaskOrder{store.TasksByStart, store.TasksBySeen} {
				got := allTasks(t, s, store.TaskPage{Filter: tc.filter, Order: order, Limit: 23})
				for i := range got {
					if !want[got[i].TaskID] {
						t.Errorf("%s: task %s does not match", tc.name, got[i].TaskID)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s, order %d: %d tasks, want %d", tc.name, order, len(got), len(want))
				}
			}
			if tc.name == "state" {
				continue // the counters are ingest's, and this test wrote past it
			}
			if count, exact, err := s.CountTasks(t.Context(), tc.filter, 10000); err != nil || !exact || count != int64(len(want)) {
				t.Errorf("%s: counted %d %v %v, want %d", tc.name, count, exact, err, len(want))
			}
		}
		if count, exact, err := s.CountTasks(t.Context(), store.TaskFilter{ProjectID: p.ID, Queue: "mail"}, 10); err != nil || exact || count != 10 {
			t.Errorf("bounded count: %d %v %v", count, exact, err)
		}
		inst, err := s.InstallationID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := domain.KeyOfTask(inst, all[0].UID); !ok || key != all[0].ID {
			t.Errorf("the public id does not lead back to the row")
		}
	})
}

func TestTaskTree(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		p := makeProject(t, s, "shop")
		ids, err := s.InternForTest(ctx, "celery", "shop.step")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		var rows [][]any
		add := func(id string, parent, root any) {
			at = at.Add(time.Second)
			rows = append(rows, []any{p.ID, ids[0], id, ids[1], int64(domain.StateSuccess), int64(3), at, at, at, parent, root})
		}
		add("late", "a", "top") // its child arrived before the root
		add("top", nil, nil)
		add("a", "top", "top")
		add("b", "a", "top")
		add("lone", nil, nil)
		add("orphan", "gone", "gone")
		add("loop1", "loop2", nil)
		add("loop2", "loop1", nil)
		err = s.ExecForTest(ctx, "INSERT INTO tasks (project_id, engine_id, task_id, name_id, state, priority, received_at, seen_at, updated_at, "+
			"parent_task_id, root_task_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", rows...)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			ask, root, nodes string
			limit            int
			truncated        bool
		}{
			{ask: "b", root: "top", nodes: "top late a b", limit: 500},
			{ask: "top", root: "top", nodes: "top late a b", limit: 500},
			{ask: "b", root: "top", nodes: "top late b", limit: 3, truncated: true},
			{ask: "lone", root: "lone", nodes: "lone", limit: 500},
			{ask: "orphan", root: "gone", nodes: "orphan", limit: 500},
			{ask: "loop1", root: "loop2", nodes: "loop2 loop1", limit: 500},
		} {
			root, nodes, truncated, err := s.TaskTree(ctx, p.ID, "celery", tc.ask, tc.limit)
			var got []string
			for _, n := range nodes {
				got = append(got, n.TaskID)
			}
			if err != nil || root != tc.root || truncated != tc.truncated || strings.Join(got, " ") != tc.nodes {
				t.Errorf("tree of %s: root %s, %v, truncated %v, %v; want %s, %s", tc.ask, root, got, truncated, err, tc.root, tc.nodes)
			}
		}
	})
}

// TestTaskListPlans checks on a large table that every hot page is an index walk without a sort.
func TestTaskListPlans(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	p := makeProject(t, s, "shop")
	seedTasks(t, s, p.ID, 100_000)
	plans := s.PlansForTest()
	since := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	middle := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, index string
		page        store.TaskPage
	}{
		{"bare", "tasks_started", store.TaskPage{}},
		{"deep", "tasks_started", store.TaskPage{After: &store.TaskCursor{At: &middle, ID: 5000}}},
		{"never started", "tasks_started", store.TaskPage{After: &store.TaskCursor{ID: 5000}}},
		{"state", "tasks_state_started", store.TaskPage{Filter: store.TaskFilter{State: domain.StateFailure}}},
		{"state, deep", "tasks_state_started", store.TaskPage{Filter: store.TaskFilter{State: domain.StateFailure}, After: &store.TaskCursor{At: &middle, ID: 5000}}},
		{"queue", "tasks_queue_started", store.TaskPage{Filter: store.TaskFilter{Queue: "mail"}}},
		{"name", "tasks_name_started", store.TaskPage{Filter: store.TaskFilter{Name: "shop.ship"}}},
		{"two names", "tasks_name_started", store.TaskPage{Filter: store.TaskFilter{Name: "pay"}}},
		{"search", "tasks_started", store.TaskPage{Filter: store.TaskFilter{Search: "ship"}}},
		{"since", "tasks_started", store.TaskPage{Filter: store.TaskFilter{Since: &middle}}},
		{"state since", "tasks_state_started", store.TaskPage{Filter: store.TaskFilter{State: domain.StateFailure, Since: &since}}},
		{"seen", "tasks_seen", store.TaskPage{Order: store.TasksBySeen}},
		{"seen, deep", "tasks_seen", store.TaskPage{Order: store.TasksBySeen, After: &store.TaskCursor{At: &middle, ID: 50000}}},
		{"seen, filtered", "tasks_seen", store.TaskPage{Order: store.TasksBySeen, Filter: store.TaskFilter{State: domain.StateFailure, Queue: "mail", Name: "pay"}}},
	} {
		tc.page.Filter.ProjectID, tc.page.Limit = p.ID, 50
		begin := time.Now()
		page, err := s.ListTasks(t.Context(), tc.page)
		took := time.Since(begin)
		plan := plans.Take()
		if err != nil || len(page) != 50 {
			t.Errorf("%s: %d tasks, %v", tc.name, len(page), err)
		}
		if !strings.Contains(plan, "USING INDEX "+tc.index+" ") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: plan\n%s", tc.name, plan)
		}
		t.Logf("%-15s %v", tc.name, took)
	}
}
