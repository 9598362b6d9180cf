// SPDX-License-Identifier: AGPL-3.0-or-later

package sketch

import (
	"encoding/binary"
	"math"
)

// Dense is a sketch of every lane that many encoded ones are merged into: it trades memory for a merge without hashing.
// The zero value is empty and ready.
type Dense struct {
	bins [lanes][]int64
}

// denseStep is how many bins a lane gets beyond what it needs.
const denseStep = 256

// MergeEncoded adds an encoded sketch, its first lane going to lane base, the second to the one after, and so on.
func (d *Dense) MergeEncoded(base Lane, data []byte) error {
	// decode without a call a bin, quick for the one byte that most distances and counts take: charts merge thousands of
	// sketches.
	at := int64(base) * laneWidth
	for least := at; len(data) > 0; {
		step, k := int64(data[0]>>1)^-int64(data[0]&1), 1
		if data[0] >= 0x80 {
			step, k = binary.Varint(data)
		}
		if k <= 0 || k >= len(data) {
			return errCorrupt
		}
		data = data[k:]
		n, k := int64(data[0]>>1)^-int64(data[0]&1), 1
		if data[0] >= 0x80 {
			n, k = binary.Varint(data)
		}
		if at += step; k <= 0 || at < least || at > maxBin {
			return errCorrupt
		}
		data = data[k:]
		lane, bin := uint64(at)/laneWidth, uint64(at)%laneWidth
		if bin >= uint64(len(d.bins[lane])) {
			d.bins[lane] = append(d.bins[lane], make([]int64, int(bin)+denseStep-len(d.bins[lane]))...)
		}
		d.bins[lane][bin] += n
	}
	return nil
}

// Mean returns the mean of a lane in milliseconds, as accurate as its values; ok is false when the lane is empty.
func (d *Dense) Mean(l Lane) (ms float64, ok bool) {
	n := d.Count(l)
	if n <= 0 {
		return 0, false
	}
	sum := 0.0
	for b, c := range d.bins[l] {
		if c != 0 {
			sum += float64(c) * value(int32(b))
		}
	}
	return sum / float64(n), true
}

// Merge adds every count of o.
func (d *Dense) Merge(o *Dense) {
	for l := range o.bins {
		if len(d.bins[l]) < len(o.bins[l]) {
			grown := make([]int64, len(o.bins[l]))
			copy(grown, d.bins[l])
			d.bins[l] = grown
		}
		for b, n := range o.bins[l] {
			d.bins[l][b] += n
		}
	}
}

// Count is the number of values of a lane.
func (d *Dense) Count(l Lane) (n int64) {
	for _, c := range d.bins[l] {
		n += c
	}
	return n
}

// Quantiles returns the values at qs (0..1, ascending) of a lane in milliseconds; nil when the lane is empty.
func (d *Dense) Quantiles(l Lane, qs ...float64) []float64 {
	n := d.Count(l)
	if n <= 0 {
		return nil
	}
	out := make([]float64, 0, len(qs))
	rank := func() int64 { return int64(math.Ceil(min(max(qs[len(out)], 0), 1)*float64(n))) - 1 }
	var seen int64
	last := 0
	for b, c := range d.bins[l] {
		if c == 0 {
			continue
		}
		last = b
		for seen += c; len(out) < len(qs) && seen > rank(); {
			out = append(out, value(int32(b)))
		}
	}
	for len(out) < len(qs) {
		out = append(out, value(int32(last)))
	}
	return out
}

// Append encodes the sketch as Sketch.Append does.
func (d *Dense) Append(dst []byte) []byte {
	last := int64(0)
	for l := range d.bins {
		for i, n := range d.bins[l] {
			if n != 0 {
				b := int64(l)*laneWidth + int64(i)
				dst = binary.AppendVarint(dst, b-last)
				dst = binary.AppendVarint(dst, n)
				last = b
			}
		}
	}
	return dst
}
