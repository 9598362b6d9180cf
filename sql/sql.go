// SPDX-License-Identifier: AGPL-3.0-or-later

// Package schema embeds the database migrations of both engines.
package schema

import "embed"

// Migrations holds postgres/migration and sqlite/migration, numbered files in goose format.
//
//go:embed postgres/migration/*.sql sqlite/migration/*.sql
var Migrations embed.FS
