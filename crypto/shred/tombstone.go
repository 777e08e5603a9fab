package shred

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
)

// Tombstone is the proof that a subject was shredded, and what keeps it so: Apply brings it into a store that was restored from a backup,
// or into a replica. It holds no personal data but the alias. Write its JSON to the audit log.
//
//	{"subject":"3b1f...","key":"9c40...","time":"2026-11-25T10:00:00Z","counter":17,"mac":"52d8..."}
type Tombstone struct {
	// Subject is the keyed hash of who was shredded.
	Subject Alias `json:"subject"`
	// Key is the fingerprint of the key that was destroyed. Zero if the subject had none, or one that could not be read: the tombstone
	// stands all the same, for a replica may have one. See HadKey.
	Key Fingerprint `json:"key"`
	// Time is when, in UTC, to the microsecond.
	Time time.Time `json:"time"`
	// Counter numbers the tombstones of one store, so that a gap in a list of proofs can be seen: the numbers rise by 1, but for a write
	// that failed half-way. Replicas that shred on their own number on their own.
	Counter uint64 `json:"counter"`
	// MAC is an HMAC-SHA-256 of all of that under a key derived from the AliasKey. Who could forge a tombstone could have anybody's
	// data destroyed by the next restore.
	MAC MAC `json:"mac"`
}

// HadKey reports whether a key was destroyed that the store could read. If not, look whether the subject is spelled as where its data was
// sealed (SubjectOf): there may never have been such a one.
func (t Tombstone) HadKey() bool { return t.Key != Fingerprint{} }

// MAC is a message authentication code of 32 bytes.
type MAC [sha256.Size]byte

// String returns the code as 64 hexadecimal digits.
func (m MAC) String() string { return hex.EncodeToString(m[:]) }

// MarshalText returns the code as String does.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads 64 hexadecimal digits in lower case.
func (m *MAC) UnmarshalText(text []byte) error { return unhex(m[:], text) }

// String returns the JSON of the tombstone.
func (t Tombstone) String() string {
	data, err := json.Marshal(t)
	if err != nil {
		return "[invalid tombstone]"
	}
	return string(data)
}

// LogValue returns the tombstone as a group.
func (t Tombstone) LogValue() slog.Value {
	return slog.GroupValue(slog.String("subject", t.Subject.String()), slog.String("key", t.Key.String()), slog.Time("time", t.Time),
		slog.Uint64("counter", t.Counter), slog.String("mac", t.MAC.String()))
}

// ParseTombstone reads the JSON of a tombstone, strictly: exactly what encoding/json makes of one. That it is genuine is for
// Subjects.Check to say.
func ParseTombstone(data []byte) (Tombstone, error) {
	var t Tombstone
	if len(data) > 1024 {
		return Tombstone{}, errors.New("shred: a tombstone has no more than 1024 bytes")
	}
	if err := canonical.Unmarshal(data, &t); err != nil {
		return Tombstone{}, fmt.Errorf("shred: the tombstone %w", err)
	}
	return t, t.valid()
}

func (t *Tombstone) valid() error {
	r := t.record()
	if err := r.validate(); err != nil || t.Time.IsZero() {
		return errors.New("shred: the tombstone has no subject, time or counter that can be")
	}
	return nil
}

// record is what a store keeps of it.
func (t *Tombstone) record() Record {
	return Record{Alias: t.Subject, Key: t.Key, Shredded: t.Time, Counter: t.Counter}
}

func (s *Subjects) tombstone(r Record) Tombstone {
	t := Tombstone{Subject: r.Alias, Key: r.Key, Time: r.Shredded, Counter: r.Counter}
	t.MAC = s.mac(&t)
	return t
}

func (s *Subjects) mac(t *Tombstone) (m MAC) {
	h := hmac.New(sha256.New, s.macKey())
	h.Write(t.Subject[:])
	h.Write(t.Key[:])
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.Time.UnixNano()))
	binary.BigEndian.PutUint64(b[8:], t.Counter)
	h.Write(b[:])
	h.Sum(m[:0])
	return m
}

// Check returns nil if the tombstone was made with this AliasKey and was not changed, else ErrTombstone.
func (s *Subjects) Check(t Tombstone) error {
	if s == nil || s.macKey == nil || t.valid() != nil {
		return ErrTombstone
	}
	if want := s.mac(&t); !hmac.Equal(want[:], t.MAC[:]) {
		return ErrTombstone
	}
	return nil
}

// Tombstones returns the tombstones of the store in the order of their aliases, to be backed up or brought into a replica. An error ends
// them.
func (s *Subjects) Tombstones(ctx context.Context) iter.Seq2[Tombstone, error] {
	return func(yield func(Tombstone, error) bool) {
		if s == nil || s.macKey == nil {
			yield(Tombstone{}, errZero)
			return
		}
		for r, err := range Records(ctx, s.cfg.Store, Page{Shredded: true}) {
			if err != nil {
				yield(Tombstone{}, err)
				return
			}
			if !yield(s.tombstone(r), nil) {
				return
			}
		}
	}
}

// Apply brings tombstones into the store of s: do it after every restore, before anybody uses what was restored, with every tombstone
// made since the backup. A key that the store holds of such a subject is destroyed. If one tombstone is not genuine it is
// ErrTombstone and nothing is applied. It returns how many subjects were not shredded in the store before.
func (s *Subjects) Apply(ctx context.Context, tombstones []Tombstone) (applied int, err error) {
	if s == nil || s.macKey == nil {
		return 0, errZero
	}
	for _, t := range tombstones {
		if err := s.Check(t); err != nil {
			return 0, err
		}
	}
	defer func() {
		for i := range tombstones {
			s.cache.bar(tombstones[i].Subject)
		}
	}()
	return Apply(ctx, s.cfg.Store, tombstones)
}

// Apply brings tombstones into a store without asking whether they are genuine, for a caller who knows that, because they come out of an
// encrypted backup, say. Others use Subjects.Apply. After an error the others are applied all the same. It returns how many subjects were
// not shredded in the store before.
func Apply(ctx context.Context, store Store, tombstones []Tombstone) (applied int, err error) {
	var errs faults
	for i := range tombstones {
		t := &tombstones[i]
		err, fresh := t.valid(), false
		if err == nil {
			_, fresh, err = bury(ctx, store, t.record())
		}
		if fresh {
			applied++
		}
		if err != nil && errs.end(ctx, fmt.Errorf("shred: tombstone %d of %d: %w", i+1, len(tombstones), err)) {
			break
		}
	}
	return applied, errs.join()
}

// faults are errors that one goes on after: the first of them, since there may be as many as subjects.
type faults struct {
	first []error
	n     int
}

// end notes an error, and says whether there is no point in going on.
func (f *faults) end(ctx context.Context, err error) bool {
	if f.n++; len(f.first) < 10 {
		f.first = append(f.first, err)
	}
	return ctx.Err() != nil
}

func (f *faults) join() error {
	if more := f.n - len(f.first); more > 0 {
		return errors.Join(append(f.first, fmt.Errorf("shred: and %d more like that", more))...)
	}
	return errors.Join(f.first...)
}

// CopyTombstones brings all tombstones of a store into another one: of the live store into one that was restored, or of a replica into
// another. It returns how many subjects were not shredded in to before.
func CopyTombstones(ctx context.Context, to, from Store) (applied int, err error) {
	var errs faults
	for r, err := range Records(ctx, from, Page{Shredded: true}) {
		fresh := false
		if err == nil {
			_, fresh, err = bury(ctx, to, Record{Alias: r.Alias, Key: r.Key, Shredded: r.Shredded, Counter: r.Counter})
		}
		if fresh {
			applied++
		}
		if err != nil && errs.end(ctx, err) {
			break
		}
	}
	return applied, errs.join()
}

// bury writes a tombstone over whatever the store has, and returns the one that is there then. gone says what the tombstone is like; without
// a Key, it gets that of the key that it destroys.
func bury(ctx context.Context, store Store, gone Record) (r Record, fresh bool, err error) {
	for range 1000 { // of writers who are faster each time
		r, err = store.Get(ctx, gone.Alias)
		switch {
		case errors.Is(err, ErrNotFound):
			r = Record{}
		case errors.Is(err, ErrUnreadable):
			// A key that cannot be read is no reason not to destroy it. Put refuses if it is a tombstone, or another version than none.
			if put, err := store.Put(ctx, gone); err == nil {
				return put, true, nil
			}
			return Record{}, false, err
		case err != nil:
			return Record{}, false, err
		case !r.Shredded.IsZero():
			return r, false, nil
		}
		next := gone
		next.Created, next.Version = r.Created, r.Version
		if next.Key == (Fingerprint{}) {
			next.Key = r.Key
		}
		r, err = store.Put(ctx, next)
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrShredded) {
			if err := ctx.Err(); err != nil {
				return Record{}, false, err
			}
			continue
		}
		return r, err == nil, err
	}
	return Record{}, false, err
}

// again lets a store finish what whoever wrote a tombstone may have died over: its Put refuses, but removes what is left of the key.
func again(ctx context.Context, store Store, gone Record) error {
	if _, err := store.Put(ctx, gone); err != nil && !errors.Is(err, ErrShredded) {
		return err
	}
	return nil
}

// Records lists what a store has from p on, page by page. An error ends it.
func Records(ctx context.Context, store Store, p Page) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		p := p
		for {
			list, err := store.List(ctx, p)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range list {
				if !yield(r, nil) {
					return
				}
			}
			if len(list) == 0 {
				return
			}
			p.After = list[len(list)-1].Alias
		}
	}
}
