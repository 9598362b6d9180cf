// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// onReplicas runs fn on two `z4j serve` with one database: once with Redis between them, once without.
func onReplicas(t *testing.T, fn func(t *testing.T, p *pair)) {
	t.Helper()
	if !harness.AsReplicas() {
		t.Fatal("there are no two replicas: set Z4J_E2E_STORE=replicas, or leave this test out")
	}
	for name, env := range map[string][]string{
		"with Redis":    {"Z4J_BUS_DROP_PERCENT=0"},
		"without Redis": {"Z4J_REDIS_URL="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brain := harness.NewBrain(t, env...)
			p := &pair{brain: brain, api: brain.Setup(t)}
			for i, m := range brain.Cluster().Members {
				p.url[i] = fmt.Sprintf("http://127.0.0.1:%d", m.Port)
			}
			fn(t, p)
		})
	}
}

// pair is two replicas of one installation and an administrator's session, which both accept.
type pair struct {
	brain *harness.Brain
	api   *harness.Client
	url   [2]string
}

// on is the administrator at one replica.
func (p *pair) on(i int) *harness.Client { return p.api.At(p.url[i]) }

// agent connects to one replica.
func (p *pair) agent(t *testing.T, i int, cred harness.Credentials) *loadgen.Agent {
	t.Helper()
	cfg := config(p.brain, cred)
	cfg.URL, cfg.WorkerID = p.url[i], "bare-7-"+uuid.NewString()[:8]
	return dial(t, cfg)
}

// ended tells with which code an agent's connection or a push socket ended.
func ended(read func() error) <-chan int {
	code := make(chan int, 1)
	go func() {
		for {
			if err := read(); err != nil {
				if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
					code <- closed.Code
				} else {
					code <- loadgen.CloseCode(err)
				}
				return
			}
		}
	}()
	return code
}

// within is far above the second or two that a change may take to reach another replica, and far below what would end the
// connection anyway: the idle time-out of 90 s, the 30 s of a lease.
const within = 10 * time.Second

// wantCode waits for the end of a connection that a change at the other replica brings about.
func wantCode(t *testing.T, what string, code <-chan int, want int, change func()) {
	t.Helper()
	change()
	began := time.Now()
	select {
	case got := <-code:
		if got != want {
			t.Errorf("%s: closed with %d, want %d", what, got, want)
		}
		t.Logf("%s: after %d ms", what, time.Since(began).Milliseconds())
	case <-time.After(within):
		t.Errorf("%s: the other replica still has the connection after %s", what, within)
	}
}

// TestReplicasRevocation takes rights away at one replica from whoever is connected to the other.
func TestReplicasRevocation(t *testing.T) {
	t.Parallel()
	onReplicas(t, func(t *testing.T, p *pair) {
		one := p.on(0)
		cred := p.api.Mint(t, "to-be-revoked")
		a := p.agent(t, 1, cred)
		gone := ended(func() error { _, err := a.Receive(); return err })
		wantCode(t, "revoked agent", gone, 4003, func() {
			one.Must(t, http.MethodDelete, "/projects/default/agents/"+cred.Agent.ID, nil, http.StatusNoContent, nil)
		})
		if _, err := loadgen.Dial(t.Context(), loadgen.Config{URL: p.url[1], Token: cred.Token, HMACSecret: cred.HMACSecret}); loadgen.CloseCode(err) == 0 {
			t.Errorf("the other replica lets the revoked agent in again: %v", err)
		}

		one.Must(t, http.MethodPost, "/projects", map[string]any{"slug": "short-lived", "name": "Short-lived"}, http.StatusCreated, nil)
		var other harness.Credentials
		one.Must(t, http.MethodPost, "/projects/short-lived/agents", map[string]any{"name": "of-the-project"}, http.StatusCreated, &other)
		b := p.agent(t, 1, other)
		gone = ended(func() error { _, err := b.Receive(); return err })
		wantCode(t, "archived project", gone, 4003, func() {
			one.Must(t, http.MethodDelete, "/projects/short-lived", nil, http.StatusNoContent, nil)
		})

		// A second session of the same person, at the other replica.
		two := harness.NewClient(p.url[1])
		two.Login(t, harness.AdminEmail, harness.AdminPassword)
		board := p.push(t, two, 1)
		gone = ended(func() error { _, _, err := board.ReadMessage(); return err })
		wantCode(t, "revoked session", gone, 4401, func() {
			one.Must(t, http.MethodPost, "/auth/sessions/revoke-others", map[string]any{}, http.StatusOK, nil)
		})
		two.Must(t, http.MethodGet, "/auth/me", nil, http.StatusUnauthorized, nil)
	})
}

// push opens a dashboard's socket at one replica.
func (p *pair) push(t *testing.T, c *harness.Client, i int) *websocket.Conn {
	t.Helper()
	var project struct {
		ID string `json:"id"`
	}
	c.Must(t, http.MethodGet, "/projects/"+harness.Project, nil, http.StatusOK, &project)
	dialer := websocket.Dialer{Jar: c.Jar(), HandshakeTimeout: patience}
	conn, resp, err := dialer.DialContext(t.Context(), strings.Replace(p.url[i], "http://", "ws://", 1)+"/ws/dashboard", http.Header{"Origin": {p.url[i]}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.WriteJSON(map[string]string{"type": "subscribe", "project_id": project.ID}); err != nil {
		t.Fatal(err)
	}
	var first struct {
		Type string `json:"type"`
	}
	if err := conn.ReadJSON(&first); err != nil || first.Type != "ready" {
		t.Fatalf("the push socket's first word is %q, %v", first.Type, err)
	}
	return conn
}

// TestReplicasHearOfEachOther has a dashboard at one replica and an agent at the other: each change shows, and a command
// issued at the one reaches the socket that the other holds.
func TestReplicasHearOfEachOther(t *testing.T) {
	t.Parallel()
	onReplicas(t, func(t *testing.T, p *pair) {
		cred := p.api.Mint(t, "elsewhere")
		news := make(chan string, 1000)
		board := p.push(t, p.on(0), 0)
		go func() {
			for {
				var m struct {
					Topic string `json:"topic"`
				}
				if err := board.ReadJSON(&m); err != nil {
					return
				}
				news <- m.Topic
			}
		}()
		hears := func(kind string, change func()) {
			t.Helper()
			for len(news) > 0 {
				<-news
			}
			change()
			began, limit := time.Now(), time.After(within)
			for {
				select {
				case got := <-news:
					if got == kind {
						t.Logf("%s: after %d ms", kind, time.Since(began).Milliseconds())
						return
					}
				case <-limit:
					t.Errorf("the dashboard at the other replica does not hear of %s within %s", kind, within)
					return
				}
			}
		}
		var a *loadgen.Agent
		hears("agent.changed", func() { a = p.agent(t, 1, cred) })
		hears("task.changed", func() {
			e := loadgen.Event{ID: uuid.NewString(), Kind: "task.received", TaskID: "t-1", At: time.Now(), Data: `{"task_name":"shop.add"}`}
			if err := a.Send("ev_1", e); err != nil {
				t.Fatal(err)
			}
		})
		var issued harness.Command
		var began time.Time
		hears("command.changed", func() {
			began = time.Now()
			p.on(0).Must(t, http.MethodPost, "/projects/default/commands/cancel-task", map[string]any{
				"agent_id": cred.Agent.ID, "engine": "celery", "task_id": "t-1",
			}, http.StatusAccepted, &issued)
		})
		for {
			env, err := a.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if env.Type == wire.TypeCommand {
				t.Logf("command and its news: after %d ms", time.Since(began).Milliseconds())
				if env.ID != issued.ID {
					t.Errorf("command %s arrived, want %s", env.ID, issued.ID)
				}
				break
			}
		}
		if err := a.SendFrame(issued.ID, wire.TypeCommandResult, []byte(`{"status":"success","result":{},"error":null}`)); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, within, "the command is completed at the replica that issued it", func() error {
			var c harness.Command
			if err := p.on(0).Get("/projects/default/commands/"+issued.ID, &c); err != nil {
				return err
			}
			return harness.Equal("status", c.Status, "completed")
		})
	})
}

// TestReplicasShareLongPoll sends each request of one long-poll session to the other replica than the one before:
// sequence and nonces go on, a replay is refused by either, and ends the session at both.
func TestReplicasShareLongPoll(t *testing.T) {
	t.Parallel()
	onReplicas(t, func(t *testing.T, p *pair) {
		cred := p.api.Mint(t, "polls")
		key, err := base64.URLEncoding.DecodeString(cred.HMACSecret)
		if err != nil {
			t.Fatal(err)
		}
		var project struct {
			ID string `json:"id"`
		}
		p.api.Must(t, http.MethodGet, "/projects/"+harness.Project, nil, http.StatusOK, &project)
		const nonce = "round-robin-nonce-0001"
		session := wire.Session{Key: [32]byte(key), AgentID: cred.Agent.ID, ProjectID: project.ID, SessionID: nonce}
		signer, verifier := wire.NewSigner(session), wire.NewVerifier(session)
		call := func(i int, method, path string, body any) (int, []string) {
			t.Helper()
			var payload bytes.Buffer
			if body != nil {
				_ = json.NewEncoder(&payload).Encode(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), method, p.url[i%2]+"/api/v1/agent"+path, &payload)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+cred.Token)
			req.Header.Set("X-Z4J-Session-Nonce", nonce)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			var answer struct {
				Frames []string `json:"frames"`
			}
			_ = json.NewDecoder(resp.Body).Decode(&answer)
			return resp.StatusCode, answer.Frames
		}
		frame := func(n int) string {
			at := time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00")
			text, err := signer.Sign(nil, fmt.Sprintf("ev_%d", n), wire.TypeEventBatch, []byte(fmt.Sprintf(
				`{"events":[{"id":"%s","kind":"task.received","engine":"celery","task_id":"poll-%d","occurred_at":"%s","data":{}}]}`, uuid.NewString(), n, at)), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		const rounds = 12
		var last string
		for n := range rounds {
			last = frame(n)
			if status, _ := call(n, http.MethodPost, "/events", map[string]any{"frames": []string{last}}); status != http.StatusOK {
				t.Fatalf("upload %d: status %d", n, status)
			}
		}
		seen, err := p.api.Tasks("")
		if err != nil || len(seen) != rounds {
			t.Errorf("%d tasks, %v; want %d", len(seen), err, rounds)
		}
		// Commands come with rising numbers, whichever replica hands them out.
		for n := range 4 {
			var issued harness.Command
			p.on(n%2).Must(t, http.MethodPost, "/projects/default/commands/cancel-task", map[string]any{
				"agent_id": cred.Agent.ID, "engine": "celery", "task_id": fmt.Sprintf("poll-%d", n),
			}, http.StatusAccepted, &issued)
			status, frames := call(n+1, http.MethodGet, "/commands?wait=10&max_frames=5", nil)
			if status != http.StatusOK || len(frames) != 1 {
				t.Fatalf("poll %d: status %d, %d frames", n, status, len(frames))
			}
			env, err := verifier.Verify([]byte(frames[0]))
			if err != nil || env.ID != issued.ID {
				t.Fatalf("poll %d: command %s, %v; want %s", n, env.ID, err, issued.ID)
			}
		}
		if status, _ := call(rounds, http.MethodPost, "/events", map[string]any{"frames": []string{last}}); status != http.StatusConflict {
			t.Errorf("a replay at the other replica is answered with %d, want 409", status)
		}
		if status, _ := call(rounds+1, http.MethodPost, "/events", map[string]any{"frames": []string{frame(rounds)}}); status != http.StatusConflict {
			t.Errorf("the session goes on at the first replica with %d, want 409", status)
		}
	})
}

// TestReplicasIngestIsNotStarved holds every connection that the API may have with requests that wait for a lock, at
// both replicas: events are still acknowledged. Then the API says when to come back.
func TestReplicasIngestIsNotStarved(t *testing.T) {
	t.Parallel()
	if !harness.AsReplicas() {
		t.Fatal("there are no two replicas: set Z4J_E2E_STORE=replicas, or leave this test out")
	}
	database := harness.NewPostgres(t)
	brain := harness.NewBrain(t, "Z4J_DATABASE_URL="+database.URL(), "Z4J_DATABASE_POOL_SIZE=8",
		"Z4J_DB_LOCK_TIMEOUT_MS=20000", "Z4J_DB_STATEMENT_TIMEOUT_MS=20000")
	api := brain.Setup(t)
	cred := api.Mint(t, "steady")
	release := database.Lock(t, "users") // every request reads its caller; ingest never does
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var waiting atomic.Int64
	for range 60 {
		wg.Go(func() {
			for ctx.Err() == nil {
				waiting.Add(1)
				_, _, _ = api.Do(http.MethodGet, "/projects/default/tasks", nil, nil)
			}
		})
	}
	defer func() { release(); cancel(); wg.Wait() }()
	harness.Eventually(t, patience, "the API's connections are taken", func() error {
		if n := database.Waiting(t); n < 8 || waiting.Load() < 60 {
			return fmt.Errorf("%d connections wait for the lock, want the API's four of each replica", n)
		}
		return nil
	})
	for i, m := range brain.Cluster().Members {
		cfg := config(brain, cred)
		cfg.URL, cfg.WorkerID = fmt.Sprintf("http://127.0.0.1:%d", m.Port), fmt.Sprintf("bare-%d-1", i)
		a := dial(t, cfg)
		for n := range 20 {
			e := loadgen.Event{ID: uuid.NewString(), Kind: "task.received", TaskID: fmt.Sprintf("s-%d-%d", i, n), At: time.Now(), Data: `{"task_name":"shop.add"}`}
			began := time.Now()
			if err := a.Send(fmt.Sprintf("ev_%d", n), e); err != nil {
				t.Fatal(err)
			}
			watchdog := time.AfterFunc(within, a.Close)
			_, accepted, err := a.ReceiveAck()
			watchdog.Stop()
			if err != nil || accepted != 1 {
				t.Fatalf("event %d at %s: accepted %d, %v after %s, while the API waits for its database", n, m.Name, accepted, err, time.Since(began))
			}
		}
	}
	if n := database.Waiting(t); n < 8 {
		t.Errorf("only %d connections still waited: the API was not held", n)
	}
	release()
	cancel()
	wg.Wait()

	database.Kill()
	harness.Eventually(t, patience, "the API says when to come back", func() error {
		status, header, err := api.Headers("/projects/default/tasks")
		if err != nil {
			return err
		}
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			return fmt.Errorf("status %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		return nil
	})
	database.Start(t)
	harness.Eventually(t, 30*time.Second, "it works again", func() error { return api.Get("/projects/default/tasks", nil) })
}
