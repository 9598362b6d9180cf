// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// probe is one recorded reaction of the product that this brain replaces.
type probe struct {
	Scenario string          `json:"scenario"`
	Observed json.RawMessage `json:"observed"`
}

// reaction is the part of most observations.
type reaction struct {
	Close *int             `json:"close"`
	Open  bool             `json:"open"`
	Msgs  []map[string]any `json:"msgs"`
}

func loadProbes(t *testing.T) []probe {
	t.Helper()
	raw, err := os.ReadFile("testdata/behaviour-probes.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Probes []probe `json:"probes"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Probes
}

// probeCase is what a scenario needs to be played.
type probeCase struct {
	b *brain
	c credentials
	t *testing.T
	o json.RawMessage
}

func (k *probeCase) peer() *peer {
	b := *k.b
	b.t = k.t
	return b.connect(k.c, "bare-1-1")
}

func (k *probeCase) dial(token string) *peer {
	b := *k.b
	b.t = k.t
	return b.dial(token)
}

// TestBehaviourProbes plays every recorded scenario against this brain and compares the reactions. Differences
// are on purpose and listed in docs/decisions.md.
func TestBehaviourProbes(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	plays := map[string]func(*probeCase){}
	for _, m := range []map[string]func(*probeCase){handshakePlays(), framePlays(), batchPlays(), specialPlays()} {
		maps.Copy(plays, m)
	}
	probes := loadProbes(t)
	if len(probes) != 70 {
		t.Fatalf("%d recorded scenarios, want 70", len(probes))
	}
	for i, p := range probes {
		play := plays[p.Scenario]
		if play == nil && strings.HasPrefix(p.Scenario, "order: ") {
			play = playOrder
		}
		if play == nil {
			t.Errorf("scenario %q is not played", p.Scenario)
			continue
		}
		t.Run(p.Scenario, func(t *testing.T) {
			t.Parallel()
			br := *b
			br.t = t
			play(&probeCase{b: &br, c: br.newAgent(fmt.Sprintf("probe-%d", i)), t: t, o: p.Observed})
		})
	}
}

// expect compares how the connection goes on with what was recorded.
func (k *probeCase) expect(p *peer) {
	k.t.Helper()
	var want reaction
	if err := json.Unmarshal(k.o, &want); err != nil {
		k.t.Fatal(err)
	}
	k.react(p, want)
}

func (k *probeCase) react(p *peer, want reaction) {
	k.t.Helper()
	for _, m := range want.Msgs {
		got := p.recv()
		for _, varies := range []string{"ts", "nonce", "hmac"} {
			delete(got, varies)
			delete(m, varies)
		}
		// The error's text is ours (docs/decisions.md); its code and its consequence are the protocol's.
		for _, f := range []map[string]any{got, m} {
			if body, ok := f["payload"].(map[string]any); ok {
				delete(body, "message")
			}
		}
		if !reflect.DeepEqual(got, m) {
			k.t.Errorf("received %v, want %v", got, m)
		}
	}
	if want.Close != nil {
		code, reason := p.closeCode()
		if code != *want.Close || reason != "" {
			k.t.Errorf("closed with %d %q, want %d", code, reason, *want.Close)
		}
		return
	}
	if !want.Open {
		k.t.Fatal("the recording says neither open nor closed")
	}
	p.wantOpen()
}

func handshakePlays() map[string]func(*probeCase) {
	first := func(frame []byte) func(*probeCase) {
		return func(k *probeCase) {
			p := k.dial(k.c.token)
			p.send(frame)
			k.expect(p)
		}
	}
	version := func(v string) []byte {
		return hello("bare-1-1", func(_, payload map[string]any) { payload["protocol_version"] = v })
	}
	return map[string]func(*probeCase){
		"bad bearer token":        func(k *probeCase) { k.expect(k.dial("no such token")) },
		"no Authorization header": func(k *probeCase) { k.expect(k.dial("")) },
		"first frame is heartbeat": first([]byte(`{"v":2,"id":"hb_1","ts":"2026-01-01T00:00:00Z","nonce":"n","seq":1,"hmac":"` +
			strings.Repeat("0", 64) + `","type":"heartbeat","payload":{}}`)),
		"first frame not JSON":      first([]byte("not json")),
		"hello protocol_version=1":  first(version("1")),
		"hello protocol_version=3":  first(version("3")),
		"hello protocol_version=99": first(version("99")),
		"hello envelope v=3":        first(hello("bare-1-1", func(frame, _ map[string]any) { frame["v"] = 3 })),
		"hello as TEXT opcode": func(k *probeCase) {
			p := k.dial(k.c.token)
			if err := p.ws.WriteMessage(websocket.TextMessage, hello("bare-1-1")); err != nil {
				k.t.Fatal(err)
			}
			p.welcome(k.c)
		},
		"hello with unknown field + newer agent_version": func(k *probeCase) {
			p := k.dial(k.c.token)
			p.send(hello("bare-1-1", func(frame, payload map[string]any) {
				frame["surprise"], payload["surprise"], payload["agent_version"] = 1, []int{1}, "1.99.0"
			}))
			got := p.recv()
			var want struct {
				Keys        []string `json:"keys"`
				PayloadKeys []string `json:"payload_keys"`
			}
			if err := json.Unmarshal(k.o, &want); err != nil {
				k.t.Fatal(err)
			}
			wantKeys(k.t, got, want.Keys)
			wantKeys(k.t, got["payload"].(map[string]any), want.PayloadKeys)
			if !strings.Contains(k.b.log.String(), "upgrade the brain") {
				k.t.Error("the newer agent is not logged")
			}
		},
	}
}

func wantKeys(t *testing.T, m map[string]any, keys []string) {
	t.Helper()
	for _, key := range keys {
		if _, ok := m[key]; !ok {
			t.Errorf("%s is missing in %v", key, m)
		}
	}
	if len(m) != len(keys) {
		t.Errorf("%v has other members than %v", m, keys)
	}
}

// tweak signs a heartbeat whose frame a test changes before (covered) or after (not covered) the signature.
type tweak struct {
	seq            int64
	nonce          string
	ts             time.Time
	before, after  func(frame map[string]any)
	session, agent string
	text           bool
	typ, payload   string
}

// handSigned signs a frame without the help of the signer, so that anything can be wrong with it.
func handSigned(t *testing.T, s wire.Session, w tweak) []byte {
	t.Helper()
	if w.ts.IsZero() {
		w.ts = time.Now()
	}
	if w.typ == "" {
		w.typ, w.payload = "heartbeat", `{"buffer_size":0,"last_flush_at":null,"dropped_events":0,"adapter_health":{}}`
	}
	frame := map[string]any{
		"v": 2, "id": "hb_" + uuid.NewString()[:12], "ts": w.ts.UTC().Format("2006-01-02T15:04:05.000000Z"), "nonce": w.nonce,
		"seq": w.seq, "type": w.typ, "payload": json.RawMessage(w.payload),
	}
	if w.before != nil {
		w.before(frame)
	}
	if w.session != "" {
		s.SessionID = w.session
	}
	if w.agent != "" {
		s.AgentID = w.agent
	}
	frame["hmac"] = signatureOf(t, s, frame)
	if w.after != nil {
		w.after(frame)
	}
	b, err := json.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func framePlays() map[string]func(*probeCase) {
	nonce := func() string { return uuid.NewString()[:22] }
	// each frame of a play is sent in turn; the reaction to the last one counts.
	frames := func(tweaks ...tweak) func(*probeCase) {
		return func(k *probeCase) {
			p := k.peer()
			for _, w := range tweaks {
				kind := websocket.BinaryMessage
				if w.text {
					kind = websocket.TextMessage
				}
				if err := p.ws.WriteMessage(kind, handSigned(k.t, p.session, w)); err != nil {
					k.t.Fatal(err)
				}
				p.signer.SetNextSeq(w.seq + 1)
			}
			k.expect(p)
		}
	}
	one := func(change func(*tweak)) func(*probeCase) {
		w := tweak{seq: 1, nonce: nonce()}
		if change != nil {
			change(&w)
		}
		return func(k *probeCase) {
			w := w
			if !w.ts.IsZero() {
				// Relative to the start of the play, not of the table.
				w.ts = time.Now().Add(w.ts.Sub(epoch()))
			}
			frames(w)(k)
		}
	}
	after := func(f func(frame map[string]any)) func(*probeCase) { return one(func(w *tweak) { w.after = f }) }
	before := func(f func(frame map[string]any)) func(*probeCase) { return one(func(w *tweak) { w.before = f }) }
	raw := func(text string) func(*probeCase) {
		return func(k *probeCase) {
			p := k.peer()
			p.send([]byte(text))
			k.expect(p)
		}
	}
	other := func(typ, id, payload string) func(*probeCase) {
		return one(func(w *tweak) {
			w.typ, w.payload = typ, payload
			if id != "" {
				w.before = func(frame map[string]any) { frame["id"] = id }
			}
		})
	}
	n := nonce()
	return map[string]func(*probeCase){
		"valid heartbeat":                       one(nil),
		"heartbeat as TEXT":                     one(func(w *tweak) { w.text = true }),
		"seq may start above 1 and have gaps":   frames(tweak{seq: 5, nonce: nonce()}, tweak{seq: 9, nonce: nonce()}),
		"seq repeated":                          frames(tweak{seq: 1, nonce: nonce()}, tweak{seq: 1, nonce: nonce()}),
		"seq decreasing":                        frames(tweak{seq: 3, nonce: nonce()}, tweak{seq: 2, nonce: nonce()}),
		"seq 0":                                 one(func(w *tweak) { w.seq = 0 }),
		"nonce repeated":                        frames(tweak{seq: 1, nonce: n}, tweak{seq: 2, nonce: n}),
		"nonce empty":                           one(func(w *tweak) { w.nonce = "" }),
		"ts 55s old":                            one(func(w *tweak) { w.ts = epoch().Add(-55 * time.Second) }),
		"ts 65s old":                            one(func(w *tweak) { w.ts = epoch().Add(-65 * time.Second) }),
		"ts 65s in future":                      one(func(w *tweak) { w.ts = epoch().Add(65 * time.Second) }),
		"ts naive":                              before(func(f map[string]any) { f["ts"] = strings.TrimSuffix(f["ts"].(string), "Z") }),
		"bad hmac":                              after(func(f map[string]any) { f["hmac"] = strings.Repeat("0", 64) }),
		"hmac missing":                          after(func(f map[string]any) { delete(f, "hmac") }),
		"hmac uppercase hex":                    after(func(f map[string]any) { f["hmac"] = strings.ToUpper(f["hmac"].(string)) }),
		"wrong session_id in envelope":          one(func(w *tweak) { w.session = uuid.NewString() }),
		"wrong agent_id in envelope":            one(func(w *tweak) { w.agent = uuid.NewString() }),
		"payload tampered":                      after(func(f map[string]any) { f["payload"] = map[string]any{"buffer_size": 1} }),
		"unknown extra top-level field, signed": before(func(f map[string]any) { f["surprise"] = "yes" }),
		"unknown frame type, signed":            other("surprise", "", `{}`),
		"v=3 signed frame":                      before(func(f map[string]any) { f["v"] = 3 }),
		`v="2" string`:                          before(func(f map[string]any) { f["v"] = "2" }),
		"not JSON after handshake":              raw("not json"),
		"JSON array after handshake":            raw("[1,2]"),
		"second hello after handshake":          raw(string(hello("bare-1-1"))),
		"oversize frame":                        raw(strings.Repeat(" ", 1<<20+1)),
		"brain-only frame from agent (command)": other("command", uuid.NewString(), `{"action":"cancel_task","target":{},"parameters":{},"timeout_seconds":60,"issued_by":null,"delivery_claim_token":null}`),
		"command_result bad status":             other("command_result", uuid.NewString(), `{"status":"maybe","result":null,"error":null}`),
		"command_result for unknown uuid":       other("command_result", uuid.NewString(), `{"status":"success","result":{},"error":null}`),
		"command_ack with non-uuid id":          other("command_ack", "not-a-uuid", `{}`),
		"registry_delta":                        other("registry_delta", "", `{"engine":"celery","added":[],"removed":[],"updated":[]}`),
		"error frame from agent":                other("error", "", `{"code":"x","message":"y","fatal":true}`),
	}
}

// epoch is a fixed point that relative times of a table are written against.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func batchPlays() map[string]func(*probeCase) {
	send := func(id, payload string) func(*probeCase) {
		return func(k *probeCase) {
			p := k.peer()
			p.sendSigned(id, wire.TypeEventBatch, payload)
			k.expect(p)
		}
	}
	now := func() time.Time { return time.Now().Truncate(time.Second) }
	taskID := func() string { return "probe-" + uuid.NewString() }
	return map[string]func(*probeCase){
		"empty event batch": send("ev_empty", `{"events":[]}`),
		"same event twice in one batch": func(k *probeCase) {
			e := event("task.received", taskID(), now(), nil)
			send("ev_dup", batch(e, e))(k)
		},
		"same batch id resent": func(k *probeCase) {
			e := batch(event("task.received", taskID(), now(), nil))
			p := k.peer()
			p.ackOf("ev_dup", e)
			// On the next connection the same frame comes twice more.
			p = k.peer()
			p.sendSigned("ev_dup", wire.TypeEventBatch, e)
			p.sendSigned("ev_dup", wire.TypeEventBatch, e)
			k.expect(p)
		},
		"same task+kind+second, different event id": func(k *probeCase) {
			id, at := taskID(), now()
			send("ev_d2", batch(event("task.received", id, at, nil), event("task.received", id, at.Add(400*time.Millisecond), nil)))(k)
		},
		"event missing engine / kind": send("ev_bad", `{"events":[{"id":"`+uuid.NewString()+`","kind":"task.received","task_id":"a","data":{}},`+
			`{"id":"`+uuid.NewString()+`","engine":"celery","task_id":"a","data":{}},`+event("task.received", taskID(), now(), nil)+`]}`),
		"events not a list": send("ev_nl", `{"events":"x"}`),
		"event_batch without payload": func(k *probeCase) {
			p := k.peer()
			p.send(handSigned(k.t, p.session, tweak{seq: 1, nonce: "n", typ: "event_batch", payload: "{}", before: func(f map[string]any) {
				delete(f, "payload")
				f["id"] = "ev_np"
			}}))
			p.signer.SetNextSeq(2)
			k.expect(p)
		},
		"legacy schedule.snapshot event": func(k *probeCase) {
			p := k.peer()
			p.sendSigned("ev_ls", wire.TypeEventBatch, `{"events":[{"id":"`+uuid.NewString()+`","kind":"schedule.snapshot","engine":"celery-beat","task_id":"","occurred_at":"2026-01-01T00:00:00Z","data":{"schedules":[]}}]}`)
			k.expect(p)
		},
	}
}

func specialPlays() map[string]func(*probeCase) {
	second := func(worker string) func(*probeCase) {
		return func(k *probeCase) {
			var want struct{ First, Second reaction }
			if err := json.Unmarshal(k.o, &want); err != nil {
				k.t.Fatal(err)
			}
			one := k.b.connect(k.c, "bare-1-1")
			two := k.b.connect(k.c, worker)
			k.react(one, want.First)
			k.react(two, want.Second)
		}
	}
	return map[string]func(*probeCase){
		"second connection with same worker_id":      second("bare-1-1"),
		"second connection with different worker_id": second("bare-2-2"),
		"occurred_at clamping (too old, future, garbage)": func(k *probeCase) {
			p := k.peer()
			for i, at := range []string{
				time.Now().AddDate(-2, 0, 0).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "garbage",
			} {
				id := fmt.Sprintf("clamp-%d", i)
				sent := time.Now()
				p.ackOf("ev_"+id, `{"events":[{"id":"`+uuid.NewString()+`","kind":"task.received","engine":"celery","task_id":"`+id+
					`","occurred_at":"`+at+`","data":{"task_name":"x.y","queue":"q"}}]}`)
				task := k.task(id)
				if task == nil || task.ReceivedAt == nil {
					k.t.Fatalf("%s: no task with a time of reception", at)
				}
				if d := task.ReceivedAt.Sub(sent); d < -time.Second || d > patience {
					k.t.Errorf("%s became %s, want the time of arrival", at, task.ReceivedAt)
				}
			}
		},
		"agent revoked while connected, then reconnect": func(k *probeCase) {
			var want struct{ Live, Reconnect reaction }
			if err := json.Unmarshal(k.o, &want); err != nil {
				k.t.Fatal(err)
			}
			p := k.peer()
			err := k.b.store.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.RevokeAgent(ctx, k.c.ref.ID)
				return err
			})
			if err != nil {
				k.t.Fatal(err)
			}
			_ = k.b.bus.Publish(context.Background(), bus.AgentRevoked(k.c.ref.ID), nil)
			k.react(p, want.Live)
			k.react(k.dial(k.c.token), want.Reconnect)
		},
	}
}

// task reads a task by its engine's id, nil when there is none.
func (k *probeCase) task(id string) *store.TaskView {
	k.t.Helper()
	list, err := k.b.store.ListTasks(context.Background(), store.TaskPage{
		Filter: store.TaskFilter{ProjectID: k.b.project.ID, TaskTerms: store.TaskTerms{Search: []string{id}}}, Limit: 10,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	for i := range list.Tasks {
		if list.Tasks[i].TaskID == id {
			return &list.Tasks[i]
		}
	}
	return nil
}

// playOrder sends events one frame each and compares the acks and the task that comes of it.
func playOrder(k *probeCase) {
	var want struct {
		Events [][]any          `json:"events"`
		Acks   []map[string]any `json:"acks"`
		Task   any              `json:"task"`
	}
	if err := json.Unmarshal(k.o, &want); err != nil {
		k.t.Fatal(err)
	}
	p := k.peer()
	id := "order-" + uuid.NewString()
	// An offset inside the second shows that the true time is kept.
	base := time.Now().Truncate(time.Second).Add(579519 * time.Microsecond)
	recorded := map[float64]string{}
	for i, e := range want.Events {
		kind, offset := e[0].(string), e[1].(float64)
		data := map[string]any{"task_name": "x.y", "queue": "q"}
		switch kind {
		case "task.started":
			data["worker"] = "w"
		case "task.succeeded":
			data["result"] = 1
		case "task.failed":
			data["exception"] = "E"
		case "task.retried":
			data["retry_count"] = 2
		}
		at := base.Add(time.Duration(offset) * time.Second)
		recorded[offset] = at.UTC().Format("2006-01-02T15:04:05.000000")
		ack := p.ackOf(fmt.Sprintf("ev_%d", i), batch(event(kind, id, at, data)))
		if !reflect.DeepEqual(ack, want.Acks[i]) {
			k.t.Errorf("ack %v, want %v", ack, want.Acks[i])
		}
	}
	task := k.task(id)
	state, ok := want.Task.(map[string]any)
	if !ok {
		if task != nil {
			k.t.Errorf("a task of state %d came to be, want none", task.State)
		}
		return
	}
	if task == nil {
		k.t.Fatal("no task came to be")
	}
	compareTask(k.t, task, state, want.Events, recorded)
}
