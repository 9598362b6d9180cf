// SPDX-License-Identifier: AGPL-3.0-or-later

package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/bus/bustest"
)

// A pool of go-redis that lost its server looks for it once a second; it notices that it was closed after that pause.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// redisServer is a private server whose process the test may kill.
type redisServer struct {
	t    *testing.T
	port string
	dir  string
	cmd  *exec.Cmd
	args []string
}

// syncBuffer collects a log that is written while it is read.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// needRedis skips the test where there is no Redis, or fails when CI is set.
func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" { //nolint:forbidigo // a check that does not run is a failure there
			t.Fatal("redis-server is missing: run the tests by `make test`, which installs it")
		}
		t.Skip("redis-server is missing: run `make test`, which installs it, or install the package redis-server")
	}
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	needRedis(t)
	s := &redisServer{t: t, dir: t.TempDir()}
	for range 5 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, s.port, _ = net.SplitHostPort(l.Addr().String())
		_ = l.Close()
		// Somebody else may take the port in between; then the server exits and the next port is tried.
		if s.start() {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

func (s *redisServer) start() bool {
	s.t.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)
	if len(s.args) > 0 && !strings.HasPrefix(s.args[0], "-") {
		args = s.args // a file says everything
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), "redis-server", args...) //nolint:gosec // our own arguments
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 200 {
		c, err := (&net.Dialer{}).DialContext(s.t.Context(), "tcp", "127.0.0.1:"+s.port)
		if err == nil {
			_ = c.Close()
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	s.kill()
	return false
}

func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *redisServer) open(t *testing.T, change ...func(*bus.Config)) *bus.Redis {
	t.Helper()
	cfg := bus.Config{URL: "redis://127.0.0.1:" + s.port + "/0", Namespace: uuid.NewString()}
	for _, f := range change {
		f(&cfg)
	}
	b, err := bus.NewRedis(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("did not happen: %s", what)
}

func TestMemory(t *testing.T) {
	bustest.Exercise(t, func(t *testing.T) (bus.Bus, bus.Bus) {
		b := bus.NewMemory(nil)
		t.Cleanup(func() { _ = b.Close() })
		return b, b
	})
}

func TestRedis(t *testing.T) {
	server := startRedis(t)
	t.Run("two_replicas", func(t *testing.T) {
		bustest.Exercise(t, func(t *testing.T) (bus.Bus, bus.Bus) {
			namespace := func(c *bus.Config) { c.Namespace = t.Name() }
			return server.open(t, namespace), server.open(t, namespace)
		})
	})
	t.Run("one_replica", func(t *testing.T) {
		bustest.Exercise(t, func(t *testing.T) (bus.Bus, bus.Bus) {
			b := server.open(t)
			return b, b
		})
	})
}

func TestRedisNamespaces(t *testing.T) {
	server := startRedis(t)
	a, b := server.open(t), server.open(t)
	s, err := b.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(t.Context(), bus.ProjectTasks(1), []byte("other installation")); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), bus.ProjectTasks(1), []byte("own")); err != nil {
		t.Fatal(err)
	}
	if m := <-s.C(); string(m.Payload) != "own" {
		t.Errorf("got %q of another namespace", m.Payload)
	}
}

// TestRedisRestart kills the server: publishing stays cheap and silent, subscriptions live on and work again by
// themselves, the ones made meanwhile too.
func TestRedisRestart(t *testing.T) {
	server := startRedis(t)
	reg := prometheus.NewRegistry()
	namespace := func(c *bus.Config) { c.Namespace = t.Name() }
	a := server.open(t, namespace)
	b := server.open(t, namespace, func(c *bus.Config) { c.Registerer = reg })
	early, err := b.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	local, err := a.Subscribe(t.Context(), bus.ProjectTasks(9))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected", func() bool { return a.Connected() && b.Connected() })

	server.kill()
	eventually(t, "loss noticed", func() bool { return !a.Connected() && !b.Connected() })
	started := time.Now()
	for range 1000 {
		if err := a.Publish(t.Context(), bus.ProjectTasks(9), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("publishing without redis took %v", took)
	}
	if m := <-local.C(); string(m.Payload) != "x" {
		t.Errorf("hints inside the process stopped: %q", m.Payload)
	}
	late, err := b.Subscribe(t.Context(), bus.ProjectTasks(2))
	if err != nil {
		t.Fatalf("subscribe without redis: %v", err)
	}

	if !server.start() {
		t.Fatal("redis-server does not start again")
	}
	eventually(t, "connected again", func() bool { return a.Connected() && b.Connected() })
	for topic, s := range map[bus.Topic]bus.Subscription{bus.ProjectTasks(1): early, bus.ProjectTasks(2): late} {
		eventually(t, "hint on "+topic.String(), func() bool {
			if err := a.Publish(t.Context(), topic, []byte("back")); err != nil {
				t.Fatal(err)
			}
			select {
			case m := <-s.C():
				return string(m.Payload) == "back"
			case <-time.After(20 * time.Millisecond):
				return false
			}
		})
	}
	if counter(t, reg, "z4j_bus_reconnects_total") == 0 {
		t.Error("the reconnection was not counted")
	}
}

// TestRedisSilence has a server that accepts and never answers: nothing may hang on it.
func TestRedisSilence(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b, err := bus.NewRedis(bus.Config{URL: "redis://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for i := range 5000 {
		if err := b.Publish(t.Context(), bus.ProjectTasks(int64(i)), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("publishing took %v", took)
	}
	s, err := b.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	started = time.Now()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	if _, open := <-s.C(); open {
		t.Error("the subscription outlives the bus")
	}
}

func TestRedisURL(t *testing.T) {
	for _, url := range []string{"redis://user:s3cr3t@host:port/0", "http://user:s3cr3t@host", "s3cr3t", "redis://:s3cr3t@[::1"} {
		b, err := bus.Open(bus.Config{URL: url})
		if err == nil {
			_ = b.Close()
			t.Errorf("%q accepted", url)
			continue
		}
		if strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "redis://") {
			t.Errorf("%q: %v", url, err)
		}
	}
	b, err := bus.Open(bus.Config{})
	if _, ok := b.(*bus.Memory); !ok || err != nil {
		t.Errorf("no URL: %T, %v", b, err)
	}
	_ = b.Close()
	b, err = bus.Open(bus.Config{DropPercent: 20})
	if _, ok := b.(*bus.Lossy); !ok || err != nil {
		t.Errorf("with losses: %T, %v", b, err)
	}
	_ = b.Close()
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := bus.NewMemory(reg)
	defer func() { _ = b.Close() }()
	s, err := b.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 300 {
		if err := b.Publish(t.Context(), bus.ProjectTasks(1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := counter(t, reg, "z4j_bus_dropped_total"); n != 44 {
		t.Errorf("%v dropped, want what the queue does not hold", n)
	}
	if n := counter(t, reg, "z4j_bus_published_total"); n != 300 {
		t.Errorf("%v published", n)
	}
}

// counter is the sum of a counter over its labels.
func counter(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestLossy(t *testing.T) {
	inner := bus.NewMemory(nil)
	l := bus.NewLossy(inner, 0.2, 1)
	defer func() { _ = l.Close() }()
	s, err := l.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for i := range 1000 {
		if err := l.Publish(t.Context(), bus.ProjectTasks(1), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.C():
			got++
		default:
		}
	}
	if lost := l.Dropped(); lost+int64(got) != 1000 || lost < 150 || lost > 250 {
		t.Errorf("%d lost, %d arrived", lost, got)
	}
	if err := l.Publish(t.Context(), bus.Topic{}, nil); !errors.Is(err, bus.ErrNoTopic) {
		t.Errorf("no topic: %v", err)
	}
}
