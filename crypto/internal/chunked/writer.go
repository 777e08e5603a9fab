package chunked

import "io"

// A Writer encrypts what is written to it. It is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	s       *stream
	workers int
	nonce   nonce
	// buf is the header, until it is written, and then the chunks of a batch, each with room for its tag. Chunks are encrypted where
	// they are, or come there encrypted from the caller's memory.
	buf    []byte
	chunks []byte // the part of buf behind the header
	head   int    // how long a header is still to be written
	first  uint64 // the number of the first chunk in buf
	sealed int    // how many chunks of buf are encrypted,
	full   int    // how many are complete,
	part   int    // and how long the one behind them is so far
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
	x := &Writer{w: w, s: s, workers: max(workers, 1), head: len(prefix) + HeaderSize}
	x.buf = make([]byte, x.head+batch(workers)*sealedSize)
	x.chunks = x.buf[x.head:]
	copy(x.buf[copy(x.buf, prefix):], salt)
	copy(x.buf[x.head-commitmentSize:], s.commitment[:])
	return x, nil
}

// Write encrypts p. It returns how many bytes of p were taken before an error; an error is final, and its message not usable.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, ErrClosed
	}
	least := 1
	if w.workers > 1 {
		least = sharedLeast * w.workers
	}
	for len(p) > 0 && w.err == nil {
		var took int
		if m := min(len(p)/ChunkSize, w.room()); w.part == 0 && m >= min(least, w.room()) && m > 0 {
			// Whole chunks go from p to their place in one step.
			w.sealTo(w.full, nil)
			w.sealTo(w.full+m, p)
			w.full += m
			took = m * ChunkSize
		} else {
			took = copy(w.chunks[w.full*sealedSize:][w.part:ChunkSize], p)
			w.add(took)
		}
		n, p = n+took, p[took:]
		w.flushFull()
	}
	return n, w.err
}

// ReadFrom encrypts what r has until io.EOF, reading it to where it is encrypted. io.Copy calls it.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	if w.closed {
		return 0, ErrClosed
	}
	for idle := 0; w.err == nil; {
		m, err := r.Read(w.chunks[w.full*sealedSize:][w.part:ChunkSize])
		n += int64(m)
		w.add(m)
		w.flushFull()
		switch {
		case w.err != nil:
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err // of r: what was read is not lost, and the Writer still usable
		case m > 0:
			idle = 0
		default:
			if idle++; idle == maxIdle {
				return n, io.ErrNoProgress
			}
		}
	}
	return n, w.err
}

const maxIdle = 100 // reads in a row that bring nothing, as in package bufio

// room returns how many more full chunks fit into buf, and into the message: the last number is for a chunk that is not full.
func (w *Writer) room() int {
	return int(min(uint64(len(w.chunks)/sealedSize-w.full), MaxChunks-1-w.first-uint64(w.full)))
}

// add counts n bytes more in the chunk that is being filled.
func (w *Writer) add(n int) {
	if w.part += n; w.part < ChunkSize {
		return
	}
	if w.room() == 0 {
		w.err = ErrTooLarge
		return
	}
	w.full, w.part = w.full+1, 0
}

// sealTo encrypts the chunks of buf up to end: those of src, which begins with the first of them, or, if it is nil, those that are
// in their place already.
func (w *Writer) sealTo(end int, src []byte) {
	from := w.sealed
	w.sealed = end
	if workers := min(w.workers, (end-from)/sharedLeast); workers > 1 {
		split(workers, end-from, func(_, lo, hi int) { w.sealPart(new(nonce), from, src, lo, hi) })
		return
	}
	w.sealPart(&w.nonce, from, src, 0, end-from)
}

func (w *Writer) sealPart(n *nonce, from int, src []byte, lo, hi int) {
	for i := lo; i < hi; i++ {
		place := w.chunks[(from+i)*sealedSize:][:sealedSize]
		msg := place[:ChunkSize]
		if src != nil {
			msg = src[i*ChunkSize:][:ChunkSize]
		}
		w.s.seal(n, w.first+uint64(from+i), place, msg)
	}
}

func (w *Writer) flushFull() {
	if w.err == nil && w.full*sealedSize == len(w.chunks) {
		w.sealTo(w.full, nil)
		w.flush(w.full * sealedSize)
	}
}

// flush writes the header, if it was not, and n bytes of chunks.
func (w *Writer) flush(n int) {
	head := len(w.buf) - len(w.chunks)
	b := w.buf[head-w.head : head+n]
	m, err := w.w.Write(b)
	if err == nil && m != len(b) {
		err = io.ErrShortWrite
	}
	w.err = err
	w.head, w.first, w.sealed, w.full = 0, w.first+uint64(w.full), 0, 0
}

// Close writes what is left and the last chunk, without which a reader says ErrTruncated. It does not close the underlying writer. After an
// error of Write it writes nothing and returns that error. A second call returns what the first one did.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil {
		w.sealTo(w.full, nil)
		end := w.full*sealedSize + w.part + tagSize
		last := w.chunks[w.full*sealedSize : end]
		w.s.seal(&w.nonce, w.first+uint64(w.full), last, last[:w.part])
		w.flush(end)
	}
	clear(w.buf)
	w.w, w.s, w.buf, w.chunks = nil, nil, nil, nil
	return w.err
}
