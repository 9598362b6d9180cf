// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
)

// Who asks for a page asks for the next one soon: each request of a browser wants the same session, project and role, each a
// journey to the server of PostgreSQL that costs more than the page. For reads they may be a moment old. Whatever changes them
// in this process is seen at once, what another process changes within accessFor.
const (
	accessFor = time.Second
	// maxAccess bounds what is remembered of each.
	maxAccess = 10_000
)

// access remembers sessions, projects and roles. Its zero value is ready, also for concurrent use.
type access struct {
	sessions memo[string, sessionUser]
	projects memo[string, Project]
	roles    memo[memberOf, domain.Role]
}

type sessionUser struct {
	session Session
	user    User
}

type memberOf struct {
	user    uuid.UUID
	project int64
}

// forget is called after each transaction of this process that may have changed one of them.
func (a *access) forget() {
	a.sessions.forget()
	a.projects.forget()
	a.roles.forget()
}

// memo remembers values for accessFor.
type memo[K comparable, V any] struct {
	mu sync.Mutex
	// changes counts calls of forget: what was read before one is not kept after it.
	changes uint64
	values  map[K]memoized[V]
}

type memoized[V any] struct {
	value V
	until time.Time
}

func (m *memo[K, V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	clear(m.values)
}

// get returns the value of key, from read when it is not known. Errors are not remembered.
func (m *memo[K, V]) get(key K, read func() (V, error)) (V, error) {
	now := time.Now()
	m.mu.Lock()
	changes := m.changes
	v, ok := m.values[key]
	m.mu.Unlock()
	if ok && now.Before(v.until) {
		return v.value, nil
	}
	value, err := read()
	if err != nil {
		return value, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changes != changes {
		return value, nil
	}
	if m.values == nil {
		m.values = make(map[K]memoized[V])
	} else if len(m.values) >= maxAccess {
		clear(m.values)
	}
	// As old as the moment in which it was asked for.
	m.values[key] = memoized[V]{value, now.Add(accessFor)}
	return value, nil
}

// RecentSession is SessionByTokenHash for requests that change nothing: what another process did to the session or its user
// within the last second may be missing. The values are shared; do not change what they point to.
func (s *Store) RecentSession(ctx context.Context, hash string) (Session, User, error) {
	v, err := s.access.sessions.get(hash, func() (v sessionUser, err error) {
		v.session, v.user, err = s.SessionByTokenHash(ctx, hash)
		return v, err
	})
	return v.session, v.user, err
}

// ForgetRecent ends what RecentSession, RecentProject and RecentRole know: somebody has learned that it is no longer true.
func (s *Store) ForgetRecent() { s.access.forget() }

// RecentProject is ProjectBySlug for requests that change nothing; see RecentSession.
func (s *Store) RecentProject(ctx context.Context, slug string) (Project, error) {
	return s.access.projects.get(slug, func() (Project, error) { return s.ProjectBySlug(ctx, slug) })
}

// RecentRole is MemberRole for requests that change nothing; see RecentSession.
func (s *Store) RecentRole(ctx context.Context, userID uuid.UUID, projectID int64) (domain.Role, error) {
	return s.access.roles.get(memberOf{userID, projectID}, func() (domain.Role, error) { return s.MemberRole(ctx, userID, projectID) })
}
