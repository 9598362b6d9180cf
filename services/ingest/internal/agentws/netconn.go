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
	"syscall"
)

// holdBytes is how much a held connection gathers before it writes anyway.
const holdBytes = 16 << 10

// gatherConn is a net.Conn whose writes can be held and sent as one: after a group commit many acks go to
// one peer, and a system call for each of them would be the largest cost of an event. Its reads go through a buffer that is
// borrowed when there is something to read: a busy peer's frames come many to a system call, and an idle one holds nothing.
type gatherConn struct {
	net.Conn
	// raw waits for something to read; nil for a connection that can't, which is read without the buffer.
	raw syscall.RawConn
	// ahead is what was read and not asked for yet, in the borrowed buffer.
	ahead    []byte
	borrowed *[readAhead]byte
	// attempt is the method fill as a value, made once; its results are in readN and readErr.
	attempt func(fd uintptr) bool
	readN   int
	readErr error

	mu   sync.Mutex
	held bool
	buf  []byte

	// ending is set with our close frame; then at most maxDrainBytes are still read.
	ending  atomic.Bool
	drained atomic.Int64
}

// readAhead is the size of the borrowed buffers.
const readAhead = 16 << 10

//nolint:gochecknoglobals // a pool is of the process
var readBuffers = sync.Pool{New: func() any { return new([readAhead]byte) }}

func newGatherConn(conn net.Conn) *gatherConn {
	c := &gatherConn{Conn: conn}
	c.attempt = c.fill
	if sc, ok := conn.(syscall.Conn); ok && canReadAhead {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// maxDrainBytes bounds what is read after a close frame from a peer that goes on sending.
const maxDrainBytes = 4 << 20

// Read implements net.Conn.
func (c *gatherConn) Read(p []byte) (int, error) {
	if !c.ending.Load() {
		return c.read(p)
	}
	if c.drained.Load() > maxDrainBytes {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.read(p)
	c.drained.Add(int64(n))
	return n, err
}

func (c *gatherConn) read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		if c.raw == nil || len(p) >= readAhead/2 {
			return c.Conn.Read(p)
		}
		c.readN, c.readErr = 0, nil
		if err := c.raw.Read(c.attempt); err != nil {
			return 0, err
		}
		switch {
		case c.readErr != nil:
			return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: c.readErr}
		case c.readN == 0:
			return 0, io.EOF
		}
		c.ahead = c.borrowed[:c.readN]
	}
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.giveBack()
	}
	return n, nil
}

// giveBack returns the buffer. What a peer sent stays out of what the next one is handed: only what was read is looked at.
func (c *gatherConn) giveBack() {
	readBuffers.Put(c.borrowed)
	c.borrowed, c.ahead = nil, nil
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
	w.conn = newGatherConn(conn)
	return w.conn, rw, nil
}
