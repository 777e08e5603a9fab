package mantlet_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// This is the program of the README; a test holds the two equal.
func Example() {
	keys := must(apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live"}))
	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "team-a", Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	log.Print("the key, shown once: ", secret.Reveal())

	p := must(mantlet.New(mantlet.Config{
		Auth:   must(auth.New(auth.Config{Authenticator: keys})),
		Audit:  must(audit.Open(audit.Config{Sinks: []audit.Sink{audit.NewTerminalSink(audit.TerminalConfig{})}})),
		Filter: must(sanitize.New(sanitize.Config{})),
		Limits: must(ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
			{Name: "requests", Max: 60, Per: time.Minute},
			{Name: "tokens", Max: 90_000, Per: time.Minute, Cost: ratelimit.Tokens},
		}}}})),
	}))
	p.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: preset.OpenAIChat()}, yourModel)
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", p))
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
