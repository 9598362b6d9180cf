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

// ingestRow is what one way to run the brain takes in.
type ingestRow struct {
	Store     kind    `json:"store"`
	Agents    int     `json:"agents"`
	PerFrame  int     `json:"events_per_frame"`
	PerSecond float64 `json:"acked_events_per_second"`
	// Microseconds of processor time per event, and cores used meanwhile.
	BrainUS       float64 `json:"brain_cpu_us_per_event"`
	DatabaseUS    float64 `json:"database_cpu_us_per_event"`
	BrainCores    float64 `json:"brain_cores"`
	DatabaseCores float64 `json:"database_cores"`
	LoadCores     float64 `json:"load_cores"`
	MemoryMiB     int64   `json:"peak_memory_mib"`
	LargestMiB    int64   `json:"peak_memory_largest_process_mib"`
	BytesPerEvent int64   `json:"bytes_per_event"`
	// Milliseconds at half the rate.
	HalfRate float64 `json:"half_rate"`
	AckP50   float64 `json:"ack_p50_ms"`
	AckP99   float64 `json:"ack_p99_ms"`
	PushP50  float64 `json:"push_p50_ms"`
	PushP99  float64 `json:"push_p99_ms"`
	Acked    int64   `json:"acked"`
	Stored   int64   `json:"stored"`
}

// memory says, where there are several processes, what the largest of them held.
func (r *ingestRow) memory() string {
	if r.LargestMiB == r.MemoryMiB {
		return fmt.Sprintf("%d MiB", r.MemoryMiB)
	}
	return fmt.Sprintf("%d MiB, at most %d a process", r.MemoryMiB, r.LargestMiB)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// windowOf is how many frames an agent may have on the way: 256 as published agents do, and a few of
// the large ones.
func windowOf(perFrame int) int { return max(8, 256/perFrame) }

// halfRate measures delays at half of a rate and returns how many events that were.
func (s *site) halfRate(b *testing.B, load loadgen.Load, row *ingestRow) int64 {
	b.Helper()
	push, err := loadgen.WatchPush(b.Context(), s.brain.URL(), s.api.Jar(), s.project)
	if err != nil {
		b.Fatal(err)
	}
	var ack loadgen.Latencies
	load.Rate, load.Latency, load.OnDue = row.PerSecond/2, &ack, push.Acked
	got := s.load(b, load)
	if _, err := push.Close(); err != nil {
		b.Fatalf("the dashboard's socket ended: %v", err)
	}
	row.HalfRate = got.PerSecond()
	row.AckP50, row.AckP99 = millis(ack.Quantile(0.5)), millis(ack.Quantile(0.99))
	row.PushP50, row.PushP99 = millis(push.Delays.Quantile(0.5)), millis(push.Delays.Quantile(0.99))
	return got.Acked
}

// ingestCell measures one row: full speed, then half of it, then what the database holds.
func ingestCell(b *testing.B, k kind, agents, perFrame int) ingestRow {
	b.Helper()
	s := newSite(b, k, agents)
	row := ingestRow{Store: k, Agents: agents, PerFrame: perFrame}
	load := loadgen.Load{Agents: s.agents, EventsPerFrame: perFrame, Window: windowOf(perFrame), For: seconds(), Prefix: "full"}
	before := s.usage(b)
	full := s.load(b, load)
	used := s.usage(b).since(before)
	all, largest := s.memory(b)
	row.PerSecond, row.MemoryMiB, row.LargestMiB = full.PerSecond(), all/mib, largest/mib
	row.BrainUS, row.DatabaseUS = used.brain.Seconds()*1e6/float64(full.Acked), used.database.Seconds()*1e6/float64(full.Acked)
	took := full.Took.Seconds()
	row.BrainCores, row.DatabaseCores, row.LoadCores = used.brain.Seconds()/took, used.database.Seconds()/took, used.own.Seconds()/took

	load.Prefix, load.For = "half", max(seconds()*2/3, 3*time.Second)
	row.Acked = full.Acked + s.halfRate(b, load, &row)
	s.brain.Stop(b, 60*time.Second)
	row.Stored, row.BytesPerEvent = s.stored(b), s.disk(b)/row.Acked
	if row.Stored != row.Acked {
		b.Errorf("%s: %d events acknowledged, %d stored", k, row.Acked, row.Stored)
	}
	return row
}

const ingestSection = "## Events in"

// BenchmarkIngest measures what each way to run the brain takes in, once whatever -benchtime says.
func BenchmarkIngest(b *testing.B) {
	root := harness.Root(b)
	var rows []ingestRow
	for _, k := range []kind{onSQLite, onPostgres, oneOfEach, asServices} {
		for _, c := range []struct{ agents, perFrame int }{{4, 1}, {32, 1}, {4, 500}} {
			b.Run(fmt.Sprintf("%s/agents=%d/events=%d", k.slug(), c.agents, c.perFrame), func(b *testing.B) {
				row := ingestCell(b, k, c.agents, c.perFrame)
				rows = append(rows, row)
				b.ReportMetric(row.PerSecond, "events/s")
				b.ReportMetric(row.AckP50, "ack-p50-ms")
				b.ReportMetric(row.AckP99, "ack-p99-ms")
				b.ReportMetric(row.PushP99, "push-p99-ms")
				b.ReportMetric(float64(row.MemoryMiB), "MiB")
				b.ReportMetric(float64(row.BytesPerEvent), "bytes/event")
			})
		}
	}
	if b.Failed() || len(rows) < 12 {
		return // a part, picked by -bench, is printed and not published
	}
	publish(b, root, "ingest", ingestSection, ingestText(root, rows), map[string]any{"seconds": seconds().Seconds(), "rows": rows})
}

func ingestText(root string, rows []ingestRow) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n\n%s %s of full speed each, then two thirds of that at half the rate.\n", ingestSection, measuredAt(root), seconds())
	s.WriteString(`The load generator shares the processor cores and sends signed frames over real sockets; PostgreSQL 18 runs beside them and syncs every
commit (fsync and synchronous_commit on). Services are a gateway, ingest, api and audit, or two of each, with Redis. Only acknowledged events count:
they are committed, projected and rolled up. In every row the database held exactly the acknowledged events at the end.

| on | agents | events per frame | acked events/s | ack p50 / p99 at half rate | event to browser p50 / p99 at half rate | peak memory | brain / database CPU per event | cores: brain / database / load | disk per event |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
	for _, r := range rows {
		fmt.Fprintf(&s, "| %s | %d | %d | %.0f | %.1f / %.1f ms | %.0f / %.0f ms | %s | %.0f / %.0f us | %.2f / %.2f / %.2f | %d bytes |\n",
			r.Store, r.Agents, r.PerFrame, r.PerSecond, r.AckP50, r.AckP99, r.PushP50, r.PushP99, r.memory(), r.BrainUS, r.DatabaseUS,
			r.BrainCores, r.DatabaseCores, r.LoadCores, r.BytesPerEvent)
	}
	s.WriteString(`
One event per frame is what published agents send, with up to 256 frames on the way; 500 in one is what z4j's own agents send after a pause, with 8 frames on
the way. Delays count from when the frame was due, so a brain that falls behind shows. "To browser" ends at the first push frame
after the acknowledgement; the socket folds changes over up to 150 ms, which is most of it.
`)
	return s.String()
}
