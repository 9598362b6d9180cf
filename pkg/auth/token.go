// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
)

// tokenBytes is the entropy of every token handed out.
const tokenBytes = 32

// APIKeyPrefix begins every API key, so that scanners find leaked ones.
const APIKeyPrefix = "z4k_"

// TokenSalt separates the uses of the master secret: a hash of one kind never equals one of another.
type TokenSalt string

// Salts of the tokens stored as keyed hashes.
const (
	SaltSetupToken TokenSalt = "z4j-setup-token-v1"
	SaltAgentToken TokenSalt = "z4j-agent-token-v1"
	SaltAPIKey     TokenSalt = "z4j-api-key-v1"
)

// NewToken returns 32 random bytes as 43 characters of unpadded URL-safe base64.
func NewToken() string { return base64.RawURLEncoding.EncodeToString(randomBytes(tokenBytes)) }

// NewAPIKey returns a fresh API key.
func NewAPIKey() string { return APIKeyPrefix + NewToken() }

// Keyring hashes tokens with the master secret, and with the ones it replaced for looking up old hashes.
type Keyring struct {
	masters [][]byte
}

// NewKeyring takes the current master secret and the previous ones, newest first. The bytes are used as they
// stand in the setting, not decoded.
func NewKeyring(current []byte, previous ...[]byte) *Keyring {
	return &Keyring{masters: append([][]byte{current}, previous...)}
}

// Hash is what gets stored for a new token: hex HMAC-SHA256, keyed with the current master followed by the salt.
func (k *Keyring) Hash(salt TokenSalt, token string) string {
	return tokenHash(k.masters[0], salt, token)
}

// Candidates lists the hashes the token may be stored under, the current master's first. Look a bearer token up
// by all of them, so that rotating the master secret does not cut every agent off.
func (k *Keyring) Candidates(salt TokenSalt, token string) []string {
	out := make([]string, len(k.masters))
	for i, m := range k.masters {
		out[i] = tokenHash(m, salt, token)
	}
	return out
}

// Matches reports in constant time whether a stored hash belongs to the token under any master.
func (k *Keyring) Matches(salt TokenSalt, token, stored string) bool {
	found := 0
	for _, h := range k.Candidates(salt, token) {
		found |= subtle.ConstantTimeCompare([]byte(h), []byte(stored))
	}
	return found == 1
}

func tokenHash(master []byte, salt TokenSalt, token string) string {
	key := make([]byte, 0, len(master)+len(salt))
	key = append(append(key, master...), salt...)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}

// Equal compares two secrets in constant time. Empty never equals anything, not even empty.
func Equal(a, b string) bool {
	return a != "" && b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
