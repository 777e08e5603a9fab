package ratelimit

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Scope says whose requests share a bucket. Where a request lacks what a scope asks for, the next best thing stands in,
// never nothing: no tenant falls back to the client, no client to the address, and all requests without an address
// (Unix sockets) share one bucket. A missing model counts as the model "". What fell back never meets a bucket of the
// original kind, so a client cannot take the name of an address.
//
// Falling back to addresses means that callers nobody authenticated get one bucket per address. Put auth before the
// limiter, or add a ByAddress or Global limit, if that is too many.
type Scope uint8

// The scopes.
const (
	// ByClient is one bucket per client: the caller's issuer together with its ClientID, or, when it has none, with its
	// subject. Ids are unique only under their issuer, so the same name under two issuers is two clients. The default.
	ByClient Scope = iota
	// ByAddress is one bucket per IPv4 address or IPv6 /64: a /64 is what one subscriber has (RFC 6177).
	ByAddress
	// ByTenant is one bucket per tenant, whichever issuer says so: an organisation's keys and tokens count together. Let only
	// issuers name tenants that you would believe for all of them.
	ByTenant
	// ByModel is one bucket per model, shared by everyone.
	ByModel
	// ByClientModel is one bucket per client and model.
	ByClientModel
	// Global is one bucket.
	Global

	// scopes of what fell back or was said in another way; they appear only in keys
	bySubject
	bySubjectModel
	byAddressModel
)

// String returns the scope's name.
func (s Scope) String() string {
	names := [...]string{"client", "address", "tenant", "model", "client+model", "global",
		"issuer+subject", "issuer+subject+model", "address+model"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// own reports whether the bucket belongs to the caller alone, so that its level may be shown to the caller. A shared
// bucket would tell one tenant what the others do.
func (s Scope) own() bool { return s != ByModel && s != Global }

// Limit is one rule of a plan. It is one of three kinds: rolling (Per set), calendar (Calendar set), or Parallel.
type Limit struct {
	// Name identifies the limit in headers, errors and logs: 1 to 64 letters, digits, '-', '_', '.'. Limits of the
	// same name in two plans share their buckets, so that changing a client's plan does not reset what it has used.
	Name string
	// Max is how many units of Cost come back per Per, or fit into one calendar window, or are in flight at once.
	Max int64
	// Burst is how much of a rolling limit can be used at once; zero means Max. In any stretch of time W at most
	// Burst + Max*W/Per is admitted, so with Burst = Max up to 2*Max in one Per.
	Burst int64
	// Per is the time in which Max units of a rolling limit come back, evenly; at least one microsecond.
	Per time.Duration
	// Calendar counts from midnight to midnight, or by week or month, instead of Per.
	Calendar Period
	// Zone is where midnight is, for Calendar; nil means UTC.
	Zone *time.Location
	// By says whose requests are counted together; zero means ByClient.
	//
	// With ByClientModel (and ByModel) every model name is a bucket, and the name is the client's word: one that is asked for
	// before anybody finds out that there is no such model mints a fresh bucket, worth Max like any other. Set Config.Models, or
	// let only known models through before the limiter (a list of models in the keys, an enum in the schema), or put a ByClient
	// limit beside it that bounds the client whatever it asks for. Without any of these one client can also fill the memory
	// store, and buckets of others then give way: Config.MaxKeys has to hold the made-up names of all clients too.
	By Scope
	// Cost says what is counted; zero means Requests.
	Cost Weights
	// Parallel counts requests in flight.
	Parallel bool
	// Shadow limits count and report but never refuse and never show in a response. What such a limit would have
	// refused is in Stats, in the log, and among the exchange's findings.
	Shadow bool
	// Slack bounds, in units, by how much giving back unused reservations may let a rolling bucket run ahead of an exact
	// one; zero means Burst/2, negative means not at all. Less slack wastes allowance when replies last longer than
	// the burst takes to come back.
	Slack int64
}

// Plan is what one class of callers may use: all its limits apply to each request together.
type Plan struct {
	// Name is what Subject.Plan says.
	Name string
	// Limits apply all; at most MaxClaims.
	Limits []Limit
	// DefaultOutput is how many output tokens are reserved for a request that does not say how many it wants, or says 0;
	// zero means 1024. It is cut to what the plan's limits can hold at all, so a small limit does not refuse everything.
	DefaultOutput int64
}

const defaultOutput = 1024

const century = 100 * 365 * 24 * time.Hour

// limit is a Limit made ready.
type limit struct {
	Limit
	kind Kind
	par  params
	cal  *calendar
	name []string // for LimitError.Violated
	head []byte   // how the keys of a ByClient limit begin, see Key.Append
}

// plan is a Plan made ready.
type plan struct {
	name        string
	limits      []limit
	output      int64
	weighs      Weights // OR of all weights
	model       bool    // some scope needs the model
	needsBody   bool    // so the request body has to be read
	money       bool
	policy      string // RateLimit-Policy
	policyValue []string
}

func compilePlan(p Plan) (*plan, error) {
	var errs []error
	fail := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("plan %q: "+format, append([]any{p.Name}, a...)...))
	}
	c := &plan{name: p.Name, output: p.DefaultOutput}
	if p.DefaultOutput < 0 || p.DefaultOutput > maxUnits {
		fail("DefaultOutput %d is not between 0 and 10^12", p.DefaultOutput)
	}
	if c.output == 0 {
		c.output = defaultOutput
	}
	if len(p.Limits) == 0 {
		fail("Limits is empty")
	}
	if len(p.Limits) > MaxClaims {
		fail("Limits has %d entries, more than %d", len(p.Limits), MaxClaims)
	}
	names := make(map[string]bool)
	for i, l := range p.Limits {
		if names[l.Name] {
			fail("Limits[%d].Name %q occurs twice", i, l.Name)
		}
		names[l.Name] = true
		cl, err := compileLimit(l)
		if err != nil {
			errs = append(errs, prefixAll(err, fmt.Sprintf("plan %q: Limits[%d] (%q): ", p.Name, i, l.Name)))
			continue
		}
		c.limits = append(c.limits, *cl)
		w := cl.Cost
		c.weighs = Weights{c.weighs.Requests | w.Requests, c.weighs.Input | w.Input, c.weighs.CachedInput | w.CachedInput,
			c.weighs.Output | w.Output, c.weighs.MicroUSD | w.MicroUSD}
		c.model = c.model || l.By == ByModel || l.By == ByClientModel
	}
	c.money = c.weighs.MicroUSD != 0
	c.needsBody = c.model || c.money || c.weighs.tokens()
	c.policy = policyField(c)
	c.policyValue = []string{c.policy}
	return c, errors.Join(errs...)
}

func prefixAll(err error, prefix string) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, prefixAll(e, prefix))
		}
		return errors.Join(out...)
	}
	return fmt.Errorf("%s%w", prefix, err)
}

func compileLimit(l Limit) (*limit, error) {
	var errs []error
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !validName(l.Name) {
		fail("Name %q is not 1 to 64 letters, digits, '-', '_', '.'", l.Name)
	}
	if l.Max <= 0 || l.Max > 1e15 {
		fail("Max %d is not between 1 and 10^15", l.Max)
	}
	if l.By > Global {
		fail("By %d is not a scope", l.By)
	}
	kinds := 0
	for _, set := range []bool{l.Per != 0, l.Calendar != NoPeriod, l.Parallel} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		fail("exactly one of Per (%v), Calendar (%v) and Parallel (%v) must be set", l.Per, l.Calendar, l.Parallel)
	}
	w := l.Cost
	for _, v := range []int64{w.Requests, w.Input, w.CachedInput, w.Output, w.MicroUSD} {
		if v < 0 || v > maxWeight {
			fail("Cost has the weight %d, not between 0 and 10^6", v)
		}
	}
	if l.Parallel && w != (Weights{}) && w != Requests {
		fail("Cost is set, but Parallel counts requests in flight")
	}
	if w == (Weights{}) {
		l.Cost = Requests
	}
	rolling := !l.Parallel && l.Calendar == NoPeriod
	if !rolling && l.Burst != 0 {
		fail("Burst %d is set without Per", l.Burst)
	}
	if !rolling && l.Slack != 0 {
		fail("Slack %d is set without Per", l.Slack)
	}
	if l.Calendar == NoPeriod && l.Zone != nil {
		fail("Zone %v is set without Calendar", l.Zone)
	}
	if l.Calendar > Month {
		fail("Calendar %d is not a period", l.Calendar)
	}
	c := &limit{Limit: l, name: []string{l.Name}}
	c.par = params{shadow: l.Shadow, max: l.Max}
	switch {
	case l.Parallel:
		c.kind = Parallel
	case l.Calendar != NoPeriod:
		c.kind = Calendar
		if l.Zone == nil {
			c.Zone = time.UTC
		}
		c.cal = &calendar{period: l.Calendar, zone: c.Zone}
		c.par.length = l.Calendar.length()
	default:
		c.kind = Rolling
		if l.Burst < 0 {
			fail("Burst %d is less than 1", l.Burst)
		}
		if l.Burst == 0 {
			c.Burst = l.Max
		}
		if l.Per < time.Microsecond {
			fail("Per %v is less than 1µs", l.Per)
		}
		switch {
		case l.Slack == 0:
			c.Slack = c.Burst / 2
		case l.Slack < 0:
			c.Slack = 0
		}
		if len(errs) == 0 {
			if d, ok := spanOf(c.Burst, int64(l.Per), l.Max); !ok || d.ns > int64(century) {
				fail("Burst %d takes more than 100 years to come back at %d per %v", c.Burst, l.Max, l.Per)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.head = appendPart([]byte{byte(c.kind), byte(ByClient)}, l.Name)
	c.par = paramsOf(&Claim{Key: Key{Kind: c.kind}, Max: c.Max, Burst: c.Burst, Per: c.Per, Slack: c.Slack,
		Length: c.par.length, Shadow: c.Shadow})
	return c, nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// capacity is the most units the bucket can hold.
func (l *limit) capacity() int64 {
	if l.kind == Rolling {
		return l.Burst
	}
	return l.Max
}

// prefix cuts an address to what is counted as one client.
func prefix(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64)
	return p.Addr()
}

// key fills k for subject s.
func (l *limit) key(k *Key, s *Subject) {
	*k = Key{Limit: l.Name, Kind: l.kind, Scope: l.By}
	switch l.By {
	case ByTenant:
		if s.Tenant != "" {
			k.A = s.Tenant
			return
		}
		k.Scope = ByClient
		k.client(s)
	case ByClient:
		k.client(s)
	case ByClientModel:
		k.Scope = ByClient
		k.client(s)
		k.C = s.Model
		switch k.Scope {
		case ByClient:
			k.Scope = ByClientModel
		case bySubject:
			k.Scope = bySubjectModel
		default:
			k.Scope = byAddressModel
		}
	case ByAddress:
		k.Addr = prefix(s.Addr)
	case ByModel:
		k.C = s.Model
	}
}

func (k *Key) client(s *Subject) {
	switch {
	case s.Client == "":
		k.Scope, k.Addr = ByAddress, prefix(s.Addr)
	case s.bare: // a subject must not meet the ClientID of the same spelling
		k.Scope, k.A, k.B = bySubject, s.Client, s.Issuer
	default:
		k.Scope, k.A, k.B = ByClient, s.Client, s.Issuer
	}
}
