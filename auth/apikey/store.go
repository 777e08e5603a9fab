package apikey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Errors of a [Store], beside those of its medium.
var (
	// ErrNotFound means that there is no record with this id.
	ErrNotFound = errors.New("apikey: no such key")
	// ErrConflict means that somebody else wrote the record meanwhile, or that a new one exists already.
	ErrConflict = errors.New("apikey: the record exists or was changed by somebody else")
	// ErrSticky means that a write would have brought a revoked key back.
	ErrSticky = errors.New("apikey: a revoked key cannot be restored")
	// ErrUnreadable means that a record is stored that is not understood whole. The error's text names its id. See [Salvager].
	ErrUnreadable = errors.New("apikey: a record cannot be read")
)

// Errors of a [Manager]'s steps.
var (
	// ErrSpec means that what a key is for was not said in a valid way.
	ErrSpec = errors.New("apikey: the spec is not valid")
	// ErrPolicy means that the [Policy] forbids the step.
	ErrPolicy = errors.New("apikey: not allowed by the policy")
	// ErrState means that the key is in no state for the step: revoked, disabled, expired, already rotated, or of another prefix or env.
	ErrState = errors.New("apikey: the key is in no state for this")
	// ErrNoUses means that keys were not taken for dormant because the store has no recent use of any key on record.
	ErrNoUses = errors.New("apikey: no key was used lately by what is on record; is anybody recording? none is disabled as dormant")
	// ErrUsesUnknown means that the uses of keys could not be read. It comes with the records, which then say nothing of uses.
	ErrUsesUnknown = errors.New("apikey: the uses of keys cannot be read")
	// ErrWeak means that somebody could guess a key: it was not imported or, if it was by its hash, is refused.
	ErrWeak = errors.New("apikey: the key is too easy to guess")
)

// Store keeps records. Implementations are safe for concurrent use, copy what they take and give, and refuse what they cannot
// read whole rather than leave something out.
type Store interface {
	// Load returns all records. since is the Version of an earlier Batch: if nothing changed since, the Batch may say
	// Unchanged and hold no records, and if little changed it may be Partial. An empty since always gives all records, and so
	// does one that the store does not know.
	Load(ctx context.Context, since string) (Batch, error)
	// Get returns one record, or ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// Put writes one record whole and returns it with its new Version, by the rules of [Next]. Of several Puts over one version
	// exactly one succeeds. When Put returned, every Load and Get that begins later, by whatever process, sees the record.
	Put(ctx context.Context, rec Record) (Record, error)
}

// Salvager is a [Store] in which one record that nobody can read, [ErrUnreadable], can be revoked although it cannot be read. Until
// that is done no Load succeeds: to leave the record out would be to forget a revocation. [Manager.Revoke] uses it.
type Salvager interface {
	Store
	// RevokeUnreadable replaces the record that cannot be read by one of the same id that is revoked and opens nothing, and
	// returns that. It is [ErrNotFound] if there is none, and [ErrConflict] if the record can be read.
	RevokeUnreadable(ctx context.Context, id string) (Record, error)
}

// Batch is the content of a store at one moment.
type Batch struct {
	// Records are all records, in any order. They may be shared: do not modify them.
	Records []Record
	// Partial says that Records are only those written since the version asked for; all others are as they were.
	Partial bool
	// Version names this state of the store, for the next Load. It is never empty.
	Version string
	// Unchanged says that the store is as it was at the version asked for.
	Unchanged bool
}

// Next applies the rules of [Store.Put] to a write of rec over old, the record that is stored, nil for none: it returns what to
// store. rec.Version must be that of old, or 0 for a new record, else the error is [ErrConflict], and [ErrNotFound] when there is
// no record. A write that would clear RevokedAt is [ErrSticky]; a record that is not valid, or
// that [ParseRecord] would not read back from its JSON, is an error. It is for implementations.
func Next(old *Record, rec Record) (Record, error) {
	switch {
	case old == nil && rec.Version != 0:
		return Record{}, ErrNotFound
	case old != nil && old.Version != rec.Version:
		return Record{}, ErrConflict
	case old != nil && !old.RevokedAt.IsZero() && rec.RevokedAt.IsZero():
		return Record{}, ErrSticky
	}
	if err := rec.storable(); err != nil {
		return Record{}, fmt.Errorf("apikey: record: %w", err)
	}
	rec = rec.Clone()
	rec.LastUsedAt, rec.UsedScopes = time.Time{}, nil
	rec.Version++
	return rec, nil
}

// MemoryStore is a [Store] that forgets everything when the process ends: for tests, and for keys that are made at start. Use
// [NewMemoryStore].
type MemoryStore struct {
	mu      sync.Mutex
	records map[string]Record
	writes  uint64
	use     ledger
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{records: make(map[string]Record)} }

// Format implements [fmt.Formatter]: every verb prints a fixed word, no record and no digest.
func (s *MemoryStore) Format(f fmt.State, _ rune) { io.WriteString(f, "[apikey.MemoryStore]") }

// Load implements [Store].
func (s *MemoryStore) Load(ctx context.Context, since string) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Batch{Version: "m" + strconv.FormatUint(s.writes, 10)}
	if b.Version == since {
		b.Unchanged = true
		return b, nil
	}
	b.Records = make([]Record, 0, len(s.records))
	for _, r := range s.records {
		b.Records = append(b.Records, r.Clone())
	}
	return b, nil
}

// Get implements [Store].
func (s *MemoryStore) Get(_ context.Context, id string) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return Record{}, ErrNotFound
	}
	return r.Clone(), nil
}

// Put implements [Store].
func (s *MemoryStore) Put(_ context.Context, rec Record) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = make(map[string]Record)
	}
	var old *Record
	if r, ok := s.records[rec.ID]; ok {
		old = &r
	}
	rec, err := Next(old, rec)
	if err != nil {
		return Record{}, err
	}
	s.records[rec.ID] = rec
	s.writes++
	return rec.Clone(), nil
}

// AddUsage implements [UsageStore].
func (s *MemoryStore) AddUsage(_ context.Context, used []Usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use.add(time.Now(), used)
	return nil
}

// UsageOf implements [UsageFinder].
func (s *MemoryStore) UsageOf(_ context.Context, id string) (Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return MergeUsage(s.use.keys[id], Usage{ID: id}), nil
}

// Usage implements [UsageStore].
func (s *MemoryStore) Usage(context.Context) (since time.Time, used []Usage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, used = s.use.list()
	return since, used, nil
}

// sorted returns the records of m ordered by id, so that a file written twice is the same file.
func sorted(m map[string]Record) []Record {
	return slices.SortedFunc(maps.Values(m), func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
}
