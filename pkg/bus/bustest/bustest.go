// SPDX-License-Identifier: AGPL-3.0-or-later

// Package bustest is the conformance suite of pkg/bus: what every implementation must do. It is imported by
// tests only.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
)

// OpenFunc returns two ends of one bus, as two replicas would hold them, closed by the test's clean-up. A bus
// that lives in one process returns the same end twice.
type OpenFunc func(t *testing.T) (a, b bus.Bus)

// patience is how long a test waits for what must happen; arrives and never are tuned by it.
const patience = 10 * time.Second

// Exercise runs the suite.
func Exercise(t *testing.T, open OpenFunc) {
	t.Helper()
	for name, run := range map[string]func(*testing.T, OpenFunc){
		"fan_out": fanOut, "topics": topics, "order": order, "slow_subscriber": slowSubscriber, "end": end,
		"context": contextEnds, "payload": payload, "close": closeBus, "churn": churn, "agents": agents,
	} {
		t.Run(name, func(t *testing.T) { run(t, open) })
	}
}

func subscribe(t *testing.T, b bus.Bus, topics ...bus.Topic) bus.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), topics...)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func publish(t *testing.T, b bus.Bus, topic bus.Topic, text string) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, []byte(text)); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

func expect(t *testing.T, s bus.Subscription, topic bus.Topic, text string) {
	t.Helper()
	select {
	case m, ok := <-s.C():
		if !ok {
			t.Fatalf("the subscription ended; want %s %q", topic, text)
		}
		if m.Topic != topic || string(m.Payload) != text {
			t.Fatalf("got %s %q, want %s %q", m.Topic, m.Payload, topic, text)
		}
	case <-time.After(patience):
		t.Fatalf("no hint; want %s %q", topic, text)
	}
}

// agents checks that hints about any agent arrive on one topic.
func agents(t *testing.T, open OpenFunc) {
	a, b := open(t)
	s := subscribe(t, b, bus.Agents())
	for i, p := range []struct {
		topic bus.Topic
		want  bus.AgentHint
	}{
		{bus.AgentCommands(7), bus.AgentHint{Kind: bus.HintCommand, ID: 7}},
		{bus.AgentRevoked(8), bus.AgentHint{Kind: bus.HintRevoked, ID: 8}},
		{bus.AgentSlot(9), bus.AgentHint{Kind: bus.HintSlot, ID: 9}},
		{bus.ProjectArchived(10), bus.AgentHint{Kind: bus.HintArchived, ID: 10}},
	} {
		publish(t, a, bus.ProjectTasks(1), "not about agents")
		publish(t, a, p.topic, "")
		select {
		case m := <-s.C():
			if got, ok := bus.ParseAgentHint(m); !ok || got != p.want {
				t.Fatalf("case %d: got %v %v, want %v", i, got, ok, p.want)
			}
		case <-time.After(patience):
			t.Fatalf("case %d: no hint", i)
		}
	}
}

// nothingBefore checks that nothing but the mark arrives, by publishing the mark behind what must not.
func nothingBefore(t *testing.T, from bus.Bus, s bus.Subscription, topic bus.Topic) {
	t.Helper()
	publish(t, from, topic, "mark")
	expect(t, s, topic, "mark")
}

func ended(t *testing.T, s bus.Subscription) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-s.C():
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the subscription's channel is still open")
		}
	}
}

func fanOut(t *testing.T, open OpenFunc) {
	a, b := open(t)
	topic := bus.ProjectTasks(1)
	subs := []bus.Subscription{subscribe(t, a, topic), subscribe(t, a, topic), subscribe(t, b, topic)}
	publish(t, a, topic, "from a")
	for _, s := range subs {
		expect(t, s, topic, "from a")
	}
	publish(t, b, topic, "from b")
	for _, s := range subs {
		expect(t, s, topic, "from b")
	}
	// Each end gets each hint once.
	for _, s := range subs {
		select {
		case m := <-s.C():
			t.Errorf("a second delivery: %s %q", m.Topic, m.Payload)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func topics(t *testing.T, open OpenFunc) {
	a, b := open(t)
	user := uuid.MustParse("11111111-2222-3333-4444-555555555555")
	all := []bus.Topic{
		bus.ProjectTasks(1), bus.ProjectCommands(1), bus.ProjectAgents(1), bus.ProjectArchived(1), bus.AgentCommands(1),
		bus.AgentRevoked(1), bus.UserSessions(user),
	}
	everything := subscribe(t, b, all...)
	for i, topic := range all {
		publish(t, a, topic, fmt.Sprint(i))
		expect(t, everything, topic, fmt.Sprint(i))
	}
	one := subscribe(t, b, bus.ProjectTasks(2))
	for _, topic := range append(all, bus.ProjectTasks(22), bus.UserSessions(uuid.Nil)) {
		publish(t, a, topic, "not for you")
	}
	nothingBefore(t, a, one, bus.ProjectTasks(2))

	if err := a.Publish(t.Context(), bus.Topic{}, nil); !errors.Is(err, bus.ErrNoTopic) {
		t.Errorf("publish without topic: %v", err)
	}
	if _, err := a.Subscribe(t.Context()); !errors.Is(err, bus.ErrNoTopic) {
		t.Errorf("subscribe without topic: %v", err)
	}
	if _, err := a.Subscribe(t.Context(), bus.Topic{}); !errors.Is(err, bus.ErrNoTopic) {
		t.Errorf("subscribe to no topic: %v", err)
	}
}

func order(t *testing.T, open OpenFunc) {
	a, b := open(t)
	topic := bus.ProjectTasks(1)
	subs := []bus.Subscription{subscribe(t, a, topic), subscribe(t, b, topic)}
	for i := range 100 {
		publish(t, a, topic, fmt.Sprint(i))
	}
	for _, s := range subs {
		for i := range 100 {
			expect(t, s, topic, fmt.Sprint(i))
		}
	}
}

func slowSubscriber(t *testing.T, open OpenFunc) {
	a, b := open(t)
	topic := bus.ProjectTasks(1)
	asleep := []bus.Subscription{subscribe(t, a, topic), subscribe(t, b, topic)}
	other := bus.ProjectTasks(2)
	awake := subscribe(t, b, other)
	started := time.Now()
	for range 5000 {
		publish(t, a, topic, "x")
	}
	if took := time.Since(started); took > patience/2 {
		t.Errorf("publishing to a sleeping subscriber took %v", took)
	}
	// The queue before Redis may still be full, and a hint may be dropped there: publish until it arrives.
	deadline := time.After(patience)
	for arrived := false; !arrived; {
		publish(t, a, other, "awake")
		select {
		case <-awake.C():
			arrived = true
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("a sleeping subscriber holds up another")
		}
	}
	for _, s := range asleep {
		if n := len(s.C()); n == 0 || n >= 5000 {
			t.Errorf("%d hints wait for the sleeping subscriber", n)
		}
	}
}

func end(t *testing.T, open OpenFunc) {
	a, b := open(t)
	topic := bus.ProjectTasks(1)
	gone, stays := subscribe(t, b, topic), subscribe(t, b, topic)
	gone.Close()
	gone.Close()
	ended(t, gone)
	publish(t, a, topic, "after")
	expect(t, stays, topic, "after")
	stays.Close()
	ended(t, stays)
	again := subscribe(t, b, topic)
	nothingBefore(t, a, again, topic)
}

func contextEnds(t *testing.T, open OpenFunc) {
	a, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := a.Subscribe(ctx, bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ended(t, s)
	s.Close()
}

func payload(t *testing.T, open OpenFunc) {
	a, b := open(t)
	topic := bus.ProjectTasks(1)
	subs := []bus.Subscription{subscribe(t, a, topic), subscribe(t, b, topic)}
	buffer := []byte("first")
	if err := a.Publish(t.Context(), topic, buffer); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "spoil")
	for _, s := range subs {
		expect(t, s, topic, "first")
	}
	binary := string([]byte{0, 255, 10, 13, 0})
	largest := string(make([]byte, bus.MaxPayload))
	for _, text := range []string{"", binary, largest} {
		publish(t, a, topic, text)
		for _, s := range subs {
			expect(t, s, topic, text)
		}
	}
	if err := a.Publish(t.Context(), topic, make([]byte, bus.MaxPayload+1)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a large payload: %v", err)
	}
}

func closeBus(t *testing.T, open OpenFunc) {
	a, _ := open(t)
	s := subscribe(t, a, bus.ProjectTasks(1))
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	ended(t, s)
	if err := a.Publish(t.Context(), bus.ProjectTasks(1), nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("publish on a closed bus: %v", err)
	}
	if _, err := a.Subscribe(t.Context(), bus.ProjectTasks(1)); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribe on a closed bus: %v", err)
	}
}

// churn has subscribers come and go while hints fly; what is checked is that nothing hangs or panics, and that
// whoever subscribes afterwards gets its hint.
func churn(t *testing.T, open OpenFunc) {
	a, b := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var publishers, subscribers sync.WaitGroup
	for i := range 3 {
		publishers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_ = a.Publish(ctx, bus.ProjectTasks(int64(n%5)), []byte{byte(i)})
				if n%50 == 0 {
					<-time.After(time.Millisecond)
				}
			}
		})
	}
	for i := range 4 {
		subscribers.Go(func() {
			for n := range 40 {
				s, err := b.Subscribe(ctx, bus.ProjectTasks(int64(n%5)), bus.AgentCommands(int64(i)))
				if err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				select {
				case <-s.C():
				case <-time.After(patience):
					t.Error("no hint on a busy topic")
				}
				s.Close()
			}
		})
	}
	subscribers.Wait()
	cancel()
	publishers.Wait()
	s := subscribe(t, b, bus.ProjectTasks(77))
	nothingBefore(t, a, s, bus.ProjectTasks(77))
}
