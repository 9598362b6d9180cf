// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import "time"

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Events is how long events are kept.
func (r Retention) Events() time.Duration { return days(r.EventDays) }

// Tasks is how long tasks are kept after their last change, 0 for ever: never shorter than their events.
func (r Retention) Tasks() time.Duration {
	if r.TaskDays == 0 {
		return 0
	}
	return days(max(r.TaskDays, r.EventDays))
}

// Commands is how long commands are kept after their end, 0 for ever.
func (r Retention) Commands() time.Duration { return days(r.CommandDays) }

// Rollups is how long statistics are kept.
func (r Retention) Rollups() time.Duration { return days(r.RollupDays) }

// Sessions is how long ended browser sessions stay on record.
func (r Retention) Sessions() time.Duration { return days(r.SessionDays) }

// Workers is how long silent workers and queues are listed, 0 for ever.
func (r Retention) Workers() time.Duration { return days(r.WorkerDays) }

// StaleAgents is how long an agent may stay away before it loses its access, 0 for ever.
func (r Retention) StaleAgents() time.Duration { return days(r.StaleAgentDays) }
