package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/xaes"
)

// State is what a key of a ring may be used for.
type State uint8

const (
	DecryptOnly State = iota // opens boxes; the state of a new key, and of an old one while boxes under it are left
	Primary                  // opens boxes and makes the new ones; a ring has exactly one such key
	Disabled                 // does nothing, but can be restored
	Destroyed                // gone; the ring remembers the id, so that its boxes are told from those of an unknown key
)

var stateNames = [...]string{"decrypt-only", "primary", "disabled", "destroyed"}

// String returns "decrypt-only", "primary", "disabled" or "destroyed".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Config says what a Keyring is made of.
type Config struct {
	// Keys are the ring's keys, in any order. Exactly one is Primary, and no id appears twice.
	Keys []RingKey
}

// A RingKey is a key with its place in a ring.
type RingKey struct {
	// Key is the key itself. The zero Key if State is Destroyed, required otherwise.
	Key Key
	// ID is the id of a destroyed key, required then. Otherwise it may be left zero; if it is not, it must be the id of Key.
	ID ID
	// State is what the key may be used for. Zero means DecryptOnly.
	State State
	// Created is when the key was made, for people: nothing depends on it. Zero means unknown.
	Created time.Time
}

// KeyInfo is what a ring tells about a key.
type KeyInfo struct {
	ID      ID
	State   State
	Created time.Time // zero if unknown
}

// A Keyring seals and opens. It is safe for concurrent use: every call works with the ring as it was when the call began, and a change
// appears whole to the calls that begin after it. A Keyring must not be copied. The zero Keyring and a nil one open nothing
// (ErrUnknownKey), and refuse to seal and to change (ErrNoPrimary).
type Keyring struct {
	mu    sync.Mutex // held while a change is made
	state atomic.Pointer[ring]
}

// ring is immutable.
type ring struct {
	keys    map[ID]*entry
	primary *entry
}

type entry struct {
	KeyInfo
	key    Key       // the zero Key if destroyed
	record *xaes.Key // nil if destroyed
}

func newEntry(k Key, info KeyInfo) *entry {
	return &entry{info, k, xaes.New((*[xaes.KeySize]byte)(k.derive("record", xaes.KeySize)))}
}

// in returns the entry in another state. A destroyed one no longer has its key.
func (e *entry) in(s State) *entry {
	next := *e
	if next.State = s; s == Destroyed {
		next.key, next.record = Key{}, nil
	}
	return &next
}

// New makes a Keyring. The error lists everything that is wrong with cfg, and never shows a key.
func New(cfg Config) (*Keyring, error) {
	var errs []error
	refuse := func(i int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("seal: Config.Keys[%d] "+format, append([]any{i}, args...)...))
	}
	r := &ring{keys: make(map[ID]*entry, len(cfg.Keys))}
	for i, k := range cfg.Keys {
		id := k.Key.ID()
		var e *entry
		switch {
		case k.State > Destroyed:
			refuse(i, "has an unknown state: %v", k.State)
			continue
		case k.State == Destroyed:
			if id = k.ID; id == (ID{}) {
				refuse(i, "is destroyed and has no ID to remember")
				continue
			}
			if k.Key.secret != nil {
				refuse(i, "is destroyed and still has its key")
				continue
			}
			e = &entry{KeyInfo: KeyInfo{id, Destroyed, k.Created}}
		case k.Key.secret == nil:
			refuse(i, "is the zero Key")
			continue
		case k.ID != ID{} && k.ID != id:
			refuse(i, "has the ID %v, but its key is %v", k.ID, id)
			continue
		default:
			e = newEntry(k.Key, KeyInfo{id, k.State, k.Created})
		}
		if r.keys[id] != nil {
			refuse(i, "has the same ID as another one: %v", id)
			continue
		}
		r.keys[id] = e
		if k.State != Primary {
			continue
		}
		if r.primary != nil {
			refuse(i, "is a second Primary beside %v", r.primary.ID)
			continue
		}
		r.primary = e
	}
	switch {
	case r.primary != nil:
	case len(cfg.Keys) == 1:
		errs = append(errs, errors.New("seal: Config.Keys has no Primary key: set the RingKey.State of this one to Primary"))
	default:
		errs = append(errs, errors.New("seal: Config.Keys has no Primary key: set the RingKey.State of one of them to Primary"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return newKeyring(r), nil
}

// NewRing makes a Keyring of one new key, which is primary and made now: the first ring of an application. Save it with CreateKeyringFile
// or Reveal.
func NewRing() *Keyring {
	e := newEntry(GenerateKey(), KeyInfo{State: Primary, Created: time.Now()})
	e.ID = e.key.ID()
	return newKeyring(&ring{map[ID]*entry{e.ID: e}, e})
}

func newKeyring(r *ring) *Keyring {
	k := new(Keyring)
	k.state.Store(r)
	return k
}

var empty ring

func (k *Keyring) load() *ring {
	if k != nil {
		if r := k.state.Load(); r != nil {
			return r
		}
	}
	return &empty
}

// Keys returns what the ring holds, destroyed keys included, in the order of their ids.
func (k *Keyring) Keys() []KeyInfo {
	var infos []KeyInfo
	for _, e := range k.load().keys {
		infos = append(infos, e.KeyInfo)
	}
	slices.SortFunc(infos, func(a, b KeyInfo) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return infos
}

// Primary returns the id of the key that seals. Of a Keyring not made by New it is the zero ID.
func (k *Keyring) Primary() ID {
	if p := k.load().primary; p != nil {
		return p.ID
	}
	return ID{}
}

// Add puts a new key into the ring, decrypt-only: the first step of replacing a key. Created is when the key was made, for Keys; zero
// means unknown. The error is a *KeyError with ErrKeyExists if the id is taken.
func (k *Keyring) Add(key Key, created time.Time) error {
	if key.secret == nil {
		return errors.New("seal: the zero Key cannot be added")
	}
	e := newEntry(key, KeyInfo{key.ID(), DecryptOnly, created})
	return k.change(func(r *ring) error {
		if r.keys[e.ID] != nil {
			return &KeyError{ID: e.ID, Err: ErrKeyExists}
		}
		r.keys[e.ID] = e
		return nil
	})
}

// Promote makes a decrypt-only key the primary one: the second step, when every process has the key. The primary key until now becomes
// decrypt-only. Of the primary key it does nothing. The error is a *KeyError.
func (k *Keyring) Promote(id ID) error {
	return k.change(func(r *ring) error {
		if id == r.primary.ID {
			return nil
		}
		if err := r.move("promote", id, DecryptOnly, Primary); err != nil {
			return err
		}
		r.keys[r.primary.ID] = r.primary.in(DecryptOnly)
		r.primary = r.keys[id]
		return nil
	})
}

// Retire disables a decrypt-only key: the last step, when no box under it is left. The primary key cannot be retired before another one is
// promoted. The error is a *KeyError.
func (k *Keyring) Retire(id ID) error {
	return k.change(func(r *ring) error { return r.move("retire", id, DecryptOnly, Disabled) })
}

// Restore makes a disabled key decrypt-only again. The error is a *KeyError.
func (k *Keyring) Restore(id ID) error {
	return k.change(func(r *ring) error { return r.move("restore", id, Disabled, DecryptOnly) })
}

// Destroy forgets a disabled key for good and keeps its id, which cannot be added again: its boxes are ErrKeyDestroyed from then
// on. Only a disabled key is destroyed, so that what still needs it has had time to show. The error is a *KeyError.
//
// It forgets this ring's copy; that of your secret store, its backups and the copies of Key that you hold are yours to delete.
func (k *Keyring) Destroy(id ID) error {
	return k.change(func(r *ring) error { return r.move("destroy", id, Disabled, Destroyed) })
}

// move changes a copy of the ring, not yet seen by anybody.
func (r *ring) move(step string, id ID, from, to State) error {
	e := r.keys[id]
	switch {
	case e == nil:
		return &KeyError{ID: id, Err: ErrUnknownKey}
	case e.State == Destroyed:
		return &KeyError{ID: id, Err: ErrKeyDestroyed}
	case e.State != from:
		return &KeyError{ID: id, Err: ErrKeyState, step: step, why: inTheWay(e.State, to)}
	}
	r.keys[id] = e.in(to)
	return nil
}

// inTheWay says why a key cannot go from one state to another, and what to do first.
func inTheWay(from, to State) string {
	switch {
	case from == Primary && to == Disabled:
		return "it is the primary key; promote another one first"
	case from == Primary && to == Destroyed:
		return "it is the primary key; promote another one and retire it first"
	case from == DecryptOnly && to == Destroyed:
		return "it is decrypt-only; retire it first"
	case from == Disabled && to == Primary:
		return "it is disabled; restore it first"
	case from == Disabled:
		return "it is disabled already"
	}
	return fmt.Sprintf("it is %v, not disabled", from)
}

// change makes f's changes to a copy of the ring and swaps it in, if f returns nil.
func (k *Keyring) change(f func(*ring) error) error {
	if k == nil {
		return ErrNoPrimary
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.load()
	if old.primary == nil {
		return ErrNoPrimary
	}
	next := &ring{maps.Clone(old.keys), old.primary}
	if err := f(next); err != nil {
		return err
	}
	k.state.Store(next)
	return nil
}

// opener returns the key with an id, if it may open.
func (k *Keyring) opener(id ID) (*entry, error) {
	e := k.load().keys[id]
	switch {
	case e == nil:
		return nil, &KeyError{ID: id, Err: ErrUnknownKey}
	case e.State == Disabled:
		return nil, &KeyError{ID: id, Err: ErrKeyDisabled}
	case e.State == Destroyed:
		return nil, &KeyError{ID: id, Err: ErrKeyDestroyed}
	}
	return e, nil
}

// String returns the number of keys and the id of the primary one.
func (k *Keyring) String() string {
	return fmt.Sprintf("[seal keyring of %d keys, primary %v]", len(k.load().keys), k.Primary())
}

// Format writes what String returns, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns what String returns.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }
