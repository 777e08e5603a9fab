package exchange

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
)

// Caller is what rooms may know of the authenticated caller. Slices are shared and read only.
type Caller struct {
	Issuer, Subject, Tenant, ClientID, KeyID, Method, Plan string
	Scopes, Roles, Models                                  []string
	// Principal is the room's own value, for the room that set it.
	Principal any
}

// Usage is what a request consumed.
type Usage struct {
	Input, CachedInput, Output, MicroUSD int64
	Known                                bool // the reply said so
	Estimated                            bool // some of it was counted by us
}

// Finding is one thing a detector saw, and how often. It never holds the text itself.
type Finding struct {
	Kind, Rule, Action, Direction string
	// Count is kept by the exchange: equal findings are one.
	Count int
}

// ResponseFacts is what left through the exchange's own writer.
type ResponseFacts struct {
	Status     int       // 0 while nothing was written; net/http then answers 200 when the handler returns
	Bytes      int64     // body bytes accepted by the writer below
	FirstToken time.Time // first stream event with content, when a tap looked for it
	LastByte   time.Time
	Streamed   bool
	Aborted    bool // a write failed: the client is gone
	Hijacked   bool
	Finish     string // finish reason, when a tap looked for it
}

// ID returns the request id.
func (x *Exchange) ID() string { return x.id }

// Start returns when the exchange began.
func (x *Exchange) Start() time.Time { return x.start }

// Dialect returns the API dialect, told by the path.
func (x *Exchange) Dialect() dialect.Dialect {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dialect
}

// Addr returns the client address, without zone, IPv4-mapped addresses as IPv4; the zero Addr when the peer has none (a Unix
// socket). The first room that brings trusted proxies decides for all; without any it is the connection's peer.
func (x *Exchange) Addr(r *http.Request, trusted *Proxies) netip.Addr {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.addrChecked {
		return x.addr
	}
	if trusted != nil {
		x.addr, x.addrChecked, x.proxies = trusted.Client(r), true, trusted
	} else if !x.addr.IsValid() {
		x.addr = peer(r.RemoteAddr)
	}
	return x.addr
}

// Proxies returns the trusted proxies that decided [Exchange.Addr], nil when no room has brought any.
func (x *Exchange) Proxies() *Proxies {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.proxies
}

// KnownAddr returns the client address that an earlier [Exchange.Addr] found; the zero Addr when nobody has asked, or the peer has
// none.
func (x *Exchange) KnownAddr() netip.Addr {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.addr
}

// SetCaller records who is calling.
func (x *Exchange) SetCaller(c Caller) {
	x.mu.Lock()
	x.caller = &c
	x.mu.Unlock()
}

// Caller returns the caller set on this exchange.
func (x *Exchange) Caller() (*Caller, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.caller, x.caller != nil
}

// WithCaller returns a context that names c as the caller to every room inside, over what the exchange says.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, &c)
}

// WithoutCaller returns a context that has no caller, whoever is the caller further out.
func WithoutCaller(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, (*Caller)(nil))
}

// CallerFrom returns the caller of a request context: the innermost [WithCaller], else the exchange's.
func CallerFrom(ctx context.Context) (*Caller, bool) {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c, c != nil
}

// SetRoute records the matched route pattern.
func (x *Exchange) SetRoute(pattern string) {
	x.mu.Lock()
	x.route = pattern
	x.mu.Unlock()
}

// Route returns the matched route pattern, empty when no router said so.
func (x *Exchange) Route() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.route
}

// SetModel records the model that will be dispatched.
func (x *Exchange) SetModel(m string) {
	x.mu.Lock()
	x.model = m
	x.mu.Unlock()
}

// Model returns the model, empty when unknown.
func (x *Exchange) Model() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.model
}

// SetReservation leaves the limiter's reservation for its own public door.
func (x *Exchange) SetReservation(v any) {
	x.mu.Lock()
	x.reservation = v
	x.mu.Unlock()
}

// Reservation returns what [Exchange.SetReservation] left.
func (x *Exchange) Reservation() any {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.reservation
}

// SetUsage records what the request consumed.
func (x *Exchange) SetUsage(u Usage) {
	x.mu.Lock()
	x.usage, x.hasUsage = u, true
	x.mu.Unlock()
}

// Usage returns what the request consumed; ok is false when nobody said.
func (x *Exchange) Usage() (u Usage, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.usage, x.hasUsage
}

// maxFindings bounds the different findings of one request. Kinds, rules and actions come from tables, so nobody gets there by
// writing text; more of the same only counts.
const maxFindings = 64

// AddFinding records a finding. A text full of one kind hides none of another.
func (x *Exchange) AddFinding(f Finding) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.Count = 0
	for i := range x.findings {
		g := x.findings[i]
		g.Count = 0
		if g == f {
			x.findings[i].Count++
			return
		}
	}
	if len(x.findings) < maxFindings {
		f.Count = 1
		x.findings = append(x.findings, f)
	}
}

// Findings returns a copy of the findings so far.
func (x *Exchange) Findings() []Finding {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.findings) == 0 {
		return nil
	}
	return append([]Finding(nil), x.findings...)
}

// Denial returns the first refusal or failure, nil for none.
func (x *Exchange) Denial() *deny.Denial {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.denial
}

// SetDenial records a failure that was not written by [Exchange.Refuse], such as a recovered panic. The first one stays.
func (x *Exchange) SetDenial(d *deny.Denial) {
	x.mu.Lock()
	if x.denial == nil {
		x.denial = d
	}
	x.mu.Unlock()
}

// Response returns what has left so far.
func (x *Exchange) Response() ResponseFacts {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.response
}

// Put keeps a room's private fact under its own unexported key type.
func (x *Exchange) Put(key, value any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.values {
		if x.values[i].key == key {
			x.values[i].value = value
			return
		}
	}
	if x.values == nil {
		x.values = x.firstValue[:0]
	}
	x.values = append(x.values, pair{key, value})
}

// Get returns what [Exchange.Put] keeps, nil for nothing.
func (x *Exchange) Get(key any) any {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.values {
		if x.values[i].key == key {
			return x.values[i].value
		}
	}
	return nil
}
