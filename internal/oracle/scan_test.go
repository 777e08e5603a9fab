package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// deepest is where both peers stop going down.
const deepest = 10_000

// unlimited has no limit but the peers' own.
var unlimited = jsonscan.Limits{Bytes: -1, Depth: deepest, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1,
	NumberLen: -1, Exponent: -1}

// narrow has limits so small that short texts meet each of them.
var narrow = jsonscan.Limits{Bytes: 48, Depth: 3, Keys: 3, TotalKeys: 5, KeyLen: 6, ArrayLen: 4, StringLen: 8, Nodes: 9, NumberLen: 6, Exponent: 9}

// holds says of one text, under every combination of the three lenient rules, and under three sets of limits, that the scanner
// accepts it exactly when it should: see the comments in it.
func holds(t testing.TB, data []byte) (verdict string) {
	t.Helper()
	r, ok := byPeer(t, data)
	if valid := json.Valid(data); valid != ok {
		t.Fatalf("the peers disagree about %q: encoding/json says %v", data, valid)
	}
	if ok {
		if std := byStandard(t, data); !slices.Equal(std, r.list) {
			t.Fatalf("the peers read %q differently:\n%q\n%q", data, std, r.list)
		}
	}
	wellFormed := jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true))
	if strict := jsontext.Value(data).IsValid(); strict != (wellFormed && !r.dup) {
		t.Fatalf("the peer's rules about %q: strict %v, well formed %v, duplicate %v", data, strict, wellFormed, r.dup)
	}
	for i, limits := range []jsonscan.Limits{unlimited, {}, narrow} {
		inForce := limits.Resolved()
		beyond := ""
		for limit, bound := range map[string]int{"Bytes": inForce.Bytes, "Depth": inForce.Depth, "Keys": inForce.Keys, "TotalKeys": inForce.TotalKeys,
			"KeyLen": inForce.KeyLen, "ArrayLen": inForce.ArrayLen, "StringLen": inForce.StringLen, "Nodes": inForce.Nodes, "NumberLen": inForce.NumberLen,
			"Exponent": inForce.Exponent} {
			if r.max[limit] > bound {
				beyond = limit
			}
		}
		for flags := range 8 {
			l := limits
			l.AllowDuplicateKeys, l.AllowFoldCollisions, l.AllowInvalidText = flags&1 > 0, flags&2 > 0, flags&4 > 0
			// With all three rules off and no limit this is: the scanner accepts exactly what encoding/json calls valid. With
			// only the fold rule off: exactly what the strict peer accepts. Each further reason is a rule of ours.
			want := ok && beyond == "" && (wellFormed || l.AllowInvalidText) &&
				(!r.dup || l.AllowDuplicateKeys) && (!r.fold || l.AllowFoldCollisions)
			got := byScan{data: data}
			err := jsonscan.Scan(data, &l, &got)
			var e *jsonscan.Error
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("%q: %v", data, err)
			}
			if l.AllowInvalidText && !wellFormed && !l.AllowDuplicateKeys && e != nil == want {
				continue // see TestNamesThatAreNotTextAreComparedAsTheyAre
			}
			if (err == nil) != want {
				t.Fatalf("%q under %+v: %v, want accepted %v (strict %v, duplicate %v, fold %v, beyond %q)", data, l, err, want, wellFormed, r.dup, r.fold, beyond)
			}
			if err == nil && !slices.Equal(got.list, r.list) {
				t.Fatalf("%q was read as\n%q, want\n%q", data, got.list, r.list)
			}
			if err == nil || !ok {
				if e != nil && e.Offset > len(data) {
					t.Fatalf("%q: offset %d", data, e.Offset)
				}
				continue
			}
			// What is JSON is refused for a reason that is there.
			switch {
			case e.Code == jsonscan.LimitExceeded && r.max[e.Limit] > bound(inForce, e.Limit):
			case e.Code == jsonscan.DuplicateKey && (r.dup && !l.AllowDuplicateKeys || r.fold && !l.AllowFoldCollisions):
			case e.Code == jsonscan.InvalidJSON && !wellFormed && (e.Reason == "invalid UTF-8" || e.Reason == "lone surrogate"):
			default:
				t.Fatalf("%q was refused for a reason that is not there: %v", data, e)
			}
			if i == 1 && flags == 0 {
				verdict = string(e.Code)
			}
		}
	}
	if verdict == "" && !ok {
		return "not JSON"
	}
	return verdict
}

func bound(l jsonscan.Limits, limit string) int {
	return map[string]int{"Bytes": l.Bytes, "Depth": l.Depth, "Keys": l.Keys, "TotalKeys": l.TotalKeys, "KeyLen": l.KeyLen, "ArrayLen": l.ArrayLen,
		"StringLen": l.StringLen, "Nodes": l.Nodes, "NumberLen": l.NumberLen, "Exponent": l.Exponent}[limit]
}

// FuzzReaders: for every text and every set of rules, the scanner accepts it exactly if the peers do and no rule of ours forbids
// it, reads the same document, and refuses for a reason that is there.
func FuzzReaders(f *testing.F) {
	for _, c := range slices.Concat(grammar, adversarial) {
		if len(c.text) < 1000 {
			f.Add([]byte(c.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { holds(t, data) })
}

// writer writes random texts that are mostly JSON.
type writer struct {
	*rand.Rand
	b strings.Builder
}

func (w *writer) space() {
	for w.IntN(6) == 0 {
		w.b.WriteByte(" \t\r\n"[w.IntN(4)])
	}
}

// pieces of strings and names: few, so that names meet, and each of them a case of its own.
var pieces = []string{"a", "A", "b", "k", "K", "\u212a", "s", "ſ", "σ", "ς", "é", "É", "ß", "ss", "😀", "0", "_", `\n`, `\"`, `\\`, `\/`, `\u0061`, `\u0041`,
	`\u212A`, `\u017f`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\u0000`, "\x80", "\xff", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x7f", "\x1f", `\x`, `\u12`, "\u2028",
	"\ufffd", "abcdefgh", "ABCDEFGH", "ab\u0130", "\u0345", "\u03b9", "ⓐ", "Ⓐ", "Ⅷ", "ⅷ"}

var scalars = []string{"0", "-0", "1", "12.50", "1e9", "1E-9", "1e10", "-1.5e+007", "9223372036854775808", "1e400", "1e401", "1e000000000000000012",
	"true", "false", "null", "01", "1.", "+1", ".5", "1e", "nul", "NaN"}

func (w *writer) str() {
	w.b.WriteByte('"')
	for range w.IntN(4) {
		n := len(pieces)
		if w.IntN(3) > 0 {
			n = 12 // the harmless ones
		}
		w.b.WriteString(pieces[w.IntN(n)])
	}
	w.b.WriteByte('"')
}

func (w *writer) value(depth int) {
	w.space()
	switch n := w.IntN(10); {
	case n < 3 && depth > 0:
		w.b.WriteByte('{')
		for i := range w.IntN(5) {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.space()
			w.str()
			w.space()
			w.b.WriteByte(':')
			w.value(depth - 1)
		}
		w.space()
		w.b.WriteByte('}')
	case n < 5 && depth > 0:
		w.b.WriteByte('[')
		for i := range w.IntN(6) {
			if i > 0 {
				w.b.WriteByte(',')
			}
			w.value(depth - 1)
		}
		w.space()
		w.b.WriteByte(']')
	case n < 7:
		w.str()
	default:
		n := len(scalars)
		if w.IntN(8) > 0 {
			n = 15 // those that are JSON
		}
		w.b.WriteString(scalars[w.IntN(n)])
	}
	w.space()
}

func TestRandomTextsAreReadAsThePeersReadThem(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	seen := map[string]int{}
	rounds := 60_000
	if testing.Short() {
		rounds = 6_000
	}
	for range rounds {
		w := writer{Rand: rng}
		w.value(4)
		b := []byte(w.b.String())
		for range rng.IntN(3) * rng.IntN(2) { // now and then a fault that nobody thought of
			switch i := rng.IntN(len(b) + 1); rng.IntN(3) {
			case 0:
				b = slices.Insert(b, i, `{}[]",:\ 01-e.tn`[rng.IntN(16)])
			case 1:
				b = b[:i]
			default:
				if i < len(b) {
					b = slices.Delete(b, i, i+1)
				}
			}
		}
		seen[holds(t, b)]++
	}
	t.Logf("%v", seen)
	for _, verdict := range []string{"", "not JSON", "duplicate_key", "invalid_json", "limit_exceeded"} {
		if seen[verdict] < rounds/1000 {
			t.Errorf("one-sided: only %d of %d are %q", seen[verdict], rounds, verdict)
		}
	}
}

// Where lone surrogates and bytes that are not UTF-8 are let pass, which is for replies only, readers make U+FFFD of them. Whether
// two names are duplicates then depends on the reader. The scanner compares the names as they are: bytes as bytes, and a lone
// surrogate as U+FFFD. Who lets such text pass lets duplicates pass too.
func TestNamesThatAreNotTextAreComparedAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		text       string
		ours, peer bool
	}{
		{"{\"\xff\":1,\"\xff\":2}", false, false},
		{"{\"\xff\":1,\"\xfe\":2}", true, false},
		{"{\"\xff\":1,\"\ufffd\":2}", true, false},
		{`{"\ud800":1,"\ud801":2}`, false, false},
		{`{"\ud800":1,"` + "\ufffd" + `":2}`, false, false},
	} {
		lenient := jsonscan.Limits{AllowInvalidText: true}
		if err := jsonscan.Scan([]byte(c.text), &lenient, nil); (err == nil) != c.ours {
			t.Errorf("%q: %v", c.text, err)
		}
		if got := jsontext.Value(c.text).IsValid(jsontext.AllowInvalidUTF8(true)); got != c.peer {
			t.Errorf("%q: the peer says %v", c.text, got)
		}
		lenient.AllowDuplicateKeys, lenient.AllowFoldCollisions = true, true
		if err := jsonscan.Scan([]byte(c.text), &lenient, nil); err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

// object has n members.
func object(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":0`, i)
	}
	return "{" + b.String()[min(1, b.Len()):] + "}"
}

// The limits' borders, each of them at its default: n is allowed, n+1 is not, as counted from the peer's tokens.
func TestTheBordersOfTheLimitsAreThePeersCounts(t *testing.T) {
	list := func(n int, of string) string { return "[" + strings.Repeat(of+",", n-1) + of + "]" }
	d := (*jsonscan.Limits)(nil).Resolved()
	for limit, text := range map[string]func(n int) string{
		"Depth":     func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) },
		"Keys":      object,
		"TotalKeys": func(n int) string { return "[" + strings.Repeat(`{"a":1,"b":2},`, n/2) + object(n%2) + "]" },
		"KeyLen":    func(n int) string { return `{"` + strings.Repeat("k", n) + `":1}` },
		"ArrayLen":  func(n int) string { return list(n, "0") },
		"StringLen": func(n int) string { return `"` + strings.Repeat("s", n) + `"` },
		"Nodes": func(n int) string {
			return "[" + strings.Repeat(list(9_999, "0")+",", n/10_000-1) + list(9_998+n%10_000, "0") + "]"
		},
		"NumberLen": func(n int) string { return strings.Repeat("1", n) },
		"Exponent":  func(n int) string { return fmt.Sprintf("1e%d", n) },
		"Bytes":     func(n int) string { return "[" + strings.Repeat(" ", n-2) + "]" },
	} {
		n := bound(d, limit)
		if err := jsonscan.Scan([]byte(text(n)), nil, nil); err != nil {
			t.Errorf("%s %d: %v", limit, n, err)
		}
		var e *jsonscan.Error
		if err := jsonscan.Scan([]byte(text(n+1)), nil, nil); !errors.As(err, &e) || e.Limit != limit {
			t.Errorf("%s %d: %v", limit, n+1, err)
		}
		for _, n := range []int{n, n + 1} {
			if r, ok := byPeer(t, []byte(text(n))); !ok || r.max[limit] != n {
				t.Errorf("%s: the peer counts %d of %d", limit, r.max[limit], n)
			}
		}
	}
}

// All three stop at a depth that is somewhere near; what the peers let through at most, unlimited lets through too.
func TestTheDeepestTextThatThePeersTakeIsTaken(t *testing.T) {
	for _, n := range []int{deepest, deepest + 1} {
		for _, c := range []string{strings.Repeat("[", n) + strings.Repeat("]", n), strings.Repeat(`{"a":`, n) + "0" + strings.Repeat("}", n)} {
			std, txt := json.Valid([]byte(c)), jsontext.Value(c).IsValid()
			ours := jsonscan.Scan([]byte(c), &unlimited, nil) == nil
			if want := n == deepest; std != want || txt != want || ours != want {
				t.Errorf("%d: encoding/json %v, jsontext %v, jsonscan %v", n, std, txt, ours)
			}
		}
	}
}
