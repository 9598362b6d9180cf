// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Signer produces the signed frames of one direction of one session. Numbers are given out in call order, so
// calls and writes to the peer must happen in the same order; it is not safe for concurrent use.
type Signer struct {
	mac      mac
	bind     *bindings
	maxDepth int
	seq      int64
	random   io.Reader
	raw      [16]byte
	nonce    [22]byte
}

// NewSigner returns a signer for a session whose first frame has seq 1.
func NewSigner(s Session) *Signer {
	signer := newSigner(s)
	signer.bind = newBindings(s.AgentID, s.ProjectID, s.SessionID)
	return signer
}

func newSigner(s Session) *Signer {
	signer := &Signer{mac: mac{s.Key}, maxDepth: s.depth(), seq: 1, random: s.Random}
	if signer.random == nil {
		signer.random = rand.Reader
	}
	return signer
}

// SetNextSeq sets the number of the next frame (long-poll sessions continue where another request stopped).
func (s *Signer) SetNextSeq(seq int64) { s.seq = seq }

// NextSeq is the number the next frame will get.
func (s *Signer) NextSeq() int64 { return s.seq }

// Sign appends a complete signed frame to dst. payload is the JSON text of an object, placed unchanged. ts is
// the moment of sending: the agent refuses frames more than 60 s off. A number is used up only on success.
func (s *Signer) Sign(dst []byte, id string, t Type, payload []byte, ts time.Time) ([]byte, error) {
	if !t.Signed() {
		return dst, fmt.Errorf("sign frame %s: %s frames are not signed", id, t)
	}
	if _, err := io.ReadFull(s.random, s.raw[:]); err != nil {
		return dst, fmt.Errorf("sign frame %s: read random nonce: %w", id, err)
	}
	base64.RawURLEncoding.Encode(s.nonce[:], s.raw[:])

	start := len(dst)
	out := append(dst, `{"v":2,"id":`...)
	out = AppendString(out, id)
	out = append(out, `,"ts":"`...)
	out = AppendTime(out, ts)
	out = append(out, `","nonce":"`...)
	out = append(out, s.nonce[:]...)
	out = append(out, `","seq":`...)
	out = strconv.AppendInt(out, s.seq, 10)
	out = append(out, `,"hmac":"`...)
	hmacAt := len(out)
	out = append(out, make([]byte, signatureLength)...)
	for i := hmacAt; i < len(out); i++ {
		out[i] = '0'
	}
	out = append(out, `","type":"`...)
	out = append(out, t.String()...)
	out = append(out, `","payload":`...)
	out = append(out, payload...)
	out = append(out, '}')

	c := acquireCanon()
	defer c.release()
	if err := c.parseFrame(out[start:], s.bind, s.maxDepth); err != nil {
		return dst, fmt.Errorf("sign %s frame %s: %w", t, id, err)
	}
	if !IsObject(c.raw(fieldPayload)) || c.fields[fieldPayload].end != len(out)-start-1 {
		return dst, fmt.Errorf("sign %s frame %s: the payload is not one JSON object", t, id)
	}
	s.mac.sign(out[hmacAt:hmacAt], c.out)
	s.seq++
	return out, nil
}
