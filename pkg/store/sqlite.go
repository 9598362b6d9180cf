// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/litetx"
	schema "github.com/z4jdev/z4j/sql"
)

// checkpointBytes is the size of the write-ahead log above which maintain folds it back.
const checkpointBytes = 64 << 20

// lite is SQLite: one writer connection behind a two-lane gate, and a pool of readers that cannot write.
type lite struct {
	path    string
	writeDB *sql.DB
	readDB  *sql.DB
	conn    *sql.Conn
	write   *litetx.DB
	reads   *litetx.DB
	gate    gate
}

// sqlitePath turns a URL or a bare path into a file path.
func sqlitePath(raw string) (string, error) {
	for _, prefix := range []string{"sqlite+aiosqlite://", "sqlite://", "file:"} {
		if rest, ok := strings.CutPrefix(raw, prefix); ok {
			// sqlite:///relative and sqlite:////absolute, as Python's tools write them.
			rest = strings.TrimPrefix(rest, "/")
			if i := strings.IndexByte(rest, '?'); i >= 0 {
				rest = rest[:i]
			}
			raw = rest
			break
		}
	}
	if raw == "" {
		return "", errors.New("the database URL names no file; use sqlite:////absolute/path/z4j.db")
	}
	return filepath.Abs(raw)
}

func openSQLite(ctx context.Context, o Options) (engine, error) {
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, err
	}
	// The file is made here so that it is private from its first byte.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database file: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database file: %w", err)
	}
	dsn := func(pragmas ...string) string {
		v := url.Values{}
		for _, p := range append([]string{
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
			"cache_size(-16000)", "temp_store(MEMORY)",
		}, pragmas...) {
			v.Add("_pragma", p)
		}
		v.Set("_time_integer_format", "unix_micro")
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + v.Encode()
	}
	l := &lite{path: path}
	if l.writeDB, err = sql.Open("sqlite", dsn("wal_autocheckpoint(4000)")); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	l.writeDB.SetMaxOpenConns(1)
	if l.conn, err = l.writeDB.Conn(ctx); err != nil {
		_ = l.writeDB.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if l.readDB, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), l.close())
	}
	n := o.ReadConns
	if n <= 0 {
		n = 4
	}
	l.readDB.SetMaxOpenConns(n)
	l.readDB.SetMaxIdleConns(n)
	l.write, l.reads = litetx.New(l.conn, o.Trace, o.Watch), litetx.New(l.readDB, o.Trace, o.Watch)
	return l, nil
}

func (l *lite) readAll(ctx context.Context, queries []rowQuery) error {
	for _, q := range queries {
		if err := q.run(ctx, l.read()); err != nil {
			return err
		}
	}
	return nil
}

func (*lite) later(h db.DBTX) db.DBTX { return h }

func (l *lite) name() string  { return "sqlite" }
func (l *lite) read() db.DBTX { return l.reads }

func (l *lite) tx(ctx context.Context, bulk bool, fn func(context.Context, db.DBTX) error) (err error) {
	if err := l.gate.lock(ctx, bulk); err != nil {
		return err
	}
	defer l.gate.unlock()
	if bulk {
		ctx = obs.WithoutChildren(ctx)
	}
	// The statements below must finish whatever happens to the caller: a context that ends in the
	// middle of COMMIT would leave the one writer inside a transaction.
	free := context.WithoutCancel(ctx)
	if _, err := l.write.Exec(free, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	done := false
	defer func() {
		if !done {
			_, rerr := l.write.Exec(free, "ROLLBACK")
			// A COMMIT that failed for good (full disk) has rolled back already.
			if rerr != nil && err != nil && !strings.Contains(rerr.Error(), "no transaction is active") {
				err = errors.Join(err, fmt.Errorf("rollback: %w", rerr))
			}
		}
	}()
	if err := fn(free, l.write); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := l.write.Exec(free, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

func (l *lite) poolStats() PoolStats {
	st := l.readDB.Stats()
	return PoolStats{Max: int64(st.MaxOpenConnections), InUse: int64(st.InUse), Waits: st.WaitCount, WaitTime: st.WaitDuration}
}

func (l *lite) ping(ctx context.Context) error {
	var one int64
	return l.reads.QueryRow(ctx, "SELECT 1").Scan(&one)
}

func (l *lite) provider() (*goose.Provider, *sql.DB, error) {
	sub, err := fs.Sub(schema.Migrations, l.migrations())
	if err != nil {
		return nil, nil, err
	}
	// A connection of its own: the writer's single connection stays with the gate.
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: l.path}).EscapedPath()+"?_pragma=busy_timeout(30000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	d.SetMaxOpenConns(1)
	p, err := goose.NewProvider(goose.DialectSQLite3, d, sub, goose.WithVerbose(false))
	if err != nil {
		_ = d.Close()
		return nil, nil, err
	}
	return p, d, nil
}

// vacuumInto writes a compact copy into an empty file: one statement, one state, also while others write. The readers may
// not do it, the writer would wait.
func (l *lite) vacuumInto(ctx context.Context, path string) error {
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: l.path}).EscapedPath()+"?_pragma=busy_timeout(30000)")
	if err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, "VACUUM INTO ?", path)
	return errors.Join(err, d.Close())
}

func (l *lite) migrate(ctx context.Context) error {
	p, d, err := l.provider()
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	_, err = p.Up(ctx)
	return err
}

func (l *lite) schemaVersion(ctx context.Context) (current, head int64, err error) {
	p, d, err := l.provider()
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = d.Close() }()
	return versions(ctx, p, func() (bool, error) {
		var n int64
		err := l.reads.QueryRow(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'").Scan(&n)
		return n > 0, err
	})
}

func (*lite) migrations() string { return "sqlite/migration" }

func (l *lite) serverVersion(ctx context.Context) (string, error) {
	var v string
	err := l.reads.QueryRow(ctx, "SELECT sqlite_version()").Scan(&v)
	return v, err
}

// preflight implements engine: the library is part of the binary, so only the file can be wrong.
func (l *lite) preflight(ctx context.Context) error { return l.ping(ctx) }

func (l *lite) size(context.Context) (int64, error) {
	var n int64
	for _, p := range []string{l.path, l.path + "-wal"} {
		if st, err := os.Stat(p); err == nil {
			n += st.Size()
		}
	}
	return n, nil
}

// maintain folds a grown write-ahead log back into the file; readers that hold it open only delay that.
func (l *lite) maintain(ctx context.Context) error {
	st, err := os.Stat(l.path + "-wal")
	if err != nil || st.Size() < checkpointBytes {
		return nil
	}
	if err := l.gate.lock(ctx, true); err != nil {
		return err
	}
	defer l.gate.unlock()
	_, err = l.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// dropEvents has nothing to drop: SweepEvents deletes row by row.
func (l *lite) dropEvents(context.Context, time.Time) (int64, error) { return 0, nil }

func (l *lite) close() error {
	var errs []error
	if l.write != nil {
		errs = append(errs, l.write.Close())
	}
	if l.reads != nil {
		errs = append(errs, l.reads.Close())
	}
	if l.readDB != nil {
		errs = append(errs, l.readDB.Close())
	}
	if l.conn != nil {
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(append(errs, l.writeDB.Close())...)
}

// skipLocked is empty: the one writer already excludes everybody else.
func (l *lite) skipLocked() string { return "" }

// outOfTime is never so: SQLite has no limit for a statement.
func (l *lite) outOfTime(error) bool { return false }

func (l *lite) mapErr(err error) error {
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, sql.ErrNoRows):
		return tagged{domain.ErrNotFound, err}
	}
	if se, ok := errors.AsType[*sqlite.Error](err); ok {
		switch se.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return tagged{domain.ErrConflict, err}
		}
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT:
			// The state of the file, the disk or the process, not of what was to be stored.
			return tagged{domain.ErrTransient, err}
		}
	}
	if errors.Is(err, errGateTimeout) {
		return tagged{domain.ErrTransient, err}
	}
	return err
}

// tagged adds a sentinel to an error without hiding it.
type tagged struct {
	sentinel error
	err      error
}

func (t tagged) Error() string   { return t.err.Error() }
func (t tagged) Unwrap() []error { return []error{t.sentinel, t.err} }

// gate is a mutex with two lanes: whoever waits in the interactive lane goes before the bulk lane.
type gate struct {
	mu    sync.Mutex
	held  bool
	lanes [2][]chan struct{}
}

const gateWait = 30 * time.Second

var errGateTimeout = errors.New("the database writer was busy for 30 seconds")

func (g *gate) lock(ctx context.Context, bulk bool) error {
	lane := 0
	if bulk {
		lane = 1
	}
	g.mu.Lock()
	if !g.held {
		g.held = true
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.lanes[lane] = append(g.lanes[lane], turn)
	g.mu.Unlock()

	timer := time.NewTimer(gateWait)
	defer timer.Stop()
	var cause error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		cause = ctx.Err()
	case <-timer.C:
		cause = errGateTimeout
	}
	g.mu.Lock()
	for i, c := range g.lanes[lane] {
		if c == turn {
			g.lanes[lane] = append(g.lanes[lane][:i], g.lanes[lane][i+1:]...)
			g.mu.Unlock()
			return cause
		}
	}
	g.mu.Unlock()
	// The turn came while we gave up: pass it on.
	g.unlock()
	return cause
}

func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for lane := range g.lanes {
		if len(g.lanes[lane]) > 0 {
			next := g.lanes[lane][0]
			g.lanes[lane] = g.lanes[lane][1:]
			close(next)
			return
		}
	}
	g.held = false
}
