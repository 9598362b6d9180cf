// SPDX-License-Identifier: AGPL-3.0-or-later

package ingest_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
)

// BenchmarkSocketEvents measures acked one-event frames through real sockets, agents in the same process.
// An op is an event; four life-cycle events make a task.
func BenchmarkSocketEvents(b *testing.B) {
	const agents, unacked = 8, 64
	br := newBrain(b)
	peers := make([]*peer, agents)
	for i := range peers {
		peers[i] = br.connect(br.newAgent(fmt.Sprintf("load-%d", i)), "bare-1-1")
	}
	kinds := []string{"task.received", "task.started", "task.succeeded"}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			tokens := make(chan struct{}, unacked)
			done := make(chan struct{})
			var sent atomic.Int64
			var closed atomic.Bool
			go func() {
				defer close(done)
				for acked := int64(0); ; {
					if closed.Load() && acked == sent.Load() {
						return
					}
					_ = p.ws.SetReadDeadline(time.Now().Add(patience))
					if _, _, err := p.ws.ReadMessage(); err != nil {
						b.Errorf("receive: %v", err)
						return
					}
					acked++
					<-tokens
				}
			}()
			for n := 0; left.Add(-1) >= 0; n++ {
				tokens <- struct{}{}
				e := event(kinds[n%3], fmt.Sprintf("a%d-%d-%08d-1111-2222-333344445555", i, b.N, n/3), time.Now(), map[string]any{
					"task_name": fmt.Sprintf("shop.tasks.t%d", n%20), "queue": "default", "worker": "w1@host", "args": []any{1, "two"}, "kwargs": map[string]any{"order": n},
				})
				sent.Add(1)
				if err := p.ws.WriteMessage(websocket.BinaryMessage, p.sign(fmt.Sprintf("ev_%032d", n), wire.TypeEventBatch, batch(e))); err != nil {
					b.Errorf("send: %v", err)
					break
				}
			}
			closed.Store(true)
			// One more frame, so that the reader sees that all is sent.
			tokens <- struct{}{}
			sent.Add(1)
			p.sendSigned("ev_last", wire.TypeEventBatch, `{"events":[]}`)
			<-done
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
