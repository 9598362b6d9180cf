// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func TestWaitingTasks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ref := storetest.Agent(t, s)
		on := func(queue string) func(*store.IngestEvent) {
			return func(e *store.IngestEvent) { e.Queue = queue }
		}
		none, err := s.WaitingTasks(t.Context(), ref.ProjectID, nil, 10)
		if err != nil || none.Count != 0 || none.Oldest != nil {
			t.Fatalf("nothing yet: %+v, %v", none, err)
		}
		var events []store.IngestEvent
		for i := range 12 {
			queue := []string{"mail", "bulk", ""}[i%3]
			id := fmt.Sprintf("t%d", i)
			events = append(events, event(domain.KindReceived, id, base.Add(time.Duration(12-i)*time.Minute), on(queue)))
			if i >= 9 {
				// The three oldest run.
				events = append(events, event(domain.KindStarted, id, base.Add(time.Hour), on(queue)))
			}
		}
		ingest(t, s, item(ref, events...))
		queue := func(name string) *int64 {
			if name == "" {
				return new(int64)
			}
			id, ok, err := s.NameID(t.Context(), name)
			if err != nil || !ok {
				t.Fatal(name, err)
			}
			return &id
		}
		for _, tc := range []struct {
			name   string
			queue  *int64
			limit  int64
			count  int64
			capped bool
			oldest int // minutes after base
		}{
			{"all", nil, 100, 9, false, 4},
			{"all, exactly", nil, 9, 9, false, 4},
			{"all, capped", nil, 8, 8, true, 4},
			{"mail", queue("mail"), 100, 3, false, 6},
			{"bulk, capped", queue("bulk"), 2, 2, true, 5},
			{"no queue", queue(""), 100, 3, false, 4},
		} {
			w, err := s.WaitingTasks(t.Context(), ref.ProjectID, tc.queue, tc.limit)
			if err != nil || w.Count != tc.count || w.Capped != tc.capped || w.Oldest == nil || !w.Oldest.Equal(base.Add(time.Duration(tc.oldest)*time.Minute)) {
				t.Errorf("%s: %+v, %v", tc.name, w, err)
			}
		}
	})
}

// However many tasks there are, only the waiting ones are looked at.
func TestWaitingTasksPlan(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := makeProject(t, s, "shop")
		seedTasks(t, s, p.ID, 20_000)
		if err := s.ExecForTest(t.Context(), "ANALYZE tasks", nil); err != nil {
			t.Fatal(err)
		}
		mail, _, err := s.NameID(t.Context(), "mail")
		if err != nil {
			t.Fatal(err)
		}
		plans := s.PlansForTest()
		for _, queue := range []*int64{nil, &mail, new(int64)} {
			if _, err := s.WaitingTasks(t.Context(), p.ID, queue, 1000); err != nil {
				t.Fatal(err)
			}
			plan := plans.Take()
			for line := range strings.Lines(plan) {
				if strings.Contains(line, "Bitmap Heap Scan") {
					continue // it reads the rows that the index scan below it found
				}
				if (strings.Contains(line, "SEARCH") || strings.Contains(line, "Scan")) && strings.Contains(line, " tasks") &&
					!strings.Contains(line, "tasks_waiting") && !strings.Contains(line, "tasks_state_started") {
					t.Errorf("plan\n%s", plan)
				}
			}
			if !strings.Contains(plan, "tasks_waiting") {
				t.Errorf("plan\n%s", plan)
			}
		}
	})
}
