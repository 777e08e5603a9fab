package exchange

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/mantlet-go/mantlet/internal/dialect"
)

// body is the request body once it was read.
type body struct {
	reader  replay
	data    []byte
	read    bool
	bounded bool // by BoundBody
	hidden  bool // by HideBody
	request *dialect.Request
}

// replay is a request body that was read already.
type replay struct{ bytes.Reader }

// Close implements [io.Closer].
func (*replay) Close() error { return nil }

// ReadBody reads the request body once, at most max bytes, and returns it; every later call, and the handler, gets the same
// bytes. r.Body, r.GetBody and r.ContentLength are set to replay them. The slice is shared: do not modify it.
//
// A body longer than max is *http.MaxBytesError; when the announced length says so nothing is read, so a client that sent
// "Expect: 100-continue" is never told to go on. ReadBody is not safe for concurrent use.
func (x *Exchange) ReadBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	if x.body.read && r.Body == io.ReadCloser(&x.body.reader) {
		if int64(len(x.body.data)) > max {
			return nil, &http.MaxBytesError{Limit: max}
		}
		return x.body.data, nil
	}
	if r.ContentLength > max {
		return nil, &http.MaxBytesError{Limit: max}
	}
	var data []byte
	if r.Body != nil && r.Body != http.NoBody {
		// The reader is told the server's own writer, so that it can close a connection whose body was too long.
		for l := levelOf(w, x); l != nil; l = levelOf(w, x) {
			w = l.root().w
		}
		var err error
		if data, err = readAll(http.MaxBytesReader(w, r.Body, max), r.ContentLength); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	x.setBody(r, data)
	return data, nil
}

// ReplaceBody gives every room and handler from here on another body. What was known of the old one's spans is forgotten. The
// header fields that spoke of the old bytes follow, in a copy: who stands outside may still look at what the client sent.
func (x *Exchange) ReplaceBody(r *http.Request, data []byte) {
	x.setBody(r, data)
	r.Header = maps.Clone(r.Header)
	for _, name := range Digests {
		delete(r.Header, name)
	}
	if _, ok := r.Header["Content-Length"]; ok {
		r.Header["Content-Length"] = []string{strconv.Itoa(len(data))}
	}
}

// DecodeBody is [Exchange.ReplaceBody] for what was under a content coding.
func (x *Exchange) DecodeBody(r *http.Request, data []byte) {
	x.ReplaceBody(r, data)
	delete(r.Header, "Content-Encoding")
}

// Digests are the fields that hold a digest of a body as it was sent: RFC 9530, and before it RFC 3230 and RFC 1864.
var Digests = [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5"}

func (x *Exchange) setBody(r *http.Request, data []byte) {
	x.body.data, x.body.read, x.body.request = data, true, nil
	x.body.reader.Reset(data)
	r.Body = &x.body.reader
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	r.ContentLength = int64(len(data))
	r.TransferEncoding = nil
}

// ReadBytes returns the body that [Exchange.ReadBody] read; ok is false when nobody did.
func (x *Exchange) ReadBytes() (data []byte, ok bool) { return x.body.data, x.body.read }

// Request returns the facts of the request body, scanned once; nil when it is not JSON.
func (x *Exchange) Request(data []byte) *dialect.Request {
	if q := x.body.request; q != nil {
		return q
	}
	q := new(dialect.Request)
	q.Reset(x.Dialect())
	if q.Scan(data) != nil {
		return nil
	}
	x.body.request = q
	return q
}

// HideBody says that the body was taken off the request for a while, unread: an empty body is then not what the handler gets.
func (x *Exchange) HideBody() { x.body.hidden = true }

// BodyHidden reports whether [Exchange.HideBody] said so.
func (x *Exchange) BodyHidden() bool { return x.body.hidden }

// SetRequest leaves facts that a room scanned in its own pass.
func (x *Exchange) SetRequest(q *dialect.Request) { x.body.request = q }

// readAll reads r to its end. A believable announced length sizes the first buffer; a boastful one does not.
func readAll(r io.Reader, announced int64) ([]byte, error) {
	size := int64(512)
	if announced >= 0 {
		size = min(announced+1, 64<<10) // one more byte lets the end be seen without growing
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			more := 2 * int64(cap(b))
			if announced >= more {
				more = min(announced+1, 2*more) // who has sent a quarter of what was announced is believed the rest
			}
			b = append(make([]byte, 0, more), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF { // exactly: a wrapped one is a body that was cut off
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// NoBody reports whether a request brings no body, and sees to it: a request that a program made itself may have a ContentLength
// of 0 and a reader all the same, and what nobody has checked must not be read behind.
func NoBody(r *http.Request) bool {
	if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
		return false
	}
	r.Body, r.ContentLength = http.NoBody, 0
	return true
}

// BoundBody bounds the time in which the body must arrive, counted from now, through [http.ResponseController]: limit, or the
// server's ReadTimeout where that is shorter. It replaces a deadline that somebody else has set. lift takes it off again: net/http
// watches for a vanished client by reading on, and a deadline there would cancel a long answer. While one of ours is set, further
// ones change nothing: a client does not get more time because it was refused. ok is false for a writer without deadlines, such
// as httptest.ResponseRecorder.
func BoundBody(w http.ResponseWriter, r *http.Request, limit time.Duration) (lift func(), ok bool) {
	x := From(r.Context())
	if x != nil && x.body.bounded {
		return func() {}, true
	}
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ReadTimeout > 0 {
		limit = min(limit, s.ReadTimeout)
	}
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(limit)) != nil {
		return func() {}, false
	}
	if x != nil {
		x.body.bounded = true
	}
	return func() {
		c.SetReadDeadline(time.Time{})
		if x != nil {
			x.body.bounded = false
		}
	}, true
}
