// SPDX-License-Identifier: AGPL-3.0-or-later

package longpoll

import (
	"net/http"
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// pulled is the answer to a pull.
type pulled struct {
	Frames []string `json:"frames"`
}

// pull hands out an agent's commands, waiting for one if told to.
func (s *Server) pull(w http.ResponseWriter, r *http.Request) {
	q, ok := s.authenticate(w, r)
	if !ok {
		return
	}
	query := httpx.NewQuery(r)
	wait := query.Int("wait", defaultWait, 0, maxWait)
	limit := query.Int("max_frames", defaultPull, 0, maxFrames)
	if err := query.Err(); err != nil {
		httpx.WriteError(w, r, err)
		return
	}
	session, ok := s.open(w, r, q)
	if !ok {
		return
	}
	frames := []string{}
	if limit > 0 {
		var err error
		if frames, err = s.collect(r, q, session, time.Duration(wait)*time.Second, limit); err != nil {
			httpx.WriteError(w, r, err)
			return
		}
	}
	httpx.WriteJSON(w, http.StatusOK, pulled{Frames: frames})
}

// collect waits for commands and signs them.
func (s *Server) collect(r *http.Request, q *request, session store.LongpollSession, wait time.Duration, limit int) ([]string, error) {
	woken, done := s.wait(q.login.Ref.ID)
	defer done()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(s.cfg.PollInterval)
	defer poll.Stop()
	ctx := r.Context()
	for last := wait == 0; ; {
		frames, err := s.claim(r, q, session, limit)
		if err != nil || len(frames) > 0 || last {
			return frames, err
		}
		select {
		case <-ctx.Done():
			return []string{}, nil
		case <-s.stopped:
			return []string{}, nil
		case <-deadline.C:
			last = true
		case <-woken:
		case <-poll.C:
		}
	}
}

// claim takes what is there now. A read says whether a write is worth it: most polls find nothing.
func (s *Server) claim(r *http.Request, q *request, session store.LongpollSession, limit int) ([]string, error) {
	ctx := r.Context()
	open, err := s.deps.Store.CountOpenCommands(ctx, q.login.Ref.ID)
	if err != nil || open == 0 {
		return []string{}, err
	}
	// The wait may have been long: an agent that was revoked meanwhile gets nothing.
	login, err := s.deps.Store.AgentLoginByID(ctx, q.login.Ref.ID)
	if err != nil {
		return nil, err
	}
	if login.Revoked || !login.ProjectActive {
		return nil, unauthenticated()
	}
	commands, err := s.deps.Store.ClaimCommands(ctx, store.ClaimCommandsParams{
		AgentID: q.login.Ref.ID, Owner: s.cfg.Owner, Worker: "longpoll:" + q.nonce, Contracts: session.Contracts,
		RedeliverAfter: s.cfg.RedeliverAfter, RedeliverUntil: s.cfg.RedeliverUntil, Limit: int64(limit),
	})
	if err != nil || len(commands) == 0 {
		return []string{}, err
	}
	seq, err := s.deps.Store.TakeLongpollSeqs(ctx, q.login.Ref.ID, q.nonce, int64(len(commands)))
	if err != nil {
		return nil, err
	}
	signer := wire.NewSigner(q.session(wire.ProjectKey(s.deps.Master, q.login.Ref.ProjectUID), s.deps.Now))
	signer.SetNextSeq(seq)
	frames := make([]string, 0, len(commands))
	for _, cmd := range commands {
		frame, err := signer.Sign(nil, cmd.ID.String(), wire.TypeCommand, s.deps.Payload(cmd), s.deps.Now())
		if err != nil {
			s.deps.Logger.Error("command can't be signed", "command", cmd.ID.String(), "err", err)
			continue
		}
		frames = append(frames, string(frame))
	}
	s.deps.Metrics.commands.Add(float64(len(frames)))
	s.deps.Hints.CommandChanged(ctx, q.login.Ref.ProjectID)
	return frames, nil
}
