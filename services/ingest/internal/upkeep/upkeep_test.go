// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/ingest/internal/upkeep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second
	aDay     = 24 * time.Hour
)

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// clock is moved by the test.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time      { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.at.Add(d.Microseconds()) }

// metrics reads a registry by "name{label}".
func metrics(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "z4j_ingest_")
			if labels := m.GetLabel(); len(labels) > 0 {
				name += "{" + labels[0].GetValue() + "}"
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

// runner is one candidate.
type runner struct {
	reg  *prometheus.Registry
	stop func()
}

func run(t *testing.T, s upkeep.Store, cfg upkeep.Config, now func() time.Time) *runner {
	t.Helper()
	r := &runner{reg: prometheus.NewRegistry()}
	m, err := upkeep.NewMetrics(r.reg)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Owner == "" {
		cfg.Owner = uuid.NewString()
	}
	u := upkeep.New(cfg, upkeep.Deps{Store: s, Metrics: m, Logger: slog.New(slog.DiscardHandler), Now: now})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("upkeep: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func event(kind domain.EventKind, task string, at time.Time) store.IngestEvent {
	return store.IngestEvent{
		ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: task, At: at,
		TaskName: "shop.pay", Queue: "mail", Worker: "w1@host", Rest: []byte(`{}`),
	}
}

func number(t *testing.T, s *store.Store, query string, args ...any) (n int64) {
	t.Helper()
	if err := s.Read(t.Context(), query, args, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is old goes, what is young stays, counters are folded and compacted, and the metrics tell of it.
func TestUpkeepKeepsTheLimits(t *testing.T) {
	t.Parallel()
	retention := config.Retention{EventDays: 5, TaskDays: 10, CommandDays: 10, RollupDays: 60, SessionDays: 7, WorkerDays: 20}
	for name, open := range map[string]func(testing.TB, ...func(*store.Options)) *store.Store{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			s := open(t, func(o *store.Options) { o.Now, o.EventRetention = c.now, retention.Events() })
			ref := storetest.Agent(t, s)
			feed := func(prefix string) {
				t.Helper()
				var events []store.IngestEvent
				for i := range 40 {
					at := c.now().Add(-time.Duration(i) * time.Minute)
					id := fmt.Sprintf("%s%d", prefix, i)
					events = append(events, event(domain.KindStarted, id, at), event(domain.KindSucceeded, id, at.Add(time.Second)),
						store.IngestEvent{ID: uuid.NewString(), KindName: "worker.online", Engine: "celery", At: at, Rest: []byte(`{}`)})
				}
				items := []*store.IngestItem{{Agent: ref, WorkerID: "w", At: c.now(), Events: events, Status: []byte(`{}`)}}
				if err := s.Ingest(t.Context(), items); err != nil {
					t.Fatal(err)
				}
			}
			feed("old")
			r := run(t, s, upkeep.Config{Retention: retention, Tick: 5 * time.Millisecond, Lease: 10 * time.Minute}, c.now)
			eventually(t, "counters are folded", func() bool {
				diff, err := s.CheckCounters(t.Context(), store.CountWindow{})
				return err == nil && len(diff) == 0
			})
			c.add(7 * aDay)
			feed("young")
			eventually(t, "old events are gone", func() bool {
				return number(t, s, "SELECT count(*) FROM events") == 80 && number(t, s, "SELECT count(*) FROM loose_events") == 40 &&
					number(t, s, "SELECT count(*) FROM agent_status") == 1
			})
			eventually(t, "old minutes are hours", func() bool {
				// What one job misses because another has it in hand, its next turn finds.
				c.add(10 * time.Minute)
				return number(t, s, "SELECT count(*) FROM rollups WHERE res = 60") > 0 &&
					number(t, s, "SELECT count(*) FROM rollups WHERE res = 1 AND at < $1", c.now().Add(-5*aDay)) == 0
			})
			if n := number(t, s, "SELECT count(*) FROM tasks"); n != 80 {
				t.Errorf("%d tasks, none is old", n)
			}
			c.add(4 * aDay)
			eventually(t, "old tasks are gone", func() bool { return number(t, s, "SELECT count(*) FROM tasks") == 40 })
			totals, err := s.RollupTotals(t.Context(), ref.ProjectID, c.now().Add(-30*aDay))
			if err != nil || totals[domain.RollupSuccess] != 80 {
				t.Errorf("statistics must outlive the tasks: %v, %v", totals, err)
			}
			c.add(80 * aDay)
			eventually(t, "everything is gone", func() bool {
				// Here too.
				c.add(10 * time.Minute)
				for _, table := range []string{"tasks", "events", "loose_events", "rollups", "agent_status", "workers", "queues", "issues"} {
					if number(t, s, "SELECT count(*) FROM "+table) != 0 {
						return false
					}
				}
				return true
			})
			eventually(t, "the metrics tell of it", func() bool {
				m := metrics(t, r.reg)
				for name, least := range map[string]float64{
					"retention_deleted_total{tasks}": 80, "retention_deleted_total{loose_events}": 80, "retention_deleted_total{rollups}": 1,
					"retention_deleted_total{workers}": 1, "rollups_compacted_total": 1, "upkeep_lease_held": 1,
					"upkeep_last_run_timestamp_seconds{compact}": float64(c.now().Add(-aDay).Unix()),
				} {
					if m[name] < least {
						return false
					}
				}
				return m["upkeep_errors_total{tasks}"] == 0
			})
			r.stop()
			if metrics(t, r.reg)["upkeep_lease_held"] != 0 {
				t.Error("the lease still counts as held")
			}
			if _, ok, err := s.TakeLease(t.Context(), "upkeep", "next", time.Minute); err != nil || !ok {
				t.Errorf("the lease was not given back: %v, %v", ok, err)
			}
		})
	}
}

// spy stands before a store and watches who works.
type spy struct {
	*store.Store
	owner string
	// working is shared by all spies of a store: how many replicas have a job under way.
	working *atomic.Int64
	overlap *atomic.Int64
	runs    atomic.Int64
	// cut makes the database unreachable for the lease, fail and crash the job named maintain.
	cut, fail, crash atomic.Bool
}

func (s *spy) TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (int64, bool, error) {
	if s.cut.Load() {
		return 0, false, errors.New("connection refused")
	}
	return s.Store.TakeLease(ctx, name, holder, ttl)
}

// Maintain stands for a job that takes as long as it is let.
func (s *spy) Maintain(ctx context.Context) error {
	s.runs.Add(1)
	if s.fail.Load() {
		return errors.New("no space left")
	}
	if s.crash.Load() {
		panic("a bug")
	}
	if s.working.Add(1) > 1 {
		s.overlap.Add(1)
	}
	defer s.working.Add(-1)
	<-ctx.Done()
	return ctx.Err()
}

// One replica works at a time; when it is cut off from the database it stops before another begins.
func TestOneHolderAtATime(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var working, overlap atomic.Int64
		var spies []*spy
		var runners []*runner
		for i := range 3 {
			p := &spy{Store: s, owner: fmt.Sprint(i), working: &working, overlap: &overlap}
			spies = append(spies, p)
			runners = append(runners, run(t, p, upkeep.Config{Owner: p.owner, Lease: 600 * time.Millisecond, Tick: 5 * time.Millisecond}, nil))
		}
		holder := func() int {
			for i, p := range spies {
				if p.runs.Load() > 0 && working.Load() == 1 {
					return i
				}
			}
			return -1
		}
		eventually(t, "somebody works", func() bool { return holder() >= 0 })
		first := holder()
		spies[first].cut.Store(true)
		second := -1
		eventually(t, "another goes on", func() bool {
			for i, p := range spies {
				if i != first && p.runs.Load() > 0 {
					second = i
				}
			}
			return second >= 0
		})
		// The end of a process gives the lease back.
		runners[second].stop()
		third := 3 - first - second
		eventually(t, "the last goes on", func() bool { return spies[third].runs.Load() > 0 })
		if n := overlap.Load(); n != 0 {
			t.Errorf("two replicas worked at once, %d times", n)
		}
	})
}

// A holder that died without a word is followed when its lease has run out, not before.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t)
	const lease = 500 * time.Millisecond
	begin := time.Now()
	if _, ok, err := s.TakeLease(t.Context(), "upkeep", "dead", lease); err != nil || !ok {
		t.Fatal(ok, err)
	}
	var working, overlap atomic.Int64
	p := &spy{Store: s, working: &working, overlap: &overlap}
	run(t, p, upkeep.Config{Lease: 300 * time.Millisecond, Tick: 5 * time.Millisecond}, nil)
	eventually(t, "the next holder works", func() bool { return p.runs.Load() > 0 })
	if d := time.Since(begin); d < lease {
		t.Errorf("took the lease of another after %v", d)
	}
}

// A job that fails or crashes is tried again, and the others run on.
func TestFailuresStayApart(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := storetest.SQLite(t, func(o *store.Options) { o.Now = c.now })
	var working, overlap atomic.Int64
	p := &spy{Store: s, working: &working, overlap: &overlap}
	p.fail.Store(true)
	r := run(t, p, upkeep.Config{Lease: time.Hour, Tick: 5 * time.Millisecond, Retention: config.Retention{EventDays: 1, SessionDays: 1}}, c.now)
	eventually(t, "the job failed, the others ran", func() bool {
		m := metrics(t, r.reg)
		return m["upkeep_errors_total{maintain}"] == 1 && m["upkeep_last_run_timestamp_seconds{events}"] > 0 &&
			m["upkeep_last_run_timestamp_seconds{sessions}"] > 0 && m["upkeep_last_run_timestamp_seconds{maintain}"] == 0
	})
	p.fail.Store(false)
	p.crash.Store(true)
	c.add(31 * time.Second)
	eventually(t, "it was tried again and crashed", func() bool { return metrics(t, r.reg)["upkeep_errors_total{maintain}"] == 2 })
	p.crash.Store(false)
	c.add(31 * time.Second)
	eventually(t, "it was tried once more", func() bool { return working.Load() == 1 })
	for _, name := range []string{"tasks", "commands", "rollups", "workers"} {
		if _, there := metrics(t, r.reg)["upkeep_last_run_timestamp_seconds{"+name+"}"]; there {
			t.Errorf("%s are kept for ever, but their job ran", name)
		}
	}
}

// walker counts the steps of the walk through events and can be made to fail.
type walker struct {
	*store.Store
	steps  atomic.Int64
	failAt int64
}

func (w *walker) SweepEvents(ctx context.Context, before time.Time, after store.EventCursor) (int64, store.EventCursor, bool, error) {
	if n := w.steps.Add(1); w.failAt > 0 && n >= w.failAt {
		return 0, after, false, errors.New("disk on fire")
	}
	return w.Store.SweepEvents(ctx, before, after)
}

// The walk through events goes on where it was after a restart, and is not begun again within a day.
func TestWalkResumes(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := storetest.SQLite(t, func(o *store.Options) { o.Now = c.now })
	ref := storetest.Agent(t, s)
	const batches, size = 20, 1000
	for b := range batches {
		var events []store.IngestEvent
		for i := range size {
			events = append(events, event(domain.KindStarted, fmt.Sprintf("t%d", i%10), c.now().Add(time.Duration(b*size+i)*time.Second)))
		}
		if err := s.Ingest(t.Context(), []*store.IngestItem{{Agent: ref, WorkerID: "w", At: c.now(), Events: events}}); err != nil {
			t.Fatal(err)
		}
	}
	total := number(t, s, "SELECT count(*) FROM events")
	c.add(20 * aDay)
	cfg := upkeep.Config{Lease: time.Hour, Tick: 5 * time.Millisecond, Retention: config.Retention{EventDays: 5}}
	w := &walker{Store: s, failAt: 6}
	r := run(t, w, cfg, c.now)
	eventually(t, "the walk broke off", func() bool { return metrics(t, r.reg)["upkeep_errors_total{events}"] == 1 })
	r.stop()
	left := number(t, s, "SELECT count(*) FROM events")
	if left == 0 || left == total {
		t.Fatalf("%d of %d events left", left, total)
	}
	w = &walker{Store: s}
	r = run(t, w, cfg, c.now)
	eventually(t, "the walk ended", func() bool { return number(t, s, "SELECT count(*) FROM events") == 0 })
	eventually(t, "the walk is noted", func() bool { return metrics(t, r.reg)["upkeep_last_run_timestamp_seconds{events}"] > 0 })
	// It went on where it broke off: 20,000 events are 10 steps and one to see the end.
	if n := w.steps.Load(); n > 6 {
		t.Errorf("the second walk took %d steps", n)
	}
	steps := w.steps.Load()
	c.add(2 * time.Hour)
	eventually(t, "the job ran again", func() bool {
		return metrics(t, r.reg)["upkeep_last_run_timestamp_seconds{events}"] >= float64(c.now().Unix())
	})
	if n := w.steps.Load(); n != steps {
		t.Errorf("walked again after two hours: %d steps", n-steps)
	}
	c.add(aDay)
	eventually(t, "the next walk", func() bool { return w.steps.Load() > steps })
}
