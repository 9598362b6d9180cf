// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/decode"
	"github.com/z4jdev/z4j/services/ingest/internal/intake"
	"github.com/z4jdev/z4j/services/ingest/internal/throttle"
)

var (
	errOversize = errors.New("the message is larger than the advertised maximum")
	errEmpty    = errors.New("the message is empty")
)

// Conn is one admitted agent connection. Its reader goroutine owns verifier and decoder; signer belongs to
// the outbox's writer.
type Conn struct {
	srv  *Server
	ws   *websocket.Conn
	conn *gatherConn
	log  *slog.Logger

	ref       store.AgentRef
	name      string
	project   string
	workerID  string
	slot      store.Slot
	sessionID string
	contracts []string

	verifier *wire.Verifier
	signer   *wire.Signer
	decoder  decode.Decoder
	queue    intake.Queue
	out      outbox

	// pending counts submitted entries that are not settled yet.
	pending atomic.Int64
	// draining makes the reader drop what still arrives; closing says that a close frame is on its way.
	draining, closing atomic.Bool
	lastPing          atomic.Int64
	status            statusBudget
	gone              chan struct{}

	endOnce sync.Once
	endMu   sync.Mutex
	endCode int
	endWhy  error
}

// Agent implements hub.Slot.
func (c *Conn) Agent() store.AgentRef { return c.ref }

// WorkerID implements hub.Slot.
func (c *Conn) WorkerID() string { return c.workerID }

// Generation implements hub.Slot.
func (c *Conn) Generation() int64 { return c.slot.Generation }

// Contracts implements hub.Slot.
func (c *Conn) Contracts() []string { return c.contracts }

// Close implements hub.Slot: what waits in the outbox is still written, then the close frame.
func (c *Conn) Close(code int, reason string) {
	if !c.closing.CompareAndSwap(false, true) {
		return
	}
	c.ended(code, nil)
	c.conn.ending.Store(true)
	// The reader ends with the peer's answer, or with this deadline.
	_ = c.ws.SetReadDeadline(time.Now().Add(c.srv.cfg.CloseTimeout))
	_ = c.push(out{kind: outClose, code: code, reason: reason})
}

// cut ends the connection without a close frame.
func (c *Conn) cut(why error) {
	c.closing.Store(true)
	c.ended(0, why)
	_ = c.ws.NetConn().Close()
}

// ended notes why the connection ends; the first reason counts.
func (c *Conn) ended(code int, why error) {
	c.endOnce.Do(func() {
		c.endMu.Lock()
		c.endCode, c.endWhy = code, why
		c.endMu.Unlock()
	})
}

// run reads until the connection ends.
func (c *Conn) run(ctx context.Context) {
	for !c.closing.Load() {
		if !c.readOne(ctx) {
			break
		}
	}
	c.drain()
}

// readOne handles one message; false ends the loop.
func (c *Conn) readOne(ctx context.Context) bool {
	_ = c.ws.SetReadDeadline(time.Now().Add(c.srv.cfg.IdleTimeout))
	if c.closing.Load() {
		_ = c.ws.SetReadDeadline(time.Now().Add(c.srv.cfg.CloseTimeout))
	}
	_, r, err := c.ws.NextReader()
	if err != nil {
		c.readFailed(err)
		return false
	}
	buf := c.srv.frames.Get()
	frame, err := readAll(r, buf, c.srv.cfg.MaxFrameBytes)
	defer func() { c.srv.frames.Put(frame) }()
	switch {
	case errors.Is(err, errOversize), errors.Is(err, errEmpty):
		c.log.Warn("agent connection closed: bad frame", "err", err, "max_bytes", c.srv.cfg.MaxFrameBytes)
		c.Close(CloseBadFrame, "")
		return true
	case err != nil:
		c.readFailed(err)
		return false
	}
	if c.draining.Load() || c.closing.Load() {
		return true
	}
	c.srv.metrics.bytesIn.Add(float64(len(frame)))
	if err := c.handle(ctx, frame); err != nil {
		c.handleFailed(err)
	}
	return true
}

// readAll reads a message of at most limit bytes. The limit holds for what comes out of a decompressor too.
func readAll(r io.Reader, buf []byte, limit int) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return buf, errOversize
		}
		if errors.Is(err, io.EOF) {
			if len(buf) == 0 {
				return buf, errEmpty
			}
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

func (c *Conn) readFailed(err error) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !c.closing.Load() {
		c.log.Info("agent connection closed: nothing received", "idle_seconds", c.srv.cfg.IdleTimeout.Seconds())
		c.Close(CloseIdle, "")
		return
	}
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		c.ended(closed.Code, nil)
		return
	}
	c.ended(0, err)
}

// handleFailed closes the connection with the code the fault stands for and says so in one line.
func (c *Conn) handleFailed(err error) {
	var fault *wire.Error
	if !errors.As(err, &fault) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, errClosed) && !errors.Is(err, errSlowReader) {
			c.log.Error("agent connection closed: internal error", "err", err)
		}
		c.Close(CloseInternal, "")
		return
	}
	c.srv.metrics.frameErrors.WithLabelValues(fault.Class.String()).Inc()
	switch {
	case fault.Skew != 0:
		skew := fault.Skew.Seconds()
		c.log.Warn("agent connection closed: its clock is off; synchronise the clocks of both machines (NTP)",
			"reason", "clock skew", "skew_seconds", int64(skew), "allowed_seconds", int64(wire.MaxSkew.Seconds()))
	case fault.Class == wire.ClassSignature:
		c.log.Warn("agent connection closed: frame not authenticated; check that Z4J_HMAC_SECRET is the one shown when the agent was created",
			"reason", fault.Error())
	default:
		c.log.Warn("agent connection closed: malformed frame", "reason", fault.Error())
	}
	if fault.Class == wire.ClassSignature {
		c.srv.agentFailures.Add(throttle.AgentKey(c.ref.ID))
	}
	c.Close(fault.CloseCode(), "")
}

// drain reads on after our close frame until the peer answers, so that the frame is not lost to a reset.
func (c *Conn) drain() {
	if !c.closing.Load() {
		return
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(c.srv.cfg.CloseTimeout))
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				// After a read time-out the WebSocket layer reads no more; the socket itself may.
				conn := c.ws.NetConn()
				_ = conn.SetReadDeadline(time.Now().Add(c.srv.cfg.CloseTimeout))
				_, _ = io.Copy(io.Discard, conn)
			}
			return
		}
	}
}

// handle verifies one frame and passes it on.
func (c *Conn) handle(ctx context.Context, frame []byte) error {
	env, err := c.verifier.Verify(frame)
	if err != nil {
		return err
	}
	c.srv.metrics.framesIn.WithLabelValues(env.Type.String()).Inc()
	if !env.Type.FromAgent() {
		return nil
	}
	switch env.Type {
	case wire.TypeEventBatch:
		return c.eventBatch(ctx, env)
	case wire.TypeHeartbeat:
		e := c.entry(env)
		e.Item.Heartbeat = c.decoder.Heartbeat(env.Payload)
		return c.submit(ctx, e)
	case wire.TypeAgentStatus:
		if !c.status.take(c.srv.now()) {
			return nil
		}
		e := c.entry(env)
		e.Item.Status, e.Item.StatusKey = c.decoder.Status(env.Payload)
		return c.submit(ctx, e)
	case wire.TypeCommandAck:
		id, ok := commandID(env)
		if !ok {
			return nil
		}
		return c.command(ctx, func(ctx context.Context) error {
			return c.srv.commands.Ack(ctx, c.ref, id, wire.DecodeCommandAck(env.Payload))
		})
	case wire.TypeCommandResult:
		id, ok := commandID(env)
		if !ok {
			return nil
		}
		res, err := wire.DecodeCommandResult(env.Payload)
		if err != nil {
			return err
		}
		return c.command(ctx, func(ctx context.Context) error { return c.srv.commands.Result(ctx, c.ref, id, res) })
	case wire.TypeRegistryDelta:
		d := wire.DecodeRegistryDelta(env.Payload)
		c.log.Debug("agent reports a registry change", "engine", d.Engine, "added", d.Added, "removed", d.Removed, "updated", d.Updated)
	case wire.TypeError:
		e := wire.DecodeErrorFrame(env.Payload)
		c.log.Warn("agent reports an error", "code", e.Code, "fatal", e.Fatal)
	default:
	}
	return nil
}

// commandID is the command an ack or result is about; false for ids that no command has.
func commandID(env wire.Envelope) (uuid.UUID, bool) {
	id, err := uuid.Parse(env.ID)
	return id, err == nil
}

// command applies a command frame. Agents send results once, so a passing failure of the database is
// retried for a while before the connection is given up; the command then ends as timeout.
func (c *Conn) command(ctx context.Context, apply func(context.Context) error) error {
	delay := 50 * time.Millisecond
	for {
		err := apply(ctx)
		if !errors.Is(err, domain.ErrTransient) || delay > 3*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("apply command frame: %w", ctx.Err())
		case <-time.After(delay):
		}
		delay *= 2
	}
}

func (c *Conn) entry(env wire.Envelope) *intake.Entry {
	return &intake.Entry{
		FrameID: env.ID,
		Item:    store.IngestItem{Agent: c.ref, WorkerID: c.workerID, At: env.TS},
	}
}

func (c *Conn) eventBatch(ctx context.Context, env wire.Envelope) error {
	batch := c.decoder.Events(env.Payload, c.srv.now())
	if batch.Legacy {
		c.log.Warn("agent sends schedules in a form that is no longer accepted; upgrade its scheduler adapter", "frame", env.ID)
		return c.push(out{kind: outError, id: "err_" + env.ID, fault: decode.UpgradeRequired()})
	}
	e := c.entry(env)
	e.Ack, e.Received, e.Item.Events = true, batch.Received, batch.Events
	return c.submit(ctx, e)
}

func (c *Conn) submit(ctx context.Context, e *intake.Entry) error {
	c.pending.Add(1)
	if err := c.queue.Submit(ctx, e); err != nil {
		c.pending.Add(-1)
		return fmt.Errorf("queue frame: %w", err)
	}
	return nil
}

// Settled implements intake.Sink.
func (c *Conn) Settled(e *intake.Entry, err error) {
	switch {
	case errors.Is(err, domain.ErrTransient), errors.Is(err, context.Canceled):
		c.srv.metrics.withheld.Inc()
	case err != nil:
		c.srv.metrics.refused.Inc()
		c.log.Error("frame can't be stored and is dropped", "frame", e.FrameID, "events", e.Received, "err", err)
		e.Item.Accepted = 0
		fallthrough
	default:
		if e.Ack {
			c.settleAck(wire.EventBatchAck{AckedID: e.FrameID, Received: e.Received, Accepted: e.Item.Accepted})
		}
	}
	// Last, so that nothing pending means every ack is in the outbox.
	c.pending.Add(-1)
}

// finish releases everything the connection holds. It runs on the reader's goroutine after run.
func (c *Conn) finish() {
	c.closing.Store(true)
	c.queue.Close()
	close(c.gone)
	// A close frame still in the outbox gets its chance; then the socket goes, which frees a stuck writer.
	o := &c.out
	o.mu.Lock()
	pendingClose := len(o.items) > 0 && o.items[len(o.items)-1].kind == outClose
	o.closed = !pendingClose
	o.mu.Unlock()
	timer := time.AfterFunc(c.srv.cfg.CloseTimeout, func() { _ = c.ws.NetConn().Close() })
	if !pendingClose {
		timer.Stop()
		_ = c.ws.NetConn().Close()
	}
	o.writer.Wait()
	timer.Stop()
	_ = c.ws.NetConn().Close()
	o.mu.Lock()
	o.closed, o.items = true, nil
	o.mu.Unlock()
}

// reason tells how the connection ended: a close code or a cause.
func (c *Conn) reason() (code int, why string) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.endWhy == nil {
		return c.endCode, ""
	}
	why = c.endWhy.Error()
	// Addresses of the peer are in the log already.
	if i := strings.Index(why, "->"); i >= 0 {
		if j := strings.Index(why[i:], ": "); j >= 0 {
			why = why[i+j+2:]
		}
	}
	return c.endCode, why
}

// statusBudget lets 12 agent_status frames through in 60 s.
type statusBudget struct {
	start time.Time
	n     int
}

const (
	statusPerWindow = 12
	statusWindow    = time.Minute
)

func (b *statusBudget) take(now time.Time) bool {
	if now.Sub(b.start) >= statusWindow {
		b.start, b.n = now, 0
	}
	b.n++
	return b.n <= statusPerWindow
}
