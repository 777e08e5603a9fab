package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// accepted are texts that RFC 8259 allows and the default limits let pass.
var accepted = map[string]string{
	"an empty object":                      `{}`,
	"an empty array":                       `[]`,
	"a string at the root":                 `"x"`,
	"a number at the root":                 `7`,
	"null at the root":                     `null`,
	"true at the root":                     `true`,
	"false at the root":                    `false`,
	"space around everything":              " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } }\n",
	"nested empties":                       `[[],{},[{}],{"a":[]}]`,
	"negative zero":                        `-0`,
	"negative zero with exponent":          `-0e+0`,
	"a fraction":                           `-12.5e-3`,
	"an exponent of 400":                   `1e400`,
	"an exponent of -400":                  `1E-400`,
	"an exponent with zeros in front":      `1e000000000000012`,
	"2 to the 63":                          `9223372036854775808`,
	"0.1e309":                              `0.1e+309`,
	"a number of 64 bytes":                 strings.Repeat("9", 64),
	"every short escape":                   `"\"\\\/\b\f\n\r\t"`,
	"a unicode escape":                     `"\u00e9\u20AC"`,
	"a surrogate pair":                     `"\ud83d\ude00"`,
	"an escaped NUL":                       `"\u0000"`,
	"an escaped noncharacter":              `"\uffff\ufdd0"`,
	"DEL unescaped":                        "\"\x7f\"",
	"U+2028 unescaped":                     "\"\u2028\u2029\"",
	"two, three and four byte runes":       `"é€😀"`,
	"the last rune":                        "\"\U0010FFFF\"",
	"the rune before the surrogates":       "\"\uD7FF\uE000\"",
	"an encoded byte order mark in text":   "\"\uFEFF\"",
	"an empty name":                        `{"":0}`,
	"a NUL in a name":                      `{"a\u0000":1,"a":2}`,
	"__proto__":                            `{"__proto__":{"x":1}}`,
	"the same name in siblings":            `[{"a":1},{"a":2}]`,
	"the same name inside and outside":     `{"a":{"a":{"a":1}}}`,
	"a name again after a nested object":   `{"a":{"b":1,"c":2},"b":3,"c":4}`,
	"names that share first and last":      `{"abcdefgh1abcdefgh":1,"abcdefgh2abcdefgh":2}`,
	"names unequal in bit 5":               `{"@":1,"` + "`" + `":2}`,
	"sharp s and ss (full, not simple)":    `{"ß":1,"ss":2}`,
	"dotless i, which folds to itself":     `{"ı":1,"i":2,"İ":3}`,
	"64 levels":                            strings.Repeat("[", 64) + strings.Repeat("]", 64),
	"a name of 256 bytes":                  `{"` + strings.Repeat("k", 256) + `":1}`,
	"a string of 256 KiB":                  `"` + strings.Repeat("x", 256<<10) + `"`,
	"256 members":                          object(256),
	"10,000 elements":                      "[" + strings.Repeat("1,", 9_999) + "1]",
	"10,000 members altogether":            "[" + strings.Repeat(object(100)+",", 99) + object(100) + "]",
	"100,000 values":                       "[" + strings.Repeat("["+strings.Repeat("1,", 9_998)+"1],", 9) + "[" + strings.Repeat("1,", 9_988) + "1]]",
	"escapes at every offset of a word":    `["\n","a\n","ab\n","abc\n","abcd\n","abcde\n","abcdef\n","abcdefg\n","abcdefgh\n"]`,
	"16 bytes and 15 bytes before a quote": `["0123456789abcdef","0123456789abcde"]`,
}

// refused are texts that must not pass, with the code, the limit and the pointer of the refusal.
var refused = []struct {
	why, text, code, limit, pointer string
}{
	// RFC 8259 §2: the grammar.
	{"nothing", ``, "invalid_json", "", ""},
	{"only space", " \n", "invalid_json", "", ""},
	{"a byte order mark (§8.1)", "\uFEFF{}", "invalid_json", "", ""},
	{"only a byte order mark", "\uFEFF", "invalid_json", "", ""},
	{"UTF-16 little endian", "{\x00}\x00", "invalid_json", "", ""},
	{"UTF-16 big endian with mark", "\xFE\xFF\x00{\x00}", "invalid_json", "", ""},
	{"a NUL after the value", "{}\x00", "invalid_json", "", ""},
	{"a second value", `{}{}`, "invalid_json", "", ""},
	{"a second value after a line feed", "{}\n{}", "invalid_json", "", ""},
	{"a record separator in front", "\x1e{}", "invalid_json", "", ""},
	{"a stray closing bracket", `[]]`, "invalid_json", "", ""},
	{"a form feed as space", "[\f1]", "invalid_json", "", "/0"},
	{"a no-break space", "[\u00a01]", "invalid_json", "", "/0"},
	{"a comma after the last element", `[1,]`, "invalid_json", "", "/1"},
	{"a comma after the last member", `{"a":1,}`, "invalid_json", "", ""},
	{"a comma before the first element", `[,1]`, "invalid_json", "", "/0"},
	{"two commas", `[1,,2]`, "invalid_json", "", "/1"},
	{"a missing comma", `[1 2]`, "invalid_json", "", "/0"},
	{"a missing comma between members", `{"a":1 "b":2}`, "invalid_json", "", "/a"},
	{"a missing colon", `{"a" 1}`, "invalid_json", "", "/a"},
	{"two colons", `{"a"::1}`, "invalid_json", "", "/a"},
	{"a missing value", `{"a":}`, "invalid_json", "", "/a"},
	{"a name without quotes", `{a:1}`, "invalid_json", "", ""},
	{"a name in single quotes", `{'a':1}`, "invalid_json", "", ""},
	{"a number as a name", `{1:1}`, "invalid_json", "", ""},
	{"brackets that do not match", `[1}`, "invalid_json", "", "/0"},
	{"braces that do not match", `{"a":1]`, "invalid_json", "", "/a"},
	{"an open array", `[1`, "invalid_json", "", "/0"},
	{"an open object", `{"a":1`, "invalid_json", "", "/a"},
	{"an open object after its brace", `{`, "invalid_json", "", ""},
	{"an open object after a comma", `{"a":1,`, "invalid_json", "", ""},
	{"an open object after a name", `{"a"`, "invalid_json", "", "/a"},
	{"an open object after a colon", `{"a":`, "invalid_json", "", "/a"},
	{"a comment", `[1/*x*/]`, "invalid_json", "", "/0"},
	{"a line comment", "[1]//x", "invalid_json", "", ""},
	// Literals and numbers.
	{"True", `True`, "invalid_json", "", ""},
	{"a cut literal", `[tru`, "invalid_json", "", "/0"},
	{"a literal run on", `nulls`, "invalid_json", "", ""},
	{"NaN", `NaN`, "invalid_json", "", ""},
	{"Infinity", `[-Infinity]`, "invalid_json", "", "/0"},
	{"a leading zero", `[01]`, "invalid_json", "", "/0"},
	{"a leading zero behind a minus", `-01`, "invalid_json", "", ""},
	{"a plus", `+1`, "invalid_json", "", ""},
	{"a lone minus", `-`, "invalid_json", "", ""},
	{"a minus before a bracket", `[-]`, "invalid_json", "", "/0"},
	{"a point without digits", `[1.]`, "invalid_json", "", "/0"},
	{"a point in front", `.5`, "invalid_json", "", ""},
	{"a point before the exponent", `1.e3`, "invalid_json", "", ""},
	{"an exponent without digits", `[1e]`, "invalid_json", "", "/0"},
	{"an exponent with a bare sign", `1e+`, "invalid_json", "", ""},
	{"hexadecimal", `0x1F`, "invalid_json", "", ""},
	{"an underscore", `1_000`, "invalid_json", "", ""},
	{"full width digits", `１`, "invalid_json", "", ""},
	// Strings.
	{"an open string", `"abc`, "invalid_json", "", ""},
	{"an open string at a word border", `"abcdefg`, "invalid_json", "", ""},
	{"a string that ends in a backslash", `"abc\`, "invalid_json", "", ""},
	{"an escaped last quote", `"abc\"`, "invalid_json", "", ""},
	{"a raw line feed", "\"a\nb\"", "invalid_json", "", ""},
	{"a raw tab in a name", "{\"a\tb\":1}", "invalid_json", "", ""},
	{"a raw NUL", "\"\x00\"", "invalid_json", "", ""},
	{"0x1f", "\"01234567\x1f\"", "invalid_json", "", ""},
	{"an unknown escape", `"\x41"`, "invalid_json", "", ""},
	{"an upper case escape", `"\N"`, "invalid_json", "", ""},
	{"a short unicode escape", `"\u12"`, "invalid_json", "", ""},
	{"a unicode escape of non-digits", `"\u12G4"`, "invalid_json", "", ""},
	{"a cut unicode escape", `"\u123`, "invalid_json", "", ""},
	{"a lone high surrogate", `["\ud800"]`, "invalid_json", "", "/0"},
	{"a lone low surrogate", `"\udc00"`, "invalid_json", "", ""},
	{"surrogates in the wrong order", `"\udc00\ud800"`, "invalid_json", "", ""},
	{"two high surrogates", `"\ud800\ud800"`, "invalid_json", "", ""},
	{"a high surrogate and a letter", `"\ud800\u0041"`, "invalid_json", "", ""},
	{"a high surrogate and a short escape", `"\ud800\n....."`, "invalid_json", "", ""},
	{"a lone surrogate in a name", `{"\ud800":1}`, "invalid_json", "", ""},
	{"a stray continuation byte", "\"\x80\"", "invalid_json", "", ""},
	{"Latin-1", "\"caf\xe9\"", "invalid_json", "", ""},
	{"an overlong slash", "\"\xc0\xaf\"", "invalid_json", "", ""},
	{"an overlong NUL", "\"\xc0\x80\"", "invalid_json", "", ""},
	{"an overlong three byte form", "\"\xe0\x80\xaf\"", "invalid_json", "", ""},
	{"an overlong four byte form", "\"\xf0\x80\x80\xaf\"", "invalid_json", "", ""},
	{"an encoded surrogate (CESU-8)", "\"\xed\xa0\x80\"", "invalid_json", "", ""},
	{"above U+10FFFF", "\"\xf4\x90\x80\x80\"", "invalid_json", "", ""},
	{"0xff", "\"\xff\"", "invalid_json", "", ""},
	{"a cut three byte rune", "\"\xe2\x82\"", "invalid_json", "", ""},
	{"a cut four byte rune at the end", "\"\xf0\x9f\x98", "invalid_json", "", ""},
	{"bad UTF-8 after good UTF-8", "\"é\xff\"", "invalid_json", "", ""},
	{"bad UTF-8 in a name", "{\"\xff\":1}", "invalid_json", "", ""},
	// Names.
	{"a duplicate name", `{"a":1,"a":2}`, "duplicate_key", "", "/a"},
	{"a duplicate name after others", `{"a":1,"b":{"a":1},"a":2}`, "duplicate_key", "", "/a"},
	{"a duplicate empty name", `{"":1,"":2}`, "duplicate_key", "", "/"},
	{"a duplicate name behind an escape", `{"a":1,"\u0061":2}`, "duplicate_key", "", "/a"},
	{"a duplicate name, both escaped", `{"\u0061b":1,"a\u0062":2}`, "duplicate_key", "", "/ab"},
	{"a duplicate name with slash and tilde", `{"x":[{"/~":1,"\/~":2}]}`, "duplicate_key", "", "/x/0/~1~0"},
	{"a duplicate name that is not ASCII", `{"é":1,"\u00e9":2}`, "duplicate_key", "", "/é"},
	{"a duplicate name as a surrogate pair", `{"😀":1,"\ud83d\ude00":2}`, "duplicate_key", "", "/😀"},
	{"names unequal by case", `{"model":"a","MODEL":"b"}`, "duplicate_key", "", "/MODEL"},
	{"names unequal by one letter's case", `{"maxTokens":1,"maxtokens":2}`, "duplicate_key", "", "/maxtokens"},
	{"a long s", `{"stream":true,"ſtream":false}`, "duplicate_key", "", "/ſtream"},
	{"an escaped long s", `{"\u017Ftream":true,"stream":false}`, "duplicate_key", "", "/stream"},
	{"a Kelvin sign", "{\"k\":1,\"\u212A\":2}", "duplicate_key", "", "/\u212A"},
	{"Greek sigma and final sigma", `{"σ":1,"ς":2}`, "duplicate_key", "", "/ς"},
	{"a duplicate among many", strings.Replace(object(200), `"key199"`, `"key0"`, 1), "duplicate_key", "", "/key0"},
	{"an escaped duplicate among many", strings.Replace(object(200), `"key199"`, `"\u006bey0"`, 1), "duplicate_key", "", "/key0"},
	{"a case variant among many", strings.Replace(object(200), `"key199"`, `"KEY3"`, 1), "duplicate_key", "", "/KEY3"},
	{"a Kelvin sign among many", strings.Replace(object(200), `"key199"`, "\"\u212Aey3\"", 1), "duplicate_key", "", "/\u212Aey3"},
	// Limits.
	{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), "limit_exceeded", "Depth", strings.Repeat("/0", 64)},
	{"65 levels never closed", strings.Repeat(`{"a":`, 65), "limit_exceeded", "Depth", strings.Repeat("/a", 64)},
	{"257 members", object(257), "limit_exceeded", "Keys", ""},
	{"a name of 257 bytes", `{"x":{"` + strings.Repeat("k", 257) + `":1}}`, "limit_exceeded", "KeyLen", "/x"},
	{"a string too long", `["` + strings.Repeat("x", 256<<10+1) + `"]`, "limit_exceeded", "StringLen", "/0"},
	{"10,001 elements", "[" + strings.Repeat("1,", 10_000) + "1]", "limit_exceeded", "ArrayLen", "/10000"},
	{"10,001 members altogether", "[" + strings.Repeat(object(100)+",", 100) + `{"a":1}]`, "limit_exceeded", "TotalKeys", "/100"},
	{"100,001 values", "[" + strings.Repeat("["+strings.Repeat("1,", 9_999)+"1],", 10) + "1]", "limit_exceeded", "Nodes", "/9/9989"},
	{"a number of 65 bytes", "[" + strings.Repeat("9", 65) + "]", "limit_exceeded", "NumberLen", "/0"},
	{"1e401", `[1e401]`, "limit_exceeded", "Exponent", "/0"},
	{"1e-401", `1e-401`, "limit_exceeded", "Exponent", ""},
	{"1e10000000, which panics jsonschema v5 and v6", `{"n":1e10000000}`, "limit_exceeded", "Exponent", "/n"},
	{"1e999999, which costs math/big 26 ms", `1e999999`, "limit_exceeded", "Exponent", ""},
	{"an exponent beyond int64", `1e99999999999999999999999999`, "limit_exceeded", "Exponent", ""},
	{"5 MiB", `"` + strings.Repeat("x", 5<<20) + `"`, "limit_exceeded", "Bytes", ""},
}

// object returns an object with n members key0 to key<n-1>.
func object(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"key%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestTextsThatMustBeAccepted(t *testing.T) {
	for why, text := range accepted {
		t.Run(why, func(t *testing.T) {
			if err := jsonscan.Scan([]byte(text), nil, nil); err != nil {
				t.Fatalf("refused: %v", err)
			}
			if !json.Valid([]byte(text)) {
				t.Fatal("encoding/json does not accept it: the table is wrong")
			}
		})
	}
}

func TestTextsThatMustBeRefused(t *testing.T) {
	for _, c := range refused {
		t.Run(c.why, func(t *testing.T) {
			err := jsonscan.Scan([]byte(c.text), nil, nil)
			var e *jsonscan.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if string(e.Code) != c.code || e.Limit != c.limit || e.Pointer != c.pointer {
				t.Errorf("got %s %q at %q (%v), want %s %q at %q", e.Code, e.Limit, e.Pointer, e, c.code, c.limit, c.pointer)
			}
			if e.Offset < 0 || e.Offset > len(c.text) {
				t.Errorf("offset %d is outside of %d bytes", e.Offset, len(c.text))
			}
		})
	}
}

func TestEveryCutOfAValidTextIsRefused(t *testing.T) {
	text := []byte(`{"a":[1,-2.5e3,true,false,null,"\u00e9\n"],"b":{"c":"é😀","d":[[]]}}`)
	if err := jsonscan.Scan(text, nil, nil); err != nil {
		t.Fatal(err)
	}
	for n := range text {
		if jsonscan.Scan(text[:n], nil, nil) == nil {
			t.Errorf("accepted %q", text[:n])
		}
	}
}

func TestEveryByteAtEveryPlaceOfAStringIsJudgedAsByEncodingJSON(t *testing.T) {
	for pad := range 40 {
		for c := range 256 {
			text := []byte(`"` + strings.Repeat("x", pad) + string([]byte{byte(c)}) + strings.Repeat("y", 20) + `"`)
			want := c < 0x80 && json.Valid(text) // above, encoding/json lets bad UTF-8 pass
			if got := jsonscan.Scan(text, nil, nil) == nil; got != want {
				t.Fatalf("byte %#02x after %d: accepted %v, want %v", c, pad, got, want)
			}
		}
	}
}

func TestEveryRuneIsAcceptedAndItsFoldIsTheSmallestOfItsOrbit(t *testing.T) {
	var buf []byte
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if 0xD800 <= r && r <= 0xDFFF {
			continue
		}
		buf = append(buf[:0], '"')
		buf = append(buf, string(r)...)
		buf = append(buf, '"')
		if err := jsonscan.Scan(buf, nil, nil); err != nil {
			t.Fatalf("%U: %v", r, err)
		}
		f := jsonscan.FoldRune(r)
		if len(string(f)) > len(string(r)) {
			t.Fatalf("%U folds to the longer %U", r, f)
		}
		if slow := jsonscan.SlowFold(r); f != slow {
			t.Fatalf("%U folds to %U, want %U", r, f, slow)
		}
		if q := unicode.SimpleFold(r); jsonscan.FoldRune(q) != f {
			t.Fatalf("%U and %U fold apart", r, q)
		}
	}
	if jsonscan.FoldRune('\u212A') != 'k' || jsonscan.FoldRune('ſ') != 's' || jsonscan.FoldRune('K') != 'k' {
		t.Error("ASCII letters and their look-alikes do not meet in lower case")
	}
}

func TestALimitOfMinusOneIsOff(t *testing.T) {
	none := &jsonscan.Limits{Bytes: -1, Depth: -1, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1,
		Nodes: -1, NumberLen: -1, Exponent: -1}
	for _, c := range refused {
		if c.code == "limit_exceeded" && json.Valid([]byte(c.text)) {
			if err := jsonscan.Scan([]byte(c.text), none, nil); err != nil {
				t.Errorf("%s: %v", c.why, err)
			}
		}
	}
	deep := strings.Repeat(`[`, 1_000_000) + strings.Repeat("]", 1_000_000)
	if err := jsonscan.Scan([]byte(deep), none, nil); err != nil {
		t.Errorf("a million levels: %v", err)
	}
	if r := (*jsonscan.Limits)(nil).Resolved(); r.Depth != 64 || r.Bytes != 4<<20 {
		t.Errorf("nil limits resolve to %+v", r)
	}
	if r := none.Resolved(); r.Depth != math.MaxInt || r.Resolved() != r {
		t.Errorf("no limits resolve to %+v", r)
	}
}

func TestDuplicatesAndCaseVariantsCanBeAllowedApart(t *testing.T) {
	dup, fold := `{"a":1,"b":2,"a":3}`, `{"a":1,"b":2,"A":3}`
	many := strings.Replace(object(200), `"key199"`, `"key0"`, 1)
	manyFold := strings.Replace(object(200), `"key199"`, `"KEY0"`, 1)
	for _, c := range []struct {
		lim  jsonscan.Limits
		text string
		ok   bool
	}{
		{jsonscan.Limits{AllowDuplicateKeys: true}, dup, true},
		{jsonscan.Limits{AllowDuplicateKeys: true}, many, true},
		{jsonscan.Limits{AllowDuplicateKeys: true}, fold, false},
		{jsonscan.Limits{AllowDuplicateKeys: true}, manyFold, false},
		{jsonscan.Limits{AllowDuplicateKeys: true}, `{"A":1,"a":1,"a":1}`, false},
		{jsonscan.Limits{AllowFoldCollisions: true}, dup, false},
		{jsonscan.Limits{AllowFoldCollisions: true}, many, false},
		{jsonscan.Limits{AllowFoldCollisions: true}, fold, true},
		{jsonscan.Limits{AllowFoldCollisions: true}, manyFold, true},
		{jsonscan.Limits{AllowFoldCollisions: true}, `{"a":1,"A":1,"A":1}`, false},
		{jsonscan.Limits{AllowDuplicateKeys: true, AllowFoldCollisions: true}, dup, true},
		{jsonscan.Limits{AllowDuplicateKeys: true, AllowFoldCollisions: true}, manyFold, true},
	} {
		if err := jsonscan.Scan([]byte(c.text), &c.lim, nil); (err == nil) != c.ok {
			t.Errorf("%+v on %.40q: %v", c.lim, c.text, err)
		}
	}
}

func TestInvalidTextPassesOnlyWhereAllowed(t *testing.T) {
	lenient := &jsonscan.Limits{AllowInvalidText: true}
	for _, c := range refused {
		invalid := json.Valid([]byte(c.text)) && c.code == "invalid_json" // which is only text: encoding/json is lenient there
		if err := jsonscan.Scan([]byte(c.text), lenient, nil); (err == nil) != invalid {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	// Bad bytes do not hide the end of the string, nor make two names one.
	for text, ok := range map[string]bool{
		"{\"a\xff\":1,\"a\xfe\":2}": true, "{\"a\xff\":1,\"a\xff\":2}": false, "[\"\xe2\"]": true, "[\"\xf0\x9f\",1]": true,
		`["\ud800"]`: true, `["\ud800"`: false, `["\ud80"]`: false, `{"\ud800":1,"\ud800":2}`: false,
	} {
		if err := jsonscan.Scan([]byte(text), lenient, nil); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestScanIsSafeForConcurrentUse(t *testing.T) {
	texts := []string{chat(500), object(200), object(100)[:500], strings.Repeat("[", 70)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				text := texts[(i+n)%len(texts)]
				if err := jsonscan.Scan([]byte(text), nil, nil); (err == nil) != json.Valid([]byte(text)) {
					t.Errorf("%.20q: %v", text, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRealFilesAreJudgedAsByEncodingJSON(t *testing.T) {
	lim := &jsonscan.Limits{Bytes: -1, TotalKeys: -1, Nodes: -1, AllowDuplicateKeys: true, AllowFoldCollisions: true}
	n := 0
	err := filepath.WalkDir(corpus.Path(t, "conformance"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		var e *jsonscan.Error
		if err := jsonscan.Scan(data, lim, nil); (err == nil) != json.Valid(data) {
			if !errors.As(err, &e) || e.Reason != "invalid UTF-8" && e.Reason != "lone surrogate" && e.Code != jsonscan.LimitExceeded {
				t.Errorf("%s: %v", d.Name(), err)
			}
			t.Logf("%s: %v", d.Name(), err)
		}
		return nil
	})
	if err != nil || n < 100 {
		t.Fatalf("%d files, %v", n, err)
	}
}

func TestHostileNamesCannotMakeTheScanQuadratic(t *testing.T) {
	lim := &jsonscan.Limits{Bytes: -1, Keys: -1, TotalKeys: -1, Nodes: -1, KeyLen: -1, ArrayLen: -1, Depth: -1}
	const n = 100_000
	build := func(name func(i int) string) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `,"%s":1`, name(i))
		}
		out := append(b.Bytes(), '}')
		out[0] = '{'
		return out
	}
	// The quick digest of small objects reads the first and last eight bytes: names equal there must not pile up.
	same := build(func(i int) string { return fmt.Sprintf("aaaaaaaa%06daaaaaaaa", i) })
	plain := build(func(i int) string { return fmt.Sprintf("k%d", i) })
	caseOnly := build(func(i int) string {
		b := []byte("abcdefghijklmnopqrst")
		for j := range b {
			if i>>j&1 == 1 {
				b[j] -= 32
			}
		}
		return string(b)
	})
	// Objects of the same twenty names inside each other, 5,000 deep.
	var nest bytes.Buffer
	for range 5_000 {
		nest.WriteString(object(20)[:len(object(20))-1] + `,"x":`)
	}
	nest.WriteString("1" + strings.Repeat("}", 5_000))
	// Objects so small that names are compared one by one, if the digest is the same.
	small := func(fill string) []byte {
		var b bytes.Buffer
		for range n / 16 {
			for j := range 16 {
				fmt.Fprintf(&b, `%s"%s%x%s":1`, []string{",{", ","}[min(j, 1)], fill, j, fill)
			}
			b.WriteByte('}')
		}
		return append(append([]byte{'['}, b.Bytes()[1:]...), ']')
	}
	for what, c := range map[string]struct {
		text []byte
		fold bool
	}{
		"small objects":              {small("aaaaaaaa"), false},
		"small objects, not ASCII":   {small("λλλλλλλλ"), false},
		"small objects, escaped":     {small(`\u0061aaaaaaa`), false},
		"small objects, capitals":    {small("aaaaAAAA"), true},
		"equal first and last bytes": {same, false},
		"plain names":                {plain, false},
		"case variants, allowed":     {caseOnly, true},
		"the same names nested":      {nest.Bytes(), false},
	} {
		var s jsonscan.Scanner
		l := *lim
		l.AllowFoldCollisions = c.fold
		if err := s.Scan(c.text, &l, nil); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		most := 12 * n
		if strings.HasPrefix(what, "small") {
			most = n / 100 // names that have the same digest by chance
		}
		if got := s.Probes(); got > most {
			t.Errorf("%s: %d probes for %d names", what, got, n)
		}
	}
}

func TestAScannerIsCleanAfterEveryKindOfStop(t *testing.T) {
	var s jsonscan.Scanner
	many := object(200)
	stop := errors.New("enough")
	for _, spoil := range []func() error{
		func() error { return s.Scan([]byte(many[:len(many)-1]), nil, nil) },
		func() error { return s.Scan([]byte(strings.Repeat("[", 40)), nil, nil) },
		func() error {
			return s.Scan([]byte(many), nil, visit(func(p *jsonscan.Path, _ jsonscan.Kind, _, _ int) error {
				if p.Is("key150") {
					return stop
				}
				return nil
			}))
		},
		func() (err error) {
			defer func() { err = fmt.Errorf("%v", recover()) }()
			return s.Scan([]byte(many), nil, visit(func(p *jsonscan.Path, _ jsonscan.Kind, _, _ int) error {
				if p.Is("key150") {
					panic("visitor")
				}
				return nil
			}))
		},
	} {
		if spoil() == nil {
			t.Fatal("the spoiling scan succeeded")
		}
		if err := s.Scan([]byte(many), nil, nil); err != nil {
			t.Errorf("the scan after it: %v", err)
		}
	}
}

func TestBombsAreAnswered(t *testing.T) {
	for what, text := range map[string]string{
		"open brackets":            strings.Repeat("[", 4<<20),
		"empty arrays":             "[" + strings.Repeat("[],", 1<<20) + "[]]",
		"a name of 4 MB":           `{"` + strings.Repeat("k", 4<<20-10) + `":1}`,
		"a number of 4 MB":         strings.Repeat("9", 4<<20),
		"an exponent of 4 MB":      "1e" + strings.Repeat("9", 4<<20-2),
		"escaped quotes":           `"` + strings.Repeat(`\"`, 2<<20-2) + `"`,
		"surrogate pairs":          `"` + strings.Repeat(`\ud83d\ude00`, 349_000) + `"`,
		"1e999999 a hundred times": "[" + strings.Repeat("1e999999,", 99) + "1e999999]",
		"spaces and no value":      strings.Repeat(" ", 4<<20),
	} {
		var e *jsonscan.Error
		if err := jsonscan.Scan([]byte(text), nil, nil); !errors.As(err, &e) {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
}

func TestAnErrorNeverHoldsAValue(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		`{"p":"` + secret, `{"p":"` + secret + `"x}`, `["` + secret + `\ud800"]`, `{"p":"` + secret + `","p":1}`,
		`["` + secret + "\xff\"]", `"` + secret + `" "` + secret + `"`, `{"` + strings.Repeat(secret, 100) + `":1}`,
	} {
		err := jsonscan.Scan([]byte(text), nil, nil)
		var e *jsonscan.Error
		if !errors.As(err, &e) {
			t.Fatalf("%q: %v", text, err)
		}
		if strings.Contains(fmt.Sprintf("%+v %v", *e, e), secret) {
			t.Errorf("%q: the error shows the value: %+v", text, *e)
		}
	}
}

// visit lets a function be a Visitor.
type visit func(p *jsonscan.Path, k jsonscan.Kind, start, end int) error

func (f visit) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	return f(p, k, start, end)
}

func TestAVisitorSeesEveryValueInOrderWithItsPlace(t *testing.T) {
	text := ` {"a":[1,{"b/~":"x\n"},[]],"c":null,"d":{},"e":true,"f":false} `
	var got []string
	err := jsonscan.Scan([]byte(text), nil, visit(func(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
		got = append(got, fmt.Sprintf("%s|%d|%s|%s", k, p.Depth(), p.AppendPointer(nil), text[start:end]))
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"object start|0||{",
		"array start|1|/a|[", "number|2|/a/0|1",
		"object start|2|/a/1|{", `string|3|/a/1/b~1~0|"x\n"`, "object end|2|/a/1|}",
		"array start|2|/a/2|[", "array end|2|/a/2|]",
		"array end|1|/a|]",
		"null|1|/c|null", "object start|1|/d|{", "object end|1|/d|}", "true|1|/e|true", "false|1|/f|false",
		"object end|0||}",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestAPathMatchesDecodedNamesAndIndexes(t *testing.T) {
	text := `{"m\u0065ssages":[0,{"content":"x"}]}`
	seen := false
	err := jsonscan.Scan([]byte(text), nil, visit(func(p *jsonscan.Path, k jsonscan.Kind, _, _ int) error {
		if k != jsonscan.String {
			return nil
		}
		seen = true
		for _, yes := range [][]string{{"messages", "1", "content"}, {"messages", "*", "content"}, {"*", "*", "*"}} {
			if !p.Is(yes...) {
				t.Errorf("Is(%q) is false", yes)
			}
		}
		for _, no := range [][]string{{"messages", "0", "content"}, {"messages", "1"}, {"messages", "content"},
			{"messages", "1", "Content"}, {"m\\u0065ssages", "1", "content"}, {}} {
			if p.Is(no...) {
				t.Errorf("Is(%q) is true", no)
			}
		}
		if raw, ok := p.Key(0); !ok || string(raw) != `m\u0065ssages` || !p.Escaped(0) {
			t.Errorf("Key(0) = %q, %v", raw, ok)
		}
		if i, ok := p.Index(1); !ok || i != 1 {
			t.Errorf("Index(1) = %d, %v", i, ok)
		}
		if _, ok := p.Key(1); ok {
			t.Error("an index is taken for a name")
		}
		if _, ok := p.Index(2); ok || p.Escaped(2) {
			t.Error("a name is taken for an index, or for escaped")
		}
		for _, level := range []int{-1, 3} {
			_, k := p.Key(level)
			_, i := p.Index(level)
			if k || i || p.Escaped(level) {
				t.Errorf("level %d exists", level)
			}
		}
		return nil
	}))
	if err != nil || !seen {
		t.Fatal(err, seen)
	}
}

func TestAVisitorErrorStopsTheScanAndComesBackAsItIs(t *testing.T) {
	stop := errors.New("stop")
	for _, kind := range []jsonscan.Kind{jsonscan.ObjectStart, jsonscan.ObjectEnd, jsonscan.ArrayStart, jsonscan.ArrayEnd,
		jsonscan.String, jsonscan.Number, jsonscan.True, jsonscan.False, jsonscan.Null} {
		calls := 0
		err := jsonscan.Scan([]byte(`{"a":["x",1,true,false,null]} garbage`), nil,
			visit(func(_ *jsonscan.Path, k jsonscan.Kind, _, _ int) error {
				if calls > 0 {
					t.Errorf("visited %s after the stop at %s", k, kind)
				}
				if k == kind {
					calls++
					return stop
				}
				return nil
			}))
		if err != stop {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}

func TestAScanAllocatesNothing(t *testing.T) {
	var s jsonscan.Scanner
	body := []byte(chat(1000))
	big := []byte(strings.ReplaceAll(object(200), "key7", "Ключ7"))
	v := visit(func(p *jsonscan.Path, _ jsonscan.Kind, _, _ int) error {
		p.Is("messages", "1", "content")
		return nil
	})
	for what, f := range map[string]func() error{
		"chat":    func() error { return s.Scan(body, nil, nil) },
		"visited": func() error { return s.Scan(body, nil, v) },
		"large":   func() error { return s.Scan(big, nil, nil) },
	} {
		if n := testing.AllocsPerRun(200, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}); n >= 1 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
