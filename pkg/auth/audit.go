// SPDX-License-Identifier: AGPL-3.0-or-later

package auth

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// AuditChainKey is the key the audit chain is signed with: the bytes of the dedicated secret when there is one,
// otherwise a key derived from the master secret, so that two secrets are enough to run.
func AuditChainKey(auditSecret string, master []byte) ([]byte, error) {
	if auditSecret != "" {
		return []byte(auditSecret), nil
	}
	key, err := hkdf.Key(sha256.New, master, nil, "z4j/audit-chain/key/v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the audit key: %w", err)
	}
	return key, nil
}

// AuditOutboxKey is the key of the MACs on waiting audit records (store.Options.AuditKey). It is derived, so that
// a service that writes records cannot sign rows of the chain.
func AuditOutboxKey(chainKey []byte) []byte {
	mac := hmac.New(sha256.New, chainKey)
	mac.Write([]byte("z4j/audit-outbox/key/v1\x00"))
	return mac.Sum(nil)
}
