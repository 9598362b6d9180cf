// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// TestDatabaseTLS has a PostgreSQL that is reached by TLS only, with a certificate of a CA of its own: each sslmode does what
// it says, and production refuses a URL that would go over a network in clear text.
func TestDatabaseTLS(t *testing.T) {
	t.Parallel()
	port, ca := harness.NewTLSFront(t, harness.NewPostgres(t))
	home := t.TempDir()
	run := func(url string, more ...string) (int, string) {
		t.Helper()
		code, out, errs := harness.RunCommand(t, append([]string{
			"HOME=" + home, "Z4J_HOME=" + home + "/state", "Z4J_DATABASE_URL=" + url, "Z4J_ENVIRONMENT=dev",
			"Z4J_SECRET=" + strings.Repeat("m", 48), "Z4J_SESSION_SECRET=" + strings.Repeat("s", 48),
		}, more...), "migrate", "upgrade", "head")
		return code, out + errs
	}
	url := func(host, parameters string) string {
		return fmt.Sprintf("postgres://postgres:s3cr3t-%s@%s:%d/postgres?%s", uuid.Nil, host, port, parameters)
	}
	for _, c := range []struct {
		what, url, refusal string
	}{
		{"verified, name included", url("127.0.0.1", "sslmode=verify-full&sslrootcert="+ca), ""},
		{"verified but for the name", url("localhost", "sslmode=verify-ca&sslrootcert="+ca), ""},
		{"encrypted only", url("127.0.0.1", "sslmode=require"), ""},
		{"another name", url("localhost", "sslmode=verify-full&sslrootcert="+ca), "certificate"},
		{"the system's CAs", url("127.0.0.1", "sslmode=verify-full"), "certificate"},
		{"a CA that is not there", url("127.0.0.1", "sslmode=verify-full&sslrootcert=/missing"), ""},
		{"plain text", url("127.0.0.1", "sslmode=disable"), "no encryption"},
	} {
		code, text := run(c.url)
		refused := c.refusal != "" || strings.Contains(c.what, "not there")
		if (code != 0) != refused || !strings.Contains(text, c.refusal) || strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: exit code %d, want refused = %t with %q and no password: %s", c.what, code, refused, c.refusal, text)
		}
	}
	production := []string{"Z4J_ENVIRONMENT=production", "Z4J_PUBLIC_URL=https://z4j.example.com", "Z4J_ALLOWED_HOSTS=z4j.example.com"}
	if code, text := run("postgres://postgres@db.example.com/postgres", production...); code == 0 || !strings.Contains(text, "Z4J_REQUIRE_DB_SSL=false") {
		t.Errorf("production without TLS: exit code %d: %s", code, text)
	}
	if code, text := run(url("127.0.0.1", "sslmode=require"), append(production, "Z4J_REDIS_URL=redis://cache.example.com/0")...); code == 0 || !strings.Contains(text, "Z4J_REQUIRE_REDIS_SSL=false") {
		t.Errorf("production with Redis in clear text: exit code %d: %s", code, text)
	}
	if code, text := run(url("127.0.0.1", "sslmode=require"), append(production, "Z4J_REDIS_URL=redis://127.0.0.1/0")...); code != 0 {
		t.Errorf("production with a Redis on this machine: exit code %d: %s", code, text)
	}
}
