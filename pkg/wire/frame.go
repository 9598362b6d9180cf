// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"time"
	"unicode/utf8"
)

// Version is the envelope version (member v) of every frame.
const Version = 2

// Limits of the envelope.
const (
	MaxIDLength    = 64
	MaxNonceLength = 32
	// DefaultMaxFrameBytes is the frame size limit unless configured otherwise.
	DefaultMaxFrameBytes = 1 << 20
)

// Type is a frame type.
type Type uint8

// Frame types of protocol 2.
const (
	TypeUnknown Type = iota
	TypeHello
	TypeHelloAck
	TypeEventBatch
	TypeEventBatchAck
	TypeHeartbeat
	TypeAgentStatus
	TypeCommand
	TypeCommandAck
	TypeCommandResult
	TypeRegistryDelta
	TypeError
)

// String returns the type's wire name.
func (t Type) String() string {
	switch t {
	case TypeHello:
		return "hello"
	case TypeHelloAck:
		return "hello_ack"
	case TypeEventBatch:
		return "event_batch"
	case TypeEventBatchAck:
		return "event_batch_ack"
	case TypeHeartbeat:
		return "heartbeat"
	case TypeAgentStatus:
		return "agent_status"
	case TypeCommand:
		return "command"
	case TypeCommandAck:
		return "command_ack"
	case TypeCommandResult:
		return "command_result"
	case TypeRegistryDelta:
		return "registry_delta"
	case TypeError:
		return "error"
	case TypeUnknown:
	}
	return "unknown"
}

// ParseType turns a wire name into a type, TypeUnknown for anything else.
func ParseType(name string) Type {
	for t := TypeHello; t <= TypeError; t++ {
		if t.String() == name {
			return t
		}
	}
	return TypeUnknown
}

// Signed reports whether frames of this type carry a signature: all but the handshake.
func (t Type) Signed() bool { return t != TypeHello && t != TypeHelloAck }

// FromAgent reports whether an agent may send this type after the handshake. Key and bindings are the same in
// both directions, so a reflected frame verifies; the brain ignores every type for which this is false.
func (t Type) FromAgent() bool {
	switch t {
	case TypeEventBatch, TypeHeartbeat, TypeAgentStatus, TypeCommandAck, TypeCommandResult, TypeRegistryDelta, TypeError:
		return true
	case TypeUnknown, TypeHello, TypeHelloAck, TypeEventBatchAck, TypeCommand:
	}
	return false
}

// FromBrain reports whether the brain may send this type.
func (t Type) FromBrain() bool {
	switch t {
	case TypeHelloAck, TypeEventBatchAck, TypeCommand, TypeError:
		return true
	case TypeUnknown, TypeHello, TypeEventBatch, TypeHeartbeat, TypeAgentStatus, TypeCommandAck, TypeCommandResult, TypeRegistryDelta:
	}
	return false
}

// Envelope is a parsed frame. Nonce and Payload are windows into the frame.
type Envelope struct {
	V    int
	ID   string
	Type Type
	// TS is the time the sender stamped; zero when ts is null or absent (unsigned frames only).
	TS    time.Time
	Nonce []byte
	Seq   int64
	// Payload is the raw text of the payload object, nil when the frame has none.
	Payload []byte
}

// field indexes the envelope members the parser picks out.
type field int

const (
	fieldNone field = iota - 1
	fieldV
	fieldID
	fieldTS
	fieldType
	fieldSeq
	fieldHMAC
	fieldNonce
	fieldPayload
	fieldCount
)

func fieldOf(key []byte) field {
	switch string(key) {
	case "v":
		return fieldV
	case "id":
		return fieldID
	case "ts":
		return fieldTS
	case "type":
		return fieldType
	case "seq":
		return fieldSeq
	case "hmac":
		return fieldHMAC
	case "nonce":
		return fieldNonce
	case "payload":
		return fieldPayload
	}
	return fieldNone
}

// bindings are the three members every signature covers besides the frame's own, as canonical text.
type bindings struct {
	text   [3][]byte
	keyLen [3]int
}

// bindingsSyntax is the length of the members' names, quotes and colons.
const bindingsSyntax = len(`"agent_id":"""project_id":"""session_id":""`)

func newBindings(agentID, projectID, sessionID string) *bindings {
	var b bindings
	// One piece of memory: these are kept as long as their connection.
	text := make([]byte, 0, len(agentID)+len(projectID)+len(sessionID)+bindingsSyntax)
	for i, kv := range [3][2]string{{"agent_id", agentID}, {"project_id", projectID}, {"session_id", sessionID}} {
		from := len(text)
		text = AppendString(append(AppendString(text, kv[0]), ':'), kv[1])
		b.text[i] = text[from:]
		b.keyLen[i] = len(kv[0])
	}
	return &b
}

// parseFrame canonicalises the frame into c.out (with the bindings, without hmac, if bind is set) and notes
// where the envelope's members are in the source.
func (c *canon) parseFrame(frame []byte, bind *bindings, maxDepth int) error {
	c.src, c.bind, c.maxDepth = frame, bind, maxDepth
	c.fields = [fieldCount]span{}
	c.space()
	if c.pos >= len(frame) || frame[c.pos] != '{' {
		if err := c.document(); err != nil {
			return err
		}
		return protocolError("", "the frame is not a JSON object")
	}
	if err := c.object(true); err != nil {
		return err
	}
	c.space()
	if c.pos != len(frame) {
		return c.syntax("data after the frame")
	}
	return nil
}

func (c *canon) raw(f field) []byte { return c.fields[f].of(c.src) }

// envelope checks what comes before the signature: v, type, and that the payload is an object or absent.
func (c *canon) envelope() (Envelope, error) {
	var env Envelope
	v := c.raw(fieldV)
	n, ok := IntOf(v)
	if !ok {
		if end, integer := scanNumber(v, 0); end == len(v) && integer {
			return env, &Error{Class: ClassVersion, Field: "v", Reason: "unsupported envelope version; this brain speaks 2"}
		}
		return env, protocolError("v", "must be the integer 2")
	}
	if n != Version {
		return env, &Error{Class: ClassVersion, Field: "v", Reason: "unsupported envelope version; this brain speaks 2"}
	}
	env.V = Version
	name, ok := textOf(c.raw(fieldType))
	if !ok {
		return env, protocolError("type", "must be a string")
	}
	if env.Type = parseType(name); env.Type == TypeUnknown {
		return env, protocolError("type", "unknown frame type")
	}
	if p := c.raw(fieldPayload); !IsNull(p) {
		if !IsObject(p) {
			return env, protocolError("payload", "must be an object")
		}
		env.Payload = p
	}
	return env, nil
}

// parseType is ParseType without a string copy.
func parseType(name []byte) Type {
	for t := TypeHello; t <= TypeError; t++ {
		if string(name) == t.String() {
			return t
		}
	}
	return TypeUnknown
}

// frameID reads the id leniently: absent is "", but what cannot be echoed in an ack is refused.
func (c *canon) frameID() (string, error) {
	raw := c.raw(fieldID)
	if IsNull(raw) {
		return "", nil
	}
	id, ok := StringOf(raw)
	if !ok {
		return "", protocolError("id", "must be a string")
	}
	if len(id) > MaxIDLength && utf8.RuneCountInString(id) > MaxIDLength {
		return "", protocolError("id", "longer than %d characters", MaxIDLength)
	}
	return id, nil
}
