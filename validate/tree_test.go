package validate_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
)

// treeCases are bodies that the scan accepts.
var treeCases = []string{
	`null`, ` true `, `false`, `""`, `"x"`, `0`, `-0`, `-0.0e-0`, `1.50`, `123456789012345678901234567890`, `1E+2`, `[]`, `{}`, `[[]]`, `[{}]`, `{"":""}`,
	`{"":{"":[]}}`, "\n\t{ \"a\" :\r[ 1 , 2 ] } ", `[1,[2,[3,[]],4],[],{"a":[5]},6]`, `{"a":[{"b":[{"c":null}]},[[true]]],"d":{}}`,
	`"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20ac\ud83d\ude00"`, `"é€😀"`, `"\u0000"`, `"\u2028\uFFFD\ufeff"`, `"a\\"`, `"\\u0041"`,
	`{"\u0061":1,"b\n":2,"\"":3,"\\":4,"é\u00e9":5}`, `{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2}}`, `{"a":1,"\u0061":[2]}`, `{"a":[1],"b":2,"a":3,"b":[]}`,
	`{"a":1,"A":2}`, `{"0":[1],"1":{"0":2}}`, `{"[":"]","{":"}"}`, `[[[[1],2],3],4]`, `[{"a":1},{"a":2},{"a":3,"b":[{},{}]}]`,
}

// sameTree reports whether the scan accepts body, and fails when the tree differs from that of encoding/json.
func sameTree(t *testing.T, body []byte) bool {
	t.Helper()
	sent := bytes.Clone(body)
	got, ok, err := validate.Tree(body)
	if !ok {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(sent))
	d.UseNumber()
	var want any
	if e := d.Decode(&want); (e == nil) != (err == nil) {
		t.Fatalf("%.200q: %v, encoding/json says %v", body, err, e)
	}
	if err != nil {
		return true
	}
	clear(body) // the tree must not look into bytes that belong to others
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%.200q:\ngot  %#v\nwant %#v", sent, got, want)
	}
	return true
}

func TestTheTreeIsThatOfEncodingJSON(t *testing.T) {
	for _, s := range treeCases {
		if !sameTree(t, []byte(s)) {
			t.Errorf("%s: the scan refused it", s)
		}
	}
	for _, n := range []int{1 << 10, 300 << 10} {
		if !sameTree(t, conversation(n)) {
			t.Errorf("%d bytes of conversation refused", n)
		}
	}
}

// A list of a tree must not have room for elements of the list behind it.
func TestListsOfATreeShareNoRoom(t *testing.T) {
	doc, _, _ := validate.Tree([]byte(`[[1],[2],[3]]`))
	first := doc.([]any)[0].([]any)
	_ = append(first, "intruder")
	if got := doc.([]any)[1].([]any)[0]; got != json.Number("2") {
		t.Errorf("the second list begins with %v", got)
	}
}

// encoding/json stops at 10,000 containers, and so does what walks the tree by recursion, whatever Limits.Depth says.
func TestASchemaIsNeverAskedAboutABottomlessBody(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{}`), Limits: validate.Limits{Depth: -1, Nodes: -1}})
	for depth, want := range map[int]bool{9_999: true, 10_000: true, 10_001: false, 400_000: false} {
		body := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if depth < 100_000 && !sameTree(t, []byte(body)) {
			t.Errorf("%d: the scan refused it", depth)
		}
		if err := v.Check([]byte(body)); (err == nil) != want {
			t.Errorf("%d containers: %v", depth, err)
		}
		if !want {
			if e := refusal(t, v, body); e.Code != "invalid_json" || e.Status != 400 {
				t.Errorf("%d containers: %v", depth, e)
			}
		}
	}
}

// Of two members with one name nobody knows which one counts for whoever comes later, so the schema judges both.
func TestOfAllowedDuplicatesEachIsJudged(t *testing.T) {
	v := mustNew(t, validate.Config{
		Schema: []byte(`{"properties":{"n":{"type":"integer"},"o":{"required":["x"]}}}`),
		Limits: validate.Limits{InsecureAllowDuplicateKeys: true},
	})
	for body, want := range map[string]bool{
		`{"n":"a","n":1}`: false, `{"n":1,"n":"a"}`: false, `{"n":"a","\u006e":1}`: false, `{"\u006e":1,"n":2}`: true,
		`{"o":{"x":1},"o":{}}`: false, `{"o":{},"o":{"x":1}}`: false, `{"o":{"x":1},"o":{"x":2}}`: true,
	} {
		if err := v.Check([]byte(body)); (err == nil) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A tape that one request left behind says nothing about the next, also when the scan stopped in its middle.
func TestARefusedBodyLeavesNothingForTheNext(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`{"type":"object","required":["a"],"properties":{"a":{"const":[1]}}}`)})
	for range 100 {
		for body, want := range map[string]bool{`{"a":[1]}`: true, `{"a":[{"b":[1,`: false, `[[[[{"a":1}]]]`: false, `{"a":[]}`: false, `{"b":1,"a":[1]}`: true} {
			if err := v.Check([]byte(body)); (err == nil) != want {
				t.Fatalf("%s: %v", body, err)
			}
		}
	}
}
