package upload

import (
	"bytes"
	"io"

	"github.com/mantlet-go/mantlet/internal/deny"
)

// reader finds the parts of a multipart body (RFC 2046 section 5.1.1) through a window of fixed length. It is stricter than
// mime/multipart, because lenient readers disagree: line ends are CRLF, nothing stands before the first boundary or after the
// last but one line end, and a boundary is followed by a line end or by the two hyphens that end the form.
type reader struct {
	src   io.Reader
	max   int64  // bytes of the body
	delim []byte // CRLF, two hyphens, boundary

	buf    []byte
	r, w   int
	total  int64
	err    error // of src, behind the window
	begun  bool
	inBody bool
	closed bool // the last boundary was seen
}

// fill reads more into the window, which must not be full after the rest was moved to its front.
func (r *reader) fill() *Error {
	if r.err != nil {
		return unread(r.err)
	}
	if r.buf == nil {
		r.buf = make([]byte, bufferLen)
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.total += int64(n)
		r.err = err
		if r.total > r.max {
			return refuse(deny.BodyTooLarge, "MaxTotal", "")
		}
		if n > 0 || err != nil {
			return nil
		}
	}
	return unread(io.ErrNoProgress)
}

// need makes sure that n bytes are in the window.
func (r *reader) need(n int) *Error {
	for r.w-r.r < n {
		if r.err != nil {
			return unread(r.err)
		}
		if e := r.fill(); e != nil {
			return e
		}
	}
	return nil
}

// has reports whether the next bytes are s, which it then consumes.
func (r *reader) has(s string) (bool, *Error) {
	if e := r.need(len(s)); e != nil {
		return false, e
	}
	if string(r.buf[r.r:r.r+len(s)]) != s {
		return false, nil
	}
	r.r += len(s)
	return true, nil
}

// next goes to the next part, over what is left of the one before, and returns its headers: lines with their ends. They are
// valid until the next call of any method. more is false at the end of the form.
func (r *reader) next(max int) (header []byte, more bool, e *Error) {
	if r.closed {
		return nil, false, nil
	}
	if !r.begun {
		r.begun = true
		if ok, e := r.has(string(r.delim[2:])); e != nil {
			return nil, false, e
		} else if !ok {
			return nil, false, malformed("form", "The form does not begin with its boundary.")
		}
	}
	if e := r.need(2); e != nil {
		return nil, false, e
	}
	switch string(r.buf[r.r : r.r+2]) {
	case "--":
		r.r += 2
		return nil, false, r.epilogue()
	case "\r\n":
	default:
		// It may also be data that begins like the boundary; then the sender had to choose another one.
		return nil, false, malformed("form", "A boundary is followed by neither a line end nor two hyphens.")
	}
	// The line end of the boundary is kept as the first bytes, so that headers of no line end in "\r\n\r\n" too.
	for {
		window := r.buf[r.r:r.w]
		if i := bytes.Index(window, []byte("\r\n\r\n")); i >= 0 && i <= max {
			header = window[2 : i+2]
			if i == 0 {
				header = nil
			}
			r.r += i + 4
			r.inBody = true
			return header, true, nil
		}
		if len(window) >= max+4 {
			return nil, false, refuse(deny.LimitExceeded, "MaxHeader", "The headers of a part are too long.")
		}
		if e := r.fill(); e != nil {
			return nil, false, e
		}
	}
}

// epilogue checks that nothing follows the last boundary but one line end.
func (r *reader) epilogue() *Error {
	r.closed = true
	for r.err == nil && r.w-r.r <= 2 {
		if e := r.fill(); e != nil {
			return e
		}
	}
	if rest := string(r.buf[r.r:r.w]); rest != "" && rest != "\r\n" {
		return malformed("form", "Something follows the last boundary of the form.")
	}
	if r.err != io.EOF {
		return unread(r.err)
	}
	return nil
}

// data returns a piece of the body of the part, nil at its end. The piece is valid until the next call.
func (r *reader) data() ([]byte, *Error) {
	if !r.inBody {
		return nil, nil
	}
	for {
		window := r.buf[r.r:r.w]
		i := bytes.Index(window, r.delim)
		switch {
		case i > 0:
			r.r += i
			return window[:i], nil
		case i == 0:
			r.r += len(r.delim)
			r.inBody = false
			return nil, nil
		}
		// What may be the beginning of the boundary stays.
		if n := len(window) - held(window, r.delim); n > 0 {
			r.r += n
			return window[:n], nil
		}
		if e := r.fill(); e != nil {
			return nil, e
		}
	}
}

// held returns the length of the longest end of b that is a beginning of delim. The first byte of delim, a carriage return,
// occurs in it nowhere else: so it is the last one in b.
func held(b, delim []byte) int {
	tail := b[max(0, len(b)-len(delim)+1):]
	i := bytes.LastIndexByte(tail, '\r')
	if i >= 0 && bytes.HasPrefix(delim, tail[i:]) {
		return len(tail) - i
	}
	return 0
}
