// SPDX-License-Identifier: AGPL-3.0-or-later

package upkeep

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSearchPace wants the search index to hold back while events come in, with steps that are short, and to go on at once with
// large steps while none do.
func TestSearchPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events int64
		p := searchPace{ingested: func() int64 { return events }, most: 1000, rows: searchRowsLeast}
		const each = 100 * time.Microsecond
		const fitting = int64(searchStep / each)
		for i, c := range []struct {
			events     int64
			taken      int64
			step, cost time.Duration // cost is what is rested for
			rows       int64
			idle       bool
		}{
			{1000, 100, 100 * each, 100 * each, fitting, false}, // nothing to compare with yet
			{0, 1000, 1000 * each, 0, 1000, true},
			{200, 100, 300 * each, 100 * (each + each/64), fitting * 64 / 65, false}, // it waited for a core
			{1000, 100, 50 * each, 50 * each, 2 * fitting, false},
			{50, 10, 10 * each, 0, 1000, true},
		} {
			<-time.After(time.Second)
			events += c.events
			p.taken = c.taken
			rest, wantRest := p.rest(c.step), max(c.cost, minPause)
			if c.idle {
				wantRest = minPause
			}
			if rest != wantRest || p.more != searchRest*c.cost || p.rows != c.rows || p.idle != c.idle {
				t.Errorf("step %d: rests %s and %s, %d rows, idle %t; want %s and %s, %d, %t", i, rest, p.more, p.rows, p.idle, wantRest, searchRest*c.cost, c.rows, c.idle)
			}
		}
		blind := searchPace{taken: 10, most: 1000}
		if rest := blind.rest(10 * each); blind.idle || rest != max(10*each, minPause) || blind.more != searchRest*10*each {
			t.Errorf("without a count: rests %s and %s, idle %t", rest, blind.more, blind.idle)
		}
	})
}
