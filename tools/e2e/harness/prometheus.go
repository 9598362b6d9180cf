// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ScrapeJob is one job of a Prometheus: where it asks for what.
type ScrapeJob struct {
	Name, Path string
	Ports      []int
}

// Prometheus is a real one with a memory of its own; it scrapes and evaluates its rules every second.
type Prometheus struct {
	*Process

	url string
}

// StartPrometheus starts one with the rules of a file and waits until every target was scraped.
func StartPrometheus(t testing.TB, rules string, jobs ...ScrapeJob) *Prometheus {
	t.Helper()
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is missing: run scripts/env services")
	}
	var cfg strings.Builder
	fmt.Fprintf(&cfg, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	targets := 0
	for _, j := range jobs {
		fmt.Fprintf(&cfg, "  - job_name: %s\n    metrics_path: %s\n    static_configs:\n      - targets: [", j.Name, j.Path)
		for i, port := range j.Ports {
			if i > 0 {
				cfg.WriteString(", ")
			}
			fmt.Fprintf(&cfg, "'127.0.0.1:%d'", port)
			targets++
		}
		cfg.WriteString("]\n")
	}
	dir, port := t.TempDir(), FreePort(t)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(cfg.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &Prometheus{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.Process = start(t, "prometheus", options{dir: dir}, bin, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:"+strconv.Itoa(port))
	Eventually(t, 30*time.Second, "Prometheus has scraped everything", func() error {
		got, err := p.Query("count(up == 1)")
		if err != nil {
			return err
		}
		if len(got) != 1 || int(got[0].Value) != targets {
			return fmt.Errorf("%v of %d targets are up", got, targets)
		}
		return nil
	})
	return p
}

// Sample is one series of an answer.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an expression now.
func (p *Prometheus) Query(expr string) ([]Sample, error) {
	var answer struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	}
	if err := p.get("/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	if answer.ResultType != "vector" {
		return nil, fmt.Errorf("%s: a %s, want a vector", expr, answer.ResultType)
	}
	var rows []struct {
		Metric map[string]string `json:"metric"`
		Value  [2]any            `json:"value"`
	}
	if err := json.Unmarshal(answer.Result, &rows); err != nil {
		return nil, err
	}
	out := make([]Sample, len(rows))
	for i, r := range rows {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expr, err)
		}
		out[i] = Sample{r.Metric, v}
	}
	return out, nil
}

// Names lists the names of all metrics that it knows.
func (p *Prometheus) Names() ([]string, error) {
	var names []string
	return names, p.get("/api/v1/label/__name__/values", &names)
}

// Rule is one rule and how its last evaluation went.
type Rule struct{ Query, Health, LastError string }

// Rules lists all rules by name.
func (p *Prometheus) Rules() (map[string]Rule, error) {
	var answer struct {
		Groups []struct {
			Rules []struct {
				Name string `json:"name"`
				Rule
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := p.get("/api/v1/rules", &answer); err != nil {
		return nil, err
	}
	rules := map[string]Rule{}
	for _, g := range answer.Groups {
		for _, r := range g.Rules {
			rules[r.Name] = r.Rule
		}
	}
	return rules, nil
}

func (p *Prometheus) get(path string, data any) error {
	resp, err := http.Get(p.url + path) //nolint:noctx // a question of a test
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// CheckMetrics runs `promtool check metrics` over a scrape and returns what it complains of.
func CheckMetrics(t testing.TB, scrape string) []string {
	t.Helper()
	code, stdout, stderr := runCommand(t, "/", nil, scrape, "promtool", "check", "metrics")
	var lines []string
	for line := range strings.Lines(stdout + stderr) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if code != 0 && len(lines) == 0 {
		lines = []string{fmt.Sprintf("promtool ended with %d", code)}
	}
	return lines
}
