package apikey

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
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
	// process needs to arrive, beside the load itself. Zero means half a second, so that it arrives within one, and no polling
	// for a [MemoryStore], which only this process can change. Negative means never: then call [Manager.Reload]. A load that failed
	// is then tried again every 10 seconds, or ten times within MaxStale if that is oftener, until one succeeds.
	PollInterval time.Duration
	// MaxStale is how long the keys in memory are used after the last good load of the store; then every well-formed key
	// gets [auth.ErrUnavailable]. Zero means 10 minutes.
	MaxStale time.Duration
	// LoadTimeout bounds one load of the store, and one write of uses. Zero means 10 seconds.
	LoadTimeout time.Duration
	// Policy bounds what may be created, imported and rotated. The zero Policy allows any lifetime and number of keys, and an
	// overlap of a day. It binds this Manager only: whoever else writes to the store, the command keyctl too, has a policy of their own.
	Policy Policy
	// Foreign are the formats of keys that another system made, for [Manager.Import]. Nil means that there are none.
	Foreign []Foreign
	// UsageInterval is how long the uses of keys are gathered before they are written to the store, off the request path, when it
	// is a [UsageStore]; and so how far LastUsedAt may be behind, and how much of it a crash can lose. Zero means a minute.
	// Negative means that uses are not recorded at all, as for a store that this process may only read.
	UsageInterval time.Duration
	// OnEvent, when not nil, is called for every step in the life of a key that this Manager made and the store has taken, before
	// the method that made it returns. It gets that method's context and may be called from several goroutines at once.
	OnEvent func(ctx context.Context, e Event)
	// Logger gets a record when loading, or storing uses, begins to fail or fails differently, and when loading works again. Nil means what
	// slog.Default returns at that moment.
	Logger *slog.Logger
}

// Manager makes, revokes and checks keys. It implements [auth.Authenticator] and is safe for concurrent use. The zero
// Manager, and a nil one, refuse every request with [auth.ErrUnavailable]. A Manager that polls its store has a goroutine: see
// [Manager.Close].
type Manager struct {
	cfg     Config
	format  format
	foreign []Foreign
	proxies *exchange.Proxies
	base    time.Time // lastLoad and staleAt count from here, by the monotonic clock

	keys  atomic.Pointer[snapshot]
	stale atomic.Bool // set by a timer: a check need not read the clock for it

	loading chan struct{} // holds one token; whoever has it may load

	mu         sync.Mutex
	version    string           // of the last batch that was taken over
	tombstones map[id]time.Time // keys that are dead in this process, for good
	lost       map[id]*entry    // keys that were changed once and that the store has no longer, as they were last; see keepLost
	midLoad    bool             // a load is under way ...
	written    []*entry         // ... and these keys were written since it began
	lastLoad   time.Duration    // when the last good load began
	staleAt    time.Duration    // when the keys are too old to be used
	timer      *time.Timer      // fires at staleAt
	failure    string           // the last load error, for the log

	uses uses

	creating chan struct{} // holds one token; of Policy.MaxKeysPerClient: one after the other counts and creates

	life  context.Context // ends with Close
	stop  context.CancelFunc
	done  chan struct{}
	retry *time.Timer // under mu: of a load that failed where nothing polls
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
		cfg.PollInterval = time.Second / 2
		if _, private := cfg.Store.(*MemoryStore); private {
			cfg.PollInterval = -1
		}
	}
	if cfg.PollInterval > 0 && cfg.PollInterval >= cfg.MaxStale {
		errs = append(errs, fmt.Errorf("apikey: Config.PollInterval %v is not below MaxStale %v: keys would go stale between two polls", cfg.PollInterval, cfg.MaxStale))
	}
	if cfg.UsageInterval == 0 {
		cfg.UsageInterval = time.Minute
	}
	errs = append(errs, cfg.Policy.faults(cfg)...)
	foreign, faults := foreignFormats(cfg)
	if errs = append(errs, faults...); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Policy.MaxOverlap == 0 {
		cfg.Policy.MaxOverlap = 24 * time.Hour
	}
	m := &Manager{
		cfg: cfg, format: newFormat(cfg.Prefix, cfg.Env), foreign: foreign, proxies: proxies, base: time.Now(),
		loading: make(chan struct{}, 1), tombstones: make(map[id]time.Time), lost: make(map[id]*entry), done: make(chan struct{}),
	}
	m.creating, m.uses.flushing = make(chan struct{}, 1), make(chan struct{}, 1)
	for _, tokens := range [...]chan struct{}{m.loading, m.creating, m.uses.flushing} {
		tokens <- struct{}{}
	}
	m.keys.Store(newSnapshot(nil))
	m.uses.pending = make(map[string]Usage)
	m.life, m.stop = context.WithCancel(context.Background())
	if err := m.first(); err != nil {
		m.halt()
		return nil, err
	}
	if cfg.PollInterval > 0 {
		go m.poll(m.life)
	} else {
		close(m.done)
	}
	return m, nil
}

// Format implements [fmt.Formatter]: every verb prints a fixed word, nothing of the store.
func (m *Manager) Format(f fmt.State, _ rune) { io.WriteString(f, "[apikey.Manager]") }

// The answers to bad keys. They are shared, so that a guess allocates nothing; the client sees one and the same reply.
var (
	errNotMade   = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("apikey: manager was not made by New: %w", auth.ErrUnavailable)}
	errStale     = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("apikey: the store has not been readable for too long: %w", auth.ErrUnavailable)}
	errMalformed = &auth.Error{Code: auth.CodeInvalidAPIKey, Err: fmt.Errorf("apikey: shape or checksum is wrong: %w", auth.ErrInvalid)}
	errUnknown   = &auth.Error{Code: auth.CodeInvalidAPIKey, Err: fmt.Errorf("apikey: no key has this id: %w", auth.ErrInvalid)}

	errWrongSecret = fmt.Errorf("apikey: the id exists, the secret is wrong: %w", auth.ErrInvalid)
	errRevoked     = fmt.Errorf("apikey: key is revoked: %w", auth.ErrRevoked)
	errDisabled    = fmt.Errorf("apikey: key is disabled: %w", auth.ErrRevoked)
	errExpired     = fmt.Errorf("apikey: key has expired: %w", auth.ErrExpired)
	errTooEarly    = fmt.Errorf("apikey: key is not valid yet: %w", auth.ErrNotYetValid)
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
	m.mark(e)
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
	m.mark(e)
	return &e.detail.principal, nil
}

// check is everything but time and address. The order bounds what each kind of guess can cost or learn.
func (m *Manager) check(key string) (*entry, error) {
	var k id
	switch m.format.shape(key, &k) {
	case notOurs:
		return m.checkForeign(key)
	case malformed:
		return nil, errMalformed
	}
	if m.stale.Load() {
		// Fail closed, but as an outage: a key that we cannot judge is not a wrong key.
		return nil, errStale
	}
	// Found before hashed: the processor hashes while it waits for memory.
	e := m.keys.Load().find(&k)
	sum := m.format.digest(key)
	if !sum.equal(&e.hash) {
		return nil, e.detail.mismatch(&k)
	}
	return e, e.standing()
}

// standing reports whether the key was revoked or disabled. Only who has the secret gets to hear it, so that state costs no
// guesser anything to learn; the client is still not told.
func (e *entry) standing() error {
	switch s := e.state.Load(); {
	case s&(revoked|disabled) == 0:
		return nil
	case s&revoked != 0:
		return e.refuse(auth.CodeInvalidAPIKey, errRevoked)
	}
	return e.refuse(auth.CodeInvalidAPIKey, errDisabled)
}

// mismatch is the answer to a key whose hash is not that of the entry its id led to: the secret is wrong, or the id belongs to
// nobody. Both take the same way.
func (d *detail) mismatch(k *id) error {
	x := binary.LittleEndian.Uint64(k[:8]) ^ binary.LittleEndian.Uint64(d.id[:8]) |
		uint64(binary.LittleEndian.Uint32(k[8:])^binary.LittleEndian.Uint32(d.id[8:]))
	return [...]*auth.Error{&d.wrong, errUnknown}[(x|-x)>>63]
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
		version: r.Version, foreign: r.Foreign != "",
		principal: auth.Principal{
			Issuer: m.cfg.Issuer, Subject: r.ClientID, Tenant: r.Tenant, ClientID: r.ClientID, KeyID: r.ID,
			Method: auth.MethodAPIKey, Plan: r.Plan, ExpiresAt: r.ExpiresAt,
			Scopes: slices.Clone(r.Scopes), Roles: slices.Clone(r.Roles), Models: slices.Clone(r.Models),
		},
	}
	copy(d.id[:], r.ID)
	d.wrong = auth.Error{Code: auth.CodeInvalidAPIKey, KeyID: r.ID, Err: errWrongSecret}
	if m.cfg.UsageInterval > 0 && len(r.Scopes) > 0 {
		d.principal.ScopeUse = auth.NewScopeUse(d.principal.Scopes)
	}
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
	if !r.RevokedAt.IsZero() {
		e.state.Or(revoked)
	}
	if !r.DisabledAt.IsZero() {
		e.state.Or(disabled)
	}
}
