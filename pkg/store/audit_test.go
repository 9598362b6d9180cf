// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func outbox(t *testing.T, s *store.Store) []store.OutboxRow {
	t.Helper()
	var rows []store.OutboxRow
	err := s.InAuditTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		rows, err = tx.AuditOutbox(ctx, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestAuditOutbox(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		want := domain.AuditEntry{
			Action: "project.created", TargetType: "project", TargetID: "p-1", Result: domain.ResultSuccess,
			ProjectUID: uuid.New(), UserID: uuid.New(), SourceIP: "::ffff:10.0.0.1", UserAgent: "test <agent> \x00",
			Metadata:   map[string]any{"n": 12345678901234567, "f": 1.5, "s": "ä\x00<"},
			OccurredAt: time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC),
		}
		err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Audit(ctx, want) })
		if err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.Audit(ctx, want), boom)
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		rows := outbox(t, s)
		if len(rows) != 1 {
			t.Fatalf("%d rows waiting, want the committed one", len(rows))
		}
		id, got, err := rows[0].Entry()
		if err != nil || id == uuid.Nil {
			t.Fatal(id, err)
		}
		if got.Action != want.Action || got.ProjectUID != want.ProjectUID || got.UserID != want.UserID || got.APIKeyID != uuid.Nil ||
			got.SourceIP != "10.0.0.1" || got.UserAgent != want.UserAgent || got.Outcome != domain.OutcomeAllow ||
			!got.OccurredAt.Equal(want.OccurredAt.Truncate(time.Microsecond)) {
			t.Errorf("read back %+v", got)
		}
		if got.Metadata["n"] != json.Number("12345678901234567") || got.Metadata["s"] != "ä\x00<" {
			t.Errorf("metadata %v", got.Metadata)
		}
		if !rows[0].Authentic(storetest.AuditKey) || !rows[0].Authentic([]byte("other"), storetest.AuditKey) ||
			rows[0].Authentic([]byte("other")) || rows[0].Authentic() {
			t.Error("Authentic")
		}
		forged := rows[0]
		forged.Record = strings.Replace(forged.Record, "project.created", "project.updated", 1)
		if forged.Authentic(storetest.AuditKey) {
			t.Error("a changed record is authentic")
		}

		if waiting, aside, oldest, err := s.AuditBacklog(ctx, 10); waiting != 1 || aside != 0 || oldest.IsZero() || err != nil {
			t.Errorf("backlog %d %d %v %v", waiting, aside, oldest, err)
		}
		err = s.InAuditTx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.SetAsideAuditOutbox(ctx, rows[0], "test") })
		if err != nil {
			t.Fatal(err)
		}
		if waiting, aside, oldest, err := s.AuditBacklog(ctx, 10); waiting != 0 || aside != 1 || !oldest.IsZero() || err != nil {
			t.Errorf("backlog %d %d %v %v", waiting, aside, oldest, err)
		}
		err = s.InAuditTx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAuditOutbox(ctx, rows[0].ID) })
		if !errors.Is(err, store.ErrAuditMoved) {
			t.Errorf("second removal: %v", err)
		}

		err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			return tx.Audit(ctx, domain.AuditEntry{Action: "x.y", TargetType: "t", Result: "success", Metadata: map[string]any{"big": strings.Repeat("x", 70000)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if rows = outbox(t, s); len(rows) != 1 || len(rows[0].Record) > 1000 || !strings.Contains(rows[0].Record, "metadata_dropped") {
			t.Errorf("a huge record waits: %d", len(rows[0].Record))
		}
		if missing, err := s.MissingAuditTriggers(ctx); err != nil || len(missing) != 0 {
			t.Errorf("missing triggers %v, %v", missing, err)
		}
	})
}

func TestAuditRefusals(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		minute := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
		r := store.AuditRefusal{Minute: minute, SourceIP: "10.0.0.1", Action: "auth.login", Reason: "throttled", N: 3, LastAt: minute.Add(time.Second)}
		for range 2 {
			if err := s.AddAuditRefusals(t.Context(), []store.AuditRefusal{r}); err != nil {
				t.Fatal(err)
			}
		}
		err := s.InAuditTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if open, err := tx.ClosedAuditRefusals(ctx, minute, 10); err != nil || len(open) != 0 {
				t.Errorf("an open minute is listed: %v %v", open, err)
			}
			rows, err := tx.ClosedAuditRefusals(ctx, minute.Add(time.Minute), 10)
			if err != nil || len(rows) != 1 || rows[0].N != 6 {
				t.Fatalf("closed: %v %v", rows, err)
			}
			return tx.DeleteAuditRefusal(ctx, rows[0])
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
