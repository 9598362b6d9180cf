// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/sketch"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Sum is what tasks did in a stretch of time.
type Sum struct {
	Received, Started, Succeeded, Failed, Retried, Revoked int64

	durations sketch.Dense
}

// Lanes of durations.
const (
	laneRun   = sketch.LaneFirst
	laneTotal = sketch.LaneSecond
	laneWait  = sketch.LaneThird
)

// Latency describes measured times, in milliseconds, true to one percent.
type Latency struct {
	N             int64
	P50, P95, P99 float64
}

// Ended is the number of tasks that came to an end.
func (s *Sum) Ended() int64 { return s.Succeeded + s.Failed + s.Revoked }

// FailureRate is failures of all successes and failures, 0 without any.
func (s *Sum) FailureRate() float64 {
	if n := s.Succeeded + s.Failed; n > 0 {
		return float64(s.Failed) / float64(n)
	}
	return 0
}

// Run is how long the tasks that succeeded or failed ran, nil when nothing was measured.
func (s *Sum) Run() *Latency { return s.latency(laneRun) }

// Total is how long these tasks took since they were due, nil when nothing was measured.
func (s *Sum) Total() *Latency { return s.latency(laneTotal) }

// Wait is how long the tasks that started had been due, nil when nothing was measured.
func (s *Sum) Wait() *Latency { return s.latency(laneWait) }

// MeanRun is the mean of the times in Run, in milliseconds; ok is false when nothing was measured.
func (s *Sum) MeanRun() (ms float64, ok bool) { return s.durations.Mean(laneRun) }

func (s *Sum) latency(l sketch.Lane) *Latency {
	n := s.durations.Count(l)
	if n <= 0 {
		return nil
	}
	q := s.durations.Quantiles(l, 0.5, 0.95, 0.99)
	return &Latency{N: n, P50: q[0], P95: q[1], P99: q[2]}
}

// count adds what one row of rollups says.
func (s *Sum) count(kind domain.RollupKind, n int64, durations []byte) error {
	lane := laneRun
	switch kind {
	case domain.RollupSuccess:
		s.Succeeded += n
	case domain.RollupFailure:
		s.Failed += n
	case domain.RollupRevoked:
		// How long a task ran that was revoked says nothing about the work.
		s.Revoked += n
		return nil
	case domain.RollupReceived:
		s.Received += n
	case domain.RollupStarted:
		s.Started += n
		lane = laneWait
	case domain.RollupRetried:
		s.Retried += n
	}
	return s.durations.MergeEncoded(lane, durations)
}

func (s *Sum) equal(o *Sum) bool {
	return s.String() == o.String() && slices.Equal(s.durations.Append(nil), o.durations.Append(nil))
}

// String is for messages.
func (s *Sum) String() string {
	return fmt.Sprintf("received %d, started %d, succeeded %d, failed %d, retried %d, revoked %d", s.Received, s.Started, s.Succeeded, s.Failed, s.Retried, s.Revoked)
}

// Merge adds another sum.
func (s *Sum) Merge(o *Sum) {
	s.Received += o.Received
	s.Started += o.Started
	s.Succeeded += o.Succeeded
	s.Failed += o.Failed
	s.Retried += o.Retried
	s.Revoked += o.Revoked
	s.durations.Merge(&o.durations)
}

// Dim is what sums are split by.
type Dim int64

// Dims. The numbers are stored; never renumber them.
const (
	ByNothing Dim = iota
	ByName
	ByQueue
	byQueueAndName
)

// SumQuery asks for sums of a window.
type SumQuery struct {
	ProjectID int64
	// To may be zero: the window then has no end.
	From, To time.Time
	// By splits by task name or queue.
	By Dim
	// Name and Queue narrow to one; a queue of 0 means tasks of no known queue.
	Name, Queue *int64
	// Keys narrows what By splits by; nil means all.
	Keys []int64
	// Bucket also splits by time, aligned to the epoch; 0 does not. It is a whole number of minutes.
	Bucket time.Duration
	// Counts leaves the durations out.
	Counts bool
}

// Grain is the precision that the start of a window is worth: edges of minutes would cost more than a long window.
func Grain(window time.Duration) time.Duration {
	switch {
	case window <= 3*time.Hour:
		return time.Minute
	case window <= 36*time.Hour:
		return rollupWidth(rollupTen)
	case window <= HourKeep:
		return rollupWidth(RollupHour)
	default:
		return rollupWidth(RollupDay)
	}
}

// SumKey is one part of a window. At is the start of its bucket, Key what By splits by; both are zero where not asked for.
type SumKey struct {
	At  time.Time
	Key int64
}

// Sums sums up what tasks of a project did. A window of days reads few rows: the sums of whole days, hours and ten minutes
// as far as they are there, and roll-ups at the edges and where tasks changed just now. What is kept in wider buckets
// than a window's start has there counts whole.
func (s *Store) Sums(ctx context.Context, q SumQuery) (map[SumKey]*Sum, error) {
	out := make(map[SumKey]*Sum)
	at := func(t time.Time, key int64) *Sum {
		k := SumKey{Key: key}
		if q.Bucket > 0 {
			k.At = t.UTC().Truncate(q.Bucket)
		}
		return entry(out, k)
	}
	pieces, err := s.planSums(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("plan sums: %w", err)
	}
	if err := s.eng.readAll(ctx, append(spanQueries(q, pieces, at), baseQueries(q, pieces, at)...)); err != nil {
		return nil, fmt.Errorf("read sums: %w", s.err(err))
	}
	return out, nil
}

// piece is a stretch of a window that is read from sums of width res, or for res 0 from rollups.
type piece struct {
	res      int64
	from, to time.Time
}

// spanWidths are the widths of sums, widest first.
var spanWidths = [...]int64{RollupDay, RollupHour, rollupTen}

const rollupTen int64 = 10

// spansFrom is the time from which sums of a width hold everything: before it, roll-ups may have been merged into
// wider buckets.
func (s *Store) spansFrom(res int64, now time.Time) time.Time {
	switch res {
	case rollupTen:
		return bucketOf(now.Add(-s.minuteKeep), RollupHour).Add(rollupWidth(RollupHour))
	case RollupHour:
		return bucketOf(now.Add(-s.hourKeep), RollupDay).Add(rollupWidth(RollupDay))
	default:
		return time.Time{}
	}
}

// planner divides a window.
type planner struct {
	stale  map[[2]int64]bool // res and start of buckets whose sums do not hold
	from   map[int64]time.Time
	pieces []piece
}

// endless is the end of windows without one: how far ahead of ours the clocks of agents never are.
const endless = time.Hour

func (s *Store) planSums(ctx context.Context, q SumQuery) ([]piece, error) {
	now := s.Now()
	if q.To.IsZero() {
		q.To = now.Add(endless)
	}
	from, to := bucketOf(q.From, RollupMinute), bucketOf(q.To.Add(time.Minute-time.Microsecond), RollupMinute)
	if !from.Before(to) {
		return nil, nil
	}
	rows, err := s.q.StaleBetween(ctx, s.eng.read(), db.StaleBetweenParams{ProjectID: q.ProjectID, FromAt: bucketOf(from, RollupDay), UntilAt: to})
	if err != nil {
		return nil, s.err(err)
	}
	p := &planner{stale: make(map[[2]int64]bool), from: make(map[int64]time.Time)}
	for _, r := range rows {
		for _, res := range spanWidths {
			if res >= r.Res {
				p.stale[[2]int64{res, bucketOf(r.At, res).UnixMicro()}] = true
			}
		}
	}
	var widths []int64
	p.from[RollupMinute] = s.spansFrom(rollupTen, now)
	for _, res := range spanWidths {
		p.from[res] = s.spansFrom(res, now)
		if q.Bucket == 0 || q.Bucket%rollupWidth(res) == 0 {
			widths = append(widths, res)
		}
	}
	if q.By == ByNothing && q.Name == nil && q.Queue == nil {
		widths = append(widths, RollupMinute)
	}
	p.cover(from, to, widths)
	return p.pieces, nil
}

// cover adds pieces for a stretch, using the given widths, widest first.
func (p *planner) cover(from, to time.Time, widths []int64) {
	if !from.Before(to) {
		return
	}
	if len(widths) == 0 {
		p.add(piece{0, from, to})
		return
	}
	res, rest := widths[0], widths[1:]
	width := rollupWidth(res)
	first, last := bucketOf(from.Add(width-time.Microsecond), res), bucketOf(to, res)
	if !first.Before(last) {
		p.cover(from, to, rest)
		return
	}
	p.cover(from, first, rest)
	for at := first; at.Before(last); at = at.Add(width) {
		if !p.holds(res, at) {
			p.cover(at, at.Add(width), rest)
		} else {
			p.add(piece{res, at, at.Add(width)})
		}
	}
	p.cover(last, to, rest)
}

// holds reports whether the sums of a bucket are there. Those of minutes come with the ten minutes they are in.
func (p *planner) holds(res int64, at time.Time) bool {
	return !p.stale[[2]int64{max(res, rollupTen), bucketOf(at, max(res, rollupTen)).UnixMicro()}] && !at.Before(p.from[res])
}

// add appends a piece, or makes the last one longer.
func (p *planner) add(n piece) {
	if l := len(p.pieces); l > 0 && p.pieces[l-1].res == n.res && p.pieces[l-1].to.Equal(n.from) {
		p.pieces[l-1].to = n.to
		return
	}
	p.pieces = append(p.pieces, n)
}

// spanQueries add the pieces that are read from sums.
func spanQueries(q SumQuery, pieces []piece, at func(time.Time, int64) *Sum) (queries []rowQuery) {
	dim, key := q.By, "key_id"
	b := &builder{}
	b.add("project_id = " + b.arg(q.ProjectID))
	switch {
	case q.Name != nil && q.Queue != nil, q.By == ByName && q.Queue != nil, q.By == ByQueue && q.Name != nil:
		dim = byQueueAndName
		if q.Queue != nil {
			b.add("key_id = " + b.arg(*q.Queue))
		}
		if q.Name != nil {
			b.add("sub_id = " + b.arg(*q.Name))
		}
		if q.By == ByName {
			key = "sub_id"
		}
	case q.Name != nil:
		dim = ByName
		b.add("key_id = " + b.arg(*q.Name))
	case q.Queue != nil:
		dim = ByQueue
		b.add("key_id = " + b.arg(*q.Queue))
	}
	if q.By == ByNothing {
		key = "0"
	} else {
		b.in(key, q.Keys)
	}
	b.add("dim = " + b.arg(int64(dim)))
	// Each column of a row costs about as much as the step to the next row.
	var row Sum
	var t time.Time
	var k int64
	var blob []byte
	columns := key + ", received, started, succeeded, failed, retried, revoked"
	dest := []any{&k, &row.Received, &row.Started, &row.Succeeded, &row.Failed, &row.Retried, &row.Revoked}
	if q.Bucket > 0 {
		columns, dest = columns+", at", append(dest, &t)
	}
	if !q.Counts {
		columns, dest = columns+", durations", append(dest, &blob)
	}
	for _, p := range pieces {
		if p.res == 0 {
			continue
		}
		part := b.clone()
		part.add("res = " + part.arg(p.res))
		part.add("at >= " + part.arg(p.from))
		part.add("at < " + part.arg(p.to))
		queries = append(queries, rowQuery{"SELECT " + columns + " FROM rollup_spans" + part.where(), part.args, func(scan func(...any) error) error {
			if err := scan(dest...); err != nil {
				return err
			}
			v := at(t, k)
			v.Merge(&row)
			return v.durations.MergeEncoded(laneRun, blob)
		}})
	}
	return queries
}

// baseQueries add the pieces that are read from rollups.
func baseQueries(q SumQuery, pieces []piece, at func(time.Time, int64) *Sum) (queries []rowQuery) {
	b := &builder{}
	b.add("project_id = " + b.arg(q.ProjectID))
	if q.Name != nil {
		b.add("name_id = " + b.arg(*q.Name))
	}
	if q.Queue != nil {
		b.add("queue_id = " + b.arg(*q.Queue))
	}
	key := "0"
	switch q.By {
	case ByName:
		key = "name_id"
	case ByQueue:
		key = "queue_id"
	case ByNothing, byQueueAndName:
	}
	if q.By != ByNothing {
		b.in(key, q.Keys)
	}
	durations := "sketch"
	if q.Counts {
		durations = "NULL"
	}
	for i, p := range pieces {
		if p.res != 0 {
			continue
		}
		// One statement: rows that are being merged into wider buckets are seen on one side of that or the other.
		args, to := b.clone(), ""
		to = args.arg(p.to)
		var parts []string
		for _, res := range [...]int64{RollupMinute, RollupHour, RollupDay} {
			// A wider bucket belongs to the piece that it begins in; at the window's start also one that began before.
			from := p.from
			if i == 0 {
				from = bucketOf(from, res)
			}
			parts = append(parts, "SELECT at, "+key+" AS key, kind, n, "+durations+" FROM rollups"+b.where()+
				" AND res = "+args.arg(res)+" AND at >= "+args.arg(from)+" AND at < "+to)
		}
		queries = append(queries, rowQuery{strings.Join(parts, " UNION ALL "), args.args, func(scan func(...any) error) error {
			var t time.Time
			var k, n int64
			var kind domain.RollupKind
			var blob []byte
			if err := scan(&t, &k, (*int64)(&kind), &n, &blob); err != nil {
				return err
			}
			return at(t, k).count(kind, n, blob)
		}})
	}
	return queries
}

// in adds a condition on a list of keys, none for an empty one.
func (b *builder) in(column string, keys []int64) {
	if len(keys) == 0 {
		return
	}
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = b.arg(k)
	}
	b.add(column + " IN (" + strings.Join(list, ", ") + ")")
}
