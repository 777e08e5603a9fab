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
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
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
			x.Refuse(w, r, refuse(deny.InternalError).denial())
			return
		}
		if e := p.admit(x, w, r); e != nil {
			p.report(x, e)
			if !p.shadow {
				// net/http drains a short unread body before it lets the connection go. Bound that too: otherwise a
				// refused body that never comes holds the connection for as long as the client likes.
				p.bound(x, w, r)
				x.RefuseWith(w, r, e.denial(), p.deny)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Refuse answers a request that a handler turns down because of err, in the same form as the refusals of a [Validator].
// It is for the errors of [Body]; any error that is not an *Error becomes a 500 without its text. The handler returns
// afterwards.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { reply(w, r, err, nil) }

// reply is Refuse with a reply of one's own.
func reply(w http.ResponseWriter, r *http.Request, err error, custom func(http.ResponseWriter, *http.Request, error)) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	var e *Error
	if !errors.As(err, &e) {
		e = refuse(deny.InternalError)
		e.cause = err
	}
	x.RefuseWith(w, r, e.denial(), custom)
}

// admit runs the checks in order; the first refusal decides.
func (p *policy) admit(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) *Error {
	if len(p.methods) > 0 && !slices.Contains(p.methods, r.Method) {
		e := refuse(deny.MethodNotAllowed)
		e.header = http.Header{"Allow": {strings.Join(p.methods, ", ")}}
		return e
	}
	// A length of -1 (chunked, HTTP/2) counts as a body: it may turn out to be one.
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		if !p.require && bodyless(r.Method) {
			return nil
		}
		return p.scan(nil, nil) // the refusal of an empty body
	}
	zipped, e := p.mediaType(r.Header)
	if e != nil {
		return e
	}
	if r.ContentLength > p.maxBody {
		// Before the first read: net/http answers "Expect: 100-continue" when the body is first read, so the client is
		// never told to go on.
		return refuse(deny.BodyTooLarge)
	}
	var data []byte
	if p.shadow {
		data, e = p.peek(x, w, r)
	} else {
		data, e = p.read(x, w, r)
	}
	if e != nil {
		return e
	}
	if zipped && len(data) > 0 {
		if data, e = p.gzip.decode(data); e != nil {
			return e
		}
		if !p.shadow {
			x.DecodeBody(r, data)
		}
	}
	if len(data) == 0 && !p.require && bodyless(r.Method) {
		return nil
	}

	// One pass: grammar and limits here, the facts of the request for the rooms behind.
	facts, decoded := newFacts()
	if x.Get(receivedKey{}) == nil { // of two Validators around a handler the outer one's will do
		x.Put(receivedKey{}, decoded)
	}
	facts.Reset(x.Dialect())
	var visitor jsonscan.Visitor = facts
	var t *pass
	if p.schema != nil {
		t = newPass(p.schema, &p.limits, facts)
		defer t.release()
		visitor = t
	}
	if e := p.scan(data, visitor); e != nil {
		return e
	}
	facts.Finish(data)
	if !zipped || !p.shadow { // facts point into the bytes that the others see
		x.SetRequest(facts)
	}
	if facts.Model != "" {
		x.SetModel(facts.Model)
	}
	if p.schema == nil {
		return nil
	}
	return p.conform(data, t)
}

// newFacts returns facts with room for the texts of a short conversation, and room for what a handler decodes, in one piece.
func newFacts() (*dialect.Request, *cache) {
	f := new(struct {
		request dialect.Request
		texts   [8]dialect.Text
		decoded cache
	})
	f.request.Texts = f.texts[:0]
	return &f.request, &f.decoded
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
func (p *policy) read(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	bounded := p.bound(x, w, r)
	data, err := x.ReadBody(w, r, p.maxBody)
	if err != nil {
		return nil, unread(err) // the deadline stays: what is left of the body must not be waited for
	}
	// Trailers are fields that nobody has checked, and arrive after every decision. Behind us there are none.
	r.Trailer = nil
	if bounded {
		// Now it must go: net/http watches for a vanished client by reading on, and a deadline there would cancel a
		// long answer.
		setReadDeadline(w, time.Time{})
	}
	return data, nil
}

// bound sets the deadline by which the body must be there, unless it is already. It reports whether it did: a writer
// without deadlines has only the server's own timeouts.
func (p *policy) bound(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) bool {
	if _, ok := x.ReadBytes(); ok {
		return false
	}
	limit := p.timeout
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ReadTimeout > 0 {
		limit = min(limit, s.ReadTimeout)
	}
	return setReadDeadline(w, x.Start().Add(limit))
}

// setReadDeadline does what http.ResponseController does, and reports whether it worked. The controller makes a new error
// for each writer that has no deadlines, which costs more than the whole question.
func setReadDeadline(w http.ResponseWriter, t time.Time) bool {
	for {
		switch u := w.(type) {
		case interface{ SetReadDeadline(time.Time) error }:
			return u.SetReadDeadline(t) == nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = u.Unwrap()
		default:
			return false
		}
	}
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
		e.header = http.Header{"Connection": {"close"}} // RFC 9110 section 15.5.9
	default:
		e = refuse(deny.InvalidJSON) // cut off, or bad chunks: whatever the client meant, it is not a whole body
		e.Message = "The request body could not be read."
	}
	e.cause = err
	return e
}

// peek is read for shadow mode: whatever happens, the handler finds the body as the client sends it, errors included.
// There is no read deadline, since one that fires would take the body away from the handler.
func (p *policy) peek(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	if _, ok := x.ReadBytes(); !ok {
		rest := r.Body
		data, err := io.ReadAll(io.LimitReader(rest, p.maxBody+1))
		if err != nil || int64(len(data)) > p.maxBody {
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
	data, err := x.ReadBody(w, r, p.maxBody)
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
	logger := p.log
	if logger == nil {
		logger = slog.Default() // as it is now: programs set it up after they have made their Validators
	}
	if !logger.Enabled(x, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", x.ID()), slog.String("action", action), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("pointer", e.Pointer), slog.String("keyword", e.Keyword)}
	if e.cause != nil {
		// Causes are errors of the connection and of the scanner, and strange members. None holds a value of the body.
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	logger.LogAttrs(x, slog.LevelDebug, "validate: request refused", attrs...)
}
