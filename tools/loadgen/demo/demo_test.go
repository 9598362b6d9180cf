// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
)

var testKey = [32]byte{9}

// brain keeps what it is told. It hangs up the first time before acknowledging, as a brain that is
// killed does, and sends one command when it has seen an event.
type brain struct {
	t       *testing.T
	command string

	mu      sync.Mutex
	hungUp  bool
	told    bool
	events  map[string]bool
	tasks   map[string]bool
	beats   int
	results chan string
}

func (b *brain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	if _, _, err := conn.ReadMessage(); err != nil {
		return
	}
	session := wire.Session{Key: testKey, AgentID: uuid.NewString(), ProjectID: uuid.NewString(), SessionID: uuid.NewString()}
	ack := wire.AppendHelloAck(nil, wire.HelloAck{
		ProtocolVersion: "2", BrainVersion: "1.14.0", AgentID: session.AgentID, ProjectID: session.ProjectID,
		SessionID: session.SessionID, HeartbeatIntervalSeconds: 10, MaxFrameSizeBytes: wire.DefaultMaxFrameBytes, TS: time.Now(),
	})
	if err := conn.WriteMessage(websocket.BinaryMessage, ack); err != nil {
		return
	}
	verifier, signer, dec := wire.NewVerifier(session), wire.NewSigner(session), &wire.Decoder{}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		env, err := verifier.Verify(text)
		if err != nil {
			b.t.Errorf("verify: %v", err)
			return
		}
		answer, hangUp := b.handle(env, signer, dec)
		if hangUp {
			return
		}
		for _, frame := range answer {
			if err := conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
				return
			}
		}
	}
}

func (b *brain) handle(env wire.Envelope, signer *wire.Signer, dec *wire.Decoder) (answer [][]byte, hangUp bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch env.Type {
	case wire.TypeHeartbeat:
		b.beats++
	case wire.TypeCommandResult:
		b.results <- string(env.Payload)
	case wire.TypeEventBatch:
		if !b.hungUp {
			b.hungUp = true
			return nil, true
		}
		batch := dec.Events(env.Payload)
		for i := range batch.Events {
			b.events[batch.Events[i].ID] = true
			b.tasks[batch.Events[i].TaskID] = true
		}
		frame, err := signer.SignEventBatchAck(nil, wire.EventBatchAck{AckedID: env.ID, Received: len(batch.Events), Accepted: len(batch.Events)}, time.Now())
		if err != nil {
			b.t.Error(err)
		}
		answer = append(answer, frame)
		if !b.told && b.command != "" {
			b.told = true
			frame, err := signer.Sign(nil, uuid.NewString(), wire.TypeCommand, []byte(b.command), time.Now())
			if err != nil {
				b.t.Error(err)
			}
			answer = append(answer, frame)
		}
	default:
	}
	return answer, false
}

// sees waits until an event of the task has come.
func (b *brain) sees(task string, limit time.Duration) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		seen := b.tasks[task]
		b.mu.Unlock()
		if seen {
			return true
		}
	}
	return false
}

func serve(t *testing.T, command string) (*brain, Options) {
	t.Helper()
	b := &brain{t: t, command: command, events: map[string]bool{}, tasks: map[string]bool{}, results: make(chan string, 1)}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, Options{
		URL: server.URL, Agents: []Credentials{{Token: "t", HMACSecret: base64.URLEncoding.EncodeToString(testKey[:])}},
		Span: time.Hour, Seed: 5, Log: t.Logf,
	}
}

// TestFillSendsAgain: what a broken connection leaves unacknowledged arrives after all.
func TestFillSendsAgain(t *testing.T) {
	t.Parallel()
	b, opts := serve(t, "")
	opts.Tasks = 2000
	if err := Run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.hungUp || len(b.events) < 5000 || b.beats < 3 {
		t.Errorf("hung up %v, %d events, %d heartbeats; want at least two events a task", b.hungUp, len(b.events), b.beats)
	}
}

// TestLiveAnswersCommands: while it lives it does as it is told, and the consequences show.
func TestLiveAnswersCommands(t *testing.T) {
	t.Parallel()
	b, opts := serve(t, `{"action":"retry_task","target":{"type":"task","id":"celery:lost"},"parameters":{"task_id":"lost","task_name":"orders.update_status"},"timeout_seconds":60,"issued_by":null,"delivery_claim_token":"c1"}`)
	opts.Live, opts.Rate, opts.Tasks = true, 100, 500
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, opts) }()
	select {
	case got := <-b.results:
		var result struct {
			Claim  string  `json:"delivery_claim_token"`
			Status string  `json:"status"`
			Error  *string `json:"error"`
			Result struct {
				NewTaskID string `json:"new_task_id"`
				TaskName  string `json:"task_name"`
			} `json:"result"`
		}
		if err := json.Unmarshal([]byte(got), &result); err != nil {
			t.Fatal(err)
		}
		if result.Claim != "c1" || result.Status != "success" || result.Error != nil || result.Result.TaskName != "orders.update_status" {
			t.Errorf("result = %s", got)
		}
		if !b.sees(result.Result.NewTaskID, 20*time.Second) {
			t.Errorf("no event of the task %q that the retry promised", result.Result.NewTaskID)
		}
	case <-time.After(20 * time.Second):
		t.Error("the command was not answered")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
