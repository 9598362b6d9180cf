// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"slices"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// TestEveryTableHasAnEnd lists the tables of the schema: each is emptied by a job of this package, goes with rows of such a
// table, or is named here with the reason why it does not grow. A new table has to be put into one of the lists.
func TestEveryTableHasAnEnd(t *testing.T) {
	t.Parallel()
	// By the job that deletes the rows.
	expired := map[string]string{
		"events": "events", "loose_events": "loose_events", "agent_status": "agent_status", "tasks": "tasks", "commands": "commands",
		"bulk_retry_requests": "commands", "sessions": "sessions", "workers": "workers", "queues": "queues", "rollups": "rollups",
		"rollup_spans": "rollup_spans", "rollup_stale": "sum", "queue_depths": "queue_depths", "longpoll_sessions": "longpoll_sessions", "setup_token": "setup_token",
		"task_totals": "task_totals",
	}
	// By the reason why they end elsewhere or do not grow.
	other := map[string]string{
		"bulk_retry_children": "go with their request",
		"agent_workers":       "the sweep forgets processes that ended a while ago",
		"audit_outbox":        "emptied into audit_log within moments",
		"audit_refusals":      "folded into audit_log a minute later",
		"rollup_deltas":       "merged by the fold job; SQLite has none",
		"task_counts":         "a counter for each name, queue and state of tasks that exist",
		"issues":              "one for each kind of failure of tasks that exist",
		"names":               "each distinct name once: of tasks, queues, workers, engines",
		"search_queue":        "emptied by the job search_index, or together with task_search where the index is off",
		"task_search":         "rows go with their tasks",
		"audit_log":           "kept whole: the chain has no beginning to cut off yet",
		"audit_set_aside":     "evidence of tampering, looked at by a person",
		"audit_state":         "one row", "audit_transition": "one row", "meta": "a fixed set of keys", "leases": "a fixed set of names",
		"goose_db_version": "a row for each migration",
		"users":            "made by people", "projects": "made by people", "memberships": "made by people", "agents": "made by people", "saved_views": "made by people",
	}
	s := storetest.SQLite(t)
	jobs := map[string]bool{}
	r := config.Retention{EventDays: 30, TaskDays: 90, CommandDays: 90, RollupDays: 400, SessionDays: 7, WorkerDays: 30}
	for _, j := range New(Config{Owner: "test", Retention: r}, Deps{Store: s}).jobs {
		jobs[j.name] = true
	}
	var seen []string
	err := s.Read(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		seen = append(seen, name)
		return err
	})
	if err != nil || len(seen) < 25 {
		t.Fatalf("tables %v, %v", seen, err)
	}
	for _, table := range seen {
		job, grows := expired[table]
		_, known := other[table]
		switch {
		case strings.HasPrefix(table, "sqlite_"), strings.HasPrefix(table, "task_search_"): // the tables behind task_search
		case grows && !jobs[job]:
			t.Errorf("%s is to be emptied by the job %q, which does not run with the default retention", table, job)
		case !grows && !known:
			t.Errorf("%s has no retention: delete its rows in a job, or say here why it does not grow", table)
		}
	}
	for _, lists := range []map[string]string{expired, other} {
		for table := range lists {
			if !slices.Contains(seen, table) && table != "rollup_deltas" {
				t.Errorf("%s is listed here, but is no table any more", table)
			}
		}
	}
}
