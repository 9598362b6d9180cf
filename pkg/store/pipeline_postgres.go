// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// pgTx is an open transaction of PostgreSQL. A journey to the server and back costs more than most statements, on a busy machine
// many times as much, so statements whose answers nobody needs yet wait for the next one that somebody does, and go with it: the
// beginning with the first statement, the last writes with the commit.
type pgTx struct {
	conn *pgxpool.Conn
	// waiting goes before the next statement.
	waiting *pgx.Batch
}

// tx implements engine.
func (p *pg) tx(ctx context.Context, bulk bool, fn func(context.Context, db.DBTX) error) (err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	t := &pgTx{conn: conn, waiting: &pgx.Batch{}}
	t.waiting.Queue("begin")
	if bulk {
		// An acked event must survive a crash whatever the server's default is.
		t.waiting.Queue("set local synchronous_commit = on")
	}
	// After a panic too; a connection that is left within a transaction is closed when it goes back to the pool.
	defer func() {
		if conn.Conn().PgConn().TxStatus() != txIdle {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
			defer cancel()
			_, _ = conn.Exec(undo, "rollback")
		}
	}()
	if err := fn(ctx, t); err != nil {
		return err
	}
	return t.commit(ctx)
}

const (
	// txIdle is the server's mark of a connection without a transaction.
	txIdle = 'I'
	// rollbackTime bounds a rollback; the connection is closed when it takes longer.
	rollbackTime = 5 * time.Second
)

// Exec implements db.DBTX.
func (t *pgTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if t.waiting.Len() == 0 {
		return t.conn.Exec(ctx, query, args...)
	}
	answers, err := t.send(ctx, query, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := answers.Exec()
	if err != nil {
		_ = answers.Close() // the same error
		return tag, err
	}
	return tag, answers.Close()
}

// Query implements db.DBTX.
func (t *pgTx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if t.waiting.Len() == 0 {
		return t.conn.Query(ctx, query, args...)
	}
	answers, err := t.send(ctx, query, args)
	if err != nil {
		return nil, err
	}
	rows, err := answers.Query()
	if err != nil {
		_ = answers.Close() // the same error
		return nil, err
	}
	return &pgRows{Rows: rows, answers: answers}, nil
}

// QueryRow implements db.DBTX.
func (t *pgTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if t.waiting.Len() == 0 {
		return t.conn.QueryRow(ctx, query, args...)
	}
	rows, err := t.Query(ctx, query, args...)
	return pgRow{rows, err}
}

// queryBoth sends two queries in one journey and passes the rows of each to a function.
func (t *pgTx) queryBoth(ctx context.Context, first string, firstArgs []any, readFirst func(pgx.Rows) error,
	second string, secondArgs []any, readSecond func(pgx.Rows) error,
) error {
	batch := t.waiting
	t.waiting = &pgx.Batch{}
	batch.Queue(first, firstArgs...).Query(readFirst)
	batch.Queue(second, secondArgs...).Query(readSecond)
	return t.conn.SendBatch(ctx, batch).Close()
}

// CopyFrom is pgx's, with what waits before it.
func (t *pgTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	if t.waiting.Len() > 0 {
		batch := t.waiting
		t.waiting = &pgx.Batch{}
		if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
			return 0, err
		}
	}
	return t.conn.Conn().CopyFrom(ctx, table, columns, source)
}

// send sends what waits and then a query, whose answer is the next of those it returns.
func (t *pgTx) send(ctx context.Context, query string, args []any) (pgx.BatchResults, error) {
	batch := t.waiting
	before := batch.Len()
	t.waiting = &pgx.Batch{}
	batch.Queue(query, args...)
	answers := t.conn.SendBatch(ctx, batch)
	for range before {
		if _, err := answers.Exec(); err != nil {
			_ = answers.Close() // the same error
			return nil, err
		}
	}
	return answers, nil
}

// commit sends what waits, and ends the transaction with it. The server passes over the commit when something before it fails.
func (t *pgTx) commit(ctx context.Context) error {
	tag, err := t.Exec(ctx, "commit")
	if err == nil && tag.String() == "ROLLBACK" {
		return pgx.ErrTxCommitRollback
	}
	return err
}

// readAll implements engine in one journey.
func (p *pg) readAll(ctx context.Context, queries []rowQuery) error {
	switch len(queries) {
	case 0:
		return nil
	case 1:
		return queries[0].run(ctx, p.pool)
	}
	var batch pgx.Batch
	for _, q := range queries {
		batch.Queue(q.query, q.args...).Query(q.scan)
	}
	return p.pool.SendBatch(ctx, &batch).Close()
}

// later implements engine.
func (*pg) later(h db.DBTX) db.DBTX { return waitingTx{h.(*pgTx)} }

// waitingTx is a transaction whose writes go with a later statement, or with the commit. Their errors come up there; how many
// rows they wrote is never known.
type waitingTx struct{ *pgTx }

// Exec implements db.DBTX. args must not be changed any more.
func (w waitingTx) Exec(_ context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	w.waiting.Queue(query, args...)
	return pgconn.CommandTag{}, nil
}

// pgRows are the rows of the last statement of a batch: the connection is free when they have been read or closed.
type pgRows struct {
	pgx.Rows
	answers pgx.BatchResults
	err     error
}

// Next implements pgx.Rows.
func (r *pgRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *pgRows) Close() {
	r.Rows.Close()
	if r.answers != nil {
		r.err, r.answers = r.answers.Close(), nil
	}
}

// Err implements pgx.Rows.
func (r *pgRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// pgRow is the first of some rows.
type pgRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r pgRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	_, err := pgx.CollectOneRow(r.rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(dest...) })
	return err
}
