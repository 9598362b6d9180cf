// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !unix

package agentws

const (
	canReadAhead = false
	// readBufferBytes is what the WebSocket layer keeps for each connection.
	readBufferBytes = 2048
)

// fill is never called here: reads need a buffer before they are told that there is something to read.
func (c *gatherConn) fill(uintptr) bool { return true }
