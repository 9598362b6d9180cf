// SPDX-License-Identifier: AGPL-3.0-or-later

package audit

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// Status is what the service knows about itself.
type Status struct {
	// Leader is true in the one replica that appends.
	Leader bool `json:"leader"`
	// Damage is set while the chain cannot be continued.
	Damage *Damage `json:"damage,omitempty"`
	// Waiting is how many records wait (counted up to 10000), SetAside how many could not be trusted.
	Waiting       int64         `json:"waiting"`
	SetAside      int64         `json:"set_aside"`
	OldestSeconds float64       `json:"oldest_seconds"`
	Verification  *Verification `json:"verification,omitempty"`
}

// Damage says why the chain cannot be continued.
type Damage struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Verification sums up the last verification in the background.
type Verification struct {
	At       time.Time `json:"at"`
	Clean    bool      `json:"clean"`
	Rows     int64     `json:"rows"`
	Findings int       `json:"findings"`
}

// Status returns the present state.
func (s *Service) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Healthy reports whether records get into a chain that verifies.
func (st Status) Healthy() bool {
	return st.Damage == nil && (st.Verification == nil || st.Verification.Clean) && st.OldestSeconds < staleAfter.Seconds()
}

// routes answers GET /health (no I/O) and GET /status: 503 while something is wrong.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		st := s.Status()
		code := http.StatusOK
		if !st.Healthy() {
			code = http.StatusServiceUnavailable
		}
		httpx.WriteJSON(w, code, st)
	})
	return mux
}

// Exit codes of `z4j audit verify`.
const (
	ExitClean    = 0
	ExitMismatch = 1
)

// WriteReport prints a report as `z4j audit verify` does, results to out and refusals to errs, and returns the exit code.
func WriteReport(out, errs io.Writer, r Report) (exit int, err error) {
	exit = ExitClean
	if !r.Clean() {
		exit = ExitMismatch
	}
	if r.Refused != "" {
		_, err = fmt.Fprintf(errs, "audit verify: refused: %s\n", r.Refused)
	} else {
		_, err = fmt.Fprintf(out, "verified active: %d\ncanonical frozen rows assessed in aggregate: 0\n", r.Rows)
	}
	if err == nil && r.Total > 0 {
		_, err = fmt.Fprintf(out, "MISMATCHES (%d):\n", r.Total)
		for _, f := range r.Findings {
			if err == nil {
				_, err = fmt.Fprintf(out, "  %s\n", f)
			}
		}
		if more := r.Total - len(r.Findings); more > 0 && err == nil {
			_, err = fmt.Fprintf(out, "  and %d more\n", more)
		}
	}
	if err == nil && r.KnownHead != "" {
		_, err = fmt.Fprintf(out, "known-head: %s\n", r.KnownHead)
	}
	return exit, err
}
