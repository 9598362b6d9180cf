// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/litetx"
	"github.com/z4jdev/z4j/pkg/textindex"
)

// mergePages bounds the merging of index segments after each step. Each level of the index writes a page again, and a step
// fills some ten.
const mergePages = 64

func (l *lite) lockSearch(context.Context, db.DBTX) error { return nil } // there is one writer

// keyList is a list of keys as one parameter.
func keyList(keys []int64) string {
	text, _ := json.Marshal(keys) //nolint:errchkjson // numbers have a spelling
	return string(text)
}

func (l *lite) amongSQL(b *builder, column string, tasks []int64) string {
	return column + " IN (SELECT value FROM json_each(" + b.arg(keyList(tasks)) + "))"
}

func (l *lite) queueSearch(ctx context.Context, h db.DBTX, tasks []int64, now time.Time) error {
	_, err := h.Exec(ctx, "INSERT INTO search_queue (task_id, at) SELECT value, $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING", keyList(tasks), now)
	return err
}

func (l *lite) queued() string { return "SELECT task_id FROM search_queue" }

// queuedTasks are those that come next of the queue.
const queuedTasks = "SELECT task_id FROM search_queue WHERE at < $1 ORDER BY task_id LIMIT $2"

func (l *lite) takeQueued(ctx context.Context, h db.DBTX, before time.Time, limit int64) (int64, []int64, error) {
	rows, err := h.Query(ctx, queuedTasks, before, limit)
	if err != nil {
		return 0, nil, err
	}
	tasks, err := scanInts(rows)
	if err != nil || len(tasks) == 0 {
		return 0, nil, err
	}
	_, err = h.Exec(ctx, "DELETE FROM search_queue WHERE task_id IN (SELECT value FROM json_each($1))", keyList(tasks))
	return int64(len(tasks)), tasks, err
}

func (l *lite) settleTokens(context.Context, db.DBTX) error { return nil }

func (l *lite) putTokens(ctx context.Context, h db.DBTX, tasks []searchedTask, _ bool) error {
	stmt, err := h.(*litetx.DB).Stmt(ctx, "INSERT OR REPLACE INTO task_search (rowid, tokens) VALUES (?, ?)") //nolint:sqlclosecheck // the handle keeps it
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if _, err := stmt.ExecContext(ctx, t.id, textindex.Words(t.tokens)); err != nil {
			return err
		}
	}
	_, err = h.Exec(ctx, "INSERT INTO task_search (task_search, rank) VALUES ('merge', $1)", mergePages)
	return err
}

func (l *lite) dropTokens(ctx context.Context, h db.DBTX, tasks []int64) error {
	_, err := h.Exec(ctx, "DELETE FROM task_search WHERE rowid IN (SELECT value FROM json_each($1))", keyList(tasks))
	return err
}

func (l *lite) clearSearch(ctx context.Context, h db.DBTX) error {
	for _, stmt := range []string{"INSERT INTO task_search (task_search) VALUES ('delete-all')", "DELETE FROM search_queue"} {
		if _, err := h.Exec(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

func (l *lite) matchTokens(ctx context.Context, e *textindex.Expr, limit int64) ([]int64, error) {
	rows, err := l.reads.Query(ctx, "SELECT rowid FROM task_search WHERE task_search MATCH $1 LIMIT $2", e.Match(), limit)
	if err != nil {
		return nil, err
	}
	return scanInts(rows)
}
