package shred

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
)

// Alias is what a subject is called in a Store, in proofs and in backups: a keyed hash of its name (HMAC-SHA-256), which tells
// nothing about the name to whoever does not have the AliasKey. With the key, names can be tried: it is a pseudonym.
type Alias [32]byte

// String returns the alias as 64 hexadecimal digits.
func (a Alias) String() string { return hex.EncodeToString(a[:]) }

// MarshalText returns the alias as String does.
func (a Alias) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads 64 hexadecimal digits in lower case.
func (a *Alias) UnmarshalText(text []byte) error { return unhex(a[:], text) }

// Fingerprint tells the keys of subjects apart: 16 bytes, no secret. The zero Fingerprint is that of no key.
type Fingerprint [16]byte

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText returns the fingerprint as String does.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads 32 hexadecimal digits in lower case.
func (f *Fingerprint) UnmarshalText(text []byte) error { return unhex(f[:], text) }

func unhex(to, text []byte) error {
	if len(text) != 2*len(to) || bytes.ContainsAny(text, "ABCDEF") {
		return fmt.Errorf("shred: not %d digits of 0-9 a-f", 2*len(to))
	}
	_, err := hex.Decode(to, text)
	return err
}

// Record is what a Store keeps of a subject: its wrapped key, or that it was shredded.
type Record struct {
	// Alias is whose record it is.
	Alias Alias `json:"alias"`
	// Key is the fingerprint of the subject's key. Of a tombstone it is that of the destroyed one, zero if there was none.
	Key Fingerprint `json:"key,omitzero"`
	// Box is the key sealed by the Ring. Nil in a tombstone.
	Box []byte `json:"box,omitempty"`
	// Created is when the key was made. Zero if there never was one.
	Created time.Time `json:"created,omitzero"`
	// Shredded is when the subject was shredded. Zero means that it was not.
	Shredded time.Time `json:"shredded,omitzero"`
	// Counter numbers the tombstones of a store, from 1 on. The store sets it. Zero while the key lives.
	Counter uint64 `json:"counter,omitempty"`
	// Version counts the writes of the record. A write names the version that it replaces, zero for a new record.
	Version uint64 `json:"version"`
}

const (
	maxBox     = 4096
	maxCounter = 1 << 62 // far from where it would wrap
	maxRecord  = 8192    // as JSON, in bytes
)

// validate says why a record is none, or nil.
func (r *Record) validate() error {
	gone := !r.Shredded.IsZero()
	switch {
	case r.Alias == Alias{}:
		return errors.New("has no alias")
	case len(r.Box) > maxBox:
		return fmt.Errorf("has a box of %d bytes, more than %d", len(r.Box), maxBox)
	case r.Counter > maxCounter || r.Version > maxCounter:
		return errors.New("has a counter or version that is too large")
	case !sane(r.Created) || !sane(r.Shredded):
		return errors.New("has a time outside of 1970 to 2200, not in UTC or finer than microseconds")
	case gone && len(r.Box) > 0:
		return errors.New("was shredded and has a box")
	case gone && r.Counter == 0:
		return errors.New("was shredded and has no counter")
	case !gone && (len(r.Box) == 0 || r.Key == Fingerprint{} || r.Created.IsZero() || r.Counter != 0):
		return errors.New("was not shredded and lacks its box, fingerprint or time, or has a counter")
	}
	return nil
}

// sane keeps to what every database keeps, and to what can be counted in nanoseconds.
func sane(t time.Time) bool {
	return t.IsZero() || t.Location() == time.UTC && t.Year() >= 1970 && t.Year() < 2200 && t.Nanosecond()%1000 == 0
}

func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// ParseRecord reads the JSON of a record, strictly: exactly what encoding/json makes of a valid one.
func ParseRecord(data []byte) (Record, error) {
	var r Record
	if len(data) > maxRecord {
		return Record{}, fmt.Errorf("%w: more than %d bytes", ErrUnreadable, maxRecord)
	}
	err := canonical.Unmarshal(data, &r)
	if err == nil {
		err = r.validate()
	}
	if err == nil && r.Version == 0 {
		err = errors.New("has no version")
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: it %w", ErrUnreadable, err)
	}
	return r, nil
}

// Store keeps records. Implementations are safe for concurrent use, copy what they take and give, and return an error of what they cannot
// read: to leave a tombstone out would be to undo it. Package storetest is the contract as a test.
type Store interface {
	// Get returns one record, or ErrNotFound. When Put has returned, every Get that begins later, by whatever process, sees the record.
	Get(ctx context.Context, a Alias) (Record, error)
	// Put writes one record whole and returns it with its new Version, and Counter, by the rules of Next. Of several Puts over one version
	// exactly one succeeds. When Put has returned a tombstone, the box that it replaced is gone from the store, and no later Put
	// succeeds.
	Put(ctx context.Context, r Record) (Record, error)
	// List returns records in the order of their aliases, at most p.Limit of them. It may miss what is written meanwhile.
	List(ctx context.Context, p Page) ([]Record, error)
}

// Page says what a Store lists.
type Page struct {
	// Shredded asks for tombstones. False asks for keys.
	Shredded bool
	// After is the last alias of the page before. Zero means from the first one on.
	After Alias
	// Limit is how many records are wanted. Zero and less mean 1000.
	Limit int
}

// Max returns how many records are wanted. It is for implementations.
func (p Page) Max() int {
	if p.Limit <= 0 {
		return 1000
	}
	return p.Limit
}

// Next applies the rules of Store.Put to a write of r over old, the record that is stored, nil for none, in a store whose last tombstone
// has the given counter, zero for none. It returns what to store:
//
//   - Over a tombstone it is ErrShredded, whatever r is.
//   - r.Version must be that of old, or 0 without one, else it is ErrConflict.
//   - A tombstone (r.Shredded is set) loses its box. Its Counter is the next one, unless it brings one from elsewhere.
//   - Of a key that is stored only the box may change, else it is ErrConflict.
//
// It is for implementations.
func Next(old *Record, r Record, counter uint64) (Record, error) {
	switch {
	case old != nil && !old.Shredded.IsZero():
		return Record{}, ErrShredded
	case old == nil && r.Version != 0, old != nil && old.Version != r.Version:
		return Record{}, ErrConflict
	case r.Shredded.IsZero() && old != nil && (r.Key != old.Key || !r.Created.Equal(old.Created)):
		return Record{}, ErrConflict
	}
	if !r.Shredded.IsZero() {
		r.Box = nil
		if r.Counter == 0 {
			r.Counter = min(counter, maxCounter-1) + 1 // nothing may keep a subject from being shredded
		}
	}
	if err := r.validate(); err != nil {
		return Record{}, fmt.Errorf("shred: the record %w", err)
	}
	r.Version++
	r.Box = bytes.Clone(r.Box)
	return r, nil
}

// MemoryStore is a Store that forgets everything when the process ends, and every box with it: for tests, and for data that
// should not outlive the process. Use NewMemoryStore.
type MemoryStore struct {
	mu      sync.Mutex
	records map[Alias]Record
	counter uint64
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{records: make(map[Alias]Record)} }

// Format writes "[shred.MemoryStore]" whatever the verb.
func (s *MemoryStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[shred.MemoryStore]") }

// Get implements Store.
func (s *MemoryStore) Get(ctx context.Context, a Alias) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[a]
	if !ok {
		return Record{}, ErrNotFound
	}
	r.Box = bytes.Clone(r.Box)
	return r, nil
}

// Put implements Store.
func (s *MemoryStore) Put(ctx context.Context, r Record) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var old *Record
	if o, ok := s.records[r.Alias]; ok {
		old = &o
	}
	r, err := Next(old, r, s.counter)
	if err != nil {
		return Record{}, err
	}
	if !r.Shredded.IsZero() && old != nil {
		clear(old.Box)
	}
	if s.records == nil {
		s.records = make(map[Alias]Record)
	}
	s.records[r.Alias] = r
	s.counter = max(s.counter, r.Counter)
	r.Box = bytes.Clone(r.Box)
	return r, nil
}

// List implements Store.
func (s *MemoryStore) List(ctx context.Context, p Page) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Record
	for a, r := range s.records {
		if r.Shredded.IsZero() != p.Shredded && bytes.Compare(a[:], p.After[:]) > 0 {
			r.Box = bytes.Clone(r.Box)
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return bytes.Compare(a.Alias[:], b.Alias[:]) })
	return all[:min(len(all), p.Max())], nil
}

// encode is the JSON of a record that was validated.
func encode(r Record) []byte {
	data, _ := json.Marshal(r) // no member of it can fail
	return data
}
