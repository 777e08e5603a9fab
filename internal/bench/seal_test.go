package bench

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"filippo.io/age"
	"github.com/minio/sio"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// recordSealer is one way to seal and open a record.
type recordSealer struct {
	name string
	seal func(dst, msg []byte) ([]byte, error)
	open func(dst, box []byte) ([]byte, error)
}

func recordSealers(tb testing.TB) []recordSealer {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		tb.Fatal(err)
	}
	where := seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "user-42"}
	aad := []byte("users.email acme user-42")
	tinks := func(name string, h *keyset.Handle, err error) recordSealer {
		if err != nil {
			tb.Fatal(err)
		}
		a, err := aead.New(h)
		if err != nil {
			tb.Fatal(err)
		}
		return recordSealer{name, func(_, msg []byte) ([]byte, error) { return a.Encrypt(msg, aad) }, func(_, box []byte) ([]byte, error) { return a.Decrypt(box, aad) }}
	}
	gcm := rawGCM(tb)
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	x, err2 := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	return []recordSealer{
		{"mantlet", func(dst, msg []byte) ([]byte, error) { return ring.Seal(dst, msg, where) }, func(dst, box []byte) ([]byte, error) { return ring.Open(dst, box, where) }},
		tinks("tink-aes256gcm", h, err),
		tinks("tink-xaes256gcm", x, err2),
		{"raw", func(dst, msg []byte) ([]byte, error) {
			dst = append(dst, make([]byte, 12)...)
			nonce := dst[len(dst)-12:]
			rand.Read(nonce)
			return gcm.Seal(dst, nonce, msg, aad), nil
		}, func(dst, box []byte) ([]byte, error) { return gcm.Open(dst, box[:12], box[12:], aad) }},
	}
}

func rawGCM(tb testing.TB) cipher.AEAD {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		tb.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		tb.Fatal(err)
	}
	return gcm
}

var sealSizes = []struct {
	name string
	n    int
}{{"64B", 64}, {"4KB", 4 << 10}, {"1MB", 1 << 20}}

// BenchmarkSealRecord seals into memory that is there already where the library can. tink-aes256gcm and raw draw nonces of 96 bits at random,
// good for 2^32 records; the others are for any number.
func BenchmarkSealRecord(b *testing.B) {
	for _, s := range sealSizes {
		msg, dst := make([]byte, s.n), make([]byte, 0, s.n+100)
		for _, p := range recordSealers(b) {
			box, err := p.seal(nil, msg)
			if err != nil {
				b.Fatal(err)
			}
			for op, f := range map[string]func() error{
				"seal": func() error { _, err := p.seal(dst, msg); return err },
				"open": func() error { _, err := p.open(dst, box); return err },
			} {
				b.Run(fmt.Sprintf("%s/%s/%s", op, s.name, p.name), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(s.n))
					for b.Loop() {
						if err := f(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// streamSealer is one way to seal and open a stream. The writer's Close ends the stream.
type streamSealer struct {
	name  string
	write func(w io.Writer) (io.WriteCloser, error)
	read  func(r io.Reader) (io.Reader, error)
}

func streamSealers(tb testing.TB) []streamSealer {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		tb.Fatal(err)
	}
	where := seal.Context{Purpose: "model checkpoint", Subject: "llama-3"}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		tb.Fatal(err)
	}
	h, err := keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	if err != nil {
		tb.Fatal(err)
	}
	tink, err := streamingaead.New(h)
	if err != nil {
		tb.Fatal(err)
	}
	key := make([]byte, 32)
	rand.Read(key)
	dare := sio.Config{MinVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: key}
	return []streamSealer{
		{"mantlet", func(w io.Writer) (io.WriteCloser, error) { return ring.NewWriter(w, where) }, func(r io.Reader) (io.Reader, error) { return ring.NewReader(r, where) }},
		{"mantlet-2-workers", func(w io.Writer) (io.WriteCloser, error) { return ring.NewParallelWriter(w, where, 2) }, func(r io.Reader) (io.Reader, error) { return ring.NewParallelReader(r, where, 2) }},
		{"age", func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, id.Recipient()) }, func(r io.Reader) (io.Reader, error) { return age.Decrypt(r, id) }},
		{"tink-1MB", func(w io.Writer) (io.WriteCloser, error) { return tink.NewEncryptingWriter(w, nil) }, func(r io.Reader) (io.Reader, error) { return tink.NewDecryptingReader(r, nil) }},
		{"sio", func(w io.Writer) (io.WriteCloser, error) { return sio.EncryptWriter(w, dare) }, func(r io.Reader) (io.Reader, error) { return sio.DecryptReader(r, dare) }},
		{"raw-16KB-loop", func(w io.Writer) (io.WriteCloser, error) { return &rawWriter{gcm: rawKeyed(key), w: w}, nil }, func(r io.Reader) (io.Reader, error) { return &rawReader{gcm: rawKeyed(key), r: r}, nil }},
	}
}

func rawKeyed(key []byte) cipher.AEAD {
	block, _ := aes.NewCipher(key)
	gcm, _ := cipher.NewGCM(block)
	return gcm
}

const rawChunk = 16 << 10

// rawWriter is the loop that every format ends in: GCM over chunks of 16 KiB with a counted nonce, and nothing else.
type rawWriter struct {
	gcm  cipher.AEAD
	w    io.Writer
	n    uint64
	have int
	buf  [rawChunk]byte
	out  [rawChunk + 16]byte
}

func (r *rawWriter) flush() error {
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[4:], r.n)
	r.n++
	_, err := r.w.Write(r.gcm.Seal(r.out[:0], nonce[:], r.buf[:r.have], nil))
	r.have = 0
	return err
}

func (r *rawWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		m := copy(r.buf[r.have:], p)
		r.have, p = r.have+m, p[m:]
		if r.have == rawChunk {
			if err := r.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (r *rawWriter) Close() error { return r.flush() }

type rawReader struct {
	gcm  cipher.AEAD
	r    io.Reader
	n    uint64
	buf  [rawChunk + 16]byte
	rest []byte
}

func (r *rawReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		m, err := io.ReadFull(r.r, r.buf[:])
		if m == 0 {
			return 0, err
		}
		var nonce [12]byte
		binary.BigEndian.PutUint64(nonce[4:], r.n)
		r.n++
		if r.rest, err = r.gcm.Open(r.buf[:0], nonce[:], r.buf[:m], nil); err != nil {
			return 0, err
		}
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

const streamSize = 64 << 20

// onlyReader is a source that does nothing but read, as a network connection.
type onlyReader struct{ io.Reader }

// BenchmarkSealStream is a stream of 64 MiB from memory to nowhere and back, by io.Copy.
func BenchmarkSealStream(b *testing.B) {
	data := make([]byte, streamSize)
	rand.Read(data)
	for _, p := range streamSealers(b) {
		var box bytes.Buffer
		box.Grow(streamSize + streamSize/512)
		if err := sealAll(&box, p, data); err != nil {
			b.Fatal(err)
		}
		b.Run("write/"+p.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(streamSize)
			for b.Loop() {
				if err := sealAll(io.Discard, p, data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("read/"+p.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(streamSize)
			for b.Loop() {
				r, err := p.read(bytes.NewReader(box.Bytes()))
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func sealAll(w io.Writer, p streamSealer, data []byte) error {
	s, err := p.write(w)
	if err != nil {
		return err
	}
	if _, err := io.Copy(s, onlyReader{bytes.NewReader(data)}); err != nil {
		return err
	}
	return s.Close()
}

func TestEverySealerOpensWhatItSeals(t *testing.T) {
	for _, s := range sealSizes {
		msg := make([]byte, s.n)
		rand.Read(msg)
		for _, p := range recordSealers(t) {
			box, err := p.seal(nil, msg)
			if err != nil || bytes.Contains(box, msg) {
				t.Fatalf("%s: %v", p.name, err)
			}
			if got, err := p.open(nil, box); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("%s %s: %v", p.name, s.name, err)
			}
			box[len(box)/2] ^= 1
			if _, err := p.open(nil, box); err == nil {
				t.Errorf("%s opens what was changed", p.name)
			}
		}
	}
	data := make([]byte, 3<<20+5)
	rand.Read(data)
	for _, p := range streamSealers(t) {
		var box bytes.Buffer
		if err := sealAll(&box, p, data); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		r, err := p.read(bytes.NewReader(box.Bytes()))
		if err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}
