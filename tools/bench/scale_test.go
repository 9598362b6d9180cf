// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

const scaleSection = "## Two ingest replicas"

// BenchmarkScale measures what a second ingest replica on the same PostgreSQL adds, in turns.
func BenchmarkScale(b *testing.B) {
	root := harness.Root(b)
	s := newSite(b, asServices, 32)
	second := s.brain.Cluster().Of("ingest")[1]
	var one, two, coresOne, coresTwo []float64
	for turn := range 6 {
		both := turn%2 == 0
		if both && !second.Running() {
			second.Start(b)
			second.WaitReady(b)
			s.settle(b)
		} else if !both {
			second.Stop(b, 30*time.Second)
			s.settle(b)
		}
		before := s.usageOfRunning(b)
		got := s.load(b, loadgen.Load{Agents: s.agents, EventsPerFrame: 1, Window: 256, For: seconds(), Prefix: fmt.Sprintf("s%d", turn)})
		used := s.usageOfRunning(b).since(before)
		cores := (used.brain + used.database + used.own).Seconds() / got.Took.Seconds()
		if both {
			two, coresTwo = append(two, got.PerSecond()), append(coresTwo, cores)
		} else {
			one, coresOne = append(one, got.PerSecond()), append(coresOne, cores)
		}
	}
	ratio := median(two) / median(one)
	b.ReportMetric(ratio, "ratio")
	text := fmt.Sprintf("%s\n\n%s 32 agents, one event a frame, behind one gateway pair and on one PostgreSQL, in turns; medians of three.\n\n", scaleSection, measuredAt(root))
	text += "| ingest replicas | acked events/s [spread] | cores used in all |\n|---:|---:|---:|\n"
	text += fmt.Sprintf("| 1 | %s | %.2f |\n| 2 | %s | %.2f |\n\nThe second replica makes it %.2f times as fast.", spread(one), median(coresOne), spread(two), median(coresTwo), ratio)
	text += " Where all cores are used by one replica already, a second one can add nothing: its worth on more cores is what one leaves idle.\n"
	publish(b, root, "scale", scaleSection, text, map[string]any{"one": one, "two": two, "ratio": ratio})
}

// settle waits until the gateways know who is ready: they ask every second.
func (s *site) settle(b *testing.B) {
	b.Helper()
	<-time.After(3 * time.Second)
}

// usageOfRunning is usage without processes that have ended.
func (s *site) usageOfRunning(b *testing.B) usage {
	b.Helper()
	u := usage{own: cpu(b, os.Getpid()), database: cpuTree(s.pg.PID())}
	for _, p := range s.brain.Processes {
		if p.Running() {
			u.brain += cpu(b, p.PID())
		}
	}
	return u
}
