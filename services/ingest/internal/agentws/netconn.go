// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// holdBytes is how much a held connection gathers before it writes anyway.
const holdBytes = 16 << 10

// gatherConn is a net.Conn whose writes can be held and sent as one: after a group commit many acks go to
// one peer, and a system call for each of them would be the largest cost of an event.
type gatherConn struct {
	net.Conn
	mu   sync.Mutex
	held bool
	buf  []byte

	// ending is set with our close frame; then at most maxDrainBytes are still read.
	ending  atomic.Bool
	drained atomic.Int64
}

// maxDrainBytes bounds what is read after a close frame from a peer that goes on sending.
const maxDrainBytes = 4 << 20

// Read implements net.Conn.
func (c *gatherConn) Read(p []byte) (int, error) {
	if !c.ending.Load() {
		return c.Conn.Read(p)
	}
	if c.drained.Load() > maxDrainBytes {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p)
	c.drained.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *gatherConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > holdBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if len(p) > holdBytes {
			return c.Conn.Write(p)
		}
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *gatherConn) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// release writes what was held; the buffer is dropped, idle connections keep none.
func (c *gatherConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	err := c.flush()
	c.buf = nil
	return err
}

func (c *gatherConn) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

// gatherWriter is a ResponseWriter whose hijacked connection can hold writes.
type gatherWriter struct {
	http.ResponseWriter
	conn *gatherConn
}

// Hijack implements http.Hijacker.
func (w *gatherWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over the connection: %w", err)
	}
	w.conn = &gatherConn{Conn: conn}
	return w.conn, rw, nil
}
