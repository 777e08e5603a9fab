package sanitize

import (
	"bytes"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// Bodies whose type does not say what they are: their first bytes do. Events and JSON values of such bodies are framed here and
// filtered like those of a declared stream; nothing of them is joined by a text redactor, which would not see a secret that the
// frames cut in two.

// maxSniff is how many first bytes are looked at, as in net/http.
const maxSniff = 512

// sniff takes bytes of a body until it is known what they are.
func (t *tap) sniff(o exchange.Out, data []byte, final bool) error {
	t.head = append(t.head, data...)
	h := o.Header()
	if t.kind == formBinary {
		if !final && len(t.head) < 16 {
			return nil
		}
		head := t.head
		t.head = nil
		if !isText(head) {
			t.kind = formPass
			_, err := o.Write(head)
			return err
		}
		if h.Get("Content-Length") != "" {
			return t.fail(o, errDisguised, deny.UpstreamError) // what is left out would be missing from the announced length
		}
		t.kind, t.text = formSniff, t.newText()
		return t.sniff(o, head, final)
	}
	form := formText
	switch events, known := eventsBegin(t.head); {
	case !known && !final && len(t.head) < maxSniff:
		return nil
	case events:
		form = formEvents
	case len(h["Content-Type"]) == 0:
		// Nobody said what it is: what looks like JSON is JSON, as a client will take it.
		if !final && len(t.head) < maxSniff && jsonUnknown(t.head) {
			return nil
		}
		if looksJSON(t.head) {
			form = formValues
		}
	}
	head := t.head
	t.head = nil
	switch form {
	case formEvents:
		t.kind, t.format = formEvents, sse.EventStream
		t.events = &sse.Parser{Format: sse.EventStream, MaxEvent: exchange.MaxFrame}
		t.follow()
		return t.eventBytes(o, head)
	case formValues:
		t.frameValues()
		return t.valueBytes(o, head, false)
	}
	t.kind = formText
	return t.textBytes(o, &exchange.Body{Data: head})
}

// follow begins a stream of our own framing.
func (t *tap) follow() {
	t.stream = new(dialect.Stream)
	t.stream.Reset(t.dialect)
	t.channels = make(map[uint64]*channel)
}

// wholeBinary takes a held body of a type that promises no text.
func (t *tap) wholeBinary(o exchange.Out, b *exchange.Body) error {
	if len(b.Data) == 0 || !isText(b.Data) {
		t.kind = formPass
		return o.Send(b)
	}
	dropBodyHeaders(o.Header())
	t.text = t.newText()
	if looksJSON(b.Data) && !b.Truncated {
		t.frameValues()
		return t.valueBytes(o, b.Data, false)
	}
	t.kind = formSniff
	return t.sniff(o, b.Data, false)
}

// isText reports whether the first bytes of a body are text: UTF-8 without control characters.
func isText(b []byte) bool {
	b = b[:min(len(b), maxSniff)]
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			return len(b) < utf8.UTFMax && !utf8.FullRune(b) // cut by the border
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != 0x1b || r == 0x7f {
			return false
		}
		b = b[n:]
	}
	return true
}

// fields are the beginnings of an event stream.
var fields = [][]byte{[]byte("data:"), []byte("event:"), []byte("id:"), []byte("retry:"), []byte(":")}

// eventsBegin reports whether a body that begins with b is an event stream; known is false while more bytes could tell.
func eventsBegin(b []byte) (yes, known bool) {
	const bom = "\xef\xbb\xbf"
	if len(b) < len(bom) && bytes.HasPrefix([]byte(bom), b) {
		return false, false
	}
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte(bom)), "\r\n")
	known = len(b) > 0
	for _, f := range fields {
		if bytes.HasPrefix(b, f) {
			return true, true
		}
		if bytes.HasPrefix(f, b) {
			known = false
		}
	}
	return false, known
}

// jsonUnknown reports whether more bytes than b are needed to tell whether a body looks like JSON.
func jsonUnknown(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(b) == 0 || (b[0] == '{' || b[0] == '[') && len(bytes.TrimLeft(b[1:], " \t\r\n")) == 0
}

// eventBytes frames bytes of an event stream.
func (t *tap) eventBytes(o exchange.Out, data []byte) error {
	for {
		ev, rest, ok, err := t.events.Next(data)
		if err != nil {
			return t.fail(o, err, deny.UpstreamError)
		}
		if !ok {
			return nil
		}
		data = rest
		if err := t.ownFrame(o, ev); err != nil {
			return err
		}
	}
}

func (t *tap) ownFrame(o exchange.Out, ev sse.Event) error {
	b := exchange.Body{Kind: exchange.Frame, Data: ev.Raw, Event: ev.Type, Payload: ev.Data, HasPayload: ev.HasData}
	if ev.HasData {
		t.stream.Observe(ev.Type, ev.Data, b.Facts(t.x))
	}
	return t.frame(o, &b)
}

// endEvents ends such a stream. The last lines may have no end: in a body that was not called an event stream they leave too.
func (t *tap) endEvents(o exchange.Out) {
	if ev, ok := t.events.Tail(); ok {
		t.tail = true
		if t.ownFrame(o, ev) != nil {
			return
		}
	}
	t.flush(o, nil, everything)
}

// frameValues begins a body of JSON values.
func (t *tap) frameValues() {
	t.kind, t.format, t.values = formValues, sse.NDJSON, new(values)
	t.follow()
}

// valueBytes frames bytes of JSON values. What is no value ends the response: where a client reads it in another way than we do,
// it reads what was not looked at.
func (t *tap) valueBytes(o exchange.Out, data []byte, final bool) error {
	t.values.add(data)
	for {
		raw, from, to := t.values.next(final)
		switch {
		case raw == nil && t.values.held() > exchange.MaxDoc:
			return t.fail(o, errOversized, deny.UpstreamError)
		case raw == nil && final:
			return t.flush(o, nil, everything)
		case raw == nil:
			return nil
		}
		t.tail = final && t.values.held() == 0 && raw[len(raw)-1] != '\n'
		ev := sse.Event{Raw: raw, Data: raw[from:to], HasData: to > from}
		if err := t.ownFrame(o, ev); err != nil {
			return err
		}
	}
}

// values cuts a body into its JSON values, each with the white space around it up to the end of the line.
type values struct {
	buf        []byte
	done       int // buf[:done] has been returned
	pos        int // scanned up to here
	start, end int // of the value, -1 for not yet
	depth      int
	str, esc   bool
	begun      bool
}

func (v *values) add(b []byte) {
	if v.done > 0 {
		n := copy(v.buf, v.buf[v.done:])
		v.buf, v.pos, v.done = v.buf[:n], v.pos-v.done, 0
		v.start, v.end = -1, -1
		v.begun = false
		v.pos, v.depth, v.str, v.esc = 0, 0, false, false
	}
	v.buf = append(v.buf, b...)
}

func (v *values) held() int { return len(v.buf) - v.done }

// next returns the next value with what is around it, and where in that it stands; nil when it is not complete yet.
func (v *values) next(final bool) (raw []byte, from, to int) {
	if !v.begun {
		v.begun, v.start, v.end, v.depth, v.str, v.esc = true, -1, -1, 0, false, false
	}
	for v.pos < len(v.buf) {
		c := v.buf[v.pos]
		switch {
		case v.end >= 0: // after the value
			switch c {
			case ' ', '\t', '\r':
			case '\n':
				v.pos++
				return v.cut()
			default:
				return v.cut()
			}
		case v.start < 0: // before it
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				v.start = v.pos
				continue
			}
		case v.esc:
			v.esc = false
		case v.str:
			switch c {
			case '\\':
				v.esc = true
			case '"':
				v.str = false
				v.ended()
			}
		default:
			switch c {
			case '"':
				if v.depth == 0 && v.pos > v.start {
					v.end = v.pos // of a number or literal
					continue
				}
				v.str = true
			case '{', '[':
				v.depth++
			case '}', ']':
				v.depth--
				v.ended()
			case ' ', '\t', '\r', '\n':
				if v.depth <= 0 {
					v.end = v.pos
					continue
				}
			}
		}
		v.pos++
	}
	if final && v.done < len(v.buf) {
		return v.cut()
	}
	return nil, 0, 0
}

func (v *values) ended() {
	if v.depth <= 0 {
		v.end = v.pos + 1
	}
}

func (v *values) cut() (raw []byte, from, to int) {
	raw = v.buf[v.done:v.pos]
	if v.start >= 0 {
		if v.end < 0 {
			v.end = v.pos
		}
		from, to = v.start-v.done, v.end-v.done
	}
	v.done, v.begun = v.pos, false
	return raw, from, to
}
