// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// perAgent is how many connections share an agent: a token has a limited number of worker slots.
const perAgent = 50

// connect finds or makes the agents for --connections connections, perAgent of them each, and returns one Config a connection.
func (f *flags) connect(ctx context.Context, prefix string) ([]loadgen.Config, error) {
	var names []string
	for i := 0; i*perAgent < f.connections; i++ {
		names = append(names, fmt.Sprintf("%s-%d", prefix, i))
	}
	creds, err := f.agents(ctx, names)
	if err != nil {
		return nil, err
	}
	if most := len(creds) * perAgent; f.connections > most {
		return nil, fmt.Errorf("%d connections need %d agents, because one may open about %d: give more --env-file, or --email and --password, with which agents are created",
			f.connections, len(names), perAgent)
	}
	configs := make([]loadgen.Config, f.connections)
	for i := range configs {
		c := creds[i/perAgent]
		configs[i] = loadgen.Config{
			URL: strings.TrimRight(f.url, "/"), Token: c.Token, HMACSecret: c.HMACSecret, WorkerID: fmt.Sprintf("%s-%d-1", prefix, i),
		}
	}
	return configs, nil
}

// ingest measures how many events the brain takes in, or how long it needs at a fixed rate.
func (f *flags) ingest(ctx context.Context, out io.Writer) error {
	if f.connections < 1 || f.perFrame < 1 || f.length <= 0 || f.rate < 0 {
		return errors.New("--connections and --events-per-frame must be 1 or more, --for above 0, --rate 0 or more")
	}
	configs, err := f.connect(ctx, "load")
	if err != nil {
		return err
	}
	base := strings.TrimRight(f.url, "/")
	load := loadgen.Load{
		EventsPerFrame: f.perFrame, Window: f.window, For: f.length, Rate: f.rate, Latency: new(loadgen.Latencies),
		Prefix: fmt.Sprintf("load-%x", time.Now().Unix()), Agents: configs,
	}
	if load.Window < 1 {
		load.Window = max(8, 256/f.perFrame)
	}
	var push *loadgen.Push
	if f.session != nil {
		var project struct {
			ID string `json:"id"`
		}
		if err := f.session.get(ctx, "/projects/"+f.project, &project); err != nil {
			return err
		}
		if push, err = loadgen.WatchPush(ctx, base, f.session.http.Jar, project.ID); err != nil {
			return err
		}
		load.OnDue = push.Acked
	}
	got, err := loadgen.Run(ctx, load)
	if err != nil {
		return fmt.Errorf("load %s: %w", base, err)
	}
	fmt.Fprintf(out, "sent %d events, acknowledged %d in %.1f s: %.0f events/s\n", got.Sent, got.Acked, got.Took.Seconds(), got.PerSecond())
	tell := func(what string, l *loadgen.Latencies) {
		fmt.Fprintf(out, "%s: p50 %s, p95 %s, p99 %s, longest %s\n", what, round(l.Quantile(0.5)), round(l.Quantile(0.95)), round(l.Quantile(0.99)), round(l.Max()))
	}
	tell("acknowledgement", load.Latency)
	if push != nil {
		if _, err := push.Close(); err != nil {
			return fmt.Errorf("the dashboard's socket ended: %w", err)
		}
		tell("event to browser", &push.Delays)
	}
	if got.Sent != got.Acked {
		return fmt.Errorf("%d events were not acknowledged; agents would send them again", got.Sent-got.Acked)
	}
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
