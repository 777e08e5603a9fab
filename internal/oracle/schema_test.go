package oracle

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	google "github.com/google/jsonschema-go/jsonschema"
	js6 "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mantlet-go/mantlet/validate"
)

// byV6 compiles a schema with jsonschema v6. The verdict is ok false when that panics, as it does for numbers beyond big.Rat.
func byV6(raw []byte) (accepts func(doc []byte) (verdict, ok bool), err error) {
	defer func() {
		if recover() != nil {
			accepts, err = nil, errPanic
		}
	}()
	c := js6.NewCompiler()
	parsed, err := js6.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if err := c.AddResource("mem:///s.json", parsed); err != nil {
		return nil, err
	}
	s, err := c.Compile("mem:///s.json")
	if err != nil {
		return nil, err
	}
	return func(doc []byte) (verdict, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		v, err := js6.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			return false, false
		}
		return s.Validate(v) == nil, true
	}, nil
}

type oracleError string

func (e oracleError) Error() string { return string(e) }

const errPanic = oracleError("the peer panics")

// byGoogle compiles a schema with google/jsonschema-go, which reads numbers as float64.
func byGoogle(raw []byte) (accepts func(doc []byte) (verdict, ok bool), err error) {
	defer func() {
		if recover() != nil {
			accepts, err = nil, errPanic
		}
	}()
	var s google.Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return nil, err
	}
	return func(doc []byte) (verdict, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		var v any
		if json.Unmarshal(doc, &v) != nil {
			return false, false
		}
		return r.Validate(v) == nil, true
	}, nil
}

// exact is a Validator that has no rule but the schema: no limit that these documents reach, no rule about the case of names, and
// formats that check nothing, since the peers know other ones.
func exact(raw []byte) (*validate.Validator, error) {
	return validate.New(validate.Config{Schema: raw, SkipFormats: true, Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
}

// Random schemas over all keywords, and random documents, through the public API: the verdict is that of jsonschema v6, and that of
// google/jsonschema-go wherever the two peers agree.
func TestRandomDocumentsAreJudgedAsByThePeers(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	rounds := 2_000
	if testing.Short() {
		rounds = 400
	}
	accepted, refused, unfit, second, split := 0, 0, 0, 0, 0
	for i := range rounds {
		g := generator{Rand: rng, old: i%4 == 0}
		raw := g.whole()
		v6, err := byV6(raw)
		if err != nil {
			unfit++
			continue
		}
		ours, err := exact(raw)
		if err != nil {
			if !strings.Contains(err.Error(), "infinite loop") && !strings.Contains(err.Error(), "refers to itself") {
				t.Fatalf("%s: %v", raw, err)
			}
			unfit++
			continue
		}
		other, otherErr := byGoogle(raw)
		for range 20 {
			doc, _ := json.Marshal(g.doc(3))
			want, ok := v6(doc)
			if !ok {
				unfit++
				continue
			}
			why := ours.Check(doc)
			if got := why == nil; got != want {
				t.Fatalf("schema %s\ndocument %s\naccepted %v, jsonschema v6 says %v (%v)", raw, doc, got, want, why)
			}
			if otherErr == nil {
				if verdict, ok := other(doc); ok && verdict == want {
					second++
				} else {
					split++
				}
			}
			if want {
				accepted++
			} else {
				refused++
			}
		}
	}
	t.Logf("%d accepted and %d refused as by jsonschema v6, %d of them also as by google/jsonschema-go, which says otherwise of %d; %d not comparable",
		accepted, refused, second, split, unfit)
	if accepted < 2*rounds || refused < 2*rounds || second < 2*rounds {
		t.Error("one-sided")
	}
}

// FuzzSchema: a document is judged as jsonschema v6 judges it, for every schema that both compile. An $id or an anchor is left to
// the conformance suite.
func FuzzSchema(f *testing.F) {
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range 40 {
		g := generator{Rand: rng, old: i%4 == 0}
		doc, _ := json.Marshal(g.doc(3))
		f.Add(g.whole(), doc)
	}
	f.Fuzz(func(t *testing.T, raw, doc []byte) {
		if len(raw) > 1000 || len(doc) > 1000 || bytes.Contains(raw, []byte("$id")) || bytes.Contains(raw, []byte("nchor")) || bytes.Contains(raw, []byte(`\u`)) {
			return
		}
		ours, err := exact(raw)
		if err != nil {
			return
		}
		v6, err := byV6(raw)
		if err != nil {
			return
		}
		plain, _ := validate.New(validate.Config{Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
		if plain.Check(doc) != nil {
			return
		}
		if want, ok := v6(doc); ok && (ours.Check(doc) == nil) != want {
			t.Fatalf("schema %s\ndocument %s\njsonschema v6 says %v, we say %v", raw, doc, want, ours.Check(doc))
		}
	})
}

// generator makes random schemas and documents over few names and values, so that they meet.
type generator struct {
	*rand.Rand
	old bool // draft 7
}

func (g generator) whole() []byte {
	defs := "$defs"
	if g.old {
		defs = "definitions"
	}
	doc := map[string]any{"allOf": []any{g.schema(4)}, defs: map[string]any{"a": g.schema(2), "b": g.schema(2)}}
	if g.old {
		doc["$schema"] = "http://json-schema.org/draft-07/schema#"
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return raw
}

func (g generator) name() string { return []string{"a", "b", "c", "A", "aa"}[g.IntN(5)] }

// scalar is a value; numbers stay away from where float64 and big.Rat give up.
func (g generator) scalar() any {
	list := []any{nil, true, false, "", "a", "ab", "ä", "😀b", "a\"\\", 0, 1, 2, -1, 7, json.Number("1.0"), json.Number("0.5"), json.Number("-0.5"), json.Number("0.30"),
		json.Number("1e0"), json.Number("15e-1"), json.Number("-0"), json.Number("1e20"), json.Number("100000000000000000000.5"), json.Number("9007199254740993")}
	return list[g.IntN(len(list))]
}

func (g generator) doc(depth int) any {
	switch n := g.IntN(9); {
	case n <= 2 && depth > 0:
		list := make([]any, g.IntN(5))
		for i := range list {
			list[i] = g.doc(depth - 1)
		}
		return list
	case n <= 5 && depth > 0:
		m := map[string]any{}
		for range g.IntN(5) {
			m[g.name()] = g.doc(depth - 1)
		}
		return m
	}
	return g.scalar()
}

func (g generator) schema(depth int) any {
	defs := "#/$defs/"
	if g.old {
		defs = "#/definitions/"
	}
	if g.IntN(12) == 0 || depth == 0 {
		return []any{true, true, false, map[string]any{}, map[string]any{"$ref": defs + "a"}, map[string]any{"$ref": defs + "b"}}[g.IntN(6)]
	}
	sub := func() any { return g.schema(depth - 1) }
	subs := func() any {
		list := make([]any, 1+g.IntN(3))
		for i := range list {
			list[i] = sub()
		}
		return list
	}
	bound := func() any {
		return []any{-1, 0, 1, 2, json.Number("0.5"), json.Number("1e20"), json.Number("-0.25")}[g.IntN(7)]
	}
	types := []string{"null", "boolean", "integer", "number", "string", "array", "object"}
	keywords := map[string]func() any{
		"type": func() any {
			i := g.IntN(len(types))
			if g.IntN(2) == 0 {
				return types[i]
			}
			return []string{types[i], types[(i+1+g.IntN(len(types)-1))%len(types)]}
		},
		"enum": func() any { return []any{"a", g.doc(1), g.doc(2), nil}[g.IntN(2):] }, "const": func() any { return g.doc(2) },
		"minimum": bound, "maximum": bound, "exclusiveMinimum": bound, "exclusiveMaximum": bound,
		"multipleOf": func() any {
			return []any{1, 2, 7, json.Number("0.5"), json.Number("0.1"), json.Number("1e-3"), json.Number("0.3")}[g.IntN(7)]
		},
		"minLength": func() any { return g.IntN(3) }, "maxLength": func() any { return g.IntN(3) }, "pattern": func() any { return []string{"^a", "b$", "^.$", "ä|"}[g.IntN(4)] },
		"minItems": func() any { return g.IntN(3) }, "maxItems": func() any { return g.IntN(3) }, "uniqueItems": func() any { return true }, "items": sub, "contains": sub,
		"minProperties": func() any { return g.IntN(3) }, "maxProperties": func() any { return g.IntN(3) }, "required": func() any { return []string{g.name()} },
		"properties":        func() any { return map[string]any{g.name(): sub(), "b": sub()} },
		"patternProperties": func() any { return map[string]any{"^[ab]": sub(), "a$": sub()} }, "additionalProperties": sub, "propertyNames": sub,
		"allOf": subs, "anyOf": subs, "oneOf": subs, "not": sub, "if": sub, "then": sub, "else": sub,
	}
	if g.old {
		keywords["dependencies"] = func() any { return map[string]any{"a": []string{"b"}, "b": sub()} }
		keywords["additionalItems"] = sub
	} else {
		keywords["dependentRequired"] = func() any { return map[string]any{"a": []string{"b", g.name() + "x"}} }
		keywords["dependentSchemas"] = func() any { return map[string]any{g.name(): sub()} }
		keywords["prefixItems"], keywords["unevaluatedProperties"], keywords["unevaluatedItems"] = subs, sub, sub
	}
	s := map[string]any{}
	names := slices.Sorted(maps.Keys(keywords))
	for range 1 + g.IntN(4) {
		name := names[g.IntN(len(names))]
		s[name] = keywords[name]()
		switch {
		case name == "if":
			s["then"], s["else"] = sub(), sub()
		case name == "contains" && !g.old:
			s["minContains"], s["maxContains"] = g.IntN(2), 1+g.IntN(2)
		case name == "items" && g.old && g.IntN(2) == 0:
			s["items"] = subs()
		}
	}
	return s
}
