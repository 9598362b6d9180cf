// SPDX-License-Identifier: AGPL-3.0-or-later

// Package scrape answers scrapers with figures out of the database: gauges of the whole installation for /metrics, and
// what celery-exporter and Flower would say for /metrics/celery and /metrics/flower. It reads counters and small tables,
// keeps what it read for some seconds, and never lets a scrape wait for a database that is away.
package scrape

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Lifetimes of what was read.
const (
	// fresh is how long it is served without reading anew, and how long after a failure nobody tries again.
	fresh = 5 * time.Second
	// stale is how long it is served when it can't be read anew: after that the figures are left out.
	stale = 5 * time.Minute
	// patience is how long a scrape waits for the database.
	patience = time.Second
)

// cache holds the last answer of load. It is safe for concurrent use.
type cache[T any] struct {
	load func(ctx context.Context) (T, error)
	what string
	log  *slog.Logger
	now  func() time.Time

	mu    sync.Mutex
	value T
	read  time.Time
	tried time.Time
}

// get returns the value and when it was read; ok is false when there is none that is worth showing.
func (c *cache[T]) get() (value T, read time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.tried) >= fresh || now.Before(c.tried) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		v, err := c.load(ctx)
		cancel()
		c.tried = c.now()
		if err == nil {
			c.value, c.read = v, c.tried
		} else {
			c.log.Warn("metrics could not be read from the database", "what", c.what, "err", err)
		}
	}
	return c.value, c.read, !c.read.IsZero() && c.now().Sub(c.read) < stale
}
