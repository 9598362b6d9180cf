// SPDX-License-Identifier: AGPL-3.0-or-later

package domain

import (
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Audit outcomes. An entry that names none gets the one its result stands for (OutcomeOf).
const (
	OutcomeAllow   = "allow"
	OutcomeDeny    = "deny"
	OutcomeFailure = "failure"
	OutcomeError   = "error"
)

// Audit results in common use; the field itself is free text.
const (
	ResultSuccess = "success"
	ResultFailed  = "failed"
)

// Longest values an audit row keeps, in characters; longer ones are cut before the row is signed.
const (
	auditMaxAction     = 80
	auditMaxTargetType = 40
	auditMaxTargetID   = 200
	auditMaxResult     = 20
	auditMaxUserAgent  = 1024
)

// AuditEntry tells of one action for the audit chain. It is written into the outbox in the transaction of
// the change it tells of, so the two commit together. Metadata must hold no secret and nothing a person
// typed as a password; it is kept for the whole audit retention.
type AuditEntry struct {
	// Action is dotted, its first segment is the class that retention looks at: "project.created".
	Action string
	// TargetType and TargetID name what was acted on: "project" and its UUID. TargetID may be empty.
	TargetType string
	TargetID   string
	// Result is ResultSuccess, ResultFailed or another short word.
	Result string
	// Outcome is one of the Outcome constants; empty takes OutcomeOf(Result).
	Outcome string
	// ProjectUID, UserID and APIKeyID are the zero UUID when there is none.
	ProjectUID uuid.UUID
	UserID     uuid.UUID
	APIKeyID   uuid.UUID
	SourceIP   string
	UserAgent  string
	Metadata   map[string]any
	// OccurredAt is filled in by the store when it is zero.
	OccurredAt time.Time
}

// OutcomeOf is the outcome a result stands for when its entry names none: success is allow, failed is
// failure, anything else is error.
func OutcomeOf(result string) string {
	switch result {
	case ResultSuccess:
		return OutcomeAllow
	case ResultFailed:
		return OutcomeFailure
	}
	return OutcomeError
}

// Normalized returns the entry as it will be signed: over-long values cut, the outcome filled in, the time
// cut to microseconds (now when it was zero) and metadata never nil.
func (e AuditEntry) Normalized(now time.Time) AuditEntry {
	e.Action = cutRunes(e.Action, auditMaxAction)
	e.TargetType = cutRunes(e.TargetType, auditMaxTargetType)
	e.TargetID = cutRunes(e.TargetID, auditMaxTargetID)
	e.Result = cutRunes(e.Result, auditMaxResult)
	e.UserAgent = cutRunes(e.UserAgent, auditMaxUserAgent)
	if e.Outcome == "" {
		e.Outcome = OutcomeOf(e.Result)
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = now
	}
	e.OccurredAt = Micros(e.OccurredAt)
	if e.Metadata == nil {
		e.Metadata = map[string]any{}
	}
	return e
}

// cutRunes returns the first n characters of s.
func cutRunes(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
