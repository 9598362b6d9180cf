// SPDX-License-Identifier: AGPL-3.0-or-later

package taskquery

import (
	"strconv"
	"strings"
	"time"
)

// parseSpan reads a whole number and a unit: 500ms, 90s, 15m, 2h, 7d, 1w.
func parseSpan(text string) (time.Duration, bool) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	if digits == "" || len(digits) > 9 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	unit, ok := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}[text[len(digits):]]
	if !ok || n > int64(longest/unit) {
		return longest, ok
	}
	return time.Duration(n) * unit, ok
}

// longest is the longest span, about a hundred years.
const longest = 36500 * 24 * time.Hour

// parseInstant reads a span before now, or a date with or without a time; without a zone it is UTC.
func parseInstant(text string, now time.Time) (time.Time, bool) {
	if span, ok := parseSpan(text); ok {
		return now.Add(-span), true
	}
	for _, layout := range []string{
		"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00",
	} {
		// A fraction behind the seconds is read without being in the layout.
		if at, err := time.Parse(layout, text); err == nil && !strings.Contains(text, ",") {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

func checkInstant(value string) string {
	if _, ok := parseInstant(value, time.Unix(0, 0)); !ok {
		return "Give a span such as 2h or 7d, or a time such as 2026-05-01T08:00Z"
	}
	return ""
}

// parseRuntime reads a span with >, >=, < or <= in front of it; alone it means at least. The bounds are inclusive.
func parseRuntime(text string) (least, most *int64, ok bool) {
	sign, span := "", text
	for _, s := range []string{">=", "<=", ">", "<"} {
		if rest, found := strings.CutPrefix(text, s); found {
			sign, span = s, rest
			break
		}
	}
	d, ok := parseSpan(span)
	if !ok {
		return nil, nil, false
	}
	ms := d.Milliseconds()
	switch sign {
	case ">":
		ms++
		return &ms, nil, true
	case "<":
		ms--
		return nil, &ms, true
	case "<=":
		return nil, &ms, true
	}
	return &ms, nil, true
}

func checkRuntime(value string) string {
	if _, _, ok := parseRuntime(value); !ok {
		return "Give a span such as >500ms, <10s or 2m"
	}
	return ""
}
