// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"crypto/hmac"
	"crypto/sha256"
)

// AuditOutboxKey is the key of the MACs on waiting audit records (store.Options.AuditKey). It is derived, so that
// a service that writes records cannot sign rows of the chain.
func AuditOutboxKey(chainKey []byte) []byte {
	mac := hmac.New(sha256.New, chainKey)
	mac.Write([]byte("z4j/audit-outbox/key/v1\x00"))
	return mac.Sum(nil)
}
