// SPDX-License-Identifier: AGPL-3.0-or-later

// Package config reads z4j's settings: process environment, ./.env, config.env and secret.env in the
// state directory, and defaults, in this order of precedence. It is the only package that looks at the
// environment.
//
// Load returns every fault at once, each with its remedy, so that an operator mends a configuration in
// one go. Names of settings that this version does not support, and names it has never heard of, are
// kept as Notices: they are reported at start, never ignored in silence.
package config
