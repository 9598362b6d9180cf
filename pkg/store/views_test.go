// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func TestListIssues(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		p := makeProject(t, s, "shop")
		ids, err := s.InternForTest(ctx, "celery", "rq", "shop.pay", "shop.ship")
		if err != nil {
			t.Fatal(err)
		}
		celery, rq, pay, ship := ids[0], ids[1], ids[2], ids[3]
		at := func(h int) time.Time { return time.Date(2026, 3, 1, h, 0, 0, 0, time.UTC) }
		err = s.ExecForTest(ctx, "INSERT INTO issues (project_id, fingerprint, engine_id, occurrences, open_count, first_seen, last_seen, sample_name_id, sample_exception) "+
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			[]any{p.ID, "f1", celery, 5, 2, at(1), at(4), pay, "ValueError"},
			[]any{p.ID, "f1", rq, 1, 0, at(2), at(6), ship, "ValueError: x"},
			[]any{p.ID, "f2", celery, 3, 0, at(1), at(5), pay, nil},
			[]any{p.ID + 1, "f3", celery, 3, 3, at(1), at(5), pay, nil},
		)
		if err != nil {
			t.Fatal(err)
		}
		yes, no, late := true, false, at(6)
		for _, tc := range []struct {
			filter store.IssueFilter
			want   string
		}{
			{store.IssueFilter{}, "f1 f2"},
			{store.IssueFilter{Offset: 1}, "f2"},
			{store.IssueFilter{Engine: "rq"}, "f1"},
			{store.IssueFilter{Engine: "huey"}, ""},
			{store.IssueFilter{Ongoing: &yes}, "f1"},
			{store.IssueFilter{Ongoing: &no}, "f2"},
			{store.IssueFilter{Since: &late}, "f1"},
		} {
			tc.filter.ProjectID, tc.filter.Limit = p.ID, 10
			got, err := s.ListIssues(ctx, tc.filter)
			var names []string
			for _, i := range got {
				names = append(names, i.Fingerprint)
			}
			if err != nil || strings.Join(names, " ") != tc.want {
				t.Errorf("%+v: %v %v, want %q", tc.filter, names, err, tc.want)
			}
		}
		all, err := s.ListIssues(ctx, store.IssueFilter{ProjectID: p.ID, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		i := all[0]
		if i.Occurrences != 6 || i.Open != 2 || !i.FirstSeen.Equal(at(1)) || !i.LastSeen.Equal(at(6)) || fmt.Sprint(i.Engines) != "[rq celery]" ||
			*i.SampleException != "ValueError: x" || *i.Name != "shop.ship" {
			t.Errorf("issue: %+v", i)
		}
	})
}

func TestReadingSide(t *testing.T) {
	t.Parallel()
	eachWithClock(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx := t.Context()
		p := makeProject(t, s, "shop")
		agent := makeAgent(t, s, p, 4)
		now := c.at
		exec := func(query string, rows ...[]any) {
			t.Helper()
			if err := s.ExecForTest(ctx, query, rows...); err != nil {
				t.Fatal(err)
			}
		}
		worker := uuid.New()
		exec("INSERT INTO workers (uid, project_id, engine, name, state, agent_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			[]any{worker, p.ID, "celery", "w1", "online", agent.ID, now, now},
			[]any{uuid.New(), p.ID, "rq", "w1", "offline", nil, now, now})
		exec("INSERT INTO queues (uid, project_id, engine, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)",
			[]any{uuid.New(), p.ID, "rq", "b", now, now}, []any{uuid.New(), p.ID, "celery", "a", now, now})
		exec("INSERT INTO agent_workers (id, agent_id, project_id, worker_id, lease_until, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			[]any{uuid.New(), agent.ID, p.ID, "x", now.Add(time.Second), now, now},
			[]any{uuid.New(), agent.ID, p.ID, "y", now.Add(-time.Second), now, now})
		ids, err := s.InternForTest(ctx, "celery", "shop.pay")
		if err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO rollups (project_id, res, at, name_id, queue_id, kind, n, runtime_n, runtime_ms) VALUES ($1, 1, $2, $3, 0, $4, $5, $6, $7)",
			[]any{p.ID, now.Add(-time.Hour), ids[1], int64(domain.RollupSuccess), 3, 2, 50},
			[]any{p.ID, now.Add(-time.Minute), ids[1], int64(domain.RollupFailure), 1, 0, 0},
			[]any{p.ID, now.Add(-48 * time.Hour), ids[1], int64(domain.RollupFailure), 9, 0, 0})
		exec("INSERT INTO rollup_stale (project_id, res, at, changes) VALUES ($1, 10, $2, 1)",
			[]any{p.ID, now.Add(-time.Hour).Truncate(10 * time.Minute)}, []any{p.ID, now.Add(-time.Minute).Truncate(10 * time.Minute)})
		exec("INSERT INTO tasks (project_id, engine_id, task_id, name_id, state, priority, last_failed_at, seen_at, updated_at) VALUES ($1, $2, $3, $4, $5, 3, $6, $7, $8)",
			[]any{p.ID, ids[0], "t1", ids[1], int64(domain.StateFailure), now.Add(-time.Minute), now, now},
			[]any{p.ID, ids[0], "t2", ids[1], int64(domain.StateSuccess), now.Add(-time.Minute), now, now},
			[]any{p.ID, ids[0], "t3", ids[1], int64(domain.StateSuccess), nil, now.Add(time.Second), now})
		if _, _, err := createCommand(t, s, store.NewCommand{Agent: agent, Action: "cancel_task", TargetType: "task", Payload: map[string]any{}}); err != nil {
			t.Fatal(err)
		}

		if qs, err := s.Queues(ctx, p.ID, 10); err != nil || len(qs) != 2 || qs[0].Name != "a" {
			t.Errorf("queues: %+v %v", qs, err)
		}
		if ws, err := s.Workers(ctx, p.ID, 10); err != nil || len(ws) != 2 || ws[0].AgentUID == nil || *ws[0].AgentUID != agent.UID || ws[1].AgentUID != nil {
			t.Errorf("workers: %+v %v", ws, err)
		}
		if w, err := s.WorkerByUID(ctx, p.ID, worker); err != nil || w.Name != "w1" {
			t.Errorf("worker: %+v %v", w, err)
		}
		if _, err := s.WorkerByUID(ctx, p.ID+1, worker); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("foreign worker: %v", err)
		}
		if ws, err := s.WorkersByName(ctx, p.ID, "w1", ""); err != nil || len(ws) != 2 {
			t.Errorf("workers by name: %+v %v", ws, err)
		}
		if ws, err := s.WorkersByName(ctx, p.ID, "w1", "rq"); err != nil || len(ws) != 1 {
			t.Errorf("workers by name and engine: %+v %v", ws, err)
		}
		totals, err := s.RollupTotals(ctx, p.ID, now.Add(-24*time.Hour))
		if err != nil || totals[domain.RollupSuccess] != 3 || totals[domain.RollupFailure] != 1 || totals.FailureRate() != 0.25 || totals.Finished() != 4 {
			t.Errorf("totals: %v %v", totals, err)
		}
		if last, err := s.LastActivity(ctx, p.ID); err != nil || last == nil || !last.Equal(now.Add(time.Second)) {
			t.Errorf("last activity: %v %v", last, err)
		}
		if last, err := s.LastActivity(ctx, p.ID+1); err != nil || last != nil {
			t.Errorf("last activity of nothing: %v %v", last, err)
		}
		if live, err := s.AgentLive(ctx, agent.ID); err != nil || !live {
			t.Errorf("agent live: %v %v", live, err)
		}
		if live, err := s.AgentLive(ctx, agent.ID+1); err != nil || live {
			t.Errorf("unknown agent live: %v %v", live, err)
		}
		if agents, err := s.LiveAgents(ctx, p.ID); err != nil || !agents[agent.ID] || len(agents) != 1 {
			t.Errorf("live agents: %+v %v", agents, err)
		}
		first, err := s.RecentFailures(ctx, p.ID, time.Time{}, 0, 1)
		if err != nil || len(first) != 1 || first[0].TaskID != "t2" {
			t.Fatalf("recent failures: %+v %v", first, err)
		}
		if next, err := s.RecentFailures(ctx, p.ID, *first[0].LastFailedAt, first[0].ID, 5); err != nil || len(next) != 1 || next[0].TaskID != "t1" {
			t.Errorf("recent failures, next page: %+v %v", next, err)
		}
		c.advance(2 * time.Minute)
		if live, err := s.AgentLive(ctx, agent.ID); err != nil || live {
			t.Errorf("agent live after its lease: %v %v", live, err)
		}
		if _, err := s.OpenLongpoll(ctx, agent.ID, "nonce", "[]", nil, store.LongpollLimits{Idle: time.Hour, Max: 1}); err != nil {
			t.Fatal(err)
		}
		if live, err := s.AgentLive(ctx, agent.ID); err != nil || !live {
			t.Errorf("polling agent live: %v %v", live, err)
		}
		o, err := s.Overview(ctx, time.Minute)
		if err != nil || o.Stuck[p.ID] != 1 || o.Workers[p.ID]["online"] != 1 || o.Workers[p.ID].Sum() != 2 || o.Agents[p.ID]["unknown"] != 1 {
			t.Errorf("overview: %+v %v", o, err)
		}
		st, err := s.ProjectStates(ctx, p.ID, now.Add(-time.Hour))
		if err != nil || st.OpenCommands != 1 || st.Commands["pending"] != 1 || st.Workers["offline"] != 1 {
			t.Errorf("states: %+v %v", st, err)
		}
	})
}
