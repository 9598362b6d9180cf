// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestParseRedisURL reads the URLs that redis-py and Celery users write, and the forms for Sentinel and Cluster.
func TestParseRedisURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]redisTarget{
		"redis://":                 {network: "tcp", addrs: []string{"localhost:6379"}},
		"redis://cache":            {network: "tcp", addrs: []string{"cache:6379"}},
		"redis://cache:7000/3":     {network: "tcp", addrs: []string{"cache:7000"}, db: 3},
		"redis://cache/?db=4":      {network: "tcp", addrs: []string{"cache:6379"}, db: 4},
		"redis://[::1]:7000":       {network: "tcp", addrs: []string{"[::1]:7000"}},
		"redis://[::1]/1":          {network: "tcp", addrs: []string{"[::1]:6379"}, db: 1},
		"redis://:p%40ss@cache/0":  {network: "tcp", addrs: []string{"cache:6379"}, password: "p@ss"},
		"redis://user:p:w@cache/0": {network: "tcp", addrs: []string{"cache:6379"}, user: "user", password: "p:w"},
		"redis://user:p/w@cache/0": {network: "tcp", addrs: []string{"cache:6379"}, user: "user", password: "p/w"},
		"redis://c/0?health_check_interval=30&socket_timeout=5": {network: "tcp", addrs: []string{"c:6379"}},
		"unix:///run/redis.sock?db=2":                           {network: "unix", addrs: []string{"/run/redis.sock"}, db: 2},
		"unix://user:pw@/run/redis.sock":                        {network: "unix", addrs: []string{"/run/redis.sock"}, user: "user", password: "pw"},
		"redis+cluster://a,b:7001":                              {network: "tcp", kind: "cluster", addrs: []string{"a:6379", "b:7001"}},
		"redis+cluster://u:p@a:1,b:2/0":                         {network: "tcp", kind: "cluster", addrs: []string{"a:1", "b:2"}, user: "u", password: "p"},
		"redis+sentinel://a,b:1/mymaster":                       {network: "tcp", kind: "sentinel", addrs: []string{"a:26379", "b:1"}, master: "mymaster"},
		"sentinel://a:1;b:2/mymaster/5":                         {network: "tcp", kind: "sentinel", addrs: []string{"a:1", "b:2"}, master: "mymaster", db: 5},
		"redis+sentinel://u:p@a/m/0?sentinel_password=s&sentinel_username=su": {
			network: "tcp", kind: "sentinel", addrs: []string{"a:26379"}, master: "m", user: "u", password: "p", sentinelUser: "su", sentinelPassword: "s",
		},
	} {
		got, err := parseRedisURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got.network != want.network || got.kind != want.kind || !slices.Equal(got.addrs, want.addrs) || got.user != want.user || got.password != want.password ||
			got.master != want.master || got.db != want.db || got.sentinelUser != want.sentinelUser || got.sentinelPassword != want.sentinelPassword || got.tls != nil {
			t.Errorf("%s: %+v", raw, got)
		}
	}
	for _, raw := range []string{"rediss://c/0", "rediss+cluster://a,b", "rediss+sentinel://a/m", "rediss://c?ssl_cert_reqs=CERT_REQUIRED"} {
		if got, err := parseRedisURL(raw); err != nil || got.tls == nil || got.tls.InsecureSkipVerify {
			t.Errorf("%s: %+v, %v; want TLS with verification", raw, got, err)
		}
	}
	if got, err := parseRedisURL("rediss://c?ssl_cert_reqs=none"); err != nil || !got.tls.InsecureSkipVerify {
		t.Errorf("without verification: %+v, %v", got, err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for raw, text := range map[string]string{
		"redis://u:s3cr3t@a,b/0":                      "redis+sentinel://",
		"redis+sentinel://u:s3cr3t@a:1/":              "names no master",
		"redis+cluster://u:s3cr3t@a:1/2":              "only number 0",
		"redis+cluster://u:s3cr3t@":                   "the forms are",
		"redis+other://u:s3cr3t@a":                    "the forms are",
		"redis+://u:s3cr3t@a":                         "the forms are",
		"redis://u:s3cr3t@a:b/0":                      "the forms are",
		"redis://u:s3cr3t@a:70000/0":                  "the forms are",
		"redis://u:s3cr3t@a/zero":                     "the forms are",
		"redis://u:s3cr3t@a/0?frobnicate=1":           `"frobnicate"`,
		"redis://u:s3cr3t@a/0?ssl_ca_certs=/x":        "write rediss://",
		"rediss://u:s3cr3t@a/0?ssl_ca_certs=/missing": "ssl_ca_certs",
		"rediss://u:s3cr3t@a/0?ssl_ca_certs=" + empty: "no certificate",
		"rediss://u:s3cr3t@a/0?ssl_certfile=/missing": "ssl_certfile",
		"rediss://u:s3cr3t@a/0?ssl_cert_reqs=maybe":   "ssl_cert_reqs",
	} {
		_, err := parseRedisURL(raw)
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v; want a refusal with %q and no password", raw, err, text)
		}
	}
}
