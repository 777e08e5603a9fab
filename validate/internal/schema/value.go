package schema

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"slices"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// The functions of this file read values that a scan has accepted, straight from their text, where two values must be told
// apart: enum and const with arrays or objects, and uniqueItems. In the sense of JSON Schema 1.0 and 1 are equal, and the
// order of members means nothing.

// cursor is a place in the text of a value.
type cursor struct {
	data []byte
	i    int
}

func (c *cursor) space() {
	for c.i < len(c.data) && (c.data[c.i] <= ' ' || c.data[c.i] == ',' || c.data[c.i] == ':') {
		c.i++
	}
}

// peek returns the first byte of what comes next.
func (c *cursor) peek() byte {
	c.space()
	if c.i >= len(c.data) {
		return 0
	}
	return c.data[c.i]
}

// scalar reads a string without its quotes, a number or a literal.
func (c *cursor) scalar() []byte {
	from := c.i
	if c.data[c.i] == '"' {
		from++
		for c.i++; c.data[c.i] != '"'; c.i++ {
			if c.data[c.i] == '\\' {
				c.i++
			}
		}
		c.i++
		return c.data[from : c.i-1]
	}
	for c.i < len(c.data) && c.data[c.i] > ' ' && c.data[c.i] != ',' && c.data[c.i] != ']' && c.data[c.i] != '}' {
		c.i++
	}
	return c.data[from:c.i]
}

// skip reads a whole value.
func (c *cursor) skip() {
	depth := 0
	for {
		switch c.peek() {
		case '{', '[':
			c.i++
			depth++
		case '}', ']':
			c.i++
			depth--
		default:
			c.scalar()
		}
		if depth == 0 {
			return
		}
	}
}

// has reports whether raw, the text of an array or an object, is in the set.
func (s *values) has(raw []byte, buf *[]byte) bool {
	if len(s.others) <= 4 {
		return slices.ContainsFunc(s.others, func(want any) bool { return equal(raw, want, buf) })
	}
	// Values that begin alike would be read once for each of them.
	c := cursor{data: raw}
	h := c.hash(buf)
	for i := range s.others {
		if s.hashes[i] == h && equal(raw, s.others[i], buf) {
			return true
		}
	}
	return false
}

// equal reports whether raw is the text of want, a value as encoding/json with UseNumber decodes it. buf is for its use.
func equal(raw []byte, want any, buf *[]byte) bool {
	c := cursor{data: raw}
	return c.equal(want, buf)
}

func (c *cursor) equal(want any, buf *[]byte) bool {
	switch c.peek() {
	case '{':
		w, ok := want.(map[string]any)
		if !ok {
			return false
		}
		c.i++
		n := 0
		for ; c.peek() != '}'; n++ {
			name := c.scalar()
			if bytes.IndexByte(name, '\\') >= 0 {
				*buf = jsonscan.AppendUnquoted((*buf)[:0], name)
				name = *buf
			}
			v, known := w[string(name)]
			c.space()
			if !known || !c.equal(v, buf) {
				return false
			}
		}
		c.i++
		return n == len(w)
	case '[':
		w, ok := want.([]any)
		if !ok {
			return false
		}
		c.i++
		n := 0
		for ; c.peek() != ']'; n++ {
			if n >= len(w) || !c.equal(w[n], buf) {
				return false
			}
		}
		c.i++
		return n == len(w)
	case '"':
		w, ok := want.(string)
		return jsonscan.EqualUnquoted(c.scalar(), w) && ok
	case 't', 'f':
		w, ok := want.(bool)
		return (c.scalar()[0] == 't') == w && ok
	case 'n':
		c.scalar()
		return want == nil
	}
	w, ok := want.(json.Number)
	raw := c.scalar()
	if !ok {
		return false
	}
	return sameNumber(raw, []byte(w), buf)
}

func sameNumber(a, b []byte, buf *[]byte) bool {
	x, rest := parseDecimal((*buf)[:0], a)
	y, rest := parseDecimal(rest, b)
	*buf = rest
	return x.cmp(y) == 0
}

// same reports whether the values at c and d are equal.
func (m *Machine) same(c, d *cursor) bool {
	a, b := c.peek(), d.peek()
	switch {
	case a == '{' && b == '{':
		return m.sameObject(c, d)
	case a == '[' && b == '[':
		c.i++
		d.i++
		for c.peek() != ']' {
			if d.peek() == ']' || !m.same(c, d) {
				return false
			}
		}
		c.i++
		ended := d.peek() == ']'
		d.i++
		return ended
	case a == '{' || a == '[' || b == '{' || b == '[' || (a == '"') != (b == '"'):
		return false
	case a == '"':
		return m.sameText(c.scalar(), d.scalar())
	case a >= 'a' || b >= 'a': // literals
		return bytes.Equal(c.scalar(), d.scalar())
	}
	return sameNumber(c.scalar(), d.scalar(), &m.scratch)
}

// sameText reports whether two strings, without their quotes, have the same text.
func (m *Machine) sameText(a, b []byte) bool {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return bytes.Equal(a, b)
	}
	both := jsonscan.AppendUnquoted(slices.Grow(m.scratch[:0], len(a)+len(b)), a)
	n := len(both)
	m.scratch = jsonscan.AppendUnquoted(both, b)
	return bytes.Equal(m.scratch[:n], m.scratch[n:])
}

// member is a member of an object that is compared: the hash of its name, and where the name is.
type member struct {
	hash uint64
	at   int32
}

func (m *Machine) sameObject(c, d *cursor) bool {
	base := len(m.members)
	defer func() { m.members = m.members[:base] }()
	d.i++
	for d.peek() != '}' {
		at := d.i
		m.members = append(m.members, member{d.string(&m.scratch), int32(at)})
		d.skip()
	}
	d.i++
	theirs := m.members[base:]
	slices.SortFunc(theirs, func(a, b member) int { return cmp.Compare(a.hash, b.hash) })
	n := 0
	c.i++
	for ; c.peek() != '}'; n++ {
		at := cursor{c.data, c.i}
		hash := c.string(&m.scratch)
		i, _ := slices.BinarySearchFunc(theirs, hash, func(a member, hash uint64) int { return cmp.Compare(a.hash, hash) })
		found := false
		for ; i < len(theirs) && theirs[i].hash == hash && !found; i++ {
			own, other := at, cursor{d.data, int(theirs[i].at)}
			if found = m.sameText(own.scalar(), other.scalar()); found && !m.same(c, &other) {
				return false
			}
		}
		if !found {
			return false
		}
	}
	c.i++
	return n == len(theirs)
}

// seed keeps chosen values from having the same hash.
var seed = maphash.MakeSeed()

// hash returns a number that is the same for equal values.
func (c *cursor) hash(buf *[]byte) uint64 {
	const kind = 0x9E3779B97F4A7C15
	switch c.peek() {
	case '{':
		c.i++
		sum := uint64(1)
		for c.peek() != '}' {
			name := c.string(buf)
			c.space()
			sum += mix(name, c.hash(buf)) // a sum, since the order means nothing
		}
		c.i++
		return sum * kind
	case '[':
		c.i++
		sum := uint64(2)
		for c.peek() != ']' {
			sum = mix(sum, c.hash(buf))
		}
		c.i++
		return sum
	case '"':
		return c.string(buf)
	case 't', 'f', 'n':
		return maphash.Bytes(seed, c.scalar()) + kind
	}
	d, rest := parseDecimal((*buf)[:0], c.scalar())
	if d.negative {
		rest = append(rest, '-')
	}
	*buf = binary.AppendVarint(rest, int64(d.exp))
	return maphash.Bytes(seed, *buf) ^ kind
}

func (c *cursor) string(buf *[]byte) uint64 {
	raw := c.scalar()
	if bytes.IndexByte(raw, '\\') >= 0 {
		*buf = jsonscan.AppendUnquoted((*buf)[:0], raw)
		raw = *buf
	}
	return maphash.Bytes(seed, raw)
}

func mix(a, b uint64) uint64 {
	var w [16]byte
	binary.LittleEndian.PutUint64(w[:], a)
	binary.LittleEndian.PutUint64(w[8:], b)
	return maphash.Bytes(seed, w[:])
}

// distinct reports whether the elements of raw, the text of an array, all differ. m keeps its memory.
func (m *Machine) distinct(raw []byte, n int) bool {
	size := 8
	for size < 2*n {
		size *= 2
	}
	if cap(m.table) < size {
		m.table = make([]entry, size)
	}
	table := m.table[:size]
	clear(table)
	c := cursor{data: raw, i: 1}
	for c.peek() != ']' {
		at := c.i
		h := c.hash(&m.scratch)
		slot := h & uint64(size-1)
		for ; table[slot].at != 0; slot = (slot + 1) & uint64(size-1) {
			if table[slot].hash != uint32(h>>32) {
				continue
			}
			a, b := cursor{raw, int(table[slot].at)}, cursor{raw, at}
			if m.same(&a, &b) {
				return false
			}
		}
		table[slot] = entry{uint32(h >> 32), int32(at)}
	}
	return true
}

// entry is where an element of an array begins, never 0.
type entry struct {
	hash uint32
	at   int32
}
