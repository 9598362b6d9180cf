// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

// leaseName is the row of the lease.
const leaseName = "upkeep"

// Config tunes upkeep. Zero values take the defaults named.
type Config struct {
	// Owner names this replica.
	Owner string
	// Lease is how long the lease lasts unless renewed (30 s): after the death of its holder another replica goes
	// on within that time.
	Lease time.Duration
	// Retention says how long things are kept.
	Retention config.Retention
	// Tick is how often jobs look whether they are due (1 s), Retry how soon a failed job is tried again (30 s).
	Tick, Retry time.Duration
	// MinuteKeep and HourKeep are how long roll-ups are kept by the minute and by the hour (96 h, 30 days). The API
	// shows up to 72 hours in buckets shorter than an hour: they must still be there.
	MinuteKeep, HourKeep time.Duration
}

// Store is what upkeep needs of the database. Methods named Expire delete a bounded number of rows and return
// how many: they are repeated while they find something.
type Store interface {
	Engine() string
	Now() time.Time
	Meta(ctx context.Context, key string) (string, error)
	SetMeta(ctx context.Context, key, value string) error
	TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (generation int64, ok bool, err error)
	DropLease(ctx context.Context, name, holder string) error

	FoldDeltas(ctx context.Context, limit int64) (int64, error)
	Maintain(ctx context.Context) error
	StrayDays(ctx context.Context) (int, error)

	DropEvents(ctx context.Context, before time.Time) (int64, error)
	SweepEvents(ctx context.Context, before time.Time, after store.EventCursor) (n int64, next store.EventCursor, done bool, err error)
	ExpireLooseEvents(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireAgentStatus(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireTasks(ctx context.Context, before time.Time, after store.TaskMark, limit int64) (n int64, next store.TaskMark, done bool, err error)
	ExpireCommands(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireSessions(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireSetupToken(ctx context.Context, before time.Time) (int64, error)
	ExpireLongPoll(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireWorkers(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireQueues(ctx context.Context, before time.Time, limit int64) (int64, error)
	ExpireQueueDepths(ctx context.Context, res int64, before time.Time, limit int64) (int64, error)
	CompactRollups(ctx context.Context, res, into int64, before time.Time, limit int64) (int64, error)
	ExpireRollups(ctx context.Context, before time.Time) (int64, error)
	SumRollups(ctx context.Context) (int64, error)
	IndexTasks(ctx context.Context, limit int64, bulk bool) (int64, error)
	SearchState(ctx context.Context) (store.SearchState, error)
	ExpireSpans(ctx context.Context, before time.Time) (int64, error)
	ExpireTaskTotals(ctx context.Context, silentSince, unusedSince time.Time) (int64, error)

	MarkStaleWorkers(ctx context.Context, silentSince, doubtSince time.Time) (int64, error)
}

// Deps are upkeep's collaborators.
type Deps struct {
	Store   Store
	Metrics *Metrics
	Logger  *slog.Logger
	// Now is the clock that retention goes by; nil takes the store's.
	Now func() time.Time
	// Tracer makes a span of each run of a job; nil makes none.
	Tracer trace.Tracer
	// Ingested counts the events that this replica has taken in: while they are few, the search index does not hold back. nil
	// lets it always hold back.
	Ingested func() int64
}

// Upkeep is one replica's candidate for the lease.
type Upkeep struct {
	cfg  Config
	deps Deps
	jobs []job
	// until is when the lease ends unless renewed, in nanoseconds of the process's own clock, which leaps of the
	// system's clock do not touch; 0 without the lease.
	until atomic.Int64
	start time.Time
	// busy holds the job whose turn it is.
	busy chan struct{}
}

// job is a piece of work done every so often, in a goroutine of its own: none waits for the end of another.
type job struct {
	name  string
	every time.Duration
	run   func(ctx context.Context) error
}

// New returns a candidate; Run does its work.
func New(cfg Config, d Deps) *Upkeep {
	fill := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	fill(&cfg.Lease, 30*time.Second)
	fill(&cfg.Tick, time.Second)
	fill(&cfg.Retry, 30*time.Second)
	fill(&cfg.MinuteKeep, store.MinuteKeep)
	fill(&cfg.HourKeep, store.HourKeep)
	if d.Now == nil {
		d.Now = d.Store.Now
	}
	u := &Upkeep{cfg: cfg, deps: d, start: time.Now(), busy: make(chan struct{}, 1)}
	u.jobs = u.plan()
	return u
}

// Run does upkeep whenever this replica holds the lease, until ctx ends.
func (u *Upkeep) Run(ctx context.Context) error {
	retry := time.NewTicker(u.cfg.Lease / 3)
	defer retry.Stop()
	for {
		if u.renew(ctx) {
			u.lead(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
	}
}

func (u *Upkeep) elapsed() time.Duration { return time.Since(u.start) }

// renew takes or prolongs the lease and reports whether this replica has it. An error leaves open who does: what
// was promised before still holds.
func (u *Upkeep) renew(ctx context.Context) bool {
	asked := u.elapsed()
	_, ok, err := u.deps.Store.TakeLease(ctx, leaseName, u.cfg.Owner, u.cfg.Lease)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			u.deps.Logger.Warn("upkeep lease not renewed", "err", err)
		}
		return u.leads()
	case !ok:
		u.until.Store(0)
		return false
	}
	u.until.Store(int64(asked + u.cfg.Lease*4/5))
	return true
}

// leads reports whether the lease still holds. It gives up before others may take it.
func (u *Upkeep) leads() bool { return int64(u.elapsed()) < u.until.Load() }

// errLost ends a job whose replica is no longer the one to do it.
var errLost = errors.New("the lease of upkeep is lost")

// lead runs the jobs until ctx ends or the lease is lost; when it returns, none of them runs any more.
func (u *Upkeep) lead(ctx context.Context) {
	u.deps.Logger.Debug("upkeep lease taken", "owner", u.cfg.Owner)
	u.deps.Metrics.held.Set(1)
	inner, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, j := range u.jobs {
		wg.Go(func() { u.loop(inner, j) })
	}
	// The lease is watched more often than it is renewed, so that its end is seen in time.
	watch := time.NewTicker(u.cfg.Lease / 15)
	defer watch.Stop()
	next := u.elapsed() + u.cfg.Lease/3
	for u.leads() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-watch.C:
			if u.elapsed() >= next {
				next = u.elapsed() + u.cfg.Lease/3
				if !u.renew(ctx) {
					u.until.Store(0)
				}
			}
		}
	}
	stop()
	wg.Wait()
	u.deps.Metrics.held.Set(0)
	if u.leads() {
		// The end of this replica: the next one need not wait for the lease to run out.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := u.deps.Store.DropLease(end, leaseName, u.cfg.Owner); err != nil {
			u.deps.Logger.Debug("upkeep lease not given back", "err", err)
		}
	}
	u.until.Store(0)
}

// loop runs a job now and whenever it is due.
func (u *Upkeep) loop(ctx context.Context, j job) {
	tick := time.NewTicker(min(j.every/2, u.cfg.Tick))
	defer tick.Stop()
	var due time.Time
	for {
		if now := u.deps.Now(); !now.Before(due) {
			due = now.Add(j.every)
			if err := u.attempt(ctx, j); err != nil {
				due = now.Add(min(j.every, u.cfg.Retry))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// attempt runs a job once; an error is told and repeated later, and touches no other job.
func (u *Upkeep) attempt(ctx context.Context, j job) (err error) {
	tracer := u.deps.Tracer
	if j.every < time.Minute {
		tracer = nil // a job of every second has nothing to do as a rule; its spans would drown the others
	}
	ctx, span := obs.Start(ctx, tracer, "upkeep "+j.name)
	defer func() { obs.End(span, err) }()
	ctx = obs.WithoutChildren(ctx)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("upkeep job %s: %v", j.name, p)
			u.deps.Metrics.ran(j.name, u.deps.Now(), err)
			u.deps.Logger.ErrorContext(ctx, "upkeep job failed; it will be tried again", "job", j.name, "err", err)
		}
	}()
	err = j.run(ctx)
	if ctx.Err() != nil || errors.Is(err, errLost) {
		return err
	}
	u.deps.Metrics.ran(j.name, u.deps.Now(), err)
	if err != nil {
		u.deps.Logger.WarnContext(ctx, "upkeep job failed; it will be tried again", "job", j.name, "err", err)
	}
	return err
}

// Bounds of the pause between two steps.
const (
	minPause = 2 * time.Millisecond
	maxPause = 250 * time.Millisecond
)

// repeat runs step until it is done or the lease is lost. The jobs take turns, and each step is followed by a rest as
// long as it took, so that together they take at most half of the database's time whatever they have to catch up with.
func (u *Upkeep) repeat(ctx context.Context, step func(ctx context.Context) (done bool, err error)) error {
	for {
		done, err := u.turn(ctx, asLong, step)
		if done || err != nil {
			return err
		}
	}
}

// asLong is the usual rest after a step.
func asLong(took time.Duration) time.Duration { return min(max(took, minPause), maxPause) }

// turn runs one step and the rest after it, in which no other job has its turn.
func (u *Upkeep) turn(ctx context.Context, rest func(took time.Duration) time.Duration, step func(ctx context.Context) (done bool, err error)) (bool, error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case u.busy <- struct{}{}:
	}
	defer func() { <-u.busy }()
	if !u.leads() {
		return false, errLost
	}
	begin := time.Now()
	done, err := step(ctx)
	if err != nil || done {
		return done, err
	}
	pause(ctx, rest(time.Since(begin)))
	return false, ctx.Err()
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	rest := time.NewTimer(d)
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	}
}
