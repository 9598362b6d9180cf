// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"encoding/json"
	"fmt"
	"time"
)

// timeLayout is how every time leaves the API: UTC, microseconds, `Z`.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a time in JSON, always written as `2026-11-23T21:41:55.123456Z`; the zero time is null.
type Time struct{ time.Time }

// NewTime wraps t.
func NewTime(t time.Time) Time { return Time{t} }

// TimePtr wraps an optional time; nil and the zero time stay nil.
func TimePtr(t *time.Time) *Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &Time{*t}
}

// FormatTime writes t as the API does.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.AppendJSON(make([]byte, 0, len(timeLayout)+2))
}

// AppendJSON implements Appender.
func (t Time) AppendJSON(b []byte) ([]byte, error) {
	if t.IsZero() {
		return append(b, "null"...), nil
	}
	u := t.UTC()
	year, month, day := u.Date()
	if year < 0 || year > 9999 {
		return nil, fmt.Errorf("year %d has no RFC 3339 form", year)
	}
	// timeLayout by hand: a page of tasks has hundreds of times, and a layout is read anew for each.
	b = appendDigits(append(b, '"'), year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), u.Hour(), 2)
	b = appendDigits(append(b, ':'), u.Minute(), 2)
	b = appendDigits(append(b, ':'), u.Second(), 2)
	b = appendDigits(append(b, '.'), u.Nanosecond()/1000, 6)
	return append(b, 'Z', '"'), nil
}

// appendDigits appends the last digits of n, with zeros in front.
func appendDigits(b []byte, n, digits int) []byte {
	b = append(b, "000000"[:digits]...)
	for i := len(b) - 1; n > 0 && i >= len(b)-digits; i-- {
		b[i], n = byte('0'+n%10), n/10
	}
	return b
}

// UnmarshalJSON implements json.Unmarshaler; see ParseTime for what it takes.
func (t *Time) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		t.Time = time.Time{}
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errTimeFormat
	}
	parsed, err := ParseTime(text)
	if err != nil {
		return err
	}
	t.Time = parsed
	return nil
}

// ParseTime reads an ISO 8601 time; without a zone it is UTC, and a date alone is its midnight.
func ParseTime(text string) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
		"2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly,
	} {
		if parsed, err := time.Parse(layout, text); err == nil {
			return parsed.UTC(), nil
		}
	}
	return time.Time{}, errTimeFormat
}
