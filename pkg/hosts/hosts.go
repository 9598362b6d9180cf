// SPDX-License-Identifier: AGPL-3.0-or-later

// Package hosts is the Host header allow-list: which names the brain answers to. A page of another site
// that makes a browser resolve its own name to the brain's address (DNS rebinding) is stopped by it.
//
// Four layers make the list: Z4J_ALLOWED_HOSTS, which replaces the last two when set; --allowed-host;
// the allowed-hosts file; auto-detection.
package hosts

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// ErrMalformed says that a Host header can't be read at all.
var ErrMalformed = errors.New("malformed Host header")

const maxName = 253

// Parse reads a Host header and returns the name in its normal form: lower case, without port and
// without a trailing dot, IPv6 addresses in brackets. Empty and unreadable values are ErrMalformed.
func Parse(host string) (name string, err error) {
	name, port, hasPort := splitPort(host)
	if hasPort {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", ErrMalformed
		}
	}
	return normalise(name)
}

// splitPort separates the port. The colon counts only behind the bracket of an IPv6 address.
func splitPort(host string) (name, port string, hasPort bool) {
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 || end == len(host)-1 {
			return host, "", false
		}
		if host[end+1] != ':' {
			return "", "", false
		}
		return host[:end+1], host[end+2:], true
	}
	return strings.Cut(host, ":")
}

// normalise accepts DNS names (with underscores: container names have them) and addresses.
func normalise(name string) (string, error) {
	if strings.HasPrefix(name, "[") {
		if !strings.HasSuffix(name, "]") {
			return "", ErrMalformed
		}
		addr, err := netip.ParseAddr(name[1 : len(name)-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", ErrMalformed
		}
		return "[" + addr.String() + "]", nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > maxName {
		return "", ErrMalformed
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", ErrMalformed
		}
		for i := range len(label) {
			if !isNameByte(label[i]) {
				return "", ErrMalformed
			}
		}
	}
	return name, nil
}

func isNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_'
}

// ParseOrigin returns the host of an Origin header in normal form.
func ParseOrigin(origin string) (name string, err error) {
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok || (scheme != "http" && scheme != "https") || strings.ContainsAny(rest, "/?#@") {
		return "", ErrMalformed
	}
	return Parse(rest)
}

// EntryError refuses an entry of the allow-list and shows the right form.
type EntryError struct {
	Entry   string
	Problem string
	Write   string
}

// Error implements error.
func (e *EntryError) Error() string {
	if e.Write == "" {
		return fmt.Sprintf("%q %s; write a name like z4j.example.com, an address like 192.168.1.20 or [fd00::1], or *.example.com", e.Entry, e.Problem)
	}
	return fmt.Sprintf("%q %s; write %s", e.Entry, e.Problem, e.Write)
}

// ParseEntry reads one entry of the allow-list: a name, an address, or *.domain for all names below it.
func ParseEntry(entry string) (string, error) {
	text := strings.TrimSpace(entry)
	refuse := func(problem, write string) (string, error) {
		return "", &EntryError{Entry: entry, Problem: problem, Write: write}
	}
	if text == "" {
		return refuse("is empty", "")
	}
	if strings.ContainsAny(text, " \t\r\n") {
		return refuse("contains a space", "one name an entry")
	}
	if strings.Contains(text, "://") || strings.ContainsAny(text, "/?@\\") {
		return refuse("is a URL, not a host name", hostOfURL(text))
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() && addr.Zone() == "" {
		return "[" + addr.String() + "]", nil
	}
	if strings.Contains(text, "*") {
		return parseWildcard(entry, text)
	}
	if name, _, hasPort := splitPort(text); hasPort {
		if name, err := normalise(name); err == nil {
			return refuse("carries a port, which is not compared", name)
		}
		return refuse("is not a host name", "")
	}
	if ascii, err := idna.Lookup.ToASCII(text); err == nil && !isASCII(text) {
		text = ascii
	}
	name, err := normalise(text)
	if err != nil {
		return refuse("is not a host name", "")
	}
	return name, nil
}

func parseWildcard(entry, text string) (string, error) {
	domain, ok := strings.CutPrefix(text, "*.")
	if text == "*" {
		return "", &EntryError{Entry: entry, Problem: "would accept every name, and with it DNS rebinding", Write: "the names in use, or *.example.com for all below one domain"}
	}
	name, err := normalise(domain)
	if !ok || err != nil || !strings.Contains(name, ".") || isAddress(name) {
		return "", &EntryError{Entry: entry, Problem: "is not a wildcard that works", Write: "*.example.com: one star, in front, above a domain of two parts or more"}
	}
	return "*." + name, nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// hostOfURL finds the name that the writer of a URL meant.
func hostOfURL(text string) string {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	name, err := Parse(u.Host)
	if err != nil {
		return ""
	}
	return name
}

// Input are the layers of the allow-list.
type Input struct {
	Env   []string // Z4J_ALLOWED_HOSTS
	Flags []string // --allowed-host
	File  []string // entries of the allowed-hosts file, already read
	Auto  []string // Detect
}

// List is an allow-list. It does not change after Build.
type List struct {
	names    []string
	exact    map[string]bool
	suffixes []string // ".example.com"
	fromFile []string
}

// Build merges the layers. A wrong entry in Env or Flags is an error: it was meant for this start. Wrong
// ones in File and Auto are left out; File.Read reports them.
func Build(in Input) (*List, error) {
	l := &List{exact: map[string]bool{}}
	var errs []error
	add := func(entries []string, must bool) (added []string) {
		for _, entry := range entries {
			name, err := ParseEntry(entry)
			if err != nil {
				if must {
					errs = append(errs, err)
				}
				continue
			}
			if l.add(name) {
				added = append(added, name)
			}
		}
		return added
	}
	if len(in.Env) > 0 {
		add(in.Env, true)
	} else {
		add(in.Auto, false)
		l.fromFile = add(in.File, false)
	}
	add(in.Flags, true)
	return l, errors.Join(errs...)
}

func (l *List) add(name string) bool {
	if slices.Contains(l.names, name) {
		return false
	}
	l.names = append(l.names, name)
	if domain, ok := strings.CutPrefix(name, "*"); ok {
		l.suffixes = append(l.suffixes, domain)
	} else {
		l.exact[name] = true
	}
	return true
}

// Allows reports whether a name as Parse returns it is on the list.
func (l *List) Allows(name string) bool {
	if l.exact[name] {
		return true
	}
	return slices.ContainsFunc(l.suffixes, func(suffix string) bool { return len(name) > len(suffix) && strings.HasSuffix(name, suffix) })
}

// AllowsHost reports whether a Host header, with or without port, names a host on the list.
func (l *List) AllowsHost(header string) bool {
	name, err := Parse(header)
	return err == nil && l.Allows(name)
}

// AllowsOrigin reports whether a browser's Origin header names a host on the list.
func (l *List) AllowsOrigin(origin string) bool {
	name, err := ParseOrigin(origin)
	return err == nil && l.Allows(name)
}

// Names returns the list in its order.
func (l *List) Names() []string { return slices.Clone(l.names) }

// String writes the list as it appears in the log.
func (l *List) String() string {
	quoted := make([]string, len(l.names))
	for i, name := range l.names {
		quoted[i] = "'" + name + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Banner returns the lines that a start prints: where it listens, which names it accepts, which of them
// came from the file, and how to add one.
func (l *List) Banner(bind, file string) []string {
	lines := []string{fmt.Sprintf("z4j: serving on %s, accepting Host headers: %s", bind, strings.Join(l.names, ", "))}
	if len(l.fromFile) > 0 {
		lines = append(lines, fmt.Sprintf("z4j: persisted from %s: %s", file, strings.Join(l.fromFile, ", ")))
	}
	return append(lines, "z4j: to accept another name: z4j allowed-hosts add NAME, then restart; or serve --allowed-host NAME for one run")
}
