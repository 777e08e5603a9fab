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
	return &Reader{r: r, s: s, workers: min(workers, maxWorkers), buf: make([]byte, batch*sealedSize)}, nil
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
		// Into p at once, if it has room for chunks.
		if n = r.open(p); n > 0 {
			return n, nil
		}
		if r.decrypt(); len(r.text) == 0 {
			return 0, r.err
		}
	}
	n = copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// WriteTo writes all that is left to w. It returns nil where Read returns io.EOF. io.Copy calls it. An error of w is final if there
// are several workers, who have got ahead of it.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		m, err := write(w, r.text)
		n, r.text = n+int64(m), r.text[m:]
		if err != nil {
			return n, err
		}
		if r.workers > 1 && r.srcErr == nil && r.err == nil {
			m, err := r.writeParallel(w)
			if n += m; err != nil {
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

// writeParallel writes the text of all full chunks to w. What is left in r.in is less than one, and r has ended.
func (r *Reader) writeParallel(w io.Writer) (n int64, err error) {
	next, invalid := r.next, false
	inParallel(r.workers, func(j *job) bool {
		have := copy(j.sealed, r.in)
		m, srcErr := readAtLeast(r.r, j.sealed[have:], len(j.sealed)-have)
		have += m
		// The last number is for a chunk that is not full.
		j.first, j.full = next, int(min(uint64(have/sealedSize), MaxChunks-1-next))
		next += uint64(j.full)
		r.in, r.srcErr = r.buf[:copy(r.buf, j.sealed[j.full*sealedSize:have])], srcErr
		invalid = len(r.in) >= sealedSize
		return srcErr == nil && !invalid
	}, func(nonce *nonce, j *job) {
		if j.text == nil {
			j.text = make([]byte, jobChunks*ChunkSize)
		}
		j.good = r.s.openAll(nonce, j.first, j.text[:j.full*ChunkSize], j.sealed[:j.full*sealedSize])
	}, func(j *job) bool {
		m, werr := write(w, j.text[:j.good*ChunkSize])
		n += int64(m)
		r.next += uint64(j.good)
		switch {
		case werr != nil:
			r.err, err = werr, werr
		case j.good < j.full:
			r.err = ErrInvalid
		}
		return r.err == nil
	})
	if r.err == nil && invalid {
		r.err = ErrInvalid
	}
	return n, err
}

// decrypt makes text of what there is. If there is none, err says why.
func (r *Reader) decrypt() {
	if r.err != nil {
		return
	}
	if r.room == nil {
		r.room = make([]byte, batch*ChunkSize)
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
		good := r.s.openAll(&r.nonce, r.next, dst[:full*ChunkSize], r.in[:full*sealedSize])
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

// fill reads until there is a full chunk in buf, or r ends.
func (r *Reader) fill() {
	n := copy(r.buf, r.in)
	if r.srcErr == nil {
		var m int
		m, r.srcErr = readAtLeast(r.r, r.buf[n:], sealedSize-n)
		n += m
	}
	r.in = r.buf[:n]
}

// readAtLeast is io.ReadAtLeast, but for the end: the error is what r said, so that an io.ErrUnexpectedEOF is always from r, whose own
// source has ended before its time.
// It says io.ErrNoProgress where package bufio does.
func readAtLeast(r io.Reader, b []byte, least int) (n int, err error) {
	for idle := 0; n < least && err == nil; {
		var m int
		m, err = r.Read(b[n:])
		if m < 0 || m > len(b)-n {
			return n, ErrCount // also beside io.EOF: what it has put there is not known
		}
		n += m
		if idle++; m > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
