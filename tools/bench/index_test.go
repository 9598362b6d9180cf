// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

const (
	indexSection = "## Search index"
	indexRounds  = 3
)

// indexed is a load into an installation with or without the search index, and what it cost until the index was whole.
type indexed struct {
	PerSecond float64 `json:"acked_events_per_second"`
	// Microseconds of processor time per event, of the brain and of the database.
	CPU float64 `json:"cpu_us_per_event"`
	// Bytes per event.
	Disk float64 `json:"bytes_per_event"`
	// Behind is how many seconds after the load the index was whole.
	Behind float64 `json:"behind_s"`
}

// BenchmarkIndex measures what the search index costs: the same load with it and without, in turns.
func BenchmarkIndex(b *testing.B) {
	if b.N > 1 {
		return
	}
	root := harness.Root(b)
	figures := map[string]any{}
	text := fmt.Sprintf("%s\n\n%s Four agents at full speed for %s, one event a frame, %d times with the index and %d without in turns; medians [spread]. "+
		"CPU counts until every task is in the index.\n\n| on | acked events/s without | with | ratio | CPU per event without / with, of brain and database | bytes per event without / with | whole after |\n|---|---:|---:|---:|---:|---:|---:|\n",
		indexSection, measuredAt(root), seconds(), indexRounds, indexRounds)
	for _, k := range []kind{onSQLite, onPostgres} {
		var runs [2][]indexed
		for range indexRounds {
			runs[0] = append(runs[0], indexRun(b, k, false))
			runs[1] = append(runs[1], indexRun(b, k, true))
		}
		column := func(i int, of func(indexed) float64) (out []float64) {
			for _, r := range runs[i] {
				out = append(out, of(r))
			}
			return out
		}
		rate, cost, disk := func(r indexed) float64 { return r.PerSecond }, func(r indexed) float64 { return r.CPU }, func(r indexed) float64 { return r.Disk }
		without, with := column(0, rate), column(1, rate)
		text += fmt.Sprintf("| %s | %s | %s | %.2f | %.0f / %.0f us | %.0f / %.0f | %.0f s |\n", k, spread(without), spread(with),
			median(with)/median(without), median(column(0, cost)), median(column(1, cost)), median(column(0, disk)), median(column(1, disk)),
			median(column(1, func(r indexed) float64 { return r.Behind })))
		figures[strings.ToLower(string(k))] = map[string]any{"without": runs[0], "with": runs[1]}
	}
	publish(b, root, "index", indexSection, text, figures)
}

func indexRun(b *testing.B, k kind, on bool) indexed {
	b.Helper()
	s := newSite(b, k, 4, "Z4J_METRICS_PUBLIC=true", fmt.Sprintf("Z4J_SEARCH_INDEX=%v", on))
	before := s.usage(b)
	got := s.load(b, loadgen.Load{Agents: s.agents, EventsPerFrame: 1, Window: windowOf(1), For: seconds(), Prefix: "index"})
	ended := time.Now()
	if on {
		s.indexed(b, 1)
	}
	behind := time.Since(ended)
	used := s.usage(b).since(before)
	s.brain.Stop(b, time.Minute)
	acked := float64(got.Acked)
	return indexed{PerSecond: got.PerSecond(), CPU: (used.brain + used.database).Seconds() * 1e6 / acked, Disk: float64(s.disk(b)) / acked, Behind: behind.Seconds()}
}
