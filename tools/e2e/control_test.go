// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// control lets a browser script do what only the test can: end the brain, start it again, and send an
// event of which it is known to the millisecond when it was sent and when it was acknowledged.
type control struct {
	t     *testing.T
	brain *harness.Brain
	url   string
	// calls are done by the test's own goroutine, because they may fail the test.
	calls chan call

	cfg   loadgen.Config
	agent *loadgen.Agent
}

type call struct {
	path   string
	body   emission
	answer chan any
}

// emission is the one event that /emit sends; the times of its answer are Unix milliseconds.
type emission struct {
	Kind   string          `json:"kind"`
	TaskID string          `json:"task_id"`
	Data   json.RawMessage `json:"data"`
}

func newControl(t *testing.T, brain *harness.Brain, cred harness.Credentials) *control {
	t.Helper()
	c := &control{
		t: t, brain: brain, calls: make(chan call),
		cfg: loadgen.Config{URL: brain.URL(), Token: cred.Token, HMACSecret: cred.HMACSecret, Host: "probe", Passive: true},
	}
	server := httptest.NewServer(c)
	c.url = server.URL
	t.Cleanup(server.Close)
	return c
}

// ServeHTTP hands the call to the test and waits for its answer.
func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := call{path: r.URL.Path, answer: make(chan any, 1)}
	if r.ContentLength > 0 {
		if err := json.NewDecoder(r.Body).Decode(&in.body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	select {
	case c.calls <- in:
	case <-r.Context().Done():
		return
	}
	select {
	case answer := <-in.answer:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	case <-r.Context().Done():
	}
}

// during serves calls while run goes on.
func (c *control) during(run func()) {
	c.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	for {
		select {
		case <-done:
			return
		case in := <-c.calls:
			in.answer <- c.do(in)
		}
	}
}

func (c *control) do(in call) any {
	c.t.Helper()
	switch in.path {
	case "/kill":
		c.brain.Kill()
		return map[string]any{}
	case "/start":
		return map[string]any{"took_ms": c.brain.Start(c.t).Milliseconds()}
	case "/emit":
		return c.emit(in.body)
	default:
		c.t.Errorf("a script asked for %q", in.path)
		return nil
	}
}

// emit sends one event and waits for its acknowledgement. A connection from before a restart is
// replaced.
func (c *control) emit(e emission) any {
	c.t.Helper()
	var err error
	for range 2 {
		if c.agent == nil {
			if c.agent, err = loadgen.Dial(c.t.Context(), c.cfg); err != nil {
				c.t.Errorf("connect the probe: %v", err)
				return nil
			}
		}
		sent := time.Now()
		event := loadgen.Event{ID: uuid.NewString(), Kind: e.Kind, TaskID: e.TaskID, At: sent, Data: string(e.Data)}
		if err = c.agent.Send("ev_"+event.ID, event); err == nil {
			if _, _, err = c.agent.ReceiveAck(); err == nil {
				return map[string]any{"sent_ms": milliseconds(sent), "acked_ms": milliseconds(time.Now())}
			}
		}
		c.agent.Close()
		c.agent = nil
	}
	c.t.Errorf("send an event: %v", err)
	return nil
}

func milliseconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }
