package validate

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Handler returns a handler that runs next only for requests whose body was accepted. next reads the same bytes from
// r.Body, decoded through [Body], or unparsed through [Raw]. It panics when next is nil.
func (v *Validator) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("validate: Validator.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		p := v.policy()
		if p == nil {
			e := refuse(deny.InternalError)
			e.cause = errNotMade
			logRefusal(x, nil, "refuse", e)
			x.Refuse(w, r, e.denial())
			return
		}
		if e := p.admit(x, w, r); e != nil {
			p.report(x, e)
			if !p.shadow {
				// net/http drains a short unread body before it lets the connection go. Bound that too: otherwise a
				// refused body that never comes holds the connection for as long as the client likes.
				if _, read := x.ReadBytes(); !read {
					exchange.BoundBody(w, r, p.timeout)
				}
				x.RefuseWith(w, r, e.denial(), p.deny)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

var errNotMade = errors.New("validate: Validator was not made by New")

// Refuse answers a request that a handler turns down because of err, in the same form as the refusals of a [Validator], and
// leaves a record of it in the Logger of that. It is for the errors of [Body] and [QueryValues], and takes those of package
// upload and guard as well; any other error becomes a 500 without its text. The handler returns afterwards.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	var by *policy
	if rec := receipt(x); rec != nil {
		by = rec.by
	}
	by.turnDown(x, w, r, err)
}

// turnDown is [Refuse] in the name of p, which may be nil.
func (p *policy) turnDown(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	var logger *slog.Logger
	var custom func(http.ResponseWriter, *http.Request, error)
	if p != nil {
		logger, custom = p.log, p.deny
	}
	var e *Error
	var d *deny.Denial
	switch {
	case errors.As(err, &e):
		logRefusal(x, logger, "refuse", e)
		d = e.denial()
	case errors.As(err, &d): // another package's
	default:
		e = refuse(deny.InternalError)
		e.cause = err
		logRefusal(x, logger, "refuse", e)
		d = e.denial()
	}
	x.RefuseWith(w, r, d, custom)
}

// admit runs the checks in order; the first refusal decides.
func (p *policy) admit(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) *Error {
	if len(p.methods) > 0 && !slices.Contains(p.methods, r.Method) {
		e := refuse(deny.MethodNotAllowed)
		e.header = http.Header{"Allow": {strings.Join(p.methods, ", ")}}
		return e
	}
	if exchange.NoBody(r) {
		if !p.require && bodyless(r.Method) {
			return nil
		}
		return emptyBody()
	}
	// A length of -1 (chunked, HTTP/2) counts as a body: it may turn out to be one.
	zipped, e := p.mediaType(r.Header)
	if e != nil {
		return e
	}
	bound := p.maxBody
	if _, read := x.ReadBytes(); read {
		bound = p.bound() // somebody outside has decoded it
	}
	if r.ContentLength > bound {
		// Before the first read: net/http answers "Expect: 100-continue" when the body is first read, so the client is
		// never told to go on.
		return refuse(deny.BodyTooLarge)
	}
	var data []byte
	if p.shadow {
		data, e = p.peek(x, w, r, bound)
	} else {
		data, e = p.read(x, w, r, bound)
	}
	if e != nil {
		return e
	}
	facts, rec := newFacts()
	rec.by = p
	if zipped && len(data) > 0 {
		if data, e = p.gzip.decode(data); e != nil {
			return e
		}
		if p.shadow {
			rec.decoded = data // the handler reads the body as it came, or what it says through Body
		} else {
			x.DecodeBody(r, data)
		}
	}
	if len(data) == 0 && !p.require && bodyless(r.Method) {
		return nil
	}
	if receipt(x) == nil { // of two Validators around a handler the outer one's will do
		x.Put(receivedKey{}, rec)
	}
	facts.Reset(x.Dialect())
	if e := p.judge(data, facts); e != nil {
		return e
	}
	facts.Finish(data)
	if rec.decoded == nil { // facts point into the bytes that the others see
		x.SetRequest(facts)
	}
	if facts.Model != "" {
		x.SetModel(facts.Model)
	}
	return nil
}

// newFacts returns facts with room for the texts of a short conversation, and room for what a handler decodes, in one piece.
func newFacts() (*dialect.Request, *received) {
	f := new(struct {
		request  dialect.Request
		texts    [8]dialect.Text
		received received
	})
	f.request.Texts = f.texts[:0]
	return &f.request, &f.received
}

// bodyless reports whether RFC 9110 section 9.3 gives content in such a request no meaning. CONNECT is not among them:
// a tunnel has no place behind a validator.
func bodyless(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// read takes the whole body, bounded in bytes and time, and leaves it for everybody behind.
func (p *policy) read(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, max int64) ([]byte, *Error) {
	lift := func() {}
	if _, read := x.ReadBytes(); !read {
		lift, _ = exchange.BoundBody(w, r, p.timeout)
	}
	data, err := x.ReadBody(w, r, max)
	if err != nil {
		return nil, unread(err) // the deadline stays: what is left of the body must not be waited for
	}
	lift()
	// Trailers are fields that nobody has checked, and arrive after every decision. Behind us there are none.
	r.Trailer = nil
	return data, nil
}

// unread turns an error of the connection into a refusal.
func unread(err error) *Error {
	var tooLong *http.MaxBytesError
	var e *Error
	switch {
	case errors.As(err, &tooLong):
		e = refuse(deny.BodyTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		e = refuse(deny.RequestTimeout)
	default:
		e = refuse(deny.InvalidJSON) // cut off, or bad chunks: whatever the client meant, it is not a whole body
		e.Message = "The request body could not be read."
	}
	e.cause = err
	return e
}

// peek is read for shadow mode: whatever happens, the handler finds the body as the client sends it, errors included.
// There is no read deadline, since one that fires would take the body away from the handler.
func (p *policy) peek(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, max int64) ([]byte, *Error) {
	if _, ok := x.ReadBytes(); !ok {
		rest := r.Body
		data, err := io.ReadAll(io.LimitReader(rest, max+1))
		if err != nil || int64(len(data)) > max {
			tail := io.Reader(rest)
			if err != nil {
				tail = failing{err}
			}
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(data), tail), rest}
			if err != nil {
				return nil, unread(err)
			}
			return nil, refuse(deny.BodyTooLarge)
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{bytes.NewReader(data), rest}
	}
	data, err := x.ReadBody(w, r, max)
	if err != nil {
		return nil, unread(err)
	}
	return data, nil
}

// failing is a reader that repeats an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// report leaves a refusal, real or not, where operators look.
func (p *policy) report(x *exchange.Exchange, e *Error) {
	action := "refuse"
	if p.shadow {
		action = "shadow"
		x.AddFinding(exchange.Finding{Kind: "validate", Rule: e.Code, Action: action, Direction: "request"})
	}
	logRefusal(x, p.log, action, e)
}

// logRefusal writes one record. Refusals are the client's affair, and so many that they are Debug; who tries a Config in shadow mode
// wants to see what it would do, and a fault of our own is one.
func logRefusal(x *exchange.Exchange, logger *slog.Logger, action string, e *Error) {
	if logger == nil {
		logger = slog.Default() // as it is now: programs set it up after they have made their Validators
	}
	level, message := slog.LevelDebug, "validate: request refused"
	switch {
	case e.Status >= 500:
		level = slog.LevelError
	case action == "shadow":
		level, message = slog.LevelInfo, "validate: request would be refused"
	}
	if !logger.Enabled(x, level) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", x.ID()), slog.String("action", action), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("pointer", e.Pointer), slog.String("keyword", e.Keyword)}
	if e.cause != nil {
		// Causes are errors of the connection and of the scanner, strange members, and what a method Validate said. None but
		// the last can hold a value of the body.
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	logger.LogAttrs(x, level, message, attrs...)
}
