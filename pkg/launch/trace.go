// SPDX-License-Identifier: AGPL-3.0-or-later

package launch

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
)

// Traces is the traces' part of the settings.
type Traces struct {
	// On says that there is a receiver; without one the rest means nothing.
	On     bool
	Config obs.TraceConfig
	// Health traces probes and scrapes too, Excluded are patterns of paths that are not traced.
	Health   bool
	Excluded []*regexp.Regexp
	// Trust continues traces that trusted proxies pass on.
	Trust bool
}

// TracesFrom takes them out of the settings.
func TracesFrom(cfg *config.Config) (Traces, error) {
	c := cfg.Traces
	headers, err := c.HeaderMap()
	if err != nil {
		return Traces{}, fmt.Errorf("Z4J_OTEL_EXPORTER_OTLP_HEADERS %w", err)
	}
	excluded, err := c.Patterns()
	if err != nil {
		return Traces{}, fmt.Errorf("Z4J_OTEL_EXCLUDED_URL_PATTERNS %w", err)
	}
	return Traces{
		On: c.On(), Health: bool(c.Health), Excluded: excluded, Trust: bool(c.Trust),
		Config: obs.TraceConfig{
			Endpoint: c.Endpoint.Reveal(), GRPC: c.Protocol == config.ProtocolGRPC, Headers: headers, Ratio: c.SamplerArg,
			Service: c.ServiceName, Namespace: c.Namespace, Environment: c.Environment,
		},
	}, nil
}

// Open begins to send spans; nil without a receiver.
func (t Traces) Open(ctx context.Context, log *slog.Logger, reg prometheus.Registerer) (*obs.Tracing, error) {
	if !t.On {
		return nil, nil //nolint:nilnil // nil is tracing that is off
	}
	if t.Config.Ratio == 0 && !t.Trust {
		log.WarnContext(ctx, "traces have a receiver, but none is kept: set Z4J_OTEL_TRACES_SAMPLER_ARG to the share that is wanted, such as 0.05")
	}
	return obs.OpenTracing(ctx, t.Config, log, reg)
}

// Requests says which requests of a listener become spans; nil when tracing is off.
func (t Traces) Requests(tracing *obs.Tracing, part string) *httpx.Tracing {
	if tracing == nil {
		return nil
	}
	return &httpx.Tracing{Tracer: tracing.Tracer(part), TrustProxies: t.Trust, Skip: t.skip}
}

// skip reports whether requests for a path are not traced.
func (t Traces) skip(path string) bool {
	switch path {
	case "/health", "/health/ready", "/api/v1/health", "/api/v1/health/ready", "/metrics":
		if !t.Health {
			return true
		}
	}
	return slices.ContainsFunc(t.Excluded, func(re *regexp.Regexp) bool { return re.MatchString(path) })
}
