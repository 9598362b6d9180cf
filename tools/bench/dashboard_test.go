// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen/demo"
)

// audit is what Lighthouse says of one page; see tools/lighthouse.
type audit struct {
	Page          string   `json:"page"`
	Performance   int      `json:"performance"`
	Accessibility int      `json:"accessibility"`
	BestPractices int      `json:"best_practices"`
	LCP           int      `json:"largest_contentful_paint_ms"`
	Blocking      int      `json:"total_blocking_ms"`
	Shift         float64  `json:"layout_shift"`
	Below         []string `json:"below"`
}

// smooth are frames a second while the task list scrolls.
type smooth struct {
	Median float64 `json:"median"`
	Slow   float64 `json:"slow"`
}

// BenchmarkDashboard measures the pages in a browser on a project with 100,000 tasks, writes its
// section, and fails when a page is below what is promised.
func BenchmarkDashboard(b *testing.B) {
	if b.N > 1 {
		return
	}
	root := harness.Root(b)
	brain := harness.NewBrain(b)
	api := brain.Setup(b)
	var cred harness.Credentials
	api.Must(b, http.MethodPost, "/projects", map[string]any{"slug": "shop", "name": "Shop"}, http.StatusCreated, nil)
	api.Must(b, http.MethodPost, "/projects/shop/agents", map[string]any{"name": "worker"}, http.StatusCreated, &cred)
	opts := demo.Options{
		URL: brain.URL(), Tasks: 100_000, Span: 24 * time.Hour, Seed: 4, Log: b.Logf,
		Agents: []demo.Credentials{{Token: cred.Token, HMACSecret: cred.HMACSecret}},
	}
	if err := demo.Run(b.Context(), opts); err != nil {
		b.Fatal(err)
	}
	audits := lighthouse(b, root, brain, api)
	scrolled := scroll(b, root, brain)
	dashboard := filepath.Join(root, "services", "gateway", "dashboard")
	budget, err := harness.Npm(b, dashboard, nil, "exec", "--", "node", "scripts/budget.mjs")
	if err != nil {
		b.Errorf("the script is over its budget: %v\n%s", err, budget)
	}
	table := dashboardTable(audits)
	text := fmt.Sprintf("%s\n\n%s In Chromium, on a project with 100,000 tasks, served by the brain beside it.\n\n", dashboardSection, measuredAt(root))
	text += table + "\n| | |\n|---|---:|\n"
	text += fmt.Sprintf("| script of the first load, gzip | %s |\n", strings.TrimPrefix(strings.TrimSpace(budget), "initial JavaScript: "))
	text += fmt.Sprintf("| scrolling through 100,000 tasks, median | %.0f frames/s |\n| slowest twentieth of the frames | %.0f frames/s |\n\n", scrolled.Median, scrolled.Slow)
	publish(b, root, "dashboard", dashboardSection, text, map[string]any{"audits": audits, "scroll": scrolled})
	b.ReportMetric(scrolled.Median, "frames/s")
	for _, a := range audits {
		if a.Performance < 95 || a.Accessibility < 95 || a.BestPractices < 100 {
			b.Errorf("%s: performance %d, accessibility %d, best practices %d; want 95, 95, 100: %s", a.Page, a.Performance, a.Accessibility, a.BestPractices, strings.Join(a.Below, "; "))
		}
	}
	if scrolled.Median < 50 {
		b.Errorf("the task list scrolls at %.0f frames/s, want 50", scrolled.Median)
	}
}

func lighthouse(b *testing.B, root string, brain *harness.Brain, api *harness.Client) []audit {
	b.Helper()
	base, err := url.Parse(brain.URL())
	if err != nil {
		b.Fatal(err)
	}
	var cookie []string
	for _, c := range api.Jar().Cookies(base) {
		cookie = append(cookie, c.Name+"="+c.Value)
	}
	var failed struct {
		Items []harness.Task `json:"items"`
	}
	if err := api.Get("/projects/shop/tasks?state=failure&limit=1", &failed); err != nil || len(failed.Items) == 0 {
		b.Fatalf("find a failed task: %v", err)
	}
	pages, err := json.Marshal([][]string{
		{"login", "/login", "anonymous"},
		{"overview", "/projects/shop"},
		{"tasks", "/projects/shop/tasks"},
		{"task", "/projects/shop/tasks/celery/" + failed.Items[0].TaskID},
		{"queues", "/projects/shop/queues"},
	})
	if err != nil {
		b.Fatal(err)
	}
	out, err := harness.Npm(b, filepath.Join(root, "tools", "lighthouse"), []string{
		"Z4J_BENCH_URL=" + brain.URL(), "Z4J_BENCH_COOKIE=" + strings.Join(cookie, "; "),
		"Z4J_BENCH_PAGES=" + string(pages), "Z4J_BENCH_CHROMIUM=" + harness.Chromium(b),
	}, "run", "--silent", "audit")
	if err != nil {
		b.Fatalf("lighthouse: %v\n%s", err, out)
	}
	var audits []audit
	for line := range strings.Lines(out) {
		var a audit
		if json.Unmarshal([]byte(line), &a) == nil && a.Page != "" {
			audits = append(audits, a)
		}
	}
	return audits
}

func scroll(b *testing.B, root string, brain *harness.Brain) smooth {
	b.Helper()
	out, err := harness.Npm(b, filepath.Join(root, "services", "gateway", "dashboard"), []string{
		"Z4J_E2E_URL=" + brain.URL(), "Z4J_E2E_EMAIL=" + harness.AdminEmail, "Z4J_E2E_PASSWORD=" + harness.AdminPassword,
		"Z4J_E2E_MANY=shop", "Z4J_E2E_ARTIFACTS=" + b.TempDir(), "Z4J_E2E_CHROMIUM=" + harness.Chromium(b),
	}, "exec", "--", "node", "e2e/scroll.mjs")
	var s smooth
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		b.Fatalf("scroll: %v\n%s", err, out)
	}
	return s
}

func dashboardTable(audits []audit) string {
	var s strings.Builder
	s.WriteString("| page | performance | accessibility | best practices | largest paint | blocked | layout shift |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, a := range audits {
		fmt.Fprintf(&s, "| %s | %d | %d | %d | %d ms | %d ms | %.3f |\n", a.Page, a.Performance, a.Accessibility, a.BestPractices, a.LCP, a.Blocking, a.Shift)
	}
	s.WriteString("\nThe first three are Lighthouse's scores for a desktop, medians of three loads.\n")
	return s.String()
}
