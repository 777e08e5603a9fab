package shred_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/internal/prints"
)

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func newRing(t testing.TB) *seal.Keyring {
	t.Helper()
	return must(seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}}))
}

func newSubjects(t testing.TB, change ...func(*shred.Config)) *shred.Subjects {
	t.Helper()
	cfg := shred.Config{Store: shred.NewMemoryStore(), Ring: newRing(t), AliasKey: seal.GenerateKey()}
	for _, f := range change {
		f(&cfg)
	}
	return must(shred.New(cfg))
}

func of(subject string) seal.Context {
	return seal.Context{Purpose: "chat.message", Tenant: "acme", Subject: subject, Path: "7"}
}

func who(subject string) shred.Subject { return shred.Subject{Tenant: "acme", ID: subject} }

// stores are the implementations, each with a second handle as another process has.
func stores(t *testing.T, f func(t *testing.T, a, b shred.Store)) {
	t.Run("memory", func(t *testing.T) {
		s := shred.NewMemoryStore()
		f(t, s, s)
	})
	t.Run("file", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "subjects")
		f(t, must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true})), must(shred.NewFileStore(shred.FileConfig{Dir: dir})))
	})
}

func TestABoxOpensForItsSubjectInItsPlaceOnly(t *testing.T) {
	stores(t, func(t *testing.T, a, b shred.Store) {
		ring, alias := newRing(t), seal.GenerateKey()
		one := must(shred.New(shred.Config{Store: a, Ring: ring, AliasKey: alias}))
		other := must(shred.New(shred.Config{Store: b, Ring: ring, AliasKey: alias}))
		box := must(one.Seal(t.Context(), []byte("before"), []byte("hello"), of("alice")))
		for _, s := range []*shred.Subjects{one, other} {
			if msg, err := s.Open(t.Context(), []byte("x"), box[len("before"):], of("alice")); string(msg) != "xhello" || err != nil {
				t.Errorf("%q, %v", msg, err)
			}
		}
		box = box[len("before"):]
		must(one.Seal(t.Context(), nil, nil, of("bob")))
		for name, c := range map[string]seal.Context{
			"another subject": of("bob"),
			"another path":    {Purpose: "chat.message", Tenant: "acme", Subject: "alice", Path: "8"},
			"another purpose": {Purpose: "chat", Tenant: "acme", Subject: "alice", Path: "7"},
		} {
			var unknown *seal.KeyError
			if _, err := one.Open(t.Context(), nil, box, c); !errors.Is(err, seal.ErrInvalid) && !errors.As(err, &unknown) {
				t.Errorf("%s: %v", name, err)
			}
		}
		elsewhere := of("alice")
		elsewhere.Tenant = "evil"
		if _, err := one.Open(t.Context(), nil, box, elsewhere); !errors.Is(err, shred.ErrNoKey) {
			t.Errorf("another tenant: %v", err)
		}
	})
}

func TestTheContextIsMandatory(t *testing.T) {
	s := newSubjects(t)
	long := strings.Repeat("x", seal.MaxContextField+1)
	for _, c := range []seal.Context{{}, {Purpose: "p"}, {Purpose: "p", Tenant: "acme"}, {Purpose: "p", Subject: long}, {Purpose: "p", Tenant: long, Subject: "a"}} {
		if _, err := s.Seal(t.Context(), nil, nil, c); !errors.Is(err, shred.ErrContext) {
			t.Errorf("%.40v: %v", c, err)
		}
		if _, err := s.Open(t.Context(), nil, nil, c); !errors.Is(err, shred.ErrContext) {
			t.Errorf("%.40v: %v", c, err)
		}
	}
	if _, err := s.Seal(t.Context(), nil, nil, seal.Context{Subject: "a"}); !errors.Is(err, seal.ErrContext) {
		t.Errorf("without a purpose: %v", err)
	}
	if _, err := s.Shred(t.Context(), shred.Subject{Tenant: "acme"}); !errors.Is(err, shred.ErrContext) {
		t.Errorf("Shred of nobody: %v", err)
	}
}

// The pairs would look the same if the names were only written one after the other.
func TestTwoSubjectsNeverHaveOneAlias(t *testing.T) {
	s := newSubjects(t)
	seen := map[shred.Alias]shred.Subject{}
	for _, who := range []shred.Subject{{"a", "b"}, {"", "ab"}, {"ab", "c"}, {"a", "bc"}, {"a\x00", "b"}, {"a", "\x00b"}, {"b", "a"}, {"", "a"}, {"", "b"}} {
		a := must(s.Alias(who))
		if twin, ok := seen[a]; ok {
			t.Errorf("%q and %q", who, twin)
		}
		seen[a] = who
	}
	if a := must(newSubjects(t).Alias(shred.Subject{"a", "b"})); seen[a] != (shred.Subject{}) {
		t.Error("the alias does not depend on the AliasKey")
	}
}

func TestAfterShredNothingOpensAnywhere(t *testing.T) {
	stores(t, func(t *testing.T, a, b shred.Store) {
		ring, alias := newRing(t), seal.GenerateKey()
		one := must(shred.New(shred.Config{Store: a, Ring: ring, AliasKey: alias}))
		other := must(shred.New(shred.Config{Store: b, Ring: ring, AliasKey: alias}))
		var boxes [][]byte
		for range 20 {
			boxes = append(boxes, must(one.Seal(t.Context(), nil, []byte("hello"), of("alice"))))
		}
		bobs := must(one.Seal(t.Context(), nil, []byte("hello"), of("bob")))
		must(other.Open(t.Context(), nil, boxes[0], of("alice"))) // it has the key in memory now
		must(one.Shred(t.Context(), who("alice")))
		restarted := must(shred.New(shred.Config{Store: b, Ring: ring, AliasKey: alias}))
		for _, s := range []*shred.Subjects{one, other, restarted} {
			for _, box := range boxes {
				if msg, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) || msg != nil {
					t.Errorf("%q, %v", msg, err)
				}
			}
			if _, err := s.Seal(t.Context(), nil, nil, of("alice")); !errors.Is(err, shred.ErrShredded) {
				t.Errorf("Seal: %v", err)
			}
			if msg, err := s.Open(t.Context(), nil, bobs, of("bob")); string(msg) != "hello" || err != nil {
				t.Errorf("of somebody else: %q, %v", msg, err)
			}
		}
	})
}

func TestAStreamOfASubjectIsShreddedToo(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("streams cannot be made under GODEBUG=fips140=only")
	}
	s := newSubjects(t)
	var file bytes.Buffer
	w := must(s.NewWriter(t.Context(), &file, of("alice")))
	must(io.WriteString(w, strings.Repeat("hello", 10_000)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := must(s.NewReader(t.Context(), bytes.NewReader(file.Bytes()), of("alice")))
	if all, err := io.ReadAll(r); len(all) != 50_000 || err != nil {
		t.Errorf("%d bytes, %v", len(all), err)
	}
	must(s.Shred(t.Context(), who("alice")))
	if _, err := s.NewReader(t.Context(), bytes.NewReader(file.Bytes()), of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Errorf("NewReader: %v", err)
	}
	if _, err := s.NewWriter(t.Context(), &file, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Errorf("NewWriter: %v", err)
	}
}

// A key that could be derived again could not be destroyed.
func TestAKeyIsRandomAndNotDerived(t *testing.T) {
	ring, alias := newRing(t), seal.GenerateKey()
	seen := map[shred.Fingerprint]bool{}
	for range 50 {
		mem := shred.NewMemoryStore()
		s := must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias}))
		must(s.Seal(t.Context(), nil, nil, of("alice")))
		r := must(mem.Get(t.Context(), must(s.Alias(who("alice")))))
		if seen[r.Key] {
			t.Fatal("the same subject, ring and alias key give the same key")
		}
		seen[r.Key] = true
	}
}

// slow lets a test act between the moment when a record is read and the moment when it arrives.
type slow struct {
	shred.Store
	arrived, leaving atomic.Pointer[func()]
}

func (s *slow) Put(ctx context.Context, r shred.Record) (shred.Record, error) {
	if f := s.leaving.Swap(nil); f != nil {
		(*f)()
	}
	return s.Store.Put(ctx, r)
}

func (s *slow) Get(ctx context.Context, a shred.Alias) (shred.Record, error) {
	r, err := s.Store.Get(ctx, a)
	if f := s.arrived.Swap(nil); f != nil {
		(*f)()
	}
	return r, err
}

func TestALateCacheFillDoesNotBringAKeyBack(t *testing.T) {
	store := &slow{Store: shred.NewMemoryStore()}
	ring, alias := newRing(t), seal.GenerateKey()
	s := must(shred.New(shred.Config{Store: store, Ring: ring, AliasKey: alias}))
	box := must(s.Seal(t.Context(), nil, []byte("hello"), of("alice")))
	// A cache that is trusted for an hour would open for that long, had the key got into it.
	cached := must(shred.New(shred.Config{Store: store, Ring: ring, AliasKey: alias, TrustCache: time.Hour}))
	between := func() { must(cached.Shred(t.Context(), who("alice"))) }
	store.arrived.Store(&between)
	if _, err := cached.Open(t.Context(), nil, box, of("alice")); err != nil {
		t.Errorf("an Open that began before Shred: %v", err)
	}
	if _, err := cached.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Errorf("an Open that began after Shred had returned: %v", err)
	}
}

func TestAKeyThatIsReadWhileItIsShreddedDoesNotStay(t *testing.T) {
	store := &slow{Store: shred.NewMemoryStore()}
	s := newSubjects(t, func(c *shred.Config) { c.Store, c.TrustCache = store, time.Hour })
	box := must(s.Seal(t.Context(), nil, []byte("hello"), of("alice")))
	between := func() { must(s.Open(t.Context(), nil, box, of("alice"))) }
	store.leaving.Store(&between)
	must(s.Shred(t.Context(), who("alice")))
	if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Errorf("after Shred: %v", err)
	}
}

func TestATombstoneOfAReplicaEndsATrustedCache(t *testing.T) {
	store, alias := &slow{Store: shred.NewMemoryStore()}, seal.GenerateKey()
	s := newSubjects(t, func(c *shred.Config) { c.Store, c.TrustCache, c.AliasKey = store, time.Hour, alias })
	replica := newSubjects(t, func(c *shred.Config) { c.AliasKey = alias })
	box := must(s.Seal(t.Context(), nil, []byte("hello"), of("alice")))
	proof := must(replica.Shred(t.Context(), who("alice")))
	between := func() { must(s.Open(t.Context(), nil, box, of("alice"))) }
	store.leaving.Store(&between)
	if n, err := s.Apply(t.Context(), []shred.Tombstone{proof}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Errorf("after Apply: %v", err)
	}
}

func TestATrustedCacheEndsAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, ring, alias := shred.NewMemoryStore(), newRing(t), seal.GenerateKey()
		one := must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias, TrustCache: time.Minute}))
		other := must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias, TrustCache: time.Minute}))
		box := must(one.Seal(t.Context(), nil, nil, of("alice")))
		must(other.Open(t.Context(), nil, box, of("alice")))
		time.Sleep(30 * time.Second)
		must(one.Shred(t.Context(), who("alice")))
		if _, err := one.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
			t.Errorf("the process that shredded: %v", err)
		}
		time.Sleep(30*time.Second - 1)
		must(other.Open(t.Context(), nil, box, of("alice"))) // as configured
		time.Sleep(time.Nanosecond)
		if _, err := other.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
			t.Errorf("another process a minute after it has asked: %v", err)
		}
	})
}

// broken is a store that is away.
type broken struct{ shred.Store }

var errAway = errors.New("connection lost")

func (broken) Get(context.Context, shred.Alias) (shred.Record, error) {
	return shred.Record{}, errAway
}

func TestAStoreThatIsAwayOpensNothing(t *testing.T) {
	mem, ring, alias := shred.NewMemoryStore(), newRing(t), seal.GenerateKey()
	box := must(must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias})).Seal(t.Context(), nil, nil, of("alice")))
	s := must(shred.New(shred.Config{Store: broken{mem}, Ring: ring, AliasKey: alias}))
	if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, errAway) {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.Seal(t.Context(), nil, nil, of("alice")); !errors.Is(err, errAway) {
		t.Errorf("Seal: %v", err)
	}
	if _, err := s.Shred(t.Context(), who("alice")); !errors.Is(err, errAway) {
		t.Errorf("Shred: %v; nobody may think that it has happened", err)
	}
}

func TestShredNeedsNoKeyOfTheRing(t *testing.T) {
	mem, alias := shred.NewMemoryStore(), seal.GenerateKey()
	s := must(shred.New(shred.Config{Store: mem, Ring: newRing(t), AliasKey: alias}))
	box := must(s.Seal(t.Context(), nil, nil, of("alice")))
	lost := must(shred.New(shred.Config{Store: mem, Ring: newRing(t), AliasKey: alias}))
	var unknown *seal.KeyError
	if _, err := lost.Open(t.Context(), nil, box, of("alice")); !errors.As(err, &unknown) {
		t.Errorf("Open without the ring's key: %v", err)
	}
	must(lost.Shred(t.Context(), who("alice")))
	if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Error(err)
	}
}

func TestTheProofSaysWhatAndWhenAndNothingPersonal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := shred.NewMemoryStore()
		s := newSubjects(t, func(c *shred.Config) { c.Store = mem })
		must(s.Seal(t.Context(), nil, nil, of("alice@example.com")))
		key := must(mem.Get(t.Context(), must(s.Alias(who("alice@example.com"))))).Key
		if _, err := s.Proof(t.Context(), who("alice@example.com")); !errors.Is(err, shred.ErrNotFound) {
			t.Errorf("a proof before: %v", err)
		}
		time.Sleep(time.Hour)
		proof := must(s.Shred(t.Context(), who("alice@example.com")))
		if proof.Key != key || proof.Counter != 1 || !proof.Time.Equal(time.Now()) || proof.Subject != must(s.Alias(who("alice@example.com"))) || s.Check(proof) != nil {
			t.Errorf("%v", proof)
		}
		text := proof.String() + fmt.Sprint(proof.LogValue())
		for _, word := range []string{"alice", "example", "acme"} {
			if strings.Contains(text, word) {
				t.Errorf("%q in %s", word, text)
			}
		}
		time.Sleep(time.Hour)
		if again := must(s.Shred(t.Context(), who("alice@example.com"))); again != proof {
			t.Errorf("a second time: %v, want the first proof %v", again, proof)
		}
		if again := must(s.Proof(t.Context(), who("alice@example.com"))); again != proof {
			t.Errorf("Proof: %v", again)
		}
		if none := must(s.Shred(t.Context(), who("nobody"))); none.Key != (shred.Fingerprint{}) || none.Counter != 2 {
			t.Errorf("of somebody without a key: %v", none)
		}
		if _, err := s.Seal(t.Context(), nil, nil, of("nobody")); !errors.Is(err, shred.ErrShredded) {
			t.Error(err)
		}
		if back, err := shred.ParseTombstone([]byte(proof.String())); err != nil || back != proof {
			t.Errorf("%v, %v", back, err)
		}
	})
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTombstonesAppliedToAnOldStoreKeepTheShreddedDead(t *testing.T) {
	dir := t.TempDir()
	live, old := filepath.Join(dir, "live"), filepath.Join(dir, "old")
	ring, alias := newRing(t), seal.GenerateKey()
	open := func(path string) *shred.Subjects {
		return must(shred.New(shred.Config{Store: must(shred.NewFileStore(shred.FileConfig{Dir: path, Create: path == live})), Ring: ring, AliasKey: alias}))
	}
	s := open(live)
	boxes := map[string][]byte{}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		boxes[name] = must(s.Seal(t.Context(), nil, []byte(name), of(name)))
	}
	must(s.Shred(t.Context(), who("dave")))
	copyDir(t, live, old) // the backup
	var proofs []shred.Tombstone
	for _, name := range []string{"alice", "bob"} {
		proofs = append(proofs, must(s.Shred(t.Context(), who(name))))
	}
	restored := open(old)
	if _, err := restored.Open(t.Context(), nil, boxes["alice"], of("alice")); err != nil {
		t.Fatalf("the backup does not have the key, so this test proves nothing: %v", err)
	}
	var all []shred.Tombstone
	for p, err := range s.Tombstones(t.Context()) {
		all = append(all, must(p, err))
	}
	if n, err := restored.Apply(t.Context(), all); n != 2 || err != nil {
		t.Errorf("%d applied, %v; want the two that are new", n, err)
	}
	if n, err := restored.Apply(t.Context(), proofs); n != 0 || err != nil {
		t.Errorf("again: %d applied, %v", n, err)
	}
	for name, want := range map[string]error{"alice": shred.ErrShredded, "bob": shred.ErrShredded, "dave": shred.ErrShredded, "carol": nil} {
		if _, err := restored.Open(t.Context(), nil, boxes[name], of(name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for _, p := range proofs {
		if _, err := os.Stat(filepath.Join(old, p.Subject.String()[:2], p.Subject.String()+".key")); err == nil {
			t.Error("the wrapped key is still there")
		}
	}
	if proof := must(restored.Proof(t.Context(), who("alice"))); proof != proofs[0] {
		t.Errorf("the proof is now %v, was %v", proof, proofs[0])
	}
	if next := must(restored.Shred(t.Context(), who("carol"))); next.Counter != 4 {
		t.Errorf("the next tombstone has number %d, and three are there", next.Counter)
	}
}

func TestTombstonesAreCopiedFromStoreToStore(t *testing.T) {
	stores(t, func(t *testing.T, from, _ shred.Store) {
		ring, alias, to := newRing(t), seal.GenerateKey(), shred.NewMemoryStore()
		a, b := must(shred.New(shred.Config{Store: from, Ring: ring, AliasKey: alias})), must(shred.New(shred.Config{Store: to, Ring: ring, AliasKey: alias}))
		box := must(b.Seal(t.Context(), nil, nil, of("0")))
		var proofs []shred.Tombstone
		for i := range 10 {
			proofs = append(proofs, must(a.Shred(t.Context(), who(fmt.Sprint(i)))))
		}
		if n, err := shred.CopyTombstones(t.Context(), to, from); n != 10 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := shred.CopyTombstones(t.Context(), to, from); n != 0 || err != nil {
			t.Errorf("again: %d, %v", n, err)
		}
		if _, err := b.Open(t.Context(), nil, box, of("0")); !errors.Is(err, shred.ErrShredded) {
			t.Error(err)
		}
		for i, p := range proofs[1:] {
			if got := must(b.Proof(t.Context(), who(fmt.Sprint(i+1)))); got != p {
				t.Errorf("%v, want %v", got, p)
			}
		}
	})
}

func TestAnOldKeyCopiedBackIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "subjects")
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	s := newSubjects(t, func(c *shred.Config) { c.Store = store })
	box := must(s.Seal(t.Context(), nil, nil, of("alice")))
	name := must(s.Alias(who("alice"))).String()
	key := filepath.Join(dir, name[:2], name+".key")
	old := must(os.ReadFile(key))
	must(s.Shred(t.Context(), who("alice")))
	if err := os.WriteFile(key, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrShredded) {
		t.Error(err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("it is still there")
	}
}

func TestShredRemovesWhatADyingWriterHasLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub[j]ects*") // no pattern, whatever it looks like
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	s := newSubjects(t, func(c *shred.Config) { c.Store = store })
	must(s.Seal(t.Context(), nil, nil, of("alice")))
	name := must(s.Alias(who("alice"))).String()
	key := must(os.ReadFile(filepath.Join(dir, name[:2], name+".key")))
	if err := os.WriteFile(filepath.Join(dir, name[:2], "."+name+".key.123.tmp"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	must(s.Shred(t.Context(), who("alice")))
	if list := must(os.ReadDir(filepath.Join(dir, name[:2]))); len(list) != 1 || list[0].Name() != name+".gone" {
		t.Errorf("%v", list)
	}
}

func TestATombstoneThatCannotBeReadIsNotTakenForNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "subjects")
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	s := newSubjects(t, func(c *shred.Config) { c.Store = store })
	box := must(s.Seal(t.Context(), nil, nil, of("alice")))
	name := must(s.Alias(who("alice"))).String()
	key, gone := filepath.Join(dir, name[:2], name+".key"), filepath.Join(dir, name[:2], name+".gone")
	old := must(os.ReadFile(key))
	must(s.Shred(t.Context(), who("alice")))
	whole := must(os.ReadFile(gone))
	for _, text := range []string{"", "{}", string(whole[:len(whole)-3]), string(old), string(whole) + "\n"} {
		if err := errors.Join(os.WriteFile(key, old, 0o600), os.WriteFile(gone, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), nil, box, of("alice")); !errors.Is(err, shred.ErrUnreadable) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := s.Shred(t.Context(), who("alice")); !errors.Is(err, shred.ErrUnreadable) {
			t.Errorf("%q: Shred: %v", text, err)
		}
	}
}

func TestATombstoneIsOnlyAppliedWhenItIsGenuine(t *testing.T) {
	mem := shred.NewMemoryStore()
	s := newSubjects(t, func(c *shred.Config) { c.Store = mem })
	stranger := newSubjects(t)
	box := must(s.Seal(t.Context(), nil, nil, of("alice")))
	good := must(s.Shred(t.Context(), who("bob")))
	forged := good
	forged.Subject = must(s.Alias(who("alice")))
	later, renumbered, other := good, good, good
	later.Time = later.Time.Add(time.Microsecond)
	renumbered.Counter++
	other.Key[0] ^= 1
	for name, bad := range map[string]shred.Tombstone{
		"of another subject": forged, "later": later, "renumbered": renumbered, "of another key": other, "empty": {},
		"of a stranger": must(stranger.Shred(t.Context(), who("alice"))),
	} {
		if err := s.Check(bad); !errors.Is(err, shred.ErrTombstone) {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := s.Apply(t.Context(), []shred.Tombstone{good, bad}); n != 0 || !errors.Is(err, shred.ErrTombstone) {
			t.Errorf("%s: %d applied, %v", name, n, err)
		}
	}
	must(s.Open(t.Context(), nil, box, of("alice")))
}

func TestAKeyThatWasMovedInTheStoreOpensNothing(t *testing.T) {
	mem, ring, alias := shred.NewMemoryStore(), newRing(t), seal.GenerateKey()
	s := must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias}))
	must(s.Seal(t.Context(), nil, nil, of("alice")))
	box := must(s.Seal(t.Context(), nil, nil, of("bob")))
	alice, bob := must(mem.Get(t.Context(), must(s.Alias(who("alice"))))), must(mem.Get(t.Context(), must(s.Alias(who("bob")))))
	for name, spoil := range map[string]func(*shred.Record){
		"the box of alice":              func(r *shred.Record) { r.Box = alice.Box },
		"box and fingerprint of alice":  func(r *shred.Record) { r.Box, r.Key = alice.Box, alice.Key },
		"the fingerprint of alice":      func(r *shred.Record) { r.Key = alice.Key },
		"something else under the ring": func(r *shred.Record) { r.Box = must(ring.Seal(nil, []byte("x"), seal.Context{Purpose: "x"})) },
	} {
		other := shred.NewMemoryStore()
		r := bob
		r.Version = 0
		spoil(&r)
		must(other.Put(t.Context(), r))
		fresh := must(shred.New(shred.Config{Store: other, Ring: ring, AliasKey: alias}))
		if _, err := fresh.Open(t.Context(), nil, box, of("bob")); !errors.Is(err, shred.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRingRotatesUnderTheSubjects(t *testing.T) {
	stores(t, func(t *testing.T, a, b shred.Store) {
		ring, alias := newRing(t), seal.GenerateKey()
		s := must(shred.New(shred.Config{Store: a, Ring: ring, AliasKey: alias}))
		const n = 30
		boxes := make([][]byte, n)
		for i := range boxes {
			boxes[i] = must(s.Seal(t.Context(), nil, nil, of(fmt.Sprint(i))))
		}
		must(s.Shred(t.Context(), who("0")))
		old, newer := ring.Primary(), seal.GenerateKey()
		if err := errors.Join(ring.Add(newer, time.Time{}), ring.Promote(newer.ID())); err != nil {
			t.Fatal(err)
		}
		if done, err := s.Rewrap(t.Context()); done != n-1 || err != nil {
			t.Errorf("%d keys wrapped anew, %v", done, err)
		}
		if done, err := s.Rewrap(t.Context()); done != 0 || err != nil {
			t.Errorf("again: %d, %v", done, err)
		}
		if err := errors.Join(ring.Retire(old), ring.Destroy(old)); err != nil {
			t.Fatal(err)
		}
		fresh := must(shred.New(shred.Config{Store: b, Ring: ring, AliasKey: alias}))
		for i := 1; i < n; i++ {
			if _, err := fresh.Open(t.Context(), nil, boxes[i], of(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	for _, max := range []int{-1, 1, 2, 3, 10, 100} {
		s := newSubjects(t, func(c *shred.Config) { c.CacheKeys = max })
		for i := range 500 {
			c := of(fmt.Sprint(i % 300))
			box := must(s.Seal(t.Context(), nil, nil, c))
			must(s.Open(t.Context(), nil, box, c))
			if n := s.Cached(); n > max && max > 0 || n > 0 && max < 0 {
				t.Fatalf("%d keys are in memory, at most %d should be", n, max)
			}
		}
		if max > 0 && s.Cached() == 0 {
			t.Error("nothing is kept")
		}
	}
}

func TestOfTwoProcessesThatMakeAKeyAtOnceOneWins(t *testing.T) {
	stores(t, func(t *testing.T, a, b shred.Store) {
		ring, alias := newRing(t), seal.GenerateKey()
		one := must(shred.New(shred.Config{Store: a, Ring: ring, AliasKey: alias}))
		other := must(shred.New(shred.Config{Store: b, Ring: ring, AliasKey: alias}))
		for i := range 20 {
			c := of(fmt.Sprint(i))
			boxes := make([][]byte, 8)
			var wg sync.WaitGroup
			for j := range boxes {
				wg.Go(func() { boxes[j] = must([]*shred.Subjects{one, other}[j%2].Seal(t.Context(), nil, []byte("x"), c)) })
			}
			wg.Wait()
			for _, box := range boxes {
				must(one.Open(t.Context(), nil, box, c))
				must(other.Open(t.Context(), nil, box, c))
			}
		}
	})
}

// 10^5 calls of Seal, Open, Shred and Apply at once by several processes on one store: whatever begins after a Shred has returned opens
// nothing, and whatever nobody shredded opens.
func TestRacingSealAndShred(t *testing.T) {
	const subjects, workers = 200, 8
	operations := 100_000
	if testing.Short() {
		operations = 10_000
	}
	mem, ring, alias := shred.NewMemoryStore(), newRing(t), seal.GenerateKey()
	processes := make([]*shred.Subjects, 3)
	for i := range processes {
		processes[i] = must(shred.New(shred.Config{Store: mem, Ring: ring, AliasKey: alias, CacheKeys: subjects / 4}))
	}
	var shredded [subjects]atomic.Bool // set when Shred has returned
	var started [subjects]atomic.Bool  // set before it is called
	boxes := make([][]byte, subjects)
	for i := range boxes {
		boxes[i] = must(processes[0].Seal(t.Context(), nil, []byte("hello"), of(fmt.Sprint(i))))
	}
	var opens, refused, done atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for range operations / workers {
				i, p := random.IntN(subjects), processes[random.IntN(len(processes))]
				before, c := shredded[i].Load(), of(fmt.Sprint(i))
				var err error
				switch x := random.IntN(1000); {
				case x < 2 && i%2 == 0: // half of the subjects live on
					started[i].Store(true)
					must(p.Shred(t.Context(), who(fmt.Sprint(i))))
					shredded[i].Store(true)
					continue
				case x < 500:
					_, err = p.Seal(t.Context(), nil, []byte("hello"), c)
				default:
					_, err = p.Open(t.Context(), nil, boxes[i], c)
				}
				switch {
				case err == nil && before:
					t.Error("a call that began after Shred had returned succeeds")
				case err == nil:
					opens.Add(1)
				case errors.Is(err, shred.ErrShredded) && started[i].Load():
					refused.Add(1)
				default:
					t.Errorf("subject %d: %v", i, err)
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	after := 0
	for i := range subjects {
		for _, p := range processes {
			if _, err := p.Open(t.Context(), nil, boxes[i], of(fmt.Sprint(i))); (err == nil) == shredded[i].Load() {
				t.Errorf("subject %d, shredded %v: %v", i, shredded[i].Load(), err)
			} else if err == nil && shredded[i].Load() {
				after++
			}
		}
	}
	t.Logf("report: %d calls succeeded, %d were refused, 0 of them after Shred had returned", opens.Load(), refused.Load())
	if refused.Load() == 0 || opens.Load() == 0 || after != 0 {
		t.Error("nothing was proved")
	}
}

func TestNewListsEverythingThatIsWrong(t *testing.T) {
	_, err := shred.New(shred.Config{TrustCache: -1})
	for _, word := range []string{"Store", "Ring", "AliasKey", "TrustCache"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
}

func TestTheZeroSubjectsRefuseEverything(t *testing.T) {
	for _, s := range []*shred.Subjects{nil, {}} {
		var errs []error
		_, err := s.Seal(t.Context(), nil, nil, of("a"))
		errs = append(errs, err)
		_, err = s.Open(t.Context(), nil, nil, of("a"))
		errs = append(errs, err)
		_, err = s.NewWriter(t.Context(), nil, of("a"))
		errs = append(errs, err)
		_, err = s.NewReader(t.Context(), nil, of("a"))
		errs = append(errs, err)
		_, err = s.Shred(t.Context(), who("a"))
		errs = append(errs, err)
		_, err = s.Proof(t.Context(), who("a"))
		errs = append(errs, err)
		_, err = s.Apply(t.Context(), nil)
		errs = append(errs, err)
		_, err = s.Rewrap(t.Context())
		errs = append(errs, err, s.Check(shred.Tombstone{}))
		for _, err := range s.Tombstones(t.Context()) {
			errs = append(errs, err)
		}
		for i, err := range errs {
			if err == nil {
				t.Errorf("call %d succeeds", i)
			}
		}
	}
}

func TestAMissingStoreIsAnErrorUnlessCreateIsSet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "subjects")
	if _, err := shred.NewFileStore(shred.FileConfig{Dir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := shred.NewFileStore(shred.FileConfig{}); err == nil {
		t.Error("without a directory it opens")
	}
	if _, err := shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}); err != nil {
		t.Error(err)
	}
	if _, err := shred.NewFileStore(shred.FileConfig{Dir: dir}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, shred.FileStoreMarker), []byte(`{"format":"x","version":1,"counter":0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}); !errors.Is(err, shred.ErrUnreadable) {
		t.Errorf("%v", err)
	}
}

func TestNothingShowsAKey(t *testing.T) {
	key := must(seal.ParseKey(seal.GenerateKey().Reveal()))
	s := newSubjects(t, func(c *shred.Config) { c.AliasKey = key })
	must(s.Seal(t.Context(), nil, nil, of("alice")))
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, s, struct{ hidden any }{s})
	}
	if text := out.String(); strings.Contains(text, key.Reveal()[len(key.Reveal())-20:]) || strings.Contains(text, "mantlet-seal-v1_") {
		t.Error(text)
	}
	prints.None(t, s, shred.NewMemoryStore())
}

func FuzzParseRecord(f *testing.F) {
	mem := shred.NewMemoryStore()
	r := must(mem.Put(context.Background(), shred.Record{Alias: shred.Alias{1}, Key: shred.Fingerprint{2}, Box: []byte("box"), Created: time.Unix(1e9, 0).UTC()}))
	f.Add(must(json.Marshal(r)))
	r.Shredded = time.Unix(2e9, 1000).UTC()
	f.Add(must(json.Marshal(must(mem.Put(context.Background(), r)))))
	f.Add([]byte(`{"alias":"AA","version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := shred.ParseRecord(data)
		if err != nil {
			if !errors.Is(err, shred.ErrUnreadable) {
				t.Errorf("%v", err)
			}
			return
		}
		if again := must(json.Marshal(r)); !bytes.Equal(again, data) {
			t.Errorf("%s was read, and is written as %s", data, again)
		}
		if r.Shredded.IsZero() != (len(r.Box) > 0) {
			t.Errorf("%s is both a key and a tombstone, or neither", data)
		}
	})
}

func FuzzParseTombstone(f *testing.F) {
	s := newSubjects(f)
	f.Add([]byte(must(s.Shred(context.Background(), who("alice"))).String()))
	f.Add([]byte(`{"subject":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := shred.ParseTombstone(data)
		if err == nil && p.String() != string(data) {
			t.Errorf("%s was read, and is written as %s", data, p)
		}
		if err != nil && s.Check(p) == nil {
			t.Errorf("%s is no tombstone and genuine", data)
		}
	})
}
