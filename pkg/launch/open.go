// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/hosts"
	"github.com/z4jdev/z4j/pkg/store"
)

// auditConns is what a single audit service needs: one for the chain, the rest for probes and leases.
const auditConns = 4

// StoreOptions is the database's part of the settings for ingest, audit and management commands: on PostgreSQL half of
// the process's connections. The logger is the caller's.
func StoreOptions(cfg *config.Config) store.Options {
	return poolOptions(cfg, cfg.Database.PoolSize-cfg.Database.PoolSize/2)
}

// RequestOptions is the same for the API of a process that does everything: the other half, so that slow requests never
// take a connection from ingest, and the time limits of requests.
func RequestOptions(cfg *config.Config) store.Options {
	return requestLimits(cfg, poolOptions(cfg, max(1, cfg.Database.PoolSize/2)))
}

// roleOptions is the same for a single service, which has the process's connections for itself.
func roleOptions(cfg *config.Config, role string) store.Options {
	switch role {
	case config.RoleAPI:
		return requestLimits(cfg, poolOptions(cfg, cfg.Database.PoolSize))
	case config.RoleAudit:
		return poolOptions(cfg, min(auditConns, cfg.Database.PoolSize))
	}
	return poolOptions(cfg, cfg.Database.PoolSize)
}

// poolOptions are options with a pool of the given size: the settings speak of PostgreSQL, SQLite takes its own defaults.
func poolOptions(cfg *config.Config, conns int) store.Options {
	o := store.Options{
		URL: cfg.Database.URL.Reveal(), AuditKey: auth.AuditOutboxKey(cfg.Secret.AuditChain.Bytes()),
		EventRetention: time.Duration(cfg.Retention.EventDays) * 24 * time.Hour, Trace: cfg.Traces.On(), SearchIndex: bool(cfg.Database.SearchIndex),
	}
	if cfg.Database.Engine() == config.EngineSQLite {
		return o
	}
	o.ReadConns = conns
	o.StatementTimeout = max(millis(cfg.Database.StatementMS), backgroundStatement)
	o.LockTimeout = max(millis(cfg.Database.LockMS), backgroundLock)
	o.IdleInTxTimeout = max(millis(cfg.Database.IdleInTxMS), backgroundIdle)
	return o
}

// What background work gets at least: a merge or a deletion may take longer than anybody would wait for a page.
const (
	backgroundStatement = 30 * time.Second
	backgroundLock      = 10 * time.Second
	backgroundIdle      = time.Minute
)

func requestLimits(cfg *config.Config, o store.Options) store.Options {
	if cfg.Database.Engine() == config.EnginePostgreSQL {
		o.StatementTimeout = millis(cfg.Database.StatementMS)
		o.LockTimeout, o.IdleInTxTimeout = millis(cfg.Database.LockMS), millis(cfg.Database.IdleInTxMS)
	}
	return o
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// ErrUnfinishedCopy says that a database holds only a part of an installation.
var ErrUnfinishedCopy = errors.New("a copy into this database was begun and not finished: run the same 'z4j copy-to' again, it goes on where it stopped")

// AwaitStore opens the database of the settings for a single service and waits until it answers and has the schema of this binary. A database
// that can never do (too old, without the needed rights, migrated by a newer version) is an *ExitError at once.
func AwaitStore(ctx context.Context, cfg *config.Config, role string, log *slog.Logger) (*store.Store, error) {
	o := roleOptions(cfg, role)
	o.Logger = log
	var reported time.Time
	for {
		s, err := tryOpen(ctx, o)
		if err == nil {
			return s, nil
		}
		if e := (*ExitError)(nil); errors.As(err, &e) || ctx.Err() != nil {
			return nil, err
		}
		if time.Since(reported) >= waitReport {
			reported = time.Now()
			log.Warn("waiting for the database", "database", cfg.Database.SafeURL(), "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(waitPause):
		}
	}
}

// tryOpen opens the database once. An error that is no *ExitError is worth another try.
func tryOpen(ctx context.Context, o store.Options) (*store.Store, error) {
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, fail(ExitRefused, "open the database: %w", err)
	}
	if err := usable(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func usable(ctx context.Context, s *store.Store) error {
	if err := s.Preflight(ctx); err != nil {
		if errors.Is(err, store.ErrUnusable) {
			return fail(ExitRefused, "%w", err)
		}
		return err
	}
	begun, err := s.CopyBegun(ctx)
	if err != nil {
		return err
	}
	if begun {
		return fail(ExitState, "%w", ErrUnfinishedCopy)
	}
	current, head, err := s.SchemaVersion(ctx)
	switch {
	case err != nil:
		return err
	case current > head:
		return NewerSchema(current, head)
	case current < head:
		return fmt.Errorf("the database has schema %d, this z4j needs %d: run 'z4j migrate upgrade head'", current, head)
	}
	return nil
}

// NewerSchema refuses a database that a newer version has migrated.
func NewerSchema(current, head int64) error {
	return fail(ExitFailed, "the database has schema %d, this z4j knows %d: a newer version migrated it. Run that version or a newer one", current, head)
}

// BusConfig is the bus's part of the settings; OpenBus adds the rest.
func BusConfig(cfg *config.Config) bus.Config {
	return bus.Config{URL: cfg.Database.RedisURL.Reveal(), DropPercent: cfg.Database.BusDrop}
}

// OpenBus opens a bus for the installation in s. Installations may share a Redis: none hears the other's hints.
func OpenBus(ctx context.Context, cfg bus.Config, s *store.Store, log *slog.Logger, reg prometheus.Registerer) (bus.Bus, error) {
	id, err := s.InstallationID(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Namespace, cfg.Logger, cfg.Registerer = "z4j:"+id.String(), log.With("part", "bus"), reg
	b, err := bus.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open the bus: %w", err)
	}
	return b, nil
}

// HostList merges the layers of the Host allow-list; names are those typed on the command line.
func HostList(ctx context.Context, cfg *config.Config, names []string, log *slog.Logger) (*hosts.List, error) {
	in := hosts.Input{Env: cfg.Hosts.Allowed, Flags: names}
	if len(in.Env) == 0 {
		entries, wrong, err := hosts.File{Path: cfg.AllowedHostsFile()}.Read()
		if err != nil {
			return nil, err
		}
		for _, w := range wrong {
			log.Warn("line of the allowed-hosts file has no effect", "err", w)
		}
		in.File, in.Auto = entries, hosts.Detect(ctx)
	}
	return hosts.Build(in)
}

// Keyring hashes tokens with the master secret of the settings.
func Keyring(cfg *config.Config) *auth.Keyring {
	return auth.NewKeyring(cfg.Secret.Master.Bytes(), SecretBytes(cfg.Secret.PreviousMasters)...)
}

// SecretBytes reveals a list of secrets.
func SecretBytes(secrets []config.Secret) [][]byte {
	list := make([][]byte, 0, len(secrets))
	for _, s := range secrets {
		list = append(list, s.Bytes())
	}
	return list
}
