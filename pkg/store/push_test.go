// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"context"
	"testing"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

func TestChangeMarks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		var project store.Project
		inTx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			_, project, err = tx.CreateFirstAdmin(ctx, store.NewUser{Email: "a@example.com", PasswordHash: "x"})
			return err
		})
		before, err := s.ChangeMarks(ctx, project.ID)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.ChangeMarks(ctx, project.ID); err != nil || again != before {
			t.Errorf("marks moved by themselves: %+v, %+v, %v", before, again, err)
		}
		inTx(t, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateAgent(ctx, project.ID, "web", "hash")
			return err
		})
		after, err := s.ChangeMarks(ctx, project.ID)
		if err != nil || after.Agents == before.Agents || after.Tasks != before.Tasks {
			t.Errorf("marks after a new agent: %+v, before %+v, %v", after, before, err)
		}
		if depths, err := s.QueueDepths(ctx, 10); err != nil || len(depths) != 0 {
			t.Errorf("queue depths %+v, %v", depths, err)
		}
	})
}
