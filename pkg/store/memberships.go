// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Rows of joins.
type (
	// Member is a membership with the member's address and name.
	Member = db.ListProjectMembersRow
	// UserMembership is a membership seen from its user: project and role.
	UserMembership = db.ListUserMembershipsRow
)

// MemberRole returns the user's role in the project; domain.ErrNotFound when he is no member.
func (s *Store) MemberRole(ctx context.Context, userID uuid.UUID, projectID int64) (domain.Role, error) {
	role, err := s.q.MembershipRole(ctx, s.eng.read(), db.MembershipRoleParams{UserID: userID, ProjectID: projectID})
	return domain.Role(role), s.err(err)
}

// ProjectMembers lists the members of a project, oldest first.
func (s *Store) ProjectMembers(ctx context.Context, projectID, limit int64) ([]Member, error) {
	ms, err := s.q.ListProjectMembers(ctx, s.eng.read(), db.ListProjectMembersParams{ProjectID: projectID, MaxRows: limit})
	return ms, s.err(err)
}

// UserMemberships lists a user's active projects with his roles, by slug.
func (s *Store) UserMemberships(ctx context.Context, userID uuid.UUID, limit int64) ([]UserMembership, error) {
	ms, err := s.q.ListUserMemberships(ctx, s.eng.read(), db.ListUserMembershipsParams{UserID: userID, MaxRows: limit})
	return ms, s.err(err)
}

// UserProjects lists a user's active projects, by slug.
func (s *Store) UserProjects(ctx context.Context, userID uuid.UUID, limit int64) ([]Project, error) {
	ps, err := s.q.ListUserProjects(ctx, s.eng.read(), db.ListUserProjectsParams{UserID: userID, MaxRows: limit})
	return ps, s.err(err)
}

// CreateMembership makes a user a member; domain.ErrConflict when he is one already.
func (tx *Tx) CreateMembership(ctx context.Context, userID uuid.UUID, projectID int64, role domain.Role) (Membership, error) {
	m, err := tx.s.q.CreateMembership(ctx, tx.db, db.CreateMembershipParams{
		ID: uuid.New(), UserID: userID, ProjectID: projectID, Role: string(role), Now: tx.s.Now(),
	})
	if err != nil {
		return Membership{}, fmt.Errorf("create membership: %w", tx.s.err(err))
	}
	return m, nil
}

// Membership returns one membership of the project.
func (tx *Tx) Membership(ctx context.Context, projectID int64, id uuid.UUID) (Membership, error) {
	m, err := tx.s.q.MembershipByID(ctx, tx.db, db.MembershipByIDParams{ID: id, ProjectID: projectID})
	return m, tx.s.err(err)
}

// SetMembershipRole changes a member's role.
func (tx *Tx) SetMembershipRole(ctx context.Context, id uuid.UUID, role domain.Role) (Membership, error) {
	m, err := tx.s.q.SetMembershipRole(ctx, tx.db, db.SetMembershipRoleParams{ID: id, Role: string(role), Now: tx.s.Now()})
	return m, tx.s.err(err)
}

// DeleteMembership ends a membership.
func (tx *Tx) DeleteMembership(ctx context.Context, id uuid.UUID) error {
	n, err := tx.s.q.DeleteMembership(ctx, tx.db, db.DeleteMembershipParams{ID: id})
	return tx.affected(n, err)
}

// LockProject takes the project's row until the transaction ends, so that changes of its members wait for each other.
func (tx *Tx) LockProject(ctx context.Context, id int64) error {
	n, err := tx.s.q.LockProject(ctx, tx.db, db.LockProjectParams{ID: id})
	return tx.affected(n, err)
}

// CountProjectAdmins counts members with the role admin whose account is active.
func (tx *Tx) CountProjectAdmins(ctx context.Context, projectID int64) (int64, error) {
	n, err := tx.s.q.CountProjectAdmins(ctx, tx.db, db.CountProjectAdminsParams{ProjectID: projectID})
	return n, tx.s.err(err)
}
