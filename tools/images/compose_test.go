// SPDX-License-Identifier: AGPL-3.0-or-later

package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// upLimit is how long a stack may take until every container is well, on a busy machine.
const upLimit = 150 * time.Second

// stack is one project of compose: the files it is made of and the values of its .env.
type stack struct {
	files   []string
	envFile string
}

// newStack writes the .env that .env.example asks for; more is added to it.
func newStack(t *testing.T, files []string, more ...string) *stack {
	t.Helper()
	s := &stack{envFile: filepath.Join(t.TempDir(), "env")}
	for _, f := range files {
		s.files = append(s.files, "-f", f)
	}
	lines := append([]string{
		"Z4J_SECRET=" + strings.Repeat("secret-of-the-stack-", 3), "Z4J_SESSION_SECRET=" + strings.Repeat("session-of-the-stack-", 3),
		"Z4J_HOP_KEY=" + strings.Repeat("hop-of-the-stack-", 3), "POSTGRES_PASSWORD=database-of-the-stack",
		"Z4J_PUBLIC_URL=http://localhost:7700", "Z4J_ALLOWED_HOSTS=localhost,127.0.0.1", "Z4J_ALLOW_HTTP_PUBLIC_URL=true",
	}, more...)
	if err := os.WriteFile(s.envFile, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, name := range names(t, "-a") {
			t.Logf("== log of %s\n%s", name, tail(logs(t, name), 60))
		}
		// The next test starts with nothing.
		_, _ = try(t, "podman", "rm", "-f", "-a", "--depend", "-t", "1")
		_, _ = try(t, "podman", "volume", "prune", "-f")
	})
	return s
}

func tail(text string, count int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

func (s *stack) compose(t *testing.T, args ...string) (string, error) {
	t.Helper()
	argv := append([]string{
		"podman-compose", "--podman-path", filepath.Join(work(t), "bin", "podman"), "--in-pod", "0", "--env-file", s.envFile,
	}, s.files...)
	return try(t, append(argv, args...)...)
}

// names lists the containers of this machine; it holds no others.
func names(t testing.TB, flags ...string) []string {
	t.Helper()
	out, err := try(t, append([]string{"podman", "ps", "--format", "{{.Names}}"}, flags...)...)
	if err != nil {
		t.Log(err)
	}
	return strings.Fields(out)
}

// up starts the named services, or all, runs the health checks while they come up, and wants every container well.
func (s *stack) up(t *testing.T, services ...string) {
	t.Helper()
	// What waits for a healthy database waits for somebody to look.
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, name := range names(t) {
				_, _ = try(t, "podman", "healthcheck", "run", name)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	began := time.Now()
	args := []string{"up", "-d", "--no-build"}
	if len(services) > 0 {
		// Podman 4.3 can't start what depends on a container that has done its work and ended. Each service then waits by itself for
		// those it needs.
		args = append(append(args, "--no-deps"), services...)
	}
	out, err := s.compose(t, args...)
	stop()
	wg.Wait()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	harness.Eventually(t, upLimit, "every container is well", func() error { return well(t) })
	t.Logf("%d containers were well after %.0f s: %s", len(names(t)), time.Since(began).Seconds(), strings.Join(names(t), " "))
}

// well wants each container to run and to pass its own health check, or to have ended with success when its work is one-off.
func well(t *testing.T) error {
	t.Helper()
	all := names(t, "-a")
	if len(all) == 0 {
		return errors.New("there is no container")
	}
	for _, name := range all {
		c, err := inspect(t, name)
		if err != nil {
			return err
		}
		if strings.Contains(name, "migrate") {
			if c.State.Running || c.State.ExitCode != 0 {
				return fmt.Errorf("%s has not ended with success: %+v", name, c.State)
			}
			continue
		}
		if !c.State.Running {
			return fmt.Errorf("%s does not run: %+v", name, c.State)
		}
		if c.Config.Healthcheck == nil {
			continue
		}
		if err := healthy(t, name); err != nil {
			return fmt.Errorf("%s is not healthy: %w", name, err)
		}
	}
	return nil
}

// of lists the running containers of a service.
func of(t *testing.T, service string) []string {
	t.Helper()
	return strings.Fields(podman(t, "ps", "--format", "{{.Names}}", "--filter", "label=com.docker.compose.service="+service))
}

// down wants nothing left: no container, and no volume when they are to go too.
func (s *stack) down(t *testing.T, flags ...string) {
	t.Helper()
	if _, err := s.compose(t, append([]string{"down"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	if left := names(t, "-a"); len(left) > 0 {
		t.Fatalf("down left the containers %v", left)
	}
	if slices.Contains(flags, "-v") {
		if left := podman(t, "volume", "ls", "-q"); left != "" {
			t.Fatalf("down -v left the volumes %s", left)
		}
	}
}

func TestComposeSQLite(t *testing.T) {
	const url = "http://localhost:7700"
	s := newStack(t, []string{"docker-compose.yml"})
	s.up(t)
	for _, name := range of(t, "z4j") {
		c, err := inspect(t, name)
		if err != nil {
			t.Fatal(err)
		}
		restricted(t, c.State.Pid)
	}
	client := harness.NewClient(url)
	setUp(t, url, client, of(t, "z4j")...)
	report(t, url, client, "sqlite")
	s.down(t)
	s.up(t)
	client = harness.NewClient(url)
	client.Login(t, harness.AdminEmail, harness.AdminPassword)
	seen(t, client, "sqlite")
	s.down(t, "-v")
}

// The database in a container of its own, and Caddy with a certificate in front, which it makes itself for this name.
func TestComposePostgresCaddy(t *testing.T) {
	const url = "https://localhost"
	s := newStack(t, []string{"docker-compose.postgres.yml", "docker-compose.caddy.yml"},
		"Z4J_DOMAIN=localhost", "Z4J_ACME_EMAIL=ops@example.com", "Z4J_PUBLIC_URL="+url, "Z4J_TRUSTED_PROXIES=10.0.0.0/8")
	s.up(t)
	trust(t, of(t, "z4j-caddy")[0])
	client := harness.NewClient(url)
	harness.Eventually(t, 30*time.Second, "Caddy has found the brain", func() error { return client.Get("/health/ready", nil) })
	setUp(t, url, client, of(t, "z4j")...)
	report(t, url, client, "postgres")
	s.down(t)
	s.up(t)
	client = harness.NewClient(url)
	harness.Eventually(t, 30*time.Second, "Caddy has found the brain again", func() error { return client.Get("/health/ready", nil) })
	client.Login(t, harness.AdminEmail, harness.AdminPassword)
	seen(t, client, "postgres")
	s.down(t, "-v")
}

// trust makes the certificate authority of Caddy the one that this process believes: it reads the variable at its first handshake.
func trust(t *testing.T, caddy string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.crt")
	harness.Eventually(t, 30*time.Second, "Caddy has made its certificate authority", func() error {
		_, err := try(t, "podman", "cp", caddy+":/data/caddy/pki/authorities/local/root.crt", file)
		return err
	})
	t.Setenv("SSL_CERT_FILE", file)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
}

// Every service twice, watched by Prometheus. The images of Grafana and of the OpenTelemetry collector cannot be had here and have
// no stand-ins.
func TestComposeServicesMonitoring(t *testing.T) {
	const url = "http://localhost:7700"
	s := newStack(t, []string{"docker-compose.services.yml", "docker-compose.monitoring.yml"},
		"Z4J_METRICS_AUTH_TOKEN=token-of-the-stack-for-metrics", "GRAFANA_PASSWORD=password-of-the-stack")
	s.up(t, "z4j-postgres", "z4j-redis", "migrate", "z4j", "ingest", "api", "audit", "prometheus")
	for service, count := range map[string]int{"ingest": 2, "api": 2, "audit": 2, "z4j": 1} {
		replicas := of(t, service)
		if len(replicas) != count {
			t.Errorf("%d containers of %s run, want %d", len(replicas), service, count)
		}
		for _, name := range replicas {
			c, err := inspect(t, name)
			if err != nil {
				t.Fatal(err)
			}
			restricted(t, c.State.Pid)
		}
	}
	client := harness.NewClient(url)
	setUp(t, url, client, of(t, "api")...)
	report(t, url, client, "services")
	watched(t, of(t, "prometheus")[0])

	// A replica of each dies without a word: the other serves, and the container comes back.
	for _, service := range []string{"api", "ingest"} {
		c, err := inspect(t, of(t, service)[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(c.State.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	// A request that changes something and was with the dead one is refused, with the advice to try again: the gateway can't know
	// whether it was done.
	attempt := 0
	harness.Eventually(t, 15*time.Second, "the survivors serve", func() error {
		attempt++
		return tryReport(t.Context(), url, client, fmt.Sprintf("survivor%d", attempt))
	})
	harness.Eventually(t, upLimit, "the dead are back", func() error { return well(t) })
	s.down(t, "-v")
}

// watched wants Prometheus to scrape every replica with the token and to have loaded the rules.
func watched(t *testing.T, prometheus string) {
	t.Helper()
	ask := func(path string, out any) error {
		text, err := try(t, "podman", "exec", prometheus, "/bin/wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/"+path)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), out)
	}
	harness.Eventually(t, 60*time.Second, "every replica is scraped", func() error {
		var up struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := ask("query?query=up", &up); err != nil {
			return err
		}
		good := 0
		for _, r := range up.Data.Result {
			if r.Value[1] != "1" {
				return fmt.Errorf("%s is not scraped", r.Metric["instance"])
			}
			good++
		}
		return harness.Equal("number of replicas", good, 7)
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health string }
			}
		}
	}
	if err := ask("rules", &rules); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			count++
			if r.Health == "err" {
				t.Errorf("rule %s fails", r.Name)
			}
		}
	}
	if count == 0 {
		t.Error("no rule is loaded")
	}
}
