package ratelimit

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

const (
	stage = "ratelimit"

	defaultMaxBody = 4 << 20

	// bytesPerInput is how many bytes of a request body are taken for one prompt token. English prose is about 4; code, JSON
	// and most other languages less. 3 rather reserves too much, and the reply's own count corrects it.
	bytesPerInput = 3
	// bytesPerOutput is how many bytes of generated text are taken for one token until the reply says how many there were.
	bytesPerOutput = 4
	// imageTokens is taken for each image or file in a prompt instead of its base64: about the most that an image scaled to
	// a vision model's usual input (1568 px on its longer side, width*height/750) costs.
	imageTokens = 1600
)

// httpConfig is the part of a Limiter that concerns HTTP.
type httpConfig struct {
	subject     func(*http.Request) Subject
	proxies     *exchange.Proxies
	maxBody     int64
	skipCut     bool
	skipHeaders bool
	deny        func(http.ResponseWriter, *http.Request, error)
}

func (c *httpConfig) init(cfg *Config) (errs []error) {
	*c = httpConfig{
		subject:     cfg.Subject,
		proxies:     exchange.NewProxies(cfg.TrustedProxies),
		maxBody:     cfg.MaxBody,
		skipCut:     cfg.SkipStreamCut,
		skipHeaders: cfg.SkipHeaders,
		deny:        cfg.Deny,
	}
	if c.maxBody < 0 {
		errs = append(errs, fmt.Errorf("ratelimit: Config.MaxBody %d is negative", c.maxBody))
	}
	if c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	return append(errs, checkPrefixes(cfg.TrustedProxies)...)
}

func checkPrefixes(prefixes []netip.Prefix) (errs []error) {
	for i, p := range prefixes {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("ratelimit: Config.TrustedProxies[%d] is not a valid prefix", i))
		} else if p.Bits() == 0 {
			errs = append(errs, fmt.Errorf("ratelimit: Config.TrustedProxies[%d] %v trusts every client's X-Forwarded-For", i, p))
		}
	}
	return errs
}

// Handler reserves before next runs, meters what it writes, and settles however it ends: return, panic, Goexit,
// disconnect, or hijack. Mounted twice on the same request, one Limiter charges once; different Limiters charge each.
//
// Without knowing anything about the reply it charges what it must assume: unknown usage is never zero. A reply of status
// 400 or above costs its request and no tokens. A handler that knows better calls [FromContext] and Report or Settle.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		l.serve(x, w, r, next)
	})
}

func (l *Limiter) serve(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, next http.Handler) {
	if l == nil || l.plans == nil {
		x.RefuseWith(w, r, &deny.Denial{Code: deny.InternalError, Stage: stage, Cause: errNoLimiter}, nil)
		return
	}
	prev, _ := x.Reservation().(*Reservation)
	for p := prev; p != nil; p = p.prev {
		if p.l == l {
			next.ServeHTTP(w, r)
			return
		}
	}
	s := l.subject(x, r)
	p, err := l.planFor(s.Plan)
	if err != nil {
		l.refuse(x, w, r, err)
		return
	}
	m := newMeter(len(p.limits))
	m.l, m.x = l, x
	d := x.Dialect()
	var q *dialect.Request
	var body []byte
	if p.weighs.tokens() || p.money || p.model && d != dialect.Unknown {
		if body, err = l.body(x, w, r); err != nil {
			l.refuse(x, w, r, err)
			return
		}
		if len(body) > 0 {
			q = x.Request(body)
		}
	}
	if s.Model == "" && q != nil {
		s.Model = q.Model
	}
	m.tokens = p.weighs.tokens() || p.money
	m.est = l.estimate(p, &s, r, d, q, body)
	if err := l.reserve(r.Context(), m.res, p, &s, m.est, m.states); err != nil {
		l.refuse(x, w, r, err)
		return
	}
	m.est = m.res.granted
	m.res.prev = prev
	if prev != nil {
		prev.mu.Lock()
		prev.inner = true
		prev.mu.Unlock()
	}
	x.SetReservation(m.res)
	m.noteShadow()
	defer func() {
		if !m.cut {
			return
		}
		// The stream was ended with its final event and the handler's context cancelled. httputil.ReverseProxy answers a
		// cancelled copy with ErrAbortHandler, which would break the connection after a complete reply. Every
		// other panic goes on.
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
	}()
	x.Serve(w, r, m, next)
}

// subject says whom the request is charged to.
func (l *Limiter) subject(x *exchange.Exchange, r *http.Request) Subject {
	var s Subject
	if l.http.subject != nil {
		s = l.http.subject(r)
	} else if c, ok := exchange.CallerFrom(r.Context()); ok {
		s = Subject{Client: c.ClientID, Tenant: c.Tenant, Plan: c.Plan}
		if s.Client == "" && c.Subject != "" {
			s.Client, s.Issuer = c.Subject, c.Issuer
			if s.Issuer == "" {
				s.Issuer = "?" // a bare subject must not meet a ClientID of the same spelling
			}
		}
	}
	if s.Model == "" {
		s.Model = x.Model()
	}
	if !s.Addr.IsValid() {
		s.Addr = x.Addr(r, l.http.proxies)
	}
	return s
}

// body returns the request body, reading it only when there may be one.
func (l *Limiter) body(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	return x.ReadBody(w, r, l.http.maxBody)
}

// estimate guesses what the request will use; reserve adds money.
func (l *Limiter) estimate(p *plan, s *Subject, r *http.Request, d dialect.Dialect, q *dialect.Request, body []byte) Usage {
	est := Usage{Requests: 1}
	if len(body) == 0 {
		return est
	}
	n := len(body)
	if q != nil {
		for i := range q.Texts {
			if t := &q.Texts[i]; t.Kind == dialect.Opaque && t.End-t.Start > imageTokens*bytesPerInput {
				n -= t.End - t.Start
				est.Input += imageTokens
			}
		}
	}
	est.Input += int64(n+bytesPerInput-1) / bytesPerInput
	if d == dialect.OpenAIEmbeddings || strings.HasSuffix(r.URL.Path, "/count_tokens") {
		return est
	}
	choices := int64(1)
	if q != nil {
		choices = min(max(q.N, 1), maxUnits)
	}
	if q != nil && q.MaxTokens >= 0 {
		est.Output = min(mulDivCeil(q.MaxTokens, choices, 1), maxUnits)
		return est
	}
	// Nobody said how long the answer may be: then the plan's guess, but not more than its limits can hold at all.
	est.Output = min(mulDivCeil(p.output, choices, 1), maxUnits)
	for i := range p.limits {
		lim := &p.limits[i]
		if lim.Shadow || lim.kind == Parallel {
			continue // a shadow limit changes nothing
		}
		if w := lim.Cost.Output; w > 0 {
			in := est
			in.Output = 0
			est.Output = min(est.Output, max((lim.capacity()-lim.Cost.of(&in))/w, 1))
		}
		if w := lim.Cost.MicroUSD; w > 0 {
			price := l.prices(s.Model)
			in := est
			in.Output = 0
			if room := lim.capacity()/w - price.cost(in); price.Output > 0 {
				est.Output = min(est.Output, max(mulDivCeil(max(room-1, 0), 1_000_000, price.Output)-1, 1))
			}
		}
	}
	return est
}

// noteShadow records what shadow limits would have refused. The log is written at the end of the request: a slow or
// panicking handler of the log must not stand between a charge and its settlement.
func (m *meter) noteShadow() {
	for i := range m.states {
		if lim := &m.res.plan.limits[i]; !m.states[i].OK && lim.Shadow {
			m.x.AddFinding(exchange.Finding{Kind: stage, Rule: lim.Name, Action: "shadow", Direction: "request"})
		}
	}
}

func (m *meter) logShadow() {
	for i := range m.states {
		if lim := &m.res.plan.limits[i]; !m.states[i].OK && lim.Shadow && m.l.log != nil {
			m.l.log.Info("ratelimit: shadow limit would have refused", "limit", lim.Name, "request_id", m.x.ID())
		}
	}
}

// refuse answers a request that is not served.
func (l *Limiter) refuse(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	d := &deny.Denial{Stage: stage, Cause: err}
	var limit *LimitError
	var tooLong *http.MaxBytesError
	var store *storeError
	var slow net.Error
	switch {
	case errors.As(err, &limit):
		d.Code = deny.RateLimitExceeded
		if limit.quota() {
			d.Code = deny.InsufficientQuota
		}
		d.Header = l.refusalHeader(limit)
		if l.log != nil {
			l.log.Info("ratelimit: refused", "limits", limit.Violated, "retry_after", limit.RetryAfter, "never", limit.Never, "request_id", x.ID())
		}
	case errors.As(err, &tooLong):
		d.Code = deny.BodyTooLarge
	case errors.As(err, &store):
		// Closed: without the store nobody knows what is left.
		d.Code = deny.StoreUnavailable
		d.Header = http.Header{"Retry-After": {"1"}, "Cache-Control": {"no-store"}}
		if l.log != nil {
			l.log.Error("ratelimit: store failed, request refused", "error", err, "request_id", x.ID())
		}
	case errors.Is(err, ErrUnknownPlan):
		d.Code = deny.InternalError
		if l.log != nil {
			l.log.Error("ratelimit: the caller's plan is not configured, request refused", "request_id", x.ID())
		}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		d.Code = deny.RequestTimeout
	default: // the body could not be read
		d.Code = deny.InvalidRequest
	}
	if l.http.deny == nil {
		x.RefuseWith(w, r, d, nil)
		return
	}
	x.RefuseWith(w, r, d, func(w http.ResponseWriter, r *http.Request, err error) {
		for k, v := range d.Header {
			w.Header()[k] = v
		}
		l.http.deny(w, r, err)
	})
}
