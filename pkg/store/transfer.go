// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/transfer"
	schema "github.com/z4jdev/z4j/sql"
)

// CopyProgress tells how far the copy of a table is.
type CopyProgress = transfer.Progress

// Errors of CopyTo.
var (
	// ErrNotEmpty says that the target holds another installation.
	ErrNotEmpty = errors.New("the target holds an installation already")
	// ErrInUse says that a brain works on the source.
	ErrInUse = errors.New("a brain is running on the source")
	// ErrCopyChanged says that the source is not what an interrupted copy began with.
	ErrCopyChanged = transfer.ErrChanged
)

// CopyTo copies everything to a database of the other engine, which must be empty or hold the beginning of the same copy.
// Both must have this binary's schema. The source is only read. report is called after every page.
func (s *Store) CopyTo(ctx context.Context, to *Store, report func(CopyProgress)) error {
	if s.Engine() == to.Engine() {
		return fmt.Errorf("both databases are %s; use backup and restore for that", s.Engine())
	}
	mark, err := s.copyMark(ctx)
	if err != nil {
		return err
	}
	if err := to.copyable(ctx); err != nil {
		return err
	}
	return s.copyRows(ctx, to, mark, report)
}

// copyRows copies one state of the database into another one, which must be ready for it.
func (s *Store) copyRows(ctx context.Context, to *Store, mark string, report func(CopyProgress)) error {
	err := s.snapshot(ctx, func(ctx context.Context, read db.DBTX) error {
		lite := read
		if to.Engine() == "sqlite" {
			lite = to.eng.read()
		}
		tables, err := transfer.Catalogue(ctx, lite)
		if err != nil {
			return err
		}
		return transfer.Copy(ctx, tables, transfer.Side{Postgres: s.Engine() != "sqlite", Read: read}, transfer.Side{
			Postgres: to.Engine() != "sqlite", Read: to.eng.read(), PrepareDays: to.eng.prepareDays,
			Tx: func(ctx context.Context, fn func(context.Context, db.DBTX) error) error {
				return to.eng.tx(ctx, false, fn)
			},
		}, mark, report)
	})
	if err != nil {
		return to.err(err)
	}
	if err := to.forgetSearch(ctx); err != nil {
		return err
	}
	return to.foldAll(ctx)
}

// snapshot runs fn on one state of the database.
func (s *Store) snapshot(ctx context.Context, fn func(ctx context.Context, read db.DBTX) error) error {
	p, ok := s.eng.(*pg)
	if !ok {
		return fn(ctx, s.eng.read())
	}
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(t pgx.Tx) error {
		// A large table takes longer than a request may.
		if _, err := t.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return fn(ctx, t)
	})
}

// foldAll merges appended counter changes, which only PostgreSQL has.
func (s *Store) foldAll(ctx context.Context) error {
	if s.Engine() != "sqlite" {
		return nil
	}
	for {
		n, err := s.FoldDeltas(ctx, 500)
		if err != nil || n == 0 {
			return err
		}
	}
}

// copyMark names the state of the installation: any work changes it.
func (s *Store) copyMark(ctx context.Context) (string, error) {
	var live int64
	if err := s.eng.read().QueryRow(ctx, "SELECT count(*) FROM leases WHERE expires_at > $1", s.now()).Scan(&live); err != nil {
		return "", s.err(err)
	}
	if live > 0 {
		return "", ErrInUse
	}
	id, err := s.InstallationID(ctx)
	if err != nil {
		return "", err
	}
	mark := []string{id.String()}
	for _, query := range []string{
		"SELECT coalesce(max(id), 0) FROM tasks", "SELECT coalesce(max(head_seq), 0) FROM audit_state", "SELECT count(*) FROM audit_outbox",
		"SELECT coalesce(max(id), 0) FROM names", "SELECT count(*) FROM commands", "SELECT count(*) FROM events",
	} {
		var n int64
		if err := s.eng.read().QueryRow(ctx, query).Scan(&n); err != nil {
			return "", s.err(err)
		}
		mark = append(mark, strconv.FormatInt(n, 10))
	}
	return strings.Join(mark, "."), nil
}

// copyable reports whether rows may be copied in: nothing is there but what an interrupted copy left.
func (s *Store) copyable(ctx context.Context) error {
	begun, err := s.CopyBegun(ctx)
	if err != nil || begun {
		return err
	}
	for _, table := range []string{"users", "projects", "agents", "tasks", "audit_log", "names"} {
		var n int64
		if err := s.eng.read().QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			return s.err(err)
		}
		if n > 0 {
			return fmt.Errorf("%w: its table %s has %d rows", ErrNotEmpty, table, n)
		}
	}
	// What a first look at the database leaves, such as the installation's id, comes from the source.
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, table := range []string{"meta", "setup_token", "leases", "audit_outbox", "audit_refusals"} {
			if _, err := tx.db.Exec(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		return nil
	})
}

// CopyBegun reports whether the database is the target of a copy that has not ended: it must not be used.
func (s *Store) CopyBegun(ctx context.Context) (bool, error) {
	query := "SELECT count(*) FROM sqlite_master WHERE name = '" + transfer.StateTable + "'"
	if s.Engine() != "sqlite" {
		query = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('" + transfer.StateTable + "')"
	}
	var n int64
	err := s.eng.read().QueryRow(ctx, query).Scan(&n)
	return n > 0, s.err(err)
}

// ErrFileExists says that a backup would overwrite a file.
var ErrFileExists = errors.New("the file exists already")

// BackupTo writes the whole database, as it is at one moment, into a new SQLite file that only this user may read. The
// brain may go on working. report is called while rows are copied.
func (s *Store) BackupTo(ctx context.Context, path string, report func(CopyProgress)) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s", ErrFileExists, path)
	}
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what an interrupted backup left: %w", err)
	}
	if err := s.backup(ctx, part, report); err != nil {
		return errors.Join(err, removeDatabase(part))
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("name the backup: %w", err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string, report func(CopyProgress)) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create the backup: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create the backup: %w", err)
	}
	if l, ok := s.eng.(*lite); ok {
		if err := l.vacuumInto(ctx, path); err != nil {
			return s.err(err)
		}
		return syncFile(path)
	}
	to, err := Open(ctx, Options{URL: "sqlite:///" + path, Logger: s.log, Now: s.now})
	if err != nil {
		return err
	}
	err = to.Migrate(ctx)
	if err == nil {
		err = s.copyRows(ctx, to, "backup", report)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	// One file, without a log beside it.
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, "PRAGMA journal_mode = DELETE")
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	return syncFile(path)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeDatabase removes a database file and its companions.
func removeDatabase(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CheckFile looks at an SQLite file that is to be restored, without changing it: it must be whole and hold an installation.
// It returns the installation's id and the schema of the file.
func CheckFile(ctx context.Context, path string) (id string, version int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return "", 0, err
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return "", 0, fmt.Errorf("%s is in use, or was copied while it was (%s-wal lies beside it): make backups with 'z4j backup'", path, path)
	}
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&immutable=1")
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var verdict string
	if err := d.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		return "", 0, fmt.Errorf("%s is no whole z4j database: %w", path, cmp.Or(err, errors.New(verdict)))
	}
	sub, err := fs.Sub(schema.Migrations, (*lite)(nil).migrations())
	if err != nil {
		return "", 0, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, d, sub, goose.WithVerbose(false))
	if err != nil {
		return "", 0, err
	}
	current, head, err := versions(ctx, p, func() (bool, error) {
		var n int64
		err := d.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'").Scan(&n)
		return n > 0, err
	})
	switch {
	case err != nil:
		return "", 0, err
	case current == 0:
		return "", 0, fmt.Errorf("%s holds no z4j installation", path)
	case current > head:
		return "", current, fmt.Errorf("%s has schema %d, this z4j knows %d: use the version that made it, or a newer one", path, current, head)
	}
	var begun int64
	if err := d.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = ?", transfer.StateTable).Scan(&begun); err != nil || begun > 0 {
		return "", current, cmp.Or(err, fmt.Errorf("%s is an unfinished copy: run its 'z4j copy-to' again", path))
	}
	if err := d.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'installation_id'").Scan(&id); err != nil {
		return "", current, fmt.Errorf("%s names no installation: %w", path, err)
	}
	return id, current, nil
}

// DropLeases forgets who does what: in a restored database nobody does.
func (s *Store) DropLeases(ctx context.Context) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.db.Exec(ctx, "DELETE FROM leases")
		return err
	})
}
