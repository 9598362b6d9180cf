// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/pkg/wire"
)

// poller is an agent without a socket.
type poller struct {
	t      testing.TB
	c      credentials
	nonce  string
	signer *wire.Signer
}

func newPoller(t testing.TB, c credentials, nonce string) *poller {
	return &poller{t: t, c: c, nonce: nonce, signer: wire.NewSigner(wire.Session{
		Key: wire.ProjectKey(master, c.ref.ProjectUID), AgentID: c.ref.UID.String(), ProjectID: c.ref.ProjectUID.String(), SessionID: nonce,
	})}
}

// call sends a request to a brain and returns status and body.
func (p *poller) call(b *brain, method, path, body string, change ...func(http.Header)) (int, map[string]any, http.Header) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.url+"/api/v1/agent"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.c.token)
	req.Header.Set("X-Z4J-Runtime-Features", "retry_by_reference")
	req.Header.Set("X-Z4J-Retry-Contracts", "celery=1")
	if p.nonce != "" {
		req.Header.Set("X-Z4J-Session-Nonce", p.nonce)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(req.Header)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var buf bytes.Buffer
	_, _ = buf.ReadFrom(resp.Body)
	var m map[string]any
	if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
		p.t.Fatalf("%s %s: %d %q: %v", method, path, resp.StatusCode, buf.String(), err)
	}
	return resp.StatusCode, m, resp.Header
}

func (p *poller) frame(id string, typ wire.Type, payload string) string {
	p.t.Helper()
	b, err := p.signer.Sign(nil, id, typ, []byte(payload), time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

func upload(frames ...string) string {
	b, err := json.Marshal(map[string]any{"frames": frames})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// push sends frames and returns status and answer.
func (p *poller) push(b *brain, frames ...string) (int, map[string]any) {
	p.t.Helper()
	status, m, _ := p.call(b, http.MethodPost, "/events", upload(frames...))
	return status, m
}

// twoBrains are two replicas on one database, sharing hints or not.
func twoBrains(t *testing.T, s *store.Store) (one, two *brain) {
	t.Helper()
	m := bus.NewMemory(nil)
	t.Cleanup(func() { _ = m.Close() })
	one = start(t, s, m)
	two = start(t, s, m)
	one.project = newProject(t, s, "shop")
	two.project = one.project
	return one, two
}

func TestLongPollSessionOnTwoReplicas(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := twoBrains(t, s)
		c := one.newAgent("rq")
		p := newPoller(t, c, "nonce-1")
		status, m, h := p.call(one, http.MethodGet, "/commands?wait=0&max_frames=0", "")
		if status != http.StatusOK || len(m["frames"].([]any)) != 0 {
			t.Fatalf("probe: %d %v", status, m)
		}
		if h.Get("X-Z4J-Agent-Id") != c.ref.UID.String() || h.Get("X-Z4J-Project-Id") != c.ref.ProjectUID.String() {
			t.Errorf("headers %v", h)
		}
		// The two replicas take turns; sequence numbers go on rising.
		var replay string
		for i := range 6 {
			b := []*brain{one, two}[i%2]
			replay = p.frame(fmt.Sprintf("ev_%d", i), wire.TypeEventBatch, batch(event("task.received", fmt.Sprintf("lp-%d", i), time.Now(), nil)))
			if status, m := p.push(b, replay, p.frame("hb", wire.TypeHeartbeat, `{}`)); status != http.StatusOK || m["accepted"] != 2.0 || m["rejected"] != 0.0 {
				t.Fatalf("push %d: %d %v", i, status, m)
			}
		}
		list, err := s.ListTasks(context.Background(), store.TaskPage{Filter: store.TaskFilter{ProjectID: c.ref.ProjectID}, Limit: 10})
		if err != nil || len(list.Tasks) != 6 {
			t.Errorf("%d tasks, %v; want 6", len(list.Tasks), err)
		}
		// A command, signed with rising numbers whoever serves the pull.
		v := wire.NewVerifier(wire.Session{
			Key: wire.ProjectKey(master, c.ref.ProjectUID), AgentID: c.ref.UID.String(), ProjectID: c.ref.ProjectUID.String(), SessionID: p.nonce,
		})
		for i := range 4 {
			cmd := one.issue(c, "retry_task", time.Minute, func(n *store.NewCommand) { n.RequiredContract = store.RetryContract("celery") })
			status, m, _ := p.call([]*brain{one, two}[i%2], http.MethodGet, "/commands?wait=10&max_frames=5", "")
			frames := m["frames"].([]any)
			if status != http.StatusOK || len(frames) != 1 {
				t.Fatalf("pull: %d %v", status, m)
			}
			env, err := v.Verify([]byte(frames[0].(string)))
			if err != nil || env.ID != cmd.ID.String() || env.Type != wire.TypeCommand {
				t.Fatalf("command frame %v: %v", env, err)
			}
			if status, m := p.push(two, p.frame(env.ID, wire.TypeCommandResult, `{"status":"success","result":{},"error":null}`)); status != http.StatusOK || m["accepted"] != 1.0 {
				t.Fatalf("result: %d %v", status, m)
			}
			if s := one.status(cmd.ID).Status; s != domain.CommandCompleted {
				t.Errorf("status %s", s)
			}
		}
		// A replayed frame ends the session on both replicas.
		if status, _ := p.push(two, replay); status != http.StatusConflict {
			t.Errorf("replay is answered with %d", status)
		}
		if status, _ := p.push(one, p.frame("hb", wire.TypeHeartbeat, `{}`)); status != http.StatusConflict {
			t.Errorf("a broken session goes on with %d", status)
		}
		if status, m := newPoller(t, c, "nonce-2").push(one, newPoller(t, c, "nonce-2").frame("hb", wire.TypeHeartbeat, `{}`)); status != http.StatusOK {
			t.Errorf("a fresh nonce is answered with %d %v", status, m)
		}
	})
}

func TestLongPollFrames(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("rq")
	p := newPoller(t, c, "nonce")
	status, m := p.push(b, "{}", "not json", string(hello("x")), p.frame("x", wire.TypeEventBatch, `{"events":[]}`),
		`{"v":3,"id":"x","type":"heartbeat","payload":{}}`,
		p.frame("ls", wire.TypeEventBatch, `{"events":[{"id":"`+uuid.NewString()+`","kind":"schedule.snapshot","engine":"rq-scheduler","task_id":"","data":{}}]}`))
	if status != http.StatusOK || m["accepted"] != 4.0 || m["rejected"] != 2.0 || m["error_code"] != "scheduler_upgrade_required" {
		t.Errorf("%d %v", status, m)
	}
	// Without a nonce the session id is empty.
	q := newPoller(t, c, "")
	if status, m := q.push(b, q.frame("hb", wire.TypeHeartbeat, `{}`)); status != http.StatusOK || m["error_code"] != nil {
		t.Errorf("%d %v", status, m)
	}
	agent, err := b.store.AgentByUID(context.Background(), c.ref.ProjectID, c.ref.UID)
	if err != nil || agent.State != "online" {
		t.Errorf("agent %s %v", agent.State, err)
	}
}

func TestLongPollRefusals(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("rq")
	p := newPoller(t, c, "nonce")
	bad := func(h http.Header) { h.Set("Authorization", "Bearer nobody") }
	check := func(what string, wantStatus int, wantError any, status int, m map[string]any) {
		t.Helper()
		if status != wantStatus || (wantError != nil && m["error"] != wantError) {
			t.Errorf("%s: %d %v, want %d %v", what, status, m, wantStatus, wantError)
		}
	}
	status, m, _ := p.call(b, http.MethodGet, "/commands?wait=0", "", bad)
	check("bad token", 401, "unauthenticated", status, m)
	if m["detail"] != "invalid agent token" {
		t.Errorf("detail %v", m["detail"])
	}
	status, m, _ = p.call(b, http.MethodGet, "/commands?wait=61", "")
	check("wait too long", 422, nil, status, m)
	status, m, _ = p.call(b, http.MethodGet, "/commands?max_frames=501", "")
	check("too many frames asked for", 422, nil, status, m)
	status, m, _ = p.call(b, http.MethodPost, "/events", `{"frames":[]}`)
	check("no frames", 422, nil, status, m)
	status, m = p.push(b, make([]string, 501)...)
	check("too many frames", 422, nil, status, m)
	status, m = p.push(b, strings.Repeat("x", 1<<20+1))
	check("frame too large", 413, nil, status, m)
	status, m = p.push(b, strings.Repeat("x", 9<<20))
	check("body too large", 413, nil, status, m)

	for i := range 16 {
		q := newPoller(t, c, fmt.Sprintf("n%d", i))
		status, m, _ = q.call(b, http.MethodGet, "/commands?wait=0&max_frames=0", "")
		if i < 16 && status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("session %d: %d %v", i, status, m)
		}
	}
	status, m, h := newPoller(t, c, "one-too-many").call(b, http.MethodGet, "/commands?wait=0&max_frames=0", "")
	check("too many sessions", 503, nil, status, m)
	if h.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", h.Get("Retry-After"))
	}

	// A revoked agent is refused, and a pull that waits at that time ends.
	err := b.store.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RevokeAgent(ctx, c.ref.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	status, m, _ = p.call(b, http.MethodGet, "/commands?wait=0", "")
	check("revoked", 401, "unauthenticated", status, m)
}

func TestLongPollRedelivery(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingestConfig) { c.RedeliverAfter, c.RedeliverUntil = 100*time.Millisecond, time.Minute })
	c := b.newAgent("rq")
	p := newPoller(t, c, "nonce")
	cancel := b.issue(c, "cancel_task", time.Minute)
	retry := b.issue(c, "retry_task", time.Minute)
	ids := func(want int) map[string]bool {
		_, m, _ := p.call(b, http.MethodGet, "/commands?wait=10", "")
		got := map[string]bool{}
		for _, f := range m["frames"].([]any) {
			var frame struct{ ID string }
			if err := json.Unmarshal([]byte(f.(string)), &frame); err != nil {
				t.Fatal(err)
			}
			got[frame.ID] = true
		}
		if len(got) != want {
			t.Errorf("%d commands, want %d", len(got), want)
		}
		return got
	}
	if got := ids(2); !got[cancel.ID.String()] || !got[retry.ID.String()] {
		t.Errorf("got %v", got)
	}
	// Nobody answered: what bears repetition comes again, the retry does not.
	if got := ids(1); !got[cancel.ID.String()] {
		t.Errorf("got %v", got)
	}
}
