// SPDX-License-Identifier: AGPL-3.0-or-later

package domain

import (
	"strings"
	"testing"
	"time"
)

func TestAuditEntryNormalized(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.FixedZone("x", 3600))
	e := AuditEntry{
		Action: strings.Repeat("ä", 90), TargetType: strings.Repeat("t", 50), TargetID: strings.Repeat("i", 300),
		Result: "success", UserAgent: strings.Repeat("u", 2000),
	}.Normalized(now)
	if e.Action != strings.Repeat("ä", 80) || len(e.TargetType) != 40 || len(e.TargetID) != 200 || len(e.UserAgent) != 1024 {
		t.Errorf("values not cut: %d %d %d %d", len(e.Action), len(e.TargetType), len(e.TargetID), len(e.UserAgent))
	}
	if e.Outcome != OutcomeAllow || e.Metadata == nil {
		t.Errorf("outcome %q, metadata %v", e.Outcome, e.Metadata)
	}
	if want := time.Date(2026, 5, 4, 2, 2, 1, 123456000, time.UTC); e.OccurredAt != want {
		t.Errorf("time %v, want %v", e.OccurredAt, want)
	}
	for result, want := range map[string]string{"success": "allow", "failed": "failure", "odd": "error"} {
		if got := OutcomeOf(result); got != want {
			t.Errorf("OutcomeOf(%q) = %q, want %q", result, got, want)
		}
	}
	if got := (AuditEntry{Result: "failed", Outcome: OutcomeDeny}).Normalized(now).Outcome; got != OutcomeDeny {
		t.Errorf("a named outcome became %q", got)
	}
}
