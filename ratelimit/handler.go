package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
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
	// imageTokens is taken for each image in a prompt instead of its base64: about the most that an image scaled to
	// a vision model's usual input (1568 px on its longer side, width*height/750) costs. Other data, such as documents, has no
	// such bound and counts by its length.
	imageTokens = 1600
)

// httpConfig is the part of a Limiter that concerns HTTP.
type httpConfig struct {
	subject     func(*http.Request) Subject
	proxies     *exchange.Proxies
	maxBody     int64
	skipCut     bool
	omitHeaders bool
	deny        func(http.ResponseWriter, *http.Request, error)
}

func (c *httpConfig) init(cfg *Config) (errs []error) {
	*c = httpConfig{
		subject:     cfg.Subject,
		maxBody:     cfg.MaxBody,
		skipCut:     cfg.SkipStreamCut,
		omitHeaders: cfg.OmitHeaders,
		deny:        cfg.Deny,
	}
	if c.maxBody < 0 {
		errs = append(errs, fmt.Errorf("ratelimit: Config.MaxBody %d is negative", c.maxBody))
	}
	if c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	var err error
	if c.proxies, err = exchange.NewProxies(cfg.TrustedProxies); err != nil {
		errs = append(errs, prefixAll(err, "ratelimit: Config."))
	}
	return errs
}

// Handler reserves before next runs, meters what it writes, and settles however it ends: return, panic, Goexit,
// disconnect, or hijack. Mounted twice on the same request, one Limiter charges once; different Limiters charge each.
//
// Without knowing anything about the reply it charges what it must assume: unknown usage is never zero. Only a 4xx reply to
// a client that is still there, and a refusal by another room of this library further in, cost their request and no tokens. A
// status of 500 or above, a client that left before the first word, and a reply nobody can read cost what was reserved for
// them, or more if more was seen: the model may have worked all the while. A handler that knows better calls [FromContext] and
// Report, Settle or Cancel; whatever it says counts.
//
// A limiter that counts tokens or money takes Accept-Encoding out of the request it hands on, so that a proxy inside does not
// ask for a reply that cannot be metered.
//
// Handler panics when next is nil.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("ratelimit: Limiter.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		l.serve(x, w, r, next)
	})
}

func (l *Limiter) serve(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, next http.Handler) {
	if l == nil || l.plans == nil {
		var log *slog.Logger
		if l != nil {
			log = l.log
		}
		logTo(log, r, slog.LevelError, "ratelimit: no working Limiter, request refused", x, slog.Any("error", errNoLimiter))
		x.Refuse(w, r, &deny.Denial{Code: deny.InternalError, Stage: stage, Cause: errNoLimiter})
		return
	}
	prev, _ := x.Reservation().(*Reservation)
	for p := prev; p != nil; p = p.prev {
		if p.l == l {
			next.ServeHTTP(w, r)
			return
		}
	}
	s := l.http.subjectOf(x, r)
	p, err := l.planFor(s.Plan)
	if err != nil {
		l.refuse(x, w, r, err)
		return
	}
	m := newMeter(len(p.limits))
	m.l, m.x = l, x
	d := x.Dialect()
	_, read := x.ReadBytes()
	body, q, err := l.http.body(x, w, r, p.weighs.tokens() || p.money || p.model && (read || d != dialect.Unknown))
	if err != nil {
		l.refuse(x, w, r, err)
		return
	}
	if s.Model == "" {
		s.Model = modelOf(x, q)
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
	if m.tokens && len(r.Header["Accept-Encoding"]) > 0 {
		// What cannot be read can be neither metered nor cut, so a readable answer is asked for: a proxy inside would pass the
		// client's wish on. The map is copied, because what stands outside may still look at it.
		r.Header = maps.Clone(r.Header)
		delete(r.Header, "Accept-Encoding")
	}
	x.Serve(w, r, m, next)
}

// subjectOf says whom the request is charged to. The model is still empty unless Config.Subject knows it.
func (c *httpConfig) subjectOf(x *exchange.Exchange, r *http.Request) Subject {
	var s Subject
	if c.subject != nil {
		s = c.subject(r)
	} else if who, ok := exchange.CallerFrom(r.Context()); ok {
		s = Subject{Client: who.ClientID, Issuer: who.Issuer, Tenant: who.Tenant, Plan: who.Plan}
		if s.Client == "" {
			s.Client, s.bare = who.Subject, true
		}
	}
	if !s.Addr.IsValid() {
		s.Addr = x.Addr(r, c.proxies)
	}
	return s
}

// body returns the request body as it is now and what it says, if somebody needs it and there is one. What another room
// has read before is not refused for its length here.
func (c *httpConfig) body(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, need bool) ([]byte, *dialect.Request, error) {
	if !need || r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil, nil
	}
	before, _ := x.ReadBytes()
	data, err := x.ReadBody(w, r, max(c.maxBody, int64(len(before))))
	if err != nil || len(data) == 0 {
		return nil, nil, err
	}
	return data, x.Request(data), nil
}

// modelOf returns the model that will be dispatched: what the body says as it is now. The exchange's own word is that of the
// room that read the body first, and one behind it may have rewritten the body since: then the limits would count one model and
// the server run another.
func modelOf(x *exchange.Exchange, q *dialect.Request) string {
	if q != nil && q.Model != "" {
		return q.Model
	}
	return x.Model()
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
			if t := &q.Texts[i]; t.Kind == dialect.Opaque && t.End-t.Start > imageTokens*bytesPerInput && isImage(body[t.Start:t.End]) {
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
	// Zero is no limit to Ollama, in its own dialect and behind its OpenAI one alike; elsewhere it is an error, or asks for nothing
	// and gets the reservation back.
	if q != nil && q.MaxTokens > 0 {
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
		if lim := &m.res.plan.limits[i]; !m.states[i].OK && lim.Shadow {
			loggerOr(m.l.log).Info("ratelimit: shadow limit would have refused", "limit", lim.Name, "request_id", m.x.ID())
		}
	}
}

// neverMessage keeps the holder of a fresh key from believing that it is used up.
const neverMessage = "The request asks for more than the plan allows at once."

// loggerOr looks the default logger up when something is logged, not when the limiter is made: programs set theirs late.
func loggerOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}

func logTo(log *slog.Logger, r *http.Request, level slog.Level, msg string, x *exchange.Exchange, attrs ...slog.Attr) {
	if log = loggerOr(log); log.Enabled(r.Context(), level) {
		log.LogAttrs(r.Context(), level, msg, append(attrs, slog.String("request_id", x.ID()))...)
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
		if limit.Never {
			d.Message = neverMessage
		}
		d.Header = l.refusalHeader(limit)
		if log := loggerOr(l.log); log.Enabled(r.Context(), slog.LevelDebug) {
			logTo(log, r, slog.LevelDebug, "ratelimit: refused", x, slog.Any("limits", limit.Violated),
				slog.Duration("retry_after", limit.RetryAfter), slog.Bool("never", limit.Never))
		}
	case errors.As(err, &tooLong):
		d.Code = deny.BodyTooLarge
	case errors.As(err, &store):
		// Closed: without the store nobody knows what is left.
		d.Code = deny.StoreUnavailable
		d.Header = http.Header{"Retry-After": {"1"}, "Cache-Control": {"no-store"}}
		logTo(l.log, r, slog.LevelError, "ratelimit: store failed, request refused", x, slog.Any("error", err))
	case errors.Is(err, ErrUnknownPlan):
		d.Code = deny.InternalError
		logTo(l.log, r, slog.LevelError, "ratelimit: the caller's plan is not configured, request refused", x)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		d.Code = deny.RequestTimeout
	default: // the body could not be read
		d.Code = deny.InvalidRequest
	}
	x.RefuseWith(w, r, d, l.http.deny)
}

// NeedsBody reports whether some limit of l counts what only the request body tells: tokens, money, or a model. In front of
// authentication such a limiter would read the bodies of strangers.
func (l *Limiter) NeedsBody() bool {
	if l == nil {
		return false
	}
	for _, p := range l.plans {
		if p.needsBody {
			return true
		}
	}
	return false
}
