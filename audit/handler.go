package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// eventRequest is the event.name of the line the middleware writes.
const eventRequest = "http.request"

// Handler returns a handler that runs next and records one line per request, whatever becomes of it: it returned, was
// refused by a room inside, panicked, ended its goroutine, lost its client or took the connection over. Put it outermost.
// It panics when next is nil.
//
// A panic goes on, with its value and its own stack, after the line is queued; its stage is StagePanic. One with
// http.ErrAbortHandler is how a handler (httputil.ReverseProxy) breaks off a reply it cannot finish: that is recorded as
// completed, with http.client_aborted when the client had left, else with the error.type "aborted". Of two Handlers of one
// Log around each other only the outer records.
func (l *Log) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("audit: Log.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r, next) })
}

var (
	errNoRoom = errors.New("audit: no room to record the request")
	errNoLog  = errors.New("audit: the Log is closed or was never opened")
)

var retrySoon = http.Header{"Retry-After": {"1"}}

// recordKey is where the exchange keeps the record of a request under way.
type recordKey struct{}

// record is one request under way.
type record struct {
	log     *Log
	outer   *record // of another Log further out
	server  context.Context
	started time.Time
	request *http.Request // the one next gets: its Pattern tells the route
	method  string
	length  int64
	body    *bodyTap
	held    int
	done    bool // next returned
	left    bool // the client was gone when next ended
	broken  bool // next ended with http.ErrAbortHandler
	header  http.Header

	mu            sync.Mutex // the reply may be written from another goroutine than the handler's
	attrs         []slog.Attr
	attrsDropped  int
	ended         bool
	usage         dialect.Usage
	finish        string
	responseModel string
	late          bool // the client was gone before the reply began
	unread        bool // the reply was to be one JSON document, and is none
	terminal      bool // the last event of a stream has passed
}

func (l *Log) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	server := r.Context() // of the server: it ends when the connection does
	nested := exchange.From(server) != nil
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	if l == nil || l.pool == nil {
		x.Refuse(w, r, &deny.Denial{Code: deny.Overloaded, Stage: "audit", Header: retrySoon, Cause: errNoLog})
		return
	}
	outer, _ := x.Get(recordKey{}).(*record)
	for o := outer; o != nil; o = o.outer {
		if o.log == l {
			next.ServeHTTP(w, r)
			return
		}
	}
	rec := &record{log: l, outer: outer, server: server, started: time.Now(), method: r.Method, length: r.ContentLength}
	if l.mode == FailClosed {
		if !l.hold(r.Context()) {
			cause := errNoRoom
			if l.closed.Load() {
				cause = errNoLog
			}
			x.Refuse(w, r, &deny.Denial{Code: deny.Overloaded, Stage: "audit", Header: retrySoon, Cause: cause})
			rec.request, rec.done, rec.header = r, true, w.Header()
			rec.left = rec.gone() // while it waited for room: then nobody read the refusal
			rec.late = rec.left
			rec.end(x, false, gapRefused) // the sinks that have room still hear of it
			return
		}
		rec.held = l.lineMax
	}
	if l.rules.mayTakeBody(x.Route()) {
		if nested { // somebody else's request: change a copy
			copied := *r
			r = &copied
		}
		rec.body = l.newBodyTap(r.Body)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = rec.body
		}
	}
	rec.request, rec.header = r, w.Header()
	x.Put(recordKey{}, rec)
	defer rec.leave(x)
	x.Serve(w, r, rec, next)
	rec.done = true
}

// leave ends the record. It must know a handler that broke off its reply from one that crashed, and only the value of the panic
// tells. Whoever recovers further out loses nothing: the panic goes on from inside this very call, before its frames are
// gone, so the stack still leads to where it began.
func (rec *record) leave(x *exchange.Exchange) {
	var value any
	if !rec.done {
		value = recover() // nil for runtime.Goexit
	}
	rec.left, rec.broken = rec.gone(), value == http.ErrAbortHandler
	x.Put(recordKey{}, rec.outer)
	rec.end(x, true, gapFull)
	if value != nil {
		panic(value)
	}
}

// gone reports whether the server has seen the client leave.
func (rec *record) gone() bool {
	return rec.server.Err() != nil && errors.Is(context.Cause(rec.server), context.Canceled)
}

// aborted reports whether the client went without the whole reply: it could not be written to, or the server saw it leave before
// the handler ended and the reply was not complete by then. A client that closes its end once it has everything has not
// aborted, though that cancels the context too. Nor has one that closes its sending half early and reads on: the server cannot
// tell it from one that left, so a whole reply counts as one that arrived.
func (rec *record) aborted(resp exchange.ResponseFacts) bool {
	if resp.Aborted || !rec.left || resp.Hijacked {
		return resp.Aborted
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	switch {
	case !rec.done, resp.Status == 0:
		return true // broken off, or never begun
	case rec.late && (resp.Status == 499 || resp.Status >= 502):
		return true // what a proxy, a queue or we ourselves say when the client's leaving ended the wait
	case resp.Status == http.StatusNoContent, resp.Status == http.StatusNotModified, rec.method == http.MethodHead:
		return false
	case resp.Streamed:
		return !rec.terminal && resp.Finish == ""
	}
	if v := rec.header["Content-Length"]; len(v) == 1 {
		n, err := strconv.ParseInt(v[0], 10, 64)
		return err == nil && resp.Bytes < n
	}
	return rec.unread
}

// end writes the line. It runs once per request, also while a panic is on its way through.
func (rec *record) end(x *exchange.Exchange, mayWait bool, reason string) {
	l := rec.log
	route := rec.request.Pattern
	if route == "" {
		route = x.Route()
	}
	model := x.Model()
	rule := l.rules.find(route, model)
	rec.mu.Lock()
	rec.ended = true
	rec.mu.Unlock()
	if rule.Level == CaptureNone {
		if rec.body != nil {
			rec.body.finish(&l.identity)
		}
		if rec.held > 0 {
			l.release(len(l.queues))
		}
		l.skipped.Add(1)
		return
	}
	e := l.newEncoder()
	rec.facts(x, e, route, model)
	if rec.body != nil {
		size, complete, sum, kept := rec.body.finish(&l.identity)
		if complete && rec.length < 0 {
			e.ev.HTTP.RequestBytes = size
		}
		if rule.Level.body() {
			l.rules.fill(&e.pay, rule, size, complete || size == rec.length, sum, kept)
		}
	}
	e.event(&l.identity)
	// The client may be gone; that is no reason to lose the line. Waiting is bounded by Config.Wait and AckWait.
	l.submit(context.Background(), e.buf, rec.held, mayWait && l.mode != Drop, reason)
	l.pool.Put(e)
}

// facts fills the event from what the rooms know.
func (rec *record) facts(x *exchange.Exchange, e *encoder, route, model string) {
	var (
		ev   = &e.ev
		now  = time.Now()
		resp = x.Response()
		d    = x.Denial()
	)
	ev.Time, ev.Name, ev.Stage = rec.started, eventRequest, StageCompleted
	// A room inside that recovered a panic in the middle of a reply says so, and then breaks the reply off.
	crashed := !rec.done && (!rec.broken || d != nil && d.Code == deny.InternalError)
	if crashed {
		ev.Stage = StagePanic
	}
	ev.RequestID = x.ID()
	ev.TraceID, ev.SpanID = traceParent(rec.request.Header)
	ev.Client = x.Addr(rec.request, rec.log.proxies)
	ev.Duration = max(now.Sub(rec.started), 1)

	status := resp.Status
	if status == 0 && rec.done && !resp.Hijacked {
		status = http.StatusOK // net/http sends it when the handler returns without a word
	}
	ev.HTTP = HTTP{
		Method: rec.method, Route: route, Status: status, RequestBytes: rec.length, ResponseBytes: resp.Bytes,
		Aborted: rec.aborted(resp), Hijacked: resp.Hijacked,
	}
	if c, ok := exchange.CallerFrom(rec.request.Context()); ok {
		ev.Auth = Auth{
			Scheme: c.Method, Outcome: Allowed, Issuer: c.Issuer, Subject: c.Subject, Tenant: c.Tenant,
			ClientID: c.ClientID, KeyID: c.KeyID, Plan: c.Plan,
		}
	}
	if x.Reservation() != nil {
		ev.RateLimit = Allowed
	}
	if found := x.Findings(); len(found) > 0 {
		ev.Findings = e.countFindings(found)
		ev.Sanitize = Flagged
	}
	switch {
	case d != nil:
		ev.Error, ev.ErrorStage, ev.Cause = string(d.Code), d.Stage, causeText(d.Cause)
		if d.Code == "" {
			ev.Error = string(deny.InternalError)
		}
		switch room, _, _ := strings.Cut(d.Stage, "/"); room {
		case "auth":
			ev.Auth.Outcome = Denied
		case "ratelimit":
			ev.RateLimit = Denied
		case "validate":
			ev.Validate = Denied
		case "sanitize":
			if d.Code == deny.ContentPolicy {
				ev.Sanitize = Denied
			}
		}
	case crashed:
		ev.Error = "panic"
	case rec.broken && !ev.HTTP.Aborted:
		ev.Error = "aborted" // by the handler itself: an upstream broke off
	case status >= 500:
		ev.Error = strconv.Itoa(status) // as the OpenTelemetry conventions have it
	}
	rec.genAI(x, ev, resp, model)
}

func (rec *record) genAI(x *exchange.Exchange, ev *Event, resp exchange.ResponseFacts, model string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	ev.Attrs = rec.attrs
	ev.dropped = rec.attrsDropped
	g := &ev.GenAI
	g.Operation, g.Model, g.ResponseModel = operation(x.Dialect()), model, rec.responseModel
	g.Stream = g.Operation != "" && resp.Streamed
	g.FinishReason = resp.Finish
	if g.FinishReason == "" {
		g.FinishReason = rec.finish
	}
	if !resp.FirstToken.IsZero() {
		g.TimeToFirstChunk = max(resp.FirstToken.Sub(rec.started), 1)
		g.StreamTime = resp.LastByte.Sub(resp.FirstToken)
	}
	// What a room settled on counts; what we read ourselves is for when nobody did.
	if u, ok := x.Usage(); ok && (u.Known || u.Estimated) {
		g.UsageKnown, g.UsageEstimated = u.Known, u.Estimated
		g.InputTokens, g.CachedInputTokens, g.OutputTokens, g.CostMicroUSD = u.Input, u.CachedInput, u.Output, u.MicroUSD
	} else if rec.usage.Known {
		g.UsageKnown = true
		g.InputTokens, g.CachedInputTokens, g.OutputTokens = rec.usage.Input, rec.usage.CachedInput, rec.usage.Output
	}
}

// operation is gen_ai.operation.name.
func operation(d dialect.Dialect) string {
	switch d {
	case dialect.OpenAIChat, dialect.OpenAIResponses, dialect.Anthropic, dialect.Ollama:
		return "chat"
	case dialect.OpenAICompletions:
		return "text_completion"
	case dialect.OpenAIEmbeddings:
		return "embeddings"
	}
	return ""
}

// countFindings makes counts of equal findings. What does not fit into the line is counted in the last place.
func (e *encoder) countFindings(found []exchange.Finding) []Finding {
	out := e.findings[:0]
	for _, f := range found { // equal ones are one already
		if len(out) <= MaxFindings {
			out = append(out, Finding{Kind: f.Kind, Rule: f.Rule, Action: f.Action, Direction: f.Direction, Count: f.Count})
		} else {
			out[MaxFindings].Count += f.Count
		}
	}
	return out
}

// causeText gives the private words of an error. A broken error must not cost the line.
func causeText(err error) string {
	if err == nil {
		return ""
	}
	return valueText(slog.AnyValue(err))
}

// Header implements exchange.Tap: replies of a known dialect are read as they pass.
func (rec *record) Header(o exchange.Out, status int) exchange.Mode {
	if rec.gone() {
		rec.mu.Lock()
		rec.late = true
		rec.mu.Unlock()
	}
	if status >= 300 || rec.log.noReply || o.Exchange().Dialect() == dialect.Unknown {
		return exchange.Pass
	}
	if _, ok := exchange.IsStream(o.Header()); ok {
		return exchange.Frames
	}
	t, _, _ := strings.Cut(o.Header().Get("Content-Type"), ";")
	if strings.EqualFold(strings.TrimSpace(t), "application/json") && o.Header().Get("Content-Encoding") == "" {
		return exchange.Collect
	}
	return exchange.Pass
}

// Body implements exchange.Tap.
func (rec *record) Body(o exchange.Out, b *exchange.Body) error {
	if b.Kind != exchange.Chunk {
		if facts, _ := b.Meta(o.Exchange()); facts != nil {
			rec.read(facts)
		} else if b.Kind == exchange.Doc && !b.Truncated {
			rec.mu.Lock()
			rec.unread = true
			rec.mu.Unlock()
		}
	}
	if b.Kind == exchange.Doc {
		return nil // mode Collect: the bytes have passed already
	}
	return o.Send(b)
}

// End implements exchange.Tap.
func (rec *record) End(exchange.Out, exchange.Outcome) {}

func (rec *record) read(p *dialect.Response) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if p.Usage.Known {
		// Streams report usage in parts (Anthropic: input first, output at the end) and as running totals.
		u := &rec.usage
		u.Known = true
		u.Input, u.CachedInput = max(u.Input, p.Usage.Input), max(u.CachedInput, p.Usage.CachedInput)
		u.Output = max(u.Output, p.Usage.Output)
	}
	if n := len(p.Finish); n > 0 && n <= 64 && string(p.Finish) != rec.finish {
		rec.finish = string(p.Finish)
	}
	rec.terminal = rec.terminal || p.Terminal
	if n := len(p.Model); n > 0 && n <= 256 && rec.responseModel == "" {
		rec.responseModel = string(p.Model)
	}
}

// Annotate adds attributes to the line of the request that ctx belongs to, from handlers and from foreign middleware. In the
// line a key has the prefix "attr."; a later attribute replaces an earlier one with the same key. At most MaxAttrs are kept,
// keys up to 48 bytes, values up to 256; values of a LogValuer are taken now. Without a Log around the request, or after it
// has ended, Annotate does nothing. It is safe for concurrent use.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	x := exchange.From(ctx)
	if x == nil {
		return
	}
	rec, _ := x.Get(recordKey{}).(*record)
	for ; rec != nil; rec = rec.outer {
		for _, a := range attrs {
			rec.annotate(a)
		}
	}
}

func (rec *record) annotate(a slog.Attr) {
	v := resolve(a.Value) // foreign code: not under the lock
	if v.Kind() == slog.KindString && len(v.String()) > maxAttrValue+1 {
		v = slog.StringValue(strings.Clone(v.String()[:maxAttrValue+1])) // one more, so that the cut shows
	}
	if len(a.Key) > maxAttrKey+1 {
		a.Key = strings.Clone(a.Key[:maxAttrKey+1])
	}
	a.Value = v
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.ended {
		return
	}
	for i := range rec.attrs {
		if rec.attrs[i].Key == a.Key {
			rec.attrs[i] = a
			return
		}
	}
	if len(rec.attrs) == MaxAttrs {
		rec.attrsDropped++
		return
	}
	rec.attrs = append(rec.attrs, a)
}

// newBodyTap begins to capture a request body.
func (l *Log) newBodyTap(body io.ReadCloser) *bodyTap {
	b := &bodyTap{inner: body, limit: l.rules.maxBytes}
	if body == nil || body == http.NoBody {
		b.ended = true
	}
	if l.identity.macs != nil {
		b.mac = l.identity.macs.Get().(*macState)
		b.mac.begin("body")
	}
	return b
}

// traceParent gives the ids of a W3C Trace Context header, version 00; nothing when it is absent, double or not exact.
func traceParent(h http.Header) (trace, span string) {
	v := h["Traceparent"]
	if len(v) != 1 || len(v[0]) != 55 {
		return "", ""
	}
	s := v[0]
	trace, span = s[3:35], s[36:52]
	if s[:3] != "00-" || s[35] != '-' || s[52] != '-' || !isHex(trace) || !isHex(span) || !isHex(s[53:]) ||
		strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return "", ""
	}
	return trace, span
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
