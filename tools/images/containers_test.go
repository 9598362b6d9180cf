// SPDX-License-Identifier: AGPL-3.0-or-later

package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// commandLimit ends a container tool that waits for something that never comes.
const commandLimit = 60 * time.Second

// work is the folder of scripts/images, with the wrappers of the container tools and their storage.
func work(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("Z4J_IMAGES_WORK")
	if dir == "" {
		t.Skip("needs the images and namespaces of scripts/images")
	}
	return dir
}

// try runs a container tool and returns what it printed. It works in clean-ups too, after the test's own context has ended.
func try(t testing.TB, argv ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandLimit)
	defer cancel()
	path := argv[0]
	if wrapper := filepath.Join(work(t), "bin", argv[0]); exists(wrapper) {
		path = wrapper
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...) //nolint:gosec // the tests' own arguments
	cmd.Dir = harness.Root(t)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// podman runs podman, which must succeed.
func podman(t testing.TB, args ...string) string {
	t.Helper()
	out, err := try(t, append([]string{"podman"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// logs returns what a container printed on both streams.
func logs(t testing.TB, name string) string {
	t.Helper()
	out, err := try(t, "sh", "-c", `exec "$0" logs "$1" 2>&1`, filepath.Join(work(t), "bin", "podman"), name)
	if err != nil {
		return err.Error()
	}
	return out
}

// container is the part of podman's inspection that is looked at.
type container struct {
	Name  string
	State struct {
		Status   string
		Running  bool
		ExitCode int
		Pid      int
	}
	Config struct {
		User        string
		Entrypoint  json.RawMessage
		Labels      map[string]string
		Healthcheck *struct{ Test []string }
	}
}

func inspect(t testing.TB, name string) (container, error) {
	t.Helper()
	out, err := try(t, "podman", "container", "inspect", name)
	if err != nil {
		return container{}, err
	}
	var found []container
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
		return container{}, fmt.Errorf("inspect %s: %w: %s", name, err, out)
	}
	return found[0], nil
}

// healthy runs a container's own check once: there is no service manager here that would.
func healthy(t testing.TB, name string) error {
	t.Helper()
	_, err := try(t, "podman", "healthcheck", "run", name)
	return err
}

var setupLink = regexp.MustCompile(`https?://[^\s"]+/setup[#?]token=([A-Za-z0-9_-]+)`)

// setUp makes the first administrator with the link in the log of one of the containers.
func setUp(t testing.TB, url string, client *harness.Client, containers ...string) {
	t.Helper()
	var token string
	harness.Eventually(t, 30*time.Second, "a setup link is printed", func() error {
		for _, name := range containers {
			if found := setupLink.FindStringSubmatch(logs(t, name)); found != nil {
				token = found[1]
				return nil
			}
		}
		return errors.New("no such line in any log")
	})
	client.Must(t, http.MethodPost, "/setup/complete", map[string]any{
		"token": token, "email": harness.AdminEmail, "display_name": "Ada Admin", "password": harness.AdminPassword,
	}, http.StatusOK, nil)
	// Not only the session of the set-up: the password works.
	harness.NewClient(url).Login(t, harness.AdminEmail, harness.AdminPassword)
}

// report connects an agent that was made for it, sends events of two tasks, and sees them in the API after the acknowledgement.
func report(t testing.TB, url string, client *harness.Client, name string) {
	t.Helper()
	if err := tryReport(t.Context(), url, client, name); err != nil {
		t.Fatal(err)
	}
}

// tryReport is report for a stack that may be mending itself: a name can be used once.
func tryReport(ctx context.Context, url string, client *harness.Client, name string) error {
	cred, err := client.TryMint(name)
	if err != nil {
		return err
	}
	result, err := loadgen.Run(ctx, loadgen.Load{
		Agents: []loadgen.Config{{URL: url, Token: cred.Token, HMACSecret: cred.HMACSecret, WorkerID: name}},
		Window: 4, Frames: 6, Prefix: name,
	})
	if err != nil {
		return fmt.Errorf("%d of 6 events were acknowledged: %w", result.Acked, err)
	}
	if err := harness.Equal("acknowledged events", result.Acked, 6); err != nil {
		return err
	}
	if err := trySeen(client, name); err != nil {
		return err
	}
	agent, err := client.Agent(cred.Agent.ID)
	if err == nil && (agent.AgentVersion == nil || *agent.AgentVersion != "1.13.0") {
		err = fmt.Errorf("the agent is listed as %+v", agent)
	}
	return err
}

// seen wants the two tasks of report and all their events.
func seen(t testing.TB, client *harness.Client, name string) {
	t.Helper()
	if err := trySeen(client, name); err != nil {
		t.Fatal(err)
	}
}

func trySeen(client *harness.Client, name string) error {
	for n := range 2 {
		id := fmt.Sprintf("%s-000-%08d", name, n)
		task, err := client.Task("celery", id)
		if err != nil {
			return err
		}
		if err := harness.Equal("state of task "+id, task.State, "success"); err != nil {
			return err
		}
		events, err := client.Events("celery", id)
		if err != nil {
			return err
		}
		if err := harness.Equal("events of task "+id, len(events), 3); err != nil {
			return err
		}
	}
	return nil
}
