// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file with secrets that others can read, or that somebody else owns.
func checkOwner(path string, info fs.FileInfo, secret string) (Fault, bool) {
	if info.Mode().Perm()&0o077 != 0 {
		return Fault{
			Name:    path,
			Problem: fmt.Sprintf("holds %s but has mode %04o, so other users can read it", secret, info.Mode().Perm()),
			Remedy:  "run: chmod 600 " + path,
		}, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if uid := os.Geteuid(); ok && int(stat.Uid) != uid && uid != 0 {
		return Fault{
			Name:    path,
			Problem: fmt.Sprintf("holds %s but belongs to user id %d", secret, stat.Uid),
			Remedy:  fmt.Sprintf("run: chown %d %s", uid, path),
		}, false
	}
	return Fault{}, true
}

// lockFile takes an exclusive lock; the kernel drops it when the process ends, however it ends.
func lockFile(f *os.File, wait bool) (locked bool, err error) {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}
