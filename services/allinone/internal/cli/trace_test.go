// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/obs/obstest"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	frames "github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/gateway"
	"github.com/z4jdev/z4j/services/ingest"
)

// traceLog is a log that is written while it is read.
type traceLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *traceLog) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *traceLog) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

const (
	traceMaster  = "trace-test-master-secret-0123456789abcdef"
	traceKey     = "a-key-that-nobody-may-see"
	tracePass    = "a long enough passphrase 7"
	strangeTrace = "0123456789abcdef0123456789abcdef"
)

// traced is a brain that sends spans, in whatever form.
type traced struct {
	t        *testing.T
	url      string
	client   *http.Client
	receiver *obstest.Receiver
	log      *traceLog
	store    *store.Store
}

// call asks the brain as a stranger who names a trace of his own.
func (b *traced) call(method, path, body string) (int, map[string]any) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-"+strangeTrace+"-0123456789abcdef-01")
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	answer := map[string]any{}
	_ = json.Unmarshal(raw, &answer)
	return resp.StatusCode, answer
}

func (b *traced) eventually(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("timed out: %s\n%s", what, b.log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// child waits for the span with this name below another.
func (b *traced) child(of obstest.Span, name string) obstest.Span {
	b.t.Helper()
	s := b.receiver.Wait(b.t, name+" below "+of.Name, func(s obstest.Span) bool { return s.Parent == of.ID && s.Name == name })
	if s.Trace != of.Trace {
		b.t.Errorf("%s is of another trace than %s", name, of.Name)
	}
	return s
}

// sendEvent connects an agent, has one event acknowledged and returns when it is.
func (b *traced) sendEvent() {
	b.t.Helper()
	token := "token-" + uuid.NewString()
	var project store.Project
	err := b.store.InTx(b.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		var err error
		project, err = tx.CreateProject(ctx, store.NewProject{Slug: "shop", Name: "Shop", Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler"})
		if err != nil {
			return err
		}
		_, err = tx.CreateAgent(ctx, project.ID, "worker", frames.TokenHash([]byte(traceMaster), token))
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ws, resp, err := websocket.DefaultDialer.DialContext(b.t.Context(), "ws"+strings.TrimPrefix(b.url, "http")+"/ws/agent",
		http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	send := func(frame []byte) {
		if err := ws.WriteMessage(websocket.BinaryMessage, frame); err != nil {
			b.t.Fatal(err)
		}
	}
	send([]byte(`{"v":2,"id":"hello_0123456789abcdef","ts":null,"type":"hello","payload":{"protocol_version":"2","agent_version":"1.13.0",
		"framework":"bare","engines":["celery"],"schedulers":[],"capabilities":{},"host":{"name":"host"},"worker_id":"w-1","worker_role":null,
		"worker_pid":7,"worker_started_at":"2026-01-01T00:00:00Z","runtime_features":[]}}`))
	var welcome struct {
		Payload struct {
			Agent   string `json:"agent_id"`
			Project string `json:"project_id"`
			Session string `json:"session_id"`
		} `json:"payload"`
	}
	if err := ws.ReadJSON(&welcome); err != nil {
		b.t.Fatal(err)
	}
	signer := frames.NewSigner(frames.Session{
		Key: frames.ProjectKey([]byte(traceMaster), project.UID), AgentID: welcome.Payload.Agent, ProjectID: welcome.Payload.Project, SessionID: welcome.Payload.Session,
	})
	event := fmt.Sprintf(`{"events":[{"id":%q,"engine":"celery","kind":"task.received","task_id":"secret-task-id","occurred_at":%q,"data":{"task_name":"shop.tasks.pay","args":[],"kwargs":{}}}]}`,
		uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano))
	frame, err := signer.Sign(nil, "ev_00000000000000000000000000000001", frames.TypeEventBatch, []byte(event), time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	send(frame)
	var ack struct {
		Type string `json:"type"`
	}
	if err := ws.ReadJSON(&ack); err != nil || ack.Type != "event_batch_ack" {
		b.t.Fatalf("answer to the event: %+v %v", ack, err)
	}
}

// checkBatch looks for the span of the one event's batch.
func (b *traced) checkBatch(service string) obstest.Span {
	b.t.Helper()
	batch := b.receiver.Wait(b.t, "the batch of the event", func(s obstest.Span) bool { return s.Name == "ingest batch" && s.Attrs["z4j.batch.events"] == "1" })
	if batch.Parent != "" || batch.Failed || batch.Attrs["z4j.batch.frames"] != "1" || batch.Attrs["z4j.batch.agents"] != "1" ||
		batch.Attrs["z4j.batch.outcome"] != "committed" || batch.Resource["service.name"] != service {
		b.t.Errorf("the batch's span: %+v", batch)
	}
	return b.child(batch, "transaction")
}

// checkSecrets looks for what must not be in spans or logs.
func (b *traced) checkSecrets() {
	b.t.Helper()
	all := fmt.Sprintf("%+v", b.receiver.Spans())
	for _, secret := range []string{traceKey, tracePass, "ops@example.com", "secret-task-id", "SELECT ", "VALUES"} {
		// SELECT and VALUES: names of statements end after the table.
		if secret == "SELECT " || secret == "VALUES" {
			if strings.Contains(all, "SELECT *") || strings.Contains(all, "VALUES (") {
				b.t.Error("a span holds the text of a statement")
			}
			continue
		}
		if strings.Contains(all, secret) {
			b.t.Errorf("spans hold %q", secret)
		}
	}
	if strings.Contains(b.log.String(), traceKey) {
		b.t.Errorf("the log holds the receiver's key: %s", b.log)
	}
}

// checkRefusal compares the id in an error's envelope with spans and log.
func (b *traced) checkRefusal() string {
	b.t.Helper()
	code, answer := b.call(http.MethodGet, "/api/v1/auth/me", "")
	id, _ := answer["trace_id"].(string)
	if code != http.StatusUnauthorized || len(id) != 32 || id == strangeTrace {
		b.t.Fatalf("refusal: %d %v", code, answer)
	}
	b.receiver.Wait(b.t, "the refused request", func(s obstest.Span) bool { return s.Trace == id && s.Parent == "" })
	b.eventually("a log line with the trace's id", func() bool {
		return strings.Contains(b.log.String(), `"request_id":"`+answer["request_id"].(string)+`","trace_id":"`+id+`"`)
	})
	return id
}

const login = `{"email":"ops@example.com","password":"` + tracePass + `"}`

func traceEnviron(receiver string, more ...string) []string {
	return append([]string{
		"Z4J_SECRET=" + traceMaster, "Z4J_SESSION_SECRET=" + strings.Repeat("s", 48), "Z4J_BIND_HOST=127.0.0.1",
		"Z4J_BOOTSTRAP_ADMIN_EMAIL=ops@example.com", "Z4J_BOOTSTRAP_ADMIN_PASSWORD=" + tracePass, "Z4J_ARGON2_MEMORY_COST=8192", "Z4J_ARGON2_TIME_COST=1",
		"Z4J_LOG_LEVEL=DEBUG", "Z4J_LOG_FORMAT=json", "Z4J_LOGIN_MIN_DURATION_MS=0",
		"Z4J_OTEL_EXPORTER_OTLP_ENDPOINT=" + receiver, "Z4J_OTEL_EXPORTER_OTLP_HEADERS=api-key=" + traceKey, "Z4J_OTEL_TRACES_SAMPLER_ARG=1",
	}, more...)
}

// TestTraceAcrossServices runs gateway, api and ingest as they run as processes, each with a listener of its own.
func TestTraceAcrossServices(t *testing.T) {
	database := storetest.PostgresURL(t)
	s, err := store.Open(t.Context(), store.Options{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &traced{t: t, client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}, receiver: obstest.Start(t), log: &traceLog{}, store: s}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer b.client.CloseIdleConnections()
	ports := map[string]int{}
	for _, spec := range []launch.Spec{api.Process(), ingest.Process(), gateway.Process()} {
		ports[spec.Name] = tracePort(t)
	}
	local := func(role string) string { return fmt.Sprintf("http://127.0.0.1:%d", ports[role]) }
	b.url = local("gateway")
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, spec := range []launch.Spec{api.Process(), ingest.Process(), gateway.Process()} {
		environ := traceEnviron(b.receiver.URL, "Z4J_HOME="+t.TempDir(), fmt.Sprintf("Z4J_BIND_PORT=%d", ports[spec.Name]), "Z4J_DATABASE_URL="+database,
			"Z4J_REQUIRE_DB_SSL=false", "Z4J_PUBLIC_URL="+b.url, "Z4J_ALLOW_HTTP_PUBLIC_URL=true", "Z4J_ALLOWED_HOSTS=127.0.0.1",
			"Z4J_API_URL="+local("api"), "Z4J_INGEST_URL="+local("ingest"))
		running.Go(func() {
			if err := launch.Run(ctx, spec, launch.Options{Environ: environ, Stderr: b.log}); err != nil {
				t.Errorf("%s: %v", spec.Name, err)
			}
		})
	}
	defer running.Wait()
	defer stop()
	b.eventually("readiness of the gateway", func() bool {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/health/ready", http.NoBody)
		resp, err := b.client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})

	if code, answer := b.call(http.MethodPost, "/api/v1/auth/login", login); code != http.StatusOK {
		t.Fatalf("login: %d %v", code, answer)
	}
	operation := b.receiver.Wait(t, "the operation", func(s obstest.Span) bool {
		return s.Scope == "z4j/api" && strings.Contains(s.Name, "login") && s.Kind == "SPAN_KIND_INTERNAL"
	})
	root := b.receiver.Wait(t, "the gateway's span", func(s obstest.Span) bool { return s.Trace == operation.Trace && s.Parent == "" })
	if root.Name != "POST /api/*" || root.Resource["service.name"] != "z4j-gateway" || root.Kind != "SPAN_KIND_SERVER" || root.Attrs["http.response.status_code"] != "200" {
		t.Errorf("the gateway's span: %+v", root)
	}
	if root.Trace == strangeTrace || len(root.Links) != 1 || root.Links[0] != strangeTrace {
		t.Errorf("a stranger's trace must be linked, not continued: %s %v", root.Trace, root.Links)
	}
	hop := b.child(root, "POST api")
	if hop.Kind != "SPAN_KIND_CLIENT" || hop.Attrs["network.peer.address"] != strings.TrimPrefix(local("api"), "http://") || hop.Attrs["http.request.resend_count"] != "0" {
		t.Errorf("the gateway's request: %+v", hop)
	}
	inside := b.child(hop, "POST /api/v1/auth/login")
	if inside.Resource["service.name"] != "z4j-api" || inside.Kind != "SPAN_KIND_SERVER" || operation.Parent != inside.ID {
		t.Errorf("the api's spans: %+v %+v", inside, operation)
	}
	tx := b.child(operation, "transaction")
	statement := b.receiver.Wait(t, "a statement of the transaction", func(s obstest.Span) bool { return s.Parent == tx.ID && s.Name == "COMMIT" })
	if statement.Attrs["db.system.name"] != "postgresql" || statement.Resource["service.name"] != "z4j-api" {
		t.Errorf("a statement: %+v", statement)
	}

	b.checkRefusal()

	b.sendEvent()
	tx = b.checkBatch("z4j-ingest")
	b.receiver.Wait(t, "the statement that stores events", func(s obstest.Span) bool {
		return s.Parent == tx.ID && s.Attrs["db.system.name"] == "postgresql" && s.Name == "INSERT events"
	})
	handshake := b.receiver.Wait(t, "the handshake", func(s obstest.Span) bool { return s.Name == "agent handshake" })
	if handshake.Attrs["z4j.handshake.outcome"] != "accepted" {
		t.Errorf("the handshake: %+v", handshake)
	}
	door := b.receiver.Wait(t, "the door of the handshake", func(s obstest.Span) bool { return s.ID == handshake.Parent })
	outer := b.receiver.Wait(t, "the way to it", func(s obstest.Span) bool { return s.ID == door.Parent })
	if door.Name != "GET /ws/agent" || door.Attrs["http.response.status_code"] != "101" || outer.Resource["service.name"] != "z4j-gateway" {
		t.Errorf("the handshake's way: %+v %+v", door, outer)
	}
	b.checkSecrets()
}

func tracePort(t *testing.T) int {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// TestTraceInOneProcess does it on SQLite, and with a receiver that is away.
func TestTraceInOneProcess(t *testing.T) {
	receiver := obstest.Start(t)
	for name, url := range map[string]string{"receiver": receiver.URL, "no receiver": fmt.Sprintf("http://127.0.0.1:%d", tracePort(t))} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			b := &traced{t: t, client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}, receiver: receiver, log: &traceLog{}}
			stop := b.serve(traceEnviron(url))
			code, answer := b.call(http.MethodPost, "/api/v1/auth/login", login)
			if code != http.StatusOK {
				t.Errorf("login: %d %v", code, answer)
			}
			if url == receiver.URL {
				operation := receiver.Wait(t, "the operation", func(s obstest.Span) bool { return s.Scope == "z4j/api" && strings.Contains(s.Name, "login") })
				root := receiver.Wait(t, "the gateway's span", func(s obstest.Span) bool { return s.ID == operation.Parent })
				if root.Name != "POST /api/v1/auth/login" || root.Parent != "" || root.Resource["service.name"] != "z4j-brain" {
					t.Errorf("the gateway's span: %+v", root)
				}
				tx := b.child(operation, "transaction")
				receiver.Wait(t, "a statement", func(s obstest.Span) bool {
					return s.Parent == tx.ID && s.Attrs["db.system.name"] == "sqlite" && s.Kind == "SPAN_KIND_CLIENT"
				})
				b.checkRefusal()
			}
			b.sendEvent()
			if url == receiver.URL {
				tx := b.checkBatch("z4j-brain")
				receiver.Wait(t, "the audit record of the login", func(s obstest.Span) bool { return s.Name == "audit append" && s.Attrs["z4j.audit.appended"] != "0" })
				for _, s := range receiver.Spans() {
					if s.Parent == tx.ID {
						t.Errorf("SQLite's bulk work has a span for each statement: %+v", s)
					}
				}
			}
			begin := time.Now()
			stop()
			if took := time.Since(begin); took > stopLimit {
				t.Errorf("the stop took %s", took)
			}
			b.checkSecrets()
		})
	}
}

// serve runs the brain in this process until the function it returns is called.
func (b *traced) serve(environ []string) (stop func()) {
	b.t.Helper()
	cfg := settings(b.t, environ...)
	log, err := obs.NewLogger(b.log, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := (&app{stdout: io.Discard, stderr: io.Discard}).open(b.t.Context(), cfg, slog.New(slog.DiscardHandler), migrateAlways)
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	list, err := hosts.Build(hosts.Input{Auto: []string{"127.0.0.1"}})
	if err != nil {
		b.t.Fatal(err)
	}
	brain, err := newBrain(b.t.Context(), cfg, s, list, log)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := launch.FirstAdmin(b.t.Context(), cfg, s, io.Discard); err != nil {
		b.t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(b.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.url = "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- brain.run(ctx, ln) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("the end of the brain: %v", err)
		}
		b.client.CloseIdleConnections()
		if err := brain.close(); err != nil {
			b.t.Errorf("close: %v", err)
		}
	}
}
