// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Names of files in the state directory.
const (
	fileConfig       = "config.env"
	fileSecret       = "secret.env"
	fileAllowedHosts = "allowed-hosts"
	fileDatabase     = "z4j.db"
	fileSecretLock   = ".secret.lock"
	fileServeLock    = ".serve.lock"
)

// mintable are the secrets that secret.env may hold, with the bytes of randomness of a new one.
// Session and audit keys are minted too although they could be derived: a leaked one can then be
// replaced without touching the other.
var mintable = []struct {
	name  string
	bytes int
}{
	{"Z4J_AUDIT_CHAIN_SECRET", 48}, {"Z4J_SECRET", 48}, {"Z4J_SESSION_SECRET", 48}, {"Z4J_METRICS_AUTH_TOKEN", 32},
}

// DefaultHome returns the state directory: Z4J_HOME, or .z4j in the user's home.
func DefaultHome(environ []string) (string, error) {
	if home := lookup(environ, "Z4J_HOME"); home != "" {
		abs, err := filepath.Abs(home)
		if err != nil {
			return "", fmt.Errorf("find the state directory %q: %w", home, err)
		}
		return abs, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state directory: %w; set Z4J_HOME to a directory that z4j may write to", err)
	}
	return filepath.Join(user, ".z4j"), nil
}

// EnsureHome creates the state directory, readable by its owner only.
func EnsureHome(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("create the state directory: %w; set Z4J_HOME to a directory that z4j may write to", err)
	}
	info, err := os.Stat(home)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	if !info.IsDir() {
		return notDirectory(home)
	}
	return nil
}

func notDirectory(home string) error {
	return fmt.Errorf("the state directory %s is not a directory; set Z4J_HOME to one that z4j may write to", home)
}

// MintSecrets adds the secrets that secret.env lacks and that known does not supply, and returns the
// names it added. Any number of processes may call it at the same time: all end with the same file.
func MintSecrets(home string, known map[string]string) (added []string, err error) {
	if err := EnsureHome(home); err != nil {
		return nil, err
	}
	lock, err := openLock(filepath.Join(home, fileSecretLock))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, err := lockFile(lock, true); err != nil {
		return nil, err
	}
	path := filepath.Join(home, fileSecret)
	values, faults := readFile(path)
	if len(faults) > 0 {
		return nil, &FaultError{Faults: faults}
	}
	var text bytes.Buffer
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	text.Write(old)
	if len(old) > 0 && !bytes.HasSuffix(old, []byte("\n")) {
		text.WriteByte('\n')
	}
	for _, m := range mintable {
		if values[m.name] != "" || known[m.name] != "" {
			continue
		}
		fmt.Fprintf(&text, "%s=%s\n", m.name, randomText(m.bytes))
		added = append(added, m.name)
	}
	if len(added) == 0 {
		return nil, nil
	}
	return added, writeAtomic(path, text.Bytes(), 0o600)
}

// SetSecret replaces or adds one line of secret.env.
func SetSecret(home, name, value string) error {
	lock, err := openLock(filepath.Join(home, fileSecretLock))
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := lockFile(lock, true); err != nil {
		return err
	}
	path := filepath.Join(home, fileSecret)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var lines []string
	replaced := false
	for line := range strings.SplitSeq(strings.TrimRight(string(old), "\n"), "\n") {
		if key, _, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == name {
			if replaced {
				continue
			}
			line, replaced = name+"="+value, true
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	if !replaced {
		lines = append(lines, name+"="+value)
	}
	return writeAtomic(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// NewToken returns a fresh url-safe secret of n random bytes.
func NewToken(n int) string { return randomText(n) }

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

// ServeLock is held by the one `serve` of a state directory.
type ServeLock struct{ f *os.File }

// ErrHomeInUse says that another process serves from the same state directory.
var ErrHomeInUse = errors.New("another z4j serve uses this state directory")

// LockHome takes the lock of the state directory, or returns an error wrapping ErrHomeInUse with the
// other process's id. The lock ends with the process, so nothing stale can block a start.
func LockHome(home string) (*ServeLock, error) {
	f, err := openLock(filepath.Join(home, fileServeLock))
	if err != nil {
		return nil, err
	}
	locked, err := lockFile(f, false)
	if err != nil || !locked {
		defer f.Close()
	}
	if err != nil {
		return nil, err
	}
	if !locked {
		pid := make([]byte, 32)
		n, _ := f.ReadAt(pid, 0)
		return nil, fmt.Errorf("%w: %s (process %s); stop that one, or give this one its own Z4J_HOME and Z4J_BIND_PORT",
			ErrHomeInUse, home, strings.TrimSpace(string(pid[:n])))
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("write %s: %w", f.Name(), err)
		}
	}
	return &ServeLock{f: f}, nil
}

// Release gives the directory free.
func (l *ServeLock) Release() error { return l.f.Close() }

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return f, nil
}

// writeAtomic replaces path in one step, so that a crash leaves the old or the new text, never half.
func writeAtomic(path string, data []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(tmp.Chmod(mode), writeSync(tmp, data)); err != nil {
		_ = tmp.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeSync(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func lookup(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if key, v, ok := strings.Cut(entry, "="); ok && key == name {
			value = v
		}
	}
	return value
}
