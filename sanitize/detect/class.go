package detect

// class is a set of bytes.
type class [256]bool

// newClass builds a class from ranges like "a-z" written as pairs, e.g. newClass("azAZ09__").
func newClass(ranges string) *class {
	var c class
	for i := 0; i+1 < len(ranges); i += 2 {
		for b := int(ranges[i]); b <= int(ranges[i+1]); b++ {
			c[b] = true
		}
	}
	return &c
}

var (
	alnum  = newClass("azAZ09")
	word   = newClass("azAZ09__")
	token  = newClass("azAZ09__--")
	dotted = newClass("azAZ09__--..")
	base64 = newClass("azAZ09++//__--") // without padding, which is no secret
	hexes  = newClass("afAF09")
)

// inWord reports whether text[i] continues a word. A word character that ends an escape written out in the text (\n, \u003c as
// in JSON inside a string, or %3D as in a URL) does not count: what follows it is a word of its own.
func inWord(text []byte, i int) bool {
	return i > 0 && word[text[i-1]] && !escapeEnds(text, i)
}

// escapeEnds reports whether an escape written out in the text ends right before i.
func escapeEnds(text []byte, i int) bool {
	if i >= 2 && text[i-2] == '\\' {
		switch text[i-1] {
		case 'n', 'r', 't', 'b', 'f':
			return true
		}
	}
	if i >= 3 && text[i-3] == '%' && hexes[text[i-2]] && hexes[text[i-1]] {
		return true
	}
	return i >= 6 && text[i-6] == '\\' && text[i-5] == 'u' &&
		hexes[text[i-4]] && hexes[text[i-3]] && hexes[text[i-2]] && hexes[text[i-1]]
}

// shape counts what a body is made of.
type shape struct{ digits, upper, lower, distinct int }

func shapeOf(b []byte) (s shape) {
	var seen [4]uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			s.digits++
		case c >= 'A' && c <= 'Z':
			s.upper++
		case c >= 'a' && c <= 'z':
			s.lower++
		}
		if seen[c>>6]&(1<<(c&63)) == 0 {
			seen[c>>6] |= 1 << (c & 63)
			s.distinct++
		}
	}
	return s
}

// all reports whether every byte of b is in c.
func (c *class) all(b []byte) bool {
	for _, x := range b {
		if !c[x] {
			return false
		}
	}
	return true
}
