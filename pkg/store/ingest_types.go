// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
)

// AgentRef names an agent by its inner keys and its public ids.
type AgentRef struct {
	ID, ProjectID   int64
	UID, ProjectUID uuid.UUID
}

// Members says which of the five members that IngestEvent holds apart stood in the event's data.
type Members uint8

// The members of an event's data that are taken out of Rest.
const (
	MemberTaskName Members = 1 << iota
	MemberQueue
	MemberWorker
	MemberArgs
	MemberKwargs
)

// IngestEvent is one event of an event_batch frame: redacted, validated, its time clamped.
//
// The members task_name, queue, worker, args and kwargs of the event's data are held apart when
// they have the expected type (string, or null; args and kwargs any JSON); Rest is the data object
// without them. Everything else the projection uses is extracted and stays in Rest as well.
type IngestEvent struct {
	// ID is the sender's event id; it identifies an event without a task.
	ID string
	// Kind is the life-cycle kind, 0 for every other event; KindName is the stored name of the kind.
	Kind     domain.EventKind
	KindName string
	Engine   string
	TaskID   string
	// At is when it happened, in microseconds.
	At time.Time

	TaskName, Queue, Worker string
	// Args and Kwargs are JSON texts, nil when absent or null.
	Args, Kwargs *string
	// Nulls marks those of the five members that were present as null.
	Nulls Members
	// Rest is the data object without the five members, never empty ("{}").
	Rest []byte

	// Result is a JSON text, nil when absent or null.
	Result *string
	// Exception and Traceback are texts.
	Exception, Traceback *string
	RuntimeMS            *int64
	RetryCount           *int64
	Priority             domain.Priority
	ETA                  *time.Time
	// Parent and Root are ids of other tasks; nil when absent or invalid (agent protocol, 8.3).
	Parent, Root *string
	// Tags is a JSON list of strings.
	Tags *string

	// Stored reports after Ingest returned nil whether the event was new; Row then tells of its task.
	Stored bool
	Row    TaskFacts
}

// TaskFacts is what the row of a task said once an event was applied: what the agent itself left out of the event.
type TaskFacts struct {
	Name, Queue, Worker string
	// RuntimeMS is how long the task ran, nil when it did not end or that is not known.
	RuntimeMS *int64
	// Held is 1 when a worker took the task in and -1 when it no longer holds it back: it began, or ended before it
	// could. HeldMS is how long that was, for -1.
	Held   int
	HeldMS int64
}

// QueueDepth is one entry of an engine's queue_depths.
type QueueDepth struct {
	Engine, Name string
	Pending      int64
	BrokerType   string
}

// WorkerReport is one worker of an engine's worker_details.
type WorkerReport struct {
	Engine, Name, Hostname string
	PID, Concurrency       *int64
	// Queues is nil when the report does not tell: those of the last one stay.
	Queues      []string
	ActiveTasks int64
	// LoadAverage is a JSON list or "", Metadata a JSON object that is merged into the stored one.
	LoadAverage, Metadata string
}

// HeartbeatInput is what a heartbeat frame tells beyond that the agent lives.
type HeartbeatInput struct {
	Depths  []QueueDepth
	Workers []WorkerReport
}

// IngestItem is one frame of an agent on its way into the database.
type IngestItem struct {
	Agent AgentRef
	// WorkerID is the agent process ("" for the legacy slot), At the frame's signed time.
	WorkerID string
	At       time.Time

	Events    []IngestEvent
	Heartbeat *HeartbeatInput
	// Status is the payload of an agent_status frame to be kept, JSON.
	Status []byte
	// StatusKey stands for what the payload tells: a payload with the key of the one kept before is kept every StatusEvery
	// only. 0 keeps it always.
	StatusKey uint64

	// Accepted counts the newly stored events after Ingest returned nil.
	Accepted int
	// Changed reports whether a task row changed, AgentTouched whether the agent's row did (the dashboard is told).
	Changed, AgentTouched bool
}
