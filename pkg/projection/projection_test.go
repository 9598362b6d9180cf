// SPDX-License-Identifier: AGPL-3.0-or-later

package projection_test

import (
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/projection"
)

const unknown = 1

var now = time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)

func at(sec int) time.Time { return now.Add(time.Duration(sec) * time.Second) }

// The orders and outcomes are those observed on the existing brain (behaviour-probes.json, "order: ...").
func TestOrders(t *testing.T) {
	t.Parallel()
	type step struct {
		kind domain.EventKind
		at   int
	}
	const (
		received  = domain.KindReceived
		started   = domain.KindStarted
		succeeded = domain.KindSucceeded
		failed    = domain.KindFailed
		retried   = domain.KindRetried
		revoked   = domain.KindRevoked
	)
	for name, c := range map[string]struct {
		steps                       []step
		state                       domain.TaskState
		received, started, finished int
	}{
		"in order":                     {[]step{{received, -9}, {started, -8}, {succeeded, -7}}, domain.StateSuccess, -9, -8, -7},
		"reverse":                      {[]step{{succeeded, -7}, {started, -8}, {received, -9}}, domain.StateSuccess, 0, 0, -7},
		"started after success":        {[]step{{succeeded, -7}, {started, -5}}, domain.StateSuccess, 0, 0, -7},
		"failed after success, later":  {[]step{{succeeded, -7}, {failed, -5}}, domain.StateFailure, 0, 0, -5},
		"failed after success, before": {[]step{{succeeded, -5}, {failed, -7}}, domain.StateSuccess, 0, 0, -5},
		"same time, later arrival":     {[]step{{succeeded, -5}, {failed, -5}}, domain.StateFailure, 0, 0, -5},
		"retried then success": {
			[]step{{received, -9}, {started, -8}, {retried, -7}, {started, -6}, {succeeded, -5}}, domain.StateSuccess, -9, -6, -5,
		},
		"retried after failed":          {[]step{{failed, -7}, {retried, -5}}, domain.StateFailure, 0, 0, -7},
		"revoked then started":          {[]step{{revoked, -7}, {started, -5}}, domain.StateRevoked, 0, 0, -7},
		"started then received, later":  {[]step{{started, -8}, {received, -6}}, domain.StateReceived, -6, -8, 0},
		"started then received, before": {[]step{{started, -6}, {received, -8}}, domain.StateStarted, 0, -6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := projection.New(1, 1, "id", unknown, now)
			for _, s := range c.steps {
				projection.Apply(&task, &projection.Event{Kind: s.kind, At: at(s.at)}, unknown, now)
			}
			if task.State != c.state {
				t.Errorf("state %v, want %v", task.State, c.state)
			}
			check := func(what string, got time.Time, want int) {
				t.Helper()
				switch {
				case want == 0 && !got.IsZero():
					t.Errorf("%s %v, want none", what, got)
				case want != 0 && !got.Equal(at(want)):
					t.Errorf("%s %v, want %v", what, got, at(want))
				}
			}
			check("received", task.ReceivedAt, c.received)
			check("started", task.StartedAt, c.started)
			check("finished", task.FinishedAt, c.finished)
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	task := projection.New(1, 1, "id", unknown, now)
	projection.Apply(&task, &projection.Event{Kind: domain.KindSucceeded, At: at(-5)}, unknown, now)
	// A refused event still names the task.
	dirty := projection.Apply(&task, &projection.Event{Kind: domain.KindReceived, At: at(-9), NameID: 7}, unknown, now)
	if dirty != projection.DirtyName || task.NameID != 7 {
		t.Errorf("dirty %b name %d", dirty, task.NameID)
	}
	projection.Apply(&task, &projection.Event{Kind: domain.KindFailed, At: at(-4)}, unknown, now)
	if task.NameID != 7 {
		t.Errorf("an unknown name replaced a real one")
	}
}

func TestFailureAndSuccessFields(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	ms := int64(12)
	task := projection.New(1, 1, "id", unknown, now)
	long := "Traceback (most recent call last):\n" + strings.Repeat("  File \"/a/b.py\", line 1, in f\n", 500) + "ValueError: ü\n"
	projection.Apply(&task, &projection.Event{
		Kind: domain.KindFailed, At: at(-9), Exception: str("ValueError"), Traceback: &long, RuntimeMS: &ms,
	}, unknown, now)
	if len(*task.Traceback) > projection.MaxTraceback || !strings.HasSuffix(*task.Traceback, "ValueError: ü\n") {
		t.Errorf("traceback cut to %d bytes, ending %q", len(*task.Traceback), (*task.Traceback)[len(*task.Traceback)-20:])
	}
	if task.Fingerprint == nil || len(*task.Fingerprint) != 32 || task.LastFailedAt.IsZero() {
		t.Errorf("fingerprint %v, last failed %v", task.Fingerprint, task.LastFailedAt)
	}
	projection.Apply(&task, &projection.Event{Kind: domain.KindSucceeded, At: at(-5), Result: str("5")}, unknown, now)
	if task.Exception != nil || task.Traceback != nil || task.RuntimeMS != nil || *task.Result != "5" || task.Fingerprint == nil {
		t.Errorf("after success: %+v", task)
	}
}

func TestFingerprintIgnoresNoise(t *testing.T) {
	t.Parallel()
	tb := func(addr, line string) *string {
		s := "Traceback (most recent call last):\n  File \"/srv/" + addr + "/app.py\", line " + line + ", in pay\n    raise\nValueError: order " + addr + "\n"
		return &s
	}
	a := projection.Fingerprint(tb("12345", "10"), nil)
	b := projection.Fingerprint(tb("67890", "10"), nil)
	c := projection.Fingerprint(tb("12345", "11"), nil)
	if *a != *b {
		t.Error("noise changes the fingerprint")
	}
	if *a == *c {
		t.Error("another line has the same fingerprint")
	}
	if projection.Fingerprint(nil, nil) != nil {
		t.Error("nothing known has a fingerprint")
	}
}
