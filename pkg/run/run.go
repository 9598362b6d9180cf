// SPDX-License-Identifier: AGPL-3.0-or-later

// Package run owns the life of a process: named actors that start together, stop together on a signal
// or on the first failure, within a time limit, with every error reported.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

// spareHeap makes the garbage collector wait for as much garbage again, whatever is in use: with the few MiB of a quiet
// process it would run a hundred times a second under a few readers, and take a third of their time.
const spareHeap = 8 << 20

// Func is the body of an actor: it blocks until ctx ends or it fails. Returning nil early means that its
// work is done; the others go on.
type Func func(ctx context.Context) error

// Group runs actors. Create with New, Add all of them, then call Run once.
type Group struct {
	logger *slog.Logger
	limit  time.Duration
	actors []*actor
}

type actor struct {
	name string
	run  Func
	base bool
	done chan struct{}
	err  error
}

// New returns an empty group whose stop takes at most limit.
func New(logger *slog.Logger, limit time.Duration) *Group {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Group{logger: logger, limit: limit}
}

// Add registers an actor. The name appears in errors.
func (g *Group) Add(name string, run Func) {
	g.actors = append(g.actors, &actor{name: name, run: run, done: make(chan struct{})})
}

// AddBase registers an actor that the others stand on, such as a database's upkeep: it is told to stop
// only after all others have ended.
func (g *Group) AddBase(name string, run Func) {
	g.Add(name, run)
	g.actors[len(g.actors)-1].base = true
}

// Run starts every actor and blocks until all have ended. It stops them when ctx ends or one fails. The
// error joins what every actor returned, except the ends of the context that Run itself caused; an actor
// that outlives the limit is reported and left behind.
func (g *Group) Run(ctx context.Context) error {
	// Nothing is ever written there, so that it takes no memory.
	spare := make([]byte, spareHeap)
	defer runtime.KeepAlive(spare)
	topCtx, stopTop := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTop()
	baseCtx, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()

	failed := make(chan *actor, len(g.actors))
	var top, base []*actor
	for _, a := range g.actors {
		actorCtx := topCtx
		if a.base {
			actorCtx = baseCtx
			base = append(base, a)
		} else {
			top = append(top, a)
		}
		go func() {
			defer close(a.done)
			if a.err = g.call(actorCtx, a); a.err != nil {
				failed <- a
			}
		}()
	}

	select {
	case <-ctx.Done():
		g.logger.Info("stopping")
	case a := <-failed:
		g.logger.Error("stopping after a failure", "actor", a.name, "err", a.err)
	case <-allDone(topCtx, top):
	}

	limit := time.NewTimer(g.limit)
	defer limit.Stop()
	stopTop()
	late := waitAll(top, limit.C)
	stopBase()
	if len(late) == 0 {
		late = waitAll(base, limit.C)
	}
	return g.result(late)
}

// call runs the actor and turns a panic into its error, so that the others still stop in order.
func (g *Group) call(ctx context.Context, a *actor) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			g.logger.Error("actor panicked", "actor", a.name, "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	err = a.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was told to end, and says that it was told
	}
	return err
}

func (g *Group) result(late []*actor) error {
	var errs []error
	for _, a := range g.actors {
		select {
		case <-a.done:
			if a.err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", a.name, a.err))
			}
		default:
		}
	}
	if len(late) > 0 {
		names := make([]string, len(late))
		for i, a := range late {
			names[i] = a.name
		}
		errs = append(errs, fmt.Errorf("%w after %s: %s", ErrStopTimeout, g.limit, strings.Join(names, ", ")))
	}
	return errors.Join(errs...)
}

// ErrStopTimeout says that an actor did not end within the group's limit.
var ErrStopTimeout = errors.New("still running")

// waitAll waits for the actors until the limit fires and returns those still running.
func waitAll(actors []*actor, limit <-chan time.Time) []*actor {
	for i, a := range actors {
		select {
		case <-a.done:
		case <-limit:
			return running(actors[i:])
		}
	}
	return nil
}

func running(actors []*actor) []*actor {
	var left []*actor
	for _, a := range actors {
		select {
		case <-a.done:
		default:
			left = append(left, a)
		}
	}
	return left
}

// allDone closes the returned channel when every actor has ended; ctx ends the wait.
func allDone(ctx context.Context, actors []*actor) <-chan struct{} {
	done := make(chan struct{})
	if len(actors) == 0 {
		return nil // a group of base actors only runs until it is told to stop
	}
	go func() {
		for _, a := range actors {
			select {
			case <-a.done:
			case <-ctx.Done():
				return
			}
		}
		close(done)
	}()
	return done
}

// Signals returns a context that ends on SIGINT or SIGTERM. After the first signal the default action is
// restored, so that a second one kills a process that hangs while stopping.
func Signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ch:
		case <-ctx.Done():
		}
		signal.Stop(ch)
		cancel()
	})
	return ctx, func() {
		cancel()
		wg.Wait()
	}
}

// Serve returns an actor that serves HTTP on ln. On stop it takes no new connection, lets running
// requests finish for at most drain, then closes what is left. Hijacked connections (WebSockets) belong
// to their handlers' owners.
func Serve(srv *http.Server, ln net.Listener, drain time.Duration) Func {
	return func(ctx context.Context) error {
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(ln) }()
		select {
		case err := <-ended:
			return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
		case <-ctx.Done():
		}
		drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		err := srv.Shutdown(drainCtx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		if served := <-ended; err == nil && !errors.Is(served, http.ErrServerClosed) {
			err = served
		}
		if err != nil {
			return fmt.Errorf("stop serving on %s: %w", ln.Addr(), err)
		}
		return nil
	}
}
