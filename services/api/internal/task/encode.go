// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/wire"
)

// rowSize is about what a row of a list takes as JSON.
const rowSize = 1 << 10

// AppendJSON implements httpx.Appender: pages of tasks are what is asked for most. TestTaskListJSON compares it with
// encoding/json member by member.
func (l TaskListResponse) AppendJSON(b []byte) ([]byte, error) {
	if b == nil {
		b = make([]byte, 0, (len(l.Items)+1)*rowSize)
	}
	b = append(b, `{"items":[`...)
	var err error
	for i := range l.Items {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = l.Items[i].appendJSON(b); err != nil {
			return nil, fmt.Errorf("task %s: %w", l.Items[i].TaskID, err)
		}
	}
	b = httpx.AppendStringPtr(append(b, `],"next_cursor":`...), l.NextCursor)
	b = httpx.AppendIntPtr(append(b, `,"total_count":`...), l.TotalCount)
	if l.SearchedTo != nil {
		if b, err = l.SearchedTo.AppendJSON(append(b, `,"searched_to":`...)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (t *TaskPublic) appendJSON(b []byte) ([]byte, error) {
	w := writer{b: b}
	w.uuid(`{"id":"`, t.ID)
	w.uuid(`","project_id":"`, t.ProjectID)
	w.b = append(w.b, '"')
	w.text(`,"engine":`, t.Engine)
	w.text(`,"task_id":`, t.TaskID)
	w.text(`,"name":`, t.Name)
	w.textPtr(`,"queue":`, t.Queue)
	w.text(`,"state":`, t.State)
	w.text(`,"priority":`, t.Priority)
	w.raw(`,"args":`, t.Args)
	w.raw(`,"kwargs":`, t.Kwargs)
	w.raw(`,"result":`, t.Result)
	w.textPtr(`,"exception":`, t.Exception)
	w.textPtr(`,"traceback":`, t.Traceback)
	w.b = strconv.AppendInt(append(w.b, `,"retry_count":`...), t.RetryCount, 10)
	w.timePtr(`,"eta":`, t.ETA)
	w.timePtr(`,"received_at":`, t.ReceivedAt)
	w.timePtr(`,"started_at":`, t.StartedAt)
	w.timePtr(`,"finished_at":`, t.FinishedAt)
	w.b = httpx.AppendIntPtr(append(w.b, `,"runtime_ms":`...), t.RuntimeMS)
	w.textPtr(`,"worker_name":`, t.WorkerName)
	w.textPtr(`,"parent_task_id":`, t.ParentTaskID)
	w.textPtr(`,"root_task_id":`, t.RootTaskID)
	w.texts(`,"tags":`, t.Tags)
	w.timePtr(`,"created_at":`, &t.CreatedAt)
	w.timePtr(`,"updated_at":`, &t.UpdatedAt)
	if t.ArgsPreview != nil {
		w.text(`,"args_preview":`, *t.ArgsPreview)
	}
	if t.KwargsPreview != nil {
		w.text(`,"kwargs_preview":`, *t.KwargsPreview)
	}
	return append(w.b, '}'), w.err
}

// writer appends members, each behind its name, and keeps the first error.
type writer struct {
	b   []byte
	err error
}

func (w *writer) uuid(name string, id uuid.UUID) {
	w.b = append(append(w.b, name...), id.String()...)
}

func (w *writer) text(name, s string) { w.b = httpx.AppendString(append(w.b, name...), s) }
func (w *writer) textPtr(name string, s *string) {
	w.b = httpx.AppendStringPtr(append(w.b, name...), s)
}

func (w *writer) timePtr(name string, t *httpx.Time) {
	w.b = append(w.b, name...)
	if t == nil {
		w.b = append(w.b, "null"...)
		return
	}
	b, err := t.AppendJSON(w.b)
	if err != nil {
		w.err = err
		return
	}
	w.b = b
}

func (w *writer) raw(name string, text json.RawMessage) {
	w.b = append(w.b, name...)
	switch {
	case text == nil:
		w.b = append(w.b, "null"...)
	case wire.Closed(text):
		w.b = append(w.b, text...)
	default:
		w.err = fmt.Errorf("what is stored for %s is no JSON", name)
	}
}

func (w *writer) texts(name string, list []string) {
	w.b = append(w.b, name...)
	if list == nil {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, '[')
	for i, s := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = httpx.AppendString(w.b, s)
	}
	w.b = append(w.b, ']')
}
