// SPDX-License-Identifier: AGPL-3.0-or-later

package edge

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/hosts"
)

// closeForbidden is the push channel's code for "you may not".
const closeForbidden = 4403

// OriginCheck guards the push socket against pages of other sites: a browser sends its cookies with any
// WebSocket, whichever page opens it.
type OriginCheck struct {
	// Hosts is the allow-list; a page served under any of its names may connect.
	Hosts *hosts.List
	// Origins are further origins: the public URL's and those of CORS.
	Origins []string
	// AllowMissing lets clients without Origin in, which are no browsers (dev mode).
	AllowMissing bool
}

// Allows reports whether a page of this origin may open the push socket.
func (c *OriginCheck) Allows(origin string) bool {
	if origin == "" {
		return c.AllowMissing
	}
	return c.Hosts.AllowsOrigin(origin) || slices.ContainsFunc(c.Origins, func(o string) bool { return strings.EqualFold(strings.TrimRight(o, "/"), origin) })
}

// Middleware closes foreign sockets with 4403. The handshake succeeds first, because a page can read a
// close code but not a refused handshake, and clients of this channel expect it.
func (c *OriginCheck) Middleware(next http.Handler) http.Handler {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, HandshakeTimeout: 5 * time.Second}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Allows(r.Header.Get("Origin")) || !websocket.IsWebSocketUpgrade(r) {
			next.ServeHTTP(w, r)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		defer conn.Close()
		reason := websocket.FormatCloseMessage(closeForbidden, "origin is not allowed")
		_ = conn.WriteControl(websocket.CloseMessage, reason, time.Now().Add(time.Second)) // nobody to tell when it fails
	})
}
