// SPDX-License-Identifier: AGPL-3.0-or-later

package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
	"github.com/z4jdev/z4j/services/api/internal/push"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial opens a socket with the browser's cookie; origin "" sends none.
func dial(t *testing.T, b *apitest.Brain, c *apitest.Client, origin string) *websocket.Conn {
	t.Helper()
	h := http.Header{}
	if c != nil {
		h.Set("Cookie", "z4j_session="+c.Cookie("z4j_session"))
	}
	if origin != "" {
		h.Set("Origin", origin)
	}
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(b.URL, "http")+"/ws/dashboard", h)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	_ = res.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// next returns the next frame's type and topic, or the close code.
func next(t *testing.T, conn *websocket.Conn, within time.Duration) (frame string, code int) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(within))
	_, data, err := conn.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return "", closed.Code
	}
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	var f struct{ Type, Topic string }
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(f.Type + " " + f.Topic), 0
}

func wantClose(t *testing.T, conn *websocket.Conn, want int) {
	t.Helper()
	for {
		frame, code := next(t, conn, 5*time.Second)
		if code == want {
			return
		}
		if frame == "" {
			t.Errorf("closed with %d, want %d", code, want)
			return
		}
	}
}

func wantFrame(t *testing.T, conn *websocket.Conn, want string) {
	t.Helper()
	for {
		frame, code := next(t, conn, 6*time.Second)
		if frame == want {
			return
		}
		if code != 0 {
			t.Fatalf("closed with %d, want the frame %q", code, want)
		}
	}
}

func project(t *testing.T, b *apitest.Brain) store.Project {
	t.Helper()
	p, err := b.Store.ProjectBySlug(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func subscribe(id uuid.UUID) string { return `{"type":"subscribe","project_id":"` + id.String() + `"}` }

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	outsider := b.AddUser(admin, "out@example.com", "", "")
	p := project(t, b)
	for name, c := range map[string]struct {
		client *apitest.Client
		origin string
		first  string
		code   int
	}{
		"no cookie":       {nil, b.URL, "", 4401},
		"foreign page":    {admin, "http://evil.example", "", 4403},
		"odd origin":      {admin, "null", "", 4403},
		"not a subscribe": {admin, b.URL, `{"type":"x"}`, 4400},
		"not JSON":        {admin, b.URL, `{bad`, 4400},
		"no project":      {admin, b.URL, `{"type":"subscribe"}`, 4400},
		"unknown project": {admin, b.URL, subscribe(uuid.New()), 4403},
		"not a member":    {outsider, b.URL, subscribe(p.UID), 4403},
		"a huge frame":    {admin, b.URL, strings.Repeat("x", 10_000), websocket.CloseMessageTooBig},
	} {
		conn := dial(t, b, c.client, c.origin)
		if c.first != "" {
			send(t, conn, c.first)
		}
		t.Log(name)
		wantClose(t, conn, c.code)
	}
}

func TestOriginOfAnotherAcceptedName(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, d *api.Deps) {
		c.Dev = false
		d.AllowedHost = func(host string) bool { return host == "brain.lan:7700" }
	})
	admin := b.Setup()
	conn := dial(t, b, admin, "http://brain.lan:7700")
	send(t, conn, subscribe(project(t, b).UID))
	wantFrame(t, conn, "ready")
	wantClose(t, dial(t, b, admin, ""), 4403)
}

func TestHintsAndPing(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	p := project(t, b)
	conn := dial(t, b, admin, b.URL)
	send(t, conn, subscribe(p.UID))
	wantFrame(t, conn, "ready")
	send(t, conn, `{"type":"hello"}`)
	send(t, conn, `{"type":"ping"}`)
	wantFrame(t, conn, "pong")
	for topic, want := range map[bus.Topic]string{
		bus.ProjectTasks(p.ID): "event task.changed", bus.ProjectCommands(p.ID): "event command.changed", bus.ProjectAgents(p.ID): "event agent.changed",
	} {
		if err := b.Bus.Publish(t.Context(), topic, nil); err != nil {
			t.Fatal(err)
		}
		wantFrame(t, conn, want)
	}
}

// TestLostHints changes a row without telling anybody: the slow look at the database finds it.
func TestLostHints(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := apitest.Start(t, s)
		admin := b.Setup()
		p := project(t, b)
		conn := dial(t, b, admin, b.URL)
		send(t, conn, subscribe(p.UID))
		wantFrame(t, conn, "ready")
		b.Tx(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateAgent(ctx, p.ID, "quiet", "hash")
			return err
		})
		wantFrame(t, conn, "event agent.changed")
	})
}

func TestRevokedSessionClosesWithinASecond(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	p := project(t, b)
	user := b.AddUser(admin, "user@example.com", "default", "viewer")
	conn := dial(t, b, user, b.URL)
	send(t, conn, subscribe(p.UID))
	wantFrame(t, conn, "ready")
	// Behind the API's back, as another replica without Redis would: no hint is published.
	u, err := b.Store.UserByEmail(t.Context(), "user@example.com")
	if err != nil {
		t.Fatal(err)
	}
	b.Tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RevokeUserSessions(ctx, u.ID, uuid.Nil, "test")
		return err
	})
	start := time.Now()
	wantClose(t, conn, 4401)
	if took := time.Since(start); took > time.Second+200*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
}

func TestLostMembershipCloses(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	user := b.AddUser(admin, "user@example.com", "default", "viewer")
	conn := dial(t, b, user, b.URL)
	send(t, conn, subscribe(project(t, b).UID))
	wantFrame(t, conn, "ready")
	var members []struct{ ID, Role string }
	admin.Must(200, http.MethodGet, "/api/v1/projects/default/memberships", nil, &members)
	for _, m := range members {
		if m.Role == "viewer" {
			admin.Must(204, http.MethodDelete, "/api/v1/projects/default/memberships/"+m.ID, nil, nil)
		}
	}
	wantClose(t, conn, 4403)
}

func TestTooManySockets(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, _ *api.Deps) { c.MaxSockets = 2 })
	admin := b.Setup()
	p := project(t, b)
	var conns []*websocket.Conn
	for range 2 {
		conn := dial(t, b, admin, b.URL)
		send(t, conn, subscribe(p.UID))
		wantFrame(t, conn, "ready")
		conns = append(conns, conn)
	}
	wantClose(t, dial(t, b, admin, b.URL), 4402)
	_ = conns[0].Close()
	apitest.Eventually(t, "a closed socket frees its place", func() bool {
		conn := dial(t, b, admin, b.URL)
		defer conn.Close() //nolint:errcheck // a probe
		send(t, conn, subscribe(p.UID))
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _, err := conn.ReadMessage()
		return err == nil
	})
}

// TestTimeouts uses a hub with short times; the codes are what matters.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t))
	admin := b.Setup()
	p := project(t, b)
	log := slog.New(slog.DiscardHandler)
	authn := rest.NewAuthenticator(rest.AuthConfig{
		Store: b.Store, Sessions: auth.NewSessions([]byte(apitest.SessionSecret)), Logger: log, Now: time.Now,
		Refusals: store.NewRefusals(b.Store),
	})
	hub := push.NewHub(push.Config{
		Store: b.Store, Bus: b.Bus, Auth: authn, Logger: log, MaxPerUser: 5, FirstFrame: 100 * time.Millisecond, Idle: time.Second,
	}, prometheus.NewRegistry())
	srv := httptest.NewServer(hub)
	defer srv.Close()
	short := &apitest.Brain{URL: srv.URL}
	wantClose(t, dial(t, short, admin, srv.URL), push.CloseMalformed)
	conn := dial(t, short, admin, srv.URL)
	send(t, conn, subscribe(p.UID))
	wantClose(t, conn, push.CloseIdle)

	conn = dial(t, short, admin, srv.URL)
	send(t, conn, subscribe(p.UID))
	wantFrame(t, conn, "ready")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hub.Run(ctx); err != nil {
		t.Error(err)
	}
	wantClose(t, conn, push.CloseOverloaded)
	wantClose(t, dial(t, short, admin, srv.URL), push.CloseOverloaded)
}

func TestAddressNotAllowed(t *testing.T) {
	t.Parallel()
	b := apitest.Start(t, storetest.SQLite(t), func(c *api.Config, _ *api.Deps) {
		c.DashboardAllow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	// The address counts before the session, so a cookie of any shape will do.
	other := apitest.Start(t, storetest.SQLite(t))
	wantClose(t, dial(t, b, other.Setup(), b.URL), push.CloseUnauthorized)
}
