// SPDX-License-Identifier: AGPL-3.0-or-later

// Package bench measures the built brain from outside: real sockets, signed frames, one process
// per brain, the load generator on the same machine. `make bench` runs it and writes the figures
// to docs/benchmarks.md; `make soak` runs the same for longer and with more agents.
package bench
