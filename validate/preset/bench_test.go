package preset_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate/preset"
)

// BenchmarkHandler is what a preset adds to a request: Guard, the router, and the check of a body of about 1 KB. The refusals are
// what a flood of bad requests costs: one by its path, one by its Host, one by its schema.
func BenchmarkHandler(b *testing.B) {
	text := strings.Repeat("Why is the sky blue? ", 45)
	chat := `{"model":"m","messages":[{"role":"user","content":"` + text + `"}],"stream":true}`
	for _, c := range []struct{ name, preset, host, path, body string }{
		{"openai", "openai", "localhost", "/v1/chat/completions", chat},
		{"ollama", "ollama", "localhost", "/api/chat", chat},
		{"vllm", "vllm", "localhost", "/v1/chat/completions", strings.TrimSuffix(chat, "}") + `,"top_k":20,"chat_template_kwargs":{"enable_thinking":false}}`},
		{"mcp", "mcp", "localhost", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"f","arguments":{"text":"` + text + `"}}}`},
		{"refused by path", "ollama", "localhost", "/api/create", chat},
		{"refused by host", "mcp", "evil.example", "/mcp", chat},
		{"refused by schema", "openai", "localhost", "/v1/chat/completions", strings.TrimSuffix(chat, "}") + `,"n":1000000}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, _ := preset.ByName(c.preset)
			h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
			body := strings.NewReader(c.body)
			header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
			w := nowhere{}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				r, _ := http.NewRequest("POST", "http://"+c.host+c.path, body)
				r.Header = header
				clear(w)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// nowhere is a response that nobody reads.
type nowhere http.Header

func (w nowhere) Header() http.Header         { return http.Header(w) }
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) WriteHeader(int)             {}
