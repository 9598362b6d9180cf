// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/store"
)

func (a *app) hostsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allowed-hosts",
		Short: "Manage the allowed-hosts file",
		Long: `The Host header of a request must be on the allow-list. Its layers:
  1. Z4J_ALLOWED_HOSTS (a JSON list, or comma-separated) replaces 3 and 4
  2. z4j serve --allowed-host NAME adds a name for that run
  3. the allowed-hosts file in the state directory, which these commands edit
  4. names detected at start: localhost, this machine's names and addresses
A change counts from the next start of 'z4j serve'.`,
		Args: unknownCommand,
		RunE: help,
	}
	// The file is edited without the other settings: it must work when those are broken.
	file := func() (hosts.File, error) {
		home, err := config.DefaultHome(config.Environ())
		if err == nil {
			err = config.EnsureHome(home)
		}
		if err != nil {
			return hosts.File{}, fail(exitUsage, "%w", err)
		}
		return hosts.File{Path: (&config.Config{Home: home}).AllowedHostsFile()}, nil
	}
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Short: "Print the hosts in the file", Args: cobra.NoArgs,
		Long: `Prints the hosts in the file, one a line; lines that are no host are named on stderr. The names that a running
brain accepts, with all layers, stand in the banner of 'z4j serve'.`,
		Example: "  z4j allowed-hosts list\n  z4j allowed-hosts list --json",
		RunE: func(*cobra.Command, []string) error {
			f, err := file()
			if err != nil {
				return err
			}
			entries, wrong, err := f.Read()
			if err != nil {
				return fail(exitUsage, "%w", err)
			}
			for _, w := range wrong {
				a.notef("z4j: %s: %v\n", f.Path, w)
			}
			if asJSON {
				if entries == nil {
					entries = []string{}
				}
				return a.json(entries)
			}
			if len(entries) == 0 {
				a.printf("(no persisted hosts in %s)\n", f.Path)
			}
			for _, h := range entries {
				a.printf("%s\n", h)
			}
			return nil
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print a list")
	add := &cobra.Command{
		Use: "add HOST...", Short: "Add hosts to the file", Args: cobra.MinimumNArgs(1),
		Long: `Adds names or addresses: tasks.example.com, 192.168.1.20, [fd00::1], or *.example.com for every name below a domain.
No scheme, no port, no path. Nothing is written when one of them is refused.`,
		Example: "  z4j allowed-hosts add tasks.internal.example.com\n  z4j allowed-hosts add '*.example.com' 10.0.0.7 '[fd00::1]'",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := file()
			if err != nil {
				return err
			}
			added, present, err := f.Add(args)
			if err != nil {
				return fail(exitUsage, "%w", err)
			}
			for _, h := range added {
				a.printf("added: %s\n", h)
			}
			for _, h := range present {
				a.printf("skipped: %s (already present)\n", h)
			}
			a.printf("Wrote %s. Restart 'z4j serve' for it to count.\n", f.Path)
			return nil
		},
	}
	remove := &cobra.Command{
		Use: "remove HOST...", Short: "Remove hosts from the file", Args: cobra.MinimumNArgs(1),
		Long:    "Removes hosts. Comments and other lines of the file stay as they are.",
		Example: "  z4j allowed-hosts remove tasks.internal.example.com",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := file()
			if err != nil {
				return err
			}
			removed, missing, err := f.Remove(args)
			if err != nil {
				return fail(exitUsage, "%w", err)
			}
			for _, h := range removed {
				a.printf("removed: %s\n", h)
			}
			for _, h := range missing {
				a.printf("not found: %s\n", h)
			}
			a.printf("Wrote %s. Restart 'z4j serve' for it to count.\n", f.Path)
			return nil
		},
	}
	path := &cobra.Command{
		Use: "path", Short: "Print the path of the file", Args: cobra.NoArgs,
		Long:    "Prints the path of the file, which need not exist. One host a line, # begins a comment.",
		Example: "  ${EDITOR:-vi} \"$(z4j allowed-hosts path)\"",
		RunE: func(*cobra.Command, []string) error {
			f, err := file()
			if err != nil {
				return err
			}
			a.printf("%s\n", f.Path)
			return nil
		},
	}
	cmd.AddCommand(list, add, remove, path)
	return cmd
}

func (a *app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database schema up to date, or show its version",
		Long: `'z4j serve' migrates by itself at start, unless Z4J_AUTO_MIGRATE=false. Migrations only go forward; back up before
an upgrade. Any number of processes may migrate at the same time: one does, the others wait.`,
		Args: unknownCommand,
		RunE: help,
	}
	withStore := func(cmd *cobra.Command, fn func(ctx context.Context, s *store.Store) error) error {
		cfg, err := a.load(config.Options{})
		if err != nil {
			return err
		}
		s, err := store.Open(cmd.Context(), store.Options{URL: cfg.Database.URL.Reveal(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return fail(exitState, "open the database %s: %w", cfg.Database.SafeURL(), err)
		}
		return errors.Join(fn(cmd.Context(), s), s.Close())
	}
	upgrade := &cobra.Command{
		Use: "upgrade [head]", Short: "Migrate to the newest schema",
		Long:    "Brings the schema to the newest version that this z4j knows. Does nothing when it is there already.",
		Example: "  z4j migrate upgrade head",
		Args:    cobra.MaximumNArgs(1), ValidArgs: []string{"head"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "head" {
				return fail(exitUsage, "only 'head' can be migrated to")
			}
			return withStore(cmd, func(ctx context.Context, s *store.Store) error {
				before, _, err := s.SchemaVersion(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				if err := a.schema(ctx, s, migrateAlways); err != nil {
					return err
				}
				after, _, err := s.SchemaVersion(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				if before == after {
					a.printf("schema %d is the newest\n", after)
				} else {
					a.printf("migrated from schema %d to %d\n", before, after)
				}
				return nil
			})
		},
	}
	var checkHeads bool
	current := &cobra.Command{
		Use: "current", Short: "Print the schema version of the database", Args: cobra.NoArgs,
		Long:    "Prints the schema version of the database, with (head) behind it when it is the newest that this z4j knows.",
		Example: "  z4j migrate current\n  z4j migrate current --check-heads || z4j migrate upgrade head",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, func(ctx context.Context, s *store.Store) error {
				current, head, err := s.SchemaVersion(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				suffix := ""
				if current == head {
					suffix = " (head)"
				}
				a.printf("%d%s\n", current, suffix)
				if checkHeads && current != head {
					return fail(exitFailed, "schema %d is behind %d: run 'z4j migrate upgrade head'", current, head)
				}
				return nil
			})
		},
	}
	current.Flags().BoolVar(&checkHeads, "check-heads", false, "exit with 1 when the schema is not the newest")
	history := &cobra.Command{
		Use: "history", Short: "List the migrations this version knows", Args: cobra.NoArgs,
		Long:    "Lists the migrations that this z4j knows, and whether the database has them.",
		Example: "  z4j migrate history",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, func(ctx context.Context, s *store.Store) error {
				known, err := s.Migrations()
				if err != nil {
					return fail(exitFailed, "%w", err)
				}
				current, _, err := s.SchemaVersion(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				for _, m := range known {
					state := "pending"
					if m.Version <= current {
						state = "applied"
					}
					a.printf("%-8d %-8s %s\n", m.Version, state, m.Name)
				}
				return nil
			})
		},
	}
	cmd.AddCommand(upgrade, current, history)
	return cmd
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show and check the settings", Args: unknownCommand,
		Long: `Settings are read from, strongest first: the command line of 'serve', the process environment, ./.env, config.env in
the state directory, secret.env in the state directory (minted secrets only), the defaults.`,
		RunE: help,
	}
	var reveal, asJSON bool
	show := &cobra.Command{
		Use: "show", Short: "Print every setting with its value and where it came from", Args: cobra.NoArgs,
		Long: `Prints every setting with its source and value, secrets masked. Works with broken settings too: what is wrong
stands on stderr then, and the exit code is 2. Settings that were given but have no effect are named on stderr.`,
		Example: "  z4j config show\n  z4j config show --json | jq '.[] | select(.source != \"default\")'",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load(config.Options{})
			if cfg == nil {
				return err
			}
			settings := cfg.Effective()
			if reveal {
				settings = cfg.EffectiveRevealed()
			}
			if asJSON {
				type row struct {
					Name   string `json:"name"`
					Value  string `json:"value"`
					Source string `json:"source"`
					Secret bool   `json:"is_secret"`
				}
				rows := make([]row, 0, len(settings))
				for _, s := range settings {
					rows = append(rows, row{s.Name, s.Value, s.Source, s.Secret})
				}
				return errors.Join(err, a.json(rows))
			}
			for _, s := range settings {
				a.printf("%-52s %-14s %s\n", s.Name, s.Source, s.Value)
			}
			for _, n := range withoutEffect(cfg) {
				a.notef("z4j: %s\n", n)
			}
			return err
		},
	}
	show.Flags().BoolVar(&reveal, "reveal-secrets", false, "print secrets in clear")
	show.Flags().BoolVar(&asJSON, "json", false, "print a list")
	validate := &cobra.Command{
		Use: "validate [FILE]", Short: "Check the settings in force, or those in a file", Args: cobra.MaximumNArgs(1),
		Long: `Checks the settings as 'serve' would read them. With FILE it checks that file alone: its form, its mode, and each
value's form and bounds. Exit code 2 when they are not usable, 1 when one of them has no effect.`,
		Example: "  z4j config validate\n  z4j config validate new-config.env",
		RunE: func(_ *cobra.Command, args []string) error {
			var notices []config.Notice
			if len(args) == 1 {
				var err error
				if notices, err = config.CheckFile(args[0]); err != nil {
					return fail(exitRefused, "%w", err)
				}
			} else {
				cfg, err := a.load(config.Options{})
				if err != nil {
					return err
				}
				notices = withoutEffect(cfg)
			}
			for _, n := range notices {
				a.notef("z4j: %s\n", n)
			}
			if len(notices) > 0 {
				return fail(exitFailed, "settings without effect: %d", len(notices))
			}
			a.printf("z4j config: valid.\n")
			return nil
		},
	}
	hopKey := &cobra.Command{
		Use: "hop-key", Short: "Print the key that the gateway shares with the services behind it", Args: cobra.NoArgs,
		Long: `Prints Z4J_HOP_KEY as it is in force: set, or derived from Z4J_SECRET. Give it to 'z4j gateway', which then needs no
other secret.`,
		Example: "  Z4J_HOP_KEY=\"$(z4j config hop-key)\" z4j gateway",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load(config.Options{})
			if err != nil {
				return err
			}
			a.printf("%s\n", cfg.Secret.Hop.Reveal())
			return nil
		},
	}
	cmd.AddCommand(show, validate, hopKey)
	return cmd
}

func (a *app) metricsTokenCommand() *cobra.Command {
	show := func(*cobra.Command, []string) error {
		cfg, err := a.load(config.Options{})
		if err != nil {
			return err
		}
		if cfg.Metrics.AuthToken.Reveal() == "" {
			return fail(exitRefused, "no token is set: give Z4J_METRICS_AUTH_TOKEN")
		}
		a.printf("%s\n", cfg.Metrics.AuthToken.Reveal())
		return nil
	}
	cmd := &cobra.Command{
		Use: "metrics-token", Short: "Print or replace the bearer token of /metrics", Args: unknownCommand, RunE: show,
		Long:    "Prints the token that a scraper must send as 'Authorization: Bearer TOKEN' to /metrics.",
		Example: `  curl -H "Authorization: Bearer $(z4j metrics-token)" http://localhost:7700/metrics`,
	}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Mint a new token in secret.env and print it", Args: cobra.NoArgs,
		Long: `Mints a new token, writes it to secret.env and prints it. A running brain keeps the old one until its restart.
Refused when the token comes from somewhere else, such as the environment.`,
		Example: "  z4j metrics-token rotate",
		RunE: func(*cobra.Command, []string) error {
			const name = "Z4J_METRICS_AUTH_TOKEN"
			cfg, err := a.load(config.Options{})
			if err != nil {
				return err
			}
			if src := cfg.Source(name); src != config.SourceSecret && src != config.SourceDefault {
				return fail(exitRefused, "the token comes from %s; change it there", src)
			}
			token := config.NewToken(32)
			if err := config.SetSecret(cfg.Home, name, token); err != nil {
				return fail(exitFailed, "%w", err)
			}
			a.printf("%s\n", token)
			a.notef("Written to secret.env. Restart 'z4j serve' for it to count.\n")
			return nil
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "show", Short: "Print the token", Args: cobra.NoArgs, RunE: show,
		Long: "Prints the token alone on stdout, like 'z4j metrics-token' without a command.", Example: "  z4j metrics-token show",
	}, rotate)
	return cmd
}

func (a *app) resetCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Delete all data of an SQLite installation",
		Long: `Deletes the database of an SQLite installation: accounts, projects, agents, tasks, audit log. Secrets and
allowed hosts stay. The next start is a first boot. Stop the brain first; this is refused while it runs.
On PostgreSQL drop and create the database with its own tools instead.`,
		Example: "  z4j reset --force",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load(config.Options{})
			if err != nil {
				return err
			}
			path := cfg.Database.SQLitePath()
			if path == "" {
				return fail(exitRefused, "the database is PostgreSQL: drop and create it with its own tools (dropdb, createdb)")
			}
			if !force {
				return fail(exitFailed, "this deletes %s with everything in it; --force does it", path)
			}
			lock, err := config.LockHome(cfg.Home)
			if err != nil {
				return fail(exitRefused, "%w", err)
			}
			defer func() { _ = lock.Release() }()
			removed := 0
			for _, suffix := range []string{"", "-wal", "-shm"} {
				switch err := os.Remove(path + suffix); {
				case err == nil:
					removed++
				case !errors.Is(err, os.ErrNotExist):
					return fail(exitFailed, "delete the database: %w", err)
				}
			}
			if removed == 0 {
				a.printf("z4j: there was no database at %s\n", path)
			} else {
				a.printf("z4j: deleted %s\n", path)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "really delete")
	return cmd
}

// help is the body of a command that only groups others.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// hostAndPort joins a listen address for messages.
func hostAndPort(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	return host + ":" + strconv.Itoa(port)
}
