package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

func decode(t testing.TB, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// judge runs the program over doc.
func judge(t testing.TB, p *schema.Program, doc []byte) (accepted bool, why schema.Failure) {
	t.Helper()
	var m schema.Machine
	m.Start(p, false, true)
	err := jsonscan.Scan(doc, nil, &m)
	if err != nil && !errors.Is(err, schema.ErrRefused) {
		t.Fatalf("%s: %v", doc, err)
	}
	return err == nil, m.Failure()
}

// oracle compiles a schema with santhosh-tekuri/jsonschema/v5. ok is false when that panics, as it does for some numbers.
func oracle(raw []byte) (accepts func(doc any) (verdict, ok bool), err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("panic")
		}
	}()
	c := jsonschema.NewCompiler()
	c.AssertFormat = true
	c.LoadURL = func(string) (io.ReadCloser, error) { return nil, errors.New("nothing is loaded") }
	if err := c.AddResource("mem:///s.json", bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	s, err := c.Compile("mem:///s.json")
	if err != nil {
		return nil, err
	}
	return func(doc any) (verdict, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		err := s.Validate(doc)
		var loop jsonschema.InfiniteLoopError
		return err == nil, !errors.As(err, &loop)
	}, nil
}

func formats() map[string]func(string) bool {
	all := map[string]func(string) bool{}
	for name, holds := range jsonschema.Formats {
		all[name] = func(s string) bool { return holds(s) }
	}
	return all
}

// compare fails when the two disagree about doc.
func compare(t *testing.T, p *schema.Program, accepts func(any) (bool, bool), raw, doc []byte) (verdict, compared bool) {
	t.Helper()
	want, ok := accepts(decode(t, doc))
	got, why := judge(t, p, doc)
	if ok && got != want {
		t.Fatalf("schema %s\ndocument %s\naccepted %v, the engine says %v (%+v)", raw, doc, got, want, why)
	}
	return got, ok
}

// Random schemas over all keywords, and random documents: the program and the engine agree.
func TestTheProgramAgreesWithTheEngine(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	accepted, refused, unfit := 0, 0, 0
	rounds := 6000
	if testing.Short() {
		rounds = 600
	}
	for i := range rounds {
		g := generator{Rand: rng, old: i%3 == 0}
		defs := "$defs"
		if g.old {
			defs = "definitions"
		}
		g.ref = "#/" + defs + "/"
		doc := map[string]any{"allOf": []any{g.schema(4)}, defs: map[string]any{"a": g.schema(2), "b": g.schema(2)}}
		if g.old {
			doc["$schema"] = "http://json-schema.org/draft-07/schema#"
		}
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		accepts, err := oracle(raw)
		if err != nil {
			unfit++
			continue
		}
		p, err := schema.Compile(decode(t, raw), schema.Options{Formats: formats()})
		if err != nil {
			if !strings.Contains(err.Error(), "refers to itself") {
				t.Fatalf("%s: %v", raw, err)
			}
			unfit++
			continue
		}
		for range 20 {
			b, _ := json.Marshal(g.doc(3))
			if verdict, ok := compare(t, p, accepts, raw, b); !ok {
				unfit++
			} else if verdict {
				accepted++
			} else {
				refused++
			}
		}
	}
	t.Logf("%d accepted, %d refused, %d not comparable", accepted, refused, unfit)
	if accepted < 2*rounds || refused < 2*rounds {
		t.Errorf("one-sided: %d accepted, %d refused, %d not comparable", accepted, refused, unfit)
	}
}

// FuzzProgram: for every schema that the engine compiles, the program compiles too or says why not, and no document is judged
// differently. The documented differences are faults of the engine: an empty enum, $dynamicRef past a resource that is not in
// the dynamic scope, and numbers whose exponent it cannot take.
func FuzzProgram(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		g := generator{Rand: rng, ref: "#/$defs/", old: i%4 == 0}
		raw, _ := json.Marshal(map[string]any{"allOf": []any{g.schema(3)}, "$defs": map[string]any{"a": g.schema(2), "b": g.schema(2)}})
		doc, _ := json.Marshal(g.doc(3))
		f.Add(raw, doc)
	}
	for _, s := range []string{`{"$anchor":"x","items":{"$ref":"#x"}}`, `{"$id":"http://a/b","$defs":{"c":{"$id":"c","type":"null"}},"$ref":"c"}`,
		`{"unevaluatedProperties":false,"if":{"properties":{"a":true}},"then":{"patternProperties":{"b":true}}}`, `{"multipleOf":0.01,"minimum":1e-3}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"null"}],"additionalItems":false,"dependencies":{"a":["b"],"b":{"minProperties":2}}}`,
		`{"uniqueItems":true,"contains":{"const":{"a":[1]}},"minContains":0,"maxContains":1}`} {
		for _, d := range []string{`[]`, `{"a":{"b":[1,1.0]},"b":null}`, `[[[]],1.5,"x",{"a":[1.0]},{"a":[1]}]`, `0.03`} {
			f.Add([]byte(s), []byte(d))
		}
	}
	f.Fuzz(func(t *testing.T, raw, doc []byte) {
		if len(raw) > 1000 || len(doc) > 1000 || jsonscan.Scan(doc, nil, nil) != nil || jsonscan.Scan(raw, nil, nil) != nil {
			return
		}
		if bytes.Contains(raw, []byte("dynamic")) || bytes.Contains(raw, []byte(`"enum"`)) && bytes.Contains(raw, []byte("[]")) {
			return
		}
		accepts, err := oracle(raw)
		if err != nil {
			return
		}
		p, err := schema.Compile(decode(t, raw), schema.Options{Formats: formats()})
		if err != nil {
			return
		}
		compare(t, p, accepts, raw, doc)
	})
}

// generator makes random schemas and documents over few names and values, so that they meet.
type generator struct {
	*rand.Rand
	ref string
	old bool // draft 7
}

func (g generator) name() string { return string(rune('a' + g.IntN(3))) }

func (g generator) doc(depth int) any {
	switch n := g.IntN(9); {
	case n <= 1 && depth > 0:
		list := make([]any, g.IntN(4))
		for i := range list {
			list[i] = g.doc(depth - 1)
		}
		return list
	case n <= 4 && depth > 0:
		m := map[string]any{}
		for range g.IntN(4) {
			m[g.name()] = g.doc(depth - 1)
		}
		return m
	}
	return []any{nil, true, false, "", "a", "ab", "ä", "😀b", "2020-01-01", "a\"\\", 0, 1, 2, -1, json.Number("1.0"), json.Number("0.5"), json.Number("-0.5"),
		json.Number("1e0"), json.Number("15e-1"), json.Number("1e20"), json.Number("100000000000000000000.5")}[g.IntN(21)]
}

func (g generator) schema(depth int) any {
	if g.IntN(12) == 0 || depth == 0 {
		return []any{true, true, false, map[string]any{}, map[string]any{"$ref": g.ref + "a"}, map[string]any{"$ref": g.ref + "b"}}[g.IntN(6)]
	}
	s := map[string]any{}
	sub := func() any { return g.schema(depth - 1) }
	subs := func() any {
		list := make([]any, 1+g.IntN(3))
		for i := range list {
			list[i] = sub()
		}
		return list
	}
	types := []string{"null", "boolean", "integer", "number", "string", "array", "object"}
	for range 1 + g.IntN(3) {
		switch g.IntN(36) {
		case 0:
			s["type"] = types[g.IntN(7)]
		case 1:
			i, j := g.IntN(7), g.IntN(6)
			if j >= i {
				j++
			}
			s["type"] = []string{types[i], types[j]}
		case 2:
			s["enum"] = []any{"a", g.doc(0), g.doc(1)}
		case 3:
			s["const"] = g.doc(1)
		case 4:
			s["minimum"] = g.IntN(4) - 2
		case 5:
			s["exclusiveMaximum"] = []any{0, 1, 2, 0.5}[g.IntN(4)]
		case 6:
			s["maxLength"] = g.IntN(3)
		case 7:
			s["minLength"] = g.IntN(3)
		case 8:
			s["pattern"] = "^a"
		case 9:
			s["required"] = []string{g.name()}
		case 10, 11, 12:
			s["properties"] = map[string]any{"a": sub(), "b": sub()}
		case 13:
			s["additionalProperties"] = sub()
		case 14:
			s["items"] = sub()
		case 15:
			s["maxItems"] = g.IntN(3)
		case 16:
			s["maxProperties"] = g.IntN(3)
		case 17:
			s["allOf"] = subs()
		case 18, 19:
			s["anyOf"] = subs()
		case 20, 21:
			s["oneOf"] = subs()
		case 22:
			s["not"] = sub()
		case 23, 24:
			s["if"], s["then"], s["else"] = sub(), sub(), sub()
		case 25:
			s["propertyNames"] = sub()
		case 26:
			s["uniqueItems"] = true
		case 27:
			s["multipleOf"] = []any{1, 2, 0.5, json.Number("0.1"), json.Number("1e-3"), json.Number("7")}[g.IntN(6)]
		case 28:
			s["patternProperties"] = map[string]any{"^[ab]": sub(), "c": sub()}
		case 29:
			if s["contains"] = sub(); !g.old {
				s["minContains"], s["maxContains"] = g.IntN(2), 1+g.IntN(2)
			}
		case 30:
			if g.old {
				s["dependencies"] = map[string]any{"a": []string{"b"}, "b": sub()}
			} else {
				s["dependentRequired"] = map[string]any{"a": []string{"b", "c"}}
			}
		case 31:
			if !g.old {
				s["dependentSchemas"] = map[string]any{"a": sub(), "c": sub()}
			}
		case 32:
			if g.old {
				s["items"], s["additionalItems"] = subs(), sub()
			} else {
				s["prefixItems"] = subs()
			}
		case 33:
			if !g.old {
				s["unevaluatedProperties"] = sub()
			}
		case 34:
			if !g.old {
				s["unevaluatedItems"] = sub()
			}
		case 35:
			s["format"] = "date"
		}
	}
	return s
}
