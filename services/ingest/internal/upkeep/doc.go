// SPDX-License-Identifier: AGPL-3.0-or-later

// Package upkeep keeps the database in shape under one lease: retention of everything that grows
// (events, agent reports, tasks, commands, sessions, long-poll sessions), compaction of roll-ups from
// minutes to hours and days, folding of appended counter deltas, partitions and the write-ahead log.
// Offline marks and reconciliation, which watch agents and not tables, are in package sweep.
package upkeep
