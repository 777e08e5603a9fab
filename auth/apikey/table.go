package apikey

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/mantlet-go/mantlet/auth"
)

// snapshot is what a check reads. It is never changed, but for the state of its entries.
type snapshot struct {
	base    *table
	recent  map[id]*entry     // keys written since base was built; small, copied on every write
	foreign map[Digest]*entry // imported keys, by the hash of the whole key
}

// find returns the key of this id, or an entry that is not. It reads the table also when the small map knows the answer.
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
	s.base.all(func(e *entry) {
		if s.recent[e.detail.id] == nil {
			f(e)
		}
	})
	for _, e := range s.recent {
		f(e)
	}
}

// len returns how many keys there are.
func (s *snapshot) len() int {
	n := s.base.n + len(s.recent)
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
	if len(s.recent)+len(written) > 64+s.base.n/64 {
		m := make(map[id]*entry, s.base.n+len(s.recent)+len(written))
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
	s.base.all(func(e *entry) {
		if e.detail.foreign {
			if s.foreign == nil {
				s.foreign = make(map[Digest]*entry)
			}
			s.foreign[e.hash] = e
		}
	})
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
	used // since the last harvest of uses
)

// copyTo copies e to an entry nobody reads yet, but for the mark of its use, which is gathered from e. The caller holds the lock
// under which the rest of a state is written.
func (e *entry) copyTo(to *entry) {
	to.hash, to.notBefore, to.expires, to.detail, to.bound = e.hash, e.notBefore, e.expires, e.detail, e.bound
	to.state.Store(e.state.Load() &^ used)
}

// detail is the rest of a key. Copies of an entry share it.
type detail struct {
	foreign   bool
	strength  atomic.Uint32 // of a foreign key: see weak
	id        id
	principal auth.Principal
	addresses []netip.Prefix
	version   uint64
	wrong     auth.Error // the answer to a wrong secret: a guess allocates nothing
}

// table finds an entry by its id in two reads: of a number that is almost always in the processor's cache, two bytes for four keys,
// and of the entry. It is a perfect hash in the manner of hash and displace (Belazzougui, Botelho, Dietzfelbinger, 2009): ids fall into
// buckets of four on average, and each bucket has a number under which its ids have places of their own, found when the table is built,
// the large buckets first.
//
// An id that is not there leads to some entry or to an empty place, on the very same way: the caller compares the hash, which
// covers the id, and looks at detail.id only after a mismatch. Which ids exist is no secret, but there is no need to tell either.
type table struct {
	seed    [2]uint64
	mask    uint64   // of the number of buckets, a power of two
	shifts  []uint16 // by bucket
	entries []entry  // a fifth of them empty
	n       int
}

// nobody is the rest of an entry that belongs to no key.
var nobody = detail{wrong: *errUnknown}

func newTable(keys map[id]*entry) *table {
	t := &table{n: len(keys)}
	list := make([]*entry, 0, len(keys))
	for _, e := range keys {
		list = append(list, e)
	}
	buckets := 1
	for buckets*4 < len(keys) {
		buckets *= 2
	}
	t.mask, t.shifts = uint64(buckets-1), make([]uint16, buckets)
	// With a fifth to spare a place is found for every bucket, or next time under another seed; the rest grows should it ever not be so.
	for places := len(keys) + len(keys)/4 + 1; !t.fill(list, places); places += places/8 + 1 {
		clear(t.shifts)
	}
	return t
}

// fill places the keys among so many under a new seed and reports whether they fit.
func (t *table) fill(list []*entry, places int) bool {
	t.seed, t.entries = [2]uint64{rand.Uint64(), rand.Uint64()}, make([]entry, places)
	type hashed struct {
		h uint64
		e *entry
	}
	ordered := make([]hashed, 0, len(list)) // by bucket, the fullest first
	for _, e := range list {
		ordered = append(ordered, hashed{t.hash(&e.detail.id), e})
	}
	size := make([]int32, len(t.shifts))
	for _, x := range ordered {
		size[x.h&t.mask]++
	}
	slices.SortFunc(ordered, func(a, b hashed) int {
		i, j := a.h&t.mask, b.h&t.mask
		return cmp.Or(cmp.Compare(size[j], size[i]), cmp.Compare(i, j))
	})
	for len(ordered) > 0 {
		bucket := ordered[0].h & t.mask
		members := ordered[:size[bucket]]
		ordered = ordered[len(members):]
		shift := 0
	search:
		for ; ; shift++ {
			if shift > math.MaxUint16 {
				return false
			}
			for i, x := range members {
				e := &t.entries[t.place(x.h, uint16(shift))]
				if e.detail != nil {
					for _, y := range members[:i] { // give back what this number had taken
						t.entries[t.place(y.h, uint16(shift))].detail = nil
					}
					continue search
				}
				e.detail = x.e.detail
			}
			break
		}
		t.shifts[bucket] = uint16(shift)
		for _, x := range members {
			x.e.copyTo(&t.entries[t.place(x.h, uint16(shift))])
		}
	}
	for i := range t.entries {
		if t.entries[i].detail == nil {
			t.entries[i].detail = &nobody
		}
	}
	return true
}

// hash mixes an id with the seed, by one multiplication of 128 bits.
func (t *table) hash(k *id) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(k[:8])^t.seed[0], uint64(binary.LittleEndian.Uint32(k[8:]))^t.seed[1])
	return hi ^ lo
}

// place returns where an id of this hash is in a bucket of this number. The constants are odd and otherwise of no meaning: the golden
// ratio, and the multiplier of rrmxmx.
func (t *table) place(h uint64, shift uint16) uint64 {
	x := (h ^ uint64(shift)*0x9e3779b97f4a7c15) * 0x9fb21c651e98df25
	at, _ := bits.Mul64(x, uint64(len(t.entries)))
	return at
}

// find returns the entry of an id, or one that is not.
func (t *table) find(k *id) *entry {
	h := t.hash(k)
	return &t.entries[t.place(h, t.shifts[h&t.mask])]
}

// all calls f for every key.
func (t *table) all(f func(*entry)) {
	for i := range t.entries {
		if e := &t.entries[i]; e.detail != &nobody {
			f(e)
		}
	}
}
