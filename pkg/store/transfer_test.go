// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// fill puts some of everything that agents and people write into a store.
func fill(t *testing.T, s *store.Store) store.AgentRef {
	t.Helper()
	ref := storetest.Agent(t, s)
	var events []store.IngestEvent
	for i := range 3000 {
		id, at := fmt.Sprintf("t-%04d", i), base.Add(time.Duration(i)*time.Second-48*time.Hour)
		events = append(events, event(domain.KindReceived, id, at), event(domain.KindStarted, id, at.Add(time.Millisecond)))
		end := domain.KindSucceeded
		if i%7 == 0 {
			end = domain.KindFailed
		}
		events = append(events, event(end, id, at.Add(2*time.Second)))
	}
	events = append(events, store.IngestEvent{ID: uuid.NewString(), KindName: "worker.online", Engine: "celery", At: base, Worker: "w é\U0001F600", Rest: []byte(`{"a":"'"}`)})
	for len(events) > 0 {
		n := min(500, len(events))
		ingest(t, s, item(ref, events[:n]...))
		events = events[n:]
	}
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.Audit(ctx, domain.AuditEntry{Action: "test.filled", TargetType: "project", TargetID: "x", Result: domain.ResultSuccess})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func sameContent(t *testing.T, a, b, lite *store.Store) {
	t.Helper()
	x, err := a.ContentForTest(t.Context(), lite)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.ContentForTest(t.Context(), lite)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for table := range x {
		rows += len(x[table])
		if !reflect.DeepEqual(x[table], y[table]) {
			t.Errorf("table %s differs: %d and %d rows", table, len(x[table]), len(y[table]))
			for i := range min(len(x[table]), len(y[table])) {
				if !reflect.DeepEqual(x[table][i], y[table][i]) {
					t.Fatalf("row %d:\n%v\n%v", i, x[table][i], y[table][i])
				}
			}
		}
	}
	if rows < 12_000 {
		t.Errorf("only %d rows were compared", rows)
	}
}

// TestCopyTo moves an installation to PostgreSQL, interrupted twice, works there, and moves it back.
func TestCopyTo(t *testing.T) {
	t.Parallel()
	from, to := storetest.SQLite(t), storetest.Postgres(t)
	ref := fill(t, from)
	if _, err := to.InstallationID(t.Context()); err != nil { // as a first look at it leaves
		t.Fatal(err)
	}

	for _, pages := range []int{3, 25} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := from.CopyTo(ctx, to, func(store.CopyProgress) {
			if n++; n == pages {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted copy: %v", err)
		}
	}
	if begun, err := to.CopyBegun(t.Context()); err != nil || !begun {
		t.Errorf("begun: %v %v", begun, err)
	}
	last := map[string]store.CopyProgress{}
	if err := from.CopyTo(t.Context(), to, func(p store.CopyProgress) { last[p.Table] = p }); err != nil {
		t.Fatal(err)
	}
	for _, p := range last {
		if p.Done != p.Total {
			t.Errorf("progress of %s ends at %d of %d", p.Table, p.Done, p.Total)
		}
	}
	if begun, err := to.CopyBegun(t.Context()); err != nil || begun {
		t.Errorf("begun after the end: %v %v", begun, err)
	}
	sameContent(t, from, to, from)

	if err := from.CopyTo(t.Context(), to, func(store.CopyProgress) {}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("a second copy: %v", err)
	}

	// The copy is a working installation: new rows get keys of their own.
	ingest(t, to, item(ref, event(domain.KindReceived, "after", base), event(domain.KindStarted, "after", base.Add(time.Second), func(e *store.IngestEvent) { e.Queue = "a new queue" })))
	for {
		n, err := to.FoldDeltas(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	storetest.CompareCounters(t, to)
	ingest(t, to, item(ref, event(domain.KindSucceeded, "after", base.Add(2*time.Second))))

	back := storetest.SQLite(t)
	if err := to.CopyTo(t.Context(), back, func(store.CopyProgress) {}); err != nil {
		t.Fatal(err)
	}
	storetest.CompareCounters(t, back)
	if got := storetest.Recount(t, back).Tasks; got != 3001 {
		t.Errorf("%d tasks came back", got)
	}
}

func TestCopyToRefuses(t *testing.T) {
	t.Parallel()
	from, to := storetest.SQLite(t), storetest.Postgres(t)
	ref := fill(t, from)
	if err := from.CopyTo(t.Context(), storetest.SQLite(t), nil); err == nil || !strings.Contains(err.Error(), "backup and restore") {
		t.Errorf("same engine: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_ = from.CopyTo(ctx, to, func(store.CopyProgress) {
		if n++; n == 5 {
			cancel()
		}
	})
	cancel()
	ingest(t, from, item(ref, event(domain.KindReceived, "later", base)))
	if err := from.CopyTo(t.Context(), to, func(store.CopyProgress) {}); !errors.Is(err, store.ErrCopyChanged) {
		t.Errorf("a changed source: %v", err)
	}
	if _, _, err := from.TakeLease(t.Context(), "upkeep", "somebody", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := from.CopyTo(t.Context(), to, func(store.CopyProgress) {}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a running brain: %v", err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := fill(t, s)
		want, err := s.InstallationID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "z4j's backup.db")
		if err := os.WriteFile(path+".part", []byte("left over"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.BackupTo(t.Context(), path, func(store.CopyProgress) {}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the backup: %v %v", info.Mode(), err)
		}
		if err := s.BackupTo(t.Context(), path, nil); !errors.Is(err, store.ErrFileExists) {
			t.Errorf("a second backup: %v", err)
		}
		files, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(files) != 1 {
			t.Errorf("the backup left %v", files)
		}
		ingest(t, s, item(ref, event(domain.KindReceived, "after the backup", base)))
		id, schema, err := store.CheckFile(t.Context(), path)
		if err != nil || id != want.String() || schema == 0 {
			t.Fatalf("check: %s %d %v", id, schema, err)
		}
		copied, err := store.Open(t.Context(), store.Options{URL: "sqlite:///" + path})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = copied.Close() }()
		if got := storetest.Recount(t, copied).Tasks; got != 3000 {
			t.Errorf("%d tasks in the backup", got)
		}
		storetest.CompareCounters(t, copied)
	})
}

func TestCheckFileRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	for name, content := range map[string]string{"empty": "", "text": strings.Repeat("no database ", 1000)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.CheckFile(t.Context(), path); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, _, err := store.CheckFile(t.Context(), path+".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
