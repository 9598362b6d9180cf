// SPDX-License-Identifier: AGPL-3.0-or-later

package shop

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Fleet is what the workers would tell about themselves: how long the queues are and what runs. It is
// not safe for concurrent use.
type Fleet struct {
	workers []worker
	depth   map[string]int
	running map[string]map[string]Step
}

// NewFleet is the shop's fleet before any work.
func NewFleet() *Fleet {
	f := &Fleet{workers: fleet(), depth: map[string]int{}, running: map[string]map[string]Step{}}
	for _, w := range f.workers {
		f.running[w.name] = map[string]Step{}
		for _, q := range w.queues {
			f.depth[q] = 0
		}
	}
	return f
}

// Observe counts one step that has happened. The order between tasks does not matter.
func (f *Fleet) Observe(step Step) {
	f.depth[step.Queue] += step.Depth
	running := f.running[step.Worker]
	switch {
	case running == nil:
	case step.Running > 0:
		running[step.TaskID] = step
	case step.Running < 0:
		delete(running, step.TaskID)
	}
}

// Depth is a queue's length.
func (f *Fleet) Depth(queue string) int { return max(f.depth[queue], 0) }

// Purge empties a queue and returns how much was in it.
func (f *Fleet) Purge(queue string) int {
	n := f.Depth(queue)
	f.depth[queue] = 0
	return n
}

// Resize changes a worker's pool; it reports whether there is such a worker.
func (f *Fleet) Resize(name string, delta int) bool {
	w := f.worker(name)
	if w == nil {
		return false
	}
	w.concurrency = max(w.concurrency+delta, 1)
	return true
}

// Restart gives a worker a new process id.
func (f *Fleet) Restart(name string) bool {
	w := f.worker(name)
	if w == nil {
		return false
	}
	w.pid += 1000
	return true
}

// Consume has a worker take a queue or leave it.
func (f *Fleet) Consume(name, queue string, take bool) bool {
	w := f.worker(name)
	if w == nil {
		return false
	}
	w.queues = slices.DeleteFunc(w.queues, func(q string) bool { return q == queue })
	if take {
		w.queues = append(w.queues, queue)
	}
	return true
}

func (f *Fleet) worker(name string) *worker {
	at := slices.IndexFunc(f.workers, func(w worker) bool { return w.name == name })
	if at < 0 {
		return nil
	}
	return &f.workers[at]
}

// Heartbeat is the payload of a host's heartbeat.
func (f *Fleet) Heartbeat(host int, now time.Time) ([]byte, error) {
	depths := map[string]int{}
	details := map[string]any{}
	for _, w := range f.workers {
		if w.hostNumber != host {
			continue
		}
		for _, q := range w.queues {
			depths[q] = f.Depth(q)
		}
		details[w.name] = f.detail(w)
	}
	depthText, err := json.Marshal(depths)
	if err != nil {
		return nil, fmt.Errorf("encode queue depths: %w", err)
	}
	detailText, err := json.Marshal(details)
	if err != nil {
		return nil, fmt.Errorf("encode worker details: %w", err)
	}
	payload, err := json.Marshal(map[string]any{
		"buffer_size": 0, "dropped_events": 0, "last_flush_at": now.UTC(), "telemetry_loss": loss(host),
		"adapter_health": map[string]string{
			"celery.broker_type": "redis", "celery.broker_connected": "True",
			"celery.queue_depths": string(depthText), "celery.worker_details": string(detailText),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a heartbeat: %w", err)
	}
	return payload, nil
}

func (f *Fleet) detail(w worker) map[string]any {
	active := []map[string]any{}
	running := f.running[w.name]
	for _, id := range slices.Sorted(maps.Keys(running)) {
		if len(active) == w.concurrency {
			break
		}
		step := running[id]
		active = append(active, map[string]any{
			"id": id, "name": step.Name, "args": []any{}, "kwargs": map[string]any{}, "hostname": w.name,
			"time_start": float64(step.At.UnixMilli()) / 1000, "acknowledged": true, "worker_pid": w.pid + 3,
			"delivery_info": map[string]any{"exchange": "", "routing_key": step.Queue, "priority": 0, "redelivered": false},
		})
	}
	queues := make([]map[string]any, 0, len(w.queues))
	for _, q := range w.queues {
		queues = append(queues, map[string]any{"name": q, "durable": true, "routing_key": q, "exchange": map[string]any{"name": q, "type": "direct"}})
	}
	var registered []string
	for _, j := range catalogue() {
		if slices.Contains(w.queues, j.queue) {
			registered = append(registered, j.name)
		}
	}
	processes := make([]int, w.concurrency)
	for i := range processes {
		processes[i] = w.pid + i + 1
	}
	busy := float64(len(active)) / float64(w.concurrency)
	return map[string]any{
		"hostname": w.host, "active": active, "active_queues": queues, "registered": registered,
		"stats": map[string]any{
			"pid": w.pid, "clock": "184467", "prefetch_count": w.concurrency * 4, "uptime": 91_233,
			"loadavg": []float64{.2 + 2*busy, .3 + 1.6*busy, .4 + busy},
			"pool": map[string]any{
				"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": w.concurrency, "processes": processes,
				"max-tasks-per-child": "N/A", "timeouts": []int{0, 0},
			},
			"rusage": map[string]any{"maxrss": 148_236, "utime": 812.4, "stime": 44.1},
		},
		"conf": map[string]any{
			"task_serializer": "json", "result_serializer": "json", "accept_content": []string{"json"},
			"task_default_queue": "default", "worker_concurrency": w.concurrency, "worker_prefetch_multiplier": 4,
			"worker_max_tasks_per_child": nil, "task_acks_late": w.name == "batch@worker-c", "task_reject_on_worker_lost": nil,
			"task_time_limit": nil, "task_soft_time_limit": nil, "broker_pool_limit": 10, "timezone": "UTC", "enable_utc": true,
		},
	}
}

// Status is the payload of a host's agent_status.
func (f *Fleet) Status(host int, version string, connected, now time.Time) ([]byte, error) {
	status := map[string]any{
		"telemetry_loss": loss(host), "auth_failure_streak": 0, "protocol_failure_streak": 0, "connection_failure_streak": 0,
		"last_successful_connect_at": connected.UTC(), "current_session_age_seconds": now.Sub(connected).Seconds(),
		"buffer_depth": 0, "buffer_oldest_age_seconds": nil, "agent_version": version, "protocol_version": "2",
		"engines": []string{"celery"}, "schedulers": []string{},
	}
	// One host's buffer is behind, and it has once lost events.
	if host == len(Hosts())-1 {
		status["buffer_depth"], status["buffer_oldest_age_seconds"] = 42, 3.5
	}
	payload, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode agent_status: %w", err)
	}
	return payload, nil
}

func loss(host int) map[string]any {
	lost := 0
	if host == len(Hosts())-1 {
		lost = 17
	}
	return map[string]any{
		"buffer_id": fmt.Sprintf("buffer-%d", host), "runtime_id": fmt.Sprintf("runtime-%d", host),
		"capacity_evicted_frames": lost, "content_rejected_frames": 0, "event_records": lost, "command_results": 0,
		"other_frames": 0, "unclassified_frames": 0, "adapter_events": map[string]int{"celery": 0},
	}
}
