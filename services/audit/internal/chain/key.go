// SPDX-License-Identifier: AGPL-3.0-or-later

// Package chain is the audit chain itself: how rows and the chain's state are signed, how rows are appended, and
// how the whole is verified. Every row holds the signature of the one before it; a signed state holds the last
// signature and the number of rows, so that neither a change in the middle nor a cut at the end goes unnoticed.
package chain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// Domains of the signatures: a MAC of one kind never passes for another.
const (
	domainKeyID = "z4j/audit-chain/key-id/v1\x00"
	domainRow   = "z4j/audit-chain/row/v2\x00"
	domainState = "z4j/audit-chain/state/v1\x00"
)

const (
	rowVersion   = 2
	stateVersion = 1
	// maxKeys is how many audit keys, the current one included, may be configured.
	maxKeys = 32
	// timeLayout always has six decimals and a numeric zone; rows are in UTC.
	timeLayout = "2006-01-02T15:04:05.000000-07:00"
)

// Key signs rows and states.
type Key struct {
	id     string
	secret []byte
}

func newKey(secret []byte) Key {
	k := Key{secret: secret}
	k.id = k.mac(domainKeyID, nil)
	return k
}

// ID names the key without revealing it.
func (k Key) ID() string { return k.id }

func (k Key) mac(domain string, message []byte) string {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(domain))
	mac.Write(message)
	return hex.EncodeToString(mac.Sum(nil))
}

// Keys are the audit keys: one that signs, and older ones that still verify.
type Keys struct {
	current Key
	byID    map[string]Key
}

// NewKeys takes the current secret and the previous ones, as the bytes that stand in the settings.
func NewKeys(current []byte, previous ...[]byte) (*Keys, error) {
	ks := &Keys{byID: make(map[string]Key)}
	for _, secret := range append([][]byte{current}, previous...) {
		if len(secret) == 0 {
			return nil, errors.New("an audit key is empty: set Z4J_AUDIT_CHAIN_SECRET, or Z4J_SECRET to derive it from")
		}
		k := newKey(secret)
		if _, dup := ks.byID[k.id]; dup {
			return nil, errors.New("an audit key is configured twice: remove the repetition from Z4J_AUDIT_CHAIN_PREVIOUS_SECRETS")
		}
		ks.byID[k.id] = k
	}
	if len(ks.byID) > maxKeys {
		return nil, fmt.Errorf("%d audit keys are configured, at most %d are allowed: remove the oldest from Z4J_AUDIT_CHAIN_PREVIOUS_SECRETS",
			len(ks.byID), maxKeys)
	}
	ks.current = newKey(current)
	return ks, nil
}

// Current is the key that signs.
func (ks *Keys) Current() Key { return ks.current }

// signRow fills in the row's format version, key id and signature.
func (k Key) signRow(r *store.AuditRow) error {
	r.HMACVersion, r.HMACKeyID = rowVersion, k.id
	payload, err := rowPayload(*r)
	if err != nil {
		return err
	}
	r.RowHMAC = k.mac(domainRow, payload)
	return nil
}

// checkRow says what is wrong with a row's own signature, "" when nothing is.
func (ks *Keys) checkRow(r store.AuditRow) string {
	if r.HMACVersion != rowVersion {
		return fmt.Sprintf("active row has unknown signature format %d", r.HMACVersion)
	}
	key, ok := ks.byID[r.HMACKeyID]
	if !ok {
		return "active row is signed with a key that is not configured: " + r.HMACKeyID
	}
	payload, err := rowPayload(r)
	if err != nil {
		return "active row cannot be read: " + err.Error()
	}
	if !hmac.Equal([]byte(r.RowHMAC), []byte(key.mac(domainRow, payload))) {
		return "active row HMAC mismatch"
	}
	return ""
}

// rowPayload is the canonical JSON a row's signature covers.
func rowPayload(r store.AuditRow) ([]byte, error) {
	return wire.AppendCanonicalValue(nil, map[string]any{
		"version": r.HMACVersion, "id": r.ID.String(), "action": r.Action, "target_type": r.TargetType,
		"target_id": text(r.TargetID), "result": r.Result, "outcome": text(r.Outcome), "event_id": stringer(r.EventID),
		"user_id": stringer(r.UserID), "api_key_id": stringer(r.ApiKeyID), "project_id": stringer(r.ProjectID),
		"source_ip": text(r.SourceIP), "user_agent": text(r.UserAgent), "metadata": json.RawMessage(r.Metadata),
		"occurred_at": timeText(&r.OccurredAt), "prev_row_hmac": text(r.PrevRowHMAC),
		"hmac_key_id": r.HMACKeyID, "chain_generation": r.ChainGeneration.String(),
	})
}

// text and stringer turn what may be absent into null or its text.
func text(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func stringer[T fmt.Stringer](v *T) any {
	if v == nil {
		return nil
	}
	return (*v).String()
}

func timeText(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(timeLayout)
}
