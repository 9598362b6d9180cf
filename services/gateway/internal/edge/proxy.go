// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// ProxyOptions configures NewProxy.
type ProxyOptions struct {
	// Name is the service's name in messages and in the log.
	Name string
	// Pool is the service's replicas.
	Pool *Pool
	// HopKey signs the client's address for the service.
	HopKey []byte
	Logger *slog.Logger
}

// NewProxy returns a handler that passes requests, WebSockets included, to a service. The Host header
// is kept: the service builds no links from it, but its log shows what users typed.
func NewProxy(opt ProxyOptions) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			// The pool names the replica.
			pr.Out.URL.Scheme, pr.Out.URL.Host = "http", opt.Name
			pr.Out.Host = pr.In.Host
			client := httpx.ClientIP(pr.In.Context())
			pr.Out.Header.Set("X-Forwarded-For", client.String())
			pr.Out.Header.Set(httpx.RequestIDHeader, httpx.RequestID(pr.In.Context()))
			httpx.SignHop(pr.Out, opt.HopKey, client, time.Now())
		},
		Transport: opt.Pool,
		ModifyResponse: func(resp *http.Response) error {
			// The edge has set these already; twice would be a fault in some browsers.
			for _, name := range []string{
				httpx.RequestIDHeader, "X-Content-Type-Options", "X-Frame-Options", "Permissions-Policy", "Cross-Origin-Opener-Policy",
				"Cross-Origin-Resource-Policy", "Referrer-Policy", "Strict-Transport-Security",
			} {
				resp.Header.Del(name)
			}
			return nil
		},
		ErrorLog:     slog.NewLogLogger(opt.Logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { proxyError(opt, w, r, err) },
	}
}

func proxyError(opt ProxyOptions, w http.ResponseWriter, r *http.Request, err error) {
	if httpx.IsTooLarge(err) || errors.Is(err, context.Canceled) {
		httpx.WriteError(w, r, err)
		return
	}
	// Whatever was sent may have been done: only what certainly was not is tried again before this point.
	w.Header().Set("Retry-After", "2")
	httpx.WriteError(w, r, &domain.Error{
		Code:    domain.CodeUnavailable,
		Message: "the " + opt.Name + " service does not answer; it may be restarting, try again in a moment",
		Status:  http.StatusServiceUnavailable,
		Cause:   err,
	})
}
