package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"

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

// equal reports whether raw is the text of want, a value as encoding/json with UseNumber decodes it.
func equal(raw []byte, want any) bool {
	c := cursor{data: raw}
	return c.equal(want)
}

func (c *cursor) equal(want any) bool {
	switch c.peek() {
	case '{':
		w, ok := want.(map[string]any)
		if !ok {
			return false
		}
		c.i++
		n := 0
		for ; c.peek() != '}'; n++ {
			v, known := w[string(text(c.scalar()))]
			c.space()
			if !known || !c.equal(v) {
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
			if n >= len(w) || !c.equal(w[n]) {
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
	a, _ := parseDecimal(nil, c.scalar())
	if !ok {
		return false
	}
	b, _ := parseDecimal(nil, []byte(w))
	return a.cmp(b) == 0
}

// text returns the text of a string without its quotes.
func text(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return jsonscan.AppendUnquoted(nil, raw)
}

// same reports whether the values at c and d are equal.
func (c *cursor) same(d *cursor) bool {
	a, b := c.peek(), d.peek()
	switch {
	case a == '{' && b == '{':
		return c.sameObject(d)
	case a == '[' && b == '[':
		c.i++
		d.i++
		for c.peek() != ']' {
			if d.peek() == ']' || !c.same(d) {
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
		return bytes.Equal(text(c.scalar()), text(d.scalar()))
	case a >= 'a' || b >= 'a': // literals
		return bytes.Equal(c.scalar(), d.scalar())
	}
	x, _ := parseDecimal(nil, c.scalar())
	y, _ := parseDecimal(nil, d.scalar())
	return x.cmp(y) == 0
}

func (c *cursor) sameObject(d *cursor) bool {
	members := map[string]int{} // where the values of d are
	d.i++
	for d.peek() != '}' {
		name := string(text(d.scalar()))
		d.space()
		members[name] = d.i
		d.skip()
	}
	d.i++
	n := 0
	c.i++
	for ; c.peek() != '}'; n++ {
		at, ok := members[string(text(c.scalar()))]
		c.space()
		if !ok {
			return false
		}
		if value := (cursor{d.data, at}); !c.same(&value) {
			return false
		}
	}
	c.i++
	return n == len(members)
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
		m.table = make([]element, size)
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
			if a.same(&b) {
				return false
			}
		}
		table[slot] = element{uint32(h >> 32), int32(at)}
	}
	return true
}

// element is where an element of an array begins, never 0.
type element struct {
	hash uint32
	at   int32
}
