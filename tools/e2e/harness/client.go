// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Client speaks the REST API as a browser does: session cookie and CSRF header.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client that is not logged in.
func NewClient(base string) *Client {
	jar, _ := cookiejar.New(nil) // fails only for a bad option
	return &Client{base: base, http: &http.Client{Jar: jar, Timeout: 40 * time.Second}}
}

// At is the same browser at another address of the brain.
func (c *Client) At(base string) *Client { return &Client{base: base, http: c.http} }

// Headers is Get for who only looks at status and headers.
func (c *Client) Headers(path string) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.base+"/api/v1"+path, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", path, err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

// Jar holds the client's cookies, for a socket of the same browser.
func (c *Client) Jar() http.CookieJar { return c.http.Jar }

// Login opens a session.
func (c *Client) Login(t testing.TB, email, password string) {
	t.Helper()
	c.Must(t, http.MethodPost, "/auth/login", map[string]any{"email": email, "password": password}, http.StatusOK, nil)
}

func (c *Client) csrf() string {
	u, err := url.Parse(c.base)
	if err != nil {
		return ""
	}
	for _, cookie := range c.http.Jar.Cookies(u) {
		if strings.HasSuffix(cookie.Name, "z4j_csrf") {
			return cookie.Value
		}
	}
	return ""
}

// Do calls a path below /api/v1, decodes a JSON answer into out when that is not nil, and returns
// the status and the raw body.
func (c *Client) Do(method, path string, body, out any) (int, string, error) {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, "", fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+"/api/v1"+path, payload)
	if err != nil {
		return 0, "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		req.Header.Set("X-CSRF-Token", c.csrf())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, "", fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(text, out); err != nil {
			return resp.StatusCode, string(text), fmt.Errorf("%s %s: decode %q: %w", method, path, text, err)
		}
	}
	return resp.StatusCode, string(text), nil
}

// want is Do for which any other status is an error.
func (c *Client) want(method, path string, body any, status int, out any) error {
	got, text, err := c.Do(method, path, body, out)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s answered %d, want %d: %s", method, path, got, status, text)
	}
	return err
}

// Must is Do that fails the test on any other status.
func (c *Client) Must(t testing.TB, method, path string, body any, status int, out any) {
	t.Helper()
	if err := c.want(method, path, body, status, out); err != nil {
		t.Fatal(err)
	}
}

// Get reads a path that must exist.
func (c *Client) Get(path string, out any) error {
	return c.want(http.MethodGet, path, nil, http.StatusOK, out)
}

// Task is what the tests look at in a task.
type Task struct {
	ID         string          `json:"id"`
	Engine     string          `json:"engine"`
	TaskID     string          `json:"task_id"`
	Name       string          `json:"name"`
	Queue      *string         `json:"queue"`
	State      string          `json:"state"`
	Args       json.RawMessage `json:"args"`
	Result     any             `json:"result"`
	Exception  *string         `json:"exception"`
	Traceback  *string         `json:"traceback"`
	ReceivedAt *string         `json:"received_at"`
	StartedAt  *string         `json:"started_at"`
	FinishedAt *string         `json:"finished_at"`
	WorkerName *string         `json:"worker_name"`
	ParentID   *string         `json:"parent_task_id"`
	RootID     *string         `json:"root_task_id"`
}

// Command is what the tests look at in a command.
type Command struct {
	ID      string         `json:"id"`
	Action  string         `json:"action"`
	Status  string         `json:"status"`
	Payload map[string]any `json:"payload"`
	Result  map[string]any `json:"result"`
	Error   *string        `json:"error"`
}

// Worker is what the tests look at in a worker.
type Worker struct {
	ID          string   `json:"id"`
	Engine      string   `json:"engine"`
	Name        string   `json:"name"`
	State       string   `json:"state"`
	Concurrency *int     `json:"concurrency"`
	Queues      []string `json:"queues"`
	PID         *int     `json:"pid"`
}

// Agent is what the tests look at in an agent.
type Agent struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	State         string   `json:"state"`
	Engines       []string `json:"engine_adapters"`
	AgentVersion  *string  `json:"agent_version"`
	VersionStatus *string  `json:"version_status"`
}

// Credentials are what a new agent is told once.
type Credentials struct {
	Agent      Agent  `json:"agent"`
	Token      string `json:"token"`
	HMACSecret string `json:"hmac_secret"`
}

func project(path string) string { return "/projects/" + Project + path }

// Mint creates an agent.
func (c *Client) Mint(t testing.TB, name string) Credentials {
	t.Helper()
	cred, err := c.TryMint(name)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// TryMint is Mint for a brain that may be away.
func (c *Client) TryMint(name string) (cred Credentials, err error) {
	err = c.want(http.MethodPost, project("/agents"), map[string]any{"name": name}, http.StatusCreated, &cred)
	return cred, err
}

// Agent reads one agent from the list.
func (c *Client) Agent(id string) (Agent, error) {
	var list []Agent
	if err := c.Get(project("/agents"), &list); err != nil {
		return Agent{}, err
	}
	for _, a := range list {
		if a.ID == id {
			return a, nil
		}
	}
	return Agent{}, fmt.Errorf("agent %s is not listed", id)
}

// WaitAgent waits for an agent's state.
func (c *Client) WaitAgent(t testing.TB, id, state string, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, "agent is "+state, func() error {
		a, err := c.Agent(id)
		if err != nil {
			return err
		}
		return Equal("state of agent "+a.Name, a.State, state)
	})
}

// Task reads one task.
func (c *Client) Task(engine, id string) (Task, error) {
	var task Task
	err := c.Get(project("/tasks/"+engine+"/"+id), &task)
	return task, err
}

// WaitTask waits until a task has the state and returns it.
func (c *Client) WaitTask(t testing.TB, engine, id, state string, limit time.Duration) Task {
	t.Helper()
	var task Task
	Eventually(t, limit, fmt.Sprintf("%s task %s is %s", engine, id, state), func() error {
		var err error
		if task, err = c.Task(engine, id); err != nil {
			return err
		}
		return Equal("state", task.State, state)
	})
	return task
}

// Tasks reads every page of the task list with the given query.
func (c *Client) Tasks(query string) ([]Task, error) {
	var all []Task
	cursor := ""
	for {
		path := project("/tasks?limit=500&" + query)
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		var page struct {
			Items []Task  `json:"items"`
			Next  *string `json:"next_cursor"`
		}
		if err := c.Get(path, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == nil {
			return all, nil
		}
		cursor = *page.Next
	}
}

// Event is what the tests look at in an event.
type Event struct {
	ID      string         `json:"id"`
	Kind    string         `json:"kind"`
	TaskID  string         `json:"task_id"`
	Payload map[string]any `json:"payload"`
}

// Events reads the events of one task.
func (c *Client) Events(engine, taskID string) ([]Event, error) {
	var page struct {
		Items []Event `json:"items"`
	}
	err := c.Get(project("/events?limit=500&engine="+engine+"&task_id="+url.QueryEscape(taskID)), &page)
	return page.Items, err
}

// Command issues a command and waits for its end.
func (c *Client) Command(t testing.TB, name string, body map[string]any, status string) Command {
	t.Helper()
	var cmd Command
	c.Must(t, http.MethodPost, project("/commands/"+name), body, http.StatusAccepted, &cmd)
	return c.WaitCommand(t, cmd.ID, status, 30*time.Second)
}

// WaitCommand waits until a command has ended with the status.
func (c *Client) WaitCommand(t testing.TB, id, status string, limit time.Duration) Command {
	t.Helper()
	var cmd Command
	Eventually(t, limit, "command ends as "+status, func() error {
		if err := c.Get(project("/commands/"+id), &cmd); err != nil {
			return err
		}
		if cmd.Status == status {
			return nil
		}
		text := ""
		if cmd.Error != nil {
			text = *cmd.Error
		}
		err := fmt.Errorf("%s is %s %s", cmd.Action, cmd.Status, text)
		if cmd.Status == "failed" || cmd.Status == "completed" || cmd.Status == "timeout" {
			t.Fatalf("command ended otherwise, want %s: %v", status, err)
		}
		return err
	})
	return cmd
}

// Worker finds a worker by name.
func (c *Client) Worker(name string) (Worker, error) {
	var list []Worker
	if err := c.Get(project("/workers"), &list); err != nil {
		return Worker{}, err
	}
	for _, w := range list {
		if w.Name == name {
			return w, nil
		}
	}
	return Worker{}, fmt.Errorf("worker %s is not among %d workers", name, len(list))
}

// QueueDepth is the number of waiting messages the brain knows of, or an error if it knows none.
func (c *Client) QueueDepth(engine, queue string) (int, error) {
	var stats struct {
		Depths []struct {
			Name    string `json:"name"`
			Engine  string `json:"engine"`
			Pending *int   `json:"pending_count"`
		} `json:"queue_depths"`
	}
	if err := c.Get(project("/stats"), &stats); err != nil {
		return 0, err
	}
	for _, d := range stats.Depths {
		if d.Engine == engine && d.Name == queue && d.Pending != nil {
			return *d.Pending, nil
		}
	}
	return 0, fmt.Errorf("no depth of %s queue %s known", engine, queue)
}
