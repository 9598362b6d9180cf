// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSearchPace wants the search index to hold back while events come in, and to go on at once while none do.
func TestSearchPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events int64
		p := searchPace{ingested: func() int64 { return events }}
		const step = 10 * time.Millisecond
		for i, c := range []struct {
			events     int64
			rest, more time.Duration
		}{
			{1000, step, searchRest * step}, // nothing to compare with yet
			{0, minPause, 0},
			{200, step, searchRest * step},
			{50, minPause, 0},
		} {
			<-time.After(time.Second)
			events += c.events
			if rest := p.rest(step); rest != c.rest || p.more != c.more {
				t.Errorf("step %d: rests %s and %s, want %s and %s", i, rest, p.more, c.rest, c.more)
			}
		}
		blind := searchPace{}
		if rest := blind.rest(step); rest != step || blind.more != searchRest*step {
			t.Errorf("without a count: rests %s and %s", rest, blind.more)
		}
	})
}
