// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// maxCursor bounds what a cursor parameter may hold.
const maxCursor = 4096

// Cursor points behind the last row of a page: the row's sort value and id.
type Cursor struct {
	// Time is the sort value of kind "dt"; zero for the others.
	Time time.Time
	// Raw is the sort value of kind "raw": a string, number or bool.
	Raw any
	// Null says that the row has no sort value.
	Null bool
	ID   uuid.UUID
}

// TimeCursor points behind a row sorted by time; nil means that the row has none.
func TimeCursor(t *time.Time, id uuid.UUID) string {
	if t == nil {
		return encodeCursor("null", nil, id)
	}
	return encodeCursor("dt", FormatTime(*t), id)
}

// RawCursor points behind a row sorted by another value.
func RawCursor(value any, id uuid.UUID) string { return encodeCursor("raw", value, id) }

// encodeCursor writes base64url of `[[kind,value],"uuid"]`, the form old clients hold.
func encodeCursor(kind string, value any, id uuid.UUID) string {
	data, err := json.Marshal([]any{[]any{kind, value}, id.String()})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// ParseCursor reads a cursor. Empty and malformed ones give ok == false, which means the first page:
// an old bookmark then shows something instead of an error.
func ParseCursor(text string) (c Cursor, ok bool) {
	if text == "" || len(text) > maxCursor {
		return Cursor{}, false
	}
	data, err := base64.RawURLEncoding.DecodeString(trimPadding(text))
	if err != nil {
		return Cursor{}, false
	}
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil || len(parts) != 2 {
		return Cursor{}, false
	}
	var key []json.RawMessage
	var kind, id string
	if json.Unmarshal(parts[0], &key) != nil || len(key) != 2 ||
		json.Unmarshal(key[0], &kind) != nil || json.Unmarshal(parts[1], &id) != nil {
		return Cursor{}, false
	}
	if c.ID, err = uuid.Parse(id); err != nil {
		return Cursor{}, false
	}
	switch kind {
	case "null":
		c.Null = true
	case "dt":
		var at string
		if json.Unmarshal(key[1], &at) != nil {
			return Cursor{}, false
		}
		if c.Time, err = ParseTime(at); err != nil {
			return Cursor{}, false
		}
	case "raw":
		if json.Unmarshal(key[1], &c.Raw) != nil {
			return Cursor{}, false
		}
		switch c.Raw.(type) {
		case string, float64, bool:
		default:
			return Cursor{}, false
		}
	default:
		return Cursor{}, false
	}
	return c, true
}

func trimPadding(text string) string {
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	return text
}
