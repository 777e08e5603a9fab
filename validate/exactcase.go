package validate

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// shape is what the names in a JSON text mean to a Go type: which are fields, and what is below. A nil shape is a type
// that has no field names of its own below it.
type shape struct {
	fields map[string]*shape // struct: by exact JSON name
	folded map[string]bool   // struct: the same names, case-folded
	elem   *shape            // map, slice, array
	object bool              // a struct
}

var (
	shapes sync.Map // reflect.Type to *shape

	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// exactCase refuses data when one of its names would fill a field of t only because encoding/json ignores case.
func exactCase(data []byte, t reflect.Type) *Error {
	s := shapeOf(t)
	if s == nil {
		return nil
	}
	c := caseCheck{data: data, open: []*shape{s}}
	// The text was scanned before with the limits that apply; here they are off. After a rewrite it is scanned for the
	// first time: then this is what keeps broken JSON out.
	err := jsonscan.Scan(data, &unlimited, &c)
	if err == nil {
		return nil
	}
	if errors.Is(err, errCase) {
		e := refuse(deny.SchemaViolation)
		e.Keyword, e.Message = "case", sentence("case", deny.SchemaViolation)
		return e
	}
	e := refuse(deny.InvalidJSON)
	e.cause = err
	return e
}

// errCase stops the scan.
var errCase = errors.New("validate: name differs by case")

// caseCheck walks a text along a shape. open[d] is the shape of the container at depth d.
type caseCheck struct {
	data []byte
	open []*shape
	name []byte
}

// Visit implements jsonscan.Visitor.
func (c *caseCheck) Visit(p *jsonscan.Path, k jsonscan.Kind, _, _ int) error {
	if k == jsonscan.ObjectEnd || k == jsonscan.ArrayEnd {
		return nil
	}
	depth := p.Depth()
	if depth == 0 {
		return nil
	}
	parent, child := c.open[depth-1], (*shape)(nil)
	if parent != nil {
		raw, named := p.Key(depth - 1)
		switch {
		case !named, !parent.object:
			child = parent.elem
		default:
			c.name = jsonscan.AppendUnquoted(c.name[:0], raw)
			sub, known := parent.fields[string(c.name)]
			if !known && parent.folded[foldName(string(c.name))] {
				return errCase
			}
			child = sub
		}
	}
	if k == jsonscan.ObjectStart || k == jsonscan.ArrayStart {
		c.open = append(c.open[:depth], child)
	}
	return nil
}

// shapeOf returns the shape of t, from the cache if it was asked for before.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := buildShape(t, map[reflect.Type]*shape{})
	shapes.Store(t, s)
	return s
}

// buildShape walks a type; seen ends the recursion of types that contain themselves.
func buildShape(t reflect.Type, seen map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := seen[t]; ok {
		return s
	}
	if p := reflect.PointerTo(t); p.Implements(unmarshaler) || p.Implements(textUnmarshaler) {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		s := &shape{object: true, fields: map[string]*shape{}, folded: map[string]bool{}}
		seen[t] = s
		for _, f := range fieldsOf(t) {
			s.fields[f.name] = buildShape(f.of.Type, seen)
			s.folded[foldName(f.name)] = true
		}
		return s
	case reflect.Map, reflect.Slice, reflect.Array:
		s := &shape{}
		seen[t] = s
		s.elem = buildShape(t.Elem(), seen)
		return s
	}
	return nil
}
