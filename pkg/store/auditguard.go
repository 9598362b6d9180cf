// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"slices"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// auditChainLock is the advisory lock that makes appends to the chain one lane across replicas.
const auditChainLock = 0x7A346ADA

func (p *pg) lockAuditChain(ctx context.Context, h db.DBTX) error {
	_, err := h.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(auditChainLock))
	return err
}

func (p *pg) missingAuditTriggers(ctx context.Context) ([]string, error) {
	// tgenabled O and A fire for us; D is disabled and R fires only on replicas. A function without its
	// refusal was replaced by a hollow one.
	return missingTriggers(ctx, p.pool, `SELECT t.tgname::text FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
		WHERE t.tgrelid = 'audit_log'::regclass AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
			AND f.prosrc LIKE '%RAISE EXCEPTION ''audit_log is append-only''%'`,
		"audit_log_no_update", "audit_log_no_delete", "audit_log_no_truncate")
}

// lockAuditChain has nothing to do: BEGIN IMMEDIATE already holds the database's only write lock.
func (l *lite) lockAuditChain(context.Context, db.DBTX) error { return nil }

func (l *lite) missingAuditTriggers(ctx context.Context) ([]string, error) {
	return missingTriggers(ctx, l.reads, `SELECT name FROM sqlite_master
		WHERE type = 'trigger' AND tbl_name = 'audit_log' AND sql LIKE '%RAISE(ABORT, ''audit_log is append-only'')%'`,
		"audit_log_no_update", "audit_log_no_delete")
}

func missingTriggers(ctx context.Context, h db.DBTX, query string, want ...string) ([]string, error) {
	rows, err := h.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		want = slices.DeleteFunc(want, func(w string) bool { return w == name })
	}
	return want, rows.Err()
}
