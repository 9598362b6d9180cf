// SPDX-License-Identifier: AGPL-3.0-or-later

package rest_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

type thing struct {
	ID    uuid.UUID   `json:"id"`
	Name  *string     `json:"name"`
	At    httpx.Time  `json:"at"`
	Done  *httpx.Time `json:"done"`
	Tags  []string    `json:"tags"`
	Extra any         `json:"extra,omitempty"`
}

type thingIn struct {
	_     struct{} `extra:"forbid"`
	Name  string   `json:"name" validate:"required,min=1,max=5" pattern:"^[a-z]+$"`
	Count int      `json:"count" validate:"ge=1,le=10" default:"3"`
	Kind  *string  `json:"kind" validate:"oneof=a|b"`
}

type thingQuery struct {
	Limit int         `json:"limit" validate:"ge=1,le=100" default:"50"`
	Since *httpx.Time `json:"since"`
	IDs   []uuid.UUID `json:"id"`
	Full  bool        `json:"full" default:"false"`
}

func router(t *testing.T) *rest.Router {
	t.Helper()
	s, log := storetest.SQLite(t), slog.New(slog.DiscardHandler)
	refusals := store.NewRefusals(s)
	a := rest.NewAuthenticator(rest.AuthConfig{
		Store: s, Sessions: auth.NewSessions([]byte("x")), Logger: log, Now: time.Now, Refusals: refusals,
	})
	return rest.NewRouter(s, a, log)
}

func publicOp(op rest.Op) rest.Op {
	op.Tag, op.Action, op.Access = "test", auth.AuthPolicy, rest.Public
	if op.Handle == nil {
		op.Handle = func(*rest.Request) (any, error) { return nil, nil }
	}
	return op
}

func call(t *testing.T, h http.Handler, method, target, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	data, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(data)
}

func TestFaultyOperationsAreRefused(t *testing.T) {
	t.Parallel()
	handle := func(*rest.Request) (any, error) { return nil, nil }
	for name, op := range map[string]rest.Op{
		"no action":             {Method: "GET", Path: "/x", ID: "x", Tag: "t", Access: rest.Session, Status: 204, Handle: handle},
		"unknown action":        {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: "made.up", Access: rest.Session, Status: 204, Handle: handle},
		"no access":             {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.TaskRead, Status: 204, Handle: handle},
		"public but restricted": {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.TaskRead, Access: rest.Public, Status: 204, Handle: handle},
		"session but open":      {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.AuthLogin, Access: rest.Session, Status: 204, Handle: handle},
		"no handler":            {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.TaskRead, Access: rest.Session, Status: 204},
		"no status":             {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.TaskRead, Access: rest.Session, Handle: handle},
		"status without answer": {Method: "GET", Path: "/x", ID: "x", Tag: "t", Action: auth.TaskRead, Access: rest.Session, Status: 200, Handle: handle},
	} {
		rt := router(t)
		rt.Add(op)
		if rt.Err() == nil {
			t.Errorf("%s: accepted", name)
		}
		if code, _ := call(t, rt, op.Method, "/api/v1/x", ""); code != http.StatusNotFound {
			t.Errorf("%s: answered %d", name, code)
		}
	}
	rt := router(t)
	op := publicOp(rest.Op{Method: "GET", Path: "/x", ID: "x", Status: 204})
	rt.Add(op, op)
	if rt.Err() == nil {
		t.Error("the same operation twice was accepted")
	}
}

func TestDecodeAndAnswer(t *testing.T) {
	t.Parallel()
	rt := router(t)
	rt.Add(publicOp(rest.Op{
		Method: "POST", Path: "/things/{thing_id}", ID: "make", Query: thingQuery{}, Body: thingIn{}, Response: thing{}, Status: 201,
		Handle: func(r *rest.Request) (any, error) {
			in, q := rest.Body[thingIn](r), rest.Query[thingQuery](r)
			if in.Count != 3 || q.Limit != 7 || len(q.IDs) != 2 || !q.Full || q.Since == nil || q.Since.Hour() != 22 {
				t.Errorf("decoded %+v %+v", in, q)
			}
			return thing{ID: r.ID("thing_id"), Name: &in.Name, Tags: []string{}}, nil
		},
	}))
	id := uuid.NewString()
	code, body := call(t, rt, "POST", "/api/v1/things/"+id+"?limit=7&full=yes&id="+id+"&id="+id+"&since=2026-01-02T00:00:00+02:00", `{"name":"abc"}`)
	if code != http.StatusCreated || !strings.Contains(body, id) {
		t.Errorf("%d %s", code, body)
	}
	code, body = call(t, rt, "POST", "/api/v1/things/nope?limit=0", `{"name":"ABC","kind":"c","more":1}`)
	for _, want := range []string{`"thing_id"`, `"limit"`, `"name"`, `"kind"`, `"more"`} {
		if code != http.StatusUnprocessableEntity || !strings.Contains(body, want) {
			t.Errorf("%d, no fault about %s in %s", code, want, body)
		}
	}
	if code, body = call(t, rt, "PUT", "/api/v1/things/"+id, ""); code != http.StatusMethodNotAllowed {
		t.Errorf("%d %s", code, body)
	}
	if code, body = call(t, rt, "GET", "/api/v1/none", ""); code != http.StatusNotFound || !strings.Contains(body, `"detail":"Not Found"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	rt := router(t)
	rt.Add(publicOp(rest.Op{
		Method: "POST", Path: "/things/{thing_id}", ID: "make", Query: thingQuery{}, Body: thingIn{}, Response: []thing{}, Status: 201,
		Errors: []int{409},
	}))
	raw, err := rt.Document("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name     string
				Required bool
				Schema   map[string]any
			}
			Responses map[string]any
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	op := doc.Paths["/api/v1/things/{thing_id}"]["post"]
	if len(op.Parameters) != 5 || op.Parameters[0].Schema["format"] != "uuid" || op.Parameters[1].Schema["maximum"] != 100.0 {
		t.Errorf("parameters %+v", op.Parameters)
	}
	for _, status := range []string{"201", "409", "422", "413", "500"} {
		if op.Responses[status] == nil {
			t.Errorf("no answer %s", status)
		}
	}
	in := doc.Components.Schemas["thingIn"]
	if in["additionalProperties"] != false || len(in["required"].([]any)) != 1 {
		t.Errorf("request schema %v", in)
	}
	out := doc.Components.Schemas["thing"]
	if len(out["required"].([]any)) != 5 {
		t.Errorf("answer schema %v", out)
	}
}
