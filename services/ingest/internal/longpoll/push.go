// SPDX-License-Identifier: AGPL-3.0-or-later

package longpoll

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/decode"
	"github.com/z4jdev/z4j/services/ingest/internal/throttle"
)

// upload is the body of a push.
type upload struct {
	Frames []string `json:"frames" validate:"required,min=1,max=500"`
}

// pushed is the answer to a push.
type pushed struct {
	Accepted  int      `json:"accepted"`
	Rejected  int      `json:"rejected"`
	Errors    []string `json:"errors"`
	ErrorCode *string  `json:"error_code"`
}

func (p *pushed) reject(why string) {
	p.Rejected++
	if len(p.Errors) < maxErrors {
		p.Errors = append(p.Errors, why)
	}
}

// work is what the verified frames of a push ask for.
type work struct {
	items    []*store.IngestItem
	commands []func(ctx context.Context) error
	lastSeq  int64
	nonces   []string
	answer   pushed
}

// push takes an agent's frames.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	q, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBodyBytes)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if httpx.IsTooLarge(err) {
			err = domain.Errorf(domain.CodeTooLarge, "request body exceeds the maximum of %d bytes; send fewer frames at once", s.cfg.MaxBodyBytes)
		}
		httpx.WriteError(w, r, err)
		return
	}
	var in upload
	if err := httpx.DecodeBytes(body, &in); err != nil {
		httpx.WriteError(w, r, err)
		return
	}
	for _, f := range in.Frames {
		if len(f) > s.cfg.MaxFrameBytes {
			httpx.WriteError(w, r, domain.Errorf(domain.CodeTooLarge, "a frame of %d bytes exceeds the maximum of %d bytes", len(f), s.cfg.MaxFrameBytes))
			return
		}
	}
	session, ok := s.open(w, r, q)
	if !ok {
		return
	}
	ctx, span := obs.Child(r.Context(), "ingest", "ingest batch")
	answer, err := s.take(ctx, q, session, in.Frames)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("z4j.batch.frames", len(in.Frames)), attribute.Int("z4j.batch.agents", 1),
			attribute.Int("z4j.batch.rejected", answer.Rejected))
	}
	obs.End(span, err)
	var fault *wire.Error
	switch {
	case errors.As(err, &fault):
		s.broken(r.Context(), q, fault)
		httpx.WriteError(w, r, sessionInvalid())
	case errors.Is(err, store.ErrSessionMoved):
		httpx.WriteError(w, r, sessionInvalid())
	case err != nil:
		httpx.WriteError(w, r, err)
	default:
		httpx.WriteJSON(w, http.StatusOK, answer)
	}
}

// broken ends a session whose frame failed authentication, and says so in one line.
func (s *Server) broken(ctx context.Context, q *request, fault *wire.Error) {
	log := s.deps.Logger.With("agent", q.login.Name, "agent_id", q.login.Ref.UID.String(), "project", q.login.ProjectSlug)
	if fault.Skew != 0 {
		log.Warn("long-poll session ended: the agent's clock is off; synchronise the clocks of both machines (NTP)",
			"reason", "clock skew", "skew_seconds", int64(fault.Skew.Seconds()), "allowed_seconds", int64(wire.MaxSkew.Seconds()))
	} else {
		log.Warn("long-poll session ended: frame not authenticated; check that Z4J_HMAC_SECRET is the one shown when the agent was created",
			"reason", fault.Error())
	}
	s.deps.Metrics.broken.Inc()
	s.failures.Add(throttle.AgentKey(q.login.Ref.ID))
	if err := s.deps.Store.InvalidateLongpoll(ctx, q.login.Ref.ID, q.nonce); err != nil {
		log.Error("long-poll session not invalidated", "err", err)
	}
}

// moveAttempts bounds how often a push starts over because another request of the session was quicker.
const moveAttempts = 3

func (s *Server) take(ctx context.Context, q *request, session store.LongpollSession, frames []string) (pushed, error) {
	for attempt := 1; ; attempt++ {
		job, err := s.verify(q, session, frames)
		if err != nil {
			return pushed{}, err
		}
		err = s.deps.Store.IngestLongpoll(ctx, session, job.lastSeq, job.nonces, job.items)
		switch {
		case err == nil:
			s.deps.Committed(job.items)
			return s.applyCommands(ctx, job), nil
		case errors.Is(err, store.ErrSessionMoved) && attempt < moveAttempts:
			if session, err = s.deps.Store.Longpoll(ctx, session.AgentID, session.Nonce); err != nil {
				return pushed{}, err
			}
			if session.Invalid {
				return pushed{}, store.ErrSessionMoved
			}
		case errors.Is(err, store.ErrSessionMoved):
			return pushed{}, err
		case errors.Is(err, domain.ErrTransient), ctx.Err() != nil:
			// Nothing was stored and the session did not move: the agent sends all of it again.
			s.deps.Logger.Warn("long-poll frames not stored; the agent will send them again", "err", err)
			return pushed{Rejected: len(frames), Errors: []string{"the database is busy; send again"}}, nil //nolint:nilerr // the answer says so
		default:
			return s.oneByOne(ctx, session, job, err)
		}
	}
}

// oneByOne stores what can be stored of frames that the database refused together.
func (s *Server) oneByOne(ctx context.Context, session store.LongpollSession, job *work, cause error) (pushed, error) {
	if err := s.deps.Store.IngestLongpoll(ctx, session, job.lastSeq, job.nonces, nil); err != nil {
		return pushed{}, errors.Join(cause, err)
	}
	for _, it := range job.items {
		err := s.deps.Store.Ingest(ctx, []*store.IngestItem{it})
		switch {
		case err == nil:
			s.deps.Committed([]*store.IngestItem{it})
		case errors.Is(err, domain.ErrTransient):
			job.answer.Accepted--
			job.answer.reject("the database is busy; send again")
		default:
			s.deps.Metrics.dropped.Inc()
			s.deps.Logger.Error("frame can't be stored and is dropped", "agent_id", it.Agent.UID.String(), "events", len(it.Events), "err", err)
		}
	}
	return s.applyCommands(ctx, job), nil
}

// applyCommands applies acks and results, which agents send again when they are rejected.
func (s *Server) applyCommands(ctx context.Context, job *work) pushed {
	for _, apply := range job.commands {
		if err := apply(ctx); err != nil {
			job.answer.Accepted--
			job.answer.reject("the command's row could not be written; send again")
			s.deps.Logger.Warn("command frame not applied", "err", err)
		}
	}
	if job.answer.Errors == nil {
		job.answer.Errors = []string{}
	}
	return job.answer
}

// verify checks the frames in order from the session's state on. Only a failed signature is an error.
func (s *Server) verify(q *request, session store.LongpollSession, frames []string) (*work, error) {
	ws := q.session(wire.ProjectKey(s.deps.Master, q.login.Ref.ProjectUID), s.deps.Now)
	ws.Guard = wire.NewStoredGuard(wire.GuardState{LastSeq: session.LastSeqIn, Nonces: session.Nonces})
	v := wire.NewVerifier(ws)
	dec := decode.Decoder{Redact: s.deps.Redact}
	job := &work{answer: pushed{Errors: []string{}}}
	for _, text := range frames {
		env, err := v.Verify([]byte(text))
		var fault *wire.Error
		switch {
		case errors.As(err, &fault) && fault.Class == wire.ClassSignature:
			return nil, err
		case errors.As(err, &fault) && fault.Class == wire.ClassVersion:
			job.answer.reject("unsupported envelope version; this brain speaks 2")
			continue
		case err != nil:
			// What can't be understood can't be understood the next time either: dropped.
			s.deps.Metrics.dropped.Inc()
			job.answer.Accepted++
			continue
		}
		s.frame(q, &dec, env, job)
	}
	state := v.Guard().State()
	job.lastSeq, job.nonces = state.LastSeq, state.Nonces
	return job, nil
}

// frame adds one verified frame to the work.
func (s *Server) frame(q *request, dec *decode.Decoder, env wire.Envelope, job *work) {
	ref := q.login.Ref
	item := func() *store.IngestItem {
		it := &store.IngestItem{Agent: ref, At: env.TS}
		job.items = append(job.items, it)
		return it
	}
	switch env.Type {
	case wire.TypeEventBatch:
		batch := dec.Events(env.Payload, s.deps.Now())
		if batch.Legacy {
			code := decode.UpgradeRequired().Code
			job.answer.ErrorCode = &code
			job.answer.reject(decode.UpgradeRequired().Message)
			return
		}
		item().Events = batch.Events
	case wire.TypeHeartbeat:
		item().Heartbeat = dec.Heartbeat(env.Payload)
	case wire.TypeAgentStatus:
		it := item()
		it.Status, it.StatusKey = dec.Status(env.Payload)
	case wire.TypeCommandAck:
		if id, err := uuid.Parse(env.ID); err == nil {
			ack := wire.DecodeCommandAck(env.Payload)
			job.commands = append(job.commands, func(ctx context.Context) error { return s.deps.Commands.Ack(ctx, ref, id, ack) })
		}
	case wire.TypeCommandResult:
		id, err := uuid.Parse(env.ID)
		res, rerr := wire.DecodeCommandResult(env.Payload)
		if err == nil && rerr == nil {
			job.commands = append(job.commands, func(ctx context.Context) error { return s.deps.Commands.Result(ctx, ref, id, res) })
		}
	default:
	}
	job.answer.Accepted++
}
