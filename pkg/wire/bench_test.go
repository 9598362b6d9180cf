// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/wire"
)

// benchPayload is a task.succeeded as a stock Celery agent reports it; the frame comes to about 700 bytes.
const benchPayload = `{"events":[{"id":"14caace9-a609-4a69-aeb3-6970fbcaee40","kind":"task.succeeded","engine":"celery",` +
	`"task_id":"a6d04ff0-00c2-4dbd-afa5-bf539472f0e8","occurred_at":"2026-11-23T21:52:22.863004+00:00","data":{` +
	`"task_name":"shop.orders.tasks.send_confirmation","queue":"celery","worker":"w1@host","args":[184467,"EUR",19.95],` +
	`"kwargs":{"retry":true,"locale":"de_DE"},"root_task_id":"a6d04ff0-00c2-4dbd-afa5-bf539472f0e8","priority":"normal",` +
	`"result":{"status":"sent","id":93812},"runtime_ms":7.25}}]}`

func benchSession() wire.Session {
	var key [32]byte
	_, _ = rand.Read(key[:])
	return wire.Session{Key: key, AgentID: uuid.NewString(), ProjectID: uuid.NewString(), SessionID: uuid.NewString()}
}

// benchFrames signs n distinct frames, so that the replay guard takes part.
func benchFrames(b *testing.B, s wire.Session, n int, now time.Time) [][]byte {
	b.Helper()
	signer := wire.NewSigner(s)
	frames := make([][]byte, n)
	for i := range frames {
		frame, err := signer.Sign(nil, "ev_94c22c2ae19e29fe8ab1f9c5ca140b5d", wire.TypeEventBatch, []byte(benchPayload), now)
		if err != nil {
			b.Fatal(err)
		}
		frames[i] = frame
	}
	return frames
}

// BenchmarkVerifyDecode is the way of one stock event frame through this package.
func BenchmarkVerifyDecode(b *testing.B) {
	const n = 8192
	now := time.Now()
	s := benchSession()
	s.Now = func() time.Time { return now }
	frames := benchFrames(b, s, n, now)
	b.SetBytes(int64(len(frames[0])))
	b.ReportAllocs()
	v, dec := wire.NewVerifier(s), new(wire.Decoder)
	i := 0
	for b.Loop() {
		if i == n {
			b.StopTimer()
			v, i = wire.NewVerifier(s), 0
			b.StartTimer()
		}
		env, err := v.Verify(frames[i])
		if err != nil {
			b.Fatal(err)
		}
		batch := dec.Events(env.Payload)
		for k := range batch.Events {
			if data := dec.TaskData(batch.Events[k].Data); data.Queue != "celery" {
				b.Fatal("wrong decode")
			}
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

func BenchmarkSignAck(b *testing.B) {
	signer := wire.NewSigner(benchSession())
	now := time.Now()
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = signer.SignEventBatchAck(buf[:0], wire.EventBatchAck{AckedID: "ev_94c22c2ae19e29fe8ab1f9c5ca140b5d", Received: 1, Accepted: 1}, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	b.SetBytes(int64(len(benchPayload)))
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = wire.Canonical(buf[:0], []byte(benchPayload)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventID(b *testing.B) {
	b.ReportAllocs()
	project := uuid.NewString()
	for b.Loop() {
		_ = wire.EventID(project, "celery", "a6d04ff0-00c2-4dbd-afa5-bf539472f0e8", "task.succeeded", 1795435200)
	}
}
