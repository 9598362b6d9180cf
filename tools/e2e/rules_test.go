// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// TestRules checks how the brain treats agents that no published package would be: outdated,
// revoked, replaced, or with a wrong clock. They are played by our own client.
func TestRules(t *testing.T) {
	t.Parallel()
	brain := harness.NewBrain(t)
	api := brain.Setup(t)
	for name, rule := range map[string]func(*testing.T, *harness.Brain, *harness.Client){
		"revoked agent":          revokedAgent,
		"protocol version":       protocolVersion,
		"version skew":           versionSkew,
		"clock skew":             clockSkew,
		"replaced connection":    replacedConnection,
		"unknown token":          unknownToken,
		"resent frames collapse": resentFrames,
		"host header":            hostHeader,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, brain, api)
		})
	}
}

func config(brain *harness.Brain, cred harness.Credentials) loadgen.Config {
	return loadgen.Config{URL: brain.URL(), Token: cred.Token, HMACSecret: cred.HMACSecret}
}

func dial(t *testing.T, cfg loadgen.Config) *loadgen.Agent {
	t.Helper()
	a, err := loadgen.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// wantClose reads until the brain closes the connection and checks the code.
func wantClose(t *testing.T, a *loadgen.Agent, code int) {
	t.Helper()
	watchdog := time.AfterFunc(patience, a.Close)
	defer watchdog.Stop()
	for {
		_, err := a.Receive()
		if err == nil {
			continue
		}
		if got := loadgen.CloseCode(err); got != code {
			t.Fatalf("the connection ended with %v, want close code %d", err, code)
		}
		return
	}
}

func event(kind, task string) loadgen.Event {
	return loadgen.Event{
		ID: uuid.NewString(), Kind: kind, TaskID: task, At: time.Now(),
		Data: `{"task_name":"shop.rules","queue":"default"}`,
	}
}

func revokedAgent(t *testing.T, brain *harness.Brain, api *harness.Client) {
	cred := api.Mint(t, "revoked")
	a := dial(t, config(brain, cred))
	api.Must(t, http.MethodDelete, "/projects/default/agents/"+cred.Agent.ID, nil, http.StatusNoContent, nil)
	began := time.Now()
	wantClose(t, a, 4003)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a revoked agent was closed after %s, want at most about a second", took)
	}
	_, err := loadgen.Dial(t.Context(), config(brain, cred))
	if code := loadgen.CloseCode(err); code != 4401 {
		t.Errorf("a revoked agent that returns got %v, want close code 4401", err)
	}
}

func protocolVersion(t *testing.T, brain *harness.Brain, api *harness.Client) {
	cfg := config(brain, api.Mint(t, "other-protocol"))
	for _, version := range []string{"1", "3", "99"} {
		cfg.ProtocolVersion = version
		_, err := loadgen.Dial(t.Context(), cfg)
		if code := loadgen.CloseCode(err); code != 4426 {
			t.Errorf("protocol version %s got %v, want close code 4426", version, err)
		}
	}
}

func versionSkew(t *testing.T, brain *harness.Brain, api *harness.Client) {
	for version, current := range map[string]bool{"1.13.0": true, "1.2.0": false, "1.99.0": false} {
		cred := api.Mint(t, "version-"+version)
		cfg := config(brain, cred)
		cfg.AgentVersion = version
		dial(t, cfg)
		harness.Eventually(t, patience, "the version is known", func() error {
			a, err := api.Agent(cred.Agent.ID)
			if err != nil {
				return err
			}
			if a.VersionStatus == nil {
				return fmt.Errorf("agent %+v has no version status", a)
			}
			return harness.Equal("current", *a.VersionStatus == "current", current)
		})
	}
}

var skewShown = regexp.MustCompile(`skew\S*?[=:]"?-?\+?(1m(30|29|31)|90|89|91)`)

func clockSkew(t *testing.T, brain *harness.Brain, api *harness.Client) {
	for name, skew := range map[string]time.Duration{"slow-clock": -90 * time.Second, "fast-clock": 90 * time.Second} {
		cfg := config(brain, api.Mint(t, name))
		cfg.Skew = skew
		a := dial(t, cfg)
		if err := a.Send("ev_skewed", event("task.received", "skewed-"+name)); err != nil {
			t.Fatal(err)
		}
		wantClose(t, a, 4403)
		harness.Eventually(t, patience, "the log names the agent and the skew", func() error {
			for line := range strings.Lines(brain.Log()) {
				if strings.Contains(line, name) && skewShown.MatchString(line) {
					return nil
				}
			}
			return fmt.Errorf("no such line:\n%s", brain.Log())
		})
		if status, _, err := api.Do(http.MethodGet, "/projects/default/tasks/celery/skewed-"+name, nil, nil); err != nil || status != http.StatusNotFound {
			t.Errorf("the refused event's task: status %d, %v; want 404", status, err)
		}
	}
}

func replacedConnection(t *testing.T, brain *harness.Brain, api *harness.Client) {
	cfg := config(brain, api.Mint(t, "replaced"))
	cfg.WorkerID = "bare-1-1"
	first := dial(t, cfg)
	second := dial(t, cfg)
	wantClose(t, first, 4002)
	if err := second.Send("ev_second", event("task.received", "after-replacement")); err != nil {
		t.Fatal(err)
	}
	if id, _, err := second.ReceiveAck(); err != nil || id != "ev_second" {
		t.Errorf("acknowledgement %q, %v; want ev_second", id, err)
	}
	cfg.WorkerID = "bare-2-2"
	dial(t, cfg)
	if err := second.SendFrame("hb_1", wire.TypeHeartbeat, []byte(`{"buffer_size":0,"dropped_events":0,"adapter_health":{}}`)); err != nil {
		t.Errorf("another worker's connection disturbed the first: %v", err)
	}
}

func unknownToken(t *testing.T, brain *harness.Brain, api *harness.Client) {
	cfg := config(brain, api.Mint(t, "wrong-token"))
	cfg.Token = strings.Repeat("x", 43)
	_, err := loadgen.Dial(t.Context(), cfg)
	if code := loadgen.CloseCode(err); code != 4401 {
		t.Errorf("an unknown token got %v, want close code 4401", err)
	}
}

// resentFrames: an agent that lost an acknowledgement sends the same frame and event ids again.
func resentFrames(t *testing.T, brain *harness.Brain, api *harness.Client) {
	cfg := config(brain, api.Mint(t, "resends"))
	e := event("task.received", "resent")
	for connection := range 2 {
		a := dial(t, cfg)
		for i := range 2 {
			if err := a.Send("ev_resent", e); err != nil {
				t.Fatal(err)
			}
			id, accepted, err := a.ReceiveAck()
			if err != nil || id != "ev_resent" {
				t.Fatalf("acknowledgement %q, %v; want ev_resent", id, err)
			}
			if want := int64(1); connection+i > 0 {
				want = 0
				if accepted != want {
					t.Errorf("accepted = %d for a known event, want %d", accepted, want)
				}
			} else if accepted != want {
				t.Errorf("accepted = %d, want %d", accepted, want)
			}
		}
		a.Close()
	}
	events, err := api.Events("celery", "resent")
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 {
		t.Errorf("%d events are stored, want 1", len(events))
	}
}

func hostHeader(t *testing.T, brain *harness.Brain, _ *harness.Client) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, brain.URL()+"/api/v1/setup/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example.com"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a foreign Host header got %d, want 400", resp.StatusCode)
	}
	brain.WaitLog(t, patience, "evil.example.com")
	brain.WaitLog(t, patience, "z4j allowed-hosts add evil.example.com")
}
