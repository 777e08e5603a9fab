package ratelimit

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxKeys is the size of a memory store when nothing else is said: about 3.5 MB.
const DefaultMaxKeys = 1 << 16

const (
	ways        = 8  // entries per group; a key lives in one of two groups
	maxShards   = 64 // so that a set of shards is one uint64
	seenIDs     = 4096
	genMask     = 1<<30 - 1
	maxRefunded = 1 << 61
)

// MemoryStore is a [Store] in this process: flat tables without pointers, of a size fixed for ever, and no goroutine.
//
// A bucket is found by a 128-bit hash of its key under two random seeds, so no client can aim at another's bucket; the
// key itself is not kept. A bucket that is full again is the same as one that was never used, so its place is
// reused and nothing needs sweeping. When a new key finds no such place, the entry that has used the smallest share of
// its burst among up to 16 gives way: somebody who has used up a limit cannot buy a fresh one by filling the table with
// new keys. Windows that have not ended and requests in flight never give way; if there is nothing else, the new
// key is refused with [ErrStoreFull].
//
// Rolling limits follow the monotonic clock, calendar limits the wall clock.
type MemoryStore struct {
	seed1, seed2 maphash.Seed
	epoch        time.Time
	shards       []shard
	seen         []atomic.Uint64 // ids of the latest settlements, at id % len
}

type shard struct {
	mu      sync.Mutex
	groups  []group
	gen     uint32
	evicted int64
	full    int64
	_       [64]byte // keep neighbours' locks off this cache line
}

// group keeps the first halves of its keys together: one cache line tells whether a key is here.
type group struct {
	h [ways]uint64
	e [ways]entry
}

// entry is one bucket; h == 0 in the group means it was never used.
type entry struct {
	h2 uint64
	// a is TAT in ns since the store's epoch | end of the window in Unix s | number in flight.
	a int64
	// num is the rest of TAT in 1/Max ns | - | -.
	num uint64
	// b is the sum of refunds in ns, R | used units | -.
	b int64
	// meta is the Kind (2 bits) and a generation (30 bits), new for every use of this place.
	meta uint32
	// burst is the time the burst takes to come back, in ns; it ranks entries for eviction.
	burst float32
}

func (e *entry) kind() Kind  { return Kind(e.meta >> 30) }
func (e *entry) gen() uint32 { return e.meta & genMask }

// idle reports whether the entry is equal to no entry at all.
func (e *entry) idle(now, wall int64) bool {
	switch e.kind() {
	case Rolling:
		return e.a < now || e.a == now && e.num == 0
	case Calendar:
		return e.a <= wall || e.b == 0
	}
	return e.a == 0
}

// share is the used part of the burst, by which entries are ranked for eviction; +Inf for what must stay.
func (e *entry) share(now int64) float32 {
	if e.kind() != Rolling {
		return float32(math.Inf(1))
	}
	return float32(e.a-now) / e.burst
}

// params is the part of a claim that does not change from request to request.
type params struct {
	kind       Kind
	shadow     bool
	max, burst int64
	per        int64
	length     int64 // Calendar
	tol        span  // d(Burst)
	one        span  // d(1)
	slack      int64 // ns
}

func paramsOf(c *Claim) params {
	p := params{kind: c.Key.Kind, shadow: c.Shadow, max: max(c.Max, 1), burst: c.Burst, per: int64(c.Per), length: c.Length}
	if p.kind == Rolling {
		p.per = max(p.per, 1)
		p.tol, _ = spanOf(max(p.burst, 1), p.per, p.max)
		p.one, _ = spanOf(1, p.per, p.max)
		s, _ := spanOf(max(c.Slack, 0), p.per, p.max)
		p.slack = s.ns
	}
	return p
}

func (p *params) span(cost int64) (span, bool) {
	if cost == 1 {
		return p.one, true
	}
	return spanOf(cost, p.per, p.max)
}

// op is a claim as the store works on it.
type op struct {
	h1, h2 uint64
	p      *params
	cost   int64
	end    int64 // Calendar
	detail bool  // work out State.Remaining, which costs a division
}

// NewMemoryStore makes a memory store for at least maxKeys buckets (a request uses one per limit of its plan). Zero
// means [DefaultMaxKeys]. It takes about 54 bytes per key, at once and for ever.
func NewMemoryStore(maxKeys int) (*MemoryStore, error) {
	if maxKeys == 0 {
		maxKeys = DefaultMaxKeys
	}
	if maxKeys < 0 || maxKeys > math.MaxInt32 {
		return nil, fmt.Errorf("ratelimit: MaxKeys %d is not between 1 and 2^31-1", maxKeys)
	}
	shards := 1
	for shards < maxShards && maxKeys/shards >= 256 {
		shards *= 2
	}
	// One slot in eight more than keys: with two groups of eight to choose from, fewer than one key in a hundred finds both
	// full when all maxKeys are in use (measured in the tests).
	perShard := (maxKeys + shards - 1) / shards
	groups := (perShard*9/8 + ways - 1) / ways
	m := &MemoryStore{
		seed1:  maphash.MakeSeed(),
		seed2:  maphash.MakeSeed(),
		epoch:  time.Now(),
		shards: make([]shard, shards),
		seen:   make([]atomic.Uint64, seenIDs),
	}
	for i := range m.shards {
		m.shards[i].groups = make([]group, groups)
	}
	return m, nil
}

// hash returns the two halves of a key's hash; the first is never 0.
func (m *MemoryStore) hash(k *Key) (h1, h2 uint64) {
	var buf [160]byte
	b := k.Append(buf[:0])
	return maphash.Bytes(m.seed1, b) | 1, maphash.Bytes(m.seed2, b)
}

// hashFor is hash of the key that l.key makes for s, written without the Key for the usual scope.
func (m *MemoryStore) hashFor(l *limit, s *Subject) (h1, h2 uint64) {
	if l.By != ByClient || s.Client == "" || s.bare || len(s.Client) > 64 || len(s.Issuer) > 64 {
		var k Key
		l.key(&k, s)
		return m.hash(&k)
	}
	var buf [200]byte // a name has at most 64 bytes
	b := append(buf[:0], l.head...)
	b = append(append(b, byte(len(s.Client))), s.Client...)
	b = append(append(append(b, byte(len(s.Issuer))), s.Issuer...), 0)
	return maphash.Bytes(m.seed1, b) | 1, maphash.Bytes(m.seed2, b)
}

func (m *MemoryStore) shardOf(h2 uint64) int { return int(h2 & uint64(len(m.shards)-1)) }

// Reserve implements [Store].
func (m *MemoryStore) Reserve(_ context.Context, now time.Time, _ ID, claims []Claim, out []State) (bool, error) {
	if len(claims) > MaxClaims || len(out) < len(claims) {
		return false, ErrTooManyClaims
	}
	var ps [MaxClaims]params
	var ops [MaxClaims]op
	for i := range claims {
		c := &claims[i]
		ps[i] = paramsOf(c)
		ops[i] = op{p: &ps[i], cost: max(c.Cost, 0), end: c.End, detail: true}
		ops[i].h1, ops[i].h2 = m.hash(&c.Key)
	}
	return m.reserve(now, ops[:len(claims)], out)
}

// Settle implements [Store].
func (m *MemoryStore) Settle(_ context.Context, now time.Time, id ID, fixes []Fix) error {
	if id != (ID{}) {
		// A wrong match needs two of 2^64; a forgotten id needs seenIDs settlements between a call and its repetition.
		x := (id.Lo+1)*0x9e3779b97f4a7c15 ^ id.Hi
		x |= 1
		if m.seen[id.Lo%seenIDs].Swap(x) == x {
			return nil
		}
	}
	for i := range fixes {
		f := &fixes[i]
		p := paramsOf(&f.Claim)
		o := op{p: &p, end: f.Claim.End}
		o.h1, o.h2 = m.hash(&f.Claim.Key)
		m.settle(now, &o, f.Mark, max(f.Charged, 0), max(f.Actual, 0))
	}
	return nil
}

// reserve decides and debits. It takes the locks of all shards concerned in ascending order, each once, so two
// batches never wait for each other in a circle; nothing under the locks blocks.
func (m *MemoryStore) reserve(t time.Time, ops []op, out []State) (bool, error) {
	now, wall := int64(t.Sub(m.epoch)), t.Unix()
	if len(ops) == 1 {
		s := &m.shards[m.shardOf(ops[0].h2)]
		s.mu.Lock()
		ok, err := s.one(&ops[0], &out[0], now, wall)
		s.mu.Unlock()
		return ok, err
	}
	var need uint64
	for i := range ops {
		need |= 1 << m.shardOf(ops[i].h2)
	}
	for b := need; b != 0; b &= b - 1 {
		m.shards[bits.TrailingZeros64(b)].mu.Lock()
	}
	ok, err := m.all(ops, out, now, wall)
	for b := need; b != 0; b &= b - 1 {
		m.shards[bits.TrailingZeros64(b)].mu.Unlock()
	}
	return ok, err
}

// one is all for a single claim, which needs no undoing.
func (s *shard) one(o *op, st *State, now, wall int64) (bool, error) {
	e, h := s.find(o, now, wall, nil)
	if e == nil {
		s.full++
		*st = State{Wait: time.Second}
		return o.p.shadow, fullUnlessShadow(o.p)
	}
	fresh := s.occupant(e, h, o)
	next := decide(o, fresh, st, now, wall)
	if st.OK {
		s.put(e, h, o, next, now, wall, st)
	}
	return st.OK || o.p.shadow, nil
}

func fullUnlessShadow(p *params) error {
	if p.shadow {
		return nil
	}
	return ErrStoreFull
}

// undo is what a place held before this decision.
type undo struct {
	e    *entry
	h    *uint64
	olde entry
	oldh uint64

	s       *shard
	evicted int64
}

func (m *MemoryStore) all(ops []op, out []State, now, wall int64) (ok bool, err error) {
	var undos [MaxClaims]undo
	n := 0
	ok = true
	for i := range ops {
		o, st := &ops[i], &out[i]
		s := &m.shards[m.shardOf(o.h2)]
		e, h := s.find(o, now, wall, undos[:n])
		if e == nil {
			s.full++
			*st = State{Wait: time.Second}
			if !o.p.shadow {
				ok, err = false, ErrStoreFull
			}
			continue
		}
		next := decide(o, s.occupant(e, h, o), st, now, wall)
		if !st.OK {
			if !o.p.shadow {
				ok = false
			}
			continue
		}
		if ok {
			undos[n] = undo{e: e, h: h, olde: *e, oldh: *h, s: s, evicted: s.evicted}
			n++
			s.put(e, h, o, next, now, wall, st)
		}
	}
	if !ok {
		for i := n - 1; i >= 0; i-- {
			u := &undos[i]
			*u.e, *u.h, u.s.evicted = u.olde, u.oldh, u.evicted
		}
	}
	return ok, err
}

// find returns the key's entry, or the place where it would go, or nil if there is none.
func (s *shard) find(o *op, now, wall int64, taken []undo) (*entry, *uint64) {
	n := uint64(len(s.groups))
	i1, _ := bits.Mul64(o.h1, n)
	g1 := &s.groups[i1]
	for i := range g1.h {
		if g1.h[i] == o.h1 && g1.e[i].h2 == o.h2 {
			return &g1.e[i], &g1.h[i]
		}
	}
	i2, _ := bits.Mul64(o.h2, n)
	g2 := &s.groups[i2]
	for i := range g2.h {
		if g2.h[i] == o.h1 && g2.e[i].h2 == o.h2 {
			return &g2.e[i], &g2.h[i]
		}
	}
	// A new key: the emptier group takes it, which fills both evenly (the power of two choices).
	var free [2]int
	var place [2]int
	best, bestGroup, lowest := -1, g1, float32(math.Inf(1))
	for j, g := range [2]*group{g1, g2} {
		place[j] = -1
	next:
		for i := range g.h {
			e := &g.e[i]
			if g.h[i] != 0 {
				for k := range taken { // what this very decision has written must stay
					if taken[k].e == e {
						continue next
					}
				}
				if !e.idle(now, wall) {
					if share := e.share(now); share < lowest {
						best, bestGroup, lowest = i, g, share
					}
					continue
				}
			}
			if free[j]++; place[j] < 0 {
				place[j] = i
			}
		}
	}
	switch {
	case free[0] > 0 && free[0] >= free[1]:
		return &g1.e[place[0]], &g1.h[place[0]]
	case free[1] > 0:
		return &g2.e[place[1]], &g2.h[place[1]]
	case best < 0:
		return nil, nil
	}
	return &bestGroup.e[best], &bestGroup.h[best]
}

// occupant returns the entry as this key sees it: empty if the place is another's.
func (s *shard) occupant(e *entry, h *uint64, o *op) entry {
	if *h == o.h1 && e.h2 == o.h2 && e.kind() == o.p.kind {
		if o.p.kind == Calendar && e.a > o.end+o.p.length {
			// The stored window lies beyond the next one: the clock was ahead and has been put right. What was used stays
			// used, but nobody is locked out until the wrong date comes.
			e.a = o.end
		}
		return *e
	}
	return entry{}
}

// put writes next, the state of this key after a debit. A new generation begins when the place was another's.
func (s *shard) put(e *entry, h *uint64, o *op, next entry, now, wall int64, st *State) {
	if next.meta == 0 {
		if *h != 0 && !e.idle(now, wall) {
			s.evicted++
		}
		s.gen = (s.gen + 1) & genMask
		next.h2 = o.h2
		next.meta = uint32(o.p.kind)<<30 | s.gen
		*h = o.h1
	}
	if o.p.kind == Rolling {
		next.burst = max(float32(o.p.tol.ns), 1)
		st.Mark = Mark{A: next.a + next.b, B: int64(next.gen())}
	} else {
		st.Mark = Mark{A: next.a, B: int64(next.gen())}
	}
	*e = next
}

// decide fills st and returns the state after the debit, which counts only if st.OK.
func decide(o *op, e entry, st *State, now, wall int64) entry {
	p := o.p
	*st = State{}
	switch p.kind {
	case Rolling:
		base := span{ns: now}
		if e.a >= now && e.meta != 0 {
			base = span{ns: e.a, num: e.num}
			if base.num >= uint64(p.max) { // Max was configured differently when this was written
				base = span{ns: e.a + 1}
			}
		}
		d, fits := p.span(o.cost)
		if !fits || p.tol.less(d) {
			st.Never = true
		}
		next := base.add(d, uint64(p.max))
		level := span{ns: next.ns - now, num: next.num}
		if !st.Never && !p.tol.less(level) {
			st.OK = true
			e.a, e.num = next.ns, next.num
		} else {
			level = span{ns: base.ns - now, num: base.num}
			if !st.Never {
				st.Wait = time.Duration(next.ns - now - p.tol.ns)
				if next.num > p.tol.num {
					st.Wait++
				}
			}
		}
		st.Reset = time.Duration(level.ceil())
		if o.detail && level.less(p.tol) {
			st.Remaining = p.tol.sub(level, uint64(p.max)).units(p.per, p.max)
		}
	case Calendar:
		if e.meta == 0 || e.a < o.end {
			e.a, e.b = o.end, 0
		}
		// A window just after ours means that another request saw midnight first: ours counts there too.
		st.Never = o.cost > p.max
		left := max(p.max-e.b, 0)
		if o.cost <= left {
			st.OK = true
			left -= o.cost
			e.b += o.cost
		} else if !st.Never {
			st.Wait = time.Duration(e.a-wall) * time.Second
		}
		st.Remaining = left
		st.Reset = time.Duration(max(e.a-wall, 0)) * time.Second
	case Parallel:
		if e.a < p.max {
			st.OK = true
			e.a++
		}
		st.Remaining = p.max - e.a
		if st.Remaining < 0 {
			st.Remaining = 0
		}
	}
	return e
}

// settle corrects one debit.
func (m *MemoryStore) settle(t time.Time, o *op, mark Mark, charged, actual int64) {
	p := o.p
	if charged == actual && p.kind != Parallel {
		return
	}
	now, wall := int64(t.Sub(m.epoch)), t.Unix()
	s := &m.shards[m.shardOf(o.h2)]
	s.mu.Lock()
	defer s.mu.Unlock()
	e, h := s.find(o, now, wall, nil)
	if e == nil {
		s.full++ // an overage with nowhere to go: every candidate is pinned
		return
	}
	cur := s.occupant(e, h, o)
	same := cur.meta != 0 && int64(cur.gen()) == mark.B
	var st State
	switch p.kind {
	case Rolling:
		was, _ := p.span(charged)
		is, _ := p.span(actual)
		if actual > charged {
			base := span{ns: now}
			if cur.meta != 0 && cur.a >= now {
				base = span{ns: cur.a, num: min(cur.num, uint64(p.max)-1)}
			}
			next := base.add(is.sub(was, uint64(p.max)), uint64(p.max))
			cur.a, cur.num = next.ns, next.num
			s.put(e, h, o, cur, now, wall, &st)
			return
		}
		// A deposit that has leaked away by now is gone: crediting it again would mint allowance. mark.A is K, the
		// TAT right after the debit plus the refunds before it; what may come back is what of it still lies ahead of now,
		// less what other refunds have taken from the same gap since, plus Slack. If the bucket was full in
		// between (another generation), all of it has leaked.
		if !same {
			return
		}
		allowed := mark.A - cur.b - now + p.slack
		if allowed <= 0 {
			return
		}
		want := was.sub(is, uint64(p.max))
		if want.ceil() > allowed {
			want = span{ns: allowed}
		}
		tat := span{ns: cur.a, num: min(cur.num, uint64(p.max)-1)}.sub(want, uint64(p.max))
		cur.a, cur.num = tat.ns, tat.num
		cur.b += want.ceil()
		if cur.b > maxRefunded {
			// Marks of before are worth nothing from here on: fewer refunds, never more.
			s.gen = (s.gen + 1) & genMask
			cur.b, cur.meta = 0, uint32(Rolling)<<30|s.gen
		}
		*e = cur
	case Calendar:
		if same && cur.a == mark.A && cur.a > wall {
			cur.b = max(cur.b-charged+actual, 0)
			*e = cur
			return
		}
		if actual <= charged {
			return // its window is over: nothing to give back
		}
		if cur.meta == 0 || cur.a < o.end {
			cur.a, cur.b = o.end, 0
		}
		cur.b = addSat(cur.b, actual-charged)
		s.put(e, h, o, cur, now, wall, &st)
	case Parallel:
		if same && cur.a > 0 {
			cur.a--
			*e = cur
		}
	}
}

// MemoryStats counts what happened in a [MemoryStore].
type MemoryStats struct {
	// Slots is the number of places of the table.
	Slots int
	// InUse is the number of buckets that are not idle now.
	InUse int
	// Evicted counts buckets that gave way to new keys before they were full again.
	Evicted int64
	// Full counts claims refused, and overages lost, because nothing could give way.
	Full int64
}

// Stats walks the whole table, one shard at a time; it is for tests and dashboards, not for every request.
func (m *MemoryStore) Stats() MemoryStats {
	var st MemoryStats
	t := time.Now()
	now, wall := int64(t.Sub(m.epoch)), t.Unix()
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		st.Slots += len(s.groups) * ways
		st.Evicted += s.evicted
		st.Full += s.full
		for j := range s.groups {
			g := &s.groups[j]
			for k := range g.h {
				if g.h[k] != 0 && !g.e[k].idle(now, wall) {
					st.InUse++
				}
			}
		}
		s.mu.Unlock()
	}
	return st
}
