// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// BreakdownQuery are the parameters of the breakdown.
type BreakdownQuery struct {
	rest.WindowQuery
	By    string `json:"by" default:"task" validate:"oneof=task|queue"`
	Sort  string `json:"sort" default:"failed" validate:"oneof=failed|ended|p95|p95_wait|rate" doc:"failed and ended tasks, 95 % run and wait times, failure rate; largest first"`
	Limit int    `json:"limit" default:"20" validate:"ge=1,le=100"`
	Name  string `json:"name" doc:"only tasks of this name"`
	Queue string `json:"queue" doc:"only tasks of this queue"`
}

// BreakdownRow is what the tasks of one name, or of one queue, did.
type BreakdownRow struct {
	Key         string         `json:"key" doc:"the task name or the queue; empty for tasks of no known queue"`
	Received    int64          `json:"received"`
	Started     int64          `json:"started"`
	Ended       int64          `json:"ended"`
	Succeeded   int64          `json:"succeeded"`
	Failed      int64          `json:"failed"`
	Retried     int64          `json:"retried"`
	Revoked     int64          `json:"revoked"`
	FailureRate float64        `json:"failure_rate"`
	Run         *LatencyPublic `json:"run"`
	Wait        *LatencyPublic `json:"wait"`
	Spark       []int64        `json:"spark" doc:"tasks ended in each of 24 equal parts of the window"`
	SparkFailed []int64        `json:"spark_failed" doc:"those of them that failed"`
}

// BreakdownPublic splits a window by task name or queue.
type BreakdownPublic struct {
	Window       rest.Window    `json:"window"`
	GrainSeconds int64          `json:"grain_seconds"`
	Rows         []BreakdownRow `json:"rows"`
	Keys         int            `json:"keys" doc:"how many there are, of which rows shows the first"`
}

func (g *group) breakdown(r *rest.Request) (any, error) {
	q := rest.Query[BreakdownQuery](r)
	window, err := q.Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	out := BreakdownPublic{Window: window, GrainSeconds: int64(store.Grain(window.To.Sub(window.From.Time)).Seconds()), Rows: []BreakdownRow{}}
	ask := query(r.Project.ID, window)
	known, err := g.narrow(ctx, &ask, q.Name, q.Queue)
	if err != nil || !known {
		return out, err
	}
	by := store.ByName
	if q.By == "queue" {
		by = store.ByQueue
	}
	rows, err := g.keyed(ctx, ask, by)
	if err != nil {
		return nil, err
	}
	out.Keys = len(rows)
	rank := ranks(q.Sort, rows)
	slices.SortFunc(rows, func(a, b keyedSum) int {
		return cmp.Or(cmp.Compare(rank[b.key], rank[a.key]), cmp.Compare(b.Ended(), a.Ended()), cmp.Compare(a.key, b.key))
	})
	rows = rows[:min(len(rows), q.Limit)]
	keys := make([]int64, len(rows))
	for i := range rows {
		keys[i] = rows[i].key
	}
	sparks, err := g.sparks(ctx, ask, by, keys)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		row, err := g.row(ctx, &rows[i])
		if err != nil {
			return nil, err
		}
		row.Spark, row.SparkFailed = sparks.of(rows[i].key)
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// ranks gives each row the number that it is sorted by.
func ranks(sort string, rows []keyedSum) map[int64]float64 {
	out := make(map[int64]float64, len(rows))
	p95 := func(l *store.Latency) float64 {
		if l == nil {
			return -1
		}
		return l.P95
	}
	for _, r := range rows {
		switch sort {
		case "ended":
			out[r.key] = float64(r.Ended())
		case "p95":
			out[r.key] = p95(r.Run())
		case "p95_wait":
			out[r.key] = p95(r.Wait())
		case "rate":
			out[r.key] = r.FailureRate()
		default:
			out[r.key] = float64(r.Failed)
		}
	}
	return out
}

func (g *group) row(ctx context.Context, s *keyedSum) (BreakdownRow, error) {
	key, err := g.nameOf(ctx, s.key)
	return BreakdownRow{
		Key: key, Received: s.Received, Started: s.Started, Ended: s.Ended(), Succeeded: s.Succeeded, Failed: s.Failed, Retried: s.Retried,
		Revoked: s.Revoked, FailureRate: s.FailureRate(), Run: latencyPublic(s.Run()), Wait: latencyPublic(s.Wait()),
	}, err
}

// narrow adds the names of a task and a queue to a query. known is false when one of them was never seen.
func (g *group) narrow(ctx context.Context, q *store.SumQuery, name, queue string) (known bool, err error) {
	for _, n := range []struct {
		text string
		into **int64
	}{{name, &q.Name}, {queue, &q.Queue}} {
		if n.text == "" {
			continue
		}
		id, ok, err := g.store.NameID(ctx, n.text)
		if err != nil {
			return false, fmt.Errorf("look up %q: %w", n.text, err)
		}
		if !ok {
			return false, nil
		}
		*n.into = &id
	}
	return true, nil
}

// sparkParts is the number of points of a sparkline.
const sparkParts = 24

// sparks are the tasks that ended and failed in each part of a window, by key.
type sparks map[int64]*[2][sparkParts]float64

func (s sparks) of(key int64) (ended, failed []int64) {
	ended, failed = make([]int64, sparkParts), make([]int64, sparkParts)
	if v := s[key]; v != nil {
		for i := range sparkParts {
			ended[i], failed[i] = int64(math.Round(v[0][i])), int64(math.Round(v[1][i]))
		}
	}
	return ended, failed
}

// sparkBucket is the width of the buckets that the sparklines of a window are read from: whole hours where a part is at
// least as wide, because narrower ones would be most of what a day's answer reads.
func sparkBucket(window time.Duration) time.Duration {
	grain := store.Grain(window)
	if window >= sparkParts*time.Hour {
		return max(grain, time.Hour)
	}
	return grain
}

// sparks reads sparklines. Where a part is no whole number of buckets, a bucket counts in both of its parts by its share.
func (g *group) sparks(ctx context.Context, q store.SumQuery, by store.Dim, keys []int64) (sparks, error) {
	out := sparks{}
	if by != store.ByNothing && len(keys) == 0 {
		return out, nil
	}
	q.By, q.Keys, q.Counts, q.Bucket = by, keys, true, sparkBucket(q.To.Sub(q.From))
	sums, err := g.store.Sums(ctx, q)
	if err != nil {
		return nil, err
	}
	part := float64(q.To.Sub(q.From)) / sparkParts
	for k, s := range sums {
		v := out[k.Key]
		if v == nil {
			v = new([2][sparkParts]float64)
			out[k.Key] = v
		}
		begin := float64(max(0, k.At.Sub(q.From))) / part
		end := float64(min(k.At.Add(q.Bucket).Sub(q.From), q.To.Sub(q.From))) / part
		spread(&v[0], begin, end, s.Ended())
		spread(&v[1], begin, end, s.Failed)
	}
	return out, nil
}

// spread adds n to the parts between begin and end, by their share.
func spread(into *[sparkParts]float64, begin, end float64, n int64) {
	if end <= begin {
		end = math.Nextafter(begin, math.Inf(1))
	}
	for i := max(0, int(begin)); i < sparkParts && float64(i) < end; i++ {
		share := min(end, float64(i+1)) - max(begin, float64(i))
		into[i] += float64(n) * share / (end - begin)
	}
}

// ago is how long before now a time lies.
func (g *group) ago(t time.Time) time.Duration { return g.store.Now().Sub(t) }
