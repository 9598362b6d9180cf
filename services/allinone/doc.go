// SPDX-License-Identifier: AGPL-3.0-or-later

// Package allinone is one of the parts of the brain; see docs/ARCHITECTURE.md.
package allinone
