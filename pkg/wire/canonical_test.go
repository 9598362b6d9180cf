// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/z4jdev/z4j/pkg/wire"
)

type canonicalCase struct{ name, in, want string }

// canonicalCases list inputs with their canonical form; an empty want means refused.
func canonicalCases() []canonicalCase {
	return []canonicalCase{
		{"spaces", " { \"b\" : [ 1 , 2 ] ,\t\"a\" : null }\r\n", `{"a":null,"b":[1,2]}`},
		{"last_duplicate", `{"a":1,"b":2,"a":3,"a":{"x":1,"x":2}}`, `{"a":{"x":2},"b":2}`},
		{"duplicate_by_escape", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"prefix_keys", `{"ab":1,"a":2,"a\u0000":3,"":4,"abcdefgh":5,"abcdefghi":6,"abcdefg":7}`, `{"":4,"a":2,"a\u0000":3,"ab":1,"abcdefg":7,"abcdefgh":5,"abcdefghi":6}`},
		{"escaped_keys_sort_decoded", `{"\n":1,"\"":2,"\\":3,"A":4,"z":5,"]":6}`, `{"\n":1,"\"":2,"A":4,"\\":3,"]":6,"z":5}`},
		{"astral_after_bmp", `{"😀":1,"￮":2}`, `{"￮":2,"😀":1}`},
		{"escapes", `"\u002f\/\u0041\u00e9\ud83d\ude00\u0000\u001F\u007f\u2028\b\f\n\r\t\"\\"`, "\"//Aé😀\\u0000\\u001f\u007f\u2028\\b\\f\\n\\r\\t\\\"\\\\\""},
		{"ints", `[-0,0,-1,123456789012345678901234567890]`, `[0,0,-1,123456789012345678901234567890]`},
		{
			"floats", `[1e0,1E2,-0.0,0e5,0.1e1,1e15,1e16,123456789012345680.0,1e-4,1e-5,0.00001234,9007199254740993.0,1.0e+2,4.35,2.675,1e23,1e-400,100000000000000000000000.0]`,
			`[1.0,100.0,-0.0,0.0,1.0,1000000000000000.0,1e+16,1.2345678901234568e+17,0.0001,1e-05,1.234e-05,9007199254740992.0,100.0,4.35,2.675,1e+23,0.0,1e+23]`,
		},
		{"empty", `{"a":{},"b":[],"c":""}`, `{"a":{},"b":[],"c":""}`},
		{"depth_limit", strings.Repeat("[", 128) + strings.Repeat("]", 128), strings.Repeat("[", 128) + strings.Repeat("]", 128)},
		{"too_deep", strings.Repeat("[", 129) + strings.Repeat("]", 129), ""},
		{"nothing", "", ""},
		{"two_values", "1 2", ""},
		{"bom", "\ufeff1", ""},
		{"nan", "NaN", ""},
		{"infinity", "[-Infinity]", ""},
		{"float_overflow", "1e999", ""},
		{"leading_zero", "01", ""},
		{"plus", "+1", ""},
		{"bare_point", "1.", ""},
		{"point_first", ".5", ""},
		{"bare_exponent", "1e", ""},
		{"minus", "-", ""},
		{"long_int", strings.Repeat("9", 4300), strings.Repeat("9", 4300)},
		{"too_long_int", strings.Repeat("9", 4301), ""},
		{"control_character", "\"a\x01\"", ""},
		{"raw_newline_after_escape", "\"\\n\n\"", ""},
		{"invalid_utf8", "\"\xff\"", ""},
		{"invalid_utf8_after_escape", "\"\\n\xc3\"", ""},
		{"encoded_surrogate", "\"\xed\xa0\x80\"", ""},
		{"lone_high", `"\ud800"`, ""},
		{"lone_low", `"\udc00"`, ""},
		{"two_high", `"\ud800\ud800"`, ""},
		{"lone_surrogate_key", `{"\ud800":1}`, ""},
		{"bad_escape", `"\x41"`, ""},
		{"short_escape", `"\u12`, ""},
		{"unterminated", `"abc`, ""},
		{"trailing_comma", `[1,]`, ""},
		{"trailing_comma_object", `{"a":1,}`, ""},
		{"no_colon", `{"a" 1}`, ""},
		{"unquoted_key", `{a:1}`, ""},
		{"mismatched", `{"a":[1}`, ""},
		{"literal", "nul", ""},
		{"literal_case", "True", ""},
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range canonicalCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.Canonical([]byte("kept"), []byte(c.in))
			if c.want == "" {
				var werr *wire.Error
				if !errors.As(err, &werr) || werr.Class != wire.ClassProtocol || string(got) != "kept" {
					t.Fatalf("got %s, %v", got, err)
				}
				if werr.TooDeep != (c.name == "too_deep") {
					t.Errorf("TooDeep %t", werr.TooDeep)
				}
				if wire.Valid([]byte(c.in)) == nil {
					t.Error("Valid says yes")
				}
				return
			}
			if err != nil || string(got) != "kept"+c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
			if slow, err := slowCanonical([]byte(c.in)); err != nil || slow != c.want {
				t.Errorf("reference %s, %v", slow, err)
			}
		})
	}
}

// TestManyKeys covers the sort of large objects, duplicates included.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteByte('{')
	state := uint32(1)
	for i := range 3000 {
		state = state*1664525 + 1013904223
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"same-prefix-`)
		b.WriteByte(byte('a' + state>>9%20))
		b.WriteByte(byte('a' + state>>20%26))
		b.WriteString(`":`)
		b.WriteString(string(rune('0' + i%10)))
	}
	b.WriteByte('}')
	got, err := wire.Canonical(nil, []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	want, err := slowCanonical([]byte(b.String()))
	if err != nil || string(got) != want {
		t.Errorf("differs from the reference: %v", err)
	}
}

// TestAbsurdDepthIsCheap: a megabyte of brackets is refused at the limit, not after recursion.
func TestAbsurdDepthIsCheap(t *testing.T) {
	t.Parallel()
	for _, open := range []string{"[", `{"a":`, `{"v":2,"payload":[`} {
		bomb := []byte(strings.Repeat(open, 1<<20/len(open)))
		start := time.Now()
		_, err := wire.NewVerifier(wire.Session{}).Verify(bomb)
		var werr *wire.Error
		if !errors.As(err, &werr) || !werr.TooDeep || werr.CloseCode() != 1011 {
			t.Errorf("%s: %v", open, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: took %s", open, took)
		}
	}
}

func TestAppendCanonicalValue(t *testing.T) {
	t.Parallel()
	got, err := wire.AppendCanonicalValue(nil, map[string]any{
		"b": []any{nil, true, 1, int64(-2), 2.0, json.Number("1e16"), json.Number("-0"), "é\n\u2028<>&"},
		"a": map[string]any{"z": []string{"x"}, "raw": json.RawMessage(`{"k" : 1.50, "a":2}`)},
		"c": map[string]int64{"n": 5}, "d": map[string]string{"s": "t"}, "e": []map[string]any{{}},
	})
	want := `{"a":{"raw":{"a":2,"k":1.5},"z":["x"]},"b":[null,true,1,-2,2.0,1e+16,0,"é\n` + "\u2028" + `<>&"],"c":{"n":5},"d":{"s":"t"},"e":[{}]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	deep := any(1)
	for range 200 {
		deep = []any{deep}
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), "\xff", map[string]any{"\xff": 1}, json.Number("x"), json.Number("1e999"), struct{}{}, deep, []any{complex(1, 1)}, json.RawMessage("{")} {
		if out, err := wire.AppendCanonicalValue(nil, bad); err == nil {
			t.Errorf("%v accepted as %s", bad, out)
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-11-23T12:00:00Z":               "2026-11-23T12:00:00Z aware",
		"2026-11-23T12:00:00.5Z":             "2026-11-23T12:00:00.5Z aware",
		"2026-11-23T14:00:00.123456+02:00":   "2026-11-23T12:00:00.123456Z aware",
		"2026-11-23 12:00:00.123456789-0130": "2026-11-23T13:30:00.123456Z aware",
		"2026-11-23T12:00+01":                "2026-11-23T11:00:00Z aware",
		"2026-11-23T12:00:00":                "2026-11-23T12:00:00Z naive",
		"2026-11-23":                         "2026-11-23T00:00:00Z naive",
		"2024-02-29T00:00:00+23:59:59":       "2024-02-28T00:00:01Z aware",
		"2026-02-29T00:00:00Z":               "",
		"2026-13-01T00:00:00Z":               "",
		"2026-11-31T00:00:00Z":               "",
		"2026-11-23T24:00:00Z":               "",
		"2026-11-23T12:60:00Z":               "",
		"2026-11-23T12:00:60Z":               "",
		"2026-11-23T12:00:00.Z":              "",
		"2026-11-23T12:00:00+":               "",
		"2026-11-23T12:00:00+25:00":          "",
		"2026-11-23T12:00:00Zx":              "",
		"0000-01-01T00:00:00Z":               "",
		"yesterday":                          "",
		"":                                   "",
		"2026-11-23T":                        "",
		"2026-11-23T12:00:00+01:00:00:00":    "",
	} {
		at, aware, ok := wire.ParseTime([]byte(in))
		got := ""
		if ok {
			got = at.Format(time.RFC3339Nano) + " naive"
			if aware {
				got = at.Format(time.RFC3339Nano) + " aware"
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
