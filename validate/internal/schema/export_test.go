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

// Work returns how many evaluations were begun since Start.
func (m *Machine) Work() int { return m.work }

// Same reports whether two JSON texts are equal in the sense of uniqueItems, by their hashes and by comparison.
func Same(a, b []byte) (hashes, texts bool) {
	var buf []byte
	x, y := cursor{data: a}, cursor{data: b}
	hashes = x.hash(&buf) == y.hash(&buf)
	x, y = cursor{data: a}, cursor{data: b}
	return hashes, x.same(&y)
}

// Equal reports whether the JSON text raw is the value want.
var Equal = equal
