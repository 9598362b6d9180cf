// SPDX-License-Identifier: AGPL-3.0-or-later

// Package obs sets up what operators watch: the log, the metrics registry, traces and the build's identity.
// It keeps no global state: loggers and registries are made in main and handed down.
package obs

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/z4jdev/z4j/pkg/domain"
)

// LevelCritical is above error: the process cannot go on.
const LevelCritical = slog.LevelError + 4

// ParseLevel reads the level names users know: DEBUG, INFO, WARNING, ERROR, CRITICAL.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToUpper(name) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "", "INFO":
		return slog.LevelInfo, nil
	case "WARNING", "WARN":
		return slog.LevelWarn, nil
	case "ERROR":
		return slog.LevelError, nil
	case "CRITICAL":
		return LevelCritical, nil
	}
	return 0, fmt.Errorf("log level %q is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL", name)
}

// NewLogger writes log lines to w (stderr: stdout belongs to the output of commands) as "json" or "text". Lines of a context
// whose work is recorded in a trace carry trace_id and span_id.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	least, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	opt := &slog.HandlerOptions{Level: least, ReplaceAttr: replaceAttr}
	switch format {
	case "json":
		return slog.New(traceHandler{slog.NewJSONHandler(w, opt)}), nil
	case "", "text":
		return slog.New(traceHandler{slog.NewTextHandler(w, opt)}), nil
	}
	return nil, fmt.Errorf("log format %q is neither json nor text", format)
}

// replaceAttr writes durations as texts in both formats, times in UTC, and names the level above error.
func replaceAttr(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	case slog.KindAny:
		if level, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey && level >= LevelCritical {
			a.Value = slog.StringValue("CRITICAL")
		}
	}
	return a
}

// Build identifies the binary.
type Build struct {
	Version  string
	Revision string
	Go       string
}

// BuildInfo returns the identity of the running binary.
func BuildInfo() Build {
	b := Build{Version: domain.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

// NewRegistry returns a metrics registry with the process's own figures and z4j_build_info.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := BuildInfo()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "z4j_build_info",
		Help:        "Always 1; the labels identify the build.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "go_version": build.Go},
	})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Handler answers a scrape of the registry. Who may scrape is decided before it.
func Handler(reg *prometheus.Registry, logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: scrapeLog{logger}, ErrorHandling: promhttp.ContinueOnError})
}

// scrapeLog reports metrics that could not be collected.
type scrapeLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	if l.logger != nil {
		l.logger.Warn("metrics could not be collected", "err", fmt.Sprint(v...))
	}
}
