// SPDX-License-Identifier: AGPL-3.0-or-later

package scrape

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
)

const (
	// maxTotals bounds the counted events that one reading takes, of all projects together.
	maxTotals = 100_000
	// maxWorkers bounds the workers of a project.
	maxWorkers = 2000
	// purgeAfter is how long a worker that is gone still has series: long enough to be seen going.
	purgeAfter = 10 * time.Minute
	// anyEngine is what the parameter engine says for all of them.
	anyEngine, celeryEngine = "all", "celery"
)

// Doors show tasks and workers under the names of other exporters. Every replica of the API shows the same.
type Doors struct {
	cfg   Config
	cache cache[[]projectState]
	full  bool
}

// projectState is one reading of a project.
type projectState struct {
	project store.Project
	totals  []store.TaskTotal
	workers []store.ScrapedWorker
	queues  []store.Queue
}

// NewDoors returns the doors.
func NewDoors(cfg Config) *Doors {
	cfg = cfg.withDefaults()
	d := &Doors{cfg: cfg}
	d.cache = cache[[]projectState]{load: d.load, what: "tasks and workers", log: cfg.Logger, now: cfg.Now}
	return d
}

// Celery answers like celery-exporter, Flower like Flower.
func (d *Doors) Celery() http.Handler { return d.handler(celery) }

// Flower answers like Flower.
func (d *Doors) Flower() http.Handler { return d.handler(flower) }

func (d *Doors) load(ctx context.Context) ([]projectState, error) {
	projects, err := d.cfg.Store.ActiveProjects(ctx, maxProjects)
	if err != nil {
		return nil, err
	}
	out := make([]projectState, 0, len(projects))
	room := int64(maxTotals)
	for _, p := range projects {
		st := projectState{project: p}
		if room > 0 {
			if st.totals, err = d.cfg.Store.TaskTotals(ctx, p.ID, "", room); err != nil {
				return nil, err
			}
		}
		room -= int64(len(st.totals))
		if st.workers, err = d.cfg.Store.ScrapedWorkers(ctx, p.ID, maxWorkers); err != nil {
			return nil, err
		}
		if st.queues, err = d.cfg.Store.Queues(ctx, p.ID, maxQueues); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	if room <= 0 && !d.full {
		// load runs under the cache's lock.
		d.full = true
		d.cfg.Logger.Warn("more counted events than /metrics/celery and /metrics/flower show; lower Z4J_METRICS_TASK_SERIES", "rows", maxTotals)
	}
	return out, nil
}

// handler answers a scrape with what show says of the projects that were asked for.
func (d *Doors) handler(show func(*view)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		engine, err := engineOf(query)
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		// Without an answer of the database for long there is nothing to show, and that is no fault of the scrape.
		states, _, ok := d.cache.get()
		if !ok {
			states = nil
		}
		if wanted := query["project"]; len(wanted) > 0 && ok {
			if states, err = only(states, wanted); err != nil {
				httpx.WriteError(w, r, err)
				return
			}
		}
		reg := prometheus.NewRegistry()
		v := newView()
		for i := range states {
			v.enter(&states[i], engine, d.cfg)
			show(v)
		}
		if err := reg.Register(v); err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		obs.Handler(reg, d.cfg.Logger).ServeHTTP(w, r)
	})
}

// engineOf reads the parameter engine: celery without it, "" for all engines.
func engineOf(query url.Values) (string, error) {
	for name := range query {
		if name != "project" && name != "engine" {
			return "", domain.Errorf(domain.CodeValidation, "unknown parameter %q: there are project (a slug or id, repeatable) and engine (a name, or all)", name)
		}
	}
	switch engine := query.Get("engine"); engine {
	case "":
		return celeryEngine, nil
	case anyEngine:
		return "", nil
	default:
		return engine, nil
	}
}

// only picks projects by slug or id.
func only(states []projectState, wanted []string) ([]projectState, error) {
	var out []projectState
	for _, name := range wanted {
		i := slices.IndexFunc(states, func(st projectState) bool {
			return st.project.Slug == name || st.project.UID.String() == strings.ToLower(name)
		})
		if i < 0 {
			return nil, domain.Errorf(domain.CodeNotFound, "there is no active project %q: name its slug or id", name)
		}
		if !slices.ContainsFunc(out, func(st projectState) bool { return st.project.ID == states[i].project.ID }) {
			out = append(out, states[i])
		}
	}
	return out, nil
}

// view gathers series. Equal labels add up: workers of one host share theirs.
type view struct {
	st      *projectState
	project string
	engine  string
	limit   int
	now     time.Time
	// gone are workers that were not heard of for long, by engine and name.
	gone map[[2]string]bool

	order      []string
	families   map[string]*family
	histograms map[string]*histogram
}

type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values map[string]*sample
}

type sample struct {
	labels []string
	v      float64
}

type histogram struct {
	desc   *prometheus.Desc
	values map[string]*times
}

type times struct {
	labels []string
	n      [len(store.TotalBuckets) + 1]uint64
	sum    float64
}

func newView() *view {
	return &view{families: make(map[string]*family), histograms: make(map[string]*histogram)}
}

// enter makes a project the one that is shown.
func (v *view) enter(st *projectState, engine string, cfg Config) {
	v.st, v.project, v.engine, v.limit, v.now = st, st.project.UID.String(), engine, cfg.Series, cfg.Now()
	v.gone = make(map[[2]string]bool)
	for i := range st.workers {
		w := &st.workers[i]
		if v.isGone(w) {
			v.gone[[2]string{w.Engine, w.Name}] = true
		}
	}
}

// isGone reports whether a worker is not there any more. One that is known from the events of tasks only may be idle: it
// is there while it counts as online.
func (v *view) isGone(w *store.ScrapedWorker) bool {
	if w.State == "online" || w.State == "draining" {
		return false
	}
	for _, at := range []*time.Time{w.LastHeartbeat, w.LastEventAt} {
		if at != nil && v.now.Sub(*at) < purgeAfter {
			return false
		}
	}
	return true
}

// totals are the counted events to show.
func (v *view) totals(each func(t *store.TaskTotal)) {
	for i := range v.st.totals {
		t := &v.st.totals[i]
		if v.engine != "" && t.Engine != v.engine || v.gone[[2]string{t.Engine, t.Worker}] {
			continue
		}
		each(t)
	}
}

// workers are the workers to show.
func (v *view) workers(each func(w *store.ScrapedWorker, up float64)) {
	for i := range v.st.workers {
		w := &v.st.workers[i]
		if v.engine != "" && w.Engine != v.engine || v.gone[[2]string{w.Engine, w.Name}] {
			continue
		}
		up := 0.0
		if w.State == "online" || w.State == "draining" {
			up = 1
		}
		each(w, up)
	}
}

// add adds to a series. names are pairs of label and value; the project comes by itself.
func (v *view) add(kind prometheus.ValueType, name, help string, value float64, names ...string) *sample {
	f := v.families[name]
	if f == nil {
		f = &family{desc: v.desc(name, help, names), kind: kind, values: make(map[string]*sample)}
		v.families[name] = f
		v.order = append(v.order, name)
	}
	labels := v.labels(names)
	key := strings.Join(labels, "\xff")
	s := f.values[key]
	if s == nil {
		s = &sample{labels: labels}
		f.values[key] = s
	}
	s.v += value
	return s
}

// time adds n times of a bucket to a histogram, sum milliseconds together.
func (v *view) time(name, help string, bucket, n, sum int64, names ...string) {
	h := v.histograms[name]
	if h == nil {
		h = &histogram{desc: v.desc(name, help, names), values: make(map[string]*times)}
		v.histograms[name] = h
	}
	labels := v.labels(names)
	key := strings.Join(labels, "\xff")
	t := h.values[key]
	if t == nil {
		t = &times{labels: labels}
		h.values[key] = t
	}
	if bucket < 0 || bucket >= int64(len(t.n)) || n <= 0 {
		return
	}
	t.n[bucket] += uint64(n)
	t.sum += float64(sum) / 1000
}

func (v *view) desc(name, help string, names []string) *prometheus.Desc {
	labels := make([]string, 0, len(names)/2+1)
	for i := 0; i < len(names); i += 2 {
		labels = append(labels, names[i])
	}
	return prometheus.NewDesc(name, help, append(labels, "project"), nil)
}

func (v *view) labels(names []string) []string {
	values := make([]string, 0, len(names)/2+1)
	for i := 1; i < len(names); i += 2 {
		values = append(values, valid(names[i]))
	}
	return append(values, v.project)
}

// Describe implements prometheus.Collector. The series of a scrape are not known before it.
func (v *view) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (v *view) Collect(ch chan<- prometheus.Metric) {
	for _, name := range v.order {
		f := v.families[name]
		for _, s := range f.values {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, s.v, s.labels...)
		}
	}
	for _, h := range v.histograms {
		for _, t := range h.values {
			upTo, buckets := uint64(0), make(map[float64]uint64, len(store.TotalBuckets))
			for i, bound := range store.TotalBuckets {
				upTo += t.n[i]
				buckets[bound] = upTo
			}
			ch <- prometheus.MustNewConstHistogram(h.desc, upTo+t.n[len(store.TotalBuckets)], t.sum, buckets, t.labels...)
		}
	}
}

// eventTypes are Celery's names of what is counted.
var eventTypes = map[store.TotalKind]string{
	store.TotalSent: "sent", store.TotalReceived: "received", store.TotalStarted: "started", store.TotalSucceeded: "succeeded",
	store.TotalFailed: "failed", store.TotalRejected: "rejected", store.TotalRevoked: "revoked", store.TotalRetried: "retried",
}

// celeryCounters are the counters of celery-exporter, with its words.
var celeryCounters = []struct {
	kind store.TotalKind
	help string
}{
	{store.TotalSent, "Task messages published."},
	{store.TotalReceived, "Tasks that workers received."},
	{store.TotalStarted, "Tasks that workers began."},
	{store.TotalSucceeded, "Tasks that succeeded."},
	{store.TotalFailed, "Tasks that failed, by the class of the exception."},
	{store.TotalRejected, "Tasks that workers turned away."},
	{store.TotalRevoked, "Tasks that were revoked."},
	{store.TotalRetried, "Tasks that failed and are to be tried again."},
}

// defaultQueue is what celery-exporter says of tasks whose queue it does not know.
const defaultQueue = "celery"

// celery shows a project like celery-exporter.
func celery(v *view) {
	v.totals(func(t *store.TaskTotal) {
		queue := t.Queue
		if queue == "" {
			queue = defaultQueue
		}
		labels := []string{"name", t.Name, "hostname", hostOf(t.Worker), "queue_name", queue}
		if _, ok := eventTypes[t.Kind]; !ok {
			return
		}
		for _, c := range celeryCounters {
			mine, n := t.Kind == c.kind, 0.0
			if mine {
				n = float64(t.N)
			} else if t.Kind == store.TotalSent {
				continue // whoever publishes runs nothing
			}
			ls := labels
			if c.kind == store.TotalFailed {
				exception := ""
				if mine {
					exception = t.Exception
				}
				ls = append(slices.Clone(labels), "exception", exception)
			}
			// A series stands at 0 as soon as its task is known: a ratio with a part that is missing would be missing too.
			v.add(prometheus.CounterValue, "celery_task_"+eventTypes[c.kind]+"_total", c.help, n, ls...)
		}
		if t.Kind == store.TotalSucceeded {
			v.time("celery_task_runtime", "How long tasks ran that succeeded, in seconds.", t.Bucket, t.N, t.RuntimeMS, labels...)
		}
	})
	active := map[string][2]float64{} // by queue: workers, processes
	v.workers(func(w *store.ScrapedWorker, up float64) {
		host := hostOf(w.Name)
		s := v.add(prometheus.GaugeValue, "celery_worker_up", "1 while a worker of the host was heard of lately.", 0, "hostname", host)
		s.v = max(s.v, up)
		v.add(prometheus.GaugeValue, "celery_worker_tasks_active", "Tasks that workers of the host run now, as last reported.", up*float64(w.ActiveTasks), "hostname", host)
		var queues []string
		if up == 0 || json.Unmarshal([]byte(w.Queues), &queues) != nil {
			return
		}
		for _, q := range queues {
			a := active[q]
			a[0]++
			if w.Concurrency != nil {
				a[1] += float64(*w.Concurrency)
			}
			active[q] = a
		}
	})
	known := 0
	for i := range v.st.queues {
		q := &v.st.queues[i]
		if v.engine != "" && q.Engine != v.engine {
			continue
		}
		name := q.Name
		if known++; known > v.limit {
			name = store.TotalOther
		}
		if q.DepthAt != nil {
			v.add(prometheus.GaugeValue, "celery_queue_length", "Messages in the queue, as last reported.", float64(q.PendingCount), "queue_name", name)
		}
		a := active[q.Name]
		v.add(prometheus.GaugeValue, "celery_active_worker_count", "Workers that read from the queue, as last reported.", a[0], "queue_name", name)
		v.add(prometheus.GaugeValue, "celery_active_process_count", "Processes of these workers.", a[1], "queue_name", name)
	}
}

// hostOf is the host's part of a Celery worker's name.
func hostOf(worker string) string {
	if _, host, ok := strings.Cut(worker, "@"); ok {
		return host
	}
	return worker
}

// flower shows a project like Flower.
func flower(v *view) {
	v.totals(func(t *store.TaskTotal) {
		labels := []string{"worker", t.Worker, "task", t.Name}
		if typ, ok := eventTypes[t.Kind]; ok {
			v.add(prometheus.CounterValue, "flower_events_total", "Events of tasks.", float64(t.N), "worker", t.Worker, "type", "task-"+typ, "task", t.Name)
		}
		switch t.Kind {
		case store.TotalSucceeded:
			v.time("flower_task_runtime_seconds", "How long tasks ran that succeeded.", t.Bucket, t.N, t.RuntimeMS, labels...)
		case store.TotalHeld:
			n := float64(max(t.N, 0))
			v.add(prometheus.GaugeValue, "flower_worker_prefetched_tasks", "Tasks that the worker received and has not begun.", n, labels...)
			s := v.add(prometheus.GaugeValue, "flower_task_prefetch_time_seconds", "How long the task that began last had waited at the worker.", 0, labels...)
			s.v = max(s.v, float64(t.RuntimeMS)/1000)
		default:
		}
	})
	v.workers(func(w *store.ScrapedWorker, up float64) {
		s := v.add(prometheus.GaugeValue, "flower_worker_online", "1 while the worker is online.", 0, "worker", w.Name)
		s.v = max(s.v, up)
		v.add(prometheus.GaugeValue, "flower_worker_number_of_currently_executing_tasks", "Tasks that the worker runs now, as last reported.",
			up*float64(w.ActiveTasks), "worker", w.Name)
	})
}
