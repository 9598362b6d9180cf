// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// TestServicesSurvive kills everything that a clustered installation stands on, one part after the other, while real workers
// work: two of each service behind HAProxy, PostgreSQL and Redis. Nothing acknowledged is lost or doubled, every command
// ends once, the dashboard's socket and the login go on.
func TestServicesSurvive(t *testing.T) {
	if !harness.AsServices() {
		t.Fatal("there are no services to kill: set Z4J_E2E_STORE=services, or leave this test out")
	}
	t.Parallel()
	database, fanout, engines := harness.NewPostgres(t), harness.NewRedis(t), harness.NewRedis(t)
	brain := harness.NewBrain(t, "Z4J_DATABASE_URL="+database.URL(), "Z4J_REDIS_URL="+fanout.DB())
	cluster := brain.Cluster()
	front := harness.StartHAProxy(t, cluster.Of("gateway"))
	brain.Setup(t)
	api := harness.NewClient(front)
	api.Login(t, harness.AdminEmail, harness.AdminPassword)

	var rigs []rig
	for _, engine := range []string{"celery", "rq"} {
		db := engines.DB()
		r := rig{node: "w-" + engine, cred: api.Mint(t, "agent-"+engine), producer: harness.NewProducer(t, engine, db)}
		env := append(harness.AgentEnv(t, brain, r.cred), "Z4J_BRAIN_URL="+front)
		if engine == "celery" {
			r.node = "w1@shop"
			r.worker = harness.StartCelery(t, r.node, db, env, "-E", "-c", "2")
		} else {
			r.worker = harness.StartRQ(t, r.node, db, env, "default")
		}
		rigs = append(rigs, r)
	}
	for _, r := range rigs {
		api.WaitAgent(t, r.cred.Agent.ID, "online", time.Minute)
	}

	board := watchBoard(t, front, api)
	work := startWork(t, api, rigs)
	step := func(what string, do func()) {
		t.Helper()
		began := time.Now()
		do()
		// The dashboard hears of new tasks again, whatever happened.
		board.hears(t, what)
		t.Logf("%-28s %5.1f s, %d jobs so far", what, time.Since(began).Seconds(), work.sent())
	}

	for _, m := range cluster.Members {
		step("kill "+m.Name, func() {
			m.Kill()
			work.waitMore(t, 5)
			m.Start(t)
			m.WaitReady(t)
		})
	}
	step("kill Redis", func() {
		fanout.Kill()
		work.waitMore(t, 10)
		fanout.Start(t)
	})
	step("kill PostgreSQL", func() {
		database.Kill()
		harness.Eventually(t, 30*time.Second, "the API says that it is away", func() error {
			status, text, err := api.Do(http.MethodGet, "/projects/"+harness.Project+"/tasks", nil, nil)
			if err != nil {
				return err
			}
			if status != http.StatusServiceUnavailable {
				return fmt.Errorf("status %d: %s", status, text)
			}
			return nil
		})
		database.Start(t)
		for _, m := range cluster.Members {
			m.WaitReady(t)
		}
	})
	rolling := work.failedCalls()
	for _, m := range cluster.Members {
		step("roll "+m.Name, func() {
			if code := m.Stop(t, 20*time.Second); code != 0 {
				t.Errorf("%s ended with %d on SIGTERM", m.Name, code)
			}
			m.Start(t)
			m.WaitReady(t)
		})
	}
	if n := work.failedCalls() - rolling; n > 0 {
		t.Errorf("%d calls failed while the set was rolled: %v", n, work.failures())
	}
	jobs, commands := work.stop(t)
	t.Logf("%d jobs, %d commands, %d more refused: %.300v", len(jobs), len(commands), len(work.refused), work.refused)
	if len(jobs) < 100 || len(commands) < 10 {
		t.Errorf("only %d jobs and %d commands: the work did not run", len(jobs), len(commands))
	}

	checkJobs(t, api, jobs)
	for _, id := range commands {
		harness.Eventually(t, 90*time.Second, "command "+id+" ends", func() error {
			var c harness.Command
			if err := api.Get("/projects/"+harness.Project+"/commands/"+id, &c); err != nil {
				return err
			}
			switch c.Status {
			case "completed", "failed", "timeout":
				return nil
			}
			return fmt.Errorf("it is %s", c.Status)
		})
	}
	// Agents left a replica when it was rolled and may all have come back to the other one. New ones go to whoever has fewer.
	newcomers(t, front, api)
	for _, m := range cluster.Members {
		harness.Eventually(t, 10*time.Second, m.Name+" works since it was rolled", func() error {
			if metric(t, m) == 0 {
				return errors.New("it did nothing")
			}
			return nil
		})
	}
	harness.Eventually(t, 30*time.Second, "the audit chain verifies", func() error {
		if code, out, errs := brain.CLI(t, "", "audit", "verify"); code != 0 {
			return fmt.Errorf("exit %d: %s%s", code, out, errs)
		}
		return nil
	})
	harness.Eventually(t, 30*time.Second, "counters equal a recount", func() error {
		if code, out, errs := brain.CLI(t, "", "doctor", "--counters"); code != 0 {
			return fmt.Errorf("exit %d: %s%s", code, out, errs)
		}
		return nil
	})
}

// metric is a figure that shows that a replica worked: requests at the gateway and api, frames at ingest; one of the audit
// replicas only stands by, so its answer to a scrape must do.
func metric(t *testing.T, m *harness.Member) float64 {
	t.Helper()
	name := map[string]string{
		"gateway": "z4j_gateway_requests_total", "ingest": "z4j_ingest_received_bytes_total", "api": "z4j_api_requests_total", "audit": "z4j_build_info",
	}[m.Service]
	sum, err := m.Metric(name)
	if err != nil {
		t.Errorf("%s: %v", m.Name, err)
	}
	return sum
}

// newcomers connects a few agents, which stay until the test ends.
func newcomers(t *testing.T, front string, api *harness.Client) {
	t.Helper()
	cred := api.Mint(t, "newcomers")
	for i := range 8 {
		a, err := loadgen.Dial(t.Context(), loadgen.Config{
			URL: front, Token: cred.Token, HMACSecret: cred.HMACSecret, WorkerID: fmt.Sprintf("bare-%d-1", i),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		if err := a.SendFrame("hb_1", wire.TypeHeartbeat, []byte(`{"buffer_size":0,"adapter_health":{}}`)); err != nil {
			t.Fatal(err)
		}
	}
}

// job is one message that an engine was given.
type job struct{ engine, id string }

// load is the work that goes on while things are killed.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	jobs     []job
	commands []string
	refused  []string
	failed   int
	errs     []string
}

// startWork gives the engines jobs, asks for lists, and issues a retry now and then.
func startWork(t *testing.T, api *harness.Client, rigs []rig) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	every := func(pause time.Duration, do func()) {
		l.wg.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do()
				}
			}
		})
	}
	for i, r := range rigs {
		engine, task := []string{"celery", "rq"}[i], []string{"shop.add", "rq_jobs.add"}[i]
		every([]time.Duration{250 * time.Millisecond, time.Second}[i], func() {
			id := r.producer.Send(t, harness.Job{Task: task, Args: []any{1, 2}})
			l.mu.Lock()
			l.jobs = append(l.jobs, job{engine, id})
			l.mu.Unlock()
		})
	}
	every(200*time.Millisecond, func() {
		status, text, err := api.Do(http.MethodGet, "/projects/"+harness.Project+"/tasks?limit=5", nil, nil)
		if err != nil || status != http.StatusOK {
			l.mu.Lock()
			l.failed++
			l.errs = append(l.errs, fmt.Sprintf("%d %s %v", status, text, err))
			l.mu.Unlock()
		}
	})
	every(700*time.Millisecond, func() { l.retry(api, rigs[0]) })
	return l
}

// retry asks for a retry of a finished task. A call without an answer is repeated with its key: there is one command then.
func (l *load) retry(api *harness.Client, r rig) {
	l.mu.Lock()
	if len(l.jobs) < 20 {
		l.mu.Unlock()
		return
	}
	at := len(l.jobs) - 20
	for at > 0 && l.jobs[at].engine != "celery" {
		at--
	}
	target := l.jobs[at]
	l.mu.Unlock()
	body := map[string]any{
		"agent_id": r.cred.Agent.ID, "engine": "celery", "task_id": target.id, "idempotency_key": uuid.NewString(),
	}
	for range 20 {
		var c harness.Command
		status, text, err := api.Do(http.MethodPost, "/projects/"+harness.Project+"/commands/retry-task", body, &c)
		if err == nil && status/100 == 2 {
			l.mu.Lock()
			l.commands = append(l.commands, c.ID)
			l.mu.Unlock()
			return
		}
		if err == nil && status/100 == 4 && status != http.StatusTooManyRequests {
			// Refused: the task is not there yet, or the agent is between two connections.
			l.mu.Lock()
			l.refused = append(l.refused, text)
			l.mu.Unlock()
			return
		}
		<-time.After(300 * time.Millisecond)
	}
}

func (l *load) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.jobs)
}

func (l *load) failedCalls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *load) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs[max(0, len(l.errs)-5):]
}

// waitMore waits until n more jobs were sent.
func (l *load) waitMore(t *testing.T, n int) {
	t.Helper()
	want := l.sent() + n
	harness.Eventually(t, 30*time.Second, "more jobs are sent", func() error {
		if l.sent() < want {
			return errors.New("not yet")
		}
		return nil
	})
}

func (l *load) stop(t *testing.T) ([]job, []string) {
	t.Helper()
	l.cancel()
	l.wg.Wait()
	return l.jobs, l.commands
}

// checkJobs waits until every job is stored as done, once, with one event of each kind. What an agent could not send it
// sends again after 90 seconds at the latest.
func checkJobs(t *testing.T, api *harness.Client, jobs []job) {
	t.Helper()
	harness.Eventually(t, 150*time.Second, "every job is stored as done", func() error {
		tasks, err := api.Tasks("")
		if err != nil {
			return err
		}
		done := map[job]int{}
		for _, task := range tasks {
			if task.State == "success" {
				done[job{task.Engine, task.TaskID}]++
			}
		}
		missing := 0
		for _, j := range jobs {
			switch done[j] {
			case 0:
				missing++
			case 1:
			default:
				return fmt.Errorf("job %v is there %d times", j, done[j])
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d jobs are not stored as done", missing, len(jobs))
		}
		return nil
	})
	for _, j := range jobs {
		events, err := api.Events(j.engine, j.id)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, e := range events {
			kinds[e.Kind]++
		}
		for _, kind := range []string{"task.started", "task.succeeded"} {
			if kinds[kind] != 1 {
				t.Errorf("job %v has %d events %s", j, kinds[kind], kind)
			}
		}
	}
}

// board is a dashboard's push socket that reconnects as a browser does.
type board struct {
	project string
	news    atomic.Int64
}

func watchBoard(t *testing.T, front string, api *harness.Client) *board {
	t.Helper()
	var project struct {
		ID string `json:"id"`
	}
	api.Must(t, http.MethodGet, "/projects/"+harness.Project, nil, http.StatusOK, &project)
	b := &board{project: project.ID}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		for ctx.Err() == nil {
			b.listen(ctx, front, api)
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
	return b
}

func (b *board) listen(ctx context.Context, front string, api *harness.Client) {
	dialer := websocket.Dialer{Jar: api.Jar(), HandshakeTimeout: 5 * time.Second}
	header := http.Header{"Origin": {front}}
	conn, resp, err := dialer.DialContext(ctx, strings.Replace(front, "http://", "ws://", 1)+"/ws/dashboard", header)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.WriteJSON(map[string]string{"type": "subscribe", "project_id": b.project}); err != nil {
		return
	}
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if strings.Contains(string(data), `"task.changed"`) {
			b.news.Add(1)
		}
	}
}

// hears waits for news of tasks on the board's socket.
func (b *board) hears(t *testing.T, after string) {
	t.Helper()
	before := b.news.Load()
	harness.Eventually(t, 40*time.Second, "the dashboard hears of tasks after: "+after, func() error {
		if b.news.Load() <= before {
			return errors.New("silence")
		}
		return nil
	})
}
