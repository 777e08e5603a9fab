package redact

import "github.com/mantlet-go/mantlet/sanitize/detect"

// Stream redacts one text that arrives in pieces. It is not safe for concurrent use.
type Stream struct {
	splicer
	c collector
	// buf holds up to detect.Context released bytes, then what is held back from base on.
	buf  []byte
	base int
	// gone is how many bytes of the text lie before buf.
	gone     int
	findings []detect.Finding
}

// NewStream returns a Stream for one text.
func (r *Redactor) NewStream() *Stream {
	s := &Stream{splicer: splicer{r: r, covered: -1}}
	s.c.report = func(f detect.Finding) { s.c.found = append(s.c.found, f) }
	return s
}

// NewJSONStream returns a Stream for one text that is JSON itself; see [Redactor.RedactJSON].
func (r *Redactor) NewJSONStream() *Stream {
	s := r.NewStream()
	s.json = true
	return s
}

// Write takes the next piece of the text and appends to dst what can be released: possibly nothing, possibly more than the
// piece.
func (s *Stream) Write(dst, piece []byte) []byte {
	if len(piece) == 0 {
		return dst
	}
	s.buf = append(s.buf, piece...)
	return s.advance(dst, false)
}

// Flush appends the rest: the text is complete. The stream is then as new.
func (s *Stream) Flush(dst []byte) []byte {
	dst = s.advance(dst, true)
	s.Drop()
	return dst
}

// Drop forgets what is held back, for a text that was aborted. The stream is then as new, but for [Stream.Replaced].
func (s *Stream) Drop() {
	clear(s.buf)
	s.buf, s.base, s.gone, s.covered, s.inString, s.escaped = s.buf[:0], 0, 0, -1, false, false
}

// Held returns how many bytes of the text are held back.
func (s *Stream) Held() int { return max(0, len(s.buf)-max(s.base, s.covered)) }

// Replaced reports whether anything was replaced so far.
func (s *Stream) Replaced() bool { return s.replaced }

// Findings returns the findings that were decided since the last call, with offsets in the text. The slice is valid until the
// next Write or Flush.
func (s *Stream) Findings() []detect.Finding {
	f := s.findings
	s.findings = s.findings[:0]
	return f
}

func (s *Stream) advance(dst []byte, final bool) []byte {
	if s.r == nil || s.r.set == nil {
		s.buf = s.buf[:0] // never configured: closed
		return dst
	}
	s.c.found = s.c.found[:0]
	live := s.r.set.Scan(s.buf, s.base, final, s.c.report)
	if len(s.c.found) > 0 {
		s.c.sort()
		n := 0
		for n < len(s.c.found) && s.c.found[n].Start < live {
			f := s.c.found[n]
			f.Start, f.End = f.Start+s.gone, f.End+s.gone
			s.findings = append(s.findings, f)
			n++
		}
		s.c.found = s.c.found[:n] // later ones are not decided yet and will be found again
	}
	dst = s.splice(dst, s.buf, s.base, live, s.c.found)
	s.base = live
	if cut := s.base - detect.Context; cut > 0 {
		n := copy(s.buf, s.buf[cut:])
		clear(s.buf[n:]) // released or replaced text has no business in memory
		s.buf = s.buf[:n]
		s.base -= cut
		s.covered = max(s.covered-cut, -1)
		s.gone += cut
	}
	return dst
}
