// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// TestPreflightRefusesEarlierBuilds wants a database whose tables a build from before the release made to be refused with the way
// to move it, and one of this build to be accepted.
func TestPreflightRefusesEarlierBuilds(t *testing.T) {
	t.Parallel()
	var url string
	s := storetest.Postgres(t, func(o *store.Options) { url = o.URL })
	if err := s.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Their queue of the search index had a row a task.
	if err := storetest.Exec(t, url, "DROP TABLE search_queue", "CREATE TABLE search_queue (task_id bigint PRIMARY KEY, at timestamptz NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	err := s.Preflight(t.Context())
	if !errors.Is(err, store.ErrUnusable) || !strings.Contains(err.Error(), "z4j backup") || !strings.Contains(err.Error(), "z4j restore") {
		t.Errorf("got %v", err)
	}
}
