package oracle

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// sample is one text and what we do with it: "" accepts, anything else is the code, the limit or the reason of the refusal.
type sample struct{ why, text, refusal string }

// What RFC 8259 leaves to the reader stands in the table with the reason of our decision as its refusal: that is the whole list of
// the implementation-defined cases.
var ours = map[string]string{
	"duplicate member name":                 "RFC 8259 §4: names should be unique, and readers disagree about which member counts",
	"member names that differ only by case": "encoding/json fills one field from either",
	"lone surrogate":                        "RFC 8259 §8.2: behaviour is unpredictable; RFC 7493 §2.1 forbids it",
	"byte order mark":                       "RFC 8259 §8.1: a reader may ignore it or refuse it; both peers refuse it too",
	"Depth":                                 "RFC 8259 §9: an implementation may limit the depth",
	"NumberLen":                             "RFC 8259 §9: an implementation may limit the range and precision of numbers",
	"Exponent":                              "RFC 8259 §9, likewise",
	"StringLen":                             "RFC 8259 §9: an implementation may limit the length of strings",
	"KeyLen":                                "RFC 8259 §9, likewise",
	"Keys":                                  "RFC 8259 §9: an implementation may limit the size of texts",
	"ArrayLen":                              "RFC 8259 §9, likewise",
	"invalid UTF-8":                         "RFC 8259 §8.1: text is UTF-8; encoding/json replaces what is not, jsontext refuses it",
}

const grammarError = "grammar" // every reader must refuse it

// grammar is the grammar of RFC 8259, production by production, and what is near it.
var grammar = []sample{
	// §2: structural characters, white space, exactly one value.
	{"all white space", " \t\n\r[ \t\n\r] \t\n\r", ""},
	{"no white space", `[{"a":[],"b":{}},1,"",true,false,null]`, ""},
	{"white space around every token", "{ \"a\" : [ 1 , { } , [ ] ] , \"b\" : null }", ""},
	{"a string alone", `"alone"`, ""}, {"an empty string alone", `""`, ""}, {"a number alone", `-0.5e-5`, ""},
	{"true alone", `true`, ""}, {"false alone", `false`, ""}, {"null alone", `null`, ""},
	{"a line feed behind", "{}\n", ""}, {"carriage returns", "\r\r[]\r", ""},
	{"nothing", ``, grammarError}, {"one space", ` `, grammarError}, {"all white space and no value", "\n\t\r ", grammarError},
	{"a form feed", "[\f]", grammarError}, {"a vertical tab", "\v[]", grammarError}, {"a no-break space", "[\u00a0]", grammarError},
	{"an ideographic space", "\u3000[]", grammarError}, {"a word joiner", "[\u2060]", grammarError}, {"a line separator", "[1,\u20282]", grammarError},
	{"NUL for white space", "[\x00]", grammarError}, {"NUL behind", "[]\x00", grammarError}, {"DEL", "[\x7f]", grammarError},
	{"an escaped space", `[\n]`, grammarError}, {"two values", `1 2`, grammarError}, {"two objects", `{}{}`, grammarError},
	{"an array and a comma", `[],`, grammarError}, {"a comma alone", `,`, grammarError}, {"a colon alone", `:`, grammarError},
	{"a closing bracket alone", `]`, grammarError}, {"a closing brace alone", `}`, grammarError}, {"one bracket too many", `[]]`, grammarError},
	{"one brace too many", `{}}`, grammarError}, {"a star", `*`, grammarError}, {"a hash behind", `{}#`, grammarError},
	{"a slash behind", `{}/`, grammarError}, {"a block comment", `[/**/]`, grammarError}, {"an open comment", `{}/*`, grammarError},
	{"a line comment", "//\n{}", grammarError}, {"a record separator in front (RFC 7464)", "\x1e{}\n", grammarError},
	{"lines of JSON", "{}\n{}\n", grammarError}, {"a length in front", `2{}`, grammarError}, {"a backslash", `\`, grammarError},
	{"a JSONP call", `f({})`, grammarError}, {"the guard against JSON hijacking", ")]}'\n{}", grammarError}, {"a semicolon behind", `{};`, grammarError},
	{"XML", `<a/>`, grammarError}, {"an XML entity for a quote", `&quot;a&quot;`, grammarError},
	{"a byte order mark", "\uFEFF[]", "byte order mark"}, {"half a byte order mark", "\xef\xbb[]", grammarError}, {"a mark behind", "[]\uFEFF", grammarError},
	{"UTF-16, little endian", "[\x00]\x00", grammarError}, {"UTF-16, big endian", "\x00[\x00]", grammarError}, {"UTF-16 with a mark", "\xff\xfe[\x00]\x00", grammarError},
	{"UTF-32", "\x00\x00\x00[\x00\x00\x00]", grammarError}, {"gzip", "\x1f\x8b\x08", grammarError}, {"CBOR", "\xa1\x61a\x01", grammarError},

	// §3: literals.
	{"True", `True`, grammarError}, {"TRUE", `TRUE`, grammarError}, {"fals", `fals`, grammarError}, {"nul", `[nul]`, grammarError}, {"nulll", `nulll`, grammarError},
	{"truefalse", `truefalse`, grammarError}, {"undefined", `undefined`, grammarError}, {"None", `None`, grammarError}, {"tr", `tr`, grammarError}, {"a full width letter", `ｔrue`, grammarError},

	// §4: objects.
	{"an empty object", `{}`, ""}, {"an empty name", `{"":0}`, ""}, {"names in every nesting", `{"a":{"a":{"a":[{"a":0}]}}}`, ""}, {"a long name", `{"` + strings.Repeat("x", 256) + `":0}`, ""},
	{"a NUL in a name", `{"a\u0000b":0}`, ""}, {"a name with a quote", `{"\"":0}`, ""}, {"__proto__", `{"__proto__":{"isAdmin":true}}`, ""},
	{"a trailing comma", `{"a":0,}`, grammarError}, {"a leading comma", `{,"a":0}`, grammarError}, {"only a comma", `{,}`, grammarError}, {"two commas", `{"a":0,,"b":0}`, grammarError},
	{"no colon", `{"a" 0}`, grammarError}, {"two colons", `{"a"::0}`, grammarError}, {"an equals sign", `{"a"=0}`, grammarError}, {"an arrow", `{"a"=>0}`, grammarError},
	{"a comma for the colon", `{"a",0}`, grammarError}, {"no name", `{:0}`, grammarError}, {"no value", `{"a":}`, grammarError}, {"a name alone", `{"a"}`, grammarError}, {"a value alone", `{0}`, grammarError},
	{"a name without quotes", `{a:0}`, grammarError}, {"a name in single quotes", `{'a':0}`, grammarError}, {"a number for a name", `{1:0}`, grammarError}, {"null for a name", `{null:0}`, grammarError},
	{"an array for a name", `{[]:0}`, grammarError}, {"an object for a name", `{{}:0}`, grammarError}, {"no comma", `{"a":0 "b":0}`, grammarError}, {"a semicolon", `{"a":0;"b":0}`, grammarError},
	{"open", `{`, grammarError}, {"open in a name", `{"a`, grammarError}, {"open after a name", `{"a"`, grammarError}, {"open after a colon", `{"a":`, grammarError}, {"open after a value", `{"a":0`, grammarError},
	{"open after a comma", `{"a":0,`, grammarError}, {"closed by a bracket", `{"a":0]`, grammarError}, {"a name split in two", `{"a"b":0}`, grammarError}, {"a member after the end", `{"a":0},"b":0`, grammarError},
	{"a duplicate", `{"a":0,"a":0}`, "duplicate member name"}, {"a duplicate with the same value", `{"a":"b","a":"b"}`, "duplicate member name"}, {"a duplicate through an escape", `{"a":0,"\u0061":0}`, "duplicate member name"},
	{"a duplicate of a name with a NUL", `{"\u0000":0,"\u0000":0}`, "duplicate member name"}, {"A and a", `{"A":0,"a":0}`, "member names that differ only by case"},

	// §5: arrays.
	{"an empty array", `[]`, ""}, {"arrays in arrays", `[[],[[]],[[[]]]]`, ""}, {"values of all kinds", `["",0,true,null,{},[]]`, ""}, {"10,000 elements", "[" + strings.Repeat("0,", 9_999) + "0]", ""},
	{"a trailing comma", `[1,]`, grammarError}, {"a trailing comma and a space", `[1, ]`, grammarError}, {"a leading comma", `[,1]`, grammarError}, {"only a comma", `[,]`, grammarError}, {"two commas", `[1,,2]`, grammarError},
	{"no comma", `[1 2]`, grammarError}, {"no comma between arrays", `[[][]]`, grammarError}, {"no comma before an array", `[1[2]]`, grammarError}, {"a colon", `["a":1]`, grammarError}, {"a semicolon", `[1;2]`, grammarError},
	{"open", `[`, grammarError}, {"open after a value", `[1`, grammarError}, {"open after a comma", `[1,`, grammarError}, {"open inside", `[[1]`, grammarError}, {"open in a string", `["`, grammarError}, {"closed by a brace", `[1}`, grammarError},
	{"closed by a parenthesis", `[1)`, grammarError}, {"a value after the end", `[1],2`, grammarError}, {"a spread", `[...[]]`, grammarError}, {"a hole at the end", "[1\n,]", grammarError}, {"a star inside", `[*]`, grammarError},

	// §6: numbers.
	{"zero", `0`, ""}, {"minus zero", `-0`, ""}, {"minus zero with everything", `-0.0e-0`, ""}, {"many digits", `1234567890123456789012345678901234567890`, ""}, {"a fraction", `0.5`, ""}, {"zeros in a fraction", `0.000`, ""},
	{"e", `1e5`, ""}, {"E", `1E5`, ""}, {"e+", `1e+5`, ""}, {"E-", `1E-5`, ""}, {"zeros in an exponent", `1e0005`, ""}, {"e0", `0e0`, ""}, {"a fraction and an exponent", `10.25e-2`, ""}, {"2 to the 53 and one", `9007199254740993`, ""},
	{"beyond uint64", `18446744073709551616`, ""}, {"the smallest int64 less one", `-9223372036854775809`, ""}, {"beyond a float64", `1e400`, ""}, {"below a float64", `1e-400`, ""}, {"0.1e+309", `0.1e+309`, ""},
	{"a plus", `+1`, grammarError}, {"two minuses", `--1`, grammarError}, {"a minus alone", `-`, grammarError}, {"minus and a letter", `-a`, grammarError}, {"minus and a space", `- 1`, grammarError}, {"minus and a point", `-.5`, grammarError},
	{"a leading zero", `00`, grammarError}, {"a leading zero and a digit", `012`, grammarError}, {"the same, negative", `-012`, grammarError}, {"a leading zero and a fraction", `01.5`, grammarError}, {"a point in front", `.5`, grammarError},
	{"a point behind", `1.`, grammarError}, {"a point and an exponent", `1.e1`, grammarError}, {"two points", `1.2.3`, grammarError}, {"e alone", `e5`, grammarError}, {"e without digits", `1e`, grammarError}, {"e and a plus", `1e+`, grammarError},
	{"e twice", `1e1e1`, grammarError}, {"e and two signs", `1e+-1`, grammarError}, {"e and a fraction", `1e1.5`, grammarError}, {"e and a space", `1e 1`, grammarError}, {"hexadecimal", `0x1f`, grammarError}, {"octal", `0o17`, grammarError},
	{"binary", `0b1`, grammarError}, {"an underscore", `1_000`, grammarError}, {"a comma for thousands", `1,000`, grammarError}, {"a suffix", `1f`, grammarError}, {"a BigInt", `1n`, grammarError}, {"NaN", `NaN`, grammarError},
	{"minus NaN", `[-NaN]`, grammarError}, {"Infinity", `Infinity`, grammarError}, {"minus Infinity", `-Infinity`, grammarError}, {"Inf", `[Inf]`, grammarError}, {"full width digits", `１`, grammarError}, {"Arabic digits", `١`, grammarError},
	{"a superscript", `1²`, grammarError}, {"a space inside", `1 000`, grammarError}, {"a quoted sign", `-"1"`, grammarError}, {"an expression", `1+2`, grammarError}, {"a NUL inside", "1\x00", grammarError}, {"bad UTF-8 behind a digit", "1\xe5", grammarError},
	{"65 digits", strings.Repeat("1", 65), "NumberLen"}, {"an exponent of 401", `1e401`, "Exponent"}, {"an exponent of -401", `1e-401`, "Exponent"}, {"an exponent beyond int64", `1e99999999999999999999`, "Exponent"},
	{"zero with a large exponent", `0e401`, "Exponent"}, {"a large number with a small exponent", `1000e-401`, "Exponent"},

	// §7, §8: strings.
	{"every short escape", `"\"\\\/\b\f\n\r\t"`, ""}, {"every hexadecimal digit", `"\u0123\u4567\u89aB\ucDeF"`, ""}, {"an escaped control character", `"\u001f"`, ""}, {"an escaped DEL", `"\u007f"`, ""}, {"a raw DEL", "\"\x7f\"", ""},
	{"a slash without escape", `"/"`, ""}, {"a C1 control character", "\"\u0080\u009f\"", ""}, {"a pair of surrogates", `"\uD834\udd1E"`, ""}, {"the last pair", `"\udbff\udfff"`, ""}, {"a noncharacter", `"\uFFFE\uFFFF"`, ""},
	{"a raw noncharacter", "\"\uFFFE\U0001FFFF\"", ""}, {"U+FFFD itself", "\"\ufffd\"", ""}, {"text to the last plane", "\"é€😀\U0010FFFD\"", ""}, {"an escaped backslash before a u", `"\\u0000"`, ""}, {"an escaped backslash before the quote", `"\\"`, ""},
	{"a byte order mark inside", "\"\uFEFF\"", ""}, {"right to left", "\"\u202eabc\"", ""}, {"line separators", "\"\u2028\u2029\"", ""},
	{"one quote", `"`, grammarError}, {"not closed", `"a`, grammarError}, {"closed by an escaped quote", `"a\"`, grammarError}, {"a backslash at the end", `"\`, grammarError}, {"single quotes", `'a'`, grammarError}, {"backquotes", "`a`", grammarError}, {"typographic quotes", `“a”`, grammarError},
	{"no quotes", `abc`, grammarError}, {"something behind", `"a"b`, grammarError}, {"two strings", `"a""b"`, grammarError}, {"a raw NUL", "\"\x00\"", grammarError}, {"a raw tab", "\"\t\"", grammarError}, {"a raw line feed", "\"\n\"", grammarError},
	{"a raw carriage return", "\"\r\"", grammarError}, {"a raw unit separator", "\"\x1f\"", grammarError}, {"an escaped raw NUL", "\"\\\x00\"", grammarError}, {"an escaped line feed", "\"\\\n\"", grammarError}, {"\\a", `"\a"`, grammarError}, {"\\v", `"\v"`, grammarError},
	{"\\0", `"\0"`, grammarError}, {"\\'", `"\'"`, grammarError}, {"\\x", `"\x41"`, grammarError}, {"\\U", `"\U00000041"`, grammarError}, {"\\N", `"\N"`, grammarError}, {"an escaped space", `"\ "`, grammarError}, {"an escaped emoji", `"\😀"`, grammarError}, {"an escape cut by bad UTF-8", "\"\\\xe5\"", grammarError},
	{"\\u and the end", `"\u"`, grammarError}, {"\\u and three digits", `"\u123"`, grammarError}, {"\\u with braces", `"\u{41}"`, grammarError}, {"\\u and a letter g", `"\u00g0"`, grammarError}, {"\\u and a sign", `"\u+041"`, grammarError}, {"\\u and spaces", `"\u  41"`, grammarError},
	{"a pair whose half is cut", `"\ud834\udd"`, grammarError}, {"a pair whose half is no escape", `"\ud834\udxyz"`, grammarError}, {"half a pair, and a faulty escape", `"\ud834\x"`, grammarError}, {"half a pair at the end", `"\ud834`, grammarError},
	{"a lone high surrogate", `"\ud800"`, "lone surrogate"}, {"a lone low surrogate", `"\udfff"`, "lone surrogate"}, {"a pair the wrong way round", `"\udd1e\ud834"`, "lone surrogate"}, {"two high ones", `"\ud800\ud800"`, "lone surrogate"},
	{"a high one and a letter", `"\ud800a"`, "lone surrogate"}, {"a high one and an escape", `"\ud800\n"`, "lone surrogate"}, {"a high one and another character's escape", `"\ud800\u0041"`, "lone surrogate"}, {"a high one and a pair", `"\ud800\ud800\udc00"`, "lone surrogate"}, {"one in a name", `{"\udead":0}`, "lone surrogate"},
	{"a stray continuation", "\"\x80\"", "invalid UTF-8"}, {"a lead alone", "\"\xc3\"", "invalid UTF-8"}, {"a lead and ASCII", "\"\xe2\x82a\"", "invalid UTF-8"}, {"overlong, two bytes", "\"\xc1\xbf\"", "invalid UTF-8"}, {"overlong, three bytes", "\"\xe0\x9f\xbf\"", "invalid UTF-8"},
	{"overlong, four bytes", "\"\xf0\x8f\xbf\xbf\"", "invalid UTF-8"}, {"overlong, six bytes", "\"\xfc\x83\xbf\xbf\xbf\xbf\"", "invalid UTF-8"}, {"an encoded surrogate", "\"\xed\xbf\xbf\"", "invalid UTF-8"}, {"CESU-8", "\"\xed\xa0\xbd\xed\xb8\x80\"", "invalid UTF-8"}, {"above the last plane", "\"\xf4\x90\x80\x80\"", "invalid UTF-8"},
	{"0xF5", "\"\xf5\x80\x80\x80\"", "invalid UTF-8"}, {"0xFE 0xFF", "\"\xfe\xff\"", "invalid UTF-8"}, {"Latin-1", "\"\xe9t\xe9\"", "invalid UTF-8"}, {"Shift JIS", "\"\x93\xfa\"", "invalid UTF-8"}, {"the overlong NUL of Java", "\"\xc0\x80\"", "invalid UTF-8"}, {"bad UTF-8 in a name", "{\"\xb9\":0}", "invalid UTF-8"},

	// §9: limits.
	{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), ""}, {"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), "Depth"}, {"500 levels", strings.Repeat("[", 500) + strings.Repeat("]", 500), "Depth"},
	{"65 levels of objects", strings.Repeat(`{"":`, 65) + "0" + strings.Repeat("}", 65), "Depth"}, {"10,001 elements", "[" + strings.Repeat("0,", 10_000) + "0]", "ArrayLen"}, {"a long string", `"` + strings.Repeat("x", 256<<10+1) + `"`, "StringLen"},
	{"257 members", object(257), "Keys"}, {"a long name", `{"` + strings.Repeat("x", 257) + `":0}`, "KeyLen"},
	{"100,000 open brackets", strings.Repeat("[", 100_000), grammarError}, {"100,000 open objects", strings.Repeat(`{"":[`, 50_000), grammarError},
}

// adversarial is what somebody sends who wants two readers to see two documents, or one reader to stumble.
var adversarial = []sample{
	{"folded by the long s", `{"stream":true,"ſtream":false}`, "member names that differ only by case"},
	{"folded by the Kelvin sign", "{\"k\":1,\"\u212a\":2}", "member names that differ only by case"},
	{"folded, and escaped", `{"\u017ftream":true,"\u0053TREAM":false}`, "member names that differ only by case"},
	{"model and MODEL", `{"model":"a","MODEL":"b"}`, "member names that differ only by case"},
	{"a long s alone is a name like any other", `{"ſtream":true}`, ""},
	{"equal through an escape", `{"a":1,"\u0061":2}`, "duplicate member name"}, {"equal, both escaped in part", `{"\u0061b":1,"a\u0062":2}`, "duplicate member name"},
	{"equal through a pair", `{"😀":1,"\ud83d\ude00":2}`, "duplicate member name"}, {"not equal: composed and decomposed", `{"é":1,"` + "e\u0301" + `":2}`, ""},
	{"not equal: a NUL", `{"a":1,"a\u0000":2}`, ""}, {"not equal: ß and ss", `{"ß":1,"ss":2}`, ""}, {"not equal: dotless i", `{"i":1,"ı":2,"` + "İ" + `":3}`, ""}, {"not equal: a space", `{"a":1,"a ":2}`, ""},
	{"equal: three sigmas", `{"Σ":1,"σ":2,"ς":3}`, "member names that differ only by case"}, {"equal: titlecase", `{"ǆ":1,"ǅ":2}`, "member names that differ only by case"},
	{"__proto__ twice", `{"__proto__":1,"__proto__":2}`, "duplicate member name"}, {"constructor", `{"constructor":{"prototype":{"x":1}}}`, ""}, {"a member of $", `{"$ref":"http://x","$where":"1"}`, ""},
	{"10 MB of a name", `{"` + strings.Repeat("k", 10<<20) + `":1}`, "Bytes"}, {"300 KB of a name", `{"` + strings.Repeat("k", 300<<10) + `":1}`, "KeyLen"},
	{"2 to the 63", `9223372036854775808`, ""}, {"minus 2 to the 63, less one", `-9223372036854775809`, ""}, {"-0", `{"n":-0}`, ""}, {"1e400", `{"n":1e400}`, ""}, {"1e-400", `{"n":1e-400}`, ""},
	{"1e10000000", `{"n":1e10000000}`, "Exponent"}, {"1e999999, a hundred times", `[` + strings.Repeat("1e999999,", 99) + `1e999999]`, "Exponent"}, {"a million zeros", `1` + strings.Repeat("0", 1_000_000), "NumberLen"},
	{"a million digits of a fraction", `0.` + strings.Repeat("3", 1_000_000), "NumberLen"}, {"a million zeros in an exponent", `1e` + strings.Repeat("0", 1_000_000) + `1`, "NumberLen"},
	{"concatenated", `{"a":1}{"b":2}`, grammarError}, {"concatenated by RS", "\x1e{\"a\":1}\n\x1e{\"b\":2}\n", grammarError}, {"the end of a page of HTML", `{"a":1}</script>`, grammarError}, {"a form that a browser sends as text/plain", `{"a":"="}` + "\r\n=", grammarError},
	{"a million empty arrays", "[" + strings.Repeat("[],", 999_999) + "[]]", "ArrayLen"}, {"a million members", "{" + strings.Repeat(`"a":1,`, 3) + strings.Repeat(`"b":1,`, 300_000) + `"c":1}`, "duplicate member name"},
	{"a name that ends where a word does", `{"abcdefg":1,"abcdefg\u0000":2,"abcdefgh":3}`, ""}, {"a quote behind 31 bytes", `"0123456789012345678901234567890\""`, ""}, {"a quote behind 32 bytes", `"01234567890123456789012345678901\""`, ""}, {"a quote behind 33 bytes", `"012345678901234567890123456789012\""`, ""},
}

func TestTheGrammarIsThatOfRFC8259(t *testing.T) {
	reasons := map[string]bool{}
	for _, c := range append(grammar, adversarial...) {
		data := []byte(c.text)
		err := jsonscan.Scan(data, nil, nil)
		standard := json.Valid(data)
		strict := jsontext.Value(data).IsValid()
		name := c.why
		if len(c.text) < 60 {
			name += ": " + c.text
		}
		var e *jsonscan.Error
		errors.As(err, &e)
		switch c.refusal {
		case "":
			if e != nil || !standard || !strict {
				t.Errorf("%s\nmust be accepted: %v; encoding/json %v, jsontext %v", name, err, standard, strict)
			}
		case grammarError:
			if e == nil || standard || strict {
				t.Errorf("%s\nmust be refused: %v; encoding/json %v, jsontext %v", name, err, standard, strict)
			}
			// As long as the fault comes before a limit, and none of our own rules speaks first.
			if e != nil && e.Code != jsonscan.InvalidJSON && len(c.text) < 1000 {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if ours[c.refusal] == "" && c.refusal != "Bytes" {
				t.Errorf("%s: %q is no rule of ours", name, c.refusal)
			}
			reasons[c.refusal] = true
			if e == nil || e.Limit != c.refusal && e.Reason != c.refusal {
				t.Errorf("%s\nmust be refused by %s: %v", name, c.refusal, err)
			}
			// Without that rule every reader of ours and theirs takes it, but for the mark.
			l := unlimited
			l.AllowDuplicateKeys, l.AllowFoldCollisions, l.AllowInvalidText = true, true, true
			if err := jsonscan.Scan(data, &l, nil); (err == nil) != standard || standard == (c.refusal == "byte order mark") {
				t.Errorf("%s: without our rules %v, encoding/json %v", name, err, standard)
			}
		}
		if len(c.text) < 1<<20 {
			holds(t, data)
		}
	}
	for reason := range ours {
		if !reasons[reason] {
			t.Errorf("no case for %q", reason)
		}
	}
	t.Logf("%d cases", len(grammar)+len(adversarial))
}

// A text cut anywhere is refused by all, and a byte changed anywhere is judged the same by all.
func TestEveryCutAndEveryByteOfATextIsJudgedAlike(t *testing.T) {
	const whole = ` {"a\n":[1.5e-3,true , null,"é\ud83d\ude00x"],"b":{"":false}, "c" : -0}`
	for i := range len(whole) {
		cut := whole[:i]
		if jsonscan.Scan([]byte(cut), nil, nil) == nil || json.Valid([]byte(cut)) {
			t.Errorf("%q is accepted", cut)
		}
		for c := range 256 {
			b := []byte(whole)
			b[i] = byte(c)
			holds(t, b)
		}
	}
}
