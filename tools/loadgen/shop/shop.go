// SPDX-License-Identifier: AGPL-3.0-or-later

// Package shop makes up the work of a web shop's task queues: two dozen kinds of tasks on eight
// queues and six workers, with waits, runs, retries, failures, canvases and a daily rhythm as they
// are met in production. It only decides what happens and when; package demo tells it to a brain.
package shop

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// Step is one event of a task, and where it belongs.
type Step struct {
	loadgen.Event
	// Host is the number of the agent that reports it: one agent tells a task's whole life, because
	// the order between agents is nobody's promise.
	Host                int
	Name, Queue, Worker string
	// Depth is what the event does to the queue's length, Running to the worker's load.
	Depth, Running int
}

// Task is one task's life from its arrival on. Steps are in order of time and may lie in the future.
type Task struct {
	ID, Name, Queue string
	Steps           []Step
	ended           time.Time
	ok              bool
}

// Shop decides. It is not safe for concurrent use.
type Shop struct {
	m      *maker
	jobs   []job
	weight float64
	fleet  []worker
	from   time.Time
	to     time.Time
	// stall is since when the worker of the stalled queue does nothing.
	stall time.Time
	// release is since when one kind of task has a new bug.
	release time.Time
	// burst is when the payment provider is down.
	burst, burstEnd time.Time
}

// New returns a shop whose past is the time from to-span to to.
func New(seed uint64, to time.Time, span time.Duration) *Shop {
	s := &Shop{m: newMaker(seed), jobs: catalogue(), fleet: fleet(), from: to.Add(-span), to: to}
	for _, j := range s.jobs {
		s.weight += j.weight
	}
	s.stall = to.Add(-min(25*time.Minute, span/10))
	s.release = to.Add(-span / 16)
	s.burst = to.Add(-span * 22 / 100)
	s.burstEnd = s.burst.Add(span * 3 / 100)
	return s
}

// rhythm is how busy the shop is at a time, from 0 to 1: quiet at night, busiest after lunch (UTC).
func rhythm(t time.Time) float64 {
	hour := float64(t.UTC().Hour()) + float64(t.UTC().Minute())/60
	return .62 + .38*math.Sin((hour-8.5)/24*2*math.Pi)
}

// Past calls yield with n tasks that arrived between the shop's beginning and now, in slices that
// follow each other in time, so that nobody has to hold all of them.
func (s *Shop) Past(n int, yield func([]Task) error) error {
	const slice = 5000
	times := make([]time.Time, n)
	for i := range times {
		for {
			times[i] = s.from.Add(time.Duration(s.m.rng.Float64() * float64(s.to.Sub(s.from))))
			if s.m.chance(rhythm(times[i])) {
				break
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for chunk := range slices.Chunk(times, slice) {
		tasks := make([]Task, 0, len(chunk))
		// In random order, because canvases make more tasks than there are arrivals and the rest of
		// the arrivals falls away.
		s.m.rng.Shuffle(len(chunk), func(i, j int) { chunk[i], chunk[j] = chunk[j], chunk[i] })
		for _, at := range chunk {
			if room := len(chunk) - len(tasks); room > 16 {
				tasks = append(tasks, s.Arrive(at)...)
			} else if room > 0 {
				tasks = append(tasks, s.single(at))
			}
		}
		slices.SortStableFunc(tasks, func(a, b Task) int { return a.Steps[0].At.Compare(b.Steps[0].At) })
		if err := yield(tasks); err != nil {
			return err
		}
	}
	return nil
}

// Backlog are n tasks that wait in the stalled queue.
func (s *Shop) Backlog(n int) []Task {
	tasks := make([]Task, 0, n)
	for i := range n {
		at := s.stall.Add(s.to.Sub(s.stall) * time.Duration(i) / time.Duration(max(n, 1)))
		tasks = append(tasks, s.life(s.job("reports.render_section"), at, "", ""))
	}
	return tasks
}

// Arrive is what is sent at a time: one task, or a canvas of several.
func (s *Shop) Arrive(at time.Time) []Task {
	switch draw := s.m.rng.Float64(); {
	case draw < .004:
		return s.report(at)
	case draw < .010:
		return s.chain(at, "imports.download_feed", "imports.parse_feed", "imports.apply_prices", "search.reindex_category")
	case draw < .040:
		return s.chain(at, "orders.reserve_stock", "billing.charge_card", "mail.send_order_confirmation")
	}
	return []Task{s.single(at)}
}

// Again is a new task of the same name as an earlier one, as a retry by command makes it.
func (s *Shop) Again(name string, at time.Time) Task {
	if j := s.job(name); j != nil {
		return s.life(j, at, "", "")
	}
	return s.single(at)
}

func (s *Shop) job(name string) *job {
	at := slices.IndexFunc(s.jobs, func(j job) bool { return j.name == name })
	if at < 0 {
		return nil
	}
	return &s.jobs[at]
}

func (s *Shop) single(at time.Time) Task {
	draw := s.m.rng.Float64() * s.weight
	for i := range s.jobs {
		if draw -= s.jobs[i].weight; draw < 0 {
			return s.life(&s.jobs[i], at, "", "")
		}
	}
	return s.life(&s.jobs[0], at, "", "")
}

// chain runs one task after the other until one fails.
func (s *Shop) chain(at time.Time, names ...string) []Task {
	var tasks []Task
	parent, root := "", ""
	for _, name := range names {
		t := s.life(s.job(name), at, parent, root)
		tasks = append(tasks, t)
		if !t.ok {
			break
		}
		if root == "" {
			root = t.ID
		}
		parent, at = t.ID, t.ended.Add(s.m.seconds(.01, .3))
	}
	return tasks
}

// report is a chord: one task, then its sections side by side, then the one that waits for them all.
func (s *Shop) report(at time.Time) []Task {
	head := s.life(s.job("reports.build_daily"), at, "", "")
	tasks := []Task{head}
	if !head.ok {
		return tasks
	}
	last, ok := head.ended, true
	for range s.m.between(4, 8) {
		t := s.life(s.job("reports.render_section"), head.ended.Add(s.m.seconds(.02, .3)), head.ID, head.ID)
		tasks = append(tasks, t)
		if t.ended.After(last) {
			last = t.ended
		}
		ok = ok && t.ok
	}
	if ok {
		tasks = append(tasks, s.life(s.job("reports.publish"), last.Add(s.m.seconds(.02, .3)), tasks[len(tasks)-1].ID, head.ID))
	}
	return tasks
}

func (s *Shop) workerOf(queue string) *worker {
	var serving []*worker
	for i := range s.fleet {
		if slices.Contains(s.fleet[i].queues, queue) {
			serving = append(serving, &s.fleet[i])
		}
	}
	return serving[s.m.rng.IntN(len(serving))]
}

// troubled changes a job's luck and pace by the time: the payment provider's outage, the busy hours.
func (s *Shop) troubled(j *job, at time.Time) (fails, wait, run float64, kinds []failure) {
	fails, wait, run, kinds = 2*j.fails, j.wait*(.6+.9*rhythm(at)), j.run, j.failures
	if j.name == "search.index_product" && at.After(s.release) {
		return .06, wait, run, []failure{missingKey}
	}
	if j.name == "billing.charge_card" && at.After(s.burst) && at.Before(s.burstEnd) {
		return .7, wait * 9, 10, []failure{providerTimeout}
	}
	if j.queue == "mail" && at.After(s.burst) && at.Before(s.burstEnd) {
		wait *= 4
	}
	return fails, wait, run, kinds
}

// life tells how one task goes from its arrival to its end.
func (s *Shop) life(j *job, at time.Time, parent, root string) Task {
	m, w := s.m, s.workerOf(j.queue)
	t := Task{ID: m.uuid(), Name: j.name, Queue: j.queue}
	args, kwargs := j.input(m)
	add := func(kind string, when time.Time, depth, running int, data string) {
		t.Steps = append(t.Steps, Step{
			Event: loadgen.Event{ID: m.uuid(), Kind: "task." + kind, TaskID: t.ID, At: when, Data: data},
			Host:  w.hostNumber, Name: j.name, Queue: j.queue, Worker: w.name, Depth: depth, Running: running,
		})
		t.ended = when
	}
	fails, wait, run, kinds := s.troubled(j, at)
	due := at
	var eta string
	if j.eta > 0 && m.chance(j.eta) {
		due = at.Add(m.seconds(2400, .9))
		eta = due.UTC().Format(`,"eta":"2006-01-02T15:04:05.000000+00:00"`)
	}
	for attempt := 0; ; attempt++ {
		add("received", at, 1, 0, received(j, args, kwargs, parent, root, eta, attempt))
		if j.queue == stalled && !at.Before(s.stall) {
			return t
		}
		began := due.Add(m.seconds(wait, j.spread))
		if attempt == 0 && m.chance(.003) {
			add("revoked", began, -1, 0, w.data(&t, `"terminated":false,"signum":null,"expired":`+m.pick("true", "false")))
			return t
		}
		add("started", began, -1, 1, w.data(&t, `"args":null,"kwargs":null`))
		took := m.seconds(run, j.spread)
		end := began.Add(took)
		if m.chance(.001) {
			add("revoked", end, 0, -1, w.data(&t, `"terminated":true,"signum":15,"expired":false`))
			return t
		}
		// Who has failed once fails more easily again, but most are through after a retry.
		if !m.chance(min(fails*float64(1+8*attempt), max(fails, .35))) {
			result := j.output(m)
			if w.prefork {
				result = quoted(repr(result))
			}
			add("succeeded", end, 0, -1, w.data(&t, fmt.Sprintf(`"result":%s,"runtime_ms":%.3f`, result, took.Seconds()*1000)))
			t.ok = true
			return t
		}
		kind := kinds[0]
		if len(kinds) > 1 && m.chance(.3) {
			kind = kinds[1]
		}
		class, message, traceback := kind(m, j.name)
		told := fmt.Sprintf(`"exception":%s,"exception_message":%s,"traceback":%s`, quoted(class), quoted(message), quoted(traceback))
		// Not every failure is worth a retry.
		if attempt == j.retries || m.chance(.4) {
			add("failed", end, 0, -1, w.data(&t, told))
			return t
		}
		add("retried", end, 0, -1, w.data(&t, told+`,"reason":`+quoted(class+"("+message+")")))
		// The next attempt's events must not fall into the same second as this one's.
		at = end.Add(time.Second + m.seconds(6*math.Pow(2, float64(attempt)), .3))
		due, eta = at, ""
	}
}

func received(j *job, args, kwargs, parent, root, eta string, attempt int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"task_name":%s,"queue":%q,"worker":null,"args":%s,"kwargs":%s,"parent_task_id":%s,"root_task_id":%s%s`,
		quoted(j.name), j.queue, args, kwargs, orNull(parent), orNull(root), eta)
	if j.priority != "" {
		fmt.Fprintf(&b, `,"priority":%q`, j.priority)
	}
	if attempt > 0 {
		fmt.Fprintf(&b, `,"retry_count":%d`, attempt)
	}
	b.WriteByte('}')
	return b.String()
}

func orNull(id string) string {
	if id == "" {
		return "null"
	}
	return quoted(id)
}

// data is what a worker says on each event after the arrival.
func (w *worker) data(t *Task, rest string) string {
	if w.prefork {
		return fmt.Sprintf(`{"task_name":"<unknown:%s>","queue":null,"worker":%q,%s}`, t.ID[:8], w.name, rest)
	}
	return fmt.Sprintf(`{"task_name":%s,"queue":%q,"worker":%q,%s}`, quoted(t.Name), t.Queue, w.name, rest)
}
