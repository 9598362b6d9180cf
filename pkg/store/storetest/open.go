// SPDX-License-Identifier: AGPL-3.0-or-later

// Package storetest opens fresh databases for tests and holds the conformance suite that both
// engines must pass. It is imported by tests only.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/store"
)

// PostgresEnv names the server that PostgreSQL tests use: a URL of a superuser's maintenance database.
const PostgresEnv = "Z4J_TEST_POSTGRES"

// AuditKey is the outbox key of test stores.
var AuditKey = []byte("storetest-audit-key-0123456789abcdef")

// SQLite opens a migrated store in a fresh file that lives as long as the test.
func SQLite(t testing.TB, opts ...func(*store.Options)) *store.Store {
	t.Helper()
	return open(t, "sqlite:///"+filepath.Join(t.TempDir(), "z4j.db"), opts)
}

// Postgres opens a migrated store in a database of its own, dropped after the test. Without a
// server the test is skipped, or fails when CI is set: a check that does not run is a failure there.
func Postgres(t testing.TB, opts ...func(*store.Options)) *store.Store {
	t.Helper()
	return open(t, PostgresURL(t), opts)
}

// PostgresURL creates an empty database for the test and returns its URL.
func PostgresURL(t testing.TB) string {
	t.Helper()
	admin := os.Getenv(PostgresEnv) //nolint:forbidigo // the one place where tests learn of the server
	if admin == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // as above
			t.Fatalf("%s is not set: run the tests by `make test`, which starts PostgreSQL", PostgresEnv)
		}
		t.Skipf("%s is not set: run `make test`, which starts PostgreSQL", PostgresEnv)
	}
	ctx := context.Background()
	c, err := pgx.Connect(ctx, admin)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	var b [6]byte
	_, _ = rand.Read(b[:])
	name := "t_" + hex.EncodeToString(b[:])
	if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		_, err := c.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil {
			t.Errorf("drop test database: %v", err)
		}
		_ = c.Close(context.Background())
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s: %v", PostgresEnv, err)
	}
	u.Path = "/" + name
	return u.String()
}

func open(t testing.TB, dsn string, opts []func(*store.Options)) *store.Store {
	t.Helper()
	o := store.Options{URL: dsn, Logger: slog.New(slog.DiscardHandler), AuditKey: AuditKey, SearchIndex: true}
	for _, f := range opts {
		f(&o)
	}
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return s
}

// Each runs fn against a fresh store of every engine.
func Each(t *testing.T, fn func(t *testing.T, s *store.Store), opts ...func(*store.Options)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); fn(t, SQLite(t, opts...)) })
	t.Run("postgresql", func(t *testing.T) { t.Parallel(); fn(t, Postgres(t, opts...)) })
}

// Still is an option for a store whose clock stands still: how far it looks for an answer depends on no machine's speed.
func Still(o *store.Options) {
	now := time.Now()
	o.Now = func() time.Time { return now }
}
