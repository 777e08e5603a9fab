package penalty

import (
	"encoding/binary"
	"net/netip"
)

// Key is what a client is counted by: an IPv4 address, or the first bits of an IPv6 address, in which one host can take any number of
// addresses (RFC 8981). It keeps them in full: no two clients share a score, and an operator can list them.
type Key uint64

const (
	// Nobody is the Key of what is no client: no address, or a multicast one. It has no score.
	Nobody Key = 0
	// Unknown is for a room that counts as one client all whose address nobody can vouch for. No address has this Key.
	Unknown Key = 0xfffffffe_00000002

	// The keys of IPv4 addresses are in the IPv6 multicast range, where no client is, and ::/64 (the loopback) moves next to
	// them, for 0 is a free place.
	loopback Key = 0xfffffffe_00000001
	key4     Key = 0xffffffff_00000000
)

// KeyOf returns the client that a is an address of. An IPv4-mapped address is IPv4; a zone does not matter. bits, at most 64, is
// the length of the prefix that is one IPv6 client.
func KeyOf(a netip.Addr, bits int) Key {
	if !a.IsValid() {
		return Nobody
	}
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return key4 | Key(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	k := Key(binary.BigEndian.Uint64(b[:])) &^ (1<<(64-bits) - 1)
	switch {
	case k == 0:
		return loopback
	case k>>56 == 0xff:
		return Nobody
	}
	return k
}

// Network returns the Key of the shorter prefix that an IPv6 client is in; Nobody for others.
func (k Key) Network(bits int) Key {
	if k >= loopback {
		return Nobody
	}
	return k &^ (1<<(64-bits) - 1)
}

// Prefix is the inverse of [KeyOf] with the same bits: the zero Prefix for Nobody and Unknown.
func (k Key) Prefix(bits int) netip.Prefix {
	switch {
	case k == Nobody || k == Unknown:
		return netip.Prefix{}
	case k >= key4:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(k))
		return netip.PrefixFrom(netip.AddrFrom4(a), 32)
	case k == loopback:
		k = 0
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], uint64(k))
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}
