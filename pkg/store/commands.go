// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// TimeoutMessage is the error of a command whose agent never answered.
const TimeoutMessage = "command timed out before agent responded"

// maxCommandError is the longest error kept of an agent's answer, in characters.
const maxCommandError = 1024

// ErrIdempotencyKey says that the project used the key for a different command.
var ErrIdempotencyKey = &domain.Error{
	Code:    domain.CodeConflict,
	Message: "idempotency_key already in use for a different command",
}

// RetryContract is the required contract of commands that retry a task by reference: only a session
// whose adapter for engine advertised it may get them. Ingest passes the same text to ClaimCommands.
func RetryContract(engine string) string { return "retry_by_reference_v1:" + engine }

// RedeliverableAction reports whether a command may reach its agent twice without harm. Only such a
// command goes back to pending when its delivery fails (agent protocol, 7).
func RedeliverableAction(action string) bool {
	switch action {
	case "schedule.fire", "schedule.trigger_now", "schedule.trigger_now.via_scheduler", "cancel_task",
		"reconcile_task", "schedule.resync", "schedule.enable", "schedule.disable":
		return true
	}
	return false
}

// NewCommand holds the fields of CreateCommand.
type NewCommand struct {
	// ID is minted when it is zero.
	ID       uuid.UUID
	Agent    AgentRef
	IssuedBy *uuid.UUID
	Action   string
	// TargetType and TargetID name what the command acts on; an empty TargetID is none.
	TargetType, TargetID string
	// Payload becomes the frame's parameters.
	Payload map[string]any
	// HashPayload is what an idempotent repetition must repeat beside action and target: what the caller said, without
	// what the brain adds. nil means the agent and Payload.
	HashPayload map[string]any
	// IdempotencyKey is empty when there is none.
	IdempotencyKey string
	// RequiredContract restricts the sessions that may carry the command (RetryContract); empty: any.
	RequiredContract string
	// Timeout runs from now, and anew from the delivery.
	Timeout time.Duration
	// SourceIP, UserAgent and APIKeyID go to the audit record.
	SourceIP, UserAgent string
	APIKeyID            uuid.UUID
}

// CreateCommand adds a pending command and its audit record. created is false when the idempotency key
// brought back an earlier row of the same request; another request with the key gives ErrIdempotencyKey.
func (tx *Tx) CreateCommand(ctx context.Context, n NewCommand) (cmd Command, created bool, err error) {
	if n.ID == uuid.Nil {
		n.ID = uuid.New()
	}
	payload, err := json.Marshal(n.Payload)
	if err != nil {
		return Command{}, false, fmt.Errorf("encode payload of %s: %w", n.Action, err)
	}
	hash, err := n.requestHash()
	if err != nil {
		return Command{}, false, err
	}
	now := tx.s.Now()
	cmd, err = tx.s.q.InsertCommand(ctx, tx.db, db.InsertCommandParams{
		ID: n.ID, ProjectID: n.Agent.ProjectID, AgentID: &n.Agent.ID, IssuedBy: n.IssuedBy, Action: n.Action,
		TargetType: n.TargetType, TargetID: optional(n.TargetID), Payload: string(payload), RequestHash: hash,
		IdempotencyKey: optional(n.IdempotencyKey), SourceIP: optional(n.SourceIP),
		RequiredContract: optional(n.RequiredContract), Now: now, TimeoutAt: now.Add(n.Timeout),
		TimeoutSeconds: int64(n.Timeout / time.Second),
	})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		cmd, err = tx.s.q.CommandByKey(ctx, tx.db, db.CommandByKeyParams{ProjectID: n.Agent.ProjectID, IdempotencyKey: &n.IdempotencyKey})
		if err = tx.s.err(err); err != nil {
			return Command{}, false, fmt.Errorf("find command by idempotency key: %w", err)
		}
		if cmd.RequestHash != hash {
			return Command{}, false, ErrIdempotencyKey.With("idempotency_key", n.IdempotencyKey)
		}
		return cmd, false, nil
	}
	if err != nil {
		return Command{}, false, fmt.Errorf("create command %s: %w", n.Action, err)
	}
	entry := domain.AuditEntry{
		Action: "command.issue." + n.Action, TargetType: n.TargetType, TargetID: n.TargetID, Result: domain.ResultSuccess,
		ProjectUID: n.Agent.ProjectUID, APIKeyID: n.APIKeyID, SourceIP: n.SourceIP, UserAgent: n.UserAgent,
		Metadata: map[string]any{"command_id": n.ID.String(), "agent_id": n.Agent.UID.String()},
	}
	if n.IssuedBy != nil {
		entry.UserID = *n.IssuedBy
	}
	return cmd, true, tx.Audit(ctx, entry)
}

func (n NewCommand) requestHash() (string, error) {
	what := []any{n.Action, n.TargetType, n.TargetID, n.HashPayload}
	if n.HashPayload == nil {
		what = []any{n.Action, n.TargetType, n.TargetID, n.Agent.UID, n.Payload}
	}
	// Maps are encoded with sorted keys, so equal requests give equal texts.
	text, err := json.Marshal(what)
	if err != nil {
		return "", fmt.Errorf("encode request of %s: %w", n.Action, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// CommandByID returns a command of any project; domain.ErrNotFound when there is none.
func (s *Store) CommandByID(ctx context.Context, id uuid.UUID) (Command, error) {
	c, err := s.q.CommandByID(ctx, s.eng.read(), db.CommandByIDParams{ID: id})
	return c, s.err(err)
}

// CommandPage says which commands ListCommands returns.
type CommandPage struct {
	ProjectID int64
	// Status, Action and TargetID filter when not empty.
	Status, Action, TargetID string
	// Since is the earliest time of issue, if any.
	Since *time.Time
	// BeforeAt and BeforeID continue behind a row; a zero BeforeAt starts with the newest.
	BeforeAt time.Time
	BeforeID uuid.UUID
	Limit    int64
}

// ListCommands returns a project's commands, newest first.
func (s *Store) ListCommands(ctx context.Context, p CommandPage) ([]Command, error) {
	if p.BeforeAt.IsZero() {
		p.BeforeAt, p.BeforeID = farFuture(), uuid.Max
	}
	var cs []Command
	var err error
	if p.TargetID != "" {
		cs, err = s.q.ListCommandsOfTarget(ctx, s.eng.read(), db.ListCommandsOfTargetParams{
			ProjectID: p.ProjectID, TargetID: &p.TargetID, BeforeAt: p.BeforeAt, BeforeID: p.BeforeID, Status: optional(p.Status),
			Action: optional(p.Action), Since: p.Since, MaxRows: p.Limit,
		})
	} else {
		cs, err = s.q.ListCommands(ctx, s.eng.read(), db.ListCommandsParams{
			ProjectID: p.ProjectID, BeforeAt: p.BeforeAt, BeforeID: p.BeforeID, Status: optional(p.Status), Action: optional(p.Action),
			Since: p.Since, MaxRows: p.Limit,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list commands: %w", s.err(err))
	}
	return cs, nil
}

// farFuture is later than every time the store holds.
func farFuture() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// AgentsWithPending returns the inner keys of agents that have a command to fetch, for the poll that
// makes up for lost hints.
func (s *Store) AgentsWithPending(ctx context.Context, limit int64) ([]int64, error) {
	ids, err := s.q.AgentsWithPending(ctx, s.eng.read(), db.AgentsWithPendingParams{Now: s.Now(), MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("find agents with pending commands: %w", s.err(err))
	}
	out := make([]int64, 0, len(ids))
	for _, id := range ids {
		if id != nil {
			out = append(out, *id)
		}
	}
	return out, nil
}

// ClaimCommandsParams says who claims what.
type ClaimCommandsParams struct {
	AgentID int64
	// Owner is the replica, Worker the slot that will carry the commands.
	Owner, Worker string
	// Contracts are the required contracts the slot satisfies (RetryContract for each engine).
	Contracts []string
	// ContractsOnly leaves commands that require no contract to another slot.
	ContractsOnly bool
	// RedeliverAfter and RedeliverUntil, when set, also hand out redeliverable commands that were
	// dispatched that long ago: a long-poll answer may be lost without anybody noticing.
	RedeliverAfter, RedeliverUntil time.Duration
	Limit                          int64
}

// ClaimCommands marks an agent's deliverable commands as dispatched, oldest first, and returns them with their
// claim tokens. On PostgreSQL rows that another replica claims at this moment are skipped.
func (s *Store) ClaimCommands(ctx context.Context, p ClaimCommandsParams) ([]Command, error) {
	var claimed []Command
	err := s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		claimed = nil
		now := tx.s.Now()
		found, err := tx.claimable(ctx, p, now)
		if err != nil {
			return err
		}
		for _, c := range found {
			token := uuid.New()
			cmd, err := tx.s.q.MarkDispatched(ctx, tx.db, db.MarkDispatchedParams{
				ID: c.id, Now: &now, TimeoutAt: now.Add(time.Duration(c.timeout) * time.Second),
				ClaimedBy: optional(p.Owner), ClaimedWorker: &p.Worker, DeliveryClaimToken: &token,
			})
			if err != nil {
				return err
			}
			claimed = append(claimed, cmd)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim commands of agent %d: %w", p.AgentID, s.err(err))
	}
	return claimed, nil
}

type claimable struct {
	id      uuid.UUID
	timeout int64
}

// claimable finds and, on PostgreSQL, locks the rows to claim.
func (tx *Tx) claimable(ctx context.Context, p ClaimCommandsParams, now time.Time) ([]claimable, error) {
	args := []any{p.AgentID, now}
	param := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	state := "status = 'pending'"
	if p.RedeliverUntil > 0 {
		var actions []string
		for _, a := range []string{
			"cancel_task", "reconcile_task", "schedule.fire", "schedule.trigger_now",
			"schedule.trigger_now.via_scheduler", "schedule.resync", "schedule.enable", "schedule.disable",
		} {
			actions = append(actions, param(a))
		}
		state = "(" + state + " OR (status = 'dispatched' AND action IN (" + strings.Join(actions, ", ") +
			") AND dispatched_at <= " + param(now.Add(-p.RedeliverAfter)) + " AND dispatched_at >= " + param(now.Add(-p.RedeliverUntil)) + "))"
	}
	contract := "required_contract IS NULL"
	if len(p.Contracts) > 0 {
		var list []string
		for _, c := range p.Contracts {
			list = append(list, param(c))
		}
		in := "required_contract IN (" + strings.Join(list, ", ") + ")"
		contract = "(" + contract + " OR " + in + ")"
		if p.ContractsOnly {
			contract = in
		}
	}
	query := "SELECT id, timeout_seconds FROM commands WHERE agent_id = $1 AND status IN ('pending', 'dispatched')" +
		" AND timeout_at > $2 AND " + state + " AND " + contract +
		" ORDER BY issued_at, id LIMIT " + param(max(p.Limit, 1)) + tx.s.eng.skipLocked()
	rows, err := tx.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []claimable
	for rows.Next() {
		var c claimable
		if err := rows.Scan(&c.id, &c.timeout); err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// RevertClaim puts a command whose delivery failed back to pending, when that is safe (RedeliverableAction)
// and nobody claimed it since. reverted is false otherwise; the command then ends by its time limit.
func (s *Store) RevertClaim(ctx context.Context, cmd Command) (reverted bool, err error) {
	if !RedeliverableAction(cmd.Action) || cmd.DeliveryClaimToken == nil {
		return false, nil
	}
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.s.q.RevertClaim(ctx, tx.db, db.RevertClaimParams{ID: cmd.ID, DeliveryClaimToken: cmd.DeliveryClaimToken})
		reverted = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("revert claim of command %s: %w", cmd.ID, err)
	}
	return reverted, nil
}

// AckCommand notes an agent's command_ack: a command still pending becomes dispatched.
func (tx *Tx) AckCommand(ctx context.Context, agentID int64, id uuid.UUID) error {
	now := tx.s.Now()
	if _, err := tx.s.q.AckCommand(ctx, tx.db, db.AckCommandParams{Now: &now, ID: id, AgentID: &agentID}); err != nil {
		return fmt.Errorf("acknowledge command %s: %w", id, tx.s.err(err))
	}
	return nil
}

// CommandOutcome is an agent's answer to a command.
type CommandOutcome struct {
	ID    uuid.UUID
	Agent AgentRef
	// Success chooses between completed and failed.
	Success bool
	// Result is JSON, empty for none.
	Result string
	// Error is cut to 1024 characters.
	Error string
}

// CompleteCommand ends a command with its agent's answer and writes the audit record. applied is false, without an
// error, when the command is unknown, belongs to another agent or project, or has already ended.
func (tx *Tx) CompleteCommand(ctx context.Context, o CommandOutcome) (cmd Command, applied bool, err error) {
	cmd, err = tx.s.q.CommandByID(ctx, tx.db, db.CommandByIDParams{ID: o.ID})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		return Command{}, false, nil
	}
	if err != nil {
		return Command{}, false, fmt.Errorf("read command %s: %w", o.ID, err)
	}
	status := domain.CommandFailed
	if o.Success {
		status = domain.CommandCompleted
	}
	now := tx.s.Now()
	cmd, err = tx.s.q.CompleteCommand(ctx, tx.db, db.CompleteCommandParams{
		ID: o.ID, AgentID: &o.Agent.ID, ProjectID: o.Agent.ProjectID, Status: status, Now: &now,
		Result: optional(o.Result), Error: optional(cutText(o.Error, maxCommandError)), Payload: ScrubPayload(cmd.Action, cmd.Payload),
	})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		return Command{}, false, nil
	}
	if err != nil {
		return Command{}, false, fmt.Errorf("complete command %s: %w", o.ID, err)
	}
	result := domain.ResultFailed
	if o.Success {
		result = domain.ResultSuccess
	}
	return cmd, true, tx.auditEnd(ctx, cmd, o.Agent.UID, o.Agent.ProjectUID, result)
}

// auditEnd records that a command reached its end.
func (tx *Tx) auditEnd(ctx context.Context, cmd Command, agent, project uuid.UUID, result string) error {
	meta := map[string]any{"command_id": cmd.ID.String(), "agent_id": agent.String(), "action": cmd.Action, "error": nil}
	if cmd.Error != nil {
		meta["error"] = *cmd.Error
	}
	entry := domain.AuditEntry{
		Action: "command.completed", TargetType: cmd.TargetType, Result: result, ProjectUID: project, Metadata: meta,
	}
	if cmd.TargetID != nil {
		entry.TargetID = *cmd.TargetID
	}
	return tx.Audit(ctx, entry)
}

// TimeoutCommands ends up to limit commands whose time is over, with an audit record each, and returns them.
func (s *Store) TimeoutCommands(ctx context.Context, limit int64) ([]Command, error) {
	overdue, err := s.q.OverdueCommands(ctx, s.eng.read(), db.OverdueCommandsParams{Now: s.Now(), MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("find overdue commands: %w", s.err(err))
	}
	if len(overdue) == 0 {
		return nil, nil
	}
	var ended []Command
	err = s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		ended = nil
		now := tx.s.Now()
		message := TimeoutMessage
		for _, c := range overdue {
			cmd, err := tx.s.q.TimeoutCommand(ctx, tx.db, db.TimeoutCommandParams{
				ID: c.ID, Now: &now, Error: &message, Payload: ScrubPayload(c.Action, c.Payload),
			})
			if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
				continue // answered in the meantime
			}
			if err != nil {
				return err
			}
			ids, err := tx.s.q.CommandOwner(ctx, tx.db, db.CommandOwnerParams{ID: c.ID})
			if err != nil {
				return err
			}
			if err := tx.auditEnd(ctx, cmd, ids.AgentUID, ids.ProjectUID, domain.CommandTimeout); err != nil {
				return err
			}
			ended = append(ended, cmd)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("time out commands: %w", s.err(err))
	}
	return ended, nil
}

// RedactedToken stands where a purge token was.
const RedactedToken = "<redacted>"

// ScrubPayload puts RedactedToken in place of the purge token in a command's payload. Ended commands are stored so:
// nobody needs the token any more.
func ScrubPayload(action, payload string) string {
	if action != "purge_queue" {
		return payload
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(payload), &members) != nil {
		return "{}"
	}
	members["confirm_token"] = json.RawMessage(`"` + RedactedToken + `"`)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(members) != nil {
		return "{}"
	}
	return strings.TrimSpace(out.String())
}

// cutText returns the first n characters of text.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// WireTargetID is the target id that goes into a command's frame. It is the row's own but for a rate limit of all workers:
// an agent that is told no worker takes the target for one, so there it must be empty. The target of a bulk retry of
// one task is for the brain's own lists.
func WireTargetID(cmd Command) string {
	if cmd.TargetID == nil || cmd.TargetType == "bulk" {
		return ""
	}
	if cmd.Action == "rate_limit" {
		var p struct {
			Worker *string `json:"worker_name"`
		}
		if json.Unmarshal([]byte(cmd.Payload), &p) == nil && (p.Worker == nil || *p.Worker == "") {
			return ""
		}
	}
	return *cmd.TargetID
}

// SubmitTask is a task to be queued by an agent on the brain's own account.
type SubmitTask struct {
	Engine, Name string
	Args         []any
	Kwargs       map[string]any
	// Queue is the engine's default when empty.
	Queue string
}

// NewSubmitTask is the command that has an agent queue a task. The target is what the task is queued for, such as
// a schedule and its id.
func NewSubmitTask(agent AgentRef, targetType, targetID string, t SubmitTask, timeout time.Duration) NewCommand {
	if t.Args == nil {
		t.Args = []any{}
	}
	if t.Kwargs == nil {
		t.Kwargs = map[string]any{}
	}
	payload := map[string]any{
		"engine": t.Engine, "name": t.Name, "args": t.Args, "kwargs": t.Kwargs, "queue": nil, "filter": map[string]any{"engine": t.Engine},
	}
	if t.Queue != "" {
		payload["queue"] = t.Queue
	}
	return NewCommand{Agent: agent, Action: "submit_task", TargetType: targetType, TargetID: targetID, Payload: payload, Timeout: timeout}
}

// CountOpenCommands counts an agent's commands that are pending or dispatched.
func (s *Store) CountOpenCommands(ctx context.Context, agentID int64) (int64, error) {
	n, err := s.q.CountOpenCommands(ctx, s.eng.read(), db.CountOpenCommandsParams{AgentID: &agentID})
	if err != nil {
		return 0, fmt.Errorf("count open commands: %w", s.err(err))
	}
	return n, nil
}
