package seal_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

var column = seal.Context{Purpose: "users.email", Tenant: "acme"}

func index(t testing.TB, ring *seal.Keyring, value string, c seal.Context) string {
	t.Helper()
	text, err := ring.Index([]byte(value), c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnIndexIsTheHMACOfContextAndValueUnderItsOwnKey(t *testing.T) {
	key := numbered(7)
	secret := make([]byte, 32)
	secret[31] = 7
	sub, err := hkdf.Expand(sha512.New, secret, "mantlet seal v1 index", 32)
	if err != nil {
		t.Fatal(err)
	}
	id := key.ID()
	mac := hmac.New(sha256.New, sub)
	mac.Write(append([]byte{6}, id[:]...))
	mac.Write([]byte("\x00\x0busers.email\x00\x04acme\x00\x00\x00\x00alice@example.com"))
	want := base64.RawURLEncoding.EncodeToString(append(append([]byte{6}, id[:]...), mac.Sum(nil)[:31]...))
	if got := index(t, ringOf(t, key), "alice@example.com", column); got != want || len(got) != seal.IndexLen {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEqualValuesOfOnePlaceHaveEqualIndexesAndNoOthers(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	base := index(t, ring, "alice", column)
	if base != index(t, ring, "alice", column) {
		t.Error("the same value has two")
	}
	seen := map[string]bool{base: true}
	for _, other := range []string{
		index(t, ring, "Alice", column), index(t, ring, "alic", column), index(t, ring, "", column), index(t, ring, "alice\x00", column),
		index(t, ring, "alice", seal.Context{Purpose: "users.email", Tenant: "acm"}), index(t, ring, "alice", seal.Context{Purpose: "users.name", Tenant: "acme"}),
		index(t, ring, "alice", seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "x"}),
		index(t, ring, "alice", seal.Context{Purpose: "users.email", Tenant: "acme", Path: "x"}),
		index(t, ring, "xalice", column), index(t, ringOf(t, seal.GenerateKey()), "alice", column),
	} {
		if seen[other] {
			t.Errorf("%s twice", other)
		}
		seen[other] = true
	}
	for _, c := range []seal.Context{{}, {Tenant: "x"}, {Purpose: strings.Repeat("x", 65536)}} {
		if _, err := ring.Index(nil, c); !errors.Is(err, seal.ErrContext) {
			t.Error(err)
		}
		if _, err := ring.Indexes(nil, c); !errors.Is(err, seal.ErrContext) {
			t.Error(err)
		}
	}
	for _, r := range []*seal.Keyring{nil, new(seal.Keyring)} {
		if _, err := r.Index(nil, column); err != seal.ErrNoPrimary {
			t.Error(err)
		}
		if _, err := r.Indexes(nil, column); err != seal.ErrNoPrimary {
			t.Error(err)
		}
	}
}

// Two processes, each at its own step of replacing a key, at most one apart, find each other's rows.
func TestRowsAreFoundAtEveryStepOfReplacingAKey(t *testing.T) {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	step := func(n int) *seal.Keyring {
		ring := ringOf(t, old)
		for _, do := range []func() error{
			func() error { return ring.Add(newer, t0) }, func() error { return ring.Promote(newer.ID()) },
		}[:n] {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		return ring
	}
	for writer := range 3 {
		for reader := max(writer-1, 0); reader <= min(writer+1, 2); reader++ {
			texts, err := step(reader).Indexes([]byte("alice"), column)
			if err != nil || !slices.Contains(texts, index(t, step(writer), "alice", column)) {
				t.Errorf("written at step %d, not found at step %d: %v", writer, reader, err)
			}
			if id, err := seal.IndexID(texts[0]); err != nil || id != step(reader).Primary() {
				t.Error("the primary key's is not the first")
			}
		}
	}
	ring := step(2)
	if err := ring.Retire(old.ID()); err != nil {
		t.Fatal(err)
	}
	if texts, err := ring.Indexes([]byte("alice"), column); err != nil || len(texts) != 1 {
		t.Errorf("%d indexes with the old key retired, %v", len(texts), err)
	}
}

func TestOnlyTextsOfIndexHaveAnID(t *testing.T) {
	text := index(t, ringOf(t, numbered(1)), "x", column)
	if id, err := seal.IndexID(text); err != nil || id != numbered(1).ID() {
		t.Error(err)
	}
	for _, bad := range []string{"", text[1:], text[:47], text + "\n", text[:20] + "\n" + text[20:], text + "A", text[:47] + "=", "C" + text[1:], "A" + text[1:], text[:47] + "+"} {
		if id, err := seal.IndexID(bad); err == nil || id != (seal.ID{}) {
			t.Errorf("%q: %v", bad, id)
		}
	}
}

func FuzzIndexID(f *testing.F) {
	ring := ringOf(f, numbered(1))
	f.Add(index(f, ring, "x", column))
	f.Add(index(f, ring, "x", column)[:47] + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := seal.IndexID(text)
		if err != nil {
			return
		}
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != text || len(b) != 36 || b[0] != 6 || seal.ID(b[1:]) != id {
			t.Fatalf("%q is a text of Index", text)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	ring := ringOf(b, seal.GenerateKey())
	value := []byte("alice@example.com")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ring.Index(value, column)
	}
}
