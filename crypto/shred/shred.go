package shred

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// Ring wraps the keys of subjects. A *seal.Keyring is one; EnvelopeRing makes one of a *seal.Envelope.
type Ring interface {
	Seal(dst, msg []byte, c seal.Context) ([]byte, error)
	Open(dst, box []byte, c seal.Context) ([]byte, error)
}

// Config says where keys of subjects are and what wraps them.
type Config struct {
	// Store keeps the wrapped keys and the tombstones. Required.
	Store Store
	// Ring wraps the keys. Required. Losing its keys shreds everybody.
	Ring Ring
	// AliasKey makes the aliases of subjects, and the MACs of tombstones. It stays the same for the life of the store: under another
	// one nobody has a key. It opens nothing, so it is not rotated with the ring. Required.
	AliasKey seal.Key
	// CacheKeys bounds how many unwrapped keys are kept in memory, some 1 KB each. Zero means 10,000; less means none.
	CacheKeys int
	// TrustCache is how long a key in memory is used without asking the Store whether its subject was shredded by another process. Zero
	// means not at all: each call makes one Store.Get, and when Shred has returned, nobody opens anything of the subject. A minute, say,
	// spares nearly all of these, and lets other processes open for a minute more.
	TrustCache time.Duration
}

// Subject is whose data it is: a person, mostly.
type Subject struct {
	// Tenant is the customer or organisation. The same ID in two tenants is two subjects. It may be empty.
	Tenant string
	// ID is what you call the subject: an account number rather than an address that changes. Required.
	ID string
}

// SubjectOf returns the subject whose key seals in a Context: who is to be shredded so that what was sealed there does not open any more.
func SubjectOf(c seal.Context) Subject { return Subject{Tenant: c.Tenant, ID: c.Subject} }

// Subjects seals and opens under the key of each subject. It is safe for concurrent use. The zero Subjects and a nil one refuse everything.
type Subjects struct {
	cfg      Config
	aliasKey func() []byte // functions for the same reason as that of seal.Key
	macKey   func() []byte
	cache    cache
}

var errZero = errors.New("shred: Subjects was not made by New")

// New makes a Subjects. The error lists everything that is wrong with cfg.
func New(cfg Config) (*Subjects, error) {
	var errs []error
	if cfg.Store == nil {
		errs = append(errs, errors.New("shred: Config.Store is nil"))
	}
	if cfg.Ring == nil {
		errs = append(errs, errors.New("shred: Config.Ring is nil"))
	}
	text := cfg.AliasKey.Reveal()
	if text == "" {
		errs = append(errs, errors.New("shred: Config.AliasKey is the zero Key"))
	}
	if cfg.TrustCache < 0 {
		errs = append(errs, fmt.Errorf("shred: Config.TrustCache %v is negative", cfg.TrustCache))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.CacheKeys == 0 {
		cfg.CacheKeys = 10_000
	}
	alias, mac := derive(text, "mantlet shred v1 alias", 32), derive(text, "mantlet shred v1 tombstone", 32)
	s := &Subjects{cfg: cfg, aliasKey: func() []byte { return alias }, macKey: func() []byte { return mac }}
	s.cache.max = cfg.CacheKeys
	return s, nil
}

func derive(secret, info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, info, n)
	if err != nil {
		panic("shred: " + err.Error()) // only of lengths that are constants here
	}
	return key
}

// Format writes "[shred.Subjects]" whatever the verb.
func (s *Subjects) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[shred.Subjects]") }

// LogValue returns "[shred.Subjects]".
func (s *Subjects) LogValue() slog.Value { return slog.StringValue("[shred.Subjects]") }

// Alias returns what a subject is called in the store and in tombstones. The error is ErrContext.
func (s *Subjects) Alias(who Subject) (Alias, error) {
	if s == nil || s.aliasKey == nil {
		return Alias{}, errZero
	}
	if who.ID == "" || len(who.ID) > seal.MaxContextField || len(who.Tenant) > seal.MaxContextField {
		return Alias{}, ErrContext
	}
	h := hmac.New(sha256.New, s.aliasKey())
	for _, part := range [...]string{who.Tenant, who.ID} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		_, _ = io.WriteString(h, part)
	}
	var a Alias
	h.Sum(a[:0])
	return a, nil
}

// Seal encrypts msg under the key of c.Tenant and c.Subject, which it makes if there is none, and appends the box to dst. The box is a
// record of package seal. It opens in the same Context only; that is mandatory, as there, and c.Subject is too. The error is ErrContext,
// ErrShredded, or comes from the Store, the Ring or package seal.
func (s *Subjects) Seal(ctx context.Context, dst, msg []byte, c seal.Context) ([]byte, error) {
	ring, err := s.ring(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return ring.Seal(dst, msg, c)
}

// Open decrypts a box of Seal and appends the message to dst. The error is ErrContext, ErrShredded, ErrNoKey, ErrKey, that of
// seal.Keyring.Open, or comes from the Store or the Ring.
func (s *Subjects) Open(ctx context.Context, dst, box []byte, c seal.Context) ([]byte, error) {
	ring, err := s.ring(ctx, c, false)
	if err != nil {
		return nil, err
	}
	return ring.Open(dst, box, c)
}

// NewWriter returns a Writer that encrypts a message of any length for a subject: see seal.Keyring.NewWriter. Its errors are those of Seal.
func (s *Subjects) NewWriter(ctx context.Context, w io.Writer, c seal.Context) (*seal.Writer, error) {
	ring, err := s.ring(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return ring.NewWriter(w, c)
}

// NewReader returns a Reader of what such a Writer has written: see seal.Keyring.NewReader. Its errors are those of Open. A Reader that
// was returned before the subject was shredded reads on to the end.
func (s *Subjects) NewReader(ctx context.Context, r io.Reader, c seal.Context) (*seal.Reader, error) {
	ring, err := s.ring(ctx, c, false)
	if err != nil {
		return nil, err
	}
	return ring.NewReader(r, c)
}

// Shred destroys the key of a subject for good and returns the proof, which belongs into the audit log. When it has returned nothing of the
// subject opens any more: see Config.TrustCache about other processes. It needs no key of the Ring, so it works also when that is not
// there, nor that the stored key can be read. It leaves a tombstone also of a subject without a key, as a misspelled one is:
// Tombstone.HadKey tells. Of one that was shredded before it returns the first proof again, and removes what may be left of the key. A
// subject stays shredded: who comes back gets a new ID. The error is ErrContext or comes from the Store; then call it again.
func (s *Subjects) Shred(ctx context.Context, who Subject) (Tombstone, error) {
	a, err := s.Alias(who)
	if err != nil {
		return Tombstone{}, err
	}
	defer s.cache.bar(a) // at the end, since until then somebody may still read the key
	r, fresh, err := bury(ctx, s.cfg.Store, Record{Alias: a, Shredded: stamp(time.Now())})
	if err == nil && !fresh {
		err = again(ctx, s.cfg.Store, r)
	}
	if err != nil {
		return Tombstone{}, err
	}
	return s.tombstone(r), nil
}

// Proof returns the tombstone of a subject that was shredded. Of another one the error is ErrNotFound.
func (s *Subjects) Proof(ctx context.Context, who Subject) (Tombstone, error) {
	a, err := s.Alias(who)
	if err != nil {
		return Tombstone{}, err
	}
	r, err := s.cfg.Store.Get(ctx, a)
	if err == nil && r.Shredded.IsZero() {
		err = ErrNotFound
	}
	if err != nil {
		return Tombstone{}, err
	}
	return s.tombstone(r), nil
}

// ring returns the ring of one key that is the subject's.
func (s *Subjects) ring(ctx context.Context, c seal.Context, create bool) (*seal.Keyring, error) {
	a, err := s.Alias(SubjectOf(c))
	if err != nil {
		return nil, err
	}
	now := time.Now() // before the store is asked: it is the age of the answer
	known, epoch := s.cache.get(a)
	if known.ring != nil && s.cfg.TrustCache > 0 && now.Sub(known.asked) < s.cfg.TrustCache {
		return known.ring, nil
	}
	r, err := s.cfg.Store.Get(ctx, a)
	if errors.Is(err, ErrNotFound) && create {
		r, err = s.create(ctx, a)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		s.cache.drop(a)
		return nil, ErrNoKey
	case err != nil: // a store that is away is no reason to go on without it
		return nil, err
	case !r.Shredded.IsZero():
		s.cache.drop(a)
		return nil, ErrShredded
	}
	if known.ring == nil || known.key != r.Key {
		if known.ring, err = s.unwrap(ctx, r); err != nil {
			return nil, err
		}
		known.key = r.Key
	}
	known.asked = now
	s.cache.put(a, known, epoch)
	return known.ring, nil
}

// place binds a wrapped key to its subject, so that it cannot be put in the place of another one's.
func place(a Alias) seal.Context {
	return seal.Context{Purpose: "mantlet shred v1 subject key", Subject: a.String()}
}

func fingerprint(text []byte) Fingerprint {
	return Fingerprint(derive(string(text), "mantlet shred v1 fingerprint", len(Fingerprint{})))
}

// create makes a key of a subject, or returns the record of somebody who was faster.
func (s *Subjects) create(ctx context.Context, a Alias) (Record, error) {
	text := []byte(seal.GenerateKey().Reveal())
	defer clear(text)
	box, err := s.wrap(ctx, text, place(a))
	if err != nil {
		return Record{}, err
	}
	r, err := s.cfg.Store.Put(ctx, Record{Alias: a, Key: fingerprint(text), Box: box, Created: stamp(time.Now())})
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrShredded) {
		return s.cfg.Store.Get(ctx, a)
	}
	return r, err
}

func (s *Subjects) unwrap(ctx context.Context, r Record) (*seal.Keyring, error) {
	text, err := s.unbox(ctx, r.Box, place(r.Alias))
	if errors.Is(err, seal.ErrInvalid) {
		return nil, ErrKey
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := seal.ParseKey(string(text))
	if err != nil || fingerprint(text) != r.Key {
		return nil, ErrKey
	}
	return seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
}

// Rewrap wraps anew what is not wrapped by the primary key of the Ring, which must be a *seal.Keyring or have its methods Reseal and NeedsReseal:
// the third step of replacing a key of the ring, which touches no box of a subject. It returns how many keys it has wrapped. One that cannot
// be wrapped is an error, and the others are wrapped all the same. After an error call it again; what was done is done.
func (s *Subjects) Rewrap(ctx context.Context) (n int, err error) {
	if s == nil || s.macKey == nil {
		return 0, errZero
	}
	ring, ok := s.cfg.Ring.(resealer)
	if !ok {
		return 0, errors.New("shred: the Ring has no Reseal and NeedsReseal")
	}
	var errs faults
	for r, err := range Records(ctx, s.cfg.Store, Page{}) {
		wrapped := false
		if err == nil {
			wrapped, err = s.rewrap(ctx, ring, r)
		}
		if wrapped {
			n++
		}
		if err != nil && errs.end(ctx, err) {
			break
		}
	}
	return n, errs.join()
}

type resealer interface {
	NeedsReseal(box []byte) bool
	Reseal(dst, box []byte, c seal.Context) ([]byte, error)
}

func (s *Subjects) rewrap(ctx context.Context, ring resealer, r Record) (wrapped bool, err error) {
	for ring.NeedsReseal(r.Box) {
		if c, ok := ring.(contextRing); ok {
			r.Box, err = c.resealContext(ctx, nil, r.Box, place(r.Alias))
		} else {
			r.Box, err = ring.Reseal(nil, r.Box, place(r.Alias))
		}
		if err != nil {
			return false, fmt.Errorf("shred: key of %v: %w", r.Alias, err)
		}
		if _, err = s.cfg.Store.Put(ctx, r); err == nil {
			return true, nil
		}
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrShredded) {
			r, err = s.cfg.Store.Get(ctx, r.Alias) // a tombstone has no box
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}
