// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestResolveClientIP(t *testing.T) {
	trusted, err := ParsePrefixes([]string{"10.0.0.0/8", "127.0.0.1", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	resolver := NewIPResolver(trusted)
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:1", nil, "203.0.113.9"},
		{"untrusted peer's header is ignored", "203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"spoofed left hop", "10.0.0.1:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two header lines", "10.0.0.1:1", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"malformed hop voids all", "10.0.0.1:1", []string{"x, 198.51.100.1"}, "10.0.0.1"},
		{"empty hop voids all", "10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.7, 10.0.0.2"}, "10.0.0.7"},
		{"with port", "10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"ipv6", "[fd00::1]:1", []string{"[2001:db8::5]:80"}, "2001:db8::5"},
		{"bracketed ipv6", "[fd00::1]:1", []string{"[2001:db8::5]"}, "2001:db8::5"},
		{"mapped", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			for _, line := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			if got := resolver.Resolve(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"198.51.100.1", "a, b", "[::1]:5, 10.0.0.1", ",,,", "fe80::1%eth0"} {
		f.Add(seed)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", header)
		if got := NewIPResolver(trusted).Resolve(r); !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q resolved to %v", header, got)
		}
	})
}

func TestThrottleWindow(t *testing.T) {
	now := time.Unix(1000, 0)
	th := NewThrottle("login", 3, time.Minute)
	th.now = func() time.Time { return now }
	for range 3 {
		if err := th.Allow("a"); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Second)
	}
	var refused *ThrottledError
	if err := th.Allow("a"); !errors.As(err, &refused) || refused.Seconds() != 30 {
		t.Fatalf("fourth call: %v", err)
	}
	if err := th.Allow("b"); err != nil {
		t.Errorf("another key: %v", err)
	}
	now = now.Add(30 * time.Second)
	if err := th.Allow("a"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if err := th.Allow("a"); !errors.As(err, &refused) || refused.Seconds() != 10 {
		t.Errorf("the next slot is 10 s away: %v", err)
	}
}

func TestThrottleForgetsOldestInsteadOfRefusing(t *testing.T) {
	th := NewThrottle("login", 1, time.Minute)
	th.maxKeys = 10
	for i := range 100 {
		if err := th.Allow(fmt.Sprint(i)); err != nil {
			t.Fatalf("new address %d refused: %v", i, err)
		}
	}
	if len(th.entries) != 10 || th.recent.Len() != 10 {
		t.Errorf("table holds %d entries, want 10", len(th.entries))
	}
}

func TestThrottleCountsIPv6ByNetwork(t *testing.T) {
	th := NewThrottle("login", 1, time.Minute)
	if err := th.AllowIP(netip.MustParseAddr("2001:db8:1:2::1")); err != nil {
		t.Fatal(err)
	}
	if th.AllowIP(netip.MustParseAddr("2001:db8:1:2:ffff::9")) == nil {
		t.Error("the same /64 got a second budget")
	}
}

func TestTimeJSON(t *testing.T) {
	at := time.Date(2026, 11, 23, 22, 41, 55, 123456789, time.FixedZone("x", 3600))
	for _, tt := range []struct {
		value any
		want  string
	}{
		{NewTime(at), `"2026-11-23T21:41:55.123456Z"`},
		{NewTime(time.Date(2026, 11, 23, 21, 41, 55, 0, time.UTC)), `"2026-11-23T21:41:55.000000Z"`},
		{TimePtr(nil), "null"},
		{Time{}, "null"},
		{TimePtr(&at), `"2026-11-23T21:41:55.123456Z"`},
	} {
		got, err := json.Marshal(tt.value)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %s %v, want %s", got, err, tt.want)
		}
	}
}

func TestCursorRoundTrip(t *testing.T) {
	id := uuid.MustParse("7b1c8a52-2f0e-4b7c-9d52-0b6f2f3c1a11")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	c, ok := ParseCursor(TimeCursor(&at, id))
	if !ok || !c.Time.Equal(at) || c.ID != id {
		t.Errorf("time cursor: %+v %v", c, ok)
	}
	if c, ok = ParseCursor(TimeCursor(nil, id)); !ok || !c.Null {
		t.Errorf("null cursor: %+v %v", c, ok)
	}
	if c, ok = ParseCursor(RawCursor("name", id)); !ok || c.Raw != "name" {
		t.Errorf("raw cursor: %+v %v", c, ok)
	}
	old := base64.RawURLEncoding.EncodeToString([]byte(`[["dt","2026-11-23T21:41:55"],"7b1c8a522f0e4b7c9d520b6f2f3c1a11"]`))
	if c, ok = ParseCursor(old + "=="); !ok || c.Time.Second() != 55 || c.ID != id {
		t.Errorf("cursor of the first API: %+v %v", c, ok)
	}
	for _, bad := range []string{"", "zzz", "!!", base64.RawURLEncoding.EncodeToString([]byte(`[["dt",5],"x"]`)), base64.RawURLEncoding.EncodeToString([]byte(`{}`))} {
		if _, ok := ParseCursor(bad); ok {
			t.Errorf("malformed cursor %q accepted", bad)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("W1siZHQiLCIyMDI2LTExLTIzVDIxOjQxOjU1Il0sIjdiMWM4YTUyLTJmMGUtNGI3Yy05ZDUyLTBiNmYyZjNjMWExMSJd")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ParseCursor(text) })
}

func TestHopSignature(t *testing.T) {
	key, now := []byte("0123456789abcdef0123456789abcdef"), time.Unix(5000, 0)
	client := netip.MustParseAddr("198.51.100.7")
	signed := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/auth/login", nil)
		SignHop(r, key, client, now)
		return r
	}
	if got, ok := VerifyHop(signed(), key, now); !ok || got != client {
		t.Fatalf("good signature: %v %v", got, ok)
	}
	other := signed()
	other.URL.Path = "/api/v1/users"
	forged := signed()
	forged.Header.Set(hopClient, "203.0.113.1")
	for name, tt := range map[string]struct {
		r   *http.Request
		key []byte
		now time.Time
	}{
		"another path": {other, key, now}, "another address": {forged, key, now}, "another key": {signed(), []byte("x"), now},
		"no key": {signed(), nil, now}, "too old": {signed(), key, now.Add(time.Hour)}, "unsigned": {httptest.NewRequest(http.MethodGet, "/", nil), key, now},
	} {
		if _, ok := VerifyHop(tt.r, tt.key, tt.now); ok {
			t.Errorf("%s was believed", name)
		}
	}
}

func TestRequestStripsHopHeadersAtTheEdge(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	SignHop(r, []byte("guessed"), netip.MustParseAddr("127.0.0.1"), time.Now())
	Request(RequestOptions{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.Header.Values(hopClient))+len(r.Header.Values(hopSignature)) != 0 {
			t.Error("hop headers passed the edge")
		}
		if got := ClientIP(r.Context()); got.String() != "192.0.2.1" {
			t.Errorf("client %v", got)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}
