package jwtauth

import (
	"bytes"
	"errors"
	"strings"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// members is the top level of one JSON object, as spans of its text. What the claims mean is decided when it is known who
// signed them; until then nothing is converted.
type members struct {
	data    []byte
	list    []member
	elems   []span
	decoded []byte // unescaped text; spans of it are handed out, so it only ever grows
	names   []byte // of the members, unescaped
	words   [][]byte
	joined  []byte
	// variant says that a lookup met a name that differs from the wanted one by case only.
	variant bool
	tags    []uint16 // of the names in list
	odds    []int    // the members whose names have upper case or non-ASCII characters
}

type span struct{ start, end int }

// member has no pointers: dozens of them are written for each token.
type member struct {
	name    span // of members.names
	kind    jsonscan.Kind
	value   span // a string without its quotes
	first   int  // the elements of an array in members.elems
	count   int
	strings bool // all elements are strings
}

var (
	limits       = jsonscan.Limits{Bytes: -1, Depth: 16, Keys: maxClaims, TotalKeys: 1024, ArrayLen: 1024, Nodes: 4096, NumberLen: 32, Exponent: 10}
	errNotObject = errors.New("not an object")
)

func (m *members) reset(data []byte) {
	m.data, m.list, m.elems, m.names, m.tags, m.odds, m.variant = data, m.list[:0], m.elems[:0], m.names[:0], m.tags[:0], m.odds[:0], false
	m.decoded = nil // strings of the last token may still point into it
}

// read scans data, which must be one JSON object.
func (m *members) read(s *jsonscan.Scanner, data []byte) error {
	m.reset(data)
	return s.Scan(data, &limits, m)
}

// Visit implements [jsonscan.Visitor].
func (m *members) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch p.Depth() {
	case 0:
		if k != jsonscan.ObjectStart && k != jsonscan.ObjectEnd {
			return errNotObject
		}
	case 1:
		if k == jsonscan.ObjectEnd || k == jsonscan.ArrayEnd {
			m.list[len(m.list)-1].value.end = end // the whole container
			return nil
		}
		name, _ := p.Key(0)
		v := member{name: span{len(m.names), 0}, kind: k, value: span{start, end}, first: len(m.elems), strings: k == jsonscan.ArrayStart}
		if k == jsonscan.String {
			v.value = span{start + 1, end - 1}
		}
		if p.Escaped(0) {
			m.names = jsonscan.AppendUnquoted(m.names, name)
		} else {
			m.names = append(m.names, name...)
		}
		v.name.end = len(m.names)
		name = m.nameOf(&v)
		for _, c := range name {
			if odd(rune(c)) {
				m.odds = append(m.odds, len(m.list))
				break
			}
		}
		m.list = append(m.list, v)
		m.tags = append(m.tags, tag(name))
	case 2:
		if _, element := p.Index(1); !element {
			return nil
		}
		v := &m.list[len(m.list)-1]
		if k != jsonscan.String {
			v.strings = false
			return nil
		}
		m.elems = append(m.elems, span{start + 1, end - 1})
		v.count++
	}
	return nil
}

func (m *members) nameOf(v *member) []byte { return m.names[v.name.start:v.name.end] }

// odd reports whether a character, or a byte of one, may be equal to another by case.
func odd(c rune) bool { return c >= 0x80 || c >= 'A' && c <= 'Z' }

// tag tells most names apart.
func tag[T string | []byte](name T) uint16 {
	if len(name) == 0 {
		return 0
	}
	return uint16(len(name))<<8 | uint16(name[0])
}

// find returns the member of exactly this name, which is in lower case, or nil. A member whose name differs by case only sets
// variant: to another reader of the token it would be this one. A token is asked for about twenty names, most of which it does
// not have.
func (m *members) find(name string) (found *member) {
	want := tag(name)
	for i, t := range m.tags {
		if t == want && string(m.nameOf(&m.list[i])) == name {
			found = &m.list[i]
			break
		}
	}
	for _, i := range m.odds {
		if strings.EqualFold(string(m.nameOf(&m.list[i])), name) {
			m.variant = true
		}
	}
	return found
}

// lookup is find for any name. The empty one stands for none.
func (m *members) lookup(name string) (found *member) {
	if name == "" {
		return nil
	}
	if !strings.ContainsFunc(name, odd) {
		return m.find(name)
	}
	for i := range m.list {
		v := &m.list[i]
		switch got := m.nameOf(v); {
		case string(got) == name:
			found = v
		case strings.EqualFold(string(got), name):
			m.variant = true
		}
	}
	return found
}

// text returns the text of a string member; false for nil and for any other kind.
func (m *members) text(v *member) ([]byte, bool) {
	if v == nil || v.kind != jsonscan.String {
		return nil, false
	}
	return m.spanText(v.value), true
}

func (m *members) spanText(s span) []byte {
	raw := m.data[s.start:s.end]
	if bytes.IndexByte(raw, '\\') >= 0 {
		return m.unescape(raw)
	}
	return raw
}

func (m *members) unescape(raw []byte) []byte {
	n := len(m.decoded)
	m.decoded = jsonscan.AppendUnquoted(m.decoded, raw)
	return m.decoded[n:len(m.decoded):len(m.decoded)]
}
