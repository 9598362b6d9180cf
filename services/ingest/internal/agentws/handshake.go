// SPDX-License-Identifier: AGPL-3.0-or-later

package agentws

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/throttle"
)

// Names of the protocol's features that retries depend on.
const (
	featureRetryByReference    = "retry_by_reference"
	capabilityRetryByReference = "retry_by_reference_v1"
)

// refusal is why a connection is not admitted; outcome is its metric label.
type refusal struct {
	code    int
	reason  string
	outcome string
	// slow keeps the peer waiting before it is told.
	slow bool
}

// maxTokenLength bounds what is hashed; tokens have 43 characters.
const maxTokenLength = 512

// bearer takes the token out of an Authorization header; the scheme's case does not matter.
func bearer(authorization string) string {
	scheme, token, ok := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "bearer") || len(token) > maxTokenLength {
		return ""
	}
	return token
}

// handshake runs section 2.1 of the protocol up to the registered slot.
func (s *Server) handshake(ctx context.Context, ws *websocket.Conn, conn *gatherConn, ip netip.Addr, authorization string) (*Conn, *refusal) {
	deadline := time.Now().Add(s.cfg.HandshakeTimeout)
	key := throttle.AddressKey(ip)
	if s.ipFailures.Blocked(key) {
		return nil, &refusal{code: CloseTooMany, reason: "too many failed connection attempts from this address; wait a minute", outcome: "throttled", slow: true}
	}
	if len(s.cfg.Allow) > 0 && !httpx.ContainsIP(s.cfg.Allow, ip) {
		s.metrics.ipDenied.WithLabelValues("agent_ws").Inc()
		s.failed(ctx, ip, key, "agent.auth.ip_denied", "address not in Z4J_AGENT_IP_ALLOWLIST")
		return nil, &refusal{code: CloseForbidden, outcome: "ip_denied"}
	}
	login, r := s.login(ctx, ip, key, authorization)
	if r != nil {
		return nil, r
	}
	hello, r := s.hello(ctx, ws, deadline, login, ip, key)
	if r != nil {
		return nil, r
	}
	return s.admit(ctx, ws, conn, deadline, login, hello)
}

// failed counts a failed handshake and records it; the log gets the first one and then every hundredth.
func (s *Server) failed(ctx context.Context, ip netip.Addr, key, action, reason string) {
	if n := s.ipFailures.Add(key); n == 1 || n%100 == 0 {
		s.log.WarnContext(ctx, "agent connection refused", "address", ip.String(), "reason", reason, "failures_in_window", n)
	}
	s.refusals.Refused(ctx, ip, action, reason)
}

func (s *Server) login(ctx context.Context, ip netip.Addr, key, authorization string) (store.AgentLogin, *refusal) {
	token := bearer(authorization)
	if token == "" {
		s.failed(ctx, ip, key, "agent.auth.bearer_failed", "no bearer token")
		return store.AgentLogin{}, &refusal{code: CloseUnauthenticated, outcome: "unauthenticated"}
	}
	hashes := make([]string, len(s.masters))
	for i, m := range s.masters {
		hashes[i] = wire.TokenHash(m, token)
	}
	login, err := s.store.AgentByTokenHash(ctx, hashes...)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && login.Revoked:
		s.failed(ctx, ip, key, "agent.auth.bearer_failed", "unknown or revoked agent token")
		return login, &refusal{code: CloseUnauthenticated, outcome: "unauthenticated"}
	case err != nil:
		s.log.ErrorContext(ctx, "agent connection refused: token look-up failed", "err", err)
		return login, &refusal{code: CloseInternal, outcome: "error"}
	case !login.ProjectActive:
		s.failed(ctx, ip, key, "agent.auth.project_inactive", "the agent's project is archived")
		return login, &refusal{code: CloseUnauthenticated, outcome: "project_inactive"}
	case s.agentFailures.Blocked(throttle.AgentKey(login.Ref.ID)):
		return login, &refusal{code: CloseTooMany, reason: "too many frames of this agent failed authentication; wait a minute", outcome: "throttled", slow: true}
	}
	return login, nil
}

// hello reads and checks the first frame.
func (s *Server) hello(ctx context.Context, ws *websocket.Conn, deadline time.Time, login store.AgentLogin, ip netip.Addr, key string) (*wire.Hello, *refusal) {
	log := s.log.With("agent", login.Name, "agent_id", login.Ref.UID.String(), "project", login.ProjectSlug, "address", ip.String())
	_ = ws.SetReadDeadline(deadline)
	_, r, err := ws.NextReader()
	var frame []byte
	if err == nil {
		frame, err = readAll(r, s.frames.Get(), s.cfg.MaxFrameBytes)
		defer func() { s.frames.Put(frame) }()
	}
	if err != nil {
		s.ipFailures.Add(key)
		var timeout interface{ Timeout() bool }
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			log.WarnContext(ctx, "agent connection closed: no hello in time", "seconds", s.cfg.HandshakeTimeout.Seconds())
			return nil, &refusal{code: CloseIdle, outcome: "hello_timeout"}
		case errors.Is(err, errOversize), errors.Is(err, errEmpty):
			log.WarnContext(ctx, "agent connection closed: bad hello", "reason", err.Error())
			return nil, &refusal{code: CloseBadFrame, outcome: "bad_hello"}
		}
		return nil, &refusal{code: CloseBadFrame, outcome: "gone"}
	}
	h, err := wire.ParseHello(frame)
	if err == nil && strings.ContainsRune(h.WorkerID, 0) {
		err = &wire.Error{Class: wire.ClassProtocol, Field: "worker_id", Reason: "contains a NUL character"}
	}
	if err != nil {
		s.ipFailures.Add(key)
		log.WarnContext(ctx, "agent connection closed: bad hello", "reason", err.Error())
		return nil, &refusal{code: CloseBadFrame, outcome: "bad_hello"}
	}
	if h.ProtocolVersion != domain.ProtocolVersion {
		s.ipFailures.Add(key)
		log.WarnContext(ctx, "agent connection closed: it speaks another protocol version; install an agent of this brain's major version",
			"agent_protocol", h.ProtocolVersion, "brain_protocol", domain.ProtocolVersion, "agent_version", h.AgentVersion, "brain_version", domain.Version)
		return nil, &refusal{code: CloseProtocolVersion, outcome: "protocol_version"}
	}
	if note := versionSkew(h.AgentVersion, domain.Version); note != "" {
		log.WarnContext(ctx, "agent version differs from the brain's", "advice", note, "agent_version", h.AgentVersion, "brain_version", domain.Version)
	}
	return h, nil
}

// admit writes the rows, answers hello_ack and registers the slot, in this order: hello_ack must be the first
// frame the agent sees, and a command may follow the registration at once.
func (s *Server) admit(ctx context.Context, ws *websocket.Conn, conn *gatherConn, deadline time.Time, login store.AgentLogin, h *wire.Hello) (*Conn, *refusal) {
	features := jsonText(h.RuntimeFeatures, "[]")
	connect := store.Connect{
		Agent: login.Ref, ProtocolVersion: h.ProtocolVersion, AgentVersion: clean(h.AgentVersion), Framework: clean(h.Framework),
		Engines: jsonText(h.Engines, "[]"), Schedulers: jsonText(h.Schedulers, "[]"), Capabilities: jsonText(h.Capabilities, "{}"),
		RuntimeFts: features, HostName: clean(h.HostName), WorkerID: h.WorkerID, Role: clean(h.WorkerRole),
		Owner: s.cfg.Owner, Lease: s.cfg.SlotLease, Cap: s.cfg.SlotCap,
	}
	if h.WorkerPID >= 0 {
		connect.PID = &h.WorkerPID
	}
	if !h.WorkerStartedAt.IsZero() {
		at := domain.Micros(h.WorkerStartedAt)
		connect.StartedAt = &at
	}
	log := s.log.With("agent", login.Name, "agent_id", login.Ref.UID.String(), "project", login.ProjectSlug, "worker_id", h.WorkerID)
	slot, err := s.admission.admit(ctx, deadline, connect)
	switch {
	case errors.Is(err, store.ErrAgentBarred):
		return nil, &refusal{code: CloseUnauthenticated, outcome: "unauthenticated"}
	case errors.Is(err, store.ErrSlotsFull):
		log.WarnContext(ctx, "agent connection refused: worker cap reached; raise Z4J_WS_PER_AGENT_CONCURRENCY_CAP or mint another agent", "cap", s.cfg.SlotCap)
		return nil, &refusal{code: CloseTooMany, reason: "worker cap of this agent reached", outcome: "slots_full"}
	case errors.Is(err, errLate):
		return nil, &refusal{code: CloseIdle, outcome: "late"}
	case err != nil:
		log.ErrorContext(ctx, "agent connection refused: rows not written", "err", err)
		return nil, &refusal{code: CloseInternal, outcome: "error"}
	}
	session := wire.Session{
		Key: wire.ProjectKey(s.master, login.Ref.ProjectUID), AgentID: login.Ref.UID.String(),
		ProjectID: login.Ref.ProjectUID.String(), SessionID: uuid.NewString(), Now: s.now,
	}
	verifier, signer := wire.NewPair(session)
	c := &Conn{
		srv: s, ws: ws, conn: conn, ref: login.Ref, name: login.Name, project: login.ProjectSlug, workerID: h.WorkerID,
		slot: slot, sessionID: session.SessionID, contracts: contracts(h), verifier: verifier,
		signer: signer, gone: make(chan struct{}), log: log,
	}
	c.lastPing.Store(time.Now().UnixNano())
	c.decoder.Redact = s.redact
	c.queue = s.commit.Open(login.Ref.ID, c)
	_ = c.push(out{kind: outRaw, payload: wire.AppendHelloAck(nil, wire.HelloAck{
		ProtocolVersion: h.ProtocolVersion, BrainVersion: domain.Version, AgentID: session.AgentID, ProjectID: session.ProjectID,
		SessionID: session.SessionID, HeartbeatIntervalSeconds: s.cfg.HeartbeatSeconds, MaxFrameSizeBytes: s.cfg.MaxFrameBytes, TS: s.now(),
	})})
	s.mu.Lock()
	s.conns[c] = struct{}{}
	stopping := s.stopping
	s.mu.Unlock()
	replaced := s.hub.Register(c)
	switch {
	case replaced == c:
		// Another connection took the slot while this one was being set up.
		c.Close(CloseReplaced, "")
	case replaced != nil:
		replaced.Close(CloseReplaced, "")
	}
	if slot.TakenFrom != "" && slot.TakenFrom != s.cfg.Owner {
		s.hints.SlotTaken(ctx, login.Ref.ID)
	}
	if stopping {
		c.Close(CloseRestart, "")
	}
	log.InfoContext(ctx, "agent connected", "agent_version", h.AgentVersion, "framework", h.Framework, "engines", h.Engines, "generation", slot.Generation)
	s.hints.AgentChanged(ctx, login.Ref)
	s.commands.Connected(login.Ref.ID)
	return c, nil
}

// contracts are what this session satisfies: engines whose retries it takes by reference.
func contracts(h *wire.Hello) []string {
	if !h.HasFeature(featureRetryByReference) {
		return nil
	}
	var list []string
	for _, e := range h.Engines {
		if h.Has(e, capabilityRetryByReference) {
			list = append(list, store.RetryContract(e))
		}
	}
	return list
}

// clean drops what PostgreSQL can't store in a text.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// jsonText encodes a list or map of strings; nil becomes empty.
func jsonText(v any, empty string) string {
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" {
		return empty
	}
	return string(b)
}

// versionSkew describes how an agent's version differs enough to be worth a warning: another major, newer,
// or more than one minor behind. "" is fine; "0.0.0" means unknown.
func versionSkew(agent, brain string) string {
	aMaj, aMin, aPatch, ok1 := semver(agent)
	bMaj, bMin, bPatch, ok2 := semver(brain)
	if !ok1 || !ok2 || agent == "0.0.0" {
		return ""
	}
	switch {
	case aMaj != bMaj:
		return "another major version; install agents of the brain's major version"
	case aMin > bMin || (aMin == bMin && aPatch > bPatch):
		return "the agent is newer; upgrade the brain"
	case bMin-aMin > 1:
		return "the agent is more than one minor version behind; upgrade it"
	}
	return ""
}

func semver(v string) (major, minor, patch int, ok bool) {
	v, _, _ = strings.Cut(v, "+")
	v, _, _ = strings.Cut(v, "-")
	parts := strings.Split(v, ".")
	if len(parts) < 2 {
		return 0, 0, 0, false
	}
	nums := [3]int{}
	for i, p := range parts[:min(len(parts), 3)] {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return 0, 0, 0, false
		}
		nums[i] = n
	}
	return nums[0], nums[1], nums[2], true
}
