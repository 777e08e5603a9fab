package chunked_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
)

// keeper keeps what it is given, as a queue does that forgets to copy.
type keeper struct{ parts [][]byte }

func (k *keeper) Write(p []byte) (int, error) { k.parts = append(k.parts, p); return len(p), nil }

// readerFunc is an io.Reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Whoever bends a contract of package io gets garbage, or an error, but not the text to where the ciphertext goes.
func TestTextNeverLeaves(t *testing.T) {
	secret := bytes.Repeat([]byte("PLAINTEXT SECRET"), 1000)
	for _, workers := range []int{1, 3} {
		for name, use := range map[string]func(w *chunked.Writer){
			"a destination keeps what it is given": func(w *chunked.Writer) {
				for range 200 {
					_, _ = w.Write(secret[:1600])
				}
				_, _ = w.ReadFrom(bytes.NewReader(bytes.Repeat(secret, 100)))
				_, _ = w.Write(secret[:100])
			},
			"a source fills its buffer late": func(w *chunked.Writer) {
				var late [][]byte
				n := 0
				_, _ = w.ReadFrom(readerFunc(func(p []byte) (int, error) {
					for _, l := range late {
						copy(l, secret)
					}
					if n++; n > 100 {
						return 0, io.EOF
					}
					late = append(late, p)
					return len(p), nil
				}))
			},
			"a source writes to the Writer": func(w *chunked.Writer) {
				done := false
				_, _ = w.ReadFrom(readerFunc(func(p []byte) (int, error) {
					if done {
						return 0, io.EOF
					}
					done = true
					_, _ = w.Write(make([]byte, 20000))
					return copy(p, secret), nil
				}))
			},
		} {
			var k keeper
			w := newWriter(t, &k, nil, context, workers)
			use(w)
			_ = w.Close()
			if out := bytes.Join(k.parts, nil); bytes.Contains(out, secret[:48]) {
				t.Errorf("%s, %d workers: the text is in the output", name, workers)
			}
		}
	}
}

func TestImpossibleCountsAreErrors(t *testing.T) {
	ct := encrypt(t, text(50*chunk))
	for _, workers := range []int{1, 3} {
		for _, count := range []func(p []byte) int{func([]byte) int { return -1 }, func(p []byte) int { return len(p) + 100 }} {
			for _, beside := range []error{nil, io.EOF} {
				broken := readerFunc(func(p []byte) (int, error) { return count(p), beside })
				w := newWriter(t, io.Discard, nil, context, workers)
				if n, err := w.ReadFrom(broken); n != 0 || err != chunked.ErrCount {
					t.Errorf("ReadFrom, %d workers: %d, %v", workers, n, err)
				}
				if _, err := chunked.NewReader(broken, key, context, workers); err != chunked.ErrCount {
					t.Errorf("NewReader: %v", err)
				}
				src := io.Reader(bytes.NewReader(ct[:header]))
				r, err := chunked.NewReader(readerFunc(func(p []byte) (int, error) { return src.Read(p) }), key, context, workers)
				if err != nil {
					t.Fatal(err)
				}
				src = broken
				if n, err := r.WriteTo(io.Discard); n != 0 || err != chunked.ErrCount {
					t.Errorf("WriteTo, %d workers: %d, %v", workers, n, err)
				}
				if _, err := chunked.NewReaderAt(readerAtFunc(func(p []byte) (int, error) { return count(p), beside }), 0, int64(len(ct)), key, context); err != chunked.ErrCount {
					t.Errorf("NewReaderAt: %v", err)
				}
				dst := writerFunc(func(p []byte) (int, error) { return count(p), nil })
				if r, err = chunked.NewReader(bytes.NewReader(ct), key, context, workers); err != nil {
					t.Fatal(err)
				}
				if n, err := r.WriteTo(dst); n != 0 || err != chunked.ErrCount {
					t.Errorf("WriteTo a broken one, %d workers: %d, %v", workers, n, err)
				}
				w = newWriter(t, dst, nil, context, workers)
				if _, err := w.Write(text(100 * chunk)); err != chunked.ErrCount || w.Close() != chunked.ErrCount {
					t.Errorf("Write to a broken one, %d workers: %v", workers, err)
				}
			}
		}
	}
}

type readerAtFunc func(p []byte) (int, error)

func (f readerAtFunc) ReadAt(p []byte, _ int64) (int, error) { return f(p) }

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Two goroutines could encrypt two texts under one nonce, so the second is refused, and the message, which lacks its text, with it.
func TestTwoCallsAtOnceAreRefusedAndTheirMessageToo(t *testing.T) {
	for name, second := range map[string]func(w *chunked.Writer) error{
		"Write":          func(w *chunked.Writer) error { _, err := w.Write([]byte("x")); return err },
		"ReadFrom":       func(w *chunked.Writer) error { _, err := w.ReadFrom(bytes.NewReader([]byte("x"))); return err },
		"Close":          func(w *chunked.Writer) error { return w.Close() },
		"CloseWithError": func(w *chunked.Writer) error { return w.CloseWithError(errBroken) },
	} {
		for _, workers := range []int{1, 3} {
			var out bytes.Buffer
			in, goOn := make(chan struct{}), make(chan struct{})
			n := 0
			w := newWriter(t, writerFunc(func(p []byte) (int, error) {
				if n++; n == 1 {
					close(in)
					<-goOn
				}
				return out.Write(p)
			}), nil, context, workers)
			go func() {
				<-in
				if err := second(w); err != chunked.ErrBusy {
					t.Errorf("%s during a Write, %d workers: %v", name, workers, err)
				}
				close(goOn)
			}()
			_, _ = w.Write(text(100 * chunk))
			if _, err := w.Write(text(1)); err != chunked.ErrBusy {
				t.Errorf("a Write after that: %v", err)
			}
			if err := w.Close(); err != chunked.ErrBusy {
				t.Errorf("Close after that: %v", err)
			}
			if _, err := decrypt(out.Bytes(), 1); err != chunked.ErrTruncated {
				t.Errorf("%s, %d workers: the message: %v", name, workers, err)
			}
		}
	}
	// During Close itself.
	in, goOn := make(chan struct{}), make(chan struct{})
	w := newWriter(t, writerFunc(func(p []byte) (int, error) { close(in); <-goOn; return len(p), nil }), nil, context, 1)
	go func() {
		<-in
		if _, err := w.Write([]byte("x")); err != chunked.ErrBusy {
			t.Errorf("Write during Close: %v", err)
		}
		close(goOn)
	}()
	if err := w.Close(); err != chunked.ErrBusy {
		t.Errorf("Close during which a Write was refused: %v", err)
	}
}

func TestCloseWithErrorLeavesTheMessageWithoutItsEnd(t *testing.T) {
	for _, n := range []int{0, 1, 9*chunk + 5} {
		var out bytes.Buffer
		w := newWriter(t, &out, nil, context, 1)
		if _, err := w.Write(text(n)); err != nil {
			t.Fatal(err)
		}
		before := out.Len()
		if err := w.CloseWithError(errBroken); err != errBroken {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err := w.Close(); err != errBroken {
			t.Errorf("%d bytes: Close: %v", n, err)
		}
		if _, err := w.Write(nil); err != chunked.ErrClosed {
			t.Errorf("%d bytes: Write: %v", n, err)
		}
		if out.Len() != before {
			t.Errorf("%d bytes: it wrote", n)
		}
		if _, err := decrypt(out.Bytes(), 1); err == nil {
			t.Errorf("%d bytes: it is whole", n)
		}
	}
	var out bytes.Buffer
	w := newWriter(t, &out, nil, context, 1)
	if _, err := w.Write(text(5)); err != nil || w.CloseWithError(nil) != nil || w.CloseWithError(errBroken) != nil {
		t.Error("without an error it is not Close")
	}
	if got, err := decrypt(out.Bytes(), 1); err != nil || !bytes.Equal(got, text(5)) {
		t.Error(err)
	}
	// The first error is the one that is told.
	w = newWriter(t, &failing{err: errBroken}, nil, context, 1)
	if _, err := w.Write(text(5 * chunk)); err != errBroken || w.CloseWithError(io.ErrClosedPipe) != errBroken {
		t.Error(err)
	}
}

func TestAnyNumberOfWorkersIsFine(t *testing.T) {
	msg := text(3*chunk + 1)
	for _, workers := range []int{math.MinInt, -1, 0, math.MaxInt, math.MaxInt / (16 * chunk) * 2} {
		var out, back bytes.Buffer
		w := newWriter(t, &out, nil, context, workers)
		_, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(msg[:2*chunk])))
		_, err2 := w.Write(msg[2*chunk:])
		if err = errors.Join(err, err2, w.Close()); err != nil {
			t.Errorf("%d workers: %v", workers, err)
		}
		r, err := chunked.NewReader(&out, key, context, workers)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.WriteTo(&back); err != nil || !bytes.Equal(back.Bytes(), msg) {
			t.Errorf("%d workers: %v", workers, err)
		}
	}
}

// Otherwise who sends a message without an end keeps its reader busy for ever.
func TestBehindTheLastNumberNothingIsRead(t *testing.T) {
	var out bytes.Buffer
	w := newWriter(t, &out, nil, context, 1)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	read := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if read += len(p); read > 100*chunk {
			t.Error("it reads on and on")
			return 0, io.EOF
		}
		return len(p), nil
	})
	for _, workers := range []int{1, 3} {
		read = 0
		r, err := chunked.NewReader(io.MultiReader(bytes.NewReader(out.Bytes()[:header]), endless), key, context, workers)
		if err != nil {
			t.Fatal(err)
		}
		r.Skip(chunked.MaxChunks - 1)
		if n, err := r.WriteTo(io.Discard); n != 0 || err != chunked.ErrInvalid {
			t.Errorf("%d workers: %d, %v", workers, n, err)
		}
	}
}

// A buffer that goes back to the pool holds no text.
func TestAReaderAtForgetsWhatItHasRead(t *testing.T) {
	msg := bytes.Repeat([]byte("PLAINTEXT SECRET"), chunk/8)
	ct := encrypt(t, msg)
	texts := chunked.WatchBuffers(t)
	x, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if _, err := x.ReadAt(p, 5); err != nil || !bytes.Equal(p, msg[5:105]) {
		t.Fatal(err)
	}
	if len(texts()) == 0 {
		t.Fatal("no buffer was seen")
	}
	for _, b := range texts() {
		if bytes.Contains(b, msg[:16]) {
			t.Error("text is left in a buffer")
		}
	}
}
