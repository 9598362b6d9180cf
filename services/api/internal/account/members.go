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

// MembershipPublic is a member of a project.
type MembershipPublic struct {
	ID              uuid.UUID  `json:"id"`
	UserID          uuid.UUID  `json:"user_id"`
	ProjectID       uuid.UUID  `json:"project_id"`
	UserEmail       string     `json:"user_email"`
	UserDisplayName *string    `json:"user_display_name"`
	Role            string     `json:"role"`
	CreatedAt       httpx.Time `json:"created_at"`
}

// GrantMembershipRequest makes a user a member.
type GrantMembershipRequest struct {
	UserID uuid.UUID `json:"user_id" validate:"required"`
	Role   string    `json:"role" validate:"required,oneof=viewer|auditor|operator|admin"`
}

// UpdateMembershipRequest changes a member's role.
type UpdateMembershipRequest struct {
	Role string `json:"role" validate:"required,oneof=viewer|auditor|operator|admin"`
}

func (g *group) memberOps() []rest.Op {
	conflict := http.StatusConflict
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/memberships", ID: "list_memberships", Tag: "memberships",
		Action: auth.MembershipRead, Access: rest.Session, Response: []MembershipPublic{}, Status: http.StatusOK, Handle: g.listMembers,
	}, {
		Method: http.MethodPost, Path: "/projects/{slug}/memberships", ID: "grant_membership", Tag: "memberships",
		Action: auth.MembershipGrant, Access: rest.Session, Body: GrantMembershipRequest{}, Response: MembershipPublic{},
		Status: http.StatusCreated, Errors: []int{conflict}, Handle: g.grant,
	}, {
		Method: http.MethodPatch, Path: "/projects/{slug}/memberships/{membership_id}", ID: "update_membership", Tag: "memberships",
		Action: auth.MembershipUpdate, Access: rest.Session, Body: UpdateMembershipRequest{}, Response: MembershipPublic{},
		Status: http.StatusOK, Errors: []int{conflict}, Handle: g.changeRole,
	}, {
		Method: http.MethodDelete, Path: "/projects/{slug}/memberships/{membership_id}", ID: "revoke_membership", Tag: "memberships",
		Action: auth.MembershipRevoke, Access: rest.Session, Status: http.StatusNoContent, Errors: []int{conflict}, Handle: g.revoke,
	}}
}

func membershipPublic(p store.Project, m store.Membership, email string, name *string) MembershipPublic {
	return MembershipPublic{
		ID: m.ID, UserID: m.UserID, ProjectID: p.UID, UserEmail: email, UserDisplayName: name, Role: m.Role,
		CreatedAt: httpx.NewTime(m.CreatedAt),
	}
}

// maxMembers bounds the list of members.
const maxMembers = 5000

func (g *group) listMembers(r *rest.Request) (any, error) {
	list, err := g.cfg.Store.ProjectMembers(r.Context(), r.Project.ID, maxMembers)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	out := make([]MembershipPublic, 0, len(list))
	for _, m := range list {
		out = append(out, membershipPublic(r.Project, m.Membership, m.Email, m.DisplayName))
	}
	return out, nil
}

func (g *group) grant(r *rest.Request) (any, error) {
	in := rest.Body[GrantMembershipRequest](r)
	var out MembershipPublic
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.UserByID(ctx, in.UserID)
		if errors.Is(err, domain.ErrNotFound) || (err == nil && !u.IsActive) {
			return domain.Errorf(domain.CodeNotFound, "user not found or inactive").With("user_id", in.UserID.String())
		}
		if err != nil {
			return err
		}
		m, err := tx.CreateMembership(ctx, u.ID, r.Project.ID, domain.Role(in.Role))
		if errors.Is(err, domain.ErrConflict) {
			return domain.Errorf(domain.CodeConflict, "user already has a membership on this project: change its role instead").
				With("user_id", in.UserID.String())
		}
		if err != nil {
			return err
		}
		out = membershipPublic(r.Project, m, u.Email, u.DisplayName)
		e := r.Audit("membership.granted", "membership", m.ID.String())
		e.Metadata = map[string]any{"user_id": u.ID.String(), "role": in.Role}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("grant membership: %w", err)
	}
	g.cfg.Hints.MembersChanged(r.Context(), in.UserID)
	return out, nil
}

// lockMember reads the membership to change while no other change of the project's members can happen, and refuses
// to take the last admin away.
func (g *group) lockMember(ctx context.Context, tx *store.Tx, r *rest.Request, to domain.Role, verb string) (store.Membership, error) {
	id := r.ID("membership_id")
	if err := tx.LockProject(ctx, r.Project.ID); err != nil {
		return store.Membership{}, err
	}
	m, err := tx.Membership(ctx, r.Project.ID, id)
	if errors.Is(err, domain.ErrNotFound) {
		return m, domain.Errorf(domain.CodeNotFound, "membership not found").With("membership_id", id.String())
	}
	if err != nil || m.Role != string(domain.RoleAdmin) || to == domain.RoleAdmin {
		return m, err
	}
	n, err := tx.CountProjectAdmins(ctx, r.Project.ID)
	if err == nil && n <= 1 {
		return m, domain.Errorf(domain.CodeConflict, "cannot %s the last admin - promote another member to admin first", verb).
			With("project_id", r.Project.UID.String())
	}
	return m, err
}

func (g *group) changeRole(r *rest.Request) (any, error) {
	in := rest.Body[UpdateMembershipRequest](r)
	var out MembershipPublic
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		old, err := g.lockMember(ctx, tx, r, domain.Role(in.Role), "demote")
		if err != nil {
			return err
		}
		m, err := tx.SetMembershipRole(ctx, old.ID, domain.Role(in.Role))
		if err != nil {
			return err
		}
		u, err := tx.UserByID(ctx, m.UserID)
		if err != nil {
			return err
		}
		out = membershipPublic(r.Project, m, u.Email, u.DisplayName)
		e := r.Audit("membership.updated", "membership", m.ID.String())
		e.Metadata = map[string]any{"user_id": m.UserID.String(), "from": old.Role, "to": m.Role}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("change role: %w", err)
	}
	g.cfg.Hints.MembersChanged(r.Context(), out.UserID)
	return out, nil
}

func (g *group) revoke(r *rest.Request) (any, error) {
	var user uuid.UUID
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		m, err := g.lockMember(ctx, tx, r, "", "remove")
		if err != nil {
			return err
		}
		if err := tx.DeleteMembership(ctx, m.ID); err != nil {
			return err
		}
		user = m.UserID
		e := r.Audit("membership.revoked", "membership", m.ID.String())
		e.Metadata = map[string]any{"user_id": m.UserID.String(), "role": m.Role}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("revoke membership: %w", err)
	}
	g.cfg.Hints.MembersChanged(r.Context(), user)
	return nil, nil
}
