// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/store"
)

// passwordFlags are the two ways to give a password without a prompt.
type passwordFlags struct {
	stdin bool
	value string
}

func (p *passwordFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.stdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().StringVar(&p.value, "password", "", "the `PASSWORD`; other users of this machine can see it in the process list")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "password")
}

const maxPasswordInput = 4096

// read returns the password: from the flag, from standard input, or from a prompt on a terminal.
func (p *passwordFlags) read(a *app, cmd *cobra.Command) (string, error) {
	switch {
	case cmd.Flags().Changed("password"):
		a.notef("z4j: warning: --password is visible in the process list; prefer the prompt or --password-stdin\n")
		return p.value, nil
	case p.stdin:
		line, err := bufio.NewReader(io.LimitReader(a.stdin, maxPasswordInput)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fail(exitUsage, "read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", fail(exitUsage, "no password came on standard input")
		}
		return line, nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // descriptors are small
		return "", fail(exitUsage, "no password given: run this in a terminal to be asked, or use --password-stdin")
	}
	var entered [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		a.notef("%s", prompt)
		text, err := askHidden(cmd.Context(), f)
		a.notef("\n")
		if err != nil {
			return "", fail(exitFailed, "read the password: %w", err)
		}
		entered[i] = text
	}
	if entered[0] != entered[1] {
		return "", fail(exitUsage, "the two passwords differ")
	}
	return entered[0], nil
}

// askHidden reads a line from the terminal without showing it. Ctrl-C ends it, with the terminal as it was.
func askHidden(ctx context.Context, f *os.File) (string, error) {
	fd := int(f.Fd()) //nolint:gosec // descriptors are small
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type answer struct {
		text []byte
		err  error
	}
	got := make(chan answer, 1) // the reader may be left behind when the process ends
	go func() {
		text, err := term.ReadPassword(fd)
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return string(a.text), a.err
	case <-ctx.Done():
		return "", errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// hasher returns the password hasher of the settings.
func hasher(cfg *config.Config) *auth.Hasher {
	return auth.NewHasher(auth.HasherConfig{Params: launch.HashParams(cfg)})
}

func (a *app) superuserCommand() *cobra.Command {
	var email, name string
	var pw passwordFlags
	cmd := &cobra.Command{
		Use:     "createsuperuser --email ADDRESS",
		Aliases: []string{"bootstrap-admin"},
		Short:   "Create the first admin and the project 'default'",
		Long: `Creates the first instance admin and the project 'default', and closes the setup link.
Works on a fresh state directory. Asks for a password, unless it comes by --password-stdin.
Refuses with exit code 3 when an account exists already, 1 when address or password are refused.`,
		Example: "  z4j createsuperuser --email ops@example.com\n  pass show z4j | z4j createsuperuser --email ops@example.com --password-stdin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if email == "" {
				return fail(exitUsage, "--email is missing")
			}
			return a.manage(cmd, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
				if fresh, err := s.FirstBoot(ctx); err != nil {
					return fail(exitState, "%w", err)
				} else if !fresh {
					return fail(exitState, "an account exists already; add others in the dashboard, or use 'z4j changepassword'")
				}
				password, err := pw.read(a, cmd)
				if err != nil {
					return err
				}
				user, err := launch.MakeAdmin(ctx, cfg, s, email, name, password, "cli")
				if errors.Is(err, domain.ErrConflict) {
					return fail(exitState, "an account was created meanwhile")
				}
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				a.printf("z4j: admin %s provisioned\n", user.Email)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "e-mail `ADDRESS` to sign in with (required)")
	cmd.Flags().StringVar(&name, "display-name", "", "`NAME` shown in the dashboard")
	pw.add(cmd)
	return cmd
}

func (a *app) passwordCommand() *cobra.Command {
	var pw passwordFlags
	cmd := &cobra.Command{
		Use:   "changepassword ADDRESS",
		Short: "Set the password of an account and end its sessions",
		Long: `Asks for a new password, sets it and ends every session of the account, also while the brain runs.
Exit code 4 when there is no such account, 3 when the password is refused.`,
		Example: "  z4j changepassword ops@example.com\n  pass show z4j | z4j changepassword ops@example.com --password-stdin",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.manage(cmd, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
				email, err := auth.CanonicalEmail(args[0])
				if err != nil {
					return fail(exitNoUser, "no account has the address %s", args[0])
				}
				user, err := s.UserByEmail(ctx, email)
				if errors.Is(err, domain.ErrNotFound) {
					return fail(exitNoUser, "no account has the address %s", email)
				}
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				password, err := pw.read(a, cmd)
				if err != nil {
					return err
				}
				if refused := launch.PasswordPolicy(cfg).Check(password); refused != nil {
					return fail(exitState, "%s", refused.Message)
				}
				hash, err := hasher(cfg).Hash(ctx, password)
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				err = s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
					if err := tx.SetPassword(ctx, user.ID, hash); err != nil {
						return err
					}
					if _, err := tx.RevokeUserSessions(ctx, user.ID, uuid.Nil, "password_changed"); err != nil {
						return err
					}
					return tx.Audit(ctx, domain.AuditEntry{
						Action: "user.password.changed_by_cli", TargetType: "user", TargetID: user.ID.String(), Result: domain.ResultSuccess,
					})
				})
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				a.printf("z4j: password of %s changed; all its sessions have ended\n", user.Email)
				return nil
			})
		},
	}
	pw.add(cmd)
	return cmd
}

func (a *app) resetSetupCommand() *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "reset-setup",
		Short: "Print a new setup link; the former one stops working",
		Long: `Mints a new first-boot token and prints its link on stdout. A running brain accepts it at once.
Refused with exit code 2 when an account exists.`,
		Example: "  z4j reset-setup\n  z4j reset-setup --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.manage(cmd, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
				return a.resetSetup(ctx, cfg, s, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "no longer needed")
	_ = cmd.Flags().MarkHidden("force")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {url, expires_at}")
	return cmd
}

func (a *app) resetSetup(ctx context.Context, cfg *config.Config, s *store.Store, asJSON bool) error {
	var token string
	err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		fresh, err := tx.FirstBoot(ctx)
		if err != nil {
			return err
		}
		if !fresh {
			return fail(exitRefused, "an account exists: the setup page is closed for good. Use 'z4j changepassword ADDRESS'")
		}
		if token, err = launch.ReplaceSetupToken(ctx, cfg, tx); err != nil {
			return err
		}
		return tx.Audit(ctx, domain.AuditEntry{Action: "setup.tokens_reset", TargetType: "setup", Result: domain.ResultSuccess})
	})
	if err != nil {
		return err
	}
	if cfg.Source("Z4J_PUBLIC_URL") == config.SourceDefault {
		// A running or former serve knows its address better than the default.
		if url, err := s.Meta(ctx, metaPublicURL); err == nil && url != "" {
			cfg.Server.PublicURL = url
		}
	}
	expires := s.Now().Add(cfg.Auth.SetupTokenTTL.Duration()).UTC().Format(time.RFC3339)
	if asJSON {
		return a.json(map[string]any{"url": launch.SetupURL(cfg, token), "expires_at": expires})
	}
	a.printf("%s\n", launch.SetupURL(cfg, token))
	a.notef("Open it before %s. It works once, and needs a running 'z4j serve'.\n", expires)
	return nil
}
