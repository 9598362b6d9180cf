// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

var _ Bus = (*Redis)(nil)

const (
	defaultNamespace = "z4j"
	// originLen is the length of the sender's mark in front of every payload.
	originLen = 16
	// outLen is how many hints wait for Redis before new ones are dropped.
	outLen = 4096
	// pipelineLen is how many of them go out in one round trip.
	pipelineLen = 256
	// ioTimeout bounds each exchange with Redis.
	ioTimeout = 2 * time.Second
	// confirmWait is how long Subscribe waits for Redis to confirm. It goes on without: the receiver asks
	// again after every reconnection.
	confirmWait = 2 * time.Second
	// quiet is how long the receiver hears nothing before it pings; after a second quiet time it reconnects.
	quiet      = 3 * time.Second
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	// subscribeBatch bounds the topics in one SUBSCRIBE.
	subscribeBatch = 500
)

// Redis is the bus between replicas: Redis pub/sub over one connection for all subscriptions of the process.
// Hints reach subscribers in the same process directly, so they keep flowing there while Redis is away.
type Redis struct {
	hub    *hub
	client redis.UniversalClient
	log    *slog.Logger
	prefix string
	origin [originLen]byte

	out    chan outgoing
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
	// connected is true while the receiver's connection works.
	connected atomic.Bool
	// down is true from a failed connection to the next working one; before the first attempt it is false.
	down atomic.Bool

	// ctl orders what is asked of Redis like the changes of the hub it follows from.
	ctl sync.Mutex
	ps  *redis.PubSub // nil while there is no connection

	mu        sync.Mutex
	confirmed map[Topic]struct{}
	changed   chan struct{} // closed and replaced when confirmed grows
}

type outgoing struct {
	channel string
	payload []byte
}

// NewRedis returns a bus over the Redis at cfg.URL. It does not wait for the connection: a Redis that is down
// makes the brain slower, it does not stop it.
func NewRedis(cfg Config) (*Redis, error) {
	target, err := parseRedisURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	quietLibrary()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Namespace == "" {
		cfg.Namespace = defaultNamespace
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Redis{
		hub: newHub(newMetrics(cfg.Registerer)), client: target.client(), log: cfg.Logger,
		prefix: cfg.Namespace + ":", out: make(chan outgoing, outLen), cancel: cancel,
		confirmed: make(map[Topic]struct{}), changed: make(chan struct{}),
	}
	_, _ = rand.Read(b.origin[:])
	b.wg.Go(func() { b.send(ctx) })
	b.wg.Go(func() { b.receive(ctx) })
	return b, nil
}

// quietLibrary keeps go-redis from writing to stderr on its own: what matters is logged here. The library has
// one logger for the process, hence the once.
var quietLibrary = sync.OnceFunc(func() { redis.SetLogger(discard{}) })

type discard struct{}

// Printf implements the library's logger.
func (discard) Printf(context.Context, string, ...any) {}

// Connected reports whether hints from other replicas can arrive.
func (b *Redis) Connected() bool { return b.connected.Load() }

// Publish implements Bus.
func (b *Redis) Publish(_ context.Context, topic Topic, payload []byte) error {
	if err := check(topic, payload); err != nil {
		return err
	}
	if b.hub.isClosed() {
		return ErrClosed
	}
	b.hub.metrics.published.Inc()
	b.publish(topic, payload)
	if repeat, ok := topic.family(); ok {
		b.publish(Agents(), repeat)
	}
	return nil
}

func (b *Redis) publish(topic Topic, payload []byte) {
	framed := make([]byte, 0, originLen+len(payload))
	framed = append(append(framed, b.origin[:]...), payload...)
	b.hub.deliver(topic, framed[originLen:])
	select {
	case b.out <- outgoing{b.prefix + topic.name, framed}:
	default:
		b.hub.metrics.dropped.WithLabelValues("publish_queue").Inc()
	}
}

// Subscribe implements Bus. It returns once Redis has confirmed the topics, or after a short wait without: the
// subscription then starts to receive from other replicas when the connection is back.
func (b *Redis) Subscribe(ctx context.Context, topics ...Topic) (Subscription, error) {
	b.ctl.Lock()
	s, fresh, err := b.hub.add(topics, b.unsubscribe)
	if err != nil {
		b.ctl.Unlock()
		return nil, err
	}
	if b.ps != nil {
		b.ask(ctx, b.ps.Subscribe, fresh)
	}
	b.ctl.Unlock()
	b.awaitConfirmed(ctx, topics)
	s.watch(ctx)
	return s, nil
}

func (b *Redis) unsubscribe(s *subscription) {
	b.ctl.Lock()
	defer b.ctl.Unlock()
	gone := b.hub.remove(s)
	b.mu.Lock()
	for _, t := range gone {
		delete(b.confirmed, t)
	}
	b.mu.Unlock()
	if b.ps != nil {
		b.ask(context.Background(), b.ps.Unsubscribe, gone)
	}
}

// ask sends SUBSCRIBE or UNSUBSCRIBE. An error needs no answer: the receiver meets it too and reconnects.
func (b *Redis) ask(ctx context.Context, command func(context.Context, ...string) error, topics []Topic) {
	for len(topics) > 0 {
		n := min(len(topics), subscribeBatch)
		channels := make([]string, n)
		for i, t := range topics[:n] {
			channels[i] = b.prefix + t.name
		}
		topics = topics[n:]
		ctx, cancel := context.WithTimeout(ctx, ioTimeout)
		err := command(ctx, channels...)
		cancel()
		if err != nil {
			return
		}
	}
}

func (b *Redis) awaitConfirmed(ctx context.Context, topics []Topic) {
	timer := time.NewTimer(confirmWait)
	defer timer.Stop()
	for {
		if b.down.Load() {
			return
		}
		b.mu.Lock()
		missing := 0
		for _, t := range topics {
			if _, ok := b.confirmed[t]; !ok {
				missing++
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// setConfirmed notes a confirmation and wakes those who wait for one.
func (b *Redis) setConfirmed(topic Topic) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.confirmed[topic] = struct{}{}
	close(b.changed)
	b.changed = make(chan struct{})
}

// forgetConfirmed wakes them when the connection is gone.
func (b *Redis) forgetConfirmed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.confirmed)
	close(b.changed)
	b.changed = make(chan struct{})
}

// send passes queued hints to Redis, several in one round trip.
func (b *Redis) send(ctx context.Context) {
	failing := false
	for {
		var batch []outgoing
		select {
		case <-ctx.Done():
			return
		case o := <-b.out:
			batch = append(batch, o)
		}
	more:
		for len(batch) < pipelineLen {
			select {
			case o := <-b.out:
				batch = append(batch, o)
			default:
				break more
			}
		}
		sctx, cancel := context.WithTimeout(ctx, ioTimeout)
		err := b.pass(sctx, batch)
		if err != nil {
			lookAgain(ctx, b.client)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			b.hub.metrics.dropped.WithLabelValues("redis").Add(float64(len(batch)))
			if !failing {
				b.log.Warn("hints do not reach redis; other replicas see changes later", "err", err)
			}
		}
		failing = err != nil
	}
}

// pass publishes hints in one round trip.
func (b *Redis) pass(ctx context.Context, batch []outgoing) error {
	to, err := publisher(ctx, b.client, b.prefix+"bus")
	if err != nil {
		return err
	}
	_, err = to.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, o := range batch {
			p.Publish(ctx, o.channel, o.payload)
		}
		return nil
	})
	return err
}

// receive keeps one connection for everything this process has subscribed to.
func (b *Redis) receive(ctx context.Context) {
	backoff, told := minBackoff, false
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listen(ctx)
		lookAgain(ctx, b.client)
		b.down.Store(true)
		if b.connected.Swap(false) {
			b.hub.metrics.connected.Set(0)
			if ctx.Err() == nil {
				b.log.Warn("lost the connection to redis; hints from other replicas are missing until it is back", "err", err)
			}
		} else if !told && ctx.Err() == nil {
			b.log.Warn("cannot connect to redis; hints from other replicas are missing until it answers", "err", err)
		}
		told = true
		b.forgetConfirmed()
		if time.Since(began) > 2*maxBackoff {
			backoff = minBackoff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		b.hub.metrics.reconnects.Inc()
		backoff = min(2*backoff, maxBackoff)
	}
}

// listen opens a connection, subscribes to everything wanted and delivers until the connection fails.
func (b *Redis) listen(ctx context.Context) error {
	// The process's own channel keeps the connection in subscriber mode while nobody wants anything.
	ps := b.client.Subscribe(ctx)
	// A read from Redis does not end with its context, but with its connection.
	stop := context.AfterFunc(ctx, func() { _ = ps.Close() })
	defer func() {
		stop()
		_ = ps.Close()
	}()
	sctx, cancel := context.WithTimeout(ctx, ioTimeout)
	err := ps.Subscribe(sctx, b.prefix+"bus")
	cancel()
	if err != nil {
		return err
	}
	b.ctl.Lock()
	b.ps = ps
	b.ask(ctx, ps.Subscribe, b.hub.wanted())
	b.ctl.Unlock()
	defer func() {
		b.ctl.Lock()
		b.ps = nil
		b.ctl.Unlock()
	}()
	pinged := false
	for {
		msg, err := ps.ReceiveTimeout(ctx, quiet)
		if err != nil {
			var ne net.Error
			if ctx.Err() != nil || pinged || !errors.As(err, &ne) || !ne.Timeout() {
				return err
			}
			pinged = true
			if err := ps.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		pinged = false
		if !b.connected.Swap(true) {
			b.down.Store(false)
			b.hub.metrics.connected.Set(1)
			b.log.Info("connected to redis")
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				b.setConfirmed(b.topicOf(m.Channel))
			}
		case *redis.Message:
			b.arrived(m)
		}
	}
}

func (b *Redis) arrived(m *redis.Message) {
	// Our own hints were delivered when they were published; what is too short is not from a brain.
	if len(m.Payload) < originLen || bytes.Equal([]byte(m.Payload[:originLen]), b.origin[:]) {
		return
	}
	b.hub.deliver(b.topicOf(m.Channel), []byte(m.Payload[originLen:]))
}

func (b *Redis) topicOf(channel string) Topic {
	if len(channel) < len(b.prefix) {
		return Topic{}
	}
	return Topic{channel[len(b.prefix):]}
}

// Close implements Bus.
func (b *Redis) Close() error {
	b.once.Do(func() {
		subs := b.hub.close()
		b.cancel()
		b.err = b.client.Close()
		b.wg.Wait()
		for _, s := range subs {
			s.Close()
		}
	})
	return b.err
}
