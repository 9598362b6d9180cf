// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Failures of long-poll sessions.
var (
	// ErrSessionsFull: the agent has as many live sessions as it may have.
	ErrSessionsFull = errors.New("too many long-poll sessions for this agent")
	// ErrSessionMoved: another request used the session at the same time, or it was made invalid.
	ErrSessionMoved = errors.New("long-poll session used by another request")
)

// LongpollSession is the state of one session of an agent without a socket. Any replica may serve its next request.
type LongpollSession struct {
	AgentID int64
	Nonce   string
	// LastSeqIn and Nonces are the replay guard's state.
	LastSeqIn int64
	Nonces    []string
	// Contracts are retry contracts the session announced (RetryContract).
	Contracts []string
	// Invalid is set by a broken signature and stays.
	Invalid bool
}

// LongpollLimits bound the sessions of one agent.
type LongpollLimits struct {
	// Idle is how long an unused session lives, Max how many an agent may have.
	Idle time.Duration
	Max  int64
}

// OpenLongpoll returns the session of a nonce, made now if need be, with what this request announced.
// features is a JSON list.
func (s *Store) OpenLongpoll(ctx context.Context, agentID int64, nonce, features string, contracts []string, lim LongpollLimits) (LongpollSession, error) {
	var row db.LongpollSession
	text, err := json.Marshal(append([]string{}, contracts...))
	if err != nil {
		return LongpollSession{}, fmt.Errorf("encode contracts: %w", err)
	}
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		now := s.Now()
		idle := now.Add(-lim.Idle)
		old, err := s.q.LongpollSession(ctx, tx.db, db.LongpollSessionParams{AgentID: agentID, Nonce: nonce})
		switch {
		case errors.Is(s.err(err), domain.ErrNotFound) || (err == nil && old.LastSeenAt.Before(idle)):
			// Idle sessions go only here and in the sweep, long after their frames' times ran out: a session that
			// starts anew can't be fed old frames.
			if _, err := s.q.DropIdleLongpollSessions(ctx, tx.db, db.DropIdleLongpollSessionsParams{AgentID: agentID, Before: idle}); err != nil {
				return err
			}
			n, err := s.q.CountLongpollSessions(ctx, tx.db, db.CountLongpollSessionsParams{AgentID: agentID})
			if err != nil {
				return err
			}
			if n >= lim.Max {
				return ErrSessionsFull
			}
		case err != nil:
			return err
		case now.Sub(old.LastSeenAt) < touchEvery && old.Features == features && old.Contracts == string(text):
			row = old
			return nil
		}
		row, err = s.q.TouchLongpollSession(ctx, tx.db, db.TouchLongpollSessionParams{
			AgentID: agentID, Nonce: nonce, Features: features, Contracts: string(text), Now: now,
		})
		return err
	})
	if err != nil {
		return LongpollSession{}, fmt.Errorf("open long-poll session: %w", s.err(err))
	}
	return longpollSession(row)
}

// Longpoll reads a session; domain.ErrNotFound when there is none.
func (s *Store) Longpoll(ctx context.Context, agentID int64, nonce string) (LongpollSession, error) {
	row, err := s.q.LongpollSession(ctx, s.eng.read(), db.LongpollSessionParams{AgentID: agentID, Nonce: nonce})
	if err != nil {
		return LongpollSession{}, fmt.Errorf("read long-poll session: %w", s.err(err))
	}
	return longpollSession(row)
}

func longpollSession(row db.LongpollSession) (LongpollSession, error) {
	l := LongpollSession{AgentID: row.AgentID, Nonce: row.Nonce, LastSeqIn: row.LastSeqIn, Invalid: row.Invalid}
	if err := json.Unmarshal([]byte(row.Nonces), &l.Nonces); err != nil {
		return l, fmt.Errorf("nonces of a long-poll session: %w", err)
	}
	if err := json.Unmarshal([]byte(row.Contracts), &l.Contracts); err != nil {
		return l, fmt.Errorf("contracts of a long-poll session: %w", err)
	}
	return l, nil
}

// IngestLongpoll is Ingest for frames of a long-poll session: in the same transaction the session moves from
// what it was when the frames were verified to its new state. ErrSessionMoved, with nothing stored, when it is
// no longer where it was.
func (s *Store) IngestLongpoll(ctx context.Context, was LongpollSession, lastSeq int64, nonces []string, items []*IngestItem) error {
	text, err := json.Marshal(append([]string{}, nonces...))
	if err != nil {
		return fmt.Errorf("encode nonces: %w", err)
	}
	return s.ingest(ctx, items, func(ctx context.Context, tx *Tx) error {
		n, err := s.q.AdvanceLongpollSession(ctx, tx.db, db.AdvanceLongpollSessionParams{
			AgentID: was.AgentID, Nonce: was.Nonce, WasSeqIn: was.LastSeqIn, LastSeqIn: lastSeq, Nonces: string(text), Now: s.Now(),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrSessionMoved
		}
		return nil
	})
}

// InvalidateLongpoll ends a session for good; the agent must come with a new nonce.
func (s *Store) InvalidateLongpoll(ctx context.Context, agentID int64, nonce string) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		return s.q.InvalidateLongpollSession(ctx, tx.db, db.InvalidateLongpollSessionParams{AgentID: agentID, Nonce: nonce})
	})
}

// TakeLongpollSeqs reserves n numbers for frames to the agent and returns the first. A number that is then not
// used is a gap, which agents accept.
func (s *Store) TakeLongpollSeqs(ctx context.Context, agentID int64, nonce string, n int64) (first int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		next, err := s.q.TakeLongpollSeqs(ctx, tx.db, db.TakeLongpollSeqsParams{AgentID: agentID, Nonce: nonce, N: n, Now: s.Now()})
		first = next - n
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reserve frame numbers: %w", err)
	}
	return first, nil
}
