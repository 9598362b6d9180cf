// SPDX-License-Identifier: AGPL-3.0-or-later

// Package command holds the operations that order agents to do something, and those that show what became of it. An
// order is a row: it is checked, written together with its audit record, and left for agent-ingest to deliver.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// Hints tells other parts of the brain what changed.
type Hints interface {
	Publish(ctx context.Context, topic bus.Topic, payload []byte)
}

// Subscriber is what waiting for an answer needs of the bus.
type Subscriber interface {
	Subscribe(ctx context.Context, topics ...bus.Topic) (bus.Subscription, error)
}

// Config is what the operations work with.
type Config struct {
	Store *store.Store
	Hints Hints
	Bus   Subscriber
	// Secret is the master secret; the key of purge tokens comes from it.
	Secret []byte
	// BulkThrottle is the bucket that bulk actions of one address share.
	BulkThrottle *httpx.Throttle
	// Timeout is how long an agent may take, AnswerWait how long a call that needs the answer waits for it.
	Timeout, AnswerWait time.Duration
	// PageSize and MaxPageSize are the default and the largest page.
	PageSize, MaxPageSize int
}

type group struct{ cfg Config }

// Ops returns the operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg}
	const tag = "commands"
	ops := []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/commands", ID: "list_commands", Tag: tag, Action: auth.CommandRead,
		Summary: "List commands, newest first; viewers and auditors do not see who issued them, their payload and result",
		Access:  rest.Session, Query: ListQuery{}, Response: CommandListResponse{}, Status: http.StatusOK, Handle: g.list,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/commands/{command_id}", ID: "get_command", Tag: tag, Action: auth.CommandRead,
		Summary: "Show a command", Access: rest.Session, Response: CommandPublic{}, Status: http.StatusOK, Handle: g.detail,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/dead-letters", ID: "list_dead_letters", Tag: "dead-letters", Action: auth.DeadLetterRead,
		Summary: "Ask an agent for the dead letters of an engine", Access: rest.Session, Throttle: cfg.BulkThrottle, Query: DeadLetterQuery{},
		Response: DeadLetterPage{}, Status: http.StatusOK, Handle: g.deadLetters,
		Errors: []int{http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout},
	}}
	issue := func(path, id, summary string, action auth.Action, body any, handle func(*rest.Request) (any, error), more ...int) {
		ops = append(ops, rest.Op{
			Method: http.MethodPost, Path: "/projects/{slug}/commands/" + path, ID: id, Tag: tag, Summary: summary, Action: action,
			Access: rest.Session, Body: body, Response: CommandPublic{}, Status: http.StatusAccepted, Handle: handle,
			Errors: append([]int{http.StatusConflict, http.StatusServiceUnavailable}, more...),
		})
		switch action {
		case auth.CommandBulkRetry, auth.CommandPurgeQueue:
			ops[len(ops)-1].Throttle = cfg.BulkThrottle
		default:
		}
	}
	issue("retry-task", "retry_task", "Run a task again", auth.CommandRetryTask, RetryTaskRequest{}, g.retryTask)
	issue("cancel-task", "cancel_task", "Cancel a task", auth.CommandCancelTask, TaskRequest{}, g.cancelTask)
	issue("requeue-dead-letter", "requeue_dead_letter", "Put a dead letter back into its queue", auth.CommandRequeueDeadLetter, TaskRequest{}, g.requeue)
	issue("bulk-retry", "bulk_retry", "Run several tasks again", auth.CommandBulkRetry, BulkRetryRequest{}, g.bulkRetry,
		http.StatusBadRequest, http.StatusGone)
	issue("purge-queue", "purge_queue", "Empty a queue", auth.CommandPurgeQueue, PurgeQueueRequest{}, g.purgeQueue)
	issue("rate-limit", "rate_limit", "Limit how often a task runs", auth.CommandRateLimit, RateLimitRequest{}, g.rateLimit)
	issue("restart-worker", "restart_worker", "Restart a worker's pool", auth.CommandRestartWorker, RestartWorkerRequest{}, g.restartWorker)
	issue("pool-resize", "pool_resize", "Grow or shrink a worker's pool", auth.CommandPoolResize, PoolResizeRequest{}, g.poolResize)
	issue("add-consumer", "add_consumer", "Have a worker consume a queue", auth.CommandAddConsumer, ConsumerRequest{}, g.addConsumer)
	issue("cancel-consumer", "cancel_consumer", "Have a worker leave a queue", auth.CommandCancelConsumer, ConsumerRequest{}, g.cancelConsumer)
	return ops
}

// CommandPublic is a command.
type CommandPublic struct {
	ID           uuid.UUID       `json:"id"`
	ProjectID    uuid.UUID       `json:"project_id"`
	AgentID      *uuid.UUID      `json:"agent_id"`
	IssuedBy     *uuid.UUID      `json:"issued_by"`
	Action       string          `json:"action"`
	TargetType   string          `json:"target_type"`
	TargetID     *string         `json:"target_id"`
	Payload      json.RawMessage `json:"payload"`
	Status       string          `json:"status" validate:"oneof=pending|dispatched|completed|failed|timeout|cancelled"`
	Result       json.RawMessage `json:"result"`
	Error        *string         `json:"error"`
	IssuedAt     httpx.Time      `json:"issued_at"`
	DispatchedAt *httpx.Time     `json:"dispatched_at"`
	CompletedAt  *httpx.Time     `json:"completed_at"`
	TimeoutAt    httpx.Time      `json:"timeout_at"`

	AgentName  *string       `json:"agent_name"`
	Issuer     *IssuerPublic `json:"issuer" doc:"who issued it; null for the brain itself and for callers who may not know"`
	Target     *TargetPublic `json:"target" doc:"what the command acts on, as far as it has a page of its own"`
	DurationMS *int64        `json:"duration_ms" doc:"from issue to outcome; null while it is open"`
}

// IssuerPublic is who issued a command.
type IssuerPublic struct {
	ID    uuid.UUID `json:"id"`
	Name  string    `json:"name"`
	Email *string   `json:"email" doc:"null when the account is gone"`
}

// TargetPublic names what a command acts on by the ids of its page. Members that do not apply are null.
type TargetPublic struct {
	Kind     string     `json:"kind" validate:"oneof=task|queue|worker|name"`
	Engine   *string    `json:"engine"`
	TaskID   *string    `json:"task_id"`
	Queue    *string    `json:"queue"`
	Worker   *string    `json:"worker"`
	WorkerID *uuid.UUID `json:"worker_id"`
	Name     *string    `json:"name" doc:"of the task"`
}

// CommandListResponse is one page of commands.
type CommandListResponse struct {
	Items      []CommandPublic `json:"items"`
	NextCursor *string         `json:"next_cursor"`
}

// ListQuery are the parameters of the list.
type ListQuery struct {
	Status   string      `json:"status" doc:"one status; an unknown one is ignored"`
	Action   string      `json:"action" validate:"max=80"`
	TargetID string      `json:"target_id" validate:"max=300" doc:"as target_id of a command: engine:task_id of a task, the name of a queue or a worker"`
	From     *httpx.Time `json:"from" doc:"issued then or later"`
	To       *httpx.Time `json:"to" doc:"issued before"`
	Cursor   string      `json:"cursor"`
	Limit    int         `json:"limit" validate:"ge=1,le=5000"`
}

func (g *group) list(r *rest.Request) (any, error) {
	q := rest.Query[ListQuery](r)
	limit := g.cfg.PageSize
	if q.Limit > 0 {
		limit = min(q.Limit, g.cfg.MaxPageSize)
	}
	page := store.CommandPage{ProjectID: r.Project.ID, Action: q.Action, TargetID: q.TargetID, Limit: int64(limit) + 1}
	if slices.Contains([]string{
		domain.CommandPending, domain.CommandDispatched, domain.CommandCompleted, domain.CommandFailed,
		domain.CommandTimeout, domain.CommandCancelled,
	}, q.Status) {
		page.Status = q.Status
	}
	if q.From != nil && !q.From.IsZero() {
		since := domain.Micros(q.From.Time)
		page.Since = &since
	}
	if q.To != nil && !q.To.IsZero() {
		page.BeforeAt = domain.Micros(q.To.Time)
	}
	if c, ok := httpx.ParseCursor(q.Cursor); ok && !c.Null && c.Raw == nil {
		page.BeforeAt, page.BeforeID = domain.Micros(c.Time), c.ID
	}
	commands, err := g.cfg.Store.ListCommands(r.Context(), page)
	if err != nil {
		return nil, err
	}
	out := CommandListResponse{Items: []CommandPublic{}}
	if len(commands) > limit {
		commands = commands[:limit]
		last := &commands[limit-1]
		next := httpx.TimeCursor(&last.IssuedAt, last.ID)
		out.NextCursor = &next
	}
	known := newAround()
	for i := range commands {
		c, err := g.public(r, &commands[i], known)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, c)
	}
	return out, nil
}

func (g *group) detail(r *rest.Request) (any, error) {
	id := r.ID("command_id")
	c, err := g.cfg.Store.CommandByID(r.Context(), id)
	if errors.Is(err, domain.ErrNotFound) || err == nil && c.ProjectID != r.Project.ID {
		return nil, domain.Errorf(domain.CodeNotFound, "command not found").With("command_id", id.String())
	}
	if err != nil {
		return nil, fmt.Errorf("find command: %w", err)
	}
	return g.public(r, &c, newAround())
}

// public shows a command as the caller may see it. known remembers what is around commands during one answer.
func (g *group) public(r *rest.Request, c *store.Command, known *around) (CommandPublic, error) {
	out := CommandPublic{
		ID: c.ID, ProjectID: r.Project.UID, Action: c.Action, TargetType: c.TargetType, TargetID: c.TargetID, Payload: json.RawMessage("{}"),
		Status: c.Status, Error: c.Error, IssuedAt: httpx.NewTime(c.IssuedAt), DispatchedAt: httpx.TimePtr(c.DispatchedAt),
		CompletedAt: httpx.TimePtr(c.CompletedAt), TimeoutAt: httpx.NewTime(c.TimeoutAt),
	}
	if c.AgentID != nil {
		a, err := g.agentOf(r, *c.AgentID, known)
		if err != nil {
			return out, err
		}
		out.AgentID, out.AgentName = &a.uid, a.name
	}
	if c.CompletedAt != nil {
		ms := max(0, c.CompletedAt.Sub(c.IssuedAt).Milliseconds())
		out.DurationMS = &ms
	}
	var err error
	if out.Target, err = g.targetOf(r, c, known); err != nil {
		return out, err
	}
	if !r.Can(auth.CommandDetailRead) {
		return out, nil
	}
	out.IssuedBy = c.IssuedBy
	if c.IssuedBy != nil {
		if out.Issuer, err = g.issuerOf(r, *c.IssuedBy, known); err != nil {
			return out, err
		}
	}
	out.Payload = json.RawMessage(store.ScrubPayload(c.Action, c.Payload))
	if c.Result != nil && *c.Result != "" {
		out.Result = json.RawMessage(*c.Result)
	}
	return out, nil
}

// order is a command about to be issued.
type order struct {
	agent    store.Agent
	action   string
	target   string
	targetID string
	payload  map[string]any
	// request is the caller's body: what a repetition with the same idempotency key must repeat.
	request  any
	key      *string
	contract string
	timeout  time.Duration
	// also is one more audit record of the same transaction.
	also *domain.AuditEntry
}

// issue writes the command and says whether somebody is there to carry it out.
func (g *group) issue(r *rest.Request, o order) (any, error) {
	cmd, live, err := g.create(r, o)
	if err != nil {
		return nil, err
	}
	if !live && cmd.Status == domain.CommandPending {
		return nil, &domain.Error{
			Code: domain.CodeAgentOffline, Message: "agent is not connected; the command waits until its time limit in case it comes back",
			Details: map[string]any{"agent_id": o.agent.UID.String()},
		}
	}
	return g.public(r, &cmd, newAround())
}

// create writes the command with its audit record and tells whoever delivers it. live says that the agent has a connection.
func (g *group) create(r *rest.Request, o order) (cmd store.Command, live bool, err error) {
	n := store.NewCommand{
		Agent:  store.AgentRef{ID: o.agent.ID, ProjectID: r.Project.ID, UID: o.agent.UID, ProjectUID: r.Project.UID},
		Action: o.action, TargetType: o.target, TargetID: o.targetID, Payload: o.payload,
		RequiredContract: o.contract, Timeout: o.timeout, SourceIP: r.IP(), UserAgent: r.HTTP.UserAgent(),
	}
	if n.Timeout == 0 {
		n.Timeout = g.cfg.Timeout
	}
	if r.LoggedIn {
		n.IssuedBy = &r.User.ID
	}
	if o.key != nil {
		n.IdempotencyKey, n.HashPayload = *o.key, map[string]any{"request": o.request}
	}
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		var created bool
		if cmd, created, err = tx.CreateCommand(ctx, n); err != nil || !created || o.also == nil {
			return err
		}
		return tx.Audit(ctx, *o.also)
	})
	if err != nil {
		return cmd, false, err
	}
	if cmd.Status == domain.CommandPending {
		g.cfg.Hints.Publish(r.Context(), bus.AgentCommands(o.agent.ID), nil)
		g.cfg.Hints.Publish(r.Context(), bus.ProjectCommands(r.Project.ID), nil)
	}
	live, err = g.cfg.Store.AgentLive(r.Context(), o.agent.ID)
	return cmd, live, err
}
