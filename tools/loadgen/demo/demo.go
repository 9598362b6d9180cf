// SPDX-License-Identifier: AGPL-3.0-or-later

// Package demo fills a project with a made-up shop's work through the agents' protocol, and goes on
// living it: tasks arrive, workers report themselves, commands are answered as a Celery agent
// answers them. Nothing behind it runs any task.
package demo

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
	"github.com/z4jdev/z4j/tools/loadgen/shop"
)

// Options say what to do.
type Options struct {
	// URL is the brain's address; Agents are whom to connect as, one for each of shop.Hosts or fewer.
	URL    string
	Agents []Credentials
	// Tasks is how many tasks of the past to tell, spread over Span.
	Tasks int
	Span  time.Duration
	// Live goes on with Rate tasks a second until the context ends.
	Live bool
	Rate float64
	// Seed makes runs alike; the times still count from now.
	Seed uint64
	// Log is told what happens, a line each.
	Log func(format string, args ...any)
}

// Credentials are an agent's.
type Credentials struct{ Token, HMACSecret string }

const (
	heartbeatEvery = 10 * time.Second
	tick           = 50 * time.Millisecond
)

// demo is one run.
type demo struct {
	opts  Options
	links []*link
	acked atomic.Int64
	wg    sync.WaitGroup

	mu        sync.Mutex // guards what follows: the commands come from the links' goroutines
	shop      *shop.Shop
	fleet     *shop.Fleet
	future    steps
	cancelled map[string]bool
	revoked   []shop.Step
	beats     int
}

// Run connects, fills, and lives on if asked to, until the context ends.
func Run(ctx context.Context, opts Options) error {
	err := run(ctx, opts)
	if opts.Live && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // asked to end
	}
	return err
}

func run(ctx context.Context, opts Options) error {
	if len(opts.Agents) == 0 {
		return errors.New("there is no agent to connect as")
	}
	ctx, cancel := context.WithCancel(ctx)
	now := time.Now()
	d := &demo{opts: opts, shop: shop.New(opts.Seed, now, opts.Span), fleet: shop.NewFleet(), cancelled: map[string]bool{}}
	defer d.wg.Wait()
	defer cancel()
	if err := d.connect(ctx); err != nil {
		return err
	}
	if err := d.heartbeat(); err != nil {
		return err
	}
	if opts.Tasks > 0 {
		if err := d.fill(ctx, now); err != nil {
			return err
		}
		if err := d.heartbeat(); err != nil {
			return err
		}
	}
	if !opts.Live {
		return nil
	}
	return d.live(ctx)
}

// connect opens one connection for each host; agents are shared out when there are fewer.
func (d *demo) connect(ctx context.Context) error {
	for i, host := range shop.Hosts() {
		cred := d.opts.Agents[i%len(d.opts.Agents)]
		cfg := loadgen.Config{
			URL: d.opts.URL, Token: cred.Token, HMACSecret: cred.HMACSecret, Host: host,
			WorkerID: fmt.Sprintf("bare-%d-%d", 4000+i, time.Now().UnixMilli()), AgentVersion: version(i),
		}
		l := newLink(cfg, &d.acked, d.command)
		a, err := l.dial(ctx)
		if err != nil {
			return err
		}
		d.links = append(d.links, l)
		d.wg.Go(func() { l.serve(ctx, a) })
	}
	return nil
}

// version: the last host has not been updated.
func version(host int) string {
	if host == len(shop.Hosts())-1 {
		return "1.12.3"
	}
	return "1.13.0"
}

// fill tells the past.
func (d *demo) fill(ctx context.Context, now time.Time) error {
	began := time.Now()
	next := began.Add(heartbeatEvery)
	told := 0
	send := func(tasks []shop.Task) error {
		batches := make([][]loadgen.Event, len(d.links))
		d.mu.Lock()
		for _, t := range tasks {
			for _, step := range t.Steps {
				if step.At.After(now) {
					d.future.add(step)
					continue
				}
				d.fleet.Observe(step)
				batches[step.Host] = append(batches[step.Host], step.Event)
			}
		}
		d.mu.Unlock()
		if err := d.send(ctx, batches); err != nil {
			return err
		}
		told += len(tasks)
		if time.Now().After(next) {
			next = time.Now().Add(heartbeatEvery)
			d.opts.Log("%d tasks, %d events acknowledged", told, d.acked.Load())
			return d.heartbeat()
		}
		return nil
	}
	backlog := min(d.opts.Tasks/250, 600)
	if err := d.shop.Past(d.opts.Tasks-backlog, send); err != nil {
		return err
	}
	if err := send(d.shop.Backlog(backlog)); err != nil {
		return err
	}
	for _, l := range d.links {
		if err := l.drain(ctx); err != nil {
			return err
		}
	}
	took := time.Since(began)
	d.opts.Log("%d tasks with %d events in %s (%.0f events/s)", told, d.acked.Load(), took.Round(time.Millisecond), float64(d.acked.Load())/took.Seconds())
	return nil
}

// send shares batches of each host out into frames.
func (d *demo) send(ctx context.Context, batches [][]loadgen.Event) error {
	errs := make(chan error, len(batches))
	var wg sync.WaitGroup
	for i, events := range batches {
		wg.Go(func() {
			for len(events) > 0 {
				n := min(len(events), perFrame)
				if err := d.links[i].send(ctx, events[:n:n]); err != nil {
					errs <- err
					return
				}
				events = events[n:]
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (d *demo) heartbeat() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.beats++
	for host, l := range d.links {
		payload, err := d.fleet.Heartbeat(host, now)
		if err != nil {
			return err
		}
		err = l.report(fmt.Sprintf("%d_%d", host, d.beats), payload, func(connected time.Time) ([]byte, error) {
			return d.fleet.Status(host, version(host), connected, now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// live goes on until the context ends.
func (d *demo) live(ctx context.Context) error {
	d.opts.Log("live with %g tasks a second; interrupt to end", d.opts.Rate)
	ticks, beats := time.NewTicker(tick), time.NewTicker(heartbeatEvery)
	defer ticks.Stop()
	defer beats.Stop()
	last, due := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beats.C:
			if err := d.heartbeat(); err != nil {
				return err
			}
		case now := <-ticks.C:
			due += d.opts.Rate * now.Sub(last).Seconds()
			last = now
			if err := d.send(ctx, d.due(now, &due)); err != nil {
				return err
			}
		}
	}
}

// due lets whole tasks arrive and takes out what has become present.
func (d *demo) due(now time.Time, arrivals *float64) [][]loadgen.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; *arrivals >= 1; *arrivals-- {
		for _, t := range d.shop.Arrive(now) {
			d.future.add(t.Steps...)
		}
	}
	batches := make([][]loadgen.Event, len(d.links))
	for _, step := range d.revoked {
		d.fleet.Observe(step)
		batches[step.Host] = append(batches[step.Host], step.Event)
	}
	d.revoked = d.revoked[:0]
	for len(d.future) > 0 && !d.future[0].At.After(now) {
		step, _ := heap.Pop(&d.future).(shop.Step)
		if d.cancelled[step.TaskID] {
			continue
		}
		d.fleet.Observe(step)
		batches[step.Host] = append(batches[step.Host], step.Event)
	}
	return batches
}

// steps is a heap by time.
type steps []shop.Step

func (s *steps) add(list ...shop.Step) {
	for _, step := range list {
		heap.Push(s, step)
	}
}

func (s steps) Len() int           { return len(s) }
func (s steps) Less(i, j int) bool { return s[i].At.Before(s[j].At) }
func (s steps) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }

// Push is heap's.
func (s *steps) Push(x any) {
	if step, ok := x.(shop.Step); ok {
		*s = append(*s, step)
	}
}

// Pop is heap's.
func (s *steps) Pop() any {
	old := *s
	step := old[len(old)-1]
	*s = old[:len(old)-1]
	return step
}
