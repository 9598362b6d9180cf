// SPDX-License-Identifier: AGPL-3.0-or-later

package textindex

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// holds says whether a condition holds for a document with these tokens.
func holds(e *Expr, tokens []Token) bool {
	switch {
	case len(e.All) > 0:
		return !slices.ContainsFunc(e.All, func(k *Expr) bool { return !holds(k, tokens) })
	case len(e.Any) > 0:
		return slices.ContainsFunc(e.Any, func(k *Expr) bool { return holds(k, tokens) })
	}
	_, ok := slices.BinarySearch(tokens, e.Token)
	return ok
}

func doc() Document {
	return Document{
		Project: 3, ID: "01932c64-a345-476c-b4a5-f76b952d0105", Exception: "smtplib.SMTPException: Connection TIMED out",
		Args: `["evt_a9ea49e2e4",17]`, Kwargs: `{"customer_id":42,"tags":["a","Größe"],"deep":{"sku":"SKU-\u003c1\u003e","ok":true,"none":null}}`,
		Result: `"{'ok': True}"`,
	}
}

func TestContains(t *testing.T) {
	d := doc()
	tokens := d.Tokens()
	all := []string{d.ID, d.Exception, d.Args, d.Kwargs, d.Result}
	// Every part of every text is found, in any case.
	for _, text := range all {
		runes := []rune(text)
		for i := range runes {
			for n := MinLength; i+n <= len(runes); n++ {
				part := string(runes[i : i+n])
				for _, p := range []string{part, strings.ToUpper(part)} {
					if e := Contains(p); !holds(In(3, e), tokens) {
						t.Fatalf("%q of %q is not found", p, text)
					}
				}
			}
		}
	}
	for _, text := range []string{"nowhere", "timed in", "customer-ids", "b952d0106"} {
		if holds(In(3, Contains(text)), tokens) {
			t.Errorf("%q is found", text)
		}
	}
	if holds(In(4, Contains("timed out")), tokens) {
		t.Error("a task of another project is found")
	}
	if Contains("four") != nil {
		t.Error("a text without a whole piece in every way to cut it must ask nothing")
	}
}

func TestMember(t *testing.T) {
	d := doc()
	tokens := d.Tokens()
	for _, tc := range []struct {
		column, path, value string
		want                bool
	}{
		{Kwargs, "customer_id", "42", true},
		{Kwargs, "customer_id", "4", false},
		{Args, "customer_id", "42", false},
		{Kwargs, "tags.1", "Größe", true},
		{Kwargs, "tags.1", "größe", false},
		{Kwargs, "tags.0", "a", true},
		{Kwargs, "deep.sku", "SKU-<1>", true},
		{Kwargs, "deep.ok", "true", true},
		{Kwargs, "deep.none", "null", false},
		{Args, "0", "evt_a9ea49e2e4", true},
		{Args, "1", "17", true},
		{Kwargs, "deep", "x", false},
	} {
		e := Member(tc.column, strings.Split(tc.path, "."), tc.value)
		if got := holds(In(3, e), tokens); got != tc.want {
			t.Errorf("%s.%s of %q: %v, want %v", tc.column, tc.path, tc.value, got, tc.want)
		}
	}
	for _, e := range []*Expr{
		Member(Args, nil, "x"), Member(Args, []string{"-1"}, "x"), Member(Kwargs, []string{"a"}, `{"b":1}`), Member(Kwargs, []string{"a"}, strings.Repeat("x", maxLeaf+1)),
	} {
		if e != nil {
			t.Errorf("%v: these are no tokens, the index must not be asked", e)
		}
	}
}

// A document with too many tokens is a match of every search of its project.
func TestPartial(t *testing.T) {
	var text strings.Builder
	for i := range 10 * maxTokens {
		text.WriteString(strconv.Itoa(i * 7919))
	}
	d := Document{Project: 1, Result: text.String()}
	tokens := d.Tokens()
	if len(tokens) > maxTokens+1 {
		t.Fatalf("%d tokens, want at most %d", len(tokens), maxTokens+1)
	}
	if !holds(In(1, Contains("not in it at all")), tokens) || holds(In(2, Contains("not in it at all")), tokens) {
		t.Error("a document that is not fully told must be looked at, in its own project")
	}
}

func TestAllAny(t *testing.T) {
	a, b := &Expr{Token: 1}, &Expr{Token: 2}
	if All(nil, nil) != nil || Any() != nil || Any(a, nil) != nil {
		t.Error("what the index can't tell must come out as nil")
	}
	if All(a, nil) != a || Any(b) != b {
		t.Error("one condition is itself")
	}
	if got := All(a, Any(a, b)).Match(); got != `("1" AND ("1" OR "2"))` {
		t.Errorf("spelt %s", got)
	}
}

func TestNarrow(t *testing.T) {
	share := func(of map[Token]float64) func(Token) float64 { return func(t Token) float64 { return of[t] } }
	tok := func(list ...Token) (out []*Expr) {
		for _, t := range list {
			out = append(out, &Expr{Token: t})
		}
		return out
	}
	for _, tc := range []struct {
		e    *Expr
		of   map[Token]float64
		want string
		told float64
	}{
		{All(tok(1, 2, 3)...), map[Token]float64{1: 0.9, 2: 0.05, 3: 0.02}, `("3" AND "2")`, 0.001},                 // common ones tell little
		{All(tok(1, 2)...), map[Token]float64{1: 0.9, 2: 0.8}, `"2"`, 0.8},                                          // but one has to be asked for
		{All(tok(1, 2, 3, 4)...), map[Token]float64{1: 0.001, 2: 0.002, 3: 0.003, 4: 0.004}, `("1" AND "2")`, 2e-6}, // some are as telling as all
		{Any(tok(1, 2)...), map[Token]float64{1: 0.9, 2: 0.8}, `("1" OR "2")`, 1},                                   // of ways none can be left out
		{All(&Expr{Token: 9}, Any(All(tok(1, 2)...), &Expr{Token: 3})), map[Token]float64{9: 1, 1: 0.5, 2: 0.01, 3: 0.01}, `("2" OR "3")`, 0.02},
	} {
		got, told := tc.e.Narrow(share(tc.of))
		if got.Match() != tc.want || math.Abs(told-tc.told) > 1e-9 {
			t.Errorf("%s: %s of %v, want %s of %v", tc.e.Match(), got.Match(), told, tc.want, tc.told)
		}
	}
}

func TestPlain(t *testing.T) {
	if got := Plain(`a b<c"d/e'fÄg` + "\n" + `h-1_2.3`); !slices.Equal(got, []string{"a b", "c", "d", "e", "f", "g", "h-1_2.3"}) {
		t.Errorf("cut into %q", got)
	}
}

// Whatever the text, its parts are found; whatever the JSON, its leaves are.
func FuzzFinds(f *testing.F) {
	f.Add("smtplib: connection lost", uint64(1))
	f.Add(`{"a":[1,{"b":"x\ny"}],"c":null}`, uint64(2))
	f.Add("\xff\xfe broken \u212a", uint64(3))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		d := Document{Project: 1, Kwargs: text}
		tokens := d.Tokens()
		if !slices.IsSorted(tokens) {
			t.Fatal("tokens are not sorted")
		}
		runes := []rune(text)
		rnd := rand.New(rand.NewPCG(seed, 1))
		if len(runes) >= MinLength {
			for range 20 {
				n := MinLength + rnd.IntN(len(runes)-MinLength+1)
				i := rnd.IntN(len(runes) - n + 1)
				part := string(runes[i : i+n])
				e := In(1, Contains(part))
				narrow, _ := e.Narrow(func(Token) float64 { return rnd.ExpFloat64() / 10 })
				if !holds(e, tokens) || !holds(narrow, tokens) {
					t.Fatalf("%q of %q is not found", part, text)
				}
			}
		}
		var v any
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if !utf8.ValidString(text) || !json.Valid([]byte(text)) || dec.Decode(&v) != nil {
			return
		}
		leaves(v, nil, func(path []string, value string) {
			if e := Member(Kwargs, path, value); e != nil && !holds(In(1, e), tokens) {
				t.Fatalf("%q of %q in %q is not found", value, path, text)
			}
		})
	})
}

// leaves walks a decoded value.
func leaves(v any, path []string, tell func(path []string, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			leaves(m, append(slices.Clip(path), k), tell)
		}
	case []any:
		for i, m := range v {
			leaves(m, append(slices.Clip(path), strconv.Itoa(i)), tell)
		}
	case string:
		if len(path) > 0 && len(path) < maxDepth {
			tell(path, v)
		}
	case json.Number:
		if len(path) > 0 && len(path) < maxDepth {
			tell(path, v.String())
		}
	case bool:
		if len(path) > 0 && len(path) < maxDepth {
			tell(path, strconv.FormatBool(v))
		}
	}
}

func BenchmarkTokens(b *testing.B) {
	d := doc()
	b.ReportAllocs()
	for b.Loop() {
		d.Tokens()
	}
}
