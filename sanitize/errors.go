package sanitize

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/sanitize/redact"
)

// Envelope is the shape of error bodies.
type Envelope uint8

// The envelopes. AutoEnvelope, the zero value, takes problem details when the client's Accept names them, Anthropic's shape under
// /v1/messages, Ollama's at the paths of its own API (/api/chat and the like), and OpenAI's otherwise.
const (
	AutoEnvelope      Envelope = Envelope(deny.Auto)
	OpenAIEnvelope    Envelope = Envelope(deny.OpenAI)
	AnthropicEnvelope Envelope = Envelope(deny.Anthropic)
	ProblemEnvelope   Envelope = Envelope(deny.Problem) // RFC 9457
)

// DefaultMaxCapture is [ErrorsConfig].MaxCapture when that is zero: 64 KiB.
const DefaultMaxCapture = 64 << 10

// ErrorsConfig configures [Errors]. The zero ErrorsConfig is the safe default.
type ErrorsConfig struct {
	// Envelope is the shape of every error body. Zero means AutoEnvelope.
	Envelope Envelope
	// ExposeHeaders names further response headers that stay on replaced responses. Always kept are those a client acts on:
	// Retry-After, rate limit and authentication headers, Allow, CORS and security headers.
	ExposeHeaders []string
	// SkipLeakScan lets 3xx and 4xx bodies and errors in the streams of handlers through unseen. False looks for stack traces, paths, database and network errors,
	// and credentials, and withholds bodies that hold any.
	SkipLeakScan bool
	// MaxCapture is the longest 3xx or 4xx body that is scanned, in bytes, at most 4 MiB; a longer one is withheld. Zero means
	// DefaultMaxCapture.
	MaxCapture int
	// Shadow changes no response and logs what would have been replaced; panics go on as if Errors were not there.
	Shadow bool
	// Logger gets panics with their stack and the reasons of replaced responses. Nil means slog.Default().
	Logger *slog.Logger
}

// Errors owns the shape of every error that leaves. It is immutable and safe for concurrent use. The zero Errors works like one
// made from the zero config.
type Errors struct {
	cfg    ErrorsConfig
	expose map[string]bool
}

// NewErrors checks cfg and returns an Errors. All faults are reported together.
func NewErrors(cfg ErrorsConfig) (*Errors, error) {
	var errs []error
	if cfg.Envelope > ProblemEnvelope {
		errs = append(errs, fmt.Errorf("sanitize: Envelope: %d is not an envelope of this package", cfg.Envelope))
	}
	if cfg.MaxCapture < 0 || cfg.MaxCapture > exchange.MaxDoc {
		errs = append(errs, fmt.Errorf("sanitize: MaxCapture: %d is not between 0 and %d", cfg.MaxCapture, exchange.MaxDoc))
	}
	e := &Errors{expose: map[string]bool{}}
	for i, h := range cfg.ExposeHeaders {
		k := http.CanonicalHeaderKey(h)
		if h == "" || strings.ContainsAny(h, " \t\r\n:") || slices.Contains(identifying[:], k) || k == "Trailer" || k == "Content-Length" || k == "Set-Cookie" {
			errs = append(errs, fmt.Errorf("sanitize: ExposeHeaders[%d]: %q cannot stay on a replaced response", i, h))
		}
		e.expose[k] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.ExposeHeaders = nil
	e.cfg = cfg
	return e, nil
}

// identifying are headers that name the software behind. They leave every response.
var identifying = [...]string{
	"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Generator", "X-Runtime", "X-Backend-Server", "X-Served-By",
	"X-Envoy-Upstream-Service-Time", "X-Envoy-Decorator-Operation",
}

// kept are the headers that stay on a replaced response: what a client acts on and what protects a browser.
var kept = map[string]bool{
	"Retry-After": true, "Retry-After-Ms": true, "X-Should-Retry": true, "Ratelimit": true, "Ratelimit-Policy": true,
	"Www-Authenticate": true, "Proxy-Authenticate": true, "Allow": true, "Accept": true, "Accept-Encoding": true, "Vary": true,
	"Date": true, "Connection": true, "Strict-Transport-Security": true, "Content-Security-Policy": true,
	"X-Content-Type-Options": true, "X-Frame-Options": true, "Referrer-Policy": true, "Permissions-Policy": true, "Alt-Svc": true,
	exchange.RequestIDHeader: true,
}

func (e *Errors) keeps(k string) bool {
	return kept[k] || e.expose[k] || strings.HasPrefix(k, "X-Ratelimit-") || strings.HasPrefix(k, "Ratelimit-") ||
		strings.HasPrefix(k, "Access-Control-") || strings.HasPrefix(k, "Cross-Origin-")
}

func (e *Errors) logger() *slog.Logger {
	if e.cfg.Logger != nil {
		return e.cfg.Logger
	}
	return slog.Default()
}

func (e *Errors) maxCapture() int {
	if e.cfg.MaxCapture > 0 {
		return e.cfg.MaxCapture
	}
	return DefaultMaxCapture
}

// Handler returns a handler that stands around next, outermost but for the audit log. It recovers panics (http.ErrAbortHandler
// goes on), replaces 5xx bodies, leaking 4xx bodies and leaking errors in the streams of handlers, empties
// leaking 3xx bodies, and decides the shape of every refusal of the rooms
// inside, whose own Deny is then not called.
// It panics when next is nil.
func (e *Errors) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("sanitize: Errors.Handler: next is nil")
	}
	if e == nil {
		e = &Errors{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.OwnErrors(deny.Envelope(e.cfg.Envelope))
		t := &errorTap{e: e, x: x}
		x.Serve(w, r, t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				// Recovered inside the tap's place: every room further in has ended by now, and what they held is dropped.
				if v := recover(); v != nil {
					e.panicked(t, w, r, v)
				}
			}()
			next.ServeHTTP(w, r)
		}))
	})
}

// panicError is a recovered panic as the private cause of a refusal.
type panicError struct{ value any }

// Error tells the value without its secrets: causes go to the audit log.
func (p *panicError) Error() string {
	return "sanitize: handler panicked: " + scrub(fmt.Sprint(p.value))
}

// Is and As reach the panic value when it is an error. Unwrap would hand its text out unscrubbed.
func (p *panicError) Is(target error) bool {
	err, ok := p.value.(error)
	return ok && errors.Is(err, target)
}

// As implements the method [errors.As] looks for.
func (p *panicError) As(target any) bool {
	err, ok := p.value.(error)
	return ok && errors.As(err, target)
}

// panicked answers a panic. It panics itself where only a broken connection tells the truth.
func (e *Errors) panicked(t *errorTap, w http.ResponseWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler || e.cfg.Shadow {
		panic(v) // the handler wants the connection cut, silently
	}
	d := &deny.Denial{Code: deny.InternalError, Stage: stage, Cause: &panicError{v}}
	e.logger().LogAttrs(r.Context(), slog.LevelError, "sanitize: handler panicked", slog.String("request_id", t.x.ID()),
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("panic", scrub(fmt.Sprint(v))), slog.String("stack", scrub(string(debug.Stack()))))
	switch {
	case t.x.Response().Hijacked:
		t.x.SetDenial(d)
	case !t.begun:
		clearHeaders(w.Header(), e)
		t.x.Refuse(w, r, d)
	case t.replaced:
		t.x.SetDenial(d) // the client has its error already
	case t.held:
		// A 4xx body that was being captured: nothing has left yet, and half a body is not sent.
		t.held = false
		t.replace(t.out, d)
		t.out.Stop(nil)
	case t.out.Fail(d):
		// The stream ends with an error event; an unfinished one before it is dropped.
		t.out.Stop(nil)
	default:
		t.x.SetDenial(d)
		panic(http.ErrAbortHandler) // a truncated body must not look like a complete one
	}
}

// errorTap watches one response.
type errorTap struct {
	e        *Errors
	x        *exchange.Exchange
	out      exchange.Out
	begun    bool // a status has arrived
	held     bool // its body is being captured
	replaced bool // the client got another body
	status   int
	excerpt  []byte // of a replaced body, for the log
	rule     string
}

// maxExcerpt is how much of a withheld body goes to the log.
const maxExcerpt = 1 << 10

// Header implements [exchange.Tap].
func (t *errorTap) Header(o exchange.Out, status int) exchange.Mode {
	t.out, t.begun, t.status = o, true, status
	h := o.Header()
	t.anonymize(h)
	switch {
	case o.Refused():
		return exchange.Pass
	case status >= 500:
		d := t.denialFor(status)
		if t.e.cfg.Shadow {
			t.log("sanitize: server error would be replaced", "server_error")
			return exchange.Pass
		}
		t.rule = "server_error"
		t.replace(o, d)
		return exchange.Frames // the rest is looked at for the log and swallowed
	case status >= 400:
		if d := t.x.Denial(); d != nil && d.Status() == status && !t.e.cfg.Shadow {
			// A room refused where it could only write for itself; here the envelope is known.
			t.replace(o, d)
			return exchange.Discard
		}
		if !t.e.cfg.SkipLeakScan {
			t.held = true
			return exchange.Whole
		}
	case status >= 300 && !t.e.cfg.SkipLeakScan:
		t.held = true
		return exchange.Whole
	}
	if _, ok := exchange.IsStream(h); ok {
		// Whole events only, so that an error event can follow the last one.
		return exchange.Frames
	}
	return exchange.Pass
}

// anonymize drops the headers that name the software behind.
func (t *errorTap) anonymize(h http.Header) {
	if !t.e.cfg.Shadow {
		for _, k := range &identifying {
			delete(h, k)
		}
	}
}

// denialFor is what the client is told in place of a handler's own server error.
func (t *errorTap) denialFor(status int) *deny.Denial {
	if d := t.x.Denial(); d != nil && d.Status() == status {
		return d
	}
	d := &deny.Denial{Code: deny.InternalError, HTTPStatus: status, Stage: stage, Cause: fmt.Errorf("sanitize: handler answered %d", status)}
	switch status {
	case http.StatusBadGateway:
		d.Code = deny.UpstreamError
	case http.StatusServiceUnavailable:
		d.Code = deny.Overloaded
	case http.StatusGatewayTimeout:
		d.Code = deny.Timeout
	}
	return d
}

// replace writes d in place of the handler's response.
func (t *errorTap) replace(o exchange.Out, d *deny.Denial) {
	t.replaced = true
	clearHeaders(o.Header(), t.e)
	t.x.SetDenial(d)
	deny.Write(outWriter{o}, o.Request(), d, deny.Envelope(t.e.cfg.Envelope), t.x.ID())
}

// clearHeaders leaves only what may accompany an error of ours. Trailers go too: they describe another body.
func clearHeaders(h http.Header, e *Errors) {
	for k := range h {
		if !e.keeps(k) {
			delete(h, k)
		}
	}
}

// Body implements [exchange.Tap].
func (t *errorTap) Body(o exchange.Out, b *exchange.Body) error {
	if t.replaced {
		if room := maxExcerpt - len(t.excerpt); room > 0 {
			t.excerpt = append(t.excerpt, b.Data[:min(room, len(b.Data))]...)
		}
		return nil
	}
	if b.Kind == exchange.Frame && b.HasPayload && !t.e.cfg.SkipLeakScan && mayBeError(b) {
		return t.streamError(o, b)
	}
	if !t.held || b.Kind != exchange.Doc {
		return o.Send(b)
	}
	t.held = false
	switch {
	case len(b.Data) == 0:
		return o.Send(b)
	case b.Truncated, len(b.Data) > t.e.maxCapture():
		t.rule = "oversized"
	case exchange.Encoded(o.Header()):
		t.rule = "encoded" // nobody can say what is in it
	default:
		t.rule = leaks(b.Data)
	}
	if t.rule == "" {
		return o.Send(b)
	}
	if t.e.cfg.Shadow {
		t.log("sanitize: client error would be withheld", t.rule)
		return o.Send(b)
	}
	t.found(b.Data)
	if t.status < 400 {
		// A redirect leads on without its body.
		t.replaced = true
		h := o.Header()
		location := h["Location"]
		clearHeaders(h, t.e)
		if location != nil {
			h["Location"] = location
		}
		h.Set("Content-Length", "0")
		o.WriteHeader(t.status)
		return nil
	}
	t.replace(o, &deny.Denial{Code: deny.RequestRefused, HTTPStatus: t.status, Stage: stage,
		Cause: fmt.Errorf("sanitize: the handler's %d body leaks (%s)", t.status, t.rule)})
	return nil
}

// found records that a body leaks.
func (t *errorTap) found(body []byte) {
	t.excerpt = append(t.excerpt, body[:min(maxExcerpt, len(body))]...)
	t.x.AddFinding(exchange.Finding{Kind: "leak", Rule: t.rule, Action: "replace", Direction: Response.String()})
}

// mayBeError reports cheaply whether an event may be an error of the upstream: the name, or an escape that may hide it.
func mayBeError(b *exchange.Body) bool {
	return bytes.Contains(b.Payload, []byte("rror")) || bytes.Contains(b.Payload, []byte(`\u00`)) ||
		bytes.Contains(b.Payload, []byte("RROR")) || string(b.Event) == "error"
}

// streamError sends an event of a stream on unless it is an error of the upstream that leaks: then the stream ends with an error of
// ours. What an error event says comes from the same handlers that write leaking error bodies.
func (t *errorTap) streamError(o exchange.Out, b *exchange.Body) error {
	facts, _ := b.Meta(t.x)
	if facts != nil && !facts.Error || facts == nil && string(b.Event) != "error" {
		return o.Send(b)
	}
	rule := leaks(b.Data)
	if rule == "" {
		return o.Send(b)
	}
	t.rule = rule
	if t.e.cfg.Shadow {
		t.log("sanitize: stream error would be replaced", rule)
		t.rule = ""
		return o.Send(b)
	}
	t.found(b.Data)
	t.replaced = true
	o.Fail(&deny.Denial{Code: deny.UpstreamError, Stage: stage, Cause: fmt.Errorf("sanitize: an error in the handler's stream leaks (%s)", rule)})
	o.Stop(nil)
	return nil
}

// End implements [exchange.Tap].
func (t *errorTap) End(o exchange.Out, how exchange.Outcome) {
	if !t.begun && how == exchange.Completed {
		t.anonymize(o.Header()) // net/http writes the header of a handler that wrote nothing
	}
	if !t.replaced {
		return
	}
	h := o.Header()
	for k := range h {
		if strings.HasPrefix(k, http.TrailerPrefix) {
			delete(h, k) // a trailer set after the header left
		}
	}
	if t.rule != "" {
		t.log("sanitize: response replaced", t.rule)
	}
}

// logRedactor keeps credentials and addresses out of logs and causes.
var logRedactor, _ = redact.New(redact.Config{})

// scrub returns text without what the default detectors find and without the passwords of URLs.
func scrub(text string) string {
	safe, _ := logRedactor.Redact(nil, maskPasswords(nil, []byte(text)))
	return string(safe)
}

// maskPasswords appends text to dst with the password of every scheme://user:password@host masked. Passwords that should have been
// escaped in a URL are masked as well, rather too much than too little.
func maskPasswords(dst, text []byte) []byte {
	for {
		i := bytes.Index(text, []byte("://"))
		if i < 0 {
			return append(dst, text...)
		}
		i += len("://")
		dst, text = append(dst, text[:i]...), text[i:]
		end := bytes.IndexAny(text, " \t\r\n\"'`<>")
		if end < 0 {
			end = len(text)
		}
		run := text[:end]
		authority := run
		if k := bytes.IndexAny(run, "/?#"); k >= 0 {
			authority = run[:k]
		}
		colon, at := bytes.IndexByte(run, ':'), bytes.LastIndexByte(authority, '@')
		if at < 0 && !port(authority, colon) {
			at = bytes.LastIndexByte(run, '@') // a password with a slash in it
		}
		if colon < 0 || at < colon {
			continue
		}
		dst = append(append(dst, text[:colon+1]...), "[REDACTED:password]"...)
		text = text[at:]
	}
}

// port reports whether an authority without user information ends with a port, or has none.
func port(authority []byte, colon int) bool {
	if colon < 0 || colon >= len(authority) {
		return true
	}
	for _, c := range authority[colon+1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func (t *errorTap) log(msg, rule string) {
	attrs := []slog.Attr{slog.String("request_id", t.x.ID()), slog.Int("status", t.status), slog.String("rule", rule)}
	if len(t.excerpt) > 0 {
		clean, _ := Clean(t.excerpt)
		attrs = append(attrs, slog.String("body", scrub(string(clean))))
	}
	t.e.logger().LogAttrs(t.x, slog.LevelWarn, msg, attrs...)
}
