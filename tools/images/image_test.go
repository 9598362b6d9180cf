// SPDX-License-Identifier: AGPL-3.0-or-later

package images

import (
	"archive/tar"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/z4jdev/z4j/tools/e2e/harness"
)

const image = "docker.io/z4jdev/z4j:latest"

// TestImagePlatforms reads the manifest list and what lies in the image of each platform.
func TestImagePlatforms(t *testing.T) {
	out, err := try(t, "buildah", "manifest", "inspect", "z4j-platforms")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Manifests []struct {
			Platform struct{ OS, Architecture string }
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range list.Manifests {
		platforms = append(platforms, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	slices.Sort(platforms)
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Fatalf("the manifest lists %v, want %v", platforms, want)
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) { checkPlatform(t, arch, machine) })
	}
}

func checkPlatform(t *testing.T, arch string, machine elf.Machine) {
	t.Helper()
	ref := "localhost/z4j:" + arch
	if got := podman(t, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}} {{.User}}", ref); got != "linux/"+arch+" 10001:10001" {
		t.Errorf("the image says of itself %q", got)
	}
	name := "files-" + arch
	podman(t, "create", "--name", name, ref)
	t.Cleanup(func() { podman(t, "rm", name) })
	dir := t.TempDir()
	archive := filepath.Join(dir, "files.tar")
	podman(t, "export", "-o", archive, name)
	files, size := unpackBinary(t, archive, filepath.Join(dir, "z4j"))
	t.Logf("linux/%s: %.1f MB on disk", arch, float64(size)/1e6)
	// The runtime adds mount points; beyond those nothing but the program, its user and the certificates.
	for path := range files {
		switch {
		case strings.HasPrefix(path, "dev"), strings.HasPrefix(path, "proc"), strings.HasPrefix(path, "sys"), strings.HasPrefix(path, "run"):
		case slices.Contains([]string{
			"", "usr", "usr/bin", "usr/bin/z4j", "data", "tmp", "etc", "etc/passwd", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt",
			"etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab",
		}, path):
		default:
			t.Errorf("the image holds /%s", path)
		}
	}
	if h := files["data"]; h.Uid != 10001 || h.Gid != 10001 || h.Mode&0o777 != 0o700 {
		t.Errorf("/data belongs to %d:%d with mode %o", h.Uid, h.Gid, h.Mode)
	}
	if h := files["usr/bin/z4j"]; h.Mode&0o022 != 0 || h.Uid != 0 {
		t.Errorf("others may write the program: %d, mode %o", h.Uid, h.Mode)
	}
	program, err := elf.Open(filepath.Join(dir, "z4j"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if program.Machine != machine {
		t.Errorf("the program is for %s, want %s", program.Machine, machine)
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
	// A guard, not a figure: docs/operations.md states that.
	if limit := int64(60e6); size > limit {
		t.Errorf("the image has %d bytes, more than %d", size, limit)
	}
}

// unpackBinary lists an exported file system, sums up its files, and keeps the program.
func unpackBinary(t *testing.T, archive, to string) (map[string]*tar.Header, int64) {
	t.Helper()
	in, err := os.Open(archive) //nolint:gosec // a path of ours
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	files, size := map[string]*tar.Header{}, int64(0)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, size
		}
		if err != nil {
			t.Fatal(err)
		}
		path := strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		files[path] = h
		size += h.Size
		if path == "usr/bin/z4j" {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestImageRuns starts the image as docs/operations.md says, with nothing it does not need.
func TestImageRuns(t *testing.T) {
	const name, url = "solo", "http://127.0.0.1:7801"
	podman(t, "run", "-d", "--name", name, "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
		"-v", "solo_data:/data", "-p", "127.0.0.1:7801:7700", image)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logs(t, name))
		}
		_, _ = try(t, "podman", "rm", "-f", name)
	})
	ready := func() error { return healthy(t, name) }
	harness.Eventually(t, 30*time.Second, "the health check of the image answers 0", ready)

	c, err := inspect(t, name)
	if err != nil {
		t.Fatal(err)
	}
	if c.Config.Healthcheck == nil || !slices.Contains(c.Config.Healthcheck.Test, "/usr/bin/z4j") {
		t.Errorf("the image's health check is %+v", c.Config.Healthcheck)
	}
	restricted(t, c.State.Pid)
	if _, err := try(t, "podman", "exec", name, "/usr/bin/z4j", "healthcheck", "--url", "http://127.0.0.1:9/"); err == nil {
		t.Error("the health check answers 0 where nobody listens")
	}

	dashboard(t, url)

	client := harness.NewClient(url)
	setUp(t, url, client, name)
	report(t, url, client, "solo")

	podman(t, "stop", "-t", "30", name)
	if c, err = inspect(t, name); err != nil || c.State.ExitCode != 0 {
		t.Fatalf("after SIGTERM the exit code is %d: %v", c.State.ExitCode, err)
	}
	// The container goes, its volume stays.
	podman(t, "rm", name)
	podman(t, "run", "-d", "--name", name, "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
		"-v", "solo_data:/data", "-p", "127.0.0.1:7801:7700", image)
	harness.Eventually(t, 30*time.Second, "the new container is healthy", ready)
	client = harness.NewClient(url)
	client.Login(t, harness.AdminEmail, harness.AdminPassword)
	seen(t, client, "solo")
	podman(t, "stop", "-t", "30", name)
	podman(t, "rm", name)
	podman(t, "volume", "rm", "solo_data")
}

var script = regexp.MustCompile(`src="(/[^"]+\.js)"`)

// dashboard wants the page and the script it names: the image has what its first stage has built.
func dashboard(t *testing.T, url string) {
	t.Helper()
	path := "/"
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
			t.Fatalf("GET %s answered %d with %d bytes: %v", path, resp.StatusCode, len(text), err)
		}
		if path != "/" {
			return
		}
		found := script.FindSubmatch(text)
		if found == nil {
			t.Fatalf("the page of the dashboard names no script: %s", text)
		}
		path = string(found[1])
	}
}

// restricted wants what the kernel says of the process: who it is, what it may do, and that its root cannot be written.
func restricted(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t10001\t10001\t10001\t10001", "Gid:\t10001\t10001\t10001\t10001",
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1",
	} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("process %d is not %q:\n%s", pid, want, status)
		}
	}
	path := fmt.Sprintf("/proc/%d/root/written", pid)
	if err := os.WriteFile(path, nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing to the root file system answered %v, want that it is read-only", err)
	}
}
