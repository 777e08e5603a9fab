package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// collides reports what the scanner says of an object with two members of these names.
func collides(t testing.TB, a, b string) bool {
	t.Helper()
	data := fmt.Appendf(nil, `{%s:1,%s:2}`, jsonscan.AppendQuoted(nil, []byte(a), true), jsonscan.AppendQuoted(nil, []byte(b), true))
	l := unlimited
	l.AllowDuplicateKeys = true
	return jsonscan.Scan(data, &l, nil) != nil
}

// orbits returns every set of runes that simple case folding takes for one, and each rune's own set if it has more than one.
func orbits() (list [][]rune) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		orbit := []rune{r}
		for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
			orbit = append(orbit, q)
		}
		if len(orbit) > 1 && r == slices.Min(orbit) {
			list = append(list, orbit)
		}
	}
	return list
}

// fields makes a struct with a field for each name, and returns a function that decodes one member into a new one of its kind
// and says which field encoding/json filled, or -1. The names must be ones that a tag can hold.
func fields(names []string) func(t testing.TB, name string) int {
	list := make([]reflect.StructField, len(names))
	for i, n := range names {
		list[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: reflect.TypeFor[int](), Tag: reflect.StructTag("json:" + strconv.Quote(n))}
	}
	typ := reflect.StructOf(list)
	return func(t testing.TB, name string) int {
		t.Helper()
		v := reflect.New(typ)
		data := fmt.Appendf(nil, `{%s:1}`, jsonscan.AppendQuoted(nil, []byte(name), true))
		if err := json.Unmarshal(data, v.Interface()); err != nil {
			t.Fatal(err)
		}
		for i := range names {
			if v.Elem().Field(i).Int() == 1 {
				return i
			}
		}
		return -1
	}
}

// taggable returns a name with the same fold as s that a struct tag can hold. Runes that are cased but no letters (the Roman
// numerals, the letters in circles) cannot be in any: then encoding/json never folds them, and ok is false.
func taggable(s string) (name string, ok bool) {
	ok = true
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return r
		}
		for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
			if unicode.IsLetter(q) {
				return q
			}
		}
		ok = false
		return r
	}, s)
	return name, ok && name != "" && name != "-"
}

// Every rune of Unicode that has a case: two names that differ by it collide exactly if encoding/json takes both for one field.
func TestEveryCasedRuneFoldsAsInEncodingJSON(t *testing.T) {
	var names []string
	var members [][]rune
	unnamed := 0
	for _, orbit := range orbits() {
		name, ok := taggable("x" + string(orbit[0]) + "y")
		if !ok {
			// No field can have such a name. We fold it nevertheless: other readers may.
			unnamed++
			for _, r := range orbit {
				for _, q := range orbit {
					if (r != q) != collides(t, "x"+string(r)+"y", "x"+string(q)+"y") {
						t.Errorf("%U and %U", r, q)
					}
				}
			}
			continue
		}
		names = append(names, name)
		members = append(members, orbit)
	}
	match := fields(names)
	rng := rand.New(rand.NewPCG(1, 1))
	for i, orbit := range members {
		for _, r := range orbit {
			member := "x" + string(r) + "y"
			if got := match(t, member); got != i {
				t.Errorf("encoding/json fills field %d of %q, want %d", got, member, i)
			}
			if want := member != names[i]; collides(t, names[i], member) != want {
				t.Errorf("%q and %q: the scanner says %v", names[i], member, !want)
			}
			other := names[(i+1+rng.IntN(len(names)-1))%len(names)]
			if collides(t, other, member) {
				t.Errorf("%q and %q collide, encoding/json fills another field", other, member)
			}
		}
	}
	t.Logf("%d orbits as fields, %d without a letter", len(names), unnamed)
	if len(names) < 1300 {
		t.Errorf("only %d orbits", len(names))
	}
}

// agrees holds the scanner against encoding/json for one pair of names: a struct has a field that the first name matches; does the
// second one fill it too?
func agrees(t testing.TB, a, b string) (collision bool) {
	t.Helper()
	got := collides(t, a, b)
	if want := a != b && strings.EqualFold(a, b); got != want {
		t.Fatalf("%q and %q: the scanner says %v, strings.EqualFold %v", a, b, got, want)
	}
	if field, ok := taggable(a); ok {
		match := fields([]string{field})
		if match(t, a) != 0 {
			t.Fatalf("%q does not match the field %q", a, field)
		}
		if want := a != b && match(t, b) == 0; got != want {
			t.Fatalf("%q and %q: the scanner says %v, encoding/json %v", a, b, got, want)
		}
	}
	return got
}

func TestRandomPairsOfNamesCollideAsInEncodingJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	cased := orbits()
	others := []rune("0_- .ßıİŉǰΐ京あ가אل😀\u0301\u200d\ufffd")
	rounds := 8_000
	if testing.Short() {
		rounds = 800
	}
	collisions, apart := 0, 0
	for range rounds {
		var a, b []rune
		for range 1 + rng.IntN(20) {
			orbit := cased[rng.IntN(len(cased))]
			switch rng.IntN(4) {
			case 0: // where ASCII meets what is not
				orbit = [][]rune{{'k', 'K', '\u212a'}, {'s', 'S', 'ſ'}, {'a', 'A'}, {'z', 'Z'}}[rng.IntN(4)]
			case 1:
				r := others[rng.IntN(len(others))]
				a, b = append(a, r), append(b, r)
				continue
			}
			a, b = append(a, orbit[rng.IntN(len(orbit))]), append(b, orbit[rng.IntN(len(orbit))])
		}
		switch rng.IntN(3) { // a difference that is none of case
		case 0:
			i, orbit := rng.IntN(len(b)), cased[rng.IntN(len(cased))]
			b[i] = orbit[rng.IntN(len(orbit))]
		case 1:
			if rng.IntN(4) == 0 {
				b = slices.Delete(b, len(b)-1, len(b))
			}
		}
		if agrees(t, string(a), string(b)) {
			collisions++
		} else {
			apart++
		}
	}
	t.Logf("%d collide, %d do not", collisions, apart)
	if collisions < rounds/10 || apart < rounds/10 {
		t.Error("one-sided")
	}
}

// FuzzFold: for every pair of names that are text, the scanner reports a collision exactly if encoding/json matches both to one
// field of a struct, and exactly if strings.EqualFold says so and they are not equal.
func FuzzFold(f *testing.F) {
	for _, p := range [][2]string{{"model", "MODEL"}, {"stream", "ſtream"}, {"k", "\u212a"}, {"ß", "ss"}, {"ß", "ẞ"}, {"Σ", "ς"}, {"ι", "\u0345"}, {"ⓐ", "Ⓐ"}, {"i", "İ"},
		{"a", "a"}, {"\ufffd", "a"}, {"a\\u0041", "A\\u0041"}, {`a"`, `A"`}, {"abcdefgh\u212a", "ABCDEFGHk"}, {"\U00010400", "\U00010428"}} {
		f.Add(p[0], p[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a, b = string([]rune(a)), string([]rune(b)); len(a) < 200 && len(b) < 200 {
			agrees(t, a, b)
		}
	})
}
