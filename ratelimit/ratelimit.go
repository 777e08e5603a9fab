package ratelimit

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Config says what a [Limiter] enforces. Only Plans has no safe default.
type Config struct {
	// Plans are the classes of callers. With a single plan it applies to every request; with several, Subject.Plan
	// chooses.
	Plans []Plan
	// DefaultPlan is the plan of a subject that names none. Required with several plans.
	DefaultPlan string
	// UnknownPlanOpen gives a subject whose plan is not configured the DefaultPlan. Zero refuses such a request with
	// ErrUnknownPlan: a misspelt plan must not become somebody's better one.
	UnknownPlanOpen bool

	// Store keeps the buckets; nil means a memory store of its own.
	Store Store
	// MaxKeys is the size of that memory store; zero means DefaultMaxKeys. Not together with Store.
	MaxKeys int

	// Models are the models that have buckets of their own in limits ByModel and ByClientModel; requests for any other name,
	// made up or misspelt, share the buckets of the model "". Empty gives every name a bucket, see Limit.By.
	Models []string

	// Prices says what a model costs, for limits that count MicroUSD. Required with such a limit. It is called for
	// every request and must not block. See PriceTable.
	Prices func(model string) Price

	// Subject says whom an HTTP request is charged to; nil means its authenticated caller, its plan and tenant, the model
	// of its body, and the client address. Never take these from headers a client can set.
	Subject func(*http.Request) Subject
	// TrustedProxies are the proxies whose X-Forwarded-For is believed; empty means that the address of the connection is
	// the client's. Used only for the address.
	TrustedProxies []netip.Prefix
	// MaxBody is how much of a request body is read to find the model and the length of the prompt, if nobody read it
	// before; in bytes, zero means 4 MiB. A longer body is refused with 413.
	MaxBody int64

	// SkipStreamCut lets a stream that has used up its budget go on; what it uses becomes debt. Zero ends the stream
	// with the final event of its dialect.
	SkipStreamCut bool
	// TopUp is how many output tokens a stream that outgrows its reservation is granted at a time; zero means 256.
	TopUp int64

	// OmitHeaders leaves out RateLimit and RateLimit-Policy. Retry-After and retry-after-ms remain.
	OmitHeaders bool
	// Deny replaces the reply to a refused request; nil means the JSON envelope of the API the path belongs to. err is
	// or wraps a *LimitError, ErrUnknownPlan or the store's error; it is not for the client. The headers are already set.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets refusals at level Debug, because a client can cause any number of them; what shadow limits would have refused at
	// Info; and failures of the store, unknown plans and a Limiter that was not made by New at Error. No record names a client.
	// Nil means slog.Default() at that moment.
	Logger *slog.Logger
}

// Limiter decides and accounts. It is made by [New], immutable, and safe for concurrent use. The zero value refuses
// everything.
type Limiter struct {
	plans   map[string]*plan
	only    *plan // when there is one plan
	def     *plan
	config  []Plan          // a copy, for Plans
	models  map[string]bool // Config.Models, nil if empty
	open    bool
	mem     *MemoryStore // nil when the store is another
	store   Store
	prices  func(string) Price
	topUp   int64
	http    httpConfig
	log     *slog.Logger
	idHi    uint64
	idLo    atomic.Uint64
	stripes [8]stripe
}

// New makes a Limiter. It reports every fault of the configuration at once.
func New(cfg Config) (*Limiter, error) {
	var errs []error
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf("ratelimit: "+format, a...)) }
	l := &Limiter{
		plans:  make(map[string]*plan, len(cfg.Plans)),
		open:   cfg.UnknownPlanOpen,
		store:  cfg.Store,
		prices: cfg.Prices,
		topUp:  cfg.TopUp,
		log:    cfg.Logger,
	}
	l.config = clonePlans(cfg.Plans)
	for i, m := range cfg.Models {
		if m == "" || l.models[m] {
			fail("Config.Models[%d] %q is empty or occurs twice", i, m)
			continue
		}
		if l.models == nil {
			l.models = make(map[string]bool, len(cfg.Models))
		}
		l.models[m] = true
	}
	if len(cfg.Plans) == 0 {
		fail("Config.Plans is empty")
	}
	for i, p := range cfg.Plans {
		if l.plans[p.Name] != nil {
			fail("Config.Plans[%d].Name %q occurs twice", i, p.Name)
			continue
		}
		c, err := compilePlan(p)
		if err != nil {
			errs = append(errs, prefixAll(err, "ratelimit: "))
		}
		if c.money && cfg.Prices == nil {
			fail("plan %q counts MicroUSD, but Config.Prices is nil", p.Name)
		}
		l.plans[p.Name] = c
		if len(cfg.Plans) == 1 {
			l.only, l.def = c, c
		}
	}
	switch {
	case cfg.DefaultPlan != "" && l.plans[cfg.DefaultPlan] == nil:
		fail("Config.DefaultPlan %q is not in Config.Plans", cfg.DefaultPlan)
	case cfg.DefaultPlan == "" && len(l.plans) > 1 && l.plans[""] == nil:
		fail("Config.DefaultPlan is empty, but there are %d plans", len(l.plans))
	case len(l.plans) > 1:
		l.def = l.plans[cfg.DefaultPlan]
	}
	if cfg.Store != nil && cfg.MaxKeys != 0 {
		fail("Config.MaxKeys %d is set together with Config.Store", cfg.MaxKeys)
	}
	if m, ok := cfg.Store.(*MemoryStore); ok {
		if m == nil {
			fail("Config.Store is a nil *MemoryStore")
		}
		l.mem = m
	}
	if cfg.Store == nil {
		m, err := NewMemoryStore(cfg.MaxKeys)
		if err != nil {
			errs = append(errs, err)
		}
		l.mem, l.store = m, m
	}
	if cfg.TopUp < 0 {
		fail("Config.TopUp %d is negative", cfg.TopUp)
	}
	if l.topUp == 0 {
		l.topUp = 256
	}
	errs = append(errs, l.http.init(&cfg)...)
	var hi [8]byte
	rand.Read(hi[:])
	l.idHi = binary.LittleEndian.Uint64(hi[:]) | 1
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// Plans returns a copy of Config.Plans, in their order, as they were configured: a zero field still stands for its default.
func (l *Limiter) Plans() []Plan {
	if l == nil {
		return nil
	}
	return clonePlans(l.config)
}

func clonePlans(plans []Plan) []Plan {
	plans = slices.Clone(plans)
	for i := range plans {
		plans[i].Limits = slices.Clone(plans[i].Limits)
	}
	return plans
}

func (l *Limiter) planFor(name string) (*plan, error) {
	if l.only != nil {
		return l.only, nil
	}
	if l.plans == nil {
		return nil, errNoLimiter
	}
	if name == "" {
		return l.def, nil
	}
	if p := l.plans[name]; p != nil {
		return p, nil
	}
	if l.open {
		return l.def, nil
	}
	return nil, ErrUnknownPlan
}

func (l *Limiter) nextID() ID { return ID{Hi: l.idHi, Lo: l.idLo.Add(1)} }

// Reserve charges s with est in every limit of its plan, or in none. The charge stands until the Reservation
// is settled or cancelled; whoever reserves must do one of them, best with defer. Every limit is charged at
// least one unit, so an exhausted one refuses whatever the estimate says.
//
// The error is a *LimitError for a refusal, ErrUnknownPlan, or the store's error; all mean: do not serve.
// est.Requests of zero counts as one, and est.MicroUSD of zero is computed from Config.Prices.
func (l *Limiter) Reserve(ctx context.Context, s Subject, est Usage) (*Reservation, error) {
	if l == nil {
		return nil, errNoLimiter
	}
	p, err := l.planFor(s.Plan)
	if err != nil {
		return nil, err
	}
	r := newReservation(len(p.limits))
	if err := l.reserve(ctx, r, p, &s, est, nil); err != nil {
		return nil, err
	}
	return r, nil
}

// reserve fills r. states, if not nil, gets what the limits answered.
func (l *Limiter) reserve(ctx context.Context, r *Reservation, p *plan, s *Subject, est Usage, states []State) error {
	est = est.clamp()
	est.Requests = max(est.Requests, 1)
	if p.money {
		// Asked once, before anything is charged: should the function panic, nothing is lost.
		r.ext = &extension{price: l.prices(s.Model)}
		if est.MicroUSD == 0 {
			est.MicroUSD = r.ext.price.cost(est)
		}
	}
	r.l, r.plan, r.granted = l, p, est
	if l.models != nil && !l.models[s.Model] {
		known := *s
		known.Model = ""
		s = &known
	}
	var err error
	if l.mem != nil {
		err = l.reserveMem(r, s, &est, states)
	} else {
		err = l.reserveStore(ctx, r, s, &est, states)
	}
	st := &l.stripes[r.stripe]
	if err != nil {
		st.refused.Add(1)
		return err
	}
	st.reservations.Add(1)
	return nil
}

func costAtLeastOne(l *limit, u *Usage) int64 {
	if l.kind == Parallel {
		return 1
	}
	return max(l.Cost.of(u), 1)
}

// reserveMem is reserveStore for the memory store: everything stays on the stack.
func (l *Limiter) reserveMem(r *Reservation, s *Subject, est *Usage, states []State) error {
	now := time.Now()
	p := r.plan
	n := len(p.limits)
	if n == 1 { // the usual case of a plain rate limit, without the big arrays
		lim := &p.limits[0]
		var ops [1]op
		var st [1]State
		o := &ops[0]
		o.p, o.cost, o.detail = &lim.par, costAtLeastOne(lim, est), states != nil
		o.h1, o.h2 = l.mem.hashFor(lim, s)
		r.stripe = uint8(o.h1 >> 61)
		if lim.cal != nil {
			o.end = lim.cal.end(now)
		}
		ok, err := l.mem.reserve(now, ops[:], st[:])
		copy(states, st[:])
		if err != nil {
			return &storeError{err}
		}
		if !ok {
			return refusal(p, st[:], states)
		}
		r.take(0, o, &st[0])
		return nil
	}
	var ops [MaxClaims]op
	var st [MaxClaims]State
	for i := range p.limits {
		lim := &p.limits[i]
		o := &ops[i]
		o.p, o.cost, o.detail = &lim.par, costAtLeastOne(lim, est), states != nil
		o.h1, o.h2 = l.mem.hashFor(lim, s)
		if lim.cal != nil {
			o.end = lim.cal.end(now)
		}
	}
	r.stripe = uint8(ops[0].h1 >> 61)
	ok, err := l.mem.reserve(now, ops[:n], st[:n])
	copy(states, st[:n])
	if err != nil {
		return &storeError{err}
	}
	if !ok {
		return refusal(p, st[:n], states)
	}
	for i := range ops[:n] {
		r.take(i, &ops[i], &st[i])
	}
	return nil
}

// reserveStore asks a store that may be elsewhere.
func (l *Limiter) reserveStore(ctx context.Context, r *Reservation, s *Subject, est *Usage, states []State) error {
	now := time.Now()
	p := r.plan
	n := len(p.limits)
	claims := make([]Claim, n)
	st := make([]State, n)
	for i := range p.limits {
		lim := &p.limits[i]
		c := &claims[i]
		lim.claim(c, now)
		lim.key(&c.Key, s)
		c.Cost = costAtLeastOne(lim, est)
	}
	id := l.nextID()
	r.stripe = uint8(id.Lo % uint64(len(l.stripes)))
	ok, err := l.store.Reserve(ctx, now, id, claims, st)
	copy(states, st)
	if err != nil {
		return &storeError{err}
	}
	if !ok {
		return refusal(p, st, states)
	}
	if r.ext == nil {
		r.ext = &extension{}
	}
	r.ext.claims = claims
	for i := range claims {
		r.take(i, &op{cost: claims[i].Cost}, &st[i])
	}
	return nil
}

func (l *limit) claim(c *Claim, now time.Time) {
	c.Max, c.Burst, c.Per, c.Slack, c.Shadow, c.Length = l.Max, l.Burst, l.Per, l.Slack, l.Shadow, l.par.length
	if l.cal != nil {
		c.End = l.cal.end(now)
	}
}

// refusal builds the error of a refused decision. keep is where the states stay for the response headers, if anywhere.
func refusal(p *plan, states, keep []State) *LimitError {
	e := &LimitError{plan: p, states: keep}
	for i := range states {
		st, lim := &states[i], &p.limits[i]
		if st.OK || lim.Shadow {
			continue
		}
		e.refuse |= 1 << i
		if e.Violated == nil {
			e.Violated = lim.name[:1:1]
		} else {
			e.Violated = append(e.Violated, lim.Name)
		}
		e.Never = e.Never || st.Never
		wait := st.Wait
		if lim.kind == Parallel {
			wait = time.Second
		}
		e.RetryAfter = max(e.RetryAfter, wait)
	}
	if e.Never {
		e.RetryAfter = 0
	}
	return e
}
