// SPDX-License-Identifier: AGPL-3.0-or-later

// Package domain holds the words every part of z4j shares: identifiers, task states, event
// kinds, roles, command actions and error codes. It does no I/O and imports nothing of ours.
package domain

import (
	"strings"
	"time"
)

// Version is the release of this brain, sent to agents as brain_version and shown by the CLI.
// It may be overridden at link time.
var Version = "1.14.0"

// NewestAgent is the newest published release of the agent packages that this brain knows.
const NewestAgent = "1.13.0"

// ProtocolVersion is the agent wire protocol this brain speaks.
const ProtocolVersion = "2"

// TaskState is the current state of a task. The numbers are stored; never renumber them.
type TaskState int64

// Task states, in the order of the REST API's enum.
const (
	StatePending TaskState = iota + 1
	StateReceived
	StateStarted
	StateSuccess
	StateFailure
	StateRetry
	StateRevoked
	StateRejected
	StateUnknown
)

var taskStateNames = [...]string{
	"", "pending", "received", "started", "success", "failure", "retry", "revoked", "rejected", "unknown",
}

// String returns the state's name in the REST API.
func (s TaskState) String() string {
	if s < StatePending || s > StateUnknown {
		return "unknown"
	}
	return taskStateNames[s]
}

// Terminal reports whether the state ends a task's life: success, failure or revoked.
func (s TaskState) Terminal() bool {
	return s == StateSuccess || s == StateFailure || s == StateRevoked
}

// ParseTaskState turns an API name into a state; ok is false for anything else.
func ParseTaskState(name string) (state TaskState, ok bool) {
	for i := StatePending; i <= StateUnknown; i++ {
		if taskStateNames[i] == name {
			return i, true
		}
	}
	return 0, false
}

// TaskStates lists every state in API order.
func TaskStates() []TaskState {
	states := make([]TaskState, 0, StateUnknown)
	for s := StatePending; s <= StateUnknown; s++ {
		states = append(states, s)
	}
	return states
}

// Priority of a task. The numbers are stored; never renumber them.
type Priority int64

// Priorities, most urgent first.
const (
	PriorityCritical Priority = iota + 1
	PriorityHigh
	PriorityNormal
	PriorityLow
)

var priorityNames = [...]string{"", "critical", "high", "normal", "low"}

// String returns the priority's API name.
func (p Priority) String() string {
	if p < PriorityCritical || p > PriorityLow {
		return "normal"
	}
	return priorityNames[p]
}

// ParsePriority turns an API name into a priority.
func ParsePriority(name string) (p Priority, ok bool) {
	for i := PriorityCritical; i <= PriorityLow; i++ {
		if priorityNames[i] == name {
			return i, true
		}
	}
	return 0, false
}

// EventKind is a task life-cycle event. The numbers are stored; never renumber them.
type EventKind int64

// The six kinds that create or change a task. Every other kind is stored by name, without effect on tasks.
const (
	KindReceived EventKind = iota + 1
	KindStarted
	KindSucceeded
	KindFailed
	KindRetried
	KindRevoked
)

var eventKindNames = [...]string{
	"", "task.received", "task.started", "task.succeeded", "task.failed", "task.retried", "task.revoked",
}

var eventKindStates = [...]TaskState{
	0, StateReceived, StateStarted, StateSuccess, StateFailure, StateRetry, StateRevoked,
}

// String returns the kind's wire name.
func (k EventKind) String() string {
	if k < KindReceived || k > KindRevoked {
		return "unknown"
	}
	return eventKindNames[k]
}

// State is the task state the kind leads to (agent protocol, 8.3).
func (k EventKind) State() TaskState {
	if k < KindReceived || k > KindRevoked {
		return 0
	}
	return eventKindStates[k]
}

// ParseEventKind returns the life-cycle kind of a wire name; ok is false for kinds without a task effect.
func ParseEventKind(name string) (k EventKind, ok bool) {
	for i := KindReceived; i <= KindRevoked; i++ {
		if eventKindNames[i] == name {
			return i, true
		}
	}
	return 0, false
}

// knownKinds are the wire's other kinds; anything else is stored as "unknown" (agent protocol, 8).
var knownKinds = map[string]bool{
	"task.sent": true, "task.rejected": true,
	"worker.online": true, "worker.offline": true, "worker.heartbeat": true,
	"queue.depth_report":     true,
	"schedule.run_started":   true,
	"schedule.run_completed": true, "schedule.created": true, "schedule.updated": true,
	"schedule.deleted": true, "schedule.snapshot": true,
}

// StoredKind is the name an event kind is stored under: itself when the protocol knows it, else "unknown".
func StoredKind(name string) string {
	if _, ok := ParseEventKind(name); ok || knownKinds[name] {
		return name
	}
	return "unknown"
}

// RollupKind says what a roll-up row counts. The numbers are stored; never renumber them.
type RollupKind int64

// Roll-up kinds. Success, failure and revoked count tasks by the minute of finished_at and follow the
// task when it changes; received, started and retried count stored events by their own minute. The durations
// of success and failure are how long tasks ran and, in the second lane of the sketch, how long they took since they
// were due; those of started are how long tasks waited, by the minute of started_at.
const (
	RollupSuccess RollupKind = iota + 1
	RollupFailure
	RollupRevoked
	RollupReceived
	RollupStarted
	RollupRetried
)

// Role of a member in a project. An instance admin acts as RoleAdmin everywhere.
type Role string

// Roles, weakest first. Auditor and operator are not ordered by one ladder for audit reading: see Allows in the API's policy.
const (
	RoleViewer   Role = "viewer"
	RoleAuditor  Role = "auditor"
	RoleOperator Role = "operator"
	RoleAdmin    Role = "admin"
)

// Rank orders roles: viewer 1, auditor 2, operator 3, admin 4; 0 for anything else.
func (r Role) Rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleAuditor:
		return 2
	case RoleOperator:
		return 3
	case RoleAdmin:
		return 4
	}
	return 0
}

// Command statuses.
const (
	CommandPending    = "pending"
	CommandDispatched = "dispatched"
	CommandCompleted  = "completed"
	CommandFailed     = "failed"
	CommandTimeout    = "timeout"
	CommandCancelled  = "cancelled"
)

// UnknownTaskName is the name of a task nobody named yet.
const UnknownTaskName = "unknown"

// IsUnknownName reports whether an agent's task name says nothing: empty, "unknown", "<unknown>" or
// "<unknown:...>" (agent protocol, 8.3). Such a name never replaces a real one and is never interned.
func IsUnknownName(name string) bool {
	return name == "" || name == UnknownTaskName || name == "<unknown>" || strings.HasPrefix(name, "<unknown:")
}

// Micros cuts a time to the microseconds both databases keep, in UTC.
func Micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
