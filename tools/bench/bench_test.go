// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// BenchmarkBrain measures everything once, whatever -benchtime says, and writes the page.
func BenchmarkBrain(b *testing.B) {
	if b.N > 1 {
		return
	}
	r := report{root: harness.Root(b), seconds: seconds()}
	starts(b, &r)
	for _, c := range []struct {
		agents, perFrame int
	}{{1, 1}, {4, 1}, {16, 1}, {4, 50}} {
		r.ingest = append(r.ingest, ingest(b, c.agents, c.perFrame))
	}
	idle(b, &r)
	if err := r.write(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(r.ingest[1].perSecond, "events/s")
	b.ReportMetric(r.ingest[3].perSecond, "batched-events/s")
	b.Log("\n" + r.table())
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

// configs mints what n agents need and starts the brain anew: the password hash of the set-up takes
// 64 MiB, which is no part of what is measured.
func configs(b *testing.B, brain *harness.Brain, n int) []loadgen.Config {
	b.Helper()
	defer func() {
		brain.Stop(b, 10*time.Second)
		brain.Start(b)
	}()
	api := brain.Setup(b)
	cfgs := make([]loadgen.Config, n)
	for i := range cfgs {
		// A token has a limited number of worker slots.
		if i%50 == 0 {
			cred := api.Mint(b, fmt.Sprintf("load-%d", i/50))
			cfgs[i] = loadgen.Config{URL: brain.URL(), Token: cred.Token, HMACSecret: cred.HMACSecret}
		} else {
			cfgs[i] = cfgs[i-1]
		}
		cfgs[i].WorkerID = fmt.Sprintf("bare-%d-1", i)
	}
	return cfgs
}

func ingest(b *testing.B, agents, perFrame int) ingestResult {
	b.Helper()
	brain := harness.NewBrain(b)
	load := loadgen.Load{Agents: configs(b, brain, agents), EventsPerFrame: perFrame, Window: 256, Prefix: "bench"}
	if perFrame > 1 {
		load.Window = 32
	}
	before, ownBefore := cpu(b, brain.PID()), cpu(b, os.Getpid())
	ctx, cancel := context.WithTimeout(b.Context(), seconds())
	defer cancel()
	got, err := loadgen.Run(ctx, load)
	if err != nil {
		b.Fatalf("%d agents: %v\n%s", agents, err, brain.Log())
	}
	r := ingestResult{
		agents: agents, perFrame: perFrame, events: got.Acked, perSecond: got.PerSecond(),
		brainCPU: cpu(b, brain.PID()) - before, ownCPU: cpu(b, os.Getpid()) - ownBefore, took: got.Took,
		peakRSS: status(b, brain, "VmHWM"),
	}
	brain.Stop(b, 30*time.Second)
	for _, name := range []string{"z4j.db", "z4j.db-wal"} {
		if info, err := os.Stat(filepath.Join(brain.Home, name)); err == nil {
			r.disk += info.Size()
		}
	}
	return r
}

// idle measures what connected agents without work cost.
func idle(b *testing.B, r *report) {
	b.Helper()
	const agents = 500
	brain := harness.NewBrain(b)
	cfgs := configs(b, brain, agents)
	before := settledRSS(b, brain)
	for _, cfg := range cfgs {
		a, err := loadgen.Dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer a.Close()
	}
	r.idleAgents = agents
	r.perAgent = (settledRSS(b, brain) - before) / agents
}
