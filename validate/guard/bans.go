package guard

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

// bans keeps the scores and bans of clients: flat tables without pointers, of a size fixed for ever, and no goroutine.
//
// A client is the 64 bits that key makes of its address, kept in full, so that no two share a score and an operator can
// list them; the place of a key in the table is a keyed hash, so that nobody can aim at another's place.
//
// A score halves with every half-life. What is stored is its level, log2(score) + now/half-life, which stays the same while
// the score decays: the lowest level of several entries is the lowest score, now and at any later time, and comparing needs no
// arithmetic. Nothing needs sweeping either, for a forgotten score is simply the lowest.
type bans struct {
	seed             maphash.Seed
	epoch            time.Time
	half             float64 // ns
	threshold        float64
	first, max, amen int64 // ns: length of the first ban, of the longest, and the time that forgives one
	v6bits           int
	shards           []banShard
	lastEnd          atomic.Int64 // no ban ends later: when it is over, nobody is banned and no table is looked at
	started          atomic.Int64 // bans so far
	ways6            int          // entries per group that IPv6 clients may take
	nets             *bans        // of networks, by the bans in them; nil when clients are no smaller
}

const (
	ways = 8 // entries per group; a key lives in one of two groups
	// waysOf6 leaves a quarter of the places to IPv4: whoever holds a /32 of IPv6 has more networks than there are places, and
	// must not be able to fill the table for everybody.
	waysOf6 = 6
	// netBits is what a provider gives one site at most (RFC 6177 section 2), and netBans how many clients in it have to be
	// banned, within about a half-life, for all of it to be banned as one; in a small table an eighth of its places. A site has
	// 65,536 networks of 64 bits.
	netBits   = 48
	netBans   = 64
	banShards = 64
)

type banShard struct {
	mu      sync.Mutex
	groups  []banGroup
	evicted int64
	dropped int64
	_       [64]byte // keep neighbours' locks off this cache line
}

// banGroup keeps its keys together: one cache line tells whether a client is here. Key 0 is a free place.
type banGroup struct {
	key [ways]uint64
	e   [ways]banEntry
}

type banEntry struct {
	level   float64
	until   int64 // ns since epoch; 0 for never banned
	strikes uint8 // bans not yet forgiven
}

func newBans(clients, v6bits int, threshold float64, half, first, longest, forget time.Duration) *bans {
	b := &bans{
		ways6: waysOf6, seed: maphash.MakeSeed(), epoch: time.Now(), half: float64(half), threshold: threshold,
		first: int64(first), max: int64(longest), amen: int64(forget), v6bits: v6bits,
	}
	shards := 1
	for shards < banShards && clients/shards >= 256 {
		shards *= 2
	}
	b.shards = make([]banShard, shards)
	groups := ((clients+shards-1)/shards + ways - 1) / ways
	for i := range b.shards {
		b.shards[i].groups = make([]banGroup, groups)
	}
	if v6bits > netBits {
		b.nets = newBans(max(clients/16, ways), netBits, float64(min(netBans, max(clients/8, 2))), half, first, longest, forget)
		b.nets.ways6 = ways // nobody else is in there
	}
	return b
}

// net returns the key, in nets, of the network that a client is in; 0 for none.
func (b *bans) net(key uint64) uint64 {
	if b.nets == nil || key >= keyLoopback {
		return 0
	}
	return key &^ (1<<(64-netBits) - 1)
}

// The keys of IPv4 addresses are in the IPv6 multicast range ffff:ffff::/32, where no client is; ::/64 (the loopback) moves
// next to them, for key 0 is a free place.
const (
	key4        = 0xffffffff_00000000
	keyLoopback = 0xfffffffe_00000001
)

// key returns what a client is counted by: an IPv4 address, or the first v6bits of an IPv6 address. 0 is nobody: an address
// nobody can vouch for is shared by everybody behind a broken proxy, so it has no score.
func (b *bans) key(a netip.Addr) uint64 {
	if !a.IsValid() {
		return 0
	}
	a = a.Unmap()
	hi, _ := words(a)
	if a.Is4() {
		return key4 | hi>>32
	}
	hi &= ^uint64(0) << (64 - b.v6bits)
	if hi == 0 {
		return keyLoopback
	}
	if hi>>56 == 0xff {
		return 0 // multicast: no client
	}
	return hi
}

// prefix is the inverse of key.
func (b *bans) prefix(key uint64) netip.Prefix {
	if key >= key4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}), 32)
	}
	if key == keyLoopback {
		key = 0
	}
	var a [16]byte
	for i := range 8 {
		a[i] = byte(key >> (56 - 8*i))
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), b.v6bits)
}

func (b *bans) place(key uint64) (s *banShard, g1, g2 *banGroup) {
	h := maphash.Comparable(b.seed, key)
	s = &b.shards[h&uint64(len(b.shards)-1)]
	n := uint64(len(s.groups))
	i1, _ := bits.Mul64(h, n)
	i2, _ := bits.Mul64(bits.RotateLeft64(h, 32), n)
	return s, &s.groups[i1], &s.groups[i2]
}

// find returns the entry of key in its groups, or nil. The shard is locked.
func find(key uint64, g1, g2 *banGroup) *banEntry {
	for i, k := range &g1.key {
		if k == key {
			return &g1.e[i]
		}
	}
	for i, k := range &g2.key {
		if k == key {
			return &g2.e[i]
		}
	}
	return nil
}

// claim returns an empty entry for a new key: a free place in the emptier group, else that of the lowest score. A ban in force
// never gives way, or a client could wash out its own with the addresses it can mint; where there is nothing but bans it
// returns nil.
func (b *bans) claim(s *banShard, key uint64, g1, g2 *banGroup, now int64) *banEntry {
	var at *banGroup
	slot, most := -1, 0
	mine := ways
	if key < keyLoopback {
		mine = b.ways6
	}
	for _, g := range [2]*banGroup{g1, g2} {
		free, last := 0, 0
		for i, k := range g.key[:mine] {
			if k == 0 {
				free, last = free+1, i
			}
		}
		if free > most {
			at, slot, most = g, last, free
		}
	}
	if slot < 0 {
		lowest := math.Inf(1)
		for _, g := range [2]*banGroup{g1, g2} {
			for i := range g.e[:mine] {
				if e := &g.e[i]; e.until <= now && e.level < lowest {
					at, slot, lowest = g, i, e.level
				}
			}
		}
		if slot < 0 {
			s.dropped++
			return nil
		}
		if lowest >= b.age(now) { // it was still worth a point
			s.evicted++
		}
	}
	at.key[slot] = key
	at.e[slot] = banEntry{level: math.Inf(-1)}
	return &at.e[slot]
}

// since is the time since the beginning, before which nothing was: what is added to it must not overflow.
func (b *bans) since(t time.Time) int64 { return max(0, int64(t.Sub(b.epoch))) }

// age is now in half-lives: the level of one point.
func (b *bans) age(now int64) float64 { return float64(now) / b.half }

// add gives the client points. It returns who is banned, and for how long, when these points have done it, else 0: the client, or
// the network it is in when too many of that have been. Points during a ban do not count: a client that keeps retrying
// gets out when it was told.
func (b *bans) add(key uint64, points float64, t time.Time) (who netip.Prefix, length time.Duration) {
	net := b.net(key)
	if net != 0 && b.nets.left(net, t) > 0 {
		return who, 0
	}
	if length = b.count(key, points, t); length == 0 {
		return who, 0
	}
	if net != 0 {
		if all := b.nets.count(net, 1, t); all > 0 {
			return b.nets.prefix(net), all
		}
	}
	return b.prefix(key), length
}

// count is add for the client alone.
func (b *bans) count(key uint64, points float64, t time.Time) time.Duration {
	if key == 0 || !(points > 0) {
		return 0
	}
	now := b.since(t)
	s, g1, g2 := b.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(key, g1, g2)
	if e == nil {
		if e = b.claim(s, key, g1, g2, now); e == nil {
			return 0 // open on purpose: a table full of bans must not refuse strangers
		}
	}
	if e.until > now {
		return 0
	}
	age := b.age(now)
	score := math.Exp2(e.level-age) + points
	if score < b.threshold*(1-1e-6) { // levels are rounded: twice 50 must be 100
		e.level = math.Log2(score) + age
		return 0
	}
	if e.strikes > 0 {
		e.strikes -= uint8(min((now-e.until)/b.amen, int64(e.strikes)))
	}
	length := b.max
	if e.strikes < 62 && b.first <= b.max>>e.strikes {
		length = b.first << e.strikes
	}
	b.begin(e, now, length)
	return time.Duration(length)
}

// begin makes e a ban. Its shard is locked.
func (b *bans) begin(e *banEntry, now, length int64) {
	e.strikes = min(e.strikes, 254) + 1
	e.until = now + min(length, math.MaxInt64-now)
	// On parole: who comes back starts with half of what a ban needs.
	e.level = math.Log2(b.threshold/2) + b.age(e.until)
	b.started.Add(1)
	for {
		last := b.lastEnd.Load()
		if e.until <= last || b.lastEnd.CompareAndSwap(last, e.until) {
			return
		}
	}
}

// set bans the client for length from now, whatever its score, or moves the end of the ban that it has. It reports false for
// what is no client, and where there is no place.
func (b *bans) set(key uint64, length time.Duration, t time.Time) bool {
	if key == 0 || length <= 0 {
		return false
	}
	now := b.since(t)
	s, g1, g2 := b.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(key, g1, g2)
	if e == nil {
		if e = b.claim(s, key, g1, g2, now); e == nil {
			return false
		}
	}
	if e.until > now && e.strikes > 0 {
		e.strikes-- // still the same ban
		b.started.Add(-1)
	}
	b.begin(e, now, int64(length))
	return true
}

// left returns how long the client is still banned, for itself or with its network; 0 when it is not.
func (b *bans) left(key uint64, t time.Time) time.Duration {
	if net := b.net(key); net != 0 {
		return max(b.nets.left(net, t), b.own(key, t))
	}
	return b.own(key, t)
}

func (b *bans) own(key uint64, t time.Time) time.Duration {
	now := b.since(t)
	if key == 0 || b.lastEnd.Load() <= now {
		return 0
	}
	s, g1, g2 := b.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := find(key, g1, g2); e != nil && e.until > now {
		return time.Duration(e.until - now)
	}
	return 0
}

// forget drops all that is known of the client and of its network, and reports whether one of them was banned.
func (b *bans) forget(key uint64, t time.Time) bool {
	if key == 0 {
		return false
	}
	was := b.forgetOwn(key, t)
	if net := b.net(key); net != 0 {
		was = b.nets.forget(net, t) || was
	}
	return was
}

func (b *bans) forgetOwn(key uint64, t time.Time) bool {
	s, g1, g2 := b.place(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := find(key, g1, g2)
	if e == nil {
		return false
	}
	was := e.until > b.since(t)
	*e = banEntry{level: math.Inf(-1)} // the first to give way
	return was
}

// walk calls f for every entry, one shard at a time.
func (b *bans) walk(f func(key uint64, e *banEntry)) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for j := range s.groups {
			g := &s.groups[j]
			for k := range g.key {
				if g.key[k] != 0 {
					f(g.key[k], &g.e[k])
				}
			}
		}
		s.mu.Unlock()
	}
}

// Ban is a ban in force. Its JSON form is stable: {"prefix":"192.0.2.1/32","until":"2026-01-02T15:04:05Z","strikes":1}.
type Ban struct {
	// Prefix is the client: an IPv4 address, or an IPv6 prefix of Config.IPv6Bits; or a /48 in which many clients were banned.
	Prefix netip.Prefix `json:"prefix"`
	// Until is when it ends.
	Until time.Time `json:"until"`
	// Strikes is how many bans of this client are not forgiven yet, this one included.
	Strikes int `json:"strikes"`
}

// list returns the bans in force, in the order of their prefixes; never nil.
func (b *bans) list(t time.Time) []Ban {
	now, out := b.since(t), []Ban{}
	if b.nets != nil {
		out = b.nets.list(t)
	}
	if b.lastEnd.Load() <= now {
		return out
	}
	b.walk(func(key uint64, e *banEntry) {
		if e.until > now {
			until := b.epoch.Add(time.Duration(e.until)).Round(0) // the wall's: its monotonic part means nothing to a reader of JSON
			out = append(out, Ban{Prefix: b.prefix(key), Until: until, Strikes: int(e.strikes)})
		}
	})
	slices.SortFunc(out, func(x, y Ban) int { return x.Prefix.Compare(y.Prefix) })
	return out
}

// Stats is what the table of scores holds. The names in JSON are stable.
type Stats struct {
	// Slots is the number of places of the table, 0 with Config.SkipBans; InUse how many hold a client with a score of at least
	// one point or a ban.
	Slots int `json:"slots"`
	InUse int `json:"in_use"`
	// Banned is the number of bans in force, those of /48 networks included; Bans counts all since New.
	Banned int   `json:"banned"`
	Bans   int64 `json:"bans"`
	// Evicted counts scores of at least one point that gave way to those of other clients.
	Evicted int64 `json:"evicted"`
	// Dropped counts points that found no place because the table held nothing but bans there. When it grows, raise
	// Config.MaxClients. (IPv6 clients have six of eight places.)
	Dropped int64 `json:"dropped"`
	// Shadow is Config.Shadow: bans are recorded, and nobody is refused.
	Shadow bool `json:"shadow"`
}

func (b *bans) stats(t time.Time) Stats {
	now := b.since(t)
	st := Stats{Bans: b.started.Load()}
	age := b.age(now)
	b.walk(func(_ uint64, e *banEntry) {
		if e.until > now {
			st.Banned++
			st.InUse++
		} else if e.level >= age {
			st.InUse++
		}
	})
	if b.nets != nil {
		nets := b.nets.stats(t)
		st.Banned, st.Bans = st.Banned+nets.Banned, st.Bans+nets.Bans
	}
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		st.Slots += len(s.groups) * ways
		st.Evicted += s.evicted
		st.Dropped += s.dropped
		s.mu.Unlock()
	}
	return st
}
