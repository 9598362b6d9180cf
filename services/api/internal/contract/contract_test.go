// SPDX-License-Identifier: AGPL-3.0-or-later

package contract

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/store/storetest"
	"github.com/z4jdev/z4j/services/api"
	"github.com/z4jdev/z4j/services/api/internal/apitest"
)

// groups are the recordings in testdata that exist here.
func groups() []string {
	return []string{
		"health", "setup", "auth", "users", "memberships", "projects", "agents", "agent-workers", "admin", "metrics", "general",
		"tasks", "events", "issues", "workers", "queues", "commands", "dead-letters", "stats", "trends", "home", "saved-views",
	}
}

// hooks make, before the record of their number, what the recording had and no record shows being made.
func hooks() map[int]func(*world) {
	return map[int]func(*world){
		0: (*world).firstBoot, 12: (*world).adminLogsIn, 46: (*world).people, 74: (*world).solo, 85: (*world).thirdAgent, 104: (*world).shop, 207: (*world).answers,
		161: (*world).agentIDs, 369: (*world).operatorSessions, 373: (*world).swapOperator, 374: (*world).swapOperator,
	}
}

// start returns a brain in the state the recording began with.
func start(t *testing.T) *world {
	t.Helper()
	b := apitest.Start(t, storetest.SQLite(t), func(_ *api.Config, d *api.Deps) {
		d.AuditHealth = func(context.Context) (api.AuditHealth, error) { return api.AuditHealth{Activated: true}, nil }
	})
	doc, err := parseDocument(b.API.Document())
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, brain: b, doc: doc, rows: loadDifferences(t), alias: map[string]string{}, clients: map[string]*apitest.Client{},
		accounts: map[string]string{},
	}
}

// TestSchemas checks every recorded answer against our document: the right members, types and nullability, no more
// and no less.
func TestSchemas(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, r := range loadRecords(t, groups()) {
		if find(w.rows, r, kindSkip) != nil {
			continue
		}
		method, template, _ := strings.Cut(r.Operation, " ")
		op, ok := w.doc.operationFor(method, template)
		if !ok {
			if !strings.HasPrefix(template, "/api/v1/") || r.Status == http.StatusNotFound || strings.HasSuffix(template, "openapi.json") || r.Status == http.StatusMethodNotAllowed {
				continue
			}
			t.Errorf("%v: no such operation in our document", r)
			continue
		}
		if row := find(w.rows, r, kindStatus); row != nil {
			continue
		}
		schema, declared := op.schemaFor(r.Status)
		if !declared {
			t.Errorf("%v: status %d is not in our document", r, r.Status)
			continue
		}
		body := decode(r.ResponseBody)
		if r.Status >= http.StatusBadRequest || body == nil || schema == nil {
			continue // refusals have other shapes on purpose; the replay compares them
		}
		if _, isText := body.(string); isText {
			continue
		}
		// What is new in our answers is missing in the recorded one.
		faults := withoutNew(w.rows, r, w.doc.check(body, schema, "$"), " is missing")
		if len(faults) > 0 && find(w.rows, r, kindBody) == nil {
			t.Errorf("%v: the recorded answer does not fit our document:\n  %s", r, strings.Join(faults, "\n  "))
		}
	}
}

// TestReplay sends every recorded request to a brain and compares the answers.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := start(t)
	todo := hooks()
	replayed := 0
	for _, r := range loadRecords(t, groups()) {
		for _, seq := range sortedSeqs(todo) {
			if seq <= r.Seq {
				todo[seq](w)
				delete(todo, seq)
			}
		}
		if find(w.rows, r, kindSkip) != nil || find(w.rows, r, kindSchema) != nil {
			continue
		}
		replayed++
		if faults := w.compare(r, w.send(r)); len(faults) > 0 {
			t.Errorf("%v:\n  %s", r, strings.Join(faults, "\n  "))
		}
	}
	for _, d := range w.rows {
		// TestSchemas and this test read the same rows; a row about another group is that group's business.
		if !d.used && !strings.HasPrefix(d.selector, "group=") {
			t.Errorf("docs/rest-differences.md: nothing needs the row %s any more", d.selector)
		}
	}
	t.Logf("%d records replayed", replayed)
}

func sortedSeqs(m map[int]func(*world)) []int {
	var out []int
	for i := 0; len(out) < len(m); i++ {
		if _, ok := m[i]; ok {
			out = append(out, i)
		}
	}
	return out
}

// firstBoot knows the setup token of the recording.
func (w *world) firstBoot() { w.alias[strings.Repeat("A", 41)+"s1"] = w.brain.SetupToken }

func (w *world) adminLogsIn() { w.accounts["instance admin"] = "admin@example.com" }

func (w *world) admin() *apitest.Client { return w.client("instance admin", false) }

// addUser makes an account that the recording has under the given id.
func (w *world) addUser(recorded, email string) {
	w.t.Helper()
	name := strings.ToUpper(email[:1]) + email[1:strings.IndexByte(email, '@')]
	var u struct{ ID string }
	w.admin().Must(http.StatusCreated, http.MethodPost, "/api/v1/users", map[string]any{
		"email": email, "password": "Sturdy-Pass-4821", "first_name": name, "last_name": "Demo",
	}, &u)
	w.alias[recorded] = u.ID
}

// people are the accounts whose making was not kept.
func (w *world) people() {
	for _, u := range []struct{ as, id, email string }{
		{"auditor", "ea174b02-26d7-4bf8-828e-0a42ebe67fbc", "auditor@example.com"},
		{"padmin", "7fb70ace-715f-4536-8987-51bbcd7e889f", "padmin@example.com"},
		{"outsider", "a4c77ab1-aa42-424b-b6cd-ea0f4326a82c", "outsider@example.com"},
		{"lockuser", "d28df863-b7ff-4597-8a69-91e9044f6df8", "lockuser@example.com"},
		{"resetuser", "86f74a84-b476-4327-8e65-c484ab190892", "resetuser@example.com"},
		{"gone", "dccd2814-1fbe-43d5-a7cb-c8e9f99e590c", "gone@example.com"},
	} {
		w.addUser(u.id, u.email)
		w.accounts[u.as] = u.email
	}
	w.accounts["viewer"], w.accounts["operator"] = "viewer@example.com", "operator@example.com"
}

// solo is a project with one admin, and lockuser is a member of the shop.
func (w *world) solo() {
	w.admin().Must(http.StatusCreated, http.MethodPost, "/api/v1/projects", map[string]any{"slug": "solo", "name": "Solo"}, nil)
	w.alias["a2173deb-55c6-4f31-855c-f328719b6f3a"] = w.grant("solo", "7fb70ace-715f-4536-8987-51bbcd7e889f", "admin")
	w.alias["b448a82c-bd28-428d-8826-3ca846c98122"] = w.grant("shop", "d28df863-b7ff-4597-8a69-91e9044f6df8", "viewer")
}

func (w *world) grant(slug, recordedUser, role string) string {
	w.t.Helper()
	var m struct{ ID string }
	w.admin().Must(http.StatusCreated, http.MethodPost, "/api/v1/projects/"+slug+"/memberships",
		map[string]any{"user_id": w.alias[recordedUser], "role": role}, &m)
	return m.ID
}

func (w *world) mint(slug, name, recorded string) {
	w.t.Helper()
	var out struct{ Agent struct{ ID string } }
	w.admin().Must(http.StatusCreated, http.MethodPost, "/api/v1/projects/"+slug+"/agents", map[string]any{"name": name}, &out)
	w.alias[recorded] = out.Agent.ID
}

func (w *world) thirdAgent() {
	w.mint("shop", "to-revoke", "69a5ba4b-1c2e-4e72-a9ea-11b274ded56e")
	w.mint("shop", "never-connected", "5d22d38c-7219-4bbe-93a4-88cb8bd032b7")
}

// agentIDs makes sure that the agent whose health is asked for is known by its recorded id.
func (w *world) agentIDs() {
	if w.alias["a6852b92-00fc-415f-893b-3419870c2561"] == "" {
		w.t.Error("the record that mints celery-agent was not learned from")
	}
}

// operatorSessions opens the operator's other session, which a record revokes.
func (w *world) operatorSessions() {
	w.client("operator", false)
	first := w.clients["operator"]
	delete(w.clients, "operator")
	second := w.client("operator", false)
	var list []struct {
		ID        string
		IsCurrent bool `json:"is_current"`
	}
	second.Must(http.StatusOK, http.MethodGet, "/api/v1/auth/sessions", nil, &list)
	for _, s := range list {
		if s.IsCurrent {
			w.alias["bae18d9a-263a-4ea6-bc0b-4b08cddc459d"] = s.ID
		}
	}
	w.clients["operator"], w.clients["operator, other session"] = first, second
}

// swapOperator lets a record come from the operator's other session.
func (w *world) swapOperator() {
	w.clients["operator"], w.clients["operator, other session"] = w.clients["operator, other session"], w.clients["operator"]
}
