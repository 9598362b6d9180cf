// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
)

// Pace of the jobs.
const (
	foldEvery     = 500 * time.Millisecond
	maintainEvery = time.Minute
	workersEvery  = 15 * time.Second
	longPollEvery = time.Minute
	totalsEvery   = 5 * time.Minute
	compactEvery  = 10 * time.Minute
	sumEvery      = 5 * time.Second
	searchEvery   = time.Second
	expireEvery   = time.Hour
	// sweepEvery is the time between two walks through the events of SQLite: what PostgreSQL does by the day too.
	sweepEvery = 24 * time.Hour
)

// Rows of one step.
const (
	foldRows    = 1000
	expireRows  = 2000
	taskRows    = 250
	compactRows = 1000
	// searchRows is a step of the search index while nobody waits: an index of PostgreSQL takes many entries at once for less.
	// While events come in, steps have as many rows as searchStep allows, but searchRowsLeast, so that acknowledgements do not
	// wait for a core that a step holds; on SQLite they wait for its writer.
	searchRows, searchRowsSQLite, searchRowsLeast = 1000, 200, 50

	searchStep = 15 * time.Millisecond
	// searchRest is the rest after a step of it, in multiples of the step, beside the usual one, while more than quietRate events
	// a second come in.
	searchRest = 1
	quietRate  = 100
)

const (
	// longPollIdle is how long a long-poll session lives without a request.
	longPollIdle = 300 * time.Second
	// workerSilence is how long a worker may say nothing before it counts as gone.
	workerSilence = 150 * time.Second
	// workerDoubt is the same for workers known from the events of tasks only: they may just have none to do.
	workerDoubt = 24 * time.Hour
	// totalsSilence is how long a worker may say nothing before its series of counted events are deleted, totalsUnused how
	// long series that do not grow are kept: names of tasks go out of use.
	totalsSilence = time.Hour
	totalsUnused  = 30 * 24 * time.Hour
	// setupTokenKeep is how long an expired setup token can still be told from a wrong one.
	setupTokenKeep = 24 * time.Hour
	// dropAttempts is how often a partition in use is tried again at once, dropPause apart.
	dropAttempts = 5
	dropPause    = 2 * time.Second
)

// plan lists the jobs that the settings ask for.
func (u *Upkeep) plan() []job {
	s, r := u.deps.Store, u.cfg.Retention
	jobs := []job{
		{"maintain", maintainEvery, u.maintain},
		{"worker_liveness", workersEvery, u.staleWorkers},
		{"longpoll_sessions", longPollEvery, u.expire("longpoll_sessions", longPollIdle, s.ExpireLongPoll)},
		{"setup_token", expireEvery, u.expire("setup_token", setupTokenKeep, func(ctx context.Context, before time.Time, _ int64) (int64, error) {
			return s.ExpireSetupToken(ctx, before)
		})},
		{"compact", compactEvery, u.compact},
		{"sum", sumEvery, u.sum},
		{"search_index", searchEvery, u.search},
		{"task_totals", totalsEvery, u.taskTotals},
	}
	if s.Engine() != "sqlite" {
		jobs = append(jobs, job{"fold", foldEvery, u.fold})
	}
	add := func(keep time.Duration, j job) {
		if keep > 0 {
			jobs = append(jobs, j)
		}
	}
	add(r.Events(), job{"events", expireEvery, u.events})
	add(r.Events(), job{"loose_events", expireEvery, u.expire("loose_events", r.Events(), s.ExpireLooseEvents)})
	add(r.Events(), job{"agent_status", expireEvery, u.expire("agent_status", r.Events(), s.ExpireAgentStatus)})
	add(r.Tasks(), job{"tasks", expireEvery, u.tasks})
	add(r.Commands(), job{"commands", expireEvery, u.expire("commands", r.Commands(), s.ExpireCommands)})
	add(r.Sessions(), job{"sessions", expireEvery, u.expire("sessions", r.Sessions(), s.ExpireSessions)})
	add(r.Workers(), job{"workers", expireEvery, u.expire("workers", r.Workers(), s.ExpireWorkers)})
	add(r.Workers(), job{"queues", expireEvery, u.expire("queues", r.Workers(), s.ExpireQueues)})
	add(r.Rollups(), job{"rollups", expireEvery, u.expire("rollups", r.Rollups(), func(ctx context.Context, before time.Time, _ int64) (int64, error) {
		return s.ExpireRollups(ctx, before)
	})})
	add(r.Rollups(), job{"rollup_spans", expireEvery, u.expire("rollup_spans", r.Rollups(), func(ctx context.Context, before time.Time, _ int64) (int64, error) {
		return s.ExpireSpans(ctx, before)
	})})
	// Depths of queues are kept by the minute and by the hour, as long as roll-ups of that width at the least.
	depths := func(res int64) func(context.Context, time.Time, int64) (int64, error) {
		return func(ctx context.Context, before time.Time, limit int64) (int64, error) {
			return s.ExpireQueueDepths(ctx, res, before, limit)
		}
	}
	add(u.cfg.MinuteKeep, job{"queue_depths", expireEvery, u.expire("queue_depths", u.cfg.MinuteKeep, depths(store.RollupMinute))})
	add(r.Rollups(), job{"queue_depths_hourly", expireEvery, u.expire("queue_depths", r.Rollups(), depths(store.RollupHour))})
	return jobs
}

// maintain does the engine's housekeeping. Events in the default partition are moved by it; that there were some is told,
// because every day was to have its partition before its events came.
func (u *Upkeep) maintain(ctx context.Context) error {
	days, err := u.deps.Store.StrayDays(ctx)
	if err != nil {
		return err
	}
	u.deps.Metrics.stray.Set(float64(days))
	if days > 0 {
		u.deps.Logger.Warn("events lay in the default partition; they are moved to partitions of their days", "days", days)
	}
	return u.deps.Store.Maintain(ctx)
}

// expire makes a job of a method that deletes what is older than keep, a bounded number of rows at a time.
func (u *Upkeep) expire(table string, keep time.Duration, del func(ctx context.Context, before time.Time, limit int64) (int64, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		before := u.deps.Now().Add(-keep)
		total := int64(0)
		err := u.repeat(ctx, func(ctx context.Context) (bool, error) {
			n, err := del(ctx, before, expireRows)
			total += n
			u.deps.Metrics.deleted.WithLabelValues(table).Add(float64(n))
			return n == 0, err
		})
		u.told(table, total, before)
		return err
	}
}

func (u *Upkeep) told(table string, n int64, before time.Time) {
	if n > 0 {
		u.deps.Logger.Info("expired rows deleted", "table", table, "rows", n, "before", before)
	}
}

// fold merges appended counter changes while there are any.
func (u *Upkeep) fold(ctx context.Context) error {
	for u.leads() {
		n, err := u.deps.Store.FoldDeltas(ctx, foldRows)
		if err != nil {
			return err
		}
		u.deps.Metrics.folded.Add(float64(n))
		if n < foldRows {
			return nil
		}
	}
	return errLost
}

// sweepState is where the walk through the events of SQLite stands, kept in the database so that neither a restart
// nor another holder starts again.
type sweepState struct {
	Cursor store.EventCursor `json:"cursor"`
	// Begun is when the walk under way began, DoneAt when the last one ended.
	Begun  time.Time `json:"begun"`
	DoneAt time.Time `json:"done_at"`
}

const metaSweep = "upkeep_events"

// saveEvery is how many steps pass between two notes of the walk's place.
const saveEvery = 50

func (u *Upkeep) events(ctx context.Context) error {
	now := u.deps.Now()
	before := now.Add(-u.cfg.Retention.Events())
	if u.deps.Store.Engine() != "sqlite" {
		return u.dropEvents(ctx, before)
	}
	text, err := u.deps.Store.Meta(ctx, metaSweep)
	if err != nil {
		return fmt.Errorf("read where the walk through events stands: %w", err)
	}
	var st sweepState
	if text != "" {
		if err := json.Unmarshal([]byte(text), &st); err != nil {
			u.deps.Logger.Warn("the walk through events starts anew: its place is not readable", "err", err)
			st = sweepState{}
		}
	}
	if st.Begun.IsZero() {
		if now.Sub(st.DoneAt) < sweepEvery {
			return nil
		}
		st = sweepState{Begun: now, DoneAt: st.DoneAt}
	}
	total, steps := int64(0), 0
	err = u.repeat(ctx, func(ctx context.Context) (bool, error) {
		n, next, done, err := u.deps.Store.SweepEvents(ctx, before, st.Cursor)
		if err != nil {
			return false, err
		}
		total += n
		u.deps.Metrics.deleted.WithLabelValues("events").Add(float64(n))
		st.Cursor = next
		if done {
			// The next walk is due by the beginning of this one, or walks would drift apart.
			st = sweepState{DoneAt: st.Begun}
		}
		if steps++; done || steps%saveEvery == 0 {
			err = u.saveSweep(ctx, st)
		}
		return done, err
	})
	u.told("events", total, before)
	if err != nil && steps > 0 && u.leads() {
		// The end of this process or a failure: the next walk goes on from here.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, u.saveSweep(end, st))
	}
	return err
}

func (u *Upkeep) saveSweep(ctx context.Context, st sweepState) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return u.deps.Store.SetMeta(ctx, metaSweep, string(text))
}

// dropEvents drops expired partitions; one that is in use is tried again a few times, then at the next turn.
func (u *Upkeep) dropEvents(ctx context.Context, before time.Time) error {
	for attempt := 1; ; attempt++ {
		n, err := u.deps.Store.DropEvents(ctx, before)
		u.deps.Metrics.deleted.WithLabelValues("events").Add(float64(n))
		u.told("events", n, before)
		if err == nil || attempt == dropAttempts || !u.leads() {
			return err
		}
		if pause(ctx, dropPause); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (u *Upkeep) tasks(ctx context.Context) error {
	before := u.deps.Now().Add(-u.cfg.Retention.Tasks())
	var mark store.TaskMark
	total := int64(0)
	err := u.repeat(ctx, func(ctx context.Context) (bool, error) {
		n, next, done, err := u.deps.Store.ExpireTasks(ctx, before, mark, taskRows)
		mark = next
		total += n
		u.deps.Metrics.deleted.WithLabelValues("tasks").Add(float64(n))
		return done, err
	})
	u.told("tasks", total, before)
	return err
}

// sum makes the sums of roll-ups that changed.
func (u *Upkeep) sum(ctx context.Context) error {
	return u.repeat(ctx, func(ctx context.Context) (bool, error) {
		n, err := u.deps.Store.SumRollups(ctx)
		return n == 0, err
	})
}

// search brings the search index up to date. Ingest comes first: while events come in, each step is followed by a longer rest
// than those of other jobs, in which they have their turns. While none do, it goes on at once.
func (u *Upkeep) search(ctx context.Context) error {
	pace := searchPace{ingested: u.deps.Ingested, most: searchRows, rows: searchRowsLeast}
	if u.deps.Store.Engine() == "sqlite" {
		pace.most = searchRowsSQLite
	}
	for done := false; !done; {
		var err error
		done, err = u.turn(ctx, pace.rest, func(ctx context.Context) (bool, error) {
			n, err := u.deps.Store.IndexTasks(ctx, pace.rows, pace.idle)
			u.deps.Metrics.indexed.Add(float64(n))
			pace.taken = n
			return n == 0, err
		})
		if err != nil {
			return err
		}
		if !done {
			pause(ctx, pace.more)
		}
	}
	state, err := u.deps.Store.SearchState(ctx)
	u.deps.Metrics.unindexed.Set(float64(state.Queued + state.Left))
	return err
}

// searchPace says how many rows the search index takes in a step, and how long it rests between two.
type searchPace struct {
	ingested func() int64
	at       time.Time
	events   int64
	// most is how many rows a step has while few events come in.
	most int64

	// taken is how many rows the last step had, cost what one of them costs.
	taken int64
	cost  time.Duration

	// idle says that few events come in, and rows how many rows the next step has.
	idle bool
	rows int64
	// more is the rest after that of the turn, in which others have theirs.
	more time.Duration
}

// rest is the one after a step that took so long.
func (p *searchPace) rest(took time.Duration) time.Duration {
	if p.idle = p.quiet(time.Now()); p.idle {
		p.rows, p.more = p.most, 0
		return minPause
	}
	// A step that had to wait for a core took longer than it cost; the cheapest ones lately tell what a row costs.
	each := took / time.Duration(max(p.taken, 1))
	if p.cost += p.cost / 64; p.cost == 0 || each < p.cost {
		p.cost = max(each, time.Microsecond)
	}
	p.rows = min(max(int64(searchStep/p.cost), searchRowsLeast), p.most)
	took = min(took, p.cost*time.Duration(p.taken))
	p.more = searchRest * took
	return asLong(took)
}

// quiet reports whether few events came in since it was last asked.
func (p *searchPace) quiet(now time.Time) bool {
	if p.ingested == nil {
		return false
	}
	events, since := p.ingested(), now.Sub(p.at)
	few := !p.at.IsZero() && float64(events-p.events) < quietRate*since.Seconds()
	p.at, p.events = now, events
	return few
}

// taskTotals deletes counted events of what is gone.
func (u *Upkeep) taskTotals(ctx context.Context) error {
	now := u.deps.Now()
	n, err := u.deps.Store.ExpireTaskTotals(ctx, now.Add(-totalsSilence), now.Add(-totalsUnused))
	u.deps.Metrics.deleted.WithLabelValues("task_totals").Add(float64(n))
	return err
}

// compact merges old roll-ups into wider buckets. Late changes to a time that is already merged come as rows of their
// own and are merged here as well.
func (u *Upkeep) compact(ctx context.Context) error {
	for _, level := range []struct {
		res, into int64
		keep      time.Duration
	}{{store.RollupMinute, store.RollupHour, u.cfg.MinuteKeep}, {store.RollupHour, store.RollupDay, u.cfg.HourKeep}} {
		before := u.deps.Now().Add(-level.keep)
		err := u.repeat(ctx, func(ctx context.Context) (bool, error) {
			n, err := u.deps.Store.CompactRollups(ctx, level.res, level.into, before, compactRows)
			u.deps.Metrics.compacted.Add(float64(n))
			return n == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *Upkeep) staleWorkers(ctx context.Context) error {
	now := u.deps.Now()
	n, err := u.deps.Store.MarkStaleWorkers(ctx, now.Add(-workerSilence), now.Add(-workerDoubt))
	if n > 0 {
		u.deps.Logger.Info("silent workers marked as offline or unknown", "workers", n)
	}
	return err
}
