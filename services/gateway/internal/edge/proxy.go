// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
)

// ProxyOptions configures NewProxy.
type ProxyOptions struct {
	// Name is the service's name in messages and in the log.
	Name   string
	Target *url.URL
	// HopKey signs the client's address for the service.
	HopKey []byte
	Logger *slog.Logger
}

// NewProxy returns a handler that passes requests, WebSockets included, to a service. The Host header
// is kept: the service builds no links from it, but its log shows what users typed.
func NewProxy(opt ProxyOptions) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(opt.Target)
			pr.Out.Host = pr.In.Host
			client := httpx.ClientIP(pr.In.Context())
			pr.Out.Header.Set("X-Forwarded-For", client.String())
			pr.Out.Header.Set(httpx.RequestIDHeader, httpx.RequestID(pr.In.Context()))
			httpx.SignHop(pr.Out, opt.HopKey, client, time.Now())
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConns:        512,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     90 * time.Second,
			// Compression is between the client and the service; the gateway passes it through.
			DisableCompression: true,
		},
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
	httpx.WriteError(w, r, &domain.Error{
		Code:    domain.CodeUnavailable,
		Message: "the " + opt.Name + " service does not answer; it may be restarting, try again in a moment",
		Status:  http.StatusBadGateway,
		Cause:   err,
	})
}
