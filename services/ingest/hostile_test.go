// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest"
)

// neighbour is a well-behaved agent; it measures how long its acks take while others misbehave.
type neighbour struct {
	p     *peer
	worst time.Duration
	n     int
}

func (b *brain) neighbour() *neighbour {
	return &neighbour{p: b.connect(b.newAgent("neighbour"), "bare-9-9")}
}

// work sends events until done is closed.
func (n *neighbour) work(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		began := time.Now()
		n.n++
		n.p.ackOf(fmt.Sprintf("ev_n%d", n.n), batch(event("task.started", fmt.Sprintf("n-%d", n.n), began, map[string]any{"task_name": "n"})))
		n.worst = max(n.worst, time.Since(began))
	}
}

// during runs the attack while the neighbour works, and checks that the neighbour hardly notices.
func (b *brain) during(attack func()) {
	b.t.Helper()
	n := b.neighbour()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { n.work(done) })
	attack()
	close(done)
	wg.Wait()
	if n.n == 0 || n.worst > 3*time.Second {
		b.t.Errorf("the neighbour got %d acks, the slowest after %s", n.n, n.worst)
	}
	b.t.Logf("the neighbour got %d acks, the slowest after %s", n.n, n.worst)
}

func TestPoisonJSONStallsNobody(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("poison")
	b.during(func() {
		p := b.connect(c, "bare-1-1")
		now := time.Now()
		deep := strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50)
		for i, data := range []string{
			`{"task_name":"nul\u0000name","queue":"q\u0000","result":"\u0000","kwargs":{"k\u0000":1}}`,
			`{"args":` + deep + `}`,
			`{"result":123456789012345678901234567890,"runtime_ms":1e308,"retry_count":-5}`,
			`{"task_name":5,"queue":[],"worker":{},"exception":7,"tags":{"a":1}}`,
			`{"task_name":"` + strings.Repeat("x", 5000) + `","queue":"` + strings.Repeat("q", 5000) + `"}`,
			`[]`, `"text"`, `null`,
		} {
			id := fmt.Sprintf("ev_p%d", i)
			ack := p.ackOf(id, fmt.Sprintf(`{"events":[{"id":"x","kind":"task.succeeded","engine":"celery","task_id":"p-%d","occurred_at":"%s","data":%s}]}`,
				i, now.UTC().Format(time.RFC3339Nano), data))
			if ack["received"] != 1.0 || ack["accepted"] != 1.0 {
				t.Errorf("poison %d is acked with %v", i, ack)
			}
		}
	})
}

func TestAgentThatNeverReadsIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("deaf")
	b.during(func() {
		dialer := &websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(4096)
			}
			return conn, err
		}}
		p := b.dial(c.token, dialer)
		p.send(hello("bare-1-1"))
		p.welcome(c)
		_ = p.ws.SetWriteDeadline(time.Now().Add(4 * patience))
		for i := 0; ; i++ {
			frame := p.sign(fmt.Sprintf("ev_%059d", i), wire.TypeEventBatch, `{"events":[]}`)
			if err := p.ws.WriteMessage(websocket.BinaryMessage, frame); err != nil {
				var ne net.Error
				if errors.As(err, &ne) && ne.Timeout() {
					t.Fatal("the connection of an agent that never reads stays open")
				}
				t.Logf("cut off after %d unread acks: %v", i, err)
				break
			}
			if i > 2_000_000 {
				t.Fatal("two million unread acks and still connected")
			}
		}
	})
	eventually(t, "the cause is logged", func() bool {
		return strings.Contains(b.log.String(), "does not read") || strings.Contains(b.log.String(), "i/o timeout")
	})
}

const bombBytes = 400 << 20

// heapGrowth runs f and returns by how much memory in use grew at most.
func heapGrowth(f func()) uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak := m.HeapInuse, uint64(0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	})
	f()
	close(done)
	wg.Wait()
	if peak < before {
		return 0
	}
	return peak - before
}

func TestDeflateBombWithCompressionOn(t *testing.T) {
	b := newBrain(t, func(c *ingest.Config) { c.Compression = true })
	c := b.newAgent("bomber")
	b.during(func() {
		grown := heapGrowth(func() {
			p := b.dial(c.token, &websocket.Dialer{EnableCompression: true})
			p.send(hello("bare-1-1"))
			p.welcome(c)
			p.wantOpen()
			w, err := p.ws.NextWriter(websocket.BinaryMessage)
			if err != nil {
				t.Fatal(err)
			}
			chunk := make([]byte, 1<<20)
			for range bombBytes >> 20 {
				if _, err := w.Write(chunk); err != nil {
					break // refused before its end: even better
				}
			}
			_ = w.Close()
			p.wantClose(4400)
		})
		if grown > 100<<20 {
			t.Errorf("memory grew by %d MiB", grown>>20)
		}
	})
}

func TestDeflateBombWithCompressionOff(t *testing.T) {
	b := newBrain(t)
	c := b.newAgent("bomber")
	b.during(func() {
		p := b.dial(c.token, &websocket.Dialer{EnableCompression: true})
		p.send(hello("bare-1-1"))
		p.welcome(c)
		// Compression was not agreed on: a compressed frame breaks the WebSocket protocol.
		var frame bytes.Buffer
		frame.Write([]byte{0xC2, 0x80 | 127})
		_ = binary.Write(&frame, binary.BigEndian, uint64(1<<20))
		frame.Write([]byte{0, 0, 0, 0})
		if _, err := p.ws.NetConn().Write(frame.Bytes()); err != nil {
			t.Fatal(err)
		}
		p.wantClose(websocket.CloseProtocolError)

		// The same size without compression is refused at the frame limit.
		p = b.connect(c, "bare-1-1")
		w, err := p.ws.NextWriter(websocket.BinaryMessage)
		if err != nil {
			t.Fatal(err)
		}
		chunk := make([]byte, 1<<20)
		var sent int
		for range bombBytes >> 20 {
			if _, err := w.Write(chunk); err != nil {
				break
			}
			sent++
		}
		if sent > 64 {
			t.Errorf("%d MiB of one frame were read before the connection was closed", sent)
		}
	})
}

func TestWrongSignaturesAtFullSpeed(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	b.during(func() {
		c := b.newAgent("forger")
		codes := map[int]int{}
		began := time.Now()
		for range 62 {
			p := b.dial(c.token)
			p.send(hello("bare-1-1"))
			if _, err := p.read(patience); err == nil {
				p.send([]byte(`{"v":2,"id":"hb_1","ts":"2026-01-01T00:00:00Z","nonce":"n","seq":1,"hmac":"00","type":"heartbeat","payload":{}}`))
				code, _ := p.closeCode()
				codes[code]++
			} else {
				var ce *websocket.CloseError
				if !errors.As(err, &ce) {
					t.Fatal(err)
				}
				codes[ce.Code]++
			}
			_ = p.ws.Close()
		}
		if codes[4403] != 60 || codes[4429] != 2 {
			t.Errorf("close codes %v, want 60 times 4403, then 4429", codes)
		}
		if took := time.Since(began); took < 4*time.Second {
			t.Errorf("the forger was told twice to wait within %s: he can come back as fast as he likes", took)
		}
	})
	// Other agents behind the same address still get in.
	b.connect(b.newAgent("honest"), "bare-1-1").wantOpen()
}

func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("deep")
	b.during(func() {
		for _, deep := range []string{strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)} {
			p := b.connect(c, "bare-1-1")
			p.send([]byte(`{"v":2,"id":"x","type":"heartbeat","payload":{"a":` + deep + `}}`))
			p.wantClose(1011)
		}
	})
}

func TestSlowHandshakeIsEnded(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingest.Config) { c.HandshakeTimeout = 200 * time.Millisecond })
	p := b.dial(b.newAgent("slow").token)
	p.wantClose(4408)
	if !strings.Contains(b.log.String(), "no hello in time") {
		t.Error("the log does not say so")
	}
}

func TestSilentAgentIsClosed(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingest.Config) { c.IdleTimeout = 200 * time.Millisecond })
	b.connect(b.newAgent("silent"), "bare-1-1").wantClose(4408)
}

func TestPingsBothWays(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingest.Config) { c.PingInterval, c.IdleTimeout = 50*time.Millisecond, time.Second })
	p := b.connect(b.newAgent("pinged"), "bare-1-1")
	pongs := make(chan string, 1)
	p.ws.SetPongHandler(func(data string) error {
		select {
		case pongs <- data:
		default:
		}
		return nil
	})
	if err := p.ws.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	// Pings keep nobody from being idle.
	p.wantClose(4408)
	if len(p.pings) == 0 || len(pongs) == 0 || <-pongs != "hello" {
		t.Errorf("%d pings, %d pongs received", len(p.pings), len(pongs))
	}
}

func TestFailedHandshakesOfOneAddressAreThrottled(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	from := func(ip string) *websocket.Dialer {
		return &websocket.Dialer{NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext}
	}
	c := b.newAgent("good")
	// Good connections do not count.
	for range 5 {
		b.connect(c, "bare-1-1").wantOpen()
	}
	for range 600 {
		p := b.dial("wrong", from("127.0.0.7"))
		p.wantClose(4401)
		_ = p.ws.Close()
	}
	code, reason := b.dial(c.token, from("127.0.0.7")).closeCode()
	if code != 4429 || reason == "" {
		t.Errorf("closed with %d %q, want 4429 and a reason", code, reason)
	}
	p := b.dial(c.token, from("127.0.0.8"))
	p.send(hello("bare-1-1"))
	p.welcome(c)
	p.wantOpen()
}

func TestAddressNotAllowed(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingest.Config) { c.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	b.dial(b.newAgent("far").token).wantClose(4403)
}

func TestWorkerCap(t *testing.T) {
	t.Parallel()
	b := newBrain(t, func(c *ingest.Config) { c.SlotCap = 2 })
	c := b.newAgent("fleet")
	b.connect(c, "bare-1-1")
	two := b.connect(c, "bare-2-2")
	p := b.dial(c.token)
	p.send(hello("bare-3-3"))
	if code, reason := p.closeCode(); code != 4429 || reason == "" {
		t.Errorf("closed with %d %q, want 4429 and a reason", code, reason)
	}
	// A slot that is taken over does not count twice, and a freed one is free.
	b.connect(c, "bare-1-1").wantOpen()
	_ = two.ws.Close()
	eventually(t, "the slot is free again", func() bool {
		p := b.dial(c.token)
		p.send(hello("bare-3-3"))
		_, err := p.read(patience)
		return err == nil
	})
}

func TestClockSkewIsLoggedWithNameAndSeconds(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	c := b.newAgent("late-worker")
	p := b.connect(c, "bare-1-1")
	p.send(handSigned(t, p.session, tweak{seq: 1, nonce: "n", ts: time.Now().Add(-90 * time.Second)}))
	p.wantClose(4403)
	for line := range strings.SplitSeq(b.log.String(), "\n") {
		if strings.Contains(line, "late-worker") && strings.Contains(line, c.ref.UID.String()) &&
			strings.Contains(line, "skew_seconds=90") && strings.Contains(line, "NTP") {
			return
		}
	}
	t.Errorf("no line names the agent, the skew and the remedy:\n%s", b.log)
}

func TestRefusalsAreCountedForTheAudit(t *testing.T) {
	t.Parallel()
	b := newBrain(t)
	for range 7 {
		b.dial("nobody's token").wantClose(4401)
	}
	b.stop()
	var rows []store.AuditRefusal
	err := b.store.InTx(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		var err error
		rows, err = tx.ClosedAuditRefusals(ctx, time.Now().Add(time.Hour), 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, r := range rows {
		n += r.N
		if r.Action != "agent.auth.bearer_failed" || r.SourceIP != "127.0.0.1" {
			t.Errorf("row %+v", r)
		}
	}
	// One row, two when the minute turned meanwhile.
	if n != 7 || len(rows) > 2 {
		t.Errorf("%d refusals in %d rows", n, len(rows))
	}
}
