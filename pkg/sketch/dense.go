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

// MergeEncoded adds an encoded sketch, its first lane going to lane base, the second to the one after, and so on.
func (d *Dense) MergeEncoded(base Lane, data []byte) error {
	return decode(data, int64(base)*laneWidth, func(b int64, n int64) {
		lane, bin := b/laneWidth, int(b%laneWidth)
		if bin >= len(d.bins[lane]) {
			grown := make([]int64, max(bin+1, 2*len(d.bins[lane])))
			copy(grown, d.bins[lane])
			d.bins[lane] = grown
		}
		d.bins[lane][bin] += n
	})
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

// Quantile returns the value at q (0..1) of a lane in milliseconds; ok is false when the lane is empty.
func (d *Dense) Quantile(l Lane, q float64) (ms float64, ok bool) {
	n := d.Count(l)
	if n <= 0 {
		return 0, false
	}
	rank := int64(math.Ceil(min(max(q, 0), 1)*float64(n))) - 1
	var seen int64
	last := 0
	for b, c := range d.bins[l] {
		if c == 0 {
			continue
		}
		if seen += c; seen > rank {
			return value(int32(b)), true
		}
		last = b
	}
	return value(int32(last)), true
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
