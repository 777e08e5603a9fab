package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// rawGCM is the standard library's AES-256-GCM under one key, the floor for everything here.
func rawGCM(b *testing.B) (gcm cipher.AEAD) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	fips140.WithoutEnforcement(func() { gcm, err = cipher.NewGCM(block) })
	if err != nil {
		b.Fatal(err)
	}
	return gcm
}

var benchSizes = []struct {
	name string
	n    int
}{{"64B", 64}, {"4KB", 4 << 10}, {"1MB", 1 << 20}}

// The raw one draws its nonce of 96 bits at random, as it would have to. The difference at 64 bytes is the message's own key, that is two
// AES key schedules' worth of memory and time.
func BenchmarkSeal(b *testing.B) {
	ring, gcm := ringOf(b, seal.GenerateKey()), rawGCM(b)
	aad := seal.Binding(here, 1, seal.ID{})
	for _, s := range benchSizes {
		msg, dst := make([]byte, s.n), make([]byte, 0, s.n+seal.Overhead)
		measure(b, "seal/"+s.name, s.n, func() error { _, err := ring.Seal(dst, msg, here); return err })
		nonce := make([]byte, 12)
		measure(b, "raw/"+s.name, s.n, func() error {
			_, _ = rand.Read(nonce)
			gcm.Seal(append(dst, nonce...), nonce, msg, aad)
			return nil
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	ring, gcm := ringOf(b, seal.GenerateKey()), rawGCM(b)
	aad := seal.Binding(here, 1, seal.ID{})
	for _, s := range benchSizes {
		box, dst := mustSeal(b, ring, make([]byte, s.n), here), make([]byte, 0, s.n+seal.Overhead)
		measure(b, "seal/"+s.name, s.n, func() error { _, err := ring.Open(dst, box, here); return err })
		nonce := make([]byte, 12)
		raw := gcm.Seal(nil, nonce, make([]byte, s.n), aad)
		measure(b, "raw/"+s.name, s.n, func() error { _, err := gcm.Open(dst, nonce, raw, aad); return err })
	}
}

// Bounds what a large ring costs: nothing.
func BenchmarkOpenAmongKeys(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		cfg := seal.Config{Keys: []seal.RingKey{{Key: numbered(1), State: seal.Primary}}}
		ids := map[seal.ID]bool{numbered(1).ID(): true}
		for i := 2; len(cfg.Keys) < n; i++ {
			if k := numbered(i); !ids[k.ID()] {
				ids[k.ID()] = true
				cfg.Keys = append(cfg.Keys, seal.RingKey{Key: k})
			}
		}
		ring, err := seal.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		box, dst := mustSeal(b, ringOf(b, cfg.Keys[n/2].Key), make([]byte, 64), here), make([]byte, 0, 200)
		measure(b, fmt.Sprintf("keys=%d", n), 64, func() error { _, err := ring.Open(dst, box, here); return err })
	}
}

// An attacker's best case without the key: a box that names a key of the ring, and one that does not.
func BenchmarkForgedBox(b *testing.B) {
	ring := ringOf(b, numbered(1))
	box, dst := mustSeal(b, ring, make([]byte, 64), here), make([]byte, 0, 200)
	box[len(box)-1] ^= 1
	refused := func() error {
		if _, err := ring.Open(dst, box, here); err == nil {
			b.Fatal("accepted")
		}
		return nil
	}
	measure(b, "known key", 64, refused)
	box[1] ^= 1
	measure(b, "unknown key", 64, refused)
}

func BenchmarkReseal(b *testing.B) {
	ring := ringOf(b, seal.GenerateKey())
	for _, s := range benchSizes {
		box, dst, msg := mustSeal(b, ring, make([]byte, s.n), here), make([]byte, 0, s.n+seal.Overhead), make([]byte, 0, s.n+seal.Overhead)
		measure(b, "reseal/"+s.name, s.n, func() error { _, err := ring.Reseal(dst, box, here); return err })
		measure(b, "open+seal/"+s.name, s.n, func() error {
			m, err := ring.Open(msg, box, here)
			if err != nil {
				return err
			}
			_, err = ring.Seal(dst, m, here)
			return err
		})
	}
}

const streamSize = 64 << 20

// The raw one is a loop of GCM over chunks of 16 KiB with counted nonces, in memory that is warm: no copying, no writing.
func BenchmarkStream(b *testing.B) {
	ring, gcm := ringOf(b, seal.GenerateKey()), rawGCM(b)
	piece := make([]byte, 256<<10)
	var s bytes.Buffer
	w, err := ring.NewWriter(&s, here)
	if err != nil {
		b.Skip(err)
	}
	for range streamSize / len(piece) {
		if _, err := w.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}

	nonce, out, msg := make([]byte, 12), make([]byte, 0, chunk+16), make([]byte, 0, chunk)
	measure(b, "write/raw", streamSize, func() error {
		for i := range uint64(streamSize / chunk) {
			binary.BigEndian.PutUint64(nonce[4:], i)
			gcm.Seal(out, nonce, piece[i%16*chunk:][:chunk], nil)
		}
		return nil
	})
	measure(b, "write/Write of 256 KiB", streamSize, func() error {
		w, err := ring.NewWriter(io.Discard, here)
		if err != nil {
			return err
		}
		for range streamSize / len(piece) {
			if _, err = w.Write(piece); err != nil {
				return err
			}
		}
		return w.Close()
	})
	for _, workers := range []int{1, 2} {
		measure(b, fmt.Sprintf("write/io.Copy, workers=%d", workers), streamSize, func() error {
			w, err := ring.NewParallelWriter(io.Discard, here, workers)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, io.LimitReader(same{}, streamSize)); err != nil {
				return err
			}
			return w.Close()
		})
	}

	raw := gcm.Seal(nil, nonce, piece[:chunk], nil)
	measure(b, "read/raw", streamSize, func() error {
		for range streamSize / chunk {
			if _, err := gcm.Open(msg, nonce, raw, nil); err != nil {
				return err
			}
		}
		return nil
	})
	// The same with its input read from where the streams below are read from: 64 MiB of memory that is not warm.
	sealed := make([]byte, 0, streamSize/chunk*(chunk+16))
	for range streamSize / chunk {
		sealed = append(sealed, raw...)
	}
	in := make([]byte, chunk+16)
	measure(b, "read/raw with reading", streamSize, func() error {
		for r := bytes.NewReader(sealed); r.Len() > 0; {
			if _, err := io.ReadFull(r, in); err != nil {
				return err
			}
			if _, err := gcm.Open(msg, nonce, in, nil); err != nil {
				return err
			}
		}
		return nil
	})
	measure(b, "read/Read of 256 KiB", streamSize, func() error {
		r, err := ring.NewReader(bytes.NewReader(s.Bytes()), here)
		for err == nil {
			_, err = r.Read(piece)
		}
		if err != io.EOF {
			return err
		}
		return nil
	})
	for _, workers := range []int{1, 2} {
		measure(b, fmt.Sprintf("read/io.Copy, workers=%d", workers), streamSize, func() error {
			r, err := ring.NewParallelReader(bytes.NewReader(s.Bytes()), here, workers)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return err
		})
	}
	at, err := ring.NewReaderAt(bytes.NewReader(s.Bytes()), int64(s.Len()), here)
	if err != nil {
		b.Fatal(err)
	}
	measure(b, "read/ReadAt of 256 KiB", streamSize, func() error {
		for off := int64(0); off < streamSize; off += int64(len(piece)) {
			if _, err := at.ReadAt(piece, off); err != nil {
				return err
			}
		}
		return nil
	})
	measure(b, "read/ReadAt of 100 bytes", 100, func() error { _, err := at.ReadAt(piece[:100], 12345); return err })
}

// same is a source that costs nothing.
type same struct{}

func (same) Read(p []byte) (int, error) { return len(p), nil }

func measure(b *testing.B, name string, n int, do func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(n))
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
