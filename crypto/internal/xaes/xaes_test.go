package xaes_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/internal/xaes"
	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/internal/raced"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(fill byte) *xaes.Key {
	return xaes.New((*[32]byte)(bytes.Repeat([]byte{fill}, 32)))
}

// The vectors of the specification, so that a plain clone tests them.
func TestTheVectorsOfTheSpecification(t *testing.T) {
	for _, v := range []struct {
		fill                            byte
		aad, k1, messageKey, ciphertext string
	}{
		{1, "", "e531954aca063d5b8d9c47a47d4cc6f0",
			"c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
			"ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "23810ec50edb99f374409466ed1f4b7b",
			"e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
			"986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		t.Run(fmt.Sprint("key of ", v.fill), func(t *testing.T) {
			nonce, text := [24]byte([]byte("ABCDEFGHIJKLMNOPQRSTUVWX")), []byte("XAES-256-GCM")
			k := key(v.fill)
			if got := hex.EncodeToString(k.K1()); got != v.k1 {
				t.Errorf("K1 %s", got)
			}
			if got := hex.EncodeToString(k.MessageKey(&nonce)); got != v.messageKey {
				t.Errorf("message key %s", got)
			}
			box := append(nonce[:], unhex(t, v.ciphertext)...)
			if msg, err := k.Open(nil, box, []byte(v.aad)); err != nil || !bytes.Equal(msg, text) {
				t.Errorf("%q %v", msg, err)
			}
			if got := k.SealWithNonce(&nonce, text, []byte(v.aad)); !bytes.Equal(got, box) {
				t.Errorf("%x", got)
			}
		})
	}
}

func TestTheVectorFileHoldsTheSameVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Key, K1    string
			Nonce      string `json:"nonce_ascii"`
			Derived    string `json:"derived_key"`
			Plaintext  string `json:"plaintext_ascii"`
			AAD        string `json:"aad_ascii"`
			Ciphertext string
		}
		Accumulated map[string]string
	}
	if err := json.Unmarshal(corpus.Read(t, "conformance/xaes/vectors.json"), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 2 || file.Accumulated["10000"] != accumulated[10_000] || file.Accumulated["1000000"] != accumulated[1_000_000] {
		t.Error("the file has other cases")
	}
	for _, c := range file.Cases {
		k := xaes.New((*[32]byte)(unhex(t, c.Key)))
		nonce := [24]byte([]byte(c.Nonce))
		if hex.EncodeToString(k.K1()) != c.K1 || hex.EncodeToString(k.MessageKey(&nonce)) != c.Derived {
			t.Error("K1 or the message key is wrong")
		}
		msg, err := k.Open(nil, append(nonce[:], unhex(t, c.Ciphertext)...), []byte(c.AAD))
		if err != nil || string(msg) != c.Plaintext {
			t.Errorf("%q %v", msg, err)
		}
	}
}

var accumulated = map[int]string{
	10_000:    "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939",
	1_000_000: "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15",
}

// The specification's long test: boxes of random keys, nonces, messages and associated data, all hashed into one.
func TestTheAccumulatedVectors(t *testing.T) {
	for n, want := range accumulated {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if n > 10_000 && (testing.Short() || raced.Enabled) {
				t.Skip("a million boxes are not for -short and not for the race detector")
			}
			t.Parallel()
			in, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
			read := func(n int) []byte {
				b := make([]byte, n)
				_, _ = in.Read(b)
				return b
			}
			for i := range n {
				k := xaes.New((*[32]byte)(read(32)))
				nonce := (*[24]byte)(read(24))
				msg := read(int(read(1)[0]))
				aad := read(int(read(1)[0]))
				box := k.SealWithNonce(nonce, msg, aad)
				_, _ = sum.Write(box[len(nonce):])
				if n > 10_000 && i%16 != 0 {
					continue // the hash needs the boxes only
				}
				if got, err := k.Open(nil, box, aad); err != nil || !bytes.Equal(got, msg) {
					t.Fatal(err)
				}
			}
			out := make([]byte, 32)
			_, _ = sum.Read(out)
			if got := hex.EncodeToString(out); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// Seal leaves half of the nonce to the standard library. What comes out must be what the specification makes of that nonce.
func TestWhatSealMakesIsWhatTheSpecificationMakes(t *testing.T) {
	k := key(7)
	for n := range 300 {
		msg, aad := bytes.Repeat([]byte{byte(n)}, n), bytes.Repeat([]byte{9}, n%50)
		box := k.Seal([]byte("before"), msg, aad)
		if !bytes.HasPrefix(box, []byte("before")) {
			t.Fatal("lost what was there")
		}
		box = box[6:]
		if !bytes.Equal(box, k.SealWithNonce((*[24]byte)(box), msg, aad)) {
			t.Fatalf("%d bytes: something else", n)
		}
		if len(box) != n+xaes.Overhead {
			t.Fatalf("%d bytes: a box of %d", n, len(box))
		}
	}
}

func TestEveryBitAndEveryLengthCounts(t *testing.T) {
	k, msg, aad := key(7), []byte("a message of some blocks, not a whole number"), []byte("aad")
	box := k.Seal(nil, msg, aad)
	for i := range box {
		if _, err := k.Open(nil, box[:i], aad); err != xaes.ErrOpen {
			t.Fatalf("cut at %d: %v", i, err)
		}
		for bit := range 8 {
			box[i] ^= 1 << bit
			if got, err := k.Open(nil, box, aad); err != xaes.ErrOpen || got != nil {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
			box[i] ^= 1 << bit
		}
	}
	for name, bad := range map[string]func() ([]byte, error){
		"trailing byte": func() ([]byte, error) { return k.Open(nil, append(bytes.Clone(box), 0), aad) },
		"other key":     func() ([]byte, error) { return key(8).Open(nil, box, aad) },
		"other aad":     func() ([]byte, error) { return k.Open(nil, box, []byte("aae")) },
		"no aad":        func() ([]byte, error) { return k.Open(nil, box, nil) },
		"nil":           func() ([]byte, error) { return k.Open(nil, nil, aad) },
	} {
		if got, err := bad(); err != xaes.ErrOpen || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := k.Open([]byte("before "), box, aad); err != nil || string(got) != "before "+string(msg) {
		t.Errorf("%q %v", got, err)
	}
}

// Every position of a message in the memory that its box is written to, and the other way round.
func TestBuffersMayOverlapInAnyWay(t *testing.T) {
	k, aad := key(7), []byte("aad")
	for _, n := range []int{0, 1, 15, 16, 17, 64, 300} {
		msg := bytes.Repeat([]byte("0123456789abcdef!"), n/17+1)[:n]
		size := n + xaes.Overhead
		for at := range 2*size + 1 {
			buf := make([]byte, 4*size)
			in := buf[at : at+n]
			copy(in, msg)
			box := k.Seal(buf[:size/2], in, aad)[size/2:]
			if &box[0] != &buf[size/2] {
				t.Fatal("the room was not used")
			}
			if got, err := k.Open(nil, box, aad); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes sealed from %d to %d: %v", n, at, size/2, err)
			}

			buf = make([]byte, 4*size)
			copy(buf[at:], box)
			got, err := k.Open(buf[:size/2], buf[at:at+size], aad)
			if err != nil || !bytes.Equal(got[size/2:], msg) {
				t.Fatalf("%d bytes opened from %d to %d: %v", n, at, size/2, err)
			}
		}
	}
}

func TestABoxThatDoesNotOpenLeavesNoTextBehind(t *testing.T) {
	k, msg := key(7), bytes.Repeat([]byte("secret "), 100)
	box := k.Seal(nil, msg, nil)
	box[len(box)-1] ^= 1
	dst := make([]byte, 0, len(box))
	if _, err := k.Open(dst, box, nil); err == nil {
		t.Fatal("opened")
	}
	if bytes.Contains(dst[:cap(dst)], []byte("secret")) {
		t.Error("text that was not authenticated is in the destination")
	}
}

func TestTheKeyOfAMessageIsNotLeftInThePool(t *testing.T) {
	all := xaes.WatchScratches(t)
	k := key(1)
	if _, err := k.Open(nil, k.Seal(nil, []byte("text"), nil), nil); err != nil {
		t.Fatal(err)
	}
	if len(all()) == 0 {
		t.Fatal("no scratch was seen")
	}
	for _, s := range all() {
		if !bytes.Equal(s, make([]byte, len(s))) {
			t.Error("a key is left")
		}
	}
}

func TestSealAndOpenMakeTwoAllocations(t *testing.T) {
	if raced.Enabled || fips140.Enabled() {
		t.Skip("the race detector and the FIPS module's generator allocate for themselves")
	}
	k, msg, aad := key(7), make([]byte, 64), []byte("aad")
	buf := make([]byte, 0, 200)
	var box []byte
	if n := testing.AllocsPerRun(200, func() { box = k.Seal(buf, msg, aad) }); n > 2 {
		t.Errorf("Seal: %v", n)
	}
	out := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := k.Open(out, box, aad); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("Open: %v", n)
	}
}

func TestAKeyIsSafeForConcurrentUse(t *testing.T) {
	k := key(7)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			msg := bytes.Repeat([]byte{byte(g)}, 100+g)
			for range 200 {
				if got, err := k.Open(nil, k.Seal(nil, msg, msg), msg); err != nil || !bytes.Equal(got, msg) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// The property: no panic whatever the box and however it lies in the destination; what opens is exactly what was sealed.
func FuzzOpen(f *testing.F) {
	k := key(7)
	f.Add(k.Seal(nil, []byte("hello"), []byte("aad")), []byte("aad"), uint8(3), true)
	f.Add([]byte{}, []byte{}, uint8(0), false)
	f.Add(make([]byte, xaes.Overhead), []byte{}, uint8(40), true)
	f.Fuzz(func(t *testing.T, box, aad []byte, at uint8, inside bool) {
		buf := make([]byte, 256, 512+2*len(box))
		in := box
		if inside {
			in = buf[at : int(at)+len(box) : cap(buf)][:len(box)]
			copy(in, box)
		}
		msg, err := k.Open(buf[:16], in, aad)
		if err != nil {
			if msg != nil {
				t.Fatal("a message beside an error")
			}
			return
		}
		if len(msg) != 16+len(box)-xaes.Overhead {
			t.Fatalf("a message of %d bytes in a box of %d", len(msg)-16, len(box))
		}
		if !bytes.Equal(k.SealWithNonce((*[24]byte)(box), msg[16:], aad), box) {
			t.Fatal("opened what was not sealed")
		}
	})
}

// The property: opening undoes sealing, wherever the message lies in the destination.
func FuzzSeal(f *testing.F) {
	k := key(7)
	f.Add([]byte("hello"), []byte("aad"), uint8(3), true)
	f.Add([]byte{}, []byte{}, uint8(16), true)
	f.Fuzz(func(t *testing.T, msg, aad []byte, at uint8, inside bool) {
		buf := make([]byte, 256, 512+2*len(msg))
		in := msg
		if inside {
			in = buf[at : int(at)+len(msg) : cap(buf)]
			copy(in, msg)
		}
		box := k.Seal(buf[:16], in, aad)[16:]
		if got, err := k.Open(nil, box, aad); err != nil || !bytes.Equal(got, msg) {
			t.Fatal(err)
		}
		if len(aad) > 0 {
			if _, err := k.Open(nil, box, aad[1:]); err == nil {
				t.Fatal("opened with other associated data")
			}
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	k, aad := key(7), make([]byte, 40)
	gcm, err := cipher.NewGCMWithRandomNonce(block(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{64, 4 << 10, 1 << 20} {
		msg := make([]byte, n)
		box := k.Seal(nil, msg, aad)
		raw := gcm.Seal(nil, nil, msg, aad)
		dst := make([]byte, 0, len(box))
		for _, c := range []struct {
			name string
			do   func() error
		}{
			{"seal/xaes", func() error { k.Seal(dst, msg, aad); return nil }},
			{"seal/raw", func() error { gcm.Seal(dst, nil, msg, aad); return nil }},
			{"open/xaes", func() error { _, err := k.Open(dst, box, aad); return err }},
			{"open/raw", func() error { _, err := gcm.Open(dst, nil, raw, aad); return err }},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					if err := c.do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func block(b *testing.B) cipher.Block {
	c, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	return c
}
