// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latencies is a histogram of times with a relative error of at most a sixteenth. It takes the same
// memory whatever it is told, and any number of goroutines may tell it. The zero value is empty.
type Latencies struct {
	buckets [bucketGroups * perGroup]atomic.Int64
	n       atomic.Int64
	longest atomic.Int64
}

const (
	perGroup     = 16
	bucketGroups = 38 // microseconds up to a day
)

// bucketOf is exact below perGroup microseconds; above, each doubling has perGroup buckets.
func bucketOf(us uint64) int {
	if us < perGroup {
		return int(us)
	}
	shift := bits.Len64(us) - 5
	return min((shift+1)*perGroup+int(us>>shift)-perGroup, bucketGroups*perGroup-1)
}

// topOf is the greatest number of microseconds in a bucket.
func topOf(bucket int) int64 {
	if bucket < perGroup {
		return int64(bucket)
	}
	shift := bucket/perGroup - 1
	return int64(bucket%perGroup+perGroup+1)<<shift - 1
}

// Add counts a time; one below zero counts as none.
func (l *Latencies) Add(d time.Duration) { l.AddN(d, 1) }

// AddN counts a time n times.
func (l *Latencies) AddN(d time.Duration, n int64) {
	us := max(d.Microseconds(), 0)
	l.buckets[bucketOf(uint64(us))].Add(n)
	l.n.Add(n)
	for {
		was := l.longest.Load()
		if us <= was || l.longest.CompareAndSwap(was, us) {
			return
		}
	}
}

// Count is how many times were counted.
func (l *Latencies) Count() int64 { return l.n.Load() }

// Max is the longest time.
func (l *Latencies) Max() time.Duration { return time.Duration(l.longest.Load()) * time.Microsecond }

// Quantile is the time that a share q of the times does not exceed, 0 when there are none.
func (l *Latencies) Quantile(q float64) time.Duration {
	want := int64(q * float64(l.n.Load()))
	if float64(want) < q*float64(l.n.Load()) {
		want++
	}
	seen := int64(0)
	for i := range l.buckets {
		if seen += l.buckets[i].Load(); seen > 0 && seen >= want {
			return min(time.Duration(topOf(i))*time.Microsecond, l.Max())
		}
	}
	return l.Max()
}
