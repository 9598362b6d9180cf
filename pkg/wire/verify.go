// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"sync"
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

// mac is HMAC-SHA256 (RFC 2104) with a key of at most one block. A session keeps the key alone: the states of the hash are
// borrowed, since ten thousand idle connections would hold a kilobyte each of crypto/hmac, twice. That costs two more
// blocks a frame. Session keys are 32 bytes, so they are never hashed to fit.
type mac struct{ key [32]byte }

// macState is what one signature needs.
type macState struct {
	h   hash.Hash
	pad [sha256.BlockSize]byte
	sum [sha256.Size]byte
}

//nolint:gochecknoglobals // a pool is of the process
var macStates = sync.Pool{New: func() any { return &macState{h: sha256.New()} }}

// sign appends the lower-case signature of text to dst.
func (m *mac) sign(dst, text []byte) []byte {
	s, ok := macStates.Get().(*macState)
	if !ok {
		return dst
	}
	s.h.Reset()
	s.keyed(&m.key, 0x36)
	s.h.Write(text)
	sum := s.h.Sum(s.sum[:0])
	s.h.Reset()
	s.keyed(&m.key, 0x5c)
	s.h.Write(sum)
	dst = hex.AppendEncode(dst, s.h.Sum(s.sum[:0]))
	clear(s.pad[:])
	macStates.Put(s)
	return dst
}

func (s *macState) keyed(key *[32]byte, with byte) {
	for i := range s.pad {
		s.pad[i] = with
	}
	for i, b := range key {
		s.pad[i] ^= b
	}
	s.h.Write(s.pad[:])
}

// signatureLength is that of a signature as text.
const signatureLength = 2 * sha256.Size

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
		mac: mac{s.Key}, bind: newBindings(s.AgentID, s.ProjectID, s.SessionID),
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

// NewPair returns a verifier and a signer of one session, for less memory than two made apart.
func NewPair(s Session) (*Verifier, *Signer) {
	v, signer := NewVerifier(s), newSigner(s)
	signer.bind = v.bind
	return v, signer
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
	var own [signatureLength]byte
	if subtle.ConstantTimeCompare(v.mac.sign(own[:0], c.out), sent) != 1 {
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
