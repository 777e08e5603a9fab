package schema

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// scalar applies a plan to a scalar. It returns nil when that is right, and otherwise why not, in memory that is used again.
func (m *Machine) scalar(p *plan, v *value) *Failure {
	if p.single {
		if m.local(p.steps[0].n, v) {
			return nil
		}
		return &m.reason
	}
	whys := slices.Grow(m.whys[:0], len(p.steps))[:len(p.steps)]
	m.whys = whys
	m.work += len(whys)
	if p.costly {
		// What costs little first: a string that is too long for the whole is not searched for the pattern of an alternative.
		for s := range p.steps {
			if p.steps[s].must && !m.cheap(p.steps[s].n, v) {
				return &m.reason
			}
		}
	}
	why := func(i int) *Failure {
		if whys[i].Keyword == "" {
			return nil
		}
		return &whys[i]
	}
	for s := len(p.steps) - 1; s >= 0; s-- {
		st := &p.steps[s]
		whys[s].Keyword = ""
		if !m.local(st.n, v) {
			whys[s] = m.reason
			continue
		}
		for _, i := range st.all {
			if whys[i].Keyword != "" {
				whys[s] = whys[i]
				break
			}
		}
		if st.combines && whys[s].Keyword == "" {
			if f, ok := m.combine(st, v.start, why); !ok {
				whys[s] = f
			}
		}
	}
	return why(0)
}

// local applies one node to a scalar. When it is false, reason says why.
func (m *Machine) local(n *node, v *value) bool {
	if !m.cheap(n, v) {
		return false
	}
	if !n.costly || v.kind != jsonscan.String {
		return true
	}
	if n.pattern != nil && !n.pattern.Match(m.decode(v)) {
		m.reason = Failure{Keyword: "pattern", At: v.start}
		return false
	}
	if n.format != nil {
		if v.copied == "" {
			v.copied = string(m.decode(v))
		}
		if !n.format(v.copied) {
			m.reason = Failure{Keyword: "format", At: v.start, format: &n.formatName}
			return false
		}
	}
	return true
}

// cheap is local without patterns and formats.
func (m *Machine) cheap(n *node, v *value) bool {
	if n.always != 0 {
		if n.always < 0 {
			m.reason = Failure{Keyword: n.denies, At: v.start}
		}
		return n.always > 0
	}
	if n.types&kindTypes[v.kind] == 0 {
		if v.kind != jsonscan.Number || n.types&tInteger == 0 || !m.integer(v.raw) {
			m.reason = Failure{Keyword: "type", At: v.start, mismatch: true}
			return false
		}
	}
	if !n.scalars {
		return true
	}
	if n.enum != nil && !m.listed(n.enum, v) {
		m.reason = Failure{Keyword: n.enumK, At: v.start, tag: true, mismatch: true}
		return false
	}
	keyword := ""
	switch v.kind {
	case jsonscan.Number:
		keyword = m.number(n, v.raw)
	case jsonscan.String:
		keyword = m.length(n, v)
	}
	if keyword != "" {
		m.reason = Failure{Keyword: keyword, At: v.start}
	}
	return keyword == ""
}

func (m *Machine) integer(raw []byte) bool {
	if _, ok := wholeNumber(raw); ok {
		return true
	}
	d, rest := parseDecimal(m.scratch[:0], raw)
	m.scratch = rest
	return d.integer()
}

// decode gives v its text.
func (m *Machine) decode(v *value) []byte {
	if !v.decoded {
		v.text, v.decoded = v.raw, true
		if bytes.IndexByte(v.raw, '\\') >= 0 {
			m.text = jsonscan.AppendUnquoted(slices.Grow(m.text[:0], len(v.raw)), v.raw)
			v.text = m.text
		}
	}
	return v.text
}

// listed reports whether a scalar is in the set.
func (m *Machine) listed(s *values, v *value) bool {
	switch v.kind {
	case jsonscan.Null:
		return s.null
	case jsonscan.True:
		return s.yes
	case jsonscan.False:
		return s.no
	case jsonscan.String:
		if len(s.strings) == 1 {
			return string(m.decode(v)) == s.one
		}
		_, ok := s.strings[string(m.decode(v))]
		return ok
	case jsonscan.Number:
		if len(s.numbers) == 0 {
			return false
		}
		d, rest := parseDecimal(m.scratch[:0], v.raw)
		m.scratch = rest
		_, ok := slices.BinarySearchFunc(s.numbers, d, decimal.cmp)
		return ok
	}
	return false
}

// number returns the keyword that a number fails, "" for none.
func (m *Machine) number(n *node, raw []byte) string {
	if n.minimum == nil && n.maximum == nil && n.multipleOf == nil {
		return ""
	}
	whole, ok := wholeNumber(raw)
	var d decimal
	if !ok || n.multipleOf != nil || n.minimum != nil && !n.minimum.isWhole || n.maximum != nil && !n.maximum.isWhole {
		ok = false
		d, m.scratch = parseDecimal(m.scratch[:0], raw)
	}
	cmp := func(b *bound) int {
		switch {
		case !ok:
			return d.cmp(b.value)
		case whole < b.whole:
			return -1
		case whole > b.whole:
			return 1
		}
		return 0
	}
	if b := n.minimum; b != nil {
		if c := cmp(b); c < 0 || c == 0 && b.exclusive {
			return b.keyword
		}
	}
	if b := n.maximum; b != nil {
		if c := cmp(b); c > 0 || c == 0 && b.exclusive {
			return b.keyword
		}
	}
	if n.multipleOf != nil && !d.multiple(*n.multipleOf) {
		return "multipleOf"
	}
	return ""
}

// length returns the keyword that the length of a string fails, "" for none.
func (m *Machine) length(n *node, v *value) string {
	// A character takes one to six bytes as written (twelve for an escaped surrogate pair, which is one character), so that
	// the length mostly settles it without counting.
	if len(v.raw)/12 < n.minLength || n.maxLen >= 0 && len(v.raw) > n.maxLen {
		switch chars := utf8.RuneCount(m.decode(v)); {
		case chars < n.minLength:
			return "minLength"
		case n.maxLen >= 0 && chars > n.maxLen:
			return "maxLength"
		}
	}
	return ""
}
