// SPDX-License-Identifier: AGPL-3.0-or-later

// Package cli is the command line of z4j. Commands print their result on stdout and everything else
// on stderr; --json is there where a script would want it. Exit codes are those of the existing
// product: 0 done, 1 failed, 2 wrong usage or refused, and the ones a command names itself.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

// Exit codes.
const (
	exitFailed  = launch.ExitFailed
	exitUsage   = launch.ExitRefused
	exitRefused = launch.ExitRefused
	exitState   = launch.ExitState
	exitNoUser  = 4
)

func fail(code int, format string, args ...any) error {
	return &launch.ExitError{Code: code, Err: fmt.Errorf(format, args...)}
}

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Background is the root of every context of the process.
func Background() context.Context { return context.Background() }

// Run executes args and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var e *launch.ExitError
	if !errors.As(err, &e) {
		// cobra's own errors are about usage: those of the commands all carry a code, see coded.
		a.errorf("%v\n%s", err, usageHint(cmd))
		return exitUsage
	}
	if e.Error() != "" {
		a.errorf("%v", e)
	}
	return e.Code
}

// usageHint says how to call the command that was called wrongly.
func usageHint(cmd *cobra.Command) string {
	hint := fmt.Sprintf("Usage: %s\nRun '%s --help' for more.", cmd.UseLine(), cmd.CommandPath())
	if cmd.HasAvailableSubCommands() {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		hint = fmt.Sprintf("Commands: %s\nRun '%s --help' for more.", strings.Join(names, ", "), cmd.CommandPath())
	}
	return hint
}

// unknownCommand names the command that was probably meant.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", strings.TrimPrefix(cmd.CommandPath()+" "+args[0], cmd.Root().Name()+" "))
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + near[0] + "?"
	}
	return errors.New(text)
}

// coded gives every error of a command's body an exit code, so that what is left without one is cobra's own
// complaint about usage.
func coded(cmd *cobra.Command) {
	if body := cmd.RunE; body != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			err := body(c, args)
			var e *launch.ExitError
			if err == nil || errors.As(err, &e) {
				return err
			}
			return &launch.ExitError{Code: exitFailed, Err: err}
		}
	}
	for _, c := range cmd.Commands() {
		coded(c)
	}
}

// errorf writes an error for a person.
func (a *app) errorf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, "z4j: "+format+"\n", args...)
}

// printf writes output.
func (a *app) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stdout, format, args...)
}

// notef writes a remark for a person.
func (a *app) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format, args...)
}

// json writes v, indented.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "z4j",
		Short: "The control plane for Python background jobs",
		Long: `z4j watches and controls task queues: Celery, RQ, Dramatiq, Huey, arq and TaskIQ.

Start here:
  z4j serve                         run the brain; the first start prints a setup link
  z4j createsuperuser --email E     make the first admin without a browser
  z4j doctor                        look for what is wrong or risky

Everything lives in the state directory (Z4J_HOME, else ~/.z4j): database, secrets, allowed hosts.
Settings come from the environment, ./.env, config.env and secret.env; see 'z4j config show'.`,
		Version:       domain.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			a.printf("z4j %s\n", domain.Version)
			return nil
		},
	}
	root.Flags().BoolP("version", "V", false, "print the version")
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(a.serveCommand(), a.checkCommand(), a.statusCommand(), a.tasksCommand(), a.versionCommand(), a.doctorCommand(),
		a.superuserCommand(), a.passwordCommand(), a.hostsCommand(), a.migrateCommand(), a.resetSetupCommand(),
		a.resetCommand(), a.configCommand(), a.metricsTokenCommand(), a.auditCommand(), a.copyCommand(), a.backupCommand(), a.restoreCommand(), a.healthcheckCommand())
	root.AddCommand(a.singleCommands()...)
	coded(root)
	return root
}

// load reads the settings; secrets that an SQLite installation lacks are minted, so that every
// command works on a fresh state directory.
func (a *app) load(o config.Options) (*config.Config, error) {
	o.Environ, o.Mint = config.Environ(), true
	cfg, err := config.Load(o)
	if err != nil {
		return cfg, launch.RefuseSettings(err)
	}
	return cfg, nil
}

// migration says what open does with a schema that is not the newest.
type migration int

const (
	migrateNever migration = iota
	// migrateFresh creates the schema in an empty database, so that every command works on a fresh state directory,
	// but leaves an older one alone: a brain of the older version may be running on it.
	migrateFresh
	migrateAlways
)

// open connects to the database and brings the schema up to date as far as it may; otherwise an old or missing
// schema is an error that names the command.
func (a *app) open(ctx context.Context, cfg *config.Config, log *slog.Logger, m migration) (*store.Store, error) {
	o := launch.StoreOptions(cfg)
	o.Logger = log
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, fail(exitState, "open the database %s: %w", cfg.Database.SafeURL(), err)
	}
	if err := s.Preflight(ctx); errors.Is(err, store.ErrUnusable) {
		return nil, errors.Join(fail(exitRefused, "%w", err), s.Close())
	}
	if begun, err := s.CopyBegun(ctx); err == nil && begun {
		return nil, errors.Join(fail(exitState, "%w", launch.ErrUnfinishedCopy), s.Close())
	}
	if err := a.schema(ctx, s, m); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (a *app) schema(ctx context.Context, s *store.Store, m migration) error {
	current, head, err := s.SchemaVersion(ctx)
	switch {
	case err != nil:
		return fail(exitState, "the database does not answer: %w", err)
	case current > head:
		return launch.NewerSchema(current, head)
	case current == head:
		return nil
	case m == migrateNever, m == migrateFresh && current > 0:
		return fail(exitState, "the database has schema %d, this z4j needs %d: run 'z4j migrate upgrade head'", current, head)
	}
	if err := s.Migrate(ctx); err != nil {
		return fail(exitFailed, "migrate the database from schema %d to %d: %w", current, head, err)
	}
	return nil
}

// migrationOf is what the setting permits.
func migrationOf(cfg *config.Config, most migration) migration {
	if !bool(cfg.Database.AutoMigrate) {
		return migrateNever
	}
	return most
}

// manage opens the installation for a management command and closes it after fn.
func (a *app) manage(cmd *cobra.Command, fn func(ctx context.Context, cfg *config.Config, s *store.Store) error) error {
	cfg, err := a.load(config.Options{})
	if err != nil {
		return err
	}
	s, err := a.open(cmd.Context(), cfg, slog.New(slog.DiscardHandler), migrationOf(cfg, migrateFresh))
	if err != nil {
		return err
	}
	return errors.Join(fn(cmd.Context(), cfg, s), s.Close())
}

// logger builds the process's logger on stderr.
func (a *app) logger(cfg *config.Config) (*slog.Logger, error) {
	return obs.NewLogger(a.stderr, cfg.Log.Level, cfg.Log.Format)
}
