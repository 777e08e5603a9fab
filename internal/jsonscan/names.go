package jsonscan

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync"
	"unicode"
	"unicode/utf8"
)

// linear is the number of members up to which an object's names are compared one by one.
const linear = 16

// seed keys the hashes of large objects, so that nobody can compute colliding names in advance.
var seed = maphash.MakeSeed()

// name is one member name of an open object.
type name struct {
	// digest is a quick digest while the object is small, a seeded hash once it is in the table.
	digest     uint64
	start, end int
	flags      uint8
	// tabled says that the name is in the table.
	tabled bool
}

// names holds the member names of all open objects, outermost first, and finds equal ones.
type names struct {
	list []name
	// table maps hashes to 1+index in list, 0 being empty; linear probing, at most half full. Names enter and leave it in
	// stack order: an object cannot gain a member while one inside it is open. Taking the last one out therefore leaves
	// exactly the table from before it came, and needs no tombstones.
	table []uint32
	live  int
	// probes counts the slots looked at and the names compared, for the test that bounds the work.
	probes int
	// a and b hold decoded or folded names.
	a, b []byte
}

// reset forgets everything. It costs time only after a scan that stopped inside a large object.
func (t *names) reset() {
	t.list = t.list[:0]
	t.probes = 0
	if t.live > 0 {
		clear(t.table)
		t.live = 0
	}
}

// What add found.
type clash uint8

const (
	fresh clash = iota
	duplicate
	collision
)

// add enters the name data[start:end] into the object of f, and reports whether a sibling has the same name, or with fold
// set one that differs only by case. A duplicate is not entered a second time.
func (t *names) add(data []byte, f *frame, start, end int, flags uint8, fold bool) clash {
	n := name{start: start, end: end, flags: flags}
	if !f.hashed && len(t.list)-f.base < linear {
		n.digest = t.digest(data[start:end], flags)
		same := fresh
		for i := f.base; i < len(t.list); i++ {
			if o := &t.list[i]; o.digest == n.digest {
				t.probes++
				if c := t.compare(data, o, &n, fold); c == duplicate {
					return duplicate
				} else if c == collision {
					same = collision
				}
			}
		}
		t.list = append(t.list, n)
		return same
	}
	if !f.hashed {
		f.hashed = true
		for i := f.base; i < len(t.list); i++ {
			t.list[i].digest = t.hash(data, &t.list[i], f.base, fold)
			t.insert(i)
		}
	}
	n.digest = t.hash(data, &n, f.base, fold)
	mask := uint64(len(t.table) - 1)
	slot := n.digest & mask
	for ; t.table[slot] != 0; slot = (slot + 1) & mask {
		t.probes++
		i := int(t.table[slot] - 1)
		if i < f.base || t.list[i].digest != n.digest {
			continue
		}
		if c := t.compare(data, &t.list[i], &n, fold); c != fresh {
			// With fold set and collisions refused the caller stops here, so that equal hashes never pile up; without
			// fold the hash is that of the exact name, and only a duplicate can be found.
			return c
		}
	}
	n.tabled = true
	t.list = append(t.list, n)
	if (t.live+1)*2 > len(t.table) {
		t.insert(len(t.list) - 1)
	} else {
		t.table[slot] = uint32(len(t.list))
		t.live++
	}
	return fresh
}

// insert puts list[i] into the table, which grows if it has to.
func (t *names) insert(i int) {
	t.list[i].tabled = true
	t.live++
	if t.live*2 <= len(t.table) {
		t.place(i)
		return
	}
	t.table = make([]uint32, max(128, 2*len(t.table)))
	for j := range t.list[:i+1] {
		if t.list[j].tabled {
			t.place(j)
		}
	}
}

func (t *names) place(i int) {
	mask := uint64(len(t.table) - 1)
	slot := t.list[i].digest & mask
	for t.table[slot] != 0 {
		t.probes++
		slot = (slot + 1) & mask
	}
	t.table[slot] = uint32(i + 1)
}

// close forgets the names of the object of f, which must be the innermost open one.
func (t *names) close(f *frame) {
	switch n := len(t.list) - f.base; {
	case !f.hashed:
	case t.live == n && len(t.table) <= 16*n:
		// Nothing else is in the table, and it is not so large that wiping it costs more than taking the names out.
		clear(t.table)
		t.live = 0
	default:
		mask := uint64(len(t.table) - 1)
		for i := len(t.list) - 1; i >= f.base; i-- {
			slot := t.list[i].digest & mask
			for t.table[slot] != uint32(i+1) {
				t.probes++
				slot = (slot + 1) & mask
			}
			t.table[slot] = 0
			t.live--
		}
	}
	t.list = t.list[:f.base]
}

// compare decides whether two names with equal digests are equal, or with fold set equal but for case.
func (t *names) compare(data []byte, o, n *name, fold bool) clash {
	x, y := data[o.start:o.end], data[n.start:n.end]
	if o.flags|n.flags == 0 {
		if bytes.Equal(x, y) {
			return duplicate
		}
		if !fold || len(x) != len(y) {
			return fresh
		}
		for i := range x {
			if lower(x[i]) != lower(y[i]) {
				return fresh
			}
		}
		return collision
	}
	t.a = appendFolded(t.a[:0], x, o.flags, false)
	t.b = appendFolded(t.b[:0], y, n.flags, false)
	if bytes.Equal(t.a, t.b) {
		return duplicate
	}
	if !fold {
		return fresh
	}
	t.a = appendFolded(t.a[:0], x, o.flags, true)
	t.b = appendFolded(t.b[:0], y, n.flags, true)
	if bytes.Equal(t.a, t.b) {
		return collision
	}
	return fresh
}

// hash returns the seeded hash of a name. base keeps equal names of nested objects apart.
func (t *names) hash(data []byte, n *name, base int, fold bool) uint64 {
	b := data[n.start:n.end]
	if n.flags&hasEscape != 0 || fold && (n.flags != 0 || hasUpper(b)) {
		t.a = appendFolded(t.a[:0], b, n.flags, fold)
		b = t.a
	}
	return maphash.Bytes(seed, b) ^ uint64(base)*0x9E3779B97F4A7C15
}

// digest returns the number by which the names of a small object are told apart. Names that are equal but for case always
// share it: it is folded even when collisions are allowed, so that one digest serves both rules. A long name is hashed whole, with the
// seed: otherwise names that differ only in their middle would all have to be compared, at their full length.
func (t *names) digest(b []byte, flags uint8) uint64 {
	if flags != 0 {
		t.a = appendFolded(t.a[:0], b, flags, true)
		b = t.a
	}
	if len(b) <= 16 {
		return digest(b)
	}
	if flags == 0 && hasUpper(b) {
		t.a = appendFolded(t.a[:0], b, 0, true)
		b = t.a
	}
	return maphash.Bytes(seed, b)
}

// digest mixes the length and all bytes of an ASCII-folded name of up to sixteen. Unequal names may share it.
func digest(b []byte) uint64 {
	const lowers = ones * 0x20
	n := len(b)
	var x, y uint64
	switch {
	case n >= 8:
		x = binary.LittleEndian.Uint64(b)
		y = binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		x = uint64(binary.LittleEndian.Uint32(b))
		y = uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		x = uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16
	}
	return (x|lowers)*0x9E3779B97F4A7C15 ^ bits.RotateLeft64((y|lowers)*0xD6E8FEB86659FD93, 32) ^ uint64(n)
}

// hasUpper reports whether ASCII text has a capital letter.
func hasUpper(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		// A byte of at least 'A' carries into its high bit in the first sum, one above 'Z' in the second.
		if x := binary.LittleEndian.Uint64(b); (x+ones*(0x80-'A'))&^(x+ones*(0x80-'Z'-1))&highs != 0 {
			return true
		}
	}
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// appendFolded appends the decoded name, and with fold set the representative of every rune under Unicode simple case
// folding, so that two names are the same but for case exactly if their folded forms are equal.
func appendFolded(dst, raw []byte, flags uint8, fold bool) []byte {
	from := len(dst)
	if flags&hasEscape != 0 {
		dst = AppendUnquoted(dst, raw)
	} else {
		dst = append(dst, raw...)
	}
	if !fold {
		return dst
	}
	s := dst[from:]
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		s[i] = lower(s[i])
		i++
	}
	if i == len(s) {
		return dst
	}
	// The smallest rune of an orbit is never longer in UTF-8 than the others, so writing cannot overtake reading.
	w := i
	for i < len(s) {
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			s[w] = s[i] // not UTF-8: cannot come from a scan, kept as it is
			w++
		} else {
			w += utf8.EncodeRune(s[w:i+n], foldRune(r))
		}
		i += n
	}
	return dst[:from+w]
}

// AppendFolded appends the decoded and case-folded form of raw, a member name as written between its quotes. Two names
// collide in the sense of Limits.AllowFoldCollisions exactly if their folded forms are equal; ASCII comes out in lower case.
func AppendFolded(dst, raw []byte) []byte {
	return appendFolded(dst, raw, hasEscape|hasUnicode, true)
}

// foldRune returns the smallest rune of r's simple folding orbit, in lower case if that is ASCII.
func foldRune(r rune) rune {
	switch {
	case r < lowRunes:
		return rune(lowFolds()[r])
	case 0x2E80 <= r && r < 0xA640, 0xAC00 <= r && r < 0xE000:
		return r // CJK, Yi and Hangul have no case; a test checks every rune against the slow way
	}
	return slowFold(r)
}

// lowRunes is where the scripts with most of the cased letters end: Latin, Greek, Cyrillic, Armenian.
const lowRunes = 0x600

// lowFolds is a table of their folds, made when the first name that is not ASCII is seen: looking orbits up in package unicode
// costs about 50 ns a rune, and a hostile body is all names.
var lowFolds = sync.OnceValue(func() *[lowRunes]uint16 {
	t := new([lowRunes]uint16)
	for r := range t {
		t[r] = uint16(slowFold(rune(r)))
	}
	return t
})

func slowFold(r rune) rune {
	least := r
	for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
		least = min(least, q)
	}
	if least < utf8.RuneSelf {
		return rune(lower(byte(least)))
	}
	return least
}
