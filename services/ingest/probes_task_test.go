// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// signatureOf signs a frame by the words of the protocol, whatever the frame holds.
func signatureOf(t *testing.T, s wire.Session, frame map[string]any) string {
	t.Helper()
	bound := maps.Clone(frame)
	bound["agent_id"], bound["project_id"], bound["session_id"] = s.AgentID, s.ProjectID, s.SessionID
	text, err := json.Marshal(bound)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := wire.Canonical(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, s.Key[:])
	m.Write(canonical)
	return hex.EncodeToString(m.Sum(nil))
}

// compareTask compares a task with its recorded REST view. Recorded times name events by their distance
// from now, so each is translated into the time this test gave that event.
func compareTask(t *testing.T, task *store.TaskView, want map[string]any, events [][]any, at map[float64]string) {
	t.Helper()
	got := map[string]any{
		"state": domain.TaskState(task.State).String(), "name": task.Name, "queue": deref(task.Queue), "worker_name": deref(task.Worker),
		"retry_count": float64(task.RetryCount), "exception": deref(task.Exception), "result": nil, "runtime_ms": nil,
		"received_at": clock(task.ReceivedAt), "started_at": clock(task.StartedAt), "finished_at": clock(task.FinishedAt),
	}
	if task.Result != nil {
		var v any
		if err := json.Unmarshal([]byte(*task.Result), &v); err != nil {
			t.Fatal(err)
		}
		got["result"] = v
	}
	if task.RuntimeMS != nil {
		got["runtime_ms"] = float64(*task.RuntimeMS)
	}
	for _, field := range []string{"received_at", "started_at", "finished_at"} {
		text, ok := want[field].(string)
		if !ok {
			continue
		}
		want[field] = translate(t, text, want, events, at)
	}
	for field, w := range want {
		if got[field] != w {
			t.Errorf("%s is %v, want %v", field, got[field], w)
		}
	}
}

// translate finds the event a recorded time belongs to. All scenarios of the recording ran against one base
// time, which the in-order scenario gives away: -7 is 21:59:56.
func translate(t *testing.T, text string, _ map[string]any, events [][]any, at map[float64]string) string {
	t.Helper()
	recorded, err := time.Parse("2006-01-02T15:04:05.999999", text)
	if err != nil {
		t.Fatal(err)
	}
	zero := time.Date(2026, 11, 23, 22, 0, 3, 579519000, time.UTC)
	offset := recorded.Sub(zero).Seconds()
	for _, e := range events {
		if e[1].(float64) == offset {
			return at[offset]
		}
	}
	t.Fatalf("recorded time %s is %v s off, no event is", text, offset)
	return ""
}

func deref(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func clock(at *time.Time) any {
	if at == nil {
		return nil
	}
	return at.UTC().Format("2006-01-02T15:04:05.000000")
}
