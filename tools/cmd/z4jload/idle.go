// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// idle keeps agents without work connected: heartbeats, reports of themselves, and coming back when the brain restarts.
func (f *flags) idle(ctx context.Context, out io.Writer) error {
	if f.connections < 1 || f.length <= 0 {
		return errors.New("--connections must be 1 or more, --for above 0")
	}
	var names []string
	for i := 0; i*perAgent < f.connections; i++ {
		names = append(names, fmt.Sprintf("idle-%d", i))
	}
	creds, err := f.agents(ctx, names)
	if err != nil {
		return err
	}
	if most := len(creds) * perAgent; f.connections > most {
		return fmt.Errorf("%d connections need %d agents, because one may open about %d: give more --env-file, or --email and --password, with which agents are created",
			f.connections, len(names), perAgent)
	}
	fleet := &loadgen.Fleet{}
	for i := range f.connections {
		c := creds[i/perAgent]
		fleet.Agents = append(fleet.Agents, loadgen.Config{
			URL: strings.TrimRight(f.url, "/"), Token: c.Token, HMACSecret: c.HMACSecret, WorkerID: fmt.Sprintf("idle-%d-1", i),
		})
	}
	ctx, cancel := context.WithTimeout(ctx, f.length)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { fleet.Run(ctx, time.Duration(f.connections)*time.Millisecond) })
	tell := func() {
		s := fleet.State()
		line := fmt.Sprintf("%d of %d connected, %d heartbeats sent, %d connections ended, %d attempts timed out, %d refused",
			s.Connected, f.connections, s.Beats, s.Ended, s.Timeouts, s.Refused)
		if s.Last != nil {
			line += ": " + s.Last.Error()
		}
		fmt.Fprintln(out, line)
	}
	tick := time.NewTicker(min(10*time.Second, f.length/2))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tell()
		case <-ctx.Done():
			tell()
			if s := fleet.State(); s.Beats == 0 {
				return fmt.Errorf("no agent got as far as a heartbeat at %s", f.url)
			}
			return nil
		}
	}
}
