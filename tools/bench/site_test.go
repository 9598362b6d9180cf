// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
	"github.com/z4jdev/z4j/tools/loadgen"
)

// kind is a way to run the brain.
type kind string

const (
	onSQLite   kind = "SQLite"
	onPostgres kind = "PostgreSQL"
	// oneOfEach is one process of each service, asServices two.
	oneOfEach  kind = "services, one of each"
	asServices kind = "services, two of each"
)

// slug is the kind as a part of a benchmark's name.
func (k kind) slug() string { return strings.NewReplacer(",", "", " ", "-").Replace(string(k)) }

// services reports whether the brain is single services.
func (k kind) services() bool { return k == oneOfEach || k == asServices }

// kindsOf reads from a variable what to measure: the usual unless it says otherwise.
func kindsOf(b *testing.B, variable, usual string) []kind {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		text = usual
	}
	var kinds []kind
	for word := range strings.SplitSeq(text, ",") {
		k := map[string]kind{"sqlite": onSQLite, "postgres": onPostgres, "service": oneOfEach, "services": asServices}[word]
		if k == "" {
			b.Fatalf("%s names %q: give sqlite, postgres, service (one of each) or services (two of each), several with commas", variable, word)
		}
		kinds = append(kinds, k)
	}
	return kinds
}

// site is an installation under measurement, with its agents made and its processes started anew: the
// password hash of the set-up takes 64 MiB, which is no part of what is measured.
type site struct {
	kind    kind
	brain   *harness.Brain
	api     *harness.Client
	pg      *harness.Postgres
	agents  []loadgen.Config
	project string
	db      string // the database's name on pg
}

// newSite starts an installation with n agents. PostgreSQL is a server of its own that syncs its disk,
// not the one of the tests, which does not.
func newSite(b *testing.B, k kind, n int, env ...string) *site {
	b.Helper()
	s := &site{kind: k}
	// The harness loses a fifth of the hints on purpose; a measurement of delays must not.
	env = append([]string{"Z4J_BUS_DROP_PERCENT=0"}, env...)
	if k == onSQLite {
		b.Setenv("Z4J_E2E_STORE", "")
	} else {
		s.pg = harness.NewDurablePostgres(b)
		b.Setenv("Z4J_TEST_POSTGRES", s.pg.URL())
		b.Setenv("Z4J_E2E_STORE", "postgres")
		if k.services() {
			b.Setenv("Z4J_E2E_STORE", "services")
			b.Setenv("Z4J_E2E_REPLICAS", map[kind]string{oneOfEach: "1", asServices: "2"}[k])
		} else {
			env = append(env, "Z4J_REDIS_URL=") // one process needs none
		}
	}
	s.brain = harness.NewBrain(b, env...)
	s.api = s.brain.Setup(b)
	var p struct {
		ID string `json:"id"`
	}
	if err := s.api.Get("/projects/"+harness.Project, &p); err != nil {
		b.Fatal(err)
	}
	s.project = p.ID
	s.agents = s.mint(b, "load", n)
	s.restart(b)
	if s.pg != nil {
		s.db = strings.TrimSpace(s.psql(b, "postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'e2e%'"))
	}
	return s
}

// mint makes what n connections need; a token has a limited number of worker slots.
func (s *site) mint(b *testing.B, name string, n int) []loadgen.Config {
	b.Helper()
	const perToken = 50
	cfgs := make([]loadgen.Config, n)
	// Agents go to the gateways in turns, not through the harness' balancer: that would be a hop within the load generator.
	doors := []string{s.brain.URL()}
	if s.kind.services() {
		doors = nil
		for _, m := range s.brain.Cluster().Of("gateway") {
			doors = append(doors, fmt.Sprintf("http://127.0.0.1:%d", m.Port))
		}
	}
	for i := range cfgs {
		if i%perToken == 0 {
			var cred harness.Credentials
			s.api.Must(b, http.MethodPost, "/projects/"+harness.Project+"/agents", map[string]any{"name": fmt.Sprintf("%s-%d", name, i/perToken)}, http.StatusCreated, &cred)
			cfgs[i] = loadgen.Config{URL: s.brain.URL(), Token: cred.Token, HMACSecret: cred.HMACSecret}
		} else {
			cfgs[i] = cfgs[i-1]
		}
		cfgs[i].URL = doors[i%len(doors)]
		cfgs[i].WorkerID = fmt.Sprintf("bare-%d-1", i)
	}
	return cfgs
}

func (s *site) restart(b *testing.B) {
	b.Helper()
	s.brain.Stop(b, 30*time.Second)
	s.brain.Start(b)
}

func (s *site) psql(b *testing.B, db, query string) string {
	b.Helper()
	cmd := exec.Command(filepath.Join(harness.Root(b), ".cache", "pg", "bin", "psql"), "-X", "-q", "-A", "-t",
		"-d", strings.Replace(s.pg.URL(), "/postgres?", "/"+db+"?", 1), "-c", query)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", query, err, out)
	}
	return string(out)
}

// liteProgram runs a statement on the database file itself, past the brain.
const liteProgram = `import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
row = db.execute(sys.argv[2]).fetchone()
db.commit()
print(row[0] if row else "")`

func (s *site) sqlite(b *testing.B, statement string) string {
	b.Helper()
	python := filepath.Join(harness.Root(b), ".cache", "py", "bin", "python")
	out, err := exec.Command(python, "-c", liteProgram, filepath.Join(s.brain.Home, "z4j.db"), statement).CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return string(out)
}

// stored counts the events in the database, past the brain.
func (s *site) stored(b *testing.B) int64 {
	b.Helper()
	const query = "SELECT count(*) FROM events"
	text := ""
	if s.pg != nil {
		text = s.psql(b, s.db, query)
	} else {
		text = s.sqlite(b, query)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// disk is the size of the database.
func (s *site) disk(b *testing.B) int64 {
	b.Helper()
	if s.pg != nil {
		n, err := strconv.ParseInt(strings.TrimSpace(s.psql(b, s.db, "SELECT pg_database_size(current_database())")), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	var n int64
	for _, name := range []string{"z4j.db", "z4j.db-wal"} {
		if info, err := os.Stat(filepath.Join(s.brain.Home, name)); err == nil {
			n += info.Size()
		}
	}
	return n
}

// usage is the processor time that brain, database and load generator have used.
type usage struct{ brain, database, own time.Duration }

func (s *site) usage(b *testing.B) usage {
	b.Helper()
	u := usage{own: cpu(b, os.Getpid())}
	for _, p := range s.brain.Processes {
		u.brain += cpu(b, p.PID())
	}
	if s.pg != nil {
		u.database = cpuTree(s.pg.PID())
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{u.brain - before.brain, u.database - before.database, u.own - before.own}
}

// memory is the most that the brain's processes held since they started, together, and the largest of them.
func (s *site) memory(b *testing.B) (all, largest int64) {
	b.Helper()
	for _, p := range s.brain.Processes {
		n := processStatus(b, p.PID(), "VmHWM")
		all, largest = all+n, max(largest, n)
	}
	return all, largest
}

// load runs a load and fails when a connection breaks or an event stays unanswered.
func (s *site) load(b *testing.B, l loadgen.Load) loadgen.Result {
	b.Helper()
	got, err := loadgen.Run(b.Context(), l)
	if err != nil {
		b.Fatalf("%s: %v\n%s", s.kind, err, s.brain.Log())
	}
	if got.Sent != got.Acked {
		b.Fatalf("%s: sent %d events, acknowledged %d", s.kind, got.Sent, got.Acked)
	}
	return got
}
