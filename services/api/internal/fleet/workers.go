// SPDX-License-Identifier: AGPL-3.0-or-later

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// WorkerPublic is an engine worker.
type WorkerPublic struct {
	ID            uuid.UUID   `json:"id"`
	ProjectID     uuid.UUID   `json:"project_id"`
	Engine        string      `json:"engine"`
	Name          string      `json:"name"`
	Hostname      *string     `json:"hostname"`
	PID           *int64      `json:"pid"`
	Concurrency   *int64      `json:"concurrency"`
	Queues        []string    `json:"queues"`
	State         string      `json:"state"`
	LastHeartbeat *httpx.Time `json:"last_heartbeat"`
	LoadAverage   *[]float64  `json:"load_average"`
	ActiveTasks   int64       `json:"active_tasks"`
	Processed     int64       `json:"processed"`
	Failed        int64       `json:"failed"`
	Succeeded     int64       `json:"succeeded"`
	Retried       int64       `json:"retried"`
	CreatedAt     httpx.Time  `json:"created_at"`

	LastEventAt   *httpx.Time `json:"last_event_at" doc:"newest event of a task on this worker, to within some seconds"`
	IdleSuspect   bool        `json:"idle_suspect" doc:"it is alive and seems not to consume although there is work for it"`
	IdleReason    *string     `json:"idle_reason" doc:"what speaks for that"`
	RatePerMinute float64     `json:"rate_per_minute" doc:"tasks ended lately"`
	RateSeconds   int64       `json:"rate_seconds" doc:"over how long rate_per_minute was measured"`
	Version       *string     `json:"version" doc:"of the engine's worker, as far as it tells"`
	AgentID       *uuid.UUID  `json:"agent_id" doc:"the agent that reported the worker last"`
}

// WorkerTaskPublic is a task that runs on a worker now.
type WorkerTaskPublic struct {
	Engine    string      `json:"engine"`
	TaskID    string      `json:"task_id"`
	Name      string      `json:"name"`
	Queue     *string     `json:"queue"`
	StartedAt *httpx.Time `json:"started_at"`
}

// WorkerDetailPublic is a worker with the engine's own report.
type WorkerDetailPublic struct {
	WorkerPublic
	Metadata       json.RawMessage     `json:"metadata"`
	CurrentTasks   []WorkerTaskPublic  `json:"current_tasks" doc:"at most 50, longest running first"`
	Findings       []LintFindingPublic `json:"findings"`
	Evaluated      bool                `json:"evaluated" doc:"the worker told its configuration, so that no findings means none"`
	AllowedActions []offer.Action      `json:"allowed_actions"`
}

const (
	online = "online"
	// maxCurrent bounds the running tasks of one answer.
	maxCurrent = 50
	// idleFor is how long nothing may be heard of a worker's tasks, and how long work must have waited, before it is suspected.
	idleFor = 60 * time.Second
)

// queuesOf reads the queues that a worker lists. What can't be read is left out: the column holds what agents reported.
func queuesOf(w *store.WorkerView) []string {
	out := []string{}
	if json.Unmarshal([]byte(w.Queues), &out) != nil || out == nil {
		return []string{}
	}
	return out
}

// backlog is the work that waits in one queue.
type backlog struct {
	waiting int64
	capped  bool
	oldest  time.Duration
	depth   int64
}

// queueKey names a queue of an engine.
type queueKey struct{ engine, name string }

// backlogs looks at the queues that online workers list.
func (g *group) backlogs(ctx context.Context, projectID int64, workers []store.WorkerView) (map[queueKey]backlog, error) {
	now := g.store.Now()
	out := map[queueKey]backlog{}
	for i := range workers {
		w := &workers[i]
		if w.State != online || w.ActiveTasks > 0 || len(out) >= maxCounted {
			continue
		}
		for _, name := range queuesOf(w) {
			k := queueKey{w.Engine, name}
			if _, ok := out[k]; ok {
				continue
			}
			id, ok, err := g.store.NameID(ctx, name)
			if err != nil {
				return nil, err
			}
			b := backlog{}
			if ok {
				waiting, err := g.store.WaitingTasks(ctx, projectID, &id, maxWaiting)
				if err != nil {
					return nil, err
				}
				b.waiting, b.capped = waiting.Count, waiting.Capped
				if waiting.Oldest != nil {
					b.oldest = now.Sub(*waiting.Oldest)
				}
			}
			out[k] = b
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	queues, err := g.store.Queues(ctx, projectID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	for i := range queues {
		q := &queues[i]
		k := queueKey{q.Engine, q.Name}
		if b, ok := out[k]; ok && q.DepthAt != nil && now.Sub(*q.DepthAt) < 2*idleFor {
			b.depth = q.PendingCount
			out[k] = b
		}
	}
	return out, nil
}

// suspect says whether a worker is alive and does not consume although there is work for it, and what speaks for that.
func suspect(w *store.WorkerView, work map[queueKey]backlog, now time.Time) (bool, string) {
	if w.State != online || w.ActiveTasks > 0 {
		return false, ""
	}
	// A worker that just started has had no time yet.
	last := w.CreatedAt
	if w.LastEventAt != nil {
		last = *w.LastEventAt
	}
	silent := now.Sub(last)
	if silent < idleFor {
		return false, ""
	}
	for _, name := range queuesOf(w) {
		b := work[queueKey{w.Engine, name}]
		if b.depth == 0 && (b.waiting == 0 || b.oldest < idleFor) {
			continue
		}
		what := ""
		switch {
		case b.depth > 0:
			what = fmt.Sprintf("%d waiting in its queue %s", b.depth, name)
		case b.capped:
			what = fmt.Sprintf("more than %d waiting in its queue %s", b.waiting, name)
		default:
			what = fmt.Sprintf("%d waiting in its queue %s for up to %s", b.waiting, name, spoken(b.oldest))
		}
		if w.LastEventAt == nil {
			return true, what + ", and it has never been seen working on a task"
		}
		return true, what + ", and no task event from it for " + spoken(silent)
	}
	return false, ""
}

// spoken writes a duration as people say it, in its two largest units.
func spoken(d time.Duration) string {
	units := []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	var parts []string
	for _, u := range units {
		if n := d / u.of; n > 0 {
			parts = append(parts, strconv.FormatInt(int64(n), 10)+" "+u.name)
			d %= u.of
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts[:min(2, len(parts))], " ")
}

func (g *group) workerPublic(p *store.Project, w *store.WorkerView, work map[queueKey]backlog) WorkerPublic {
	out := WorkerPublic{
		ID: w.UID, ProjectID: p.UID, Engine: w.Engine, Name: w.Name, Hostname: w.Hostname, PID: w.PID, Concurrency: w.Concurrency,
		Queues: queuesOf(w), State: w.State, LastHeartbeat: httpx.TimePtr(w.LastHeartbeat), ActiveTasks: w.ActiveTasks,
		Processed: w.Processed, Failed: w.Failed, Succeeded: w.Succeeded, Retried: w.Retried, CreatedAt: httpx.NewTime(w.CreatedAt),
		LastEventAt: httpx.TimePtr(w.LastEventAt), AgentID: w.AgentUID, Version: versionOf(w),
	}
	if w.LoadAverage != nil && json.Unmarshal([]byte(*w.LoadAverage), &out.LoadAverage) != nil {
		out.LoadAverage = nil
	}
	rate, over := g.store.WorkerRate(w)
	out.RatePerMinute, out.RateSeconds = rate, int64(over.Seconds())
	if idle, reason := suspect(w, work, g.store.Now()); idle {
		out.IdleSuspect, out.IdleReason = true, &reason
	}
	return out
}

// versionOf finds the engine's version in a worker's report; engines put it in different places, most nowhere.
func versionOf(w *store.WorkerView) *string {
	var report struct {
		Version string `json:"version"`
		Stats   struct {
			Version string `json:"version"`
			SwVer   string `json:"sw_ver"`
		} `json:"stats"`
	}
	if json.Unmarshal([]byte(w.Metadata), &report) != nil {
		return nil
	}
	for _, v := range []string{report.Version, report.Stats.Version, report.Stats.SwVer} {
		if v != "" {
			return &v
		}
	}
	return nil
}

func (g *group) workers(r *rest.Request) (any, error) {
	ctx, cancel := g.bounded(r)
	defer cancel()
	list, err := g.store.Workers(ctx, r.Project.ID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	work, err := g.backlogs(ctx, r.Project.ID, list)
	if err != nil {
		return nil, err
	}
	out := make([]WorkerPublic, 0, len(list))
	for i := range list {
		out = append(out, g.workerPublic(&r.Project, &list[i], work))
	}
	return out, nil
}

func (g *group) worker(r *rest.Request) (any, error) {
	ctx, cancel := g.bounded(r)
	defer cancel()
	id := r.ID("worker_id")
	w, err := g.store.WorkerByUID(ctx, r.Project.ID, id)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, domain.Errorf(domain.CodeNotFound, "worker not found").With("worker_id", id.String())
	}
	if err != nil {
		return nil, fmt.Errorf("find worker: %w", err)
	}
	meta := json.RawMessage(w.Metadata)
	if len(meta) == 0 || meta[0] != '{' {
		meta = json.RawMessage("{}")
	}
	work, err := g.backlogs(ctx, r.Project.ID, []store.WorkerView{w})
	if err != nil {
		return nil, err
	}
	running, err := g.store.RunningTasks(ctx, r.Project.ID, w.Engine, w.Name, maxCurrent)
	if err != nil {
		return nil, err
	}
	agents, err := offer.Load(ctx, g.store, r.Project.ID)
	if err != nil {
		return nil, err
	}
	advice := lintWorker(&w)
	out := WorkerDetailPublic{
		WorkerPublic: g.workerPublic(&r.Project, &w, work), Metadata: meta, CurrentTasks: make([]WorkerTaskPublic, 0, len(running)),
		Findings: advice.Findings, Evaluated: advice.Evaluated, AllowedActions: workerActions(r, &w, agents),
	}
	for _, t := range running {
		out.CurrentTasks = append(out.CurrentTasks, WorkerTaskPublic{
			Engine: t.Engine, TaskID: t.TaskID, Name: t.Name, Queue: t.Queue, StartedAt: httpx.TimePtr(t.StartedAt),
		})
	}
	return out, nil
}

// workerActions lists what can be done with a worker. A worker that is gone answers nothing, whatever its agent offers.
func workerActions(r *rest.Request, w *store.WorkerView, agents offer.Agents) []offer.Action {
	out := []offer.Action{}
	for _, a := range []struct {
		name   string
		policy auth.Action
	}{
		{"restart_worker", auth.CommandRestartWorker},
		{"pool_grow", auth.CommandPoolResize},
		{"pool_shrink", auth.CommandPoolResize},
		{"add_consumer", auth.CommandAddConsumer},
		{"cancel_consumer", auth.CommandCancelConsumer},
	} {
		if w.State == "offline" && r.Can(a.policy) {
			out = append(out, offer.No(a.name, "The worker is offline: nobody is there to carry it out."))
			continue
		}
		out = append(out, agents.Offer(r, a.policy, a.name, w.Engine, w.AgentID, a.name))
	}
	return out
}
