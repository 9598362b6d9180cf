// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxFile bounds what one file of a wheel may unpack to.
const maxFile = 256 << 20

// InspectWheel reads a finished wheel as pip would and returns its platform, or the first thing that is wrong: a name that does not
// fit the content, a file outside RECORD or changed since, tags that differ, a program that is not executable or not for these tags,
// a missing licence, or a program without the dashboard. Index is the dashboard's page as it was built.
func InspectWheel(name string, data []byte, version string, index []byte) (Platform, error) {
	w, err := openWheel(name, data)
	if err != nil {
		return Platform{}, fmt.Errorf("%s: %w", name, err)
	}
	p, err := w.check(version, index)
	if err != nil {
		return Platform{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

type openedWheel struct {
	name  string
	files map[string]openedFile
	order []string
}

type openedFile struct {
	data []byte
	head zip.FileHeader
}

func openWheel(name string, data []byte) (*openedWheel, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("no zip file: %w", err)
	}
	w := &openedWheel{name: name, files: map[string]openedFile{}}
	for _, f := range z.File {
		if _, twice := w.files[f.Name]; twice || f.Name != path.Clean(f.Name) || strings.HasPrefix(f.Name, "/") || strings.HasPrefix(f.Name, "..") {
			return nil, fmt.Errorf("holds %q twice, or it points outside", f.Name)
		}
		if !f.Modified.Equal(epoch) {
			return nil, fmt.Errorf("%s carries the time of its making (%v)", f.Name, f.Modified)
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.Name, err)
		}
		content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
		_ = r.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, err)
		}
		if len(content) > maxFile {
			return nil, fmt.Errorf("%s is larger than %d bytes", f.Name, maxFile)
		}
		w.files[f.Name] = openedFile{content, f.FileHeader}
		w.order = append(w.order, f.Name)
	}
	return w, nil
}

func (w *openedWheel) check(version string, index []byte) (Platform, error) {
	p, err := w.platform(version)
	if err != nil {
		return p, err
	}
	info := "z4j-" + version + ".dist-info/"
	program := "z4j-" + version + ".data/scripts/" + p.Program()
	want := []string{
		program, "z4j/__init__.py", "z4j/__main__.py", info + "METADATA", info + "WHEEL", info + "licenses/LICENSE", info + "RECORD",
	}
	if got := slices.Sorted(maps.Keys(w.files)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		return p, fmt.Errorf("holds %v, want %v", got, want)
	}
	if err := w.record(info + "RECORD"); err != nil {
		return p, err
	}
	if got := string(w.files[info+"WHEEL"].data); got != wheelFile(p) {
		return p, fmt.Errorf("WHEEL says\n%swant\n%s", got, wheelFile(p))
	}
	meta := "\n" + string(w.files[info+"METADATA"].data)
	for _, line := range []string{"Name: z4j", "Version: " + version, "License-Expression: AGPL-3.0-or-later", "License-File: LICENSE"} {
		if !strings.Contains(meta, "\n"+line+"\n") {
			return p, fmt.Errorf("METADATA lacks the line %q", line)
		}
	}
	if !bytes.Contains(w.files[info+"licenses/LICENSE"].data, []byte("GNU AFFERO GENERAL PUBLIC LICENSE")) {
		return p, fmt.Errorf("licenses/LICENSE is not the licence")
	}
	for name, f := range w.files {
		if got, want := f.head.Mode(), mode(name == program); got != want {
			return p, fmt.Errorf("%s has mode %v, want %v", name, got, want)
		}
	}
	if err := CheckProgram(w.files[program].data, p); err != nil {
		return p, err
	}
	if len(index) == 0 || !bytes.Contains(w.files[program].data, index) {
		return p, fmt.Errorf("the program does not carry the dashboard as it was built last; run scripts/dashboard and build again")
	}
	return p, nil
}

// platform finds the one whose wheel would have this name.
func (w *openedWheel) platform(version string) (Platform, error) {
	for _, p := range Platforms() {
		if w.name == (Wheel{Platform: p, Version: version}).Name() {
			return p, nil
		}
	}
	return Platform{}, fmt.Errorf("no platform's wheel of version %s is named so", version)
}

// record checks that RECORD is the last file and lists every file once, with its hash and size.
func (w *openedWheel) record(name string) error {
	if last := w.order[len(w.order)-1]; last != name {
		return fmt.Errorf("ends with %s, want RECORD", last)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(w.files[name].data)) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		if len(parts) != 3 || listed[parts[0]] {
			return fmt.Errorf("RECORD has the line %q", line)
		}
		f, ok := w.files[parts[0]]
		if !ok {
			return fmt.Errorf("RECORD lists %s, which is not there", parts[0])
		}
		listed[parts[0]] = true
		if parts[0] == name {
			continue
		}
		if parts[1] != recordHash(f.data) || parts[2] != fmt.Sprint(len(f.data)) {
			return fmt.Errorf("%s is not what RECORD says", parts[0])
		}
	}
	for file := range w.files {
		if !listed[file] {
			return fmt.Errorf("RECORD does not list %s", file)
		}
	}
	return nil
}
