// SPDX-License-Identifier: AGPL-3.0-or-later

package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const fileHeader = "# Host names that z4j answers to, one a line. Change it here or with: z4j allowed-hosts add|remove NAME\n" +
	"# Read at start. Ignored when Z4J_ALLOWED_HOSTS is set.\n"

// File is the allowed-hosts file.
type File struct{ Path string }

// Read returns the entries in their normal form, without repeats, and an error for each line that is no
// entry. A missing file is empty.
func (f File) Read() (entries []string, wrong []error, err error) {
	text, err := f.text()
	if err != nil {
		return nil, nil, err
	}
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		entry := entryOf(line)
		if entry == "" {
			continue
		}
		name, err := ParseEntry(entry)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s line %d is ignored: %w", f.Path, number, err))
			continue
		}
		if !slices.Contains(entries, name) {
			entries = append(entries, name)
		}
	}
	return entries, wrong, nil
}

func (f File) text() (string, error) {
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the allowed-hosts file: %w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return strings.ReplaceAll(string(data), "\r\n", "\n"), nil
}

// entryOf strips a line's comment.
func entryOf(line string) string {
	entry, _, _ := strings.Cut(line, "#")
	return strings.TrimSpace(entry)
}

// Add appends the hosts that are not there yet. All are checked first: with one wrong entry nothing is
// written. Lines that are there stay as they are, comments included.
func (f File) Add(hosts []string) (added, present []string, err error) {
	names := make([]string, 0, len(hosts))
	var errs []error
	for _, host := range hosts {
		name, err := ParseEntry(host)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names = append(names, name)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	entries, _, err := f.Read()
	if err != nil {
		return nil, nil, err
	}
	text, err := f.text()
	if err != nil {
		return nil, nil, err
	}
	if text == "" {
		text = fileHeader
	}
	var out strings.Builder
	out.WriteString(text)
	if !strings.HasSuffix(text, "\n") {
		out.WriteByte('\n')
	}
	for _, name := range names {
		if slices.Contains(entries, name) {
			present = append(present, name)
			continue
		}
		entries = append(entries, name)
		added = append(added, name)
		out.WriteString(name + "\n")
	}
	if len(added) == 0 {
		return nil, present, nil
	}
	return added, present, f.write(out.String())
}

// Remove deletes the lines of the hosts. Entries are compared in their normal form, or as they are
// written when they have none, so that a wrong line can be removed too.
func (f File) Remove(hosts []string) (removed, missing []string, err error) {
	text, err := f.text()
	if err != nil {
		return nil, nil, err
	}
	lines := strings.Split(text, "\n")
	for _, host := range hosts {
		want := comparable(host)
		kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			entry := entryOf(line)
			return entry != "" && comparable(entry) == want
		})
		if len(kept) == len(lines) {
			missing = append(missing, host)
		} else {
			removed = append(removed, host)
		}
		lines = kept
	}
	if len(removed) == 0 {
		return nil, missing, nil
	}
	return removed, missing, f.write(strings.Join(lines, "\n"))
}

func comparable(entry string) string {
	if name, err := ParseEntry(entry); err == nil {
		return name
	}
	return strings.ToLower(strings.TrimSpace(entry))
}

// write replaces the file in one step and keeps its mode.
func (f File) write(text string) error {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the allowed-hosts file: %w", err)
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(f.Path); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(dir, ".allowed-hosts.*")
	if err != nil {
		return fmt.Errorf("write the allowed-hosts file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, writeErr := tmp.WriteString(text)
	if err := errors.Join(writeErr, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write the allowed-hosts file: %w", err)
	}
	if err := os.Rename(tmp.Name(), f.Path); err != nil {
		return fmt.Errorf("write the allowed-hosts file: %w", err)
	}
	return nil
}
