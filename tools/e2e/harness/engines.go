// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Redis is a private Redis server without persistence.
type Redis struct {
	*Process

	bin, dir string
	port     int
	next     int
	mu       sync.Mutex
}

// NewRedis starts one.
func NewRedis(t testing.TB) *Redis {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is missing: run scripts/env services")
	}
	r := &Redis{port: FreePort(t), dir: t.TempDir(), bin: bin}
	r.Start(t)
	return r
}

// Start starts it anew after a Kill, empty.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	r.Process = start(t, "redis", options{dir: r.dir}, r.bin, "--port", strconv.Itoa(r.port),
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "64", "--dir", r.dir)
	Eventually(t, 10*time.Second, "Redis listens", func() error {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", r.port), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// DB returns the URL of a database that no other caller got: engines of different tests must not
// see each other's messages.
func (r *Redis) DB() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return fmt.Sprintf("redis://127.0.0.1:%d/%d", r.port, r.next)
}

// AgentEnv are the settings a user gives to an agent.
func AgentEnv(t testing.TB, brain *Brain, cred Credentials) []string {
	t.Helper()
	return []string{
		"HOME=" + t.TempDir(),
		"Z4J_BRAIN_URL=" + brain.URL(), "Z4J_TOKEN=" + cred.Token, "Z4J_PROJECT_ID=" + Project,
		"Z4J_HMAC_SECRET=" + cred.HMACSecret, "Z4J_AGENT_NAME=" + cred.Agent.Name,
	}
}

// bin finds a program of the environment with the published agents.
func bin(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), ".cache", "agents", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the published agents are missing: run scripts/env agents (%v)", err)
	}
	return path
}

func apps(t testing.TB) string { return filepath.Join(Root(t), "tools", "e2e", "apps") }

// StartCelery runs `celery worker` under the given node name. args choose pool, concurrency and
// -E. It does not wait for the worker: the agent starts last, so wait for that to be online.
func StartCelery(t testing.TB, node, redis string, env []string, args ...string) *Process {
	t.Helper()
	p := start(t, "celery-"+node, options{dir: apps(t), env: append(env, "E2E_REDIS_URL="+redis)}, celeryArgs(t, node, args)...)
	return p
}

func celeryArgs(t testing.TB, node string, args []string) []string {
	t.Helper()
	return append([]string{bin(t, "celery"), "-A", "celery_app", "worker", "-n", node, "--loglevel", "INFO"}, args...)
}

// StartRQ runs an RQ worker with the agent, listening to the queues. It does not wait either.
func StartRQ(t testing.TB, name, redis string, env []string, queues ...string) *Process {
	t.Helper()
	argv := append([]string{bin(t, "python"), "rq_worker.py", name}, queues...)
	p := start(t, "rq-"+name, options{dir: apps(t), env: append(env, "E2E_REDIS_URL="+redis)}, argv...)
	return p
}

// Producer puts work into an engine's queues from a process without an agent.
type Producer struct {
	*Process

	// Redis is the database it writes to.
	Redis string

	in  io.WriteCloser
	out *bufio.Reader
	mu  sync.Mutex
}

// Job is one message for an engine.
type Job struct {
	Task    string         `json:"task"`
	Args    []any          `json:"args,omitempty"`
	Options map[string]any `json:"options,omitempty"`
}

// NewProducer starts one for "celery" or "rq".
func NewProducer(t testing.TB, engine, redis string) *Producer {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p := &Producer{Redis: redis, in: inW, out: bufio.NewReader(outR)}
	p.Process = &Process{name: "producer-" + engine, log: &logBuffer{}, done: make(chan struct{})}
	cmd := exec.Command(bin(t, "python"), "producer.py", engine)
	cmd.Dir = apps(t)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + t.TempDir(), "PYTHONDONTWRITEBYTECODE=1", "E2E_REDIS_URL=" + redis}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, p.log
	p.cmd = cmd
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the %s producer: %v", engine, err)
	}
	go func() {
		p.err = cmd.Wait()
		_ = outW.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = inW.Close()
		_ = inR.Close()
		_ = cmd.Process.Kill()
		<-p.done
		p.saveLog(t)
	})
	return p
}

func (p *Producer) call(request map[string]any, answer any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("ask the producer: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the producer ended: %w\n%s", err, p.Log())
	}
	var failure struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(line, &failure); err != nil {
		return fmt.Errorf("decode the producer's answer %q: %w", line, err)
	}
	if failure.Error != "" {
		return errors.New(failure.Error)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("decode the producer's answer %q: %w", line, err)
	}
	return nil
}

type ids struct {
	IDs []string `json:"ids"`
}

// Send enqueues one job and returns its id.
func (p *Producer) Send(t testing.TB, job Job) string {
	t.Helper()
	var got ids
	if err := p.call(map[string]any{"op": "send", "task": job.Task, "args": job.Args, "options": job.Options}, &got); err != nil {
		t.Fatal(err)
	}
	return got.IDs[0]
}

// SendMany enqueues count jobs of one task and returns their ids.
func (p *Producer) SendMany(t testing.TB, task string, count int) []string {
	t.Helper()
	var got ids
	if err := p.call(map[string]any{"op": "send_many", "task": task, "count": count}, &got); err != nil {
		t.Fatal(err)
	}
	return got.IDs
}

// Chain enqueues jobs that run one after another and returns their ids in that order.
func (p *Producer) Chain(t testing.TB, steps ...Job) []string {
	t.Helper()
	var got ids
	if err := p.call(map[string]any{"op": "chain", "steps": steps}, &got); err != nil {
		t.Fatal(err)
	}
	return got.IDs
}

// Revoke revokes a Celery task as another program of the user would.
func (p *Producer) Revoke(t testing.TB, id string, terminate bool) {
	t.Helper()
	if err := p.call(map[string]any{"op": "revoke", "id": id, "terminate": terminate}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
}

// Inspect asks the Celery workers themselves, by node name: stats, active_queues, registered and
// so on; items are what `registered` shall tell of each task.
func (p *Producer) Inspect(what string, items ...string) (map[string]any, error) {
	var got struct {
		Value map[string]any `json:"value"`
	}
	err := p.call(map[string]any{"op": "inspect", "what": what, "items": items}, &got)
	return got.Value, err
}
