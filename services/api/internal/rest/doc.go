// SPDX-License-Identifier: AGPL-3.0-or-later

// Package rest turns a table of operations into the REST API: routing, sessions, CSRF, policy, decoding,
// answers, and the OpenAPI document, all from the same rows, so that the document cannot drift from what runs.
//
// A group of operations is a function that returns []Op. For every call the router does, in this order: throttle,
// authenticate, CSRF, policy (what needs an instance admin is refused before the project is looked at), project and
// role, path and query and body, handler. An operation without an action of pkg/auth cannot be registered.
package rest
