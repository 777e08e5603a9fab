package jsonscan_test

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

func TestUnquotingGivesWhatEncodingJSONDecodes(t *testing.T) {
	for _, raw := range []string{``, `abc`, `\"\\\/\b\f\n\r\t`, `\u0000`, `\u00e9`, `\ud83d\ude00x`, `a\u2028b`, `é€😀`,
		`\ud800`, `\udc00\ud800`, `\ud800\u0041`} {
		var want string
		if err := json.Unmarshal([]byte(`"`+raw+`"`), &want); err != nil {
			t.Fatal(err)
		}
		if got := string(jsonscan.AppendUnquoted(nil, []byte(raw))); got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
		if !jsonscan.EqualUnquoted([]byte(raw), want) {
			t.Errorf("%s is not equal to %q", raw, want)
		}
		if jsonscan.EqualUnquoted([]byte(raw), want+"x") || jsonscan.EqualUnquoted([]byte(raw+"x"), want) {
			t.Errorf("%s is equal to a text of other length", raw)
		}
	}
}

func TestUnquotingBrokenEscapesDoesNotPanic(t *testing.T) {
	for _, raw := range []string{`\`, `\u`, `\u12`, `\u12G4`, `\ud800\`, `\ud800\u`, `\ud800\uZZZZ`, `\x`, `abc\`, "\xff\\"} {
		out := jsonscan.AppendUnquoted(nil, []byte(raw))
		if !jsonscan.EqualUnquoted([]byte(raw), string(out)) && utf8.ValidString(raw) {
			t.Errorf("%q decodes to %q but is not equal to it", raw, out)
		}
	}
}

func TestQuotingEscapesWhatReadersBreakAt(t *testing.T) {
	for in, want := range map[string]string{
		"":                    `""`,
		"plain":               `"plain"`,
		"\"\\\b\f\n\r\t":      `"\"\\\b\f\n\r\t"`,
		"\x00\x1f\x7f":        `"\u0000\u001f` + "\x7f\"",
		"a\u2028b\u2029c":     `"a\u2028b\u2029c"`,
		"é€😀</script>":        `"é€😀</script>"`,
		"bad\xff\xc0\xafutf8": "\"bad\ufffd\ufffd\ufffdutf8\"",
		"\ufffd":              "\"\ufffd\"",
	} {
		if got := string(jsonscan.AppendQuoted(nil, []byte(in), true)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		if got := string(jsonscan.AppendQuoted([]byte("x"), []byte(in), false)); got != "x"+want[1:len(want)-1] {
			t.Errorf("%q without quotes: got %s", in, got)
		}
	}
}

func TestOnlyExactIntegersAreIntegers(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "-0": 0, "7": 7, "-7": -7, "16.0": 16, "1.6e1": 16, "160e-1": 16, "1e3": 1000, "1E+3": 1000, "0.5e1": 5,
		"0e400": 0, "0.000": 0, "100": 100, "1000000000000": 1_000_000_000_000,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9.223372036854775807e18": math.MaxInt64,
		"1e18": 1e18, "100000000000000000000e-2": 1e18,
	} {
		if got, ok := jsonscan.Int([]byte(in)); !ok || got != want {
			t.Errorf("%s: got %d, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "-", "x", "1x", "1.5", "1e-1", "15e-1", "9223372036854775808", "-9223372036854775809", "1e19",
		"1e400", "1e10000000", "1e", "1e+", "true", `"1"`, "1.2.3", " 1", "99999999999999999999999"} {
		if got, ok := jsonscan.Int([]byte(in)); ok {
			t.Errorf("%s: got %d", in, got)
		}
	}
}

func FuzzInt(f *testing.F) {
	f.Add("12")
	f.Add("1.50e1")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := jsonscan.Int([]byte(s))
		if want, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] != '+' && (!ok || got != want) {
			t.Errorf("%q: got %d, %v", s, got, ok)
		}
		if x, err := strconv.ParseFloat(s, 64); ok && err == nil && math.Abs(x-float64(got)) > math.Abs(x)*1e-12 {
			t.Errorf("%q: got %d, ParseFloat %g", s, got, x)
		}
	})
}
