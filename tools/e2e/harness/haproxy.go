// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartHAProxy puts a real load balancer on a port of its own before the members, which it probes, and returns its address.
func StartHAProxy(t testing.TB, members []*Member) string {
	t.Helper()
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		t.Fatal("haproxy is missing: run scripts/env")
	}
	port, dir := FreePort(t), t.TempDir()
	var conf strings.Builder
	fmt.Fprintf(&conf, `defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  retries 2
  option redispatch
frontend z4j
  bind 127.0.0.1:%d
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /health/ready
  default-server check inter 500ms fall 2 rise 1
`, port)
	for _, m := range members {
		fmt.Fprintf(&conf, "  server %s 127.0.0.1:%d\n", m.Name, m.Port)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "haproxy", options{dir: dir}, bin, "-db", "-f", file)
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	Eventually(t, 20*time.Second, "HAProxy finds a ready server", func() error {
		if !p.Running() {
			return fmt.Errorf("%w: %s", errEnded, p.Log())
		}
		resp, err := http.Get(url + "/health/ready") //nolint:gosec,noctx // a probe of a test
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		return Equal("status", resp.StatusCode, http.StatusOK)
	})
	return url
}
