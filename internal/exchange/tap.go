package exchange

import (
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// Tap is a room's place in the way out. The innermost room's tap acts first; what it sends goes on to the next one outward.
// All methods run on the goroutine that writes the response (or, for End, the one that runs the handler).
type Tap interface {
	// Header is called once, when the final status is known at this place; 1xx responses pass by. It may edit o.Header() and
	// send the header on with [Out.WriteHeader]; if it does not, the exchange sends status on, except in mode Whole, where
	// the header is held until the tap sends it or the response ends. It returns how it wants the body.
	Header(o Out, status int) Mode
	// Body is called with pieces of the body as the mode says. Sending a piece on is the tap's business, but in mode Collect.
	// A returned error is what the handler's Write returns.
	Body(o Out, b *Body) error
	// End is called exactly once, after the handler inside returned or died. It may still send.
	End(o Out, how Outcome)
}

// Mode says how a tap wants the body of one response. Responses without a body (HEAD, 204, 304) and refusals of rooms
// ([Exchange.Refuse]) always get Pass: they are neither held nor changed.
type Mode uint8

const (
	// Pass: the body does not concern this tap. ReadFrom stays a straight copy.
	Pass Mode = iota
	// Collect: the body passes on untouched while a copy is kept; Body is called once, at the end, with the Doc to read.
	Collect
	// Whole: header and body are held; Body is called once with the Doc, when the handler is done or the cap is reached.
	// After a truncated Doc further pieces arrive as Chunks.
	Whole
	// Frames: a stream's body arrives event by event as Frames; any other body as Chunks.
	Frames
	// Discard: the body is swallowed.
	Discard
)

// MaxDoc is the most bytes of one body that Collect and Whole keep.
const MaxDoc = 4 << 20

// MaxFrame is the longest stream event; a longer one ends the stream with an error event, because it cannot be inspected.
const MaxFrame = 1 << 20

// Outcome says how the handler inside ended.
type Outcome uint8

const (
	// Completed: it returned.
	Completed Outcome = iota
	// Panicked: it panicked or ended its goroutine. What was held is dropped, never sent.
	Panicked
	// Hijacked: it took the connection over.
	Hijacked
)

// BodyKind is the kind of a body piece.
type BodyKind uint8

const (
	// Chunk is a run of body bytes as the handler wrote them.
	Chunk BodyKind = iota
	// Frame is one stream event.
	Frame
	// Doc is a whole body.
	Doc
)

// Body is one piece of a response body. It is valid during the call it is passed to.
type Body struct {
	Kind BodyKind
	// Data is the exact bytes to forward.
	Data []byte
	// Event and Payload are a Frame's type and data; HasPayload is false for comments.
	Event, Payload []byte
	HasPayload     bool
	// Truncated: a Doc that reached [MaxDoc], or a Frame the stream never terminated.
	Truncated bool

	facts   *dialect.Response
	scanned bool
	bad     bool
	origin  *Body // what a rewritten piece was before
	content bool  // a rewritten piece still has text for the reader
}

// replies are the facts of pieces that have gone out. No handler ever sees one, so unlike the exchange they are pooled.
var replies = sync.Pool{New: func() any { return new(dialect.Response) }}

// release ends the life of a piece that this package made; whoever was shown its facts has returned.
func (b *Body) release() {
	if f := b.facts; f != nil {
		*b = Body{}
		if cap(f.Texts) <= 1<<10 { // a giant's memory is left to the collector
			f.Reset(dialect.Unknown)
			replies.Put(f)
		}
	}
}

// Rewrite makes b the piece from with other text: its exact bytes and, for a Frame, its data; content says whether it still
// has text for the reader. Only text may differ: what [Body.Meta] says of from stays true. A tap that rewrites many pieces keeps
// one Body for all of them.
func (b *Body) Rewrite(from *Body, data, payload []byte, content bool) {
	*b = Body{Kind: from.Kind, Data: data, Event: from.Event, Payload: payload, HasPayload: from.HasPayload, Truncated: from.Truncated,
		facts: b.facts, origin: from, content: content}
}

// Meta returns what the piece says beside its text (usage, finish reason, model), and whether it has text for the reader. Of a
// rewritten piece that is what it said before, so nothing is scanned again; the Texts of what Meta returns must not be used.
func (b *Body) Meta(x *Exchange) (facts *dialect.Response, content bool) {
	if b.origin != nil {
		facts, _ = b.origin.Meta(x)
		return facts, b.content
	}
	if facts = b.Facts(x); facts != nil {
		content = facts.HasContent
	}
	return facts, content
}

// told is Meta as far as somebody has asked for it before.
func (b *Body) told() (facts *dialect.Response, content bool) {
	if b.origin != nil {
		facts, _ = b.origin.told()
		return facts, b.content
	}
	if !b.scanned || b.bad {
		return nil, false
	}
	return b.facts, b.facts.HasContent
}

// Facts returns what the piece says in the request's dialect, scanned once for all taps. It is nil when the piece is not JSON.
func (b *Body) Facts(x *Exchange) *dialect.Response {
	if !b.scanned {
		b.scanned = true
		data := b.Payload
		if b.Kind != Frame {
			data = b.Data
		}
		if len(data) == 0 {
			b.bad = true
			return nil
		}
		if b.facts == nil {
			b.facts = replies.Get().(*dialect.Response)
		}
		b.facts.Reset(x.Dialect())
		b.bad = b.facts.Scan(data) != nil
	}
	if b.bad {
		return nil
	}
	return b.facts
}

// Out is what lies outward of a tap. It is valid until the tap's End returns.
type Out struct{ l *level }

// Exchange returns the exchange of the request.
func (o Out) Exchange() *Exchange { return o.l.x }

// Request returns the request as it was when the exchange began, for its method and path.
func (o Out) Request() *http.Request { return o.l.root().r }

// Header returns the response header map.
func (o Out) Header() http.Header { return o.l.Header() }

// Sent reports whether this tap's header has gone outward.
func (o Out) Sent() bool { return o.l.sent }

// Refused reports whether the response is a refusal of a room ([Exchange.Refuse]), not something a handler wrote.
func (o Out) Refused() bool { return o.l.root().refused }

// Status returns the status that reached this tap, 0 before Header.
func (o Out) Status() int { return o.l.status }

// WriteHeader sends the header on. The first call counts.
func (o Out) WriteHeader(status int) {
	if !o.l.sent {
		o.l.sent = true
		o.l.outer.header(status)
	}
}

// Send sends a piece outward, after the header if that has not gone yet.
func (o Out) Send(b *Body) error {
	if !o.l.sent {
		o.WriteHeader(max(o.l.status, http.StatusOK))
	}
	return o.l.outer.body(b)
}

// Write sends bytes outward as a Chunk.
func (o Out) Write(p []byte) (int, error) {
	if err := o.Send(&Body{Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SendFrames sends complete stream events outward, each as a Frame.
func (o Out) SendFrames(events []byte) error {
	f, ok := IsStream(o.Header())
	if !ok {
		_, err := o.Write(events)
		return err
	}
	p := sse.Parser{Format: f, MaxEvent: MaxFrame}
	for {
		ev, rest, ok, err := p.Next(events)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		events = rest
		b := frameOf(ev)
		if err := o.Send(&b); err != nil {
			return err
		}
	}
}

// Flush flushes what was sent.
func (o Out) Flush() error { return o.l.outer.flush() }

// Stop swallows the rest of the handler's body; its writes return err, or succeed silently when err is nil.
func (o Out) Stop(err error) {
	o.l.mode = Discard
	o.l.stopped = err
}

// Stream returns the follower of this response's stream, which can end it properly at any event. It must be asked for in
// Header, so that it sees every event.
func (o Out) Stream() *dialect.Stream {
	x := o.l.x
	if x.stream == nil {
		x.stream = new(dialect.Stream)
		x.stream.Reset(x.Dialect())
	}
	return x.stream
}

// Fail sends d as an error event in the dialect of the stream that has begun, and flushes. It reports false when the response
// is not a stream: then only cutting the connection tells the client.
func (o Out) Fail(d *deny.Denial) bool {
	f, ok := IsStream(o.Header())
	if !ok {
		return false
	}
	s := deny.OpenAIStream
	switch x := o.l.x; {
	case f == sse.NDJSON:
		s = deny.LinesStream
	case x.Dialect() == dialect.Anthropic:
		s = deny.AnthropicStream
	case x.Dialect() == dialect.OpenAIResponses:
		s = deny.ResponsesStream
	}
	o.l.x.SetDenial(d)
	if o.Send(&Body{Data: s.AppendFrame(nil, d, o.l.x.id, 0)}) == nil {
		o.Flush()
	}
	return true
}

// IsStream reports whether a response with header h is a stream of events that taps can read: an event stream or
// newline-delimited JSON, not compressed.
func IsStream(h http.Header) (sse.Format, bool) {
	v := h["Content-Type"]
	if len(v) == 0 || Encoded(h) {
		return 0, false
	}
	switch mediaType(v[0]) {
	case "text/event-stream":
		return sse.EventStream, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines":
		return sse.NDJSON, true
	}
	return 0, false
}

// IsJSON reports whether a response with header h is one JSON document, not compressed.
func IsJSON(h http.Header) bool {
	v := h["Content-Type"]
	if len(v) == 0 || Encoded(h) {
		return false
	}
	t := mediaType(v[0])
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// Encoded reports whether the body is under a content coding, so that its bytes say nothing to a tap.
func Encoded(h http.Header) bool {
	for _, v := range h["Content-Encoding"] {
		if v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// mediaType is the lower-case media type of a Content-Type value. The two common spellings cost no parse.
func mediaType(v string) string {
	switch v {
	case "application/json", "text/event-stream", "application/x-ndjson":
		return v
	}
	t, _, err := mime.ParseMediaType(v)
	if err != nil {
		t, _, _ = strings.Cut(v, ";")
		t = strings.ToLower(strings.TrimSpace(t))
	}
	return t
}
