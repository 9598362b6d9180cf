// SPDX-License-Identifier: AGPL-3.0-or-later

package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// Agent makes a project with one agent, for tests that need somebody to speak.
func Agent(t testing.TB, s *store.Store) store.AgentRef {
	t.Helper()
	var ref store.AgentRef
	slug := "p" + uuid.NewString()[:8]
	err := s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		p, err := tx.CreateProject(ctx, store.NewProject{
			Slug: slug, Name: slug, Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler",
		})
		if err != nil {
			return err
		}
		a, err := tx.CreateAgent(ctx, p.ID, "agent", uuid.NewString())
		if err != nil {
			return err
		}
		ref = store.AgentRef{ID: a.ID, ProjectID: p.ID, UID: a.UID, ProjectUID: p.UID}
		return nil
	})
	if err != nil {
		t.Fatalf("make an agent: %v", err)
	}
	return ref
}

// Counts are the rows of the hot tables.
type Counts struct{ Tasks, Events, Loose int64 }

// Recount counts rows.
func Recount(t testing.TB, s *store.Store) Counts {
	t.Helper()
	var c Counts
	for _, q := range []struct {
		table string
		into  *int64
	}{{"tasks", &c.Tasks}, {"events", &c.Events}, {"loose_events", &c.Loose}} {
		err := s.Read(context.Background(), "SELECT count(*) FROM "+q.table, nil, func(scan func(...any) error) error { return scan(q.into) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Event is a stored event with its payload as it came.
type Event struct {
	Kind    domain.EventKind
	At      time.Time
	Payload []byte
}

// Events reads every stored life-cycle event back.
func Events(t testing.TB, s *store.Store) []Event {
	t.Helper()
	var out []Event
	err := s.Read(context.Background(), `SELECT e.kind, e.at, e.stripped, e.payload, t.task_id, coalesce(n.text, ''), coalesce(q.text, ''),
		coalesce(w.text, ''), t.args, t.kwargs FROM events e JOIN tasks t ON t.id = e.task_id LEFT JOIN names n ON n.id = t.name_id
		LEFT JOIN names q ON q.id = t.queue_id LEFT JOIN names w ON w.id = e.worker_id ORDER BY e.at`, nil,
		func(scan func(...any) error) error {
			var e Event
			var stripped int64
			var payload, task, name, queue, worker string
			var args, kwargs *string
			if err := scan((*int64)(&e.Kind), &e.At, &stripped, &payload, &task, &name, &queue, &worker, &args, &kwargs); err != nil {
				return err
			}
			e.Payload = store.EventPayload(stripped, payload, task, name, queue, worker, args, kwargs)
			out = append(out, e)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// DeleteSome deletes up to n tasks of a project.
func DeleteSome(t testing.TB, s *store.Store, project int64, n int) {
	t.Helper()
	var keys []int64
	err := s.Read(context.Background(), "SELECT id FROM tasks WHERE project_id = $1 ORDER BY task_id", []any{project}, func(scan func(...any) error) error {
		var id int64
		if err := scan(&id); err != nil {
			return err
		}
		if len(keys) < n {
			keys = append(keys, id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		got, err := tx.DeleteTasks(ctx, project, keys)
		if err == nil && got != int64(len(keys)) {
			t.Errorf("deleted %d tasks, want %d", got, len(keys))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// CompareCounters fails when a kept counter differs from a recount.
func CompareCounters(t testing.TB, s *store.Store) {
	t.Helper()
	diff, err := s.CheckCounters(context.Background(), store.CountWindow{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diff {
		t.Error(d)
	}
}

// Sightings is what the database knows of queues (pending by engine/name), workers (metadata) and agents (state).
type Sightings struct {
	Queues  map[string]int64
	Workers map[string]string
	Agents  map[int64]string
}

// Seen reads the sightings.
func Seen(t testing.TB, s *store.Store) Sightings {
	t.Helper()
	out := Sightings{Queues: map[string]int64{}, Workers: map[string]string{}, Agents: map[int64]string{}}
	for query, each := range map[string]func(scan func(...any) error) error{
		"SELECT engine, name, pending_count FROM queues": func(scan func(...any) error) error {
			var e, n string
			var c int64
			err := scan(&e, &n, &c)
			out.Queues[e+"/"+n] = c
			return err
		},
		"SELECT engine, name, metadata FROM workers": func(scan func(...any) error) error {
			var e, n, m string
			err := scan(&e, &n, &m)
			out.Workers[e+"/"+n] = m
			return err
		},
		"SELECT id, state FROM agents": func(scan func(...any) error) error {
			var id int64
			var state string
			err := scan(&id, &state)
			out.Agents[id] = state
			return err
		},
	} {
		if err := s.Read(context.Background(), query, nil, each); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
