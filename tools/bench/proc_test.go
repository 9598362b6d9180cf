// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// status reads a size from /proc/PID/status, in bytes.
func status(b *testing.B, brain *harness.Brain, field string) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", brain.PID()))
	if err != nil {
		b.Fatalf("memory can be measured on Linux only: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatalf("no %s in /proc/%d/status", field, brain.PID())
	return 0
}

// cpu is the processor time a process has used.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The second field is the program's name in brackets and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		b.Fatalf("unreadable /proc/%d/stat: %q", pid, text)
	}
	const ticks = 100 // USER_HZ of Linux
	return time.Duration(user+system) * time.Second / ticks
}
