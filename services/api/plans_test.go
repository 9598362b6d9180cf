// SPDX-License-Identifier: AGPL-3.0-or-later

package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// readScans are the full scans of growing tables that reading calls may do, by a part of the statement's text and the table.
var readScans = map[[2]string]string{
	{"lower(text) LIKE", "names"}:                       "a part of a name may stand anywhere; one row a distinct name",
	{"name: CountOpenOfProject ", "commands"}:           "an index of the open commands alone",
	{"name: StuckCommands ", "commands"}:                "an index of the open commands alone",
	{"SELECT min(issued_at) FROM commands", "commands"}: "an index of the open commands alone",
	{"name: LiveAgents ", "agent_workers"}:              "one row a process behind an agent; a sweep deletes those that are gone",
	{"name: WorkerStates ", "workers"}:                  "one row a worker; a sweep deletes those that are gone",
}

// readCalls are what the dashboard and clients read, each with its filters.
func readCalls(w *world) []string {
	now := w.store.Now()
	window := "from=" + url.QueryEscape(now.Add(-48*time.Hour).Format(time.RFC3339)) + "&to=" + url.QueryEscape(now.Add(-24*time.Hour).Format(time.RFC3339))
	issue := w.get("/issues", "limit", "1").column("fingerprint")
	worker := w.get("/workers").items()[0]["id"]
	calls := []string{
		"", "/agents", "/agent-workers", "/breakdown", "/breakdown?" + window, "/bulk-retry-requests", "/commands", "/commands?status=completed", "/commands?target_id=t7",
		"/issues", "/issues?state=open", "/issues?search=bad", "/issues/" + issue, "/memberships", "/overview", "/permissions",
		"/queues", "/queues?" + window, "/queues/celery/queue-3", "/saved-views", "/series", "/series?" + window, "/stats", "/trends", "/trends?" + window,
		"/workers", "/workers/lint", fmt.Sprintf("/workers/%v", worker), "/events?task_id=large-000012&engine=celery",
		"/tasks/celery/large-000012", "/tasks/celery/large-000012/similar", "/tasks/celery/large-000013/similar", "/tasks/celery/large-000014/tree",
		"/tasks?include_total=true", "/tasks?search=large-0001", "/tasks?search=nowhere", "/tasks?exception=bad&include_total=true", "/tasks?name=job_0&state=failure&include_total=true",
		"/tasks?format=csv&state=failure",
	}
	for _, query := range []string{
		"", "state:failure", "state:failure,retry", "queue:queue-3", "queue:queue-3,queue-4", "worker:w3@host", "worker:w*", "task:job_07", "task:=shop.job_07", "task:job_07 state:failure queue:queue-3",
		"id:large-000100", "id:large-*99", "issue:" + issue, "exception:bad", "priority:high", "runtime:>1s", "runtime:>1h", "large-0123", "job_07", "nowhere", "-task:job", "-job_07 state:success",
		"since:2h", "since:2h state:failure", "since:8d until:2d", "since:8d until:2d queue:queue-3 nowhere", "engine:celery", "engine:nope",
	} {
		q := "query=" + url.QueryEscape(query)
		calls = append(calls, "/tasks?"+q, "/tasks?sort=-received_at&"+q, "/tasks?sort=-seen_at&"+q, "/tasks?include_total=true&fields=basic&"+q, "/tasks/facets?"+q)
	}
	return calls
}

// No call that reads has a plan that reads a growing table from end to end.
//
//nolint:tparallel // the group of engines ends before their exceptions are compared
func TestReadsScanNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing in it runs at once; the long lane has it")
	}
	t.Parallel()
	used := make(chan [2]string, 10_000)
	t.Run("engines", func(t *testing.T) {
		for engine, open := range map[string]func(testing.TB, ...func(*store.Options)) *store.Store{"sqlite": storetest.SQLite, "postgresql": storetest.Postgres} {
			t.Run(engine, func(t *testing.T) {
				t.Parallel()
				var rec storetest.Recorder
				var databaseURL string
				w := newWorld(t, open(t, func(o *store.Options) { rec.Option(o); databaseURL = o.URL }))
				storetest.Large(t, w.store, databaseURL, w.agent)
				calls := readCalls(w)
				explainer := storetest.NewExplainer(t, databaseURL)
				rec.Take()
				for _, call := range calls {
					readOne(t, w, "/projects/shop"+call)
				}
				for _, call := range []string{"/home/overview", "/home/summary", "/home/recent-failures", "/projects", "/health/deep", "/auth/me", "/auth/sessions"} {
					readOne(t, w, call)
				}
				checkPlans(t, explainer, rec.Take(), used)
			})
		}
	})
	close(used)
	seen := map[[2]string]bool{}
	for key := range used {
		seen[key] = true
	}
	for key := range readScans {
		if !seen[key] && !t.Failed() {
			t.Errorf("%v may scan a table, and does not: take it out", key)
		}
	}
}

// readOne reads a path, with the first of the next pages if there is one.
func readOne(t *testing.T, w *world, path string) {
	t.Helper()
	path, text, _ := strings.Cut(path, "?")
	query, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	a := w.call("padmin", http.MethodGet, path, query, nil)
	if a.status == http.StatusOK && a.text("next_cursor") != "" {
		query.Set("cursor", a.text("next_cursor"))
		a = w.call("padmin", http.MethodGet, path, query, nil)
	}
	if a.status != http.StatusOK {
		t.Errorf("GET %s?%s: %d %s", path, text, a.status, a.raw)
	}
}

func checkPlans(t *testing.T, explainer *storetest.Explainer, statements []storetest.Statement, used chan [2]string) {
	t.Helper()
	for _, s := range statements {
		scans, plan := explainer.Scans(t, &s)
		for _, scan := range scans {
			found := false
			for key := range readScans {
				if key[1] == scan.Table && strings.Contains(s.Query, key[0]) {
					used <- key
					found = true
					break
				}
			}
			if !found {
				t.Errorf("%s of %s in %s\n%s", scan.How, scan.Table, s.Query, plan)
			}
		}
	}
}
