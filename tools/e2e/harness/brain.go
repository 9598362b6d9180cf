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

// Brain is one installation: a home directory, a port, and the process that runs on them now.
type Brain struct {
	*Process

	Home string
	Port int
	env  []string
	bin  string
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
	env = append(env, servers(t)...)
	b := &Brain{
		Home: filepath.Join(home, ".z4j"), Port: FreePort(t), bin: Binary(t),
		env: append([]string{"HOME=" + home, "Z4J_HOME=" + filepath.Join(home, ".z4j"), "Z4J_BUS_DROP_PERCENT=20"}, env...),
	}
	b.Start(t)
	return b
}

// OnPostgres reports whether the brains of this run keep their data in PostgreSQL and their hints in
// Redis, as Z4J_E2E_STORE=postgres asks for. Otherwise they are what `z4j serve` is by default.
func OnPostgres() bool { return os.Getenv("Z4J_E2E_STORE") == "postgres" }

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

// URL is the address that agents and browsers use.
func (b *Brain) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", b.Port) }

// Start runs `z4j serve` in the brain's home and waits until it is healthy. It returns how long
// that took.
func (b *Brain) Start(t testing.TB, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	b.Process = start(t, "brain", options{dir: filepath.Dir(b.Home), env: b.env}, append([]string{
		b.bin, "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(b.Port),
	}, args...)...)
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

// CLI runs another command of the binary on the brain's home and returns its exit code and
// standard output.
func (b *Brain) CLI(t testing.TB, stdin string, args ...string) (int, string, string) {
	t.Helper()
	return runCommand(t, filepath.Dir(b.Home), b.env, stdin, append([]string{b.bin}, args...)...)
}
