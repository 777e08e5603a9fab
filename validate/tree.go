package validate

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// An engine wants a tree. Parsing the body a second time for it would cost as much as everything else in front of the
// engine together, so the one scan writes down where each value stands, and the tree is made from those notes: only for
// a body that was accepted to its last byte, and with every container in its final size.

// tape is the notes of one scan: one entry per value, in document order. It holds positions only, so that it can be used
// again; the tree never is, because nothing says how long an engine holds on to what it was given.
type tape struct {
	values []noted
	open   []int // the containers that are open, as indexes of values
	items  int   // the number of elements of all arrays together
	deep   bool  // nested deeper than maxTreeDepth
}

// noted is one value.
type noted struct {
	key, keyEnd int // the member name between its quotes; 0 for an element
	start, end  int // the value; for a container end is the number of its members or elements
	kind        jsonscan.Kind
	escaped     bool // the name has a backslash
}

// maxTreeDepth is where encoding/json stops. Limits.Depth may be off, and a tree is walked by recursion, here and in the
// engine.
const maxTreeDepth = 10_000

var errTooDeep = errors.New("validate: nested too deeply for a schema")

func (t *tape) reset() { *t = tape{values: t.values[:0], open: t.open[:0]} }

func (t *tape) small() bool { return cap(t.values) <= 1<<12 && cap(t.open) <= 1<<10 }

// note takes down one event of a scan.
func (t *tape) note(p *jsonscan.Path, k jsonscan.Kind, start, end int) {
	level := len(t.open) - 1
	switch k {
	case jsonscan.ObjectEnd, jsonscan.ArrayEnd:
		t.open = t.open[:level]
	default:
		n := noted{start: start, end: end, kind: k}
		if level >= 0 {
			parent := &t.values[t.open[level]]
			parent.end++
			if parent.kind == jsonscan.ObjectStart {
				// The name is a part of the scanned bytes up to their very end, so its capacity says where it begins.
				name, _ := p.Key(level)
				n.key = cap(p.Data()) - cap(name)
				n.keyEnd = n.key + len(name)
				n.escaped = p.Escaped(level)
			} else {
				t.items++
			}
		}
		if k == jsonscan.ObjectStart || k == jsonscan.ArrayStart {
			n.end = 0
			t.open = append(t.open, len(t.values))
			t.deep = t.deep || len(t.open) > maxTreeDepth
		}
		t.values = append(t.values, n)
	}
}

// tree returns what encoding/json with UseNumber makes of body, which is the text that was scanned. The strings of the
// tree share one copy of body: nobody can change them under the engine's hands.
func (t *tape) tree(body []byte) (any, error) {
	if t.deep {
		return nil, errTooDeep
	}
	b := builder{values: t.values, raw: body, text: string(body), items: make([]any, t.items)}
	return b.value(), nil
}

// builder makes the tree.
type builder struct {
	values  []noted
	next    int // the first of values that is not in the tree yet
	raw     []byte
	text    string // raw
	items   []any  // room for the elements of the arrays to come
	scratch []byte
}

func (b *builder) value() any {
	n := &b.values[b.next]
	b.next++
	switch n.kind {
	case jsonscan.ObjectStart:
		m := make(map[string]any, n.end)
		for range n.end {
			member := &b.values[b.next]
			name := b.text[member.key:member.keyEnd]
			if member.escaped {
				name = b.unquote(member.key, member.keyEnd)
			}
			m[name] = b.value() // of equal names the last one stays
		}
		return m
	case jsonscan.ArrayStart:
		list := b.items[:n.end:n.end]
		b.items = b.items[n.end:]
		for i := range list {
			list[i] = b.value()
		}
		return list
	case jsonscan.String:
		s := b.text[n.start+1 : n.end-1]
		if strings.IndexByte(s, '\\') >= 0 {
			s = b.unquote(n.start+1, n.end-1)
		}
		return s
	case jsonscan.Number:
		return json.Number(b.text[n.start:n.end])
	case jsonscan.True:
		return true
	case jsonscan.False:
		return false
	}
	return nil
}

// unquote decodes the escapes of a string.
func (b *builder) unquote(start, end int) string {
	b.scratch = jsonscan.AppendUnquoted(b.scratch[:0], b.raw[start:end])
	return string(b.scratch)
}
