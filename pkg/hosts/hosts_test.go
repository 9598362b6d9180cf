// SPDX-License-Identifier: AGPL-3.0-or-later

package hosts

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":             "example.com",
		"EXAMPLE.com":             "example.com",
		"example.com.":            "example.com",
		"example.com.:80":         "example.com",
		"example.com:7700":        "example.com",
		"example.com:0":           "example.com",
		"example.com:007700":      "example.com",
		"my_service":              "my_service",
		"127.0.0.1:80":            "127.0.0.1",
		"[::1]":                   "[::1]",
		"[::1]:7700":              "[::1]",
		"[0:0:0:0:0:0:0:1]:7700":  "[::1]",
		"[FD00::A]":               "[fd00::a]",
		"":                        "",
		".":                       "",
		":80":                     "",
		"example.com:":            "",
		"example.com:http":        "",
		"example.com:-1":          "",
		"example.com:+80":         "",
		"example.com:65536":       "",
		"example.com:80:80":       "",
		"exa mple.com":            "",
		"example.com/x":           "",
		"example.com\\x":          "",
		"example.com\r\nX: y":     "",
		"example.com\x00":         "",
		"user@example.com":        "",
		"a..b":                    "",
		"example.com..":           "",
		"[::1":                    "",
		"::1":                     "",
		"[::1]x":                  "",
		"[::1]:x":                 "",
		"[fe80::1%eth0]":          "",
		"[127.0.0.1]":             "",
		"*.example.com":           "",
		"caf\u00e9.example":       "",
		strings.Repeat("a", 64):   "",
		strings.Repeat("a.", 200): "",
	} {
		got, err := Parse(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://z4j.example.com": "z4j.example.com", "http://[::1]:7700": "[::1]", "http://LOCALHOST:7700": "localhost",
		"null": "", "https://a/b": "", "file://": "", "ftp://a": "", "https://u@a": "", "": "",
	} {
		if got, err := ParseOrigin(in); got != want || (err != nil) != (want == "") {
			t.Errorf("ParseOrigin(%q) = %q, %v", in, got, err)
		}
	}
}

func TestParseEntry(t *testing.T) {
	for in, want := range map[string]string{
		" Example.COM ": "example.com", "::1": "[::1]", "[::1]": "[::1]", "10.0.0.5": "10.0.0.5", "*.Example.com": "*.example.com",
		"b\u00fccher.example": "xn--bcher-kva.example", "brain.": "brain",
	} {
		if got, err := ParseEntry(in); got != want || err != nil {
			t.Errorf("ParseEntry(%q) = %q, %v", in, got, err)
		}
	}
	for in, hint := range map[string]string{
		"https://z4j.example.com:8443/x": "write z4j.example.com",
		"z4j.example.com/path":           "write z4j.example.com",
		"a b":                            "contains a space",
		"":                               "is empty",
		"*":                              "every name",
		"*example.com":                   "*.example.com: one star",
		"a.*.com":                        "*.example.com: one star",
		"*.com":                          "*.example.com: one star",
		"example.com:7700":               "write example.com",
		"a..b":                           "not a host name",
		"[::1]:80":                       "write [::1]",
	} {
		_, err := ParseEntry(in)
		var entry *EntryError
		if !errors.As(err, &entry) || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseEntry(%q): %v, want %q", in, err, hint)
		}
	}
}

func TestPrecedence(t *testing.T) {
	env, flags := []string{"env.example.com"}, []string{"flag.example.com"}
	file, auto := []string{"file.example.com", "LOCALHOST"}, []string{"localhost", "127.0.0.1"}
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"auto alone":            {Input{Auto: auto}, "['localhost', '127.0.0.1']"},
		"auto and file":         {Input{Auto: auto, File: file}, "['localhost', '127.0.0.1', 'file.example.com']"},
		"auto, file and flag":   {Input{Auto: auto, File: file, Flags: flags}, "['localhost', '127.0.0.1', 'file.example.com', 'flag.example.com']"},
		"env replaces 3 and 4":  {Input{Env: env, Auto: auto, File: file}, "['env.example.com']"},
		"flag on top of env":    {Input{Env: env, Auto: auto, File: file, Flags: flags}, "['env.example.com', 'flag.example.com']"},
		"wrong file entries":    {Input{Auto: auto, File: []string{"http://x", "ok.example.com"}}, "['localhost', '127.0.0.1', 'ok.example.com']"},
		"nothing":               {Input{}, "[]"},
		"repeats are one entry": {Input{Env: []string{"a.example.com", "A.example.com."}}, "['a.example.com']"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Build(tt.in)
			if err != nil || l.String() != tt.want {
				t.Errorf("got %s %v, want %s", l, err, tt.want)
			}
		})
	}
	if _, err := Build(Input{Env: []string{"https://x.example.com", "a b"}, Flags: []string{"*"}}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("wrong entries that were typed must all be named: %v", err)
	}
}

func TestAllows(t *testing.T) {
	l, err := Build(Input{Env: []string{"z4j.example.com", "*.apps.example.com", "::1"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"z4j.example.com": true, "Z4J.EXAMPLE.COM.:443": true, "[::1]:7700": true, "a.apps.example.com": true, "a.b.apps.example.com": true,
		"apps.example.com": false, "evilapps.example.com": false, "example.com": false, "xz4j.example.com": false, "127.0.0.1": false,
	} {
		if got := l.AllowsHost(host); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	if !l.AllowsOrigin("https://z4j.example.com") || l.AllowsOrigin("https://evil.example.com") || l.AllowsOrigin("null") || l.AllowsHost("z4j.example.com:x") {
		t.Error("origins are wrong")
	}
}

func TestBanner(t *testing.T) {
	l, _ := Build(Input{Auto: []string{"localhost"}, File: []string{"a.example.com"}})
	got := strings.Join(l.Banner("0.0.0.0:7700", "/h/allowed-hosts"), "\n")
	for _, want := range []string{"serving on 0.0.0.0:7700, accepting Host headers: localhost, a.example.com", "persisted from /h/allowed-hosts: a.example.com", "allowed-hosts add"} {
		if !strings.Contains(got, want) {
			t.Errorf("banner lacks %q:\n%s", want, got)
		}
	}
	l, _ = Build(Input{Env: []string{"b.example.com"}, File: []string{"a.example.com"}})
	if strings.Contains(strings.Join(l.Banner("x", "y"), ""), "persisted") {
		t.Error("the file is named although it does not count")
	}
}

func TestDetect(t *testing.T) {
	got := Detect(t.Context())
	if len(got) < 3 || !slices.Equal(got[:3], []string{"localhost", "127.0.0.1", "[::1]"}) {
		t.Errorf("detected %v", got)
	}
	if host, err := os.Hostname(); err == nil {
		if name, err := ParseEntry(host); err == nil && !slices.Contains(got, name) {
			t.Errorf("the host name %s is missing in %v", name, got)
		}
	}
}

func TestFileKeepsComments(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "home", "allowed-hosts")}
	if entries, _, err := f.Read(); err != nil || entries != nil {
		t.Fatalf("missing file: %v %v", entries, err)
	}
	added, present, err := f.Add([]string{"A.example.com", "a.example.com", "10.0.0.5"})
	if err != nil || !slices.Equal(added, []string{"a.example.com", "10.0.0.5"}) || !slices.Equal(present, []string{"a.example.com"}) {
		t.Fatalf("added %v, present %v, %v", added, present, err)
	}
	text := "# by hand\nOld.example.com  # the old name\n\nhttp://wrong\nb.example.com"
	if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Add([]string{"c.example.com"}); err != nil {
		t.Fatal(err)
	}
	entries, wrong, err := f.Read()
	if err != nil || !slices.Equal(entries, []string{"old.example.com", "b.example.com", "c.example.com"}) || len(wrong) != 1 {
		t.Errorf("entries %v, wrong %v, %v", entries, wrong, err)
	}
	removed, missing, err := f.Remove([]string{"B.EXAMPLE.COM", "http://wrong", "none.example.com"})
	if err != nil || len(removed) != 2 || !slices.Equal(missing, []string{"none.example.com"}) {
		t.Errorf("removed %v, missing %v, %v", removed, missing, err)
	}
	data, _ := os.ReadFile(f.Path)
	if string(data) != "# by hand\nOld.example.com  # the old name\n\nc.example.com\n" {
		t.Errorf("file:\n%s", data)
	}
	if info, _ := os.Stat(f.Path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v was not kept", info.Mode())
	}
	if _, _, err := f.Add([]string{"good.example.com", "https://bad.example.com"}); err == nil {
		t.Error("a URL was added")
	}
	if after, _ := os.ReadFile(f.Path); string(after) != string(data) {
		t.Error("a refused call changed the file")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"example.com:80", "[::1]:7700", "[", "a..b", "*.x", ":", "[::1]]", "a:b:c", "EXAMPLE.com."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, err := Parse(host)
		if err != nil {
			return
		}
		again, err := Parse(name)
		if err != nil || again != name {
			t.Errorf("Parse(%q) = %q, which parses to %q, %v", host, name, again, err)
		}
		if strings.ContainsAny(name, " /\\@\r\n\t\x00'\"`") {
			t.Errorf("Parse(%q) = %q lets a dangerous byte through", host, name)
		}
		if entry, err := ParseEntry(name); err != nil || entry != name {
			t.Errorf("the accepted name %q is no entry: %q %v", name, entry, err)
		}
	})
}
