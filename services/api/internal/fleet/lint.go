// SPDX-License-Identifier: AGPL-3.0-or-later

package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// LintFindingPublic is one piece of advice.
type LintFindingPublic struct {
	RuleID   string `json:"rule_id"`
	Severity string `json:"severity"`
	Setting  string `json:"setting"`
	Title    string `json:"title"`
	Detail   string `json:"detail"`
	Remedy   string `json:"remedy"`
}

// WorkerLintPublic is the advice on one worker.
type WorkerLintPublic struct {
	WorkerID   uuid.UUID           `json:"worker_id"`
	WorkerName string              `json:"worker_name"`
	Engine     string              `json:"engine"`
	Hostname   *string             `json:"hostname"`
	Evaluated  bool                `json:"evaluated"`
	Findings   []LintFindingPublic `json:"findings"`
}

// ProjectLintPublic is the advice on all workers of a project.
type ProjectLintPublic struct {
	WorkersEvaluated    int                `json:"workers_evaluated"`
	WorkersNotEvaluated int                `json:"workers_not_evaluated"`
	FindingsBySeverity  map[string]int     `json:"findings_by_severity"`
	Workers             []WorkerLintPublic `json:"workers"`
}

const (
	high   = "high"
	medium = "medium"
	low    = "low"
)

func (g *group) lint(r *rest.Request) (any, error) {
	list, err := g.store.Workers(r.Context(), r.Project.ID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	out := ProjectLintPublic{FindingsBySeverity: map[string]int{}, Workers: []WorkerLintPublic{}}
	for i := range list {
		one := lintWorker(&list[i])
		if one.Evaluated {
			out.WorkersEvaluated++
		} else {
			out.WorkersNotEvaluated++
		}
		for _, f := range one.Findings {
			out.FindingsBySeverity[f.Severity]++
		}
		out.Workers = append(out.Workers, one)
	}
	return out, nil
}

// lintWorker applies the rules of a worker's engine to what it reports of its configuration.
func lintWorker(w *store.WorkerView) WorkerLintPublic {
	one := WorkerLintPublic{WorkerID: w.UID, WorkerName: w.Name, Engine: w.Engine, Hostname: w.Hostname, Findings: []LintFindingPublic{}}
	var report struct {
		Conf map[string]any `json:"conf"`
	}
	if w.Engine == "celery" && json.Unmarshal([]byte(w.Metadata), &report) == nil && len(report.Conf) > 0 {
		one.Evaluated, one.Findings = true, lintCelery(report.Conf)
	}
	return one
}

// lintCelery applies the rules to the settings a Celery worker reports, gravest first.
func lintCelery(conf map[string]any) []LintFindingPublic {
	found := []LintFindingPublic{}
	number := func(name string) (n float64, ok bool) {
		n, ok = conf[name].(float64)
		return n, ok
	}
	isFalse := func(name string) bool {
		v, ok := conf[name].(bool)
		return ok && !v
	}
	if kinds, ok := conf["accept_content"].([]any); ok &&
		(slices.Contains(kinds, any("pickle")) || slices.Contains(kinds, any("application/x-python-serialize"))) {
		found = append(found, LintFindingPublic{
			RuleID: "celery.pickle-accepted", Severity: high, Setting: "accept_content", Title: "The worker accepts pickled messages",
			Detail: "Whoever can write to the broker can run code in the worker, because unpickling a message may run any function.",
			Remedy: "Set accept_content to ['json'] and send tasks with the JSON serializer.",
		})
	}
	if isFalse("task_acks_late") {
		found = append(found, LintFindingPublic{
			RuleID: "celery.acks-late-off", Severity: medium, Setting: "task_acks_late", Title: "Messages are acknowledged before the task runs",
			Detail: "A task whose worker dies in the middle is lost: the broker has already forgotten its message.",
			Remedy: "Set task_acks_late = True for tasks that may safely run twice.",
		})
	}
	if late, _ := conf["task_acks_late"].(bool); late {
		reject, present := conf["task_reject_on_worker_lost"]
		if present && (reject == nil || reject == false) {
			found = append(found, LintFindingPublic{
				RuleID: "celery.lost-task-not-requeued", Severity: medium, Setting: "task_reject_on_worker_lost",
				Title:  "Tasks of a killed child process are not queued again",
				Detail: "Messages are acknowledged late, yet when a child process is killed (for example for lack of memory) its message counts as handled.",
				Remedy: "Set task_reject_on_worker_lost = True, and see to it that a task that kills its process can't come back for ever.",
			})
		}
	}
	prefetch, hasPrefetch := number("worker_prefetch_multiplier")
	switch {
	case hasPrefetch && prefetch <= 0:
		found = append(found, LintFindingPublic{
			RuleID: "celery.prefetch-unbounded", Severity: medium, Setting: "worker_prefetch_multiplier", Title: "The worker reserves messages without a limit",
			Detail: "One worker may take the whole queue into memory while the others are idle.",
			Remedy: "Set worker_prefetch_multiplier to 1, or to a small number when tasks are very short.",
		})
	case hasPrefetch && prefetch > 1:
		found = append(found, LintFindingPublic{
			RuleID: "celery.prefetch-hoarding", Severity: low, Setting: "worker_prefetch_multiplier", Title: "The worker reserves several messages for each process",
			Detail: fmt.Sprintf("Each process holds up to %.0f messages, so short tasks wait behind long ones although other workers are free.", prefetch),
			Remedy: "Set worker_prefetch_multiplier = 1 when tasks take longer than a fraction of a second.",
		})
	}
	hard, _ := number("task_time_limit")
	soft, _ := number("task_soft_time_limit")
	if hard <= 0 && soft <= 0 {
		found = append(found, LintFindingPublic{
			RuleID: "celery.no-time-limit", Severity: medium, Setting: "task_time_limit", Title: "Tasks may run for ever",
			Detail: "A task that hangs holds its process until somebody restarts the worker.",
			Remedy: "Set task_time_limit, and task_soft_time_limit a little below it so that tasks can clean up.",
		})
	}
	rank := map[string]int{high: 0, medium: 1, low: 2}
	slices.SortStableFunc(found, func(a, b LintFindingPublic) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.RuleID, b.RuleID))
	})
	return found
}
