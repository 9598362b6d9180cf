// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// binaryPath is the product as users get it, built once: what is tested here is its outside, exit codes, streams and
// signals included.
var binaryPath string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "z4j-cli-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryPath = filepath.Join(dir, "z4j")
	if runtime.GOOS == "windows" {
		binaryPath += ".exe"
	}
	build := exec.Command("go", "build", "-o", binaryPath, "github.com/z4jdev/z4j/services/allinone/cmd/z4j")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build z4j: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const (
	adminEmail    = "ops@example.com"
	adminPassword = "correct-Horse7-battery"
)

// lockedBuffer takes a process's output while the test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// home is an installation of its own. Everything its processes print is kept and searched for secrets at the end.
type home struct {
	dir, work string
	env       []string
	port      int

	mu      sync.Mutex
	printed []*lockedBuffer
	secrets []string
}

// newHome returns a state directory that does not exist yet, with settings in the environment.
func newHome(t *testing.T, env ...string) *home {
	t.Helper()
	root := t.TempDir()
	h := &home{dir: filepath.Join(root, "state"), work: filepath.Join(root, "work"), env: env, port: freePort(t)}
	if err := os.Mkdir(h.work, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.noSecretPrinted(t) })
	return h
}

// postgresHome is an installation on PostgreSQL, with what production needs there.
func postgresHome(t *testing.T, url string, env ...string) *home {
	t.Helper()
	secret := func(c string) string { return strings.Repeat(c, 48) }
	h := newHome(t, append([]string{
		"Z4J_DATABASE_URL=" + url, "Z4J_SECRET=" + secret("m"), "Z4J_SESSION_SECRET=" + secret("s"), "Z4J_ENVIRONMENT=dev",
	}, env...)...)
	h.secrets = append(h.secrets, secret("m"), secret("s"))
	return h
}

func (h *home) noSecretPrinted(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	secrets := append([]string{adminPassword}, h.secrets...)
	text, _ := os.ReadFile(filepath.Join(h.dir, "secret.env"))
	for line := range strings.Lines(string(text)) {
		if _, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			secrets = append(secrets, value)
		}
	}
	for _, out := range h.printed {
		for _, s := range secrets {
			if strings.Contains(out.String(), s) {
				t.Errorf("a secret was printed:\n%s", out)
			}
		}
	}
}

// file is a path inside the state directory.
func (h *home) file(name string) string { return filepath.Join(h.dir, name) }

func (h *home) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binaryPath, args...)
	cmd.Dir = h.work
	cmd.Env = append([]string{"HOME=" + h.work, "PATH=" + os.Getenv("PATH"), "Z4J_HOME=" + h.dir}, h.env...)
	return cmd
}

func (h *home) keep() *lockedBuffer {
	b := new(lockedBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.printed = append(h.printed, b)
	return b
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", r.code, r.out, r.err)
}

// run runs a command to its end.
func (h *home) run(t *testing.T, args ...string) result {
	t.Helper()
	return h.runInput(t, "", args...)
}

func (h *home) runInput(t *testing.T, input string, args ...string) result {
	t.Helper()
	out, errs := h.keep(), h.keep()
	return h.runTo(t, input, out, errs, args...)
}

// reveal runs a command that is meant to print a secret.
func (h *home) reveal(t *testing.T, args ...string) result {
	t.Helper()
	return h.runTo(t, "", new(lockedBuffer), h.keep(), args...)
}

func (h *home) runTo(t *testing.T, input string, out, errs *lockedBuffer, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := h.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, errs
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("z4j %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want fails the test unless the command ended with the code and its output has all the texts.
func (r result) want(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("want exit code %d, got %s", code, r)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("the output lacks %q: %s", text, r)
		}
	}
	return r
}

// brain is a running `z4j serve`.
type brain struct {
	h        *home
	cmd      *exec.Cmd
	out, err *lockedBuffer
	url      string
	started  time.Duration
	done     chan struct{}
}

// serve starts the brain and waits until it is ready.
func (h *home) serve(t *testing.T, args ...string) *brain {
	t.Helper()
	b := h.start(t, args...)
	b.waitReady(t)
	return b
}

// start starts the brain and waits for nothing.
func (h *home) start(t *testing.T, args ...string) *brain {
	t.Helper()
	b := &brain{h: h, out: h.keep(), err: h.keep(), url: "http://127.0.0.1:" + strconv.Itoa(h.port), done: make(chan struct{})}
	b.cmd = h.command(context.Background(), append([]string{"serve", "--port", strconv.Itoa(h.port)}, args...)...)
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.err
	begin := time.Now()
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.done)
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.done
	})
	b.started = time.Since(begin)
	return b
}

func (b *brain) waitReady(t *testing.T) {
	t.Helper()
	begin := time.Now()
	client := &http.Client{Timeout: time.Second}
	eventually(t, 30*time.Second, "the brain is ready", func() bool {
		select {
		case <-b.done:
			t.Fatalf("the brain ended: %s", b.result())
		default:
		}
		res, err := client.Get(b.url + "/api/v1/health/ready") //nolint:noctx // bounded by the client
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	b.started += time.Since(begin)
	// What it printed before it answered comes here another way, and later on a busy machine. The log line that it
	// is ready is the last of it; tests of the log level or the format do without.
	seen := time.NewTimer(2 * time.Second)
	defer seen.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.err.String(), "msg=ready") {
		select {
		case <-seen.C:
			return
		case <-tick.C:
		}
	}
}

func (b *brain) result() result {
	return result{b.cmd.ProcessState.ExitCode(), b.out.String(), b.err.String()}
}

// ended waits for the process to end by itself.
func (b *brain) ended(t *testing.T, limit time.Duration) result {
	t.Helper()
	select {
	case <-b.done:
	case <-time.After(limit):
		t.Fatalf("still running after %s:\n%s", limit, b.err)
	}
	return b.result()
}

// stop sends SIGTERM and waits for the end.
func (b *brain) stop(t *testing.T) result {
	t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return b.ended(t, 15*time.Second)
}

// kill ends the process without warning.
func (b *brain) kill(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-b.done
}

func setupLink() *regexp.Regexp {
	return regexp.MustCompile(`(http://\S+)/setup#token=([A-Za-z0-9_-]{43})`)
}

// setupToken returns the token of the link that the start printed.
func (b *brain) setupToken(t *testing.T) string {
	t.Helper()
	found := setupLink().FindAllStringSubmatch(b.err.String(), -1)
	if len(found) != 1 {
		t.Fatalf("%d setup links on stderr, want 1:\n%s", len(found), b.err)
	}
	return found[0][2]
}

// session is an HTTP client with cookies.
type session struct {
	base string
	http *http.Client
	csrf string
}

func newSession(t *testing.T, base string) *session {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &session{base: base, http: &http.Client{Jar: jar, Timeout: 10 * time.Second}}
}

// call makes a request and returns status and body. It keeps the CSRF token that a login set.
func (s *session) call(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.base+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.csrf != "" {
		req.Header.Set("X-CSRF-Token", s.csrf)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if strings.HasSuffix(c.Name, "csrf") {
			s.csrf = c.Value
		}
	}
	return res.StatusCode, string(text)
}

// login signs in and returns the status.
func login(t *testing.T, base, email, password string) (*session, int) {
	t.Helper()
	s := newSession(t, base)
	status, _ := s.call(t, http.MethodPost, "/api/v1/auth/login", map[string]string{"email": email, "password": password})
	return s, status
}

// eventually polls a condition.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// nextPort walks through ports below those that the system gives to clients: what it gave away as free a moment ago,
// another test's connection may have by now.
var nextPort atomic.Int64

// freePort returns a port that nothing listens on, and never the same twice.
func freePort(t *testing.T) int {
	t.Helper()
	const first, count = 12_000, 18_000
	nextPort.CompareAndSwap(0, rand.Int64N(count)+1) // several runs of these tests at once begin elsewhere
	for range count {
		port := first + int(nextPort.Add(1)%count)
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":"+strconv.Itoa(port))
		if err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
