// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// generatedQueries are the texts of all queries that sqlc generated.
func generatedQueries(t *testing.T) []storetest.Statement {
	t.Helper()
	files, err := filepath.Glob("internal/db/*.sql.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of generated queries, %v", len(files), err)
	}
	var list []storetest.Statement
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.HasPrefix(lit.Value, "`-- name: ") {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, storetest.Statement{Query: text})
			}
			return true
		})
	}
	return list
}

// scanAllowed are the full scans of growing tables that are meant, by the name of the query, or a part of its text, and the table.
var scanAllowed = map[[2]string]string{
	{"AuditHasWork", "audit_outbox"}:          "asks whether there is a row",
	{"ListAuditOutbox", "audit_outbox"}:       "reads the first rows in the order of the key",
	{"OldestAuditOutbox", "audit_outbox"}:     "reads the first row in the order of the key",
	{"CountAuditOutbox", "audit_outbox"}:      "stops at a limit",
	{"LastAuditRow", "audit_log"}:             "reads the last row in the order of the key",
	{"AuditTotals", "audit_log"}:              "verification of the whole chain, which reads every row anyway",
	{"CountAuditSetAside", "audit_set_aside"}: "rows that somebody forged; none in a sound database",

	{"OpenBulkRetries", "bulk_retry_requests"}: "an index of the open requests, in its order",
	{"OverdueCommands", "commands"}:            "an index of the open commands alone",
	{"StuckCommands", "commands"}:              "an index of the open commands alone",
	{"OpenCommands", "commands"}:               "an index of the open commands alone",
	{"CountOpenOfProject", "commands"}:         "an index of the open commands alone",

	{"ExpireSlots", "agent_workers"}:        oneProcess,
	{"DeleteStaleWorkers", "agent_workers"}: oneProcess,
	{"ReleaseOwner", "agent_workers"}:       oneProcess,
	{"RenewSlots", "agent_workers"}:         oneProcess,
	{"SlotsOf", "agent_workers"}:            oneProcess,
	{"LiveAgents", "agent_workers"}:         oneProcess,
	{"DoubtWorkers", "workers"}:             oneWorker,
	{"ExpireWorkers", "workers"}:            oneWorker,
	{"MarkStaleWorkers", "workers"}:         oneWorker,
	{"ScrapedWorkers", "workers"}:           oneWorker,
	{"WorkerStates", "workers"}:             oneWorker,
	{"ListQueueDepths", "queues"}:           oneQueue,
	{"ExpireQueues", "queues"}:              oneQueue,
	{"QueuesWithOldDepths", "queues"}:       oneQueue,

	{"ExpireSessions", "sessions"}:      "a sweep now and then; one row a login of the last weeks",
	{"ExpireTaskTotals", "task_totals"}: "a sweep now and then; one row a series of the metrics, which are bounded",
	{"NamesLike", "names"}:              "a part of a name may stand anywhere; one row a distinct name",
}

// Reasons that several tables share: these rows are as many as what runs, not as what ran.
const (
	oneProcess = "one row a process behind an agent; a sweep deletes those that are gone"
	oneWorker  = "one row a worker; a sweep deletes those that are gone"
	oneQueue   = "one row a queue; a sweep deletes those that are gone"
)

// The plan of no generated query, and of no statement of ingest and upkeep, reads a growing table from end to end.
//
//nolint:tparallel // the group of engines ends before their exceptions are compared
func TestNoFullScans(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing in it runs at once; the long lane has it")
	}
	t.Parallel()
	var rec [2]storetest.Recorder
	used := make(chan [2]string, 1000)
	t.Run("engines", func(t *testing.T) {
		for i, engine := range []string{"sqlite", "postgresql"} {
			t.Run(engine, func(t *testing.T) {
				t.Parallel()
				var url string
				option := func(o *store.Options) { rec[i].Option(o); url = o.URL }
				var s *store.Store
				if engine == "sqlite" {
					s = storetest.SQLite(t, option)
				} else {
					s = storetest.Postgres(t, option)
				}
				rec[i].Take()
				statements := generatedQueries(t)
				ref := storetest.Agent(t, s)
				storetest.Large(t, s, url, ref)
				upkeep(t, s, ref)
				for _, st := range rec[i].Take() {
					if st.Name() == "" {
						statements = append(statements, st)
					}
				}
				explainer := storetest.NewExplainer(t, url)
				for _, st := range statements {
					scans, plan := explainer.Scans(t, &st)
					for _, scan := range scans {
						if key, ok := allowed(&st, scan.Table); ok {
							used <- key
							continue
						}
						t.Errorf("%s of %s in %s\n%s", scan.How, scan.Table, st.Query, plan)
					}
				}
			})
		}
	})
	close(used)
	seen := map[[2]string]bool{}
	for key := range used {
		seen[key] = true
	}
	for key := range scanAllowed {
		if !seen[key] && !t.Failed() {
			t.Errorf("%v may scan a table, and does not: take it out", key)
		}
	}
}

func allowed(s *storetest.Statement, table string) (key [2]string, ok bool) {
	for key := range scanAllowed {
		if key[1] == table && (s.Name() == key[0] || s.Name() == "" && strings.Contains(s.Query, key[0])) {
			return key, true
		}
	}
	return key, false
}

// upkeep runs what the sweeps of ingest run.
func upkeep(t *testing.T, s *store.Store, ref store.AgentRef) {
	t.Helper()
	ctx, now := t.Context(), s.Now()
	must := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	week := now.Add(-7 * 24 * time.Hour)
	_, _, _, err := s.SweepEvents(ctx, week, store.EventCursor{})
	must("events", err)
	_, err = s.DropEvents(ctx, week)
	must("partitions", err)
	_, _, _, err = s.ExpireTasks(ctx, week, store.TaskMark{}, 20)
	must("tasks", err)
	_, err = s.StuckTasks(ctx, now, 100)
	must("stuck tasks", err)
	_, err = s.CompactRollups(ctx, store.RollupMinute, store.RollupHour, week, 100)
	must("compact", err)
	_, err = s.TaskKeys(ctx, store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Names: store.Exact("shop.job_02")}}, 20)
	must("keys", err)
	must("delete", s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.DeleteTasks(ctx, ref.ProjectID, []int64{1, 2, 3})
		return err
	}))
	_, err = s.FoldDeltas(ctx, 1000)
	must("fold", err)
	_, err = s.ChangeMarks(ctx, ref.ProjectID)
	must("marks", err)
	_, err = s.QueueDepths(ctx, 1000)
	must("depths", err)
	_, err = s.Overview(ctx, time.Hour)
	must("overview", err)
}
