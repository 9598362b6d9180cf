// SPDX-License-Identifier: AGPL-3.0-or-later

// Package upkeep keeps the database in shape under one lease: retention of everything that grows
// (events, agent reports, tasks, commands, sessions, long-poll sessions), compaction of roll-ups from
// minutes to hours and days, folding of appended counter deltas, partitions and the write-ahead log.
// It also marks workers nothing is heard of. Jobs take turns in small steps; the limits and their reasons are in
// docs/decisions.md, Retention.
// Offline marks of agents and reconciliation, which watch agents and not tables, are in package sweep.
package upkeep
