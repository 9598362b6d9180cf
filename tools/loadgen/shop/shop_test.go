// SPDX-License-Identifier: AGPL-3.0-or-later

package shop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func past(t *testing.T, seed uint64, n int) []Task {
	t.Helper()
	var all []Task
	now := time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)
	err := New(seed, now, 24*time.Hour).Past(n, func(tasks []Task) error {
		all = append(all, slices.Clone(tasks)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPastIsAsLargeAsAskedAndRepeatable(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 5, 12_345} {
		first, second := past(t, 7, n), past(t, 7, n)
		if len(first) != n {
			t.Errorf("%d tasks, want %d", len(first), n)
		}
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("the same seed made two different pasts of %d tasks", n)
		}
	}
}

// TestLives checks what the brain takes for granted of one task: order, whole JSON, no two events of
// a kind within a second, and that the fleet's counters come out even.
func TestLives(t *testing.T) {
	t.Parallel()
	ends := map[string]int{}
	names, queues := map[string]bool{}, map[string]bool{}
	for _, task := range past(t, 3, 20_000) {
		names[task.Name], queues[task.Queue] = true, true
		seen := map[string]bool{}
		depth, running, host := 0, 0, task.Steps[0].Host
		for i, step := range task.Steps {
			if i > 0 && step.At.Before(task.Steps[i-1].At) {
				t.Fatalf("%s of %s comes before the step before it", step.Kind, task.Name)
			}
			if key := fmt.Sprint(step.Kind, step.At.Unix()); seen[key] {
				t.Fatalf("two %s of %s within one second", step.Kind, task.Name)
			} else {
				seen[key] = true
			}
			if !json.Valid([]byte(step.Data)) {
				t.Fatalf("data of %s is not JSON: %s", step.Kind, step.Data)
			}
			if step.Host != host {
				t.Fatal("one task is told by two agents")
			}
			depth, running = depth+step.Depth, running+step.Running
		}
		last := task.Steps[len(task.Steps)-1].Kind
		ends[last]++
		if last != "task.received" && (depth != 0 || running != 0) {
			t.Errorf("%s ended as %s and leaves depth %d, running %d", task.Name, last, depth, running)
		}
	}
	if len(names) < 24 || len(queues) != 8 {
		t.Errorf("%d names on %d queues, want two dozen on 8", len(names), len(queues))
	}
	if failed := ends["task.failed"]; failed < 150 || failed > 800 {
		t.Errorf("%d of 20000 failed, want one to three in a hundred", failed)
	}
	if ends["task.revoked"] == 0 {
		t.Errorf("ends = %v, want some revoked", ends)
	}
}

// TestTracebacks: the kinds stay within what agents send, and end in their exception.
func TestTracebacks(t *testing.T) {
	t.Parallel()
	m := newMaker(1)
	for _, j := range catalogue() {
		for _, kind := range j.failures {
			class, message, traceback := kind(m, j.name)
			if class == "" || message == "" || len(traceback) > 4096 {
				t.Errorf("%s: class %q, message %q, %d bytes of traceback", j.name, class, message, len(traceback))
			}
			if traceback != "" && !strings.HasSuffix(traceback, message+"\n") {
				t.Errorf("%s: the traceback does not end in %q", j.name, message)
			}
		}
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	f := NewFleet()
	for _, task := range New(1, time.Now(), time.Hour).Backlog(30) {
		for _, step := range task.Steps {
			f.Observe(step)
		}
	}
	if f.Depth(stalled) != 30 {
		t.Errorf("depth %d, want 30", f.Depth(stalled))
	}
	payload, err := f.Heartbeat(2, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(payload), `\"reports\":30`) {
		t.Errorf("the heartbeat does not tell the depth: %s", payload)
	}
	if f.Purge(stalled) != 30 || f.Depth(stalled) != 0 {
		t.Error("a purge leaves the queue full")
	}
	if f.Resize("nobody", 1) || !f.Resize("web@worker-a", 1) || !f.Consume("web@worker-a", "mail", true) {
		t.Error("worker commands go to the wrong worker")
	}
}
