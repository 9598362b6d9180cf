// SPDX-License-Identifier: AGPL-3.0-or-later

package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// ActionStarted is the action of a generation's first row.
const ActionStarted = "audit.chain_generation_started"

// ErrNotStarted says that this database has no chain yet.
var ErrNotStarted = errors.New("the audit chain has not been started")

// Writer appends to the chain inside one transaction. Rows become part of the chain with Close.
type Writer struct {
	tx     *store.Tx
	keys   *Keys
	now    time.Time
	state  store.AuditState
	oldMAC string
	counts map[string]int64
}

// Open authenticates the chain's state and end inside a transaction of InAuditTx. It returns ErrNotStarted for a
// database without a chain and a *DamageError when there is one that cannot be continued.
//
// It compares the physical end of the log with the signed head but does not count the rows: that takes time in
// proportion to the log, and Verify does it.
func Open(ctx context.Context, tx *store.Tx, keys *Keys, now time.Time) (*Writer, error) {
	last, lastErr := tx.LastAuditRow(ctx)
	if lastErr != nil && !errors.Is(lastErr, domain.ErrNotFound) {
		return nil, fmt.Errorf("read the end of the audit log: %w", lastErr)
	}
	st, err := tx.AuditState(ctx)
	if errors.Is(err, domain.ErrNotFound) {
		started, err := tx.AuditStarted(ctx)
		if err != nil {
			return nil, err
		}
		if started || lastErr == nil {
			return nil, damage(ReasonStateMissing, "the audit chain's state is missing although the chain was started: "+
				"restore the audit tables from the last good backup")
		}
		return nil, ErrNotStarted
	}
	if err != nil {
		return nil, fmt.Errorf("read the audit state: %w", err)
	}
	counts, err := keys.openState(st)
	if err != nil {
		return nil, err
	}
	if st.StateKeyID != keys.current.id {
		return nil, damage(ReasonStateKey, "the audit chain is continued with key %s, but the configured key is %s: put the former audit key back",
			st.StateKeyID, keys.current.id)
	}
	switch {
	case st.ActiveRowCount == 0:
		if lastErr == nil {
			return nil, damage(ReasonHead, "the audit log holds rows although its signed state says it is empty: run `z4j audit verify`")
		}
	case lastErr != nil:
		return nil, damage(ReasonHead, "the audit log is empty although its signed state says it has %d rows: run `z4j audit verify`", st.ActiveRowCount)
	case last.RowHMAC != *st.HeadRowHMAC || last.ID != *st.HeadID || last.Seq != st.HeadSeq || !last.OccurredAt.Equal(*st.HeadOccurredAt):
		return nil, damage(ReasonHead, "the last row of the audit log (%s) is not the signed head (%s): run `z4j audit verify`", last.ID, *st.HeadID)
	default:
		if problem := keys.checkRow(last); problem != "" {
			return nil, damage(ReasonHead, "the last row of the audit log (%s): %s: run `z4j audit verify`", last.ID, problem)
		}
	}
	return &Writer{tx: tx, keys: keys, now: domain.Micros(now), state: st, oldMAC: st.StateMAC, counts: counts}, nil
}

// Start begins the first generation of a chain and leaves it open for appending.
func Start(ctx context.Context, tx *store.Tx, keys *Keys, installation uuid.UUID, now time.Time) (*Writer, error) {
	w := &Writer{
		tx: tx, keys: keys, now: domain.Micros(now), counts: map[string]int64{},
		state: store.AuditState{Singleton: 1, Generation: uuid.New(), InstallationID: installation},
	}
	if err := tx.MarkAuditStarted(ctx); err != nil {
		return nil, err
	}
	return w, w.Append(ctx, uuid.New(), domain.AuditEntry{
		Action: ActionStarted, TargetType: "audit_chain", TargetID: w.state.Generation.String(), Result: domain.ResultSuccess,
		Metadata: map[string]any{
			"activation": "fresh", "frozen_row_count": 0, "frozen_snapshot_digest": nil, "known_head": nil,
		},
	}.Normalized(w.now))
}

// Append signs the entry and puts it at the end. The time is moved forward when it is not after the head's, and
// back when it lies in the future: rows are in the order of their times, and one replica with a fast clock must
// not push all later rows ahead.
func (w *Writer) Append(ctx context.Context, id uuid.UUID, e domain.AuditEntry) error {
	metadata, err := wire.AppendCanonicalValue(nil, e.Metadata)
	if err != nil {
		return fmt.Errorf("metadata of %s: %w", e.Action, err)
	}
	at := domain.Micros(e.OccurredAt)
	if at.After(w.now) {
		at = w.now
	}
	if head := w.state.HeadOccurredAt; head != nil && !at.After(*head) {
		at = head.Add(time.Microsecond)
	}
	row := store.AuditRow{
		Seq: w.state.HeadSeq + 1, ID: id, ProjectID: optionalID(e.ProjectUID), UserID: optionalID(e.UserID),
		ApiKeyID: optionalID(e.APIKeyID), Action: clean(e.Action), TargetType: clean(e.TargetType), TargetID: optional(e.TargetID),
		Result: clean(e.Result), Outcome: optional(e.Outcome), Metadata: string(metadata), SourceIP: optional(e.SourceIP),
		UserAgent: optional(e.UserAgent), OccurredAt: at, ChainGeneration: w.state.Generation, PrevRowHMAC: w.state.HeadRowHMAC,
	}
	if err := w.keys.current.signRow(&row); err != nil {
		return fmt.Errorf("sign %s: %w", e.Action, err)
	}
	if err := w.tx.AppendAuditRow(ctx, row); err != nil {
		return err
	}
	w.state.HeadSeq = row.Seq
	w.state.HeadRowHMAC, w.state.HeadHMACKeyID = &row.RowHMAC, &row.HMACKeyID
	w.state.HeadOccurredAt, w.state.HeadID = &row.OccurredAt, &row.ID
	w.state.ActiveRowCount++
	w.counts[row.HMACKeyID]++
	return nil
}

// Close signs the new state and writes it. The transaction's commit makes rows and state one.
func (w *Writer) Close(ctx context.Context) error {
	if err := w.keys.current.signState(&w.state, maps.Clone(w.counts)); err != nil {
		return fmt.Errorf("sign the audit state: %w", err)
	}
	if w.oldMAC == "" {
		return w.tx.StartAuditState(ctx, w.state)
	}
	if w.oldMAC == w.state.StateMAC {
		return nil
	}
	return w.tx.ReplaceAuditState(ctx, w.state, w.oldMAC)
}

func optionalID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	s = clean(s)
	return &s
}

// clean replaces NUL, which PostgreSQL's text cannot hold.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") }
