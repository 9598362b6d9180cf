// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// pacedServer reads each body with a stall limit, then lets the answer take longer than that limit.
func pacedServer(t *testing.T, stall, total time.Duration, canceled chan<- bool) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &pacedBody{ReadCloser: r.Body, conn: http.NewResponseController(w), stall: stall, last: time.Now().Add(total)}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			WriteError(w, r, err)
			return
		}
		select {
		case <-r.Context().Done():
			canceled <- true
		case <-time.After(3 * stall):
			canceled <- false
		}
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func dialTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func TestStalledBodyIsCut(t *testing.T) {
	conn := dialTCP(t, pacedServer(t, 50*time.Millisecond, time.Minute, nil))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408") || !strings.Contains(string(answer), "did not arrive in time") {
		t.Errorf("answer %q", answer)
	}
}

func TestDrippingBodyIsCut(t *testing.T) {
	conn := dialTCP(t, pacedServer(t, 50*time.Millisecond, 150*time.Millisecond, nil))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}
	}()
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 408" {
		t.Errorf("answer %q %v", answer, err)
	}
}

func TestDeadlineEndsWithTheBody(t *testing.T) {
	canceled := make(chan bool, 1)
	conn := dialTCP(t, pacedServer(t, 50*time.Millisecond, time.Minute, canceled))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	if <-canceled {
		t.Error("a long answer was cut by the body's deadline")
	}
}
