// SPDX-License-Identifier: AGPL-3.0-or-later

package redact

import "bytes"

// minSecret is the length of the shortest text any built-in value rule can match (an e-mail address a@b.cd).
const minSecret = 6

// Byte classes of the value scanner.
const (
	classOther   = iota
	classWord    // letters, digits, '_' and '-': what tokens are made of
	classAt      // '@'
	classColon   // ':'
	classDot     // '.'
	classSpacing // white space
)

// class sorts bytes for the scanner. A constant table.
var class = func() (t [256]uint8) {
	for c := range t {
		switch b := byte(c); {
		case isWord(b) || b == '-':
			t[c] = classWord
		case b == '@':
			t[c] = classAt
		case b == ':':
			t[c] = classColon
		case b == '.':
			t[c] = classDot
		case b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\v' || b == '\f':
			t[c] = classSpacing
		}
	}
	return t
}()

func isDigit(b byte) bool { return b-'0' <= 9 }
func isAlpha(b byte) bool { return b|0x20-'a' < 26 }
func isAlnum(b byte) bool { return isDigit(b) || isAlpha(b) }
func isWord(b byte) bool  { return isAlnum(b) || b == '_' }
func isHex(b byte) bool   { return isDigit(b) || b|0x20-'a' < 6 }
func isRun(b byte) bool   { return class[b] == classWord }

// secretValue reports whether a decoded string contains a secret. It goes through the text once, run by run
// of token characters; what a rule needs to look at around a run is bounded by that rule's own length or
// consumed by it, so the time is linear.
//
// name exempts the name of a worker from the e-mail rule: celery@host.example.com is how Celery names workers, and
// a fleet of workers that are all called [REDACTED] cannot be operated.
func (e *Engine) secretValue(s []byte, name bool) bool {
	if builtinSecret(s, name) {
		return true
	}
	for _, re := range e.extraValues {
		if re.Match(s) {
			return true
		}
	}
	return false
}

func builtinSecret(s []byte, name bool) bool {
	if len(s) < minSecret {
		return false
	}
	userEnd := 0
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && class[s[i]] == classWord {
			i++
		}
		if i-start >= minRun && secretRun(s[start:i]) {
			return true
		}
		if i == len(s) {
			break
		}
		switch class[s[i]] {
		case classAt:
			if !name && emailAt(s, i) {
				return true
			}
		case classColon:
			if urlAt(s, i, &userEnd) {
				return true
			}
		case classDot:
			if dottedAt(s, start, i) {
				return true
			}
		case classSpacing:
			if bearerAt(s, start, i) || privateKeyAt(s, start, i) {
				return true
			}
		}
		i++
	}
	return false
}

// minRun is the length of the shortest token found within a run: an SSN, 123-45-6789.
const minRun = 11

// secretRun looks for tokens with a known prefix and for social security numbers inside one run.
func secretRun(r []byte) bool {
	for i := 0; i+minRun <= len(r); i++ {
		rest := r[i:]
		switch r[i] | 0x20 {
		case 's':
			if stripe(rest) || twilio(r, i) {
				return true
			}
		case 'p', 'r':
			if stripe(rest) {
				return true
			}
		case 'w':
			if fold(rest, "whsec_") && count(rest[6:], isAlnum, 24) {
				return true
			}
		case 'x':
			if fold(rest, "xox") && len(rest) > 14 && (rest[3]|0x20 == 'b' || rest[3]|0x20 == 'p' || rest[3]|0x20 == 'a') &&
				rest[4] == '-' && count(rest[5:], func(b byte) bool { return isAlnum(b) || b == '-' }, 10) {
				return true
			}
		case 'g':
			if github(rest) {
				return true
			}
		case 'a':
			if aws(rest) || fold(rest, "aiza") && count(rest[4:], isRun, 35) {
				return true
			}
		}
		if isDigit(r[i]) && ssn(r, i) {
			return true
		}
	}
	return false
}

// fold reports whether s starts with prefix (lower case) whatever the case of s.
func fold(s []byte, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// foldSuffix reports whether s ends with suffix (lower case) whatever the case of s.
func foldSuffix(s []byte, suffix string) bool {
	return len(s) >= len(suffix) && fold(s[len(s)-len(suffix):], suffix)
}

// count reports whether s starts with at least n bytes that are in the set.
func count(s []byte, in func(byte) bool, n int) bool {
	if len(s) < n {
		return false
	}
	for _, b := range s[:n] {
		if !in(b) {
			return false
		}
	}
	return true
}

func stripe(s []byte) bool {
	return len(s) >= 32 && s[1]|0x20 == 'k' && s[2] == '_' && (fold(s[3:], "live_") || fold(s[3:], "test_")) && count(s[8:], isAlnum, 24)
}

// twilio matches \bSK[0-9a-f]{32}\b at r[i:].
func twilio(r []byte, i int) bool {
	s := r[i:]
	return len(s) >= 34 && s[1]|0x20 == 'k' && (i == 0 || !isWord(r[i-1])) && count(s[2:], isHex, 32) && (len(s) == 34 || !isWord(s[34]))
}

func github(s []byte) bool {
	if fold(s, "github_pat_") {
		return count(s[11:], isWord, 82)
	}
	if len(s) < 40 || s[1]|0x20 != 'h' || s[3] != '_' {
		return false
	}
	switch s[2] | 0x20 {
	case 'p', 'o', 's':
		return count(s[4:], isAlnum, 36)
	}
	return false
}

func aws(s []byte) bool {
	return (fold(s, "akia") || fold(s, "asia")) && count(s[4:], isAlnum, 16)
}

// ssn matches \b\d{3}-\d{2}-\d{4}\b at r[i:]. '-' is no word character, so a boundary is "no letter, digit or _".
func ssn(r []byte, i int) bool {
	if i > 0 && isWord(r[i-1]) {
		return false
	}
	s := r[i:]
	return len(s) >= 11 && s[3] == '-' && s[6] == '-' &&
		count(s, isDigit, 3) && count(s[4:], isDigit, 2) && count(s[7:], isDigit, 4) && (len(s) == 11 || !isWord(s[11]))
}

// emailAt checks the '@' at s[i] for an address around it.
func emailAt(s []byte, i int) bool {
	if i == 0 || !isLocal(s[i-1]) {
		return false
	}
	// The domain characters after this '@' cannot reach beyond the next one, so they are read once per '@'.
	for k := i + 1; k < len(s) && (isAlnum(s[k]) || s[k] == '.' || s[k] == '-'); k++ {
		if s[k] == '.' && k > i+1 && k+2 < len(s) && isAlpha(s[k+1]) && isAlpha(s[k+2]) {
			return true
		}
	}
	return false
}

func isLocal(b byte) bool {
	return isWord(b) || b == '.' || b == '%' || b == '+' || b == '-'
}

// urlAt checks the ':' at s[i] for scheme://user:password@. In URLs of databases and brokers everything up to white
// space may be part of the password; in others, where '@' is common in paths, the user part must be well-formed. seen
// is how far earlier calls looked ahead in vain, so that hostile text is not read again from every position.
func urlAt(s []byte, i int, seen *int) bool {
	if i == 0 || i+3 >= len(s) || s[i+1] != '/' || s[i+2] != '/' || !isAlnum(s[i-1]) || i+3 < *seen {
		return false
	}
	loose := databaseScheme(s[max(0, i-32):i])
	colon := false
	for k := i + 3; k < len(s); k++ {
		switch b := s[k]; {
		case b == ':':
			colon = true
		case b == '@':
			if colon && s[k-1] != ':' {
				return true
			}
			if loose {
				*seen = k
				return false
			}
		case b <= ' ':
			if loose {
				*seen = k
			}
			return false
		case !loose && (b == '/' || b == '?' || b == '#' || b == '"' || b == '\'' || b == '<' || b == '>'):
			return false
		}
	}
	*seen = len(s)
	return false
}

// databaseScheme reports whether the text before "://" names a database or broker, with or without a driver.
func databaseScheme(s []byte) bool {
	start := len(s)
	for start > 0 && (isAlnum(s[start-1]) || s[start-1] == '+') {
		start--
	}
	for s = s[start:]; len(s) >= 4; s = s[1:] {
		switch s[0] | 0x20 {
		case 'p':
			if fold(s, "postgres") {
				return true
			}
		case 'm':
			if fold(s, "mysql") || fold(s, "mariadb") || fold(s, "mongodb") {
				return true
			}
		case 'r':
			if fold(s, "redis") {
				return true
			}
		case 'a':
			if fold(s, "amqp") {
				return true
			}
		}
	}
	return false
}

// bearerAt checks whether the run s[start:end] ends in "bearer" with 16 or more token characters behind the separator.
func bearerAt(s []byte, start, end int) bool {
	if end-start < 6 || s[end-1]|0x20 != 'r' || !foldSuffix(s[start:end], "bearer") {
		return false
	}
	k := end
	for k < len(s) && class[s[k]] == classSpacing && k < end+64 {
		k++
	}
	return count(s[k:], func(b byte) bool {
		return isRun(b) || b == '.' || b == '~' || b == '+' || b == '/' || b == '='
	}, 16)
}

// privateKeyAt checks whether the run s[start:end] opens a PEM private key.
func privateKeyAt(s []byte, start, end int) bool {
	if end-start < 10 || s[end-1]|0x20 != 'n' || !foldSuffix(s[start:end], "-----begin") {
		return false
	}
	head := s[end:min(len(s), end+64)]
	if line := bytes.IndexByte(head, '\n'); line >= 0 {
		head = head[:line]
	}
	for k := range head {
		if fold(head[k:], "private key-----") {
			return true
		}
	}
	return false
}

// dottedAt checks the '.' at s[end] behind the run s[start:end] for a JWT, a SendGrid key or a Slack hook.
func dottedAt(s []byte, start, end int) bool {
	run, rest := s[start:end], s[end+1:]
	switch {
	case len(run) >= 2 && run[len(run)-1]|0x20 == 'g' && run[len(run)-2]|0x20 == 's':
		return count(rest, isRun, 22) && len(rest) >= 66 && rest[22] == '.' && count(rest[23:], isRun, 43)
	case foldSuffix(run, "hooks"):
		return fold(rest, "slack.com/services/") && slackPath(rest[19:])
	case len(run) >= 4:
		return jwt(run, rest)
	}
	return false
}

// slackPath matches the three parts of a webhook's path.
func slackPath(s []byte) bool {
	part := 0
	for k := 0; k < len(s) && k < 128; k++ {
		switch {
		case isAlnum(s[k]):
			if part == 2 {
				return true
			}
		case s[k] == '/' && k > 0 && s[k-1] != '/':
			part++
		default:
			return false
		}
	}
	return false
}

// jwt matches eyJ… . … . … where run is the first part.
func jwt(run, rest []byte) bool {
	head := false
	for k := 0; k+4 <= len(run); k++ {
		if run[k]|0x20 == 'e' && run[k+1]|0x20 == 'y' && run[k+2]|0x20 == 'j' {
			head = true
			break
		}
	}
	if !head {
		return false
	}
	k := 0
	for k < len(rest) && isRun(rest[k]) {
		k++
	}
	return k >= 1 && k+1 < len(rest) && rest[k] == '.' && isRun(rest[k+1])
}
