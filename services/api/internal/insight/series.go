// SPDX-License-Identifier: AGPL-3.0-or-later

package insight

import (
	"context"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// SeriesQuery are the parameters of the series.
type SeriesQuery struct {
	rest.WindowQuery
	Points int    `json:"points" default:"120" validate:"ge=10,le=500" doc:"about how many buckets; up to a quarter more are given to keep to a plain width"`
	Name   string `json:"name" doc:"only tasks of this name"`
	Queue  string `json:"queue" doc:"only tasks of this queue"`
}

// SeriesBucket is what tasks did in one stretch of time.
type SeriesBucket struct {
	T         httpx.Time     `json:"t" doc:"start of the bucket"`
	Received  int64          `json:"received"`
	Started   int64          `json:"started"`
	Succeeded int64          `json:"succeeded"`
	Failed    int64          `json:"failed"`
	Retried   int64          `json:"retried"`
	Revoked   int64          `json:"revoked"`
	Run       *LatencyPublic `json:"run"`
	Wait      *LatencyPublic `json:"wait"`
}

// Marker is something that happened at a time and may explain what the chart shows.
type Marker struct {
	T    httpx.Time `json:"t"`
	Kind string     `json:"kind" validate:"oneof=agent_start|worker_first_seen"`
	Text string     `json:"text"`
}

// SeriesPublic is a series of buckets without gaps, oldest first.
type SeriesPublic struct {
	Window        rest.Window    `json:"window"`
	BucketSeconds int64          `json:"bucket_seconds"`
	Buckets       []SeriesBucket `json:"buckets"`
	Markers       []Marker       `json:"markers" doc:"at most 50, oldest first"`
}

// widths are the widths of buckets, in minutes. Those of ten and more are read from sums.
var widths = [...]int64{1, 2, 5, 10, 20, 30, 60, 120, 180, 360, 720, 1440, 2 * 1440, 7 * 1440, 14 * 1440, 28 * 1440, 56 * 1440}

// bucketWidth is the narrowest plain width that gives about so many points, and that a window which begins so long ago is
// kept in.
func bucketWidth(window, ago time.Duration, points int) time.Duration {
	least := time.Minute
	switch {
	case ago > store.HourKeep+day:
		least = day
	case ago > store.MinuteKeep+time.Hour:
		least = time.Hour
	}
	most := int64(points) + int64(points)/4
	for _, w := range widths {
		if width := time.Duration(w) * time.Minute; width >= least && int64(window/width) <= most {
			return time.Duration(w) * time.Minute
		}
	}
	return time.Duration(widths[len(widths)-1]) * time.Minute
}

const maxMarkers = 50

func (g *group) series(r *rest.Request) (any, error) {
	q := rest.Query[SeriesQuery](r)
	window, err := q.Window(g.store.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	from, to := window.From.UTC(), window.To.UTC()
	width := bucketWidth(to.Sub(from), g.ago(from), q.Points)
	out := SeriesPublic{Window: window, BucketSeconds: int64(width.Seconds()), Buckets: []SeriesBucket{}, Markers: []Marker{}}
	ask := store.SumQuery{ProjectID: r.Project.ID, From: from.Truncate(width), To: to, Bucket: width}
	known, err := g.narrow(ctx, &ask, q.Name, q.Queue)
	if err != nil {
		return nil, err
	}
	sums := map[store.SumKey]*store.Sum{}
	if known {
		if sums, err = g.store.Sums(ctx, ask); err != nil {
			return nil, err
		}
	}
	var none store.Sum
	for t := ask.From; t.Before(to); t = t.Add(width) {
		s := sums[store.SumKey{At: t}]
		if s == nil {
			s = &none
		}
		out.Buckets = append(out.Buckets, SeriesBucket{
			T: httpx.NewTime(t), Received: s.Received, Started: s.Started, Succeeded: s.Succeeded, Failed: s.Failed, Retried: s.Retried,
			Revoked: s.Revoked, Run: latencyPublic(s.Run()), Wait: latencyPublic(s.Wait()),
		})
	}
	out.Markers, err = g.markers(ctx, r.Project.ID, from, to)
	return out, err
}

// markers are the starts of agents' processes and the first sights of workers.
func (g *group) markers(ctx context.Context, project int64, from, to time.Time) ([]Marker, error) {
	starts, err := g.store.Starts(ctx, project, from, to, maxMarkers)
	if err != nil {
		return nil, err
	}
	out := make([]Marker, 0, len(starts))
	for _, s := range starts {
		m := Marker{T: httpx.NewTime(s.At), Kind: "worker_first_seen", Text: "worker " + s.Name + " was seen for the first time"}
		if s.Agent {
			m.Kind, m.Text = "agent_start", "a process of agent "+s.Name+" started"
			if s.N > 1 {
				m.Text = fmt.Sprintf("%d processes of agent %s started", s.N, s.Name)
			}
		}
		out = append(out, m)
	}
	return out, nil
}
