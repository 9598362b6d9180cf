// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
)

// Codes of the envelope that only the HTTP layer produces.
const (
	CodeMethodNotAllowed = "method_not_allowed"
	CodeBadRequest       = "bad_request"
	CodeGone             = "gone"
	CodeProtocol         = "protocol_error"
	CodeAdapter          = "adapter_error"
	CodeIPDenied         = "ip_denied"
	CodeMFAReverify      = "mfa_reverify_required"
	CodeMFAEnrollment    = "mfa_enrollment_required"
)

// Envelope is the one shape of every refusal. Detail repeats it in the form clients of the first
// API expect: a text, a list of field errors, or an object. TraceID is there when the request is recorded in a trace.
type Envelope struct {
	Error     string         `json:"error"`
	Message   string         `json:"message"`
	RequestID string         `json:"request_id"`
	TraceID   string         `json:"trace_id,omitempty"`
	Details   map[string]any `json:"details"`
	Detail    any            `json:"detail"`
}

// FieldError names one value of a request that was refused. It never carries the value itself:
// that may be a password.
type FieldError struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// ValidationError lists every refused value of one request; WriteError answers it with 422.
type ValidationError struct {
	Errors []FieldError
}

// Invalid returns a ValidationError for a single value. loc starts with "body", "query", "path" or "header".
func Invalid(typ, msg string, loc ...any) *ValidationError {
	return &ValidationError{Errors: []FieldError{{Loc: loc, Msg: msg, Type: typ}}}
}

// Error implements error: the first fault, its place, and how many more there are.
func (e *ValidationError) Error() string {
	if len(e.Errors) == 0 {
		return "the request is not valid"
	}
	first := e.Errors[0]
	text := locString(first.Loc) + ": " + first.Msg
	if more := len(e.Errors) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func locString(loc []any) string {
	var b strings.Builder
	for i, part := range loc {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprint(&b, part)
	}
	return b.String()
}

// ThrottledError is the refusal of a throttle; WriteError answers it with 429 and Retry-After.
type ThrottledError struct {
	Name       string
	RetryAfter time.Duration
}

// Error implements error with the text clients know.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many requests; retry in %d seconds (%s)", e.Seconds(), e.Name)
}

// Seconds is the wait in whole seconds, at least one.
func (e *ThrottledError) Seconds() int {
	return max(1, int((e.RetryAfter+time.Second-1)/time.Second))
}

// detailError replaces the answer's `detail`, for the endpoints whose clients expect an object there.
type detailError struct {
	err    error
	detail any
}

func (e *detailError) Error() string { return e.err.Error() }
func (e *detailError) Unwrap() error { return e.err }

// WithDetail returns err with the given value as `detail` of the answer; without it `detail` is the message.
func WithDetail(err error, detail any) error { return &detailError{err: err, detail: detail} }

// ErrRouteNotFound and ErrMethodNotAllowed are the refusals of a router, not of a handler.
var (
	ErrRouteNotFound    = errors.New("no such path")
	ErrMethodNotAllowed = errors.New("method not allowed")
)

// codeStatus maps the codes to HTTP statuses.
func codeStatus(code string) int {
	switch code {
	case CodeBadRequest, domain.CodeInvalidHost:
		return http.StatusBadRequest
	case domain.CodeUnauthenticated:
		return http.StatusUnauthorized
	case domain.CodeForbidden, CodeIPDenied, CodeMFAReverify, CodeMFAEnrollment:
		return http.StatusForbidden
	case domain.CodeNotFound:
		return http.StatusNotFound
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case domain.CodeConflict:
		return http.StatusConflict
	case CodeGone:
		return http.StatusGone
	case domain.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case domain.CodeValidation:
		return http.StatusUnprocessableEntity
	case CodeProtocol:
		return http.StatusUpgradeRequired
	case domain.CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeAdapter:
		return http.StatusBadGateway
	case domain.CodeAgentOffline, domain.CodeUnavailable:
		return http.StatusServiceUnavailable
	case domain.CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// Status returns the HTTP status that WriteError would answer err with.
func Status(err error) int {
	status, _, _ := describe(err)
	return status
}

// describe turns an error into the answer. retryAfter is 0 when the header is not wanted.
func describe(err error) (status int, env Envelope, retryAfter int) {
	env.Details = map[string]any{}
	var (
		invalid   *ValidationError
		throttled *ThrottledError
		known     *domain.Error
		tooLarge  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &invalid):
		status, env.Error, env.Message = http.StatusUnprocessableEntity, domain.CodeValidation, invalid.Error()
		env.Details["errors"], env.Detail = invalid.Errors, invalid.Errors
	case errors.As(err, &throttled):
		status, env.Error, env.Message = http.StatusTooManyRequests, domain.CodeRateLimited, throttled.Error()
		retryAfter = throttled.Seconds()
		env.Details["retry_after_seconds"] = retryAfter
	case errors.As(err, &known):
		status, env.Error, env.Message = known.Status, known.Code, known.Message
		if status == 0 {
			status = codeStatus(known.Code)
		}
		if known.Details != nil {
			env.Details = known.Details
		}
	case errors.As(err, &tooLarge):
		status, env.Error = http.StatusRequestEntityTooLarge, domain.CodeTooLarge
		env.Message = fmt.Sprintf("request body exceeds the maximum of %d bytes for this route", tooLarge.Limit)
		env.Details["reason"], env.Details["max_bytes"] = "streamed_body_exceeded", tooLarge.Limit
	case errors.Is(err, ErrRouteNotFound):
		status, env.Error, env.Message, env.Detail = http.StatusNotFound, domain.CodeNotFound, "no such path", "Not Found"
	case errors.Is(err, ErrMethodNotAllowed):
		status, env.Error, env.Detail = http.StatusMethodNotAllowed, CodeMethodNotAllowed, "Method Not Allowed"
		env.Message = "this path does not answer that method; see the Allow header"
	case errors.Is(err, domain.ErrNotFound):
		status, env.Error, env.Message = http.StatusNotFound, domain.CodeNotFound, "not found"
	case errors.Is(err, domain.ErrConflict):
		status, env.Error, env.Message = http.StatusConflict, domain.CodeConflict, "conflicts with the current state"
	case errors.Is(err, domain.ErrTransient):
		status, env.Error, retryAfter = http.StatusServiceUnavailable, domain.CodeUnavailable, 1
		env.Message = "the database is busy or restarting; try again in a moment"
	case errors.Is(err, errSlowBody):
		status, env.Error = http.StatusRequestTimeout, domain.CodeTimeout
		env.Message = errSlowBody.Error() + "; send it faster or in smaller parts"
	case errors.Is(err, context.DeadlineExceeded):
		status, env.Error = http.StatusGatewayTimeout, domain.CodeTimeout
		env.Message = "the request took too long and was given up; narrow it or try again"
	default:
		status, env.Error = http.StatusInternalServerError, domain.CodeInternal
		env.Message = "the brain encountered an unexpected error; its log has the cause under this request_id"
	}
	if env.Detail == nil {
		env.Detail = env.Message
	}
	if detailed, ok := errors.AsType[*detailError](err); ok {
		env.Detail = detailed.detail
	}
	return status, env, retryAfter
}

// WriteError answers err with the envelope. Causes of 5xx answers are not shown: they are handed to
// the access log of the Request middleware. Headers already set on w are kept.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	status, env, retryAfter := describe(err)
	env.RequestID, env.TraceID = RequestID(r.Context()), obs.TraceID(r.Context())
	gone := errors.Is(r.Context().Err(), context.Canceled) && !errors.Is(err, errSlowBody)
	if info := infoFrom(r.Context()); info != nil && status >= http.StatusInternalServerError && !gone {
		info.setErr(err)
	}
	if gone {
		// Nobody reads the answer any more; the status is only for the access log.
		w.WriteHeader(StatusClientClosed)
		return
	}
	if retryAfter > 0 && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	WriteJSON(w, status, env)
}

// StatusClientClosed is logged when the client went away before the answer.
const StatusClientClosed = 499

// NotFound is the router's answer to an unknown path.
func NotFound(w http.ResponseWriter, r *http.Request) { WriteError(w, r, ErrRouteNotFound) }

// MethodNotAllowed is the router's answer to a known path with another method; set Allow before.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request) { WriteError(w, r, ErrMethodNotAllowed) }

// errPanic stands for a recovered panic; its value is already in the log.
var errPanic = errors.New("handler panicked")
