package mantlet_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/guard"
	"github.com/mantlet-go/mantlet/validate/preset"
	"github.com/mantlet-go/mantlet/validate/upload"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// lines is an audit sink that keeps what it is given.
type lines struct {
	mu  sync.Mutex
	all []map[string]any
}

func (l *lines) Write(_ context.Context, b audit.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range b.All() {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			return err
		}
		l.all = append(l.all, v)
	}
	return nil
}

func (l *lines) Close(context.Context) error { return nil }

// house is a whole pipeline with a key of each kind.
type house struct {
	*mantlet.Pipeline
	key, readOnly, oneModel string
	trail                   *lines
	log                     *audit.Log
	limits                  *ratelimit.Limiter
	ran                     atomic.Int64 // how often the chat handler ran
}

// build makes the pipeline of most tests: every room, one chat route, one route without a body, one public one.
func build(t testing.TB, chat http.HandlerFunc) *house {
	t.Helper()
	h := &house{trail: &lines{}}
	fail := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	keys, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "test"})
	fail(err)
	for _, k := range []struct {
		dst  *string
		spec apikey.Spec
	}{
		{&h.key, apikey.Spec{ClientID: "all", Scopes: []string{"chat:write", "models:read"}}},
		{&h.readOnly, apikey.Spec{ClientID: "reader", Scopes: []string{"models:read"}}},
		{&h.oneModel, apikey.Spec{ClientID: "one", Scopes: []string{"chat:write"}, Models: []string{"demo"}}},
	} {
		s, _, err := keys.Create(t.Context(), k.spec)
		fail(err)
		*k.dst = s.Reveal()
	}
	gate, err := auth.New(auth.Config{Authenticator: keys, Logger: slog.New(slog.DiscardHandler)})
	fail(err)
	h.log, err = audit.Open(audit.Config{Sinks: []audit.Sink{h.trail}})
	fail(err)
	h.limits, err = ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
		{Name: "requests", Max: 1000, Per: time.Hour},
		{Name: "tokens", Max: 100_000, Per: time.Hour, Cost: ratelimit.Tokens},
	}}}})
	fail(err)
	flood, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
		{Name: "flood", Max: 1000, Per: time.Second, By: ratelimit.ByAddress},
	}}}})
	fail(err)
	bulkhead, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 8}})
	fail(err)
	filter, err := sanitize.New(sanitize.Config{})
	fail(err)
	safe, err := sanitize.NewErrors(sanitize.ErrorsConfig{Logger: slog.New(slog.DiscardHandler)})
	fail(err)
	h.Pipeline, err = mantlet.New(mantlet.Config{
		Audit: h.log, Errors: safe, Flood: flood, Auth: gate, Filter: filter, Limits: h.limits, Bulkhead: bulkhead,
	})
	fail(err)
	h.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: preset.OpenAIChat()},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ran.Add(1); chat(w, r) }))
	h.HandleFunc("GET /v1/models", mantlet.Route{Scopes: "models:read"}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "[]")
	})
	h.HandleFunc("GET /v1/jobs/{id}", mantlet.Route{}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.PathValue("id"))
	})
	h.HandleFunc("GET /healthz", mantlet.Public(), func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	t.Cleanup(func() { h.log.Close(context.Background()); keys.Close(context.Background()) })
	return h
}

// records closes the log and returns its lines.
func (h *house) records(t testing.TB) []map[string]any {
	t.Helper()
	if err := h.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h.trail.all
}

const hello = `{"model":"demo","messages":[{"role":"user","content":"hello"}]}`

// ask sends one request; the key may be empty.
func (h *house) ask(method, target, key, body string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, rd)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// code is the machine code of an error body in OpenAI's envelope.
func code(rec *httptest.ResponseRecorder) string {
	var v struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	json.Unmarshal(rec.Body.Bytes(), &v)
	return v.Error.Code
}

func TestTheWholeWayOfARequest(t *testing.T) {
	h := build(t, yourModel)
	for _, tc := range []struct {
		name, method, target, key, body string
		status                          int
		code                            string
	}{
		{"a good request", "POST", "/v1/chat/completions", h.key, hello, 200, ""},
		{"no key", "POST", "/v1/chat/completions", "", hello, 401, "missing_credentials"},
		{"a wrong key", "POST", "/v1/chat/completions", h.key[:len(h.key)-8] + "AAAAAAAA", hello, 401, "invalid_api_key"},
		{"a key without the scope", "POST", "/v1/chat/completions", h.readOnly, hello, 403, "insufficient_scope"},
		{"a model the key may not use", "POST", "/v1/chat/completions", h.oneModel, strings.Replace(hello, "demo", "other", 1), 403, "model_not_allowed"},
		{"the model the key may use", "POST", "/v1/chat/completions", h.oneModel, hello, 200, ""},
		{"no JSON", "POST", "/v1/chat/completions", h.key, "{", 400, "invalid_json"},
		{"a duplicate key", "POST", "/v1/chat/completions", h.key, `{"model":"demo","model":"other","messages":[{"role":"user","content":"x"}]}`, 400, "duplicate_key"},
		{"a case variant", "POST", "/v1/chat/completions", h.oneModel, `{"model":"demo","MODEL":"other","messages":[{"role":"user","content":"x"}]}`, 400, "duplicate_key"},
		{"a schema violation", "POST", "/v1/chat/completions", h.key, `{"model":"demo","messages":[]}`, 422, "schema_violation"},
		{"no body", "POST", "/v1/chat/completions", h.key, "", 0, ""},
		{"a route without a body", "GET", "/v1/models", h.key, "", 200, ""},
		{"HEAD of it", "HEAD", "/v1/models", h.key, "", 200, ""},
		{"a body for it", "GET", "/v1/models", h.key, "{}", 415, "unsupported_media_type"},
		{"a public route", "GET", "/healthz", "", "", 200, ""},
		{"no route", "GET", "/nothing", h.key, "", 404, "not_found"},
		{"another method", "GET", "/v1/chat/completions", h.key, "", 405, "method_not_allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := h.ask(tc.method, tc.target, tc.key, tc.body)
			if tc.status == 0 {
				if rec.Code < 400 || rec.Code > 499 {
					t.Errorf("status %d", rec.Code)
				}
			} else if rec.Code != tc.status || code(rec) != tc.code {
				t.Errorf("status %d, code %q: %s", rec.Code, code(rec), rec.Body)
			}
			if rec.Header().Get("X-Request-Id") == "" {
				t.Error("no X-Request-Id")
			}
		})
	}
	if rec := h.ask("GET", "/v1/chat/completions", h.key, ""); rec.Header().Get("Allow") != "POST" {
		t.Errorf("Allow: %q", rec.Header().Get("Allow"))
	}
	if rec := h.ask("GET", "/v1/jobs/42", h.key, ""); rec.Body.String() != "42" {
		t.Errorf("path value: %q", rec.Body)
	}
}

// Each case is a public incident in which a request reached a handler around its policy.
func TestNoSpellingOfAPathReachesAHandlerAroundItsPolicy(t *testing.T) {
	for name, mutate := range map[string]func(r *http.Request){
		"double slash (oathkeeper GHSA-vhr5-ggp3-qq85)":         func(r *http.Request) { r.URL.Path = "//v1/chat/completions" },
		"dot segments (oathkeeper GHSA-p224-6x5r-fjpm)":         func(r *http.Request) { r.URL.Path = "/healthz/../v1/chat/completions" },
		"encoded dot segments":                                  func(r *http.Request) { r.URL, _ = url.Parse("/healthz/%2e%2e/v1/chat/completions") },
		"encoded slash":                                         func(r *http.Request) { r.URL, _ = url.Parse("/v1%2Fchat/completions") },
		"trailing slash":                                        func(r *http.Request) { r.URL.Path += "/" },
		"query that looks public (oauth2-proxy CVE-2025-54576)": func(r *http.Request) { r.URL.RawQuery = "x=/healthz" },
		"fragment (oauth2-proxy CVE-2026-41059)":                func(r *http.Request) { r.URL, _ = url.Parse("/v1/chat/completions%23/healthz") },
		"Host that carries a path (LiteLLM CVE-2026-49468)":     func(r *http.Request) { r.Host = "example.com/healthz?" },
		"forwarded URI (oauth2-proxy CVE-2026-40575)":           func(r *http.Request) { r.Header.Set("X-Forwarded-Uri", "/healthz") },
		"original URL":                                          func(r *http.Request) { r.Header.Set("X-Original-Url", "/healthz") },
		"method override":                                       func(r *http.Request) { r.Header.Set("X-Http-Method-Override", "GET") },
		"health checker's agent (oauth2-proxy CVE-2026-34457)":  func(r *http.Request) { r.Header.Set("User-Agent", "GoogleHC/1.0") },
		"underscore headers (oauth2-proxy CVE-2025-64484)":      func(r *http.Request) { r.Header["X_Forwarded_User"] = []string{"admin"} },
		"identity headers":                                      func(r *http.Request) { r.Header.Set("X-Forwarded-User", "admin") },
		"key in the query":                                      func(r *http.Request) { r.URL.RawQuery = "api_key=x&key=x&access_token=x" },
		"CONNECT":                                               func(r *http.Request) { r.Method = "CONNECT" },
		"OPTIONS":                                               func(r *http.Request) { r.Method = "OPTIONS" },
		"lower-case method":                                     func(r *http.Request) { r.Method = "post" },
		"upper-case path":                                       func(r *http.Request) { r.URL.Path = "/V1/CHAT/COMPLETIONS" },
		"path parameters":                                       func(r *http.Request) { r.URL.Path = "/v1/chat/completions;/healthz" },
		"NUL":                                                   func(r *http.Request) { r.URL.Path = "/v1/chat/completions\x00" },
		"empty path":                                            func(r *http.Request) { r.URL.Path = "" },
		"asterisk":                                              func(r *http.Request) { r.RequestURI, r.URL.Path = "*", "*" },
		"another endpoint of the server (vllm #58144: /invocations)":    func(r *http.Request) { r.URL.Path = "/invocations" },
		"administration of the server (Ollama CVE-2026-7482: /api/...)": func(r *http.Request) { r.URL.Path = "/api/create" },
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, yourModel)
			r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(hello))
			r.Header.Set("Content-Type", "application/json")
			mutate(r)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if h.ran.Load() != 0 {
				t.Error("the handler ran without a key")
			}
			if rec.Code != 401 && rec.Code != 404 && rec.Code != 405 {
				t.Errorf("status %d: %s", rec.Code, rec.Body)
			}
			if loc := rec.Header().Get("Location"); loc != "" {
				t.Errorf("redirects to %q", loc)
			}
		})
	}
}

func TestEveryRequestLeavesOneRecordWithItsRoute(t *testing.T) {
	h := build(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("X-Case"), "panic") {
			panic("boom")
		}
		yourModel(w, r)
	})
	h.ask("POST", "/v1/chat/completions", h.key, hello)
	h.ask("POST", "/v1/chat/completions", "", hello)
	h.ask("POST", "/v1/chat/completions", h.key, "{")
	h.ask("GET", "/nothing?secret=1", "", "")
	h.ask("GET", "/healthz", "", "")
	r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(hello))
	r.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {h.key}, "X-Case": {"panic"}}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != 500 || code(rec) != "internal_error" {
		t.Errorf("panic: %d %s", rec.Code, rec.Body)
	}
	want := []string{
		"200 POST /v1/chat/completions <nil>", "401 POST /v1/chat/completions missing_credentials", "400 POST /v1/chat/completions invalid_json",
		"404 <nil> not_found", "200 GET /healthz <nil>", "500 POST /v1/chat/completions internal_error",
	}
	var got []string
	for _, v := range h.records(t) {
		got = append(got, fmt.Sprintf("%v %v %v", v["http.response.status_code"], v["http.route"], v["error.type"]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheRecordTellsWhoAskedWhatAndWhatItCost(t *testing.T) {
	h := build(t, yourModel)
	h.ask("POST", "/v1/chat/completions", h.key, hello)
	v := h.records(t)[0]
	for k, want := range map[string]any{
		"auth.client_id": "all", "gen_ai.request.model": "demo", "gen_ai.usage.input_tokens": 3.0, "gen_ai.usage.output_tokens": 1.0,
		"http.response.status_code": 200.0, "auth.outcome": "allowed",
	} {
		if v[k] != want {
			t.Errorf("%s is %v, want %v", k, v[k], want)
		}
	}
	if s := h.limits.Stats(); s.Outstanding != 0 || s.Used.Input != 3 || s.Used.Output != 1 || s.Used.Requests != 1 {
		t.Errorf("settled: %+v", s)
	}
}

func TestARefusedRequestCostsNothingAndANotFoundRunsNothing(t *testing.T) {
	h := build(t, yourModel)
	for range 20 {
		h.ask("POST", "/v1/chat/completions", "", hello)
		h.ask("POST", "/v1/chat/completions", h.key, `{"model":1}`)
		h.ask("GET", "/nothing", h.key, "")
	}
	if s := h.limits.Stats(); s.Reservations != 0 {
		t.Errorf("%d reservations", s.Reservations)
	}
	if h.ran.Load() != 0 {
		t.Error("the handler ran")
	}
}

func TestABodyIsNotReadBeforeTheCallerIsKnown(t *testing.T) {
	h := build(t, yourModel)
	body := &countingReader{}
	r := httptest.NewRequest("POST", "/v1/chat/completions", body)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != 401 || body.n != 0 {
		t.Errorf("status %d after reading %d bytes", rec.Code, body.n)
	}
}

type countingReader struct{ n int }

func (c *countingReader) Read(p []byte) (int, error) { c.n += len(p); return 0, io.ErrUnexpectedEOF }

func TestASecretInAStreamIsGoneWhateverItsChunks(t *testing.T) {
	key := "sk-" + "proj-" + strings.Repeat("aB3dE6gH9j", 5)
	for size := 1; size < 20; size += 3 {
		h := build(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			text := "The key is " + key + ", mail jane.doe@example.com."
			for text != "" {
				n := min(size, len(text))
				piece, _ := json.Marshal(text[:n])
				fmt.Fprintf(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"demo\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", piece)
				http.NewResponseController(w).Flush()
				text = text[n:]
			}
			io.WriteString(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"demo\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
		})
		rec := h.ask("POST", "/v1/chat/completions", h.key, strings.Replace(hello, "{", `{"stream":true,`, 1))
		var text strings.Builder
		for line := range strings.Lines(rec.Body.String()) {
			data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
			if !ok || data == "[DONE]" {
				continue
			}
			var v struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			for _, c := range v.Choices {
				text.WriteString(c.Delta.Content)
			}
		}
		if got := text.String(); strings.Contains(rec.Body.String(), key[:12]) || strings.Contains(got, "jane") ||
			!strings.HasPrefix(got, "The key is [REDACTED") || !strings.HasSuffix(got, "].") {
			t.Errorf("chunks of %d: %q", size, got)
		}
		if !strings.HasSuffix(rec.Body.String(), "data: [DONE]\n\n") {
			t.Errorf("chunks of %d: the end is %.80q", size, rec.Body.String()[max(0, rec.Body.Len()-80):])
		}
	}
}

func TestAPanicInAStreamEndsItWithAnErrorEvent(t *testing.T) {
	h := build(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"so far so good\"}}]}\n\n")
		http.NewResponseController(w).Flush()
		panic("password=hunter2")
	})
	rec := h.ask("POST", "/v1/chat/completions", h.key, strings.Replace(hello, "{", `{"stream":true,`, 1))
	if !strings.Contains(rec.Body.String(), "internal_error") || strings.Contains(rec.Body.String(), "hunter2") {
		t.Errorf("%s", rec.Body)
	}
	if s := h.limits.Stats(); s.Outstanding != 0 || s.Settled != 1 {
		t.Errorf("not settled: %+v", s)
	}
}

func TestAnAbortStaysAnAbort(t *testing.T) {
	h := build(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v", p)
		}
		if n := len(h.records(t)); n != 1 {
			t.Errorf("%d records", n)
		}
		if s := h.limits.Stats(); s.Outstanding != 0 {
			t.Errorf("not settled: %+v", s)
		}
	}()
	h.ask("POST", "/v1/chat/completions", h.key, hello)
}

func TestTheUpstreamsFiveHundredNeverReachesTheClient(t *testing.T) {
	h := build(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "secret/1.0")
		w.WriteHeader(500)
		io.WriteString(w, "goroutine 1 [running]: /srv/app/main.go:12 postgres://u:p@10.0.0.1/db")
	})
	rec := h.ask("POST", "/v1/chat/completions", h.key, hello)
	if rec.Code != 500 || code(rec) == "" || strings.Contains(rec.Body.String(), "goroutine") || rec.Header().Get("X-Powered-By") != "" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestNewRefusesWhatHasNoSafeDefault(t *testing.T) {
	gate, _ := auth.New(auth.Config{Authenticator: auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return nil, auth.ErrInvalid })})
	for name, cfg := range map[string]mantlet.Config{
		"nobody said who may enter": {},
		"a contradiction":           {Auth: gate, InsecureNoAuth: true},
		"trusting every peer":       {Auth: gate, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		"an invalid prefix":         {Auth: gate, TrustedProxies: []netip.Prefix{{}}},
	} {
		if p, err := mantlet.New(cfg); err == nil || p != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err := mantlet.New(mantlet.Config{TrustedProxies: []netip.Prefix{{}}})
	if err == nil || strings.Count(err.Error(), "mantlet:") != 2 {
		t.Errorf("not all faults at once: %v", err)
	}
}

func TestARouteThatContradictsItselfDoesNotStart(t *testing.T) {
	p := must(mantlet.New(mantlet.Config{InsecureNoAuth: true}))
	h := build(t, yourModel)
	v, forms := must(validate.New(validate.Config{})), must(upload.New(upload.Config{Allow: upload.Images()}))
	public := mantlet.Public()
	public.Scopes = "a"
	for name, f := range map[string]func(){
		"no handler":            func() { h.Handle("GET /a", mantlet.Route{}, nil) },
		"no function":           func() { h.HandleFunc("GET /a", mantlet.Route{}, nil) },
		"checked and unchecked": func() { h.Handle("GET /a", mantlet.Route{Body: v, InsecureRawBody: true}, yourModel) },
		"checked as two things": func() { h.Handle("POST /a", mantlet.Route{Body: v, Upload: forms}, yourModel) },
		"a form and unchecked":  func() { h.Handle("POST /a", mantlet.Route{Upload: forms, InsecureRawBody: true}, yourModel) },
		"public with scopes":    func() { h.Handle("GET /a", public, yourModel) },
		"scopes nobody checks":  func() { p.Handle("GET /a", mantlet.Route{Scopes: "a"}, yourModel) },
		"not a scope":           func() { h.Handle("GET /a", mantlet.Route{Scopes: "a\"b"}, yourModel) },
		"registered twice":      func() { h.Handle("GET /healthz", mantlet.Public(), yourModel) },
		"not a pattern":         func() { h.Handle("GET", mantlet.Public(), yourModel) },
		"zero pipeline":         func() { new(mantlet.Pipeline).Handle("GET /a", mantlet.Public(), yourModel) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

func TestTheZeroPipelineRefuses(t *testing.T) {
	rec := httptest.NewRecorder()
	new(mantlet.Pipeline).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "New") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if d := new(mantlet.Pipeline).Describe(); len(d.Warnings) != 1 {
		t.Errorf("%v", d)
	}
}

func TestChainRunsTheFirstOutermostAndSkipsNil(t *testing.T) {
	var order []string
	mw := func(name string) mantlet.Middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				order = append(order, name)
				next.ServeHTTP(w, r)
			})
		}
	}
	mantlet.Chain(mw("a"), nil, mw("b"))(yourModel).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if !slices.Equal(order, []string{"a", "b"}) {
		t.Error(order)
	}
}

func TestDescribe(t *testing.T) {
	h := build(t, yourModel)
	h.Handle("POST /upload", mantlet.Route{InsecureRawBody: true, SkipFilter: true}, yourModel)
	d := h.Describe()
	js, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/describe.txt", []byte(d.String()))
	golden(t, "testdata/describe.json", append(js, '\n'))

	open := must(mantlet.New(mantlet.Config{InsecureNoAuth: true}))
	if w := open.Describe().Warnings; len(w) != 6 {
		t.Errorf("warnings of an open pipeline: %q", w)
	}
}

// A form goes through every room as it arrives: those that read bodies whole must neither hold it nor refuse it.
func TestAFormIsVerifiedAndStreamedThroughAllRooms(t *testing.T) {
	h := build(t, yourModel)
	var got string
	h.HandleFunc("POST /v1/transcriptions", mantlet.Route{
		Scopes: "chat:write",
		Upload: must(upload.New(upload.Config{Allow: []upload.Type{upload.Text}, MaxFile: 16 << 20})),
		Query:  must(validate.NewQuery(validate.QueryConfig{Schema: []byte(`{"properties":{"lang":{"enum":["en","de"],"type":"string"}}}`)})),
	}, func(w http.ResponseWriter, r *http.Request) {
		_, f, err := r.FormFile("file")
		if err != nil {
			upload.Refuse(w, r, err)
			return
		}
		got = fmt.Sprint(f.Size, " ", r.FormValue("model"))
		io.WriteString(w, `{"text":"hello"}`)
	})
	send := func(key, query, text string) *httptest.ResponseRecorder {
		body := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndemo\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n" + text + "\r\n--b--\r\n"
		r := httptest.NewRequest("POST", "/v1/transcriptions"+query, strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		got = ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	long := strings.Repeat("words ", 2<<20) // more than any room would hold
	for name, c := range map[string]struct {
		key, query, text string
		status           int
		got              string
	}{
		"a file":            {h.key, "?lang=en", "hello", 200, "5 demo"},
		"a long file":       {h.key, "", long, 200, fmt.Sprint(len(long), " demo")},
		"a bad file":        {h.key, "", "#!/bin/sh", 400, ""},
		"bytes that differ": {h.key, "", "\xff", 415, ""},
		"a bad query":       {h.key, "?lang=xx", "hello", 422, ""},
		"no key":            {"", "", "hello", 401, ""},
		"another scope":     {h.readOnly, "", "hello", 403, ""},
		"one model":         {h.oneModel, "", "hello", 403, ""},
	} {
		w := send(c.key, c.query, c.text)
		if w.Code != c.status || got != c.got {
			t.Errorf("%s: %d %s, the handler got %q, want %d and %q", name, w.Code, w.Body, got, c.status, c.got)
		}
		if c.status == 200 && w.Header().Get("RateLimit") == "" {
			t.Errorf("%s: no limit was asked: %v", name, w.Header())
		}
	}
	for _, rt := range h.Describe().Routes {
		want := "auth query upload models filter limits bulkhead"
		if got := strings.Join(rt.Stages, " "); rt.Pattern == "POST /v1/transcriptions" && got != want {
			t.Errorf("stages %q, want %q", got, want)
		}
	}
	if strings.Contains(h.Describe().String(), "takes no body") {
		t.Error("a warning about a body that is checked")
	}
}

// Bans are what failed attempts cost an address.
func TestNoWarningAboutFloodsWithAGuardThatBans(t *testing.T) {
	for name, c := range map[string]struct {
		guard *guard.Guard
		warns bool
	}{
		"none": {nil, true}, "bans": {must(guard.New(guard.Config{})), false},
		"no bans": {must(guard.New(guard.Config{SkipBans: true})), true}, "shadow": {must(guard.New(guard.Config{Shadow: true})), true},
	} {
		p := must(mantlet.New(mantlet.Config{InsecureNoAuth: true, Guard: c.guard}))
		if got := strings.Contains(p.Describe().String(), "no flood limit"); got != c.warns {
			t.Errorf("%s: warns %v", name, got)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (rewrite it with -update):\n%s", path, got)
	}
}

func TestRequestsAtOnceShareNothingTheyShouldNot(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	h := build(t, func(w http.ResponseWriter, r *http.Request) {
		p, ok := auth.FromContext(r.Context())
		if !ok || p.ClientID != "all" {
			t.Error("no principal")
		}
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen[string(b)] = true
		mu.Unlock()
		yourModel(w, r)
	})
	var wg sync.WaitGroup
	var bad error
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				body := strings.Replace(hello, "hello", fmt.Sprintf("hello %d %d", i, j), 1)
				if rec := h.ask("POST", "/v1/chat/completions", h.key, body); rec.Code != 200 && rec.Code != 503 {
					mu.Lock()
					bad = errors.Join(bad, fmt.Errorf("%d %s", rec.Code, rec.Body))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if bad != nil || len(seen) != 160 {
		t.Errorf("%v, %d bodies arrived", bad, len(seen))
	}
}

func TestARequestThatNeverReachedTheModelReportsNoUsage(t *testing.T) {
	h := build(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("plain text")) })
	h.ask("POST", "/v1/chat/completions", "", hello)
	h.ask("POST", "/v1/chat/completions", h.key, `{"model":1}`)
	h.ask("POST", "/v1/chat/completions", h.key, hello)
	all := h.records(t)
	for i, v := range all[:2] {
		if _, ok := v["gen_ai.usage.input_tokens"]; ok {
			t.Errorf("request %d: %v", i, v)
		}
	}
	if v := all[2]; v["gen_ai.usage.input_tokens"] == nil || v["gen_ai.usage.input_tokens"] == 0.0 || v["x.usage_estimated"] != true {
		t.Errorf("a reply that says nothing of its usage is not measured by its length: %v", v)
	}
}

// A reverse proxy passes any Upgrade on; an upstream that agrees would give the client a pipe around every room.
func TestNoRequestBecomesATunnelToTheServerBehind(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			yourModel(w, r)
			return
		}
		conn, rw, _ := w.(http.Hijacker).Hijack()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + r.Header.Get("Upgrade") + "\r\n\r\ntunnel")
		rw.Flush()
		conn.Close()
	}))
	defer up.Close()
	target, _ := url.Parse(up.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: log.New(io.Discard, "", 0)}
	for _, protocol := range []string{"h2c", "websocket"} {
		for _, open := range []bool{false, true} {
			h := build(t, yourModel)
			h.Handle("POST /proxied", mantlet.Route{Scopes: "chat:write", Body: must(validate.New(validate.Config{})), InsecureUpgrade: open}, proxy)
			srv := httptest.NewServer(h)
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST /proxied HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"+
				"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n{}", h.key, protocol)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if (res.StatusCode == 101) != open {
				t.Errorf("%s, InsecureUpgrade %v: status %d", protocol, open, res.StatusCode)
			}
			conn.Close()
			srv.Close()
		}
	}
}

func TestARawBodyDoesNotGetAroundTheModelList(t *testing.T) {
	h := build(t, yourModel)
	h.Handle("POST /raw", mantlet.Route{Scopes: "chat:write", InsecureRawBody: true}, yourModel)
	for body, want := range map[string]int{`{"model":"demo"}`: 200, `{"model":"other"}`: 403, `not JSON`: 403} {
		if rec := h.ask("POST", "/raw", h.oneModel, body); rec.Code != want {
			t.Errorf("%s: %d", body, rec.Code)
		}
	}
	if rec := h.ask("POST", "/raw", h.key, `not JSON`); rec.Code == 403 {
		t.Errorf("a caller who may use every model: %d %s", rec.Code, rec.Body)
	}
}

// A key of one model does not reach another by naming that in a place the body's check does not look at.
func TestTheModelIsOneInBodyPathAndQueryOfEveryRoute(t *testing.T) {
	h := build(t, yourModel)
	h.Handle("POST /deployments/{model}/chat/completions", mantlet.Route{Scopes: "chat:write", Body: must(validate.New(validate.Config{}))}, yourModel)
	h.Handle("POST /deployments/{model}/transcriptions", mantlet.Route{Upload: must(upload.New(upload.Config{Allow: []upload.Type{upload.Text}}))}, yourModel)
	h.Handle("GET /v1/models/{model}", mantlet.Route{}, yourModel)
	h.Handle("GET /v1/realtime", mantlet.Route{}, yourModel)
	for _, tc := range []struct {
		method, target, body string
		one, all             int
	}{
		{"POST", "/deployments/demo/chat/completions", hello, 200, 200},
		{"POST", "/deployments/demo/chat/completions", `{}`, 200, 200},
		{"POST", "/deployments/other/chat/completions", `{}`, 403, 200},
		{"POST", "/deployments/other/chat/completions", hello, 400, 400},
		{"POST", "/v1/chat/completions?model=other", hello, 400, 400},
		{"POST", "/v1/chat/completions?model=demo", hello, 200, 200},
		{"GET", "/v1/models/demo", "", 200, 200},
		{"GET", "/v1/models/other", "", 403, 200},
		{"GET", "/v1/realtime?model=other", "", 403, 200},
		{"GET", "/v1/realtime?model=demo", "", 200, 200},
		{"GET", "/v1/jobs/1", "", 200, 200},
	} {
		for key, want := range map[string]int{h.oneModel: tc.one, h.key: tc.all} {
			if rec := h.ask(tc.method, tc.target, key, tc.body); rec.Code != want {
				t.Errorf("%s %s %s: %d, want %d: %s", tc.method, tc.target, tc.body, rec.Code, want, rec.Body)
			}
		}
	}
	// A form may name a model, and no room looks.
	for key, want := range map[string]int{h.oneModel: 403, h.key: 200} {
		r := httptest.NewRequest("POST", "/deployments/demo/transcriptions?model=demo", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nother\r\n--b--\r\n"))
		r.Header = http.Header{"Content-Type": {"multipart/form-data; boundary=b"}, "Authorization": {"Bearer " + key}}
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); rec.Code != want {
			t.Errorf("a form: %d, want %d: %s", rec.Code, want, rec.Body)
		}
	}
	v := h.records(t)
	if last := v[len(v)-5]; last["gen_ai.request.model"] != "demo" {
		t.Errorf("the record of a request that names its model in the query: %v", last)
	}
}

func TestAMethodMayBeFollowedByATab(t *testing.T) {
	h := build(t, yourModel)
	h.Handle("PUT\t/tab", mantlet.Route{}, yourModel)
	if rec := h.ask("GET", "/tab", h.key, ""); rec.Code != 405 || rec.Header().Get("Allow") != "PUT" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

func TestAFloodLimiterReadsNoBodyAndIsNotThePlan(t *testing.T) {
	gate := must(auth.New(auth.Config{Authenticator: auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return nil, auth.ErrInvalid })}))
	tokens := must(ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "t", Max: 1, Per: time.Hour, Cost: ratelimit.Tokens}}}}}))
	requests := must(ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "r", Max: 1, Per: time.Hour}}}}}))
	if _, err := mantlet.New(mantlet.Config{Auth: gate, Flood: tokens}); err == nil {
		t.Error("a flood limiter that reads bodies")
	}
	if _, err := mantlet.New(mantlet.Config{Auth: gate, Flood: requests, Limits: requests}); err == nil {
		t.Error("one limiter in both places")
	}
	if _, err := mantlet.New(mantlet.Config{Auth: gate, Flood: requests}); err != nil {
		t.Error(err)
	}
}

// The pipeline's trusted proxies decide whom the gate locks out, also when the gate names none.
func TestWrongKeysLockOutTheClientAndNotTheProxyInFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := must(auth.New(auth.Config{Logger: slog.New(slog.DiscardHandler), Authenticator: auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
			if r.Header.Get("X-Api-Key") != "good" {
				return nil, auth.ErrInvalid
			}
			return &auth.Principal{Issuer: "test", Subject: "alice", ClientID: "alice"}, nil
		})}))
		trail := &lines{}
		log := must(audit.Open(audit.Config{Sinks: []audit.Sink{trail}}))
		p := must(mantlet.New(mantlet.Config{Auth: gate, Audit: log, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}))
		p.HandleFunc("GET /", mantlet.Route{}, func(http.ResponseWriter, *http.Request) {})
		ask := func(client, key string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = "198.51.100.7:1"
			r.Header.Set("X-Forwarded-For", client)
			r.Header.Set("X-Api-Key", key)
			rec := httptest.NewRecorder()
			p.ServeHTTP(rec, r)
			return rec
		}
		for range auth.DefaultLockoutFailures {
			ask("203.0.113.1", "guess")
		}
		if rec := ask("203.0.113.1", "good"); rec.Code != 429 || code(rec) != "too_many_requests" || rec.Header().Get("Retry-After") != "60" {
			t.Errorf("the guesser: %d %v %s", rec.Code, rec.Header(), rec.Body)
		}
		if rec := ask("203.0.113.2", "good"); rec.Code != 200 {
			t.Errorf("another client of the proxy: %d", rec.Code)
		}
		if err := log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := trail.all[auth.DefaultLockoutFailures]; v["error.type"] != "too_many_requests" {
			t.Errorf("the record of a locked request: %v", v)
		}
		open := must(auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrInvalid), SkipLockout: true}))
		for g, want := range map[*auth.Gate]bool{gate: false, open: true} {
			w := must(mantlet.New(mantlet.Config{Auth: g})).Describe().Warnings
			if got := slices.ContainsFunc(w, func(s string) bool { return strings.HasPrefix(s, "SkipLockout") }); got != want {
				t.Errorf("warnings: %q", w)
			}
		}
	})
}

// The guard stands outside of the rooms whose refusals it counts and inside of those that record and shape errors: it must see
// the denials all the same.
func TestTheGuardBansAnAddressForTheRefusalsOfTheRoomsInside(t *testing.T) {
	synctest.Test(t, theGuardBans) // so that no score decays meanwhile
}

func theGuardBans(t *testing.T) {
	trail := &lines{}
	log := must(audit.Open(audit.Config{Sinks: []audit.Sink{trail}}))
	keys := must(apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "test"}))
	defer keys.Close(context.Background())
	secret, _, err := keys.Create(t.Context(), apikey.Spec{ClientID: "all"})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	g := must(guard.New(guard.Config{BanPoints: 50, Logger: quiet}))
	p := must(mantlet.New(mantlet.Config{Audit: log, Guard: g, Auth: must(auth.New(auth.Config{Authenticator: keys, Logger: quiet})),
		Errors: must(sanitize.NewErrors(sanitize.ErrorsConfig{Logger: quiet}))}))
	var ran atomic.Int64
	p.HandleFunc("POST /v1/chat/completions", mantlet.Route{Body: preset.OpenAIChat()}, func(http.ResponseWriter, *http.Request) { ran.Add(1) })
	p.HandleFunc("GET /broken", mantlet.Public(), func(http.ResponseWriter, *http.Request) { panic("a fault of ours") })
	if front := p.Describe().Front; !slices.Equal(front, []string{"audit", "errors", "guard"}) {
		t.Errorf("front: %v", front)
	}
	ask := func(from, method, target, key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.RemoteAddr = from + ":1234"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		return rec
	}
	const chat = "/v1/chat/completions"
	good := secret.Reveal()
	for name, tc := range map[string]struct {
		from, method, target, key, body string
		times, status                   int
	}{
		"wrong keys":  {"192.0.2.1", "POST", chat, strings.Replace(good, "acme_", "acmf_", 1), hello, 10, 401},
		"broken JSON": {"192.0.2.2", "POST", chat, good, `{"model":`, 25, 400},
		"probes":      {"192.0.2.3", "GET", "/.git/config", "", "", 3, 404},
		"wandering":   {"192.0.2.4", "GET", "/nothing/here", "", "", 50, 404},
	} {
		for i := range tc.times {
			if rec := ask(tc.from, tc.method, tc.target, tc.key, tc.body); rec.Code != tc.status {
				t.Fatalf("%s: request %d got %d %s", name, i, rec.Code, rec.Body)
			}
		}
		if rec := ask(tc.from, "POST", chat, good, hello); rec.Code != 429 || code(rec) != "too_many_requests" || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: then %d %s", name, rec.Code, rec.Body)
		}
	}
	for range 100 {
		if rec := ask("192.0.2.5", "GET", "/broken", "", ""); rec.Code != 500 {
			t.Fatal(rec.Code)
		}
	}
	if rec := ask("192.0.2.5", "POST", chat, good, hello); rec.Code != 200 || ran.Load() != 1 {
		t.Errorf("an address that met our own faults got %d, the handler ran %d times", rec.Code, ran.Load())
	}
	if n := len(g.Bans()); n != 4 {
		t.Errorf("%d bans", n)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var banned int
	for _, l := range trail.all {
		if js, _ := json.Marshal(l); bytes.Contains(js, []byte(`"too_many_requests"`)) && bytes.Contains(js, []byte(`"guard"`)) {
			banned++
		}
	}
	if banned != 4 {
		t.Errorf("%d records of refusals by the guard", banned)
	}
}
