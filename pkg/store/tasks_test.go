// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
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
		var fingerprint, exception *string
		var failedAt *time.Time
		var runtime *int64
		switch state {
		case domain.StateFailure:
			fingerprint, exception = new(fmt.Sprintf("f%d", i%4)), new("ValueError: no "+strconv.Itoa(i%7))
			failedAt = &at
		case domain.StateSuccess:
			runtime = new(int64(i % 500))
		default:
		}
		rows = append(rows, []any{
			projectID, engine, fmt.Sprintf("id-%06d", i), names[i%len(names)], queue, worker, int64(state),
			int64(domain.PriorityNormal), at, started, start.Add(time.Duration(i) * time.Second), at, fingerprint, exception, runtime, failedAt,
		})
	}
	err = s.ExecForTest(t.Context(), "INSERT INTO tasks (project_id, engine_id, task_id, name_id, queue_id, worker_id, state, priority, "+
		"received_at, started_at, seen_at, updated_at, fingerprint, exception, runtime_ms, last_failed_at) "+
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)", rows...)
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
		all = append(all, page.Tasks...)
		if page.Next == nil {
			return all
		}
		p.After = page.Next
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
		type filter = store.TaskFilter
		type terms = store.TaskTerms
		failed := []domain.TaskState{domain.StateFailure}
		for _, tc := range []struct {
			name   string
			filter filter
			match  func(v *store.TaskView) bool
		}{
			{"state", filter{TaskTerms: terms{States: failed}}, func(v *store.TaskView) bool { return v.State == int64(domain.StateFailure) }},
			{"two states", filter{TaskTerms: terms{States: []domain.TaskState{domain.StateFailure, domain.StateReceived}}}, func(v *store.TaskView) bool {
				return v.State == int64(domain.StateFailure) || v.State == int64(domain.StateReceived)
			}},
			{"not the state", filter{Not: terms{States: failed}}, func(v *store.TaskView) bool { return v.State != int64(domain.StateFailure) }},
			{"queue", filter{TaskTerms: terms{Queues: store.Exact("default")}}, func(v *store.TaskView) bool { return *v.Queue == "default" }},
			{"queues", filter{TaskTerms: terms{Queues: store.Exact("default", "mail", "none")}}, func(*store.TaskView) bool { return true }},
			{"queue by pattern", filter{TaskTerms: terms{Queues: []store.TextMatch{{Text: "DEF*", Match: store.MatchGlob}}}}, func(v *store.TaskView) bool { return *v.Queue == "default" }},
			{"not the queue", filter{Not: terms{Queues: store.Exact("default")}}, func(v *store.TaskView) bool { return *v.Queue != "default" }},
			{"not a queue there is", filter{Not: terms{Queues: store.Exact("nope")}}, func(*store.TaskView) bool { return true }},
			{"unknown queue", filter{TaskTerms: terms{Queues: store.Exact("nope")}}, func(*store.TaskView) bool { return false }},
			{"worker", filter{TaskTerms: terms{Workers: store.Exact("w1@host")}}, func(*store.TaskView) bool { return true }},
			{"engine", filter{TaskTerms: terms{Engines: store.Exact("rq")}}, func(*store.TaskView) bool { return false }},
			{"name part", filter{TaskTerms: terms{Names: store.Part("pay")}}, func(v *store.TaskView) bool { return strings.Contains(v.Name, "pay") }},
			{"name in any case", filter{TaskTerms: terms{Names: store.Part("PAY")}}, func(v *store.TaskView) bool { return strings.Contains(v.Name, "pay") }},
			{"whole name", filter{TaskTerms: terms{Names: store.Exact("shop.pay")}}, func(v *store.TaskView) bool { return v.Name == "shop.pay" }},
			{"not the name", filter{Not: terms{Names: store.Part("pay")}}, func(v *store.TaskView) bool { return !strings.Contains(v.Name, "pay") }},
			{"no wildcard", filter{TaskTerms: terms{Names: store.Part("sh_p")}}, func(*store.TaskView) bool { return false }},
			{"id", filter{TaskTerms: terms{IDs: store.Exact("id-000012")}}, func(v *store.TaskView) bool { return v.TaskID == "id-000012" }},
			{"id by pattern", filter{TaskTerms: terms{IDs: []store.TextMatch{{Text: "id-00001*", Match: store.MatchGlob}}}}, func(v *store.TaskView) bool { return strings.HasPrefix(v.TaskID, "id-00001") }},
			{"fingerprint", filter{TaskTerms: terms{Issues: store.Exact("f0")}}, func(v *store.TaskView) bool { return v.Fingerprint != nil && *v.Fingerprint == "f0" }},
			{"not the fingerprint", filter{Not: terms{Issues: store.Exact("f0")}}, func(v *store.TaskView) bool { return v.Fingerprint == nil || *v.Fingerprint != "f0" }},
			{"exception", filter{TaskTerms: terms{Exceptions: store.Part("valueerror")}}, func(v *store.TaskView) bool {
				return v.Exception != nil && strings.Contains(*v.Exception, "ValueError")
			}},
			{"not the exception", filter{Not: terms{Exceptions: store.Part("valueerror")}}, func(v *store.TaskView) bool {
				return v.Exception == nil || !strings.Contains(*v.Exception, "ValueError")
			}},
			{"run time", filter{MinRuntimeMS: new(int64(100)), MaxRuntimeMS: new(int64(300))}, func(v *store.TaskView) bool { return v.RuntimeMS != nil && *v.RuntimeMS >= 100 && *v.RuntimeMS <= 300 }},
			{"search id", filter{TaskTerms: terms{Search: []string{"ID-00001"}}}, func(v *store.TaskView) bool { return strings.Contains(v.TaskID, "id-00001") }},
			{"search name", filter{TaskTerms: terms{Search: []string{"SHIP"}}}, func(v *store.TaskView) bool { return v.Name == "shop.ship" }},
			{"search twice", filter{TaskTerms: terms{Search: []string{"SHIP", "0001"}}}, func(v *store.TaskView) bool { return v.Name == "shop.ship" && strings.Contains(v.TaskID, "0001") }},
			{"search not", filter{Not: terms{Search: []string{"SHIP", "mail"}}}, func(v *store.TaskView) bool {
				return v.Name != "shop.ship" && *v.Queue != "mail" && v.Name != "mail.send"
			}},
			{"search queue", filter{TaskTerms: terms{Search: []string{"mail"}}}, func(v *store.TaskView) bool { return *v.Queue == "mail" || v.Name == "mail.send" }},
			{"priority", filter{TaskTerms: terms{Priorities: []domain.Priority{domain.PriorityHigh, domain.PriorityLow}}}, func(*store.TaskView) bool { return false }},
			{"since and until", filter{Since: &since, Until: &until}, func(v *store.TaskView) bool {
				return !received(v).Before(since) && !received(v).After(until)
			}},
			{"many", filter{TaskTerms: terms{States: []domain.TaskState{domain.StateSuccess}, Queues: store.Exact("mail"), Names: store.Part("pay")}, Since: &since}, func(v *store.TaskView) bool {
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
			for _, order := range []store.TaskOrder{store.TasksByStart, store.TasksBySeen, store.TasksByTime} {
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
			if strings.Contains(tc.name, "state") && tc.name != "not the state" {
				continue // the counters are ingest's, and this test wrote past it
			}
			if count, exact, err := s.CountTasks(t.Context(), tc.filter, 10000); err != nil || !exact || count != int64(len(want)) {
				t.Errorf("%s: counted %d %v %v, want %d", tc.name, count, exact, err, len(want))
			}
			if count, exact, err := s.TaskTotal(t.Context(), tc.filter, 10000); err != nil || !exact || count != int64(len(want)) {
				t.Errorf("%s: total %d %v %v, want %d", tc.name, count, exact, err, len(want))
			}
			if keys, err := s.TaskKeys(t.Context(), tc.filter, 10000); err != nil || len(keys) != len(want) {
				t.Errorf("%s: %d keys %v, want %d", tc.name, len(keys), err, len(want))
			}
		}
		mails := filter{ProjectID: p.ID, TaskTerms: terms{Queues: store.Exact("mail")}}
		if count, exact, err := s.CountTasks(t.Context(), mails, 10); err != nil || exact || count != 10 {
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

func usesIndex(plan, index string) bool {
	for _, words := range []string{"USING INDEX ", "USING COVERING INDEX ", "Index Scan using ", "Index Scan Backward using ", "Index Only Scan using "} {
		if strings.Contains(plan, words+index+" ") {
			return true
		}
	}
	return false
}

func sorts(plan string) bool {
	return strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort  (")
}

// TestTaskListPlans checks on large tables that every hot page is an index walk without a sort, and that a rare
// match is looked for in bounded stretches.
func TestTaskListPlans(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("nothing in it runs at once; the long lane has it")
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := storetest.SQLite(t, storetest.Still)
		p := makeProject(t, s, "shop")
		seedTasks(t, s, p.ID, 120_000)
		taskListPlans(t, s, p.ID)
		rareTask(t, s, p.ID)
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		s := storetest.Postgres(t, storetest.Still)
		p := makeProject(t, s, "shop")
		seedTasks(t, s, p.ID, 30_000)
		if err := s.ExecForTest(t.Context(), "ANALYZE tasks", []any{}); err != nil {
			t.Fatal(err)
		}
		taskListPlans(t, s, p.ID)
	})
}

// rareTask finds the one oldest task by a condition that no index serves.
func rareTask(t *testing.T, s *store.Store, projectID int64) {
	t.Helper()
	p := store.TaskPage{Filter: store.TaskFilter{ProjectID: projectID}, Order: store.TasksBySeen, Limit: 50}
	p.Filter.IDs = []store.TextMatch{{Text: "*-000000", Match: store.MatchGlob}}
	list, err := s.ListTasks(t.Context(), p)
	if err != nil || len(list.Tasks) != 0 || list.Next == nil || !list.Partial {
		t.Fatalf("a search that stops: %+v %v", list, err)
	}
	for range 1000 {
		p.After = list.Next
		if list, err = s.ListTasks(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if list.Next == nil {
			break
		}
	}
	if len(list.Tasks) != 1 || list.Tasks[0].TaskID != "id-000000" {
		t.Errorf("the rest: %+v", list)
	}
	if n, exact, err := s.TaskTotal(t.Context(), p.Filter, 100); err != nil || exact {
		t.Errorf("a total of too much: %d %v %v", n, exact, err)
	}
	if f, err := s.TaskFacets(t.Context(), store.TaskFilter{ProjectID: projectID}, 10); err != nil || !f.Approximate || len(f.Names) != 4 || f.Names[0].N > 4000 {
		t.Errorf("facets of all: %+v %v", f, err)
	}
}

// Facets count every match of a filter with few of them, wherever these lie, and the newest of one with many.
func TestFacetsCountMatches(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := makeProject(t, s, "shop")
		seedTasks(t, s, p.ID, 12_000)
		err := s.ExecForTest(t.Context(), "UPDATE tasks SET state = $1, started_at = NULL WHERE task_id LIKE 'id-0000%'", []any{int64(domain.StateRetry)})
		if err != nil {
			t.Fatal(err)
		}
		early, late := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 1, 30, 0, 0, time.UTC)
		type terms = store.TaskTerms
		retry, success := []domain.TaskState{domain.StateRetry}, []domain.TaskState{domain.StateSuccess}
		for name, f := range map[string]store.TaskFilter{
			"all":                    {},
			"rare state":             {TaskTerms: terms{States: retry}},
			"frequent state":         {TaskTerms: terms{States: success}},
			"two states":             {TaskTerms: terms{States: append(retry, domain.StateStarted)}},
			"state and queue":        {TaskTerms: terms{States: success, Queues: store.Exact("mail")}},
			"state and part of name": {TaskTerms: terms{States: success, Names: store.Part("pay")}},
			"name":                   {TaskTerms: terms{Names: store.Exact("shop.ship")}},
			"state in a window":      {TaskTerms: terms{States: success}, Since: &early, Until: &late},
			"state since":            {TaskTerms: terms{States: retry}, Since: &late},
			"window":                 {Since: &early, Until: &late},
			"nothing":                {TaskTerms: terms{States: retry, Queues: store.Exact("none")}},
		} {
			f.ProjectID = p.ID
			n, err := s.TaskKeys(t.Context(), f, 100_000)
			if err != nil {
				t.Fatal(err)
			}
			facets, err := s.TaskFacets(t.Context(), f, 10)
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			for _, e := range facets.Engines {
				sum += e.N
			}
			if many := len(n) >= 4000; many != facets.Approximate && len(f.States)+len(f.Names)+len(f.Queues) == 0 ||
				many && (sum < 4000 || sum > int64(len(n))) || !many && sum != int64(len(n)) {
				t.Errorf("%s: %d of %d matches, approximate %v", name, sum, len(n), facets.Approximate)
			}
		}
	}, storetest.Still)
}

func taskListPlans(t *testing.T, s *store.Store, projectID int64) {
	t.Helper()
	plans := s.PlansForTest()
	since := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	middle := time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)
	early := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	type filter = store.TaskFilter
	type terms = store.TaskTerms
	type page = store.TaskPage
	failed := []domain.TaskState{domain.StateFailure}
	for _, tc := range []struct {
		name, index string
		page        page
	}{
		{"bare", "tasks_started", page{}},
		{"deep", "tasks_started", page{After: &store.TaskCursor{At: &middle, ID: 5000}}},
		{"never started", "tasks_started", page{After: &store.TaskCursor{ID: 5000}}},
		{"state", "tasks_state_started", page{Filter: filter{TaskTerms: terms{States: failed}}}},
		{"states", "tasks_state_started", page{Filter: filter{TaskTerms: terms{States: []domain.TaskState{domain.StateFailure, domain.StateStarted}}}}},
		{"state, deep", "tasks_state_started", page{Filter: filter{TaskTerms: terms{States: failed}}, After: &store.TaskCursor{At: &middle, ID: 5000}}},
		{"queue", "tasks_queue_started", page{Filter: filter{TaskTerms: terms{Queues: store.Exact("mail")}}}},
		{"name", "tasks_name_started", page{Filter: filter{TaskTerms: terms{Names: store.Part("shop.ship")}}}},
		{"two names", "tasks_name_started", page{Filter: filter{TaskTerms: terms{Names: store.Part("pay")}}}},
		{"search", "tasks_started", page{Filter: filter{TaskTerms: terms{Search: []string{"ship"}}}}},
		{"not", "tasks_started", page{Filter: filter{Not: terms{Names: store.Part("pay")}}}},
		{"since", "tasks_started", page{Filter: filter{Since: &middle}}},
		{"state since", "tasks_state_started", page{Filter: filter{TaskTerms: terms{States: failed}, Since: &since}}},
		{"state, queue and name", "tasks_name_started", page{Filter: filter{TaskTerms: terms{States: failed, Queues: store.Exact("mail"), Names: store.Exact("shop.pay")}}}},
		{"seen", "tasks_seen", page{Order: store.TasksBySeen}},
		{"seen, deep", "tasks_seen", page{Order: store.TasksBySeen, After: &store.TaskCursor{At: &middle, ID: 15000}}},
		{"seen, filtered", "tasks_seen", page{Order: store.TasksBySeen, Filter: filter{TaskTerms: terms{States: failed, Queues: store.Exact("mail"), Names: store.Part("pay")}}}},
		{"time", "tasks_time", page{Order: store.TasksByTime}},
		{"window", "tasks_time", page{Order: store.TasksByTime, Filter: filter{Since: &since, Until: &middle}}},
		{"window, deep", "tasks_time", page{Order: store.TasksByTime, Filter: filter{Since: &since, Until: &middle}, After: &store.TaskCursor{At: &early, ID: 5000}}},
		{"window, filtered", "tasks_time", page{Order: store.TasksByTime, Filter: filter{Since: &since, Until: &middle, TaskTerms: terms{States: failed, Exceptions: store.Part("no 3")}}}},
		{"window, start", "tasks_started", page{Filter: filter{Since: &since, Until: &middle}}},
	} {
		tc.page.Filter.ProjectID, tc.page.Limit = projectID, 50
		begin := time.Now()
		list, err := s.ListTasks(t.Context(), tc.page)
		took := time.Since(begin)
		plan := plans.Take()
		if err != nil || len(list.Tasks) != 50 || list.Next == nil || list.Partial {
			t.Errorf("%s: %d tasks, %v", tc.name, len(list.Tasks), err)
		}
		if !usesIndex(plan, tc.index) || sorts(plan) {
			t.Errorf("%s: plan\n%s", tc.name, plan)
		}
		t.Logf("%-15s %v", tc.name, took)
	}
	for name, read := range map[string]func() (int, error){
		"tasks_fingerprint": func() (int, error) {
			list, err := s.TasksOfIssue(t.Context(), projectID, "f1", 20)
			return len(list), err
		},
	} {
		n, err := read()
		if plan := plans.Take(); err != nil || n != 20 || !usesIndex(plan, name) || sorts(plan) {
			t.Errorf("%s: %d rows, %v, plan\n%s", name, n, err, plan)
		}
	}
}
