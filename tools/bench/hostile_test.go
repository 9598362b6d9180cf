// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/z4jdev/z4j/pkg/wire"
	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// attack is what one agent does to its neighbours. It sends a frame a turn; pace is the turns a second, 0 as fast as the
// other side reads.
type attack struct {
	name string
	pace float64
	mute bool // never reads
	send func(a *loadgen.Agent, n int) error
}

func attackEvent(n int, queue, data string) loadgen.Event {
	return loadgen.Event{
		ID: uuid.NewString(), Kind: "task.received", TaskID: fmt.Sprintf("attack-%d-%d", time.Now().UnixNano(), n), At: time.Now(),
		Data: `{"task_name":"shop.attack","queue":"` + queue + `","args":["` + data + `"],"kwargs":{}}`,
	}
}

func attacks() []attack {
	huge := strings.Repeat("leave the parcel with the neighbour ", 27_000) // just below the limit of 1 MiB a frame
	one := func(a *loadgen.Agent, e loadgen.Event) error { return a.Send("ev_"+e.ID, e) }
	return []attack{
		{name: "frames of nearly 1 MiB, 10 a second", pace: 10, send: func(a *loadgen.Agent, n int) error {
			return one(a, attackEvent(n, "default", huge))
		}},
		{name: "1,000 frames a second, acknowledgements never read", pace: 1000, mute: true, send: func(a *loadgen.Agent, n int) error {
			return one(a, attackEvent(n, "default", "x"))
		}},
		{name: "bad signatures at full speed, reconnecting", send: func(a *loadgen.Agent, _ int) error {
			return a.SendForged("ev_"+uuid.NewString(), []byte(`{"events":[]}`))
		}},
		{name: "10,000 queue names, 1,000 events a second", pace: 1000, send: func(a *loadgen.Agent, n int) error {
			return one(a, attackEvent(n, fmt.Sprintf("queue-%d", n%10_000), "x"))
		}},
	}
}

// run attacks until ctx ends, at pace turns a second when that is above 0, and returns how many turns it had. Who is thrown
// out comes back at once, but not faster than a hundred times a second.
func (k *attack) run(ctx context.Context, cfg loadgen.Config, pace float64) int64 {
	began, turns := time.Now(), int64(0)
	wait := func(d time.Duration) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil {
		a, err := loadgen.Dial(ctx, cfg)
		if err != nil {
			wait(10 * time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, a.Close)
		if !k.mute {
			go a.Drain()
		}
		for ctx.Err() == nil {
			if pace > 0 {
				if d := time.Until(began.Add(time.Duration(float64(turns) / pace * float64(time.Second)))); d > time.Millisecond && !wait(d) {
					break
				}
			}
			turns++
			if k.send(a, int(turns)) != nil {
				break
			}
		}
		stop()
		a.Close()
		wait(10 * time.Millisecond)
	}
	return turns
}

// idlePort shakes hands like a brain and forgets what it reads; it throws out as often as the brain does, after each
// frame, when strict.
func idlePort(b *testing.B, strict bool) loadgen.Config {
	b.Helper()
	key := [32]byte{1}
	var live atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		live.Add(1)
		defer live.Add(-1)
		defer func() { _ = conn.Close() }()
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
		ack := wire.AppendHelloAck(nil, wire.HelloAck{
			ProtocolVersion: "2", BrainVersion: "1.14.0", AgentID: uuid.NewString(), ProjectID: uuid.NewString(), SessionID: uuid.NewString(),
			HeartbeatIntervalSeconds: 10, MaxFrameSizeBytes: wire.DefaultMaxFrameBytes, TS: time.Now(),
		})
		if conn.WriteMessage(websocket.BinaryMessage, ack) != nil {
			return
		}
		for {
			if _, _, err := conn.ReadMessage(); err != nil || strict {
				return
			}
		}
	}))
	b.Cleanup(server.CloseClientConnections)
	return loadgen.Config{URL: server.URL, Token: "t", HMACSecret: base64.URLEncoding.EncodeToString(key[:])}
}

// hostileRow is what an attack costs the neighbours.
type hostileRow struct {
	Attack string `json:"attack"`
	// Idle and Attacked are the medians of the neighbours' rates while the attack goes to an idle port and to the brain.
	Idle     float64 `json:"rate_attack_at_idle_port"`
	Attacked float64 `json:"rate_attack_at_brain"`
	Ratio    float64 `json:"ratio"`
	Turns    float64 `json:"frames_of_attack_per_second"`
}

const (
	hostileSection = "## Hostile neighbours"
	neighbours     = 16
)

// BenchmarkHostile measures how far one hostile agent lowers the rate of sixteen others, beyond what its traffic costs
// when it goes to a port where nothing is done with it.
func BenchmarkHostile(b *testing.B) {
	root := harness.Root(b)
	var rows []hostileRow
	all := attacks()
	for i := range all {
		k := &all[i]
		b.Run(strings.ReplaceAll(k.name, " ", "-"), func(b *testing.B) {
			row := k.measure(b)
			rows = append(rows, row)
			b.ReportMetric(row.Ratio, "ratio")
			if row.Ratio < 0.9 {
				b.Errorf("%s: the others keep %.2f of their rate, want 0.9", k.name, row.Ratio)
			}
		})
	}
	if len(rows) < len(all) {
		return
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n\n%s On SQLite, %d agents at full speed with one event a frame; beside them one hostile agent, whose\n", hostileSection, measuredAt(root), neighbours)
	s.WriteString("frames go to the brain, or as many of them to a port that only reads. Both in turns, medians of three.\n\n")
	s.WriteString("| the hostile agent sends | frames/s | others, attack at an idle port | others, attack at the brain | ratio |\n|---|---:|---:|---:|---:|\n")
	for _, r := range rows {
		fmt.Fprintf(&s, "| %s | %.0f | %.0f events/s | %.0f events/s | %.2f |\n", r.Attack, r.Turns, r.Idle, r.Attacked, r.Ratio)
	}
	publish(b, root, "hostile", hostileSection, s.String(), rows)
}

func (k *attack) measure(b *testing.B) hostileRow {
	b.Helper()
	s := newSite(b, onSQLite, neighbours)
	hostile := s.mint(b, "hostile", 1)[0]
	idle := idlePort(b, k.pace == 0)
	d := max(seconds()/2, 2*time.Second)
	turn := 0
	round := func(cfg loadgen.Config, pace float64) (rate, turns float64) {
		turn++
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan int64, 1)
		go func() { ended <- k.run(ctx, cfg, pace) }()
		began := time.Now()
		got := s.load(b, loadgen.Load{Agents: s.agents, EventsPerFrame: 1, Window: 256, For: d, Prefix: fmt.Sprintf("n%d", turn)})
		cancel()
		return got.PerSecond(), float64(<-ended) / time.Since(began).Seconds()
	}
	var attacked, at, alone []float64
	for range 3 {
		rate, turns := round(hostile, k.pace)
		attacked, at = append(attacked, rate), append(at, turns)
		// As many frames a second as the brain took.
		rate, _ = round(idle, max(turns, 1))
		alone = append(alone, rate)
	}
	return hostileRow{Attack: k.name, Idle: median(alone), Attacked: median(attacked), Ratio: median(attacked) / median(alone), Turns: median(at)}
}
