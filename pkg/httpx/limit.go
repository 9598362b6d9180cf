// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

// Body limits of the public API. Imports and the agents' long-poll uploads are larger on purpose.
const (
	MaxBodyAPI    int64 = 1 << 20
	MaxBodyUpload int64 = 8 << 20
)

// BodyLimit refuses request bodies above limit(r) bytes: at once when Content-Length says so, else
// while they are read (Decode then returns the 413). limit must be positive.
func BodyLimit(limit func(r *http.Request) int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := limit(r)
			if r.ContentLength > n {
				err := domain.Errorf(domain.CodeTooLarge, "request body of %d bytes exceeds the maximum of %d bytes for this route", r.ContentLength, n)
				WriteError(w, r, err.With("reason", "content_length_exceeded").With("max_bytes", n))
				return
			}
			if r.Body != nil && r.Body != http.NoBody {
				r.Body = &pacedBody{ReadCloser: http.MaxBytesReader(w, r.Body, n), conn: http.NewResponseController(w), stall: bodyStall, last: time.Now().Add(bodyTotal)}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// A body that stalls, or that drips for minutes, only holds a connection and a goroutine.
const (
	bodyStall = 30 * time.Second
	bodyTotal = 5 * time.Minute
)

// pacedBody puts a deadline under every read of a body and lifts it at the end, so that a long answer is
// not cut by it.
type pacedBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	stall time.Duration
	last  time.Time // when the whole body must be there
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(b.stall)
	if deadline.After(b.last) {
		deadline = b.last
	}
	_ = b.conn.SetReadDeadline(deadline) // not every writer has one; recorders in tests do not
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errSlowBody // the deadline stays: net/http then closes the connection
	}
	if err != nil {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// errSlowBody says that a request body did not arrive in time.
var errSlowBody = errors.New("the request body did not arrive in time")

// Close implements io.Closer.
func (b *pacedBody) Close() error {
	_ = b.conn.SetReadDeadline(time.Time{})
	return b.ReadCloser.Close()
}

// FixedBodyLimit is BodyLimit with one size for all routes under it.
func FixedBodyLimit(n int64) func(http.Handler) http.Handler {
	return BodyLimit(func(*http.Request) int64 { return n })
}

// maxThrottleKeys bounds a throttle's table. When it is full the address seen longest ago is
// forgotten: refusing unknown addresses would let one attacker lock everybody out.
const maxThrottleKeys = 10_000

// Throttle is a sliding-window limit for each key. It is safe for concurrent use.
type Throttle struct {
	name   string
	limit  int
	window time.Duration
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  *list.List // of *throttleEntry, most recently used first
	maxKeys int
}

type throttleEntry struct {
	key string
	// hits is a ring of the last accepted calls, oldest at start; it grows up to the limit.
	hits  []int64
	start int
}

// NewThrottle allows limit calls of a key in any window. name is shown in the refusal.
func NewThrottle(name string, limit int, window time.Duration) *Throttle {
	return &Throttle{
		name: name, limit: limit, window: window, now: time.Now,
		entries: make(map[string]*list.Element), recent: list.New(), maxKeys: maxThrottleKeys,
	}
}

// Allow counts one call of key. It returns a *ThrottledError when the window is full; refused
// calls do not count, so a client that waits as told gets through.
func (t *Throttle) Allow(key string) error {
	now := t.now().UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := t.entry(key)
	oldest := now - int64(t.window)
	if len(entry.hits) < t.limit {
		entry.hits = append(entry.hits, now)
		return nil
	}
	// Full: the slot of the oldest call is free again once that call left the window.
	if first := entry.hits[entry.start]; first > oldest {
		return &ThrottledError{Name: t.name, RetryAfter: time.Duration(first - oldest)}
	}
	entry.hits[entry.start] = now
	entry.start = (entry.start + 1) % t.limit
	return nil
}

func (t *Throttle) entry(key string) *throttleEntry {
	if el, ok := t.entries[key]; ok {
		t.recent.MoveToFront(el)
		entry, _ := el.Value.(*throttleEntry)
		return entry
	}
	if t.recent.Len() >= t.maxKeys {
		last := t.recent.Back()
		old, _ := t.recent.Remove(last).(*throttleEntry)
		delete(t.entries, old.key)
	}
	entry := &throttleEntry{key: key}
	t.entries[key] = t.recent.PushFront(entry)
	return entry
}

// AllowIP counts one call from the address. IPv6 is counted by /64: a host owns all of that.
func (t *Throttle) AllowIP(addr netip.Addr) error { return t.Allow(ipKey(addr)) }

func ipKey(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

// Middleware throttles by the client's address.
func (t *Throttle) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := t.AllowIP(ClientIP(r.Context())); err != nil {
			WriteError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// IsTooLarge reports whether reading a body failed because it exceeds its limit.
func IsTooLarge(err error) bool {
	var tooLarge *http.MaxBytesError
	return errors.As(err, &tooLarge)
}
