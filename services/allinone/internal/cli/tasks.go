// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/z4jdev/z4j/pkg/config"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/taskfilter"
	"github.com/z4jdev/z4j/pkg/taskquery"
)

// maxListed bounds --limit: who wants more exports them from the dashboard or the API.
const maxListed = 10_000

// listedTask is a line of `z4j tasks --json`.
type listedTask struct {
	Engine     string     `json:"engine"`
	TaskID     string     `json:"task_id"`
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Queue      *string    `json:"queue"`
	Worker     *string    `json:"worker_name"`
	ReceivedAt *time.Time `json:"received_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	RuntimeMS  *int64     `json:"runtime_ms"`
	Retries    int64      `json:"retry_count"`
	Exception  *string    `json:"exception"`
}

func (a *app) tasksCommand() *cobra.Command {
	var project string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tasks [FILTER]...",
		Short: "List the tasks of a project",
		Long: `Lists tasks, the latest received first, straight from the database: it works while the brain is down.
The filter is that of the dashboard's filter bar and of the API's 'query' (docs/search.md). Put it in
single quotes, or a minus in front of a filter is taken for an option.`,
		Example: `  z4j tasks 'state:failure since:2h'
  z4j tasks --project shop 'queue:mail kwargs.customer_id:42 -task:report "timed out"'
  z4j tasks --json --limit 1000 'runtime:>1m' | jq -r .task_id`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > maxListed {
				return fail(exitUsage, "--limit must be 1 to %d", maxListed)
			}
			return a.manage(cmd, func(ctx context.Context, _ *config.Config, s *store.Store) error {
				tasks, err := findTasks(ctx, s, project, strings.Join(args, " "), limit)
				if err != nil {
					return err
				}
				if asJSON {
					lines := json.NewEncoder(a.stdout)
					lines.SetEscapeHTML(false)
					for i := range tasks {
						if err := lines.Encode(listedOf(&tasks[i])); err != nil {
							return fmt.Errorf("print a task: %w", err)
						}
					}
					return nil
				}
				return a.listTasks(tasks, limit)
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "default", "the project's `SLUG`")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most, up to `10000`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object a line")
	return cmd
}

// findTasks goes on where a search was cut short, until there are limit tasks or no more.
func findTasks(ctx context.Context, s *store.Store, slug, filter string, limit int) ([]store.TaskView, error) {
	project, err := s.ProjectBySlug(ctx, slug)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, fail(exitUsage, "there is no project %q: name another with --project", slug)
	}
	if err != nil {
		return nil, fail(exitState, "%w", err)
	}
	page := store.TaskPage{Filter: store.TaskFilter{ProjectID: project.ID}, Order: store.TasksByTime, Basic: true}
	err = taskfilter.Narrow(&page.Filter, filter, s.Now())
	if fault, ok := errors.AsType[*taskquery.Error](err); ok {
		first := fault.Problems[0]
		return nil, fail(exitUsage, "the filter has a mistake at character %d: %s", first.From+1, first.Message)
	}
	if err != nil {
		return nil, fail(exitFailed, "%w", err)
	}
	var tasks []store.TaskView
	for len(tasks) < limit {
		page.Limit = min(500, limit-len(tasks))
		list, err := s.ListTasks(ctx, page)
		if err != nil {
			return nil, fail(exitState, "%w", err)
		}
		tasks = append(tasks, list.Tasks...)
		if list.Next == nil {
			break
		}
		page.After = list.Next
	}
	return tasks, nil
}

func listedOf(t *store.TaskView) listedTask {
	return listedTask{
		Engine: t.Engine, TaskID: t.TaskID, Name: t.Name, State: domain.TaskState(t.State).String(), Queue: t.Queue, Worker: t.Worker, ReceivedAt: t.ReceivedAt,
		StartedAt: t.StartedAt, FinishedAt: t.FinishedAt, RuntimeMS: t.RuntimeMS, Retries: t.RetryCount, Exception: t.Exception,
	}
}

// listTasks prints a table and whether there may be more.
func (a *app) listTasks(tasks []store.TaskView, limit int) error {
	if len(tasks) == 0 {
		a.printf("No task matches.\n")
		return nil
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RECEIVED\tSTATE\tTASK\tQUEUE\tRAN\tENGINE\tID")
	for i := range tasks {
		t := &tasks[i]
		at, ran, queue := store.TasksByTime.CursorOf(&t.Task).At, "-", "-"
		if t.RuntimeMS != nil {
			ran = (time.Duration(*t.RuntimeMS) * time.Millisecond).String()
		}
		if t.Queue != nil {
			queue = *t.Queue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", at.UTC().Format(time.RFC3339), domain.TaskState(t.State), oneLine(t.Name), oneLine(queue), ran, oneLine(t.Engine), oneLine(t.TaskID))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if len(tasks) == limit {
		a.printf("The first %d; --limit shows more.\n", limit)
	}
	return nil
}

// oneLine keeps what agents sent from moving the cursor of a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}
