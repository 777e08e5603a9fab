// Package exchange is the per-request record that rooms share, and the only response wrapper.
//
// Whichever room is outermost creates one [Exchange] per request with [Enter]; the rooms inside find it through the request
// context. It carries typed facts that rooms leave for each other (request id, client address, caller, model, body, usage,
// findings, denial, timings): a room writes only its own facts and may read all. It owns the request body once it was read
// ([Exchange.ReadBody]) and the response on its way out ([Tap]).
//
// An Exchange is the request's context too: it is one allocation beside the one request copy that carries it. It is never
// pooled, because a handler may keep its request. Its methods are safe for concurrent use unless they say otherwise; the
// response writer has net/http's own rule (one goroutine at a time).
package exchange

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
)

// Exchange is the record of one request. Use [Enter].
type Exchange struct {
	parent  context.Context
	start   time.Time
	uri     string // of the request line, see Enter
	id      string
	idValue [1]string // the header value, so that echoing it allocates nothing

	base   level    // the outermost writer of this request
	store  [4]level // room for the taps of a full pipeline
	stored int

	body body

	mu        sync.Mutex
	depth     int
	own       context.Context // created when somebody asks for Done
	cancelOwn context.CancelCauseFunc

	dialect     dialect.Dialect
	addr        netip.Addr
	addrChecked bool // resolved through configured proxies
	proxies     *Proxies
	caller      *Caller
	route       string
	model       string
	reservation any
	usage       Usage
	hasUsage    bool
	findings    []Finding
	denial      *deny.Denial
	ownsErrors  bool
	envelope    deny.Envelope
	values      []pair
	firstValue  [1]pair // most requests carry no more than one private fact
	stream      *dialect.Stream
	response    ResponseFacts
}

type pair struct{ key, value any }

type contextKey struct{}
type callerKey struct{}

// RequestIDHeader is the header that carries the request id in both directions.
const RequestIDHeader = "X-Request-Id"

// Enter returns the exchange of r together with the writer and the request to hand on. When r has none it makes one: then
// the returned writer is the exchange's own wrapper of w and the returned request is a copy with the exchange as context.
// Every Enter is paired with a deferred [Exchange.Leave].
//
// A request that a handler makes itself and serves in process (a batch) carries the context of the one it came with, but is not
// that request: it has no request line of its own. It gets an exchange of its own, or it would share the other's body and charge.
func Enter(w http.ResponseWriter, r *http.Request) (*Exchange, http.ResponseWriter, *http.Request) {
	if x := From(r.Context()); x != nil && x.uri == r.RequestURI {
		x.mu.Lock()
		x.depth++
		x.mu.Unlock()
		return x, w, r
	}
	x := &Exchange{parent: r.Context(), start: time.Now(), uri: r.RequestURI, depth: 1}
	x.id = requestID(r.Header)
	x.idValue[0] = x.id
	x.dialect = dialect.ForPath(r.URL.Path)
	w.Header()[RequestIDHeader] = x.idValue[:]
	x.base.stand(x, w, r)
	return x, x.base.handle(), r.WithContext(x)
}

// Leave ends what the matching [Enter] began. When the outermost room leaves, the context is released.
func (x *Exchange) Leave() {
	x.mu.Lock()
	x.depth--
	last, cancel := x.depth == 0, x.cancelOwn
	x.mu.Unlock()
	if last && cancel != nil {
		cancel(nil)
	}
}

// From returns the exchange of a request context, or nil.
func From(ctx context.Context) *Exchange {
	x, _ := ctx.Value(contextKey{}).(*Exchange)
	return x
}

// requestID takes the client's id when it is 1 to 64 characters of [A-Za-z0-9._-], sent once; otherwise it draws 128 bits.
func requestID(h http.Header) string {
	if v := h[RequestIDHeader]; len(v) == 1 && validID(v[0]) {
		return v[0]
	}
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			continue
		}
		return false
	}
	return true
}

// String names the exchange. It is a context, and printing a context must not print a prompt or a caller.
func (x *Exchange) String() string { return "exchange " + x.id }

// The context.Context half. Done is lazy: only when somebody listens does a cancellable context come into being, so a
// request nobody may cancel costs nothing.

// Deadline implements [context.Context].
func (x *Exchange) Deadline() (time.Time, bool) { return x.parent.Deadline() }

// Done implements [context.Context].
func (x *Exchange) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listen().Done()
}

// listen makes the context cancellable. It is called with x.mu held.
func (x *Exchange) listen() context.Context {
	if x.own == nil {
		x.own, x.cancelOwn = context.WithCancelCause(x.parent)
		if x.depth <= 0 { // the request is over, as it would be for a context of net/http
			x.cancelOwn(nil)
		}
	}
	return x.own
}

// Err implements [context.Context].
func (x *Exchange) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.own != nil {
		return x.own.Err()
	}
	return x.parent.Err()
}

// Value implements [context.Context].
func (x *Exchange) Value(key any) any {
	switch key.(type) {
	case contextKey:
		return x
	case callerKey:
		if c, ok := x.Caller(); ok {
			return c
		}
	}
	x.mu.Lock()
	ctx := x.own
	x.mu.Unlock()
	if ctx == nil {
		ctx = x.parent
	}
	return ctx.Value(key)
}

// Cancel cancels the context that the rooms and handlers inside see; [context.Cause] of it is then cause. The response stays
// writable.
func (x *Exchange) Cancel(cause error) {
	x.mu.Lock()
	x.listen()
	cancel := x.cancelOwn
	x.mu.Unlock()
	cancel(cause)
}

// Refuse writes d as the response, records it, and leaves nothing more to do: the caller returns without running next. If a
// response has already begun at w's place, d is recorded only.
func (x *Exchange) Refuse(w http.ResponseWriter, r *http.Request, d *deny.Denial) {
	x.RefuseWith(w, r, d, nil)
}

// RefuseWith is [Exchange.Refuse] with a room's own reply: custom, when not nil, writes it instead, unless a room further
// out owns the shape of errors ([Exchange.OwnErrors]). The headers of d are set before; the error custom gets is d.
func (x *Exchange) RefuseWith(w http.ResponseWriter, r *http.Request, d *deny.Denial, custom func(http.ResponseWriter, *http.Request, error)) {
	x.mu.Lock()
	if x.denial == nil {
		x.denial = d
	}
	envelope, owned := x.envelope, x.ownsErrors
	x.mu.Unlock()
	if l := x.behind(w); l != nil {
		if l.wrote {
			return
		}
		l.root().refused = true
	}
	if custom != nil && !owned {
		for k, v := range d.Header {
			w.Header()[http.CanonicalHeaderKey(k)] = v
		}
		custom(w, r, d)
		return
	}
	deny.Write(w, r, d, envelope, x.id)
}

// OwnErrors declares that the calling room decides the shape of every refusal inside it.
func (x *Exchange) OwnErrors(e deny.Envelope) {
	x.mu.Lock()
	if !x.ownsErrors {
		x.ownsErrors, x.envelope = true, e
	}
	x.mu.Unlock()
}
