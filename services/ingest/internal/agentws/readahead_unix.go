// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package agentws

import (
	"errors"
	"os"
	"syscall"
)

const (
	canReadAhead = true
	// readBufferBytes is what the WebSocket layer keeps for each connection; it looks at frames' headers in it. The buffer
	// that saves system calls is the borrowed one of gatherConn.
	readBufferBytes = 128
)

// fill reads what there is into a borrowed buffer; false says that there is nothing yet.
func (c *gatherConn) fill(fd uintptr) bool {
	b, ok := readBuffers.Get().(*[readAhead]byte)
	if !ok {
		b = new([readAhead]byte)
	}
	c.borrowed = b
	for {
		n, err := syscall.Read(int(fd), b[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			c.giveBack()
			return false
		case err != nil:
			c.readErr = os.NewSyscallError("read", err)
		default:
			c.readN = n
		}
		if c.readN == 0 {
			c.giveBack()
		}
		return true
	}
}
