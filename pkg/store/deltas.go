// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/projection"
	"github.com/z4jdev/z4j/pkg/sketch"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// deltas collects what a transaction changes in the counters that are kept beside the rows:
// task_counts, rollups, issues, worker totals. Everything that follows from a task row is a
// function of that row: a change takes the contribution of the old row out and puts that of the
// new one in, so that the counters equal a recount after any history.
type deltas struct {
	counts  map[countKey]int64
	rolls   map[rollKey]*rollVal
	issues  map[issueKey]*issueVal
	workers map[workerKey]*workerVal
	// latency is since when waits and total times are counted: none that began or ended earlier.
	latency time.Time
}

type countKey struct {
	Project int64
	State   domain.TaskState
}

type rollKey struct {
	Project, Res int64
	At           int64 // microseconds
	Name, Queue  int64
	Kind         domain.RollupKind
}

type rollVal struct {
	N, RuntimeN, RuntimeMS int64
	sketch                 sketch.Sketch
}

// nothing reports whether the change is none.
func (v *rollVal) nothing() bool {
	return v.N == 0 && v.RuntimeN == 0 && v.RuntimeMS == 0 && v.sketch.Empty()
}

type issueKey struct {
	Project     int64
	Fingerprint string
	Engine      int64
}

type issueVal struct {
	Occurrences, Open int64
	First, Last       int64
	Name              int64
	Exception         *string
}

type workerKey struct {
	Project, Engine, Worker int64
}

type workerVal struct {
	Processed, Succeeded, Failed, Retried int64
}

func newDeltas() *deltas {
	return &deltas{
		counts: make(map[countKey]int64), rolls: make(map[rollKey]*rollVal),
		issues: make(map[issueKey]*issueVal), workers: make(map[workerKey]*workerVal),
	}
}

// newDeltas returns the deltas of tasks that the transaction changes.
func (tx *Tx) newDeltas(ctx context.Context) (*deltas, error) {
	since, err := tx.s.latencySince(ctx, tx.db)
	d := newDeltas()
	d.latency = since
	return d, err
}

const metaLatency = "latency_since"

// latencySince is since when waits and total times are counted: the zero time, or when the database was first migrated
// to a schema that counts them. What began or ended before is in no counter, so its later changes must not count either.
func (s *Store) latencySince(ctx context.Context, h db.DBTX) (time.Time, error) {
	s.latencyMu.Lock()
	defer s.latencyMu.Unlock()
	if s.latencyKnown {
		return s.latency, nil
	}
	text, err := s.q.MetaValue(ctx, h, db.MetaValueParams{Key: metaLatency})
	switch {
	case s.isNotFound(err):
	case err != nil:
		return time.Time{}, fmt.Errorf("read since when waits are counted: %w", s.err(err))
	default:
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("read since when waits are counted: %w", err)
		}
		s.latency = time.UnixMicro(us).UTC()
	}
	s.latencyKnown = true
	return s.latency, nil
}

func (d *deltas) empty() bool {
	return len(d.counts) == 0 && len(d.rolls) == 0 && len(d.issues) == 0 && len(d.workers) == 0
}

// footprint is the part of a task row that the counters follow.
type footprint struct {
	project, engine     int64
	name, queue, worker int64
	state               domain.TaskState
	due, started        time.Time
	finished, failed    time.Time
	runtime, retries    int64
	hasRuntime          bool
	fingerprint         string
}

func footprintOf(t *projection.Task) footprint {
	f := footprint{
		project: t.ProjectID, engine: t.EngineID, name: t.NameID, queue: t.QueueID, worker: t.WorkerID,
		state: t.State, started: t.StartedAt, finished: t.FinishedAt, failed: t.LastFailedAt, retries: t.RetryCount,
	}
	f.due = t.Due()
	f.runtime, f.hasRuntime = t.Runtime()
	if t.Fingerprint != nil {
		f.fingerprint = *t.Fingerprint
	}
	return f
}

// terminalKind is the roll-up that counts tasks of a terminal state.
func terminalKind(s domain.TaskState) domain.RollupKind {
	switch s {
	case domain.StateSuccess:
		return domain.RollupSuccess
	case domain.StateFailure:
		return domain.RollupFailure
	case domain.StateRevoked:
		return domain.RollupRevoked
	default:
		return 0
	}
}

// row adds (sign 1) or takes out (sign -1) what one row contributes.
func (d *deltas) row(f *footprint, sign int64) {
	if f.state == 0 {
		return
	}
	d.counts[countKey{f.project, f.state}] += sign
	if f.worker != 0 && f.retries != 0 {
		d.worker(workerKey{f.project, f.engine, f.worker}).Retried += sign * f.retries
	}
	if k := terminalKind(f.state); k != 0 && !f.finished.IsZero() {
		v := d.roll(rollKey{f.project, 1, f.finished.Truncate(time.Minute).UnixMicro(), f.name, f.queue, k})
		v.N += sign
		if f.hasRuntime {
			v.duration(f.runtime, sign)
		}
		if ms, ok := span(f.due, f.finished); ok && k != domain.RollupRevoked && !f.finished.Before(d.latency) {
			v.sketch.AddTo(sketch.LaneSecond, ms, sign)
		}
		if f.worker != 0 {
			w := d.worker(workerKey{f.project, f.engine, f.worker})
			w.Processed += sign
			switch k {
			case domain.RollupSuccess:
				w.Succeeded += sign
			case domain.RollupFailure:
				w.Failed += sign
			default: // a worker's page tells of successes and failures only
			}
		}
	}
	if ms, ok := span(f.due, f.started); ok && !f.started.Before(d.latency) {
		d.roll(rollKey{f.project, 1, f.started.Truncate(time.Minute).UnixMicro(), f.name, f.queue, domain.RollupStarted}).duration(ms, sign)
	}
	if f.fingerprint != "" {
		v := d.issue(issueKey{f.project, f.fingerprint, f.engine})
		v.Occurrences += sign
		if f.state == domain.StateFailure {
			v.Open += sign
		}
		if at := f.failed.UnixMicro(); sign > 0 {
			if v.First == 0 || at < v.First {
				v.First = at
			}
			if at > v.Last {
				v.Last, v.Name = at, f.name
			}
		}
	}
}

// span is the time from one moment to a later one; clocks of different hosts may put them the other way round, or one is not known.
func span(from, to time.Time) (ms int64, ok bool) {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return 0, false
	}
	return to.Sub(from).Milliseconds(), true
}

// duration adds (sign 1) or takes out (sign -1) one measured time.
func (v *rollVal) duration(ms, sign int64) {
	v.RuntimeN += sign
	v.RuntimeMS += sign * ms
	v.sketch.Add(ms, sign)
}

// gone takes a task that outlived its retention out of what tells of tasks that are there. What it did stays counted.
func (d *deltas) gone(f *footprint) {
	d.counts[countKey{f.project, f.state}]--
	if f.fingerprint != "" {
		v := d.issue(issueKey{f.project, f.fingerprint, f.engine})
		v.Occurrences--
		if f.state == domain.StateFailure {
			v.Open--
		}
	}
}

// event adds or takes out a stored event that is not a task's end. It is filed under the name and queue
// of its task, and moves when those change.
func (d *deltas) event(project, name, queue int64, kind domain.EventKind, at time.Time, sign int64) {
	if k := eventRollup(kind); k != 0 {
		d.roll(rollKey{project, 1, at.Truncate(time.Minute).UnixMicro(), name, queue, k}).N += sign
	}
}

// eventRollup is the roll-up that counts stored events of a kind, 0 for the kinds that end a task.
func eventRollup(kind domain.EventKind) domain.RollupKind {
	switch kind {
	case domain.KindReceived:
		return domain.RollupReceived
	case domain.KindStarted:
		return domain.RollupStarted
	case domain.KindRetried:
		return domain.RollupRetried
	default:
		return 0
	}
}

func (d *deltas) roll(k rollKey) *rollVal       { return entry(d.rolls, k) }
func (d *deltas) issue(k issueKey) *issueVal    { return entry(d.issues, k) }
func (d *deltas) worker(k workerKey) *workerVal { return entry(d.workers, k) }

// entry returns the value of k, added empty when it is not there.
func entry[K comparable, V any](m map[K]*V, k K) *V {
	v := m[k]
	if v == nil {
		v = new(V)
		m[k] = v
	}
	return v
}

// commit records the deltas in the transaction: in place on SQLite, where there is one writer anyway;
// as one appended row on PostgreSQL, where shared counter rows would queue the writers behind each other.
func (tx *Tx) commitDeltas(ctx context.Context, d *deltas) error {
	if d.empty() {
		return nil
	}
	if tx.s.eng.name() == "sqlite" {
		return tx.applyDeltas(ctx, d)
	}
	return tx.s.q.AppendRollupDelta(ctx, tx.s.eng.later(tx.db), db.AppendRollupDeltaParams{Payload: d.encode()})
}

// applyDeltas merges the deltas into their tables, in key order.
func (tx *Tx) applyDeltas(ctx context.Context, d *deltas) error {
	q := tx.s.q
	for _, k := range sortedKeys(d.counts, func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.State, b.State))
	}) {
		if n := d.counts[k]; n != 0 {
			if err := q.BumpTaskCount(ctx, tx.db, db.BumpTaskCountParams{ProjectID: k.Project, State: int64(k.State), N: n}); err != nil {
				return fmt.Errorf("count tasks: %w", err)
			}
		}
	}
	if err := tx.applyRolls(ctx, d); err != nil {
		return err
	}
	if err := tx.markStale(ctx, d); err != nil {
		return err
	}
	for _, k := range sortedKeys(d.issues, func(a, b issueKey) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Fingerprint, b.Fingerprint), cmp.Compare(a.Engine, b.Engine))
	}) {
		if err := tx.applyIssue(ctx, k, d.issues[k]); err != nil {
			return fmt.Errorf("count issues: %w", err)
		}
	}
	return tx.applyWorkers(ctx, d)
}

// applyWorkers counts what workers did, in the order of their names, as ingest writes them.
func (tx *Tx) applyWorkers(ctx context.Context, d *deltas) error {
	var list []db.BumpWorkerTotalsParams
	stretch := tx.s.Now().Truncate(rateStretch)
	before := stretch.Add(-rateStretch)
	for k, v := range d.workers {
		if *v == (workerVal{}) {
			continue
		}
		engine, err := tx.nameOf(ctx, k.Engine)
		if err != nil {
			return err
		}
		name, err := tx.nameOf(ctx, k.Worker)
		if err != nil {
			return err
		}
		list = append(list, db.BumpWorkerTotalsParams{
			RateAt: &stretch, RateBeforeAt: &before, Processed: v.Processed, Succeeded: v.Succeeded, Failed: v.Failed, Retried: v.Retried,
			ProjectID: k.Project, Engine: engine, Name: name,
		})
	}
	slices.SortFunc(list, func(a, b db.BumpWorkerTotalsParams) int {
		return cmp.Or(cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Name, b.Name))
	})
	for i := range list {
		if err := tx.s.q.BumpWorkerTotals(ctx, tx.db, list[i]); err != nil {
			return fmt.Errorf("count worker totals: %w", err)
		}
	}
	return nil
}

func (tx *Tx) applyRolls(ctx context.Context, d *deltas) error {
	keys := sortedKeys(d.rolls, compareRolls)
	if tx.s.eng.name() != "sqlite" {
		for chunk := range slices.Chunk(keys, bulkRows) {
			if err := pgApplyRolls(ctx, tx.db, chunk, d.rolls); err != nil {
				return fmt.Errorf("roll up: %w", err)
			}
		}
		return nil
	}
	for _, k := range keys {
		if err := tx.applyRoll(ctx, k, d.rolls[k]); err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
	}
	return nil
}

// nameOf reads an interned string inside the transaction that may have added it.
func (tx *Tx) nameOf(ctx context.Context, id int64) (string, error) {
	if text, ok := tx.s.names.name(id); ok {
		return text, nil
	}
	text, err := tx.s.q.NameByID(ctx, tx.db, db.NameByIDParams{ID: id})
	if err != nil {
		return "", fmt.Errorf("look up name %d: %w", id, err)
	}
	return text, nil
}

func (tx *Tx) applyRoll(ctx context.Context, k rollKey, v *rollVal) error {
	q := tx.s.q
	if v.nothing() {
		return nil
	}
	at := time.UnixMicro(k.At).UTC()
	arg := db.BumpRollupParams{
		ProjectID: k.Project, Res: k.Res, At: at, NameID: k.Name, QueueID: k.Queue, Kind: int64(k.Kind),
		N: v.N, RuntimeN: v.RuntimeN, RuntimeMS: v.RuntimeMS,
	}
	if !v.sketch.Empty() {
		stored, err := q.RollupSketch(ctx, tx.db, db.RollupSketchParams{
			ProjectID: k.Project, Res: k.Res, At: at, NameID: k.Name, QueueID: k.Queue, Kind: int64(k.Kind),
		})
		if err != nil && !errors.Is(tx.s.err(err), domain.ErrNotFound) {
			return err
		}
		var merged sketch.Sketch
		if err := merged.MergeEncoded(stored); err != nil {
			return err
		}
		merged.Merge(&v.sketch)
		// Empty, not NULL: coalesce would keep the old one.
		arg.Sketch = merged.Append([]byte{})
	}
	if err := q.BumpRollup(ctx, tx.db, arg); err != nil {
		return err
	}
	if v.N <= 0 {
		return q.DropEmptyRollup(ctx, tx.db, db.DropEmptyRollupParams{
			ProjectID: k.Project, Res: k.Res, At: at, NameID: k.Name, QueueID: k.Queue, Kind: int64(k.Kind),
		})
	}
	return nil
}

func (tx *Tx) applyIssue(ctx context.Context, k issueKey, v *issueVal) error {
	if v.Occurrences == 0 && v.Open == 0 && v.Last == 0 {
		return nil
	}
	first, last := time.UnixMicro(v.First).UTC(), time.UnixMicro(v.Last).UTC()
	if v.Last == 0 {
		// Only occurrences taken out: the bounds stay as they are.
		first, last = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0).UTC()
	}
	err := tx.s.q.BumpIssue(ctx, tx.db, db.BumpIssueParams{
		ProjectID: k.Project, Fingerprint: k.Fingerprint, EngineID: k.Engine, Occurrences: v.Occurrences, OpenCount: v.Open,
		FirstSeen: first, LastSeen: last, SampleNameID: v.Name, SampleException: v.Exception,
	})
	if err != nil || v.Occurrences >= 0 {
		return err
	}
	return tx.s.q.DropEmptyIssue(ctx, tx.db, db.DropEmptyIssueParams{ProjectID: k.Project, Fingerprint: k.Fingerprint, EngineID: k.Engine})
}

func compareRolls(a, b rollKey) int {
	return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Res, b.Res), cmp.Compare(a.At, b.At),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Kind, b.Kind))
}

func sortedKeys[K comparable, V any](m map[K]V, less func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, less)
	return keys
}

// FoldDeltas merges up to limit appended delta rows into the counters and returns how many it took.
// It is the job of one leased holder; on SQLite there is never anything to do. What a newer version wrote stays for one that
// knows it.
func (s *Store) FoldDeltas(ctx context.Context, limit int64) (n int64, err error) {
	if s.eng.name() == "sqlite" {
		return 0, nil
	}
	return s.foldInParts(ctx, limit, foldedRolls)
}

// foldInParts merges deltas in transactions of about so many roll-ups.
func (s *Store) foldInParts(ctx context.Context, limit int64, rolls int) (n int64, err error) {
	for more := true; more && n < limit; {
		var folded int64
		folded, more, err = s.foldDeltas(ctx, limit-n, rolls)
		n += folded
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// foldedRolls bounds what is merged at a time: deltas of a past that is told anew are each about other minutes.
const foldedRolls = 20_000

// leastFold is how many deltas are read at a time at least: some may be of a newer version, and stay.
const leastFold = 16

// foldDeltas merges up to limit deltas in one transaction; more says that there may be others.
func (s *Store) foldDeltas(ctx context.Context, limit int64, rolls int) (n int64, more bool, err error) {
	step := s.foldStep.Load()
	if step > 0 {
		limit = min(limit, step)
	}
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.lockRollups(ctx); err != nil {
			return err
		}
		rows, err := tx.db.Query(ctx, "SELECT id, payload FROM rollup_deltas ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED", limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		d := newDeltas()
		var merged []int64
		read, cut := int64(0), false
		for ; rows.Next(); read++ {
			if cut = len(d.rolls) > rolls; cut {
				// The rest was asked for in vain: the next steps are smaller.
				s.foldStep.Store(max(int64(len(merged)), leastFold))
				break
			}
			var id int64
			var payload []byte
			if err := rows.Scan(&id, &payload); err != nil {
				return err
			}
			switch err := d.merge(payload); {
			case errors.Is(err, errNewerDelta):
			case err != nil:
				return err
			default:
				merged = append(merged, id)
			}
		}
		n, more = int64(len(merged)), cut || read == limit
		if err := rows.Err(); err != nil {
			return err
		}
		rows.Close()
		if n == 0 {
			return nil
		}
		if _, err := tx.db.Exec(ctx, "DELETE FROM rollup_deltas WHERE id = ANY($1::bigint[])", merged); err != nil {
			return err
		}
		return tx.applyDeltas(ctx, d)
	})
	if err == nil && n == step {
		s.foldStep.CompareAndSwap(step, 2*step) // not when it was made smaller just now
	}
	return n, more && n > 0, err
}
