// SPDX-License-Identifier: AGPL-3.0-or-later

// Package pack puts the built binary into what is handed out: wheels for pip and archives. Equal input makes equal bytes:
// times, owners and order inside are fixed.
package pack

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Platform is what a binary was built for, in Go's words.
type Platform struct {
	OS, Arch string
}

// macOS is the oldest release that binaries of the Go toolchain run on. Check compares it with what the linker wrote.
const macOS = 12

// tags says which pip may install a wheel on which platform. The Linux binary is static, so one wheel serves both C libraries and
// asks for the oldest of each that pip knows by name.
var tags = map[Platform][]string{
	{"linux", "amd64"}:   {"manylinux2014_x86_64", "manylinux_2_17_x86_64", "musllinux_1_1_x86_64"},
	{"linux", "arm64"}:   {"manylinux2014_aarch64", "manylinux_2_17_aarch64", "musllinux_1_1_aarch64"},
	{"darwin", "amd64"}:  {fmt.Sprintf("macosx_%d_0_x86_64", macOS)},
	{"darwin", "arm64"}:  {fmt.Sprintf("macosx_%d_0_arm64", macOS)},
	{"windows", "amd64"}: {"win_amd64"},
}

// Platforms lists what z4j is released for, in a fixed order.
func Platforms() []Platform {
	all := make([]Platform, 0, len(tags))
	for p := range tags {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Platform) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// ParsePlatform reads "linux/amd64". The error lists what there is.
func ParsePlatform(s string) (Platform, error) {
	goos, arch, _ := strings.Cut(s, "/")
	p := Platform{goos, arch}
	if tags[p] == nil {
		return Platform{}, fmt.Errorf("z4j is not released for %q; platforms are %v", s, Platforms())
	}
	return p, nil
}

// String is the form that ParsePlatform reads.
func (p Platform) String() string { return p.OS + "/" + p.Arch }

// Tags are the platform tags of the wheel, sorted.
func (p Platform) Tags() []string { return tags[p] }

// Program is the binary's file name.
func (p Platform) Program() string {
	if p.OS == "windows" {
		return "z4j.exe"
	}
	return "z4j"
}

// epoch is the time of every file in a wheel or archive: the first that a zip can hold.
var epoch = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)
