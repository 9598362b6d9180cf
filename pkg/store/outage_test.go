// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// What a PostgreSQL server says of itself is no fault of what was to be stored: a frame that met it must be kept.
func TestServerTroubleIsTransient(t *testing.T) {
	t.Parallel()
	for code, transient := range map[string]bool{
		"08006": true, "40001": true, "40P01": true, "53300": true, "55P03": true, "57014": true, "57P01": true, "57P02": true, "57P03": true,
		"58030": true, "25006": true, "22001": false, "22P05": false, "23502": false, "42P01": false, "": false,
	} {
		if err := store.MapPostgresForTest(&pgconn.PgError{Code: code}); errors.Is(err, domain.ErrTransient) != transient {
			t.Errorf("SQLSTATE %q: transient %v, want %v", code, !transient, transient)
		}
	}
	if err := store.MapPostgresForTest(fmt.Errorf("receive message failed: %w", io.ErrUnexpectedEOF)); !errors.Is(err, domain.ErrTransient) {
		t.Error("a connection that ends in the middle of an answer is a lost one")
	}
	// A server that starts, and one that knows no such user, refuse at the door.
	for _, code := range []string{"57P03", "28P01"} {
		s, err := store.Open(t.Context(), store.Options{URL: refusing(t, code)})
		if err == nil {
			err = s.Ingest(t.Context(), []*store.IngestItem{item(store.AgentRef{ID: 1, ProjectID: 1}, event(domain.KindReceived, "a", base))})
			_ = s.Close()
		}
		if !errors.Is(err, domain.ErrTransient) {
			t.Errorf("refused with %s: %v", code, err)
		}
	}
}

// A disk that can only be read is no fault of the frame either.
func TestReadOnlyFileIsTransient(t *testing.T) {
	t.Parallel()
	if err := storetest.SQLite(t).WriteByReaderForTest(t.Context()); !errors.Is(err, domain.ErrTransient) {
		t.Errorf("a write to what can't be written: %v", err)
	}
}

// A commit whose connection is lost may have happened: what it does must not be done again.
func TestLostCommitIsNotRepeated(t *testing.T) {
	t.Parallel()
	s, killer := storetest.Postgres(t), storetest.Postgres(t)
	runs := 0
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		runs++
		pid, err := tx.BackendForTest(ctx)
		if err != nil {
			return err
		}
		return killer.ExecForTest(t.Context(), "SELECT pg_terminate_backend($1::int, 10000)", []any{pid})
	})
	if !errors.Is(err, domain.ErrTransient) || runs != 1 {
		t.Errorf("ran %d times, want once: %v", runs, err)
	}
}

// refusing serves the first answer of a PostgreSQL server that lets nobody in, and returns its URL.
func refusing(t *testing.T, code string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	body := "SFATAL\x00VFATAL\x00C" + code + "\x00Mthe database system is not yet accepting connections\x00\x00"
	answer := append([]byte{'E'}, binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))...)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write(append(answer, body...))
			_ = c.Close()
		}
	}()
	return "postgres://nobody@" + l.Addr().String() + "/nothing?sslmode=disable"
}
