// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Read runs a query outside any transaction and calls each for every row. It is for diagnosis (doctor,
// tests); everything else has a method of its own.
func (s *Store) Read(ctx context.Context, query string, args []any, each func(scan func(...any) error) error) error {
	return s.err(rowQuery{query, args, each}.run(ctx, s.eng.read()))
}

// rowQuery is a query and what to do with each row of its answer.
type rowQuery struct {
	query string
	args  []any
	each  func(scan func(...any) error) error
}

func (q rowQuery) run(ctx context.Context, h db.DBTX) error {
	rows, err := h.Query(ctx, q.query, q.args...)
	if err != nil {
		return err
	}
	return q.scan(rows)
}

// scan reads the answer.
func (q rowQuery) scan(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		if err := q.each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
