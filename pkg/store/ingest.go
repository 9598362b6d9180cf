// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/projection"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
	"github.com/z4jdev/z4j/pkg/wire"
)

// taskKey is the identity of a task.
type taskKey struct {
	project, engine int64
	task            string
}

func compareTaskKeys(a, b taskKey) int {
	return cmp.Or(cmp.Compare(a.project, b.project), cmp.Compare(a.engine, b.engine), cmp.Compare(a.task, b.task))
}

// eventKey is the identity of a stored event within its task.
type eventKey struct {
	kind domain.EventKind
	sec  int64
}

// eventRow is a row of events.
type eventRow struct {
	task     int64
	kind     domain.EventKind
	at       time.Time // cut to the second
	atUS     int64
	agent    int64
	worker   int64
	stripped int64
	payload  string
}

// looseRow is a row of loose_events.
type looseRow struct {
	uid                    uuid.UUID
	project, agent, engine int64
	task, kind             string
	at                     time.Time
	payload                string
}

// taskWrite is a task row to be updated.
type taskWrite struct {
	t     *projection.Task
	dirty projection.Dirty
}

// ingestOps is the bulk work that is written per engine. Slices are in key order where rows are locked.
type ingestOps interface {
	// placeTasks loads and locks the rows of keys that exist, and inserts the others, for which asNew is asked by their place
	// in keys. It sets the ID of what it inserted; it leaves ID 0 where another writer was first. Of what exists outcome columns
	// (result, exception, traceback, tags, eta, parents) are not loaded: events only ever overwrite them.
	placeTasks(ctx context.Context, keys []taskKey, asNew func(which []int) []*projection.Task) (map[taskKey]*projection.Task, error)
	updateTasks(ctx context.Context, writes []taskWrite) error
	// insertEvents reports for each row whether it was new.
	insertEvents(ctx context.Context, rows []eventRow) ([]bool, error)
	// addEvents adds rows that are new; it fails, now or at the commit, when one is not (eventStored).
	addEvents(ctx context.Context, rows []eventRow) error
	insertLoose(ctx context.Context, rows []looseRow) ([]bool, error)
	// touchAgents marks agents as heard of, those of events also as having sent one, and returns the changed ones. Both
	// lists are sorted.
	touchAgents(ctx context.Context, now time.Time, agents, events []int64) ([]int64, error)
	// touchProcesses marks agents' processes as heard of.
	touchProcesses(ctx context.Context, now time.Time, list []processKey) error
}

// pendingEvent is an event of the batch with its names interned.
type pendingEvent struct {
	item      *IngestItem
	in        *IngestEvent
	ev        projection.Event
	worker    int64
	duplicate bool
}

// taskGroup holds the batch's events of one task, in order of arrival.
type taskGroup struct {
	key    taskKey
	events []*pendingEvent
	task   *projection.Task
	before footprint
	// old is the row before the batch, to know when stored events lose what they were stripped of.
	old   projection.Task
	dirty projection.Dirty
}

type ingestBatch struct {
	s   *Store
	tx  *Tx
	ops ingestOps
	// later is for writes that nobody waits for.
	later db.DBTX
	items []*IngestItem
	now   time.Time
	// trusting takes events for new that the batch has once, and lets the database refuse the transaction when one is stored:
	// nobody waits then for its answer on each.
	trusting bool
	fresh    map[string]int64
	d        *deltas
	marks    map[seenKey]seenVal
	// visits are the rows of queues and workers to write.
	visits []visit
	// agents and processes are whose rows see writes in the end.
	agents    map[int64]*agentTouch
	processes map[processKey]bool

	unknown int64
	groups  []*taskGroup
	loose   []looseRow
	looseOf []*IngestItem
	looseIn []*IngestEvent
	// searched are the tasks whose texts changed.
	searched []int64
}

// touchEvery is how often queues, workers and agents are written for being seen again.
const touchEvery = 5 * time.Second

// eventEvery is how far behind its newest event a row may stay that was written a moment ago; behind an older event, by a tenth of
// its age. Who tells weeks would write such a row for every half a minute of them.
const eventEvery = 30 * time.Second

// Ingest stores frames in one transaction: events are inserted once each, tasks projected, counters
// moved, agents marked as seen. On success Accepted and Changed of each item are set and everything
// is durable. On an error nothing is stored; domain.ErrTransient means that the same call may succeed later.
func (s *Store) Ingest(ctx context.Context, items []*IngestItem) error {
	return s.ingest(ctx, items, nil)
}

// ingest is Ingest with a step before it in the same transaction.
func (s *Store) ingest(ctx context.Context, items []*IngestItem, first func(context.Context, *Tx) error) error {
	b := &ingestBatch{s: s, items: items, now: s.Now()}
	if err := s.eng.prepareDays(ctx, b.days()); err != nil {
		return s.err(err)
	}
	b.trusting = s.eng.name() != "sqlite" && b.now.UnixMicro() > s.resent.Load()
	err := b.attempt(ctx, first)
	if b.trusting && eventStored(err) {
		s.resent.Store(b.now.Add(resentFor).UnixMicro())
		b.trusting = false
		err = b.attempt(ctx, first)
	}
	if err != nil {
		return fmt.Errorf("ingest %d frames: %w", len(items), err)
	}
	for text, id := range b.fresh {
		s.names.put(id, text)
	}
	b.touched()
	return nil
}

// resentFor is how long after an event that was sent again each event is looked up before its task is changed: who reconnects
// sends again what was not acknowledged.
const resentFor = 2 * time.Second

// attempt does the batch in a transaction.
func (b *ingestBatch) attempt(ctx context.Context, first func(context.Context, *Tx) error) error {
	s := b.s
	return s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		b.tx, b.ops, b.later = tx, s.eng.ingest(tx.db), s.eng.later(tx.db)
		d, err := tx.newDeltas(ctx)
		if err != nil {
			return err
		}
		b.fresh, b.d = make(map[string]int64), d
		b.groups, b.loose, b.looseOf, b.looseIn, b.searched = nil, nil, nil, nil, nil
		for _, it := range b.items {
			it.Accepted, it.Changed = 0, false
			for i := range it.Events {
				it.Events[i].Stored = false
			}
		}
		if first != nil {
			if err := first(ctx, tx); err != nil {
				return err
			}
		}
		return b.run(ctx)
	})
}

// days lists the days the batch's events fall on, without those whose events are not stored any more.
func (b *ingestBatch) days() []time.Time {
	var days []time.Time
	for _, it := range b.items {
		for i := range it.Events {
			if b.s.tooOld(it.Events[i].At, b.now) {
				continue
			}
			d := it.Events[i].At.Truncate(24 * time.Hour)
			if !slices.Contains(days, d) {
				days = append(days, d)
			}
		}
	}
	return days
}

func (b *ingestBatch) run(ctx context.Context) error {
	if err := b.group(ctx); err != nil {
		return err
	}
	// A task can vanish under our hands when several writers share the database: its row was there when ours
	// was to be inserted, and gone when it was to be loaded. A second round inserts it.
	todo := b.groups
	for round := 0; len(todo) > 0; round++ {
		if round == 3 {
			return tagged{domain.ErrTransient, errors.New("tasks kept changing under the transaction")}
		}
		var err error
		if todo, err = b.project(ctx, todo); err != nil {
			return err
		}
	}
	if err := b.storeLoose(ctx); err != nil {
		return err
	}
	if err := b.see(ctx); err != nil {
		return err
	}
	if err := b.tx.queueSearch(ctx, b.searched, b.now); err != nil {
		return fmt.Errorf("queue tasks for the search index: %w", err)
	}
	return b.tx.commitDeltas(ctx, b.d)
}

// group interns the names of every event and sorts the events by task.
func (b *ingestBatch) group(ctx context.Context) error {
	var err error
	if b.unknown, err = b.tx.intern(ctx, domain.UnknownTaskName, b.fresh); err != nil {
		return err
	}
	if b.s.eng.name() != "sqlite" {
		if err := b.internSorted(ctx); err != nil {
			return err
		}
	}
	byKey := make(map[taskKey]*taskGroup)
	for _, it := range b.items {
		for i := range it.Events {
			in := &it.Events[i]
			engine, err := b.tx.intern(ctx, in.Engine, b.fresh)
			if err != nil {
				return err
			}
			if in.Kind == 0 || in.TaskID == "" {
				b.addLoose(it, in, engine)
				continue
			}
			p := &pendingEvent{item: it, in: in}
			if err := b.resolve(ctx, p); err != nil {
				return err
			}
			key := taskKey{it.Agent.ProjectID, engine, in.TaskID}
			g := byKey[key]
			if g == nil {
				g = &taskGroup{key: key}
				byKey[key] = g
				b.groups = append(b.groups, g)
			}
			g.events = append(g.events, p)
		}
	}
	slices.SortFunc(b.groups, func(x, y *taskGroup) int { return compareTaskKeys(x.key, y.key) })
	for _, g := range b.groups {
		g.markRepeated()
	}
	return nil
}

// markRepeated marks the events that the batch has several times, but for the first of each.
func (g *taskGroup) markRepeated() {
	if len(g.events) < 2 {
		return
	}
	seen := make(map[eventKey]bool, len(g.events))
	for _, p := range g.events {
		k := eventKey{p.ev.Kind, p.ev.At.Unix()}
		p.duplicate = seen[k]
		seen[k] = true
	}
}

// internSorted adds unknown names in one order for all writers, so that two of them can't deadlock.
func (b *ingestBatch) internSorted(ctx context.Context) error {
	set := make(map[string]bool)
	for _, it := range b.items {
		for i := range it.Events {
			in := &it.Events[i]
			for _, text := range []string{in.Engine, in.Queue, in.Worker, in.TaskName} {
				if text != "" && !domain.IsUnknownName(text) {
					set[text] = true
				}
			}
		}
	}
	for _, text := range sortedKeys(set, cmp.Compare[string]) {
		if _, err := b.tx.intern(ctx, text, b.fresh); err != nil {
			return err
		}
	}
	return nil
}

func (b *ingestBatch) resolve(ctx context.Context, p *pendingEvent) (err error) {
	in := p.in
	p.ev = projection.Event{
		Kind: in.Kind, At: in.At, Priority: in.Priority, RuntimeMS: in.RuntimeMS, RetryCount: in.RetryCount, ETA: in.ETA,
		Parent: in.Parent, Root: in.Root, Tags: in.Tags, Args: in.Args, Kwargs: in.Kwargs, Result: in.Result,
		Exception: in.Exception, Traceback: in.Traceback,
	}
	if !domain.IsUnknownName(in.TaskName) {
		if p.ev.NameID, err = b.tx.intern(ctx, in.TaskName, b.fresh); err != nil {
			return err
		}
	}
	if in.Queue != "" {
		if p.ev.QueueID, err = b.tx.intern(ctx, in.Queue, b.fresh); err != nil {
			return err
		}
	}
	if in.Worker != "" {
		if p.worker, err = b.tx.intern(ctx, in.Worker, b.fresh); err != nil {
			return err
		}
		p.ev.WorkerID = p.worker
	}
	return nil
}

// project applies the events of groups and writes their rows; it returns the groups that must be done again.
func (b *ingestBatch) project(ctx context.Context, groups []*taskGroup) (again []*taskGroup, err error) {
	keys := make([]taskKey, len(groups))
	for i, g := range groups {
		keys[i] = g.key
	}
	existing, err := b.ops.placeTasks(ctx, keys, func(which []int) []*projection.Task {
		rows := make([]*projection.Task, len(which))
		for i, at := range which {
			rows[i] = b.asNew(groups[at])
		}
		return rows
	})
	if err != nil {
		return nil, fmt.Errorf("load and insert tasks: %w", err)
	}
	var fresh, known []*taskGroup
	for _, g := range groups {
		switch t := existing[g.key]; {
		case t != nil:
			g.task, g.old, g.before, g.dirty = t, *t, footprintOf(t), 0
			known = append(known, g)
		case g.task.ID == 0:
			again = append(again, g)
		default:
			fresh = append(fresh, g)
		}
	}
	return again, b.store(ctx, fresh, known)
}

// asNew applies all events of a task as if it were new, and returns the row.
func (b *ingestBatch) asNew(g *taskGroup) *projection.Task {
	t := projection.New(g.key.project, g.key.engine, g.key.task, b.unknown, b.now)
	g.task, g.dirty = &t, 0
	for _, p := range g.events {
		if !p.duplicate {
			g.dirty |= b.apply(g.task, p)
		}
	}
	return g.task
}

// store stores the events of new tasks, whose rows are written, and of those that exist, whose rows it changes.
func (b *ingestBatch) store(ctx context.Context, fresh, known []*taskGroup) error {
	rows, err := b.freshRows(ctx, fresh)
	if err != nil {
		return err
	}
	more, owners := b.knownRows(known)
	if b.trusting {
		if err := b.ops.addEvents(ctx, append(rows, more...)); err != nil {
			return fmt.Errorf("insert events: %w", err)
		}
		return b.updateKnown(ctx, known)
	}
	if err := b.ops.addEvents(ctx, rows); err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	isNew, err := b.ops.insertEvents(ctx, more)
	if err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	for i, p := range owners {
		p.duplicate = !isNew[i]
	}
	return b.updateKnown(ctx, known)
}

// freshRows counts new tasks and returns the rows of their events; the batch has already shown which are duplicates.
func (b *ingestBatch) freshRows(ctx context.Context, groups []*taskGroup) ([]eventRow, error) {
	var rows []eventRow
	for _, g := range groups {
		for _, p := range g.events {
			if p.duplicate {
				continue
			}
			p.accept()
			if b.s.tooOld(p.in.At, b.now) {
				continue
			}
			b.d.event(g.task.ProjectID, g.task.NameID, g.task.QueueID, p.ev.Kind, p.ev.At, 1)
			rows = append(rows, b.eventRow(g.task, p))
		}
		after := footprintOf(g.task)
		b.d.row(&after, 1)
		b.noteException(g)
		b.searched = append(b.searched, g.task.ID)
		if err := b.facts(ctx, g); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// knownRows are the rows of events of tasks that exist, and the events.
func (b *ingestBatch) knownRows(groups []*taskGroup) (rows []eventRow, owners []*pendingEvent) {
	for _, g := range groups {
		for _, p := range g.events {
			if p.duplicate || b.s.tooOld(p.in.At, b.now) {
				continue
			}
			// Stripped against the row as it is: should the batch change the row, restoreStripped mends
			// all stored events of the task alike.
			rows = append(rows, b.eventRow(g.task, p))
			owners = append(owners, p)
		}
	}
	return rows, owners
}

// updateKnown applies the new events of tasks that exist and updates the rows.
func (b *ingestBatch) updateKnown(ctx context.Context, groups []*taskGroup) error {
	var writes []taskWrite
	for _, g := range groups {
		for _, p := range g.events {
			if p.duplicate {
				continue
			}
			g.dirty |= b.apply(g.task, p)
			p.accept()
		}
		if err := b.facts(ctx, g); err != nil {
			return err
		}
		if err := b.countEvents(ctx, g); err != nil {
			return err
		}
		if g.dirty == 0 {
			continue
		}
		if err := b.restoreStripped(ctx, g); err != nil {
			return err
		}
		writes = append(writes, taskWrite{g.task, g.dirty})
		if g.dirty&searchDirty != 0 {
			b.searched = append(b.searched, g.task.ID)
		}
		after := footprintOf(g.task)
		if after != g.before {
			b.d.row(&g.before, -1)
			b.d.row(&after, 1)
		}
		b.noteException(g)
	}
	if err := b.ops.updateTasks(ctx, writes); err != nil {
		return fmt.Errorf("update tasks: %w", err)
	}
	return nil
}

// apply applies an event to the row and notes what follows for those who count events.
func (b *ingestBatch) apply(t *projection.Task, p *pendingEvent) projection.Dirty {
	began := t.StartedAt
	dirty := projection.Apply(t, &p.ev, b.unknown, b.now)
	p.in.Row = TaskFacts{}
	switch received := !t.ReceivedAt.IsZero() && !t.ReceivedAt.After(p.ev.At); {
	case p.ev.Kind == domain.KindReceived:
		if t.StartedAt.IsZero() || t.StartedAt.Before(p.ev.At) {
			p.in.Row.Held = 1
		}
	case received && (p.ev.Kind == domain.KindStarted || began.IsZero() && terminalKind(p.ev.Kind.State()) != 0):
		p.in.Row.Held, p.in.Row.HeldMS = -1, p.ev.At.Sub(t.ReceivedAt).Milliseconds()
	}
	return dirty
}

// facts tells the group's new events of their task, by name.
func (b *ingestBatch) facts(ctx context.Context, g *taskGroup) error {
	var name, queue string
	for _, p := range g.events {
		if p.duplicate {
			continue
		}
		var err error
		if name == "" {
			if name, err = b.text(ctx, g.task.NameID); err != nil {
				return err
			}
			if queue, err = b.text(ctx, g.task.QueueID); err != nil {
				return err
			}
		}
		f := &p.in.Row
		f.Name, f.Queue, f.Worker = name, queue, p.in.Worker
		if f.Worker == "" {
			if f.Worker, err = b.text(ctx, g.task.WorkerID); err != nil {
				return err
			}
		}
		if terminalKind(p.ev.Kind.State()) != 0 {
			if ms, ok := g.task.Runtime(); ok {
				f.RuntimeMS = &ms
			}
		}
	}
	return nil
}

// text is the string of an interned key, "" for 0.
func (b *ingestBatch) text(ctx context.Context, id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	return b.tx.nameOf(ctx, id)
}

// accept counts a newly stored event.
func (p *pendingEvent) accept() {
	p.in.Stored = true
	p.item.Accepted++
	p.item.Changed = true
}

// countEvents files the group's new events, and those stored before when the task's name or queue changed.
func (b *ingestBatch) countEvents(ctx context.Context, g *taskGroup) error {
	t, old := g.task, &g.old
	if t.NameID != old.NameID || t.QueueID != old.QueueID {
		// The new events are among the stored ones: all are taken from the new place's point of view, then the
		// old ones from the old place.
		stored, err := storedEvents(ctx, b.tx.db, t.ID)
		if err != nil {
			return err
		}
		fresh := make(map[eventKey]bool, len(g.events))
		for _, p := range g.events {
			if !p.duplicate {
				fresh[eventKey{p.ev.Kind, p.ev.At.Unix()}] = true
			}
		}
		for _, e := range stored {
			b.d.event(t.ProjectID, t.NameID, t.QueueID, e.kind, e.at, 1)
			if !fresh[eventKey{e.kind, e.at.Unix()}] {
				b.d.event(t.ProjectID, old.NameID, old.QueueID, e.kind, e.at, -1)
			}
		}
		return nil
	}
	for _, p := range g.events {
		if !p.duplicate && !b.s.tooOld(p.in.At, b.now) {
			b.d.event(t.ProjectID, t.NameID, t.QueueID, p.ev.Kind, p.ev.At, 1)
		}
	}
	return nil
}

// storedEvent is the identity of a stored event.
type storedEvent struct {
	kind domain.EventKind
	at   time.Time
}

func storedEvents(ctx context.Context, h db.DBTX, task int64) ([]storedEvent, error) {
	rows, err := h.Query(ctx, "SELECT kind, at FROM events WHERE task_id = $1", task)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []storedEvent
	for rows.Next() {
		var e storedEvent
		if err := rows.Scan((*int64)(&e.kind), &e.at); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// noteException gives the task's failure group its sample text.
func (b *ingestBatch) noteException(g *taskGroup) {
	t := g.task
	if g.dirty&projection.DirtyFailed == 0 || t.Fingerprint == nil || t.State != domain.StateFailure {
		return
	}
	if v := b.d.issue(issueKey{t.ProjectID, *t.Fingerprint, t.EngineID}); t.Exception != nil {
		v.Exception = t.Exception
	}
}

// Bits of events.stripped: which members the task row or worker_id holds, which were null, and that
// the task's name was the agent's placeholder.
const (
	strippedNullShift         = 8
	strippedPlaceholder int64 = 1 << 16
	placeholderIDLen          = 8
	placeholderPrefix         = "<unknown:"
	placeholderSuffix         = ">"
	memberTaskName            = int64(MemberTaskName)
	memberQueue               = int64(MemberQueue)
	memberWorker              = int64(MemberWorker)
	memberArgs                = int64(MemberArgs)
	memberKwargs              = int64(MemberKwargs)
)

func placeholder(taskID string) string {
	return placeholderPrefix + taskID[:min(len(taskID), placeholderIDLen)] + placeholderSuffix
}

// eventRow builds the stored form of an event: members that equal the task's are left out.
func (b *ingestBatch) eventRow(t *projection.Task, p *pendingEvent) eventRow {
	in := p.in
	r := eventRow{
		task: t.ID, kind: in.Kind, at: in.At.Truncate(time.Second), agent: p.item.Agent.ID, worker: p.worker,
		stripped: int64(in.Nulls) << strippedNullShift,
	}
	r.atUS = in.At.Sub(r.at).Microseconds()
	var extra members
	switch {
	case in.TaskName == "":
	case in.TaskName == placeholder(in.TaskID):
		r.stripped |= strippedPlaceholder
	case p.ev.NameID != 0 && p.ev.NameID == t.NameID:
		r.stripped |= memberTaskName
	default:
		extra.text("task_name", in.TaskName)
	}
	if in.Queue != "" {
		if p.ev.QueueID == t.QueueID {
			r.stripped |= memberQueue
		} else {
			extra.text("queue", in.Queue)
		}
	}
	if in.Worker != "" {
		r.stripped |= memberWorker
	}
	if in.Args != nil {
		if t.Args != nil && *t.Args == *in.Args {
			r.stripped |= memberArgs
		} else {
			extra.raw("args", *in.Args)
		}
	}
	if in.Kwargs != nil {
		if t.Kwargs != nil && *t.Kwargs == *in.Kwargs {
			r.stripped |= memberKwargs
		} else {
			extra.raw("kwargs", *in.Kwargs)
		}
	}
	r.payload = extra.join(in.Rest)
	return r
}

// addLoose queues an event without a task effect.
func (b *ingestBatch) addLoose(it *IngestItem, in *IngestEvent, engine int64) {
	row := looseRow{
		project: it.Agent.ProjectID, agent: it.Agent.ID, engine: engine, task: in.TaskID, kind: in.KindName,
		at: in.At, payload: in.fullPayload(),
	}
	if in.TaskID != "" {
		row.uid = wire.EventID(it.Agent.ProjectUID.String(), in.Engine, in.TaskID, in.KindName, in.At.Unix())
	} else if uid, ok := wire.LooseEventID(it.Agent.ProjectUID.String(), in.ID); ok {
		row.uid = uid
	} else {
		row.uid = uuid.New()
	}
	b.loose = append(b.loose, row)
	b.looseOf = append(b.looseOf, it)
	b.looseIn = append(b.looseIn, in)
}

func (b *ingestBatch) storeLoose(ctx context.Context) error {
	if len(b.loose) == 0 {
		return nil
	}
	isNew, err := b.ops.insertLoose(ctx, b.loose)
	if err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	for i, ok := range isNew {
		if ok {
			b.looseOf[i].Accepted++
			b.looseIn[i].Stored = true
		}
	}
	return nil
}

// fullPayload is the event's data as it came.
func (in *IngestEvent) fullPayload() string {
	var m members
	for _, f := range []struct {
		bit  Members
		name string
		text string
	}{{MemberTaskName, "task_name", in.TaskName}, {MemberQueue, "queue", in.Queue}, {MemberWorker, "worker", in.Worker}} {
		switch {
		case f.text != "":
			m.text(f.name, f.text)
		case in.Nulls&f.bit != 0:
			m.raw(f.name, "null")
		}
	}
	for _, f := range []struct {
		bit  Members
		name string
		raw  *string
	}{{MemberArgs, "args", in.Args}, {MemberKwargs, "kwargs", in.Kwargs}} {
		switch {
		case f.raw != nil:
			m.raw(f.name, *f.raw)
		case in.Nulls&f.bit != 0:
			m.raw(f.name, "null")
		}
	}
	return m.join(in.Rest)
}

// members builds `"key":value` pairs to be put in front of an object.
type members struct{ b strings.Builder }

func (m *members) raw(key, value string) {
	if m.b.Len() > 0 {
		m.b.WriteByte(',')
	}
	m.b.WriteString(`"` + key + `":` + value)
}

func (m *members) text(key, value string) {
	m.raw(key, string(wire.AppendString(nil, value)))
}

// join puts the members in front of those of object.
func (m *members) join(object []byte) string {
	if m.b.Len() == 0 {
		return string(object)
	}
	if len(object) <= 2 {
		return "{" + m.b.String() + "}"
	}
	return "{" + m.b.String() + "," + string(object[1:])
}

// tooOld reports whether an event lies before the retention of events: it still counts, but is not stored.
func (s *Store) tooOld(at, now time.Time) bool {
	return s.eventRetention > 0 && at.Before(now.Add(-s.eventRetention))
}
