package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// FuzzScan holds the scanner against encoding/json. What the scanner accepts, json.Valid accepts; what json.Valid accepts
// and the scanner refuses is refused for one of the stated reasons. The values a visitor sees rebuild the same document.
func FuzzScan(f *testing.F) {
	for _, text := range accepted {
		if len(text) < 1000 {
			f.Add([]byte(text))
		}
	}
	for _, c := range refused {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text))
		}
	}
	var s jsonscan.Scanner
	f.Fuzz(func(t *testing.T, data []byte) {
		var r rebuild
		r.data = data
		err := s.Scan(data, nil, &r)
		if plain := s.Scan(data, nil, nil); (plain == nil) != (err == nil) {
			t.Fatalf("with a visitor %v, without %v", err, plain)
		}
		valid := json.Valid(data)
		if err == nil {
			if !valid {
				t.Fatalf("accepted what encoding/json refuses: %q", data)
			}
			if !utf8.Valid(data) {
				t.Fatalf("accepted bad UTF-8: %q", data)
			}
			var want bytes.Buffer
			if err := json.Compact(&want, data); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.out, want.Bytes()) {
				t.Fatalf("the visitor saw %q, want %q", r.out, want.Bytes())
			}
			return
		}
		var e *jsonscan.Error
		if !errors.As(err, &e) {
			t.Fatalf("not an *Error: %v", err)
		}
		if e.Offset < 0 || e.Offset > len(data) {
			t.Fatalf("offset %d of %d bytes", e.Offset, len(data))
		}
		if !valid {
			return
		}
		switch e.Code {
		case jsonscan.LimitExceeded, jsonscan.DuplicateKey:
		case jsonscan.InvalidJSON:
			if e.Reason != "invalid UTF-8" && e.Reason != "lone surrogate" {
				t.Fatalf("refused what encoding/json accepts: %v in %q", e, data)
			}
		}
		if e.Code == jsonscan.DuplicateKey {
			// The sibling must really be there: with both rules off the text passes, or another rule stops it.
			err := s.Scan(data, &jsonscan.Limits{AllowDuplicateKeys: true, AllowFoldCollisions: true}, nil)
			if errors.As(err, &e) && e.Code == jsonscan.DuplicateKey {
				t.Fatalf("duplicate although allowed: %q", data)
			}
		}
	})
}

// rebuild writes the compact form of what it visits.
type rebuild struct {
	data []byte
	out  []byte
}

func (r *rebuild) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	if k != jsonscan.ObjectEnd && k != jsonscan.ArrayEnd {
		if n := len(r.out); n > 0 && r.out[n-1] != '{' && r.out[n-1] != '[' {
			r.out = append(r.out, ',')
		}
		if raw, ok := p.Key(p.Depth() - 1); ok {
			r.out = append(append(append(r.out, '"'), raw...), `":`...)
		}
	}
	r.out = append(r.out, r.data[start:end]...)
	return nil
}

// FuzzNames checks the duplicate rule against a map of decoded and folded names.
func FuzzNames(f *testing.F) {
	f.Add("a b A", uint8(3))
	f.Add("ſ s k K", uint8(40))
	var s jsonscan.Scanner
	f.Fuzz(func(t *testing.T, words string, pad uint8) {
		if !utf8.ValidString(words) {
			return
		}
		exact, folded := map[string]bool{}, map[string]bool{}
		dup, fold := false, false
		text := []byte("{")
		for i := range int(pad) {
			// Names no word can equal, to cross into the table.
			text = append(text, " \"\\u0000 "...)
			text = append(text, byte('0'+i/100), byte('0'+i/10%10), byte('0'+i%10))
			text = append(text, `":0,`...)
		}
		for i, w := range strings.Split(words, " ") {
			if len(w) > 40 || i > 100 {
				return
			}
			text = jsonscan.AppendQuoted(text, []byte(w), true)
			text = append(text, ":0,"...)
			dup = dup || exact[w]
			key := strings.Map(jsonscan.FoldRune, w)
			fold = fold || !exact[w] && folded[key]
			exact[w], folded[key] = true, true
		}
		text[len(text)-1] = '}'
		none := jsonscan.Limits{Keys: -1}
		for _, c := range []struct{ dup, fold bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			l := none
			l.AllowDuplicateKeys, l.AllowFoldCollisions = c.dup, c.fold
			want := (dup && !c.dup) || (fold && !c.fold)
			if err := s.Scan(text, &l, nil); (err != nil) != want {
				t.Fatalf("%q allow %+v: got %v, want refusal %v", text, c, err, want)
			}
		}
	})
}

// FuzzUnquoteQuote checks that text survives quoting and unquoting, and that unquoting agrees with encoding/json.
func FuzzUnquoteQuote(f *testing.F) {
	f.Add([]byte("a\"\\\n\u2028é😀\xff"))
	f.Add([]byte(`\ud83d\ude00\u0041\n`))
	f.Fuzz(func(t *testing.T, b []byte) {
		q := jsonscan.AppendQuoted(nil, b, true)
		want := string(bytes.ToValidUTF8(b, nil))
		if err := jsonscan.Scan(q, &jsonscan.Limits{Bytes: -1, StringLen: -1}, nil); err != nil {
			t.Fatalf("%q quotes to %q: %v", b, q, err)
		}
		got := string(jsonscan.AppendUnquoted(nil, q[1:len(q)-1]))
		if utf8.Valid(b) && got != want {
			t.Fatalf("%q became %q", b, got)
		}
		if !jsonscan.EqualUnquoted(q[1:len(q)-1], got) {
			t.Fatalf("%q is not equal to its own text", q)
		}
		// b as the inside of a string: any bytes may come.
		out := jsonscan.AppendUnquoted(nil, b)
		if lit := append(append([]byte{'"'}, b...), '"'); json.Valid(lit) && utf8.Valid(b) {
			var want string
			if err := json.Unmarshal(lit, &want); err != nil {
				t.Fatal(err)
			}
			if string(out) != want || !jsonscan.EqualUnquoted(b, want) {
				t.Fatalf("%q unquotes to %q, want %q", b, out, want)
			}
		}
	})
}
