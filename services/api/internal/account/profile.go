// SPDX-License-Identifier: AGPL-3.0-or-later

package account

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// UserMePublic is the caller's own account with his projects.
type UserMePublic struct {
	UserPublic
	Memberships []UserMembershipSummary `json:"memberships"`
}

// UserMembershipSummary is one project the caller can open.
type UserMembershipSummary struct {
	ProjectID   uuid.UUID `json:"project_id"`
	ProjectSlug string    `json:"project_slug"`
	Role        string    `json:"role"`
}

// UpdateProfileRequest changes what is given and not null.
type UpdateProfileRequest struct {
	FirstName   *string `json:"first_name" validate:"max=100"`
	LastName    *string `json:"last_name" validate:"max=100"`
	DisplayName *string `json:"display_name" validate:"max=200"`
	Timezone    *string `json:"timezone" validate:"max=64"`
}

// Validate implements httpx.Validator.
func (r *UpdateProfileRequest) Validate(faults *httpx.Faults) { checkTimezone(faults, r.Timezone) }

// ChangePasswordRequest replaces the caller's password.
type ChangePasswordRequest struct {
	CurrentPassword string `json:"current_password" validate:"required,min=1,max=256,secret"`
	NewPassword     string `json:"new_password" validate:"required,min=8,max=256,secret"`
}

func (g *group) profileOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodGet, Path: "/auth/me", ID: "me", Tag: "auth", Summary: "The caller's account and projects.",
		Action: auth.AuthProfileRead, Access: rest.Session, Response: UserMePublic{}, Status: http.StatusOK,
		Handle: func(r *rest.Request) (any, error) { return g.me(r.Context(), r.User) },
	}, {
		Method: http.MethodPatch, Path: "/auth/me", ID: "update_me", Tag: "auth", Summary: "Change the caller's names and time zone.",
		Action: auth.AuthProfileWrite, Access: rest.Session, Body: UpdateProfileRequest{}, Response: UserMePublic{}, Status: http.StatusOK,
		Handle: g.updateMe,
	}, {
		Method: http.MethodPost, Path: "/auth/change-password", ID: "change_password", Tag: "auth",
		Summary: "Replace the caller's password; every other session ends and this one gets new cookies.",
		Action:  auth.AuthChangePassword, Access: rest.Session, Body: ChangePasswordRequest{}, Response: LoginResponse{}, Status: http.StatusOK,
		Handle: g.changePassword,
	}}
}

// maxAdminProjects bounds the projects an instance admin is shown as member of.
const maxAdminProjects = 500

func (g *group) me(ctx context.Context, u store.User) (UserMePublic, error) {
	out := UserMePublic{UserPublic: userPublic(u), Memberships: []UserMembershipSummary{}}
	if u.IsAdmin {
		// An instance admin acts as admin everywhere, member or not.
		projects, err := g.cfg.Store.ActiveProjects(ctx, maxAdminProjects)
		if err != nil {
			return out, fmt.Errorf("list projects: %w", err)
		}
		for _, p := range projects {
			out.Memberships = append(out.Memberships, UserMembershipSummary{ProjectID: p.UID, ProjectSlug: p.Slug, Role: string(domain.RoleAdmin)})
		}
		return out, nil
	}
	memberships, err := g.cfg.Store.UserMemberships(ctx, u.ID, maxAdminProjects)
	if err != nil {
		return out, fmt.Errorf("list memberships: %w", err)
	}
	for _, m := range memberships {
		out.Memberships = append(out.Memberships, UserMembershipSummary{ProjectID: m.UID, ProjectSlug: m.Slug, Role: m.Role})
	}
	return out, nil
}

func (g *group) updateMe(r *rest.Request) (any, error) {
	in := rest.Body[UpdateProfileRequest](r)
	var user store.User
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.UserByID(ctx, r.User.ID)
		if err != nil {
			return err
		}
		var changed []string
		set(&u.FirstName, in.FirstName, "first_name", &changed)
		set(&u.LastName, in.LastName, "last_name", &changed)
		set(&u.DisplayName, in.DisplayName, "display_name", &changed)
		setPlain(&u.Timezone, in.Timezone, "timezone", &changed)
		if user = u; len(changed) == 0 {
			return nil
		}
		if user, err = tx.UpdateUser(ctx, u); err != nil {
			return err
		}
		e := r.Audit("user.updated", "user", u.ID.String())
		e.Metadata = map[string]any{"fields": changed, "self": true}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("update profile: %w", err)
	}
	return g.me(r.Context(), user)
}

func (g *group) changePassword(r *rest.Request) (any, error) {
	in, ctx := rest.Body[ChangePasswordRequest](r), r.Context()
	wrong := domain.Errorf(domain.CodeUnauthenticated, "current password is incorrect").With("reason", "wrong_current_password")
	// The lockout counts here as well: a stolen session must not become a place to try passwords.
	if g.locked(r.User) {
		if err := g.cfg.Hasher.VerifyDummy(ctx, in.CurrentPassword); err != nil {
			return nil, busy(err)
		}
		return nil, wrong
	}
	ok, _, err := g.cfg.Hasher.Verify(ctx, r.User.PasswordHash, in.CurrentPassword)
	if err != nil {
		return nil, busy(err)
	}
	if !ok {
		return nil, g.wrongCurrentPassword(r, wrong)
	}
	if err := g.refusePassword(in.NewPassword); err != nil {
		return nil, err
	}
	hash, err := g.hash(ctx, in.NewPassword)
	if err != nil {
		return nil, err
	}
	var setCookies func()
	err = g.cfg.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SetPassword(ctx, r.User.ID, hash); err != nil {
			return err
		}
		if _, err := tx.RevokeUserSessions(ctx, r.User.ID, uuid.Nil, "password_changed"); err != nil {
			return err
		}
		if setCookies, err = g.cfg.Auth.OpenSession(ctx, tx, r, r.User.ID, r.Session.Remember); err != nil {
			return err
		}
		return tx.Audit(ctx, r.Audit("auth.password_changed", "user", r.User.ID.String()))
	})
	if err != nil {
		return nil, fmt.Errorf("change password: %w", err)
	}
	setCookies()
	g.cfg.Hints.SessionsChanged(ctx, r.User.ID)
	return LoginResponse{User: userPublic(r.User)}, nil
}

func (g *group) wrongCurrentPassword(r *rest.Request, answer error) error {
	e := r.Audit("auth.password_changed", "user", r.User.ID.String())
	e.Result, e.Outcome = domain.ResultFailed, domain.OutcomeDeny
	e.Metadata = map[string]any{"reason": "wrong_current_password"}
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.RecordLoginFailure(ctx, r.User.ID, g.cfg.LockoutAfter, g.cfg.LockoutFor); err != nil {
			return err
		}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("record wrong password: %w", err)
	}
	return answer
}
