// SPDX-License-Identifier: AGPL-3.0-or-later

package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// record is one recorded request with its answer.
type record struct {
	Seq             int             `json:"seq"`
	Operation       string          `json:"operation"`
	Case            string          `json:"case"`
	As              string          `json:"as"`
	Method          string          `json:"method"`
	Path            string          `json:"path"`
	Query           map[string]any  `json:"query"`
	RequestHeaders  map[string]any  `json:"request_headers"`
	RequestBody     json.RawMessage `json:"request_body"`
	Status          int             `json:"status"`
	ResponseHeaders map[string]any  `json:"response_headers"`
	ResponseBody    json.RawMessage `json:"response_body"`
	Note            string          `json:"note"`
	Truncated       bool            `json:"truncated"`

	group string
}

func (r *record) String() string {
	return fmt.Sprintf("#%d %s (%s, as %s)", r.Seq, r.Operation, r.Case, r.As)
}

// header returns a recorded request header.
func (r *record) header(name string) string {
	v, _ := r.RequestHeaders[name].(string)
	return v
}

// loadRecords reads the recordings of the groups in the order of recording.
func loadRecords(t *testing.T, groups []string) []*record {
	t.Helper()
	var all []*record
	for _, g := range groups {
		raw, err := os.ReadFile(filepath.Join("testdata", g+".json")) //nolint:gosec // names are constants
		if err != nil {
			t.Fatal(err)
		}
		var list []*record
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatalf("%s: %v", g, err)
		}
		for _, r := range list {
			r.group = g
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b *record) int { return a.Seq - b.Seq })
	return all
}

// difference is one row of docs/rest-differences.md: which records, what is different, and why.
type difference struct {
	selector string
	kind     string
	reason   string
	used     bool
}

// Kinds of differences.
const (
	// kindSkip leaves records out altogether: the operation or its precondition does not exist here.
	kindSkip = "skip"
	// kindSchema checks records against the document only: the state they need cannot be made in this test.
	kindSchema = "schema only"
	// kindStatus says that our status is another one; written "status 422".
	kindStatus = "status"
	// kindBody says that members differ; the answer must still fit our document.
	kindBody = "body"
	// kindNew names members that our answers have more, separated by blanks: "new depth waiting". The others must be the same.
	kindNew = "new"
)

// base is the kind without what it names.
func (d *difference) base() string {
	if strings.HasPrefix(d.kind, kindNew+" ") {
		return kindNew
	}
	base, _, _ := strings.Cut(d.kind, " 4")
	base, _, _ = strings.Cut(base, " 2")
	return base
}

// withoutNew takes the faults out that are about members which rows of kind "new" name. about is how such a fault ends.
func withoutNew(rows []*difference, r *record, faults []string, about string) []string {
	for _, d := range rows {
		if d.base() != kindNew || !d.matches(r) {
			continue
		}
		named := strings.Fields(strings.TrimPrefix(d.kind, kindNew))
		faults = slices.DeleteFunc(faults, func(f string) bool {
			path, ok := strings.CutSuffix(f, about)
			ok = ok && slices.Contains(named, path[strings.LastIndexByte(path, '.')+1:])
			d.used = d.used || ok
			return ok
		})
	}
	return faults
}

// loadDifferences reads the table rows of the file: | `selector` | kind | reason |.
func loadDifferences(t *testing.T) []*difference {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "rest-differences.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*difference
	for line := range strings.SplitSeq(string(raw), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			t.Fatalf("rest-differences.md: a row has three cells: %s", line)
		}
		d := &difference{selector: strings.Trim(cells[0], "` "), kind: strings.TrimSpace(cells[1]), reason: strings.TrimSpace(cells[2])}
		if !slices.Contains([]string{kindSkip, kindSchema, kindStatus, kindBody, kindNew}, d.base()) || len(d.reason) < 10 {
			t.Fatalf("rest-differences.md: unknown kind or no reason: %s", line)
		}
		out = append(out, d)
	}
	return out
}

// matches reports whether the row is about the record. A selector is a list of conditions that all must hold,
// joined by " & ": #12,#15 · as=viewer · op=GET /x · case=throttled · group=tasks · note=brain started. A trailing
// * matches the rest of a text.
func (d *difference) matches(r *record) bool {
	for cond := range strings.SplitSeq(d.selector, " & ") {
		key, value, found := strings.Cut(cond, "=")
		ok := false
		if !found {
			for id := range strings.SplitSeq(cond, ",") {
				ok = ok || strings.TrimSpace(id) == "#"+strconv.Itoa(r.Seq)
			}
		} else {
			text := map[string]string{
				"as": r.As, "op": r.Operation, "case": r.Case, "group": r.group, "note": r.Note,
			}[key]
			if prefix, open := strings.CutSuffix(value, "*"); open {
				ok = strings.HasPrefix(text, prefix)
			} else {
				ok = text == value
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// find returns the row of the kind that is about the record, and marks it used.
func find(rows []*difference, r *record, kind string) *difference {
	for _, d := range rows {
		if d.base() == kind && d.matches(r) {
			d.used = true
			return d
		}
	}
	return nil
}

// wantStatus is the status a row of kind "status" names.
func (d *difference) wantStatus() int {
	n, _ := strconv.Atoi(strings.TrimPrefix(d.kind, kindStatus+" "))
	return n
}
