// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/launch"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

// countWindow is the time within which counters equal a recount: what retention took is counted but not there.
func countWindow(cfg *config.Config, now time.Time) store.CountWindow {
	w := store.CountWindow{Events: now.Add(-cfg.Retention.Events()), Rollups: now.Add(-cfg.Retention.Rollups())}
	if keep := cfg.Retention.Tasks(); keep > 0 {
		w.Tasks = now.Add(-keep)
	}
	return w
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Prints the version. With --json also the revision, the toolchain and the agents' protocol.",
		Example: "  z4j version\n  z4j version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := obs.BuildInfo()
			if asJSON {
				return a.json(map[string]string{"version": b.Version, "revision": b.Revision, "go": b.Go, "protocol": domain.ProtocolVersion})
			}
			a.printf("%s\n", b.Version)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print version, revision and toolchain")
	return cmd
}

// finding is one line of check and doctor.
type finding struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning, failed
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// inspect gathers what check shows. The store is nil when the database can't be used.
func (a *app) inspect(ctx context.Context) (cfg *config.Config, s *store.Store, found []finding, code int) {
	cfg, err := a.load(config.Options{})
	if err != nil {
		return cfg, nil, []finding{{"settings", "failed", err.Error(), "mend the settings named above"}}, exitRefused
	}
	posture := "production"
	if cfg.Dev() {
		posture = "dev"
	}
	found = append(found, finding{"settings", "ok", "state directory " + cfg.Home, ""},
		finding{"environment", "ok", posture + ", public URL " + cfg.Server.PublicURL, ""})
	s, err = store.Open(ctx, store.Options{URL: cfg.Database.URL.Reveal(), Logger: slog.New(slog.DiscardHandler), ReadConns: 1})
	if err != nil {
		return cfg, nil, append(found, finding{"database", "failed", err.Error(), "check Z4J_DATABASE_URL"}), exitState
	}
	version, err := s.ServerVersion(ctx)
	if err != nil {
		return cfg, s, append(found, finding{"database", "failed", err.Error(), "is the server up, and may this user connect?"}), exitState
	}
	found = append(found, finding{"database", "ok", s.Engine() + " " + version + ", " + cfg.Database.SafeURL(), ""})
	current, head, err := s.SchemaVersion(ctx)
	if err == nil && current == 0 && s.Engine() == config.EngineSQLite && bool(cfg.Database.AutoMigrate) {
		// A fresh state directory: the first start would do the same, and a database server's is not ours to fill.
		if err = s.Migrate(ctx); err == nil {
			current = head
		}
	}
	switch {
	case err != nil:
		found, code = append(found, finding{"schema", "failed", err.Error(), "is the state directory writable, and the disk not full?"}), exitState
	case current == 0:
		found, code = append(found, finding{
			"schema", "failed", fmt.Sprintf("empty database; this version brings schema %d", head), "z4j migrate upgrade head, or just z4j serve",
		}), exitState
	case current > head:
		found, code = append(found, finding{
			"schema", "failed", fmt.Sprintf("schema %d, this version knows %d: a newer version migrated it", current, head), "run that version or a newer one",
		}), exitState
	case current != head:
		found, code = append(found, finding{
			"schema", "failed", fmt.Sprintf("schema %d, this version needs %d", current, head), "z4j migrate upgrade head",
		}), exitState
	default:
		found = append(found, finding{"schema", "ok", strconv.FormatInt(current, 10), ""})
	}
	return cfg, s, found, code
}

func (a *app) show(found []finding) {
	for _, f := range found {
		mark := map[string]string{"ok": "ok", "warning": "WARN", "failed": "FAIL"}[f.Status]
		a.printf("%-5s %-12s %s\n", mark, f.Name, f.Detail)
		if f.Remedy != "" {
			a.printf("%-5s %-12s -> %s\n", "", "", f.Remedy)
		}
	}
}

func (a *app) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check settings, database and schema",
		Long: `Checks that the settings are usable, the database answers and its schema is the one this version needs. In a fresh
state directory it makes secrets and database, as the first start would.
Exit code 0 when all is well, 2 for the settings, 3 for the database or the schema.`,
		Example: "  z4j check\n  z4j check --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, found, code := a.inspect(cmd.Context())
			if s != nil {
				defer func() { _ = s.Close() }()
			}
			if asJSON {
				if err := a.json(map[string]any{"ok": code == 0, "checks": found}); err != nil {
					return err
				}
			} else {
				a.show(found)
				if code == 0 {
					a.printf("z4j check: all green.\n")
				}
			}
			if code != 0 {
				return &launch.ExitError{Code: code, Err: errors.New("check failed")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {ok, checks}")
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Print version, database and how much is in it",
		Long:    "Prints version, posture, database, schema, and how many rows of each kind there are.",
		Example: "  z4j status\n  z4j status --json | jq .agents_online",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.manage(cmd, func(ctx context.Context, cfg *config.Config, s *store.Store) error {
				current, head, err := s.SchemaVersion(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				totals, err := s.Sizes(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				size, err := s.Size(ctx)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				environment := "production"
				if cfg.Dev() {
					environment = "dev"
				}
				if asJSON {
					return a.json(map[string]any{
						"version": domain.Version, "schema": current, "schema_head": head, "environment": environment,
						"database": cfg.Database.SafeURL(), "database_bytes": size, "users": totals.Users, "projects": totals.Projects,
						"agents": totals.Agents, "agents_online": totals.AgentsOnline, "tasks": totals.Tasks, "sessions": totals.Sessions,
						"audit_rows": totals.AuditRows, "commands_open": totals.CommandsOpen,
					})
				}
				for _, l := range []struct {
					name  string
					value any
				}{
					{"version", domain.Version},
					{"environment", environment},
					{"database", cfg.Database.SafeURL()},
					{"schema", fmt.Sprintf("%d of %d", current, head)},
					{"size", fmt.Sprintf("%.1f MiB", float64(size)/(1<<20))},
					{"users", totals.Users},
					{"projects", totals.Projects},
					{"agents", fmt.Sprintf("%d, %d online", totals.Agents, totals.AgentsOnline)},
					{"tasks", totals.Tasks},
					{"commands", fmt.Sprintf("%d open", totals.CommandsOpen)},
					{"sessions", totals.Sessions},
					{"audit rows", totals.AuditRows},
				} {
					a.printf("%-12s %v\n", l.name, l.value)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON, strict, counters bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong or risky, and say what to do",
		Long: `Runs 'check' and then looks for risky settings and half-done set-ups. With --strict a warning makes the
exit code 1, so that a deployment can be gated on it. --counters recounts every task and event and
compares the result with the kept counters; stop the brain first, it reads everything.`,
		Example: "  z4j doctor\n  z4j doctor --strict --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			cfg, s, found, code := a.inspect(ctx)
			if s != nil {
				defer func() { _ = s.Close() }()
			}
			if code == 0 {
				more, err := a.diagnose(ctx, cfg, s, counters)
				if err != nil {
					return fail(exitState, "%w", err)
				}
				found = append(found, more...)
			}
			warnings := 0
			for _, f := range found {
				if f.Status != "ok" {
					warnings++
				}
			}
			if asJSON {
				if err := a.json(map[string]any{"ok": code == 0 && warnings == 0, "warnings": warnings, "checks": found}); err != nil {
					return err
				}
			} else {
				a.show(found)
			}
			switch {
			case code != 0:
				return &launch.ExitError{Code: code, Err: errors.New("check failed")}
			case strict && warnings > 0:
				return fail(exitFailed, "%d warnings", warnings)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {ok, warnings, checks}")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 when there is a warning")
	cmd.Flags().BoolVar(&counters, "counters", false, "recount tasks and events")
	return cmd
}

// redisLimit is how long doctor waits for Redis.
const redisLimit = 3 * time.Second

// redisAnswers connects as the brain would.
func redisAnswers(ctx context.Context, url string) error {
	b, err := bus.NewRedis(bus.Config{URL: url})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !b.Connected() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no connection within %s", redisLimit)
		case <-tick.C:
		}
	}
	return nil
}

// searchWaiting is how many changes may wait for the search index before it is worth a word.
const searchWaiting = 100_000

// diagnose finds what works but should not stay so.
func (a *app) diagnose(ctx context.Context, cfg *config.Config, s *store.Store, counters bool) ([]finding, error) {
	var found []finding
	warn := func(name, detail, remedy string) {
		found = append(found, finding{name, "warning", detail, remedy})
	}
	for _, n := range withoutEffect(cfg) {
		warn("settings", n.Name+" ("+n.Source+"): "+n.Text, "remove it")
	}
	if ip := net.ParseIP(cfg.Server.BindHost); cfg.Dev() && (ip == nil || !ip.IsLoopback()) {
		warn("exposure", "dev mode listens on "+cfg.Server.BindHost+": reachable from the network without https",
			"Z4J_BIND_HOST=127.0.0.1, or Z4J_PUBLIC_URL=https://... with Z4J_ALLOWED_HOSTS")
	}
	if cfg.Metrics.Public {
		warn("metrics", "/metrics answers everybody", "Z4J_METRICS_PUBLIC=false and give the scraper 'z4j metrics-token'")
	}
	if url := cfg.Database.RedisURL.Reveal(); url != "" {
		if err := redisAnswers(ctx, url); err != nil {
			warn("redis", err.Error(), "check Z4J_REDIS_URL and the server; until it answers, replicas see each other's changes late")
		} else {
			found = append(found, finding{"redis", "ok", "answers", ""})
		}
	}
	if current, head, err := s.SchemaVersion(ctx); err != nil || current != head {
		return found, err
	}
	totals, err := s.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case totals.Users == 0:
		warn("accounts", "nobody can sign in yet", "z4j createsuperuser --email you@example.com, or the setup link of 'z4j serve'")
	case totals.Projects == 0:
		warn("projects", "there is no project", "create one in the dashboard")
	case totals.Agents == 0:
		warn("agents", "no agent is registered", "mint one in the dashboard: Agents, New agent")
	}
	if totals.OutboxRows > 1000 {
		warn("audit", fmt.Sprintf("%d audit records wait for the chain", totals.OutboxRows), "is a brain running? see 'z4j audit verify'")
	}
	if state, err := s.SearchState(ctx); err != nil {
		return nil, err
	} else if waiting := state.Left + state.Queued; bool(cfg.Database.SearchIndex) && waiting > searchWaiting {
		warn("search", fmt.Sprintf("%d changes of tasks wait to be brought into the search index", waiting),
			"is a brain running? it catches up when less comes in; until then searches look through the newest tasks")
	}
	if counters {
		diff, err := s.CheckCounters(ctx, countWindow(cfg, s.Now()))
		if err != nil {
			return nil, err
		}
		for _, d := range diff {
			warn("counters", d, "")
		}
		if len(diff) == 0 {
			found = append(found, finding{"counters", "ok", "equal to a recount", ""})
		}
	}
	return found, nil
}
