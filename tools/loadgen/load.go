// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load describes a stream of events, at full speed unless Rate says otherwise.
type Load struct {
	// Agents are the connections to use, one Config each.
	Agents []Config
	// EventsPerFrame is 1 for what published agents send.
	EventsPerFrame int
	// Window is how many frames a connection may have unacknowledged; published agents allow 256.
	Window int
	// Frames ends a connection's stream after that many frames; 0 means until the context ends.
	Frames int
	// For ends the streams after a time, but waits for the acknowledgements of what was sent by then: after it, what is
	// sent is what is acknowledged is what is stored. 0 means until Frames or the end of the context.
	For time.Duration
	// Rate is the events a second of all connections together; 0 is as fast as the brain takes them. A frame
	// that cannot leave when it is due, because the window is full, is late, and its latency counts from
	// when it was due.
	Rate float64
	// Prefix starts every task id, so that runs do not collapse into each other.
	Prefix string
	// Make makes the n-th event of a connection; nil makes three events a task, in the shape of Celery's.
	Make func(agent, n int) Event
	// OnAck, if set, is told the events of each acknowledged frame. It is called from several
	// goroutines.
	OnAck func(events []Event)
	// Latency, if set, takes for each frame the time from when it was due to its acknowledgement.
	Latency *Latencies
	// OnDue, if set, is told at each acknowledgement when the frame was due; Push.Acked is one.
	OnDue func(due time.Time)
}

// Result is what a run measured.
type Result struct {
	Sent, Acked int64 // events
	// Took is the time from the first event to the last acknowledgement.
	Took time.Duration
}

// PerSecond is the rate of acknowledged events.
func (r Result) PerSecond() float64 { return float64(r.Acked) / r.Took.Seconds() }

// Run streams until the context or the streams end. A connection that breaks ends its stream and
// is reported; what was acknowledged before counts.
func Run(ctx context.Context, load Load) (Result, error) {
	var sent, acked atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, len(load.Agents))
	agents := make([]*Agent, len(load.Agents))
	for i, cfg := range load.Agents {
		a, err := Dial(ctx, cfg)
		if err != nil {
			for _, open := range agents[:i] {
				open.Close()
			}
			return Result{}, err
		}
		agents[i] = a
	}
	began := time.Now()
	for i, a := range agents {
		wg.Go(func() {
			s := stream{a: a, number: i, load: &load, began: began, sent: &sent, acked: &acked}
			if err := s.run(ctx); err != nil && ctx.Err() == nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	var err error
	select {
	case err = <-errs:
	default:
	}
	return Result{Sent: sent.Load(), Acked: acked.Load(), Took: took}, err
}

// stream is one connection of a load.
type stream struct {
	a           *Agent
	number      int
	load        *Load
	began       time.Time
	sent, acked *atomic.Int64
}

// interval is the time between two frames of a connection, 0 at full speed.
func (s *stream) interval() time.Duration {
	if s.load.Rate <= 0 {
		return 0
	}
	frames := s.load.Rate / float64(max(s.load.EventsPerFrame, 1)) / float64(len(s.load.Agents))
	return time.Duration(float64(time.Second) / frames)
}

// errUnanswered is the end of a stream whose last frames nobody acknowledged.
var errUnanswered = errors.New("frames were not acknowledged within 100 seconds of the last one sent")

// run sends on one goroutine and reads acknowledgements on another; the window between them is
// what keeps a slow brain from being flooded.
func (s *stream) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.a.Close)
	defer stop()
	defer s.a.Close()

	slots := make(chan struct{}, max(s.load.Window, 1))
	flying := &book{frames: map[string]flight{}}
	reader := make(chan error, 1)
	go func() { reader <- s.readAcks(flying, slots) }()

	if err := s.send(ctx, flying, slots, reader); err != nil {
		return err
	}
	// Full again, it holds no frame that is on its way.
	patience := time.NewTimer(100 * time.Second)
	defer patience.Stop()
	for range cap(slots) {
		select {
		case slots <- struct{}{}:
		case err := <-reader:
			return err
		case <-patience.C:
			return errUnanswered
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *stream) readAcks(flying *book, slots chan struct{}) error {
	size := int64(max(s.load.EventsPerFrame, 1))
	for {
		id, _, err := s.a.ReceiveAck()
		if err != nil {
			return err
		}
		f, known := flying.take(id)
		if !known {
			return fmt.Errorf("frame %q was acknowledged but not sent, or twice", id)
		}
		s.acked.Add(size)
		if s.load.Latency != nil {
			s.load.Latency.Add(time.Since(f.due))
		}
		if s.load.OnDue != nil {
			s.load.OnDue(f.due)
		}
		if s.load.OnAck != nil {
			s.load.OnAck(f.events)
		}
		<-slots
	}
}

func (s *stream) send(ctx context.Context, flying *book, slots chan struct{}, reader chan error) error {
	size := max(s.load.EventsPerFrame, 1)
	interval := s.interval()
	// Connections take turns instead of sending all at once.
	due := s.began.Add(interval * time.Duration(s.number) / time.Duration(len(s.load.Agents)))
	timer := time.NewTimer(0)
	defer timer.Stop()
	events := make([]Event, size)
	for n := 0; s.load.Frames == 0 || n < s.load.Frames; n++ {
		if interval > 0 {
			if wait := time.Until(due); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case err := <-reader:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		select {
		case slots <- struct{}{}:
		case err := <-reader:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		now := time.Now()
		if s.load.For > 0 && now.Sub(s.began) >= s.load.For {
			<-slots
			return nil
		}
		if interval == 0 {
			due = now
		}
		for i := range events {
			if s.load.Make != nil {
				events[i] = s.load.Make(s.number, n*size+i)
			} else {
				events[i] = Sample(s.load.Prefix, s.number, n*size+i)
			}
		}
		id := "ev_" + events[0].ID
		f := flight{due: due}
		if s.load.OnAck != nil {
			f.events = slices.Clone(events)
		}
		flying.put(id, f)
		if err := s.a.Send(id, events...); err != nil {
			return err
		}
		s.sent.Add(int64(size))
		due = due.Add(interval)
	}
	return nil
}

// flight is a frame that is not acknowledged yet.
type flight struct {
	due    time.Time
	events []Event
}

type book struct {
	mu     sync.Mutex
	frames map[string]flight
}

func (b *book) put(id string, f flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frames[id] = f
}

func (b *book) take(id string) (flight, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.frames[id]
	delete(b.frames, id)
	return f, ok
}

// kinds of one task's life, in order.
var kinds = [...]string{"task.received", "task.started", "task.succeeded"}

// Sample is the n-th event of a connection: three events of about 700 bytes as a frame for each of
// many tasks, in the shape Celery's agent sends.
func Sample(prefix string, agent, n int) Event {
	task := fmt.Sprintf("%s-%03d-%08d", prefix, agent, n/len(kinds))
	e := Event{ID: uuidFor(agent, n), Kind: kinds[n%len(kinds)], TaskID: task, At: time.Now()}
	name := "shop.tasks.process_order_" + strconv.Itoa(n/len(kinds)%20)
	switch e.Kind {
	case "task.received":
		e.Data = `{"task_name":"` + name + `","queue":"queue-` + strconv.Itoa(agent%5) + `","worker":null,"args":[` +
			strconv.Itoa(n) + `,"standard delivery"],"kwargs":{"currency":"EUR","items":[1,2,3,4],"note":"leave the parcel with the neighbour"},"parent_task_id":null,"root_task_id":null}`
	case "task.started":
		e.Data = `{"task_name":"<unknown:` + task[:min(8, len(task))] + `>","queue":null,"worker":"celery@worker-` + strconv.Itoa(agent) + `","args":null,"kwargs":null}`
	default:
		e.Data = `{"task_name":"<unknown:` + task[:min(8, len(task))] + `>","queue":null,"worker":"celery@worker-` + strconv.Itoa(agent) +
			`","result":"{'status': 'ok', 'order': ` + strconv.Itoa(n) + `}","runtime_ms":` + strconv.Itoa(n%200) + `}`
	}
	return e
}

// uuidFor makes a unique version 4 UUID cheaply: the generator must not be what is measured.
func uuidFor(agent, n int) string {
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", uint32(agent), uint16(time.Now().Unix()), n)
}
