// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// PasswordPolicy is the policy of the settings.
func PasswordPolicy(cfg *config.Config) auth.PasswordPolicy {
	return auth.PasswordPolicy{MinLength: cfg.Auth.PasswordMinLength}
}

// HashParams are the costs of password hashes in the settings.
func HashParams(cfg *config.Config) auth.Params {
	p := auth.DefaultParams()
	p.Time, p.Memory = uint32(cfg.Auth.Argon2Time), uint32(cfg.Auth.Argon2MemoryKiB) //nolint:gosec // bounded by the settings
	p.Threads = uint8(cfg.Auth.Argon2Parallelism)                                    //nolint:gosec // bounded by the settings
	return p
}

// MakeAdmin creates the first admin and its audit record. how says by which way, in the record. domain.ErrConflict means
// that there is an account already.
func MakeAdmin(ctx context.Context, cfg *config.Config, s *store.Store, email, name, password, how string) (store.User, error) {
	canonical, err := auth.CanonicalEmail(email)
	if err != nil {
		return store.User{}, fmt.Errorf("e-mail address %q: %w", email, err)
	}
	if refused := PasswordPolicy(cfg).Check(password); refused != nil {
		return store.User{}, errors.New(refused.Message)
	}
	hash, err := auth.NewHasher(auth.HasherConfig{Params: HashParams(cfg)}).Hash(ctx, password)
	if err != nil {
		return store.User{}, err
	}
	n := store.NewUser{Email: canonical, PasswordHash: hash}
	if name != "" {
		n.DisplayName = &name
	}
	var user store.User
	err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var project store.Project
		var err error
		if user, project, err = tx.CreateFirstAdmin(ctx, n); err != nil {
			return err
		}
		return tx.Audit(ctx, domain.AuditEntry{
			Action: "user.created", TargetType: "user", TargetID: user.ID.String(), Result: domain.ResultSuccess,
			ProjectUID: project.UID, UserID: user.ID, Metadata: map[string]any{"email": canonical, "is_admin": true, "via": how},
		})
	})
	return user, err
}

// SetupURL is the link that a person opens to create the first account.
func SetupURL(cfg *config.Config, token string) string {
	return strings.TrimRight(cfg.Server.PublicURL, "/") + "/setup#token=" + token
}

// ReplaceSetupToken mints a first-boot token in place of any other.
func ReplaceSetupToken(ctx context.Context, cfg *config.Config, tx *store.Tx) (token string, err error) {
	token = auth.NewToken()
	err = tx.ReplaceSetupToken(ctx, Keyring(cfg).Hash(auth.SaltSetupToken, token), cfg.Auth.SetupTokenTTL.Duration())
	return token, err
}

// FirstAdmin creates the first account from the settings, or prints the setup link on out. Of several processes only the
// one whose insert wins does so.
func FirstAdmin(ctx context.Context, cfg *config.Config, s *store.Store, out io.Writer) error {
	note := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	fresh, err := s.FirstBoot(ctx)
	if err != nil {
		return fail(ExitState, "%w", err)
	}
	if !fresh {
		return nil
	}
	if email, password := cfg.Bootstrap.AdminEmail, cfg.Bootstrap.AdminPassword.Reveal(); email != "" && password != "" {
		user, err := MakeAdmin(ctx, cfg, s, email, cfg.Bootstrap.AdminDisplayName, password, "bootstrap")
		switch {
		case errors.Is(err, domain.ErrConflict):
			return nil // another replica was first
		case err != nil:
			return fail(ExitRefused, "the first admin from the settings was refused: %w", err)
		}
		note("z4j: admin %s provisioned from the settings\n", user.Email)
		return nil
	}
	token, won, err := offerSetupToken(ctx, cfg, s)
	if err != nil {
		return fail(ExitState, "%w", err)
	}
	if !won {
		note("z4j: no account yet; another replica printed the setup link ('z4j reset-setup' prints a new one)\n")
		return nil
	}
	expires := s.Now().Add(cfg.Auth.SetupTokenTTL.Duration())
	note(`
  Welcome to z4j. Create the first admin account:

    %s

  The link works once, until %s.
  Another one: z4j reset-setup     Without a browser: z4j createsuperuser --email you@example.com

`, SetupURL(cfg, token), expires.Format(time.RFC3339))
	return nil
}

// offerSetupToken mints the first-boot token. The one process of an SQLite installation replaces what an
// earlier start left; replicas on PostgreSQL let the first insert win.
func offerSetupToken(ctx context.Context, cfg *config.Config, s *store.Store) (token string, won bool, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if s.Engine() == config.EngineSQLite {
			won = true
			token, err = ReplaceSetupToken(ctx, cfg, tx)
			return err
		}
		token = auth.NewToken()
		won, err = tx.OfferSetupToken(ctx, Keyring(cfg).Hash(auth.SaltSetupToken, token), cfg.Auth.SetupTokenTTL.Duration())
		return err
	})
	return token, won, err
}
