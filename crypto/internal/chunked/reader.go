package chunked

import (
	"crypto/subtle"
	"io"
)

// A Reader decrypts. It is not safe for concurrent use.
type Reader struct {
	r       io.Reader
	s       *stream
	workers int
	nonce   nonce
	buf     []byte // a batch of ciphertext, of which
	in      []byte // this is not decrypted yet
	srcErr  error  // of r, which is not asked again
	room    []byte // where text is decrypted to, if the caller has not the room,
	text    []byte // and what of it was not handed out
	next    uint64 // the number of the first chunk in the ciphertext
	err     error  // for good, behind the text
}

// NewReader reads a header from r and checks its commitment. The ciphertext ends where r does. The error is ErrInvalid, also if r ends
// within the header, or that of r.
func NewReader(r io.Reader, key *[KeySize]byte, context []byte, workers int) (*Reader, error) {
	head := make([]byte, HeaderSize)
	if n, err := readAtLeast(r, head, HeaderSize); n < HeaderSize {
		if err == io.EOF {
			err = ErrInvalid
		}
		return nil, err
	}
	s, err := check(key, head, context)
	if err != nil {
		return nil, err
	}
	return &Reader{r: r, s: s, workers: max(workers, 1), buf: make([]byte, batch(workers)*sealedSize)}, nil
}

func check(key *[KeySize]byte, head, context []byte) (*stream, error) {
	s := newStream(key, head[:saltSize], context)
	if subtle.ConstantTimeCompare(s.commitment[:], head[saltSize:]) != 1 {
		return nil, ErrInvalid
	}
	return s, nil
}

// Read returns authentic text, and io.EOF only when all of it was handed out and the last chunk was genuine.
func (r *Reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.text) == 0 {
		// Into p at once, if it has room for chunks and for the work of all.
		if r.workers == 1 || len(p) >= r.workers*sharedLeast*ChunkSize {
			if n = r.open(p); n > 0 {
				return n, nil
			}
		}
		if r.decrypt(); len(r.text) == 0 {
			return 0, r.err
		}
	}
	n = copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// WriteTo writes all that is left to w. It returns nil where Read returns io.EOF. io.Copy calls it.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if len(r.text) > 0 {
			m, err := w.Write(r.text)
			if err == nil && m != len(r.text) {
				err = io.ErrShortWrite
			}
			n, r.text = n+int64(m), r.text[m:]
			if err != nil {
				return n, err
			}
		}
		if r.decrypt(); len(r.text) == 0 {
			if r.err == io.EOF {
				return n, nil
			}
			return n, r.err
		}
	}
}

// decrypt makes text of what there is. If there is none, err says why.
func (r *Reader) decrypt() {
	if r.err != nil {
		return
	}
	if r.room == nil {
		r.room = make([]byte, len(r.buf)/sealedSize*ChunkSize)
	}
	r.text = r.room[:r.open(r.room)]
}

// open decrypts to dst as many full chunks as it has room for, or the last chunk, and returns their length. If it returns 0, either
// dst is shorter than a chunk, or err says why.
func (r *Reader) open(dst []byte) int {
	if r.err != nil || len(dst) < ChunkSize {
		return 0
	}
	if len(r.in) < sealedSize {
		r.fill()
	}
	if full := min(len(r.in)/sealedSize, len(dst)/ChunkSize); full > 0 {
		// The last number is for a chunk that is not full.
		full := int(min(uint64(full), MaxChunks-1-r.next))
		good := r.s.openAll(&r.nonce, r.workers, r.next, dst[:full*ChunkSize], r.in[:full*sealedSize])
		if good < full || full == 0 {
			r.err = ErrInvalid
		}
		r.next += uint64(good)
		r.in = r.in[good*sealedSize:]
		return good * ChunkSize
	}
	switch {
	case r.srcErr != io.EOF:
		r.err = r.srcErr
	case len(r.in) == 0:
		r.err = ErrTruncated
	case len(r.in) < tagSize, !r.s.open(&r.nonce, r.next, dst[:len(r.in)-tagSize], r.in):
		r.err = ErrInvalid
	default:
		r.err = io.EOF
		return len(r.in) - tagSize
	}
	return 0
}

// fill reads until there is a full chunk in buf, or a full batch if several workers wait for it, or r ends.
func (r *Reader) fill() {
	n := copy(r.buf, r.in)
	if r.srcErr == nil {
		least := sealedSize
		if r.workers > 1 {
			least = len(r.buf)
		}
		var m int
		m, r.srcErr = readAtLeast(r.r, r.buf[n:], least-n)
		n += m
	}
	r.in = r.buf[:n]
}

// readAtLeast is io.ReadAtLeast, but for the end: the error is what r said, so that an io.ErrUnexpectedEOF is always from r, whose own
// source has ended before its time.
func readAtLeast(r io.Reader, b []byte, least int) (n int, err error) {
	for idle := 0; n < least && err == nil; {
		var m int
		m, err = r.Read(b[n:])
		n += m
		if idle++; m > 0 {
			idle = 0
		} else if idle == maxIdle && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
