// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// TestTimesAsJSON: the form is that of RFC 3339 in UTC with six digits, over all years that it knows.
func TestTimesAsJSON(t *testing.T) {
	t.Parallel()
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	times := []time.Time{first, last, time.Date(2026, 3, 9, 1, 2, 3, 4000, time.FixedZone("", -3600))}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		at := time.Unix(first.Unix()+rng.Int64N(last.Unix()-first.Unix()), rng.Int64N(1e9))
		times = append(times, at.In(time.FixedZone("", rng.IntN(86400)-43200)))
	}
	for _, at := range times {
		got, err := json.Marshal(httpx.NewTime(at))
		if want := at.UTC().Format(`"2006-01-02T15:04:05.000000Z"`); err != nil || string(got) != want {
			t.Fatalf("%v: %s, %v, want %s", at, got, err, want)
		}
	}
	if got, err := json.Marshal(httpx.Time{}); err != nil || string(got) != "null" {
		t.Errorf("no time: %s, %v", got, err)
	}
	for _, at := range []time.Time{first.Add(-time.Second), last.Add(time.Second)} {
		if got, err := json.Marshal(httpx.NewTime(at)); err == nil {
			t.Errorf("%v: %s", at, got)
		}
	}
}
