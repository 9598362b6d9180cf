// SPDX-License-Identifier: AGPL-3.0-or-later

package obs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Bounds of one export.
const (
	// exportLimit bounds an export with its repetitions, attemptLimit one attempt.
	exportLimit  = 30 * time.Second
	attemptLimit = 10 * time.Second
	// firstPause doubles with each repetition, up to maxPause.
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
	// complainEvery is the least time between log lines about a receiver.
	complainEvery = time.Minute
)

const (
	httpTracesPath = "/v1/traces"
	grpcExportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

// otlpClient sends spans to an OTLP receiver. The exporters of the OpenTelemetry project do the same, but link all of
// gRPC-Go (6 MB of binary) for the sake of one message's type: a unary call is a POST over HTTP/2 with five bytes before
// the message, which net/http can do.
type otlpClient struct {
	url     string
	grpc    bool
	headers map[string]string
	http    *http.Client
	log     *slog.Logger
	spans   *prometheus.CounterVec

	// stopped ends attempts that are under way when the process can wait no longer.
	stopped context.Context //nolint:containedctx // the life of the client
	stop    context.CancelFunc

	mu        sync.Mutex
	complaint time.Time
	silenced  int
}

var _ otlptrace.Client = (*otlpClient)(nil)

func newOTLPClient(cfg TraceConfig, log *slog.Logger, reg prometheus.Registerer) (*otlpClient, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("the address of the OTLP receiver is not usable: write one like http://collector:4318")
	}
	target := url.URL{Scheme: u.Scheme, Host: u.Host, Path: grpcExportPath}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: attemptLimit,
		MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true, Protocols: new(http.Protocols),
	}
	if cfg.GRPC {
		transport.Protocols.SetHTTP2(true)
		transport.Protocols.SetUnencryptedHTTP2(true)
	} else {
		transport.Protocols.SetHTTP1(true)
		transport.Protocols.SetHTTP2(true)
		if target.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(target.Path, httpTracesPath) {
			target.Path += httpTracesPath
		}
	}
	c := &otlpClient{
		url: target.String(), grpc: cfg.GRPC, headers: cfg.Headers, log: log,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the headers may hold a key that is no business of another host
		}},
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "z4j_trace_spans_total", Help: "Spans by what became of them: exported, failed (the receiver took too long or refused them).",
		}, []string{"outcome"}),
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	if reg != nil {
		if err := reg.Register(c.spans); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return c, nil
}

// Start implements otlptrace.Client.
func (*otlpClient) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *otlpClient) Stop(context.Context) error {
	c.abort()
	return nil
}

// abort ends the attempt under way and all later ones.
func (c *otlpClient) abort() {
	c.stop()
	c.http.CloseIdleConnections()
}

// UploadTraces implements otlptrace.Client. It tells of failures itself, once a minute: the caller would tell a logger that
// belongs to the whole process.
func (c *otlpClient) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	n := 0
	for _, r := range spans {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	if n == 0 {
		return nil
	}
	if c.stopped.Err() != nil {
		return nil //nolint:nilerr // the end: what still waits is lost, which Close says
	}
	// The request of an export has the fields of TracesData.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err == nil {
		err = c.send(ctx, body)
	}
	if err != nil {
		c.spans.WithLabelValues("failed").Add(float64(n))
		c.complain(ctx, n, err)
		return nil
	}
	c.spans.WithLabelValues("exported").Add(float64(n))
	return nil
}

// complain logs a failure, at most once a minute.
func (c *otlpClient) complain(ctx context.Context, spans int, err error) {
	if c.stopped.Err() != nil {
		return
	}
	c.mu.Lock()
	c.silenced++
	failures := c.silenced
	due := c.complaint.IsZero() || time.Since(c.complaint) >= complainEvery
	if due {
		c.complaint, c.silenced = time.Now(), 0
	}
	c.mu.Unlock()
	if due {
		c.log.WarnContext(ctx, "traces are lost: the OTLP receiver does not take them; check Z4J_OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS and Z4J_OTEL_PROTOCOL",
			"receiver", c.url, "spans", spans, "failures", failures, "err", err)
	}
}

// refusedError is an answer that is no success. The receiver's own words are left out: it may repeat what it was sent.
type refusedError struct {
	text  string
	again bool
	after time.Duration
}

func (e *refusedError) Error() string { return e.text }

// send repeats an export while that may help and there is time.
func (c *otlpClient) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, exportLimit)
	defer cancel()
	defer context.AfterFunc(c.stopped, cancel)()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := c.attempt(ctx, body)
		if err == nil {
			return nil
		}
		wait := pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads repetitions, guards nothing
		if refused, ok := errors.AsType[*refusedError](err); ok {
			if !refused.again {
				return err
			}
			wait = max(wait, refused.after)
		}
		if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) <= wait {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

func (c *otlpClient) attempt(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	contentType := "application/x-protobuf"
	if c.grpc {
		// A length-prefixed message, not compressed.
		framed := make([]byte, 5, 5+len(body))
		binary.BigEndian.PutUint32(framed[1:], uint32(len(body))) //nolint:gosec // bounded by traceBatch spans
		body, contentType = append(framed, body...), "application/grpc"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for key, value := range c.headers {
		req.Header.Set(key, value)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "z4j")
	if c.grpc {
		req.Header.Set("Te", "trailers")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return &refusedError{
			text: "the receiver answered " + strconv.Itoa(resp.StatusCode), again: retryableStatus(resp.StatusCode), after: retryAfter(resp.Header),
		}
	}
	if c.grpc {
		if answer, err = grpcAnswer(resp, answer); err != nil {
			return err
		}
	}
	if n := rejectedSpans(answer); n > 0 {
		return &refusedError{text: fmt.Sprintf("the receiver refused %d spans of those it was sent", n)}
	}
	return nil
}

func retryableStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads Retry-After in seconds; anything else is no wish.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, exportLimit)
}

// grpcAnswer checks the status of a unary call and returns the message of its answer.
func grpcAnswer(resp *http.Response, body []byte) ([]byte, error) {
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status") // an answer of trailers only
	}
	switch status {
	case "0":
		if len(body) < 5 || body[0] != 0 {
			return nil, nil // no message, or a compressed one, which was not asked for
		}
		return body[5:], nil
	case "":
		return nil, &refusedError{text: "the receiver does not speak gRPC: is it the port of http/protobuf?"}
	}
	again := false
	switch status {
	case "1", "4", "8", "10", "11", "14", "15": // the codes that OTLP calls retryable
		again = true
	}
	if _, err := strconv.Atoi(status); err != nil {
		status = "unknown"
	}
	return nil, &refusedError{text: "the receiver answered with gRPC status " + status, again: again}
}

// rejectedSpans reads partial_success.rejected_spans of an answer; whatever can't be read refuses nothing.
func rejectedSpans(answer []byte) int64 {
	partial := protoField(answer, 1)
	for len(partial) > 0 {
		num, typ, n := protowire.ConsumeTag(partial)
		if n < 0 {
			return 0
		}
		partial = partial[n:]
		if num == 1 && typ == protowire.VarintType {
			v, n := protowire.ConsumeVarint(partial)
			if n < 0 {
				return 0
			}
			return int64(v) //nolint:gosec // an int64 on the wire
		}
		if n = protowire.ConsumeFieldValue(num, typ, partial); n < 0 {
			return 0
		}
		partial = partial[n:]
	}
	return 0
}

// protoField returns the bytes of a length-delimited field.
func protoField(message []byte, want protowire.Number) []byte {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if num == want && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return nil
			}
			return v
		}
		if n = protowire.ConsumeFieldValue(num, typ, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
