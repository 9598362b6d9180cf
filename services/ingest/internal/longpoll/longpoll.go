// SPDX-License-Identifier: AGPL-3.0-or-later

// Package longpoll serves agents that can't hold a socket (agent protocol, section 5). A session is a row,
// so any replica may serve any request: its replay guard moves in the transaction that stores the frames.
package longpoll

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/redact"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/throttle"
)

// Config tunes the transport. Zero values take the defaults named.
type Config struct {
	// Owner names this replica in claims.
	Owner string
	// MaxFrameBytes bounds one frame (1 MiB), MaxBodyBytes a request (8 MiB).
	MaxFrameBytes int
	MaxBodyBytes  int64
	// RedeliverAfter and RedeliverUntil bound the age of dispatched commands that are sent again (10 s, 60 s).
	RedeliverAfter, RedeliverUntil time.Duration
	// PollInterval is the pace at which lost hints are made up for (1 s).
	PollInterval time.Duration
	// Allow lists the networks agents may come from; empty allows all.
	Allow []netip.Prefix
}

// Limits of the protocol.
const (
	maxFrames      = 500
	maxWait        = 60
	defaultWait    = 30
	defaultPull    = 50
	sessionIdle    = 5 * time.Minute
	sessionsAgent  = 16
	maxNonce       = 128
	maxErrors      = 10
	agentRequests  = 6000
	failureLimit   = 600
	throttleWindow = time.Minute
	maxToken       = 512
)

// Store is what the transport needs of the database.
type Store interface {
	AgentByTokenHash(ctx context.Context, hashes ...string) (store.AgentLogin, error)
	AgentLoginByID(ctx context.Context, id int64) (store.AgentLogin, error)
	OpenLongpoll(ctx context.Context, agentID int64, nonce, features string, contracts []string, lim store.LongpollLimits) (store.LongpollSession, error)
	Longpoll(ctx context.Context, agentID int64, nonce string) (store.LongpollSession, error)
	IngestLongpoll(ctx context.Context, was store.LongpollSession, lastSeq int64, nonces []string, items []*store.IngestItem) error
	Ingest(ctx context.Context, items []*store.IngestItem) error
	InvalidateLongpoll(ctx context.Context, agentID int64, nonce string) error
	TakeLongpollSeqs(ctx context.Context, agentID int64, nonce string, n int64) (int64, error)
	CountOpenCommands(ctx context.Context, agentID int64) (int64, error)
	ClaimCommands(ctx context.Context, p store.ClaimCommandsParams) ([]store.Command, error)
}

// Commands takes what agents say about commands.
type Commands interface {
	Ack(ctx context.Context, ref store.AgentRef, id uuid.UUID, ack wire.CommandAck) error
	Result(ctx context.Context, ref store.AgentRef, id uuid.UUID, res wire.CommandResult) error
}

// Hints tells other processes of changed commands.
type Hints interface {
	CommandChanged(ctx context.Context, projectID int64)
}

// Refusals records refused requests for the audit log.
type Refusals interface {
	Refused(ctx context.Context, ip netip.Addr, action, reason string)
}

// Deps are the transport's collaborators.
type Deps struct {
	Store    Store
	Commands Commands
	Hints    Hints
	Refusals Refusals
	Metrics  *Metrics
	Redact   *redact.Engine
	Logger   *slog.Logger
	Now      func() time.Time
	// Payload is the payload of a command's frame.
	Payload func(cmd store.Command) []byte
	// Committed is told of stored items, like the committer's.
	Committed func(items []*store.IngestItem)
	Master    []byte
	Previous  [][]byte
}

// Server serves the long-poll routes.
type Server struct {
	cfg      Config
	deps     Deps
	masters  [][]byte
	failures *throttle.Failures
	requests *httpx.Throttle
	worker   string

	mu      sync.Mutex
	waiters map[int64]map[chan struct{}]struct{}
	stopped chan struct{}
	stop    sync.Once
}

// New returns a server.
func New(cfg Config, d Deps) *Server {
	def := func(v *time.Duration, to time.Duration) {
		if *v <= 0 {
			*v = to
		}
	}
	def(&cfg.RedeliverAfter, 10*time.Second)
	def(&cfg.RedeliverUntil, time.Minute)
	def(&cfg.PollInterval, time.Second)
	if cfg.MaxFrameBytes <= 0 {
		cfg.MaxFrameBytes = wire.DefaultMaxFrameBytes
	}
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = httpx.MaxBodyUpload
	}
	return &Server{
		cfg: cfg, deps: d, masters: append([][]byte{d.Master}, d.Previous...),
		failures: throttle.New(failureLimit, throttleWindow, d.Now),
		requests: httpx.NewThrottle("agent-connect", agentRequests, throttleWindow),
		worker:   strconv.Itoa(os.Getpid()), waiters: make(map[int64]map[chan struct{}]struct{}), stopped: make(chan struct{}),
	}
}

// Routes mounts the endpoints under /api/v1/agent.
func (s *Server) Routes(r chi.Router) {
	r.Get("/api/v1/agent/commands", s.pull)
	r.Post("/api/v1/agent/events", s.push)
}

// Wake ends the waiting of an agent's pulls: a command may be there.
func (s *Server) Wake(agentID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.waiters[agentID] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Stop ends all waiting pulls with what they have.
func (s *Server) Stop() { s.stop.Do(func() { close(s.stopped) }) }

func (s *Server) wait(agentID int64) (c chan struct{}, done func()) {
	c = make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters[agentID] == nil {
		s.waiters[agentID] = make(map[chan struct{}]struct{})
	}
	s.waiters[agentID][c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiters[agentID], c)
		if len(s.waiters[agentID]) == 0 {
			delete(s.waiters, agentID)
		}
	}
}

// request is an authenticated request.
type request struct {
	login     store.AgentLogin
	nonce     string
	features  []string
	contracts []string
}

func (q *request) session(key [32]byte, now func() time.Time) wire.Session {
	return wire.Session{
		Key: key, AgentID: q.login.Ref.UID.String(), ProjectID: q.login.Ref.ProjectUID.String(), SessionID: q.nonce, Now: now,
	}
}

// authenticate checks address and token and reads the session headers. On failure it has answered.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (*request, bool) {
	ip := httpx.ClientIP(r.Context())
	if !ip.IsValid() {
		ip = httpx.PeerIP(r)
	}
	key := throttle.AddressKey(ip)
	refuse := func(audit, reason string, err error) (*request, bool) {
		s.failures.Add(key)
		s.deps.Refusals.Refused(r.Context(), ip, audit, reason)
		s.deps.Metrics.refused.Inc()
		httpx.WriteError(w, r, err)
		return nil, false
	}
	if s.failures.Blocked(key) {
		httpx.WriteError(w, r, &httpx.ThrottledError{Name: "agent-connect", RetryAfter: throttleWindow})
		return nil, false
	}
	if len(s.cfg.Allow) > 0 && !httpx.ContainsIP(s.cfg.Allow, ip) {
		s.deps.Metrics.IPDenied("agent_longpoll")
		return refuse("agent.auth.ip_denied", "address not in Z4J_AGENT_IP_ALLOWLIST",
			denied("ip_denied", "agents may not connect from this address; it is not in Z4J_AGENT_IP_ALLOWLIST"))
	}
	login, err := s.login(r)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && login.Revoked:
		return refuse("agent.auth.bearer_failed", "unknown or revoked agent token", unauthenticated())
	case err != nil:
		httpx.WriteError(w, r, err)
		return nil, false
	case !login.ProjectActive:
		return refuse("agent.auth.project_inactive", "the agent's project is archived",
			denied("project_inactive", "the project of this agent is archived"))
	}
	if err := s.requests.Allow(strconv.FormatInt(login.Ref.ID, 10)); err != nil {
		httpx.WriteError(w, r, err)
		return nil, false
	}
	q := &request{login: login, nonce: r.Header.Get("X-Z4J-Session-Nonce"), features: features(r.Header.Get("X-Z4J-Runtime-Features"))}
	if len(q.nonce) > maxNonce || strings.ContainsRune(q.nonce, 0) {
		httpx.WriteError(w, r, httpx.Invalid("string_too_long", "the session nonce is too long", "header", "X-Z4J-Session-Nonce"))
		return nil, false
	}
	q.contracts = contracts(r.Header.Get("X-Z4J-Retry-Contracts"), q.features)
	h := w.Header()
	h.Set("X-Z4J-Agent-Id", login.Ref.UID.String())
	h.Set("X-Z4J-Project-Id", login.Ref.ProjectUID.String())
	h.Set("X-Z4J-LongPoll-Worker", s.worker)
	h.Set("Cache-Control", "no-store")
	return q, true
}

func (s *Server) login(r *http.Request) (store.AgentLogin, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > maxToken {
		return store.AgentLogin{}, domain.ErrNotFound
	}
	hashes := make([]string, len(s.masters))
	for i, m := range s.masters {
		hashes[i] = wire.TokenHash(m, token)
	}
	return s.deps.Store.AgentByTokenHash(r.Context(), hashes...)
}

func unauthenticated() error {
	return httpx.WithDetail(&domain.Error{
		Code: domain.CodeUnauthenticated, Message: "invalid agent token; mint an agent in the dashboard and set its Z4J_TOKEN",
	}, "invalid agent token")
}

// denied is a 403 whose error code agents look at.
func denied(code, message string) error {
	return httpx.WithDetail(&domain.Error{Code: code, Message: message, Status: http.StatusForbidden},
		map[string]any{"error": code, "message": message})
}

// features splits the runtime features header.
func features(header string) []string {
	list := []string{}
	for f := range strings.SplitSeq(header, ",") {
		if f = strings.TrimSpace(f); f != "" && len(f) <= 64 && len(list) < 64 {
			list = append(list, f)
		}
	}
	return list
}

// contracts reads `rq=1,celery=1`; any malformed part voids the header.
func contracts(header string, features []string) []string {
	reference := false
	for _, f := range features {
		reference = reference || f == "retry_by_reference"
	}
	if header == "" || !reference {
		return nil
	}
	var list []string
	for part := range strings.SplitSeq(header, ",") {
		engine, version, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || version != "1" || engine == "" || len(engine) > 40 || len(list) >= 64 {
			return nil
		}
		list = append(list, store.RetryContract(engine))
	}
	return list
}

// open returns the request's session. On failure it has answered.
func (s *Server) open(w http.ResponseWriter, r *http.Request, q *request) (store.LongpollSession, bool) {
	text, err := json.Marshal(q.features)
	if err != nil {
		httpx.WriteError(w, r, err)
		return store.LongpollSession{}, false
	}
	session, err := s.deps.Store.OpenLongpoll(r.Context(), q.login.Ref.ID, q.nonce, string(text), q.contracts,
		store.LongpollLimits{Idle: sessionIdle, Max: sessionsAgent})
	switch {
	case errors.Is(err, store.ErrSessionsFull):
		w.Header().Set("Retry-After", "1")
		httpx.WriteError(w, r, &domain.Error{
			Code: domain.CodeUnavailable, Message: "this agent has too many long-poll sessions; wait until idle ones end, or mint another agent",
		})
	case err != nil:
		httpx.WriteError(w, r, err)
	case session.Invalid:
		httpx.WriteError(w, r, sessionInvalid())
	default:
		return session, true
	}
	return store.LongpollSession{}, false
}

func sessionInvalid() error {
	return domain.Errorf(domain.CodeConflict, "this long-poll session is no longer valid; start a new one with a new nonce")
}
