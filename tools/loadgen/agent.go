// SPDX-License-Identifier: AGPL-3.0-or-later

// Package loadgen is a small agent of our own, for what real agents cannot be told to do: send at
// full speed, keep a book of every acknowledged event, run with a wrong clock, or break the rules.
// It speaks the protocol over real sockets with signed frames.
package loadgen

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
)

// Config says whom to connect to, as whom, and what to pretend.
type Config struct {
	// URL is the brain's http address.
	URL string
	// Token and HMACSecret are what minting the agent answered.
	Token      string
	HMACSecret string
	// WorkerID names the slot; empty is one legacy slot per agent.
	WorkerID string
	// ProtocolVersion and AgentVersion default to what the published agents send.
	ProtocolVersion string
	AgentVersion    string
	// Host is the agent's own name for where it runs; empty tells none.
	Host string
	// Passive is an agent that can do nothing but report.
	Passive bool
	// From is the local address to connect from; the zero value leaves it to the system.
	From netip.Addr
	// BufferPool, when set, lends write buffers, so that thousands of idle agents do not hold one each.
	BufferPool websocket.BufferPool
	// Skew is added to the clock that frames are stamped with.
	Skew time.Duration
}

// Agent is one connection. Sending and receiving may happen in two goroutines, one each.
type Agent struct {
	// AgentID, ProjectID and SessionID are the brain's words.
	AgentID, ProjectID, SessionID string

	conn     *websocket.Conn
	signer   *wire.Signer
	verifier *wire.Verifier
	skew     time.Duration
	frame    []byte
	payload  []byte
}

// features and capabilities of a published Celery agent.
var (
	features     = []string{"retry_by_reference", "external_schedule_protocol_v1"}
	capabilities = []string{
		"submit_task", "retry_task", "cancel_task", "bulk_retry", "purge_queue", "rate_limit", "restart_worker",
		"pool_grow", "pool_shrink", "add_consumer", "cancel_consumer", "retry_by_reference_v1",
	}
)

// CloseCode is the code in a connection's error, 0 when it is another error.
func CloseCode(err error) int {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return closed.Code
	}
	return 0
}

// Dial connects and shakes hands. When the brain closes instead of answering, CloseCode tells why.
func Dial(ctx context.Context, cfg Config) (*Agent, error) {
	secret, err := base64.URLEncoding.DecodeString(cfg.HMACSecret)
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("the agent secret is not 32 bytes of URL-safe base64: %w", err)
	}
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second, WriteBufferSize: 16 << 10, WriteBufferPool: cfg.BufferPool}
	if cfg.BufferPool != nil {
		dialer.ReadBufferSize = 1 << 10
	}
	if cfg.From.IsValid() {
		dialer.NetDialContext = (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(cfg.From, 0))}).DialContext
	}
	header := http.Header{"Authorization": {"Bearer " + cfg.Token}}
	conn, resp, err := dialer.DialContext(ctx, strings.Replace(cfg.URL, "http", "ws", 1)+"/ws/agent", header)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", cfg.URL, err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	a := &Agent{conn: conn, skew: cfg.Skew}
	if err := a.hello(cfg, [32]byte(secret)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) hello(cfg Config, key [32]byte) error {
	version, protocol := cfg.AgentVersion, cfg.ProtocolVersion
	if version == "" {
		version = "1.13.0"
	}
	if protocol == "" {
		protocol = "2"
	}
	payload := map[string]any{
		"protocol_version": protocol, "agent_version": version, "framework": "bare",
		"engines": []string{"celery"}, "schedulers": []string{},
		"capabilities": map[string][]string{"celery": capabilities}, "host": map[string]any{},
		"worker_role": nil, "worker_pid": os.Getpid(), "worker_started_at": time.Now().UTC(),
		"runtime_features": features,
	}
	if cfg.Passive {
		payload["capabilities"] = map[string][]string{"celery": {}}
	}
	if cfg.Host != "" {
		payload["host"] = map[string]any{"name": cfg.Host}
	}
	if cfg.WorkerID != "" {
		payload["worker_id"] = cfg.WorkerID
	}
	text, err := json.Marshal(map[string]any{
		"v": wire.Version, "id": "hello_" + hexID()[:16], "ts": nil, "type": "hello", "payload": payload,
	})
	if err != nil {
		return fmt.Errorf("encode hello: %w", err)
	}
	if err := a.conn.WriteMessage(websocket.BinaryMessage, text); err != nil {
		return fmt.Errorf("send hello: %w", err)
	}
	_ = a.conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	_, answer, err := a.conn.ReadMessage()
	if err != nil {
		return fmt.Errorf("wait for hello_ack: %w", err)
	}
	_ = a.conn.SetReadDeadline(time.Time{})
	var ack struct {
		Type    string `json:"type"`
		Payload struct {
			AgentID   string `json:"agent_id"`
			ProjectID string `json:"project_id"`
			SessionID string `json:"session_id"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil || ack.Type != "hello_ack" {
		return fmt.Errorf("the answer to hello is not a hello_ack: %q", answer)
	}
	a.AgentID, a.ProjectID, a.SessionID = ack.Payload.AgentID, ack.Payload.ProjectID, ack.Payload.SessionID
	session := wire.Session{Key: key, AgentID: a.AgentID, ProjectID: a.ProjectID, SessionID: a.SessionID}
	a.signer, a.verifier = wire.NewSigner(session), wire.NewVerifier(session)
	return nil
}

func hexID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// Event is one event to send.
type Event struct {
	ID     string
	Kind   string
	TaskID string
	At     time.Time
	Data   string // a JSON object
}

// StoredID is the id under which the brain keeps the event.
func (a *Agent) StoredID(e Event) string {
	return wire.EventID(a.ProjectID, "celery", e.TaskID, e.Kind, e.At.Unix()).String()
}

// Send writes one event_batch frame.
func (a *Agent) Send(id string, events ...Event) error {
	p := a.payload[:0]
	p = append(p, `{"events":[`...)
	for i, e := range events {
		if i > 0 {
			p = append(p, ',')
		}
		p = append(p, `{"id":"`...)
		p = append(p, e.ID...)
		p = append(p, `","kind":"`...)
		p = append(p, e.Kind...)
		p = append(p, `","engine":"celery","task_id":"`...)
		p = append(p, e.TaskID...)
		p = append(p, `","occurred_at":"`...)
		p = e.At.UTC().AppendFormat(p, "2006-01-02T15:04:05.000000+00:00")
		p = append(p, `","data":`...)
		p = append(p, e.Data...)
		p = append(p, '}')
	}
	p = append(p, `]}`...)
	a.payload = p
	return a.SendFrame(id, wire.TypeEventBatch, a.payload)
}

// SendFrame signs and writes any frame.
func (a *Agent) SendFrame(id string, kind wire.Type, payload []byte) error {
	frame, err := a.signer.Sign(a.frame[:0], id, kind, payload, time.Now().Add(a.skew))
	if err != nil {
		return fmt.Errorf("sign frame %s: %w", id, err)
	}
	a.frame = frame
	if err := a.conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		return fmt.Errorf("write frame %s: %w", id, err)
	}
	return nil
}

// SendForged writes an event_batch frame whose signature is that of another text.
func (a *Agent) SendForged(id string, payload []byte) error {
	frame, err := a.signer.Sign(a.frame[:0], id, wire.TypeEventBatch, payload, time.Now().Add(a.skew))
	if err != nil {
		return fmt.Errorf("sign frame %s: %w", id, err)
	}
	a.frame = frame
	const mark = `"hmac":"`
	at := bytes.LastIndex(frame, []byte(mark))
	if at < 0 {
		return errors.New("the frame holds no signature to spoil")
	}
	digit := &frame[at+len(mark)]
	if *digit == '0' {
		*digit = '1'
	} else {
		*digit = '0'
	}
	if err := a.conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		return fmt.Errorf("write frame %s: %w", id, err)
	}
	return nil
}

// Drain reads and forgets what the brain sends until the connection ends.
func (a *Agent) Drain() {
	for {
		_, r, err := a.conn.NextReader()
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return
		}
	}
}

// Receive returns the next frame. Its payload is valid until the next call.
func (a *Agent) Receive() (wire.Envelope, error) {
	_, text, err := a.conn.ReadMessage()
	if err != nil {
		return wire.Envelope{}, fmt.Errorf("read a frame: %w", err)
	}
	env, err := a.verifier.Verify(text)
	if err != nil {
		return wire.Envelope{}, fmt.Errorf("the brain sent a frame that does not verify: %w", err)
	}
	return env, nil
}

// ReceiveAck returns the next acknowledgement and passes over other frames.
func (a *Agent) ReceiveAck() (id string, accepted int64, err error) {
	for {
		env, err := a.Receive()
		if err != nil {
			return "", 0, err
		}
		if env.Type != wire.TypeEventBatchAck {
			continue
		}
		err = wire.ScanObject(env.Payload, func(key, value []byte) error {
			switch string(key) {
			case "acked_id":
				id, _ = wire.StringOf(value)
			case "accepted":
				accepted, _ = wire.IntOf(value)
			}
			return nil
		})
		if err != nil {
			return "", 0, fmt.Errorf("read an acknowledgement: %w", err)
		}
		return id, accepted, nil
	}
}

// Close drops the connection without a closing handshake, as a dying process does.
func (a *Agent) Close() { _ = a.conn.Close() }
