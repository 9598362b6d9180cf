// SPDX-License-Identifier: AGPL-3.0-or-later

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each benchmark owns a section of docs/benchmarks.md and a member of docs/benchmarks.json. A run
// replaces what it has measured and keeps the rest, which says itself at which commit it was measured.

// replaceSection puts text, which starts with its heading, in the place of the section of that heading,
// or before the notes when the page has none.
func replaceSection(page, heading, text string) string {
	text = strings.TrimRight(text, "\n") + "\n\n"
	head := "\n" + heading + "\n"
	at := strings.Index("\n"+page, head)
	if at < 0 {
		if at = strings.Index("\n"+page, "\n"+notes); at < 0 {
			return strings.TrimRight(page, "\n") + "\n\n" + strings.TrimRight(text, "\n") + "\n"
		}
		return page[:at] + text + page[at:]
	}
	rest := page[at+len(heading):]
	if end := strings.Index(rest, "\n## "); end >= 0 {
		return page[:at] + text + rest[end+1:]
	}
	return page[:at] + strings.TrimRight(text, "\n") + "\n"
}

// publish writes a benchmark's section and its figures.
func publish(b *testing.B, root, name, heading, text string, figures any) {
	b.Helper()
	file := filepath.Join(root, "docs", "benchmarks.md")
	page, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(replaceSection(string(page), heading, text)), 0o644); err != nil {
		b.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	file = filepath.Join(root, "docs", "benchmarks.json")
	old, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(old, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatalf("docs/benchmarks.json: %v; delete it to start anew", err)
	}
	one, err := json.Marshal(map[string]any{
		"commit": commit(root), "date": time.Now().UTC().Format("2006-01-02"), "machine": machine(), "figures": figures,
	})
	if err != nil {
		b.Fatal(err)
	}
	all[name] = one
	out, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
		b.Fatal(err)
	}
	b.Log("\n" + text)
}

// measuredAt says where figures come from.
func measuredAt(root string) string {
	return fmt.Sprintf("Measured at commit %s (%s) on %s.", commit(root), time.Now().UTC().Format("2006-01-02"), machine())
}

func TestReplaceSection(t *testing.T) {
	t.Parallel()
	page := "# Benchmarks\n\nIntro.\n\n## Events in\n\nold\n\n## Size\n\n## Eventsx\n\n## Notes\n\nby hand\n"
	for _, c := range []struct{ heading, text, want string }{
		{"## Events in", "## Events in\n\nnew\n", "# Benchmarks\n\nIntro.\n\n## Events in\n\nnew\n\n## Size\n\n## Eventsx\n\n## Notes\n\nby hand\n"},
		{"## Size", "## Size\n\nbig\n\n", "# Benchmarks\n\nIntro.\n\n## Events in\n\nold\n\n## Size\n\nbig\n\n## Eventsx\n\n## Notes\n\nby hand\n"},
		{"## Growth", "## Growth\n\nflat", "# Benchmarks\n\nIntro.\n\n## Events in\n\nold\n\n## Size\n\n## Eventsx\n\n## Growth\n\nflat\n\n## Notes\n\nby hand\n"},
		{"## Notes", "## Notes\n\nmore\n", "# Benchmarks\n\nIntro.\n\n## Events in\n\nold\n\n## Size\n\n## Eventsx\n\n## Notes\n\nmore\n"},
	} {
		if got := replaceSection(page, c.heading, c.text); got != c.want {
			t.Errorf("%s: %q, want %q", c.heading, got, c.want)
		}
		// Written twice, it stands there once.
		if got := replaceSection(replaceSection(page, c.heading, c.text), c.heading, c.text); got != c.want {
			t.Errorf("%s again: %q", c.heading, got)
		}
	}
}
