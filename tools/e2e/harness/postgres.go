// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Postgres is a private PostgreSQL server, for tests that kill it.
type Postgres struct {
	*Process

	bin, dir string
	port     int
	as       *syscall.Credential
	settings []string
}

// NewPostgres creates a cluster and starts it. It does not sync its disk.
func NewPostgres(t testing.TB) *Postgres {
	t.Helper()
	return newPostgres(t, "fsync=off")
}

// NewDurablePostgres creates a cluster that keeps what it committed through a power cut, for measurements. Its settings are
// those of compose/postgres.yml.
func NewDurablePostgres(t testing.TB) *Postgres {
	t.Helper()
	p := newPostgres(t, "fsync=on", "synchronous_commit=on", "full_page_writes=on",
		"shared_buffers=256MB", "min_wal_size=1GB", "max_wal_size=4GB", "checkpoint_timeout=15min", "effective_cache_size=1GB", "random_page_cost=1.1", "wal_compression=on")
	p.fillLog(t)
	return p
}

// fillLog has the server make the files of its log, as one does in its first hours: they are used again then, and a commit that
// has to make one waits for the disk much longer.
func (p *Postgres) fillLog(t testing.TB) {
	t.Helper()
	const files = 60 // of 16 MiB
	p.psql(t, append(slices.Repeat([]string{"SELECT pg_logical_emit_message(false, 'z4j', ''), pg_switch_wal()"}, files),
		"CHECKPOINT")...) // makes the used ones ready for use again
}

func newPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	bin := os.Getenv("Z4J_TEST_POSTGRES_BIN")
	if bin == "" {
		t.Fatal("run the test with scripts/with-services")
	}
	dir, err := os.MkdirTemp("", "z4j-pg") // a short path: Unix sockets have a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Postgres{bin: bin, dir: dir, port: FreePort(t), settings: settings}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32) // a number, as the system says it
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale=C.UTF-8", "--no-sync") //nolint:gosec // a program of the test environment
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: p.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p.Start(t)
	return p
}

// Start starts the server, also after a Kill: it then recovers from its log.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	// A killed server leaves its lock behind, and its processes may need a moment to end.
	_ = os.Remove(filepath.Join(p.dir, "data", "postmaster.pid"))
	argv := []string{
		filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-k", p.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300",
	}
	for _, s := range p.settings {
		argv = append(argv, "-c", s)
	}
	p.Process = start(t, "postgres", options{dir: p.dir, user: p.as}, argv...)
	Eventually(t, 30*time.Second, "PostgreSQL answers", func() error {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p.port), time.Second)
		if err != nil {
			return err
		}
		_ = conn.Close()
		out, err := exec.Command(filepath.Join(p.bin, "psql"), "-X", "-q", "-d", p.URL(), "-c", "SELECT 1").CombinedOutput() //nolint:gosec // likewise
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// URL names the server's database.
func (p *Postgres) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// Lock holds a table against everybody until the returned function is called, or the test ends.
func (p *Postgres) Lock(t testing.TB, table string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-X", "-q", "-d", p.URL()) //nolint:gosec // likewise
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait()
	})
	t.Cleanup(release)
	if _, err := fmt.Fprintf(in, "BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE;\n", table); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 10*time.Second, "the table is locked", func() error {
		return Equal("locks", p.count(t, "SELECT count(*) FROM pg_locks WHERE relation = '"+table+"'::regclass AND mode = 'AccessExclusiveLock' AND granted"), 1)
	})
	return release
}

// Waiting is how many connections wait for a lock.
func (p *Postgres) Waiting(t testing.TB) int {
	t.Helper()
	return p.count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
}

func (p *Postgres) count(t testing.TB, query string) int {
	t.Helper()
	out := p.psql(t, query)
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("%s: %v: %s", query, err, out)
	}
	return n
}

// psql runs statements, each in a transaction of its own, and returns what they print, bare.
func (p *Postgres) psql(t testing.TB, statements ...string) string {
	t.Helper()
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", p.URL()}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	out, err := exec.Command(filepath.Join(p.bin, "psql"), args...).CombinedOutput() //nolint:gosec // a program of the test environment
	if err != nil {
		t.Fatalf("%s: %v: %s", statements, err, out)
	}
	return string(out)
}
