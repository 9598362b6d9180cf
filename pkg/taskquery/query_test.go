// SPDX-License-Identifier: AGPL-3.0-or-later

package taskquery_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/taskquery"
)

type term struct {
	Key     taskquery.Key `json:"key"`
	Values  []string      `json:"values"`
	Negated bool          `json:"negated"`
}

type vectors struct {
	Good []struct {
		Text     string  `json:"text"`
		Terms    []term  `json:"terms"`
		Spelling *string `json:"spelling"`
	} `json:"good"`
	Bad []struct {
		Text     string `json:"text"`
		Problems []struct {
			From int    `json:"from"`
			To   int    `json:"to"`
			Says string `json:"says"`
		} `json:"problems"`
	} `json:"bad"`
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func plain(q *taskquery.Query) []term {
	out := []term{}
	for _, t := range q.Terms {
		each := term{Key: t.Key, Negated: t.Negated}
		for _, v := range t.Values {
			each.Values = append(each.Values, v.Text)
		}
		out = append(out, each)
	}
	return out
}

func TestVectors(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	for _, tc := range v.Good {
		q, err := taskquery.Parse(tc.Text)
		if err != nil {
			t.Errorf("%q: %v", tc.Text, err)
			continue
		}
		if got := plain(q); !reflect.DeepEqual(got, tc.Terms) {
			t.Errorf("%q: %+v, want %+v", tc.Text, got, tc.Terms)
		}
		spelling := tc.Text
		if tc.Spelling != nil {
			spelling = *tc.Spelling
		}
		if got := q.String(); got != spelling {
			t.Errorf("%q is spelled %q, want %q", tc.Text, got, spelling)
		}
	}
	for _, tc := range v.Bad {
		_, err := taskquery.Parse(tc.Text)
		fault, ok := errors.AsType[*taskquery.Error](err)
		if !ok || len(fault.Problems) != len(tc.Problems) {
			t.Errorf("%q: %+v, want %+v", tc.Text, fault, tc.Problems)
			continue
		}
		for i, want := range tc.Problems {
			if got := fault.Problems[i]; got.From != want.From || got.To != want.To || !strings.Contains(got.Message, want.Says) {
				t.Errorf("%q: problem %+v, want %+v", tc.Text, got, want)
			}
		}
	}
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	q, err := taskquery.Parse("since:2h until:1h since:90m runtime:>2s runtime:<=1m runtime:<50s state:failure state:retry -state:success x")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	since, until := q.Window(now)
	if !since.Equal(now.Add(-90*time.Minute)) || !until.Equal(now.Add(-time.Hour)) {
		t.Errorf("window %v %v", since, until)
	}
	if least, most := q.RuntimeMS(); *least != 2001 || *most != 49_999 {
		t.Errorf("run time %d %d", *least, *most)
	}
	if got := strings.Join(append(q.Values(taskquery.State, false), q.Values(taskquery.State, true)...), " "); got != "failure retry success" {
		t.Errorf("states: %s", got)
	}
	q, err = taskquery.Parse("since:999999999w until:2026-05-01T10:00+02:00")
	if err != nil {
		t.Fatal(err)
	}
	if since, until = q.Window(now); since.Year() > 1930 || !until.Equal(now.Add(-4*time.Hour)) {
		t.Errorf("window %v %v", since, until)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("a", 2001), strings.Repeat("a ", 51), "queue:" + strings.Repeat("a,", 50) + "a", "queue:" + strings.Repeat("a", 201),
	} {
		if _, err := taskquery.Parse(text); err == nil {
			t.Errorf("%.20q... is not too much", text)
		}
	}
}

// FuzzParse: a text without problems is spelled so that it is read back as the same query, and places lie in the text.
func FuzzParse(f *testing.F) {
	v := readVectors(f)
	for _, tc := range v.Good {
		f.Add(tc.Text)
	}
	for _, tc := range v.Bad {
		f.Add(tc.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := taskquery.Parse(text)
		if fault, ok := errors.AsType[*taskquery.Error](err); ok {
			for _, p := range fault.Problems {
				if p.From < 0 || p.To < p.From || p.To > 2*len(text) || p.Message == "" {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		spelling := q.String()
		again, err := taskquery.Parse(spelling)
		if err != nil {
			if len(spelling) > taskquery.MaxLength {
				return // quotation marks made it longer
			}
			t.Fatalf("%q is spelled %q: %v", text, spelling, err)
		}
		if !reflect.DeepEqual(plain(again), plain(q)) || again.String() != spelling {
			t.Fatalf("%q is spelled %q: %+v, want %+v", text, spelling, plain(again), plain(q))
		}
	})
}
