// SPDX-License-Identifier: AGPL-3.0-or-later

package projection

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strings"
)

// Noise differs between two occurrences of one failure: addresses, ids, object reprs, long numbers.
var noise = regexp.MustCompile(`<[\w.]+ object at [^>]*>|0x[0-9a-fA-F]+|` +
	`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9]{4,}`)

var frame = regexp.MustCompile(`(?m)^\s*File "([^"]+)", line (\d+), in (.+)$`)

const (
	fingerprintFrames = 5
	fingerprintText   = 2000
)

// Fingerprint groups failures of one cause: 32 hex digits of the SHA-256 over the exception text
// without noise and the last five traceback frames (agent protocol, 8.3). Agents of RQ send the
// whole traceback as the exception; it is then read as one. nil when nothing is known.
func Fingerprint(exception, traceback *string) *string {
	text, trace := deref(exception), deref(traceback)
	if text == "" && trace == "" {
		return nil
	}
	if trace == "" && strings.HasPrefix(text, "Traceback ") {
		trace = text
		text = lastLine(text)
	}
	parts := []string{noise.ReplaceAllString(text, "#")}
	frames := frame.FindAllStringSubmatch(trace, -1)
	if len(frames) > fingerprintFrames {
		frames = frames[len(frames)-fingerprintFrames:]
	}
	for _, f := range frames {
		parts = append(parts, path.Base(strings.ReplaceAll(f[1], `\`, "/"))+":"+f[2]+":"+strings.TrimSpace(f[3]))
	}
	if len(frames) == 0 {
		clean := noise.ReplaceAllString(trace, "#")
		parts = append(parts, clean[:min(len(clean), fingerprintText)])
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	fp := hex.EncodeToString(sum[:16])
	return &fp
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n ")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
