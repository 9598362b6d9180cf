// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// seedTasks stores what an agent of the project 'default' told.
func seedTasks(t *testing.T, h *home, events ...store.IngestEvent) {
	t.Helper()
	url := "sqlite:///" + filepath.Join(h.dir, "z4j.db")
	for _, each := range h.env {
		if value, ok := strings.CutPrefix(each, "Z4J_DATABASE_URL="); ok {
			url = value
		}
	}
	s, err := store.Open(t.Context(), store.Options{URL: url, AuditKey: storetest.AuditKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	p, err := s.ProjectBySlug(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	var ref store.AgentRef
	if err := s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.CreateAgent(ctx, p.ID, "agent", "hash")
		ref = store.AgentRef{ID: a.ID, ProjectID: p.ID, UID: a.UID, ProjectUID: p.UID}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Ingest(t.Context(), []*store.IngestItem{{Agent: ref, At: time.Now(), Events: events}}); err != nil {
		t.Fatal(err)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *home) {
		h.runInput(t, adminPassword+"\n", "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
		h.run(t, "tasks").want(t, 0, "No task matches")
		at := time.Now().UTC().Add(-time.Minute).Truncate(time.Second)
		kwargs := `{"customer_id":42}`
		told := func(kind domain.EventKind, id, name string, after time.Duration) store.IngestEvent {
			return store.IngestEvent{
				ID: id + kind.String(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: id, TaskName: name, Queue: "mail",
				At: at.Add(after), Rest: []byte("{}"), Priority: domain.PriorityNormal,
			}
		}
		paid := told(domain.KindReceived, "one", "shop.pay", 0)
		paid.Kwargs = &kwargs
		seedTasks(t, h, paid, told(domain.KindFailed, "one", "shop.pay", time.Second), told(domain.KindReceived, "two", "shop.mail\x1b[2J", 2*time.Second))

		r := h.run(t, "tasks").want(t, 0, "RECEIVED", "one", "failure", "two", at.Format(time.RFC3339))
		if strings.ContainsRune(r.out, '\x1b') || strings.Index(r.out, "two") > strings.Index(r.out, "one") {
			t.Errorf("the latest first, and nothing that moves the cursor: %s", r)
		}
		h.run(t, "tasks", "--limit", "1").want(t, 0, "The first 1")
		r = h.run(t, "tasks", "--json", "kwargs.customer_id:42", "state:failure").want(t, 0)
		var task struct {
			State, Name string
			ID          string `json:"task_id"`
		}
		if err := json.Unmarshal([]byte(r.out), &task); err != nil || task.ID != "one" || task.State != "failure" || task.Name != "shop.pay" {
			t.Errorf("one object a line: %v %+v: %s", err, task, r)
		}
		h.run(t, "tasks", "-task:pay kwargs.customer_id:42").want(t, 2, "--") // taken for options, as the help says
		h.run(t, "tasks", "--", "-task:pay").want(t, 0, "two")
		h.run(t, "tasks", "stat:failure").want(t, 2, "character 1", "did you mean state?")
		h.run(t, "tasks", "--project", "nope").want(t, 2, "--project")
		h.run(t, "tasks", "--limit", "0").want(t, 2, "--limit")
	})
}
