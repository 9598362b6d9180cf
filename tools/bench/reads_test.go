// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen/demo"
)

const (
	readsSection = "## Reads"
	// usualTasks is how many tasks that section is about.
	usualTasks = 1_000_000
	// readSpan is the time over which the tasks are spread.
	readSpan = 14 * 24 * time.Hour
	// readClients read at the same time, each the next answer after the last.
	readClients = 8
	// pageTarget and searchTarget are what the slowest hundredth of the answers must stay below on an idle machine.
	pageTarget, searchTarget = 25 * time.Millisecond, 60 * time.Millisecond
)

// readTasks is the number of tasks to fill a brain with, from Z4J_BENCH_TASKS.
func readTasks() int {
	if n, err := strconv.Atoi(os.Getenv("Z4J_BENCH_TASKS")); err == nil && n > 0 {
		return n
	}
	return usualTasks
}

// readCall is one kind of request.
type readCall struct {
	name, path string
	search     bool
	// vary makes the address of each request its own, so that none gets what another one has computed.
	vary func(i int64) string
}

// address is where request i goes.
func (c readCall) address(i int64) string {
	if c.vary != nil {
		return c.path + c.vary(i)
	}
	return c.path
}

// target is what the slowest hundredth of the answers is to stay below.
func (c readCall) target() time.Duration {
	if c.search {
		return searchTarget
	}
	return pageTarget
}

// readResult is how long the answers of a call took.
type readResult struct {
	call          readCall
	p50, p99, cpu time.Duration
	n             int
}

// BenchmarkReads measures how long reads take on a large project, on both databases.
func BenchmarkReads(b *testing.B) {
	if b.N > 1 {
		return
	}
	root := harness.Root(b)
	kinds := kindsOf(b, "Z4J_BENCH_ON", "sqlite,postgres")
	section, key := readsSection, "reads"
	if n := readTasks(); n != usualTasks {
		section, key = fmt.Sprintf("%s of %d tasks", readsSection, n), fmt.Sprintf("reads_%d", n)
	} else if len(kinds) < 2 {
		section = "" // half a table does not take the place of the whole one
	}
	figures := map[string]any{"tasks": readTasks(), "clients": readClients}
	var all [][]readResult
	for _, k := range kinds {
		results := reads(b, k)
		all = append(all, results)
		list := map[string]any{}
		for _, r := range results {
			list[r.call.name] = map[string]any{"p50_ms": ms(r.p50), "p99_ms": ms(r.p99), "brain_cpu_ms": ms(r.cpu)}
			if r.p99 > r.call.target() {
				b.Logf("%s, %s: p99 %.1f ms, aimed at %d ms", k, r.call.name, ms(r.p99), r.call.target().Milliseconds())
			}
		}
		figures[string(k)] = list
	}
	text := fmt.Sprintf("%s\n\n%s %d tasks of %s; %d clients at once over HTTP, each asking again as soon as it has its answer; pages of 50. "+
		"Callers who ask the same statistics share answers (at most a second or two old); those named \"each its own\" are computed for each.\n\n",
		section, measuredAt(root), readTasks(), readSpan, readClients)
	text += readsTable(kinds, all)
	text += fmt.Sprintf("\nAimed at: 99 of 100 answers within %d ms, searches within %d ms. (!) marks what took longer. CPU is the brain's, an answer.\n", pageTarget.Milliseconds(), searchTarget.Milliseconds())
	if section == "" {
		b.Log("\n" + text)
		return
	}
	publish(b, root, key, section, text, figures)
}

// reads fills an installation and measures every call.
func reads(b *testing.B, k kind) (results []readResult) {
	b.Helper()
	s := newSite(b, k, 1, "Z4J_METRICS_PUBLIC=true")
	began := time.Now()
	opts := demo.Options{
		URL: s.brain.URL(), Tasks: readTasks(), Span: readSpan, Seed: 4, Log: b.Logf,
		Agents: []demo.Credentials{{Token: s.agents[0].Token, HMACSecret: s.agents[0].HMACSecret}},
	}
	if err := demo.Run(b.Context(), opts); err != nil {
		b.Fatalf("%v\n%s", err, s.brain.Log())
	}
	b.Logf("%s: filled in %s", k, time.Since(began).Round(time.Second))
	s.indexed(b, readTasks())
	b.Logf("%s: the search index was whole %s after the start", k, time.Since(began).Round(time.Second))
	s.restart(b)                                              // what it took to fill it is no part of what is measured
	s.api.Login(b, harness.AdminEmail, harness.AdminPassword) // a session that nobody used for half an hour has ended
	for _, c := range readCalls(b, s.api) {
		before := cpu(b, s.brain.PID())
		r, err := readLoad(b.Context(), s.api, c)
		if err != nil {
			b.Fatalf("%s: %v", c.name, err)
		}
		r.cpu = (cpu(b, s.brain.PID()) - before) / time.Duration(r.n)
		b.Logf("%-40s p50 %6.1f ms  p99 %6.1f ms  CPU %5.1f ms  (%d answers)", c.name, ms(r.p50), ms(r.p99), ms(r.cpu), r.n)
		results = append(results, r)
	}
	s.brain.Stop(b, 30*time.Second)
	return results
}

// indexed waits until the search index knows about so many tasks and nothing waits for it.
func (s *site) indexed(b *testing.B, tasks int) {
	b.Helper()
	end := time.Now().Add(time.Duration(tasks)*time.Millisecond + 10*time.Minute)
	for told := time.Now(); ; {
		<-time.After(time.Second)
		metrics := scrape(b, s.brain.URL()+"/metrics")
		done, waiting := metrics["z4j_ingest_search_indexed_total"], metrics["z4j_ingest_search_unindexed"]
		// What is made up may lack a task or two.
		if done >= 0.99*float64(tasks) && waiting == 0 {
			return
		}
		if time.Since(told) > time.Minute {
			told = time.Now()
			b.Logf("the search index knows %.0f of %d tasks", done, tasks)
		}
		if time.Now().After(end) {
			b.Fatalf("the search index knows %.0f of %d tasks, and %.0f wait for it", done, tasks, waiting)
		}
	}
}

// scrape reads the metrics without labels.
func scrape(b *testing.B, address string) map[string]float64 {
	b.Helper()
	resp, err := http.Get(address) //nolint:gosec,noctx // the brain under measurement
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// readCalls are what the dashboard and clients read.
func readCalls(b *testing.B, api *harness.Client) []readCall {
	b.Helper()
	type list struct {
		Items      []map[string]any `json:"items"`
		NextCursor string           `json:"next_cursor"`
	}
	get := func(path string) (l list) {
		if err := api.Get("/projects/"+harness.Project+path, &l); err != nil || len(l.Items) == 0 {
			b.Fatalf("GET %s: %d items, %v", path, len(l.Items), err)
		}
		return l
	}
	query := func(text string) string { return "/tasks?limit=50&query=" + url.QueryEscape(text) }
	failed := get("/tasks?state=failure&limit=1").Items[0]
	task := "/tasks/" + fmt.Sprint(failed["engine"]) + "/" + url.PathEscape(fmt.Sprint(failed["task_id"]))
	queue, worker, name := fmt.Sprint(failed["queue"]), fmt.Sprint(failed["worker_name"]), fmt.Sprint(failed["name"])
	deep := get("/tasks?limit=50")
	for range 20 {
		deep = get("/tasks?limit=500&cursor=" + url.QueryEscape(deep.NextCursor))
	}
	var issues list
	if err := api.Get("/projects/"+harness.Project+"/issues?limit=1", &issues); err != nil || len(issues.Items) == 0 {
		b.Fatalf("issues: %v", err)
	}
	calls := []readCall{
		{name: "tasks, first page", path: "/tasks?limit=50"},
		{name: "tasks, with total", path: "/tasks?limit=50&include_total=true"},
		{name: "tasks, 10,000 rows down", path: "/tasks?limit=50&cursor=" + url.QueryEscape(deep.NextCursor)},
		{name: "tasks, live order", path: "/tasks?limit=50&fields=basic&sort=-received_at"},
		{name: "tasks by state", path: query("state:failure")},
		{name: "tasks by queue", path: query("queue:" + queue)},
		{name: "tasks by name", path: query("task:=" + name)},
		{name: "tasks by worker", path: query("worker:" + worker)},
		{name: "tasks by state, queue and time", path: query("state:failure queue:" + queue + " since:24h")},
		{name: "tasks by window", path: query("since:3d until:2d")},
		{name: "tasks by run time", path: query("runtime:>10s")},
		{name: "search: part of a name", path: query(name[strings.LastIndex(name, ".")+1:]), search: true},
		{name: "search: part of an id", path: query(fmt.Sprint(failed["task_id"])[:8]), search: true},
		{name: "search: whole id", path: query(fmt.Sprint(failed["task_id"])), search: true},
		{name: "search: exception", path: query("exception:timeout"), search: true},
		{name: "search: nothing found", path: query("nowhere-to-be-found"), search: true},
		{name: "search: a value in the arguments", path: query("kwargs.payload.order.id:595026"), search: true},
		{name: "search: part of an argument", path: query("SKU-610494"), search: true},
		{name: "search: most tasks of a name", path: query("partner-34"), search: true},
		{name: "search: three characters of many", path: query("inv"), search: true},
		{name: "search: three characters of none", path: query("qzx"), search: true},
		{name: "search: failures with a text", path: query(`state:failure "timed out"`), search: true},
		{name: "facets", path: "/tasks/facets"},
		{name: "facets, each its own", path: "/tasks/facets?query=", vary: func(i int64) string { return fmt.Sprintf("since:%dm", 10_000+i) }},
		{name: "facets by state", path: "/tasks/facets?query=state:failure"},
		{name: "task", path: task},
		{name: "events of a task", path: "/events?engine=" + fmt.Sprint(failed["engine"]) + "&task_id=" + url.QueryEscape(fmt.Sprint(failed["task_id"]))},
		{name: "similar tasks", path: task + "/similar"},
		{name: "tree of a task", path: task + "/tree"},
		{name: "stats", path: "/stats"},
		{name: "trends", path: "/trends"},
		{name: "overview", path: "/overview"},
		{name: "overview, each its own", path: "/overview?from=", vary: func(i int64) string {
			return url.QueryEscape(time.Now().Add(-24*time.Hour - time.Duration(i)*time.Second).UTC().Format(time.RFC3339))
		}},
		{name: "series", path: "/series"},
		{name: "breakdown", path: "/breakdown"},
		{name: "issues", path: "/issues?limit=50"},
		{name: "issue", path: "/issues/" + url.PathEscape(fmt.Sprint(issues.Items[0]["fingerprint"]))},
		{name: "queues", path: "/queues"},
		{name: "queue", path: "/queues/" + fmt.Sprint(failed["engine"]) + "/" + url.PathEscape(queue)},
		{name: "workers", path: "/workers"},
		{name: "agents", path: "/agents"},
		{name: "commands", path: "/commands?limit=50"},
	}
	for i := range calls {
		calls[i].path = "/projects/" + harness.Project + calls[i].path
	}
	return append(calls, readCall{name: "home", path: "/home/overview"}, readCall{name: "home, summary", path: "/home/summary"},
		readCall{name: "home, recent failures", path: "/home/recent-failures"})
}

// readLoad asks with all clients for a while, at least until each call was answered some hundred times.
func readLoad(ctx context.Context, api *harness.Client, c readCall) (readResult, error) {
	const least, most, atMost = 300, 2000, 8 * time.Second
	var sent atomic.Int64
	if err := api.Get(c.address(sent.Add(1)), nil); err != nil {
		return readResult{}, err
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	began := time.Now()
	var wg sync.WaitGroup
	for range readClients {
		wg.Go(func() {
			for ctx.Err() == nil {
				at := time.Now()
				err := api.Get(c.address(sent.Add(1)), nil)
				d := time.Since(at)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					failed = err
				}
				n, stop := len(took), failed != nil
				mu.Unlock()
				past := time.Since(began)
				if stop || n >= most || past > atMost || n >= least && past > atMost/4 {
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return readResult{}, failed
	}
	slices.Sort(took)
	return readResult{call: c, p50: took[len(took)/2], p99: took[len(took)*99/100], n: len(took)}, nil
}

func readsTable(kinds []kind, results [][]readResult) string {
	var s strings.Builder
	s.WriteString("| call |")
	for _, k := range kinds {
		fmt.Fprintf(&s, " %s: p50 | p99 | CPU |", k)
	}
	s.WriteString("\n|---|" + strings.Repeat("---:|", 3*len(kinds)) + "\n")
	for i := range results[0] {
		s.WriteString("| " + results[0][i].call.name + " |")
		for _, r := range results {
			mark := ""
			if r[i].p99 > r[i].call.target() {
				mark = " (!)"
			}
			fmt.Fprintf(&s, " %.1f ms | %.1f ms%s | %.1f ms |", ms(r[i].p50), ms(r[i].p99), mark, ms(r[i].cpu))
		}
		s.WriteString("\n")
	}
	return s.String()
}
