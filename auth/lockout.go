package auth

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/penalty"
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
	// a lock forgive one. After a lock the score is half of Failures. Zero means DefaultLock, and the longer of DefaultMaxLock and
	// Lock; neither is longer than 365 days.
	Lock, MaxLock time.Duration
	// MaxAddresses is how many addresses are kept, of 32 bytes each, at once and for ever; a quarter of the places are for IPv4
	// alone. Zero means DefaultLockoutAddresses; at most 2^24.
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
	// Strikes is how many locks of this client are not forgiven yet, this one included; at most 255.
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
	// Dropped counts failures that found no place because the table held nothing but locks there: raise MaxAddresses. (IPv6
	// addresses have six of eight places.)
	Dropped int64
	// Uncounted counts failures from peers of private addresses while no trusted proxies are named: see Lockout.CountPrivate.
	Uncounted int64
}

// lockout keeps the scores and locks of addresses, and the bursts of wrong secrets: tables of a size fixed for ever, and no
// goroutine. It is shared by a Gate and those that Require and its like make of it. Guessed secrets are no part of any key.
type lockout struct {
	cfg   Lockout
	table *penalty.Table // nil with SkipLockout: locks nobody, alarms still

	refused, uncounted atomic.Int64

	seed   maphash.Seed
	epoch  time.Time // of the times in bursts and alarms, ns
	mu     sync.Mutex
	bursts [512][8]burst
	alarms map[AlarmKind]alarmRate
}

// burst is the wrong secrets that one address tried for one key. key is the keyed hash of both.
type burst struct {
	key  uint64
	last int64
	n    int
}

const burstQuiet = int64(10 * time.Minute)

// longestLock bounds Lock too, which is the default of MaxLock: four times that is a time.Duration.
const longestLock = 365 * 24 * time.Hour

func newLockout(cfg Lockout, skip bool) (*lockout, []error) {
	var errs []error
	fault := func(bad bool, field string, v any) {
		if bad {
			errs = append(errs, fmt.Errorf("auth: Config.Lockout.%s %v is negative or too large", field, v))
		}
	}
	fault(cfg.Failures < 0 || cfg.Failures > 1<<20, "Failures", cfg.Failures)
	fault(cfg.HalfLife < 0, "HalfLife", cfg.HalfLife)
	fault(cfg.Lock < 0 || cfg.Lock > longestLock, "Lock", cfg.Lock)
	fault(cfg.MaxLock < 0 || cfg.MaxLock > longestLock, "MaxLock", cfg.MaxLock)
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
	cfg.Failures = cmp.Or(cfg.Failures, DefaultLockoutFailures)
	cfg.HalfLife = cmp.Or(cfg.HalfLife, DefaultLockoutHalfLife)
	cfg.Lock = cmp.Or(cfg.Lock, DefaultLock)
	cfg.MaxLock = cmp.Or(cfg.MaxLock, max(DefaultMaxLock, cfg.Lock))
	cfg.MaxAddresses = cmp.Or(cfg.MaxAddresses, DefaultLockoutAddresses)
	if cfg.MaxLock < cfg.Lock {
		errs = append(errs, fmt.Errorf("auth: Config.Lockout.MaxLock %v is shorter than Lock %v", cfg.MaxLock, cfg.Lock))
	}
	if len(errs) > 0 {
		return nil, errs
	}
	l := &lockout{cfg: cfg, seed: maphash.MakeSeed(), epoch: time.Now(), alarms: map[AlarmKind]alarmRate{}}
	if !skip {
		l.table = penalty.New(penalty.Config{
			Clients:  max(cfg.MaxAddresses, 16), // the places that doc.go says an address has
			IPv6Bits: v6bits, HalfLife: cfg.HalfLife,
			Threshold: float64(cfg.Failures) - 0.5, Parole: float64(cfg.Failures) / 2,
			First: cfg.Lock, Max: cfg.MaxLock, Forgive: 4 * cfg.MaxLock,
		})
	}
	return l, nil
}

// v6bits is the prefix of one IPv6 client: a subnet (RFC 7421).
const v6bits = 64

// clientKey is what a client is counted by. Whoever has no address, or names one of a multicast group, counts for all whose address
// nobody can vouch for.
func clientKey(a netip.Addr) penalty.Key {
	if k := penalty.KeyOf(a, v6bits); k != penalty.Nobody {
		return k
	}
	return penalty.Unknown
}

// wrongSecret counts a failure with the id of a key and returns how many this burst has. Without an id there is none, and nothing to
// lock. Which ids exist is no secret, and the alarm takes longer than this; that an unknown id takes as long as a wrong
// secret is promised of the look-up (package apikey), which is over.
func (l *lockout) wrongSecret(addr penalty.Key, id string, now int64) (n int) {
	if id == "" {
		return 0
	}
	key := maphash.Comparable(l.seed, struct {
		addr penalty.Key
		id   string
	}{addr, id})
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

func (l *lockout) mayAlarm(kind AlarmKind, now int64) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.alarms[kind]
	if full := max(a.full, now) + int64(time.Second); full > now+int64(10*time.Second) {
		a.suppressed++
	} else {
		suppressed, ok = a.suppressed, true
		a = alarmRate{full: full}
	}
	l.alarms[kind] = a
	return suppressed, ok
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

// table returns where the locks are; nil for none.
func (g *Gate) table() *penalty.Table {
	if g == nil || g.lockout == nil {
		return nil
	}
	return g.lockout.table
}

// locked returns the refusal of a request from an address that is locked. While nobody is it costs one atomic load.
func (g *Gate) locked(r *http.Request) error {
	table := g.table()
	now, quiet := table.Quiet()
	if quiet {
		return nil
	}
	a, c := g.client(r)
	if c != counted {
		return nil
	}
	left := table.Left(clientKey(a), now)
	if left == 0 {
		return nil
	}
	l := g.lockout
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
	key, now := clientKey(a), int64(time.Since(l.epoch))
	if n := l.wrongSecret(key, e.KeyID, now); powerOfTen(n) {
		g.alarm(r, key, now, Alarm{Kind: AlarmWrongSecret, KeyID: e.KeyID, Failures: n})
	}
	if l.table == nil || c == exempt {
		return
	}
	if c == private {
		if n := l.uncounted.Add(1); n >= 10 && powerOfTen(int(n)) { // a key that was mistyped at a desk is no news
			g.log().LogAttrs(r.Context(), slog.LevelWarn, "auth: wrong credentials from private addresses lock nobody out: name the proxies in front in Config.TrustedProxies, or set Lockout.CountPrivate",
				slog.Int64("failures", n), slog.String("prefix", key.Prefix(v6bits).String()))
		}
		return
	}
	at := l.epoch.Add(time.Duration(now))
	if length := l.table.Add(key, 1, at); length > 0 {
		g.alarm(r, key, now, Alarm{Kind: AlarmLocked, KeyID: e.KeyID, Failures: l.cfg.Failures, Until: at.Add(length)})
	}
}

func powerOfTen(n int) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// alarmTexts are what the log says of an alarm.
var alarmTexts = map[AlarmKind]string{AlarmWrongSecret: "auth: wrong secret for an existing key", AlarmLocked: "auth: address locked out"}

// alarm tells the hook and the log, unless there were too many.
func (g *Gate) alarm(r *http.Request, key penalty.Key, now int64, a Alarm) {
	var ok bool
	if a.Suppressed, ok = g.lockout.mayAlarm(a.Kind, now); !ok {
		return
	}
	a.Prefix = key.Prefix(v6bits)
	ctx := r.Context()
	if x := exchange.From(ctx); x != nil {
		a.RequestID = x.ID()
	}
	g.log().LogAttrs(ctx, slog.LevelWarn, alarmTexts[a.Kind], slog.Any("alarm", a))
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
	var list []Lock
	for _, p := range g.table().List(time.Now()) {
		list = append(list, Lock(p))
	}
	return list
}

// Unlock forgets all failures and locks of the client with this address, and reports whether it was locked. The zero Addr is
// everybody whose address nobody can vouch for.
func (g *Gate) Unlock(a netip.Addr) bool {
	return g.table().Forget(clientKey(a), time.Now())
}

// LockoutStats returns what the lock-out did and holds.
func (g *Gate) LockoutStats() LockoutStats {
	if g == nil || g.lockout == nil {
		return LockoutStats{}
	}
	st := g.table().Stats(time.Now())
	return LockoutStats{
		Slots: st.Slots, InUse: st.InUse, Locked: st.InForce, Locks: st.Begun, Evicted: st.Evicted, Dropped: st.Dropped,
		Refused: g.lockout.refused.Load(), Uncounted: g.lockout.uncounted.Load(),
	}
}
