package validate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mantlet-go/mantlet/validate"
)

var completionSchema = []byte(`{
	"type": "object",
	"required": ["prompt"],
	"additionalProperties": false,
	"properties": {
		"prompt": {"type": "string", "minLength": 1, "maxLength": 100000},
		"n":      {"type": "integer", "minimum": 1, "maximum": 8}
	}
}`)

// post sends body to h and prints the status and the text of the answer.
func post(h http.Handler, body string) {
	r := httptest.NewRequest("POST", "/complete", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
}

// A handler that only ever sees a checked body, decoded.
func Example() {
	v, err := validate.New(validate.Config{Schema: completionSchema})
	if err != nil {
		fmt.Println(err)
		return
	}
	type completion struct {
		Prompt string `json:"prompt"`
		N      int    `json:"n"`
	}
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := validate.Body[completion](r.Context())
		if err != nil {
			validate.Refuse(w, r, err)
			return
		}
		fmt.Fprintf(w, "%d answers to %q", max(c.N, 1), c.Prompt)
	}))

	post(h, `{"prompt":"hello","n":2}`)
	post(h, `{"prompt":"hello","n":1000000}`)
	// Output:
	// 200 2 answers to "hello"
	// 422 {"error":{"message":"The number is too large.","type":"invalid_request_error","param":"/n","code":"schema_violation","request_id":"example"}}
}

// The decision without HTTP.
func ExampleValidator_Check() {
	v, err := validate.New(validate.Config{Schema: completionSchema})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{
		`{"prompt":"hello"}`,
		`{"prompt":"hello"} {}`,
		`{"prompt":"hello","prompt":"other"}`,
		`{"prompt":"hello","n":1e10000000}`,
		`{"n":1}`,
		`{"prompt":"hello","password":"hunter2"}`,
	} {
		fmt.Println(v.Check([]byte(body)))
	}
	// Output:
	// <nil>
	// validate: invalid_json: The request body is not valid JSON.
	// validate: duplicate_key at /prompt: The request body names the same member twice, or twice but for upper and lower case.
	// validate: limit_exceeded at /n (Exponent): A number has too large an exponent.
	// validate: schema_violation at /prompt (required): A required member is missing.
	// validate: schema_violation (additionalProperties): The object has a member that is not allowed.
}

// New reports every fault at once, before the first request.
func ExampleNew() {
	_, err := validate.New(validate.Config{
		Schema:       []byte(`{"$ref":"file:///etc/passwd"}`),
		ContentTypes: []string{"text/plain"},
		MaxBody:      -1,
	})
	fmt.Println(err)
	// Output:
	// validate: Config.MaxBody -1: a body must have a bound
	// validate: Config.ContentTypes "text/plain": browsers send this type to any site without asking
	// validate: Config.Schema: jsonschema mantlet:///schema.json compilation failed: "file:///etc/passwd": references to files and other hosts are not followed; put the referenced schema under $defs, or into Config.Resources
}

// The checked bytes, for a handler that passes them on.
func ExampleRaw() {
	v, _ := validate.New(validate.Config{}) // any strict JSON
	post(v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := validate.Raw(r.Context())
		fmt.Fprintf(w, "%s %v", body, ok)
	})), `[1, 2]`)
	// Output: 200 [1, 2] true
}

// A reply of one's own. Inside a pipeline sanitize.Errors decides instead.
func ExampleConfig_deny() {
	v, _ := validate.New(validate.Config{Deny: func(w http.ResponseWriter, r *http.Request, err error) {
		var e *validate.Error
		if errors.As(err, &e) {
			http.Error(w, e.Message, e.Status)
			return
		}
		http.Error(w, "refused", http.StatusBadRequest)
	}})
	post(v.Handler(http.NotFoundHandler()), `{"a":1,"a":2}`)
	// Output: 400 The request body names the same member twice, or twice but for upper and lower case.
}

// A member that only looks like a field is not taken for it.
func ExampleBody() {
	v, _ := validate.New(validate.Config{})
	post(v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := validate.Body[struct {
			Model string `json:"model"`
		}](r.Context())
		fmt.Fprint(w, err)
	})), `{"MODEL":"the expensive one"}`)
	// Output: 200 validate: schema_violation (case): A member name differs from a known one only by upper and lower case.
}

// An error of the handler's own leaves in the same form as a refusal, without its text.
func ExampleRefuse() {
	post(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		validate.Refuse(w, r, errors.New("dial tcp 10.0.0.7:5432: connection refused"))
	}), `{}`)
	// Output: 500 {"error":{"message":"The server had an internal error. Report the request id to the operator.","type":"server_error","param":null,"code":"internal_error","request_id":"example"}}
}

// The type of the handler is the contract of the route.
func ExampleSchemaFor() {
	type Question struct {
		Prompt string   `json:"prompt" validate:"minLength=1,maxLength=4000"`
		Tone   string   `json:"tone,omitempty" validate:"enum=plain|formal" doc:"How the answer sounds."`
		Stop   []string `json:"stop,omitempty" validate:"maxItems=4,items.maxLength=16"`
	}
	schema, err := validate.SchemaFor[Question]()
	if err != nil {
		fmt.Println(err)
		return
	}
	var shown bytes.Buffer
	json.Indent(&shown, schema, "", "  ")
	fmt.Println(&shown)

	v, err := validate.New(validate.Config{Schema: schema})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Check([]byte(`{"prompt":"why?","tone":"rude"}`)))
	// Output:
	// {
	//   "$schema": "https://json-schema.org/draft/2020-12/schema",
	//   "additionalProperties": false,
	//   "properties": {
	//     "prompt": {
	//       "maxLength": 4000,
	//       "minLength": 1,
	//       "type": "string"
	//     },
	//     "stop": {
	//       "items": {
	//         "maxLength": 16,
	//         "type": "string"
	//       },
	//       "maxItems": 4,
	//       "type": [
	//         "array",
	//         "null"
	//       ]
	//     },
	//     "tone": {
	//       "description": "How the answer sounds.",
	//       "enum": [
	//         "plain",
	//         "formal"
	//       ],
	//       "type": "string"
	//     }
	//   },
	//   "required": [
	//     "prompt"
	//   ],
	//   "type": "object"
	// }
	// validate: schema_violation at /tone (enum): The value is not one of those allowed here.
}

// Window is a body with a rule that no schema can state.
type Window struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Validate is asked once the body is decoded.
func (w Window) Validate() error {
	if w.To < w.From {
		return validate.ErrorAt("/to", "order", "The window ends before it begins.")
	}
	return nil
}

// A handler that is given what it needs, or does not run.
func ExampleHandle() {
	v, _ := validate.New(validate.Config{})
	h := validate.Handle(v, func(w http.ResponseWriter, r *http.Request, window Window) {
		fmt.Fprintf(w, "%d seconds", window.To-window.From)
	})
	post(h, `{"from":10,"to":25}`)
	post(h, `{"from":25,"to":10}`)
	// Output:
	// 200 15 seconds
	// 422 {"error":{"message":"The window ends before it begins.","type":"invalid_request_error","param":"/to","code":"schema_violation","request_id":"example"}}
}

// Query parameters, read by the types their schema declares.
func ExampleNewQuery() {
	q, err := validate.NewQuery(validate.QueryConfig{Schema: []byte(`{
		"required": ["q"],
		"properties": {
			"q":     {"type": "string", "minLength": 1, "maxLength": 200},
			"limit": {"type": "integer", "minimum": 1, "maximum": 100},
			"tag":   {"type": "array", "items": {"type": "string"}, "maxItems": 5}
		}
	}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, query := range []string{
		"q=trees&limit=10&tag=oak&tag=elm",
		"q=trees&limit=0x10",
		"q=trees&q=stones",
		"q=trees;limit=10",
		"q=trees&admin=true",
	} {
		fmt.Println(q.Check(query))
	}
	// Output:
	// <nil>
	// validate: schema_violation at /limit (type): The value has the wrong type.
	// validate: duplicate_key at /q: The query names the same parameter twice, or twice but for upper and lower case.
	// validate: invalid_request: The query is malformed.
	// validate: schema_violation (additionalProperties): A query parameter is not allowed.
}

// The checked query, decoded.
func ExampleQueryValues() {
	q, _ := validate.NewQuery(validate.QueryConfig{Schema: []byte(`{"properties":{"limit":{"type":"integer"}}}`)})
	h := q.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values, err := validate.QueryValues[struct {
			Limit int `json:"limit"`
		}](r.Context())
		if err != nil {
			validate.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, values.Limit+1)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/models?limit=9", nil))
	fmt.Println(w.Body)
	// Output: 10
}
