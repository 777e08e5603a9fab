package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

func mustCompile(t testing.TB, raw string) *schema.Program {
	t.Helper()
	p, err := schema.Compile(decode(t, []byte(raw)), schema.Options{Formats: formats()})
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return p
}

// rat is the exact value of a number whose exponent is small.
func rat(t testing.TB, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%s is no number", s)
	}
	return r
}

// number makes a JSON number in one of the ways that JSON allows.
func number(rng *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0001259"[rng.IntN(7)]
		}
		return string(b)
	}
	s := strings.TrimLeft(digits(rng.IntN(22)), "0")
	if s == "" {
		s = "0"
	}
	if rng.IntN(2) == 0 {
		s += "." + digits(1+rng.IntN(6))
	}
	if rng.IntN(3) == 0 {
		s += []string{"e", "E", "e+", "E-", "e-"}[rng.IntN(5)] + fmt.Sprint(rng.IntN(30))
	}
	return []string{"", "-"}[rng.IntN(2)] + s
}

func TestNumbersAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		a, b := number(rng), number(rng)
		x, y := rat(t, a), rat(t, b)
		if got, want := schema.Compare(a, b), x.Cmp(y); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
		if got, want := schema.Integer(a), x.IsInt(); got != want {
			t.Fatalf("%s is whole: %v, want %v", a, got, want)
		}
		if y.Sign() > 0 {
			if got, want := schema.Multiple(a, b), new(big.Rat).Quo(x, y).IsInt(); got != want {
				t.Fatalf("%s is a multiple of %s: %v, want %v", a, b, got, want)
			}
		}
	}
}

// The exponents that Limits allows at most, and those that it never lets through: nothing is written out.
func TestNumbersAreNeverWrittenOut(t *testing.T) {
	const bomb = "1e10000000"
	if n := testing.AllocsPerRun(10, func() {
		for range 100 {
			schema.Multiple("3e999999999", "0.07")
			schema.Compare(bomb, "-1e-999999999999999999999")
		}
	}); n > 1000 {
		t.Errorf("%v allocations", n)
	}
	for s, want := range map[string]bool{"1e999999": true, "7e999999999": true, "1e-999999": false, "0e-5": true} {
		if got := schema.Multiple(s, "0.01"); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
	if !schema.Multiple("123456789012345678901234567890e1000", "12345678901234567890123456789") {
		t.Error("a long divisor")
	}
}

func FuzzDecimal(f *testing.F) {
	f.Add("1.50", "15e-1")
	f.Add("-0.0", "0")
	f.Add("1e400", "1e-400")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{a, b} {
			if len(s) > 64 || jsonscan.Scan([]byte(s), nil, nil) != nil || strings.IndexAny(s, "-0123456789") != 0 || strings.ContainsAny(s, " \t\r\n") {
				return
			}
		}
		if got, want := schema.Compare(a, b), rat(t, a).Cmp(rat(t, b)); got != want {
			t.Errorf("%s against %s: %d, want %d", a, b, got, want)
		}
	})
}

// A tree walker takes 2^60 steps for each of these documents.
func TestNestedAlternativesCostWhatTheirTextCosts(t *testing.T) {
	for _, raw := range []string{
		`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"},"properties":{"a":{"$ref":"#/$defs/a"}}}]}}}`,
		`{"$ref":"#/$defs/a","$defs":{"a":{"oneOf":[false,{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"},"maxItems":0}]}}}`,
		`{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"}}],"not":{"not":{"items":{"$ref":"#/$defs/a"}}}}}}`,
		`{"$ref":"#/$defs/a","$defs":{"a":{"if":{"items":{"$ref":"#/$defs/a"}},"then":{"items":{"$ref":"#/$defs/a"}},"else":{"items":{"$ref":"#/$defs/a"}},"contains":{"$ref":"#/$defs/a"},"minContains":0}}}`,
	} {
		p := mustCompile(t, raw)
		for _, depth := range []int{10, 60} {
			var m schema.Machine
			m.Start(p, false, true)
			doc := []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))
			if err := jsonscan.Scan(doc, nil, &m); err != nil && !errors.Is(err, schema.ErrRefused) {
				t.Fatal(err)
			}
			if m.Work() > 40*depth {
				t.Errorf("%s: depth %d looked %d times", raw, depth, m.Work())
			}
		}
	}
}

func TestAReferenceThatGoesNowhereDownIsRefused(t *testing.T) {
	for _, raw := range []string{`{"$ref":"#"}`, `{"anyOf":[true,{"$ref":"#/$defs/a"}],"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}}}`,
		`{"items":{"not":{"$ref":"#/items"}}}`, `{"if":{"$ref":"#/$defs/a"},"$defs":{"a":{"if":true,"then":{"$ref":"#/$defs/a"}}}}`} {
		if _, err := schema.Compile(decode(t, []byte(raw)), schema.Options{}); err == nil || errors.Is(err, schema.ErrUnsupported) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestWhatIsNotCoveredSaysSo(t *testing.T) {
	for _, raw := range []string{`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, `{"$schema":"https://example.com/own"}`, `{"items":{"$ref":"other.json"}}`} {
		if _, err := schema.Compile(decode(t, []byte(raw)), schema.Options{}); !errors.Is(err, schema.ErrUnsupported) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// Of alternatives that all fail, the one that was meant is reported: the one whose kind and whose constants fit.
func TestTheAlternativeThatWasMeantIsReported(t *testing.T) {
	p := mustCompile(t, `{"items":{"oneOf":[
		{"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}},"additionalProperties":false},
		{"type":"object","required":["type","url"],"properties":{"type":{"const":"image"},"url":{"type":"string"}},"additionalProperties":false},
		{"type":"string","maxLength":3}]}}`)
	for doc, want := range map[string]string{
		`[{"type":"text","text":1}]`:         `type 1`,
		`[{"text":1,"type":"text"}]`:         `type 1`,
		`[{"texd":"x","type":"text"}]`:       `additionalProperties {`,
		`[{"type":"image"}]`:                 `required {`,
		`[{"url":"u","x":1,"type":"image"}]`: `additionalProperties {`,
		`[{"type":"video"}]`:                 `oneOf {`,
		`["long string"]`:                    `maxLength "`,
		`[7]`:                                `oneOf 7`,
	} {
		ok, why := judge(t, p, []byte(doc))
		if got := why.Keyword + " " + doc[why.At:why.At+1]; ok || got != want {
			t.Errorf("%s: %q, want %q", doc, got, want)
		}
	}
}

// A scan that stopped anywhere leaves nothing behind for the next.
func TestAMachineForgets(t *testing.T) {
	p, q := mustCompile(t, `{"items":{"anyOf":[{"required":["a"]},{"uniqueItems":true,"items":{"unevaluatedProperties":false}}]}}`), mustCompile(t, `{"type":["array","object"]}`)
	docs := []string{`[{"a":1},{"b":[1,2]}]`, `[[{"a":1}],[1`, `[[[{`, `{"a":[1,{"x":"\u0041"}]}`, `[[1,2],[1,1]]`, `[]`, `1`}
	var m schema.Machine
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		prog := []*schema.Program{p, q}[rng.IntN(2)]
		doc := []byte(docs[rng.IntN(len(docs))])
		var fresh schema.Machine
		fresh.Start(prog, true, true)
		m.Start(prog, true, true)
		want, got := jsonscan.Scan(doc, nil, &fresh), jsonscan.Scan(doc, nil, &m)
		if fmt.Sprint(want) != fmt.Sprint(got) || fresh.Failure() != m.Failure() {
			t.Fatalf("%s: %v %+v, fresh %v %+v", doc, got, m.Failure(), want, fresh.Failure())
		}
	}
}

func TestNothingIsAllocatedOnceWarm(t *testing.T) {
	p := mustCompile(t, `{"properties":{"a":{"items":{"anyOf":[{"type":"string","pattern":"^a","maxLength":9},{"multipleOf":0.5,"minimum":-1},{"uniqueItems":true}]}}},
		"unevaluatedProperties":false,"required":["a"],"dependentRequired":{"a":["a"]},"propertyNames":{"enum":["a","b"]}}`)
	doc := []byte(`{"a":["abc","a\u0062c",1.5,[1,"1",[1],{"a":1}],[]]}`)
	var m schema.Machine
	var s jsonscan.Scanner
	run := func() {
		m.Start(p, true, true)
		if err := s.Scan(doc, nil, &m); err != nil {
			t.Fatal(err, m.Failure())
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Equal values have equal hashes, whatever way they are written; different ones differ.
func TestEqualityIsThatOfJSONSchema(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true}, {`100`, `1e2`, true}, {`-0`, `0`, true}, {`0.10`, `1e-1`, true}, {`1`, `"1"`, false}, {`1`, `true`, false}, {`1`, `-1`, false},
		{`"a"`, `"\u0061"`, true}, {`"a"`, `"A"`, false}, {`null`, `false`, false}, {`[]`, `{}`, false}, {`[1,2]`, `[2,1]`, false}, {`[1,2]`, `[1]`, false}, {`[1]`, `[1,2]`, false},
		{`{"a":1,"b":[2]}`, `{ "b" : [2.0] , "\u0061" : 1 }`, true}, {`{"a":1}`, `{"a":1,"b":1}`, false}, {`{"a":1,"b":1}`, `{"a":1}`, false}, {`{"a":1}`, `{"b":1}`, false},
		{`{"a":{"x":[]}}`, `{"a":{"x":{}}}`, false}, {`[[1],2]`, `[[1,2]]`, false}, {`"é"`, `"\u00e9"`, true}, {`[{"a":1},{"b":2}]`, `[{"a":2},{"b":1}]`, false},
	} {
		hashes, texts := schema.Same([]byte(c.a), []byte(c.b))
		if texts != c.want || hashes != c.want {
			t.Errorf("%s and %s: hashes %v, texts %v, want %v", c.a, c.b, hashes, texts, c.want)
		}
		if got := schema.Equal([]byte(c.a), decode(t, []byte(c.b))); got != c.want {
			t.Errorf("%s and %s decoded: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// FuzzEqual: a text equals its own tree, and what encoding/json writes again.
func FuzzEqual(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,{"b":null}],"\u0061b":"\ud83d\ude00\\"}`, `[[[]],{},""]`, `-0.0e5`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if jsonscan.Scan(raw, nil, nil) != nil {
			return
		}
		v := decode(t, raw)
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		hashes, texts := schema.Same(raw, again)
		if !schema.Equal(raw, v) || !hashes || !texts {
			t.Errorf("%s and %s: hashes %v, texts %v", raw, again, hashes, texts)
		}
	})
}

// A pattern with thousands of instructions took a second for 64 KiB. Its author has to say how long a string may be.
func TestAGiantPatternNeedsAMaxLength(t *testing.T) {
	for raw, ok := range map[string]bool{
		`{"pattern":"(a|b|c){1000}$"}`: false, `{"pattern":"(a|b|c){1000}$","maxLength":65536}`: false, `{"pattern":"(a|b|c){1000}$","maxLength":1000}`: true,
		`{"pattern":"^[a-z]{1,64}$"}`: true, `{"items":{"pattern":"(x{100}){10}"}}`: false,
	} {
		_, err := schema.Compile(decode(t, []byte(raw)), schema.Options{})
		if (err == nil) != ok || errors.Is(err, schema.ErrUnsupported) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// A Go server behind takes "URL" for "url", also where an alternative of the schema speaks of url: a variant is refused where that
// alternative turns out to apply, and nowhere else.
func TestACaseVariantIsRefusedInWhateverAlternativeApplies(t *testing.T) {
	for raw, docs := range map[string]map[string]bool{
		`{"properties":{"type":{}},"if":{"properties":{"type":{"const":"u"}}},"then":{"properties":{"url":{"format":"uri"}}},"else":{"properties":{"text":{}}}}`: {
			`{"type":"u","URL":"x"}`: false, `{"URL":"x","type":"u"}`: false, `{"type":"t","URL":"x"}`: true, `{"type":"t","Text":1}`: false, `{"type":"u","Text":1}`: true, `{"URL":1}`: false,
		},
		`{"anyOf":[{"type":"null"},{"$ref":"#/$defs/x"}],"$defs":{"x":{"properties":{"url":{}}}}}`: {`{"URL":1}`: false, `{"url":1}`: true, `{"other":1}`: true},
		// An alternative that fails because of a variant must not make oneOf right.
		`{"oneOf":[{"properties":{"a":{}}},{"properties":{"b":{"type":"string"}}}]}`:                 {`{"A":1,"b":1}`: false, `{"A":1}`: false, `{"a":1,"b":1}`: true, `{"B":1,"b":1}`: true},
		`{"not":{"properties":{"a":{"const":1}},"required":["a"]}}`:                                  {`{"A":1}`: true, `{"a":1}`: false},
		`{"items":{"anyOf":[{"properties":{"deep":{"items":{"properties":{"url":{}}}}}}]}}`:          {`[{"deep":[{"Url":1}]}]`: false, `[{"deep":[{"url":1}]}]`: true, `[{"flat":[{"Url":1}]}]`: true},
		`{"dependentSchemas":{"k":{"properties":{"a":{}}}}}`:                                         {`{"k":1,"A":1}`: false, `{"A":1}`: true},
		`{"contains":{"properties":{"a":{"const":1}},"required":["a"]},"minContains":1}`:             {`[{"a":1},{"A":1}]`: true, `[{"a":1,"A":1}]`: false},
		`{"anyOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":{}}}],"type":"object"}`: {`{"a":1,"A":1}`: true, `{"a":1,"B":1}`: false},
	} {
		p := mustCompile(t, raw)
		for doc, want := range docs {
			var m schema.Machine
			m.Start(p, true, true)
			limits := jsonscan.Limits{AllowFoldCollisions: true} // the siblings of the tests
			err := jsonscan.Scan([]byte(doc), &limits, &m)
			if (err == nil) != want {
				t.Errorf("%s: %s: %v %+v", raw, doc, err, m.Failure())
			}
		}
	}
}

// One constant settles an "if" for objects, not for arrays, whose elements answer too.
func TestAnElementSettlesNoIf(t *testing.T) {
	for raw, doc := range map[string]string{
		`{"if":{"properties":{"a":{"const":1}},"items":{"type":"string"}},"else":{"minItems":5}}`:                         `["x",1]`,
		`{"if":{"properties":{"a":{"const":1}},"items":{"type":"string"},"minItems":3},"else":{"uniqueItems":true}}`:      `["x","x"]`,
		`{"if":{"properties":{"a":{"const":1}},"prefixItems":[true,{"type":"null"}]},"else":{"maxItems":1}}`:              `[1,2]`,
		`{"if":{"properties":{"a":{"const":1}},"contains":{"const":1},"items":{"type":"integer"}},"else":{"minItems":3}}`: `[2,3]`,
	} {
		if ok, _ := judge(t, mustCompile(t, raw), []byte(doc)); ok {
			t.Errorf("%s accepts %s", raw, doc)
		}
	}
}

// A string that is too long for the whole schema is not searched for the pattern of a part of it.
func TestALengthIsAskedBeforeAnyPattern(t *testing.T) {
	searched := 0
	opt := schema.Options{Formats: map[string]func(string) bool{"costly": func(string) bool { searched++; return true }}}
	p, err := schema.Compile(decode(t, []byte(`{"allOf":[{"not":{"format":"costly","minLength":1}},{"anyOf":[{"format":"costly"}]}],"$ref":"#/$defs/short","$defs":{"short":{"maxLength":3}}}`)), opt)
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := judge(t, p, []byte(`"long string"`)); ok || why.Keyword != "maxLength" || searched > 0 {
		t.Errorf("accepted %v, %+v, searched %d times", ok, why, searched)
	}
}
