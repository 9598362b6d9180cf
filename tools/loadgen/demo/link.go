// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/loadgen"
)

const (
	// perFrame is far more than published agents put into one frame: filling is to be quick.
	perFrame = 500
	// window is how many frames may wait for their acknowledgement.
	window = 8
	// redial is the pause between attempts to connect again.
	redial = 300 * time.Millisecond
)

// link is one agent's connection. It connects again when the brain goes away and sends anew what was
// not acknowledged, as agents do.
type link struct {
	cfg       loadgen.Config
	onCommand func(wire.Envelope) (result, failure string)
	acked     *atomic.Int64
	slots     chan struct{}

	mu        sync.Mutex
	agent     *loadgen.Agent // nil while there is no connection
	connected time.Time
	number    int
	unacked   map[int][]loadgen.Event
}

func newLink(cfg loadgen.Config, acked *atomic.Int64, onCommand func(wire.Envelope) (result, failure string)) *link {
	return &link{cfg: cfg, acked: acked, onCommand: onCommand, slots: make(chan struct{}, window), unacked: map[int][]loadgen.Event{}}
}

// dial connects and sends what is unacknowledged.
func (l *link) dial(ctx context.Context) (*loadgen.Agent, error) {
	a, err := loadgen.Dial(ctx, l.cfg)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	numbers := make([]int, 0, len(l.unacked))
	for n := range l.unacked {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if err := a.Send(frameID(n), l.unacked[n]...); err != nil {
			a.Close()
			return nil, err
		}
	}
	l.agent, l.connected = a, time.Now()
	return a, nil
}

func frameID(n int) string { return "ev_" + strconv.Itoa(n) }

// serve reads until the context ends. The first connection is already open.
func (l *link) serve(ctx context.Context, a *loadgen.Agent) {
	for ctx.Err() == nil {
		stop := context.AfterFunc(ctx, a.Close)
		l.read(a)
		stop()
		a.Close()
		l.mu.Lock()
		l.agent = nil
		l.mu.Unlock()
		for next := (*loadgen.Agent)(nil); next == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(redial):
			}
			// The brain may be away for long; its return is what we wait for.
			if got, err := l.dial(ctx); err == nil {
				next, a = got, got
			}
		}
	}
}

// read handles frames until the connection breaks.
func (l *link) read(a *loadgen.Agent) {
	for {
		env, err := a.Receive()
		if err != nil {
			return
		}
		switch env.Type {
		case wire.TypeEventBatchAck:
			l.ack(env.Payload)
		case wire.TypeCommand:
			if err := l.answer(a, env); err != nil {
				return
			}
		default:
		}
	}
}

func (l *link) ack(payload []byte) {
	id := ""
	// A payload that cannot be read acknowledges nothing; the frame stays to be sent again.
	_ = wire.ScanObject(payload, func(key, value []byte) error {
		if string(key) == "acked_id" {
			id, _ = wire.StringOf(value)
		}
		return nil
	})
	n, err := strconv.Atoi(id[min(len(id), len("ev_")):])
	if err != nil {
		return
	}
	l.mu.Lock()
	events, known := l.unacked[n]
	delete(l.unacked, n)
	l.mu.Unlock()
	if known {
		l.acked.Add(int64(len(events)))
		<-l.slots
	}
}

func (l *link) answer(a *loadgen.Agent, env wire.Envelope) error {
	token := "null"
	_ = wire.ScanObject(env.Payload, func(key, value []byte) error {
		if string(key) == "delivery_claim_token" {
			token = string(value)
		}
		return nil
	})
	claim := `"delivery_claim_token":` + token
	if err := l.frame(a, env.ID, wire.TypeCommandAck, "{"+claim+"}"); err != nil {
		return err
	}
	result, failure := l.onCommand(env)
	if failure != "" {
		return l.frame(a, env.ID, wire.TypeCommandResult, fmt.Sprintf(`{"status":"failed","result":null,"error":%s,%s}`, text(failure), claim))
	}
	return l.frame(a, env.ID, wire.TypeCommandResult, fmt.Sprintf(`{"status":"success","result":%s,"error":null,%s}`, result, claim))
}

func (l *link) frame(a *loadgen.Agent, id string, kind wire.Type, payload string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.SendFrame(id, kind, []byte(payload))
}

// send queues one frame of events and waits while too many are unacknowledged.
func (l *link) send(ctx context.Context, events []loadgen.Event) error {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	l.unacked[l.number] = events
	if l.agent == nil {
		return nil // dial sends it
	}
	if err := l.agent.Send(frameID(l.number), events...); err != nil {
		l.agent.Close() // the reader sees it and connects again
	}
	return nil
}

// report sends a heartbeat and a status; without a connection there is nobody to tell.
func (l *link) report(id string, heartbeat []byte, status func(connected time.Time) ([]byte, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.agent == nil {
		return nil
	}
	payload, err := status(l.connected)
	if err != nil {
		return err
	}
	if err := l.agent.SendFrame("hb_"+id, wire.TypeHeartbeat, heartbeat); err != nil {
		l.agent.Close()
		return nil
	}
	if err := l.agent.SendFrame("as_"+id, wire.TypeAgentStatus, payload); err != nil {
		l.agent.Close()
	}
	return nil
}

// drain waits until everything sent is acknowledged.
func (l *link) drain(ctx context.Context) error {
	for range window {
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for range window {
		<-l.slots
	}
	return nil
}
