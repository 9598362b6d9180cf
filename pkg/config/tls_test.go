// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"strings"
	"testing"
)

// TestProductionAsksForTLS checks which database and Redis URLs production takes without being told to.
func TestProductionAsksForTLS(t *testing.T) {
	t.Parallel()
	const secure = "Z4J_DATABASE_URL=postgres://u:p@db.example.com/d?sslmode=require"
	for _, c := range []struct{ env, faults string }{
		{"Z4J_DATABASE_URL=postgres://u:p@db.example.com/d", "Z4J_DATABASE_URL"},
		{"Z4J_DATABASE_URL=postgres://u:p@db.example.com/d?sslmode=prefer", "Z4J_DATABASE_URL"},
		{"Z4J_DATABASE_URL=postgres://u:p@db.example.com/d?sslmode=verify-full", ""},
		{"Z4J_DATABASE_URL=postgres://u:p@db.example.com/d Z4J_REQUIRE_DB_SSL=false", ""},
		{"Z4J_DATABASE_URL=postgres://u:p@127.0.0.1/d", ""},
		{"Z4J_DATABASE_URL=postgres://u:p@[::1]:5432/d", ""},
		{"Z4J_DATABASE_URL=postgres://u:p@/d?host=/var/run/postgresql", ""},
		{"Z4J_DATABASE_URL=postgres://u:p@localhost/d?host=db.example.com", "Z4J_DATABASE_URL"},
		{secure + " Z4J_REDIS_URL=redis://cache.example.com/0", "Z4J_REDIS_URL"},
		{secure + " Z4J_REDIS_URL=redis://cache.example.com/0 Z4J_REQUIRE_REDIS_SSL=false", ""},
		{secure + " Z4J_REDIS_URL=redis://u:p@127.0.0.1:6379/0", ""},
		{secure + " Z4J_REDIS_URL=redis://[::1]/0", ""},
		{secure + " Z4J_REDIS_URL=unix:///run/redis.sock", ""},
		{secure + " Z4J_REDIS_URL=rediss://cache.example.com/0", ""},
		{secure + " Z4J_REDIS_URL=redis+sentinel://localhost:26379,s2.example.com/m/0", "Z4J_REDIS_URL"},
		{secure + " Z4J_REDIS_URL=rediss+sentinel://s1.example.com,s2.example.com/m/0", ""},
		{secure + " Z4J_REDIS_URL=redis+cluster://a.example.com,b.example.com", "Z4J_REDIS_URL"},
		{secure + " Z4J_REDIS_URL=rediss+cluster://a.example.com,b.example.com", ""},
		{secure + " Z4J_REDIS_URL=memcached://a.example.com", "Z4J_REDIS_URL"},
	} {
		o := base(t)
		o.Environ = append(o.Environ, "Z4J_PUBLIC_URL=https://z4j.example.com", "Z4J_ALLOWED_HOSTS=z4j.example.com")
		o.Environ = append(o.Environ, strings.Fields(c.env)...)
		_, err := Load(o)
		got := faultNames(err)
		if c.faults == "" && len(got) > 0 || c.faults != "" && (len(got) == 0 || got[0] != c.faults) {
			t.Errorf("%s: faults %v, want %q (%v)", c.env, got, c.faults, err)
		}
	}
}
