package shred_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inFile returns a FileStore with the key of alice, and the name of its file.
func inFile(t *testing.T) (s *shred.Subjects, dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "s")
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	s = newSubjects(t, func(c *shred.Config) { c.Store = store })
	must(s.Seal(t.Context(), nil, nil, of("alice")))
	a := must(s.Alias(who("alice"))).String()
	return s, dir, filepath.Join(dir, a[:2], a)
}

func TestAKeyThatCannotBeReadIsDestroyedLikeAnyOther(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"others may read it": func(file string) error { return os.Chmod(file, 0o640) },
		"it is cut":          func(file string) error { return os.Truncate(file, 0) },
		"it is garbled":      func(file string) error { return os.WriteFile(file, []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _, file := inFile(t)
			check(t, damage(file+".key"))
			proof, err := s.Shred(t.Context(), who("alice"))
			if err != nil || s.Check(proof) != nil {
				t.Errorf("%v, %v", proof, err)
			}
			if _, err := os.Lstat(file + ".key"); err == nil {
				t.Error("the key is still there")
			}
			if _, err := s.Seal(t.Context(), nil, nil, of("alice")); !errors.Is(err, shred.ErrShredded) {
				t.Errorf("Seal: %v", err)
			}
		})
	}
	t.Run("but no tombstone", func(t *testing.T) {
		s, _, file := inFile(t)
		must(s.Shred(t.Context(), who("alice")))
		check(t, os.WriteFile(file+".gone", []byte("x"), 0o600))
		check(t, os.WriteFile(file+".key", []byte("x"), 0o600))
		if _, err := s.Shred(t.Context(), who("alice")); !errors.Is(err, shred.ErrUnreadable) {
			t.Errorf("%v", err)
		}
	})
}

func TestADirectoryThatIsNotMountedIsNotAnEmptyStore(t *testing.T) {
	s, dir, _ := inFile(t)
	box := must(s.Seal(t.Context(), nil, []byte("x"), of("bob")))
	must(s.Shred(t.Context(), who("alice")))
	check(t, os.Rename(dir, dir+".away"))
	check(t, os.Mkdir(dir, 0o700))
	if _, err := s.Seal(t.Context(), nil, []byte("again"), of("alice")); err == nil {
		t.Error("something was sealed for somebody who was shredded")
	}
	if _, err := s.Open(t.Context(), nil, box, of("bob")); err == nil || errors.Is(err, shred.ErrNoKey) {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.Shred(t.Context(), who("carol")); err == nil {
		t.Error("a tombstone was written to nowhere")
	}
	for _, err := range s.Tombstones(t.Context()) {
		if err == nil {
			t.Error("a tombstone")
		}
		return
	}
	t.Error("an empty list of tombstones")
}

func TestShredAgainRemovesWhatIsLeftOfTheKey(t *testing.T) {
	s, _, file := inFile(t)
	key := must(os.ReadFile(file + ".key"))
	first := must(s.Shred(t.Context(), who("alice")))
	left := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".key.123.tmp")
	check(t, errors.Join(os.WriteFile(file+".key", key, 0o600), os.WriteFile(left, key, 0o600)))
	if again, err := s.Shred(t.Context(), who("alice")); err != nil || again != first {
		t.Errorf("%v, %v", again, err)
	}
	for _, name := range []string{file + ".key", left} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is there", filepath.Base(name))
		}
	}
}

func TestRewrapGoesOnAfterAKeyThatItCannotWrap(t *testing.T) {
	stores(t, func(t *testing.T, store, _ shred.Store) {
		ring := newRing(t)
		s := newSubjects(t, func(c *shred.Config) { c.Store, c.Ring = store, ring })
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			must(s.Seal(t.Context(), nil, nil, of(name)))
		}
		lost := must(newRing(t).Seal(nil, bytes.Repeat([]byte("x"), 60), seal.Context{Purpose: "p"}))
		for i := range 20 {
			must(store.Put(t.Context(), shred.Record{Alias: shred.Alias{0, byte(i + 1)}, Key: shred.Fingerprint{1}, Box: lost, Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}))
		}
		fresh := seal.GenerateKey()
		check(t, errors.Join(ring.Add(fresh, time.Now()), ring.Promote(fresh.ID())))
		n, err := s.Rewrap(t.Context())
		if n != 5 || !errors.Is(err, seal.ErrUnknownKey) || bytes.Count([]byte(err.Error()), []byte("\n")) != 10 {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestApplyGoesOnAfterATombstoneThatItCannotApply(t *testing.T) {
	s, _, file := inFile(t)
	other := must(s.Shred(t.Context(), who("bob")))
	proof := must(s.Shred(t.Context(), who("alice")))
	dir := filepath.Join(t.TempDir(), "again")
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	a := filepath.Base(file)
	check(t, errors.Join(os.Mkdir(filepath.Join(dir, a[:2]), 0o700), os.WriteFile(filepath.Join(dir, a[:2], a+".gone"), []byte("x"), 0o600)))
	if n, err := shred.Apply(t.Context(), store, []shred.Tombstone{proof, other}); n != 1 || !errors.Is(err, shred.ErrUnreadable) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestTheProofSaysWhetherThereWasAKey(t *testing.T) {
	s, _, _ := inFile(t)
	if proof := must(s.Shred(t.Context(), shred.Subject{Tenant: "acme", ID: "alcie"})); proof.HadKey() {
		t.Error("of a misspelled subject")
	}
	if proof := must(s.Shred(t.Context(), shred.SubjectOf(of("alice")))); !proof.HadKey() {
		t.Error("of the right one")
	}
}

func TestAnEnvelopeWrapsTheKeysOfSubjects(t *testing.T) {
	kek := seal.NewRingKEK(newRing(t))
	envelope := must(seal.NewEnvelope(seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{Name: "k", KEK: kek}}}))
	store, alias := shred.NewMemoryStore(), seal.GenerateKey()
	s := newSubjects(t, func(c *shred.Config) { c.Store, c.Ring, c.AliasKey = store, shred.EnvelopeRing(envelope), alias })
	box := must(s.Seal(t.Context(), nil, []byte("hello"), of("alice")))
	again := newSubjects(t, func(c *shred.Config) { c.Store, c.Ring, c.AliasKey = store, shred.EnvelopeRing(envelope), alias })
	if msg, err := again.Open(t.Context(), nil, box, of("alice")); string(msg) != "hello" {
		t.Errorf("%q, %v", msg, err)
	}
	if n, err := again.Rewrap(t.Context()); n != 0 || err != nil {
		t.Errorf("Rewrap: %d, %v", n, err)
	}
}
