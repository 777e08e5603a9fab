package seal

import (
	"io"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
)

// StreamOverhead is by how many bytes a stream is longer than its message, besides 16 for every 16384 bytes begun or full: a stream of n
// bytes is StreamOverhead + n + 16*(n/16384+1) bytes long.
const StreamOverhead = headerSize + chunked.HeaderSize

// A Writer encrypts what is written to it. It is for one goroutine at a time: a call that meets another one is refused, and so is then the
// stream. The zero Writer refuses everything (ErrClosed).
type Writer struct{ w func() *writer } // a function for the same reason as that of Key

type writer struct {
	*chunked.Writer
	ring *Keyring // nil for a data key, which a KEK may withdraw and nobody else
	id   ID
}

// NewWriter returns a Writer that encrypts to w a message of any length up to 2^52-1 bytes, under the primary key and bound to c. It
// uses 80 KiB of memory whatever the length and passes on 64 KiB at a time. Close it: a stream that was not closed is truncated, and
// readers notice. The error wraps ErrContext, or is ErrNoPrimary or ErrFIPS.
func (k *Keyring) NewWriter(w io.Writer, c Context) (*Writer, error) {
	return k.NewParallelWriter(w, c, 1)
}

// NewParallelWriter returns a Writer like that of NewWriter, of the same streams, which has up to workers goroutines encrypt while io.Copy
// (ReadFrom) or a Write of at least 256 KiB for each worker goes on. They end with the call, so a Writer that is given up leaks
// nothing, and only the caller's goroutine reads and writes. It uses 512 KiB of memory more for each worker during the call. One
// worker or fewer means NewWriter's, and more than 1024 mean 1024.
func (k *Keyring) NewParallelWriter(w io.Writer, c Context, workers int) (*Writer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := k.load().primary
	if e == nil {
		return nil, ErrNoPrimary
	}
	binding := c.binding(streamVersion, e.ID)
	defer release(binding)
	x, err := chunked.NewWriter(w, (*binding)[:headerSize], e.stream(), *binding, workers)
	if err != nil {
		return nil, public(err)
	}
	inner := &writer{x, k, e.ID}
	return &Writer{func() *writer { return inner }}, nil
}

func (e *entry) stream() *[chunked.KeySize]byte {
	return (*[chunked.KeySize]byte)(e.key.derive("stream", chunked.KeySize))
}

// Write encrypts p. An error is that of the underlying writer, ErrTooLarge or ErrClosed; it is final, and the stream is not usable.
func (w *Writer) Write(p []byte) (int, error) {
	if w.w == nil {
		return 0, ErrClosed
	}
	n, err := w.w().Write(p)
	return n, public(err)
}

// ReadFrom encrypts what r has until io.EOF. io.Copy calls it. An error of r is returned as it is, and the Writer is as good as before; a
// panic of r is final.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if w.w == nil {
		return 0, ErrClosed
	}
	n, err := w.w().ReadFrom(r)
	return n, public(err)
}

// Close writes what is left and the last chunk, which says that the message is complete. It does not close the underlying writer. So do not
// defer it: it would run when the source of the message has failed too, and make a whole stream of a part. Leave the stream unclosed then,
// or call CloseWithError.
//
// After an error of Write, or a panic of the source or of the underlying writer within a call, it writes nothing and returns an error. So it
// does if the stream's key does not open any more, retired or destroyed meanwhile: the error is a *KeyError as that of Open. A second call
// returns what the first one did.
func (w *Writer) Close() error { return w.CloseWithError(nil) }

// CloseWithError is Close if err is nil. Otherwise it writes nothing and the stream stays truncated; it returns the first error there was,
// which is err if there was none. So a copy ends with
//
//	_, err = io.Copy(w, src)
//	return w.CloseWithError(err)
func (w *Writer) CloseWithError(err error) error {
	if w.w == nil {
		return ErrClosed
	}
	x := w.w()
	if err == nil && x.ring != nil {
		_, err = x.ring.opener(x.id)
	}
	return public(x.CloseWithError(err))
}

// A Reader decrypts a stream from its beginning. It is not safe for concurrent use. The zero Reader reads nothing (ErrInvalid).
type Reader struct{ r func() *chunked.Reader }

// NewReader reads the first 61 bytes of a stream, which reaches to the end of r, and returns a Reader of its message. It uses 128 KiB
// of memory whatever the length. The error is ErrInvalid, also if r ends within those bytes, wraps ErrContext, is a *KeyError as that of
// Open, or comes from r.
//
// What is read is authentic, but it is the whole message only when Read has returned io.EOF. Act on nothing of a message that must
// be whole before that.
func (k *Keyring) NewReader(r io.Reader, c Context) (*Reader, error) {
	return k.NewParallelReader(r, c, 1)
}

// NewParallelReader returns a Reader like that of NewReader which has up to workers goroutines decrypt while io.Copy (WriteTo) goes
// on; Read works alone. They end with the call, so a Reader that is given up leaks nothing, and only the caller's goroutine reads
// and writes. It uses 512 KiB of memory more for each worker during the call, and waits for as much as they can hold before it
// writes: it is for files, not for conversations. One worker or fewer means NewReader's, and more than 1024 mean 1024.
func (k *Keyring) NewParallelReader(r io.Reader, c Context, workers int) (*Reader, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	head := make([]byte, headerSize)
	if n, err := io.ReadFull(noEOF{r}, head); n < headerSize {
		return nil, err
	}
	e, err := k.streamOpener(head)
	if err != nil {
		return nil, err
	}
	binding := c.binding(streamVersion, e.ID)
	defer release(binding)
	x, err := chunked.NewReader(r, e.stream(), *binding, workers)
	if err != nil {
		return nil, public(err)
	}
	return &Reader{func() *chunked.Reader { return x }}, nil
}

func (k *Keyring) streamOpener(head []byte) (*entry, error) {
	if head[0] != streamVersion {
		return nil, ErrInvalid
	}
	return k.opener(ID(head[1:headerSize]))
}

// noEOF makes ErrInvalid of the end of a reader, before io.ReadFull makes io.ErrUnexpectedEOF of it, which may come from the reader too.
type noEOF struct{ io.Reader }

func (r noEOF) Read(p []byte) (n int, err error) {
	if n, err = r.Reader.Read(p); err == io.EOF {
		err = ErrInvalid
	}
	return n, err
}

// Read returns the next part of the message, all of it authentic. The error is io.EOF when the message is complete, ErrTruncated, ErrInvalid
// or that of the underlying reader, and is final.
func (r *Reader) Read(p []byte) (int, error) {
	if r.r == nil {
		return 0, ErrInvalid
	}
	n, err := r.r().Read(p)
	return n, public(err)
}

// WriteTo writes the rest of the message to w, without copying it first. io.Copy calls it. It returns nil when the message is complete. An
// error of w is final for a Reader of several workers, who have got ahead of it.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.r == nil {
		return 0, ErrInvalid
	}
	n, err := r.r().WriteTo(w)
	return n, public(err)
}

// A ReaderAt decrypts any part of a stream. It is safe for concurrent use if the underlying io.ReaderAt is (an *os.File is). The
// zero ReaderAt reads nothing (ErrInvalid).
type ReaderAt struct{ r func() *chunked.ReaderAt }

// NewReaderAt returns a ReaderAt of the message in a stream of size bytes. It reads the beginning and the last chunk, and authenticates both,
// so that Size is true and a stream cut at a chunk's end is ErrTruncated from the start. Its other errors are those of NewReader.
func (k *Keyring) NewReaderAt(r io.ReaderAt, size int64, c Context) (*ReaderAt, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if size < StreamOverhead {
		return nil, ErrInvalid
	}
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(noEOF{io.NewSectionReader(r, 0, size)}, head); err != nil {
		return nil, err
	}
	e, err := k.streamOpener(head)
	if err != nil {
		return nil, err
	}
	binding := c.binding(streamVersion, e.ID)
	defer release(binding)
	x, err := chunked.NewReaderAt(r, headerSize, size, e.stream(), *binding)
	if err != nil {
		return nil, public(err)
	}
	return &ReaderAt{func() *chunked.ReaderAt { return x }}, nil
}

// ReadAt reads len(p) bytes of the message from off on, all of them authentic. Fewer come with an error only: io.EOF at the end of the
// message, ErrInvalid, ErrTruncated if the stream has become shorter meanwhile, or that of the underlying reader. It decrypts whole
// chunks of 16 KiB, so many small reads in a row are better made through a bufio.Reader on an io.SectionReader. It keeps nothing between
// calls; for several parts at once call it from several goroutines.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if r.r == nil {
		return 0, ErrInvalid
	}
	n, err := r.r().ReadAt(p, off)
	return n, public(err)
}

// Size returns the length of the message in bytes.
func (r *ReaderAt) Size() int64 {
	if r.r == nil {
		return 0
	}
	return r.r().Size()
}

// public makes this package's errors of those of package chunked. Others are somebody else's and stay what they are.
func public(err error) error {
	switch err {
	case chunked.ErrInvalid:
		return ErrInvalid
	case chunked.ErrTruncated:
		return ErrTruncated
	case chunked.ErrTooLarge:
		return ErrTooLarge
	case chunked.ErrClosed:
		return ErrClosed
	case chunked.ErrFIPS:
		return ErrFIPS
	case chunked.ErrBusy:
		return errOverlap
	case chunked.ErrInterrupted:
		return errInterrupted
	case chunked.ErrCount:
		return errCount
	case chunked.ErrOffset:
		return errOffset
	}
	return err
}
