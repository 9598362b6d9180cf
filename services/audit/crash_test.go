// SPDX-License-Identifier: AGPL-3.0-or-later

package audit_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/audit"
)

// crashURL makes the test binary a process that drains until it is killed.
func crashURL() string {
	if f := flag.Lookup("test.run"); f == nil || f.Value.String() != "^TestDrainUntilKilled$" {
		return ""
	}
	return flag.Arg(0)
}

// TestDrainUntilKilled is the child of TestCrash.
func TestDrainUntilKilled(t *testing.T) {
	url := crashURL()
	if url == "" {
		return
	}
	s, err := store.Open(t.Context(), store.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	svc := service(t, s, audit.Config{Batch: 3})
	_, _ = os.Stdout.WriteString("draining\n") // the parent waits for it
	for {
		if err := svc.Drain(t.Context()); err != nil {
			t.Log(err)
		}
	}
}

// TestCrash kills a draining process again and again: no record is lost, none is doubled, the chain stays whole.
func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store, url string, svc *audit.Service) {
		const rounds, perRound = 6, 60
		for round := range rounds {
			for i := range perRound {
				record(t, s, entry(round*perRound+i))
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDrainUntilKilled$", url) //nolint:gosec // this very test
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatalf("the child does not drain: %v", err)
			}
			<-time.After(time.Duration(rand.IntN(25)) * time.Millisecond) //nolint:gosec // the moment of the crash
			_ = child.Process.Kill()
			_ = child.Wait()
			if r := verify(t, svc, audit.VerifyOptions{}); !r.Clean() {
				t.Fatalf("after crash %d: %+v", round, r)
			}
			waiting, _, _, err := s.AuditBacklog(t.Context(), 10000)
			if err != nil {
				t.Fatal(err)
			}
			if have := len(rows(t, s)); have > 0 && int64(have-1)+waiting != int64((round+1)*perRound) {
				t.Fatalf("after crash %d: %d in the chain and %d waiting, want %d", round, have-1, waiting, (round+1)*perRound)
			}
		}
		drain(t, svc)
		seen := map[string]bool{}
		for _, r := range rows(t, s)[1:] {
			seen[*r.TargetID] = true
		}
		if len(seen) != rounds*perRound || len(rows(t, s)) != rounds*perRound+1 {
			t.Errorf("%d different records in %d rows, want %d", len(seen), len(rows(t, s)), rounds*perRound)
		}
	})
}
