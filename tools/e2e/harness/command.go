// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runCommand runs a program to its end and returns exit code, standard output and standard error.
func runCommand(t testing.TB, dir string, env []string, stdin string, argv ...string) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, stdout.String(), stderr.String()
	case errors.As(err, &exit):
		return exit.ExitCode(), stdout.String(), stderr.String()
	default:
		t.Fatalf("run %s: %v", strings.Join(argv, " "), err)
		return -1, "", ""
	}
}

// npmLimit bounds a script: every page in every state takes minutes on a busy machine.
const npmLimit = 20 * time.Minute

// Npm runs npm in a directory with extra settings and returns what it printed.
func Npm(t testing.TB, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), npmLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "NO_COLOR=1", "NPM_CONFIG_UPDATE_NOTIFIER=false", "HOME=" + t.TempDir()}, env...)
	// A group of its own: what npm started must not outlive a timeout.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Chromium finds the browser.
func Chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("chromium is missing: run scripts/env services")
	return ""
}

// quote makes one word of a shell command.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func shell(dir, redis string, argv ...string) string {
	words := []string{"cd", quote(dir), "&&", "PYTHONDONTWRITEBYTECODE=1", "E2E_REDIS_URL=" + quote(redis), "exec"}
	for _, arg := range argv {
		words = append(words, quote(arg))
	}
	return strings.Join(words, " ")
}

// CeleryCommand is the shell command that StartCelery would run, without an agent's settings.
func CeleryCommand(t testing.TB, node, redis string, args ...string) string {
	t.Helper()
	return shell(apps(t), redis, celeryArgs(t, node, args)...)
}

// ProducerCommand is the shell command of a Producer.
func ProducerCommand(t testing.TB, engine, redis string) string {
	t.Helper()
	return shell(apps(t), redis, bin(t, "python"), "producer.py", engine)
}
