// SPDX-License-Identifier: AGPL-3.0-or-later

package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/audit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

func chainKey() []byte { return []byte("chain-key-chain-key-chain-key-chain-key") }

func withAuditKey(o *store.Options) { o.AuditKey = auth.AuditOutboxKey(chainKey()) }

// each runs fn with a store of each engine, its URL and a service on it.
func each(t *testing.T, fn func(t *testing.T, s *store.Store, url string, svc *audit.Service)) {
	t.Helper()
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, s *store.Store, url string) {
		fn(t, s, url, service(t, s, audit.Config{}))
	}, withAuditKey)
}

func service(t *testing.T, s *store.Store, cfg audit.Config) *audit.Service {
	t.Helper()
	if cfg.ChainKey == nil {
		cfg.ChainKey = chainKey()
	}
	svc, err := audit.New(cfg, audit.Deps{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func record(t *testing.T, s *store.Store, entries ...domain.AuditEntry) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, e := range entries {
			if err := tx.Audit(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func entry(i int) domain.AuditEntry {
	return domain.AuditEntry{
		Action: "test.done", TargetType: "thing", TargetID: fmt.Sprint(i), Result: domain.ResultSuccess,
		UserID: uuid.New(), SourceIP: "10.1.2.3", Metadata: map[string]any{"i": i, "text": "ä <b>"},
	}
}

func drain(t *testing.T, svc *audit.Service) {
	t.Helper()
	if err := svc.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, svc *audit.Service, o audit.VerifyOptions) audit.Report {
	t.Helper()
	r, err := svc.Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rows(t *testing.T, s *store.Store) []store.AuditRow {
	t.Helper()
	all, err := s.AuditRowsAfter(t.Context(), 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// filled is a chain of the genesis row and five more.
func filled(t *testing.T, s *store.Store, svc *audit.Service) []store.AuditRow {
	t.Helper()
	for i := range 5 {
		record(t, s, entry(i))
	}
	drain(t, svc)
	all := rows(t, s)
	if len(all) != 6 {
		t.Fatalf("%d rows, want 6", len(all))
	}
	return all
}

func TestChain(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() || r.Started || r.Rows != 0 {
			t.Errorf("a fresh database: %+v", r)
		}
		all := filled(t, s, svc)
		first := all[0]
		if first.Action != "audit.chain_generation_started" || first.PrevRowHMAC != nil || *first.TargetID != first.ChainGeneration.String() {
			t.Errorf("first row %+v", first)
		}
		for i, r := range all[1:] {
			if *r.TargetID != fmt.Sprint(i) || *r.PrevRowHMAC != all[i].RowHMAC || !r.OccurredAt.After(all[i].OccurredAt) ||
				*r.SourceIP != "10.1.2.3" || *r.Outcome != "allow" || r.ProjectID != nil || r.Metadata != fmt.Sprintf(`{"i":%d,"text":"ä <b>"}`, i) {
				t.Errorf("row %d: %+v", i, r)
			}
		}
		r := verify(t, svc, audit.VerifyOptions{Page: 2})
		if !r.Clean() || !r.Started || r.Rows != 6 || r.Head == nil || r.Head.RowHMAC != all[5].RowHMAC {
			t.Errorf("report %+v", r)
		}
		if waiting, aside, _, err := s.AuditBacklog(t.Context(), 100); waiting != 0 || aside != 0 || err != nil {
			t.Errorf("%d waiting, %d aside, %v", waiting, aside, err)
		}
		// Nothing to do is not an append.
		drain(t, svc)
		if err := svc.Start(t.Context()); err != nil || len(rows(t, s)) != 6 {
			t.Errorf("a second start: %v, %d rows", err, len(rows(t, s)))
		}
	})
}

func TestTimes(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		at := time.Now().UTC().Add(-time.Hour)
		past, future := entry(0), entry(1)
		past.OccurredAt, future.OccurredAt = at, time.Now().Add(48*time.Hour)
		record(t, s, past, past, past)
		drain(t, svc)
		record(t, s, future)
		drain(t, svc)
		record(t, s, entry(2))
		drain(t, svc)
		all := rows(t, s)
		for i := 1; i < len(all); i++ {
			if !all[i].OccurredAt.After(all[i-1].OccurredAt) {
				t.Errorf("row %d at %v is not after %v", i, all[i].OccurredAt, all[i-1].OccurredAt)
			}
		}
		if last := all[len(all)-1].OccurredAt; last.After(time.Now().Add(time.Minute)) {
			t.Errorf("a fast clock pushed later rows to %v", last)
		}
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("%+v", r)
		}
	})
}

// unguarded wraps statements that the append-only triggers would refuse; the triggers are back afterwards.
func unguarded(url string, statements ...string) []string {
	if strings.HasPrefix(url, "sqlite:") {
		guard := func(op string) string {
			when := ""
			if op == "DELETE" {
				when = "WHEN NOT EXISTS (SELECT 1 FROM audit_transition) "
			}
			return fmt.Sprintf("CREATE TRIGGER audit_log_no_%s BEFORE %s ON audit_log %sBEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END",
				strings.ToLower(op), op, when)
		}
		statements = append([]string{"DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"}, statements...)
		return append(statements, guard("UPDATE"), guard("DELETE"))
	}
	statements = append([]string{"ALTER TABLE audit_log DISABLE TRIGGER USER"}, statements...)
	return append(statements, "ALTER TABLE audit_log ENABLE TRIGGER USER")
}

const columns = "project_id, user_id, api_key_id, action, target_type, target_id, result, outcome, event_id, metadata, source_ip, " +
	"user_agent, hmac_version, hmac_key_id, chain_generation"

func TestTampering(t *testing.T) {
	t.Parallel()
	forge := func(r []store.AuditRow) []string {
		return []string{fmt.Sprintf("INSERT INTO audit_log (seq, id, %s, occurred_at, prev_row_hmac, row_hmac) "+
			"SELECT 7, '%s', %s, occurred_at, row_hmac, prev_row_hmac FROM audit_log WHERE seq = 6", columns, uuid.New(), columns)}
	}
	swap := func([]store.AuditRow) []string {
		return []string{
			"CREATE TABLE times AS SELECT seq, occurred_at FROM audit_log",
			"UPDATE audit_log SET occurred_at = (SELECT occurred_at FROM times WHERE seq = 4) WHERE seq = 3",
			"UPDATE audit_log SET occurred_at = (SELECT occurred_at FROM times WHERE seq = 3) WHERE seq = 4",
			"DROP TABLE times",
		}
	}
	just := func(statements ...string) func([]store.AuditRow) []string {
		return func([]store.AuditRow) []string { return statements }
	}
	tests := []struct {
		name    string
		do      func([]store.AuditRow) []string
		want    []string // parts of findings, in any order; each must be there
		exactly int      // how many findings; 0 leaves it open
		refused string
	}{
		{name: "change action", do: just("UPDATE audit_log SET action = 'test.other' WHERE seq = 3"), want: []string{"#3 active row HMAC mismatch"}, exactly: 1},
		{name: "change metadata", do: just(`UPDATE audit_log SET metadata = '{"i":9}' WHERE seq = 3`), want: []string{"#3 active row HMAC mismatch"}, exactly: 1},
		{name: "break metadata", do: just(`UPDATE audit_log SET metadata = '{' WHERE seq = 3`), want: []string{"#3 active row cannot be read"}, exactly: 1},
		{name: "delete a middle row", do: just("DELETE FROM audit_log WHERE seq = 3"), want: []string{"count is 5, the signed state says 6", "#4 active row chain link", "signed 5 rows, the signed state says 6"}, exactly: 3},
		{name: "delete the last row", do: just("DELETE FROM audit_log WHERE seq = 6"), want: []string{"count is 5", "signed 5 rows", "#5 the last row is not the signed head"}, exactly: 3},
		{name: "delete the first row", do: just("DELETE FROM audit_log WHERE seq = 1"), want: []string{"count is 5", "#2 active row chain link"}},
		{name: "delete last row and rewrite state", do: just("DELETE FROM audit_log WHERE seq = 6", "UPDATE audit_state SET active_row_count = 5, head_seq = 5"), refused: "does not match its signature"},
		{name: "swap two timestamps", do: swap, want: []string{"#3 active row HMAC mismatch", "#4 active row HMAC mismatch", "#4 active row is not later"}},
		{name: "insert a forged row", do: forge, want: []string{"count is 7", "active row HMAC mismatch", "signed 7 rows, the signed state says 6", "the last row is not the signed head"}},
		{name: "renumber rows", do: just("UPDATE audit_log SET seq = 100 WHERE seq = 3"), want: []string{"#4 active row chain link", "the last row is not the signed head"}},
		{name: "delete all rows", do: just("DELETE FROM audit_log"), want: []string{"count is 0", "signed 0 rows", "#6 the signed head has no row"}, exactly: 3},
		{name: "delete the state", do: just("DELETE FROM audit_state"), refused: "state is missing"},
		{name: "delete state and rows", do: just("DELETE FROM audit_state", "DELETE FROM audit_log"), refused: "state is missing"},
		{name: "other generation", do: just("UPDATE audit_log SET chain_generation = '11111111-1111-4111-8111-111111111111' WHERE seq = 3"), want: []string{"#3 active row belongs to another generation", "#3 active row HMAC mismatch"}},
		{name: "spoil the counts", do: just("UPDATE audit_state SET active_key_counts = 'x'"), refused: "cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
				all := filled(t, s, svc)
				if err := storetest.Exec(t, url, unguarded(url, tt.do(all)...)...); err != nil {
					t.Fatal(err)
				}
				r := verify(t, svc, audit.VerifyOptions{})
				if r.Clean() || !strings.Contains(r.Refused, tt.refused) || (r.Refused == "") != (tt.refused == "") {
					t.Errorf("refused %q, want %q; %v", r.Refused, tt.refused, r.Findings)
				}
				var text strings.Builder
				for _, f := range r.Findings {
					text.WriteString(f.String() + "\n")
				}
				got := text.String()
				for i, row := range all {
					got = strings.ReplaceAll(got, row.ID.String(), fmt.Sprintf("#%d", i+1))
				}
				for _, want := range tt.want {
					if !strings.Contains(got, want) {
						t.Errorf("no finding %q in:\n%s", want, got)
					}
				}
				if tt.exactly > 0 && r.Total != tt.exactly {
					t.Errorf("%d findings, want %d:\n%s", r.Total, tt.exactly, got)
				}
				var out, errs bytes.Buffer
				if exit, err := audit.WriteReport(&out, &errs, r); exit != audit.ExitMismatch || err != nil {
					t.Errorf("exit %d, %v", exit, err)
				}
			})
		})
	}
}

func TestGuards(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
		filled(t, s, svc)
		plain := []string{"UPDATE audit_log SET action = 'x' WHERE seq = 3", "DELETE FROM audit_log WHERE seq = 6"}
		drop := []string{"DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"}
		want := 2
		if strings.HasPrefix(url, "postgres") {
			plain = append(plain, "TRUNCATE audit_log", "DELETE FROM audit_log")
			drop = []string{
				"DROP TRIGGER audit_log_no_update ON audit_log", "ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_truncate",
				"CREATE OR REPLACE FUNCTION audit_log_forbid() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
			}
			want = 3
		}
		for _, statement := range plain {
			if err := storetest.Exec(t, url, statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() || r.Rows != 6 {
			t.Errorf("%+v", r)
		}
		if err := storetest.Exec(t, url, drop...); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, svc, audit.VerifyOptions{}); r.Total != want || !strings.Contains(r.Findings[0].String(), "append-only trigger") {
			t.Errorf("missing triggers: %+v", r)
		}
	})
}

func TestWrongKey(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		filled(t, s, svc)
		other := service(t, s, audit.Config{ChainKey: []byte("another")})
		if r := verify(t, other, audit.VerifyOptions{}); !strings.Contains(r.Refused, "not configured") {
			t.Errorf("another key: %+v", r)
		}
		record(t, s, entry(9))
		if err := other.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "put the former audit key back") {
			t.Errorf("another key appends: %v", err)
		}
		// With the old key among the previous ones the chain verifies, but is not continued unasked.
		both := service(t, s, audit.Config{ChainKey: []byte("another"), PreviousKeys: [][]byte{chainKey()}})
		if r := verify(t, both, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("previous key: %+v", r)
		}
		if err := both.Drain(t.Context()); err == nil {
			t.Error("the chain changed its key by itself")
		}
		drain(t, svc)
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() || r.Rows != 7 {
			t.Errorf("%+v", r)
		}
	})
}

func TestKnownHead(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		all := filled(t, s, svc)
		envelope := func(r store.AuditRow) string {
			text, err := json.Marshal(map[string]any{
				"generation": r.ChainGeneration, "hmac_key_id": r.HMACKeyID, "hmac_version": r.HMACVersion, "id": r.ID,
				"occurred_at": r.OccurredAt, "row_hmac": r.RowHMAC,
			})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		contradicts := all[5]
		contradicts.ID = uuid.New()
		for name, tt := range map[string]struct{ head, want string }{
			"current":       {envelope(all[5]), "CURRENT_MATCH"},
			"only the hmac": {fmt.Sprintf(`{"row_hmac":%q}`, all[5].RowHMAC), "CURRENT_MATCH"},
			"ancestor":      {envelope(all[2]), "VERIFIED_ANCESTOR"},
			"newer":         {fmt.Sprintf(`{"row_hmac":%q}`, strings.Repeat("ab", 32)), "UNPROVABLE"},
			"contradiction": {envelope(contradicts), "INVALID"},
			"not json":      {"{", "INVALID"}, "no hmac": {"{}", "INVALID"}, "two": {envelope(all[5]) + "{}", "INVALID"},
		} {
			r := verify(t, svc, audit.VerifyOptions{KnownHead: tt.head})
			if r.KnownHead != tt.want {
				t.Errorf("%s: %s, want %s", name, r.KnownHead, tt.want)
			}
			if clean := tt.want != "INVALID" && tt.want != "UNPROVABLE"; r.Clean() != clean {
				t.Errorf("%s: clean %v", name, r.Clean())
			}
		}
	})
}

func TestUntrustedRecords(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
		filled(t, s, svc)
		// Authentic, but canonical JSON has no form for what lies so deep.
		deep := entry(1)
		deep.Metadata = map[string]any{"deep": json.RawMessage(strings.Repeat("[", 3000) + strings.Repeat("]", 3000))}
		odd := entry(2)
		odd.UserAgent, odd.SourceIP = "nul \x00 \xff", "unix socket"
		record(t, s, entry(0), deep, odd)
		err := storetest.Exec(t, url,
			"UPDATE audit_outbox SET record = replace(record, 'test.done', 'test.gone') WHERE record LIKE '%\"target_id\":\"0\"%'",
			"INSERT INTO audit_outbox (record, mac, created_at) SELECT record, mac, created_at FROM audit_outbox WHERE record LIKE '%\"target_id\":\"2\"%'",
			"INSERT INTO audit_outbox (record, mac, created_at) SELECT 'not json', 'x', created_at FROM audit_outbox LIMIT 1")
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, entry(3))
		drain(t, svc)

		reasons := map[string]int{}
		var done []string
		for _, r := range rows(t, s)[6:] {
			if r.Action != "audit.outbox_row_rejected" {
				done = append(done, *r.TargetID)
				continue
			}
			var m struct{ Reason string }
			if err := json.Unmarshal([]byte(r.Metadata), &m); err != nil {
				t.Fatal(err)
			}
			reasons[m.Reason]++
		}
		if fmt.Sprint(done) != "[2 3]" || reasons["bad_mac"] != 2 || reasons["duplicate_id"] != 1 || reasons["not_appendable"] != 1 {
			t.Errorf("appended %v, rejected %v", done, reasons)
		}
		if waiting, aside, _, err := s.AuditBacklog(t.Context(), 100); waiting != 0 || aside != 4 || err != nil {
			t.Errorf("%d waiting, %d aside, %v", waiting, aside, err)
		}
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("%+v", r)
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		minute := time.Now().UTC().Truncate(time.Minute)
		old := minute.Add(-3 * time.Minute)
		err := s.AddAuditRefusals(t.Context(), []store.AuditRefusal{
			{Minute: old, SourceIP: "10.0.0.1", Action: "auth.login", Reason: "throttled", N: 40, LastAt: old.Add(50 * time.Second)},
			{Minute: old, SourceIP: store.OtherAddresses, Action: "auth.login", Reason: "throttled", N: 9, LastAt: old.Add(51 * time.Second)},
			{Minute: minute, SourceIP: "10.0.0.1", Action: "auth.login", Reason: "throttled", N: 1, LastAt: minute},
		})
		if err != nil {
			t.Fatal(err)
		}
		drain(t, svc)
		drain(t, svc)
		all := rows(t, s)
		if len(all) != 3 {
			t.Fatalf("%d rows, want the start and two closed counts", len(all))
		}
		counts := map[string]string{}
		for _, r := range all[1:] {
			address := ""
			if r.SourceIP != nil {
				address = *r.SourceIP
			}
			counts[address] = r.Action + " " + *r.Outcome + " " + r.Metadata
		}
		if !strings.HasPrefix(counts["10.0.0.1"], `auth.login deny {"aggregated":true,"count":40,"minute":`) ||
			!strings.Contains(counts[""], `"addresses":"several","aggregated":true,"count":9`) {
			t.Errorf("%v", counts)
		}
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("%+v", r)
		}
	})
}

func TestRefusalCounter(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		c := store.NewRefusals(s)
		for i := range 2000 {
			c.Count(fmt.Sprintf("10.0.%d.%d", i/250, i%250), "auth.login", "throttled")
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var total, addresses int64
		err := s.InAuditTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			rows, err := tx.ClosedAuditRefusals(ctx, time.Now().Add(time.Hour), 5000)
			for _, r := range rows {
				total += r.N
				addresses++
			}
			return err
		})
		if err != nil || total != 2000 || addresses > 1100 || addresses < 400 {
			t.Errorf("%d refusals of %d addresses, %v", total, addresses, err)
		}
	})
}

func TestReportText(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
		filled(t, s, svc)
		var out, errs bytes.Buffer
		exit, err := audit.WriteReport(&out, &errs, verify(t, svc, audit.VerifyOptions{}))
		want := "verified active: 6\ncanonical frozen rows assessed in aggregate: 0\n"
		if exit != 0 || err != nil || out.String() != want || errs.Len() != 0 {
			t.Errorf("exit %d, %v, %q, %q", exit, err, out.String(), errs.String())
		}
		if err := storetest.Exec(t, url, unguarded(url, "UPDATE audit_log SET action = 'x' WHERE seq = 2")...); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		exit, _ = audit.WriteReport(&out, &errs, verify(t, svc, audit.VerifyOptions{KnownHead: "x"}))
		if exit != 1 || !strings.Contains(out.String(), "MISMATCHES (1):\n  "+rows(t, s)[1].ID.String()+" active row HMAC mismatch\nknown-head: INVALID\n") {
			t.Errorf("exit %d, %q", exit, out.String())
		}
	})
}

func TestManyFindings(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
		for i := range 150 {
			record(t, s, entry(i))
		}
		drain(t, svc)
		if err := storetest.Exec(t, url, unguarded(url, "UPDATE audit_log SET result = 'x'")...); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, svc, audit.VerifyOptions{Page: 7}); len(r.Findings) != 100 || r.Total != 151 {
			t.Errorf("%d listed of %d", len(r.Findings), r.Total)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("did not happen: %s", what)
}

// start runs a service until the returned function is called.
func start(t *testing.T, svc *audit.Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func statusCode(t *testing.T, svc *audit.Service) int {
	t.Helper()
	w := httptest.NewRecorder()
	svc.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", http.NoBody))
	return w.Code
}

// TestDamageDoesNotStopTheBrain damages the chain under a running service: business writes go on, records wait,
// health says so, and once the damage is mended everything that waited is appended.
func TestDamageDoesNotStopTheBrain(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, _ *audit.Service) {
		fast := audit.Config{Interval: 10 * time.Millisecond, LeaseTTL: 300 * time.Millisecond}
		svc := service(t, s, fast)
		stop := start(t, svc)
		record(t, s, entry(0))
		eventually(t, "first record appended", func() bool { return len(rows(t, s)) == 2 })
		eventually(t, "verified", func() bool { st := svc.Status(); return st.Verification != nil && st.Verification.Clean })
		if code := statusCode(t, svc); code != http.StatusOK {
			t.Errorf("status %d while all is well", code)
		}

		if err := storetest.Exec(t, url, "UPDATE audit_state SET active_row_count = active_row_count + 1"); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			record(t, s, entry(i+1))
		}
		eventually(t, "damage noticed", func() bool { return svc.Status().Damage != nil })
		eventually(t, "damage published", func() bool { h, err := s.AuditHealth(t.Context()); return err == nil && h.Damaged })
		if code := statusCode(t, svc); code != http.StatusServiceUnavailable {
			t.Errorf("status %d while the chain is damaged", code)
		}
		record(t, s, entry(4))
		if waiting, _, _, err := s.AuditBacklog(t.Context(), 100); waiting != 4 || err != nil {
			t.Errorf("%d records wait, %v", waiting, err)
		}
		stop()

		if err := storetest.Exec(t, url, "UPDATE audit_state SET active_row_count = active_row_count - 1"); err != nil {
			t.Fatal(err)
		}
		again := service(t, s, fast)
		start(t, again)
		eventually(t, "everything appended", func() bool { return len(rows(t, s)) == 6 })
		eventually(t, "health restored", func() bool { h, err := s.AuditHealth(t.Context()); return err == nil && !h.Damaged })
		if r := verify(t, again, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("%+v", r)
		}
	})
}

// TestReplicas runs three services at once, and others that drain without asking for the lease: every record is
// in the chain once.
func TestReplicas(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		var stops []func()
		for range 3 {
			stops = append(stops, start(t, service(t, s, audit.Config{Interval: 5 * time.Millisecond, LeaseTTL: 100 * time.Millisecond, Batch: 7})))
		}
		const writers, each = 4, 40
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					record(t, s, entry(w*each+i))
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				// Losing a race against the leader is fine; what counts is the chain.
				_ = svc.Drain(t.Context())
			}
		})
		wg.Wait()
		stops[0]()
		eventually(t, "all appended", func() bool { return len(rows(t, s)) >= writers*each+1 })
		for _, stop := range stops {
			stop()
		}
		seen := map[string]int{}
		for _, r := range rows(t, s)[1:] {
			seen[*r.TargetID]++
		}
		if len(seen) != writers*each {
			t.Errorf("%d different records, want %d", len(seen), writers*each)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("record %s is there %d times", id, n)
			}
		}
		if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() {
			t.Errorf("%+v", r)
		}
	})
}

// TestVerifyWhileAppending verifies a chain that grows.
func TestVerifyWhileAppending(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, svc *audit.Service) {
		filled(t, s, svc)
		var wg sync.WaitGroup
		var done atomic.Bool
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				record(t, s, entry(i))
				drain(t, svc)
			}
		})
		for range 20 {
			if r := verify(t, svc, audit.VerifyOptions{Page: 3}); !r.Clean() {
				t.Errorf("%+v", r)
				break
			}
		}
		done.Store(true)
		wg.Wait()
	})
}

// TestLeaseIsTakenOver has a dead replica hold the lease of the chain: another one appends nothing until it has run out.
func TestLeaseIsTakenOver(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, _ string, _ *audit.Service) {
		const lease = time.Second
		began := time.Now()
		if _, ok, err := s.TakeLease(t.Context(), "audit", "dead", lease); err != nil || !ok {
			t.Fatal(ok, err)
		}
		before := len(rows(t, s))
		record(t, s, entry(1))
		stop := start(t, service(t, s, audit.Config{Interval: 5 * time.Millisecond, LeaseTTL: 200 * time.Millisecond}))
		defer stop()
		eventually(t, "the next holder appends", func() bool { return len(rows(t, s)) > before })
		if took := time.Since(began); took < lease {
			t.Errorf("appended after %s, while the lease of another held for %s", took, lease)
		}
		if _, ok, err := s.TakeLease(t.Context(), "audit", "dead", lease); err != nil || ok {
			t.Errorf("the former holder has the lease again: %t, %v", ok, err)
		}
	})
}
