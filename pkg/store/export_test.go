// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/transfer"
	"github.com/z4jdev/z4j/pkg/textindex"
)

// ExecForTest runs one statement in a transaction, once for each list of arguments, to seed rows that
// only other parts write.
func (s *Store) ExecForTest(ctx context.Context, query string, rows ...[]any) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, args := range rows {
			if _, err := tx.db.Exec(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sleep is a statement that takes its time.
func (tx *Tx) Sleep(ctx context.Context, seconds int) error {
	_, err := tx.db.Exec(ctx, "SELECT pg_sleep($1)", seconds)
	return err
}

// TxRetriesForTest is how many transactions were tried again.
func (s *Store) TxRetriesForTest() int64 { return s.unlucky.Load() }

// IntsForTest reads a column of numbers.
func (s *Store) IntsForTest(ctx context.Context, query string) ([]int64, error) {
	return s.readInts(ctx, query, nil)
}

// InternForTest interns names.
func (s *Store) InternForTest(ctx context.Context, texts ...string) (ids []int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, text := range texts {
			id, err := tx.intern(ctx, text, map[string]int64{})
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// PlansForTest makes a store record the plan of every query it reads with.
func (s *Store) PlansForTest() *Plans {
	p := &Plans{}
	s.eng = spyEngine{engine: s.eng, plans: p}
	return p
}

// Plans are the recorded plans.
type Plans struct{ lines []string }

// Take returns the plans since the last call.
func (p *Plans) Take() string {
	out := strings.Join(p.lines, "\n")
	p.lines = nil
	return out
}

type spyEngine struct {
	engine
	plans *Plans
}

func (e spyEngine) read() db.DBTX { return spyDB{e.engine.read(), e.plans, e.name() == "sqlite"} }

type spyDB struct {
	db.DBTX
	plans  *Plans
	sqlite bool
}

func (d spyDB) explain(ctx context.Context, query string, args []any) {
	explain := "EXPLAIN "
	if d.sqlite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := d.DBTX.Query(ctx, explain+query, append([]any(nil), args...)...)
	if err != nil {
		d.plans.lines = append(d.plans.lines, "error: "+err.Error())
		return
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int64
		var detail string
		into := []any{&id, &parent, &unused, &detail}
		if !d.sqlite {
			into = into[3:]
		}
		if rows.Scan(into...) == nil {
			d.plans.lines = append(d.plans.lines, detail)
		}
	}
}

func (d spyDB) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	d.explain(ctx, query, args)
	return d.DBTX.Query(ctx, query, args...)
}

func (d spyDB) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	d.explain(ctx, query, args)
	return d.DBTX.QueryRow(ctx, query, args...)
}

// ContentForTest reads every copied table in a form that does not depend on the engine; lite is an SQLite store of the same
// schema, whose catalogue says what there is.
func (s *Store) ContentForTest(ctx context.Context, lite *Store) (map[string][][]any, error) {
	tables, err := transfer.Catalogue(ctx, lite.eng.read())
	if err != nil {
		return nil, err
	}
	content := map[string][][]any{}
	for i := range tables {
		if content[tables[i].Name], err = transfer.Rows(ctx, &tables[i], transfer.Side{Postgres: s.Engine() != "sqlite", Read: s.eng.read()}); err != nil {
			return nil, err
		}
	}
	return content, nil
}

// MapPostgresForTest classifies an error as PostgreSQL's.
func MapPostgresForTest(err error) error { return (*pg)(nil).mapErr(err) }

// WriteByReaderForTest is what becomes of a write where the database can only be read.
func (s *Store) WriteByReaderForTest(ctx context.Context) error {
	_, err := s.eng.read().Exec(ctx, "DELETE FROM meta")
	return s.err(err)
}

// BackendForTest is the process of the server behind the transaction.
func (tx *Tx) BackendForTest(ctx context.Context) (pid int64, err error) {
	err = tx.db.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
	return pid, err
}

// AskForTest lists the ids of the tasks that match a filter, by the search index alone; ok is false when it can't help.
func (s *Store) AskForTest(ctx context.Context, f TaskFilter) (ids []string, ok bool, err error) {
	r, err := s.resolve(ctx, &f)
	if err != nil {
		return nil, false, err
	}
	l := &lister{s: s, p: TaskPage{Filter: f, Order: TasksByTime}, all: r.conds}
	places, ok, err := l.ask(ctx)
	if err != nil || !ok {
		return nil, false, err
	}
	tasks, err := s.fetchTasks(ctx, places, true)
	for _, t := range tasks {
		ids = append(ids, t.TaskID)
	}
	return ids, true, err
}

// IndexTasksForTest is IndexTasks with something that happens between reading the tasks and writing the index.
func (s *Store) IndexTasksForTest(ctx context.Context, limit int64, between func()) error {
	state, err := s.Meta(ctx, metaSearch)
	if err != nil {
		return err
	}
	ready, err := s.readyTasks(ctx, state, limit)
	if err != nil {
		return err
	}
	between()
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.indexTasks(ctx, limit, ready, true)
		return err
	})
}

// CandidatesForTest lists the keys that the search index has for a text.
func (s *Store) CandidatesForTest(ctx context.Context, project int64, text string) ([]int64, error) {
	return s.eng.matchTokens(ctx, textindex.In(project, textindex.Contains(text)), 100)
}

// FoldInPartsForTest is FoldDeltas with another bound; step is how many deltas it merges at a time in the end.
func (s *Store) FoldInPartsForTest(ctx context.Context, limit int64, rolls int) (n, step int64, err error) {
	n, err = s.foldInParts(ctx, limit, rolls)
	return n, s.foldStep.Load(), err
}

// TasksBothWaysForTest reads the tasks of a project as lists do and by the driver's own way.
func (s *Store) TasksBothWaysForTest(ctx context.Context, project int64, columns string) (fast, slow []Task, err error) {
	query := "SELECT " + columns + " FROM tasks WHERE project_id = $1 ORDER BY id"
	if fast, err = s.readTasks(ctx, query, []any{project}, 100); err != nil {
		return nil, nil, err
	}
	rows, err := s.eng.read().Query(ctx, query, project)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if s.eng.name() != "sqlite" && !plainTask(rows.FieldDescriptions()) {
		return nil, nil, fmt.Errorf("columns that decodeTask does not know: %v", rows.FieldDescriptions())
	}
	for rows.Next() {
		slow = append(slow, Task{})
		if err := scanTask(rows, &slow[len(slow)-1]); err != nil {
			return nil, nil, err
		}
	}
	return fast, slow, rows.Err()
}

// TaskColumnsForTest are the columns of whole rows and of basic ones.
func TaskColumnsForTest() []string { return []string{taskColumns, basicColumns} }
