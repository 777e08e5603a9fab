package chunked_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
	"github.com/mantlet-go/mantlet/internal/raced"
)

const (
	chunk  = chunked.ChunkSize
	sealed = chunked.SealedSize
	header = chunked.HeaderSize
)

var (
	key     = (*[32]byte)([]byte("a key of exactly thirty-two byte"))
	context = []byte("context")
	lengths = []int{0, 1, 57, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 3*chunk + 5000, 4*chunk - 1, 4 * chunk, 4*chunk + 1, 9*chunk + 3}
)

// text is n bytes of which no two chunks are alike.
func text(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// newWriter works under GODEBUG=fips140=only too, so that the readers are tested there.
func newWriter(t testing.TB, w io.Writer, prefix, context []byte, workers int) (x *chunked.Writer) {
	t.Helper()
	fips140.WithoutEnforcement(func() {
		var err error
		if x, err = chunked.NewWriter(w, prefix, key, context, workers); err != nil {
			t.Fatal(err)
		}
	})
	return x
}

func encrypt(t testing.TB, msg []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newWriter(t, &out, nil, context, 1)
	if _, err := w.Write(msg); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decrypt(ct []byte, workers int) ([]byte, error) {
	r, err := chunked.NewReader(bytes.NewReader(ct), key, context, workers)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// readers are the ways to read a whole message. They must agree on the text and on the error.
var readers = map[string]func(ct []byte) ([]byte, error){
	"Read":                  func(ct []byte) ([]byte, error) { return decrypt(ct, 1) },
	"Read by three workers": func(ct []byte) ([]byte, error) { return decrypt(ct, 3) },
	"WriteTo":               func(ct []byte) ([]byte, error) { return copyAll(ct, 1) },
	"WriteTo, three":        func(ct []byte) ([]byte, error) { return copyAll(ct, 3) },
	"large pieces":          func(ct []byte) ([]byte, error) { return readPieces(bytes.NewReader(ct), 1, 5*chunk+1) },
	"large pieces, three":   func(ct []byte) ([]byte, error) { return readPieces(bytes.NewReader(ct), 3, 20*chunk+1) },
	"small pieces":          func(ct []byte) ([]byte, error) { return readPieces(bytes.NewReader(ct), 1, 1000) },
	"a slow source":         func(ct []byte) ([]byte, error) { return readPieces(iotest.HalfReader(bytes.NewReader(ct)), 1, chunk) },
	"a slow source, three":  func(ct []byte) ([]byte, error) { return readPieces(iotest.HalfReader(bytes.NewReader(ct)), 3, chunk) },
	"an end beside bytes": func(ct []byte) ([]byte, error) {
		return readPieces(iotest.DataErrReader(bytes.NewReader(ct)), 1, chunk)
	},
}

func copyAll(ct []byte, workers int) ([]byte, error) {
	r, err := chunked.NewReader(bytes.NewReader(ct), key, context, workers)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := r.WriteTo(&out)
	if n != int64(out.Len()) {
		return nil, fmt.Errorf("WriteTo counts %d of %d", n, out.Len())
	}
	return out.Bytes(), err
}

func readPieces(src io.Reader, workers, size int) (all []byte, err error) {
	r, err := chunked.NewReader(src, key, context, workers)
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	for {
		n, err := r.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			_, again := r.Read(p)
			if again != err {
				return nil, fmt.Errorf("%w, and then %w", err, again)
			}
			return all, err
		}
	}
}

// reference is the specification to the letter: a big number as nonce, one chunk after the other.
func reference(t *testing.T, salt, context, msg []byte) []byte {
	t.Helper()
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(salt) + string(context)
	b, err := hkdf.Expand(sha512.New, key[:], info, 76)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(b[:32])
	if err != nil {
		t.Fatal(err)
	}
	var gcm cipher.AEAD
	fips140.WithoutEnforcement(func() { gcm, err = cipher.NewGCM(block) })
	if err != nil {
		t.Fatal(err)
	}
	base, out := new(big.Int).SetBytes(b[32:44]), slices.Concat(salt, b[44:])
	for i := int64(0); ; i++ {
		nonce := new(big.Int).Xor(base, big.NewInt(i)).FillBytes(make([]byte, 12))
		m := msg[:min(len(msg), 16384)]
		out, msg = gcm.Seal(out, nonce, m, nil), msg[len(m):]
		if len(m) < 16384 {
			return out
		}
	}
}

func TestEveryWayOfWritingMakesWhatTheSpecificationSays(t *testing.T) {
	for _, n := range append(lengths, 48*chunk, 70*chunk+7) { // three workers have enough to do with 48
		msg := text(n)
		for _, workers := range []int{0, 1, 3} {
			for name, write := range map[string]func(w *chunked.Writer) error{
				"at once": func(w *chunked.Writer) error {
					m, err := w.Write(msg)
					return errors.Join(err, count(m, n))
				},
				"pieces of 57":    func(w *chunked.Writer) error { return pieces(w, msg, 57) },
				"pieces of 16384": func(w *chunked.Writer) error { return pieces(w, msg, 16384) },
				"pieces of 16400": func(w *chunked.Writer) error { return pieces(w, msg, 16400) },
				"pieces of 50000": func(w *chunked.Writer) error { return pieces(w, msg, 50000) },
				"a byte, then all": func(w *chunked.Writer) error {
					return errors.Join(pieces(w, msg[:min(1, n)], 1), pieces(w, msg[min(1, n):], n+1))
				},
				"a chunk, then all": func(w *chunked.Writer) error {
					return errors.Join(pieces(w, msg[:min(chunk, n)], 1000), pieces(w, msg[min(chunk, n):], n+1))
				},
				"ReadFrom": func(w *chunked.Writer) error {
					m, err := w.ReadFrom(bytes.NewReader(msg))
					return errors.Join(err, count(int(m), n))
				},
				"ReadFrom by halves": func(w *chunked.Writer) error {
					_, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(msg)))
					return err
				},
				"ReadFrom twice": func(w *chunked.Writer) error {
					_, err := w.ReadFrom(iotest.DataErrReader(bytes.NewReader(msg[:n/2])))
					_, err2 := w.ReadFrom(bytes.NewReader(msg[n/2:]))
					return errors.Join(err, err2)
				},
			} {
				if raced.Enabled && (n > 48*chunk || n > chunk+1 && name == "pieces of 57") {
					continue // slow, and no different
				}
				var out bytes.Buffer
				w := newWriter(t, &out, []byte("prefix"), context, workers)
				if err := errors.Join(write(w), w.Close()); err != nil {
					t.Fatal(err)
				}
				ct, ok := bytes.CutPrefix(out.Bytes(), []byte("prefix"))
				if !ok || len(ct) != header+n+16*(n/chunk+1) || !bytes.Equal(ct, reference(t, ct[:24], context, msg)) {
					t.Fatalf("%d bytes, %s, %d workers: something else", n, name, workers)
				}
			}
		}
	}
}

func pieces(w io.Writer, msg []byte, size int) error {
	for p := range slices.Chunk(msg, size) {
		if n, err := w.Write(p); err != nil || n != len(p) {
			return fmt.Errorf("%d of %d: %w", n, len(p), err)
		}
	}
	return nil
}

func count(got, want int) error {
	if got != want {
		return fmt.Errorf("counts %d bytes of %d", got, want)
	}
	return nil
}

func TestEveryWayOfReadingGivesTheMessage(t *testing.T) {
	for _, n := range append(lengths, 60*chunk+7) {
		msg := text(n)
		ct := encrypt(t, msg)
		for name, read := range readers {
			if got, err := read(ct); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes, %s: %d bytes, %v", n, name, len(got), err)
			}
		}
	}
}

func TestTheReaderKeepsTheContractOfIO(t *testing.T) {
	for _, n := range []int{0, 100, chunk, chunk + 5} {
		msg := text(n)
		ct := encrypt(t, msg)
		for _, workers := range []int{1, 2} {
			r, err := chunked.NewReader(iotest.OneByteReader(bytes.NewReader(ct)), key, context, workers)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(r, msg); err != nil {
				t.Error(err)
			}
		}
		if raced.Enabled && n > 100 {
			continue // it reads single bytes, for each of which a chunk is decrypted
		}
		at, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context)
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(io.NewSectionReader(at, 0, at.Size()), msg); err != nil {
			t.Error(err)
		}
	}
}

// A reader at the other end of a connection does not wait for more than a chunk.
func TestAChunkIsHandedOutAsSoonAsItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg := text(chunk + 10)
		ct := encrypt(t, msg)
		pr, pw := io.Pipe()
		go func() { _, _ = pw.Write(ct[:header+sealed+1]) }()
		r, err := chunked.NewReader(pr, key, context, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, chunk)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, msg[:chunk]) {
			t.Fatal(err)
		}
		go func() { _, _ = pw.Write(ct[header+sealed+1:]); pw.Close() }()
		if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, msg[chunk:]) {
			t.Fatal(err)
		}
	})
}

// refused checks what every reader makes of a ciphertext that must not pass: it hands out nothing but a beginning of msg, and ends with
// one of the errors.
func refused(t *testing.T, name string, ct, msg []byte, want ...error) {
	t.Helper()
	for way, read := range readers {
		got, err := read(ct)
		if !slices.Contains(want, err) || !bytes.HasPrefix(msg, got) {
			t.Fatalf("%s, %s: %d bytes, %v", name, way, len(got), err)
		}
	}
	at, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context)
	if err != nil {
		if !slices.Contains(want, err) || at != nil {
			t.Fatalf("%s: NewReaderAt %v", name, err)
		}
		return
	}
	all := make([]byte, at.Size()+1)
	if n, err := at.ReadAt(all, 0); !slices.Contains(want, err) || !bytes.HasPrefix(msg, all[:n]) {
		t.Fatalf("%s: ReadAt %d bytes, %v", name, n, err)
	}
}

func TestACutAtAChunksEdgeIsTruncated(t *testing.T) {
	msg := text(9*chunk + 100)
	ct := encrypt(t, msg)
	for k := range 10 {
		cut := ct[:header+k*sealed]
		refused(t, fmt.Sprint(k, " chunks"), cut, msg, chunked.ErrTruncated)
		// What is there is authentic and not held back.
		for way, read := range readers {
			if got, _ := read(cut); !bytes.Equal(got, msg[:k*chunk]) {
				t.Errorf("%d chunks, %s: %d bytes", k, way, len(got))
			}
		}
	}
}

func TestACutAnywhereIsRefused(t *testing.T) {
	msg := text(2*chunk + 100)
	ct := encrypt(t, msg)
	for n := range ct {
		if n > header+40 && (n-header)%sealed > 40 && (n-header)%sealed < sealed-40 && n%911 != 0 {
			continue // inside a chunk all places are alike
		}
		want := chunked.ErrInvalid
		if n >= header && (n-header)%sealed == 0 {
			want = chunked.ErrTruncated
		}
		if raced.Enabled && n%5 != 0 && want == chunked.ErrInvalid {
			continue
		}
		refused(t, fmt.Sprint("cut at ", n), ct[:n], msg, want)
	}
}

func TestAnUnclosedWriterLeavesATruncatedMessage(t *testing.T) {
	for _, n := range []int{4 * chunk, 8 * chunk, 9*chunk + 1} {
		var out bytes.Buffer
		w := newWriter(t, &out, nil, context, 1)
		if _, err := w.Write(text(n)); err != nil {
			t.Fatal(err)
		}
		refused(t, fmt.Sprint(n), out.Bytes(), text(n), chunked.ErrTruncated)
	}
}

func TestEverySingleBitCounts(t *testing.T) {
	for _, n := range []int{0, 20, chunk + 20} {
		msg := text(n)
		ct := encrypt(t, msg)
		for i := range ct {
			if i > header+20 && len(ct)-i > 60 && i%1237 != 0 {
				continue // inside a chunk all places are alike
			}
			for bit := range 8 {
				ct[i] ^= 1 << bit
				for _, workers := range []int{1, 2} {
					if got, err := decrypt(ct, workers); err != chunked.ErrInvalid || !bytes.HasPrefix(msg, got) {
						t.Fatalf("%d bytes, byte %d, bit %d: %v", n, i, bit, err)
					}
				}
				if at, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context); err == nil {
					_, err = at.ReadAt(make([]byte, at.Size()), 0)
					if err != chunked.ErrInvalid {
						t.Fatalf("%d bytes, byte %d, bit %d: ReadAt %v", n, i, bit, err)
					}
				} else if err != chunked.ErrInvalid {
					t.Fatal(err)
				}
				ct[i] ^= 1 << bit
			}
		}
	}
}

func TestChunksMovedRepeatedDroppedOrForeignAreRefused(t *testing.T) {
	msg := text(5*chunk + 100)
	ct, other := encrypt(t, msg), encrypt(t, msg)
	part := func(ct []byte, k int) []byte { return ct[header+k*sealed : min(len(ct), header+(k+1)*sealed)] }
	build := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	head := ct[:header]
	for name, bad := range map[string][]byte{
		"two swapped":              build(head, part(ct, 1), part(ct, 0), ct[header+2*sealed:]),
		"last two swapped":         build(head, ct[header:header+3*sealed], part(ct, 4), part(ct, 3), part(ct, 5)),
		"the first twice":          build(head, part(ct, 0), ct[header:]),
		"the fourth twice":         build(head, ct[header:header+4*sealed], part(ct, 3), ct[header+4*sealed:]),
		"the last twice":           build(ct, part(ct, 5)),
		"the first dropped":        build(head, ct[header+sealed:]),
		"the fifth dropped":        build(head, ct[header:header+4*sealed], part(ct, 5)),
		"all dropped but the last": build(head, part(ct, 5)),
		"one of the same message":  build(head, part(other, 0), ct[header+sealed:]),
		"the last of the other":    build(ct[:header+5*sealed], part(other, 5)),
		"the other's header":       build(other[:header], ct[header:]),
		"the other's salt":         build(other[:24], ct[24:]),
		"the other's commitment":   build(ct[:24], other[24:header], ct[header:]),
		"another message behind":   build(ct, other),
		"the last in the middle":   build(head, part(ct, 0), part(ct, 5), ct[header+sealed:]),
		"a byte behind":            build(ct, []byte{0}),
		"a tag's length behind":    build(ct, make([]byte, 16)),
		"filled up to more":        build(ct, make([]byte, 2*sealed)),
	} {
		refused(t, name, bad, msg, chunked.ErrInvalid)
	}
	// Here the length alone says that the end is missing, to the one who sees the length first.
	refused(t, "filled up to a whole chunk", build(ct, make([]byte, chunk-100)), msg, chunked.ErrInvalid, chunked.ErrTruncated)
}

// An end forged by somebody with the key, as no Writer makes it: a last chunk that is full, which is what a truncated message looks like.
func TestALastChunkIsNeverFullAndMayBeEmpty(t *testing.T) {
	msg := text(2 * chunk)
	ct := encrypt(t, msg)
	if len(ct) != header+2*sealed+16 {
		t.Errorf("two full chunks and an empty one are %d bytes", len(ct))
	}
	refused(t, "full", ct[:header+2*sealed], msg, chunked.ErrTruncated)
	for _, workers := range []int{1, 2} {
		if got, err := decrypt(ct, workers); err != nil || !bytes.Equal(got, msg) {
			t.Error(err)
		}
	}
	if got, err := decrypt(encrypt(t, nil), 1); err != nil || len(got) != 0 {
		t.Errorf("nothing: %d bytes, %v", len(got), err)
	}
}

func TestAnotherKeyOrContextIsRefusedAtOnce(t *testing.T) {
	ct := encrypt(t, text(100))
	another := *key
	another[31] ^= 1
	for name, open := range map[string]func() error{
		"key":     func() error { _, err := chunked.NewReader(bytes.NewReader(ct), &another, context, 1); return err },
		"context": func() error { _, err := chunked.NewReader(bytes.NewReader(ct), key, []byte("contexu"), 1); return err },
		"none":    func() error { _, err := chunked.NewReader(bytes.NewReader(ct), key, nil, 1); return err },
		"ReaderAt": func() error {
			_, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), &another, context)
			return err
		},
	} {
		if err := open(); err != chunked.ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheCounterEndsAtItsLastNumber(t *testing.T) {
	const last = chunked.MaxChunks - 1
	for _, workers := range []int{1, 2} {
		for name, write := range map[string]func(w *chunked.Writer, p []byte) error{
			"at once":  func(w *chunked.Writer, p []byte) error { _, err := w.Write(p); return err },
			"pieces":   func(w *chunked.Writer, p []byte) error { return pieces(w, p, 1000) },
			"ReadFrom": func(w *chunked.Writer, p []byte) error { _, err := w.ReadFrom(bytes.NewReader(p)); return err },
		} {
			// The longest possible message: a full chunk of the number before the last one, and a chunk one byte short of full.
			msg := text(2*chunk - 1)
			var out bytes.Buffer
			w := newWriter(t, &out, nil, context, workers)
			w.Skip(last - 1)
			if err := errors.Join(write(w, msg), w.Close()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			ct := out.Bytes()
			if !bytes.Equal(ct[header:header+sealed], sealedChunk(ct[:24], last-1, msg[:chunk])) ||
				!bytes.Equal(ct[header+sealed:], sealedChunk(ct[:24], last, msg[chunk:])) {
				t.Errorf("%s: the chunks have other numbers", name)
			}
			r, err := chunked.NewReader(bytes.NewReader(ct), key, context, workers)
			if err != nil {
				t.Fatal(err)
			}
			r.Skip(last - 1)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}

			// One byte more.
			out.Reset()
			w = newWriter(t, &out, nil, context, workers)
			w.Skip(last - 1)
			if err := write(w, text(2*chunk)); !errors.Is(err, chunked.ErrTooLarge) {
				t.Errorf("%s: a byte too many: %v", name, err)
			}
			if n, err := w.Write([]byte{1}); n != 0 || err != chunked.ErrTooLarge {
				t.Errorf("%s: and more: %d %v", name, n, err)
			}
			before := out.Len()
			if err := w.Close(); err != chunked.ErrTooLarge || out.Len() != before {
				t.Errorf("%s: Close wrote %d bytes: %v", name, out.Len()-before, err)
			}
		}
		// A full chunk of the last number, made with the key: genuine, but nothing could follow it.
		head := encrypt(t, nil)[:header]
		bad := slices.Concat(head, sealedChunk(head[:24], last-1, text(chunk)), sealedChunk(head[:24], last, text(chunk)), make([]byte, 16))
		for name, read := range map[string]func(r *chunked.Reader) (int, error){
			"Read":    func(r *chunked.Reader) (int, error) { b, err := io.ReadAll(r); return len(b), err },
			"WriteTo": func(r *chunked.Reader) (int, error) { n, err := r.WriteTo(io.Discard); return int(n), err },
		} {
			r, err := chunked.NewReader(bytes.NewReader(bad), key, context, workers)
			if err != nil {
				t.Fatal(err)
			}
			r.Skip(last - 1)
			if n, err := read(r); err != chunked.ErrInvalid || n != chunk {
				t.Errorf("beyond the last number, %s: %d bytes, %v", name, n, err)
			}
		}
	}
	for _, size := range []int64{header + chunked.MaxChunks*sealed + 16, 1<<63 - 1} {
		ct := slices.Concat(encrypt(t, nil), make([]byte, 100))
		if _, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, size, key, context); err != chunked.ErrInvalid {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func sealedChunk(salt []byte, number uint64, msg []byte) (b []byte) {
	fips140.WithoutEnforcement(func() { b = chunked.Chunk(key, salt, context, number, msg) })
	return b
}

func TestAnyPartReadAlonelyIsThatPartOfTheWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, n := range lengths {
		msg := text(n)
		ct := slices.Concat([]byte("prefix"), encrypt(t, msg))
		at, err := chunked.NewReaderAt(bytes.NewReader(ct), 6, int64(len(ct)), key, context)
		if err != nil || at.Size() != int64(n) {
			t.Fatal(err)
		}
		check := func(off, size int) {
			p := make([]byte, size)
			got, err := at.ReadAt(p, int64(off))
			want := msg[min(off, n):min(off+size, n)]
			if got != len(want) || !bytes.Equal(p[:got], want) || (err == io.EOF) != (len(want) < size) || err != nil && err != io.EOF {
				t.Fatalf("%d bytes: %d at %d: %d bytes, %v", n, size, off, got, err)
			}
			if slices.ContainsFunc(p[got:], func(b byte) bool { return b != 0 }) {
				t.Fatal("wrote behind what it returned")
			}
		}
		for range 100 {
			check(rnd.IntN(n+2), rnd.IntN(n+2))
		}
		for _, off := range []int{0, 1, chunk - 1, chunk, chunk + 1, n - 1, n, n + 1, n + chunk} {
			for _, size := range []int{0, 1, 2, chunk - 1, chunk, chunk + 1, 5 * chunk, n, n + 1} {
				if off >= 0 {
					check(off, size)
				}
			}
		}
		if _, err := at.ReadAt(nil, -1); err == nil {
			t.Error("a negative offset was read")
		}
		if got, err := at.ReadAt(make([]byte, 1), 1<<62); got != 0 || err != io.EOF {
			t.Error(got, err)
		}
	}
}

func TestPartsAreReadConcurrently(t *testing.T) {
	msg := text(20*chunk + 33)
	ct := encrypt(t, msg)
	at, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 0))
			for range 50 {
				off := rnd.IntN(len(msg))
				p := make([]byte, rnd.IntN(len(msg)-off+1))
				if n, err := at.ReadAt(p, int64(off)); err != nil || n != len(p) || !bytes.Equal(p, msg[off:off+n]) {
					t.Error(off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

var errBroken = errors.New("broken")

type shrinking struct {
	b  []byte
	to int
}

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b[:s.to]).ReadAt(p, off)
}

type brokenAt struct{ err error }

func (b brokenAt) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestErrorsOfTheSourceArePassedOn(t *testing.T) {
	msg := text(6*chunk + 100)
	ct := encrypt(t, msg)
	for _, err := range []error{errBroken, io.ErrUnexpectedEOF} {
		for _, workers := range []int{1, 2} {
			for _, n := range []int{0, 10, header, header + 5, header + sealed, header + 5*sealed + 7, len(ct)} {
				src := io.MultiReader(bytes.NewReader(ct[:n]), iotest.ErrReader(err))
				r, got := chunked.NewReader(src, key, context, workers)
				var out bytes.Buffer
				if got == nil {
					_, got = r.WriteTo(&out)
				}
				if got != err || !bytes.HasPrefix(msg, out.Bytes()) || out.Len() < (n-header)/sealed*chunk {
					t.Errorf("after %d bytes: %d bytes, %v", n, out.Len(), got)
				}
			}
		}
	}
	for _, n := range []int{0, header} {
		src := io.MultiReader(bytes.NewReader(ct[:n]), nothing{})
		r, err := chunked.NewReader(src, key, context, 1)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err != io.ErrNoProgress {
			t.Errorf("a source of nothing: %v", err)
		}
	}

	s := &shrinking{ct, len(ct)}
	at, err := chunked.NewReaderAt(s, 0, int64(len(ct)), key, context)
	if err != nil {
		t.Fatal(err)
	}
	s.to = header + 2*sealed + 1
	p := make([]byte, len(msg))
	if n, err := at.ReadAt(p, chunk+1); n != chunk-1 || err != chunked.ErrTruncated {
		t.Errorf("a source that shrank: %d %v", n, err)
	}
	if _, err := chunked.NewReaderAt(s, 0, int64(len(ct)), key, context); err != chunked.ErrTruncated {
		t.Errorf("a source shorter than it says: %v", err)
	}
	if _, err := chunked.NewReaderAt(brokenAt{errBroken}, 0, 1000, key, context); err != errBroken {
		t.Error(err)
	}
	if _, err := chunked.NewReaderAt(brokenAt{nil}, 0, 1000, key, context); err != io.ErrNoProgress {
		t.Error(err)
	}
	for _, size := range []int64{-1, 0, header - 1} {
		if _, err := chunked.NewReaderAt(brokenAt{errBroken}, 0, size, key, context); err != chunked.ErrInvalid {
			t.Error(size, err)
		}
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// failing takes so many bytes and then fails, or says nothing of it.
type failing struct {
	room   int
	err    error
	writes int
}

func (f *failing) Write(p []byte) (int, error) {
	f.writes++
	if len(p) > f.room {
		return f.room, f.err
	}
	f.room -= len(p)
	return len(p), nil
}

func TestErrorsOfTheDestinationAreFinal(t *testing.T) {
	for _, c := range []struct{ err, want error }{{errBroken, errBroken}, {nil, io.ErrShortWrite}} {
		for _, workers := range []int{1, 2} {
			for _, room := range []int{0, header, 6 * sealed} {
				for name, write := range map[string]func(w *chunked.Writer) error{
					"Write":    func(w *chunked.Writer) error { _, err := w.Write(text(100 * chunk)); return err },
					"ReadFrom": func(w *chunked.Writer) error { _, err := w.ReadFrom(bytes.NewReader(text(100 * chunk))); return err },
					"Close":    func(w *chunked.Writer) error { return errors.Join(w.Close()) },
				} {
					f := &failing{room: room, err: c.err}
					if name == "Close" && room > header {
						continue
					}
					w := newWriter(t, f, nil, context, workers)
					if err := write(w); !errors.Is(err, c.want) {
						t.Errorf("%s: %v", name, err)
					}
					before := f.writes
					f.room = 1 << 30
					if name != "Close" {
						if n, err := w.Write([]byte{1}); n != 0 || err != c.want {
							t.Errorf("%s: Write afterwards: %d %v", name, n, err)
						}
						if n, err := w.ReadFrom(strings.NewReader("x")); n != 0 || err != c.want {
							t.Errorf("%s: ReadFrom afterwards: %d %v", name, n, err)
						}
					}
					if err := w.Close(); err != c.want {
						t.Errorf("%s: Close afterwards: %v", name, err)
					}
					if f.writes != before {
						t.Errorf("%s: something was written after an error", name)
					}
				}
			}
		}
	}
	r, err := chunked.NewReader(bytes.NewReader(encrypt(t, text(3*chunk))), key, context, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(&failing{room: 10, err: errBroken}); err != errBroken {
		t.Error(err)
	}
	if _, err := r.WriteTo(&failing{room: 10}); err != io.ErrShortWrite {
		t.Error(err)
	}
}

func TestAnErrorOfTheSourceOfReadFromLeavesTheWriterUsable(t *testing.T) {
	msg := text(2*chunk + 10)
	var out bytes.Buffer
	w := newWriter(t, &out, nil, context, 1)
	if n, err := w.ReadFrom(io.MultiReader(bytes.NewReader(msg[:chunk+1]), iotest.ErrReader(errBroken))); n != chunk+1 || err != errBroken {
		t.Fatal(n, err)
	}
	if _, err := w.ReadFrom(nothing{}); err != io.ErrNoProgress {
		t.Fatal(err)
	}
	if err := errors.Join(pieces(w, msg[chunk+1:], 100), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := decrypt(out.Bytes(), 1); err != nil || !bytes.Equal(got, msg) {
		t.Error(err)
	}
}

func TestCloseIsSaidOnce(t *testing.T) {
	var out bytes.Buffer
	w := newWriter(t, &out, nil, context, 1)
	if err := errors.Join(pieces(w, []byte("hello"), 5), w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	n := out.Len()
	if m, err := w.Write([]byte("more")); m != 0 || err != chunked.ErrClosed {
		t.Error(m, err)
	}
	if m, err := w.ReadFrom(strings.NewReader("more")); m != 0 || err != chunked.ErrClosed {
		t.Error(m, err)
	}
	if w.Close() != nil || out.Len() != n {
		t.Error("something came after the end")
	}
}

// A bubble of synctest ends only when all of its goroutines have.
func TestAWriterAndAReaderThatAreGivenUpLeaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg := text(200 * chunk)
		ct := encrypt(t, msg)
		w := newWriter(t, io.Discard, nil, context, 3)
		if _, err := w.Write(msg); err != nil {
			t.Error(err)
		}
		r, err := chunked.NewReader(bytes.NewReader(ct), key, context, 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 100*chunk)); err != nil {
			t.Error(err)
		}
		if _, err := r.WriteTo(&failing{room: 3 * chunk, err: errBroken}); err != errBroken {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err != errBroken {
			t.Error(err)
		}
		if panics := func() (yes bool) {
			defer func() { yes = recover() != nil }()
			r, err := chunked.NewReader(bytes.NewReader(ct), key, context, 3)
			if err == nil {
				_, err = r.WriteTo(panicking{})
			}
			t.Error(err)
			return false
		}; !panics() {
			t.Error("a panic was lost")
		}
	})
}

// A deferred Close runs while a panic goes by. If it went on where the Writer stands, it would make a whole message of what came before a
// source died, and might encrypt two texts under one nonce.
func TestNothingIsWrittenAfterAPanic(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for name, do := range map[string]func(w *chunked.Writer){
			"of the source": func(w *chunked.Writer) {
				_, _ = w.ReadFrom(io.MultiReader(bytes.NewReader(text(100*chunk+1)), panicking{}))
			},
			"of the destination": func(w *chunked.Writer) { _, _ = w.Write(text(100 * chunk)) },
			"of it in ReadFrom":  func(w *chunked.Writer) { _, _ = w.ReadFrom(bytes.NewReader(text(100 * chunk))) },
		} {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				var dst io.Writer = &out
				if name != "of the source" {
					dst = &panicsOnce{w: &out}
				}
				w := newWriter(t, dst, nil, context, workers)
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("a panic %s was lost", name)
						}
					}()
					do(w)
				}()
				before := out.Len()
				if _, err := w.Write(text(10 * chunk)); err == nil {
					t.Errorf("%s, %d workers: written to", name, workers)
				}
				if err := w.Close(); err == nil || out.Len() != before {
					t.Errorf("%s, %d workers: Close wrote %d bytes", name, workers, out.Len()-before)
				}
			})
		}
	}
}

type panicsOnce struct {
	w    io.Writer
	done bool
}

func (p *panicsOnce) Write(b []byte) (int, error) {
	if !p.done {
		p.done = true
		panic("write")
	}
	return p.w.Write(b)
}

type panicking struct{}

func (panicking) Read([]byte) (int, error)  { panic("read") }
func (panicking) Write([]byte) (int, error) { panic("write") }

// zeros is a source without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	if raced.Enabled || fips140.Enabled() {
		t.Skip("the race detector and the FIPS module's generator allocate for themselves")
	}
	const size = 128 << 20
	ct := encrypt(t, make([]byte, 32*chunk))
	ct = ct[:header+32*sealed]
	piece := make([]byte, 32<<10)
	for name, c := range map[string]struct {
		most uint64
		do   func() error
	}{
		"Write": {96 << 10, func() error {
			w := newWriter(t, io.Discard, nil, context, 1)
			for range size / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return w.Close()
		}},
		"ReadFrom": {96 << 10, func() error {
			w := newWriter(t, io.Discard, nil, context, 1)
			_, err := w.ReadFrom(io.LimitReader(zeros{}, size))
			return errors.Join(err, w.Close())
		}},
		"ReadFrom by 2 workers": {2*512<<10 + 160<<10, func() error {
			w := newWriter(t, io.Discard, nil, context, 2)
			_, err := w.ReadFrom(io.LimitReader(zeros{}, size))
			return errors.Join(err, w.Close())
		}},
	} {
		if got := allocated(t, c.do); got > c.most {
			t.Errorf("%s of %d MiB allocates %d bytes, more than %d", name, size>>20, got, c.most)
		}
	}
	// The way back, from a pipe in memory.
	for name, c := range map[string]struct {
		workers int
		most    uint64
	}{"WriteTo": {1, 256 << 10}, "WriteTo by 2 workers": {2, 2*512<<10 + 384<<10}} {
		pr, pw := io.Pipe()
		go func() {
			w := newWriter(t, pw, nil, context, 1)
			_, err := w.ReadFrom(io.LimitReader(zeros{}, size))
			pw.CloseWithError(errors.Join(err, w.Close()))
		}()
		got := allocated(t, func() error {
			r, err := chunked.NewReader(pr, key, context, c.workers)
			if err != nil {
				return err
			}
			var n counter
			_, err = r.WriteTo(&n)
			if n.n != size {
				t.Errorf("%s: %d bytes", name, n.n)
			}
			return err
		})
		// The writer of the other goroutine is in the count.
		if got > c.most+(96<<10) {
			t.Errorf("%s of %d MiB allocates %d bytes, more than %d", name, size>>20, got, c.most)
		}
	}
	at, err := chunked.NewReaderAt(bytes.NewReader(encrypt(t, make([]byte, 32*chunk))), 0, int64(len(ct)+16), key, context)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5*chunk)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := at.ReadAt(p, 1000); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("ReadAt makes %v allocations", n)
	}
}

func allocated(t *testing.T, do func() error) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := do(); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestUnderFIPS140OnlyStreamsAreReadAndNotMade(t *testing.T) {
	_, err := chunked.NewWriter(io.Discard, nil, key, context, 1)
	if !fips140.Enforced() {
		if err != nil {
			t.Error(err)
		}
		t.Skip("GODEBUG=fips140=only is not set: all other tests run with it as well")
	}
	if err != chunked.ErrFIPS {
		t.Errorf("NewWriter: %v", err)
	}
}
