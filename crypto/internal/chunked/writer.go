package chunked

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// A Writer encrypts what is written to it. It is for one goroutine at a time: a call that meets another one is refused, and the message
// with it (ErrBusy).
type Writer struct {
	busy    sync.Mutex  // held during a call, never waited for
	misused atomic.Bool // it was held when a call came
	w       io.Writer
	s       *stream
	workers int
	nonce   nonce
	// text is the chunk that is being filled. Somebody else's code may write there, also later than it should (a Reader that ReadFrom
	// has asked), but nobody else reads there: what leaves is in buf.
	text []byte
	part int // how long it is so far
	// buf is the header, until it is written, and then the chunks of a batch, encrypted.
	buf    []byte
	chunks []byte // the part of buf behind the header
	head   int    // how long a header is still to be written
	first  uint64 // the number of the first chunk in buf
	full   int    // how many chunks are there
	closed bool
	err    error // of the first failure, for good
}

// NewWriter returns a Writer of a new message: prefix, as it is, then the ciphertext. Nothing is written before a batch of chunks is
// full, or Close. The error is ErrFIPS.
func NewWriter(w io.Writer, prefix []byte, key *[KeySize]byte, context []byte, workers int) (*Writer, error) {
	salt := random()
	s := newStream(key, salt, context)
	if s.prefixed {
		return nil, ErrFIPS
	}
	x := &Writer{w: w, s: s, workers: min(workers, maxWorkers), head: len(prefix) + HeaderSize}
	x.text, x.buf = make([]byte, ChunkSize), make([]byte, x.head+batch*sealedSize)
	x.chunks = x.buf[x.head:]
	copy(x.buf[copy(x.buf, prefix):], salt)
	copy(x.buf[x.head-commitmentSize:], s.commitment[:])
	return x, nil
}

// begin is called by every method first; after nil, busy is unlocked by every method last. Two at once could use the number of a chunk
// twice, which must never happen. They are not let in one after the other, since the second may be called by somebody's code within the
// first.
func (w *Writer) begin() error {
	if !w.busy.TryLock() {
		w.misused.Store(true)
		return ErrBusy
	}
	if w.closed {
		w.busy.Unlock()
		return ErrClosed
	}
	if w.err == nil && w.misused.Load() {
		w.err = ErrBusy
	}
	return nil
}

// Write encrypts p. It returns how many bytes of p were taken before an error; an error is final, and its message not usable.
func (w *Writer) Write(p []byte) (n int, err error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	defer w.busy.Unlock()
	if w.workers > 1 && len(p) >= w.workers*jobsAhead*jobChunks*ChunkSize {
		m, err := w.readParallel(bytes.NewReader(p))
		return int(m), err
	}
	for len(p) > 0 && w.err == nil {
		took := ChunkSize
		if w.part == 0 && len(p) >= ChunkSize {
			w.complete(p[:ChunkSize])
		} else {
			took = copy(w.text[w.part:], p)
			w.add(took)
		}
		n, p = n+took, p[took:]
	}
	return n, w.err
}

// ReadFrom encrypts what r has until io.EOF. io.Copy calls it. An error of r is returned as it is, and the Writer is as good as before: what
// was read is not lost. A panic of r is final.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	defer w.busy.Unlock()
	if w.workers > 1 {
		return w.readParallel(r)
	}
	for w.err == nil && err == nil {
		var m int
		m, err = w.readChunk(r)
		n += int64(m)
	}
	return n, w.result(err)
}

// readChunk reads what the present chunk lacks.
func (w *Writer) readChunk(r io.Reader) (n int, err error) {
	b := w.text[w.part:]
	w.err = ErrInterrupted
	n, err = readAtLeast(r, b, len(b))
	w.err = nil
	w.add(n)
	return n, err
}

// result is what ReadFrom returns after err of its source.
func (w *Writer) result(err error) error {
	if w.err == nil && w.misused.Load() {
		w.err = ErrBusy // by r, perhaps
	}
	if w.err != nil {
		return w.err
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func (w *Writer) readParallel(r io.Reader) (n int64, err error) {
	// Up to the next chunk's edge alone, and everything so far out of the way.
	if w.err == nil && w.part > 0 {
		var m int
		m, err = w.readChunk(r)
		n = int64(m)
	}
	if w.err == nil && err == nil {
		w.flush(w.full * sealedSize)
	}
	if w.err != nil || err != nil {
		return n, w.result(err)
	}
	next := w.first
	var werr, full error   // full is ErrTooLarge, behind what still has its place
	w.err = ErrInterrupted // if r panics, w.first is not true any more
	inParallel(w.workers, func(j *job) bool {
		j.first, j.full = next, 0
		if j.text == nil {
			j.text = make([]byte, jobChunks*ChunkSize)
		}
		for j.full < jobChunks {
			b := j.text[j.full*ChunkSize:][:ChunkSize]
			var m int
			m, err = readAtLeast(r, b, len(b))
			n += int64(m)
			if m < len(b) {
				w.part = copy(w.text, b[:m])
				break
			}
			if next == MaxChunks-1 {
				full = ErrTooLarge
				break
			}
			next++
			j.full++
			if err != nil {
				break
			}
		}
		return err == nil && full == nil
	}, func(nonce *nonce, j *job) {
		for i := range j.full {
			w.s.seal(nonce, j.first+uint64(i), j.sealed[i*sealedSize:][:sealedSize], j.text[i*ChunkSize:][:ChunkSize])
		}
	}, func(j *job) bool {
		_, werr = write(w.w, j.sealed[:j.full*sealedSize])
		return werr == nil
	})
	if w.first, w.err = next, werr; w.err == nil {
		w.err = full
	}
	return n, w.result(err)
}

// add counts n bytes more in the chunk that is being filled.
func (w *Writer) add(n int) {
	if w.part += n; w.part == ChunkSize {
		w.part = 0
		w.complete(w.text)
	}
}

// complete encrypts msg, a full chunk, and passes the batch on if it is full.
func (w *Writer) complete(msg []byte) {
	number := w.first + uint64(w.full)
	if number == MaxChunks-1 {
		w.err = ErrTooLarge // the last number is for a chunk that is not full
		return
	}
	w.s.seal(&w.nonce, number, w.chunks[w.full*sealedSize:][:sealedSize], msg)
	if w.full++; w.full == batch {
		w.flush(len(w.chunks))
	}
}

// flush writes the header, if it was not, and n bytes of chunks.
func (w *Writer) flush(n int) {
	head := len(w.buf) - len(w.chunks)
	w.err = ErrInterrupted
	_, w.err = write(w.w, w.buf[head-w.head:head+n])
	w.head, w.first, w.full = 0, w.first+uint64(w.full), 0
}

// Close writes what is left and the last chunk, without which a reader says ErrTruncated. It does not close the underlying writer. After an
// error of Write, or a panic of somebody else's code within a call, it writes nothing and returns an error. A second call returns what the
// first one did.
func (w *Writer) Close() error { return w.CloseWithError(nil) }

// CloseWithError is Close if err is nil. Otherwise it writes nothing, and returns the first error there was, which is err if there was none:
// the message stays without its last chunk.
func (w *Writer) CloseWithError(err error) error {
	switch w.begin() {
	case ErrClosed:
		return w.err
	case ErrBusy:
		return ErrBusy
	}
	defer w.busy.Unlock()
	w.closed = true
	if w.err == nil {
		w.err = err
	}
	if w.err == nil {
		end := w.full*sealedSize + w.part + tagSize
		w.s.seal(&w.nonce, w.first+uint64(w.full), w.chunks[w.full*sealedSize:end], w.text[:w.part])
		w.flush(end)
		if w.err == nil && w.misused.Load() {
			w.err = ErrBusy
		}
	}
	clear(w.text)
	w.w, w.s, w.text, w.buf, w.chunks = nil, nil, nil, nil, nil
	return w.err
}

// write skips a call that has nothing to say.
func write(w io.Writer, b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err = w.Write(b)
	if n < 0 || n > len(b) {
		return 0, ErrCount
	}
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}
