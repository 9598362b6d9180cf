// SPDX-License-Identifier: AGPL-3.0-or-later

package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
)

const (
	// interval is how often the coordinator looks, and leaseTime how long another replica waits before it takes over.
	interval, leaseTime = time.Second, 15 * time.Second
	// openAtOnce is how many requests one look takes up, sendsAtOnce how many tasks it sends in all.
	openAtOnce, sendsAtOnce = 50, 64
	// pendingAtOnce is how many waiting tasks are looked at: some may be of an engine that nobody serves at the moment.
	pendingAtOnce = 200
	// lease is the coordinator's name among leases.
	lease = "api.bulk_retry"
)

// Coordinator works off bulk retries. Of several replicas one does; a lost lease does no harm, because every step holds the
// request's row.
type Coordinator struct {
	store   *store.Store
	hints   Hints
	log     *slog.Logger
	timeout time.Duration
	holder  string
}

// NewCoordinator returns the coordinator of a replica. timeout is how long an agent may take for a task.
func NewCoordinator(s *store.Store, hints Hints, log *slog.Logger, timeout time.Duration) *Coordinator {
	return &Coordinator{store: s, hints: hints, log: log, timeout: timeout, holder: uuid.NewString()}
}

// Run looks every second until ctx ends.
func (c *Coordinator) Run(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	held := false
	for {
		select {
		case <-ctx.Done():
			if held {
				// Another replica takes over at once instead of when the lease ends.
				dropping, cancel := context.WithTimeout(context.WithoutCancel(ctx), interval)
				defer cancel()
				if err := c.store.DropLease(dropping, lease, c.holder); err != nil {
					c.log.Warn("lease not dropped", "lease", lease, "err", err)
				}
			}
			return nil
		case <-ticker.C:
		}
		var err error
		if held, err = c.Step(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("bulk retries not worked on", "err", err)
		}
	}
}

// Step looks once. held says whether this replica has the lease; it is taken only while there is something to do.
func (c *Coordinator) Step(ctx context.Context) (held bool, err error) {
	open, err := c.store.OpenBulkRetries(ctx, openAtOnce)
	if err != nil || len(open) == 0 {
		return false, err
	}
	if _, held, err = c.store.TakeLease(ctx, lease, c.holder, leaseTime); err != nil || !held {
		return false, err
	}
	return true, c.Work(ctx, open)
}

// Work takes up requests, whoever holds the lease.
func (c *Coordinator) Work(ctx context.Context, open []store.BulkRetry) error {
	budget := int64(sendsAtOnce)
	for i := range open {
		sent, err := c.work(ctx, open[i].ID, open[i].ProjectID, budget)
		if err != nil {
			return fmt.Errorf("work on bulk retry %s: %w", open[i].ID, err)
		}
		budget -= sent
	}
	return nil
}

// work settles what was answered and sends what may go, in one transaction.
func (c *Coordinator) work(ctx context.Context, id uuid.UUID, projectID, budget int64) (sent int64, err error) {
	project, err := c.store.ProjectByID(ctx, projectID)
	if err != nil {
		return 0, err
	}
	agents, err := offer.Load(ctx, c.store, projectID)
	if err != nil {
		return 0, err
	}
	told := map[int64]bool{}
	progressed := false
	err = c.store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		clear(told)
		sent, progressed = 0, false
		r, err := tx.LockBulkRetry(ctx, id)
		if err != nil {
			return err
		}
		settled, err := c.settle(ctx, tx, id)
		if err != nil {
			return err
		}
		progressed = settled > 0
		pending, err := tx.PendingBulkRetryChildren(ctx, id, pendingAtOnce)
		if err != nil {
			return err
		}
		if r.ControlState == store.BulkRetryRunning && len(pending) > 0 {
			if !c.store.Now().Before(r.DeadlineAt) {
				r.ControlState = store.BulkRetryBlocked
			} else if sent, err = c.send(ctx, tx, &sender{r: r, project: project, agents: agents, pending: pending, budget: budget, told: told}); err != nil {
				return err
			}
		}
		progressed = progressed || sent > 0
		_, err = tx.ProgressBulkRetry(ctx, r, progressed)
		return err
	})
	if err != nil {
		return 0, err
	}
	for agent := range told {
		c.hints.Publish(ctx, bus.AgentCommands(agent), nil)
	}
	if progressed {
		c.hints.Publish(ctx, bus.ProjectCommands(projectID), nil)
	}
	return sent, nil
}

// settle notes what became of the children on their way.
func (c *Coordinator) settle(ctx context.Context, tx *store.Tx, id uuid.UUID) (settled int, err error) {
	children, err := tx.SentBulkRetryChildren(ctx, id, openAtOnce)
	if err != nil {
		return 0, err
	}
	for _, child := range children {
		outcome, fault := outcomeOf(&child)
		if outcome == store.ChildUnobserved {
			continue
		}
		if err := tx.SettleBulkRetryChild(ctx, child, outcome, fault); err != nil {
			return settled, err
		}
		settled++
	}
	return settled, nil
}

// sender is what sending children of one request needs.
type sender struct {
	r       store.BulkRetry
	project store.Project
	agents  offer.Agents
	pending []store.BulkRetryChild
	budget  int64
	told    map[int64]bool
}

// send issues commands up to the request's window. Children whose engine nobody serves at the moment wait; the deadline
// ends the wait.
func (c *Coordinator) send(ctx context.Context, tx *store.Tx, s *sender) (sent int64, err error) {
	onTheirWay, err := tx.SentBulkRetryChildren(ctx, s.r.ID, s.r.MaxInFlight)
	if err != nil {
		return 0, err
	}
	room := min(s.r.MaxInFlight-int64(len(onTheirWay)), s.budget)
	for _, child := range s.pending {
		if sent >= room {
			break
		}
		i := slices.IndexFunc(s.agents.List, func(a store.Agent) bool { return s.agents.Live[a.ID] && fits(&a, child.Engine, s.r.AgentID) })
		if i < 0 {
			continue
		}
		ok, err := tx.SendBulkRetryChild(ctx, child, c.command(s, &child, &s.agents.List[i]))
		if err != nil {
			return sent, err
		}
		if ok {
			sent++
			s.told[s.agents.List[i].ID] = true
		}
	}
	return sent, nil
}

func (c *Coordinator) command(s *sender, child *store.BulkRetryChild, a *store.Agent) store.NewCommand {
	names, priorities := map[string]string{}, map[string]string{}
	if child.TaskName != "" && !domain.IsUnknownName(child.TaskName) {
		names[child.TaskID] = child.TaskName
	}
	if child.Priority != "" && child.Engine == "celery" {
		priorities[child.TaskID] = child.Priority
	}
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	return store.NewCommand{
		Agent:    store.AgentRef{ID: a.ID, ProjectID: s.project.ID, UID: a.UID, ProjectUID: s.project.UID},
		IssuedBy: s.r.IssuedBy, Action: "bulk_retry", TargetType: "bulk", TargetID: child.Engine + ":" + child.TaskID,
		Payload: map[string]any{"max": 1, "filter": map[string]any{
			"engine": child.Engine, "task_ids": []string{child.TaskID}, "task_names": names, "task_priorities": priorities,
		}},
		RequiredContract: store.RetryContract(child.Engine), Timeout: c.timeout, SourceIP: text(s.r.SourceIP), UserAgent: text(s.r.UserAgent),
	}
}

// outcomeOf reads a child's command. A command that ended without an answer may have been carried out.
func outcomeOf(child *store.SentBulkRetryChild) (outcome, fault string) {
	if child.Status == nil {
		return store.ChildUnknown, "the command is not stored any more"
	}
	told := ""
	if child.Error != nil {
		told = *child.Error
	}
	result := map[string]json.RawMessage{}
	if child.Result != nil && json.Unmarshal([]byte(*child.Result), &result) != nil {
		clear(result)
	}
	switch *child.Status {
	case domain.CommandPending, domain.CommandDispatched:
		return store.ChildUnobserved, ""
	case domain.CommandTimeout, domain.CommandCancelled:
		return store.ChildUnknown, told
	case domain.CommandFailed:
		if string(result["indeterminate"]) == "true" {
			return store.ChildUnknown, told
		}
		return store.ChildFailed, told
	}
	if amount(result["succeeded"])+amount(result["retried"]) > 0 {
		return store.ChildSucceeded, ""
	}
	if amount(result["failed"])+amount(result["skipped"]) > 0 {
		return store.ChildFailed, reason(result)
	}
	return store.ChildSucceeded, ""
}

// amount reads a number, or the length of a list.
func amount(raw json.RawMessage) int {
	var n int
	if json.Unmarshal(raw, &n) == nil {
		return n
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return len(list)
	}
	return 0
}

// reason is what an agent told of the one task that it did not retry.
func reason(result map[string]json.RawMessage) string {
	if failures := string(result["failures"]); failures != "" && failures != "null" && failures != "[]" && failures != "{}" {
		return failures
	}
	return "the agent did not retry the task: it is not stored any more, or its arguments are not"
}
