// SPDX-License-Identifier: AGPL-3.0-or-later

// Command testsum reads the output of `go test -json` on stdin, prints one line per package and
// the full output of every failed test, and ends non-zero when anything failed or was skipped.
// With -counts it appends "passed failed skipped" to a file, so that a run of several lanes can
// print one total; with -failures the name and the words of each failed test, so that the run can
// close with them: the outputs of processes that a test shows may be longer than what a CI keeps.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type key struct{ pkg, test string }

// summary collects what a run printed until it is known whether that matters.
type summary struct {
	out                     io.Writer
	verbose                 bool
	passed, failed, skipped int
	output                  map[key]*strings.Builder
	children                map[key]bool
	ran                     map[string]int
	failedIn                map[string]int
	skips                   []string
	failures                strings.Builder
}

func newSummary(out io.Writer, verbose bool) *summary {
	return &summary{
		out: out, verbose: verbose, output: map[key]*strings.Builder{}, children: map[key]bool{},
		ran: map[string]int{}, failedIn: map[string]int{},
	}
}

func (s *summary) buffer(k key) *strings.Builder {
	b := s.output[k]
	if b == nil {
		b = &strings.Builder{}
		s.output[k] = b
	}
	return b
}

func (s *summary) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.buffer(k).WriteString(e.Output)
	case "run":
		// A parent of subtests is not counted itself: its children are.
		for t := e.Test; strings.Contains(t, "/"); {
			t = t[:strings.LastIndex(t, "/")]
			s.children[key{e.Package, t}] = true
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.pkg(e)
			return
		}
		s.test(k, e)
	}
}

func (s *summary) test(k key, e event) {
	text := s.buffer(k).String()
	delete(s.output, k)
	if e.Action == "fail" || s.verbose {
		fmt.Fprint(s.out, text)
	}
	if s.children[k] && e.Action != "fail" {
		return
	}
	switch e.Action {
	case "pass":
		s.passed++
		s.ran[k.pkg]++
	case "fail":
		s.failed++
		s.failedIn[k.pkg]++
		s.failures.WriteString("--- FAIL: " + k.pkg + " " + k.test + "\n" + words(text))
	case "skip":
		s.skipped++
		s.skips = append(s.skips, k.pkg+" "+k.test)
		if !s.verbose {
			fmt.Fprint(s.out, text)
		}
	}
}

// Of the words of a failed test so much is repeated: so many lines of each log entry, so long each, so many in all.
const (
	entryLines = 6
	lineBytes  = 300
	allLines   = 40
)

var (
	// logged begins an entry of testing.T's log.
	logged = regexp.MustCompile(`^\s+[\w.]+\.go:\d+: `)
	// marked are lines that a program under test wrote for a reader in a hurry.
	marked = regexp.MustCompile(`^\s*(FAIL |panic: |WARNING: DATA RACE)`)
	// process begins one that shows what a process printed.
	process = regexp.MustCompile(`^\s+[\w.]+\.go:\d+: output of `)
)

// words is what the test itself said: its log without the outputs of processes.
func words(text string) string {
	var b strings.Builder
	total, left := 0, 0
	for line := range strings.Lines(text) {
		switch {
		case process.MatchString(line):
			left = 0
		case logged.MatchString(line), marked.MatchString(line):
			left = entryLines
		}
		if left == 0 || total == allLines {
			continue
		}
		left--
		total++
		line = strings.TrimSuffix(line, "\n")
		if len(line) > lineBytes {
			line = line[:lineBytes] + "..."
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (s *summary) pkg(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok    %-60s %4d tests %6.1fs\n", e.Package, s.ran[e.Package], e.Elapsed)
	case "fail":
		// What no test owns: a panic, a leak, a failed TestMain or build.
		for k, b := range s.output {
			if k.pkg == e.Package {
				fmt.Fprint(s.out, b.String())
			}
		}
		if s.failedIn[e.Package] == 0 {
			s.failed++
			s.failures.WriteString("--- FAIL: " + e.Package + "\n")
		}
		fmt.Fprintf(s.out, "FAIL  %-60s %4d tests %6.1fs\n", e.Package, s.ran[e.Package], e.Elapsed)
	}
	for k := range s.output {
		if k.pkg == e.Package {
			delete(s.output, k)
		}
	}
}

// files are those that a run of several lanes adds up.
type files struct{ counts, failures string }

func run(in io.Reader, out io.Writer, to files, verbose, allowSkip bool) (bool, error) {
	s := newSummary(out, verbose)
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.add(e)
			} else {
				fmt.Fprint(out, string(line))
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, fmt.Errorf("read test output: %w", err)
		}
	}
	if s.skipped > 0 && !allowSkip {
		fmt.Fprintf(out, "skipped tests count as failures here: %s\n", strings.Join(s.skips, ", "))
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if err := appendTo(to.counts, fmt.Sprintf("%d %d %d\n", s.passed, s.failed, s.skipped)); err != nil {
		return false, fmt.Errorf("write the counts file: %w", err)
	}
	if err := appendTo(to.failures, s.failures.String()); err != nil {
		return false, fmt.Errorf("write the file of failures: %w", err)
	}
	return s.failed == 0 && (s.skipped == 0 || allowSkip), nil
}

// appendTo adds text to a file; no name means no file.
func appendTo(name, text string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func main() {
	counts := flag.String("counts", "", "append `passed failed skipped` to this `file`")
	failures := flag.String("failures", "", "append the names and words of failed tests to this `file`")
	verbose := flag.Bool("v", false, "print the output of every test")
	allowSkip := flag.Bool("allow-skip", false, "a skipped test is no failure (the short race lane)")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, files{*counts, *failures}, *verbose, *allowSkip)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}
