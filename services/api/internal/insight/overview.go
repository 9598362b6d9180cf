// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// OverviewQuery are the parameters of the overview.
type OverviewQuery struct {
	rest.WindowQuery
}

// Measures are the numbers of a window.
type Measures struct {
	Totals TotalsPublic   `json:"totals"`
	Run    *LatencyPublic `json:"run" doc:"how long the tasks ran that succeeded or failed; null when nothing was measured"`
	Wait   *LatencyPublic `json:"wait" doc:"from when a task was due, its reception or a later planned time, to its start; null when nothing was measured"`
	Total  *LatencyPublic `json:"total" doc:"from when a task was due to its end; null when nothing was measured"`
}

// Previous is the window before.
type Previous struct {
	Window rest.Window `json:"window"`
	Measures
}

// Backlog is the work that waits at this moment.
type Backlog struct {
	Waiting           int64   `json:"waiting" doc:"tasks that were received and have not started, counted up to 1000"`
	WaitingCapped     bool    `json:"waiting_capped" doc:"there are more waiting than waiting says"`
	OldestWaitSeconds *int64  `json:"oldest_wait_seconds"`
	InPerMinute       float64 `json:"in_per_minute" doc:"tasks received in the last minutes of the window, those started where engines report no reception"`
	OutPerMinute      float64 `json:"out_per_minute" doc:"tasks ended in the same minutes"`
	DrainSeconds      *int64  `json:"drain_seconds" doc:"how long the waiting tasks last at this pace; null while they do not get fewer, or are not counted to the end"`
}

// FailingTask is a task name with failures.
type FailingTask struct {
	Name        string  `json:"name"`
	Failed      int64   `json:"failed"`
	Total       int64   `json:"total" doc:"tasks that succeeded or failed"`
	FailureRate float64 `json:"failure_rate"`
}

// SlowTask is a task name by how long it runs.
type SlowTask struct {
	Name  string `json:"name"`
	P95MS int64  `json:"p95_ms"`
	P50MS int64  `json:"p50_ms"`
	N     int64  `json:"n"`
}

// BusyQueue is a queue by what ended in it.
type BusyQueue struct {
	Name      string `json:"name" doc:"empty for tasks of no known queue"`
	Ended     int64  `json:"ended"`
	Failed    int64  `json:"failed"`
	P95WaitMS *int64 `json:"p95_wait_ms"`
}

// WorkersNow counts workers.
type WorkersNow struct {
	Online      int64 `json:"online"`
	Offline     int64 `json:"offline"`
	IdleSuspect int64 `json:"idle_suspect" doc:"alive, and seem not to consume although there is work for them"`
}

// AgentsNow counts agents; one that never connected is neither.
type AgentsNow struct {
	Online  int64 `json:"online"`
	Offline int64 `json:"offline"`
}

// CommandsIn counts commands of a window, open ones of any time.
type CommandsIn struct {
	Open      int64 `json:"open"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Timeout   int64 `json:"timeout"`
}

// OverviewPublic says whether a project's work is getting done in time.
type OverviewPublic struct {
	Window       rest.Window `json:"window"`
	GrainSeconds int64       `json:"grain_seconds" doc:"the start of the window is cut to this: what happened before it in the same stretch counts too"`
	Measures
	Previous      Previous      `json:"previous"`
	Backlog       Backlog       `json:"backlog"`
	TopFailing    []FailingTask `json:"top_failing" doc:"at most 8"`
	Slowest       []SlowTask    `json:"slowest" doc:"at most 8"`
	BusiestQueues []BusyQueue   `json:"busiest_queues" doc:"at most 8"`
	Workers       WorkersNow    `json:"workers"`
	Agents        AgentsNow     `json:"agents"`
	OpenIssues    int64         `json:"open_issues" doc:"groups of failures with tasks still in failure, counted up to 1000"`
	Commands      CommandsIn    `json:"commands"`
}

const (
	// topRows is how many rows the short lists of an overview have.
	topRows = 8
	// maxWaiting and maxIssues are where counting ends.
	maxWaiting, maxIssues = 1000, 1000
	// paceOver is the stretch that rates are taken from.
	paceOver = 10 * time.Minute
)

func (g *group) overview(r *rest.Request) (any, error) {
	q := rest.Query[OverviewQuery](r)
	window, err := q.Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	width := window.To.Sub(window.From.Time)
	out := OverviewPublic{Window: window, GrainSeconds: int64(store.Grain(width).Seconds())}
	now := query(r.Project.ID, window)
	queues, err := g.keyed(ctx, now, store.ByQueue)
	if err != nil {
		return nil, err
	}
	out.Measures = measures(total(queues))
	before := now
	before.From, before.To = now.From.Add(-width), now.From
	sum, err := g.whole(ctx, before)
	if err != nil {
		return nil, err
	}
	out.Previous = Previous{Window: rest.NewWindow(window.From.Add(-width), window.From.Time), Measures: measures(sum)}
	if out.Backlog, err = g.backlog(ctx, r.Project.ID, window); err != nil {
		return nil, err
	}
	if err := g.ranked(ctx, now, queues, &out); err != nil {
		return nil, err
	}
	return out, g.present(ctx, r.Project.ID, window, &out)
}

func measures(s *store.Sum) Measures {
	return Measures{Totals: totalsPublic(s), Run: latencyPublic(s.Run()), Wait: latencyPublic(s.Wait()), Total: latencyPublic(s.Total())}
}

// backlog tells of the work that waits now, and of the pace at the end of the window.
func (g *group) backlog(ctx context.Context, project int64, window rest.Window) (Backlog, error) {
	var out Backlog
	w, err := g.store.WaitingTasks(ctx, project, nil, maxWaiting)
	if err != nil {
		return out, err
	}
	out.Waiting, out.WaitingCapped = w.Count, w.Capped
	if w.Oldest != nil {
		age := max(0, int64(g.store.Now().Sub(*w.Oldest).Seconds()))
		out.OldestWaitSeconds = &age
	}
	// Whole minutes: what is left of the last one would count as a lull.
	end := window.To.UTC().Truncate(time.Minute)
	begin := end.Add(-min(paceOver, max(time.Minute, window.To.Sub(window.From.Time)).Truncate(time.Minute)))
	pace, err := g.whole(ctx, store.SumQuery{ProjectID: project, From: begin, To: end, Counts: true})
	if err != nil {
		return out, err
	}
	in := pace.Received
	if in == 0 {
		in = pace.Started
	}
	minutes := end.Sub(begin).Minutes()
	out.InPerMinute, out.OutPerMinute = float64(in)/minutes, float64(pace.Ended())/minutes
	switch fewer := out.OutPerMinute - out.InPerMinute; {
	case out.Waiting == 0:
		out.DrainSeconds = new(int64)
	case fewer > 0 && !out.WaitingCapped:
		drain := int64(float64(out.Waiting) / fewer * time.Minute.Seconds())
		out.DrainSeconds = &drain
	}
	return out, nil
}

// ranked fills the short lists.
func (g *group) ranked(ctx context.Context, q store.SumQuery, queues []keyedSum, out *OverviewPublic) error {
	out.TopFailing, out.Slowest, out.BusiestQueues = []FailingTask{}, []SlowTask{}, []BusyQueue{}
	names, err := g.keyed(ctx, q, store.ByName)
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b keyedSum) int { return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.key, b.key)) })
	for _, n := range names[:min(len(names), topRows)] {
		if n.Failed <= 0 {
			break
		}
		name, err := g.nameOf(ctx, n.key)
		if err != nil {
			return err
		}
		out.TopFailing = append(out.TopFailing, FailingTask{Name: name, Failed: n.Failed, Total: n.Succeeded + n.Failed, FailureRate: n.FailureRate()})
	}
	type timed struct {
		key int64
		*store.Latency
	}
	var slow []timed
	for _, n := range names {
		if l := n.Run(); l != nil {
			slow = append(slow, timed{n.key, l})
		}
	}
	slices.SortFunc(slow, func(a, b timed) int { return cmp.Or(cmp.Compare(b.P95, a.P95), cmp.Compare(a.key, b.key)) })
	for _, n := range slow[:min(len(slow), topRows)] {
		name, err := g.nameOf(ctx, n.key)
		if err != nil {
			return err
		}
		out.Slowest = append(out.Slowest, SlowTask{Name: name, P95MS: rounded(n.P95), P50MS: rounded(n.P50), N: n.N})
	}
	slices.SortFunc(queues, func(a, b keyedSum) int { return cmp.Or(cmp.Compare(b.Ended(), a.Ended()), cmp.Compare(a.key, b.key)) })
	for _, n := range queues[:min(len(queues), topRows)] {
		name, err := g.nameOf(ctx, n.key)
		if err != nil {
			return err
		}
		row := BusyQueue{Name: name, Ended: n.Ended(), Failed: n.Failed}
		if l := n.Wait(); l != nil {
			p95 := rounded(l.P95)
			row.P95WaitMS = &p95
		}
		out.BusiestQueues = append(out.BusiestQueues, row)
	}
	return nil
}

// present fills what is so at this moment.
func (g *group) present(ctx context.Context, project int64, window rest.Window, out *OverviewPublic) error {
	states, err := g.store.ProjectStates(ctx, project, window.From.Time)
	if err != nil {
		return err
	}
	out.Workers = WorkersNow{Online: states.Workers[online], Offline: states.Workers[offline]}
	out.Agents = AgentsNow{Online: states.Agents[online], Offline: states.Agents[offline]}
	out.Commands = CommandsIn{
		Open: states.OpenCommands, Completed: states.Commands[domain.CommandCompleted], Failed: states.Commands[domain.CommandFailed],
		Timeout: states.Commands[domain.CommandTimeout],
	}
	if out.Workers.IdleSuspect, err = g.cfg.IdleWorkers(ctx, project); err != nil {
		return err
	}
	if out.OpenIssues, err = g.store.CountOpenIssues(ctx, project, maxIssues); err != nil {
		return fmt.Errorf("count open issues: %w", err)
	}
	return nil
}
