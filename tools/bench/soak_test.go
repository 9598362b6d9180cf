// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

const soakSection = "## Growth"

// soakRow is the rate at one size of the database.
type soakRow struct {
	Store     kind    `json:"store"`
	Stored    int64   `json:"stored_events"`
	During    string  `json:"during,omitempty"`
	PerSecond float64 `json:"acked_events_per_second"`
	FillRate  float64 `json:"fill_events_per_second,omitempty"`
	AckP99    float64 `json:"ack_p99_ms_at_half_rate,omitempty"`
	MemoryMiB int64   `json:"peak_memory_mib"`
	Bytes     int64   `json:"bytes_per_event"`
	Dropped   int64   `json:"events_dropped_meanwhile,omitempty"`
}

// soakSizes are the numbers of stored events at which the rate is measured, from Z4J_SOAK_EVENTS.
func soakSizes(b *testing.B) []int64 {
	b.Helper()
	text := os.Getenv("Z4J_SOAK_EVENTS")
	if text == "" {
		text = "1000000,5000000,10000000"
	}
	var sizes []int64
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(word), 10, 64)
		if err != nil || n < 1 {
			b.Fatalf("Z4J_SOAK_EVENTS is %q: give numbers of events, such as 1000000,5000000", text)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return sizes
}

// soakSpan is how far back the stored events reach; the retention run keeps half of it.
const soakSpan = 20 * 24 * time.Hour

// BenchmarkSoak measures the rate while the database grows, and with retention at work in the largest.
func BenchmarkSoak(b *testing.B) {
	root := harness.Root(b)
	sizes := soakSizes(b)
	var rows []soakRow
	const usual = "sqlite,postgres,services"
	kinds := kindsOf(b, "Z4J_SOAK_ON", usual)
	section, key := soakSection, "soak"
	if on := os.Getenv("Z4J_SOAK_ON"); on != "" && on != usual {
		// A part has a section of its own and leaves the whole as it was.
		section, key = soakSection+" of a part: "+on, "soak_"+on
	}
	for _, k := range kinds {
		b.Run(k.slug(), func(b *testing.B) { rows = append(rows, soak(b, k, sizes)...) })
	}
	if b.Failed() {
		return
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n\n%s Written by `make soak`: the database is filled through the protocol with the\n", section, measuredAt(root))
	fmt.Fprintf(&s, "past of %d days, 100 events a frame; at each size 4 agents send one event a frame for %s. At the end retention is cut to %d days and the\nrate is taken while old events go. The database held exactly what was acknowledged at each size.\n\n", int(soakSpan.Hours()/24), seconds(), int(soakSpan.Hours()/48))
	s.WriteString("| on | stored events | acked events/s | ack p99 at half rate | filled at | peak memory | disk per event |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range rows {
		note, ack, fill, disk := "", "-", "-", "-"
		if r.During != "" {
			note = ", " + r.During
		} else {
			ack, fill, disk = fmt.Sprintf("%.1f ms", r.AckP99), fmt.Sprintf("%.0f events/s", r.FillRate), fmt.Sprintf("%d bytes", r.Bytes)
		}
		fmt.Fprintf(&s, "| %s | %.1f million%s | %.0f | %s | %s | %d MiB | %s |\n", r.Store, float64(r.Stored)/1e6, note, r.PerSecond, ack, fill, r.MemoryMiB, disk)
	}
	publish(b, root, key, section, s.String(), map[string]any{"seconds": seconds().Seconds(), "rows": rows})
}

func soak(b *testing.B, k kind, sizes []int64) []soakRow {
	b.Helper()
	const agents = 4
	s := newSite(b, k, agents, "Z4J_EVENT_RETENTION_DAYS=60", "Z4J_TASK_RETENTION_DAYS=0")
	largest := sizes[len(sizes)-1]
	began := time.Now().Add(-soakSpan)
	acked := int64(0)
	var rows []soakRow
	for i, size := range sizes {
		row := soakRow{Store: k}
		// Each stage tells its share of the span, so that times only grow, as they do in life.
		from, to := began, began.Add(time.Duration(float64(soakSpan)*float64(size)/float64(largest)))
		if i > 0 {
			from = began.Add(time.Duration(float64(soakSpan) * float64(sizes[i-1]) / float64(largest)))
		}
		const perFrame = 100
		frames := max(int(size-acked)/perFrame/agents, 1)
		step := to.Sub(from) / time.Duration(frames*perFrame)
		filled := s.load(b, loadgen.Load{
			Agents: s.agents, EventsPerFrame: perFrame, Window: 16, Frames: frames,
			Make: func(agent, n int) loadgen.Event {
				e := loadgen.Sample(fmt.Sprintf("fill%d", i), agent, n)
				// Three events of a task are seconds apart.
				e.At = from.Add(step*time.Duration(n/3*3) + time.Duration(n%3)*time.Second)
				return e
			},
		})
		acked += filled.Acked
		row.FillRate = filled.PerSecond()
		s.restart(b)
		load := loadgen.Load{Agents: s.agents, EventsPerFrame: 1, Window: windowOf(1), For: seconds(), Prefix: fmt.Sprintf("full%d", i)}
		full := s.load(b, load)
		held, _ := s.memory(b)
		row.PerSecond, row.MemoryMiB = full.PerSecond(), held/mib
		var cell ingestRow
		cell.PerSecond = row.PerSecond
		load.Prefix = fmt.Sprintf("half%d", i)
		acked += full.Acked + s.halfRate(b, load, &cell)
		row.AckP99 = cell.AckP99
		row.Stored, row.Bytes = s.stored(b), s.disk(b)/acked
		if row.Stored != acked {
			b.Errorf("%s: %d events acknowledged, %d stored", k, acked, row.Stored)
		}
		b.Logf("%s: %+v", k, row)
		rows = append(rows, row)
	}
	// Half of the span outlives its retention: on PostgreSQL partitions are dropped, on SQLite rows deleted.
	s.brain.SetEnv(fmt.Sprintf("Z4J_EVENT_RETENTION_DAYS=%d", int(soakSpan.Hours()/48)))
	before := s.stored(b)
	s.brain.Stop(b, 60*time.Second)
	if s.pg == nil {
		// SQLite's events are walked through once a day; the walk of today is undone.
		s.sqlite(b, "DELETE FROM meta WHERE key = 'upkeep_events'")
	}
	s.brain.Start(b)
	row := soakRow{Store: k, Stored: before, During: "retention at work"}
	got := s.load(b, loadgen.Load{Agents: s.agents, EventsPerFrame: 1, Window: windowOf(1), For: 2 * seconds(), Prefix: "retention"})
	held, _ := s.memory(b)
	row.PerSecond, row.MemoryMiB = got.PerSecond(), held/mib
	row.Dropped = before + got.Acked - s.stored(b)
	if row.Dropped <= 0 {
		b.Errorf("%s: retention dropped no event meanwhile", k)
	}
	b.Logf("%s: %+v", k, row)
	return append(rows, row)
}
