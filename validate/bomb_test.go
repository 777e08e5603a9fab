package validate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/raced"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// bomb is a body that is small to send and was, or would be, expensive to judge: each takes some implementation to its knees.
type bomb struct {
	name, schema string // "" is no schema, chat the preset
	body         string
	limits       validate.Limits
	keyword      string // of the refusal, its code where it has none; "" is an accepted body
	memory       uint64 // bodies that may be allocated; 0 is 2
}

const chat = "the preset of OpenAI's chat"

func many(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }

// numbered is many with a number in it.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func list(s string) string { return "[" + s + "]" }

func chatOf(messages string) string { return `{"model":"m","messages":[` + messages + `]}` }

// sameSlot makes n names that fall into one slot of a table of 2^16 hashed by FNV-1a, which is what a reader without a seed uses.
func sameSlot(n int) string {
	var b strings.Builder
	for i := 0; n > 0; i++ {
		name := fmt.Sprintf("k%d", i)
		h := uint32(2166136261)
		for j := range len(name) {
			h = (h ^ uint32(name[j])) * 16777619
		}
		if h&0xff == 0 {
			fmt.Fprintf(&b, `"%s":0,`, name)
			n--
		}
	}
	return strings.TrimSuffix(b.String(), ",")
}

// alike makes n names of the length size that share their first and last eight bytes.
func alike(n, size int, fill string) string {
	fill = strings.Repeat(fill, size/len(fill))
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%s%02d%s":0`, fill[:len(fill)/2], i, fill[len(fill)/2:])
	}
	return b.String()[1:]
}

// nested puts inner into n levels that open and close so.
func nested(n int, open, inner, end string) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

func bombs() []bomb {
	// A schema that calls itself in two alternatives: an engine that walks a tree asks 2^depth times.
	twice := `{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"items":{"$ref":"#/$defs/a"}},{"properties":{"x":{"$ref":"#/$defs/a"}},"items":{"$ref":"#/$defs/a"}}]}}}`
	both := `{"$ref":"#/$defs/a","$defs":{"a":{"oneOf":[{"type":"array","items":{"$ref":"#/$defs/a"}},{"oneOf":[{"type":"integer"},{"type":"array","minItems":2,"items":{"$ref":"#/$defs/a"}}]}]}}}`
	var doubling strings.Builder // d0 is d1 and d1, and so on
	doubling.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range 60 {
		fmt.Fprintf(&doubling, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	doubled := doubling.String() + `"d60":%s}%s}`
	alternatives := func(n int, format string) string { return `{"anyOf":[` + numbered(n, format) + `]}` }
	image := `{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://example.com/a"}}]}`
	prefixed := func(n int, last string) string {
		return numbered(n, `{"a":{"b":[1,2,3,"the same words again"]},"i":`+last+`}`)
	}
	list20 := many(20, `{"type":"array","items":{"$ref":"#/$defs/i"}}`)

	return []bomb{
		// Numbers.
		{"1e10000000, minimum", `{"minimum":0}`, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, type", `{"type":"integer"}`, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, multipleOf", `{"multipleOf":3}`, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, enum", `{"enum":[1,2]}`, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, const", `{"const":1}`, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, uniqueItems", `{"uniqueItems":true}`, `[1e10000000,1E10000000]`, validate.Limits{}, "Exponent", 0},
		{"1e10000000, no schema", ``, `1e10000000`, validate.Limits{}, "Exponent", 0},
		{"1e-10000000", `{"multipleOf":0.1}`, `1e-10000000`, validate.Limits{}, "Exponent", 0},
		{"100 of 1e999999", `{"items":{"multipleOf":7}}`, list(many(100, `1e999999`)), validate.Limits{}, "Exponent", 0},
		{"10,000 of 1e400", `{"items":{"multipleOf":7,"minimum":0}}`, list(many(10_000, `7e400`)), validate.Limits{}, "", 0},
		{"10,000 of 1e1000", `{"items":{"multipleOf":7.5e-300}}`, list(many(10_000, `75e1000`)), validate.Limits{Exponent: 1000}, "", 0},
		{"1,000 of 1,000 digits", `{"items":{"multipleOf":0.1,"enum":[1]}}`, list(many(1000, strings.Repeat("3", 1000))), validate.Limits{NumberLen: 1000}, "enum", 0},
		{"10,000 long fractions", `{"uniqueItems":true,"items":{"type":"number","maximum":1}}`, list(numbered(10_000, `0.1234567890123456789012345678901234567890%05d`)), validate.Limits{}, "", 0},
		{"a million digits", `{"type":"integer"}`, strings.Repeat("9", 1_000_000), validate.Limits{}, "NumberLen", 0},

		// Depth.
		{"100,000 brackets", `{}`, strings.Repeat("[", 100_000), validate.Limits{}, "Depth", 0},
		{"100,000 objects", `{"additionalProperties":{"$ref":"#"}}`, strings.Repeat(`{"a":`, 100_000), validate.Limits{}, "Depth", 0},
		{"4 MB of brackets, no limit", `{"items":{"$ref":"#"}}`, strings.Repeat("[", 4<<20), validate.Limits{Depth: -1}, "invalid_json", 0},
		{"9,000 levels, no limit", `{"items":{"$ref":"#"}}`, nested(9_000, "[", "", "]"), validate.Limits{Depth: -1}, "", 0},
		{"64 levels, two alternatives", twice, nested(64, "[", "", "]"), validate.Limits{}, "", 0},
		{"64 levels of objects, two alternatives", twice, nested(64, `{"x":`, "1", "}"), validate.Limits{}, "", 0},
		{"64 levels, wide, two alternatives", twice, list(many(1000, nested(63, "[", "1,2", "]"))), validate.Limits{}, "", 0},
		{"oneOf of oneOf", both, nested(64, "[", "1", "]"), validate.Limits{}, "", 0},
		{"oneOf of oneOf, both fit", both, nested(62, "[", "[1,1],[1]", "]"), validate.Limits{}, "oneOf", 0},
		{"allOf doubled 60 times", fmt.Sprintf(doubled, `{"type":"array"}`, ""), list(many(10_000, "1")), validate.Limits{}, "", 0},
		{"allOf doubled 60 times, unevaluated", fmt.Sprintf(doubled, `{"properties":{"a":true}}`, `,"unevaluatedProperties":{"type":"integer"}`), "{" + numbered(256, `"b%d":"x"`) + "}", validate.Limits{}, "unevaluatedProperties", 0},
		{"if in if", `{"$ref":"#/$defs/a","$defs":{"a":{"if":{"items":{"$ref":"#/$defs/a"}},"then":{"items":{"$ref":"#/$defs/a"}},"else":{"items":{"$ref":"#/$defs/a"}}}}}`, nested(64, "[", "1", "]"), validate.Limits{}, "", 0},
		{"not of not", `{"$ref":"#/$defs/a","$defs":{"a":{"not":{"not":{"items":{"$ref":"#/$defs/a"},"additionalProperties":{"$ref":"#/$defs/a"}}}}}}`, nested(64, `[`, "1", "]"), validate.Limits{}, "", 0},

		// Names.
		{"names for one slot", ``, "{" + sameSlot(256) + "}", validate.Limits{}, "", 0},
		{"10,000 names for one slot", ``, list(many(39, "{"+sameSlot(256)+"}")), validate.Limits{}, "", 0},
		{"50,000 names for one slot, no limit", ``, "{" + sameSlot(50_000) + "}", validate.Limits{Keys: -1, TotalKeys: -1, Nodes: -1}, "", 0},
		{"10,000 long names alike", ``, list(many(625, "{"+alike(16, 240, "x")+"}")), validate.Limits{}, "", 0},
		{"10,000 long names alike, Greek", ``, list(many(625, "{"+alike(16, 240, "λ")+"}")), validate.Limits{}, "", 0},
		{"10,000 long names alike, escaped", ``, list(many(625, "{"+alike(16, 240, `\u0061`)+"}")), validate.Limits{}, "", 0},
		{"10,000 long names alike, in large objects", ``, list(many(39, "{"+alike(256, 240, "λ")+"}")), validate.Limits{}, "", 0},
		{"10,000 names, case is all", ``, list(many(39, "{"+alike(256, 12, "ſK")+"}")), validate.Limits{}, "", 0},
		{"10 MB of a name", ``, `{"` + strings.Repeat("k", 10<<20) + `":1}`, validate.Limits{}, "body_too_large", 0},
		{"3 MB of a name", ``, `{"` + strings.Repeat("k", 3<<20) + `":1}`, validate.Limits{}, "KeyLen", 0},
		{"a million members", `{}`, "{" + numbered(1_000_000/4, `"%d":1`) + "}", validate.Limits{}, "Keys", 0},
		{"names that a pattern looks at", `{"patternProperties":{"^(a|b|c|d)*$":{"type":"integer"}},"additionalProperties":false}`, list(many(39, "{"+alike(256, 200, "abcd")+"}")), validate.Limits{}, "", 0},
		{"propertyNames", `{"items":{"propertyNames":{"anyOf":[{"pattern":"^x"},{"maxLength":3},{"enum":["a","b"]},{"minLength":5}]}}}`, list(many(39, "{"+numbered(256, `"name%d":0`)+"}")), validate.Limits{}, "", 0},

		// Width.
		{"a million empty arrays", `{}`, list(many(1_000_000, "[]")), validate.Limits{}, "ArrayLen", 0},
		{"10,000 empty arrays", `{"items":{"type":"array","maxItems":1}}`, list(many(10_000, "[]")), validate.Limits{}, "", 0},
		{"a million empty arrays, no limit", `{"items":{"maxItems":3}}`, list(many(1_000_000, "[]")), validate.Limits{ArrayLen: -1, Nodes: -1}, "", 0},
		{"99,000 empty objects", `{"items":{"items":{"required":[],"properties":{"a":true}}}}`, list(many(9, list(many(10_000, "{}")))), validate.Limits{}, "", 0},
		{"a string of 256 KB", `{"minLength":1,"maxLength":300000}`, `"` + strings.Repeat("é", 128<<10) + `"`, validate.Limits{}, "", 0},
		{"a string of 256 KB of escapes", `{"minLength":1,"pattern":"a$"}`, `"` + strings.Repeat(`\u0061`, 43_690) + `"`, validate.Limits{}, "", 0},
		{"a string of 4 MB", `{}`, `"` + strings.Repeat("x", 4<<20-2) + `"`, validate.Limits{}, "StringLen", 0},
		// net/url takes 3.3 times the text of a reference that it refuses, and two of the ten ask it; each text is copied once for all ten.
		{"15 strings of 256 KB and ten formats", `{"items":{"anyOf":[` + strings.Join([]string{`{"format":"date-time"}`, `{"format":"uri"}`, `{"format":"email"}`, `{"format":"uuid"}`, `{"format":"regex"}`, `{"format":"ipv6"}`,
			`{"format":"json-pointer"}`, `{"format":"uri-template"}`, `{"format":"hostname"}`, `{"format":"duration"}`}, ",") + `]}}`, list(many(15, `"`+strings.Repeat("x y", 80<<10)+`"`)), validate.Limits{}, "anyOf", 0},
		{"a pattern with 400 states, 64 KB", `{"pattern":"^(a{0,20}b?){0,20}c$"}`, `"` + strings.Repeat("a", 64<<10) + `"`, validate.Limits{}, "pattern", 0},
		{"150 strings of 21 KB and five formats", `{"items":{"anyOf":[{},{"format":"date-time"},{"format":"uri"},{"format":"email"},{"format":"iri"},{"format":"uri-template"}]}}`,
			list(many(150, `"`+strings.Repeat("x y", 7<<10)+`"`)), validate.Limits{}, "", 13}, // garbage of one string at a time: the URI formats copy it several times
		{"a pattern with 1,000 states, 5 KB", `{"pattern":"(a|b|c){1000}$","maxLength":5400}`, `"` + strings.Repeat("abc", 1800) + `"`, validate.Limits{}, "", 0},
		{"the same pattern with a maxLength", `{"pattern":"(a|b|c){1000}$","maxLength":2000}`, `"` + strings.Repeat("abc", 21<<10) + `"`, validate.Limits{}, "maxLength", 0},
		{"900 strings of format regex", `{"items":{"format":"regex"}}`, list(many(900, `"`+strings.Repeat("(a{1,9}){1,9}", 300)+`"`)), validate.Limits{}, "", 0},

		// Alternatives.
		{"20 alternatives for 100,000 scalars", `{"items":{"items":` + alternatives(20, `{"const":%d}`) + `}}`, list(many(9, list(many(10_000, "19")))), validate.Limits{}, "", 0},
		{"20 alternatives for 10,000 arrays", `{"anyOf":[` + list20 + `],"$defs":{"i":{"type":"array"}}}`, list(many(10_000, "[]")), validate.Limits{}, "", 0},
		{"200 alternatives, each with its items", alternatives(200, `{"items":{"minItems":0,"maxItems":%d}}`), list(many(10_000, "[]")), validate.Limits{}, "", 0},
		{"200 alternatives, tagged, the last one", `{"items":` + alternatives(200, `{"properties":{"type":{"const":"t%d"}},"required":["type"]}`) + `}`, list(many(10_000, `{"type":"t199"}`)), validate.Limits{}, "", 0},
		{"200 alternatives, tagged, none", `{"items":` + alternatives(200, `{"properties":{"type":{"const":"t%d"}},"required":["type"]}`) + `}`, list(many(10_000, `{"type":"no"}`)), validate.Limits{}, "anyOf", 0},
		{"an enum of 10,000 words", `{"items":{"enum":[` + numbered(10_000, `"word%d"`) + `]}}`, list(many(10_000, `"word9999"`)), validate.Limits{}, "", 0},
		{"an enum of 1,000 numbers", `{"items":{"enum":[` + numbered(1000, `%d.5`) + `]}}`, list(many(10_000, `999.5`)), validate.Limits{}, "", 0},
		{"an enum of 100 arrays", `{"items":{"enum":[` + numbered(100, `[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,%d]`) + `]}}`, list(many(1_000, `[1,2,3,4,5,6,7,8,99]`)), validate.Limits{}, "", 0},
		{"an enum of 100 objects", `{"items":{"enum":[` + numbered(100, `{"a":1,"b":"x","c":%d}`) + `]}}`, list(many(1_000, `{"a":1,"\u0062":"\u0078","c":99}`)), validate.Limits{}, "", 0},

		// What was looked at.
		{"unevaluatedProperties", `{"unevaluatedProperties":{"type":"integer"},"anyOf":[{"properties":{"a":true}},{"patternProperties":{"^x":true}}]}`, "{" + numbered(256, `"x%d":"y"`) + "}", validate.Limits{}, "", 0},
		{"unevaluatedProperties in 40 objects", `{"items":{"unevaluatedProperties":false,"anyOf":[{"properties":{"a":true}},{"patternProperties":{"^x":true}}]}}`, list(many(39, "{"+numbered(256, `"x%d":"y"`)+"}")), validate.Limits{}, "", 0},
		{"unevaluatedItems and contains", `{"contains":{"type":"integer"},"unevaluatedItems":{"type":"string"}}`, list(many(10_000, "1")), validate.Limits{}, "", 0},
		{"unevaluatedItems and 20 contains", `{"allOf":[` + numbered(20, `{"contains":{"enum":[1,"%d"]}}`) + `],"unevaluatedItems":false}`, list(many(10_000, "1")), validate.Limits{}, "", 0},
		{"contains, never", `{"contains":{"type":"string"}}`, list(many(10_000, "{}")), validate.Limits{}, "contains", 0},
		{"contains, too often", `{"contains":{"type":"object"},"maxContains":9999}`, list(many(10_000, "{}")), validate.Limits{}, "maxContains", 0},

		// uniqueItems.
		{"2,000 objects, the last one twice", `{"uniqueItems":true}`, list(prefixed(2000, `%d`) + `,{"i":1999,"a":{"b":[1.0,2,3e0,"\u0074he same words again"]}}`), validate.Limits{}, "uniqueItems", 0},
		{"3,000 objects, none twice", `{"uniqueItems":true}`, list(prefixed(3000, `"%d"`)), validate.Limits{}, "", 0},
		{"10,000 numbers", `{"uniqueItems":true}`, list(numbered(10_000, `%d`)), validate.Limits{}, "", 0},
		{"10,000 ways to write one number", `{"uniqueItems":true}`, list(numbered(5_000, `1%de-5`)), validate.Limits{}, "", 0},
		{"two large objects that are equal", `{"uniqueItems":true}`, list("{" + numbered(256, `"k%d":0`) + `},` + "{" + numbered(256, `"k%d":0.0`) + "}"), validate.Limits{}, "uniqueItems", 0},
		{"two large trees that are equal", `{"uniqueItems":true}`, list(many(2, list(many(19, "{"+numbered(256, `"k%d":0`)+"}")))), validate.Limits{}, "uniqueItems", 0},
		{"unique in unique", `{"uniqueItems":true,"items":{"$ref":"#"}}`, nested(63, "[1,", list(numbered(9_000, `"a string of some length %d"`)), "]"), validate.Limits{}, "", 0},

		// Chat.
		{"800 KB of parts of an unknown type", chat, chatOf(many(40, `{"role":"user","content":[`+many(1000, `{"type":"unknown"}`)+`]}`)), validate.Limits{}, "enum", 0},
		{"900 messages, wrong at the end", chat, chatOf(many(900, image) + `,{"role":"user","content":[{"type":"text","txet":"x"}]}`), validate.Limits{}, "additionalProperties", 0},
		{"2,000 messages", chat, chatOf(many(2000, `{"role":"user","content":"x"}`)), validate.Limits{}, "", 0},
		{"2,000 messages, each wrong at its end", `{"properties":{"messages":{"items":{"required":["role"],"anyOf":[{"properties":{"z":{"type":"integer"}}},{"properties":{"z":{"type":"null"}}}]}}}}`,
			chatOf(many(2000, `{"role":"user","content":"hello","z":"no"}`)), validate.Limits{}, "anyOf", 0},
		{"2,000 messages, each wrong at its end, and one list is right", `{"anyOf":[{"properties":{"messages":{"items":{"properties":{"z":{"type":"integer"}}}}}},{"properties":{"messages":{"type":"array"}}}]}`,
			chatOf(many(2000, `{"role":"user","content":"hello","z":"no"}`)), validate.Limits{}, "", 0},
		{"4 MB of whitespace", chat, `{"model":"m",` + strings.Repeat(" ", 4<<20-100) + `"messages":[{"role":"user","content":"x"}]}`, validate.Limits{}, "", 0},
	}
}

func (b bomb) validator(t testing.TB) *validate.Validator {
	t.Helper()
	cfg := validate.Config{Limits: b.limits}
	switch b.schema {
	case "":
	case chat:
		cfg.Schema = preset.OpenAIChatConfig().Schema
	default:
		cfg.Schema = []byte(b.schema)
	}
	v := mustNew(t, cfg)
	if b.schema != "" && validate.NeedsEngine(v) {
		t.Error("judged by the engine")
	}
	return v
}

// room is what a refusal may cost besides: the error, and the pointer of at most 64 names.
const room = 8 << 10

// Every bomb is answered, and answering takes no more memory than twice the body, and less than that where the body is accepted:
// the memory that the scan works with is kept.
func TestBombsAreAnsweredInTheMemoryOfTwoBodies(t *testing.T) {
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			v, body := b.validator(t), []byte(b.body)
			got := ""
			if err := v.Check(body); err != nil {
				var e *validate.Error
				if !errors.As(err, &e) {
					t.Fatal(err)
				}
				if got = e.Keyword; got == "" {
					got = e.Code
				}
			}
			if got != b.keyword {
				t.Errorf("got %q, want %q", got, b.keyword)
			}
			if raced.Enabled || b.limits.Depth < 0 || b.limits.Nodes < 0 {
				return // who takes the limits off has to live with what they were for
			}
			times := max(b.memory, 2)
			if n := allocated(func() { v.Check(body) }); n > times*uint64(len(body))+room {
				t.Errorf("%d bytes allocated for a body of %d", n, len(body))
			}
		})
	}
}

// allocated returns the least that f allocates of several runs, with what it keeps warm.
func allocated(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	least := ^uint64(0)
	var before, after runtime.MemStats
	for range 4 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// Names cannot be chosen so that they fall together: the seed is made when the program starts.
func TestRandomNamesAndChosenOnesCostTheSameMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var random strings.Builder
	for i := range 256 {
		fmt.Fprintf(&random, `,"%016x%d":0`, bits.Reverse64(rng.Uint64()), i)
	}
	v := mustNew(t, validate.Config{})
	if raced.Enabled {
		t.Skip("allocations prove nothing under the race detector")
	}
	one, other := []byte("{"+sameSlot(256)+"}"), []byte("{"+random.String()[1:]+"}")
	a, b := allocated(func() { v.Check(one) }), allocated(func() { v.Check(other) })
	if a > 1<<10 || b > 1<<10 {
		t.Errorf("%d and %d bytes", a, b)
	}
}

// BenchmarkBombs is an attacker's best case, each of them: what one body costs, and what a byte of it costs.
func BenchmarkBombs(b *testing.B) {
	for _, bomb := range bombs() {
		b.Run(strings.ReplaceAll(bomb.name, " ", "_"), func(b *testing.B) {
			v, body := bomb.validator(b), bytes.Clone([]byte(bomb.body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				v.Check(body)
			}
		})
	}
}
