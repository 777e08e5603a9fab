package schema

// Compare compares two JSON numbers, Integer and Multiple say what their names say.
func Compare(a, b string) int {
	x, _ := parseDecimal(nil, []byte(a))
	y, _ := parseDecimal(nil, []byte(b))
	return x.cmp(y)
}

func Integer(a string) bool {
	x, _ := parseDecimal(nil, []byte(a))
	return x.integer()
}

func Multiple(a, of string) bool {
	x, _ := parseDecimal(nil, []byte(a))
	y, _ := parseDecimal(nil, []byte(of))
	return x.multiple(y)
}

// Work returns how many steps have looked at something since Start.
func (m *Machine) Work() int { return m.work }

// Same reports whether two JSON texts are equal in the sense of uniqueItems, by their hashes and by comparison.
func Same(a, b []byte) (hashes, texts bool) {
	var m Machine
	x, y := cursor{data: a}, cursor{data: b}
	hashes = x.hash(&m.scratch) == y.hash(&m.scratch)
	x, y = cursor{data: a}, cursor{data: b}
	return hashes, m.same(&x, &y)
}

// Equal reports whether the JSON text raw is the value want.
func Equal(raw []byte, want any) bool { return equal(raw, want, new([]byte)) }
