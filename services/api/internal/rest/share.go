// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
)

// maxShared bounds the answers that are kept: what is beyond is computed for its caller alone.
const maxShared = 128

// shares holds answers for callers who ask the same. It is safe for concurrent use.
type shares struct {
	mu      sync.Mutex
	answers map[shareKey]*share
	// used is when answers of the projects whose hints are listened to were last asked for.
	used map[int64]time.Time
	// listen begins to listen to a project's hints; nil while nobody does.
	listen func(project int64)
}

// shareKey is what an answer depends on: the address with its query, and the project, or the caller where there is none; for some
// also what the caller may do.
type shareKey struct {
	path, query string
	project     int64
	user        uuid.UUID
	role        domain.Role
	admin       bool
}

// encoded is an answer in JSON.
type encoded []byte

// share is an answer that is there when done is closed.
type share struct {
	done chan struct{}
	out  encoded
	err  error
}

// keyOf says what the answer to a call depends on.
func keyOf(op *Op, r *Request) (shareKey, error) {
	query, err := json.Marshal(r.query)
	if err != nil {
		return shareKey{}, fmt.Errorf("encode the query of %s: %w", op.ID, err)
	}
	key := shareKey{path: r.HTTP.URL.Path, query: string(query), project: r.Project.ID}
	if !op.project() {
		key.user = r.User.ID
	}
	if op.ShareByRole {
		key.role, key.admin = r.Role, r.User.IsAdmin
	}
	return key, nil
}

// get answers a call with what compute returns, or returned to another caller: with an answer whose computing began at
// most maxAge ago. compute goes on when its caller leaves, because others may wait for it; timeout bounds it, 0 does not.
func (s *shares) get(ctx context.Context, key shareKey, maxAge, timeout time.Duration, compute func(context.Context) (encoded, error)) (encoded, error) {
	s.mu.Lock()
	a, found := s.answers[key]
	s.use(key.project)
	if !found {
		if len(s.answers) >= maxShared {
			s.mu.Unlock()
			return compute(ctx)
		}
		a = &share{done: make(chan struct{}), err: errAborted}
		if s.answers == nil {
			s.answers = make(map[shareKey]*share)
		}
		s.answers[key] = a
	}
	s.mu.Unlock()
	if !found {
		ctx := context.WithoutCancel(ctx)
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		s.fill(ctx, key, a, maxAge, compute)
		return a.out, a.err
	}
	select {
	case <-a.done:
		return a.out, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errAborted is what waiting callers get when computing panicked.
var errAborted = errors.New("the computation of this answer was aborted")

func (s *shares) fill(ctx context.Context, key shareKey, a *share, maxAge time.Duration, compute func(context.Context) (encoded, error)) {
	end := time.Now().Add(maxAge)
	defer func() {
		close(a.done)
		if left := time.Until(end); a.err == nil && left > 0 {
			time.AfterFunc(left, func() { s.drop(key, a) })
		} else {
			s.drop(key, a)
		}
	}()
	a.out, a.err = compute(ctx)
}

func (s *shares) drop(key shareKey, a *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers[key] == a {
		delete(s.answers, key)
	}
}

// forget drops what may depend on a project, everything for project 0: who changed something, or heard that something
// changed, must not be answered with how it was before.
func (s *shares) forget(project int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.answers {
		if project == 0 || key.project == 0 || key.project == project {
			delete(s.answers, key)
		}
	}
}

// use notes that a project's answers are asked for, and has its hints listened to. The caller holds mu.
func (s *shares) use(project int64) {
	if s.listen == nil || project == 0 {
		return
	}
	if _, listening := s.used[project]; !listening {
		s.listen(project)
	}
	s.used[project] = time.Now()
}

// unused ends the listening to a project whose answers nobody has asked for in a while.
func (s *shares) unused(project int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.used[project]) < listenFor {
		return false
	}
	delete(s.used, project)
	return true
}

// listenFor is how long a project's hints are listened to after the last question.
const listenFor = time.Minute

// Subscriber is where hints come from.
type Subscriber interface {
	Subscribe(ctx context.Context, topics ...bus.Topic) (bus.Subscription, error)
}

// Run listens to the hints of the projects whose answers are shared, until ctx ends: an answer from before a change is
// not shared after the hint of it. Without it, and where a hint is lost, answers are shared until they are too old.
func (rt *Router) Run(ctx context.Context, hints Subscriber) error {
	var listening sync.WaitGroup
	s := &rt.shares
	s.mu.Lock()
	s.used = make(map[int64]time.Time)
	s.listen = func(project int64) { listening.Go(func() { s.follow(ctx, hints, project) }) }
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.listen = nil
	s.mu.Unlock()
	listening.Wait()
	return nil
}

// follow drops a project's answers at each hint.
func (s *shares) follow(ctx context.Context, hints Subscriber, project int64) {
	sub, err := hints.Subscribe(ctx, bus.ProjectTasks(project), bus.ProjectCommands(project), bus.ProjectAgents(project))
	if err != nil {
		// The bus is closed: the process ends.
		s.mu.Lock()
		delete(s.used, project)
		s.mu.Unlock()
		return
	}
	defer sub.Close()
	s.forget(project) // what began before this may have missed a hint
	idle := time.NewTicker(listenFor)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-sub.C():
			if !open {
				return
			}
			s.forget(project)
		case <-idle.C:
			if s.unused(project) {
				return
			}
		}
	}
}
