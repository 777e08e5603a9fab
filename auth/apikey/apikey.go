package apikey

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Config configures a [Manager].
type Config struct {
	// Store keeps the keys. Required: [NewMemoryStore] or [NewFileStore], or an implementation of your own.
	Store Store
	// Prefix is the first part of every key: 2 to 10 lower-case letters and digits, beginning with a letter. It should be
	// the deployment's own, so that a secret scanner can name it. Required.
	Prefix string
	// Env is the second part: 1 to 12 lower-case letters and digits, such as "live" or "test". Keys of one env are refused in
	// another. Required.
	Env string
	// Issuer is the Issuer of the principals. Empty means "apikey".
	Issuer string
	// TrustedProxies are the peers whose word about the client's address is believed, for keys bound to addresses. Empty
	// means nobody. Behind an [auth.Gate] or another room that names trusted proxies, that room's list counts.
	TrustedProxies []netip.Prefix
	// PollInterval is how often the store is asked for changes made by others, and so the time a revocation in another
	// process needs to arrive. Zero means 1 second, and no polling for a [MemoryStore], which only this process can change.
	// Negative means never: then call [Manager.Reload].
	PollInterval time.Duration
	// MaxStale is how long the keys in memory are used after the last good load of the store; then every well-formed key
	// gets [auth.ErrUnavailable]. Zero means 10 minutes.
	MaxStale time.Duration
	// LoadTimeout bounds one load of the store. Zero means 10 seconds.
	LoadTimeout time.Duration
	// Logger gets a record when loading begins to fail, fails differently and works again. Nil means what
	// slog.Default returns at that moment.
	Logger *slog.Logger
}

// Manager makes, revokes and checks keys. It implements [auth.Authenticator] and is safe for concurrent use. The zero
// Manager, and a nil one, refuse every request with [auth.ErrUnavailable]. A Manager that polls its store has a goroutine: see
// [Manager.Close].
type Manager struct {
	cfg     Config
	format  format
	proxies *exchange.Proxies
	base    time.Time // lastLoad and staleAt count from here, by the monotonic clock

	keys  atomic.Pointer[snapshot]
	stale atomic.Bool // set by a timer: a check need not read the clock for it

	loading chan struct{} // holds one token; whoever has it may load

	mu         sync.Mutex
	version    string           // of the last batch that was taken over
	tombstones map[id]time.Time // keys that are dead in this process, for good
	midLoad    bool             // a load is under way ...
	written    []*entry         // ... and these keys were written since it began
	lastLoad   time.Duration    // when the last good load began
	staleAt    time.Duration    // when the keys are too old to be used
	timer      *time.Timer      // fires at staleAt
	failure    string           // the last load error, for the log

	stop     context.CancelFunc
	done     chan struct{}
	stopping sync.Once
}

// snapshot is what a check reads. It is never changed, but for the revoked mark of its entries.
type snapshot struct {
	base   map[id]*entry
	recent map[id]*entry // keys made since base was built; small, copied on every write
}

func (s *snapshot) find(k id) *entry {
	if len(s.recent) > 0 {
		if e := s.recent[k]; e != nil {
			return e
		}
	}
	return s.base[k]
}

// entry is what a check reads of one key: one cache line. Entries of a snapshot lie side by side, because among many keys the
// walk through the page tables costs more than the hash.
type entry struct {
	hash      Digest
	notBefore int64 // Unix nanoseconds, 0 for none
	expires   int64
	revoked   atomic.Bool
	bound     bool // detail.addresses counts, even when empty
	detail    *detail
}

// detail is the rest of a key.
type detail struct {
	principal auth.Principal
	addresses []netip.Prefix
	version   uint64
	id        id
}

// New returns a Manager over the keys of cfg.Store, which it loads once before it returns. It reports everything that is wrong
// with cfg at once; a store that cannot be loaded is an error too.
func New(cfg Config) (*Manager, error) {
	var errs []error
	if cfg.Store == nil {
		errs = append(errs, errors.New("apikey: Config.Store is nil"))
	}
	if !validPrefix(cfg.Prefix) {
		errs = append(errs, fmt.Errorf("apikey: Config.Prefix %q is not 2 to %d lower-case letters and digits beginning with a letter", cfg.Prefix, maxPrefix))
	}
	if !validEnv(cfg.Env) {
		errs = append(errs, fmt.Errorf(`apikey: Config.Env %q is not 1 to %d lower-case letters and digits, such as "live" or "test"`, cfg.Env, maxEnv))
	}
	if unclean(cfg.Issuer) {
		errs = append(errs, fmt.Errorf("apikey: Config.Issuer %q has control characters", cfg.Issuer))
	}
	proxies, err := exchange.NewProxies(cfg.TrustedProxies)
	if err != nil {
		errs = append(errs, fmt.Errorf("apikey: Config.%w", err))
	}
	if cfg.MaxStale < 0 {
		errs = append(errs, fmt.Errorf("apikey: Config.MaxStale %v is negative: old keys may have been revoked", cfg.MaxStale))
	}
	if cfg.LoadTimeout < 0 {
		errs = append(errs, fmt.Errorf("apikey: Config.LoadTimeout %v is negative", cfg.LoadTimeout))
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "apikey"
	}
	if cfg.MaxStale == 0 {
		cfg.MaxStale = 10 * time.Minute
	}
	if cfg.LoadTimeout == 0 {
		cfg.LoadTimeout = 10 * time.Second
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = time.Second
		if _, private := cfg.Store.(*MemoryStore); private {
			cfg.PollInterval = -1
		}
	}
	if cfg.PollInterval > 0 && cfg.PollInterval >= cfg.MaxStale {
		errs = append(errs, fmt.Errorf("apikey: Config.PollInterval %v is not below MaxStale %v: keys would go stale between two polls", cfg.PollInterval, cfg.MaxStale))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	m := &Manager{
		cfg: cfg, format: newFormat(cfg.Prefix, cfg.Env), proxies: proxies, base: time.Now(),
		loading: make(chan struct{}, 1), tombstones: make(map[id]time.Time), done: make(chan struct{}),
	}
	m.loading <- struct{}{}
	m.keys.Store(new(snapshot))
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	if err := m.load(ctx); err != nil {
		stop()
		return nil, err
	}
	if cfg.PollInterval > 0 {
		go m.poll(ctx)
	} else {
		close(m.done)
	}
	return m, nil
}

// The answers to bad keys. They are shared, so that a guess allocates nothing; the client sees one and the same reply.
var (
	errNotMade   = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("apikey: manager was not made by New: %w", auth.ErrUnavailable)}
	errStale     = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("apikey: the store has not been readable for too long: %w", auth.ErrUnavailable)}
	errMalformed = &auth.Error{Code: auth.CodeInvalidAPIKey, Err: fmt.Errorf("apikey: shape or checksum is wrong: %w", auth.ErrInvalid)}
	errUnknown   = &auth.Error{Code: auth.CodeInvalidAPIKey, Err: fmt.Errorf("apikey: no key has this id: %w", auth.ErrInvalid)}

	errWrongSecret = fmt.Errorf("apikey: the id exists, the secret is wrong: %w", auth.ErrInvalid)
	errRevoked     = fmt.Errorf("apikey: key is revoked: %w", auth.ErrRevoked)
	errExpired     = fmt.Errorf("apikey: key has expired: %w", auth.ErrExpired)
	errTooEarly    = fmt.Errorf("apikey: key is not valid yet: %w", auth.ErrInvalid)
	errAddress     = fmt.Errorf("apikey: key is bound to other addresses: %w", auth.ErrAddressNotAllowed)
)

// Authenticate implements [auth.Authenticator]. A credential that does not begin with "<Prefix>_", or stands in an
// Authorization header of another scheme than Bearer, is [auth.ErrNoCredential]; everything else is decided here.
func (m *Manager) Authenticate(r *http.Request) (*auth.Principal, error) {
	if m == nil || m.loading == nil {
		return nil, errNotMade
	}
	cred, err := auth.CredentialOf(r)
	if err != nil {
		return nil, err
	}
	if cred.Source != auth.SourceBearer && cred.Source != auth.SourceHeader {
		return nil, auth.ErrNoCredential
	}
	e, err := m.check(cred.Value)
	if err != nil {
		return nil, err
	}
	if e.timed() {
		if err := e.judge(time.Now()); err != nil {
			return nil, err
		}
	}
	if e.bound && !e.allows(m.addr(r)) {
		return nil, e.refuse(auth.CodeAddressNotAllowed, errAddress)
	}
	return &e.detail.principal, nil
}

// Verify decides about a key used from addr at the time now, without a request. An addr that is not valid is allowed only for
// keys that are not bound to addresses. now counts for the life of the key; whether the store is reachable is judged by the
// clock. The errors are those of [Manager.Authenticate].
func (m *Manager) Verify(key string, addr netip.Addr, now time.Time) (*auth.Principal, error) {
	if m == nil || m.loading == nil {
		return nil, errNotMade
	}
	e, err := m.check(key)
	if err != nil {
		return nil, err
	}
	if err := e.judge(now); err != nil {
		return nil, err
	}
	if e.bound && !e.allows(addr.Unmap().WithZone("")) {
		return nil, e.refuse(auth.CodeAddressNotAllowed, errAddress)
	}
	return &e.detail.principal, nil
}

// check is everything but time and address. The order bounds what each kind of guess can cost or learn.
func (m *Manager) check(key string) (*entry, error) {
	var k id
	switch m.format.parse(key, &k) {
	case notOurs:
		return nil, auth.ErrNoCredential
	case malformed:
		return nil, errMalformed
	}
	if m.stale.Load() {
		// Fail closed, but as an outage: a key that we cannot judge is not a wrong key.
		return nil, errStale
	}
	sum := m.format.digest(key)
	e := m.keys.Load().find(k)
	hash := &nobody // an unknown id takes as long as a wrong secret
	if e != nil {
		hash = &e.hash
	}
	same := subtle.ConstantTimeCompare(sum[:], hash[:]) == 1
	switch {
	case e == nil:
		return nil, errUnknown
	case !same:
		return nil, e.refuse(auth.CodeInvalidAPIKey, errWrongSecret)
	}
	// Only who has the secret gets here, so that state costs no guesser anything to learn; the client is still not told.
	if e.revoked.Load() {
		return nil, e.refuse(auth.CodeInvalidAPIKey, errRevoked)
	}
	return e, nil
}

// timed reports whether the key begins or ends.
func (e *entry) timed() bool { return e.expires|e.notBefore != 0 }

// judge reports whether the key is alive at the time now: from notBefore on, and before expires.
func (e *entry) judge(now time.Time) error {
	if !e.timed() {
		return nil
	}
	t := now.UnixNano()
	switch {
	case e.expires != 0 && t >= e.expires:
		return e.refuse(auth.CodeInvalidAPIKey, errExpired)
	case t < e.notBefore:
		return e.refuse(auth.CodeInvalidAPIKey, errTooEarly)
	}
	return nil
}

// nobody is the hash of no key.
var nobody Digest

func (e *entry) refuse(code auth.Code, reason error) error {
	return &auth.Error{Code: code, KeyID: e.detail.principal.KeyID, Err: reason}
}

// allows reports whether the key may be used from a. A caller without an address, such as one on a Unix socket, is not on
// any list.
func (e *entry) allows(a netip.Addr) bool {
	for _, p := range e.detail.addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addr returns the client's address: the exchange's when there is one, so that all rooms agree.
func (m *Manager) addr(r *http.Request) netip.Addr {
	if x := exchange.From(r.Context()); x != nil {
		return x.Addr(r, m.proxies)
	}
	return m.proxies.Client(r)
}

// fill makes e the checked form of a valid record.
func (m *Manager) fill(e *entry, r *Record) {
	d := &detail{
		version: r.Version,
		principal: auth.Principal{
			Issuer: m.cfg.Issuer, Subject: r.ClientID, Tenant: r.Tenant, ClientID: r.ClientID, KeyID: r.ID,
			Method: auth.MethodAPIKey, Plan: r.Plan, ExpiresAt: r.ExpiresAt,
			Scopes: slices.Clone(r.Scopes), Roles: slices.Clone(r.Roles), Models: slices.Clone(r.Models),
		},
	}
	copy(d.id[:], r.ID)
	for _, p := range r.Addresses {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		d.addresses = append(d.addresses, p.Masked())
	}
	e.detail, e.hash, e.bound = d, r.Hash, r.Addresses != nil
	if !r.NotBefore.IsZero() {
		e.notBefore = r.NotBefore.UnixNano()
	}
	if !r.ExpiresAt.IsZero() {
		e.expires = r.ExpiresAt.UnixNano()
	}
	e.revoked.Store(!r.RevokedAt.IsZero())
}

// Create makes a key for spec, stores its record and returns the key. The key works when Create has returned, and cannot be
// shown again. A spec that is not valid, or whose ExpiresAt has passed, is an error.
func (m *Manager) Create(ctx context.Context, spec Spec) (Secret, Record, error) {
	if m == nil || m.loading == nil {
		return Secret{}, Record{}, errNotMade
	}
	now := time.Now().UTC()
	if !spec.ExpiresAt.IsZero() && !spec.ExpiresAt.After(now) {
		// Nobody wants a key that never works: a wrong unit or zone, better heard of here than from its first user.
		return Secret{}, Record{}, fmt.Errorf("apikey: spec: expiry %v has passed", spec.ExpiresAt)
	}
	for range 4 {
		key, keyID := m.format.generate()
		rec := Record{
			ID: keyID, Hash: m.format.digest(key), ClientID: spec.ClientID, Tenant: spec.Tenant, Plan: spec.Plan,
			Scopes: spec.Scopes, Roles: spec.Roles, Models: spec.Models, Addresses: spec.Addresses,
			NotBefore: spec.NotBefore, ExpiresAt: spec.ExpiresAt, Labels: spec.Labels, CreatedAt: now,
		}
		if err := rec.validate(); err != nil {
			return Secret{}, Record{}, fmt.Errorf("apikey: spec: %w", err)
		}
		rec, err := m.cfg.Store.Put(ctx, rec)
		if errors.Is(err, ErrConflict) {
			continue // the id is taken: once in 2^71, or a store that is out of order
		}
		if err != nil {
			return Secret{}, Record{}, fmt.Errorf("apikey: storing a new key: %w", err)
		}
		e := new(entry)
		m.fill(e, &rec)
		m.add(e)
		return newSecret(key), rec, nil
	}
	return Secret{}, Record{}, fmt.Errorf("apikey: storing a new key: %w", ErrConflict)
}

// Revoke withdraws the key with this public id for good. In this process it takes effect before the store is asked: when
// Revoke has returned, even with an error of the store, no check that begins later accepts the key. An error then means that
// other processes, and this one after a restart, may still accept it: call Revoke again. Revoking a revoked key does nothing.
// An id that neither memory nor store knows is [ErrNotFound].
func (m *Manager) Revoke(ctx context.Context, keyID string) error {
	if m == nil || m.loading == nil {
		return errNotMade
	}
	if !validID(keyID) {
		return ErrNotFound
	}
	now := time.Now().UTC()
	var k id
	copy(k[:], keyID)
	known := m.bury(k, now, false)
	for range 16 {
		rec, err := m.cfg.Store.Get(ctx, keyID)
		if errors.Is(err, ErrNotFound) && !known {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("apikey: revoking %s: %w", keyID, err)
		}
		known = m.bury(k, now, true)
		if !rec.RevokedAt.IsZero() {
			return nil
		}
		rec.RevokedAt = now
		_, err = m.cfg.Store.Put(ctx, rec)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("apikey: revoking %s: %w", keyID, err)
		}
		return nil
	}
	return fmt.Errorf("apikey: revoking %s: %w", keyID, ErrConflict)
}

// List returns all records of the store, oldest first. Keys revoked in this process are marked even if the store does not
// know yet.
func (m *Manager) List(ctx context.Context) ([]Record, error) {
	if m == nil || m.loading == nil {
		return nil, errNotMade
	}
	b, err := m.cfg.Store.Load(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("apikey: listing keys: %w", err)
	}
	out := make([]Record, len(b.Records))
	m.mu.Lock()
	for i := range b.Records {
		out[i] = b.Records[i].Clone()
		var k id
		copy(k[:], out[i].ID)
		if t, dead := m.tombstones[k]; dead && out[i].RevokedAt.IsZero() {
			out[i].RevokedAt = t
		}
	}
	m.mu.Unlock()
	slices.SortFunc(out, func(a, b Record) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}
