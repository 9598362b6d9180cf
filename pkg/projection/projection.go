// SPDX-License-Identifier: AGPL-3.0-or-later

// Package projection turns task events into task rows. It holds the rules of the agent protocol,
// section 8.3, as pure functions: no I/O, no clock of its own, names already interned.
package projection

import (
	"math"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
)

// MaxTraceback is the length in bytes above which a traceback is cut. The end is kept: the line that raised is there.
const MaxTraceback = 8192

// Task is a task row. Names are interned ids; 0 means none for Queue and Worker. A zero time means never.
type Task struct {
	ID, ProjectID, EngineID int64
	TaskID                  string
	NameID                  int64
	QueueID, WorkerID       int64
	State                   domain.TaskState
	Priority                domain.Priority
	RetryCount              int64
	RuntimeMS               *int64
	ETA                     *time.Time
	ReceivedAt, StartedAt   time.Time
	FinishedAt              time.Time
	LastFailedAt            time.Time
	SeenAt, UpdatedAt       time.Time
	Fingerprint             *string
	Parent, Root            *string
	Tags                    *string
	Args, Kwargs, Result    *string
	Exception, Traceback    *string
}

// Event is a life-cycle event of one task. NameID is 0 when the agent did not know the name.
type Event struct {
	Kind                      domain.EventKind
	At                        time.Time
	NameID, QueueID, WorkerID int64
	Priority                  domain.Priority // 0: not given
	RuntimeMS                 *int64
	// RetryCount is nil when the agent does not count; stock agents never do.
	RetryCount           *int64
	ETA                  *time.Time
	Parent, Root         *string
	Tags                 *string
	Args, Kwargs, Result *string
	Exception, Traceback *string
}

// New returns the row of a task first seen at now through event e, before e is applied.
// unknownName is the interned id of "unknown".
func New(projectID, engineID int64, taskID string, unknownName int64, now time.Time) Task {
	return Task{
		ProjectID: projectID, EngineID: engineID, TaskID: taskID,
		NameID: unknownName, Priority: domain.PriorityNormal, SeenAt: now, UpdatedAt: now,
	}
}

// Dirty says which groups of columns of a row an event changed.
type Dirty uint16

// The groups of columns, split so that a write touches no index it need not.
const (
	DirtyName Dirty = 1 << iota
	DirtyQueue
	DirtyState
	DirtyStarted
	DirtyFailed  // fingerprint, last_failed_at
	DirtyLinks   // parent_task_id, root_task_id
	DirtyArgs    // args, kwargs
	DirtyOutcome // finished_at, result, exception, traceback, runtime_ms
	DirtyTags
	DirtyETA
	DirtyMisc // received_at, worker_id, priority, retry_count
)

// Apply changes t by e if the state guard lets it. unknownName is the interned id of "unknown". A
// refused event may still give a nameless task its name. Dirty is 0 when the row need not be written;
// it holds DirtyState exactly when the event was applied.
func Apply(t *Task, e *Event, unknownName int64, now time.Time) Dirty {
	if !admits(t, e, now) {
		if t.NameID == unknownName && e.NameID != 0 {
			t.NameID, t.UpdatedAt = e.NameID, now
			return DirtyName
		}
		return 0
	}
	fresh := t.State == 0
	t.State = e.Kind.State()
	t.UpdatedAt = now
	dirty := DirtyState
	if e.Priority != 0 {
		t.Priority = e.Priority
		dirty |= DirtyMisc
	}
	if e.Tags != nil {
		t.Tags = e.Tags
		dirty |= DirtyTags
	}
	if e.ETA != nil {
		t.ETA = e.ETA
		dirty |= DirtyETA
	}
	if e.NameID != 0 && e.NameID != t.NameID && (t.NameID == unknownName || e.Kind == domain.KindReceived) {
		t.NameID = e.NameID
		dirty |= DirtyName
	}
	if e.QueueID != 0 && e.QueueID != t.QueueID && (fresh || t.QueueID == 0 || e.Kind == domain.KindReceived) {
		t.QueueID = e.QueueID
		dirty |= DirtyQueue
	}
	switch e.Kind {
	case domain.KindReceived:
		t.ReceivedAt = e.At
		t.Args, t.Kwargs = e.Args, e.Kwargs
		dirty |= DirtyMisc | DirtyArgs
		if e.Parent != nil || e.Root != nil {
			t.Parent, t.Root = e.Parent, e.Root
			dirty |= DirtyLinks
		}
	case domain.KindStarted:
		t.StartedAt = e.At
		dirty |= DirtyStarted
		if e.WorkerID != 0 {
			t.WorkerID = e.WorkerID
			dirty |= DirtyMisc
		}
	case domain.KindSucceeded:
		t.FinishedAt, t.Result, t.RuntimeMS = e.At, e.Result, e.RuntimeMS
		t.Exception, t.Traceback = nil, nil
		dirty |= DirtyOutcome
	case domain.KindFailed:
		t.FinishedAt, t.LastFailedAt, t.RuntimeMS = e.At, e.At, e.RuntimeMS
		t.Result = nil
		t.Exception, t.Traceback = e.Exception, tail(e.Traceback)
		t.Fingerprint = Fingerprint(e.Exception, t.Traceback)
		dirty |= DirtyOutcome | DirtyFailed
	case domain.KindRetried:
		if e.RetryCount != nil {
			t.RetryCount = *e.RetryCount
		} else {
			t.RetryCount = min(t.RetryCount+1, math.MaxInt32) // what a database column holds
		}
		dirty |= DirtyMisc
	case domain.KindRevoked:
		t.FinishedAt = e.At
		t.Result, t.RuntimeMS, t.Exception, t.Traceback = nil, nil, nil, nil
		dirty |= DirtyOutcome
	}
	return dirty
}

// admits is the state guard.
func admits(t *Task, e *Event, now time.Time) bool {
	incoming := e.Kind.State()
	if t.State == 0 {
		return true
	}
	if incoming.Terminal() {
		return !t.State.Terminal() || lifecycle(t, e.At, now)
	}
	return !t.State.Terminal() && lifecycle(t, e.At, now)
}

// lifecycle reports whether no life-cycle time of the row lies after at. Times in the future (a
// sender's clock ran ahead when they were stored) do not count.
func lifecycle(t *Task, at, now time.Time) bool {
	if at.After(now) {
		at = now
	}
	for _, stored := range [...]time.Time{t.ReceivedAt, t.StartedAt, t.FinishedAt} {
		if stored.After(at) && !stored.After(now) {
			return false
		}
	}
	return true
}

// tail keeps the end of a long traceback, cut at a line where possible.
func tail(text *string) *string {
	if text == nil || len(*text) <= MaxTraceback {
		return text
	}
	const mark = "[...]\n"
	s := (*text)[len(*text)-MaxTraceback+len(mark):]
	for i := range len(s) {
		// Never start inside a UTF-8 sequence; prefer the start of a line.
		if s[i] == '\n' && i+1 < len(s) {
			s = s[i+1:]
			break
		}
		if i > 400 {
			for len(s) > 0 && s[0]&0xC0 == 0x80 {
				s = s[1:]
			}
			break
		}
	}
	s = mark + s
	return &s
}

// Runtime is how long the task ran, in milliseconds: what the agent measured, else the distance
// between start and end. ok is false when neither is known.
func (t *Task) Runtime() (ms int64, ok bool) {
	if t.RuntimeMS != nil {
		return *t.RuntimeMS, true
	}
	if !t.StartedAt.IsZero() && !t.FinishedAt.IsZero() && !t.FinishedAt.Before(t.StartedAt) {
		return t.FinishedAt.Sub(t.StartedAt).Milliseconds(), true
	}
	return 0, false
}

// Due is when the task was free to start: its latest reception, or the later time it was planned for. It is zero while
// no reception is known.
func (t *Task) Due() time.Time {
	if !t.ReceivedAt.IsZero() && t.ETA != nil && t.ETA.After(t.ReceivedAt) {
		return *t.ETA
	}
	return t.ReceivedAt
}
