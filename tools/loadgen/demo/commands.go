// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/loadgen"
	"github.com/z4jdev/z4j/tools/loadgen/shop"
)

// order is what is read of a command.
type order struct {
	Action string `json:"action"`
	Target struct {
		ID *string `json:"id"`
	} `json:"target"`
	Parameters struct {
		TaskID     string `json:"task_id"`
		TaskName   string `json:"task_name"`
		Queue      string `json:"queue"`
		WorkerName string `json:"worker_name"`
		Rate       string `json:"rate"`
		Delta      int    `json:"delta"`
		Force      bool   `json:"force"`
		Filter     struct {
			TaskIDs []string `json:"task_ids"`
		} `json:"filter"`
	} `json:"parameters"`
}

// command answers as a Celery agent would, and has the consequences show in the events.
func (d *demo) command(env wire.Envelope) (result, failure string) {
	var o order
	if err := json.Unmarshal(env.Payload, &o); err != nil {
		return "", "the command cannot be read: " + err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := o.Parameters
	done := func(known bool, answer map[string]any) (result, failure string) {
		if !known {
			return "", fmt.Sprintf("there is no worker %q", p.WorkerName)
		}
		return object(answer)
	}
	switch o.Action {
	case "retry_task":
		t := d.again(p.TaskName)
		return object(map[string]any{"new_task_id": t.ID, "task_name": t.Name, "priority": nil})
	case "bulk_retry":
		ids := []string{}
		for range p.Filter.TaskIDs {
			ids = append(ids, d.again("").ID)
		}
		return object(map[string]any{
			"requested": len(ids), "succeeded": len(ids), "failed": 0, "skipped": 0, "capped": false,
			"circuit_broken": false, "new_task_ids": ids, "failures": []string{},
		})
	case "cancel_task":
		d.revoke(p.TaskID)
		return object(map[string]any{"task_id": p.TaskID, "terminated": true})
	case "purge_queue":
		n := d.fleet.Purge(p.Queue)
		return object(map[string]any{"queue": p.Queue, "depth_before": n, "purged": n, "force": p.Force})
	case "restart_worker":
		return done(d.fleet.Restart(p.WorkerName), map[string]any{"worker": p.WorkerName})
	case "pool_grow":
		return done(d.fleet.Resize(p.WorkerName, p.Delta), map[string]any{"worker": p.WorkerName, "delta": p.Delta})
	case "pool_shrink":
		return done(d.fleet.Resize(p.WorkerName, -p.Delta), map[string]any{"worker": p.WorkerName, "delta": p.Delta})
	case "add_consumer", "cancel_consumer":
		return done(d.fleet.Consume(p.WorkerName, p.Queue, o.Action == "add_consumer"), map[string]any{"worker": p.WorkerName, "queue": p.Queue})
	case "rate_limit":
		return object(map[string]any{"task_name": p.TaskName, "rate": p.Rate, "worker": p.WorkerName})
	case "reconcile_task":
		id := p.TaskID
		if o.Target.ID != nil {
			id = cmp.Or(id, *o.Target.ID)
		}
		return object(map[string]any{"task_id": id, "engine_state": "unknown", "finished_at": nil, "exception": nil})
	default:
		return "", fmt.Sprintf("the made-up shop has no %q", o.Action)
	}
}

// again lets a task of the name arrive now.
func (d *demo) again(name string) shop.Task {
	t := d.shop.Again(name, time.Now())
	d.future.add(t.Steps...)
	return t
}

// revoke ends a task that is known to have a future, and one that waits.
func (d *demo) revoke(id string) {
	step := shop.Step{Event: loadgen.Event{TaskID: id}}
	for _, s := range d.future {
		if s.TaskID == id {
			step = s
			break
		}
	}
	d.cancelled[id] = true
	step.Event = loadgen.Event{
		ID: uuid.NewString(), Kind: "task.revoked", TaskID: id, At: time.Now(),
		Data: fmt.Sprintf(`{"task_name":"<unknown:%s>","queue":null,"worker":%s,"terminated":true,"signum":15,"expired":false}`, id[:min(len(id), 8)], text(step.Worker)),
	}
	step.Depth, step.Running = 0, -1
	d.revoked = append(d.revoked, step)
}

// text is s as JSON, null when empty.
func text(s string) string {
	if s == "" {
		return "null"
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "null"
	}
	return string(b)
}

func object(answer map[string]any) (result, failure string) {
	b, err := json.Marshal(answer)
	if err != nil {
		return "", "the answer cannot be written: " + err.Error()
	}
	return string(b), ""
}
