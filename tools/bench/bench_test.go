// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// seconds of load per measurement, from Z4J_BENCH_SECONDS.
func seconds() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("Z4J_BENCH_SECONDS")); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 15 * time.Second
}

// BenchmarkBrain measures size and start once, whatever -benchtime says, and writes its section.
func BenchmarkBrain(b *testing.B) {
	if b.N > 1 {
		return
	}
	r := report{root: harness.Root(b)}
	starts(b, &r)
	idle(b, &r)
	publish(b, r.root, "size", sizeSection, r.text(), r.figures())
}

// starts measures the time from exec to the first healthy answer.
func starts(b *testing.B, r *report) {
	b.Helper()
	began := time.Now()
	brain := harness.NewBrain(b)
	r.firstStart = time.Since(began)
	brain.Setup(b)
	var again []time.Duration
	for range 7 {
		brain.Stop(b, 10*time.Second)
		again = append(again, brain.Start(b))
	}
	slices.Sort(again)
	r.nextStart = again[len(again)/2]
	r.idleRSS = settledRSS(b, brain)
	if info, err := os.Stat(harness.Binary(b)); err == nil {
		r.binary = info.Size()
	}
	brain.Stop(b, 10*time.Second)
}

// settledRSS waits until the memory no longer moves much.
func settledRSS(b *testing.B, brain *harness.Brain) int64 {
	b.Helper()
	last := int64(0)
	for range 10 {
		<-time.After(500 * time.Millisecond)
		now := status(b, brain, "VmRSS")
		if last > 0 && now-last < last/100 && last-now < last/100 {
			return now
		}
		last = now
	}
	return last
}

// idle measures what connected agents without work cost.
func idle(b *testing.B, r *report) {
	b.Helper()
	const agents = 500
	s := newSite(b, onSQLite, agents)
	before := settledRSS(b, s.brain)
	for _, cfg := range s.agents {
		a, err := loadgen.Dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
	}
	r.idleAgents = agents
	r.perAgent = (settledRSS(b, s.brain) - before) / agents
}
