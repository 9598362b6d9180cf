// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// Draining is the time between the order to stop and the stop: requests are still taken, but readiness says no, so that
// balancers send new ones elsewhere.
type Draining struct {
	on   atomic.Bool
	stop context.CancelFunc
	done chan struct{}
}

// Drain returns a context that ends delay after ctx does. Stop must be called in the end.
func Drain(ctx context.Context, delay time.Duration, log *slog.Logger) (context.Context, *Draining) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	d := &Draining{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		defer stop()
		select {
		case <-ctx.Done():
		case <-work.Done():
			return
		}
		d.on.Store(true)
		if delay <= 0 {
			return
		}
		log.Info("draining", "delay", delay)
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-work.Done():
		}
	}()
	return work, d
}

// Stop ends the context at once.
func (d *Draining) Stop() {
	d.stop()
	<-d.done
}

// On reports that the process was told to stop.
func (d *Draining) On() bool { return d.on.Load() }

// Handler answers the readiness probe of the public listener while draining, and passes everything else on.
func (d *Draining) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.On() && r.URL.Path == "/api/v1/health/ready" {
			w.Header().Set("Retry-After", "2")
			httpx.WriteError(w, r, domain.Errorf(domain.CodeUnavailable, "this process is stopping"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
