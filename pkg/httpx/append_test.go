// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// FuzzAppendString: a text is written as encoding/json writes it.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "a \"b\"\\\n\r\t\b\f\x01\x7f", "Grüße \u2028\u2029 \U0001F600", "\xff\xc3(", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := httpx.AppendString(nil, s); !bytes.Equal(got, bytes.TrimSuffix(want.Bytes(), []byte("\n"))) {
			t.Errorf("%q is written %s, want %s", s, got, want.Bytes())
		}
	})
}
