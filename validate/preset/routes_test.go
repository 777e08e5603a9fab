package preset_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	files "github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/guard"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// request is one to a preset; bodies are application/json unless header says otherwise.
type request struct {
	method, path, body string
	header             map[string]string // "" takes one away
}

// send runs one request through the preset and returns the answer and what reached the server behind, "" for nothing.
func send(t *testing.T, p preset.Preset, q request) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var reached string
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		reached = r.Method + " " + r.URL.Path + " " + string(b)
	})
	r := httptest.NewRequest(q.method, q.path, strings.NewReader(q.body))
	r.Host = "localhost:8080"
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Body = http.NoBody
	}
	for k, v := range q.header {
		if r.Header.Del(k); v != "" {
			r.Header.Set(k, v)
		}
		if k == "Host" {
			r.Host = v
		}
	}
	w := httptest.NewRecorder()
	p.Handler(upstream).ServeHTTP(w, r)
	return w, reached
}

// everything returns the presets by name, with their optional routes open.
func everything(t *testing.T) map[string]preset.Preset {
	t.Helper()
	all := map[string]preset.Preset{}
	for _, name := range preset.Names() {
		p, ok := preset.ByName(name)
		if !ok || p.Name != name || len(p.Routes) == 0 {
			t.Fatalf("%s: %v, %q, %d routes", name, ok, p.Name, len(p.Routes))
		}
		p.Routes = append(p.Routes, p.Optional...)
		all[name] = p
	}
	return all
}

func TestEveryPresetIsKnownByItsName(t *testing.T) {
	if got := preset.Names(); !slices.Equal(got, []string{"anthropic", "llamacpp", "mcp", "ollama", "openai", "tgi", "vllm"}) {
		t.Errorf("%q", got)
	}
	everything(t)
	for _, name := range []string{"", "Ollama", "sglang"} {
		if p, ok := preset.ByName(name); ok || len(p.Routes) > 0 {
			t.Errorf("%q is known", name)
		}
	}
}

func TestNoRouteHasAWildcardOrTakesABodyWithoutAMethodForOne(t *testing.T) {
	for name, p := range everything(t) {
		for _, rt := range p.Routes {
			method, path, ok := strings.Cut(rt.Pattern, " ")
			if !ok || strings.Contains(strings.TrimSuffix(path, "{$}"), "{") || strings.HasSuffix(path, "/") {
				t.Errorf("%s: %q", name, rt.Pattern)
			}
			if (method == "POST") != (rt.Body != nil) {
				t.Errorf("%s: %q, body %v", name, rt.Pattern, rt.Body != nil)
			}
		}
	}
}

func TestEveryRouteReachesTheServerBehindWithTheSameBytes(t *testing.T) {
	tried := 0
	for name, p := range everything(t) {
		for _, rt := range p.Routes {
			method, path, _ := strings.Cut(rt.Pattern, " ")
			path = strings.TrimSuffix(path, "{$}")
			q := request{method: method, path: path}
			if rt.Body != nil {
				body, ok := samples[path]
				if name == "mcp" {
					body, ok = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, true
				} else if name+path == "llamacpp/tokenize" || name+path == "tgi/tokenize" {
					body, ok = samples[name+path], true
				}
				if !ok {
					t.Errorf("no sample for %s", rt.Pattern)
					continue
				}
				q.body = " " + strings.ReplaceAll(body, `":`, "\" :\t") + "\n"
			}
			if name == "mcp" {
				q.header = map[string]string{"Accept": "application/json, text/event-stream", "Mcp-Session-Id": "s"}
			}
			tried++
			if w, reached := send(t, p, q); reached != method+" "+path+" "+q.body {
				t.Errorf("%s %s: %d %s, reached %q", name, rt.Pattern, w.Code, w.Body, reached)
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d routes", tried)
	}
}

// samples are small honest bodies by path.
var samples = map[string]string{
	"/v1/chat/completions": `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "/chat/completions": `{"messages":[{"role":"user","content":"hi"}]}`,
	"/v1/completions": `{"model":"m","prompt":"hi"}`, "/completion": `{"prompt":"hi"}`, "/completions": `{"prompt":[1,2]}`,
	"/v1/responses": `{"model":"m","input":"hi"}`, "/v1/embeddings": `{"model":"m","input":["a","b"]}`, "/v1/moderations": `{"input":"hi"}`,
	"/v1/messages":              `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
	"/v1/messages/count_tokens": `{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
	"/api/generate":             `{"model":"llama3.2","prompt":"hi"}`, "/api/chat": `{"model":"llama3.2","messages":[{"role":"user","content":"hi"}]}`,
	"/api/embed": `{"model":"m","input":"hi"}`, "/api/embeddings": `{"model":"m","prompt":"hi"}`, "/api/show": `{"model":"m"}`,
	"/tokenize": `{"model":"m","prompt":"hi"}`, "/detokenize": `{"tokens":[1,2]}`, "llamacpp/tokenize": `{"content":"hi"}`, "tgi/tokenize": `{"inputs":"hi"}`,
	"/score": `{"model":"m","text_1":"a","text_2":["b"]}`, "/v1/score": `{"model":"m","text_1":"a","text_2":["b"]}`,
	"/rerank": rerank, "/v1/rerank": rerank, "/v2/rerank": rerank, "/reranking": rerank, "/v1/reranking": rerank,
	"/embedding": `{"content":"hi"}`, "/embeddings": `{"input":"hi"}`, "/infill": `{"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"f","text":"t"}],"prompt":""}`,
	"/": `{"inputs":"hi","stream":false}`, "/generate": `{"inputs":"hi","parameters":{"max_new_tokens":20}}`, "/generate_stream": `{"inputs":"hi"}`,
}

const rerank = `{"model":"m","query":"q","documents":["a","b"]}`

func TestAdministrationIsNotThere(t *testing.T) {
	for name, paths := range map[string][]string{
		"ollama": {
			"POST /api/create", "POST /api/pull", "POST /api/push", "POST /api/copy", "DELETE /api/delete", "POST /api/delete",
			"POST /api/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000",
			"HEAD /api/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000",
			"POST /api/me", "POST /api/signout", "DELETE /api/user/keys/x", "POST /api/experimental/aliases", "GET /debug/vars",
		},
		"vllm": {
			"POST /v1/load_lora_adapter", "POST /v1/unload_lora_adapter", "POST /sleep", "POST /wake_up", "GET /is_sleeping", "POST /collective_rpc",
			"POST /reset_prefix_cache", "POST /reset_mm_cache", "GET /server_info", "POST /start_profile", "POST /stop_profile", "POST /scale_elastic_ep",
			"POST /invocations", "POST /pause", "POST /resume", "POST /update_weights", "POST /init_weight_transfer_engine", "GET /metrics", "GET /docs", "GET /openapi.json",
			"POST /inference/v1/generate",
		},
		"llamacpp": {
			"GET /slots", "POST /slots/0?action=save", "POST /slots/0?action=restore", "POST /slots/0?action=erase", "GET /props", "POST /props", "GET /lora-adapters",
			"POST /lora-adapters", "GET /metrics", "POST /models/load", "POST /models/unload", "GET /tools", "POST /tools", "GET /cors-proxy", "POST /apply-template",
		},
		"tgi":    {"GET /metrics", "POST /invocations", "POST /vertex", "GET /docs", "POST /chat_tokenize"},
		"openai": {"POST /v1/files", "POST /v1/images/generations", "POST /v1/fine_tuning/jobs", "DELETE /v1/models/ft:x", "GET /v1/organization/admin_api_keys", "GET /v1/responses/resp_1"},
		"mcp":    {"GET /sse", "POST /messages", "POST /mcp/", "POST /"},
	} {
		p := everything(t)[name]
		for _, at := range paths {
			method, path, _ := strings.Cut(at, " ")
			body := `{"model":"m","name":"m"}`
			if method == "GET" || method == "HEAD" {
				body = ""
			}
			w, reached := send(t, p, request{method: method, path: path, body: body, header: map[string]string{"Accept": "application/json, text/event-stream"}})
			if reached != "" || w.Code != 404 {
				t.Errorf("%s: %s: %d, reached %q", name, at, w.Code, reached)
			}
		}
	}
}

func TestAWrongMethodIs405WithTheRightOnes(t *testing.T) {
	for at, allow := range map[string]string{
		"GET /v1/chat/completions": "POST", "PUT /api/chat": "POST", "OPTIONS /api/chat": "POST", "DELETE /api/generate": "POST",
		"POST /api/tags": "GET, HEAD", "POST /": "GET, HEAD", "TRACE /api/version": "GET, HEAD", "post /api/chat": "POST",
	} {
		method, path, _ := strings.Cut(at, " ")
		w, reached := send(t, preset.Ollama(), request{method: method, path: path, body: "{}"})
		if w.Code != 405 || w.Header().Get("Allow") != allow || reached != "" {
			t.Errorf("%s: %d, Allow %q, reached %q", at, w.Code, w.Header().Get("Allow"), reached)
		}
	}
	w, _ := send(t, preset.MCP("/mcp"), request{method: "PUT", path: "/mcp", body: "{}"})
	if got := w.Header().Get("Allow"); w.Code != 405 || got != "DELETE, GET, HEAD, POST" {
		t.Errorf("mcp: %d, Allow %q", w.Code, got)
	}
}

// What a router cleans, or a server behind reads differently, is nowhere.
func TestOnlyTheExactPathIsARoute(t *testing.T) {
	for _, path := range []string{
		"/api/chat/", "//api/chat", "/api//chat", "/./api/chat", "/api/../api/chat", "/api/tags/../chat", "/API/chat", "/api/Chat", "/api/chat%2f",
		"/api%2Fchat", "/api/chat/x", "/x/api/chat", "/api/tags/..;/create", "/api/generate/../create", "/api/tags/%2e%2e/create", "/api/chat%00",
	} {
		w, reached := send(t, preset.Ollama(), request{method: "POST", path: path, body: samples["/api/chat"]})
		if w.Code != 404 || reached != "" || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d %v, reached %q", path, w.Code, w.Header(), reached)
		}
	}
}

func TestARouteWithoutABodyTakesNone(t *testing.T) {
	for _, q := range []request{{method: "GET", path: "/api/tags", body: "{}"}, {method: "HEAD", path: "/api/ps", body: "x"}} {
		w, reached := send(t, preset.Ollama(), q)
		if w.Code != 415 || reached != "" {
			t.Errorf("%s: %d, reached %q", q.path, w.Code, reached)
		}
	}
	h := map[string]string{"Accept": "text/event-stream", "Mcp-Session-Id": "s"}
	for _, method := range []string{"GET", "DELETE"} {
		if w, reached := send(t, preset.MCP("/mcp"), request{method: method, path: "/mcp", body: "{}", header: h}); w.Code != 415 || reached != "" {
			t.Errorf("mcp %s: %d, reached %q", method, w.Code, reached)
		}
	}
	if w, reached := send(t, preset.Ollama(), request{method: "HEAD", path: "/api/tags"}); reached == "" {
		t.Errorf("HEAD of a GET route: %d", w.Code)
	}
}

func TestEveryBodyMustBeJSONByItsMediaType(t *testing.T) {
	for name, p := range everything(t) {
		for _, rt := range p.Routes {
			if rt.Body == nil {
				continue
			}
			_, path, _ := strings.Cut(rt.Pattern, " ")
			for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/octet-stream"} {
				w, reached := send(t, p, request{method: "POST", path: strings.TrimSuffix(path, "{$}"), body: `{}`,
					header: map[string]string{"Content-Type": media, "Accept": "application/json, text/event-stream"}})
				if w.Code != 415 || reached != "" {
					t.Errorf("%s %s with %q: %d, reached %q", name, rt.Pattern, media, w.Code, reached)
				}
			}
		}
	}
}

func TestARefusalSpeaksTheLanguageOfThePath(t *testing.T) {
	const bad = `{"model":"m","max_tokens":9,"messages":[]}`
	for path, want := range map[string]string{
		"/api/chat":            `{"error":"The value has the wrong type.","code":"schema_violation","param":"/messages/0","request_id":"id"}`,
		"/api/pull":            `{"error":"There is nothing at this path.","code":"not_found","request_id":"id"}`,
		"/api/chats":           `{"error":"There is nothing at this path.","code":"not_found","request_id":"id"}`,
		"/v1/chat/completions": `{"error":{"message":"The array has too few elements.","type":"invalid_request_error","param":"/messages","code":"schema_violation","request_id":"id"}}`,
		"/v1/messages":         `{"type":"error","error":{"type":"invalid_request_error","message":"The array has too few elements.","code":"schema_violation","param":"/messages"},"request_id":"id"}`,
		"/v1/nothing":          `{"error":{"message":"There is nothing at this path.","type":"invalid_request_error","param":null,"code":"not_found","request_id":"id"}}`,
		"/v1/messages/batches": `{"type":"error","error":{"type":"not_found_error","message":"There is nothing at this path.","code":"not_found"},"request_id":"id"}`,
	} {
		p, body := preset.VLLM(), bad
		if strings.HasPrefix(path, "/api/") {
			p, body = preset.Ollama(), `{"model":"m","messages":[1]}`
		}
		w, _ := send(t, p, request{method: "POST", path: path, body: body, header: map[string]string{"X-Request-Id": "id"}})
		if got := w.Body.String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
	}
}

func TestTheZeroPresetAllowsNothing(t *testing.T) {
	var p preset.Preset
	for _, path := range []string{"/", "/v1/chat/completions"} {
		if w, reached := send(t, p, request{method: "GET", path: path}); w.Code != 404 || reached != "" {
			t.Errorf("%s: %d, reached %q", path, w.Code, reached)
		}
	}
	for name, f := range map[string]func(){
		"Handler":          func() { p.Handler(nil) },
		"Front":            func() { p.Front(nil) },
		"a host":           func() { preset.Preset{Hosts: []string{"https://ai.example.com"}}.Handler(http.NotFoundHandler()) },
		"an origin":        func() { preset.Preset{Origins: []string{"app.example.com"}}.Front(http.NotFoundHandler()) },
		"a relative path":  func() { preset.MCP("mcp") },
		"a wildcard":       func() { preset.MCP("/{x}") },
		"a bodyless route": func() { preset.Route{Pattern: "GET /"}.Config() },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "preset: ") {
					t.Errorf("%s: panic %q", name, s)
				}
			}()
			f()
		}()
	}
}

func TestAPresetIsAValue(t *testing.T) {
	p := preset.MCP("/mcp")
	h := p.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	p.Hosts[0], p.Routes[0].Pattern = "evil.example", "POST /x"
	r := httptest.NewRequest("GET", "/mcp", nil)
	r.Host, r.Header = "evil.example", http.Header{"Accept": {"text/event-stream"}}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 421 {
		t.Errorf("a handler follows a later change: %d", w.Code)
	}
	if fresh := preset.MCP("/mcp"); fresh.Hosts[0] != "localhost" || fresh.Routes[0].Pattern != "POST /mcp" {
		t.Errorf("the next preset changed with a copy: %+v", fresh)
	}
}

func TestARouteCanBeChangedThroughItsConfig(t *testing.T) {
	p := preset.Ollama()
	i := slices.IndexFunc(p.Routes, func(rt preset.Route) bool { return rt.Pattern == "POST /api/chat" })
	cfg := p.Routes[i].Config("my_option")
	cfg.MaxBody = 200
	v, err := validate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Routes[i].Body = v
	if w, reached := send(t, p, request{method: "POST", path: "/api/chat", body: `{"model":"m","my_option":1}`}); reached == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := send(t, p, request{method: "POST", path: "/api/chat", body: `{"model":"` + strings.Repeat("m", 200) + `"}`}); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
	if w, _ := send(t, preset.Ollama(), request{method: "POST", path: "/api/chat", body: `{"model":"m","my_option":1}`}); w.Code != 422 {
		t.Errorf("the preset itself changed: %d", w.Code)
	}
}

func TestANameInAFlagOrAFileIsAPreset(t *testing.T) {
	for _, name := range preset.Names() {
		var p preset.Preset
		b, err := json.Marshal(map[string]string{"preset": name})
		if err == nil {
			err = json.Unmarshal(b, &struct{ Preset *preset.Preset }{&p})
		}
		if text, _ := p.MarshalText(); err != nil || string(text) != name || len(p.Routes) == 0 {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if p := preset.TGI(); p.UnmarshalText([]byte("none")) == nil || p.Name != "tgi" {
		t.Errorf("an unknown name: %q", p.Name)
	}
}

// What is refused before a body is looked at shows in the log, at Debug, without a value of the request.
func TestRefusalsOfRoutesAndHostsAreLogged(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(old)
	p := preset.Ollama()
	p.Hosts = []string{"localhost"}
	for _, host := range []string{"localhost", "canary.example"} {
		r := httptest.NewRequest("GET", "/canary", nil)
		r.Host = host
		p.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := log.String(); !strings.Contains(got, "status=404") || !strings.Contains(got, "status=421") || strings.Contains(got, "canary") {
		t.Error(got)
	}
}

// A typing error below /api/ has the form that Ollama's clients read, also where a room further out owns the form of errors.
func TestAWrongPathOfOllamaIsRefusedInItsForm(t *testing.T) {
	own := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			x.OwnErrors(deny.Auto) // as sanitize.Errors does
			next.ServeHTTP(w, r)
		})
	}
	for _, h := range []http.Handler{preset.Ollama().Handler(http.NotFoundHandler()), own(preset.Ollama().Handler(http.NotFoundHandler()))} {
		for path, want := range map[string]string{"/api/chats": `{"error":"There`, "/v1/chats": `{"error":{"message"`, "/api/chat": `{"error":"The method`} {
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); !strings.HasPrefix(w.Body.String(), want) {
				t.Errorf("%s: %s", path, w.Body)
			}
		}
	}
	r := httptest.NewRequest("GET", "/api/chats", nil)
	r.Header.Set("Accept", "application/problem+json")
	w := httptest.NewRecorder()
	if preset.Ollama().Handler(http.NotFoundHandler()).ServeHTTP(w, r); w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s", w.Body)
	}
}

// Host and Origin, then the route, then the headers of the protocol, then the body.
func TestTheOrderOfTheChecks(t *testing.T) {
	for name, c := range map[string]struct {
		path, host, accept, body string
		want                     int
	}{
		"all wrong":             {"/none", "evil.example", "text/html", "x", 421},
		"no such route":         {"/none", "localhost", "text/html", "x", 404},
		"headers before bodies": {"/mcp", "localhost", "text/html", "x", 406},
		"a body that is none":   {"/mcp", "localhost", "*/*", "x", 400},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
		r.Host, r.Header = c.host, http.Header{"Accept": {c.accept}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		if preset.MCP("/mcp").Handler(http.NotFoundHandler()).ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// One fault has one answer, whoever finds it.
func TestAGuardAndAPresetAnswerAlikeAboutHostAndOrigin(t *testing.T) {
	p := preset.Ollama()
	p.Hosts, p.Origins = []string{"AI.example.com", "[2001:db8::1]:8443"}, []string{"https://app.example.com"}
	g, err := guard.New(guard.Config{Hosts: p.Hosts, Origins: p.Origins})
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"ai.example.com", "", 200}, {"ai.example.com.", "", 200}, {"Ai.Example.com:11434", "", 200}, {"[2001:DB8:0::1]:8443", "", 200}, {"[2001:db8::1]", "", 421},
		{"evil.example", "", 421}, {"", "", 400}, {"a b", "", 400}, {"[::1%25lo]", "", 400}, {"127.1", "", 400},
		{"ai.example.com", "https://app.example.com", 200}, {"ai.example.com", "http://app.example.com", 403}, {"ai.example.com", "null", 403},
		{"ai.example.com", "https://ai.example.com", 200}, {"ai.example.com:443", "https://ai.example.com", 200}, {"ai.example.com:8443", "https://ai.example.com", 403},
	} {
		var answers [2]string
		for i, h := range []http.Handler{g.Handler(ok), p.Front(ok)} {
			r := httptest.NewRequest("GET", "/api/tags", nil)
			r.Host, r.Header = c.host, http.Header{"X-Request-Id": {"id"}}
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.want {
				t.Errorf("%d: host %q, origin %q: %d, want %d", i, c.host, c.origin, w.Code, c.want)
			}
			answers[i] = w.Body.String()
		}
		if answers[0] != answers[1] {
			t.Errorf("host %q, origin %q: a guard says %s, a preset %s", c.host, c.origin, answers[0], answers[1])
		}
	}
}

func TestConfigureChangesEveryRouteAndKeepsTheRest(t *testing.T) {
	own, err := validate.New(validate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := preset.VLLM()
	p.Routes[1].Body = own
	first, err := p.Configure(func(_ preset.Route, cfg *validate.Config) { cfg.MaxBody = 300 })
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Configure(func(rt preset.Route, cfg *validate.Config) {
		if cfg.MaxBody != 300 {
			t.Errorf("%s: the first change is lost", rt.Pattern)
		}
		if rt.Pattern == "POST /v1/chat/completions" {
			*cfg = rt.Config("my_option")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if second.Routes[1].Body != own || second.Routes[len(second.Routes)-1].Body != nil {
		t.Error("a route of another kind was changed")
	}
	const ask = `{"model":"m","messages":[{"role":"user","content":"%s"}],"my_option":1}`
	for name, c := range map[string]struct {
		p    preset.Preset
		path string
		body string
		want int
	}{
		"opened":         {second, "/v1/chat/completions", fmt.Sprintf(ask, strings.Repeat("a", 300)), 200},
		"still closed":   {first, "/v1/chat/completions", fmt.Sprintf(ask, "a"), 422},
		"bounded":        {second, "/v1/embeddings", `{"model":"m","input":"` + strings.Repeat("a", 300) + `"}`, 413},
		"itself":         {p, "/v1/embeddings", `{"model":"m","input":"` + strings.Repeat("a", 300) + `"}`, 200},
		"the same group": {preset.VLLM(), "/v1/embeddings", `{"model":"m","input":"` + strings.Repeat("a", 300) + `"}`, 200},
	} {
		if w, _ := send(t, c.p, request{method: "POST", path: c.path, body: c.body}); w.Code != c.want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	_, err = preset.Ollama().Configure(func(_ preset.Route, cfg *validate.Config) { cfg.MaxBody = -1 })
	if err == nil || !strings.Contains(err.Error(), `"POST /api/chat"`) || !strings.Contains(err.Error(), `"POST /v1/messages"`) {
		t.Errorf("faults: %v", err)
	}
}

// A raised MaxBody is the only bound that has to be raised.
func TestALargerBodyMayHoldALargerTextOrImage(t *testing.T) {
	larger := func(p preset.Preset) preset.Preset {
		p, err := p.Configure(func(_ preset.Route, cfg *validate.Config) { cfg.MaxBody = 8 << 20 })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := strings.Repeat("word ", 6<<20/5)
	picture := base64.StdEncoding.EncodeToString(files.WithChunk(files.Blank(9, 9), "teSt", make([]byte, 6<<20/4*3)))
	ollama, vllm, claude := larger(preset.Ollama()), larger(preset.VLLM()), larger(preset.Anthropic())
	for name, c := range map[string]struct {
		p          preset.Preset
		path, body string
	}{
		"ollama text":     {ollama, "/api/generate", `{"model":"m","prompt":"` + text + `"}`},
		"ollama image":    {ollama, "/api/chat", `{"model":"m","messages":[{"role":"user","content":"x","images":["` + picture + `"]}]}`},
		"ollama embed":    {ollama, "/api/embed", `{"model":"m","input":"` + text + `"}`},
		"openai text":     {vllm, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"` + text + `"}]}`},
		"openai image":    {vllm, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + picture + `"}}]}]}`},
		"openai prompt":   {vllm, "/v1/completions", `{"model":"m","prompt":"` + text + `"}`},
		"anthropic text":  {claude, "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"` + text + `"}]}`},
		"anthropic image": {claude, "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + picture + `"}}]}]}`},
	} {
		if w, reached := send(t, c.p, request{method: "POST", path: c.path, body: c.body}); w.Code != 200 || reached == "" {
			t.Errorf("%s: %d %.300s", name, w.Code, w.Body)
		}
	}
}

// Host and Origin. CVE-2024-28224 (Ollama before 0.1.29), CVE-2026-34742, CVE-2025-66414 and CVE-2025-66416 (the MCP SDKs for Go,
// TypeScript and Python): a name of the attacker's that now leads to 127.0.0.1 is the Host of the request. CVE-2025-49596 (MCP
// Inspector) came over 0.0.0.0.
func TestAWebPageCannotReachAServerOnLoopback(t *testing.T) {
	over := func(local, host, origin string, p preset.Preset) int {
		r := httptest.NewRequest("GET", "/api/tags", nil)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if p.Name == "mcp" {
			r.URL.Path = "/mcp"
			r.Header.Set("Accept", "text/event-stream")
		}
		addr, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
		w := httptest.NewRecorder()
		p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(299) })).ServeHTTP(w, r)
		return w.Code
	}
	open := preset.Ollama()
	named, mcp := preset.Ollama(), preset.MCP("/mcp")
	named.Hosts, named.Origins = []string{"ai.example.com", "[2001:db8::1]:8443"}, []string{"https://app.example.com"}
	for _, c := range []struct {
		name                string
		p                   preset.Preset
		local, host, origin string
		want                int
	}{
		{"a client on the machine", open, "127.0.0.1:11434", "127.0.0.1:11434", "", 299},
		{"by name", open, "127.0.0.1:11434", "LocalHost:11434", "", 299},
		{"over IPv6", open, "[::1]:11434", "[::1]:11434", "", 299},
		{"mapped", open, "[::ffff:127.0.0.1]:11434", "127.1.2.3", "", 299},
		{"a rebound name", open, "127.0.0.1:11434", "evil.example:11434", "", 421},
		{"a rebound name over IPv6", open, "[::1]:11434", "evil.example:11434", "http://evil.example:11434", 421},
		{"the address that is every interface", open, "127.0.0.1:6277", "0.0.0.0:6277", "", 421},
		{"a name below localhost", open, "127.0.0.1:11434", "localhost.evil.example", "", 421},
		{"no host", open, "127.0.0.1:11434", "", "", 400},
		{"a server of the network", open, "10.0.0.5:8080", "ai.corp.example", "", 299},
		{"a page of another site", open, "10.0.0.5:8080", "ai.corp.example", "https://evil.example", 403},
		{"a page without an origin", open, "10.0.0.5:8080", "ai.corp.example", "null", 403},
		{"a page of the same host", open, "10.0.0.5:8080", "ai.corp.example", "https://AI.corp.example", 299},
		{"a page of the same host, other port", open, "10.0.0.5:8080", "ai.corp.example", "https://ai.corp.example:444", 403},
		{"a known host", named, "127.0.0.1:1", "AI.example.com:443", "", 299},
		{"a known host and port", named, "127.0.0.1:1", "[2001:db8::1]:8443", "", 299},
		{"a known host on another port", named, "127.0.0.1:1", "[2001:db8::1]:8444", "", 421},
		{"loopback where it is not listed", named, "127.0.0.1:1", "localhost", "", 421},
		{"a known page", named, "127.0.0.1:1", "ai.example.com", "https://app.example.com", 299},
		{"a known page in clear", named, "127.0.0.1:1", "ai.example.com", "http://app.example.com", 403},
		{"MCP for a client on the machine", mcp, "127.0.0.1:3000", "localhost:3000", "", 299},
		{"MCP by a rebound name (CVE-2026-34742)", mcp, "127.0.0.1:3000", "evil.example:3000", "", 421},
		{"MCP on any interface by a rebound name", mcp, "10.0.0.5:3000", "evil.example:3000", "", 421},
		{"MCP for a page of another site (CVE-2026-33252)", mcp, "127.0.0.1:3000", "localhost:3000", "https://evil.example", 403},
		{"MCP for a page on the machine that is not listed", mcp, "127.0.0.1:3000", "localhost:3000", "http://localhost:6274", 403},
	} {
		if got := over(c.local, c.host, c.origin, c.p); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestAnUpgradeDoesNotGetThrough(t *testing.T) {
	var got http.Header
	h := preset.VLLM().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header }))
	r := httptest.NewRequest("GET", "/health", nil)
	sent := http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABkAARAAAAAAAIAAAAA"}, "X-Kept": {"1"}}
	r.Header = sent.Clone()
	h.ServeHTTP(httptest.NewRecorder(), r)
	if len(got) != 1 || got.Get("X-Kept") != "1" {
		t.Errorf("%v", got)
	}
	if len(r.Header) != len(sent) {
		t.Errorf("the caller's headers were changed: %v", r.Header)
	}
}

// CVE-2025-48956: one GET with a header of any size takes vLLM's memory. That bound is net/http's, and stands in front.
func TestAGiantHeaderEndsAtTheServerInFront(t *testing.T) {
	reached := false
	srv := memhttp.New(t, preset.VLLM().Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })))
	conn, err := srv.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("a", 8<<20))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || reached {
		t.Errorf("%v %v, reached %v", resp, err, reached)
	}
}

func TestMCPHeadersMustHaveTheirForm(t *testing.T) {
	const both = "application/json, text/event-stream"
	for _, c := range []struct {
		name, method string
		header       map[string]string
		want         int
	}{
		{"as the SDKs send it", "POST", map[string]string{"Accept": both}, 200},
		{"with a session and a version", "POST", map[string]string{"Accept": both, "Mcp-Session-Id": "1868a90c-2bb2-4c7f-b1f4-3a1a2a0d6b1e", "MCP-Protocol-Version": "2025-06-18"}, 200},
		{"any type", "POST", map[string]string{"Accept": "*/*"}, 200},
		{"groups of types", "POST", map[string]string{"Accept": "application/*;q=0.5, text/*"}, 200},
		{"no Accept", "POST", nil, 406},
		{"only JSON", "POST", map[string]string{"Accept": "application/json"}, 406},
		{"only events", "POST", map[string]string{"Accept": "text/event-stream"}, 406},
		{"JSON at weight 0", "POST", map[string]string{"Accept": "application/json;q=0, text/event-stream"}, 406},
		{"an Accept that is none", "POST", map[string]string{"Accept": "json, ;;"}, 406},
		{"a version that is no date", "POST", map[string]string{"Accept": both, "MCP-Protocol-Version": "latest"}, 400},
		{"an empty session", "POST", map[string]string{"Accept": both, "Mcp-Session-Id": " "}, 400},
		{"a session with a space", "POST", map[string]string{"Accept": both, "Mcp-Session-Id": "a b"}, 400},
		{"a session that is not ASCII", "POST", map[string]string{"Accept": both, "Mcp-Session-Id": "ключ"}, 400},
		{"a session without end", "POST", map[string]string{"Accept": both, "Mcp-Session-Id": strings.Repeat("a", 1025)}, 400},
		{"an event id without end", "GET", map[string]string{"Accept": "text/event-stream", "Last-Event-ID": strings.Repeat("a", 1025)}, 400},
		{"a stream", "GET", map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "s_1"}, 200},
		{"a stream for a browser", "GET", map[string]string{"Accept": "text/html"}, 406},
		{"the end of a session", "DELETE", map[string]string{"Mcp-Session-Id": "s"}, 200},
		{"the end of no session", "DELETE", nil, 400},
	} {
		q := request{method: c.method, path: "/mcp", header: c.header}
		if c.method == "POST" {
			q.body = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
		}
		w, reached := send(t, preset.MCP("/mcp"), q)
		if w.Code != c.want || (reached != "") != (c.want == 200) {
			t.Errorf("%s: %d %s, reached %q", c.name, w.Code, w.Body, reached)
		}
		if strings.Contains(w.Body.String(), "latest") {
			t.Errorf("%s: the value is in the answer", c.name)
		}
	}
	r := httptest.NewRequest("GET", "/mcp", nil)
	r.Host, r.Header = "localhost", http.Header{"Accept": {"text/event-stream"}, "Mcp-Session-Id": {"a", "b"}}
	w := httptest.NewRecorder()
	preset.MCP("/mcp").Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 400 {
		t.Errorf("two sessions: %d", w.Code)
	}
}

// Every bound that cites an advisory is fired at by a test here, and nothing is left of a merge patch.
func TestEverySchemaIsWholeAndEveryAdvisoryItCitesIsTested(t *testing.T) {
	var tests strings.Builder
	for _, f := range []string{"preset_test.go", "advisories_test.go", "routes_test.go", "hostile_test.go"} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(b)
	}
	cite := regexp.MustCompile(`CVE-[0-9]{4}-[0-9]+|GHSA(-[0-9a-z]{4}){3}`)
	cited := map[string]bool{}
	for name, p := range everything(t) {
		for _, rt := range p.Routes {
			if rt.Body == nil {
				continue
			}
			schema := rt.Config().Schema
			var doc map[string]any
			if err := json.Unmarshal(schema, &doc); err != nil {
				t.Fatalf("%s %s: %v", name, rt.Pattern, err)
			}
			if doc["$schema"] == nil || doc["type"] != "object" || doc["additionalProperties"] != false || doc["title"] == nil {
				t.Errorf("%s %s: not a closed object with a title", name, rt.Pattern)
			}
			walk(doc, func(node map[string]any) {
				for k, v := range node {
					if v == nil && k != "const" {
						t.Errorf("%s %s: %s is null", name, rt.Pattern, k)
					}
				}
			})
			for _, c := range cite.FindAllString(string(schema), -1) {
				cited[c] = true
			}
		}
	}
	for c := range cited {
		if !strings.Contains(tests.String(), c) {
			t.Errorf("a schema cites %s, and no test sends its request", c)
		}
	}
	if len(cited) < 20 {
		t.Errorf("only %d advisories are cited", len(cited))
	}
}

func walk(node any, visit func(map[string]any)) {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			walk(n, visit)
		}
	case map[string]any:
		visit(node)
		for _, n := range node {
			walk(n, visit)
		}
	}
}
