// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

// Jobs that the metrics' system is given.
const (
	added = 12
	blown = 3
)

// TestMetrics runs what is shipped for operators, every panel and every rule, in a real Prometheus that scrapes a brain
// with a real worker, and asks what boards for celery-exporter and Flower ask.
//
//nolint:tparallel // the parts look at the figures of one moment, not of whenever their turn comes
func TestMetrics(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t, "Z4J_METRICS_PUBLIC=true")
	api := brain.Setup(t)
	db := harness.NewRedis(t).DB()
	cred := api.Mint(t, "agent-metrics")
	harness.StartCelery(t, "m1@shop", db, harness.AgentEnv(t, brain, cred), "-E", "-c", "2")
	producer := harness.NewProducer(t, "celery", db)

	ports := []int{brain.Port}
	if c := brain.Cluster(); c != nil {
		ports = nil
		for _, m := range c.Members {
			ports = append(ports, m.Port)
		}
	}
	rules := filepath.Join(harness.Root(t), "deploy", "prometheus", "rules.yml")
	prom := harness.StartPrometheus(t, rules,
		harness.ScrapeJob{Name: "z4j", Path: "/metrics", Ports: ports},
		harness.ScrapeJob{Name: "celery", Path: "/metrics/celery", Ports: []int{brain.Port}},
		harness.ScrapeJob{Name: "flower", Path: "/metrics/flower", Ports: []int{brain.Port}})

	api.WaitAgent(t, cred.Agent.ID, "online", patience)
	for range added {
		producer.Send(t, harness.Job{Task: "shop.add", Args: []any{1, 2}})
	}
	var failed string
	for range blown {
		failed = producer.Send(t, harness.Job{Task: "shop.boom"})
	}
	api.WaitTask(t, "celery", failed, "failure", patience)
	api.Command(t, "retry-task", map[string]any{"agent_id": cred.Agent.ID, "engine": "celery", "task_id": failed}, "completed")

	t.Run("counts", func(t *testing.T) { wantCounts(t, prom) })
	t.Run("boards of others", func(t *testing.T) { boardsOfOthers(t, prom) })
	t.Run("shipped", func(t *testing.T) { shipped(t, prom) })
	t.Run("promtool", func(t *testing.T) {
		for _, port := range ports {
			lintScrape(t, port, "/metrics")
		}
		lintScrape(t, brain.Port, "/metrics/celery")
		lintScrape(t, brain.Port, "/metrics/flower")
	})
	t.Run("replicas agree", func(t *testing.T) { replicasAgree(t, brain) })
}

// wantCounts compares with what was sent. The failed task that was sent again failed again.
func wantCounts(t *testing.T, prom *harness.Prometheus) {
	for expr, want := range map[string]float64{
		`sum(z4j_tasks_total{task_name="shop.add", queue="default", state="success"})`:             added,
		`sum(z4j_tasks_total{task_name="shop.boom", state="failure"})`:                             blown + 1,
		`sum(z4j_task_duration_seconds_count{task_name="shop.add"})`:                               added,
		`sum(celery_task_received_total{name="shop.add", queue_name="default"})`:                   added,
		`sum(celery_task_started_total{name="shop.add", hostname="shop"})`:                         added,
		`sum(celery_task_succeeded_total{name="shop.add", hostname="shop", queue_name="default"})`: added,
		`sum(celery_task_failed_total{name="shop.boom", exception="ValueError"})`:                  blown + 1,
		`sum(celery_task_runtime_bucket{name="shop.add", le="+Inf"})`:                              added,
		`celery_worker_up{hostname="shop"}`:                                                        1,
		`celery_active_process_count{queue_name="default"}`:                                        2,
		`sum(flower_events_total{worker="m1@shop", type="task-succeeded", task="shop.add"})`:       added,
		`sum(flower_events_total{worker="m1@shop", type="task-failed", task="shop.boom"})`:         blown + 1,
		`sum(flower_task_runtime_seconds_count{worker="m1@shop", task="shop.add"})`:                added,
		`flower_worker_online{worker="m1@shop"}`:                                                   1,
		`flower_worker_prefetched_tasks{worker="m1@shop", task="shop.add"}`:                        0,
		`count(z4j_api_lease_held{lease="upkeep"} == 1) > bool 0`:                                  1,
		`min(time() - z4j_api_lease_taken_timestamp_seconds{lease="upkeep"}) < bool 600`:           1,
		`sum(z4j_commands_total{action="retry_task", status="completed"})`:                         1,
		`sum(z4j_ingest_slots)`:                                                  1,
		`sum(z4j_ingest_ack_seconds_count) > bool 0`:                             1,
		`sum(z4j_ingest_event_lag_seconds_count) >= bool ` + fmt.Sprint(3*added): 1,
		`min(z4j_db_pool_size) > bool 0`:                                         1,
	} {
		limit := patience
		if strings.HasPrefix(expr, "celery_active_process_count") {
			limit = patienceForDetails
		}
		harness.Eventually(t, limit, expr, func() error {
			got, err := prom.Query(expr)
			if err != nil {
				return err
			}
			if len(got) != 1 || got[0].Value != want {
				return fmt.Errorf("%v, want %v", got, want)
			}
			return nil
		})
	}
}

// boardsOfOthers asks what public boards ask: nothing may be missing.
func boardsOfOthers(t *testing.T, prom *harness.Prometheus) {
	for _, expr := range []string{
		`count(celery_worker_up{job="celery"} == 1)`,
		`sum(celery_worker_tasks_active{job="celery"})`,
		`sum(round(increase(celery_task_failed_total{job="celery", queue_name=~"default"}[1m])))`,
		`sum(celery_task_succeeded_total{job="celery"}) / (sum(celery_task_succeeded_total{job="celery"}) + sum(celery_task_failed_total{job="celery"}))`,
		`sum(round(increase(celery_task_succeeded_total{name="shop.boom"}[1m]))) by (job)`,
		`sum(increase(celery_task_revoked_total{job="celery"}[1m])) by (name)`,
		`sum(increase(celery_task_rejected_total{job="celery"}[1m])) by (name)`,
		`sum(increase(celery_task_retried_total{job="celery"}[1m])) by (name)`,
		`sum(increase(celery_task_sent_total{job="celery"}[1m]))`,
		`sum(rate(celery_task_runtime_sum{job="celery"}[1m])) by (name) / sum(rate(celery_task_runtime_count{job="celery"}[1m])) by (name)`,
		`histogram_quantile(0.95, sum(rate(celery_task_runtime_bucket{job="celery", name="shop.add"}[1m])) by (job, le))`,
		`sum(celery_active_worker_count{job="celery"}) by (job, queue_name)`,
		`sum(rate(flower_events_total{task=~"shop.*", worker=~".*"}[1m])) by (task, type)`,
		`sum(flower_worker_online)`,
		`sum(flower_worker_number_of_currently_executing_tasks) by (worker)`,
		`sum(flower_worker_prefetched_tasks) by (task, worker)`,
		`avg(flower_task_prefetch_time_seconds) by (task, worker)`,
		`rate(flower_task_runtime_seconds_sum[1m]) / rate(flower_task_runtime_seconds_count[1m])`,
		`histogram_quantile(0.99, sum(rate(flower_task_runtime_seconds_bucket[1m])) by (le, task, worker))`,
	} {
		harness.Eventually(t, patience, expr, func() error {
			got, err := prom.Query(expr)
			if err == nil && len(got) == 0 {
				err = fmt.Errorf("nothing")
			}
			return err
		})
	}
}

// rare are metrics without a series until what they count first happens.
var rare = map[string]string{
	"z4j_agents_offline_detected_total": "by project: an agent that goes silent",
}

var (
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// shipped evaluates every expression of the boards and rules of deploy/.
func shipped(t *testing.T, prom *harness.Prometheus) {
	exprs := shippedExprs(t, prom)
	if len(exprs) < 60 {
		t.Fatalf("only %d expressions found", len(exprs))
	}
	var missing []string
	harness.Eventually(t, patience, "every metric of boards and rules is there", func() error {
		names, err := prom.Names()
		if err != nil {
			return err
		}
		missing = nil
		for where, expr := range exprs {
			for _, name := range identifier.FindAllString(quoted.ReplaceAllString(expr, ""), -1) {
				if !strings.HasPrefix(name, "z4j") && !strings.HasPrefix(name, "process_") || slices.Contains(names, name) || rare[name] != "" {
					continue
				}
				if strings.HasPrefix(name, "z4j_gateway_upstream_") && !harness.AsServices() {
					continue // only single services have upstreams
				}
				missing = append(missing, where+": "+name)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("no such metric:\n%s", strings.Join(missing, "\n"))
		}
		return nil
	})
	for where, expr := range exprs {
		if _, err := prom.Query(expr); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	firing, err := prom.Query(`ALERTS{alertstate="firing"}`)
	if err != nil || len(firing) > 0 {
		t.Errorf("alerts about a healthy brain: %v, %v", firing, err)
	}
}

// shippedExprs lists the expressions by where they stand.
func shippedExprs(t *testing.T, prom *harness.Prometheus) map[string]string {
	t.Helper()
	exprs := map[string]string{}
	deploy := filepath.Join(harness.Root(t), "deploy")
	boards, err := filepath.Glob(filepath.Join(deploy, "grafana", "*.json"))
	if err != nil || len(boards) == 0 {
		t.Fatal("no boards", err)
	}
	for _, file := range boards {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ RefID, Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(file, err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				exprs[filepath.Base(file)+": "+p.Title+" "+target.RefID] = target.Expr
			}
		}
	}
	rules, err := prom.Rules()
	if err != nil || len(rules) == 0 {
		t.Fatal("no rules", err)
	}
	for name, rule := range rules {
		exprs["rules.yml: "+name] = rule.Query
		if rule.Health == "err" {
			t.Errorf("rules.yml: %s: %s", name, rule.LastError)
		}
	}
	return exprs
}

func scrape(t *testing.T, port int, path string) string {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path)) //nolint:noctx // a scrape of a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return string(body)
}

func lintScrape(t *testing.T, port int, path string) {
	t.Helper()
	for _, line := range harness.CheckMetrics(t, scrape(t, port, path)) {
		// celery-exporter calls them so.
		if strings.HasPrefix(line, "celery_active_process_count ") || strings.HasPrefix(line, "celery_active_worker_count ") {
			continue
		}
		t.Errorf("promtool check metrics of %s: %s", path, line)
	}
}

// replicasAgree: whichever replica is asked says the same.
func replicasAgree(t *testing.T, brain *harness.Brain) {
	if brain.Cluster() == nil {
		return
	}
	replicas := brain.Cluster().Of("api")
	if harness.AsReplicas() {
		replicas = brain.Cluster().Of("serve")
	}
	for _, path := range []string{"/metrics/celery", "/metrics/flower"} {
		harness.Eventually(t, 30*time.Second, path+" is the same everywhere", func() error {
			first := scrape(t, replicas[0].Port, path)
			if second := scrape(t, replicas[1].Port, path); first != second {
				return fmt.Errorf("%s differs:\n%s\nand\n%s", path, first, second)
			}
			if !strings.Contains(first, "shop.add") {
				return fmt.Errorf("no tasks in\n%s", first)
			}
			return nil
		})
	}
}
