// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// Row types of the audit log.
type (
	// AuditRow is one signed row of the chain. Seq orders it; it is the database's own number and is not signed.
	AuditRow = db.AuditLog
	// AuditState is the signed head of the chain.
	AuditState = db.AuditState
	// AuditTotals is what the log's tables held at one moment.
	AuditTotals = db.AuditTotalsRow
	// AuditRefusal counts refusals of one kind from one address in one minute.
	AuditRefusal = db.AuditRefusal
)

// ErrAuditMoved says that another writer changed the chain's state since it was read.
var ErrAuditMoved = errors.New("the audit chain was changed by another writer")

// maxAuditRecord bounds one waiting record; larger metadata is replaced by a note of its size.
const maxAuditRecord = 64 << 10

// auditRecord is the form an entry waits in. Its id becomes the row's id, so that a waiting row that somebody
// copies cannot enter the chain twice.
type auditRecord struct {
	ID         uuid.UUID       `json:"id"`
	Action     string          `json:"action"`
	TargetType string          `json:"target_type"`
	TargetID   string          `json:"target_id,omitempty"`
	Result     string          `json:"result"`
	Outcome    string          `json:"outcome"`
	ProjectUID uuid.UUID       `json:"project_id,omitzero"`
	UserID     uuid.UUID       `json:"user_id,omitzero"`
	APIKeyID   uuid.UUID       `json:"api_key_id,omitzero"`
	SourceIP   string          `json:"source_ip,omitempty"`
	UserAgent  string          `json:"user_agent,omitempty"`
	Metadata   json.RawMessage `json:"metadata"`
	OccurredAt time.Time       `json:"occurred_at"`
}

// Audit records what the transaction does. The record waits in the outbox, signed, until the audit service
// appends it to the chain; it commits or rolls back together with the change it tells of.
func (tx *Tx) Audit(ctx context.Context, e domain.AuditEntry) error {
	if len(tx.s.auditKey) == 0 {
		return errors.New("audit: the store was opened without an audit key")
	}
	record, err := encodeAuditRecord(uuid.New(), e.Normalized(tx.s.Now()))
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	err = tx.s.q.InsertAuditOutbox(ctx, tx.db, db.InsertAuditOutboxParams{
		Record: record, MAC: outboxMAC(tx.s.auditKey, record), Now: tx.s.Now(),
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, tx.s.err(err))
	}
	return nil
}

func encodeAuditRecord(id uuid.UUID, e domain.AuditEntry) (string, error) {
	metadata, err := json.Marshal(e.Metadata)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	if len(metadata) > maxAuditRecord {
		metadata = fmt.Appendf(nil, `{"metadata_dropped":true,"metadata_bytes":%d}`, len(metadata))
	}
	if ip, err := netip.ParseAddr(e.SourceIP); err == nil {
		// One spelling for each address: IPv6 compressed, IPv4 never inside IPv6, no zone.
		e.SourceIP = ip.Unmap().WithZone("").String()
	}
	record, err := json.Marshal(auditRecord{
		ID: id, Action: e.Action, TargetType: e.TargetType, TargetID: e.TargetID, Result: e.Result, Outcome: e.Outcome,
		ProjectUID: e.ProjectUID, UserID: e.UserID, APIKeyID: e.APIKeyID, SourceIP: e.SourceIP, UserAgent: e.UserAgent,
		Metadata: metadata, OccurredAt: e.OccurredAt,
	})
	return string(record), err
}

func outboxMAC(key []byte, record string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("z4j/audit-outbox/row/v1\x00"))
	mac.Write([]byte(record))
	return hex.EncodeToString(mac.Sum(nil))
}

// OutboxRow is a record waiting for the chain.
type OutboxRow struct {
	ID        int64
	Record    string
	MAC       string
	CreatedAt time.Time
}

// Authentic reports whether the row was signed with one of the keys.
func (r OutboxRow) Authentic(keys ...[]byte) bool {
	for _, key := range keys {
		if hmac.Equal([]byte(r.MAC), []byte(outboxMAC(key, r.Record))) {
			return true
		}
	}
	return false
}

// Entry decodes the record. Numbers in the metadata come as json.Number, so that they keep their spelling.
func (r OutboxRow) Entry() (id uuid.UUID, e domain.AuditEntry, err error) {
	var rec auditRecord
	if err := json.Unmarshal([]byte(r.Record), &rec); err != nil {
		return uuid.Nil, e, fmt.Errorf("decode audit record: %w", err)
	}
	metadata := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(rec.Metadata))
	dec.UseNumber()
	if err := dec.Decode(&metadata); err != nil {
		return uuid.Nil, e, fmt.Errorf("decode audit metadata: %w", err)
	}
	return rec.ID, domain.AuditEntry{
		Action: rec.Action, TargetType: rec.TargetType, TargetID: rec.TargetID, Result: rec.Result, Outcome: rec.Outcome,
		ProjectUID: rec.ProjectUID, UserID: rec.UserID, APIKeyID: rec.APIKeyID, SourceIP: rec.SourceIP,
		UserAgent: rec.UserAgent, Metadata: metadata, OccurredAt: domain.Micros(rec.OccurredAt),
	}, nil
}

// InAuditTx runs fn in a transaction that appends to the chain: it yields to interactive writes, holds the
// chain's lock across replicas, and its commit is on disk when it returns. It is not repeated after a deadlock.
func (s *Store) InAuditTx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return s.inTx(ctx, true, func(ctx context.Context, tx *Tx) error {
		if err := s.eng.lockAuditChain(ctx, tx.db); err != nil {
			return fmt.Errorf("lock the audit chain: %w", err)
		}
		return fn(ctx, tx)
	})
}

// AuditOutbox lists the oldest waiting records.
func (tx *Tx) AuditOutbox(ctx context.Context, limit int64) ([]OutboxRow, error) {
	rows, err := tx.s.q.ListAuditOutbox(ctx, tx.db, db.ListAuditOutboxParams{MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list audit outbox: %w", tx.s.err(err))
	}
	out := make([]OutboxRow, len(rows))
	for i, r := range rows {
		out[i] = OutboxRow(r)
	}
	return out, nil
}

// DeleteAuditOutbox removes a record that is now in the chain or set aside.
func (tx *Tx) DeleteAuditOutbox(ctx context.Context, id int64) error {
	n, err := tx.s.q.DeleteAuditOutbox(ctx, tx.db, db.DeleteAuditOutboxParams{ID: id})
	if err != nil {
		return fmt.Errorf("delete audit outbox row: %w", tx.s.err(err))
	}
	if n != 1 {
		// Somebody else took it after we read it: appending it too would double it.
		return fmt.Errorf("delete audit outbox row %d: %w", id, ErrAuditMoved)
	}
	return nil
}

// SetAsideAuditOutbox moves a record that can't be trusted out of the queue and keeps it for inspection.
func (tx *Tx) SetAsideAuditOutbox(ctx context.Context, r OutboxRow, reason string) error {
	err := tx.s.q.SetAsideAuditOutbox(ctx, tx.db, db.SetAsideAuditOutboxParams{
		Record: r.Record, MAC: r.MAC, Reason: reason, CreatedAt: r.CreatedAt, Now: tx.s.Now(),
	})
	if err != nil {
		return fmt.Errorf("set aside audit outbox row: %w", tx.s.err(err))
	}
	return tx.DeleteAuditOutbox(ctx, r.ID)
}

// AuditBacklog says how many records wait (counting no further than limit), how many were set aside, and since
// when the oldest waits (zero when none does).
func (s *Store) AuditBacklog(ctx context.Context, limit int64) (waiting, setAside int64, oldest time.Time, err error) {
	waiting, err = s.q.CountAuditOutbox(ctx, s.eng.read(), db.CountAuditOutboxParams{MaxRows: limit})
	if err == nil {
		setAside, err = s.q.CountAuditSetAside(ctx, s.eng.read())
	}
	if err == nil {
		oldest, err = s.q.OldestAuditOutbox(ctx, s.eng.read())
		if errors.Is(s.err(err), domain.ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("read audit backlog: %w", s.err(err))
	}
	return waiting, setAside, oldest, nil
}

// AuditHasWork reports, without taking the writer, whether records wait or a minute of refusals has closed.
func (s *Store) AuditHasWork(ctx context.Context, closedBefore time.Time) (bool, error) {
	work, err := s.q.AuditHasWork(ctx, s.eng.read(), db.AuditHasWorkParams{Before: closedBefore})
	if err != nil {
		return false, fmt.Errorf("look for audit work: %w", s.err(err))
	}
	return work, nil
}

// AddAuditRefusals adds counted refusals to their minutes, in one transaction.
func (s *Store) AddAuditRefusals(ctx context.Context, refusals []AuditRefusal) error {
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		for _, r := range refusals {
			if err := s.q.AddAuditRefusals(ctx, tx.db, db.AddAuditRefusalsParams(r)); err != nil {
				return fmt.Errorf("count refusals: %w", s.err(err))
			}
		}
		return nil
	})
}

// ClosedAuditRefusals lists counts of minutes that began before the given time.
func (tx *Tx) ClosedAuditRefusals(ctx context.Context, before time.Time, limit int64) ([]AuditRefusal, error) {
	rows, err := tx.s.q.ListClosedAuditRefusals(ctx, tx.db, db.ListClosedAuditRefusalsParams{Before: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list refusals: %w", tx.s.err(err))
	}
	return rows, nil
}

// DeleteAuditRefusal removes a count that is now in the chain.
func (tx *Tx) DeleteAuditRefusal(ctx context.Context, r AuditRefusal) error {
	err := tx.s.q.DeleteAuditRefusal(ctx, tx.db, db.DeleteAuditRefusalParams{
		Minute: r.Minute, SourceIP: r.SourceIP, Action: r.Action, Reason: r.Reason,
	})
	if err != nil {
		return fmt.Errorf("delete refusals: %w", tx.s.err(err))
	}
	return nil
}

// AuditState returns the chain's signed head; domain.ErrNotFound when the chain was never started.
func (s *Store) AuditState(ctx context.Context) (AuditState, error) {
	st, err := s.q.AuditState(ctx, s.eng.read())
	return st, s.err(err)
}

// AuditState is AuditState inside the transaction.
func (tx *Tx) AuditState(ctx context.Context) (AuditState, error) {
	st, err := tx.s.q.AuditState(ctx, tx.db)
	return st, tx.s.err(err)
}

// StartAuditState writes the first state of a chain; domain.ErrConflict when there is one already.
func (tx *Tx) StartAuditState(ctx context.Context, st AuditState) error {
	err := tx.s.q.InsertAuditState(ctx, tx.db, db.InsertAuditStateParams{
		Generation: st.Generation, InstallationID: st.InstallationID, StateKeyID: st.StateKeyID, HeadSeq: st.HeadSeq,
		HeadRowHMAC: st.HeadRowHMAC, HeadHMACKeyID: st.HeadHMACKeyID, HeadOccurredAt: st.HeadOccurredAt, HeadID: st.HeadID,
		PruneRowHMAC: st.PruneRowHMAC, PruneHMACKeyID: st.PruneHMACKeyID, PruneOccurredAt: st.PruneOccurredAt,
		PruneID: st.PruneID, ActiveRowCount: st.ActiveRowCount, ActiveKeyCounts: st.ActiveKeyCounts, StateMAC: st.StateMAC,
	})
	if err != nil {
		return fmt.Errorf("start audit state: %w", tx.s.err(err))
	}
	return nil
}

// ReplaceAuditState writes the state that follows the one signed with oldMAC; ErrAuditMoved when that is gone.
func (tx *Tx) ReplaceAuditState(ctx context.Context, st AuditState, oldMAC string) error {
	n, err := tx.s.q.UpdateAuditState(ctx, tx.db, db.UpdateAuditStateParams{
		StateKeyID: st.StateKeyID, HeadSeq: st.HeadSeq, HeadRowHMAC: st.HeadRowHMAC, HeadHMACKeyID: st.HeadHMACKeyID,
		HeadOccurredAt: st.HeadOccurredAt, HeadID: st.HeadID, PruneRowHMAC: st.PruneRowHMAC, PruneHMACKeyID: st.PruneHMACKeyID,
		PruneOccurredAt: st.PruneOccurredAt, PruneID: st.PruneID, ActiveRowCount: st.ActiveRowCount,
		ActiveKeyCounts: st.ActiveKeyCounts, StateMAC: st.StateMAC, ExpectedMAC: oldMAC,
	})
	if err != nil {
		return fmt.Errorf("write audit state: %w", tx.s.err(err))
	}
	if n != 1 {
		return fmt.Errorf("write audit state: %w", ErrAuditMoved)
	}
	return nil
}

// AppendAuditRow inserts a signed row; domain.ErrConflict when its id or number is taken.
func (tx *Tx) AppendAuditRow(ctx context.Context, r AuditRow) error {
	if err := tx.s.q.InsertAuditRow(ctx, tx.db, db.InsertAuditRowParams(r)); err != nil {
		return fmt.Errorf("append audit row: %w", tx.s.err(err))
	}
	return nil
}

// LastAuditRow returns the physical end of the log; domain.ErrNotFound when it is empty.
func (tx *Tx) LastAuditRow(ctx context.Context) (AuditRow, error) {
	r, err := tx.s.q.LastAuditRow(ctx, tx.db)
	return r, tx.s.err(err)
}

// HasAuditRow reports whether a row with the id is in the log.
func (tx *Tx) HasAuditRow(ctx context.Context, id uuid.UUID) (bool, error) {
	_, err := tx.s.q.AuditRowByID(ctx, tx.db, db.AuditRowByIDParams{ID: id})
	if err = tx.s.err(err); errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// AuditRowsAfter lists rows in chain order, from the one after seq.
func (s *Store) AuditRowsAfter(ctx context.Context, seq, limit int64) ([]AuditRow, error) {
	rows, err := s.q.ListAuditRowsAfter(ctx, s.eng.read(), db.ListAuditRowsAfterParams{AfterSeq: seq, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list audit rows: %w", s.err(err))
	}
	return rows, nil
}

// AuditTotals reads counts, ends and the state's MAC at one moment. It counts every row: for verification only.
func (s *Store) AuditTotals(ctx context.Context) (AuditTotals, error) {
	t, err := s.q.AuditTotals(ctx, s.eng.read())
	if err != nil {
		return t, fmt.Errorf("read audit totals: %w", s.err(err))
	}
	return t, nil
}

// MissingAuditTriggers names the append-only guards that audit_log should have and has not.
func (s *Store) MissingAuditTriggers(ctx context.Context) ([]string, error) {
	missing, err := s.eng.missingAuditTriggers(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for audit triggers: %w", s.err(err))
	}
	return missing, nil
}

// metaAuditStarted marks a database whose chain was begun, so that a chain whose tables were emptied is not
// silently begun again.
const metaAuditStarted = "audit_chain_started"

// MarkAuditStarted notes that the chain was begun.
func (tx *Tx) MarkAuditStarted(ctx context.Context) error {
	err := tx.s.q.SetMetaIfAbsent(ctx, tx.db, db.SetMetaIfAbsentParams{Key: metaAuditStarted, Value: tx.s.Now().Format(time.RFC3339Nano)})
	if err != nil {
		return fmt.Errorf("mark the audit chain as started: %w", tx.s.err(err))
	}
	return nil
}

// AuditStarted reports whether the chain was ever begun in this database.
func (tx *Tx) AuditStarted(ctx context.Context) (bool, error) { return tx.s.auditStarted(ctx, tx.db) }

// AuditStarted reports whether the chain was ever begun in this database.
func (s *Store) AuditStarted(ctx context.Context) (bool, error) {
	return s.auditStarted(ctx, s.eng.read())
}

func (s *Store) auditStarted(ctx context.Context, h db.DBTX) (bool, error) {
	_, err := s.q.MetaValue(ctx, h, db.MetaValueParams{Key: metaAuditStarted})
	if err = s.err(err); errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the audit chain: %w", err)
	}
	return true, nil
}

// AuditHealth is what the audit service last found out about the chain, for the health page of other services.
type AuditHealth struct {
	// Damaged is true while the chain cannot be continued or its last verification found something.
	Damaged bool      `json:"damaged"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

const metaAuditHealth = "audit_health"

// AuditHealth returns the audit service's last word; the zero value when it has not spoken yet.
func (s *Store) AuditHealth(ctx context.Context) (AuditHealth, error) {
	text, err := s.q.MetaValue(ctx, s.eng.read(), db.MetaValueParams{Key: metaAuditHealth})
	if err = s.err(err); errors.Is(err, domain.ErrNotFound) {
		return AuditHealth{}, nil
	}
	var h AuditHealth
	if err == nil {
		err = json.Unmarshal([]byte(text), &h)
	}
	if err != nil {
		return AuditHealth{}, fmt.Errorf("read audit health: %w", err)
	}
	return h, nil
}

// SetAuditHealth is called by the audit service.
func (s *Store) SetAuditHealth(ctx context.Context, h AuditHealth) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		return s.err(s.q.SetMeta(ctx, tx.db, db.SetMetaParams{Key: metaAuditHealth, Value: string(text)}))
	})
}
