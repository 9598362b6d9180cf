// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

const aDay = 24 * time.Hour

// movedClock is a store's clock that a test moves.
type movedClock struct {
	mu  sync.Mutex
	now time.Time
}

func newMovedClock() *movedClock {
	return &movedClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *movedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *movedClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// eachClocked runs fn on both engines with a clock of its own.
func eachClocked(t *testing.T, events time.Duration, fn func(t *testing.T, s *store.Store, c *movedClock), opts ...func(*store.Options)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB, ...func(*store.Options)) *store.Store{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newMovedClock()
			fn(t, open(t, append(slices.Clone(opts), func(o *store.Options) { o.Now, o.EventRetention = c.Now, events })...), c)
		})
	}
}

// expiry is what a test's retention keeps.
type expiry struct{ events, tasks, minutes, hours, rollups time.Duration }

// run does everything that is due once, as the holder of the lease would.
func (x expiry) run(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := t.Context()
	fold(t, s)
	now := s.Now()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.DropEvents(ctx, now.Add(-x.events))
	check(err)
	var cursor store.EventCursor
	for done := false; !done; {
		_, cursor, done, err = s.SweepEvents(ctx, now.Add(-x.events), cursor)
		check(err)
	}
	var mark store.TaskMark
	for done := false; !done; {
		_, mark, done, err = s.ExpireTasks(ctx, now.Add(-x.tasks), mark, 7)
		check(err)
	}
	fold(t, s)
	repeat := func(step func() (int64, error)) {
		t.Helper()
		for n := int64(1); n > 0; {
			n, err = step()
			check(err)
		}
	}
	repeat(func() (int64, error) {
		return s.CompactRollups(ctx, store.RollupMinute, store.RollupHour, now.Add(-x.minutes), 5)
	})
	repeat(func() (int64, error) {
		return s.CompactRollups(ctx, store.RollupHour, store.RollupDay, now.Add(-x.hours), 5)
	})
	repeat(func() (int64, error) { return s.ExpireRollups(ctx, now.Add(-x.rollups)) })
	repeat(func() (int64, error) { return s.SumRollups(ctx) })
	repeat(func() (int64, error) { return s.ExpireSpans(ctx, now.Add(-x.rollups)) })
}

func (x expiry) keeps(o *store.Options) { o.MinuteKeep, o.HourKeep = x.minutes, x.hours }

func (x expiry) window(now time.Time) store.CountWindow {
	return store.CountWindow{Events: now.Add(-x.events), Tasks: now.Add(-x.tasks), Rollups: now.Add(-x.rollups)}
}

func fold(t *testing.T, s *store.Store) {
	t.Helper()
	for n := int64(1); n > 0; {
		var err error
		if n, err = s.FoldDeltas(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
}

func number(t *testing.T, s *store.Store, query string, args ...any) (n int64) {
	t.Helper()
	if err := s.Read(t.Context(), query, args, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// After any history under retention and compaction the counters equal a recount of what is complete, and nothing
// younger than its limit is gone.
func TestCountersSurviveRetention(t *testing.T) {
	t.Parallel()
	x := expiry{events: 5 * aDay, tasks: 9 * aDay, minutes: aDay, hours: 4 * aDay, rollups: 20 * aDay}
	eachClocked(t, x.events, func(t *testing.T, s *store.Store, c *movedClock) {
		ref := storetest.Agent(t, s)
		r := rand.New(rand.NewPCG(3, 17)) //nolint:gosec // a reproducible history
		kinds := []domain.EventKind{
			domain.KindReceived, domain.KindStarted, domain.KindSucceeded, domain.KindFailed, domain.KindRetried, domain.KindRevoked,
		}
		counters := func(when string) {
			t.Helper()
			if r.IntN(2) == 0 { // what waits to be folded counts as well
				fold(t, s)
			}
			diff, err := s.CheckCounters(t.Context(), x.window(s.Now()))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diff {
				t.Errorf("%s: %s", when, d)
			}
		}
		task := 0
		for round := range 60 {
			c.add(time.Duration(r.IntN(int(14 * time.Hour))))
			task += 3
			var items []*store.IngestItem
			for range 2 + r.IntN(5) {
				var events []store.IngestEvent
				for range 1 + r.IntN(5) {
					// Mostly now and of young tasks; some late by hours or days, some of tasks long gone.
					at, id := c.Now().Add(-time.Duration(r.IntN(int(time.Hour)))), max(0, task-r.IntN(12))
					switch r.IntN(6) {
					case 0:
						at = c.Now().Add(-time.Duration(r.IntN(int(7 * aDay))))
					case 1:
						id = r.IntN(task)
					}
					events = append(events, event(kinds[r.IntN(len(kinds))], fmt.Sprintf("t%d", id), at, func(e *store.IngestEvent) {
						e.TaskName = []string{"a", "b", "<unknown:x>", ""}[r.IntN(4)]
						e.Queue = []string{"q", "p", ""}[r.IntN(3)]
						if e.Exception != nil {
							e.Exception = new(fmt.Sprintf("E%d", r.IntN(3)))
						}
					}))
				}
				items = append(items, item(ref, events...))
			}
			ingest(t, s, items...)
			switch round % 10 {
			case 4:
				storetest.DeleteSome(t, s, ref.ProjectID, r.IntN(4))
			case 2, 7, 9:
				fold(t, s)
				now := s.Now()
				youngEvents := number(t, s, "SELECT count(*) FROM events WHERE at >= $1", now.Add(-x.events))
				youngTasks := number(t, s, "SELECT count(*) FROM tasks WHERE updated_at >= $1", now.Add(-x.tasks))
				x.run(t, s)
				if n := number(t, s, "SELECT count(*) FROM events WHERE at >= $1", now.Add(-x.events)); n != youngEvents {
					t.Errorf("%d events of less than the limit, %d before", n, youngEvents)
				}
				if n := number(t, s, "SELECT count(*) FROM tasks WHERE updated_at >= $1", now.Add(-x.tasks)); n != youngTasks {
					t.Errorf("%d tasks of less than the limit, %d before", n, youngTasks)
				}
				counters(fmt.Sprintf("round %d", round))
			}
		}
		x.run(t, s)
		counters("at the end")
		now := s.Now()
		oldest := now.Add(-x.events)
		if s.Engine() == "postgresql" {
			oldest = oldest.Truncate(aDay)
		}
		for what, q := range map[string]struct {
			query string
			than  time.Time
		}{
			"events":       {"SELECT count(*) FROM events WHERE at < $1", oldest},
			"minutes":      {"SELECT count(*) FROM rollups WHERE res = 1 AND at < $1", now.Add(-x.minutes).Truncate(time.Hour)},
			"hours":        {"SELECT count(*) FROM rollups WHERE res = 60 AND at < $1", now.Add(-x.hours).Truncate(aDay)},
			"sums of ten":  {"SELECT count(*) FROM rollup_spans WHERE res = 10 AND at < $1", now.Add(-x.minutes - 2*time.Hour)},
			"old sums":     {"SELECT count(*) FROM rollup_spans WHERE at <= $1", now.Add(-x.rollups - aDay)},
			"old roll-ups": {"SELECT count(*) FROM rollups WHERE at <= $1", now.Add(-x.rollups - aDay)},
		} {
			if n := number(t, s, q.query, q.than); n != 0 {
				t.Errorf("%d %s outlived their limit", n, what)
			}
		}
		if n := number(t, s, `SELECT count(*) FROM tasks WHERE updated_at < $1 AND NOT EXISTS
			(SELECT 1 FROM events WHERE events.task_id = tasks.id AND events.at >= $1)`, now.Add(-x.tasks)); n != 0 {
			t.Errorf("%d tasks outlived their limit", n)
		}
		if number(t, s, "SELECT count(*) FROM rollups WHERE res = 1440") == 0 || number(t, s, "SELECT count(*) FROM tasks") == 0 {
			t.Error("the history was too short to say anything")
		}
		for _, res := range []int64{10, 60, 1440} {
			if number(t, s, "SELECT count(*) FROM rollup_spans WHERE res = $1", res) == 0 {
				t.Errorf("no sums of %d minutes", res)
			}
		}
	}, x.keeps)
}

// What readers see does not change by compaction, whichever part of the range is compacted.
func TestReadersSeeCompactedRollups(t *testing.T) {
	t.Parallel()
	x := expiry{minutes: 2 * aDay, hours: 4 * aDay}
	eachClocked(t, 0, func(t *testing.T, s *store.Store, c *movedClock) {
		ref := storetest.Agent(t, s)
		r := rand.New(rand.NewPCG(5, 23)) //nolint:gosec // a reproducible history
		now := c.Now()
		var events []store.IngestEvent
		for i := range 400 {
			kind := []domain.EventKind{domain.KindStarted, domain.KindSucceeded, domain.KindFailed}[r.IntN(3)]
			events = append(events, event(kind, fmt.Sprintf("t%d", i), now.Add(-time.Duration(r.IntN(int(8*aDay))))))
		}
		ingest(t, s, item(ref, events...))
		fold(t, s)
		type day struct {
			started, succeeded, failed, revoked int64
			run                                 store.Latency
		}
		daily := func() map[string]day {
			out := map[string]day{}
			for k, v := range sums(t, s, store.SumQuery{ProjectID: ref.ProjectID, From: now.Add(-9 * aDay), Bucket: aDay}) {
				d := day{started: v.Started, succeeded: v.Succeeded, failed: v.Failed, revoked: v.Revoked}
				if run := v.Run(); run != nil {
					d.run = *run
				}
				out[k.At.Format(time.DateOnly)] = d
			}
			return out
		}
		want := daily()
		totals, err := s.RollupTotals(t.Context(), ref.ProjectID, now.Add(-9*aDay))
		if err != nil {
			t.Fatal(err)
		}
		same := func(when string) {
			t.Helper()
			if got := daily(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: the series changed:\n%v\n%v", when, got, want)
			}
			got, err := s.RollupTotals(t.Context(), ref.ProjectID, now.Add(-9*aDay))
			if err != nil || fmt.Sprint(got) != fmt.Sprint(totals) {
				t.Errorf("%s: totals %v, %v, want %v", when, got, err, totals)
			}
		}
		last, err := s.LastActivity(t.Context(), ref.ProjectID)
		if err != nil || last == nil {
			t.Fatal(last, err)
		}
		step := func(res, into int64, keep time.Duration, when string) {
			for n := int64(1); n > 0; {
				var err error
				if n, err = s.CompactRollups(t.Context(), res, into, now.Add(-keep), 17); err != nil {
					t.Fatal(err)
				}
				if n > 60 {
					t.Errorf("a step took %d rows", n)
				}
				same(when) // at every moment
			}
		}
		step(store.RollupMinute, store.RollupHour, x.minutes, "minutes to hours")
		step(store.RollupHour, store.RollupDay, x.hours, "hours to days")
		for _, res := range []int64{1, 60, 1440} {
			if number(t, s, "SELECT count(*) FROM rollups WHERE res = $1", res) == 0 {
				t.Errorf("no roll-ups of %d minutes", res)
			}
		}
		// A task of a compacted day ends differently after all, and is counted there once.
		late := event(domain.KindRevoked, "late", now.Add(-6*aDay))
		ingest(t, s, item(ref, late))
		fold(t, s)
		totals[domain.RollupRevoked]++
		v := want[late.At.Format(time.DateOnly)]
		v.revoked++
		want[late.At.Format(time.DateOnly)] = v
		same("after a late event")
		step(store.RollupMinute, store.RollupHour, x.minutes, "a late event, to its hour")
		step(store.RollupHour, store.RollupDay, x.hours, "a late event, to its day")
		// A range that starts inside a bucket counts that bucket.
		one, err := s.RollupTotals(t.Context(), ref.ProjectID, late.At.Truncate(aDay).Add(23*time.Hour+59*time.Minute))
		if err != nil || one[domain.RollupRevoked] != 1 {
			t.Errorf("a range that begins inside a day: %v, %v", one, err)
		}
		storetest.CompareCounters(t, s)
	}, x.keeps)
}

// A task of a compacted hour ends again in the same minute: the number of tasks stays, their time does not.
func TestLateChangeOfCompactedMinute(t *testing.T) {
	t.Parallel()
	eachClocked(t, 0, func(t *testing.T, s *store.Store, c *movedClock) {
		ref := storetest.Agent(t, s)
		end := func(second, ms int64) {
			t.Helper()
			ingest(t, s, item(ref, event(domain.KindSucceeded, "t", c.Now().Add(-aDay+time.Duration(second)*time.Second),
				func(e *store.IngestEvent) { e.RuntimeMS = &ms })))
			fold(t, s)
		}
		compact := func() (rows int64) {
			t.Helper()
			for n := int64(1); n > 0; rows += n {
				var err error
				if n, err = s.CompactRollups(t.Context(), store.RollupMinute, store.RollupHour, c.Now(), 100); err != nil {
					t.Fatal(err)
				}
			}
			return rows
		}
		end(1, 100)
		if n := compact(); n != 1 {
			t.Fatalf("compacted %d rows", n)
		}
		end(2, 5000)
		storetest.CompareCounters(t, s)
		if n := compact(); n != 1 {
			t.Errorf("compacted %d rows of late changes", n)
		}
		storetest.CompareCounters(t, s)
		end(3, 5000)
		if n := number(t, s, "SELECT count(*) FROM rollups"); n != 1 {
			t.Errorf("%d roll-up rows, the last change changed none", n)
		}
		storetest.CompareCounters(t, s)
	})
}

// The roll-up queries walk the primary key, whatever is compacted.
func TestRollupPlans(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	ref := storetest.Agent(t, s)
	plans := s.PlansForTest()
	for name, read := range map[string]func() error{
		"totals": func() error { _, err := s.RollupTotals(t.Context(), ref.ProjectID, base); return err },
		"series": func() error {
			_, err := s.Sums(t.Context(), store.SumQuery{ProjectID: ref.ProjectID, From: base, Bucket: time.Hour})
			return err
		},
		"last": func() error { _, err := s.LastActivity(t.Context(), ref.ProjectID); return err },
		"sweep": func() error {
			_, _, _, err := s.SweepEvents(t.Context(), base, store.EventCursor{Task: 3, Kind: 1, At: base})
			return err
		},
		"tasks": func() error {
			_, _, _, err := s.ExpireTasks(t.Context(), base, store.TaskMark{}, 10)
			return err
		},
	} {
		err := read()
		plan := plans.Take()
		if name == "last" && strings.Count(plan, "SEARCH rollups USING PRIMARY KEY (project_id=? AND res=?)") != 3 {
			t.Errorf("%s: plan\n%s", name, plan)
		}
		if name == "tasks" && !strings.Contains(plan, "SEARCH tasks USING INDEX tasks_seen (project_id=? AND seen_at>? AND seen_at<?)") {
			t.Errorf("%s: plan\n%s", name, plan)
		}
		if err != nil || strings.Contains(plan, "SCAN rollup") || strings.Contains(plan, "SCAN tasks") || strings.Contains(plan, "SCAN events") {
			t.Errorf("%s: %v, plan\n%s", name, err, plan)
		}
	}
}

// Ingest goes on within bounds while a large backlog of events expires.
func TestIngestDuringSweep(t *testing.T) {
	t.Parallel()
	c := newMovedClock()
	s := storetest.SQLite(t, func(o *store.Options) { o.Now = c.Now })
	ref := storetest.Agent(t, s)
	const backlog = 200_000
	err := s.ExecForTest(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
		INSERT INTO events (task_id, kind, at, at_us, agent_id, stripped, payload)
		SELECT 100 + i / 4, i % 4, $2, 0, $3, 0, '{"a":"' || hex(zeroblob(80)) || '"}' FROM n`, []any{int64(backlog), c.Now(), ref.ID})
	if err != nil {
		t.Fatal(err)
	}
	before := number(t, s, "SELECT count(*) FROM events")
	if before != backlog {
		t.Fatalf("%d events", before)
	}
	c.add(40 * aDay)
	ctx, stop := context.WithCancel(t.Context())
	swept := make(chan error, 1)
	var deleted int64
	var steps int
	begin := time.Now()
	go func() {
		defer stop()
		var cursor store.EventCursor
		for {
			n, next, done, err := s.SweepEvents(context.WithoutCancel(ctx), c.Now().Add(-30*aDay), cursor)
			if n > 2000 {
				err = fmt.Errorf("a step deleted %d events", n)
			}
			deleted += n
			steps++
			if cursor = next; done || err != nil {
				swept <- err
				return
			}
		}
	}()
	var waits []time.Duration
	for i := 0; ctx.Err() == nil; i++ {
		start := time.Now()
		ingest(t, s, item(ref, event(domain.KindStarted, fmt.Sprintf("new%d", i), c.Now())))
		waits = append(waits, time.Since(start))
	}
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	slices.Sort(waits)
	t.Logf("%d events in %d steps, %v; %d commits meanwhile, median %v, worst %v", deleted, steps, took, len(waits),
		waits[len(waits)/2], waits[len(waits)-1])
	if deleted != before {
		t.Errorf("deleted %d of %d", deleted, before)
	}
	if worst := waits[len(waits)-1]; worst > time.Second {
		t.Errorf("a commit waited %v", worst)
	}
	if n := number(t, s, "SELECT count(*) FROM events"); n != int64(len(waits)) {
		t.Errorf("%d events left, want the %d new ones", n, len(waits))
	}
}

// Deletes of retention are bounded, take what is old and leave what is young or still open.
func TestExpire(t *testing.T) {
	t.Parallel()
	eachClocked(t, 0, func(t *testing.T, s *store.Store, c *movedClock) {
		ctx := t.Context()
		ref := storetest.Agent(t, s)
		user := uuid.New()
		exec := func(query string, rows ...[]any) {
			t.Helper()
			if err := s.ExecForTest(ctx, query, rows...); err != nil {
				t.Fatal(err)
			}
		}
		now := c.Now()
		exec("INSERT INTO users (id, email, password_hash, created_at, updated_at) VALUES ($1, 'a@example.com', 'x', $2, $2)", []any{user, now})
		for i := range 10 {
			// Five of each are older than the limit, which is a day.
			at := now.Add(-time.Duration(i*6-3) * time.Hour)
			exec("INSERT INTO loose_events (uid, project_id, agent_id, engine_id, kind, occurred_at, payload) VALUES ($1, $2, $3, 1, 'worker.online', $4, '{}')",
				[]any{uuid.New(), ref.ProjectID, ref.ID, at})
			exec("INSERT INTO agent_status (agent_id, captured_at, payload) VALUES ($1, $2, '{}')", []any{ref.ID, at})
			exec("INSERT INTO longpoll_sessions (agent_id, nonce, last_seen_at, created_at) VALUES ($1, $2, $3, $3)", []any{ref.ID, fmt.Sprint(i), at})
			exec("INSERT INTO workers (uid, project_id, engine, name, state, last_heartbeat, created_at, updated_at) VALUES ($1, $2, 'rq', $3, 'offline', $4, $4, $4)",
				[]any{uuid.New(), ref.ProjectID, fmt.Sprint(i), at})
			exec("INSERT INTO queues (uid, project_id, engine, name, last_seen_at, created_at, updated_at) VALUES ($1, $2, 'rq', $3, $4, $4, $4)",
				[]any{uuid.New(), ref.ProjectID, fmt.Sprint(i), at})
			exec(`INSERT INTO sessions (id, user_id, token_hash, csrf_token, issued_at, expires_at, last_seen_at, ip_at_issue) VALUES ($1, $2, $3, 'c', $4, $4, $4, '::1')`,
				[]any{uuid.New(), user, fmt.Sprint(i), at})
			for _, status := range []string{"pending", "completed", "timeout"} {
				var done any
				if status != "pending" {
					done = at
				}
				exec(`INSERT INTO commands (id, project_id, agent_id, action, target_type, status, issued_at, completed_at, timeout_at, timeout_seconds)
					VALUES ($1, $2, $3, 'retry_task', 'task', $4, $5, $6, $5, 60)`, []any{uuid.New(), ref.ProjectID, ref.ID, status, at, done})
			}
		}
		before := now.Add(-aDay)
		for _, tc := range []struct {
			table string
			del   func(context.Context, time.Time, int64) (int64, error)
			gone  int64
		}{
			{"loose_events", s.ExpireLooseEvents, 5},
			{"agent_status", s.ExpireAgentStatus, 5},
			{"longpoll_sessions", s.ExpireLongPoll, 5},
			{"workers", s.ExpireWorkers, 5},
			{"queues", s.ExpireQueues, 5},
			{"sessions", s.ExpireSessions, 5},
			{"commands", s.ExpireCommands, 10},
		} {
			all := number(t, s, "SELECT count(*) FROM "+tc.table)
			var steps []int64
			for n := int64(1); n > 0; {
				var err error
				if n, err = tc.del(ctx, before, 3); err != nil {
					t.Fatal(err)
				}
				steps = append(steps, n)
			}
			if left := number(t, s, "SELECT count(*) FROM "+tc.table); all-left != tc.gone || slices.Max(steps) != 3 {
				t.Errorf("%s: %d of %d rows went, in steps of %v; want %d", tc.table, all-left, all, steps, tc.gone)
			}
		}
		if n := number(t, s, "SELECT count(*) FROM commands WHERE status = 'pending'"); n != 10 {
			t.Errorf("%d open commands left", n)
		}
		exec("INSERT INTO setup_token (singleton, token_hash, expires_at, created_at) VALUES (1, 'h', $1, $1)", []any{now})
		if n, err := s.ExpireSetupToken(ctx, now); n != 0 || err != nil {
			t.Errorf("a setup token went too early: %d, %v", n, err)
		}
		if n, err := s.ExpireSetupToken(ctx, now.Add(time.Second)); n != 1 || err != nil {
			t.Errorf("an old setup token stays: %d, %v", n, err)
		}
	})
}

func TestMarkStaleWorkers(t *testing.T) {
	t.Parallel()
	eachClocked(t, 0, func(t *testing.T, s *store.Store, c *movedClock) {
		online, offline := storetest.Agent(t, s), storetest.Agent(t, s)
		now := c.Now()
		if err := s.ExecForTest(t.Context(), "UPDATE agents SET state = CASE WHEN id = $1 THEN 'online' ELSE 'offline' END", []any{online.ID}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, w := range []struct {
			name, state, metadata, want string
			agent                       any
			silent                      time.Duration
		}{
			{"fresh", "online", "{}", "online", offline.ID, time.Minute},
			{"silent, agent away", "online", "{}", "offline", offline.ID, 4 * time.Minute},
			{"silent, agent there, no details", "online", "{}", "online", online.ID, 4 * time.Minute},
			{"silent for long, agent there, no details", "online", "{}", "unknown", online.ID, 25 * time.Hour},
			{"details, silent", "online", `{"stats":{}}`, "offline", online.ID, 4 * time.Minute},
			{"details, fresh", "online", `{"stats":{}}`, "online", online.ID, 2 * time.Minute},
			{"draining", "draining", "{}", "offline", offline.ID, 4 * time.Minute},
			{"no agent", "online", "{}", "offline", nil, 4 * time.Minute},
			{"unknown", "unknown", "{}", "unknown", nil, 4 * time.Minute},
		} {
			want[w.name] = w.want
			err := s.ExecForTest(t.Context(), `INSERT INTO workers (uid, project_id, engine, name, state, last_heartbeat, metadata, agent_id, created_at, updated_at)
				VALUES ($1, $2, 'celery', $3, $4, $5, $6, $7, $5, $5)`, []any{uuid.New(), online.ProjectID, w.name, w.state, now.Add(-w.silent), w.metadata, w.agent})
			if err != nil {
				t.Fatal(err)
			}
		}
		n, err := s.MarkStaleWorkers(t.Context(), now.Add(-150*time.Second), now.Add(-aDay))
		if err != nil || n != 5 {
			t.Errorf("%d changed, %v", n, err)
		}
		workers, err := s.Workers(t.Context(), online.ProjectID, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range workers {
			if w.State != want[w.Name] {
				t.Errorf("%s: %s, want %s", w.Name, w.State, want[w.Name])
			}
		}
	})
}

// PostgreSQL drops whole days, waits for nobody, and keeps the default partition empty.
func TestPartitions(t *testing.T) {
	t.Parallel()
	var url string
	c := newMovedClock()
	s := storetest.Postgres(t, func(o *store.Options) { url = o.URL }, func(o *store.Options) { o.Now, o.EventRetention = c.Now, 5*aDay })
	ref := storetest.Agent(t, s)
	for i := range 8 {
		ingest(t, s, item(ref, event(domain.KindStarted, fmt.Sprintf("t%d", i), c.Now())))
		c.add(aDay)
	}
	partitions := func() (names []string) {
		t.Helper()
		err := s.Read(t.Context(), "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = 'events'::regclass ORDER BY 1",
			nil, func(scan func(...any) error) error {
				var name string
				err := scan(&name)
				names = append(names, name)
				return err
			})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := partitions(); len(names) != 9 {
		t.Fatalf("partitions %v", names)
	}
	before := c.Now().Add(-5 * aDay)

	// Somebody reads the table for long: the drop gives up soon, and says so.
	storetest.Holding(t, url, "LOCK TABLE events IN ACCESS SHARE MODE", func() {
		begin := time.Now()
		if _, err := s.DropEvents(t.Context(), before); !errors.Is(err, domain.ErrTransient) {
			t.Errorf("dropped under a reader: %v", err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("waited %v for a lock", took)
		}
	})
	if _, err := s.DropEvents(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	want := []string{"events_2026_03_04", "events_2026_03_05", "events_2026_03_06", "events_2026_03_07", "events_2026_03_08", "events_default"}
	if names := partitions(); !slices.Equal(names, want) {
		t.Errorf("partitions %v, want %v", names, want)
	}

	// An event of a dropped day changes its task, and makes no partition.
	late := item(ref, event(domain.KindSucceeded, "t0", c.Now().Add(-7*aDay)))
	ingest(t, s, late)
	if late.Accepted != 1 || !slices.Equal(partitions(), want) {
		t.Errorf("a late event: accepted %d, partitions %v", late.Accepted, partitions())
	}

	// Rows that fell into the default partition come where they belong.
	for _, d := range []time.Duration{-20 * aDay, -4 * aDay, 3 * aDay} {
		err := s.ExecForTest(t.Context(), "INSERT INTO events_default (task_id, kind, at, at_us, agent_id, stripped, payload) VALUES (1, 1, $1, 0, 1, 0, '{}')",
			[]any{c.Now().Add(d)})
		if d == -4*aDay {
			if err == nil {
				t.Error("the default partition took a row that has a partition of its own")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, "SELECT count(*) FROM events_default"); n != 0 {
		t.Errorf("%d rows in the default partition", n)
	}
	if n := number(t, s, "SELECT count(*) FROM events WHERE task_id = 1 AND at > $1", c.Now()); n != 1 {
		t.Errorf("%d rows were moved to their day", n)
	}
	if _, err := s.DropEvents(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, "SELECT count(*) FROM events WHERE at < $1", before.Truncate(aDay)); n != 0 {
		t.Errorf("%d old events left", n)
	}
	ingest(t, s, item(ref, event(domain.KindStarted, "t99", c.Now().Add(30*time.Second))))
}

// TestDropBesideWriters drops old days while others write: no writer fails, and every drop succeeds in the end.
func TestDropBesideWriters(t *testing.T) {
	t.Parallel()
	c := newMovedClock()
	s := storetest.Postgres(t, func(o *store.Options) { o.Now = c.Now })
	ref := storetest.Agent(t, s)
	for i := range 10 {
		ingest(t, s, item(ref, event(domain.KindStarted, fmt.Sprintf("old%d", i), c.Now())))
		c.add(aDay)
	}
	if n, err := s.StrayDays(t.Context()); n != 0 || err != nil {
		t.Errorf("%d days in the default partition, %v", n, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var written atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := s.Ingest(context.WithoutCancel(ctx), []*store.IngestItem{item(ref, event(domain.KindStarted, fmt.Sprintf("new-%d-%d", w, i), c.Now()))})
				if err != nil {
					t.Errorf("a writer beside the drop: %v", err)
					return
				}
				written.Add(1)
			}
		})
	}
	before := c.Now().Add(-aDay / 2)
	tries, dropped := 0, false
	for deadline := time.Now().Add(30 * time.Second); !dropped && time.Now().Before(deadline); tries++ {
		_, err := s.DropEvents(t.Context(), before)
		if err != nil && !errors.Is(err, domain.ErrTransient) {
			t.Fatal(err)
		}
		dropped = err == nil
	}
	atDrop := written.Load()
	for end := time.Now().Add(10 * time.Second); written.Load() < atDrop+20 && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	stop()
	wg.Wait()
	t.Logf("%d events were written; the days went at try %d", written.Load(), tries)
	if n := number(t, s, "SELECT count(*) FROM events"); !dropped || written.Load() < 20 || n != written.Load() {
		t.Errorf("dropped %t, %d events left, want the %d new ones", dropped, n, written.Load())
	}
}
