// Package penalty keeps a score for each client by its address, and puts whoever has too high a one under a penalty for a while. It is
// what the locks of package auth and the bans of validate/guard have in common; what counts, who is exempt, and what a penalty
// means for a request is theirs.
//
// # Scores and penalties
//
// A score halves with every half-life. What is stored is its level, log2(score) + now/half-life, which stays the same while the score
// decays: the lowest level of several is the lowest score, now and at any later time, and comparing needs no arithmetic.
// Nothing needs sweeping either, for a forgotten score is simply the lowest. There is no goroutine.
//
// Points that lift a score to the threshold begin a penalty. Each one of a client is twice as long as the one before, up to a bound, and
// time without one forgives them, one by one. Points during a penalty do not count: a client that keeps retrying gets out when
// it was told.
//
// # Under attack
//
// A [Table] is flat, without pointers, and of a size fixed for ever. The place of a client is a keyed hash, so that nobody can aim at
// another's: one of two groups of eight. Where none is free the lowest score gives way, decayed to the same moment. A penalty in force
// never does, or a client could wash out its own with the addresses it can mint; where there is nothing but penalties, points of
// others are dropped and counted, for a full table must not refuse strangers. Whoever holds a /32 of IPv6 has more networks than there are
// places: so that he cannot fill the table for everybody, two places of each group are for IPv4 alone.
package penalty

import (
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a [Table] counts. All fields but IPv6Only are required; a room has checked what a user said.
type Config struct {
	// Clients is how many are kept, of 32 bytes each, rounded up to whole groups of eight.
	Clients int
	// IPv6Bits is the length of the prefix that is one IPv6 client, at most 64.
	IPv6Bits int
	// IPv6Only keeps no places for IPv4.
	IPv6Only bool
	// Threshold is the score that begins a penalty, Parole the one that a client has after it. Levels are rounded: a Threshold
	// that several points are to reach exactly has to be a little lower.
	Threshold, Parole float64
	// HalfLife is the time in which a score halves.
	HalfLife time.Duration
	// First is the length of a client's first penalty, Max that of the longest. Forgive is the time without a penalty for which one no
	// longer counts for the length of the next.
	First, Max, Forgive time.Duration
}

// Table keeps the scores. Make it with [New]; it is safe for concurrent use. In a nil Table is nobody, and no place.
type Table struct {
	cfg    Config
	seed   maphash.Seed
	epoch  time.Time
	shards []shard
	last   atomic.Int64 // no penalty ends later: when it is over no table is looked at
	begun  atomic.Int64
}

const (
	ways    = 8
	waysOf6 = 6
	shards  = 64
)

type shard struct {
	mu      sync.Mutex
	groups  []group
	evicted int64
	dropped int64
	_       [64]byte // keep neighbours' locks off this cache line
}

// group keeps its keys together: one cache line tells whether a client is here. Nobody is a free place.
type group struct {
	key [ways]Key
	e   [ways]entry
}

type entry struct {
	level   float64
	until   int64 // ns since epoch; 0 for never under a penalty
	strikes uint8 // penalties not yet forgiven; no more are counted than it holds
}

// New returns an empty Table.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg, seed: maphash.MakeSeed(), epoch: time.Now()}
	n := 1
	for n < shards && cfg.Clients/n >= 256 {
		n *= 2
	}
	t.shards = make([]shard, n)
	groups := ((cfg.Clients+n-1)/n + ways - 1) / ways
	for i := range t.shards {
		t.shards[i].groups = make([]group, groups)
	}
	return t
}

// place is where one client may be: a shard, which is locked, and two groups of it.
type place struct {
	*shard
	g1, g2 *group
}

func (t *Table) lock(k Key) place {
	h := maphash.Comparable(t.seed, k)
	s := &t.shards[h&uint64(len(t.shards)-1)]
	n := uint64(len(s.groups))
	i, _ := bits.Mul64(h, n)
	j, _ := bits.Mul64(bits.RotateLeft64(h, 32), n)
	s.mu.Lock()
	return place{s, &s.groups[i], &s.groups[j]}
}

// find returns the entry of k, or nil.
func (p place) find(k Key) *entry {
	for i, x := range &p.g1.key {
		if x == k {
			return &p.g1.e[i]
		}
	}
	for i, x := range &p.g2.key {
		if x == k {
			return &p.g2.e[i]
		}
	}
	return nil
}

// entry finds k or makes an entry for it: in a free place of the emptier group, else in that of the lowest score. It returns nil where
// there is nothing but penalties.
func (t *Table) entry(p place, k Key, now int64) *entry {
	if e := p.find(k); e != nil {
		return e
	}
	mine := ways
	if k < loopback && !t.cfg.IPv6Only {
		mine = waysOf6
	}
	var at *group
	slot, most, lowest := 0, 0, math.Inf(1)
	for _, g := range [2]*group{p.g1, p.g2} {
		free, last := 0, 0
		for i, x := range g.key[:mine] {
			if x == Nobody {
				free, last = free+1, i
			} else if e := &g.e[i]; most == 0 && e.until <= now && e.level < lowest {
				at, slot, lowest = g, i, e.level
			}
		}
		if free > most {
			at, slot, most = g, last, free
		}
	}
	switch {
	case at == nil:
		p.dropped++
		return nil
	case most == 0 && lowest >= t.age(now): // it was still worth a point
		p.evicted++
	}
	at.key[slot] = k
	at.e[slot] = entry{level: math.Inf(-1)}
	return &at.e[slot]
}

// since is the time since the beginning, before which nothing was: what is added to it must not overflow.
func (t *Table) since(now time.Time) int64 { return max(0, int64(now.Sub(t.epoch))) }

// age is now in half-lives: the level of one point.
func (t *Table) age(now int64) float64 { return float64(now) / float64(t.cfg.HalfLife) }

// Add gives the client points, if they are more than 0. It returns the length of the penalty that they began, else 0.
func (t *Table) Add(k Key, points float64, at time.Time) time.Duration {
	if t == nil || k == Nobody || !(points > 0) {
		return 0
	}
	now := t.since(at)
	p := t.lock(k)
	defer p.mu.Unlock()
	e := t.entry(p, k, now)
	if e == nil || e.until > now {
		return 0
	}
	age := t.age(now)
	score := math.Exp2(e.level-age) + points
	if score < t.cfg.Threshold {
		e.level = math.Log2(score) + age
		return 0
	}
	if e.strikes > 0 {
		e.strikes -= uint8(min((now-e.until)/int64(t.cfg.Forgive), int64(e.strikes)))
	}
	length := t.cfg.Max
	if e.strikes < 62 && t.cfg.First <= t.cfg.Max>>e.strikes {
		length = t.cfg.First << e.strikes
	}
	t.begin(e, now, length)
	return length
}

// begin puts e under a penalty. Its shard is locked.
func (t *Table) begin(e *entry, now int64, length time.Duration) {
	e.strikes = min(e.strikes, 254) + 1
	e.until = now + min(int64(length), math.MaxInt64-now)
	e.level = math.Log2(t.cfg.Parole) + t.age(e.until)
	t.begun.Add(1)
	for last := t.last.Load(); e.until > last && !t.last.CompareAndSwap(last, e.until); last = t.last.Load() {
	}
}

// Set puts the client under a penalty of that length, whatever its score, or moves the end of the one that it is under. It reports
// false for Nobody, for a length that is not positive, and where there is no place.
func (t *Table) Set(k Key, length time.Duration, at time.Time) bool {
	if t == nil || k == Nobody || length <= 0 {
		return false
	}
	now := t.since(at)
	p := t.lock(k)
	defer p.mu.Unlock()
	e := t.entry(p, k, now)
	if e == nil {
		return false
	}
	if e.until > now {
		e.strikes-- // still the same one
		t.begun.Add(-1)
	}
	t.begin(e, now, length)
	return true
}

// Quiet reports whether nobody is under a penalty: one atomic load when nobody has been since it last said so. Otherwise it looks at the
// clock, and now is what it read.
func (t *Table) Quiet() (now time.Time, quiet bool) {
	if t == nil || t.last.Load() == 0 {
		return now, true
	}
	now = time.Now()
	last := t.last.Load()
	if quiet = last <= t.since(now); quiet {
		t.last.CompareAndSwap(last, 0)
	}
	return now, quiet
}

// Left returns how long the client is still under a penalty; 0 when it is not.
func (t *Table) Left(k Key, at time.Time) time.Duration {
	if t == nil || k == Nobody {
		return 0
	}
	now := t.since(at)
	if t.last.Load() <= now {
		return 0
	}
	p := t.lock(k)
	defer p.mu.Unlock()
	if e := p.find(k); e != nil && e.until > now {
		return time.Duration(e.until - now)
	}
	return 0
}

// Forget drops all that is known of the client, and reports whether it was under a penalty.
func (t *Table) Forget(k Key, now time.Time) (was bool) {
	if t == nil || k == Nobody {
		return false
	}
	p := t.lock(k)
	defer p.mu.Unlock()
	e := p.find(k)
	if e != nil {
		was = e.until > t.since(now)
		*e = entry{level: math.Inf(-1)} // the first to give way
	}
	return was
}

// Score returns the points of a client that is under no penalty. It is for tests.
func (t *Table) Score(k Key, now time.Time) float64 {
	if t == nil {
		return 0
	}
	p := t.lock(k)
	defer p.mu.Unlock()
	if e := p.find(k); e != nil {
		return math.Exp2(e.level - t.age(t.since(now)))
	}
	return 0
}

// walk calls f for every entry, one shard at a time.
func (t *Table) walk(f func(Key, *entry)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.groups {
			g := &s.groups[j]
			for n, k := range &g.key {
				if k != Nobody {
					f(k, &g.e[n])
				}
			}
		}
		s.mu.Unlock()
	}
}

// Penalty is one in force. The rooms have types of their own with the same fields.
type Penalty struct {
	Prefix  netip.Prefix // zero for Unknown
	Until   time.Time
	Strikes int // how many of this client are not forgiven yet, this one included, up to 255
}

// List returns the penalties in force, in the order of their prefixes. It walks the whole table.
func (t *Table) List(at time.Time) (list []Penalty) {
	if t == nil {
		return nil
	}
	now := t.since(at)
	t.walk(func(k Key, e *entry) {
		if e.until > now {
			list = append(list, Penalty{k.Prefix(t.cfg.IPv6Bits), t.epoch.Add(time.Duration(e.until)), int(e.strikes)})
		}
	})
	slices.SortFunc(list, func(x, y Penalty) int { return x.Prefix.Compare(y.Prefix) })
	return list
}

// Stats is what a [Table] did and holds.
type Stats struct {
	Slots   int   // places
	InUse   int   // of them, those with a score of at least one point, or a penalty
	InForce int   // penalties
	Begun   int64 // penalties since New
	Evicted int64 // scores of at least one point that gave way to those of others
	Dropped int64 // points that found no place because there was nothing but penalties
}

// Stats walks the whole table.
func (t *Table) Stats(at time.Time) Stats {
	if t == nil {
		return Stats{}
	}
	now, st := t.since(at), Stats{Begun: t.begun.Load()}
	age := t.age(now)
	t.walk(func(_ Key, e *entry) {
		if e.until > now {
			st.InForce++
			st.InUse++
		} else if e.level >= age {
			st.InUse++
		}
	})
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		st.Slots += len(s.groups) * ways
		st.Evicted += s.evicted
		st.Dropped += s.dropped
		s.mu.Unlock()
	}
	return st
}
