// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import "time"

// ParseTime reads the time forms that occur on the wire: RFC 3339 and Python's isoformat, that is
// `YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]]` with `Z`, `±HH:MM[:SS]`, `±HHMM`, `±HH` or nothing behind it, and a bare
// date. aware is false when there was no offset; the time is then taken as UTC. Fractions are cut to
// microseconds.
func ParseTime(text []byte) (t time.Time, aware, ok bool) {
	b := text
	year, ok1 := digits(b, 0, 4)
	month, ok2 := digits(b, 5, 2)
	day, ok3 := digits(b, 8, 2)
	if !ok1 || !ok2 || !ok3 || b[4] != '-' || b[7] != '-' || year == 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return time.Time{}, false, false
	}
	if len(b) == 10 {
		return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC), false, true
	}
	hour, ok1 := digits(b, 11, 2)
	minute, ok2 := digits(b, 14, 2)
	if !ok1 || !ok2 || (b[10] != 'T' && b[10] != ' ' && b[10] != 't') || b[13] != ':' || hour > 23 || minute > 59 {
		return time.Time{}, false, false
	}
	b = b[16:]
	second, micros := 0, 0
	if len(b) > 0 && b[0] == ':' {
		if second, ok1 = digits(b, 1, 2); !ok1 || second > 59 {
			return time.Time{}, false, false
		}
		b = b[3:]
		if len(b) > 0 && (b[0] == '.' || b[0] == ',') {
			i, scale := 1, 100000
			for i < len(b) && b[i]-'0' <= 9 {
				micros += int(b[i]-'0') * scale
				scale /= 10
				i++
			}
			if i == 1 {
				return time.Time{}, false, false
			}
			b = b[i:]
		}
	}
	offset, aware, ok := parseOffset(b)
	if !ok {
		return time.Time{}, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	return t.Add(-offset), aware, true
}

func parseOffset(b []byte) (offset time.Duration, aware, ok bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	if len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false, false
	}
	west := b[0] == '-'
	b = b[1:]
	var parts [3]int
	n := 0
	for ; len(b) > 0 && n < len(parts); n++ {
		if n > 0 && b[0] == ':' {
			b = b[1:]
		}
		v, ok := digits(b, 0, 2)
		if !ok {
			return 0, false, false
		}
		parts[n] = v
		b = b[2:]
	}
	if n == 0 || len(b) > 0 || parts[0] > 23 || parts[1] > 59 || parts[2] > 59 {
		return 0, false, false
	}
	offset = time.Duration(parts[0])*time.Hour + time.Duration(parts[1])*time.Minute + time.Duration(parts[2])*time.Second
	if west {
		offset = -offset
	}
	return offset, true, true
}

// digits reads n decimal digits at b[at:].
func digits(b []byte, at, n int) (v int, ok bool) {
	if len(b) < at+n {
		return 0, false
	}
	for _, c := range b[at : at+n] {
		if c-'0' > 9 {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// AppendTime appends t in UTC as frames carry it: `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`, the fraction always six
// digits, left out when zero.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	dst = t.AppendFormat(dst, "2006-01-02T15:04:05")
	if micros := t.Nanosecond() / 1000; micros != 0 {
		dst = append(dst, '.')
		for div := 100000; div > 0; div /= 10 {
			dst = append(dst, byte('0'+micros/div%10))
		}
	}
	return append(dst, 'Z')
}
