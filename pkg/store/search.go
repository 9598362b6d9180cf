// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/projection"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/textindex"
)

// The search index follows the tasks: whoever changes what is searched of one queues it in the same transaction, and
// IndexTasks works the queue off. A search asks the index and looks at the queued tasks itself, so that it misses none.

const (
	// metaSearch is the state of the index: nothing or searchOff without one, searchWhole when all tasks are in it or
	// queued, otherwise the key of a task: those with lower keys are still to be added.
	metaSearch  = "search_index"
	searchOff   = "off"
	searchWhole = "whole"

	// settleTime is how long a task waits in the queue: most change several times within seconds.
	settleTime = 5 * time.Second
	// searchMatches is how many tasks an index may name for a search that then looks at all of them, and searchQueued how
	// many may be queued.
	searchMatches, searchQueued = 1000, 2000
)

// searchLock is the advisory lock of those who write the index: each reads tasks before it writes what it read.
const searchLock = 0x7A345E4C

// searchOps is what of the index differs between the engines.
type searchOps interface {
	lockSearch(ctx context.Context, h db.DBTX) error
	// queueSearch notes tasks as changed.
	queueSearch(ctx context.Context, h db.DBTX, tasks []int64, now time.Time) error
	// queued is the query of the noted tasks.
	queued() string
	// takeQueued takes about limit tasks from the queue that were noted before a time, the oldest first.
	takeQueued(ctx context.Context, h db.DBTX, before time.Time, limit int64) (taken int64, tasks []int64, err error)
	// putTokens sets what the index has of tasks, and dropTokens takes tasks out. bulk says that many more wait, so that
	// searches do not ask the index yet, and that a long step holds nobody up; settleTokens readies the index for searches.
	putTokens(ctx context.Context, h db.DBTX, tasks []searchedTask, bulk bool) error
	settleTokens(ctx context.Context, h db.DBTX) error
	dropTokens(ctx context.Context, h db.DBTX, tasks []int64) error
	clearSearch(ctx context.Context, h db.DBTX) error
	// matchTokens lists up to limit tasks for which the condition holds.
	matchTokens(ctx context.Context, e *textindex.Expr, limit int64) ([]int64, error)
	// amongSQL says that a column is one of tasks.
	amongSQL(b *builder, column string, tasks []int64) string
}

// IndexTasks brings the search index on by one step of about limit tasks. It returns how many it looked at, 0 when there is
// nothing to do for now. bulk says that nobody waits meanwhile: an index that is far behind then takes less time for each task,
// in steps some of which take seconds. An index that is switched off is emptied.
func (s *Store) IndexTasks(ctx context.Context, limit int64, bulk bool) (n int64, err error) {
	state, err := s.Meta(ctx, metaSearch)
	if err != nil {
		return 0, fmt.Errorf("index tasks: %w", err)
	}
	idle, err := s.searchIdle(ctx, state)
	if idle || err != nil {
		return 0, err
	}
	ready, err := s.readyTasks(ctx, state, limit)
	if err != nil {
		return 0, fmt.Errorf("index tasks: %w", err)
	}
	err = s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		if err := s.eng.lockSearch(ctx, tx.db); err != nil {
			return err
		}
		var err error
		n, err = tx.indexTasks(ctx, limit, ready, bulk)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("index tasks: %w", err)
	}
	return n, nil
}

// searchIdle reports whether a step would find nothing to do, so that none takes the writer for it.
func (s *Store) searchIdle(ctx context.Context, state string) (bool, error) {
	switch {
	case !s.searched:
		return state == "" || state == searchOff, nil
	case state != searchWhole:
		return false, nil
	}
	found, err := s.readInts(ctx, "SELECT 1 FROM search_queue WHERE at < $1 LIMIT 1", []any{s.Now().Add(-settleTime)})
	return len(found) == 0, err
}

// readyTasks breaks the tasks of the next step into tokens before SQLite's one writer is taken for it: reading them is most of
// the work. Nil on PostgreSQL, where nobody waits for a step.
func (s *Store) readyTasks(ctx context.Context, state string, limit int64) (map[int64]searchedTask, error) {
	if !s.searched || s.eng.name() != "sqlite" {
		return nil, nil
	}
	tasks, err := s.readInts(ctx, queuedTasks, []any{s.Now().Add(-settleTime), limit})
	if err != nil {
		return nil, err
	}
	if below, err := strconv.ParseInt(state, 10, 64); err == nil && int64(len(tasks)) < limit {
		older, err := s.readInts(ctx, olderTasks, []any{below, limit - int64(len(tasks))})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, older...)
	}
	list, err := s.readTokens(ctx, s.eng.read(), tasks)
	ready := make(map[int64]searchedTask, len(list))
	for _, t := range list {
		ready[t.id] = t
	}
	return ready, err
}

// olderTasks are those that come next when an index is filled.
const olderTasks = "SELECT id FROM tasks WHERE id < $1 ORDER BY id DESC LIMIT $2"

func (tx *Tx) indexTasks(ctx context.Context, limit int64, ready map[int64]searchedTask, bulk bool) (int64, error) {
	s := tx.s
	state, err := s.q.MetaValue(ctx, tx.db, db.MetaValueParams{Key: metaSearch})
	if err != nil && !s.isNotFound(err) {
		return 0, err
	}
	set := func(state string) error {
		return s.q.SetMeta(ctx, tx.db, db.SetMetaParams{Key: metaSearch, Value: state})
	}
	if !s.searched {
		if err := s.eng.clearSearch(ctx, tx.db); err != nil {
			return 0, err
		}
		return 0, set(searchOff)
	}
	if state == "" || state == searchOff {
		if err := s.eng.clearSearch(ctx, tx.db); err != nil {
			return 0, err
		}
		var newest int64
		if err := tx.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM tasks").Scan(&newest); err != nil {
			return 0, err
		}
		if newest == 0 {
			return 0, set(searchWhole)
		}
		return 1, set(strconv.FormatInt(newest+1, 10))
	}
	taken, tasks, err := s.eng.takeQueued(ctx, tx.db, s.Now().Add(-settleTime), limit)
	if err != nil {
		return 0, err
	}
	if bulk && state == searchWhole {
		// SQLite's writer would be held for a question that it does not ask.
		if bulk = taken >= limit && s.eng.name() != "sqlite"; bulk {
			if _, bulk, err = s.someQueued(ctx, tx.db); err != nil {
				return 0, err
			}
		}
	}
	if err := tx.putTasks(ctx, tasks, ready, bulk); err != nil || taken >= limit || state == searchWhole {
		return taken, err
	}
	below, err := strconv.ParseInt(state, 10, 64)
	if err != nil {
		// A state that nobody wrote: begin anew.
		return 1, set("")
	}
	rows, err := tx.db.Query(ctx, olderTasks, below, limit-taken)
	if err != nil {
		return 0, err
	}
	older, err := scanInts(rows)
	if err != nil {
		return 0, err
	}
	if len(older) == 0 {
		if err := s.eng.settleTokens(ctx, tx.db); err != nil {
			return 0, err
		}
		return taken, set(searchWhole)
	}
	if err := tx.putTasks(ctx, older, ready, bulk); err != nil {
		return 0, err
	}
	return taken + int64(len(older)), set(strconv.FormatInt(older[len(older)-1], 10))
}

// someQueued lists noted tasks; many says that they are too many for a search to look at, so that none asks the index.
func (s *Store) someQueued(ctx context.Context, h db.DBTX) (tasks []int64, many bool, err error) {
	rows, err := h.Query(ctx, s.eng.queued()+" LIMIT $1", int64(searchQueued+1))
	if err != nil {
		return nil, false, err
	}
	tasks, err = scanInts(rows)
	return tasks, len(tasks) > searchQueued, err
}

// putTasks sets what the index has of tasks, and takes those out that are gone. It reads those that are not ready, or were
// changed since.
func (tx *Tx) putTasks(ctx context.Context, tasks []int64, ready map[int64]searchedTask, bulk bool) error {
	if len(tasks) == 0 {
		return nil
	}
	list, err := tx.unchangedTasks(ctx, tasks, ready)
	if err != nil {
		return err
	}
	there := make(map[int64]bool, len(tasks))
	missing := func() []int64 {
		for _, t := range list {
			there[t.id] = true
		}
		return slices.DeleteFunc(slices.Clone(tasks), func(id int64) bool { return there[id] })
	}
	if unread := missing(); len(unread) > 0 {
		read, err := tx.s.readTokens(ctx, tx.db, unread)
		if err != nil {
			return err
		}
		list = append(list, read...)
	}
	slices.SortFunc(list, func(a, b searchedTask) int { return cmp.Compare(a.id, b.id) })
	if err := tx.s.eng.putTokens(ctx, tx.db, list, bulk); err != nil {
		return err
	}
	gone := missing()
	if len(gone) == 0 {
		return nil
	}
	return tx.s.eng.dropTokens(ctx, tx.db, gone)
}

// unchangedTasks are those of tasks that are ready and have not been changed since.
func (tx *Tx) unchangedTasks(ctx context.Context, tasks []int64, ready map[int64]searchedTask) (list []searchedTask, err error) {
	if len(ready) == 0 {
		return nil, nil
	}
	b := &builder{}
	rows, err := tx.db.Query(ctx, "SELECT id, updated_at FROM tasks WHERE "+tx.s.eng.amongSQL(b, "id", tasks), b.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var updated time.Time
		if err := rows.Scan(&id, &updated); err != nil {
			return nil, err
		}
		if t, ok := ready[id]; ok && t.updated.Equal(updated) {
			list = append(list, t)
		}
	}
	return list, rows.Err()
}

// searchedTask is a task as the index knows it.
type searchedTask struct {
	id      int64
	updated time.Time
	tokens  []textindex.Token
}

// searchedColumns are what scanTokens reads.
const searchedColumns = "id, updated_at, project_id, task_id, exception, args, kwargs, result"

// readTokens reads tasks by their keys and breaks each into its tokens.
func (s *Store) readTokens(ctx context.Context, h db.DBTX, tasks []int64) ([]searchedTask, error) {
	b := &builder{}
	rows, err := h.Query(ctx, "SELECT "+searchedColumns+" FROM tasks WHERE "+s.eng.amongSQL(b, "id", tasks), b.args...)
	if err != nil {
		return nil, err
	}
	return scanTokens(rows)
}

// scanTokens breaks the tasks of an answer into their tokens.
func scanTokens(rows pgx.Rows) (list []searchedTask, err error) {
	defer rows.Close()
	for rows.Next() {
		var t searchedTask
		var d textindex.Document
		var exception, args, kwargs, result *string
		if err := rows.Scan(&t.id, &t.updated, &d.Project, &d.ID, &exception, &args, &kwargs, &result); err != nil {
			return nil, err
		}
		d.Exception, d.Args, d.Kwargs, d.Result = value(exception), value(args), value(kwargs), value(result)
		t.tokens = d.Tokens()
		list = append(list, t)
	}
	return list, rows.Err()
}

const (
	// sampleTasks is how many of the newest tasks tell how common a token is, sampleFor how long they do, and unseen the part of
	// the tasks that has a token of which they know nothing.
	sampleTasks = 256
	sampleFor   = 10 * time.Minute
	unseen      = 1.0 / 128
)

// tokenSample is how many of some tasks have a token, and which searches name too many tasks: whoever pages through one asks for
// it again and again. Both are forgotten together.
type tokenSample struct {
	mu    sync.Mutex
	until time.Time
	tasks int
	with  map[textindex.Token]int
	many  map[string]bool
}

// maxFrequent bounds the searches that are known to name too many.
const maxFrequent = 1000

func (c *tokenSample) frequent(search string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.many[search]
}

func (c *tokenSample) note(search string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.many == nil || len(c.many) >= maxFrequent {
		c.many = map[string]bool{}
	}
	c.many[search] = true
}

// tokenShare tells how common tokens are among the newest tasks. Of a failure it makes no more than slower searches.
func (s *Store) tokenShare(ctx context.Context) func(textindex.Token) float64 {
	c := &s.sample
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := s.Now(); now.After(c.until) {
		if list, err := s.newestTokens(ctx); err == nil {
			c.until, c.tasks, c.with, c.many = now.Add(sampleFor), len(list), make(map[textindex.Token]int), nil
			for _, task := range list {
				for _, t := range task.tokens {
					c.with[t]++
				}
			}
		}
	}
	tasks, with := c.tasks, c.with // replaced as a whole
	return func(t textindex.Token) float64 {
		if n := with[t]; n > 0 {
			return max(unseen, float64(n)/float64(tasks))
		}
		return unseen
	}
}

func (s *Store) newestTokens(ctx context.Context) ([]searchedTask, error) {
	rows, err := s.eng.read().Query(ctx, "SELECT "+searchedColumns+" FROM tasks ORDER BY id DESC LIMIT $1", sampleTasks)
	if err != nil {
		return nil, err
	}
	return scanTokens(rows)
}

func scanInts(rows pgx.Rows) ([]int64, error) {
	defer rows.Close()
	var list []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// SearchState says how far the search index is.
type SearchState struct {
	// On is unset while there is no index: searches read rows.
	On bool
	// Whole is set when every task is in the index or queued; until then Left tasks with the lowest keys may be missing.
	Whole bool
	Left  int64
	// Queued is how many changes wait in the queue, up to a bound.
	Queued int64
}

// queuedBound is up to which number queued changes are counted.
const queuedBound = 1_000_000

// SearchState reads how far the search index is.
func (s *Store) SearchState(ctx context.Context) (SearchState, error) {
	state, err := s.Meta(ctx, metaSearch)
	if err != nil {
		return SearchState{}, err
	}
	out := SearchState{On: state != "" && state != searchOff, Whole: state == searchWhole}
	if below, err := strconv.ParseInt(state, 10, 64); err == nil {
		out.Left = below - 1
	}
	queued, err := s.readInts(ctx, "SELECT count(*) FROM ("+s.eng.queued()+" LIMIT $1) AS q", []any{int64(queuedBound)})
	if err == nil && len(queued) == 1 {
		out.Queued = queued[0]
	}
	return out, err
}

// candidates lists the tasks for which a condition on the index may hold, newest first by key; ok is false when the index can't
// tell, or when these are too many to look at.
func (s *Store) candidates(ctx context.Context, project int64, e *textindex.Expr) (tasks []int64, ok bool, err error) {
	if e == nil {
		return nil, false, nil
	}
	state, err := s.Meta(ctx, metaSearch)
	if err != nil || state != searchWhole {
		return nil, false, err
	}
	// The queue is read before the index: what leaves it in between is in the index then.
	queued, many, err := s.someQueued(ctx, s.eng.read())
	if err != nil || many {
		return nil, false, err
	}
	narrow, _ := textindex.In(project, e).Narrow(s.tokenShare(ctx))
	name := narrow.Match()
	if s.sample.frequent(name) {
		return nil, false, nil
	}
	tasks, err = s.eng.matchTokens(ctx, narrow, searchMatches+1)
	if err == nil && len(tasks) > searchMatches {
		s.sample.note(name)
	}
	if err != nil || len(tasks) > searchMatches {
		return nil, false, err
	}
	tasks = append(tasks, queued...)
	slices.Sort(tasks)
	return slices.Compact(tasks), true, nil
}

// searchDirty are the changes of a task that the search index has to follow.
const searchDirty = projection.DirtyArgs | projection.DirtyOutcome

// queueSearch notes tasks for the search index, if there is to be one.
func (tx *Tx) queueSearch(ctx context.Context, tasks []int64, now time.Time) error {
	if !tx.s.searched || len(tasks) == 0 {
		return nil
	}
	return tx.s.eng.queueSearch(ctx, tx.s.eng.later(tx.db), tasks, now)
}

// forgetSearch makes the search index be made anew.
func (s *Store) forgetSearch(ctx context.Context) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.db.Exec(ctx, "DELETE FROM meta WHERE key = $1", metaSearch)
		return err
	})
}
