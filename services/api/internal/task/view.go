// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/taskquery"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// viewOps are the operations about saved views.
func (g *group) viewOps() []rest.Op {
	const tag = "saved-views"
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/saved-views", ID: "list_saved_views", Tag: tag, Action: auth.SavedViewUse,
		Summary: "List the caller's saved views of the project, by name", Access: rest.Session, Response: []SavedViewPublic{},
		Status: http.StatusOK, Handle: g.listViews,
	}, {
		Method: http.MethodPost, Path: "/projects/{slug}/saved-views", ID: "create_saved_view", Tag: tag, Action: auth.SavedViewUse,
		Summary: "Save filters of the task list under a name", Access: rest.Session, Body: SavedViewWrite{}, Response: SavedViewPublic{},
		Status: http.StatusCreated, Handle: g.createView, Errors: []int{http.StatusConflict},
	}, {
		Method: http.MethodPut, Path: "/projects/{slug}/saved-views/{view_id}", ID: "update_saved_view", Tag: tag, Action: auth.SavedViewUse,
		Summary: "Change a saved view", Access: rest.Session, Body: SavedViewWrite{}, Response: SavedViewPublic{}, Status: http.StatusOK,
		Handle: g.updateView, Errors: []int{http.StatusConflict},
	}, {
		Method: http.MethodDelete, Path: "/projects/{slug}/saved-views/{view_id}", ID: "delete_saved_view", Tag: tag, Action: auth.SavedViewUse,
		Summary: "Delete a saved view", Access: rest.Session, Status: http.StatusNoContent, Handle: g.deleteView,
	}}
}

// SavedTaskFilters are the filters of a saved view.
type SavedTaskFilters struct {
	_ struct{} `extra:"forbid"`

	State    *string  `json:"state" validate:"oneof=pending|received|started|success|failure|retry|revoked|rejected|unknown"`
	Priority []string `json:"priority" validate:"max=4"`
	Search   string   `json:"search" validate:"max=200"`
	Query    string   `json:"query,omitempty" validate:"max=2000" doc:"a text of the filter language"`
}

func (f *SavedTaskFilters) check(faults *httpx.Faults) {
	for i, name := range f.Priority {
		if !slices.Contains(priorityNames(), name) {
			faults.Add("enum", "Input should be 'critical', 'high', 'normal' or 'low'", "filters", "priority", i)
		}
	}
	if _, err := taskquery.Parse(f.Query); err != nil {
		faults.Add("value_error", "Value error, "+err.Error(), "filters", "query")
	}
	for name, text := range map[string]string{"search": f.Search, "query": f.Query} {
		if strings.ContainsRune(text, 0) {
			faults.Add("value_error", "Value error, the text holds a NUL character: take it out", "filters", name)
		}
	}
}

// SavedViewWrite is a view to keep.
type SavedViewWrite struct {
	_ struct{} `extra:"forbid"`

	Name    string           `json:"name" validate:"required,min=1,max=80"`
	Filters SavedTaskFilters `json:"filters" validate:"required"`
}

// Validate implements httpx.Validator.
func (b *SavedViewWrite) Validate(faults *httpx.Faults) {
	if b.Name != "" && strings.TrimSpace(b.Name) == "" {
		faults.Add("value_error", "Value error, the name is blank", "name")
	}
	if strings.ContainsFunc(b.Name, func(r rune) bool { return r < ' ' }) {
		faults.Add("value_error", "Value error, the name holds a control character", "name")
	}
	b.Filters.check(faults)
}

// SavedViewPublic is a saved view.
type SavedViewPublic struct {
	Name      string           `json:"name"`
	Filters   SavedTaskFilters `json:"filters"`
	ID        uuid.UUID        `json:"id"`
	CreatedAt httpx.Time       `json:"created_at"`
	UpdatedAt httpx.Time       `json:"updated_at"`
}

func publicView(v *store.SavedView) (SavedViewPublic, error) {
	out := SavedViewPublic{Name: v.Name, ID: v.ID, CreatedAt: httpx.NewTime(v.CreatedAt), UpdatedAt: httpx.NewTime(v.UpdatedAt)}
	if err := json.Unmarshal([]byte(v.Filters), &out.Filters); err != nil {
		return out, fmt.Errorf("read saved view %s: %w", v.ID, err)
	}
	if out.Filters.Priority == nil {
		out.Filters.Priority = []string{}
	}
	return out, nil
}

func (g *group) listViews(r *rest.Request) (any, error) {
	views, err := g.cfg.Store.SavedViews(r.Context(), r.Project.ID, r.User.ID)
	if err != nil {
		return nil, err
	}
	out := make([]SavedViewPublic, len(views))
	for i := range views {
		if out[i], err = publicView(&views[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (g *group) newView(r *rest.Request) (store.NewSavedView, error) {
	b := rest.Body[SavedViewWrite](r)
	// The order is that of the priorities, so that equal views look equal.
	b.Filters.Priority = slices.DeleteFunc(priorityNames(), func(name string) bool { return !slices.Contains(b.Filters.Priority, name) })
	filters, err := json.Marshal(b.Filters)
	return store.NewSavedView{ProjectID: r.Project.ID, UserID: r.User.ID, Name: strings.TrimSpace(b.Name), Filters: string(filters)}, err
}

func (g *group) createView(r *rest.Request) (any, error) {
	n, err := g.newView(r)
	if err != nil {
		return nil, err
	}
	return g.changeView(r, "saved_view.created", func(ctx context.Context, tx *store.Tx) (store.SavedView, error) { return tx.CreateSavedView(ctx, n) })
}

func (g *group) updateView(r *rest.Request) (any, error) {
	n, err := g.newView(r)
	if err != nil {
		return nil, err
	}
	return g.changeView(r, "saved_view.updated", func(ctx context.Context, tx *store.Tx) (store.SavedView, error) {
		return tx.UpdateSavedView(ctx, r.ID("view_id"), n)
	})
}

func (g *group) deleteView(r *rest.Request) (any, error) {
	_, err := g.changeView(r, "saved_view.deleted", func(ctx context.Context, tx *store.Tx) (store.SavedView, error) {
		return tx.DeleteSavedView(ctx, r.ID("view_id"), r.Project.ID, r.User.ID)
	})
	return nil, err
}

// changeView writes a view with its audit record. Views are personal, so somebody else's looks like none.
func (g *group) changeView(r *rest.Request, action string, write func(context.Context, *store.Tx) (store.SavedView, error)) (any, error) {
	var v store.SavedView
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		if v, err = write(ctx, tx); err != nil {
			return err
		}
		entry := r.Audit(action, "saved_view", v.ID.String())
		entry.Metadata = map[string]any{"name": v.Name}
		return tx.Audit(ctx, entry)
	})
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return nil, domain.Errorf(domain.CodeNotFound, "saved view not found")
	case errors.Is(err, domain.ErrConflict):
		return nil, domain.Errorf(domain.CodeConflict, "you have a saved view with this name in this project already; choose another name, or change that view")
	case err != nil:
		return nil, err
	}
	return publicView(&v)
}
