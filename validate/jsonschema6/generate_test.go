package jsonschema6_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// generator makes random schemas and documents as text, so that the spelling of a number, the escapes of a string and the order
// of members vary too. A schema has themes (object, array, number, string): keywords that say something about the same kind of
// value meet, and the schemas that apply in place share the theme of the one they stand in.
type generator struct {
	rnd  chooser
	old  bool // draft 7
	defs []string
	refs []reference // those that may stand below, where they go down in the value first
}

type reference struct{ keyword, to string }

// inside are the references that mean the same, or something that exists, in every schema resource.
func (g *generator) inside() (list []reference) {
	for _, r := range g.refs {
		if r.to == "#" || r.to == "#dyn" || strings.Contains(r.to, "://") || strings.HasPrefix(r.to, "urn:") {
			list = append(list, r)
		}
	}
	return list
}

type chooser interface{ IntN(n int) int }

// entropy is a chooser that follows a string of bytes, then always takes the first choice.
type entropy struct{ left []byte }

func (e *entropy) IntN(n int) int {
	if len(e.left) == 0 {
		return 0
	}
	b := e.left[0]
	e.left = e.left[1:]
	return int(b) % n
}

func (g *generator) one(of ...string) string { return of[g.rnd.IntN(len(of))] }
func (g *generator) chance(percent int) bool { return g.rnd.IntN(100) >= 100-percent }

// names are those that pointers, URIs, escapes and encodings treat in some special way, and a few plain ones.
var names = []string{"a", "b", "c", "a", "b", "", "~", "~1", "/", "a/b", "%25", "é", "e\u0301", "😀", "\x00", "\"\\", "$ref", "properties", "0", "1", "A", "\u2028", "日本",
	"a/items", "a/properties/b"}

func (g *generator) name() string { return g.one(names...) }

func (g *generator) distinctNames(n int) []string {
	var list []string
	for range n {
		if s := g.name(); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// quoted writes a string, with escapes where there need be none.
func (g *generator) quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	spell := g.chance(30)
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '/' && spell:
			b.WriteString(`\/`)
		case r < ' ' || spell && g.chance(50):
			for _, unit := range utf16.AppendRune(nil, r) {
				if g.chance(50) {
					fmt.Fprintf(&b, `\u%04x`, unit)
				} else {
					fmt.Fprintf(&b, `\u%04X`, unit)
				}
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (g *generator) number() string {
	return g.one("0", "1", "2", "3", "-1", "-0", "0.0", "1.0", "10e-1", "0.1E+1", "1.5", "-1.5", "15e-1", "2.50", "1e2", "100", "100.00", "0.01", "1e-2", "0.010",
		"0.015", "0.1", "0.3", "0.30000000000000004", "9007199254740992", "9007199254740993", "-9007199254740993.0", "12345678901234567890", "12345678901234567890.5",
		"1234567890123456789e1", "1e20", "100000000000000000000", "1e300", "1e-300", "3.0000000000000000000000001", "99999999999999999999999999e-25", "0.00000000000000000001",
		"999999999999999999", "1000000000000000000", "-999999999999999999", "0e5", "7", "49", "4.9e1")
}

func (g *generator) positive() string {
	return g.one("1", "2", "3", "7", "0.1", "0.01", "1e-2", "1.5", "0.30", "1e2", "5e-1", "9007199254740993", "12345678901234567890", "1e-20", "1.0", "123456789012345678901.5e-3", "1e300", "70e-1")
}

func (g *generator) count() string { return g.one("0", "1", "1", "2", "2", "3", "1.0", "2e0", "20e-1") }

func (g *generator) text() string {
	return g.one("", "a", "b", "ab", "abc", "é", "e\u0301", "😀", "😀b", "👩‍👧", "\x00", "日本", "\"\\", "a/b", "2020-01-01", "~", "true", "1")
}

// value writes a random value.
func (g *generator) value(depth int) string {
	switch n := g.rnd.IntN(12); {
	case n < 3 && depth > 0:
		list := make([]string, g.rnd.IntN(4))
		for i := range list {
			list[i] = g.value(depth - 1)
		}
		return "[" + strings.Join(list, g.comma()) + "]"
	case n < 6 && depth > 0:
		return g.object(g.distinctNames(g.rnd.IntN(5)), func(string) string { return g.value(depth - 1) })
	case n < 9:
		return g.number()
	case n < 11:
		return g.quoted(g.text())
	}
	return g.one("null", "true", "false")
}

func (g *generator) comma() string { return g.one(",", ",", ", ", " ,\n") }

// object writes an object with these names, in an order of its own.
func (g *generator) object(names []string, value func(name string) string) string {
	members := make([]string, len(names))
	for i, n := range names {
		members[i] = g.quoted(n) + g.one(":", ":", ": ") + value(n)
	}
	g.shuffle(members)
	return "{" + strings.Join(members, g.comma()) + "}"
}

func (g *generator) shuffle(list []string) {
	for i := len(list) - 1; i > 0; i-- {
		j := g.rnd.IntN(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}

type theme int

const (
	objects theme = iota
	arrays
	numbers
	strs
	mixed
)

// schema writes a schema. rank is the first of the definitions that it may refer to in place, so that there is no way round.
func (g *generator) schema(depth int, th theme, rank int) string {
	if depth <= 0 || g.chance(6) {
		if g.chance(25) {
			return g.one("true", "true", "false", "{}")
		}
		th, depth = theme(g.rnd.IntN(5)), 0
	}
	if th == mixed {
		th = theme(g.rnd.IntN(5))
	}
	var m []string
	have := map[string]bool{}
	set := func(keyword, value string) {
		if !have[keyword] {
			have[keyword] = true
			m = append(m, `"`+keyword+`":`+value)
		}
	}
	below := func() string { return g.schema(depth-1, theme(g.rnd.IntN(5)), 0) } // for a member or an element
	here := func() string { return g.schema(depth-1, th, rank) }                 // for the same value
	list := func(one func() string) string {
		l := make([]string, 1+g.rnd.IntN(3))
		for i := range l {
			l[i] = one()
		}
		return "[" + strings.Join(l, ",") + "]"
	}
	for range 1 + g.rnd.IntN(3) {
		switch th {
		case objects:
			g.objectKeyword(set, below, here, depth)
		case arrays:
			g.arrayKeyword(set, below, list, depth)
		case numbers:
			switch g.rnd.IntN(6) {
			case 0:
				set("minimum", g.number())
			case 1:
				set("maximum", g.number())
			case 2:
				set("exclusiveMinimum", g.number())
			case 3:
				set("exclusiveMaximum", g.number())
			case 4:
				set("multipleOf", g.positive())
			case 5:
				set("type", g.one(`"integer"`, `"number"`, `["integer","null"]`))
			}
		case strs:
			switch g.rnd.IntN(5) {
			case 0:
				set("minLength", g.count())
			case 1:
				set("maxLength", g.count())
			case 2:
				set("pattern", g.one(`"^.$"`, `"^\\p{L}+$"`, `"a|b"`, `"^[^a]*$"`, `"^a"`, `"b$"`, `""`, `"\\x{1F600}"`, `"^\\S*$"`))
			case 3:
				set("type", g.one(`"string"`, `["string","null"]`))
			case 4:
				set("format", g.one(`"date"`, `"json-pointer"`, `"unheard-of"`))
			}
		default:
			set("type", g.one(`"object"`, `"array"`, `"integer"`, `["array","object"]`, `"null"`, `"boolean"`))
		}
		switch g.rnd.IntN(14) { // for values of every kind
		case 0:
			set("const", g.value(2))
		case 1:
			set("enum", "["+g.value(2)+","+g.value(1)+","+g.value(0)+"]")
		}
		if depth <= 0 {
			continue
		}
		switch g.rnd.IntN(12) {
		case 0:
			set("allOf", list(here))
		case 1:
			set("anyOf", list(here))
		case 2:
			set("oneOf", list(here))
		case 3:
			set("not", here())
		case 4, 5:
			set("if", here())
			if g.chance(70) {
				set("then", here())
			}
			if g.chance(70) {
				set("else", here())
			}
		case 6:
			if rank < len(g.defs) {
				set("$ref", g.quoted("#/"+g.holder()+"/"+pointerToken(g.defs[rank+g.rnd.IntN(len(g.defs)-rank)])))
			}
		}
	}
	if !g.old && depth > 0 {
		switch g.rnd.IntN(10) {
		case 0, 1, 2:
			if th == objects {
				set("unevaluatedProperties", g.sometimesFalse(below))
			}
		case 3, 4, 5:
			if th == arrays {
				set("unevaluatedItems", g.sometimesFalse(below))
			}
		}
	}
	if g.old && have["$ref"] { // a fault of v6, see TestKnownFaultsOfV6
		m = slices.DeleteFunc(m, func(s string) bool { return strings.HasPrefix(s, `"const"`) })
	}
	g.shuffle(m)
	return "{" + strings.Join(m, ",") + "}"
}

func (g *generator) sometimesFalse(or func() string) string {
	if g.chance(60) {
		return "false"
	}
	return or()
}

func (g *generator) holder() string {
	if g.old {
		return "definitions"
	}
	return "$defs"
}

// pointerToken writes a name as a step of a JSON Pointer in a fragment.
func pointerToken(name string) string {
	name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	var b strings.Builder
	for _, c := range []byte(name) {
		if c <= ' ' || c >= utf8.RuneSelf || strings.IndexByte("%\"\\", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// anywhere is a schema that may be a reference to anything, as it goes down in the value first.
func (g *generator) anywhere(below func() string) string {
	if len(g.refs) > 0 && g.chance(25) {
		r := g.refs[g.rnd.IntN(len(g.refs))]
		return `{"` + r.keyword + `":` + g.quoted(r.to) + `}`
	}
	return below()
}

func (g *generator) objectKeyword(set func(k, v string), below, here func() string, depth int) {
	namesOf := func(list []string) string {
		for i := range list {
			list[i] = g.quoted(list[i])
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	if depth <= 0 {
		switch g.rnd.IntN(5) {
		case 0:
			set("required", namesOf(g.distinctNames(1+g.rnd.IntN(2))))
		case 1:
			set("minProperties", g.count())
		case 2:
			set("maxProperties", g.count())
		case 3:
			set("properties", g.object(g.distinctNames(1+g.rnd.IntN(3)), func(string) string { return g.one("true", "{}", "true", "false") }))
		case 4:
			set("type", `"object"`)
		}
		return
	}
	sub := func(string) string { return g.anywhere(below) }
	switch g.rnd.IntN(13) {
	case 0, 1, 2, 3:
		set("properties", g.object(g.distinctNames(1+g.rnd.IntN(3)), sub))
	case 4:
		var l []string
		for _, re := range g.distinct(3, `"^a"`, `"^.$"`, `"[bc]"`, `"\\p{Han}|😀"`, `""`, `"^$"`, `"/"`) {
			l = append(l, re+":"+sub(""))
		}
		set("patternProperties", "{"+strings.Join(l, ",")+"}")
	case 5:
		set("additionalProperties", g.sometimesFalse(func() string { return sub("") }))
	case 6:
		set("propertyNames", g.schema(depth-1, strs, 99))
	case 7:
		set("required", namesOf(g.distinctNames(1+g.rnd.IntN(2))))
	case 8:
		set("minProperties", g.count())
	case 9:
		set("maxProperties", g.count())
	case 10:
		if g.old {
			set("dependencies", g.object(g.distinctNames(2), func(string) string {
				if g.chance(50) {
					return namesOf(g.distinctNames(1 + g.rnd.IntN(2)))
				}
				return here()
			}))
			return
		}
		set("dependentRequired", g.object(g.distinctNames(2), func(string) string { return namesOf(g.distinctNames(1 + g.rnd.IntN(2))) }))
	case 11:
		if !g.old {
			set("dependentSchemas", g.object(g.distinctNames(1+g.rnd.IntN(2)), func(string) string { return here() }))
		}
	case 12:
		set("type", g.one(`"object"`, `["object","array"]`))
	}
}

// distinct returns up to n of the list.
func (g *generator) distinct(n int, of ...string) []string {
	g.shuffle(of)
	return of[:1+g.rnd.IntN(n)]
}

func (g *generator) arrayKeyword(set func(k, v string), below func() string, list func(func() string) string, depth int) {
	if depth <= 0 {
		switch g.rnd.IntN(4) {
		case 0:
			set("minItems", g.count())
		case 1:
			set("maxItems", g.count())
		case 2:
			set("uniqueItems", g.one("true", "true", "false"))
		case 3:
			set("type", `"array"`)
		}
		return
	}
	sub := func() string { return g.anywhere(below) }
	switch g.rnd.IntN(10) {
	case 0, 1:
		if g.old && g.chance(50) {
			set("items", list(sub))
			if g.chance(50) {
				set("additionalItems", g.sometimesFalse(sub))
			}
			return
		}
		set("items", g.sometimesFalse(sub))
	case 2, 3:
		if g.old {
			set("additionalItems", g.sometimesFalse(sub)) // says nothing without a list
		} else {
			set("prefixItems", list(sub))
		}
	case 4, 5, 6:
		set("contains", sub())
		if g.chance(60) {
			set("minContains", g.count())
		}
		if g.chance(60) {
			set("maxContains", g.count())
		}
	case 7:
		set("minItems", g.count())
	case 8:
		set("maxItems", g.count())
	case 9:
		set("uniqueItems", "true")
	}
}

// root writes a whole schema document, and another one that it may refer to: definitions, some of them schema resources of their own with
// anchors, plain and dynamic, and references of every form.
func (g *generator) root() (schema string, resources map[string][]byte) {
	g.defs = g.distinctNames(1 + g.rnd.IntN(4))
	holder := g.holder()
	base := g.one("http://h.example/root.json", "http://h.example/dir/root", "urn:example:root", "")
	ref := func(format string, a ...any) {
		g.refs = append(g.refs, reference{"$ref", fmt.Sprintf(format, a...)})
	}
	dynamic := func(to string) { g.refs = append(g.refs, reference{"$dynamicRef", to}) }
	ref("#")
	for _, d := range g.defs {
		ref("#/%s/%s", holder, pointerToken(d))
	}
	var extra []string // members of the root
	if base != "" {
		extra = append(extra, `"$id":"`+base+`"`)
	}
	if g.old {
		extra = append(extra, `"$schema":"http://json-schema.org/draft-07/schema#"`)
	} else if g.chance(40) {
		extra = append(extra, `"$dynamicAnchor":"dyn"`)
		dynamic("#dyn")
	}
	// The resources, and what can be said of them.
	var parts []string
	hierarchical := strings.HasPrefix(base, "http")
	for i := range g.rnd.IntN(3) {
		id := g.one("http://other.example/x/", "urn:example:part") + strconv.Itoa(i)
		if hierarchical && g.chance(60) {
			id = g.one("part", "sub/part", "../part", "/part") + strconv.Itoa(i)
		}
		e := `"$id":"` + id + `"`
		if b, err := url.Parse(base); hierarchical && err == nil && g.chance(60) {
			if u, err := b.Parse(id); err == nil {
				id = u.String()
			}
		}
		ref("%s", id)
		if g.chance(50) {
			ref("%s#/%s/inner", id, holder)
			e += `,"` + holder + `":{"inner":` + g.schema(1, mixed, 99) + `}`
		}
		if !g.old {
			if g.chance(50) {
				e += `,"$anchor":"plain"`
				ref("%s#plain", id)
			}
			if g.chance(60) {
				e += `,"$dynamicAnchor":"dyn"`
				ref("%s#dyn", id)
				dynamic(id + "#dyn")
			}
		}
		parts = append(parts, e)
	}
	if g.chance(30) {
		const far = "http://far.example/doc.json"
		doc := g.far()
		resources = map[string][]byte{far: []byte(doc)}
		ref(far)
		ref("%s#/%s/x", far, holder)
		if !g.old {
			dynamic(far + "#dyn")
		}
	}
	anchored := g.chance(40)
	if anchored {
		ref("#here")
	}
	var defs []string
	for i, d := range g.defs {
		s := g.schema(2, mixed, i+1)
		if anchored && i == 0 && s[0] == '{' {
			a := `"$anchor":"here"`
			if g.old {
				a = `"$id":"#here"`
			}
			s = g.with(s, a)
		}
		defs = append(defs, g.quoted(d)+":"+s)
	}
	if anchored && !strings.Contains(strings.Join(defs, ""), `here"`) {
		a := `{"$anchor":"here"}`
		if g.old {
			a = `{"$id":"#here"}`
		}
		defs = append(defs, `"anchored":`+a)
	}
	inside := generator{rnd: g.rnd, old: g.old, refs: g.inside()}
	for i, e := range parts {
		s := inside.schema(2, mixed, 0)
		for s[0] != '{' || g.old && strings.Contains(s, `"$ref"`) { // siblings of $ref mean nothing there, $id among them
			s = `{"type":` + g.one(`"object"`, `"null"`, `"integer"`) + `}`
		}
		defs = append(defs, fmt.Sprintf(`"part %d":%s`, i, g.with(s, e)))
	}
	g.shuffle(defs)
	s := g.schema(3, theme(g.rnd.IntN(5)), 0)
	if s[0] != '{' {
		s = `{"properties":{"a":` + s + `}}`
	}
	if g.old && strings.Contains(s, `"$ref"`) {
		if s = `{"allOf":[` + s + `]}`; base == "" {
			// The definitions beside a reference exist, but a bound beside it means nothing.
			s = `{"$ref":"#/definitions/` + pointerToken(g.defs[0]) + `","maximum":-1,"maxLength":0,"maxProperties":0,"maxItems":0}`
		}
	}
	extra = append(extra, `"`+holder+`":{`+strings.Join(defs, ",")+`}`)
	return g.with(s, strings.Join(extra, ",")), resources
}

// A whole schema is about so much that one fault hides all others from the verdict. The following ones are about one thing each, with
// documents to match.

// whole writes a schema, a focused one or one about everything, and returns with it what writes documents for it.
func (g *generator) whole(focused bool) (schema string, resources map[string][]byte, document func() string) {
	if focused { // of draft 2020-12
		return g.focused()
	}
	schema, resources = g.root()
	d := json.NewDecoder(strings.NewReader(schema))
	d.UseNumber()
	var parsed any
	if err := d.Decode(&parsed); err != nil {
		panic(schema)
	}
	return schema, resources, func() string {
		if g.chance(25) {
			return g.value(3)
		}
		return g.like(parsed, 4)
	}
}

// focused writes a small schema and returns with it what writes documents for it.
func (g *generator) focused() (schema string, resources map[string][]byte, document func() string) {
	switch g.rnd.IntN(5) {
	case 0:
		schema, document = g.oneNumber()
	case 1:
		schema, document = g.oneString()
	case 2:
		s := inPlace{generator: g}
		schema = s.root()
		document = func() string {
			return g.object(distinctOf(g, 4, "a", "b", "c", "d"), func(string) string { return g.one("1", "1.0", `"x"`, "null") })
		}
	case 3:
		s := inPlace{generator: g, items: true}
		schema = s.root()
		document = func() string {
			list := make([]string, g.rnd.IntN(5))
			for i := range list {
				list[i] = g.one("1", "1.0", `"x"`, "null", "2")
			}
			return "[" + strings.Join(list, ",") + "]"
		}
	case 4:
		schema, resources = g.scopes()
		document = func() string { return g.nested(4) }
	}
	return schema, resources, document
}

func distinctOf(g *generator, n int, of ...string) []string {
	g.shuffle(of)
	return of[:g.rnd.IntN(n+1)]
}

// digits writes up to n of them, the first one not zero.
func (g *generator) digits(n int) string {
	b := []byte{'1' + byte(g.rnd.IntN(9))}
	for range g.rnd.IntN(n) {
		b = append(b, '0'+byte(g.rnd.IntN(10)))
	}
	return string(b)
}

// oneNumber is a bound, and documents close to it: its digits with others behind them, with one changed, with the point elsewhere.
func (g *generator) oneNumber() (schema string, document func() string) {
	number := func() (digits string, exp int) { return g.digits(40), g.rnd.IntN(60) - 40 }
	spell := func(digits string, exp int) string {
		sign := g.one("", "", "", "-")
		switch {
		case exp < 0 && -exp < len(digits) && g.chance(60):
			return sign + digits[:len(digits)+exp] + "." + digits[len(digits)+exp:] + g.one("", "0", "000")
		case exp < 0 && -exp >= len(digits) && g.chance(60):
			return sign + "0." + strings.Repeat("0", -exp-len(digits)) + digits
		case exp >= 0 && g.chance(60):
			return sign + digits + strings.Repeat("0", exp) + g.one("", ".0")
		case g.chance(50): // the point after the first digit
			return sign + digits[:1] + "." + digits[1:] + "0e" + strconv.Itoa(exp+len(digits)-1)
		}
		return sign + digits + g.one("e", "E") + strconv.Itoa(exp)
	}
	digits, exp := number()
	keyword := g.one("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "const", "enum", "uniqueItems", "type")
	if keyword == "multipleOf" {
		digits = g.digits(g.length(2, 17, 19, 30))
		if g.chance(30) {
			digits, exp = g.one("1", "2", "5", "25", "125"), -g.rnd.IntN(6)
		}
	}
	bound := spell(digits, exp)
	near := func() string {
		d, e := digits, exp
		switch g.rnd.IntN(6) {
		case 0:
			d, e = d+g.digits(3), e-1
		case 1:
			b := []byte(d)
			b[len(b)-1] = '0' + byte(g.rnd.IntN(10))
			if len(b) == 1 && b[0] == '0' {
				b[0] = '9'
			}
			d = string(b)
		case 2:
			e += g.rnd.IntN(3) - 1
		case 3:
			if keyword == "multipleOf" { // a product
				x, _ := new(big.Int).SetString(digits, 10)
				y, _ := new(big.Int).SetString(g.digits(25), 10)
				d = x.Mul(x, y).String()
				e += g.rnd.IntN(3)
			}
		case 4:
			return g.number()
		}
		return spell(d, e)
	}
	switch keyword {
	case "multipleOf":
		return `{"multipleOf":` + strings.TrimPrefix(bound, "-") + `}`, near
	case "enum":
		return `{"enum":["x",` + bound + `,{"a":` + near() + `}]}`, func() string { return g.one(near(), `{"a":`+near()+`}`) }
	case "uniqueItems":
		return `{"uniqueItems":true}`, func() string { return "[" + near() + "," + near() + ",{\"a\":" + near() + "},{\"a\":" + near() + "}]" }
	case "type":
		return `{"type":"integer"}`, near
	}
	return `{"` + keyword + `":` + bound + `}`, near
}

func (g *generator) length(of ...int) int { return of[g.rnd.IntN(len(of))] }

// oneString is a length, a pattern or a constant, and documents of characters that take one byte or twelve.
func (g *generator) oneString() (schema string, document func() string) {
	runes := []string{"a", "é", "日", "😀", "\\", "/", "\x00", "\u0301", "\U0010FFFF", "\uFFFF"}
	text := func() string {
		var b strings.Builder
		for range g.rnd.IntN(6) {
			b.WriteString(g.one(runes...))
		}
		return b.String()
	}
	one := func() string { return g.quoted(text()) }
	n := strconv.Itoa(g.rnd.IntN(6))
	switch g.rnd.IntN(6) {
	case 0:
		return `{"minLength":` + n + `}`, one
	case 1:
		return `{"maxLength":` + n + `}`, one
	case 2:
		return `{"pattern":"^.{` + n + `}$"}`, one
	case 3:
		return `{"enum":[` + one() + `,` + one() + `,[` + one() + `]]}`, func() string { return g.one(one(), "["+one()+"]") }
	case 4:
		return `{"propertyNames":{"maxLength":` + n + `,"not":{"const":` + one() + `}}}`, func() string { return "{" + one() + ":1}" }
	}
	return `{"uniqueItems":true}`, func() string { return "[" + one() + "," + one() + "," + one() + "]" }
}

// inPlace writes schemas that all apply to the same object or array, and wonder what the others have looked at.
type inPlace struct {
	*generator
	items bool
}

func (s inPlace) root() string {
	rest := `"unevaluatedProperties":`
	if s.items {
		rest = `"unevaluatedItems":`
	}
	return s.with(s.schema(3, 0), rest+s.one("false", "false", `{"type":"integer"}`)+`,"$defs":{"0":`+s.schema(2, 1)+`,"1":`+s.schema(1, 2)+`}`)
}

func (s inPlace) schema(depth, rank int) string {
	var m []string
	add := func(keyword, value string) {
		if !slices.ContainsFunc(m, func(have string) bool { return strings.HasPrefix(have, `"`+keyword+`"`) }) {
			m = append(m, `"`+keyword+`":`+value)
		}
	}
	leaf := func() string {
		return s.one("true", "true", `{"type":"integer"}`, `{"type":"string"}`, `{"const":1}`, `{"not":{"type":"null"}}`)
	}
	for range 1 + s.rnd.IntN(2) {
		switch n := s.rnd.IntN(8); {
		case n < 4 && s.items:
			add("prefixItems", "["+strings.Join([]string{leaf(), leaf()}[:1+s.rnd.IntN(2)], ",")+"]")
		case n < 4:
			add("properties", s.object(distinctOf(s.generator, 2, "a", "b", "c", "d"), func(string) string { return leaf() }))
		case n == 4 && s.items:
			add("contains", leaf())
			add(s.one("minContains", "maxContains"), s.one("0", "1", "2"))
		case n == 4:
			add("patternProperties", `{"`+s.one("[ab]", "^c", "[^d]")+`":`+leaf()+`}`)
		case n == 5 && s.items:
			add(s.one("minItems", "maxItems"), s.one("1", "2", "3"))
		case n == 5:
			add("required", `["`+s.one("a", "b", "c", "d")+`"]`)
		case n == 6 && s.chance(30):
			if s.items {
				add(s.one("items", "unevaluatedItems"), leaf())
			} else {
				add(s.one("additionalProperties", "unevaluatedProperties"), leaf())
			}
		}
	}
	if depth > 0 {
		sub := func() string { return s.schema(depth-1, rank) }
		for range 1 + s.rnd.IntN(2) {
			switch s.rnd.IntN(8) {
			case 0, 1:
				add("if", sub())
				add("then", sub())
				if s.chance(60) {
					add("else", sub())
				}
			case 2:
				add("anyOf", "["+sub()+","+sub()+"]")
			case 3:
				add("oneOf", "["+sub()+","+sub()+"]")
			case 4:
				add("allOf", "["+sub()+"]")
			case 5:
				add("not", `{"not":`+sub()+`}`)
			case 6:
				if !s.items {
					add("dependentSchemas", s.object(distinctOf(s.generator, 2, "a", "b"), func(string) string { return sub() }))
				}
			case 7:
				if rank < 2 {
					add("$ref", `"#/$defs/`+strconv.Itoa(rank+s.rnd.IntN(2-rank))+`"`)
				}
			}
		}
	}
	s.shuffle(m)
	return "{" + strings.Join(m, ",") + "}"
}

// scopes writes schema resources that refer to each other by static and dynamic references. Each allows other values of "k".
func (g *generator) scopes() (root string, resources map[string][]byte) {
	uris := []string{"http://h.example/0", "http://h.example/1", "http://h.example/2", "http://h.example/3"}
	reference := func(inPlace int) string {
		if inPlace >= 0 { // only to the resources behind, so that there is no way round
			return `"$ref":"` + g.one(uris[inPlace+1:]...) + g.one("", "", "#/$defs/in") + `"`
		}
		target := g.one("", "", g.one(uris...))
		switch g.rnd.IntN(4) {
		case 0:
			return `"$ref":"` + target + `#"`
		case 1:
			return `"$ref":"` + target + `#dyn"`
		case 2:
			return `"$dynamicRef":"` + target + g.one("#", "#/$defs/in") + `"`
		}
		return `"$dynamicRef":"` + target + `#dyn"`
	}
	bodies := make([]string, len(uris))
	for i, u := range uris {
		m := []string{`"$id":"` + u + `"`}
		anchor := g.one(`"$dynamicAnchor":"dyn"`, `"$dynamicAnchor":"dyn"`, `"$anchor":"dyn"`)
		here := g.chance(50)
		if here {
			m = append(m, anchor)
		}
		value := func() string {
			return `"k":` + g.one(`{"enum":[0,1]}`, `{"enum":[1,2]}`, `{"const":3}`, `{"enum":[0,3]}`, "true")
		}
		inner := `"properties":{` + value() + `,"b":{` + reference(-1) + `}}`
		if !here {
			inner = anchor + "," + inner
		}
		m = append(m, `"properties":{`+value()+`,"a":{`+reference(-1)+`},"c":{`+reference(-1)+`}}`)
		m = append(m, `"$defs":{"in":{`+inner+`}`)
		if i < len(uris)-1 && g.chance(70) {
			m[len(m)-1] = reference(i) + "," + m[len(m)-1]
		}
		bodies[i] = strings.Join(m, ",")
	}
	resources = map[string][]byte{}
	root = bodies[0]
	for i := 1; i < len(uris); i++ {
		if g.chance(50) {
			resources[uris[i]] = []byte("{" + bodies[i] + "}}")
			continue
		}
		root += `,"` + strconv.Itoa(i) + `":{` + bodies[i] + "}}"
	}
	return "{" + root + "}}", resources
}

// nested writes a document for scopes.
func (g *generator) nested(depth int) string {
	var m []string
	if g.chance(60) {
		m = append(m, `"k":`+strconv.Itoa(g.rnd.IntN(4)))
	}
	if depth > 0 {
		for _, n := range distinctOf(g, 2, "a", "b", "c") {
			m = append(m, `"`+n+`":`+g.nested(depth-1))
		}
	}
	return "{" + strings.Join(m, ",") + "}"
}

// with adds members to an object.
func (g *generator) with(object, members string) string {
	switch {
	case object == "{}":
		return "{" + members + "}"
	case g.chance(50):
		return "{" + members + "," + object[1:]
	}
	return object[:len(object)-1] + "," + members + "}"
}

// far writes a document that stands elsewhere. It may be of the other draft.
func (g *generator) far() string {
	other := generator{rnd: g.rnd, old: g.old}
	members := `"` + g.holder() + `":{"x":` + other.schema(2, mixed, 99) + `}`
	if !g.old {
		members += `,"$dynamicAnchor":"dyn"`
		if g.chance(50) {
			members += `,"properties":{"a":{"$dynamicRef":"#dyn"},"b":{"$ref":"#"}}`
		}
	}
	if g.chance(50) {
		members += `,"` + g.one("minProperties", "maxProperties", "minItems", "maxLength") + `":` + g.count()
	}
	return "{" + members + "}"
}

// like writes a document that has some chance with a schema: it follows what the schema names.
func (g *generator) like(schema any, depth int) string {
	m, ok := schema.(map[string]any)
	if !ok || depth <= 0 || g.chance(12) {
		return g.value(depth)
	}
	if v, ok := m["const"]; ok && g.chance(80) {
		return g.write(v)
	}
	if v, ok := m["enum"].([]any); ok && g.chance(80) {
		return g.write(v[g.rnd.IntN(len(v))])
	}
	var options []func() string
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		if l, ok := m[k].([]any); ok {
			options = append(options, func() string { return g.like(l[g.rnd.IntN(len(l))], depth) })
		}
	}
	for _, k := range []string{"if", "then", "else", "not"} {
		if s, ok := m[k]; ok {
			options = append(options, func() string { return g.like(s, depth) })
		}
	}
	if len(options) > 0 && g.chance(35) {
		return options[g.rnd.IntN(len(options))]()
	}
	about := func(keywords ...string) bool {
		return slices.ContainsFunc(keywords, func(k string) bool { _, ok := m[k]; return ok })
	}
	switch {
	case about("properties", "required", "patternProperties", "additionalProperties", "propertyNames", "dependentSchemas", "dependentRequired", "dependencies",
		"unevaluatedProperties", "minProperties", "maxProperties"):
		props, _ := m["properties"].(map[string]any)
		var list []string
		for _, n := range sortedKeys(props) {
			if g.chance(70) {
				list = append(list, n)
			}
		}
		need, _ := m["required"].([]any)
		for _, n := range need {
			if s, _ := n.(string); !slices.Contains(list, s) && g.chance(90) {
				list = append(list, s)
			}
		}
		for _, n := range g.distinctNames(g.rnd.IntN(3)) {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
		return g.object(list, func(n string) string {
			if s, ok := props[n]; ok {
				return g.like(s, depth-1)
			}
			if s, ok := m["additionalProperties"]; ok {
				return g.like(s, depth-1)
			}
			return g.value(depth - 1)
		})
	case about("items", "prefixItems", "contains", "additionalItems", "unevaluatedItems", "uniqueItems", "minItems", "maxItems"):
		list := make([]string, g.rnd.IntN(5))
		prefix, _ := m["prefixItems"].([]any)
		if old, ok := m["items"].([]any); ok {
			prefix = old
		}
		for i := range list {
			switch {
			case i < len(prefix) && g.chance(85):
				list[i] = g.like(prefix[i], depth-1)
			case about("contains") && g.chance(50):
				list[i] = g.like(m["contains"], depth-1)
			case i > 0 && g.chance(10):
				list[i] = list[i-1]
			case about("items") && g.chance(80):
				list[i] = g.like(m["items"], depth-1)
			default:
				list[i] = g.value(depth - 1)
			}
		}
		return "[" + strings.Join(list, g.comma()) + "]"
	case about("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
		if g.chance(30) { // a bound itself
			for _, k := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} {
				if v, ok := m[k]; ok {
					return g.write(v)
				}
			}
		}
		return g.number()
	case about("minLength", "maxLength", "pattern", "format"):
		return g.quoted(g.text())
	}
	return g.value(depth)
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// write spells a value anew.
func (g *generator) write(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return g.quoted(v)
	case []any:
		list := make([]string, len(v))
		for i := range v {
			list[i] = g.write(v[i])
		}
		return "[" + strings.Join(list, ",") + "]"
	case map[string]any:
		return g.object(sortedKeys(v), func(n string) string { return g.write(v[n]) })
	}
	s := fmt.Sprint(v)
	if !strings.ContainsAny(s, "eE") && g.chance(40) {
		if strings.Contains(s, ".") {
			return s + g.one("0", "00", "e0", "0E+0")
		}
		if strings.TrimLeft(s, "-0") == "" {
			return s + g.one(".0", "e7")
		}
		return s + g.one(".0", "e0", ".00e-0", "0e-1")
	}
	return s
}
