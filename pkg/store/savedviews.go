// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// SavedView are filters that a user keeps under a name.
type SavedView = db.SavedView

// MaxSavedViews is how many views a user may keep of a page of a project.
const MaxSavedViews = 100

// taskPage is the page whose views these are.
const taskPage = "tasks"

// SavedViews lists a user's views of a project, by name.
func (s *Store) SavedViews(ctx context.Context, projectID int64, userID uuid.UUID) ([]SavedView, error) {
	list, err := s.q.ListSavedViews(ctx, s.eng.read(), db.ListSavedViewsParams{
		ProjectID: projectID, UserID: userID, Page: taskPage, MaxRows: MaxSavedViews,
	})
	if err != nil {
		return nil, fmt.Errorf("list saved views: %w", s.err(err))
	}
	return list, nil
}

// NewSavedView is a view to keep.
type NewSavedView struct {
	ProjectID int64
	UserID    uuid.UUID
	Name      string
	// Filters is a JSON object.
	Filters string
}

// CreateSavedView keeps a view; domain.ErrConflict when the user has one of that name, in any case.
func (tx *Tx) CreateSavedView(ctx context.Context, n NewSavedView) (SavedView, error) {
	list, err := tx.s.q.ListSavedViews(ctx, tx.db, db.ListSavedViewsParams{
		ProjectID: n.ProjectID, UserID: n.UserID, Page: taskPage, MaxRows: MaxSavedViews,
	})
	if err != nil {
		return SavedView{}, fmt.Errorf("count saved views: %w", tx.s.err(err))
	}
	if len(list) >= MaxSavedViews {
		return SavedView{}, domain.Errorf(domain.CodeConflict, "at most %d views can be saved in a project; delete one that is not needed any more", MaxSavedViews)
	}
	v, err := tx.s.q.CreateSavedView(ctx, tx.db, db.CreateSavedViewParams{
		ID: uuid.New(), ProjectID: n.ProjectID, UserID: n.UserID, Name: n.Name, NameKey: strings.ToLower(n.Name), Page: taskPage,
		Filters: n.Filters, Now: tx.s.Now(),
	})
	if err != nil {
		return SavedView{}, fmt.Errorf("save view: %w", tx.s.err(err))
	}
	return v, nil
}

// UpdateSavedView changes a view; domain.ErrNotFound when it is not the user's, domain.ErrConflict when another has the name.
func (tx *Tx) UpdateSavedView(ctx context.Context, id uuid.UUID, n NewSavedView) (SavedView, error) {
	v, err := tx.s.q.UpdateSavedView(ctx, tx.db, db.UpdateSavedViewParams{
		ID: id, ProjectID: n.ProjectID, UserID: n.UserID, Name: n.Name, NameKey: strings.ToLower(n.Name), Page: taskPage,
		Filters: n.Filters, Now: tx.s.Now(),
	})
	if err != nil {
		return SavedView{}, fmt.Errorf("change saved view: %w", tx.s.err(err))
	}
	return v, nil
}

// DeleteSavedView deletes a view; domain.ErrNotFound when it is not the user's.
func (tx *Tx) DeleteSavedView(ctx context.Context, id uuid.UUID, projectID int64, userID uuid.UUID) (SavedView, error) {
	v, err := tx.s.q.DeleteSavedView(ctx, tx.db, db.DeleteSavedViewParams{ID: id, ProjectID: projectID, UserID: userID, Page: taskPage})
	if err != nil {
		return SavedView{}, fmt.Errorf("delete saved view: %w", tx.s.err(err))
	}
	return v, nil
}
