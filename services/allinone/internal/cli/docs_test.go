// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// update rewrites the golden files and docs/cli.md.
var update = flag.Bool("update", false, "rewrite golden files and docs/cli.md")

// golden compares text with a file.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text {
		t.Errorf("%s is out of date (%v): look at the change, then run go test ./services/allinone/internal/cli -update\ngot:\n%s", path, err, text)
	}
}

// commands walks the commands that users see, parents first.
func commands(root *cobra.Command, fn func(*cobra.Command)) {
	fn(root)
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			commands(c, fn)
		}
	}
}

func tree() *cobra.Command { return (&app{}).root() }

func TestHelp(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	commands(tree(), func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		var out, errs bytes.Buffer
		if code := Run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 0 || errs.Len() > 0 {
			t.Errorf("%v: exit code %d, stderr %q", args, code, errs.String())
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".txt"
		seen[name] = true
		golden(t, filepath.Join("testdata", "help", name), out.String())
	})
	files, err := os.ReadDir(filepath.Join("testdata", "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[f.Name()] {
			t.Errorf("testdata/help/%s belongs to no command", f.Name())
		}
	}
}

// TestHelpTeaches checks what every command's help must have.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	commands(tree(), func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short description is empty or ends with a full stop", c.CommandPath())
		}
		if c.Long == "" {
			t.Errorf("%s: no long description", c.CommandPath())
		}
		if !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s: no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len(line) > 121 {
				t.Errorf("%s: a line of %d characters: %s", c.CommandPath(), len(line), line)
			}
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no description", c.CommandPath(), f.Name)
			}
		})
	})
}

func TestReference(t *testing.T) {
	t.Parallel()
	golden(t, filepath.Join("..", "..", "..", "..", "docs", "cli.md"), reference(tree()))
}

// reference writes the page of all commands, in Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from services/allinone by `go test ./services/allinone/internal/cli -update`. Do not edit. -->\n\n# Commands\n\n" +
		markdown(root.Long) + "\n\nResults go to stdout, everything else (log, progress, remarks, errors) to stderr. `--json` is there where a script would want it.\n\n" +
		"| Exit code | Meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n| 2 | wrong usage, unusable settings, or refused |\n" +
		"| 3 | the installation is in the wrong state for this, or the database does not answer |\n| 4 | no such account |\n\n| Command | Does |\n|---|---|\n")
	var leaves []*cobra.Command
	commands(root, func(c *cobra.Command) {
		if c == root {
			return
		}
		leaves = append(leaves, c)
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	})
	for _, c := range leaves {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), markdown(c.Long), c.UseLine())
		if len(c.Aliases) > 0 {
			fmt.Fprintf(&b, "\nAlso called `%s`.\n", strings.Join(c.Aliases, "`, `"))
		}
		head := "\n| Flag | Default | Meaning |\n|---|---|---|\n"
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			name := "--" + f.Name
			if f.Value.Type() != "bool" {
				kind, _ := pflag.UnquoteUsage(f)
				name += " " + kind
			}
			def := f.DefValue
			if def == "false" || def == "0" || def == "[]" {
				def = ""
			}
			fmt.Fprintf(&b, "%s| `%s` | %s | %s |\n", head, name, def, strings.ReplaceAll(f.Usage, "|", "\\|"))
			head = ""
		})
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", unindent(c.Example))
		}
	}
	return b.String()
}

// markdown keeps the indented lists of a description as code.
func markdown(text string) string {
	var b strings.Builder
	inCode := false
	for line := range strings.Lines(text + "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented != inCode {
			b.WriteString("```\n")
			inCode = indented
		}
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	if inCode {
		b.WriteString("```\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
