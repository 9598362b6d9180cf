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

func FuzzMergeEncoded(f *testing.F) {
	var s Sketch
	s.Add(12, 3)
	s.Add(90_000, 1)
	f.Add(s.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b Sketch
		if a.MergeEncoded(data) != nil {
			return
		}
		if err := b.MergeEncoded(a.Append(nil)); err != nil || !a.Equal(&b) {
			t.Fatalf("re-encoding changed the sketch: %v", err)
		}
	})
}
