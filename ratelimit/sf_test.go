package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
)

// A parser of Structured Field Lists (RFC 9651 section 4.2), for the kinds of items that can occur in ours, strict about all
// the rest. It is checked against the HTTP working group's vectors below.

type sfItem struct {
	value  any // string, int64, bool, sfToken
	params []sfParam
}
type sfParam struct {
	key   string
	value any
}
type sfToken string

func (i sfItem) param(k string) (any, bool) {
	for _, p := range i.params {
		if p.key == k {
			return p.value, true
		}
	}
	return nil, false
}

type sfParser struct{ s string }

func parseSFList(s string) (items []sfItem, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v at %q", r, s)
		}
	}()
	p := &sfParser{strings.TrimLeft(s, " ")}
	for p.s != "" {
		it := sfItem{value: p.bare()}
		it.params = p.params()
		items = append(items, it)
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return items, nil
		}
		if p.s[0] != ',' {
			panic("no comma")
		}
		if p.s = strings.TrimLeft(p.s[1:], " \t"); p.s == "" {
			panic("trailing comma")
		}
	}
	return items, nil
}

func (p *sfParser) params() (out []sfParam) {
	for strings.HasPrefix(p.s, ";") {
		p.s = strings.TrimLeft(p.s[1:], " ")
		i := 0
		for i < len(p.s) && (p.s[i] >= 'a' && p.s[i] <= 'z' || p.s[i] == '*' || i > 0 && (p.s[i] >= '0' && p.s[i] <= '9' || strings.IndexByte("_-.", p.s[i]) >= 0)) {
			i++
		}
		if i == 0 {
			panic("no key")
		}
		k := p.s[:i]
		p.s = p.s[i:]
		var v any = true
		if strings.HasPrefix(p.s, "=") {
			p.s = p.s[1:]
			v = p.bare()
		}
		found := false
		for j := range out {
			if out[j].key == k {
				out[j].value, found = v, true
			}
		}
		if !found {
			out = append(out, sfParam{k, v})
		}
	}
	return out
}

func (p *sfParser) bare() any {
	if p.s == "" {
		panic("empty")
	}
	c := p.s[0]
	switch {
	case c == '"':
		var b strings.Builder
		for i := 1; i < len(p.s); i++ {
			switch c := p.s[i]; {
			case c == '\\':
				if i++; i == len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
					panic("bad escape")
				}
				b.WriteByte(p.s[i])
			case c == '"':
				p.s = p.s[i+1:]
				return b.String()
			case c < 0x20 || c >= 0x7f:
				panic("bad character")
			default:
				b.WriteByte(c)
			}
		}
		panic("unterminated")
	case c == '-' || c >= '0' && c <= '9':
		i := 0
		if c == '-' {
			i++
		}
		for i < len(p.s) && p.s[i] >= '0' && p.s[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(p.s[:i], 10, 64)
		if err != nil || len(strings.TrimPrefix(p.s[:i], "-")) > 15 {
			panic("bad integer")
		}
		if p.s = p.s[i:]; strings.HasPrefix(p.s, ".") {
			panic("a decimal")
		}
		return n
	case c == '?':
		if len(p.s) < 2 || p.s[1] != '0' && p.s[1] != '1' {
			panic("bad boolean")
		}
		v := p.s[1] == '1'
		p.s = p.s[2:]
		return v
	case c == '*' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		i := 0
		for i < len(p.s) && (p.s[i] >= 'a' && p.s[i] <= 'z' || p.s[i] >= 'A' && p.s[i] <= 'Z' || p.s[i] >= '0' && p.s[i] <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~:/", p.s[i]) >= 0) {
			i++
		}
		v := sfToken(p.s[:i])
		p.s = p.s[i:]
		return v
	}
	panic("unknown item")
}

func TestTheTestParserOfStructuredFieldsPassesThePublishedVectors(t *testing.T) {
	n := 0
	for _, file := range []string{"list.json", "string.json", "param-list.json", "string-generated.json"} {
		var cases []struct {
			Name       string
			Raw        []string
			HeaderType string `json:"header_type"`
			MustFail   bool   `json:"must_fail"`
			CanFail    bool   `json:"can_fail"`
			Expected   any
		}
		if err := json.Unmarshal(corpus.Read(t, "conformance/structured-fields/"+file), &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			raw := strings.Join(c.Raw, ", ")
			if c.HeaderType == "dictionary" || !c.MustFail && strings.ContainsAny(raw, "(:@%") || strings.Contains(raw, ".") {
				continue // kinds we never write
			}
			items, err := parseSFList(raw)
			if (err != nil) != c.MustFail && !c.CanFail {
				t.Errorf("%s %q: %v, must fail: %v", file, c.Name, err, c.MustFail)
			}
			n++
			exp, _ := c.Expected.([]any)
			if err == nil && c.HeaderType == "list" && len(items) != len(exp) {
				t.Errorf("%s %q: %d items, want %d", file, c.Name, len(items), len(exp))
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d vectors", n)
	}
}
