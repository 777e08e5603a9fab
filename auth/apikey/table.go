package apikey

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/mantlet-go/mantlet/auth"
)

// snapshot is what a check reads. It is never changed, but for the state of its entries.
type snapshot struct {
	base    *table
	recent  map[id]*entry     // keys written since base was built; small, copied on every write
	foreign map[Digest]*entry // imported keys, by the hash of the whole key
}

// find returns the key of this id, or an entry that belongs to no key. It reads the table also when the small map knows the
// answer, so that a key is found in the same time as none.
func (s *snapshot) find(k *id) *entry {
	e := s.base.find(k)
	if len(s.recent) > 0 {
		if r := s.recent[*k]; r != nil {
			return r
		}
	}
	return e
}

// known is find for whoever must not get the entry of nobody.
func (s *snapshot) known(k id) *entry {
	if e := s.find(&k); e.detail.id == k {
		return e
	}
	return nil
}

// all calls f for every key.
func (s *snapshot) all(f func(*entry)) {
	for i := range s.base.entries[:len(s.base.entries)-1] {
		e := &s.base.entries[i]
		if s.recent[e.detail.id] == nil {
			f(e)
		}
	}
	for _, e := range s.recent {
		f(e)
	}
}

// len returns how many keys there are.
func (s *snapshot) len() int {
	n := len(s.base.entries) - 1 + len(s.recent)
	for k := range s.recent {
		if s.base.find(&k).detail.id == k {
			n--
		}
	}
	return n
}

// with returns s with these keys put over those of the same id.
func (s *snapshot) with(written []*entry) *snapshot {
	n := &snapshot{base: s.base, recent: s.recent, foreign: s.foreign}
	// The small map bounds what one new key costs to publish; now and then it is merged into the table.
	if len(s.recent)+len(written) > 64+len(s.base.entries)/64 {
		m := make(map[id]*entry, len(s.base.entries)+len(s.recent)+len(written))
		s.all(func(e *entry) { m[e.detail.id] = e })
		for _, e := range written {
			m[e.detail.id] = e
		}
		return newSnapshot(m)
	}
	n.recent = make(map[id]*entry, len(s.recent)+len(written))
	maps.Copy(n.recent, s.recent)
	copied := false
	for _, e := range written {
		n.recent[e.detail.id] = e
		if e.detail.foreign {
			if !copied {
				n.foreign, copied = maps.Clone(s.foreign), true
			}
			if n.foreign == nil {
				n.foreign = make(map[Digest]*entry)
			}
			n.foreign[e.hash] = e
		}
	}
	return n
}

// newSnapshot returns the snapshot of these keys. The entries are copied.
func newSnapshot(keys map[id]*entry) *snapshot {
	s := &snapshot{base: newTable(keys)}
	for i := range s.base.entries[:len(s.base.entries)-1] {
		e := &s.base.entries[i]
		if e.detail.foreign {
			if s.foreign == nil {
				s.foreign = make(map[Digest]*entry)
			}
			s.foreign[e.hash] = e
		}
	}
	return s
}

// entry is what a check reads of one key: one cache line. Entries of a table lie side by side, because among many keys the
// walk through the page tables costs more than the hash.
type entry struct {
	hash      Digest
	notBefore int64 // Unix nanoseconds, 0 for none
	expires   int64
	detail    *detail
	state     atomic.Uint32
	bound     bool // detail.addresses counts, even when empty
}

// The bits of entry.state.
const (
	revoked uint32 = 1 << iota
	disabled
)

// copyTo copies e, which somebody may be marking, to an entry nobody reads yet. The caller holds the lock under which states
// are written.
func (e *entry) copyTo(to *entry) {
	to.hash, to.notBefore, to.expires, to.detail, to.bound = e.hash, e.notBefore, e.expires, e.detail, e.bound
	to.state.Store(e.state.Load())
}

// detail is the rest of a key. Copies of an entry share it.
type detail struct {
	used      atomic.Bool // since the last harvest of uses
	foreign   bool
	id        id
	principal auth.Principal
	addresses []netip.Prefix
	version   uint64
	wrong     atomic.Pointer[auth.Error] // made at the first wrong secret, then shared
}

// table finds an entry by its id. Every look-up, also one of an id that is not there, reads one bucket whole and one entry, and
// takes no branch on what it finds: which ids exist is no secret, but there is no need to tell. The last entry belongs to
// nobody.
//
// A bucket holds eight keys in one cache line. No bucket overflows: a table that would is built again under another seed, and
// larger when that does not help. With one or two keys to a bucket on average few tables need a second try.
type table struct {
	seed    [2]uint64
	mask    uint32
	buckets []bucket
	entries []entry
}

type bucket struct {
	tag [8]uint32 // 0 for an empty place
	at  [8]uint32
}

// nobody is the rest of the entry that belongs to no key. Its mark is set, so that it is never marked.
func nobody() *detail {
	d := new(detail)
	d.used.Store(true)
	d.wrong.Store(errUnknown)
	return d
}

func newTable(keys map[id]*entry) *table {
	t := &table{entries: make([]entry, len(keys)+1)}
	i := 0
	for _, e := range keys {
		e.copyTo(&t.entries[i])
		i++
	}
	t.entries[i].detail = nobody()
	size := 1
	for size*3 < len(keys)*2 {
		size *= 2
	}
	for try := 1; !t.fill(size); try++ {
		if try%4 == 0 {
			size *= 2
		}
	}
	return t
}

// fill places the entries in size buckets under a new seed and reports whether they fit.
func (t *table) fill(size int) bool {
	t.seed, t.mask, t.buckets = [2]uint64{rand.Uint64(), rand.Uint64()}, uint32(size-1), make([]bucket, size)
	none := uint32(len(t.entries) - 1)
	for i := range t.buckets {
		for j := range t.buckets[i].at {
			t.buckets[i].at[j] = none
		}
	}
	for i := range none {
		b, tag := t.place(&t.entries[i].detail.id)
		j := 0
		for ; j < len(b.tag) && b.tag[j] != 0; j++ {
			if b.tag[j] == tag {
				return false // two ids would look the same
			}
		}
		if j == len(b.tag) {
			return false
		}
		b.tag[j], b.at[j] = tag, i
	}
	return true
}

// place returns the bucket of an id and the mark it has there, by one multiplication of 128 bits.
func (t *table) place(k *id) (*bucket, uint32) {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(k[:8])^t.seed[0], uint64(binary.LittleEndian.Uint32(k[8:]))^t.seed[1])
	h := hi ^ lo
	return &t.buckets[uint32(h)&t.mask], uint32(h>>32) | 1
}

// find returns the entry of an id, or one that is not: the caller compares the hash, which covers the id, and asks detail.id
// only after a mismatch.
func (t *table) find(k *id) *entry {
	b, tag := t.place(k)
	at := uint32(len(t.entries) - 1)
	for i, x := range b.tag {
		x ^= tag
		same := (x|-x)>>31 - 1 // all ones where the marks are equal
		at ^= (at ^ b.at[i]) & same
	}
	return &t.entries[at]
}
