// SPDX-License-Identifier: AGPL-3.0-or-later

package rest

import (
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// WindowQuery are the parameters of operations that answer for a stretch of time.
type WindowQuery struct {
	From *httpx.Time `json:"from" doc:"start of the window, by default 24 hours before its end"`
	To   *httpx.Time `json:"to" doc:"end of the window, by default now; at most 400 days after its start"`
}

// Window is the stretch of time that an answer is about.
type Window struct {
	From    httpx.Time `json:"from"`
	To      httpx.Time `json:"to"`
	Seconds int64      `json:"seconds"`
}

const (
	defaultWindow = 24 * time.Hour
	// maxWindow is how long statistics are kept.
	maxWindow = 400 * 24 * time.Hour
)

// Window settles what the parameters leave open.
func (q *WindowQuery) Window(now time.Time) (Window, error) {
	to := now
	if q.To != nil && !q.To.IsZero() {
		to = domain.Micros(q.To.Time)
	}
	from := to.Add(-defaultWindow)
	if q.From != nil && !q.From.IsZero() {
		from = domain.Micros(q.From.Time)
	}
	if !from.Before(to) {
		return Window{}, domain.Errorf(domain.CodeValidation, "the window ends before it starts; give a `from` before `to`")
	}
	if to.Sub(from) > maxWindow {
		return Window{}, domain.Errorf(domain.CodeValidation, "the window is longer than 400 days, for which statistics are kept; give a later `from`")
	}
	return NewWindow(from, to), nil
}

// NewWindow is the window between two moments.
func NewWindow(from, to time.Time) Window {
	return Window{From: httpx.NewTime(from), To: httpx.NewTime(to), Seconds: int64(to.Sub(from).Seconds())}
}
