// SPDX-License-Identifier: AGPL-3.0-or-later

package hosts

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// detectLimit bounds the name service's part of a start.
const detectLimit = 300 * time.Millisecond

// Detect returns the names under which this machine is usually reached: loopback, the host name with and
// without domain, its addresses, and the address of the interface that leads outside.
func Detect(ctx context.Context) []string {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	ctx, cancel := context.WithTimeout(ctx, detectLimit)
	defer cancel()
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
		names = append(names, detectNames(ctx, host)...)
	}
	// Connecting a UDP socket chooses the source address without sending anything. The targets are
	// addresses that belong to nobody.
	for _, target := range []string{"10.255.255.255:9", "[2001:db8::1]:9"} {
		if addr, ok := outbound(ctx, target); ok {
			names = append(names, addr)
		}
	}
	var list List
	list.exact = map[string]bool{}
	for _, name := range names {
		if entry, err := ParseEntry(name); err == nil {
			list.add(entry)
		}
	}
	return list.names
}

// detectNames returns the full name of the host and its addresses. A reverse lookup is believed only
// when it extends the machine's own name: whoever runs that DNS zone must not choose what we accept.
func detectNames(ctx context.Context, host string) []string {
	var names []string
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	short, _, _ := strings.Cut(strings.ToLower(host), ".")
	for _, addr := range addrs {
		full, err := net.DefaultResolver.LookupAddr(ctx, addr.Unmap().String())
		if err != nil {
			continue
		}
		for _, name := range full {
			if strings.HasPrefix(strings.ToLower(name), short+".") {
				names = append(names, strings.TrimSuffix(name, "."))
			}
		}
	}
	for _, addr := range addrs {
		names = append(names, addr.Unmap().WithZone("").String())
	}
	return names
}

func outbound(ctx context.Context, target string) (string, bool) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", target)
	if err != nil {
		return "", false
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil || local.Addr().IsUnspecified() {
		return "", false
	}
	return local.Addr().Unmap().WithZone("").String(), true
}
