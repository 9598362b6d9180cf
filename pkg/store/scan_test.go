// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// Ingest finds its rows by index however large the tables are: it reads no table from end to end, with the statistics
// of a young table as with fresh ones, and for small transactions as for large ones.
func TestIngestOnPostgresScansNoTable(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("nothing in it runs at once; the long lane has it")
	}
	var url string
	s := storetest.Postgres(t, func(o *store.Options) { url = o.URL })
	ref := storetest.Agent(t, s)
	kinds := []domain.EventKind{domain.KindReceived, domain.KindStarted, domain.KindSucceeded}
	n := 0
	number := func(query string) (v int64) {
		t.Helper()
		if err := s.Read(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&v) }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	sessions := func() int64 {
		return number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'")
	}
	scanned := func() int64 {
		return number("SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'tasks' OR relname LIKE 'events%'")
	}
	// send uses sessions of its own, whose counters are told when they end.
	send := func(batches, size int) {
		t.Helper()
		own, err := store.Open(t.Context(), store.Options{URL: url, AuditKey: storetest.AuditKey})
		if err != nil {
			t.Fatal(err)
		}
		others := sessions()
		for range batches {
			var events []store.IngestEvent
			for range size {
				events = append(events, event(kinds[n%3], fmt.Sprintf("task-%032d", n/3), base.Add(time.Duration(n)*time.Millisecond)))
				n++
			}
			ingest(t, own, item(ref, events...))
		}
		if err := own.Close(); err != nil {
			t.Fatal(err)
		}
		// A session that is not listed any more has told its counters.
		for deadline := time.Now().Add(30 * time.Second); sessions() > others; {
			if time.Now().After(deadline) {
				t.Fatal("the sessions of a closed store are still there after 30 s")
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	check := func(what string) {
		t.Helper()
		for _, size := range []int{10, 250, 1100} {
			before := scanned()
			// A session plans a statement anew five times before it may keep a plan for all.
			send(8, size)
			// Once per session, the new store reads what it needs to know; that is not per event.
			if rows := scanned() - before; rows > int64(size) {
				t.Errorf("%s, %d events a transaction: %d rows read by scanning tables", what, size, rows)
			}
		}
	}
	send(10, 2000)
	check("young table")
	// The counters would tell.
	before := scanned()
	if err := storetest.Exec(t, url, "SELECT count(seen_at) FROM tasks"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); scanned()-before < 5000; {
		if time.Now().After(deadline) {
			t.Fatalf("a scan of the tasks was counted as %d rows", scanned()-before)
		}
		<-time.After(20 * time.Millisecond)
	}
	if err := storetest.Exec(t, url, "ANALYZE tasks", "ANALYZE events"); err != nil {
		t.Fatal(err)
	}
	check("after ANALYZE")
}
