// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/textindex"
)

// TaskOrder chooses the order of a task list.
type TaskOrder int

// Task orders.
const (
	// TasksByStart is newest start first, tasks that never started last.
	TasksByStart TaskOrder = iota
	// TasksBySeen is newest arrival first; the order of a task never changes.
	TasksBySeen
	// TasksByTime is newest reception first; a task without one counts from its start, or else its arrival.
	TasksByTime
)

// TaskCursor points behind a task of a list: its sort time (nil when it has none) and key.
type TaskCursor struct {
	At *time.Time
	ID int64
}

// TaskPage asks for a part of a task list.
type TaskPage struct {
	Filter TaskFilter
	Order  TaskOrder
	// After is nil for the first page.
	After *TaskCursor
	Limit int
	// Basic leaves out results and tracebacks and cuts arguments: rows of a list can be large.
	Basic bool
}

// TaskList is a page of tasks.
type TaskList struct {
	Tasks []TaskView
	// Next points to the rest of the list; nil at its end.
	Next *TaskCursor
	// Partial is set when the search was given up before the page was full: the rest may hold more.
	Partial bool
}

// CursorOf returns the cursor that points behind t.
func (o TaskOrder) CursorOf(t *Task) TaskCursor {
	at := t.StartedAt
	switch o {
	case TasksBySeen:
		at = &t.SeenAt
	case TasksByTime:
		at = new(arrival(t))
	case TasksByStart:
	}
	return TaskCursor{At: at, ID: t.ID}
}

// key is the SQL of the order's sort time.
func (o TaskOrder) key() string {
	return [...]string{"started_at", "seen_at", taskTime}[o]
}

// sql is the ORDER BY of the order's index.
func (o TaskOrder) sql() string {
	return [...]string{"started_at DESC NULLS LAST, id DESC", "seen_at DESC, id DESC", taskTime + " DESC, id DESC"}[o]
}

const (
	// sinceSlack is by how much a task's start may precede its reception (clocks of different hosts), and
	// seenSlack by how much a reception may lie ahead of its arrival.
	sinceSlack, seenSlack = time.Hour, 2 * time.Minute
	// rareMatches is up to how many tasks with one value of an indexed column are looked through as a whole.
	rareMatches = 2000
	// firstRows is how many tasks are looked through in the order of the list before the search index is asked, nearRows
	// before a filter counts as rare, and stretchRows how many for one answer at most. windowRows is how many are looked
	// through as a whole.
	firstRows, nearRows, windowRows, stretchRows = 250, 1500, 20_000, 50_000
	// lookRows is how many the server looks through before a filter of columns is walked in stretches.
	lookRows = 2000
	// chunkRows is how many are looked through between two looks at the clock.
	chunkRows = 1000
	// stretchTime is how long a walk goes on before it answers with what it has, searchTime that of a search in texts: nobody
	// waits, and who wants more asks on.
	stretchTime, searchTime = 10 * time.Millisecond, 12 * time.Millisecond
)

// compareCursors is the order of lists: newest first, those without a time last, then the newest row.
func compareCursors(a, b TaskCursor) int {
	switch {
	case a.At == nil && b.At != nil:
		return 1
	case a.At != nil && b.At == nil:
		return -1
	case a.At != nil && b.At != nil && !a.At.Equal(*b.At):
		return b.At.Compare(*a.At)
	}
	return cmp.Compare(b.ID, a.ID)
}

// ListTasks returns one page of a project's tasks. What an index gives in order is read from it; any other filter
// looks through a bounded part of the list, and then answers with what it found and where to go on.
func (s *Store) ListTasks(ctx context.Context, p TaskPage) (TaskList, error) {
	r, err := s.resolve(ctx, &p.Filter)
	if err != nil {
		return TaskList{}, fmt.Errorf("list tasks: %w", err)
	}
	if r.none || p.Limit <= 0 {
		return TaskList{}, nil
	}
	l := &lister{s: s, p: p, all: r.conds, begun: s.Now()}
	if err := l.plan(ctx); err != nil {
		return TaskList{}, fmt.Errorf("list tasks: %w", s.err(err))
	}
	if l.ordered() && (l.served == nil || len(l.served.values) == 1) {
		return l.direct(ctx)
	}
	var seen *looked
	if !p.Filter.texts() && !l.ordered() {
		near := l.near
		if s.eng.name() == "sqlite" {
			near = l.nearPlaces
		}
		var tasks []Task
		if tasks, seen, err = near(ctx); err != nil {
			return TaskList{}, fmt.Errorf("list tasks: %w", s.err(err))
		}
		if seen == nil {
			return l.page(ctx, tasks)
		}
	}
	places, partial, err := l.find(ctx, seen)
	if err != nil {
		return TaskList{}, fmt.Errorf("list tasks: %w", s.err(err))
	}
	out := TaskList{Partial: partial}
	if len(places) > p.Limit {
		places, out.Next = places[:p.Limit], &places[p.Limit-1]
	} else if partial {
		out.Next = l.reached
	}
	tasks, err := s.fetchTasks(ctx, places, p.Basic)
	if err != nil {
		return TaskList{}, fmt.Errorf("list tasks: %w", s.err(err))
	}
	out.Tasks, err = s.viewTasks(ctx, tasks)
	return out, err
}

// direct is a page that one index gives in its order: nothing is to be found out before the rows are read.
func (l *lister) direct(ctx context.Context) (out TaskList, err error) {
	tasks, err := l.walker(l.served).tasks(ctx, l.p.Limit+1, l.p.Basic)
	if err != nil {
		return TaskList{}, fmt.Errorf("list tasks: %w", l.s.err(err))
	}
	return l.page(ctx, tasks)
}

// page makes a page of its rows, one more when the list goes on.
func (l *lister) page(ctx context.Context, tasks []Task) (out TaskList, err error) {
	if len(tasks) > l.p.Limit {
		tasks = tasks[:l.p.Limit]
		out.Next = new(l.p.Order.CursorOf(&tasks[l.p.Limit-1]))
	}
	out.Tasks, err = l.s.viewTasks(ctx, tasks)
	return out, err
}

// lister finds the places of one page.
type lister struct {
	s *Store
	p TaskPage
	// all are the conditions, window aside. served is the one an index gives in the order of the list, rest are the
	// others. windowed says that the window is not the range of the walk, so that rows have to be looked at for it.
	all, rest []condition
	served    *condition
	windowed  bool
	// reached is how far a search came.
	reached *TaskCursor
	// counted are columns that are read whatever the conditions are.
	counted []string
	// begun is when the answer was begun.
	begun time.Time
}

// plan chooses the condition whose index is walked.
func (l *lister) plan(ctx context.Context) error {
	f := &l.p.Filter
	l.windowed = l.p.Order != TasksByTime && (f.Since != nil || f.Until != nil)
	var candidates []int
	if l.p.Order == TasksByStart {
		for i, c := range l.all {
			// Arms of several values are merged only when nothing else is asked for.
			if (c.column == byState || c.column == byName || c.column == byQueue) &&
				(len(c.values) == 1 || len(l.all) == 1 && len(c.values) <= maxArms && !l.windowed) {
				candidates = append(candidates, i)
			}
		}
	}
	best := -1
	for _, i := range candidates {
		if best < 0 || rank(l.all[i].column) < rank(l.all[best].column) {
			best = i
		}
	}
	if len(candidates) > 1 && l.all[candidates[0]].column == byState {
		// A state that few tasks are in is worth more than a name; one that most are in is worth nothing.
		rare, err := l.rareState(ctx, l.all[candidates[0]].values)
		if err != nil {
			return err
		}
		if rare {
			best = candidates[0]
		}
	}
	for i := range l.all {
		if i == best {
			l.served = &l.all[i]
		} else {
			l.rest = append(l.rest, l.all[i])
		}
	}
	return nil
}

func rank(c column) int { return slices.Index([]column{byName, byQueue, byState}, c) }

func (l *lister) rareState(ctx context.Context, values []any) (bool, error) {
	counts, err := l.s.TaskCounts(ctx, l.p.Filter.ProjectID)
	if err != nil {
		return false, err
	}
	var in, total int64
	for state, n := range counts {
		total += n
		if slices.Contains(values, any(int64(state))) {
			in += n
		}
	}
	return in*10 < total, nil
}

// ordered reports whether indexes give the page in its order, without a look at other rows.
func (l *lister) ordered() bool { return len(l.rest) == 0 && !l.windowed }

// find returns the places of the page, one more when the list goes on. partial says that the search stopped at reached. seen, if set,
// is what was looked through before.
func (l *lister) find(ctx context.Context, seen *looked) (places []TaskCursor, partial bool, err error) {
	if l.ordered() {
		places, err = l.merge(ctx)
		return places, false, err
	}
	walk := l.walker(l.served)
	end := l.begun.Add(stretchTime)
	if l.p.Filter.texts() {
		end = l.begun.Add(searchTime)
	}
	want, scanned, asked, collected := l.p.Limit+1, 0, false, false
	walked := seen != nil && seen.end != nil
	if walked {
		places, walk.after, scanned = seen.places, seen.end, lookRows
	}
	for chunk := firstRows; ; chunk = min(2*chunk, chunkRows) {
		if !walked {
			found, err := walk.filter(ctx, chunk, l.filterRows)
			if err != nil {
				return nil, false, err
			}
			places = append(places, found...)
			scanned += chunk
		}
		walked = false
		switch {
		case len(places) >= want:
			return places[:want], false, nil
		case walk.done:
			return places, false, nil
		case !asked:
			asked = true
			all, ok, err := l.ask(ctx)
			if err == nil && !ok && l.windowed && l.p.Filter.Until != nil {
				// In the order of starts, or of arrivals, a window that has ended may be anywhere.
				all, ok, err = l.complete(ctx, nil, windowRows)
			}
			if err != nil {
				return nil, false, err
			}
			if ok {
				return all[:min(len(all), want)], false, nil
			}
			if exact, err := l.pastedID(ctx); err != nil || exact != nil {
				return exact, false, err
			}
		case !collected && scanned >= nearRows:
			collected = true
			all, ok, err := l.collect(ctx)
			if err != nil {
				return nil, false, err
			}
			if ok {
				return all[:min(len(all), want)], false, nil
			}
		case scanned >= stretchRows || l.s.Now().After(end):
			l.reached = walk.after
			return places, true, nil
		}
	}
}

// merge reads a page in the order of an index, one walk for each of several values of the served condition.
func (l *lister) merge(ctx context.Context) ([]TaskCursor, error) {
	want := l.p.Limit + 1
	var all []TaskCursor
	for _, v := range l.served.values {
		part, err := l.walker(&condition{column: l.served.column, values: []any{v}}).page(ctx, want)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	slices.SortFunc(all, compareCursors)
	return all[:min(len(all), want)], nil
}

func (l *lister) walker(eq *condition) *walker {
	f := &l.p.Filter
	return &walker{s: l.s, project: f.ProjectID, columns: l.columns(), order: l.p.Order, eq: eq, after: l.p.After, since: f.Since, until: f.Until}
}

// filterRows adds what only the rows can answer.
func (l *lister) filterRows(b *builder) {
	b.addAll(l.rest)
	if l.windowed {
		l.p.Filter.window(b)
	}
}

// pastedID finds the task whose whole id is the search text, where no index can tell what else has the text: an id is pasted
// more often than a part of one. Only a search for nothing else is cut short, and names must not match.
func (l *lister) pastedID(ctx context.Context) ([]TaskCursor, error) {
	search := l.p.Filter.Search
	if len(search) != 1 || len(search[0]) < idLength || l.p.After != nil {
		return nil, nil
	}
	names, _, err := l.s.nameIDs(ctx, Part(search[0]))
	if err != nil || len(names) > 0 {
		return nil, err
	}
	id := condition{column: byID, values: []any{search[0]}}
	found, _, err := l.complete(ctx, &id, int64(rareMatches))
	return found, err
}

// idLength is from which length on a search text may be a whole task id.
const idLength = 8

// collect finds all matches at once when some condition, or the window, leaves few enough rows to look at.
func (l *lister) collect(ctx context.Context) (places []TaskCursor, ok bool, err error) {
	for _, c := range l.indexed() {
		if places, ok, err = l.complete(ctx, c, rareMatches); err != nil || ok {
			return places, ok, err
		}
	}
	if f := &l.p.Filter; f.Since == nil && f.Until == nil {
		counts, err := l.s.TaskCounts(ctx, f.ProjectID)
		total := int64(0)
		for _, n := range counts {
			total += n
		}
		if err != nil || total > windowRows {
			return nil, false, err
		}
	}
	return l.complete(ctx, nil, windowRows)
}

// ask finds all matches among the tasks that the search index names; ok is false when it can't help.
func (l *lister) ask(ctx context.Context) (places []TaskCursor, ok bool, err error) {
	b, inner, ok, err := l.named(ctx)
	if err != nil || !ok {
		return nil, false, err
	}
	places, err = l.matches(ctx, b, inner)
	return places, err == nil, err
}

// named is the query of the tasks that the search index names, to be narrowed by the conditions of b.
func (l *lister) named(ctx context.Context) (b *builder, inner string, ok bool, err error) {
	exprs := make([]*textindex.Expr, len(l.all))
	for i := range l.all {
		exprs[i] = l.all[i].tokens
	}
	tasks, ok, err := l.s.candidates(ctx, l.p.Filter.ProjectID, textindex.All(exprs...))
	if err != nil || !ok {
		return nil, "", false, err
	}
	b = &builder{}
	b.add("+project_id = " + b.arg(l.p.Filter.ProjectID)) // the sign keeps the planner from the indexes of projects
	b.add(l.s.eng.amongSQL(b, "id", tasks))
	inner = "SELECT " + l.columns() + " FROM tasks" + b.where()
	b.conds = nil
	l.p.Filter.window(b)
	return b, inner, true, nil
}

// indexed are the conditions that an index serves, the most telling first.
func (l *lister) indexed() []*condition {
	var list []*condition
	for _, c := range []column{byID, byFingerprint, byName, byQueue, byState} {
		for i := range l.all {
			if l.all[i].column == c {
				list = append(list, &l.all[i])
			}
		}
	}
	return list
}

// complete finds all matches among the tasks of a scope; ok is false when these are more than limit.
func (l *lister) complete(ctx context.Context, c *condition, limit int64) (places []TaskCursor, ok bool, err error) {
	b, inner, ok, err := l.scope(ctx, c, limit)
	if err != nil || !ok {
		return nil, false, err
	}
	places, err = l.matches(ctx, b, inner)
	return places, err == nil, err
}

// matches finds all matches among the rows of inner, from behind the page's beginning.
func (l *lister) matches(ctx context.Context, b *builder, inner string) ([]TaskCursor, error) {
	b.addAll(l.all)
	places, err := l.s.readPlaces(ctx, inner, b, l.p.Order)
	if l.p.After != nil {
		places = slices.DeleteFunc(places, func(c TaskCursor) bool { return compareCursors(c, *l.p.After) <= 0 })
	}
	return places, err
}

// scope is the query of the tasks with a value of an indexed column, or of the window when c is nil, to be narrowed by the
// conditions of b; ok is false when these are more than limit.
func (l *lister) scope(ctx context.Context, c *condition, limit int64) (b *builder, inner string, ok bool, err error) {
	b, order := &builder{}, ""
	b.add("project_id = " + b.arg(l.p.Filter.ProjectID))
	if c == nil {
		l.p.Filter.window(b)
		order = " ORDER BY " + TasksByTime.sql()
	} else {
		b.add(c.indexSQL(b))
		if c.column == byFingerprint {
			b.add("fingerprint IS NOT NULL") // the index is of those
		}
	}
	from := " FROM tasks" + b.where() + order + " LIMIT " + b.arg(limit+1)
	n, err := l.s.readInts(ctx, "SELECT count(*) FROM (SELECT 1 AS one"+from+") AS scope", b.args)
	if err != nil || len(n) != 1 || n[0] > limit {
		return nil, "", false, err
	}
	b.conds = nil
	if c != nil {
		l.p.Filter.window(b)
	}
	return b, "SELECT " + l.columns() + from, true, nil
}

// placeColumns are what every stretch reads, condColumns what conditions may look at.
const placeColumns = "id, received_at, started_at, seen_at"

func condColumns() []string {
	return []string{"task_id", "engine_id", "name_id", "queue_id", "worker_id", "state", "priority", "runtime_ms", "fingerprint", "exception", "args", "kwargs", "result"}
}

// columns are those that a stretch has to read: each one costs as much as the step to the next row, and arguments and
// results may be large.
func (l *lister) columns() string {
	b := &builder{}
	b.addAll(l.all)
	text := strings.Join(b.conds, " ")
	columns := []string{placeColumns}
	for _, c := range condColumns() {
		if slices.Contains(l.counted, c) || strings.Contains(text, c) {
			columns = append(columns, c)
		}
	}
	return strings.Join(columns, ", ")
}

// readPlaces reads the places of the rows of inner that the conditions of b hold for, in the order of the list.
func (s *Store) readPlaces(ctx context.Context, inner string, b *builder, order TaskOrder) ([]TaskCursor, error) {
	query := "SELECT id, received_at, started_at, seen_at FROM (" + inner + ") AS stretch"
	if len(b.conds) > 0 {
		query += b.where()
	}
	rows, err := s.eng.read().Query(ctx, query, b.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var places []TaskCursor
	for rows.Next() {
		var t Task
		if err := rows.Scan(&t.ID, &t.ReceivedAt, &t.StartedAt, &t.SeenAt); err != nil {
			return nil, err
		}
		places = append(places, order.CursorOf(&t))
	}
	slices.SortFunc(places, compareCursors)
	return places, rows.Err()
}

// walker walks a list in the order of an index.
type walker struct {
	s            *Store
	project      int64
	columns      string
	order        TaskOrder
	eq           *condition
	after        *TaskCursor
	since, until *time.Time
	// done is set at the end of the list.
	done bool
}

// rangeSQL adds the conditions of the walk, from behind after. Tasks that never started are a walk of their own at the end,
// because no database seeks into an index by "earlier than t, or null".
func (w *walker) rangeSQL(b *builder, unstarted bool) {
	b.add("project_id = " + b.arg(w.project))
	if w.eq != nil {
		b.add(w.eq.sql(b))
	}
	if unstarted {
		b.add("started_at IS NULL")
		if w.after != nil && w.after.At == nil {
			b.add("id < " + b.arg(w.after.ID))
		}
		return
	}
	key := w.order.key()
	switch {
	case w.after != nil:
		at := b.arg(*w.after.At)
		b.add(key + " <= " + at)
		b.add("(" + key + " < " + at + " OR id < " + b.arg(w.after.ID) + ")")
	case w.order == TasksByTime && w.until != nil:
		b.add(key + " <= " + b.arg(domain.Micros(*w.until)))
	case w.order == TasksByStart && w.since == nil:
		b.add("started_at IS NOT NULL")
	}
	if w.since != nil {
		slack := map[TaskOrder]time.Duration{TasksByStart: sinceSlack, TasksBySeen: seenSlack}[w.order]
		b.add(key + " >= " + b.arg(domain.Micros(w.since.Add(-slack))))
	}
}

// phases are the walks that are left: the started ones and then the others.
func (w *walker) phases() []bool {
	switch {
	case w.order != TasksByStart:
		return []bool{false}
	case w.after != nil && w.after.At == nil:
		return []bool{true}
	}
	return []bool{false, true}
}

// from names the table, and for SQLite the index to walk: it keeps no statistics of its own, and without any takes every
// index that begins with the project for as good as the other.
func (w *walker) from() string {
	if w.s.eng.name() != "sqlite" {
		return " FROM tasks"
	}
	index := [...]string{"tasks_started", "tasks_seen", "tasks_time"}[w.order]
	if w.eq != nil {
		index = map[column]string{byState: "tasks_state_started", byName: "tasks_name_started", byQueue: "tasks_queue_started"}[w.eq.column]
	}
	return " FROM tasks INDEXED BY " + index
}

// page reads the next places.
func (w *walker) page(ctx context.Context, want int) ([]TaskCursor, error) {
	var places []TaskCursor
	for _, unstarted := range w.phases() {
		b := &builder{}
		w.rangeSQL(b, unstarted)
		part, err := w.s.readPlaces(ctx, "SELECT "+placeColumns+w.from()+b.where()+" ORDER BY "+w.order.sql()+" LIMIT "+b.arg(int64(want-len(places))),
			&builder{args: b.args}, w.order)
		if err != nil {
			return nil, err
		}
		if places = append(places, part...); len(places) >= want {
			break
		}
	}
	return places, nil
}

// tasks reads the next rows, basic ones when they are to be small.
func (w *walker) tasks(ctx context.Context, want int, basic bool) ([]Task, error) {
	var list []Task
	for _, unstarted := range w.phases() {
		b := &builder{}
		w.rangeSQL(b, unstarted)
		part, err := w.s.readTasks(ctx, "SELECT "+rowColumns(basic)+w.from()+b.where()+" ORDER BY "+w.order.sql()+" LIMIT "+b.arg(int64(want-len(list))), b.args, want)
		if err != nil {
			return nil, err
		}
		if list = append(list, part...); len(list) >= want {
			break
		}
	}
	return list, nil
}

// inner is the query of the next n rows.
func (w *walker) inner(b *builder, n int) string {
	w.rangeSQL(b, w.phases()[0])
	query := "SELECT " + w.columns + w.from() + b.where() + " ORDER BY " + w.order.sql() + " LIMIT " + b.arg(int64(n))
	b.conds = nil
	return query
}

// filter returns the places of those of the next n rows for which conditions hold, and walks on behind the n.
func (w *walker) filter(ctx context.Context, n int, conditions func(*builder)) (places []TaskCursor, err error) {
	// Numbering copies rows: wide ones cost more than another walk of the index. SQLite numbers rows at a higher cost in any case.
	wide := slices.ContainsFunc([]string{"args", "result", "exception"}, func(c string) bool { return strings.Contains(w.columns, c) })
	if wide || w.s.eng.name() == "sqlite" {
		err = w.stretch(ctx, n, func(inner string, b *builder) error {
			conditions(b)
			places, err = w.s.readPlaces(ctx, inner, b, w.order)
			return err
		})
		return places, err
	}
	// Numbered rows tell where the walk goes on: to find that out afterwards costs as much again.
	b := &builder{}
	inner := w.inner(b, n)
	conditions(b)
	hit, last := strings.Join(b.conds, " AND "), "n = "+b.arg(int64(n))
	if hit == "" {
		hit = "true"
	}
	rows, err := w.s.eng.read().Query(ctx, "SELECT id, received_at, started_at, seen_at, "+last+", coalesce("+hit+", false) FROM (SELECT w.*, row_number() OVER () AS n FROM ("+
		inner+") AS w) AS stretch WHERE "+last+" OR "+hit, b.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var end *TaskCursor
	for rows.Next() {
		var t Task
		var isLast, isHit bool
		if err := rows.Scan(&t.ID, &t.ReceivedAt, &t.StartedAt, &t.SeenAt, &isLast, &isHit); err != nil {
			return nil, err
		}
		place := w.order.CursorOf(&t)
		if isLast {
			end = &place
		}
		if isHit {
			places = append(places, place)
		}
	}
	slices.SortFunc(places, compareCursors)
	w.goOn(end)
	return places, rows.Err()
}

// goOn moves the walk behind the last row of a stretch, nil when that was the end of the phase.
func (w *walker) goOn(last *TaskCursor) {
	switch {
	case last != nil:
		w.after = last
	case w.order == TasksByStart && !w.phases()[0]:
		w.after = &TaskCursor{ID: maxKey}
	default:
		w.done = true
	}
}

// stretch passes the query of the next n rows to read, and walks on behind them.
func (w *walker) stretch(ctx context.Context, n int, read func(inner string, b *builder) error) error {
	b := &builder{}
	inner := w.inner(b, n)
	if err := read(inner, b); err != nil {
		return err
	}
	b = &builder{}
	w.rangeSQL(b, w.phases()[0])
	end, err := w.s.readPlaces(ctx, "SELECT "+placeColumns+w.from()+b.where()+" ORDER BY "+w.order.sql()+
		" LIMIT 1 OFFSET "+b.arg(int64(n-1)), &builder{args: b.args}, w.order)
	if err != nil {
		return err
	}
	if len(end) == 1 {
		w.goOn(&end[0])
	} else {
		w.goOn(nil)
	}
	return nil
}

// maxKey is beyond all keys.
const maxKey = 1<<63 - 1

func rowColumns(basic bool) string {
	if basic {
		return basicColumns
	}
	return taskColumns
}

// fetchTasks reads rows in the order of their places.
func (s *Store) fetchTasks(ctx context.Context, places []TaskCursor, basic bool) ([]Task, error) {
	if len(places) == 0 {
		return nil, nil
	}
	b := &builder{}
	order := make(map[int64]int, len(places))
	list := make([]string, len(places))
	for i, p := range places {
		list[i] = b.arg(p.ID)
		order[p.ID] = i
	}
	tasks, err := s.readTasks(ctx, "SELECT "+rowColumns(basic)+" FROM tasks WHERE id IN ("+strings.Join(list, ", ")+")", b.args, len(places))
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(order[a.ID], order[b.ID]) })
	return tasks, err
}

// TasksOfIssue returns the tasks whose last failure belongs to an issue, the latest failure first, as basic rows.
func (s *Store) TasksOfIssue(ctx context.Context, projectID int64, fingerprint string, limit int) ([]TaskView, error) {
	b := &builder{}
	b.add("project_id = " + b.arg(projectID))
	b.add("fingerprint = " + b.arg(fingerprint))
	b.add("fingerprint IS NOT NULL")
	b.add("last_failed_at IS NOT NULL")
	tasks, err := s.readTasks(ctx, "SELECT "+basicColumns+" FROM tasks"+b.where()+" ORDER BY last_failed_at DESC LIMIT "+b.arg(int64(limit)), b.args, limit)
	if err != nil {
		return nil, fmt.Errorf("list tasks of an issue: %w", s.err(err))
	}
	return s.viewTasks(ctx, tasks)
}
