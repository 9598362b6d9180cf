// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"fmt"
	"time"
)

// Class says which rule a frame broke, and so how the connection ends.
type Class uint8

const (
	// ClassSignature is a wrong or missing signature, or refused by the replay guard. Close 4403.
	ClassSignature Class = iota + 1
	// ClassProtocol is a frame that is not JSON, not an object, unknown type, payload or members of the wrong kind. Close 1011.
	ClassProtocol
	// ClassVersion is an envelope whose v is an integer other than 2. Close 1011 (4400 before the handshake).
	ClassVersion
)

// Close codes that follow from a Class after the handshake.
const (
	CloseInternal  = 1011
	CloseSignature = 4403
)

// String names the class for logs and metric labels.
func (c Class) String() string {
	switch c {
	case ClassSignature:
		return "signature"
	case ClassProtocol:
		return "protocol"
	case ClassVersion:
		return "version"
	}
	return "unknown"
}

// Error is why a frame was refused. Field names the member at fault, if there is one.
type Error struct {
	Class  Class
	Field  string
	Reason string
	// Skew is receiver time minus frame time when the reason is clock skew, else 0. Positive: the sender's clock is behind.
	Skew time.Duration
	// TooDeep reports that the nesting limit was hit.
	TooDeep bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Class.String() + " error: " + e.Field + ": " + e.Reason
	}
	return e.Class.String() + " error: " + e.Reason
}

// CloseCode is the WebSocket close code that answers the fault once the handshake is done.
func (e *Error) CloseCode() int {
	if e.Class == ClassSignature {
		return CloseSignature
	}
	return CloseInternal
}

func signatureError(field, reason string) *Error {
	return &Error{Class: ClassSignature, Field: field, Reason: reason}
}

func protocolError(field, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Class: ClassProtocol, Field: field, Reason: format}
	}
	return &Error{Class: ClassProtocol, Field: field, Reason: fmt.Sprintf(format, args...)}
}

func skewError(skew, limit time.Duration) *Error {
	side := "behind"
	abs := skew
	if skew < 0 {
		side, abs = "ahead of", -skew
	}
	return &Error{
		Class: ClassSignature, Field: "ts", Skew: skew,
		Reason: fmt.Sprintf("clock skew of %.0f s: the sender's clock is %s ours by more than %.0f s; synchronise the clocks (NTP)",
			abs.Seconds(), side, limit.Seconds()),
	}
}
