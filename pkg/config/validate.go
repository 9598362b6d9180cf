// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"bufio"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// minSecretBytes is the least length of a key.
const minSecretBytes = 32

// derive fills what follows from other settings. It runs before validate.
func (c *Config) derive() {
	c.Server.PublicURL = strings.TrimRight(c.Server.PublicURL, "/")
	if c.Server.PublicURL == "" {
		c.Server.PublicURL = fmt.Sprintf("http://localhost:%d", c.Server.BindPort)
	}
	switch env := c.Server.Environment; {
	case env != "":
		c.dev = env == "dev"
	default:
		// A single service is no laptop's.
		c.dev = c.role == "" && c.Database.Engine() != EnginePostgreSQL && !strings.HasPrefix(c.Server.PublicURL, "https://")
		c.Server.Environment = "production"
		if c.dev {
			c.Server.Environment = "dev"
		}
	}
	c.Log.Level = strings.ToUpper(c.Log.Level)
	c.Log.Format = strings.ToLower(c.Log.Format)
	c.Auth.CookieSameSite = strings.ToLower(c.Auth.CookieSameSite)
	switch {
	case c.Log.JSON != nil && bool(*c.Log.JSON):
		c.Log.Format = "json"
	case c.Log.JSON != nil || (c.Log.Format == "" && c.dev):
		c.Log.Format = "text"
	case c.Log.Format == "":
		c.Log.Format = "json"
	}
	c.Traces.derive(c.role)
	if c.API.MaxPageSize < c.API.DefaultPageSize {
		c.API.DefaultPageSize = c.API.MaxPageSize
	}
	c.Agents.MaxFrameBytes = min(c.Agents.MaxFrameBytes, c.Agents.MaxFrameBytesCompat)
	if c.Secret.AuditChain == "" {
		c.Secret.AuditChain = c.deriveKey("z4j audit chain v1")
	}
	if c.Secret.Hop == "" {
		c.Secret.Hop = c.deriveKey("z4j hop v1")
	}
	if c.role == RoleGateway {
		// The edge is what attackers meet first: it keeps no secret that it does not need.
		c.Secret = Keys{Hop: c.Secret.Hop}
		c.Database = Database{}
	}
}

// deriveKey gives a key of its own for one purpose from the master key, or "" without one.
func (c *Config) deriveKey(purpose string) Secret {
	if len(c.Secret.Master) < minSecretBytes {
		return ""
	}
	key, err := hkdf.Key(sha256.New, c.Secret.Master.Bytes(), nil, purpose, sha256.Size)
	if err != nil {
		return "" // only for lengths that SHA-256 cannot give
	}
	return Secret(fmt.Sprintf("%x", key))
}

// Dev reports the relaxed posture of a laptop; otherwise it is production.
func (c *Config) Dev() bool { return c.dev }

// HTTPS reports whether users reach the brain by https.
func (c *Config) HTTPS() bool { return strings.HasPrefix(c.Server.PublicURL, "https://") }

// SecureCookies reports whether cookies carry Secure and the __Host- prefix: in production, but not for
// an http public URL that the operator insisted on, where browsers would drop them.
func (c *Config) SecureCookies() bool { return !c.dev && c.HTTPS() }

// HSTSMaxAge is the max-age to send, 0 for none.
func (c *Config) HSTSMaxAge() int {
	if c.dev || !c.HTTPS() {
		return 0
	}
	return c.Server.HSTSMaxAge
}

// AllowedHostsFile is the path of layer 3 of the Host allow-list.
func (c *Config) AllowedHostsFile() string { return filepath.Join(c.Home, fileAllowedHosts) }

// validate checks the settings against each other and returns everything wrong.
func (c *Config) validate(o Options) []Fault {
	var faults []Fault
	add := func(name, problem, remedy string) {
		faults = append(faults, Fault{Name: name, Problem: problem, Remedy: remedy})
	}
	if c.role != RoleGateway {
		c.validateDatabase(add)
	}
	if c.role == "" {
		c.validateKeys(o.Mint && c.Database.Engine() == EngineSQLite, add)
	} else {
		c.validateRole(add)
	}
	c.validateServer(add)
	c.Traces.validate(add)
	if !c.dev {
		c.validateProduction(o, add)
	}
	for _, list := range []struct {
		name   string
		values List
	}{
		{"Z4J_TRUSTED_PROXIES", c.Server.TrustedProxies},
		{"Z4J_DASHBOARD_IP_ALLOWLIST", c.Hosts.DashboardIPAllow},
		{"Z4J_API_IP_ALLOWLIST", c.Hosts.APIIPAllow},
		{"Z4J_AGENT_IP_ALLOWLIST", c.Hosts.AgentIPAllow},
	} {
		for _, v := range list.values {
			if !isNetwork(v) {
				add(list.name, fmt.Sprintf("has the entry %q, which is no network", v), "write networks like 10.0.0.0/8 or single addresses")
			}
		}
	}
	for _, pattern := range c.Agents.RedactionKeys {
		if _, err := regexp.Compile(pattern); err != nil {
			add("Z4J_REDACTION_EXTRA_KEY_PATTERNS", fmt.Sprintf("has the pattern %q, which does not compile", pattern), "use RE2 syntax: no look-around, no back-references")
		}
	}
	if c.Agents.LongPollRedispatchMin >= c.Agents.LongPollRedispatch {
		add("Z4J_AGENT_LONGPOLL_REDISPATCH_MIN_INTERVAL_SECONDS", "is not below Z4J_AGENT_LONGPOLL_REDISPATCH_SECONDS", "make it smaller")
	}
	if c.Commands.Timeout < c.Agents.LongPollRedispatchMin {
		add("Z4J_COMMAND_TIMEOUT_SECONDS", "is below Z4J_AGENT_LONGPOLL_REDISPATCH_MIN_INTERVAL_SECONDS", "make it larger, or that one smaller")
	}
	return faults
}

type addFunc func(name, problem, remedy string)

func (c *Config) validateDatabase(add addFunc) {
	d := &c.Database
	parts := 0
	for _, v := range []string{d.Host, d.Port, d.User, string(d.Password), d.Name} {
		if v != "" {
			parts++
		}
	}
	switch {
	case d.URL == "" && parts > 0 && parts < 5:
		add("Z4J_DATABASE_HOST", "and its four companions are not complete", "set Z4J_DATABASE_HOST, _PORT, _USER, _PASSWORD and _NAME, or Z4J_DATABASE_URL alone")
		return
	case d.Engine() == "":
		add("Z4J_DATABASE_URL", "names no database that z4j knows", "write postgres://user:password@host/name or sqlite:////absolute/path/z4j.db")
		return
	}
	normal, err := d.normalise(c.Home)
	if err != nil {
		add("Z4J_DATABASE_URL", err.Error(), "write postgres://user:password@host/name (special characters in the password %-encoded) or sqlite:////absolute/path/z4j.db")
		return
	}
	d.URL = normal
	if string(d.RedisURL) != "" && !hasScheme(string(d.RedisURL), "redis", "rediss", "unix", "sentinel", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster") {
		add("Z4J_REDIS_URL", "is not a Redis URL", "write redis://[user:password@]host:6379/0, redis+sentinel://h1:26379,h2:26379/master-name/0 or redis+cluster://h1:6379,h2:6379, each with rediss for TLS")
	}
}

// validateKeys requires the two master secrets. minted says that missing ones are made as soon as nothing
// else is wrong.
func (c *Config) validateKeys(minted bool, add addFunc) {
	generate := `generate one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"`
	for _, key := range []struct {
		name     string
		value    Secret
		required bool
	}{
		{"Z4J_SECRET", c.Secret.Master, !minted},
		{"Z4J_SESSION_SECRET", c.Secret.Session, !minted},
		{"Z4J_AUDIT_CHAIN_SECRET", c.Secret.AuditChain, false},
	} {
		switch {
		case key.value == "" && key.required:
			add(key.name, "is not set", generate)
		case key.value != "" && len(key.value) < minSecretBytes:
			add(key.name, fmt.Sprintf("is shorter than %d bytes", minSecretBytes), generate)
		}
	}
	if c.Secret.Master != "" && c.Secret.Master == c.Secret.Session {
		add("Z4J_SESSION_SECRET", "is the same as Z4J_SECRET", generate)
	}
}

func (c *Config) validateServer(add addFunc) {
	u, err := url.Parse(c.Server.PublicURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.ContainsAny(c.Server.PublicURL, " \t\r\n"):
		add("Z4J_PUBLIC_URL", "is not an http(s) address", "write the address users open, such as https://z4j.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		add("Z4J_PUBLIC_URL", "carries a user, a query or a fragment", "write scheme, host and port only, such as https://z4j.example.com")
	}
	if slices.Contains(c.Server.CORSOrigins, "*") && bool(c.Server.CORSCredentials) {
		add("Z4J_CORS_ORIGINS", "permits every origin together with credentials", "name the origins, or set Z4J_CORS_ALLOW_CREDENTIALS=false")
	}
	if bool(c.Hosts.DebugErrors) && !c.dev {
		add("Z4J_DEBUG_HOST_ERRORS", "works in dev mode only", "remove it, or set Z4J_ENVIRONMENT=dev")
	}
}

func (c *Config) validateProduction(o Options, add addFunc) {
	if !c.HTTPS() && !bool(c.Server.AllowHTTPPublicURL) {
		add("Z4J_PUBLIC_URL", "must be https in production", "set it to the https address users open, or set Z4J_ALLOW_HTTP_PUBLIC_URL=true if TLS really is not wanted")
	}
	behind := c.role == RoleIngest || c.role == RoleAudit // the gateway checks the Host header for them
	if !behind && len(c.Hosts.Allowed) == 0 && !o.ExplicitHosts && !hasEntries(c.AllowedHostsFile()) {
		add("Z4J_ALLOWED_HOSTS", "is not set, and production guesses no names", "set it to the names users type, such as Z4J_ALLOWED_HOSTS=z4j.example.com, or run: z4j allowed-hosts add z4j.example.com")
	}
	if c.role != RoleGateway && bool(c.Database.RequireRedisSSL) && c.Database.redisInClear() {
		add("Z4J_REDIS_URL", "does not ask for TLS", "write rediss:// (with ?ssl_ca_certs=FILE for a CA of your own), or set Z4J_REQUIRE_REDIS_SSL=false for a private network")
	}
	if c.role != RoleGateway && c.Database.Engine() == EnginePostgreSQL && bool(c.Database.RequireSSL) && !c.Database.postgresHere() {
		switch c.Database.sslMode() {
		case "require", "verify-ca", "verify-full":
		default:
			add("Z4J_DATABASE_URL", "does not ask for TLS", "append ?sslmode=verify-full (or require), or set Z4J_REQUIRE_DB_SSL=false for a private network")
		}
	}
}

// hasEntries reports whether the allowed-hosts file names any host.
func hasEntries(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) != "" {
			return true
		}
	}
	return false
}

func hasScheme(raw string, schemes ...string) bool {
	scheme, rest, ok := strings.Cut(raw, "://")
	return ok && rest != "" && slices.Contains(schemes, scheme)
}

func isNetwork(v string) bool {
	if _, err := netip.ParsePrefix(v); err == nil {
		return true
	}
	_, err := netip.ParseAddr(v)
	return err == nil
}
