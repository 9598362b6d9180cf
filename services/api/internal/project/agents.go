// SPDX-License-Identifier: AGPL-3.0-or-later

package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// AgentPublic is an agent: one token, any number of processes.
type AgentPublic struct {
	ID                uuid.UUID      `json:"id"`
	ProjectID         uuid.UUID      `json:"project_id"`
	Name              string         `json:"name"`
	State             string         `json:"state"`
	ProtocolVersion   string         `json:"protocol_version"`
	FrameworkAdapter  string         `json:"framework_adapter"`
	EngineAdapters    []string       `json:"engine_adapters"`
	SchedulerAdapters []string       `json:"scheduler_adapters"`
	Capabilities      map[string]any `json:"capabilities"`
	LastSeenAt        *httpx.Time    `json:"last_seen_at"`
	LastConnectAt     *httpx.Time    `json:"last_connect_at"`
	CreatedAt         httpx.Time     `json:"created_at"`
	IsOutdated        bool           `json:"is_outdated"`
	HostName          *string        `json:"host_name"`
	AgentVersion      *string        `json:"agent_version"`
	VersionStatus     *string        `json:"version_status" doc:"current, outdated, newer_than_known or incompatible; null until the agent told its version"`

	NewestVersion string      `json:"newest_version" doc:"the newest release of the agent that this brain knows"`
	LastEventAt   *httpx.Time `json:"last_event_at" doc:"when its last events arrived, to within some seconds"`
	Processes     int64       `json:"processes" doc:"processes that reported lately"`
	Buffered      *int64      `json:"buffered" doc:"frames that wait in the agent's buffers, as last reported; null when it does not report"`
	LagSeconds    *float64    `json:"lag_seconds" doc:"age of the oldest frame in the buffers, as last reported; null when nothing waits or it does not report"`
	ReportedAt    *httpx.Time `json:"reported_at" doc:"when buffered, lag_seconds and lost were reported"`
	Lost          int64       `json:"lost" doc:"events that the agent's processes had to drop since their buffers were made"`
	LostResults   int64       `json:"lost_results" doc:"results of commands dropped likewise"`
	Failures      int64       `json:"failures" doc:"longest streak of failed connections among its processes"`
}

// CreateAgentRequest mints an agent.
type CreateAgentRequest struct {
	Name string `json:"name" validate:"required,min=1,max=200"`
}

// CreateAgentResponse holds the two secrets of a new agent. They are shown here and never again.
type CreateAgentResponse struct {
	Agent      AgentPublic `json:"agent"`
	Token      string      `json:"token"`
	HMACSecret string      `json:"hmac_secret"`
}

// AgentHealthSnapshot is one self report of an agent process.
type AgentHealthSnapshot struct {
	ID            int64                 `json:"id"`
	CapturedAt    httpx.Time            `json:"captured_at"`
	WorkerID      *string               `json:"worker_id"`
	TelemetryLoss *TelemetryLossPayload `json:"telemetry_loss"`
}

// TelemetryLossPayload counts what an agent had to drop.
type TelemetryLossPayload struct {
	BufferID              string           `json:"buffer_id"`
	RuntimeID             string           `json:"runtime_id"`
	CapacityEvictedFrames int64            `json:"capacity_evicted_frames"`
	ContentRejectedFrames int64            `json:"content_rejected_frames"`
	EventRecords          int64            `json:"event_records"`
	CommandResults        int64            `json:"command_results"`
	OtherFrames           int64            `json:"other_frames"`
	UnclassifiedFrames    int64            `json:"unclassified_frames"`
	AdapterEvents         map[string]int64 `json:"adapter_events"`
}

// AgentWorkerPublic is one process behind an agent token.
type AgentWorkerPublic struct {
	ID            uuid.UUID   `json:"id"`
	AgentID       uuid.UUID   `json:"agent_id"`
	ProjectID     uuid.UUID   `json:"project_id"`
	WorkerID      *string     `json:"worker_id"`
	Role          *string     `json:"role"`
	Framework     *string     `json:"framework"`
	PID           *int64      `json:"pid"`
	StartedAt     *httpx.Time `json:"started_at"`
	State         string      `json:"state"`
	LastSeenAt    *httpx.Time `json:"last_seen_at"`
	LastConnectAt *httpx.Time `json:"last_connect_at"`
	CreatedAt     httpx.Time  `json:"created_at"`
	UpdatedAt     httpx.Time  `json:"updated_at"`
}

// AgentWorkerQuery narrows the list of processes.
type AgentWorkerQuery struct {
	State *string `json:"state" pattern:"^(online|offline)$"`
	Role  *string `json:"role" pattern:"^(web|task|scheduler|beat|other)$"`
	Limit int     `json:"limit" validate:"ge=1,le=500" default:"200"`
}

func (g *group) agentOps() []rest.Op {
	return []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/agents", ID: "list_agents", Tag: "agents", Summary: "Agents that are not revoked.",
		Action: auth.AgentRead, Access: rest.Session, Response: []AgentPublic{}, Status: http.StatusOK, Handle: g.agents,
	}, {
		Method: http.MethodPost, Path: "/projects/{slug}/agents", ID: "mint_agent", Tag: "agents",
		Summary: "Mint an agent. Its token and HMAC secret are in this answer only.",
		Action:  auth.AgentMint, Access: rest.Session, Body: CreateAgentRequest{}, Response: CreateAgentResponse{},
		Status: http.StatusCreated, Errors: []int{http.StatusConflict}, Handle: g.mint,
	}, {
		Method: http.MethodDelete, Path: "/projects/{slug}/agents/{agent_id}", ID: "revoke_agent", Tag: "agents",
		Summary: "Revoke an agent's token and cut its connections.",
		Action:  auth.AgentRevoke, Access: rest.Session, Status: http.StatusNoContent, Handle: g.revoke,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/agents/{agent_id}/health", ID: "agent_health", Tag: "agents",
		Summary: "The last self reports of an agent, newest first.",
		Action:  auth.AgentRead, Access: rest.Session, Response: []AgentHealthSnapshot{}, Status: http.StatusOK, Handle: g.health,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/agent-workers", ID: "list_agent_workers", Tag: "agent-workers",
		Summary: "The processes behind the project's agents, online ones first.",
		Action:  auth.AgentWorkerRead, Access: rest.Session, Query: AgentWorkerQuery{}, Response: []AgentWorkerPublic{},
		Status: http.StatusOK, Handle: g.processes,
	}}
}

const (
	maxAgents   = 5000
	maxStatuses = 100
)

func (g *group) agents(r *rest.Request) (any, error) {
	list, err := g.cfg.Store.Agents(r.Context(), r.Project.ID, maxAgents)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	reports, err := g.cfg.Store.LatestAgentStatus(r.Context(), r.Project.ID)
	if err != nil {
		return nil, err
	}
	out := make([]AgentPublic, 0, len(list))
	for _, a := range list {
		item, err := agentPublic(r.Project, a)
		if err != nil {
			return nil, err
		}
		item.report(reports[a.ID])
		out = append(out, item)
	}
	return out, nil
}

func agentPublic(p store.Project, a store.Agent) (AgentPublic, error) {
	out := AgentPublic{
		ID: a.UID, ProjectID: p.UID, Name: a.Name, State: a.State, ProtocolVersion: a.ProtocolVersion,
		FrameworkAdapter: a.FrameworkAdapter, EngineAdapters: []string{}, SchedulerAdapters: []string{}, Capabilities: map[string]any{},
		LastSeenAt: httpx.TimePtr(a.LastSeenAt), LastConnectAt: httpx.TimePtr(a.LastConnectAt), CreatedAt: httpx.NewTime(a.CreatedAt),
		HostName: a.HostName, AgentVersion: a.AgentVersion, NewestVersion: domain.NewestAgent, LastEventAt: httpx.TimePtr(a.LastEventAt),
	}
	for _, column := range []struct {
		text string
		into any
	}{{a.EngineAdapters, &out.EngineAdapters}, {a.SchedulerAdapters, &out.SchedulerAdapters}, {a.Capabilities, &out.Capabilities}} {
		if err := json.Unmarshal([]byte(column.text), column.into); err != nil {
			return out, fmt.Errorf("agent %s: stored description: %w", a.UID, err)
		}
	}
	if a.AgentVersion != nil {
		if status := versionStatus(*a.AgentVersion); status != "" {
			out.VersionStatus = &status
			out.IsOutdated = status == "outdated"
		}
	}
	return out, nil
}

// lately is how far behind an agent's newest report those of its other processes may lie to count as of now. One that
// tells nothing new is kept every five minutes; a process that stopped leaves its last one behind.
const lately = store.StatusEvery + time.Minute

// report adds what the agent's processes told last, newest first.
func (a *AgentPublic) report(statuses []store.AgentStatus) {
	for i, s := range statuses {
		if i == 0 {
			at := httpx.NewTime(s.CapturedAt)
			a.ReportedAt = &at
		}
		// What was lost stays lost; what waits is a matter of now.
		if loss := telemetryLoss(s.Payload); loss != nil {
			a.Lost += loss.EventRecords + loss.UnclassifiedFrames
			for _, n := range loss.AdapterEvents {
				a.Lost += n
			}
			a.LostResults += loss.CommandResults
		}
		if a.ReportedAt.Sub(s.CapturedAt) > lately {
			continue
		}
		a.Processes++
		var told struct {
			Depth    *int64   `json:"buffer_depth"`
			Oldest   *float64 `json:"buffer_oldest_age_seconds"`
			Failures int64    `json:"connection_failure_streak"`
		}
		// Reports were checked on arrival; one that can't be read tells nothing.
		if json.Unmarshal([]byte(s.Payload), &told) != nil {
			continue
		}
		if told.Depth != nil {
			if a.Buffered == nil {
				a.Buffered = new(int64)
			}
			*a.Buffered += *told.Depth
		}
		if told.Oldest != nil && (a.LagSeconds == nil || *a.LagSeconds < *told.Oldest) {
			a.LagSeconds = told.Oldest
		}
		a.Failures = max(a.Failures, told.Failures)
	}
}

// versionStatus compares an agent's release with the newest known one and with the brain; "" when it is unknown.
func versionStatus(version string) string {
	v, ok := parseVersion(version)
	if !ok || v == [3]int{} {
		return ""
	}
	newest, _ := parseVersion(domain.NewestAgent)
	brain, ok := parseVersion(domain.Version)
	if !ok {
		brain = newest
	}
	switch {
	case v[0] != newest[0]:
		return "incompatible"
	case less(brain, v) && less(newest, v):
		return "newer_than_known"
	case less(v, newest):
		return "outdated"
	}
	return "current"
}

// parseVersion reads the three numbers of a release; suffixes such as rc1 are ignored.
func parseVersion(text string) (v [3]int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 4)
	if len(parts) < 3 {
		return v, false
	}
	for i := range v {
		digits := parts[i]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = digits[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func less(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func (g *group) mint(r *rest.Request) (any, error) {
	in := rest.Body[CreateAgentRequest](r)
	token := auth.NewToken()
	var agent store.Agent
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		agent, err = tx.CreateAgent(ctx, r.Project.ID, in.Name, g.cfg.Keyring.Hash(auth.SaltAgentToken, token))
		if err != nil {
			return err
		}
		e := r.Audit("agent.token.minted", "agent", agent.UID.String())
		e.Metadata = map[string]any{"name": in.Name}
		return tx.Audit(ctx, e)
	})
	if errors.Is(err, domain.ErrConflict) {
		return nil, domain.Errorf(domain.CodeConflict, "an agent with that name already exists in this project").With("name", in.Name)
	}
	if err != nil {
		return nil, err
	}
	g.cfg.Hints.AgentsChanged(r.Context(), r.Project.ID)
	public, err := agentPublic(r.Project, agent)
	if err != nil {
		return nil, err
	}
	key := wire.ProjectKey(g.cfg.Secret, r.Project.UID)
	return CreateAgentResponse{Agent: public, Token: token, HMACSecret: wire.HMACSecretText(key)}, nil
}

func (g *group) find(r *rest.Request) (store.Agent, error) {
	id := r.ID("agent_id")
	a, err := g.cfg.Store.AgentByUID(r.Context(), r.Project.ID, id)
	if errors.Is(err, domain.ErrNotFound) {
		return a, domain.Errorf(domain.CodeNotFound, "agent not found").With("agent_id", id.String())
	}
	return a, err
}

// revoke may be repeated: the second answer is the same.
func (g *group) revoke(r *rest.Request) (any, error) {
	a, err := g.find(r)
	if err != nil {
		return nil, err
	}
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		changed, err := tx.RevokeAgent(ctx, a.ID)
		if err != nil || !changed {
			return err
		}
		e := r.Audit("agent.token.revoked", "agent", a.UID.String())
		e.Metadata = map[string]any{"name": a.Name}
		return tx.Audit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("revoke agent: %w", err)
	}
	g.cfg.Hints.AgentRevoked(r.Context(), r.Project.ID, a.ID)
	return nil, nil
}

func (g *group) health(r *rest.Request) (any, error) {
	a, err := g.find(r)
	if err != nil {
		return nil, err
	}
	list, err := g.cfg.Store.AgentStatuses(r.Context(), a.ID, maxStatuses)
	if err != nil {
		return nil, fmt.Errorf("list agent health: %w", err)
	}
	out := make([]AgentHealthSnapshot, 0, len(list))
	for _, s := range list {
		item := AgentHealthSnapshot{ID: s.ID, CapturedAt: httpx.NewTime(s.CapturedAt), TelemetryLoss: telemetryLoss(s.Payload)}
		if s.WorkerID != "" {
			item.WorkerID = &s.WorkerID
		}
		out = append(out, item)
	}
	return out, nil
}

// telemetryLoss reads the loss counters out of an agent's report, which may lack them; nil then.
func telemetryLoss(payload string) *TelemetryLossPayload {
	var report struct {
		TelemetryLoss *TelemetryLossPayload `json:"telemetry_loss"`
	}
	if json.Unmarshal([]byte(payload), &report) != nil {
		return nil
	}
	if loss := report.TelemetryLoss; loss != nil && loss.AdapterEvents == nil {
		loss.AdapterEvents = map[string]int64{}
	}
	return report.TelemetryLoss
}

func (g *group) processes(r *rest.Request) (any, error) {
	q := rest.Query[AgentWorkerQuery](r)
	list, err := g.cfg.Store.AgentProcesses(r.Context(), r.Project.ID, q.State, q.Role, int64(q.Limit))
	if err != nil {
		return nil, fmt.Errorf("list agent processes: %w", err)
	}
	out := make([]AgentWorkerPublic, 0, len(list))
	for _, row := range list {
		w := row.AgentWorker
		item := AgentWorkerPublic{
			ID: w.ID, AgentID: row.AgentUID, ProjectID: r.Project.UID, Role: w.Role, Framework: w.Framework, PID: w.PID,
			StartedAt: httpx.TimePtr(w.StartedAt), State: w.State, LastSeenAt: httpx.TimePtr(w.LastSeenAt),
			LastConnectAt: httpx.TimePtr(w.LastConnectAt), CreatedAt: httpx.NewTime(w.CreatedAt), UpdatedAt: httpx.NewTime(w.UpdatedAt),
		}
		if w.WorkerID != "" {
			item.WorkerID = &w.WorkerID
		}
		out = append(out, item)
	}
	return out, nil
}
