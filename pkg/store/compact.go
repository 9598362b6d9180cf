// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Widths of roll-up buckets, in minutes.
const (
	RollupMinute int64 = 1
	RollupHour   int64 = 60
	RollupDay    int64 = 1440
)

// How long roll-ups are kept by the minute, and then by the hour, unless Options say otherwise.
const (
	MinuteKeep = 96 * time.Hour
	HourKeep   = 30 * 24 * time.Hour
)

func rollupWidth(res int64) time.Duration { return time.Duration(res) * time.Minute }

// rollupLock is the advisory lock under which roll-up rows are read, changed and written back: folding reads a
// sketch before it writes it. The lease already keeps folders apart; this holds even while one changes hands.
const rollupLock = 0x7A346ADE

func (tx *Tx) lockRollups(ctx context.Context) error {
	if tx.s.eng.name() == "sqlite" {
		return nil
	}
	_, err := tx.db.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(rollupLock))
	return err
}

// CompactRollups merges roll-ups of width res that lie in buckets of width into which ended before the given
// time: one step of about limit rows of one project, oldest first. It returns how many rows it took, 0 when
// nothing is left. Rows move in one transaction, so that every moment counts as much before and after.
func (s *Store) CompactRollups(ctx context.Context, res, into int64, before time.Time, limit int64) (n int64, err error) {
	before = before.UTC().Truncate(rollupWidth(into))
	projects, err := s.q.ProjectIDs(ctx, s.eng.read())
	if err != nil {
		return 0, fmt.Errorf("list projects: %w", s.err(err))
	}
	for _, project := range projects {
		oldest, err := s.q.OldestRollup(ctx, s.eng.read(), db.OldestRollupParams{ProjectID: project, Res: res, Before: before})
		if s.isNotFound(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look for roll-ups to compact: %w", s.err(err))
		}
		if n, err = s.compactBucket(ctx, project, res, into, oldest, limit); err != nil {
			return 0, fmt.Errorf("compact roll-ups of project %d: %w", project, err)
		}
		return n, nil
	}
	return 0, nil
}

// compactBucket merges rows of the bucket that holds oldest, as many whole moments as make up limit rows.
func (s *Store) compactBucket(ctx context.Context, project, res, into int64, oldest time.Time, limit int64) (n int64, err error) {
	bucket := oldest.UTC().Truncate(rollupWidth(into))
	until := bucket.Add(rollupWidth(into))
	sizes, err := s.q.RollupSizes(ctx, s.eng.read(), db.RollupSizesParams{ProjectID: project, Res: res, FromAt: bucket, UntilAt: until})
	if err != nil {
		return 0, s.err(err)
	}
	rows := int64(0)
	for _, z := range sizes {
		if rows > 0 && rows+z.N > limit {
			until = z.At
			break
		}
		rows += z.N
	}
	err = s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		if err := tx.lockRollups(ctx); err != nil {
			return err
		}
		taken, err := s.q.TakeRollups(ctx, tx.db, db.TakeRollupsParams{ProjectID: project, Res: res, FromAt: bucket, UntilAt: until})
		if err != nil {
			return err
		}
		n = int64(len(taken))
		d := newDeltas()
		for _, r := range taken {
			v := d.roll(rollKey{project, into, bucket.UnixMicro(), r.NameID, r.QueueID, domain.RollupKind(r.Kind)})
			v.N += r.N
			v.RuntimeN += r.RuntimeN
			v.RuntimeMS += r.RuntimeMS
			if err := v.sketch.MergeEncoded(r.Sketch); err != nil {
				return err
			}
		}
		// Sums over wider buckets stay as they are: the rows only move.
		return tx.applyRolls(ctx, d)
	})
	return n, err
}

// ExpireRollups deletes the oldest roll-ups whose bucket ended before the given time, those of one moment of
// one project at a time. It returns how many rows went, 0 when nothing is left.
func (s *Store) ExpireRollups(ctx context.Context, before time.Time) (int64, error) {
	before = domain.Micros(before)
	projects, err := s.q.ProjectIDs(ctx, s.eng.read())
	if err != nil {
		return 0, fmt.Errorf("list projects: %w", s.err(err))
	}
	for _, project := range projects {
		for _, res := range []int64{RollupMinute, RollupHour, RollupDay} {
			// A bucket that starts at this moment ends just after before.
			end := before.Add(-rollupWidth(res)).Add(time.Microsecond)
			oldest, err := s.q.OldestRollup(ctx, s.eng.read(), db.OldestRollupParams{ProjectID: project, Res: res, Before: end})
			if s.isNotFound(err) {
				continue
			}
			if err != nil {
				return 0, fmt.Errorf("look for expired roll-ups: %w", s.err(err))
			}
			return s.expire(ctx, "roll-ups", func(ctx context.Context, tx *Tx) (int64, error) {
				if err := tx.lockRollups(ctx); err != nil {
					return 0, err
				}
				return s.q.DropRollups(ctx, tx.db, db.DropRollupsParams{ProjectID: project, Res: res, At: oldest})
			})
		}
	}
	return 0, nil
}
