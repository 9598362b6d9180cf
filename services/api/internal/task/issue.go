// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// IssuePublic is a group of tasks that failed alike.
type IssuePublic struct {
	Fingerprint    string      `json:"fingerprint"`
	Status         string      `json:"status" validate:"oneof=ongoing|recovered"`
	Occurrences    int64       `json:"occurrences"`
	OpenCount      int64       `json:"open_count"`
	RecoveredCount int64       `json:"recovered_count"`
	FirstSeen      *httpx.Time `json:"first_seen"`
	LastSeen       *httpx.Time `json:"last_seen"`
	EngineCount    int         `json:"engine_count"`
	Engines        []string    `json:"engines"`
	SampleExc      *string     `json:"sample_exception"`
	SampleName     *string     `json:"sample_task_name"`
	InWindow       int64       `json:"occurrences_in_window" doc:"tasks whose latest failure lies in the window"`
	WindowCapped   bool        `json:"window_capped" doc:"there are more in the window; the newest are counted"`
	Spark          []int64     `json:"spark" doc:"those in each of 24 equal parts of the window"`
	Tasks          []string    `json:"tasks" doc:"task names among the newest 50 failures, most frequent first, at most 5"`
	Queues         []string    `json:"queues" doc:"queues of the same, at most 5"`
}

// IssueListResponse is one page of issues.
type IssueListResponse struct {
	Window     rest.Window   `json:"window"`
	Items      []IssuePublic `json:"items"`
	NextCursor *string       `json:"next_cursor"`
}

// IssueQuery are the parameters of the issue list.
type IssueQuery struct {
	rest.WindowQuery
	Engine string `json:"engine"`
	Status string `json:"status" validate:"oneof=ongoing|recovered"`
	Hours  int    `json:"hours" validate:"ge=1,le=8760" doc:"only groups that failed in the last hours"`
	Cursor string `json:"cursor"`
	Limit  int    `json:"limit" default:"50" validate:"ge=1,le=200"`
}

const (
	statusOngoing   = "ongoing"
	statusRecovered = "recovered"
	// maxOffset bounds how deep the list of issues can be paged.
	maxOffset = 1_000_000
)

func (g *group) issues(r *rest.Request) (any, error) {
	q := rest.Query[IssueQuery](r)
	now := g.cfg.Store.Now()
	if q.Hours > 0 && q.From == nil {
		q.From = &httpx.Time{Time: now.Add(-time.Duration(q.Hours) * time.Hour)}
	}
	window, err := q.Window(now)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	f := store.IssueFilter{ProjectID: r.Project.ID, Engine: q.Engine, Offset: offsetOf(q.Cursor), Limit: int64(q.Limit) + 1}
	if q.Status != "" {
		ongoing := q.Status == statusOngoing
		f.Ongoing = &ongoing
	}
	if q.From != nil {
		f.Since = &window.From.Time
	}
	issues, err := g.cfg.Store.ListIssues(ctx, f)
	if err != nil {
		return nil, slow(err)
	}
	out := IssueListResponse{Window: window, Items: []IssuePublic{}}
	if len(issues) > q.Limit {
		issues = issues[:q.Limit]
		next := base64.StdEncoding.EncodeToString([]byte(strconv.FormatInt(f.Offset+int64(q.Limit), 10)))
		out.NextCursor = &next
	}
	for i := range issues {
		public, err := g.issuePublic(ctx, r.Project.ID, &issues[i], window, sparkScan/int64(len(issues)))
		if err != nil {
			return nil, slow(err)
		}
		out.Items = append(out.Items, public)
	}
	return out, nil
}

const (
	sparkParts = 24
	// sparkScan is how many failures the sparklines of one answer look at.
	sparkScan = 50_000
	// affectedSample is how many failures are asked what they affect, affectedRows how many values are shown.
	affectedSample, affectedRows = 50, 5
)

func (g *group) issuePublic(ctx context.Context, project int64, i *store.Issue, window rest.Window, scan int64) (IssuePublic, error) {
	out := IssuePublic{
		Fingerprint: i.Fingerprint, Status: statusRecovered, Occurrences: i.Occurrences, OpenCount: i.Open, RecoveredCount: i.Occurrences - i.Open,
		FirstSeen: httpx.TimePtr(&i.FirstSeen), LastSeen: httpx.TimePtr(&i.LastSeen), EngineCount: len(i.Engines), Engines: i.Engines,
		SampleExc: i.SampleException, SampleName: i.Name,
	}
	if i.Open > 0 {
		out.Status = statusOngoing
	}
	o, err := g.cfg.Store.IssueOccurrences(ctx, project, i.Fingerprint, window.From.Time, window.To.Time, sparkParts, scan)
	if err != nil {
		return out, err
	}
	out.InWindow, out.WindowCapped, out.Spark = o.N, o.Capped, o.Buckets
	affected, err := g.cfg.Store.IssueAffected(ctx, project, i.Fingerprint, window.To.Time, affectedSample)
	out.Tasks, out.Queues = values(affected.Names), values(affected.Queues)
	return out, err
}

func values(shares []store.Share) []string {
	out := []string{}
	for _, s := range shares[:min(len(shares), affectedRows)] {
		out = append(out, s.Value)
	}
	return out
}

// IssueDetailQuery are the parameters of an issue's page.
type IssueDetailQuery struct {
	rest.WindowQuery
}

// OccurrenceBucket counts failures in one stretch of time.
type OccurrenceBucket struct {
	T     httpx.Time `json:"t"`
	Count int64      `json:"count"`
}

// SharePublic is how often a value occurs in a sample.
type SharePublic struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// IssueSample is a task that failed that way.
type IssueSample struct {
	Engine    string      `json:"engine"`
	TaskID    string      `json:"task_id"`
	Name      string      `json:"name"`
	State     string      `json:"state"`
	FailedAt  *httpx.Time `json:"failed_at"`
	Exception *string     `json:"exception" doc:"null when the task has ended otherwise since"`
	Traceback *string     `json:"traceback"`
}

// IssueTask is a task of an issue.
type IssueTask struct {
	Engine    string      `json:"engine"`
	TaskID    string      `json:"task_id"`
	Name      string      `json:"name"`
	Queue     *string     `json:"queue"`
	Worker    *string     `json:"worker"`
	State     string      `json:"state"`
	FailedAt  *httpx.Time `json:"failed_at"`
	Exception *string     `json:"exception"`
	Retries   int64       `json:"retries"`
}

// IssueDetail is a group of tasks that failed alike, with what they have in common.
type IssueDetail struct {
	Window rest.Window `json:"window"`
	IssuePublic
	Sample        *IssueSample       `json:"sample" doc:"the newest failure that still has its traceback"`
	BucketSeconds float64            `json:"bucket_seconds"`
	Buckets       []OccurrenceBucket `json:"buckets" doc:"48 equal parts of the window"`
	SampleSize    int64              `json:"sample_size" doc:"how many of the newest failures the top lists are of"`
	TopNames      []SharePublic      `json:"top_names"`
	TopQueues     []SharePublic      `json:"top_queues"`
	TopWorkers    []SharePublic      `json:"top_workers"`
	Recent        []IssueTask        `json:"recent" doc:"the newest ten failures"`
}

const (
	detailParts  = 48
	detailSample = 1000
	detailRecent = 10
	detailTop    = 10
)

func (g *group) issue(r *rest.Request) (any, error) {
	q := rest.Query[IssueDetailQuery](r)
	window, err := q.Window(g.cfg.Store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	s, project, fingerprint := g.cfg.Store, r.Project.ID, r.Param("fingerprint")
	found, err := s.IssueByFingerprint(ctx, project, fingerprint)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, domain.Errorf(domain.CodeNotFound, "this project has no issue with that fingerprint; it may have gone with the last of its tasks")
	}
	if err != nil {
		return nil, slow(err)
	}
	out := IssueDetail{Window: window, Buckets: []OccurrenceBucket{}, Recent: []IssueTask{}}
	if out.IssuePublic, err = g.issuePublic(ctx, project, &found, window, sparkScan); err != nil {
		return nil, slow(err)
	}
	o, err := s.IssueOccurrences(ctx, project, fingerprint, window.From.Time, window.To.Time, detailParts, sparkScan)
	if err != nil {
		return nil, slow(err)
	}
	width := window.To.Sub(window.From.Time) / detailParts
	out.BucketSeconds = width.Seconds()
	for i, n := range o.Buckets {
		out.Buckets = append(out.Buckets, OccurrenceBucket{T: httpx.NewTime(window.From.Add(time.Duration(i) * width)), Count: n})
	}
	affected, err := s.IssueAffected(ctx, project, fingerprint, window.To.Time, detailSample)
	if err != nil {
		return nil, slow(err)
	}
	out.SampleSize = affected.N
	out.TopNames, out.TopQueues, out.TopWorkers = shares(affected.Names), shares(affected.Queues), shares(affected.Workers)
	tasks, err := s.IssueTasks(ctx, project, fingerprint, window.To.Time, detailRecent)
	if err != nil {
		return nil, slow(err)
	}
	for i := range tasks {
		t := &tasks[i]
		state := domain.TaskState(t.State).String()
		out.Recent = append(out.Recent, IssueTask{
			Engine: t.Engine, TaskID: t.TaskID, Name: t.Name, Queue: t.Queue, Worker: t.Worker, State: state, FailedAt: httpx.TimePtr(t.LastFailedAt),
			Exception: t.Exception, Retries: t.RetryCount,
		})
		if out.Sample == nil || out.Sample.Traceback == nil && t.Traceback != nil {
			out.Sample = &IssueSample{
				Engine: t.Engine, TaskID: t.TaskID, Name: t.Name, State: state, FailedAt: httpx.TimePtr(t.LastFailedAt), Exception: t.Exception, Traceback: t.Traceback,
			}
		}
	}
	return out, nil
}

func shares(all []store.Share) []SharePublic {
	out := []SharePublic{}
	for _, s := range all[:min(len(all), detailTop)] {
		out = append(out, SharePublic{s.Value, s.N})
	}
	return out
}

// offsetOf reads the cursor of issues, the base64 of an offset; anything else means the first page.
func offsetOf(cursor string) int64 {
	text, err := base64.StdEncoding.DecodeString(cursor)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > maxOffset {
		return 0
	}
	return n
}
