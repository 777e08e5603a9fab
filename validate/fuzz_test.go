package validate_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
)

// Check never panics, accepts only what encoding/json accepts, and refuses only with an *Error of its own words.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"prompt":"x","n":1}`, `{"prompt":"x","n":1e10000000}`, `{"a":[1,{"b":1,"b":2}]}`, `{"N":1}`, "\xef\xbb\xbf{}",
		`{"prompt":"\ud800"}`, `[[[[[[`, `{"prompt":"x"}{}`, `{"prompt":"x","n":1.0}`, `{"a\"[":{"0":[{"x":1,"x":1}]}}`} {
		f.Add([]byte(s))
	}
	plain := mustNew(f, validate.Config{Limits: validate.Limits{Depth: 8, StringLen: 64, KeyLen: 16, ArrayLen: 16, Keys: 8}})
	strict := mustNew(f, validate.Config{Schema: completionSchema})
	odd := mustNew(f, validate.Config{Schema: []byte(`{"$defs":{"x":{"anyOf":[{"type":"number","multipleOf":0.1},{"items":{"$ref":"#/$defs/x"},"uniqueItems":true},
		{"properties":{"a":{"$ref":"#/$defs/x"},"type":{"enum":["a",{"b":1}]}},"unevaluatedProperties":{"format":"date-time"}}]}},"$ref":"#/$defs/x"}`)})
	pointer := regexp.MustCompile(`^(/(\?|[0-9]+|prompt|n|a|type))*$`)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []*validate.Validator{plain, strict, odd} {
			err := v.Check(body)
			if err == nil {
				if !json.Valid(body) {
					t.Errorf("accepted what is not JSON: %q", body)
				}
				continue
			}
			var e *validate.Error
			if !errors.As(err, &e) || e.Status < 400 || e.Code == "" || e.Message == "" {
				t.Fatalf("refused with %#v", err)
			}
			if !pointer.MatchString(e.Pointer) {
				t.Errorf("the pointer %q shows more than the schema's names", e.Pointer)
			}
		}
	})
}

// The tree that the engine gets is the one that encoding/json makes, for every body that the scan accepts.
func FuzzTreeMatchesEncodingJSON(f *testing.F) {
	for _, s := range treeCases {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameTree(t, body) })
}

// The format check of patterns never panics, and agrees with RE2 on expressions of the syntax both have.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{`(?<=a)[\w-.]{2,3}\u{41}`, `[^]]\k<x>`, `a{1,500}`, `[[:alpha:]]`, `\Qa+\E`, `\pN`, `[\`, `\p{`, `{1`, `(a|b)+?c*`, `)(`, `a**`, `(|)*`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ok := validate.IsPattern(s)
		if len(s) > 200 || strings.Trim(s, "abc|()*+?.") != "" || strings.Contains(s, "(?") {
			return // more syntax, on which engines differ
		}
		if _, err := syntax.Parse(s, syntax.Perl); (err == nil) != ok && strings.Count(s, "(") < 100 {
			t.Errorf("%q: %v, RE2 says %v", s, ok, err)
		}
	})
}

// What Body decodes is what the members with the exact names say, and nothing else.
func FuzzBodyIsExactAboutCase(f *testing.F) {
	for _, s := range []string{`{"model":"a","stream":true,"key":1}`, `{"MODEL":"a"}`, `{"\u004dodel":"b"}`, `{"ſtream":true}`, "{\"\u212aey\":1}", `{"x":{"model":1}}`, `{"sub":{"Key":1}}`} {
		f.Add([]byte(s))
	}
	v := mustNew(f, validate.Config{})
	type fields struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
		Key    int    `json:"key"`
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got fields
		if v.Check(body) != nil || validate.Unmarshal(body, &got) != nil {
			return
		}
		var all, exact map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil {
			return // null, a list: nothing to compare
		}
		exact = map[string]json.RawMessage{}
		for _, name := range []string{"model", "stream", "key"} {
			if m, ok := all[name]; ok {
				exact[name] = m
			}
		}
		b, _ := json.Marshal(exact)
		var want fields
		if err := json.Unmarshal(b, &want); err != nil || got != want {
			t.Errorf("%s: %+v, exact names say %+v (%v)", body, got, want, err)
		}
	})
}
