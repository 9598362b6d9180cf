// SPDX-License-Identifier: AGPL-3.0-or-later

package loadgen

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Push is an open dashboard's socket. It measures how long an event takes until a browser is told to
// look: from when the event was due to the first "task.changed" frame that arrives after the event's
// acknowledgement. A frame that overtakes the acknowledgement does not count, so that under a stream of
// events the figure errs on the long side by at most the time that the socket folds changes over.
type Push struct {
	// Delays are the times measured.
	Delays Latencies

	conn *websocket.Conn
	done chan struct{}

	mu      sync.Mutex
	waiting []time.Time
	frames  int64
	err     error
}

// maxWaiting bounds what is remembered between two frames.
const maxWaiting = 1 << 16

// WatchPush opens the socket of a project with the session in jar. project is the project's id.
func WatchPush(ctx context.Context, base string, jar http.CookieJar, project string) (*Push, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("the brain's address: %w", err)
	}
	header := http.Header{"Origin": {u.Scheme + "://" + u.Host}}
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Jar: jar}
	conn, resp, err := dialer.DialContext(ctx, strings.Replace(base, "http", "ws", 1)+"/ws/dashboard", header)
	if err != nil {
		return nil, fmt.Errorf("open the dashboard's socket: %w", err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	p := &Push{conn: conn, done: make(chan struct{})}
	err = conn.WriteJSON(map[string]string{"type": "subscribe", "project_id": project})
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		var first struct {
			Type string `json:"type"`
		}
		if err = conn.ReadJSON(&first); err == nil && first.Type != "ready" {
			err = fmt.Errorf("the first frame is %q, not ready", first.Type)
		}
		_ = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("subscribe to project %s: %w", project, err)
	}
	go p.read()
	go p.ping()
	return p, nil
}

// ping keeps the socket from being closed as idle.
func (p *Push) ping() {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			_ = p.conn.WriteJSON(map[string]string{"type": "ping"})
		}
	}
}

func (p *Push) read() {
	defer close(p.done)
	for {
		_, text, err := p.conn.ReadMessage()
		now := time.Now()
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		var f struct {
			Type  string `json:"type"`
			Topic string `json:"topic"`
		}
		if json.Unmarshal(text, &f) != nil || f.Type != "event" || f.Topic != "task.changed" {
			continue
		}
		p.mu.Lock()
		p.frames++
		for _, due := range p.waiting {
			p.Delays.Add(now.Sub(due))
		}
		p.waiting = p.waiting[:0]
		p.mu.Unlock()
	}
}

// Acked tells of an acknowledged event that was due at the given time; it fits Load.OnLatency.
func (p *Push) Acked(due time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) < maxWaiting {
		p.waiting = append(p.waiting, due)
	}
}

// Close ends the socket and returns how many frames of changed tasks came, and what ended it before.
func (p *Push) Close() (frames int64, err error) {
	p.mu.Lock()
	err = p.err
	p.mu.Unlock()
	_ = p.conn.Close()
	<-p.done
	return p.frames, err
}
