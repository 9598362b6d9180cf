// SPDX-License-Identifier: AGPL-3.0-or-later

package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// UserAdminPublic is an account as instance admins see it.
type UserAdminPublic struct {
	ID          uuid.UUID   `json:"id"`
	Email       string      `json:"email"`
	FirstName   *string     `json:"first_name"`
	LastName    *string     `json:"last_name"`
	DisplayName *string     `json:"display_name"`
	IsAdmin     bool        `json:"is_admin"`
	IsActive    bool        `json:"is_active"`
	Timezone    string      `json:"timezone"`
	LastLoginAt *httpx.Time `json:"last_login_at"`
	CreatedAt   httpx.Time  `json:"created_at"`
	UpdatedAt   httpx.Time  `json:"updated_at"`
}

func userAdminPublic(u store.User) UserAdminPublic {
	return UserAdminPublic{
		ID: u.ID, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, DisplayName: u.DisplayName,
		IsAdmin: u.IsAdmin, IsActive: u.IsActive, Timezone: u.Timezone, LastLoginAt: httpx.TimePtr(u.LastLoginAt),
		CreatedAt: httpx.NewTime(u.CreatedAt), UpdatedAt: httpx.NewTime(u.UpdatedAt),
	}
}

// CreateUserRequest adds an account.
type CreateUserRequest struct {
	Email       Email   `json:"email" validate:"required,min=3,max=320"`
	FirstName   *string `json:"first_name" validate:"max=100"`
	LastName    *string `json:"last_name" validate:"max=100"`
	DisplayName *string `json:"display_name" validate:"max=200"`
	Password    string  `json:"password" validate:"required,min=8,max=256,secret"`
	IsAdmin     bool    `json:"is_admin" default:"false"`
	Timezone    string  `json:"timezone" validate:"max=64" default:"UTC"`
}

// Validate implements httpx.Validator.
func (r *CreateUserRequest) Validate(faults *httpx.Faults) {
	checkTimezone(faults, &r.Timezone)
}

// UpdateUserRequest changes what is given and not null.
type UpdateUserRequest struct {
	FirstName   *string `json:"first_name" validate:"max=100"`
	LastName    *string `json:"last_name" validate:"max=100"`
	DisplayName *string `json:"display_name" validate:"max=200"`
	IsAdmin     *bool   `json:"is_admin"`
	IsActive    *bool   `json:"is_active"`
	Timezone    *string `json:"timezone" validate:"max=64"`
}

// Validate implements httpx.Validator.
func (r *UpdateUserRequest) Validate(faults *httpx.Faults) { checkTimezone(faults, r.Timezone) }

// PasswordResetRequest sets somebody's password.
type PasswordResetRequest struct {
	NewPassword string `json:"new_password" validate:"required,min=8,max=256,secret"`
}

// UserListQuery pages through the accounts.
type UserListQuery struct {
	Limit  int `json:"limit" default:"100" doc:"1 to 500; anything else counts as 100"`
	Offset int `json:"offset" default:"0"`
}

func (g *group) userOps() []rest.Op {
	notFound, conflict := http.StatusNotFound, http.StatusConflict
	return []rest.Op{{
		Method: http.MethodGet, Path: "/users", ID: "list_users", Tag: "users", Summary: "Accounts, newest first.",
		Action: auth.UserRead, Access: rest.Session, Query: UserListQuery{}, Response: []UserAdminPublic{}, Status: http.StatusOK,
		Handle: g.listUsers,
	}, {
		Method: http.MethodPost, Path: "/users", ID: "create_user", Tag: "users", Summary: "Add an account.",
		Action: auth.UserCreate, Access: rest.Session, Body: CreateUserRequest{}, Response: UserAdminPublic{}, Status: http.StatusCreated,
		Errors: []int{conflict}, Handle: g.createUser,
	}, {
		Method: http.MethodGet, Path: "/users/{user_id}", ID: "get_user", Tag: "users",
		Action: auth.UserRead, Access: rest.Session, Response: UserAdminPublic{}, Status: http.StatusOK,
		Errors: []int{notFound}, Handle: g.getUser,
	}, {
		Method: http.MethodPatch, Path: "/users/{user_id}", ID: "update_user", Tag: "users",
		Summary: "Change an account. Deactivating it ends its sessions.",
		Action:  auth.UserUpdate, Access: rest.Session, Body: UpdateUserRequest{}, Response: UserAdminPublic{}, Status: http.StatusOK,
		Errors: []int{notFound, conflict}, Handle: g.updateUser,
	}, {
		Method: http.MethodDelete, Path: "/users/{user_id}", ID: "delete_user", Tag: "users",
		Action: auth.UserDelete, Access: rest.Session, Status: http.StatusNoContent,
		Errors: []int{notFound, conflict}, Handle: g.deleteUser,
	}, {
		Method: http.MethodPost, Path: "/users/{user_id}/password", ID: "reset_user_password", Tag: "users",
		Summary: "Set somebody's password; his sessions end.",
		Action:  auth.UserUpdate, Access: rest.Session, Body: PasswordResetRequest{}, Status: http.StatusNoContent,
		Errors: []int{notFound}, Handle: g.resetPassword,
	}}
}

const (
	defaultUsers = 100
	maxUsers     = 500
)

func (g *group) listUsers(r *rest.Request) (any, error) {
	q := rest.Query[UserListQuery](r)
	if q.Limit < 1 || q.Limit > maxUsers {
		q.Limit = defaultUsers
	}
	list, err := g.cfg.Store.Users(r.Context(), int64(q.Limit), int64(max(0, q.Offset)))
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	out := make([]UserAdminPublic, 0, len(list))
	for _, u := range list {
		out = append(out, userAdminPublic(u))
	}
	return out, nil
}

func (g *group) createUser(r *rest.Request) (any, error) {
	in, ctx := rest.Body[CreateUserRequest](r), r.Context()
	email, err := auth.CanonicalEmail(string(in.Email))
	if err != nil {
		return nil, err
	}
	taken := domain.Errorf(domain.CodeConflict, "email already in use").With("email", email)
	if err := g.refusePassword(in.Password); err != nil {
		return nil, err
	}
	// Hashing is dear: look before.
	if _, err := g.cfg.Store.UserByEmail(ctx, email); err == nil {
		return nil, taken
	}
	hash, err := g.hash(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	if in.DisplayName == nil {
		in.DisplayName = fullName(in.FirstName, in.LastName)
	}
	var user store.User
	err = g.cfg.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		user, err = tx.CreateUser(ctx, store.NewUser{
			Email: email, PasswordHash: hash, DisplayName: in.DisplayName, FirstName: in.FirstName, LastName: in.LastName,
			IsAdmin: in.IsAdmin, Timezone: in.Timezone,
		})
		if err != nil {
			return err
		}
		e := r.Audit("user.created", "user", user.ID.String())
		e.Metadata = map[string]any{"email": email, "is_admin": in.IsAdmin}
		return tx.Audit(ctx, e)
	})
	if errors.Is(err, domain.ErrConflict) {
		return nil, taken
	}
	if err != nil {
		return nil, err
	}
	return userAdminPublic(user), nil
}

func userNotFound(id uuid.UUID) error {
	return domain.Errorf(domain.CodeNotFound, "user not found").With("user_id", id.String())
}

func (g *group) getUser(r *rest.Request) (any, error) {
	id := r.ID("user_id")
	u, err := g.cfg.Store.UserByID(r.Context(), id)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, userNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("find user: %w", err)
	}
	return userAdminPublic(u), nil
}

func conflict(reason, message string) error {
	return domain.Errorf(domain.CodeConflict, "%s", message).With("reason", reason)
}

func (g *group) updateUser(r *rest.Request) (any, error) {
	in, id := rest.Body[UpdateUserRequest](r), r.ID("user_id")
	demote := in.IsAdmin != nil && !*in.IsAdmin
	deactivate := in.IsActive != nil && !*in.IsActive
	self := id == r.User.ID
	switch {
	case self && demote && r.User.IsAdmin:
		return nil, conflict("self_demote", "cannot remove admin role from your own account: let another admin do it")
	case self && deactivate:
		return nil, conflict("self_deactivate", "cannot deactivate your own account: let another admin do it")
	}
	var user store.User
	ended := false
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		ended = false
		u, err := g.lockTarget(ctx, tx, id, demote || deactivate)
		if err != nil {
			return err
		}
		wasActive := u.IsActive
		var changed []string
		set(&u.FirstName, in.FirstName, "first_name", &changed)
		set(&u.LastName, in.LastName, "last_name", &changed)
		set(&u.DisplayName, in.DisplayName, "display_name", &changed)
		setPlain(&u.IsAdmin, in.IsAdmin, "is_admin", &changed)
		setPlain(&u.IsActive, in.IsActive, "is_active", &changed)
		setPlain(&u.Timezone, in.Timezone, "timezone", &changed)
		if user, err = tx.UpdateUser(ctx, u); err != nil {
			return err
		}
		if wasActive && !user.IsActive {
			ended = true
			if _, err := tx.RevokeUserSessions(ctx, id, uuid.Nil, "deactivated"); err != nil {
				return err
			}
		}
		e := r.Audit("user.updated", "user", id.String())
		e.Metadata = map[string]any{"fields": changed, "is_admin": user.IsAdmin, "is_active": user.IsActive}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("update user: %w", err)
	}
	if ended {
		g.cfg.Hints.SessionsChanged(r.Context(), id)
	} else {
		g.cfg.Hints.MembersChanged(r.Context(), id)
	}
	return userAdminPublic(user), nil
}

// lockTarget reads the account to change. When the change would take an admin away it holds all admins' rows and
// refuses to take the last one.
func (g *group) lockTarget(ctx context.Context, tx *store.Tx, id uuid.UUID, removesAdmin bool) (store.User, error) {
	admins := int64(0)
	if removesAdmin {
		var err error
		if admins, err = tx.LockActiveAdmins(ctx); err != nil {
			return store.User{}, err
		}
	}
	u, err := tx.UserByID(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return u, userNotFound(id)
	}
	if err == nil && removesAdmin && u.IsAdmin && u.IsActive && admins <= 1 {
		return u, conflict("last_admin", "this is the last active admin: make another admin first")
	}
	return u, err
}

func (g *group) deleteUser(r *rest.Request) (any, error) {
	id := r.ID("user_id")
	if id == r.User.ID {
		return nil, conflict("self_delete", "cannot delete your own account: let another admin do it")
	}
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		u, err := g.lockTarget(ctx, tx, id, true)
		if err != nil {
			return err
		}
		if err := tx.DeleteUser(ctx, id); err != nil {
			return err
		}
		e := r.Audit("user.deleted", "user", id.String())
		e.Metadata = map[string]any{"email": u.Email}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("delete user: %w", err)
	}
	g.cfg.Hints.SessionsChanged(r.Context(), id)
	return nil, nil
}

func (g *group) resetPassword(r *rest.Request) (any, error) {
	in, id := rest.Body[PasswordResetRequest](r), r.ID("user_id")
	if _, err := g.getUser(r); err != nil {
		return nil, err
	}
	if err := g.refusePassword(in.NewPassword); err != nil {
		return nil, err
	}
	hash, err := g.hash(r.Context(), in.NewPassword)
	if err != nil {
		return nil, err
	}
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SetPassword(ctx, id, hash); err != nil {
			if errors.Is(err, domain.ErrNotFound) {
				return userNotFound(id)
			}
			return err
		}
		if _, err := tx.RevokeUserSessions(ctx, id, uuid.Nil, "password_reset"); err != nil {
			return err
		}
		return tx.Audit(ctx, r.Audit("user.password.reset", "user", id.String()))
	})
	if err != nil {
		return nil, fmt.Errorf("reset password: %w", err)
	}
	g.cfg.Hints.SessionsChanged(r.Context(), id)
	return nil, nil
}
