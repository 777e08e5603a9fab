package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// chatSchema is one schema for everybody: what people write for a chat request by hand.
var chatSchema = []byte(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["model", "messages"],
  "additionalProperties": false,
  "properties": {
    "model": {"type": "string", "minLength": 1, "maxLength": 128},
    "messages": {
      "type": "array", "minItems": 1, "maxItems": 256,
      "items": {
        "type": "object",
        "required": ["role", "content"],
        "additionalProperties": false,
        "properties": {
          "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
          "content": {"type": "string", "maxLength": 200000},
          "name": {"type": "string", "maxLength": 64}
        }
      }
    },
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 8192},
    "stream": {"type": "boolean"},
    "stop": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 64}},
    "user": {"type": "string", "maxLength": 128}
  }
}`)

// chatRequest is a chat request of about size bytes, in messages of some sentences.
func chatRequest(size int) []byte {
	const sentence = "The quick brown fox asked for the sum of the figures in the second column, and said why. "
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	req := struct {
		Model       string    `json:"model"`
		Messages    []message `json:"messages"`
		Temperature float64   `json:"temperature"`
		MaxTokens   int       `json:"max_tokens"`
		Stop        []string  `json:"stop"`
		User        string    `json:"user"`
	}{Model: "demo", Temperature: 0.7, MaxTokens: 256, Stop: []string{"END", "STOP"}, User: "user-4711"}
	req.Messages = append(req.Messages, message{"system", "You answer shortly."})
	roles := []string{"user", "assistant"}
	per := max(2, size/2000)
	for i := 0; ; i++ {
		req.Messages = append(req.Messages, message{roles[i%2], strings.Repeat(sentence, per)})
		b, err := json.Marshal(req)
		if err != nil {
			panic(err)
		}
		if len(b) >= size {
			return b
		}
	}
}

// reply is what the handler answers.
const reply = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"demo","choices":[{"index":0,"message":` +
	`{"role":"assistant","content":"The sum is 42."},"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":6,"total_tokens":206}}`

// model is the handler behind everybody: it reads the body, as a real one does, and answers.
var model = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, reply)
})

type discardSink struct{}

func (discardSink) Write(context.Context, audit.Batch) error { return nil }
func (discardSink) Close(context.Context) error              { return nil }

// ours is API key + 2 limits + schema + detectors + audit to nowhere, in front of next.
func ours(tb testing.TB, body *validate.Validator, next http.Handler) (http.Handler, string) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	log, err := audit.Open(audit.Config{Sinks: []audit.Sink{discardSink{}}})
	must(err)
	keys, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "bench", Env: "test"})
	must(err)
	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "client-1", Scopes: []string{"chat:write"}})
	must(err)
	gate, err := auth.New(auth.Config{Authenticator: keys})
	must(err)
	limits, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Name: "bench", Limits: []ratelimit.Limit{
		{Name: "requests", Max: 1 << 40, Per: time.Minute},
		{Name: "tokens", Max: 1 << 40, Per: time.Minute, Cost: ratelimit.Tokens},
	}}}})
	must(err)
	filter, err := sanitize.New(sanitize.Config{})
	must(err)
	p, err := mantlet.New(mantlet.Config{Audit: log, Auth: gate, Limits: limits, Filter: filter})
	must(err)
	p.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: body}, next)
	tb.Cleanup(func() { log.Close(context.Background()); keys.Close(context.Background()) })
	return p, "Bearer " + secret.Reveal()
}

func validator(tb testing.TB) *validate.Validator {
	tb.Helper()
	v, err := validate.New(validate.Config{Schema: chatSchema})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// contender is one pipeline with the credential it wants.
type contender struct {
	name string
	h    http.Handler
	auth string
}

func contenders(tb testing.TB, next http.Handler) []contender {
	secret := bytes.Repeat([]byte("k"), 32)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: "client-1", ExpiresAt: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)),
	}).SignedString(secret)
	if err != nil {
		tb.Fatal(err)
	}
	a, aKey := ours(tb, validator(tb), next)
	b, bKey := ours(tb, preset.OpenAIChat(), next)
	return []contender{
		{"bare", next, ""},
		{"mantlet", a, aKey},
		{"mantlet-preset", b, bKey},
		{"hand-key-js5", handmade("hand-made-key", next), "Bearer hand-made-key"},
		{"hand-expert", expert(secret, next), "Bearer " + token},
	}
}

// discard is a ResponseWriter that keeps nothing but the status.
type discard struct {
	h      http.Header
	status int
	onByte func()
}

func (d *discard) Header() http.Header { return d.h }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Flush()              {}
func (d *discard) Write(p []byte) (int, error) {
	if d.onByte != nil {
		d.onByte()
	}
	return len(p), nil
}

func request(auth string, body []byte) *http.Request {
	r := httptest.NewRequest("POST", "/v1/chat/completions", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", auth)
	return r
}

// TestEveryContenderDoesTheWork keeps the benchmark honest: each lets the good request through to the handler, with its body,
// and refuses a wrong key and a body that breaks the schema.
func TestEveryContenderDoesTheWork(t *testing.T) {
	good := chatRequest(1 << 10)
	bad := bytes.Replace(good, []byte(`"temperature":0.7`), []byte(`"temperature":9`), 1)
	var got []byte
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		io.WriteString(w, "ok")
	})
	for _, c := range contenders(t, next) {
		if c.name == "bare" {
			continue
		}
		for _, tc := range []struct {
			name, auth string
			body       []byte
			ok         bool
		}{
			{"good", c.auth, good, true},
			{"wrong key", "Bearer wrong", good, false},
			{"wrong body", c.auth, bad, false},
		} {
			got = nil
			rec := httptest.NewRecorder()
			c.h.ServeHTTP(rec, request(tc.auth, tc.body))
			if passed := bytes.Equal(got, tc.body); passed != tc.ok || (rec.Code == 200) != tc.ok {
				t.Errorf("%s, %s: reached the handler %v, status %d", c.name, tc.name, passed, rec.Code)
			}
		}
	}
}

// BenchmarkPipeline is the whole way of one chat request with a short JSON reply.
func BenchmarkPipeline(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		body := chatRequest(size)
		for _, c := range contenders(b, model) {
			b.Run(fmt.Sprintf("size=%dK/%s", size>>10, c.name), func(b *testing.B) {
				r := request(c.auth, body)
				rd := bytes.NewReader(body)
				w := &discard{h: http.Header{}}
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					rd.Reset(body)
					r.Body = io.NopCloser(rd)
					clear(w.h)
					c.h.ServeHTTP(w, r)
				}
				if w.status != 0 && w.status != 200 {
					b.Fatalf("status %d", w.status)
				}
			})
		}
	}
}

// BenchmarkPipelineParallel is the same on all cores.
func BenchmarkPipelineParallel(b *testing.B) {
	body := chatRequest(1 << 10)
	for _, c := range contenders(b, model) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := request(c.auth, body)
				rd := bytes.NewReader(body)
				w := &discard{h: http.Header{}}
				for pb.Next() {
					rd.Reset(body)
					r.Body = io.NopCloser(rd)
					clear(w.h)
					c.h.ServeHTTP(w, r)
				}
			})
		})
	}
}

// frame is one event of a chat stream; the content differs so that no cache can help.
func frame(i int) []byte {
	return fmt.Appendf(nil, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"demo\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word%d\"},\"finish_reason\":null}]}\n\n", i%10)
}

// BenchmarkFirstStreamedByte is the time from the call of the outermost handler to the first byte at the client's end: what a
// pipeline adds to the time to first token.
func BenchmarkFirstStreamedByte(b *testing.B) {
	body := chatRequest(1 << 10)
	first := frame(0)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Write(first)
		http.NewResponseController(w).Flush()
	})
	for _, c := range contenders(b, next) {
		b.Run(c.name, func(b *testing.B) {
			r := request(c.auth, body)
			rd := bytes.NewReader(body)
			var start time.Time
			var total time.Duration
			seen := false
			w := &discard{h: http.Header{}, onByte: func() {
				if !seen {
					seen = true
					total += time.Since(start)
				}
			}}
			n := 0
			for b.Loop() {
				rd.Reset(body)
				r.Body = io.NopCloser(rd)
				clear(w.h)
				seen, start = false, time.Now()
				c.h.ServeHTTP(w, r)
				n++
			}
			b.ReportMetric(float64(total.Nanoseconds())/float64(n), "first-byte-ns")
		})
	}
}

// BenchmarkStreamFrame is what one more event of a running stream costs.
func BenchmarkStreamFrame(b *testing.B) {
	body := chatRequest(1 << 10)
	var frames [10][]byte
	for i := range frames {
		frames[i] = frame(i)
	}
	var loop func(w http.ResponseWriter)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		loop(w)
	})
	for _, c := range contenders(b, next) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			loop = func(w http.ResponseWriter) {
				i := 0
				for b.Loop() {
					if _, err := w.Write(frames[i%10]); err != nil {
						b.Fatal(err)
					}
					w.(http.Flusher).Flush()
					i++
				}
			}
			c.h.ServeHTTP(&discard{h: http.Header{}}, request(c.auth, body))
		})
	}
}
