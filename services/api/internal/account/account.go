// SPDX-License-Identifier: AGPL-3.0-or-later

// Package account holds the operations about people: first boot, login and sessions, the caller's own profile,
// accounts and memberships.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"
	_ "time/tzdata" // time zones are checked against it; plain containers bring none

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Hints tells other replicas at once what they would find out by polling.
type Hints interface {
	// SessionsChanged says that sessions of the user ended.
	SessionsChanged(ctx context.Context, user uuid.UUID)
	// MembersChanged says that the user's rights in a project changed.
	MembersChanged(ctx context.Context, user uuid.UUID)
}

// Config is what the operations work with.
type Config struct {
	Store   *store.Store
	Auth    *rest.Authenticator
	Hasher  *auth.Hasher
	Policy  auth.PasswordPolicy
	Keyring *auth.Keyring
	Hints   Hints
	Logger  *slog.Logger
	Now     func() time.Time
	// LockoutAfter failed logins lock an account for LockoutFor.
	LockoutAfter int64
	LockoutFor   time.Duration
	// LoginFloor is the least time a login takes, so that its length tells nothing.
	LoginFloor time.Duration
	// LoginsPerMinute bounds login attempts of an address, SetupPerQuarter those of first boot.
	LoginsPerMinute int
	SetupPerQuarter int
	// FirstBootBudget bounds first-boot attempts of an address in 15 minutes, eight times that of all together.
	FirstBootBudget int
}

type group struct {
	cfg           Config
	loginThrottle *httpx.Throttle
	setupThrottle *httpx.Throttle
	bootPerIP     *httpx.Throttle
	bootGlobal    *httpx.Throttle
}

// Ops returns the group's operations.
func Ops(cfg Config) []rest.Op {
	g := &group{
		cfg:           cfg,
		loginThrottle: httpx.NewThrottle("login", cfg.LoginsPerMinute, time.Minute),
		setupThrottle: httpx.NewThrottle("setup-complete", cfg.SetupPerQuarter, 15*time.Minute),
		bootPerIP:     httpx.NewThrottle("first-boot", cfg.FirstBootBudget, 15*time.Minute),
		bootGlobal:    httpx.NewThrottle("first-boot", 8*cfg.FirstBootBudget, 15*time.Minute),
	}
	var ops []rest.Op
	for _, part := range [][]rest.Op{g.setupOps(), g.sessionOps(), g.profileOps(), g.userOps(), g.memberOps()} {
		ops = append(ops, part...)
	}
	return ops
}

// UserPublic is an account as its owner and colleagues see it.
type UserPublic struct {
	ID          uuid.UUID  `json:"id"`
	Email       string     `json:"email"`
	FirstName   *string    `json:"first_name"`
	LastName    *string    `json:"last_name"`
	DisplayName *string    `json:"display_name"`
	IsAdmin     bool       `json:"is_admin"`
	Timezone    string     `json:"timezone"`
	CreatedAt   httpx.Time `json:"created_at"`
}

func userPublic(u store.User) UserPublic {
	return UserPublic{
		ID: u.ID, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, DisplayName: u.DisplayName,
		IsAdmin: u.IsAdmin, Timezone: u.Timezone, CreatedAt: httpx.NewTime(u.CreatedAt),
	}
}

// Email is an address in a request. One that is none is a fault of its own, reported beside the others.
type Email string

type emailError struct{}

func (emailError) Error() string { return "not an e-mail address" }

// FieldMessage is the fault as clients read it.
func (emailError) FieldMessage() string {
	return "not a valid email address: write it like name@example.com"
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Email) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if _, err := auth.CanonicalEmail(text); err != nil {
		return emailError{}
	}
	*e = Email(text)
	return nil
}

// checkTimezone reports a zone nobody knows.
func checkTimezone(faults *httpx.Faults, name *string) {
	if name == nil {
		return
	}
	if _, err := time.LoadLocation(*name); err != nil || *name == "" || *name == "Local" {
		faults.Add("value_error", "Value error, not a known time zone: use an IANA name such as Europe/Berlin or UTC", "timezone")
	}
}

// refusePassword is the 422 of a password that policy refuses, nil for a good one.
func (g *group) refusePassword(password string) error {
	if err := g.cfg.Policy.Check(password); err != nil {
		return err
	}
	return nil
}

func (g *group) hash(ctx context.Context, password string) (string, error) {
	h, err := g.cfg.Hasher.Hash(ctx, password)
	return h, busy(err)
}

// busy tells clients to come back when too many passwords are being checked.
func busy(err error) error {
	if errors.Is(err, auth.ErrBusy) {
		return &domain.Error{Code: domain.CodeUnavailable, Message: "too many logins at once; try again in a moment", Cause: err}
	}
	return err
}

// fullName is the display name of somebody who gave only first and last name; nil without either.
func fullName(first, last *string) *string {
	var parts []string
	for _, p := range []*string{first, last} {
		if p != nil && strings.TrimSpace(*p) != "" {
			parts = append(parts, strings.TrimSpace(*p))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	name := strings.Join(parts, " ")
	return &name
}

// set stores a new value over an optional field when one was given, and says so in changed.
func set[T comparable](field **T, value *T, name string, changed *[]string) {
	if value == nil || (*field != nil && **field == *value) {
		return
	}
	*field = value
	*changed = append(*changed, name)
}

// setPlain is set for fields that always have a value.
func setPlain[T comparable](field *T, value *T, name string, changed *[]string) {
	if value == nil || *field == *value {
		return
	}
	*field = *value
	*changed = append(*changed, name)
}
