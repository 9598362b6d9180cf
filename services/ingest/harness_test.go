// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

type ingestConfig = ingest.Config

var master = []byte("ingest-test-master-secret-0123456789abcdef")

// previous is the master secret before master.
var previous = []byte("ingest-test-previous-secret-0123456789abcdef")

// logBuffer collects log lines; connections write from many goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// brain is a running ingest service with one project.
type brain struct {
	t       testing.TB
	store   *store.Store
	bus     bus.Bus
	project store.Project
	url     string
	log     *logBuffer
	metrics *prometheus.Registry
	stop    func()
	now     func() time.Time
}

func start(t testing.TB, s *store.Store, b bus.Bus, change ...func(*ingest.Config)) *brain {
	t.Helper()
	return startAt(t, s, b, time.Now, change...)
}

// startAt starts a brain whose clock is now.
func startAt(t testing.TB, s *store.Store, b bus.Bus, now func() time.Time, change ...func(*ingest.Config)) *brain {
	t.Helper()
	cfg := ingest.Config{PollInterval: 50 * time.Millisecond, TimeoutSweep: 50 * time.Millisecond, ShutdownTimeout: 5 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	logs := new(logBuffer)
	reg := prometheus.NewRegistry()
	svc, err := ingest.New(cfg, ingest.Deps{
		Store: s, Bus: b, Registry: reg, Master: master, Now: now, Previous: [][]byte{previous}, Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	srv := httptest.NewServer(svc.Handler())
	var once sync.Once
	br := &brain{t: t, store: s, bus: b, url: srv.URL, log: logs, metrics: reg, now: now}
	br.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("ingest: %v", err)
			}
			srv.Close()
			if t.Failed() && testing.Verbose() {
				t.Logf("log of the brain:\n%s", logs)
			}
		})
	}
	t.Cleanup(br.stop)
	return br
}

// newBrain starts a brain on a fresh SQLite file.
func newBrain(t testing.TB, change ...func(*ingest.Config)) *brain {
	t.Helper()
	b := bus.NewMemory(nil)
	t.Cleanup(func() { _ = b.Close() })
	br := start(t, storetest.SQLite(t), b, change...)
	br.project = newProject(t, br.store, "shop")
	return br
}

func newProject(t testing.TB, s *store.Store, slug string) store.Project {
	t.Helper()
	var p store.Project
	err := s.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		var err error
		p, err = tx.CreateProject(ctx, store.NewProject{Slug: slug, Name: slug, Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// credentials are what an agent is configured with.
type credentials struct {
	ref     store.AgentRef
	token   string
	project store.Project
}

func (b *brain) newAgent(name string) credentials {
	b.t.Helper()
	token := "token-" + name + "-" + uuid.NewString()
	var a store.Agent
	err := b.store.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		var err error
		a, err = tx.CreateAgent(ctx, b.project.ID, name, wire.TokenHash(master, token))
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return credentials{
		ref:   store.AgentRef{ID: a.ID, ProjectID: b.project.ID, UID: a.UID, ProjectUID: b.project.UID},
		token: token, project: b.project,
	}
}

// peer is a hand-driven agent.
type peer struct {
	t       testing.TB
	ws      *websocket.Conn
	signer  *wire.Signer
	session wire.Session
	ack     map[string]any
	pings   chan struct{}
	now     func() time.Time
}

func (b *brain) dial(token string, dialers ...*websocket.Dialer) *peer {
	b.t.Helper()
	d := &websocket.Dialer{HandshakeTimeout: patience}
	if len(dialers) > 0 {
		d = dialers[0]
	}
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	ws, resp, err := d.Dial("ws"+strings.TrimPrefix(b.url, "http")+"/ws/agent", h)
	if err != nil {
		b.t.Fatalf("dial: %v (%v)", err, resp)
	}
	_ = resp.Body.Close()
	p := &peer{t: b.t, ws: ws, pings: make(chan struct{}, 100), now: b.now}
	ws.SetPingHandler(func(data string) error {
		select {
		case p.pings <- struct{}{}:
		default:
		}
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	b.t.Cleanup(func() { _ = ws.Close() })
	return p
}

// hello describes the first frame; change edits it before it is sent.
func hello(worker string, change ...func(frame, payload map[string]any)) []byte {
	payload := map[string]any{
		"protocol_version": "2", "agent_version": "1.13.0", "framework": "bare", "engines": []string{"celery"}, "schedulers": []string{},
		"capabilities": map[string][]string{"celery": {"retry_task", "cancel_task", "retry_by_reference_v1"}},
		"host":         map[string]string{"name": "host"}, "worker_id": worker, "worker_role": nil, "worker_pid": 7,
		"worker_started_at": "2026-01-01T00:00:00Z", "runtime_features": []string{"retry_by_reference"},
	}
	if worker == "" {
		payload["worker_id"] = nil
	}
	frame := map[string]any{"v": 2, "id": "hello_0123456789abcdef", "ts": nil, "type": "hello", "payload": payload}
	for _, f := range change {
		f(frame, payload)
	}
	b, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}
	return b
}

// connect dials and shakes hands.
func (b *brain) connect(c credentials, worker string, change ...func(frame, payload map[string]any)) *peer {
	b.t.Helper()
	p := b.dial(c.token)
	p.send(hello(worker, change...))
	p.welcome(c)
	return p
}

func (p *peer) welcome(c credentials) {
	p.t.Helper()
	frame := p.recv()
	if frame["type"] != "hello_ack" {
		p.t.Fatalf("got %v, want hello_ack", frame)
	}
	p.ack = frame["payload"].(map[string]any)
	p.session = wire.Session{
		Key: wire.ProjectKey(master, c.ref.ProjectUID), AgentID: p.ack["agent_id"].(string),
		ProjectID: p.ack["project_id"].(string), SessionID: p.ack["session_id"].(string),
	}
	p.signer = wire.NewSigner(p.session)
}

func (p *peer) send(frame []byte) {
	p.t.Helper()
	if err := p.ws.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) sign(id string, typ wire.Type, payload string) []byte {
	p.t.Helper()
	b, err := p.signer.Sign(nil, id, typ, []byte(payload), p.now())
	if err != nil {
		p.t.Fatalf("sign: %v", err)
	}
	return b
}

func (p *peer) sendSigned(id string, typ wire.Type, payload string) {
	p.t.Helper()
	p.send(p.sign(id, typ, payload))
}

// read returns the next frame or the error that ended the connection.
func (p *peer) read(wait time.Duration) (map[string]any, error) {
	_ = p.ws.SetReadDeadline(time.Now().Add(wait))
	kind, data, err := p.ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	if kind != websocket.BinaryMessage {
		return nil, fmt.Errorf("message of kind %d; the brain sends binary ones", kind)
	}
	var frame map[string]any
	return frame, json.Unmarshal(data, &frame)
}

func (p *peer) recv() map[string]any {
	p.t.Helper()
	frame, err := p.read(patience)
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return frame
}

// closeCode waits for the end of the connection.
func (p *peer) closeCode() (int, string) {
	p.t.Helper()
	for {
		_, err := p.read(patience)
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
			return ce.Code, ce.Text
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			p.t.Fatal("the connection stays open")
		}
		if err != nil {
			p.t.Fatalf("the connection ended without a close frame: %v", err)
		}
	}
}

func (p *peer) wantClose(code int) {
	p.t.Helper()
	if got, _ := p.closeCode(); got != code {
		p.t.Fatalf("closed with %d, want %d", got, code)
	}
}

// wantOpen checks that the connection works: an empty batch is acked.
func (p *peer) wantOpen() {
	p.t.Helper()
	id := "ev_open_" + uuid.NewString()[:8]
	p.sendSigned(id, wire.TypeEventBatch, `{"events":[]}`)
	for {
		frame := p.recv()
		if payload, _ := frame["payload"].(map[string]any); frame["type"] == "event_batch_ack" && payload["acked_id"] == id {
			return
		}
	}
}

// ackOf sends a batch and waits for its ack.
func (p *peer) ackOf(id, payload string) map[string]any {
	p.t.Helper()
	p.sendSigned(id, wire.TypeEventBatch, payload)
	return p.waitAck(id)
}

func (p *peer) waitAck(id string) map[string]any {
	p.t.Helper()
	for {
		frame := p.recv()
		if body, _ := frame["payload"].(map[string]any); frame["type"] == "event_batch_ack" && body["acked_id"] == id {
			return body
		}
	}
}

// event is one event of a batch as an agent writes it.
func event(kind, task string, at time.Time, data map[string]any) string {
	b, err := json.Marshal(map[string]any{
		"id": uuid.NewString(), "kind": kind, "engine": "celery", "task_id": task,
		"occurred_at": at.UTC().Format("2006-01-02T15:04:05.000000+00:00"), "data": data,
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func batch(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }

// eventually polls a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s", patience, what)
}
