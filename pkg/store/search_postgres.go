// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/textindex"
)

func (p *pg) lockSearch(ctx context.Context, h db.DBTX) error {
	_, err := h.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(searchLock))
	return err
}

func (p *pg) amongSQL(b *builder, column string, tasks []int64) string {
	return column + " = ANY(" + b.arg(tasks) + "::bigint[])"
}

// queueSearch appends: writers that note the same task must not wait for each other, nor for the one who takes.
func (p *pg) queueSearch(ctx context.Context, h db.DBTX, tasks []int64, now time.Time) error {
	_, err := h.Exec(ctx, "INSERT INTO search_queue (tasks, at) VALUES ($1, $2)", tasks, now)
	return err
}

func (p *pg) queued() string { return "SELECT unnest(tasks) FROM search_queue" }

// pgTakeQueued takes whole rows, the last of which may hold more than is left of the limit.
const pgTakeQueued = `DELETE FROM search_queue WHERE seq IN (
	SELECT seq FROM (SELECT seq, sum(cardinality(tasks)) OVER (ORDER BY seq) - cardinality(tasks) AS before
		FROM (SELECT seq, tasks FROM search_queue WHERE at < $1 ORDER BY seq LIMIT $2) AS oldest) AS counted
	WHERE before < $2) RETURNING tasks`

func (p *pg) takeQueued(ctx context.Context, h db.DBTX, before time.Time, limit int64) (taken int64, tasks []int64, err error) {
	var row []int64
	err = each(ctx, h, pgTakeQueued, []any{before, limit}, []any{&row}, func() { tasks = append(tasks, row...) })
	if err != nil {
		return 0, nil, err
	}
	taken = int64(len(tasks))
	slices.Sort(tasks)
	return taken, slices.Compact(tasks), nil
}

// What is new to the index waits in a list, which every search reads, until the list is long; then it is sorted and merged. The
// longer it is, the more of it belongs to the same page: of a large index nearly every token is on a page of its own, which is
// read, changed and logged for it (with 400,000 tasks of a shop 16 MB take 21 us for each more, 1 MB 117, 128 kB 213). But merging
// is one statement: it has a core to itself while acknowledgements wait, of 1 MB for 50 to 400 ms.
const (
	pgListShort = "set local gin_pending_list_limit = '256kB'"
	pgListLong  = "set local gin_pending_list_limit = '16MB'"
	// pgListSorted has a list sorted as a whole.
	pgListSorted = "set local work_mem = '64MB'"
)

func (p *pg) settleTokens(ctx context.Context, h db.DBTX) error {
	_, err := h.Exec(ctx, "SELECT gin_clean_pending_list('task_search_tokens')")
	return err
}

func (p *pg) putTokens(ctx context.Context, h db.DBTX, tasks []searchedTask, bulk bool) error {
	limit := pgListShort
	if bulk {
		limit = pgListLong
	}
	for _, set := range []string{limit, pgListSorted} {
		if _, err := p.later(h).Exec(ctx, set); err != nil {
			return err
		}
	}
	// Lists of different lengths are no array of PostgreSQL: they are one behind the other, with the end of each.
	var flat []int32
	ids, ends := make([]int64, len(tasks)), make([]int32, len(tasks))
	for i, task := range tasks {
		for _, t := range task.tokens {
			flat = append(flat, int32(t))
		}
		ids[i], ends[i] = task.id, int32(len(flat))
	}
	_, err := h.Exec(ctx, `INSERT INTO task_search (task_id, tokens)
		SELECT t.id, ($2::integer[])[1 + lag(t.stop, 1, 0) OVER (ORDER BY t.n) : t.stop] FROM unnest($1::bigint[], $3::integer[]) WITH ORDINALITY AS t (id, stop, n)
		ON CONFLICT (task_id) DO UPDATE SET tokens = excluded.tokens WHERE task_search.tokens <> excluded.tokens`, ids, flat, ends)
	return err
}

func (p *pg) dropTokens(ctx context.Context, h db.DBTX, tasks []int64) error {
	_, err := h.Exec(ctx, "DELETE FROM task_search WHERE task_id = ANY($1::bigint[])", tasks)
	return err
}

func (p *pg) clearSearch(ctx context.Context, h db.DBTX) error {
	_, err := h.Exec(ctx, "TRUNCATE task_search, search_queue")
	return err
}

func (p *pg) matchTokens(ctx context.Context, e *textindex.Expr, limit int64) ([]int64, error) {
	b := &builder{}
	rows, err := p.pool.Query(ctx, "SELECT task_id FROM task_search WHERE "+tokensSQL(b, e)+" LIMIT "+b.arg(limit), b.args...)
	if err != nil {
		return nil, err
	}
	return scanInts(rows)
}

// tokensSQL spells a condition for the index.
func tokensSQL(b *builder, e *textindex.Expr) string {
	if len(e.Any) > 0 {
		return "(" + strings.Join(eachSQL(b, e.Any), " OR ") + ")"
	}
	kids := e.All
	if len(kids) == 0 {
		kids = []*textindex.Expr{e}
	}
	var all []int32
	var rest []*textindex.Expr
	for _, k := range kids {
		if len(k.All)+len(k.Any) == 0 {
			all = append(all, int32(k.Token))
		} else {
			rest = append(rest, k)
		}
	}
	parts := eachSQL(b, rest)
	if len(all) > 0 {
		parts = append(parts, "tokens @> "+b.arg(all)+"::integer[]")
	}
	return "(" + strings.Join(parts, " AND ") + ")"
}

func eachSQL(b *builder, list []*textindex.Expr) []string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = tokensSQL(b, e)
	}
	return parts
}
