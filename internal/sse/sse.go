package sse

import (
	"bytes"
	"errors"
)

// Format says how a stream is cut into events.
type Format uint8

const (
	// EventStream is text/event-stream: lines ended by CR, LF or CRLF, an event ended by a blank line.
	EventStream Format = iota
	// NDJSON is application/x-ndjson and its relatives: one JSON value a line, a line ended by LF or CRLF.
	NDJSON
)

// String returns "event-stream" or "ndjson".
func (f Format) String() string {
	switch f {
	case EventStream:
		return "event-stream"
	case NDJSON:
		return "ndjson"
	}
	return "unknown"
}

// DefaultMaxEvent is the size an event may have when Parser.MaxEvent is zero: 1 MiB. Events of chat services are below 4 KiB;
// the large ones carry images in base64 or the whole reply once more at the end.
const DefaultMaxEvent = 1 << 20

// ErrTooLong reports an event of more than MaxEvent bytes. The parser has lost its place then: every later call of Next
// returns it again.
var ErrTooLong = errors.New("sse: event too long")

// An Event is one event of a stream. Its slices point into the bytes given to Next or into the parser: they are valid until the
// next call of Next or Tail, and as long as those bytes are left alone.
type Event struct {
	// Raw is every byte of the event as it came, with the blank line (or, in NDJSON, the line break) that ended it.
	Raw []byte
	// Type is the value of the last event field; empty if there was none, and always in NDJSON.
	Type []byte
	// Data is the payload: the values of the data fields joined by LF, or the line in NDJSON. With a single data field it is a
	// part of Raw.
	Data []byte
	// HasData tells an event that a client acts on from one it skips (comments, blank lines, a lone id or retry).
	HasData bool
	// Incomplete marks what the end of the stream cut off; only Tail returns it. A conforming client drops such an event in
	// EventStream and accepts it in NDJSON, where the last line break is optional.
	Incomplete bool
}

// A Parser cuts a stream into events. The zero value is ready for an event stream. Format and MaxEvent must not change once
// Next was called.
type Parser struct {
	// Format is the framing; zero means EventStream.
	Format Format
	// MaxEvent is the largest event accepted, in bytes of Raw (a leftover LF of the line break before is not counted); zero or
	// less means DefaultMaxEvent. It bounds the memory of the parser.
	MaxEvent int

	held    []byte // the unfinished event, from its first byte; empty when none
	joined  []byte // values of several data fields
	pos     int    // offset in the event up to which line breaks were looked for
	line    int    // offset at which the current line begins
	lead    int    // 1 if the event begins with the LF of a CRLF that was cut in two
	data    span   // value of the first data field
	typ     span
	nData   int
	cr      bool // the last line break was a CR: an LF at pos belongs to it
	started bool // the first line was seen, no byte order mark can follow
	emitted bool // the fields above describe an event that was returned
	err     error
}

type span struct{ start, end int }

// Reset makes p ready for another stream of the same Format and MaxEvent. It keeps its memory, unless a single event made it
// large.
func (p *Parser) Reset() {
	const keep = 64 << 10
	held, joined := p.held[:0], p.joined[:0]
	if cap(held) > keep {
		held = nil
	}
	if cap(joined) > keep {
		joined = nil
	}
	*p = Parser{Format: p.Format, MaxEvent: p.MaxEvent, held: held, joined: joined}
}

// Next returns the first event that is complete with b, and the rest of b. It is called again with the rest until ok is false;
// then all of b is taken and an unfinished event, if any, is kept for the next call.
//
// The error is nil or ErrTooLong. After an error p takes nothing more: rest is what it did not take, and the bytes of the
// unfinished event that it took before are returned by Tail, so that a caller can still pass on every byte.
func (p *Parser) Next(b []byte) (ev Event, rest []byte, ok bool, err error) {
	if p.err != nil {
		return Event{}, b, false, p.err
	}
	if p.emitted {
		p.forget()
	}
	limit := p.MaxEvent
	if limit <= 0 {
		limit = DefaultMaxEvent
	}

	if len(p.held) == 0 {
		if len(b) == 0 {
			return Event{}, nil, false, nil
		}
		ended := p.scan(b)
		if p.pos-p.lead > limit {
			p.err = ErrTooLong
			return Event{}, b, false, p.err
		}
		if !ended {
			p.held = append(p.held, b...)
			return Event{}, nil, false, nil
		}
		if p.cr && p.pos < len(b) && b[p.pos] == '\n' {
			p.pos++
			p.cr = false
		}
		return p.event(b[:p.pos:p.pos]), b[p.pos:], true, nil
	}

	// An event has begun in an earlier call. It is completed line by line, so that no byte of the event after it is copied.
	for len(b) > 0 {
		n := lineBreak(p.Format, b) + 1
		if n == 0 {
			n = len(b)
		}
		if len(p.held)+n-p.lead > limit {
			p.err = ErrTooLong
			return Event{}, b, false, p.err
		}
		p.held = append(p.held, b[:n]...)
		b = b[n:]
		if !p.scan(p.held) {
			continue
		}
		if p.cr && len(b) > 0 && b[0] == '\n' {
			p.held = append(p.held, '\n')
			b = b[1:]
			p.cr = false
		}
		return p.event(p.held[:len(p.held):len(p.held)]), b, true, nil
	}
	return Event{}, nil, false, nil
}

// Tail returns what was left unfinished; it is called once, when the stream has ended. ok is false when the stream ended with
// a complete event. The last line is read as if it had been ended: a lenient client would read it so, and a caller that looks for
// secrets must not look at less than the client.
func (p *Parser) Tail() (ev Event, ok bool) {
	if p.emitted {
		p.forget()
	}
	if len(p.held) == 0 {
		return Event{}, false
	}
	if p.line < len(p.held) {
		p.field(p.held, p.line, len(p.held))
	}
	ev = p.event(p.held)
	// The second half of a CRLF whose first half ended the event before is all there is: nothing was cut off.
	ev.Incomplete = len(p.held) > p.lead
	return ev, true
}

// forget makes room for the next event.
func (p *Parser) forget() {
	p.held = p.held[:0]
	p.pos, p.line, p.lead, p.nData = 0, 0, 0, 0
	p.typ = span{}
	p.emitted = false
}

func (p *Parser) event(raw []byte) Event {
	ev := Event{Raw: raw, Type: raw[p.typ.start:p.typ.end], HasData: p.nData > 0}
	switch p.nData {
	case 0:
	case 1:
		ev.Data = raw[p.data.start:p.data.end]
	default:
		ev.Data = p.joined
	}
	p.emitted = true
	return ev
}

// scan goes on at p.pos in base, which begins with the event's first byte, and reports whether the event ends there. p.pos is
// then the offset after the line break that ended it, a following LF not included.
func (p *Parser) scan(base []byte) bool {
	for p.pos < len(base) {
		if p.cr {
			p.cr = false
			if base[p.pos] == '\n' {
				if p.pos == 0 {
					p.lead = 1
				}
				p.pos++
				p.line = p.pos
				continue
			}
		}
		i := lineBreak(p.Format, base[p.pos:])
		if i < 0 {
			p.pos = len(base)
			return false
		}
		i += p.pos
		start := p.line
		p.pos, p.line = i+1, i+1
		p.cr = base[i] == '\r'
		if p.field(base, start, i) {
			return true
		}
	}
	return false
}

// lineBreak returns the index of the first line break in b, or -1.
func lineBreak(f Format, b []byte) int {
	if f == NDJSON {
		return bytes.IndexByte(b, '\n')
	}
	// Two vectorised searches beat one loop over the bytes. The window keeps the search for an LF from running to the end of b
	// for every line of a stream that uses CR only, which would be quadratic.
	const window = 512
	for off := 0; off < len(b); off += window {
		w := b[off:min(off+window, len(b))]
		lf := bytes.IndexByte(w, '\n')
		if lf >= 0 {
			w = w[:lf]
		}
		if cr := bytes.IndexByte(w, '\r'); cr >= 0 {
			return off + cr
		}
		if lf >= 0 {
			return off + lf
		}
	}
	return -1
}

const byteOrderMark = "\xEF\xBB\xBF"

// field reads the line base[start:end] and reports whether it ends the event.
func (p *Parser) field(base []byte, start, end int) bool {
	line := base[start:end]
	if !p.started {
		p.started = true
		if len(line) >= 3 && string(line[:3]) == byteOrderMark {
			line = line[3:]
			start += 3
		}
	}

	if p.Format == NDJSON {
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
			end--
		}
		if len(bytes.Trim(line, " \t\r")) > 0 {
			p.nData = 1
			p.data = span{start, end}
		}
		return true
	}

	if len(line) == 0 {
		return true
	}
	switch line[0] {
	case 'd':
		if at, ok := value(line, "data"); ok {
			p.addData(base, start+at, end)
		}
	case 'e':
		if at, ok := value(line, "event"); ok {
			p.typ = span{start + at, end}
		}
	}
	return false
}

// value returns where in line the value of the named field begins; ok is false when line is another field. A line without a
// colon is a field with an empty value. One space after the colon is not part of the value.
func value(line []byte, name string) (at int, ok bool) {
	n := len(name)
	if len(line) < n || string(line[:n]) != name {
		return 0, false
	}
	if len(line) == n {
		return n, true
	}
	if line[n] != ':' {
		return 0, false
	}
	n++
	if n < len(line) && line[n] == ' ' {
		n++
	}
	return n, true
}

func (p *Parser) addData(base []byte, start, end int) {
	switch p.nData {
	case 0:
		p.data = span{start, end}
	case 1:
		p.joined = append(p.joined[:0], base[p.data.start:p.data.end]...)
		fallthrough
	default:
		p.joined = append(p.joined, '\n')
		p.joined = append(p.joined, base[start:end]...)
	}
	p.nData++
}

// AppendEvent appends one event to dst. It cannot be made to write a second one: in an EventStream a line break in data begins
// another data field (so that a client gets the data with LF for every line break) and line breaks in typ are left out; in
// NDJSON, where typ is not used, line breaks in data become spaces, which in JSON mean the same. An empty typ writes no event
// field. The data field is always written, since a client ignores an event without one.
func AppendEvent(dst []byte, f Format, typ string, data []byte) []byte {
	if f == NDJSON {
		at := len(dst)
		dst = append(dst, data...)
		for i, c := range dst[at:] {
			if c == '\n' || c == '\r' {
				dst[at+i] = ' '
			}
		}
		return append(dst, '\n')
	}
	if typ != "" {
		dst = append(dst, "event: "...)
		for i := range len(typ) {
			if c := typ[i]; c != '\n' && c != '\r' {
				dst = append(dst, c)
			}
		}
		dst = append(dst, '\n')
	}
	for {
		dst = append(dst, "data: "...)
		i := lineBreak(EventStream, data)
		if i < 0 {
			dst = append(dst, data...)
			return append(dst, "\n\n"...)
		}
		dst = append(dst, data[:i]...)
		dst = append(dst, '\n')
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
}
