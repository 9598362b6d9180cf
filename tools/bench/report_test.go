// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ingestResult is one line of the throughput table.
type ingestResult struct {
	agents, perFrame int
	events           int64
	perSecond        float64
	took             time.Duration
	brainCPU, ownCPU time.Duration
	peakRSS, disk    int64
}

// report is everything one run measured.
type report struct {
	root                  string
	seconds               time.Duration
	firstStart, nextStart time.Duration
	idleRSS, binary       int64
	ingest                []ingestResult
	idleAgents            int64
	perAgent              int64
}

const mib = 1 << 20

func (r *report) table() string {
	var s strings.Builder
	s.WriteString("| agents | events per frame | acked events/s | CPU of the brain per event | cores used by brain / load generator | peak memory | disk per event |\n")
	s.WriteString("|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, i := range r.ingest {
		fmt.Fprintf(&s, "| %d | %d | %.0f | %.0f us | %.2f / %.2f | %d MiB | %d bytes |\n",
			i.agents, i.perFrame, i.perSecond, i.brainCPU.Seconds()*1e6/float64(i.events),
			i.brainCPU.Seconds()/i.took.Seconds(), i.ownCPU.Seconds()/i.took.Seconds(), i.peakRSS/mib, i.disk/i.events)
	}
	return s.String()
}

// The sections below the brain's figures: the dashboard's are measured by themselves, the notes are
// written by hand. Each run keeps what it has not measured.
const (
	dashboardSection = "## Dashboard\n"
	notes            = "## Notes\n"
)

// section returns the part of a file from a heading to before another one, or to the end.
func section(text, from, to string) string {
	at := strings.Index(text, from)
	if at < 0 {
		return ""
	}
	text = text[at:]
	if end := strings.Index(text, to); to != "" && end > 0 {
		return text[:end]
	}
	return text
}

func (r *report) write() error {
	file := filepath.Join(r.root, "docs", "benchmarks.md")
	kept := notes
	if old, err := os.ReadFile(file); err == nil {
		kept = section(string(old), dashboardSection, notes) + section(string(old), notes, "")
	}
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmarks\n\nWritten by `make bench` at commit %s (%s), %s each. Machine: %s.\n", commit(r.root), time.Now().UTC().Format("2006-01-02"), r.seconds, machine())
	s.WriteString("The brain runs all-in-one on SQLite; the load generator shares its processor cores and sends signed frames over real sockets.\nOnly acknowledged events count: they are committed, projected and rolled up.\n\n")
	s.WriteString("## Events in\n\n" + r.table())
	fmt.Fprintf(&s, "\nOne event per frame is what published agents send, with up to 256 frames on the way.\n\n## Size and start\n\n")
	fmt.Fprintf(&s, "| | |\n|---|---:|\n| first start, empty home, to the first healthy answer | %d ms |\n| start in an existing home (median of 7) | %d ms |\n", r.firstStart.Milliseconds(), r.nextStart.Milliseconds())
	fmt.Fprintf(&s, "| memory, idle after the start | %d MiB |\n| memory per connected idle agent (of %d) | %d KiB |\n| binary, dashboard included | %d MiB |\n\n", r.idleRSS/mib, r.idleAgents, r.perAgent/1024, r.binary/mib)
	s.WriteString(kept)
	if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

func commit(root string) string {
	cmd := exec.Command("git", "rev-parse", "--short=12", "HEAD")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine describes the hardware without a name.
func machine() string {
	model, memory := "", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value) + ", "
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GiB of memory", kib>>20)
		}
	}
	return fmt.Sprintf("%s%d cores%s, %s/%s, %s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
