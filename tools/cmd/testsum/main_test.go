// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name, in, want, counts string
		allowSkip, ok          bool
	}{
		{
			name: "parents are not counted",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.5}
`,
			want: "1 passed, 0 failed, 0 skipped", counts: "1 0 0\n", ok: true,
		},
		{
			name: "a failed test shows its output",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`,
			want: "want 1, got 2\n", counts: "0 1 0\n",
		},
		{
			name: "a package that does not build is a failure",
			in: `{"ImportPath":"p","Action":"build-output","Output":"syntax error\n"}
{"Action":"fail","Package":"p"}
`,
			want: "syntax error\n", counts: "0 1 0\n",
		},
		{
			name: "a skip fails",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
`,
			want: "skipped tests count as failures here: p TestA", counts: "0 0 1\n",
		},
		{
			name: "a skip may be allowed",
			in: `{"Action":"skip","Package":"p","Test":"TestA"}
`,
			want: "0 passed, 0 failed, 1 skipped", counts: "0 0 1\n", allowSkip: true, ok: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "counts")
			var out bytes.Buffer
			ok, err := run(strings.NewReader(tt.in), &out, files{counts: file}, false, tt.allowSkip)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.ok {
				t.Errorf("ok = %v, want %v", ok, tt.ok)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("output lacks %q:\n%s", tt.want, out.String())
			}
			counts, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(counts) != tt.counts {
				t.Errorf("counts = %q, want %q", counts, tt.counts)
			}
		})
	}
}

// TestFailures wants the words of a failed test repeated, and not what its processes printed.
func TestFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "failures")
	in := `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: want 1\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"        got 2\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    process.go:177: output of redis:\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"        ready\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: fine\n"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"q"}
`
	if ok, err := run(strings.NewReader(in), io.Discard, files{failures: file}, false, false); ok || err != nil {
		t.Fatal(ok, err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "--- FAIL: p TestA\n    a_test.go:7: want 1\n        got 2\n--- FAIL: q\n"; string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
