// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"bytes"
	"math"
	"strconv"
)

// maxIntDigits bounds an integer token, as CPython does: beyond it the peer could not read it either.
const maxIntDigits = 4300

// pow10 holds the powers of ten that a double represents exactly. A constant table.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// scanNumber returns the end of the JSON number token at b[i:] and whether it is an integer token.
// end is -1 when there is no valid number.
func scanNumber(b []byte, i int) (end int, integer bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i >= len(b) {
		return -1, false
	}
	switch {
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i++
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
	default:
		return -1, false
	}
	integer = true
	if i < len(b) && b[i] == '.' {
		integer = false
		i++
		digits := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		if i == digits {
			return -1, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		integer = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		digits := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		if i == digits {
			return -1, false
		}
	}
	return i, integer
}

// parseFloat reads a valid JSON number token. Short decimals (up to 15 digits, as durations have) are exact
// in one division and need no allocation; everything else goes through strconv.
func parseFloat(tok []byte) (float64, bool) {
	i, neg := 0, false
	if i < len(tok) && tok[i] == '-' {
		neg = true
		i++
	}
	var mant uint64
	digits, frac, seenDot := 0, 0, false
	for ; i < len(tok); i++ {
		c := tok[i]
		if c == '.' {
			seenDot = true
			continue
		}
		if c-'0' > 9 || digits == 15 {
			break
		}
		mant = mant*10 + uint64(c-'0')
		if mant > 0 {
			digits++
		}
		if seenDot {
			frac++
		}
	}
	if i == len(tok) && frac < len(pow10) {
		f := float64(mant) / pow10[frac]
		if neg {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(string(tok), 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// appendFloat formats a finite double as Python's repr does: the shortest digits that round-trip, fixed
// notation with at least ".0" for decimal exponents -4..15, else d[.ddd]e±NN.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 {
		if math.Signbit(f) {
			return append(dst, "-0.0"...)
		}
		return append(dst, "0.0"...)
	}
	abs := math.Abs(f)
	if abs >= 1e-4 && abs < 1e16 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') >= 0 {
			return dst
		}
		return append(dst, '.', '0')
	}
	// strconv writes exponents with at least two digits and a sign, exactly as wanted.
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}

// appendNumber appends the canonical form of a valid number token; ok is false when it has none
// (a float beyond the double range, an integer with more than 4300 digits).
func appendNumber(dst, tok []byte, integer bool) (out []byte, ok bool) {
	if integer {
		if len(tok) == 2 && tok[0] == '-' && tok[1] == '0' {
			return append(dst, '0'), true
		}
		if len(tok) > maxIntDigits+1 || (len(tok) == maxIntDigits+1 && tok[0] != '-') {
			return dst, false
		}
		return append(dst, tok...), true
	}
	f, ok := parseFloat(tok)
	if !ok {
		return dst, false
	}
	return appendFloat(dst, f), true
}
