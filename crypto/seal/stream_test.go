package seal_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/prints"
)

const chunk = 16 << 10

// newWriter works under GODEBUG=fips140=only too, so that the readers are tested there.
func newWriter(t testing.TB, ring *seal.Keyring, out io.Writer, c seal.Context, workers int) (w *seal.Writer) {
	t.Helper()
	fips140.WithoutEnforcement(func() {
		var err error
		if w, err = ring.NewParallelWriter(out, c, workers); err != nil {
			t.Fatal(err)
		}
	})
	return w
}

func stream(t testing.TB, ring *seal.Keyring, msg []byte, c seal.Context) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newWriter(t, ring, &out, c, 1)
	if _, err := w.Write(msg); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(ring *seal.Keyring, s []byte, c seal.Context) ([]byte, error) {
	r, err := ring.NewReader(bytes.NewReader(s), c)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func numbers(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestStreamsOfEveryKindComeBack(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 4 * chunk, 70*chunk + 5} {
		msg := numbers(n)
		for _, workers := range []int{-1, 0, 1, 2, 5} {
			var out, back bytes.Buffer
			w := newWriter(t, ring, &out, here, workers)
			if m, err := io.Copy(w, bytes.NewReader(msg)); m != int64(n) || err != nil {
				t.Fatal(m, err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if want := seal.StreamOverhead + n + 16*(n/chunk+1); out.Len() != want {
				t.Errorf("%d bytes became %d, not %d", n, out.Len(), want)
			}
			r, err := ring.NewParallelReader(bytes.NewReader(out.Bytes()), here, workers)
			if err != nil {
				t.Fatal(err)
			}
			if m, err := io.Copy(&back, r); m != int64(n) || err != nil || !bytes.Equal(back.Bytes(), msg) {
				t.Fatal(m, err)
			}
			at, err := ring.NewReaderAt(bytes.NewReader(out.Bytes()), int64(out.Len()), here)
			if err != nil || at.Size() != int64(n) {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(at, 0, at.Size())); err != nil || !bytes.Equal(got, msg) {
				t.Fatal(err)
			}
		}
	}
}

// A stream of this format made today must open for ever. If this test fails, the format was changed.
func TestAStreamFromTheDayOfTheFormatOpens(t *testing.T) {
	s, err := hex.DecodeString(oldStream)
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := readAll(ringOf(t, numbered(1)), s, here); err != nil || string(msg) != "hello" {
		t.Errorf("%q %v", msg, err)
	}
}

// everyReader opens a stream in all ways and returns the error that all of them must give.
func everyReader(t *testing.T, ring *seal.Keyring, s []byte, c seal.Context) error {
	t.Helper()
	_, first := readAll(ring, s, c)
	r, err := ring.NewParallelReader(bytes.NewReader(s), c, 2)
	if err == nil {
		_, err = r.WriteTo(io.Discard)
	}
	at, atErr := ring.NewReaderAt(bytes.NewReader(s), int64(len(s)), c)
	if atErr == nil {
		_, atErr = at.ReadAt(make([]byte, at.Size()), 0)
	}
	for _, other := range []error{err, atErr} {
		if (other == nil) != (first == nil) || first != nil && other.Error() != first.Error() {
			t.Errorf("one reader says %v, another %v", first, other)
		}
	}
	return first
}

func TestAStreamOpensInItsOwnPlaceOnly(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	s := stream(t, ring, numbers(chunk+1), here)
	if err := everyReader(t, ring, s, here); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*seal.Context){
		func(c *seal.Context) { c.Purpose += "x" },
		func(c *seal.Context) { c.Tenant = "" },
		func(c *seal.Context) { c.Subject = "user-43" },
		func(c *seal.Context) { c.Path = "/other" },
		func(c *seal.Context) { c.Tenant, c.Subject = c.Subject, c.Tenant },
	} {
		other := here
		change(&other)
		if err := everyReader(t, ring, s, other); err != seal.ErrInvalid {
			t.Errorf("%q: %v", other, err)
		}
	}
	if err := everyReader(t, ring, s, seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Error(err)
	}
	if _, err := ring.NewWriter(io.Discard, seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Error(err)
	}
}

func TestARecordIsNoStreamAndAStreamNoRecord(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	s, box := stream(t, ring, numbers(100), here), mustSeal(t, ring, numbers(100), here)
	if _, err := ring.Open(nil, s, here); err != seal.ErrInvalid {
		t.Error(err)
	}
	if err := everyReader(t, ring, box, here); err != seal.ErrInvalid {
		t.Error(err)
	}
	// Nor with the other's first byte: each has its own key.
	s[0], box[0] = box[0], s[0]
	if _, err := ring.Open(nil, s, here); err != seal.ErrInvalid {
		t.Error(err)
	}
	if err := everyReader(t, ring, box, here); err != seal.ErrInvalid {
		t.Error(err)
	}
}

func TestEveryBitOfAStreamsHeaderCounts(t *testing.T) {
	ring := ringOf(t, numbered(1), numbered(2))
	s := stream(t, ring, []byte("hello"), here)
	for i := range s {
		for bit := range 8 {
			s[i] ^= 1 << bit
			if err := everyReader(t, ring, s, here); !(err == seal.ErrInvalid || i >= 1 && i < 5 && errors.Is(err, seal.ErrUnknownKey)) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
			s[i] ^= 1 << bit
		}
	}
	id := numbered(2).ID()
	copy(s[1:], id[:])
	if err := everyReader(t, ring, s, here); err != seal.ErrInvalid {
		t.Errorf("under another key's id: %v", err)
	}
}

func TestAStreamThatLacksItsEndIsTruncatedOrInvalid(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	s := stream(t, ring, numbers(2*chunk+50), here)
	for n := range s {
		edge := n >= seal.StreamOverhead && (n-seal.StreamOverhead)%(chunk+16) == 0
		if !edge && n > 200 && n%499 != 0 {
			continue
		}
		want := seal.ErrInvalid
		if edge {
			want = seal.ErrTruncated
		}
		if err := everyReader(t, ring, s[:n], here); err != want || edge != errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if err := everyReader(t, ring, append(bytes.Clone(s), 0), here); err != seal.ErrInvalid {
		t.Errorf("a byte behind: %v", err)
	}
	// A Writer that nobody closed.
	var out bytes.Buffer
	w := newWriter(t, ring, &out, here, 1)
	if _, err := w.Write(numbers(4 * chunk)); err != nil {
		t.Fatal(err)
	}
	if err := everyReader(t, ring, out.Bytes(), here); err != seal.ErrTruncated {
		t.Error(err)
	}
}

func TestStreamsFollowTheStateOfTheirKey(t *testing.T) {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring := ringOf(t, old)
	s := stream(t, ring, numbers(3*chunk), here)
	r, err := ring.NewReader(bytes.NewReader(s), here)
	if err != nil {
		t.Fatal(err)
	}
	var late, tooLate bytes.Buffer
	w, w2 := newWriter(t, ring, &late, here, 1), newWriter(t, ring, &tooLate, here, 1)
	if err := errors.Join(ring.Add(newer, t0), ring.Promote(newer.ID())); err != nil {
		t.Fatal(err)
	}
	if err := everyReader(t, ring, s, here); err != nil || !ring.NeedsReseal(s[:5]) || ring.NeedsReseal(stream(t, ring, nil, here)) {
		t.Error(err)
	}
	// What had begun goes on under the key it began with, while that opens.
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if id, ok := seal.IDOf(late.Bytes()); !ok || id != old.ID() {
		t.Error(id, ok)
	}
	for _, step := range []struct {
		do   func(seal.ID) error
		want error
	}{{ring.Retire, seal.ErrKeyDisabled}, {ring.Destroy, seal.ErrKeyDestroyed}} {
		if err := step.do(old.ID()); err != nil {
			t.Fatal(err)
		}
		if err := everyReader(t, ring, s, here); !errors.Is(err, step.want) {
			t.Error(err)
		}
	}
	if err := everyReader(t, ringOf(t, newer), s, here); !errors.Is(err, seal.ErrUnknownKey) {
		t.Error(err)
	}
	// A Reader that had begun goes on.
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, numbers(3*chunk)) {
		t.Error(err)
	}
	if err := w2.Close(); !errors.Is(err, seal.ErrKeyDestroyed) {
		t.Error(err)
	}
}

func TestTheZeroKeyringWriterAndReadersDoNothing(t *testing.T) {
	s := stream(t, ringOf(t, seal.GenerateKey()), nil, here)
	for _, ring := range []*seal.Keyring{nil, new(seal.Keyring)} {
		if w, err := ring.NewWriter(io.Discard, here); err != seal.ErrNoPrimary || w != nil {
			t.Error(err)
		}
		if err := everyReader(t, ring, s, here); !errors.Is(err, seal.ErrUnknownKey) {
			t.Error(err)
		}
	}
	var w seal.Writer
	_, err := w.Write([]byte("x"))
	_, err2 := w.ReadFrom(strings.NewReader("x"))
	if err != seal.ErrClosed || err2 != seal.ErrClosed || w.Close() != seal.ErrClosed {
		t.Error("the zero Writer writes")
	}
	var r seal.Reader
	_, err = r.Read(make([]byte, 1))
	_, err2 = r.WriteTo(io.Discard)
	if err != seal.ErrInvalid || err2 != seal.ErrInvalid {
		t.Error("the zero Reader reads")
	}
	var at seal.ReaderAt
	if _, err := at.ReadAt(make([]byte, 1), 0); err != seal.ErrInvalid || at.Size() != 0 {
		t.Error("the zero ReaderAt reads")
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

type brokenAt struct{}

func (brokenAt) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestErrorsOfOthersArePassedOn(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	s := stream(t, ring, numbers(2*chunk), here)
	for _, err := range []error{errBroken, io.ErrUnexpectedEOF} {
		for _, n := range []int{0, 3, 5, 30, 61, 1000, 61 + chunk + 16, len(s)} {
			r, got := ring.NewReader(io.MultiReader(bytes.NewReader(s[:n]), iotest.ErrReader(err)), here)
			if got == nil {
				_, got = io.ReadAll(r)
			}
			if got != err {
				t.Errorf("after %d bytes: %v", n, got)
			}
		}
	}
	if _, err := ring.NewReaderAt(brokenAt{}, 1000, here); err != errBroken {
		t.Error(err)
	}
	w := newWriter(t, ring, brokenWriter{}, here, 1)
	if _, err := w.Write(numbers(5 * chunk)); err != errBroken || w.Close() != errBroken {
		t.Error(err)
	}
	w = newWriter(t, ring, io.Discard, here, 1)
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); err != seal.ErrClosed {
		t.Error(err)
	}
}

func TestAWriterAndReadersDoNotShowTheirKeys(t *testing.T) {
	ring := ringOf(t, seal.KeyOf([32]byte([]byte(prints.Secret))))
	msg := bytes.Repeat([]byte(prints.Secret), 3000) // the text they hold back is no one's business either
	s := stream(t, ring, msg, here)
	w := newWriter(t, ring, io.Discard, here, 1)
	if _, err := w.Write(msg); err != nil {
		t.Fatal(err)
	}
	r, err := ring.NewReader(bytes.NewReader(s), here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	at, err := ring.NewReaderAt(bytes.NewReader(s), int64(len(s)), here)
	if err != nil {
		t.Fatal(err)
	}
	prints.None(t, w, *w, r, *r, at, *at)
}

func TestUnderFIPS140OnlyRecordsWorkAndStreamsAreReadAndNotMade(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	_, err := ring.NewWriter(io.Discard, here)
	_, err2 := ring.NewParallelWriter(io.Discard, here, 2)
	if !fips140.Enforced() {
		if err != nil || err2 != nil {
			t.Error(err, err2)
		}
		t.Skip("GODEBUG=fips140=only is not set: all other tests run with it as well")
	}
	if err != seal.ErrFIPS || err2 != seal.ErrFIPS {
		t.Error(err, err2)
	}
	if msg, err := ring.Open(nil, mustSeal(t, ring, []byte("hello"), here), here); err != nil || string(msg) != "hello" {
		t.Error(err)
	}
	if got, err := readAll(ring, stream(t, ring, numbers(3*chunk), here), here); err != nil || !bytes.Equal(got, numbers(3*chunk)) {
		t.Error(err)
	}
}

// The property: no panic whatever the bytes, and all readers agree.
func FuzzStream(f *testing.F) {
	ring := ringOf(f, numbered(1))
	s := stream(f, ring, numbers(chunk+10), here)
	f.Add(s, here.Purpose, here.Tenant, here.Subject, here.Path)
	f.Add(s[:61], here.Purpose, here.Tenant, here.Subject, here.Path)
	f.Add(stream(f, ring, []byte("hello"), seal.Context{Purpose: "p"}), "p", "", "", "")
	f.Add([]byte{}, "p", "", "", "")
	f.Fuzz(func(t *testing.T, s []byte, p, tn, su, pa string) {
		c := seal.Context{Purpose: p, Tenant: tn, Subject: su, Path: pa}
		msg, err := readAll(ring, s, c)
		if err == nil && len(s) != seal.StreamOverhead+len(msg)+16*(len(msg)/chunk+1) {
			t.Fatalf("a message of %d bytes in %d", len(msg), len(s))
		}
		at, atErr := ring.NewReaderAt(bytes.NewReader(s), int64(len(s)), c)
		if atErr == nil {
			_, atErr = at.ReadAt(make([]byte, at.Size()), 0)
		}
		if (err == nil) != (atErr == nil) {
			t.Fatalf("%v and %v", err, atErr)
		}
	})
}

type dies struct{}

func (dies) Read([]byte) (int, error) { panic("the source died") }

// net/http recovers from the panic of a handler, whose deferred Close has run by then.

func TestASourceThatPanicsLeavesNoWholeStream(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	for _, workers := range []int{1, 4} {
		for _, n := range []int{0, 1000, 100 * chunk} {
			var out bytes.Buffer
			var closed error
			func() {
				defer func() { _ = recover() }()
				w := newWriter(t, ring, &out, here, workers)
				defer func() { closed = w.Close() }()
				_, _ = io.Copy(w, io.MultiReader(bytes.NewReader(numbers(n)), dies{}))
			}()
			if closed == nil {
				t.Errorf("%d workers, %d bytes: Close says that the stream is whole", workers, n)
			}
			if _, err := readAll(ring, out.Bytes(), here); err == nil {
				t.Errorf("%d workers, %d bytes: a reader says that the stream is whole", workers, n)
			}
		}
	}
}

func TestCloseWithErrorLeavesATruncatedStream(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	broken := errors.New("the source is broken")
	var out bytes.Buffer
	w := newWriter(t, ring, &out, here, 1)
	if _, err := w.Write(numbers(10 * chunk)); err != nil {
		t.Fatal(err)
	}
	if err := w.CloseWithError(broken); err != broken || w.Close() != broken {
		t.Error(err)
	}
	if _, err := readAll(ring, out.Bytes(), here); err != seal.ErrTruncated {
		t.Error(err)
	}
	if w = newWriter(t, ring, &out, here, 1); w.CloseWithError(nil) != nil {
		t.Error("without an error it is not Close")
	}
	if err := new(seal.Writer).CloseWithError(broken); err != seal.ErrClosed {
		t.Error(err)
	}
}

// What no key opens must not be called complete.

func TestAWriterDoesNotOutliveItsKey(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for step, want := range map[string]error{"Promote": nil, "Retire": seal.ErrKeyDisabled, "Destroy": seal.ErrKeyDestroyed} {
			old, next := seal.GenerateKey(), seal.GenerateKey()
			ring := ringOf(t, old)
			var out bytes.Buffer
			w := newWriter(t, ring, &out, here, workers)
			_, err := w.Write(numbers(5 * chunk))
			err = errors.Join(err, ring.Add(next, t0), ring.Promote(next.ID()))
			if step != "Promote" {
				err = errors.Join(err, ring.Retire(old.ID()))
			}
			if step == "Destroy" {
				err = errors.Join(err, ring.Destroy(old.ID()))
			}
			if _, e := w.Write(numbers(100)); errors.Join(err, e) != nil {
				t.Fatal(err, e)
			}
			before := out.Len()
			err = w.Close()
			var ke *seal.KeyError
			if !errors.Is(err, want) || want != nil && (!errors.As(err, &ke) || ke.ID != old.ID() || out.Len() != before) {
				t.Errorf("%s: Close: %v", step, err)
			}
			if again := w.Close(); !errors.Is(again, want) {
				t.Errorf("%s: a second Close: %v", step, again)
			}
			if want == nil {
				if _, err := readAll(ring, out.Bytes(), here); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	w, msg := newWriter(t, ringOf(t, seal.GenerateKey()), io.Discard, here, 1), numbers(5*chunk+1)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := w.Write(msg); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Package chunked is nobody's business.

func TestErrorsAreThoseOfThisPackage(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	s := stream(t, ring, numbers(100), here)
	at, err := ring.NewReaderAt(bytes.NewReader(s), int64(len(s)), here)
	if err != nil {
		t.Fatal(err)
	}
	_, offset := at.ReadAt(make([]byte, 1), -1)
	var w *seal.Writer
	w = newWriter(t, ring, writerFunc(func(p []byte) (int, error) { _, err := w.Write(p); return 0, err }), here, 1)
	_, busy := w.Write(numbers(10 * chunk))
	_, count := newWriter(t, ring, writerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), here, 1).Write(numbers(10 * chunk))
	w = newWriter(t, ring, io.Discard, here, 1)
	func() {
		defer func() { _ = recover() }()
		_, _ = w.ReadFrom(dies{})
	}()
	for name, err := range map[string]error{"a negative offset": offset, "two calls at once": busy, "an impossible count": count, "a panic": w.Close()} {
		if err == nil || !strings.HasPrefix(err.Error(), "seal: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Of the one, 2 GiB would be deciphered before it is refused.

// The first grows to the room for both steps at once.
