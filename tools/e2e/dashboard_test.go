// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen/demo"
)

// browse runs one of the dashboard's scripts (its e2e folder) and keeps its pictures and figures in
// the artefacts.
func browse(t *testing.T, script, folder string, env ...string) {
	t.Helper()
	root := harness.Root(t)
	artifacts := filepath.Join(root, "artifacts", "dashboard", folder)
	if err := os.MkdirAll(artifacts, 0o755); err != nil {
		t.Fatal(err)
	}
	env = append([]string{
		"Z4J_E2E_EMAIL=" + harness.AdminEmail, "Z4J_E2E_PASSWORD=" + harness.AdminPassword,
		"Z4J_E2E_ARTIFACTS=" + artifacts, "Z4J_E2E_CHROMIUM=" + harness.Chromium(t),
	}, env...)
	out, err := harness.Npm(t, filepath.Join(root, "services", "gateway", "dashboard"), env, "run", "--silent", script)
	if err != nil {
		t.Errorf("npm run %s: %v\n%s", script, err, out)
		return
	}
	t.Log(out)
}

// TestDashboard drives the dashboard in a real browser, from the setup link to a cancelled task of
// a real worker.
func TestDashboard(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t)
	link, _ := brain.SetupURL(t)
	redis := harness.NewRedis(t).DB()
	browse(t, "e2e", "flow",
		"Z4J_E2E_SETUP_URL="+link, "Z4J_E2E_PROJECT="+harness.Project,
		"Z4J_E2E_WORKER="+harness.CeleryCommand(t, "browser@shop", redis, "-E", "-c", "2"),
		"Z4J_E2E_SILENT="+harness.CeleryCommand(t, "browser@shop", redis, "-c", "2"),
		"Z4J_E2E_PRODUCER="+harness.ProducerCommand(t, "celery", redis))
}

// TestDashboardStates opens every page with no data, five rows, 100,000 tasks and a failing API.
func TestDashboardStates(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	for project, tasks := range map[string]int{"few": 5, "many": 100_000} {
		fill(t, brain, api, project, tasks)
	}
	const viewer = "vera@example.com"
	var made struct {
		ID string `json:"id"`
	}
	api.Must(t, http.MethodPost, "/users", map[string]any{"email": viewer, "display_name": "Vera Viewer", "password": harness.AdminPassword}, http.StatusCreated, &made)
	api.Must(t, http.MethodPost, "/projects/few/memberships", map[string]any{"user_id": made.ID, "role": "viewer"}, http.StatusCreated, nil)
	env := []string{
		"Z4J_E2E_URL=" + brain.URL(), "Z4J_E2E_EMPTY=" + harness.Project, "Z4J_E2E_FEW=few", "Z4J_E2E_MANY=many", "Z4J_E2E_VIEWER=" + viewer,
	}
	browse(t, "e2e:people", "people", env...)
	browse(t, "e2e:states", "states", env...)
}

// TestDashboardLive measures how soon pages show an event, kills the brain under them, and presses each
// button that changes something, on real workers. Nothing else of this package runs beside it: it
// measures time.
func TestDashboardLive(t *testing.T) {
	// Elsewhere hints are lost on purpose; here it is measured how soon they are there.
	brain := harness.NewBrain(t, "Z4J_BUS_DROP_PERCENT=0")
	api := brain.Setup(t)
	redis := harness.NewRedis(t)
	celery, rq := redis.DB(), redis.DB()
	harness.StartCelery(t, "live@shop", celery, harness.AgentEnv(t, brain, api.Mint(t, "live-celery")), "-E", "-c", "2")
	harness.StartRQ(t, "live-rq", rq, harness.AgentEnv(t, brain, api.Mint(t, "live-rq")), "default")
	c := newControl(t, brain, api.Mint(t, "probe"))
	env := []string{
		"Z4J_E2E_URL=" + brain.URL(), "Z4J_E2E_PROJECT=" + harness.Project, "Z4J_E2E_CONTROL=" + c.url,
		"Z4J_E2E_PRODUCER=" + harness.ProducerCommand(t, "celery", celery),
		"Z4J_E2E_RQ_PRODUCER=" + harness.ProducerCommand(t, "rq", rq),
	}
	c.during(func() { browse(t, "e2e:live", "live", env...) })
	c.during(func() { browse(t, "e2e:actions", "actions", env...) })
}

// fill makes a project with so many made-up tasks, whose agents stay and answer until the test ends.
func fill(t *testing.T, brain *harness.Brain, api *harness.Client, project string, tasks int) {
	t.Helper()
	api.Must(t, http.MethodPost, "/projects", map[string]any{"slug": project, "name": "Shop (" + project + ")"}, http.StatusCreated, nil)
	opts := demo.Options{URL: brain.URL(), Tasks: tasks, Span: 24 * time.Hour, Seed: 4, Log: t.Logf}
	for _, host := range []string{"worker-a", "worker-b", "worker-c"} {
		var cred harness.Credentials
		api.Must(t, http.MethodPost, "/projects/"+project+"/agents", map[string]any{"name": host}, http.StatusCreated, &cred)
		opts.Agents = append(opts.Agents, demo.Credentials{Token: cred.Token, HMACSecret: cred.HMACSecret})
	}
	if err := demo.Run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	opts.Tasks, opts.Live = 0, true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- demo.Run(ctx, opts) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agents of %s: %v", project, err)
		}
	})
}
