// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Wheel is what goes into one.
type Wheel struct {
	Platform Platform
	Version  string
	Program  []byte // the binary for Platform
	Module   fs.FS  // the files of the Python package z4j, which starts it as `python -m z4j`
	Readme   string // Markdown
	Licence  []byte
}

// Name is the wheel's file name; pip reads name, version and tags from it.
func (w Wheel) Name() string {
	return fmt.Sprintf("z4j-%s-py3-none-%s.whl", w.Version, strings.Join(w.Platform.Tags(), "."))
}

// Bytes returns the wheel (binary distribution format 1.0). Equal wheels have equal bytes. It refuses a binary that is not for the
// wheel's platform.
func (w Wheel) Bytes() ([]byte, error) {
	if err := CheckProgram(w.Program, w.Platform); err != nil {
		return nil, err
	}
	meta, err := metadata(w.Version, w.Readme)
	if err != nil {
		return nil, err
	}
	info := "z4j-" + w.Version + ".dist-info/"
	program := "z4j-" + w.Version + ".data/scripts/" + w.Platform.Program()
	files := map[string][]byte{
		program:                   w.Program,
		info + "METADATA":         []byte(meta),
		info + "WHEEL":            []byte(wheelFile(w.Platform)),
		info + "licenses/LICENSE": w.Licence,
	}
	module, err := fs.Glob(w.Module, "*.py")
	if err != nil {
		return nil, fmt.Errorf("list the Python package: %w", err)
	}
	for _, name := range module {
		if files["z4j/"+name], err = fs.ReadFile(w.Module, name); err != nil {
			return nil, fmt.Errorf("read the Python package: %w", err)
		}
	}
	if files["z4j/__main__.py"] == nil {
		return nil, fmt.Errorf("the Python package has no __main__.py but %v", module)
	}

	record := info + "RECORD"
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&list, "%s,%s,%d\n", name, recordHash(files[name]), len(files[name]))
	}
	fmt.Fprintf(&list, "%s,,\n", record)
	files[record] = []byte(list.String())

	// Installers read METADATA from the end of the file, so dist-info comes last; RECORD closes it, as PEP 427 recommends.
	order := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		rank := func(name string) int {
			switch {
			case name == record:
				return 2
			case strings.HasPrefix(name, info):
				return 1
			}
			return 0
		}
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range order {
		if err := addZip(z, name, files[name], name == program); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("close the wheel: %w", err)
	}
	return out.Bytes(), nil
}

// wheelFile is dist-info/WHEEL. Each tag that the file's name puts together stands there by itself.
func wheelFile(p Platform) string {
	var b strings.Builder
	b.WriteString("Wheel-Version: 1.0\nGenerator: z4jpack\nRoot-Is-Purelib: false\n")
	for _, tag := range p.Tags() {
		fmt.Fprintf(&b, "Tag: py3-none-%s\n", tag)
	}
	return b.String()
}

func recordHash(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256=" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func addZip(z *zip.Writer, name string, data []byte, executable bool) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: epoch}
	h.SetMode(mode(executable))
	f, err := z.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	return nil
}

func mode(executable bool) fs.FileMode {
	if executable {
		return 0o755
	}
	return 0o644
}
