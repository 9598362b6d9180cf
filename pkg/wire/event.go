// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"time"
)

// MaxEvents is how many events of one batch are looked at; the rest is trimmed.
const MaxEvents = 5000

// Interning limits: names repeat (a few engines, kinds, task names, queues, workers per connection), ids do not.
const (
	maxInterned    = 512
	maxInternedLen = 128
)

// Event is one entry of an event batch. Missing or wrongly typed members are empty: events are not schema-validated.
type Event struct {
	// Raw is the event's own text.
	Raw    []byte
	ID     string
	Kind   string
	Engine string
	// TaskID is "" for events that do not belong to a task.
	TaskID string
	// OccurredAt is the zero time when the sender's value is absent or unreadable.
	OccurredAt time.Time
	// Data is the raw data object, nil if there is none.
	Data []byte
	// Malformed marks an entry that is not an object; it counts as received and rejected.
	Malformed bool
}

// Usable reports whether the event can be stored: it is an object and names its engine and kind.
func (e *Event) Usable() bool { return !e.Malformed && e.Engine != "" && e.Kind != "" }

// Batch is the content of an event_batch payload.
type Batch struct {
	// Events are valid until the decoder's next call of Events.
	Events []Event
	// Trimmed counts the entries beyond MaxEvents.
	Trimmed int
}

// Decoder decodes event payloads. It reuses its memory and shares repeated names between events, so keep one
// per connection. It is not safe for concurrent use. The zero value is ready.
type Decoder struct {
	events []Event
	rest   []Member
	names  map[string]string
}

// name returns raw's text as a shared string; "" if raw is not a string.
func (d *Decoder) name(raw []byte) string {
	text, ok := textOf(raw)
	if !ok {
		return ""
	}
	if len(text) > maxInternedLen {
		return string(text)
	}
	if s, ok := d.names[string(text)]; ok {
		return s
	}
	if d.names == nil || len(d.names) >= maxInterned {
		d.names = make(map[string]string, 16)
	}
	s := string(text)
	d.names[s] = s
	return s
}

// Events decodes an event_batch payload: nil, a payload without events, or events that is not a list give an
// empty batch. Of duplicate members the last counts.
func (d *Decoder) Events(payload []byte) Batch {
	var batch Batch
	d.events = d.events[:0]
	c := cursor{b: payload, i: skipSpace(payload, 0)}
	for more := c.enter('{'); more; more = c.next('}') {
		if string(plainName(c.name())) != `"events"` {
			c.value()
			continue
		}
		// One walk for the list and everything in it but data.
		d.events, batch.Trimmed = d.events[:0], 0
		if !c.at('[') {
			c.value()
			continue
		}
		for more := c.enter('['); more; more = c.next(']') {
			if len(d.events) == MaxEvents {
				c.value()
				batch.Trimmed++
				continue
			}
			d.events = append(d.events, Event{})
			d.event(&c, &d.events[len(d.events)-1])
		}
	}
	if c.bad {
		d.events = d.events[:0]
		return Batch{}
	}
	batch.Events = d.events
	return batch
}

// Event decodes one event's text into e.
func (d *Decoder) Event(raw []byte, e *Event) {
	*e = Event{}
	c := cursor{b: raw, i: skipSpace(raw, 0)}
	d.event(&c, e)
	if c.bad {
		*e = Event{Raw: raw, Malformed: true}
	}
}

// event decodes the event at the cursor into the zero e and steps behind it.
func (d *Decoder) event(c *cursor, e *Event) {
	start := c.i
	if !c.at('{') {
		e.Raw = c.value()
		e.Malformed = true
		return
	}
	for more := c.enter('{'); more; more = c.next('}') {
		name := c.name()
		value := c.value()
		switch string(plainName(name)) {
		case `"id"`:
			e.ID, _ = StringOf(value)
		case `"kind"`:
			e.Kind = d.name(value)
		case `"engine"`:
			e.Engine = d.name(value)
		case `"task_id"`:
			e.TaskID, _ = StringOf(value)
		case `"occurred_at"`:
			e.OccurredAt = lenientTime(value)
		case `"data"`:
			e.Data = nil
			if IsObject(value) {
				e.Data = value
			}
		}
	}
	if !c.bad {
		e.Raw = c.b[start:c.i]
	}
}

// plainName respells a member name that was written with escapes, so that no spelling hides a member.
func plainName(name []byte) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	text, _ := StringOf(name)
	return AppendString(nil, text)
}

// Member is one object member as text: Name with its quotes, Value raw.
type Member struct{ Name, Value []byte }

// TaskData is what the task projection and the event views need from an event's data. Raw values are windows
// into data; absent and null are nil or "".
type TaskData struct {
	TaskName string
	Queue    string
	Worker   string
	Priority string

	Args   []byte
	Kwargs []byte
	Result []byte
	Tags   []byte

	Exception        string
	ExceptionMessage string
	Traceback        string

	ParentTaskID string
	RootTaskID   string

	// RuntimeMS is valid if HasRuntime.
	RuntimeMS  float64
	HasRuntime bool
	RetryCount int64
	// ETA is the zero time when absent or unreadable.
	ETA time.Time

	// Rest are the members not listed above, in source order: what is left to store. Valid until the decoder's
	// next call of TaskData. Members with a listed name but another type than expected are here too.
	Rest []Member
}

// AppendRest appends Rest as a JSON object; nothing is appended when there is nothing left.
func (t *TaskData) AppendRest(dst []byte) []byte {
	if len(t.Rest) == 0 {
		return dst
	}
	return AppendMembers(dst, t.Rest)
}

// AppendMembers appends members as a JSON object.
func AppendMembers(dst []byte, members []Member) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.Name...)
		dst = append(dst, ':')
		dst = append(dst, m.Value...)
	}
	return append(dst, '}')
}

// TaskData decodes an event's data object. Of duplicate members the last counts.
func (d *Decoder) TaskData(data []byte) TaskData {
	var t TaskData
	d.rest = d.rest[:0]
	c := cursor{b: data, i: skipSpace(data, 0)}
	for more := c.enter('{'); more; more = c.next('}') {
		name := plainName(c.name())
		value := c.value()
		if !c.bad && !d.known(&t, name, value) {
			d.rest = append(d.rest, Member{Name: name, Value: value})
		}
	}
	t.Rest = d.rest
	return t
}

// known stores a member in its place and reports whether it has one.
func (d *Decoder) known(t *TaskData, name, value []byte) bool {
	null := IsNull(value)
	switch string(name) {
	case `"task_name"`:
		return d.setName(&t.TaskName, value, null)
	case `"queue"`:
		return d.setName(&t.Queue, value, null)
	case `"worker"`:
		return d.setName(&t.Worker, value, null)
	case `"priority"`:
		return d.setName(&t.Priority, value, null)
	case `"args"`:
		return setRaw(&t.Args, value, null)
	case `"kwargs"`:
		return setRaw(&t.Kwargs, value, null)
	case `"result"`:
		return setRaw(&t.Result, value, null)
	case `"tags"`:
		return setRaw(&t.Tags, value, null)
	case `"exception"`:
		return setText(&t.Exception, value, null)
	case `"exception_message"`:
		return setText(&t.ExceptionMessage, value, null)
	case `"traceback"`:
		return setText(&t.Traceback, value, null)
	case `"parent_task_id"`:
		return setText(&t.ParentTaskID, value, null)
	case `"root_task_id"`:
		return setText(&t.RootTaskID, value, null)
	case `"runtime_ms"`:
		t.RuntimeMS, t.HasRuntime = FloatOf(value)
		return t.HasRuntime || null
	case `"retry_count"`:
		n, ok := IntOf(value)
		t.RetryCount = n
		return ok || null
	case `"eta"`:
		t.ETA = time.Time{}
		text, ok := textOf(value)
		if ok {
			t.ETA, _, ok = ParseTime(text)
		}
		return ok || null
	}
	return false
}

func (d *Decoder) setName(dst *string, value []byte, null bool) bool {
	if null {
		*dst = ""
		return true
	}
	*dst = d.name(value)
	return IsString(value)
}

func setText(dst *string, value []byte, null bool) bool {
	if null {
		*dst = ""
		return true
	}
	s, ok := StringOf(value)
	*dst = s
	return ok
}

func setRaw(dst *[]byte, value []byte, null bool) bool {
	*dst = nil
	if !null {
		*dst = value
	}
	return true
}
