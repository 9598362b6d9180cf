// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// The headers with which the gateway vouches for a request to the services behind it. They never pass
// the gateway from outside: StripHop removes them there.
const (
	hopClient    = "X-Z4j-Hop-Client"
	hopTime      = "X-Z4j-Hop-Time"
	hopSignature = "X-Z4j-Hop-Signature"
)

// hopWindow is how far the clocks of the gateway and a service may differ.
const hopWindow = 5 * time.Minute

// StripHop removes hop headers that a client sent.
func StripHop(h http.Header) {
	h.Del(hopClient)
	h.Del(hopTime)
	h.Del(hopSignature)
}

// SignHop states the client's address for one request, in a way that only holders of key can.
func SignHop(out *http.Request, key []byte, client netip.Addr, now time.Time) {
	StripHop(out.Header)
	if len(key) == 0 {
		return
	}
	at := strconv.FormatInt(now.Unix(), 10)
	out.Header.Set(hopClient, client.String())
	out.Header.Set(hopTime, at)
	out.Header.Set(hopSignature, hopMAC(key, out, client.String(), at))
}

// VerifyHop returns the client's address that the gateway stated; ok is false when nobody with the key did.
func VerifyHop(r *http.Request, key []byte, now time.Time) (client netip.Addr, ok bool) {
	given := r.Header.Get(hopSignature)
	if len(key) == 0 || given == "" {
		return netip.Addr{}, false
	}
	stated, at := r.Header.Get(hopClient), r.Header.Get(hopTime)
	want := hopMAC(key, r, stated, at)
	if !hmac.Equal([]byte(given), []byte(want)) {
		return netip.Addr{}, false
	}
	sec, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(sec, 0)).Abs() > hopWindow {
		return netip.Addr{}, false
	}
	client, err = netip.ParseAddr(stated)
	return client, err == nil
}

// hopMAC covers what a stolen signature must not be moved to: another method or another path.
func hopMAC(key []byte, r *http.Request, client, at string) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{"z4j hop v1", r.Method, r.URL.EscapedPath(), client, at} {
		mac.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
