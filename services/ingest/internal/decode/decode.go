// SPDX-License-Identifier: AGPL-3.0-or-later

// Package decode turns verified agent payloads into what the store ingests: redacted, lenient towards missing
// and wrongly typed members (agent protocol, 3 and 8.2), with every text bounded.
package decode

import (
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/redact"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// Limits of stored texts, in characters. Names are interned and indexed, so they must stay short.
const (
	maxEngine    = 40
	maxTaskID    = 200
	maxTaskName  = 500
	maxName      = 200
	maxTags      = 4096
	maxStatus    = 32 << 10
	maxRuntimeMS = 1 << 53
)

// Times further off than this are replaced by the time of arrival (agent protocol, 8.2).
const (
	maxAge    = 400 * 24 * time.Hour
	maxFuture = time.Minute
)

// UpgradeRequired is the answer to schedule events without the sequenced envelope.
func UpgradeRequired() wire.ErrorFrame {
	return wire.ErrorFrame{
		Code:    "scheduler_upgrade_required",
		Message: "this agent's scheduler adapter reports schedules in a form that is no longer accepted; upgrade it to the brain's release",
		Fatal:   true,
	}
}

// Batch is one event_batch frame.
type Batch struct {
	Events []store.IngestEvent
	// Received counts the frame's entries, unusable ones included.
	Received int
	// Legacy reports that the frame holds a schedule event that must be refused as a whole (UpgradeRequired).
	Legacy bool
}

// Decoder decodes the payloads of one connection. It is not safe for concurrent use. Results are copies.
type Decoder struct {
	// Redact must be set.
	Redact *redact.Engine

	dec wire.Decoder
	buf []byte
}

// Events decodes an event_batch payload.
func (d *Decoder) Events(payload []byte, now time.Time) Batch {
	in := d.dec.Events(payload)
	b := Batch{Received: len(in.Events) + in.Trimmed}
	if len(in.Events) > 0 {
		b.Events = make([]store.IngestEvent, 0, len(in.Events))
	}
	for i := range in.Events {
		ev := &in.Events[i]
		switch scheduleForm(ev) {
		case scheduleLegacy:
			return Batch{Received: b.Received, Legacy: true}
		case scheduleSequenced:
			// No stream was activated on this connection, so the frame belongs to none: ignored, and acked.
			continue
		case scheduleNone:
		}
		var out store.IngestEvent
		if d.event(ev, now, &out) {
			b.Events = append(b.Events, out)
		}
	}
	return b
}

type schedule uint8

const (
	scheduleNone schedule = iota
	scheduleLegacy
	scheduleSequenced
)

// scheduleForm tells the schedule projections from other events.
func scheduleForm(ev *wire.Event) schedule {
	switch ev.Kind {
	case "schedule.snapshot", "schedule.created", "schedule.updated", "schedule.deleted":
	default:
		return scheduleNone
	}
	form := scheduleLegacy
	_ = wire.ScanObject(ev.Data, func(key, value []byte) error {
		switch string(key) {
		case "external_snapshot_frame", "external_projection":
			if wire.IsObject(value) {
				form = scheduleSequenced
			}
		}
		return nil
	})
	return form
}

// event converts one event; false when it can't be stored.
func (d *Decoder) event(ev *wire.Event, now time.Time, out *store.IngestEvent) bool {
	if ev.Malformed {
		return false
	}
	if red, changed := d.Redact.JSON(d.buf[:0], ev.Raw); changed {
		d.buf = red
		d.dec.Event(red, ev)
	}
	if !ev.Usable() || longer(ev.Engine, maxEngine) || longer(ev.TaskID, maxTaskID) {
		return false
	}
	*out = store.IngestEvent{
		ID: ev.ID, KindName: domain.StoredKind(ev.Kind), Engine: ev.Engine, TaskID: ev.TaskID, At: clampTime(ev.OccurredAt, now),
	}
	if ev.TaskID != "" {
		// A life-cycle kind without a task changes nothing: it is kept like any other report.
		out.Kind, _ = domain.ParseEventKind(ev.Kind)
	}
	d.data(ev.Data, ev.TaskID, out)
	return true
}

func clampTime(at, now time.Time) time.Time {
	if at.IsZero() || at.Before(now.Add(-maxAge)) || at.After(now.Add(maxFuture)) {
		at = now
	}
	return domain.Micros(at)
}

// data splits an event's data object into the members held apart, those the projection uses, and the rest.
func (d *Decoder) data(data []byte, taskID string, out *store.IngestEvent) {
	if data == nil {
		out.Rest = []byte("{}")
		return
	}
	t := d.dec.TaskData(data)
	out.TaskName, out.Queue, out.Worker = cut(t.TaskName, maxTaskName), cut(t.Queue, maxName), cut(t.Worker, maxName)
	out.Args, out.Kwargs, out.Result = text(t.Args), text(t.Kwargs), text(t.Result)
	out.Exception, out.Traceback = optional(t.Exception), optional(t.Traceback)
	if t.HasRuntime && t.RuntimeMS >= 0 && t.RuntimeMS < maxRuntimeMS {
		ms := int64(t.RuntimeMS + 0.5)
		out.RuntimeMS = &ms
	}
	if out.Kind == domain.KindRetried || t.RetryCount != 0 {
		n := min(max(t.RetryCount, 0), 1<<31-1)
		out.RetryCount = &n
	}
	out.Priority, _ = domain.ParsePriority(t.Priority)
	if !t.ETA.IsZero() {
		at := domain.Micros(t.ETA)
		out.ETA = &at
	}
	out.Parent, out.Root = relative(t.ParentTaskID, taskID), relative(t.RootTaskID, taskID)
	if len(t.Tags) <= maxTags && listOfStrings(t.Tags) {
		out.Tags = text(t.Tags)
	}
	out.Rest = rest(data, out)
}

// rest copies the data object without the members held apart, noting which of those were null.
func rest(data []byte, out *store.IngestEvent) []byte {
	b := make([]byte, 0, len(data))
	b = append(b, '{')
	_ = wire.ScanMembers(data, func(name, value []byte) error {
		if m := apart(name, value); m != 0 {
			if wire.IsNull(value) {
				out.Nulls |= m
			} else {
				out.Nulls &^= m
			}
			return nil
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), value...)
		return nil
	})
	return append(b, '}')
}

// apart returns the member that name and value are, 0 when they stay in the rest.
func apart(name, value []byte) store.Members {
	if strings.IndexByte(string(name), '\\') >= 0 {
		plain, _ := wire.StringOf(name)
		name = wire.AppendString(nil, plain)
	}
	var m store.Members
	switch string(name) {
	case `"args"`:
		return store.MemberArgs
	case `"kwargs"`:
		return store.MemberKwargs
	case `"task_name"`:
		m = store.MemberTaskName
	case `"queue"`:
		m = store.MemberQueue
	case `"worker"`:
		m = store.MemberWorker
	}
	if m != 0 && !wire.IsString(value) && !wire.IsNull(value) {
		return 0
	}
	return m
}

// relative is the id of another task, nil when it can't be one.
func relative(id, own string) *string {
	if id == "" || id == own || longer(id, maxTaskID) || strings.IndexByte(id, 0) >= 0 {
		return nil
	}
	return &id
}

func listOfStrings(raw []byte) bool {
	ok := wire.IsArray(raw)
	_ = wire.ScanArray(raw, func(v []byte) error {
		ok = ok && wire.IsString(v)
		return nil
	})
	return ok
}

func text(raw []byte) *string {
	if raw == nil {
		return nil
	}
	s := string(raw)
	return &s
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func longer(s string, n int) bool { return len(s) > n && utf8.RuneCountInString(s) > n }

// cut returns the first n characters.
func cut(s string, n int) string {
	if !longer(s, n) {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// Status returns an agent_status payload to keep, nil when there is nothing worth it, and a key of what it tells: equal
// for payloads that differ only in what passes by itself, such as the age of the session.
func (d *Decoder) Status(payload []byte) (kept []byte, key uint64) {
	if payload == nil || len(payload) > maxStatus {
		return nil, 0
	}
	red, changed := d.Redact.JSON(nil, payload)
	if !changed {
		red = append([]byte(nil), payload...)
	}
	return red, statusKey(payload)
}

// Below these a buffer is as good as empty; above, its depth and age tell something new when they double.
const (
	fewBuffered  = 16
	shortBacklog = 8
)

// statusSeed makes the keys of this process; they are compared within it only.
var statusSeed = maphash.MakeSeed()

func statusKey(payload []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(statusSeed)
	err := wire.ScanObject(payload, func(name, value []byte) error {
		if string(name) == "current_session_age_seconds" {
			return nil
		}
		_, _ = h.Write(name)
		_ = h.WriteByte(':')
		f, number := wire.FloatOf(value)
		switch string(name) {
		case "buffer_depth":
			value = magnitude(f, number, fewBuffered)
		case "buffer_oldest_age_seconds":
			value = magnitude(f, number, shortBacklog)
		}
		_, _ = h.Write(value)
		return h.WriteByte(',')
	})
	if err != nil {
		return 0
	}
	return max(1, h.Sum64())
}

// magnitude stands for all numbers below least, then for those of the same power of two. What is no number, as null for
// the age of an empty buffer, counts as none.
func magnitude(f float64, number bool, least float64) []byte {
	if !number || f < least {
		return []byte("few")
	}
	_, exponent := math.Frexp(f)
	return strconv.AppendInt(nil, int64(exponent), 10)
}
