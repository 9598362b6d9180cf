// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
)

// captured is a recorded session of a real agent.
type captured struct {
	Name   string
	Frames []struct {
		Dir  string
		Text string
	}
	Exchanges []struct {
		Request struct{ Method, Path, Body string }
	}
}

func loadSessions(t *testing.T) []captured {
	t.Helper()
	files, err := filepath.Glob("../../pkg/wire/testdata/sessions/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured sessions: %v", err)
	}
	slices.Sort(files)
	sessions := make([]captured, len(files))
	for i, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &sessions[i]); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		sessions[i].Name = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return sessions
}

// agentFrame is the part of a recorded frame that is sent again.
type agentFrame struct {
	ID      string
	Type    string
	Payload json.RawMessage
}

// TestCapturedSessions sends what real agents sent, signed anew for this brain, and compares the tasks with
// what the recorded brain made of them.
func TestCapturedSessions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		// Shortly after the recording, so that the agents' times are in the past and not too old.
		began := time.Now()
		clock := func() time.Time { return time.Date(2026, 11, 23, 22, 10, 0, 0, time.UTC).Add(time.Since(began)) }
		m := bus.NewMemory(nil)
		t.Cleanup(func() { _ = m.Close() })
		b := startAt(t, s, m, clock)
		b.project = newProject(t, s, "default")
		for _, session := range loadSessions(t) {
			c := b.newAgent(session.Name)
			if len(session.Exchanges) > 0 {
				b.replayExchanges(t, c, session)
			} else {
				b.replayFrames(t, c, session)
			}
		}
		compareWithRecordedBrain(t, b)
	})
}

func (b *brain) replayFrames(t *testing.T, c credentials, session captured) {
	t.Helper()
	var p *peer
	for _, f := range session.Frames {
		if f.Dir != "agent->brain" {
			continue
		}
		var frame agentFrame
		if err := json.Unmarshal([]byte(f.Text), &frame); err != nil {
			t.Fatal(err)
		}
		switch typ := wire.ParseType(frame.Type); typ {
		case wire.TypeHello:
			p = b.dial(c.token)
			p.send([]byte(f.Text))
			p.welcome(c)
		case wire.TypeEventBatch:
			p.sendSigned(frame.ID, typ, string(frame.Payload))
			ack := p.waitAck(frame.ID)
			if ack["received"] != ack["accepted"].(float64)+ack["rejected"].(float64) {
				t.Errorf("%s: ack %v", session.Name, ack)
			}
		default:
			p.sendSigned(frame.ID, typ, string(frame.Payload))
		}
	}
	p.wantOpen()
	_ = p.ws.Close()
}

func (b *brain) replayExchanges(t *testing.T, c credentials, session captured) {
	t.Helper()
	p := newPoller(t, c, "captured")
	for _, e := range session.Exchanges {
		if e.Request.Method != http.MethodPost {
			continue
		}
		var body struct{ Frames []string }
		if err := json.Unmarshal([]byte(e.Request.Body), &body); err != nil {
			t.Fatal(err)
		}
		frames := make([]string, 0, len(body.Frames))
		for _, text := range body.Frames {
			var frame agentFrame
			if err := json.Unmarshal([]byte(text), &frame); err != nil {
				t.Fatal(err)
			}
			signed, err := p.signer.Sign(nil, frame.ID, wire.ParseType(frame.Type), frame.Payload, b.now())
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, string(signed))
		}
		if status, m := p.push(b, frames...); status != http.StatusOK || m["accepted"] != float64(len(frames)) {
			t.Fatalf("%s: %d %v", session.Name, status, m)
		}
	}
}

// recordedTask is a task of the recorded brain's REST view.
type recordedTask struct {
	Engine     string `json:"engine"`
	TaskID     string `json:"task_id"`
	Name       string `json:"name"`
	Queue      any    `json:"queue"`
	State      string `json:"state"`
	Priority   string `json:"priority"`
	Exception  any    `json:"exception"`
	Traceback  any    `json:"traceback"`
	RetryCount int64  `json:"retry_count"`
	ReceivedAt any    `json:"received_at"`
	StartedAt  any    `json:"started_at"`
	FinishedAt any    `json:"finished_at"`
	RuntimeMS  any    `json:"runtime_ms"`
	Worker     any    `json:"worker_name"`
	Args       any    `json:"args"`
	Kwargs     any    `json:"kwargs"`
	Result     any    `json:"result"`
}

func compareWithRecordedBrain(t *testing.T, b *brain) {
	t.Helper()
	raw, err := os.ReadFile("testdata/brain-state.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		State struct {
			Tasks []recordedTask `json:"tasks"`
		} `json:"state"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	list, err := b.store.ListTasks(context.Background(), store.TaskPage{Filter: store.TaskFilter{ProjectID: b.project.ID}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	views := list.Tasks
	byID := make(map[string]*store.TaskView, len(views))
	for i := range views {
		byID[views[i].Engine+":"+views[i].TaskID] = &views[i]
	}
	compared := 0
	for _, w := range doc.State.Tasks {
		got := byID[w.Engine+":"+w.TaskID]
		if got == nil {
			t.Logf("task %s:%s of the recorded brain comes from traffic that was not captured", w.Engine, w.TaskID)
			continue
		}
		compared++
		g := recordedTask{
			Engine: got.Engine, TaskID: got.TaskID, Name: got.Name, Queue: deref(got.Queue), State: domain.TaskState(got.State).String(),
			Priority: domain.Priority(got.Priority).String(), Exception: deref(got.Exception), Traceback: deref(got.Traceback),
			RetryCount: got.RetryCount, ReceivedAt: clock(got.ReceivedAt), StartedAt: clock(got.StartedAt), FinishedAt: clock(got.FinishedAt),
			Worker: deref(got.Worker), Args: value(t, got.Args), Kwargs: value(t, got.Kwargs), Result: value(t, got.Result),
		}
		if got.RuntimeMS != nil {
			g.RuntimeMS = float64(*got.RuntimeMS)
		}
		for _, at := range []*any{&w.ReceivedAt, &w.StartedAt, &w.FinishedAt} {
			if text, ok := (*at).(string); ok && !strings.Contains(text, ".") {
				*at = text + ".000000"
			}
		}
		if diff := differences(g, w); diff != "" {
			t.Errorf("%s:%s (%s): %s", w.Engine, w.TaskID, w.Name, diff)
		}
	}
	if compared < 30 {
		t.Errorf("only %d of %d recorded tasks were compared (%d here)", compared, len(doc.State.Tasks), len(views))
	}
	t.Logf("%d recorded tasks compared, %d tasks here", compared, len(views))
}

func value(t *testing.T, text *string) any {
	t.Helper()
	if text == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(*text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func differences(got, want recordedTask) string {
	var g, w map[string]any
	for v, into := range map[*recordedTask]*map[string]any{&got: &g, &want: &w} {
		b, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		if err := json.Unmarshal(b, into); err != nil {
			return err.Error()
		}
	}
	var diff []string
	for k := range w {
		if a, b := fmt.Sprint(g[k]), fmt.Sprint(w[k]); a != b {
			diff = append(diff, fmt.Sprintf("%s is %.120s, want %.120s", k, a, b))
		}
	}
	slices.Sort(diff)
	return strings.Join(diff, "; ")
}
