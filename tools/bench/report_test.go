// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is the brain's size and start.
type report struct {
	root                  string
	firstStart, nextStart time.Duration
	idleRSS, binary       int64
	idleAgents            int64
	perAgent              int64
}

const mib = 1 << 20

const (
	sizeSection      = "## Size and start"
	dashboardSection = "## Dashboard"
	// notes are written by hand; sections that are new come before them.
	notes = "## Notes\n"
)

func (r *report) text() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n\n%s\n\n", sizeSection, measuredAt(r.root))
	fmt.Fprintf(&s, "| all-in-one on SQLite | |\n|---|---:|\n| first start, empty home, to the first healthy answer | %d ms |\n| start in an existing home (median of 7) | %d ms |\n", r.firstStart.Milliseconds(), r.nextStart.Milliseconds())
	fmt.Fprintf(&s, "| memory, idle after the start | %d MiB |\n| memory per connected idle agent (of %d) | %d KiB |\n| binary, dashboard included | %d MiB |\n", r.idleRSS/mib, r.idleAgents, r.perAgent/1024, r.binary/mib)
	return s.String()
}

func (r *report) figures() map[string]any {
	return map[string]any{
		"first_start_ms": r.firstStart.Milliseconds(), "next_start_ms": r.nextStart.Milliseconds(), "idle_memory_mib": r.idleRSS / mib,
		"idle_agents": r.idleAgents, "memory_per_idle_agent_kib": r.perAgent / 1024, "binary_mib": r.binary / mib,
	}
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
