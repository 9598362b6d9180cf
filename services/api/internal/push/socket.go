// SPDX-License-Identifier: AGPL-3.0-or-later

package push

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/bus"
)

const (
	// maxFrame bounds what a browser may send: it has little to say.
	maxFrame   = 4 << 10
	writeLimit = 10 * time.Second
)

// socket is one browser. Its reader runs in a goroutine of its own; everything is written by run.
type socket struct {
	hub       *Hub
	conn      *websocket.Conn
	tokenHash string
	userID    uuid.UUID
	projectID int64

	pending atomic.Uint32
	wake    chan struct{}
	pings   chan struct{}
	ended   chan int
}

func newSocket(h *Hub, conn *websocket.Conn) *socket {
	conn.SetReadLimit(maxFrame)
	return &socket{
		hub: h, conn: conn, wake: make(chan struct{}, 1), pings: make(chan struct{}, 1), ended: make(chan int, 1),
	}
}

// frame is what travels in both directions.
type frame struct {
	Type      string `json:"type"`
	Topic     string `json:"topic,omitempty"`
	ProjectID string `json:"project_id,omitempty"`
}

// readSubscribe waits for the first frame, which names the project.
func (s *socket) readSubscribe(stop context.Context, limit time.Duration) (project uuid.UUID, code int) {
	_ = s.conn.SetReadDeadline(time.Now().Add(limit))
	defer context.AfterFunc(stop, func() { _ = s.conn.SetReadDeadline(time.Now()) })()
	kind, data, err := s.conn.ReadMessage()
	if err != nil {
		if stop.Err() != nil {
			return uuid.Nil, CloseOverloaded
		}
		if isTimeout(err) {
			return uuid.Nil, CloseMalformed
		}
		return uuid.Nil, closedByClient
	}
	var f frame
	if kind != websocket.TextMessage || json.Unmarshal(data, &f) != nil || f.Type != "subscribe" {
		return uuid.Nil, CloseMalformed
	}
	if project, err = uuid.Parse(f.ProjectID); err != nil {
		return uuid.Nil, CloseMalformed
	}
	return project, 0
}

// closedByClient stands for an end that needs no close frame: the client left, or the library closed on a frame too big.
const closedByClient = -1

// notify adds topics to those the browser has not been told of yet. It never blocks: a slow browser gets one
// frame for many changes.
func (s *socket) notify(t topics) {
	s.pending.Or(uint32(t))
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run serves the socket after its subscription and returns the code to close it with.
func (s *socket) run(ctx context.Context) int {
	cfg := s.hub.cfg
	if err := s.write(frame{Type: "ready"}); err != nil {
		return closedByClient
	}
	go s.read(cfg.Idle)
	var revoked <-chan bus.Message
	if sub, err := cfg.Bus.Subscribe(ctx, bus.UserSessions(s.userID)); err == nil {
		defer sub.Close()
		revoked = sub.C()
	}
	recheck := time.NewTicker(cfg.Recheck)
	defer recheck.Stop()
	rechecks := 0
	for {
		select {
		case code := <-s.ended:
			return code
		case <-s.hub.stop.Done():
			return CloseOverloaded
		case <-s.wake:
			for _, name := range topics(s.pending.Swap(0)).names() {
				if s.write(frame{Type: "event", Topic: name}) != nil {
					return closedByClient
				}
			}
		case <-s.pings:
			if s.write(frame{Type: "pong"}) != nil {
				return closedByClient
			}
		case _, ok := <-revoked:
			if !ok {
				revoked = nil
			}
			if code := s.hub.check(ctx, s, true); code != 0 {
				return code
			}
		case <-recheck.C:
			// A lost session must be noticed within a second, lost membership within a few.
			rechecks++
			if code := s.hub.check(ctx, s, rechecks%4 == 0); code != 0 {
				return code
			}
		}
	}
}

// read answers pings and notices the end. Frames it does not know are ignored.
func (s *socket) read(idle time.Duration) {
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(idle))
		kind, data, err := s.conn.ReadMessage()
		if err != nil {
			code := closedByClient
			if isTimeout(err) {
				code = CloseIdle
			}
			s.ended <- code
			return
		}
		var f frame
		if kind != websocket.TextMessage || json.Unmarshal(data, &f) != nil || f.Type != "ping" {
			continue
		}
		select {
		case s.pings <- struct{}{}:
		default: // a pong is on its way already
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (s *socket) write(f frame) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	return s.conn.WriteMessage(websocket.TextMessage, data)
}

// close sends the code, unless the client is gone already.
func (s *socket) close(code int) {
	if code == closedByClient || code == 0 {
		return
	}
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
}
