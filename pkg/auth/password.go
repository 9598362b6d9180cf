// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/z4jdev/z4j/pkg/domain"
)

// Reasons a password is refused for, in details.reason of the answer.
const (
	ReasonPasswordTooShort  = "password_too_short"
	ReasonPasswordTooLong   = "password_too_long"
	ReasonPasswordTooSimple = "password_too_simple"
	ReasonPasswordBreached  = "password_in_breach_list"
)

const (
	defaultMinLength = 12
	maxLength        = 256
	// simpleBelow is the length from which a password needs no mix of characters.
	simpleBelow     = 16
	requiredClasses = 3
)

// PasswordPolicy decides which passwords may be set. The zero value is the default policy.
type PasswordPolicy struct {
	// MinLength in characters; 0 takes 12. Settings allow 8 to 128.
	MinLength int
}

// PublicPolicy is the part of the policy that forms show (GET /auth/policy).
type PublicPolicy struct {
	MinLength                int      `json:"min_length"`
	RequiredCharacterClasses int      `json:"required_character_classes"`
	CharacterClassNames      []string `json:"character_class_names"`
}

// Public returns what the forms show.
func (p PasswordPolicy) Public() PublicPolicy {
	return PublicPolicy{
		MinLength:                p.minLength(),
		RequiredCharacterClasses: requiredClasses,
		CharacterClassNames:      []string{"lowercase", "uppercase", "digit", "symbol"},
	}
}

// Check returns nil for an acceptable password, otherwise an error with details.reason and a message that
// says what to change. The password itself is in neither.
func (p PasswordPolicy) Check(password string) *domain.Error {
	n := utf8.RuneCountInString(password)
	switch {
	case n < p.minLength():
		return refusePassword(ReasonPasswordTooShort, fmt.Sprintf("the password is too short: use at least %d characters", p.minLength()))
	case n > maxLength:
		return refusePassword(ReasonPasswordTooLong, fmt.Sprintf("the password is too long: use at most %d characters", maxLength))
	case n < simpleBelow && characterClasses(password) < requiredClasses:
		return refusePassword(ReasonPasswordTooSimple, fmt.Sprintf(
			"the password is too simple: use %d or more characters, or mix at least %d of lowercase, uppercase, digit and symbol",
			simpleBelow, requiredClasses))
	case isCommonPassword(password):
		return refusePassword(ReasonPasswordBreached,
			"the password is a well-known one or a simple variation of it: choose something that cannot be guessed from lists")
	}
	return nil
}

func (p PasswordPolicy) minLength() int {
	if p.MinLength <= 0 {
		return defaultMinLength
	}
	return p.MinLength
}

func refusePassword(reason, message string) *domain.Error {
	return &domain.Error{Code: domain.CodeValidation, Message: message, Details: map[string]any{"reason": reason}}
}

func characterClasses(s string) int {
	var lower, upper, digit, symbol int
	for _, r := range s {
		switch {
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			symbol = 1
		}
	}
	return lower + upper + digit + symbol
}

//go:embed common.txt
var commonText string

// commonWords are the stems of passwords that lead every published list, without their usual decorations.
var commonWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if w := strings.TrimSpace(line); w != "" && !strings.HasPrefix(w, "#") {
			words[w] = true
		}
	}
	return words
})

// keyRuns are rows and columns of keyboards, the alphabet and the digits; parts of them are what people type
// when a form asks for a long password.
var keyRuns = []string{
	"qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
	"abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "!@#$%^&*()", "poiuytrewq", "lkjhgfdsa", "mnbvcxz",
	"zyxwvutsrqponmlkjihgfedcba", "98765432109876543210", "1234qwer", "qwer1234", "asdf1234", "qwerasdfzxcv",
}

// maxDecoration is how many digits and symbols before and after a stem still count as its decoration: a year
// and a symbol or two. More of them add real strength, and such a password is let through.
const maxDecoration = 6

// isCommonPassword reports whether a password is a common stem (or two) with the decorations that cracking
// rules try first: capitals, look-alike characters, a year or counter and some symbols around it, repetition,
// keyboard runs.
func isCommonPassword(password string) bool {
	folded := strings.ToLower(password)
	if made(folded) || made(unleet(folded)) {
		return true
	}
	notLetter := func(r rune) bool { return !unicode.IsLetter(r) }
	// Both trims: a look-alike may be the first character of the stem ("$ecret") or a decoration before it.
	for _, stem := range []string{strings.TrimRightFunc(folded, notLetter), strings.TrimFunc(folded, notLetter)} {
		if stem == "" {
			continue
		}
		before, after, _ := strings.Cut(folded, stem)
		if weakDecoration(before) && weakDecoration(after) && (made(stem) || made(unleet(stem))) {
			return true
		}
	}
	return false
}

// weakDecoration reports whether what stands before or after a stem is short or itself a pattern.
func weakDecoration(s string) bool {
	if utf8.RuneCountInString(s) <= maxDecoration {
		return true
	}
	return isPatterned(strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
}

// made reports whether a stem is one common word, a keyboard run, or two such joined (with a separator or not).
func made(stem string) bool {
	words := commonWords()
	if words[stem] || isPatterned(stem) {
		return true
	}
	for i := 1; i < len(stem); i++ {
		head, tail := stem[:i], strings.TrimLeft(stem[i:], "-_. @!#1234567890")
		if (words[head] || isPatterned(head)) && (words[tail] || isPatterned(tail)) {
			return true
		}
	}
	return false
}

// isPatterned reports whether s is a piece of a keyboard run of four or more characters, or one short block
// (up to four characters, or such a run) repeated.
func isPatterned(s string) bool {
	if len(s) < 4 {
		return false
	}
	for _, run := range keyRuns {
		if strings.Contains(run, s) {
			return true
		}
	}
	for size := 1; size <= len(s)/2; size++ {
		block := s[:size]
		if len(s)%size == 0 && strings.Repeat(block, len(s)/size) == s && (size <= 4 || commonWords()[block] || isPatterned(block)) {
			return true
		}
	}
	return false
}

// unleet undoes the usual look-alike characters.
func unleet(s string) string { return leet().Replace(s) }

var leet = sync.OnceValue(func() *strings.Replacer {
	return strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")
})
