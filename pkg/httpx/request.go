// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// RequestIDHeader carries the request id in both directions.
const RequestIDHeader = "X-Request-ID"

type infoKey struct{}

// requestInfo travels with a request's context. Only the error is written once handlers have it.
type requestInfo struct {
	id  string
	ip  netip.Addr
	hop bool
	// span is the request's; nil when requests are not traced.
	span trace.Span

	mu  sync.Mutex
	err error
}

func (i *requestInfo) setErr(err error) {
	i.mu.Lock()
	i.err = err
	i.mu.Unlock()
}

func (i *requestInfo) takeErr() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.err
	i.err = nil
	return err
}

func infoFrom(ctx context.Context) *requestInfo {
	info, _ := ctx.Value(infoKey{}).(*requestInfo)
	return info
}

// RequestID returns the id that the Request middleware gave the request, or "".
func RequestID(ctx context.Context) string {
	if info := infoFrom(ctx); info != nil {
		return info.id
	}
	return ""
}

// ClientIP returns the client's address as the Request middleware saw it; the zero Addr without it.
func ClientIP(ctx context.Context) netip.Addr {
	if info := infoFrom(ctx); info != nil {
		return info.ip
	}
	return netip.Addr{}
}

// NewRequestID returns `req_` and 16 hex digits.
func NewRequestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return "req_" + hex.EncodeToString(b[:])
}

// validRequestID accepts 1 to 64 printable ASCII characters from the client.
func validRequestID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return false
		}
	}
	return true
}

// RequestOptions configures the Request middleware.
type RequestOptions struct {
	// Resolver finds the client's address; nil takes the socket peer.
	Resolver *IPResolver
	// HopKey is set in a service behind the gateway: an address that the gateway signed then counts. At
	// the edge it is empty, and hop headers from outside are removed.
	HopKey []byte
	// Logger gets one line a request; nil logs nothing.
	Logger *slog.Logger
	// Quiet reports writes whose successful answers are logged at DEBUG only, as those of reads always are:
	// dashboards poll, and their lines would hide the others. May be nil.
	Quiet func(r *http.Request) bool
	// Tracing makes a span of each request; nil makes none.
	Tracing *Tracing
}

// Request gives each request its id and client address, and writes the access log. It is the
// outermost middleware. A request that already went through it (gateway and api in one process)
// keeps its id and is not logged twice.
func Request(opt RequestOptions) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if infoFrom(r.Context()) != nil {
				next.ServeHTTP(w, r)
				return
			}
			start := time.Now()
			info := &requestInfo{id: r.Header.Get(RequestIDHeader), ip: opt.Resolver.Resolve(r)}
			if client, ok := VerifyHop(r, opt.HopKey, start); ok {
				info.ip, info.hop = client, true
			}
			StripHop(r.Header)
			if !validRequestID(info.id) {
				info.id = NewRequestID()
			}
			w.Header().Set(RequestIDHeader, info.id)
			r = r.WithContext(context.WithValue(r.Context(), infoKey{}, info))
			r = opt.Tracing.begin(r, info, opt.Resolver.Trusts(PeerIP(r)))
			rec := &recorder{ResponseWriter: w, info: info}
			defer func() {
				if opt.Logger != nil {
					logRequest(opt, r, rec, info, time.Since(start))
				}
				info.endSpan(rec.answered())
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// logRequest writes the access line. Query strings are never logged: they carry setup tokens,
// cursors and search texts.
func logRequest(opt RequestOptions, r *http.Request, rec *recorder, info *requestInfo, took time.Duration) {
	status := rec.answered()
	level := slog.LevelInfo
	err := info.takeErr()
	switch {
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case status < http.StatusBadRequest && (isRead(r.Method) || opt.Quiet != nil && opt.Quiet(r)):
		level = slog.LevelDebug
	}
	if !opt.Logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", status),
		slog.Int64("bytes", rec.bytes),
		slog.Duration("took", took.Round(time.Microsecond)),
		slog.String("client", info.ip.String()),
		slog.String("request_id", info.id),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	opt.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// Recover turns a panic of a handler into a 500 envelope and a log line with the stack.
func Recover(logger *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec, ok := w.(*recorder)
			if !ok {
				rec = &recorder{ResponseWriter: w}
			}
			defer func() {
				if cause := recover(); cause != nil {
					answerPanic(logger, rec, r, cause)
				}
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

// answerPanic logs a panic and answers 500; when an answer has begun already, it cuts the connection, so
// that the client does not take half an answer for a whole one.
func answerPanic(logger *slog.Logger, rec *recorder, r *http.Request, cause any) {
	if cause != any(http.ErrAbortHandler) {
		logger.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path,
			"request_id", RequestID(r.Context()), "panic", cause, "stack", string(debug.Stack()))
		if rec.hijacked {
			return
		}
		if rec.status == 0 {
			WriteError(rec, r, errPanic)
			return
		}
	}
	panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to cut an answer
}

// recorder remembers what was answered, and keeps Flush, Hijack and Unwrap working for streams and WebSockets.
type recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
	// info is set in the recorder of the Request middleware.
	info *requestInfo
}

// answered is the status of the answer: 101 for a WebSocket.
func (w *recorder) answered() int {
	switch {
	case w.hijacked:
		return http.StatusSwitchingProtocols
	case w.status == 0:
		return http.StatusOK
	}
	return w.status
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack implements http.Hijacker.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.hijacked = true
		if w.info != nil {
			// The span of a WebSocket is its handshake, not its life.
			w.info.endSpan(http.StatusSwitchingProtocols)
		}
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Recorded calls serve and returns the status that was answered: 101 for a WebSocket.
func Recorded(w http.ResponseWriter, serve func(w http.ResponseWriter)) (status int) {
	rec, ok := w.(*recorder)
	if !ok {
		rec = &recorder{ResponseWriter: w}
	}
	serve(rec)
	return rec.answered()
}
