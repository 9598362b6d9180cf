// SPDX-License-Identifier: AGPL-3.0-or-later

// Package transfer copies the rows of every table from one database to another of the same schema, page by page, in an
// order that keeps references whole, and goes on where an interrupted copy stopped. One of the two databases is SQLite,
// whose catalogue says what there is to copy.
package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// pageRows is how many rows one transaction copies.
const pageRows = 2000

// StateTable is on the target while a copy is under way.
const StateTable = "copy_state"

// skipped tables hold what belongs to running processes: leases, and sessions of polling agents, which simply connect anew.
// The search index is made anew.
var skipped = []string{"leases", "longpoll_sessions", "audit_transition", "goose_db_version", "sqlite_sequence", "search_queue", StateTable}

// searchIndex begins the names of the tables of the search index.
const searchIndex = "task_search"

// Kind is what a column holds.
type Kind int

// Kinds.
const (
	Text Kind = iota
	Int
	Bool
	Time
	UUID
	Blob
	Real
)

// Column of a table.
type Column struct {
	Name string
	Kind Kind
}

// Table is what is copied of one.
type Table struct {
	Name    string
	Columns []Column
	// Key are the columns of the primary key, in its order.
	Key []string
	// refs are the tables it refers to.
	refs []string
}

// identity is the column that numbers itself, "" when there is none.
func (t *Table) identity() string {
	if len(t.Key) == 1 && t.Key[0] == "id" && t.kind("id") == Int {
		return "id"
	}
	return ""
}

func (t *Table) kind(column string) Kind {
	for _, c := range t.Columns {
		if c.Name == column {
			return c.Kind
		}
	}
	return Text
}

func (t *Table) names() []string {
	list := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		list[i] = c.Name
	}
	return list
}

// Catalogue reads the tables of an SQLite database, in an order in which references point backwards.
func Catalogue(ctx context.Context, lite db.DBTX) ([]Table, error) {
	names, err := texts(ctx, lite, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	byName := map[string]*Table{}
	for _, name := range names {
		if slices.Contains(skipped, name) || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, searchIndex) {
			continue
		}
		t, err := describe(ctx, lite, name)
		if err != nil {
			return nil, fmt.Errorf("describe table %s: %w", name, err)
		}
		byName[name] = t
	}
	var ordered []Table
	state := map[string]int{} // 1: being visited, 2: done
	var visit func(name string) error
	visit = func(name string) error {
		t := byName[name]
		switch {
		case t == nil || state[name] == 2:
			return nil
		case state[name] == 1:
			return fmt.Errorf("tables refer to each other in a circle at %s", name)
		}
		state[name] = 1
		for _, ref := range t.refs {
			if ref != name {
				if err := visit(ref); err != nil {
					return err
				}
			}
		}
		state[name] = 2
		ordered = append(ordered, *t)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

func texts(ctx context.Context, h db.DBTX, query string, args ...any) ([]string, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func describe(ctx context.Context, lite db.DBTX, name string) (*Table, error) {
	t := &Table{Name: name}
	rows, err := lite.Query(ctx, "SELECT name, lower(type), pk FROM pragma_table_info(?) ORDER BY cid", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := map[int64]string{}
	for rows.Next() {
		var column, decl string
		var pk int64
		if err := rows.Scan(&column, &decl, &pk); err != nil {
			return nil, err
		}
		kind, ok := map[string]Kind{
			"text": Text, "integer": Int, "bigint": Int, "boolean": Bool, "timestamp": Time, "uuid": UUID, "blob": Blob, "real": Real,
			"double precision": Real,
		}[decl]
		if !ok {
			return nil, fmt.Errorf("column %s is of the unknown type %q", column, decl)
		}
		t.Columns = append(t.Columns, Column{column, kind})
		if pk > 0 {
			keys[pk] = column
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := int64(1); i <= int64(len(keys)); i++ {
		t.Key = append(t.Key, keys[i])
	}
	if len(t.Key) == 0 {
		return nil, errors.New("it has no primary key")
	}
	t.refs, err = texts(ctx, lite, `SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)`, name)
	return t, err
}

// Side is one of the two databases.
type Side struct {
	// Postgres tells the engines apart.
	Postgres bool
	// Read answers queries; of a source that others write it must be one snapshot.
	Read db.DBTX
	// Tx runs fn in a write transaction (targets only).
	Tx func(ctx context.Context, fn func(ctx context.Context, h db.DBTX) error) error
	// PrepareDays makes room for events of days (targets only).
	PrepareDays func(ctx context.Context, days []time.Time) error
}

// Progress is told after every page.
type Progress struct {
	Table string
	// Done and Total are rows of the table.
	Done, Total int64
}

// Copy copies every table and compares the numbers of rows at the end. mark names the state of the source: a copy that was
// interrupted goes on only when it is the same.
func Copy(ctx context.Context, tables []Table, from, to Side, mark string, report func(Progress)) error {
	if err := begin(ctx, to, mark); err != nil {
		return err
	}
	for i := range tables {
		if err := copyTable(ctx, &tables[i], from, to, report); err != nil {
			return fmt.Errorf("copy table %s: %w", tables[i].Name, err)
		}
	}
	for _, t := range tables {
		a, err := count(ctx, from, t.Name)
		if err != nil {
			return err
		}
		b, err := count(ctx, to, t.Name)
		if err != nil {
			return err
		}
		if a != b {
			return fmt.Errorf("table %s has %d rows in the source and %d in the target: nothing was switched over; empty the target and copy again", t.Name, a, b)
		}
	}
	return to.Tx(ctx, func(ctx context.Context, h db.DBTX) error { return finish(ctx, h, tables, to.Postgres) })
}

// ErrChanged says that the source is not what an interrupted copy began with.
var ErrChanged = errors.New("the source has changed since the interrupted copy began, or it was another one: drop the target and start again")

// begin creates the state of a copy, or finds that of an interrupted one.
func begin(ctx context.Context, to Side, mark string) error {
	return to.Tx(ctx, func(ctx context.Context, h db.DBTX) error {
		if _, err := h.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+StateTable+" (name text PRIMARY KEY, last text NOT NULL, n bigint NOT NULL)"); err != nil {
			return fmt.Errorf("note the state of the copy: %w", err)
		}
		var old string
		err := h.QueryRow(ctx, "SELECT last FROM "+StateTable+" WHERE name = ''").Scan(&old)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = h.Exec(ctx, "INSERT INTO "+StateTable+" (name, last, n) VALUES ('', $1, 0)", mark)
		}
		if err == nil && old != "" && old != mark {
			return ErrChanged
		}
		return err
	})
}

// finish sets the numbering of new rows behind the copied ones and forgets the state.
func finish(ctx context.Context, h db.DBTX, tables []Table, postgres bool) error {
	for _, t := range tables {
		if id := t.identity(); id != "" && postgres {
			// Names come from the catalogue, not from users.
			if _, err := h.Exec(ctx, "SELECT setval(pg_get_serial_sequence('"+t.Name+"', '"+id+"'), coalesce(max("+id+"), 0) + 1, false) FROM "+t.Name); err != nil {
				return fmt.Errorf("set the numbering of %s: %w", t.Name, err)
			}
		}
	}
	_, err := h.Exec(ctx, "DROP TABLE "+StateTable)
	return err
}

func count(ctx context.Context, s Side, table string) (n int64, err error) {
	err = s.Read.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	if err != nil {
		err = fmt.Errorf("count table %s: %w", table, err)
	}
	return n, err
}

func copyTable(ctx context.Context, t *Table, from, to Side, report func(Progress)) error {
	total, err := count(ctx, from, t.Name)
	if err != nil {
		return err
	}
	var last string
	var done int64
	err = to.Read.QueryRow(ctx, "SELECT last, n FROM "+StateTable+" WHERE name = $1", t.Name).Scan(&last, &done)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	for {
		report(Progress{Table: t.Name, Done: done, Total: total})
		rows, err := page(ctx, t, from, last)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		if last, err = t.cursor(rows[len(rows)-1]); err != nil {
			return err
		}
		done += int64(len(rows))
		if t.Name == "events" {
			if err := to.PrepareDays(ctx, t.days(rows)); err != nil {
				return err
			}
		}
		err = to.Tx(ctx, func(ctx context.Context, h db.DBTX) error {
			if err := insert(ctx, h, t, rows, to.Postgres); err != nil {
				return err
			}
			_, err := h.Exec(ctx, "INSERT INTO "+StateTable+" (name, last, n) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET last = excluded.last, n = excluded.n",
				t.Name, last, done)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// page reads the rows after the cursor.
func page(ctx context.Context, t *Table, from Side, after string) ([][]any, error) {
	query := "SELECT " + strings.Join(t.names(), ", ") + " FROM " + t.Name
	var args []any
	if after != "" {
		values, err := t.parse(after)
		if err != nil {
			return nil, err
		}
		marks := make([]string, len(values))
		for i, v := range values {
			marks[i] = fmt.Sprintf("$%d", i+1)
			args = append(args, bind(v, from.Postgres))
		}
		query += " WHERE (" + strings.Join(t.Key, ", ") + ") > (" + strings.Join(marks, ", ") + ")"
	}
	query += " ORDER BY " + strings.Join(t.Key, ", ") + fmt.Sprintf(" LIMIT %d", pageRows)
	rows, err := from.Read.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list [][]any
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		for i := range values {
			if values[i], err = canonical(values[i], t.Columns[i].Kind); err != nil {
				return nil, fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
			}
		}
		list = append(list, values)
	}
	return list, rows.Err()
}

// insert writes rows in their canonical form.
func insert(ctx context.Context, h db.DBTX, t *Table, rows [][]any, postgres bool) error {
	bound := make([][]any, len(rows))
	for i, r := range rows {
		bound[i] = make([]any, len(r))
		for j, v := range r {
			bound[i][j] = bind(v, postgres)
		}
	}
	if postgres {
		tx, ok := h.(interface {
			CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
		})
		if !ok {
			return errors.New("the target's handle is no transaction")
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{t.Name}, t.names(), pgx.CopyFromRows(bound))
		return err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(t.Columns)), ", ")
	query := "INSERT INTO " + t.Name + " (" + strings.Join(t.names(), ", ") + ") VALUES (" + marks + ")"
	for _, r := range bound {
		if _, err := h.Exec(ctx, query, r...); err != nil {
			return err
		}
	}
	return nil
}

// days lists the UTC days of the rows' events.
func (t *Table) days(rows [][]any) []time.Time {
	at := slices.Index(t.names(), "at")
	var list []time.Time
	for _, r := range rows {
		if v, ok := r[at].(time.Time); ok {
			if d := v.UTC().Truncate(24 * time.Hour); !slices.Contains(list, d) {
				list = append(list, d)
			}
		}
	}
	return list
}

// cursor is the key of a row as text.
func (t *Table) cursor(row []any) (string, error) {
	var key []any
	names := t.names()
	for _, k := range t.Key {
		v := row[slices.Index(names, k)]
		if at, ok := v.(time.Time); ok {
			v = at.UnixMicro()
		}
		key = append(key, v)
	}
	text, err := json.Marshal(key)
	return string(text), err
}

// parse is the inverse of cursor.
func (t *Table) parse(text string) ([]any, error) {
	var key []json.RawMessage
	if err := json.Unmarshal([]byte(text), &key); err != nil || len(key) != len(t.Key) {
		return nil, errors.New("the state of the copy can't be read: drop the target and start again")
	}
	values := make([]any, len(key))
	for i, k := range t.Key {
		switch kind := t.kind(k); kind {
		case Int, Time:
			var n int64
			if err := json.Unmarshal(key[i], &n); err != nil {
				return nil, err
			}
			values[i] = n
			if kind == Time {
				values[i] = time.UnixMicro(n).UTC()
			}
		case UUID:
			var id uuid.UUID
			if err := json.Unmarshal(key[i], &id); err != nil {
				return nil, err
			}
			values[i] = id
		default:
			var s string
			if err := json.Unmarshal(key[i], &s); err != nil {
				return nil, err
			}
			values[i] = s
		}
	}
	return values, nil
}

// canonical turns what a driver gives into one Go type for each kind: string, int64, bool, time.Time, uuid.UUID, []byte,
// float64, or nil.
func canonical(v any, kind Kind) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch kind {
	case Text:
		switch s := v.(type) {
		case string:
			return s, nil
		case []byte:
			return string(s), nil
		}
	case Int:
		switch n := v.(type) {
		case int64:
			return n, nil
		case int32:
			return int64(n), nil
		case int16:
			return int64(n), nil
		}
	case Real:
		switch f := v.(type) {
		case float64:
			return f, nil
		case int64:
			return float64(f), nil
		}
	case Bool:
		switch b := v.(type) {
		case bool:
			return b, nil
		case int64:
			return b != 0, nil
		}
	case Time:
		switch at := v.(type) {
		case time.Time:
			return at.UTC(), nil
		case int64:
			return time.UnixMicro(at).UTC(), nil
		}
	case UUID:
		switch id := v.(type) {
		case [16]byte:
			return uuid.UUID(id), nil
		case string:
			return uuid.Parse(id)
		case []byte:
			return uuid.ParseBytes(id)
		}
	case Blob:
		switch b := v.(type) {
		case []byte:
			return slices.Clone(b), nil
		case string:
			return []byte(b), nil
		}
	}
	return nil, fmt.Errorf("unexpected %T", v)
}

// bind turns a canonical value into what the engine's driver stores.
func bind(v any, postgres bool) any {
	if id, ok := v.(uuid.UUID); ok {
		if postgres {
			return pgtype.UUID{Bytes: id, Valid: true}
		}
		return id.String()
	}
	return v
}

// Rows reads a whole table in canonical form, for comparing two databases.
func Rows(ctx context.Context, t *Table, from Side) ([][]any, error) {
	var all [][]any
	last := ""
	for {
		rows, err := page(ctx, t, from, last)
		if err != nil || len(rows) == 0 {
			return all, err
		}
		all = append(all, rows...)
		if last, err = t.cursor(rows[len(rows)-1]); err != nil {
			return nil, err
		}
	}
}
