// SPDX-License-Identifier: AGPL-3.0-or-later

package wire_test

import (
	"encoding/json"
	"testing"

	"github.com/z4jdev/z4j/pkg/wire"
)

func TestClosed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":[1,{"b":"]}\""}]}`: true, ` "text \\" `: true, `12`: true, `null`: true, `[]`: true,
		``: false, ` `: false, `{"a":1`: false, `{"a":1}}`: false, `"open`: false, `"open\"`: false, `"a" "b"`: false, `1,"name":2`: false,
		`[1]]`: false, `{"a":"}`: false, `1}`: false, `}`: false, `,`: false, `"\`: false,
	} {
		if got := wire.Closed([]byte(text)); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

// FuzzClosed wants each value to be closed, and what is closed to be one element of the array it is put into.
func FuzzClosed(f *testing.F) {
	for _, text := range []string{`{"a":[1,"]"]}`, `"\\"`, ` 1 `, `{"a`, `[}`, `1,2`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		closed := wire.Closed(text)
		if json.Valid(text) && !closed {
			t.Fatalf("%q is a value and not closed", text)
		}
		if !closed {
			return
		}
		n := 0
		around := append(append([]byte(`[`), text...), `,"end"]`...)
		last := ""
		if err := wire.ScanArray(around, func(v []byte) error { n++; last = string(v); return nil }); err != nil || n != 2 || last != `"end"` {
			t.Fatalf("%q between others: %d elements, the last %s, %v", text, n, last, err)
		}
	})
}
