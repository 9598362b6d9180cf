// SPDX-License-Identifier: AGPL-3.0-or-later

// Package agentws serves the agents' WebSocket (agent protocol, sections 2, 3, 6 and 7).
//
// A connection is upgraded always and refused by a close code. One goroutine reads it: size, signature,
// decoding, then into the connection's own queue to the committer. Everything that is sent goes through one
// bounded outbox, whose writer runs only while there is something to write: it signs in write order and
// gives up on a peer that does not read. Acks enter the outbox from the committer and never wait.
package agentws

// Close codes of the protocol, table 2.2.
const (
	CloseInternal        = 1011
	CloseRestart         = 1012
	CloseReplaced        = 4002
	CloseRevoked         = 4003
	CloseBadFrame        = 4400
	CloseUnauthenticated = 4401
	CloseForbidden       = 4403
	CloseIdle            = 4408
	CloseProtocolVersion = 4426
	CloseTooMany         = 4429
)
