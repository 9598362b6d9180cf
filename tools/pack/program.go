// SPDX-License-Identifier: AGPL-3.0-or-later

package pack

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
)

// mainPackage is the only program that is handed out.
const mainPackage = "github.com/z4jdev/z4j/services/allinone/cmd/z4j"

// CheckProgram reads a binary's own headers and says why it must not be handed out for the platform: another format, another
// processor, libraries or an operating system that the target may not have, another program, or a build that leaks paths.
func CheckProgram(program []byte, p Platform) error {
	var err error
	switch p.OS {
	case "linux":
		err = checkELF(program, p.Arch)
	case "darwin":
		err = checkMachO(program, p.Arch)
	case "windows":
		err = checkPE(program, p.Arch)
	default:
		err = errors.New("there is no such platform")
	}
	if err != nil {
		return fmt.Errorf("binary for %s: %w", p, err)
	}
	if err := checkBuild(program, p); err != nil {
		return fmt.Errorf("binary for %s: %w", p, err)
	}
	return nil
}

func checkELF(program []byte, arch string) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("no ELF file: %w", err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if f.Machine != want || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("built for %v, want %v", f.Machine, want)
	}
	// A loader or library would tie the wheel to one C library.
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP || prog.Type == elf.PT_DYNAMIC {
			return errors.New("not static; build with CGO_ENABLED=0")
		}
	}
	return nil
}

func checkMachO(program []byte, arch string) error {
	f, err := macho.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("no Mach-O file: %w", err)
	}
	want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[arch]
	if f.Cpu != want || f.Type != macho.TypeExec {
		return fmt.Errorf("%v for %v, want a program for %v", f.Type, f.Cpu, want)
	}
	const codeSignature, buildVersion = 0x1d, 0x32 // LC_CODE_SIGNATURE, LC_BUILD_VERSION
	var signed bool
	oldest := -1
	for _, load := range f.Loads {
		raw := load.Raw()
		switch binary.LittleEndian.Uint32(raw) {
		case codeSignature:
			signed = true
		case buildVersion:
			if len(raw) >= 16 {
				oldest = int(binary.LittleEndian.Uint32(raw[12:]) >> 16)
			}
		}
	}
	if oldest != macOS {
		return fmt.Errorf("the linker wrote macOS %d as the oldest that runs it, the wheel's tag says %d; change macOS in tools/pack/platform.go", oldest, macOS)
	}
	// Apple's processors start nothing that is unsigned; the linker's own signature is enough.
	if arch == "arm64" && !signed {
		return errors.New("carries no code signature")
	}
	return nil
}

func checkPE(program []byte, arch string) error {
	f, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("no PE file: %w", err)
	}
	if arch != "amd64" || f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
		return fmt.Errorf("built for machine %#x, want amd64", f.Machine)
	}
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || header.Subsystem != pe.IMAGE_SUBSYSTEM_WINDOWS_CUI {
		return errors.New("not a console program")
	}
	return nil
}

// checkBuild compares what the toolchain wrote into the binary about its making.
func checkBuild(program []byte, p Platform) error {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("carries no build information: %w", err)
	}
	if info.Path != mainPackage {
		return fmt.Errorf("is %s, want %s", info.Path, mainPackage)
	}
	got := map[string]string{}
	for _, s := range info.Settings {
		got[s.Key] = s.Value
	}
	want := map[string]string{"GOOS": p.OS, "GOARCH": p.Arch, "CGO_ENABLED": "0", "-trimpath": "true"}
	for _, key := range []string{"GOOS", "GOARCH", "CGO_ENABLED", "-trimpath"} {
		if got[key] != want[key] {
			return fmt.Errorf("built with %s=%q, want %q; build it with scripts/binary", key, got[key], want[key])
		}
	}
	return nil
}
