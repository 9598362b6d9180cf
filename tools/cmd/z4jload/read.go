// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// reads are what the dashboard's pages ask for, by what they show.
func reads(project string) [][2]string {
	in := "/projects/" + url.PathEscape(project)
	tasks := func(query string) string {
		return in + "/tasks?limit=50&fields=basic&query=" + url.QueryEscape(query)
	}
	return [][2]string{
		{"home", "/home/overview"},
		{"overview", in + "/overview"},
		{"charts", in + "/series"},
		{"tasks", tasks("")},
		{"failed tasks", tasks("state:failure")},
		{"search, nothing found", tasks("nowhere-to-be-found")},
		{"counts beside the list", in + "/tasks/facets"},
		{"issues", in + "/issues?limit=50"},
		{"queues", in + "/queues"},
		{"workers", in + "/workers"},
		{"agents", in + "/agents"},
		{"commands", in + "/commands?limit=50"},
	}
}

// read measures how long the pages of a dashboard wait for their answers while many are open.
func (f *flags) read(ctx context.Context, out io.Writer) error {
	if f.clients < 1 || f.length <= 0 {
		return errors.New("--clients must be 1 or more, --for above 0")
	}
	if f.password == "" {
		return errors.New("whom to read as? give --email and --password")
	}
	if _, err := f.mint(ctx, nil); err != nil {
		return err
	}
	calls := reads(f.project)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "answers\tp50\tp95\tp99\tlongest\t what\t")
	for _, call := range calls {
		times, err := f.readOne(ctx, call[1], f.length/time.Duration(len(calls)))
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t %s\t\n", times.Count(), round(times.Quantile(0.5)), round(times.Quantile(0.95)), round(times.Quantile(0.99)), round(times.Max()), call[0])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// readOne asks for one path with all clients for a while, each again as soon as it has its answer.
func (f *flags) readOne(ctx context.Context, path string, length time.Duration) (*loadgen.Latencies, error) {
	times := new(loadgen.Latencies)
	var once sync.Once
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	for range f.clients {
		wg.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				at := time.Now()
				if err := f.session.get(ctx, path, nil); err != nil {
					once.Do(func() { failed = err; cancel() })
					return
				}
				times.Add(time.Since(at))
			}
		})
	}
	wg.Wait()
	return times, failed
}
