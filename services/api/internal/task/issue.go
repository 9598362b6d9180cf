// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"

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
}

// IssueListResponse is one page of issues.
type IssueListResponse struct {
	Items      []IssuePublic `json:"items"`
	NextCursor *string       `json:"next_cursor"`
}

// IssueQuery are the parameters of the issue list.
type IssueQuery struct {
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
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	f := store.IssueFilter{ProjectID: r.Project.ID, Engine: q.Engine, Offset: offsetOf(q.Cursor), Limit: int64(q.Limit) + 1}
	if q.Status != "" {
		ongoing := q.Status == statusOngoing
		f.Ongoing = &ongoing
	}
	if q.Hours > 0 {
		since := g.cfg.Store.Now().Add(-time.Duration(q.Hours) * time.Hour)
		f.Since = &since
	}
	issues, err := g.cfg.Store.ListIssues(ctx, f)
	if err != nil {
		return nil, slow(err)
	}
	out := IssueListResponse{Items: []IssuePublic{}}
	if len(issues) > q.Limit {
		issues = issues[:q.Limit]
		next := base64.StdEncoding.EncodeToString([]byte(strconv.FormatInt(f.Offset+int64(q.Limit), 10)))
		out.NextCursor = &next
	}
	for _, i := range issues {
		status := statusRecovered
		if i.Open > 0 {
			status = statusOngoing
		}
		out.Items = append(out.Items, IssuePublic{
			Fingerprint: i.Fingerprint, Status: status, Occurrences: i.Occurrences, OpenCount: i.Open, RecoveredCount: i.Occurrences - i.Open,
			FirstSeen: httpx.TimePtr(&i.FirstSeen), LastSeen: httpx.TimePtr(&i.LastSeen), EngineCount: len(i.Engines), Engines: i.Engines,
			SampleExc: i.SampleException, SampleName: i.Name,
		})
	}
	return out, nil
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
