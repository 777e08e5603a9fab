package guard

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// verdict is what the address rules say of an address.
type verdict uint8

const (
	unlisted verdict = iota
	allowed
	denied
)

// rule is one prefix: its address in the upper bits of hi, lo (IPv4 in the top 32), and how many of them count.
type rule struct {
	hi, lo uint64
	bits   uint8
	is     verdict
}

// ruleOf takes a valid prefix without an IPv4-mapped address.
func ruleOf(p netip.Prefix, is verdict) rule {
	hi, lo := words(p.Masked().Addr())
	return rule{hi: hi, lo: lo, bits: uint8(p.Bits()), is: is}
}

// words returns the bits of an address, from the top.
func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])) << 32, 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// trie answers the longest prefix match of one address family. It is a multibit trie of 6 bits a step over flat arrays
// without pointers, after Asai and Ohara, "Poptrie" (SIGCOMM 2015): a node's children stand side by side, and the number of
// bits set below one's own is the child's place. Two things differ. The answers are two bitmaps in the node, because there
// are only three of them. And a stretch of the address on which all prefixes of a node agree is compared in one step, so
// that a list of single IPv6 addresses does not become chains of 20 nodes each. Immutable after newTrie.
type trie struct {
	head  uint64   // the first skip bits, on which all rules agree, when there is a root
	skip  uint     // at most 48
	root  []uint32 // by the 16 bits behind them: a verdict, or firstNode + a node; nil for short lists
	nodes []node   // nodes[0] is the top without root, and nobody's child
	top   verdict  // the answer where there are no nodes at all
}

const (
	firstNode = 3    // below are verdicts
	rootFrom  = 2048 // rules from which 256 KiB for the first 16 bits are worth it
)

// node is a branch when bits is 0: a are the steps with a child, b those allowed, c those denied. Otherwise it compares the
// first bits of the address with a and b, under the mask c of the last word that counts.
type node struct {
	a, b, c uint64
	base    uint32 // the first child; 0 when a comparison ends here
	bits    uint8
	in, out verdict // of a comparison: the answer when it ends here, and when the address differs
}

// newTrie builds the trie of rules, which it sorts. Of two equal prefixes a denied one counts.
func newTrie(rules []rule) trie {
	slices.SortFunc(rules, func(x, y rule) int {
		return cmp.Or(cmp.Compare(x.hi, y.hi), cmp.Compare(x.lo, y.lo), cmp.Compare(x.bits, y.bits), cmp.Compare(y.is, x.is))
	})
	rules = slices.CompactFunc(rules, func(x, y rule) bool { return x.hi == y.hi && x.lo == y.lo && x.bits == y.bits })
	var t trie
	if len(rules) > 0 && rules[0].bits == 0 {
		t.top = rules[0].is
		rules = rules[1:]
	}
	if len(rules) == 0 {
		return t
	}
	t.nodes = make([]node, 1, len(rules))
	if len(rules) < rootFrom {
		t.fill(0, rules, 0, t.top)
		t.nodes = slices.Clip(t.nodes)
		return t
	}
	t.skip = min(agreed(rules), 48)
	t.head = rules[0].hi
	t.root = make([]uint32, 1<<16)
	for i := range t.root {
		t.root[i] = uint32(t.top)
	}
	group(rules, t.skip, 16, func(at, n uint64, is verdict) {
		for i := at; i < at+n; i++ {
			t.root[i] = uint32(is)
		}
	}, func(at uint64, list []rule) {
		slot := t.grow(1)
		t.fill(slot, list, t.skip+16, verdict(t.root[at]))
		t.root[at] = firstNode + slot
	})
	t.nodes = slices.Clip(t.nodes)
	return t
}

// group calls short for each rule that ends within the step bits behind depth, with the places it covers, and long for the
// others, those of one place together, after the short ones that cover it. Sorting has put them in this order.
func group(rules []rule, depth, step uint, short func(at, n uint64, is verdict), long func(at uint64, list []rule)) {
	for i := 0; i < len(rules); {
		x := rules[i]
		at := window(x.hi, x.lo, depth) >> (64 - step)
		if uint(x.bits) <= depth+step {
			short(at, 1<<(depth+step-uint(x.bits)), x.is)
			i++
			continue
		}
		j := i + 1
		for j < len(rules) && window(rules[j].hi, rules[j].lo, depth)>>(64-step) == at {
			j++
		}
		long(at, rules[i:j])
		i = j
	}
}

// window returns the 64 bits of an address behind the first depth, filled up with zeros.
func window(hi, lo uint64, depth uint) uint64 {
	if depth < 64 {
		return hi<<depth | lo>>(64-depth)
	}
	return lo << (depth - 64)
}

func (t *trie) grow(n int) uint32 {
	slot := uint32(len(t.nodes))
	t.nodes = append(t.nodes, make([]node, n)...)
	return slot
}

// agreed returns how many leading bits are the same in all of some sorted rules, and part of each.
func agreed(rules []rule) uint {
	first, last := rules[0], rules[len(rules)-1]
	n := uint(bits.LeadingZeros64(first.hi ^ last.hi))
	if n == 64 {
		n += uint(bits.LeadingZeros64(first.lo ^ last.lo))
	}
	for i := range rules {
		n = min(n, uint(rules[i].bits))
	}
	return n
}

// fill makes the node at slot out of sorted rules, which all are longer than depth and agree up to there; out is the answer
// for what none of them matches.
func (t *trie) fill(slot uint32, rules []rule, depth uint, out verdict) {
	first, common := rules[0], agreed(rules)
	if len(rules) == 1 || common >= depth+6 {
		n := node{a: first.hi, b: first.lo, c: ^uint64(0) << (63 - (common-1)%64), bits: uint8(common), in: out, out: out}
		if uint(first.bits) == common {
			n.in, rules = first.is, rules[1:]
		}
		if len(rules) > 0 {
			n.base = t.grow(1)
			t.fill(n.base, rules, common, n.in)
		}
		t.nodes[slot] = n
		return
	}
	var n node
	mark := func(at, count uint64, is verdict) {
		mask := (^uint64(0) >> (64 - count)) << at
		n.b, n.c = n.b&^mask, n.c&^mask
		switch is {
		case allowed:
			n.b |= mask
		case denied:
			n.c |= mask
		}
	}
	mark(0, 64, out)
	group(rules, depth, 6, mark, func(at uint64, _ []rule) { n.a |= 1 << at })
	if n.a != 0 {
		n.base = t.grow(bits.OnesCount64(n.a))
		child := n.base
		group(rules, depth, 6, func(uint64, uint64, verdict) {}, func(at uint64, list []rule) {
			t.fill(child, list, depth+6, n.answer(1<<at))
			child++
		})
	}
	t.nodes[slot] = n
}

func (n *node) answer(bit uint64) verdict {
	switch {
	case n.c&bit != 0:
		return denied
	case n.b&bit != 0:
		return allowed
	}
	return unlisted
}

// lookup returns the verdict of the longest prefix that holds the address.
func (t *trie) lookup(hi, lo uint64) verdict {
	var at uint32
	var depth uint
	if t.root != nil {
		if (hi^t.head)>>(64-t.skip) != 0 {
			return t.top
		}
		e := t.root[hi<<t.skip>>48]
		if e < firstNode {
			return verdict(e)
		}
		at, depth = e-firstNode, t.skip+16
	} else if len(t.nodes) == 0 {
		return t.top
	}
	for {
		n := &t.nodes[at]
		if n.bits != 0 {
			differs := (hi ^ n.a) & n.c
			if n.bits > 64 {
				differs = hi ^ n.a | (lo^n.b)&n.c
			}
			if differs != 0 {
				return n.out
			}
			if n.base == 0 {
				return n.in
			}
			at, depth = n.base, uint(n.bits)
			continue
		}
		bit := uint64(1) << (window(hi, lo, depth) >> 58)
		if n.a&bit == 0 {
			return n.answer(bit)
		}
		at = n.base + uint32(bits.OnesCount64(n.a&(bit-1)))
		depth += 6
	}
}
