// SPDX-License-Identifier: AGPL-3.0-or-later

package sqltrace

import "testing"

// TestName checks that names are short, of a fixed set, and hold nothing of a statement's conditions.
func TestName(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"-- name: CreateCommand :one\nINSERT INTO commands (id) VALUES ($1)": "CreateCommand",
		"SELECT id, name FROM tasks WHERE name = 'x'":                        "SELECT tasks",
		"\n\tselect count(*)\n\tfrom tasks t join queues q on true":          "SELECT tasks",
		"INSERT INTO events(task_id, kind) SELECT 1, 2":                      "INSERT events",
		"UPDATE tasks SET state = $1":                                        "UPDATE tasks",
		"DELETE FROM sessions WHERE id = $1":                                 "DELETE sessions",
		"WITH d AS (DELETE FROM rollup_deltas RETURNING *) INSERT INTO x":    "DELETE rollup_deltas",
		"WITH recent AS (SELECT 1 FROM workers) UPDATE workers SET a = 1":    "SELECT workers",
		"SELECT 1": "SELECT",
		"SELECT max(x) FROM (SELECT secret FROM t) s": "SELECT",
		"BEGIN IMMEDIATE":                   "BEGIN",
		"commit;":                           "COMMIT",
		"SET LOCAL synchronous_commit = on": "SET",
		"":                                  "",
		"SELECT x FROM " + "a_name_that_is_longer_than_anything_that_anybody_would_call_a_table": "SELECT a_name_that_is_longer_than_anything_that_anybody_woul",
	} {
		if got := Name(query); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}
