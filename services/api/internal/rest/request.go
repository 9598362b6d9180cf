// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
)

// Request is one call as its handler sees it: authenticated, allowed and decoded.
type Request struct {
	HTTP *http.Request
	// Header is the answer's header: cookies, Location.
	Writer http.ResponseWriter

	// LoggedIn says that User and Session are set.
	LoggedIn bool
	User     store.User
	Session  store.Session
	// Project and Role are set on operations with {slug} in their path. Role is the effective one.
	Project store.Project
	Role    domain.Role

	body, query any
}

// Context is the request's context.
func (r *Request) Context() context.Context { return r.HTTP.Context() }

// Subject is the caller as policy sees it.
func (r *Request) Subject() auth.Subject {
	if !r.LoggedIn {
		return auth.Subject{}
	}
	return auth.Subject{Kind: auth.BySession, InstanceAdmin: r.User.IsAdmin, Role: r.Role}
}

// Can asks policy about a further action, for answers that show more to some callers.
func (r *Request) Can(a auth.Action) bool {
	ok, _ := auth.Allow(r.Subject(), a)
	return ok
}

// Param returns a path parameter as text. A path with an escaped slash is routed in its escaped form, so that the
// slash can be part of a parameter, such as a task id.
func (r *Request) Param(name string) string {
	v := chi.URLParam(r.HTTP, name)
	if r.HTTP.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// ID returns a path parameter that the router checked to be a UUID.
func (r *Request) ID(name string) uuid.UUID {
	id, err := uuid.Parse(r.Param(name))
	if err != nil {
		return uuid.Nil
	}
	return id
}

// IP is the client's address as text, for records.
func (r *Request) IP() string {
	if addr := httpx.ClientIP(r.Context()); addr.IsValid() {
		return addr.String()
	}
	return ""
}

// Audit starts the audit record of this call: who, from where, about which project. The handler adds target and
// metadata and writes it in its transaction.
func (r *Request) Audit(action, targetType, targetID string) domain.AuditEntry {
	e := domain.AuditEntry{
		Action: action, TargetType: targetType, TargetID: targetID, Result: domain.ResultSuccess,
		SourceIP: r.IP(), UserAgent: r.HTTP.UserAgent(), ProjectUID: r.Project.UID,
	}
	if r.LoggedIn {
		e.UserID = r.User.ID
	}
	return e
}

// Body returns the decoded body of an operation whose Body is a T.
func Body[T any](r *Request) *T {
	v, ok := r.body.(*T)
	if !ok {
		//nolint:forbidigo // a mistake in the table of operations, found by the first test of the handler
		panic("rest: the handler asks for another body type than its operation declares")
	}
	return v
}

// Query returns the decoded query parameters of an operation whose Query is a T.
func Query[T any](r *Request) *T {
	v, ok := r.query.(*T)
	if !ok {
		//nolint:forbidigo // as above
		panic("rest: the handler asks for another query type than its operation declares")
	}
	return v
}
