// SPDX-License-Identifier: AGPL-3.0-or-later

package chain

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// DamageError says that the chain is not what the brain left: somebody changed it, restored an older copy, or the
// key is another one. Nothing may be appended until an operator has looked.
type DamageError struct {
	// Reason is for machines: state_missing, state_mac, state_key, state_invalid, head, installation.
	Reason  string
	Message string
}

// Error implements error.
func (e *DamageError) Error() string { return e.Message }

// Reasons of damage.
const (
	ReasonStateMissing = "state_missing"
	ReasonStateMAC     = "state_mac"
	ReasonStateKey     = "state_key"
	ReasonStateInvalid = "state_invalid"
	ReasonHead         = "head"
)

func damage(reason, format string, args ...any) *DamageError {
	return &DamageError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// statePayload is the canonical JSON the state's signature covers. There are no frozen rows here and nothing was
// retired: those members belong to the format and are empty.
func statePayload(st store.AuditState, counts map[string]int64) ([]byte, error) {
	return wire.AppendCanonicalValue(nil, map[string]any{
		"format_version": stateVersion, "generation": st.Generation.String(), "installation_id": st.InstallationID.String(),
		"state_key_id": st.StateKeyID, "head_row_hmac": text(st.HeadRowHMAC), "head_hmac_key_id": text(st.HeadHMACKeyID),
		"head_occurred_at": timeText(st.HeadOccurredAt), "head_id": stringer(st.HeadID), "prune_row_hmac": text(st.PruneRowHMAC),
		"prune_hmac_key_id": text(st.PruneHMACKeyID), "prune_occurred_at": timeText(st.PruneOccurredAt),
		"prune_id": stringer(st.PruneID), "active_row_count": st.ActiveRowCount, "active_key_counts": counts,
		"frozen_row_count": 0, "frozen_snapshot_digest": nil, "retired_recovery_binding": nil,
	})
}

// signState fills in the counts' text, the key id and the signature.
func (k Key) signState(st *store.AuditState, counts map[string]int64) error {
	st.StateKeyID = k.id
	encoded, err := wire.AppendCanonicalValue(nil, counts)
	if err != nil {
		return err
	}
	st.ActiveKeyCounts = string(encoded)
	payload, err := statePayload(*st, counts)
	if err != nil {
		return err
	}
	st.StateMAC = k.mac(domainState, payload)
	return nil
}

// openState authenticates a state and returns its counts of rows per key.
func (ks *Keys) openState(st store.AuditState) (counts map[string]int64, err error) {
	key, ok := ks.byID[st.StateKeyID]
	if !ok {
		return nil, damage(ReasonStateKey, "the audit chain's state is signed with key %s, which is not configured: put the former audit key back "+
			"(Z4J_AUDIT_CHAIN_SECRET, or Z4J_SECRET when it is derived)", st.StateKeyID)
	}
	if err := json.Unmarshal([]byte(st.ActiveKeyCounts), &counts); err != nil {
		return nil, damage(ReasonStateInvalid, "the audit chain's state cannot be read: its key counts are not an object")
	}
	payload, err := statePayload(st, counts)
	if err != nil {
		return nil, damage(ReasonStateInvalid, "the audit chain's state cannot be read: %v", err)
	}
	if !hmac.Equal([]byte(st.StateMAC), []byte(key.mac(domainState, payload))) {
		return nil, damage(ReasonStateMAC, "the audit chain's state does not match its signature: it was changed outside z4j. "+
			"Compare with a backup, run `z4j audit verify`, and restore the audit tables from the last good backup")
	}
	if err := coherent(st, counts); err != nil {
		return nil, damage(ReasonStateInvalid, "the audit chain's state contradicts itself: %v", err)
	}
	return counts, nil
}

// coherent checks the rules a state obeys by construction.
func coherent(st store.AuditState, counts map[string]int64) error {
	head := []bool{st.HeadRowHMAC == nil, st.HeadHMACKeyID == nil, st.HeadOccurredAt == nil, st.HeadID == nil}
	prune := []bool{st.PruneRowHMAC == nil, st.PruneHMACKeyID == nil, st.PruneOccurredAt == nil, st.PruneID == nil}
	for i := range head {
		if head[i] != head[0] || prune[i] != prune[0] {
			return errors.New("half a head or prune boundary")
		}
	}
	var sum int64
	for _, n := range counts {
		if n <= 0 {
			return errors.New("a key count that is not positive")
		}
		sum += n
	}
	switch {
	case sum != st.ActiveRowCount:
		return fmt.Errorf("%d rows by key, %d in total", sum, st.ActiveRowCount)
	case len(counts) > maxKeys:
		return errors.New("too many keys")
	case st.ActiveRowCount > 0 && head[0]:
		return errors.New("rows without a head")
	case st.ActiveRowCount == 0 && !head[0] && (prune[0] || *st.HeadRowHMAC != *st.PruneRowHMAC || *st.HeadID != *st.PruneID):
		return errors.New("a head that is not there")
	}
	return nil
}
