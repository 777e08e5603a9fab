package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	google "github.com/google/jsonschema-go/jsonschema"
	js5 "github.com/santhosh-tekuri/jsonschema/v5"
	js6 "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/xeipuuv/gojsonschema"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// Whole validation, from the bytes of a body to the verdict: every contender decodes what its library wants to see, in the way
// its documentation shows. plain is chatSchema for everybody; preset is the 16 KB schema of OpenAI's chat requests, for those that
// know draft 2020-12 (gojsonschema and kin-openapi do not). The peers have no limits on structure, and do not see duplicate names.

var errRefused = errors.New("refused")

// checker is one way to validate a body.
type checker struct {
	name  string
	check func(body []byte) error
}

// checkers are the contenders for a schema. modern says that it needs draft 2020-12.
func checkers(tb testing.TB, schema []byte, modern bool) (list []checker) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	cfg := validate.Config{Schema: schema, Limits: validate.Limits{StringLen: -1}}
	if modern {
		cfg = preset.OpenAIChatConfig()
	}
	v, err := validate.New(cfg)
	must(err)
	list = append(list, checker{"mantlet", v.Check}, checker{"mantlet-Handler", served(v)})

	five := js5.MustCompileString("chat.json", string(schema))
	list = append(list, checker{"jsonschema-v5", func(body []byte) error {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var doc any
		if err := d.Decode(&doc); err != nil {
			return err
		}
		return five.Validate(doc)
	}})

	c := js6.NewCompiler()
	doc, err := js6.UnmarshalJSON(bytes.NewReader(schema))
	must(err)
	must(c.AddResource("chat.json", doc))
	six := c.MustCompile("chat.json")
	list = append(list, checker{"jsonschema-v6", func(body []byte) error {
		doc, err := js6.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		return six.Validate(doc)
	}})

	var gs google.Schema
	must(json.Unmarshal(schema, &gs))
	resolved, err := gs.Resolve(nil)
	must(err)
	list = append(list, checker{"google-jsonschema-go", func(body []byte) error {
		var doc any
		if err := json.Unmarshal(body, &doc); err != nil {
			return err
		}
		return resolved.Validate(doc)
	}})
	if modern {
		return list
	}

	bare := bytes.Replace(schema, []byte(`"$schema": "https://json-schema.org/draft/2020-12/schema",`), nil, 1)
	old, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(bare))
	must(err)
	list = append(list, checker{"gojsonschema", func(body []byte) error {
		result, err := old.Validate(gojsonschema.NewBytesLoader(body))
		if err == nil && !result.Valid() {
			err = errRefused
		}
		return err
	}})
	return append(list, checker{"kin-openapi", byOpenAPI(tb, bare)})
}

// served is Validator.Handler over a handler that reads the body, without a server around it.
func served(v *validate.Validator) func(body []byte) error {
	ok := false
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		ok = true
	}))
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("Content-Type", "application/json")
	return func(body []byte) error {
		ok = false
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if h.ServeHTTP(&discard{h: http.Header{}}, r); !ok {
			return errRefused
		}
		return nil
	}
}

// byOpenAPI is openapi3filter with a document of one operation. The route is looked up once: only the request is validated.
func byOpenAPI(tb testing.TB, schema []byte) func(body []byte) error {
	tb.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(`{"openapi":"3.0.3","info":{"title":"chat","version":"1"},"paths":{"/v1/chat/completions":{"post":{"requestBody":{"required":true,"content":{"application/json":{"schema":` +
		string(schema) + `}}},"responses":{"200":{"description":"ok"}}}}}}`))
	if err != nil {
		tb.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("Content-Type", "application/json")
	route, params, err := router.FindRoute(r)
	if err != nil {
		tb.Fatal(err)
	}
	return func(body []byte) error {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route})
	}
}

// bounds are what nobody who reads JSON can do without.
var bounds = []checker{
	{"json.Valid", func(body []byte) error {
		if !json.Valid(body) {
			return errRefused
		}
		return nil
	}},
	{"json.Unmarshal-any", func(body []byte) error {
		var doc any
		return json.Unmarshal(body, &doc)
	}},
	{"scan-alone", func(body []byte) error { return jsonscan.Scan(body, nil, nil) }},
}

var schemas = []struct {
	name   string
	schema []byte
	modern bool
}{{"plain", chatSchema, false}, {"preset", preset.OpenAIChatConfig().Schema, true}}

func TestEveryContenderValidates(t *testing.T) {
	for _, s := range schemas {
		for _, size := range []int{1 << 10, 100 << 10} {
			good := chatRequest(size)
			bad := [][]byte{[]byte(`{"model":"m"}`), bytes.Replace(good, []byte(`"role":"system"`), []byte(`"role":"root"`), 1),
				bytes.Replace(good, []byte(`"temperature":0.7`), []byte(`"temperature":7`), 1), good[:len(good)-1]}
			for _, c := range checkers(t, s.schema, s.modern) {
				if err := c.check(good); err != nil {
					t.Errorf("%s, %s: %v", c.name, s.name, err)
				}
				for i, body := range bad {
					if c.check(body) == nil {
						t.Errorf("%s, %s: body %d is accepted", c.name, s.name, i)
					}
				}
			}
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"1KB", 1 << 10}, {"100KB", 100 << 10}} {
		body := chatRequest(size.n)
		run := func(name string, c checker) {
			b.Run(name+"/"+c.name+"/"+size.name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.check(body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		for _, s := range schemas {
			for _, c := range checkers(b, s.schema, s.modern) {
				run(s.name, c)
			}
		}
		for _, c := range bounds {
			run("bound", c)
		}
	}
}

// unread fails the benchmark when somebody reads it.
type unread struct{ n int }

func (u *unread) Read(p []byte) (int, error) { u.n += len(p); return len(p), nil }
func (u *unread) Close() error               { return nil }

// BenchmarkRefuseByHeader is a body of 100 MB that is announced and never read.
func BenchmarkRefuseByHeader(b *testing.B) {
	h := preset.OpenAIChat().Handler(http.NotFoundHandler())
	body := &unread{}
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("Content-Type", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		r.Body, r.ContentLength = body, 100<<20
		w := &discard{h: http.Header{}}
		if h.ServeHTTP(w, r); w.status != http.StatusRequestEntityTooLarge || body.n > 0 {
			b.Fatalf("status %d, %d bytes read", w.status, body.n)
		}
	}
}
