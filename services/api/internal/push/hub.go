// SPDX-License-Identifier: AGPL-3.0-or-later

// Package push is the dashboard's socket, /ws/dashboard: it tells a browser that something in its project changed,
// and the browser asks the REST API what. Hints of the bus make that fast; a slow look at the database makes it
// certain.
package push

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Close codes of the push socket.
const (
	CloseMalformed    = 4400
	CloseUnauthorized = 4401
	CloseOverloaded   = 4402
	CloseForbidden    = 4403
	CloseIdle         = 4408
)

// Config is what the hub works with.
type Config struct {
	Store  *store.Store
	Bus    bus.Bus
	Auth   *rest.Authenticator
	Logger *slog.Logger
	// AllowedHost reports whether pages of the host may open sockets; nil allows the request's own host only.
	AllowedHost func(host string) bool
	// Dev accepts clients that send no Origin.
	Dev bool
	// MaxPerUser bounds the sockets of one user.
	MaxPerUser int
	// The times below have defaults; tests shorten them.
	FirstFrame, Idle, Poll, Recheck, Coalesce time.Duration
}

func (c Config) withDefaults() Config {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.FirstFrame, 10*time.Second)
	def(&c.Idle, 90*time.Second)
	def(&c.Poll, 3*time.Second)
	// Under a second, so that a revoked session's socket is closed within one.
	def(&c.Recheck, 800*time.Millisecond)
	def(&c.Coalesce, 150*time.Millisecond)
	return c
}

// Hub holds every push socket of this process.
type Hub struct {
	cfg      Config
	upgrader websocket.Upgrader
	open     prometheus.Gauge

	mu       sync.Mutex
	perUser  map[uuid.UUID]int
	feeds    map[int64]*feed
	stopping bool
	// stop ends when the hub does; every socket watches it.
	stop    context.Context //nolint:containedctx // the life of the hub, not of a call
	halt    context.CancelFunc
	sockets sync.WaitGroup
}

// NewHub returns a hub that counts its sockets in reg.
func NewHub(cfg Config, reg prometheus.Registerer) *Hub {
	h := &Hub{
		cfg: cfg.withDefaults(), perUser: map[uuid.UUID]int{}, feeds: map[int64]*feed{},
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "z4j_api_push_sockets", Help: "Open dashboard sockets of this process."}),
	}
	h.stop, h.halt = context.WithCancel(context.Background())
	h.upgrader = websocket.Upgrader{
		ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
		// The origin is checked after the upgrade: clients learn of a refusal by its close code.
		CheckOrigin: func(*http.Request) bool { return true },
		Error:       func(w http.ResponseWriter, _ *http.Request, status int, _ error) { w.WriteHeader(status) },
	}
	reg.MustRegister(h.open)
	return h
}

// Run keeps the hub open until ctx ends, then closes every socket and waits for them.
func (h *Hub) Run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	h.stopping = true
	h.halt()
	h.mu.Unlock()
	h.sockets.Wait()
	return nil
}

// ServeHTTP implements http.Handler.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	accept := !h.stopping
	if accept {
		h.sockets.Add(1)
	}
	h.mu.Unlock()
	if accept {
		defer h.sockets.Done()
	}
	conn, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader answered
	}
	s := newSocket(h, conn)
	defer s.conn.Close() //nolint:errcheck // nothing is left to be told
	if !accept {
		s.close(CloseOverloaded)
		return
	}
	s.close(h.serve(s, r))
}

// serve runs the socket until it ends and returns the code to close it with; 0 when the client left.
func (h *Hub) serve(s *socket, r *http.Request) int {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	if !h.originAllowed(r) {
		return CloseForbidden
	}
	session, user, ok, err := h.cfg.Auth.Lookup(r)
	if _, refused := errors.AsType[*domain.Error](err); refused {
		return CloseUnauthorized // the client's address is not among those people may sign in from
	}
	if err != nil {
		h.cfg.Logger.ErrorContext(ctx, "push socket: cannot look up the session", "err", err)
		return websocket.CloseInternalServerErr
	}
	if !ok {
		return CloseUnauthorized
	}
	if !h.enter(user.ID) {
		return CloseOverloaded
	}
	defer h.leave(user.ID)

	projectUID, code := s.readSubscribe(h.stop, h.cfg.FirstFrame)
	if code != 0 {
		return code
	}
	s.tokenHash, s.userID = session.TokenHash, user.ID
	project, err := h.cfg.Store.ProjectByUID(ctx, projectUID)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return CloseForbidden
	case err != nil:
		h.cfg.Logger.ErrorContext(ctx, "push socket: cannot find the project", "err", err)
		return websocket.CloseInternalServerErr
	}
	s.projectID = project.ID
	if code := h.check(ctx, s, true); code != 0 {
		return code
	}
	f, err := h.join(project.ID, s)
	if err != nil {
		h.cfg.Logger.ErrorContext(ctx, "push socket: cannot subscribe to hints", "err", err)
		return websocket.CloseInternalServerErr
	}
	defer h.part(f, s)
	select {
	case <-f.looked:
	case <-h.stop.Done():
		return CloseOverloaded
	}
	return s.run(ctx)
}

// originAllowed reports whether the page that opens the socket was served under an accepted name. Browsers send
// the session cookie along whoever opens a socket, so this is what keeps other sites out.
func (h *Hub) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return h.cfg.Dev
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	if u.Host == r.Host {
		return true
	}
	return h.cfg.AllowedHost != nil && h.cfg.AllowedHost(u.Host)
}

// check decides anew whether the socket may stay: session alive and, when full, project active and caller a member.
// It returns the code to close with, or 0. A database that does not answer closes nothing.
func (h *Hub) check(ctx context.Context, s *socket, full bool) int {
	user, alive, err := h.cfg.Auth.StillAlive(ctx, s.tokenHash)
	if err != nil {
		h.cfg.Logger.WarnContext(ctx, "push socket: cannot check the session; trying again", "err", err)
		return 0
	}
	if !alive {
		return CloseUnauthorized
	}
	if !full {
		return 0
	}
	project, err := h.cfg.Store.ProjectByID(ctx, s.projectID)
	if errors.Is(err, domain.ErrNotFound) || (err == nil && !project.IsActive) {
		return CloseForbidden
	}
	if err != nil {
		h.cfg.Logger.WarnContext(ctx, "push socket: cannot check the project; trying again", "err", err)
		return 0
	}
	subject := auth.Subject{Kind: auth.BySession, InstanceAdmin: user.IsAdmin}
	if !user.IsAdmin {
		subject.Role, err = h.cfg.Store.MemberRole(ctx, user.ID, s.projectID)
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			h.cfg.Logger.WarnContext(ctx, "push socket: cannot check the role; trying again", "err", err)
			return 0
		}
	}
	for _, action := range []auth.Action{auth.PushSubscribe, auth.ProjectRead} {
		if ok, _ := auth.Allow(subject, action); !ok {
			return CloseForbidden
		}
	}
	return 0
}

func (h *Hub) enter(user uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.perUser[user] >= h.cfg.MaxPerUser {
		return false
	}
	h.perUser[user]++
	h.open.Inc()
	return true
}

func (h *Hub) leave(user uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open.Dec()
	if h.perUser[user]--; h.perUser[user] <= 0 {
		delete(h.perUser, user)
	}
}
