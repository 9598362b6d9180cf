// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Account that the harness creates in each brain.
const (
	AdminEmail    = "admin@example.com"
	AdminPassword = "Correct-Horse-Battery-9"
	// Project is the project that the setup creates.
	Project = "default"
)

var setupURL = regexp.MustCompile(`https?://[^\s]+/setup[#?]token=([A-Za-z0-9_-]+)`)

// Brain is one installation: a home directory, a port, and the processes that run on them now: one, or the single
// services behind a gateway.
type Brain struct {
	// Processes are those of the last start; the first is the one that answers on Port.
	Processes []*Process

	Home string
	Port int
	env  []string
	bin  string
	// cluster is set when the brain is single services.
	cluster *Cluster
}

// Binary is the brain under test: bin/z4j, which `make build` leaves, or Z4J_E2E_BIN.
func Binary(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("Z4J_E2E_BIN")
	if bin == "" {
		bin = filepath.Join(Root(t), "bin", "z4j")
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("the brain's binary is missing: run `make build` first (%v)", err)
	}
	return bin
}

// NewBrain prepares an installation in a fresh home and starts it. env adds settings. A fifth of the hints between
// the services is lost on purpose: whatever is tested must not depend on one.
func NewBrain(t testing.TB, env ...string) *Brain {
	t.Helper()
	home := t.TempDir()
	env = append(servers(t), env...)
	if AsServices() || AsReplicas() {
		return newCluster(t, home, env)
	}
	b := &Brain{
		Home: filepath.Join(home, ".z4j"), Port: FreePort(t), bin: Binary(t),
		env: append([]string{"HOME=" + home, "Z4J_HOME=" + filepath.Join(home, ".z4j"), "Z4J_BUS_DROP_PERCENT=20"}, env...),
	}
	b.Start(t)
	return b
}

// OnPostgres reports whether the brains of this run keep their data in PostgreSQL and their hints in
// Redis, as Z4J_E2E_STORE=postgres asks for. Otherwise they are what `z4j serve` is by default.
func OnPostgres() bool {
	return os.Getenv("Z4J_E2E_STORE") == "postgres" || AsServices() || AsReplicas()
}

// AsServices reports whether the brains of this run are single services, two of each behind a gateway, as
// Z4J_E2E_STORE=services asks for.
func AsServices() bool { return os.Getenv("Z4J_E2E_STORE") == "services" }

// AsReplicas reports whether the brains of this run are two `z4j serve` behind a balancer, as Z4J_E2E_STORE=replicas asks
// for.
func AsReplicas() bool { return os.Getenv("Z4J_E2E_STORE") == "replicas" }

// servers are the settings of a brain on a database of its own in the servers that
// scripts/with-services started.
func servers(t testing.TB) []string {
	t.Helper()
	if !OnPostgres() {
		return nil
	}
	server, redis := os.Getenv("Z4J_TEST_POSTGRES"), os.Getenv("Z4J_TEST_REDIS_URL")
	at, err := url.Parse(server)
	if err != nil || server == "" || redis == "" {
		t.Fatal("Z4J_E2E_STORE=postgres needs the servers of scripts/with-services")
	}
	name := fmt.Sprintf("e2e_%d_%d", os.Getpid(), time.Now().UnixNano())
	psql := filepath.Join(Root(t), ".cache", "pg", "bin", "psql")
	if code, _, stderr := runCommand(t, "/", nil, "", psql, "-X", "-q", "-d", server, "-c", "CREATE DATABASE "+name); code != 0 {
		t.Fatalf("create a database: %s", stderr)
	}
	at.Path = "/" + name
	secret := func() string { return uuid.NewString() + uuid.NewString() }
	return []string{
		"Z4J_SECRET=" + secret(), "Z4J_SESSION_SECRET=" + secret(),
		"Z4J_DATABASE_URL=" + at.String(), "Z4J_REDIS_URL=" + redis, "Z4J_ENVIRONMENT=dev",
	}
}

// SetEnv changes settings from the next start on; the last of a name counts.
func (b *Brain) SetEnv(env ...string) { b.env = append(b.env, env...) }

// Running reports whether every process runs.
func (b *Brain) Running() bool {
	for _, p := range b.Processes {
		if !p.Running() {
			return false
		}
	}
	return len(b.Processes) > 0
}

// Log is what all processes of this start printed.
func (b *Brain) Log() string {
	var text strings.Builder
	for _, p := range b.Processes {
		text.WriteString(p.Log())
	}
	return text.String()
}

// PID is the process that answers on Port, for measurements.
func (b *Brain) PID() int { return b.Processes[0].PID() }

// Kill ends every process at once, as a power cut would.
func (b *Brain) Kill() {
	for _, p := range b.Processes {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	for _, p := range b.Processes {
		p.Kill()
	}
}

// Stop asks every process to end and returns the worst exit code; it fails the test when one needs longer than limit.
func (b *Brain) Stop(t testing.TB, limit time.Duration) int {
	t.Helper()
	code := 0
	for _, p := range b.Processes {
		p.terminate()
	}
	for _, p := range b.Processes {
		if c := p.wait(t, limit); c != 0 {
			code = c
		}
	}
	return code
}

// WaitLog waits until one of the processes prints text.
func (b *Brain) WaitLog(t testing.TB, limit time.Duration, text string) {
	t.Helper()
	Eventually(t, limit, fmt.Sprintf("the brain prints %q", text), func() error {
		if strings.Contains(b.Log(), text) {
			return nil
		}
		if !b.Running() {
			return fmt.Errorf("a process has ended:\n%s", b.Log())
		}
		return errors.New("not printed")
	})
}

// URL is the address that agents and browsers use.
func (b *Brain) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", b.Port) }

// Start runs `z4j serve` in the brain's home and waits until it is healthy. It returns how long
// that took.
func (b *Brain) Start(t testing.TB, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	if b.cluster != nil {
		b.startCluster(t)
		return time.Since(began)
	}
	p := start(t, "brain", options{dir: filepath.Dir(b.Home), env: b.env}, append([]string{
		b.bin, "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(b.Port),
	}, args...)...)
	b.Processes = []*Process{p}
	if err := poll(30*time.Second, b.healthy); err != nil {
		t.Fatalf("the brain did not become healthy: %v\n%s", err, b.Log())
	}
	return time.Since(began)
}

func (b *Brain) healthy() error {
	if !b.Running() {
		return errEnded
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL()+"/api/v1/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	return Equal("status", resp.StatusCode, http.StatusOK)
}

// SetupURL returns the one-time link that the brain printed, and the token in it.
func (b *Brain) SetupURL(t testing.TB) (link, token string) {
	t.Helper()
	var found []string
	Eventually(t, 5*time.Second, "the brain prints a setup URL", func() error {
		if found = setupURL.FindStringSubmatch(b.Log()); found == nil {
			return errors.New("no such line")
		}
		return nil
	})
	return found[0], found[1]
}

// Setup completes the first boot over REST and returns the new administrator's session.
func (b *Brain) Setup(t testing.TB) *Client {
	t.Helper()
	_, token := b.SetupURL(t)
	c := NewClient(b.URL())
	c.Must(t, http.MethodPost, "/setup/complete", map[string]any{
		"token": token, "email": AdminEmail, "display_name": "Ada Admin", "password": AdminPassword,
	}, http.StatusOK, nil)
	return c
}

// RunCommand runs a command of the binary in a directory of its own and returns its exit code and what it printed.
func RunCommand(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCommand(t, t.TempDir(), env, "", append([]string{Binary(t)}, args...)...)
}

// CLI runs another command of the binary on the brain's home and returns its exit code and
// standard output.
func (b *Brain) CLI(t testing.TB, stdin string, args ...string) (int, string, string) {
	t.Helper()
	return runCommand(t, filepath.Dir(b.Home), b.env, stdin, append([]string{b.bin}, args...)...)
}
