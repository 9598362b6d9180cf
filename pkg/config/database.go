// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// Engines a database URL can name.
const (
	EngineSQLite     = "sqlite"
	EnginePostgreSQL = "postgresql"
)

// Engine says which database the settings choose; "" when the URL is of neither kind.
func (d Database) Engine() string {
	raw := string(d.URL)
	scheme, _, ok := strings.Cut(raw, "://")
	switch {
	case raw == "" && d.Host != "":
		return EnginePostgreSQL
	case raw == "":
		return EngineSQLite
	case !ok:
		return ""
	}
	switch scheme {
	case "postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg":
		return EnginePostgreSQL
	case "sqlite", "sqlite+aiosqlite":
		return EngineSQLite
	}
	return ""
}

var errDatabaseURL = errors.New("is not a database URL")

// normalise turns the spellings that users know into postgres://... or sqlite:///path.
func (d Database) normalise(home string) (Secret, error) {
	raw := string(d.URL)
	switch d.Engine() {
	case EngineSQLite:
		if raw == "" {
			return Secret("sqlite:///" + filepath.Join(home, fileDatabase)), nil
		}
		_, rest, _ := strings.Cut(raw, "://")
		path := strings.TrimPrefix(rest, "/")
		path, query, _ := strings.Cut(path, "?")
		if path == "" || path == ":memory:" || query != "" {
			return "", errDatabaseURL
		}
		return Secret("sqlite:///" + path), nil
	case EnginePostgreSQL:
		if raw == "" {
			u := url.URL{Scheme: "postgres", User: url.UserPassword(d.User, string(d.Password)), Host: net.JoinHostPort(d.Host, d.Port), Path: "/" + d.Name}
			return Secret(u.String()), nil
		}
		_, rest, _ := strings.Cut(raw, "://")
		u, err := url.Parse("postgres://" + rest)
		if err != nil || (u.Host == "" && u.Query().Get("host") == "") || strings.Trim(u.Path, "/") == "" {
			return "", errDatabaseURL // the parser's own error would quote the password
		}
		// asyncpg calls the parameter ssl.
		if q := u.Query(); q.Has("ssl") && !q.Has("sslmode") {
			q.Set("sslmode", q.Get("ssl"))
			q.Del("ssl")
			u.RawQuery = q.Encode()
		}
		return Secret(u.String()), nil
	}
	return "", errDatabaseURL
}

// ParseDatabase reads a database URL as Z4J_DATABASE_URL is read. home is where a relative SQLite file would lie.
func ParseDatabase(raw, home string) (Database, error) {
	d := Database{URL: Secret(raw)}
	normal, err := d.normalise(home)
	if err != nil || raw == "" {
		return d, errors.New("the database URL can't be read: write postgres://user:password@host/name (special characters in the password %-encoded) or sqlite:////absolute/path/z4j.db")
	}
	d.URL = normal
	return d, nil
}

// SafeURL is the database URL without its password.
func (d Database) SafeURL() string { return redactURL(string(d.URL)) }

// redactURL replaces the password of a URL, also of one that does not parse.
func redactURL(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	authority, tail := rest, ""
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return raw
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	tail = rest[at:]
	if !hasPassword {
		return raw
	}
	return scheme + "://" + user + ":***" + tail
}

// sslMode returns the URL's sslmode.
func (d Database) sslMode() string {
	u, err := url.Parse(string(d.URL))
	if err != nil {
		return ""
	}
	return u.Query().Get("sslmode")
}

// postgresHere reports whether the server is reached without a network: over a Unix socket or the loopback.
func (d Database) postgresHere() bool {
	u, err := url.Parse(string(d.URL))
	if err != nil {
		return false
	}
	host := u.Hostname()
	if named := u.Query().Get("host"); named != "" {
		host = named
	}
	return isHere(host)
}

// redisInClear reports whether the Redis URL goes over a network without TLS.
func (d Database) redisInClear() bool {
	scheme, rest, ok := strings.Cut(string(d.RedisURL), "://")
	if !ok || scheme == "unix" || strings.HasPrefix(scheme, "rediss") {
		return false
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	rest, _, _ = strings.Cut(rest, "/")
	for host := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ',' || r == ';' }) {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = strings.Trim(host, "[]")
		}
		if !isHere(name) {
			return true
		}
	}
	return false
}

// isHere reports whether a host is this machine: the path of a socket, localhost or a loopback address.
func isHere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && ip.IsLoopback()
}

// SQLitePath is the database file, or "" with PostgreSQL. Valid after Load.
func (d Database) SQLitePath() string {
	if d.Engine() != EngineSQLite {
		return ""
	}
	return strings.TrimPrefix(string(d.URL), "sqlite:///")
}
