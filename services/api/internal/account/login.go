// SPDX-License-Identifier: AGPL-3.0-or-later

package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// LoginRequest opens a session.
type LoginRequest struct {
	Email      Email  `json:"email" validate:"required,min=3,max=320"`
	Password   string `json:"password" validate:"required,min=1,max=256,secret"`
	RememberMe bool   `json:"remember_me" default:"false"`
}

// LoginResponse is the account that logged in. The MFA members are there for clients that look at them.
type LoginResponse struct {
	User                  UserPublic  `json:"user"`
	MFARequired           bool        `json:"mfa_required"`
	MFAEnrollmentRequired bool        `json:"mfa_enrollment_required"`
	MFAEnrollmentDeadline *httpx.Time `json:"mfa_enrollment_deadline"`
}

// PasswordPolicyPublic is what password forms tell.
type PasswordPolicyPublic struct {
	MinLength                int      `json:"min_length"`
	RequiredCharacterClasses int      `json:"required_character_classes"`
	CharacterClassNames      []string `json:"character_class_names"`
}

// SessionPublic is one browser session of the caller.
type SessionPublic struct {
	ID               uuid.UUID  `json:"id"`
	IssuedAt         httpx.Time `json:"issued_at"`
	LastSeenAt       httpx.Time `json:"last_seen_at"`
	IPAtIssue        string     `json:"ip_at_issue"`
	UserAgentAtIssue *string    `json:"user_agent_at_issue"`
	IsCurrent        bool       `json:"is_current"`
}

// SessionRevokedResponse confirms that sessions ended.
type SessionRevokedResponse struct {
	Revoked bool `json:"revoked"`
}

func (g *group) sessionOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodPost, Path: "/auth/login", ID: "login", Tag: "auth",
		Summary: "Open a session; sets the session and CSRF cookies.",
		Action:  auth.AuthLogin, Access: rest.Public, Throttle: g.loginThrottle,
		Body: LoginRequest{}, Response: LoginResponse{}, Status: http.StatusOK, Errors: []int{http.StatusUnauthorized},
		Handle: g.login,
	}, {
		Method: http.MethodPost, Path: "/auth/logout", ID: "logout", Tag: "auth", Summary: "End this session.",
		Action: auth.AuthLogout, Access: rest.Session, Status: http.StatusNoContent, Handle: g.logout,
	}, {
		Method: http.MethodGet, Path: "/auth/policy", ID: "password_policy", Tag: "auth", Summary: "What a password must look like.",
		Action: auth.AuthPolicy, Access: rest.Public, Response: PasswordPolicyPublic{}, Status: http.StatusOK,
		Handle: func(*rest.Request) (any, error) { return PasswordPolicyPublic(g.cfg.Policy.Public()), nil },
	}, {
		Method: http.MethodGet, Path: "/auth/sessions", ID: "list_sessions", Tag: "auth", Summary: "The caller's open sessions, newest first.",
		Action: auth.AuthSessionList, Access: rest.Session, Response: []SessionPublic{}, Status: http.StatusOK, Handle: g.sessions,
	}, {
		Method: http.MethodPost, Path: "/auth/sessions/revoke-others", ID: "revoke_other_sessions", Tag: "auth",
		Summary: "End every session of the caller but this one.",
		Action:  auth.AuthSessionRevoke, Access: rest.Session, Response: SessionRevokedResponse{}, Status: http.StatusOK,
		Handle: g.revokeOthers,
	}, {
		Method: http.MethodPost, Path: "/auth/sessions/{session_id}/revoke", ID: "revoke_session", Tag: "auth",
		Summary: "End one session of the caller.",
		Action:  auth.AuthSessionRevoke, Access: rest.Session, Response: SessionRevokedResponse{}, Status: http.StatusOK,
		Errors: []int{http.StatusNotFound}, Handle: g.revokeSession,
	}}
}

// login answers no sooner than the floor, whatever happened, so that the time tells nothing about the account.
func (g *group) login(r *rest.Request) (any, error) {
	floor := time.NewTimer(g.cfg.LoginFloor)
	defer floor.Stop()
	out, err := g.tryLogin(r, rest.Body[LoginRequest](r))
	select {
	case <-floor.C:
	case <-r.Context().Done():
	}
	return out, err
}

func (g *group) tryLogin(r *rest.Request, in *LoginRequest) (any, error) {
	ctx := r.Context()
	if err := g.cfg.Auth.CheckAddress(r.HTTP); err != nil {
		return nil, err
	}
	email, err := auth.CanonicalEmail(string(in.Email))
	if err != nil {
		return nil, err
	}
	user, reason, rehash, err := g.checkCredentials(ctx, email, in.Password)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return nil, g.loginFailed(r, user, email, reason)
	}
	var setCookies func()
	err = g.cfg.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if rehash != "" {
			if err := tx.RehashPassword(ctx, user.ID, user.PasswordHash, rehash); err != nil {
				return err
			}
		}
		if err := tx.RecordLogin(ctx, user.ID); err != nil {
			return err
		}
		if setCookies, err = g.cfg.Auth.OpenSession(ctx, tx, r, user.ID, in.RememberMe); err != nil {
			return err
		}
		e := r.Audit("auth.login", "user", user.ID.String())
		e.UserID, e.Metadata = user.ID, map[string]any{"remember_me": in.RememberMe}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	setCookies()
	return LoginResponse{User: userPublic(user)}, nil
}

// checkCredentials spends the same work on every kind of failure. reason is empty for the right password; rehash is
// a new hash to store when the old one's parameters are outdated.
func (g *group) checkCredentials(ctx context.Context, email, password string) (user store.User, reason, rehash string, err error) {
	user, err = g.cfg.Store.UserByEmail(ctx, email)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		reason = "unknown_user"
	case err != nil:
		return user, "", "", fmt.Errorf("find user: %w", err)
	case !user.IsActive:
		reason = "inactive"
	case g.locked(user):
		reason = "locked"
	}
	if reason != "" {
		return user, reason, "", busy(g.cfg.Hasher.VerifyDummy(ctx, password))
	}
	ok, outdated, err := g.cfg.Hasher.Verify(ctx, user.PasswordHash, password)
	switch {
	case errors.Is(err, auth.ErrBadHash):
		g.cfg.Logger.ErrorContext(ctx, "stored password hash is unusable; set a new password by `z4j changepassword`", "user", user.ID)
		return user, "bad_hash", "", nil
	case err != nil:
		return user, "", "", busy(err)
	case !ok:
		return user, "wrong_password", "", nil
	case outdated:
		// A login must not fail because the stronger hash could not be made now.
		rehash, err = g.cfg.Hasher.Hash(ctx, password)
		if err != nil {
			g.cfg.Logger.WarnContext(ctx, "cannot strengthen a password hash", "err", err)
		}
	}
	return user, "", rehash, nil
}

func (g *group) locked(u store.User) bool {
	return u.LockedUntil != nil && g.cfg.Now().Before(*u.LockedUntil)
}

// loginFailed counts and records a failure and returns the one answer all failures have.
func (g *group) loginFailed(r *rest.Request, user store.User, email, reason string) error {
	e := r.Audit("auth.login", "user", "")
	e.Result, e.Outcome = domain.ResultFailed, domain.OutcomeDeny
	e.Metadata = map[string]any{"email": email, "reason": reason}
	if user.ID != uuid.Nil {
		e.TargetID = user.ID.String()
	}
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		if reason == "wrong_password" {
			locked, err := tx.RecordLoginFailure(ctx, user.ID, g.cfg.LockoutAfter, g.cfg.LockoutFor)
			if err != nil {
				return err
			}
			if locked {
				e.Metadata["locked_for_seconds"] = int(g.cfg.LockoutFor / time.Second)
			}
		}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("record failed login: %w", err)
	}
	return domain.Errorf(domain.CodeUnauthenticated, "the e-mail address or the password is not right").With("reason", "invalid_credentials")
}

func (g *group) logout(r *rest.Request) (any, error) {
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.RevokeSession(ctx, r.Session.ID, "logout"); err != nil {
			return err
		}
		return tx.Audit(ctx, r.Audit("auth.logout", "session", r.Session.ID.String()))
	})
	if err != nil {
		return nil, fmt.Errorf("log out: %w", err)
	}
	g.cfg.Hints.SessionsChanged(r.Context(), r.User.ID)
	g.cfg.Auth.ClearCookies(r)
	return nil, nil
}

func (g *group) sessions(r *rest.Request) (any, error) {
	list, err := g.cfg.Store.UserSessions(r.Context(), r.User.ID)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	out := make([]SessionPublic, 0, len(list))
	for _, s := range list {
		out = append(out, SessionPublic{
			ID: s.ID, IssuedAt: httpx.NewTime(s.IssuedAt), LastSeenAt: httpx.NewTime(s.LastSeenAt), IPAtIssue: s.IPAtIssue,
			UserAgentAtIssue: s.UserAgentAtIssue, IsCurrent: s.ID == r.Session.ID,
		})
	}
	return out, nil
}

func (g *group) revokeOthers(r *rest.Request) (any, error) {
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.RevokeUserSessions(ctx, r.User.ID, r.Session.ID, "revoked_by_user")
		if err != nil {
			return err
		}
		e := r.Audit("auth.other_sessions_revoked", "user", r.User.ID.String())
		e.Metadata = map[string]any{"count": n}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("revoke other sessions: %w", err)
	}
	g.cfg.Hints.SessionsChanged(r.Context(), r.User.ID)
	return SessionRevokedResponse{Revoked: true}, nil
}

func (g *group) revokeSession(r *rest.Request) (any, error) {
	id := r.ID("session_id")
	session, err := g.cfg.Store.SessionByID(r.Context(), id)
	if errors.Is(err, domain.ErrNotFound) || (err == nil && session.UserID != r.User.ID) {
		return nil, domain.Errorf(domain.CodeNotFound, "session not found").With("session_id", id.String())
	}
	if err != nil {
		return nil, fmt.Errorf("find session: %w", err)
	}
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		changed, err := tx.RevokeSession(ctx, id, "revoked_by_user")
		if err != nil || !changed {
			return err
		}
		return tx.Audit(ctx, r.Audit("auth.session_revoked", "session", id.String()))
	})
	if err != nil {
		return nil, fmt.Errorf("revoke session: %w", err)
	}
	g.cfg.Hints.SessionsChanged(r.Context(), r.User.ID)
	return SessionRevokedResponse{Revoked: true}, nil
}
