// SPDX-License-Identifier: AGPL-3.0-or-later

package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisForms is what a refusal says about the forms of a URL.
const redisForms = "the forms are redis://[user:password@]host:6379/0, redis+sentinel://[user:password@]h1:26379,h2:26379/master-name/0 and " +
	"redis+cluster://[user:password@]h1:6379,h2:6379, each with rediss for TLS, and unix:///path/to/socket"

// errRedisURL is returned without the parser's words and without the URL: both may hold the password.
var errRedisURL = errors.New("the Redis URL can't be parsed; " + redisForms)

// redisTarget is a parsed Redis URL.
type redisTarget struct {
	// kind is "", "sentinel" or "cluster".
	kind, network                  string
	addrs                          []string
	user, password                 string
	master                         string
	sentinelUser, sentinelPassword string
	db                             int
	tls                            *tls.Config
}

// harmless are parameters that redis-py and Celery read from such URLs and that mean nothing for hints.
var harmless = []string{
	"socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval", "retry_on_timeout", "max_connections",
	"decode_responses", "encoding", "protocol", "virtual_host", "global_keyprefix", "visibility_timeout", "timeout", "client_name",
}

// parseRedisURL reads a URL as redis-py and Celery users write it, with the forms for Sentinel and Cluster.
func parseRedisURL(raw string) (*redisTarget, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errRedisURL
	}
	rest, rawQuery, _ := strings.Cut(rest, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, errRedisURL
	}
	t := &redisTarget{network: "tcp"}
	base, kind, _ := strings.Cut(scheme, "+")
	if scheme == "sentinel" {
		base, kind = "redis", "sentinel"
	}
	t.kind = kind
	if (base != "redis" && base != "rediss" && (base != "unix" || kind != "")) || (kind != "" && kind != "sentinel" && kind != "cluster") || strings.HasSuffix(scheme, "+") {
		return nil, errRedisURL
	}
	authority, path := rest, ""
	if base == "unix" {
		authority, path = "", rest
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			authority, path = rest[:at+1], rest[at+1:]
		}
	} else if at := strings.IndexByte(rest[strings.LastIndexByte(rest, '@')+1:], '/'); at >= 0 {
		at += strings.LastIndexByte(rest, '@') + 1
		authority, path = rest[:at], rest[at+1:]
	}
	if err := t.authority(authority); err != nil {
		return nil, err
	}
	if err := t.path(base, path); err != nil {
		return nil, err
	}
	return t, t.query(base, query)
}

// authority reads user, password and hosts.
func (t *redisTarget) authority(text string) error {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		user, password, both := strings.Cut(text[:at], ":")
		var err1, err2 error
		t.user, err1 = url.PathUnescape(user)
		t.password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errRedisURL
		}
		if !both {
			t.user, t.password = "", t.user // redis-py's form with a password alone
		}
		text = text[at+1:]
	}
	port := "6379"
	if t.kind == "sentinel" {
		port = "26379"
	}
	for host := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' }) {
		if bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"); !strings.Contains(host, ":") || "["+bare+"]" == host {
			host = net.JoinHostPort(bare, port)
		}
		name, p, err := net.SplitHostPort(host)
		if _, perr := strconv.ParseUint(p, 10, 16); err != nil || perr != nil || name == "" || strings.ContainsAny(name, " /") {
			return errRedisURL
		}
		t.addrs = append(t.addrs, host)
	}
	return nil
}

// path reads what follows the hosts: the database, the master's name and the database, or the path of a socket.
func (t *redisTarget) path(base, path string) error {
	number := strings.Trim(path, "/")
	switch {
	case base == "unix":
		if !strings.HasPrefix(path, "/") {
			return errRedisURL
		}
		t.network, t.addrs, number = "unix", []string{path}, ""
	case len(t.addrs) == 0:
		if t.kind != "" {
			return errRedisURL
		}
		t.addrs = []string{"localhost:6379"}
	case t.kind == "" && len(t.addrs) > 1:
		return errors.New("the Redis URL names several hosts: write redis+sentinel:// or redis+cluster:// for what they are")
	}
	if t.kind == "sentinel" {
		t.master, number, _ = strings.Cut(number, "/")
		if t.master == "" {
			return errors.New("the Redis URL names no master for Sentinel: write redis+sentinel://h1:26379,h2:26379/master-name/0")
		}
	}
	return t.database(number)
}

func (t *redisTarget) database(number string) error {
	if number == "" {
		return nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return errRedisURL
	}
	if t.kind == "cluster" && n != 0 {
		return errors.New("the Redis URL names a database, and a Redis Cluster has only number 0: leave it out")
	}
	t.db = n
	return nil
}

// query reads the parameters.
func (t *redisTarget) query(base string, q url.Values) error {
	var security tlsSettings
	for name := range q {
		value := q.Get(name)
		var err error
		switch name {
		case "db":
			err = t.database(value)
		case "sentinel_username":
			t.sentinelUser = value
		case "sentinel_password":
			t.sentinelPassword = value
		case "ssl_cert_reqs":
			security.reqs = strings.TrimPrefix(strings.ToLower(value), "cert_")
		case "ssl_ca_certs":
			security.ca = value
		case "ssl_certfile":
			security.cert = value
		case "ssl_keyfile":
			security.key = value
		case "ssl_check_hostname":
			security.anyHost = strings.EqualFold(value, "false") || value == "0"
		case "skip_verify":
			if value == "true" || value == "1" {
				security.reqs = "none"
			}
		default:
			if !slices.Contains(harmless, name) {
				err = fmt.Errorf("the Redis URL has the parameter %q, which is not known: remove it (known: db, ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_check_hostname, sentinel_username, sentinel_password)", name)
			}
		}
		if err != nil {
			return err
		}
	}
	if base != "rediss" {
		if security != (tlsSettings{}) {
			return errors.New("the Redis URL has TLS parameters but no TLS: write rediss:// instead of redis://")
		}
		return nil
	}
	var err error
	t.tls, err = security.config()
	return err
}

// tlsSettings are the TLS parameters of a URL, by the names of redis-py.
type tlsSettings struct {
	reqs, ca, cert, key string
	anyHost             bool
}

func (s tlsSettings) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		text, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf("ssl_ca_certs of the Redis URL: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ssl_ca_certs of the Redis URL: %s holds no certificate in PEM form", s.ca)
		}
	}
	if s.cert != "" || s.key != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, fmt.Errorf("ssl_certfile and ssl_keyfile of the Redis URL: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch {
	case s.reqs == "none":
		c.InsecureSkipVerify = true //nolint:gosec // the operator asked for it by name
	case s.reqs != "" && s.reqs != "required" && s.reqs != "optional":
		return nil, errors.New("ssl_cert_reqs of the Redis URL is none of required, optional and none")
	case s.anyHost:
		roots := c.RootCAs
		c.InsecureSkipVerify = true //nolint:gosec // the chain is verified below, the name on the operator's word not
		c.VerifyConnection = func(state tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range state.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := state.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return c, nil
}

// connections is how many connections hints are published through.
const connections = 4

// client opens the client of the target. It connects when it is first used.
func (t *redisTarget) client() redis.UniversalClient {
	switch t.kind {
	case "sentinel":
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.addrs, SentinelUsername: t.sentinelUser, SentinelPassword: t.sentinelPassword,
			Username: t.user, Password: t.password, DB: t.db, TLSConfig: t.tls, ClientName: "z4j",
			DialTimeout: ioTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, ContextTimeoutEnabled: true,
			PoolSize: connections, MaxRetries: -1,
		})
	case "cluster":
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addrs, Username: t.user, Password: t.password, TLSConfig: t.tls, ClientName: "z4j",
			DialTimeout: ioTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, ContextTimeoutEnabled: true,
			PoolSize: connections, MaxRetries: -1,
		})
	}
	return redis.NewClient(&redis.Options{
		Network: t.network, Addr: t.addrs[0], Username: t.user, Password: t.password, DB: t.db, TLSConfig: t.tls, ClientName: "z4j",
		DialTimeout: ioTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, ContextTimeoutEnabled: true,
		PoolSize:   connections,
		MaxRetries: -1, // a hint that comes late is no better than a lost one
	})
}

// publisher is the client to publish through. In a cluster any node would do, but hints of one replica must keep their
// order, so one node takes them all.
func publisher(ctx context.Context, c redis.UniversalClient, channel string) (redis.Cmdable, error) {
	if cluster, ok := c.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, channel)
	}
	return c, nil
}

// lookAgain has a cluster's client ask for the cluster's nodes anew: after a failed attempt it may know a dead one.
func lookAgain(ctx context.Context, c redis.UniversalClient) {
	if cluster, ok := c.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}
