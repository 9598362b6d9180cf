// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// inTx runs fn in a transaction that must succeed.
func inTx(t *testing.T, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.InTx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestFirstAdmin(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if first, err := s.FirstBoot(ctx); err != nil || !first {
			t.Fatalf("first boot of an empty database: %v, %v", first, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			if won, err := tx.OfferSetupToken(ctx, "h1", time.Minute); err != nil || !won {
				t.Errorf("first offer: %v, %v", won, err)
			}
			won, err := tx.OfferSetupToken(ctx, "h2", time.Minute)
			if won {
				t.Error("a second offer replaced an open token")
			}
			return err
		})
		if tok, err := s.OpenSetupToken(ctx); err != nil || tok.TokenHash != "h1" {
			t.Errorf("open token %+v, %v", tok, err)
		}
		var user store.User
		var project store.Project
		inTx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			if err := tx.TakeSetupToken(ctx, "h2"); !errors.Is(err, domain.ErrNotFound) {
				t.Errorf("taking a token that is not there: %v", err)
			}
			if err := tx.TakeSetupToken(ctx, "h1"); err != nil {
				return err
			}
			user, project, err = tx.CreateFirstAdmin(ctx, store.NewUser{Email: "a@example.com", PasswordHash: "x"})
			return err
		})
		if role, err := s.MemberRole(ctx, user.ID, project.ID); err != nil || role != domain.RoleAdmin {
			t.Errorf("role %q, %v", role, err)
		}
		err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, _, err := tx.CreateFirstAdmin(ctx, store.NewUser{Email: "b@example.com", PasswordHash: "x"})
			return err
		})
		if !errors.Is(err, domain.ErrConflict) {
			t.Errorf("second first admin: %v, want a conflict", err)
		}
	})
}

func TestSessionsAndLockout(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var user store.User
		var one, two store.Session
		inTx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			if user, err = tx.CreateUser(ctx, store.NewUser{Email: "a@example.com", PasswordHash: "x"}); err != nil {
				return err
			}
			if one, err = tx.CreateSession(ctx, store.NewSession{UserID: user.ID, TokenHash: "t1", CSRFToken: "c", Lifetime: time.Hour, IP: "::1"}); err != nil {
				return err
			}
			two, err = tx.CreateSession(ctx, store.NewSession{UserID: user.ID, TokenHash: "t2", CSRFToken: "c", Lifetime: time.Hour, IP: "::1"})
			return err
		})
		got, owner, err := s.SessionByTokenHash(ctx, "t1")
		if err != nil || got.ID != one.ID || owner.Email != user.Email {
			t.Errorf("by token: %+v %+v %v", got, owner, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			if n, err := tx.RevokeUserSessions(ctx, user.ID, two.ID, "test"); err != nil || n != 1 {
				t.Errorf("revoked %d, %v", n, err)
			}
			changed, err := tx.RevokeSession(ctx, one.ID, "again")
			if changed {
				t.Error("a revoked session was revoked again")
			}
			return err
		})
		if list, err := s.UserSessions(ctx, user.ID); err != nil || len(list) != 1 || list[0].ID != two.ID {
			t.Errorf("sessions %+v, %v", list, err)
		}
		if err := s.TouchSession(ctx, two.ID); err != nil {
			t.Error(err)
		}
		for i := range 3 {
			inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
				locked, err := tx.RecordLoginFailure(ctx, user.ID, 3, time.Minute)
				if locked != (i == 2) {
					t.Errorf("failure %d: locked %v", i+1, locked)
				}
				return err
			})
		}
		if u, err := s.UserByID(ctx, user.ID); err != nil || u.LockedUntil == nil || !u.LockedUntil.After(s.Now()) {
			t.Errorf("not locked: %+v, %v", u, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.SetPassword(ctx, user.ID, "y") })
		if u, err := s.UserByEmail(ctx, "a@example.com"); err != nil || u.LockedUntil != nil || u.PasswordChangedAt == nil {
			t.Errorf("after a password change: %+v, %v", u, err)
		}
		if n, err := s.ExpireSessions(ctx, s.Now().Add(time.Second), 100); err != nil || n != 1 {
			t.Errorf("pruned %d, %v: want the revoked one", n, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, user.ID) })
		if _, err := s.SessionByID(ctx, two.ID); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("session outlived its user: %v", err)
		}
	})
}

func TestMembersAndAgents(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var user store.User
		var project store.Project
		var agent store.Agent
		inTx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			if user, project, err = tx.CreateFirstAdmin(ctx, store.NewUser{Email: "a@example.com", PasswordHash: "x"}); err != nil {
				return err
			}
			agent, err = tx.CreateAgent(ctx, project.ID, "web", "hash")
			return err
		})
		err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateAgent(ctx, project.ID, "web", "hash2")
			return err
		})
		if !errors.Is(err, domain.ErrConflict) {
			t.Errorf("second agent of that name: %v", err)
		}
		members, err := s.ProjectMembers(ctx, project.ID, 10)
		if err != nil || len(members) != 1 || members[0].Email != user.Email {
			t.Fatalf("members %+v, %v", members, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.LockProject(ctx, project.ID); err != nil {
				return err
			}
			if n, err := tx.CountProjectAdmins(ctx, project.ID); err != nil || n != 1 {
				t.Errorf("admins %d, %v", n, err)
			}
			if n, err := tx.LockActiveAdmins(ctx); err != nil || n != 1 {
				t.Errorf("instance admins %d, %v", n, err)
			}
			if n, err := tx.LockActiveProjects(ctx); err != nil || n != 1 {
				t.Errorf("projects %d, %v", n, err)
			}
			m, err := tx.SetMembershipRole(ctx, members[0].Membership.ID, domain.RoleViewer)
			if m.Role != "viewer" {
				t.Errorf("role %q", m.Role)
			}
			return err
		})
		if list, err := s.UserMemberships(ctx, user.ID, 10); err != nil || len(list) != 1 || list[0].Slug != "default" || list[0].Role != "viewer" {
			t.Errorf("memberships %+v, %v", list, err)
		}
		if list, err := s.AgentProcesses(ctx, project.ID, nil, nil, 10); err != nil || len(list) != 0 {
			t.Errorf("processes %+v, %v", list, err)
		}
		if list, err := s.AgentStatuses(ctx, agent.ID, 10); err != nil || len(list) != 0 {
			t.Errorf("statuses %+v, %v", list, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			if changed, err := tx.RevokeAgent(ctx, agent.ID); err != nil || !changed {
				t.Errorf("revoked: %v, %v", changed, err)
			}
			changed, err := tx.RevokeAgent(ctx, agent.ID)
			if changed {
				t.Error("a revoked agent was revoked again")
			}
			return err
		})
		if list, err := s.Agents(ctx, project.ID, 10); err != nil || len(list) != 0 {
			t.Errorf("agents %+v, %v", list, err)
		}
		// The name is free again.
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateAgent(ctx, project.ID, "web", "hash3")
			return err
		})
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			changed, err := tx.ArchiveProject(ctx, project.ID)
			if !changed {
				t.Error("not archived")
			}
			return err
		})
		if list, err := s.UserProjects(ctx, user.ID, 10); err != nil || len(list) != 0 {
			t.Errorf("projects %+v, %v", list, err)
		}
		if _, err := s.AgentByUID(ctx, project.ID+1, agent.UID); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("agent of another project: %v", err)
		}
		if _, err := s.UserByID(ctx, uuid.New()); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("unknown user: %v", err)
		}
	})
}
