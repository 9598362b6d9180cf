// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// indexAll makes the search index whole, the queue's pause aside.
func indexAll(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.ExecForTest(t.Context(), "UPDATE search_queue SET at = $1", []any{time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := s.IndexTasks(t.Context(), 100, true)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if st, err := s.SearchState(t.Context()); err != nil || !st.On || !st.Whole || st.Queued != 0 {
		t.Fatalf("the index is %+v: %v", st, err)
	}
}

// ask wants the index to find these tasks.
func ask(t *testing.T, s *store.Store, f store.TaskFilter, want ...string) {
	t.Helper()
	got, ok, err := s.AskForTest(t.Context(), f)
	slices.Sort(got)
	if err != nil || !ok || !slices.Equal(got, want) {
		t.Errorf("%+v: the index finds %q (%v, %v), want %q", f.TaskTerms, got, ok, err, want)
	}
}

func TestSearchIndexFollows(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		other := storetest.Agent(t, s)
		search := func(text string) store.TaskFilter {
			return store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Search: []string{text}}}
		}
		ingest := func(ref store.AgentRef, events ...store.IngestEvent) {
			t.Helper()
			if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, events...)}); err != nil {
				t.Fatal(err)
			}
		}
		kwargs := `{"customer":"Wendelin Wonderworks","sizes":[7,8]}`
		received := func(id string) store.IngestEvent {
			return event(domain.KindReceived, id, base, func(e *store.IngestEvent) { e.Kwargs = &kwargs })
		}
		// What was there before there was an index is added behind what comes.
		ingest(ref, received("aaaaaaaa"), received("bbbbbbbb"))
		if _, ok, err := s.AskForTest(t.Context(), search("wonderworks")); ok || err != nil {
			t.Fatalf("there is no index yet, and it was asked: %v", err)
		}
		indexAll(t, s)
		ask(t, s, search("WONDERWORKS"), "aaaaaaaa", "bbbbbbbb")
		ask(t, s, search("bbbbb"), "bbbbbbbb")
		ask(t, s, search("nowhere"))

		// New tasks and changes are found at once, while they are queued, and after.
		problem := "KeyError: 'flux capacitor'"
		failed := event(domain.KindFailed, "aaaaaaaa", base.Add(time.Second), func(e *store.IngestEvent) { e.Exception = &problem })
		ingest(ref, received("cccccccc"), failed)
		ingest(other, received("dddddddd"))
		for range 2 {
			ask(t, s, search("wonderworks"), "aaaaaaaa", "bbbbbbbb", "cccccccc")
			ask(t, s, search("flux capacitor"), "aaaaaaaa")
			f := search("wonderworks")
			f.Exceptions = store.Part("capacitor")
			ask(t, s, f, "aaaaaaaa")
			f = store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Content: []store.ContentMatch{
				{Column: store.ContentKwargs, Path: []string{"sizes", "1"}, Texts: store.Exact("8", "9")},
			}}}
			ask(t, s, f, "aaaaaaaa", "bbbbbbbb", "cccccccc")
			f.IDs = []store.TextMatch{{Text: "cccc*cc", Match: store.MatchGlob}}
			ask(t, s, f, "cccccccc")
			indexAll(t, s)
		}
		if n, err := s.IndexTasks(t.Context(), 100, true); n != 0 || err != nil {
			t.Errorf("nothing changed, and %d were indexed: %v", n, err)
		}

		// What changes while a step of the index is under way is in it as it is then.
		at := base
		change := func(text string) {
			at = at.Add(time.Minute)
			ingest(ref, event(domain.KindFailed, "cccccccc", at, func(e *store.IngestEvent) { e.Exception = &text }))
		}
		change("a first reason")
		if err := s.ExecForTest(t.Context(), "UPDATE search_queue SET at = $1", []any{time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
			t.Fatal(err)
		}
		err := s.IndexTasksForTest(t.Context(), 100, func() { change("another reason") })
		if err != nil {
			t.Fatal(err)
		}
		indexAll(t, s)
		if now, err := s.CandidatesForTest(t.Context(), ref.ProjectID, "another reason"); err != nil || len(now) != 1 {
			t.Errorf("the index has not followed a change: %v %v", now, err)
		}

		// A text that names match is not the index's alone to answer.
		if _, ok, err := s.AskForTest(t.Context(), search("celery")); ok || err != nil {
			t.Errorf("the index was asked for what a name has: %v", err)
		}

		// What is deleted is out of it.
		keys, err := s.TaskKeys(t.Context(), search("bbbbbbbb"), 10)
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		err = s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.DeleteTasks(ctx, ref.ProjectID, keys)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ask(t, s, search("wonderworks"), "aaaaaaaa", "cccccccc")
		if left, err := s.CandidatesForTest(t.Context(), ref.ProjectID, "wonderworks"); err != nil || len(left) != 2 {
			t.Errorf("the index names %d tasks: %v", len(left), err)
		}
	})
}

// An index that is switched off is emptied, one that is switched on again is filled.
func TestSearchIndexSwitched(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":     func(t testing.TB) string { return "sqlite:///" + t.TempDir() + "/z4j.db" },
		"postgresql": storetest.PostgresURL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := url(t)
			open := func(on bool) *store.Store {
				s, err := store.Open(t.Context(), store.Options{URL: at, AuditKey: storetest.AuditKey, SearchIndex: on})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			on, off := open(true), open(false)
			if err := on.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			ref := storetest.Agent(t, on)
			add := func(s *store.Store, id string) {
				t.Helper()
				if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, event(domain.KindReceived, id, base))}); err != nil {
					t.Fatal(err)
				}
			}
			f := store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Search: []string{"needle"}}}
			add(on, "needle-1")
			indexAll(t, on)
			ask(t, on, f, "needle-1")

			if n, err := off.IndexTasks(t.Context(), 100, true); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			add(off, "needle-2")
			if st, err := off.SearchState(t.Context()); err != nil || st.On || st.Queued != 0 {
				t.Errorf("switched off, the index is %+v: %v", st, err)
			}
			if _, ok, err := off.AskForTest(t.Context(), f); ok || err != nil {
				t.Errorf("an index that is off was asked: %v", err)
			}
			if list, err := off.ListTasks(t.Context(), store.TaskPage{Filter: f, Order: store.TasksBySeen, Limit: 9}); err != nil || len(list.Tasks) != 2 {
				t.Errorf("without the index %d tasks are found: %v", len(list.Tasks), err)
			}
			indexAll(t, on)
			ask(t, on, f, "needle-1", "needle-2")
		})
	}
}

// A rare text among many tasks is found at once, wherever it is; a frequent one fills a page.
func TestSearchMany(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		var events []store.IngestEvent
		for i := range 4000 {
			args := fmt.Sprintf(`["document %d of the archive"]`, i)
			if i%500 == 0 {
				args = `["the rarest of them all"]`
			}
			events = append(events, event(domain.KindReceived, fmt.Sprintf("task-%05d", i), base.Add(time.Duration(i)*time.Second), func(e *store.IngestEvent) { e.Args = &args }))
		}
		if err := s.Ingest(t.Context(), []*store.IngestItem{item(ref, events...)}); err != nil {
			t.Fatal(err)
		}
		indexAll(t, s)
		page := func(text string, limit int, after *store.TaskCursor) store.TaskList {
			t.Helper()
			list, err := s.ListTasks(t.Context(), store.TaskPage{
				Filter: store.TaskFilter{ProjectID: ref.ProjectID, TaskTerms: store.TaskTerms{Search: []string{text}}},
				Order:  store.TasksByTime, Limit: limit, After: after,
			})
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		var found []string
		var after *store.TaskCursor
		for range 3 {
			list := page("RAREST of them", 3, after)
			if list.Partial {
				t.Fatal("the index was not asked: the search was given up")
			}
			for _, task := range list.Tasks {
				found = append(found, task.TaskID)
			}
			after = list.Next
		}
		if want := "task-03500 task-03000 task-02500 task-02000 task-01500 task-01000 task-00500 task-00000"; strings.Join(found, " ") != want || after != nil {
			t.Errorf("found %q, want %q", found, want)
		}
		if list := page("of the archive", 50, nil); len(list.Tasks) != 50 || list.Next == nil || list.Tasks[0].TaskID != "task-03999" {
			t.Errorf("a page of what most have: %d tasks", len(list.Tasks))
		}
		if list := page("document 17 of", 50, nil); len(list.Tasks) != 1 || list.Tasks[0].TaskID != "task-00017" {
			t.Errorf("one of many alike: %d tasks", len(list.Tasks))
		}
	}, storetest.Still)
}
