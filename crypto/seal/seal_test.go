package seal_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/raced"
)

var (
	here = seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "user-42", Path: "/email"}
	t0   = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

// numbered is a key that is the same in every run.
func numbered(n int) seal.Key {
	var secret [32]byte
	for i := range 8 {
		secret[31-i] = byte(n >> (8 * i))
	}
	return seal.KeyOf(secret)
}

// ringOf makes a ring of a primary key and decrypt-only ones.
func ringOf(t testing.TB, primary seal.Key, others ...seal.Key) *seal.Keyring {
	t.Helper()
	cfg := seal.Config{Keys: []seal.RingKey{{Key: primary, State: seal.Primary}}}
	for _, k := range others {
		cfg.Keys = append(cfg.Keys, seal.RingKey{Key: k})
	}
	ring, err := seal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func mustSeal(t testing.TB, ring *seal.Keyring, msg []byte, c seal.Context) []byte {
	t.Helper()
	box, err := ring.Seal(nil, msg, c)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestMessagesOfEveryLengthComeBack(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	check := func(msg []byte) {
		t.Helper()
		box := mustSeal(t, ring, msg, here)
		if len(box) != len(msg)+seal.Overhead {
			t.Fatalf("%d bytes became %d", len(msg), len(box))
		}
		got, err := ring.Open(nil, box, here)
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%d bytes: %v", len(msg), err)
		}
	}
	check(nil)
	for n := range 1100 {
		check(bytes.Repeat([]byte{byte(n)}, n))
	}
	check(bytes.Repeat([]byte("large "), 1<<20))
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	box, err := ring.Seal([]byte("box: "), []byte("hello"), here)
	if err != nil || !bytes.HasPrefix(box, []byte("box: \x01")) {
		t.Fatalf("%q %v", box, err)
	}
	got, err := ring.Open([]byte("message: "), box[5:], here)
	if err != nil || string(got) != "message: hello" {
		t.Fatalf("%q %v", got, err)
	}
	if got, err = ring.Open([]byte("message: "), box, here); err != seal.ErrInvalid || got != nil {
		t.Fatalf("%q %v", got, err)
	}
}

func TestNoTwoBoxesAreAlike(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	seen := map[string]bool{}
	for range 1000 {
		nonce := string(mustSeal(t, ring, []byte("hello"), here)[5:29])
		if seen[nonce] {
			t.Fatal("the same nonce twice")
		}
		seen[nonce] = true
	}
}

const (
	oldID     = "6a972187"
	oldStream = "026a972187503dfd9d743408570880d25a1cf28eb997c49c7fc944ae89819dd4ea062fda30cc8913f479e072650a6b6cc4a6c01e27c735b7412827db5b8e0ed97b70d109e59de03cd170cf884c1ec11ec1de"
	oldBox    = "016a9721876079fd7038d03462e0dce4a1d9cecc83734f398faffd760a42db336119a3442b339807685e9cc09ca1872182ce"
)

// A box of this format made today must open for ever. If this test fails, the format was changed.
func TestABoxFromTheDayOfTheFormatOpens(t *testing.T) {
	box, err := hex.DecodeString(oldBox)
	if err != nil {
		t.Fatal(err)
	}
	if id := numbered(1).ID().String(); id != oldID {
		t.Errorf("the key's id is %s", id)
	}
	if got := numbered(1).Reveal(); got != "mantlet-seal-v1_"+oldID+"_"+strings.Repeat("A", 41)+"AE" {
		t.Errorf("the key's text is %s", got)
	}
	if msg, err := ringOf(t, numbered(1)).Open(nil, box, here); err != nil || string(msg) != "hello" {
		t.Errorf("%q %v", msg, err)
	}
}

func TestTheBindingIsTheOneOfTheDocumentation(t *testing.T) {
	got := seal.Binding(seal.Context{Purpose: "ab", Tenant: strings.Repeat("c", 258), Path: "d"}, 1, seal.ID{0xf0, 0xf1, 0xf2, 0xf3})
	want := "\x01\xf0\xf1\xf2\xf3" + "\x00\x02ab" + "\x01\x02" + strings.Repeat("c", 258) + "\x00\x00" + "\x00\x01d"
	if string(got) != want {
		t.Errorf("%q", got)
	}
}

func TestABoxOpensInItsOwnPlaceOnly(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	box := mustSeal(t, ring, []byte("hello"), here)
	for name, other := range map[string]seal.Context{
		"other purpose":             {Purpose: "users.phone", Tenant: "acme", Subject: "user-42", Path: "/email"},
		"other tenant":              {Purpose: "users.email", Tenant: "acmf", Subject: "user-42", Path: "/email"},
		"other subject":             {Purpose: "users.email", Tenant: "acme", Subject: "user-43", Path: "/email"},
		"other path":                {Purpose: "users.email", Tenant: "acme", Subject: "user-42", Path: "/email2"},
		"no tenant":                 {Purpose: "users.email", Subject: "user-42", Path: "/email"},
		"no subject":                {Purpose: "users.email", Tenant: "acme", Path: "/email"},
		"no path":                   {Purpose: "users.email", Tenant: "acme", Subject: "user-42"},
		"upper case":                {Purpose: "users.email", Tenant: "Acme", Subject: "user-42", Path: "/email"},
		"a zero byte more":          {Purpose: "users.email", Tenant: "acme\x00", Subject: "user-42", Path: "/email"},
		"tenant and subject":        {Purpose: "users.email", Tenant: "user-42", Subject: "acme", Path: "/email"},
		"a boundary one byte right": {Purpose: "users.emaila", Tenant: "cme", Subject: "user-42", Path: "/email"},
		"a boundary one byte left":  {Purpose: "users.email", Tenant: "acm", Subject: "euser-42", Path: "/email"},
		"fields shifted":            {Purpose: "acme", Tenant: "user-42", Subject: "/email"},
	} {
		if msg, err := ring.Open(nil, box, other); err != seal.ErrInvalid || msg != nil {
			t.Errorf("%s: %q %v", name, msg, err)
		}
		if msg, err := ring.Reseal(nil, box, other); err != seal.ErrInvalid || msg != nil {
			t.Errorf("resealed with %s: %q %v", name, msg, err)
		}
	}
}

func TestSwappedFieldsAndRowsAreRefused(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	at := func(row, column string) seal.Context {
		return seal.Context{Purpose: "payroll", Tenant: "acme", Subject: row, Path: column}
	}
	table := map[seal.Context][]byte{}
	for _, row := range []string{"1", "2", "3"} {
		for _, column := range []string{"name", "iban", "salary"} {
			table[at(row, column)] = mustSeal(t, ring, []byte(row+column), at(row, column))
		}
	}
	for place, box := range table {
		for other := range table {
			msg, err := ring.Open(nil, box, other)
			if other == place && (err != nil || string(msg) != place.Subject+place.Path) {
				t.Errorf("%v: %v", place, err)
			}
			if other != place && err != seal.ErrInvalid {
				t.Errorf("the box of %v at %v: %q %v", place, other, msg, err)
			}
		}
	}
}

func TestAContextNeedsAPurposeAndFits(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	box := mustSeal(t, ring, []byte("hello"), here)
	long := strings.Repeat("x", seal.MaxContextField+1)
	for field, c := range map[string]seal.Context{
		"Context.Purpose is empty": {Tenant: "acme", Subject: "user-42", Path: "/email"},
		"Context.Purpose is 65536": {Purpose: long},
		"Context.Tenant is 65536":  {Purpose: "p", Tenant: long},
		"Context.Subject is 65536": {Purpose: "p", Subject: long},
		"Context.Path is 65536":    {Purpose: "p", Path: long},
	} {
		_, sealErr := ring.Seal(nil, []byte("hello"), c)
		_, openErr := ring.Open(nil, box, c)
		_, resealErr := ring.Reseal(nil, box, c)
		for _, err := range []error{sealErr, openErr, resealErr} {
			if !errors.Is(err, seal.ErrContext) || !strings.Contains(err.Error(), field) {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
	longest := long[1:]
	c := seal.Context{Purpose: longest, Tenant: longest, Subject: longest, Path: longest}
	if msg, err := ring.Open(nil, mustSeal(t, ring, []byte("hello"), c), c); err != nil || string(msg) != "hello" {
		t.Errorf("%q %v", msg, err)
	}
}

func TestEverySingleBitCounts(t *testing.T) {
	ring := ringOf(t, numbered(1), numbered(2), numbered(3))
	for _, msg := range []string{"", "hello", "a message of several blocks, so that every part of the cipher is met"} {
		box := mustSeal(t, ring, []byte(msg), here)
		for i := range box {
			for bit := range 8 {
				box[i] ^= 1 << bit
				got, err := ring.Open(nil, box, here)
				if got != nil || !(err == seal.ErrInvalid || i >= 1 && i < 5 && errors.Is(err, seal.ErrUnknownKey)) {
					t.Fatalf("byte %d, bit %d: %q %v", i, bit, got, err)
				}
				box[i] ^= 1 << bit
			}
		}
		// Nor does the id of another key that the ring has make it open.
		id := numbered(2).ID()
		copy(box[1:], id[:])
		if _, err := ring.Open(nil, box, here); err != seal.ErrInvalid {
			t.Errorf("under another key's id: %v", err)
		}
	}
}

func TestABoxCutAnywhereOrLongerIsRefused(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	box := mustSeal(t, ring, []byte("a message of some length"), here)
	for n := range len(box) {
		if got, err := ring.Open(nil, box[:n], here); err != seal.ErrInvalid || got != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for _, tail := range []string{"\x00", "x", string(box), strings.Repeat("\x00", 16)} {
		if got, err := ring.Open(nil, append(bytes.Clone(box), tail...), here); err != seal.ErrInvalid || got != nil {
			t.Fatalf("followed by %q: %v", tail, err)
		}
	}
	for _, version := range []byte{0, 2, 3, 0x80, 0xff} {
		box[0] = version
		if _, err := ring.Open(nil, box, here); err != seal.ErrInvalid {
			t.Fatalf("version %d: %v", version, err)
		}
	}
}

// Every position of a message in the memory its box is written to, and of a box in that of its message.
func TestBuffersMayOverlapInAnyWay(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	for _, n := range []int{0, 1, 4, 5, 6, 16, 100} {
		msg := []byte(strings.Repeat("0123456789abcdef!", 6))[:n]
		size := n + seal.Overhead
		for at := range 2*size + 1 {
			buf := make([]byte, 4*size)
			copy(buf[at:], msg)
			box, err := ring.Seal(buf[:size/2], buf[at:at+n], here)
			if err != nil || &box[0] != &buf[0] {
				t.Fatal("the room was not used", err)
			}
			box = bytes.Clone(box[size/2:])
			if got, err := ring.Open(nil, box, here); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes sealed from %d to %d: %v", n, at, size/2, err)
			}

			copy(buf[at:], box)
			got, err := ring.Open(buf[:size/2], buf[at:at+size], here)
			if err != nil || !bytes.Equal(got[size/2:], msg) {
				t.Fatalf("%d bytes opened from %d to %d: %v", n, at, size/2, err)
			}

			copy(buf[at:], box)
			again, err := ring.Reseal(buf[:size/2], buf[at:at+size], here)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ring.Open(nil, again[size/2:], here); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes resealed from %d to %d: %v", n, at, size/2, err)
			}
		}
	}
}

func TestInPlaceIsDoneWithoutOtherMemory(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	buf := append(make([]byte, 0, 100), "hello"...)
	box, err := ring.Seal(buf[:0], buf, here)
	if err != nil || &box[0] != &buf[0] {
		t.Fatal("not in place", err)
	}
	msg, err := ring.Open(box[:0], box, here)
	if err != nil || &msg[0] != &buf[0] || string(msg) != "hello" {
		t.Fatalf("not in place: %q %v", msg, err)
	}
}

func TestAMessageTooLargeIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("asks for a gigabyte of address space")
	}
	ring := ringOf(t, seal.GenerateKey())
	if box, err := ring.Seal(nil, make([]byte, seal.MaxMessage+1), here); err != seal.ErrTooLarge || box != nil {
		t.Errorf("%d %v", len(box), err)
	}
}

func TestTheZeroKeyringAndNilDoNothing(t *testing.T) {
	box := mustSeal(t, ringOf(t, seal.GenerateKey()), []byte("hello"), here)
	for name, ring := range map[string]*seal.Keyring{"zero": new(seal.Keyring), "nil": nil} {
		if got, err := ring.Seal(nil, []byte("hello"), here); err != seal.ErrNoPrimary || got != nil {
			t.Errorf("%s: Seal %v", name, err)
		}
		if got, err := ring.Open(nil, box, here); !errors.Is(err, seal.ErrUnknownKey) || got != nil {
			t.Errorf("%s: Open %v", name, err)
		}
		if got, err := ring.Open(nil, []byte("no box"), here); err != seal.ErrInvalid || got != nil {
			t.Errorf("%s: Open %v", name, err)
		}
		if got, err := ring.Reseal(nil, box, here); !errors.Is(err, seal.ErrUnknownKey) || got != nil {
			t.Errorf("%s: Reseal %v", name, err)
		}
		id, _ := seal.IDOf(box)
		for step, err := range map[string]error{
			"Add": ring.Add(seal.GenerateKey(), t0), "Promote": ring.Promote(id), "Retire": ring.Retire(id),
			"Restore": ring.Restore(id), "Destroy": ring.Destroy(id),
		} {
			if err != seal.ErrNoPrimary {
				t.Errorf("%s: %s %v", name, step, err)
			}
		}
		if len(ring.Keys()) != 0 || ring.Primary() != (seal.ID{}) {
			t.Errorf("%s: has keys", name)
		}
		if s := fmt.Sprint(ring); s != "[seal keyring of 0 keys, primary 00000000]" {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestSealAndOpenMakeTwoAllocations(t *testing.T) {
	if raced.Enabled || fips140.Enabled() {
		t.Skip("the race detector and the FIPS module's generator allocate for themselves")
	}
	ring, msg := ringOf(t, seal.GenerateKey()), make([]byte, 64)
	buf, out := make([]byte, 0, 200), make([]byte, 0, 200)
	box := mustSeal(t, ring, msg, here)
	for name, c := range map[string]struct {
		most float64
		do   func() ([]byte, error)
	}{
		"Seal with room":        {2, func() ([]byte, error) { return ring.Seal(buf, msg, here) }},
		"Seal without":          {3, func() ([]byte, error) { return ring.Seal(nil, msg, here) }},
		"Open with room":        {2, func() ([]byte, error) { return ring.Open(out, box, here) }},
		"Open without":          {3, func() ([]byte, error) { return ring.Open(nil, box, here) }},
		"Reseal with room":      {4, func() ([]byte, error) { return ring.Reseal(buf, box, here) }},
		"refusal before a key":  {0, func() ([]byte, error) { _, _ = ring.Open(out, box[:44], here); return nil, nil }},
		"Open of a forged box":  {2, func() ([]byte, error) { _, _ = ring.Open(out, forged(box), here); return nil, nil }},
		"Seal of an empty text": {2, func() ([]byte, error) { return ring.Seal(buf, nil, here) }},
	} {
		if n := testing.AllocsPerRun(200, func() {
			if _, err := c.do(); err != nil {
				t.Fatal(err)
			}
		}); n > c.most {
			t.Errorf("%s: %v allocations, more than %v", name, n, c.most)
		}
	}
}

var forgery [1000]byte

func forged(box []byte) []byte {
	b := forgery[:copy(forgery[:], box)]
	b[len(b)-1] ^= 1
	return b
}

// Time is measured by BenchmarkOpenAmongKeys. Here: the work is the same, counted in allocations, and every key is found.
func TestTenThousandKeysAreAsGoodAsOne(t *testing.T) {
	const n = 10_000
	var cfg seal.Config
	ids := map[seal.ID]bool{}
	for i := 1; len(cfg.Keys) < n; i++ {
		k := numbered(i)
		if ids[k.ID()] {
			continue // with so many keys a collision of ids is not rare: one ring in a hundred
		}
		ids[k.ID()] = true
		cfg.Keys = append(cfg.Keys, seal.RingKey{Key: k})
	}
	cfg.Keys[0].State = seal.Primary
	ring, err := seal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(ring.Keys()) != n {
		t.Fatalf("%d keys", len(ring.Keys()))
	}
	for i := 0; i < n; i += 97 {
		box := mustSeal(t, ringOf(t, cfg.Keys[i].Key), []byte("hello"), here)
		if msg, err := ring.Open(nil, box, here); err != nil || string(msg) != "hello" {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	if raced.Enabled || fips140.Enabled() {
		return
	}
	box, out := mustSeal(t, ringOf(t, cfg.Keys[n-1].Key), make([]byte, 64), here), make([]byte, 0, 200)
	if a := testing.AllocsPerRun(100, func() {
		if _, err := ring.Open(out, box, here); err != nil {
			t.Fatal(err)
		}
	}); a > 2 {
		t.Errorf("%v allocations", a)
	}
}

func TestTheIDIsReadFromTheBoxAlone(t *testing.T) {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring := ringOf(t, newer, old)
	before, after := mustSeal(t, ringOf(t, old), nil, here), mustSeal(t, ring, nil, here)
	for _, c := range []struct {
		box   []byte
		id    seal.ID
		ok    bool
		needs bool
	}{
		{before, old.ID(), true, true},
		{after, newer.ID(), true, false},
		{after[:5], newer.ID(), true, false},
		{append([]byte{2}, before[1:5]...), old.ID(), true, true},
		{after[:4], seal.ID{}, false, false},
		{append([]byte{3}, before[1:]...), seal.ID{}, false, false},
		{nil, seal.ID{}, false, false},
	} {
		if id, ok := seal.IDOf(c.box); id != c.id || ok != c.ok || ring.NeedsReseal(c.box) != c.needs {
			t.Errorf("%x: %v %v %v", c.box, id, ok, ring.NeedsReseal(c.box))
		}
	}
	// A store that resealed everything has nothing left to do.
	moved, err := ring.Reseal(nil, before, here)
	if err != nil || ring.NeedsReseal(moved) {
		t.Error(err)
	}
}

// The property: no panic whatever the box and its place; what opens is exactly as long as it says.
func FuzzOpen(f *testing.F) {
	ring := ringOf(f, numbered(1), numbered(2))
	box := mustSeal(f, ring, []byte("hello"), here)
	f.Add(box, here.Purpose, here.Tenant, here.Subject, here.Path)
	f.Add(box[:45], "p", "", "", "")
	f.Add(append([]byte{2}, box[1:]...), "p", "", "", "")
	f.Add([]byte{}, "", "", "", "")
	f.Fuzz(func(t *testing.T, box []byte, purpose, tenant, subject, path string) {
		c := seal.Context{Purpose: purpose, Tenant: tenant, Subject: subject, Path: path}
		before := bytes.Clone(box)
		msg, err := ring.Open([]byte("kept"), box, c)
		if !bytes.Equal(box, before) {
			t.Fatal("the box was written to")
		}
		if _, rerr := ring.Reseal(nil, box, c); (rerr == nil) != (err == nil) {
			t.Fatalf("Open says %v, Reseal %v", err, rerr)
		}
		if err != nil {
			if msg != nil {
				t.Fatal("a message beside an error")
			}
			return
		}
		if !bytes.HasPrefix(msg, []byte("kept")) || len(msg) != len(box)-seal.Overhead+4 {
			t.Fatalf("%q", msg)
		}
		if id, ok := seal.IDOf(box); !ok || id != numbered(1).ID() && id != numbered(2).ID() {
			t.Fatalf("opened a box of %v", id)
		}
	})
}

// The property: opening undoes sealing in the same place, and in no other.
func FuzzRoundTrip(f *testing.F) {
	ring := ringOf(f, numbered(1))
	f.Add([]byte("hello"), "p", "t", "s", "/path", "q", "t", "s", "/path")
	f.Add([]byte{}, "p", "", "", "", "", "p", "", "")
	f.Fuzz(func(t *testing.T, msg []byte, p, tn, s, pa, p2, tn2, s2, pa2 string) {
		c, other := seal.Context{Purpose: p, Tenant: tn, Subject: s, Path: pa}, seal.Context{Purpose: p2, Tenant: tn2, Subject: s2, Path: pa2}
		box, err := ring.Seal(nil, msg, c)
		if err != nil {
			if !errors.Is(err, seal.ErrContext) || p != "" && max(len(p), len(tn), len(s), len(pa)) <= seal.MaxContextField {
				t.Fatal(err)
			}
			return
		}
		if got, err := ring.Open(nil, box, c); err != nil || !bytes.Equal(got, msg) {
			t.Fatal(err)
		}
		if _, err := ring.Open(nil, box, other); (err == nil) != (c == other) {
			t.Fatalf("%q at %q: %v", c, other, err)
		}
	})
}

// The property: two bindings are equal only if every part of them is.
func FuzzTheBindingIsInjective(f *testing.F) {
	f.Add("p", "t", "s", "x", byte(1), uint32(1), "p", "ts", "", "x", byte(1), uint32(1))
	f.Add("p\x00\x01", "", "", "", byte(1), uint32(1), "p", "\x00\x01", "", "", byte(2), uint32(1))
	f.Fuzz(func(t *testing.T, p, tn, s, pa string, v byte, id uint32, p2, tn2, s2, pa2 string, v2 byte, id2 uint32) {
		if max(len(p), len(tn), len(s), len(pa), len(p2), len(tn2), len(s2), len(pa2)) > seal.MaxContextField {
			return
		}
		key := func(n uint32) seal.ID { return seal.ID{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }
		c, d := seal.Context{Purpose: p, Tenant: tn, Subject: s, Path: pa}, seal.Context{Purpose: p2, Tenant: tn2, Subject: s2, Path: pa2}
		a, b := seal.Binding(c, v, key(id)), seal.Binding(d, v2, key(id2))
		if bytes.Equal(a, b) != (c == d && v == v2 && id == id2) {
			t.Fatalf("%q and %q", c, d)
		}
		// Nor is one the beginning of another: there is a way to read it back.
		if len(a) < len(b) && bytes.HasPrefix(b, a) {
			t.Fatalf("%q begins %q", a, b)
		}
	})
}

// Small pieces moved across every boundary of a context, which random strings seldom do.
func TestNoTwoPlacesLookTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[string]seal.Context{}
	for range 200_000 {
		piece := func() string {
			return []string{"", "\x00", "\x00\x00", "\x00\x01", "a", "\x01", "aa", "\x00\x01a"}[rnd.IntN(8)]
		}
		c := seal.Context{Purpose: piece() + piece(), Tenant: piece() + piece(), Subject: piece() + piece(), Path: piece()}
		b := string(seal.Binding(c, 1, seal.ID{}))
		if other, ok := seen[b]; ok && other != c {
			t.Fatalf("%q and %q", c, other)
		}
		seen[b] = c
	}
}

func TestARecordLongerThanAnyIsRefusedUnread(t *testing.T) {
	if ^uint(0)>>32 == 0 || raced.Enabled {
		t.Skip("no room for it: the race detector has four bytes for each")
	}
	box := make([]byte, seal.MaxMessage+seal.Overhead+1) // of pages that nobody touches
	box[0] = 1
	ring := ringOf(t, numbered(1))
	var ke *seal.KeyError
	if _, err := ring.Open(nil, box[:len(box)-1], here); !errors.As(err, &ke) {
		t.Errorf("the longest: %v", err)
	}
	if _, err := ring.Open(nil, box, here); err != seal.ErrInvalid {
		t.Errorf("one byte more: %v", err)
	}
}

func TestResealMakesItsRoomOnce(t *testing.T) {
	if raced.Enabled || fips140.Enabled() {
		t.Skip("the race detector and the FIPS module's generator allocate for themselves")
	}
	ring := ringOf(t, seal.GenerateKey())
	box, err := ring.Seal(nil, numbers(5000), here)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ring.Reseal(nil, box, here); err != nil {
			t.Fatal(err)
		}
	}); n > 5 {
		t.Errorf("%v allocations; want 4 and the room", n)
	}
}
