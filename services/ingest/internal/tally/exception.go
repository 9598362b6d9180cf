// SPDX-License-Identifier: AGPL-3.0-or-later

package tally

import "strings"

// unknownException stands for failures without a class, as scrapers know it.
const unknownException = "UnknownException"

// exceptionClass is the class of an exception in the forms that agents send: the class alone, "Class: message",
// "Class(message)", each with or without its module, or a whole traceback that ends with one of these.
func exceptionClass(text *string) string {
	if text == nil {
		return unknownException
	}
	line := strings.TrimSpace(*text)
	if strings.HasPrefix(line, "Traceback ") {
		line = strings.TrimSpace(line[strings.LastIndexByte(line, '\n')+1:])
	}
	end := strings.IndexFunc(line, func(r rune) bool { return !word(r) && r != '.' })
	if end >= 0 {
		if rest := line[end:]; rest[0] != ':' && rest[0] != '(' {
			return unknownException // a sentence, and a text of its own for every failure
		}
		line = line[:end]
	}
	line = line[strings.LastIndexByte(line, '.')+1:]
	if line == "" || line[0] >= '0' && line[0] <= '9' {
		return unknownException
	}
	return label(line)
}

func word(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7f
}
