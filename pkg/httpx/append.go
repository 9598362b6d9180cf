// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/wire"
)

// Appender is an answer that writes itself as JSON, the same as encoding/json does without escaping HTML. It is for long lists
// that are asked for all the time: reflection is most of what encoding such a page costs.
type Appender interface {
	AppendJSON(b []byte) ([]byte, error)
}

// AppendString appends a text as a JSON string, broken UTF-8 as U+FFFD.
func AppendString(b []byte, s string) []byte {
	// encoding/json has spellings of its own for broken texts and for two characters that begin with this byte.
	const lineSeparators = 0xe2
	if strings.IndexByte(s, lineSeparators) < 0 && utf8.ValidString(s) {
		return wire.AppendString(b, s)
	}
	text, _ := EncodeJSON(s) //nolint:errchkjson // a text has a spelling
	return append(b, text...)
}

// AppendStringPtr is AppendString, and null for nil.
func AppendStringPtr(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return AppendString(b, *s)
}

// AppendIntPtr appends a number, and null for nil.
func AppendIntPtr(b []byte, n *int64) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, *n, 10)
}
