// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Start is the start of processes of an agent in one minute, or the first sight of a worker.
type Start struct {
	At    time.Time
	Agent bool
	Name  string
	// N is how many processes started.
	N int64
}

// Starts returns what started in a window, oldest first and of more than limit the newest.
func (s *Store) Starts(ctx context.Context, projectID int64, from, to time.Time, limit int) ([]Start, error) {
	// Processes of one start come by the dozen.
	rows, err := s.q.AgentStarts(ctx, s.eng.read(), db.AgentStartsParams{ProjectID: projectID, FromAt: &from, UntilAt: &to, MaxRows: int64(limit) * 20})
	if err != nil {
		return nil, fmt.Errorf("list starts of agents: %w", s.err(err))
	}
	type minute struct {
		at   int64
		name string
	}
	var out []Start
	seen := make(map[minute]int)
	for _, r := range rows {
		at := value(r.StartedAt).UTC()
		k := minute{bucketOf(at, RollupMinute).Unix(), r.Name}
		if i, ok := seen[k]; ok {
			out[i].N++
			continue
		}
		seen[k] = len(out)
		out = append(out, Start{At: at, Agent: true, Name: r.Name, N: 1})
	}
	firsts, err := s.q.WorkerFirsts(ctx, s.eng.read(), db.WorkerFirstsParams{ProjectID: projectID, FromAt: from, UntilAt: to, MaxRows: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("list first sights of workers: %w", s.err(err))
	}
	for _, w := range firsts {
		out = append(out, Start{At: w.CreatedAt.UTC(), Name: w.Name, N: 1})
	}
	slices.SortStableFunc(out, func(a, b Start) int { return a.At.Compare(b.At) })
	return out[max(0, len(out)-limit):], nil
}

// CountOpenIssues counts a project's groups of failures that have tasks still in failure, up to limit.
func (s *Store) CountOpenIssues(ctx context.Context, projectID, limit int64) (int64, error) {
	n, err := s.q.CountOpenIssues(ctx, s.eng.read(), db.CountOpenIssuesParams{ProjectID: projectID, MaxRows: limit})
	return n, s.err(err)
}
