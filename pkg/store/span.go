// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// markStale notes which stretches of ten minutes the deltas change, so that the sums over them are made anew.
func (tx *Tx) markStale(ctx context.Context, d *deltas) error {
	type bucket struct{ project, at int64 }
	touched := make(map[bucket]bool)
	for k, v := range d.rolls {
		if !v.nothing() {
			touched[bucket{k.Project, bucketOf(time.UnixMicro(k.At), rollupTen).UnixMicro()}] = true
		}
	}
	keys := make([]bucket, 0, len(touched))
	for k := range touched {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b bucket) int { return cmp.Or(cmp.Compare(a.project, b.project), cmp.Compare(a.at, b.at)) })
	for _, k := range keys {
		err := tx.s.q.MarkStale(ctx, tx.db, db.MarkStaleParams{ProjectID: k.project, Res: rollupTen, At: time.UnixMicro(k.at).UTC()})
		if err != nil {
			return fmt.Errorf("mark roll-ups as changed: %w", err)
		}
	}
	return nil
}

// spanSteps is how many buckets SumRollups looks at in a call, of each width.
const spanSteps = 20

// SumRollups makes sums over buckets that ended and changed since theirs were made, of ten minutes first, then of the
// hours and the days that these are in. It returns how many it made, 0 when nothing is left.
func (s *Store) SumRollups(ctx context.Context) (n int64, err error) {
	now := s.Now()
	for i := len(spanWidths) - 1; i >= 0; i-- {
		res := spanWidths[i]
		found, err := s.q.StaleBuckets(ctx, s.eng.read(), db.StaleBucketsParams{Res: res, UntilAt: now.Add(-rollupWidth(res)), MaxRows: spanSteps})
		if err != nil {
			return n, fmt.Errorf("look for changed roll-ups: %w", s.err(err))
		}
		for _, b := range found {
			done, err := s.sumBucket(ctx, spanBucket{b.ProjectID, res, b.At.UTC(), b.Changes}, now)
			if err != nil {
				return n, fmt.Errorf("sum roll-ups of project %d: %w", b.ProjectID, err)
			}
			if done {
				n++
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, nil
}

type spanBucket struct {
	project, res int64
	at           time.Time
	changes      int64
}

// within is the next narrower width, 0 for the narrowest; around the next wider one, 0 for the widest.
func within(res int64) int64 {
	switch res {
	case RollupDay:
		return RollupHour
	case RollupHour:
		return rollupTen
	default:
		return 0
	}
}

func around(res int64) int64 {
	switch res {
	case rollupTen:
		return RollupHour
	case RollupHour:
		return RollupDay
	default:
		return 0
	}
}

type spanKey struct {
	res      int64
	dim      Dim
	at       int64 // microseconds
	key, sub int64
}

func compareSpans(a, b spanKey) int {
	return cmp.Or(cmp.Compare(a.res, b.res), cmp.Compare(a.dim, b.dim), cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key), cmp.Compare(a.sub, b.sub))
}

// sumBucket makes the sums of one bucket. done is false when it must wait for a narrower one, or changed meanwhile.
func (s *Store) sumBucket(ctx context.Context, b spanBucket, now time.Time) (done bool, err error) {
	end := b.at.Add(rollupWidth(b.res))
	narrow := within(b.res)
	for res := narrow; res != 0; res = within(res) {
		busy, err := s.q.StaleInside(ctx, s.eng.read(), db.StaleInsideParams{ProjectID: b.project, Res: res, FromAt: b.at, UntilAt: end})
		if err != nil || busy {
			return false, s.err(err)
		}
	}
	sums := make(map[spanKey]*Sum)
	made := []int64{b.res}
	if b.res == rollupTen {
		// The whole project also by the minute: a chart of an hour has no use for less.
		made = append(made, RollupMinute)
	}
	kept := !b.at.Before(s.spansFrom(b.res, now))
	switch {
	case !kept:
		// Roll-ups of that time are kept in wider buckets only, and so are their sums.
	case narrow != 0 && !b.at.Before(s.spansFrom(narrow, now)):
		err = s.sumSpans(ctx, b, narrow, sums)
	default:
		err = s.sumBase(ctx, b, sums)
	}
	if err != nil {
		return false, s.err(err)
	}
	err = s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		rows, err := s.q.UnmarkStale(ctx, tx.db, db.UnmarkStaleParams{ProjectID: b.project, Res: b.res, At: b.at, Changes: b.changes})
		if err != nil {
			return err
		}
		if done = rows > 0; !done {
			return nil
		}
		for _, res := range made {
			if err := s.q.DropSpans(ctx, tx.db, db.DropSpansParams{ProjectID: b.project, Res: res, FromAt: b.at, UntilAt: end}); err != nil {
				return err
			}
		}
		if err := tx.insertSpans(ctx, b.project, sums); err != nil {
			return err
		}
		if wide := around(b.res); wide != 0 {
			return s.q.MarkStale(ctx, tx.db, db.MarkStaleParams{ProjectID: b.project, Res: wide, At: bucketOf(b.at, wide)})
		}
		return nil
	})
	return done, err
}

// sumSpans makes the sums of a bucket from those of width res.
func (s *Store) sumSpans(ctx context.Context, b spanBucket, res int64, sums map[spanKey]*Sum) error {
	return s.Read(ctx, `SELECT dim, key_id, sub_id, received, started, succeeded, failed, retried, revoked, durations FROM rollup_spans
		WHERE project_id = $1 AND res = $2 AND dim IN (0, 1, 2, 3) AND at >= $3 AND at < $4`,
		[]any{b.project, res, b.at, b.at.Add(rollupWidth(b.res))},
		func(scan func(...any) error) error {
			k := spanKey{res: b.res, at: b.at.UnixMicro()}
			var v Sum
			var blob []byte
			if err := scan((*int64)(&k.dim), &k.key, &k.sub, &v.Received, &v.Started, &v.Succeeded, &v.Failed, &v.Retried, &v.Revoked, &blob); err != nil {
				return err
			}
			if err := v.durations.MergeEncoded(laneRun, blob); err != nil {
				return err
			}
			entry(sums, k).Merge(&v)
			return nil
		})
}

// sumBase makes the sums of a bucket from the roll-ups that begin in it, in one statement: rows that are being merged into
// wider buckets are seen on one side of that or the other.
func (s *Store) sumBase(ctx context.Context, b spanBucket, sums map[spanKey]*Sum) error {
	part := func(res int64) string {
		return "SELECT at, name_id, queue_id, kind, n, sketch FROM rollups WHERE project_id = $1 AND res = " + strconv.FormatInt(res, 10) + " AND at >= $2 AND at < $3"
	}
	start := b.at.UnixMicro()
	err := s.Read(ctx, part(RollupMinute)+" UNION ALL "+part(RollupHour)+" UNION ALL "+part(RollupDay),
		[]any{b.project, b.at, b.at.Add(rollupWidth(b.res))},
		func(scan func(...any) error) error {
			var at time.Time
			var name, queue, n int64
			var kind domain.RollupKind
			var blob []byte
			if err := scan(&at, &name, &queue, (*int64)(&kind), &n, &blob); err != nil {
				return err
			}
			if b.res == rollupTen {
				if err := entry(sums, spanKey{RollupMinute, ByNothing, at.UnixMicro(), 0, 0}).count(kind, n, blob); err != nil {
					return err
				}
			}
			return entry(sums, spanKey{b.res, byQueueAndName, start, queue, name}).count(kind, n, blob)
		})
	if err != nil {
		return err
	}
	for k, v := range sums {
		if k.dim != byQueueAndName {
			continue
		}
		for _, wide := range []spanKey{{b.res, ByNothing, start, 0, 0}, {b.res, ByName, start, k.sub, 0}, {b.res, ByQueue, start, k.key, 0}} {
			entry(sums, wide).Merge(v)
		}
	}
	return nil
}

// spanRows is how many sums one statement writes.
const spanRows = 50

func (tx *Tx) insertSpans(ctx context.Context, project int64, sums map[spanKey]*Sum) error {
	keys := sortedKeys(sums, compareSpans)
	for chunk := range slices.Chunk(keys, spanRows) {
		q := &builder{}
		rows := make([]string, len(chunk))
		for i, k := range chunk {
			v := sums[k]
			cols := []any{
				project, k.res, int64(k.dim), time.UnixMicro(k.at).UTC(), k.key, k.sub,
				v.Received, v.Started, v.Succeeded, v.Failed, v.Retried, v.Revoked, v.durations.Append([]byte{}),
			}
			marks := make([]string, len(cols))
			for j, c := range cols {
				marks[j] = q.arg(c)
			}
			rows[i] = "(" + strings.Join(marks, ", ") + ")"
		}
		_, err := tx.db.Exec(ctx, "INSERT INTO rollup_spans (project_id, res, dim, at, key_id, sub_id, received, started, succeeded, failed, retried, revoked, durations) VALUES "+
			strings.Join(rows, ", "), q.args...)
		if err != nil {
			return fmt.Errorf("write sums: %w", err)
		}
	}
	return nil
}

// ExpireSpans deletes sums that are not read any more: of widths whose roll-ups were merged into wider ones, and days
// before the given time. It deletes those of one day of one project and width at a time, and returns how many rows went,
// 0 when nothing is left.
func (s *Store) ExpireSpans(ctx context.Context, before time.Time) (int64, error) {
	projects, err := s.q.ProjectIDs(ctx, s.eng.read())
	if err != nil {
		return 0, fmt.Errorf("list projects: %w", s.err(err))
	}
	now := s.Now()
	for _, project := range projects {
		for _, res := range [...]int64{RollupMinute, rollupTen, RollupHour, RollupDay} {
			limit := domain.Micros(before).Add(-rollupWidth(res)).Add(time.Microsecond)
			if res != RollupDay {
				// A reader may have planned with an earlier clock.
				res := max(res, rollupTen)
				limit = s.spansFrom(res, now).Add(-rollupWidth(around(res)))
			}
			for _, dim := range [...]Dim{ByNothing, ByName, ByQueue, byQueueAndName} {
				oldest, err := s.q.OldestSpan(ctx, s.eng.read(), db.OldestSpanParams{ProjectID: project, Res: res, Dim: int64(dim), Before: limit})
				if s.isNotFound(err) {
					continue
				}
				if err != nil {
					return 0, fmt.Errorf("look for expired sums: %w", s.err(err))
				}
				until := oldest.Add(24 * time.Hour)
				if until.After(limit) {
					until = limit
				}
				return s.expire(ctx, "sums of roll-ups", func(ctx context.Context, tx *Tx) (int64, error) {
					return s.q.ExpireSpans(ctx, tx.db, db.ExpireSpansParams{ProjectID: project, Res: res, Dim: int64(dim), FromAt: oldest, UntilAt: until})
				})
			}
		}
	}
	return 0, nil
}
