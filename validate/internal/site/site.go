// Package site decides by the Host and Origin headers, for all of validate: which names a server answers to, and which web pages
// may call it. A name of the attacker's that leads to this server (DNS rebinding), and a page that posts to it, show there.
package site

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
)

// Fault is what is wrong with a request; the zero Fault is nothing.
type Fault uint8

// The faults.
const (
	HostInvalid   Fault = iota + 1 // missing or malformed
	HostUnknown                    // not among the hosts
	OriginUnknown                  // not among the origins, nor of the same host
)

// Reply is what the client sees. The codes of what a web page can make its visitors send cost those nothing with a guard.
func (f Fault) Reply() (code deny.Code, status int, message string) {
	switch f {
	case HostInvalid: // RFC 9112 section 3.2
		return deny.InvalidRequest, http.StatusBadRequest, "The Host header is missing or malformed."
	case HostUnknown: // RFC 9110 sections 7.4 and 15.5.20
		return deny.RequestRefused, http.StatusMisdirectedRequest, "This server does not answer for that host."
	}
	return deny.RequestRefused, http.StatusForbidden, "Requests from this origin are not accepted."
}

// Checker has the hosts and origins that are known. It is immutable.
type Checker struct {
	names   map[string][]string     // ports by name; "" is every port
	addrs   map[netip.Addr][]string // the same by address
	origins map[string]bool
}

// New compiles lists of hosts and origins. The faults begin with the name of the list and the place in it.
func New(hosts, origins []string) (c *Checker, faults []string) {
	c = &Checker{names: map[string][]string{}, addrs: map[netip.Addr][]string{}, origins: map[string]bool{}}
	for i, s := range hosts {
		h, ok := parseHost(s)
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("Hosts[%d] %q is no host", i, s))
		case h.addr.IsValid():
			c.addrs[h.addr] = append(c.addrs[h.addr], h.port)
		default:
			name := strings.ToLower(h.name)
			c.names[name] = append(c.names[name], h.port)
		}
	}
	for i, s := range origins {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != s || strings.ToLower(s) != s || u.Port() != "" && u.Port() == defaultPort(u.Scheme) {
			faults = append(faults, fmt.Sprintf("Origins[%d] %q is no origin as a browser writes it: scheme://host in lower case, with the port unless it is the scheme's", i, s))
		}
		c.origins[s] = true
	}
	return c, faults
}

func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

// Host decides about a Host header by the list. Without a port it may mean 80 or 443: the scheme the client used is not known
// behind a proxy that ends TLS.
func (c *Checker) Host(s string) Fault {
	h, ok := parseHost(s)
	if !ok {
		return HostInvalid
	}
	var ports []string
	if h.addr.IsValid() {
		ports = c.addrs[h.addr]
	} else {
		var buf [maxHost]byte
		name := buf[:copy(buf[:], h.name)]
		for i, b := range name {
			if b >= 'A' && b <= 'Z' {
				name[i] = b | 0x20
			}
		}
		ports = c.names[string(name)]
	}
	for _, p := range ports {
		if p == "" || p == h.port || h.port == "" && (p == "80" || p == "443") {
			return 0
		}
	}
	return HostUnknown
}

// Loopback decides about the Host header where no list is set: who calls over loopback calls it by name, and everything else is
// a name of somebody's that leads here. A request that did not arrive over loopback may name any host.
func Loopback(r *http.Request) Fault {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return 0
	}
	if at, err := netip.ParseAddrPort(local.String()); err != nil || !at.Addr().Unmap().IsLoopback() {
		return 0
	}
	h, ok := parseHost(r.Host)
	switch {
	case !ok:
		return HostInvalid
	case strings.EqualFold(h.name, "localhost") || h.addr.Unmap().IsLoopback():
		return 0
	}
	return HostUnknown
}

// Origin decides about the Origin headers by the list. sameHost lets pages of the host that they call pass too: it is for callers
// who know that host to be theirs.
func (c *Checker) Origin(r *http.Request, sameHost bool) Fault {
	for _, o := range r.Header["Origin"] {
		if !c.origins[o] && !(sameHost && same(o, r.Host)) {
			return OriginUnknown
		}
	}
	return 0
}

// same reports whether a page is of the host that it calls. The scheme does not count, for TLS may end before us: a Host without
// a port is that of either.
func same(origin, hostport string) bool {
	u, err := url.Parse(origin)
	if err != nil || defaultPort(u.Scheme) == "" {
		return false
	}
	page, ok1 := parseHost(u.Host)
	h, ok2 := parseHost(hostport)
	if !ok1 || !ok2 || !strings.EqualFold(page.name, h.name) || page.addr != h.addr {
		return false
	}
	if page.port == "" {
		page.port = defaultPort(u.Scheme)
	}
	return page.port == h.port || h.port == "" && (page.port == "80" || page.port == "443")
}

// host is a Host header in one spelling: a name without a trailing dot, in the case it came in, or an address; and the port.
type host struct {
	name string
	addr netip.Addr
	port string
}

// maxHost is the longest name in the DNS (RFC 1035 section 2.3.4).
const maxHost = 253

// parseHost parses a Host header (RFC 9110 section 7.2): a name, IPv4 address or IPv6 literal, and an optional port.
func parseHost(s string) (h host, ok bool) {
	name, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return h, false
		}
		name, port = s[1:end], s[end+1:]
		if strings.IndexByte(name, '%') >= 0 {
			return h, false // a zone means nothing to anybody else
		}
		a, err := netip.ParseAddr(name)
		if err != nil || !a.Is6() {
			return h, false
		}
		h.addr = a
	} else {
		if i := strings.IndexByte(s, ':'); i >= 0 {
			name, port = s[:i], s[i:]
		}
		if name = strings.TrimSuffix(name, "."); !hostname(name) {
			return h, false
		}
		if last := name[len(name)-1]; last >= '0' && last <= '9' {
			// What ends in a number is an IPv4 address or nothing (WHATWG URL, "ends in a number"): 127.1 and 0x7f.1 are neither here.
			if a, err := netip.ParseAddr(name); err == nil {
				h.addr = a
			} else if allDigits(name[strings.LastIndexByte(name, '.')+1:]) {
				return h, false
			}
		}
		if !h.addr.IsValid() {
			h.name = name
		}
	}
	if port != "" {
		if port[0] != ':' || len(port) > 6 || len(port) > 1 && !allDigits(port[1:]) {
			return h, false
		}
		h.port = port[1:] // "example.com:" is example.com (RFC 3986 section 3.2.3)
	}
	return h, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// hostname reports whether s is a name of labels of letters, digits, hyphens and underscores. Names in other scripts come in
// their ASCII form (RFC 5891).
func hostname(s string) bool {
	if s == "" || len(s) > maxHost {
		return false
	}
	label := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if label == 0 || label > 63 {
				return false
			}
			label = 0
			continue
		}
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
		label++
	}
	return true
}
