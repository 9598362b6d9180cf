// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver for Exec

	"github.com/z4jdev/z4j/pkg/store"
)

// Exec runs statements on a connection of its own, as somebody with a database client would: past the store, its
// checks and its locks.
func Exec(t testing.TB, url string, statements ...string) error {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:///"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	d, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatalf("open a second connection: %v", err)
	}
	defer func() { _ = d.Close() }()
	d.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := d.ExecContext(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}

// EachURL is Each for tests that need the database's URL too, and may open the store with options.
func EachURL(t *testing.T, fn func(t *testing.T, s *store.Store, url string), opts ...func(*store.Options)) {
	t.Helper()
	run := func(name string, open func(testing.TB, ...func(*store.Options)) *store.Store) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var url string
			s := open(t, append(slices.Clip(opts), func(o *store.Options) { url = o.URL })...)
			fn(t, s, url)
		})
	}
	run("sqlite", SQLite)
	run("postgresql", Postgres)
}

// Holding runs fn while a transaction of another PostgreSQL client stands open after statement.
func Holding(t testing.TB, url, statement string, fn func()) {
	t.Helper()
	d, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatalf("open a second connection: %v", err)
	}
	defer func() { _ = d.Close() }()
	tx, err := d.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	fn()
}
