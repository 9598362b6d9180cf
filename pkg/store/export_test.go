// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import "context"

// ExecForTest runs one statement in a transaction, to seed rows that only other parts write.
func (s *Store) ExecForTest(ctx context.Context, query string, args ...any) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.db.Exec(ctx, query, args...)
		return err
	})
}

// QueryTextForTest returns the columns of the rows as texts.
func (s *Store) QueryTextForTest(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.eng.read().Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}
