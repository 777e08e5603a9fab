package exchange

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies is the set of peers whose word about a client's address is believed. It is immutable.
type Proxies struct{ prefixes []netip.Prefix }

// NewProxies returns the set of the given prefixes; nil for none, which believes nobody. It reports every prefix that is none,
// and every one that would trust each client's own word: a length of 0, however it is spelled. The errors name no field: the
// caller puts its own in front.
func NewProxies(prefixes []netip.Prefix) (*Proxies, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	p := &Proxies{prefixes: slices.Clone(prefixes)}
	var errs []error
	for i, x := range prefixes {
		if x.IsValid() && x.Addr().Is4In6() && x.Bits() >= 96 {
			x = netip.PrefixFrom(x.Addr().Unmap(), x.Bits()-96)
			p.prefixes[i] = x
		}
		if !x.IsValid() {
			errs = append(errs, fmt.Errorf("TrustedProxies[%d] is no prefix", i))
		} else if x.Bits() == 0 {
			errs = append(errs, fmt.Errorf("TrustedProxies[%d] %v would trust every client's own word", i, prefixes[i]))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Trusts reports whether a is a trusted proxy's. A nil p trusts nobody.
func (p *Proxies) Trusts(a netip.Addr) bool { return p != nil && p.trusts(a) }

// Peer returns the address of the connection of r, the zero Addr for none.
func Peer(r *http.Request) netip.Addr { return peer(r.RemoteAddr) }

// HasPeer reports whether the connection of r has an address; a Unix socket has none.
func HasPeer(r *http.Request) bool { return peer(r.RemoteAddr).IsValid() }

func (p *Proxies) trusts(a netip.Addr) bool {
	for _, x := range p.prefixes {
		if x.Contains(a) {
			return true
		}
	}
	return false
}

// maxHops bounds the walk; a longer list is a client's invention.
const maxHops = 64

// Client returns the address of the client of r: the connection's peer, unless that is a trusted proxy; then the right-most
// hop of X-Forwarded-For or Forwarded (RFC 7239) that is not one. Where all hops are trusted it is the left-most.
//
// It is the zero Addr when nobody can vouch for one: a hop that is no address, or the two headers naming different clients. (A
// proxy appends to one of them and passes the other through as the client wrote it.) The proxy's own address would be a gift:
// whoever may call from inside is often allowed more. Rooms refuse what is bound to addresses, and limit all such requests as one.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	at := peer(r.RemoteAddr)
	if p == nil || !at.IsValid() || !p.trusts(at) {
		return at
	}
	xff, fwd := r.Header["X-Forwarded-For"], r.Header["Forwarded"]
	switch {
	case len(xff) > 0 && len(fwd) > 0:
		if a := p.walk(at, xff, addrOfXFF); a == p.walk(at, fwd, addrOfForwarded) {
			return a
		}
		return netip.Addr{}
	case len(xff) > 0:
		return p.walk(at, xff, addrOfXFF)
	case len(fwd) > 0:
		return p.walk(at, fwd, addrOfForwarded)
	}
	return at // the proxy itself is calling, a health check say
}

// walk goes from the right over the list elements of lines while they are trusted.
func (p *Proxies) walk(at netip.Addr, lines []string, parse func(string) (netip.Addr, bool)) netip.Addr {
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		for more := true; more; {
			var item string
			item, line, more = cutLast(line)
			a, ok := parse(strings.Trim(item, " \t"))
			if hops++; hops > maxHops || !ok {
				return netip.Addr{}
			}
			at = a
			if !p.trusts(a) {
				return a
			}
		}
	}
	return at
}

// cutLast cuts the last element off a comma-separated list. A comma inside a quoted string counts too: no address holds one,
// so the pieces fail to parse, which is the safe side.
func cutLast(list string) (last, rest string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[i+1:], list[:i], true
	}
	return list, "", false
}

// peer parses a host:port of the server's own making.
func peer(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return clean(ap.Addr())
	}
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Addr{}
	}
	return clean(a)
}

// clean removes what would let one client look like two: the zone and the IPv4-in-IPv6 form.
func clean(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// addrOfXFF parses one element of X-Forwarded-For: an address, or one with a port in the forms proxies are seen to write.
func addrOfXFF(s string) (netip.Addr, bool) {
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	a := peer(s)
	return a, a.IsValid()
}

// addrOfForwarded parses the "for" of one element of Forwarded (RFC 7239 section 4): a token or a quoted node, IPv6 in
// brackets. Obfuscated names and "unknown" are no address; neither is an element that says "for" twice.
func addrOfForwarded(s string) (netip.Addr, bool) {
	if len(s) > 512 {
		return netip.Addr{}, false
	}
	var found netip.Addr
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, ";")
		k, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || !strings.EqualFold(k, "for") {
			continue
		}
		if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
			v = v[1 : len(v)-1]
		}
		a, ok := addrOfXFF(v)
		if !ok || found.IsValid() {
			return netip.Addr{}, false
		}
		found = a
	}
	return found, found.IsValid()
}
