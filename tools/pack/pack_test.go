// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/z4jdev/z4j/pkg/domain"
)

const root = "../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// program builds the real one for this machine; only what is shipped passes the checks.
func program(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "z4j")
	command := exec.CommandContext(t.Context(), filepath.Join(root, "scripts/binary"), out)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("scripts/binary: %v\n%s", err, output)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func hostWheel(t *testing.T) Wheel {
	t.Helper()
	p, err := ParsePlatform(runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return Wheel{
		Platform: p, Version: domain.Version, Program: program(t), Module: os.DirFS(filepath.Join(root, "deploy/wheel/z4j")),
		Readme: string(read(t, "README.md")), Licence: read(t, "LICENSE"),
	}
}

// rewrite copies a wheel and lets edit change each file; a file that becomes nil is left out.
func rewrite(t *testing.T, wheel []byte, edit func(h *zip.FileHeader, data []byte) []byte) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h := &zip.FileHeader{Name: f.Name, Method: zip.Store, Modified: f.Modified}
		h.SetMode(f.Mode())
		if data = edit(h, data); data == nil {
			continue
		}
		dst, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dst.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWheel(t *testing.T) {
	w := hostWheel(t)
	data, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// The program holds the name of its own main package, so that stands for the dashboard's page here.
	index := []byte(mainPackage)

	t.Run("is equal when made again", func(t *testing.T) {
		again, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, again) {
			t.Error("two wheels of the same input differ")
		}
	})
	t.Run("passes inspection", func(t *testing.T) {
		p, err := InspectWheel(w.Name(), data, w.Version, index)
		if err != nil || p != w.Platform {
			t.Errorf("InspectWheel = %v, %v", p, err)
		}
	})

	same := func(_ *zip.FileHeader, data []byte) []byte { return data }
	faults := []struct {
		name, file, want string
		index            []byte
		edit             func(h *zip.FileHeader, data []byte) []byte
	}{
		{"other name", "z4j-0.0.1-py3-none-any.whl", "no platform's wheel", index, same},
		{"no dashboard", w.Name(), "run scripts/dashboard", []byte("not in there, not in there"), same},
		{"changed file", w.Name(), "__main__.py is not what RECORD says", index, func(h *zip.FileHeader, data []byte) []byte {
			if h.Name == "z4j/__main__.py" {
				return append(data, '\n')
			}
			return data
		}},
		{"file left out", w.Name(), "want [", index, func(h *zip.FileHeader, data []byte) []byte {
			if strings.HasSuffix(h.Name, "LICENSE") {
				return nil
			}
			return data
		}},
		{"not executable", w.Name(), "has mode", index, func(h *zip.FileHeader, data []byte) []byte {
			h.SetMode(0o644)
			return data
		}},
		{"path outside", w.Name(), "points outside", index, func(h *zip.FileHeader, data []byte) []byte {
			h.Name = strings.Replace(h.Name, "z4j/", "../", 1)
			return data
		}},
		{"time inside", w.Name(), "time of its making", index, func(h *zip.FileHeader, data []byte) []byte {
			h.Modified = epoch.AddDate(40, 0, 0)
			return data
		}},
		{"not listed", w.Name(), "RECORD does not list", index, func(h *zip.FileHeader, data []byte) []byte {
			if strings.HasSuffix(h.Name, "/RECORD") {
				_, rest, _ := bytes.Cut(data, []byte("\n"))
				return rest
			}
			return data
		}},
	}
	for _, fault := range faults {
		t.Run("refuses "+fault.name, func(t *testing.T) {
			_, err := InspectWheel(fault.file, rewrite(t, data, fault.edit), w.Version, fault.index)
			if err == nil || !strings.Contains(err.Error(), fault.want) {
				t.Errorf("InspectWheel = %v, want %q", err, fault.want)
			}
		})
	}

	t.Run("refuses another platform's program", func(t *testing.T) {
		for _, p := range Platforms() {
			err := CheckProgram(w.Program, p)
			if p == w.Platform && err != nil || p != w.Platform && err == nil {
				t.Errorf("CheckProgram for %s = %v", p, err)
			}
		}
	})
	t.Run("refuses another program", func(t *testing.T) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckProgram(other, w.Platform); err == nil {
			t.Error("the test's own program passes for z4j")
		}
	})
	t.Run("goes into an archive", func(t *testing.T) { testArchive(t, w) })
}

func testArchive(t *testing.T, w Wheel) {
	a := Archive{Platform: w.Platform, Version: w.Version, Program: w.Program, Extra: []File{{"LICENSE", w.Licence}}}
	if a.Platform.OS == "windows" {
		t.Skip("reads tar.gz")
	}
	data, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Bytes()
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("two archives of the same input differ (%v)", err)
	}
	g, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(g); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+strings.TrimPrefix(h.Name, a.folder()+"/"))
		if content, err := io.ReadAll(r); err != nil || len(got) == 1 && !bytes.Equal(content, w.Program) {
			t.Errorf("%s: %v, or not the program", h.Name, err)
		}
	}
	if want := []string{"-rwxr-xr-x z4j", "-rw-r--r-- LICENSE"}; !slices.Equal(got, want) {
		t.Errorf("archive holds %v, want %v", got, want)
	}
}

func TestMetadata(t *testing.T) {
	got, err := metadata("1.14.0rc1", "see [a](docs/a.md), [b](docs/b.md#part), [c](#here), [d](https://example.com/x)\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Metadata-Version: 2.4\nName: z4j\nVersion: 1.14.0rc1\n",
		"\nLicense-Expression: AGPL-3.0-or-later\nLicense-File: LICENSE\n",
		"\nProvides-Extra: celery\nRequires-Dist: z4j-celery>=1.13,<2; extra == \"celery\"\nRequires-Dist: z4j-celerybeat>=1.13,<2; extra == \"celery\"\n",
		"\n\nsee [a](" + repository + "/blob/v1.14.0rc1/docs/a.md), [b](" + repository + "/blob/v1.14.0rc1/docs/b.md#part), [c](#here), [d](https://example.com/x)\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("METADATA lacks %q:\n%s", want, got)
		}
	}
	for _, bad := range []string{"", "1.14", "v1.14.0", "1.14.0-rc.1", "1.14.0\nName: evil"} {
		if _, err := metadata(bad, ""); err == nil {
			t.Errorf("version %q is taken", bad)
		}
	}
}

func TestExtras(t *testing.T) {
	extras := Extras()
	if n := len(extras["all"]); n != 16 {
		t.Errorf("all holds %d packages, want each of the 16 agents", n)
	}
	for name, packages := range extras {
		for _, p := range packages {
			if !slices.Contains(extras["all"], p) {
				t.Errorf("%s of extra %s is not in all", p, name)
			}
		}
	}
	// The agents that this brain was tested with are in the range that the extras ask for.
	if !strings.HasPrefix(domain.NewestAgent, "1.") || agentRange != ">=1.13,<2" {
		t.Errorf("agents %s, range %s: another line of agents needs another range", domain.NewestAgent, agentRange)
	}
}

func TestVersionIsOneEverywhere(t *testing.T) {
	if want := `"version": "` + domain.Version + `"`; !strings.Contains(string(read(t, "services/gateway/dashboard/package.json")), want) {
		t.Errorf("the dashboard's package.json lacks %s", want)
	}
	for _, guide := range []string{"README.md", "docs/operations.md"} {
		if want := "==" + domain.Version + "'"; !strings.Contains(string(read(t, guide)), want) {
			t.Errorf("%s does not install z4j%s", guide, want)
		}
	}
	if !strings.Contains(string(read(t, "CHANGELOG.md")), domain.Version) {
		t.Errorf("CHANGELOG.md does not speak of %s", domain.Version)
	}
}
