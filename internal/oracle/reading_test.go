package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// A text is read by three readers into the same form: its tokens in order, names and strings decoded, numbers as written.
// Two texts are the same document exactly if these lists are equal.
type tokens []string

func text(s string) string { return `"` + string([]rune(s)) } // bytes that are not UTF-8 become U+FFFD one by one

// byStandard is encoding/json's reading of a text that it calls valid.
func byStandard(t testing.TB, data []byte) (list tokens) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		tok, err := d.Token()
		switch tok := tok.(type) {
		case nil:
			if err == io.EOF {
				return list
			}
			if err != nil {
				t.Fatalf("encoding/json calls %q valid and cannot read it: %v", data, err)
			}
			list = append(list, "null")
		case json.Delim:
			list = append(list, tok.String())
		case string:
			list = append(list, text(tok))
		default: // json.Number, bool
			list = append(list, fmt.Sprint(tok))
		}
	}
}

// byScan is the scanner's reading, put together from what a visitor is told.
type byScan struct {
	data []byte
	list tokens
}

func (r *byScan) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	if k != jsonscan.ObjectEnd && k != jsonscan.ArrayEnd {
		if raw, ok := p.Key(p.Depth() - 1); ok {
			name := string(jsonscan.AppendUnquoted(nil, raw))
			if !jsonscan.EqualUnquoted(raw, name) {
				return fmt.Errorf("%q does not equal its own text", raw)
			}
			if p.Escaped(p.Depth()-1) != bytes.Contains(raw, []byte(`\`)) {
				return fmt.Errorf("%q: Escaped says %v", raw, p.Escaped(p.Depth()-1))
			}
			r.list = append(r.list, text(name))
		}
	}
	if k == jsonscan.String {
		r.list = append(r.list, text(string(jsonscan.AppendUnquoted(nil, r.data[start+1:end-1]))))
	} else {
		r.list = append(r.list, string(r.data[start:end]))
	}
	return nil
}

// peer is jsontext's reading of a text without its own rules about names and text, and with it all that a rule of ours could
// have an opinion on.
type peer struct {
	list tokens
	max  map[string]int // the largest of what each limit bounds
	dup  bool           // two siblings have the same name
	fold bool           // two siblings have names that strings.EqualFold calls equal
}

// byPeer returns ok false when the text is not JSON.
func byPeer(t testing.TB, data []byte) (r peer, ok bool) {
	t.Helper()
	lenient := []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	if !jsontext.Value(data).IsValid(lenient...) {
		return r, false
	}
	r.max = map[string]int{"Bytes": len(data)}
	most := func(limit string, n int) { r.max[limit] = max(r.max[limit], n) }
	type open struct {
		object bool
		n      int
		names  []string
	}
	var stack []open
	d := jsontext.NewDecoder(bytes.NewReader(data), lenient...)
	for {
		kind := d.PeekKind()
		if kind == '}' || kind == ']' {
			stack = stack[:len(stack)-1]
			r.list = append(r.list, string(kind))
			if _, err := d.ReadToken(); err != nil {
				t.Fatalf("jsontext calls %q valid and cannot read it: %v", data, err)
			}
			continue
		}
		isName := false
		if n := len(stack); n > 0 && d.PeekKind() != 0 {
			o := &stack[n-1]
			if isName = o.object && o.n%2 == 0; isName {
				most("Keys", o.n/2+1)
				r.max["TotalKeys"]++
			} else if !o.object {
				most("ArrayLen", o.n+1)
			}
			o.n++
		}
		if kind == '{' || kind == '[' {
			r.max["Nodes"]++
			stack = append(stack, open{object: kind == '{'})
			most("Depth", len(stack))
			r.list = append(r.list, string(kind))
			if _, err := d.ReadToken(); err != nil {
				t.Fatalf("jsontext calls %q valid and cannot read it: %v", data, err)
			}
			continue
		}
		raw, err := d.ReadValue()
		if errors.Is(err, io.EOF) {
			return r, true
		}
		if err != nil {
			t.Fatalf("jsontext calls %q valid and cannot read it: %v", data, err)
		}
		if kind == '"' {
			b, err := jsontext.AppendUnquote(nil, []byte(raw))
			if err != nil && !bytes.ContainsRune(b, '\ufffd') {
				t.Fatalf("jsontext cannot read the string %q: %v", raw, err)
			}
			s := string(b)
			r.list = append(r.list, text(s))
			if !isName {
				r.max["Nodes"]++
				most("StringLen", len(raw)-2)
				continue
			}
			most("KeyLen", len(raw)-2)
			o := &stack[len(stack)-1]
			for _, other := range o.names {
				r.dup = r.dup || other == s
				r.fold = r.fold || other != s && strings.EqualFold(other, s)
			}
			o.names = append(o.names, s)
			continue
		}
		r.max["Nodes"]++
		r.list = append(r.list, string(raw))
		if kind == '0' {
			most("NumberLen", len(raw))
			most("Exponent", exponent(string(raw)))
		}
	}
}

// exponent returns the written exponent of a number without its sign, at most a million.
func exponent(raw string) int {
	_, digits, _ := strings.Cut(strings.ToLower(raw), "e")
	digits = strings.TrimLeft(digits, "+-0")
	if len(digits) > 6 {
		return 1_000_000
	}
	n := 0
	fmt.Sscan(digits, &n)
	return n
}
