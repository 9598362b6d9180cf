// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"
)

// Lengths of the two halves of a session cookie in base64url.
const (
	sessionTokenLen = 43
	sessionMACLen   = 43
)

// sessionDomain separates this use of the session secret from any other.
const sessionDomain = "z4j-session-v1"

// Sessions mints and checks session cookies. A cookie is an opaque random token with a signature; the database
// holds only the token's SHA-256. The signature is there so that made-up cookies never reach the database.
type Sessions struct {
	keys [][]byte
}

// NewSessions takes the current session secret and the previous ones that are still accepted.
func NewSessions(current []byte, previous ...[]byte) *Sessions {
	s := &Sessions{}
	for _, secret := range append([][]byte{current}, previous...) {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(sessionDomain + "\x00key"))
		s.keys = append(s.keys, mac.Sum(nil))
	}
	return s
}

// Mint returns a new cookie value and the hash to store for it.
func (s *Sessions) Mint() (cookie, hash string) {
	token := NewToken()
	return token + "." + base64.RawURLEncoding.EncodeToString(s.sign(s.keys[0], token)), sessionHash(token)
}

// Parse returns the hash to look a cookie value up by; ok is false for anything this brain did not sign.
func (s *Sessions) Parse(cookie string) (hash string, ok bool) {
	if len(cookie) != sessionTokenLen+1+sessionMACLen || cookie[sessionTokenLen] != '.' {
		return "", false
	}
	token := cookie[:sessionTokenLen]
	mac, err := base64.RawURLEncoding.Strict().DecodeString(cookie[sessionTokenLen+1:])
	if err != nil {
		return "", false
	}
	for _, key := range s.keys {
		if hmac.Equal(mac, s.sign(key, token)) {
			return sessionHash(token), true
		}
	}
	return "", false
}

func (s *Sessions) sign(key []byte, token string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sessionDomain + "\x00"))
	mac.Write([]byte(token))
	return mac.Sum(nil)
}

func sessionHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Lifetimes bound a session. The zero value is the default: 7 days at most, 30 minutes idle, 30 days without
// an idle limit when the user asked to be remembered.
type Lifetimes struct {
	Absolute time.Duration
	Idle     time.Duration
	Remember time.Duration
}

func (l Lifetimes) absolute() time.Duration { return orDefault(l.Absolute, 7*24*time.Hour) }
func (l Lifetimes) idle() time.Duration     { return orDefault(l.Idle, 30*time.Minute) }
func (l Lifetimes) remember() time.Duration { return orDefault(l.Remember, 30*24*time.Hour) }

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// MaxAge is how long a new session and its cookies last.
func (l Lifetimes) MaxAge(remember bool) time.Duration {
	if remember {
		return l.remember()
	}
	return l.absolute()
}

// SessionState is what decides whether a stored session is alive.
type SessionState struct {
	IssuedAt          time.Time
	ExpiresAt         time.Time
	LastSeenAt        time.Time
	RevokedAt         time.Time // zero when not revoked
	Remember          bool
	UserActive        bool
	PasswordChangedAt time.Time // zero when never changed
}

// Reasons a session is dead for.
const (
	SessionRevoked         = "revoked"
	SessionExpired         = "expired"
	SessionIdle            = "idle"
	SessionUserInactive    = "user_inactive"
	SessionPasswordChanged = "password_changed"
)

// Alive reports whether the session may still be used, and why not.
func (l Lifetimes) Alive(s SessionState, now time.Time) (ok bool, reason string) {
	switch {
	case !s.RevokedAt.IsZero():
		return false, SessionRevoked
	case !now.Before(s.ExpiresAt) || now.Sub(s.IssuedAt) >= l.MaxAge(s.Remember):
		return false, SessionExpired
	case !s.Remember && now.Sub(s.LastSeenAt) >= l.idle():
		return false, SessionIdle
	case !s.UserActive:
		return false, SessionUserInactive
	case !s.PasswordChangedAt.IsZero() && s.IssuedAt.Add(time.Second).Before(s.PasswordChangedAt):
		// A second of grace: the session issued together with the change is the one that stays.
		return false, SessionPasswordChanged
	}
	return true, ""
}

// TouchDue reports whether last_seen_at should be written again: at most once a minute, and often enough that
// a short idle limit is not passed by somebody who is there.
func (l Lifetimes) TouchDue(lastSeen, now time.Time) bool {
	return now.Sub(lastSeen) >= min(time.Minute, l.idle()/2)
}

// CSRFHeader carries the session's CSRF token on every call that changes something.
const CSRFHeader = "X-CSRF-Token"

// CSRFMatches compares the request's CSRF header with the session's token in constant time.
func CSRFMatches(r *http.Request, sessionToken string) bool {
	return Equal(r.Header.Get(CSRFHeader), sessionToken)
}

// NeedsCSRF reports whether a method changes something and so needs the CSRF header.
func NeedsCSRF(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}
