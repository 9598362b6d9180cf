// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/wire"
)

// clock is a settable clock.
type clock struct{ at time.Time }

func newClock() *clock                   { return &clock{at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }
func (c *clock) session() wire.Session {
	return wire.Session{Key: [32]byte{1}, AgentID: "agent", ProjectID: "project", SessionID: "session", Now: c.now}
}

func sign(t *testing.T, s *wire.Signer, kind wire.Type, payload string, at time.Time) []byte {
	t.Helper()
	frame, err := s.Sign(nil, "x", kind, []byte(payload), at)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func wireError(t *testing.T, err error) *wire.Error {
	t.Helper()
	var werr *wire.Error
	if !errors.As(err, &werr) {
		t.Fatalf("error %v (%T)", err, err)
	}
	return werr
}

// constantNonce hands out the same nonce again and again.
type constantNonce struct{ b byte }

func (c *constantNonce) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.b
	}
	return len(p), nil
}

func TestSkewIsReported(t *testing.T) {
	t.Parallel()
	c := newClock()
	signer, verifier := wire.NewSigner(c.session()), wire.NewVerifier(c.session())
	for _, skew := range []time.Duration{90 * time.Second, -90 * time.Second, 60*time.Second + time.Microsecond} {
		_, err := verifier.Verify(sign(t, signer, wire.TypeHeartbeat, `{}`, c.at.Add(-skew)))
		werr := wireError(t, err)
		if werr.Skew != skew || werr.CloseCode() != wire.CloseSignature || werr.Class != wire.ClassSignature {
			t.Errorf("skew %s: %+v", skew, werr)
		}
		if side := map[bool]string{true: "behind", false: "ahead"}[skew > 0]; !strings.Contains(err.Error(), side) {
			t.Errorf("skew %s: %s", skew, err)
		}
	}
	if _, err := verifier.Verify(sign(t, signer, wire.TypeHeartbeat, `{}`, c.at.Add(-60*time.Second))); err != nil {
		t.Errorf("exactly 60 s refused: %v", err)
	}
}

func TestNonceWindow(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := c.session()
	s.Random = &constantNonce{7}
	signer, verifier := wire.NewSigner(s), wire.NewVerifier(c.session())
	verify := func() error {
		_, err := verifier.Verify(sign(t, signer, wire.TypeHeartbeat, `{}`, c.at))
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	c.advance(wire.NonceWindow)
	if werr := wireError(t, verify()); werr.Field != "nonce" {
		t.Errorf("repeated within the window: %v", werr)
	}
	c.advance(time.Second)
	if err := verify(); err != nil {
		t.Errorf("repeated after the window: %v", err)
	}
}

func TestNoncesAreBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	source := &constantNonce{1}
	s := c.session()
	s.Random = source
	repeated := wire.NewSigner(s)
	fresh := wire.NewSigner(c.session())
	verifier := wire.NewVerifier(c.session())
	seq := int64(1)
	send := func(signer *wire.Signer) error {
		signer.SetNextSeq(seq)
		seq++
		_, err := verifier.Verify(sign(t, signer, wire.TypeHeartbeat, `{}`, c.at))
		return err
	}
	if err := send(repeated); err != nil {
		t.Fatal(err)
	}
	for range wire.MaxNonces - 1 {
		if err := send(fresh); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(repeated); err == nil {
		t.Fatal("the oldest of 4096 nonces was forgotten")
	}
	if err := send(fresh); err != nil {
		t.Fatal(err)
	}
	if err := send(repeated); err != nil {
		t.Errorf("the nonce 4096 frames ago is still remembered: %v", err)
	}
}

func TestStoredGuard(t *testing.T) {
	t.Parallel()
	c := newClock()
	signer := wire.NewSigner(c.session())
	var state wire.GuardState
	var frames [][]byte
	for range 100 {
		// Every frame is its own request, perhaps in another process.
		s := c.session()
		s.Guard = wire.NewStoredGuard(state)
		v := wire.NewVerifier(s)
		frame := sign(t, signer, wire.TypeHeartbeat, `{}`, c.at)
		frames = append(frames, frame)
		if _, err := v.Verify(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(frame); err == nil {
			t.Fatal("replay within a request")
		}
		raw, err := json.Marshal(v.Guard().State())
		if err != nil {
			t.Fatal(err)
		}
		state = wire.GuardState{}
		if err := json.Unmarshal(raw, &state); err != nil {
			t.Fatal(err)
		}
	}
	if state.LastSeq != 100 || len(state.Nonces) != wire.StoredNonces {
		t.Fatalf("state %d, %d nonces", state.LastSeq, len(state.Nonces))
	}
	for _, frame := range frames {
		s := c.session()
		s.Guard = wire.NewStoredGuard(state)
		if _, err := wire.NewVerifier(s).Verify(frame); err == nil {
			t.Fatal("replay in a later request")
		}
	}
	s := c.session()
	s.Guard = wire.NewStoredGuard(state)
	env, err := wire.NewVerifier(s).Verify(frames[0])
	if err == nil || env.ID != "" {
		t.Error("a refused frame returned content")
	}
}

func TestSemanticsComeAfterTheSignature(t *testing.T) {
	t.Parallel()
	c := newClock()
	const loss = `"buffer_id":"b","runtime_id":"r"`
	for _, tc := range []struct {
		name    string
		kind    wire.Type
		payload string
		field   string // "" means accepted
	}{
		{"result", wire.TypeCommandResult, `{"status":"success"}`, ""},
		{"result_without_status", wire.TypeCommandResult, `{}`, "payload.status"},
		{"last_status_counts", wire.TypeCommandResult, `{"status":"success","status":"timeout"}`, "payload.status"},
		{"loss_null", wire.TypeHeartbeat, `{"telemetry_loss":null}`, ""},
		{"loss", wire.TypeAgentStatus, `{"telemetry_loss":{` + loss + `,"event_records":9007199254740991}}`, ""},
		{"loss_negative", wire.TypeHeartbeat, `{"telemetry_loss":{` + loss + `,"event_records":-1}}`, "payload.telemetry_loss.event_records"},
		{"loss_float", wire.TypeHeartbeat, `{"telemetry_loss":{` + loss + `,"event_records":1.0}}`, "payload.telemetry_loss.event_records"},
		{"loss_too_big", wire.TypeHeartbeat, `{"telemetry_loss":{` + loss + `,"other_frames":9007199254740992}}`, "payload.telemetry_loss.other_frames"},
		{"loss_list", wire.TypeHeartbeat, `{"telemetry_loss":[]}`, "payload.telemetry_loss"},
		{"loss_no_ids", wire.TypeHeartbeat, `{"telemetry_loss":{}}`, "payload.telemetry_loss.buffer_id"},
		{"loss_adapters", wire.TypeHeartbeat, `{"telemetry_loss":{` + loss + `,"adapter_events":{"rq":"x"}}}`, "payload.telemetry_loss.adapter_events"},
		{"lenient_heartbeat", wire.TypeHeartbeat, `{"buffer_size":"x","adapter_health":5}`, ""},
		{"lenient_batch", wire.TypeEventBatch, `{"events":{}}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			signer, verifier := wire.NewSigner(c.session()), wire.NewVerifier(c.session())
			frame := sign(t, signer, tc.kind, tc.payload, c.at)
			_, err := verifier.Verify(frame)
			if tc.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if werr := wireError(t, err); werr.Class != wire.ClassProtocol || werr.Field != tc.field || werr.CloseCode() != 1011 {
				t.Errorf("%+v", werr)
			}
			if verifier.Guard().LastSeq() != 0 {
				t.Error("guard moved")
			}
			// The same content with a wrong signature is a signature error: the signature is judged first.
			other := c.session()
			other.SessionID = "another"
			if _, err := wire.NewVerifier(other).Verify(frame); wireError(t, err).Class != wire.ClassSignature {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestBindingsOverrideTheSender(t *testing.T) {
	t.Parallel()
	c := newClock()
	frame := sign(t, wire.NewSigner(c.session()), wire.TypeHeartbeat, `{}`, c.at)
	// Members of these names are replaced before signing, whatever the sender put there.
	forged := strings.Replace(string(frame), `{"v":2`, `{"session_id":"other","agent_id":1,"v":2`, 1)
	if _, err := wire.NewVerifier(c.session()).Verify([]byte(forged)); err != nil {
		t.Error(err)
	}
	s := c.session()
	s.SessionID = ""
	frame = sign(t, wire.NewSigner(s), wire.TypeHeartbeat, `{}`, c.at)
	if _, err := wire.NewVerifier(s).Verify(frame); err != nil {
		t.Errorf("empty session id: %v", err)
	}
	// Of two signatures the last counts.
	twice := strings.Replace(string(frame), `{"v":2`, `{"hmac":"x","v":2`, 1)
	if _, err := wire.NewVerifier(s).Verify([]byte(twice)); err != nil {
		t.Errorf("duplicate hmac: %v", err)
	}
}

func TestUnsignedTypesPassUntouched(t *testing.T) {
	t.Parallel()
	c := newClock()
	v := wire.NewVerifier(c.session())
	env, err := v.Verify([]byte(`{"v":2,"id":"hello_1","type":"hello","payload":{"x":1}}`))
	if err != nil || env.Type != wire.TypeHello || env.ID != "hello_1" || env.Seq != 0 || v.Guard().LastSeq() != 0 {
		t.Errorf("%+v, %v", env, err)
	}
	if _, err := v.Verify([]byte(`{"v":2,"id":"hello_1","type":"hello","payload":[]}`)); err == nil {
		t.Error("payload not checked")
	}
}

func TestEnvelopeErrors(t *testing.T) {
	t.Parallel()
	c := newClock()
	for frame, want := range map[string]struct {
		class wire.Class
		field string
	}{
		`[]`:                            {wire.ClassProtocol, ""},
		`"x"`:                           {wire.ClassProtocol, ""},
		`{} {}`:                         {wire.ClassProtocol, ""},
		`{}`:                            {wire.ClassProtocol, "v"},
		`{"v":2.0,"type":"heartbeat"}`:  {wire.ClassProtocol, "v"},
		`{"v":true,"type":"heartbeat"}`: {wire.ClassProtocol, "v"},
		`{"v":1,"type":"heartbeat"}`:    {wire.ClassVersion, "v"},
		`{"v":99999999999999999999}`:    {wire.ClassVersion, "v"},
		`{"v":2}`:                       {wire.ClassProtocol, "type"},
		`{"v":2,"type":5}`:              {wire.ClassProtocol, "type"},
		`{"v":2,"type":"Heartbeat"}`:    {wire.ClassProtocol, "type"},
		`{"v":2,"type":"heartbeat","payload":"x"}`:  {wire.ClassProtocol, "payload"},
		`{"v":2,"type":"heartbeat","payload":null}`: {wire.ClassSignature, "hmac"},
		`{"v":2,"type":"heartbeat","hmac":5}`:       {wire.ClassSignature, "hmac"},
	} {
		_, err := wire.NewVerifier(c.session()).Verify([]byte(frame))
		if werr := wireError(t, err); werr.Class != want.class || werr.Field != want.field {
			t.Errorf("%s: %+v", frame, werr)
		}
	}
}

func TestSignRefusesWhatIsNoPayload(t *testing.T) {
	t.Parallel()
	c := newClock()
	signer := wire.NewSigner(c.session())
	for _, payload := range []string{"", "[]", "{", `{},"v":3`, `{} `, `{"a":NaN}`, `{"a":1}}`} {
		if out, err := signer.Sign([]byte("kept"), "x", wire.TypeCommand, []byte(payload), c.at); err == nil || string(out) != "kept" {
			t.Errorf("%q signed: %s", payload, out)
		}
	}
	if _, err := signer.Sign(nil, "x", wire.TypeHello, []byte("{}"), c.at); err == nil {
		t.Error("hello signed")
	}
	if signer.NextSeq() != 1 {
		t.Errorf("a refused frame used up a number: %d", signer.NextSeq())
	}
}

const goodHello = `"protocol_version":"2","agent_version":"1.13.0","framework":"bare"`

func TestHelloIsStrict(t *testing.T) {
	t.Parallel()
	hello := func(payload string) string {
		return `{"v":2,"id":"hello_1","ts":null,"type":"hello","payload":{` + payload + `}}`
	}
	many := `["` + strings.Repeat(`x","`, 64) + `x"]`
	for _, tc := range []struct{ name, frame, field string }{
		{"minimal", hello(goodHello), ""},
		{"unknown_member", hello(goodHello + `,"new":{"x":1}`), ""},
		{"nulls", hello(goodHello + `,"worker_id":null,"worker_role":null,"worker_pid":null,"worker_started_at":null`), ""},
		{"other_version", hello(strings.Replace(goodHello, `"2"`, `"3"`, 1)), ""},
		{"not_json", `hello`, ""},
		{"heartbeat", `{"v":2,"id":"x","type":"heartbeat","payload":{}}`, "type"},
		{"v3", strings.Replace(hello(goodHello), `"v":2`, `"v":3`, 1), "v"},
		{"no_id", strings.Replace(hello(goodHello), `"id":"hello_1",`, ``, 1), "id"},
		{"long_id", strings.Replace(hello(goodHello), `hello_1`, strings.Repeat("x", 65), 1), "id"},
		{"ts", strings.Replace(hello(goodHello), `"ts":null`, `"ts":"x"`, 1), "ts"},
		{"no_payload", `{"v":2,"id":"x","type":"hello"}`, "payload"},
		{"no_protocol", hello(`"agent_version":"1","framework":"bare"`), "payload.protocol_version"},
		{"protocol_int", hello(strings.Replace(goodHello, `"2"`, `2`, 1)), "payload.protocol_version"},
		{"long_framework", hello(strings.Replace(goodHello, `bare`, strings.Repeat("x", 41), 1)), "payload.framework"},
		{"engines_string", hello(goodHello + `,"engines":"celery"`), "payload.engines"},
		{"engines_numbers", hello(goodHello + `,"engines":["rq",1]`), "payload.engines[1]"},
		{"too_many_engines", hello(goodHello + `,"engines":` + many), "payload.engines"},
		{"capabilities", hello(goodHello + `,"capabilities":{"rq":5}`), "payload.capabilities.rq"},
		{"host", hello(goodHello + `,"host":"x"`), "payload.host"},
		{"worker_id", hello(goodHello + `,"worker_id":"` + strings.Repeat("x", 129) + `"`), "payload.worker_id"},
		{"worker_pid", hello(goodHello + `,"worker_pid":2147483648`), "payload.worker_pid"},
		{"worker_started_at", hello(goodHello + `,"worker_started_at":"x"`), "payload.worker_started_at"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h, err := wire.ParseHello([]byte(tc.frame))
			if tc.name == "not_json" {
				if err == nil {
					t.Fatal("accepted")
				}
				return
			}
			if tc.field == "" {
				if err != nil || h.AgentVersion != "1.13.0" || h.WorkerPID != -1 || string(h.Host) != "{}" {
					t.Fatalf("%+v, %v", h, err)
				}
				return
			}
			if werr := wireError(t, err); werr.Field != tc.field {
				t.Errorf("field %q, want %q (%v)", werr.Field, tc.field, err)
			}
		})
	}
}

func TestEventsAreLenient(t *testing.T) {
	t.Parallel()
	var dec wire.Decoder
	for _, payload := range []string{``, `{}`, `{"events":null}`, `{"events":"x"}`, `{"events":{}}`, `{"events":[]}`, `{"events":[1],"events":5}`} {
		if b := dec.Events([]byte(payload)); len(b.Events) != 0 {
			t.Errorf("%s: %d events", payload, len(b.Events))
		}
	}
	b := dec.Events([]byte(`{"events":[1,null,"x",[],{},{"kind":"task.sent"},{"engine":"rq","kind":"k","id":5,"task_id":null,"occurred_at":"soon","data":[]},` +
		`{"\u0065ngine":"rq","kind":"a","kind":"b","occurred_at":"2026-11-23T12:00:00"}]}`))
	var usable strings.Builder
	for _, e := range b.Events {
		fmt.Fprint(&usable, e.Usable(), " ")
	}
	if usable.String() != "false false false false false false true true " {
		t.Errorf("usable: %s", usable.String())
	}
	if e := b.Events[6]; e.ID != "" || e.TaskID != "" || !e.OccurredAt.IsZero() || e.Data != nil {
		t.Errorf("%+v", e)
	}
	if e := b.Events[7]; e.Engine != "rq" || e.Kind != "b" || e.OccurredAt.Hour() != 12 {
		t.Errorf("%+v", e)
	}
	many := dec.Events([]byte(`{"events":[` + strings.Repeat(`{},`, wire.MaxEvents+6) + `{}]}`))
	if len(many.Events) != wire.MaxEvents || many.Trimmed != 7 {
		t.Errorf("%d events, %d trimmed", len(many.Events), many.Trimmed)
	}
}

func TestTaskData(t *testing.T) {
	t.Parallel()
	var dec wire.Decoder
	d := dec.TaskData([]byte(`{ "reason": "x", "task_name":"n","queu\u0065":"q","worker":null,"args":[1, 2],"kwargs":null,"result":{"a":1},` +
		`"runtime_ms":7,"exception":"E","exception_message":5,"retry_count":2,"tags":["t"],"eta":"2026-11-23T12:00:00Z","p\u00fc":{"x" : 1}}`))
	if d.TaskName != "n" || d.Queue != "q" || d.Worker != "" || string(d.Args) != "[1, 2]" || d.Kwargs != nil || string(d.Result) != `{"a":1}` ||
		!d.HasRuntime || d.RuntimeMS != 7 || d.Exception != "E" || d.ExceptionMessage != "" || d.RetryCount != 2 ||
		string(d.Tags) != `["t"]` || d.ETA.IsZero() {
		t.Errorf("%+v", d)
	}
	if rest := string(d.AppendRest(nil)); rest != `{"reason":"x","exception_message":5,"pü":{"x" : 1}}` {
		t.Errorf("rest %s", rest)
	}
	if d = dec.TaskData([]byte(`{"queue":"a","queue":5,"runtime_ms":null}`)); d.Queue != "" || d.HasRuntime || string(d.AppendRest(nil)) != `{"queue":5}` {
		t.Errorf("%+v", d)
	}
	if d = dec.TaskData(nil); d.AppendRest(nil) != nil {
		t.Error("rest of nothing")
	}
}

func TestNamesAreShared(t *testing.T) {
	var dec wire.Decoder
	raw := []byte(`{"task_name":"shop.tasks.send","queue":"celery","worker":"w1@host","args":[1],"runtime_ms":1.5}`)
	dec.TaskData(raw)
	if n := testing.AllocsPerRun(100, func() { dec.TaskData(raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for i := range 2000 {
		if d := dec.TaskData(fmt.Appendf(nil, `{"queue":"q%d"}`, i)); d.Queue != fmt.Sprintf("q%d", i) {
			t.Fatal("wrong name after the table was full")
		}
	}
}

func TestOutbound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 64)
	if id := (wire.EventBatchAck{AckedID: long}).FrameID(); id != "eba_"+long[:120] {
		t.Errorf("ack id %q", id)
	}
	if got := string(wire.Command{Action: "schedule.resync", TimeoutSeconds: 60}.AppendPayload(nil)); got !=
		`{"action":"schedule.resync","target":{},"parameters":{},"timeout_seconds":60,"issued_by":null,"delivery_claim_token":null}` {
		t.Error(got)
	}
	for in, want := range map[string]string{
		`{"engine":"rq","filter":{"engine":"celery"}}`: `{"type":"bulk","id":null,"engine":"celery"}`,
		`{"engine":"rq","filter":{}}`:                  `{"type":"bulk","id":null}`,
		`{"engine":"rq","filter":null}`:                `{"type":"bulk","id":null,"engine":"rq"}`,
		`{"scheduler":"s","engine":null}`:              `{"type":"bulk","id":null,"scheduler":"s"}`,
		``:                                             `{"type":"bulk","id":null}`,
	} {
		if got := string(wire.AppendTarget(nil, "bulk", "", []byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	c := newClock()
	frame, err := wire.NewSigner(c.session()).SignError(nil, "err_"+long, wire.ErrorFrame{Code: "c", Message: strings.Repeat("m", 9000), Fatal: true}, c.at)
	if err != nil {
		t.Fatal(err)
	}
	env, err := wire.NewVerifier(c.session()).Verify(frame)
	if err != nil {
		t.Fatal(err)
	}
	if e := wire.DecodeErrorFrame(env.Payload); e.Code != "c" || len(e.Message) != wire.MaxErrorText || !e.Fatal {
		t.Errorf("%+v", e)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for k := wire.TypeHello; k <= wire.TypeError; k++ {
		if wire.ParseType(k.String()) != k {
			t.Errorf("type %s", k)
		}
	}
	if wire.ParseType("unknown") != wire.TypeUnknown || wire.TypeCommand.FromAgent() || wire.TypeHeartbeat.FromBrain() ||
		wire.TypeHello.Signed() || wire.TypeHello.FromAgent() || !wire.TypeError.FromBrain() || !wire.TypeError.FromAgent() {
		t.Error("directions")
	}
}

func TestVerifyReturnsWindows(t *testing.T) {
	t.Parallel()
	c := newClock()
	frame := sign(t, wire.NewSigner(c.session()), wire.TypeEventBatch, `{"events":[{"id":"i","kind":"k","engine":"e","data":{"a":1}}]}`, c.at)
	env, err := wire.NewVerifier(c.session()).Verify(frame)
	if err != nil {
		t.Fatal(err)
	}
	var dec wire.Decoder
	data := dec.Events(env.Payload).Events[0].Data
	frame[strings.Index(string(frame), `"a":1`)+4] = '2'
	if string(data) != `{"a":2}` {
		t.Errorf("data is a copy: %s", data)
	}
}

// A nonce is refused for as long as the window lasts, however many others there are: few are looked through one by one, many
// are in a set, and a set that is mostly forgotten goes.
func TestNoncesAreRememberedInAnyNumber(t *testing.T) {
	t.Parallel()
	c := newClock()
	verifier := wire.NewVerifier(c.session())
	seq := int64(1)
	send := func(signer *wire.Signer) error {
		signer.SetNextSeq(seq)
		seq++
		_, err := verifier.Verify(sign(t, signer, wire.TypeHeartbeat, `{}`, c.at))
		return err
	}
	signers := make([]*wire.Signer, 200)
	for i := range signers {
		s := c.session()
		s.Random = &constantNonce{byte(i)}
		signers[i] = wire.NewSigner(s)
	}
	// Twice: what was forgotten is taken again, and then remembered.
	for round := range 2 {
		for i, signer := range signers {
			if err := send(signer); err != nil {
				t.Fatalf("round %d, nonce %d: %v", round, i, err)
			}
			for _, before := range []int{0, i / 2, i} {
				if send(signers[before]) == nil {
					t.Fatalf("round %d: nonce %d was taken again when %d were known", round, before, i+1)
				}
			}
		}
		// All but the last hundred milliseconds' worth expire, then the rest.
		c.advance(wire.NonceWindow + time.Second)
		if err := send(signers[5]); err != nil {
			t.Fatal(err)
		}
		if send(signers[5]) == nil {
			t.Fatal("a nonce was taken again after the others were forgotten")
		}
		c.advance(wire.NonceWindow + time.Second)
	}
}
