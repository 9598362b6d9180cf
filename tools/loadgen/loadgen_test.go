// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
)

var testKey = [32]byte{1, 2, 3}

// stub is the least that an agent takes for a brain: it verifies every frame and acknowledges it.
type stub struct {
	t     testing.TB
	mu    sync.Mutex
	kinds map[string]int
	close int // answer hello with this close code instead
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, text, err := conn.ReadMessage()
	if err != nil {
		return
	}
	if _, err := wire.ParseHello(text); err != nil {
		s.t.Errorf("hello: %v", err)
		return
	}
	if s.close != 0 {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(s.close, ""), time.Now().Add(time.Second))
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
	var out []byte
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		env, err := verifier.Verify(text)
		if err != nil {
			s.t.Errorf("verify: %v", err)
			return
		}
		batch := dec.Events(env.Payload)
		s.mu.Lock()
		for i := range batch.Events {
			s.kinds[batch.Events[i].Kind]++
		}
		s.mu.Unlock()
		out, err = signer.SignEventBatchAck(out[:0], wire.EventBatchAck{AckedID: env.ID, Received: len(batch.Events), Accepted: len(batch.Events)}, time.Now())
		if err != nil {
			s.t.Errorf("sign: %v", err)
			return
		}
		if err := conn.WriteMessage(websocket.BinaryMessage, out); err != nil {
			return
		}
	}
}

func serve(t testing.TB, s *stub) Config {
	t.Helper()
	s.t, s.kinds = t, map[string]int{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return Config{URL: server.URL, Token: "token", HMACSecret: base64.URLEncoding.EncodeToString(testKey[:])}
}

func TestRunBooksEveryAcknowledgement(t *testing.T) {
	t.Parallel()
	s := &stub{}
	cfg := serve(t, s)
	var mu sync.Mutex
	stored := map[string]bool{}
	got, err := Run(t.Context(), Load{
		Agents: []Config{cfg, cfg}, EventsPerFrame: 3, Window: 8, Frames: 100, Prefix: "t",
		OnAck: func(events []Event) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range events {
				stored[e.TaskID+e.Kind] = true
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Sent != 600 || got.Acked != 600 || len(stored) != 600 {
		t.Errorf("sent %d, acked %d, booked %d; want 600 of each", got.Sent, got.Acked, len(stored))
	}
	for _, kind := range kinds {
		if s.kinds[kind] != 200 {
			t.Errorf("%d events of kind %s, want 200", s.kinds[kind], kind)
		}
	}
}

func TestDialReportsCloseCode(t *testing.T) {
	t.Parallel()
	for _, code := range []int{4401, 4426} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			_, err := Dial(t.Context(), serve(t, &stub{close: code}))
			if got := CloseCode(err); got != code {
				t.Errorf("close code %d (%v), want %d", got, err, code)
			}
		})
	}
}

// BenchmarkRun is the speed of the generator itself, with a brain that stores nothing.
func BenchmarkRun(b *testing.B) {
	cfg := serve(b, &stub{})
	got, err := Run(b.Context(), Load{Agents: []Config{cfg}, Window: 256, Frames: b.N, Prefix: "b"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(got.PerSecond(), "events/s")
}

func TestRunKeepsTheRateAndTellsLatency(t *testing.T) {
	t.Parallel()
	cfg := serve(t, &stub{})
	var latency Latencies
	due := make(chan time.Time, 1000)
	got, err := Run(t.Context(), Load{
		Agents: []Config{cfg, cfg}, Window: 16, Rate: 200, For: time.Second, Prefix: "r", Latency: &latency,
		OnDue: func(at time.Time) { due <- at },
	})
	if err != nil {
		t.Fatal(err)
	}
	// What leaves late leaves nevertheless: the number follows from rate and time, not from the machine's load.
	if got.Sent != got.Acked || got.Sent < 150 || got.Sent > 202 {
		t.Errorf("sent %d, acked %d; want about 200 of each", got.Sent, got.Acked)
	}
	if latency.Count() != got.Acked || int64(len(due)) != got.Acked {
		t.Errorf("%d latencies and %d due times of %d frames", latency.Count(), len(due), got.Acked)
	}
}

func TestLatencies(t *testing.T) {
	t.Parallel()
	var l Latencies
	if l.Quantile(0.99) != 0 || l.Max() != 0 {
		t.Errorf("empty: %s, %s", l.Quantile(0.99), l.Max())
	}
	for i := 1; i <= 10_000; i++ {
		l.Add(time.Duration(i) * 100 * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := l.Quantile(q); got < want || got > want+want/16 {
			t.Errorf("quantile %v is %s, want %s and at most a sixteenth more", q, got, want)
		}
	}
	for us := range uint64(1 << 20) {
		b := bucketOf(us)
		if top := topOf(b); top < int64(us) || (b > 0 && topOf(b-1) >= int64(us)) {
			t.Fatalf("%d us is in bucket %d, which ends at %d", us, b, top)
		}
	}
}
