package audit

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Stage says at which point of its life an event was recorded.
type Stage string

// The stages of this package's own events. Readers should expect further ones.
const (
	// StageCompleted: the handler returned.
	StageCompleted Stage = "completed"
	// StagePanic: the handler did not return; it panicked or ended its goroutine. The panic went on to whoever recovers it.
	// A panic with http.ErrAbortHandler is no fault and counts as completed: so a proxy ends a reply it cannot finish.
	StagePanic Stage = "panic"
	// StageEvent: an event without a request, from Record.
	StageEvent Stage = "event"
	// StageGap: lines are missing at this place; x.gap.count says how many.
	StageGap Stage = "gap"
	// StageFile: a file sink tells of its own file: a torn line moved aside, a file that was renamed or cut by others.
	StageFile Stage = "file"
)

// Outcome is what a room decided about a request.
type Outcome string

// The outcomes. An absent outcome means that nobody asked the room.
const (
	// Allowed: the room was asked and let the request pass.
	Allowed Outcome = "allowed"
	// Denied: the room refused it.
	Denied Outcome = "denied"
	// Flagged: the room found something and let the request pass, perhaps changed.
	Flagged Outcome = "flagged"
)

// Event is one thing that happened. The middleware fills it from the facts of a request; Record takes one for everything
// else (a key that was rotated, an administrator's action, a start).
//
// Empty strings and zero groups are absent in the line, never written as empty values. Every text is bounded: what is
// longer is cut, and its key listed in x.trimmed. Text that is not valid UTF-8 is kept byte for byte in escaped form, and
// its key listed in x.escaped; see Unescape.
type Event struct {
	// Time is when it happened. Zero means now.
	Time time.Time
	// Name says what happened: lower case letters, digits, '.', '_' and '-', at most 64 bytes, such as "key.rotate". The
	// prefixes "audit." and "http." are the Log's own. Required.
	Name string
	// Stage defaults to StageEvent for Record.
	Stage Stage
	// RequestID ties the event to a request; at most 128 bytes.
	RequestID string
	// TraceID and SpanID are those of W3C Trace Context, in lower case hex.
	TraceID, SpanID string
	// Client is the address of the client, written in the form Config.Identify.Address says.
	Client netip.Addr
	// HTTP is absent without a Method.
	HTTP HTTP
	// Auth names the caller or the actor, in the form Config.Identify.Caller says.
	Auth Auth
	// RateLimit, Validate and Sanitize are what those rooms decided.
	RateLimit, Validate, Sanitize Outcome
	// Findings are what sanitize found: kinds and rules, never text. At most MaxFindings different ones.
	Findings []Finding
	// GenAI is absent without an Operation and a Model.
	GenAI GenAI
	// Duration is how long it took; 0 means unknown.
	Duration time.Duration
	// Error is the machine code of the refusal or failure (error.type), at most 64 bytes.
	Error string
	// ErrorStage is the room that refused.
	ErrorStage string
	// Cause is the private reason for operators, at most 512 bytes. It is the one member that may hold words of an error
	// text; keep secrets out of errors.
	Cause string
	// Attrs are written as "attr." + key, at most MaxAttrs. Groups are flattened with dots. Values of kind Any are written
	// only when they are an error, a fmt.Stringer; of any other the type is written, so that no struct spills what it holds.
	Attrs []slog.Attr

	dropped int // attributes that Annotate had no place for
}

// HTTP is what the server saw of one request.
type HTTP struct {
	// Method is written as it is when it is one of the registered methods in common use, else as "_OTHER".
	Method string
	// Route is the pattern that matched ("POST /v1/chat/completions"), at most 256 bytes. Never the path: paths and queries
	// carry identifiers and secrets.
	Route string
	// Status is the status of the response; 0 means that none was sent.
	Status int
	// RequestBytes is the size of the request body; negative means unknown.
	RequestBytes int64
	// ResponseBytes is the size of the response body as sent; negative means unknown.
	ResponseBytes int64
	// Aborted: the client went away, or could not be written to, before it had the whole response.
	Aborted bool
	// Hijacked: the connection was taken over (WebSocket, CONNECT); sizes count what was seen before.
	Hijacked bool
}

// Auth is who did it. Each text is at most 128 bytes, Scheme and Plan 64.
type Auth struct {
	// Scheme is how the caller proved who it is: "api_key", "jwt".
	Scheme string
	// Outcome is empty when nobody asked.
	Outcome Outcome
	// Issuer, Subject, Tenant, ClientID and KeyID identify the caller; they are names, never credentials.
	Issuer, Subject, Tenant, ClientID, KeyID string
	// Plan is the name of the caller's plan.
	Plan string
}

// Finding is one kind of thing sanitize found, with how often.
type Finding struct {
	// Kind and Rule (at most 40 bytes each), Action and Direction (16) are words of the sanitize room's tables.
	Kind, Rule, Action, Direction string
	// Count below 1 counts as 1.
	Count int
}

// GenAI is what is known of a model call. Missing usage is absent, never 0.
type GenAI struct {
	// Operation is gen_ai.operation.name: "chat", "text_completion", "embeddings".
	Operation string
	// Model is the requested model, at most 256 bytes.
	Model string
	// ResponseModel is the model the response names, at most 128 bytes.
	ResponseModel string
	// Stream: the client asked for a stream, or the response was one.
	Stream bool
	// FinishReason is the raw reason of the response, at most 64 bytes.
	FinishReason string
	// TimeToFirstChunk is the time from the request's arrival to the first piece of content; 0 means none was seen.
	TimeToFirstChunk time.Duration
	// StreamTime is the time from the first to the last piece of content.
	StreamTime time.Duration
	// UsageKnown says that the token counts are facts.
	UsageKnown bool
	// UsageEstimated says that they come from an estimate of ours.
	UsageEstimated bool
	// InputTokens includes CachedInputTokens.
	InputTokens, CachedInputTokens, OutputTokens int64
	// CostMicroUSD is the cost in millionths of a dollar; 0 means unknown.
	CostMicroUSD int64
}

// payload is what a capture rule adds to the line of a request.
type payload struct {
	level    Capture
	bytes    int64
	complete bool
	hmac     []byte // kid:hex
	sealed   []byte // printable ASCII
	text     []byte
	limit    int
	cut      bool
	failed   string
}

// encoder builds one line. It is pooled: it holds the buffer and the scratch of one event.
type encoder struct {
	buf              []byte
	trimmed, escaped uint64 // one bit per field
	attrs            [MaxAttrs]attrMark
	numAttrs         int
	attrsDropped     int
	payloadBytes     int

	ev       Event
	pay      payload
	findings [MaxFindings + 1]Finding
	attrBuf  [MaxAttrs]slog.Attr
	scratch  [96]byte
}

// attrMark is where in the buffer the key of an attribute stands.
type attrMark struct {
	start, end       int
	trimmed, escaped bool
}

func (e *encoder) reset() {
	if cap(e.buf) > 64<<10 {
		e.buf = nil // a captured payload was here; do not keep its memory for ever
	}
	e.buf = e.buf[:0]
	e.trimmed, e.escaped, e.numAttrs, e.attrsDropped, e.payloadBytes = 0, 0, 0, 0, 0
	e.ev, e.pay = Event{}, payload{}
	clear(e.findings[:])
	clear(e.attrBuf[:])
}

func (e *encoder) open(t time.Time, name string, stage Stage) {
	e.buf = append(e.buf, `{"schema":`...)
	e.buf = strconv.AppendInt(e.buf, Schema, 10)
	e.buf = appendTime(append(e.buf, prefixes[fTime]...), t)
	e.str(fName, name)
	e.str(fStage, string(stage))
}

// str writes a text member, nothing when it is empty.
func (e *encoder) str(f field, s string) {
	if s == "" {
		return
	}
	e.buf = append(append(e.buf, prefixes[f]...), '"')
	e.text(f, s)
	e.buf = append(e.buf, '"')
}

func (e *encoder) text(f field, s string) { e.textN(f, s, fields[f].limit) }

func (e *encoder) textN(f field, s string, limit int) {
	var trimmed, escaped bool
	e.buf, trimmed, escaped = appendText(e.buf, s, limit)
	if trimmed {
		e.trimmed |= 1 << f
	}
	if escaped {
		e.escaped |= 1 << f
	}
}

func (e *encoder) num(f field, v int64) {
	e.buf = strconv.AppendInt(append(e.buf, prefixes[f]...), v, 10)
}

func (e *encoder) size(f field, v int64) {
	if v >= 0 {
		e.num(f, v)
	}
}

func (e *encoder) flag(f field, v bool) {
	e.buf = strconv.AppendBool(append(e.buf, prefixes[f]...), v)
}

// event writes e.ev and e.pay as one line with its line break.
func (e *encoder) event(id *identity) {
	ev := &e.ev
	e.open(ev.Time, ev.Name, ev.Stage)
	e.str(fRequestID, ev.RequestID)
	e.str(fTraceID, ev.TraceID)
	e.str(fSpanID, ev.SpanID)
	e.client(id, ev.Client)
	if h := &ev.HTTP; h.Method != "" {
		e.str(fMethod, knownMethod(h.Method))
		e.str(fRoute, h.Route)
		if h.Status > 0 {
			e.num(fStatus, int64(h.Status))
		}
		e.size(fRequestSize, h.RequestBytes)
		e.size(fResponseSize, h.ResponseBytes)
		if h.Aborted {
			e.flag(fAborted, true)
		}
		if h.Hijacked {
			e.flag(fHijacked, true)
		}
	}
	e.str(fAuthScheme, ev.Auth.Scheme)
	e.str(fAuthOutcome, string(ev.Auth.Outcome))
	e.str(fAuthIssuer, ev.Auth.Issuer)
	e.caller(id, fAuthSubject, ev.Auth.Subject)
	e.caller(id, fAuthTenant, ev.Auth.Tenant)
	e.caller(id, fAuthClientID, ev.Auth.ClientID)
	e.caller(id, fAuthKeyID, ev.Auth.KeyID)
	e.str(fAuthPlan, ev.Auth.Plan)
	e.str(fRateLimit, string(ev.RateLimit))
	e.str(fValidate, string(ev.Validate))
	e.str(fSanitize, string(ev.Sanitize))
	e.allFindings(ev.Findings)
	e.genAI(&ev.GenAI)
	if ev.Duration > 0 {
		e.buf = appendMillis(append(e.buf, prefixes[fDuration]...), ev.Duration)
	}
	if ev.GenAI.CostMicroUSD > 0 {
		e.num(fCost, ev.GenAI.CostMicroUSD)
	}
	e.str(fErrorType, ev.Error)
	e.str(fErrorStage, ev.ErrorStage)
	e.str(fErrorCause, ev.Cause)
	e.attrsDropped = ev.dropped
	for _, a := range ev.Attrs {
		e.attr("", a, 0)
	}
	if e.attrsDropped > 0 {
		e.num(fAttrsDropped, int64(e.attrsDropped))
	}
	e.capture(&e.pay)
	e.close()
}

func (e *encoder) client(id *identity, addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	switch id.address {
	case AddressFull:
		e.buf = append(append(e.buf, prefixes[fClientAddress]...), '"')
		e.buf = append(addr.WithZone("").AppendTo(e.buf), '"') // a zone is text of the peer's choosing
	case AddressNetwork:
		bits := 24
		if addr.Is6() && !addr.Is4In6() {
			bits = 48
		}
		net, err := addr.Unmap().Prefix(bits)
		if err != nil {
			return
		}
		e.buf = append(append(e.buf, prefixes[fClientNet]...), '"')
		e.buf = append(net.AppendTo(e.buf), '"')
	case AddressHMAC:
		text := addr.WithZone("").AppendTo(e.scratch[:0])
		e.buf = append(append(e.buf, prefixes[fClientHMAC]...), '"')
		e.buf = append(id.pseudonym(e.buf, fields[fClientHMAC].name, text), '"')
	}
}

func (e *encoder) caller(id *identity, f field, s string) {
	switch {
	case s == "" || id.caller == CallerNone:
	case id.caller == CallerHMAC:
		e.buf = append(append(e.buf, prefixes[f]...), '"')
		e.buf = append(id.pseudonymString(e.buf, fields[f].name, s), '"')
	default:
		e.str(f, s)
	}
}

func (e *encoder) allFindings(found []Finding) {
	if len(found) == 0 {
		return
	}
	e.buf = append(append(e.buf, prefixes[fFindings]...), '[')
	for i := range found[:min(len(found), MaxFindings)] {
		f := &found[i]
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, `{"kind":"`...)
		e.text(fFindings, f.Kind)
		e.buf = append(e.buf, `","rule":"`...)
		e.text(fFindings, f.Rule)
		e.buf = append(e.buf, `","action":"`...)
		e.textN(fFindings, f.Action, maxWord)
		e.buf = append(e.buf, `","direction":"`...)
		e.textN(fFindings, f.Direction, maxWord)
		e.buf = append(e.buf, `","count":`...)
		e.buf = strconv.AppendInt(e.buf, int64(max(f.Count, 1)), 10)
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, ']')
	dropped := 0
	for _, f := range found[min(len(found), MaxFindings):] {
		dropped += max(f.Count, 1)
	}
	if dropped > 0 {
		e.num(fFindingsDropped, int64(dropped))
	}
}

func (e *encoder) genAI(g *GenAI) {
	e.str(fOperation, g.Operation)
	e.str(fModel, g.Model)
	if g.Stream {
		e.flag(fStream, true)
	}
	e.str(fResponseModel, g.ResponseModel)
	if g.FinishReason != "" {
		e.buf = append(append(e.buf, prefixes[fFinish]...), '[', '"')
		e.text(fFinish, g.FinishReason)
		e.buf = append(e.buf, '"', ']')
	}
	if g.TimeToFirstChunk > 0 {
		e.buf = appendSeconds(append(e.buf, prefixes[fFirstChunk]...), g.TimeToFirstChunk)
	}
	if !g.UsageKnown && !g.UsageEstimated {
		return // unknown is not 0
	}
	e.size(fInputTokens, g.InputTokens)
	if g.CachedInputTokens > 0 {
		e.num(fCachedTokens, g.CachedInputTokens)
	}
	e.size(fOutputTokens, g.OutputTokens)
	if g.UsageEstimated {
		e.flag(fUsageEstimated, true)
	}
	// The first token marks the beginning of the interval, so only the others were produced during it. Microseconds
	// bound the multiplication: 1e12 tokens would fit.
	if us := g.StreamTime.Microseconds(); us > 0 && g.OutputTokens > 1 && g.OutputTokens < 1e9 {
		e.buf = appendThousandths(append(e.buf, prefixes[fTokensPerSecond]...), (g.OutputTokens-1)*1e9/us)
	}
}

// attr writes one attribute, groups flattened.
func (e *encoder) attr(prefix string, a slog.Attr, depth int) {
	v := resolve(a.Value)
	if v.Kind() == slog.KindGroup {
		if depth >= 4 { // deeper nesting carries no meaning in a flat line; a LogValuer could make it endless
			e.attrsDropped++
			return
		}
		key := prefix
		if a.Key != "" {
			key = prefix + a.Key + "."
		}
		for _, inner := range v.Group() {
			e.attr(key, inner, depth+1)
		}
		return
	}
	if a.Key == "" && prefix == "" {
		return // slog ignores an empty attribute too
	}
	start := len(e.buf)
	m := attrMark{start: start + len(`,"`)}
	e.buf = append(e.buf, `,"attr.`...)
	if prefix == "" {
		e.buf, m.trimmed, m.escaped = appendText(e.buf, a.Key, maxAttrKey)
	} else {
		e.buf, m.trimmed, m.escaped = appendText(e.buf, prefix+a.Key, maxAttrKey)
	}
	m.end = len(e.buf)
	e.buf = append(e.buf, `":`...)
	trimmed, escaped := e.attrValue(v)
	m.trimmed, m.escaped = m.trimmed || trimmed, m.escaped || escaped

	// A key may cost its length twice more, in x.trimmed and x.escaped.
	room := MaxLine - maxLists - e.attrLists() - 2*(m.end-m.start+len(`"",`)) - captureReserve
	if e.numAttrs == MaxAttrs || len(e.buf) > room || e.hasAttr(m) {
		e.buf = e.buf[:start]
		e.attrsDropped++
		return
	}
	e.attrs[e.numAttrs] = m
	e.numAttrs++
}

// captureReserve is kept free behind the attributes for x.attrs_dropped and the fixed members of a capture.
const captureReserve = 384

// attrLists is the most the attributes so far can take in x.trimmed and x.escaped.
func (e *encoder) attrLists() int {
	n := 0
	for _, m := range e.attrs[:e.numAttrs] {
		n += 2 * (m.end - m.start + len(`"",`))
	}
	return n
}

// hasAttr reports whether a member of that name is in the line: a line never names a member twice.
func (e *encoder) hasAttr(m attrMark) bool {
	for _, o := range e.attrs[:e.numAttrs] {
		if bytes.Equal(e.buf[o.start:o.end], e.buf[m.start:m.end]) {
			return true
		}
	}
	return false
}

func (e *encoder) attrValue(v slog.Value) (trimmed, escaped bool) {
	switch v.Kind() {
	case slog.KindInt64:
		e.buf = strconv.AppendInt(e.buf, v.Int64(), 10)
	case slog.KindUint64:
		e.buf = strconv.AppendUint(e.buf, v.Uint64(), 10)
	case slog.KindFloat64:
		e.buf = appendFloat(e.buf, v.Float64())
	case slog.KindBool:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case slog.KindTime:
		e.buf = appendTime(e.buf, v.Time())
	default:
		e.buf = append(e.buf, '"')
		e.buf, trimmed, escaped = appendText(e.buf, valueText(v), maxAttrValue)
		e.buf = append(e.buf, '"')
	}
	return trimmed, escaped
}

// resolve gives the value of a LogValuer (slog turns a panic of one into a value).
func resolve(v slog.Value) slog.Value {
	if v.Kind() == slog.KindLogValuer {
		return v.Resolve()
	}
	return v
}

// valueText gives the text of a value that is not a number, a boolean or a time. It never reflects over a user's type: a
// struct may hold what nobody meant to log.
func valueText(v slog.Value) (text string) {
	switch v.Kind() {
	case slog.KindString:
		return v.String()
	case slog.KindDuration:
		return v.Duration().String()
	}
	defer func() {
		if recover() != nil { // a nil pointer in an error interface, mostly; an attribute must not take the request down
			text = "!PANIC"
		}
	}()
	switch x := v.Any().(type) {
	case nil:
		return "<nil>"
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	default:
		return fmt.Sprintf("!%T", x)
	}
}

func (e *encoder) capture(p *payload) {
	if p.level != CaptureHash && p.level != CaptureEncrypted && p.level != CapturePlain {
		return
	}
	e.str(fCaptureLevel, p.level.String())
	e.num(fBodyBytes, p.bytes)
	e.flag(fBodyComplete, p.complete)
	if len(p.hmac) > 0 {
		e.buf = append(append(e.buf, prefixes[fBodyHMAC]...), '"')
		e.buf = append(append(e.buf, p.hmac...), '"')
	}
	e.str(fCaptureFailed, p.failed)
	before := len(e.buf)
	if len(p.sealed) > 0 {
		e.buf = append(append(e.buf, prefixes[fSealed]...), '"')
		e.buf, _, _ = appendText(e.buf, p.sealed, 8*len(p.sealed)) // printable ASCII: never cut
		e.buf = append(e.buf, '"')
	}
	if p.text != nil {
		e.buf = append(append(e.buf, prefixes[fText]...), '"')
		var trimmed, escaped bool
		e.buf, trimmed, escaped = appendText(e.buf, p.text, p.limit)
		if p.cut && !trimmed {
			e.buf = append(e.buf, ellipsis...)
		}
		if trimmed || p.cut {
			e.trimmed |= 1 << fText
		}
		if escaped {
			e.escaped |= 1 << fText
		}
		e.buf = append(e.buf, '"')
	}
	e.payloadBytes = len(e.buf) - before
}

// close writes the lists of what was cut or escaped and ends the line.
func (e *encoder) close() {
	e.list(`,"x.trimmed":[`, e.trimmed, func(m *attrMark) bool { return m.trimmed })
	e.list(`,"x.escaped":[`, e.escaped, func(m *attrMark) bool { return m.escaped })
	e.buf = append(e.buf, '}', '\n')
}

func (e *encoder) list(open string, bits uint64, marked func(*attrMark) bool) {
	sep := open
	for f := field(0); f < numFields; f++ {
		if bits&(1<<f) != 0 {
			e.buf = append(append(append(append(e.buf, sep...), '"'), fields[f].name...), '"')
			sep = ","
		}
	}
	for i := range e.attrs[:e.numAttrs] {
		if m := &e.attrs[i]; marked(m) {
			e.buf = append(append(append(e.buf, sep...), '"'), e.buf[m.start:m.end]...)
			e.buf = append(e.buf, '"')
			sep = ","
		}
	}
	if sep == "," {
		e.buf = append(e.buf, ']')
	}
}

// knownMethod keeps the method's set of values small, as the OpenTelemetry conventions ask: a method is the one part of the
// request line every client may invent.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m
	}
	return "_OTHER"
}

// checkName accepts the name of a user's event.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: no Name", ErrInvalidEvent)
	case len(name) > fields[fName].limit:
		return fmt.Errorf("%w: Name is longer than %d bytes", ErrInvalidEvent, fields[fName].limit)
	case strings.HasPrefix(name, "audit."), strings.HasPrefix(name, "http."):
		// Nobody but the Log itself may say that lines are missing.
		return fmt.Errorf("%w: Name %q: the prefixes audit. and http. are reserved", ErrInvalidEvent, name)
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("%w: Name %q: want lower case letters, digits, '.', '_' and '-'", ErrInvalidEvent, name)
		}
	}
	return nil
}
