// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"go.opentelemetry.io/otel/codes"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

// Router serves a table of operations.
type Router struct {
	// Timeout bounds the work of every call; 0 does not. Streams go on as long as their reader does.
	Timeout time.Duration
	// Metrics measures every call; nil measures none.
	Metrics *Metrics
	// Share lets callers of operations with ShareFor share answers.
	Share bool

	shares shares
	turns  *turns
	store  *store.Store
	auth   *Authenticator
	log    *slog.Logger
	mux    *chi.Mux
	ops    []*Op
	issues []error
}

// NewRouter returns an empty router.
func NewRouter(s *store.Store, a *Authenticator, log *slog.Logger) *Router {
	mux := chi.NewRouter()
	mux.NotFound(httpx.NotFound)
	rt := &Router{store: s, auth: a, log: log, mux: mux, turns: newTurns(0)}
	mux.MethodNotAllowed(rt.methodNotAllowed)
	return rt
}

// Add registers operations. Faults are kept for Err, so that wiring stays a list of calls.
func (rt *Router) Add(ops ...Op) {
	for i := range ops {
		op := &ops[i]
		if err := op.check(); err != nil {
			rt.issues = append(rt.issues, err)
			continue
		}
		for _, other := range rt.ops {
			if other.ID == op.ID || (other.Method == op.Method && other.Path == op.Path) {
				rt.issues = append(rt.issues, fmt.Errorf("operation %s %s (%s) is registered twice", op.Method, op.Path, op.ID))
			}
		}
		rt.ops = append(rt.ops, op)
		rt.mux.Method(op.Method, Base+op.Path, rt.handler(op))
	}
}

// Handle mounts a handler that is no operation, such as a WebSocket or /metrics. It does its own checks.
func (rt *Router) Handle(method, path string, h http.Handler) {
	rt.mux.Method(method, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, path)
		h.ServeHTTP(w, r)
	}))
}

// Err reports every faulty registration.
func (rt *Router) Err() error { return errors.Join(rt.issues...) }

// ServeHTTP implements http.Handler.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

// Ops lists what was registered, by path and method.
func (rt *Router) Ops() []*Op {
	ops := slices.Clone(rt.ops)
	slices.SortFunc(ops, func(a, b *Op) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Method, b.Method)
	})
	return ops
}

func (rt *Router) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if rt.mux.Match(chi.NewRouteContext(), m, r.URL.Path) {
			allow = append(allow, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	httpx.MethodNotAllowed(w, r)
}

func (rt *Router) handler(op *Op) http.Handler {
	params := pathParams(op.Path)
	inTurn := op.inTurn()
	call := func(w http.ResponseWriter, r *http.Request) {
		if inTurn {
			defer rt.turns.take(r.Context())()
		}
		out, err := rt.serveLimited(w, r, op, params)
		if err != nil {
			rt.noteRefusal(r, op, err)
			httpx.WriteError(w, r, err)
			return
		}
		rt.answer(w, r, op, out)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		httpx.SetRoute(r, Base+op.Path)
		ctx, span := obs.Child(r.Context(), "api", op.ID)
		if span.IsRecording() {
			r = r.WithContext(ctx)
		}
		status := httpx.Recorded(w, func(w http.ResponseWriter) { call(w, r) })
		if span.IsRecording() && status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
		rt.Metrics.observe(op, status, time.Since(start))
	})
}

func (rt *Router) serveLimited(w http.ResponseWriter, r *http.Request, op *Op, params []string) (any, error) {
	if rt.Timeout <= 0 {
		return rt.serve(w, r, op, params)
	}
	ctx, cancel := context.WithTimeout(r.Context(), rt.Timeout)
	defer cancel()
	return rt.serve(w, r.WithContext(ctx), op, params)
}

// serve does everything up to the handler's result.
func (rt *Router) serve(w http.ResponseWriter, r *http.Request, op *Op, params []string) (any, error) {
	if op.Throttle != nil {
		if err := op.Throttle.AllowIP(httpx.ClientIP(r.Context())); err != nil {
			return nil, err
		}
	}
	req := &Request{HTTP: r, Writer: w}
	if err := rt.auth.authenticate(req); err != nil {
		return nil, err
	}
	if op.Access == Session {
		if !req.LoggedIn {
			return nil, auth.Check(auth.Subject{}, op.Action)
		}
		if auth.NeedsCSRF(op.Method) && !auth.CSRFMatches(r, req.Session.CSRFToken) {
			return nil, domain.Errorf(domain.CodeForbidden,
				"csrf token mismatch: send the value of the CSRF cookie in the %s header", auth.CSRFHeader).With("reason", "csrf_mismatch")
		}
	}
	// Membership may still turn a role refusal into a pass; what needs an instance admin is decided here, so that
	// such calls tell nobody which projects exist.
	if ok, reason := auth.Allow(req.Subject(), op.Action); !ok && reason != auth.DenyNotMember {
		return nil, auth.Check(req.Subject(), op.Action)
	}
	if op.project() {
		if err := rt.resolveProject(req, op); err != nil {
			return nil, err
		}
	}
	if err := auth.Check(req.Subject(), op.Action); err != nil {
		return nil, err
	}
	if err := rt.decode(req, op, params); err != nil {
		return nil, err
	}
	return rt.handle(req, op)
}

// handle asks the operation's handler, or takes the answer that another caller got.
func (rt *Router) handle(req *Request, op *Op) (any, error) {
	if rt.Share && op.ShareFor > 0 {
		key, err := keyOf(op, req)
		if err != nil {
			return nil, err
		}
		return rt.shares.get(req.Context(), key, op.ShareFor, rt.Timeout, func(ctx context.Context) (encoded, error) {
			own := *req
			own.HTTP = req.HTTP.WithContext(ctx)
			out, err := op.Handle(&own)
			if err != nil {
				return nil, err
			}
			return httpx.EncodeJSON(out)
		})
	}
	out, err := op.Handle(req)
	if op.Method != http.MethodGet {
		rt.shares.forget(req.Project.ID)
	}
	return out, err
}

// resolveProject finds the project of {slug} and the caller's role in it. Unknown, archived and foreign projects
// give the same answer, so that nobody learns which slugs are taken.
func (rt *Router) resolveProject(req *Request, op *Op) error {
	slug := req.Param("slug")
	unknown := domain.Errorf(domain.CodeNotFound, "project '%s' not found", slug).With("slug", slug)
	project, member := rt.store.ProjectBySlug, rt.store.MemberRole
	if reads(req.HTTP) {
		project, member = rt.store.RecentProject, rt.store.RecentRole
	}
	p, err := project(req.Context(), slug)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return unknown
	case err != nil:
		return fmt.Errorf("find project: %w", err)
	case !p.IsActive && !op.Archived:
		return unknown
	}
	if req.User.IsAdmin {
		req.Project, req.Role = p, domain.RoleAdmin
		return nil
	}
	role, err := member(req.Context(), req.User.ID, p.ID)
	if errors.Is(err, domain.ErrNotFound) {
		return unknown
	}
	if err != nil {
		return fmt.Errorf("find role: %w", err)
	}
	req.Project, req.Role = p, role
	return nil
}

// decode checks path parameters, then query, then body, and reports all faults together.
func (rt *Router) decode(req *Request, op *Op, params []string) error {
	all := &httpx.ValidationError{}
	collect := func(err error) error {
		if invalid, ok := errors.AsType[*httpx.ValidationError](err); ok {
			all.Errors = append(all.Errors, invalid.Errors...)
			return nil
		}
		return err
	}
	for _, name := range params {
		if strings.ContainsRune(req.Param(name), 0) {
			// PostgreSQL has no such texts, so nothing has that name.
			return &domain.Error{Code: domain.CodeNotFound, Message: "nothing has a " + name + " with a NUL character in it"}
		}
		if isUUIDParam(name) {
			_, err := httpx.PathUUID(name, req.Param(name))
			if err := collect(err); err != nil {
				return err
			}
		}
	}
	if op.Query != nil {
		dst := reflect.New(reflect.TypeOf(op.Query)).Interface()
		if err := collect(decodeQuery(req.HTTP, dst)); err != nil {
			return err
		}
		req.query = dst
	}
	if op.Body != nil {
		dst := reflect.New(reflect.TypeOf(op.Body)).Interface()
		read := httpx.Decode
		if op.BodyOptional {
			read = httpx.DecodeOptional
		}
		if err := collect(read(req.HTTP, dst)); err != nil {
			return err
		}
		req.body = dst
	}
	if len(all.Errors) > 0 {
		return all
	}
	return nil
}

// isUUIDParam tells path parameters that are ids of rows from the texts (slug, engine, task_id).
func isUUIDParam(name string) bool { return strings.HasSuffix(name, "_id") && name != "task_id" }

func (rt *Router) answer(w http.ResponseWriter, r *http.Request, op *Op, out any) {
	status := op.Status
	if a, ok := out.(Answer); ok {
		maps.Copy(w.Header(), a.Header)
		if a.Status != 0 {
			status = a.Status
		}
		out = a.Body
	}
	if s, ok := out.(Stream); ok {
		s.serve(w, r, rt.log)
		return
	}
	if out == nil {
		w.WriteHeader(status)
		return
	}
	if w.Header().Get("Cache-Control") == "" {
		// Answers belong to one session: no cache in between may keep them.
		w.Header().Set("Cache-Control", "no-store")
	}
	if body, ok := out.(encoded); ok {
		httpx.WriteEncoded(w, status, body)
		return
	}
	httpx.WriteJSON(w, status, out)
}

// noteRefusal counts refused calls of known users for the audit log; floods are folded by address and minute.
func (rt *Router) noteRefusal(r *http.Request, op *Op, err error) {
	var known *domain.Error
	if !errors.As(err, &known) || known.Code != domain.CodeForbidden {
		return
	}
	reason, _ := known.Details["reason"].(string)
	if reason == "" {
		reason = auth.DenyRole
	}
	rt.auth.cfg.Refusals.Count(httpx.ClientIP(r.Context()).String(), "api."+string(op.Action), reason)
}
