package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Kind is the kind of a value, or which end of a container is meant.
type Kind uint8

const (
	// ObjectStart is the opening brace of an object.
	ObjectStart Kind = iota
	// ObjectEnd is the closing brace of an object.
	ObjectEnd
	// ArrayStart is the opening bracket of an array.
	ArrayStart
	// ArrayEnd is the closing bracket of an array.
	ArrayEnd
	// String is a string value; its span includes the quotes.
	String
	// Number is a number.
	Number
	// True is the literal true.
	True
	// False is the literal false.
	False
	// Null is the literal null.
	Null
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case ObjectStart:
		return "object start"
	case ObjectEnd:
		return "object end"
	case ArrayStart:
		return "array start"
	case ArrayEnd:
		return "array end"
	case String:
		return "string"
	case Number:
		return "number"
	case True:
		return "true"
	case False:
		return "false"
	case Null:
		return "null"
	}
	return "unknown"
}

// A Visitor is told of every value in document order.
//
// p is where the value stands; the two events of a container carry the container's own path. data[start:end] is the value,
// a string with its quotes; for the ends of containers it is the one bracket. A member name has no event of its own: it is
// the last segment of its value's path. An error stops the scan and is returned as it is.
//
// Events arrive before the rest of the text has been checked: act on them only once Scan has returned nil.
type Visitor interface {
	Visit(p *Path, k Kind, start, end int) error
}

// Scanner scans JSON texts and keeps its working memory between them. The zero value is ready. It is not safe for concurrent
// use, and a Visitor must not call the Scanner that calls it.
type Scanner struct {
	path  Path
	names names
}

// Scan reads data, which must be exactly one JSON text, within lim (nil means the defaults), and tells v (may be nil) what it
// holds. It returns nil, an *Error, or v's own error. It does not keep or change data.
func (s *Scanner) Scan(data []byte, lim *Limits, v Visitor) error {
	s.path.data = data
	s.path.frames = s.path.frames[:0]
	s.names.reset()
	l := lim.Resolved()
	err := s.scan(data, &l, v)
	s.path.data = nil
	return err
}

// pool serves Scan.
var pool = sync.Pool{New: func() any { return new(Scanner) }}

// Scan is Scanner.Scan with a Scanner from a pool. It is safe for concurrent use.
func Scan(data []byte, lim *Limits, v Visitor) error {
	s := pool.Get().(*Scanner)
	err := s.Scan(data, lim, v)
	// A Scanner that met a giant (or whose visitor panicked, which skips this) is left to the collector.
	if cap(s.names.list) <= 1<<14 && cap(s.path.frames) <= 1<<10 && cap(s.names.a)+cap(s.names.b) <= 1<<16 {
		pool.Put(s)
	}
	return err
}

// scan is the whole machine. It is one function without recursion: the stack is s.path.frames, and the three labels are
// its states.
func (s *Scanner) scan(data []byte, l *Limits, v Visitor) error {
	var (
		p      = &s.path
		i      int
		start  int
		end    int
		nodes  int
		keys   int
		f      *frame
		kind   Kind
		flags  uint8
		reason string
		track  = !l.AllowDuplicateKeys || !l.AllowFoldCollisions
		fold   = !l.AllowFoldCollisions
	)
	if len(data) > l.Bytes {
		return s.exceeded("Bytes", l.Bytes)
	}
	if len(data) >= 3 && data[0] == 0xEF && data[1] == 0xBB && data[2] == 0xBF {
		return s.invalid("byte order mark", 0)
	}

value:
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	if i >= len(data) {
		return s.invalid("unexpected end", i)
	}
	if nodes++; nodes > l.Nodes {
		return s.exceeded("Nodes", i)
	}
	start = i
	switch c := data[i]; c {
	case '"':
		// Most strings are short and plain: find their end here, in up to four words, and leave the rest to scanString.
		end = i + 1
		for stop := min(i+33, len(data)); end+8 <= stop; {
			if m := special(binary.LittleEndian.Uint64(data[end:])); m != 0 {
				end += bits.TrailingZeros64(m) >> 3
				break
			}
			end += 8
		}
		if end >= len(data) || data[end] != '"' {
			end, _, reason = scanString(data, end, l.AllowInvalidText)
			if reason != "" {
				return s.invalid(reason, end)
			}
		}
		if end-start-1 > l.StringLen {
			return s.exceeded("StringLen", start)
		}
		end++
		kind = String
	case '{', '[':
		if len(p.frames) >= l.Depth {
			return s.exceeded("Depth", i)
		}
		kind = ArrayStart
		if c == '{' {
			kind = ObjectStart
		}
		if v != nil {
			if err := v.Visit(p, kind, i, i+1); err != nil {
				return err
			}
		}
		p.frames = append(p.frames, frame{object: c == '{', keyStart: -1, base: len(s.names.list)})
		f = &p.frames[len(p.frames)-1]
		i++
		for i < len(data) && isSpace(data[i]) {
			i++
		}
		if c == '{' {
			if i < len(data) && data[i] == '}' {
				goto closing
			}
			goto member
		}
		if i < len(data) && data[i] == ']' {
			goto closing
		}
		goto value
	case 't':
		if len(data)-i < 4 || string(data[i:i+4]) != "true" {
			return s.invalid("invalid literal", i)
		}
		kind, end = True, i+4
	case 'f':
		if len(data)-i < 5 || string(data[i:i+5]) != "false" {
			return s.invalid("invalid literal", i)
		}
		kind, end = False, i+5
	case 'n':
		if len(data)-i < 4 || string(data[i:i+4]) != "null" {
			return s.invalid("invalid literal", i)
		}
		kind, end = Null, i+4
	default:
		if c != '-' && (c < '0' || c > '9') {
			return s.invalid("unexpected character", i)
		}
		var exp int
		end, exp, reason = scanNumber(data, i)
		if reason != "" {
			return s.invalid(reason, end)
		}
		if end-start > l.NumberLen {
			return s.exceeded("NumberLen", start)
		}
		if exp > l.Exponent {
			return s.exceeded("Exponent", start)
		}
		kind = Number
	}
	if v != nil {
		if err := v.Visit(p, kind, start, end); err != nil {
			return err
		}
	}
	i = end

next:
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	if len(p.frames) == 0 {
		if i < len(data) {
			return s.invalid("data after the value", i)
		}
		return nil
	}
	f = &p.frames[len(p.frames)-1]
	if i >= len(data) {
		return s.invalid("unexpected end", i)
	}
	if f.object {
		switch data[i] {
		case ',':
			i++
			for i < len(data) && isSpace(data[i]) {
				i++
			}
			goto member
		case '}':
			goto closing
		}
		return s.invalid("expected comma or closing brace", i)
	}
	switch data[i] {
	case ',':
		i++
		if f.n++; f.n >= l.ArrayLen {
			return s.exceeded("ArrayLen", i)
		}
		goto value
	case ']':
		goto closing
	}
	return s.invalid("expected comma or closing bracket", i)

member:
	f.keyStart = -1
	if i >= len(data) {
		return s.invalid("unexpected end", i)
	}
	if data[i] != '"' {
		return s.invalid("expected member name", i)
	}
	start = i + 1
	end, flags = start, 0
	for stop := min(start+32, len(data)); end+8 <= stop; {
		if m := special(binary.LittleEndian.Uint64(data[end:])); m != 0 {
			end += bits.TrailingZeros64(m) >> 3
			break
		}
		end += 8
	}
	if end >= len(data) || data[end] != '"' {
		end, flags, reason = scanString(data, end, l.AllowInvalidText)
		if reason != "" {
			return s.invalid(reason, end)
		}
	}
	if end-start > l.KeyLen {
		return s.exceeded("KeyLen", i)
	}
	if f.n++; f.n > l.Keys {
		return s.exceeded("Keys", i)
	}
	if keys++; keys > l.TotalKeys {
		return s.exceeded("TotalKeys", i)
	}
	f.keyStart, f.keyEnd, f.escaped = start, end, flags&hasEscape != 0
	if track {
		switch s.names.add(data, f, start, end, flags, fold) {
		case duplicate:
			if !l.AllowDuplicateKeys {
				return s.fail(DuplicateKey, "", "duplicate member name", i)
			}
		case collision:
			return s.fail(DuplicateKey, "", "member names that differ only by case", i)
		}
	}
	i = end + 1
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	if i >= len(data) {
		return s.invalid("unexpected end", i)
	}
	if data[i] != ':' {
		return s.invalid("expected colon", i)
	}
	i++
	goto value

closing:
	kind = ArrayEnd
	if f.object {
		kind = ObjectEnd
		if track {
			s.names.close(f)
		}
	}
	p.frames = p.frames[:len(p.frames)-1]
	if v != nil {
		if err := v.Visit(p, kind, i, i+1); err != nil {
			return err
		}
	}
	i++
	goto next
}

func isSpace(c byte) bool {
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t')
}

// scanNumber reads the number at i and returns its end and the absolute value of its written exponent, which stops growing
// at a million.
func scanNumber(data []byte, i int) (end, exp int, reason string) {
	if data[i] == '-' {
		i++
	}
	switch {
	case i >= len(data):
		return i, 0, "invalid number"
	case data[i] == '0':
		i++
	case '1' <= data[i] && data[i] <= '9':
		for i++; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
		}
	default:
		return i, 0, "invalid number"
	}
	if i < len(data) && data[i] == '.' {
		i++
		from := i
		for i < len(data) && '0' <= data[i] && data[i] <= '9' {
			i++
		}
		if i == from {
			return i, 0, "invalid number"
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		from := i
		for ; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
			if exp < 1_000_000 {
				exp = exp*10 + int(data[i]-'0')
			}
		}
		if i == from {
			return i, 0, "invalid number"
		}
	}
	return i, exp, ""
}

func (s *Scanner) invalid(reason string, offset int) error {
	return s.fail(InvalidJSON, "", reason, offset)
}

func (s *Scanner) exceeded(limit string, offset int) error {
	return s.fail(LimitExceeded, limit, "limit exceeded", offset)
}

func (s *Scanner) fail(code Code, limit, reason string, offset int) error {
	return &Error{Code: code, Offset: offset, Limit: limit, Pointer: string(s.path.AppendPointer(nil)), Reason: reason}
}
