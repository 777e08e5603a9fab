package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Rules says which addresses may come in. The longest prefix that holds an address decides; where the same prefix is on both
// lists, Deny does. The order within a list means nothing. IPv4-mapped IPv6 prefixes (::ffff:192.0.2.0/120) are the IPv4
// prefixes they stand for, as client addresses are.
type Rules struct {
	// Allow lists prefixes whose clients come in whatever shorter prefix of Deny they are in, and are never scored and never
	// banned: offices, monitors, one's own proxies. The other checks of the Guard apply to them too.
	Allow []netip.Prefix
	// Deny lists prefixes whose clients get 403.
	Deny []netip.Prefix
	// AllowOnly refuses every address that no prefix holds. With an empty Allow it is a fault.
	AllowOnly bool
}

// rules is the compiled form. It is immutable.
type rules struct {
	v4, v6    trie
	allowOnly bool
}

// compile checks and compiles r. where is how the faults name it.
func (r Rules) compile(where string) (*rules, error) {
	var faults []error
	var v4, v6 []rule
	add := func(field string, list []netip.Prefix, is verdict) {
		for i, p := range list {
			q, ok := normal(p)
			switch {
			case !ok:
				faults = append(faults, fmt.Errorf("guard: %s.%s[%d] %v is no prefix of IPv4 or IPv6 addresses", where, field, i, p))
			case q.Addr().Is4():
				v4 = append(v4, ruleOf(q, is))
			default:
				v6 = append(v6, ruleOf(q, is))
			}
		}
	}
	add("Allow", r.Allow, allowed)
	add("Deny", r.Deny, denied)
	if r.AllowOnly && len(r.Allow) == 0 {
		faults = append(faults, fmt.Errorf("guard: %s.AllowOnly with an empty Allow would refuse everybody", where))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &rules{v4: newTrie(v4), v6: newTrie(v6), allowOnly: r.AllowOnly}, nil
}

// normal returns p with an IPv4-mapped address as IPv4. A mapped prefix shorter than 96 bits is none: it would say something
// about all of IPv4 that its writer hardly meant.
func normal(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, true
}

// of returns what the rules say of a valid address. Zone and IPv4-mapped form do not matter.
func (r *rules) of(a netip.Addr) verdict {
	a = a.Unmap()
	hi, lo := words(a)
	var v verdict
	if a.Is4() {
		v = r.v4.lookup(hi, lo)
	} else {
		v = r.v6.lookup(hi, lo)
	}
	if v == unlisted && r.allowOnly {
		return denied
	}
	return v
}

// Bounds of [ParsePrefixes].
const (
	maxLine   = 4096
	maxFaults = 20
)

// ParsePrefixes reads a list of one address or prefix per line, such as the published block lists. Empty lines are skipped,
// and what follows "#" or ";" is a comment. An address is a prefix of its full length. IPv4-mapped IPv6 becomes IPv4.
//
// A line that is neither, has a zone, or has bits set behind its prefix length (10.0.0.1/8 can mean two things) is an error
// with its number; the error joins the first 20. With an error there are no prefixes: half a list is not a list.
func ParsePrefixes(r io.Reader) ([]netip.Prefix, error) {
	var list []netip.Prefix
	var faults []error
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, maxLine), maxLine)
	n := 0
	for s.Scan() && len(faults) < maxFaults {
		n++
		text := s.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // editors leave a byte order mark
		}
		if i := strings.IndexAny(text, "#;"); i >= 0 {
			text = text[:i]
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := parsePrefix(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("guard: line %d: %q %w", n, text[:min(len(text), 64)], err))
			continue
		}
		list = append(list, p)
	}
	if err := s.Err(); err != nil {
		faults = append(faults, fmt.Errorf("guard: line %d: %w", n+1, err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return list, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	var p netip.Prefix
	if strings.IndexByte(text, '/') < 0 {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return p, errors.New("is no address")
		}
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, errors.New("is no prefix")
	}
	p, ok := normal(p)
	switch {
	case !ok:
		return p, errors.New("is an IPv4-mapped prefix shorter than 96 bits")
	case p != p.Masked():
		return p, fmt.Errorf("has bits set behind its length; the prefix is %v", p.Masked())
	}
	return p, nil
}
