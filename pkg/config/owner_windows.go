// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build windows

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// checkOwner accepts every file: Windows profiles are private to their user already.
func checkOwner(string, fs.FileInfo, string) (Fault, bool) { return Fault{}, true }

// lockFile takes an exclusive lock; the system drops it when the process ends.
func lockFile(f *os.File, wait bool) (locked bool, err error) {
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK)
	if !wait {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}
