package preset_test

import (
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
