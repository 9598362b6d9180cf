// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func TestTransactions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		desc := "first"
		var made store.Project
		err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			made, err = tx.CreateProject(ctx, store.NewProject{
				Slug: "default", Name: "Default", Description: &desc, Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler",
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.ProjectBySlug(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		if got.UID != made.UID || got.ID != made.ID || !got.CreatedAt.Equal(made.CreatedAt) || *got.Description != desc || !got.IsActive {
			t.Errorf("read back %+v, want %+v", got, made)
		}
		if got.CreatedAt.Location() != time.UTC {
			t.Errorf("time in zone %v, want UTC", got.CreatedAt.Location())
		}

		err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateProject(ctx, store.NewProject{Slug: "default", Name: "x", Environment: "e", Timezone: "UTC", DefaultOwner: "o"})
			return err
		})
		if !errors.Is(err, domain.ErrConflict) {
			t.Errorf("duplicate slug: %v, want ErrConflict", err)
		}

		boom := errors.New("boom")
		err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.CreateProject(ctx, store.NewProject{Slug: "gone", Name: "x", Environment: "e", Timezone: "UTC", DefaultOwner: "o"}); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Errorf("got %v, want boom", err)
		}
		if _, err := s.ProjectBySlug(ctx, "gone"); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("after rollback: %v, want ErrNotFound", err)
		}

		err = s.InTx(ctx, func(ctx context.Context, _ *store.Tx) error {
			return s.InTx(ctx, func(context.Context, *store.Tx) error { return nil })
		})
		if !errors.Is(err, store.ErrNestedTx) {
			t.Errorf("nested: %v, want ErrNestedTx", err)
		}
	})
}

func TestLeases(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		g1, ok, err := s.TakeLease(ctx, "sweep", "a", time.Minute)
		if err != nil || !ok || g1 != 1 {
			t.Fatalf("first take: %d %v %v", g1, ok, err)
		}
		if _, ok, err := s.TakeLease(ctx, "sweep", "b", time.Minute); err != nil || ok {
			t.Fatalf("taken by another: %v %v", ok, err)
		}
		if g, ok, err := s.TakeLease(ctx, "sweep", "a", time.Minute); err != nil || !ok || g != 1 {
			t.Fatalf("renewal: %d %v %v", g, ok, err)
		}
		if err := s.DropLease(ctx, "sweep", "a"); err != nil {
			t.Fatal(err)
		}
		if g, ok, err := s.TakeLease(ctx, "sweep", "b", -time.Second); err != nil || !ok || g != 1 {
			t.Fatalf("after drop: %d %v %v", g, ok, err)
		}
		// b's lease has expired at once: a may take over, and the generation tells.
		if g, ok, err := s.TakeLease(ctx, "sweep", "a", time.Minute); err != nil || !ok || g != 2 {
			t.Fatalf("after expiry: %d %v %v", g, ok, err)
		}
	})
}

func TestSchemaVersion(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		current, head, err := s.SchemaVersion(t.Context())
		if err != nil || current != head || head < 1 {
			t.Fatalf("version %d of %d: %v", current, head, err)
		}
		a, err := s.InstallationID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.InstallationID(t.Context()); err != nil || a != b {
			t.Fatalf("installation id changed: %v %v %v", a, b, err)
		}
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestStatementTimeout has PostgreSQL end a statement that takes longer than it may: the caller learns that it may try
// later, and a transaction is not repeated to wait as long again.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	s := storetest.Postgres(t, func(o *store.Options) { o.StatementTimeout, o.LockTimeout = 200*time.Millisecond, 100*time.Millisecond })
	runs := 0
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		runs++
		return tx.Sleep(ctx, 30)
	})
	if !errors.Is(err, domain.ErrTransient) || runs != 1 {
		t.Errorf("a statement out of time: %v after %d runs, want ErrTransient after one", err, runs)
	}
}
