package jsonschema6_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/jsonschema6"
)

func mustNew(t testing.TB, cfg validate.Config) *validate.Validator {
	t.Helper()
	cfg.Engine = jsonschema6.Engine{}
	v, err := validate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func refusal(t testing.TB, v *validate.Validator, body string) *validate.Error {
	t.Helper()
	var e *validate.Error
	if err := v.Check([]byte(body)); !errors.As(err, &e) {
		t.Fatalf("%s: accepted", body)
	}
	return e
}

// What makes an engine of its own worth having: drafts that the built-in implementation refuses. Each schema here means
// something else, or nothing, in another draft.
func TestEveryDraftMeansWhatItsOwnSpecificationSays(t *testing.T) {
	const (
		d4    = `"$schema":"http://json-schema.org/draft-04/schema#",`
		d6    = `"$schema":"http://json-schema.org/draft-06/schema#",`
		d7    = `"$schema":"http://json-schema.org/draft-07/schema#",`
		d2019 = `"$schema":"https://json-schema.org/draft/2019-09/schema",`
		d2020 = `"$schema":"https://json-schema.org/draft/2020-12/schema",`
	)
	for _, c := range []struct{ what, schema, good, bad string }{
		{"draft 4 has exclusiveMinimum as a boolean", `{` + d4 + `"minimum":1,"exclusiveMinimum":true}`, `2`, `1`},
		{"draft 4 has exclusiveMaximum as a boolean", `{` + d4 + `"maximum":1,"exclusiveMaximum":true}`, `0`, `1`},
		{"draft 4 has id", `{` + d4 + `"id":"http://a.example/x","properties":{"p":{"$ref":"y"}},"definitions":{"y":{"id":"y","type":"null"}}}`, `{"p":null}`, `{"p":1}`},
		{"draft 4 has definitions", `{` + d4 + `"$ref":"#/definitions/a","definitions":{"a":{"enum":[1]}}}`, `1`, `2`},
		{"draft 4 has no const", `{` + d4 + `"const":1,"type":"integer"}`, `2`, `"x"`},
		{"draft 6 has const", `{` + d6 + `"const":1}`, `1.0`, `2`},
		{"draft 6 has contains", `{` + d6 + `"contains":{"const":1}}`, `[2,1]`, `[2]`},
		{"draft 6 has propertyNames and boolean schemas", `{` + d6 + `"propertyNames":{"maxLength":1},"properties":{"a":false}}`, `{"b":1}`, `{"a":1}`},
		{"draft 6 has exclusiveMaximum as a number", `{` + d6 + `"exclusiveMaximum":3}`, `2.5`, `3`},
		{"draft 6 has no if", `{` + d6 + `"if":true,"then":false,"type":"integer"}`, `1`, `"x"`},
		{"draft 7 has if", `{` + d7 + `"if":{"minimum":5},"then":{"multipleOf":5}}`, `10`, `11`},
		{"draft 7 has items as a list", `{` + d7 + `"items":[{"type":"null"}],"additionalItems":false}`, `[null]`, `[null,1]`},
		{"draft 2019-09 has items as a list", `{` + d2019 + `"items":[{"type":"null"}],"unevaluatedItems":{"type":"integer"}}`, `[null,1]`, `[null,"x"]`},
		{"draft 2019-09 has unevaluatedProperties", `{` + d2019 + `"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}`, `{"a":1}`, `{"b":1}`},
		{"draft 2019-09 has $recursiveRef", `{` + d2019 + `"$id":"http://a.example/tree","$recursiveAnchor":true,"type":"object","properties":{"sub":{"$recursiveRef":"#"}},"unevaluatedProperties":false}`, `{"sub":{"sub":{}}}`, `{"sub":{"sub":{"x":1}}}`},
		{"draft 2019-09 has dependentRequired, maxContains", `{` + d2019 + `"dependentRequired":{"a":["b"]},"contains":{"const":1},"maxContains":1}`, `[1,2]`, `[1,1]`},
		{"draft 2019-09 does not count what contains matched", `{` + d2019 + `"contains":{"const":1},"unevaluatedItems":{"type":"integer"}}`, `[1,2]`, `[1,"x"]`},
		{"draft 2019-09 has siblings of $ref", `{` + d2019 + `"$ref":"#/$defs/a","maximum":3,"$defs":{"a":{"type":"integer"}}}`, `3`, `4`},
		{"draft 2020-12 has prefixItems", `{` + d2020 + `"prefixItems":[{"type":"null"}],"items":false}`, `[null]`, `[null,1]`},
		{"draft 2020-12 is what nobody names", `{"prefixItems":[{"type":"null"}]}`, `[null]`, `[1]`},
	} {
		v := mustNew(t, validate.Config{Schema: []byte(c.schema)})
		if err := v.Check([]byte(c.good)); err != nil {
			t.Errorf("%s: %s: %v", c.what, c.good, err)
		}
		if err := v.Check([]byte(c.bad)); err == nil {
			t.Errorf("%s: %s is accepted", c.what, c.bad)
		}
	}
}

func TestASchemaThatItsDraftDoesNotAllowIsRefused(t *testing.T) {
	for _, s := range []string{
		`{"$schema":"http://json-schema.org/draft-06/schema#","exclusiveMaximum":true}`,
		`{"$schema":"http://json-schema.org/draft-04/schema#","exclusiveMaximum":1}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","items":[true]}`,
		`{"$schema":"http://json-schema.org/draft-03/schema#"}`, `{"$schema":"https://example.com/dialect"}`,
		`{"type":"strnig"}`, `{"minLength":-1}`, `{"pattern":"(?=x)"}`, `{"pattern":"("}`, `{"patternProperties":{"(?!x)":true}}`,
		`{"$ref":"#/$defs/none"}`, `{"$ref":"#none"}`, `{"$schema":"http://json-schema.org/draft-07/schema#","pattern":"(?=x)"}`,
	} {
		if _, err := validate.New(validate.Config{Schema: []byte(s), Engine: jsonschema6.Engine{}}); err == nil {
			t.Errorf("%s compiles", s)
		}
	}
}

// v6 drops a bound that it cannot hold, and takes a length modulo 2^64: both would accept what the schema refuses.
func TestANumberThatV6WouldDropOrCutIsRefused(t *testing.T) {
	for _, s := range []string{
		`{"maximum":1e-2000000}`, `{"exclusiveMinimum":1e2000000}`, `{"properties":{"a":{"items":[],"multipleOf":1e2000000}}}`, `{"enum":[1e2000000]}`,
		`{"minLength":18446744073709551616}`, `{"maxItems":1e30}`, `{"allOf":[{"minProperties":9223372036854775808}]}`,
	} {
		_, err := jsonschema6.Engine{}.Compile(validate.Source{Schema: []byte(s)})
		if err == nil || !strings.Contains(err.Error(), "too large for this engine") {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{`{"maximum":1e30}`, `{"maxLength":9007199254740992}`, `{"minLength":2.0}`} {
		if _, err := (jsonschema6.Engine{}).Compile(validate.Source{Schema: []byte(s)}); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestReferencesToFilesAndOtherHostsAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"file://" + filepath.ToSlash(file), filepath.ToSlash(file), "http://127.0.0.1:1/s.json", "https://example.com/s.json",
		"other.json", "mantlet:///other.json", "//example.com/s.json", "ftp://example.com/s.json", "jar:file:/s.json"} {
		for _, form := range []string{`{"$ref":%q}`, `{"$dynamicRef":%q}`, `{"$defs":{"a":{"properties":{"x":{"$ref":%q}}}},"$ref":"#/$defs/a"}`, `{"$schema":%q}`,
			`{"$id":"file:///base/","$ref":%q}`, `{"$schema":"http://json-schema.org/draft-07/schema#","items":{"$ref":%q}}`} {
			schema := fmt.Sprintf(form, ref)
			if _, err := validate.New(validate.Config{Schema: []byte(schema), Engine: jsonschema6.Engine{}}); err == nil {
				t.Errorf("%s compiles", schema)
			}
		}
	}
}

func TestResourcesAreTheOnlyOtherDocuments(t *testing.T) {
	const url = "https://example.com/point.json"
	for name, c := range map[string]struct{ schema, resource, good, bad string }{
		"a resource": {`{"$ref":"https://example.com/point.json#/$defs/p"}`, `{"$defs":{"p":{"required":["x"]}}}`, `{"x":1}`, `{}`},
		// Without $schema a resource follows the schema: items as a list means something in draft 7 only.
		"draft 7":       {`{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"https://example.com/point.json"}`, `{"items":[{"type":"null"}],"additionalItems":false}`, `[null]`, `[1]`},
		"draft 4":       {`{"$schema":"http://json-schema.org/draft-04/schema","$ref":"https://example.com/point.json"}`, `{"maximum":1,"exclusiveMaximum":true}`, `0`, `1`},
		"its own":       {`{"$ref":"https://example.com/point.json"}`, `{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"null"}]}`, `[null]`, `[1]`},
		"draft 2019-09": {`{"$ref":"https://example.com/point.json"}`, `{"$schema":"https://json-schema.org/draft/2019-09/schema","prefixItems":[{"type":"null"}],"items":[{"type":"string"}]}`, `["x"]`, `[null]`},
		"no draft":      {`{"$ref":"https://example.com/point.json"}`, `{"prefixItems":[{"type":"null"}]}`, `[null]`, `[1]`},
	} {
		v := mustNew(t, validate.Config{Schema: []byte(c.schema), Resources: map[string][]byte{url: []byte(c.resource)}})
		if err := v.Check([]byte(c.good)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.Check([]byte(c.bad)); err == nil {
			t.Errorf("%s: %s is accepted", name, c.bad)
		}
	}
}

// In every draft: with SkipFormats none, else those of package validate, and no others.
func TestFormatsAreThoseOfTheValidatePackage(t *testing.T) {
	for _, draft := range []string{"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
		"https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"} {
		for format, bad := range map[string]string{"date": "x", "date-time": "x", "time": "x", "duration": "x", "email": "x", "hostname": "-", "ipv4": "x", "ipv6": "x",
			"json-pointer": "x", "relative-json-pointer": "x", "uri": "x", "iri": "x", "uri-reference": "\\\\x", "iri-reference": "\\\\x", "uri-template": "{",
			"uuid": "x", "regex": "(", validate.FormatPublicHTTPS: "https://127.0.0.1/"} {
			schema := fmt.Appendf(nil, `{"$schema":%q,"format":%q}`, draft, format)
			body, _ := json.Marshal(bad)
			if v := mustNew(t, validate.Config{Schema: schema}); v.Check(body) == nil {
				t.Errorf("%s: %s: %s is accepted", draft, format, body)
			} else if err := v.Check([]byte(`17`)); err != nil {
				t.Errorf("%s: %s: a number is no string: %v", draft, format, err)
			}
			if err := mustNew(t, validate.Config{Schema: schema, SkipFormats: true}).Check(body); err != nil {
				t.Errorf("%s: %s: asserted against SkipFormats: %v", draft, format, err)
			}
		}
		// v6 knows this one; package validate does not.
		if err := mustNew(t, validate.Config{Schema: fmt.Appendf(nil, `{"$schema":%q,"format":"semver"}`, draft)}).Check([]byte(`"x"`)); err != nil {
			t.Errorf("%s: semver: %v", draft, err)
		}
		// ECMA-262 has look-arounds: that is what the format means, whatever patterns are matched with.
		if err := mustNew(t, validate.Config{Schema: fmt.Appendf(nil, `{"$schema":%q,"format":"regex"}`, draft)}).Check([]byte(`"(?=x)"`)); err != nil {
			t.Errorf("%s: regex: %v", draft, err)
		}
	}
}

// Every format that v6 asserts by itself is overwritten: with none wanted, no word is wrong in any of them.
func TestNoFormatOfV6IsLeftOver(t *testing.T) {
	for _, format := range []string{"json-pointer", "relative-json-pointer", "uuid", "duration", "period", "ipv4", "ipv6", "hostname", "email",
		"date", "time", "date-time", "uri", "iri", "uri-reference", "iri-reference", "uri-template", "semver", "regex", "idn-email", "idn-hostname"} {
		schema := fmt.Appendf(nil, `{"$schema":"http://json-schema.org/draft-07/schema#","format":%q}`, format)
		v := mustNew(t, validate.Config{Schema: schema, SkipFormats: true})
		for _, s := range []string{`""`, `"-"`, `"{"`, `"("`, `"\\"`, `"://"`} {
			if err := v.Check([]byte(s)); err != nil {
				t.Errorf("%s %s: %v", format, s, err)
			}
		}
	}
}

func TestTheNearestFaultIsNamedAndAlwaysTheSame(t *testing.T) {
	for _, c := range []struct{ schema, body, pointer, keyword string }{
		{`{"properties":{"a":{"properties":{"b":{"type":"null"}}},"z":{"type":"null"}}}`, `{"a":{"b":1},"z":1}`, "/z", "type"},
		{`{"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}}}`, `{"c":1,"b":1,"a":1}`, "/a", "type"},
		{`{"items":{"type":"null"}}`, `[null,null,1,null,null,null,null,null,null,null,null,1]`, "/2", "type"},
		{`{"items":{"required":["a","b"],"properties":{"a":true}}}`, `[{"a":1},{}]`, "/0/b", "required"},
		{`{"dependentRequired":{"a":["c"],"b":["d"]}}`, `{"b":1,"a":1}`, "/c", "dependentRequired"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["c"]}}`, `{"a":1}`, "/c", "dependencies"},
		{`{"properties":{"x":{"additionalProperties":false}}}`, `{"x":{"a":1,"b":2}}`, "/x", "additionalProperties"},
		{`{"properties":{"x":{"additionalProperties":{"type":"null"}}}}`, `{"x":{"a":1}}`, "/x/?", "type"},
		{`{"properties":{"x":{"unevaluatedProperties":false}}}`, `{"x":{"a":1,"b":2}}`, "/x", "unevaluatedProperties"},
		{`{"properties":{"x":{"unevaluatedItems":false}}}`, `{"x":[1,2]}`, "/x", "unevaluatedItems"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[true],"additionalItems":false}`, `[1,2]`, "", "additionalItems"},
		{`{"properties":{"unevaluatedItems":false}}`, `{"unevaluatedItems":1}`, "/unevaluatedItems", "not"},
		{`{"properties":{"a":false}}`, `{"a":1}`, "/a", "not"},
		{`false`, `1`, "", "not"},
		{`{"not":{}}`, `1`, "", "not"},
		{`{"anyOf":[{"properties":{"a":{"type":"null"}}},{"required":["b"]}]}`, `{"a":1}`, "", "anyOf"},
		{`{"oneOf":[true,true]}`, `1`, "", "oneOf"},
		{`{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"properties":{"p":{"minimum":3}}}}}`, `{"p":1}`, "/p", "minimum"},
		{`{"contains":{"properties":{"a":{"type":"null"}}}}`, `[{"a":1}]`, "", "contains"},
		{`{"contains":{"const":1},"minContains":2}`, `[1]`, "", "minContains"},
		{`{"contains":{"const":1},"maxContains":1}`, `[1,1]`, "", "maxContains"},
		{`{"uniqueItems":true}`, `[1,1.0]`, "", "uniqueItems"},
		{`{"propertyNames":{"maxLength":1},"properties":{"long":true}}`, `{"long":1}`, "/long", "propertyNames"},
		// v6 overwrites the location of this fault with the way to what it looks at next, "z" mostly.
		{`{"properties":{"a":{"propertyNames":{"maxLength":1}},"b":{},"y":{},"z":{"items":{"properties":{"p":{}}}}}}`, `{"a":{"long":1},"b":{},"y":2,"z":[{"p":1}]}`, "/a/?", "propertyNames"},
		{`{"properties":{"a~/b":{"properties":{"":{"type":"null"}}}}}`, `{"a~/b":{"":1}}`, "/a~0~1b/", "type"},
		{`{"multipleOf":0.01}`, `0.005`, "", "multipleOf"},
		{`{"const":{"a":1}}`, `{}`, "", "const"},
		{`{"enum":[1]}`, `2`, "", "enum"},
		{`{"minProperties":1}`, `{}`, "", "minProperties"},
		{`{"format":"date"}`, `"x"`, "", "format"},
		{`{"pattern":"^a"}`, `"x"`, "", "pattern"},
	} {
		v := mustNew(t, validate.Config{Schema: []byte(c.schema)})
		for range 20 {
			e := refusal(t, v, c.body)
			if e.Pointer != c.pointer || e.Keyword != c.keyword || e.Code != "schema_violation" {
				t.Errorf("%s %s: %q %q %q, want %q %q", c.schema, c.body, e.Code, e.Pointer, e.Keyword, c.pointer, c.keyword)
				break
			}
		}
	}
}

// Engines compare exact names; the top-level object is looked at by package validate.
func TestACaseVariantOfATopLevelNameIsRefused(t *testing.T) {
	open := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"model":{"const":"small"},"o":{"properties":{"a":{}}}}}`)})
	if e := refusal(t, open, `{"MODEL":"large"}`); e.Keyword != "case" || e.Pointer != "/?" {
		t.Error(e)
	}
	if err := open.Check([]byte(`{"o":{"A":1}}`)); err != nil {
		t.Errorf("say so in the package comment: %v", err)
	}
}

func TestRefusalsNeverQuoteTheBody(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{
		"$id": "https://internal.example/CANARYschema.json",
		"additionalProperties": false,
		"properties": {
			"a": {"enum": ["CANARYenum"]}, "b": {"const": "CANARYconst"}, "c": {"pattern": "^CANARYpattern$"}, "d": {"format": "date"},
			"e": {"propertyNames": {"maxLength": 1}}, "f": {"type": "integer"}, "g": {"additionalProperties": {"type": "integer"}},
			"h": {"anyOf": [{"const": "CANARYany"}, {"minLength": 1000}]}, "i": {"not": {"type": "string"}}, "j": {"$ref": "#/$defs/CANARYdef"},
			"k": {"unevaluatedProperties": false}, "l": {"format": "regex"}, "m": {"patternProperties": {"CANARY": false}}
		}, "$defs": {"CANARYdef": {"maxLength": 1}}}`)})
	for _, body := range []string{
		`{"a":"CANARYvalue"}`, `{"b":"CANARYvalue"}`, `{"c":"CANARYvalue"}`, `{"d":"CANARYvalue"}`, `{"e":{"CANARYvalue":1}}`, `{"f":"CANARYvalue"}`,
		`{"g":{"CANARYvalue":"x"}}`, `{"h":"CANARYvalue"}`, `{"i":"CANARYvalue"}`, `{"j":"CANARYvalue"}`, `{"CANARYvalue":1}`, `{"member":"CANARYvalue"}`,
		`{"k":{"CANARYvalue":1}}`, `{"l":"CANARYvalue("}`, `{"m":{"CANARYvalue":1}}`,
	} {
		e := refusal(t, v, body)
		for err := error(e); err != nil; err = errors.Unwrap(err) {
			for _, text := range []string{err.Error(), e.Pointer, e.Keyword, e.Message, e.Code} {
				if strings.Contains(strings.ToUpper(text), "CANARY") {
					t.Errorf("%s: %q", body, text)
				}
			}
		}
	}
}

// v6 dereferences nil where a number is too large for math/big. The scan refuses such numbers; without it the contract of
// validate.Checker holds: a panic, which whoever asks turns into a refusal.
func TestAPanicOfTheEngineIsARefusal(t *testing.T) {
	for _, schema := range []string{`{"maximum":3}`, `{"minimum":3}`, `{"type":"integer"}`, `{"multipleOf":2}`, `{"uniqueItems":true}`, `{"enum":[3]}`} {
		for _, body := range []string{`1e10000000`, `-1e-10000000`, `[1e10000000,1e10000000]`} {
			if e := refusal(t, mustNew(t, validate.Config{Schema: []byte(schema)}), body); e.Status != 400 {
				t.Errorf("%s %s: %v", schema, body, e)
			}
		}
	}
	v := mustNew(t, validate.Config{Schema: []byte(`{"format":"boom"}`)})
	if err := v.Check([]byte(`"x"`)); err != nil {
		t.Errorf("an unknown format is an annotation: %v", err)
	}
	c, err := jsonschema6.Engine{}.Compile(validate.Source{Schema: []byte(`{"maximum":3}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("v6 has learned to take 1e10000000: say so in the package comment")
		}
	}()
	c.Check(json.Number("1e10000000"))
}

// A schema that never ends is found when it is met, and refuses.
func TestASchemaThatRefersToItselfWithoutEndRefuses(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`)})
	refusal(t, v, `1`)
}

func TestOneCheckerServesManyAtOnce(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"a":{"format":"regex"},"b":{"propertyNames":{"pattern":"^x"}}},"unevaluatedProperties":false}`)})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if v.Check([]byte(`{"a":"x+","b":{"x":1}}`)) != nil || v.Check([]byte(`{"a":"("}`)) == nil || v.Check([]byte(`{"b":{"y":1}}`)) == nil {
					t.Error("another verdict")
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkCheck is a chat request of 1 KB: the built-in program beside v6, both through the same Validator.
func BenchmarkCheck(b *testing.B) {
	schema := []byte(`{"type":"object","required":["model","messages"],"properties":{"model":{"type":"string","maxLength":64},
	"stream":{"type":"boolean"},"temperature":{"type":"number","minimum":0,"maximum":2},"n":{"type":"integer","minimum":1,"maximum":4},
	"messages":{"type":"array","minItems":1,"maxItems":1024,"items":{"type":"object","required":["role","content"],"additionalProperties":false,
		"properties":{"role":{"enum":["system","user","assistant"]},"content":{"type":"string","maxLength":65536}}}}}}`)
	turn := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9)
	body := bytes.TrimSpace([]byte(`{"model":"gpt-4o","stream":true,"temperature":0.7,"n":1,"messages":[{"role":"system","content":"You are brief."},` +
		`{"role":"user","content":"` + turn + `"},{"role":"assistant","content":"` + turn + `"}]}`))
	for _, c := range []struct {
		name   string
		engine validate.Engine
	}{{"builtin", nil}, {"v6", jsonschema6.Engine{}}} {
		v, err := validate.New(validate.Config{Schema: schema, Engine: c.engine})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Check(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
