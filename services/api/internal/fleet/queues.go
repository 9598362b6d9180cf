// SPDX-License-Identifier: AGPL-3.0-or-later

package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// QueueQuery are the parameters of operations about queues.
type QueueQuery struct {
	rest.WindowQuery
}

// QueuePublic is a queue. Rates, failures and p95_wait_ms are those of the window and of all engines that have a queue of
// this name; the trend is of the last minutes.
type QueuePublic struct {
	ID            uuid.UUID   `json:"id"`
	ProjectID     uuid.UUID   `json:"project_id"`
	Name          string      `json:"name"`
	Engine        string      `json:"engine"`
	BrokerType    *string     `json:"broker_type"`
	BrokerURLHint *string     `json:"broker_url_hint"`
	LastSeenAt    *httpx.Time `json:"last_seen_at"`
	CreatedAt     httpx.Time  `json:"created_at"`

	Depth             *int64      `json:"depth" doc:"messages at the broker as last reported; null when no engine reports a depth of this queue"`
	DepthAt           *httpx.Time `json:"depth_at"`
	PendingCount      int64       `json:"pending_count" doc:"depth, with 0 where it is not known"`
	Waiting           *int64      `json:"waiting" doc:"tasks that were received and have not started, counted up to 1000; null in projects with very many queues"`
	WaitingCapped     bool        `json:"waiting_capped" doc:"there are more waiting than waiting says"`
	OldestWaitSeconds *int64      `json:"oldest_wait_seconds"`
	InPerMinute       *float64    `json:"in_per_minute" doc:"tasks received in the window; null when the engine does not tell of receptions"`
	OutPerMinute      float64     `json:"out_per_minute" doc:"tasks that ended in the window"`
	Ended             int64       `json:"ended"`
	Failed            int64       `json:"failed"`
	P95WaitMS         *int64      `json:"p95_wait_ms"`
	Consumers         *int64      `json:"consumers" doc:"online workers that list the queue; null when no worker of the engine tells which queues it consumes"`
	Trend             string      `json:"trend" validate:"oneof=empty|draining|steady|growing|stalled|unknown" doc:"of the last ten minutes"`
	DrainSeconds      *int64      `json:"drain_seconds" doc:"until the queue is empty at the pace of the last ten minutes; null when it does not drain or nobody knows"`
	DepthSpark        []*int64    `json:"depth_spark" doc:"highest depth in each of 24 equal parts of the window, null where none was reported"`
}

// QueueNamePublic is what one task did in a queue in the window.
type QueueNamePublic struct {
	Name        string  `json:"name"`
	Ended       int64   `json:"ended"`
	Failed      int64   `json:"failed"`
	FailureRate float64 `json:"failure_rate"`
}

// DepthPoint is the depth of a queue in one bucket.
type DepthPoint struct {
	T     httpx.Time `json:"t"`
	Depth int64      `json:"depth" doc:"at the end of the bucket"`
	Peak  int64      `json:"peak"`
}

// QueueWorkerPublic is a worker that consumes a queue.
type QueueWorkerPublic struct {
	ID          uuid.UUID   `json:"id"`
	Name        string      `json:"name"`
	Hostname    *string     `json:"hostname"`
	State       string      `json:"state"`
	ActiveTasks int64       `json:"active_tasks"`
	Concurrency *int64      `json:"concurrency"`
	LastEventAt *httpx.Time `json:"last_event_at"`
	IdleSuspect bool        `json:"idle_suspect"`
}

// QueueDetailPublic is a queue with what surrounds it.
type QueueDetailPublic struct {
	QueuePublic
	Window         rest.Window         `json:"window"`
	BucketSeconds  int64               `json:"bucket_seconds"`
	DepthSeries    []DepthPoint        `json:"depth_series"`
	TopNames       []QueueNamePublic   `json:"top_names"`
	Workers        []QueueWorkerPublic `json:"workers"`
	AllowedActions []offer.Action      `json:"allowed_actions"`
}

const (
	// paceOver is how far back the trend of a queue looks, trustOver how much of it samples must cover to be trusted.
	paceOver  = 10 * time.Minute
	trustOver = 2 * time.Minute
	// stallOver is how long nothing may start while work waits and every consumer is free.
	stallOver = 2 * time.Minute
	// maxWaiting is where waiting tasks are no longer counted, maxCounted for how many queues they are.
	maxWaiting = 1000
	maxCounted = 500
	// minuteSamples is the longest window for which depths by the minute are read in a list, minuteSeries in a chart.
	minuteSamples = 6 * time.Hour
	minuteSeries  = 24 * time.Hour
	sparkParts    = 24
	// heldFor is how long a message may wait with a worker that is not called busy; celeryPrefetch is Celery's default.
	heldFor        = 3 * time.Second
	celeryPrefetch = 4
	maxNames       = 20
)

// traffic is what is known of all queues of a project at once.
type traffic struct {
	window              rest.Window
	total, recent, last map[string]*store.Sum
	samples, lately     map[int64][]store.DepthSample
	workers             []store.WorkerView
	now                 time.Time
	pace                time.Duration
}

// traffic reads it for all queues of the project, or for one: the id of its name.
func (g *group) traffic(ctx context.Context, projectID int64, w rest.Window, queue *int64) (*traffic, error) {
	t := &traffic{window: w, now: g.store.Now(), pace: paceOver}
	var err error
	sums := func(from, to time.Time, counts bool) (map[string]*store.Sum, error) {
		return g.store.SumsByName(ctx, store.SumQuery{ProjectID: projectID, From: from, To: to, By: store.ByQueue, Queue: queue, Counts: counts})
	}
	if t.total, err = sums(w.From.Time, w.To.Time, false); err != nil {
		return nil, err
	}
	// Minutes are whole: the pace is measured from the start of one.
	since := t.now.Add(-paceOver).Truncate(time.Minute)
	t.pace = t.now.Sub(since)
	if t.recent, err = sums(since, t.now.Add(time.Minute), true); err != nil {
		return nil, err
	}
	if t.last, err = sums(t.now.Add(-stallOver).Truncate(time.Minute), t.now.Add(time.Minute), true); err != nil {
		return nil, err
	}
	if t.lately, err = g.store.QueueDepthSamples(ctx, projectID, store.RollupMinute, since, t.now.Add(time.Minute)); err != nil {
		return nil, err
	}
	if t.workers, err = g.store.Workers(ctx, projectID, maxRows); err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return t, nil
}

func (g *group) queues(r *rest.Request) (any, error) {
	w, err := rest.Query[QueueQuery](r).Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	list, err := g.store.Queues(ctx, r.Project.ID, maxRows)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	t, err := g.traffic(ctx, r.Project.ID, w, nil)
	if err != nil {
		return nil, err
	}
	res := store.RollupMinute
	if w.To.Sub(w.From.Time) > minuteSamples || len(list) > 100 {
		res = store.RollupHour
	}
	if t.samples, err = g.store.QueueDepthSamples(ctx, r.Project.ID, res, w.From.Time, w.To.Time); err != nil {
		return nil, err
	}
	out := make([]QueuePublic, 0, len(list))
	for i := range list {
		q, err := g.queuePublic(ctx, &r.Project, &list[i], t, i < maxCounted)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}

func (g *group) queuePublic(ctx context.Context, p *store.Project, q *store.Queue, t *traffic, count bool) (QueuePublic, error) {
	out := QueuePublic{
		ID: q.UID, ProjectID: p.UID, Name: q.Name, Engine: q.Engine, BrokerType: q.BrokerType, BrokerURLHint: q.BrokerURLHint,
		LastSeenAt: httpx.TimePtr(q.LastSeenAt), CreatedAt: httpx.NewTime(q.CreatedAt), DepthAt: httpx.TimePtr(q.DepthAt),
		PendingCount: q.PendingCount, DepthSpark: spark(t.samples[q.ID], t.window),
	}
	if q.DepthAt != nil {
		out.Depth = &q.PendingCount
	}
	if count {
		if err := g.countWaiting(ctx, p.ID, q.Name, &out, t.now); err != nil {
			return out, err
		}
	}
	total := sumOf(t.total, q.Name)
	out.Ended, out.Failed = total.Ended(), total.Failed
	minutes := t.window.To.Sub(t.window.From.Time).Minutes()
	out.OutPerMinute = perMinute(out.Ended, minutes)
	// Some engines never tell of receptions: then nobody knows what comes in.
	if total.Received > 0 || total.Ended()+total.Started == 0 {
		in := perMinute(total.Received, minutes)
		out.InPerMinute = &in
	}
	if wait := total.Wait(); wait != nil {
		ms := int64(wait.P95 + 0.5)
		out.P95WaitMS = &ms
	}
	out.Consumers = consumers(t.workers, q.Engine, q.Name)
	out.Trend, out.DrainSeconds = t.judge(q, &out)
	return out, nil
}

func (g *group) countWaiting(ctx context.Context, projectID int64, queue string, out *QueuePublic, now time.Time) error {
	out.Waiting = new(int64)
	id, ok, err := g.store.NameID(ctx, queue)
	if err != nil || !ok {
		return err
	}
	w, err := g.store.WaitingTasks(ctx, projectID, &id, maxWaiting)
	if err != nil {
		return err
	}
	*out.Waiting, out.WaitingCapped = w.Count, w.Capped
	if w.Oldest != nil {
		age := max(0, int64(now.Sub(*w.Oldest).Seconds()))
		out.OldestWaitSeconds = &age
	}
	return nil
}

// sumOf is the sum of one queue, empty when it did nothing.
func sumOf(sums map[string]*store.Sum, queue string) *store.Sum {
	if s := sums[queue]; s != nil {
		return s
	}
	return &store.Sum{}
}

func perMinute(n int64, minutes float64) float64 {
	if minutes <= 0 {
		return 0
	}
	return float64(n) / minutes
}

// consumers counts online workers that list the queue, nil when no online worker of the engine lists any.
func consumers(workers []store.WorkerView, engine, queue string) *int64 {
	var n *int64
	for i := range workers {
		w := &workers[i]
		if w.Engine != engine || w.State != online {
			continue
		}
		list := queuesOf(w)
		if len(list) > 0 && n == nil {
			n = new(int64)
		}
		if slices.Contains(list, queue) {
			*n++
		}
	}
	return n
}

// judge says where a queue is going, by its depth where that is measured, else by what came in and went out.
func (t *traffic) judge(q *store.Queue, out *QueuePublic) (trend string, drain *int64) {
	backlog, known := int64(0), false
	switch {
	case out.Depth != nil:
		backlog, known = *out.Depth, true
		if out.Waiting != nil {
			backlog = max(backlog, *out.Waiting)
		}
	case out.Waiting != nil:
		backlog, known = *out.Waiting, true
	}
	recent, last := sumOf(t.recent, q.Name), sumOf(t.last, q.Name)
	still := recent.Ended() == 0 && recent.Started == 0
	waits := time.Duration(0)
	if out.OldestWaitSeconds != nil {
		waits = time.Duration(*out.OldestWaitSeconds) * time.Second
	}
	switch {
	case !known:
		return "unknown", nil
	case backlog == 0 && out.Depth == nil && (out.Consumers == nil && still || out.Consumers != nil && *out.Consumers == 0):
		// Nobody takes anything out, so nobody sees what is in it.
		return "unknown", nil
	case backlog == 0:
		return "empty", new(int64)
	case still:
		return "stalled", nil
	case last.Ended() == 0 && last.Started == 0 && waits >= stallOver && !busy(t.workers, q.Engine, q.Name):
		return "stalled", nil
	}
	// Without a depth all that is seen are the messages that workers hold. Behind busy workers the broker may hold any number.
	if out.Depth == nil && waits >= heldFor && backlog <= held(t.workers, q.Engine, q.Name) {
		return "unknown", nil
	}
	// A task leaves the queue when it starts; where starts are not told, its end is the next best.
	left := float64(max(recent.Started, recent.Ended())) / t.pace.Minutes()
	if float64(backlog) <= left && waits <= time.Minute {
		// Less than a minute of work is on its way, not a backlog.
		seconds := int64(float64(backlog) / left * 60)
		return "draining", &seconds
	}
	net, ok := slope(t.lately[q.ID], t.now)
	if out.Depth == nil || !ok {
		if recent.Received == 0 && out.InPerMinute == nil {
			return "unknown", nil
		}
		net = float64(recent.Received)/t.pace.Minutes() - left
	}
	switch {
	case net < 0:
		seconds := int64(float64(backlog) / -net * 60)
		return "draining", &seconds
	case net > 0:
		return "growing", nil
	default:
		return "steady", nil
	}
}

// busy reports whether an online consumer of the queue runs something.
func busy(workers []store.WorkerView, engine, queue string) bool {
	return slices.ContainsFunc(workers, func(w store.WorkerView) bool {
		return w.Engine == engine && w.State == online && w.ActiveTasks > 0 && slices.Contains(queuesOf(&w), queue)
	})
}

// held is how many messages the online consumers of a queue may have taken from the broker without starting them, 0 when
// they do not tell.
func held(workers []store.WorkerView, engine, queue string) (n int64) {
	for i := range workers {
		w := &workers[i]
		if w.Engine != engine || w.State != online || w.Concurrency == nil || !slices.Contains(queuesOf(w), queue) {
			continue
		}
		var report struct {
			Conf struct {
				Prefetch *int64 `json:"worker_prefetch_multiplier"`
			} `json:"conf"`
		}
		prefetch := int64(celeryPrefetch)
		if json.Unmarshal([]byte(w.Metadata), &report) == nil && report.Conf.Prefetch != nil && *report.Conf.Prefetch > 0 {
			prefetch = *report.Conf.Prefetch
		}
		n += *w.Concurrency * prefetch
	}
	return n
}

// slope is how much the depth changes a minute, from the first to the last sample.
func slope(samples []store.DepthSample, now time.Time) (perMinute float64, ok bool) {
	if len(samples) < 2 {
		return 0, false
	}
	first, last := samples[0], samples[len(samples)-1]
	over := last.At.Sub(first.At)
	if over < trustOver || now.Sub(last.At) > trustOver+time.Minute {
		return 0, false
	}
	return float64(last.Depth-first.Depth) / over.Minutes(), true
}

// spark folds samples into equal parts of the window.
func spark(samples []store.DepthSample, w rest.Window) []*int64 {
	out := make([]*int64, sparkParts)
	part := w.To.Sub(w.From.Time) / sparkParts
	for _, s := range samples {
		// A bucket that reaches into the window belongs to its first part.
		i := max(0, int(s.At.Sub(w.From.Time)/max(part, 1)))
		if i >= sparkParts {
			continue
		}
		if out[i] == nil || *out[i] < s.Peak {
			peak := s.Peak
			out[i] = &peak
		}
	}
	return out
}

func (g *group) queue(r *rest.Request) (any, error) {
	w, err := rest.Query[QueueQuery](r).Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	engine, name := r.Param("engine"), r.Param("name")
	q, err := g.store.QueueByName(ctx, r.Project.ID, engine, name)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, domain.Errorf(domain.CodeNotFound, "queue not found").With("engine", engine).With("name", name)
	}
	if err != nil {
		return nil, fmt.Errorf("find queue: %w", err)
	}
	id, counted, err := g.store.NameID(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up queue: %w", err)
	}
	if !counted {
		id = -1 // of a queue that no task has named, there is nothing to sum up
	}
	t, err := g.traffic(ctx, r.Project.ID, w, &id)
	if err != nil {
		return nil, err
	}
	res := store.RollupMinute
	if w.To.Sub(w.From.Time) > minuteSeries {
		res = store.RollupHour
	}
	samples, err := g.store.QueueDepthSeries(ctx, q.ID, res, w.From.Time, w.To.Time)
	if err != nil {
		return nil, err
	}
	t.samples = map[int64][]store.DepthSample{q.ID: samples}
	out := QueueDetailPublic{
		Window: w, BucketSeconds: res * 60, DepthSeries: make([]DepthPoint, 0, len(samples)), TopNames: []QueueNamePublic{}, Workers: []QueueWorkerPublic{},
	}
	if out.QueuePublic, err = g.queuePublic(ctx, &r.Project, &q, t, true); err != nil {
		return nil, err
	}
	for _, s := range samples {
		out.DepthSeries = append(out.DepthSeries, DepthPoint{T: httpx.NewTime(s.At), Depth: s.Depth, Peak: s.Peak})
	}
	if out.TopNames, err = g.topNames(ctx, r.Project.ID, id, w); err != nil {
		return nil, err
	}
	consuming := slices.DeleteFunc(t.workers, func(w store.WorkerView) bool { return w.Engine != engine || !slices.Contains(queuesOf(&w), name) })
	waits, err := g.backlogs(ctx, r.Project.ID, consuming)
	if err != nil {
		return nil, err
	}
	for i := range consuming {
		each := &consuming[i]
		idle, _ := suspect(each, waits, t.now)
		out.Workers = append(out.Workers, QueueWorkerPublic{
			ID: each.UID, Name: each.Name, Hostname: each.Hostname, State: each.State, ActiveTasks: each.ActiveTasks, Concurrency: each.Concurrency,
			LastEventAt: httpx.TimePtr(each.LastEventAt), IdleSuspect: idle,
		})
	}
	agents, err := offer.Load(ctx, g.store, r.Project.ID)
	if err != nil {
		return nil, err
	}
	out.AllowedActions = []offer.Action{agents.Offer(r, auth.CommandPurgeQueue, "purge_queue", engine, nil, "purge_queue")}
	return out, nil
}

// topNames lists the tasks that ended in a queue, most frequent first.
func (g *group) topNames(ctx context.Context, projectID, queue int64, w rest.Window) ([]QueueNamePublic, error) {
	out := []QueueNamePublic{}
	names, err := g.store.SumsByName(ctx, store.SumQuery{
		ProjectID: projectID, From: w.From.Time, To: w.To.Time, By: store.ByName, Queue: &queue, Counts: true,
	})
	if err != nil {
		return nil, err
	}
	for name, sum := range names {
		out = append(out, QueueNamePublic{Name: name, Ended: sum.Ended(), Failed: sum.Failed, FailureRate: sum.FailureRate()})
	}
	slices.SortFunc(out, func(a, b QueueNamePublic) int {
		return cmp.Or(cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), maxNames)], nil
}
