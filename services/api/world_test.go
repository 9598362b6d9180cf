// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
)

var (
	masterSecret  = []byte("0123456789abcdef0123456789abcdef")
	sessionSecret = []byte("fedcba9876543210fedcba9876543210")
)

// world is a running API with a project, one member of each role and an agent.
type world struct {
	t       *testing.T
	store   *store.Store
	bus     bus.Bus
	server  *httptest.Server
	project store.Project
	agent   store.AgentRef
	// cookies and csrf by account: instance, padmin, operator, auditor, viewer, outsider.
	cookies map[string]*http.Cookie
	csrf    map[string]string
}

func newWorld(t *testing.T, s *store.Store, tune ...func(*api.Config)) *world {
	t.Helper()
	b, err := bus.Open(bus.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	cfg := api.Config{Secret: masterSecret, SessionSecret: sessionSecret, Dev: true}
	for _, f := range tune {
		f(&cfg)
	}
	service, err := api.New(cfg, api.Deps{Store: s, Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, bus: b, server: httptest.NewServer(service.Handler()), cookies: map[string]*http.Cookie{}, csrf: map[string]string{}}
	t.Cleanup(w.server.Close)
	minter, names := auth.NewSessions(sessionSecret), auth.Cookies{}
	err = s.InTx(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		w.project, err = tx.CreateProject(ctx, store.NewProject{Slug: "shop", Name: "Shop", Environment: "production", Timezone: "UTC", DefaultOwner: "z4j-scheduler"})
		if err != nil {
			return err
		}
		for _, name := range []string{"instance", "padmin", "operator", "auditor", "viewer", "outsider"} {
			u, err := tx.CreateUser(ctx, store.NewUser{Email: name + "@example.com", PasswordHash: "x", IsAdmin: name == "instance"})
			if err != nil {
				return err
			}
			role := domain.Role(name)
			if name == "padmin" {
				role = domain.RoleAdmin
			}
			if role.Rank() > 0 {
				if _, err := tx.CreateMembership(ctx, u.ID, w.project.ID, role); err != nil {
					return err
				}
			}
			cookie, hash := minter.Mint()
			w.csrf[name] = auth.NewToken()
			w.cookies[name] = &http.Cookie{Name: names.SessionName(), Value: cookie}
			_, err = tx.CreateSession(ctx, store.NewSession{UserID: u.ID, TokenHash: hash, CSRFToken: w.csrf[name], Lifetime: time.Hour, IP: "127.0.0.1"})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.agent = w.addAgent("agent")
	return w
}

func (w *world) addAgent(name string) store.AgentRef {
	w.t.Helper()
	var a store.Agent
	err := w.store.InTx(w.t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		a, err = tx.CreateAgent(ctx, w.project.ID, name, uuid.NewString())
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return store.AgentRef{ID: a.ID, ProjectID: w.project.ID, UID: a.UID, ProjectUID: w.project.UID}
}

// answer is a decoded answer.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
	list   []any
}

func (a answer) text(path ...string) string {
	var v any = a.body
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

func (a answer) items() []map[string]any {
	list, _ := a.body["items"].([]any)
	if list == nil {
		list = a.list
	}
	var out []map[string]any
	for _, i := range list {
		m, _ := i.(map[string]any)
		out = append(out, m)
	}
	return out
}

// column is one member of every item.
func (a answer) column(name string) string {
	var out []string
	for _, i := range a.items() {
		s, _ := i[name].(string)
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// call sends a request as an account; body nil sends none.
func (w *world) call(as, method, path string, query url.Values, body any) answer {
	w.t.Helper()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	target := w.server.URL + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, target, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if c := w.cookies[as]; c != nil {
		req.AddCookie(c)
		req.Header.Set(auth.CSRFHeader, w.csrf[as])
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	a := answer{status: res.StatusCode, header: res.Header}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		w.t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.body)
	_ = json.Unmarshal(a.raw, &a.list)
	return a
}

// get reads below the project, as viewer, and wants a 200.
func (w *world) get(path string, query ...string) answer {
	w.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	a := w.call("viewer", http.MethodGet, "/projects/shop"+path, q, nil)
	if a.status != http.StatusOK {
		w.t.Fatalf("GET %s %v: %d %s", path, query, a.status, a.raw)
	}
	return a
}

// event is an event of a Celery task at a second of the test's hour.
func event(kind domain.EventKind, id, name string, at time.Time) store.IngestEvent {
	return store.IngestEvent{
		ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: "celery", TaskID: id, TaskName: name, Queue: "default",
		Worker: "w1@host", At: at, Rest: []byte("{}"), Priority: domain.PriorityNormal,
	}
}

// ingest stores events as one frame of the agent.
func (w *world) ingest(events ...store.IngestEvent) {
	w.t.Helper()
	item := &store.IngestItem{Agent: w.agent, At: w.store.Now(), Events: events}
	if err := w.store.Ingest(w.t.Context(), []*store.IngestItem{item}); err != nil {
		w.t.Fatal(err)
	}
	// PostgreSQL keeps counters as deltas until somebody folds them.
	for {
		n, err := w.store.FoldDeltas(w.t.Context(), 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) { fn(t, newWorld(t, s)) })
}
