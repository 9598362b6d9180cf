// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
)

// Fleet is many agents without work: each sends a heartbeat and a report of itself every ten seconds and comes back when
// its connection ends, with the waits of published agents.
type Fleet struct {
	// Agents are the connections, one Config each.
	Agents []Config
	// Sources is how many addresses of 127/8 they come from; 0 leaves it to the system.
	Sources int

	// beat is the pace of the heartbeats; 0 is that of published agents.
	beat time.Duration

	connected, timeouts, refused, ended, beats atomic.Int64

	mu   sync.Mutex
	last error
}

// State is what a fleet has seen so far.
type State struct {
	// Connected is how many agents are connected now, Beats how many heartbeats were sent.
	Connected, Beats int64
	// Timeouts are attempts that got no answer in time, Refused those closed with a code; a brain that is not there is
	// neither. Ended are connections that ended after their handshake.
	Timeouts, Refused, Ended int64
	// Last is the last of these failures.
	Last error
}

// State tells what the fleet has seen so far.
func (f *Fleet) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{
		Connected: f.connected.Load(), Beats: f.beats.Load(), Timeouts: f.timeouts.Load(), Refused: f.refused.Load(), Ended: f.ended.Load(), Last: f.last,
	}
}

// heartbeat is the pace of published agents; firstWait and longestWait bound their waits before they connect again.
const (
	heartbeat   = 10 * time.Second
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// Run keeps the fleet connected until ctx ends. The agents start spread over spread.
func (f *Fleet) Run(ctx context.Context, spread time.Duration) {
	if f.beat <= 0 {
		f.beat = heartbeat
	}
	pool := &sync.Pool{}
	var wg sync.WaitGroup
	for i, cfg := range f.Agents {
		cfg.BufferPool = pool
		if f.Sources > 0 {
			cfg.From = netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i%f.Sources%250)})
		}
		wait := spread * time.Duration(i) / time.Duration(len(f.Agents))
		wg.Go(func() {
			if pause(ctx, wait) {
				f.keep(ctx, cfg)
			}
		})
	}
	wg.Wait()
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// keep is the life of one agent.
func (f *Fleet) keep(ctx context.Context, cfg Config) {
	wait := firstWait
	for ctx.Err() == nil {
		a, err := Dial(ctx, cfg)
		if err == nil {
			wait = firstWait
			f.connected.Add(1)
			f.idle(ctx, a)
			f.connected.Add(-1)
			if ctx.Err() != nil {
				return
			}
			f.ended.Add(1)
		} else {
			f.note(err)
		}
		//nolint:gosec // a spread, no secret
		if !pause(ctx, wait+time.Duration(rand.Float64()*0.3*float64(wait))) {
			return
		}
		wait = min(2*wait, longestWait)
	}
}

// note counts a failed attempt to connect.
func (f *Fleet) note(err error) {
	var timeout net.Error
	_, closed := errors.AsType[*websocket.CloseError](err)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		f.timeouts.Add(1)
	case closed && CloseCode(err) != websocket.CloseServiceRestart && CloseCode(err) != websocket.CloseAbnormalClosure:
		f.refused.Add(1)
	default:
		return // the brain is not there, or about to go
	}
	f.last = err
}

// idle keeps a connection alive until it ends; how it ended is of no interest.
func (f *Fleet) idle(ctx context.Context, a *Agent) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, a.Close)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		for {
			if _, err := a.Receive(); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	for n := 0; ; n++ {
		err := a.SendFrame(fmt.Sprintf("hb_%012x", n), wire.TypeHeartbeat,
			[]byte(`{"buffer_size":0,"last_flush_at":null,"dropped_events":0,"telemetry_loss":null,"adapter_health":{"celery":"healthy"}}`))
		if err == nil {
			err = a.SendFrame(fmt.Sprintf("as_%012x", n), wire.TypeAgentStatus, fmt.Appendf(nil,
				`{"telemetry_loss":null,"auth_failure_streak":0,"protocol_failure_streak":0,"connection_failure_streak":0,"last_successful_connect_at":null,`+
					`"current_session_age_seconds":%.3f,"buffer_depth":0,"buffer_oldest_age_seconds":null,"agent_version":"1.13.0","protocol_version":"2","engines":["celery"],"schedulers":[]}`,
				time.Since(began).Seconds()))
		}
		if err != nil {
			a.Close()
			<-ended
			return
		}
		f.beats.Add(1)
		select {
		case <-ended:
			return
		case <-time.After(f.beat):
		}
	}
}
