// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// Conditions on arguments and results mean the same on both databases, whatever the content is.
func TestTaskContent(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		content := []struct{ id, args, kwargs, result string }{
			{"number", `[42,"eu"]`, `{"customer_id":42,"paid":true}`, `{"total":12.50}`},
			{"text", `["42"]`, `{"customer_id":"42","paid":1,"note":"Straße \"7\""}`, `"sent"`},
			{"deep", `[{"sku":"A-1"},{"sku":"B-2"}]`, `{"order":{"0":"zero","lines":[{"sku":"C-3"}]}}`, `null`},
			{"nul", `["a\u0000b"]`, `{"customer_id":"\u0000"}`, `"x"`},
			{"signs", `["a<b&c"]`, `{"note":"Stra\u00dfe","none":null}`, `true`},
			{"broken", `[42, "cut off her`, `not json`, `(1, 2)`},
		}
		var events []store.IngestEvent
		for i, c := range content {
			at := base.Add(time.Duration(i) * time.Second)
			events = append(events, event(domain.KindReceived, c.id, at, func(e *store.IngestEvent) { e.Args, e.Kwargs = &c.args, &c.kwargs }),
				event(domain.KindSucceeded, c.id, at.Add(time.Second), func(e *store.IngestEvent) { e.Result = &c.result }))
		}
		events = append(events, event(domain.KindReceived, "bare", base.Add(time.Minute)))
		if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, events...)}); err != nil {
			t.Fatal(err)
		}
		indexAll(t, s)
		asked := 0
		for _, tc := range []struct {
			column store.ContentColumn
			path   string
			match  store.Match
			texts  []string
			want   string
		}{
			{store.ContentKwargs, "customer_id", store.MatchExact, []string{"42"}, "number text"},
			{store.ContentKwargs, "customer_id", store.MatchExact, []string{"4"}, ""},
			{store.ContentKwargs, "customer_id", store.MatchGlob, []string{"4*"}, "number text"},
			{store.ContentKwargs, "paid", store.MatchExact, []string{"true"}, "number"},
			{store.ContentKwargs, "paid", store.MatchGlob, []string{"tr*"}, "number"},
			{store.ContentKwargs, "note", store.MatchExact, []string{"Straße"}, "signs"},
			{store.ContentKwargs, "none", store.MatchExact, []string{"null"}, ""},
			{store.ContentArgs, "0", store.MatchExact, []string{"a<b&c"}, "signs"},
			{store.ContentKwargs, "paid", store.MatchExact, []string{"1"}, "text"},
			{store.ContentKwargs, "note", store.MatchExact, []string{`Straße "7"`}, "text"},
			{store.ContentArgs, "0", store.MatchExact, []string{"42"}, "number text"},
			{store.ContentArgs, "1", store.MatchExact, []string{"eu", "x"}, "number"},
			{store.ContentArgs, "1.sku", store.MatchExact, []string{"B-2"}, "deep"},
			{store.ContentArgs, "1.sku", store.MatchExact, []string{"b-2"}, ""},
			{store.ContentKwargs, "order.0", store.MatchExact, []string{"zero"}, "deep"},
			{store.ContentKwargs, "order.lines.0.sku", store.MatchGlob, []string{"c-*"}, "deep"},
			{store.ContentResult, "total", store.MatchExact, []string{"12.50"}, "number"},
			{store.ContentResult, "", store.MatchPart, []string{"SENT"}, "text"},
			{store.ContentKwargs, "", store.MatchPart, []string{"customer_ID"}, "nul number text"},
			{store.ContentArgs, "", store.MatchPart, []string{"cut off"}, "broken"},
			{store.ContentArgs, "9.x", store.MatchExact, []string{"42"}, ""},
			{store.ContentKwargs, `or"der'; DROP`, store.MatchExact, []string{"42"}, ""},
		} {
			m := store.ContentMatch{Column: tc.column, Texts: nil}
			if tc.path != "" {
				m.Path = strings.Split(tc.path, ".")
			}
			for _, text := range tc.texts {
				m.Texts = append(m.Texts, store.TextMatch{Text: text, Match: tc.match})
			}
			var got [2][]string
			for i, f := range []store.TaskFilter{
				{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Content: []store.ContentMatch{m}}},
				{ProjectID: ref.ProjectID, Not: store.TaskTerms{Content: []store.ContentMatch{m}}},
			} {
				list, err := s.ListTasks(t.Context(), store.TaskPage{Filter: f, Order: store.TasksByTime, Limit: 20})
				if err != nil {
					t.Fatalf("%s.%s: %v", tc.column, tc.path, err)
				}
				for _, task := range list.Tasks {
					got[i] = append(got[i], task.TaskID)
				}
				slices.Sort(got[i])
				ids, ok, err := s.AskForTest(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				if slices.Sort(ids); ok && !slices.Equal(ids, got[i]) {
					t.Errorf("%s.%s %v: the index finds %q, a walk %q", tc.column, tc.path, tc.texts, ids, got[i])
				}
				if ok {
					asked++
				}
			}
			if found := strings.Join(got[0], " "); found != tc.want {
				t.Errorf("%s.%s %v finds %q, want %q", tc.column, tc.path, tc.texts, found, tc.want)
			}
			if len(got[0])+len(got[1]) != len(content)+1 {
				t.Errorf("%s.%s %v: %d found and %d not, of %d", tc.column, tc.path, tc.texts, len(got[0]), len(got[1]), len(content)+1)
			}
		}
		if asked != 18 {
			t.Errorf("the index served %d of the conditions, want 18", asked)
		}
		n, exact, err := s.CountTasks(t.Context(), store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{
			Content: []store.ContentMatch{{Column: store.ContentKwargs, Path: []string{"customer_id"}, Texts: store.Exact("42")}},
		}}, 10)
		if err != nil || n != 2 || !exact {
			t.Errorf("%s counted (%v), want 2", fmt.Sprint(n, exact), err)
		}
	})
}
