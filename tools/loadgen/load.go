// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load describes a stream of events at full speed.
type Load struct {
	// Agents are the connections to use, one Config each.
	Agents []Config
	// EventsPerFrame is 1 for what published agents send.
	EventsPerFrame int
	// Window is how many frames a connection may have unacknowledged; published agents allow 256.
	Window int
	// Frames ends a connection's stream after that many frames; 0 means until the context ends.
	Frames int
	// Prefix starts every task id, so that runs do not collapse into each other.
	Prefix string
	// OnAck, if set, is told the events of each acknowledged frame. It is called from several
	// goroutines.
	OnAck func(events []Event)
}

// Result is what a run measured.
type Result struct {
	Sent, Acked int64 // events
	Took        time.Duration
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
			if err := stream(ctx, a, i, load, &sent, &acked); err != nil && ctx.Err() == nil {
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

// stream sends on one goroutine and reads acknowledgements on another; the window between them is
// what keeps a slow brain from being flooded.
func stream(ctx context.Context, a *Agent, number int, load Load, sent, acked *atomic.Int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, a.Close)
	defer stop()
	defer a.Close()

	size := max(load.EventsPerFrame, 1)
	window := max(load.Window, 1)
	slots := make(chan struct{}, window)
	inFlight := &book{frames: map[string][]Event{}}

	reader := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		count := 0
		for {
			id, _, err := a.ReceiveAck()
			if err != nil {
				reader <- err
				return
			}
			events, known := inFlight.take(id)
			if !known {
				reader <- fmt.Errorf("frame %q was acknowledged but not sent, or twice", id)
				return
			}
			acked.Add(int64(size))
			if load.OnAck != nil {
				load.OnAck(events)
			}
			<-slots
			if count++; load.Frames > 0 && count == load.Frames {
				close(done)
				return
			}
		}
	}()

	events := make([]Event, size)
	for n := 0; load.Frames == 0 || n < load.Frames; n++ {
		select {
		case slots <- struct{}{}:
		case err := <-reader:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range events {
			events[i] = sample(load.Prefix, number, n*size+i)
		}
		id := "ev_" + events[0].ID
		if load.OnAck != nil {
			inFlight.put(id, slices.Clone(events))
		} else {
			inFlight.put(id, nil)
		}
		if err := a.Send(id, events...); err != nil {
			return err
		}
		sent.Add(int64(size))
	}
	select {
	case <-done:
		return nil
	case err := <-reader:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

type book struct {
	mu     sync.Mutex
	frames map[string][]Event
}

func (b *book) put(id string, events []Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frames[id] = events
}

func (b *book) take(id string) ([]Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	events, ok := b.frames[id]
	delete(b.frames, id)
	return events, ok
}

// kinds of one task's life, in order.
var kinds = [...]string{"task.received", "task.started", "task.succeeded"}

// sample is the n-th event of a connection: three events of about 700 bytes as a frame for each of
// many tasks, in the shape Celery's agent sends.
func sample(prefix string, agent, n int) Event {
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
