// SPDX-License-Identifier: AGPL-3.0-or-later

// Package project holds the operations about projects and the agents in them.
package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Hints tells other parts at once what they would find out by polling.
type Hints interface {
	AgentRevoked(ctx context.Context, projectID, agentID int64)
	AgentsChanged(ctx context.Context, projectID int64)
	ProjectArchived(ctx context.Context, projectID int64)
}

// Config is what the operations work with.
type Config struct {
	Store   *store.Store
	Keyring *auth.Keyring
	// Secret is the master secret, from which a project's signing key comes.
	Secret []byte
	Hints  Hints
	Logger *slog.Logger
	// MaxProjects bounds the list of projects.
	MaxProjects int
}

type group struct{ cfg Config }

// Ops returns the group's operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg}
	return slices.Concat(g.projectOps(), g.agentOps(), g.permissionOps())
}

// ProjectPublic is a project.
type ProjectPublic struct {
	ID                    uuid.UUID  `json:"id"`
	Slug                  string     `json:"slug"`
	Name                  string     `json:"name"`
	Description           *string    `json:"description"`
	Environment           string     `json:"environment"`
	Timezone              string     `json:"timezone"`
	IsActive              bool       `json:"is_active"`
	DefaultSchedulerOwner string     `json:"default_scheduler_owner"`
	AllowedSchedulers     *[]string  `json:"allowed_schedulers"`
	CreatedAt             httpx.Time `json:"created_at"`
	UpdatedAt             httpx.Time `json:"updated_at"`
}

func projectPublic(p store.Project) (ProjectPublic, error) {
	out := ProjectPublic{
		ID: p.UID, Slug: p.Slug, Name: p.Name, Description: p.Description, Environment: p.Environment, Timezone: p.Timezone,
		IsActive: p.IsActive, DefaultSchedulerOwner: p.DefaultSchedulerOwner,
		CreatedAt: httpx.NewTime(p.CreatedAt), UpdatedAt: httpx.NewTime(p.UpdatedAt),
	}
	if p.AllowedSchedulers != nil {
		var list []string
		if err := json.Unmarshal([]byte(*p.AllowedSchedulers), &list); err != nil {
			return out, fmt.Errorf("project %s: stored list of schedulers: %w", p.Slug, err)
		}
		out.AllowedSchedulers = &list
	}
	return out, nil
}

// CreateProjectRequest adds a project.
type CreateProjectRequest struct {
	Slug                  string    `json:"slug" validate:"required,min=3,max=50" pattern:"^[a-z0-9][a-z0-9-]{1,48}[a-z0-9]$"`
	Name                  string    `json:"name" validate:"required,min=1,max=200"`
	Description           *string   `json:"description" validate:"max=2000"`
	Environment           string    `json:"environment" validate:"max=40" pattern:"^[a-z][a-z0-9_-]{0,39}$" default:"production"`
	Timezone              string    `json:"timezone" validate:"max=64" default:"UTC"`
	DefaultSchedulerOwner string    `json:"default_scheduler_owner" validate:"max=40" pattern:"^[a-z][a-z0-9_-]{0,39}$" default:"z4j-scheduler"`
	AllowedSchedulers     *[]string `json:"allowed_schedulers" validate:"max=32"`
}

// Validate implements httpx.Validator.
func (r *CreateProjectRequest) Validate(faults *httpx.Faults) {
	checkTimezone(faults, &r.Timezone)
}

// UpdateProjectRequest changes what is given and not null; allowed_schedulers null lifts the restriction.
type UpdateProjectRequest struct {
	Slug                  *string      `json:"slug" validate:"min=3,max=50" pattern:"^[a-z0-9][a-z0-9-]{1,48}[a-z0-9]$"`
	Name                  *string      `json:"name" validate:"min=1,max=200"`
	Description           *string      `json:"description" validate:"max=2000"`
	Environment           *string      `json:"environment" validate:"max=40" pattern:"^[a-z][a-z0-9_-]{0,39}$"`
	Timezone              *string      `json:"timezone" validate:"max=64"`
	DefaultSchedulerOwner *string      `json:"default_scheduler_owner" validate:"max=40" pattern:"^[a-z][a-z0-9_-]{0,39}$"`
	AllowedSchedulers     optionalList `json:"allowed_schedulers" validate:"max=32"`
}

// Validate implements httpx.Validator.
func (r *UpdateProjectRequest) Validate(faults *httpx.Faults) {
	checkTimezone(faults, r.Timezone)
	if len(r.AllowedSchedulers.List) > 32 {
		faults.Add("too_long", "List should have at most 32 items after validation", "allowed_schedulers")
	}
}

// optionalList tells a list from null and from nothing.
type optionalList struct {
	Given bool
	Null  bool
	List  []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *optionalList) UnmarshalJSON(data []byte) error {
	o.Given = true
	o.Null = string(data) == "null"
	return json.Unmarshal(data, &o.List)
}

// NullAware implements httpx.NullAware.
func (*optionalList) NullAware() {}

// Schema describes the list for the OpenAPI document.
func (optionalList) Schema() map[string]any {
	return map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"type": "string"}, "maxItems": 32}
}

func checkTimezone(faults *httpx.Faults, name *string) {
	if name == nil {
		return
	}
	if _, err := time.LoadLocation(*name); err != nil || *name == "" || *name == "Local" {
		faults.Add("value_error", "Value error, not a known time zone: use an IANA name such as Europe/Berlin or UTC", "timezone")
	}
}

func (g *group) projectOps() []rest.Op {
	conflict := http.StatusConflict
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects", ID: "list_projects", Tag: "projects",
		Summary: "The caller's active projects; every active project for an instance admin.",
		Action:  auth.ProjectList, Access: rest.Session, Response: []ProjectPublic{}, Status: http.StatusOK, Handle: g.list,
	}, {
		Method: http.MethodPost, Path: "/projects", ID: "create_project", Tag: "projects", Summary: "Add a project.",
		Action: auth.ProjectCreate, Access: rest.Session, Body: CreateProjectRequest{}, Response: ProjectPublic{},
		Status: http.StatusCreated, Errors: []int{conflict}, Handle: g.create,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}", ID: "get_project", Tag: "projects",
		Action: auth.ProjectRead, Access: rest.Session, Response: ProjectPublic{}, Status: http.StatusOK,
		Handle: func(r *rest.Request) (any, error) { return projectPublic(r.Project) },
	}, {
		Method: http.MethodPatch, Path: "/projects/{slug}", ID: "update_project", Tag: "projects", Summary: "Change or rename a project.",
		Action: auth.ProjectUpdate, Access: rest.Session, Body: UpdateProjectRequest{}, Response: ProjectPublic{},
		Status: http.StatusOK, Errors: []int{conflict}, Handle: g.update,
	}, {
		Method: http.MethodDelete, Path: "/projects/{slug}", ID: "archive_project", Tag: "projects",
		Summary: "Archive a project: it is hidden and its agents are disconnected; nothing is deleted.",
		Action:  auth.ProjectArchive, Access: rest.Session, Status: http.StatusNoContent, Errors: []int{conflict}, Archived: true,
		Handle: g.archive,
	}}
}

func (g *group) list(r *rest.Request) (any, error) {
	var list []store.Project
	var err error
	if r.User.IsAdmin {
		list, err = g.cfg.Store.ActiveProjects(r.Context(), int64(g.cfg.MaxProjects))
	} else {
		list, err = g.cfg.Store.UserProjects(r.Context(), r.User.ID, int64(g.cfg.MaxProjects))
	}
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	out := make([]ProjectPublic, 0, len(list))
	for _, p := range list {
		item, err := projectPublic(p)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

// checkSchedulers refuses a list that its own default owner is not in, and an empty one.
func checkSchedulers(owner string, allowed []string) error {
	switch {
	case allowed == nil:
		return nil
	case len(allowed) == 0:
		return domain.Errorf(domain.CodeConflict, "allowed_schedulers cannot be an empty list (use null to remove the restriction)").
			With("allowed_schedulers", []string{})
	case !slices.Contains(allowed, owner):
		return domain.Errorf(domain.CodeConflict, "default_scheduler_owner must be in allowed_schedulers when both are set").
			With("default_scheduler_owner", owner).With("allowed_schedulers", allowed)
	}
	return nil
}

func encodeList(list []string) (*string, error) {
	if list == nil {
		return nil, nil
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	text := string(raw)
	return &text, nil
}

func slugTaken(slug string) error {
	return domain.Errorf(domain.CodeConflict, "project slug already in use").With("slug", slug)
}

func (g *group) create(r *rest.Request) (any, error) {
	in := rest.Body[CreateProjectRequest](r)
	var allowed []string
	if in.AllowedSchedulers != nil {
		allowed = *in.AllowedSchedulers
		if allowed == nil {
			allowed = []string{}
		}
	}
	if err := checkSchedulers(in.DefaultSchedulerOwner, allowed); err != nil {
		return nil, err
	}
	stored, err := encodeList(allowed)
	if err != nil {
		return nil, err
	}
	var p store.Project
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		p, err = tx.CreateProject(ctx, store.NewProject{
			Slug: in.Slug, Name: in.Name, Description: in.Description, Environment: in.Environment, Timezone: in.Timezone,
			DefaultOwner: in.DefaultSchedulerOwner, AllowedSchedulers: stored,
		})
		if err != nil {
			return err
		}
		e := r.Audit("project.created", "project", p.UID.String())
		e.ProjectUID, e.Metadata = p.UID, map[string]any{"slug": p.Slug, "name": p.Name}
		return tx.Audit(ctx, e)
	})
	if errors.Is(err, domain.ErrConflict) {
		return nil, slugTaken(in.Slug)
	}
	if err != nil {
		return nil, err
	}
	return projectPublic(p)
}

func (g *group) update(r *rest.Request) (any, error) {
	in := rest.Body[UpdateProjectRequest](r)
	var p store.Project
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := tx.LockProject(ctx, r.Project.ID); err != nil {
			return err
		}
		p = r.Project
		changed, err := in.apply(&p)
		if err != nil {
			return err
		}
		if p, err = tx.UpdateProject(ctx, p); err != nil {
			return err
		}
		e := r.Audit("project.updated", "project", p.UID.String())
		e.Metadata = map[string]any{"fields": changed, "slug": p.Slug}
		if p.Slug != r.Project.Slug {
			e.Metadata["old_slug"] = r.Project.Slug
		}
		return tx.Audit(ctx, e)
	})
	if errors.Is(err, domain.ErrConflict) {
		return nil, slugTaken(p.Slug)
	}
	if err != nil {
		return nil, err
	}
	return projectPublic(p)
}

// apply puts the given values into p and names those that changed.
func (r *UpdateProjectRequest) apply(p *store.Project) (changed []string, err error) {
	text := func(field *string, value *string, name string) {
		if value != nil && *value != *field {
			*field, changed = *value, append(changed, name)
		}
	}
	text(&p.Slug, r.Slug, "slug")
	text(&p.Name, r.Name, "name")
	text(&p.Environment, r.Environment, "environment")
	text(&p.Timezone, r.Timezone, "timezone")
	text(&p.DefaultSchedulerOwner, r.DefaultSchedulerOwner, "default_scheduler_owner")
	if r.Description != nil && (p.Description == nil || *p.Description != *r.Description) {
		p.Description, changed = r.Description, append(changed, "description")
	}
	current, err := projectPublic(*p)
	if err != nil {
		return nil, err
	}
	var allowed []string
	switch {
	case r.AllowedSchedulers.Given && !r.AllowedSchedulers.Null:
		allowed = r.AllowedSchedulers.List
	case !r.AllowedSchedulers.Given && current.AllowedSchedulers != nil:
		allowed = *current.AllowedSchedulers
	}
	if err := checkSchedulers(p.DefaultSchedulerOwner, allowed); err != nil {
		return nil, err
	}
	if r.AllowedSchedulers.Given {
		changed = append(changed, "allowed_schedulers")
		p.AllowedSchedulers, err = encodeList(allowed)
	}
	return changed, err
}

func (g *group) archive(r *rest.Request) (any, error) {
	changed := false
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.LockActiveProjects(ctx)
		if err != nil {
			return err
		}
		if r.Project.IsActive && n <= 1 {
			return domain.Errorf(domain.CodeConflict, "cannot archive the last active project: create another one first").
				With("slug", r.Project.Slug)
		}
		if changed, err = tx.ArchiveProject(ctx, r.Project.ID); err != nil || !changed {
			return err
		}
		e := r.Audit("project.archived", "project", r.Project.UID.String())
		e.Metadata = map[string]any{"slug": r.Project.Slug}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("archive project: %w", err)
	}
	if changed {
		g.cfg.Hints.ProjectArchived(r.Context(), r.Project.ID)
	}
	return nil, nil
}
