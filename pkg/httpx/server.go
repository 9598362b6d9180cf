// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of a public listener. There is no limit on the whole answer: exports, long polls and WebSockets
// last as long as they last, and their handlers bound them.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// NewServer returns a server with the limits that every public listener of ours has. Its own complaints
// about clients, such as broken TLS handshakes, go to the log at DEBUG.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
