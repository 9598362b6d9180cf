// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sketch is a quantile sketch for durations in milliseconds: DDSketch with a relative
// error of one percent (Masson, Rim, Lee: "DDSketch", VLDB 2019). Unlike a histogram it can be
// merged over any span of time, and a value can be taken out again when its task changes.
package sketch

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// accuracy is the relative error of a quantile.
const accuracy = 0.01

var (
	gamma    = (1 + accuracy) / (1 - accuracy)
	logGamma = math.Log(gamma)
)

// Sketch counts values per logarithmic bucket. The zero value is empty and ready.
type Sketch struct {
	bins map[int32]int64
}

// Lane is one of several independent sketches that share an encoding, so that a row that tells of two durations is
// still read and written once.
type Lane int32

// Lanes. Add, Count and Quantile are about the first.
const (
	LaneFirst Lane = iota
	LaneSecond
	LaneThird
	lanes
)

// laneWidth is the distance between the bins of two lanes, above the bin of the largest int64.
const laneWidth = 4096

// bin of a value: 0 holds everything below one millisecond, bin i the values in (gamma^(i-2), gamma^(i-1)].
func bin(ms int64) int32 {
	if ms <= 0 {
		return 0
	}
	return int32(math.Ceil(math.Log(float64(ms))/logGamma)) + 1
}

// value is the middle of a bucket, within accuracy of everything in it.
func value(bin int32) float64 {
	if bin <= 0 {
		return 0
	}
	return 2 * math.Pow(gamma, float64(bin-1)) / (gamma + 1)
}

// Add counts ms n times; a negative n takes earlier values out.
func (s *Sketch) Add(ms, n int64) {
	s.addBin(bin(ms), n)
}

func (s *Sketch) addBin(b int32, n int64) {
	if s.bins == nil {
		s.bins = make(map[int32]int64)
	}
	if s.bins[b] += n; s.bins[b] == 0 {
		delete(s.bins, b)
	}
}

// AddTo counts ms n times in a lane.
func (s *Sketch) AddTo(l Lane, ms, n int64) {
	s.addBin(int32(l)*laneWidth+bin(ms), n)
}

// Of returns what one lane holds, as a sketch whose first lane that is.
func (s *Sketch) Of(l Lane) *Sketch {
	out := &Sketch{}
	for b, n := range s.bins {
		if Lane(b/laneWidth) == l {
			out.addBin(b%laneWidth, n)
		}
	}
	return out
}

// Merge adds every count of o.
func (s *Sketch) Merge(o *Sketch) {
	for b, n := range o.bins {
		s.addBin(b, n)
	}
}

// Empty reports whether nothing is counted.
func (s *Sketch) Empty() bool { return len(s.bins) == 0 }

// Count is the number of values.
func (s *Sketch) Count() int64 {
	var n int64
	for b, c := range s.bins {
		if b < laneWidth {
			n += c
		}
	}
	return n
}

// Quantile returns the value at q (0..1) in milliseconds; ok is false when the sketch is empty.
func (s *Sketch) Quantile(q float64) (ms float64, ok bool) {
	n := s.Count()
	if n <= 0 {
		return 0, false
	}
	bins := make([]int32, 0, len(s.bins))
	for b := range s.bins {
		if b < laneWidth {
			bins = append(bins, b)
		}
	}
	slices.Sort(bins)
	rank := int64(math.Ceil(min(max(q, 0), 1)*float64(n))) - 1
	var seen int64
	for _, b := range bins {
		if seen += s.bins[b]; seen > rank {
			return value(b), true
		}
	}
	return value(bins[len(bins)-1]), true
}

// Append encodes the sketch: pairs of varints, bucket distance and count, in bucket order.
func (s *Sketch) Append(dst []byte) []byte {
	bins := make([]int32, 0, len(s.bins))
	for b := range s.bins {
		bins = append(bins, b)
	}
	slices.Sort(bins)
	last := int32(0)
	for _, b := range bins {
		dst = binary.AppendVarint(dst, int64(b-last))
		dst = binary.AppendVarint(dst, s.bins[b])
		last = b
	}
	return dst
}

var errCorrupt = errors.New("sketch: corrupt encoding")

// maxBin is above every bucket; what lies beyond is garbage.
const maxBin = int64(lanes)*laneWidth - 1

// MergeEncoded adds an encoded sketch.
func (s *Sketch) MergeEncoded(data []byte) error {
	return decode(data, func(b, n int64) { s.addBin(int32(b), n) }) //nolint:gosec // decode bounds it
}

// decode calls each for every bin of an encoded sketch.
func decode(data []byte, each func(bin, n int64)) error {
	b := int64(0)
	for len(data) > 0 {
		d, k := binary.Varint(data)
		if k <= 0 {
			return errCorrupt
		}
		n, j := binary.Varint(data[k:])
		if j <= 0 {
			return errCorrupt
		}
		data = data[k+j:]
		if b += d; b < 0 || b > maxBin {
			return errCorrupt
		}
		each(b, n)
	}
	return nil
}

// Equal reports whether both count the same.
func (s *Sketch) Equal(o *Sketch) bool {
	if len(s.bins) != len(o.bins) {
		return false
	}
	for b, n := range s.bins {
		if o.bins[b] != n {
			return false
		}
	}
	return true
}
