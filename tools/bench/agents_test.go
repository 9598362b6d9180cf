// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// fleetSection holds the figures of BenchmarkAgents, which `make bench` keeps.
const fleetSection = "## Agents without work"

// fleetSize is how many agents connect, from Z4J_BENCH_AGENTS.
func fleetSize() int {
	if n, err := strconv.Atoi(os.Getenv("Z4J_BENCH_AGENTS")); err == nil && n > 0 {
		return n
	}
	return 10_000
}

// fleetResult is a column of the table.
type fleetResult struct {
	name               string
	start, peak        int64
	settled, perAgent  int64
	cores, serverCores float64
	first              time.Duration
	rolled, killed     storm
}

// storm is a restart under a full house.
type storm struct {
	back              time.Duration
	timeouts, refused int64
	last              error
}

// BenchmarkAgents connects 10,000 agents that only send heartbeats to one ingest process, on SQLite (serve) and on
// PostgreSQL (z4j ingest), restarts it in good order and by kill -9, and writes what that took. It fails when the targets are
// missed: 400 MiB, one core, everybody back within a minute and without a time-out.
func BenchmarkAgents(b *testing.B) {
	if b.N > 1 {
		return
	}
	n := fleetSize()
	var results []fleetResult
	results = append(results, fleet(b, "SQLite, `z4j serve`", n, nil))
	if os.Getenv("Z4J_TEST_POSTGRES_BIN") != "" {
		results = append(results, fleet(b, "PostgreSQL, `z4j ingest`", n, harness.NewDurablePostgres(b)))
	}
	text := fleetTable(b, n, results)
	figures := map[string]any{"agents": n}
	for _, r := range results {
		figures[r.name] = map[string]any{
			"memory_mib": r.settled / mib, "peak_mib": r.peak / mib, "cores": r.cores, "postgres_cores": r.serverCores, "connected_s": r.first.Seconds(),
			"back_after_restart_s": r.rolled.back.Seconds(), "back_after_kill_s": r.killed.back.Seconds(),
			"failures": r.rolled.timeouts + r.rolled.refused + r.killed.timeouts + r.killed.refused,
		}
	}
	publish(b, harness.Root(b), "agents", fleetSection, text, figures)
	for _, r := range results {
		if r.peak > 400*mib || r.cores > 1 {
			b.Errorf("%s: %d MiB and %.2f cores, want at most 400 and 1", r.name, r.peak/mib, r.cores)
		}
		for _, s := range []storm{r.rolled, r.killed} {
			if s.back > time.Minute || s.timeouts+s.refused > 0 {
				b.Errorf("%s: back after %s with %d time-outs and %d refusals (%v), want a minute and none", r.name, s.back, s.timeouts, s.refused, s.last)
			}
		}
	}
}

// fleet measures one kind of brain.
func fleet(b *testing.B, name string, n int, database *harness.Postgres) fleetResult {
	b.Helper()
	var env []string
	if database != nil {
		env = []string{
			"Z4J_DATABASE_URL=" + database.URL(), "Z4J_ENVIRONMENT=dev", "Z4J_BIND_HOST=127.0.0.1", // the fleet holds ports of other addresses
			"Z4J_SECRET=" + uuid.NewString() + uuid.NewString(), "Z4J_SESSION_SECRET=" + uuid.NewString() + uuid.NewString(),
		}
	}
	brain := harness.NewBrain(b, env...)
	cfgs := mintMany(b, brain, n)
	brain.Stop(b, 30*time.Second)
	var target runner = served{brain}
	if database != nil {
		target = single{brain.Single(b, "ingest")}
	}
	target.Start(b)
	r := fleetResult{name: name, start: processStatus(b, target.PID(), "VmRSS")}
	for i := range cfgs {
		cfgs[i].URL = target.URL()
	}
	f := &loadgen.Fleet{Agents: cfgs, Sources: 8}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	began := time.Now()
	wg.Go(func() { f.Run(ctx, 0) })
	r.first = connected(b, f, n, began)
	// One round of heartbeats settles the memory of the connecting.
	<-time.After(15 * time.Second)

	window := min(seconds(), 2*time.Minute)
	before, serverBefore, beats := cpu(b, target.PID()), serverCPU(b, database), f.State().Beats
	began = time.Now()
	<-time.After(window)
	took := time.Since(began)
	r.cores = (cpu(b, target.PID()) - before).Seconds() / took.Seconds()
	r.serverCores = (serverCPU(b, database) - serverBefore).Seconds() / took.Seconds()
	r.settled = processStatus(b, target.PID(), "VmRSS")
	r.perAgent = (r.settled - r.start) / int64(n)
	if got, want := f.State().Beats-beats, int64(float64(n)*took.Seconds()/10); got < want*9/10 {
		b.Errorf("%s: %d heartbeats in %s, want %d: the fleet did not keep its pace", name, got, took, want)
	}
	peak := func() { r.peak = max(r.peak, processStatus(b, target.PID(), "VmHWM")) }
	peak()
	r.rolled = restart(b, f, n, func() { target.Stop(b, 30*time.Second) }, target)
	peak()
	r.killed = restart(b, f, n, target.Kill, target)
	peak()
	return r
}

// runner is the process that agents connect to.
type runner interface {
	Start(t testing.TB)
	Stop(t testing.TB, limit time.Duration) int
	Kill()
	PID() int
	URL() string
}

// served is `z4j serve` as a runner.
type served struct{ *harness.Brain }

func (s served) Start(t testing.TB) { s.Brain.Start(t) }

// single is one service as a runner.
type single struct{ *harness.Member }

func (s single) Start(t testing.TB) {
	s.Member.Start(t)
	s.WaitReady(t)
}

// perToken is how many processes share a token, as those of one application do.
const perToken = 4

// mintMany creates tokens for n agents over REST.
func mintMany(b *testing.B, brain *harness.Brain, n int) []loadgen.Config {
	b.Helper()
	api := brain.Setup(b)
	cfgs := make([]loadgen.Config, n)
	var wg sync.WaitGroup
	const clients = 8
	for c := range clients {
		wg.Go(func() {
			for i := c * perToken; i < n; i += clients * perToken {
				cred := api.Mint(b, fmt.Sprintf("idle-%05d", i))
				for j := i; j < min(n, i+perToken); j++ {
					cfgs[j] = loadgen.Config{Token: cred.Token, HMACSecret: cred.HMACSecret, WorkerID: fmt.Sprintf("bare-%d-1", j)}
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return cfgs
}

// connected waits until everybody is connected and tells how long that took since began.
func connected(b *testing.B, f *loadgen.Fleet, n int, began time.Time) time.Duration {
	b.Helper()
	for f.State().Connected < int64(n) {
		if time.Since(began) > 5*time.Minute {
			b.Fatalf("only %d of %d agents are connected after five minutes: %+v", f.State().Connected, n, f.State())
		}
		<-time.After(50 * time.Millisecond)
	}
	return time.Since(began)
}

// restart ends the brain, starts it again at once and waits for everybody.
func restart(b *testing.B, f *loadgen.Fleet, n int, end func(), target runner) storm {
	b.Helper()
	was := f.State()
	end()
	for f.State().Connected > 0 {
		<-time.After(10 * time.Millisecond)
	}
	target.Start(b)
	s := storm{back: connected(b, f, n, time.Now())}
	// A connection that did not survive its handshake would show by now.
	<-time.After(5 * time.Second)
	now := f.State()
	s.timeouts, s.refused, s.last = now.Timeouts-was.Timeouts, now.Refused-was.Refused, now.Last
	return s
}

// serverCPU is the processor time of a PostgreSQL server and its backends, those that ended not included.
func serverCPU(b *testing.B, database *harness.Postgres) time.Duration {
	b.Helper()
	if database == nil {
		return 0
	}
	sum := cpu(b, database.PID())
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(database.PID()) {
			sum += cpu(b, pid)
		}
	}
	return sum
}

func fleetTable(b *testing.B, n int, results []fleetResult) string {
	b.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "%s\nMeasured at commit %s (%s) by `make soak` (`scripts/bench agents` for these alone) on the same machine. %d agents, %d to a token, from eight\naddresses, "+
		"connect to one process and send a heartbeat and a report of themselves every ten seconds, as published agents do. The generator shares the cores.\n\n", fleetSection, commit(harness.Root(b)), time.Now().UTC().Format("2006-01-02"), n, perToken)
	row := func(what string, cell func(r fleetResult) string) {
		s.WriteString("| " + what + " |")
		for _, r := range results {
			s.WriteString(" " + cell(r) + " |")
		}
		s.WriteString("\n")
	}
	row("", func(r fleetResult) string { return r.name })
	row("---", func(fleetResult) string { return "---:" })
	row("memory before anybody connects", func(r fleetResult) string { return fmt.Sprintf("%d MiB", r.start/mib) })
	row("memory with all connected", func(r fleetResult) string { return fmt.Sprintf("%d MiB", r.settled/mib) })
	row("for each agent", func(r fleetResult) string { return fmt.Sprintf("%d KiB", r.perAgent/1024) })
	row("highest, reconnect storms included", func(r fleetResult) string { return fmt.Sprintf("%d MiB", r.peak/mib) })
	row("cores used", func(r fleetResult) string { return fmt.Sprintf("%.2f", r.cores) })
	row("cores used by PostgreSQL", func(r fleetResult) string {
		if r.serverCores == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", r.serverCores)
	})
	row("everybody at once, the first time", func(r fleetResult) string { return fmt.Sprintf("%.1f s", r.first.Seconds()) })
	for _, k := range []struct {
		what string
		of   func(r fleetResult) storm
	}{
		{"all back after a restart", func(r fleetResult) storm { return r.rolled }},
		{"all back after kill -9", func(r fleetResult) storm { return r.killed }},
	} {
		row(k.what, func(r fleetResult) string {
			return fmt.Sprintf("%.1f s, %d time-outs", k.of(r).back.Seconds(), k.of(r).timeouts+k.of(r).refused)
		})
	}
	s.WriteString("\n")
	return s.String()
}
