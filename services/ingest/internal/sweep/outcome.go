// SPDX-License-Identifier: AGPL-3.0-or-later

package sweep

import (
	"context"
	"time"

	"github.com/z4jdev/z4j/pkg/domain"
	"github.com/z4jdev/z4j/pkg/store"
	"github.com/z4jdev/z4j/pkg/wire"
)

// ActionReconcile is the command that asks an agent what its engine knows of a task.
const ActionReconcile = "reconcile_task"

// Outcomes applies agents' answers to the questions of the sweep.
type Outcomes struct {
	Metrics *Metrics
}

// Completed applies a result inside the transaction that ends its command; changed tells that a task changed.
func (o Outcomes) Completed(ctx context.Context, tx *store.Tx, cmd store.Command, res wire.CommandResult) (changed bool, err error) {
	if cmd.Action != ActionReconcile || res.Status != wire.ResultSuccess || cmd.TargetID == nil {
		return false, nil
	}
	r, ok := answer(res.Result)
	if !ok {
		return false, nil
	}
	r.ProjectID, r.TaskID, r.AskedAt = cmd.ProjectID, *cmd.TargetID, cmd.IssuedAt
	_ = wire.ScanObject([]byte(cmd.Payload), func(key, value []byte) error {
		if string(key) == "engine" {
			r.Engine, _ = wire.StringOf(value)
		}
		return nil
	})
	if changed, err = tx.ReconcileTask(ctx, r); changed {
		o.Metrics.reconciled.Inc()
	}
	return changed, err
}

// maxException bounds the text an answer may leave on a task.
const maxException = 8192

// answer reads `{task_id, engine_state, finished_at, exception}`; false when the engine does not know.
func answer(raw []byte) (r store.Reconciliation, ok bool) {
	if !wire.IsObject(raw) {
		return r, false
	}
	_ = wire.ScanObject(raw, func(key, value []byte) error {
		switch string(key) {
		case "engine_state":
			state, _ := wire.StringOf(value)
			r.State, ok = stateOf(state)
		case "finished_at":
			text, isText := wire.StringOf(value)
			if at, _, valid := wire.ParseTime([]byte(text)); isText && valid {
				at = at.Truncate(time.Microsecond)
				r.FinishedAt = &at
			}
		case "exception":
			if text, isText := wire.StringOf(value); isText && text != "" && len(text) <= maxException {
				r.Exception = &text
			}
		}
		return nil
	})
	return r, ok
}

func stateOf(engine string) (domain.TaskState, bool) {
	switch engine {
	case "pending":
		return domain.StatePending, true
	case "started":
		return domain.StateStarted, true
	case "success":
		return domain.StateSuccess, true
	case "failure":
		return domain.StateFailure, true
	}
	return 0, false
}
