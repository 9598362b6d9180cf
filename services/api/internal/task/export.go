// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
	"github.com/z4jdev/z4j/services/api/internal/sheet"
)

const (
	// maxExportXLSX bounds the rows of a workbook: it is held in memory while it is written.
	maxExportXLSX = 25_000
	// exportPage is how many rows are read at a time: no read stays open while the client is slow.
	exportPage = 500
)

// columnNames lists the columns of an export; the first twelve are the default.
func columnNames() []string {
	return []string{
		"task_id", "name", "state", "priority", "queue", "worker", "received_at", "started_at", "finished_at", "runtime_ms",
		"retry_count", "exception", "traceback", "args", "kwargs", "result", "tags", "engine",
	}
}

const defaultColumns = 12

// pickColumns reads the fields parameter.
func pickColumns(fields string) ([]string, error) {
	all := columnNames()
	if strings.TrimSpace(fields) == "" || strings.TrimSpace(fields) == basicFields {
		return all[:defaultColumns], nil
	}
	var picked []string
	for name := range strings.SplitSeq(fields, ",") {
		name = strings.TrimSpace(name)
		if name == "" || slices.Contains(picked, name) {
			continue
		}
		if !slices.Contains(all, name) {
			return nil, httpx.Invalid("value_error", "Value error, there is no column of that name; use "+strings.Join(all, ", "), "query", "fields")
		}
		picked = append(picked, name)
	}
	if len(picked) == 0 {
		return all[:defaultColumns], nil
	}
	return picked, nil
}

func cell(t *store.TaskView, column string) any {
	text := func(s *string) any {
		if s == nil {
			return nil
		}
		return *s
	}
	switch column {
	case "task_id":
		return t.TaskID
	case "name":
		return t.Name
	case "state":
		return domain.TaskState(t.State).String()
	case "priority":
		return domain.Priority(t.Priority).String()
	case "engine":
		return t.Engine
	case "queue":
		return text(t.Queue)
	case "worker":
		return text(t.Worker)
	case "received_at", "started_at", "finished_at":
		at := t.ReceivedAt
		switch column {
		case "started_at":
			at = t.StartedAt
		case "finished_at":
			at = t.FinishedAt
		}
		if at == nil {
			return nil
		}
		return httpx.FormatTime(*at)
	case "runtime_ms":
		if t.RuntimeMS == nil {
			return nil
		}
		return *t.RuntimeMS
	case "retry_count":
		return t.RetryCount
	case "exception":
		return text(t.Exception)
	case "traceback":
		return text(t.Traceback)
	case "args":
		return raw(t.Args)
	case "kwargs":
		return raw(t.Kwargs)
	case "result":
		return raw(t.Result)
	case "tags":
		return raw(t.Tags)
	}
	return nil
}

// export answers with a file. Its size is checked first: half a file is no answer.
func (g *group) export(r *rest.Request, q *ListQuery, filter store.TaskFilter) (any, error) {
	columns, err := pickColumns(q.Fields)
	if err != nil {
		return nil, err
	}
	format, limit := sheet.Format(q.Format), int64(g.cfg.ExportMaxRows)
	if format == sheet.XLSX {
		limit = min(limit, maxExportXLSX)
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	n, exact, err := g.cfg.Store.CountTasks(ctx, filter, limit)
	if err != nil {
		return nil, slow(err)
	}
	if !exact || n > limit {
		return nil, &domain.Error{
			Code: domain.CodeValidation, Message: fmt.Sprintf("more than %d tasks match; narrow the filters (for example by since and until) or export in parts", limit),
			Details: map[string]any{"field": "format", "max_rows": limit},
		}
	}
	order := q.order(&filter)
	return rest.Stream{
		ContentType: format.ContentType(), Filename: "z4j-tasks-" + r.Project.Slug + "." + string(format),
		Write: func(ctx context.Context, w io.Writer) error {
			return g.writeFile(ctx, w, format, columns, store.TaskPage{Filter: filter, Order: order, Limit: exportPage}, limit)
		},
	}, nil
}

func (g *group) writeFile(ctx context.Context, w io.Writer, format sheet.Format, columns []string, page store.TaskPage, limit int64) error {
	out, err := sheet.New(format, w, "tasks", columns)
	if err != nil {
		return err
	}
	cells := make([]any, len(columns))
	for written := int64(0); written < limit; {
		list, err := g.readPage(ctx, page)
		if err != nil {
			return err
		}
		tasks := list.Tasks[:min(int64(len(list.Tasks)), limit-written)]
		for i := range tasks {
			for c, name := range columns {
				cells[c] = cell(&tasks[i], name)
			}
			if err := out.Row(cells); err != nil {
				return err
			}
		}
		written += int64(len(tasks))
		if list.Next == nil {
			break
		}
		page.After = list.Next
	}
	return out.Close()
}

func (g *group) readPage(ctx context.Context, page store.TaskPage) (store.TaskList, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.ReadLimit)
	defer cancel()
	return g.cfg.Store.ListTasks(ctx, page)
}
