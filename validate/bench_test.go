package validate_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// conversation makes a chat request of about n bytes: turns of 400 bytes of prose.
func conversation(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"model":"gpt-4o","stream":true,"temperature":0.7,"n":1,"messages":[{"role":"system","content":"You are brief."}`)
	turn := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9)
	for i := 0; b.Len() < n-100; i++ {
		fmt.Fprintf(&b, `,{"role":"%s","content":"%s"}`, []string{"user", "assistant"}[i%2], turn[:min(len(turn), n-b.Len())])
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

var sizes = []struct {
	name string
	n    int
}{{"1KB", 1 << 10}, {"100KB", 100 << 10}}

// plainSchema is what a program would write for its own chat endpoint.
var plainSchema = []byte(`{"type":"object","required":["model","messages"],"properties":{"model":{"type":"string","maxLength":64},
	"stream":{"type":"boolean"},"temperature":{"type":"number","minimum":0,"maximum":2},"n":{"type":"integer","minimum":1,"maximum":4},
	"messages":{"type":"array","minItems":1,"maxItems":1024,"items":{"type":"object","required":["role","content"],"additionalProperties":false,
		"properties":{"role":{"enum":["system","user","assistant"]},"content":{"type":"string","maxLength":65536}}}}}}`)

// oddSchema is plainSchema with a reference that only the engine can follow, so that it wants the body as a tree.
var oddSchema = bytes.Replace(plainSchema, []byte(`"properties":{`), []byte(`"$defs":{"x":{"$ref":"https://json-schema.org/draft/2020-12/schema"}},"properties":{"x":{"$ref":"#/$defs/x"},`), 1)

// BenchmarkCheck is the decision: the scan alone, then with the schema of the preset, a plain one, and one that
// needs the engine.
func BenchmarkCheck(b *testing.B) {
	scan, _ := validate.New(validate.Config{Limits: validate.Limits{StringLen: 4 << 20}})
	plain, _ := validate.New(validate.Config{Schema: plainSchema})
	odd, _ := validate.New(validate.Config{Schema: oddSchema})
	for _, s := range sizes {
		body := conversation(s.n)
		for _, c := range []struct {
			name string
			v    *validate.Validator
		}{{"scan", scan}, {"preset", preset.OpenAIChat()}, {"plain", plain}, {"engine", odd}} {
			b.Run(c.name+"/"+s.name, func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.v.Check(body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkBareJSONSchemaV5 is what a program does without this package: decode, then the same engine with the same schema. It has no
// limits, no duplicate check, and panics on 1e10000000.
func BenchmarkBareJSONSchemaV5(b *testing.B) {
	c := jsonschema.NewCompiler()
	c.AssertFormat = true
	if err := c.AddResource("mem:///s.json", bytes.NewReader(preset.OpenAIChatConfig().Schema)); err != nil {
		b.Fatal(err)
	}
	schema := c.MustCompile("mem:///s.json")
	for _, s := range sizes {
		body := conversation(s.n)
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d := json.NewDecoder(bytes.NewReader(body))
				d.UseNumber()
				var doc any
				if err := d.Decode(&doc); err != nil {
					b.Fatal(err)
				}
				if err := schema.Validate(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a response writer without the recorder's cost.
type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkHandler is the whole middleware, the exchange included, over a handler that reads the body; bare is that handler alone.
func BenchmarkHandler(b *testing.B) {
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	scan, _ := validate.New(validate.Config{Limits: validate.Limits{StringLen: 4 << 20}})
	plain, _ := validate.New(validate.Config{Schema: plainSchema})
	for _, s := range sizes {
		body := conversation(s.n)
		for _, c := range []struct {
			name string
			h    http.Handler
		}{{"bare", read}, {"scan", scan.Handler(read)}, {"plain", plain.Handler(read)}, {"preset", preset.OpenAIChat().Handler(read)}} {
			b.Run(c.name+"/"+s.name, func(b *testing.B) {
				r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
				r.Header.Set("Content-Type", "application/json")
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					c.h.ServeHTTP(discard{http.Header{}}, r)
				}
			})
		}
	}
}

// BenchmarkRefuse is an attacker's best case: what a request costs that is turned away.
func BenchmarkRefuse(b *testing.B) {
	v := preset.OpenAIChat()
	h := v.Handler(http.NotFoundHandler())
	for _, c := range []struct {
		name   string
		body   []byte
		length int64
	}{
		{"announced 100 MB", nil, 100 << 20},
		{"number bomb", []byte(`{"model":"m","n":1e10000000,"messages":[]}`), 0},
		{"100 exponents", []byte(`{"model":"m","x":[` + strings.Repeat("1e999999,", 99) + `1]}`), 0},
		{"100,000 brackets", bytes.Repeat([]byte("["), 100_000), 0},
		{"n=1000000", []byte(`{"model":"m","n":1000000,"messages":[{"role":"user","content":"x"}]}`), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
			r.Header.Set("Content-Type", "application/json")
			b.ReportAllocs()
			for b.Loop() {
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), max(c.length, int64(len(c.body)))
				h.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}

// BenchmarkParts is a message of sixty content parts, each dispatched by its type: the most that the presets ask per byte.
func BenchmarkParts(b *testing.B) {
	scan, _ := validate.New(validate.Config{})
	body := []byte(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[` +
		strings.TrimSuffix(strings.Repeat(`{"type":"text","text":"The quick brown fox jumps"},`, 60), ",") + `]}]}`)
	for _, c := range []struct {
		name string
		v    *validate.Validator
	}{{"scan", scan}, {"openai", preset.OpenAIChat()}, {"anthropic", preset.AnthropicMessages()}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.v.Check(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGzip is the middleware over a body that is already there, plain and under gzip; compress/gzip is the decoding alone, with a
// reader that is kept.
func BenchmarkGzip(b *testing.B) {
	v, err := validate.New(validate.Config{Encodings: []string{"gzip"}, Schema: plainSchema})
	if err != nil {
		b.Fatal(err)
	}
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	for _, s := range sizes {
		// Turns that differ, or the ratio would be beyond anything a client sends.
		var text bytes.Buffer
		text.WriteString(`{"model":"m","messages":[`)
		for i := 0; text.Len() < s.n; i++ {
			fmt.Fprintf(&text, `{"role":"user","content":"%x %x %x"},`, i*7919, i*i*104729, i*i*i*1299709)
		}
		text.WriteString(`{"role":"user","content":""}]}`)
		body := text.Bytes()
		coded := []byte(zip(string(body)))
		for _, c := range []struct {
			name   string
			body   []byte
			coding string
		}{{"plain", body, "identity"}, {"gzip", coded, "gzip"}} {
			b.Run(c.name+"/"+s.name, func(b *testing.B) {
				r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Content-Encoding", c.coding)
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
					h.ServeHTTP(discard{http.Header{}}, r)
				}
			})
		}
		b.Run("compress_gzip/"+s.name, func(b *testing.B) {
			var z gzip.Reader
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := z.Reset(bytes.NewReader(coded)); err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, &z)
			}
		})
	}
}

// BenchmarkGzipBomb is an attacker's best case under gzip: 100 MB in about 100 KB.
func BenchmarkGzipBomb(b *testing.B) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 100 {
		z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	z.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := validate.Gunzip(validate.Config{}, bomb.Bytes()); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkQuery is the decision over a query; net_url is url.ParseQuery, which checks nothing.
func BenchmarkQuery(b *testing.B) {
	q, err := validate.NewQuery(validate.QueryConfig{Schema: searchSchema})
	if err != nil {
		b.Fatal(err)
	}
	const raw = "q=how+do+trees+drink%3F&limit=10&score=0.5&exact=true&tag=plants&tag=water"
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := q.Check(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net_url", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := url.ParseQuery(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
