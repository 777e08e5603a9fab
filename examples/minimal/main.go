// Minimal is the program of the README: a protected reverse proxy in front of a local model server.
package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate/preset"
)

func main() {
	ollama, _ := url.Parse("http://127.0.0.1:11434") // or vLLM, llama.cpp, a handler of your own
	model := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(ollama)
		auth.StripCredentials(r.Out.Header) // the caller's key ends here
	}}

	keys := must(apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live"}))
	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "team-a", Scopes: []string{"chat:write"}})
	log.Print("the key, shown once: ", must(secret.Reveal(), err))

	p := must(mantlet.New(mantlet.Config{
		Auth:   must(auth.New(auth.Config{Authenticator: keys})),
		Audit:  must(audit.Open(audit.Config{Sinks: []audit.Sink{audit.NewTerminalSink(audit.TerminalConfig{})}})),
		Filter: must(sanitize.New(sanitize.Config{})),
		Limits: must(ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
			{Name: "requests", Max: 60, Per: time.Minute},
			{Name: "tokens", Max: 90_000, Per: time.Minute, Cost: ratelimit.Tokens},
		}}}})),
	}))
	p.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: preset.OpenAIChat()}, model)
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", p))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
