// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"errors"
	"reflect"
	"testing"

	"github.com/z4jdev/z4j/pkg/domain"
)

func someDeltas() *deltas {
	d := newDeltas()
	d.counts[countKey{1, domain.StateReceived}] = 3
	d.counts[countKey{2, domain.StateFailure}] = -1
	k := rollKey{Project: 1, Res: 60, At: 1_790_000_000_000_000, Name: 7, Queue: 0, Kind: domain.RollupReceived}
	d.roll(k).N = 2
	k.Queue = 9
	v := d.roll(k)
	v.N, v.RuntimeN, v.RuntimeMS = -2, 3, 400
	v.sketch.Add(120, 2)
	v.sketch.Add(9000, 1)
	*d.issue(issueKey{1, "ab12", 4}) = issueVal{Occurrences: 2, Open: 1, First: 10, Last: 20, Name: 7, Exception: new("ValueError: ü")}
	*d.issue(issueKey{1, "", 5}) = issueVal{Occurrences: -1}
	*d.worker(workerKey{1, 4, 8}) = workerVal{Processed: 3, Succeeded: 2, Failed: 1}
	return d
}

// TestDeltasEncoding wants the same changes back, twice as many when merged twice, and nothing of what is cut off.
func TestDeltasEncoding(t *testing.T) {
	t.Parallel()
	d := someDeltas()
	payload := d.encode()
	got := newDeltas()
	if err := got.merge(payload); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("%+v, %v; want %+v", got, err, d)
	}
	if err := got.merge(payload); err != nil || got.counts[countKey{1, domain.StateReceived}] != 6 ||
		*got.worker(workerKey{1, 4, 8}) != (workerVal{Processed: 6, Succeeded: 4, Failed: 2}) {
		t.Errorf("merged twice: %+v, %v", got, err)
	}
	for n := range payload {
		if err := newDeltas().merge(payload[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a whole", n, len(payload))
		}
	}
	if err := newDeltas().merge(append(payload, 0)); err == nil {
		t.Error("a byte too many is not noticed")
	}
	payload[0]++
	if err := newDeltas().merge(payload); !errors.Is(err, errNewerDelta) {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzDeltas(f *testing.F) {
	f.Add(someDeltas().encode())
	f.Add([]byte{deltaFormat, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := newDeltas()
		if d.merge(payload) != nil {
			return
		}
		again := newDeltas()
		if err := again.merge(d.encode()); err != nil || len(again.rolls) != len(d.rolls) || !reflect.DeepEqual(again.counts, d.counts) {
			t.Errorf("what was read is written otherwise: %v", err)
		}
	})
}
