// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"time"
)

// Session is what both ends of a connection agreed on: the project key and the three ids of hello_ack, in
// exactly the spelling sent there (lower-case dashed UUIDs).
type Session struct {
	Key       [32]byte
	AgentID   string
	ProjectID string
	SessionID string
	// Now is the receiver's clock; nil means time.Now.
	Now func() time.Time
	// MaxDepth limits nesting; 0 means DefaultMaxDepth.
	MaxDepth int
	// Guard continues an earlier session's replay guard (long-poll); nil starts a fresh one.
	Guard *Guard
	// Random is where a signer's nonces come from; nil means crypto/rand.
	Random io.Reader
}

func (s Session) depth() int {
	if s.MaxDepth > 0 {
		return s.MaxDepth
	}
	return DefaultMaxDepth
}

// mac is a keyed hash with its result buffers, so that hashing allocates nothing.
type mac struct {
	h    hash.Hash
	sum  [sha256.Size]byte
	text [2 * sha256.Size]byte
}

func newMAC(key [32]byte) mac { return mac{h: hmac.New(sha256.New, key[:])} }

// hex returns the lower-case signature of text, valid until the next call.
func (m *mac) hex(text []byte) []byte {
	m.h.Reset()
	m.h.Write(text)
	hex.Encode(m.text[:], m.h.Sum(m.sum[:0]))
	return m.text[:]
}

// Verifier checks the frames of one direction of one session. It is not safe for concurrent use.
type Verifier struct {
	mac      mac
	bind     *bindings
	now      func() time.Time
	maxDepth int
	guard    *Guard
}

// NewVerifier returns a verifier for a session.
func NewVerifier(s Session) *Verifier {
	v := &Verifier{
		mac: newMAC(s.Key), bind: newBindings(s.AgentID, s.ProjectID, s.SessionID),
		now: s.Now, maxDepth: s.depth(), guard: s.Guard,
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.guard == nil {
		v.guard = NewGuard()
	}
	return v
}

// Guard gives access to the replay guard's state.
func (v *Verifier) Guard() *Guard { return v.guard }

// Verify parses a frame and checks, in this order: JSON object, v, type, payload an object or absent,
// signature, the semantics that upstream enforces (command_result.status, telemetry_loss), replay guard.
// Every failure is an [*Error]. The guard's state changes only if all succeed.
//
// hello and hello_ack are unsigned: they are returned without Nonce and Seq and without touching the guard,
// to be ignored by the caller after the handshake.
func (v *Verifier) Verify(frame []byte) (Envelope, error) {
	c := acquireCanon()
	defer c.release()
	if err := c.parseFrame(frame, v.bind, v.maxDepth); err != nil {
		return Envelope{}, err
	}
	env, err := c.envelope()
	if err != nil {
		return Envelope{}, err
	}
	if !env.Type.Signed() {
		env.ID, err = c.frameID()
		return env, err
	}
	sent, ok := textOf(c.raw(fieldHMAC))
	if !ok || len(sent) == 0 {
		return Envelope{}, signatureError("hmac", "missing")
	}
	if subtle.ConstantTimeCompare(v.mac.hex(c.out), sent) != 1 {
		return Envelope{}, signatureError("hmac", "does not match; wrong key, ids or content")
	}
	if env.ID, err = c.frameID(); err != nil {
		return Envelope{}, err
	}
	if err := checkSemantics(&env); err != nil {
		return Envelope{}, err
	}
	env.Seq, env.Nonce, env.TS, err = v.guard.check(c.raw(fieldSeq), c.raw(fieldNonce), c.raw(fieldTS), v.now())
	if err != nil {
		return Envelope{}, err
	}
	return env, nil
}

// checkSemantics holds the few content checks that end a connection.
func checkSemantics(env *Envelope) error {
	switch env.Type {
	case TypeCommandResult:
		_, err := DecodeCommandResult(env.Payload)
		return err
	case TypeHeartbeat, TypeAgentStatus:
		if env.Payload == nil {
			return nil
		}
		var loss []byte
		err := ScanObject(env.Payload, func(key, value []byte) error {
			if string(key) == "telemetry_loss" {
				loss = value
			}
			return nil
		})
		if err != nil {
			return protocolError("payload", "malformed")
		}
		if IsNull(loss) {
			return nil
		}
		_, err = DecodeTelemetryLoss(loss)
		return err
	default:
		return nil
	}
}
