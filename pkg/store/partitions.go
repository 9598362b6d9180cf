// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// partitionDays is how far ahead of time daily partitions of events exist.
const partitionDays = 7

// partitionName is the form of a partition's name.
const partitionName = "events_2006_01_02"

// day is the length of a partition.
const day = 24 * time.Hour

// partitionLock is the advisory lock under which partitions are made and dropped.
const partitionLock = 0x7A346ADD

// maintain creates the event partitions of the coming week, and those of days whose events fell into the default
// partition. They are made beside the table and then attached, so that the default partition, which must stay
// empty, is only locked for its check.
func (p *pg) maintain(ctx context.Context) error {
	today := time.Now().UTC().Truncate(day)
	var days []time.Time
	for i := -1; i <= partitionDays; i++ {
		days = append(days, today.AddDate(0, 0, i))
	}
	stray, err := p.strayDays(ctx)
	if err != nil {
		return err
	}
	for _, d := range stray {
		p.days.Delete(d)
	}
	return p.prepareDays(ctx, append(days, stray...))
}

// StrayDays is how many days have events in the default partition of PostgreSQL, which is to be empty: Maintain moves them
// where they belong. It is 0 on SQLite.
func (s *Store) StrayDays(ctx context.Context) (int, error) {
	p, ok := s.eng.(*pg)
	if !ok {
		return 0, nil
	}
	days, err := p.strayDays(ctx)
	return len(days), s.err(err)
}

// strayDays are the days of events in the default partition.
func (p *pg) strayDays(ctx context.Context) ([]time.Time, error) {
	rows, err := p.pool.Query(ctx, "SELECT DISTINCT date_trunc('day', at, 'UTC') FROM events_default LIMIT 50")
	if err != nil {
		return nil, fmt.Errorf("look into the default partition: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[time.Time])
}

// prepareDays attaches the partitions that are missing. An agent may bring events of days gone by
// after an outage: their partitions are made when they come.
func (p *pg) prepareDays(ctx context.Context, days []time.Time) error {
	for _, from := range days {
		if _, known := p.days.Load(from); known {
			continue
		}
		if err := p.tx(ctx, false, func(ctx context.Context, h db.DBTX) error { return attachDay(ctx, h, from) }); err != nil {
			return fmt.Errorf("create partition %s: %w", from.Format(partitionName), err)
		}
		p.days.Store(from, true)
	}
	return nil
}

func attachDay(ctx context.Context, h db.DBTX, from time.Time) error {
	name, until := from.Format(partitionName), from.AddDate(0, 0, 1)
	if _, err := h.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(partitionLock)); err != nil {
		return err
	}
	var there bool
	if err := h.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil || there {
		return err
	}
	if _, err := h.Exec(ctx, "CREATE TABLE "+name+" (LIKE events INCLUDING ALL)"); err != nil {
		return err
	}
	// Rows of that day in the default partition would forbid the attachment, and with it every event of the day.
	if _, err := h.Exec(ctx, "WITH stray AS (DELETE FROM events_default WHERE at >= $1 AND at < $2 RETURNING *) INSERT INTO "+name+
		" SELECT * FROM stray", from, until); err != nil {
		return err
	}
	_, err := h.Exec(ctx, fmt.Sprintf("ALTER TABLE events ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')",
		name, from.Format(time.RFC3339), until.Format(time.RFC3339)))
	return err
}

// dropWait is how long dropping a partition may wait for its lock. Everybody who wants the table waits behind it.
const dropWait = "300ms"

// dropEvents drops the partitions that end before the given time.
func (p *pg) dropEvents(ctx context.Context, before time.Time) (n int64, err error) {
	res, err := p.pool.Exec(ctx, "DELETE FROM events_default WHERE at < $1", before)
	if err != nil {
		return 0, fmt.Errorf("empty the default partition: %w", err)
	}
	n = res.RowsAffected()
	rows, err := p.pool.Query(ctx, `SELECT c.relname, greatest(coalesce(t.n_live_tup, 0), c.reltuples::bigint, 0)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_stat_user_tables t ON t.relid = c.oid
		WHERE i.inhparent = 'events'::regclass ORDER BY c.relname`)
	if err != nil {
		return n, fmt.Errorf("list partitions: %w", err)
	}
	type partition struct {
		Name string
		Rows int64
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
	if err != nil {
		return n, fmt.Errorf("list partitions: %w", err)
	}
	var busy []error
	for _, part := range list {
		from, err := time.Parse(partitionName, part.Name)
		if err != nil || from.Add(day).After(before) {
			continue // the default partition, or one that is still needed
		}
		err = p.tx(ctx, false, func(ctx context.Context, h db.DBTX) error {
			if _, err := h.Exec(ctx, "SET LOCAL lock_timeout = '"+dropWait+"'"); err != nil {
				return err
			}
			if _, err := h.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(partitionLock)); err != nil {
				return err
			}
			_, err := h.Exec(ctx, "DROP TABLE IF EXISTS "+part.Name)
			return err
		})
		if err != nil {
			busy = append(busy, fmt.Errorf("drop partition %s: %w", part.Name, err))
			continue
		}
		p.days.Delete(from)
		n += part.Rows
	}
	return n, errors.Join(busy...)
}
