// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"fmt"
	"net"
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
	Eventually(t, 10*time.Second, "HAProxy listens", func() error {
		if !p.Running() {
			return fmt.Errorf("%w: %s", errEnded, p.Log())
		}
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}
