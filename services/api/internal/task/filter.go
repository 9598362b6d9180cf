// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
)

// Filter are the parameters that narrow the list, its facets and its export. Parameters of several values may be repeated
// or hold a comma list; any of the values may match.
type Filter struct {
	State        []string    `json:"state" validate:"max=20" doc:"task states"`
	Priority     []string    `json:"priority" validate:"max=20" doc:"critical, high, normal, low"`
	Name         []string    `json:"name" validate:"max=20" doc:"parts of the task's name, in any case"`
	Search       string      `json:"search" validate:"max=200" doc:"part of name, queue, worker, task id, exception, arguments or result, in any case"`
	Engine       []string    `json:"engine" validate:"max=20"`
	Queue        []string    `json:"queue" validate:"max=20"`
	Worker       []string    `json:"worker" validate:"max=20"`
	Exception    []string    `json:"exception" validate:"max=20" doc:"parts of the exception, in any case"`
	Fingerprint  []string    `json:"fingerprint" validate:"max=20" doc:"the fingerprints of issues"`
	MinRuntimeMS *int64      `json:"min_runtime_ms" validate:"ge=0" doc:"only tasks that ran at least this long"`
	Since        *httpx.Time `json:"since" doc:"received at or after this time; a task that reports no reception counts from its start or arrival"`
	Until        *httpx.Time `json:"until" doc:"received at or before this time"`
	From         *httpx.Time `json:"from" doc:"the same as since"`
	To           *httpx.Time `json:"to" doc:"the same as until"`
	Query        string      `json:"query" validate:"max=2000" doc:"a text of the filter language, such as state:failure queue:mail since:2h; it narrows what the other parameters leave"`
}

// maxFilterText bounds one value of a filter.
const maxFilterText = 200

// Resolve turns the parameters into the filter of the store.
func (q *Filter) Resolve(projectID int64, now time.Time) (store.TaskFilter, error) {
	f, err := q.plain(projectID)
	if err != nil {
		return f, err
	}
	return f, narrow(&f, q.Query, now)
}

// plain is the filter of the parameters without the query.
func (q *Filter) plain(projectID int64) (store.TaskFilter, error) {
	f := store.TaskFilter{ProjectID: projectID, Since: later(q.Since, q.From), Until: earlier(q.Until, q.To), MinRuntimeMS: q.MinRuntimeMS}
	if q.Search != "" {
		f.Search = []string{q.Search}
	}
	var err error
	if f.States, err = parseList("state", q.State, domain.ParseTaskState, stateNames); err != nil {
		return f, err
	}
	if f.Priorities, err = parseList("priority", q.Priority, domain.ParsePriority, priorityNames); err != nil {
		return f, err
	}
	for _, field := range []struct {
		name string
		in   []string
		out  *[]store.TextMatch
		how  func(...string) []store.TextMatch
	}{
		{"name", q.Name, &f.Names, store.Part},
		{"engine", q.Engine, &f.Engines, store.Exact},
		{"queue", q.Queue, &f.Queues, store.Exact},
		{"worker", q.Worker, &f.Workers, store.Exact},
		{"exception", q.Exception, &f.Exceptions, store.Part},
		{"fingerprint", q.Fingerprint, &f.Issues, store.Exact},
	} {
		values, err := texts(field.name, field.in)
		if err != nil {
			return f, err
		}
		*field.out = field.how(values...)
	}
	return f, nil
}

func later(a, b *httpx.Time) *time.Time {
	if a == nil || b != nil && b.After(a.Time) {
		return timeOf(b)
	}
	return timeOf(a)
}

func earlier(a, b *httpx.Time) *time.Time {
	if a == nil || b != nil && b.Before(a.Time) {
		return timeOf(b)
	}
	return timeOf(a)
}

func timeOf(t *httpx.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

// split takes comma lists apart.
func split(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" && !slices.Contains(out, part) {
				out = append(out, part)
			}
		}
	}
	return out
}

// texts takes comma lists apart. A value with a comma also stands for itself: names may have one.
func texts(field string, values []string) ([]string, error) {
	for _, v := range values {
		if utf8.RuneCountInString(v) > maxFilterText {
			return nil, httpx.Invalid("string_too_long", "String should have at most 200 characters", "query", field)
		}
	}
	out := split(values)
	for _, v := range values {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out, nil
}

func parseList[T any](field string, values []string, parse func(string) (T, bool), names func() []string) ([]T, error) {
	var out []T
	for _, text := range split(values) {
		v, ok := parse(text)
		if !ok {
			return nil, badFilter(field, text, names())
		}
		out = append(out, v)
	}
	return out, nil
}

func stateNames() []string {
	var names []string
	for _, s := range domain.TaskStates() {
		names = append(names, s.String())
	}
	return names
}

func priorityNames() []string {
	var names []string
	for p := domain.PriorityCritical; p <= domain.PriorityLow; p++ {
		names = append(names, p.String())
	}
	return names
}

func badFilter(field, value string, allowed []string) error {
	if len(value) > 100 {
		value = "(too long)"
	}
	return &domain.Error{
		Code: domain.CodeValidation, Message: "invalid task " + field + " filter: use " + strings.Join(allowed, ", "),
		Details: map[string]any{"field": field, "value": value, "allowed": allowed},
	}
}
