// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is the processes of one installation, the replicas of each service (or of serve), and their ports.
type Cluster struct {
	// Members are the replicas by name, such as ingest-2.
	Members []*Member
	hopKey  string
}

// Member is one replica: what it is, where it listens, and its process, which Start replaces.
type Member struct {
	*Process

	Service string
	Name    string
	Port    int
	brain   *Brain
}

// replicas is how many of each service a cluster has: two, unless Z4J_E2E_REPLICAS says otherwise.
func replicas(t testing.TB) int {
	t.Helper()
	text := os.Getenv("Z4J_E2E_REPLICAS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("Z4J_E2E_REPLICAS is %q: give a number of replicas", text)
	}
	return n
}

func newCluster(t testing.TB, home string, env []string) *Brain {
	t.Helper()
	b := &Brain{Home: filepath.Join(home, ".z4j"), bin: Binary(t)}
	b.env = append([]string{
		"HOME=" + home, "Z4J_HOME=" + b.Home, "Z4J_BUS_DROP_PERCENT=20", "Z4J_BIND_HOST=127.0.0.1", "Z4J_METRICS_PUBLIC=true",
	}, env...)
	b.cluster = &Cluster{}
	services, front := []string{"gateway", "ingest", "api", "audit"}, "gateway"
	if AsReplicas() {
		services, front = []string{"serve"}, "serve"
	}
	for _, service := range services {
		for i := range replicas(t) {
			b.cluster.Members = append(b.cluster.Members, &Member{
				Service: service, Name: fmt.Sprintf("%s-%d", service, i+1), Port: FreePort(t), brain: b,
			})
		}
	}
	b.Port = FreePort(t)
	var ports []int
	for _, m := range b.cluster.Of(front) {
		ports = append(ports, m.Port)
	}
	balance(t, b.Port, func() []int { return ports })
	b.env = append(b.env, "Z4J_PUBLIC_URL="+b.URL())
	if code, out, errs := b.CLI(t, "", "migrate", "upgrade", "head"); code != 0 {
		t.Fatalf("migrate: %s%s", out, errs)
	}
	code, key, errs := b.CLI(t, "", "config", "hop-key")
	if code != 0 {
		t.Fatalf("hop key: %s", errs)
	}
	b.cluster.hopKey = strings.TrimSpace(key)
	b.Start(t)
	return b
}

// Cluster is the brain's services, nil when it is one process.
func (b *Brain) Cluster() *Cluster { return b.cluster }

// Of lists the replicas of a service.
func (c *Cluster) Of(service string) []*Member {
	var list []*Member
	for _, m := range c.Members {
		if m.Service == service {
			list = append(list, m)
		}
	}
	return list
}

func (c *Cluster) urls(service string) string {
	var list []string
	for _, m := range c.Of(service) {
		list = append(list, "http://127.0.0.1:"+strconv.Itoa(m.Port))
	}
	return strings.Join(list, ",")
}

// startCluster starts what does not run and waits until all of it is ready.
func (b *Brain) startCluster(t testing.TB) {
	t.Helper()
	for _, m := range b.cluster.Members {
		if m.Process == nil || !m.Running() {
			m.Start(t)
		}
	}
	b.Processes = nil
	for _, m := range b.cluster.Members {
		m.WaitReady(t)
		b.Processes = append(b.Processes, m.Process)
	}
}

// Single prepares one service as a process of its own on the brain's settings, which `serve` has used before; Start
// starts it.
func (b *Brain) Single(t testing.TB, service string) *Member {
	t.Helper()
	return &Member{Service: service, Name: service, Port: FreePort(t), brain: b}
}

// URL is the replica's own address.
func (m *Member) URL() string { return "http://127.0.0.1:" + strconv.Itoa(m.Port) }

// Start starts the replica anew.
func (m *Member) Start(t testing.TB) {
	t.Helper()
	b := m.brain
	env := b.env
	if m.Service == "gateway" {
		// The edge gets no secret and no database, as it would be deployed.
		env = nil
		for _, e := range b.env {
			name, _, _ := strings.Cut(e, "=")
			switch name {
			case "Z4J_SECRET", "Z4J_SESSION_SECRET", "Z4J_DATABASE_URL", "Z4J_REDIS_URL":
			default:
				env = append(env, e)
			}
		}
		env = append(env, "Z4J_HOP_KEY="+b.cluster.hopKey, "Z4J_API_URL="+b.cluster.urls("api"), "Z4J_INGEST_URL="+b.cluster.urls("ingest"))
	}
	m.Process = start(t, m.Name, options{dir: filepath.Dir(b.Home), env: env}, b.bin, m.Service, "--port", strconv.Itoa(m.Port))
	for i, p := range b.Processes {
		if p.name == m.Name {
			b.Processes[i] = m.Process
		}
	}
}

// WaitReady waits until the replica wants requests.
func (m *Member) WaitReady(t testing.TB) {
	t.Helper()
	Eventually(t, 30*time.Second, m.Name+" is ready", func() error {
		if !m.Running() {
			return fmt.Errorf("it has ended:\n%s", m.Log())
		}
		path := "/health/ready"
		if m.Service == "serve" {
			path = "/api/v1/health/ready"
		}
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", m.Port, path)) //nolint:noctx // a probe of a test
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// Metric sums the series of a metric at the replica's own address.
func (m *Member) Metric(name string) (float64, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", m.Port)) //nolint:noctx // a scrape of a test
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	sum := 0.0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if base, _, _ := strings.Cut(series, "{"); !ok || base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, lines.Err()
}
