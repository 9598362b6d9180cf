// SPDX-License-Identifier: AGPL-3.0-or-later

package throttle

import (
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	clock := time.Unix(1000, 0)
	f := New(3, time.Minute, func() time.Time { return clock })
	for range 3 {
		if f.Blocked("a") {
			t.Fatal("blocked too early")
		}
		f.Add("a")
	}
	if !f.Blocked("a") || f.Blocked("b") {
		t.Error("the wrong key is blocked")
	}
	clock = clock.Add(time.Minute)
	if f.Blocked("a") {
		t.Error("blocked for ever")
	}
	if n := f.Add("a"); n != 1 {
		t.Errorf("a new window starts with %d", n)
	}
	for i := range maxFailureKeys + 10 {
		f.Add(strconv.Itoa(i))
	}
	if len(f.seen) > maxFailureKeys {
		t.Errorf("%d keys are kept", len(f.seen))
	}
}

func TestAddressKey(t *testing.T) {
	t.Parallel()
	same := func(a, b string) bool {
		return AddressKey(netip.MustParseAddr(a)) == AddressKey(netip.MustParseAddr(b))
	}
	if !same("2001:db8::1", "2001:db8::ffff:1") || same("2001:db8::1", "2001:db8:0:1::1") || same("10.0.0.1", "10.0.0.2") || !same("10.0.0.1", "::ffff:10.0.0.1") {
		t.Error("addresses are grouped wrongly")
	}
}
