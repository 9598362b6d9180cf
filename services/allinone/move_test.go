// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/store/storetest"
)

// used is an SQLite home that somebody worked with, its brain stopped.
func used(t *testing.T) *home {
	t.Helper()
	h := newHome(t)
	h.runInput(t, adminPassword+"\n", "createsuperuser", "--email", adminEmail, "--password-stdin").want(t, 0)
	b := h.serve(t)
	s, _ := login(t, b.url, adminEmail, adminPassword)
	if code, body := s.call(t, http.MethodPost, "/api/v1/projects", map[string]any{"slug": "moved", "name": "Moved"}); code != http.StatusCreated {
		t.Fatalf("%d %s", code, body)
	}
	b.stop(t).want(t, 0)
	return h
}

// onPostgres is the same home with the settings of a PostgreSQL database.
func onPostgres(h *home, url string, env ...string) *home {
	return &home{dir: h.dir, work: h.work, port: h.port, env: append(append([]string{"Z4J_DATABASE_URL=" + url, "Z4J_ENVIRONMENT=dev", "Z4J_REQUIRE_DB_SSL=false"}, h.env...), env...)}
}

func hasProject(t *testing.T, url string) {
	t.Helper()
	s, code := login(t, url, adminEmail, adminPassword)
	if code != http.StatusOK {
		t.Fatalf("login: %d", code)
	}
	if code, body := s.call(t, http.MethodGet, "/api/v1/projects/moved", nil); code != http.StatusOK {
		t.Errorf("the project did not move: %d %s", code, body)
	}
}

func TestCopyToPostgres(t *testing.T) {
	t.Parallel()
	h, url := used(t), storetest.PostgresURL(t)
	p := onPostgres(h, url)
	h.run(t, "copy-to").want(t, 2, "--to")
	h.run(t, "copy-to", "--to", "mysql://x").want(t, 2, "--to")
	// Who only changes the URL is told what to do.
	p.run(t, "serve", "--host", "127.0.0.1", "--port", "17999").want(t, 2, "z4j copy-to --to", "Z4J_COPY_FROM")

	b := h.serve(t)
	h.run(t, "copy-to", "--to", url).want(t, 2, "stop the brain first")
	b.stop(t)
	h.run(t, "copy-to", "--to", url).want(t, 0, "copied and verified", "audit chain verified")
	h.run(t, "copy-to", "--to", url).want(t, 2, "holds an installation already")
	b = p.serve(t)
	hasProject(t, b.url)
	b.stop(t).want(t, 0)
	p.run(t, "audit", "verify").want(t, 0)

	// And back, into a file of another name.
	back := filepath.Join(h.dir, "back.db")
	p.run(t, "copy-to", "--to", "sqlite:///"+back).want(t, 0, "copied and verified")
	b = (&home{dir: h.dir, work: h.work, port: h.port, env: append([]string{"Z4J_DATABASE_URL=sqlite:///" + back}, h.env...)}).serve(t)
	hasProject(t, b.url)
	b.stop(t).want(t, 0)
}

func TestCopyFromAtStart(t *testing.T) {
	t.Parallel()
	h, url := used(t), storetest.PostgresURL(t)
	b := onPostgres(h, url, "Z4J_COPY_FROM="+h.file("z4j.db")).serve(t)
	if !strings.Contains(b.err.String(), "copying the installation") {
		t.Errorf("stderr: %s", b.err)
	}
	hasProject(t, b.url)
	b.stop(t).want(t, 0)

	anew := onPostgres(h, storetest.PostgresURL(t), "Z4J_COPY_FROM=none").serve(t)
	if !strings.Contains(anew.err.String(), "/setup#token=") {
		t.Errorf("an empty installation prints a setup link: %s", anew.err)
	}
	anew.stop(t)
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	h := used(t)
	file := filepath.Join(t.TempDir(), "backup.db")
	b := h.serve(t)
	h.run(t, "backup", file).want(t, 0, file)
	h.run(t, "backup", file).want(t, 2, "exists already")
	s, _ := login(t, b.url, adminEmail, adminPassword)
	if code, body := s.call(t, http.MethodDelete, "/api/v1/projects/moved", nil); code/100 != 2 {
		t.Fatalf("%d %s", code, body)
	}
	h.run(t, "restore", file).want(t, 2, "stop the brain first")
	b.stop(t)

	h.run(t, "restore", file).want(t, 2, "--force")
	h.run(t, "restore", h.file("secret.env"), "--force").want(t, 2, "no whole z4j database")
	h.run(t, "restore", "--force", file).want(t, 0, "restored", "before-restore")
	b = h.serve(t)
	hasProject(t, b.url)
	b.stop(t).want(t, 0)
	h.run(t, "audit", "verify").want(t, 0)

	// A backup of one kind of database comes back on the other.
	url := storetest.PostgresURL(t)
	p := onPostgres(h, url, "Z4J_COPY_FROM=none")
	p.run(t, "restore", file).want(t, 0, "restored")
	p.run(t, "restore", file).want(t, 2, "holds an installation already")
	b = p.serve(t)
	hasProject(t, b.url)
	second := filepath.Join(t.TempDir(), "of-postgres.db")
	p.run(t, "backup", second).want(t, 0)
	b.stop(t)
	if info, err := os.Stat(second); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	h.run(t, "restore", "--force", second).want(t, 0)
	b = h.serve(t)
	hasProject(t, b.url)
	b.stop(t)
}
