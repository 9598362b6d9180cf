// SPDX-License-Identifier: AGPL-3.0-or-later

// Package throttle counts failures by address or agent, so that only those who fail are held off.
package throttle

import (
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// maxFailureKeys bounds the table; when it is full, expired windows go, then any.
const maxFailureKeys = 20_000

// Failures counts failed handshakes and broken signatures by key in fixed windows. Only failures count:
// a fleet behind one address that connects properly is never throttled.
type Failures struct {
	limit  int
	window time.Duration
	now    func() time.Time

	mu   sync.Mutex
	seen map[string]failureWindow
}

type failureWindow struct {
	start time.Time
	n     int
}

// New allows limit failures of a key in a window; a limit of 0 or less switches the throttle off.
func New(limit int, window time.Duration, now func() time.Time) *Failures {
	return &Failures{limit: limit, window: window, now: now, seen: make(map[string]failureWindow)}
}

// Blocked reports whether the key used up its failures.
func (f *Failures) Blocked(key string) bool {
	if f.limit <= 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.seen[key]
	return ok && w.n >= f.limit && f.now().Sub(w.start) < f.window
}

// Add counts one failure and returns how many the window has.
func (f *Failures) Add(key string) int {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.seen[key]
	if !ok && len(f.seen) >= maxFailureKeys {
		f.evict(now)
	}
	if now.Sub(w.start) >= f.window {
		w = failureWindow{start: now}
	}
	w.n++
	f.seen[key] = w
	return w.n
}

func (f *Failures) evict(now time.Time) {
	for k, w := range f.seen {
		if now.Sub(w.start) >= f.window {
			delete(f.seen, k)
		}
	}
	for k := range f.seen {
		if len(f.seen) < maxFailureKeys {
			return
		}
		delete(f.seen, k)
	}
}

// AddressKey is the key of an address. It counts IPv6 by /64: one host owns all of that.
func AddressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return "ip:" + p.String()
		}
	}
	return "ip:" + a.String()
}

// AgentKey is the key of an agent.
func AgentKey(id int64) string { return "agent:" + strconv.FormatInt(id, 10) }
