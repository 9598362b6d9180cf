// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// maxCachedNames bounds each direction of the cache. When it is full it starts anew: names are few
// in any sane installation, and a hostile one pays for its own misses.
const maxCachedNames = 65536

// nameCache maps interned strings both ways. Rows of names are never changed or deleted, so an
// entry can't go stale; an entry is only added after its transaction committed or from a read.
type nameCache struct {
	mu   sync.RWMutex
	ids  map[string]int64
	text map[int64]string
}

func newNameCache() *nameCache {
	return &nameCache{ids: make(map[string]int64), text: make(map[int64]string)}
}

func (c *nameCache) id(text string) (int64, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, ok := c.ids[text]
	return id, ok
}

func (c *nameCache) name(id int64) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	text, ok := c.text[id]
	return text, ok
}

func (c *nameCache) put(id int64, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) >= maxCachedNames {
		clear(c.ids)
		clear(c.text)
	}
	c.ids[text], c.text[id] = id, text
}

// NameID returns the key of an interned string; ok is false when nobody ever stored it.
func (s *Store) NameID(ctx context.Context, text string) (id int64, ok bool, err error) {
	if id, ok := s.names.id(text); ok {
		return id, true, nil
	}
	id, err = s.q.NameByText(ctx, s.eng.read(), db.NameByTextParams{Text: text})
	if err = s.err(err); errors.Is(err, domain.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look up name: %w", err)
	}
	s.names.put(id, text)
	return id, true, nil
}

// Name returns the string of an interned key, "" for 0.
func (s *Store) Name(ctx context.Context, id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	if text, ok := s.names.name(id); ok {
		return text, nil
	}
	text, err := s.q.NameByID(ctx, s.eng.read(), db.NameByIDParams{ID: id})
	if err != nil {
		return "", fmt.Errorf("look up name %d: %w", id, s.err(err))
	}
	s.names.put(id, text)
	return text, nil
}

// intern returns the key of text inside a transaction, adding it when new. The cache is filled
// only from fresh, so that a rolled-back name can't stay in it: the caller adds fresh after the commit.
func (tx *Tx) intern(ctx context.Context, text string, fresh map[string]int64) (int64, error) {
	if id, ok := tx.s.names.id(text); ok {
		return id, nil
	}
	if id, ok := fresh[text]; ok {
		return id, nil
	}
	id, err := tx.s.q.NameByText(ctx, tx.db, db.NameByTextParams{Text: text})
	if errors.Is(tx.s.err(err), domain.ErrNotFound) {
		if err = tx.s.q.InsertName(ctx, tx.db, db.InsertNameParams{Text: text}); err != nil {
			return 0, fmt.Errorf("intern name: %w", err)
		}
		id, err = tx.s.q.NameByText(ctx, tx.db, db.NameByTextParams{Text: text})
	}
	if err != nil {
		return 0, fmt.Errorf("intern name: %w", err)
	}
	fresh[text] = id
	return id, nil
}
