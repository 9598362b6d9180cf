// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/store/internal/sqltrace"
	schema "github.com/z4jdev/z4j/sql"
)

// pg is PostgreSQL through one pool.
type pg struct {
	pool *pgxpool.Pool
	// days remembers the partitions that exist (time.Time -> true).
	days sync.Map
}

func openPostgres(ctx context.Context, o Options) (engine, error) {
	cfg, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// The URL may hold a password, and pgx may quote it.
		return nil, errors.New("the database URL can't be parsed; the form is postgres://user:password@host:5432/name?sslmode=require")
	}
	cfg.MaxConns = 10
	if o.ReadConns > 0 {
		cfg.MaxConns = int32(min(o.ReadConns, 500)) //nolint:gosec // bounded by min
	}
	if u, err := url.Parse(o.URL); err == nil && !u.Query().Has("connect_timeout") {
		// The driver's own two minutes would keep a request waiting for a server that does not even refuse.
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	for k, v := range map[string]string{
		"application_name": "z4j", "timezone": "UTC",
		"statement_timeout":                   millis(o.StatementTimeout, 30*time.Second),
		"lock_timeout":                        millis(o.LockTimeout, 10*time.Second),
		"idle_in_transaction_session_timeout": millis(o.IdleInTxTimeout, time.Minute),
	} {
		if _, set := cfg.ConnConfig.RuntimeParams[k]; !set {
			cfg.ConnConfig.RuntimeParams[k] = v
		}
	}
	cfg.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		// pgx would give times in the zone of the process; everything here is UTC.
		c.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	var tracers []pgx.QueryTracer
	if o.Trace {
		tracers = append(tracers, sqltrace.Postgres{})
	}
	if o.Watch != nil {
		tracers = append(tracers, pgWatch(o.Watch))
	}
	if len(tracers) > 0 {
		cfg.ConnConfig.Tracer = multitracer.New(tracers...)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return &pg{pool: pool}, nil
}

// connectTimeout bounds one attempt to connect.
const connectTimeout = 5 * time.Second

// millis is a time-out in PostgreSQL's words.
func millis(d, or time.Duration) string {
	if d <= 0 {
		d = or
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

func (p *pg) name() string  { return "postgresql" }
func (p *pg) read() db.DBTX { return p.pool }

func (p *pg) poolStats() PoolStats {
	st := p.pool.Stat()
	return PoolStats{Max: int64(st.MaxConns()), InUse: int64(st.AcquiredConns()), Waits: st.EmptyAcquireCount(), WaitTime: st.EmptyAcquireWaitTime()}
}

func (p *pg) ping(ctx context.Context) error { return p.pool.Ping(ctx) }

func (p *pg) provider(opts ...goose.ProviderOption) (*goose.Provider, func() error, error) {
	sub, err := fs.Sub(schema.Migrations, p.migrations())
	if err != nil {
		return nil, nil, err
	}
	d := stdlib.OpenDBFromPool(p.pool)
	prov, err := goose.NewProvider(goose.DialectPostgres, d, sub, append(opts, goose.WithVerbose(false))...)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return prov, d.Close, nil
}

func (p *pg) migrate(ctx context.Context) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	prov, done, err := p.provider(goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	_, err = prov.Up(ctx)
	return errors.Join(err, done())
}

func (p *pg) schemaVersion(ctx context.Context) (current, head int64, err error) {
	prov, done, err := p.provider()
	if err != nil {
		return 0, 0, err
	}
	current, head, err = versions(ctx, prov, func() (bool, error) {
		var there bool
		err := p.pool.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&there)
		return there, err
	})
	return current, head, errors.Join(err, done())
}

// versions reads the schema version without creating goose's table in an empty database.
func versions(ctx context.Context, p *goose.Provider, exists func() (bool, error)) (current, head int64, err error) {
	for _, src := range p.ListSources() {
		head = max(head, src.Version)
	}
	there, err := exists()
	if err != nil || !there {
		return 0, head, err
	}
	current, err = p.GetDBVersion(ctx)
	return current, head, err
}

func (*pg) migrations() string { return "postgres/migration" }

func (p *pg) serverVersion(ctx context.Context) (string, error) {
	var v string
	err := p.pool.QueryRow(ctx, "SHOW server_version").Scan(&v)
	return v, err
}

// minServer is the oldest PostgreSQL major version that is supported; 18 is what is tested most.
const minServer = 17

// preflight implements engine. A role that lacks a right is told which: a failure in the middle of the night, when the next
// partition is made or retention runs, would tell it too late.
func (p *pg) preflight(ctx context.Context) error {
	var version int
	var text, role, namespace string
	var usage, create, readOnly bool
	err := p.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text,
		coalesce(current_schema()::text, ''), coalesce(has_schema_privilege(current_schema(), 'USAGE'), false),
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool`).
		Scan(&version, &text, &role, &namespace, &usage, &create, &readOnly)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pe.Code {
		case "28000", "28P01":
			return fmt.Errorf("%w: PostgreSQL refuses the user or the password: check Z4J_DATABASE_URL (%s)", ErrUnusable, pe.Message)
		case "3D000":
			return fmt.Errorf("%w: %s: create it with CREATE DATABASE, or check Z4J_DATABASE_URL", ErrUnusable, pe.Message)
		}
	}
	switch {
	case err != nil:
		return err
	case version/10000 < minServer:
		return fmt.Errorf("%w: the server is PostgreSQL %s, z4j needs %d or newer: upgrade it, or point Z4J_DATABASE_URL at a newer one", ErrUnusable, text, minServer)
	case readOnly:
		return fmt.Errorf("%w: the server is a read-only standby: point Z4J_DATABASE_URL at the primary", ErrUnusable)
	case namespace == "":
		return fmt.Errorf("%w: no schema of the search path exists: CREATE SCHEMA one for the role %s", ErrUnusable, role)
	case !usage || !create:
		return fmt.Errorf("%w: the role %s may not create tables in schema %s, which daily partitions need: GRANT USAGE, CREATE ON SCHEMA %s TO %s",
			ErrUnusable, role, namespace, pgx.Identifier{namespace}.Sanitize(), pgx.Identifier{role}.Sanitize())
	}
	// Partitions can only be attached and dropped by the owner of the table.
	var foreign string
	err = p.pool.QueryRow(ctx, `SELECT coalesce(min(c.relname::text || ' of ' || pg_get_userbyid(c.relowner)::text), '') FROM pg_class c
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
		AND EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = 'goose_db_version')
		AND c.relname IN ('events', 'tasks', 'audit_log', 'goose_db_version')
		AND NOT pg_has_role(current_user, c.relowner, 'USAGE')`).Scan(&foreign)
	if err == nil && foreign != "" {
		return fmt.Errorf("%w: the role %s does not own the table %s: connect as the owner, or run REASSIGN OWNED as an administrator", ErrUnusable, role, foreign)
	}
	if err != nil {
		return err
	}
	// Until there was a release, its first migrations were mended in place.
	var old bool
	err = p.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('search_queue') AND attname = 'task_id' AND NOT attisdropped)`).Scan(&old)
	if err == nil && old {
		return fmt.Errorf("%w: the tables were made by a build from before release 1.14.0: save them with that build ('z4j backup'), and restore them with this one ('z4j restore') into an empty database", ErrUnusable)
	}
	return err
}

func (p *pg) size(ctx context.Context) (int64, error) {
	var n int64
	err := p.pool.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n)
	return n, err
}

func (p *pg) close() error {
	p.pool.Close()
	return nil
}

func (p *pg) skipLocked() string { return " FOR UPDATE SKIP LOCKED" }

func (p *pg) outOfTime(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.Code == "57014"
}

func (p *pg) mapErr(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return tagged{domain.ErrNotFound, err}
	}
	// Whatever keeps the server from being reached, the server's own words included, says nothing of what was to be stored.
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return tagged{domain.ErrTransient, err}
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pe.Code == "23505":
			return tagged{domain.ErrConflict, err}
		case pe.Code == "55P03", pe.Code == readOnly, slices.Contains(transientClasses(), pe.Code[:min(2, len(pe.Code))]):
			return tagged{domain.ErrTransient, err}
		}
		return err
	}
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || pgconn.SafeToRetry(err) {
		return tagged{domain.ErrTransient, err}
	}
	return err
}

// readOnly is the code of a write on a server that has become a standby.
const readOnly = "25006"

// transientClasses are the classes of SQLSTATE that speak of the server's state, not of the statement: lost connections,
// serialization and deadlock, lacking resources, operators' and the server's own interventions (starting, stopping, a
// cancelled statement), failures of the system under it. PostgreSQL's manual, appendix A.
func transientClasses() []string { return []string{"08", "40", "53", "57", "58"} }
