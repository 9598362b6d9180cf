// SPDX-License-Identifier: AGPL-3.0-or-later

package run

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func block(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStopOnContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := New(nil, time.Minute)
	var topEnded atomic.Bool
	g.AddBase("store", func(ctx context.Context) error {
		<-ctx.Done()
		if !topEnded.Load() {
			return errors.New("stopped before the actors that need it")
		}
		return nil
	})
	g.Add("api", func(ctx context.Context) error {
		<-ctx.Done()
		topEnded.Store(true)
		return ctx.Err()
	})
	g.Add("job", func(context.Context) error { cancel(); return nil })
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestFailureStopsAllAndErrorsAreJoined(t *testing.T) {
	first, second := errors.New("port taken"), errors.New("flush incomplete")
	g := New(nil, time.Minute)
	g.Add("gateway", func(context.Context) error { return first })
	g.Add("ingest", func(ctx context.Context) error { <-ctx.Done(); return second })
	g.Add("api", block)
	g.Add("audit", func(ctx context.Context) error { <-ctx.Done(); panic("boom") })
	err := g.Run(t.Context())
	if !errors.Is(err, first) || !errors.Is(err, second) || !strings.Contains(err.Error(), "gateway: port taken") || !strings.Contains(err.Error(), "audit: panic: boom") {
		t.Errorf("got %v", err)
	}
}

func TestAllDoneEndsTheGroup(t *testing.T) {
	g := New(nil, time.Minute)
	g.Add("a", func(context.Context) error { return nil })
	g.AddBase("b", block)
	if err := g.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopLimit(t *testing.T) {
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := New(nil, 10*time.Millisecond)
	g.Add("stuck", func(context.Context) error { <-release; return nil })
	g.Add("fine", block)
	err := g.Run(ctx)
	if !errors.Is(err, ErrStopTimeout) || !strings.Contains(err.Error(), "stuck") || strings.Contains(err.Error(), "fine") {
		t.Errorf("got %v", err)
	}
	close(release)
	<-g.actors[0].done
}

func TestSignalEndsContext(t *testing.T) {
	ctx, stop := Signals(t.Context())
	defer stop()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("SIGTERM did not end the context")
	}
}

func TestServeDrains(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(srv, ln, time.Minute)(ctx) }()
	answer := make(chan string, 1)
	go func() {
		defer close(answer)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String(), nil)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-entered
	cancel()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
