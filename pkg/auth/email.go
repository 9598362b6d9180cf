// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/z4jdev/z4j/pkg/domain"
)

const (
	maxEmail     = 254
	maxLocalPart = 64
)

// CanonicalEmail returns the form an address is stored and looked up in: NFKC, case-folded, the domain in
// ASCII (IDNA). Two spellings that mail systems treat alike come out equal. Reserved private top-level domains
// (.local, .test, .internal ...) and localhost are accepted: people run z4j inside such networks.
func CanonicalEmail(address string) (string, error) {
	bad := func(what string) (string, error) {
		return "", &domain.Error{
			Code: domain.CodeValidation, Message: "the e-mail address is not valid: " + what + "; write it like name@example.com",
			Details: map[string]any{"field": "email"},
		}
	}
	if !utf8.ValidString(address) {
		return bad("it is not valid UTF-8")
	}
	s := norm.NFKC.String(strings.TrimSpace(address))
	if len(s) > maxEmail {
		return bad("it is longer than 254 bytes")
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return bad("it has no @")
	}
	local, host := s[:at], s[at+1:]
	if local == "" || len(local) > maxLocalPart {
		return bad("the part before the @ must have 1 to 64 characters")
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return bad("the part before the @ has a misplaced dot")
	}
	for _, r := range local {
		if !localRune(r) {
			return bad("the part before the @ has a character that is not allowed there")
		}
	}
	// Folding may undo the normal form, so normalise again: the result must be a fixed point.
	local = norm.NFKC.String(cases.Fold().String(local))
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.ValidateLabels(true), idna.StrictDomainName(true),
		idna.VerifyDNSLength(true), idna.BidiRule())
	host, err := profile.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || host == "" || strings.HasSuffix(host, ".") {
		return bad("the part after the @ is not a domain")
	}
	if again, err := profile.ToASCII(host); err != nil || again != host {
		// An encoded label that decodes to something refused: it would have a second canonical form.
		return bad("the part after the @ is not a domain")
	}
	if !strings.Contains(host, ".") && host != "localhost" {
		return bad("the domain has no dot")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return bad("the part after the @ is an address, not a domain")
	}
	out := local + "@" + host
	if len(out) > maxEmail {
		return bad("it is longer than 254 bytes")
	}
	return out, nil
}

// localRune allows RFC 5322 atoms with dots, and letters and digits of any script; quoted local parts are not accepted.
func localRune(r rune) bool {
	if r < 0x80 {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}
