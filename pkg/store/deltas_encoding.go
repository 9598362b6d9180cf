// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/z4jdev/z4j/pkg/domain"
)

// The stored form of deltas, written once by whoever ingests and read once by the folder: a byte that names the format, and then
// four lists, of counts, roll-ups, issues and workers. A list is how many there are and each of them; numbers are varints
// (encoding/binary), strings their length and bytes.

// deltaFormat rises when a release writes what the one before can't add up: another member, another encoding of sketches.
// Two releases run side by side during an upgrade, and either may hold the lease of the job that folds; it leaves what is
// newer than itself.
const deltaFormat = 2

var (
	errNewerDelta = errors.New("stored roll-up delta of a newer version")
	errBadDelta   = errors.New("stored roll-up delta that is cut off or none")
)

func (d *deltas) encode() []byte {
	b := make([]byte, 0, 64+48*len(d.rolls))
	b = append(b, deltaFormat)
	b = binary.AppendUvarint(b, uint64(len(d.counts)))
	for k, n := range d.counts {
		b = appendInts(b, k.Project, int64(k.State), n)
	}
	b = binary.AppendUvarint(b, uint64(len(d.rolls)))
	var sketch []byte
	for k, v := range d.rolls {
		b = appendInts(b, k.Project, k.Res, k.At, k.Name, k.Queue, int64(k.Kind), v.N, v.RuntimeN, v.RuntimeMS)
		sketch = v.sketch.Append(sketch[:0])
		b = appendBytes(b, sketch)
	}
	b = binary.AppendUvarint(b, uint64(len(d.issues)))
	for k, v := range d.issues {
		b = appendInts(b, k.Project, k.Engine, v.Occurrences, v.Open, v.First, v.Last, v.Name)
		b = appendBytes(b, k.Fingerprint)
		if v.Exception == nil {
			b = append(b, 0)
		} else {
			b = appendBytes(append(b, 1), *v.Exception)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(d.workers)))
	for k, v := range d.workers {
		b = appendInts(b, k.Project, k.Engine, k.Worker, v.Processed, v.Succeeded, v.Failed, v.Retried)
	}
	return b
}

func appendInts(b []byte, list ...int64) []byte {
	for _, n := range list {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func appendBytes[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// deltaReader reads a stored set. What is read past the end is zero, and bad.
type deltaReader struct {
	b   []byte
	bad bool
}

func (r *deltaReader) int() int64 {
	n, size := binary.Varint(r.b)
	r.skip(size)
	return n
}

func (r *deltaReader) ints(into ...*int64) {
	for _, p := range into {
		*p = r.int()
	}
}

func (r *deltaReader) skip(size int) {
	if size <= 0 {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[size:]
}

// len is how many of a list there are, or bytes of a string; each of them takes one byte at least.
func (r *deltaReader) len() int {
	n, size := binary.Uvarint(r.b)
	r.skip(size)
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n) //nolint:gosec // bounded by what is there
}

func (r *deltaReader) bytes() []byte {
	n := r.len()
	text := r.b[:n]
	r.b = r.b[n:]
	return text
}

func (r *deltaReader) bool() bool {
	if len(r.b) == 0 {
		r.bad = true
		return false
	}
	v := r.b[0] != 0
	r.b = r.b[1:]
	return v
}

// merge adds an encoded set, or returns errNewerDelta and adds nothing.
func (d *deltas) merge(payload []byte) error {
	switch {
	case len(payload) == 0:
		return errBadDelta
	case payload[0] > deltaFormat:
		return errNewerDelta // whatever else it holds
	}
	r := deltaReader{b: payload[1:]}
	for n := r.len(); n > 0 && !r.bad; n-- {
		var k countKey
		var state, by int64
		r.ints(&k.Project, &state, &by)
		k.State = domain.TaskState(state)
		d.counts[k] += by
	}
	for n := r.len(); n > 0 && !r.bad; n-- {
		if err := d.mergeRoll(&r); err != nil {
			return err
		}
	}
	for n := r.len(); n > 0 && !r.bad; n-- {
		d.mergeIssue(&r)
	}
	for n := r.len(); n > 0 && !r.bad; n-- {
		var k workerKey
		var w workerVal
		r.ints(&k.Project, &k.Engine, &k.Worker, &w.Processed, &w.Succeeded, &w.Failed, &w.Retried)
		v := d.worker(k)
		v.Processed += w.Processed
		v.Succeeded += w.Succeeded
		v.Failed += w.Failed
		v.Retried += w.Retried
	}
	if r.bad || len(r.b) > 0 {
		return errBadDelta
	}
	return nil
}

func (d *deltas) mergeRoll(r *deltaReader) error {
	var k rollKey
	var kind, n, runtimeN, runtimeMS int64
	r.ints(&k.Project, &k.Res, &k.At, &k.Name, &k.Queue, &kind, &n, &runtimeN, &runtimeMS)
	k.Kind = domain.RollupKind(kind)
	sketch := r.bytes()
	if r.bad {
		return errBadDelta
	}
	v := d.roll(k)
	v.N += n
	v.RuntimeN += runtimeN
	v.RuntimeMS += runtimeMS
	if err := v.sketch.MergeEncoded(sketch); err != nil {
		return fmt.Errorf("stored roll-up delta: %w", err)
	}
	return nil
}

func (d *deltas) mergeIssue(r *deltaReader) {
	var k issueKey
	var i issueVal
	r.ints(&k.Project, &k.Engine, &i.Occurrences, &i.Open, &i.First, &i.Last, &i.Name)
	k.Fingerprint = string(r.bytes())
	if r.bool() {
		i.Exception = new(string(r.bytes()))
	}
	v := d.issue(k)
	v.Occurrences += i.Occurrences
	v.Open += i.Open
	if v.First == 0 || i.First != 0 && i.First < v.First {
		v.First = i.First
	}
	if i.Last > v.Last {
		v.Last, v.Name, v.Exception = i.Last, i.Name, i.Exception
	}
}
