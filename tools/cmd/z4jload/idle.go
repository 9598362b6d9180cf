// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// idle keeps agents without work connected: heartbeats, reports of themselves, and coming back when the brain restarts.
func (f *flags) idle(ctx context.Context, out io.Writer) error {
	if f.connections < 1 || f.length <= 0 {
		return errors.New("--connections must be 1 or more, --for above 0")
	}
	configs, err := f.connect(ctx, "idle")
	if err != nil {
		return err
	}
	fleet := &loadgen.Fleet{Agents: configs}
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
