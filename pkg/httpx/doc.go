// SPDX-License-Identifier: AGPL-3.0-or-later

// Package httpx holds what every HTTP surface of z4j shares: one error envelope, JSON in and out,
// request ids, client addresses behind proxies, body limits, throttles, cursors and the security headers.
//
// Order of the middleware, outermost first: Request (id, client address, access log), Recover,
// SecurityHeaders, CORS, BodyLimit, then routes. A handler answers failures with WriteError and
// never builds an error body itself.
package httpx
