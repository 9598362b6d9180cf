// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/loadgen"
)

// side is one of the two builds that are compared.
type side struct {
	name, bin string
	rates     []float64 // acked events a second
	brainUS   []float64 // processor time of brain and database per event
	ackMS     []float64 // median latency at full rate
}

// pair is a set-up that both builds are measured in, side by side and in turns.
type pair struct {
	kind             kind
	agents, perFrame int
	sides            [2]*side
	sites            [2]*site
	turn             int
}

func newPair(b *testing.B, k kind, agents, perFrame int) *pair {
	b.Helper()
	p := &pair{kind: k, agents: agents, perFrame: perFrame}
	for i, name := range []string{"base", "head"} {
		bin := os.Getenv("Z4J_BENCH_" + strings.ToUpper(name))
		if _, err := os.Stat(bin); err != nil {
			b.Fatalf("run scripts/bench-compare, which builds both sides: %v", err)
		}
		b.Setenv("Z4J_E2E_BIN", bin)
		p.sides[i], p.sites[i] = &side{name: name, bin: bin}, newSite(b, k, agents)
	}
	return p
}

// round measures both sides once. Who begins changes from round to round, and both databases grow alike.
func (p *pair) round(b *testing.B, d time.Duration) {
	b.Helper()
	p.turn++
	for n := range 2 {
		i := (n + p.turn) % 2
		s, r := p.sites[i], p.sides[i]
		var ack loadgen.Latencies
		before := s.usage(b)
		got := s.load(b, loadgen.Load{
			Agents: s.agents, EventsPerFrame: p.perFrame, Window: windowOf(p.perFrame), For: d,
			Prefix: fmt.Sprintf("turn%d", p.turn), Latency: &ack,
		})
		used := s.usage(b).since(before)
		r.rates = append(r.rates, got.PerSecond())
		r.brainUS = append(r.brainUS, (used.brain+used.database).Seconds()*1e6/float64(got.Acked))
		r.ackMS = append(r.ackMS, millis(ack.Quantile(0.5)))
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[n/2] + v[(n-1)/2]) / 2
}

func spread(v []float64) string {
	return fmt.Sprintf("%.0f [%.0f-%.0f]", median(v), slices.Min(v), slices.Max(v))
}

// ratio is the head's median in terms of the base's.
func (p *pair) ratio(of func(*side) []float64) float64 {
	return median(of(p.sides[1])) / median(of(p.sides[0]))
}

func rates(s *side) []float64   { return s.rates }
func brainUS(s *side) []float64 { return s.brainUS }
func ackMS(s *side) []float64   { return s.ackMS }

func (p *pair) line() string {
	return fmt.Sprintf("| %s | %d | %d | %s | %s | **%.2f** | %.2f | %.2f |\n", p.kind, p.agents, p.perFrame,
		spread(p.sides[0].rates), spread(p.sides[1].rates), p.ratio(rates), p.ratio(brainUS), p.ratio(ackMS))
}

// BenchmarkCompare measures two builds in turns and prints ratios of medians; see scripts/bench-compare.
func BenchmarkCompare(b *testing.B) {
	if os.Getenv("Z4J_BENCH_BASE") == "" {
		b.Skip("run scripts/bench-compare")
	}
	least, _ := strconv.ParseFloat(os.Getenv("Z4J_BENCH_LEAST"), 64)
	rounds, _ := strconv.Atoi(os.Getenv("Z4J_BENCH_ROUNDS"))
	rounds = max(rounds, 1)
	var table strings.Builder
	table.WriteString("| on | agents | events per frame | base, events/s [spread] | head | ratio of rates | of CPU per event | of ack p50 |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	cases := []struct {
		kind             kind
		agents, perFrame int
	}{{onSQLite, 4, 1}, {onPostgres, 4, 1}}
	if least == 0 {
		cases = append(cases, []struct {
			kind             kind
			agents, perFrame int
		}{{onSQLite, 32, 1}, {onSQLite, 4, 500}, {onPostgres, 32, 1}, {onPostgres, 4, 500}}...)
	}
	for _, c := range cases {
		b.Run(fmt.Sprintf("%s/agents=%d/events=%d", c.kind, c.agents, c.perFrame), func(b *testing.B) {
			p := newPair(b, c.kind, c.agents, c.perFrame)
			for range rounds {
				p.round(b, seconds())
			}
			if least > 0 && p.ratio(rates) < least {
				// A neighbour on the machine may have hit one side only. Longer loads decide, by themselves.
				b.Logf("ratio %.2f, measuring again with longer loads", p.ratio(rates))
				for _, s := range p.sides {
					s.rates, s.brainUS, s.ackMS = nil, nil, nil
				}
				for range rounds {
					p.round(b, 3*seconds())
				}
			}
			b.ReportMetric(p.ratio(rates), "ratio")
			table.WriteString(p.line())
			if got := p.ratio(rates); got < least {
				b.Errorf("%s takes in %.2f of what the base takes in, want %.2f: %s and %s events/s", c.kind, got, least, spread(p.sides[1].rates), spread(p.sides[0].rates))
			}
		})
	}
	b.Log("\n" + table.String())
}
