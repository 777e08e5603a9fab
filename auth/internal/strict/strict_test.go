package strict_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// FuzzBase64URL: the strict decoder agrees with encoding/base64 wherever that has only one spelling.
func FuzzBase64URL(f *testing.F) {
	for _, s := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AA==", "-_-_", "+/+/", "AA\nAA", "AAAAA", "\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := strict.Base64URL(s)
		want, err := base64.RawURLEncoding.Strict().DecodeString(s)
		canonical := err == nil && base64.RawURLEncoding.EncodeToString(want) == s
		if ok != canonical || ok && string(got) != string(want) {
			t.Errorf("%q: %q %v, want %q %v", s, got, ok, want, err)
		}
	})
}

func TestAnObjectHasOneReading(t *testing.T) {
	for _, s := range []string{
		``, `null`, `[]`, `"a"`, `1`, `{"a":1}{}`, `{"a":1,"a":2}`, `{"b":1,"B":2}`, `{"SUB":"x"}`, `{"\u0053ub":"x"}`, `{"ſub":"x"}`, `{"a":1,}`, "\ufeff{}",
		`{"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		if _, ok := strict.Read([]byte(s), "sub"); ok {
			t.Errorf("%s: read", s)
		}
	}
	o, ok := strict.Read([]byte(`{"sub":"\u0061b","list":["a","b c"],"one":"a b","yes":true,"no":false,"t":12.5,"in":{"x":"y"},"last":"z"}`), "sub")
	if !ok {
		t.Fatal("refused")
	}
	if o.Text("sub") != "ab" || o.Long("sub") != "ab" || !slices.Equal(o.Strings("list"), []string{"a", "b c"}) || !slices.Equal(o.Strings("one"), []string{"a b"}) ||
		!slices.Equal(o.Words("one"), []string{"a", "b"}) || !slices.Equal(o.Words("list"), []string{"a", "b c"}) || !o.True("yes") || o.True("no") || o.True("absent") ||
		o.Time("t", false) != time.Unix(12, 0).UTC() || o.Time("t", true) != time.Unix(13, 0).UTC() || o.Object("in").Text("x") != "y" || o.Text("last") != "z" || !o.OK() {
		t.Errorf("%+v", o)
	}
	if o.Text("absent") != "" || o.Strings("absent") != nil || o.Words("absent") != nil || !o.Time("absent", true).IsZero() || o.Object("absent") != nil || o.Has("absent") || !o.Has("in") || !o.OK() {
		t.Error("an absent member is something")
	}
	if got := o.Names(); len(got) != 8 || got[0] != "sub" || got[7] != "last" {
		t.Errorf("%q", got)
	}
}

func TestAMemberOfTheWrongTypeIsAFaultAndNotAbsent(t *testing.T) {
	for name, read := range map[string]func(*strict.Object){
		"text":    func(o *strict.Object) { o.Text("x") },
		"long":    func(o *strict.Object) { o.Long("x") },
		"true":    func(o *strict.Object) { o.True("x") },
		"time":    func(o *strict.Object) { o.Time("x", false) },
		"strings": func(o *strict.Object) { o.Strings("x") },
		"words":   func(o *strict.Object) { o.Words("x") },
		"object":  func(o *strict.Object) { o.Object("x", "sub") },
	} {
		good := map[string]string{"text": `"a"`, "long": `"a\nb"`, "true": `false`, "time": `1`, "strings": `["a"]`, "words": `"a b"`, "object": `{"sub":1}`}[name]
		for _, v := range []string{good, `null`, `true`, `-1`, `1e3`, `1e10`, `"a"`, `"a\nb"`, `""`, `[]`, `[1]`, `[["a"]]`, `[null]`, `[""]`, `{}`, `{"Sub":1}`, `9999999999999`, `"` + strings.Repeat("a", 600) + `"`} {
			o, ok := strict.Read([]byte(`{"x":` + v + `}`))
			if !ok {
				t.Fatal(v)
			}
			read(o)
			var value any
			if err := json.Unmarshal([]byte(v), &value); err != nil {
				t.Fatal(err)
			}
			want := false
			switch x := value.(type) {
			case string:
				want = name == "long" || len(x) < 512 && x != "a\nb" && (name == "text" || name == "words" || name == "strings" && x != "") || name == "words" && len(x) > 512
			case bool:
				want = name == "true"
			case float64:
				want = name == "time" && v == "1"
			case []any:
				want = (name == "strings" || name == "words") && (len(x) == 0 || x[0] == "a")
			case map[string]any:
				want = name == "object" && x["Sub"] == nil
			}
			if o.OK() != want {
				t.Errorf("%s of %.40s: %v", name, v, o.OK())
			}
		}
	}
}

// FuzzRead: what is accepted is an object for encoding/json too, with the same members and the same text in them.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b","c":["d"],"e":{"f":1}}`, `{"a":1,"A":2}`, `{"\u0061":"\ud83d\ude00"}`, `{"a":[[["x"]]]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, ok := strict.Read(data, "a", "sub")
		if !ok {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if len(want) != len(o.Names()) {
			t.Fatalf("%q: %q", data, o.Names())
		}
		for _, name := range o.Names() {
			raw, ok := want[name]
			if !ok {
				t.Fatalf("%q: no %q", data, name)
			}
			var s string
			if raw[0] == '"' && json.Unmarshal(raw, &s) == nil && o.Long(name) != s {
				t.Errorf("%q: %q is %q, want %q", data, name, o.Long(name), s)
			}
			o.Text(name)
			o.Time(name, true)
			o.Words(name)
			o.Strings(name)
			o.Object(name)
		}
	})
}
