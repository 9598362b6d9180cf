// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
)

const (
	// probeEvery is the pace of readiness probes, probeLimit how long one may take.
	probeEvery = time.Second
	probeLimit = 2 * time.Second
	// resolveEvery is how often host names are looked up again: replicas come and go.
	resolveEvery = 2 * time.Second
	// dialLimit bounds the connection to a replica; another one is tried after it.
	dialLimit = 2 * time.Second
	// maxAttempts bounds how many replicas one request is offered to.
	maxAttempts = 3
	// maxReplicas bounds the addresses of one service.
	maxReplicas = 1000
)

// PoolOptions configures NewPool.
type PoolOptions struct {
	// Name is the service's name in messages, metrics and the log.
	Name string
	// Targets are addresses such as http://api:7720. A host name stands for every address it has.
	Targets []string
	Logger  *slog.Logger
	Metrics *Metrics
}

// Pool is the replicas of one service: it finds them, probes them and sends each request to the least busy one that is
// ready. It implements http.RoundTripper.
type Pool struct {
	opt       PoolOptions
	targets   []*url.URL
	transport *http.Transport
	resolver  func(ctx context.Context, host string) ([]string, error)

	// looked is set by the first round of probes: before it nothing is known of any replica.
	looked atomic.Bool

	mu       sync.Mutex
	replicas []*replica
	turn     int
}

// replica is one address of a service.
type replica struct {
	scheme, address string // address is host:port
	name            string // the name that was configured, for TLS and the Host of probes
	// down is set by a failed probe or dial and cleared by a good probe.
	down   atomic.Bool
	active atomic.Int64
}

// NewPool checks the targets. Until Run has looked once, the targets are taken as they are written.
func NewPool(opt PoolOptions) (*Pool, error) {
	if len(opt.Targets) == 0 {
		return nil, fmt.Errorf("the gateway needs the address of the %s service, such as http://%s:7700", opt.Name, opt.Name)
	}
	p := &Pool{opt: opt, resolver: net.DefaultResolver.LookupHost}
	for _, target := range opt.Targets {
		u, err := url.Parse(target)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("the gateway needs the address of the %s service, such as http://%s:7700, not %q", opt.Name, opt.Name, target)
		}
		p.targets = append(p.targets, u)
		p.replicas = append(p.replicas, &replica{scheme: u.Scheme, address: withPort(u, u.Hostname()), name: u.Hostname()})
	}
	dialer := &net.Dialer{Timeout: dialLimit, KeepAlive: 30 * time.Second}
	p.transport = &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: dialLimit,
		// Compression is between the client and the service; the gateway passes it through.
		DisableCompression: true,
	}
	return p, nil
}

func withPort(u *url.URL, host string) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(host, port)
}

// Name is the service's name.
func (p *Pool) Name() string { return p.opt.Name }

// Available reports whether any replica was ready at the last look.
func (p *Pool) Available() bool {
	return p.looked.Load() && slices.ContainsFunc(p.list(), func(r *replica) bool { return !r.down.Load() })
}

func (p *Pool) list() []*replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replicas
}

// Run looks up and probes the replicas until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	defer p.transport.CloseIdleConnections()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var resolved time.Time
	for {
		if time.Since(resolved) >= resolveEvery {
			resolved = time.Now()
			p.resolve(ctx)
		}
		p.probeAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// resolve brings the list of replicas up to date. A name that can't be looked up keeps the addresses it had: the name
// server may be away while the replicas are well.
func (p *Pool) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	old := map[string]*replica{}
	for _, r := range p.list() {
		old[r.scheme+"://"+r.address] = r
	}
	found := map[string]*replica{}
	for _, u := range p.targets {
		addresses, err := p.resolver(ctx, u.Hostname())
		if err != nil {
			p.opt.Logger.DebugContext(ctx, "name of a service not found", "upstream", p.opt.Name, "host", u.Hostname(), "err", err)
			for key, r := range old {
				if r.name == u.Hostname() {
					found[key] = r
				}
			}
			continue
		}
		for _, a := range addresses {
			r := &replica{scheme: u.Scheme, address: withPort(u, a), name: u.Hostname()}
			key := r.scheme + "://" + r.address
			if known := old[key]; known != nil {
				r = known
			}
			if len(found) < maxReplicas {
				found[key] = r
			}
		}
	}
	replicas := make([]*replica, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		replicas = append(replicas, found[key])
	}
	p.mu.Lock()
	p.replicas = replicas
	p.mu.Unlock()
}

func (p *Pool) probeAll(ctx context.Context) {
	replicas := p.list()
	var wg sync.WaitGroup
	for _, r := range replicas {
		wg.Go(func() { p.mark(ctx, r, p.probe(ctx, r)) })
	}
	wg.Wait()
	p.looked.Store(true)
	up := 0
	for _, r := range replicas {
		if !r.down.Load() {
			up++
		}
	}
	p.opt.Metrics.upstreams(p.opt.Name, up, len(replicas))
}

// mark notes what a probe or a dial said, and logs the change.
func (p *Pool) mark(ctx context.Context, r *replica, err error) {
	if ctx.Err() != nil {
		return
	}
	if was := r.down.Swap(err != nil); was != (err != nil) {
		if err != nil {
			p.opt.Logger.WarnContext(ctx, "replica is away", "upstream", p.opt.Name, "address", r.address, "err", err)
		} else {
			p.opt.Logger.InfoContext(ctx, "replica is ready", "upstream", p.opt.Name, "address", r.address)
		}
	}
}

// probe asks a replica whether it wants requests.
func (p *Pool) probe(ctx context.Context, r *replica) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.scheme+"://"+r.address+"/health/ready", http.NoBody)
	if err != nil {
		return err
	}
	req.Host = r.name
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", resp.StatusCode)
	}
	return nil
}

// pick chooses the least busy ready replica that was not tried; when none is ready, one that is not: a probe may be wrong,
// and a refused dial costs little.
func (p *Pool) pick(tried []*replica) *replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	var best *replica
	for i := range p.replicas {
		r := p.replicas[(p.turn+i)%len(p.replicas)]
		if slices.Contains(tried, r) {
			continue
		}
		if best == nil || best.down.Load() && !r.down.Load() ||
			best.down.Load() == r.down.Load() && r.active.Load() < best.active.Load() {
			best = r
		}
	}
	return best
}

var errNoReplica = errors.New("no replica to send the request to")

// RoundTrip implements http.RoundTripper. A request that certainly did not reach a replica, and one that may be repeated
// without harm (GET, HEAD, OPTIONS without a body), is offered to another replica; any other failure is the caller's.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := obs.Child(req.Context(), "gateway", req.Method+" "+p.opt.Name, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		req = req.WithContext(ctx)
	}
	httpx.InjectTrace(ctx, req.Header)
	resp, address, tried, err := p.roundTrip(req)
	endSend(span, resp, address, tried, err)
	return resp, err
}

// endSend ends the span of a request to a service when the head of the answer is there: its body may last as long as its
// reader.
func endSend(span trace.Span, resp *http.Response, address string, tried int, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("network.peer.address", address), attribute.Int("http.request.resend_count", max(tried-1, 0)))
		if resp != nil {
			span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
			if resp.StatusCode >= http.StatusBadRequest {
				span.SetStatus(codes.Error, "")
			}
		}
	}
	obs.End(span, err)
}

// roundTrip returns the answer, the address of the last replica that was tried, and how many were.
func (p *Pool) roundTrip(req *http.Request) (*http.Response, string, int, error) {
	body := &keptBody{ReadCloser: req.Body}
	var tried []*replica
	var failure error
	for range maxAttempts {
		r := p.pick(tried)
		if r == nil {
			break
		}
		tried = append(tried, r)
		resp, err := p.send(req, r, body)
		if err == nil {
			return resp, r.address, len(tried), nil
		}
		failure = err
		if req.Context().Err() != nil {
			break
		}
		dialed := isDial(err)
		if dialed {
			p.mark(req.Context(), r, err)
		}
		if !dialed && !repeatable(req) || body.read.Load() {
			break
		}
		p.opt.Metrics.retried(p.opt.Name)
	}
	if failure == nil {
		return nil, "", 0, errNoReplica
	}
	return nil, tried[len(tried)-1].address, len(tried), failure
}

// send passes the request to one replica and counts it as the replica's until the answer is read.
func (p *Pool) send(req *http.Request, r *replica, body *keptBody) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host = r.scheme, r.address
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = io.NopCloser(body)
	}
	r.active.Add(1)
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		r.active.Add(-1)
		return nil, err
	}
	done := sync.OnceFunc(func() { r.active.Add(-1) })
	if rw, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = &countedSocket{rw, done} // a WebSocket: the proxy writes to it too
	} else {
		resp.Body = &countedBody{resp.Body, done}
	}
	return resp, nil
}

// isDial reports that the request did not leave the gateway.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// repeatable reports whether doing the request twice does no harm.
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody || req.Header.Get("Upgrade") != "" {
		return false
	}
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == http.MethodOptions
}

// keptBody knows whether any of a request's body was read. Closing is left to the server that owns the request: the
// attempts share the body.
type keptBody struct {
	io.ReadCloser
	read atomic.Bool
}

// Read implements io.Reader.
func (b *keptBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
}

type countedBody struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (b *countedBody) Close() error {
	b.done()
	return b.ReadCloser.Close()
}

type countedSocket struct {
	io.ReadWriteCloser
	done func()
}

// Close implements io.Closer.
func (s *countedSocket) Close() error {
	s.done()
	return s.ReadWriteCloser.Close()
}
