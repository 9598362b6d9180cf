// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
)

// AuthConfig is what an Authenticator works with.
type AuthConfig struct {
	Store     *store.Store
	Sessions  *auth.Sessions
	Cookies   auth.Cookies
	Lifetimes auth.Lifetimes
	Logger    *slog.Logger
	Now       func() time.Time
	Refusals  *store.Refusals
	// AllowFrom lists the networks from which sessions may be opened and used; empty allows all.
	AllowFrom []netip.Prefix
	// PinUserAgent ends sessions whose cookie shows up in another browser.
	PinUserAgent bool
}

// Authenticator turns cookies into users. Every call reads its session from the database, by one indexed lookup, so
// a revocation counts for the next call on every replica without any cache to invalidate.
type Authenticator struct {
	cfg AuthConfig
}

// NewAuthenticator returns an Authenticator.
func NewAuthenticator(cfg AuthConfig) *Authenticator { return &Authenticator{cfg: cfg} }

// CheckAddress refuses clients outside the networks from which people may sign in. It comes before any look at
// credentials.
func (a *Authenticator) CheckAddress(r *http.Request) error {
	if len(a.cfg.AllowFrom) == 0 {
		return nil
	}
	addr := httpx.ClientIP(r.Context()).Unmap()
	if slices.ContainsFunc(a.cfg.AllowFrom, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	return domain.Errorf(domain.CodeForbidden, "people may not sign in from this network; ask the operator to add it to Z4J_DASHBOARD_IP_ALLOWLIST").
		With("reason", "ip_denied")
}

// Lookup returns the live session of the request's cookie; ok is false without one.
func (a *Authenticator) Lookup(r *http.Request) (session store.Session, user store.User, ok bool, err error) {
	cookie := a.cfg.Cookies.Session(r)
	if cookie == "" {
		return store.Session{}, store.User{}, false, nil
	}
	hash, ok := a.cfg.Sessions.Parse(cookie)
	if !ok {
		return store.Session{}, store.User{}, false, nil
	}
	if err := a.CheckAddress(r); err != nil {
		return store.Session{}, store.User{}, false, err
	}
	find := a.cfg.Store.SessionByTokenHash
	if reads(r) {
		find = a.cfg.Store.RecentSession
	}
	session, user, err = find(r.Context(), hash)
	if errors.Is(err, domain.ErrNotFound) {
		return store.Session{}, store.User{}, false, nil
	}
	if err != nil {
		return store.Session{}, store.User{}, false, fmt.Errorf("find session: %w", err)
	}
	if !a.alive(session, user) {
		return store.Session{}, store.User{}, false, nil
	}
	if a.cfg.PinUserAgent && session.UserAgentAtIssue != nil && *session.UserAgentAtIssue != r.UserAgent() {
		return store.Session{}, store.User{}, false, nil
	}
	return session, user, true, nil
}

// reads reports whether a request changes nothing, so that the rights it is judged by may be a second old where another replica
// changed them; see store.RecentSession.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// StillAlive reports whether a session known from before may still be used; for sockets that outlive a request.
func (a *Authenticator) StillAlive(ctx context.Context, tokenHash string) (store.User, bool, error) {
	session, user, err := a.cfg.Store.SessionByTokenHash(ctx, tokenHash)
	switch {
	case errors.Is(err, domain.ErrNotFound):
	case err != nil:
		return store.User{}, false, fmt.Errorf("find session: %w", err)
	case a.alive(session, user):
		return user, true, nil
	}
	// Requests must not go on with a session whose socket has ended.
	a.cfg.Store.ForgetRecent()
	return user, false, nil
}

func (a *Authenticator) alive(session store.Session, user store.User) bool {
	state := auth.SessionState{
		IssuedAt: session.IssuedAt, ExpiresAt: session.ExpiresAt, LastSeenAt: session.LastSeenAt,
		Remember: session.Remember, UserActive: user.IsActive,
	}
	if session.RevokedAt != nil {
		state.RevokedAt = *session.RevokedAt
	}
	if user.PasswordChangedAt != nil {
		state.PasswordChangedAt = *user.PasswordChangedAt
	}
	ok, _ := a.cfg.Lifetimes.Alive(state, a.cfg.Now())
	return ok
}

// Touch marks a session as used when that is due. A failure costs nothing but precision, so it is only logged.
func (a *Authenticator) Touch(ctx context.Context, session store.Session) {
	if !a.cfg.Lifetimes.TouchDue(session.LastSeenAt, a.cfg.Now()) {
		return
	}
	if err := a.cfg.Store.TouchSession(ctx, session.ID); err != nil && ctx.Err() == nil {
		a.cfg.Logger.WarnContext(ctx, "cannot mark a session as used", "err", err)
	}
}

func (a *Authenticator) authenticate(req *Request) error {
	session, user, ok, err := a.Lookup(req.HTTP)
	if err != nil || !ok {
		return err
	}
	req.LoggedIn, req.User, req.Session = true, user, session
	a.Touch(req.Context(), session)
	return nil
}

// OpenSession creates a session for the user inside the transaction. Call the returned function after the commit:
// it puts the cookies on the answer.
func (a *Authenticator) OpenSession(ctx context.Context, tx *store.Tx, req *Request, userID uuid.UUID, remember bool) (setCookies func(), err error) {
	cookie, hash := a.cfg.Sessions.Mint()
	csrf, lifetime := auth.NewToken(), a.cfg.Lifetimes.MaxAge(remember)
	n := store.NewSession{
		UserID: userID, TokenHash: hash, CSRFToken: csrf, Remember: remember, Lifetime: lifetime, IP: req.IP(),
	}
	if ua := req.HTTP.UserAgent(); ua != "" {
		n.UserAgent = &ua
	}
	if _, err := tx.CreateSession(ctx, n); err != nil {
		return nil, err
	}
	return func() { a.cfg.Cookies.Set(req.Writer, cookie, csrf, lifetime) }, nil
}

// ClearCookies removes the session's cookies from the browser.
func (a *Authenticator) ClearCookies(req *Request) { a.cfg.Cookies.Clear(req.Writer) }
