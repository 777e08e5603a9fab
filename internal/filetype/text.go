package filetype

import (
	"bytes"
	"encoding/binary"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// text is UTF-8 without control characters but tab, line feed and carriage return, that does not begin as a page, a picture of
// markup or a script. A byte order mark of UTF-8 may stand first (spreadsheets write one).
type text struct {
	rune    utf8State
	lead    [leadLen]byte
	leadN   int
	checked bool
	bom     int // bytes of the byte order mark seen, -1 when there is none

	indented bool // white space came first
}

// leadLen is enough for the longest of the openings.
const leadLen = 32

const bom = "\xef\xbb\xbf"

func (m *text) next(v *Verifier, _ []byte) error {
	v.take(0)
	return nil
}

func (m *text) scan(v *Verifier, p []byte) (int, error) {
	if !m.checked {
		// One byte at a time as long as the beginning is not decided.
		p = p[:1]
		if err := m.begin(v, p[0]); err != nil {
			return 0, err
		}
	}
	n, why := m.rune.scan(p)
	v.off += int64(n)
	if why != "" {
		return n, v.malformed(why)
	}
	return n, nil
}

// begin gathers the first bytes behind byte order mark and white space.
func (m *text) begin(v *Verifier, c byte) error {
	if m.bom >= 0 && m.bom < len(bom) {
		if c == bom[m.bom] {
			m.bom++
			return nil
		}
		m.bom = -1 // a mark that is broken off is text, or no UTF-8, which the scan finds
	}
	if m.leadN == 0 && (c == ' ' || c >= '\t' && c <= '\r') {
		m.bom, m.indented = -1, true
		return nil
	}
	m.lead[m.leadN] = c
	if m.leadN++; m.leadN == leadLen {
		return m.opening(v)
	}
	return nil
}

// htmlOpenings are what browsers take for a page (WHATWG MIME Sniffing, section 7.1), and the openings of scripts and of XML,
// in lower case. A tag counts when it is followed by white space or '>'.
var htmlOpenings = []string{
	"<!doctype html", "<html", "<head", "<script", "<iframe", "<h1", "<div", "<font", "<table", "<a", "<style", "<title", "<b",
	"<body", "<br", "<p", "<!--",
}

// activeOpenings are those that Markdown does not begin with either: a README often opens with a heading or a division in HTML.
var activeOpenings = []string{"<!doctype", "<html", "<head", "<script", "<iframe", "<style", "<body", "<svg", "<?", "<%", "<object", "<embed"}

// opening decides about the first bytes.
func (m *text) opening(v *Verifier) error {
	m.checked = true
	lead := bytes.ToLower(m.lead[:m.leadN])
	if !m.indented && bytes.HasPrefix(lead, []byte("#!")) { // with white space before it no system runs it
		return v.refuse(Forbidden, "begins as a script")
	}
	openings := activeOpenings
	if v.typ != Markdown {
		for _, o := range htmlOpenings {
			if rest, ok := bytes.CutPrefix(lead, []byte(o)); ok && (o == "<!--" || len(rest) > 0 && bytes.IndexByte([]byte(" >\t\n\f\r/"), rest[0]) >= 0) {
				return v.refuse(Forbidden, "begins as a page")
			}
		}
	}
	for _, o := range openings {
		if bytes.HasPrefix(lead, []byte(o)) {
			return v.refuse(Forbidden, "begins as a page or a script")
		}
	}
	return nil
}

func (m *text) close(v *Verifier) error {
	if m.rune.need > 0 {
		return v.refuse(Truncated, "file ends inside a character")
	}
	if !m.checked {
		return m.opening(v)
	}
	return nil
}

// utf8State is the place inside a character between two pieces.
type utf8State struct {
	need   uint8 // continuation bytes to come
	lo, hi byte  // bounds of the next one
}

const plainWords = 0x8080808080808080

// scan looks through p. why, when not empty, says what was wrong with the last of the n bytes.
func (u *utf8State) scan(p []byte) (n int, why string) {
	for i := 0; i < len(p); {
		if u.need == 0 {
			// Eight printable ASCII bytes at a time: no byte below 0x20, none above 0x7E.
			for len(p)-i >= 8 {
				w := binary.LittleEndian.Uint64(p[i:])
				if ((w-0x2020202020202020)|w|(w+0x0101010101010101))&plainWords != 0 {
					break
				}
				i += 8
			}
			if i == len(p) {
				break
			}
		}
		c := p[i]
		i++
		if u.need > 0 {
			if c < u.lo || c > u.hi {
				return i, "not UTF-8"
			}
			u.need, u.lo, u.hi = u.need-1, 0x80, 0xBF
			continue
		}
		switch {
		case c >= 0x20 && c < 0x7F, c == '\t', c == '\n', c == '\r':
		case c < 0x80:
			return i, "control character"
		case c >= 0xC2 && c <= 0xDF:
			u.need, u.lo, u.hi = 1, 0x80, 0xBF
		case c >= 0xE0 && c <= 0xEF:
			u.need, u.lo, u.hi = 2, 0x80, 0xBF
			if c == 0xE0 {
				u.lo = 0xA0
			} else if c == 0xED {
				u.hi = 0x9F
			}
		case c >= 0xF0 && c <= 0xF4:
			u.need, u.lo, u.hi = 3, 0x80, 0xBF
			if c == 0xF0 {
				u.lo = 0x90
			} else if c == 0xF4 {
				u.hi = 0x8F
			}
		default:
			return i, "not UTF-8"
		}
	}
	return len(p), ""
}

// jsonText is one JSON text, or one on each line. A text is held until it is whole, within Limits.Document.
type jsonText struct {
	doc   []byte
	blank bool // an empty line was seen: only the end may follow
	lines int
}

func (m *jsonText) next(v *Verifier, _ []byte) error {
	v.take(0)
	return nil
}

func (m *jsonText) scan(v *Verifier, p []byte) (int, error) {
	line := false
	if v.typ == JSONLines {
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			p, line = p[:i+1], true
		}
	}
	// Exactly up to the limit, so that the refusal has one place.
	room := v.lim.Document - len(m.doc)
	if text := len(p); line && text-1 > room || !line && text > room {
		v.off += int64(room) + 1
		return 0, v.refuse(TooBig, "JSON text too long")
	}
	m.doc = append(m.doc, p...)
	v.off += int64(len(p))
	if line {
		if err := m.line(v); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (m *jsonText) line(v *Verifier) error {
	doc := bytes.TrimRight(m.doc, "\r\n")
	m.doc = m.doc[:0]
	if len(doc) == 0 {
		m.blank = true
		return nil
	}
	if m.blank {
		return v.malformed("empty line")
	}
	m.lines++
	return m.check(v, doc)
}

func (m *jsonText) check(v *Verifier, doc []byte) error {
	// The length of a document is bounded; what it may be made of is the business of whoever knows its schema, but for what
	// is dangerous to parse: depth, names and numbers.
	err := jsonscan.Scan(doc, &jsonscan.Limits{
		Bytes: -1, Keys: 10_000, TotalKeys: 100_000, KeyLen: 1024, ArrayLen: -1, StringLen: -1, Nodes: -1,
	}, nil)
	if err != nil {
		if e, ok := err.(*jsonscan.Error); ok && e.Code == jsonscan.LimitExceeded {
			return v.refuse(TooBig, "JSON text beyond a structural limit")
		}
		return v.malformed("not a strict JSON text")
	}
	return nil
}

func (m *jsonText) close(v *Verifier) error {
	if v.typ == JSON {
		return m.check(v, m.doc)
	}
	if len(m.doc) > 0 {
		if err := m.line(v); err != nil {
			return err
		}
	}
	if m.lines == 0 {
		return v.malformed("no line")
	}
	return nil
}
