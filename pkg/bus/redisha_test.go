// SPDX-License-Identifier: AGPL-3.0-or-later

package bus_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/bus/bustest"
)

// startRedisWith starts a server with further settings. A port may be taken in between; then the next one is tried.
func startRedisWith(t *testing.T, settings func(port string) []string) *redisServer {
	t.Helper()
	needRedis(t)
	for range 5 {
		// A cluster's second port is 10000 higher.
		s := &redisServer{t: t, dir: t.TempDir(), port: lowPort(t)}
		s.args = settings(s.port)
		if s.start() {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

func lowPort(t *testing.T) string {
	t.Helper()
	for {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 55_000 {
			return fmt.Sprint(port)
		}
	}
}

// cli asks a server.
func (s *redisServer) cli(args ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "redis-cli", append([]string{"-h", "127.0.0.1", "-p", s.port}, args...)...).CombinedOutput() //nolint:gosec // our own arguments
	if err != nil {
		return err.Error() + ": " + string(out)
	}
	return string(out)
}

// hintsArrive publishes at one replica until the other has heard of it.
func hintsArrive(t *testing.T, what string, from bus.Bus, topic bus.Topic, at bus.Subscription) {
	t.Helper()
	began := time.Now()
	eventually(t, what, func() bool {
		if err := from.Publish(t.Context(), topic, []byte(what)); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-at.C():
			return string(m.Payload) == what
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	t.Logf("%s: after %d ms", what, time.Since(began).Milliseconds())
}

// survive runs the conformance suite on a Redis of several servers, then kills one of them under a subscription.
func survive(t *testing.T, url string, kill func(namespace string)) {
	t.Helper()
	open := func(t *testing.T, namespace string) *bus.Redis {
		t.Helper()
		b, err := bus.NewRedis(bus.Config{URL: url, Namespace: namespace})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		eventually(t, "connected", b.Connected)
		return b
	}
	bustest.Exercise(t, func(t *testing.T) (bus.Bus, bus.Bus) { return open(t, t.Name()), open(t, t.Name()) })

	namespace := "failover"
	a, b := open(t, namespace), open(t, namespace)
	s, err := b.Subscribe(t.Context(), bus.ProjectTasks(1))
	if err != nil {
		t.Fatal(err)
	}
	hintsArrive(t, "before", a, bus.ProjectTasks(1), s)
	kill(namespace)
	hintsArrive(t, "after the failover", a, bus.ProjectTasks(1), s)
	late, err := a.Subscribe(t.Context(), bus.ProjectTasks(2))
	if err != nil {
		t.Fatal(err)
	}
	hintsArrive(t, "to a new subscription", b, bus.ProjectTasks(2), late)
}

// TestRedisSentinel kills the master of a pair that three Sentinels watch.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	const password = "sentinel-test-password"
	auth := []string{"--requirepass", password, "--masterauth", password, "--repl-diskless-sync-delay", "0"}
	master := startRedisWith(t, func(string) []string { return auth })
	replica := startRedisWith(t, func(string) []string { return append([]string{"--replicaof", "127.0.0.1 " + master.port}, auth...) })
	var sentinels []string
	for range 3 {
		s := startRedisWith(t, func(port string) []string {
			conf := filepath.Join(t.TempDir(), "sentinel.conf")
			text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 %s 2\nsentinel auth-pass mymaster %s\n"+
				"sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n", port, master.port, password)
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{conf, "--sentinel"}
		})
		sentinels = append(sentinels, "127.0.0.1:"+s.port)
		eventually(t, "the Sentinel knows the replica", func() bool { return strings.Contains(s.cli("sentinel", "replicas", "mymaster"), replica.port) })
	}
	eventually(t, "the Sentinels know each other", func() bool {
		s := &redisServer{t: t, port: strings.TrimPrefix(sentinels[0], "127.0.0.1:")}
		return strings.Count(s.cli("sentinel", "sentinels", "mymaster"), "runid") == 2
	})
	eventually(t, "the replica has caught up", func() bool {
		return strings.Contains(replica.cli("-a", password, "--no-auth-warning", "info", "replication"), "master_link_status:up")
	})
	survive(t, "redis+sentinel://:"+password+"@"+strings.Join(sentinels, ",")+"/mymaster/0", func(string) { master.kill() })
}

// TestRedisCluster kills the node that takes the hints in a cluster of three pairs.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := map[string]*redisServer{}
	create := []string{"--cluster", "create"}
	for range 6 {
		s := startRedisWith(t, func(string) []string {
			return []string{
				"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000",
				"--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0",
			}
		})
		nodes[s.port] = s
		create = append(create, "127.0.0.1:"+s.port)
	}
	out, err := exec.CommandContext(t.Context(), "redis-cli", append(create, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput() //nolint:gosec // our own arguments
	if err != nil {
		t.Fatalf("create the cluster: %v\n%s", err, out)
	}
	for _, s := range nodes {
		eventually(t, "the cluster is whole", func() bool {
			return strings.Contains(s.cli("cluster", "info"), "cluster_state:ok") && !strings.Contains(s.cli("info", "replication"), "master_link_status:down")
		})
	}
	var addrs []string
	for port := range nodes {
		addrs = append(addrs, "127.0.0.1:"+port)
	}
	survive(t, "redis+cluster://"+strings.Join(addrs, ","), func(namespace string) {
		for port, s := range nodes {
			// Who has the key answers without sending us elsewhere.
			answer := s.cli("get", namespace+":bus")
			if !strings.Contains(answer, "MOVED") {
				t.Logf("killing the master at %s", port)
				s.kill()
				return
			}
		}
		t.Fatal("no node takes the hints")
	})
}

// TestRedisTLS speaks TLS with a certificate of a CA of its own: verified when the URL names the CA, refused when not.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := makeCertificates(t, dir)
	server := startRedisWith(t, func(port string) []string {
		return []string{
			"--port", "0", "--tls-port", port, "--tls-cert-file", filepath.Join(dir, "server.pem"), "--tls-key-file", filepath.Join(dir, "server.key"),
			"--tls-ca-cert-file", ca, "--tls-auth-clients", "no",
		}
	})
	named := func(host, parameters string) string {
		return "rediss://" + host + ":" + server.port + "/0?" + parameters
	}
	open := func(t *testing.T, url string) *bus.Redis {
		t.Helper()
		b, err := bus.NewRedis(bus.Config{URL: url, Namespace: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	bustest.Exercise(t, func(t *testing.T) (bus.Bus, bus.Bus) {
		url := named("127.0.0.1", "ssl_ca_certs="+ca)
		return open(t, url), open(t, url)
	})
	for what, c := range map[string]struct {
		url  string
		want bool
	}{
		"the system's CAs":               {named("127.0.0.1", ""), false},
		"no verification":                {named("127.0.0.1", "ssl_cert_reqs=none"), true},
		"another name":                   {named("localhost", "ssl_ca_certs="+ca), false},
		"any name":                       {named("localhost", "ssl_check_hostname=false&ssl_ca_certs="+ca), true},
		"any name, but the system's CAs": {named("localhost", "ssl_check_hostname=false"), false},
		"plain text":                     {"redis://127.0.0.1:" + server.port, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			log := new(syncBuffer)
			b, err := bus.NewRedis(bus.Config{URL: c.url, Namespace: t.Name(), Logger: log.logger()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.Close() }()
			eventually(t, "the connection is decided", func() bool { return b.Connected() || strings.Contains(log.String(), "cannot connect to redis") })
			if b.Connected() != c.want {
				t.Errorf("connected: %t, want %t; log: %s", b.Connected(), c.want, log)
			}
		})
	}
}

// makeCertificates writes a CA and a certificate for 127.0.0.1 and returns the CA's file.
func makeCertificates(t *testing.T, dir string) string {
	t.Helper()
	now := time.Now()
	template := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		}
	}
	root, leaf := template(1, "test CA"), template(2, "redis")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.IPAddresses, leaf.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	rootKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leafKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	rootDER, err1 := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	leafDER, err2 := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, rootKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(leafKey)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":     {Type: "CERTIFICATE", Bytes: rootDER},
		"server.pem": {Type: "CERTIFICATE", Bytes: leafDER},
		"server.key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		var text bytes.Buffer
		if err := pem.Encode(&text, block); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "ca.pem")
}
