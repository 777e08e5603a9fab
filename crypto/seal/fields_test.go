package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/raced"
)

var row = seal.Context{Purpose: "chats", Tenant: "acme", Subject: "chat-7"}

func fieldsOf(t testing.TB, cfg seal.FieldsConfig, pointers ...string) *seal.Fields {
	t.Helper()
	if cfg.Keyring == nil && cfg.Envelope == nil {
		cfg.Keyring = ringOf(t, numbered(1))
	}
	cfg.Pointers = pointers
	f, err := seal.NewFields(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func sealDoc(t testing.TB, f *seal.Fields, doc string) string {
	t.Helper()
	out, err := f.Seal(t.Context(), nil, []byte(doc), row)
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return string(out)
}

func TestNewFieldsListsEveryFault(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	_, err := seal.NewFields(seal.FieldsConfig{
		Keyring: ring, Envelope: new(seal.Envelope), Pointers: []string{"/a", "b", "/c~2", "/c~", "/a/b", "/a", "/x/*/y", "/x/0/y", "/x/00/y", "/x/b/y", "/x/*", "/z/*", "/z/*"},
		MaxBytes: -1, MaxFields: -2, MaxDepth: -3,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Keyring or Envelope", `Pointers[1] "b" does not begin`, `Pointers[2] "/c~2" has a ~`, `Pointers[3] "/c~" has`, `Pointers[4] "/a/b" and`,
		`Pointers[5] "/a" and`, `Pointers[7] "/x/0/y" and`, `Pointers[10] "/x/*" and`, `Pointers[12] "/z/*" and`, "MaxBytes -1", "MaxFields -2", "MaxDepth -3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	for _, not := range []string{"[0] ", "[6] ", "[8] \"", "[9] \"", "[11] \""} {
		if strings.Contains(err.Error(), "Pointers"+not) {
			t.Errorf("%q in: %v", not, err)
		}
	}
	if _, err := seal.NewFields(seal.FieldsConfig{}); err == nil || !strings.Contains(err.Error(), "Keyring or Envelope") || !strings.Contains(err.Error(), "Pointers is empty") {
		t.Error(err)
	}
	for _, f := range []*seal.Fields{nil, new(seal.Fields)} {
		if _, err := f.Seal(t.Context(), nil, []byte(`{}`), row); err != seal.ErrNoPrimary {
			t.Error(err)
		}
		if _, err := f.Open(t.Context(), nil, []byte(`{}`), row); err != seal.ErrNoPrimary {
			t.Error(err)
		}
	}
}

func TestOnlyTheChosenValuesChangeAndAllOfThemComeBack(t *testing.T) {
	for name, c := range map[string]struct {
		doc      string
		pointers []string
		sealed   string // with S for a sealed value
	}{
		"a string":           {`{"a":"x","b":"y"}`, []string{"/a"}, `{"a":S,"b":"y"}`},
		"white space":        {"\n{ \"a\" :\t\"x\" , \"b\":1 }\r\n", []string{"/a", "/b"}, "\n{ \"a\" :\tS , \"b\":S }\r\n"},
		"escapes":            {`{"a":"\u00e9\/\n\ud83d\ude00é","\u0062":2}`, []string{"/a", "/b"}, `{"a":S,"\u0062":S}`},
		"every type":         {`[1,-0.50e+10,true,false,null,"",{},[],{"x":[ 1 ]}]`, []string{"/*"}, `[S,S,S,S,S,S,S,S,S]`},
		"an object":          {`{"a":{"b":[1,{"c":2}]},"d":{"b":1}}`, []string{"/a"}, `{"a":S,"d":{"b":1}}`},
		"messages":           {`{"messages":[{"role":"user","content":"hi"},{"content":["x"],"role":"tool"}]}`, []string{"/messages/*/content"}, `{"messages":[{"role":"user","content":S},{"content":S,"role":"tool"}]}`},
		"one element":        {`{"m":["a","b","c"]}`, []string{"/m/1"}, `{"m":["a",S,"c"]}`},
		"arrays in arrays":   {`[[1,2],[3],[]]`, []string{"/*/*"}, `[[S,S],[S],[]]`},
		"no elements":        {`{"m":[]}`, []string{"/m/*/content"}, `{"m":[]}`},
		"the whole":          {` {"a":1} `, []string{""}, ` S `},
		"slash and tilde":    {`{"a/b":1,"m~n":2,"~1":3}`, []string{"/a~1b", "/m~0n", "/~01"}, `{"a/b":S,"m~n":S,"~1":S}`},
		"an empty name":      {`{"":{"":1}}`, []string{"//"}, `{"":{"":S}}`},
		"a number as name":   {`{"0":1,"00":2}`, []string{"/0", "/00"}, `{"0":S,"00":S}`},
		"names alike deeper": {`{"a":{"a":1,"x":2},"b":{"a":3}}`, []string{"/a/a"}, `{"a":{"a":S,"x":2},"b":{"a":3}}`},
		"not ASCII":          {`{"é":"ü","日":1}`, []string{"/é", "/日"}, `{"é":S,"日":S}`},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, cfg := range map[string]seal.FieldsConfig{
				"ring": {Keyring: ringOf(t, numbered(1))}, "envelope": {Envelope: envelopeOf(t, newService(t), seal.EnvelopeConfig{})},
			} {
				f := fieldsOf(t, cfg, c.pointers...)
				sealed := sealDoc(t, f, c.doc)
				if !json.Valid([]byte(sealed)) {
					t.Errorf("%s: not JSON: %s", kind, sealed)
				}
				// Cut the sealed values out.
				var shape strings.Builder
				rest := sealed
				for {
					before, after, ok := strings.Cut(rest, `"`+seal.FieldPrefix)
					shape.WriteString(before)
					if !ok {
						break
					}
					_, rest, _ = strings.Cut(after, `"`)
					shape.WriteByte('S')
				}
				if shape.String() != c.sealed {
					t.Errorf("%s: %s, want %s", kind, shape.String(), c.sealed)
				}
				got, err := f.Open(t.Context(), []byte("doc: "), []byte(sealed), row)
				if err != nil || string(got) != "doc: "+c.doc {
					t.Errorf("%s: %s, %v; want %s", kind, got, err, c.doc)
				}
			}
		})
	}
}

func TestAFieldOpensNowhereElse(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{}, "/a", "/b", "/m/*")
	sealed := sealDoc(t, f, `{"a":1,"b":2,"m":[3,4]}`)
	var d struct {
		A, B string
		M    []string
	}
	if err := json.Unmarshal([]byte(sealed), &d); err != nil {
		t.Fatal(err)
	}
	values := []string{d.A, d.B, d.M[0], d.M[1]}
	doc := func(v []string) []byte {
		return fmt.Appendf(nil, `{"a":%q,"b":%q,"m":[%q,%q]}`, v[0], v[1], v[2], v[3])
	}
	if got, err := f.Open(t.Context(), nil, doc(values), row); err != nil || string(got) != `{"a":1,"b":2,"m":[3,4]}` {
		t.Fatalf("%s %v", got, err)
	}
	pointers := []string{"/a", "/b", "/m/0", "/m/1"}
	for i := range values {
		for j := range i {
			swapped := append([]string(nil), values...)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			got, err := f.Open(t.Context(), nil, doc(swapped), row)
			var where *seal.FieldError
			if got != nil || !errors.Is(err, seal.ErrInvalid) || !errors.As(err, &where) || where.Pointer != pointers[j] {
				t.Errorf("%s and %s swapped: %s, %v", pointers[i], pointers[j], got, err)
			}
		}
	}
	for i, c := range []seal.Context{{Purpose: "chats", Tenant: "acme", Subject: "chat-8"}, {Purpose: "chats", Subject: "chat-7"}, {Purpose: "chat", Tenant: "acme", Subject: "chat-7"}} {
		if _, err := f.Open(t.Context(), nil, []byte(sealed), c); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("context %d: %v", i, err)
		}
	}
	for i, c := range []seal.Context{{}, {Purpose: "chats", Path: "/a"}} {
		if _, err := f.Open(t.Context(), nil, []byte(sealed), c); !errors.Is(err, seal.ErrContext) {
			t.Errorf("context %d: %v", i, err)
		}
		if _, err := f.Seal(t.Context(), nil, []byte(`{"a":1,"b":1,"m":[]}`), c); !errors.Is(err, seal.ErrContext) {
			t.Errorf("context %d: %v", i, err)
		}
	}
}

func TestEveryChangeOfASealedValueIsSeen(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{}, "/a")
	sealed := []byte(sealDoc(t, f, `{"a":"secret"}`))
	for i := range 8 * len(sealed) {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if got, err := f.Open(t.Context(), nil, bad, row); err == nil || got != nil {
			t.Fatalf("bit %d: %s", i, got)
		}
	}
	for n := range sealed {
		if _, err := f.Open(t.Context(), nil, sealed[:n], row); !errors.Is(err, seal.ErrDocument) {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	value := string(sealed[5 : len(sealed)-1])
	for c := range 64 { // the last one of this length has bits that mean nothing
		bad := value[:len(value)-2] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[c]) + `"`
		if _, err := f.Open(t.Context(), nil, []byte(`{"a":`+bad+`}`), row); (err == nil) != (bad == value) {
			t.Errorf("ends in %s: %v", bad[len(bad)-2:], err)
		}
	}
	for name, bad := range map[string]string{
		"padding": value[:len(value)-1] + `="`, "a line break": value[:30] + `\n` + value[30:], "an escape in the box": value[:30] + fmt.Sprintf(`\u%04x`, value[30]) + value[31:],
		"an escape in the prefix": `"\u006d` + value[2:], "nothing behind the prefix": `"` + seal.FieldPrefix + `"`, "a character more": value[:len(value)-1] + `A"`,
		"white space inside": value[:30] + " " + value[30:],
	} {
		if _, err := f.Open(t.Context(), nil, []byte(`{"a":`+bad+`}`), row); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for _, c := range []struct {
		doc     string
		pointer string
		missing bool
	}{
		{`{"a":1}`, "/a", false}, {`{"b":1}`, "/a", true}, {`{"A":1}`, "/a", true}, {`[1]`, "/a", true}, {`1`, "/a", true}, {`{"a":1}`, "/a/b", true},
		{`{"a":[]}`, "/a/*", false}, {`{"a":{}}`, "/a/*", true}, {`{"a":{"*":1}}`, "/a/*", true}, {`{}`, "/a/*", true}, {`{"a":null}`, "/a/*", true},
		{`{"a":[{"b":1},{"b":2}]}`, "/a/*/b", false}, {`{"a":[{"b":1},{"c":2}]}`, "/a/*/b", true}, {`{"a":[{"b":1},2]}`, "/a/*/b", true},
		{`{"a":[[],[]]}`, "/a/*/*", false}, {`{"a":[[],{}]}`, "/a/*/*", true}, {`{"a":[1]}`, "/a/0", false}, {`{"a":[1]}`, "/a/1", true}, {`{"a":[1]}`, "/a/00", true},
		{`{"a":[1]}`, "/a/-", true}, {`{"a":null}`, "/a", false}, {`0`, "", false},
	} {
		got, err := fieldsOf(t, seal.FieldsConfig{}, c.pointer).Seal(t.Context(), nil, []byte(c.doc), row)
		var where *seal.FieldError
		if c.missing != errors.Is(err, seal.ErrMissing) || c.missing != errors.As(err, &where) || c.missing != (got == nil) || c.missing && where.Pointer != c.pointer {
			t.Errorf("%s of %s: %s, %v", c.pointer, c.doc, got, err)
		}
		if _, err := fieldsOf(t, seal.FieldsConfig{AllowMissing: true}, c.pointer).Seal(t.Context(), nil, []byte(c.doc), row); err != nil {
			t.Errorf("allowed, %s of %s: %v", c.pointer, c.doc, err)
		}
		if _, err := fieldsOf(t, seal.FieldsConfig{InsecureAllowPlain: true}, c.pointer).Open(t.Context(), nil, []byte(c.doc), row); c.missing != errors.Is(err, seal.ErrMissing) {
			t.Errorf("Open, %s of %s: %v", c.pointer, c.doc, err)
		}
	}
}

func TestAStarIsForArraysOnly(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{AllowMissing: true, InsecureAllowPlain: true}, "/a/*", "/*/b/x")
	const doc = `{"a":{"x":1,"*":2,"0":3},"c":{"b":{"x":1}}}`
	if got := sealDoc(t, f, doc); got != doc {
		t.Errorf("sealed members of an object: %s", got)
	}
}

func TestWhatIsSealedAlreadyOrNotSealedIsRefusedUnlessAllowed(t *testing.T) {
	strict, lax := fieldsOf(t, seal.FieldsConfig{}, "/a", "/b"), fieldsOf(t, seal.FieldsConfig{KeepSealed: true, InsecureAllowPlain: true}, "/a", "/b")
	sealed := sealDoc(t, strict, `{"a":1,"b":2}`)
	var where *seal.FieldError
	if _, err := strict.Seal(t.Context(), nil, []byte(sealed), row); !errors.Is(err, seal.ErrSealed) || !errors.As(err, &where) || where.Pointer != "/a" {
		t.Errorf("twice: %v", err)
	}
	if got := sealDoc(t, lax, sealed); got != sealed {
		t.Errorf("%s, want it unchanged", got)
	}
	half := sealed[:strings.Index(sealed, `,"b"`)] + `,"b":2}`
	if got := sealDoc(t, lax, half); !strings.HasPrefix(got, half[:len(half)-3]) || !strings.HasPrefix(got[len(half)-2:], `"`+seal.FieldPrefix) {
		t.Errorf("half a document: %s", got)
	}
	if _, err := strict.Open(t.Context(), nil, []byte(half), row); !errors.Is(err, seal.ErrNotSealed) || !errors.As(err, &where) || where.Pointer != "/b" {
		t.Errorf("half a document: %v", err)
	}
	if got, err := lax.Open(t.Context(), nil, []byte(half), row); err != nil || string(got) != `{"a":1,"b":2}` {
		t.Errorf("%s, %v", got, err)
	}
	// A text that only looks sealed would stay in clear.
	for _, text := range []string{seal.FieldPrefix + "AAAA", seal.FieldPrefix, `\u006dantlet-field-v1_AAAA`, `mantlet\u002dfield-v1_`} {
		doc := []byte(`{"a":"` + text + `","b":1}`)
		if _, err := strict.Seal(t.Context(), nil, doc, row); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := lax.Seal(t.Context(), nil, doc, row); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := lax.Open(t.Context(), nil, doc, row); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := lax.Seal(t.Context(), nil, []byte(strings.Replace(strings.Replace(strings.Replace(sealed, `"a"`, `"c"`, 1), `"b"`, `"a"`, 1), `"c"`, `"b"`, 1)), row); !errors.Is(err, seal.ErrInvalid) {
		t.Errorf("sealed in another place: %v", err)
	}
}

func TestSealedFieldsFollowANewKey(t *testing.T) {
	const doc = `{"a":"x","m":[{"c":1},{"c":{"d":[2]}}],"b":true}`
	old, newer := numbered(1), numbered(2)
	for kind, envelope := range map[string]bool{"Keyring": false, "Envelope": true} {
		ring := ringOf(t, old, newer)
		cfg := seal.FieldsConfig{Keyring: ring}
		if envelope {
			cfg = seal.FieldsConfig{Envelope: envelopeOf(t, seal.NewRingKEK(ring), seal.EnvelopeConfig{})}
		}
		f := fieldsOf(t, cfg, "/a", "/m/*/c")
		needs := func(when, doc string, want bool) {
			t.Helper()
			if got, err := f.NeedsReseal([]byte(doc)); err != nil || got != want {
				t.Errorf("%s, %s: NeedsReseal says %v, %v", kind, when, got, err)
			}
		}
		sealed := sealDoc(t, f, doc)
		needs("before", sealed, false)
		if err := ring.Promote(newer.ID()); err != nil {
			t.Fatal(err)
		}
		needs("after the promotion", sealed, true)
		out, err := f.Reseal(t.Context(), []byte("doc: "), []byte(sealed), row)
		if err != nil || !strings.HasPrefix(string(out), `doc: {"a":"`+seal.FieldPrefix) || !strings.HasSuffix(string(out), `,"b":true}`) {
			t.Fatalf("%s: %s, %v", kind, out, err)
		}
		resealed := string(out[len("doc: "):])
		needs("resealed", resealed, false)
		// One value that was left is enough.
		var values struct{ A, B any }
		if err := json.Unmarshal([]byte(sealed), &values); err != nil {
			t.Fatal(err)
		}
		needs("one value is old", fmt.Sprintf(`{"a":%q,%s`, values.A, resealed[strings.Index(resealed, `"m":`):]), true)
		if err := ring.Retire(old.ID()); err != nil {
			t.Fatal(err)
		}
		if back, err := f.Open(t.Context(), nil, []byte(resealed), row); err != nil || string(back) != doc {
			t.Errorf("%s: %s, %v", kind, back, err)
		}
		there := row
		there.Subject = "chat-8"
		if out, err := f.Reseal(t.Context(), nil, []byte(resealed), there); out != nil || !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: resealed out of another place: %s, %v", kind, out, err)
		}
	}
}

func TestResealingVouchesForNothingThatWasNotSealed(t *testing.T) {
	strict, lax := fieldsOf(t, seal.FieldsConfig{}, "/a", "/b"), fieldsOf(t, seal.FieldsConfig{InsecureAllowPlain: true}, "/a", "/b")
	sealed := sealDoc(t, strict, `{"a":1,"b":2}`)
	half := sealed[:strings.Index(sealed, `,"b"`)] + `,"b":2}`
	if out, err := lax.Reseal(t.Context(), nil, []byte(half), row); err != nil || !strings.HasSuffix(string(out), `,"b":2}`) {
		t.Errorf("%s, %v; want b as it is", out, err)
	}
	if got, err := lax.NeedsReseal([]byte(half)); got || err != nil {
		t.Error(got, err)
	}
	var where *seal.FieldError
	if _, err := strict.NeedsReseal([]byte(half)); !errors.Is(err, seal.ErrNotSealed) || !errors.As(err, &where) || where.Pointer != "/b" {
		t.Error(err)
	}
	if out, err := strict.Reseal(t.Context(), nil, []byte(half), row); out != nil || !errors.Is(err, seal.ErrNotSealed) {
		t.Errorf("%s, %v", out, err)
	}
	for _, f := range []*seal.Fields{strict, fieldsOf(t, seal.FieldsConfig{Envelope: envelopeOf(t, newService(t), seal.EnvelopeConfig{})}, "/a", "/b")} {
		for _, bad := range []string{`{"a":"` + seal.FieldPrefix + `AAAA","b":1}`, `{"a":"` + seal.FieldPrefix + `?","b":1}`, `{"a":"\u006dantlet-field-v1_AAAA","b":1}`} {
			if got, err := f.NeedsReseal([]byte(bad)); got || !errors.Is(err, seal.ErrInvalid) || !errors.As(err, &where) || where.Pointer != "/a" {
				t.Errorf("%s: %v, %v", bad, got, err)
			}
		}
		if _, err := f.NeedsReseal([]byte(`{"a":1}`)); !errors.Is(err, seal.ErrMissing) {
			t.Error(err)
		}
		if _, err := f.NeedsReseal([]byte(`{"a":1,}`)); !errors.Is(err, seal.ErrDocument) {
			t.Error(err)
		}
	}
	for _, none := range []*seal.Fields{nil, new(seal.Fields)} {
		if _, err := none.NeedsReseal([]byte(`{}`)); err != seal.ErrNoPrimary {
			t.Error(err)
		}
		if _, err := none.Reseal(t.Context(), nil, []byte(`{}`), row); err != seal.ErrNoPrimary {
			t.Error(err)
		}
	}
}

func TestADocumentThatDoesNotOpenLeavesNoPlainTextBehind(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{}, "/a", "/b")
	sealed := []byte(sealDoc(t, f, `{"a":"the first value","b":"the second"}`))
	sealed[len(sealed)-20] ^= 1
	buf := []byte("doc: ")
	buf = append(make([]byte, 0, 1000), buf...)
	if out, err := f.Open(t.Context(), buf, sealed, row); out != nil || !errors.Is(err, seal.ErrInvalid) {
		t.Fatalf("%s, %v", out, err)
	}
	if all := buf[:cap(buf)]; bytes.Contains(all, []byte("first")) || !bytes.HasPrefix(all, []byte("doc: ")) {
		t.Errorf("%q", all)
	}
}

func TestDocumentsThatTwoReadersWouldReadDifferentlyAreRefused(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{AllowMissing: true, InsecureAllowPlain: true, MaxBytes: 1000, MaxFields: 3, MaxDepth: 4}, "/a", "/m/*")
	for name, doc := range map[string]string{
		"a member twice": `{"a":1,"a":2}`, "escaped": `{"a":1,"\u0061":2}`, "unequal by case": `{"a":1,"A":2}`, "deep inside": `{"x":[{"y":1,"y":2}]}`,
		"inside a sealed value": `{"a":{"y":1,"y":2}}`, "two documents": `{"a":1}{"a":2}`, "bad UTF-8": "{\"a\":\"\xff\"}", "a lone surrogate": `{"a":"\ud800"}`,
		"a byte order mark": "\uFEFF{}", "a comma": `{"a":1,}`, "a comment": `{"a":1/**/}`, "nothing": ``, "too long": `{"a":"` + strings.Repeat("x", 1000) + `"}`,
		"too deep": `{"a":[[[[1]]]]}`, "too many fields": `{"m":[1,2,3,4]}`, "an infinity": `{"a":Infinity}`,
	} {
		if got, err := f.Seal(t.Context(), nil, []byte(doc), row); got != nil || !errors.Is(err, seal.ErrDocument) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if got, err := f.Open(t.Context(), nil, []byte(doc), row); got != nil || !errors.Is(err, seal.ErrDocument) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	// What would be too long to open again is not sealed.
	if _, err := f.Seal(t.Context(), nil, []byte(`{"a":"`+strings.Repeat("x", 900)+`"}`), row); !errors.Is(err, seal.ErrDocument) {
		t.Error(err)
	}
	for _, doc := range []string{`{"m":[1,2,3]}`, `{"a":[[[1]]]}`, `{"n":1e99999,"o":` + strings.Repeat("1", 500) + `}`} {
		if _, err := f.Seal(t.Context(), nil, []byte(doc), row); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestWhatIsNoJSONDoesNotBreakOutOfItsPlace(t *testing.T) {
	ring := ringOf(t, seal.GenerateKey())
	f := fieldsOf(t, seal.FieldsConfig{Keyring: ring}, "/a")
	place := row
	place.Path = "/a"
	for _, msg := range []string{`1,"admin":true`, ``, `x`, `"x`, `1 2`, `{"x":1,"x":2}`, `1`} {
		box := mustSeal(t, ring, []byte(msg), place)
		doc := `{"a":"` + seal.FieldPrefix + base64url(box) + `"}`
		got, err := f.Open(t.Context(), nil, []byte(doc), row)
		if (msg == `1`) != (err == nil) || err != nil && !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("%s: %s, %v", msg, got, err)
		}
	}
}

func TestFieldsAreSafeForConcurrentUse(t *testing.T) {
	f := fieldsOf(t, seal.FieldsConfig{Envelope: envelopeOf(t, newService(t), seal.EnvelopeConfig{})}, "/m/*/content")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				doc := fmt.Sprintf(`{"m":[%s{"content":"%d"}]}`, strings.Repeat(fmt.Sprintf(`{"content":%d},`, g), i), i)
				sealed, err := f.Seal(t.Context(), nil, []byte(doc), row)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := f.Open(t.Context(), nil, sealed, row); err != nil || string(got) != doc {
					t.Errorf("%s, %v; want %s", got, err, doc)
				}
			}
		})
	}
	wg.Wait()
}

var fuzzDocs = []string{
	`{"a":"x","m":[{"c":1},{"c":"\u00e9"}],"b":{"d":[1,2,{}]}}`, ` { "a" : 1.50e+3 , "m" : [ ] } `, `{"m":[[1],2,{"c":{"c":1}}],"\u0061":null}`,
	`{"a":1,"a":2}`, `[]`, `"x"`, `{"a":"` + seal.FieldPrefix + `AAAA"}`,
}

func FuzzFieldsRoundTrip(f *testing.F) {
	fields := fieldsOf(f, seal.FieldsConfig{AllowMissing: true}, "/a", "/m/*/c", "/b/d")
	whole := fieldsOf(f, seal.FieldsConfig{}, "")
	for _, d := range fuzzDocs {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, x := range []*seal.Fields{fields, whole} {
			sealed, err := x.Seal(t.Context(), nil, doc, row)
			if err != nil {
				continue
			}
			if !json.Valid(sealed) {
				t.Fatalf("not JSON: %s", sealed)
			}
			if back, err := x.Open(t.Context(), nil, sealed, row); err != nil || !bytes.Equal(back, doc) {
				t.Fatalf("%s, %v; want %s", back, err, doc)
			}
			there := row
			there.Subject += "x"
			if _, err := x.Open(t.Context(), nil, sealed, there); bytes.Contains(sealed, []byte(seal.FieldPrefix)) && !bytes.Equal(sealed, doc) && err == nil {
				t.Fatalf("opens elsewhere: %s", sealed)
			}
			// The first and the last sealed value in each other's place.
			first, last := span(sealed, bytes.Index), span(sealed, bytes.LastIndex)
			if first == last {
				continue
			}
			swapped := slices.Concat(sealed[:first[0]], sealed[last[0]:last[1]], sealed[first[1]:last[0]], sealed[first[0]:first[1]], sealed[last[1]:])
			if got, err := x.Open(t.Context(), nil, swapped, row); err == nil && !bytes.Equal(sealed, doc) {
				t.Fatalf("%s opens with two values swapped: %s", swapped, got)
			}
		}
	})
}

func FuzzFieldsOpen(f *testing.F) {
	ring := ringOf(f, numbered(1))
	strict := fieldsOf(f, seal.FieldsConfig{Keyring: ring}, "/a", "/m/*/c")
	lax := fieldsOf(f, seal.FieldsConfig{Keyring: ring, AllowMissing: true, InsecureAllowPlain: true}, "/a", "/m/*/c")
	for _, d := range fuzzDocs {
		f.Add([]byte(d))
		if sealed, err := lax.Seal(f.Context(), nil, []byte(d), row); err == nil {
			f.Add(sealed)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := lax.Open(t.Context(), nil, doc, row)
		if err == nil && (!json.Valid(got) || len(got) > len(doc)) {
			t.Fatalf("%s became %s", doc, got)
		}
		if _, err := strict.Open(t.Context(), nil, doc, row); err == nil && !bytes.Contains(doc, []byte(seal.FieldPrefix)) {
			t.Fatalf("nothing was sealed and it opens: %s", doc)
		}
	})
}

func TestFieldsAllocateLittleForEachValue(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates")
	}
	f := fieldsOf(t, seal.FieldsConfig{}, "/m/*")
	doc := []byte(`{"m":[` + strings.Repeat(`"hello world",`, 99) + `1]}`)
	dst := make([]byte, 0, 64<<10)
	sealed, err := f.Seal(t.Context(), nil, doc, row)
	if err != nil {
		t.Fatal(err)
	}
	// Two for the box, one for the path as a string.
	if n := testing.AllocsPerRun(20, func() { _, _ = f.Seal(t.Context(), dst, doc, row) }); n > 100*3+5 {
		t.Errorf("Seal: %v allocations for 100 values", n)
	}
	if n := testing.AllocsPerRun(20, func() { _, _ = f.Open(t.Context(), dst, sealed, row) }); n > 100*3+5 {
		t.Errorf("Open: %v allocations for 100 values", n)
	}
}

func BenchmarkFields(b *testing.B) {
	f := fieldsOf(b, seal.FieldsConfig{}, "/messages/*/content")
	for _, n := range []int{1, 100} {
		doc := []byte(`{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"`+strings.Repeat("x", 200)+`"},`, n-1) + `{"role":"user","content":"y"}]}`)
		sealed, err := f.Seal(b.Context(), nil, doc, row)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, 0, 2*len(sealed))
		b.Run(fmt.Sprintf("Seal/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.Seal(b.Context(), dst, doc, row)
			}
		})
		b.Run(fmt.Sprintf("Open/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.Open(b.Context(), dst, sealed, row)
			}
		})
	}
	b.Run("nothing to seal/1MiB", func(b *testing.B) {
		f := fieldsOf(b, seal.FieldsConfig{AllowMissing: true}, "/messages/*/secret", "/user/email", "/a/b/c")
		doc := []byte(`{"messages":[` + strings.Repeat(`{"role":"user","content":"`+strings.Repeat("x", 200)+`"},`, 4000) + `{}]}`)
		dst := make([]byte, 0, 2*len(doc))
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			_, _ = f.Seal(b.Context(), dst, doc, row)
		}
	})
}

// span is where a sealed value stands, without its quotes.
func span(doc []byte, find func(s, sep []byte) int) [2]int {
	from := find(doc, []byte(seal.FieldPrefix))
	if from < 0 {
		return [2]int{}
	}
	return [2]int{from, from + bytes.IndexByte(doc[from:], '"')}
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
