// SPDX-License-Identifier: AGPL-3.0-or-later

package httpx

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxForwardedHops bounds the walk through X-Forwarded-For; a longer header is void.
const maxForwardedHops = 64

// IPResolver finds the address a request really comes from: the socket peer, unless that is a
// trusted proxy, whose X-Forwarded-For then counts.
type IPResolver struct {
	trusted []netip.Prefix
}

// NewIPResolver returns a resolver that believes X-Forwarded-For from these networks only.
func NewIPResolver(trusted []netip.Prefix) *IPResolver { return &IPResolver{trusted: trusted} }

// ParsePrefixes reads networks (`10.0.0.0/8`, `::1/128`) and single addresses.
func ParsePrefixes(values []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(values))
	for _, v := range values {
		v = strings.TrimSpace(v)
		if p, err := netip.ParsePrefix(v); err == nil {
			prefixes = append(prefixes, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%q is neither a network like 10.0.0.0/8 nor an IP address", v)
		}
		a = a.Unmap()
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes, nil
}

// Resolve returns the client's address; the zero Addr when the peer is not an IP address. A nil
// resolver trusts nobody.
func (p *IPResolver) Resolve(r *http.Request) netip.Addr {
	peer := PeerIP(r)
	if p == nil || !peer.IsValid() || !p.Trusts(peer) {
		return peer
	}
	addr, ok := p.forwarded(r.Header.Values("X-Forwarded-For"))
	if !ok {
		return peer
	}
	return addr
}

// forwarded walks the hops from the right: the nearest proxy wrote the last one. The first hop that
// is not a trusted proxy is the client; any malformed hop voids the whole header, because a header
// that can't be read can't be believed in part.
func (p *IPResolver) forwarded(lines []string) (netip.Addr, bool) {
	hops := strings.Split(strings.Join(lines, ","), ",")
	if len(hops) > maxForwardedHops {
		return netip.Addr{}, false
	}
	client, found := netip.Addr{}, false
	for _, hop := range slices.Backward(hops) {
		addr, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			return netip.Addr{}, false
		}
		if found {
			continue
		}
		client = addr
		found = !p.Trusts(addr)
	}
	return client, client.IsValid()
}

// parseHop reads one X-Forwarded-For element: an address, perhaps with a port.
func parseHop(hop string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(hop)
	if err != nil {
		ap, portErr := netip.ParseAddrPort(hop)
		if portErr == nil {
			addr, err = ap.Addr(), nil
		} else if strings.HasPrefix(hop, "[") && strings.HasSuffix(hop, "]") {
			addr, err = netip.ParseAddr(hop[1 : len(hop)-1])
		}
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("forwarded hop %q is not an address: %w", hop, err)
	}
	return addr.WithZone("").Unmap(), nil
}

// Trusts reports whether the address is a trusted proxy.
func (p *IPResolver) Trusts(addr netip.Addr) bool { return p != nil && ContainsIP(p.trusted, addr) }

// ContainsIP reports whether one of the networks holds the address.
func ContainsIP(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// PeerIP returns the address of the socket's other end.
func PeerIP(r *http.Request) netip.Addr {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return ap.Addr().WithZone("").Unmap()
	}
	if addr, err := netip.ParseAddr(r.RemoteAddr); err == nil {
		return addr.WithZone("").Unmap()
	}
	return netip.Addr{}
}
