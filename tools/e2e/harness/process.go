// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Process is one started program. Its output is kept and shown when the test fails.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error
}

// logBuffer collects what a program prints; it may be read while the program writes.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// options of a process; the zero value is a program with an empty environment.
type options struct {
	dir   string
	env   []string
	stdin io.Reader
	// user runs the program as another user; nil means as this one.
	user *syscall.Credential
}

// start runs a program in its own process group, so that forked workers end with it.
func start(t testing.TB, name string, opts options, argv ...string) *Process {
	t.Helper()
	p, err := launch(name, opts, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		p.saveLog(t)
	})
	return p
}

func launch(name string, opts options, argv ...string) (*Process, error) {
	p := &Process{name: name, log: &logBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = opts.dir
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
	}, opts.env...)
	p.cmd.Stdin = opts.stdin
	p.cmd.Stdout = p.log
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: opts.user}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id, for measurements.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns all output so far.
func (p *Process) Log() string { return p.log.String() }

// Running reports whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends the whole process group at once, as a crash would.
func (p *Process) Kill() {
	if p.Running() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.done
}

// Stop asks the program to end and returns its exit code; it fails the test when the program
// needs longer than limit.
func (p *Process) Stop(t testing.TB, limit time.Duration) int {
	t.Helper()
	p.terminate()
	return p.wait(t, limit)
}

// terminate asks the program to end.
func (p *Process) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// wait waits for the end of a program that was asked to end.
func (p *Process) wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Errorf("%s did not end within %s of SIGTERM", p.name, limit)
		p.Kill()
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return 0
	case errors.As(p.err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// WaitLog waits until the output contains text.
func (p *Process) WaitLog(t testing.TB, limit time.Duration, text string) {
	t.Helper()
	Eventually(t, limit, fmt.Sprintf("%s prints %q", p.name, text), func() error {
		if strings.Contains(p.Log(), text) {
			return nil
		}
		if !p.Running() {
			return fmt.Errorf("%s has ended (%w):\n%s", p.name, p.err, p.Log())
		}
		return errors.New("not printed")
	})
}

// saveLog keeps the output of a failed test in artifacts/e2e and shows its end.
func (p *Process) saveLog(t testing.TB) {
	if !t.Failed() {
		return
	}
	text := p.Log()
	dir := filepath.Join(Root(t), "artifacts", "e2e", strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err == nil {
		_ = os.WriteFile(filepath.Join(dir, p.name+".log"), []byte(text), 0o600)
	}
	const shown = 3000
	if len(text) > shown {
		text = "...\n" + text[len(text)-shown:]
	}
	t.Logf("output of %s:\n%s", p.name, text)
}

// Ports that FreePort gives out. They lie below those that Linux takes for the near end of connections: one of these may be in
// use the moment after it was found free.
const (
	firstPort = 15_000
	portCount = 17_000
)

// portsGiven counts the ports that were given out, so that none is twice.
var portsGiven atomic.Int64

// FreePort returns a loopback port that nothing listens on, and that no other call returns.
func FreePort(t testing.TB) int {
	t.Helper()
	var last error
	for range 100 {
		port := firstPort + (101*os.Getpid()+int(portsGiven.Add(1)))%portCount // test processes begin at different places
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
		last = err
	}
	t.Fatalf("no port is free: %v", last)
	return 0
}

// Root is the repository's directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("go.work not found above the working directory")
		}
		dir = parent
	}
}
