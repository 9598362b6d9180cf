// SPDX-License-Identifier: AGPL-3.0-or-later

// Package bench measures the built brain from outside: real sockets, signed frames, one process
// per brain (or its services), the load generator on the same machine. Each benchmark owns a section of
// docs/benchmarks.md and a member of docs/benchmarks.json. `make bench` runs what takes minutes,
// `make soak` what takes hours, `make bench-compare` two builds in turns.
package bench
