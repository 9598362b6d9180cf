// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/wire"
)

// load reads a golden file.
func load(tb testing.TB, name string, into any) {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
}

func hexKey(tb testing.TB, text string) (key [32]byte) {
	tb.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		tb.Fatalf("bad key %q", text)
	}
	copy(key[:], raw)
	return key
}

func parseTime(tb testing.TB, text string) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func TestKeysAndIDs(t *testing.T) {
	t.Parallel()
	var v struct {
		Master  string `json:"master_secret_utf8"`
		Project string `json:"project_id"`
		Secret  string `json:"project_secret_hex"`
		Text    string `json:"hmac_secret_as_given_to_agents"`
		Token   struct {
			Token string
			Hash  string `json:"hash_hex"`
		} `json:"agent_token_hash"`
		Purge struct {
			Queue string
			Depth int64
			Token string `json:"token_hex"`
		} `json:"purge_confirm_token"`
		More []struct {
			Project string `json:"project_id"`
			Secret  string `json:"project_secret_hex"`
		} `json:"more_derivations"`
		Events struct {
			Vectors []struct {
				Engine     string
				TaskID     string `json:"task_id"`
				Kind       string
				OccurredAt string `json:"occurred_at"`
				AgentID    string `json:"agent_event_id"`
				EventID    string `json:"event_id"`
			}
		} `json:"event_ids"`
	}
	load(t, "keys-and-ids.json", &v)
	master := []byte(v.Master)
	key := wire.ProjectKey(master, uuid.MustParse(v.Project))
	if got := hex.EncodeToString(key[:]); got != v.Secret {
		t.Errorf("project key %s, want %s", got, v.Secret)
	}
	if got := wire.HMACSecretText(key); got != v.Text {
		t.Errorf("secret text %s, want %s", got, v.Text)
	}
	if got := wire.TokenHash(master, v.Token.Token); got != v.Token.Hash {
		t.Errorf("token hash %s, want %s", got, v.Token.Hash)
	}
	if got := wire.PurgeToken(key, v.Purge.Queue, v.Purge.Depth); got != v.Purge.Token {
		t.Errorf("purge token %s, want %s", got, v.Purge.Token)
	}
	for _, m := range v.More {
		key := wire.ProjectKey(master, uuid.MustParse(m.Project))
		if got := hex.EncodeToString(key[:]); got != m.Secret {
			t.Errorf("project %s: key %s, want %s", m.Project, got, m.Secret)
		}
	}
	for _, e := range v.Events.Vectors {
		if e.TaskID == "" {
			id, ok := wire.LooseEventID(v.Project, e.AgentID)
			if !ok || id.String() != e.EventID {
				t.Errorf("loose event %s: %s, want %s", e.AgentID, id, e.EventID)
			}
			continue
		}
		at, aware, ok := wire.ParseTime([]byte(e.OccurredAt))
		if !ok || !aware {
			t.Fatalf("time %s not read", e.OccurredAt)
		}
		if id := wire.EventID(v.Project, e.Engine, e.TaskID, e.Kind, at.Unix()); id.String() != e.EventID {
			t.Errorf("event %s: %s, want %s", e.TaskID, id, e.EventID)
		}
	}
	for _, bad := range []string{"", "x", uuid.Nil.String(), "ffffffff-ffff-ffff-ffff-ffffffffffff", "d106ddd1bc884d3583e1599bc9914a59", "c232ab00-9414-11ec-b3c8-9f6bdeced846"} {
		if _, ok := wire.LooseEventID(v.Project, bad); ok {
			t.Errorf("loose event id %q accepted", bad)
		}
	}
}

type validVector struct {
	Name      string
	Direction string
	Agent     string `json:"agent_id"`
	Project   string `json:"project_id"`
	Session   string `json:"session_id"`
	TS        string
	Nonce     string
	Seq       int64
	Canonical []byte `json:"canonical_b64"`
	Signature string `json:"signature_hex"`
	Wire      []byte `json:"wire_b64"`
}

func TestSigningValid(t *testing.T) {
	t.Parallel()
	var file struct {
		Secret  string `json:"secret_hex"`
		Vectors []validVector
	}
	load(t, "signing-valid.json", &file)
	key := hexKey(t, file.Secret)
	if len(file.Vectors) != 28 {
		t.Fatalf("%d vectors, want 28", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			now := parseTime(t, v.TS)
			session := wire.Session{Key: key, AgentID: v.Agent, ProjectID: v.Project, SessionID: v.Session, Now: func() time.Time { return now }}
			env, err := wire.NewVerifier(session).Verify(v.Wire)
			if err != nil {
				t.Fatal(err)
			}
			if env.Seq != v.Seq || string(env.Nonce) != v.Nonce || !env.TS.Equal(now) {
				t.Errorf("envelope %+v", env)
			}
			if fromBrain := v.Direction == "brain->agent"; fromBrain && !env.Type.FromBrain() || !fromBrain && !env.Type.FromAgent() {
				t.Errorf("type %s is not valid for %s", env.Type, v.Direction)
			}
			canonical, err := wire.Canonical(nil, v.Canonical)
			if err != nil || !bytes.Equal(canonical, v.Canonical) {
				t.Errorf("canonical text is not stable: %v\n got %s\nwant %s", err, canonical, v.Canonical)
			}
			checkCanonicalVector(t, v)
			checkResign(t, session, v, env)
		})
	}
}

// checkCanonicalVector compares our canonical form of the wire bytes, ids added and hmac removed by hand, with the golden text.
func checkCanonicalVector(t *testing.T, v validVector) {
	t.Helper()
	var members []byte
	err := wire.ScanMembers(v.Wire, func(name, value []byte) error {
		if string(name) != `"hmac"` {
			members = append(append(append(append(members, name...), ':'), value...), ',')
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Appendf(nil, `{%s"agent_id":%q,"project_id":%q,"session_id":%q}`, members, v.Agent, v.Project, v.Session)
	got, err := wire.Canonical(nil, text)
	if err != nil || !bytes.Equal(got, v.Canonical) {
		t.Errorf("canonical: %v\n got %s\nwant %s", err, got, v.Canonical)
	}
}

// checkResign signs the same content with the same nonce and expects the same bytes.
func checkResign(t *testing.T, session wire.Session, v validVector, env wire.Envelope) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(v.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	session.Random = bytes.NewReader(raw)
	signer := wire.NewSigner(session)
	signer.SetNextSeq(v.Seq)
	got, err := signer.Sign([]byte("kept "), env.ID, env.Type, env.Payload, env.TS)
	if err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("kept "), v.Wire...); !bytes.Equal(got, want) {
		t.Errorf("signed\n got %s\nwant %s", got, want)
	}
	if signer.NextSeq() != v.Seq+1 {
		t.Errorf("next seq %d", signer.NextSeq())
	}
}

type frameCase struct {
	Name    string
	Now     string `json:"receiver_now"`
	Frames  []string
	Expect  []string `json:"expect_per_frame"`
	Class   string   `json:"upstream_error_class"`
	Close   int      `json:"websocket_close_code_by_brain"`
	Agent   string   `json:"agent_id"`
	Project string   `json:"project_id"`
	Session string   `json:"session_id"`
}

func TestSigningInvalidAndEdge(t *testing.T) {
	t.Parallel()
	var file struct {
		Secret   string      `json:"secret_hex"`
		Rejected []frameCase `json:"rejected"`
		Accepted []frameCase `json:"accepted_edge_cases"`
	}
	load(t, "signing-invalid.json", &file)
	key := hexKey(t, file.Secret)
	if len(file.Rejected) != 31 || len(file.Accepted) != 6 {
		t.Fatalf("%d rejected, %d accepted", len(file.Rejected), len(file.Accepted))
	}
	classes := map[string]wire.Class{
		"SignatureError": wire.ClassSignature, "ProtocolError": wire.ClassProtocol, "ProtocolVersionError": wire.ClassVersion,
	}
	for _, c := range slices.Concat(file.Rejected, file.Accepted) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			now := parseTime(t, c.Now)
			v := wire.NewVerifier(wire.Session{
				Key: key, AgentID: c.Agent, ProjectID: c.Project, SessionID: c.Session, Now: func() time.Time { return now },
			})
			for i, frame := range c.Frames {
				before := v.Guard().LastSeq()
				_, err := v.Verify([]byte(frame))
				if c.Expect == nil || c.Expect[i] == "accept" {
					if err != nil {
						t.Errorf("frame %d refused: %v", i, err)
					}
					continue
				}
				var werr *wire.Error
				if !errors.As(err, &werr) {
					t.Fatalf("frame %d: error %v", i, err)
				}
				if werr.Class != classes[c.Class] || werr.CloseCode() != c.Close {
					t.Errorf("frame %d: class %s close %d, want %s %d (%v)", i, werr.Class, werr.CloseCode(), c.Class, c.Close, err)
				}
				if v.Guard().LastSeq() != before {
					t.Error("a refused frame moved the guard")
				}
			}
		})
	}
}

// session is a captured conversation.
type session struct {
	Agent     string `json:"agent_id"`
	Project   string `json:"project_id"`
	Master    string `json:"master_secret_utf8"`
	Secret    string `json:"hmac_secret"`
	SessionID string `json:"session_id"`
	Frames    []struct {
		Dir  string
		Text string
	}
	Exchanges []struct {
		Request struct {
			Path    string
			Headers [][2]string
			Body    string
		}
		Response struct {
			Status int
			Body   string
		}
	}
}

func sessionFiles(tb testing.TB) []string {
	tb.Helper()
	names, err := filepath.Glob("testdata/sessions/*.json")
	if err != nil || len(names) != 12 {
		tb.Fatalf("%d sessions, want 12 (%v)", len(names), err)
	}
	return names
}

// TestSessions replays what real agents and the original brain said, both directions verified.
func TestSessions(t *testing.T) {
	t.Parallel()
	for _, name := range sessionFiles(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			var s session
			load(t, filepath.Join("sessions", filepath.Base(name)), &s)
			key := wire.ProjectKey([]byte(s.Master), uuid.MustParse(s.Project))
			if wire.HMACSecretText(key) != s.Secret {
				t.Fatal("project key differs")
			}
			if s.Exchanges != nil {
				replayLongPoll(t, s, key)
				return
			}
			replaySocket(t, s, key)
		})
	}
}

func replaySocket(t *testing.T, s session, key [32]byte) {
	t.Helper()
	var now time.Time
	common := wire.Session{
		Key: key, AgentID: s.Agent, ProjectID: s.Project, SessionID: s.SessionID, Now: func() time.Time { return now },
	}
	guards := map[string]*wire.Verifier{"agent->brain": wire.NewVerifier(common), "brain->agent": wire.NewVerifier(common)}
	for i, f := range s.Frames {
		now = frameTime(t, f.Text)
		frame := []byte(f.Text)
		if i == 0 {
			checkHello(t, frame)
			continue
		}
		env, err := guards[f.Dir].Verify(frame)
		if err != nil {
			t.Fatalf("frame %d (%s): %v", i, f.Dir, err)
		}
		if f.Dir == "agent->brain" && !env.Type.FromAgent() || f.Dir == "brain->agent" && !env.Type.FromBrain() {
			t.Errorf("frame %d: %s from the wrong side", i, env.Type)
		}
		checkPayload(t, env, frame)
	}
}

func replayLongPoll(t *testing.T, s session, key [32]byte) {
	t.Helper()
	var now time.Time
	state := map[string]wire.GuardState{}
	total := 0
	for _, x := range s.Exchanges {
		nonce := ""
		for _, h := range x.Request.Headers {
			if h[0] == "x-z4j-session-nonce" {
				nonce = h[1]
			}
		}
		for dir, body := range map[string]string{"in": x.Request.Body, "out": x.Response.Body} {
			var frames struct{ Frames []string }
			if body == "" || json.Unmarshal([]byte(body), &frames) != nil || len(frames.Frames) == 0 {
				continue
			}
			guard := wire.NewStoredGuard(state[dir+nonce])
			v := wire.NewVerifier(wire.Session{
				Key: key, AgentID: s.Agent, ProjectID: s.Project, SessionID: nonce, Now: func() time.Time { return now }, Guard: guard,
			})
			for _, text := range frames.Frames {
				now = frameTime(t, text)
				env, err := v.Verify([]byte(text))
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				checkPayload(t, env, []byte(text))
				total++
			}
			state[dir+nonce] = guard.State()
		}
	}
	if total < 20 {
		t.Errorf("only %d frames", total)
	}
}

func frameTime(t *testing.T, text string) time.Time {
	t.Helper()
	var f struct{ TS *time.Time }
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatal(err)
	}
	if f.TS == nil {
		return time.Time{}
	}
	return *f.TS
}

func checkHello(t *testing.T, frame []byte) {
	t.Helper()
	h, err := wire.ParseHello(frame)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Payload struct {
			Engines, Schedulers []string
			Capabilities        map[string][]string
			WorkerID            string                `json:"worker_id"`
			PID                 int64                 `json:"worker_pid"`
			Started             time.Time             `json:"worker_started_at"`
			Host                struct{ Name string } `json:"host"`
		}
	}
	if err := json.Unmarshal(frame, &want); err != nil {
		t.Fatal(err)
	}
	p := want.Payload
	if h.ProtocolVersion != "2" || h.AgentVersion != "1.13.0" || h.Framework != "bare" || !slices.Equal(h.Engines, p.Engines) ||
		!slices.Equal(h.Schedulers, p.Schedulers) || len(h.Capabilities) != len(p.Capabilities) || h.WorkerID != p.WorkerID ||
		h.WorkerPID != p.PID || !h.WorkerStartedAt.Equal(p.Started) || h.HostName != p.Host.Name || !h.HasFeature("retry_by_reference") {
		t.Errorf("hello %+v, want %+v", h, p)
	}
	for _, e := range h.Engines {
		if !h.Has(e, "submit_task") {
			t.Errorf("engine %s lacks submit_task", e)
		}
	}
}

// checkPayload compares the typed decoders with encoding/json.
func checkPayload(t *testing.T, env wire.Envelope, frame []byte) {
	t.Helper()
	var want struct {
		ID      string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(frame, &want); err != nil {
		t.Fatal(err)
	}
	if env.ID != want.ID || !bytes.Equal(env.Payload, want.Payload) {
		t.Errorf("envelope id %q", env.ID)
	}
	switch env.Type {
	case wire.TypeEventBatch:
		checkBatch(t, env.Payload)
	case wire.TypeHeartbeat:
		var p struct {
			Buffer int64             `json:"buffer_size"`
			Flush  *time.Time        `json:"last_flush_at"`
			Health map[string]string `json:"adapter_health"`
		}
		must(t, json.Unmarshal(env.Payload, &p))
		hb := wire.DecodeHeartbeat(env.Payload)
		if hb.BufferSize != p.Buffer || hb.TelemetryLoss == nil || len(hb.AdapterHealth) != len(p.Health) ||
			p.Flush != nil && !hb.LastFlushAt.Equal(*p.Flush) {
			t.Errorf("heartbeat %+v, want %+v", hb, p)
		}
		for k, v := range p.Health {
			if hb.AdapterHealth[k] != v {
				t.Errorf("health %s = %q, want %q", k, hb.AdapterHealth[k], v)
			}
		}
	case wire.TypeAgentStatus:
		var p struct {
			Age     float64 `json:"current_session_age_seconds"`
			Depth   int64   `json:"buffer_depth"`
			Engines []string
		}
		must(t, json.Unmarshal(env.Payload, &p))
		as := wire.DecodeAgentStatus(env.Payload)
		if as.CurrentSessionAge != p.Age || as.BufferDepth != p.Depth || as.AgentVersion != "1.13.0" || !slices.Equal(as.Engines, p.Engines) {
			t.Errorf("status %+v, want %+v", as, p)
		}
	case wire.TypeCommand:
		c := wire.DecodeCommand(env.Payload)
		var target struct{ Type, ID string }
		must(t, json.Unmarshal(c.Target, &target))
		if got := c.AppendPayload(nil); !bytes.Equal(got, env.Payload) {
			t.Errorf("command\n got %s\nwant %s", got, env.Payload)
		}
		if got := wire.AppendTarget(nil, target.Type, target.ID, c.Parameters); !bytes.Equal(got, c.Target) {
			t.Errorf("target\n got %s\nwant %s", got, c.Target)
		}
	case wire.TypeEventBatchAck:
		var p struct {
			Acked              string `json:"acked_id"`
			Received, Accepted int
		}
		must(t, json.Unmarshal(env.Payload, &p))
		ack := wire.EventBatchAck{AckedID: p.Acked, Received: p.Received, Accepted: p.Accepted}
		if got := ack.AppendPayload(nil); !bytes.Equal(got, env.Payload) || ack.FrameID() != env.ID {
			t.Errorf("ack %s %s, want %s %s", ack.FrameID(), got, env.ID, env.Payload)
		}
	case wire.TypeCommandResult:
		r, err := wire.DecodeCommandResult(env.Payload)
		var p struct {
			Status, Error string
			Token         string `json:"delivery_claim_token"`
		}
		must(t, json.Unmarshal(env.Payload, &p))
		if err != nil || r.Status != p.Status || r.Error != p.Error || r.DeliveryClaimToken != p.Token {
			t.Errorf("result %+v, want %+v", r, p)
		}
	case wire.TypeHelloAck:
		var p struct {
			Brain   string `json:"brain_version"`
			Agent   string `json:"agent_id"`
			Project string `json:"project_id"`
			Session string `json:"session_id"`
			Beat    int    `json:"heartbeat_interval_seconds"`
			Max     int    `json:"max_frame_size_bytes"`
		}
		must(t, json.Unmarshal(env.Payload, &p))
		got := wire.AppendHelloAck(nil, wire.HelloAck{
			ProtocolVersion: "2", BrainVersion: p.Brain, AgentID: p.Agent, ProjectID: p.Project, SessionID: p.Session,
			HeartbeatIntervalSeconds: p.Beat, MaxFrameSizeBytes: p.Max, TS: frameTime(t, string(frame)),
		})
		if !bytes.Equal(got, frame) {
			t.Errorf("hello_ack\n got %s\nwant %s", got, frame)
		}
	default:
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkBatch(t *testing.T, payload []byte) {
	t.Helper()
	var want struct {
		Events []struct {
			ID, Kind, Engine string
			TaskID           string    `json:"task_id"`
			OccurredAt       time.Time `json:"occurred_at"`
			Data             map[string]json.RawMessage
		}
	}
	must(t, json.Unmarshal(payload, &want))
	var dec wire.Decoder
	batch := dec.Events(payload)
	if len(batch.Events) != len(want.Events) || batch.Trimmed != 0 {
		t.Fatalf("%d events, want %d", len(batch.Events), len(want.Events))
	}
	for i, w := range want.Events {
		e := batch.Events[i]
		if !e.Usable() || e.ID != w.ID || e.Kind != w.Kind || e.Engine != w.Engine || e.TaskID != w.TaskID || !e.OccurredAt.Equal(w.OccurredAt) {
			t.Errorf("event %+v, want %+v", e, w)
		}
		got := dec.TaskData(e.Data)
		listed := map[string]string{
			"task_name": got.TaskName, "queue": got.Queue, "worker": got.Worker, "priority": got.Priority,
			"exception": got.Exception, "exception_message": got.ExceptionMessage, "traceback": got.Traceback,
			"parent_task_id": got.ParentTaskID, "root_task_id": got.RootTaskID,
		}
		for name, text := range listed {
			var s string
			if raw, ok := w.Data[name]; ok {
				must(t, json.Unmarshal(raw, &s))
			}
			if s != text {
				t.Errorf("data.%s = %q, want %q", name, text, s)
			}
		}
		for name, raw := range map[string][]byte{"args": got.Args, "kwargs": got.Kwargs, "result": got.Result, "tags": got.Tags} {
			if string(w.Data[name]) != string(raw) && string(w.Data[name]) != "null" {
				t.Errorf("data.%s = %s, want %s", name, raw, w.Data[name])
			}
		}
		for _, m := range got.Rest {
			name, _ := wire.StringOf(m.Name)
			if _, ok := listed[name]; ok || !bytes.Equal(w.Data[name], m.Value) {
				t.Errorf("rest %s = %s", m.Name, m.Value)
			}
		}
	}
}

func TestExternalSchedule(t *testing.T) {
	t.Parallel()
	var file struct {
		Body      json.RawMessage `json:"projection_body"`
		Canonical string          `json:"projection_canonical_text"`
		Digest    string          `json:"projection_digest"`
		Frames    []struct {
			Body   json.RawMessage
			Digest string `json:"frame_digest"`
		}
	}
	load(t, "external-schedule.json", &file)
	got, err := wire.Canonical(nil, file.Body)
	if err != nil || string(got) != file.Canonical {
		t.Errorf("projection: %v\n got %s\nwant %s", err, got, file.Canonical)
	}
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != file.Digest {
		t.Error("projection digest differs")
	}
	if len(file.Frames) == 0 {
		t.Fatal("no frames")
	}
	for i, f := range file.Frames {
		text, err := wire.Canonical(nil, f.Body)
		must(t, err)
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != f.Digest {
			t.Errorf("frame %d digest differs", i)
		}
	}
}
