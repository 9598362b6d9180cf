// SPDX-License-Identifier: AGPL-3.0-or-later

package bulk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/z4jdev/z4j/pkg/auth"
	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/httpx"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/services/api/internal/offer"
	"github.com/z4jdev/z4j/services/api/internal/rest"
)

// canonicalizer is the version of the form in which two requests are compared.
const canonicalizer = 2

// maxBody bounds a request that names its tasks: so much fits into what agents are sent.
const maxBody = 900 << 10

// refusal is a request that cannot be carried out.
func refusal(status int, code, message string, details map[string]any) error {
	e := &domain.Error{Code: code, Status: status, Message: message, Details: details}
	if details == nil {
		return httpx.WithDetail(e, message)
	}
	detail := map[string]any{"error": message}
	maps.Copy(detail, details)
	return httpx.WithDetail(e, detail)
}

func (g *group) create(r *rest.Request) (any, error) {
	b := rest.Body[BulkRetryRequestCreate](r)
	if strings.TrimSpace(b.IdempotencyKey) == "" || strings.ContainsRune(b.IdempotencyKey, 0) {
		return nil, httpx.Invalid("value_error", "Value error, the key is blank or holds a NUL character", "body", "idempotency_key")
	}
	digest, err := canonical(b)
	if err != nil {
		return nil, err
	}
	earlier, err := g.cfg.Store.BulkRetryByKey(r.Context(), r.Project.ID, b.IdempotencyKey)
	switch {
	case err == nil:
		return g.replay(r, b, digest, &earlier)
	case !errors.Is(err, domain.ErrNotFound):
		return nil, fmt.Errorf("find bulk retry: %w", err)
	}
	n := store.NewBulkRetry{
		ProjectID: r.Project.ID, IdempotencyKey: b.IdempotencyKey, CanonicalDigest: digest, MaxInFlight: maxInFlight, Deadline: deadline,
		SourceIP: r.IP(), UserAgent: r.HTTP.UserAgent(),
	}
	if r.LoggedIn {
		n.IssuedBy = &r.User.ID
	}
	if err := g.plan(r, b, &n); err != nil {
		return nil, g.refuse(r, b, err)
	}
	var sealed store.BulkRetry
	var created bool
	err = g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		sealed, created, err = tx.SealBulkRetry(ctx, n)
		if err != nil || !created {
			return err
		}
		entry := r.Audit("bulk_retry_request.sealed", "bulk_retry_request", sealed.ID.String())
		entry.Metadata = map[string]any{"child_count": len(n.Tasks), "canonical_digest": digest, "plan_digest": n.PlanDigest}
		return tx.Audit(ctx, entry)
	})
	if err != nil {
		return nil, err
	}
	if !created {
		return g.replay(r, b, digest, &sealed)
	}
	return g.answer(r, &sealed)
}

// replay answers a repetition with the request it repeats.
func (g *group) replay(r *rest.Request, b *BulkRetryRequestCreate, digest string, earlier *store.BulkRetry) (any, error) {
	if earlier.CanonicalDigest != digest {
		return nil, refusal(http.StatusConflict, domain.CodeConflict, "idempotency_key already belongs to a different request",
			map[string]any{"idempotency_key": b.IdempotencyKey})
	}
	return g.answer(r, earlier)
}

// canonical is the digest of what a request asks for; equal requests have equal digests.
func canonical(b *BulkRetryRequestCreate) (string, error) {
	filter := b.Filter
	if filter == nil {
		filter = map[string]any{}
	}
	// Maps are encoded with sorted keys.
	text, err := json.Marshal(map[string]any{"action": "bulk_retry", "filter": filter, "max": b.Max, "target": b.AgentID, "version": canonicalizer})
	if err != nil {
		return "", fmt.Errorf("encode bulk retry: %w", err)
	}
	if len(text) > maxBody {
		return "", refusal(http.StatusRequestEntityTooLarge, domain.CodeTooLarge, "the request names too many tasks; split it, or select them by a filter",
			map[string]any{"max_bytes": maxBody})
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// refuse records that a request was refused, and passes the refusal on.
func (g *group) refuse(r *rest.Request, b *BulkRetryRequestCreate, cause error) error {
	fault, ok := errors.AsType[*domain.Error](cause)
	if !ok || fault.Code == domain.CodeTimeout {
		return cause
	}
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) error {
		entry := r.Audit("bulk_retry_request.refused", "bulk_retry_request", "")
		entry.Result, entry.Outcome = domain.ResultFailed, domain.OutcomeDeny
		entry.Metadata = map[string]any{"reason": fault.Message, "idempotency_key": b.IdempotencyKey}
		return tx.Audit(ctx, entry)
	})
	return errors.Join(err, cause)
}

// plan settles what the request covers and whether somebody can do it.
func (g *group) plan(r *rest.Request, b *BulkRetryRequestCreate, n *store.NewBulkRetry) error {
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ReadLimit)
	defer cancel()
	agents, err := offer.Load(ctx, g.cfg.Store, r.Project.ID)
	if err != nil {
		return err
	}
	if b.AgentID != nil {
		i := slices.IndexFunc(agents.List, func(a store.Agent) bool { return a.UID == *b.AgentID && a.RevokedAt == nil })
		if i < 0 {
			return domain.Errorf(domain.CodeNotFound, "agent not found in this project").With("agent_id", b.AgentID.String())
		}
		n.AgentID = &agents.List[i].ID
	}
	n.Tasks, err = g.selection(ctx, r.Project.ID, b)
	if errors.Is(err, context.DeadlineExceeded) {
		return &domain.Error{Code: domain.CodeTimeout, Cause: err, Message: "finding the tasks took too long and was given up; narrow the filter by state, queue, name or time"}
	}
	if err != nil {
		return err
	}
	plan := sha256.New()
	checked := map[string]bool{}
	for i, t := range n.Tasks {
		if !checked[t.Engine] {
			checked[t.Engine] = true
			if !able(agents, t.Engine, n.AgentID) {
				return refusal(http.StatusBadRequest, httpx.CodeBadRequest, "no agent of this project offers bulk_retry for engine '"+t.Engine+"'; narrow the filter to other engines by engine",
					map[string]any{"engine": t.Engine})
			}
		}
		sum := sha256.Sum256([]byte(t.Engine + "\x00" + t.TaskID + "\x00" + t.Name))
		fmt.Fprintf(plan, "%d\x00%s\x00%x\n", i, t.Engine, sum)
	}
	n.PlanDigest = hex.EncodeToString(plan.Sum(nil))
	return nil
}

// able reports whether an agent, the named one or any, offers bulk retries by reference on the engine.
func able(agents offer.Agents, engine string, named *int64) bool {
	return slices.ContainsFunc(agents.List, func(a store.Agent) bool { return fits(&a, engine, named) })
}

func fits(a *store.Agent, engine string, named *int64) bool {
	inv := offer.InventoryOf(a)
	return (named == nil || a.ID == *named) && a.RevokedAt == nil && offer.NativeRetry(engine) &&
		inv.Allows(engine, "bulk_retry") && inv.Allows(engine, "retry_by_reference_v1")
}

func (g *group) list(r *rest.Request) (any, error) {
	const latest = 50
	list, err := g.cfg.Store.BulkRetries(r.Context(), r.Project.ID, latest)
	if err != nil {
		return nil, fmt.Errorf("list bulk retries: %w", err)
	}
	out := BulkRetryRequestList{Items: make([]BulkRetryRequestPublic, len(list))}
	for i := range list {
		if out.Items[i], err = g.public(r, &list[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func unknown() error {
	return refusal(http.StatusNotFound, domain.CodeNotFound, "bulk retry request not found", nil)
}

func (g *group) find(r *rest.Request) (store.BulkRetry, error) {
	b, err := g.cfg.Store.BulkRetryByID(r.Context(), r.Project.ID, r.ID("request_id"))
	if errors.Is(err, domain.ErrNotFound) {
		return b, unknown()
	}
	return b, err
}

func (g *group) show(r *rest.Request) (any, error) {
	b, err := g.find(r)
	if err != nil {
		return nil, err
	}
	return g.public(r, &b)
}

func (g *group) pause(r *rest.Request) (any, error) {
	return g.control(r, store.BulkRetryPaused, "bulk_retry_request.paused")
}

func (g *group) resume(r *rest.Request) (any, error) {
	return g.control(r, store.BulkRetryRunning, "bulk_retry_request.resumed")
}

func (g *group) control(r *rest.Request, state, action string) (any, error) {
	var b store.BulkRetry
	err := g.cfg.Store.InTx(r.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		if b, err = tx.ControlBulkRetry(ctx, r.Project.ID, r.ID("request_id"), state, deadline); err != nil {
			return err
		}
		return tx.Audit(ctx, r.Audit(action, "bulk_retry_request", b.ID.String()))
	})
	if errors.Is(err, domain.ErrNotFound) {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	return g.public(r, &b)
}

// ItemQuery are the parameters of the list of items.
type ItemQuery struct {
	After int64 `json:"after" default:"-1" validate:"ge=-1" doc:"next of the page before"`
	Limit int   `json:"limit" default:"200" validate:"ge=1,le=1000"`
}

// BulkRetryItem is one task of a bulk retry.
type BulkRetryItem struct {
	Ordinal       int64       `json:"ordinal"`
	Engine        string      `json:"engine"`
	TaskID        string      `json:"task_id"`
	Name          string      `json:"name"`
	DeliveryState string      `json:"delivery_state" validate:"oneof=pending|delivery_claimed"`
	Outcome       string      `json:"outcome" validate:"oneof=unobserved|succeeded|failed|unknown"`
	Error         *string     `json:"error"`
	CommandID     *string     `json:"command_id"`
	CompletedAt   *httpx.Time `json:"completed_at"`
}

// BulkRetryItems is a page of a bulk retry's tasks.
type BulkRetryItems struct {
	Items []BulkRetryItem `json:"items"`
	Next  *int64          `json:"next" doc:"after of the next page; null at the end"`
}

func (g *group) items(r *rest.Request) (any, error) {
	b, err := g.find(r)
	if err != nil {
		return nil, err
	}
	q := rest.Query[ItemQuery](r)
	list, err := g.cfg.Store.BulkRetryChildren(r.Context(), b.ID, q.After, int64(q.Limit)+1)
	if err != nil {
		return nil, fmt.Errorf("list items of bulk retry %s: %w", b.ID, err)
	}
	out := BulkRetryItems{Items: []BulkRetryItem{}}
	if len(list) > q.Limit {
		list = list[:q.Limit]
		out.Next = &list[q.Limit-1].Ordinal
	}
	for _, c := range list {
		item := BulkRetryItem{
			Ordinal: c.Ordinal, Engine: c.Engine, TaskID: c.TaskID, Name: c.TaskName, DeliveryState: c.DeliveryState, Outcome: c.Outcome,
			Error: c.Error, CompletedAt: httpx.TimePtr(c.CompletedAt),
		}
		if c.CommandID != nil && r.Can(auth.CommandRead) {
			id := c.CommandID.String()
			item.CommandID = &id
		}
		out.Items = append(out.Items, item)
	}
	return out, nil
}
