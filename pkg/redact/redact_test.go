// SPDX-License-Identifier: AGPL-3.0-or-later

package redact_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/redact"
)

func engine(tb testing.TB, c redact.Config) *redact.Engine {
	tb.Helper()
	e, err := redact.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// recorded is what the published agent's redaction answered.
type recorded struct {
	Values []struct {
		Text   []string
		Hidden bool
	}
	Keys []struct {
		Key    []string
		Hidden bool
	}
	Documents []struct{ In, Out json.RawMessage }
}

func load(tb testing.TB) (r recorded) {
	tb.Helper()
	raw, err := os.ReadFile("testdata/agent-1.13.0.json")
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		tb.Fatal(err)
	}
	return r
}

// stricter reports whether we hide a text on purpose that the agent lets through: a password in a URL of any scheme,
// with or without a user name; a Slack hook without https; every character RFC 6750 allows in a bearer token; any kind of
// PEM private key; a number next to a letter beyond ASCII.
func stricter(text string) bool {
	return strings.Contains(text, "://") && strings.Contains(text, "@") || strings.Contains(text, "hooks.slack.com/services/T00") ||
		strings.HasPrefix(text, "Bearer a-b_c~d+") || strings.Contains(text, "PRIVATE KEY-----") ||
		strings.Contains(text, "123-45-6789") && strings.Contains(text, "é")
}

func TestLikeAgent(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	r := load(t)
	for _, v := range r.Values {
		text := strings.Join(v.Text, "")
		got, changed := e.String(text)
		if !v.Hidden && changed && stricter(text) {
			continue
		}
		if changed != v.Hidden || (got == redact.Marker) != v.Hidden {
			t.Errorf("value %q: hidden %t, the agent %t", text, changed, v.Hidden)
		}
		raw, err := json.Marshal([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		if _, changed := e.JSON(nil, raw); changed != v.Hidden {
			t.Errorf("json %s: hidden %t, the agent %t", raw, changed, v.Hidden)
		}
	}
	for _, k := range r.Keys {
		key := strings.Join(k.Key, "")
		if got := e.Key(key); got != k.Hidden {
			t.Errorf("key %q: hidden %t, the agent %t", key, got, k.Hidden)
		}
	}
	for _, d := range r.Documents {
		if strings.Contains(string(d.In), `\u0000`) {
			continue // the agent lets NUL pass; the brain may not: see TestNUL
		}
		out, _ := e.JSON(nil, d.In)
		var got, want any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if err := json.Unmarshal(d.Out, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("document %s\n got %s\nwant %s", d.In, out, d.Out)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	long, wide := strings.Repeat("a", 8192), strings.Repeat("é", 4096)
	for _, c := range []struct{ name, in, want string }{
		{"fits", long, long},
		{"one_over", long + "a", long + "[...1 more bytes truncated]"},
		{"wide_fits", wide, wide},
		{"cut_at_a_rune", "a" + wide, "a" + wide[:8190] + "[...2 more bytes truncated]"},
		{"cut_by_the_agent", long + "[...12345 more bytes truncated]", long + "[...12345 more bytes truncated]"},
		{"far_over", long + long + "[...1 more bytes truncated]", long + "[...8219 more bytes truncated]"},
		{"secret_behind_the_cut", long + "a@b.cd", redact.Marker},
		{"nul", "a\x00b", "a\uFFFDb"},
		{"redis_password_only", "redis" + "://:pw@host/0", redact.Marker},
		{"plain_url", "https://example.com:8080/@scope/pkg?x=a:b", "https://example.com:8080/@scope/pkg?x=a:b"},
		{"worker", "w1@host", "w1@host"},
		{"uuid", "a6d04ff0-00c2-4dbd-afa5-bf539472f0e8", "a6d04ff0-00c2-4dbd-afa5-bf539472f0e8"},
		{"time", "2026-11-23T21:52:22.863004+00:00", "2026-11-23T21:52:22.863004+00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, changed := e.String(c.in)
			if got != c.want || changed != (c.in != c.want) {
				t.Errorf("got %.60q (changed %t), want %.60q", got, changed, c.want)
			}
			raw, err := json.Marshal(map[string]string{"k": c.in})
			if err != nil {
				t.Fatal(err)
			}
			out, jsonChanged := e.JSON([]byte("kept"), raw)
			if jsonChanged {
				out = out[len("kept"):]
			}
			var back map[string]string
			if err := json.Unmarshal(out, &back); err != nil || back["k"] != c.want || jsonChanged != changed {
				t.Errorf("json %.80s: %v (changed %t)", out, err, jsonChanged)
			}
		})
	}
}

func TestEscapesDoNotHide(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	for in, want := range map[string]string{
		`{"p\u0061ssword":1}`:                  `{"p\u0061ssword":"[REDACTED]"}`,
		`{"x":"a\u0040b.cd"}`:                  `{"x":"[REDACTED]"}`,
		`{"x":"redis:\/\/u:p@h"}`:              `{"x":"[REDACTED]"}`,
		`{"x":"a\u0000b","y":[1, 2]}`:          `{"x":"a` + "\uFFFD" + `b","y":[1, 2]}`,
		` {"a\u0000" : {"token":{"x":null}}} `: ` {"a` + "\uFFFD" + `" : {"token":{"x":"[REDACTED]"}}} `,
		`{"x":"line\nbreak \"quoted\" \\"}`:    `{"x":"line\nbreak \"quoted\" \\"}`,
	} {
		if out, _ := e.JSON(nil, []byte(in)); string(out) != want {
			t.Errorf("%s\n got %s\nwant %s", in, out, want)
		}
	}
}

// TestWorkerNames: an event's worker may be named like an e-mail address; nothing else may, and other secrets in
// that place are still found.
func TestWorkerNames(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	const hidden = `"[REDACTED]"`
	for in, want := range map[string]string{
		`{"worker":"celery@a.example.com"}`:                                  `{"worker":"celery@a.example.com"}`,
		`{"data":{"worker":"celery@a.example.com"}}`:                         `{"data":{"worker":"celery@a.example.com"}}`,
		`{"events":[{"data":{"worker":"celery@a.example.com"}}]}`:            `{"events":[{"data":{"worker":"celery@a.example.com"}}]}`,
		`{"worker":"redis` + `://u:p@h"}`:                                    `{"worker":` + hidden + `}`,
		`{"worker":["a@b.cd"]}`:                                              `{"worker":[` + hidden + `]}`,
		`{"kwargs":{"worker":"a@b.cd"}}`:                                     `{"kwargs":{"worker":` + hidden + `}}`,
		`{"data":{"kwargs":{"worker":"a@b.cd","data":{"worker":"a@b.cd"}}}}`: `{"data":{"kwargs":{"worker":` + hidden + `,"data":{"worker":` + hidden + `}}}}`,
		`{"token":{"worker":"w"}}`:                                           `{"token":{"worker":` + hidden + `}}`,
	} {
		if out, _ := e.JSON(nil, []byte(in)); string(out) != want {
			t.Errorf("%s\n got %s\nwant %s", in, out, want)
		}
	}
}

func TestMalformedIsHidden(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	for _, in := range []string{"", "{", `{"a"}`, `{"a":1`, `[1,`, `{"a":1} x`, `"abc`, `{1:2}`, "]"} {
		if out, changed := e.JSON(nil, []byte(in)); string(out) != `"[REDACTED]"` || !changed {
			t.Errorf("%q became %s", in, out)
		}
	}
}

func TestExtraPatterns(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{ExtraKeys: []string{"iban", ".*_pin"}, ExtraValues: []string{`DE\d{20}`, `^top`}})
	in := `{"IBAN":1,"user_pin":[2],"pinned":3,"x":"my de` + strings.Repeat("1", 20) + `","y":"TOP","z":"stop"}`
	want := `{"IBAN":"[REDACTED]","user_pin":["[REDACTED]"],"pinned":3,"x":"[REDACTED]","y":"[REDACTED]","z":"stop"}`
	if out, _ := e.JSON(nil, []byte(in)); string(out) != want {
		t.Errorf("got %s\nwant %s", out, want)
	}
	for _, bad := range []redact.Config{{ExtraKeys: []string{"("}}, {ExtraValues: []string{`(?=x)`}}, {ExtraValues: []string{"a*"}}} {
		if _, err := redact.New(bad); err == nil || !strings.Contains(err.Error(), "pattern") {
			t.Errorf("%+v accepted: %v", bad, err)
		}
	}
}

const cleanEvent = `{"id":"14caace9-a609-4a69-aeb3-6970fbcaee40","kind":"task.succeeded","engine":"celery",` +
	`"task_id":"a6d04ff0-00c2-4dbd-afa5-bf539472f0e8","occurred_at":"2026-11-23T21:52:22.863004+00:00","data":{` +
	`"task_name":"shop.orders.tasks.send_confirmation","queue":"celery","worker":"w1@host","args":[184467,"EUR",19.95],` +
	`"kwargs":{"retry":true,"locale":"de_DE"},"root_task_id":"a6d04ff0-00c2-4dbd-afa5-bf539472f0e8","priority":"normal",` +
	`"result":{"status":"sent","id":93812},"runtime_ms":7.25}}`

func TestCleanCostsNothing(t *testing.T) {
	e := engine(t, redact.Config{})
	raw := []byte(cleanEvent)
	allocs := testing.AllocsPerRun(200, func() {
		out, changed := e.JSON(nil, raw)
		if changed || &out[0] != &raw[0] {
			t.Fatalf("changed: %s", out)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestHostileTextIsLinear feeds texts that make naive scanners quadratic: at a megabyte those would need minutes.
func TestHostileTextIsLinear(t *testing.T) {
	t.Parallel()
	e := engine(t, redact.Config{})
	for _, unit := range []string{
		"redis" + "://u", "redis" + "://x:", "://", "a://b:c", "a@", "a@b.", "@.", "eyJa.", "eyJ.", "eyJ", "bearer ", "bearer\t",
		"-----BEGIN ", "sk_live_", "SG.", "123-45-", "xoxb-", "hooks.slack.com/services/", "postgres", "\t", "akia", "skab",
	} {
		start := time.Now()
		e.String(strings.Repeat(unit, 1_000_000/len(unit)))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a megabyte of %q took %s", unit, took)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{cleanEvent, `{"password":{"a":[1,"x"]},"e":"a@b.cd","n":"\u0000"}`, `["\ud83d\ude00"]`, `{`, `""`, `[[[[]]]]`} {
		f.Add([]byte(seed))
	}
	e, err := redact.New(redact.Config{MaxStringBytes: 64, MaxDepth: 6})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, changed := e.JSON(nil, raw)
		if !json.Valid(raw) {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%q became %q", raw, once)
		}
		if !changed && string(once) != string(raw) {
			t.Fatal("changed without saying so")
		}
		twice, again := e.JSON(nil, once)
		if again && string(twice) != string(once) {
			t.Fatalf("not stable:\n%q\n%q", once, twice)
		}
		if strings.Contains(string(once), `\u0000`) && !strings.Contains(string(once), `\\u0000`) {
			t.Fatalf("NUL left in %q", once)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	e, err := redact.New(redact.Config{})
	if err != nil {
		b.Fatal(err)
	}
	for name, doc := range map[string]string{
		"clean":     cleanEvent,
		"secret":    strings.Replace(cleanEvent, `"retry":true`, `"password":"x"`, 1),
		"traceback": strings.Replace(cleanEvent, `"EUR"`, `"`+strings.Repeat(`  File \"/srv/app/tasks.py\", line 3, in boom\n    raise ValueError(msg)\n`, 30)+`"`, 1),
	} {
		b.Run(name, func(b *testing.B) {
			raw := []byte(doc)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				out, changed := e.JSON(buf[:0], raw)
				if changed {
					buf = out
				}
			}
		})
	}
}
