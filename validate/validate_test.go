package validate_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/mantlet-go/mantlet/internal/raced"
	"github.com/mantlet-go/mantlet/validate"
)

func mustNew(t testing.TB, cfg validate.Config) *validate.Validator {
	t.Helper()
	v, err := validate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// refusal returns the *Error of a refused body.
func refusal(t testing.TB, v *validate.Validator, body string) *validate.Error {
	t.Helper()
	var e *validate.Error
	if err := v.Check([]byte(body)); !errors.As(err, &e) {
		t.Fatalf("accepted %.100q (%v)", body, err)
	}
	return e
}

func TestANilOrZeroValidatorRefusesEverything(t *testing.T) {
	for _, v := range []*validate.Validator{nil, {}} {
		e := refusal(t, v, `{}`)
		if e.Status != 500 || e.Code != "internal_error" {
			t.Errorf("%v", e)
		}
	}
}

func TestTheZeroConfigAcceptsStrictJSON(t *testing.T) {
	v := mustNew(t, validate.Config{})
	for _, body := range []string{`{}`, ` [1, "a", null] `, `0`, `"\ud83d\ude00"`, `{"a":{"a":1}}`, `1e400`, `-0`, `{"":1}`, "\t\n\r {} "} {
		if err := v.Check([]byte(body)); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestWhatIsNotOneStrictJSONTextIsRefused(t *testing.T) {
	v := mustNew(t, validate.Config{})
	for name, c := range map[string]struct{ body, code, pointer string }{
		"empty":                        {"", "invalid_json", ""},
		"white space":                  {"  \n", "invalid_json", ""},
		"byte order mark":              {"\xef\xbb\xbf{}", "invalid_json", ""},
		"UTF-16":                       {"\xff\xfe{\x00}\x00", "invalid_json", ""},
		"trailing data":                {`{} {}`, "invalid_json", ""},
		"trailing NUL":                 {"{}\x00", "invalid_json", ""},
		"trailing comma":               {`{"a":1,}`, "invalid_json", ""},
		"record separators":            {"\x1e{}\n", "invalid_json", ""},
		"comment":                      {`{/**/}`, "invalid_json", ""},
		"NaN":                          {`NaN`, "invalid_json", ""},
		"leading zero":                 {`01`, "invalid_json", ""},
		"lone surrogate":               {`"\ud800"`, "invalid_json", ""},
		"bad UTF-8":                    {"\"\xc0\xaf\"", "invalid_json", ""},
		"raw control character":        {"\"a\nb\"", "invalid_json", ""},
		"duplicate":                    {`{"a":1,"a":2}`, "duplicate_key", "/?"},
		"duplicate through an escape":  {`{"a":1,"\u0061":2}`, "duplicate_key", "/?"},
		"duplicate deep down":          {`{"x":[0,{"a":1,"a":2}]}`, "duplicate_key", "/?/1/?"},
		"case variant":                 {`{"model":1,"MODEL":2}`, "duplicate_key", "/?"},
		"case variant with a long s":   {`{"stream":1,"ſtream":2}`, "duplicate_key", "/?"},
		"case variant with the Kelvin": {`{"key":1,"` + "\u212a" + `ey":2}`, "duplicate_key", "/?"},
	} {
		t.Run(name, func(t *testing.T) {
			e := refusal(t, v, c.body)
			if e.Status != 400 || e.Code != c.code || e.Pointer != c.pointer && c.pointer != "" || e.Message == "" {
				t.Errorf("%d %s at %q: %s", e.Status, e.Code, e.Pointer, e.Message)
			}
		})
	}
}

func TestEveryLimitHoldsAtItsBound(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	list := func(n int) string { return "[" + strings.Repeat("0,", n-1) + "0]" }
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":0`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for _, c := range []struct {
		limit    string
		set      validate.Limits
		pass, no string
	}{
		{"Depth", validate.Limits{}, nest(64), nest(65)},
		{"Depth", validate.Limits{Depth: 3}, nest(3), nest(4)},
		{"Keys", validate.Limits{}, members(256), members(257)},
		{"Keys", validate.Limits{Keys: 2}, members(2), members(3)},
		{"TotalKeys", validate.Limits{TotalKeys: 3}, `[{"a":0,"b":0},{"a":0}]`, `[{"a":0,"b":0},{"a":0,"b":0}]`},
		{"KeyLen", validate.Limits{}, `{"` + strings.Repeat("k", 256) + `":0}`, `{"` + strings.Repeat("k", 257) + `":0}`},
		{"ArrayLen", validate.Limits{}, list(10_000), list(10_001)},
		{"StringLen", validate.Limits{}, `"` + strings.Repeat("s", 256<<10) + `"`, `"` + strings.Repeat("s", 256<<10+1) + `"`},
		{"Nodes", validate.Limits{Nodes: 4}, `[0,0,0]`, `[0,0,0,0]`},
		{"NumberLen", validate.Limits{}, strings.Repeat("1", 64), strings.Repeat("1", 65)},
		{"Exponent", validate.Limits{}, `1e400`, `1e401`},
		{"Exponent", validate.Limits{}, `1e-400`, `1e-401`},
	} {
		v := mustNew(t, validate.Config{Limits: c.set})
		if err := v.Check([]byte(c.pass)); err != nil {
			t.Errorf("%s %+v: at the bound: %v", c.limit, c.set, err)
		}
		e := refusal(t, v, c.no)
		if e.Code != "limit_exceeded" || e.Status != 400 || e.Keyword != c.limit || e.Message != validate.Sentences()[c.limit] {
			t.Errorf("%s %+v: past the bound: %v", c.limit, c.set, e)
		}
	}
}

func TestABodyOverMaxBodyIs413(t *testing.T) {
	v := mustNew(t, validate.Config{MaxBody: 10})
	if err := v.Check([]byte(`"12345678"`)); err != nil {
		t.Error(err)
	}
	if e := refusal(t, v, `"123456789"`); e.Status != 413 || e.Code != "body_too_large" {
		t.Error(e)
	}
	if e := refusal(t, mustNew(t, validate.Config{}), `"`+strings.Repeat("a", validate.DefaultMaxBody)+`"`); e.Status != 413 {
		t.Errorf("the default bound: %v", e)
	}
	if long := `["` + strings.Repeat(strings.Repeat("a", 1<<17)+`","`, 31) + `"]`; mustNew(t, validate.Config{}).Check([]byte(long)) != nil {
		t.Errorf("%d bytes are refused, the default is %d", len(long), validate.DefaultMaxBody)
	}
}

// Ten bytes that make jsonschema v5.3.1 and v6.0.3 dereference nil (big.Rat refuses the exponent, the engines ignore that).
func TestTheNumberBomb1e10000000DiesBeforeTheEngine(t *testing.T) {
	for _, schema := range []string{`{"minimum":0}`, `{"type":"integer"}`, `{"multipleOf":0.1}`, `{"enum":[1]}`, `{"const":1}`, `{"uniqueItems":true}`} {
		v := mustNew(t, validate.Config{Schema: []byte(schema)})
		for _, bomb := range []string{`1e10000000`, `-1E+10000000`, `1e-10000000`, `[1e10000000,1e10000000]`, `1e99999999999999999999`} {
			e := refusal(t, v, bomb)
			if bomb[0] == '[' && e.Code == "schema_violation" && e.Pointer == "" {
				continue // refused before the first number
			}
			if e.Code != "limit_exceeded" || e.Keyword != "Exponent" && e.Keyword != "NumberLen" {
				t.Errorf("%s with %s: %v", bomb, schema, e)
			}
		}
	}
}

// 900 bytes that keep the engines busy for three seconds.
func TestAHundredTimes1e999999UnderMultipleOfDiesEarly(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"items":{"multipleOf":0.01}}`)})
	bomb := "[" + strings.Repeat("1e999999,", 99) + "1e999999]"
	if e := refusal(t, v, bomb); e.Code != "limit_exceeded" || e.Keyword != "Exponent" || e.Pointer != "/0" {
		t.Error(e)
	}
}

// At the largest exponent and length that New allows with a schema, a body full of numbers allocates nothing: none is written out.
// (BenchmarkBombs has the time.)
func TestTheLargestAllowedNumbersAreNotWrittenOut(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"items":{"multipleOf":0.01,"minimum":1}}`), Limits: validate.Limits{Exponent: 1000, NumberLen: 1000}})
	body := []byte("[" + strings.Repeat(strings.Repeat("9", 990)+"e1000,", 999) + "1e1000]")
	if n := allocated(func() {
		if err := v.Check(body); err != nil {
			t.Error(err)
		}
	}); n > 64<<10 && !raced.Enabled {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestAPanicOfTheEngineIsARefusal(t *testing.T) {
	refused, private := validate.EngineRefuses([]byte(`{"minimum":0}`), "1e10000000")
	if !refused || private == nil {
		t.Errorf("refused %v, cause %v", refused, private)
	}
	if strings.Contains(private.Error(), "nil pointer") {
		t.Errorf("the cause quotes the panic: %v", private)
	}
}

func TestNumberLimitsCannotBeSwitchedOffUnderASchema(t *testing.T) {
	for _, l := range []validate.Limits{{NumberLen: -1}, {Exponent: -1}, {NumberLen: 1001}, {Exponent: 1001}} {
		if _, err := validate.New(validate.Config{Schema: []byte(`true`), Limits: l}); err == nil {
			t.Errorf("%+v: accepted", l)
		}
		if _, err := validate.New(validate.Config{Limits: l}); err != nil {
			t.Errorf("%+v without a schema: %v", l, err)
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := validate.New(validate.Config{
		Schema:       []byte(`{"type":"nonsense"}`),
		MaxBody:      -5,
		ReadTimeout:  -time.Second,
		ContentTypes: []string{"Application/JSON", "application/*", "json", "text/plain", "application/json; charset=utf-8"},
		Methods:      []string{"post", ""},
		Limits:       validate.Limits{Exponent: -1},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"MaxBody -5", "ReadTimeout -1s", `"Application/JSON"`, `"application/*"`, `"json"`, `"text/plain"`,
		`"application/json; charset=utf-8"`, `"post"`, `Methods ""`, "Exponent -1", "Config.Schema"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not named: %s", want)
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !strings.HasPrefix(line, "validate: ") {
			t.Errorf("prefix: %s", line)
		}
	}
}

func TestBrokenSchemasAreRefusedAtStartUp(t *testing.T) {
	for name, schema := range map[string]string{
		"not JSON":               `{"type":`,
		"trailing data":          `{} {}`,
		"a member twice":         `{"maxLength":5,"maxLength":500}`,
		"not a schema":           `[]`,
		"null":                   `null`,
		"unknown type":           `{"type":"text"}`,
		"negative length":        `{"maxLength":-1}`,
		"look-around":            `{"pattern":"(?=a)"}`,
		"broken pattern":         `{"pattern":"("}`,
		"broken pattern as name": `{"patternProperties":{"(":true}}`,
		"draft 4":                `{"$schema":"http://json-schema.org/draft-04/schema#"}`,
		"draft 2019-09":          `{"$schema":"https://json-schema.org/draft/2019-09/schema"}`,
		"unknown dialect":        `{"$schema":"https://example.com/mine"}`,
		"dialect not a string":   `{"$schema":7}`,
		"remote reference":       `{"$ref":"https://example.com/s.json"}`,
		"file reference":         `{"$ref":"file:///etc/passwd"}`,
		"relative reference":     `{"$ref":"other.json"}`,
		"absolute path":          `{"$ref":"/etc/passwd"}`,
		"reference through $id":  `{"$id":"file:///etc/x.json","$ref":"passwd"}`,
		"remote dynamic":         `{"$dynamicRef":"https://example.com/s.json#x"}`,
		"dangling reference":     `{"$ref":"#/$defs/x"}`,
		"endless loop":           `{"$ref":"#"}`,
	} {
		if _, err := validate.New(validate.Config{Schema: []byte(schema)}); err == nil {
			t.Errorf("%s: accepted %s", name, schema)
		}
	}
}

func TestASlipInAKeywordIsRefusedWithTheWordThatIsMeant(t *testing.T) {
	for _, c := range []struct{ schema, at, wrong, meant string }{
		{`{"requird":["a"]}`, "/requird", "requird", "required"},
		{`{"properites":{"a":{}}}`, "/properites", "properites", "properties"},
		{`{"additionalproperties":false}`, "/additionalproperties", "additionalproperties", "additionalProperties"},
		{`{"properties":{"a":{"maxlength":3}}}`, "/properties/a/maxlength", "maxlength", "maxLength"},
		{`{"items":{"allof":[]}}`, "/items/allof", "allof", "allOf"},
		{`{"anyOf":[{},{"formatt":"date"}]}`, "/anyOf/1/formatt", "formatt", "format"},
		{`{"$defs":{"a/b":{"types":"string"}}}`, "/$defs/a~1b/types", "types", "type"},
		{`{"not":{"if":{"dependentSchema":{}}}}`, "/not/if/dependentSchema", "dependentSchema", "dependentSchemas"},
	} {
		_, err := validate.New(validate.Config{Schema: []byte(c.schema)})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("at %s: unknown keyword %q", c.at, c.wrong)) || !strings.Contains(err.Error(), fmt.Sprintf("%q is meant", c.meant)) {
			t.Errorf("%s: %v", c.schema, err)
		}
	}
	// Several slips are several faults, and names of the author's own are not slips.
	if _, err := validate.New(validate.Config{Schema: []byte(`{"requird":[],"propertis":{}}`)}); err == nil || strings.Count(err.Error(), "validate: Config.Schema at /") != 2 {
		t.Error(err)
	}
	for _, fine := range []string{
		`{"properties":{"requird":{},"formatt":{"type":"string"}}}`, `{"$defs":{"patern":{}}}`, `{"const":{"requird":1}}`, `{"enum":[{"typo":1,"titel":2}]}`,
		`{"default":{"requird":1},"examples":[{"requird":1}]}`, `{"example":1}`, `{"x-enum":[1],"x-order":2}`, `{"nullable":true,"discriminator":{"requird":1}}`,
		`{"notes":"x","typ":1}`, `{"dependentRequired":{"requird":["formatt"]}}`, `{"markdownDescription":"x"}`,
	} {
		if _, err := validate.New(validate.Config{Schema: []byte(fine)}); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

func TestThePrivateCauseNamesTheMemberThatIsNotAllowed(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{
		"properties": {"model": {}, "o": {"additionalProperties": false, "properties": {"a": {}}, "patternProperties": {"^x-": {}}},
			"list": {"type": "array", "items": {"$ref": "#/$defs/one"}}},
		"additionalProperties": false,
		"$defs": {"one": {"additionalProperties": false, "properties": {"b": {}}}}}`)})
	long := strings.Repeat("n", 62) + "äö" + strings.Repeat("n", 62)
	for _, c := range []struct{ body, pointer, name string }{
		{`{"model":1,"top_k":4}`, "", `"top_k"`},
		{`{"zz":1,"top_k":4,"y":2}`, "", `"zz"`},
		{`{"o":{"a":1,"x-y":2,"other":3}}`, "/o", `"other"`},
		{`{"list":[{"b":1},{"b":1,"other":2}]}`, "/list/1", `"other"`},
		{`{"a\nb\u001b[2J\u202e":1}`, "", `"a\nb\x1b[2J\u202e"`},
		{`{"` + long + `":1}`, "", `"` + long[:64] + `"...`},
		{`{"MODEL":1}`, "/?", `"MODEL"`},
	} {
		e := refusal(t, v, c.body)
		if e.Pointer != c.pointer {
			t.Errorf("%s: at %q", c.body, e.Pointer)
		}
		cause := errors.Unwrap(e)
		if cause == nil || !strings.Contains(cause.Error(), "the member "+c.name+" is not allowed") {
			t.Errorf("%s: cause %v", c.body, cause)
		}
		if strings.Contains(fmt.Sprint(e.Error(), e.Pointer, e.Message), strings.Trim(c.name, `".`)) {
			t.Errorf("%s: the client sees the name: %v", c.body, e)
		}
	}
}

func TestNamesThatDifferOnlyByCaseAreRefusedInThoseWords(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"model":{}}}`)})
	for _, body := range []string{`{"MODEL":1}`, `{"model":1,"Model":2}`, `{"x":{"a":1,"A":2}}`} {
		if e := refusal(t, v, body); !strings.Contains(e.Message, "upper and lower case") {
			t.Errorf("%s: %s", body, e.Message)
		}
	}
}

// jsonschema keeps its loaders in a package variable. Whatever another package of the program registers there, a schema of ours
// loads nothing.
func TestALoaderRegisteredByOthersIsNotUsed(t *testing.T) {
	asked := false
	jsonschema.Loaders["https"] = func(string) (io.ReadCloser, error) {
		asked = true
		return io.NopCloser(strings.NewReader(`{}`)), nil
	}
	defer delete(jsonschema.Loaders, "https")
	if _, err := validate.New(validate.Config{Schema: []byte(`{"$ref":"https://example.com/s.json"}`)}); err == nil || asked {
		t.Errorf("err %v, loader asked %v", err, asked)
	}
}

// An unknown format is ignored, as the specification wants; one that looks like a slip would check nothing and tell nobody.
func TestASlipInAFormatIsRefusedWithTheWordThatIsMeant(t *testing.T) {
	for schema, want := range map[string]string{
		`{"format":"emial"}`: `"email"`, `{"properties":{"a":{"format":"datetime"}}}`: `"date-time"`, `{"format":"mantlet-imageurl"}`: `"mantlet-image-url"`, `{"format":"hostnam"}`: `"hostname"`,
	} {
		if _, err := validate.New(validate.Config{Schema: []byte(schema)}); err == nil || !strings.Contains(err.Error(), want+" is meant") {
			t.Errorf("%s: %v", schema, err)
		}
	}
	for _, schema := range []string{`{"format":"idn-email"}`, `{"format":"our-order-number"}`, `{"format":"byte"}`, `{"format":"binary"}`, `{"format":"int32"}`, `{"format":"double"}`, `{"format":"ulid"}`, `{"enum":[{"format":"emial"}]}`} {
		if _, err := validate.New(validate.Config{Schema: []byte(schema)}); err != nil {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestBothDialectsCompile(t *testing.T) {
	d7 := mustNew(t, validate.Config{Schema: []byte(`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}]}`)})
	d2020 := mustNew(t, validate.Config{Schema: []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","prefixItems":[{"type":"string"}]}`)})
	plain := mustNew(t, validate.Config{Schema: []byte(`{"prefixItems":[{"type":"string"}]}`)})
	for _, v := range []*validate.Validator{d7, d2020, plain} {
		if v.Check([]byte(`["a"]`)) != nil || v.Check([]byte(`[1]`)) == nil {
			t.Error("wrong dialect")
		}
	}
}

// Every refusal of the schema says where and why in fixed words. The pointer shows names of the schema and positions only.
func TestSchemaRefusals(t *testing.T) {
	const schema = `{
		"type": "object",
		"required": ["kind", "items"],
		"additionalProperties": false,
		"dependentRequired": {"from": ["to"]},
		"properties": {
			"kind": {"enum": ["secret-internal-model"]},
			"one": {"const": "only"},
			"from": true, "to": true, "never": false, "nope": {"not": {}},
			"date": {"format": "date"}, "mail": {"format": "email"},
			"word": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
			"num": {"type": "number", "minimum": 1, "maximum": 5, "multipleOf": 0.5},
			"xnum": {"exclusiveMinimum": 1, "exclusiveMaximum": 5},
			"few": {"minItems": 1, "maxItems": 2, "uniqueItems": true, "contains": {"type": "integer"}, "minContains": 2},
			"pair": {"prefixItems": [true], "items": false},
			"size": {"minProperties": 1, "maxProperties": 1, "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"type": "integer"}},
			"shut": {"properties": {"a": true}, "unevaluatedProperties": false},
			"a/b~c": {"type": "integer"},
			"items": {"type": "array", "items": {"oneOf": [
				{"type": "object", "required": ["type", "text"], "properties": {"type": {"const": "text"}, "text": {"type": "string"}}},
				{"type": "object", "required": ["type", "url"], "properties": {"type": {"const": "image"}, "url": {"type": "string"}}}
			]}},
			"any": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
			"cond": {"if": {"required": ["x"]}, "then": {"required": ["y"]}}
		}
	}`
	v := mustNew(t, validate.Config{Schema: []byte(schema)})
	for _, c := range []struct{ extra, pointer, keyword string }{
		{`"one":"other"`, "/one", "const"},
		{`"from":1`, "/to", "dependentRequired"},
		{`"never":1`, "/never", "not"},
		{`"nope":1`, "/nope", "not"},
		{`"date":"2026-13-01"`, "/date", "format"},
		{`"mail":"nobody"`, "/mail", "format"},
		{`"word":1`, "/word", "type"},
		{`"word":"AB"`, "/word", "pattern"},
		{`"word":"a"`, "/word", "minLength"},
		{`"word":"abcde"`, "/word", "maxLength"},
		{`"num":0`, "/num", "minimum"},
		{`"num":6`, "/num", "maximum"},
		{`"num":1.3`, "/num", "multipleOf"},
		{`"xnum":1`, "/xnum", "exclusiveMinimum"},
		{`"xnum":5`, "/xnum", "exclusiveMaximum"},
		{`"few":[]`, "/few", "minItems"},
		{`"few":[1,2,3]`, "/few", "maxItems"},
		{`"few":[1,1]`, "/few", "uniqueItems"},
		{`"few":["a"]`, "/few", "minContains"},
		{`"pair":[1,2]`, "/pair/1", "not"},
		{`"size":{}`, "/size", "minProperties"},
		{`"size":{"a":1,"b":1}`, "/size", "maxProperties"},
		{`"size":{"CANARY":1}`, "/size/?", "propertyNames"},
		{`"size":{"canary":"x"}`, "/size/?", "type"},
		{`"shut":{"canary":1}`, "/shut", "unevaluatedProperties"},
		{`"a/b~c":"x"`, "/a~1b~0c", "type"},
		{`"any":null`, "/any", "anyOf"},
		{`"cond":{"x":1}`, "/cond/y", "required"},
		{`"canary":1`, "", "additionalProperties"},
		{`"Kind":1`, "", "duplicate"},
	} {
		body := `{"kind":"secret-internal-model","items":[],` + c.extra + `}`
		e := refusal(t, v, body)
		if c.keyword == "duplicate" {
			if e.Code != "duplicate_key" || e.Pointer != "/?" {
				t.Errorf("%s: %v", c.extra, e)
			}
			continue
		}
		if e.Status != 422 || e.Code != "schema_violation" || e.Pointer != c.pointer || c.keyword != "" && e.Keyword != c.keyword {
			t.Errorf("%s: %v, want %s at %q", c.extra, e, c.keyword, c.pointer)
		}
		if e.Message != validate.Sentences()[e.Keyword] && (e.Keyword != "format" || !slices.Contains(validate.FormatSentences(), e.Message)) {
			t.Errorf("%s: message %q is not the sentence of %q", c.extra, e.Message, e.Keyword)
		}
	}
	for _, c := range []struct{ body, pointer, keyword string }{
		{`{"items":[]}`, "/kind", "required"},
		{`{"kind":"x","items":[]}`, "/kind", "enum"},
		{`{"kind":"secret-internal-model"}`, "/items", "required"},
		{`{"kind":"secret-internal-model","items":[{"type":"text"}]}`, "/items/0/text", "required"},
		{`{"kind":"secret-internal-model","items":[{"type":"text","text":"a"},{"type":"image","url":7}]}`, "/items/1/url", "type"},
		{`{"kind":"secret-internal-model","items":[{"type":"canary"}]}`, "/items/0", "oneOf"},
		{`{"kind":"secret-internal-model","items":["canary"]}`, "/items/0", "oneOf"},
		{`[]`, "", "type"},
		{`{"KIND":"secret-internal-model","items":[]}`, "/?", "case"},
	} {
		if e := refusal(t, v, c.body); e.Pointer != c.pointer || e.Keyword != c.keyword {
			t.Errorf("%s: %v, want %s at %q", c.body, e, c.keyword, c.pointer)
		}
	}
}

func TestTheSameBodyIsAlwaysRefusedForTheSameReason(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"a":{"type":"string"},"b":{"maximum":1},"c":{"enum":[1]},"d":{"format":"date"}}}`)})
	for range 50 { // the first fault in the order of the document
		if e := refusal(t, v, `{"d":"x","c":2,"b":2,"a":2}`); e.Pointer != "/d" || e.Keyword != "format" {
			t.Fatal(e)
		}
	}
}

func TestANumericNameIsNotTakenForAnArrayPosition(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"additionalProperties":{"type":"array","items":{"type":"string"}}}`)})
	if e := refusal(t, v, `{"4111111111111111":["a",1]}`); e.Pointer != "/?/1" {
		t.Errorf("schema: %q", e.Pointer)
	}
	v = mustNew(t, validate.Config{})
	if e := refusal(t, v, `{"123":["a",{"456":1,"456":2}]}`); e.Pointer != "/?/1/?" {
		t.Errorf("scan: %q", e.Pointer)
	}
	if e := refusal(t, v, `{"1\"[{":[0,{"5":1,"5":2}]}`); e.Pointer != "/?/1/?" {
		t.Errorf("scan past brackets in a name: %q", e.Pointer)
	}
}

// Whatever is refused, nothing of the body and nothing of the schema's lists is in what the client gets.
func TestRefusalsNeverQuoteTheBody(t *testing.T) {
	const canary = "CANARYvalue"
	v := mustNew(t, validate.Config{Limits: validate.Limits{Depth: 4, StringLen: 64}, Schema: []byte(`{
		"$id": "https://internal.example/CANARYschema.json",
		"additionalProperties": false,
		"properties": {
			"a": {"enum": ["CANARYenum"]}, "b": {"const": "CANARYconst"}, "c": {"pattern": "^CANARYpattern$"}, "d": {"format": "date"},
			"e": {"propertyNames": {"maxLength": 1}}, "f": {"type": "integer"}, "g": {"additionalProperties": {"type": "integer"}},
			"h": {"anyOf": [{"const": "CANARYany"}, {"minLength": 1000}]}, "i": {"not": {"type": "string"}}, "j": {"$ref": "#/$defs/CANARYdef"}
		}, "$defs": {"CANARYdef": {"maxLength": 1}}}`)})
	for _, body := range []string{
		`{"a":"CANARYvalue"}`, `{"b":"CANARYvalue"}`, `{"c":"CANARYvalue"}`, `{"d":"CANARYvalue"}`, `{"e":{"CANARYvalue":1}}`, `{"f":"CANARYvalue"}`,
		`{"g":{"CANARYvalue":"x"}}`, `{"h":"CANARYvalue"}`, `{"i":"CANARYvalue"}`, `{"j":"CANARYvalue"}`, `{"CANARYvalue":1}`, `{"member":"CANARYvalue"}`,
		`{"CANARYvalue":1,"CANARYvalue":2}`, `{"CANARYvalue":1,"canaryVALUE":2}`, `{"CANARYvalue":[[[[1]]]]}`, `{"CANARYvalue":"` + strings.Repeat("x", 65) + `"}`,
		`{"a":"CANARYvalue"} x`, `CANARYvalue`, `{"A":"CANARYvalue"}`, `{"a":"CANARYvalue\ud800"}`,
	} {
		e := refusal(t, v, body)
		for _, text := range []string{e.Error(), e.Pointer, e.Keyword, e.Message, e.Code} {
			if strings.Contains(strings.ToUpper(text), "CANARY") {
				t.Errorf("%s: %q", body, text)
			}
		}
		for cause := errors.Unwrap(e); cause != nil; cause = errors.Unwrap(cause) {
			// The name of a member that the schema does not allow is in the private cause, on purpose; a value never is.
			if strings.Contains(cause.Error(), canary) && !((e.Keyword == "additionalProperties" || e.Keyword == "propertyNames") && strings.Contains(body, `"`+canary+`":`)) {
				t.Errorf("%s: cause %q", body, cause)
			}
		}
	}
}

func TestEverySentenceIsAPlainSentence(t *testing.T) {
	for k, s := range validate.Sentences() {
		if !strings.HasSuffix(s, ".") || strings.ContainsAny(s, "%\"'{}<>\\") || strings.ToUpper(s[:1]) != s[:1] {
			t.Errorf("%s: %q", k, s)
		}
	}
}

func TestFoldNameMeetsWhatEncodingJSONTakesForEqual(t *testing.T) {
	for _, pair := range [][2]string{{"model", "MODEL"}, {"stream", "\u017ftream"}, {"key", "\u212aey"}, {"straße", "STRASSE"}, {"é", "É"}, {"ǆ", "ǅ"}, {"σ", "ς"}} {
		want := strings.EqualFold(pair[0], pair[1])
		if got := validate.FoldName(pair[0]) == validate.FoldName(pair[1]); got != want {
			t.Errorf("%q %q: %v, EqualFold says %v", pair[0], pair[1], got, want)
		}
	}
}

// A Go server behind takes "Url" for "url", at any depth; what the schema said of url would not hold for it.
func TestACaseVariantOfADeclaredNameIsRefusedAtAnyDepth(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"list":{"items":{"$ref":"#/$defs/one"}},"free":{"properties":{"maxTokens":{}},"patternProperties":{"^X-":{}}}},
		"$defs":{"one":{"properties":{"url":{"type":"string"},"key":{"maximum":1}}}}}`)})
	for body, pointer := range map[string]string{
		`{"list":[{"url":"x"},{"Url":1}]}`: "/list/1/?", `{"list":[{"\u0055RL":1}]}`: "/list/0/?", "{\"list\":[{\"\u212aey\":5}]}": "/list/0/?",
		`{"free":{"maxtokens":1}}`: "/free/?", `{"LIST":[]}`: "/?",
	} {
		if e := refusal(t, v, body); e.Keyword != "case" || e.Pointer != pointer {
			t.Errorf("%s: %v", body, e)
		}
	}
	for _, body := range []string{`{"list":[{"url":"x","uri":1,"Extra":2}]}`, `{"free":{"maxTokens":1,"X-MAXTOKENS":2,"tokens":3}}`, `{"other":{"URL":1}}`} {
		if err := v.Check([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestInsecureFoldCollisionsCanBeAllowed(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"a":true}}`), Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
	for _, body := range []string{`{"a":1,"A":2}`, `{"A":2}`} {
		if err := v.Check([]byte(body)); err != nil {
			t.Error(err)
		}
	}
	v = mustNew(t, validate.Config{Limits: validate.Limits{InsecureAllowDuplicateKeys: true}})
	if err := v.Check([]byte(`{"a":1,"a":2}`)); err != nil {
		t.Error(err)
	}
}

func TestTheRegexFormatFollowsECMAScript(t *testing.T) {
	for pattern, want := range map[string]bool{
		`^a+$`: true, `(?=a)b`: true, `(?!a)(?<=b)(?<!c)d`: true, `(?<year>\d{4})\k<year>`: true, `(?P<x>a)`: true, `(a)\1+`: true, `(?:a|b)*?`: true,
		`(?i)a`: true, `(?i:a)+`: true, `\cA\u0041\u{1F600}`: true, `[\w-.]`: true, `[\u4e00-\u9fa5]`: true, `[\x00-\x1f]`: true, `\p{Letter}+`: true,
		`[]`: true, `[^]`: true, `[[a]`: true, `[a-]`: true, `[-a]`: true, `[a-c-e]`: true, `[\b]`: true, `[(*]`: true, `[\]]`: true, `a]`: true,
		`a{1,5000}`: true, `a{2000}`: true, `a{2,}`: true, `a{0}`: true, `a{,5}`: true, `{`: true, `a{b}`: true, `x{1000}{`: true, `\/`: true, ``: true, `||`: true, `()`: true,
		`(a{100}){100}`: true,
		`^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$`: true, // zod's e-mail
		`foo**`: false, `a+*`: false, `a{2}{3}`: false, `(`: false, `)`: false, `(a`: false, `a)`: false, `(?`: false, `(?<=`: false, `(?x`: false, `(?<>a)`: false, `(?>a)`: false,
		`[a`: false, `[`: false, `[\`: false, `[^`: false, `[z-a]`: false, `[\x7f-\x00]`: false, `a{5,2}`: false, `*a`: false, `|*`: false, `(*a)`: false, `{2}`: false, `^*`: false, `\`: false,
		`a{9999999}`: false, `a{99999999999999999999}`: false, `((a{1000}){1000}){1000}`: false, `(x|(a{2000})*){2000}`: false,
		strings.Repeat("(", 101) + strings.Repeat(")", 101): false, strings.Repeat("a", 4097): false,
	} {
		if got := validate.IsPattern(pattern); got != want {
			t.Errorf("%.40q: %v, want %v", pattern, got, want)
		}
	}
	v := mustNew(t, validate.Config{Schema: []byte(`{"format":"regex"}`)})
	if v.Check([]byte(`7`)) != nil || v.Check([]byte(`"("`)) == nil {
		t.Error("a format says nothing about numbers")
	}
}

func TestAValidatorIsSafeForConcurrentUse(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: completionSchema})
	bodies := []struct {
		body string
		ok   bool
	}{{`{"prompt":"x"}`, true}, {`{"prompt":"x","n":9}`, false}, {`{"prompt":1}`, false}, {`{"prompt":"x","prompt":"x"}`, false}, {`{"prompt":"y","n":8}`, true}}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				c := bodies[rand.IntN(len(bodies))]
				if (v.Check([]byte(c.body)) == nil) != c.ok {
					t.Errorf("%s: want %v", c.body, c.ok)
				}
			}
		})
	}
	wg.Wait()
}

func TestSwapReplacesEverythingAtOnceAndKeepsTheOldConfigOnAFault(t *testing.T) {
	v, err := validate.New(validate.Config{Schema: []byte(`{"required":["a"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Swap(validate.Config{Schema: []byte(`{"type":1}`), MaxBody: -1}); err == nil || !strings.Contains(err.Error(), "Config.MaxBody") {
		t.Fatalf("a faulty Config was taken: %v", err)
	}
	if v.Check([]byte(`{"a":1}`)) != nil || v.Check([]byte(`{"b":1}`)) == nil {
		t.Fatal("the old Config does not decide after a faulty Swap")
	}
	if err := v.Swap(validate.Config{Schema: []byte(`{"required":["b"]}`), MaxBody: 7}); err != nil {
		t.Fatal(err)
	}
	if v.Check([]byte(`{"a":1}`)) == nil || v.Check([]byte(`{"b":1}`)) != nil || v.Check([]byte(`{"b":10}`)) == nil {
		t.Fatal("the new Config does not decide")
	}
}

// Under the race detector; every body is right for exactly one of the two Configs, so that a mixture of both would be seen.
func TestSwapDuringTrafficJudgesEachRequestByOneConfig(t *testing.T) {
	configs := [2]validate.Config{
		{Schema: []byte(`{"required":["a"],"properties":{"a":{"const":1}}}`), Methods: []string{"POST"}},
		{Schema: []byte(`{"required":["b"],"properties":{"b":{"const":2}}}`), Methods: []string{"PUT"}},
	}
	v, err := validate.New(configs[0])
	if err != nil {
		t.Fatal(err)
	}
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, c := range []struct{ method, body string }{{"POST", `{"b":2}`}, {"PUT", `{"a":1}`}} {
					r := httptest.NewRequest(c.method, "/", strings.NewReader(c.body))
					r.Header.Set("Content-Type", "application/json")
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code == http.StatusNoContent {
						t.Errorf("%s %s passed: the method of one Config, the schema of the other", c.method, c.body)
						return
					}
				}
			}
		})
	}
	for i := range 200 {
		if err := v.Swap(configs[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

// A schema that only the engine covers still refuses a variant of a top-level name.
func TestACaseVariantIsRefusedInFrontOfTheEngineToo(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"model":{"type":"string"},"parameters":{"$ref":"https://json-schema.org/draft/2020-12/schema"}}}`)})
	if !validate.NeedsEngine(v) {
		t.Fatal("the engine is not asked")
	}
	if e := refusal(t, v, `{"Model":1,"parameters":{"type":"object"}}`); e.Keyword != "case" || e.Pointer != "/?" {
		t.Error(e)
	}
	if err := v.Check([]byte(`{"model":"m","parameters":{"type":"object"}}`)); err != nil {
		t.Error(err)
	}
	if e := refusal(t, v, `{"parameters":{"type":"banana"}}`); e.Keyword == "" {
		t.Error(e)
	}
}
