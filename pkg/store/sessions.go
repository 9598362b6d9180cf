// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// SessionByTokenHash returns a session with its user, dead ones included: whether it may be used is
// auth.Lifetimes' decision.
func (s *Store) SessionByTokenHash(ctx context.Context, hash string) (Session, User, error) {
	row, err := s.q.SessionByTokenHash(ctx, s.eng.read(), db.SessionByTokenHashParams{TokenHash: hash})
	return row.Session, row.User, s.err(err)
}

// SessionByID returns a session, dead ones included.
func (s *Store) SessionByID(ctx context.Context, id uuid.UUID) (Session, error) {
	v, err := s.q.SessionByID(ctx, s.eng.read(), db.SessionByIDParams{ID: id})
	return v, s.err(err)
}

// maxUserSessions bounds the list a user sees of his own sessions.
const maxUserSessions = 200

// UserSessions lists the sessions of a user that are neither revoked nor expired, newest first.
func (s *Store) UserSessions(ctx context.Context, userID uuid.UUID) ([]Session, error) {
	vs, err := s.q.ListUserSessions(ctx, s.eng.read(), db.ListUserSessionsParams{UserID: userID, Now: s.Now(), MaxRows: maxUserSessions})
	return vs, s.err(err)
}

// NewSession holds the fields of CreateSession.
type NewSession struct {
	UserID               uuid.UUID
	TokenHash, CSRFToken string
	Remember             bool
	Lifetime             time.Duration
	IP                   string
	UserAgent            *string
}

// CreateSession opens a session.
func (tx *Tx) CreateSession(ctx context.Context, n NewSession) (Session, error) {
	now := tx.s.Now()
	v, err := tx.s.q.CreateSession(ctx, tx.db, db.CreateSessionParams{
		ID: uuid.New(), UserID: n.UserID, TokenHash: n.TokenHash, CSRFToken: n.CSRFToken, Remember: n.Remember,
		Now: now, ExpiresAt: now.Add(n.Lifetime), IPAtIssue: n.IP, UserAgentAtIssue: n.UserAgent,
	})
	if err != nil {
		return Session{}, fmt.Errorf("create session: %w", tx.s.err(err))
	}
	return v, nil
}

// TouchSession marks a session as used now. It is a write of its own: nobody waits for it.
func (s *Store) TouchSession(ctx context.Context, id uuid.UUID) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		return tx.s.q.TouchSession(ctx, tx.db, db.TouchSessionParams{ID: id, Now: tx.s.Now()})
	})
}

// RevokeSession ends a session; changed is false when it was revoked before.
func (tx *Tx) RevokeSession(ctx context.Context, id uuid.UUID, reason string) (changed bool, err error) {
	now := tx.s.Now()
	n, err := tx.s.q.RevokeSession(ctx, tx.db, db.RevokeSessionParams{ID: id, Now: &now, Reason: &reason})
	return n > 0, tx.s.err(err)
}

// RevokeUserSessions ends all sessions of a user but keep, which may be the zero UUID; it returns how many ended.
func (tx *Tx) RevokeUserSessions(ctx context.Context, userID, keep uuid.UUID, reason string) (int64, error) {
	now := tx.s.Now()
	n, err := tx.s.q.RevokeUserSessions(ctx, tx.db, db.RevokeUserSessionsParams{UserID: userID, KeepID: keep, Now: &now, Reason: &reason})
	return n, tx.s.err(err)
}

// SetupToken is the open first-boot token.
type SetupToken = db.SetupTokenRow

// OpenSetupToken returns the first-boot token; domain.ErrNotFound when none is open.
func (s *Store) OpenSetupToken(ctx context.Context) (SetupToken, error) {
	v, err := s.q.SetupToken(ctx, s.eng.read())
	return v, s.err(err)
}

// OfferSetupToken opens a first-boot token unless an unexpired one is there. Of several replicas that start
// together only the one that gets true shows its link.
func (tx *Tx) OfferSetupToken(ctx context.Context, hash string, ttl time.Duration) (won bool, err error) {
	now := tx.s.Now()
	n, err := tx.s.q.InsertSetupToken(ctx, tx.db, db.InsertSetupTokenParams{TokenHash: hash, ExpiresAt: now.Add(ttl), Now: now})
	return n > 0, tx.s.err(err)
}

// ReplaceSetupToken opens a first-boot token in place of any other.
func (tx *Tx) ReplaceSetupToken(ctx context.Context, hash string, ttl time.Duration) error {
	now := tx.s.Now()
	return tx.s.err(tx.s.q.ReplaceSetupToken(ctx, tx.db, db.ReplaceSetupTokenParams{TokenHash: hash, ExpiresAt: now.Add(ttl), Now: now}))
}

// DeleteSetupToken closes first boot by link.
func (tx *Tx) DeleteSetupToken(ctx context.Context) error {
	_, err := tx.s.q.DeleteSetupToken(ctx, tx.db)
	return tx.s.err(err)
}

// TakeSetupToken uses the token up; domain.ErrNotFound when it is gone.
func (tx *Tx) TakeSetupToken(ctx context.Context, hash string) error {
	n, err := tx.s.q.TakeSetupToken(ctx, tx.db, db.TakeSetupTokenParams{TokenHash: hash})
	return tx.affected(n, err)
}

// DefaultProject is the slug of the project that comes with the first admin.
const DefaultProject = "default"

// firstAdminLock is the advisory lock under which it is decided who is the first admin: two callers that both saw
// an empty table must not both fill it.
const firstAdminLock = 0x7A346ADF

// CreateFirstAdmin adds the first instance admin, the project `default` and the admin's membership in it. It
// returns domain.ErrConflict when an account exists already. The project is reused when it is there.
func (tx *Tx) CreateFirstAdmin(ctx context.Context, n NewUser) (User, Project, error) {
	if tx.s.eng.name() != "sqlite" {
		if _, err := tx.db.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(firstAdminLock)); err != nil {
			return User{}, Project{}, fmt.Errorf("create first admin: wait for others: %w", tx.s.err(err))
		}
	}
	fresh, err := tx.FirstBoot(ctx)
	if err != nil {
		return User{}, Project{}, err
	}
	if !fresh {
		return User{}, Project{}, fmt.Errorf("create first admin: an account exists: %w", domain.ErrConflict)
	}
	n.IsAdmin = true
	u, err := tx.CreateUser(ctx, n)
	if err != nil {
		return User{}, Project{}, err
	}
	p, err := tx.s.q.ProjectBySlug(ctx, tx.db, db.ProjectBySlugParams{Slug: DefaultProject})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		p, err = tx.CreateProject(ctx, NewProject{
			Slug: DefaultProject, Name: "Default", Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler",
		})
	}
	if err != nil {
		return User{}, Project{}, err
	}
	if _, err := tx.CreateMembership(ctx, u.ID, p.ID, domain.RoleAdmin); err != nil {
		return User{}, Project{}, err
	}
	return u, p, tx.DeleteSetupToken(ctx)
}
