// SPDX-License-Identifier: AGPL-3.0-or-later

// Package litetx lets code that sqlc generated for pgx run on SQLite: it implements the
// generated DBTX interface (Exec, Query, QueryRow) over database/sql. Statements are prepared
// once per handle, which halves the cost of a small upsert. Times are integers in microseconds.
package litetx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/store/internal/sqltrace"
)

// Preparer is what statements are prepared on: a *sql.DB or a *sql.Conn.
type Preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// DB runs statements on one handle. It is safe for concurrent use when its Preparer is.
type DB struct {
	on Preparer
	// trace makes spans of statements.
	trace bool
	// watch, if not nil, is told each statement.
	watch func(query string, args []any)

	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

// maxStatements bounds the cache; statements built at run time (filters) must not grow it for ever.
const maxStatements = 512

// New returns a DB over on. Close releases its statements, not the handle. With trace, statements that come through Exec,
// Query and QueryRow become spans. watch, if not nil, is told each statement.
func New(on Preparer, trace bool, watch func(query string, args []any)) *DB {
	return &DB{on: on, trace: trace, watch: watch, stmts: make(map[string]*sql.Stmt)}
}

// Close releases the prepared statements.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, s := range d.stmts {
		errs = append(errs, s.Close())
	}
	clear(d.stmts)
	return errors.Join(errs...)
}

// Stmt returns the cached prepared statement of query.
func (d *DB) Stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if d.watch != nil {
		d.watch(query, nil)
	}
	d.mu.RLock()
	s := d.stmts[query]
	d.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	s, err := d.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if other := d.stmts[query]; other != nil {
		// The loser of a race closes its own; nobody uses it yet.
		_ = s.Close()
		return other, nil
	}
	if len(d.stmts) < maxStatements {
		d.stmts[query] = s
		return s, nil
	}
	for old, victim := range d.stmts {
		// database/sql keeps a statement alive until its last user is done.
		_ = victim.Close()
		delete(d.stmts, old)
		break
	}
	d.stmts[query] = s
	return s, nil
}

// Exec runs a statement and reports the affected rows in the tag.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if !d.trace {
		return d.exec(ctx, query, args)
	}
	ctx, span := sqltrace.Start(ctx, sqltrace.SQLite, query)
	tag, err := d.exec(ctx, query, args)
	sqltrace.End(span, err)
	return tag, err
}

func (d *DB) exec(ctx context.Context, query string, args []any) (pgconn.CommandTag, error) {
	s, err := d.Stmt(ctx, query)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	res, err := s.ExecContext(ctx, Args(args)...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return pgconn.NewCommandTag("ROWS " + strconv.FormatInt(n, 10)), nil
}

// Query runs a query; the caller closes the rows.
func (d *DB) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if !d.trace {
		r, err := d.query(ctx, query, args)
		if err != nil {
			return nil, err
		}
		return &rows{Rows: r}, nil
	}
	ctx, span := sqltrace.Start(ctx, sqltrace.SQLite, query)
	r, err := d.query(ctx, query, args)
	if err != nil {
		sqltrace.End(span, err)
		return nil, err
	}
	// SQLite does its work while the rows are read.
	return &rows{Rows: r, span: span}, nil
}

func (d *DB) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	s, err := d.Stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, Args(args)...)
}

// QueryRow runs a query of one row. Scan answers pgx.ErrNoRows when there is none.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	r, err := d.Query(ctx, query, args...)
	return row{rows: r, err: err}
}

// Args turns times into the stored integers; everything else passes.
func Args(args []any) []any {
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			args[i] = v.UnixMicro()
		case *time.Time:
			if v == nil {
				args[i] = nil
			} else {
				args[i] = v.UnixMicro()
			}
		}
	}
	return args
}

type row struct {
	rows pgx.Rows
	err  error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// rows gives *sql.Rows the shape of pgx.Rows; the methods generated code never calls say so.
type rows struct {
	*sql.Rows
	closeErr error
	// span is ended when the rows are closed; nil without tracing.
	span trace.Span
}

func (r *rows) Close() {
	if err := r.Rows.Close(); err != nil && r.closeErr == nil {
		r.closeErr = err
	}
	if r.span != nil {
		sqltrace.End(r.span, r.Err())
	}
}

func (r *rows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.closeErr
}

func (r *rows) Scan(dest ...any) error {
	for i, d := range dest {
		switch t := d.(type) {
		case *time.Time:
			dest[i] = timeDest{one: t}
		case **time.Time:
			dest[i] = timeDest{opt: t}
		}
	}
	return r.Rows.Scan(dest...)
}

func (r *rows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (r *rows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (r *rows) Conn() *pgx.Conn                              { return nil }
func (r *rows) TypeMap() *pgtype.Map                         { return nil }
func (r *rows) RawValues() [][]byte                          { return nil }

// Values returns the row's columns as the driver gives them.
func (r *rows) Values() ([]any, error) {
	columns, err := r.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(columns))
	dest := make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	return values, r.Rows.Scan(dest...)
}

// timeDest scans an integer of microseconds.
type timeDest struct {
	one *time.Time
	opt **time.Time
}

// Scan implements sql.Scanner.
func (d timeDest) Scan(src any) error {
	var t time.Time
	switch v := src.(type) {
	case nil:
		if d.opt == nil {
			return errors.New("litetx: NULL in a time that may not be null")
		}
		*d.opt = nil
		return nil
	case int64:
		t = time.UnixMicro(v).UTC()
	case time.Time:
		t = v.UTC()
	default:
		return fmt.Errorf("litetx: cannot read %T as a time", src)
	}
	if d.opt != nil {
		*d.opt = &t
	} else {
		*d.one = t
	}
	return nil
}
