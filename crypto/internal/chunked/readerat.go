package chunked

import (
	"io"
	"sync"
)

// A ReaderAt decrypts any part of a message. It is safe for concurrent use if the underlying io.ReaderAt is.
type ReaderAt struct {
	r     io.ReaderAt
	s     *stream
	start int64 // where the chunks begin
	size  int64 // of the text
}

// NewReaderAt returns a ReaderAt of the ciphertext from start to size in r. It checks the commitment and authenticates the last chunk, so that
// Size is true. The error is ErrInvalid, ErrTruncated or that of r.
func NewReaderAt(r io.ReaderAt, start, size int64, key *[KeySize]byte, context []byte) (*ReaderAt, error) {
	if start < 0 || size-start < HeaderSize {
		return nil, ErrInvalid
	}
	head := make([]byte, HeaderSize)
	if err := readAt(r, head, start); err != nil {
		return nil, err
	}
	s, err := check(key, head, context)
	if err != nil {
		return nil, err
	}
	x := &ReaderAt{r: r, s: s, start: start + HeaderSize}
	full, rest := (size-x.start)/sealedSize, (size-x.start)%sealedSize
	switch {
	case rest == 0:
		return nil, ErrTruncated
	case rest < tagSize, full >= MaxChunks:
		return nil, ErrInvalid
	}
	x.size = full*ChunkSize + rest - tagSize
	b := buffers.Get().(*buffer)
	defer b.release()
	if err := x.chunk(b, full); err != nil {
		return nil, err
	}
	return x, nil
}

// Size returns the length of the text in bytes.
func (x *ReaderAt) Size() int64 { return x.size }

// A buffer is what a call of ReadAt works with.
type buffer struct {
	sealed [batch * sealedSize]byte
	text   [ChunkSize]byte
	nonce  nonce
}

var buffers = &sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) release() {
	clear(b.text[:])
	buffers.Put(b)
}

// chunk decrypts one chunk to b.text.
func (x *ReaderAt) chunk(b *buffer, number int64) error {
	n := min(ChunkSize, x.size-number*ChunkSize)
	sealed := b.sealed[:n+tagSize]
	if err := readAt(x.r, sealed, x.start+number*sealedSize); err != nil {
		return err
	}
	if !x.s.open(&b.nonce, uint64(number), b.text[:n], sealed) {
		return ErrInvalid
	}
	return nil
}

// ReadAt reads len(p) bytes of the text from off on. As io.ReaderAt wants it, fewer come with an error only: io.EOF at the end of the
// text, ErrInvalid, ErrTruncated if the ciphertext has become shorter, or that of the underlying reader. All bytes that it returns are
// authentic. Chunks that are covered in part are decrypted whole, so small reads in a row are better made through a bufio.Reader.
func (x *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, ErrOffset
	}
	b := buffers.Get().(*buffer)
	defer b.release()
	for n < len(p) && off < x.size {
		number, skip := off/ChunkSize, off%ChunkSize
		var m int
		// Full chunks that are covered whole go to p in one step.
		full := min(int64(len(p)-n)/ChunkSize, x.size/ChunkSize-number, batch)
		if skip == 0 && full > 0 {
			sealed := b.sealed[:full*sealedSize]
			if err = readAt(x.r, sealed, x.start+number*sealedSize); err != nil {
				return n, err
			}
			good := x.s.openAll(&b.nonce, uint64(number), p[n:][:full*ChunkSize], sealed)
			if m = good * ChunkSize; int64(good) < full {
				return n + m, ErrInvalid
			}
		} else {
			if err = x.chunk(b, number); err != nil {
				return n, err
			}
			m = copy(p[n:], b.text[skip:min(ChunkSize, x.size-number*ChunkSize)])
		}
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readAt fills b.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n < 0 || n > len(b):
		return ErrCount
	case n == len(b):
		return nil
	case err == io.EOF:
		return ErrTruncated // it was there when the size was told
	case err == nil:
		return io.ErrNoProgress // breaks the contract of io.ReaderAt
	}
	return err
}
