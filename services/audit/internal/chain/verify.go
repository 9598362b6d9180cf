// SPDX-License-Identifier: AGPL-3.0-or-later

package chain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
)

// Results of comparing with a head that was kept outside the database.
const (
	HeadCurrent      = "CURRENT_MATCH"
	HeadPrune        = "PRUNE_MATCH"
	HeadCurrentPrune = "CURRENT_PRUNE_MATCH"
	HeadAncestor     = "VERIFIED_ANCESTOR"
	HeadInvalid      = "INVALID"
	HeadUnprovable   = "UNPROVABLE"
)

const (
	// maxFindings is how many findings are listed; the rest is counted.
	maxFindings = 100
	defaultPage = 1000
	maxPage     = 5000
	// maxRounds bounds how often verification follows a chain that grows under it.
	maxRounds = 1000
)

// Head names one row of the chain well enough to prove later that it was there.
type Head struct {
	Generation  uuid.UUID `json:"generation"`
	HMACKeyID   string    `json:"hmac_key_id"`
	HMACVersion int64     `json:"hmac_version"`
	ID          uuid.UUID `json:"id"`
	OccurredAt  time.Time `json:"occurred_at"`
	RowHMAC     string    `json:"row_hmac"`
}

// Finding is one thing that is not as it should be. RowID is zero for what concerns the whole chain.
type Finding struct {
	RowID   uuid.UUID `json:"row_id,omitzero"`
	Message string    `json:"message"`
}

// String is the finding in one line.
func (f Finding) String() string {
	if f.RowID == uuid.Nil {
		return f.Message
	}
	return f.RowID.String() + " " + f.Message
}

// Report is the result of a verification.
type Report struct {
	// Started is false for a database whose chain was never begun.
	Started bool `json:"started"`
	// Rows is how many rows were read and checked.
	Rows int64 `json:"rows"`
	// Refused says why the chain could not be checked at all, "" when it could.
	Refused  string    `json:"refused,omitempty"`
	Findings []Finding `json:"findings"`
	// Total counts all findings, the listed ones included.
	Total int `json:"findings_total"`
	// KnownHead is the result of the comparison asked for, "" without one.
	KnownHead string `json:"known_head,omitempty"`
	// Head is the signed head, nil when there is none.
	Head *Head `json:"head,omitempty"`
}

// Clean reports whether nothing is wrong.
func (r Report) Clean() bool {
	return r.Refused == "" && r.Total == 0 && r.KnownHead != HeadInvalid && r.KnownHead != HeadUnprovable
}

func (r *Report) add(id uuid.UUID, format string, args ...any) {
	r.Total++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, Finding{RowID: id, Message: fmt.Sprintf(format, args...)})
	}
}

// VerifyOptions tunes Verify.
type VerifyOptions struct {
	// Page is how many rows are read at once, 0 for 1000, at most 5000.
	Page int64
	// KnownHead is a head kept outside the database, as JSON; only row_hmac is mandatory. Empty for none.
	KnownHead string
}

// Verify reads the whole chain and checks it: the state's signature, each row's signature, link, order and
// generation, the counts, the end, and the guards on the table. It takes no lock and no long transaction; rows
// appended meanwhile are followed, so appends and verification do not wait for each other.
func Verify(ctx context.Context, s *store.Store, keys *Keys, o VerifyOptions) (Report, error) {
	v := verifier{store: s, keys: keys, page: min(cmp.Or(o.Page, defaultPage), maxPage)}
	v.report.Findings = []Finding{}
	if o.KnownHead != "" && !v.parseKnown(o.KnownHead) {
		v.report.KnownHead = HeadInvalid
	}
	err := v.run(ctx)
	if d, ok := errors.AsType[*DamageError](err); ok {
		v.report.Refused, err = d.Message, nil
		if v.known != nil {
			v.report.KnownHead = HeadUnprovable
		}
	}
	return v.report, err
}

type verifier struct {
	store  *store.Store
	keys   *Keys
	page   int64
	report Report

	known    *knownHead
	ancestor bool

	seq    int64
	prev   link
	counts map[string]int64
	last   *store.AuditRow
}

// link is what the next row must follow.
type link struct {
	hmac *string
	at   *time.Time
	id   *uuid.UUID
}

type knownHead struct {
	RowHMAC     string     `json:"row_hmac"`
	Generation  *uuid.UUID `json:"generation"`
	ID          *uuid.UUID `json:"id"`
	HMACKeyID   *string    `json:"hmac_key_id"`
	HMACVersion *int64     `json:"hmac_version"`
	OccurredAt  *time.Time `json:"occurred_at"`
}

func (v *verifier) parseKnown(text string) bool {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	var k knownHead
	if err := dec.Decode(&k); err != nil || dec.More() || len(k.RowHMAC) != 64 {
		return false
	}
	v.known = &k
	return true
}

// agrees reports whether what the known head says besides the signature fits the row.
func (k *knownHead) agrees(r store.AuditRow) bool {
	return (k.Generation == nil || *k.Generation == r.ChainGeneration) && (k.ID == nil || *k.ID == r.ID) &&
		(k.HMACKeyID == nil || *k.HMACKeyID == r.HMACKeyID) && (k.HMACVersion == nil || *k.HMACVersion == r.HMACVersion) &&
		(k.OccurredAt == nil || k.OccurredAt.Equal(r.OccurredAt))
}

func (v *verifier) run(ctx context.Context) error {
	missing, err := v.store.MissingAuditTriggers(ctx)
	if err != nil {
		return err
	}
	for _, name := range missing {
		v.report.add(uuid.Nil, "the append-only trigger %s on audit_log is missing or disabled", name)
	}
	st, counts, err := v.state(ctx)
	if errors.Is(err, ErrNotStarted) {
		v.concludeKnown(nil)
		return nil
	}
	if err != nil {
		return err
	}
	v.report.Started = true
	v.restart(st)
	for range maxRounds {
		if err := v.readRows(ctx, st.Generation); err != nil {
			return err
		}
		totals, err := v.store.AuditTotals(ctx)
		if err != nil {
			return err
		}
		if totals.StateMAC == st.StateMAC {
			v.conclude(st, counts, totals)
			return nil
		}
		next, nextCounts, err := v.state(ctx)
		if errors.Is(err, ErrNotStarted) {
			return damage(ReasonStateMissing, "the audit chain was removed while it was being verified")
		}
		if err != nil {
			return err
		}
		if !sameID(next.PruneID, st.PruneID) || next.Generation != st.Generation {
			// Retention took rows from the front: what was counted is no longer what is there.
			v.report.Findings, v.report.Total = v.report.Findings[:0], 0
			for _, name := range missing {
				v.report.add(uuid.Nil, "the append-only trigger %s on audit_log is missing or disabled", name)
			}
			v.restart(next)
		}
		st, counts = next, nextCounts
	}
	return errors.New("the audit chain keeps changing faster than it can be verified: stop the brain and verify again")
}

// state reads and authenticates the state.
func (v *verifier) state(ctx context.Context) (store.AuditState, map[string]int64, error) {
	st, err := v.store.AuditState(ctx)
	if errors.Is(err, domain.ErrNotFound) {
		started, err := v.store.AuditStarted(ctx)
		if err != nil {
			return st, nil, err
		}
		rows, err := v.store.AuditRowsAfter(ctx, 0, 1)
		if err != nil {
			return st, nil, err
		}
		if started || len(rows) > 0 {
			return st, nil, damage(ReasonStateMissing, "the audit chain's state is missing: restore the audit tables from the last good backup")
		}
		return st, nil, ErrNotStarted
	}
	if err != nil {
		return st, nil, fmt.Errorf("read the audit state: %w", err)
	}
	counts, err := v.keys.openState(st)
	return st, counts, err
}

func (v *verifier) restart(st store.AuditState) {
	v.seq, v.last, v.counts, v.report.Rows, v.ancestor = 0, nil, map[string]int64{}, 0, false
	v.prev = link{hmac: st.PruneRowHMAC, at: st.PruneOccurredAt, id: st.PruneID}
}

func (v *verifier) readRows(ctx context.Context, generation uuid.UUID) error {
	for {
		rows, err := v.store.AuditRowsAfter(ctx, v.seq, v.page)
		if err != nil {
			return err
		}
		for i := range rows {
			v.check(rows[i], generation)
		}
		if int64(len(rows)) < v.page {
			return nil
		}
	}
}

func (v *verifier) check(r store.AuditRow, generation uuid.UUID) {
	if r.ChainGeneration != generation {
		v.report.add(r.ID, "active row belongs to another generation (%s)", r.ChainGeneration)
	}
	if !sameText(r.PrevRowHMAC, v.prev.hmac) {
		v.report.add(r.ID, "active row chain link mismatch: it does not follow the row before it")
	}
	if v.prev.at != nil && (r.OccurredAt.Before(*v.prev.at) ||
		r.OccurredAt.Equal(*v.prev.at) && bytes.Compare(r.ID[:], v.prev.id[:]) <= 0) {
		v.report.add(r.ID, "active row is not later than the row before it")
	}
	if problem := v.keys.checkRow(r); problem != "" {
		v.report.add(r.ID, "%s", problem)
	} else if v.known != nil && r.RowHMAC == v.known.RowHMAC && v.known.agrees(r) {
		v.ancestor = true
	}
	v.report.Rows++
	v.counts[r.HMACKeyID]++
	v.seq, v.prev, v.last = r.Seq, link{hmac: &r.RowHMAC, at: &r.OccurredAt, id: &r.ID}, &r
}

func (v *verifier) conclude(st store.AuditState, counts map[string]int64, totals store.AuditTotals) {
	if totals.States != 1 {
		v.report.add(uuid.Nil, "the audit chain's state is duplicated")
	}
	if totals.RowCount != st.ActiveRowCount {
		v.report.add(uuid.Nil, "active row count is %d, the signed state says %d", totals.RowCount, st.ActiveRowCount)
	}
	ids := make([]string, 0, len(counts))
	for id := range counts {
		ids = append(ids, id)
	}
	for id := range v.counts {
		if _, ok := counts[id]; !ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if v.counts[id] != counts[id] {
			v.report.add(uuid.Nil, "key %s signed %d rows, the signed state says %d", id, v.counts[id], counts[id])
		}
	}
	switch {
	case st.HeadID == nil || st.ActiveRowCount == 0:
		if v.last != nil {
			v.report.add(v.last.ID, "the log has rows, the signed state says it is empty")
		}
	case v.last == nil:
		v.report.add(*st.HeadID, "the signed head has no row")
	case v.last.RowHMAC != *st.HeadRowHMAC || v.last.ID != *st.HeadID || !v.last.OccurredAt.Equal(*st.HeadOccurredAt):
		v.report.add(v.last.ID, "the last row is not the signed head %s", *st.HeadID)
	}
	if st.HeadID != nil {
		v.report.Head = &Head{
			Generation: st.Generation, HMACKeyID: *st.HeadHMACKeyID, HMACVersion: rowVersion, ID: *st.HeadID,
			OccurredAt: *st.HeadOccurredAt, RowHMAC: *st.HeadRowHMAC,
		}
	}
	v.concludeKnown(&st)
}

// concludeKnown compares with the head that was kept outside.
func (v *verifier) concludeKnown(st *store.AuditState) {
	if v.known == nil {
		return
	}
	var isHead, isPrune bool
	if st != nil {
		isHead = st.HeadRowHMAC != nil && *st.HeadRowHMAC == v.known.RowHMAC
		isPrune = st.PruneRowHMAC != nil && *st.PruneRowHMAC == v.known.RowHMAC
	}
	switch {
	case isHead && isPrune:
		v.report.KnownHead = HeadCurrentPrune
	case isPrune:
		v.report.KnownHead = HeadPrune
	case isHead && v.ancestor:
		v.report.KnownHead = HeadCurrent
	case isHead:
		// The signature is the head's, but what else the envelope says is not.
		v.report.KnownHead = HeadInvalid
	case v.ancestor:
		v.report.KnownHead = HeadAncestor
	default:
		v.report.KnownHead = HeadUnprovable
	}
}

func sameText(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameID(a, b *uuid.UUID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
