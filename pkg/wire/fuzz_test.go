// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/wire"
)

// slowCanonical is an independent implementation over encoding/json, math/big and maps.
func slowCanonical(raw []byte) (string, error) {
	if !utf8.Valid(raw) {
		return "", errors.New("invalid UTF-8")
	}
	if err := loneSurrogates(raw); err != nil {
		return "", err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("trailing data")
	}
	var b strings.Builder
	if err := slowValue(&b, v, 0); err != nil {
		return "", err
	}
	return b.String(), nil
}

// loneSurrogates finds what encoding/json silently replaces.
func loneSurrogates(raw []byte) error {
	text := string(raw)
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i+5 < len(text) && text[i+1] == 'u' {
			r, err := strconv.ParseUint(text[i+2:i+6], 16, 32)
			if err == nil && r >= 0xd800 && r < 0xe000 {
				low := uint64(0)
				if i+11 < len(text) && text[i+6:i+8] == `\u` {
					low, _ = strconv.ParseUint(text[i+8:i+12], 16, 32)
				}
				if r >= 0xdc00 || low < 0xdc00 || low >= 0xe000 {
					return errors.New("lone surrogate")
				}
				i += 11
				continue
			}
		}
		i++
	}
	return nil
}

func slowValue(b *strings.Builder, v any, depth int) error {
	if depth > wire.DefaultMaxDepth {
		return errors.New("too deep")
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, x)
	case string:
		slowString(b, x)
	case json.Number:
		return slowNumber(b, string(x))
	case []any:
		if depth == wire.DefaultMaxDepth {
			return errors.New("too deep")
		}
		b.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := slowValue(b, e, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case map[string]any:
		if depth == wire.DefaultMaxDepth {
			return errors.New("too deep")
		}
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return lessRunes([]rune(keys[i]), []rune(keys[j])) })
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			slowString(b, k)
			b.WriteByte(':')
			if err := slowValue(b, x[k], depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	}
	return nil
}

func lessRunes(a, b []rune) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

func slowString(b *strings.Builder, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	b.WriteByte('"')
	for _, r := range s {
		switch esc, ok := short[r]; {
		case ok:
			b.WriteString(esc)
		case r < 0x20:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

func slowNumber(b *strings.Builder, tok string) error {
	if !strings.ContainsAny(tok, ".eE") {
		if len(strings.TrimPrefix(tok, "-")) > 4300 {
			return errors.New("integer too long")
		}
		n, ok := new(big.Int).SetString(tok, 10)
		if !ok {
			return errors.New("not an integer")
		}
		b.WriteString(n.String())
		return nil
	}
	f, err := strconv.ParseFloat(tok, 64)
	if err != nil {
		return err
	}
	b.WriteString(pythonRepr(f))
	return nil
}

// pythonRepr rebuilds Python's float formatting from digits and exponent, as its documentation describes it.
func pythonRepr(f float64) string {
	sign := ""
	if math.Signbit(f) {
		sign = "-"
	}
	if f == 0 {
		return sign + "0.0"
	}
	sci := strconv.FormatFloat(math.Abs(f), 'e', -1, 64)
	mant, expText, _ := strings.Cut(sci, "e")
	digits := strings.Replace(mant, ".", "", 1)
	exp, _ := strconv.Atoi(expText)
	switch {
	case exp < -4 || exp >= 16:
		out := digits[:1]
		if len(digits) > 1 {
			out += "." + digits[1:]
		}
		return fmt.Sprintf("%s%se%+03d", sign, out, exp)
	case exp < 0:
		return sign + "0." + strings.Repeat("0", -exp-1) + digits
	case len(digits) <= exp+1:
		return sign + digits + strings.Repeat("0", exp+1-len(digits)) + ".0"
	default:
		return sign + digits[:exp+1] + "." + digits[exp+1:]
	}
}

// frameSeeds are the frames of all golden files.
func frameSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	var seeds [][]byte
	var valid struct{ Vectors []validVector }
	load(tb, "signing-valid.json", &valid)
	for _, v := range valid.Vectors {
		seeds = append(seeds, v.Wire)
	}
	var invalid struct {
		Rejected []frameCase `json:"rejected"`
		Accepted []frameCase `json:"accepted_edge_cases"`
	}
	load(tb, "signing-invalid.json", &invalid)
	for _, c := range append(invalid.Rejected, invalid.Accepted...) {
		for _, f := range c.Frames {
			seeds = append(seeds, []byte(f))
		}
	}
	for _, name := range sessionFiles(tb) {
		var s session
		load(tb, filepath.Join("sessions", filepath.Base(name)), &s)
		for i, f := range s.Frames {
			if i < 12 && len(f.Text) < 2000 {
				seeds = append(seeds, []byte(f.Text))
			}
		}
	}
	return seeds
}

func FuzzCanonical(f *testing.F) {
	for _, s := range frameSeeds(f) {
		f.Add(s)
	}
	for _, s := range canonicalCases() {
		f.Add([]byte(s.in))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := wire.Canonical(nil, raw)
		want, slowErr := slowCanonical(raw)
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("%q: %v, reference %v", raw, err, slowErr)
		}
		if err != nil {
			if _, ok := errors.AsType[*wire.Error](err); !ok {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if string(got) != want {
			t.Fatalf("%q\n got %s\nwant %s", raw, got, want)
		}
		again, err := wire.Canonical(nil, got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("not idempotent: %s -> %s (%v)", got, again, err)
		}
		var v any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		fromValue, err := wire.AppendCanonicalValue(nil, v)
		if err != nil || !bytes.Equal(fromValue, got) {
			t.Fatalf("from a value: %s (%v), want %s", fromValue, err, got)
		}
	})
}

// FuzzVerify feeds arbitrary frames to everything that reads frames. Half of the time the frame is given a valid
// signature, so that what lies behind the signature check is reached as well.
func FuzzVerify(f *testing.F) {
	for _, s := range frameSeeds(f) {
		f.Add(s)
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := wire.Session{AgentID: "a", ProjectID: "p", SessionID: "s", Now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := wire.NewVerifier(s)
		env, err := v.Verify(raw)
		if err != nil {
			var werr *wire.Error
			if !errors.As(err, &werr) || werr.CloseCode() != 1011 && werr.CloseCode() != 4403 {
				t.Fatalf("untyped error %v", err)
			}
			if v.Guard().LastSeq() != 0 {
				t.Fatal("a refused frame moved the guard")
			}
		}
		_, _ = wire.ParseHello(raw)
		exerciseDecoders(raw)
		exerciseDecoders(env.Payload)
		signed, err := wire.NewSigner(s).Sign(nil, "x", wire.TypeEventBatch, raw, now)
		if err != nil {
			return
		}
		if env, err = wire.NewVerifier(s).Verify(signed); err != nil {
			t.Fatalf("own signature refused: %v\n%s", err, signed)
		}
		if !bytes.Equal(env.Payload, raw) {
			t.Fatalf("payload %q, want %q", env.Payload, raw)
		}
		checkEventsAgainstMaps(t, raw)
	})
}

func exerciseDecoders(raw []byte) {
	var dec wire.Decoder
	for _, e := range dec.Events(raw).Events {
		data := dec.TaskData(e.Data)
		data.AppendRest(nil)
	}
	var e wire.Event
	dec.Event(raw, &e)
	d := dec.TaskData(raw)
	d.AppendRest(nil)
	wire.DecodeHeartbeat(raw)
	wire.DecodeAgentStatus(raw)
	wire.DecodeCommand(raw)
	wire.DecodeCommandAck(raw)
	_, _ = wire.DecodeCommandResult(raw)
	_, _ = wire.DecodeTelemetryLoss(raw)
	wire.DecodeRegistryDelta(raw)
	wire.DecodeErrorFrame(raw)
	wire.AppendTarget(nil, "task", "x", raw)
	wire.StringOf(raw)
	wire.FloatOf(raw)
	wire.ParseTime(raw)
}

// checkEventsAgainstMaps compares the scanner with encoding/json on a payload that is valid JSON.
func checkEventsAgainstMaps(t *testing.T, raw []byte) {
	t.Helper()
	var payload map[string]json.RawMessage
	if err := json.Unmarshal(raw, &payload); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	var events []json.RawMessage
	_ = json.Unmarshal(payload["events"], &events)
	var dec wire.Decoder
	batch := dec.Events(raw)
	if len(batch.Events) != min(len(events), wire.MaxEvents) {
		t.Fatalf("%d events, want %d in %s", len(batch.Events), len(events), raw)
	}
	for i, e := range batch.Events {
		var want map[string]any
		if json.Unmarshal(events[i], &want) != nil || want == nil {
			if !e.Malformed {
				t.Fatalf("%s is no event", events[i])
			}
			continue
		}
		text := func(name string) string { s, _ := want[name].(string); return s }
		if e.ID != text("id") || e.Kind != text("kind") || e.Engine != text("engine") || e.TaskID != text("task_id") {
			t.Fatalf("event %+v, want %v", e, want)
		}
		data, _ := want["data"].(map[string]any)
		if (data == nil) != (e.Data == nil) {
			t.Fatalf("data %s, want %v", e.Data, data)
		}
		queue, _ := data["queue"].(string)
		if got := dec.TaskData(e.Data); got.Queue != queue {
			t.Fatalf("queue %q, want %q in %s", got.Queue, queue, e.Data)
		}
	}
}
