// SPDX-License-Identifier: AGPL-3.0-or-later

// Package wire speaks the agent protocol, version 2: frames, canonical JSON, keys, signatures and the
// replay guard. It does no I/O and keeps no package-level state.
//
// # Receiving
//
//	hello, err := wire.ParseHello(frame)            // first message, unsigned, strictly validated
//	v := wire.NewVerifier(wire.Session{Key: key, AgentID: a, ProjectID: p, SessionID: s, Now: time.Now})
//	env, err := v.Verify(frame)                     // every later message
//	var werr *wire.Error
//	if errors.As(err, &werr) { close(werr.CloseCode()); log(werr.Skew) }
//	switch env.Type {
//	case wire.TypeEventBatch:
//		batch := dec.Events(env.Payload)        // dec is a *wire.Decoder, one per connection
//		for i := range batch.Events {
//			data := dec.TaskData(batch.Events[i].Data)
//		}
//	case wire.TypeHeartbeat:
//		hb := wire.DecodeHeartbeat(env.Payload)
//	}
//
// Everything that [Verifier.Verify] and the decoders return as []byte is a window into the frame that was
// passed in: it is valid until the caller reuses that buffer. Strings are copies.
//
// A verified frame may still be of a type that only the brain sends; [Type.FromAgent] tells. Such frames,
// and a second hello, are to be ignored, not answered with a close.
//
// # Sending
//
//	s := wire.NewSigner(wire.Session{...})          // same key and ids in both directions
//	frame, err := s.Sign(dst, id, wire.TypeCommand, payloadJSON, now)
//	frame, err := s.SignEventBatchAck(dst, wire.EventBatchAck{...}, now)
//	frame := wire.AppendHelloAck(dst, wire.HelloAck{...})   // unsigned
//
// A Signer and a Verifier belong to one goroutine at a time: sequence order must be write order.
//
// # Long-poll
//
// Sessions without a socket keep their guard elsewhere: [NewVerifier] with Session.Guard =
// [NewStoredGuard](state), then Verifier.Guard().State() after the frames, and [Signer.SetNextSeq].
//
// # JSON basis
//
// [Canonical] and [AppendCanonicalValue] produce the canonical form that signatures and digests are made
// of. [ScanObject], [ScanArray], [StringOf], [IntOf], [FloatOf] read validated JSON without building maps.
package wire
