package upload

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// formKey is under which the form of a request is kept.
type formKey struct{}

// From returns the form of a request behind [Inspector.Handler], to be read in place of r.Body: part by part, with the types
// and names that were found. Use the one or the other. Answer only after [Form.Next] has returned io.EOF. ok is false when there
// is none: no Inspector stands around the handler, it is in shadow mode, or the request has no body.
func From(ctx context.Context) (*Form, bool) {
	x := exchange.From(ctx)
	if x == nil {
		return nil, false
	}
	f, ok := x.Get(formKey{}).(*Form)
	return f, ok
}

// Handler returns a handler that runs next with the form of the request, verified as next reads it. It panics when next is nil.
//
// next finds another form in r.Body, made anew from the parts that were found right: its own boundary, the names of the fields,
// random file names (see Config.KeepNames), the type that was verified, and no other header. It may read that with
// r.MultipartReader or r.ParseMultipartForm, hand it to an upstream as httputil.ReverseProxy does, or ignore it and read the
// parts from [From]. Nothing is stored: next sees the bytes while they arrive.
//
// What is wrong with a form may show only at its end. Then the reader of r.Body gets an *[Error] in place of the rest, so that
// a reverse proxy cuts its request, without the boundary that would make it complete; and whatever next answers after that is
// replaced by the refusal. So next should answer only when it has read to the end (io.EOF). A success that it had begun to
// answer before the verdict is cut off with a panic of [http.ErrAbortHandler]: the client sees a broken answer. What next does
// not read is not verified.
//
// Trailers of the request do not reach next.
func (in *Inspector) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("upload: Inspector.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if in == nil || !in.configured {
			x.Refuse(w, r, refuse(deny.InternalError, "", "").denial())
			return
		}
		if bodyless(r.Method) && exchange.NoBody(r) {
			next.ServeHTTP(w, r)
			return
		}
		deadline := &deadline{w: w, r: r, limit: in.cfg.ReadTimeout}
		form, e := in.admit(r)
		switch {
		case e != nil:
			in.report(x, e)
			if in.cfg.Shadow {
				next.ServeHTTP(w, r)
				return
			}
			deadline.set() // net/http reads on a little before it lets the connection go
			x.RefuseWith(w, r, e.denial(), in.cfg.Deny)
		case in.cfg.Shadow:
			in.watch(x, w, r, form, next)
		default:
			form.r.src = &timed{src: r.Body, deadline: deadline}
			form.onEnd = deadline.clear
			body := &stream{form: form, src: r.Body, deadline: deadline, boundary: randomName()}
			defer body.Close()
			r = r.WithContext(r.Context())
			r.Header = r.Header.Clone()
			r.Header.Set("Content-Type", "multipart/form-data; boundary="+body.boundary)
			for _, name := range append(exchange.Digests[:], "Content-Length") { // they speak of the form as it was sent
				delete(r.Header, name)
			}
			r.Body, r.GetBody, r.ContentLength, r.TransferEncoding = body, nil, -1, nil
			r.Trailer = nil // fields that nobody has checked
			x.Put(formKey{}, form)
			x.Serve(w, r, &guard{in: in, form: form, w: w, r: r}, next)
		}
	})
}

// admit decides by the headers of the request.
func (in *Inspector) admit(r *http.Request) (*Form, *Error) {
	types := r.Header["Content-Type"]
	if len(types) != 1 { // of two every reader may pick another one
		types = []string{""}
	}
	f, err := in.Open(types[0], r.Body)
	if err != nil {
		return nil, err.(*Error)
	}
	for _, line := range r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if c := strings.TrimSpace(coding); c != "" && !strings.EqualFold(c, "identity") {
				e := refuse(deny.UnsupportedMediaType, "Content-Encoding", "A request body with a content coding is not supported.")
				e.header = http.Header{"Accept": {"multipart/form-data"}, "Accept-Encoding": {"identity"}}
				return nil, e
			}
		}
	}
	if r.ContentLength > in.cfg.MaxTotal {
		// Before the first read: a client that sent "Expect: 100-continue" is never told to go on.
		return nil, refuse(deny.BodyTooLarge, "MaxTotal", "")
	}
	if r.Body == nil {
		return nil, malformed("form", "The request body is empty.")
	}
	return f, nil
}

// bodyless reports whether RFC 9110 section 9.3 gives content in such a request no meaning.
func bodyless(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// Refuse answers a request that a handler turns down because of err, in the form of the refusals of an [Inspector]. It is for
// the errors of [Form] and [Part], also as r.MultipartReader and r.ParseMultipartForm pass them on, and for those of package
// validate; any other error becomes a 500 without its text. The handler returns afterwards.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	var d *deny.Denial
	if !errors.As(err, &d) {
		e := refuse(deny.InternalError, "", "")
		e.cause = err
		d = e.denial()
	}
	x.Refuse(w, r, d)
}

// guard stands at the way out: an answer to a form that turned out wrong does not leave.
type guard struct {
	in   *Inspector
	form *Form
	w    http.ResponseWriter
	r    *http.Request
}

// out is the writer of a refusal: it writes at the guard's place, and unwraps to the writer of the request.
type out struct {
	exchange.Out
	w http.ResponseWriter
}

func (o out) Unwrap() http.ResponseWriter { return o.w }

// Header implements [exchange.Tap].
func (g *guard) Header(o exchange.Out, _ int) exchange.Mode {
	e := g.form.failed.Load()
	if e == nil || o.Refused() {
		return exchange.Pass
	}
	g.refuse(o, e)
	return exchange.Discard
}

// Body implements [exchange.Tap].
func (*guard) Body(o exchange.Out, b *exchange.Body) error { return o.Send(b) }

// End implements [exchange.Tap].
func (g *guard) End(o exchange.Out, how exchange.Outcome) {
	e := g.form.failed.Load()
	if e == nil {
		return
	}
	x := o.Exchange()
	g.in.report(x, e)
	if how == exchange.Completed && o.Status() == 0 {
		g.refuse(o, e)
		return
	}
	x.SetDenial(e.denial()) // keeps the first
	if how == exchange.Completed && o.Status() < 400 && !o.Refused() {
		// It had begun before the verdict. Cut off, it is a success to nobody.
		panic(http.ErrAbortHandler)
	}
}

func (g *guard) refuse(o exchange.Out, e *Error) {
	deny.ClearBody(o.Header()) // the handler's own answer had one
	o.Exchange().RefuseWith(out{o, g.w}, g.r, e.denial(), g.in.cfg.Deny)
}

// deadline bounds the time that the body takes, from its first read.
type deadline struct {
	w     http.ResponseWriter
	r     *http.Request
	limit time.Duration
	once  sync.Once
	lift  func()
}

func (d *deadline) set() {
	d.once.Do(func() { d.lift, _ = exchange.BoundBody(d.w, d.r, d.limit) })
}

// clear takes the deadline away once the body is there.
func (d *deadline) clear() {
	d.set() // a source without bytes was never read
	d.lift()
}

// now ends a Read that waits for the client; false is for a writer without deadlines.
func (d *deadline) now() bool {
	d.set() // or the first Read would set it afterwards
	return http.NewResponseController(d.w).SetReadDeadline(time.Unix(1, 0)) == nil
}

type timed struct {
	src io.Reader
	*deadline
}

func (t *timed) Read(p []byte) (int, error) {
	t.set()
	return t.src.Read(p)
}

// stream is the form made anew.
type stream struct {
	mu       sync.Mutex // a transport may read on after its round trip was given up
	form     *Form
	src      io.Closer
	deadline *deadline
	boundary string
	part     *Part
	pending  []byte
	begun    bool
	err      error
}

// Read implements [io.Reader].
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(s.pending) > 0 {
			n := copy(p, s.pending)
			s.pending = s.pending[n:]
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if s.part != nil {
			n, err := s.part.Read(p)
			if err == io.EOF {
				s.part = nil
			} else if err != nil {
				s.err = err
			}
			if n > 0 {
				return n, nil
			}
			continue
		}
		s.part, s.err = s.form.Next()
		lead := "--"
		if s.begun {
			lead = "\r\n--"
		}
		s.begun = true
		switch s.err {
		case nil:
			s.pending = s.header(lead)
		case io.EOF:
			s.pending = []byte(lead + s.boundary + "--\r\n")
		}
	}
}

// header returns the boundary and the headers of a part. Names hold nothing that would need an escape.
func (s *stream) header(lead string) []byte {
	p := s.part
	b := make([]byte, 0, 256)
	b = append(b, lead+s.boundary+"\r\nContent-Disposition: form-data; name=\""+p.Name+`"`...)
	if p.IsFile() {
		b = append(b, `; filename="`+p.Filename+"\"\r\nContent-Type: "+p.ContentType...)
	}
	return append(b, "\r\n\r\n"...)
}

// errClosed is the error of a body that is read after its request.
var errClosed = errors.New("upload: read of a closed request body")

// Close implements [io.Closer].
func (s *stream) Close() error {
	if !s.mu.TryLock() {
		// A Read waits for the client. In HTTP/1 closing the body would wait for that Read; a body of another making ends by it.
		if !s.deadline.now() {
			s.src.Close()
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.err, s.pending = errClosed, nil
	s.deadline.set() // to close the body of HTTP/1 is to read some of what is left
	return s.src.Close()
}

// watch is Handler in shadow mode: next reads the client's own bytes, and a copy of them is judged on the side.
func (in *Inspector) watch(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, form *Form, next http.Handler) {
	pr, pw := io.Pipe()
	form.r.src = pr
	verdict := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if v := recover(); v != nil {
				err = refuse(deny.InternalError, "", "") // an observer must not take the process down
			}
			pr.CloseWithError(io.ErrClosedPipe) // nobody waits for a reader that has made up its mind
			verdict <- err
		}()
		for err == nil {
			var p *Part
			if p, err = form.Next(); err == nil {
				_, err = io.Copy(io.Discard, p)
			}
		}
	}()
	r = r.WithContext(r.Context())
	r.Body = &copied{ReadCloser: r.Body, to: pw}
	defer func() {
		pw.CloseWithError(errClosed) // as far as it was read
		var e *Error
		if err := <-verdict; errors.As(err, &e) && !errors.Is(e, errClosed) {
			in.report(x, e)
		}
	}()
	next.ServeHTTP(w, r)
}

// copied is a body of which a copy goes elsewhere.
type copied struct {
	io.ReadCloser
	to *io.PipeWriter
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.to.Write(p[:n]) // its error is that of an observer who has seen enough
	}
	if err != nil {
		c.to.CloseWithError(err)
	}
	return n, err
}

// report leaves a refusal, real or not, where operators look.
func (in *Inspector) report(x *exchange.Exchange, e *Error) {
	action := "refuse"
	if in.cfg.Shadow {
		action = "shadow"
		x.AddFinding(exchange.Finding{Kind: "upload", Rule: e.Code, Action: action, Direction: "request"})
	}
	logger := in.cfg.Logger
	if logger == nil {
		logger = slog.Default() // as it is now: programs set it up after they have made their Inspectors
	}
	if !logger.Enabled(x, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", x.ID()), slog.String("action", action), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("rule", e.Rule), slog.Int("part", e.Part)}
	if e.cause != nil {
		// Causes are errors of the connection and of package filetype. None holds a byte of the form.
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	logger.LogAttrs(x, slog.LevelDebug, "upload: form refused", attrs...)
}
