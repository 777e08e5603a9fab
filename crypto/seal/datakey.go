package seal

import (
	"bytes"
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
	"github.com/mantlet-go/mantlet/crypto/internal/xaes"
)

// envelope is the inside of an Envelope. No lock is held while a KEK works.
type envelope struct {
	cfg     EnvelopeConfig
	keks    map[ID]NamedKEK
	first   ID
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wraps   chan struct{} // a token for every call that runs
	unwraps chan struct{}

	mu      sync.Mutex
	closed  bool
	running int           // calls of KEKs, those that nobody waits for any more included
	idle    chan struct{} // closed when the last of them has ended after Close

	current *dataKey // seals; nil before the first one and after its time
	fetch   *call    // of the next one
	retryAt time.Time
	failure error // of the last fetch that failed

	cache   map[[sha256.Size]byte]*list.Element // of *dataKey
	order   list.List                           // used last first
	opens   map[[sha256.Size]byte]*call
	sweep   *time.Timer // wakes when the next key is to be forgotten
	sweepAt time.Time   // zero while it sleeps
}

// A dataKey is what is kept of a data key: not the key itself.
type dataKey struct {
	id     ID
	head   []byte // KEK id, key id, length, wrapped key: a box without its first byte and its end
	digest [sha256.Size]byte
	record *xaes.Key
	born   time.Time

	// Under the Envelope's mutex:
	stream          [chunked.KeySize]byte
	messages, bytes int64 // sealed
	cached          bool
}

func newEnvelope(cfg EnvelopeConfig, keks map[ID]NamedKEK) *envelope {
	cfg.KEKs = slices.Clone(cfg.KEKs)
	x := &envelope{
		cfg: cfg, keks: keks, first: kekID(cfg.KEKs[0].Name),
		wraps: make(chan struct{}, wrapCalls), unwraps: make(chan struct{}, cfg.MaxCalls), idle: make(chan struct{}),
		cache: map[[sha256.Size]byte]*list.Element{}, opens: map[[sha256.Size]byte]*call{},
	}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

func newDataKey(head []byte, secret *[keySize]byte) *dataKey {
	k := newKey(secret)
	record, stream := k.derive("record", xaes.KeySize), k.derive("stream", chunked.KeySize)
	defer clear(record)
	defer clear(stream)
	return &dataKey{
		id: k.ID(), head: head, digest: sha256.Sum256(head), record: xaes.New((*[xaes.KeySize]byte)(record)),
		stream: [chunked.KeySize]byte(stream), born: time.Now(),
	}
}

// ---- sealing --------------------------------------------------------------------------------------------------------------------

// sealer returns a data key for one more message of n bytes, and the key of a stream if that is asked for.
func (x *envelope) sealer(ctx context.Context, n int64, stream *[chunked.KeySize]byte) (*dataKey, error) {
	for {
		x.mu.Lock()
		if x.closed {
			x.mu.Unlock()
			return nil, ErrClosed
		}
		now := time.Now()
		x.giveUp()
		if k := x.current; k != nil && now.Sub(k.born) < x.cfg.MaxAge && k.messages < x.cfg.MaxMessages &&
			k.bytes < x.cfg.MaxBytes && n <= x.cfg.MaxBytes-k.bytes && !x.stale(k.head[envelopeFixed-1:]) {
			k.messages++
			k.bytes += n
			if stream != nil {
				*stream = k.stream
			}
			// The second half of each limit is a reserve for an outage.
			if now.Sub(k.born) >= x.cfg.MaxAge/2 || k.messages >= (x.cfg.MaxMessages+1)/2 || k.bytes >= (x.cfg.MaxBytes+1)/2 {
				_, _ = x.fetchKey(now) // a failure is no matter yet
			}
			x.mu.Unlock()
			return k, nil
		}
		f, err := x.fetchKey(now)
		x.mu.Unlock()
		if err != nil {
			return nil, err
		}
		switch left, err := f.wait(ctx); {
		case left:
			return nil, err
		case err != nil:
			return nil, x.unavailable(x.first, err, coolDown)
		}
	}
}

// stale reports whether blob, wrapped by the first KEK, is under a key of a Keyring that another one has replaced. Without it what is
// resealed after Promote would still hang on the old key, until the age limit of the data key.
func (x *envelope) stale(blob []byte) bool {
	k, ok := x.keks[x.first].KEK.(ringKEK)
	return ok && k.ring.NeedsReseal(blob)
}

// giveUp forgets a fetch whose time is over, though the KEK has not returned.
func (x *envelope) giveUp() {
	if x.fetch != nil && x.fetch.ctx.Err() != nil {
		at, _ := x.fetch.ctx.Deadline()
		x.fetch = nil
		x.failed(at, errTimeout)
	}
}

func (x *envelope) failed(now time.Time, err error) {
	x.failure, x.retryAt = err, now.Add(coolDown)
}

// fetchKey returns the call that fetches the next data key, and makes it if there is none.
func (x *envelope) fetchKey(now time.Time) (*call, error) {
	if x.fetch != nil {
		return x.fetch, nil
	}
	if now.Before(x.retryAt) {
		return nil, x.unavailable(x.first, x.failure, x.retryAt.Sub(now))
	}
	select {
	case x.wraps <- struct{}{}:
	default:
		return nil, x.unavailable(x.first, errBusy, coolDown)
	}
	x.fetch = x.call(x.wraps, x.freshKey, func(f *call) {
		if x.fetch != f { // given up
			f.key.wipe()
			return
		}
		x.fetch = nil
		if f.err != nil {
			x.failed(time.Now(), f.err)
			return
		}
		x.replace(f.key)
		x.remember(f.key)
		x.wake(f.key.born.Add(x.cfg.MaxAge))
	})
	return x.fetch, nil
}

// replace makes k, which may be nil, the key that seals.
func (x *envelope) replace(k *dataKey) {
	if old := x.current; old != nil && !old.cached {
		old.wipe()
	}
	x.current = k
}

// freshKey makes a data key and has it wrapped.
func (x *envelope) freshKey(ctx context.Context) (*dataKey, error) {
	kek := x.keks[x.first].KEK
	secret := new([keySize]byte)
	defer clear(secret[:])
	_, _ = rand.Read(secret[:]) // never fails (Go 1.24)
	id := newKey(secret).ID()
	dek := bytes.Clone(secret[:])
	defer clear(dek)
	blob, err := kek.Wrap(ctx, dek, wrapAAD(x.first, id))
	switch {
	case err != nil:
		return nil, err
	case len(blob) == 0 || len(blob) > MaxWrappedKey:
		return nil, fmt.Errorf("seal: Wrap returned %d bytes, want 1 to %d", len(blob), MaxWrappedKey)
	case bytes.Contains(blob, secret[:]):
		return nil, errors.New("seal: Wrap returned the key in clear")
	}
	head := make([]byte, 0, envelopeFixed-1+len(blob))
	head = append(append(head, x.first[:]...), id[:]...)
	head = append(binary.BigEndian.AppendUint16(head, uint16(len(blob))), blob...)
	if x.cfg.SkipUnwrapCheck {
		return newDataKey(head, secret), nil
	}
	back, err := kek.Unwrap(ctx, bytes.Clone(blob), wrapAAD(x.first, id))
	defer clear(back)
	if err != nil {
		// Not an ErrInvalid of a box: there is none.
		return nil, fmt.Errorf("seal: Unwrap of what Wrap just returned: %v", err)
	}
	if subtle.ConstantTimeCompare(back, secret[:]) != 1 {
		return nil, errors.New("seal: Unwrap returned another key than Wrap was given")
	}
	return newDataKey(head, secret), nil
}

// wrapAAD is what a wrapped key is bound to.
func wrapAAD(kek, key ID) []byte {
	return append(append([]byte(ringPurpose), kek[:]...), key[:]...)
}

// ---- opening --------------------------------------------------------------------------------------------------------------------

// opener returns the data key in a box: head is the box without its first byte and its end. The cache is asked for all of those
// bytes' SHA-256, so that no box can have the key of another one.
func (x *envelope) opener(ctx context.Context, head []byte, stream *[chunked.KeySize]byte) (*dataKey, error) {
	digest := sha256.Sum256(head)
	id := ID(head)
	turn := false // whether this caller holds a token
	for {
		x.mu.Lock()
		now := time.Now()
		k, f, err := x.known(digest, now)
		if k != nil && stream != nil {
			*stream = k.stream
		}
		if k == nil && f == nil && err == nil {
			switch kek, ok := x.keks[id]; {
			case !ok:
				err = &KeyError{ID: id, Err: ErrUnknownKey}
			case turn:
				head := bytes.Clone(head)
				f = x.call(x.unwraps, func(ctx context.Context) (*dataKey, error) { return unwrap(ctx, kek.KEK, head) }, func(f *call) {
					if x.opens[digest] == f {
						delete(x.opens, digest)
					}
					if f.err == nil {
						x.remember(f.key)
					}
				})
				x.opens[digest] = f
				turn = false
			}
		}
		x.mu.Unlock()
		if turn && (k != nil || f != nil || err != nil) {
			<-x.unwraps // somebody else was faster
			turn = false
		}
		switch {
		case k != nil || err != nil:
			return k, err
		case f == nil:
			if err := x.turn(ctx, id); err != nil {
				return nil, err
			}
			turn = true
			continue
		}
		switch left, err := f.wait(ctx); {
		case left:
			return nil, err
		case err != nil:
			return nil, x.outcome(id, err)
		}
		// The key itself, not from the cache: that may be off, or have evicted it already.
		x.mu.Lock()
		closed, wiped := x.closed, f.key.wiped()
		if stream != nil {
			*stream = f.key.stream
		}
		x.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case !wiped || stream == nil:
			return f.key, nil
		}
	}
}

// known returns the key, the call that gets it, or why there will be none.
func (x *envelope) known(digest [sha256.Size]byte, now time.Time) (*dataKey, *call, error) {
	if x.closed {
		return nil, nil, ErrClosed
	}
	if e := x.cache[digest]; e != nil {
		if k := e.Value.(*dataKey); now.Sub(k.born) < x.cfg.CacheAge {
			x.order.MoveToFront(e)
			return k, nil, nil
		}
	}
	if k := x.current; k != nil && k.digest == digest && now.Sub(k.born) < x.cfg.MaxAge {
		return k, nil, nil
	}
	if f := x.opens[digest]; f != nil && f.ctx.Err() == nil {
		return nil, f, nil
	}
	return nil, nil, nil
}

// turn waits for a token to call Unwrap with.
func (x *envelope) turn(ctx context.Context, id ID) error {
	select {
	case x.unwraps <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(x.cfg.Timeout)
	defer timer.Stop()
	select {
	case x.unwraps <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-x.ctx.Done():
		return ErrClosed
	case <-timer.C:
		return x.unavailable(id, errBusy, coolDown)
	}
}

// unwrap gets the data key of a box.
func unwrap(ctx context.Context, kek KEK, head []byte) (*dataKey, error) {
	id := ID(head[idSize:])
	dek, err := kek.Unwrap(ctx, bytes.Clone(head[envelopeFixed-1:]), wrapAAD(ID(head), id))
	defer clear(dek)
	if err != nil {
		return nil, err
	}
	if len(dek) != keySize {
		return nil, fmt.Errorf("seal: Unwrap returned %d bytes, want %d", len(dek), keySize)
	}
	secret := [keySize]byte(dek)
	defer clear(secret[:])
	// What is no key must not enter the cache, where it would answer for the box until its time is over.
	if newKey(&secret).ID() != id || secret == [keySize]byte{} {
		return nil, errors.New("seal: Unwrap returned another key than the one that was wrapped")
	}
	return newDataKey(head, &secret), nil
}

// ---- the cache ------------------------------------------------------------------------------------------------------------------

// remember puts a key into the cache.
func (x *envelope) remember(k *dataKey) {
	if x.closed || x.cfg.CacheKeys < 0 {
		return
	}
	if e := x.cache[k.digest]; e != nil {
		x.forget(e)
	}
	k.cached = true
	x.cache[k.digest] = x.order.PushFront(k)
	for x.order.Len() > x.cfg.CacheKeys {
		x.forget(x.order.Back())
	}
	x.wake(k.born.Add(x.cfg.CacheAge))
}

func (x *envelope) forget(e *list.Element) {
	k := x.order.Remove(e).(*dataKey)
	delete(x.cache, k.digest)
	k.cached = false
	if k != x.current {
		k.wipe()
	}
}

// wake has the keys looked through at a time, so that those whose time is over do not lie in memory until somebody asks for them.
func (x *envelope) wake(at time.Time) {
	switch {
	case !x.sweepAt.IsZero() && !at.Before(x.sweepAt):
		return
	case x.sweep == nil:
		x.sweep = time.AfterFunc(time.Until(at), x.forgetOld)
	default:
		x.sweep.Reset(time.Until(at))
	}
	x.sweepAt = at
}

func (x *envelope) forgetOld() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sweepAt = time.Time{}
	if x.closed {
		return
	}
	now := time.Now()
	var next time.Time
	ends := func(at time.Time) bool {
		if !now.Before(at) {
			return true
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
		return false
	}
	if x.current != nil && ends(x.current.born.Add(x.cfg.MaxAge)) {
		x.replace(nil)
	}
	for e := x.order.Front(); e != nil; {
		this := e
		e = e.Next()
		if ends(this.Value.(*dataKey).born.Add(x.cfg.CacheAge)) {
			x.forget(this)
		}
	}
	if !next.IsZero() {
		x.wake(next)
	}
}

// wipe overwrites what can be overwritten. The states of crypto/aes are left to the collector.
func (k *dataKey) wipe() {
	if k != nil {
		clear(k.stream[:])
	}
}

func (k *dataKey) wiped() bool { return k.stream == [chunked.KeySize]byte{} }

// ---- calls of a KEK -------------------------------------------------------------------------------------------------------------

var (
	errTimeout = errors.New("seal: the call took too long")
	errBusy    = errors.New("seal: too many calls are running")
)

// A call of a KEK, which any number of callers wait for. It does not depend on the context of any of them.
type call struct {
	ctx  context.Context
	done chan struct{} // closed when key and err are set
	key  *dataKey
	err  error
}

// call runs work, with a token of slots that it gives back when the KEK has really returned. settle is called with the mutex held.
func (x *envelope) call(slots chan struct{}, work func(context.Context) (*dataKey, error), settle func(*call)) *call {
	ctx, cancel := context.WithTimeout(x.ctx, x.cfg.Timeout)
	f := &call{ctx: ctx, done: make(chan struct{})}
	x.running++
	go func() {
		defer func() {
			if p := recover(); p != nil {
				f.key, f.err = nil, panicked(p)
			}
			x.mu.Lock()
			if f.err == nil && ctx.Err() != nil { // too late: those who waited have gone
				f.key.wipe()
				f.key, f.err = nil, errTimeout
			}
			settle(f)
			if x.running--; x.running == 0 && x.closed {
				close(x.idle)
			}
			x.mu.Unlock()
			close(f.done)
			cancel()
			<-slots
		}()
		f.err = errors.New("seal: the KEK ended its goroutine")
		f.key, f.err = work(ctx)
	}()
	return f
}

// panicked tells what a KEK panicked with, unless that is a value of its own, which may hold a key.
func panicked(p any) error {
	if err, ok := p.(runtime.Error); ok {
		return fmt.Errorf("seal: the KEK panicked: %v", err)
	}
	return fmt.Errorf("seal: the KEK panicked with a %T", p)
}

// wait returns the error of the call, or that of ctx if the caller has left before.
func (f *call) wait(ctx context.Context) (left bool, err error) {
	select {
	case <-f.done:
		return false, f.err
	case <-ctx.Done():
		return true, ctx.Err()
	case <-f.ctx.Done():
	}
	select {
	case <-f.done: // it was cancelled because it is done
		return false, f.err
	default:
		return false, errTimeout
	}
}

// outcome makes of what a KEK said of a box what the caller gets to see.
func (x *envelope) outcome(id ID, err error) error {
	var key *KeyError
	switch {
	case errors.Is(err, ErrInvalid):
		return ErrInvalid
	case errors.As(err, &key):
		return key
	}
	return x.unavailable(id, err, coolDown)
}

func (x *envelope) unavailable(id ID, err error, retryAfter time.Duration) error {
	if x.ctx.Err() != nil {
		return ErrClosed
	}
	return &KEKError{Name: x.keks[id].Name, RetryAfter: retryAfter, Err: err}
}

func (x *envelope) close(ctx context.Context) error {
	x.mu.Lock()
	if !x.closed {
		x.closed = true
		x.cancel()
		if x.sweep != nil {
			x.sweep.Stop()
		}
		x.replace(nil)
		for x.order.Len() > 0 {
			x.forget(x.order.Back())
		}
		if x.running == 0 {
			close(x.idle)
		}
	}
	x.mu.Unlock()
	select {
	case <-x.idle:
		return nil
	default:
	}
	select {
	case <-x.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
