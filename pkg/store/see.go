// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// seenCache remembers when a queue, worker or agent row was last written for being seen, so that a
// stream of events writes it every few seconds and not every time. Losing an entry costs one write.
type seenCache struct {
	mu   sync.Mutex
	last map[seenKey]seenVal
}

type seenKey struct {
	// 'q' queue, 'd' depth, 's' sample of a depth, 'w' worker, 'r' worker report, 'a' agent, 'e' an agent's events, 'p' agent process, 't' what it tells of itself
	kind         byte
	id           int64
	engine, name string
}

type seenVal struct {
	at  time.Time
	sum uint64
	// of is the time of the newest event that was written, where that is what the row tells.
	of time.Time
}

// maxSeen bounds the cache: three or four entries for each agent process, some for each queue and worker.
const maxSeen = 200_000

func newSeenCache() *seenCache { return &seenCache{last: make(map[seenKey]seenVal)} }

// due reports whether the row should be written: never written, other content, or long enough ago.
func (c *seenCache) due(k seenKey, at time.Time, sum uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.last[k]
	return !ok || v.sum != sum || at.Sub(v.at) >= touchEvery
}

// newest returns what was last written of a row.
func (c *seenCache) newest(k seenKey) (seenVal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.last[k]
	return v, ok
}

// same reports whether the row was last written with this very content.
func (c *seenCache) same(k seenKey, sum uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.last[k]
	return ok && v.sum == sum
}

func (c *seenCache) put(entries map[seenKey]seenVal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last)+len(entries) > maxSeen {
		clear(c.last)
	}
	maps.Copy(c.last, entries)
}

var hashSeed = maphash.MakeSeed()

func sumOf(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	for _, p := range parts {
		_, _ = h.WriteString(p)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// visit is a write of one row that other writers write too.
type visit struct {
	table   visited
	project int64
	// engine and name are the rest of the row's key.
	engine, name string
	write        func(ctx context.Context) error
}

type visited int

// The tables of visits, in the order in which every transaction writes them.
const (
	visitQueues visited = iota
	visitWorkers
)

func (v visit) compare(o visit) int {
	return cmp.Or(cmp.Compare(v.table, o.table), cmp.Compare(v.project, o.project), cmp.Compare(v.engine, o.engine), cmp.Compare(v.name, o.name))
}

// see writes what the batch tells of queues, workers and agents: first the queues and then the workers, each in the order of
// their keys, whatever the order of the events that tell of them. On PostgreSQL several writers, who hear of the same queues and
// workers from several agents, would otherwise wait for each other in a circle.
func (b *ingestBatch) see(ctx context.Context) error {
	b.marks = make(map[seenKey]seenVal)
	b.agents, b.processes = make(map[int64]*agentTouch), make(map[processKey]bool)
	b.visits = b.visits[:0]
	for _, it := range b.items {
		for i := range it.Events {
			b.seeEvent(it, &it.Events[i])
		}
		if it.Heartbeat != nil {
			b.seeHeartbeat(it)
		}
		if it.Status != nil && b.statusDue(it) {
			if err := b.s.q.InsertAgentStatus(ctx, b.later, db.InsertAgentStatusParams{
				AgentID: it.Agent.ID, WorkerID: it.WorkerID, CapturedAt: b.now, Payload: string(it.Status),
			}); err != nil {
				return fmt.Errorf("store agent status: %w", err)
			}
		}
		b.seeAgent(it)
	}
	slices.SortStableFunc(b.visits, visit.compare)
	for _, v := range b.visits {
		if err := v.write(ctx); err != nil {
			return err
		}
	}
	return b.touch(ctx)
}

// mark reports whether the row k is due and remembers it for after the commit.
func (b *ingestBatch) mark(k seenKey, sum uint64) bool {
	if v, ok := b.marks[k]; ok && v.sum == sum || !b.s.seen.due(k, b.now, sum) {
		return false
	}
	b.marks[k] = seenVal{at: b.now, sum: sum}
	return true
}

// markEvent is mark for a row that tells when its newest event was. An agent that empties its buffer
// tells hours within seconds, so the row is also due when the event is much newer than the one written.
func (b *ingestBatch) markEvent(k seenKey, at time.Time) bool {
	v, ok := b.marks[k]
	if !ok {
		v, ok = b.s.seen.newest(k)
	}
	if behind := max(eventEvery, b.now.Sub(at)/10); ok && b.now.Sub(v.at) < touchEvery && at.Sub(v.of) < behind {
		return false
	}
	if at.Before(v.of) {
		at = v.of
	}
	b.marks[k] = seenVal{at: b.now, of: at}
	return true
}

// StatusEvery is how often an agent's report is kept that tells nothing new.
const StatusEvery = 5 * time.Minute

// statusDue reports whether a self report is worth a row: agents send one every ten seconds, nearly all of them equal.
func (b *ingestBatch) statusDue(it *IngestItem) bool {
	if it.StatusKey == 0 {
		return true
	}
	k := seenKey{'t', it.Agent.ID, "", it.WorkerID}
	v, ok := b.marks[k]
	if !ok {
		v, ok = b.s.seen.newest(k)
	}
	if ok && v.sum == it.StatusKey && b.now.Sub(v.at) < StatusEvery {
		return false
	}
	b.marks[k] = seenVal{at: b.now, sum: it.StatusKey}
	return true
}

// touched moves the marks of a committed batch into the cache.
func (b *ingestBatch) touched() { b.s.seen.put(b.marks) }

func (b *ingestBatch) seeEvent(it *IngestItem, in *IngestEvent) {
	at := in.At
	if at.After(b.now) {
		at = b.now
	}
	project := it.Agent.ProjectID
	if in.Queue != "" {
		b.seeQueue(project, in.Engine, in.Queue, at)
	}
	if in.Worker != "" && b.markEvent(seenKey{'w', project, in.Engine, in.Worker}, at) {
		agent := it.Agent.ID
		b.visits = append(b.visits, visit{visitWorkers, project, in.Engine, in.Worker, func(ctx context.Context) error {
			if err := b.s.q.SeeWorker(ctx, b.later, db.SeeWorkerParams{
				UID: uuid.New(), ProjectID: project, Engine: in.Engine, Name: in.Worker, At: &at, AgentID: &agent, Now: b.now,
			}); err != nil {
				return fmt.Errorf("see worker: %w", err)
			}
			return nil
		}})
	}
}

func (b *ingestBatch) seeQueue(project int64, engine, name string, at time.Time) {
	if !b.mark(seenKey{'q', project, engine, name}, 0) {
		return
	}
	b.visits = append(b.visits, visit{visitQueues, project, engine, name, func(ctx context.Context) error {
		if err := b.s.q.SeeQueue(ctx, b.later, db.SeeQueueParams{
			UID: uuid.New(), ProjectID: project, Engine: engine, Name: name, At: &at, Now: b.now,
		}); err != nil {
			return fmt.Errorf("see queue: %w", err)
		}
		return nil
	}})
}

// agentTouch is what a batch tells of one agent's liveness.
type agentTouch struct {
	items []*IngestItem
	event bool
}

// seeAgent notes that an agent and one of its processes live. Every heartbeat counts; between them an event does, every few
// seconds.
func (b *ingestBatch) seeAgent(it *IngestItem) {
	beat := uint64(0)
	if it.Heartbeat != nil {
		beat = uint64(b.now.UnixMicro()) //nolint:gosec // only compared
	}
	event := len(it.Events) > 0 && b.mark(seenKey{kind: 'e', id: it.Agent.ID}, 0)
	if b.mark(seenKey{kind: 'a', id: it.Agent.ID}, beat) || event {
		t := b.agents[it.Agent.ID]
		if t == nil {
			t = &agentTouch{}
			b.agents[it.Agent.ID] = t
		}
		t.items = append(t.items, it)
		t.event = t.event || event
	}
	if b.mark(seenKey{'p', it.Agent.ID, "", it.WorkerID}, beat) {
		b.processes[processKey{it.Agent.ID, it.WorkerID}] = true
	}
}

// touch writes what seeAgent noted: the rows of all agents and then those of their processes, each in the order of their keys.
// On PostgreSQL everybody who locks several of them does so in this order.
func (b *ingestBatch) touch(ctx context.Context) error {
	if len(b.agents) > 0 {
		agents := slices.Sorted(maps.Keys(b.agents))
		events := slices.DeleteFunc(slices.Clone(agents), func(id int64) bool { return !b.agents[id].event })
		changed, err := b.ops.touchAgents(ctx, b.now, agents, events)
		if err != nil {
			return fmt.Errorf("touch agents: %w", err)
		}
		for _, id := range changed {
			for _, it := range b.agents[id].items {
				it.AgentTouched = true
			}
		}
	}
	if len(b.processes) > 0 {
		list := slices.SortedFunc(maps.Keys(b.processes), processKey.compare)
		if err := b.ops.touchProcesses(ctx, b.now, list); err != nil {
			return fmt.Errorf("touch agents' processes: %w", err)
		}
	}
	return nil
}

func (b *ingestBatch) seeHeartbeat(it *IngestItem) {
	at := it.At
	if at.IsZero() || at.After(b.now) {
		at = b.now
	}
	project := it.Agent.ProjectID
	for i := range it.Heartbeat.Depths {
		d := &it.Heartbeat.Depths[i]
		if b.mark(seenKey{'d', project, d.Engine, d.Name}, uint64(d.Pending)) { //nolint:gosec // only compared
			b.visits = append(b.visits, visit{visitQueues, project, d.Engine, d.Name, func(ctx context.Context) error { return b.setDepth(ctx, project, d, at) }})
		}
	}
	for i := range it.Heartbeat.Workers {
		w := &it.Heartbeat.Workers[i]
		if !b.mark(seenKey{'r', project, w.Engine, w.Name}, sumOf(w.Metadata, w.LoadAverage, w.Hostname)) {
			continue
		}
		b.visits = append(b.visits, visit{visitWorkers, project, w.Engine, w.Name, func(ctx context.Context) error {
			if err := b.reportWorker(ctx, it.Agent, w, at); err != nil {
				return fmt.Errorf("report worker: %w", err)
			}
			return nil
		}})
		for _, name := range w.Queues {
			b.seeQueue(project, w.Engine, name, at)
		}
	}
}

func (b *ingestBatch) setDepth(ctx context.Context, project int64, d *QueueDepth, at time.Time) error {
	var broker *string
	if d.BrokerType != "" {
		broker = &d.BrokerType
	}
	if err := b.s.q.SetQueueDepth(ctx, b.later, db.SetQueueDepthParams{
		UID: uuid.New(), ProjectID: project, Engine: d.Engine, Name: d.Name, BrokerType: broker, At: &at, Pending: d.Pending, Now: b.now,
	}); err != nil {
		return fmt.Errorf("set queue depth: %w", err)
	}
	if err := b.sampleDepth(ctx, project, d, at); err != nil {
		return fmt.Errorf("keep a sample of a queue's depth: %w", err)
	}
	return nil
}

// sampleDepth keeps the depth for the charts, when it changed and at least once a minute.
func (b *ingestBatch) sampleDepth(ctx context.Context, project int64, d *QueueDepth, at time.Time) error {
	minute := at.Truncate(time.Minute)
	k := seenKey{'s', project, d.Engine, d.Name}
	sum := sumOf(minute.Format(time.RFC3339), strconv.FormatInt(d.Pending, 10))
	if b.s.seen.same(k, sum) {
		return nil
	}
	b.marks[k] = seenVal{at: b.now, sum: sum}
	for _, res := range []int64{RollupMinute, RollupHour} {
		if err := b.s.q.SampleQueueDepth(ctx, b.later, db.SampleQueueDepthParams{
			ProjectID: project, Engine: d.Engine, Name: d.Name, Res: res, At: bucketOf(at, res), Depth: d.Pending,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (b *ingestBatch) reportWorker(ctx context.Context, from AgentRef, w *WorkerReport, at time.Time) error {
	project := from.ProjectID
	metadata, queues := "{}", "[]"
	last, err := b.s.q.LastReport(ctx, b.tx.db, db.LastReportParams{ProjectID: project, Engine: w.Engine, Name: w.Name})
	switch {
	case err == nil:
		metadata, queues = last.Metadata, last.Queues
	case !errors.Is(b.s.err(err), domain.ErrNotFound):
		return err
	}
	if w.Metadata != "" {
		if metadata, err = mergeJSON(metadata, w.Metadata); err != nil {
			return err
		}
	}
	if w.Queues != nil {
		list, err := json.Marshal(w.Queues)
		if err != nil {
			return err
		}
		queues = string(list)
	}
	return b.s.q.ReportWorker(ctx, b.later, db.ReportWorkerParams{
		UID: uuid.New(), ProjectID: project, Engine: w.Engine, Name: w.Name, Hostname: optional(w.Hostname), PID: w.PID,
		Concurrency: w.Concurrency, Queues: queues, At: &at, LoadAverage: optional(w.LoadAverage),
		ActiveTasks: w.ActiveTasks, Metadata: metadata, AgentID: &from.ID, Now: b.now,
	})
}

// mergeJSON merges object b into object a, deeply; b wins.
func mergeJSON(a, b string) (string, error) {
	var x, y map[string]any
	if err := decodeJSON(a, &x); err != nil || x == nil {
		x = map[string]any{}
	}
	if err := decodeJSON(b, &y); err != nil {
		return "", fmt.Errorf("merge worker metadata: %w", err)
	}
	mergeMaps(x, y)
	out, err := json.Marshal(x)
	return string(out), err
}

func decodeJSON(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	return d.Decode(into)
}

func mergeMaps(a, b map[string]any) {
	for k, v := range b {
		if sub, ok := v.(map[string]any); ok {
			if old, ok := a[k].(map[string]any); ok && k != "active_queues" && k != "registered" {
				mergeMaps(old, sub)
				continue
			}
		}
		a[k] = v
	}
}

// restoreStripped gives stored events of a task back what they were stripped of, when the row no longer
// holds the same value. It is rare: the name, queue or arguments of a known task changed.
func (b *ingestBatch) restoreStripped(ctx context.Context, g *taskGroup) error {
	old, t := &g.old, g.task
	var mask int64
	if old.NameID != t.NameID && old.NameID != b.unknown {
		mask |= memberTaskName
	}
	if old.QueueID != t.QueueID && old.QueueID != 0 {
		mask |= memberQueue
	}
	if old.Args != nil && (t.Args == nil || *t.Args != *old.Args) {
		mask |= memberArgs
	}
	if old.Kwargs != nil && (t.Kwargs == nil || *t.Kwargs != *old.Kwargs) {
		mask |= memberKwargs
	}
	if mask == 0 {
		return nil
	}
	rows, err := b.tx.db.Query(ctx, "SELECT kind, at, stripped, payload FROM events WHERE task_id = $1", t.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	type change struct {
		kind, stripped int64
		at             time.Time
		payload        string
	}
	var changes []change
	for rows.Next() {
		var c change
		if err := rows.Scan(&c.kind, &c.at, &c.stripped, &c.payload); err != nil {
			return err
		}
		if c.stripped&mask == 0 {
			continue
		}
		var m members
		for _, f := range []struct {
			bit   int64
			key   string
			name  int64
			value *string
		}{
			{memberTaskName, "task_name", old.NameID, nil},
			{memberQueue, "queue", old.QueueID, nil},
			{memberArgs, "args", 0, old.Args},
			{memberKwargs, "kwargs", 0, old.Kwargs},
		} {
			if c.stripped&mask&f.bit == 0 {
				continue
			}
			c.stripped &^= f.bit
			if f.name == 0 {
				m.raw(f.key, *f.value)
				continue
			}
			text, err := b.tx.nameOf(ctx, f.name)
			if err != nil {
				return err
			}
			m.text(f.key, text)
		}
		c.payload = m.join([]byte(c.payload))
		changes = append(changes, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, c := range changes {
		if _, err := b.later.Exec(ctx, "UPDATE events SET stripped = $1, payload = $2 WHERE task_id = $3 AND kind = $4 AND at = $5",
			c.stripped, c.payload, t.ID, c.kind, c.at); err != nil {
			return err
		}
	}
	return nil
}

// EventPayload rebuilds the data of a stored event from its row and its task: the inverse of what
// Ingest strips. name, queue and worker are the texts of the ids in the rows.
func EventPayload(stripped int64, payload, taskID, name, queue, worker string, args, kwargs *string) []byte {
	var m members
	nulls := stripped >> strippedNullShift & 0xff
	text := func(bit int64, key, value string) {
		switch {
		case stripped&bit != 0:
			m.text(key, value)
		case nulls&bit != 0:
			m.raw(key, "null")
		}
	}
	if stripped&strippedPlaceholder != 0 {
		m.text("task_name", placeholder(taskID))
	} else {
		text(memberTaskName, "task_name", name)
	}
	text(memberQueue, "queue", queue)
	text(memberWorker, "worker", worker)
	raw := func(bit int64, key string, value *string) {
		switch {
		case stripped&bit != 0 && value != nil:
			m.raw(key, *value)
		case stripped&bit != 0 || nulls&bit != 0:
			m.raw(key, "null")
		}
	}
	raw(memberArgs, "args", args)
	raw(memberKwargs, "kwargs", kwargs)
	return []byte(m.join([]byte(payload)))
}
