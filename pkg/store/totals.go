// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// TotalKind says what a row of task_totals counts. The numbers are stored; never renumber them. The first six are those of
// domain.EventKind.
type TotalKind int64

// Kinds of totals beside those of domain.EventKind.
const (
	TotalReceived  = TotalKind(domain.KindReceived)
	TotalStarted   = TotalKind(domain.KindStarted)
	TotalSucceeded = TotalKind(domain.KindSucceeded)
	TotalFailed    = TotalKind(domain.KindFailed)
	TotalRetried   = TotalKind(domain.KindRetried)
	TotalRevoked   = TotalKind(domain.KindRevoked)

	// TotalSent counts messages published, TotalRejected tasks that a worker turned away.
	TotalSent     TotalKind = 7
	TotalRejected TotalKind = 8
	// TotalHeld is how many tasks a worker took in and has not begun: it falls as well. Its RuntimeMS is how long the
	// last one waited there.
	TotalHeld TotalKind = 9
)

// TotalBuckets are the upper bounds, in seconds, of the buckets that run times of successes are counted in.
var TotalBuckets = [...]float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// TotalBucket is the bucket of a run time: an index into TotalBuckets, one past its end for longer times, and another one
// further when the time is not known.
func TotalBucket(ms *int64) int64 {
	if ms == nil {
		return TotalUnmeasured
	}
	for i, bound := range TotalBuckets {
		if float64(*ms)/1000 <= bound {
			return int64(i)
		}
	}
	return int64(len(TotalBuckets))
}

// TotalUnmeasured is the bucket of successes whose run time is not known.
const TotalUnmeasured = int64(len(TotalBuckets)) + 1

// TotalOther stands for what has no series of its own.
const TotalOther = "other"

// TotalKey names a series of task_totals.
type TotalKey struct {
	ProjectID                   int64
	Engine, Worker, Name, Queue string
	Kind                        TotalKind
	// Exception is the class of the exception of a failure, Bucket that of a success.
	Exception string
	Bucket    int64
}

// TaskTotal is a series and its value, or in AddTaskTotals by how much it grew.
type TaskTotal struct {
	TotalKey
	N, RuntimeMS int64
}

// TotalBounds bound task_totals, for each project. Beyond them events count under TotalOther. With several writers at a time a bound may
// be passed by what each of them added in that moment.
type TotalBounds struct {
	// Series bounds the combinations of engine, worker, name and queue, Exceptions the classes of exceptions.
	Series, Exceptions int
}

type totalSeries struct{ engine, worker, name, queue int64 }

// TotalsKnown remembers for a minute which series there are, so that not every call of AddTaskTotals has to ask. The zero value
// is ready; it is for one goroutine.
type TotalsKnown struct {
	until    time.Time
	projects map[int64]*totalKnown
}

// knownFor is how long TotalsKnown does not look again.
const knownFor = time.Minute

// AddTaskTotals adds what was counted since the last call, in one transaction, all or none. It returns how many of the
// given series had to go to TotalOther. Many rows hold up other writers: give it some hundred at a time.
func (s *Store) AddTaskTotals(ctx context.Context, add []TaskTotal, bounds TotalBounds, known *TotalsKnown) (other int, err error) {
	now := s.Now()
	if known.projects == nil || now.After(known.until) {
		known.until, known.projects = now.Add(knownFor), make(map[int64]*totalKnown)
	}
	fresh := make(map[string]int64)
	err = s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		clear(fresh)
		rows, n, err := tx.totalRows(ctx, add, bounds, known.projects, fresh)
		if err != nil {
			return err
		}
		other = n
		if s.eng.name() != "sqlite" {
			for chunk := range slices.Chunk(rows, bulkRows) {
				if err := pgAddTaskTotals(ctx, tx.db, chunk, now); err != nil {
					return err
				}
			}
			return nil
		}
		for _, r := range rows {
			r.UpdatedAt = now
			if err := s.q.BumpTaskTotal(ctx, tx.db, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		known.projects = nil // it may know series that were not written
		return 0, fmt.Errorf("count task events: %w", s.err(err))
	}
	for text, id := range fresh {
		s.names.put(id, text)
	}
	return other, nil
}

// totalRows turns series into rows, in key order, one a row.
func (tx *Tx) totalRows(ctx context.Context, add []TaskTotal, bounds TotalBounds, known map[int64]*totalKnown,
	fresh map[string]int64,
) ([]db.BumpTaskTotalParams, int, error) {
	texts := map[string]bool{TotalOther: true}
	for i := range add {
		t := &add[i]
		for _, text := range []string{t.Engine, t.Worker, t.Name, t.Queue, t.Exception} {
			texts[text] = true
		}
	}
	ids := map[string]int64{"": 0}
	// One order for all writers, so that two of them can't deadlock.
	for _, text := range sortedKeys(texts, cmp.Compare[string]) {
		if text == "" {
			continue
		}
		id, err := tx.intern(ctx, text, fresh)
		if err != nil {
			return nil, 0, err
		}
		ids[text] = id
	}
	rows := make(map[db.BumpTaskTotalParams]*db.BumpTaskTotalParams)
	var order []*db.BumpTaskTotalParams
	other := 0
	for i := range add {
		t := &add[i]
		k := known[t.ProjectID]
		if k == nil {
			var err error
			if k, err = tx.totalKnown(ctx, t.ProjectID, bounds); err != nil {
				return nil, 0, err
			}
			known[t.ProjectID] = k
		}
		series := totalSeries{ids[t.Engine], ids[t.Worker], ids[t.Name], ids[t.Queue]}
		if !k.series[series] {
			if len(k.series) >= bounds.Series {
				series = totalSeries{series.engine, ids[TotalOther], ids[TotalOther], ids[TotalOther]}
				other++
			}
			k.series[series] = true
		}
		sub := t.Bucket
		if t.Kind == TotalFailed {
			sub = ids[t.Exception]
			if !k.exceptions[sub] && len(k.exceptions) >= bounds.Exceptions {
				sub = ids[TotalOther]
			}
			k.exceptions[sub] = true
		}
		key := db.BumpTaskTotalParams{
			ProjectID: t.ProjectID, EngineID: series.engine, WorkerID: series.worker, NameID: series.name, QueueID: series.queue,
			Kind: int64(t.Kind), Sub: sub,
		}
		r := rows[key]
		if r == nil {
			row := key
			r = &row
			rows[key] = r
			order = append(order, r)
		}
		r.N += t.N
		if t.Kind == TotalHeld {
			r.RuntimeMS = t.RuntimeMS
		} else {
			r.RuntimeMS += t.RuntimeMS
		}
	}
	out := make([]db.BumpTaskTotalParams, len(order))
	for i, r := range order {
		out[i] = *r
	}
	slices.SortFunc(out, func(a, b db.BumpTaskTotalParams) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.EngineID, b.EngineID), cmp.Compare(a.WorkerID, b.WorkerID),
			cmp.Compare(a.NameID, b.NameID), cmp.Compare(a.QueueID, b.QueueID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Sub, b.Sub))
	})
	return out, other, nil
}

// totalKnown is what a project has series of.
type totalKnown struct {
	series     map[totalSeries]bool
	exceptions map[int64]bool
}

func (tx *Tx) totalKnown(ctx context.Context, project int64, bounds TotalBounds) (*totalKnown, error) {
	k := &totalKnown{series: make(map[totalSeries]bool), exceptions: make(map[int64]bool)}
	series, err := tx.s.q.TaskTotalSeries(ctx, tx.db, db.TaskTotalSeriesParams{ProjectID: project, MaxRows: int64(bounds.Series) + 1})
	if err != nil {
		return nil, err
	}
	for _, r := range series {
		k.series[totalSeries{r.EngineID, r.WorkerID, r.NameID, r.QueueID}] = true
	}
	exceptions, err := tx.s.q.TaskTotalExceptions(ctx, tx.db, db.TaskTotalExceptionsParams{ProjectID: project, MaxRows: int64(bounds.Exceptions) + 1})
	for _, id := range exceptions {
		k.exceptions[id] = true
	}
	return k, err
}

// TaskTotals lists the series of a project, of one engine unless that is "", at most limit rows.
func (s *Store) TaskTotals(ctx context.Context, projectID int64, engine string, limit int64) ([]TaskTotal, error) {
	arg := db.ListTaskTotalsParams{ProjectID: projectID, MaxRows: limit}
	if engine != "" {
		id, ok, err := s.NameID(ctx, engine)
		if err != nil || !ok {
			return nil, err
		}
		arg.EngineID = &id
	}
	rows, err := s.q.ListTaskTotals(ctx, s.eng.read(), arg)
	if err != nil {
		return nil, fmt.Errorf("list counted task events: %w", s.err(err))
	}
	out := make([]TaskTotal, len(rows))
	for i, r := range rows {
		t := TaskTotal{TotalKey: TotalKey{ProjectID: r.ProjectID, Kind: TotalKind(r.Kind)}, N: r.N, RuntimeMS: r.RuntimeMS}
		for _, f := range []struct {
			id   int64
			into *string
		}{{r.EngineID, &t.Engine}, {r.WorkerID, &t.Worker}, {r.NameID, &t.Name}, {r.QueueID, &t.Queue}} {
			if *f.into, err = s.Name(ctx, f.id); err != nil {
				return nil, err
			}
		}
		if t.Kind != TotalFailed {
			t.Bucket = r.Sub
		} else if t.Exception, err = s.Name(ctx, r.Sub); err != nil {
			return nil, err
		}
		out[i] = t
	}
	return out, nil
}

// ExpireTaskTotals deletes series of workers that said nothing since silentSince and series that did not grow since
// unusedSince, and returns how many rows went. What comes back later begins at 0.
func (s *Store) ExpireTaskTotals(ctx context.Context, silentSince, unusedSince time.Time) (n int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		n, err = s.q.ExpireTaskTotals(ctx, tx.db, db.ExpireTaskTotalsParams{
			SilentSince: domain.Micros(silentSince), UnusedSince: domain.Micros(unusedSince),
		})
		return err
	})
	return n, err
}

// Lease says who does a job that one replica does at a time.
type Lease struct {
	Name, Holder string
	Generation   int64
	// TakenAt is since when the holder has it, nil when that is not known. A lease behind ExpiresAt is held by nobody.
	TakenAt   *time.Time
	ExpiresAt time.Time
}

// Leases lists all leases by name.
func (s *Store) Leases(ctx context.Context) ([]Lease, error) {
	rows, err := s.q.ListLeases(ctx, s.eng.read())
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", s.err(err))
	}
	out := make([]Lease, len(rows))
	for i, r := range rows {
		out[i] = Lease(r)
	}
	return out, nil
}

// OpenCommandCount counts commands on their way, those older than a minute and than ten among them.
type OpenCommandCount struct {
	Project            uuid.UUID
	Status             string
	N, Minute, TenMins int64
}

// OpenCommands counts commands on their way by project and state, at most limit counts.
func (s *Store) OpenCommands(ctx context.Context, limit int64) ([]OpenCommandCount, error) {
	now := s.Now()
	rows, err := s.q.OpenCommands(ctx, s.eng.read(), db.OpenCommandsParams{
		MinuteAgo: now.Add(-time.Minute), TenAgo: now.Add(-10 * time.Minute), MaxRows: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("count commands on their way: %w", s.err(err))
	}
	out := make([]OpenCommandCount, len(rows))
	for i, r := range rows {
		out[i] = OpenCommandCount{r.ProjectUID, r.Status, r.N, r.OverMinute, r.OverTen}
	}
	return out, nil
}

// DeltaBacklog counts appended changes that wait to be merged into the counters, up to limit.
func (s *Store) DeltaBacklog(ctx context.Context, limit int64) (int64, error) {
	n, err := s.q.DeltaBacklog(ctx, s.eng.read(), db.DeltaBacklogParams{MaxRows: limit})
	return n, s.err(err)
}

// PoolStats tells of the connections of this process.
type PoolStats struct {
	Max, InUse int64
	// Waits counts the times somebody waited for a free connection, WaitTime how long in all.
	Waits    int64
	WaitTime time.Duration
}

// PoolStats reads the pool of connections; on SQLite that of its readers.
func (s *Store) PoolStats() PoolStats { return s.eng.poolStats() }

// ScrapedWorker is a worker as scrapers see it. Queues is a JSON list.
type ScrapedWorker = db.ScrapedWorkersRow

// ScrapedWorkers lists the workers of a project, at most limit.
func (s *Store) ScrapedWorkers(ctx context.Context, projectID, limit int64) ([]ScrapedWorker, error) {
	ws, err := s.q.ScrapedWorkers(ctx, s.eng.read(), db.ScrapedWorkersParams{ProjectID: projectID, MaxRows: limit})
	return ws, s.err(err)
}
