package preset_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// One line in front of a model server: the request that crashed vLLM before 0.19 (CVE-2026-34756) never gets there.
func ExampleOpenAIChat() {
	model := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "a poem") })
	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", preset.OpenAIChat().Handler(model))

	for _, n := range []string{"1", "1000000"} {
		r := httptest.NewRequest("POST", "/v1/chat/completions",
			strings.NewReader(`{"model":"llama","messages":[{"role":"user","content":"a poem, please"}],"n":`+n+`}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 422
}

// A whole server: what clients need is there, what the operator needs is not (CVE-2026-7482 begins at /api/create).
func ExampleOllama() {
	ollama := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }) // a reverse proxy
	shield := preset.Ollama().Handler(ollama)

	for _, q := range []struct{ method, path, body string }{
		{"GET", "/api/tags", ""},
		{"POST", "/api/generate", `{"model":"llama3.2","prompt":"Why is the sky blue?"}`},
		{"POST", "/api/generate", `{"model":"llama3.2","options":{"num_ctx":100000000}}`},
		{"POST", "/api/create", `{"model":"leak","files":{"a.gguf":"sha256:..."}}`},
	} {
		r := httptest.NewRequest(q.method, q.path, strings.NewReader(q.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		shield.ServeHTTP(w, r)
		fmt.Println(q.method, q.path, w.Code)
	}
	// Output:
	// GET /api/tags 200
	// POST /api/generate 200
	// POST /api/generate 422
	// POST /api/create 404
}

// Routes for a router of your own; package mantlet's pipeline takes them the same way.
func ExamplePreset_Front() {
	model := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") })
	api, mux := preset.Anthropic(), http.NewServeMux()
	for _, rt := range api.Routes {
		h := api.Front(model)
		if rt.Body != nil {
			h = rt.Body.Handler(h)
		}
		mux.Handle(rt.Pattern, h)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/v1/models", nil)
	r.Header.Set("Origin", "https://evil.example")
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 403
}

// An MCP server that others reach: its names must be said, or only the machine itself may call.
func ExampleMCP() {
	api := preset.MCP("/mcp")
	api.Hosts = []string{"mcp.example.com"}
	api.Origins = []string{"https://app.example.com"}
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") })

	for _, host := range []string{"mcp.example.com", "rebound.example"} {
		r := httptest.NewRequest("POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		r.Host = host
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		w := httptest.NewRecorder()
		api.Handler(server).ServeHTTP(w, r)
		fmt.Println(host, w.Code)
	}
	// Output:
	// mcp.example.com 200
	// rebound.example 421
}

// A server with extensions: its own sampling options may pass, and everything else stays checked.
func ExampleOpenAIChat_extra() {
	vllm := preset.OpenAIChat("top_k", "min_p", "repetition_penalty")
	fmt.Println(vllm.Check([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"top_k":40,"min_p":0.05}`)))
	fmt.Println(vllm.Check([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],"top_k":40,"n":1000000}`)))
	// Output:
	// <nil>
	// validate: schema_violation at /n (maximum): The number is too large.
}

// A preset is a start: here with smaller bodies, and first only watching.
func ExampleOpenAIChatConfig() {
	cfg := preset.OpenAIChatConfig()
	cfg.MaxBody = 64 << 10
	cfg.Shadow = true
	v, err := validate.New(cfg)
	fmt.Println(v != nil, err)
	// Output: true <nil>
}

// The decision without HTTP, for queues and tests.
func ExampleAnthropicMessages() {
	err := preset.AnthropicMessages().Check([]byte(`{"model":"claude","messages":[{"role":"user","content":"hi"}]}`))
	fmt.Println(err)
	// Output: validate: schema_violation at /max_tokens (required): A required member is missing.
}

// What the preset refuses and a deployment needs: here num_gpu, one more property of the options.
func ExamplePreset_Configure_options() {
	api, err := preset.Ollama().Configure(func(rt preset.Route, cfg *validate.Config) {
		var schema map[string]any
		if err := json.Unmarshal(cfg.Schema, &schema); err != nil {
			panic(err) // it is ours
		}
		defs := schema["$defs"].(map[string]any)
		if options, ok := defs["ollamaOptions"].(map[string]any); ok {
			options["properties"].(map[string]any)["num_gpu"] = map[string]any{"type": "integer", "minimum": 0, "maximum": 64}
		}
		cfg.Schema, _ = json.Marshal(schema)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, rt := range api.Routes {
		if rt.Pattern == "POST /api/generate" {
			fmt.Println(rt.Body.Check([]byte(`{"model":"m","prompt":"hi","options":{"num_gpu":1}}`)))
			fmt.Println(rt.Body.Check([]byte(`{"model":"m","prompt":"hi","options":{"num_gpu":65}}`)))
		}
	}
	// Output:
	// <nil>
	// validate: schema_violation at /options/num_gpu (maximum): The number is too large.
}

// All routes at once: larger bodies, a first look without refusals, and one member more where the server has it.
func ExamplePreset_Configure() {
	api, err := preset.VLLM().Configure(func(rt preset.Route, cfg *validate.Config) {
		if rt.Pattern == "POST /v1/chat/completions" {
			*cfg = rt.Config("my_option")
		}
		cfg.MaxBody = 8 << 20
		cfg.Shadow = true
	})
	fmt.Println(len(api.Routes), err)

	_, err = preset.TGI().Configure(func(rt preset.Route, cfg *validate.Config) {
		if rt.Pattern == "POST /generate" {
			cfg.MaxBody = -1
		}
	})
	fmt.Println(err != nil)
	// Output:
	// 9 <nil>
	// true
}
