package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/clock"
)

// Fetch says how the keys of an issuer are fetched.
type Fetch struct {
	// Transport sends the requests. Nil means one of the verifier's own: no proxy, whatever the environment says (which way keys
	// come decides who may enter, and belongs in the configuration), connections closed after use, 5 seconds to connect.
	// Whatever the transport, a fetch has 10 seconds, 512 KiB and three redirects within one host, and must not be compressed.
	Transport http.RoundTripper
	// MaxStale is how long keys are used after the last good fetch, while the issuer does not answer. Then its tokens are
	// answered with 503. Zero means 24 hours; from 10 minutes to 7 days. It is also the longest life of a key that the issuer
	// has withdrawn while we could not reach it.
	MaxStale time.Duration
	// InsecureHTTP allows http, to localhost and loopback addresses only. It is for tests.
	InsecureHTTP bool
}

const (
	maxWait      = 2 * time.Second  // of a request, for all the fetches it needs
	fetchTimeout = 10 * time.Second // of a fetch, discovery included
	cooldown     = 10 * time.Second // between fetches that unknown kids cause
	minSoft      = 5 * time.Minute  // between planned fetches, whatever Cache-Control says
	defaultSoft  = time.Hour        // without a Cache-Control
	maxBackoff   = time.Minute      // between fetches after failures
)

// remote is the keys of an issuer that publishes them.
//
// Looking up a known kid takes no lock and waits for nobody. A fetch runs in a goroutine that belongs to the cache: requests
// wait for it, each as long as it likes and at most maxWait, and none of them ends it. There is at most one at a time. Three
// things start one: a token while there are no keys young enough, a kid nobody has heard of, and the timer. The second is what
// strangers can cause at will, so it is held to one in cooldown, claimed before the fetch and whatever comes of it; the timer
// does not ask it, and a set that any fetch brought serves everybody.
type remote struct {
	issuer  string
	url     string // of the JWK Set; empty means that discovery finds it
	fetch   Fetch
	client  *http.Client
	allowed []*algorithm
	logger  *slog.Logger
	ctx     context.Context // of fetches
	cancel  context.CancelFunc
	set     atomic.Pointer[keySet]
	found   location // belongs to the fetch that is under way

	mu       sync.Mutex
	closed   bool
	flight   chan struct{} // closed when the fetch that is under way ends; nil when there is none
	timer    *time.Timer   // starts the next planned fetch
	failures int           // in a row
	failed   error         // of the last fetch; nil when it was good
	retryAt  time.Time     // after a failure there is no fetch before
	kidAt    time.Time     // an unknown kid causes no fetch before

	running sync.WaitGroup // of fetches and what is logged of them
	telling sync.Mutex
}

// keySet is what one fetch brought. It is immutable.
type keySet struct {
	keys    keys
	fetched time.Time     // when the fetch began: what is younger may not be in it
	soft    time.Duration // until the next planned fetch
	lacks   absent
}

func newRemote(cfg *Issuer, allowed []*algorithm, logger *slog.Logger) (*remote, error) {
	r := &remote{issuer: cfg.Issuer, url: cfg.JWKS, fetch: cfg.Fetch, allowed: allowed, logger: logger}
	var errs []error
	field, url := "JWKS", r.url
	if cfg.Discovery {
		field, url = "Issuer, for Discovery,", discoveryURL(r.issuer)
	}
	if err := checkURL(url, r.fetch.InsecureHTTP); err != nil {
		errs = append(errs, fmt.Errorf("%s %q %w", field, url, err))
	}
	switch d := &r.fetch.MaxStale; {
	case *d == 0:
		*d = 24 * time.Hour
	case *d < 2*minSoft || *d > 7*24*time.Hour:
		errs = append(errs, fmt.Errorf("Fetch.MaxStale %v is not between %v and 168h", *d, 2*minSoft))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	r.client = newClient(r.fetch.Transport)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// key returns the key that h stands for, and until when it may be used. It waits for a fetch only when there are no keys young
// enough, or the kid is new.
func (r *remote) key(ctx context.Context, h *header) (*key, error) {
	asked, first := time.Now(), r.set.Load()
	for try := 0; ; try++ {
		set, now := r.set.Load(), time.Now()
		young := r.young(set, now)
		if young {
			k, known := set.keys.find(h)
			if k != nil {
				return k, nil
			}
			if known {
				return nil, errKey
			}
			if set != first && !set.fetched.Before(asked) {
				set.lacks.add(h.kid)
				return nil, errAbsent
			}
		}
		if try == 2 { // it joined a fetch that began before it asked, then had one made, and both failed it
			return nil, r.unavailable(now)
		}
		flight, err := r.ask(h.kid, set, young, now)
		if err != nil {
			return nil, err
		}
		if err := wait(ctx, flight, maxWait-now.Sub(asked)); err != nil {
			return nil, err
		}
	}
}

// absent remembers, by a keyed hash, kids that were looked for and are not in a set. It may forget one: then nobody has asked.
type absent struct{ places [256]atomic.Uint64 }

var absentSeed = maphash.MakeSeed()

func (a *absent) place(kid []byte) (*atomic.Uint64, uint64) {
	h := maphash.Bytes(absentSeed, kid) | 1 // 0 is a free place
	return &a.places[h>>1%uint64(len(a.places))], h
}

func (a *absent) add(kid []byte) {
	p, h := a.place(kid)
	p.Store(h)
}

func (a *absent) has(kid []byte) bool {
	p, h := a.place(kid)
	return p.Load() == h
}

// young reports whether the keys of set may still be used.
func (r *remote) young(set *keySet, now time.Time) bool {
	return set != nil && clock.Age(set.fetched, now) < r.fetch.MaxStale
}

// ask returns the fetch to wait for, starting it if need be and allowed, or what to answer without waiting. set and young are
// what the caller saw.
func (r *remote) ask(kid []byte, set *keySet, young bool, now time.Time) (<-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	if r.set.Load() != set {
		return closedChan, nil // somebody's fetch has just ended: look again
	}
	if r.flight != nil {
		return r.flight, nil
	}
	if now.Before(r.retryAt) {
		return nil, r.unavailableLocked(now)
	}
	if young {
		if now.Before(r.kidAt) {
			if r.failed != nil {
				return nil, r.unavailableLocked(now) // the timer is late: nobody knows whether there are newer keys
			}
			if set.lacks.has(kid) {
				return nil, errAbsent
			}
			// Nobody has asked about this kid: a stranger may have spent the fetch on another one. A client that is told "wrong" throws a good
			// token away.
			return nil, errCooldown
		}
		r.kidAt = now.Add(cooldown)
	}
	r.start()
	return r.flight, nil
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// start starts a fetch. r.mu is held, and no fetch is under way.
func (r *remote) start() {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.flight = make(chan struct{})
	r.running.Add(1)
	go r.run()
}

// planned is what the timer calls.
func (r *remote) planned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && r.flight == nil {
		r.start()
	}
}

// run makes one fetch and publishes what it brought.
func (r *remote) run() {
	ctx, cancel := context.WithTimeout(r.ctx, fetchTimeout)
	defer cancel()
	defer r.running.Done()
	set, skipped, err := r.get(ctx, time.Now())
	if c, ok := r.land(set, err); ok && r.telling.TryLock() {
		// A log may be slow, and nobody waits for it; one that hangs holds up one goroutine and not one for every fetch.
		defer r.telling.Unlock()
		r.tell(c, skipped, err)
	}
}

// change is how a set differs from the one before.
type change struct{ keys, added, removed int }

// land records how a fetch ended, publishes its set, plans the next one and lets those go on who wait. ok is false after Close.
func (r *remote) land(set *keySet, err error) (c change, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.flight)
	r.flight = nil
	if r.closed {
		return change{}, false
	}
	var next time.Duration
	if err != nil {
		next = min(maxBackoff, time.Second<<min(r.failures, 6))
		next -= rand.N(next / 4) // so that the replicas of a service do not come back as one
		r.failures++
		r.failed, r.retryAt = err, time.Now().Add(next)
	} else {
		c = r.publish(set)
		r.failures, r.failed, r.retryAt = 0, nil, time.Time{}
		next = set.soft - rand.N(set.soft/10)
	}
	r.timer = time.AfterFunc(next, r.planned)
	return c, true
}

// publish makes set the one in force. A key that is still in it stays the same *key; one that is not is retired, and with it
// everything that was remembered on its word. r.mu is held.
func (r *remote) publish(set *keySet) change {
	var old, gone keys
	if s := r.set.Load(); s != nil {
		old = s.keys
	}
	for _, k := range set.keys {
		k.from = r
	}
	for _, o := range old {
		if i := slices.IndexFunc(set.keys, o.same); i >= 0 {
			set.keys[i] = o
		} else {
			gone = append(gone, o)
		}
	}
	r.set.Store(set)
	for _, k := range gone {
		k.retired.Store(true)
	}
	return change{len(set.keys), len(set.keys) - len(old) + len(gone), len(gone)}
}

// tell logs what a fetch brought.
func (r *remote) tell(c change, skipped []error, err error) {
	log := r.logger
	if log == nil {
		log = slog.Default()
	}
	log = log.With(slog.String("issuer", r.issuer))
	if err != nil {
		log.Warn("jwtauth: keys could not be fetched", "error", err)
		return
	}
	if c.added == 0 && c.removed == 0 {
		return
	}
	log.Info("jwtauth: keys have changed", "keys", c.keys, "added", c.added, "removed", c.removed)
	for _, err := range skipped {
		log.Warn("jwtauth: a key of the set is not used", "error", err)
	}
}

// wait waits for the end of a fetch, at most for limit.
func wait(ctx context.Context, flight <-chan struct{}, limit time.Duration) error {
	select {
	case <-flight:
		return nil
	default:
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-flight:
		return nil
	case <-t.C:
		return errWait
	case <-ctx.Done():
		return errWait // the fetch goes on: the next request may find its result
	}
}

func (r *remote) unavailable(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unavailableLocked(now)
}

func (r *remote) unavailableLocked(now time.Time) error {
	reason := r.failed
	if reason == nil {
		reason = errors.New("no fetch has ended yet")
	}
	return &auth.Error{
		Code: auth.CodeUnavailable, RetryAfter: max(time.Second, r.retryAt.Sub(now)),
		Err: fmt.Errorf("jwtauth: no keys of issuer %q: %w: %w", r.issuer, auth.ErrUnavailable, reason),
	}
}

func (r *remote) close(ctx context.Context) error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		r.cancel()
		if r.timer != nil {
			r.timer.Stop()
		}
		if set := r.set.Swap(nil); set != nil {
			for _, k := range set.keys {
				k.retired.Store(true) // nobody will hear of its removal any more
			}
		}
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jwtauth: a fetch for issuer %q is still under way: %w", r.issuer, ctx.Err())
	}
}
