package validate_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// sureCases are schemas with documents of which the shortcut must be sure, and with ones that it must leave to the engine.
var sureCases = []struct {
	schema              string
	right, wrong, doubt []string
}{
	{`true`, []string{`1`, `{}`}, nil, nil},
	{`false`, nil, []string{`1`, `null`}, nil},
	{`{"type":["integer","null"]}`, []string{`1`, `-1`, `1.0`, `0`, `-0.00`, `null`, `123456789012345678`}, []string{`1.5`, `"1"`, `true`, `[]`, `{}`}, []string{`1e2`, `1.5E1`, `1234567890123456789`}},
	{`{"type":"number"}`, []string{`1`, `1e5`, `-0.5`}, []string{`"1"`}, nil},
	{`{"minimum":-2,"maximum":2}`, []string{`-2`, `2`, `2.0`, `-1.99`, `1.99`, `-2.00`, `"x"`, `null`}, []string{`-2.01`, `2.01`, `3`, `-3`, `2.0000000000000000000000000001`}, []string{`1e0`, `2e0`}},
	{`{"exclusiveMinimum":0,"exclusiveMaximum":1}`, []string{`0.5`, `0.000000000000000000000001`, `0.999999999999999999999999`}, []string{`0`, `1`, `0.0`, `1.0`, `-0.1`, `-0`, `1.1`}, nil},
	{`{"minimum":0.5}`, []string{`"x"`}, nil, []string{`0.5`, `7`}},
	{`{"maximum":18446744073709551616}`, nil, nil, []string{`1`}},
	{`{"multipleOf":2}`, []string{`""`}, nil, []string{`4`, `3`}},
	{`{"minLength":1,"maxLength":3}`, []string{`"a"`, `"abc"`, `"äöü"`, `"😀😀😀"`, `5`}, []string{`""`, `"abcd"`, `"😀😀😀😀"`, `"äöüß"`}, nil},
	{`{"minLength":3}`, []string{`"😀😀😀"`, `"0123456789abc"`}, []string{`"😀😀"`, `"äö"`}, nil},
	{`{"pattern":"^a+$"}`, []string{`"aa"`, `1`}, []string{`"ab"`, `""`}, nil},
	{`{"format":"date"}`, nil, nil, []string{`"2020-01-01"`, `"x"`, `1`}},
	{`{"enum":["a",null,true,3,[1],{"a":1}]}`, []string{`"a"`, `null`, `true`}, []string{`"b"`, `false`}, []string{`3`, `4`, `[1]`, `{}`}},
	{`{"enum":["a"]}`, nil, []string{`1`, `[]`, `{}`, `null`, `"A"`}, nil},
	{`{"const":null}`, []string{`null`}, []string{`false`, `""`, `0`}, nil},
	{`{"required":["a"],"properties":{"a":{"type":"string"},"b":{}},"additionalProperties":false}`, []string{`{"a":""}`, `{"a":"","b":1}`, `[]`}, []string{`{}`, `{"a":1}`, `{"a":"","c":1}`}, nil},
	{`{"properties":{"a":true},"additionalProperties":{"type":"null"}}`, []string{`{"a":1,"b":null}`}, []string{`{"b":1}`}, nil},
	{`{"minProperties":1,"maxProperties":2,"propertyNames":{"maxLength":1}}`, []string{`{"a":1}`, `{"a":1,"b":2}`}, []string{`{}`, `{"ab":1}`, `{"a":1,"b":2,"c":3}`}, nil},
	{`{"patternProperties":{"^a":{}}}`, []string{`1`}, nil, []string{`{}`}},
	{`{"dependentRequired":{"a":["b"]}}`, nil, nil, []string{`{"a":1}`}},
	{`{"items":{"type":"integer"},"minItems":1,"maxItems":2}`, []string{`[1]`, `[1,2]`, `{}`}, []string{`[]`, `[1,2,3]`, `["a"]`}, []string{`[1e1]`}},
	{`{"uniqueItems":true}`, []string{`[]`, `[1]`}, nil, []string{`[1,2]`, `[1,1]`}},
	{`{"prefixItems":[{}]}`, nil, nil, []string{`[]`}},
	{`{"contains":{}}`, nil, nil, []string{`[1]`}},
	{`{"unevaluatedProperties":false}`, nil, nil, []string{`{}`}},
	{`{"unevaluatedItems":false}`, nil, nil, []string{`[]`}},
	{`{"$schema":"http://json-schema.org/draft-07/schema#","items":{"type":"null"}}`, []string{`[null]`}, []string{`[1]`}, nil},
	{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"null"}],"additionalItems":false}`, nil, nil, []string{`[null]`, `[null,1]`}},
	{`{"allOf":[{"type":"string"},{"minLength":2}]}`, []string{`"ab"`}, []string{`"a"`, `1`}, nil},
	{`{"anyOf":[{"type":"string"},{"minimum":2}]}`, []string{`"a"`, `2`, `null`}, []string{`1`}, []string{`1e5`}},
	{`{"oneOf":[{"type":"string"},{"minLength":2}]}`, []string{`"a"`, `1`}, []string{`"ab"`}, nil},
	{`{"not":{"type":"string","format":"date"}}`, []string{`1`}, nil, []string{`"x"`}},
	{`{"not":{"enum":["a"]}}`, []string{`"b"`}, []string{`"a"`}, nil},
	{`{"if":{"type":"string"},"then":{"minLength":2},"else":{"minimum":2}}`, []string{`"ab"`, `2`, `null`}, []string{`"a"`, `1`}, []string{`2e0`}},
	{`{"if":{"type":"string"}}`, []string{`"a"`, `1`}, nil, nil},
	{`{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"a":{"$ref":"#/$defs/a"}},"type":"object"}}}`, []string{`{"a":{"a":{}}}`}, []string{`{"a":{"a":1}}`}, nil},
	{`{"contentEncoding":"base64"}`, []string{`1`}, nil, []string{`"x"`}},
}

// consistent fails when the shortcut is sure of what the engine denies, and returns what the shortcut said.
func consistent(t *testing.T, ask func(any) (string, bool), name, doc string) string {
	t.Helper()
	shortcut, engine := ask(parse(doc))
	if shortcut == "right" && !engine || shortcut == "wrong" && engine {
		t.Errorf("%s: %.200s: the shortcut says %s, the engine accepts it: %v", name, doc, shortcut, engine)
	}
	return shortcut
}

func TestTheShortcutIsSureOnlyOfWhatTheEngineSays(t *testing.T) {
	for _, c := range sureCases {
		ask, err := validate.Sure([]byte(c.schema))
		if err != nil {
			t.Fatal(c.schema, err)
		}
		for want, docs := range map[string][]string{"right": c.right, "wrong": c.wrong, "doubt": c.doubt} {
			for _, doc := range docs {
				if got := consistent(t, ask, c.schema, doc); got != want {
					t.Errorf("%s: %s: %s, want %s", c.schema, doc, got, want)
				}
			}
		}
	}
	long := strings.Repeat("a", 5000)
	ask, _ := validate.Sure([]byte(`{"pattern":"^a*$"}`))
	if got := consistent(t, ask, "pattern", `"`+long+`"`); got != "doubt" {
		t.Errorf("a long text is searched twice: %s", got)
	}
}

// A schema that refers to itself without going down in the value is refused by the engine in whatever alternative it
// stands. The shortcut must not find another alternative that fits.
func TestTheShortcutIsNeverSureNextToAnEndlessLoop(t *testing.T) {
	for _, schema := range []string{
		`{"anyOf":[true,{"$ref":"#/$defs/a"}],"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}}}`,
		`{"oneOf":[true,{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[false,{"$ref":"#/$defs/a"}]}}}`,
		`{"not":{"enum":["b"],"$ref":"#/$defs/a"},"$defs":{"a":{"not":{"$ref":"#/$defs/a"}}}}`,
		`{"if":{"$ref":"#/$defs/a"},"$defs":{"a":{"if":true,"then":{"$ref":"#/$defs/a"}}}}`,
	} {
		ask, err := validate.Sure([]byte(schema))
		if err != nil {
			continue // the engine found it when it compiled
		}
		if shortcut, engine := ask("a"); shortcut == "right" || engine {
			t.Errorf("%s: %s, engine %v", schema, shortcut, engine)
		}
	}
}

// Random schemas and random documents: the two never contradict each other, and the shortcut decides most.
func TestTheShortcutNeverContradictsTheEngine(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	said := map[string]int{}
	for range 1500 {
		schema, err := json.Marshal(map[string]any{"allOf": []any{randomSchema(rng, 4)},
			"$defs": map[string]any{"a": randomSchema(rng, 2), "b": randomSchema(rng, 2)}})
		if err != nil {
			t.Fatal(err)
		}
		ask, err := validate.Sure(schema)
		if err != nil {
			continue
		}
		for range 20 {
			doc, _ := json.Marshal(randomDoc(rng, 3))
			said[consistent(t, ask, string(schema), string(doc))]++
		}
	}
	if said["right"] < 2000 || said["wrong"] < 2000 {
		t.Errorf("one-sided: %v", said)
	}
}

// oneOf ends for the engine at the second schema that fits. A shortcut that looked at the others too would double its work at each
// level of this document and never end.
func TestTheShortcutLooksAtNothingTheEngineSkips(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"$ref":"#/$defs/a","$defs":{"a":{"oneOf":[true,true,{"items":{"$ref":"#/$defs/a"}},{"items":{"$ref":"#/$defs/a"}}]}}}`)})
	refusal(t, v, strings.Repeat("[", 60)+strings.Repeat("]", 60))
}

func randomDoc(rng *rand.Rand, depth int) any {
	switch n := rng.IntN(8); {
	case n == 0 && depth > 0:
		list := make([]any, rng.IntN(4))
		for i := range list {
			list[i] = randomDoc(rng, depth-1)
		}
		return list
	case n <= 3 && depth > 0:
		m := map[string]any{}
		for range rng.IntN(4) {
			m[string(rune('a'+rng.IntN(3)))] = randomDoc(rng, depth-1)
		}
		return m
	}
	return []any{nil, true, false, "", "a", "ab", "ä", "😀b", 0, 1, 2, -1, json.Number("1.0"), json.Number("0.5"), json.Number("-0.5"), json.Number("1e0")}[rng.IntN(16)]
}

func randomSchema(rng *rand.Rand, depth int) any {
	if rng.IntN(12) == 0 || depth == 0 {
		return []any{true, true, false, map[string]any{}, map[string]any{"$ref": "#/$defs/a"}, map[string]any{"$ref": "#/$defs/b"}}[rng.IntN(6)]
	}
	s := map[string]any{}
	sub := func() any { return randomSchema(rng, depth-1) }
	subs := func() any {
		list := make([]any, 1+rng.IntN(3))
		for i := range list {
			list[i] = sub()
		}
		return list
	}
	types := []string{"null", "boolean", "integer", "number", "string", "array", "object"}
	for range 1 + rng.IntN(3) {
		switch rng.IntN(24) {
		case 0:
			s["type"] = types[rng.IntN(7)]
		case 1:
			i, j := rng.IntN(7), rng.IntN(6)
			if j >= i {
				j++
			}
			s["type"] = []string{types[i], types[j]}
		case 2:
			s["enum"] = []any{"a", randomDoc(rng, 0), randomDoc(rng, 1)}
		case 3:
			s["const"] = randomDoc(rng, 1)
		case 4:
			s["minimum"] = rng.IntN(4) - 2
		case 5:
			s["exclusiveMaximum"] = rng.IntN(4) - 1
		case 6:
			s["maxLength"] = rng.IntN(3)
		case 7:
			s["minLength"] = rng.IntN(3)
		case 8:
			s["pattern"] = "^a"
		case 9:
			s["required"] = []string{"a"}
		case 10, 11, 12:
			s["properties"] = map[string]any{"a": sub(), "b": sub()}
		case 13:
			s["additionalProperties"] = sub()
		case 14:
			s["items"] = sub()
		case 15:
			s["maxItems"] = rng.IntN(3)
		case 16:
			s["maxProperties"] = rng.IntN(3)
		case 17:
			s["allOf"] = subs()
		case 18:
			s["anyOf"] = subs()
		case 19:
			s["oneOf"] = subs()
		case 20:
			s["not"] = sub()
		case 21:
			s["if"], s["then"], s["else"] = sub(), sub(), sub()
		case 22:
			s["propertyNames"] = sub()
		case 23:
			s[fmt.Sprint([]any{"uniqueItems", "x"}[rng.IntN(2)])] = true
		}
	}
	return s
}

// The plain requests of the official clients never meet the engine.
func TestAPlainConversationIsJudgedWithoutTheEngine(t *testing.T) {
	for name, c := range map[string]struct {
		schema []byte
		body   string
	}{
		"chat":     {preset.OpenAIChatConfig().Schema, string(conversation(4 << 10))},
		"messages": {preset.AnthropicMessagesConfig().Schema, `{"model":"claude","max_tokens":5,"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true}`},
	} {
		ask, err := validate.Sure(c.schema)
		if err != nil {
			t.Fatal(err)
		}
		if got := consistent(t, ask, name, c.body); got != "right" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
