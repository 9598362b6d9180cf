// SPDX-License-Identifier: AGPL-3.0-or-later

package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// The agents of the recording that were connected.
const (
	celeryAgent = "a6852b92-00fc-415f-893b-3419870c2561"
	rqAgent     = "64d55226-a0ba-412f-866f-6b32ac6d214e"
)

// seenTask is a task as recorded answers show it.
type seenTask struct {
	Engine, Name, State  string
	TaskID               string          `json:"task_id"`
	Queue                *string         `json:"queue"`
	Worker               *string         `json:"worker_name"`
	Args, Kwargs, Result json.RawMessage `json:"-"`
	Exception, Traceback *string
	ReceivedAt           *time.Time `json:"received_at"`
	StartedAt            *time.Time `json:"started_at"`
	FinishedAt           *time.Time `json:"finished_at"`
	RuntimeMS            *int64     `json:"runtime_ms"`
	Parent               *string    `json:"parent_task_id"`
	Root                 *string    `json:"root_task_id"`
}

// shop brings the workers of the recording on line and sends the events behind the tasks that its answers show.
func (w *world) shop() {
	w.t.Helper()
	if w.alias[rqAgent] == "" {
		w.mint("shop", "rq-agent", rqAgent)
	}
	celery, rq := w.agentRef(celeryAgent), w.agentRef(rqAgent)
	w.connectAgent(celery, "celery", "submit_task retry_task cancel_task bulk_retry purge_queue restart_worker pool_grow pool_shrink "+
		"add_consumer cancel_consumer rate_limit retry_by_reference_v1")
	w.connectAgent(rq, "rq", "submit_task retry_task cancel_task purge_queue bulk_retry requeue_dead_letter list_dead_letters retry_by_reference_v1")
	tasks := map[string]seenTask{}
	var details json.RawMessage
	for _, r := range loadRecords(w.t, []string{"tasks", "workers", "commands"}) {
		collectTasks(decode(r.ResponseBody), tasks)
		var worker struct{ Metadata json.RawMessage }
		if strings.HasSuffix(r.Operation, "{worker_id}") && r.Status == 200 && json.Unmarshal(r.ResponseBody, &worker) == nil {
			details = worker.Metadata
		}
	}
	// What the list of recorded answers was cut of, but commands name.
	for _, id := range []string{"5f8d35ce-835e-41fb-a3c4-bb7b1cd7f94d", "4f9670e0-9239-4380-80e3-114bce5a99d8"} {
		if _, ok := tasks[id]; !ok {
			tasks[id] = seenTask{Engine: "celery", TaskID: id, Name: "shop.boom", State: "failure"}
		}
	}
	items := map[string]*store.IngestItem{"celery": {Agent: celery, At: w.now()}, "rq": {Agent: rq, At: w.now()}}
	for _, t := range tasks {
		if item := items[t.Engine]; item != nil {
			item.Events = append(item.Events, w.eventsOf(t)...)
		}
	}
	pid, concurrency := int64(6139), int64(2)
	items["celery"].Heartbeat = &store.HeartbeatInput{
		Depths: []store.QueueDepth{{Engine: "celery", Name: "default"}, {Engine: "celery", Name: "email"}},
		Workers: []store.WorkerReport{{
			Engine: "celery", Name: "w1@shop", Hostname: "w1@shop", PID: &pid, Concurrency: &concurrency,
			Queues: []string{"default", "email"}, Metadata: string(details),
		}},
	}
	items["rq"].Heartbeat = &store.HeartbeatInput{Depths: []store.QueueDepth{{Engine: "rq", Name: "parked"}}}
	if err := w.brain.Store.Ingest(w.t.Context(), []*store.IngestItem{items["celery"], items["rq"]}); err != nil {
		w.t.Fatal(err)
	}
	w.answerDeadLetters(rq)
}

// answers ends every open command the way agents do.
func (w *world) answers() {
	w.t.Helper()
	for _, ref := range []store.AgentRef{w.agentRef(celeryAgent), w.agentRef(rqAgent)} {
		commands, err := w.brain.Store.ClaimCommands(w.t.Context(), store.ClaimCommandsParams{
			AgentID: ref.ID, Owner: "contract", Contracts: []string{store.RetryContract("celery"), store.RetryContract("rq")}, Limit: 500,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range commands {
			w.brain.Tx(func(ctx context.Context, tx *store.Tx) error {
				_, _, err := tx.CompleteCommand(ctx, store.CommandOutcome{ID: c.ID, Agent: ref, Success: true, Result: `{"done":true}`})
				return err
			})
		}
	}
}

func (w *world) now() time.Time { return w.brain.Store.Now() }

func (w *world) agentRef(recorded string) store.AgentRef {
	w.t.Helper()
	ours, err := uuid.Parse(w.alias[recorded])
	if err != nil {
		w.t.Fatalf("the record that mints agent %s was not learned from: %v", recorded, err)
	}
	p, err := w.brain.Store.ProjectBySlug(w.t.Context(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.brain.Store.AgentByUID(w.t.Context(), p.ID, ours)
	if err != nil {
		w.t.Fatal(err)
	}
	return store.AgentRef{ID: a.ID, ProjectID: p.ID, UID: a.UID, ProjectUID: p.UID}
}

func (w *world) connectAgent(ref store.AgentRef, engine, capabilities string) {
	w.t.Helper()
	caps, err := json.Marshal(map[string][]string{engine: strings.Fields(capabilities)})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.brain.Store.ConnectAgent(w.t.Context(), store.Connect{
		Agent: ref, ProtocolVersion: "2", AgentVersion: "1.13.0", Framework: "bare", Engines: `["` + engine + `"]`, Schedulers: "[]",
		Capabilities: string(caps), RuntimeFts: `["retry_by_reference"]`, WorkerID: "bare-1-" + engine, Owner: "contract", Lease: time.Hour,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// collectTasks finds the tasks in a recorded answer.
func collectTasks(v any, into map[string]seenTask) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			collectTasks(item, into)
		}
	case map[string]any:
		if nodes, ok := v["nodes"].([]any); ok {
			for _, n := range nodes {
				if node, ok := n.(map[string]any); ok {
					node["engine"], node["retry_count"] = "celery", 0.0
				}
			}
			collectTasks(nodes, into)
			return
		}
		if _, isTask := v["retry_count"]; !isTask {
			collectTasks(v["items"], into)
			return
		}
		if id, _ := v["task_id"].(string); into[id].TaskID != "" && v["project_id"] == nil {
			return // a node tells less than the task itself
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return
		}
		var t seenTask
		if json.Unmarshal(raw, &t) != nil {
			return
		}
		for name, dst := range map[string]*json.RawMessage{"args": &t.Args, "kwargs": &t.Kwargs, "result": &t.Result} {
			if v[name] != nil {
				*dst, _ = json.Marshal(v[name])
			}
		}
		into[t.TaskID] = t
	}
}

// eventsOf are the events that lead to the task as shown. Its times are moved to the last minutes.
func (w *world) eventsOf(t seenTask) []store.IngestEvent {
	recorded := time.Date(2026, 11, 23, 23, 9, 40, 0, time.UTC)
	shift := w.now().Sub(recorded)
	event := func(kind domain.EventKind, at *time.Time) store.IngestEvent {
		when := w.now()
		if at != nil {
			when = domain.Micros(at.Add(shift))
		}
		e := store.IngestEvent{
			ID: uuid.NewString(), Kind: kind, KindName: kind.String(), Engine: t.Engine, TaskID: t.TaskID, At: when, TaskName: t.Name,
			Rest: []byte("{}"), Parent: t.Parent, Root: t.Root,
		}
		if t.Queue != nil {
			e.Queue = *t.Queue
		}
		if t.Worker != nil {
			e.Worker = *t.Worker
		}
		return e
	}
	text := func(raw json.RawMessage) *string {
		if raw == nil {
			return nil
		}
		s := string(raw)
		return &s
	}
	var out []store.IngestEvent
	if t.ReceivedAt != nil {
		e := event(domain.KindReceived, t.ReceivedAt)
		e.Args, e.Kwargs, e.Worker = text(t.Args), text(t.Kwargs), ""
		out = append(out, e)
	}
	if t.StartedAt != nil {
		out = append(out, event(domain.KindStarted, t.StartedAt))
	}
	switch t.State {
	case "success":
		e := event(domain.KindSucceeded, t.FinishedAt)
		e.Result, e.RuntimeMS = text(t.Result), t.RuntimeMS
		out = append(out, e)
	case "failure":
		e := event(domain.KindFailed, t.FinishedAt)
		e.Exception, e.Traceback, e.RuntimeMS = t.Exception, t.Traceback, t.RuntimeMS
		out = append(out, e)
	case "revoked":
		out = append(out, event(domain.KindRevoked, t.FinishedAt))
	}
	return out
}

// answerDeadLetters plays the RQ agent: it answers listings and leaves every other command alone.
func (w *world) answerDeadLetters(ref store.AgentRef) {
	w.t.Helper()
	sub, err := w.brain.Bus.Subscribe(w.t.Context(), bus.AgentCommands(ref.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	var recorded json.RawMessage
	for _, r := range loadRecords(w.t, []string{"dead-letters"}) {
		if r.Status == 200 && recorded == nil {
			recorded = r.ResponseBody
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range sub.C() {
			if err := w.answerListings(ref, string(recorded)); err != nil {
				w.t.Errorf("answer a listing: %v", err)
			}
		}
	}()
	w.t.Cleanup(func() { sub.Close(); <-done })
}

func (w *world) answerListings(ref store.AgentRef, result string) error {
	ctx := context.Background()
	open, err := w.brain.Store.ListCommands(ctx, store.CommandPage{ProjectID: ref.ProjectID, Status: domain.CommandPending, Limit: 50})
	if err != nil {
		return err
	}
	for _, c := range slices.Backward(open) {
		if c.Action != "dlq.list" || c.AgentID == nil || *c.AgentID != ref.ID {
			continue
		}
		o := store.CommandOutcome{ID: c.ID, Agent: ref, Success: true, Result: result}
		if strings.Contains(c.Payload, `"zzz"`) {
			o = store.CommandOutcome{ID: c.ID, Agent: ref, Error: "dlq.list: validation_error: invalid dead-letter cursor 'zzz'"}
		}
		err := w.brain.Store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, applied, err := tx.CompleteCommand(ctx, o)
			if err == nil && !applied {
				return errors.New("the command had ended")
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("command %s: %w", c.ID, err)
		}
		if err := w.brain.Bus.Publish(ctx, bus.ProjectCommands(ref.ProjectID), nil); err != nil {
			return err
		}
	}
	return nil
}
