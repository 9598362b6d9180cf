// SPDX-License-Identifier: AGPL-3.0-or-later

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/bus"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// DeadLetterEntry is a dead letter as the agent reports it.
type DeadLetterEntry struct {
	TaskID       string      `json:"task_id"`
	TaskName     string      `json:"task_name"`
	Queue        string      `json:"queue"`
	FailedAt     *httpx.Time `json:"failed_at"`
	ErrorExcerpt string      `json:"error_excerpt"`
	Attempts     *int64      `json:"attempts"`
}

// DeadLetterPage is one page of dead letters.
type DeadLetterPage struct {
	Entries    []DeadLetterEntry `json:"entries"`
	NextCursor *string           `json:"next_cursor"`
	Total      *int64            `json:"total"`
	Engine     string            `json:"engine"`
}

// DeadLetterQuery are the parameters of the listing.
type DeadLetterQuery struct {
	Engine string `json:"engine" validate:"required,min=1,max=40"`
	Queue  string `json:"queue" validate:"max=200"`
	Limit  int64  `json:"limit" default:"100" validate:"ge=1,le=200"`
	Cursor string `json:"cursor" validate:"max=200" pattern:"^[ -~]*$"`
}

// agentAdvert tells why an agent was not asked.
type agentAdvert struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	Engines           []string `json:"engines"`
	Advertises        []string `json:"advertises"`
	InventoryReported bool     `json:"inventory_reported"`
}

// deadLetters asks a connected agent and waits for its answer: dead letters live in the broker, not here.
func (g *group) deadLetters(r *rest.Request) (any, error) {
	q := rest.Query[DeadLetterQuery](r)
	a, err := g.deadLetterAgent(r, q.Engine)
	if err != nil {
		return nil, err
	}
	payload := map[string]any{"engine": q.Engine, "queue": nil, "limit": q.Limit, "cursor": nil}
	if q.Queue != "" {
		payload["queue"] = q.Queue
	}
	if q.Cursor != "" {
		payload["cursor"] = q.Cursor
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.AnswerWait)
	defer cancel()
	// Subscribed before the command exists, so that its end can't be missed; it is polled as well.
	sub, err := g.cfg.Bus.Subscribe(ctx, bus.ProjectCommands(r.Project.ID))
	if err != nil {
		return nil, fmt.Errorf("wait for the answer: %w", err)
	}
	defer sub.Close()
	entry := r.Audit("dead_letters.list", "queue", q.Queue)
	entry.Metadata = map[string]any{"engine": q.Engine}
	cmd, _, err := g.create(r, order{
		agent: a, action: "dlq.list", target: "queue", targetID: q.Queue, payload: payload, timeout: g.cfg.AnswerWait, also: &entry,
	})
	if err != nil {
		return nil, err
	}
	cmd, err = g.wait(ctx, sub, cmd)
	if err != nil {
		return nil, err
	}
	return deadLetterAnswer(&a, q, &cmd, g.cfg.AnswerWait)
}

// deadLetterAgent chooses a connected agent that lists dead letters of the engine.
func (g *group) deadLetterAgent(r *rest.Request, engine string) (store.Agent, error) {
	agents, err := g.cfg.Store.Agents(r.Context(), r.Project.ID, maxAgents)
	if err != nil {
		return store.Agent{}, fmt.Errorf("list agents: %w", err)
	}
	live, err := g.cfg.Store.LiveAgents(r.Context(), r.Project.ID)
	if err != nil {
		return store.Agent{}, err
	}
	adverts := []agentAdvert{}
	for _, a := range agents {
		if !live[a.ID] {
			continue
		}
		inv := offer.InventoryOf(&a)
		if inv.Reported && inv.Allows(engine, canListDeadLetters) {
			return a, nil
		}
		adverts = append(adverts, agentAdvert{
			ID: a.UID.String(), Name: a.Name, Engines: orEmpty(inv.Engines), Advertises: orEmpty(slices.Sorted(slices.Values(inv.Capabilities[engine]))),
			InventoryReported: inv.Reported,
		})
	}
	return store.Agent{}, refuse(http.StatusConflict, domain.CodeConflict,
		fmt.Sprintf("no online agent advertises '%s' for engine '%s'", canListDeadLetters, engine),
		map[string]any{"engine": engine, "capability": canListDeadLetters, "agents": adverts})
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// answerPoll is the pace at which a lost hint is made up for.
const answerPoll = 500 * time.Millisecond

// wait returns the command when it has ended, or as it is when ctx does.
func (g *group) wait(ctx context.Context, sub bus.Subscription, cmd store.Command) (store.Command, error) {
	poll := time.NewTicker(answerPoll)
	defer poll.Stop()
	hints := sub.C()
	for cmd.Status == domain.CommandPending || cmd.Status == domain.CommandDispatched {
		select {
		case <-ctx.Done():
			return cmd, nil
		case <-poll.C:
		case _, ok := <-hints:
			if !ok {
				hints = nil
			}
		}
		now, err := g.cfg.Store.CommandByID(ctx, cmd.ID)
		if ctx.Err() != nil {
			return cmd, nil
		}
		if err != nil {
			return cmd, fmt.Errorf("look for the answer: %w", err)
		}
		cmd = now
	}
	return cmd, nil
}

// deadLetterAnswer turns the ended command into the answer.
func deadLetterAnswer(a *store.Agent, q *DeadLetterQuery, cmd *store.Command, waited time.Duration) (any, error) {
	detail := map[string]any{"command_id": cmd.ID.String(), "engine": q.Engine}
	switch cmd.Status {
	case domain.CommandCompleted:
		page, ok := readDeadLetters(cmd.Result)
		if ok {
			page.Engine = q.Engine
			return page, nil
		}
		return nil, refuse(http.StatusBadGateway, httpx.CodeAdapter, "agent '"+a.Name+"' answered with something that is no list of dead letters; upgrade its z4j packages", detail)
	case domain.CommandFailed:
		message := "the agent could not list the dead letters"
		if cmd.Error != nil {
			message = *cmd.Error
		}
		// The adapters report what the caller got wrong, such as a foreign cursor, under this word.
		if strings.Contains(message, "validation_error") {
			return nil, refuse(http.StatusUnprocessableEntity, domain.CodeValidation, message, detail)
		}
		return nil, refuse(http.StatusBadGateway, httpx.CodeAdapter, message, detail)
	}
	detail["agent_id"] = a.UID.String()
	return nil, refuse(http.StatusGatewayTimeout, domain.CodeTimeout,
		fmt.Sprintf("agent '%s' did not answer the dead-letter listing within %.0fs", a.Name, waited.Seconds()), detail)
}

const (
	maxDeadLetters = 200
	maxExcerpt     = 512
)

// readDeadLetters checks an agent's answer: what breaks the contract is no answer.
func readDeadLetters(result *string) (page DeadLetterPage, ok bool) {
	if result == nil {
		return page, false
	}
	var answer struct {
		Entries []struct {
			TaskID       string      `json:"task_id"`
			TaskName     *string     `json:"task_name"`
			Queue        string      `json:"queue"`
			FailedAt     *httpx.Time `json:"failed_at"`
			ErrorExcerpt *string     `json:"error_excerpt"`
			Attempts     *int64      `json:"attempts"`
		} `json:"entries"`
		NextCursor *string `json:"next_cursor"`
		Total      *int64  `json:"total"`
	}
	if json.Unmarshal([]byte(*result), &answer) != nil || len(answer.Entries) > maxDeadLetters ||
		answer.NextCursor != nil && len(*answer.NextCursor) > 200 || answer.Total != nil && *answer.Total < 0 {
		return page, false
	}
	page = DeadLetterPage{Entries: []DeadLetterEntry{}, NextCursor: answer.NextCursor, Total: answer.Total}
	for _, e := range answer.Entries {
		if e.TaskID == "" || len(e.TaskID) > 200 || e.Queue == "" || len(e.Queue) > 200 || e.Attempts != nil && *e.Attempts < 0 {
			return page, false
		}
		out := DeadLetterEntry{TaskID: e.TaskID, Queue: e.Queue, FailedAt: e.FailedAt, Attempts: e.Attempts}
		if e.TaskName != nil {
			out.TaskName = *e.TaskName
		}
		if e.ErrorExcerpt != nil {
			out.ErrorExcerpt = cutRunes(*e.ErrorExcerpt, maxExcerpt)
		}
		page.Entries = append(page.Entries, out)
	}
	return page, true
}

func cutRunes(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n])
}
