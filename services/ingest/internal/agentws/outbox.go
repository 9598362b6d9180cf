// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/hub"
)

var (
	errClosed     = errors.New("the connection is closed")
	errSlowReader = errors.New("the peer does not read what it is sent")
	errWithdrawn  = errors.New("withdrawn before it was sent")
)

// outKind says what an outbox item becomes.
type outKind uint8

const (
	outRaw outKind = iota + 1
	outAck
	outCommand
	outError
	outPing
	outClose
)

type out struct {
	kind outKind
	ack  wire.EventBatchAck
	id   string
	// payload of a command, or the whole frame of outRaw.
	payload []byte
	fault   wire.ErrorFrame
	code    int
	reason  string
	// ticket is set for items somebody waits for.
	ticket *ticket
}

// ticket lets the sender of an item wait for it, or withdraw it while it was not begun.
type ticket struct {
	state atomic.Int32
	done  chan error
}

const (
	ticketWaiting int32 = iota
	ticketBegun
	ticketWithdrawn
)

// outbox holds what is to be written. Its writer goroutine exists only while there is work.
type outbox struct {
	mu      sync.Mutex
	items   []out
	spare   []out
	running bool
	closed  bool
	writer  sync.WaitGroup
}

// push queues an item. It never waits: a peer that lets the outbox fill up is cut off.
func (c *Conn) push(it out) error {
	o := &c.out
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return errClosed
	}
	if len(o.items) >= c.srv.cfg.OutboxSize && it.kind != outClose {
		o.mu.Unlock()
		c.cut(errSlowReader)
		return errSlowReader
	}
	o.items = append(o.items, it)
	start := !o.running
	if start {
		o.running = true
		o.writer.Add(1)
	}
	o.mu.Unlock()
	if start {
		go c.flush()
	}
	return nil
}

// flush writes until the outbox is empty.
func (c *Conn) flush() {
	o := &c.out
	defer o.writer.Done()
	buf := c.srv.frames.Get()
	defer func() { c.srv.frames.Put(buf) }()
	for {
		o.mu.Lock()
		if len(o.items) == 0 || o.closed {
			o.running = false
			o.items, o.spare = nil, nil
			o.mu.Unlock()
			return
		}
		batch := o.items
		o.items, o.spare = o.spare[:0], batch
		o.mu.Unlock()

		var err error
		buf, err = c.writeBatch(batch, buf)
		clear(batch)
		if err != nil {
			c.cut(fmt.Errorf("write: %w", err))
		}
	}
}

// writeBatch signs and writes items in order. Acks are gathered into few writes; whoever waits for an item
// is told once it was really written.
func (c *Conn) writeBatch(batch []out, buf []byte) ([]byte, error) {
	gather := len(batch) > 1 && c.conn != nil
	if gather {
		c.conn.hold()
	}
	var failed error
	written := 0
	for i := range batch {
		it := &batch[i]
		if it.ticket != nil && !it.ticket.state.CompareAndSwap(ticketWaiting, ticketBegun) {
			continue
		}
		if failed == nil {
			buf, failed = c.writeItem(it, buf[:0])
		}
		if failed == nil {
			written++
		}
	}
	if gather {
		_ = c.conn.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
		failed = errors.Join(failed, c.conn.release())
	}
	c.srv.metrics.framesOut.Add(float64(written))
	for i := range batch {
		if t := batch[i].ticket; t != nil && t.state.Load() == ticketBegun {
			t.done <- failed
		}
	}
	return buf, failed
}

func (c *Conn) writeItem(it *out, buf []byte) ([]byte, error) {
	deadline := time.Now().Add(c.srv.cfg.WriteTimeout)
	now := c.srv.now()
	var err error
	switch it.kind {
	case outRaw:
		buf = append(buf, it.payload...)
	case outAck:
		buf, err = c.signer.SignEventBatchAck(buf, it.ack, now)
	case outCommand:
		buf, err = c.signer.Sign(buf, it.id, wire.TypeCommand, it.payload, now)
		deadline = time.Now().Add(c.srv.cfg.CommandTimeout)
	case outError:
		buf, err = c.signer.SignError(buf, it.id, it.fault, now)
	case outPing:
		return buf, c.ws.WriteControl(websocket.PingMessage, nil, deadline)
	case outClose:
		err = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(it.code, it.reason), time.Now().Add(c.srv.cfg.CloseTimeout))
		if errors.Is(err, websocket.ErrCloseSent) {
			err = nil
		}
		return buf, err
	}
	if err != nil {
		// Nothing of ours is unsignable; a command whose stored payload is broken must not cost the connection.
		if it.ticket == nil {
			return buf, err
		}
		c.log.Error("frame can't be signed", "id", it.id, "err", err)
		it.ticket.state.Store(ticketWithdrawn)
		it.ticket.done <- fmt.Errorf("sign: %w", err)
		return buf, nil
	}
	if err := c.ws.SetWriteDeadline(deadline); err != nil {
		return buf, fmt.Errorf("set deadline: %w", err)
	}
	return buf, c.ws.WriteMessage(websocket.BinaryMessage, buf)
}

// SendCommand implements hub.Slot.
func (c *Conn) SendCommand(ctx context.Context, cmd hub.Command) error {
	t := &ticket{done: make(chan error, 1)}
	if err := c.push(out{kind: outCommand, id: cmd.ID.String(), payload: cmd.Payload, ticket: t}); err != nil {
		return err
	}
	select {
	case err := <-t.done:
		return err
	case <-c.gone:
	case <-ctx.Done():
	}
	if t.state.CompareAndSwap(ticketWaiting, ticketWithdrawn) {
		return errWithdrawn
	}
	// The writer has it in hand: its own deadline ends the wait.
	return <-t.done
}

// Settled implements intake.Sink.
func (c *Conn) settleAck(ack wire.EventBatchAck) {
	if err := c.push(out{kind: outAck, ack: ack}); err == nil {
		c.srv.metrics.acks.Inc()
	}
}
