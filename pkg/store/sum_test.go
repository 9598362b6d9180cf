// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/sketch"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func sumAll(t *testing.T, s *store.Store) (made int64) {
	t.Helper()
	for n := int64(1); n > 0; made += n {
		var err error
		if n, err = s.SumRollups(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

func sums(t *testing.T, s *store.Store, q store.SumQuery) map[store.SumKey]*store.Sum {
	t.Helper()
	m, err := s.Sums(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What tasks wait for is counted from when they were due, by the minute in which they started.
func TestWaitAndTotal(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		base := base.Truncate(time.Hour)
		eta := base.Add(10 * time.Minute)
		ms := int64(700)
		with := func(e *store.IngestEvent) { e.RuntimeMS = &ms }
		ingest(t, s, item(ref,
			event(domain.KindReceived, "plain", base),
			event(domain.KindStarted, "plain", base.Add(2*time.Second)),
			event(domain.KindSucceeded, "plain", base.Add(3*time.Second), with),
			// Planned for later: it waited 40 seconds, not 10 minutes and 40.
			event(domain.KindReceived, "planned", base, func(e *store.IngestEvent) { e.ETA = &eta }),
			event(domain.KindStarted, "planned", eta.Add(40*time.Second)),
			event(domain.KindFailed, "planned", eta.Add(50*time.Second), with),
			// No reception, so no wait.
			event(domain.KindStarted, "unknown", base.Add(time.Second)),
		))
		fold(t, s)
		all := sums(t, s, store.SumQuery{ProjectID: ref.ProjectID, From: base.Add(-time.Hour), To: base.Add(time.Hour)})[store.SumKey{}]
		if all == nil || all.Started != 3 || all.Succeeded != 1 || all.Failed != 1 || all.FailureRate() != 0.5 {
			t.Fatalf("%v", all)
		}
		near := func(what string, l *store.Latency, n int64, low, high float64) {
			t.Helper()
			if l == nil || l.N != n || l.P50 < low*0.99 || l.P50 > low*1.01 || l.P99 < high*0.99 || l.P99 > high*1.01 {
				t.Errorf("%s: %+v, want %d between %v and %v", what, l, n, low, high)
			}
		}
		near("run", all.Run(), 2, 700, 700)
		near("wait", all.Wait(), 2, 2000, 40_000)
		near("total", all.Total(), 2, 3000, 50_000)
		minute := sums(t, s, store.SumQuery{ProjectID: ref.ProjectID, From: eta, To: eta.Add(time.Minute), Bucket: time.Minute})
		if w := minute[store.SumKey{At: eta}]; w == nil || w.Wait() == nil || w.Wait().N != 1 {
			t.Errorf("the minute of the start: %v", minute)
		}
		// Received again for another try: the wait that began anew replaces the first.
		ingest(t, s, item(ref, event(domain.KindRetried, "unknown", base.Add(20*time.Minute)),
			event(domain.KindReceived, "unknown", base.Add(20*time.Minute)), event(domain.KindStarted, "unknown", base.Add(21*time.Minute))))
		fold(t, s)
		storetest.CompareCounters(t, s)
		all = sums(t, s, store.SumQuery{ProjectID: ref.ProjectID, From: base.Add(-time.Hour), To: base.Add(time.Hour)})[store.SumKey{}]
		near("wait after a retry", all.Wait(), 3, 40_000, 60_000)
	})
}

// In a database that existed before waits were counted, those of before stay out, also when their tasks change.
func TestWaitsOfBefore(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		mark := base.Add(time.Minute)
		if err := s.SetMeta(t.Context(), "latency_since", fmt.Sprint(mark.UnixMicro())); err != nil {
			t.Fatal(err)
		}
		ingest(t, s, item(ref, event(domain.KindReceived, "old", base), event(domain.KindStarted, "old", base.Add(30*time.Second)),
			event(domain.KindReceived, "new", base), event(domain.KindStarted, "new", base.Add(2*time.Minute))))
		ingest(t, s, item(ref, event(domain.KindSucceeded, "old", base.Add(50*time.Second)), event(domain.KindSucceeded, "new", base.Add(3*time.Minute))))
		fold(t, s)
		storetest.CompareCounters(t, s)
		all := sums(t, s, store.SumQuery{ProjectID: ref.ProjectID, From: base.Add(-time.Hour), To: base.Add(time.Hour)})[store.SumKey{}]
		if all.Wait() == nil || all.Wait().N != 1 || all.Total() == nil || all.Total().N != 1 || all.Run().N != 2 {
			t.Errorf("wait %+v, total %+v, run %+v", all.Wait(), all.Total(), all.Run())
		}
	})
}

// Whatever a window reads from, it counts what its roll-ups say: before sums are made, with all of them there, after late
// changes and after compaction.
func TestSumsEqualRollups(t *testing.T) {
	t.Parallel()
	x := expiry{minutes: 2 * aDay, hours: 5 * aDay}
	eachClocked(t, 0, func(t *testing.T, s *store.Store, c *movedClock) {
		ref := storetest.Agent(t, s)
		r := rand.New(rand.NewPCG(5, 11)) //nolint:gosec // a reproducible history
		kinds := []domain.EventKind{domain.KindReceived, domain.KindStarted, domain.KindSucceeded, domain.KindFailed, domain.KindRevoked}
		add := func(n int, span time.Duration) {
			var events []store.IngestEvent
			for range n {
				events = append(events, event(kinds[r.IntN(len(kinds))], fmt.Sprintf("t%d", r.IntN(300)), c.Now().Add(-time.Duration(r.IntN(int(span)))),
					func(e *store.IngestEvent) {
						e.TaskName = []string{"a", "b", "c"}[r.IntN(3)]
						e.Queue = []string{"q", "p", ""}[r.IntN(3)]
					}))
			}
			ingest(t, s, item(ref, events...))
			fold(t, s)
		}
		check := func(when string) {
			t.Helper()
			for range 40 {
				to := c.Now().Add(-time.Duration(r.IntN(int(6 * aDay)))).Truncate(time.Minute)
				from := to.Add(-time.Duration(r.IntN(int(3 * aDay)))).Truncate(time.Minute)
				q := store.SumQuery{ProjectID: ref.ProjectID, From: from, To: to, By: store.Dim(r.IntN(3))}
				if r.IntN(2) == 0 {
					q.Bucket = []time.Duration{time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, aDay}[r.IntN(5)]
				}
				for narrow, text := range map[**int64]string{&q.Name: "a", &q.Queue: "p"} {
					if r.IntN(3) == 0 {
						if id, ok, err := s.NameID(t.Context(), text); err != nil || !ok {
							t.Fatal(err)
						} else {
							*narrow = &id
						}
					}
				}
				want, got := plainSums(t, s, q), map[string]string{}
				for k, v := range sums(t, s, q) {
					l := int64(0)
					if v.Run() != nil {
						l = v.Run().N
					}
					if text := fmt.Sprintf("%s, ran %d", v, l); text != "received 0, started 0, succeeded 0, failed 0, retried 0, revoked 0, ran 0" {
						got[fmt.Sprint(k.At.Unix(), k.Key)] = text
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("%s: %+v\n got %v\nwant %v", when, q, got, want)
				}
			}
		}
		add(600, 8*aDay)
		check("without sums")
		if sumAll(t, s) == 0 {
			t.Fatal("no sums were made")
		}
		check("with sums")
		storetest.CompareCounters(t, s)
		add(40, 8*aDay)
		check("after late changes")
		for n := int64(1); n > 0; {
			var err error
			if n, err = s.CompactRollups(t.Context(), store.RollupMinute, store.RollupHour, c.Now().Add(-x.minutes), 50); err != nil {
				t.Fatal(err)
			}
		}
		check("compacted")
		sumAll(t, s)
		check("compacted, with sums")
		if n := number(t, s, "SELECT count(*) FROM rollup_stale WHERE at <= $1", c.Now().Add(-aDay)); n != 0 {
			t.Errorf("%d buckets of before yesterday still wait", n)
		}
		storetest.CompareCounters(t, s)
	}, x.keeps)
}

// plainSums reads every roll-up of a window, one by one.
func plainSums(t *testing.T, s *store.Store, q store.SumQuery) map[string]string {
	t.Helper()
	type val struct {
		kinds [7]int64
		ran   int64
	}
	vals := map[string]val{}
	err := s.Read(t.Context(), "SELECT res, at, name_id, queue_id, kind, n, runtime_n FROM rollups WHERE project_id = $1", []any{q.ProjectID}, func(scan func(...any) error) error {
		var res, name, queue, kind, n, ran int64
		var at time.Time
		if err := scan(&res, &at, &name, &queue, &kind, &n, &ran); err != nil {
			return err
		}
		width := time.Duration(res) * time.Minute
		if !at.Before(q.To) || at.Before(q.From.Truncate(width)) || q.Name != nil && *q.Name != name || q.Queue != nil && *q.Queue != queue {
			return nil
		}
		key := [...]int64{0, name, queue}[q.By]
		bucket := time.Time{}
		if q.Bucket > 0 {
			bucket = at.Truncate(q.Bucket)
		}
		k := fmt.Sprint(bucket.Unix(), key)
		v := vals[k]
		v.kinds[kind] += n
		if kind <= 2 {
			v.ran += ran
		}
		vals[k] = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range vals {
		if v.kinds != [7]int64{} || v.ran != 0 {
			out[k] = fmt.Sprintf("received %d, started %d, succeeded %d, failed %d, retried %d, revoked %d, ran %d", v.kinds[4], v.kinds[5], v.kinds[1], v.kinds[2], v.kinds[6], v.kinds[3], v.ran)
		}
	}
	return out
}

// A week of fifty task names on ten queues is read from few rows, each range by the primary key.
func TestSumsOfALongWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 34, 56, 0, time.UTC)
	for name, open := range map[string]func(testing.TB, ...func(*store.Options)) *store.Store{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, func(o *store.Options) { o.Now = func() time.Time { return now } })
			p := makeProject(t, s, "shop")
			seedSpans(t, s, p.ID, now, 50, 10)
			if err := s.ExecForTest(t.Context(), "ANALYZE", nil); err != nil {
				t.Fatal(err)
			}
			plans := s.PlansForTest()
			for _, q := range []store.SumQuery{{}, {By: store.ByName}, {By: store.ByQueue}, {Bucket: 2 * time.Hour}} {
				q.ProjectID, q.From, q.To = p.ID, now.Add(-7*aDay), now
				begin := time.Now()
				m := sums(t, s, q)
				took := time.Since(begin)
				plan := plans.Take()
				for line := range strings.Lines(plan) {
					if strings.Contains(line, "SCAN") || strings.Contains(line, "Seq Scan on rollups") || strings.Contains(line, "Seq Scan on rollup_spans") || strings.Contains(line, "B-TREE") {
						t.Errorf("%+v: plan\n%s", q, plan)
						break
					}
				}
				begin = time.Now()
				sums(t, s, q)
				plans.Take()
				t.Logf("by %d, bucket %v: %d sums, first %v, then %v", q.By, q.Bucket, len(m), took, time.Since(begin))
			}
		})
	}
}

// seedSpans writes the sums of a week and the roll-ups of the last minutes.
func seedSpans(t *testing.T, s *store.Store, project int64, now time.Time, names, queues int) {
	t.Helper()
	var ids []string
	for i := range names + queues {
		ids = append(ids, fmt.Sprintf("name%d", i))
	}
	keys, err := s.InternForTest(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 11)) //nolint:gosec // a reproducible history
	blob := func(lanes int) []byte {
		var k sketch.Sketch
		for range 40 {
			for l := range lanes {
				k.AddTo(sketch.Lane(l), int64(r.IntN(3000)), 1) //nolint:gosec // small
			}
		}
		return k.Append([]byte{})
	}
	var spans, base [][]any
	for res, from := range map[int64]time.Duration{10: 4 * aDay, 60: 8 * aDay, 1440: 9 * aDay} {
		width := time.Duration(res) * time.Minute
		for at := now.Add(-from).Truncate(width); !at.Add(width).After(now); at = at.Add(width) {
			if res == 10 && at.Before(now.Add(-3*time.Hour)) && at.After(now.Add(-4*aDay).Add(3*time.Hour)) {
				continue // nobody asks for these here
			}
			spans = append(spans, []any{project, res, 0, at, int64(0), blob(3)})
			for i, k := range keys {
				dim := 1
				if i >= names {
					dim = 2
				}
				spans = append(spans, []any{project, res, dim, at, k, blob(3)})
			}
		}
	}
	for at := now.Add(-30 * time.Minute).Truncate(time.Minute); at.Before(now); at = at.Add(time.Minute) {
		for i := range names {
			for kind := int64(1); kind <= 5; kind++ {
				base = append(base, []any{project, at, keys[i], keys[names+i%queues], kind, blob([]int{0, 2, 2, 0, 0, 1}[kind])})
			}
		}
	}
	if err := s.ExecForTest(t.Context(), `INSERT INTO rollup_spans (project_id, res, dim, at, key_id, sub_id, received, started, succeeded, failed, retried, revoked, durations)
		VALUES ($1, $2, $3, $4, $5, 0, 60, 60, 58, 2, 1, 0, $6)`, spans...); err != nil {
		t.Fatal(err)
	}
	if err := s.ExecForTest(t.Context(), `INSERT INTO rollups (project_id, res, at, name_id, queue_id, kind, n, runtime_n, runtime_ms, sketch)
		VALUES ($1, 1, $2, $3, $4, $5, 10, 10, 5000, $6)`, base...); err != nil {
		t.Fatal(err)
	}
	for at := now.Add(-30 * time.Minute).Truncate(10 * time.Minute).Add(10 * time.Minute); at.Before(now); at = at.Add(10 * time.Minute) {
		if at.Add(10 * time.Minute).After(now) {
			if err := s.ExecForTest(t.Context(), "INSERT INTO rollup_stale (project_id, res, at, changes) VALUES ($1, 10, $2, 1)", []any{project, at}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// However many tasks failed alike, an issue's page looks at a bounded range of their index.
func TestIssueReads(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		var events []store.IngestEvent
		for i := range 30 {
			events = append(events, event(domain.KindFailed, fmt.Sprintf("t%d", i), base.Add(time.Duration(i)*time.Minute), func(e *store.IngestEvent) {
				e.Queue = []string{"mail", "bulk", "mail"}[i%3]
			}))
		}
		ingest(t, s, item(ref, events...))
		fold(t, s)
		issues, err := s.ListIssues(t.Context(), store.IssueFilter{ProjectID: ref.ProjectID, Limit: 10})
		if err != nil || len(issues) != 1 {
			t.Fatal(issues, err)
		}
		print := issues[0].Fingerprint
		if err := s.ExecForTest(t.Context(), "ANALYZE tasks", nil); err != nil {
			t.Fatal(err)
		}
		plans := s.PlansForTest()
		o, err := s.IssueOccurrences(t.Context(), ref.ProjectID, print, base, base.Add(40*time.Minute), 4, 100)
		if err != nil || fmt.Sprint(o.Buckets) != "[10 10 10 0]" || o.N != 30 || o.Capped {
			t.Errorf("occurrences %+v, %v", o, err)
		}
		if o, err = s.IssueOccurrences(t.Context(), ref.ProjectID, print, base, base.Add(40*time.Minute), 4, 15); err != nil || fmt.Sprint(o.Buckets) != "[0 5 10 0]" || !o.Capped {
			t.Errorf("capped occurrences %+v, %v", o, err)
		}
		a, err := s.IssueAffected(t.Context(), ref.ProjectID, print, base.Add(time.Hour), 12)
		if err != nil || a.N != 12 || fmt.Sprint(a.Queues) != "[{mail 8} {bulk 4}]" || fmt.Sprint(a.Names) != "[{shop.pay 12}]" {
			t.Errorf("affected %+v, %v", a, err)
		}
		tasks, err := s.IssueTasks(t.Context(), ref.ProjectID, print, base.Add(10*time.Minute), 2)
		if err != nil || len(tasks) != 2 || tasks[0].TaskID != "t9" || tasks[1].TaskID != "t8" {
			t.Errorf("tasks %+v, %v", tasks, err)
		}
		plan := plans.Take()
		if s.Engine() == "sqlite" && strings.Count(plan, "INDEX tasks_fingerprint (project_id=? AND fingerprint=? AND last_failed_at") != 4 {
			t.Errorf("plans\n%s", plan)
		}
		if strings.Contains(plan, "tasks_failed") {
			t.Errorf("the failures of all groups are looked through:\n%s", plan)
		}
	})
}
