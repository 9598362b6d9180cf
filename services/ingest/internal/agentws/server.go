// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/redact"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/hub"
	"github.com/z4jdev/z4j/services/ingest/internal/intake"
	"github.com/z4jdev/z4j/services/ingest/internal/throttle"
)

// Config tunes the socket server. Zero values take the defaults named.
type Config struct {
	// Owner names this replica in slot rows.
	Owner string
	// MaxFrameBytes is advertised to agents and enforced, after decompression (1 MiB).
	MaxFrameBytes int
	// HeartbeatSeconds is advertised to agents (10).
	HeartbeatSeconds int
	// SlotCap bounds the live workers of one agent; 0 is unlimited.
	SlotCap int
	// SlotLease is how long a slot stays live without renewal (30 s).
	SlotLease time.Duration
	// HandshakeTimeout bounds the time to a valid hello (10 s), IdleTimeout the silence after it (90 s).
	HandshakeTimeout, IdleTimeout time.Duration
	// PingInterval is the pace of our own pings (60 s).
	PingInterval time.Duration
	// WriteTimeout bounds one write to a peer (10 s), CommandTimeout that of a command (5 s), CloseTimeout
	// the wait for the peer's answer to a close frame (1 s).
	WriteTimeout, CommandTimeout, CloseTimeout time.Duration
	// OutboxSize bounds what waits for a peer to read (2048 frames).
	OutboxSize int
	// FailureLimit failed handshakes of one address in FailureWindow close the next ones with 4429 (600 in 60 s);
	// AgentFailureLimit is the same for broken signatures of one agent (60). Negative switches off.
	FailureLimit, AgentFailureLimit int
	FailureWindow                   time.Duration
	// ThrottleDelay is how long such a connection waits for its close frame (2 s).
	ThrottleDelay time.Duration
	// Allow lists the networks agents may come from; empty allows all.
	Allow []netip.Prefix
	// Compression accepts permessage-deflate. Off by default: it costs more than it saves.
	Compression bool
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	num(&c.MaxFrameBytes, wire.DefaultMaxFrameBytes)
	num(&c.HeartbeatSeconds, 10)
	num(&c.OutboxSize, 2048)
	num(&c.FailureLimit, 600)
	num(&c.AgentFailureLimit, 60)
	def(&c.FailureWindow, time.Minute)
	def(&c.ThrottleDelay, 2*time.Second)
	def(&c.SlotLease, 30*time.Second)
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.IdleTimeout, 90*time.Second)
	def(&c.PingInterval, time.Minute)
	def(&c.WriteTimeout, 10*time.Second)
	def(&c.CommandTimeout, 5*time.Second)
	def(&c.CloseTimeout, time.Second)
	return c
}

// Store is what the sockets need of the database.
type Store interface {
	AgentByTokenHash(ctx context.Context, hashes ...string) (store.AgentLogin, error)
	ConnectAgents(ctx context.Context, list []store.Connect) []store.Connected
	ReleaseSlot(ctx context.Context, owner string, slot store.Slot) error
	ReleaseOwner(ctx context.Context, owner string) error
}

// Commands takes what agents say about commands, and delivers what waits for an agent.
type Commands interface {
	// Connected is called after a slot was registered; it returns at once.
	Connected(agentID int64)
	Ack(ctx context.Context, ref store.AgentRef, id uuid.UUID, ack wire.CommandAck) error
	Result(ctx context.Context, ref store.AgentRef, id uuid.UUID, res wire.CommandResult) error
}

// Hints tells other processes of changes; delivery is not guaranteed.
type Hints interface {
	// SlotTaken says that a slot held by another replica changed hands.
	SlotTaken(ctx context.Context, agentID int64)
	// AgentChanged says that an agent connected or left.
	AgentChanged(ctx context.Context, ref store.AgentRef)
}

// Refusals records refused connections for the audit log; it must aggregate.
type Refusals interface {
	Refused(ctx context.Context, ip netip.Addr, action, reason string)
}

// Deps are the server's collaborators.
type Deps struct {
	Store     Store
	Hub       *hub.Hub
	Committer intake.Committer
	Commands  Commands
	Hints     Hints
	Refusals  Refusals
	Metrics   *Metrics
	Redact    *redact.Engine
	Logger    *slog.Logger
	Now       func() time.Time
	// Master signs frames and hashes tokens; tokens hashed under Previous are still found.
	Master   []byte
	Previous [][]byte
}

// Server accepts agent sockets. Its zero value is not usable; see New.
type Server struct {
	cfg      Config
	store    Store
	hub      *hub.Hub
	commit   intake.Committer
	commands Commands
	hints    Hints
	refusals Refusals
	metrics  *Metrics
	redact   *redact.Engine
	log      *slog.Logger
	now      func() time.Time
	master   []byte
	masters  [][]byte

	upgrader      websocket.Upgrader
	frames        bufferPool
	ipFailures    *throttle.Failures
	agentFailures *throttle.Failures
	admission     admission
	delayed       atomic.Int32

	ctx    context.Context //nolint:containedctx // ends all connections of the server
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// quit is closed when a shutdown begins.
	quit chan struct{}

	mu       sync.Mutex
	stopping bool
	conns    map[*Conn]struct{}
}

// writeBufferBytes is the size of the pooled write buffers; an idle connection holds none.
const writeBufferBytes = 4096

// New returns a server. Shutdown must be called in the end.
func New(cfg Config, d Deps) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, store: d.Store, hub: d.Hub, commit: d.Committer, commands: d.Commands, hints: d.Hints,
		refusals: d.Refusals, metrics: d.Metrics, redact: d.Redact, log: d.Logger, now: d.Now, master: d.Master,
		masters:       append([][]byte{d.Master}, d.Previous...),
		ipFailures:    throttle.New(cfg.FailureLimit, cfg.FailureWindow, d.Now),
		agentFailures: throttle.New(cfg.AgentFailureLimit, cfg.FailureWindow, d.Now),
		conns:         make(map[*Conn]struct{}),
		quit:          make(chan struct{}),
		upgrader: websocket.Upgrader{
			HandshakeTimeout: cfg.HandshakeTimeout, ReadBufferSize: readBufferBytes, WriteBufferSize: writeBufferBytes,
			WriteBufferPool: &sync.Pool{}, EnableCompression: cfg.Compression,
			// Agents carry a bearer token; there is no ambient authority a foreign page could use.
			CheckOrigin: func(*http.Request) bool { return true },
			Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
				httpx.WriteError(w, r, &domain.Error{
					Code: domain.CodeValidation, Status: status, Cause: reason,
					Message: "this is the agents' WebSocket endpoint; point an agent's Z4J_BRAIN_URL at the brain's base URL",
				})
			},
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.admission.ctx, s.admission.store = s.ctx, d.Store
	return s
}

// ServeHTTP accepts one connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ip := httpx.ClientIP(r.Context())
	if !ip.IsValid() {
		ip = httpx.PeerIP(r)
	}
	// The trace of a connection is its handshake; the connection itself may live for weeks.
	_, span := obs.Child(r.Context(), "ingest", "agent handshake")
	gw := &gatherWriter{ResponseWriter: w}
	ws, err := s.upgrader.Upgrade(gw, r, nil)
	if err != nil {
		s.metrics.handshakes.WithLabelValues("not_websocket").Inc()
		endHandshake(span, "not_websocket")
		return
	}
	authorization := r.Header.Get("Authorization")
	// The goroutine of the HTTP server, with its large stack and buffers, ends here.
	s.mu.Lock()
	if !s.stopping {
		s.wg.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.wg.Done()
			s.serve(span, ws, gw.conn, ip, authorization)
		}()
		return
	}
	s.mu.Unlock()
	endHandshake(span, "stopping")
	s.refuse(ws, gw.conn, CloseRestart, "")
}

// serve shakes hands and starts the reader of an admitted connection.
func (s *Server) serve(span trace.Span, ws *websocket.Conn, conn *gatherConn, ip netip.Addr, authorization string) {
	c, refusal := s.handshake(withSpan(s.ctx, span), ws, conn, ip, authorization)
	if refusal != nil {
		endHandshake(span, refusal.outcome)
		s.metrics.handshakes.WithLabelValues(refusal.outcome).Inc()
		if refusal.slow {
			s.delay()
		}
		s.refuse(ws, conn, refusal.code, refusal.reason)
		return
	}
	endHandshake(span, "accepted")
	s.metrics.handshakes.WithLabelValues("accepted").Inc()
	s.metrics.connections.Inc()
	// A stack that grew in the database's code would stay large for a while, times all who connect in a storm.
	s.wg.Go(func() {
		c.run(s.ctx)
		c.finish()
		s.metrics.connections.Dec()
		s.left(c)
	})
}

// delay keeps somebody waiting who failed too often: who comes back at once, again and again, should not cost the others the
// handshakes. Only so many wait at a time, so that the waiting costs no memory either.
func (s *Server) delay() {
	if s.delayed.Add(1) <= maxDelayed {
		select {
		case <-time.After(s.cfg.ThrottleDelay):
		case <-s.quit:
		}
	}
	s.delayed.Add(-1)
}

// maxDelayed is how many throttled connections are kept waiting.
const maxDelayed = 256

// withSpan returns ctx with the span of a handshake, if that is recorded.
func withSpan(ctx context.Context, span trace.Span) context.Context {
	if !span.IsRecording() {
		return ctx
	}
	return trace.ContextWithSpan(ctx, span)
}

func endHandshake(span trace.Span, outcome string) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("z4j.handshake.outcome", outcome))
		if outcome == "error" {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// refuse closes a connection that was not admitted and waits a little for the peer's answer, so that the
// close code is not lost to a reset.
func (s *Server) refuse(ws *websocket.Conn, conn *gatherConn, code int, reason string) {
	conn.ending.Store(true)
	s.metrics.closes.WithLabelValues(codeLabel(code)).Inc()
	deadline := time.Now().Add(s.cfg.CloseTimeout)
	if err := ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline); err == nil {
		_ = ws.SetReadDeadline(deadline)
		for {
			if _, _, err := ws.NextReader(); err != nil {
				break
			}
		}
	}
	_ = ws.NetConn().Close()
}

// left cleans up behind a finished connection.
func (s *Server) left(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	stopping := s.stopping
	s.mu.Unlock()
	owned := s.hub.Remove(c)
	code, why := c.reason()
	s.metrics.closes.WithLabelValues(codeLabel(code)).Inc()
	c.log.Info("agent disconnected", "close_code", code, "cause", why, "replaced", !owned)
	if stopping {
		return // Shutdown releases all slots in one statement
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	// A replaced slot is not ours any more; the row's generation says so too.
	if err := s.store.ReleaseSlot(ctx, s.cfg.Owner, c.slot); err != nil {
		c.log.Warn("slot not released; it ends with its lease", "err", err)
	}
	s.hints.AgentChanged(ctx, c.ref)
}

const releaseTimeout = 5 * time.Second

// Run sends pings until ctx ends. It does not accept connections; the HTTP server does.
func (s *Server) Run(ctx context.Context) error {
	// A quarter of the interval keeps pings within a quarter of their due time with one ticker for all.
	tick := time.NewTicker(max(s.cfg.PingInterval/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now().UnixNano()
		for _, c := range s.snapshot() {
			if last := c.lastPing.Load(); now-last >= int64(s.cfg.PingInterval) && c.lastPing.CompareAndSwap(last, now) {
				_ = c.push(out{kind: outPing})
			}
		}
	}
}

func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// shutdownSpread is the time over which the close frames of a shutdown are spread, so that a fleet does not come
// back in one instant.
const shutdownSpread = time.Second

// Shutdown refuses new connections, lets what was received be committed and acked, then closes every
// connection with 1012. It returns when all are gone, or when ctx ends, having cut the rest.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopping {
		close(s.quit)
	}
	s.stopping = true
	s.mu.Unlock()
	conns := s.snapshot()
	for _, c := range conns {
		c.draining.Store(true)
	}
	pause := shutdownSpread / time.Duration(max(len(conns), 1))
	if len(conns) < spreadFrom {
		pause = 0
	}
	for i, c := range conns {
		s.settled(ctx, c)
		c.Close(CloseRestart, "")
		// Sleeping for each of thousands would overrun the spread: timers are no finer than a millisecond.
		if pause > 0 && (pause >= time.Millisecond || i%int(time.Millisecond/pause) == 0) {
			select {
			case <-ctx.Done():
			case <-time.After(max(pause, time.Millisecond)):
			}
		}
	}
	gone := make(chan struct{})
	go func() { s.wg.Wait(); close(gone) }()
	var cut error
	select {
	case <-gone:
		s.cancel()
	case <-ctx.Done():
		cut = ctx.Err()
		s.cancel()
		for _, c := range s.snapshot() {
			c.cut(cut)
		}
		<-gone
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.store.ReleaseOwner(rctx, s.cfg.Owner); err != nil {
		s.log.Warn("slots not released; they end with their leases", "err", err)
	}
	return cut
}

// spreadFrom is the number of connections from which close frames are spread.
const spreadFrom = 50

// settled waits until nothing of the connection is on its way to the database.
func (s *Server) settled(ctx context.Context, c *Conn) {
	for c.pending.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-c.gone:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Len is the number of admitted connections.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// bufferPool lends frame buffers: an idle connection holds none.
type bufferPool struct{ pool sync.Pool }

// maxPooledBuffer keeps the rare huge frame from staying in memory for ever.
const maxPooledBuffer = 256 << 10

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 4096)
}

func (p *bufferPool) Put(b []byte) {
	if cap(b) == 0 || cap(b) > maxPooledBuffer {
		return
	}
	p.pool.Put(&b)
}
