package mantlet_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// A pipeline in front of a handler. The program of the README, with a reverse proxy behind it, is examples/minimal.
func Example() {
	keys := must(apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "test"}))
	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "team-a", Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	p := must(mantlet.New(mantlet.Config{
		Auth:   must(auth.New(auth.Config{Authenticator: keys, Logger: slog.New(slog.DiscardHandler)})),
		Filter: must(sanitize.New(sanitize.Config{})),
		Limits: must(ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
			{Name: "requests", Max: 60, Burst: 1, Per: time.Minute},
		}}}})),
	}))
	p.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: preset.OpenAIChat()}, yourModel)

	ask := func(key, body string) int {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println("a stranger:", ask("guess", hello))
	fmt.Println("no message:", ask(secret.Reveal(), `{"model":"demo","messages":[]}`))
	fmt.Println("a request:", ask(secret.Reveal(), hello))
	fmt.Println("one more:", ask(secret.Reveal(), hello))
	// Output:
	// a stranger: 401
	// no message: 422
	// a request: 200
	// one more: 429
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// yourModel stands for the handler that is to be protected.
var yourModel = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"id":"1","object":"chat.completion","model":"demo","choices":[{"index":0,"message":{"role":"assistant",`+
		`"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`)
})
