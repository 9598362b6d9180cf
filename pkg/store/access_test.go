// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// TestRecentRights wants what another process changes about a session, a project and a role to be known within a second, and
// what this one changes at once, also when it was asked for while it changed.
func TestRecentRights(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, s *store.Store, url string) {
		ctx := t.Context()
		other, err := store.Open(ctx, store.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = other.Close() })
		in := func(s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			if err := s.InTx(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		var user store.User
		var project store.Project
		var member store.Membership
		var session store.Session
		in(s, func(ctx context.Context, tx *store.Tx) (err error) {
			if user, err = tx.CreateUser(ctx, store.NewUser{Email: "reader@example.com", PasswordHash: "x"}); err != nil {
				return err
			}
			if project, err = tx.CreateProject(ctx, store.NewProject{Slug: "recent", Name: "Recent", Environment: "production", Timezone: "UTC"}); err != nil {
				return err
			}
			if member, err = tx.CreateMembership(ctx, user.ID, project.ID, domain.RoleAdmin); err != nil {
				return err
			}
			session, err = tx.CreateSession(ctx, store.NewSession{UserID: user.ID, TokenHash: "hash", Lifetime: time.Hour})
			return err
		})
		type rights struct {
			revoked bool
			name    string
			role    domain.Role
		}
		look := func() (r rights) {
			t.Helper()
			found, who, err := s.RecentSession(ctx, "hash")
			if err != nil || who.ID != user.ID {
				t.Fatal(who, err)
			}
			p, err := s.RecentProject(ctx, "recent")
			if err != nil {
				t.Fatal(err)
			}
			role, err := s.RecentRole(ctx, user.ID, project.ID)
			if err != nil {
				t.Fatal(err)
			}
			return rights{found.RevokedAt != nil, p.Name, role}
		}
		if got := look(); got != (rights{false, "Recent", domain.RoleAdmin}) {
			t.Fatalf("first: %+v", got)
		}
		in(s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.SetMembershipRole(ctx, member.ID, domain.RoleViewer)
			return err
		})
		if got := look(); got != (rights{false, "Recent", domain.RoleViewer}) {
			t.Errorf("after a change of this process: %+v", got)
		}
		in(other, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.RevokeSession(ctx, session.ID, "test"); err != nil {
				return err
			}
			p := project
			p.Name = "Renamed"
			if _, err := tx.UpdateProject(ctx, p); err != nil {
				return err
			}
			_, err := tx.SetMembershipRole(ctx, member.ID, domain.RoleOperator)
			return err
		})
		s.ForgetRecent()
		if found, _, err := s.RecentSession(ctx, "hash"); err != nil || found.RevokedAt == nil {
			t.Errorf("after it was told to forget: %+v, %v", found.RevokedAt, err)
		}
		<-time.After(time.Second)
		if got := look(); got != (rights{true, "Renamed", domain.RoleOperator}) {
			t.Errorf("a second after a change of another process: %+v", got)
		}
		// What does not exist is asked for each time.
		if _, err := s.RecentProject(ctx, "later"); err == nil {
			t.Fatal("a project that is not there")
		}
		in(other, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateProject(ctx, store.NewProject{Slug: "later", Name: "Later", Environment: "production", Timezone: "UTC"})
			return err
		})
		if _, err := s.RecentProject(ctx, "later"); err != nil {
			t.Error(err)
		}
	})
}
