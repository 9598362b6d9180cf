// SPDX-License-Identifier: AGPL-3.0-or-later

// Command z4jpack makes what is handed out of a built binary; scripts/wheels and scripts/release call it. Run it at the root of the
// repository. The version is the program's own (pkg/domain).
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/tools/pack"
)

const usage = `usage:
  z4jpack version                                  the version of this source
  z4jpack platforms                                what z4j is released for, one a line
  z4jpack wheel   -platform P -binary B -out DIR   write the wheel that carries binary B, print its path
  z4jpack archive -platform P -binary B -out DIR   write the archive, print its path
  z4jpack inspect WHEEL...                         check finished wheels
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "z4jpack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "version":
		fmt.Println(domain.Version)
	case "platforms":
		for _, p := range pack.Platforms() {
			fmt.Println(p)
		}
	case "wheel", "archive":
		return write(command, args)
	case "inspect":
		return inspect(args)
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("there is no command %q", command)
	}
	return nil
}

func write(kind string, args []string) error {
	flags := flag.NewFlagSet(kind, flag.ContinueOnError)
	platform := flags.String("platform", "", "operating system and processor, such as linux/amd64")
	binary := flags.String("binary", "", "the program built for it")
	out := flags.String("out", "dist", "the folder to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := pack.ParsePlatform(*platform)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	var texts []pack.File
	for _, name := range []string{"README.md", "LICENSE", "CHANGELOG.md"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		texts = append(texts, pack.File{Name: name, Data: data})
	}
	var name string
	var data []byte
	if kind == "wheel" {
		w := pack.Wheel{
			Platform: p, Version: domain.Version, Program: program, Module: os.DirFS("deploy/wheel/z4j"),
			Readme: string(texts[0].Data), Licence: texts[1].Data,
		}
		name = w.Name()
		data, err = w.Bytes()
	} else {
		if p.OS == "linux" {
			unit, err := os.ReadFile("deploy/systemd/z4j.service")
			if err != nil {
				return err
			}
			texts = append(texts, pack.File{Name: "z4j.service", Data: unit})
		}
		a := pack.Archive{Platform: p, Version: domain.Version, Program: program, Extra: texts}
		name = a.Name()
		data, err = a.Bytes()
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	path := filepath.Join(*out, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}

func inspect(wheels []string) error {
	if len(wheels) == 0 {
		return errors.New("name the wheels to inspect")
	}
	index, err := os.ReadFile("services/gateway/internal/assets/dist/index.html")
	if err != nil {
		return fmt.Errorf("the dashboard is not built; run scripts/dashboard: %w", err)
	}
	for _, wheel := range wheels {
		data, err := os.ReadFile(wheel)
		if err != nil {
			return err
		}
		p, err := pack.InspectWheel(filepath.Base(wheel), data, domain.Version, index)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s, %.1f MiB, as it should be\n", filepath.Base(wheel), p, float64(len(data))/(1<<20))
	}
	return nil
}
