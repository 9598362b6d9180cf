// SPDX-License-Identifier: AGPL-3.0-or-later

package domain

import (
	"errors"
	"fmt"
	"maps"
)

// Error codes of the REST API's envelope.
const (
	CodeValidation      = "validation_error"
	CodeUnauthenticated = "unauthenticated"
	CodeForbidden       = "forbidden"
	CodeNotFound        = "not_found"
	CodeConflict        = "conflict"
	CodeRateLimited     = "rate_limited"
	CodeAgentOffline    = "agent_offline"
	CodeTimeout         = "timeout"
	CodeTooLarge        = "payload_too_large"
	CodeInvalidHost     = "invalid_host"
	CodeUnavailable     = "unavailable"
	CodeInternal        = "internal_error"
)

// Sentinels that pkg/store returns; compare with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	// ErrTransient marks a failure that a retry of the same call may cure (lock, deadlock, lost connection).
	ErrTransient = errors.New("transient database failure")
)

// Error is a failure a caller may show: Code is for machines, Message for people (what is wrong and what to do),
// Details for both. The cause, if any, is for the log only.
type Error struct {
	Code    string
	Message string
	Details map[string]any
	// Status overrides the HTTP status that Code stands for; 0 keeps it.
	Status int
	Cause  error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Message + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf builds an Error with a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With returns a copy with one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	maps.Copy(c.Details, e.Details)
	c.Details[key] = value
	return &c
}
