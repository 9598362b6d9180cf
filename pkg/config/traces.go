// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Protocols of Traces.Protocol.
const (
	ProtocolHTTP = "http/protobuf"
	ProtocolGRPC = "grpc"
)

// standardNames are the names of the OpenTelemetry specification that are read in place of ours: platforms set them for
// every container.
func standardNames() [][2]string {
	return [][2]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "Z4J_OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "Z4J_OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "Z4J_OTEL_PROTOCOL"},
		{"OTEL_SERVICE_NAME", "Z4J_OTEL_SERVICE_NAME"},
		{"OTEL_TRACES_SAMPLER_ARG", "Z4J_OTEL_TRACES_SAMPLER_ARG"},
	}
}

// standardValues takes the standard variables out of the environment, under our names. The argument of a sampler that is no
// ratio means something else there.
func standardValues(environ []string) map[string]string {
	given := map[string]string{}
	for _, entry := range environ {
		if key, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(key, "OTEL_") {
			given[key] = value
		}
	}
	if !strings.HasSuffix(given["OTEL_TRACES_SAMPLER"], "traceidratio") {
		delete(given, "OTEL_TRACES_SAMPLER_ARG")
	}
	values := map[string]string{}
	for _, pair := range standardNames() {
		values[pair[1]] = given[pair[0]]
	}
	return values
}

// On reports whether traces are wanted.
func (t *Traces) On() bool { return t.Endpoint != "" }

// HeaderMap reads the headers. Its error never repeats any part of them.
func (t *Traces) HeaderMap() (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(t.Headers.Reveal(), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("has an entry that is no header")
		}
		headers[key] = value
	}
	return headers, nil
}

// Patterns compiles the expressions of paths that are not traced.
func (t *Traces) Patterns() ([]*regexp.Regexp, error) {
	var list []*regexp.Regexp
	for text := range strings.SplitSeq(t.Excluded, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, errors.New("has an entry that does not compile")
		}
		list = append(list, re)
	}
	return list, nil
}

// derive fills what follows from the role of the process.
func (t *Traces) derive(role string) {
	t.Protocol = strings.ToLower(t.Protocol)
	if t.Protocol == "http" || t.Protocol == "" {
		t.Protocol = ProtocolHTTP
	}
	if t.ServiceName == "" {
		t.ServiceName = "z4j-brain"
		if role != "" {
			t.ServiceName = "z4j-" + role
		}
	}
}

func (t *Traces) validate(add addFunc) {
	if t.On() {
		u, err := url.Parse(t.Endpoint.Reveal())
		switch {
		case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"):
			add("Z4J_OTEL_EXPORTER_OTLP_ENDPOINT", "is no address of an OTLP receiver", "write one like http://collector:4318, or https:// for TLS")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			add("Z4J_OTEL_EXPORTER_OTLP_ENDPOINT", "carries a user, a query or a fragment", "write scheme, host, port and path only; credentials go into Z4J_OTEL_EXPORTER_OTLP_HEADERS")
		}
	}
	if _, err := t.HeaderMap(); err != nil {
		add("Z4J_OTEL_EXPORTER_OTLP_HEADERS", err.Error(), "write key=value, separated by commas; commas, spaces and % inside a value are %-encoded")
	}
	if _, err := t.Patterns(); err != nil {
		add("Z4J_OTEL_EXCLUDED_URL_PATTERNS", err.Error(), "write regular expressions in RE2 syntax, separated by commas: no look-around, no back-references")
	}
}
