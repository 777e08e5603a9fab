package sanitize

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/sse"
	"github.com/mantlet-go/mantlet/sanitize/redact"
)

// tap filters one response.
type tap struct {
	f    *Filter
	x    *exchange.Exchange
	kind bodyForm

	// Streams of events.
	format   sse.Format
	dialect  dialect.Dialect
	stream   *dialect.Stream
	channels map[uint32]*channel
	order    []*channel
	ending   ending
	edits    []edit
	dec, out []byte // scratch: a decoded text, what was released for it
	arena    []byte // what the edits of one frame put in
	payload  []byte // the rewritten payload
	raw      []byte // the rewritten event
	body     exchange.Body
	content  bool // the current event still has text for the reader
	verbatim bool // every text of the current event has been released as it is
	redone   bool // something was redacted in this response
	cut      bool // the response was withheld after it had begun, without a way to say so

	text  *redact.Stream // a text body, or the payloads of events that are not JSON
	plain bool           // such events have come
	rest  leaves
}

type bodyForm uint8

const (
	formPass bodyForm = iota
	formDoc
	formText
	formFrames
)

// channel is one text of a streamed reply.
type channel struct {
	t      dialect.Text
	stream *redact.Stream
	like   []byte // the last event, for dialects whose events can only be copied; shared by the channels of an event
}

const (
	// maxChannels bounds the texts that run side by side in one reply: eight choices with a few fields and tool calls each are
	// some fifty.
	maxChannels = 1024
	// maxLike bounds the event that is kept as the pattern for held-back text in a dialect nobody knows. With maxChannels it bounds
	// the memory a hostile upstream can take; what a longer event holds back at the very end is dropped.
	maxLike = 16 << 10
)

var (
	errEncoded   = errors.New("sanitize: the handler compressed a text, it cannot be scanned")
	errOversized = errors.New("sanitize: the JSON response is longer than the filter holds, it cannot be scanned")
	errChannels  = errors.New("sanitize: the stream has more texts side by side than the filter follows")
	errBroken    = errors.New("sanitize: the rewritten response is not JSON")
)

// Header implements [exchange.Tap].
func (t *tap) Header(o exchange.Out, status int) exchange.Mode {
	h := o.Header()
	t.dialect = t.x.Dialect()
	if status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || o.Request().Method == http.MethodHead ||
		t.x.Refused() {
		return exchange.Pass // no body, or one of our own
	}
	switch responseKind(h) {
	case binaryBody:
		return exchange.Pass
	case unreadable:
		if t.f.cfg.SkipEncoded || t.f.cfg.Shadow {
			return exchange.Pass
		}
		t.fail(o, errEncoded, deny.UpstreamError)
		return exchange.Discard
	case jsonBody:
		t.kind = formDoc
		return exchange.Whole
	}
	if !t.f.cfg.Shadow {
		// The length may change with any piece. (A JSON document's headers are changed when it is known to.)
		dropBodyHeaders(h)
	}
	if format, ok := exchange.IsStream(h); ok {
		t.kind, t.format = formFrames, format
		t.stream = o.Stream()
		t.channels = make(map[uint32]*channel)
	} else {
		t.kind = formText
	}
	t.text = t.f.responses[RoleAssistant].NewStream()
	return exchange.Frames
}

// dropBodyHeaders removes what describes the body's exact bytes.
func dropBodyHeaders(h http.Header) {
	for _, k := range [...]string{"Content-Length", "Etag", "Digest", "Content-Digest", "Repr-Digest", "Content-Md5"} {
		delete(h, k)
	}
}

// Body implements [exchange.Tap].
func (t *tap) Body(o exchange.Out, b *exchange.Body) error {
	switch {
	case b.Kind == exchange.Doc:
		return t.doc(o, b)
	case t.kind == formDoc:
		return o.Send(b) // the rest of an oversized document that SkipOversized lets through
	case b.Kind == exchange.Frame:
		return t.frame(o, b)
	}
	t.out = t.text.Write(t.out[:0], b.Data)
	if err := t.noted(o, t.text); err != nil {
		return err
	}
	if t.f.cfg.Shadow {
		return o.Send(b)
	}
	if len(t.out) == 0 {
		return nil
	}
	_, err := o.Write(t.out)
	return err
}

// End implements [exchange.Tap].
func (t *tap) End(o exchange.Out, how exchange.Outcome) {
	if how != exchange.Completed || t.f.cfg.Shadow || t.text == nil {
		return // what an aborted reply holds back is never sent
	}
	switch t.kind {
	case formText:
		t.out = t.text.Flush(t.out[:0])
		if t.noted(o, t.text) == nil && len(t.out) > 0 {
			o.Write(t.out)
		}
	case formFrames:
		t.flush(o, nil, func(*channel) bool { return true })
	}
}

// noted records what a stream found and enforces Block.
func (t *tap) noted(o exchange.Out, s *redact.Stream) error {
	for _, d := range s.Findings() {
		a := t.f.policy.action(d.Kind, Response, RoleAssistant)
		if err := t.decided(o, Finding{d, a}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tap) decided(o exchange.Out, d Finding) error {
	if d.Action == Allow {
		return nil
	}
	t.x.AddFinding(exchange.Finding{Kind: d.Kind, Rule: d.Rule, Action: t.f.actionName(d.Action), Direction: Response.String()})
	if d.Action == Block && !t.f.cfg.Shadow {
		return t.fail(o, ErrBlocked, deny.ContentPolicy)
	}
	t.redone = t.redone || d.Action == Redact
	return nil
}

// fail ends the response: with a refusal when nothing was sent, with an error event in a stream, by cutting it elsewhere.
func (t *tap) fail(o exchange.Out, cause error, code deny.Code) error {
	d := &deny.Denial{Code: code, Stage: stage, Cause: cause}
	t.f.warn(o.Request(), t.x, "sanitize: response withheld", cause)
	t.x.SetDenial(d)
	switch {
	case !o.Sent():
		deny.Write(outWriter{o}, o.Request(), d, deny.Auto, t.x.ID())
	case !o.Fail(d):
		// Neither status nor format can tell the client: the connection must break (see Handler).
		t.cut = true
	}
	t.x.Cancel(cause)
	o.Stop(cause)
	t.kind, t.text = formPass, nil // nothing held back leaves any more
	return cause
}

// outWriter lets a refusal be written where a tap stands.
type outWriter struct{ exchange.Out }

func (w outWriter) Write(p []byte) (int, error) { return w.Out.Write(p) }

// doc filters a whole document.
func (t *tap) doc(o exchange.Out, b *exchange.Body) error {
	if b.Truncated {
		if t.f.cfg.SkipOversized || t.f.cfg.Shadow {
			return o.Send(b)
		}
		// What was not seen whole cannot be vouched for.
		return t.fail(o, errOversized, deny.UpstreamError)
	}
	if len(b.Data) == 0 {
		return o.Send(b)
	}
	w := works.Get().(*work)
	defer w.release()
	w.reset()
	facts := b.Facts(t.x)
	var texts []dialect.Text
	out := b.Data
	if facts != nil {
		texts = facts.Texts
		t.f.rewrite(w, Response, b.Data, texts)
		if t.dialect != dialect.Unknown {
			t.f.rewrite(w, Response, b.Data, t.rest.find(b.Data, texts))
			sortEdits(w.edits)
		}
		if w.redone {
			// Log probabilities repeat the text token by token.
			for _, tx := range texts {
				if tx.Kind == dialect.Token && tx.End > tx.Start {
					w.edits = append(w.edits, edit{tx.Start, tx.End, nil})
				}
			}
			for _, r := range facts.Repeats {
				w.edits = append(w.edits, edit{r.Start, r.End, []byte("null")})
			}
			sortEdits(w.edits)
		}
		if len(w.edits) > 0 {
			out = splice(make([]byte, 0, len(b.Data)+64), b.Data, w.edits)
		}
	} else {
		cleaned := t.f.look(w, Response, RoleAssistant, b.Data, false)
		if len(w.reps) > 0 {
			out = apply(nil, cleaned, w.reps)
		}
	}
	for _, d := range w.found {
		if err := t.decided(o, d); err != nil {
			return err
		}
	}
	if t.f.cfg.Shadow || same(out, b.Data) {
		return o.Send(b)
	}
	if facts != nil && !stillJSON(out) {
		return t.fail(o, errBroken, deny.InternalError)
	}
	h := o.Header()
	dropBodyHeaders(h)
	if len(h["Trailer"]) == 0 { // with a length there would be no trailers
		h.Set("Content-Length", strconv.Itoa(len(out)))
	}
	t.body.Rewrite(b, out, nil, true)
	return o.Send(&t.body)
}

func sortEdits(e []edit) { slices.SortFunc(e, func(a, b edit) int { return a.start - b.start }) }

// frame filters one event of a stream.
func (t *tap) frame(o exchange.Out, b *exchange.Body) error {
	if !b.HasPayload {
		return o.Send(b)
	}
	facts := b.Facts(t.x)
	if facts == nil || !facts.Terminal && t.isPlain(b.Payload) {
		return t.plainFrame(o, b)
	}
	if facts.Error {
		// The upstream gave up: what is held back was cut off in its middle and stays here.
		for _, c := range t.order {
			c.stream.Drop()
		}
	}
	payload := b.Payload
	ends := t.ending.find(t.dialect, facts, payload, t.anyHeld())
	t.edits, t.arena = t.edits[:0], t.arena[:0]
	t.verbatim, t.content = true, false
	var like []byte
	for i := range facts.Texts {
		tx := &facts.Texts[i]
		if tx.Kind == dialect.Token || tx.Kind == dialect.Opaque {
			continue
		}
		raw := payload[tx.Start:tx.End]
		text := raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			t.dec = jsonscan.AppendUnquoted(t.dec[:0], raw)
			text = t.dec
		}
		whole := tx.Whole || t.stream == nil || t.dialect == dialect.Unknown && isLabel(payload, tx.Start)
		c := t.channels[tx.Channel]
		if whole {
			t.content = t.content || len(text) > 0
			// A complete text. Where it repeats what its channel has streamed, the channel is complete too.
			if c != nil && c.stream.Held() > 0 {
				if err := t.flush(o, b, func(k *channel) bool { return k == c }); err != nil {
					return err
				}
			}
			if err := t.wholeText(o, tx, text); err != nil {
				return err
			}
			continue
		}
		if c == nil {
			if len(text) == 0 {
				continue
			}
			if len(t.order) >= maxChannels {
				return t.fail(o, errChannels, deny.UpstreamError)
			}
			c = t.open(tx)
		}
		t.out = c.stream.Write(t.out[:0], text)
		if ends(c) && lastOfChannel(facts.Texts, i) {
			t.out = c.stream.Flush(t.out)
		}
		t.content = t.content || len(t.out) > 0
		if err := t.noted(o, c.stream); err != nil {
			return err
		}
		if c.stream.Held() > 0 {
			t.verbatim = false
			if t.dialect == dialect.Unknown {
				if like == nil && len(payload) <= maxLike {
					like = bytes.Clone(payload)
				}
				c.like, c.t = like, *tx
			}
		}
		if !bytes.Equal(t.out, text) {
			mark := len(t.arena)
			t.arena = jsonscan.AppendQuoted(t.arena, t.out, false)
			t.edits = append(t.edits, edit{tx.Start, tx.End, t.arena[mark:]})
		}
	}
	if t.dialect != dialect.Unknown {
		// Strings that the dialect does not know as text: whatever a vendor puts beside them is looked at, each for itself.
		for _, tx := range t.rest.find(payload, facts.Texts) {
			text := payload[tx.Start:tx.End]
			if bytes.IndexByte(text, '\\') >= 0 {
				t.dec = jsonscan.AppendUnquoted(t.dec[:0], text)
				text = t.dec
			}
			if err := t.wholeText(o, &tx, text); err != nil {
				return err
			}
		}
	}
	if err := t.flush(o, b, ends); err != nil {
		return err
	}
	if t.f.cfg.Shadow {
		return o.Send(b)
	}
	if t.redone || !t.verbatim {
		t.blankTokens(facts)
	}
	if len(t.edits) == 0 {
		return o.Send(b)
	}
	// Not scanned again, as documents are: what edits put in is always quoted content or null (FuzzStreams holds it to that).
	sortEdits(t.edits)
	t.payload = splice(t.payload[:0], payload, t.edits)
	return t.sendPayload(o, b)
}

// wholeText filters a text that is complete in its event.
func (t *tap) wholeText(o exchange.Out, tx *dialect.Text, text []byte) error {
	w := works.Get().(*work)
	defer w.release()
	w.reset()
	t.f.look(w, Response, roleOf(tx.Role), text, tx.Kind == dialect.ToolArguments)
	if len(w.reps) > 0 {
		mark := len(t.arena)
		t.out = apply(t.out[:0], text, w.reps)
		t.arena = jsonscan.AppendQuoted(t.arena, t.out, false)
		t.edits = append(t.edits, edit{tx.Start, tx.End, t.arena[mark:]})
		t.verbatim = false
	}
	for _, d := range w.found {
		if err := t.decided(o, d); err != nil {
			return err
		}
	}
	return nil
}

// blankTokens empties the log probabilities of a frame: they spell out text that was redacted or is still held back.
func (t *tap) blankTokens(facts *dialect.Response) {
	for _, tx := range facts.Texts {
		if tx.Kind == dialect.Token && tx.End > tx.Start {
			t.edits = append(t.edits, edit{tx.Start, tx.End, nil})
		}
	}
	for _, r := range facts.Repeats {
		t.edits = append(t.edits, edit{r.Start, r.End, []byte("null")})
	}
}

// sendPayload sends b with t.payload as its data.
func (t *tap) sendPayload(o exchange.Out, b *exchange.Body) error {
	t.raw = appendEvent(t.raw[:0], t.format, b.Data, t.payload)
	t.body.Rewrite(b, t.raw, t.payload, t.content)
	return o.Send(&t.body)
}

// isPlain reports whether an event whose data happens to be JSON is a piece of plain text all the same: a number or a literal
// alone (the tokens of a card number are numbers), or anything in a stream of a dialect nobody knows that has sent plain text.
func (t *tap) isPlain(payload []byte) bool {
	p := bytes.TrimLeft(payload, " \t\r\n")
	if len(p) > 0 && p[0] != '{' && p[0] != '[' && p[0] != '"' {
		return true
	}
	return t.plain && t.dialect == dialect.Unknown
}

// plainFrame filters an event whose data is not JSON: the data of all of them is one text.
func (t *tap) plainFrame(o exchange.Out, b *exchange.Body) error {
	if b.Truncated && t.format == sse.EventStream && !t.f.cfg.Shadow {
		return nil // a client drops such an event, and it cannot be inspected
	}
	t.plain = true
	t.out = t.text.Write(t.out[:0], b.Payload)
	if err := t.noted(o, t.text); err != nil {
		return err
	}
	if t.f.cfg.Shadow || bytes.Equal(t.out, b.Payload) {
		return o.Send(b)
	}
	t.payload = append(t.payload[:0], t.out...)
	return t.sendPayload(o, b)
}

// open begins a channel.
func (t *tap) open(tx *dialect.Text) *channel {
	r := t.f.responses[roleOf(tx.Role)]
	c := &channel{t: *tx}
	if tx.Kind == dialect.ToolArguments {
		c.stream = r.NewJSONStream()
	} else {
		c.stream = r.NewStream()
	}
	t.channels[tx.Channel] = c
	t.order = append(t.order, c)
	return c
}

func (t *tap) anyHeld() bool {
	for _, c := range t.order {
		if c.stream.Held() > 0 {
			return true
		}
	}
	return false
}

// flush sends what the channels that end hold back, as events of their own. before is the event it goes in front of, nil at the
// end of the response.
func (t *tap) flush(o exchange.Out, before *exchange.Body, ends func(*channel) bool) error {
	var events []byte
	for _, c := range t.order {
		if c.stream.Held() == 0 || !ends(c) {
			continue
		}
		rest := c.stream.Flush(nil)
		if err := t.noted(o, c.stream); err != nil {
			return err
		}
		if len(rest) > 0 {
			events = t.stream.AppendTextDelta(events, t.format, c.like, c.t, rest)
		}
	}
	if before == nil && t.text.Held() > 0 {
		rest := t.text.Flush(nil)
		if err := t.noted(o, t.text); err != nil {
			return err
		}
		events = sse.AppendEvent(events, t.format, "", rest)
	}
	if len(events) == 0 || t.f.cfg.Shadow {
		return nil
	}
	return o.SendFrames(events)
}

func lastOfChannel(texts []dialect.Text, i int) bool {
	for _, tx := range texts[i+1:] {
		if tx.Channel == texts[i].Channel && !tx.Whole && tx.Kind != dialect.Token && tx.Kind != dialect.Opaque {
			return false
		}
	}
	return true
}

// isLabel reports whether the string content at start, in a dialect nobody knows, is the value of a member that names things
// rather than tells them: such a value is complete in every event.
func isLabel(payload []byte, start int) bool {
	i := start - 2 // before the opening quote
	for i >= 0 && (payload[i] == ' ' || payload[i] == ':' || payload[i] == '\t' || payload[i] == '\n' || payload[i] == '\r') {
		i--
	}
	if i < 1 || payload[i] != '"' {
		return false
	}
	k := bytes.LastIndexByte(payload[:i], '"')
	if k < 0 {
		return false
	}
	switch string(payload[k+1 : i]) {
	case "type", "id", "object", "model", "role", "event", "status", "name", "created_at", "finish_reason", "stop_reason", "index",
		"system_fingerprint", "request_id", "session_id", "conversation_id", "message_id", "level", "time", "timestamp":
		return true
	}
	return false
}

// appendEvent appends the event raw with another payload. Everything that is not data stays as it is.
func appendEvent(dst []byte, f sse.Format, raw, payload []byte) []byte {
	if f == sse.NDJSON {
		end := len(raw)
		for end > 0 && (raw[end-1] == '\n' || raw[end-1] == '\r') {
			end--
		}
		return append(append(dst, payload...), raw[end:]...)
	}
	if n := bytes.IndexByte(raw, '\n'); n == len(raw)-2 && raw[n+1] == '\n' && bytes.HasPrefix(raw, []byte("data: ")) &&
		bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(payload, '\n') < 0 {
		// One data line, as nearly always.
		return append(append(append(dst, "data: "...), payload...), "\n\n"...)
	}
	done := false
	for len(raw) > 0 {
		n := bytes.IndexAny(raw, "\r\n")
		line, eol := raw, raw[len(raw):]
		if n >= 0 {
			line = raw[:n]
			m := n + 1
			if raw[n] == '\r' && m < len(raw) && raw[m] == '\n' {
				m++
			}
			eol, raw = raw[n:m], raw[m:]
		} else {
			raw = nil
		}
		name, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), []byte(":"))
		if string(name) != "data" {
			dst = append(append(dst, line...), eol...)
			continue
		}
		if done {
			continue
		}
		done = true
		for rest, more := payload, true; more; {
			var part []byte
			part, rest, more = bytes.Cut(rest, []byte("\n"))
			dst = append(append(append(dst, "data: "...), part...), eol...)
		}
	}
	return dst
}
