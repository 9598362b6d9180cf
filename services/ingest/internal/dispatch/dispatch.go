// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dispatch delivers commands to connected agents and takes their answers (agent protocol, 7 and 9).
//
// A command is claimed in the database before it is sent, one at a time: whatever happens between the two,
// the command ends as timeout and is never sent twice unless its action bears that. Hints start a delivery
// at once; a poll every second makes up for lost ones.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/ingest/internal/hub"
)

// Config tunes delivery. Zero values take the defaults named.
type Config struct {
	// Owner names this replica in claims.
	Owner string
	// PollInterval is the pace at which lost hints are made up for (1 s), SendTimeout the limit of one send (5 s),
	// TimeoutInterval the pace of the sweep for overdue commands (5 s).
	PollInterval, SendTimeout, TimeoutInterval time.Duration
	// Parallel bounds the agents served at the same time (16).
	Parallel int
}

// maxDrain bounds the commands one delivery hands to an agent; the poll continues.
const maxDrain = 500

// Store is what delivery needs of the database.
type Store interface {
	AgentsWithPending(ctx context.Context, limit int64) ([]int64, error)
	ClaimCommands(ctx context.Context, p store.ClaimCommandsParams) ([]store.Command, error)
	RevertClaim(ctx context.Context, cmd store.Command) (bool, error)
	TimeoutCommands(ctx context.Context, limit int64) ([]store.Command, error)
	CommandByID(ctx context.Context, id uuid.UUID) (store.Command, error)
	ProjectByID(ctx context.Context, id int64) (store.Project, error)
	InTx(ctx context.Context, fn func(ctx context.Context, tx *store.Tx) error) error
}

// Hints tells other processes of changed commands.
type Hints interface {
	CommandChanged(ctx context.Context, projectID int64)
	TasksChanged(ctx context.Context, projectID int64)
}

// Outcomes is told of results that mean something to the brain itself (reconciliation).
type Outcomes interface {
	// Completed is called inside the transaction that ended the command; changed tells that a task changed.
	Completed(ctx context.Context, tx *store.Tx, cmd store.Command, res wire.CommandResult) (changed bool, err error)
}

// Deps are the dispatcher's collaborators. Outcomes may be nil.
type Deps struct {
	Store    Store
	Hub      *hub.Hub
	Hints    Hints
	Outcomes Outcomes
	Metrics  *Metrics
	Logger   *slog.Logger
	// Tracer makes a span of each delivery; nil makes none.
	Tracer trace.Tracer
}

// Dispatcher delivers commands to the sockets of one replica.
type Dispatcher struct {
	cfg      Config
	store    Store
	hub      *hub.Hub
	hints    Hints
	outcomes Outcomes
	metrics  *Metrics
	log      *slog.Logger
	tracer   trace.Tracer

	mu   sync.Mutex
	due  map[int64]bool // agents waiting for a delivery
	busy map[int64]bool // agents being served
	wake chan struct{}
	// labels are public ids of projects for the metrics.
	labels map[int64]string
}

// New returns a dispatcher; Run does its work.
func New(cfg Config, d Deps) *Dispatcher {
	def := func(v *time.Duration, to time.Duration) {
		if *v <= 0 {
			*v = to
		}
	}
	def(&cfg.PollInterval, time.Second)
	def(&cfg.SendTimeout, 5*time.Second)
	def(&cfg.TimeoutInterval, 5*time.Second)
	if cfg.Parallel <= 0 {
		cfg.Parallel = 16
	}
	return &Dispatcher{
		cfg: cfg, store: d.Store, hub: d.Hub, hints: d.Hints, outcomes: d.Outcomes, metrics: d.Metrics, log: d.Logger, tracer: d.Tracer,
		due: make(map[int64]bool), busy: make(map[int64]bool), wake: make(chan struct{}, 1),
		labels: make(map[int64]string),
	}
}

// Connected asks for a delivery to an agent: it connected, or a hint says that a command waits. It returns at once.
func (d *Dispatcher) Connected(agentID int64) {
	d.mu.Lock()
	d.due[agentID] = true
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends; deliveries under way are finished.
func (d *Dispatcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, d.cfg.Parallel)
	poll := time.NewTicker(d.cfg.PollInterval)
	defer poll.Stop()
	sweep := time.NewTicker(d.cfg.TimeoutInterval)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-poll.C:
			d.poll(ctx)
		case <-sweep.C:
			d.sweep(ctx)
		}
		for _, agent := range d.take() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			wg.Go(func() {
				defer func() { <-slots }()
				d.serve(ctx, agent)
			})
		}
	}
}

// take moves the due agents that are connected here and not being served to busy.
func (d *Dispatcher) take() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var agents []int64
	for id := range d.due {
		if d.busy[id] {
			continue // served again when its delivery ends
		}
		if d.hub.Connected(id) {
			d.busy[id] = true
			agents = append(agents, id)
		}
		delete(d.due, id)
	}
	return agents
}

func (d *Dispatcher) poll(ctx context.Context) {
	if d.hub.Len() == 0 {
		return
	}
	agents, err := d.store.AgentsWithPending(ctx, 10_000)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("pending commands not polled", "err", err)
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range agents {
		if d.hub.Connected(id) {
			d.due[id] = true
		}
	}
}

// serve hands an agent its pending commands, oldest first.
func (d *Dispatcher) serve(ctx context.Context, agent int64) {
	defer func() {
		d.mu.Lock()
		delete(d.busy, agent)
		again := d.due[agent]
		d.mu.Unlock()
		if again {
			d.Connected(agent)
		}
	}()
	sent := 0
	// The first registered slot takes what it can; a later one only what needs a contract that all before it lack.
	var covered []string
	for i, slot := range d.hub.Slots(agent) {
		contracts := slices.DeleteFunc(slices.Clone(slot.Contracts()), func(c string) bool { return slices.Contains(covered, c) })
		if i > 0 && len(contracts) == 0 {
			continue
		}
		covered = append(covered, contracts...)
		for sent < maxDrain && ctx.Err() == nil {
			more, err := d.deliver(ctx, slot, contracts, i > 0)
			if err != nil {
				d.log.Warn("command not delivered", "agent_id", slot.Agent().UID.String(), "worker_id", slot.WorkerID(), "err", err)
				break
			}
			if !more {
				break
			}
			sent++
		}
	}
}

// deliver claims and sends one command; false when there is none for this slot, or the slot is no good.
func (d *Dispatcher) deliver(ctx context.Context, slot hub.Slot, contracts []string, contractsOnly bool) (bool, error) {
	begun := time.Now()
	claimed, err := d.store.ClaimCommands(ctx, store.ClaimCommandsParams{
		AgentID: slot.Agent().ID, Owner: d.cfg.Owner, Worker: slot.WorkerID(),
		Contracts: contracts, ContractsOnly: contractsOnly, Limit: 1,
	})
	if err != nil || len(claimed) == 0 {
		return false, err
	}
	cmd := claimed[0]
	ctx, span := obs.Start(ctx, d.tracer, "deliver command", trace.WithTimestamp(begun))
	err = d.send(ctx, slot, cmd)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("z4j.command.action", cmd.Action), attribute.String("z4j.command.id", cmd.ID.String()),
			attribute.Float64("z4j.command.waited_seconds", begun.Sub(cmd.IssuedAt).Seconds()))
	}
	obs.End(span, err)
	return err == nil, nil
}

// send gives a claimed command to the slot; when that fails, it is told and dealt with already.
func (d *Dispatcher) send(ctx context.Context, slot hub.Slot, cmd store.Command) error {
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.SendTimeout)
	defer cancel()
	if err := slot.SendCommand(sendCtx, hub.Command{ID: cmd.ID, Payload: Payload(cmd)}); err != nil {
		d.metrics.sendFailures.Inc()
		reverted, rerr := d.store.RevertClaim(context.WithoutCancel(ctx), cmd)
		d.log.WarnContext(ctx, "command could not be sent", "command", cmd.ID.String(), "action", cmd.Action, "reverted", reverted, "err", errors.Join(err, rerr))
		d.hints.CommandChanged(ctx, cmd.ProjectID)
		return err
	}
	d.metrics.sent.Inc()
	d.hints.CommandChanged(ctx, cmd.ProjectID)
	return nil
}

// Payload is the payload of a command's frame.
func Payload(cmd store.Command) []byte {
	c := wire.Command{
		Action: cmd.Action, Parameters: []byte(cmd.Payload), TimeoutSeconds: int(min(max(cmd.TimeoutSeconds, 1), 3600)),
	}
	c.Target = wire.AppendTarget(nil, cmd.TargetType, store.WireTargetID(cmd), c.Parameters)
	if cmd.IssuedBy != nil {
		c.IssuedBy = cmd.IssuedBy.String()
	}
	if cmd.DeliveryClaimToken != nil {
		c.DeliveryClaimToken = cmd.DeliveryClaimToken.String()
	}
	return c.AppendPayload(nil)
}

// sweep ends overdue commands. Every replica does it; a row ends once.
func (d *Dispatcher) sweep(ctx context.Context) {
	ended, err := d.store.TimeoutCommands(ctx, 500)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("overdue commands not swept", "err", err)
		}
		return
	}
	projects := make(map[int64]bool)
	for _, c := range ended {
		projects[c.ProjectID] = true
		d.count(ctx, c)
		d.log.Info("command timed out", "command", c.ID.String(), "action", c.Action)
	}
	for id := range projects {
		d.hints.CommandChanged(ctx, id)
	}
}

// count notes the end of a command under its project's public id.
func (d *Dispatcher) count(ctx context.Context, cmd store.Command) {
	d.mu.Lock()
	label, ok := d.labels[cmd.ProjectID]
	d.mu.Unlock()
	if !ok {
		label = "unknown"
		if p, err := d.store.ProjectByID(ctx, cmd.ProjectID); err == nil {
			label = p.UID.String()
			d.mu.Lock()
			d.labels[cmd.ProjectID] = label
			d.mu.Unlock()
		}
	}
	d.metrics.ended.WithLabelValues(label, cmd.Action, cmd.Status).Inc()
}

// Ack applies a command_ack. Unknown commands, and those of other agents, are ignored.
func (d *Dispatcher) Ack(ctx context.Context, ref store.AgentRef, id uuid.UUID, _ wire.CommandAck) error {
	cmd, ours, err := d.open(ctx, ref, id)
	if err != nil || !ours || cmd.Status != domain.CommandPending {
		// Delivered commands are dispatched before they are sent: there is nothing to write, as a rule.
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.AckCommand(ctx, ref.ID, id) })
	if err == nil {
		d.hints.CommandChanged(ctx, ref.ProjectID)
	}
	return err
}

// Result applies a command_result. Late ones, and those of commands that are not the agent's, are ignored.
func (d *Dispatcher) Result(ctx context.Context, ref store.AgentRef, id uuid.UUID, res wire.CommandResult) error {
	cmd, ours, err := d.open(ctx, ref, id)
	if err != nil || !ours {
		return err
	}
	if ended(cmd.Status) {
		d.metrics.late.WithLabelValues(cmd.Status).Inc()
		return nil
	}
	applied, changed := false, false
	err = d.store.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		cmd, applied, err = tx.CompleteCommand(ctx, store.CommandOutcome{
			ID: id, Agent: ref, Success: res.Status == wire.ResultSuccess, Result: string(res.Result),
			// PostgreSQL's texts hold no NUL.
			Error: strings.ReplaceAll(res.Error, "\x00", ""),
		})
		if err != nil || !applied || d.outcomes == nil {
			return err
		}
		changed, err = d.outcomes.Completed(ctx, tx, cmd, res)
		return err
	})
	if err != nil || !applied {
		return err
	}
	d.count(ctx, cmd)
	d.hints.CommandChanged(ctx, ref.ProjectID)
	if changed {
		d.hints.TasksChanged(ctx, ref.ProjectID)
	}
	return nil
}

// open reads a command through the read pool first: frames about commands that do not exist must not cost a write.
func (d *Dispatcher) open(ctx context.Context, ref store.AgentRef, id uuid.UUID) (cmd store.Command, ours bool, err error) {
	cmd, err = d.store.CommandByID(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return cmd, false, nil
	}
	if err != nil {
		return cmd, false, err
	}
	return cmd, cmd.AgentID != nil && *cmd.AgentID == ref.ID && cmd.ProjectID == ref.ProjectID, nil
}

func ended(status string) bool {
	return status != domain.CommandPending && status != domain.CommandDispatched
}
