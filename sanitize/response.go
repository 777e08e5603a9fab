package sanitize

import (
	"bytes"
	"errors"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"

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
	channels map[uint64]*channel // those of texts that are sent in copies of their events have copyChannel in their number
	copies   dialect.Stream      // makes such copies
	order    []*channel
	ending   ending
	edits    []edit
	dec, out []byte // scratch: a decoded text, what was released for it
	arena    []byte // what the edits of one frame put in
	payload  []byte // the rewritten payload
	raw      []byte // the rewritten event
	body     exchange.Body
	like     []byte // a copy of the current event's data, made when a channel needs it
	content  bool   // the current event still has text for the reader
	verbatim bool   // every text of the current event has been released as it is
	redone   bool   // something was redacted in this response
	cut      bool   // the response was withheld after it had begun, without a way to say so

	text  *redact.Stream // a text body, or the payloads of events that are not JSON
	plain bool           // such events have come

	// A body of our own framing, see sniff.go.
	head   []byte // the first bytes, until they tell what the body is
	events *sse.Parser
	values *values
	tail   bool // the current event is the last bytes of the body

	kept []byte // the current event without the lines that had to go
	line []byte // scratch: an unescaped line
}

type bodyForm uint8

const (
	formPass bodyForm = iota
	formDoc
	formText
	formFrames
	formSniff  // the first bytes decide: events, JSON values or text
	formBinary // the first bytes decide: binary or text
	formWhole  // as formBinary, with the header held
	formEvents // events, framed here
	formValues // JSON values, framed here
)

// channel is one text of a streamed reply.
type channel struct {
	t      dialect.Text
	stream *redact.Stream
	last   uint64 // hash of the last piece when that was long
	like   []byte // the last event, for dialects whose events can only be copied; shared by the channels of an event
}

const (
	// maxChannels bounds the texts that run side by side in one reply: eight choices with a few fields and tool calls each are
	// some fifty.
	maxChannels = 1024
	// copyChannel marks the number of a channel whose text only a copy of its event can carry.
	copyChannel = 1 << 32
	// longPiece is the length from which on a piece that comes twice in a row is taken for a complete text that is repeated (a
	// vendor's list of citations in every event). Shorter ones may be the digits of a card.
	longPiece = 16
	// maxLike bounds the event that is kept as the pattern for held-back text in a dialect nobody knows. With maxChannels it bounds
	// the memory a hostile upstream can take; what a longer event holds back at the very end is dropped.
	maxLike = 16 << 10
)

var (
	errEncoded   = errors.New("sanitize: the handler compressed a text, it cannot be scanned")
	errOversized = errors.New("sanitize: the JSON response is longer than the filter holds, it cannot be scanned")
	errChannels  = errors.New("sanitize: the stream has more texts side by side than the filter follows")
	errPartial   = errors.New("sanitize: the handler sent a part of a body, or several in one, it cannot be scanned")
	errGarbled   = errors.New("sanitize: the response begins like JSON and is not, it cannot be scanned")
	errDisguised = errors.New("sanitize: a response of a binary type with a Content-Length is text")
	errBroken    = errors.New("sanitize: the rewritten response is not JSON")
)

// Header implements [exchange.Tap].
func (t *tap) Header(o exchange.Out, status int) exchange.Mode {
	h := o.Header()
	t.dialect = t.x.Dialect()
	if status < 200 || status == http.StatusNoContent || status == http.StatusNotModified || o.Request().Method == http.MethodHead ||
		o.Refused() {
		return exchange.Pass // no body, or one of our own
	}
	kind, format, streams := responseKind(h, status), sse.Format(0), false
	if kind != unreadable {
		format, streams = exchange.IsStream(h)
	}
	switch {
	case kind == unreadable:
		if t.f.cfg.SkipEncoded || t.f.cfg.Shadow {
			return exchange.Pass
		}
		cause := errEncoded
		if !exchange.Encoded(h) {
			cause = errPartial
		}
		t.fail(o, cause, deny.UpstreamError)
		return exchange.Discard
	case kind == binaryBody && t.f.cfg.Shadow:
		return exchange.Pass
	case kind == binaryBody:
		t.kind = formBinary
		if v := h["Content-Type"][0]; strings.HasPrefix(strings.ToLower(strings.TrimSpace(v)), "application/") {
			// Documents: held, so that one that is text can be redacted like any other.
			t.kind = formWhole
			return exchange.Whole
		}
		return exchange.Frames
	case kind == jsonBody:
		t.kind = formDoc
		return exchange.Whole
	}
	if !t.f.cfg.Shadow {
		// The length may change with any piece. (A JSON document's headers are changed when it is known to.)
		dropBodyHeaders(h)
	}
	switch {
	case streams:
		t.kind, t.format = formFrames, format
		t.stream = o.Stream()
		t.channels = make(map[uint64]*channel)
	case t.f.cfg.Shadow:
		t.kind = formText // every byte passes as it comes
	case kind == valuesBody:
		t.frameValues()
	default:
		t.kind = formSniff
	}
	t.text = t.newText()
	return exchange.Frames
}

func (t *tap) newText() *redact.Stream { return t.f.responses[RoleAssistant].NewStream() }

// dropBodyHeaders removes what describes the body's exact bytes.
func dropBodyHeaders(h http.Header) {
	for _, k := range [...]string{"Content-Length", "Etag", "Digest", "Content-Digest", "Repr-Digest", "Content-Md5"} {
		delete(h, k)
	}
}

// Body implements [exchange.Tap].
func (t *tap) Body(o exchange.Out, b *exchange.Body) error {
	switch {
	case b.Kind == exchange.Doc && t.kind == formWhole:
		return t.wholeBinary(o, b)
	case b.Kind == exchange.Doc:
		return t.doc(o, b)
	case t.kind == formDoc, t.kind == formPass:
		return o.Send(b) // the rest of an oversized document that SkipOversized lets through, or of a binary body
	case b.Kind == exchange.Frame:
		return t.frame(o, b)
	case t.kind == formBinary, t.kind == formSniff:
		return t.sniff(o, b.Data, false)
	case t.kind == formEvents:
		return t.eventBytes(o, b.Data)
	case t.kind == formValues:
		return t.valueBytes(o, b.Data, false)
	}
	return t.textBytes(o, b)
}

// textBytes filters a piece of a text body.
func (t *tap) textBytes(o exchange.Out, b *exchange.Body) error {
	var err error
	if t.out, err = t.feed(o, t.text, t.out[:0], b.Data); err != nil {
		return err
	}
	if t.f.cfg.Shadow {
		return o.Send(b)
	}
	if len(t.out) == 0 {
		return nil
	}
	_, err = o.Write(t.out)
	return err
}

// feed writes a piece to a stream in windows, so that a flood of findings is not kept as a whole.
func (t *tap) feed(o exchange.Out, s *redact.Stream, dst, piece []byte) ([]byte, error) {
	for {
		n := min(window, len(piece))
		dst = s.Write(dst, piece[:n])
		if err := t.noted(o, s); err != nil {
			return dst, err
		}
		if piece = piece[n:]; len(piece) == 0 {
			return dst, nil
		}
	}
}

// End implements [exchange.Tap].
func (t *tap) End(o exchange.Out, how exchange.Outcome) {
	if how != exchange.Completed || t.f.cfg.Shadow {
		return // what an aborted reply holds back is never sent
	}
	if t.kind == formSniff || t.kind == formBinary {
		if len(t.head) > 0 && t.sniff(o, nil, true) != nil {
			return
		}
	}
	if t.text == nil {
		return
	}
	switch t.kind {
	case formText:
		t.endText(o)
	case formEvents:
		t.endEvents(o)
	case formValues:
		t.valueBytes(o, nil, true)
	case formFrames:
		t.flush(o, nil, func(*channel) bool { return true })
	}
}

func (t *tap) endText(o exchange.Out) {
	t.out = t.text.Flush(t.out[:0])
	if t.noted(o, t.text) == nil && len(t.out) > 0 {
		o.Write(t.out)
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
		t.f.rewrite(w, Response, b.Data, facts.Rest)
		for i := range texts {
			if tx := &texts[i]; tx.Kind == dialect.Token && tx.End-tx.Start >= longPiece {
				t.f.look(w, Response, RoleAssistant, b.Data[tx.Start:tx.End], false)
				w.redone = w.redone || w.replaced()
			}
		}
		sortEdits(w.edits)
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
			out = splice(nil, b.Data, w.edits)
		}
	} else if looksJSON(b.Data) && !t.f.cfg.Shadow {
		// Several values, or none that anybody can read with certainty.
		dropBodyHeaders(o.Header())
		t.text = t.newText()
		t.frameValues()
		return t.valueBytes(o, b.Data, false) // the end comes with End
	} else {
		out = w.result(t.f.look(w, Response, RoleAssistant, b.Data, false))
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

func sortEdits(e []edit) { slices.SortStableFunc(e, func(a, b edit) int { return a.start - b.start }) }

// frame filters one event of a stream.
func (t *tap) frame(o exchange.Out, b *exchange.Body) error {
	raw, err := t.otherLines(o, b)
	if err != nil {
		return err
	}
	if !b.HasPayload {
		if b.Truncated && t.anyHeld() {
			return nil // a line nobody ended and every client drops: what is flushed behind it would be glued to it
		}
		return t.pass(o, b, raw)
	}
	facts := b.Facts(t.x)
	if facts == nil || !facts.Terminal && t.isPlain(b.Payload) {
		return t.plainFrame(o, b, raw)
	}
	if facts.Error {
		// The upstream gave up: what is held back was cut off in its middle and stays here.
		for _, c := range t.order {
			c.stream.Drop()
		}
	}
	ends := everything
	if !b.Truncated && !t.tail { // behind an event without an end there is no place for another
		ends = t.ending.find(t.dialect, facts, b.Payload, t.anyHeld())
	}
	t.edits, t.arena, t.like = t.edits[:0], t.arena[:0], nil
	t.verbatim, t.content = true, false
	for i := range facts.Texts {
		tx := &facts.Texts[i]
		if tx.Kind == dialect.Token || tx.Kind == dialect.Opaque {
			if err := t.token(o, b.Payload, tx); err != nil {
				return err
			}
			continue
		}
		whole := tx.Whole && !tx.Copy || t.stream == nil || t.dialect == dialect.Unknown && tx.Label
		if err := t.part(o, b, facts.Texts, i, whole, ends); err != nil {
			return err
		}
	}
	for i := range facts.Rest {
		tx := &facts.Rest[i]
		switch {
		case tx.Kind == dialect.Opaque, tx.Whole && tx.End-tx.Start < minLeaf:
			continue
		}
		if err := t.part(o, b, facts.Rest, i, tx.Whole, ends); err != nil {
			return err
		}
	}
	if err := t.flush(o, b, ends); err != nil {
		return err
	}
	if t.f.cfg.Shadow {
		return o.Send(b)
	}
	if t.redone || !t.verbatim || t.anyHeld() {
		t.blankTokens(facts)
	}
	if len(t.edits) == 0 {
		return t.pass(o, b, raw)
	}
	// Not scanned again, as documents are: what edits put in is always quoted content or null (FuzzStreams holds it to that).
	sortEdits(t.edits)
	t.payload = splice(t.payload[:0], b.Payload, t.edits)
	return t.sendPayload(o, b, raw)
}

// minLeaf is the least length of a complete string that is no text of its dialect: nothing this module finds is shorter (a@b.cc).
const minLeaf = 6

// part filters one text of an event: texts[i], which may be complete or a piece of its channel.
func (t *tap) part(o exchange.Out, b *exchange.Body, texts []dialect.Text, i int, whole bool, ends func(*channel) bool) error {
	tx, payload := &texts[i], b.Payload
	text := payload[tx.Start:tx.End]
	if bytes.IndexByte(text, '\\') >= 0 {
		t.dec = jsonscan.AppendUnquoted(t.dec[:0], text)
		text = t.dec
	}
	c := t.channels[key(tx)]
	// Where nobody says what is a piece, a long one that comes again is a complete text that is repeated.
	copied := tx.Copy || t.dialect == dialect.Unknown
	var hash uint64
	if copied && !whole && len(text) >= longPiece {
		hash = maphash.Bytes(pieceSeed, text)
		whole = c != nil && c.last == hash
		if whole {
			c.stream.Drop()
		}
	}
	if whole {
		t.content = t.content || len(text) > 0 && !tx.Copy
		// A complete text. Where it repeats what its channel has streamed, the channel is complete too.
		if c != nil && c.stream.Held() > 0 {
			if err := t.flush(o, b, func(k *channel) bool { return k == c }); err != nil {
				return err
			}
		}
		return t.wholeText(o, tx, text)
	}
	if c == nil {
		if len(text) == 0 {
			return nil
		}
		if len(t.order) >= maxChannels {
			return t.fail(o, errChannels, deny.UpstreamError)
		}
		c = t.open(tx)
	}
	c.last = hash
	var err error
	if t.out, err = t.feed(o, c.stream, t.out[:0], text); err != nil {
		return err
	}
	if ends(c) && lastOfChannel(texts, i) {
		t.out = c.stream.Flush(t.out)
		if err := t.noted(o, c.stream); err != nil {
			return err
		}
	}
	t.content = t.content || len(t.out) > 0
	if c.stream.Held() > 0 {
		t.verbatim = false
		if copied {
			if t.like == nil && len(payload) <= maxLike {
				t.like = bytes.Clone(payload)
			}
			c.like, c.t = t.like, *tx
		}
	}
	if !bytes.Equal(t.out, text) {
		mark := len(t.arena)
		t.arena = jsonscan.AppendQuoted(t.arena, t.out, false)
		t.edits = append(t.edits, edit{tx.Start, tx.End, t.arena[mark:]})
	}
	return nil
}

var pieceSeed = maphash.MakeSeed()

// key is the number of a text's channel.
func key(tx *dialect.Text) uint64 {
	if tx.Copy {
		return copyChannel | uint64(tx.Channel)
	}
	return uint64(tx.Channel)
}

// token looks at a token of log probabilities, which is not text of its own: what is found in it blanks all.
func (t *tap) token(o exchange.Out, payload []byte, tx *dialect.Text) error {
	if tx.Kind != dialect.Token || tx.End-tx.Start < longPiece {
		return nil
	}
	return t.wholeText(o, tx, payload[tx.Start:tx.End])
}

// pass sends an event whose data stays as it is; raw is the event without the lines that had to go.
func (t *tap) pass(o exchange.Out, b *exchange.Body, raw []byte) error {
	if len(raw) == len(b.Data) {
		return o.Send(b)
	}
	t.body.Rewrite(b, raw, b.Payload, t.content)
	return o.Send(&t.body)
}

// otherLines looks at the lines of an event that are not its data: comments, ids, the event's name, fields nobody knows. A client
// ignores most of them, or is thought to. It returns the event without those that hold a finding that has to go.
func (t *tap) otherLines(o exchange.Out, b *exchange.Body) ([]byte, error) {
	raw := b.Data
	if t.format != sse.EventStream || oneDataLine(raw) {
		return raw, nil
	}
	t.kept = t.kept[:0]
	from := 0 // raw[:from] is in t.kept, or gone
	for at := 0; at < len(raw); {
		line, n := cutLine(raw[at:])
		if len(line) >= minLeaf && !isData(line) {
			gone, err := t.dropLine(o, line)
			if err != nil {
				return nil, err
			}
			if gone {
				t.kept = append(t.kept, raw[from:at]...)
				from = at + n
			}
		}
		at += n
	}
	if from == 0 || t.f.cfg.Shadow {
		return raw, nil
	}
	t.kept = append(t.kept, raw[from:]...)
	return t.kept, nil
}

// dropLine reports whether a line must not leave.
func (t *tap) dropLine(o exchange.Out, line []byte) (bool, error) {
	w := works.Get().(*work)
	defer w.release()
	w.reset()
	t.f.look(w, Response, RoleAssistant, line, false)
	gone := w.replaced()
	if bytes.IndexByte(line, '\\') >= 0 {
		// Perhaps JSON that lacks its field name.
		t.line = appendUnescaped(t.line[:0], line)
		t.f.look(w, Response, RoleAssistant, t.line, false)
		gone = gone || w.replaced()
	}
	for _, d := range w.found {
		if err := t.decided(o, d); err != nil {
			return true, err
		}
	}
	return gone, nil
}

// wholeText filters a text that is complete in its event.
func (t *tap) wholeText(o exchange.Out, tx *dialect.Text, text []byte) error {
	w := works.Get().(*work)
	defer w.release()
	w.reset()
	t.f.look(w, Response, roleOf(tx.Role), text, tx.Kind == dialect.ToolArguments)
	if w.replaced() {
		mark := len(t.arena)
		if w.long {
			t.out = append(t.out[:0], w.text...)
		} else {
			t.out = apply(t.out[:0], text, w.reps)
		}
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

// sendPayload sends b with t.payload as its data; raw is the event without the lines that had to go.
func (t *tap) sendPayload(o exchange.Out, b *exchange.Body, raw []byte) error {
	t.raw = appendEvent(t.raw[:0], t.format, raw, b.Payload, t.payload)
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
func (t *tap) plainFrame(o exchange.Out, b *exchange.Body, raw []byte) error {
	if t.kind == formValues {
		return t.fail(o, errGarbled, deny.UpstreamError)
	}
	if b.Truncated && t.format == sse.EventStream && !t.f.cfg.Shadow {
		// A client drops such an event, and it cannot be inspected. The second half of the line end before it is not part of it.
		if len(b.Data) > 0 && b.Data[0] == '\n' {
			_, err := o.Write(b.Data[:1])
			return err
		}
		return nil
	}
	t.plain = true
	t.content = true
	var err error
	if t.out, err = t.feed(o, t.text, t.out[:0], b.Payload); err != nil {
		return err
	}
	if b.Truncated || t.tail {
		t.out = t.text.Flush(t.out)
		if err := t.noted(o, t.text); err != nil {
			return err
		}
	}
	if t.f.cfg.Shadow || bytes.Equal(t.out, b.Payload) {
		return t.pass(o, b, raw)
	}
	t.payload = append(t.payload[:0], t.out...)
	return t.sendPayload(o, b, raw)
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
	t.channels[key(tx)] = c
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
		switch {
		case len(rest) == 0:
		case c.t.Copy:
			tx := c.t
			tx.Channel = tx.Path
			events = t.copies.AppendTextDelta(events, t.format, c.like, tx, rest)
		default:
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
		if tx.Channel == texts[i].Channel && (!tx.Whole || tx.Copy && texts[i].Copy) && tx.Copy == texts[i].Copy && tx.Kind != dialect.Token && tx.Kind != dialect.Opaque {
			return false
		}
	}
	return true
}

// cutLine returns the first line of b without its line break, and its length with it.
func cutLine(b []byte) (line []byte, n int) {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0:
		return b, len(b)
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return b[:i], i + 2
	}
	return b[:i], i + 1
}

// isData reports whether a line of an event stream is data.
func isData(line []byte) bool {
	name, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), []byte(":"))
	return string(name) == "data"
}

// oneDataLine reports whether an event is one line of data, as nearly all are.
func oneDataLine(raw []byte) bool {
	n := bytes.IndexByte(raw, '\n')
	return n == len(raw)-2 && n >= 0 && raw[n+1] == '\n' && bytes.HasPrefix(raw, []byte("data: ")) && bytes.IndexByte(raw, '\r') < 0
}

// appendEvent appends the event raw with payload in place of the data old. Everything that is not data stays as it is.
func appendEvent(dst []byte, f sse.Format, raw, old, payload []byte) []byte {
	if f == sse.NDJSON {
		at := max(0, bytes.Index(raw, old))
		return append(append(append(dst, raw[:at]...), payload...), raw[at+len(old):]...)
	}
	if oneDataLine(raw) && bytes.IndexByte(payload, '\n') < 0 {
		return append(append(append(dst, "data: "...), payload...), "\n\n"...)
	}
	for done := false; len(raw) > 0; {
		line, n := cutLine(raw)
		eol := raw[len(line):n]
		raw = raw[n:]
		if !isData(line) {
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
