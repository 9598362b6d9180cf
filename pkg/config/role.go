// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"net/url"
)

// Roles of a process that runs one service only.
const (
	RoleGateway = "gateway"
	RoleIngest  = "ingest"
	RoleAPI     = "api"
	RoleAudit   = "audit"
)

const generateKey = `generate one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"`

// validateRole checks what a single service needs: the secrets of its own work only, and a database that several
// processes can share.
func (c *Config) validateRole(add addFunc) {
	secret := func(name string, value Secret, remedy string) {
		switch {
		case value == "":
			add(name, "is not set", remedy)
		case len(value) < minSecretBytes:
			add(name, fmt.Sprintf("is shorter than %d bytes", minSecretBytes), generateKey)
		}
	}
	if c.role != RoleGateway && c.Database.Engine() == EngineSQLite {
		add("Z4J_DATABASE_URL", "names no PostgreSQL, and SQLite can't be shared by several services",
			"set it to postgres://user:password@host/name, or run everything in one process with z4j serve")
	}
	switch c.role {
	case RoleGateway:
		secret("Z4J_HOP_KEY", c.Secret.Hop, "give it the value that the other services have ('z4j config hop-key' prints it), or set Z4J_SECRET, from which it is derived")
		backends(add, "Z4J_API_URL", c.Services.APIURL, "http://api:7720")
		backends(add, "Z4J_INGEST_URL", c.Services.IngestURL, "http://ingest:7710")
	case RoleIngest:
		secret("Z4J_SECRET", c.Secret.Master, generateKey)
	case RoleAPI:
		secret("Z4J_SECRET", c.Secret.Master, generateKey)
		secret("Z4J_SESSION_SECRET", c.Secret.Session, generateKey)
		if c.Secret.Master != "" && c.Secret.Master == c.Secret.Session {
			add("Z4J_SESSION_SECRET", "is the same as Z4J_SECRET", generateKey)
		}
	case RoleAudit:
		secret("Z4J_AUDIT_CHAIN_SECRET", c.Secret.AuditChain, "set it, or Z4J_SECRET, from which it is derived")
	}
}

func backends(add addFunc, name string, list List, example string) {
	if len(list) == 0 {
		add(name, "is not set", "write the addresses of the service, such as "+name+"="+example)
	}
	for _, v := range list {
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || (u.Path != "" && u.Path != "/") || u.User != nil || u.RawQuery != "" {
			add(name, "has an entry that is no address of a service", "write addresses like "+example+", separated by commas")
			return
		}
	}
}
