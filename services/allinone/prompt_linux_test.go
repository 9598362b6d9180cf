// SPDX-License-Identifier: AGPL-3.0-or-later

package allinone_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (user, process *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	var number, unlock uint32
	for _, call := range []struct {
		request uintptr
		arg     *uint32
	}{{syscall.TIOCSPTLCK, &unlock}, {syscall.TIOCGPTN, &number}} {
		//nolint:gosec // the way to a pseudo-terminal
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, user.Fd(), call.request, uintptr(unsafe.Pointer(call.arg))); errno != 0 {
			t.Fatal(errno)
		}
	}
	process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Close() })
	return user, process
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	var state syscall.Termios
	//nolint:gosec // the way to ask a terminal
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, terminal.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&state))); errno != 0 {
		t.Fatal(errno)
	}
	return state.Lflag&syscall.ECHO != 0
}

// prompted runs a command on a terminal where somebody types the lines, each after a prompt has appeared.
func prompted(t *testing.T, h *home, lines []string, args ...string) (r result, screen string) {
	t.Helper()
	user, process := openTerminal(t)
	seen := h.keep()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := user.Read(buf)
			if err != nil {
				return
			}
			_, _ = seen.Write(buf[:n])
		}
	}()
	cmd := h.command(t.Context(), args...)
	out := h.keep()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = process, out, process
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	// Each prompt is waited for by its own text: a line typed before the second one appeared would meet the
	// moment between the two, when the terminal echoes.
	prompts := []string{"Password: ", "Again: "}
	for i, line := range lines {
		eventually(t, 20*time.Second, "the prompt appears", func() bool { return strings.Contains(seen.String(), prompts[i]) && !echoes(t, process) })
		if _, err := user.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatalf("the command waits for more:\n%s", seen)
	}
	// What the command wrote last is still on its way: our own line comes behind it.
	if _, err := process.WriteString("<end>"); err != nil {
		t.Fatal(err)
	}
	if !echoes(t, process) {
		t.Error("the terminal was left without echo")
	}
	eventually(t, 5*time.Second, "everything is on the screen", func() bool { return strings.Contains(seen.String(), "<end>") })
	return result{cmd.ProcessState.ExitCode(), out.String(), seen.String()}, seen.String()
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	create := []string{"createsuperuser", "--email", adminEmail}
	r, _ := prompted(t, h, []string{adminPassword + "\n", "something-Else7-typed\n"}, create...)
	r.want(t, 2, "differ")
	r, _ = prompted(t, h, []string{"\x03"}, create...)
	r.want(t, 1, "interrupted")
	r, screen := prompted(t, h, []string{adminPassword + "\n", adminPassword + "\n"}, create...)
	r.want(t, 0, "admin "+adminEmail+" provisioned")
	if strings.Contains(screen, adminPassword) {
		t.Error("the password was shown while it was typed")
	}
	b := h.serve(t)
	r, _ = prompted(t, h, []string{"another-Good7-passphrase\n", "another-Good7-passphrase\n"}, "changepassword", adminEmail)
	r.want(t, 0)
	if _, code := login(t, b.url, adminEmail, "another-Good7-passphrase"); code != 200 {
		t.Errorf("login with the new password: %d", code)
	}
}
