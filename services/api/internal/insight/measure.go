// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"context"
	"fmt"
	"math"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// TotalsPublic counts what tasks did in a window.
type TotalsPublic struct {
	Received    int64   `json:"received"`
	Started     int64   `json:"started"`
	Succeeded   int64   `json:"succeeded"`
	Failed      int64   `json:"failed"`
	Retried     int64   `json:"retried"`
	Revoked     int64   `json:"revoked"`
	FailureRate float64 `json:"failure_rate" doc:"failures of all tasks that succeeded or failed"`
}

// LatencyPublic describes measured times, true to one percent.
type LatencyPublic struct {
	N     int64 `json:"n"`
	P50MS int64 `json:"p50_ms"`
	P95MS int64 `json:"p95_ms"`
	P99MS int64 `json:"p99_ms"`
}

func totalsPublic(s *store.Sum) TotalsPublic {
	return TotalsPublic{
		Received: s.Received, Started: s.Started, Succeeded: s.Succeeded, Failed: s.Failed, Retried: s.Retried, Revoked: s.Revoked,
		FailureRate: s.FailureRate(),
	}
}

func latencyPublic(l *store.Latency) *LatencyPublic {
	if l == nil {
		return nil
	}
	return &LatencyPublic{N: l.N, P50MS: rounded(l.P50), P95MS: rounded(l.P95), P99MS: rounded(l.P99)}
}

func rounded(ms float64) int64 { return int64(math.Round(ms)) }

// query asks for sums of a window, from the start of the grain that it begins in.
func query(project int64, w rest.Window) store.SumQuery {
	from, to := w.From.Time, w.To.Time
	return store.SumQuery{ProjectID: project, From: from.UTC().Truncate(store.Grain(to.Sub(from))), To: to}
}

// whole sums a window up.
func (g *group) whole(ctx context.Context, q store.SumQuery) (*store.Sum, error) {
	sums, err := g.store.Sums(ctx, q)
	if err != nil {
		return nil, err
	}
	if s := sums[store.SumKey{}]; s != nil {
		return s, nil
	}
	return &store.Sum{}, nil
}

// keyed splits a window by task name or queue.
func (g *group) keyed(ctx context.Context, q store.SumQuery, by store.Dim) ([]keyedSum, error) {
	q.By = by
	sums, err := g.store.Sums(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]keyedSum, 0, len(sums))
	for k, s := range sums {
		out = append(out, keyedSum{key: k.Key, Sum: s})
	}
	return out, nil
}

// total adds up what a window was split into.
func total(parts []keyedSum) *store.Sum {
	out := &store.Sum{}
	for _, p := range parts {
		out.Merge(p.Sum)
	}
	return out
}

type keyedSum struct {
	key int64
	*store.Sum
}

// nameOf is the text of a key, empty for tasks of no known queue.
func (g *group) nameOf(ctx context.Context, key int64) (string, error) {
	if key == 0 {
		return "", nil
	}
	text, err := g.store.Name(ctx, key)
	if err != nil {
		return "", fmt.Errorf("look up name %d: %w", key, err)
	}
	return text, nil
}
