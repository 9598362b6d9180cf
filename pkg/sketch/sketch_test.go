// SPDX-License-Identifier: AGPL-3.0-or-later

package sketch

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantileStaysWithinAccuracy(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a reproducible sample
	values := make([]int64, 20_000)
	var s Sketch
	for i := range values {
		values[i] = int64(math.Exp(r.Float64()*14)) + 1
		s.Add(values[i], 1)
	}
	slices.Sort(values)
	for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
		want := float64(values[max(int(math.Ceil(q*float64(len(values))))-1, 0)])
		got, ok := s.Quantile(q)
		if !ok || math.Abs(got-want) > want*accuracy*1.01 {
			t.Errorf("q%v = %v, want %v within 1%%", q, got, want)
		}
	}
}

func TestTakeOutAndEncode(t *testing.T) {
	t.Parallel()
	var a, b, c Sketch
	for i := int64(0); i < 1000; i += 7 {
		a.Add(i, 2)
		b.Add(i, 1)
	}
	a.Add(5000, 3)
	a.Add(5000, -3)
	for i := int64(0); i < 1000; i += 7 {
		a.Add(i, -1)
	}
	if !a.Equal(&b) {
		t.Error("taking values out did not restore the sketch")
	}
	if err := c.MergeEncoded(a.Append(nil)); err != nil || !c.Equal(&a) {
		t.Errorf("round trip: %v", err)
	}
	if _, ok := new(Sketch).Quantile(0.5); ok {
		t.Error("an empty sketch has a quantile")
	}
}

func TestLanesAreIndependent(t *testing.T) {
	t.Parallel()
	var s, first, second Sketch
	for _, ms := range []int64{0, 1, 90, 1500, math.MaxInt64} {
		s.Add(ms, 2)
		first.Add(ms, 2)
		s.AddTo(LaneSecond, ms/2+7, 1)
		second.Add(ms/2+7, 1)
	}
	var back Sketch
	if err := back.MergeEncoded(s.Append(nil)); err != nil || !back.Equal(&s) {
		t.Fatalf("round trip: %v", err)
	}
	if back.Count() != 10 {
		t.Errorf("the first lane counts %d, want 10", back.Count())
	}
	a, _ := back.Quantile(0.5)
	if b, _ := first.Quantile(0.5); a != b {
		t.Errorf("median %v beside another lane, %v alone", a, b)
	}
	if !back.Of(LaneFirst).Equal(&first) || !back.Of(LaneSecond).Equal(&second) {
		t.Error("a lane changed beside another")
	}
}

func TestDenseSaysTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a reproducible sample
	var all Sketch
	var d Dense
	for range 50 {
		var s Sketch
		for range 40 {
			s.Add(int64(math.Exp(r.Float64()*12)), 1)
			s.AddTo(LaneSecond, int64(math.Exp(r.Float64()*16)), 1)
		}
		all.Merge(&s)
		if err := d.MergeEncoded(LaneFirst, s.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(d.Append(nil), all.Append(nil)) {
		t.Error("the encodings differ")
	}
	var waits Sketch
	waits.Add(70, 3)
	if err := d.MergeEncoded(LaneThird, waits.Append(nil)); err != nil {
		t.Fatal(err)
	}
	var sum Dense
	sum.Merge(&d)
	for l, want := range map[Lane]*Sketch{LaneFirst: all.Of(LaneFirst), LaneSecond: all.Of(LaneSecond), LaneThird: &waits} {
		if sum.Count(l) != want.Count() {
			t.Errorf("lane %d: %d values, want %d", l, sum.Count(l), want.Count())
		}
		qs := []float64{0, 0.5, 0.5, 0.95, 1}
		for i, got := range sum.Quantiles(l, qs...) {
			if w, _ := want.Quantile(qs[i]); got != w {
				t.Errorf("lane %d, q%v: %v, want %v", l, qs[i], got, w)
			}
		}
	}
	if err := d.MergeEncoded(LaneThird, all.Append(nil)); err == nil {
		t.Error("merged beyond the last lane")
	}
	if _, ok := new(Dense).Mean(LaneFirst); ok || new(Dense).Quantiles(LaneFirst, 0.5) != nil {
		t.Error("an empty sketch has a mean or a quantile")
	}
}

func TestMeanStaysWithinAccuracy(t *testing.T) {
	t.Parallel()
	var s Sketch
	sum := int64(0)
	for ms := int64(0); ms < 100_000; ms += 77 {
		s.Add(ms, 2)
		s.AddTo(LaneSecond, 5, 1)
		sum += 2 * ms
	}
	var d Dense
	if err := d.MergeEncoded(LaneFirst, s.Append(nil)); err != nil {
		t.Fatal(err)
	}
	want := float64(sum) / float64(s.Count())
	if got, ok := d.Mean(LaneFirst); !ok || math.Abs(got-want) > want*accuracy {
		t.Errorf("mean %v, want %v within 1%%", got, want)
	}
}

func FuzzMergeEncoded(f *testing.F) {
	var s Sketch
	s.Add(12, 3)
	s.Add(90_000, 1)
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b Sketch
		var d Dense
		err, same := a.MergeEncoded(data), d.MergeEncoded(LaneFirst, data)
		if (err == nil) != (same == nil) {
			t.Fatalf("one form takes it, the other does not: %v, %v", err, same)
		}
		if err != nil {
			return
		}
		if !slices.Equal(a.Append(nil), d.Append(nil)) {
			t.Fatal("both forms differ")
		}
		if err := b.MergeEncoded(a.Append(nil)); err != nil || !a.Equal(&b) {
			t.Fatalf("re-encoding changed the sketch: %v", err)
		}
	})
}
