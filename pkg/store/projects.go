// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// ProjectBySlug returns a project, archived ones included; domain.ErrNotFound when there is none.
func (s *Store) ProjectBySlug(ctx context.Context, slug string) (Project, error) {
	p, err := s.q.ProjectBySlug(ctx, s.eng.read(), db.ProjectBySlugParams{Slug: slug})
	return p, s.err(err)
}

// ProjectByID returns a project by its inner key.
func (s *Store) ProjectByID(ctx context.Context, id int64) (Project, error) {
	p, err := s.q.ProjectByID(ctx, s.eng.read(), db.ProjectByIDParams{ID: id})
	return p, s.err(err)
}

// ProjectByUID returns a project by its public id.
func (s *Store) ProjectByUID(ctx context.Context, uid uuid.UUID) (Project, error) {
	p, err := s.q.ProjectByUID(ctx, s.eng.read(), db.ProjectByUIDParams{UID: uid})
	return p, s.err(err)
}

// ActiveProjects lists projects that are not archived, by slug.
func (s *Store) ActiveProjects(ctx context.Context, limit int64) ([]Project, error) {
	ps, err := s.q.ListActiveProjects(ctx, s.eng.read(), db.ListActiveProjectsParams{MaxRows: limit})
	return ps, s.err(err)
}

// NewProject holds the fields of CreateProject; UID is minted when it is zero.
type NewProject struct {
	UID                                 uuid.UUID
	Slug, Name                          string
	Description                         *string
	Environment, Timezone, DefaultOwner string
	AllowedSchedulers                   *string
}

// CreateProject adds a project; domain.ErrConflict when the slug is in use.
func (tx *Tx) CreateProject(ctx context.Context, n NewProject) (Project, error) {
	if n.UID == uuid.Nil {
		n.UID = uuid.New()
	}
	p, err := tx.s.q.CreateProject(ctx, tx.db, db.CreateProjectParams{
		UID: n.UID, Slug: n.Slug, Name: n.Name, Description: n.Description, Environment: n.Environment,
		Timezone: n.Timezone, DefaultSchedulerOwner: n.DefaultOwner, AllowedSchedulers: n.AllowedSchedulers, Now: tx.s.Now(),
	})
	if err != nil {
		return Project{}, fmt.Errorf("create project %q: %w", n.Slug, tx.s.err(err))
	}
	return p, nil
}

// UpdateProject stores a project's settings and slug; domain.ErrConflict when the slug is in use.
func (tx *Tx) UpdateProject(ctx context.Context, p Project) (Project, error) {
	p, err := tx.s.q.UpdateProject(ctx, tx.db, db.UpdateProjectParams{
		ID: p.ID, Slug: p.Slug, Name: p.Name, Description: p.Description, Environment: p.Environment, Timezone: p.Timezone,
		DefaultSchedulerOwner: p.DefaultSchedulerOwner, AllowedSchedulers: p.AllowedSchedulers, Now: tx.s.Now(),
	})
	return p, tx.s.err(err)
}

// ArchiveProject hides a project; changed is false when it was archived before.
func (tx *Tx) ArchiveProject(ctx context.Context, id int64) (changed bool, err error) {
	n, err := tx.s.q.ArchiveProject(ctx, tx.db, db.ArchiveProjectParams{ID: id, Now: tx.s.Now()})
	return n > 0, tx.s.err(err)
}

// LockActiveProjects takes the rows of all active projects until the transaction ends and counts them, so that
// two archivings cannot together leave none.
func (tx *Tx) LockActiveProjects(ctx context.Context) (int64, error) {
	n, err := tx.s.q.LockActiveProjects(ctx, tx.db)
	return n, tx.s.err(err)
}
