// SPDX-License-Identifier: AGPL-3.0-or-later

// Package drain moves waiting audit records and closed minutes of refusals into the chain: appended and removed
// in one transaction, so that a crash at any moment loses none and doubles none.
package drain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/obs"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/audit/internal/chain"
)

// ActionRejected is the action of the row that tells of a waiting record nobody can trust.
const ActionRejected = "audit.outbox_row_rejected"

// Reasons for setting a record aside.
const (
	reasonMAC       = "bad_mac"
	reasonDecode    = "not_decodable"
	reasonDuplicate = "duplicate_id"
	reasonAppend    = "not_appendable"
)

// refusalGrace is how long after its end a minute of refusals is closed: replicas write their counts late.
const refusalGrace = 5 * time.Second

// Drainer drains. It is used by one goroutine.
type Drainer struct {
	Store *store.Store
	Keys  *chain.Keys
	// OutboxKeys verify waiting records, the current one first.
	OutboxKeys [][]byte
	// Batch is how many records one transaction takes.
	Batch  int64
	Now    func() time.Time
	Logger *slog.Logger
	// Tracer makes a span of each step that finds work; nil makes none.
	Tracer trace.Tracer
}

// Result says what one step did.
type Result struct {
	Appended int
	Rejected int
	// More is true when records may still wait.
	More bool
}

// closedBefore is the time before which a minute must have begun to be closed.
func (d *Drainer) closedBefore() time.Time { return d.Now().Add(-time.Minute - refusalGrace) }

// Step drains one batch. A *chain.DamageError says that the chain cannot be continued; the records stay.
func (d *Drainer) Step(ctx context.Context) (Result, error) {
	work, err := d.Store.AuditHasWork(ctx, d.closedBefore())
	if err != nil || !work {
		return Result{}, err
	}
	ctx, span := obs.Start(ctx, d.Tracer, "audit append")
	res, err := d.step(ctx)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("z4j.audit.appended", res.Appended), attribute.Int("z4j.audit.rejected", res.Rejected))
	}
	obs.End(span, err)
	return res, err
}

func (d *Drainer) step(ctx context.Context) (Result, error) {
	res, err := d.batch(ctx, d.Batch, false)
	if err == nil || !permanent(err) || ctx.Err() != nil {
		return res, err
	}
	// One record spoils the batch: go record by record, and set aside the one that cannot be appended.
	if res, err = d.batch(ctx, 1, false); err == nil || !permanent(err) || ctx.Err() != nil {
		return res, err
	}
	d.Logger.ErrorContext(ctx, "an audit record cannot be appended and is set aside", "err", err)
	return d.batch(ctx, 1, true)
}

// permanent reports whether repeating the same batch is pointless.
func permanent(err error) bool {
	var damaged *chain.DamageError
	return !errors.As(err, &damaged) && !errors.Is(err, domain.ErrTransient) && !errors.Is(err, store.ErrAuditMoved)
}

func (d *Drainer) batch(ctx context.Context, limit int64, reject bool) (res Result, err error) {
	installation, err := d.Store.InstallationID(ctx)
	if err != nil {
		return Result{}, err
	}
	err = d.Store.InAuditTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res = Result{}
		w, err := d.open(ctx, tx, installation)
		if err != nil {
			return err
		}
		rows, err := tx.AuditOutbox(ctx, limit)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := d.record(ctx, tx, w, r, reject, &res); err != nil {
				return err
			}
		}
		refusals, err := tx.ClosedAuditRefusals(ctx, d.closedBefore(), limit)
		if err != nil {
			return err
		}
		for _, r := range refusals {
			if err := d.refusal(ctx, tx, w, r, &res); err != nil {
				return err
			}
		}
		res.More = int64(len(rows)) == limit || int64(len(refusals)) == limit
		return w.Close(ctx)
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

// open continues the chain, or begins it in a database that has none.
func (d *Drainer) open(ctx context.Context, tx *store.Tx, installation uuid.UUID) (*chain.Writer, error) {
	w, err := chain.Open(ctx, tx, d.Keys, d.Now())
	if !errors.Is(err, chain.ErrNotStarted) {
		return w, err
	}
	d.Logger.Info("starting the audit chain", "key_id", d.Keys.Current().ID())
	return chain.Start(ctx, tx, d.Keys, installation, d.Now())
}

// Start begins the chain when there is none, so that it exists before anything happens.
func (d *Drainer) Start(ctx context.Context) error {
	installation, err := d.Store.InstallationID(ctx)
	if err != nil {
		return err
	}
	return d.Store.InAuditTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		w, err := d.open(ctx, tx, installation)
		if err != nil {
			return err
		}
		return w.Close(ctx)
	})
}

func (d *Drainer) record(ctx context.Context, tx *store.Tx, w *chain.Writer, r store.OutboxRow, reject bool, res *Result) error {
	if reject {
		return d.setAside(ctx, tx, w, r, reasonAppend, res)
	}
	if !r.Authentic(d.OutboxKeys...) {
		return d.setAside(ctx, tx, w, r, reasonMAC, res)
	}
	id, entry, err := r.Entry()
	if err != nil {
		return d.setAside(ctx, tx, w, r, reasonDecode, res)
	}
	known, err := tx.HasAuditRow(ctx, id)
	if err != nil {
		return err
	}
	if known {
		// A copy of a record that is already in the chain: authentic, but not what happened.
		return d.setAside(ctx, tx, w, r, reasonDuplicate, res)
	}
	if err := w.Append(ctx, id, entry); err != nil {
		return err
	}
	res.Appended++
	return tx.DeleteAuditOutbox(ctx, r.ID)
}

// setAside keeps a record that cannot be trusted, and tells of it in the chain.
func (d *Drainer) setAside(ctx context.Context, tx *store.Tx, w *chain.Writer, r store.OutboxRow, reason string, res *Result) error {
	digest := sha256.Sum256([]byte(r.Record))
	d.Logger.ErrorContext(ctx, "an audit record is set aside", "reason", reason, "outbox_id", r.ID)
	err := w.Append(ctx, uuid.New(), domain.AuditEntry{
		Action: ActionRejected, TargetType: "audit_outbox", TargetID: fmt.Sprint(r.ID), Result: domain.ResultFailed,
		Outcome: domain.OutcomeError,
		Metadata: map[string]any{
			"reason": reason, "record_sha256": hex.EncodeToString(digest[:]), "record_bytes": len(r.Record),
			"waiting_since": r.CreatedAt.UTC().Format(time.RFC3339Nano),
		},
	}.Normalized(d.Now()))
	if err != nil {
		return err
	}
	res.Appended++
	res.Rejected++
	return tx.SetAsideAuditOutbox(ctx, r, reason)
}

func (d *Drainer) refusal(ctx context.Context, tx *store.Tx, w *chain.Writer, r store.AuditRefusal, res *Result) error {
	metadata := map[string]any{
		"aggregated": true, "count": r.N, "reason": r.Reason, "minute": r.Minute.UTC().Format(time.RFC3339),
	}
	address := r.SourceIP
	if address == store.OtherAddresses {
		address, metadata["addresses"] = "", "several"
	}
	err := w.Append(ctx, uuid.New(), domain.AuditEntry{
		Action: r.Action, TargetType: "refusal", Result: domain.ResultFailed, Outcome: domain.OutcomeDeny,
		SourceIP: address, Metadata: metadata, OccurredAt: r.LastAt,
	}.Normalized(d.Now()))
	if err != nil {
		return err
	}
	res.Appended++
	return tx.DeleteAuditRefusal(ctx, r)
}
