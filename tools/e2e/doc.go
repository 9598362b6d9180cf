// SPDX-License-Identifier: AGPL-3.0-or-later

// Package e2e holds the end-to-end tests: `make e2e` builds the brain and runs them against real
// agents, engines and browsers. Everything they need is started by package harness.
package e2e
