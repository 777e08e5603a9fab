// Package strict reads what packages of the auth room get from outside: base64url, and JSON objects of claims.
//
// One value has one spelling here. Base64url has no padding, no stray characters and no set bits at its end (RFC 7515 section 2). An
// object has no member twice, and none whose name differs from a known one by case only: another program would take it for that one
// (RFC 8725 section 2.4). A known member of the wrong type is a fault of the whole object, never "absent".
package strict

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// sextets maps a character of the base64url alphabet (RFC 4648 section 5) to its value, any other to 0xff.
var sextets = func() (t [256]uint8) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = uint8(i)
	}
	return t
}()

// AppendBase64URL appends the bytes that s encodes and reports whether s is their only spelling: alphabet characters and
// nothing else, no padding, unused bits zero. encoding/base64 skips line breaks even when it is strict.
func AppendBase64URL(dst []byte, s string) ([]byte, bool) {
	dst = slices.Grow(dst, len(s)/4*3+8)
	n := len(dst)
	for ; len(s) >= 8; s = s[8:] {
		a, b, c, d := sextets[s[0]], sextets[s[1]], sextets[s[2]], sextets[s[3]]
		e, f, g, h := sextets[s[4]], sextets[s[5]], sextets[s[6]], sextets[s[7]]
		if a|b|c|d|e|f|g|h >= 0x80 {
			return dst, false
		}
		// Six bytes and two that the next ones overwrite.
		binary.BigEndian.PutUint64(dst[n:n+8], uint64(a)<<58|uint64(b)<<52|uint64(c)<<46|uint64(d)<<40|uint64(e)<<34|uint64(f)<<28|uint64(g)<<22|uint64(h)<<16)
		n += 6
	}
	dst = dst[:n]
	if len(s) >= 4 {
		a, b, c, d := sextets[s[0]], sextets[s[1]], sextets[s[2]], sextets[s[3]]
		if a|b|c|d >= 0x80 {
			return dst, false
		}
		dst, s = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d), s[4:]
	}
	switch len(s) {
	case 0:
		return dst, true
	case 2:
		a, b := sextets[s[0]], sextets[s[1]]
		if a|b >= 0x80 || b&0x0f != 0 {
			return dst, false
		}
		return append(dst, a<<2|b>>4), true
	case 3:
		a, b, c := sextets[s[0]], sextets[s[1]], sextets[s[2]]
		if a|b|c >= 0x80 || c&0x03 != 0 {
			return dst, false
		}
		return append(dst, a<<2|b>>4, b<<4|c>>2), true
	}
	return dst, false // a single character encodes no byte
}

// Base64URL is [AppendBase64URL] to nothing.
func Base64URL(s string) ([]byte, bool) { return AppendBase64URL(nil, s) }

// maxName bounds a text that names something.
const maxName = 512

var limits = jsonscan.Limits{Bytes: -1, Depth: 16, Keys: 128, TotalKeys: 1024, ArrayLen: 1024, Nodes: 4096, NumberLen: 32, Exponent: 10}

// Object is the top level of one JSON object. Its getters return the zero value for a member that is absent; for one of the wrong
// type they make [Object.OK] false. It is not safe for concurrent use.
type Object struct {
	data []byte
	list []member
	bad  bool
}

type member struct {
	name       string
	kind       jsonscan.Kind
	start, end int
}

// Read scans data, which must be one JSON object and is not changed as long as the Object is used. ok is false for any other text, and
// for an object that has a member whose name is one of known but for case.
func Read(data []byte, known ...string) (o *Object, ok bool) {
	o = &Object{data: data}
	if jsonscan.Scan(data, &limits, o) != nil || o.bad {
		return nil, false
	}
	for _, m := range o.list {
		if !slices.Contains(known, m.name) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, m.name) }) {
			return nil, false
		}
	}
	return o, true
}

// Visit implements [jsonscan.Visitor].
func (o *Object) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch p.Depth() {
	case 0:
		o.bad = o.bad || k != jsonscan.ObjectStart && k != jsonscan.ObjectEnd
	case 1:
		if k == jsonscan.ObjectEnd || k == jsonscan.ArrayEnd {
			o.list[len(o.list)-1].end = end
			return nil
		}
		raw, _ := p.Key(0)
		o.list = append(o.list, member{string(jsonscan.AppendUnquoted(nil, raw)), k, start, end})
	}
	return nil
}

func (o *Object) find(name string) *member {
	for i := range o.list {
		if o.list[i].name == name {
			return &o.list[i]
		}
	}
	return nil
}

// of returns the member of this name if it is of kind k; one of another kind is a fault.
func (o *Object) of(name string, k jsonscan.Kind) *member {
	m := o.find(name)
	if m != nil && m.kind != k {
		o.bad = true
		return nil
	}
	return m
}

// OK reports whether every member that was asked for had the right type.
func (o *Object) OK() bool { return !o.bad }

// Has reports whether there is a member of this name, of any type.
func (o *Object) Has(name string) bool { return o.find(name) != nil }

// Text returns a string of at most 512 bytes without control characters.
func (o *Object) Text(name string) string {
	m := o.of(name, jsonscan.String)
	if m == nil {
		return ""
	}
	return o.text(o.data[m.start+1 : m.end-1])
}

func (o *Object) text(raw []byte) string {
	s := string(jsonscan.AppendUnquoted(nil, raw))
	if len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		o.bad = true
		return ""
	}
	return s
}

// Long is [Object.Text] without a bound of its own, for what the caller bounds.
func (o *Object) Long(name string) string {
	m := o.of(name, jsonscan.String)
	if m == nil {
		return ""
	}
	return string(jsonscan.AppendUnquoted(nil, o.data[m.start+1:m.end-1]))
}

// True reports whether the member is true; it must be true or false.
func (o *Object) True(name string) bool {
	m := o.find(name)
	if m != nil && m.kind != jsonscan.True && m.kind != jsonscan.False {
		o.bad = true
	}
	return m != nil && m.kind == jsonscan.True
}

// Time returns a NumericDate (RFC 7519 section 2): digits, perhaps a fraction, up to the year 9999. Signs and exponents are faults:
// nobody writes them, and 1e308 is a date in no other program. up rounds a fraction up, which shortens a life at its begin as
// rounding down does at its end.
func (o *Object) Time(name string, up bool) time.Time {
	m := o.of(name, jsonscan.Number)
	if m == nil {
		return time.Time{}
	}
	whole, fraction, dot := strings.Cut(string(o.data[m.start:m.end]), ".")
	var n int64
	for i := range len(whole) {
		n = n*10 + int64(whole[i]-'0')
	}
	if len(whole) > 12 || strings.Trim(whole+fraction, "0123456789") != "" || n > 253402300798 {
		o.bad = true
		return time.Time{}
	}
	if dot && up {
		n++
	}
	return time.Unix(n, 0).UTC()
}

// Words returns the words of a string separated by spaces, or the elements of an array of strings.
func (o *Object) Words(name string) []string {
	m := o.find(name)
	if m == nil || m.kind != jsonscan.String {
		return o.Strings(name)
	}
	s := string(jsonscan.AppendUnquoted(nil, o.data[m.start+1:m.end-1]))
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		o.bad = true
		return nil
	}
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
}

// Strings returns the elements of an array of strings, or a string as the only element. None is empty or longer than 512 bytes.
func (o *Object) Strings(name string) []string {
	m := o.find(name)
	if m == nil {
		return nil
	}
	list := elements{o: o, at: m.start}
	// The text was scanned as part of the object, so this cannot fail for any other reason than the visitor's.
	if jsonscan.Scan(o.data[m.start:m.end], &limits, &list) != nil || list.bad {
		o.bad = true
		return nil
	}
	return list.out
}

// elements collects the strings of an array, or one string.
type elements struct {
	o   *Object
	at  int
	out []string
	bad bool
}

// Visit implements [jsonscan.Visitor].
func (e *elements) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch {
	case k == jsonscan.String && p.Depth() <= 1:
		s := e.o.text(e.o.data[e.at+start+1 : e.at+end-1])
		e.bad = e.bad || s == ""
		e.out = append(e.out, s)
	case p.Depth() == 0 && (k == jsonscan.ArrayStart || k == jsonscan.ArrayEnd):
	default:
		e.bad = true
	}
	return nil
}

// Object returns the object that is this member, nil when it is absent. Known are the names of its members as in [Read].
func (o *Object) Object(name string, known ...string) *Object {
	m := o.of(name, jsonscan.ObjectStart)
	if m == nil {
		return nil
	}
	c, ok := Read(o.data[m.start:m.end], known...)
	if !ok {
		o.bad = true
		return nil
	}
	return c
}

// Names returns the names of all members in document order.
func (o *Object) Names() []string {
	names := make([]string, len(o.list))
	for i, m := range o.list {
		names[i] = m.name
	}
	return names
}

// Confirmation reads the members of a cnf claim (RFC 7800). ok is false when there is none that can be checked (jkt of RFC 9449,
// x5t#S256 of RFC 8705), or any that cannot: a token whose holder must prove something is worth nothing without that proof.
func Confirmation(cnf *Object) (jkt, x5t string, ok bool) {
	for _, name := range cnf.Names() {
		switch name {
		case "jkt":
			jkt = cnf.Text(name)
			ok = IsDigest(jkt)
		case "x5t#S256":
			x5t = cnf.Text(name)
			ok = IsDigest(x5t)
		default:
			ok = false
		}
		if !ok {
			return "", "", false
		}
	}
	return jkt, x5t, ok
}

// IsDigest reports whether s is a SHA-256 in base64url.
func IsDigest(s string) bool {
	b, ok := Base64URL(s)
	return ok && len(b) == 32
}
