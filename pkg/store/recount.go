// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	schema "github.com/z4jdev/z4j/sql"
)

func (s *Store) isNotFound(err error) bool {
	return err != nil && errors.Is(s.err(err), domain.ErrNotFound)
}

// CountWindow says since when rows are complete: counters keep what retention took the rows of. Zero times mean
// that nothing was taken.
type CountWindow struct {
	// Events is where retention of events stands, Tasks that of tasks, Rollups that of roll-ups.
	Events, Tasks, Rollups time.Time
}

// countMargin covers tasks that ended, by their agent's clock, shortly after the brain last heard of them.
const countMargin = 2 * time.Minute

// since is the time from which roll-ups of a kind equal a recount.
func (w CountWindow) since(k domain.RollupKind) time.Time {
	from := w.Rollups
	if t := w.Tasks; !t.IsZero() && t.Add(countMargin).After(from) {
		from = t.Add(countMargin)
	}
	if k >= domain.RollupReceived && w.Events.After(from) {
		from = w.Events
	}
	return from
}

// CheckCounters recounts tasks and events and compares the result with the kept counters, within the window.
// Roll-ups are compared in the widest bucket that holds them: late changes to a minute that is already part of
// an hour are a row of their own until they are merged. It returns a line for each difference, at most 100. It
// reads everything, so it is for tests and `z4j doctor --counters`, with nobody writing.
func (s *Store) CheckCounters(ctx context.Context, w CountWindow) ([]string, error) {
	want := newDeltas()
	var err error
	if want.latency, err = s.latencySince(ctx, s.eng.read()); err != nil {
		return nil, err
	}
	places := make(map[int64]countPlace)
	err = s.Read(ctx, "SELECT "+footprintColumns+" FROM tasks", nil, func(scan func(...any) error) error {
		t, err := scanFootprint(scan)
		if err != nil {
			return err
		}
		f := footprintOf(&t)
		want.row(&f, 1)
		places[t.ID] = countPlace{t.ProjectID, t.NameID, t.QueueID}
		return nil
	})
	if err != nil {
		return nil, err
	}
	since := w.since(domain.RollupReceived)
	if since.IsZero() {
		since = time.Unix(0, 0)
	}
	err = s.Read(ctx, "SELECT task_id, kind, at FROM events WHERE at >= $1", []any{since}, func(scan func(...any) error) error {
		var task int64
		var kind domain.EventKind
		var at time.Time
		if err := scan(&task, (*int64)(&kind), &at); err != nil {
			return err
		}
		if p, ok := places[task]; ok {
			want.event(p.project, p.name, p.queue, kind, at, 1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	have, err := s.readCounters(ctx)
	if err != nil {
		return nil, err
	}
	faults := want.compare(have, w)
	spans, err := s.checkSpans(ctx, w)
	if err != nil {
		return nil, err
	}
	return append(faults, spans...), nil
}

// checkSpans compares the sums over wider buckets with the roll-ups they are made of.
func (s *Store) checkSpans(ctx context.Context, w CountWindow) ([]string, error) {
	now := s.Now()
	type bucket struct{ project, res, at int64 }
	buckets, stale := map[bucket]bool{}, map[bucket]bool{}
	note := func(into map[bucket]bool, project, from int64, at time.Time) {
		for _, res := range spanWidths {
			if res >= from {
				into[bucket{project, res, bucketOf(at, res).UnixMicro()}] = true
			}
		}
	}
	for query, into := range map[string]map[bucket]bool{
		"SELECT DISTINCT project_id, res, at FROM rollups":      buckets,
		"SELECT DISTINCT project_id, res, at FROM rollup_spans": buckets,
		"SELECT project_id, res, at FROM rollup_stale":          stale,
	} {
		err := s.Read(ctx, query, nil, func(scan func(...any) error) error {
			var project, res int64
			var at time.Time
			if err := scan(&project, &res, &at); err != nil {
				return err
			}
			note(into, project, res, at)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var out []string
	for b := range buckets {
		at := time.UnixMicro(b.at).UTC()
		if stale[b] || at.Before(s.spansFrom(b.res, now)) || at.Before(w.Rollups) || len(out) >= maxDifferences {
			continue
		}
		want, have := make(map[spanKey]*Sum), make(map[spanKey]*Sum)
		bucket := spanBucket{b.project, b.res, at, 0}
		if err := s.sumBase(ctx, bucket, want); err != nil {
			return nil, err
		}
		if err := s.sumSpans(ctx, bucket, b.res, have); err != nil {
			return nil, err
		}
		for k := range want {
			if k.res == RollupMinute {
				minute := spanBucket{b.project, RollupMinute, time.UnixMicro(k.at).UTC(), 0}
				if err := s.sumSpans(ctx, minute, RollupMinute, have); err != nil {
					return nil, err
				}
			}
		}
		var none Sum
		for k := range merged(want, have) {
			if w, h := orZero(want[k], &none), orZero(have[k], &none); !w.equal(h) {
				out = append(out, fmt.Sprintf("sums of %d minutes of project %d at %s, %+v: %s; of roll-ups %s", k.res, b.project, at, k, h, w))
			}
		}
	}
	return out, nil
}

type countPlace struct{ project, name, queue int64 }

// readCounters loads the kept counters, and what waits to be folded into them.
func (s *Store) readCounters(ctx context.Context) (*deltas, error) {
	d := newDeltas()
	err := s.Read(ctx, "SELECT project_id, state, n FROM task_counts", nil, func(scan func(...any) error) error {
		var k countKey
		var n int64
		if err := scan(&k.Project, (*int64)(&k.State), &n); err != nil {
			return err
		}
		d.counts[k] = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.Read(ctx, "SELECT project_id, res, at, name_id, queue_id, kind, n, runtime_n, runtime_ms, sketch FROM rollups", nil,
		func(scan func(...any) error) error {
			var k rollKey
			var v rollVal
			var at time.Time
			var encoded []byte
			if err := scan(&k.Project, &k.Res, &at, &k.Name, &k.Queue, (*int64)(&k.Kind), &v.N, &v.RuntimeN, &v.RuntimeMS, &encoded); err != nil {
				return err
			}
			k.At = at.UnixMicro()
			if err := v.sketch.MergeEncoded(encoded); err != nil {
				return err
			}
			d.rolls[k] = &v
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = s.Read(ctx, "SELECT project_id, fingerprint, engine_id, occurrences, open_count FROM issues", nil, func(scan func(...any) error) error {
		var k issueKey
		var v issueVal
		if err := scan(&k.Project, &k.Fingerprint, &k.Engine, &v.Occurrences, &v.Open); err != nil {
			return err
		}
		d.issues[k] = &v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, s.Read(ctx, "SELECT payload FROM rollup_deltas", nil, func(scan func(...any) error) error {
		var payload []byte
		if err := scan(&payload); err != nil {
			return err
		}
		return d.merge(payload)
	})
}

// bucketKey is a stretch of time of a project that roll-ups cover as a whole.
type bucketKey struct{ project, res, at int64 }

// widen maps every roll-up to the widest bucket of that time that have knows.
func (d *deltas) widen(have *deltas) map[rollKey]*rollVal {
	wide := make(map[bucketKey]bool)
	for k := range have.rolls {
		if k.Res != RollupMinute {
			wide[bucketKey{k.Project, k.Res, k.At}] = true
		}
	}
	out := newDeltas()
	for k, v := range d.rolls {
		for _, res := range []int64{RollupHour, RollupDay} {
			at := bucketOf(time.UnixMicro(k.At), res).UnixMicro()
			if wide[bucketKey{k.Project, res, at}] {
				k.Res, k.At = res, at
			}
		}
		w := out.roll(k)
		w.N += v.N
		w.RuntimeN += v.RuntimeN
		w.RuntimeMS += v.RuntimeMS
		w.sketch.Merge(&v.sketch)
	}
	return out.rolls
}

const maxDifferences = 100

// compare lists where have differs from the recount d.
func (d *deltas) compare(have *deltas, window CountWindow) []string {
	var out []string
	note := func(format string, args ...any) {
		if len(out) < maxDifferences {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for k, n := range d.counts {
		if have.counts[k] != n {
			note("project %d: %d tasks counted as %s, %d there", k.Project, have.counts[k], k.State, n)
		}
	}
	for k, n := range have.counts {
		if _, ok := d.counts[k]; !ok && n != 0 {
			note("project %d: %d tasks counted as %s, none there", k.Project, n, k.State)
		}
	}
	var none rollVal
	wanted, kept := d.widen(have), have.widen(have)
	for k := range merged(wanted, kept) {
		w, h := orZero(wanted[k], &none), orZero(kept[k], &none)
		if time.UnixMicro(k.At).Before(window.since(k.Kind)) {
			continue
		}
		if w.N != h.N || w.RuntimeN != h.RuntimeN || w.RuntimeMS != h.RuntimeMS || !w.sketch.Equal(&h.sketch) {
			note("roll-up %+v: n %d, runtime %d/%d ms; recount n %d, runtime %d/%d ms; sketches equal: %v",
				k, h.N, h.RuntimeN, h.RuntimeMS, w.N, w.RuntimeN, w.RuntimeMS, w.sketch.Equal(&h.sketch))
		}
	}
	var zero issueVal
	for k := range merged(d.issues, have.issues) {
		w, h := orZero(d.issues[k], &zero), orZero(have.issues[k], &zero)
		if w.Occurrences != h.Occurrences || w.Open != h.Open {
			note("issue %s: %d occurrences, %d open; recount %d, %d", k.Fingerprint, h.Occurrences, h.Open, w.Occurrences, w.Open)
		}
	}
	return out
}

func merged[K comparable, V any](a, b map[K]V) map[K]bool {
	keys := make(map[K]bool, len(a))
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	return keys
}

func orZero[T any](v, zero *T) *T {
	if v == nil {
		return zero
	}
	return v
}

// Sizes are the row counts that `z4j status` shows.
type Sizes struct {
	Users, Projects, Agents, AgentsOnline, Tasks, Sessions, AuditRows, OutboxRows, CommandsOpen int64
}

// Sizes counts the small tables and reads the kept count of tasks.
func (s *Store) Sizes(ctx context.Context) (Sizes, error) {
	var t Sizes
	now := s.Now()
	for _, c := range []struct {
		into  *int64
		query string
		args  []any
	}{
		{&t.Users, "SELECT count(*) FROM users", nil},
		{&t.Projects, "SELECT count(*) FROM projects WHERE is_active", nil},
		{&t.Agents, "SELECT count(*) FROM agents WHERE revoked_at IS NULL", nil},
		{&t.AgentsOnline, "SELECT count(*) FROM agents WHERE revoked_at IS NULL AND state = 'online'", nil},
		{&t.Tasks, "SELECT CAST(coalesce(sum(n), 0) AS bigint) FROM task_counts", nil},
		{&t.Sessions, "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND expires_at > $1", []any{now}},
		{&t.AuditRows, "SELECT coalesce(max(active_row_count), 0) FROM audit_state", nil},
		{&t.OutboxRows, "SELECT count(*) FROM audit_outbox", nil},
		{&t.CommandsOpen, "SELECT count(*) FROM commands WHERE status IN ('pending', 'dispatched')", nil},
	} {
		err := s.Read(ctx, c.query, c.args, func(scan func(...any) error) error { return scan(c.into) })
		if err != nil {
			return Sizes{}, fmt.Errorf("count rows: %w", err)
		}
	}
	return t, nil
}

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
}

// Migrations lists the steps this binary knows, oldest first.
func (s *Store) Migrations() ([]Migration, error) {
	names, err := fs.Glob(schema.Migrations, s.eng.migrations()+"/*.sql")
	if err != nil {
		return nil, err
	}
	var out []Migration
	for _, n := range names {
		base := strings.TrimSuffix(path.Base(n), ".sql")
		number, rest, _ := strings.Cut(base, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number: %w", n, err)
		}
		out = append(out, Migration{v, rest})
	}
	return out, nil
}
