// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/audit"
)

// startAnew is the value of Z4J_COPY_FROM for who wants an empty installation.
const startAnew = "none"

func (a *app) copyCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "copy-to", Short: "Move the installation to another database", Args: cobra.NoArgs,
		Long: `Copies everything from the database in force to another one: from SQLite to PostgreSQL, or back. The source is only
read and stays as it is; stop the brain first. The target must be empty. An interrupted copy goes on where it stopped
when the same command runs again. At the end the numbers of rows are compared and the audit chain of the target is
verified. Agents, accounts, sessions and secrets go on working once Z4J_DATABASE_URL names the new database.

A password in the URL is visible in the process list; PGPASSWORD and PGPASSFILE are honoured instead.

Exit codes: 0 copied and verified, 1 failed (run it again), 2 refused (URL, target in use), 3 a database is away.`,
		Example: `  z4j copy-to --to 'postgres://z4j@db.internal/z4j?sslmode=verify-full'
  Z4J_DATABASE_URL=postgres://z4j@db.internal/z4j z4j copy-to --to sqlite:////var/lib/z4j/z4j.db`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load(config.Options{})
			if err != nil {
				return err
			}
			target, err := config.ParseDatabase(to, cfg.Home)
			if err != nil {
				return fail(exitRefused, "--to: %w", err)
			}
			return a.withHome(cfg, func() error {
				s, err := a.open(cmd.Context(), cfg, slog.New(slog.DiscardHandler), migrationOf(cfg, migrateFresh))
				if err != nil {
					return err
				}
				return errors.Join(a.copyTo(cmd.Context(), cfg, s, target), s.Close())
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`URL` of the target, in the form of Z4J_DATABASE_URL")
	return cmd
}

// withHome runs fn while no brain can run on the state directory of an SQLite installation.
func (a *app) withHome(cfg *config.Config, fn func() error) error {
	if cfg.Database.Engine() != config.EngineSQLite {
		return fn()
	}
	lock, err := config.LockHome(cfg.Home)
	if errors.Is(err, config.ErrHomeInUse) {
		return fail(exitRefused, "stop the brain first: %w", err)
	}
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	return errors.Join(fn(), lock.Release())
}

// copyTo copies s to target and verifies it there.
func (a *app) copyTo(ctx context.Context, cfg *config.Config, s *store.Store, target config.Database) error {
	dst, err := a.openTarget(ctx, cfg, target)
	if err != nil {
		return err
	}
	a.notef("z4j: copying %s to %s\n", cfg.Database.SafeURL(), target.SafeURL())
	err = s.CopyTo(ctx, dst, a.progress())
	switch {
	case errors.Is(err, store.ErrNotEmpty):
		err = fail(exitRefused, "%w. Create an empty database for the copy", err)
	case errors.Is(err, store.ErrInUse):
		err = fail(exitRefused, "%w: stop it; after a crash wait until its leases have run out, at most a minute", err)
	case errors.Is(err, context.Canceled):
		err = fail(exitFailed, "interrupted; the same command goes on where it stopped")
	case err != nil:
		err = fail(exitFailed, "copy: %w", err)
	default:
		err = a.verifyCopy(ctx, cfg, dst)
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	a.printf("copied and verified. Switch over with: Z4J_DATABASE_URL=%s\n", target.SafeURL())
	return nil
}

// openTarget opens the other database and gives it the schema.
func (a *app) openTarget(ctx context.Context, cfg *config.Config, target config.Database) (*store.Store, error) {
	o := launch.StoreOptions(cfg)
	o.URL, o.ReadConns, o.Logger = target.URL.Reveal(), 4, slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, fail(exitState, "open the target: %w", err)
	}
	if err := s.Preflight(ctx); err != nil {
		code := exitState
		if errors.Is(err, store.ErrUnusable) {
			code = exitRefused
		}
		return nil, errors.Join(fail(code, "target: %w", err), s.Close())
	}
	if err := a.schema(ctx, s, migrateAlways); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// verifyCopy verifies the audit chain of a copy. Records still in the outbox are appended by the next brain.
func (a *app) verifyCopy(ctx context.Context, cfg *config.Config, s *store.Store) error {
	svc, err := audit.New(audit.ConfigFrom(cfg), audit.Deps{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	report, err := svc.Verify(ctx, audit.VerifyOptions{Page: 1000})
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	if !report.Clean() {
		_, _ = audit.WriteReport(a.stderr, a.stderr, report)
		return fail(exitFailed, "the audit chain of the copy does not verify: compare with 'z4j audit verify' on the source")
	}
	a.notef("z4j: audit chain verified, %d rows\n", report.Rows)
	return nil
}

// progress writes a line for every table, and every two seconds within a long one.
func (a *app) progress() func(store.CopyProgress) {
	var table string
	var last time.Time
	return func(p store.CopyProgress) {
		done := p.Done >= p.Total
		if p.Total == 0 || (p.Table == table && done && last.IsZero()) {
			return
		}
		if p.Table == table && !done && time.Since(last) < 2*time.Second {
			return
		}
		if p.Table != table && !done && p.Total <= 10_000 {
			table = p.Table
			last = time.Now()
			return
		}
		table, last = p.Table, time.Now()
		if done {
			last = time.Time{}
		}
		a.notef("z4j: %-16s %d of %d rows\n", p.Table, p.Done, p.Total)
	}
}

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write the whole database into one file", Args: cobra.ExactArgs(1),
		Long: `Writes the database, as it is at one moment, into a new SQLite file that only this user may read. The brain may go on
working. It works for SQLite and PostgreSQL alike and needs no other program. Secrets (secret.env) and the allowed-hosts
file are not part of it: keep them elsewhere, the backup is of no use without the secrets.

'z4j restore FILE' brings it back, on either kind of database.`,
		Example: "  z4j backup /backups/z4j-$(date +%F).db",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.manage(cmd, func(ctx context.Context, _ *config.Config, s *store.Store) error {
				path, err := filepath.Abs(args[0])
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				err = s.BackupTo(ctx, path, a.progress())
				if errors.Is(err, store.ErrFileExists) {
					return fail(exitRefused, "%w; choose another name or move it away", err)
				}
				if err != nil {
					return fail(exitFailed, "backup: %w", err)
				}
				info, err := os.Stat(path)
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				a.printf("%s: %.1f MiB\n", path, float64(info.Size())/(1<<20))
				return nil
			})
		},
	}
	return cmd
}

func (a *app) restoreCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Bring a backup back", Args: cobra.ExactArgs(1),
		Long: `Puts a file of 'z4j backup' in the place of the database in force, migrates it, records the restore in the audit chain
and verifies the chain. Stop every brain first, and have the secrets of the installation in place (Z4J_SECRET ...).

On SQLite an installation that is there needs --force, and is kept beside the new one as z4j.db.before-restore-TIME. On
PostgreSQL the database must be empty.`,
		Example: "  z4j restore /backups/z4j-2026-11-01.db",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load(config.Options{})
			if err != nil {
				return err
			}
			id, schema, err := store.CheckFile(cmd.Context(), args[0])
			if err != nil {
				return fail(exitRefused, "%w", err)
			}
			a.notef("z4j: %s holds installation %s, schema %d\n", args[0], id, schema)
			return a.withHome(cfg, func() error { return a.restore(cmd.Context(), cfg, args[0], force) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the installation that is there; it is kept beside the new one")
	return cmd
}

func (a *app) restore(ctx context.Context, cfg *config.Config, file string, force bool) error {
	if cfg.Database.Engine() != config.EngineSQLite {
		return a.restorePostgres(ctx, cfg, file)
	}
	path := cfg.Database.SQLitePath()
	if _, err := os.Stat(path); err == nil {
		if !force {
			return fail(exitRefused, "%s exists: add --force to replace it, it will be kept beside the new one", path)
		}
		kept, err := a.setAside(ctx, cfg, path)
		if err != nil {
			return fail(exitFailed, "%w", err)
		}
		a.notef("z4j: the former database is %s\n", kept)
	}
	if err := copyFile(file, path); err != nil {
		return fail(exitFailed, "%w", err)
	}
	s, err := a.open(ctx, cfg, slog.New(slog.DiscardHandler), migrateAlways)
	if err != nil {
		return err
	}
	return errors.Join(a.restored(ctx, cfg, s, file), s.Close())
}

// setAside folds the log of the database into it and renames it.
func (a *app) setAside(ctx context.Context, cfg *config.Config, path string) (string, error) {
	o := launch.StoreOptions(cfg)
	s, err := store.Open(ctx, o)
	if err == nil {
		err = errors.Join(s.Maintain(ctx), s.Close())
	}
	if err != nil {
		a.notef("z4j: warning: the former database could not be tidied: %v\n", err)
	}
	kept := path + ".before-restore-" + time.Now().UTC().Format("20060102T150405Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("keep the former database: %w", err)
		}
	}
	return kept, nil
}

// restorePostgres copies a backup into an empty database.
func (a *app) restorePostgres(ctx context.Context, cfg *config.Config, file string) error {
	// The file may be of an older schema, and it is only read: a copy of it is migrated.
	dir, err := os.MkdirTemp(filepath.Dir(file), ".z4j-restore-")
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	work := filepath.Join(dir, "z4j.db")
	if err := copyFile(file, work); err != nil {
		return fail(exitFailed, "%w", err)
	}
	src, err := store.Open(ctx, store.Options{URL: "sqlite:///" + work, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fail(exitFailed, "%w", err)
	}
	defer func() { _ = src.Close() }()
	if err := src.Migrate(ctx); err != nil {
		return fail(exitFailed, "migrate the backup: %w", err)
	}
	if err := src.DropLeases(ctx); err != nil {
		return fail(exitFailed, "%w", err)
	}
	dst, err := a.openTarget(ctx, cfg, cfg.Database)
	if err != nil {
		return err
	}
	err = src.CopyTo(ctx, dst, a.progress())
	switch {
	case errors.Is(err, store.ErrNotEmpty):
		err = fail(exitRefused, "%w. Create an empty database and point Z4J_DATABASE_URL at it", err)
	case err != nil:
		err = fail(exitFailed, "restore: %w", err)
	default:
		err = a.restored(ctx, cfg, dst, file)
	}
	return errors.Join(err, dst.Close())
}

// restored records the restore and verifies the chain.
func (a *app) restored(ctx context.Context, cfg *config.Config, s *store.Store, file string) error {
	if err := s.DropLeases(ctx); err != nil {
		return fail(exitFailed, "%w", err)
	}
	if err := a.verifyCopy(ctx, cfg, s); err != nil {
		return err
	}
	err := s.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.Audit(ctx, domain.AuditEntry{
			Action: "audit.database_restored", TargetType: "database", TargetID: filepath.Base(file), Result: domain.ResultSuccess,
			Metadata: map[string]any{"backend": s.Engine()},
		})
	})
	if err != nil {
		return fail(exitFailed, "record the restore: %w", err)
	}
	a.printf("restored. Start the brain.\n")
	return nil
}

// copyFile copies a file for this user only, complete or not at all.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	part := to + ".part"
	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("copy %s: %w", from, err), os.Remove(part))
	}
	return os.Rename(part, to)
}

// adopt keeps somebody who switched to PostgreSQL from finding an empty installation: the one in the state directory is
// copied in when Z4J_COPY_FROM says so, else the start is refused with the command that copies it.
func (a *app) adopt(ctx context.Context, cfg *config.Config, s *store.Store) error {
	from := cfg.Database.CopyFrom
	if cfg.Database.Engine() == config.EngineSQLite || from == startAnew {
		return nil
	}
	fresh, err := s.FirstBoot(ctx)
	if err != nil {
		return fail(exitState, "%w", err)
	}
	if !fresh {
		return nil
	}
	path := from
	if path == "" {
		path = filepath.Join(cfg.Home, "z4j.db")
		if _, err := os.Stat(path); err != nil {
			return nil //nolint:nilerr // nothing to adopt
		}
	}
	old, populated, err := a.populated(ctx, cfg, path)
	if err != nil {
		if from == "" {
			return nil // no installation of ours, or nobody ever used it
		}
		return fail(exitRefused, "Z4J_COPY_FROM: %w", err)
	}
	defer func() { _ = old.Close() }()
	switch {
	case !populated:
		return nil
	case from == "":
		return fail(exitRefused, "the database %s is empty, but %s holds an installation. To move it, run\n\n"+
			"    Z4J_DATABASE_URL= z4j copy-to --to '%s'\n\n"+
			"and start again; Z4J_COPY_FROM=%s does it at the start. To begin anew instead, set Z4J_COPY_FROM=%s",
			cfg.Database.SafeURL(), path, cfg.Database.SafeURL(), path, startAnew)
	}
	a.notef("z4j: copying the installation of %s first (Z4J_COPY_FROM)\n", path)
	if err := old.CopyTo(ctx, s, a.progress()); err != nil {
		return fail(exitFailed, "copy %s: %w", path, err)
	}
	return a.verifyCopy(ctx, cfg, s)
}

// populated opens an SQLite installation and reports whether anybody has used it.
func (a *app) populated(ctx context.Context, cfg *config.Config, path string) (*store.Store, bool, error) {
	if _, _, err := store.CheckFile(ctx, path); err != nil {
		return nil, false, err
	}
	o := launch.StoreOptions(cfg)
	o.URL, o.ReadConns, o.Logger = "sqlite:///"+path, 0, slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, false, err
	}
	if err := a.schema(ctx, s, migrateAlways); err != nil {
		return nil, false, errors.Join(err, s.Close())
	}
	fresh, err := s.FirstBoot(ctx)
	if err != nil {
		return nil, false, errors.Join(err, s.Close())
	}
	return s, !fresh, nil
}
