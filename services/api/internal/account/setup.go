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

// StatusResponse tells whether the first admin is still to be made.
type StatusResponse struct {
	FirstBoot bool `json:"first_boot"`
}

// CompleteRequest makes the first admin.
type CompleteRequest struct {
	Token       string  `json:"token" validate:"required,min=10,max=200,secret"`
	Email       Email   `json:"email" validate:"required,min=3,max=320"`
	DisplayName *string `json:"display_name" validate:"max=200"`
	Password    string  `json:"password" validate:"required,min=8,max=256,secret"`
}

// CompleteResponse is the first admin and his project.
type CompleteResponse struct {
	User      UserPublic `json:"user"`
	ProjectID uuid.UUID  `json:"project_id"`
}

func (g *group) setupOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodGet, Path: "/setup/status", ID: "setup_status", Tag: "setup",
		Summary: "Is the first admin still to be made? Open to everybody until then.",
		Action:  auth.SetupStatus, Access: rest.Public,
		Response: StatusResponse{}, Status: http.StatusOK, Errors: []int{http.StatusUnauthorized},
		Handle: g.setupStatus,
	}, {
		Method: http.MethodPost, Path: "/setup/complete", ID: "setup_complete", Tag: "setup",
		Summary: "Make the first admin with the one-time token from the brain's console, and log in.",
		Action:  auth.SetupComplete, Access: rest.Public, Throttle: g.setupThrottle,
		Body: CompleteRequest{}, Response: CompleteResponse{}, Status: http.StatusOK,
		Errors: []int{http.StatusNotFound, http.StatusConflict},
		Handle: g.setupComplete,
	}}
}

func (g *group) setupStatus(r *rest.Request) (any, error) {
	first, err := g.cfg.Store.FirstBoot(r.Context())
	if err != nil {
		return nil, fmt.Errorf("setup status: %w", err)
	}
	if !first && !r.LoggedIn {
		return nil, domain.Errorf(domain.CodeUnauthenticated, "authentication required: this brain is set up, log in")
	}
	return StatusResponse{FirstBoot: first}, nil
}

func (g *group) setupComplete(r *rest.Request) (any, error) {
	in := rest.Body[CompleteRequest](r)
	if err := g.bootPerIP.AllowIP(httpx.ClientIP(r.Context())); err != nil {
		return nil, err
	}
	if err := g.bootGlobal.Allow("all"); err != nil {
		return nil, err
	}
	out, err := g.completeSetup(r, in)
	if known, ok := errors.AsType[*domain.Error](err); ok {
		reason, _ := known.Details["reason"].(string)
		g.auditFailure(r, "setup.attempt", "setup", "", map[string]any{"reason": reason})
	}
	return out, err
}

func (g *group) completeSetup(r *rest.Request, in *CompleteRequest) (any, error) {
	ctx := r.Context()
	if err := g.cfg.Auth.CheckAddress(r.HTTP); err != nil {
		return nil, err
	}
	initialised := domain.Errorf(domain.CodeConflict, "brain has already been initialised: log in instead").With("reason", "already_initialised")
	first, err := g.cfg.Store.FirstBoot(ctx)
	if err != nil {
		return nil, fmt.Errorf("complete setup: %w", err)
	}
	if !first {
		return nil, initialised
	}
	if err := g.checkSetupToken(ctx, in.Token); err != nil {
		return nil, err
	}
	if err := g.refusePassword(in.Password); err != nil {
		return nil, err
	}
	email, err := auth.CanonicalEmail(string(in.Email))
	if err != nil {
		return nil, err
	}
	hash, err := g.hash(ctx, in.Password)
	if err != nil {
		return nil, fmt.Errorf("complete setup: %w", err)
	}
	var out CompleteResponse
	var setCookies func()
	err = g.cfg.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		user, project, err := tx.CreateFirstAdmin(ctx, store.NewUser{Email: email, PasswordHash: hash, DisplayName: in.DisplayName})
		if err != nil {
			return err
		}
		if setCookies, err = g.cfg.Auth.OpenSession(ctx, tx, r, user.ID, false); err != nil {
			return err
		}
		e := r.Audit("setup.completed", "user", user.ID.String())
		e.UserID, e.ProjectUID = user.ID, project.UID
		e.Metadata = map[string]any{"email": email, "project": project.Slug}
		out = CompleteResponse{User: userPublic(user), ProjectID: project.UID}
		return tx.Audit(ctx, e)
	})
	if errors.Is(err, domain.ErrConflict) {
		return nil, initialised
	}
	if err != nil {
		return nil, fmt.Errorf("complete setup: %w", err)
	}
	setCookies()
	return out, nil
}

func (g *group) checkSetupToken(ctx context.Context, token string) error {
	refuse := func(reason, message string) error {
		return domain.Errorf(domain.CodeNotFound, "%s; run `z4j reset-setup` for a new link", message).With("reason", reason)
	}
	open, err := g.cfg.Store.OpenSetupToken(ctx)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return refuse("no_active_token", "no setup link is open")
	case err != nil:
		return fmt.Errorf("read setup token: %w", err)
	case !g.cfg.Keyring.Matches(auth.SaltSetupToken, token, open.TokenHash):
		return refuse("invalid_token", "this setup link is not valid")
	case !g.cfg.Now().Before(open.ExpiresAt):
		return refuse("expired", "this setup link has expired")
	}
	return nil
}

// auditFailure records a refused attempt. The refusal stands whether or not it can be recorded.
func (g *group) auditFailure(r *rest.Request, action, targetType, targetID string, metadata map[string]any) {
	e := r.Audit(action, targetType, targetID)
	e.Result, e.Outcome, e.Metadata = domain.ResultFailed, domain.OutcomeDeny, metadata
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.Audit(ctx, e) })
	if err != nil && r.Context().Err() == nil {
		g.cfg.Logger.ErrorContext(r.Context(), "cannot record a refused attempt", "action", action, "err", err)
	}
}
