// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// UserByID returns an account; domain.ErrNotFound when there is none.
func (s *Store) UserByID(ctx context.Context, id uuid.UUID) (User, error) {
	u, err := s.q.UserByID(ctx, s.eng.read(), db.UserByIDParams{ID: id})
	return u, s.err(err)
}

// UserByEmail returns the account with the canonical address (auth.CanonicalEmail).
func (s *Store) UserByEmail(ctx context.Context, email string) (User, error) {
	u, err := s.q.UserByEmail(ctx, s.eng.read(), db.UserByEmailParams{Email: email})
	return u, s.err(err)
}

// Users lists accounts, newest first.
func (s *Store) Users(ctx context.Context, limit, offset int64) ([]User, error) {
	us, err := s.q.ListUsers(ctx, s.eng.read(), db.ListUsersParams{MaxRows: limit, SkipRows: offset})
	return us, s.err(err)
}

// CountUsers counts all accounts, inactive ones included.
func (s *Store) CountUsers(ctx context.Context) (int64, error) {
	n, err := s.q.CountUsers(ctx, s.eng.read())
	return n, s.err(err)
}

// FirstBoot reports whether no account exists yet.
func (s *Store) FirstBoot(ctx context.Context) (bool, error) {
	exists, err := s.q.AnyUser(ctx, s.eng.read())
	return !exists, s.err(err)
}

// NewUser holds the fields of CreateUser; ID is minted when it is zero, Timezone defaults to UTC.
type NewUser struct {
	ID                               uuid.UUID
	Email, PasswordHash              string
	DisplayName, FirstName, LastName *string
	IsAdmin                          bool
	Timezone                         string
}

// CreateUser adds an account; domain.ErrConflict when the address is in use.
func (tx *Tx) CreateUser(ctx context.Context, n NewUser) (User, error) {
	if n.ID == uuid.Nil {
		n.ID = uuid.New()
	}
	if n.Timezone == "" {
		n.Timezone = "UTC"
	}
	u, err := tx.s.q.CreateUser(ctx, tx.db, db.CreateUserParams{
		ID: n.ID, Email: n.Email, PasswordHash: n.PasswordHash, DisplayName: n.DisplayName, FirstName: n.FirstName,
		LastName: n.LastName, IsAdmin: n.IsAdmin, Timezone: n.Timezone, Now: tx.s.Now(),
	})
	if err != nil {
		return User{}, fmt.Errorf("create user: %w", tx.s.err(err))
	}
	return u, nil
}

// FirstBoot is Store.FirstBoot inside the transaction.
func (tx *Tx) FirstBoot(ctx context.Context) (bool, error) {
	exists, err := tx.s.q.AnyUser(ctx, tx.db)
	return !exists, tx.s.err(err)
}

// UserByID returns an account as the transaction sees it.
func (tx *Tx) UserByID(ctx context.Context, id uuid.UUID) (User, error) {
	u, err := tx.s.q.UserByID(ctx, tx.db, db.UserByIDParams{ID: id})
	return u, tx.s.err(err)
}

// UpdateUser stores the account's profile, flags and timezone; address, password and counters stay as they are.
func (tx *Tx) UpdateUser(ctx context.Context, u User) (User, error) {
	u, err := tx.s.q.UpdateUser(ctx, tx.db, db.UpdateUserParams{
		ID: u.ID, DisplayName: u.DisplayName, FirstName: u.FirstName, LastName: u.LastName,
		IsAdmin: u.IsAdmin, IsActive: u.IsActive, Timezone: u.Timezone, Now: tx.s.Now(),
	})
	return u, tx.s.err(err)
}

// SetPassword stores a new password's hash, lifts a lockout and marks the change, which ends older sessions.
func (tx *Tx) SetPassword(ctx context.Context, id uuid.UUID, hash string) error {
	now := tx.s.Now()
	n, err := tx.s.q.SetUserPassword(ctx, tx.db, db.SetUserPasswordParams{ID: id, PasswordHash: hash, Now: &now})
	return tx.affected(n, err)
}

// RehashPassword replaces oldHash by one of the same password under stronger parameters.
func (tx *Tx) RehashPassword(ctx context.Context, id uuid.UUID, oldHash, newHash string) error {
	err := tx.s.q.RehashUserPassword(ctx, tx.db, db.RehashUserPasswordParams{ID: id, OldHash: oldHash, PasswordHash: newHash})
	return tx.s.err(err)
}

// RecordLoginFailure counts a failed login and locks the account for lockFor at every threshold-th one.
func (tx *Tx) RecordLoginFailure(ctx context.Context, id uuid.UUID, threshold int64, lockFor time.Duration) (locked bool, err error) {
	n, err := tx.s.q.CountLoginFailure(ctx, tx.db, db.CountLoginFailureParams{ID: id})
	if err != nil || n < threshold {
		return false, tx.s.err(err)
	}
	until := tx.s.Now().Add(lockFor)
	err = tx.s.q.LockUser(ctx, tx.db, db.LockUserParams{ID: id, LockedUntil: &until})
	return err == nil, tx.s.err(err)
}

// RecordLogin marks a successful login and forgets the failures before it.
func (tx *Tx) RecordLogin(ctx context.Context, id uuid.UUID) error {
	now := tx.s.Now()
	return tx.s.err(tx.s.q.RecordLogin(ctx, tx.db, db.RecordLoginParams{ID: id, Now: &now}))
}

// DeleteUser removes an account with its sessions and memberships.
func (tx *Tx) DeleteUser(ctx context.Context, id uuid.UUID) error {
	n, err := tx.s.q.DeleteUser(ctx, tx.db, db.DeleteUserParams{ID: id})
	return tx.affected(n, err)
}

// LockActiveAdmins takes the rows of all active instance admins until the transaction ends, so that two
// changes cannot each leave "another" admin behind; it returns how many there are.
func (tx *Tx) LockActiveAdmins(ctx context.Context) (int64, error) {
	n, err := tx.s.q.LockActiveAdmins(ctx, tx.db)
	return n, tx.s.err(err)
}

// affected turns "no row changed" into domain.ErrNotFound.
func (tx *Tx) affected(n int64, err error) error {
	if err != nil {
		return tx.s.err(err)
	}
	if n == 0 {
		return domain.ErrNotFound
	}
	return nil
}
