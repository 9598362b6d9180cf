// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/z4jdev/z4j/pkg/store"
)

// Statement is the text of a statement, and some of the arguments it came with.
type Statement struct {
	Query string
	Args  [][]any
}

// Name is the name that a generated query has, "" for others.
func (s *Statement) Name() string {
	name, ok := strings.CutPrefix(s.Query, "-- name: ")
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(name, " ")
	return name
}

// Recorder remembers the statements that a store runs.
type Recorder struct {
	mu   sync.Mutex
	seen map[string]*Statement
}

// keptArgs is how many lists of arguments are kept of a text: what is planned with one may be planned otherwise with another.
const keptArgs = 4

var (
	placeholder = regexp.MustCompile(`\$\d+`)
	lists       = regexp.MustCompile(`\$(, \$)+`)
)

// Option makes a store tell the recorder of its statements.
func (r *Recorder) Option(o *store.Options) { o.Watch = r.watch }

func (r *Recorder) watch(query string, args []any) {
	// Texts that differ by the length of a list only are planned alike.
	key := lists.ReplaceAllString(placeholder.ReplaceAllString(query, "$$"), "$$...")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]*Statement{}
	}
	s := r.seen[key]
	if s == nil {
		s = &Statement{Query: query}
		r.seen[key] = s
	}
	if s.Query == query && len(s.Args) < keptArgs {
		s.Args = append(s.Args, slices.Clone(args))
	}
}

// Take returns the statements since the last call, those first that are read first.
func (r *Recorder) Take() []Statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Statement
	for _, s := range r.seen {
		list = append(list, *s)
	}
	r.seen = nil
	slices.SortFunc(list, func(a, b Statement) int { return strings.Compare(a.Query, b.Query) })
	return list
}

// smallTables never grow with the number of tasks, or hold one row a thing that people make.
var smallTables = []string{
	"meta", "leases", "setup_token", "users", "projects", "memberships", "agents", "saved_views", "audit_state", "audit_transition", "task_counts",
	"goose_db_version", "rollup_deltas", "json_each", "sqlite_schema", "sqlite_master",
}

// Scan is a place of a plan that reads a growing table from end to end.
type Scan struct {
	Table, How string
}

// Explainer reads plans on a connection of its own.
type Explainer struct {
	lite *sql.DB
	pg   *pgx.Conn
}

// NewExplainer connects to the database of a store.
func NewExplainer(t testing.TB, databaseURL string) *Explainer {
	t.Helper()
	e := &Explainer{}
	if path, ok := strings.CutPrefix(databaseURL, "sqlite:///"); ok {
		d, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		d.SetMaxOpenConns(1)
		e.lite = d
		t.Cleanup(func() { _ = d.Close() })
		return e
	}
	c, err := pgx.Connect(context.Background(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	e.pg = c
	// A table of a test is small enough for the planner to read it as a whole where it would not read a large one. It is
	// asked for a plan that avoids this: what is left of full scans, no index could serve.
	for _, way := range []string{"seqscan", "hashjoin", "mergejoin"} {
		if _, err := c.Exec(context.Background(), "SET enable_"+way+" = off"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return e
}

// limitParam is a limit that is not known when a generic plan is made: the planner takes a tenth of the table for it, where
// the server plans with the true one as long as that is cheaper.
var limitParam = regexp.MustCompile(`LIMIT (CAST\(\$\d+ AS bigint\)|\$\d+)`)

var isPlanned = regexp.MustCompile(`(?is)^(--[^\n]*\n|\s)*(select|insert|update|delete|with)\b`)

// Scans returns the full scans of growing tables in the plans of a statement, and the plans as text.
func (e *Explainer) Scans(t testing.TB, s *Statement) (scans []Scan, plan string) {
	t.Helper()
	if !isPlanned.MatchString(s.Query) {
		return nil, ""
	}
	if e.lite != nil {
		return e.liteScans(t, s)
	}
	var texts []string
	add := func(text string, err error) {
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "42P01" && len(s.Args) > 0 {
			return // of a partition that is gone by now
		}
		if err != nil {
			t.Errorf("explain: %v\n%s", err, s.Query)
			return
		}
		found, err := pgScans([]byte(text))
		if err != nil {
			t.Errorf("read a plan: %v\n%s", err, text)
		}
		for _, f := range found {
			if !slices.Contains(scans, f) {
				scans = append(scans, f)
				texts = append(texts, text)
			}
		}
	}
	for _, args := range s.Args {
		add(e.pgPlan("EXPLAIN (FORMAT JSON) "+s.Query, args))
	}
	if len(s.Args) == 0 {
		add(e.pgPlan("EXPLAIN (FORMAT JSON, GENERIC_PLAN) "+limitParam.ReplaceAllString(s.Query, "LIMIT 100"), nil))
	}
	return scans, strings.Join(texts, "\n")
}

func (e *Explainer) pgPlan(query string, args []any) (string, error) {
	ctx := context.Background()
	if len(args) > 0 {
		var text string
		err := e.pg.QueryRow(ctx, query, args...).Scan(&text)
		return text, err
	}
	// Placeholders without values are known to the simple protocol only.
	results, err := e.pg.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return "", fmt.Errorf("%d results", len(results))
	}
	return string(results[0].Rows[0][0]), nil
}

type pgNode struct {
	Kind      string   `json:"Node Type"`
	Relation  string   `json:"Relation Name"`
	IndexCond string   `json:"Index Cond"`
	Filter    string   `json:"Filter"`
	Plans     []pgNode `json:"Plans"`
}

func pgScans(text []byte) ([]Scan, error) {
	var top []struct{ Plan pgNode }
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, err
	}
	var scans []Scan
	for i := range top {
		top[i].Plan.walk(false, "", func(n *pgNode, table string) {
			s := Scan{Table: table, How: n.Kind}
			if !slices.Contains(smallTables, table) && !strings.HasPrefix(table, "pg_") && !slices.Contains(scans, s) {
				scans = append(scans, s)
			}
		})
	}
	return scans, nil
}

var partition = regexp.MustCompile(`^(events)_\w+$`)

// walk tells found of the scans of whole tables at and below a node. limited says that nothing between here and a LIMIT has
// to see all rows, heap is the table whose index a bitmap reads.
func (n *pgNode) walk(limited bool, heap string, found func(n *pgNode, table string)) {
	if n.Relation != "" {
		heap = partition.ReplaceAllString(n.Relation, "$1")
	}
	full := false
	switch n.Kind {
	case "Seq Scan", "Sample Scan":
		full = true
	case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
		full = n.IndexCond == ""
	}
	if full && (!limited || n.Filter != "") {
		found(n, heap)
	}
	below := n.Kind == "Limit" || limited && slices.Contains([]string{"Append", "Merge Append", "Result", "Subquery Scan", "LockRows"}, n.Kind)
	for i := range n.Plans {
		n.Plans[i].walk(below, heap, found)
	}
}

var liteScan = regexp.MustCompile(`^SCAN (\S+)(.*)$`)

// liteLookup is a plan that asks a virtual table for what it needs, though it is called a scan: FTS5 says by which terms.
var liteLookup = regexp.MustCompile(`VIRTUAL TABLE INDEX \d+:[=M]`)

func (e *Explainer) liteScans(t testing.TB, s *Statement) (scans []Scan, plan string) {
	t.Helper()
	rows, err := e.lite.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+s.Query, make([]any, liteParams(s.Query))...)
	if err != nil {
		t.Errorf("explain: %v\n%s", err, s.Query)
		return nil, ""
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var id, parent, unused int64
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
		m := liteScan.FindStringSubmatch(detail)
		if m == nil {
			continue
		}
		table := aliased(s.Query, m[1])
		if table == "" || slices.Contains(smallTables, table) || liteLookup.MatchString(detail) {
			continue
		}
		if found := (Scan{Table: table, How: strings.TrimSpace("SCAN" + m[2])}); !slices.Contains(scans, found) {
			scans = append(scans, found)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return scans, strings.Join(lines, "\n")
}

var anyParam = regexp.MustCompile(`\?\d*|\$\d+`)

// liteParams is the number of arguments of a statement.
func liteParams(query string) int {
	numbered, plain := map[string]bool{}, 0
	for _, p := range anyParam.FindAllString(query, -1) {
		if p == "?" {
			plain++
		} else {
			numbered[p] = true
		}
	}
	return plain + len(numbered)
}

// aliased is the table that a plan calls name; "" when name is that of a part of the statement.
func aliased(query, name string) string {
	q := regexp.QuoteMeta(name)
	if m := regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE)\s+(\w+)\s+(?:AS\s+)?` + q + `\b`).FindStringSubmatch(query); m != nil {
		return m[1]
	}
	if regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO|,)\s*`+q+`\b`).MatchString(query) && !regexp.MustCompile(`(?i)\b`+q+`\s*(?:\([^()]*\)\s*)?AS\s+\(|\)\s+AS\s+`+q+`\b`).MatchString(query) {
		return name
	}
	return ""
}
