// SPDX-License-Identifier: AGPL-3.0-or-later

package redact

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxKnownKey is the length of the longest built-in key.
const maxKnownKey = 22

// builtinKeys returns the keys whose values are always hidden, in lower case, with a mask of first letters per
// length that rules most other keys out without hashing, and an expression for keys with non-ASCII letters
// (Unicode has letters whose lower case is an ASCII one).
func builtinKeys() (keys map[string]struct{}, mask [maxKnownKey + 1]uint64, folded *regexp.Regexp) {
	list := []string{
		"password", "password_confirmation", "password_hash", "passwd", "pwd", "old_password", "new_password",
		"secret", "secrets", "token", "api_key", "apikey", "x-api-key", "x_api_key", "authorization", "auth",
		"credentials", "cookie", "set-cookie", "set_cookie", "ssn", "social_security", "social_security_number",
		"credit_card", "credit_card_number", "card_number", "cvv", "cvc",
	}
	for _, kind := range []string{"client", "webhook", "hmac"} {
		list = append(list, kind+"_secret", kind+"secret")
	}
	for _, kind := range []string{"access", "refresh", "id", "api", "bearer", "session"} {
		list = append(list, kind+"_token", kind+"token")
	}
	keys = make(map[string]struct{}, len(list))
	for _, k := range list {
		keys[k] = struct{}{}
		mask[len(k)] |= 1 << (k[0] & 63)
	}
	return keys, mask, regexp.MustCompile(`(?i)^(?:` + strings.Join(list, "|") + `)$`)
}

// secretKey reports whether a decoded key matches.
func (e *Engine) secretKey(key []byte) bool {
	if len(key) > maxKeyLength && utf8.RuneCount(key) > maxKeyLength {
		return true
	}
	ascii := true
	var lower [maxKnownKey]byte
	for i, c := range key {
		if c >= 0x80 {
			ascii = false
			break
		}
		if i < len(lower) {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			lower[i] = c
		} else if len(e.extraKeys) == 0 && i > 2*maxKnownKey {
			break
		}
	}
	switch {
	case !ascii:
		if e.foldedKeys.Match(key) {
			return true
		}
	case len(key) > 0 && len(key) <= maxKnownKey && e.keyMask[len(key)]&(1<<(lower[0]&63)) != 0:
		if _, ok := e.keys[string(lower[:len(key)])]; ok {
			return true
		}
	}
	for _, re := range e.extraKeys {
		if re.Match(key) {
			return true
		}
	}
	return false
}
