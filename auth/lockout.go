package auth

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Defaults of [Lockout].
const (
	// DefaultLockoutFailures is as many wrong keys as package validate/guard takes for a ban.
	DefaultLockoutFailures = 20
	// DefaultLockoutHalfLife lets a client that retries a wrong credential every 10 seconds settle at a score of 9, below a lock. A
	// guesser who stays below one has 13 guesses a minute.
	DefaultLockoutHalfLife = time.Minute
	// DefaultLock is the length of a first lock; each further one is twice as long, up to DefaultMaxLock.
	DefaultLock = time.Minute
	// DefaultMaxLock bounds what a neighbour behind the same address has to wait.
	DefaultMaxLock = 15 * time.Minute
	// DefaultLockoutAddresses is the size of the table: half a MiB.
	DefaultLockoutAddresses = 1 << 14
)

// Lockout says when a client's address is locked out. The zero Lockout has the defaults.
//
// What counts is a credential that is wrong ([ErrInvalid]). A credential that was right once or will be ([ErrExpired],
// [ErrRevoked], [ErrNotYetValid]), one of a scheme nobody here speaks, none at all, a missing scope and an outage of ours cost nothing, and a
// success takes nothing back: one good key would buy any number of guesses.
type Lockout struct {
	// Failures is how many failures, at most within a fraction of HalfLife, lock an address. Each adds one to its score; it is locked when the
	// score is above Failures less one half, so that the decay between quick failures does not ask for one more. Zero means
	// DefaultLockoutFailures.
	Failures int
	// HalfLife is the time in which a score halves. Zero means DefaultLockoutHalfLife.
	HalfLife time.Duration
	// Lock is the length of an address's first lock. Every further one is twice as long, up to MaxLock; four times MaxLock without
	// a lock forgive one. After a lock the score is half of Failures. Zero means DefaultLock and DefaultMaxLock.
	Lock, MaxLock time.Duration
	// MaxAddresses is how many addresses are kept, of 32 bytes each, at once and for ever. Zero means DefaultLockoutAddresses; at
	// most 2^24.
	MaxAddresses int
	// Exempt are addresses that are never locked: offices and partners behind one address, servers that pass on the tokens of many
	// people.
	Exempt []netip.Prefix
	// CountPrivate locks loopback, private, shared (RFC 6598) and link-local addresses also where nobody has named trusted
	// proxies. By default these are not counted there: such a peer is likelier a proxy, and its lock would be everybody's.
	CountPrivate bool
	// Shadow counts, lists and alarms, and refuses nobody.
	Shadow bool
}

// AlarmKind says what an [Alarm] is about.
type AlarmKind string

const (
	// AlarmWrongSecret is the id of an existing key with a wrong secret. Checksums keep typing errors out: somebody is guessing, or has
	// half of a key. The key stays usable.
	AlarmWrongSecret AlarmKind = "wrong_secret"
	// AlarmLocked is the beginning of a lock.
	AlarmLocked AlarmKind = "address_locked"
)

// Alarm is what [Config].OnAlarm gets. It holds no credential.
type Alarm struct {
	Kind AlarmKind
	// Prefix is the client: an IPv4 /32 or an IPv6 /64. Zero when nobody can vouch for its address.
	Prefix netip.Prefix
	// KeyID is the key whose secret was wrong; for AlarmLocked that of the last failure, if any.
	KeyID string
	// RequestID is the request that raised the alarm; empty for one that met no handler of this module.
	RequestID string
	// Failures is, for AlarmWrongSecret, how often this address has tried this key in this burst. A burst ends with 10 minutes of
	// quiet; its first failure raises an alarm, and then its tenth, hundredth and so on.
	Failures int
	// Until is when the lock ends; zero for AlarmWrongSecret.
	Until time.Time
	// Suppressed is how many alarms of this kind were not raised since the last one: ten may come at once, then one a second.
	Suppressed int
}

// Lock is a lock in force.
type Lock struct {
	// Prefix is the client: an IPv4 /32 or an IPv6 /64; zero for all clients whose address nobody can vouch for.
	Prefix netip.Prefix
	// Until is when it ends.
	Until time.Time
	// Strikes is how many locks of this client are not forgiven yet, this one included.
	Strikes int
}

// LockoutStats is what the lock-out did and holds.
type LockoutStats struct {
	// Slots is the number of places of the table; InUse how many hold a score of at least one failure or a lock.
	Slots, InUse int
	// Locked is the number of locks in force; Locks counts all since New.
	Locked int
	Locks  int64
	// Refused counts the requests that were refused for a lock, or would have been (Lockout.Shadow).
	Refused int64
	// Evicted counts scores of at least one failure that gave way to those of other addresses.
	Evicted int64
	// Dropped counts failures that found no place because the table held nothing but locks there: raise MaxAddresses.
	Dropped int64
	// Uncounted counts failures from peers of private addresses while no trusted proxies are named: see Lockout.CountPrivate.
	Uncounted int64
}

// lockout keeps the scores and locks of addresses, and the bursts of wrong secrets: tables of a size fixed for ever, and no
// goroutine. It is shared by a Gate and those that Require and its like make of it.
//
// An address is its 64 bits of addressKey, in full: no two share a score. Its place is a keyed hash of them, so that nobody can aim
// at another's. What is stored of a score is its level, log2(score) + now/half-life, which decay does not change: the lowest level
// is the lowest score at any time, and nothing needs sweeping. Guessed secrets are no part of any key.
type lockout struct {
	cfg  Lockout
	skip bool // locks nobody, alarms still

	seed   maphash.Seed
	epoch  time.Time
	last   atomic.Int64 // no lock ends later; 0 when nobody is locked, and then no table and no clock is looked at
	groups []lockGroup

	locks, refused, evicted, dropped, uncounted atomic.Int64

	mu     sync.Mutex
	bursts [512][8]burst
	alarms [2]alarmRate
}

type lockGroup struct {
	mu    sync.Mutex
	slots [16]lockSlot
}

type lockSlot struct {
	key     uint64 // 0 for a free place
	level   float64
	until   int64 // ns since epoch; 0 for never locked
	strikes uint32
}

// burst is the wrong secrets that one address tried for one key. key is the keyed hash of both.
type burst struct {
	key  uint64
	last int64
	n    int
}

const burstQuiet = int64(10 * time.Minute)

func newLockout(cfg Lockout, skip bool) (*lockout, []error) {
	var errs []error
	fault := func(bad bool, field string, v any) {
		if bad {
			errs = append(errs, fmt.Errorf("auth: Config.Lockout.%s %v is negative or too large", field, v))
		}
	}
	fault(cfg.Failures < 0 || cfg.Failures > 1<<20, "Failures", cfg.Failures)
	fault(cfg.HalfLife < 0, "HalfLife", cfg.HalfLife)
	fault(cfg.Lock < 0, "Lock", cfg.Lock)
	fault(cfg.MaxLock < 0 || cfg.MaxLock > 365*24*time.Hour, "MaxLock", cfg.MaxLock)
	fault(cfg.MaxAddresses < 0 || cfg.MaxAddresses > 1<<24, "MaxAddresses", cfg.MaxAddresses)
	for i, p := range cfg.Exempt {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("auth: Config.Lockout.Exempt[%d] is no prefix", i))
		}
	}
	cfg.Exempt = slices.Clone(cfg.Exempt)
	for i, p := range cfg.Exempt {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			cfg.Exempt[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
	}
	if cfg.Failures == 0 {
		cfg.Failures = DefaultLockoutFailures
	}
	if cfg.HalfLife == 0 {
		cfg.HalfLife = DefaultLockoutHalfLife
	}
	if cfg.Lock == 0 {
		cfg.Lock = DefaultLock
	}
	if cfg.MaxLock == 0 {
		cfg.MaxLock = max(DefaultMaxLock, cfg.Lock)
	}
	if cfg.MaxAddresses == 0 {
		cfg.MaxAddresses = DefaultLockoutAddresses
	}
	if cfg.MaxLock < cfg.Lock {
		errs = append(errs, fmt.Errorf("auth: Config.Lockout.MaxLock %v is shorter than Lock %v", cfg.MaxLock, cfg.Lock))
	}
	if len(errs) > 0 {
		return nil, errs
	}
	l := &lockout{cfg: cfg, skip: skip, seed: maphash.MakeSeed(), epoch: time.Now()}
	if !skip {
		l.groups = make([]lockGroup, (cfg.MaxAddresses+15)/16)
	}
	return l, nil
}

// IPv4 addresses, ::/64 (the loopback) and everybody without a known address have keys in the IPv6 multicast range, where no client is.
const (
	key4        = 0xffffffff_00000000
	keyLoopback = 0xfffffffe_00000001
	keyUnknown  = 0xfffffffe_00000002
)

// addressKey is what a client is counted by: its IPv4 address, or the /64 of its IPv6 address, in which one host can take any
// number of addresses (RFC 8981).
func addressKey(a netip.Addr) (key uint64) {
	if !a.IsValid() {
		return keyUnknown
	}
	if a = a.Unmap(); a.Is4() {
		for _, b := range a.As4() {
			key = key<<8 | uint64(b)
		}
		return key4 | key
	}
	for _, b := range a.AsSlice()[:8] {
		key = key<<8 | uint64(b)
	}
	switch {
	case key == 0:
		return keyLoopback
	case key>>56 == 0xff: // multicast: whoever says so is no client
		return keyUnknown
	}
	return key
}

// prefixOf is the prefix of a client's address that addressKey keeps.
func prefixOf(a netip.Addr) netip.Prefix {
	if a = a.Unmap(); a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p
	}
	p, _ := a.Prefix(32)
	return p
}

// keyPrefix is the inverse of addressKey.
func keyPrefix(key uint64) netip.Prefix {
	switch {
	case key == keyUnknown:
		return netip.Prefix{}
	case key >= key4:
		return prefixOf(netip.AddrFrom4([4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}))
	case key == keyLoopback:
		key = 0
	}
	var a [16]byte
	for i := range 8 {
		a[i] = byte(key >> (56 - 8*i))
	}
	return prefixOf(netip.AddrFrom16(a))
}

func (l *lockout) group(key uint64) *lockGroup {
	return &l.groups[maphash.Comparable(l.seed, key)%uint64(len(l.groups))]
}

func (g *lockGroup) find(key uint64) *lockSlot {
	for i := range g.slots {
		if g.slots[i].key == key {
			return &g.slots[i]
		}
	}
	return nil
}

// claim returns the place for a new address: a free one, else that of the lowest score. A lock in force never gives way, or a client
// could wash out its own with the addresses it can mint; where there is nothing but locks it returns nil.
func (l *lockout) claim(g *lockGroup, now int64) *lockSlot {
	var at *lockSlot
	for i := range g.slots {
		switch s := &g.slots[i]; {
		case s.key == 0:
			return s
		case s.until <= now && (at == nil || s.level < at.level):
			at = s
		}
	}
	if at != nil && at.level >= l.age(now) {
		l.evicted.Add(1)
	}
	return at
}

func (l *lockout) now() int64 { return int64(time.Since(l.epoch)) }

// age is the level of one failure now.
func (l *lockout) age(now int64) float64 { return float64(now) / float64(l.cfg.HalfLife) }

// fail counts one failure and returns when the lock that it began ends, else 0. Failures during a lock, of requests that were on their
// way, do not prolong it: a client gets out when it was told.
func (l *lockout) fail(key uint64, now int64) (until int64) {
	g := l.group(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.find(key)
	if s == nil {
		if s = l.claim(g, now); s == nil {
			l.dropped.Add(1) // open on purpose: a table full of locks must not refuse strangers
			return 0
		}
		*s = lockSlot{key: key, level: math.Inf(-1)}
	}
	if s.until > now {
		return 0
	}
	score := math.Exp2(s.level-l.age(now)) + 1
	if score < float64(l.cfg.Failures)-0.5 {
		s.level = math.Log2(score) + l.age(now)
		return 0
	}
	if s.strikes > 0 {
		s.strikes -= uint32(min((now-s.until)/(4*int64(l.cfg.MaxLock)), int64(s.strikes)))
	}
	length := int64(l.cfg.MaxLock)
	if first := int64(l.cfg.Lock); s.strikes < 62 && first <= length>>s.strikes {
		length = first << s.strikes
	}
	s.strikes++
	s.until = now + length
	s.level = math.Log2(float64(l.cfg.Failures)/2) + l.age(s.until)
	l.locks.Add(1)
	for {
		last := l.last.Load()
		if s.until <= last || l.last.CompareAndSwap(last, s.until) {
			return s.until
		}
	}
}

// left returns how long the address is still locked.
func (l *lockout) left(key uint64, now int64) time.Duration {
	g := l.group(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.find(key); s != nil && s.until > now {
		return time.Duration(s.until - now)
	}
	return 0
}

// quiet reports whether nobody is locked. It is all that a request costs then: one atomic load.
func (l *lockout) quiet() bool {
	last := l.last.Load()
	if last == 0 {
		return true
	}
	if last > l.now() {
		return false
	}
	l.last.CompareAndSwap(last, 0)
	return true
}

// wrongSecret counts a failure with the id of a key and returns how many this burst has. Without an id it does the same work and
// keeps nothing, so that the time of an answer tells less about which ids exist.
func (l *lockout) wrongSecret(addr uint64, id string, now int64) (n int) {
	var h maphash.Hash
	h.SetSeed(l.seed)
	maphash.WriteComparable(&h, addr)
	h.WriteString(id)
	key := h.Sum64()
	l.mu.Lock()
	defer l.mu.Unlock()
	set := &l.bursts[key%uint64(len(l.bursts))]
	at := &set[0]
	for i := range set {
		b := &set[i]
		if b.key == key && b.n > 0 {
			at = b
			break
		}
		if b.last < at.last || b.n == 0 {
			at = b // the one that was quiet for longest gives way
		}
	}
	if id == "" {
		return 0
	}
	if at.key != key || now-at.last > burstQuiet {
		*at = burst{key: key}
	}
	at.n++
	at.last = now
	return at.n
}

// alarmRate lets ten alarms through at once, then one a second: a hook that sends messages must not become the attacker's own flood.
type alarmRate struct {
	full       int64 // when there will be ten again, ns since epoch
	suppressed int
}

func (l *lockout) mayAlarm(kind int, now int64) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.alarms[kind]
	if a.full = max(a.full, now) + int64(time.Second); a.full > now+int64(10*time.Second) {
		a.full -= int64(time.Second)
		a.suppressed++
		return 0, false
	}
	suppressed, a.suppressed = a.suppressed, 0
	return suppressed, true
}

// shared is the address space between a provider and its customers (RFC 6598), which clusters use too.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// counting says whether the failures of an address count.
type counting uint8

const (
	counted counting = iota
	exempt
	private // it would count if we knew that it is no proxy
)

// client returns the address of r and whether it may be locked. It may not when it stands for many: a trusted proxy itself, a peer
// without an address, and a private one while nobody knows which peers are proxies. A client that a trusted proxy's headers do not name
// clearly is the zero Addr and may be locked, one score for all of them: it can bring that about, and must not escape by it.
func (g *Gate) client(r *http.Request) (a netip.Addr, c counting) {
	proxies := g.proxies
	if x := exchange.From(r.Context()); x != nil {
		a = x.Addr(r, proxies)
		proxies = x.Proxies()
	} else {
		a = proxies.Client(r)
	}
	l := g.lockout
	switch {
	case !a.IsValid():
		if proxies != nil && exchange.HasPeer(r) {
			return a, counted
		}
		return a, exempt
	case proxies.Trusts(a), slices.ContainsFunc(l.cfg.Exempt, func(p netip.Prefix) bool { return p.Contains(a) }):
		return a, exempt
	case proxies == nil && !l.cfg.CountPrivate && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || shared.Contains(a)):
		return a, private
	}
	return a, counted
}

// locked returns the refusal of a request from an address that is locked.
func (g *Gate) locked(r *http.Request) error {
	if g == nil || g.lockout == nil || g.lockout.quiet() {
		return nil
	}
	l := g.lockout
	a, c := g.client(r)
	if c != counted {
		return nil
	}
	left := l.left(addressKey(a), l.now())
	if left == 0 {
		return nil
	}
	l.refused.Add(1)
	if l.cfg.Shadow {
		if x := exchange.From(r.Context()); x != nil {
			x.AddFinding(exchange.Finding{Kind: stage, Rule: "lockout", Action: "shadow", Direction: "request"})
		}
		return nil
	}
	return &Error{Code: CodeLocked, RetryAfter: left, Err: ErrLocked}
}

// guess reports whether err means that somebody tried a credential which never was right.
func guess(err error) (e *Error, ok bool) {
	switch CodeOf(err) {
	case CodeInvalidAPIKey, CodeInvalidToken:
	default:
		return nil, false
	}
	if errors.Is(err, ErrExpired) || errors.Is(err, ErrRevoked) || errors.Is(err, ErrNotYetValid) {
		return nil, false
	}
	if !errors.As(err, &e) || e == nil {
		e = &noFacts
	}
	return e, e.ChallengeError != "use_dpop_nonce" // how every client of RFC 9449 section 8 begins
}

// failed counts what an authenticator refused, and alarms.
func (g *Gate) failed(r *http.Request, err error) {
	l := g.lockout
	if l == nil {
		return
	}
	e, ok := guess(err)
	if !ok {
		return
	}
	a, c := g.client(r)
	key, now := addressKey(a), l.now()
	if n := l.wrongSecret(key, e.KeyID, now); powerOfTen(n) {
		g.alarm(r, 0, now, Alarm{Kind: AlarmWrongSecret, Prefix: prefixOf(a), KeyID: e.KeyID, Failures: n})
	}
	if l.skip || c == exempt {
		return
	}
	if c == private {
		if n := l.uncounted.Add(1); n >= 10 && powerOfTen(int(n)) { // a key that was mistyped at a desk is no news
			g.log().LogAttrs(r.Context(), slog.LevelWarn, "auth: wrong credentials from private addresses lock nobody out: name the proxies in front in Config.TrustedProxies, or set Lockout.CountPrivate",
				slog.Int64("failures", n), slog.String("prefix", prefixOf(a).String()))
		}
		return
	}
	if until := l.fail(key, now); until > 0 {
		g.alarm(r, 1, now, Alarm{Kind: AlarmLocked, Prefix: prefixOf(a), KeyID: e.KeyID, Failures: l.cfg.Failures, Until: l.epoch.Add(time.Duration(until))})
	}
}

func powerOfTen(n int) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// alarm tells the hook and the log, unless there were too many.
func (g *Gate) alarm(r *http.Request, kind int, now int64, a Alarm) {
	var ok bool
	if a.Suppressed, ok = g.lockout.mayAlarm(kind, now); !ok {
		return
	}
	ctx := r.Context()
	if x := exchange.From(ctx); x != nil {
		a.RequestID = x.ID()
	}
	g.log().LogAttrs(ctx, slog.LevelWarn, [...]string{"auth: wrong secret for an existing key", "auth: address locked out"}[kind], slog.Any("alarm", a))
	if g.onAlarm != nil {
		g.onAlarm(ctx, a)
	}
}

// LogValue implements [slog.LogValuer].
func (a Alarm) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", string(a.Kind)), slog.Int("failures", a.Failures)}
	if a.Prefix.IsValid() {
		attrs = append(attrs, slog.String("prefix", a.Prefix.String()))
	}
	for _, s := range [...]struct{ k, v string }{{"key_id", a.KeyID}, {"request_id", a.RequestID}} {
		if s.v != "" {
			attrs = append(attrs, slog.String(s.k, s.v))
		}
	}
	if !a.Until.IsZero() {
		attrs = append(attrs, slog.Time("until", a.Until))
	}
	if a.Suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", a.Suppressed))
	}
	return slog.GroupValue(attrs...)
}

// Locked returns the locks in force, in the order of their prefixes. Gates made of one another share their locks.
func (g *Gate) Locked() []Lock {
	if g == nil || g.lockout == nil || g.lockout.quiet() {
		return nil
	}
	l := g.lockout
	now := l.now()
	var list []Lock
	l.each(func(s *lockSlot) {
		if s.until > now {
			list = append(list, Lock{Prefix: keyPrefix(s.key), Until: l.epoch.Add(time.Duration(s.until)), Strikes: int(s.strikes)})
		}
	})
	slices.SortFunc(list, func(a, b Lock) int { return a.Prefix.Compare(b.Prefix) })
	return list
}

// Unlock forgets all failures and locks of the client with this address, and reports whether it was locked. The zero Addr is
// everybody whose address nobody can vouch for.
func (g *Gate) Unlock(a netip.Addr) bool {
	if g == nil || g.lockout == nil || g.lockout.skip {
		return false
	}
	l := g.lockout
	key := addressKey(a)
	group := l.group(key)
	group.mu.Lock()
	defer group.mu.Unlock()
	s := group.find(key)
	if s == nil {
		return false
	}
	was := s.until > l.now()
	*s = lockSlot{}
	return was
}

// LockoutStats returns what the lock-out did and holds.
func (g *Gate) LockoutStats() LockoutStats {
	if g == nil || g.lockout == nil {
		return LockoutStats{}
	}
	l := g.lockout
	now := l.now()
	st := LockoutStats{
		Slots: len(l.groups) * len(lockGroup{}.slots), Locks: l.locks.Load(), Refused: l.refused.Load(),
		Evicted: l.evicted.Load(), Dropped: l.dropped.Load(), Uncounted: l.uncounted.Load(),
	}
	l.each(func(s *lockSlot) {
		if s.until > now {
			st.Locked++
			st.InUse++
		} else if s.level >= l.age(now) {
			st.InUse++
		}
	})
	return st
}

// each calls f for every address in the table, a group at a time.
func (l *lockout) each(f func(*lockSlot)) {
	for i := range l.groups {
		g := &l.groups[i]
		g.mu.Lock()
		for j := range g.slots {
			if g.slots[j].key != 0 {
				f(&g.slots[j])
			}
		}
		g.mu.Unlock()
	}
}
