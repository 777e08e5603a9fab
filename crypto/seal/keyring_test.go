package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

func TestNewListsEveryFault(t *testing.T) {
	key := seal.GenerateKey()
	_, err := seal.New(seal.Config{Keys: []seal.RingKey{
		{},
		{Key: key, State: 9},
		{State: seal.Destroyed},
		{Key: key, ID: key.ID(), State: seal.Destroyed},
		{Key: key, ID: seal.ID{1}},
		{Key: key},
		{Key: key, State: seal.Disabled},
		{ID: key.ID(), State: seal.Destroyed},
		{Key: seal.GenerateKey(), State: seal.Primary},
		{Key: seal.GenerateKey(), State: seal.Primary},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for i, want := range []string{
		"[0] is the zero Key", "[1] has an unknown state: State(9)", "[2] is destroyed and has no ID", "[3] is destroyed and still has its key",
		"[4] has the ID 01000000, but its key is " + key.ID().String(), "", "[6] has the same ID as another one: " + key.ID().String(),
		"[7] has the same ID", "", "[9] is a second Primary",
	} {
		if has := strings.Contains(err.Error(), fmt.Sprintf("Config.Keys[%d]", i)); !strings.Contains(err.Error(), want) || has != (want != "") {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if _, err := seal.New(seal.Config{}); err == nil || !strings.Contains(err.Error(), "no Primary") {
		t.Error(err)
	}
	if _, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key}}}); err == nil || !strings.Contains(err.Error(), "no Primary") {
		t.Error(err)
	}
}

// These two have the same id, found by trying 44217 keys.
var twinA, twinB = numbered(17241), numbered(44217)

func TestTwoKeysOfOneIDDoNotMeetInARing(t *testing.T) {
	if twinA.ID() != twinB.ID() || twinA.Equal(twinB) {
		t.Fatal("these are no twins")
	}
	ring := ringOf(t, twinA)
	box := mustSeal(t, ring, []byte("hello"), here)
	var which *seal.KeyError
	if err := ring.Add(twinB, t0); !errors.Is(err, seal.ErrKeyExists) || !errors.As(err, &which) || which.ID != twinA.ID() {
		t.Error(err)
	}
	if err := ring.Add(twinA, t0); !errors.Is(err, seal.ErrKeyExists) {
		t.Error(err)
	}
	if _, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: twinA, State: seal.Primary}, {Key: twinB}}}); err == nil {
		t.Error("New accepts both")
	}
	if msg, err := ring.Open(nil, box, here); err != nil || string(msg) != "hello" {
		t.Errorf("%q %v", msg, err)
	}
	if _, err := ringOf(t, twinB).Open(nil, box, here); err != seal.ErrInvalid {
		t.Errorf("another key of the same id: %v", err)
	}
	if err := ring.Add(seal.Key{}, t0); err == nil {
		t.Error("the zero Key was added")
	}
}

func TestEveryStepStartsFromItsOwnState(t *testing.T) {
	first, key := seal.GenerateKey(), seal.GenerateKey()
	id := key.ID()
	steps := map[string]func(*seal.Keyring) error{
		"Promote": func(r *seal.Keyring) error { return r.Promote(id) },
		"Retire":  func(r *seal.Keyring) error { return r.Retire(id) },
		"Restore": func(r *seal.Keyring) error { return r.Restore(id) },
		"Destroy": func(r *seal.Keyring) error { return r.Destroy(id) },
	}
	refused := map[error]bool{seal.ErrKeyState: true, seal.ErrKeyDestroyed: true, seal.ErrUnknownKey: true}
	for _, c := range []struct {
		from  seal.State
		known bool
		want  map[string]any // the state after the step, or the error
	}{
		{from: seal.DecryptOnly, known: true, want: map[string]any{"Promote": seal.Primary, "Retire": seal.Disabled, "Restore": seal.ErrKeyState, "Destroy": seal.ErrKeyState}},
		{from: seal.Primary, known: true, want: map[string]any{"Promote": seal.Primary, "Retire": seal.ErrKeyState, "Restore": seal.ErrKeyState, "Destroy": seal.ErrKeyState}},
		{from: seal.Disabled, known: true, want: map[string]any{"Promote": seal.ErrKeyState, "Retire": seal.ErrKeyState, "Restore": seal.DecryptOnly, "Destroy": seal.Destroyed}},
		{from: seal.Destroyed, known: true, want: map[string]any{"Promote": seal.ErrKeyDestroyed, "Retire": seal.ErrKeyDestroyed, "Restore": seal.ErrKeyDestroyed, "Destroy": seal.ErrKeyDestroyed}},
		{known: false, want: map[string]any{"Promote": seal.ErrUnknownKey, "Retire": seal.ErrUnknownKey, "Restore": seal.ErrUnknownKey, "Destroy": seal.ErrUnknownKey}},
	} {
		for name, step := range steps {
			cfg := seal.Config{Keys: []seal.RingKey{{Key: first, Created: t0}}}
			switch {
			case c.known && c.from == seal.Destroyed:
				cfg.Keys = append(cfg.Keys, seal.RingKey{ID: id, State: c.from, Created: t0})
			case c.known:
				cfg.Keys = append(cfg.Keys, seal.RingKey{Key: key, State: c.from, Created: t0})
			}
			if c.from != seal.Primary {
				cfg.Keys[0].State = seal.Primary
			}
			ring, err := seal.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			before := ring.Keys()
			err = step(ring)
			var which *seal.KeyError
			switch want := c.want[name].(type) {
			case error:
				if !errors.Is(err, want) || !refused[want] || !errors.As(err, &which) || which.ID != id || !strings.Contains(err.Error(), id.String()) {
					t.Errorf("%s of %v: %v", name, c.from, err)
				}
				if fmt.Sprint(ring.Keys()) != fmt.Sprint(before) {
					t.Errorf("%s of %v was refused and changed the ring", name, c.from)
				}
			case seal.State:
				if err != nil {
					t.Errorf("%s of %v: %v", name, c.from, err)
				}
				primaries := 0
				for _, info := range ring.Keys() {
					if info.ID == id && info.State != want {
						t.Errorf("%s of %v led to %v", name, c.from, info.State)
					}
					if info.Created != t0 {
						t.Errorf("%s of %v forgot when the key was made", name, c.from)
					}
					if info.State == seal.Primary {
						primaries++
						if info.ID != ring.Primary() {
							t.Errorf("%s of %v: %v is primary, Primary says %v", name, c.from, info.ID, ring.Primary())
						}
					}
				}
				if primaries != 1 {
					t.Errorf("%s of %v: %d primary keys", name, c.from, primaries)
				}
			}
		}
	}
}

func TestAStepThatIsRefusedSaysWhichOneComesFirst(t *testing.T) {
	const id = "<id>"
	for name, c := range map[string]struct {
		from seal.State
		step func(*seal.Keyring, seal.ID) error
		want string
	}{
		"promote a disabled key":     {seal.Disabled, (*seal.Keyring).Promote, "seal: cannot promote key <id>: it is disabled; restore it first"},
		"retire the primary key":     {seal.Primary, (*seal.Keyring).Retire, "seal: cannot retire key <id>: it is the primary key; promote another one first"},
		"retire a disabled key":      {seal.Disabled, (*seal.Keyring).Retire, "seal: cannot retire key <id>: it is disabled already"},
		"restore a decrypt-only key": {seal.DecryptOnly, (*seal.Keyring).Restore, "seal: cannot restore key <id>: it is decrypt-only, not disabled"},
		"restore the primary key":    {seal.Primary, (*seal.Keyring).Restore, "seal: cannot restore key <id>: it is primary, not disabled"},
		"destroy a decrypt-only key": {seal.DecryptOnly, (*seal.Keyring).Destroy, "seal: cannot destroy key <id>: it is decrypt-only; retire it first"},
		"destroy the primary key": {seal.Primary, (*seal.Keyring).Destroy,
			"seal: cannot destroy key <id>: it is the primary key; promote another one and retire it first"},
	} {
		key, other := seal.RingKey{Key: numbered(1), State: c.from}, seal.RingKey{Key: numbered(2)}
		if c.from != seal.Primary {
			other.State = seal.Primary
		}
		ring, err := seal.New(seal.Config{Keys: []seal.RingKey{key, other}})
		if err != nil {
			t.Fatal(err)
		}
		err = c.step(ring, numbered(1).ID())
		if want := strings.Replace(c.want, id, numbered(1).ID().String(), 1); err == nil || err.Error() != want || !errors.Is(err, seal.ErrKeyState) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
}

func TestANewRingHasOnePrimaryKeyMadeNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := seal.NewRing()
		keys := ring.Keys()
		if len(keys) != 1 || keys[0].State != seal.Primary || keys[0].ID != ring.Primary() || !keys[0].Created.Equal(time.Now()) {
			t.Errorf("%v", keys)
		}
		same, err := seal.ParseKeyring(ring.Reveal())
		if err != nil || same.Primary() != ring.Primary() {
			t.Fatal(err)
		}
		if msg, err := same.Open(nil, mustSeal(t, ring, []byte("x"), here), here); err != nil || string(msg) != "x" {
			t.Error(err)
		}
		if seal.NewRing().Primary() == ring.Primary() {
			t.Error("two new rings have the same key")
		}
	})
}

func TestARingWithoutAPrimaryKeySaysWhatToSet(t *testing.T) {
	one := []seal.RingKey{{Key: numbered(1)}}
	for _, c := range []struct {
		keys []seal.RingKey
		want string
	}{{one, "set the RingKey.State of this one to Primary"}, {append(one, seal.RingKey{Key: numbered(2)}), "set the RingKey.State of one of them"}} {
		if _, err := seal.New(seal.Config{Keys: c.keys}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d keys: %v", len(c.keys), err)
		}
	}
}

func TestDisabledDestroyedAndUnknownKeysAreToldApart(t *testing.T) {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring := ringOf(t, old)
	box := mustSeal(t, ring, []byte("hello"), here)
	expect := func(when string, want error) {
		t.Helper()
		msg, err := ring.Open(nil, box, here)
		if want == nil {
			if err != nil || string(msg) != "hello" {
				t.Errorf("%s: %v", when, err)
			}
			return
		}
		var which *seal.KeyError
		if msg != nil || !errors.Is(err, want) || errors.Is(err, seal.ErrInvalid) || !errors.As(err, &which) || which.ID != old.ID() {
			t.Errorf("%s: %v", when, err)
		}
		if out, err := ring.Reseal(nil, box, here); out != nil || !errors.Is(err, want) {
			t.Errorf("%s: Reseal %v", when, err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(ring.Add(newer, t0))
	do(ring.Promote(newer.ID()))
	expect("decrypt-only", nil)
	do(ring.Retire(old.ID()))
	expect("retired", seal.ErrKeyDisabled)
	do(ring.Restore(old.ID()))
	expect("restored", nil)
	do(ring.Retire(old.ID()))
	do(ring.Destroy(old.ID()))
	expect("destroyed", seal.ErrKeyDestroyed)
	for _, k := range ring.Config().Keys {
		if (k.Key.Reveal() == "") != (k.ID == old.ID()) {
			t.Error("the ring has not forgotten the destroyed key, or the other one")
		}
	}
	if err := ring.Add(old, t0); !errors.Is(err, seal.ErrKeyExists) {
		t.Errorf("a destroyed key came back: %v", err)
	}
	ring = ringOf(t, newer)
	expect("never there", seal.ErrUnknownKey)

	// A tombstone given to New does the same.
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: newer, State: seal.Primary}, {ID: old.ID(), State: seal.Destroyed}}})
	do(err)
	expect("destroyed from the start", seal.ErrKeyDestroyed)
}

// Five processes replace their key, one of them after the other in every step and in a random order. Between any two moves every
// process seals, and every process opens all there is in the store. A stream that each process has begun before the first step is closed
// when all have promoted the new key.
func TestTheFourStepsNeverMeetAnUnknownKey(t *testing.T) {
	for seed := range uint64(20) {
		if failures := rotate(t, seed, func(p *seal.Keyring, key seal.Key) []error { return []error{p.Add(key, t0)} }); failures != 0 {
			t.Errorf("seed %d: %d boxes did not open", seed, failures)
		}
	}
	// The other way round, to see that the test would notice.
	if rotate(t, 1, func(p *seal.Keyring, key seal.Key) []error { return []error{p.Add(key, t0), p.Promote(key.ID())} }) == 0 {
		t.Error("adding and promoting at once did no harm: this test shows nothing")
	}
}

func rotate(t *testing.T, seed uint64, add func(*seal.Keyring, seal.Key) []error) (failures int) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	var processes []*seal.Keyring
	for range 5 {
		processes = append(processes, ringOf(t, old))
	}
	type row struct {
		box []byte
		at  seal.Context
	}
	var store []row
	traffic := func() {
		for i, p := range processes {
			c := seal.Context{Purpose: "test", Subject: fmt.Sprint(len(store), i)}
			store = append(store, row{mustSeal(t, p, []byte(c.Subject), c), c})
		}
		for _, p := range processes {
			for _, r := range store {
				if msg, err := p.Open(nil, r.box, r.at); err != nil || string(msg) != r.at.Subject {
					failures++
				}
			}
		}
	}
	type upload struct {
		out bytes.Buffer
		w   *seal.Writer
		at  seal.Context
	}
	uploads := make([]upload, len(processes))
	for i, p := range processes {
		u := &uploads[i]
		u.at = seal.Context{Purpose: "test", Subject: fmt.Sprint("upload", i)}
		u.w = newWriter(t, p, &u.out, u.at, 1)
		if _, err := u.w.Write([]byte("begun ")); err != nil {
			t.Fatal(err)
		}
	}
	everywhere := func(step func(*seal.Keyring) []error) {
		for _, i := range rnd.Perm(len(processes)) {
			if err := errors.Join(step(processes[i])...); err != nil {
				t.Fatal(err)
			}
			traffic()
		}
	}
	traffic()
	everywhere(func(p *seal.Keyring) []error { return add(p, newer) })
	everywhere(func(p *seal.Keyring) []error { return []error{p.Promote(newer.ID())} })
	for i := range uploads {
		u := &uploads[i]
		if _, err := u.w.Write([]byte("and ended")); err != nil || u.w.Close() != nil {
			failures++
		}
		// There is no Reseal of streams: they are copied.
		p := processes[rnd.IntN(len(processes))]
		if !p.NeedsReseal(u.out.Bytes()) {
			t.Error("a stream of the old key need not be resealed")
		}
		r, err := p.NewReader(bytes.NewReader(u.out.Bytes()), u.at)
		if err != nil {
			failures++
			continue
		}
		var out bytes.Buffer
		w := newWriter(t, p, &out, u.at, 1)
		if _, err := io.Copy(w, r); w.CloseWithError(err) != nil || p.NeedsReseal(out.Bytes()) {
			failures++
		}
		u.out = out
	}
	for i := range store {
		p := processes[rnd.IntN(len(processes))]
		if !p.NeedsReseal(store[i].box) {
			continue
		}
		box, err := p.Reseal(nil, store[i].box, store[i].at)
		if err != nil {
			failures++
			continue
		}
		store[i].box = box
		if i%10 == 0 {
			traffic()
		}
	}
	everywhere(func(p *seal.Keyring) []error { return []error{p.Retire(old.ID())} })
	everywhere(func(p *seal.Keyring) []error { return []error{p.Destroy(old.ID())} })
	for _, p := range processes {
		for i := range uploads {
			if msg, err := readAll(p, uploads[i].out.Bytes(), uploads[i].at); err != nil || string(msg) != "begun and ended" {
				failures++
			}
		}
	}
	return failures
}

func TestTenRotationsAtOnceLoseNothing(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	var stop atomic.Bool
	var readers, rotations sync.WaitGroup
	// Readers and writers all the while: what was sealed a moment ago opens, unless its key was retired in between by one of the
	// rotations, which is an error of its own kind.
	for g := range 4 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				c := seal.Context{Purpose: "test", Subject: fmt.Sprint(g, i)}
				box, err := ring.Seal(nil, []byte(c.Subject), c)
				if err != nil {
					t.Error(err)
					return
				}
				msg, err := ring.Open(nil, box, c)
				if !errors.Is(err, seal.ErrKeyDisabled) && (err != nil || string(msg) != c.Subject) {
					t.Error(err)
					return
				}
				_, _, _ = ring.Keys(), ring.Primary(), fmt.Sprint(ring)
			}
		})
	}
	kept := make([][]byte, 10)
	for g := range kept {
		rotations.Go(func() {
			for range 20 {
				key := seal.GenerateKey()
				for _, err := range []error{ring.Add(key, time.Now()), ring.Promote(key.ID())} {
					if err != nil {
						t.Error(err)
						return
					}
				}
				// A box of this key's own, moved on by whoever is primary now.
				box, err := ringOf(t, key).Seal(nil, []byte("kept"), here)
				if err == nil {
					kept[g], err = ring.Reseal(nil, box, here)
				}
				if err != nil {
					t.Error(err)
					return
				}
				// Another rotation may have promoted its key or not: only a key that is not primary can be retired.
				if err := ring.Retire(key.ID()); err != nil && !errors.Is(err, seal.ErrKeyState) {
					t.Error(err)
				}
				if err := ring.Restore(key.ID()); err != nil && !errors.Is(err, seal.ErrKeyState) {
					t.Error(err)
				}
			}
		})
	}
	rotations.Wait()
	stop.Store(true)
	readers.Wait()
	infos := ring.Keys()
	if len(infos) != 201 {
		t.Errorf("%d keys, want 201", len(infos))
	}
	primaries := 0
	for i, info := range infos {
		if info.State == seal.Primary {
			primaries++
		}
		if i > 0 && bytes.Compare(infos[i-1].ID[:], info.ID[:]) >= 0 {
			t.Error("the keys are not in order")
		}
	}
	if primaries != 1 {
		t.Errorf("%d primary keys", primaries)
	}
	for _, box := range kept {
		if msg, err := ring.Open(nil, box, here); err != nil || string(msg) != "kept" {
			t.Errorf("%q %v", msg, err)
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	if got := fmt.Sprint(seal.DecryptOnly, seal.Primary, seal.Disabled, seal.Destroyed, seal.State(7)); got != "decrypt-only primary disabled destroyed State(7)" {
		t.Error(got)
	}
}

func TestAKeyErrorIsReadableWhateverItsCause(t *testing.T) {
	for want, err := range map[string]error{
		"seal: unknown key 01020304":                       &seal.KeyError{ID: seal.ID{1, 2, 3, 4}, Err: seal.ErrUnknownKey},
		"seal: not possible in the present state of key 0": &seal.KeyError{ID: seal.ID{1, 2, 3, 4}, Err: seal.ErrKeyState},
		"01020304": &seal.KeyError{ID: seal.ID{1, 2, 3, 4}},
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
