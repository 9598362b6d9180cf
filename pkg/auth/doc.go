// SPDX-License-Identifier: AGPL-3.0-or-later

// Package auth holds what decides who somebody is and what they may do: password hashing and policy,
// random tokens and how they are stored, browser sessions and their cookies, and the one policy function
// that every call asks (Allow). It does no I/O; rows live in pkg/store, HTTP in services/api.
package auth
