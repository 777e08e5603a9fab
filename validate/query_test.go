package validate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate"
)

var searchSchema = []byte(`{
	"type": "object",
	"required": ["q"],
	"properties": {
		"q":     {"type": "string", "minLength": 1, "maxLength": 200},
		"limit": {"type": "integer", "minimum": 1, "maximum": 100},
		"score": {"type": "number", "minimum": 0},
		"exact": {"type": "boolean"},
		"tag":   {"type": "array", "items": {"type": "string"}, "maxItems": 3},
		"id":    {"type": "array", "items": {"type": "integer"}},
		"a/b":   {"type": "string"}
	}
}`)

func mustQuery(t testing.TB, cfg validate.QueryConfig) *validate.Query {
	t.Helper()
	q, err := validate.NewQuery(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQueries(t *testing.T) {
	q := mustQuery(t, validate.QueryConfig{Schema: searchSchema})
	for _, c := range []struct {
		raw, want string // the parameters, or code, pointer and keyword
	}{
		{"q=a", `{"q":"a"}`},
		{"q=a&limit=10&score=0.5&exact=true", `{"q":"a","limit":10,"score":0.5,"exact":true}`},
		{"q=a&score=1e2", `{"q":"a","score":1e2}`},
		{"q=a&limit=100", `{"q":"a","limit":100}`},
		{"q=5&exact=false", `{"q":"5","exact":false}`}, // a string stays one
		{"q=true", `{"q":"true"}`},
		{"q=null", `{"q":"null"}`},
		{"q=a+b%20c%2B", `{"q":"a b c+"}`},
		{"q=%22%5C%0A%09%1f", `{"q":"\"\\\n\t\u001f"}`},
		{"q=%E4%BD%A0", `{"q":"你"}`},
		{"q=a=b", `{"q":"a=b"}`},
		{"%71=a", `{"q":"a"}`},
		{"&q=a&&limit=1&", `{"q":"a","limit":1}`},
		{"q=a&tag=x", `{"q":"a","tag":["x"]}`},
		{"tag=x&q=a&tag=y", `{"tag":["x","y"],"q":"a"}`},
		{"q=a&tag=", `{"q":"a","tag":[""]}`},
		{"q=a&tag=x,y", `{"q":"a","tag":["x,y"]}`},
		{"q=a&id=1&id=-2", `{"q":"a","id":[1,-2]}`},
		{"q=a&a%2Fb=x", `{"q":"a","a/b":"x"}`},

		{"", "schema_violation /q required"},
		{"limit=1", "schema_violation /q required"},
		{"q=", "schema_violation /q minLength"},
		{"q", "schema_violation /q minLength"},
		{"q=a&limit=0", "schema_violation /limit minimum"},
		{"q=a&limit=", "schema_violation /limit type"},
		{"q=a&limit", "schema_violation /limit type"},
		{"q=a&limit=ten", "schema_violation /limit type"},
		{"q=a&limit=07", "schema_violation /limit type"},
		{"q=a&limit=%2B7", "schema_violation /limit type"},
		{"q=a&limit=+7", "schema_violation /limit type"},
		{"q=a&limit=7%20", "schema_violation /limit type"},
		{"q=a&limit=7%0A", "schema_violation /limit type"},
		{"q=a&limit=7.0", "schema_violation /limit type"},
		{"q=a&limit=1e1", "schema_violation /limit type"},
		{"q=a&limit=0x7", "schema_violation /limit type"},
		{"q=a&limit=1_0", "schema_violation /limit type"},
		{"q=a&limit=%D9%A7", "schema_violation /limit type"}, // an Arabic seven
		{"q=a&limit=null", "schema_violation /limit type"},
		{"q=a&limit=[7]", "schema_violation /limit type"},
		{"q=a&limit=" + strings.Repeat("9", 65), "limit_exceeded /limit NumberLen"},
		{"q=a&score=.5", "schema_violation /score type"},
		{"q=a&score=5.", "schema_violation /score type"},
		{"q=a&score=NaN", "schema_violation /score type"},
		{"q=a&score=Infinity", "schema_violation /score type"},
		{"q=a&score=-1", "schema_violation /score minimum"},
		{"q=a&score=1e10000000", "limit_exceeded /score Exponent"},
		{"q=a&exact=1", "schema_violation /exact type"},
		{"q=a&exact=True", "schema_violation /exact type"},
		{"q=a&exact=yes", "schema_violation /exact type"},
		{"q=a&exact", "schema_violation /exact type"},
		{"q=a&id=1&id=x", "schema_violation /id/1 type"},
		{"q=a&id=1,2", "schema_violation /id/0 type"},
		{"q=a&tag=1&tag=2&tag=3&tag=4", "schema_violation /tag maxItems"},

		{"q=a&q=a", "duplicate_key /q "},
		{"q=a&q=b", "duplicate_key /q "},
		{"q=a&%71=b", "duplicate_key /q "},
		{"q=a&a%2Fb=1&a%2Fb=1", "duplicate_key /a~1b "},
		{"q=a&Q=b", "schema_violation  additionalProperties"},
		{"q=a&debug=1", "schema_violation  additionalProperties"},
		{"q=a&tag[]=1", "schema_violation  additionalProperties"},
		{"q=a&=1", "schema_violation  additionalProperties"},
		{"q=a;limit=1", "invalid_request  "},
		{"q=a&limit=1;", "invalid_request  "},
		{"q=%", "invalid_request  "},
		{"q=%4", "invalid_request  "},
		{"q=%zz", "invalid_request  "},
		{"q=%u0061", "invalid_request  "},
		{"%=a", "invalid_request  "},
		{"q=a%00", "invalid_request  "},
		{"q=a&%00=1", "invalid_request  "},
		{"q=%ff", "invalid_request  "},
		{"q=%C0%AF", "invalid_request  "}, // an overlong slash
		{"q=%ED%A0%80", "invalid_request  "},
		{"q=a b", "invalid_request  "},
		{"q=a\r\nX: y", "invalid_request  "},
		{"q=\xe4\xbd\xa0", "invalid_request  "},
		{"q=a\x7f", "invalid_request  "},
		{strings.Repeat("tag=x&", 65), "limit_exceeded  MaxParams"},
		{"q=" + strings.Repeat("a", 8<<10), "limit_exceeded  MaxQuery"},
		{"q=" + strings.Repeat("a", 201), "schema_violation /q maxLength"},
	} {
		object, err := validate.ReadQuery(q, c.raw)
		got := string(object)
		var e *validate.Error
		if errors.As(err, &e) {
			got = e.Code + " " + e.Pointer + " " + e.Keyword
			if e.Message == "" || strings.Contains(e.Message, "request body") || strings.Contains(e.Message, "member") {
				t.Errorf("%.60q: the sentence %q is not about a query", c.raw, e.Message)
			}
			if want := map[string]int{"schema_violation": 422}[e.Code]; e.Status != max(want, 400) {
				t.Errorf("%.60q: status %d", c.raw, e.Status)
			}
		}
		if got != c.want {
			t.Errorf("%.60q: %s, want %s", c.raw, got, c.want)
		}
		if (q.Check(c.raw) == nil) != (err == nil) {
			t.Errorf("%.60q: Check says %v", c.raw, q.Check(c.raw))
		}
	}
}

func TestTheBoundsOfAQueryAreExact(t *testing.T) {
	q := mustQuery(t, validate.QueryConfig{Schema: searchSchema, MaxQuery: 20, MaxParams: 3})
	for raw, ok := range map[string]bool{"q=" + strings.Repeat("a", 18): true, "q=" + strings.Repeat("a", 19): false,
		"q=a&tag=1&tag=2": true, "q=a&id=1&id=2&id=3": false} {
		if err := q.Check(raw); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestAListWithCommasIsOneParameter(t *testing.T) {
	q := mustQuery(t, validate.QueryConfig{Schema: searchSchema, CommaLists: true})
	for raw, want := range map[string]string{
		"q=a,b&id=1,2":     `{"q":"a,b","id":[1,2]}`,
		"q=a&tag=x":        `{"q":"a","tag":["x"]}`,
		"q=a&tag=":         `{"q":"a","tag":[""]}`,
		"q=a&tag=x,,y":     `{"q":"a","tag":["x","","y"]}`,
		"q=a&tag=x%2Cy":    `{"q":"a","tag":["x","y"]}`,
		"q=a&tag=x&tag=y":  "duplicate_key",
		"q=a&id=1,":        "schema_violation",
		"q=a&tag=1,2,3,4":  "schema_violation",
		"q=a&id=1,%202":    "schema_violation",
		"q=a&id=1%2C2,3,4": `{"q":"a","id":[1,2,3,4]}`,
	} {
		object, err := validate.ReadQuery(q, raw)
		got := string(object)
		var e *validate.Error
		if errors.As(err, &e) {
			got = e.Code
		}
		if got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestASchemaMayAllowOtherParameters(t *testing.T) {
	for schema, cases := range map[string]map[string]bool{
		`{"properties":{"n":{"type":"integer"}},"additionalProperties":true}`:                          {"n=1&x=2": true, "x=1&x=2": false, "x=1&X=2": false, "N=1": false},
		`{"properties":{"n":{"type":"integer"}},"additionalProperties":{"maxLength":2}}`:               {"x=12": true, "x=123": false},
		`{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}`:                 {"x-a=1": true, "y=1": false},
		`{"properties":{"n":{"type":"integer"}},"patternProperties":{"^x-":{"type":"integer"}}}`:       {"x-a=1": false}, // a string
		`{"properties":{"n":{"type":"integer"}},"additionalProperties":false}`:                         {"n=1": true, "x=1": false},
		`{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"dependentRequired":{"a":["b"]}}`: {"a=1": false, "a=1&b=2": true, "": true},
	} {
		q := mustQuery(t, validate.QueryConfig{Schema: []byte(schema)})
		for raw, ok := range cases {
			if err := q.Check(raw); (err == nil) != ok {
				t.Errorf("%s, %s: %v", schema, raw, err)
			}
		}
	}
}

func TestTheSchemaOfATypeIsAQueryToo(t *testing.T) {
	type page struct {
		After *string `json:"after,omitempty"`
		Limit uint8   `json:"limit,omitempty" validate:"maximum=100"`
		Tags  []*int  `json:"tag,omitempty" validate:"maxItems=2"`
	}
	schema, err := validate.SchemaFor[page]()
	if err != nil {
		t.Fatal(err)
	}
	q := mustQuery(t, validate.QueryConfig{Schema: schema})
	for raw, want := range map[string]string{
		"after=x&limit=5&tag=1&tag=2": `{"after":"x","limit":5,"tag":[1,2]}`,
		"":                            `{}`,
		"after=null":                  `{"after":"null"}`,
		"tag=null":                    "/tag/0 type",
		"limit=101":                   "/limit maximum",
		"limit=-1":                    "/limit minimum",
		"Limit=1":                     "/? case",
		"page=1":                      " additionalProperties",
		"page=1&page=1":               "/? ",
	} {
		object, err := validate.ReadQuery(q, raw)
		got := string(object)
		var e *validate.Error
		if errors.As(err, &e) {
			got = e.Pointer + " " + e.Keyword
		}
		if got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestNewQueryReportsEveryFault(t *testing.T) {
	_, err := validate.NewQuery(validate.QueryConfig{MaxQuery: -1, MaxParams: -2, Schema: []byte(`{"properties":{
		"object":{"type":"object"},"null":{"type":"null"},"two":{"type":["string","integer"]},"none":{},"any":true,"enum":{"enum":["a"]},
		"ref":{"$ref":"#/$defs/x"},"nested":{"type":"array","items":{"type":"array","items":{"type":"string"}}},"untyped":{"type":"array"},
		"Type":{"Type":"string"},"good":{"type":"string"},"broken":{"type":"string","pattern":"("}},"$defs":{"x":{"type":"string"}}}`)})
	for _, want := range []string{"QueryConfig.MaxQuery -1", "QueryConfig.MaxParams -2", "/properties/object:", "/properties/null:", "/properties/two:",
		"/properties/none:", "/properties/any:", "/properties/enum:", "/properties/ref:", "/properties/nested:", "/properties/untyped:", "/properties/Type:", "pattern"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "/properties/good") {
		t.Error(err)
	}
	for _, schema := range []string{``, `true`, `null`, `[]`, `{`, `{"properties":[]}`} {
		if _, err := validate.NewQuery(validate.QueryConfig{Schema: []byte(schema)}); err == nil {
			t.Errorf("%q is accepted", schema)
		}
	}
}

func TestANilOrZeroQueryRefusesEverything(t *testing.T) {
	for _, q := range []*validate.Query{nil, {}} {
		var e *validate.Error
		if err := q.Check(""); !errors.As(err, &e) || e.Status != 500 {
			t.Error(err)
		}
		if w := serve(q.Handler(echo), request("GET", "")); w.Code != 500 {
			t.Error(w.Code)
		}
	}
	defer func() {
		if p := recover(); p != "validate: Query.Handler: next is nil" {
			t.Error(p)
		}
	}()
	mustQuery(t, validate.QueryConfig{Schema: searchSchema}).Handler(nil)
}

// search is the query in the form of a handler.
type search struct {
	Q     string   `json:"q"`
	Limit int      `json:"limit"`
	Exact bool     `json:"exact"`
	Tags  []string `json:"tag"`
}

func (s search) Validate() error {
	if s.Exact && s.Limit > 1 {
		return validate.ErrorAt("/limit", "exact", "An exact search has one result.")
	}
	return nil
}

func get(query string) *http.Request {
	r := request("GET", "")
	r.URL.RawQuery = query
	return r
}

func TestQueryValuesAreTheCheckedOnes(t *testing.T) {
	if _, err := validate.QueryValues[search](t.Context()); !errors.Is(err, validate.ErrNoQuery) {
		t.Error(err)
	}
	body := mustNew(t, validate.Config{})
	q := mustQuery(t, validate.QueryConfig{Schema: searchSchema})
	h := q.Handler(body.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := validate.QueryValues[search](r.Context())
		if err != nil {
			validate.Refuse(w, r, err)
			return
		}
		m, err := validate.QueryValues[map[string]any](r.Context())
		if _, bodyErr := validate.Body[search](r.Context()); !errors.Is(bodyErr, validate.ErrNoBody) {
			t.Errorf("the query is a body: %v", bodyErr)
		}
		fmt.Fprintf(w, "%+v %v %v %s", s, m["limit"], err, r.URL.Query().Get("q"))
	})))
	for query, want := range map[string]string{
		"q=a&limit=2&tag=x&tag=y": "200 {Q:a Limit:2 Exact:false Tags:[x y]} 2 <nil> a",
		"q=a&limit=2&exact=true":  `422 {"error":{"message":"An exact search has one result."`,
		"q=a&limit=x":             `422 {"error":{"message":"The value has the wrong type.","type":"invalid_request_error","param":"/limit"`,
		"q=CANARY&CANARY=CANARY":  `422 {"error":{"message":"A query parameter is not allowed.","type":"invalid_request_error","param":null`,
		"q=CANARY&q=CANARY":       `400 {"error":{"message":"The query names the same parameter twice`,
	} {
		w := serve(h, get(query))
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, want) || strings.Contains(got, "CANARY") {
			t.Errorf("%s: %s", query, got)
		}
	}
}

func TestQueryShadowDenyAndLog(t *testing.T) {
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	shadow := mustQuery(t, validate.QueryConfig{Schema: searchSchema, Shadow: true, Logger: log})
	for _, raw := range []string{"limit=1", "q=%"} {
		w := serve(shadow.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if f := exchange.From(r.Context()).Findings(); len(f) != 1 || f[0].Action != "shadow" {
				t.Errorf("%s: findings %v", raw, f)
			}
		})), get(raw))
		if w.Code != 200 {
			t.Errorf("%s: %d", raw, w.Code)
		}
	}
	if !strings.Contains(logged.String(), "action=shadow") {
		t.Error(logged.String())
	}
	own := mustQuery(t, validate.QueryConfig{Schema: searchSchema, Deny: func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, "mine", http.StatusTeapot) }})
	if w := serve(own.Handler(echo), get("limit=1")); w.Code != 418 {
		t.Errorf("%d", w.Code)
	}
}

// What is accepted is what url.ParseQuery, and with it every Go handler and upstream, reads: the same names, the same texts in
// the same order, and no error. Nothing panics, and refusals have words.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "q=a", "q=a&limit=1&tag=x&tag=y", "q=%zz", "q=a;b", "q=a+b%2B", "&&q=1&", "=1", "q", "q=a&q=b", "x=1&X=2", "id=1&id=-0", "q=%F0%9F%98%80%0a%22"} {
		f.Add(s)
	}
	schema := strings.Replace(string(searchSchema), `"type": "object",`, `"type": "object", "additionalProperties": true,`, 1)
	queries := []*validate.Query{mustQuery(f, validate.QueryConfig{Schema: searchSchema}), mustQuery(f, validate.QueryConfig{Schema: []byte(schema)})}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, q := range queries {
			object, err := validate.ReadQuery(q, raw)
			if err != nil {
				var e *validate.Error
				if !errors.As(err, &e) || e.Status < 400 || e.Message == "" {
					t.Fatalf("refused with %#v", err)
				}
				continue
			}
			want, err := url.ParseQuery(raw)
			if err != nil {
				t.Fatalf("%q is accepted, net/url says %v", raw, err)
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(object, &members); err != nil {
				t.Fatalf("%q: %s: %v", raw, object, err)
			}
			got := url.Values{}
			for name, m := range members {
				var list []json.RawMessage
				if m[0] == '[' {
					json.Unmarshal(m, &list)
				} else {
					list = []json.RawMessage{m}
				}
				for _, v := range list {
					text := string(v)
					if v[0] == '"' {
						json.Unmarshal(v, &text)
					}
					got[name] = append(got[name], text)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%q: %v, net/url reads %v", raw, got, want)
			}
			for name := range want {
				if !slices.Equal(got[name], want[name]) {
					t.Errorf("%q: %v, net/url reads %v", raw, got, want)
				}
			}
		}
	})
}
