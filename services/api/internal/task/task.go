// SPDX-License-Identifier: AGPL-3.0-or-later

// Package task holds the operations about tasks: lists, details, trees, their events, exports, deletion and the
// groups of failures.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// Config is what the operations work with.
type Config struct {
	Store *store.Store
	Hints Hints
	// BulkThrottle is the bucket that bulk actions of one address share.
	BulkThrottle *httpx.Throttle
	// PageSize and MaxPageSize are the default and the largest page.
	PageSize, MaxPageSize int
	// ReadLimit bounds one read of the database.
	ReadLimit time.Duration
	// ExportMaxRows bounds the rows of an exported file.
	ExportMaxRows int
}

type group struct{ cfg Config }

// Ops returns the operations.
func Ops(cfg Config) []rest.Op {
	g := &group{cfg: cfg}
	const tag = "tasks"
	return append(g.viewOps(), []rest.Op{{
		Method: http.MethodGet, Path: "/projects/{slug}/tasks", ID: "list_tasks", Tag: tag, Action: auth.TaskRead,
		Summary: "List tasks, or export them as a file when format is given", Access: rest.Session, Query: ListQuery{},
		Response: TaskListResponse{}, Status: http.StatusOK, Handle: g.list, Errors: []int{http.StatusGatewayTimeout},
		OrList: true, Media: []string{"text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/tasks/facets", ID: "list_task_facets", Tag: tag, Action: auth.TaskRead,
		Summary: "Count the tasks that match by state, priority, queue, name, worker and engine", Access: rest.Session, Query: FacetQuery{},
		Response: TaskFacetsResponse{}, Status: http.StatusOK, Handle: g.facets, ShareFor: 2 * time.Second, Errors: []int{http.StatusGatewayTimeout},
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/tasks/{engine}/{task_id}", ID: "get_task", Tag: tag, Action: auth.TaskRead,
		Summary: "Show a task and what can be done to it", Access: rest.Session, Response: TaskDetail{}, Status: http.StatusOK, Handle: g.detail,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/tasks/{engine}/{task_id}/similar", ID: "list_similar_tasks", Tag: tag, Action: auth.TaskRead,
		Summary: "List tasks that failed like this one, or failures of the same name", Access: rest.Session, Query: SimilarQuery{},
		Response: SimilarTasksResponse{}, Status: http.StatusOK, Handle: g.similar, Errors: []int{http.StatusGatewayTimeout},
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/tasks/{engine}/{task_id}/tree", ID: "get_task_tree", Tag: tag, Action: auth.TaskRead,
		Summary: "Show the tree a task belongs to, at most 500 nodes", Access: rest.Session, Response: TaskTreeResponse{}, Status: http.StatusOK, Handle: g.tree,
	}, {
		Method: http.MethodPost, Path: "/projects/{slug}/tasks/bulk-delete", ID: "bulk_delete_tasks", Tag: tag, Action: auth.TaskBulkDelete,
		Summary: "Delete tasks by row ids, or up to 10,000 that match filters", Access: rest.Session, Throttle: cfg.BulkThrottle, Body: BulkDeleteRequest{},
		Response: BulkDeleteResponse{}, Status: http.StatusOK, Handle: g.bulkDelete,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/events", ID: "list_events", Tag: "events", Action: auth.EventRead,
		Summary: "List the events of one task, newest first", Access: rest.Session, Query: EventQuery{}, Response: EventListResponse{},
		Status: http.StatusOK, Handle: g.events,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/issues", ID: "list_issues", Tag: "issues", Action: auth.IssueRead,
		Summary: "List groups of tasks that failed alike", Access: rest.Session, Query: IssueQuery{}, Response: IssueListResponse{},
		Status: http.StatusOK, Handle: g.issues, ShareFor: time.Second,
	}, {
		Method: http.MethodGet, Path: "/projects/{slug}/issues/{fingerprint}", ID: "get_issue", Tag: "issues", Action: auth.IssueRead,
		Summary: "Show a group of tasks that failed alike, with a sample and what they have in common", Access: rest.Session, Query: IssueDetailQuery{},
		Response: IssueDetail{}, Status: http.StatusOK, Handle: g.issue, ShareFor: time.Second,
	}}...)
}

// TaskPublic is a task.
type TaskPublic struct {
	ID           uuid.UUID       `json:"id"`
	ProjectID    uuid.UUID       `json:"project_id"`
	Engine       string          `json:"engine"`
	TaskID       string          `json:"task_id"`
	Name         string          `json:"name"`
	Queue        *string         `json:"queue"`
	State        string          `json:"state"`
	Priority     string          `json:"priority"`
	Args         json.RawMessage `json:"args"`
	Kwargs       json.RawMessage `json:"kwargs"`
	Result       json.RawMessage `json:"result"`
	Exception    *string         `json:"exception"`
	Traceback    *string         `json:"traceback"`
	RetryCount   int64           `json:"retry_count"`
	ETA          *httpx.Time     `json:"eta"`
	ReceivedAt   *httpx.Time     `json:"received_at"`
	StartedAt    *httpx.Time     `json:"started_at"`
	FinishedAt   *httpx.Time     `json:"finished_at"`
	RuntimeMS    *int64          `json:"runtime_ms"`
	WorkerName   *string         `json:"worker_name"`
	ParentTaskID *string         `json:"parent_task_id"`
	RootTaskID   *string         `json:"root_task_id"`
	Tags         []string        `json:"tags"`
	CreatedAt    httpx.Time      `json:"created_at"`
	UpdatedAt    httpx.Time      `json:"updated_at"`
	// The cut texts stand for the members that fields=basic leaves out.
	ArgsPreview   *string `json:"args_preview,omitempty" doc:"with fields=basic: the first 200 characters of args as JSON text"`
	KwargsPreview *string `json:"kwargs_preview,omitempty" doc:"with fields=basic: the first 200 characters of kwargs as JSON text"`
}

// TaskListResponse is one page of tasks.
type TaskListResponse struct {
	Items      []TaskPublic `json:"items"`
	NextCursor *string      `json:"next_cursor"`
	TotalCount *int64       `json:"total_count" doc:"with include_total: the number of matching tasks, null when it is larger than what is counted"`
	// SearchedTo is left out of full pages: old clients know no such member.
	SearchedTo *httpx.Time `json:"searched_to,omitempty" doc:"set when the search stopped there, in the order of the list, before the page was full; next_cursor goes on from it"`
}

// TaskTreeNode is a task in a tree.
type TaskTreeNode struct {
	TaskID       string      `json:"task_id"`
	Name         string      `json:"name"`
	State        string      `json:"state"`
	ParentTaskID *string     `json:"parent_task_id"`
	RootTaskID   *string     `json:"root_task_id"`
	ReceivedAt   *httpx.Time `json:"received_at"`
	StartedAt    *httpx.Time `json:"started_at"`
	FinishedAt   *httpx.Time `json:"finished_at"`
}

// TaskTreeResponse is a tree of tasks, the root first.
type TaskTreeResponse struct {
	RootTaskID string         `json:"root_task_id"`
	NodeCount  int            `json:"node_count"`
	Truncated  bool           `json:"truncated"`
	Nodes      []TaskTreeNode `json:"nodes"`
}

// raw is a stored JSON text, null when there is none.
func raw(text *string) json.RawMessage {
	if text == nil || *text == "" {
		return nil
	}
	return json.RawMessage(*text)
}

func tags(text *string) []string {
	list := []string{}
	if text == nil || json.Unmarshal([]byte(*text), &list) != nil || list == nil {
		return []string{}
	}
	return list
}

func public(p *store.Project, t *store.TaskView) TaskPublic {
	return TaskPublic{
		ID: t.UID, ProjectID: p.UID, Engine: t.Engine, TaskID: t.TaskID, Name: t.Name, Queue: t.Queue,
		State: domain.TaskState(t.State).String(), Priority: domain.Priority(t.Priority).String(),
		Args: raw(t.Args), Kwargs: raw(t.Kwargs), Result: raw(t.Result), Exception: t.Exception, Traceback: t.Traceback,
		RetryCount: t.RetryCount, ETA: httpx.TimePtr(t.Eta), ReceivedAt: httpx.TimePtr(t.ReceivedAt), StartedAt: httpx.TimePtr(t.StartedAt),
		FinishedAt: httpx.TimePtr(t.FinishedAt), RuntimeMS: t.RuntimeMS, WorkerName: t.Worker, ParentTaskID: t.ParentTaskID,
		RootTaskID: t.RootTaskID, Tags: tags(t.Tags), CreatedAt: httpx.NewTime(t.SeenAt), UpdatedAt: httpx.NewTime(t.UpdatedAt),
	}
}

// small is a task read as a basic row: its arguments are cut, and so no JSON.
func small(p *store.Project, t *store.TaskView) TaskPublic {
	args, kwargs := t.Args, t.Kwargs
	t.Args, t.Kwargs = nil, nil
	out := public(p, t)
	out.ArgsPreview, out.KwargsPreview = args, kwargs
	return out
}

// pageSize caps what the caller asks for.
func (g *group) pageSize(asked int) int {
	if asked <= 0 {
		return g.cfg.PageSize
	}
	return min(asked, g.cfg.MaxPageSize)
}

// slow turns a read that ran into its limit into an answer that says what to do.
func slow(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &domain.Error{
			Code: domain.CodeTimeout, Cause: err,
			Message: "the search took too long and was given up; narrow it by state, queue, name or time",
		}
	}
	return err
}

// cursor reads a cursor; anything that is none of ours means the first page.
func (g *group) cursor(ctx context.Context, text string) (*store.TaskCursor, error) {
	c, ok := httpx.ParseCursor(text)
	if !ok || c.Raw != nil {
		return nil, nil
	}
	inst, err := g.cfg.Store.InstallationID(ctx)
	if err != nil {
		return nil, err
	}
	key, ok := domain.KeyOfTask(inst, c.ID)
	if !ok {
		return nil, nil
	}
	after := &store.TaskCursor{ID: key}
	if !c.Null {
		at := domain.Micros(c.Time)
		after.At = &at
	}
	return after, nil
}

func (g *group) find(r *rest.Request) (store.TaskView, error) {
	engine, id := r.Param("engine"), r.Param("task_id")
	t, err := g.cfg.Store.TaskByIdentity(r.Context(), r.Project.ID, engine, id)
	if errors.Is(err, domain.ErrNotFound) {
		return t, unknownTask(engine, id)
	}
	return t, err
}

func unknownTask(engine, id string) error {
	return &domain.Error{Code: domain.CodeNotFound, Message: "task not found", Details: map[string]any{"engine": engine, "task_id": id}}
}

// maxTree bounds a tree.
const maxTree = 500

func (g *group) tree(r *rest.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	engine, id := r.Param("engine"), r.Param("task_id")
	root, nodes, truncated, err := g.cfg.Store.TaskTree(ctx, r.Project.ID, engine, id, maxTree)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, unknownTask(engine, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read task tree: %w", err)
	}
	out := TaskTreeResponse{RootTaskID: root, NodeCount: len(nodes), Truncated: truncated, Nodes: make([]TaskTreeNode, len(nodes))}
	for i := range nodes {
		n := &nodes[i]
		out.Nodes[i] = TaskTreeNode{
			TaskID: n.TaskID, Name: n.Name, State: domain.TaskState(n.State).String(), ParentTaskID: n.ParentTaskID, RootTaskID: n.RootTaskID,
			ReceivedAt: httpx.TimePtr(n.ReceivedAt), StartedAt: httpx.TimePtr(n.StartedAt), FinishedAt: httpx.TimePtr(n.FinishedAt),
		}
	}
	return out, nil
}
